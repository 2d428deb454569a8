//! What people report.
//!
//! Thread: the bridge's; changes under the locks of the room and of the user whose reports are counted.

use lynk_domain::{Millis, RoomId, Seq, UserId};
use lynk_model::{
    MetaOutcome, MetaTransaction, REPORT_DAY_MILLIS, REPORTS_PER_DAY_MAX, REPORTS_PER_ROOM_MAX, Report,
    ReportKind, ReportOutcome, ReportQuery, ReportReason, Resolution,
};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::change::Room;
use crate::Fault;
use crate::column::{bits, get, id, known, number, uuid};
use crate::database::{Database, Session};

/// Reports that are too old and that one report has dropped, so that none pays for many.
const PRUNED_MAX: i64 = 32;
/// What a report is read from.
const SELECT: &str =
    "SELECT room, number, reporter, kind, user_id, seq, reason, comment, text, at, outcome, by_user, done, note
    FROM rooms.reports";

pub(super) fn report(row: &Row) -> Result<Report, Fault> {
    let open: i16 = get(row, 10)?;
    Ok(Report {
        room: RoomId(id(row, 0)?),
        number: number(row, 1)?,
        reporter: UserId(id(row, 2)?),
        kind: known(row, 3, ReportKind::from_u8)?,
        user: UserId(id(row, 4)?),
        seq: Seq(number(row, 5)?),
        reason: known(row, 6, ReportReason::from_u8)?,
        comment: get(row, 7)?,
        text: get(row, 8)?,
        at: Millis(number(row, 9)?),
        outcome: if open == 0 { None } else { Some(known(row, 10, ReportOutcome::from_u8)?) },
        by: UserId(id(row, 11)?),
        done: Millis(number(row, 12)?),
        note: get(row, 13)?,
    })
}

async fn rows(session: &Session, rest: &str, sent: &[&(dyn ToSql + Sync)]) -> Result<Vec<Report>, Fault> {
    session.rows(&format!("{SELECT} {rest}"), sent).await?.iter().map(report).collect()
}

/// Puts the row of a report in place of the one there is.
pub(super) async fn put(session: &Session, report: &Report) -> Result<(), Fault> {
    remove(session, report.room, report.number).await?;
    let sql = "INSERT INTO rooms.reports
        (room, number, reporter, kind, user_id, seq, reason, comment, text, at, outcome, by_user, done, note)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
    let outcome = report.outcome.map_or(0, |outcome| outcome as i16);
    session
        .execute(
            sql,
            &[
                &uuid(report.room.0),
                &bits(report.number),
                &uuid(report.reporter.0),
                &(report.kind as i16),
                &uuid(report.user.0),
                &bits(report.seq.0),
                &(report.reason as i16),
                &report.comment,
                &report.text,
                &bits(report.at.0),
                &outcome,
                &uuid(report.by.0),
                &bits(report.done.0),
                &report.note,
            ],
        )
        .await?;
    Ok(())
}

pub(super) async fn remove(session: &Session, room: RoomId, number: u64) -> Result<(), Fault> {
    let sql = "DELETE FROM rooms.reports WHERE room = $1 AND number = $2";
    session.execute(sql, &[&uuid(room.0), &bits(number)]).await?;
    Ok(())
}

async fn count(session: &Session, sql: &str, sent: &[&(dyn ToSql + Sync)]) -> Result<i64, Fault> {
    session.row(sql, sent).await?.map_or(Ok(0), |row| get(&row, 0))
}

/// Keeps a report, and drops some that were resolved longer than `life` ago.
pub(super) async fn make(
    session: &Session,
    command: &MetaTransaction,
    room: Option<Room>,
    report: &Report,
    life: u64,
) -> Result<MetaOutcome, Fault> {
    if room.is_none_or(|room| room.deleted > Millis(0)) {
        return Ok(MetaOutcome::Missing);
    }
    let (room, reporter, wall) = (uuid(command.room.0), uuid(report.reporter.0), command.wall.0);
    let same = "SELECT 1 FROM rooms.reports WHERE room = $1 AND outcome = 0 AND reporter = $2 AND kind = $3
        AND seq = $4 AND user_id = $5";
    let (kind, seq, user) = (report.kind as i16, bits(report.seq.0), uuid(report.user.0));
    if session.row(same, &[&room, &reporter, &kind, &seq, &user]).await?.is_some() {
        return Ok(MetaOutcome::Exists);
    }
    let day = bits(wall.saturating_sub(REPORT_DAY_MILLIS));
    let of_user = "SELECT count(*) FROM rooms.reports WHERE reporter = $1 AND at > $2";
    let of_user = count(session, of_user, &[&reporter, &day]).await?;
    let open = "SELECT count(*) FROM rooms.reports WHERE room = $1 AND outcome = 0";
    let open = count(session, open, &[&room]).await?;
    if of_user >= i64::from(REPORTS_PER_DAY_MAX) || open >= i64::from(REPORTS_PER_ROOM_MAX) {
        return Ok(MetaOutcome::Limit);
    }
    let last = "SELECT coalesce(max(number), 0) FROM rooms.reports WHERE room = $1";
    let last = count(session, last, &[&room]).await?.cast_unsigned();
    // Rows that another command is forgetting are left to it.
    let over = "DELETE FROM rooms.reports WHERE (room, number) IN (
        SELECT room, number FROM rooms.reports WHERE outcome > 0 AND done <= $1
        ORDER BY done LIMIT $2 FOR UPDATE SKIP LOCKED)";
    session.execute(over, &[&bits(wall.saturating_sub(life)), &PRUNED_MAX]).await?;
    put(session, &Report { number: last + 1, ..report.clone() }).await?;
    Ok(MetaOutcome::Reported { number: last + 1, user: report.user })
}

