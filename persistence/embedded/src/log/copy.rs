//! Dumping and filling the message log.
//!
//! Filling writes rows as an append would have left them, merged with those that are there. It is not synced row by row, because nobody
//! relies on a copy before [`MessageDump::settle`].

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use fjall::{Keyspace, OwnedWriteBatch, PersistMode};
use lynk_domain::{Epoch, RoomId, Seq};
use lynk_model::dump::LogRow;
use lynk_model::port::MessageDump;
use lynk_model::{
    Body, FoundKey, MessageState, MetaChange, MetaTransaction, Position, ReactionRow, RecordHead, RecordKind,
    RoomHead, StoreError, StoredBody, StoredEvent,
};

use super::floors::Floors;
use super::key::{self, Table};
use super::value::{self, KeyRow};
use super::write::{index_mentions, mentioned_by};
use super::{HeadCache, MessageLog, Written, format, read};
use crate::Fault;

impl MessageDump for MessageLog {
    async fn logged_rooms(&self, after: RoomId, limit: u32) -> Result<Vec<RoomId>, StoreError> {
        self.read(|keyspace| rooms(keyspace, after, limit))
    }

    async fn log_rows(&self, room: RoomId, from: Seq, to: Seq) -> Result<Vec<LogRow>, StoreError> {
        self.read(|keyspace| rows(keyspace, room, from, to))
    }

    async fn fill_log(&mut self, room: RoomId, rows: &[LogRow]) -> Result<(), StoreError> {
        let says_more =
            |row: &LogRow| matches!(row, LogRow::Message { state, .. } if !state.row.parts.is_empty());
        let removes = |row: &LogRow| matches!(row, LogRow::Head(head) if head.floor > Seq(0));
        let floors = Arc::clone(&self.shared.floors);
        self.write_as(None, |engine, heads, batch| {
            if rows.iter().any(removes) {
                engine.need_format(batch, format::FLOORS)?;
            } else if rows.iter().any(says_more) {
                engine.need_format(batch, format::PARTS)?;
            }
            fill((&engine.keyspace, &floors), heads, batch, room, rows)
        })
    }

    async fn settle(&mut self) -> Result<(), StoreError> {
        self.with_engine(|engine| Ok(engine.database.persist(PersistMode::SyncAll)?))
    }

    async fn epoch(&self) -> Result<Epoch, StoreError> {
        self.read(read::floor)
    }

    async fn raise_epoch(&mut self, epoch: Epoch) -> Result<(), StoreError> {
        let epoch = epoch.max(self.epoch().await?);
        self.write(|engine, _, batch| {
            let floor = RoomHead { epoch, ..RoomHead::default() };
            let key = key::prefix(RoomId::NIL, Table::Head);
            batch.insert(&engine.keyspace, key, value::encode_head(&floor));
            if epoch > Epoch(0) {
                engine.need_format(batch, format::EPOCH)?;
            }
            Ok(Written::default())
        })
    }
}

/// Rooms with a head. Each is found by seeking behind the last one, so the rows between cost nothing.
fn rooms(keyspace: &Keyspace, after: RoomId, limit: u32) -> Result<Vec<RoomId>, Fault> {
    let (mut found, mut last) = (Vec::new(), after);
    while found.len() < limit as usize {
        // Above every table of the room.
        let mut end = key::prefix(last, Table::Head).to_vec();
        end[16] = u8::MAX;
        let Some(guard) = keyspace.range((Bound::Excluded(end), Bound::Unbounded)).next() else { break };
        let key = guard.key()?;
        let room = key.first_chunk::<16>().ok_or_else(|| Fault::corrupt("a stored key is short"))?;
        last = RoomId(*room);
        if keyspace.contains_key(key::prefix(last, Table::Head))? {
            found.push(last);
        }
    }
    Ok(found)
}

fn rows(keyspace: &Keyspace, room: RoomId, from: Seq, to: Seq) -> Result<Vec<LogRow>, Fault> {
    let from = from.max(read::head(keyspace, room)?.floor.next());
    if from > to {
        return Ok(Vec::new());
    }
    let mut messages: BTreeMap<Seq, MessageState> = BTreeMap::new();
    let short = || Fault::corrupt("a stored key is short");
    for guard in keyspace.range(key::seqs(room, Table::Message, from, to)) {
        let (key, value) = guard.into_inner()?;
        let seq = key::trailing_seq(&key).ok_or_else(short)?;
        messages.entry(seq).or_default().row = value::decode_message(seq, &value)?;
    }
    let (first, last) = key::reactions(room, from, to);
    for guard in keyspace.range(first..=last) {
        let (key, value) = guard.into_inner()?;
        let (target, user, emoji) = key::split_reaction(&key).ok_or_else(short)?;
        let (rev, on) = value::decode_reaction(&value)?;
        messages.entry(target).or_default().react(rev, user, on, emoji);
    }
    let mut found: Vec<LogRow> =
        messages.into_iter().map(|(seq, state)| LogRow::Message { seq, state }).collect();
    for guard in keyspace.range(key::seqs(room, Table::Event, from, to)) {
        let (key, value) = guard.into_inner()?;
        let seq = key::trailing_seq(&key).ok_or_else(short)?;
        found.push(LogRow::Event(value::decode_event(room, seq, &value)?));
    }
    Ok(found)
}

