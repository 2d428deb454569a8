//! Metadata commands: one transaction each.
//!
//! Thread: the bridge's. Decisions are made after the command's locks are held, by what is committed then.

use futures_util::future::{try_join, try_join3};
use lynk_domain::{MediaId, Millis, Ordinal, Role, RoomId, RoomKind, Seq, UserId};
use lynk_model::{
    Act, BLOCKS_PER_USER_MAX, DirectFrom, MetaChange, MetaEvent, MetaOutcome, MetaTransaction, MoreSettings,
    NAME_RESERVED_MILLIS, RoomRow, RoomWish, fold_name, listed_name, rooms_max, unique_name,
};
use tokio_postgres::Row;

use super::{asking, links, moderation, reports, strangers};
use crate::Fault;
use crate::column::{bits, get, id, known, number, uuid};
use crate::database::{Database, Session, Verdict};
use crate::locks::{Locks, Of, TAKE};

/// Expired results dropped by one command, so that no command pays for many.
const RESULTS_PRUNED_MAX: i64 = 32;

/// Carries out a command, whose result is kept for the first of two times in milliseconds, and what it is among acts of moderators for the second. Refused commands leave nothing behind.
pub(super) async fn apply(
    database: &Database,
    command: &MetaTransaction,
    (key_life_millis, moderation_life_millis): (u64, u64),
) -> Result<MetaOutcome, Fault> {
    let locks = locks(command);
    database
        .change(async |session| {
            session.execute(TAKE, &[&locks]).await?;
            let (known, room) = try_join(known_result(session, command), room(session, command.room)).await?;
            if let Some(known) = known {
                return Ok(Verdict::Rollback(strangers::repeated(session, command, known).await?));
            }
            let mut asked = false;
            let outcome = match &command.change {
                MetaChange::Create { row, members } => {
                    create(session, command, room.is_some(), row, members).await?
                }
                MetaChange::Begin { row, user, requests_max } => {
                    let other = (*user, *requests_max);
                    let (outcome, stranger) =
                        strangers::begin(session, command, room.is_some(), row, other).await?;
                    asked = stranger;
                    outcome
                }
                MetaChange::Conversation(change) => strangers::change(session, command, *change).await?,
                MetaChange::Event(event) => change(session, command, room, event).await?,
                MetaChange::Block { by, user, on } => block(session, command.room, *by, *user, *on).await?,
                MetaChange::Link(link) => links::make(session, command, room, link).await?,
                MetaChange::Unlink { link } => links::end(session, command.room, *link).await?,
                MetaChange::Enter { hash } => links::enter(session, command, room, hash).await?,
                MetaChange::Ask { text } => asking::ask(session, command, room, text).await?,
                MetaChange::Withdraw => asking::withdraw(session, command).await?,
                MetaChange::Accept { user } => asking::accept(session, command, room, *user).await?,
                MetaChange::Decline { user } => asking::decline(session, command, *user).await?,
                MetaChange::Report(report) => {
                    reports::make(session, command, room, report, moderation_life_millis).await?
                }
                MetaChange::Resolve(resolution) => reports::resolve(session, command, resolution).await?,
            };
            let Some((version, event)) = outcome.written() else {
                return Ok(Verdict::Rollback(outcome));
            };
            try_join3(
                put_outbox(session, command, version, event),
                keep_result(session, command, version),
                forget_results(session, command, key_life_millis),
            )
            .await?;
            if let Some(act) = Act::of(command) {
                moderation::keep(session, command.room, &act, moderation_life_millis).await?;
            }
            let asked = asked.then_some(MetaOutcome::Requested { version, repeated: None });
            Ok(Verdict::Commit(asked.unwrap_or(outcome)))
        })
        .await
}

/// Notes that a user hides, or no longer does.
pub(super) async fn set_hidden(database: &Database, user: UserId, hidden: bool) -> Result<(), Fault> {
    let sql = match hidden {
        true => "INSERT INTO rooms.hidden (user_id) VALUES ($1) ON CONFLICT DO NOTHING",
        false => "DELETE FROM rooms.hidden WHERE user_id = $1",
    };
    database
        .change(async |session| {
            session.execute(sql, &[&uuid(user.0)]).await?;
            Ok(Verdict::Commit(()))
        })
        .await
}

