//! Statements on rows of media.
//!
//! Thread: the bridge's. A row that is changed by what it says is locked first (`FOR UPDATE`), several in the order of their ids; those that are
//! doomed or forgotten in passing leave out what others have locked.

use lynk_domain::{Key, MediaId, Millis, RoomId, Seq, UserId};
use lynk_model::media::{
    Attach, AttachOutcome, Attached, Begun, MEDIA_BATCH_MAX, Media, MediaFacts, MediaState, PictureOf,
    Purpose, Quota, Settled, UPLOADS_WINDOW_MILLIS, Usage,
};
use tokio_postgres::Row;

use crate::Fault;
use crate::column::{bits, get, id, known, number, small, uuid};
use crate::database::{Database, Params, Session, Verdict};
use crate::locks::{Locks, Of, TAKE};

pub(super) const MEDIA: &str =
    "id, owner, room, purpose, name, kind, bytes, width, height, thumbnails, state, created, changed,
    attached_key, attached_at, emptied, leaves, seq";

const BATCH: i64 = MEDIA_BATCH_MAX as i64;

pub(super) fn media(row: &Row) -> Result<Media, Fault> {
    let attached = match get::<Option<uuid::Uuid>>(row, 13)? {
        Some(key) => Some(Attached { key: Key(key.into_bytes()), at: Millis(number(row, 14)?) }),
        None => None,
    };
    Ok(Media {
        id: MediaId(id(row, 0)?),
        owner: UserId(id(row, 1)?),
        room: RoomId(id(row, 2)?),
        purpose: known(row, 3, Purpose::from_u8)?,
        name: get(row, 4)?,
        kind: get(row, 5)?,
        facts: MediaFacts {
            bytes: number(row, 6)?,
            width: small(row, 7)?,
            height: small(row, 8)?,
            thumbnails: known(row, 9, Some)?,
        },
        state: known(row, 10, MediaState::from_u8)?,
        created: Millis(number(row, 11)?),
        changed: Millis(number(row, 12)?),
        attached,
        leaves: get::<Option<i64>>(row, 16)?.map(|to| Seq(to.cast_unsigned())),
        seq: get::<Option<i64>>(row, 17)?.map(|seq| Seq(seq.cast_unsigned())),
        emptied: get(row, 15)?,
    })
}

fn count(rows: u64) -> u32 {
    u32::try_from(rows).unwrap_or(u32::MAX)
}

async fn all(session: &Session, sql: &str, params: Params<'_>) -> Result<Vec<Media>, Fault> {
    session.rows(sql, params).await?.iter().map(media).collect()
}

pub(super) async fn put(session: &Session, media: &Media) -> Result<(), Fault> {
    let sql = format!(
        "INSERT INTO media.media ({MEDIA})
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
         ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, room = excluded.room, purpose = excluded.purpose,
            name = excluded.name, kind = excluded.kind, bytes = excluded.bytes, width = excluded.width, height = excluded.height,
            thumbnails = excluded.thumbnails, state = excluded.state, created = excluded.created, changed = excluded.changed,
            attached_key = excluded.attached_key, attached_at = excluded.attached_at, emptied = excluded.emptied,
            leaves = excluded.leaves, seq = excluded.seq"
    );
    let facts = &media.facts;
    session
        .execute(
            &sql,
            &[
                &uuid(media.id.0),
                &uuid(media.owner.0),
                &uuid(media.room.0),
                &(media.purpose as i16),
                &media.name,
                &media.kind,
                &bits(facts.bytes),
                &i64::from(facts.width),
                &i64::from(facts.height),
                &i16::from(facts.thumbnails),
                &(media.state as i16),
                &bits(media.created.0),
                &bits(media.changed.0),
                &media.attached.map(|attached| uuid(attached.key.0)),
                &media.attached.map(|attached| bits(attached.at.0)),
                &media.emptied,
                &media.leaves.map(|to| bits(to.0)),
                &media.seq.map(|seq| bits(seq.0)),
            ],
        )
        .await?;
    Ok(())
}

