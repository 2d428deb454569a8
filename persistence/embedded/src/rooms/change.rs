//! Metadata commands: one transaction each.

use lynk_domain::{MediaId, Millis, Ordinal, Role, RoomId, RoomKind, Seq, UserId};
use lynk_model::{
    Act, BLOCKS_PER_USER_MAX, DirectFrom, MetaChange, MetaEvent, MetaOutcome, MetaTransaction, MoreSettings,
    NAME_RESERVED_MILLIS, RoomRow, RoomWish, listed_name, rooms_max, unique_name,
};
use rusqlite::{Connection, OptionalExtension, Params, Transaction, TransactionBehavior, params};

use super::{asking, links, moderation, reports, strangers};
use crate::Fault;
use crate::sqlite::{bits, commit, number};

/// Expired results dropped by one command, so that no command pays for many.
const RESULTS_PRUNED_MAX: u32 = 32;

pub(super) fn execute(tx: &Transaction<'_>, sql: &str, params: impl Params) -> Result<usize, Fault> {
    Ok(tx.prepare_cached(sql)?.execute(params)?)
}

/// Carries out a command, whose result is kept for the first of two times in milliseconds, and what it is among acts of moderators for the second. Refused commands leave nothing behind.
pub(super) fn apply(
    connection: &mut Connection,
    command: &MetaTransaction,
    (key_life_millis, moderation_life_millis): (u64, u64),
) -> Result<MetaOutcome, Fault> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if let Some(known) = known_result(&tx, command)? {
        return strangers::repeated(&tx, command, known);
    }
    let mut asked = false;
    let outcome = match &command.change {
        MetaChange::Create { row, members } => create(&tx, command, row, members)?,
        MetaChange::Begin { row, user, requests_max } => {
            let (outcome, stranger) = strangers::begin(&tx, command, row, *user, *requests_max)?;
            asked = stranger;
            outcome
        }
        MetaChange::Conversation(change) => strangers::change(&tx, command, *change)?,
        MetaChange::Event(event) => change(&tx, command, event)?,
        MetaChange::Block { by, user, on } => block(&tx, command.room, *by, *user, *on)?,
        MetaChange::Link(link) => links::make(&tx, command, link)?,
        MetaChange::Unlink { link } => links::end(&tx, command.room, *link)?,
        MetaChange::Enter { hash } => links::enter(&tx, command, hash)?,
        MetaChange::Ask { text } => asking::ask(&tx, command, text)?,
        MetaChange::Withdraw => asking::withdraw(&tx, command)?,
        MetaChange::Accept { user } => asking::accept(&tx, command, *user)?,
        MetaChange::Decline { user } => asking::decline(&tx, command, *user)?,
        MetaChange::Report(report) => reports::make(&tx, command, report, moderation_life_millis)?,
        MetaChange::Resolve(resolution) => reports::resolve(&tx, command, resolution)?,
    };
    let Some((version, event)) = outcome.written() else {
        return Ok(outcome);
    };
    if let Some(event) = event {
        put_outbox(&tx, command, version, event)?;
    }
    keep_result(&tx, command, version, key_life_millis)?;
    if let Some(act) = Act::of(command) {
        moderation::keep(&tx, command.room, &act, moderation_life_millis)?;
    }
    commit(tx)?;
    Ok(if asked { MetaOutcome::Requested { version, repeated: None } } else { outcome })
}

/// Notes that a user hides, or no longer does.
pub(super) fn set_hidden(connection: &Connection, user: UserId, hidden: bool) -> Result<(), Fault> {
    let sql = match hidden {
        true => "INSERT INTO hidden (user) VALUES (?1) ON CONFLICT DO NOTHING",
        false => "DELETE FROM hidden WHERE user = ?1",
    };
    connection.prepare_cached(sql)?.execute([user.0])?;
    Ok(())
}

/// Sets who may begin a conversation of two with a user.
pub(super) fn set_direct_from(connection: &Connection, user: UserId, from: DirectFrom) -> Result<(), Fault> {
    if from == DirectFrom::Everyone {
        connection.prepare_cached("DELETE FROM direct_from WHERE user = ?1")?.execute([user.0])?;
        return Ok(());
    }
    let sql = "INSERT OR REPLACE INTO direct_from (user, who) VALUES (?1, ?2)";
    connection.prepare_cached(sql)?.execute((user.0, from as u8))?;
    Ok(())
}

