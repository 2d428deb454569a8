//! Unique names: both databases have a table of them of the same form.

use lynk_domain::Millis;
use lynk_model::NAME_RESERVED_MILLIS;
use rusqlite::{Connection, OptionalExtension as _};

use crate::Fault;

/// Whether a folded name cannot be had at `wall`: somebody has it, or gave it up too recently.
pub(crate) fn is_taken(connection: &Connection, folded: &str, wall: Millis) -> Result<bool, Fault> {
    let mut statement = connection.prepare_cached("SELECT freed FROM names WHERE folded = ?1")?;
    let found: Option<Option<i64>> = statement.query_row([folded], |row| row.get(0)).optional()?;
    let closed = |freed: Option<i64>| {
        freed.is_none_or(|at| wall.0 < at.cast_unsigned().saturating_add(NAME_RESERVED_MILLIS))
    };
    Ok(found.is_some_and(closed))
}

/// A page of names after one; all that there are or were.
pub(crate) fn page(connection: &Connection, after: &str, limit: u32) -> Result<Vec<String>, Fault> {
    let mut statement =
        connection.prepare_cached("SELECT folded FROM names WHERE folded > ?1 ORDER BY folded LIMIT ?2")?;
    let rows = statement.query_map((after, limit), |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