/// Sets who may begin a conversation of two with a user.
pub(super) async fn set_direct_from(
    database: &Database,
    user: UserId,
    from: DirectFrom,
) -> Result<(), Fault> {
    // A conversation that is being begun is begun before or after.
    let locks = Locks::default().with(Of::Member, &user.0).sorted();
    database
        .change(async |session| {
            session.execute(TAKE, &[&locks]).await?;
            put_direct_from(session, user, from).await?;
            Ok(Verdict::Commit(()))
        })
        .await
}

/// Writes who may begin a conversation of two with a user.
pub(super) async fn put_direct_from(session: &Session, user: UserId, from: DirectFrom) -> Result<(), Fault> {
    if from == DirectFrom::Everyone {
        session.execute("DELETE FROM rooms.direct_from WHERE user_id = $1", &[&uuid(user.0)]).await?;
        return Ok(());
    }
    let sql = "INSERT INTO rooms.direct_from (user_id, who) VALUES ($1, $2)
        ON CONFLICT (user_id) DO UPDATE SET who = excluded.who";
    session.execute(sql, &[&uuid(user.0), &(from as i16)]).await?;
    Ok(())
}

pub(super) async fn set_wish(
    database: &Database,
    room: RoomId,
    user: UserId,
    wish: RoomWish,
) -> Result<bool, Fault> {
    let sql = "UPDATE rooms.members SET muted_until = $3, wish = $4 WHERE room = $1 AND user_id = $2";
    let (room, user, until) = (uuid(room.0), uuid(user.0), bits(wish.muted_until.0));
    let wish = wish.wish as i16;
    database
        .change(async |session| {
            let changed = session.execute(sql, &[&room, &user, &until, &wish]).await?;
            Ok(Verdict::Commit(changed == 1))
        })
        .await
}

pub(super) async fn clear(
    database: &Database,
    room: RoomId,
    user: UserId,
    seq: Seq,
    n: Ordinal,
) -> Result<bool, Fault> {
    let (room, user, seq, n) = (uuid(room.0), uuid(user.0), bits(seq.0), bits(n.0));
    database
        .change(async |session| {
            let changed = session.execute(CLEAR, &[&room, &user, &seq, &n]).await?;
            Ok(Verdict::Commit(changed == 1))
        })
        .await
}

/// Deletes the past of a room for a member.
pub(super) const CLEAR: &str = "UPDATE rooms.members SET cleared = greatest($3, cleared),
        cleared_n = CASE WHEN $3 > cleared THEN $4 ELSE cleared_n END
    WHERE room = $1 AND user_id = $2";

/// Everything that the outcome rests on: the room, the users whose blocks and rooms are counted, the name that is taken.
fn locks(command: &MetaTransaction) -> Vec<i64> {
    let user = |locks: Locks, user: &UserId| locks.with(Of::Member, &user.0);
    let locks = Locks::default().with(Of::Room, &command.room.0);
    let locks = match &command.change {
        MetaChange::Create { row, members } => {
            let users = members.iter().map(|(user, _)| user).chain([&command.actor]);
            let locks = users.fold(locks, user);
            match unique_name(row.kind, &row.name) {
                Some(name) => locks.with(Of::RoomName, name.as_bytes()),
                None => locks,
            }
        }
        MetaChange::Begin { user: other, .. } => user(user(locks, other), &command.actor),
        MetaChange::Event(MetaEvent::Joined { user: joins, .. }) => user(user(locks, joins), &command.actor),
        // Whether names of this kind of room are unique is not known yet.
        MetaChange::Event(MetaEvent::Settings { name, .. }) => {
            locks.with(Of::RoomName, fold_name(name).as_bytes())
        }
        MetaChange::Event(_)
        | MetaChange::Link(_)
        | MetaChange::Unlink { .. }
        | MetaChange::Withdraw
        | MetaChange::Resolve(_)
        | MetaChange::Decline { .. } => locks,
        MetaChange::Enter { .. }
        | MetaChange::Ask { .. }
        | MetaChange::Report(_)
        | MetaChange::Conversation(_) => user(locks, &command.actor),
        MetaChange::Accept { user: joins } => user(user(locks, joins), &command.actor),
        MetaChange::Block { by, user: whom, .. } => user(user(locks, by), whom),
    };
    locks.sorted()
}

