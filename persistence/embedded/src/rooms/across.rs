//! Who blocks whom, and which names there are, for a reader beside the store's own thread.

use std::path::Path;

use lynk_domain::{Millis, RoomId, UserId};
use rusqlite::{Connection, OpenFlags};

use crate::{Fault, OpenError, names};

/// Reads blocks and names of `<data>/rooms.sqlite`, which must exist, while its owner writes.
#[derive(Debug)]
pub struct RoomsBeside(Connection);

impl RoomsBeside {
    /// Opens the file for reading.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn open(data: &Path) -> Result<Self, OpenError> {
        let path = data.join("rooms.sqlite");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(&path, flags).and_then(|connection| {
            connection.busy_timeout(std::time::Duration::from_secs(1))?;
            Ok(connection)
        });
        opened.map(Self).map_err(|error| OpenError::Engine { path, fault: error.into() })
    }

    /// Whether one of the two blocks the other.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn stands_between(&self, one: UserId, other: UserId) -> Result<bool, Fault> {
        let sql =
            "SELECT EXISTS (SELECT 1 FROM blocks WHERE (by = ?1 AND user = ?2) OR (by = ?2 AND user = ?1))";
        Ok(self.0.prepare_cached(sql)?.query_row((one.0, other.0), |row| row.get(0))?)
    }

    /// As [`RoomStore::name_is_taken`](lynk_model::port::RoomStore::name_is_taken).
    ///
    /// # Errors
    /// What SQLite says.
    pub fn name_is_taken(&self, folded: &str, wall: Millis) -> Result<bool, Fault> {
        names::is_taken(&self.0, folded, wall)
    }

    /// As [`RoomStore::names`](lynk_model::port::RoomStore::names).
    ///
    /// # Errors
    /// What SQLite says.
    pub fn names(&self, after: &str, limit: u32) -> Result<Vec<String>, Fault> {
        names::page(&self.0, after, limit)
    }

    /// Whom a user blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn blocked_by(&self, user: UserId) -> Result<Vec<UserId>, Fault> {
        let mut statement = self.0.prepare_cached("SELECT user FROM blocks WHERE by = ?1 ORDER BY user")?;
        let rows = statement.query_map([user.0], |row| row.get(0).map(UserId))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Rooms by id, after this one, `limit` at most; conversations of two as well.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn rooms_after(&self, after: RoomId, limit: u32) -> Result<Vec<RoomId>, Fault> {
        let mut statement =
            self.0.prepare_cached("SELECT room FROM rooms WHERE room > ?1 ORDER BY room LIMIT ?2")?;
        let rows = statement.query_map((after.0, limit), |row| row.get(0).map(RoomId))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}
