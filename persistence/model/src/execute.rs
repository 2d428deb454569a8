//! Carries out one request against the ports: what the store bridge and the simulator both do.
//!
//! Thread: a bridge, or the simulator's. Holds no state. Records are read before the store, see
//! [`Overlay`]. What can fail: whatever the ports report; the reply then is [`StoreReply::Failed`].

mod attached;
mod old;

use std::collections::{BTreeMap, BTreeSet};

use lynk_domain::{Key, MessageId, Millis, Ordinal, RoomId, Seq, UserId};

use crate::port::{Files, MessageStore, NotUnread, RecordSource, RoomStore};
use crate::{
    Body, BodyError, FoundKey, LoadedRoom, MENTIONS_COUNTED_MAX, MetaTransaction, Overlay, OwnedRecord,
    PageQuery, PageReply, RecordAt, StoreError, StoreReply, StoreRequest, StoredBody, StoredEvent, fold_name,
};

pub use old::kept_since;

/// Mentions that are read at a time.
const MENTIONS_READ: u32 = 256;
/// How often, for one count.
const MENTION_READS_MAX: u32 = 4;

/// A use of a key of which the message log knows nothing yet.
const UNKNOWN_USE: FoundKey =
    FoundKey { seq: Seq(0), n: Ordinal(0), id: MessageId::NIL, wall: 0, content_hash: None };

/// The answer to `request`. Exactly one, of the request's name or `Failed`.
pub async fn execute<M, R, S>(
    request: &StoreRequest,
    messages: &M,
    rooms: &mut R,
    records: &mut S,
    files: &dyn Files,
) -> StoreReply
where
    M: MessageStore,
    R: RoomStore,
    S: RecordSource,
{
    match answer(request, messages, rooms, records, files).await {
        Ok(reply) => reply,
        Err(error) => StoreReply::Failed(error),
    }
}