pub(super) fn set_wish(
    connection: &Connection,
    room: RoomId,
    user: UserId,
    wish: RoomWish,
) -> Result<bool, Fault> {
    let sql = "UPDATE members SET muted_until = ?3, wish = ?4 WHERE room = ?1 AND user = ?2";
    let values = (room.0, user.0, bits(wish.muted_until.0), wish.wish as u8);
    Ok(connection.prepare_cached(sql)?.execute(values)? == 1)
}

pub(super) fn clear(
    connection: &Connection,
    room: RoomId,
    user: UserId,
    seq: Seq,
    n: Ordinal,
) -> Result<bool, Fault> {
    let sql = "UPDATE members SET cleared_n = iif(?3 > cleared, ?4, cleared_n), cleared = max(?3, cleared)
        WHERE room = ?1 AND user = ?2";
    let values = (room.0, user.0, bits(seq.0), bits(n.0));
    Ok(connection.prepare_cached(sql)?.execute(values)? == 1)
}

/// What an earlier command with the same key came to.
fn known_result(tx: &Transaction<'_>, command: &MetaTransaction) -> Result<Option<MetaOutcome>, Fault> {
    if command.key.is_nil() {
        return Ok(None);
    }
    let mut statement = tx.prepare_cached(
        "SELECT content_hash, version, seq FROM results WHERE actor = ?1 AND room = ?2 AND key = ?3",
    )?;
    let scope = (command.actor.0, command.room.0, command.key.0);
    let known = statement
        .query_row(scope, |row| Ok((number(row, 0)?, number(row, 1)?, number(row, 2)?)))
        .optional()?;
    Ok(known.map(|(hash, version, seq)| {
        if hash == command.content_hash {
            MetaOutcome::Repeated { version, seq: Seq(seq) }
        } else {
            MetaOutcome::Conflict
        }
    }))
}

fn keep_result(
    tx: &Transaction<'_>,
    command: &MetaTransaction,
    version: u64,
    key_life_millis: u64,
) -> Result<(), Fault> {
    if command.key.is_nil() {
        return Ok(());
    }
    execute(
        tx,
        "INSERT INTO results (actor, room, key, content_hash, version, seq, wall)
         VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6)",
        params![
            command.actor.0,
            command.room.0,
            command.key.0,
            bits(command.content_hash),
            bits(version),
            bits(command.wall.0)
        ],
    )?;
    let oldest = command.wall.0.saturating_sub(key_life_millis);
    execute(
        tx,
        "DELETE FROM results WHERE (actor, room, key) IN (
            SELECT actor, room, key FROM results
            WHERE wall < ?1 AND (seq > 0 OR version = 0) ORDER BY wall LIMIT ?2)",
        (bits(oldest), RESULTS_PRUNED_MAX),
    )?;
    Ok(())
}

fn put_outbox(
    tx: &Transaction<'_>,
    command: &MetaTransaction,
    version: u64,
    event: &MetaEvent,
) -> Result<(), Fault> {
    let mut encoded = Vec::new();
    event.encode(&mut encoded);
    execute(
        tx,
        "INSERT INTO outbox (room, version, actor, key, wall, event) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![command.room.0, bits(version), command.actor.0, command.key.0, bits(command.wall.0), encoded],
    )?;
    Ok(())
}

