//! Statements on rows of media: one transaction a call.

use lynk_domain::{Key, MediaId, Millis, RoomId, Seq, UserId};
use lynk_model::media::{
    Attach, AttachOutcome, Attached, Begun, MEDIA_BATCH_MAX, Media, MediaFacts, MediaState, PictureOf,
    Purpose, Quota, Settled, UPLOADS_WINDOW_MILLIS, Usage,
};
use rusqlite::{Connection, OptionalExtension, Params, Row, ToSql, Transaction, TransactionBehavior, params};

use crate::Fault;
use crate::sqlite::{bits, commit, number, unreadable};

pub(super) const MEDIA: &str =
    "id, owner, room, purpose, name, kind, bytes, width, height, thumbnails, state, created, changed,
    attached_key, attached_at, emptied, leaves, seq";

pub(super) fn media(row: &Row<'_>) -> rusqlite::Result<Media> {
    let purpose = Purpose::from_u8(row.get(3)?).ok_or_else(|| unreadable(3, "an unknown purpose"))?;
    let state = MediaState::from_u8(row.get(10)?).ok_or_else(|| unreadable(10, "an unknown state"))?;
    let attached = match row.get::<_, Option<[u8; 16]>>(13)? {
        Some(key) => Some(Attached { key: Key(key), at: Millis(number(row, 14)?) }),
        None => None,
    };
    Ok(Media {
        id: MediaId(row.get(0)?),
        owner: UserId(row.get(1)?),
        room: RoomId(row.get(2)?),
        purpose,
        name: row.get(4)?,
        kind: row.get(5)?,
        facts: MediaFacts {
            bytes: number(row, 6)?,
            width: row.get(7)?,
            height: row.get(8)?,
            thumbnails: row.get(9)?,
        },
        state,
        created: Millis(number(row, 11)?),
        changed: Millis(number(row, 12)?),
        attached,
        leaves: row.get::<_, Option<i64>>(16)?.map(|to| Seq(to.cast_unsigned())),
        seq: row.get::<_, Option<i64>>(17)?.map(|seq| Seq(seq.cast_unsigned())),
        emptied: row.get(15)?,
    })
}

pub(super) fn transaction(connection: &mut Connection) -> Result<Transaction<'_>, Fault> {
    Ok(connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
}

fn execute(tx: &Connection, sql: &str, params: impl Params) -> Result<u32, Fault> {
    let rows = tx.prepare_cached(sql)?.execute(params)?;
    Ok(u32::try_from(rows).unwrap_or(u32::MAX))
}

fn all(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<Media>, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, media)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn put(tx: &Connection, media: &Media) -> Result<(), Fault> {
    let sql = format!(
        "INSERT OR REPLACE INTO media ({MEDIA})
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)"
    );
    execute(
        tx,
        &sql,
        params![
            media.id.0,
            media.owner.0,
            media.room.0,
            media.purpose as u8,
            media.name,
            media.kind,
            bits(media.facts.bytes),
            media.facts.width,
            media.facts.height,
            media.facts.thumbnails,
            media.state as u8,
            bits(media.created.0),
            bits(media.changed.0),
            media.attached.map(|attached| attached.key.0),
            media.attached.map(|attached| bits(attached.at.0)),
            media.emptied,
            media.leaves.map(|to| bits(to.0)),
            media.seq.map(|seq| bits(seq.0)),
        ],
    )?;
    Ok(())
}

fn get(connection: &Connection, id: MediaId) -> Result<Option<Media>, Fault> {
    let sql = format!("SELECT {MEDIA} FROM media WHERE id = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([id.0], media).optional()?)
}

/// The first moment whose uploads still count at `now`.
fn counted_since(now: Millis) -> i64 {
    bits((now.0 + 1).saturating_sub(UPLOADS_WINDOW_MILLIS))
}

pub(super) fn begin(connection: &mut Connection, media: &Media, quota: &Quota) -> Result<Begun, Fault> {
    let tx = transaction(connection)?;
    if get(&tx, media.id)?.is_some() {
        return Ok(Begun::Done);
    }
    let begun = usage(&tx, media.owner, media.created)?.may_begin(media.facts.bytes, quota);
    if begun == Begun::Done {
        put(&tx, media)?;
        commit(tx)?;
    }
    Ok(begun)
}

pub(super) fn usage(connection: &Connection, owner: UserId, now: Millis) -> Result<Usage, Fault> {
    let sql =
        "SELECT coalesce(sum(bytes) FILTER (WHERE emptied = 0), 0), count(*) FILTER (WHERE created >= ?2),
        count(*) FILTER (WHERE state < 3) FROM media WHERE owner = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row(params![owner.0, counted_since(now)], |row| {
        Ok(Usage { bytes: number(row, 0)?, uploads: number(row, 1)?, open: number(row, 2)? })
    })?)
}

