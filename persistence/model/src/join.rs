//! Joins what a message store has with records that it may not have yet.
//!
//! Thread: any. Pure. The caller reads the records first and the store afterwards, so a record that is
//! drained in between is seen twice rather than never; applying a record twice changes nothing.
//!
//! Invariants: the joined answer is the one that a store with all the records would have given; only a page
//! may be cut earlier.
//! Limits: the caller bounds the number of records. What can fail: a payload that cannot be decoded.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use lynk_domain::{RoomId, Seq, UserId};

use crate::port::NotUnread;
use crate::{
    Body, BodyError, MessageFacts, MessageState, OwnedRecord, PageBuilder, PageQuery, PageReply, Position,
    ReadState, RecordKind, RoomHead, StoredBody, StoredEvent,
};

/// Records of one room, applied to the store's rows that they touch.
pub struct Overlay {
    room: RoomId,
    /// Touched messages with the records applied.
    messages: BTreeMap<Seq, MessageState>,
    /// New events that are not messages. The text of edits is filled in when they are shown.
    events: BTreeMap<Seq, StoredEvent>,
    /// Positions reached by members.
    positions: BTreeMap<UserId, Position>,
    /// Highest numbers among the records.
    head: RoomHead,
}

impl Overlay {
    /// Messages posted or changed by the records: [`Self::new`] needs their stored states.
    ///
    /// # Errors
    /// When a payload cannot be decoded.
    pub fn touched(records: &[OwnedRecord]) -> Result<BTreeSet<Seq>, BodyError> {
        let mut seqs = BTreeSet::new();
        for record in records {
            match Body::decode(record.head.kind, &record.payload)? {
                Body::Message { .. } => seqs.insert(record.head.seq),
                Body::Edit { target, .. } | Body::Delete { target } | Body::Reaction { target, .. } => {
                    seqs.insert(target)
                }
                Body::Meta { .. } | Body::Intent { .. } | Body::Empty => continue,
            };
        }
        Ok(seqs)
    }

    /// Applies `records`, all of `room`, to `stored`: the states of the [touched](Self::touched) messages.
    ///
    /// # Errors
    /// When a payload cannot be decoded.
    pub fn new(
        room: RoomId,
        stored: BTreeMap<Seq, MessageState>,
        records: &[OwnedRecord],
    ) -> Result<Self, BodyError> {
        let mut overlay = Self {
            room,
            messages: stored,
            events: BTreeMap::new(),
            positions: BTreeMap::new(),
            head: RoomHead::default(),
        };
        for record in records {
            overlay.apply(record)?;
        }
        Ok(overlay)
    }

    fn apply(&mut self, record: &OwnedRecord) -> Result<(), BodyError> {
        let head = &record.head;
        debug_assert_eq!(head.room, self.room, "an overlay is of one room");
        let body = Body::decode(head.kind, &record.payload)?;
        self.head.absorb(head.kind, head.seq, &body);
        match body {
            Body::Message { id, n, reply_to, text, parts } => {
                let facts = MessageFacts::of(head, id, n, reply_to);
                self.messages.entry(head.seq).or_default().row.post(head.rev, facts, text, &parts);
                return Ok(());
            }
            Body::Edit { target, text, parts } => {
                self.messages.entry(target).or_default().row.edit(head.rev, text, &parts);
            }
            Body::Delete { target } => {
                self.messages.entry(target).or_default().row.delete(head.rev);
            }
            Body::Reaction { target, on, emoji } => {
                self.messages.entry(target).or_default().react(head.rev, head.sender, on, emoji);
            }
            Body::Meta { .. } => {}
            Body::Intent { .. } => return Ok(()),
            Body::Empty => {
                if matches!(head.kind, RecordKind::Read | RecordKind::Delivered) {
                    self.positions.entry(head.sender).or_default().reach(head);
                }
                return Ok(());
            }
        }
        if let Some(event) = StoredEvent::of_record(&record.borrow())? {
            self.events.insert(head.seq, event);
        }
        Ok(())
    }

    /// The joined form of the store's answer to `query`.
    #[must_use]
    pub fn join_page(&self, query: &PageQuery, page: PageReply) -> PageReply {
        if query.from > query.to {
            return page;
        }
        let mut rows: BTreeMap<Seq, StoredEvent> =
            page.events.into_iter().map(|event| (event.seq, event)).collect();
        // Beyond a cut the store may have rows that were not returned: nothing may be added there.
        let known = PageQuery { from: page.covers_from, to: page.covers_to, ..query.clone() };
        rows.extend(self.shown(&known));
        let mut builder = PageBuilder::new(query);
        let mut push = |event: StoredEvent| builder.push(self.freshen(event));
        let complete = if query.backward {
            rows.into_values().rev().all(&mut push)
        } else {
            rows.into_values().all(&mut push)
        };
        let joined = builder.finish();
        if complete && page.more {
            let PageReply { covers_from, covers_to, more, .. } = page;
            return PageReply { events: joined.events, covers_from, covers_to, more };
        }
        joined
    }