async fn answer<M, R, S>(
    request: &StoreRequest,
    messages: &M,
    rooms: &mut R,
    records: &mut S,
    files: &dyn Files,
) -> Result<StoreReply, StoreError>
where
    M: MessageStore,
    R: RoomStore,
    S: RecordSource,
{
    Ok(match request {
        StoreRequest::LoadRoom { room, window, undrained } => {
            let undrained = read_records(records, *room, undrained)?;
            let loaded = rooms.load(*room).await?;
            StoreReply::Loaded(Box::new(load(messages, *room, *window, undrained, loaded).await?))
        }
        StoreRequest::Page { query, undrained, changes } => {
            let undrained = read_records(records, query.room, undrained)?;
            StoreReply::Page(Box::new(changed_page(messages, records, query, undrained, changes).await?))
        }
        StoreRequest::Event { room, seq, undrained } => {
            let undrained = read_records(records, *room, undrained)?;
            let overlay = overlay(messages, *room, &undrained).await?;
            let stored = messages.event(*room, *seq).await?;
            let joined = match overlay {
                Some(overlay) => overlay.join_event(*seq, stored),
                None => stored,
            };
            StoreReply::Event(joined.map(Box::new))
        }
        StoreRequest::FindTime { room, at, from, to, undrained } => {
            find_time(messages, records, *room, *at, (*from, *to), undrained).await?
        }
        StoreRequest::FindKey { room, sender, key, metadata } => {
            let mut found = messages.find_key(*room, *sender, *key).await?;
            // That it was used is known without the room store, which may be away.
            if *metadata && let Ok(Some(hash)) = rooms.result_hash(*room, *sender, *key).await {
                found.get_or_insert(UNKNOWN_USE).content_hash = Some(hash);
            }
            StoreReply::Key(found)
        }
        StoreRequest::CountNotUnread { room, user, after, top_n, undrained } => {
            let undrained = read_records(records, *room, undrained)?;
            let touched = Overlay::touched(&undrained).map_err(corrupt)?;
            let overlay = overlay(messages, *room, &undrained).await?;
            let stored = messages.count_not_unread(*room, *user, *after, &touched).await?;
            let mentions =
                count_mentions(messages, rooms, (*room, *user, *after), &touched, overlay.as_ref());
            let mentions = mentions.await?;
            let NotUnread { own, deleted, next } = match overlay {
                Some(overlay) => overlay.join_not_unread(*user, *after, stored),
                None => stored,
            };
            // Ordinals have no holes among messages, so the first one after the cursor tells the last one's before it, which may
            // be removed.
            let cursor_n = next.map_or(*top_n, |(_, n)| Ordinal(n.0.saturating_sub(1)));
            StoreReply::NotUnread { own, deleted, cursor_n, mentions }
        }
        StoreRequest::FindOld { .. } => old::find_old(request, messages, rooms, files).await?,
        StoreRequest::Memberships { user, after, limit } => {
            StoreReply::Memberships(rooms.memberships(*user, *after, *limit).await?)
        }
        StoreRequest::FindName { name } => StoreReply::Named(rooms.find_name(&fold_name(name)).await?),
        StoreRequest::Discover(query) => StoreReply::Discovered(rooms.discover(query).await?),
        StoreRequest::Requests { user, after, wall, limit } => {
            StoreReply::Requests(rooms.requests_of(*user, *after, *wall, *limit).await?)
        }
        StoreRequest::Blocks { user } => StoreReply::Blocks(rooms.blocks(*user).await?),
        StoreRequest::Relations { user, others } => {
            let mut seen = Vec::new();
            for other in others {
                if rooms.may_see(*other, *user).await? {
                    seen.push(*other);
                }
            }
            StoreReply::Relations(seen)
        }
        StoreRequest::List { room, query } => StoreReply::Listed(Box::new(rooms.list(*room, query).await?)),
        StoreRequest::Hidden { room, users } => match rooms.awaits(*room).await? {
            true => StoreReply::Withheld,
            false => StoreReply::Hidden(rooms.hidden(users).await?),
        },
        StoreRequest::Clear { room, user, seq, n } => {
            StoreReply::Cleared(rooms.clear(*room, *user, *seq, *n).await?)
        }
        StoreRequest::Wrote { room, user } => {
            rooms.wrote(*room, *user).await?;
            StoreReply::Noted
        }
        StoreRequest::Attach { room, owner, key, files: ids } => {
            StoreReply::Attached(files.attach(*room, *owner, *key, ids).await?)
        }
        StoreRequest::TakePicture { room, owner, picture } => {
            StoreReply::Attached(files.take_picture(*room, *owner, *picture).await?.map(|()| Vec::new()))
        }
        StoreRequest::KeepPicture { room, keep } => {
            files.keep_picture(*room, *keep).await?;
            StoreReply::Released
        }
        StoreRequest::Release { room, files: ids } => {
            files.release(*room, ids).await?;
            StoreReply::Released
        }
        StoreRequest::Posted { room, key, files: ids, seq } => {
            files.posted(*room, *key, ids, *seq).await?;
            StoreReply::Released
        }
        StoreRequest::Leave { room, files: ids, to } => {
            files.leave(*room, ids, *to).await?;
            StoreReply::Released
        }
        StoreRequest::Passed { room, floor } => {
            files.passed(*room, *floor).await?;
            StoreReply::Released
        }
        StoreRequest::EndFiles { room } => {
            files.end(*room).await?;
            StoreReply::Released
        }
        StoreRequest::Note { room, act } => {
            rooms.note(*room, act).await?;
            StoreReply::Noted
        }
        StoreRequest::Apply(transaction) => StoreReply::Applied(Box::new(rooms.apply(transaction).await?)),
        StoreRequest::Confirm { room, version, seq } => {
            rooms.confirm(*room, *version, *seq).await?;
            StoreReply::Confirmed
        }
    })
}

/// Messages that mention a user in the store and among records, counted up to [`MENTIONS_COUNTED_MAX`] without those across a
/// block; `None` when the store of rooms cannot tell which those are. Behind [`MENTIONS_READ`] times [`MENTION_READS_MAX`] of them no
/// more are looked for.
async fn count_mentions<M, R>(
    messages: &M,
    rooms: &R,
    (room, user, after): (RoomId, UserId, Seq),
    touched: &BTreeSet<Seq>,
    overlay: Option<&Overlay>,
) -> Result<Option<u32>, StoreError>
where
    M: MessageStore,
    R: RoomStore,
{
    let mut found: Vec<(Seq, UserId)> = overlay.map_or_else(Vec::new, |o| o.mentions(user, after).collect());
    let (mut counted, mut from, mut apart) = (0, after, BTreeMap::new());
    for _ in 0..MENTION_READS_MAX {
        let stored = messages.mentions(room, user, from, touched, MENTIONS_READ).await?;
        let whole = stored.len() < MENTIONS_READ as usize;
        from = stored.last().map_or(from, |(seq, _)| *seq);
        found.extend(stored);
        let new: BTreeSet<UserId> =
            found.iter().map(|(_, sender)| *sender).filter(|sender| !apart.contains_key(sender)).collect();
        if !new.is_empty() {
            let new: Vec<UserId> = new.into_iter().collect();
            let Ok(hidden) = rooms.apart(user, &new).await else { return Ok(None) };
            apart.extend(new.into_iter().map(|sender| (sender, hidden.contains(&sender))));
        }
        counted += found.drain(..).filter(|(_, sender)| apart.get(sender) == Some(&false)).count();
        if whole || counted >= MENTIONS_COUNTED_MAX as usize {
            break;
        }
    }
    Ok(Some((counted as u32).min(MENTIONS_COUNTED_MAX)))
}

