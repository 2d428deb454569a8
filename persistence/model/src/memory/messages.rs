//! [`MemoryMessages`]: the message log as tables per room. See the parent module.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use lynk_domain::{Epoch, Key, Lsn, MessageId, Ordinal, RoomId, Seq, UserId};

use crate::dump::LogRow;
use crate::port::{LastFault, MessageDump, MessageStore, NotUnread, body_hash};
use crate::{
    Body, FoundKey, MessageFacts, MessageState, MetaTransaction, PageBuilder, PageQuery, PageReply, Parts,
    Position, ReadState, Record, RecordHead, RecordKind, RoomHead, StoreError, StoredBody, StoredEvent,
};

/// [`MessageStore`] in memory.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub struct MemoryMessages {
    rooms: BTreeMap<RoomId, RoomLog>,
    cursors: BTreeMap<String, Lsn>,
    /// The epoch that rooms have at least.
    epoch: Epoch,
}

/// One room's tables.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
struct RoomLog {
    head: RoomHead,
    messages: BTreeMap<Seq, MessageState>,
    /// Events that are not messages. Edits keep nothing of what they say.
    events: BTreeMap<Seq, StoredEvent>,
    positions: BTreeMap<UserId, Position>,
    keys: BTreeMap<(UserId, Key), FoundKey>,
    intents: BTreeMap<(UserId, Key), MetaTransaction>,
}

impl RoomLog {
    fn apply(&mut self, record: &Record<'_>, body: &Body<'_>) {
        self.take(record, body);
        self.forget_below();
    }

    /// Removes what lies at or below the floor, changes of such messages among it.
    fn forget_below(&mut self) {
        let floor = self.head.floor;
        if floor > Seq(0) {
            self.messages = self.messages.split_off(&floor.next());
            self.events = self.events.split_off(&floor.next());
        }
    }

    fn take(&mut self, record: &Record<'_>, body: &Body<'_>) {
        let head = &record.head;
        self.head.absorb(head.kind, head.seq, body);
        match body {
            Body::Message { id, n, reply_to, text, parts } => {
                let facts = MessageFacts::of(head, *id, *n, *reply_to);
                self.messages.entry(head.seq).or_default().row.post(head.rev, facts, text, parts);
                self.keep_key(head, body, facts.n, facts.id);
                return;
            }
            Body::Edit { target, text, parts } => {
                self.messages.entry(*target).or_default().row.edit(head.rev, text, parts);
            }
            Body::Delete { target } => {
                self.messages.entry(*target).or_default().row.delete(head.rev);
            }
            Body::Reaction { target, on, emoji } => {
                self.messages.entry(*target).or_default().react(head.rev, head.sender, *on, emoji);
            }
            Body::Meta { .. } => {}
            Body::Intent { .. } => {
                if let Ok(Some(intent)) = MetaTransaction::of_intent(record) {
                    self.intents.insert((head.sender, head.key), intent);
                }
                return;
            }
            Body::Empty => {
                if matches!(head.kind, RecordKind::Read | RecordKind::Delivered) {
                    self.positions.entry(head.sender).or_default().reach(head);
                }
                return;
            }
        }
        self.keep_key(head, body, Ordinal(0), MessageId::NIL);
        if let Ok(Some(mut event)) = StoredEvent::of_record(record) {
            if let StoredBody::Edit { text, parts, .. } = &mut event.body {
                text.clear();
                *parts = Parts::default();
            }
            let old = self.events.get(&event.seq);
            if old.is_none_or(|old| event.rev > old.rev) {
                self.events.insert(event.seq, event);
            }
        }
    }

    fn keep_key(&mut self, head: &RecordHead, body: &Body<'_>, n: Ordinal, id: MessageId) {
        if head.key.is_nil() {
            return;
        }
        self.keys.entry((head.sender, head.key)).or_insert(FoundKey {
            seq: head.seq,
            n,
            id,
            wall: head.wall.0,
            content_hash: body_hash(body),
        });
    }