/// What a change must know of its room.
pub(super) struct Room {
    kind: RoomKind,
    name: String,
    pub(super) deleted: Millis,
}

async fn room(session: &Session, room: RoomId) -> Result<Option<Room>, Fault> {
    let sql = "SELECT kind, name, deleted FROM rooms.rooms WHERE room = $1";
    let row = session.row(sql, &[&uuid(room.0)]).await?;
    let of = |row: Row| {
        let deleted = Millis(number(&row, 2)?);
        Ok(Room { kind: known(&row, 0, RoomKind::from_u8)?, name: get(&row, 1)?, deleted })
    };
    row.map(of).transpose()
}

/// What an earlier command with the same key came to.
async fn known_result(session: &Session, command: &MetaTransaction) -> Result<Option<MetaOutcome>, Fault> {
    if command.key.is_nil() {
        return Ok(None);
    }
    let sql =
        "SELECT content_hash, version, seq FROM rooms.results WHERE actor = $1 AND room = $2 AND key = $3";
    let (actor, room, key) = (uuid(command.actor.0), uuid(command.room.0), uuid(command.key.0));
    let Some(row) = session.row(sql, &[&actor, &room, &key]).await? else { return Ok(None) };
    let (version, seq) = (number(&row, 1)?, Seq(number(&row, 2)?));
    let same = number(&row, 0)? == command.content_hash;
    Ok(Some(if same { MetaOutcome::Repeated { version, seq } } else { MetaOutcome::Conflict }))
}

async fn keep_result(session: &Session, command: &MetaTransaction, version: u64) -> Result<(), Fault> {
    if command.key.is_nil() {
        return Ok(());
    }
    let sql = "INSERT INTO rooms.results (actor, room, key, content_hash, version, seq, wall)
               VALUES ($1, $2, $3, $4, $5, 0, $6)";
    let (actor, room, key) = (uuid(command.actor.0), uuid(command.room.0), uuid(command.key.0));
    let (hash, version, wall) = (bits(command.content_hash), bits(version), bits(command.wall.0));
    session.execute(sql, &[&actor, &room, &key, &hash, &version, &wall]).await?;
    Ok(())
}

async fn forget_results(
    session: &Session,
    command: &MetaTransaction,
    key_life_millis: u64,
) -> Result<(), Fault> {
    // Rows that another command is forgetting are left to it.
    let sql = "DELETE FROM rooms.results WHERE (actor, room, key) IN (
                   SELECT actor, room, key FROM rooms.results
                   WHERE wall < $1 AND (seq <> 0 OR version = 0) ORDER BY wall LIMIT $2 FOR UPDATE SKIP LOCKED)";
    let oldest = bits(command.wall.0.saturating_sub(key_life_millis));
    session.execute(sql, &[&oldest, &RESULTS_PRUNED_MAX]).await?;
    Ok(())
}

async fn put_outbox(
    session: &Session,
    command: &MetaTransaction,
    version: u64,
    event: Option<&MetaEvent>,
) -> Result<(), Fault> {
    let Some(event) = event else { return Ok(()) };
    let mut encoded = Vec::new();
    event.encode(&mut encoded);
    let sql =
        "INSERT INTO rooms.outbox (room, version, actor, key, wall, event) VALUES ($1, $2, $3, $4, $5, $6)";
    let (room, actor, key) = (uuid(command.room.0), uuid(command.actor.0), uuid(command.key.0));
    let (version, wall) = (bits(version), bits(command.wall.0));
    session.execute(sql, &[&room, &version, &actor, &key, &wall, &encoded]).await?;
    Ok(())
}

