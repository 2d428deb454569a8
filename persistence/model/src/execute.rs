//! Carries out one request against the ports: what the store bridge and the simulator both do.
//!
//! Thread: a bridge, or the simulator's. Holds no state. Records are read before the store, see
//! [`Overlay`]. What can fail: whatever the ports report; the reply then is [`StoreReply::Failed`].

use std::collections::BTreeMap;

use lynk_domain::{RoomId, Seq};

use crate::port::{MessageStore, NotUnread, RecordSource, RoomStore};
use crate::{
    BodyError, LoadedRoom, Overlay, OwnedRecord, PageQuery, PageReply, RecordAt, StoreError, StoreReply,
    StoreRequest, fold_name,
};

/// The answer to `request`. Exactly one, of the request's name or `Failed`.
pub async fn execute<M, R, S>(
    request: &StoreRequest,
    messages: &M,
    rooms: &mut R,
    records: &mut S,
) -> StoreReply
where
    M: MessageStore,
    R: RoomStore,
    S: RecordSource,
{
    match answer(request, messages, rooms, records).await {
        Ok(reply) => reply,
        Err(error) => StoreReply::Failed(error),
    }
}

async fn answer<M, R, S>(
    request: &StoreRequest,
    messages: &M,
    rooms: &mut R,
    records: &mut S,
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
        StoreRequest::Page { query, undrained } => {
            let undrained = read_records(records, query.room, undrained)?;
            let overlay = overlay(messages, query.room, &undrained).await?;
            StoreReply::Page(Box::new(page(messages, query, overlay.as_ref()).await?))
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
        StoreRequest::FindKey { room, sender, key } => {
            StoreReply::Key(messages.find_key(*room, *sender, *key).await?)
        }
        StoreRequest::CountNotUnread { room, user, after, undrained } => {
            let undrained = read_records(records, *room, undrained)?;
            let touched = Overlay::touched(&undrained).map_err(corrupt)?;
            let overlay = overlay(messages, *room, &undrained).await?;
            let stored = messages.count_not_unread(*room, *user, *after, &touched).await?;
            let NotUnread { own, deleted, cursor_n, next: _ } = match overlay {
                Some(overlay) => overlay.join_not_unread(*user, *after, stored),
                None => stored,
            };
            StoreReply::NotUnread { own, deleted, cursor_n }
        }
        StoreRequest::Memberships { user, after, limit } => {
            StoreReply::Memberships(rooms.memberships(*user, *after, *limit).await?)
        }
        StoreRequest::FindName { name } => StoreReply::Named(rooms.find_name(&fold_name(name)).await?),
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
        StoreRequest::Apply(transaction) => StoreReply::Applied(Box::new(rooms.apply(transaction).await?)),
        StoreRequest::Confirm { room, version, seq } => {
            rooms.confirm(*room, *version, *seq).await?;
            StoreReply::Confirmed
        }
    })
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
        let last = PageQuery {
            room,
            from: Seq(1),
            to: Seq(u64::MAX),
            backward: true,
            limit: window,
            bytes: u32::MAX,
            all: true,
        };
        loaded.recent = page(messages, &last, overlay.as_ref()).await?.events;
        loaded.recent.reverse();
    }
    loaded.undrained = undrained;
    Ok(loaded)
}
