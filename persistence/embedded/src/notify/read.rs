//! Reads of notifications.

use std::collections::BTreeSet;

use lynk_domain::{MessageId, Millis, RoomId, Seq, SessionId, UserId};
use lynk_model::notify::{
    Decision, Device, Known, Pending, Platform, Provider, Push, PushCause, PushId, PushState, PushToken,
    Reason, Wanted,
};
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use crate::Fault;
use crate::sqlite::{bits, number, unreadable};

/// Pushes that one answer about a message has at most.
const WHY_PUSHES_MAX: u32 = 100;

fn known<T>(row: &Row<'_>, column: usize, of: fn(u8) -> Option<T>) -> rusqlite::Result<T> {
    of(row.get(column)?).ok_or_else(|| unreadable(column, "an unknown number"))
}

fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    of: fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, of)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) const DEVICE: &str = "session, user, provider, token, platform, id_only, created, last_ok";

pub(super) fn device(row: &Row<'_>) -> rusqlite::Result<Device> {
    let token: String = row.get(3)?;
    Ok(Device {
        session: SessionId(row.get(0)?),
        user: UserId(row.get(1)?),
        provider: known(row, 2, Provider::from_u8)?,
        token: PushToken::parse(&token).ok_or_else(|| unreadable(3, "not a token"))?,
        platform: known(row, 4, Platform::from_u8)?,
        id_only: row.get(5)?,
        created: Millis(number(row, 6)?),
        last_ok: row.get::<_, Option<i64>>(7)?.map(|at| Millis(at.cast_unsigned())),
    })
}

pub(super) const PENDING: &str =
    "user, room, first, upto, message, messages, mention, since, due, window_end, pushed";

pub(super) fn pending(row: &Row<'_>) -> rusqlite::Result<Pending> {
    Ok(Pending {
        wanted: Wanted {
            user: UserId(row.get(0)?),
            room: RoomId(row.get(1)?),
            from: Seq(number(row, 2)?),
            upto: Seq(number(row, 3)?),
            message: MessageId(row.get(4)?),
            messages: row.get(5)?,
            mention: row.get(6)?,
            since: Millis(number(row, 7)?),
            due: Millis(number(row, 8)?),
        },
        window_end: Millis(number(row, 9)?),
        pushed: Seq(number(row, 10)?),
    })
}

pub(super) const PUSH: &str =
    "id, user, room, session, first, upto, message, messages, mention, state, cause, dropped,
    attempts, at, next, told";

pub(super) fn push(row: &Row<'_>) -> rusqlite::Result<Push> {
    let dropped: u8 = row.get(11)?;
    Ok(Push {
        id: PushId(row.get(0)?),
        user: UserId(row.get(1)?),
        room: RoomId(row.get(2)?),
        session: SessionId(row.get(3)?),
        from: Seq(number(row, 4)?),
        upto: Seq(number(row, 5)?),
        message: MessageId(row.get(6)?),
        messages: row.get(7)?,
        mention: row.get(8)?,
        state: known(row, 9, PushState::from_u8)?,
        cause: known(row, 10, PushCause::from_u8)?,
        dropped: match dropped {
            0 => None,
            _ => Some(known(row, 11, Reason::from_u8)?),
        },
        attempts: row.get(12)?,
        at: Millis(number(row, 13)?),
        next: Millis(number(row, 14)?),
        told: row.get(15)?,
    })
}

pub(super) fn decision(row: &Row<'_>) -> rusqlite::Result<Decision> {
    Ok(Decision {
        user: UserId(row.get(0)?),
        room: RoomId(row.get(1)?),
        first: Seq(number(row, 2)?),
        last: Seq(number(row, 3)?),
        reason: known(row, 4, Reason::from_u8)?,
        at: Millis(number(row, 5)?),
    })
}

pub(super) fn devices(connection: &Connection, user: UserId) -> Result<Vec<Device>, Fault> {
    let sql = format!("SELECT {DEVICE} FROM devices WHERE user = ?1 ORDER BY created, session");
    all(connection, &sql, [user.0], device)
}

pub(super) fn any_device(connection: &Connection) -> Result<bool, Fault> {
    Ok(connection.prepare_cached("SELECT 1 FROM devices LIMIT 1")?.exists([])?)
}

