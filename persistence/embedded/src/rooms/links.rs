//! Links that let people into rooms. A room has few: they are read together.

use lynk_domain::{LinkId, Millis, Role, RoomId, UserId};
use lynk_model::{LINKS_PER_ROOM_MAX, Link, MetaEvent, MetaOutcome, MetaTransaction};
use rusqlite::{Connection, Row, Transaction, params};

use super::change::change;
use crate::Fault;
use crate::sqlite::{bits, number};

/// The links of a room, ascending by id.
pub(super) fn all(connection: &Connection, room: RoomId) -> Result<Vec<Link>, Fault> {
    let sql = "SELECT link, hash, by, at, until, uses_max, uses FROM links WHERE room = ?1 ORDER BY link";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([room.0], link)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn link(row: &Row<'_>) -> rusqlite::Result<Link> {
    Ok(Link {
        id: LinkId(row.get(0)?),
        hash: row.get(1)?,
        by: UserId(row.get(2)?),
        at: Millis(number(row, 3)?),
        until: Millis(number(row, 4)?),
        uses_max: row.get(5)?,
        uses: row.get(6)?,
    })
}

/// Adds the row of a link.
pub(super) fn put(tx: &Transaction<'_>, room: RoomId, link: &Link) -> Result<(), Fault> {
    let sql = "INSERT INTO links (room, link, hash, by, at, until, uses_max, uses)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let (at, until) = (bits(link.at.0), bits(link.until.0));
    let values = params![room.0, link.id.0, link.hash, link.by.0, at, until, link.uses_max, link.uses];
    tx.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

fn remove(tx: &Transaction<'_>, room: RoomId, link: LinkId) -> Result<bool, Fault> {
    let sql = "DELETE FROM links WHERE room = ?1 AND link = ?2";
    Ok(tx.prepare_cached(sql)?.execute((room.0, link.0))? == 1)
}

pub(super) fn make(
    tx: &Transaction<'_>,
    command: &MetaTransaction,
    link: &Link,
) -> Result<MetaOutcome, Fault> {
    let room = command.room;
    let stands = "SELECT 1 FROM rooms WHERE room = ?1 AND deleted = 0";
    if !tx.prepare_cached(stands)?.exists([room.0])? {
        return Ok(MetaOutcome::Missing);
    }
    let there = all(tx, room)?;
    if there.iter().any(|one| one.id == link.id) {
        return Ok(MetaOutcome::Exists);
    }
    let (living, over): (Vec<_>, Vec<_>) = there.iter().partition(|one| one.lives(command.wall));
    if living.len() >= LINKS_PER_ROOM_MAX as usize {
        return Ok(MetaOutcome::Limit);
    }
    for one in over {
        remove(tx, room, one.id)?;
    }
    put(tx, room, link)?;
    Ok(MetaOutcome::Applied { version: 0, event: None })
}

pub(super) fn end(tx: &Transaction<'_>, room: RoomId, link: LinkId) -> Result<MetaOutcome, Fault> {
    Ok(match remove(tx, room, link)? {
        true => MetaOutcome::Applied { version: 0, event: None },
        false => MetaOutcome::NoLink,
    })
}

/// The actor joins, and that is counted.
pub(super) fn enter(
    tx: &Transaction<'_>,
    command: &MetaTransaction,
    hash: &[u8; 32],
) -> Result<MetaOutcome, Fault> {
    let room = command.room;
    let links = all(tx, room)?;
    let Some(link) = links.iter().find(|link| link.hash == *hash && link.lives(command.wall)) else {
        return Ok(MetaOutcome::NoLink);
    };
    let outcome = change(tx, command, &MetaEvent::Joined { user: command.actor, role: Role::Member })?;
    if matches!(outcome, MetaOutcome::Applied { .. }) {
        let sql = "UPDATE links SET uses = uses + 1 WHERE room = ?1 AND link = ?2";
        tx.prepare_cached(sql)?.execute((room.0, link.id.0))?;
    }
    Ok(outcome)
}
