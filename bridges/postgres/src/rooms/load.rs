//! Reads of rooms.
//!
//! Thread: the bridge's. A room's tables are read at one state, in one exchange with the server.

use futures_util::future::{try_join, try_join5};
use lynk_domain::{
    AckLevel, HistoryVisibility, Key, MediaId, Millis, Ordinal, Role, RoomId, RoomKind, Seq, UserId,
};
use lynk_model::{
    DirectFrom, ListQuery, Listed, LoadedRoom, MemberRow, Membership, MetaEvent, OutboxRow, Personal,
    RoomRow, RoomWish, Sentence, SentenceKind, Wish,
};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{asking, links, moderation, reports, strangers};
use crate::Fault;
use crate::column::{bits, get, id, is_closed, known, number, small, uuid};
use crate::database::{Database, Session};

fn all<T>(rows: &[Row], of: impl Fn(&Row) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
    rows.iter().map(of).collect()
}

pub(super) async fn room(database: &Database, room: RoomId) -> Result<LoadedRoom, Fault> {
    database.snapshot(async |session| room_in(session, room).await).await
}

/// A room as a transaction sees it.
pub(super) async fn room_in(session: &Session, room: RoomId) -> Result<LoadedRoom, Fault> {
    let at = uuid(room.0);
    let sent = [&at as &(dyn tokio_postgres::types::ToSql + Sync)];
    let ask = |sql| session.rows(sql, &sent);
    let first = try_join5(
        ask("SELECT kind, name, creator, created, level, visibility, slow_mode_seconds, version,
                 description, avatar, members_max, read_only, deleted, retention_days
             FROM rooms.rooms WHERE room = $1"),
        ask("SELECT by_user, user_id FROM rooms.blocks WHERE room = $1 ORDER BY by_user, user_id"),
        ask(links::ALL),
        ask(asking::ALL),
        ask(strangers::OF_ROOM),
    );
    let rest = try_join5(
        ask("SELECT user_id, role, joined_version, joined_seq, muted_until, wish, cleared, cleared_n, by_stranger
             FROM rooms.members WHERE room = $1 ORDER BY user_id"),
        ask("SELECT user_id, until, reason, by_user, at FROM rooms.bans WHERE room = $1 ORDER BY user_id"),
        ask("SELECT user_id, until, reason, by_user, at FROM rooms.mutes WHERE room = $1 ORDER BY user_id"),
        ask("SELECT seq FROM rooms.pins WHERE room = $1 ORDER BY seq"),
        ask("SELECT version, actor, key, wall, event FROM rooms.outbox WHERE room = $1 ORDER BY version"),
    );
    let ((row, blocks, links, requests, begun), (members, bans, mutes, pins, outbox)) =
        try_join(first, rest).await?;
    let blocks = all(&blocks, pair)?;
    let Some(row) = row.first() else { return Ok(LoadedRoom { blocks, ..LoadedRoom::default() }) };
    Ok(LoadedRoom {
        row: Some(room_row(room, row)?),
        members: all(&members, member)?,
        bans: all(&bans, sentence)?,
        mutes: all(&mutes, sentence)?,
        pins: all(&pins, |row| Ok(Seq(number(row, 0)?)))?,
        links: all(&links, links::link)?,
        requests: all(&requests, asking::request)?,
        message_request: begun.first().map(strangers::request).transpose()?,
        blocks,
        outbox: all(&outbox, outbox_row)?,
        ..LoadedRoom::default()
    })
}

fn room_row(room: RoomId, row: &Row) -> Result<RoomRow, Fault> {
    Ok(RoomRow {
        room,
        kind: known(row, 0, RoomKind::from_u8)?,
        name: get(row, 1)?,
        creator: UserId(id(row, 2)?),
        created: Millis(number(row, 3)?),
        level: known(row, 4, AckLevel::from_u8)?,
        visibility: known(row, 5, HistoryVisibility::from_u8)?,
        slow_mode_seconds: small(row, 6)?,
        version: number(row, 7)?,
        description: get(row, 8)?,
        avatar: MediaId(id(row, 9)?),
        members_max: small(row, 10)?,
        read_only: get(row, 11)?,
        deleted: Millis(number(row, 12)?),
        retention_days: small(row, 13)?,
    })
}

fn pair(row: &Row) -> Result<(UserId, UserId), Fault> {
    Ok((UserId(id(row, 0)?), UserId(id(row, 1)?)))
}

fn sentence(row: &Row) -> Result<Sentence, Fault> {
    Ok(Sentence {
        user: UserId(id(row, 0)?),
        until: Millis(number(row, 1)?),
        reason: get(row, 2)?,
        by: UserId(id(row, 3)?),
        at: Millis(number(row, 4)?),
    })
}

/// A page of a list; acts of moderators that are older than `life` are not in it.
pub(super) async fn list(
    database: &Database,
    room: RoomId,
    query: &ListQuery,
    life: u64,
) -> Result<Listed, Fault> {
    match *query {
        ListQuery::Sentences { what, after, wall, limit } => {
            let table = match what {
                SentenceKind::Ban => "bans",
                SentenceKind::Mute => "mutes",
            };
            let sql = format!(
                "SELECT user_id, until, reason, by_user, at FROM rooms.{table}
                 WHERE room = $1 AND user_id > $2 AND (until = 0 OR until > $3) ORDER BY user_id LIMIT $4"
            );
            let (room, after, wall, limit) = (uuid(room.0), uuid(after.0), bits(wall.0), i64::from(limit));
            let rows =
                database.read(async |session| session.rows(&sql, &[&room, &after, &wall, &limit]).await);
            Ok(Listed::Sentences(all(&rows.await?, sentence)?))
        }
        ListQuery::Requests { after, wall, limit } => {
            Ok(Listed::Requests(asking::open(database, room, after, wall, limit).await?))
        }
        ListQuery::Reports { open, before, viewer, limit } => {
            let query = (open, before, viewer, limit);
            Ok(Listed::Reports(reports::page(database, room, query).await?))
        }
        ListQuery::Acts { before, wall, limit } => {
            Ok(Listed::Acts(moderation::page(database, room, (before, wall, limit), life).await?))
        }
    }
}

fn member(row: &Row) -> Result<MemberRow, Fault> {
    Ok(MemberRow {
        user: UserId(id(row, 0)?),
        role: known(row, 1, Role::from_u8)?,
        joined_version: number(row, 2)?,
        joined_seq: Seq(number(row, 3)?),
        personal: personal(row, 4)?,
        by_stranger: get(row, 8)?,
    })
}

/// Two columns from `first` on.
pub(crate) fn wish(row: &Row, first: usize) -> Result<RoomWish, Fault> {
    Ok(RoomWish { muted_until: Millis(number(row, first)?), wish: known(row, first + 1, Wish::from_u8)? })
}

/// Four columns from `first` on.
fn personal(row: &Row, first: usize) -> Result<Personal, Fault> {
    let wish = wish(row, first)?;
    let (cleared, cleared_n) = (Seq(number(row, first + 2)?), Ordinal(number(row, first + 3)?));
    Ok(Personal { wish, cleared, cleared_n })
}

fn outbox_row(row: &Row) -> Result<OutboxRow, Fault> {
    let event: &[u8] = get(row, 4)?;
    Ok(OutboxRow {
        version: number(row, 0)?,
        actor: UserId(id(row, 1)?),
        key: Key(id(row, 2)?),
        wall: Millis(number(row, 3)?),
        event: MetaEvent::decode(event)
            .map_err(|error| Fault::corrupt(format_args!("an event of the outbox: {error}")))?,
    })
}

pub(super) async fn memberships(
    database: &Database,
    user: UserId,
    after: RoomId,
    limit: u32,
) -> Result<Vec<Membership>, Fault> {
    // The other member is looked up for 1:1 rooms only (kind 3).
    let sql = "SELECT m.room, r.kind, r.name, r.avatar, m.role,
            CASE r.kind WHEN 3 THEN
                (SELECT o.user_id FROM rooms.members o WHERE o.room = m.room AND o.user_id <> $1 ORDER BY o.user_id LIMIT 1)
            END,
            m.muted_until, m.wish, m.cleared, m.cleared_n, q.asker, q.state
        FROM rooms.members m JOIN rooms.rooms r ON r.room = m.room
            LEFT JOIN rooms.message_requests q ON q.room = m.room
        WHERE m.user_id = $1 AND m.room > $2 AND NOT (q.room IS NOT NULL AND q.state = 2 AND q.user_id = $1)
        ORDER BY m.room LIMIT $3";
    let reader = user;
    let (user, after, limit) = (uuid(user.0), uuid(after.0), i64::from(limit));
    let rows = database.read(async |session| session.rows(sql, &[&user, &after, &limit]).await).await?;
    all(&rows, |row| {
        Ok(Membership {
            room: RoomId(id(row, 0)?),
            kind: known(row, 1, RoomKind::from_u8)?,
            name: get(row, 2)?,
            avatar: MediaId(id(row, 3)?),
            role: known(row, 4, Role::from_u8)?,
            peer: UserId(get::<Option<Uuid>>(row, 5)?.unwrap_or_default().into_bytes()),
            personal: personal(row, 6)?,
            request: strangers::side(row, 10, reader)?,
        })
    })
}

pub(super) async fn name(database: &Database, folded: &str) -> Result<Option<RoomId>, Fault> {
    let sql = "SELECT room FROM rooms.names WHERE digest = sha256($1) AND freed IS NULL";
    let folded = folded.as_bytes();
    let row = database.read(async |session| session.row(sql, &[&folded]).await).await?;
    row.map(|row| Ok(RoomId(id(&row, 0)?))).transpose()
}

pub(super) async fn name_is_taken(database: &Database, folded: &str, wall: Millis) -> Result<bool, Fault> {
    let sql = "SELECT freed FROM rooms.names WHERE digest = sha256($1)";
    let folded = folded.as_bytes();
    let row = database.read(async |session| session.row(sql, &[&folded]).await).await?;
    row.map_or(Ok(false), |row| Ok(is_closed(get(&row, 0)?, wall)))
}

pub(super) async fn names(database: &Database, after: &str, limit: u32) -> Result<Vec<String>, Fault> {
    // The key is the digest of the name, so that is what pages are ordered by.
    let sql = "SELECT folded FROM rooms.names
               WHERE $1 = ''::bytea OR digest > sha256($1) ORDER BY digest LIMIT $2";
    let (after, limit) = (after.as_bytes(), i64::from(limit));
    let rows = database.read(async |session| session.rows(sql, &[&after, &limit]).await).await?;
    all(&rows, |row| get(row, 0))
}

pub(super) async fn result_hash(
    database: &Database,
    room: RoomId,
    actor: UserId,
    key: Key,
) -> Result<Option<u64>, Fault> {
    let sql = "SELECT content_hash FROM rooms.results WHERE actor = $1 AND room = $2 AND key = $3";
    let (actor, room, key) = (uuid(actor.0), uuid(room.0), uuid(key.0));
    let row = database.read(async |session| session.row(sql, &[&actor, &room, &key]).await).await?;
    row.map(|row| number(&row, 0)).transpose()
}

pub(super) async fn rooms_after(
    database: &Database,
    after: RoomId,
    limit: u32,
) -> Result<Vec<RoomId>, Fault> {
    let sql = "SELECT room FROM rooms.rooms WHERE room > $1 ORDER BY room LIMIT $2";
    let (after, limit) = (uuid(after.0), i64::from(limit));
    let rows = database.read(async |session| session.rows(sql, &[&after, &limit]).await).await?;
    all(&rows, |row| Ok(RoomId(id(row, 0)?)))
}

pub(super) async fn blocks(database: &Database, user: UserId) -> Result<Vec<(UserId, UserId)>, Fault> {
    let sql = "SELECT by_user, user_id FROM rooms.blocks WHERE by_user = $1
        UNION SELECT by_user, user_id FROM rooms.blocks WHERE user_id = $1 ORDER BY 1, 2";
    let user = uuid(user.0);
    let rows = database.read(async |session| session.rows(sql, &[&user]).await).await?;
    all(&rows, pair)
}

/// Those of `others` across a block of `user`.
pub(super) async fn apart(
    database: &Database,
    user: UserId,
    others: &[UserId],
) -> Result<Vec<UserId>, Fault> {
    if others.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT other FROM unnest($2::uuid[]) WITH ORDINALITY AS asked (other, place)
        WHERE EXISTS (SELECT 1 FROM rooms.blocks WHERE by_user = $1 AND user_id = other)
            OR EXISTS (SELECT 1 FROM rooms.blocks WHERE by_user = other AND user_id = $1) ORDER BY place";
    let (user, others) = (uuid(user.0), others.iter().map(|other| uuid(other.0)).collect::<Vec<_>>());
    let rows = database.read(async |session| session.rows(sql, &[&user, &others]).await).await?;
    all(&rows, |row| Ok(UserId(id(row, 0)?)))
}

pub(super) async fn blocked(
    database: &Database,
    by: UserId,
    after: UserId,
    limit: u32,
) -> Result<Vec<UserId>, Fault> {
    let sql =
        "SELECT user_id FROM rooms.blocks WHERE by_user = $1 AND user_id > $2 ORDER BY user_id LIMIT $3";
    let (by, after, limit) = (uuid(by.0), uuid(after.0), i64::from(limit));
    let rows = database.read(async |session| session.rows(sql, &[&by, &after, &limit]).await).await?;
    all(&rows, |row| Ok(UserId(id(row, 0)?)))
}

pub(super) async fn hidden(database: &Database, users: &[UserId]) -> Result<Vec<UserId>, Fault> {
    let ids: Vec<Uuid> = users.iter().map(|user| uuid(user.0)).collect();
    let sql = "SELECT user_id FROM rooms.hidden WHERE user_id = ANY ($1)";
    let rows = database.read(async |session| session.rows(sql, &[&ids]).await).await?;
    let found = all(&rows, |row| Ok(UserId(id(row, 0)?)))?;
    Ok(users.iter().filter(|user| found.contains(user)).copied().collect())
}

pub(super) async fn direct_from(database: &Database, user: UserId) -> Result<DirectFrom, Fault> {
    let sql = "SELECT who FROM rooms.direct_from WHERE user_id = $1";
    let row = database.read(async |session| session.row(sql, &[&uuid(user.0)]).await).await?;
    row.map_or(Ok(DirectFrom::Everyone), |row| known(&row, 0, DirectFrom::from_u8))
}

pub(super) async fn retained(
    database: &Database,
    every: bool,
    after: RoomId,
    limit: u32,
) -> Result<Vec<(RoomId, u32)>, Fault> {
    let sql = match every {
        true => "SELECT room, retention_days FROM rooms.rooms WHERE room > $1 ORDER BY room LIMIT $2",
        false => {
            "SELECT room, retention_days FROM rooms.rooms WHERE retention_days > 0 AND room > $1
             ORDER BY room LIMIT $2"
        }
    };
    let (after, limit) = (uuid(after.0), i64::from(limit));
    let rows = database.read(async |session| session.rows(sql, &[&after, &limit]).await).await?;
    all(&rows, |row| Ok((RoomId(id(row, 0)?), small(row, 1)?)))
}

/// There are few rows in the outbox, and hardly ever one of a deleted room.
pub(super) async fn ending(database: &Database, after: RoomId, limit: u32) -> Result<Vec<RoomId>, Fault> {
    let sql = "SELECT DISTINCT o.room FROM rooms.outbox o JOIN rooms.rooms r ON r.room = o.room
        WHERE o.room > $1 AND r.deleted > 0 ORDER BY o.room LIMIT $2";
    let (after, limit) = (uuid(after.0), i64::from(limit));
    let rows = database.read(async |session| session.rows(sql, &[&after, &limit]).await).await?;
    all(&rows, |row| Ok(RoomId(id(row, 0)?)))
}

pub(super) async fn may_see(database: &Database, watcher: UserId, user: UserId) -> Result<bool, Fault> {
    // A 1:1 (kind 3) counts for the one who did not open it, once it is accepted (state 1).
    let sql = "SELECT NOT EXISTS (
            SELECT 1 FROM rooms.blocks
            WHERE (by_user = $1 AND user_id = $2) OR (by_user = $2 AND user_id = $1)
        ) AND NOT EXISTS (
            SELECT 1 FROM rooms.hidden WHERE user_id = $2
        ) AND EXISTS (
            SELECT 1 FROM rooms.members a
            JOIN rooms.members b ON b.room = a.room AND b.user_id = $2
            JOIN rooms.rooms r ON r.room = a.room
            WHERE a.user_id = $1 AND (r.kind <> 3 OR r.creator <> $1 AND NOT EXISTS (
                SELECT 1 FROM rooms.message_requests q WHERE q.room = r.room AND q.state <> 1
            ))
        )";
    let (watcher, user) = (uuid(watcher.0), uuid(user.0));
    let row = database.read(async |session| session.row(sql, &[&watcher, &user]).await).await?;
    row.map_or_else(|| Err(Fault::corrupt("no answer to a question of yes or no")), |row| get(&row, 0))
}