pub(super) fn with_devices(connection: &Connection, users: &[UserId]) -> Result<Vec<UserId>, Fault> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM devices WHERE user = ?1 LIMIT 1")?;
    let mut found = BTreeSet::new();
    for user in users {
        if statement.exists([user.0])? {
            found.insert(*user);
        }
    }
    Ok(found.into_iter().collect())
}

pub(super) fn taken_of(connection: &Connection, room: RoomId) -> Result<Seq, Fault> {
    let mut statement = connection.prepare_cached("SELECT seq FROM taken WHERE room = ?1")?;
    let seq = statement.query_row([room.0], |row| number(row, 0)).optional()?;
    Ok(Seq(seq.unwrap_or(0)))
}

pub(super) fn taken(connection: &Connection, rooms: &[RoomId]) -> Result<Vec<Seq>, Fault> {
    rooms.iter().map(|room| taken_of(connection, *room)).collect()
}

pub(super) fn due(connection: &Connection, now: Millis, limit: u32) -> Result<Vec<Pending>, Fault> {
    let sql = format!(
        "SELECT {PENDING} FROM pending WHERE messages > 0 AND due <= ?1 ORDER BY due, user, room LIMIT ?2"
    );
    all(connection, &sql, params![bits(now.0), limit], pending)
}

pub(super) fn retries(connection: &Connection, now: Millis, limit: u32) -> Result<Vec<Push>, Fault> {
    let sql = format!("SELECT {PUSH} FROM pushes WHERE state = 2 AND next <= ?1 ORDER BY next, id LIMIT ?2");
    all(connection, &sql, params![bits(now.0), limit], push)
}

pub(super) fn next_due(connection: &Connection) -> Result<Option<Millis>, Fault> {
    let first = |sql: &str| -> Result<Option<Millis>, Fault> {
        let mut statement = connection.prepare_cached(sql)?;
        Ok(statement.query_row([], |row| number(row, 0)).optional()?.map(Millis))
    };
    let pending = first("SELECT due FROM pending WHERE messages > 0 ORDER BY due LIMIT 1")?;
    let retries = first("SELECT next FROM pushes WHERE state = 2 ORDER BY next LIMIT 1")?;
    Ok(pending.into_iter().chain(retries).min())
}

pub(super) fn rooms_of(connection: &Connection, user: UserId, limit: u32) -> Result<Vec<RoomId>, Fault> {
    let sql = "SELECT room FROM pending WHERE user = ?1 ORDER BY window_end DESC, room LIMIT ?2";
    all(connection, sql, params![user.0, limit], |row| Ok(RoomId(row.get(0)?)))
}

pub(super) fn why(connection: &Connection, user: UserId, room: RoomId, seq: Seq) -> Result<Known, Fault> {
    let of = |user: UserId| -> Result<Option<Decision>, Fault> {
        let sql = "SELECT user, room, first, last, reason, at FROM decisions
            WHERE user = ?1 AND room = ?2 AND first <= ?3 ORDER BY first DESC LIMIT 1";
        let mut statement = connection.prepare_cached(sql)?;
        let found = statement.query_row(params![user.0, room.0, bits(seq.0)], decision).optional()?;
        Ok(found.filter(|decision| decision.last >= seq))
    };
    let decision = match of(user)? {
        Some(decision) => Some(decision),
        None => of(UserId::NIL)?,
    };
    let sql = format!("SELECT {PENDING} FROM pending WHERE user = ?1 AND room = ?2");
    let pending = connection.prepare_cached(&sql)?.query_row(params![user.0, room.0], pending).optional()?;
    let sql = format!(
        "SELECT {PUSH} FROM pushes WHERE user = ?1 AND room = ?2 AND upto >= ?3 AND first <= ?3
         ORDER BY upto, id LIMIT {WHY_PUSHES_MAX}"
    );
    let pushes = all(connection, &sql, params![user.0, room.0, bits(seq.0)], push)?;
    Ok(Known {
        decision,
        pending,
        pushes,
        devices: devices(connection, user)?,
        taken: taken_of(connection, room)?,
    })
}

pub(super) fn dead(connection: &Connection, untold: bool, limit: u32) -> Result<Vec<Push>, Fault> {
    let rest = if untold { "AND told = 0 ORDER BY at, id" } else { "ORDER BY at DESC, id DESC" };
    all(connection, &format!("SELECT {PUSH} FROM pushes WHERE state = 4 {rest} LIMIT ?1"), [limit], push)
}