/// Takes a unique name for `room`; `false` when another room has it or gave it up too recently.
fn take_name(tx: &Transaction<'_>, room: RoomId, folded: &str, wall: Millis) -> Result<bool, Fault> {
    let holder: Option<([u8; 16], Option<i64>)> = tx
        .prepare_cached("SELECT room, freed FROM names WHERE folded = ?1")?
        .query_row([folded], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((_, freed)) = holder.filter(|(holder, _)| *holder != room.0) {
        let open = |freed: i64| wall.0 >= freed.cast_unsigned().saturating_add(NAME_RESERVED_MILLIS);
        if !freed.is_some_and(open) {
            return Ok(false);
        }
    }
    let sql = "INSERT INTO names (folded, room, freed) VALUES (?1, ?2, NULL)
        ON CONFLICT (folded) DO UPDATE SET room = excluded.room, freed = NULL";
    execute(tx, sql, (folded, room.0))?;
    Ok(true)
}

pub(super) fn create(
    tx: &Transaction<'_>,
    command: &MetaTransaction,
    row: &RoomRow,
    members: &[(UserId, Role)],
) -> Result<MetaOutcome, Fault> {
    let room = command.room;
    if tx.prepare_cached("SELECT 1 FROM rooms WHERE room = ?1")?.exists([room.0])? {
        return Ok(MetaOutcome::Exists);
    }
    for (user, _) in members {
        if let Some(refusal) = refuses(tx, command.actor, *user, row.kind)? {
            return Ok(refusal);
        }
    }
    if let Some(name) = unique_name(row.kind, &row.name)
        && !take_name(tx, room, &name, command.wall)?
    {
        return Ok(MetaOutcome::NameTaken);
    }
    put_row(tx, &RoomRow { room, version: 1, ..row.clone() })?;
    for (user, role) in members {
        let by_stranger = row.kind != RoomKind::Direct && strangers::is_stranger(tx, command.actor, *user)?;
        put_member(tx, room, (*user, by_stranger), *role, 1)?;
    }
    let event = MetaEvent::Created { kind: row.kind, name: row.name.clone() };
    Ok(MetaOutcome::Applied { version: 1, event: Some(event) })
}

/// Adds the row of a room.
pub(super) fn put_row(tx: &Transaction<'_>, row: &RoomRow) -> Result<(), Fault> {
    execute(
        tx,
        "INSERT INTO rooms (room, kind, name, creator, created, level, visibility, slow_mode_seconds, version,
            description, avatar, members_max, read_only, deleted, retention_days, listed)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
        params![
            row.room.0,
            row.kind as u8,
            row.name,
            row.creator.0,
            bits(row.created.0),
            row.level as u8,
            row.visibility as u8,
            row.slow_mode_seconds,
            bits(row.version),
            row.description,
            row.avatar.0,
            row.members_max,
            row.read_only,
            bits(row.deleted.0),
            row.retention_days,
            listed_name(&row.name)
        ],
    )?;
    Ok(())
}

/// Whether the query finds `max` rows or more.
pub(super) fn reaches(tx: &Transaction<'_>, sql: &str, user: UserId, max: u32) -> Result<bool, Fault> {
    let found: u32 = tx.prepare_cached(sql)?.query_row((user.0, max), |row| row.get(0))?;
    Ok(found >= max)
}

/// Why `user` may not become a member by `actor`.
pub(super) fn refuses(
    tx: &Transaction<'_>,
    actor: UserId,
    user: UserId,
    kind: RoomKind,
) -> Result<Option<MetaOutcome>, Fault> {
    let sql = "SELECT 1 FROM blocks WHERE (by = ?1 AND user = ?2) OR (by = ?2 AND user = ?1)";
    if user != actor && tx.prepare_cached(sql)?.exists((actor.0, user.0))? {
        return Ok(Some(MetaOutcome::Blocked));
    }
    let sql = "SELECT count(*) FROM (SELECT 1 FROM members WHERE user = ?1 LIMIT ?2)";
    Ok(reaches(tx, sql, user, rooms_max(actor, user, kind))?.then_some(MetaOutcome::Limit))
}

/// Whether `user` takes no conversation of two from `actor`, and is added to no room by it when it is a stranger.
pub(super) fn is_closed(tx: &Transaction<'_>, actor: UserId, user: UserId) -> Result<bool, Fault> {
    if actor == user {
        return Ok(false);
    }
    Ok(match super::load::direct_from(tx, user)? {
        DirectFrom::Everyone => false,
        DirectFrom::Rooms => !strangers::knows(tx, user, actor)?,
        DirectFrom::Nobody => true,
    })
}

