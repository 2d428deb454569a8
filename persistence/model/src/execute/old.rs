//! [`StoreRequest::FindOld`]: which rooms have messages that are too old, and what becomes of files with them.
//!
//! Files go with their messages in two steps, so that no file of a message that stands is ever lost, and none is forgotten by a crash at any
//! moment. Before a room is named, files of the messages that are to go are noted to leave with them ([`Files::leave`]). Once the message log says
//! that they are gone, what was noted is over ([`Files::passed`]): the owner says so when its record is committed, and each look says it again.
//! Which files those are is read from the messages, not told by times: a file is attached before its message gets its time, by up to the life of
//! a key, and a clock may have been set back.
//!
//! Limits: [`FILES_READ_MAX`] messages are read for their files in one look; what is left is looked at next time. What can fail: the ports. Whoever
//! keeps files may be away: then a room keeps its messages until the next look.

use lynk_domain::{Lsn, Millis, RoomId, Seq, shard_of_room};

use super::attached::look_at_files;
use super::{find_time, first_message};
use crate::port::{Files, MessageStore, RecordSource, RoomStore};
use crate::{OwnedRecord, PageQuery, SourceId, StoreError, StoreReply, StoreRequest, StoredBody, TooOld};

/// Messages that are read for their files in one look, over all its rooms: an embedded log answers nobody else meanwhile.
const FILES_READ_MAX: usize = 32_768;
/// Messages that are read at a time.
const FILES_PAGE: u32 = 256;
/// Deleted rooms whose files are ended at a time.
const ENDING_PAGE: u32 = 64;

/// A look at each room's first message; where that is old, a search for the last that is.
pub(super) async fn find_old<M: MessageStore, R: RoomStore>(
    request: &StoreRequest,
    messages: &M,
    rooms: &R,
    files: &dyn Files,
) -> Result<StoreReply, StoreError> {
    let StoreRequest::FindOld { after, limit, now, life, key_life, shard, shards } = *request else {
        return Err(StoreError::Corrupt);
    };
    let own = |room: RoomId| shard_of_room(room, shards) == shard;
    if after.is_nil() {
        end_deleted(rooms, files, own).await?;
        look_at_files(messages, files, now, key_life).await?;
    }
    let page = rooms.retained(life > 0, after, limit).await?;
    let next = page.last().map(|(room, _)| *room).filter(|_| page.len() >= limit as usize);
    let (mut found, mut left) = (Vec::new(), FILES_READ_MAX);
    for (room, days) in page.into_iter().filter(|(room, _)| own(*room)) {
        let own_life = u64::from(days).saturating_mul(24 * 60 * 60 * 1_000);
        let shorter = if days == 0 || life > 0 && life < own_life { life } else { own_life };
        let Some(since) = kept_since(now, shorter) else { continue };
        let head = messages.head(room).await?;
        if head.floor > Seq(0) {
            // What this fails for is counted by whoever keeps files, and done by the next look.
            let _later = files.passed(room, head.floor).await;
        }
        let to = match last_before(messages, room, since, (head.floor.next(), head.top)).await {
            Ok(Some(to)) => to,
            // What cannot be read is not removed, and keeps no other room from it.
            Ok(None) | Err(StoreError::Corrupt) => continue,
            Err(error) => return Err(error),
        };
        match note_files(messages, files, room, (head.floor.next(), to), &mut left).await {
            Ok(to) => found.push(TooOld { room, to, days }),
            Err(NotNoted::Messages(StoreError::Corrupt) | NotNoted::Files) => {}
            Err(NotNoted::Messages(error)) => return Err(error),
        }
        if left == 0 {
            return Ok(StoreReply::Old { found, next: Some(room) });
        }
    }
    Ok(StoreReply::Old { found, next })
}

/// Files of rooms whose deletion nobody has seen to its end, since a process ended or whoever keeps files was away.
async fn end_deleted<R: RoomStore>(
    rooms: &R,
    files: &dyn Files,
    own: impl Fn(RoomId) -> bool,
) -> Result<(), StoreError> {
    let mut after = RoomId::NIL;
    loop {
        let page = rooms.ending(after, ENDING_PAGE).await?;
        for room in page.iter().copied().filter(|room| own(*room)) {
            let _later = files.end(room).await;
        }
        match page.last() {
            Some(last) if page.len() >= ENDING_PAGE as usize => after = *last,
            _ => return Ok(()),
        }
    }
}

/// Why it could not be noted which files go.
enum NotNoted {
    /// Messages cannot be read.
    Messages(StoreError),
    /// Whoever keeps files does not answer, and counted it.
    Files,
}

/// Notes that files of the messages of a range leave with it. Up to where that was done: to the end, or until `left` messages were read.
async fn note_files<M: MessageStore>(
    messages: &M,
    files: &dyn Files,
    room: RoomId,
    (mut from, to): (Seq, Seq),
    left: &mut usize,
) -> Result<Seq, NotNoted> {
    if !files.has_files(room).await.map_err(|_| NotNoted::Files)? {
        return Ok(to);
    }
    loop {
        let limit = u32::try_from(*left).unwrap_or(u32::MAX).min(FILES_PAGE);
        let query = PageQuery { room, from, to, backward: false, limit, bytes: u32::MAX, all: false };
        let page = messages.page(&query).await.map_err(NotNoted::Messages)?;
        *left = left.saturating_sub(page.events.len());
        let upto = if page.more { page.covers_to.min(to) } else { to };
        let of = page.events.iter().filter_map(|event| match &event.body {
            StoredBody::Message(view) => Some(view.parts.media()),
            _ => None,
        });
        let leaving: Vec<_> = of.flatten().collect();
        if !leaving.is_empty() {
            files.leave(room, &leaving, upto).await.map_err(|_| NotNoted::Files)?;
        }
        // A page that goes on and has nothing would be asked for again for ever.
        if upto >= to || *left == 0 || page.events.is_empty() {
            return Ok(upto);
        }
        from = upto.next();
    }
}

/// The last message of a range that is older than a time; `None` when the first one is not.
async fn last_before<M: MessageStore>(
    messages: &M,
    room: RoomId,
    at: Millis,
    (from, to): (Seq, Seq),
) -> Result<Option<Seq>, StoreError> {
    if from > to {
        return Ok(None);
    }
    let first = first_message(messages, &mut Unread, room, (from, to), &[]).await?;
    let Some((first, _)) = first.filter(|(_, wall)| *wall < at) else { return Ok(None) };
    let reply = find_time(messages, &mut Unread, room, at, (first, to), &[]).await?;
    Ok(if let StoreReply::Time { after, .. } = reply { Some(after) } else { None })
}

/// No journals: what is old has long been drained.
struct Unread;

impl RecordSource for Unread {
    fn read(&mut self, _: SourceId, _: Lsn) -> Result<Option<OwnedRecord>, StoreError> {
        Ok(None)
    }
}

/// From when on messages are kept that are kept for `life` milliseconds, 0 for ever. It moves on in steps, so that a busy room is not
/// cut with every look at it: of the 24th part of that time, an hour at most.
#[must_use]
pub fn kept_since(now: Millis, life: u64) -> Option<Millis> {
    let step = (life / 24).clamp(1, 60 * 60 * 1_000);
    (life > 0).then(|| Millis(now.0.saturating_sub(life) / step * step))
}
