//! Rooms that strangers find, and requests to become a member.

use lynk_domain::{MediaId, Millis, Role, RoomId, UserId};
use lynk_model::{
    DiscoverQuery, Discovered, JOIN_REQUESTS_PER_ROOM_MAX, JOIN_REQUESTS_PER_USER_MAX, JoinRequest,
    MEMBERS_COUNTED_MAX, MetaEvent, MetaOutcome, MetaTransaction, OwnRequest, after_prefix, listed_name,
};
use rusqlite::{Connection, OptionalExtension as _, Params, Row, Transaction, TransactionBehavior, params};

use super::change::change;
use crate::Fault;
use crate::sqlite::{bits, commit, number};

/// Rooms of older servers whose names get their form in one transaction.
const LISTED_AT_ONCE: u32 = 1_000;
const DONE: MetaOutcome = MetaOutcome::Applied { version: 0, event: None };

/// Gives the names of public rooms that an older server made the form by which they are listed.
pub(super) fn list_names(connection: &mut Connection) -> Result<(), Fault> {
    loop {
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let sql = "SELECT room, name FROM rooms WHERE listed IS NULL AND kind = 0 AND deleted = 0 LIMIT ?1";
        let rooms: Vec<([u8; 16], String)> =
            rows(&tx, sql, [LISTED_AT_ONCE], |row| Ok((row.get(0)?, row.get(1)?)))?;
        for (room, name) in &rooms {
            let sql = "UPDATE rooms SET listed = ?2 WHERE room = ?1";
            tx.prepare_cached(sql)?.execute((room, listed_name(name)))?;
        }
        commit(tx)?;
        if rooms.len() < LISTED_AT_ONCE as usize {
            return Ok(());
        }
    }
}

fn rows<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    map: fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, map)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Five columns from `first` on.
fn request_at(row: &Row<'_>, first: usize) -> rusqlite::Result<JoinRequest> {
    Ok(JoinRequest {
        user: UserId(row.get(first)?),
        text: row.get(first + 1)?,
        at: Millis(number(row, first + 2)?),
        declined: Millis(number(row, first + 3)?),
        by: UserId(row.get(first + 4)?),
    })
}

fn request(row: &Row<'_>) -> rusqlite::Result<JoinRequest> {
    request_at(row, 0)
}

/// The requests of a room, ascending by user.
pub(super) fn all(connection: &Connection, room: RoomId) -> Result<Vec<JoinRequest>, Fault> {
    let sql = "SELECT user, text, at, declined, by FROM join_requests WHERE room = ?1 ORDER BY user";
    rows(connection, sql, [room.0], request)
}

/// Those that are open.
pub(super) fn open(
    connection: &Connection,
    room: RoomId,
    after: UserId,
    wall: Millis,
    limit: u32,
) -> Result<Vec<JoinRequest>, Fault> {
    let sql = "SELECT user, text, at, declined, by FROM join_requests
        WHERE room = ?1 AND user > ?2 AND declined = 0 AND at > ?3 ORDER BY user LIMIT ?4";
    let (asked, _) = JoinRequest::oldest(wall);
    rows(connection, sql, (room.0, after.0, bits(asked.0), limit), request)
}

