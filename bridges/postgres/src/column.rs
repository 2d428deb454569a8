//! Stored values to values of the model and back.
//!
//! Thread: any. Pure. Ids are `uuid`; numbers that are `u64` above are the `bigint` of the same bits; bytes of enums are `smallint`. What can
//! fail: a value that this program does not know, which is [`FaultKind::Corrupt`](crate::FaultKind::Corrupt).

use lynk_domain::Millis;
use lynk_model::NAME_RESERVED_MILLIS;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

use crate::Fault;

/// An id as PostgreSQL stores it.
pub(crate) fn uuid(id: [u8; 16]) -> Uuid {
    Uuid::from_bytes(id)
}

/// A number as PostgreSQL stores it.
pub(crate) fn bits(number: u64) -> i64 {
    number.cast_signed()
}

/// A column.
pub(crate) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T, Fault> {
    // The error names the column and the two types, not the value.
    row.try_get(column).map_err(Fault::corrupt)
}

/// A column with an id.
pub(crate) fn id(row: &Row, column: usize) -> Result<[u8; 16], Fault> {
    get::<Uuid>(row, column).map(Uuid::into_bytes)
}

/// A column with a number.
pub(crate) fn number(row: &Row, column: usize) -> Result<u64, Fault> {
    get::<i64>(row, column).map(i64::cast_unsigned)
}

/// A column with a number of 32 bits, which is kept in 64.
pub(crate) fn small(row: &Row, column: usize) -> Result<u32, Fault> {
    let wide: i64 = get(row, column)?;
    u32::try_from(wide).map_err(|_| Fault::corrupt(format_args!("column {column}: more than 32 bits")))
}

/// Whether a name that was given up at `freed`, or was not, cannot be had at `wall`.
pub(crate) fn is_closed(freed: Option<i64>, wall: Millis) -> bool {
    freed.is_none_or(|at| wall.0 < at.cast_unsigned().saturating_add(NAME_RESERVED_MILLIS))
}

/// A column with one of an enum's values.
pub(crate) fn known<T>(row: &Row, column: usize, of: fn(u8) -> Option<T>) -> Result<T, Fault> {
    let stored: i16 = get(row, column)?;
    let value = u8::try_from(stored).ok().and_then(of);
    value.ok_or_else(|| {
        Fault::corrupt(format_args!("column {column}: a value that this program does not know"))
    })
}
