//! Rooms that strangers find, and requests to become a member.
//!
//! Thread: the bridge's; changes under the locks of the room and of the user whose requests are counted.

use lynk_domain::{MediaId, Millis, Role, RoomId, UserId};
use lynk_model::{
    DiscoverQuery, Discovered, JOIN_REQUESTS_PER_ROOM_MAX, JOIN_REQUESTS_PER_USER_MAX, JoinRequest,
    MEMBERS_COUNTED_MAX, MetaEvent, MetaOutcome, MetaTransaction, OwnRequest, after_prefix,
};
use tokio_postgres::Row;

use super::change::{Room, change};
use crate::Fault;
use crate::column::{bits, get, id, number, small, uuid};
use crate::database::{Database, Session};

/// What is read of a room's requests, ascending by user.
pub(super) const ALL: &str = "SELECT user_id, text, at, declined, by_user FROM rooms.join_requests
    WHERE room = $1 ORDER BY user_id";
const DONE: MetaOutcome = MetaOutcome::Applied { version: 0, event: None };

/// A row of [`ALL`].
pub(super) fn request(row: &Row) -> Result<JoinRequest, Fault> {
    request_at(row, 0)
}

/// Five columns from `first` on.
fn request_at(row: &Row, first: usize) -> Result<JoinRequest, Fault> {
    Ok(JoinRequest {
        user: UserId(id(row, first)?),
        text: get(row, first + 1)?,
        at: Millis(number(row, first + 2)?),
        declined: Millis(number(row, first + 3)?),
        by: UserId(id(row, first + 4)?),
    })
}

/// Those that are open.
pub(super) async fn open(
    database: &Database,
    room: RoomId,
    after: UserId,
    wall: Millis,
    limit: u32,
) -> Result<Vec<JoinRequest>, Fault> {
    let sql = "SELECT user_id, text, at, declined, by_user FROM rooms.join_requests
        WHERE room = $1 AND user_id > $2 AND declined = 0 AND at > $3 ORDER BY user_id LIMIT $4";
    let (asked, _) = JoinRequest::oldest(wall);
    let (room, after, asked, limit) = (uuid(room.0), uuid(after.0), bits(asked.0), i64::from(limit));
    let rows = database.read(async |session| session.rows(sql, &[&room, &after, &asked, &limit]).await);
    rows.await?.iter().map(request).collect()
}

/// Adds the row of a request.
pub(super) async fn put(session: &Session, room: RoomId, request: &JoinRequest) -> Result<(), Fault> {
    let sql = "INSERT INTO rooms.join_requests (room, user_id, text, at, declined, by_user)
        VALUES ($1, $2, $3, $4, $5, $6)";
    let (room, user, by) = (uuid(room.0), uuid(request.user.0), uuid(request.by.0));
    let (at, declined) = (bits(request.at.0), bits(request.declined.0));
    session.execute(sql, &[&room, &user, &request.text, &at, &declined, &by]).await?;
    Ok(())
}

async fn find(session: &Session, room: RoomId, user: UserId) -> Result<Option<JoinRequest>, Fault> {
    let sql = "SELECT user_id, text, at, declined, by_user FROM rooms.join_requests
        WHERE room = $1 AND user_id = $2";
    let row = session.row(sql, &[&uuid(room.0), &uuid(user.0)]).await?;
    row.as_ref().map(request).transpose()
}

pub(super) async fn remove(session: &Session, room: RoomId, user: UserId) -> Result<(), Fault> {
    let sql = "DELETE FROM rooms.join_requests WHERE room = $1 AND user_id = $2";
    session.execute(sql, &[&uuid(room.0), &uuid(user.0)]).await?;
    Ok(())
}

pub(super) async fn ask(
    session: &Session,
    command: &MetaTransaction,
    room: Option<Room>,
    text: &str,
) -> Result<MetaOutcome, Fault> {
    if room.is_none_or(|room| room.deleted > Millis(0)) {
        return Ok(MetaOutcome::Missing);
    }
    let (room, user, wall) = (command.room, command.actor, command.wall);
    match find(session, room, user).await? {
        Some(request) if request.is_open(wall) => return Ok(MetaOutcome::Exists),
        Some(request) if request.counts(wall) => return Ok(MetaOutcome::Declined),
        _ => {}
    }
    let (asked, declined) = JoinRequest::oldest(wall);
    let (asked, declined) = (bits(asked.0), bits(declined.0));
    for (whose, id, max) in [
        ("room", uuid(room.0), JOIN_REQUESTS_PER_ROOM_MAX),
        ("user_id", uuid(user.0), JOIN_REQUESTS_PER_USER_MAX),
    ] {
        // Of the user's in other rooms, those that such a room's command is changing are left to it.
        let over = format!(
            "DELETE FROM rooms.join_requests WHERE (room, user_id) IN (
                SELECT room, user_id FROM rooms.join_requests
                WHERE {whose} = $1 AND ((declined = 0 AND at <= $2) OR (declined > 0 AND declined <= $3))
                FOR UPDATE SKIP LOCKED)"
        );
        session.execute(&over, &[&id, &asked, &declined]).await?;
        let open = format!(
            "SELECT count(*) FROM rooms.join_requests WHERE {whose} = $1 AND declined = 0 AND at > $2"
        );
        let row = session.row(&open, &[&id, &asked]).await?;
        let open: i64 = row.as_ref().map_or(Ok(0), |row| get(row, 0))?;
        if open >= i64::from(max) {
            return Ok(MetaOutcome::Limit);
        }
    }
    let request = JoinRequest { user, text: text.to_owned(), at: wall, declined: Millis(0), by: UserId::NIL };
    // One of its own that is over and was being looked at stays for a moment: it is replaced.
    remove(session, room, user).await?;
    put(session, room, &request).await?;
    Ok(DONE)
}