/// Takes a unique name for `room`; `false` when another room has it or gave it up too recently.
async fn take_name(session: &Session, room: RoomId, folded: &str, wall: Millis) -> Result<bool, Fault> {
    let (bytes, at) = (folded.as_bytes(), uuid(room.0));
    let held = "SELECT room, freed FROM rooms.names WHERE digest = sha256($1)";
    if let Some(row) = session.row(held, &[&bytes]).await?
        && id(&row, 0)? != room.0
    {
        let freed: Option<i64> = get(&row, 1)?;
        let open = |freed: i64| wall.0 >= freed.cast_unsigned().saturating_add(NAME_RESERVED_MILLIS);
        if !freed.is_some_and(open) {
            return Ok(false);
        }
    }
    // A row that somebody has, and that is not this room's, is left alone even if it came since.
    let take = "INSERT INTO rooms.names (digest, folded, room, freed) VALUES (sha256($1), $2, $3, NULL)
        ON CONFLICT (digest) DO UPDATE SET room = excluded.room, freed = NULL
        WHERE names.room = excluded.room OR names.freed IS NOT NULL";
    Ok(session.execute(take, &[&bytes, &folded, &at]).await? == 1)
}

pub(super) async fn create(
    session: &Session,
    command: &MetaTransaction,
    exists: bool,
    row: &RoomRow,
    members: &[(UserId, Role)],
) -> Result<MetaOutcome, Fault> {
    let room = command.room;
    if exists {
        return Ok(MetaOutcome::Exists);
    }
    for (user, _) in members {
        if let Some(refusal) = refuses(session, command.actor, *user, row.kind).await? {
            return Ok(refusal);
        }
    }
    if let Some(name) = unique_name(row.kind, &row.name)
        && !take_name(session, room, &name, command.wall).await?
    {
        return Ok(MetaOutcome::NameTaken);
    }
    put_row(session, &RoomRow { room, version: 1, ..row.clone() }).await?;
    for (user, role) in members {
        let by_stranger =
            row.kind != RoomKind::Direct && strangers::is_stranger(session, command.actor, *user).await?;
        put_member(session, room, (*user, by_stranger), *role, 1).await?;
    }
    let event = MetaEvent::Created { kind: row.kind, name: row.name.clone() };
    Ok(MetaOutcome::Applied { version: 1, event: Some(event) })
}

/// Puts the row of a room in place of the one there is.
pub(super) async fn put_row(session: &Session, row: &RoomRow) -> Result<(), Fault> {
    let sql = "INSERT INTO rooms.rooms (room, kind, name, creator, created, level, visibility, slow_mode_seconds,
            version, description, avatar, members_max, read_only, deleted, retention_days, listed)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
        ON CONFLICT (room) DO UPDATE SET kind = excluded.kind, name = excluded.name, creator = excluded.creator,
            created = excluded.created, level = excluded.level, visibility = excluded.visibility,
            slow_mode_seconds = excluded.slow_mode_seconds, version = excluded.version,
            description = excluded.description, avatar = excluded.avatar, members_max = excluded.members_max,
            read_only = excluded.read_only, deleted = excluded.deleted, retention_days = excluded.retention_days,
            listed = excluded.listed";
    session
        .execute(
            sql,
            &[
                &uuid(row.room.0),
                &(row.kind as i16),
                &row.name,
                &uuid(row.creator.0),
                &bits(row.created.0),
                &(row.level as i16),
                &(row.visibility as i16),
                &i64::from(row.slow_mode_seconds),
                &bits(row.version),
                &row.description,
                &uuid(row.avatar.0),
                &i64::from(row.members_max),
                &row.read_only,
                &bits(row.deleted.0),
                &i64::from(row.retention_days),
                &listed_name(&row.name),
            ],
        )
        .await?;
    Ok(())
}

/// Whether the query, of a user and a limit, finds as many rows as the limit.
pub(super) async fn reaches(session: &Session, sql: &str, user: UserId, max: u32) -> Result<bool, Fault> {
    let max = i64::from(max);
    let row = session.row(sql, &[&uuid(user.0), &max]).await?;
    let found: i64 = row.as_ref().map_or(Ok(0), |row| get(row, 0))?;
    Ok(found >= max)
}