    /// New and changed rows inside the range of `query`, ascending.
    fn shown<'a>(&'a self, query: &'a PageQuery) -> impl Iterator<Item = (Seq, StoredEvent)> + 'a {
        let range = query.from..=query.to;
        let messages = self.messages.range(range.clone());
        let messages = messages.filter_map(|(seq, state)| Some((*seq, state.view(self.room, *seq)?)));
        let events = self.events.range(range).filter(|_| query.all);
        messages.chain(events.map(|(seq, event)| (*seq, event.clone())))
    }

    /// Lets an edit say what its target says now, where the records touch the target.
    fn freshen(&self, mut event: StoredEvent) -> StoredEvent {
        if let StoredBody::Edit { target, text, parts } = &mut event.body
            && let Some(state) = self.messages.get(target)
        {
            text.clone_from(&state.row.text);
            parts.clone_from(&state.row.parts);
        }
        event
    }

    /// The joined form of the event at `seq`, of which the store knows `stored`.
    #[must_use]
    pub fn join_event(&self, seq: Seq, stored: Option<StoredEvent>) -> Option<StoredEvent> {
        let changed = self.messages.get(&seq).and_then(|state| state.view(self.room, seq));
        changed.or_else(|| self.events.get(&seq).cloned()).or(stored).map(|event| self.freshen(event))
    }

    /// The joined form of what the store counted for `user` after `after` among messages that are not
    /// touched. Counting touched ones here only keeps the sum exact while a drain runs between two reads.
    #[must_use]
    pub fn join_not_unread(&self, user: UserId, after: Seq, stored: NotUnread) -> NotUnread {
        let mut joined = stored;
        let later = (Bound::Excluded(after), Bound::Unbounded);
        for (seq, state) in self.messages.range(later) {
            let Some(facts) = state.row.facts else { continue };
            if facts.sender == user {
                joined.own += 1;
            } else if state.row.deleted > Seq(0) {
                joined.deleted += 1;
            }
            let here = (*seq, facts.n);
            joined.next = Some(joined.next.map_or(here, |next| next.min(here)));
        }
        joined
    }

    /// Touched messages after `after` that mention `user` as they stand, with their senders; what
    /// [`MessageStore::mentions`](crate::port::MessageStore::mentions) tells of the others.
    pub fn mentions(&self, user: UserId, after: Seq) -> impl Iterator<Item = (Seq, UserId)> + '_ {
        let later = self.messages.range((Bound::Excluded(after), Bound::Unbounded));
        later.filter_map(move |(seq, state)| Some((*seq, state.row.mentioner_of(user)?)))
    }

    /// Highest numbers of the store and the records.
    #[must_use]
    pub fn join_head(&self, stored: RoomHead) -> RoomHead {
        RoomHead {
            epoch: stored.epoch,
            top: stored.top.max(self.head.top),
            top_n: stored.top_n.max(self.head.top_n),
            version: stored.version.max(self.head.version),
            reserved: stored.reserved.max(self.head.reserved),
            floor: stored.floor.max(self.head.floor),
        }
    }

    /// Read states of the store and the records, by user.
    #[must_use]
    pub fn join_reads(&self, stored: Vec<ReadState>) -> Vec<ReadState> {
        let mut states: BTreeMap<UserId, ReadState> = stored.into_iter().map(|s| (s.user, s)).collect();
        for (user, reached) in &self.positions {
            let none = ReadState { user: *user, round: 0, read: Seq(0), delivered: Seq(0) };
            let state = states.entry(*user).or_insert(none);
            (state.round, state.read) = (state.round, state.read).max((reached.round, reached.read));
            state.delivered = state.delivered.max(reached.delivered);
        }
        states.into_values().collect()
    }
}

impl RoomHead {
    /// Raises the numbers to what a record tells.
    pub fn absorb(&mut self, kind: RecordKind, seq: Seq, body: &Body<'_>) {
        if kind.takes_seq() {
            self.top = self.top.max(seq);
        }
        match body {
            Body::Message { n, .. } => self.top_n = self.top_n.max(*n),
            Body::Meta { version, .. } => self.version = self.version.max(*version),
            Body::Empty if kind == RecordKind::Reserve => self.reserved = self.reserved.max(seq),
            Body::Empty if kind == RecordKind::Retain => self.floor = self.floor.max(seq),
            _ => {}
        }
    }
}