async fn waits(session: &Session, command: &MetaTransaction, user: UserId) -> Result<bool, Fault> {
    Ok(find(session, command.room, user).await?.is_some_and(|request| request.is_open(command.wall)))
}

pub(super) async fn withdraw(session: &Session, command: &MetaTransaction) -> Result<MetaOutcome, Fault> {
    if !waits(session, command, command.actor).await? {
        return Ok(MetaOutcome::NoRequest);
    }
    remove(session, command.room, command.actor).await?;
    Ok(DONE)
}

pub(super) async fn accept(
    session: &Session,
    command: &MetaTransaction,
    room: Option<Room>,
    user: UserId,
) -> Result<MetaOutcome, Fault> {
    match waits(session, command, user).await? {
        true => change(session, command, room, &MetaEvent::Joined { user, role: Role::Member }).await,
        false => Ok(MetaOutcome::NoRequest),
    }
}

pub(super) async fn decline(
    session: &Session,
    command: &MetaTransaction,
    user: UserId,
) -> Result<MetaOutcome, Fault> {
    if !waits(session, command, user).await? {
        return Ok(MetaOutcome::NoRequest);
    }
    let sql = "UPDATE rooms.join_requests SET text = '', declined = $3, by_user = $4
        WHERE room = $1 AND user_id = $2";
    let (room, user, by) = (uuid(command.room.0), uuid(user.0), uuid(command.actor.0));
    session.execute(sql, &[&room, &user, &bits(command.wall.0), &by]).await?;
    Ok(DONE)
}

pub(super) async fn own(
    database: &Database,
    user: UserId,
    after: RoomId,
    wall: Millis,
    limit: u32,
) -> Result<Vec<OwnRequest>, Fault> {
    // Names of hidden rooms (kinds 1 and 3) are not told.
    let sql = "SELECT j.room, CASE WHEN r.kind IN (0, 2) THEN r.name ELSE '' END,
            CASE WHEN r.kind IN (0, 2) THEN r.avatar ELSE '00000000-0000-0000-0000-000000000000'::uuid END,
            j.user_id, j.text, j.at, j.declined, j.by_user
        FROM rooms.join_requests j JOIN rooms.rooms r ON r.room = j.room
        WHERE j.user_id = $1 AND j.room > $2
            AND ((j.declined = 0 AND j.at > $3) OR (j.declined > 0 AND j.declined > $4))
        ORDER BY j.room LIMIT $5";
    let (asked, declined) = JoinRequest::oldest(wall);
    let (user, after, limit) = (uuid(user.0), uuid(after.0), i64::from(limit));
    let (asked, declined) = (bits(asked.0), bits(declined.0));
    let rows =
        database.read(async |session| session.rows(sql, &[&user, &after, &asked, &declined, &limit]).await);
    let of = |row: &Row| {
        Ok(OwnRequest {
            room: RoomId(id(row, 0)?),
            name: get(row, 1)?,
            avatar: MediaId(id(row, 2)?),
            request: request_at(row, 3)?,
        })
    };
    rows.await?.iter().map(of).collect()
}

pub(super) async fn discover(database: &Database, query: &DiscoverQuery) -> Result<Vec<Discovered>, Fault> {
    let sql = "SELECT r.room, r.listed, r.name, r.description, r.avatar, r.members_max,
            (SELECT count(*) FROM (SELECT 1 FROM rooms.members m WHERE m.room = r.room LIMIT $8) AS counted),
            EXISTS (SELECT 1 FROM rooms.members m WHERE m.room = r.room AND m.user_id = $1)
        FROM rooms.rooms r
        WHERE r.kind = 0 AND r.deleted = 0 AND r.listed >= $2 AND r.listed < $3 AND (r.listed, r.room) > ($4, $5)
            AND NOT EXISTS (SELECT 1 FROM rooms.bans b
                WHERE b.room = r.room AND b.user_id = $1 AND (b.until = 0 OR b.until > $6))
        ORDER BY r.listed, r.room LIMIT $7";
    let (user, end, counted) =
        (uuid(query.user.0), after_prefix(&query.prefix), i64::from(MEMBERS_COUNTED_MAX));
    let (after, room) = (&query.after.0, uuid(query.after.1.0));
    let (wall, limit) = (bits(query.wall.0), i64::from(query.limit));
    let rows = database.read(async |session| {
        let sent: [&(dyn tokio_postgres::types::ToSql + Sync); 8] =
            [&user, &query.prefix, &end, after, &room, &wall, &limit, &counted];
        session.rows(sql, &sent).await
    });
    let of = |row: &Row| {
        let members: i64 = get(row, 6)?;
        Ok(Discovered {
            room: RoomId(id(row, 0)?),
            listed: get(row, 1)?,
            name: get(row, 2)?,
            description: get(row, 3)?,
            avatar: MediaId(id(row, 4)?),
            members_max: small(row, 5)?,
            members: u32::try_from(members).unwrap_or(MEMBERS_COUNTED_MAX),
            member: get(row, 7)?,
        })
    };
    rows.await?.iter().map(of).collect()
}