fn put_member(
    tx: &Transaction<'_>,
    room: RoomId,
    (user, by_stranger): (UserId, bool),
    role: Role,
    version: u64,
) -> Result<(), Fault> {
    execute(
        tx,
        "INSERT OR REPLACE INTO members (room, user, role, joined_version, joined_seq, by_stranger)
         VALUES (?1, ?2, ?3, ?4, 0, ?5)",
        (room.0, user.0, role as u8, bits(version), by_stranger),
    )?;
    Ok(())
}

pub(super) fn change(
    tx: &Transaction<'_>,
    command: &MetaTransaction,
    event: &MetaEvent,
) -> Result<MetaOutcome, Fault> {
    let room = command.room;
    let known: Option<(u8, String, u64)> = tx
        .prepare_cached("SELECT kind, name, version FROM rooms WHERE room = ?1 AND deleted = 0")?
        .query_row([room.0], |row| Ok((row.get(0)?, row.get(1)?, number(row, 2)?)))
        .optional()?;
    let Some((kind, name, version)) = known else {
        return Ok(MetaOutcome::Missing);
    };
    let kind = RoomKind::from_u8(kind).ok_or_else(|| Fault::corrupt("a room has an unknown kind"))?;
    if matches!(event, MetaEvent::Created { .. }) {
        return Ok(MetaOutcome::Exists);
    }
    if let MetaEvent::Joined { user, .. } = event
        && !tx
            .prepare_cached("SELECT 1 FROM members WHERE room = ?1 AND user = ?2")?
            .exists((room.0, user.0))?
        // Nobody is added to a 1:1.
        && let Some(refusal) = refuses(tx, command.actor, *user, RoomKind::Public)?
    {
        return Ok(refusal);
    }
    let by_stranger = match (&command.change, event) {
        // Others than by their own command, a link or a request of theirs.
        (MetaChange::Event(_), MetaEvent::Joined { user, .. }) => {
            let stranger = strangers::is_stranger(tx, command.actor, *user)?;
            if stranger && is_closed(tx, command.actor, *user)? {
                return Ok(MetaOutcome::Closed);
            }
            stranger
        }
        _ => false,
    };
    let renamed = match event {
        MetaEvent::Settings { name, more, .. } => {
            Some(unique_name(more.as_ref().map_or(kind, |more| more.kind), name))
        }
        MetaEvent::Deleted => Some(None),
        _ => None,
    };
    if let Some(new) = renamed
        && !rename(tx, command, unique_name(kind, &name), new)?
    {
        return Ok(MetaOutcome::NameTaken);
    }
    let version = version + 1;
    execute(tx, "UPDATE rooms SET version = ?2 WHERE room = ?1", (room.0, bits(version)))?;
    apply_event(tx, command, event, version, by_stranger)?;
    Ok(MetaOutcome::Applied { version, event: Some(event.clone()) })
}

/// Moves a room to another unique name, or to none; the old one stays closed to others for a while.
fn rename(
    tx: &Transaction<'_>,
    command: &MetaTransaction,
    old: Option<String>,
    new: Option<String>,
) -> Result<bool, Fault> {
    if old == new {
        return Ok(true);
    }
    if let Some(new) = new
        && !take_name(tx, command.room, &new, command.wall)?
    {
        return Ok(false);
    }
    if let Some(old) = old {
        let sql = "UPDATE names SET freed = ?3 WHERE folded = ?1 AND room = ?2";
        execute(tx, sql, (old, command.room.0, bits(command.wall.0)))?;
    }
    Ok(true)
}

