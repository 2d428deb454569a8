//! What moderators did.

use lynk_domain::{Millis, RoomId, UserId};
use lynk_model::{Act, ActKind};
use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params};

use crate::Fault;
use crate::sqlite::{bits, commit, number, unreadable};

/// Acts that are too old and that one act has dropped, so that none pays for many.
const PRUNED_MAX: u32 = 32;

/// Seven columns from `first` on.
pub(super) fn act(row: &Row<'_>, first: usize) -> rusqlite::Result<Act> {
    let kind = ActKind::from_u8(row.get(first + 3)?);
    Ok(Act {
        number: number(row, first)?,
        at: Millis(number(row, first + 1)?),
        by: UserId(row.get(first + 2)?),
        kind: kind.ok_or_else(|| unreadable(first + 3, "an act that this program does not know"))?,
        subject: row.get(first + 4)?,
        value: number(row, first + 5)?,
        reason: row.get(first + 6)?,
    })
}

/// Adds the row of an act.
pub(super) fn put(tx: &Transaction<'_>, room: RoomId, act: &Act) -> Result<(), Fault> {
    let sql = "INSERT OR REPLACE INTO moderation (room, number, at, by, kind, subject, value, reason)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let (number, at, value) = (bits(act.number), bits(act.at.0), bits(act.value));
    let values = params![room.0, number, at, act.by.0, act.kind as u8, act.subject, value, act.reason];
    tx.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

/// Keeps an act, and drops some that are older than `life`.
pub(super) fn keep(tx: &Transaction<'_>, room: RoomId, act: &Act, life: u64) -> Result<(), Fault> {
    let last = "SELECT coalesce(max(number), 0) FROM moderation WHERE room = ?1";
    let last: u64 = tx.prepare_cached(last)?.query_row([room.0], |row| number(row, 0))?;
    put(tx, room, &Act { number: last + 1, ..act.clone() })?;
    let sql = "DELETE FROM moderation WHERE (room, number) IN (
        SELECT room, number FROM moderation WHERE at <= ?1 ORDER BY at LIMIT ?2)";
    tx.prepare_cached(sql)?.execute((bits(act.at.0.saturating_sub(life)), PRUNED_MAX))?;
    Ok(())
}

/// Keeps an act that is no transaction of this store: somebody deleted a message. A message is deleted once.
pub(super) fn note(connection: &mut Connection, room: RoomId, act: &Act, life: u64) -> Result<(), Fault> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let stands = "SELECT 1 FROM rooms WHERE room = ?1 AND deleted = 0";
    let known = "SELECT 1 FROM moderation WHERE room = ?1 AND value = ?2 AND kind = 9";
    if tx.prepare_cached(stands)?.exists([room.0])?
        && !tx.prepare_cached(known)?.exists((room.0, bits(act.value)))?
    {
        keep(&tx, room, act, life)?;
    }
    commit(tx)
}

/// The newest before a number (0 for the newest of all) that are not older than `life`, newest first.
pub(super) fn page(
    connection: &Connection,
    room: RoomId,
    (before, wall, limit): (u64, Millis, u32),
    life: u64,
) -> Result<Vec<Act>, Fault> {
    let sql = "SELECT number, at, by, kind, subject, value, reason FROM moderation
        WHERE room = ?1 AND (?2 = 0 OR number < ?2) AND at > ?3 ORDER BY number DESC LIMIT ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let values = (room.0, bits(before), bits(wall.0.saturating_sub(life)), limit);
    let rows = statement.query_map(values, |row| act(row, 0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