/// The first moment whose uploads still count at `now`.
fn counted_since(now: Millis) -> i64 {
    bits((now.0 + 1).saturating_sub(UPLOADS_WINDOW_MILLIS))
}

pub(super) async fn begin(database: &Database, media: &Media, quota: &Quota) -> Result<Begun, Fault> {
    // What the account has is counted: nobody else may begin one of its uploads meanwhile.
    let locks = Locks::default().with(Of::MediaOwner, &media.owner.0).sorted();
    database
        .change(async |session| {
            session.execute(TAKE, &[&locks]).await?;
            if !find(session, &[media.id], false).await?.is_empty() {
                return Ok(Verdict::Rollback(Begun::Done));
            }
            let begun = usage(session, media.owner, media.created).await?;
            let begun = begun.may_begin(media.facts.bytes, quota);
            if begun != Begun::Done {
                return Ok(Verdict::Rollback(begun));
            }
            put(session, media).await?;
            Ok(Verdict::Commit(begun))
        })
        .await
}

pub(super) async fn usage(session: &Session, owner: UserId, now: Millis) -> Result<Usage, Fault> {
    let sql = "SELECT coalesce(sum(bytes) FILTER (WHERE NOT emptied), 0)::bigint, count(*) FILTER (WHERE created >= $2),
        count(*) FILTER (WHERE state < 3) FROM media.media WHERE owner = $1";
    let row = session.row(sql, &[&uuid(owner.0), &counted_since(now)]).await?;
    let Some(row) = row else { return Ok(Usage::default()) };
    Ok(Usage { bytes: number(&row, 0)?, uploads: number(&row, 1)?, open: number(&row, 2)? })
}

/// In the order of `ids`; `lock` for a change of them.
pub(super) async fn find(session: &Session, ids: &[MediaId], lock: bool) -> Result<Vec<Media>, Fault> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let wanted: Vec<_> = ids.iter().map(|id| uuid(id.0)).collect();
    let lock = if lock { "FOR UPDATE" } else { "" };
    let sql = format!("SELECT {MEDIA} FROM media.media WHERE id = ANY ($1) ORDER BY id {lock}");
    let found = all(session, &sql, &[&wanted]).await?;
    let of = |id: &MediaId| found.iter().find(|media| media.id == *id).cloned();
    Ok(ids.iter().filter_map(of).collect())
}

pub(super) async fn of_owner(
    database: &Database,
    owner: UserId,
    after: MediaId,
    limit: u32,
) -> Result<Vec<Media>, Fault> {
    let sql = format!(
        "SELECT {MEDIA} FROM media.media WHERE owner = $1 AND id > $2 AND state < 4 ORDER BY id LIMIT $3"
    );
    let of = (uuid(owner.0), uuid(after.0), i64::from(limit));
    database.read(async |session| all(session, &sql, &[&of.0, &of.1, &of.2]).await).await
}

pub(super) async fn settle(
    database: &Database,
    id: MediaId,
    settled: &Settled,
    now: Millis,
) -> Result<Option<Media>, Fault> {
    database
        .change(async |session| {
            let Some(mut media) = find(session, &[id], true).await?.pop() else {
                return Ok(Verdict::Rollback(None));
            };
            if !settled.follows(media.state) {
                return Ok(Verdict::Rollback(Some(media)));
            }
            (media.state, media.changed) = (settled.state(), now);
            media.facts = settled.facts(media.facts);
            put(session, &media).await?;
            Ok(Verdict::Commit(Some(media)))
        })
        .await
}

