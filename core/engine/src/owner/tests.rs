//! The owner driven directly: the test is its home shards, its journal, its store bridge and its clock.

mod answers;
mod attach;
mod by_time;
mod chaos;
mod clear;
mod durable;
mod erasing;
mod files;
mod links;
mod mentions;
mod metadata;
mod moderation;
mod paging;
mod random;
mod replicated;
mod reports;
mod requests;
mod retention;
mod rooms;
mod sending;
mod strangers;
mod streams;

use std::collections::{BTreeMap, VecDeque};

use lynk_domain::{
    AckLevel, Key, Limits, Lsn, Millis, Nanos, Now, RoomId, RoomKind, Seq, SessionId, ShardId, UserId,
    direct_room_id, uuid_v7,
};
use lynk_model::memory::{MemoryFiles, MemoryMessages, MemoryRecords, MemoryRooms};
use lynk_model::port::{MessageStore, ready, source_name};
use lynk_model::{
    OwnedRecord, Record, RecordAt, RequestId, SourceId, StoreError, StoreReply, StoreRequest, execute,
};
use lynk_protocol::{Frame, decode};
use serde_json::{Value, json};

use super::room::Room;
use super::{Owner, Place};
use crate::EngineConfig;
use crate::context::{Context, Shared};
use crate::io::{Effects, JournalState, Slot, UndrainedRecord};
use crate::mail::{ConnectionRef, Mail, Own, Principal};

/// How the store bridge behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Store {
    /// Answers.
    Up,
    /// Answers that it is away.
    Away,
    /// The same for rooms; messages are read.
    RoomsAway,
    /// Carries requests out and says that it does not know whether it did.
    Unsure,
    /// Does not answer.
    Silent,
}

/// One owner shard and everything around it.
pub(super) struct World {
    pub(super) config: EngineConfig,
    pub(super) owner: Owner,
    pub(super) shared: Shared,
    pub(super) now: Now,
    pub(super) store: Store,
    pub(super) messages: MemoryMessages,
    pub(super) rooms: MemoryRooms,
    pub(super) files: MemoryFiles,
    /// Committed records of every boot.
    pub(super) journal: MemoryRecords,
    /// Appended, not committed.
    pub(super) pending: Vec<(Lsn, OwnedRecord)>,
    drained: BTreeMap<SourceId, Lsn>,
    pub(super) requests: VecDeque<(RequestId, StoreRequest)>,
    /// Mail that the owner posted, oldest first.
    pub(super) out: Vec<(ShardId, Mail)>,
    /// Mail that a test has looked at.
    pub(super) heard: Vec<(ShardId, Mail)>,
    /// Mailboxes that take nothing.
    pub(super) full: Option<ShardId>,
    /// Commands are the server's, in the name of an erased user.
    pub(super) erasing: bool,
    last_re: u64,
    last_key: u64,
}

pub(super) fn user(i: u8) -> UserId {
    UserId([i; 16])
}

/// A connection of user `i`; those of odd users are on another shard.
pub(super) fn connection(i: u8) -> ConnectionRef {
    ConnectionRef { shard: ShardId(u16::from(i % 2)), slot: Slot(u32::from(i)), generation: 1 }
}

pub(super) fn value(frame: &Frame) -> Value {
    serde_json::from_slice(frame.payload()).expect("the owner writes JSON")
}

impl World {
    pub(super) fn new(limits: Limits) -> Self {
        let config = EngineConfig {
            shard: ShardId(0),
            shard_count: 4,
            limits,
            default_level: AckLevel::Local,
            replicates: true,
            presence_round_nanos: 0,
            source: SourceId(0),
            seed: 7,
            links: lynk_auth::LinkKey::new([7; 32]),
        };
        Self {
            owner: Owner::new(&config, Vec::new()),
            shared: Shared::new(config.clone()),
            config,
            now: Now { mono: Nanos(Nanos::SECOND), wall: Millis(1_800_000_000_000) },
            store: Store::Up,
            messages: MemoryMessages::default(),
            rooms: MemoryRooms::default(),
            files: MemoryFiles::default(),
            journal: MemoryRecords::default(),
            pending: Vec::new(),
            drained: BTreeMap::new(),
            requests: VecDeque::new(),
            out: Vec::new(),
            heard: Vec::new(),
            full: None,
            erasing: false,
            last_re: 0,
            last_key: 0,
        }
    }

