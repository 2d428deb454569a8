//! Reads of notifications, and of rooms for them.
//!
//! Thread: the bridge's. One statement each, or a few that need not agree.

use std::collections::BTreeMap;

use lynk_domain::{MessageId, Millis, RoomId, Seq, SessionId, UserId};
use lynk_model::notify::{
    Decision, Device, Known, MemberSince, Pending, Platform, Provider, Push, PushCause, PushId, PushState,
    PushToken, Reason, RoomAudience, Wanted,
};
use lynk_model::{MessageRequest, RequestState};
use tokio_postgres::Row;

use crate::Fault;
use crate::column::{bits, get, id, known, number, small, uuid};
use crate::database::{Database, Params, Session};
use crate::rooms::{OF_ROOM, request, wish};

/// Pushes that one answer about a message has at most.
const WHY_PUSHES_MAX: u32 = 100;

async fn all<T>(
    database: &Database,
    sql: &str,
    params: Params<'_>,
    of: impl Fn(&Row) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let rows = database.read(async |session| session.rows(sql, params).await).await?;
    rows.iter().map(of).collect()
}

pub(super) const DEVICE: &str = "session, user_id, provider, token, platform, id_only, created, last_ok";

pub(super) fn device(row: &Row) -> Result<Device, Fault> {
    Ok(Device {
        session: SessionId(id(row, 0)?),
        user: UserId(id(row, 1)?),
        provider: known(row, 2, Provider::from_u8)?,
        token: PushToken::parse(get(row, 3)?).ok_or_else(|| Fault::corrupt("not a token"))?,
        platform: known(row, 4, Platform::from_u8)?,
        id_only: get(row, 5)?,
        created: Millis(number(row, 6)?),
        last_ok: get::<Option<i64>>(row, 7)?.map(|at| Millis(at.cast_unsigned())),
    })
}

pub(super) const PENDING: &str =
    "user_id, room, first, upto, message, messages, mention, since, due, window_end, pushed";

pub(super) fn pending(row: &Row) -> Result<Pending, Fault> {
    Ok(Pending {
        wanted: Wanted {
            user: UserId(id(row, 0)?),
            room: RoomId(id(row, 1)?),
            from: Seq(number(row, 2)?),
            upto: Seq(number(row, 3)?),
            message: MessageId(id(row, 4)?),
            messages: small(row, 5)?,
            mention: get(row, 6)?,
            since: Millis(number(row, 7)?),
            due: Millis(number(row, 8)?),
        },
        window_end: Millis(number(row, 9)?),
        pushed: Seq(number(row, 10)?),
    })
}

pub(super) const PUSH: &str =
    "id, user_id, room, session, first, upto, message, messages, mention, state, cause, dropped,
    attempts, at, next, told";

pub(super) fn push(row: &Row) -> Result<Push, Fault> {
    Ok(Push {
        id: PushId(id(row, 0)?),
        user: UserId(id(row, 1)?),
        room: RoomId(id(row, 2)?),
        session: SessionId(id(row, 3)?),
        from: Seq(number(row, 4)?),
        upto: Seq(number(row, 5)?),
        message: MessageId(id(row, 6)?),
        messages: small(row, 7)?,
        mention: get(row, 8)?,
        state: known(row, 9, PushState::from_u8)?,
        cause: known(row, 10, PushCause::from_u8)?,
        dropped: match get::<i16>(row, 11)? {
            0 => None,
            _ => Some(known(row, 11, Reason::from_u8)?),
        },
        attempts: small(row, 12)?,
        at: Millis(number(row, 13)?),
        next: Millis(number(row, 14)?),
        told: get(row, 15)?,
    })
}

pub(super) fn decision(row: &Row) -> Result<Decision, Fault> {
    Ok(Decision {
        user: UserId(id(row, 0)?),
        room: RoomId(id(row, 1)?),
        first: Seq(number(row, 2)?),
        last: Seq(number(row, 3)?),
        reason: known(row, 4, Reason::from_u8)?,
        at: Millis(number(row, 5)?),
    })
}

pub(super) async fn devices(database: &Database, user: UserId) -> Result<Vec<Device>, Fault> {
    let sql = format!("SELECT {DEVICE} FROM notify.devices WHERE user_id = $1 ORDER BY created, session");
    all(database, &sql, &[&uuid(user.0)], device).await
}

