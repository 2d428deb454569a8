//! One SQLite file: how it is opened, prepared and brought up to date.
//!
//! Thread: the one that will own the connection. Blocks on the disk. What can fail: the disk, a damaged file, and one of
//! a newer format.
//!
//! Every file has its own connection and its own tables; nothing joins across two.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, Row, Transaction, TransactionBehavior};

use crate::rewrite::rewrite_if_space;
use crate::{Fault, FaultKind, OpenError};

/// Opens or creates the file at `path` and brings it to the newest format. `steps` are its formats: step `n` turns format
/// `n` into `n + 1`; steps are never changed, only added. A new file gets `mode`; SQLite gives its logs the same.
///
/// # Errors
/// When the file is damaged, of a newer format, or the disk refuses.
pub(crate) fn open(path: &Path, steps: &[&str], mode: u32) -> Result<Connection, OpenError> {
    let engine = |fault: Fault| OpenError::Engine { path: path.to_owned(), fault };
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    // SQLite replays the write-ahead log; a sync of it may have failed before the end.
    rewrite_if_space(Path::new(&log)).map_err(|error| engine(error.into()))?;
    let made = OpenOptions::new().write(true).create(true).truncate(false).mode(mode).open(path);
    made.map_err(|error| engine(error.into()))?;
    let mut connection = Connection::open(path).map_err(|error| engine(error.into()))?;
    prepare(&connection).map_err(engine)?;
    let found = format(&connection).map_err(engine)?;
    let known = u32::try_from(steps.len()).expect("a handful of steps");
    if found > known {
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    }
    migrate(&mut connection, steps, found).map_err(engine)?;
    Ok(connection)
}

/// Opens the file at `path`, which must exist, for reading it as it is now. `touch` is a query that reads a table: with the first read the
/// state is fixed.
///
/// # Errors
/// What SQLite says.
pub(crate) fn snapshot(path: &Path, touch: &str) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(path, flags).and_then(|connection| {
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.execute_batch("BEGIN")?;
        connection.query_row(touch, [], |_| Ok(()))?;
        Ok(connection)
    });
    opened.map_err(|error| OpenError::Engine { path: path.to_owned(), fault: error.into() })
}

/// Writes the file at `path`, as it is now, to a new file for its owner only, while others go on with the old one. The write-ahead log of the
/// old one does not become smaller meanwhile, which takes as long as the disk takes for so many bytes. The new one is not synced.
///
/// # Errors
/// What SQLite or the disk says.
pub(crate) fn copy(path: &Path, to: &Path) -> Result<(), OpenError> {
    let engine = |fault: Fault| OpenError::Engine { path: path.to_owned(), fault };
    // SQLite takes an empty file for none, and leaves its mode.
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    made.map_err(|error| OpenError::Engine { path: to.to_owned(), fault: error.into() })?;
    let name = to.to_str().ok_or_else(|| engine(Fault::corrupt("a path that is no text")))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let copied = Connection::open_with_flags(path, flags).and_then(|connection| {
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.execute("VACUUM INTO ?1", [name])
    });
    copied.map_err(|error| engine(error.into()))?;
    Ok(())
}

/// One more connection to a file that [`open`] has opened and holds open. It must not go through that again: the write-ahead log, which would
/// be replaced, is in use.
///
/// # Errors
/// What SQLite says.
pub(crate) fn open_beside(path: &Path) -> Result<Connection, OpenError> {
    let engine = |fault: Fault| OpenError::Engine { path: path.to_owned(), fault };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| engine(error.into()))?;
    prepare(&connection).map_err(engine)?;
    Ok(connection)
}

/// Settings of every connection.
fn prepare(connection: &Connection) -> Result<(), Fault> {
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    // Before the first table, so that space can be given back later.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "journal_size_limit", 16 << 20)?;
    // KiB when negative.
    connection.pragma_update(None, "cache_size", -4_096)?;
    connection.set_prepared_statement_cache_capacity(48);
    Ok(())
}

/// The file's format.
fn format(connection: &Connection) -> Result<u32, Fault> {
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

/// Carries out the steps after `format`, each in its own transaction.
fn migrate(connection: &mut Connection, steps: &[&str], format: u32) -> Result<(), Fault> {
    for (number, step) in (0u32..).zip(steps).skip(format as usize) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", number + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

/// A number as SQLite stores it: the `i64` of the same bits.
pub(crate) fn bits(number: u64) -> i64 {
    number.cast_signed()
}

/// A stored number as the `u64` of the same bits.
pub(crate) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

/// A stored value that this program does not understand.
pub(crate) fn unreadable(
    column: usize,
    why: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Blob, why.into())
}

/// A failed commit may have reached the disk.
pub(crate) fn commit(tx: Transaction<'_>) -> Result<(), Fault> {
    tx.commit().map_err(|error| Fault { kind: FaultKind::Unknown, ..Fault::from(error) })
}