pub(super) async fn attach(database: &Database, attach: &Attach) -> Result<AttachOutcome, Fault> {
    database
        .change(async |session| {
            let mut found = find(session, &attach.ids, true).await?;
            for id in &attach.ids {
                if let Err(why) = attach.check(found.iter().find(|media| media.id == *id)) {
                    return Ok(Verdict::Rollback(AttachOutcome::Refused(*id, why)));
                }
            }
            for media in found.iter_mut().filter(|media| media.attached.is_none()) {
                media.attached = Some(Attached { key: attach.key, at: attach.at });
                let sql = "UPDATE media.media SET attached_key = $2, attached_at = $3 WHERE id = $1";
                let of = (uuid(media.id.0), uuid(attach.key.0), bits(attach.at.0));
                session.execute(sql, &[&of.0, &of.1, &of.2]).await?;
            }
            Ok(Verdict::Commit(AttachOutcome::Done(found)))
        })
        .await
}

async fn change(database: &Database, sql: &str, params: Params<'_>) -> Result<u32, Fault> {
    database.change(async |session| Ok(Verdict::Commit(count(session.execute(sql, params).await?)))).await
}

pub(super) async fn release(database: &Database, ids: &[MediaId], now: Millis) -> Result<u32, Fault> {
    let ids: Vec<_> = ids.iter().map(|id| uuid(id.0)).collect();
    let sql = "UPDATE media.media SET state = 5, changed = $2 WHERE id IN (
        SELECT id FROM media.media WHERE id = ANY ($1) AND state < 4 ORDER BY id FOR UPDATE)";
    change(database, sql, &[&ids, &bits(now.0)]).await
}

/// Dooms the first of those that a condition on `$3` and what follows finds.
fn doom(of: &str) -> String {
    format!(
        "UPDATE media.media SET state = 5, changed = $1 WHERE id IN (
            SELECT id FROM media.media WHERE state < 4 AND {of} ORDER BY id LIMIT $2 FOR UPDATE)"
    )
}

pub(super) async fn release_room(database: &Database, room: RoomId, now: Millis) -> Result<u32, Fault> {
    if room.is_nil() {
        return Ok(0);
    }
    change(database, &doom("room = $3"), &[&bits(now.0), &BATCH, &uuid(room.0)]).await
}

pub(super) async fn posted(
    database: &Database,
    (room, key): (RoomId, Key),
    ids: &[MediaId],
    seq: Seq,
) -> Result<(), Fault> {
    let ids: Vec<_> = ids.iter().map(|id| uuid(id.0)).collect();
    let sql = "UPDATE media.media SET seq = $4 WHERE id IN (
        SELECT id FROM media.media WHERE id = ANY ($1) AND room = $2 AND attached_key = $3 AND state < 4 AND purpose = 1
            ORDER BY id FOR UPDATE)";
    change(database, sql, &[&ids, &uuid(room.0), &uuid(key.0), &bits(seq.0)]).await.map(drop)
}

pub(super) async fn attached(
    database: &Database,
    unknown: bool,
    after: MediaId,
    limit: u32,
) -> Result<Vec<Media>, Fault> {
    let unknown = if unknown { "AND seq IS NULL" } else { "" };
    let sql = format!(
        "SELECT {MEDIA} FROM media.media WHERE state < 4 AND purpose = 1 AND attached_at IS NOT NULL {unknown} AND id > $1
            ORDER BY id LIMIT $2"
    );
    let of = (uuid(after.0), i64::from(limit));
    database.read(async |session| all(session, &sql, &[&of.0, &of.1]).await).await
}

pub(super) async fn has_files(database: &Database, room: RoomId) -> Result<bool, Fault> {
    let sql = "SELECT 1 FROM media.media
        WHERE room = $1 AND state < 4 AND purpose = 1 AND attached_at IS NOT NULL AND leaves IS NULL LIMIT 1";
    let room = uuid(room.0);
    Ok(database.read(async |session| session.row(sql, &[&room]).await).await?.is_some())
}

