//! Reads of the relational side.

use lynk_domain::{
    AckLevel, HistoryVisibility, Key, MediaId, Millis, Ordinal, Role, RoomId, RoomKind, Seq, UserId,
};
use lynk_model::{
    DirectFrom, ListQuery, Listed, LoadedRoom, MemberRow, Membership, MetaEvent, OutboxRow, Personal,
    RoomRow, RoomWish, Sentence, SentenceKind, Wish,
};
use rusqlite::{Connection, OptionalExtension, Params, Row};

use crate::Fault;
use crate::sqlite::{bits, number, unreadable};

fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<[u8; 16]> {
    row.get(column)
}

/// A stored byte as one of an enum's values.
fn known<T>(row: &Row<'_>, column: usize, of: fn(u8) -> Option<T>) -> rusqlite::Result<T> {
    let byte: u8 = row.get(column)?;
    of(byte).ok_or_else(|| unreadable(column, "a value that this program does not know"))
}

/// All rows of a query.
fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, map)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn room(connection: &Connection, room: RoomId) -> Result<LoadedRoom, Fault> {
    let blocks =
        all(connection, "SELECT by, user FROM blocks WHERE room = ?1 ORDER BY by, user", [room.0], pair)?;
    let mut statement = connection.prepare_cached(
        "SELECT kind, name, creator, created, level, visibility, slow_mode_seconds, version,
            description, avatar, members_max, read_only, deleted, retention_days
         FROM rooms WHERE room = ?1",
    )?;
    let row = statement.query_row([room.0], |row| {
        Ok(RoomRow {
            room,
            kind: known(row, 0, RoomKind::from_u8)?,
            name: row.get(1)?,
            creator: UserId(id(row, 2)?),
            created: Millis(number(row, 3)?),
            level: known(row, 4, AckLevel::from_u8)?,
            visibility: known(row, 5, HistoryVisibility::from_u8)?,
            slow_mode_seconds: row.get(6)?,
            version: number(row, 7)?,
            description: row.get(8)?,
            avatar: MediaId(id(row, 9)?),
            members_max: row.get(10)?,
            read_only: row.get(11)?,
            deleted: Millis(number(row, 12)?),
            retention_days: row.get(13)?,
        })
    });
    let Some(row) = row.optional()? else {
        return Ok(LoadedRoom { blocks, ..LoadedRoom::default() });
    };
    let at = [room.0];
    Ok(LoadedRoom {
        row: Some(row),
        members: all(
            connection,
            "SELECT user, role, joined_version, joined_seq, muted_until, wish, cleared, cleared_n, by_stranger
            FROM members WHERE room = ?1 ORDER BY user",
            at,
            member,
        )?,
        bans: all(
            connection,
            "SELECT user, until, reason, by, at FROM bans WHERE room = ?1 ORDER BY user",
            at,
            sentence,
        )?,
        mutes: all(
            connection,
            "SELECT user, until, reason, by, at FROM mutes WHERE room = ?1 ORDER BY user",
            at,
            sentence,
        )?,
        pins: all(connection, "SELECT seq FROM pins WHERE room = ?1 ORDER BY seq", at, |row| {
            Ok(Seq(number(row, 0)?))
        })?,
        links: super::links::all(connection, room)?,
        requests: super::asking::all(connection, room)?,
        message_request: super::strangers::of_room(connection, room)?,
        blocks,
        outbox: all(
            connection,
            "SELECT version, actor, key, wall, event FROM outbox WHERE room = ?1 ORDER BY version",
            at,
            outbox_row,
        )?,
        ..LoadedRoom::default()
    })
}

fn pair(row: &Row<'_>) -> rusqlite::Result<(UserId, UserId)> {
    Ok((UserId(id(row, 0)?), UserId(id(row, 1)?)))
}

fn sentence(row: &Row<'_>) -> rusqlite::Result<Sentence> {
    Ok(Sentence {
        user: UserId(id(row, 0)?),
        until: Millis(number(row, 1)?),
        reason: row.get(2)?,
        by: UserId(id(row, 3)?),
        at: Millis(number(row, 4)?),
    })
}