pub(super) async fn any_device(database: &Database) -> Result<bool, Fault> {
    let found = all(database, "SELECT 1 FROM notify.devices LIMIT 1", &[], |_| Ok(())).await?;
    Ok(!found.is_empty())
}

pub(super) async fn with_devices(database: &Database, users: &[UserId]) -> Result<Vec<UserId>, Fault> {
    if users.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<_> = users.iter().map(|user| uuid(user.0)).collect();
    let sql = "SELECT DISTINCT user_id FROM notify.devices WHERE user_id = ANY ($1) ORDER BY user_id";
    all(database, sql, &[&ids], |row| Ok(UserId(id(row, 0)?))).await
}

pub(super) async fn taken(database: &Database, rooms: &[RoomId]) -> Result<Vec<Seq>, Fault> {
    let ids: Vec<_> = rooms.iter().map(|room| uuid(room.0)).collect();
    let sql = "SELECT room, seq FROM notify.taken WHERE room = ANY ($1)";
    let found = all(database, sql, &[&ids], |row| Ok((RoomId(id(row, 0)?), Seq(number(row, 1)?)))).await?;
    let found: BTreeMap<_, _> = found.into_iter().collect();
    Ok(rooms.iter().map(|room| found.get(room).copied().unwrap_or_default()).collect())
}

pub(super) async fn due(database: &Database, now: Millis, limit: u32) -> Result<Vec<Pending>, Fault> {
    let sql = format!(
        "SELECT {PENDING} FROM notify.pending WHERE messages > 0 AND due <= $1 ORDER BY due, user_id, room LIMIT $2"
    );
    all(database, &sql, &[&bits(now.0), &i64::from(limit)], pending).await
}

pub(super) async fn retries(database: &Database, now: Millis, limit: u32) -> Result<Vec<Push>, Fault> {
    let sql =
        format!("SELECT {PUSH} FROM notify.pushes WHERE state = 2 AND next <= $1 ORDER BY next, id LIMIT $2");
    all(database, &sql, &[&bits(now.0), &i64::from(limit)], push).await
}

pub(super) async fn next_due(database: &Database) -> Result<Option<Millis>, Fault> {
    let sql = "(SELECT due FROM notify.pending WHERE messages > 0 ORDER BY due LIMIT 1)
        UNION ALL (SELECT next FROM notify.pushes WHERE state = 2 ORDER BY next LIMIT 1)";
    let found = all(database, sql, &[], |row| number(row, 0)).await?;
    Ok(found.into_iter().min().map(Millis))
}

pub(super) async fn rooms_of(database: &Database, user: UserId, limit: u32) -> Result<Vec<RoomId>, Fault> {
    let sql = "SELECT room FROM notify.pending WHERE user_id = $1 ORDER BY window_end DESC, room LIMIT $2";
    all(database, sql, &[&uuid(user.0), &i64::from(limit)], |row| Ok(RoomId(id(row, 0)?))).await
}

async fn decided(session: &Session, user: UserId, room: RoomId, seq: Seq) -> Result<Option<Decision>, Fault> {
    let sql = "SELECT user_id, room, first, last, reason, at FROM notify.decisions
        WHERE user_id = $1 AND room = $2 AND first <= $3 ORDER BY first DESC LIMIT 1";
    let row = session.row(sql, &[&uuid(user.0), &uuid(room.0), &bits(seq.0)]).await?;
    let found = row.as_ref().map(decision).transpose()?;
    Ok(found.filter(|decision| decision.last >= seq))
}

pub(super) async fn why(database: &Database, user: UserId, room: RoomId, seq: Seq) -> Result<Known, Fault> {
    let of_pending = format!("SELECT {PENDING} FROM notify.pending WHERE user_id = $1 AND room = $2");
    let of_pushes = format!(
        "SELECT {PUSH} FROM notify.pushes WHERE user_id = $1 AND room = $2 AND upto >= $3 AND first <= $3
         ORDER BY upto, id LIMIT {WHY_PUSHES_MAX}"
    );
    let of_devices =
        format!("SELECT {DEVICE} FROM notify.devices WHERE user_id = $1 ORDER BY created, session");
    database
        .snapshot(async |session| {
            let decision = match decided(session, user, room, seq).await? {
                Some(decision) => Some(decision),
                None => decided(session, UserId::NIL, room, seq).await?,
            };
            let (user_id, room_id) = (uuid(user.0), uuid(room.0));
            let waits = session.row(&of_pending, &[&user_id, &room_id]).await?;
            let pushes = session.rows(&of_pushes, &[&user_id, &room_id, &bits(seq.0)]).await?;
            let devices = session.rows(&of_devices, &[&user_id]).await?;
            let taken = session.row("SELECT seq FROM notify.taken WHERE room = $1", &[&room_id]).await?;
            Ok(Known {
                decision,
                pending: waits.as_ref().map(pending).transpose()?,
                pushes: pushes.iter().map(push).collect::<Result<_, _>>()?,
                devices: devices.iter().map(device).collect::<Result<_, _>>()?,
                taken: Seq(taken.as_ref().map_or(Ok(0), |row| number(row, 0))?),
            })
        })
        .await
}