pub(super) fn find(connection: &Connection, ids: &[MediaId]) -> Result<Vec<Media>, Fault> {
    ids.iter().filter_map(|id| get(connection, *id).transpose()).collect()
}

pub(super) fn of_owner(
    connection: &Connection,
    owner: UserId,
    after: MediaId,
    limit: u32,
) -> Result<Vec<Media>, Fault> {
    let sql =
        format!("SELECT {MEDIA} FROM media WHERE owner = ?1 AND id > ?2 AND state < 4 ORDER BY id LIMIT ?3");
    all(connection, &sql, params![owner.0, after.0, limit])
}

pub(super) fn settle(
    connection: &mut Connection,
    id: MediaId,
    settled: &Settled,
    now: Millis,
) -> Result<Option<Media>, Fault> {
    let tx = transaction(connection)?;
    let Some(mut media) = get(&tx, id)? else { return Ok(None) };
    if settled.follows(media.state) {
        (media.state, media.changed) = (settled.state(), now);
        media.facts = settled.facts(media.facts);
        put(&tx, &media)?;
        commit(tx)?;
    }
    Ok(Some(media))
}

pub(super) fn attach(connection: &mut Connection, attach: &Attach) -> Result<AttachOutcome, Fault> {
    let tx = transaction(connection)?;
    let mut done = Vec::with_capacity(attach.ids.len());
    for id in &attach.ids {
        let found = get(&tx, *id)?;
        if let Err(why) = attach.check(found.as_ref()) {
            return Ok(AttachOutcome::Refused(*id, why));
        }
        let Some(mut media) = found else { continue };
        media.attached.get_or_insert(Attached { key: attach.key, at: attach.at });
        put(&tx, &media)?;
        done.push(media);
    }
    commit(tx)?;
    Ok(AttachOutcome::Done(done))
}

pub(super) fn release(connection: &mut Connection, ids: &[MediaId], now: Millis) -> Result<u32, Fault> {
    let tx = transaction(connection)?;
    let mut doomed = 0;
    for id in ids {
        let sql = "UPDATE media SET state = 5, changed = ?2 WHERE id = ?1 AND state < 4";
        doomed += execute(&tx, sql, params![id.0, bits(now.0)])?;
    }
    commit(tx)?;
    Ok(doomed)
}

/// Dooms the first of those that a condition on `?3` finds.
fn doom(connection: &Connection, of: &str, now: Millis, by: &dyn ToSql) -> Result<u32, Fault> {
    let sql = format!(
        "UPDATE media SET state = 5, changed = ?1 WHERE id IN (SELECT id FROM media WHERE state < 4 AND {of} LIMIT ?2)"
    );
    execute(connection, &sql, params![bits(now.0), MEDIA_BATCH_MAX, by])
}

pub(super) fn release_room(connection: &mut Connection, room: RoomId, now: Millis) -> Result<u32, Fault> {
    if room.is_nil() {
        return Ok(0);
    }
    let tx = transaction(connection)?;
    let doomed = doom(&tx, "room = ?3", now, &room.0)?;
    commit(tx)?;
    Ok(doomed)
}

pub(super) fn posted(
    connection: &mut Connection,
    (room, key): (RoomId, Key),
    ids: &[MediaId],
    seq: Seq,
) -> Result<(), Fault> {
    let tx = transaction(connection)?;
    for id in ids {
        let sql = "UPDATE media SET seq = ?4
            WHERE id = ?1 AND room = ?2 AND attached_key = ?3 AND state < 4 AND purpose = 1";
        execute(&tx, sql, params![id.0, room.0, key.0, bits(seq.0)])?;
    }
    commit(tx)
}

pub(super) fn attached(
    connection: &Connection,
    unknown: bool,
    after: MediaId,
    limit: u32,
) -> Result<Vec<Media>, Fault> {
    let unknown = if unknown { "AND seq IS NULL" } else { "" };
    let sql = format!(
        "SELECT {MEDIA} FROM media WHERE state < 4 AND purpose = 1 AND attached_at IS NOT NULL {unknown} AND id > ?1
            ORDER BY id LIMIT ?2"
    );
    all(connection, &sql, params![after.0, limit])
}

