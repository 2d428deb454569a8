//! Erasures: one transaction each.

use lynk_domain::{Millis, Revocation, RoomId, Seq, SessionId, UserId};
use lynk_model::account::{AuditKind, Erasure};
use lynk_model::port::ErasureStore;
use lynk_model::{NAME_RESERVED_MILLIS, StoreError};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::Accounts;
use super::write::{begin, execute, note, remove_in};
use crate::Fault;
use crate::sqlite::{bits, commit, number};

impl ErasureStore for Accounts {
    async fn erase(&mut self, user: UserId, wall: Millis) -> Result<Option<Vec<Revocation>>, StoreError> {
        let result = erase(&mut self.connection, user, wall);
        self.noted(result)
    }

    async fn erasure(&self, user: UserId) -> Result<Option<Erasure>, StoreError> {
        self.noted(one_erasure(&self.connection, user))
    }

    async fn erasures(&self, limit: u32) -> Result<Vec<Erasure>, StoreError> {
        self.noted(waiting(&self.connection, limit))
    }

    async fn advance_erasure(
        &mut self,
        user: UserId,
        room: RoomId,
        seq: Seq,
        done: Option<Millis>,
    ) -> Result<(), StoreError> {
        let result = advance(&mut self.connection, user, (room, seq), done);
        self.noted(result)
    }

    async fn forget_names(&mut self, wall: Millis, limit: u32) -> Result<u32, StoreError> {
        let result = forget_names(&mut self.connection, wall, limit);
        self.noted(result)
    }
}

pub(super) const COLUMNS: &str = "user, begun, room, seq, done";

pub(super) fn erasure(row: &Row<'_>) -> rusqlite::Result<Erasure> {
    Ok(Erasure {
        user: UserId(row.get(0)?),
        begun: Millis(number(row, 1)?),
        room: RoomId(row.get(2)?),
        seq: Seq(number(row, 3)?),
        done: row.get::<_, Option<i64>>(4)?.map(|at| Millis(at.cast_unsigned())),
    })
}

/// Puts a row in place of the one that is there.
pub(super) fn put(tx: &Transaction<'_>, one: &Erasure) -> Result<(), Fault> {
    let sql = "INSERT OR REPLACE INTO erasures (user, begun, room, seq, done) VALUES (?1, ?2, ?3, ?4, ?5)";
    let done = one.done.map(|at| bits(at.0));
    execute(tx, sql, params![one.user.0, bits(one.begun.0), one.room.0, bits(one.seq.0), done])?;
    Ok(())
}

fn erase(connection: &mut Connection, user: UserId, wall: Millis) -> Result<Option<Vec<Revocation>>, Fault> {
    let tx = begin(connection)?;
    let Some(ended) = remove_in(&tx, user, wall)? else { return Ok(None) };
    note(&tx, user, SessionId::NIL, AuditKind::Erased, wall)?;
    put(&tx, &Erasure { user, begun: wall, room: RoomId::NIL, seq: Seq(0), done: None })?;
    commit(tx)?;
    Ok(Some(ended))
}

fn one_erasure(connection: &Connection, user: UserId) -> Result<Option<Erasure>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM erasures WHERE user = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([user.0], erasure).optional()?)
}

fn waiting(connection: &Connection, limit: u32) -> Result<Vec<Erasure>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM erasures WHERE done IS NULL ORDER BY begun, user LIMIT ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([limit], erasure)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn advance(
    connection: &mut Connection,
    user: UserId,
    place: (RoomId, Seq),
    done: Option<Millis>,
) -> Result<(), Fault> {
    let tx = begin(connection)?;
    let sql = format!("SELECT {COLUMNS} FROM erasures WHERE user = ?1 AND done IS NULL");
    let found = tx.prepare_cached(&sql)?.query_row([user.0], erasure).optional()?;
    // Numbers are compared here: those of the table are signed.
    let Some(mut one) = found else { return Ok(()) };
    (one.room, one.seq) = (one.room, one.seq).max(place);
    one.done = done;
    put(&tx, &one)?;
    commit(tx)
}

fn forget_names(connection: &mut Connection, wall: Millis, limit: u32) -> Result<u32, Fault> {
    let Some(over) = wall.0.checked_sub(NAME_RESERVED_MILLIS) else { return Ok(0) };
    let tx = begin(connection)?;
    let sql = "DELETE FROM names WHERE folded IN
               (SELECT folded FROM names WHERE freed <= ?1 ORDER BY freed LIMIT ?2)";
    let forgotten = execute(&tx, sql, params![bits(over), limit])?;
    commit(tx)?;
    Ok(u32::try_from(forgotten).unwrap_or(u32::MAX))
}
