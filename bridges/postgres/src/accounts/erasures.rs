//! Erasures: one transaction each.
//!
//! Thread: the bridge's. What can fail: see [`Fault`].

use lynk_domain::{Millis, Revocation, RoomId, Seq, SessionId, UserId};
use lynk_model::account::{AuditKind, Erasure};
use lynk_model::port::ErasureStore;
use lynk_model::{NAME_RESERVED_MILLIS, StoreError};
use tokio_postgres::Row;

use super::PostgresAccounts;
use super::read::{all, one};
use super::write::{note, of_account, remove_in};
use crate::Fault;
use crate::column::{bits, get, id, number, uuid};
use crate::database::{Database, Session, Verdict};
use crate::locks::TAKE;

impl ErasureStore for PostgresAccounts {
    async fn erase(&mut self, user: UserId, wall: Millis) -> Result<Option<Vec<Revocation>>, StoreError> {
        self.database.noted(erase(&self.database, user, wall).await)
    }

    async fn erasure(&self, user: UserId) -> Result<Option<Erasure>, StoreError> {
        let sql = "SELECT user_id, begun, room, seq, done FROM accounts.erasures WHERE user_id = $1";
        self.database.noted(one(&self.database, sql, &[&uuid(user.0)], erasure).await)
    }

    async fn erasures(&self, limit: u32) -> Result<Vec<Erasure>, StoreError> {
        let sql = "SELECT user_id, begun, room, seq, done FROM accounts.erasures
            WHERE done IS NULL ORDER BY begun, user_id LIMIT $1";
        self.database.noted(all(&self.database, sql, &[&i64::from(limit)], erasure).await)
    }

    async fn advance_erasure(
        &mut self,
        user: UserId,
        room: RoomId,
        seq: Seq,
        done: Option<Millis>,
    ) -> Result<(), StoreError> {
        self.database.noted(advance(&self.database, user, (room, seq), done).await)
    }

    async fn forget_names(&mut self, wall: Millis, limit: u32) -> Result<u32, StoreError> {
        self.database.noted(forget_names(&self.database, wall, limit).await)
    }
}

pub(super) fn erasure(row: &Row) -> Result<Erasure, Fault> {
    Ok(Erasure {
        user: UserId(id(row, 0)?),
        begun: Millis(number(row, 1)?),
        room: RoomId(id(row, 2)?),
        seq: Seq(number(row, 3)?),
        done: get::<Option<i64>>(row, 4)?.map(|at| Millis(at.cast_unsigned())),
    })
}

/// Puts a row in place of the one that is there.
pub(super) async fn put(session: &Session, one: &Erasure) -> Result<u64, Fault> {
    let sql = "INSERT INTO accounts.erasures (user_id, begun, room, seq, done) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (user_id) DO UPDATE SET begun = excluded.begun, room = excluded.room, seq = excluded.seq, done = excluded.done";
    let (begun, seq, done) = (bits(one.begun.0), bits(one.seq.0), one.done.map(|at| bits(at.0)));
    session.execute(sql, &[&uuid(one.user.0), &begun, &uuid(one.room.0), &seq, &done]).await
}

async fn erase(database: &Database, user: UserId, wall: Millis) -> Result<Option<Vec<Revocation>>, Fault> {
    let locks = of_account(user);
    database
        .change(async |session| {
            session.execute(TAKE, &[&locks]).await?;
            let Some(ended) = remove_in(session, user, wall).await? else {
                return Ok(Verdict::Rollback(None));
            };
            note(session, user, SessionId::NIL, AuditKind::Erased, wall).await?;
            let begun = Erasure { user, begun: wall, room: RoomId::NIL, seq: Seq(0), done: None };
            put(session, &begun).await?;
            Ok(Verdict::Commit(Some(ended)))
        })
        .await
}

async fn advance(
    database: &Database,
    user: UserId,
    place: (RoomId, Seq),
    done: Option<Millis>,
) -> Result<(), Fault> {
    let locks = of_account(user);
    database
        .change(async |session| {
            session.execute(TAKE, &[&locks]).await?;
            let sql = "SELECT user_id, begun, room, seq, done FROM accounts.erasures
                WHERE user_id = $1 AND done IS NULL";
            let Some(row) = session.row(sql, &[&uuid(user.0)]).await? else {
                return Ok(Verdict::Rollback(()));
            };
            // Numbers are compared here: those of the table are signed.
            let mut one = erasure(&row)?;
            (one.room, one.seq) = (one.room, one.seq).max(place);
            one.done = done;
            put(session, &one).await?;
            Ok(Verdict::Commit(()))
        })
        .await
}

async fn forget_names(database: &Database, wall: Millis, limit: u32) -> Result<u32, Fault> {
    let Some(over) = wall.0.checked_sub(NAME_RESERVED_MILLIS) else { return Ok(0) };
    // A name that somebody takes in the same moment is left to them.
    let sql = "DELETE FROM accounts.names WHERE folded IN (
            SELECT folded FROM accounts.names WHERE freed <= $1 ORDER BY freed LIMIT $2 FOR UPDATE SKIP LOCKED)
        AND freed <= $1";
    database
        .change(async |session| {
            let forgotten = session.execute(sql, &[&bits(over), &i64::from(limit)]).await?;
            Ok(Verdict::Commit(u32::try_from(forgotten).unwrap_or(u32::MAX)))
        })
        .await
}
