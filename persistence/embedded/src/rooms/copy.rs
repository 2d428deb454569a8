//! Dumping and filling rooms.

use std::cell::RefCell;
use std::path::Path;

use lynk_domain::{Key, Millis, RoomId, Seq, UserId};
use lynk_model::dump::{DumpPage, RoomsMark, RoomsRow};
use lynk_model::port::{Dump, Fill, LastFault, StoreFault};
use lynk_model::{DirectFrom, LoadedRoom, Personal, Report, StoreError};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::change::put_row;
use super::{Rooms, asking, change, links, load, moderation, reports, strangers};
use crate::sqlite::{bits, commit, number, snapshot};
use crate::{Fault, OpenError};

/// The rooms of `<data>/rooms.sqlite` as they are when this is opened, while their owner goes on. The write-ahead log grows as long as this
/// is open.
pub struct RoomsSnapshot {
    connection: Connection,
    fault: RefCell<Option<Fault>>,
}

impl RoomsSnapshot {
    /// Opens the file, which must exist, for reading.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn open(data: &Path) -> Result<Self, OpenError> {
        let connection =
            snapshot(&data.join("rooms.sqlite"), "SELECT count(*) FROM (SELECT 1 FROM rooms LIMIT 1)")?;
        Ok(Self { connection, fault: RefCell::default() })
    }
}

impl LastFault for RoomsSnapshot {
    fn last_fault(&self) -> Option<StoreFault> {
        self.fault.take().map(StoreFault::from)
    }
}

type Rows = Vec<(RoomsRow, RoomsMark)>;

impl Dump for RoomsSnapshot {
    type Row = RoomsRow;

    async fn rows(
        &mut self,
        mark: &RoomsMark,
        limit: u32,
    ) -> Result<DumpPage<RoomsRow, RoomsMark>, StoreError> {
        let found = match mark {
            RoomsMark::Rooms(after) => rooms(&self.connection, *after, limit),
            RoomsMark::Names(after) => names(&self.connection, after, limit),
            RoomsMark::Blocks(by, user) => blocks(&self.connection, *by, *user, limit),
            RoomsMark::Results(actor, room, key) => results(&self.connection, (*actor, *room, *key), limit),
            RoomsMark::Hidden(after) => hidden(&self.connection, *after, limit),
            RoomsMark::DirectFrom(after) => direct_from(&self.connection, *after, limit),
            RoomsMark::Acts(room, number) => acts(&self.connection, *room, *number, limit),
            RoomsMark::Reports(room, number) => {
                reports::after(&self.connection, *room, *number, limit).map(|found| {
                    let row = |report: Report| {
                        let mark = RoomsMark::Reports(report.room, report.number);
                        (RoomsRow::Report(Box::new(report)), mark)
                    };
                    found.into_iter().map(row).collect()
                })
            }
        };
        let rows = found.map_err(|fault| {
            let error = fault.store_error();
            self.fault.replace(Some(fault));
            error
        })?;
        Ok(DumpPage::at(mark, rows, limit))
    }
}

fn rooms(connection: &Connection, after: RoomId, limit: u32) -> Result<Rows, Fault> {
    let mut statement =
        connection.prepare_cached("SELECT room FROM rooms WHERE room > ?1 ORDER BY room LIMIT ?2")?;
    let ids = statement.query_map(params![after.0, limit], |row| Ok(RoomId(row.get(0)?)))?;
    let ids: Vec<RoomId> = ids.collect::<rusqlite::Result<_>>()?;
    let mut rows = Vec::with_capacity(ids.len());
    for id in ids {
        let loaded = LoadedRoom { blocks: Vec::new(), ..load::room(connection, id)? };
        rows.push((RoomsRow::Room(Box::new(loaded)), RoomsMark::Rooms(id)));
    }
    Ok(rows)
}