fn apply_event(
    tx: &Transaction<'_>,
    command: &MetaTransaction,
    event: &MetaEvent,
    version: u64,
    by_stranger: bool,
) -> Result<(), Fault> {
    let room = command.room;
    let of_user = |sql: &str, user: &UserId| execute(tx, sql, (room.0, user.0));
    let sentence = |sql: &str, user: &UserId, until: &Millis, reason: &str| {
        let (by, at) = (command.actor.0, bits(command.wall.0));
        execute(tx, sql, (room.0, user.0, bits(until.0), reason, by, at))
    };
    match event {
        MetaEvent::Created { .. } => return Ok(()),
        MetaEvent::Joined { user, role } => {
            asking::remove(tx, room, *user)?;
            return put_member(tx, room, (*user, by_stranger), *role, version);
        }
        MetaEvent::Left { user } | MetaEvent::Kicked { user, .. } => of_user(REMOVE_MEMBER, user)?,
        MetaEvent::Banned { user, until, reason } => {
            of_user(REMOVE_MEMBER, user)?;
            asking::remove(tx, room, *user)?;
            let sql = "INSERT OR REPLACE INTO bans (room, user, until, reason, by, at)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            sentence(sql, user, until, reason)?
        }
        MetaEvent::Unbanned { user } => of_user("DELETE FROM bans WHERE room = ?1 AND user = ?2", user)?,
        MetaEvent::Muted { user, until } => {
            let sql = "INSERT OR REPLACE INTO mutes (room, user, until, reason, by, at)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            sentence(sql, user, until, "")?
        }
        MetaEvent::Unmuted { user } => of_user("DELETE FROM mutes WHERE room = ?1 AND user = ?2", user)?,
        MetaEvent::Role { user, role } => set_role(tx, room, *user, *role)?,
        MetaEvent::Transferred { user } => {
            set_role(tx, room, command.actor, Role::Admin)?;
            set_role(tx, room, *user, Role::Owner)?
        }
        MetaEvent::Pinned { target, on } => {
            let sql = if *on {
                "INSERT OR IGNORE INTO pins (room, seq) VALUES (?1, ?2)"
            } else {
                "DELETE FROM pins WHERE room = ?1 AND seq = ?2"
            };
            execute(tx, sql, (room.0, bits(target.0)))?
        }
        MetaEvent::Settings { name, level, visibility, slow_mode_seconds, more } => {
            let sql =
                "UPDATE rooms SET name = ?2, level = ?3, visibility = ?4, slow_mode_seconds = ?5, listed = ?6
                WHERE room = ?1";
            let values =
                (room.0, name, *level as u8, *visibility as u8, *slow_mode_seconds, listed_name(name));
            execute(tx, sql, values)?;
            let Some(more) = more else { return Ok(()) };
            let sql =
                "UPDATE rooms SET kind = ?2, description = ?3, avatar = ?4, members_max = ?5, read_only = ?6,
                    retention_days = ?7 WHERE room = ?1";
            let MoreSettings { kind, description, avatar, members_max, retention_days, read_only } = &**more;
            let values = (room.0, *kind as u8, description, avatar.0, members_max, read_only, retention_days);
            execute(tx, sql, values)?
        }
        MetaEvent::Deleted => {
            for sql in [
                "DELETE FROM members WHERE room = ?1",
                "DELETE FROM bans WHERE room = ?1",
                "DELETE FROM mutes WHERE room = ?1",
                "DELETE FROM pins WHERE room = ?1",
                "DELETE FROM links WHERE room = ?1",
                "DELETE FROM join_requests WHERE room = ?1",
                "DELETE FROM moderation WHERE room = ?1",
            ] {
                execute(tx, sql, [room.0])?;
            }
            let sql = "UPDATE rooms SET deleted = ?2, name = '', listed = '', description = '', avatar = ?3 WHERE room = ?1";
            execute(tx, sql, (room.0, bits(command.wall.0), MediaId::NIL.0))?
        }
    };
    Ok(())
}

const REMOVE_MEMBER: &str = "DELETE FROM members WHERE room = ?1 AND user = ?2";

fn set_role(tx: &Transaction<'_>, room: RoomId, user: UserId, role: Role) -> Result<usize, Fault> {
    execute(tx, "UPDATE members SET role = ?3 WHERE room = ?1 AND user = ?2", (room.0, user.0, role as u8))
}