pub(super) fn has_files(connection: &Connection, room: RoomId) -> Result<bool, Fault> {
    let sql = "SELECT EXISTS (SELECT 1 FROM media
        WHERE room = ?1 AND state < 4 AND purpose = 1 AND attached_at IS NOT NULL AND leaves IS NULL)";
    Ok(connection.prepare_cached(sql)?.query_row([room.0], |row| row.get(0))?)
}

pub(super) fn leave(
    connection: &mut Connection,
    room: RoomId,
    ids: &[MediaId],
    to: Seq,
) -> Result<(), Fault> {
    let tx = transaction(connection)?;
    for id in ids {
        let sql = "UPDATE media SET leaves = ?3 WHERE id = ?1 AND room = ?2
            AND state < 4 AND purpose = 1 AND attached_at IS NOT NULL AND leaves IS NULL";
        execute(&tx, sql, params![id.0, room.0, bits(to.0)])?;
    }
    commit(tx)
}

pub(super) fn release_left(
    connection: &mut Connection,
    room: RoomId,
    floor: Seq,
    now: Millis,
) -> Result<u32, Fault> {
    let tx = transaction(connection)?;
    let sql = "UPDATE media SET state = 5, changed = ?1 WHERE id IN (SELECT id FROM media
        WHERE state < 4 AND room = ?2 AND leaves IS NOT NULL AND leaves <= ?3 LIMIT ?4)";
    let doomed = execute(&tx, sql, params![bits(now.0), room.0, bits(floor.0), MEDIA_BATCH_MAX])?;
    commit(tx)?;
    Ok(doomed)
}

pub(super) fn keep_picture(
    connection: &mut Connection,
    of: PictureOf,
    keep: MediaId,
    now: Millis,
) -> Result<u32, Fault> {
    let (column, id) = match of {
        PictureOf::Room(room) => ("room", room.0),
        PictureOf::Account(user) => ("owner", user.0),
    };
    let sql = format!(
        "UPDATE media SET state = 5, changed = ?1 WHERE id IN (SELECT id FROM media
            WHERE state < 4 AND {column} = ?2 AND purpose = ?3 AND attached_key IS NOT NULL AND id <> ?4 LIMIT ?5)"
    );
    let tx = transaction(connection)?;
    let values = params![bits(now.0), id, of.purpose() as u8, keep.0, MEDIA_BATCH_MAX];
    let doomed = execute(&tx, &sql, values)?;
    commit(tx)?;
    Ok(doomed)
}

pub(super) fn release_owner(connection: &mut Connection, owner: UserId, now: Millis) -> Result<u32, Fault> {
    let tx = transaction(connection)?;
    let doomed = doom(&tx, "owner = ?3 AND NOT (purpose = 3 AND attached_key IS NOT NULL)", now, &owner.0)?;
    commit(tx)?;
    Ok(doomed)
}

pub(super) fn doom_orphans(
    connection: &mut Connection,
    pending: Millis,
    unused: Millis,
    now: Millis,
) -> Result<u32, Fault> {
    let tx = transaction(connection)?;
    let begun = doom(&tx, "state = 1 AND created < ?3", now, &bits(pending.0))?;
    let left = doom(&tx, "state = 3 AND attached_key IS NULL AND changed < ?3", now, &bits(unused.0))?;
    commit(tx)?;
    Ok(begun + left)
}

pub(super) fn scanning(connection: &Connection, before: Millis, limit: u32) -> Result<Vec<Media>, Fault> {
    let sql =
        format!("SELECT {MEDIA} FROM media WHERE state = 2 AND changed < ?1 ORDER BY changed, id LIMIT ?2");
    all(connection, &sql, params![bits(before.0), limit])
}

pub(super) fn doomed(connection: &Connection, limit: u32) -> Result<Vec<Media>, Fault> {
    let sql = format!("SELECT {MEDIA} FROM media WHERE state >= 4 AND emptied = 0 ORDER BY id LIMIT ?1");
    all(connection, &sql, [limit])
}

pub(super) fn emptied(connection: &mut Connection, ids: &[MediaId]) -> Result<(), Fault> {
    let tx = transaction(connection)?;
    for id in ids {
        execute(&tx, "UPDATE media SET emptied = 1 WHERE id = ?1 AND state >= 4", [id.0])?;
    }
    commit(tx)
}

pub(super) fn forget(connection: &mut Connection, now: Millis) -> Result<u32, Fault> {
    let tx = transaction(connection)?;
    let sql = "DELETE FROM media WHERE id IN (
        SELECT id FROM media WHERE emptied = 1 AND created < ?1 LIMIT ?2)";
    let gone = execute(&tx, sql, params![counted_since(now), MEDIA_BATCH_MAX])?;
    commit(tx)?;
    Ok(gone)
}