/// A page of a list; acts of moderators that are older than `life` are not in it.
pub(super) fn list(
    connection: &Connection,
    room: RoomId,
    query: &ListQuery,
    life: u64,
) -> Result<Listed, Fault> {
    match *query {
        ListQuery::Sentences { what, after, wall, limit } => {
            let sql = match what {
                SentenceKind::Ban => {
                    "SELECT user, until, reason, by, at FROM bans
                     WHERE room = ?1 AND user > ?2 AND (until = 0 OR until > ?3) ORDER BY user LIMIT ?4"
                }
                SentenceKind::Mute => {
                    "SELECT user, until, reason, by, at FROM mutes
                     WHERE room = ?1 AND user > ?2 AND (until = 0 OR until > ?3) ORDER BY user LIMIT ?4"
                }
            };
            let rows = all(connection, sql, (room.0, after.0, bits(wall.0), limit), sentence)?;
            Ok(Listed::Sentences(rows))
        }
        ListQuery::Requests { after, wall, limit } => {
            Ok(Listed::Requests(super::asking::open(connection, room, after, wall, limit)?))
        }
        ListQuery::Reports { open, before, viewer, limit } => {
            let query = (open, before, viewer, limit);
            Ok(Listed::Reports(super::reports::page(connection, room, query)?))
        }
        ListQuery::Acts { before, wall, limit } => {
            let acts = super::moderation::page(connection, room, (before, wall, limit), life)?;
            Ok(Listed::Acts(acts))
        }
    }
}

fn member(row: &Row<'_>) -> rusqlite::Result<MemberRow> {
    Ok(MemberRow {
        user: UserId(id(row, 0)?),
        role: known(row, 1, Role::from_u8)?,
        joined_version: number(row, 2)?,
        joined_seq: Seq(number(row, 3)?),
        personal: personal(row, 4)?,
        by_stranger: row.get(8)?,
    })
}

/// Two columns from `first` on.
pub(super) fn wish(row: &Row<'_>, first: usize) -> rusqlite::Result<RoomWish> {
    Ok(RoomWish { muted_until: Millis(number(row, first)?), wish: known(row, first + 1, Wish::from_u8)? })
}

/// Four columns from `first` on.
fn personal(row: &Row<'_>, first: usize) -> rusqlite::Result<Personal> {
    let wish = wish(row, first)?;
    let (cleared, cleared_n) = (Seq(number(row, first + 2)?), Ordinal(number(row, first + 3)?));
    Ok(Personal { wish, cleared, cleared_n })
}

fn outbox_row(row: &Row<'_>) -> rusqlite::Result<OutboxRow> {
    let event = row.get_ref(4)?.as_blob().map_err(|error| unreadable(4, error))?;
    Ok(OutboxRow {
        version: number(row, 0)?,
        actor: UserId(id(row, 1)?),
        key: Key(id(row, 2)?),
        wall: Millis(number(row, 3)?),
        event: MetaEvent::decode(event).map_err(|error| unreadable(4, error))?,
    })
}

pub(super) fn memberships(
    connection: &Connection,
    user: UserId,
    after: RoomId,
    limit: u32,
) -> Result<Vec<Membership>, Fault> {
    // The other member is looked up for 1:1 rooms only (kind 3).
    let sql = "SELECT m.room, r.kind, r.name, r.avatar, m.role,
            CASE r.kind WHEN 3 THEN
                (SELECT o.user FROM members o WHERE o.room = m.room AND o.user <> ?1 ORDER BY o.user LIMIT 1)
            END,
            m.muted_until, m.wish, m.cleared, m.cleared_n, q.asker, q.state
        FROM members m JOIN rooms r ON r.room = m.room LEFT JOIN message_requests q ON q.room = m.room
        WHERE m.user = ?1 AND m.room > ?2 AND NOT (q.room IS NOT NULL AND q.state = 2 AND q.user = ?1)
        ORDER BY m.room LIMIT ?3";
    all(connection, sql, (user.0, after.0, limit), |row| {
        Ok(Membership {
            room: RoomId(id(row, 0)?),
            kind: known(row, 1, RoomKind::from_u8)?,
            name: row.get(2)?,
            avatar: MediaId(id(row, 3)?),
            role: known(row, 4, Role::from_u8)?,
            peer: UserId(row.get::<_, Option<[u8; 16]>>(5)?.unwrap_or_default()),
            personal: personal(row, 6)?,
            request: super::strangers::side(row, 10, user)?,
        })
    })
}

pub(super) fn name(connection: &Connection, folded: &str) -> Result<Option<RoomId>, Fault> {
    let mut statement =
        connection.prepare_cached("SELECT room FROM names WHERE folded = ?1 AND freed IS NULL")?;
    Ok(statement.query_row([folded], |row| Ok(RoomId(id(row, 0)?))).optional()?)
}

pub(super) fn result_hash(
    connection: &Connection,
    room: RoomId,
    actor: UserId,
    key: Key,
) -> Result<Option<u64>, Fault> {
    let mut statement = connection
        .prepare_cached("SELECT content_hash FROM results WHERE actor = ?1 AND room = ?2 AND key = ?3")?;
    Ok(statement.query_row((actor.0, room.0, key.0), |row| number(row, 0)).optional()?)
}

