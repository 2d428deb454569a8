//! One append: records become rows, on top of what is stored and of each other.
//!
//! Rows are read only where the record can meet an older one. A record whose seq is above the room's stored
//! top meets nothing: every stored row's seq and rev is at most the top.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use fjall::Keyspace;
use lynk_domain::{RoomId, Seq, UserId};
use lynk_model::port::{body_hash, content_hash};
use lynk_model::{
    Body, Mentions, MessageFacts, MessageRow, Parts, Position, Record, RecordHead, RecordKind, RoomHead,
};

use super::floors::{Dead, Floors};
use super::key::{self, Table};
use super::value::{self, KeyRow};
use crate::Fault;

/// Rooms whose head stays cached between appends.
const HEADS_CACHED_MAX: usize = 4_096;

/// What a batch changes of what is kept beside the tables.
#[derive(Default)]
pub(super) struct Written {
    /// Heads of its rooms, after it.
    pub(super) heads: Vec<(RoomId, RoomHead)>,
    /// Rows that are left to drop, where that changed.
    pub(super) floors: Vec<(RoomId, Option<Dead>)>,
}

/// Heads of rooms that were written lately. Valid as long as every append succeeds.
#[derive(Default)]
pub(super) struct HeadCache(HashMap<RoomId, RoomHead>);

impl HeadCache {
    /// Forgets everything: the outcome of an append is not known.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes the heads of a batch that was written.
    pub(super) fn remember(&mut self, heads: Vec<(RoomId, RoomHead)>) {
        if self.0.len() + heads.len() > HEADS_CACHED_MAX {
            self.0.clear();
        }
        self.0.extend(heads);
    }

    pub(super) fn get(&self, keyspace: &Keyspace, room: RoomId) -> Result<RoomHead, Fault> {
        match self.0.get(&room) {
            Some(head) => Ok(*head),
            None => super::read::head(keyspace, room),
        }
    }
}

/// A room's head before and after the batch.
struct Heads {
    stored: RoomHead,
    now: RoomHead,
}

/// A message row that the batch looked at.
#[derive(Default)]
struct Touched {
    row: MessageRow,
    /// Whom it mentioned as it was stored.
    mentioned: Mentions,
    changed: bool,
}

/// Rows of one batch; nothing is written until [`Self::finish`].
pub(super) struct Pending<'a> {
    keyspace: &'a Keyspace,
    floors: &'a Floors,
    heads: HashMap<RoomId, Heads>,
    messages: HashMap<(RoomId, Seq), Touched>,
    events: HashMap<(RoomId, Seq), (Seq, Vec<u8>)>,
    reactions: HashMap<Vec<u8>, (Seq, bool)>,
    positions: HashMap<(RoomId, UserId), Position>,
    /// Index rows.
    index: Vec<(Vec<u8>, Vec<u8>)>,
    /// A message of it says more than a text.
    says_more: bool,
}

impl<'a> Pending<'a> {
    pub(super) fn new(keyspace: &'a Keyspace, floors: &'a Floors) -> Self {
        Self {
            keyspace,
            floors,
            heads: HashMap::new(),
            messages: HashMap::new(),
            events: HashMap::new(),
            reactions: HashMap::new(),
            positions: HashMap::new(),
            index: Vec::new(),
            says_more: false,
        }
    }

    /// Whether a message of the batch says more than a text.
    pub(super) fn says_more(&self) -> bool {
        self.says_more
    }