/// Adds the row of a request.
pub(super) fn put(tx: &Transaction<'_>, room: RoomId, request: &JoinRequest) -> Result<(), Fault> {
    let sql =
        "INSERT INTO join_requests (room, user, text, at, declined, by) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let (at, declined) = (bits(request.at.0), bits(request.declined.0));
    let values = params![room.0, request.user.0, request.text, at, declined, request.by.0];
    tx.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

fn find(tx: &Transaction<'_>, room: RoomId, user: UserId) -> Result<Option<JoinRequest>, Fault> {
    let sql = "SELECT user, text, at, declined, by FROM join_requests WHERE room = ?1 AND user = ?2";
    Ok(tx.prepare_cached(sql)?.query_row((room.0, user.0), request).optional()?)
}

pub(super) fn remove(tx: &Transaction<'_>, room: RoomId, user: UserId) -> Result<(), Fault> {
    let sql = "DELETE FROM join_requests WHERE room = ?1 AND user = ?2";
    tx.prepare_cached(sql)?.execute((room.0, user.0))?;
    Ok(())
}

pub(super) fn ask(tx: &Transaction<'_>, command: &MetaTransaction, text: &str) -> Result<MetaOutcome, Fault> {
    let (room, user, wall) = (command.room, command.actor, command.wall);
    let stands = "SELECT 1 FROM rooms WHERE room = ?1 AND deleted = 0";
    if !tx.prepare_cached(stands)?.exists([room.0])? {
        return Ok(MetaOutcome::Missing);
    }
    match find(tx, room, user)? {
        Some(request) if request.is_open(wall) => return Ok(MetaOutcome::Exists),
        Some(request) if request.counts(wall) => return Ok(MetaOutcome::Declined),
        _ => {}
    }
    let (asked, declined) = JoinRequest::oldest(wall);
    for (whose, id, max) in
        [("room", room.0, JOIN_REQUESTS_PER_ROOM_MAX), ("user", user.0, JOIN_REQUESTS_PER_USER_MAX)]
    {
        let over = format!(
            "DELETE FROM join_requests
             WHERE {whose} = ?1 AND ((declined = 0 AND at <= ?2) OR (declined > 0 AND declined <= ?3))"
        );
        tx.prepare_cached(&over)?.execute((id, bits(asked.0), bits(declined.0)))?;
        let open = format!("SELECT count(*) FROM join_requests WHERE {whose} = ?1 AND declined = 0");
        let open: u32 = tx.prepare_cached(&open)?.query_row([id], |row| row.get(0))?;
        if open >= max {
            return Ok(MetaOutcome::Limit);
        }
    }
    let request = JoinRequest { user, text: text.to_owned(), at: wall, declined: Millis(0), by: UserId::NIL };
    put(tx, room, &request)?;
    Ok(DONE)
}

pub(super) fn withdraw(tx: &Transaction<'_>, command: &MetaTransaction) -> Result<MetaOutcome, Fault> {
    if !waits(tx, command, command.actor)? {
        return Ok(MetaOutcome::NoRequest);
    }
    remove(tx, command.room, command.actor)?;
    Ok(DONE)
}

fn waits(tx: &Transaction<'_>, command: &MetaTransaction, user: UserId) -> Result<bool, Fault> {
    Ok(find(tx, command.room, user)?.is_some_and(|request| request.is_open(command.wall)))
}

pub(super) fn accept(
    tx: &Transaction<'_>,
    command: &MetaTransaction,
    user: UserId,
) -> Result<MetaOutcome, Fault> {
    match waits(tx, command, user)? {
        true => change(tx, command, &MetaEvent::Joined { user, role: Role::Member }),
        false => Ok(MetaOutcome::NoRequest),
    }
}

pub(super) fn decline(
    tx: &Transaction<'_>,
    command: &MetaTransaction,
    user: UserId,
) -> Result<MetaOutcome, Fault> {
    if !waits(tx, command, user)? {
        return Ok(MetaOutcome::NoRequest);
    }
    let sql = "UPDATE join_requests SET text = '', declined = ?3, by = ?4 WHERE room = ?1 AND user = ?2";
    tx.prepare_cached(sql)?.execute((command.room.0, user.0, bits(command.wall.0), command.actor.0))?;
    Ok(DONE)
}

pub(super) fn own(
    connection: &Connection,
    user: UserId,
    after: RoomId,
    wall: Millis,
    limit: u32,
) -> Result<Vec<OwnRequest>, Fault> {
    // Names of hidden rooms (kinds 1 and 3) are not told.
    let sql =
        "SELECT j.room, iif(r.kind IN (0, 2), r.name, ''), iif(r.kind IN (0, 2), r.avatar, zeroblob(16)),
            j.user, j.text, j.at, j.declined, j.by
        FROM join_requests j JOIN rooms r ON r.room = j.room
        WHERE j.user = ?1 AND j.room > ?2
            AND ((j.declined = 0 AND j.at > ?3) OR (j.declined > 0 AND j.declined > ?4))
        ORDER BY j.room LIMIT ?5";
    let (asked, declined) = JoinRequest::oldest(wall);
    rows(connection, sql, (user.0, after.0, bits(asked.0), bits(declined.0), limit), |row| {
        Ok(OwnRequest {
            room: RoomId(row.get(0)?),
            name: row.get(1)?,
            avatar: MediaId(row.get(2)?),
            request: request_at(row, 3)?,
        })
    })
}

pub(super) fn discover(connection: &Connection, query: &DiscoverQuery) -> Result<Vec<Discovered>, Fault> {
    let sql = "SELECT r.room, r.listed, r.name, r.description, r.avatar, r.members_max,
            (SELECT count(*) FROM (SELECT 1 FROM members m WHERE m.room = r.room LIMIT ?8)),
            EXISTS (SELECT 1 FROM members m WHERE m.room = r.room AND m.user = ?1)
        FROM rooms r
        WHERE r.kind = 0 AND r.deleted = 0 AND r.listed >= ?2 AND r.listed < ?3 AND (r.listed, r.room) > (?4, ?5)
            AND NOT EXISTS (SELECT 1 FROM bans b
                WHERE b.room = r.room AND b.user = ?1 AND (b.until = 0 OR b.until > ?6))
        ORDER BY r.listed, r.room LIMIT ?7";
    let values = params![
        query.user.0,
        query.prefix,
        after_prefix(&query.prefix),
        query.after.0,
        query.after.1.0,
        bits(query.wall.0),
        query.limit,
        MEMBERS_COUNTED_MAX
    ];
    rows(connection, sql, values, |row| {
        Ok(Discovered {
            room: RoomId(row.get(0)?),
            listed: row.get(1)?,
            name: row.get(2)?,
            description: row.get(3)?,
            avatar: MediaId(row.get(4)?),
            members_max: row.get(5)?,
            members: row.get(6)?,
            member: row.get(7)?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::schema;
    use super::*;

    #[test]
    fn public_rooms_of_an_older_server_are_listed_by_an_index() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("rooms.sqlite");
        let mut connection = crate::sqlite::open(&path, &schema::STEPS[..7], 0o600).expect("opens");
        let sql = "WITH RECURSIVE n (i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n WHERE i < 2499)
            INSERT INTO rooms (room, kind, name, creator, created, level, visibility, slow_mode_seconds, version)
            SELECT CAST(printf('%016d', i) AS BLOB), i % 3, 'Ré ' || i, zeroblob(16), 1, 1, 0, 0, 1 FROM n";
        connection.execute(sql, []).expect("fills");
        drop(connection);
        connection = crate::sqlite::open(&path, schema::STEPS, 0o600).expect("opens");
        list_names(&mut connection).expect("lists");
        let query = |prefix: &str, limit| DiscoverQuery {
            user: UserId::NIL,
            prefix: prefix.to_owned(),
            after: (String::new(), RoomId::NIL),
            wall: Millis(1),
            limit,
        };
        assert_eq!(discover(&connection, &query("re", 10_000)).expect("reads").len(), 834);
        let found = discover(&connection, &query("re 12", 2)).expect("reads");
        assert_eq!(found.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["Ré 12", "Ré 120"]);
        let plan: String = connection
            .query_row(
                "EXPLAIN QUERY PLAN SELECT room FROM rooms r WHERE r.kind = 0 AND r.deleted = 0 AND r.listed >= 'a'
                 AND r.listed < 'b' AND (r.listed, r.room) > ('', x'00') ORDER BY r.listed, r.room LIMIT 1",
                [],
                |row| row.get(3),
            )
            .expect("a plan");
        assert!(plan.contains("rooms_listed"), "{plan}");
    }
}
