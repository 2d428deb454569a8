//! Conversations of two that strangers begin.

use lynk_domain::{Millis, Ordinal, Role, RoomId, UserId};
use lynk_model::{
    MESSAGE_REQUESTS_RECEIVED_MAX, MESSAGE_REQUESTS_WINDOW_MILLIS, MessageRequest, MetaChange, MetaOutcome,
    MetaTransaction, ROOMS_BY_OTHERS_MAX, RequestChange, RequestSide, RequestState, RoomRow, may_ask_at,
};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::change::{create, execute, is_closed, reaches, refuses};
use crate::Fault;
use crate::sqlite::{bits, commit, number, unreadable};

const DONE: MetaOutcome = MetaOutcome::Applied { version: 0, event: None };

fn state(row: &Row<'_>, column: usize) -> rusqlite::Result<RequestState> {
    RequestState::from_u8(row.get(column)?)
        .ok_or_else(|| unreadable(column, "a value that this program does not know"))
}

/// How a room began, when a stranger began it.
pub(super) fn of_room(connection: &Connection, room: RoomId) -> Result<Option<MessageRequest>, Fault> {
    let sql = "SELECT asker, user, state, at, base, decided, turns FROM message_requests WHERE room = ?1";
    let request = |row: &Row<'_>| {
        Ok(MessageRequest {
            asker: UserId(row.get(0)?),
            user: UserId(row.get(1)?),
            state: state(row, 2)?,
            at: Millis(number(row, 3)?),
            base: Ordinal(number(row, 4)?),
            decided: Millis(number(row, 5)?),
            turns: row.get(6)?,
        })
    };
    Ok(connection.prepare_cached(sql)?.query_row([room.0], request).optional()?)
}

/// Puts how a room began in place of what there is.
pub(super) fn put(tx: &Transaction<'_>, room: RoomId, request: &MessageRequest) -> Result<(), Fault> {
    let sql = "INSERT OR REPLACE INTO message_requests (room, asker, user, state, at, base, decided, turns)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let MessageRequest { asker, user, state, at, base, decided, turns } = *request;
    let (at, base, decided) = (bits(at.0), bits(base.0), bits(decided.0));
    execute(tx, sql, params![room.0, asker.0, user.0, state as u8, at, base, decided, turns])?;
    Ok(())
}

/// Whether a room waits for somebody to accept it, or was declined.
pub(super) fn awaits(connection: &Connection, room: RoomId) -> Result<bool, Fault> {
    let sql = "SELECT 1 FROM message_requests WHERE room = ?1 AND state <> 1";
    Ok(connection.prepare_cached(sql)?.exists([room.0])?)
}

/// On which side of a request `user` is, by two columns from `first` on: who asked, and what became of it.
pub(super) fn side(row: &Row<'_>, first: usize, user: UserId) -> rusqlite::Result<Option<RequestSide>> {
    let Some(asker) = row.get::<_, Option<[u8; 16]>>(first)?.map(UserId) else { return Ok(None) };
    let sides = match state(row, first + 1)? {
        RequestState::Accepted => None,
        _ if user == asker => Some(RequestSide::Sent),
        _ => Some(RequestSide::Received),
    };
    Ok(sides)
}

/// Whether `user` shares a room with `other`: not one that is not accepted, nor one to which a stranger added `user`.
pub(super) fn knows(connection: &Connection, user: UserId, other: UserId) -> Result<bool, Fault> {
    let sql = "SELECT 1 FROM members a CROSS JOIN members b ON b.room = a.room AND b.user = ?2
        WHERE a.user = ?1 AND b.by_stranger = 0
            AND NOT EXISTS (SELECT 1 FROM message_requests q WHERE q.room = a.room AND q.state <> 1) LIMIT 1";
    Ok(connection.prepare_cached(sql)?.exists((other.0, user.0))?)
}

/// Whether `actor` is somebody else than `user`, and a stranger to it.
pub(super) fn is_stranger(connection: &Connection, actor: UserId, user: UserId) -> Result<bool, Fault> {
    Ok(actor != user && !knows(connection, user, actor)?)
}

/// A member has written in a room, and is in it by itself from now on.
pub(super) fn wrote(connection: &Connection, room: RoomId, user: UserId) -> Result<(), Fault> {
    let sql = "UPDATE members SET by_stranger = 0 WHERE room = ?1 AND user = ?2 AND by_stranger <> 0";
    connection.prepare_cached(sql)?.execute((room.0, user.0))?;
    Ok(())
}

/// Forgets the requests that name a user, on either side, and the members of those rooms that were not accepted.
pub(super) fn forget(connection: &mut Connection, user: UserId) -> Result<(), Fault> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Both are members of their 1:1.
    for sql in [
        "DELETE FROM members WHERE room IN (
            SELECT m.room FROM members m CROSS JOIN message_requests q ON q.room = m.room
            WHERE m.user = ?1 AND q.state <> 1)",
        "DELETE FROM message_requests WHERE asker = ?1 OR user = ?1",
    ] {
        execute(&tx, sql, [user.0])?;
    }
    commit(tx)
}

