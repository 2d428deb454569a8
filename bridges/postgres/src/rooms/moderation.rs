//! What moderators did.
//!
//! Thread: the bridge's; acts are numbered under the room's lock.

use lynk_domain::{Millis, RoomId, UserId};
use lynk_model::{Act, ActKind};
use tokio_postgres::Row;

use crate::Fault;
use crate::column::{bits, get, id, known, number, uuid};
use crate::database::{Database, Session, Verdict};
use crate::locks::{Locks, Of, TAKE};

/// Acts that are too old and that one act has dropped, so that none pays for many.
const PRUNED_MAX: i64 = 32;

/// Seven columns from `first` on.
pub(super) fn act(row: &Row, first: usize) -> Result<Act, Fault> {
    Ok(Act {
        number: number(row, first)?,
        at: Millis(number(row, first + 1)?),
        by: UserId(id(row, first + 2)?),
        kind: known(row, first + 3, ActKind::from_u8)?,
        subject: id(row, first + 4)?,
        value: number(row, first + 5)?,
        reason: get(row, first + 6)?,
    })
}

/// Puts the row of an act in place of the one there is.
pub(super) async fn put(session: &Session, room: RoomId, act: &Act) -> Result<(), Fault> {
    let sql = "INSERT INTO rooms.moderation (room, number, at, by_user, kind, subject, value, reason)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (room, number) DO UPDATE SET at = excluded.at, by_user = excluded.by_user,
            kind = excluded.kind, subject = excluded.subject, value = excluded.value, reason = excluded.reason";
    let (room, by, subject) = (uuid(room.0), uuid(act.by.0), uuid(act.subject));
    let (number, at, value) = (bits(act.number), bits(act.at.0), bits(act.value));
    let kind = act.kind as i16;
    session.execute(sql, &[&room, &number, &at, &by, &kind, &subject, &value, &act.reason]).await?;
    Ok(())
}

/// Keeps an act, and drops some that are older than `life`.
pub(super) async fn keep(session: &Session, room: RoomId, act: &Act, life: u64) -> Result<(), Fault> {
    let last = "SELECT coalesce(max(number), 0) FROM rooms.moderation WHERE room = $1";
    let row = session.row(last, &[&uuid(room.0)]).await?;
    let last = row.map_or(Ok(0), |row| number(&row, 0))?;
    put(session, room, &Act { number: last + 1, ..act.clone() }).await?;
    // Rows that another command is forgetting are left to it.
    let sql = "DELETE FROM rooms.moderation WHERE (room, number) IN (
        SELECT room, number FROM rooms.moderation WHERE at <= $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)";
    session.execute(sql, &[&bits(act.at.0.saturating_sub(life)), &PRUNED_MAX]).await?;
    Ok(())
}

/// Keeps an act that is no transaction of this store: somebody deleted a message. A message is deleted once.
pub(super) async fn note(database: &Database, room: RoomId, act: &Act, life: u64) -> Result<(), Fault> {
    let locks = Locks::default().with(Of::Room, &room.0).sorted();
    let (at, value) = (uuid(room.0), bits(act.value));
    database
        .change(async |session| {
            session.execute(TAKE, &[&locks]).await?;
            let fresh = "SELECT 1 FROM rooms.rooms WHERE room = $1 AND deleted = 0 AND NOT EXISTS (
                SELECT 1 FROM rooms.moderation WHERE room = $1 AND value = $2 AND kind = 9)";
            if session.row(fresh, &[&at, &value]).await?.is_some() {
                keep(session, room, act, life).await?;
            }
            Ok(Verdict::Commit(()))
        })
        .await
}

/// The newest before a number (0 for the newest of all) that are not older than `life`, newest first.
pub(super) async fn page(
    database: &Database,
    room: RoomId,
    (before, wall, limit): (u64, Millis, u32),
    life: u64,
) -> Result<Vec<Act>, Fault> {
    let sql = "SELECT number, at, by_user, kind, subject, value, reason FROM rooms.moderation
        WHERE room = $1 AND ($2::bigint = 0 OR number < $2) AND at > $3 ORDER BY number DESC LIMIT $4";
    let (room, before, limit) = (uuid(room.0), bits(before), i64::from(limit));
    let oldest = bits(wall.0.saturating_sub(life));
    let rows = database.read(async |session| session.rows(sql, &[&room, &before, &oldest, &limit]).await);
    rows.await?.iter().map(|row| act(row, 0)).collect()
}
