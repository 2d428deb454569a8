//! Random but valid histories of rooms.

use std::borrow::Cow;

use lynk_domain::{Key, MediaId, MessageId, Millis, Ordinal, Role, RoomId, Seq, UserId};

use crate::{Attachment, Body, Mentions, MetaEvent, OwnedRecord, Parts, Record, RecordHead, RecordKind};

/// SplitMix64: enough to vary tests, and the same on every machine.
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..end`; 0 when `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw() % end.max(1)
    }

    /// Puts `items` into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }
}

/// One room's records in the order in which its owner wrote them.
pub struct History {
    /// The room.
    pub room: RoomId,
    /// Those who take part.
    pub users: Vec<UserId>,
    /// Records.
    pub records: Vec<OwnedRecord>,
    next: Seq,
    next_n: Ordinal,
    version: u64,
    /// Everything up to here is removed.
    pub floor: Seq,
    /// Seqs of messages.
    pub messages: Vec<Seq>,
}

impl History {
    /// An empty room whose id is made of `number`.
    #[must_use]
    pub fn new(number: u64) -> Self {
        let mut room = [0x5a; 16];
        room[..8].copy_from_slice(&number.to_be_bytes());
        Self {
            room: RoomId(room),
            users: (1..=4).map(|byte| UserId([byte; 16])).collect(),
            records: Vec::new(),
            next: Seq(1),
            next_n: Ordinal(1),
            version: 0,
            floor: Seq(0),
            messages: Vec::new(),
        }
    }

    /// A room with `count` random records.
    #[must_use]
    pub fn random(number: u64, count: u64, random: &mut Random) -> Self {
        let mut history = Self::new(number);
        for _ in 0..count {
            history.step(random);
        }
        history
    }

    fn step(&mut self, random: &mut Random) {
        let user = self.users[random.below(4) as usize];
        let at = random.below(self.messages.len() as u64) as usize;
        let target = self.messages.get(at).copied();
        match (random.below(12), target) {
            (0, Some(target)) => {
                let text = format!("edited {}", random.below(100));
                let parts = self.parts(random);
                self.edit_with(user, target, &text, parts);
            }
            (1, Some(target)) => self.delete(user, target),
            (2 | 3, Some(target)) => {
                let emoji = ["👍", "👍🏽", "x"][random.below(3) as usize];
                self.react(user, target, random.below(3) > 0, emoji);
            }
            (4, _) => self.meta(MetaEvent::Joined { user, role: Role::Member }),
            (5, _) => {
                let reached = Seq(random.below(self.next.0));
                match random.below(3) {
                    0 => self.mark(user, 1 + random.below(3), reached),
                    _ => self.reach(RecordKind::Read, user, reached),
                }
            }
            (6, _) => {
                let reached = Seq(random.below(self.next.0));
                self.reach(RecordKind::Delivered, user, reached);
            }
            (7, _) => {
                let last = Seq(self.next.0 + random.below(64));
                self.push(RecordKind::Reserve, last, UserId::NIL, Key::NIL, &Body::Empty);
            }
            (8, _) if random.below(4) == 0 => self.retain(Seq(random.below(self.next.0))),
            _ => {
                let reply_to = target.filter(|_| random.below(2) == 0).unwrap_or_default();
                let text = "text ".repeat(random.below(9) as usize);
                let parts = self.parts(random);
                self.post_with(user, reply_to, &text, parts);
            }
        }
    }

    /// Mentions now and then, sometimes of everybody, and files.
    fn parts(&self, random: &mut Random) -> Parts {
        let users = match random.below(3) {
            0 => self.users.iter().filter(|_| random.below(3) == 0).copied().collect(),
            _ => Vec::new(),
        };
        let attachments = match random.below(6) {
            0 => (0..=random.below(3)).map(|i| file(random.below(1 << 40) + 1, i)).collect(),
            _ => Vec::new(),
        };
        Parts { attachments, ..Parts::of_mentions(Mentions::new(random.below(12) == 0, users)) }
    }

    fn push(&mut self, kind: RecordKind, seq: Seq, sender: UserId, key: Key, body: &Body<'_>) {
        let mut payload = Vec::new();
        body.encode(&mut payload);
        let wall = Millis(1_700_000_000_000 + self.records.len() as u64);
        let head = RecordHead { kind, flags: 0, room: self.room, seq, rev: seq, wall, sender, key };
        self.records.push(OwnedRecord { head, payload });
    }