/// Why `user` may not become a member by `actor`.
pub(super) async fn refuses(
    session: &Session,
    actor: UserId,
    user: UserId,
    kind: RoomKind,
) -> Result<Option<MetaOutcome>, Fault> {
    let blocked = async {
        let sql = "SELECT 1 FROM rooms.blocks
                   WHERE (by_user = $1 AND user_id = $2) OR (by_user = $2 AND user_id = $1) LIMIT 1";
        Ok(user != actor && session.row(sql, &[&uuid(actor.0), &uuid(user.0)]).await?.is_some())
    };
    let sql = "SELECT count(*) FROM (SELECT 1 FROM rooms.members WHERE user_id = $1 LIMIT $2) AS counted";
    let full = reaches(session, sql, user, rooms_max(actor, user, kind));
    let (blocked, full) = try_join(blocked, full).await?;
    Ok(if blocked { Some(MetaOutcome::Blocked) } else { full.then_some(MetaOutcome::Limit) })
}

/// Whether `user` takes no conversation of two from `actor`, and is added to no room by it when it is a stranger.
pub(super) async fn is_closed(session: &Session, actor: UserId, user: UserId) -> Result<bool, Fault> {
    if actor == user {
        return Ok(false);
    }
    let sql = "SELECT who FROM rooms.direct_from WHERE user_id = $1";
    let Some(row) = session.row(sql, &[&uuid(user.0)]).await? else { return Ok(false) };
    Ok(match known(&row, 0, DirectFrom::from_u8)? {
        DirectFrom::Everyone => false,
        DirectFrom::Rooms => !strangers::knows(session, user, actor).await?,
        DirectFrom::Nobody => true,
    })
}

async fn put_member(
    session: &Session,
    room: RoomId,
    (user, by_stranger): (UserId, bool),
    role: Role,
    version: u64,
) -> Result<(), Fault> {
    let sql = "INSERT INTO rooms.members (room, user_id, role, joined_version, joined_seq, by_stranger)
        VALUES ($1, $2, $3, $4, 0, $5)
        ON CONFLICT (room, user_id) DO UPDATE
        SET role = excluded.role, joined_version = excluded.joined_version, joined_seq = 0,
            muted_until = 0, wish = 0, cleared = 0, cleared_n = 0, by_stranger = excluded.by_stranger";
    let (room, user, role) = (uuid(room.0), uuid(user.0), role as i16);
    session.execute(sql, &[&room, &user, &role, &bits(version), &by_stranger]).await?;
    Ok(())
}

