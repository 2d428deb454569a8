//! What people report.

use lynk_domain::{Millis, RoomId, Seq, UserId};
use lynk_model::{
    MetaOutcome, MetaTransaction, REPORT_DAY_MILLIS, REPORTS_PER_DAY_MAX, REPORTS_PER_ROOM_MAX, Report,
    ReportKind, ReportOutcome, ReportQuery, ReportReason, Resolution,
};
use rusqlite::{Connection, OptionalExtension, Params, Row, Transaction, params};

use crate::Fault;
use crate::sqlite::{bits, number, unreadable};

/// Reports that are too old and that one report has dropped, so that none pays for many.
const PRUNED_MAX: u32 = 32;
/// What a report is read from.
const SELECT: &str =
    "SELECT room, number, reporter, kind, user, seq, reason, comment, text, at, outcome, by, done, note
    FROM reports";

fn known<T>(found: Option<T>, column: usize) -> rusqlite::Result<T> {
    found.ok_or_else(|| unreadable(column, "a value that this program does not know"))
}

fn report(row: &Row<'_>) -> rusqlite::Result<Report> {
    let outcome: u8 = row.get(10)?;
    Ok(Report {
        room: RoomId(row.get(0)?),
        number: number(row, 1)?,
        reporter: UserId(row.get(2)?),
        kind: known(ReportKind::from_u8(row.get(3)?), 3)?,
        user: UserId(row.get(4)?),
        seq: Seq(number(row, 5)?),
        reason: known(ReportReason::from_u8(row.get(6)?), 6)?,
        comment: row.get(7)?,
        text: row.get(8)?,
        at: Millis(number(row, 9)?),
        outcome: if outcome == 0 { None } else { Some(known(ReportOutcome::from_u8(outcome), 10)?) },
        by: UserId(row.get(11)?),
        done: Millis(number(row, 12)?),
        note: row.get(13)?,
    })
}

fn rows(connection: &Connection, rest: &str, params: impl Params) -> Result<Vec<Report>, Fault> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} {rest}"))?;
    let rows = statement.query_map(params, report)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Puts the row of a report in place of the one there is.
pub(super) fn put(tx: &Transaction<'_>, report: &Report) -> Result<(), Fault> {
    let sql = "INSERT OR REPLACE INTO reports
        (room, number, reporter, kind, user, seq, reason, comment, text, at, outcome, by, done, note)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    tx.prepare_cached(sql)?.execute(params![
        report.room.0,
        bits(report.number),
        report.reporter.0,
        report.kind as u8,
        report.user.0,
        bits(report.seq.0),
        report.reason as u8,
        report.comment,
        report.text,
        bits(report.at.0),
        report.outcome.map_or(0, |outcome| outcome as u8),
        report.by.0,
        bits(report.done.0),
        report.note
    ])?;
    Ok(())
}

pub(super) fn remove(tx: &Transaction<'_>, room: RoomId, number: u64) -> Result<(), Fault> {
    tx.prepare_cached("DELETE FROM reports WHERE room = ?1 AND number = ?2")?
        .execute((room.0, bits(number)))?;
    Ok(())
}

