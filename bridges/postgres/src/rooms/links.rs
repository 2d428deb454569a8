//! Links that let people into rooms.
//!
//! Thread: the bridge's, under the room's lock: uses are counted in the transaction that makes a member. A room has few: they are read together.

use lynk_domain::{LinkId, Millis, Role, RoomId, UserId};
use lynk_model::{LINKS_PER_ROOM_MAX, Link, MetaEvent, MetaOutcome, MetaTransaction};
use tokio_postgres::Row;

use super::change::{Room, change};
use crate::Fault;
use crate::column::{bits, get, id, number, small, uuid};
use crate::database::Session;

/// What is read of a room's links, ascending by id.
pub(super) const ALL: &str = "SELECT link, hash, by_user, at, until, uses_max, uses FROM rooms.links
    WHERE room = $1 ORDER BY link";

/// A row of [`ALL`].
pub(super) fn link(row: &Row) -> Result<Link, Fault> {
    let hash: &[u8] = get(row, 1)?;
    Ok(Link {
        id: LinkId(id(row, 0)?),
        hash: hash.try_into().map_err(Fault::corrupt)?,
        by: UserId(id(row, 2)?),
        at: Millis(number(row, 3)?),
        until: Millis(number(row, 4)?),
        uses_max: small(row, 5)?,
        uses: small(row, 6)?,
    })
}

async fn all(session: &Session, room: RoomId) -> Result<Vec<Link>, Fault> {
    session.rows(ALL, &[&uuid(room.0)]).await?.iter().map(link).collect()
}

/// Adds the row of a link.
pub(super) async fn put(session: &Session, room: RoomId, link: &Link) -> Result<(), Fault> {
    let sql = "INSERT INTO rooms.links (room, link, hash, by_user, at, until, uses_max, uses)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let (room, name, by) = (uuid(room.0), uuid(link.id.0), uuid(link.by.0));
    let (at, until) = (bits(link.at.0), bits(link.until.0));
    let (max, uses) = (i64::from(link.uses_max), i64::from(link.uses));
    session.execute(sql, &[&room, &name, &link.hash.as_slice(), &by, &at, &until, &max, &uses]).await?;
    Ok(())
}

async fn remove(session: &Session, room: RoomId, link: LinkId) -> Result<bool, Fault> {
    let sql = "DELETE FROM rooms.links WHERE room = $1 AND link = $2";
    Ok(session.execute(sql, &[&uuid(room.0), &uuid(link.0)]).await? == 1)
}

pub(super) async fn make(
    session: &Session,
    command: &MetaTransaction,
    room: Option<Room>,
    link: &Link,
) -> Result<MetaOutcome, Fault> {
    if room.is_none_or(|room| room.deleted > Millis(0)) {
        return Ok(MetaOutcome::Missing);
    }
    let there = all(session, command.room).await?;
    if there.iter().any(|one| one.id == link.id) {
        return Ok(MetaOutcome::Exists);
    }
    let (living, over): (Vec<_>, Vec<_>) = there.iter().partition(|one| one.lives(command.wall));
    if living.len() >= LINKS_PER_ROOM_MAX as usize {
        return Ok(MetaOutcome::Limit);
    }
    for one in over {
        remove(session, command.room, one.id).await?;
    }
    put(session, command.room, link).await?;
    Ok(MetaOutcome::Applied { version: 0, event: None })
}

pub(super) async fn end(session: &Session, room: RoomId, link: LinkId) -> Result<MetaOutcome, Fault> {
    Ok(match remove(session, room, link).await? {
        true => MetaOutcome::Applied { version: 0, event: None },
        false => MetaOutcome::NoLink,
    })
}

/// The actor joins, and that is counted.
pub(super) async fn enter(
    session: &Session,
    command: &MetaTransaction,
    room: Option<Room>,
    hash: &[u8; 32],
) -> Result<MetaOutcome, Fault> {
    let links = all(session, command.room).await?;
    let Some(link) = links.iter().find(|link| link.hash == *hash && link.lives(command.wall)) else {
        return Ok(MetaOutcome::NoLink);
    };
    let joined = MetaEvent::Joined { user: command.actor, role: Role::Member };
    let outcome = change(session, command, room, &joined).await?;
    if matches!(outcome, MetaOutcome::Applied { .. }) {
        let sql = "UPDATE rooms.links SET uses = uses + 1 WHERE room = $1 AND link = $2";
        session.execute(sql, &[&uuid(command.room.0), &uuid(link.id.0)]).await?;
    }
    Ok(outcome)
}