/// Reads the records at `places`. One whose journal is gone was drained, so the store has it.
fn read_records<S: RecordSource>(
    records: &mut S,
    room: RoomId,
    places: &[RecordAt],
) -> Result<Vec<OwnedRecord>, StoreError> {
    let mut found = Vec::with_capacity(places.len());
    for place in places {
        match records.read(place.source, place.lsn)? {
            Some(record) if record.head.room == room => found.push(record),
            Some(_) => return Err(StoreError::Corrupt),
            None => {}
        }
    }
    Ok(found)
}

/// The records applied to the rows they touch; `None` without records.
async fn overlay<M: MessageStore>(
    messages: &M,
    room: RoomId,
    records: &[OwnedRecord],
) -> Result<Option<Overlay>, StoreError> {
    if records.is_empty() {
        return Ok(None);
    }
    // Above the top nothing was stored when this was asked, so all of it is among the records: no need to look, which
    // saves most of the work of a long backlog.
    let top = messages.head(room).await?.top;
    let mut stored = BTreeMap::new();
    for seq in Overlay::touched(records).map_err(corrupt)?.range(..=top).copied() {
        if let Some(state) = messages.message(room, seq).await? {
            stored.insert(seq, state);
        }
    }
    Overlay::new(room, stored, records).map(Some).map_err(corrupt)
}

fn corrupt(_: BodyError) -> StoreError {
    StoreError::Corrupt
}

async fn page<M: MessageStore>(
    messages: &M,
    query: &PageQuery,
    overlay: Option<&Overlay>,
) -> Result<PageReply, StoreError> {
    let stored = messages.page(query).await?;
    Ok(match overlay {
        Some(overlay) => overlay.join_page(query, stored),
        None => stored,
    })
}

/// A page whose edits show what their messages say now, also where those lie before it.
async fn changed_page<M: MessageStore, S: RecordSource>(
    messages: &M,
    records: &mut S,
    query: &PageQuery,
    mut undrained: Vec<OwnedRecord>,
    changes: &[(Seq, RecordAt)],
) -> Result<PageReply, StoreError> {
    let mut stored = messages.page(query).await?;
    let edited = edited_messages(&stored.events, &undrained).map_err(corrupt)?;
    let later = changes.iter().filter(|(target, _)| edited.contains(target)).map(|(_, at)| *at);
    let later: Vec<RecordAt> = later.collect();
    let found = read_records(records, query.room, &later)?;
    if found.len() < later.len() {
        // Their journal was drained since the page was read: the store has them now.
        stored = messages.page(query).await?;
    }
    undrained.extend(found);
    Ok(match overlay(messages, query.room, &undrained).await? {
        Some(overlay) => overlay.join_page(query, stored),
        None => stored,
    })
}

/// Messages whose text the edits among events and records show.
fn edited_messages(events: &[StoredEvent], records: &[OwnedRecord]) -> Result<BTreeSet<Seq>, BodyError> {
    let mut edited = BTreeSet::new();
    for event in events {
        if let StoredBody::Edit { target, .. } = event.body {
            edited.insert(target);
        }
    }
    for record in records {
        if let Body::Edit { target, .. } = Body::decode(record.head.kind, &record.payload)? {
            edited.insert(target);
        }
    }
    Ok(edited)
}

/// Adds the message log's part to the relational part of a room.
async fn load<M: MessageStore>(
    messages: &M,
    room: RoomId,
    window: u32,
    undrained: Vec<OwnedRecord>,
    mut loaded: LoadedRoom,
) -> Result<LoadedRoom, StoreError> {
    let overlay = overlay(messages, room, &undrained).await?;
    loaded.head = messages.head(room).await?;
    loaded.reads = messages.reads(room).await?;
    if let Some(overlay) = &overlay {
        loaded.head = overlay.join_head(loaded.head);
        loaded.reads = overlay.join_reads(loaded.reads);
    }
    if window > 0 {
        let floor = loaded.head.floor;
        let last = PageQuery {
            room,
            from: floor.next(),
            to: Seq(u64::MAX),
            backward: true,
            limit: window,
            bytes: u32::MAX,
            all: true,
        };
        loaded.recent = page(messages, &last, overlay.as_ref()).await?.events;
        loaded.recent.reverse();
        loaded.recent.iter_mut().for_each(|event| event.forget_target(floor));
    }
    loaded.journaled = find_events(messages, room, &loaded).await?;
    loaded.intents = find_intents(messages, room, &loaded, &undrained).await?;
    loaded.undrained = undrained;
    Ok(loaded)
}