pub(super) fn blocks(connection: &Connection, user: UserId) -> Result<Vec<(UserId, UserId)>, Fault> {
    let sql = "SELECT by, user FROM blocks WHERE by = ?1
        UNION SELECT by, user FROM blocks WHERE user = ?1 ORDER BY 1, 2";
    all(connection, sql, [user.0], pair)
}

/// Those of `others` across a block of `user`.
pub(super) fn apart(connection: &Connection, user: UserId, others: &[UserId]) -> Result<Vec<UserId>, Fault> {
    let sql = "SELECT EXISTS (SELECT 1 FROM blocks WHERE by = ?1 AND user = ?2)
        OR EXISTS (SELECT 1 FROM blocks WHERE by = ?2 AND user = ?1)";
    let mut statement = connection.prepare_cached(sql)?;
    let mut apart = Vec::new();
    for other in others {
        if statement.query_row((user.0, other.0), |row| row.get(0))? {
            apart.push(*other);
        }
    }
    Ok(apart)
}

pub(super) fn blocked(
    connection: &Connection,
    by: UserId,
    after: UserId,
    limit: u32,
) -> Result<Vec<UserId>, Fault> {
    let sql = "SELECT user FROM blocks WHERE by = ?1 AND user > ?2 ORDER BY user LIMIT ?3";
    all(connection, sql, (by.0, after.0, limit), |row| Ok(UserId(id(row, 0)?)))
}

pub(super) fn hidden(connection: &Connection, users: &[UserId]) -> Result<Vec<UserId>, Fault> {
    let mut statement = connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM hidden WHERE user = ?1)")?;
    let mut found = Vec::new();
    for user in users {
        if statement.query_row([user.0], |row| row.get(0))? {
            found.push(*user);
        }
    }
    Ok(found)
}

pub(super) fn direct_from(connection: &Connection, user: UserId) -> Result<DirectFrom, Fault> {
    let mut statement = connection.prepare_cached("SELECT who FROM direct_from WHERE user = ?1")?;
    let who: Option<u8> = statement.query_row([user.0], |row| row.get(0)).optional()?;
    who.map_or(Ok(DirectFrom::Everyone), direct_from_of)
}

/// The setting of a stored number.
pub(super) fn direct_from_of(who: u8) -> Result<DirectFrom, Fault> {
    DirectFrom::from_u8(who).ok_or_else(|| Fault::corrupt("a setting for conversations is unknown"))
}

pub(super) fn retained(
    connection: &Connection,
    every: bool,
    after: RoomId,
    limit: u32,
) -> Result<Vec<(RoomId, u32)>, Fault> {
    let sql = match every {
        true => "SELECT room, retention_days FROM rooms WHERE room > ?1 ORDER BY room LIMIT ?2",
        false => {
            "SELECT room, retention_days FROM rooms WHERE retention_days > 0 AND room > ?1
             ORDER BY room LIMIT ?2"
        }
    };
    all(connection, sql, (after.0, limit), |row| Ok((RoomId(id(row, 0)?), row.get(1)?)))
}

/// There are few rows in the outbox, and hardly ever one of a deleted room.
pub(super) fn ending(connection: &Connection, after: RoomId, limit: u32) -> Result<Vec<RoomId>, Fault> {
    let sql = "SELECT DISTINCT o.room FROM outbox o CROSS JOIN rooms r ON r.room = o.room
        WHERE o.room > ?1 AND r.deleted > 0 ORDER BY o.room LIMIT ?2";
    all(connection, sql, (after.0, limit), |row| Ok(RoomId(id(row, 0)?)))
}

pub(super) fn may_see(connection: &Connection, watcher: UserId, user: UserId) -> Result<bool, Fault> {
    // A 1:1 (kind 3) counts for the one who did not open it, once it is accepted (state 1).
    let sql = "SELECT NOT EXISTS (
            SELECT 1 FROM blocks WHERE (by = ?1 AND user = ?2) OR (by = ?2 AND user = ?1)
        ) AND NOT EXISTS (
            SELECT 1 FROM hidden WHERE user = ?2
        ) AND EXISTS (
            SELECT 1 FROM members a
            CROSS JOIN members b ON b.room = a.room AND b.user = ?2
            CROSS JOIN rooms r ON r.room = a.room
            WHERE a.user = ?1 AND (r.kind <> 3 OR r.creator <> ?1 AND NOT EXISTS (
                SELECT 1 FROM message_requests q WHERE q.room = r.room AND q.state <> 1
            ))
        )";
    Ok(connection.prepare_cached(sql)?.query_row((watcher.0, user.0), |row| row.get(0))?)
}
