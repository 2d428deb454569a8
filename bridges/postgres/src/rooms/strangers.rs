//! Conversations of two that strangers begin.
//!
//! Thread: the bridge's; changes under the locks of the room, of who begins it, whose requests are counted, and of who is asked.

use lynk_domain::{Millis, Ordinal, Role, RoomId, UserId};
use lynk_model::{
    MESSAGE_REQUESTS_RECEIVED_MAX, MESSAGE_REQUESTS_WINDOW_MILLIS, MessageRequest, MetaChange, MetaOutcome,
    MetaTransaction, ROOMS_BY_OTHERS_MAX, RequestChange, RequestSide, RequestState, RoomRow, may_ask_at,
};
use tokio_postgres::Row;
use uuid::Uuid;

use super::change::{create, is_closed, reaches, refuses};
use crate::Fault;
use crate::column::{bits, get, id, known, number, small, uuid};
use crate::database::{Database, Session, Verdict};

/// How a room began, when a stranger began it.
pub(crate) const OF_ROOM: &str =
    "SELECT asker, user_id, state, at, base, decided, turns FROM rooms.message_requests WHERE room = $1";
const DONE: MetaOutcome = MetaOutcome::Applied { version: 0, event: None };

/// A row of [`OF_ROOM`].
pub(crate) fn request(row: &Row) -> Result<MessageRequest, Fault> {
    Ok(MessageRequest {
        asker: UserId(id(row, 0)?),
        user: UserId(id(row, 1)?),
        state: known(row, 2, RequestState::from_u8)?,
        at: Millis(number(row, 3)?),
        base: Ordinal(number(row, 4)?),
        decided: Millis(number(row, 5)?),
        turns: small(row, 6)?,
    })
}

async fn of_room(session: &Session, room: RoomId) -> Result<Option<MessageRequest>, Fault> {
    session.row(OF_ROOM, &[&uuid(room.0)]).await?.as_ref().map(request).transpose()
}

/// Puts how a room began in place of what there is.
pub(super) async fn put(session: &Session, room: RoomId, request: &MessageRequest) -> Result<(), Fault> {
    let sql = "INSERT INTO rooms.message_requests (room, asker, user_id, state, at, base, decided, turns)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (room) DO UPDATE SET asker = excluded.asker, user_id = excluded.user_id,
            state = excluded.state, at = excluded.at, base = excluded.base, decided = excluded.decided,
            turns = excluded.turns";
    let MessageRequest { asker, user, state, at, base, decided, turns } = *request;
    let (room, asker, user) = (uuid(room.0), uuid(asker.0), uuid(user.0));
    let (at, base, decided) = (bits(at.0), bits(base.0), bits(decided.0));
    session
        .execute(sql, &[&room, &asker, &user, &(state as i16), &at, &base, &decided, &i64::from(turns)])
        .await?;
    Ok(())
}

/// Whether a room waits for somebody to accept it, or was declined.
pub(super) async fn awaits(database: &Database, room: RoomId) -> Result<bool, Fault> {
    let sql = "SELECT 1 FROM rooms.message_requests WHERE room = $1 AND state <> 1";
    let row = database.read(async |session| session.row(sql, &[&uuid(room.0)]).await).await?;
    Ok(row.is_some())
}

/// On which side of a request `user` is, by two columns from `first` on: who asked, and what became of it.
pub(super) fn side(row: &Row, first: usize, user: UserId) -> Result<Option<RequestSide>, Fault> {
    let Some(asker) = get::<Option<Uuid>>(row, first)? else { return Ok(None) };
    Ok(match known(row, first + 1, RequestState::from_u8)? {
        RequestState::Accepted => None,
        _ if asker == uuid(user.0) => Some(RequestSide::Sent),
        _ => Some(RequestSide::Received),
    })
}

/// Whether `user` shares a room with `other`: not one that is not accepted, nor one to which a stranger added `user`.
pub(super) async fn knows(session: &Session, user: UserId, other: UserId) -> Result<bool, Fault> {
    let sql = "SELECT 1 FROM rooms.members a JOIN rooms.members b ON b.room = a.room AND b.user_id = $2
        WHERE a.user_id = $1 AND NOT b.by_stranger AND NOT EXISTS (
            SELECT 1 FROM rooms.message_requests q WHERE q.room = a.room AND q.state <> 1
        ) LIMIT 1";
    Ok(session.row(sql, &[&uuid(other.0), &uuid(user.0)]).await?.is_some())
}

/// Whether `actor` is somebody else than `user`, and a stranger to it.
pub(super) async fn is_stranger(session: &Session, actor: UserId, user: UserId) -> Result<bool, Fault> {
    Ok(actor != user && !knows(session, user, actor).await?)
}

/// A member has written in a room, and is in it by itself from now on.
pub(super) async fn wrote(database: &Database, room: RoomId, user: UserId) -> Result<(), Fault> {
    let sql = "UPDATE rooms.members SET by_stranger = false WHERE room = $1 AND user_id = $2 AND by_stranger";
    let (room, user) = (uuid(room.0), uuid(user.0));
    database
        .change(async |session| {
            session.execute(sql, &[&room, &user]).await?;
            Ok(Verdict::Commit(()))
        })
        .await
}

