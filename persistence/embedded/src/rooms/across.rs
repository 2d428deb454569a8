//! Who blocks whom, who is a member, and which names there are, for a reader beside the store's own thread.

use std::path::Path;

use lynk_domain::{Millis, RoomId, Seq, UserId};
use lynk_model::notify::{MemberSince, RoomAudience};
use lynk_model::{RequestSide, RoomWish};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

use super::load;
use crate::sqlite::number;
use crate::{Fault, OpenError, names};

/// Reads blocks, members and names of `<data>/rooms.sqlite`, which must exist, while its owner writes.
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
        self.users("SELECT user FROM blocks WHERE by = ?1 ORDER BY user", [user.0])
    }

    fn users(&self, sql: &str, params: impl rusqlite::Params) -> Result<Vec<UserId>, Fault> {
        let mut statement = self.0.prepare_cached(sql)?;
        let rows = statement.query_map(params, |row| row.get(0).map(UserId))?;
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

    /// As [`Audience::room`](lynk_model::port::Audience::room).
    ///
    /// # Errors
    /// What SQLite says.
    pub fn audience(
        &self,
        room: RoomId,
        members_max: u32,
        named: &[UserId],
    ) -> Result<Option<RoomAudience>, Fault> {
        // One more than wanted tells whether there are more, without counting a room of a hundred thousand.
        let sql = "SELECT user, muted_until, wish FROM members WHERE room = ?1 ORDER BY user LIMIT ?2";
        let found = self.wishes(sql, params![room.0, i64::from(members_max) + 1])?;
        if found.is_empty() {
            return Ok(None);
        }
        let size = found.len() as u64;
        if size <= u64::from(members_max) {
            let request = super::strangers::of_room(&self.0, room)?;
            return Ok(Some(RoomAudience::new(size, found).asked(request)));
        }
        let sql =
            "SELECT user, muted_until, wish FROM members WHERE room = ?1 AND wish = 1 ORDER BY user LIMIT ?2";
        let mut found = self.wishes(sql, params![room.0, members_max])?;
        for user in named {
            let sql = "SELECT user, muted_until, wish FROM members WHERE room = ?1 AND user = ?2";
            found.append(&mut self.wishes(sql, params![room.0, user.0])?);
        }
        Ok(Some(RoomAudience::new(size, found)))
    }

    fn wishes(&self, sql: &str, params: impl rusqlite::Params) -> Result<Vec<(UserId, RoomWish)>, Fault> {
        let mut statement = self.0.prepare_cached(sql)?;
        let rows = statement.query_map(params, |row| Ok((UserId(row.get(0)?), load::wish(row, 1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Those on the other side of a block with the user, ascending.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn blocked(&self, user: UserId) -> Result<Vec<UserId>, Fault> {
        let sql =
            "SELECT user FROM blocks WHERE by = ?1 UNION SELECT by FROM blocks WHERE user = ?1 ORDER BY 1";
        self.users(sql, [user.0])
    }

    /// Since when a room is a member's; `None` for who is no member, and for who declined it.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn joined(&self, room: RoomId, user: UserId) -> Result<Option<MemberSince>, Fault> {
        let sql = "SELECT joined_seq, cleared FROM members WHERE room = ?1 AND user = ?2";
        let mut statement = self.0.prepare_cached(sql)?;
        let seqs = |row: &rusqlite::Row<'_>| Ok((Seq(number(row, 0)?), Seq(number(row, 1)?)));
        let found = statement.query_row(params![room.0, user.0], seqs).optional()?;
        let request = super::strangers::of_room(&self.0, room)?;
        if request.is_some_and(|request| request.keeps_from(user)) {
            return Ok(None);
        }
        let request = request.is_some_and(|request| request.side(user) == Some(RequestSide::Received));
        Ok(found.map(|(joined, cleared)| MemberSince { joined, cleared, request }))
    }
}