pub(super) async fn change(
    session: &Session,
    command: &MetaTransaction,
    room: Option<Room>,
    event: &MetaEvent,
) -> Result<MetaOutcome, Fault> {
    let Some(Room { kind, name, deleted: Millis(0) }) = room else { return Ok(MetaOutcome::Missing) };
    let at = uuid(command.room.0);
    if matches!(event, MetaEvent::Created { .. }) {
        return Ok(MetaOutcome::Exists);
    }
    if let MetaEvent::Joined { user, .. } = event {
        let member = "SELECT 1 FROM rooms.members WHERE room = $1 AND user_id = $2";
        if session.row(member, &[&at, &uuid(user.0)]).await?.is_none()
            // Nobody is added to a 1:1.
            && let Some(refusal) = refuses(session, command.actor, *user, RoomKind::Public).await?
        {
            return Ok(refusal);
        }
    }
    let by_stranger = match (&command.change, event) {
        // Others than by their own command, a link or a request of theirs.
        (MetaChange::Event(_), MetaEvent::Joined { user, .. }) => {
            let stranger = strangers::is_stranger(session, command.actor, *user).await?;
            if stranger && is_closed(session, command.actor, *user).await? {
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
        && !rename(session, command, unique_name(kind, &name), new).await?
    {
        return Ok(MetaOutcome::NameTaken);
    }
    let sql = "UPDATE rooms.rooms SET version = version + 1 WHERE room = $1 RETURNING version";
    let row = session.row(sql, &[&at]).await?;
    let version =
        row.map_or_else(|| Err(Fault::corrupt("a room vanished under its lock")), |row| number(&row, 0))?;
    apply_event(session, command, event, version, by_stranger).await?;
    Ok(MetaOutcome::Applied { version, event: Some(event.clone()) })
}

/// Moves a room to another unique name, or to none; the old one stays closed to others for a while.
async fn rename(
    session: &Session,
    command: &MetaTransaction,
    old: Option<String>,
    new: Option<String>,
) -> Result<bool, Fault> {
    if old == new {
        return Ok(true);
    }
    if let Some(new) = new
        && !take_name(session, command.room, &new, command.wall).await?
    {
        return Ok(false);
    }
    if let Some(old) = old {
        let sql = "UPDATE rooms.names SET freed = $3 WHERE digest = sha256($1) AND room = $2";
        session.execute(sql, &[&old.as_bytes(), &uuid(command.room.0), &bits(command.wall.0)]).await?;
    }
    Ok(true)
}

const REMOVE_MEMBER: &str = "DELETE FROM rooms.members WHERE room = $1 AND user_id = $2";

async fn apply_event(
    session: &Session,
    command: &MetaTransaction,
    event: &MetaEvent,
    version: u64,
    by_stranger: bool,
) -> Result<(), Fault> {
    let room = uuid(command.room.0);
    let of_user = async |sql: &str, user: &UserId| session.execute(sql, &[&room, &uuid(user.0)]).await;
    let (by, at) = (uuid(command.actor.0), bits(command.wall.0));
    let sentence = async |table: &str, user: &UserId, until: &Millis, reason: &str| {
        let sql = format!(
            "INSERT INTO rooms.{table} (room, user_id, until, reason, by_user, at) VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (room, user_id) DO UPDATE SET until = excluded.until, reason = excluded.reason,
                by_user = excluded.by_user, at = excluded.at"
        );
        session.execute(&sql, &[&room, &uuid(user.0), &bits(until.0), &reason, &by, &at]).await
    };
    match event {
        MetaEvent::Created { .. } => return Ok(()),
        MetaEvent::Joined { user, role } => {
            let member = put_member(session, command.room, (*user, by_stranger), *role, version);
            return try_join(member, asking::remove(session, command.room, *user)).await.map(drop);
        }
        MetaEvent::Left { user } | MetaEvent::Kicked { user, .. } => of_user(REMOVE_MEMBER, user).await?,
        MetaEvent::Banned { user, until, reason } => {
            of_user(REMOVE_MEMBER, user).await?;
            asking::remove(session, command.room, *user).await?;
            sentence("bans", user, until, reason).await?
        }
        MetaEvent::Unbanned { user } => {
            of_user("DELETE FROM rooms.bans WHERE room = $1 AND user_id = $2", user).await?
        }
        MetaEvent::Muted { user, until } => sentence("mutes", user, until, "").await?,
        MetaEvent::Unmuted { user } => {
            of_user("DELETE FROM rooms.mutes WHERE room = $1 AND user_id = $2", user).await?
        }
        MetaEvent::Role { user, role } => set_role(session, command.room, *user, *role).await?,
        MetaEvent::Transferred { user } => {
            set_role(session, command.room, command.actor, Role::Admin).await?;
            set_role(session, command.room, *user, Role::Owner).await?
        }
        MetaEvent::Pinned { target, on } => {
            let sql = if *on {
                "INSERT INTO rooms.pins (room, seq) VALUES ($1, $2) ON CONFLICT (room, seq) DO NOTHING"
            } else {
                "DELETE FROM rooms.pins WHERE room = $1 AND seq = $2"
            };
            session.execute(sql, &[&room, &bits(target.0)]).await?
        }
        MetaEvent::Settings { name, level, visibility, slow_mode_seconds, more } => {
            let sql = "UPDATE rooms.rooms SET name = $2, level = $3, visibility = $4, slow_mode_seconds = $5,
                           listed = $6
                       WHERE room = $1";
            let (level, visibility, slow) =
                (*level as i16, *visibility as i16, i64::from(*slow_mode_seconds));
            let listed = listed_name(name);
            session.execute(sql, &[&room, name, &level, &visibility, &slow, &listed]).await?;
            let Some(more) = more else { return Ok(()) };
            let MoreSettings { kind, description, avatar, members_max, retention_days, read_only } = &**more;
            let sql = "UPDATE rooms.rooms SET kind = $2, description = $3, avatar = $4, members_max = $5,
                           read_only = $6, retention_days = $7
                       WHERE room = $1";
            let (kind, avatar, max) = (*kind as i16, uuid(avatar.0), i64::from(*members_max));
            let days = i64::from(*retention_days);
            session.execute(sql, &[&room, &kind, description, &avatar, &max, read_only, &days]).await?
        }
        MetaEvent::Deleted => {
            for table in ["members", "bans", "mutes", "pins", "links", "join_requests", "moderation"] {
                session.execute(&format!("DELETE FROM rooms.{table} WHERE room = $1"), &[&room]).await?;
            }
            let sql =
                "UPDATE rooms.rooms SET deleted = $2, name = '', listed = '', description = '', avatar = $3
                       WHERE room = $1";
            session.execute(sql, &[&room, &at, &uuid(MediaId::NIL.0)]).await?
        }
    };
    Ok(())
}

async fn set_role(session: &Session, room: RoomId, user: UserId, role: Role) -> Result<u64, Fault> {
    let sql = "UPDATE rooms.members SET role = $3 WHERE room = $1 AND user_id = $2";
    session.execute(sql, &[&uuid(room.0), &uuid(user.0), &(role as i16)]).await
}

async fn block(
    session: &Session,
    room: RoomId,
    by: UserId,
    user: UserId,
    on: bool,
) -> Result<MetaOutcome, Fault> {
    let (blocker, blocked) = (uuid(by.0), uuid(user.0));
    if on {
        let known = "SELECT 1 FROM rooms.blocks WHERE by_user = $1 AND user_id = $2";
        let known: Option<Row> = session.row(known, &[&blocker, &blocked]).await?;
        let sql = "SELECT count(*) FROM (SELECT 1 FROM rooms.blocks WHERE by_user = $1 LIMIT $2) AS counted";
        if known.is_none() && reaches(session, sql, by, BLOCKS_PER_USER_MAX).await? {
            return Ok(MetaOutcome::Limit);
        }
        let sql = "INSERT INTO rooms.blocks (by_user, user_id, room) VALUES ($1, $2, $3)
            ON CONFLICT (by_user, user_id) DO UPDATE SET room = excluded.room";
        session.execute(sql, &[&blocker, &blocked, &uuid(room.0)]).await?;
    } else {
        session
            .execute("DELETE FROM rooms.blocks WHERE by_user = $1 AND user_id = $2", &[&blocker, &blocked])
            .await?;
    }
    Ok(MetaOutcome::Applied { version: 0, event: None })
}

/// Drops an outbox row; its event is in the room's log as `seq`.
pub(super) async fn confirm(database: &Database, room: RoomId, version: u64, seq: Seq) -> Result<(), Fault> {
    let locks = Locks::default().with(Of::Room, &room.0).sorted();
    let (room, version, seq) = (uuid(room.0), bits(version), bits(seq.0));
    database
        .change(async |session| {
            session.execute(TAKE, &[&locks]).await?;
            let drop_row = "DELETE FROM rooms.outbox WHERE room = $1 AND version = $2";
            let joined = "UPDATE rooms.members SET joined_seq = $3
                          WHERE room = $1 AND joined_version = $2 AND joined_seq = 0";
            let result = "UPDATE rooms.results SET seq = $3 WHERE room = $1 AND version = $2 AND seq = 0";
            try_join3(
                session.execute(drop_row, &[&room, &version]),
                session.execute(joined, &[&room, &version, &seq]),
                session.execute(result, &[&room, &version, &seq]),
            )
            .await?;
            Ok(Verdict::Commit(()))
        })
        .await
}