pub(super) async fn dead(database: &Database, untold: bool, limit: u32) -> Result<Vec<Push>, Fault> {
    let rest = if untold { "AND NOT told ORDER BY at, id" } else { "ORDER BY at DESC, id DESC" };
    let sql = format!("SELECT {PUSH} FROM notify.pushes WHERE state = 4 {rest} LIMIT $1");
    all(database, &sql, &[&i64::from(limit)], push).await
}

pub(super) async fn audience(
    database: &Database,
    room: RoomId,
    members_max: u32,
    named: &[UserId],
) -> Result<Option<RoomAudience>, Fault> {
    let one = |row: &Row| Ok((UserId(id(row, 0)?), wish(row, 1)?));
    let room_id = uuid(room.0);
    // One more than wanted tells whether there are more, without counting a room of a hundred thousand.
    let sql =
        "SELECT user_id, muted_until, wish FROM rooms.members WHERE room = $1 ORDER BY user_id LIMIT $2";
    let found = all(database, sql, &[&room_id, &(i64::from(members_max) + 1)], one).await?;
    if found.is_empty() {
        return Ok(None);
    }
    let size = found.len() as u64;
    if size <= u64::from(members_max) {
        // A conversation of two has no more.
        let request = if size <= 2 { strangers(database, room).await? } else { None };
        return Ok(Some(RoomAudience::new(size, found).asked(request)));
    }
    let ids: Vec<_> = named.iter().map(|user| uuid(user.0)).collect();
    let sql = "(SELECT user_id, muted_until, wish FROM rooms.members WHERE room = $1 AND wish = 1 ORDER BY user_id LIMIT $3)
        UNION ALL SELECT user_id, muted_until, wish FROM rooms.members WHERE room = $1 AND user_id = ANY ($2)";
    let found = all(database, sql, &[&room_id, &ids, &i64::from(members_max)], one).await?;
    Ok(Some(RoomAudience::new(size, found)))
}

/// How a room began, when a stranger began it.
async fn strangers(database: &Database, room: RoomId) -> Result<Option<MessageRequest>, Fault> {
    Ok(all(database, OF_ROOM, &[&uuid(room.0)], request).await?.first().copied())
}

pub(super) async fn joined(
    database: &Database,
    room: RoomId,
    user: UserId,
) -> Result<Option<MemberSince>, Fault> {
    // Who asked is no side that is told here.
    let sql = "SELECT m.joined_seq, m.cleared, q.state FROM rooms.members m
        LEFT JOIN rooms.message_requests q ON q.room = m.room AND q.user_id = m.user_id
        WHERE m.room = $1 AND m.user_id = $2";
    let one = |row: &Row| {
        let state = get::<Option<i16>>(row, 2)?.map(|_| known(row, 2, RequestState::from_u8)).transpose()?;
        let request = state == Some(RequestState::Pending);
        let since = MemberSince { joined: Seq(number(row, 0)?), cleared: Seq(number(row, 1)?), request };
        Ok((since, state != Some(RequestState::Declined)))
    };
    let found = all(database, sql, &[&uuid(room.0), &uuid(user.0)], one).await?;
    Ok(found.first().and_then(|(since, own)| own.then_some(*since)))
}

pub(super) async fn blocked(database: &Database, user: UserId) -> Result<Vec<UserId>, Fault> {
    let sql = "SELECT user_id FROM rooms.blocks WHERE by_user = $1
        UNION SELECT by_user FROM rooms.blocks WHERE user_id = $1 ORDER BY 1";
    all(database, sql, &[&uuid(user.0)], |row| Ok(UserId(id(row, 0)?))).await
}