    /// Applies one record.
    pub(super) fn apply(&mut self, cache: &HeadCache, record: &Record<'_>) -> Result<(), Fault> {
        let head = &record.head;
        let body = Body::decode(head.kind, record.payload).map_err(Fault::corrupt)?;
        let heads = match self.heads.entry(head.room) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let stored = cache.get(self.keyspace, head.room)?;
                entry.insert(Heads { stored, now: stored })
            }
        };
        heads.now.absorb(head.kind, head.seq, &body);
        let (stored_top, floor) = (heads.stored.top, heads.now.floor);
        if head.kind.takes_seq() && head.seq <= floor {
            // It comes again after it was removed, or late. That its key was used is known all the same.
            self.index_key(head, body_hash(&body));
            return Ok(());
        }
        match &body {
            Body::Edit { target, .. } | Body::Delete { target } | Body::Reaction { target, .. }
                if *target <= floor => {}
            Body::Message { id, n, reply_to, text, parts } => {
                self.says_more |= !parts.is_empty();
                let facts = MessageFacts::of(head, *id, *n, *reply_to);
                return self.post(head, facts, text, parts, stored_top);
            }
            Body::Edit { target, text, parts } => {
                self.says_more |= !parts.is_empty();
                let touched = self.message(head.room, *target, stored_top)?;
                touched.changed |= touched.row.edit(head.rev, text, parts);
            }
            Body::Delete { target } => {
                let touched = self.message(head.room, *target, stored_top)?;
                touched.changed |= touched.row.delete(head.rev);
                if let Some(sender) = touched.row.facts.map(|facts| facts.sender) {
                    self.index_deleted(head.room, *target, sender);
                }
            }
            Body::Reaction { target, on, emoji } => {
                let key = key::reaction(head.room, *target, head.sender, emoji);
                self.react(key, head.rev, *on, stored_top)?;
            }
            Body::Meta { .. } => {}
            Body::Intent { .. } => {
                let key = key::intent(head.room, head.sender, head.key);
                self.index.push((key, value::encode_intent(head.wall, &body)));
                return Ok(());
            }
            Body::Empty => return self.reach(head),
        }
        self.event(head, &body, stored_top)
    }

    /// The message row at `seq`, read when it may be stored.
    fn message(&mut self, room: RoomId, seq: Seq, stored_top: Seq) -> Result<&mut Touched, Fault> {
        let entry = match self.messages.entry((room, seq)) {
            Entry::Occupied(entry) => return Ok(entry.into_mut()),
            Entry::Vacant(entry) => entry,
        };
        let mut touched = Touched::default();
        if seq <= stored_top
            && let Some(value) = self.keyspace.get(key::by_seq(room, Table::Message, seq))?
        {
            touched.row = value::decode_message(seq, &value)?;
            touched.mentioned = mentioned_by(&touched.row).clone();
        }
        Ok(entry.insert(touched))
    }

    fn post(
        &mut self,
        head: &RecordHead,
        facts: MessageFacts,
        text: &str,
        parts: &Parts,
        stored_top: Seq,
    ) -> Result<(), Fault> {
        let touched = self.message(head.room, head.seq, stored_top)?;
        if !touched.row.post(head.rev, facts, text, parts) {
            return Ok(());
        }
        touched.changed = true;
        if touched.row.deleted != Seq(0) {
            self.index_deleted(head.room, head.seq, head.sender);
        }
        self.index.push((key::own(head.room, head.sender, head.seq), Vec::new()));
        self.index_key(head, Some(content_hash(facts.reply_to, text, parts)));
        Ok(())
    }

    fn index_key(&mut self, head: &RecordHead, content_hash: Option<u64>) {
        if !head.key.is_nil() {
            let used = KeyRow { wall: head.wall, seq: head.seq, content_hash };
            let key = key::idempotency(head.room, head.sender, head.key);
            self.index.push((key, value::encode_key(&used).to_vec()));
        }
    }

    fn index_deleted(&mut self, room: RoomId, seq: Seq, sender: UserId) {
        let key = key::by_seq(room, Table::Deleted, seq).to_vec();
        self.index.push((key, sender.0.to_vec()));
    }

    fn react(&mut self, key: Vec<u8>, rev: Seq, on: bool, stored_top: Seq) -> Result<(), Fault> {
        let known = match self.reactions.get(&key) {
            Some((rev, _)) => *rev,
            None if rev > stored_top => Seq(0),
            None => match self.keyspace.get(&key)? {
                Some(value) => value::decode_reaction(&value)?.0,
                None => Seq(0),
            },
        };
        if rev > known {
            self.reactions.insert(key, (rev, on));
        }
        Ok(())
    }

    fn event(&mut self, head: &RecordHead, body: &Body<'_>, stored_top: Seq) -> Result<(), Fault> {
        let place = (head.room, head.seq);
        let known = match self.events.get(&place) {
            Some((rev, _)) => *rev,
            None if head.seq > stored_top => Seq(0),
            None => match self.keyspace.get(key::by_seq(head.room, Table::Event, head.seq))? {
                Some(value) => value::decode_event_rev(&value)?,
                None => Seq(0),
            },
        };
        self.index_key(head, body_hash(body));
        if head.rev > known {
            self.events.insert(place, (head.rev, value::encode_event(head, body)));
        }
        Ok(())
    }

    /// A member's position moved.
    fn reach(&mut self, head: &RecordHead) -> Result<(), Fault> {
        if !matches!(head.kind, RecordKind::Read | RecordKind::Delivered) {
            return Ok(());
        }
        let place = (head.room, head.sender);
        let mut position = match self.positions.get(&place) {
            Some(known) => *known,
            None => match self.keyspace.get(key::position(head.room, head.sender))? {
                Some(value) => value::decode_position(&value)?,
                None => Position::default(),
            },
        };
        position.reach(head);
        self.positions.insert(place, position);
        Ok(())
    }

    /// Puts the rows into `batch`, sorted: the engine's memtable is a skip list, and neighbours that are inserted
    /// one after the other find their place in the processor's cache.
    pub(super) fn finish(&mut self, batch: &mut fjall::OwnedWriteBatch) {
        let mut rows = std::mem::take(&mut self.index);
        for ((room, seq), touched) in self.messages.iter().filter(|(_, touched)| touched.changed) {
            let value = value::encode_message(*seq, &touched.row);
            rows.push((key::by_seq(*room, Table::Message, *seq).to_vec(), value));
            let now = mentioned_by(&touched.row);
            if *now != touched.mentioned {
                index_mentions(self.keyspace, batch, (*room, *seq), &touched.mentioned, &touched.row);
            }
        }
        for ((room, seq), (_, value)) in self.events.drain() {
            rows.push((key::by_seq(room, Table::Event, seq).to_vec(), value));
        }
        for (key, (rev, on)) in self.reactions.drain() {
            rows.push((key, value::encode_reaction(rev, on).to_vec()));
        }
        for ((room, user), position) in &self.positions {
            rows.push((key::position(*room, *user), value::encode_position(position)));
        }
        for (room, heads) in self.heads.iter().filter(|(_, heads)| heads.now != heads.stored) {
            let key = key::prefix(*room, Table::Head).to_vec();
            rows.push((key, value::encode_head(&heads.now)));
        }
        for (room, dead) in self.dead() {
            rows.push((key::floor(room), value::encode_floor(dead)));
        }
        rows.sort_unstable();
        for (key, value) in rows {
            batch.insert(self.keyspace, key, value);
        }
    }

    /// Whether the batch removes anything.
    pub(super) fn removes(&self) -> bool {
        self.dead().next().is_some()
    }

    /// Rows that are left to drop in rooms whose floor moved.
    fn dead(&self) -> impl Iterator<Item = (RoomId, Dead)> + '_ {
        let moved = self.heads.iter().filter(|(_, heads)| heads.now.floor > heads.stored.floor);
        moved.map(|(room, heads)| (*room, self.floors.moved(*room, heads.stored.floor, heads.now.floor)))
    }

    /// What the batch changes beside the tables.
    pub(super) fn into_written(self) -> Written {
        let floors = self.dead().map(|(room, dead)| (room, Some(dead))).collect();
        let heads = self.heads.into_iter().map(|(room, heads)| (room, heads.now)).collect();
        Written { heads, floors }
    }
}