/// Keeps a report, and drops some that were resolved longer than `life` ago.
pub(super) fn make(
    tx: &Transaction<'_>,
    command: &MetaTransaction,
    report: &Report,
    life: u64,
) -> Result<MetaOutcome, Fault> {
    let (room, wall) = (command.room, command.wall.0);
    let stands = "SELECT 1 FROM rooms WHERE room = ?1 AND deleted = 0";
    if !tx.prepare_cached(stands)?.exists([room.0])? {
        return Ok(MetaOutcome::Missing);
    }
    let same = "SELECT 1 FROM reports WHERE room = ?1 AND outcome = 0 AND reporter = ?2 AND kind = ?3
        AND seq = ?4 AND user = ?5";
    let subject = (room.0, report.reporter.0, report.kind as u8, bits(report.seq.0), report.user.0);
    if tx.prepare_cached(same)?.exists(subject)? {
        return Ok(MetaOutcome::Exists);
    }
    let of_user = "SELECT count(*) FROM reports WHERE reporter = ?1 AND at > ?2";
    let day = bits(wall.saturating_sub(REPORT_DAY_MILLIS));
    let of_user: u32 = tx.prepare_cached(of_user)?.query_row((report.reporter.0, day), |row| row.get(0))?;
    let open = "SELECT count(*) FROM reports WHERE room = ?1 AND outcome = 0";
    let open: u32 = tx.prepare_cached(open)?.query_row([room.0], |row| row.get(0))?;
    if of_user >= REPORTS_PER_DAY_MAX || open >= REPORTS_PER_ROOM_MAX {
        return Ok(MetaOutcome::Limit);
    }
    let last = "SELECT coalesce(max(number), 0) FROM reports WHERE room = ?1";
    let last: u64 = tx.prepare_cached(last)?.query_row([room.0], |row| number(row, 0))?;
    let over = "DELETE FROM reports WHERE (room, number) IN (
        SELECT room, number FROM reports WHERE outcome > 0 AND done <= ?1 ORDER BY done LIMIT ?2)";
    tx.prepare_cached(over)?.execute((bits(wall.saturating_sub(life)), PRUNED_MAX))?;
    put(tx, &Report { number: last + 1, ..report.clone() })?;
    Ok(MetaOutcome::Reported { number: last + 1, user: report.user })
}

pub(super) fn resolve(
    tx: &Transaction<'_>,
    command: &MetaTransaction,
    resolution: &Resolution,
) -> Result<MetaOutcome, Fault> {
    // A moderator (an operator is nil) decides neither about itself nor about the room (kind 3).
    let sql = "UPDATE reports SET outcome = ?4, by = ?3, done = ?5, note = ?6
        WHERE room = ?1 AND number = ?2 AND outcome = 0 AND (?7 OR (kind <> 3 AND user <> ?3))
        RETURNING user";
    let actor = command.actor;
    let (number, done) = (bits(resolution.number), bits(command.wall.0));
    let outcome = resolution.outcome as u8;
    let values = params![command.room.0, number, actor.0, outcome, done, resolution.note, actor.is_nil()];
    let user = tx.prepare_cached(sql)?.query_row(values, |row| row.get(0)).optional()?;
    let number = resolution.number;
    Ok(user.map_or(MetaOutcome::NoReport, |user| MetaOutcome::Reported { number, user: UserId(user) }))
}

/// Those of a room that `viewer` may see, newest first.
pub(super) fn page(
    connection: &Connection,
    room: RoomId,
    (open, before, viewer, limit): (bool, u64, UserId, u32),
) -> Result<Vec<Report>, Fault> {
    let rest =
        "WHERE room = ?1 AND (outcome = 0) = ?2 AND (?3 = 0 OR number < ?3) AND kind <> 3 AND user <> ?4
        ORDER BY number DESC LIMIT ?5";
    rows(connection, rest, (room.0, open, bits(before), viewer.0, limit))
}

/// Those of all rooms that are asked for.
pub(super) fn all(connection: &Connection, query: &ReportQuery) -> Result<Vec<Report>, Fault> {
    match *query {
        ReportQuery::One(room, number) => {
            rows(connection, "WHERE room = ?1 AND number = ?2", (room.0, bits(number)))
        }
        ReportQuery::All { open, before, limit } => {
            let rest = "WHERE (outcome = 0) = ?1 AND (?2 = 0 OR at < ?2)
                ORDER BY at DESC, room DESC, number DESC LIMIT ?3";
            rows(connection, rest, (open, bits(before.0), limit))
        }
        ReportQuery::By { reporter, after: (room, number), limit } => {
            let rest = "WHERE reporter = ?1 AND (room, number) > (?2, ?3) ORDER BY room, number LIMIT ?4";
            rows(connection, rest, (reporter.0, room.0, bits(number), limit))
        }
    }
}

/// Those after one, by room and number.
pub(super) fn after(
    connection: &Connection,
    room: RoomId,
    number: u64,
    limit: u32,
) -> Result<Vec<Report>, Fault> {
    let rest = "WHERE (room, number) > (?1, ?2) ORDER BY room, number LIMIT ?3";
    rows(connection, rest, (room.0, bits(number), limit))
}