pub(super) async fn leave(database: &Database, room: RoomId, ids: &[MediaId], to: Seq) -> Result<(), Fault> {
    let ids: Vec<_> = ids.iter().map(|id| uuid(id.0)).collect();
    let sql = "UPDATE media.media SET leaves = $3 WHERE id IN (
        SELECT id FROM media.media WHERE id = ANY ($1) AND room = $2 AND state < 4 AND purpose = 1
            AND attached_at IS NOT NULL AND leaves IS NULL ORDER BY id FOR UPDATE)";
    change(database, sql, &[&ids, &uuid(room.0), &bits(to.0)]).await.map(drop)
}

pub(super) async fn release_left(
    database: &Database,
    room: RoomId,
    floor: Seq,
    now: Millis,
) -> Result<u32, Fault> {
    let sql = doom("room = $3 AND leaves IS NOT NULL AND leaves <= $4");
    change(database, &sql, &[&bits(now.0), &BATCH, &uuid(room.0), &bits(floor.0)]).await
}

pub(super) async fn keep_picture(
    database: &Database,
    of: PictureOf,
    keep: MediaId,
    now: Millis,
) -> Result<u32, Fault> {
    let (column, id) = match of {
        PictureOf::Room(room) => ("room", room.0),
        PictureOf::Account(user) => ("owner", user.0),
    };
    let sql = doom(&format!("{column} = $3 AND purpose = $4 AND attached_key IS NOT NULL AND id <> $5"));
    let purpose = of.purpose() as i16;
    change(database, &sql, &[&bits(now.0), &BATCH, &uuid(id), &purpose, &uuid(keep.0)]).await
}

pub(super) async fn release_owner(database: &Database, owner: UserId, now: Millis) -> Result<u32, Fault> {
    let sql = doom("owner = $3 AND NOT (purpose = 3 AND attached_key IS NOT NULL)");
    change(database, &sql, &[&bits(now.0), &BATCH, &uuid(owner.0)]).await
}

pub(super) async fn doom_orphans(
    database: &Database,
    pending: Millis,
    unused: Millis,
    now: Millis,
) -> Result<u32, Fault> {
    let begun = doom("state = 1 AND created < $3");
    let left = doom("state = 3 AND attached_key IS NULL AND changed < $3");
    let begun = change(database, &begun, &[&bits(now.0), &BATCH, &bits(pending.0)]).await?;
    Ok(begun + change(database, &left, &[&bits(now.0), &BATCH, &bits(unused.0)]).await?)
}

pub(super) async fn scanning(database: &Database, before: Millis, limit: u32) -> Result<Vec<Media>, Fault> {
    let sql = format!(
        "SELECT {MEDIA} FROM media.media WHERE state = 2 AND changed < $1 ORDER BY changed, id LIMIT $2"
    );
    database.read(async |session| all(session, &sql, &[&bits(before.0), &i64::from(limit)]).await).await
}

pub(super) async fn doomed(database: &Database, limit: u32) -> Result<Vec<Media>, Fault> {
    let sql =
        format!("SELECT {MEDIA} FROM media.media WHERE state >= 4 AND NOT emptied ORDER BY id LIMIT $1");
    database.read(async |session| all(session, &sql, &[&i64::from(limit)]).await).await
}

pub(super) async fn emptied(database: &Database, ids: &[MediaId]) -> Result<(), Fault> {
    let ids: Vec<_> = ids.iter().map(|id| uuid(id.0)).collect();
    let sql = "UPDATE media.media SET emptied = true WHERE id IN (
        SELECT id FROM media.media WHERE id = ANY ($1) AND state >= 4 ORDER BY id FOR UPDATE)";
    change(database, sql, &[&ids]).await.map(drop)
}

pub(super) async fn forget(database: &Database, now: Millis) -> Result<u32, Fault> {
    let sql = "DELETE FROM media.media WHERE id IN (
        SELECT id FROM media.media WHERE emptied AND created < $1 ORDER BY id LIMIT $2 FOR UPDATE)";
    change(database, sql, &[&counted_since(now), &BATCH]).await
}