/// Puts merged rows into `batch`.
fn fill(
    (keyspace, floors): (&Keyspace, &Floors),
    heads: &HeadCache,
    batch: &mut OwnedWriteBatch,
    room: RoomId,
    rows: &[LogRow],
) -> Result<Written, Fault> {
    let stored = heads.get(keyspace, room)?;
    let mut head = stored;
    for row in rows {
        match row {
            LogRow::Message { seq, .. } if *seq <= head.floor => {}
            LogRow::Event(found) if found.seq <= head.floor => {}
            LogRow::Message { seq, state } => message(keyspace, batch, room, *seq, state)?,
            LogRow::Event(found) => event(keyspace, batch, room, found)?,
            LogRow::Key { sender, key, used } => {
                let FoundKey { seq, wall, content_hash, .. } = *used;
                let used = KeyRow { wall: lynk_domain::Millis(wall), seq, content_hash };
                batch.insert(keyspace, key::idempotency(room, *sender, *key), value::encode_key(&used));
            }
            LogRow::Position { user, position } => {
                let key = key::position(room, *user);
                let mut known = match keyspace.get(&key)? {
                    Some(value) => value::decode_position(&value)?,
                    None => Position::default(),
                };
                known.merge(position);
                batch.insert(keyspace, key, value::encode_position(&known));
            }
            LogRow::Intent(intent) => intend(keyspace, batch, room, intent),
            LogRow::Head(told) => head.merge(told),
        }
    }
    if head != stored {
        batch.insert(keyspace, key::prefix(room, Table::Head), value::encode_head(&head));
    }
    let mut written = Written { heads: vec![(room, head)], ..Written::default() };
    if head.floor > stored.floor {
        let dead = floors.moved(room, stored.floor, head.floor);
        batch.insert(keyspace, key::floor(room), value::encode_floor(dead));
        written.floors.push((room, Some(dead)));
    }
    Ok(written)
}

fn message(
    keyspace: &Keyspace,
    batch: &mut OwnedWriteBatch,
    room: RoomId,
    seq: Seq,
    state: &MessageState,
) -> Result<(), Fault> {
    let at = key::by_seq(room, Table::Message, seq);
    let stored = keyspace.get(at)?.map(|value| value::decode_message(seq, &value)).transpose()?;
    let mut row = stored.clone().unwrap_or_default();
    row.merge(&state.row);
    let stored = stored.unwrap_or_default();
    if row != stored {
        batch.insert(keyspace, at, value::encode_message(seq, &row));
        index_mentions(keyspace, batch, (room, seq), mentioned_by(&stored), &row);
        if let Some(facts) = row.facts {
            batch.insert(keyspace, key::own(room, facts.sender, seq), []);
            if row.deleted != Seq(0) {
                batch.insert(keyspace, key::by_seq(room, Table::Deleted, seq), facts.sender.0);
            }
        }
    }
    for ReactionRow { emoji, user, rev, on } in &state.reactions {
        let at = key::reaction(room, seq, *user, emoji);
        let known = keyspace.get(&at)?.map(|value| value::decode_reaction(&value)).transpose()?;
        if known.is_none_or(|(known, _)| *rev > known) {
            batch.insert(keyspace, at, value::encode_reaction(*rev, *on));
        }
    }
    Ok(())
}

fn event(
    keyspace: &Keyspace,
    batch: &mut OwnedWriteBatch,
    room: RoomId,
    event: &StoredEvent,
) -> Result<(), Fault> {
    let at = key::by_seq(room, Table::Event, event.seq);
    let known = keyspace.get(at)?.map(|value| value::decode_event_rev(&value)).transpose()?;
    let (kind, body) = match &event.body {
        StoredBody::Edit { target, .. } => (RecordKind::Edit, Body::edit_of(*target)),
        StoredBody::Delete { target } => (RecordKind::Delete, Body::Delete { target: *target }),
        StoredBody::Reaction { target, on, emoji } => {
            (RecordKind::Reaction, Body::Reaction { target: *target, on: *on, emoji })
        }
        StoredBody::Meta { version, event } => {
            (RecordKind::Meta, Body::Meta { version: *version, event: event.clone() })
        }
        StoredBody::Message(_) => return Err(Fault::corrupt("a message is not a row of the events")),
    };
    if known.is_none_or(|known| event.rev > known) {
        let StoredEvent { seq, rev, wall, sender, key, .. } = *event;
        let head = RecordHead { kind, flags: 0, room, seq, rev, wall, sender, key };
        batch.insert(keyspace, at, value::encode_event(&head, &body));
    }
    Ok(())
}

fn intend(keyspace: &Keyspace, batch: &mut OwnedWriteBatch, room: RoomId, intent: &MetaTransaction) {
    if let MetaChange::Event(event) = &intent.change {
        let body = Body::Intent { content_hash: intent.content_hash, event: event.clone() };
        let at = key::intent(room, intent.actor, intent.key);
        batch.insert(keyspace, at, value::encode_intent(intent.wall, &body));
    }
}