    fn event(&self, room: RoomId, seq: Seq) -> Option<StoredEvent> {
        let message = self.messages.get(&seq).and_then(|state| state.view(room, seq));
        message.or_else(|| self.events.get(&seq).map(|event| self.render(event)))
    }

    /// An event as it reads now: an edit says what its target says now.
    fn render(&self, event: &StoredEvent) -> StoredEvent {
        let mut event = event.clone();
        if let StoredBody::Edit { target, text, parts } = &mut event.body
            && let Some(state) = self.messages.get(target)
        {
            text.clone_from(&state.row.text);
            parts.clone_from(&state.row.parts);
        }
        event
    }

    /// Events of the range that `query` wants, ascending.
    fn wanted(&self, query: &PageQuery) -> BTreeMap<Seq, StoredEvent> {
        let range = query.from..=query.to;
        let messages = self.messages.range(range.clone());
        let messages = messages.filter_map(|(seq, state)| Some((*seq, state.view(query.room, *seq)?)));
        let events = self.events.range(range).filter(|_| query.all);
        messages.chain(events.map(|(seq, event)| (*seq, self.render(event)))).collect()
    }
}

impl MessageStore for MemoryMessages {
    async fn append(&mut self, source: &str, cursor: Lsn, batch: &[Record<'_>]) -> Result<(), StoreError> {
        let decode = |record: &Record<'_>| Body::decode(record.head.kind, record.payload).is_ok();
        if !batch.iter().all(decode) {
            return Err(StoreError::Corrupt);
        }
        for record in batch {
            if let Ok(body) = Body::decode(record.head.kind, record.payload) {
                self.rooms.entry(record.head.room).or_default().apply(record, &body);
            }
        }
        let known = self.cursors.entry(source.to_owned()).or_default();
        *known = cursor.max(*known);
        Ok(())
    }

    async fn cursor(&self, source: &str) -> Result<Lsn, StoreError> {
        Ok(self.cursors.get(source).copied().unwrap_or_default())
    }

    async fn forget(&mut self, source: &str) -> Result<(), StoreError> {
        self.cursors.remove(source);
        Ok(())
    }

    async fn page(&self, query: &PageQuery) -> Result<PageReply, StoreError> {
        let mut builder = PageBuilder::new(query);
        if let Some(log) = self.rooms.get(&query.room).filter(|_| query.from <= query.to) {
            let rows = log.wanted(query);
            // The builder notes the first event that does not fit, and `all` stops there.
            let _complete = if query.backward {
                rows.into_values().rev().all(|event| builder.push(event))
            } else {
                rows.into_values().all(|event| builder.push(event))
            };
        }
        Ok(builder.finish())
    }

    async fn event(&self, room: RoomId, seq: Seq) -> Result<Option<StoredEvent>, StoreError> {
        Ok(self.rooms.get(&room).and_then(|log| log.event(room, seq)))
    }

    async fn message(&self, room: RoomId, seq: Seq) -> Result<Option<MessageState>, StoreError> {
        Ok(self.rooms.get(&room).and_then(|log| log.messages.get(&seq)).cloned())
    }

    async fn count_not_unread(
        &self,
        room: RoomId,
        user: UserId,
        after: Seq,
        except: &BTreeSet<Seq>,
    ) -> Result<NotUnread, StoreError> {
        let mut counted = NotUnread::default();
        let Some(log) = self.rooms.get(&room) else { return Ok(counted) };
        let later = log.messages.range((Bound::Excluded(after), Bound::Unbounded));
        for (seq, state) in later.filter(|(seq, _)| !except.contains(seq)) {
            let Some(facts) = state.row.facts else { continue };
            counted.next = counted.next.or(Some((*seq, facts.n)));
            if facts.sender == user {
                counted.own += 1;
            } else if state.row.deleted > Seq(0) {
                counted.deleted += 1;
            }
        }
        Ok(counted)
    }

    async fn mentions(
        &self,
        room: RoomId,
        user: UserId,
        after: Seq,
        except: &BTreeSet<Seq>,
        limit: u32,
    ) -> Result<Vec<(Seq, UserId)>, StoreError> {
        let Some(log) = self.rooms.get(&room) else { return Ok(Vec::new()) };
        let later = log.messages.range((Bound::Excluded(after), Bound::Unbounded));
        let later = later.filter(|(seq, _)| !except.contains(seq));
        let found = later.filter_map(|(seq, state)| Some((*seq, state.row.mentioner_of(user)?)));
        Ok(found.take(limit as usize).collect())
    }

    async fn head(&self, room: RoomId) -> Result<RoomHead, StoreError> {
        let head = self.rooms.get(&room).map_or_else(RoomHead::default, |log| log.head);
        Ok(RoomHead { epoch: head.epoch.max(self.epoch), ..head })
    }

    async fn reads(&self, room: RoomId) -> Result<Vec<ReadState>, StoreError> {
        let Some(log) = self.rooms.get(&room) else { return Ok(Vec::new()) };
        let state = |(user, reached): (&UserId, &Position)| ReadState {
            user: *user,
            round: reached.round,
            read: reached.read,
            delivered: reached.delivered,
        };
        Ok(log.positions.iter().map(state).collect())
    }

    async fn find_key(&self, room: RoomId, sender: UserId, key: Key) -> Result<Option<FoundKey>, StoreError> {
        Ok(self.rooms.get(&room).and_then(|log| log.keys.get(&(sender, key))).copied())
    }

    async fn intents(&self, room: RoomId) -> Result<Vec<MetaTransaction>, StoreError> {
        Ok(self.rooms.get(&room).map_or_else(Vec::new, |log| log.intents.values().cloned().collect()))
    }
}

impl MemoryMessages {
    /// Forgets all keys, as a store does when they are too old.
    pub fn forget_keys(&mut self) {
        self.rooms.values_mut().for_each(|log| log.keys.clear());
    }
}

impl LastFault for MemoryMessages {}

impl RoomLog {
    fn fill(&mut self, row: &LogRow) {
        match row {
            LogRow::Message { seq, state } => self.messages.entry(*seq).or_default().merge(state),
            LogRow::Event(event) => {
                let old = self.events.get(&event.seq);
                if old.is_none_or(|old| event.rev > old.rev) {
                    self.events.insert(event.seq, event.clone());
                }
            }
            LogRow::Key { sender, key, used } => {
                self.keys.entry((*sender, *key)).or_insert(*used);
            }
            LogRow::Position { user, position } => self.positions.entry(*user).or_default().merge(position),
            LogRow::Intent(intent) => {
                self.intents.insert((intent.actor, intent.key), intent.clone());
            }
            LogRow::Head(head) => self.head.merge(head),
        }
    }
}

impl MessageDump for MemoryMessages {
    async fn logged_rooms(&self, after: RoomId, limit: u32) -> Result<Vec<RoomId>, StoreError> {
        let later = self.rooms.range((Bound::Excluded(after), Bound::Unbounded));
        let logged = later.filter(|(_, log)| log.head != RoomHead::default());
        Ok(logged.map(|(room, _)| *room).take(limit as usize).collect())
    }

    async fn log_rows(&self, room: RoomId, from: Seq, to: Seq) -> Result<Vec<LogRow>, StoreError> {
        let Some(log) = self.rooms.get(&room).filter(|_| from <= to) else { return Ok(Vec::new()) };
        let messages = log.messages.range(from..=to);
        let messages = messages.map(|(seq, state)| LogRow::Message { seq: *seq, state: state.clone() });
        let events = log.events.range(from..=to).map(|(_, event)| LogRow::Event(event.clone()));
        Ok(messages.chain(events).collect())
    }

    async fn fill_log(&mut self, room: RoomId, rows: &[LogRow]) -> Result<(), StoreError> {
        let log = self.rooms.entry(room).or_default();
        rows.iter().for_each(|row| log.fill(row));
        log.forget_below();
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn epoch(&self) -> Result<Epoch, StoreError> {
        Ok(self.epoch)
    }

    async fn raise_epoch(&mut self, epoch: Epoch) -> Result<(), StoreError> {
        self.epoch = self.epoch.max(epoch);
        Ok(())
    }
}