    /// Calls the owner, and takes what it wants done.
    pub(super) fn with<T>(&mut self, call: impl FnOnce(&mut Owner, &mut Context<'_>) -> T) -> T {
        let (mut fx, mut local) = (Effects::default(), VecDeque::new());
        let cx = &mut Context { now: self.now, shared: &mut self.shared, fx: &mut fx, local: &mut local };
        let result = call(&mut self.owner, cx);
        self.take(fx, local);
        result
    }

    fn take(&mut self, fx: Effects, local: VecDeque<Mail>) {
        for (lsn, record) in fx.records.iter() {
            let record = OwnedRecord { head: record.head, payload: record.payload.to_vec() };
            self.pending.push((lsn, record));
        }
        self.requests.extend(fx.requests);
        self.out.extend(local.into_iter().map(|mail| (ShardId(0), mail)));
        for (to, mail) in fx.mail {
            // Answers have their place in every mailbox.
            let answers = matches!(mail, Mail::Reply { .. } | Mail::Subscribed { .. } | Mail::Peeked { .. });
            if self.full == Some(to) && !answers {
                self.refuse(to, mail);
            } else {
                self.out.push((to, mail));
            }
        }
    }

    fn refuse(&mut self, to: ShardId, mail: Mail) {
        self.with(|owner, cx| owner.mail_refused(cx, to, mail));
    }

    /// Gives a command; returns its number.
    pub(super) fn post(&mut self, i: u8, mut command: Value) -> u64 {
        self.last_re += 1;
        let re = self.last_re;
        command["id"] = re.into();
        let raw = command.to_string();
        let decoded = decode(&raw);
        let parsed = decoded.command.unwrap_or_else(|reject| panic!("{raw}: {reject:?}"));
        let room = match &parsed {
            lynk_protocol::Command::Create { key, .. } => RoomId(key.0),
            lynk_protocol::Command::Direct { user: other }
            | lynk_protocol::Command::Block { user: other, .. } => direct_room_id(user(i), *other),
            other => other.room().expect("a command about a room"),
        };
        let principal = match self.erasing {
            true => Principal::eraser(user(i)),
            false => Principal { user: user(i), session: SessionId([i; 16]) },
        };
        let from = connection(i);
        if from.shard == ShardId(0) {
            self.with(|owner, cx| owner.command(cx, room, from, principal, re, &parsed, &raw));
        } else {
            let raw = Frame::new(|out| out.extend_from_slice(raw.as_bytes()));
            let mail = Mail::Command { room, from, principal, raw };
            self.with(|owner, cx| owner.mail(cx, from.shard, mail));
        }
        re
    }

    /// Answers store requests until there are none, as the bridge would.
    pub(super) fn serve(&mut self) {
        while self.store != Store::Silent && !self.requests.is_empty() {
            self.serve_at(0);
        }
    }

    /// Answers one request; the bridge may take them in any order.
    pub(super) fn serve_at(&mut self, index: usize) {
        let Some((id, request)) = self.requests.remove(index) else { return };
        let reply = self.reply_to(&request);
        self.with(|owner, cx| {
            cx.shared.requests_in_flight -= 1;
            owner.reply(cx, id, reply).expect("only the owner asks");
        });
    }

    fn reply_to(&mut self, request: &StoreRequest) -> StoreReply {
        let of_rooms = matches!(
            request,
            StoreRequest::Apply(_)
                | StoreRequest::Confirm { .. }
                | StoreRequest::List { .. }
                | StoreRequest::Note { .. }
                | StoreRequest::LoadRoom { .. }
                | StoreRequest::Clear { .. }
                | StoreRequest::Wrote { .. }
                | StoreRequest::Attach { .. }
                | StoreRequest::TakePicture { .. }
                | StoreRequest::KeepPicture { .. }
                | StoreRequest::Release { .. }
                | StoreRequest::Posted { .. }
                | StoreRequest::Leave { .. }
                | StoreRequest::Passed { .. }
                | StoreRequest::EndFiles { .. }
        );
        if self.store == Store::Away || self.store == Store::RoomsAway && of_rooms {
            return StoreReply::Failed(StoreError::Unavailable);
        }
        let mut reply =
            ready(execute(request, &self.messages, &mut self.rooms, &mut self.journal, &self.files));
        if let StoreReply::NotUnread { mentions: mentions @ Some(1..), .. } = &mut reply
            && self.store == Store::RoomsAway
        {
            // Nobody can tell who stands across a block.
            *mentions = None;
        }
        let outcome_lost = self.store == Store::Unsure
            && matches!(request, StoreRequest::Apply(_) | StoreRequest::Attach { .. });
        if outcome_lost { StoreReply::Failed(StoreError::Unknown) } else { reply }
    }

    /// The journal commits everything appended.
    pub(super) fn commit(&mut self) {
        self.commit_first(self.pending.len());
    }

    /// The journal commits some of what was appended.
    pub(super) fn commit_first(&mut self, count: usize) {
        let Some((lsn, _)) = count.checked_sub(1).and_then(|last| self.pending.get(last)) else { return };
        let (lsn, source) = (*lsn, self.config.source);
        let records = self.pending.drain(..count).map(|(lsn, record)| ((source, lsn), record));
        self.journal.records.extend(records);
        self.with(|owner, cx| owner.committed(cx, lsn));
    }

    /// Commits and serves until nothing moves any more.
    pub(super) fn settle(&mut self) {
        loop {
            self.commit();
            self.serve();
            let stuck = self.requests.is_empty() || self.store == Store::Silent;
            if self.pending.is_empty() && stuck {
                break;
            }
        }
    }

    /// Gives a command and everything it needs.
    pub(super) fn run(&mut self, i: u8, command: Value) -> Value {
        let re = self.post(i, command);
        self.settle();
        self.answer(i, re).unwrap_or_else(|| panic!("no answer to {re}"))
    }

    /// The answer to a command; asserts that there is at most one.
    pub(super) fn answer(&self, i: u8, re: u64) -> Option<Value> {
        let frames = self.out.iter().filter_map(|(_, mail)| match mail {
            Mail::Reply { to, frame, .. } | Mail::Subscribed { to, frame, .. } => Some((to, frame)),
            Mail::Event { own: Some(Own { to, ok }), .. } => Some((to, ok)),
            _ => None,
        });
        let mine = frames.filter(|(to, _)| **to == connection(i)).map(|(_, frame)| value(frame));
        let answers: Vec<Value> = mine.filter(|answer| answer["re"] == re).collect();
        assert!(answers.len() <= 1, "{answers:?}");
        answers.into_iter().next()
    }

    /// The error code of a command's answer.
    pub(super) fn code(&mut self, i: u8, command: Value) -> String {
        let answer = self.run(i, command);
        answer["code"].as_str().unwrap_or_else(|| panic!("not refused: {answer}")).to_owned()
    }

    /// A fresh key, made now.
    pub(super) fn key(&mut self) -> String {
        self.last_key += 1;
        let mut random = [0; 10];
        random[2..].copy_from_slice(&self.last_key.to_be_bytes());
        Key(uuid_v7(self.now.wall.0, random)).to_string()
    }

    pub(super) fn send_command(&mut self, room: RoomId, text: &str) -> Value {
        json!({"op": "send", "room": room.to_string(), "key": self.key(), "text": text})
    }

    pub(super) fn send(&mut self, i: u8, room: RoomId, text: &str) -> Value {
        let command = self.send_command(room, text);
        self.run(i, command)
    }

    /// A command with a fresh key and the named fields.
    pub(super) fn keyed(&mut self, op: &str, room: RoomId, mut fields: Value) -> Value {
        fields["op"] = op.into();
        fields["room"] = room.to_string().into();
        fields["key"] = self.key().into();
        fields
    }

    /// The 1:1 of two who both want it.
    pub(super) fn friends(&mut self, i: u8, with: u8) -> RoomId {
        let begun = self.run(i, json!({"op": "direct", "user": user(with).to_string()}));
        self.run(with, json!({"op": "direct", "user": user(i).to_string()}));
        RoomId::parse(begun["room"].as_str().expect("a room")).expect("an id")
    }

    /// A room of user 1 that the others joined.
    pub(super) fn room(&mut self, kind: RoomKind, others: &[u8]) -> RoomId {
        let key = self.key();
        let created = self.run(1, json!({"op": "create", "key": key, "kind": kind.name(), "name": key}));
        let room = RoomId::parse(created["room"].as_str().expect("a room")).expect("an id");
        for other in others {
            let add = self.keyed("invite", room, json!({"user": user(*other).to_string()}));
            assert_eq!(self.run(1, add)["ev"], "ok");
        }
        room
    }

    pub(super) fn subscribe(&mut self, i: u8, room: RoomId, seq: Option<u64>) -> Value {
        let mut command = json!({"op": "subscribe", "room": room.to_string()});
        if let Some(seq) = seq {
            command["seq"] = seq.into();
        }
        self.run(i, command)
    }

    pub(super) fn history(&mut self, i: u8, room: RoomId, mut fields: Value) -> Value {
        fields["op"] = "history".into();
        fields["room"] = room.to_string().into();
        self.run(i, fields)
    }

    /// Moves everything committed of this boot into the message store.
    pub(super) fn drain(&mut self) {
        self.drain_source(self.config.source);
    }

    /// Moves the records of earlier boots into the message store.
    pub(super) fn drain_old(&mut self) {
        for source in 0..self.config.source.0 {
            self.drain_source(SourceId(source));
        }
    }

    fn drain_source(&mut self, source: SourceId) {
        let drained = self.drained.entry(source).or_default();
        let undrained = self.journal.records.range((source, Lsn(drained.0 + 1))..=(source, Lsn(u64::MAX)));
        let records: Vec<Record<'_>> = undrained.clone().map(|(_, record)| record.borrow()).collect();
        let Some(((_, last), _)) = undrained.last() else { return };
        let last = *last;
        ready(self.messages.append(&source_name(source.0, 0), last, &records)).expect("memory takes it");
        *drained = last;
        self.with(|owner, cx| owner.drained(cx, source, last));
    }

    /// The process dies and starts again: what was not committed is gone.
    pub(super) fn crash(&mut self) {
        self.pending.clear();
        self.requests.clear();
        let source = self.config.source;
        let stored = |source| self.drained.get(source).copied().unwrap_or_default();
        let undrained = self.journal.records.iter().filter(|((source, lsn), _)| *lsn > stored(source));
        let boot = undrained
            .map(|((source, lsn), record)| UndrainedRecord {
                at: RecordAt { source: *source, lsn: *lsn },
                room: record.head.room,
                kind: record.head.kind,
                seq: record.head.seq,
                key: record.head.key,
                sender: record.head.sender,
                wall: record.head.wall,
            })
            .collect();
        self.config.source = SourceId(source.0 + 1);
        self.config.seed += 1;
        self.owner = Owner::new(&self.config, boot);
        self.shared = Shared::new(self.config.clone());
        self.out.clear();
        self.heard.clear();
    }

    pub(super) fn journal_is(&mut self, state: JournalState) {
        self.shared.journal = state;
    }

    /// Time passes; timers fire.
    pub(super) fn wait(&mut self, millis: u64) {
        self.now.mono = self.now.mono.after(millis * Nanos::MILLISECOND);
        self.now.wall = Millis(self.now.wall.0 + millis);
        self.with(|owner, cx| {
            for (to, mail) in cx.shared.kept.take_due(cx.now.mono) {
                cx.post(to, mail);
            }
            owner.deadline(cx);
        });
    }

    /// Mail posted since the last call.
    pub(super) fn take_out(&mut self) -> Vec<(ShardId, Mail)> {
        std::mem::take(&mut self.out)
    }

    pub(super) fn loaded(&self, room: RoomId) -> Option<&Room> {
        match self.owner.rooms.get(&room)? {
            Place::Here(room) => Some(room),
            Place::Away(_) => None,
        }
    }

    /// What of a room must be the same after it left memory and came back.
    pub(super) fn picture(&self, room: RoomId) -> Vec<String> {
        let room = self.loaded(room).expect("loaded");
        let standing = |list: &BTreeMap<UserId, Millis>| -> Vec<_> {
            let wall = self.now.wall;
            list.iter()
                .filter(|(_, until)| super::room::stands(**until, wall))
                .map(|(u, t)| (*u, *t))
                .collect()
        };
        let mut lines = vec![format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            room.info,
            room.epoch,
            room.top,
            room.top_n,
            room.version,
            standing(&room.bans),
            standing(&room.mutes),
            room.pins,
            room.blocks
        )];
        for (user, m) in &room.members {
            let joined = (m.joined_version, m.joined_seq);
            let cleared = (m.cleared, m.cleared_n);
            lines.push(format!("{user} {:?} {joined:?} {:?} {:?} {cleared:?}", m.role, m.read, m.delivered));
        }
        for entry in room.window.iter() {
            lines.push(String::from_utf8_lossy(entry.frame.payload()).into_owned());
        }
        lines
    }

    pub(super) fn evict(&mut self, room: RoomId) -> bool {
        self.with(|owner, cx| {
            let Some(Place::Here(held)) = owner.rooms.get(&room) else { return false };
            let may = owner.books.may_leave(cx, held);
            if may {
                owner.evict(cx, room);
                owner.hand.retain(|id| *id != room);
            }
            may
        })
    }
}

/// Seqs and kinds of the events in a page or an answer to `subscribe`.
pub(super) fn listed(page: &Value) -> Vec<(u64, String)> {
    let events = page["events"].as_array().unwrap_or_else(|| panic!("no page: {page}"));
    let item = |event: &Value| {
        let seq = event["seq"].as_u64().or(event["from"].as_u64()).expect("a position");
        (seq, event["ev"].as_str().expect("a name").to_owned())
    };
    events.iter().map(item).collect()
}

pub(super) fn seqs(page: &Value) -> Vec<u64> {
    listed(page).into_iter().map(|(seq, _)| seq).collect()
}

/// SplitMix64.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

#[test]
fn seq_zero_is_no_event() {
    // The harness and the owner agree on what "none" is.
    assert_eq!(Seq::default(), Seq(0));
}