/// Forgets the requests that name a user, on either side, and the members of those rooms that were not accepted.
pub(super) async fn forget(database: &Database, user: UserId) -> Result<(), Fault> {
    // Both are members of their 1:1, by which rooms are found: those that were declined have no index by who was asked.
    let sql = "WITH gone AS (
            DELETE FROM rooms.message_requests q USING rooms.members m
            WHERE m.user_id = $1 AND q.room = m.room AND (q.asker = $1 OR q.user_id = $1)
            RETURNING q.room, q.state
        )
        DELETE FROM rooms.members m USING gone WHERE m.room = gone.room AND gone.state <> 1";
    let user = uuid(user.0);
    database
        .change(async |session| {
            session.execute(sql, &[&user]).await?;
            Ok(Verdict::Commit(()))
        })
        .await
}

/// What a repeated command came to.
pub(super) async fn repeated(
    session: &Session,
    command: &MetaTransaction,
    known: MetaOutcome,
) -> Result<MetaOutcome, Fault> {
    let (MetaOutcome::Repeated { version, seq }, MetaChange::Begin { .. }) = (&known, &command.change) else {
        return Ok(known);
    };
    let found = of_room(session, command.room).await?;
    Ok(match found.is_some_and(|request| request.state == RequestState::Pending) {
        true => MetaOutcome::Requested { version: *version, repeated: Some(*seq) },
        false => known,
    })
}

/// Begins a 1:1; whether as a request.
pub(super) async fn begin(
    session: &Session,
    command: &MetaTransaction,
    exists: bool,
    row: &RoomRow,
    (user, requests_max): (UserId, u32),
) -> Result<(MetaOutcome, bool), Fault> {
    let (room, actor) = (command.room, command.actor);
    if exists {
        return Ok((MetaOutcome::Exists, false));
    }
    for who in [actor, user] {
        if let Some(refusal) = refuses(session, actor, who, row.kind).await? {
            return Ok((refusal, false));
        }
    }
    if is_closed(session, actor, user).await? {
        return Ok((MetaOutcome::Closed, false));
    }
    let shared = knows(session, user, actor).await?;
    if !shared && let Some(refusal) = refuses_request(session, command, user, requests_max, true).await? {
        return Ok((refusal, false));
    }
    let members = [(actor, Role::Member), (user, Role::Member)];
    let outcome = create(session, command, exists, row, &members).await?;
    if !shared && matches!(outcome, MetaOutcome::Applied { .. }) {
        put(session, room, &MessageRequest::new(actor, user, command.wall, Ordinal(0))).await?;
    }
    Ok((outcome, !shared))
}

/// Why the actor may not ask `user`; `joins`: the room is one more of the user's. That it was declined makes no difference.
async fn refuses_request(
    session: &Session,
    command: &MetaTransaction,
    user: UserId,
    requests_max: u32,
    joins: bool,
) -> Result<Option<MetaOutcome>, Fault> {
    let waiting = "SELECT count(*) FROM (
        SELECT 1 FROM rooms.message_requests WHERE user_id = $1 AND state = 0 LIMIT $2) AS counted";
    let rooms = "SELECT count(*) FROM (SELECT 1 FROM rooms.members WHERE user_id = $1 LIMIT $2) AS counted";
    if joins
        && (reaches(session, waiting, user, MESSAGE_REQUESTS_RECEIVED_MAX).await?
            || reaches(session, rooms, user, ROOMS_BY_OTHERS_MAX).await?)
    {
        return Ok(Some(MetaOutcome::Closed));
    }
    let sql = "SELECT at FROM rooms.message_requests WHERE asker = $1 AND at > $2 ORDER BY at DESC LIMIT $3";
    let since = bits(command.wall.0.saturating_sub(MESSAGE_REQUESTS_WINDOW_MILLIS));
    let rows = session.rows(sql, &[&uuid(command.actor.0), &since, &i64::from(requests_max)]).await?;
    let asked = rows.iter().map(|row| Ok(Millis(number(row, 0)?))).collect::<Result<Vec<_>, Fault>>()?;
    Ok(may_ask_at(&asked, requests_max, command.wall).map(|until| MetaOutcome::TooOften { until }))
}

/// Changes what became of a request.
pub(super) async fn change(
    session: &Session,
    command: &MetaTransaction,
    change: RequestChange,
) -> Result<MetaOutcome, Fault> {
    let (room, actor) = (command.room, command.actor);
    let found = of_room(session, room).await?;
    let Some((next, cleared)) = found.and_then(|request| request.turned(actor, change, command.wall)) else {
        return Ok(MetaOutcome::NoRequest);
    };
    let user = uuid(next.user.0);
    if let RequestChange::Again { requests_max, .. } = change
        && found != Some(next)
    {
        let sql = "SELECT 1 FROM rooms.blocks
            WHERE (by_user = $1 AND user_id = $2) OR (by_user = $2 AND user_id = $1) LIMIT 1";
        if session.row(sql, &[&uuid(actor.0), &user]).await?.is_some() {
            return Ok(MetaOutcome::Blocked);
        }
        if is_closed(session, actor, next.user).await? {
            return Ok(MetaOutcome::Closed);
        }
        if let Some(refusal) = refuses_request(session, command, next.user, requests_max, false).await? {
            return Ok(refusal);
        }
    }
    put(session, room, &next).await?;
    if let Some((seq, n)) = cleared {
        let values = (uuid(room.0), bits(seq.0), bits(n.0));
        session.execute(super::change::CLEAR, &[&values.0, &user, &values.1, &values.2]).await?;
    }
    Ok(DONE)
}