fn names(connection: &Connection, after: &[u8], limit: u32) -> Result<Rows, Fault> {
    let after = std::str::from_utf8(after).map_err(Fault::corrupt)?;
    let sql = "SELECT folded, room, freed FROM names WHERE folded > ?1 ORDER BY folded LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![after, limit], |row| {
        let folded: String = row.get(0)?;
        let freed: Option<i64> = row.get(2)?;
        let mark = RoomsMark::Names(folded.clone().into_bytes());
        let (room, freed) = (RoomId(row.get(1)?), freed.map(|at| Millis(at.cast_unsigned())));
        Ok((RoomsRow::Name { folded, room, freed }, mark))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn blocks(connection: &Connection, by: UserId, user: UserId, limit: u32) -> Result<Rows, Fault> {
    let sql = "SELECT by, user, room FROM blocks WHERE (by, user) > (?1, ?2) ORDER BY by, user LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![by.0, user.0, limit], |row| {
        let (by, user, room) = (UserId(row.get(0)?), UserId(row.get(1)?), RoomId(row.get(2)?));
        Ok((RoomsRow::Block { by, user, room }, RoomsMark::Blocks(by, user)))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn results(
    connection: &Connection,
    (actor, room, key): (UserId, RoomId, Key),
    limit: u32,
) -> Result<Rows, Fault> {
    let sql = "SELECT actor, room, key, content_hash, version, seq, wall FROM results
        WHERE (actor, room, key) > (?1, ?2, ?3) ORDER BY actor, room, key LIMIT ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![actor.0, room.0, key.0, limit], |row| {
        let (actor, room, key) = (UserId(row.get(0)?), RoomId(row.get(1)?), Key(row.get(2)?));
        let result = RoomsRow::Result {
            actor,
            room,
            key,
            content_hash: number(row, 3)?,
            version: number(row, 4)?,
            seq: Seq(number(row, 5)?),
            wall: Millis(number(row, 6)?),
        };
        Ok((result, RoomsMark::Results(actor, room, key)))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn hidden(connection: &Connection, after: UserId, limit: u32) -> Result<Rows, Fault> {
    let mut statement =
        connection.prepare_cached("SELECT user FROM hidden WHERE user > ?1 ORDER BY user LIMIT ?2")?;
    let rows = statement.query_map(params![after.0, limit], |row| {
        let user = UserId(row.get(0)?);
        Ok((RoomsRow::Hidden { user }, RoomsMark::Hidden(user)))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn direct_from(connection: &Connection, after: UserId, limit: u32) -> Result<Rows, Fault> {
    let sql = "SELECT user, who FROM direct_from WHERE user > ?1 ORDER BY user LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![after.0, limit], |row| Ok((UserId(row.get(0)?), row.get(1)?)))?;
    let mut found = Vec::new();
    for row in rows {
        let (user, who) = row?;
        let from = load::direct_from_of(who)?;
        found.push((RoomsRow::DirectFrom { user, from }, RoomsMark::DirectFrom(user)));
    }
    Ok(found)
}

fn acts(connection: &Connection, room: RoomId, after: u64, limit: u32) -> Result<Rows, Fault> {
    let sql = "SELECT room, number, at, by, kind, subject, value, reason FROM moderation
        WHERE (room, number) > (?1, ?2) ORDER BY room, number LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![room.0, bits(after), limit], |row| {
        let (room, act) = (RoomId(row.get(0)?), moderation::act(row, 1)?);
        let mark = RoomsMark::Acts(room, act.number);
        Ok((RoomsRow::Act { room, act }, mark))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

impl Fill for Rooms {
    type Row = RoomsRow;

    async fn fill(&mut self, rows: &[RoomsRow]) -> Result<(), StoreError> {
        let result = fill(&mut self.connection(), rows);
        self.noted(result)
    }

    async fn take_out(&mut self, rows: &[RoomsRow]) -> Result<(), StoreError> {
        let result = take_out(&mut self.connection(), rows);
        self.noted(result)
    }
}

fn take_out(connection: &mut Connection, rows: &[RoomsRow]) -> Result<(), Fault> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for row in rows {
        match row {
            RoomsRow::Room(_) | RoomsRow::Name { .. } => {
                return Err(Fault::corrupt("rooms and names are never taken out"));
            }
            RoomsRow::Block { by, user, .. } => {
                let sql = "DELETE FROM blocks WHERE by = ?1 AND user = ?2";
                tx.prepare_cached(sql)?.execute(params![by.0, user.0])?;
            }
            RoomsRow::Hidden { user } => {
                tx.prepare_cached("DELETE FROM hidden WHERE user = ?1")?.execute([user.0])?;
            }
            RoomsRow::DirectFrom { user, .. } => {
                change::set_direct_from(&tx, *user, DirectFrom::Everyone)?;
            }
            RoomsRow::Act { room, act } => {
                let sql = "DELETE FROM moderation WHERE room = ?1 AND number = ?2";
                tx.prepare_cached(sql)?.execute(params![room.0, bits(act.number)])?;
            }
            RoomsRow::Report(report) => reports::remove(&tx, report.room, report.number)?,
            RoomsRow::Result { actor, room, key, .. } => {
                let sql = "DELETE FROM results WHERE actor = ?1 AND room = ?2 AND key = ?3";
                tx.prepare_cached(sql)?.execute(params![actor.0, room.0, key.0])?;
            }
        }
    }
    commit(tx)
}

fn fill(connection: &mut Connection, rows: &[RoomsRow]) -> Result<(), Fault> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for row in rows {
        match row {
            RoomsRow::Room(loaded) => put_room(&tx, loaded)?,
            RoomsRow::Name { folded, room, freed } => {
                let sql = "INSERT OR REPLACE INTO names (folded, room, freed) VALUES (?1, ?2, ?3)";
                tx.prepare_cached(sql)?.execute(params![folded, room.0, freed.map(|at| bits(at.0))])?;
            }
            RoomsRow::Hidden { user } => change::set_hidden(&tx, *user, true)?,
            RoomsRow::DirectFrom { user, from } => change::set_direct_from(&tx, *user, *from)?,
            RoomsRow::Act { room, act } => moderation::put(&tx, *room, act)?,
            RoomsRow::Report(report) => reports::put(&tx, report)?,
            RoomsRow::Block { by, user, room } => {
                let sql = "INSERT OR REPLACE INTO blocks (by, user, room) VALUES (?1, ?2, ?3)";
                tx.prepare_cached(sql)?.execute(params![by.0, user.0, room.0])?;
            }
            RoomsRow::Result { actor, room, key, content_hash, version, seq, wall } => {
                let sql =
                    "INSERT OR REPLACE INTO results (actor, room, key, content_hash, version, seq, wall)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
                tx.prepare_cached(sql)?.execute(params![
                    actor.0,
                    room.0,
                    key.0,
                    bits(*content_hash),
                    bits(*version),
                    bits(seq.0),
                    bits(wall.0)
                ])?;
            }
        }
    }
    commit(tx)
}

fn put_room(tx: &Transaction<'_>, loaded: &LoadedRoom) -> Result<(), Fault> {
    let Some(row) = &loaded.row else { return Ok(()) };
    let room = row.room.0;
    // What depends on it goes with it.
    tx.prepare_cached("DELETE FROM rooms WHERE room = ?1")?.execute([room])?;
    put_row(tx, row)?;
    for member in &loaded.members {
        let sql = "INSERT INTO members
            (room, user, role, joined_version, joined_seq, muted_until, wish, cleared, cleared_n, by_stranger)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        let Personal { wish, cleared, cleared_n } = member.personal;
        tx.prepare_cached(sql)?.execute(params![
            room,
            member.user.0,
            member.role as u8,
            bits(member.joined_version),
            bits(member.joined_seq.0),
            bits(wish.muted_until.0),
            wish.wish as u8,
            bits(cleared.0),
            bits(cleared_n.0),
            member.by_stranger
        ])?;
    }
    for (list, sql) in [
        (
            &loaded.bans,
            "INSERT INTO bans (room, user, until, reason, by, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        ),
        (
            &loaded.mutes,
            "INSERT INTO mutes (room, user, until, reason, by, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        ),
    ] {
        for one in list {
            let (until, at) = (bits(one.until.0), bits(one.at.0));
            tx.prepare_cached(sql)?.execute(params![room, one.user.0, until, one.reason, one.by.0, at])?;
        }
    }
    for pin in &loaded.pins {
        tx.prepare_cached("INSERT INTO pins (room, seq) VALUES (?1, ?2)")?
            .execute(params![room, bits(pin.0)])?;
    }
    for link in &loaded.links {
        links::put(tx, row.room, link)?;
    }
    for request in &loaded.requests {
        asking::put(tx, row.room, request)?;
    }
    if let Some(request) = &loaded.message_request {
        strangers::put(tx, row.room, request)?;
    }
    for waiting in &loaded.outbox {
        let mut event = Vec::new();
        waiting.event.encode(&mut event);
        let sql =
            "INSERT INTO outbox (room, version, actor, key, wall, event) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        tx.prepare_cached(sql)?.execute(params![
            room,
            bits(waiting.version),
            waiting.actor.0,
            waiting.key.0,
            bits(waiting.wall.0),
            event
        ])?;
    }
    Ok(())
}