/// Whom a row mentions in the index: nobody while its own record has not arrived.
pub(super) fn mentioned_by(row: &MessageRow) -> &Mentions {
    if row.facts.is_some() { &row.parts.mentions } else { &Parts::NONE.mentions }
}

/// Brings the index of mentions from what was stored of a row to what it says now.
pub(super) fn index_mentions(
    keyspace: &Keyspace,
    batch: &mut fjall::OwnedWriteBatch,
    (room, seq): (RoomId, Seq),
    stored: &Mentions,
    row: &MessageRow,
) {
    let now = mentioned_by(row);
    let names = |mentions: &Mentions, user: UserId| {
        if user.is_nil() { mentions.all() } else { mentions.names(user) }
    };
    for user in named(stored).filter(|user| !names(now, *user)) {
        batch.remove(keyspace, key::mentioned(room, user, seq));
    }
    let sender = row.facts.map_or(UserId::NIL, |facts| facts.sender);
    for user in named(now).filter(|user| !names(stored, *user)) {
        batch.insert(keyspace, key::mentioned(room, user, seq), sender.0);
    }
}

/// The users of index rows: nil for everybody.
fn named(mentions: &Mentions) -> impl Iterator<Item = UserId> + '_ {
    mentions.all().then_some(UserId::NIL).into_iter().chain(mentions.users().iter().copied())
}