fn block(
    tx: &Transaction<'_>,
    room: RoomId,
    by: UserId,
    user: UserId,
    on: bool,
) -> Result<MetaOutcome, Fault> {
    if on {
        let known = "SELECT 1 FROM blocks WHERE by = ?1 AND user = ?2";
        let known = tx.prepare_cached(known)?.exists((by.0, user.0))?;
        let sql = "SELECT count(*) FROM (SELECT 1 FROM blocks WHERE by = ?1 LIMIT ?2)";
        if !known && reaches(tx, sql, by, BLOCKS_PER_USER_MAX)? {
            return Ok(MetaOutcome::Limit);
        }
        let sql = "INSERT OR REPLACE INTO blocks (by, user, room) VALUES (?1, ?2, ?3)";
        execute(tx, sql, (by.0, user.0, room.0))?;
    } else {
        execute(tx, "DELETE FROM blocks WHERE by = ?1 AND user = ?2", (by.0, user.0))?;
    }
    Ok(MetaOutcome::Applied { version: 0, event: None })
}

/// Drops an outbox row; its event is in the room's log as `seq`.
pub(super) fn confirm(
    connection: &mut Connection,
    room: RoomId,
    version: u64,
    seq: Seq,
) -> Result<(), Fault> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let row = (room.0, bits(version));
    let at = (room.0, bits(version), bits(seq.0));
    execute(&tx, "DELETE FROM outbox WHERE room = ?1 AND version = ?2", row)?;
    execute(
        &tx,
        "UPDATE members SET joined_seq = ?3 WHERE room = ?1 AND joined_version = ?2 AND joined_seq = 0",
        at,
    )?;
    execute(&tx, "UPDATE results SET seq = ?3 WHERE room = ?1 AND version = ?2 AND seq = 0", at)?;
    commit(tx)
}

#[cfg(test)]
mod tests {
    use lynk_domain::{Key, direct_room_id};

    use super::super::schema;
    use super::*;

    /// Fills a table with as many rows as `sql` makes of the numbers below 10,000.
    fn fill(connection: &Connection, sql: &str, by: UserId) {
        let numbers = "WITH RECURSIVE n (i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n WHERE i < 9999)";
        connection.execute(&format!("{numbers} {sql}"), [by.0]).expect("fills");
    }

    fn command(room: RoomId, actor: UserId, change: MetaChange) -> MetaTransaction {
        MetaTransaction { room, actor, key: Key::NIL, content_hash: 1, wall: Millis(1), change }
    }

    #[test]
    fn a_user_has_a_number_of_blocks_and_of_rooms() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("rooms.sqlite");
        let mut connection = crate::sqlite::open(&path, schema::STEPS, 0o600).expect("opens");
        connection.pragma_update(None, "foreign_keys", false).expect("sets");
        let (user, other) = (UserId([1; 16]), UserId([2; 16]));
        let id = "CAST(printf('%016d', i) AS BLOB)";
        fill(&connection, &format!("INSERT INTO blocks SELECT ?1, {id}, {id} FROM n"), user);
        fill(
            &connection,
            &format!(
                "INSERT INTO members (room, user, role, joined_version, joined_seq) SELECT {id}, ?1, 1, 1, 1 FROM n"
            ),
            user,
        );
        let block = |by, user, on| command(direct_room_id(by, user), by, MetaChange::Block { by, user, on });
        let known = UserId(*b"0000000000000007");
        let mut run = |command: &MetaTransaction| apply(&mut connection, command, (1, 1)).expect("answers");
        let done = MetaOutcome::Applied { version: 0, event: None };
        assert_eq!(run(&block(user, other, true)), MetaOutcome::Limit);
        assert_eq!(run(&block(user, known, true)), done, "it stands already");
        assert_eq!(run(&block(user, known, false)), done);
        assert_eq!(run(&block(user, other, true)), done);
        assert_eq!(run(&block(other, known, true)), done, "the limit is each user's own");

        let row = RoomRow::new(RoomId([9; 16]), RoomKind::Private, "n", user, Millis(1));
        let create = |by| MetaChange::Create { row: row.clone(), members: vec![(by, Role::Owner)] };
        assert_eq!(run(&command(row.room, user, create(user))), MetaOutcome::Limit);
        assert!(matches!(run(&command(row.room, other, create(other))), MetaOutcome::Applied { .. }));
        let join = MetaChange::Event(MetaEvent::Joined { user, role: Role::Member });
        assert_eq!(run(&command(row.room, user, join)), MetaOutcome::Limit);
    }
}