pub(super) async fn resolve(
    session: &Session,
    command: &MetaTransaction,
    resolution: &Resolution,
) -> Result<MetaOutcome, Fault> {
    // A moderator (an operator is nil) decides neither about itself nor about the room (kind 3).
    let sql = "UPDATE rooms.reports SET outcome = $4, by_user = $3, done = $5, note = $6
        WHERE room = $1 AND number = $2 AND outcome = 0 AND ($7 OR (kind <> 3 AND user_id <> $3))
        RETURNING user_id";
    let (room, actor) = (uuid(command.room.0), uuid(command.actor.0));
    let (number, done, outcome) = (bits(resolution.number), bits(command.wall.0), resolution.outcome as i16);
    let operator = command.actor.is_nil();
    let sent: [&(dyn ToSql + Sync); 7] =
        [&room, &number, &actor, &outcome, &done, &resolution.note, &operator];
    Ok(match session.row(sql, &sent).await? {
        Some(row) => MetaOutcome::Reported { number: resolution.number, user: UserId(id(&row, 0)?) },
        None => MetaOutcome::NoReport,
    })
}

/// Those of a room that `viewer` may see, newest first.
pub(super) async fn page(
    database: &Database,
    room: RoomId,
    (open, before, viewer, limit): (bool, u64, UserId, u32),
) -> Result<Vec<Report>, Fault> {
    let rest = "WHERE room = $1 AND (outcome = 0) = $2 AND ($3::bigint = 0 OR number < $3) AND kind <> 3
        AND user_id <> $4 ORDER BY number DESC LIMIT $5";
    let (room, before, viewer, limit) = (uuid(room.0), bits(before), uuid(viewer.0), i64::from(limit));
    database.read(async |session| rows(session, rest, &[&room, &open, &before, &viewer, &limit]).await).await
}

/// Those of all rooms that are asked for.
pub(super) async fn all(database: &Database, query: &ReportQuery) -> Result<Vec<Report>, Fault> {
    match *query {
        ReportQuery::One(room, number) => {
            database.read(async |session| one(session, room, number).await).await.map(Vec::from_iter)
        }
        ReportQuery::All { open, before, limit } => {
            let rest = "WHERE (outcome = 0) = $1 AND ($2::bigint = 0 OR at < $2)
                ORDER BY at DESC, room DESC, number DESC LIMIT $3";
            let (before, limit) = (bits(before.0), i64::from(limit));
            database.read(async |session| rows(session, rest, &[&open, &before, &limit]).await).await
        }
        ReportQuery::By { reporter, after: (room, number), limit } => {
            let rest = "WHERE reporter = $1 AND (room, number) > ($2, $3) ORDER BY room, number LIMIT $4";
            let of = (uuid(reporter.0), uuid(room.0), bits(number), i64::from(limit));
            database.read(async |session| rows(session, rest, &[&of.0, &of.1, &of.2, &of.3]).await).await
        }
    }
}

pub(super) async fn one(session: &Session, room: RoomId, number: u64) -> Result<Option<Report>, Fault> {
    let found = rows(session, "WHERE room = $1 AND number = $2", &[&uuid(room.0), &bits(number)]).await?;
    Ok(found.into_iter().next())
}

/// Those after one, by room and number.
pub(super) async fn after(
    session: &Session,
    room: RoomId,
    number: u64,
    limit: i64,
) -> Result<Vec<Report>, Fault> {
    let rest = "WHERE (room, number) > ($1, $2) ORDER BY room, number LIMIT $3";
    rows(session, rest, &[&uuid(room.0), &bits(number), &limit]).await
}