/// What a repeated command came to.
pub(super) fn repeated(
    tx: &Transaction<'_>,
    command: &MetaTransaction,
    known: MetaOutcome,
) -> Result<MetaOutcome, Fault> {
    let (MetaOutcome::Repeated { version, seq }, MetaChange::Begin { .. }) = (&known, &command.change) else {
        return Ok(known);
    };
    let waits = of_room(tx, command.room)?.is_some_and(|request| request.state == RequestState::Pending);
    Ok(match waits {
        true => MetaOutcome::Requested { version: *version, repeated: Some(*seq) },
        false => known,
    })
}

/// Begins a 1:1; whether as a request.
pub(super) fn begin(
    tx: &Transaction<'_>,
    command: &MetaTransaction,
    row: &RoomRow,
    user: UserId,
    requests_max: u32,
) -> Result<(MetaOutcome, bool), Fault> {
    let (room, actor) = (command.room, command.actor);
    if tx.prepare_cached("SELECT 1 FROM rooms WHERE room = ?1")?.exists([room.0])? {
        return Ok((MetaOutcome::Exists, false));
    }
    for who in [actor, user] {
        if let Some(refusal) = refuses(tx, actor, who, row.kind)? {
            return Ok((refusal, false));
        }
    }
    if is_closed(tx, actor, user)? {
        return Ok((MetaOutcome::Closed, false));
    }
    let shared = knows(tx, user, actor)?;
    if !shared && let Some(refusal) = refuses_request(tx, command, user, requests_max, true)? {
        return Ok((refusal, false));
    }
    let outcome = create(tx, command, row, &[(actor, Role::Member), (user, Role::Member)])?;
    if !shared && matches!(outcome, MetaOutcome::Applied { .. }) {
        put(tx, room, &MessageRequest::new(actor, user, command.wall, Ordinal(0)))?;
    }
    Ok((outcome, !shared))
}

/// Why the actor may not ask `user`; `joins`: the room is one more of the user's. That it was declined makes no difference.
fn refuses_request(
    tx: &Transaction<'_>,
    command: &MetaTransaction,
    user: UserId,
    requests_max: u32,
    joins: bool,
) -> Result<Option<MetaOutcome>, Fault> {
    let waiting =
        "SELECT count(*) FROM (SELECT 1 FROM message_requests WHERE user = ?1 AND state = 0 LIMIT ?2)";
    let rooms = "SELECT count(*) FROM (SELECT 1 FROM members WHERE user = ?1 LIMIT ?2)";
    if joins
        && (reaches(tx, waiting, user, MESSAGE_REQUESTS_RECEIVED_MAX)?
            || reaches(tx, rooms, user, ROOMS_BY_OTHERS_MAX)?)
    {
        return Ok(Some(MetaOutcome::Closed));
    }
    let sql = "SELECT at FROM message_requests WHERE asker = ?1 AND at > ?2 ORDER BY at DESC LIMIT ?3";
    let mut statement = tx.prepare_cached(sql)?;
    let since = bits(command.wall.0.saturating_sub(MESSAGE_REQUESTS_WINDOW_MILLIS));
    let rows = statement.query_map((command.actor.0, since, requests_max), |row| number(row, 0))?;
    let asked: Vec<Millis> = rows.map(|at| at.map(Millis)).collect::<rusqlite::Result<_>>()?;
    Ok(may_ask_at(&asked, requests_max, command.wall).map(|until| MetaOutcome::TooOften { until }))
}

/// Changes what became of a request.
pub(super) fn change(
    tx: &Transaction<'_>,
    command: &MetaTransaction,
    change: RequestChange,
) -> Result<MetaOutcome, Fault> {
    let (room, actor) = (command.room, command.actor);
    let found = of_room(tx, room)?;
    let Some((next, cleared)) = found.and_then(|request| request.turned(actor, change, command.wall)) else {
        return Ok(MetaOutcome::NoRequest);
    };
    if let RequestChange::Again { requests_max, .. } = change
        && found != Some(next)
    {
        let sql = "SELECT 1 FROM blocks WHERE (by = ?1 AND user = ?2) OR (by = ?2 AND user = ?1)";
        if tx.prepare_cached(sql)?.exists((actor.0, next.user.0))? {
            return Ok(MetaOutcome::Blocked);
        }
        if is_closed(tx, actor, next.user)? {
            return Ok(MetaOutcome::Closed);
        }
        if let Some(refusal) = refuses_request(tx, command, next.user, requests_max, false)? {
            return Ok(refusal);
        }
    }
    put(tx, room, &next)?;
    if let Some((seq, n)) = cleared {
        super::change::clear(tx, room, next.user, seq, n)?;
    }
    Ok(DONE)
}