    fn take(&mut self) -> Seq {
        let seq = self.next;
        self.next = seq.next();
        seq
    }

    /// A message; returns its seq.
    pub fn post(&mut self, sender: UserId, reply_to: Seq, text: &str) -> Seq {
        self.post_with(sender, reply_to, text, Parts::default())
    }

    /// A message that says more than a text; returns its seq.
    pub fn post_with(&mut self, sender: UserId, reply_to: Seq, text: &str, parts: Parts) -> Seq {
        let (seq, n) = (self.take(), self.next_n);
        self.next_n = Ordinal(n.0 + 1);
        self.messages.push(seq);
        let parts = Cow::Owned(parts);
        let body = Body::Message { id: message_id(seq), n, reply_to, text, parts };
        self.push(RecordKind::Message, seq, sender, key_of(seq), &body);
        seq
    }

    /// New text for a message.
    pub fn edit(&mut self, sender: UserId, target: Seq, text: &str) {
        self.edit_with(sender, target, text, Parts::default());
    }

    /// New text for a message, and what is beside it.
    pub fn edit_with(&mut self, sender: UserId, target: Seq, text: &str, parts: Parts) {
        let (seq, parts) = (self.take(), Cow::Owned(parts));
        self.push(RecordKind::Edit, seq, sender, key_of(seq), &Body::Edit { target, text, parts });
    }

    /// A message's end.
    pub fn delete(&mut self, sender: UserId, target: Seq) {
        let seq = self.take();
        self.push(RecordKind::Delete, seq, sender, key_of(seq), &Body::Delete { target });
    }

    /// A reaction set or taken back.
    pub fn react(&mut self, sender: UserId, target: Seq, on: bool, emoji: &str) {
        let seq = self.take();
        self.push(RecordKind::Reaction, seq, sender, key_of(seq), &Body::Reaction { target, on, emoji });
    }

    /// A change of the room.
    pub fn meta(&mut self, event: MetaEvent) {
        let seq = self.take();
        self.version += 1;
        let version = self.version;
        self.push(RecordKind::Meta, seq, self.users[0], key_of(seq), &Body::Meta { version, event });
    }

    /// A read or delivered position.
    pub fn reach(&mut self, kind: RecordKind, user: UserId, seq: Seq) {
        self.push(kind, seq, user, Key::NIL, &Body::Empty);
    }

    /// A read position after something was marked unread.
    pub fn mark(&mut self, user: UserId, round: u64, seq: Seq) {
        self.reach(RecordKind::Read, user, seq);
        if let Some(record) = self.records.last_mut() {
            record.head.rev = RecordHead::rev_in_round(round, seq);
        }
    }

    /// Everything up to `floor` is removed.
    pub fn retain(&mut self, floor: Seq) {
        self.floor = self.floor.max(floor);
        self.push(RecordKind::Retain, floor, UserId::NIL, Key::NIL, &Body::Empty);
    }

    /// A removal or mute that holds before the room store has it.
    pub fn intend(&mut self, actor: UserId, key: Key, content_hash: u64, event: MetaEvent) {
        let body = Body::Intent { content_hash, event };
        self.push(RecordKind::Intent, self.top(), actor, key, &body);
    }

    /// Last seq taken.
    #[must_use]
    pub fn top(&self) -> Seq {
        Seq(self.next.0 - 1)
    }
}

/// The key that [`History`] gives the event at `seq`.
#[must_use]
pub(super) fn key_of(seq: Seq) -> Key {
    let mut key = [7; 16];
    key[..8].copy_from_slice(&seq.0.to_le_bytes());
    Key(key)
}

/// The id that [`History`] gives the message at `seq`.
#[must_use]
pub(super) fn message_id(seq: Seq) -> MessageId {
    MessageId(key_of(seq).0)
}

/// Borrowed forms, as `append` takes them.
#[must_use]
pub fn records(owned: &[OwnedRecord]) -> Vec<Record<'_>> {
    owned.iter().map(OwnedRecord::borrow).collect()
}

fn file(id: u64, i: u64) -> Attachment {
    let (name, kind) = (format!("file {i}.png"), "image/png".to_owned());
    let id = MediaId(u128::from(id).to_be_bytes());
    Attachment { id, name, kind, bytes: 1_000 * i, width: 640, height: 480 }
}