/// Intents whose events are neither in the log nor in the outbox.
async fn find_intents<M: MessageStore>(
    messages: &M,
    room: RoomId,
    loaded: &LoadedRoom,
    undrained: &[OwnedRecord],
) -> Result<Vec<MetaTransaction>, StoreError> {
    let mut intents = messages.intents(room).await?;
    for record in undrained {
        intents.extend(MetaTransaction::of_intent(&record.borrow()).map_err(corrupt)?);
    }
    intents.sort_by_key(|intent| (intent.wall, intent.actor, intent.key));
    intents.dedup_by_key(|intent| (intent.wall, intent.actor, intent.key));
    let mut open = Vec::new();
    for intent in intents {
        let same = |actor: UserId, key: Key| (actor, key) == (intent.actor, intent.key);
        let done = loaded.outbox.iter().any(|row| same(row.actor, row.key))
            || undrained.iter().any(|r| r.head.kind.takes_seq() && same(r.head.sender, r.head.key))
            || messages.find_key(room, intent.actor, intent.key).await?.is_some();
        if !done {
            open.push(intent);
        }
    }
    Ok(open)
}

/// Searches by halves: each step looks at the first message behind the middle of what is left.
async fn find_time<M: MessageStore, S: RecordSource>(
    messages: &M,
    records: &mut S,
    room: RoomId,
    at: Millis,
    (from, to): (Seq, Seq),
    undrained: &[(Seq, RecordAt)],
) -> Result<StoreReply, StoreError> {
    let (mut after, mut newer) = (Seq(from.0.saturating_sub(1)), to.next());
    let (mut low, mut high) = (from, to);
    while low <= high {
        let middle = Seq(low.0 + (high.0 - low.0) / 2);
        match first_message(messages, records, room, (middle, high), undrained).await? {
            Some((seq, wall)) if wall < at => {
                (after, low) = (seq, seq.next());
                continue;
            }
            Some((seq, _)) => newer = seq,
            None => {}
        }
        high = Seq(middle.0.saturating_sub(1));
    }
    Ok(StoreReply::Time { after, to: Seq(newer.0 - 1) })
}

/// The first message of a range in the store and among records, with its time.
async fn first_message<M: MessageStore, S: RecordSource>(
    messages: &M,
    records: &mut S,
    room: RoomId,
    (from, to): (Seq, Seq),
    undrained: &[(Seq, RecordAt)],
) -> Result<Option<(Seq, Millis)>, StoreError> {
    let mut waiting = None;
    let first = undrained.partition_point(|(seq, _)| *seq < from);
    for (seq, at) in undrained[first..].iter().take_while(|(seq, _)| *seq <= to) {
        match records.read(at.source, at.lsn)? {
            Some(record) if record.head.room == room => {
                waiting = Some((*seq, record.head.wall));
                break;
            }
            Some(_) => return Err(StoreError::Corrupt),
            // Its journal is gone, so the store has it.
            None => {}
        }
    }
    let query = PageQuery { room, from, to, backward: false, limit: 1, bytes: u32::MAX, all: false };
    let stored = messages.page(&query).await?.events;
    let stored = stored.first().map(|event| (event.seq, event.wall));
    Ok(waiting.into_iter().chain(stored).min())
}

/// Where the events of outbox rows are that were journaled and not confirmed: the window may have gone past them.
async fn find_events<M: MessageStore>(
    messages: &M,
    room: RoomId,
    loaded: &LoadedRoom,
) -> Result<Vec<(u64, Seq)>, StoreError> {
    let mut found = Vec::new();
    for row in loaded.outbox.iter().filter(|row| row.version <= loaded.head.version) {
        let Some(used) = messages.find_key(room, row.actor, row.key).await? else { continue };
        // The key may have been used for something else before.
        let event = messages.event(room, used.seq).await?;
        let same = |event: &StoredEvent| match event.body {
            StoredBody::Meta { version, .. } => version == row.version,
            _ => false,
        };
        // Of one that is removed it matters only that it was.
        let removed = event.is_none() && used.seq <= loaded.head.floor;
        if removed || event.as_ref().is_some_and(same) {
            found.push((row.version, used.seq));
        }
    }
    Ok(found)
}
