//! The least that can drive engines: mail is delivered, records are committed at once, rooms come from a table. In a
//! warm state it allocates nothing itself.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::sync::Arc;

use lynk_auth::{Grant, KeySet, Scope, SigningKey};
use lynk_domain::{
    AckLevel, IpPrefix, Key, Limits, Lsn, Millis, Nanos, Now, Role, RoomId, RoomKind, Seq, SessionId,
    ShardId, UserId, uuid_v7,
};
use lynk_engine::{Effects, Engine, EngineConfig, Input, Mail, Slot};
use lynk_model::{LoadedRoom, MemberRow, RoomRow, SourceId, StoreReply, StoreRequest};
use serde_json::Value;

pub(crate) const START: Now = Now { mono: Nanos(10 * Nanos::SECOND), wall: Millis(1_795_456_131_123) };

pub(crate) struct Shards {
    pub(crate) engines: Vec<Engine>,
    pub(crate) now: Now,
    pub(crate) rooms: BTreeMap<RoomId, LoadedRoom>,
    /// Deliveries counted, per shard and slot.
    pub(crate) delivered: Vec<Vec<u64>>,
    /// What was sent, when `listening`.
    pub(crate) sent: Vec<(u16, Slot, Value)>,
    pub(crate) listening: bool,
    key: SigningKey,
    fx: Vec<Effects>,
    /// The last call left fan-out over.
    more: bool,
    mail: VecDeque<(ShardId, ShardId, Mail)>,
    text: String,
    keys_made: u64,
}

pub(crate) fn user(n: u32) -> UserId {
    UserId(u128::from(0x1_0000 + n).to_be_bytes())
}

pub(crate) fn room(n: u32) -> RoomId {
    RoomId(u128::from(0x2_0000 + n).to_be_bytes())
}

impl Shards {
    pub(crate) fn new(count: u16, limits: &Limits) -> Self {
        let (key, _) = SigningKey::generate([7; 32]);
        let keys = Arc::new(KeySet::new(Scope::default(), [key.public()]).expect("one key"));
        let engine = |shard| {
            let config = EngineConfig {
                shard: ShardId(shard),
                shard_count: count,
                limits: limits.clone(),
                default_level: AckLevel::Local,
                replicates: true,
                presence_round_nanos: 0,
                source: SourceId(u32::from(shard)),
                seed: 7,
                links: lynk_auth::LinkKey::new([7; 32]),
            };
            Engine::new(config, Arc::clone(&keys), Vec::new(), START)
        };
        Self {
            engines: (0..count).map(engine).collect(),
            now: START,
            rooms: BTreeMap::new(),
            delivered: vec![Vec::new(); usize::from(count)],
            sent: Vec::new(),
            listening: true,
            key,
            fx: (0..count).map(|_| Effects::default()).collect(),
            more: false,
            mail: VecDeque::new(),
            text: String::new(),
            keys_made: 0,
        }
    }

    /// A public room of these members.
    pub(crate) fn add_room(&mut self, room: RoomId, members: impl IntoIterator<Item = UserId>) {
        let made = RoomRow::new(room, RoomKind::Public, "room", user(0), START.wall);
        let row = RoomRow { version: 1, ..made };
        let member = |user| MemberRow {
            user,
            role: Role::Member,
            joined_version: 1,
            joined_seq: Seq(1),
            personal: lynk_model::Personal::default(),
            by_stranger: false,
        };
        let members = members.into_iter().map(member).collect();
        let loaded = LoadedRoom { row: Some(row), members, ..LoadedRoom::default() };
        self.rooms.insert(room, loaded);
    }

    /// Gives one input and carries everything out that follows from it, except the fan-out.
    pub(crate) fn give(&mut self, shard: u16, input: Input<'_>) {
        self.handle(shard, input);
        while let Some((from, to, mail)) = self.mail.pop_front() {
            self.handle(to.0, Input::Mail { from, mail });
        }
    }

    fn handle(&mut self, shard: u16, input: Input<'_>) {
        let index = usize::from(shard);
        let mut fx = std::mem::take(&mut self.fx[index]);
        self.engines[index].handle(self.now, input, &mut fx);
        loop {
            // What a journal writer would copy.
            let committed = fx.records.iter().map(|(lsn, record)| (lsn, record.payload.len())).last();
            for (to, mail) in fx.mail.drain(..) {
                self.mail.push_back((ShardId(shard), to, mail));
            }
            let mut replies = Vec::new();
            for (id, request) in fx.requests.drain(..) {
                replies.push((id, answer(&self.rooms, &request)));
            }
            self.deliver(shard, &fx);
            self.more |= fx.more;
            fx.clear();
            if let Some((lsn, _)) = committed {
                self.engines[index].handle(self.now, Input::Committed { lsn }, &mut fx);
            }
            for (id, reply) in replies {
                self.engines[index].handle(self.now, Input::Reply { id, reply }, &mut fx);
            }
            if fx.is_empty() {
                break;
            }
        }
        self.fx[index] = fx;
    }

    fn deliver(&mut self, shard: u16, fx: &Effects) {
        let counts = &mut self.delivered[usize::from(shard)];
        for delivery in &fx.deliveries {
            for slot in &fx.targets[delivery.targets.start as usize..delivery.targets.end as usize] {
                let slot_index = slot.0 as usize;
                if counts.len() <= slot_index {
                    counts.resize(slot_index + 1, 0);
                }
                counts[slot_index] += delivery.frame.messages().count() as u64;
                if self.listening {
                    for message in delivery.frame.messages() {
                        self.sent.push((shard, *slot, serde_json::from_slice(message).expect("JSON")));
                    }
                }
            }
        }
    }

    /// Ends the turn on every shard.
    pub(crate) fn flush(&mut self) {
        for shard in 0..self.engines.len() {
            loop {
                self.give(shard as u16, Input::Flush);
                if !std::mem::take(&mut self.more) {
                    break;
                }
            }
        }
    }

    /// Moves the time on, with deadlines and flushes on the way.
    pub(crate) fn wait_millis(&mut self, millis: u64) {
        let end = self.now.mono.after(millis * Nanos::MILLISECOND);
        while let Some(at) =
            self.engines.iter().filter_map(Engine::next_deadline).min().filter(|at| *at <= end)
        {
            self.set_time(at.max(self.now.mono));
            for shard in 0..self.engines.len() {
                self.give(shard as u16, Input::Deadline);
            }
            self.flush();
        }
        self.set_time(end);
    }

    fn set_time(&mut self, mono: Nanos) {
        self.now.wall = Millis(START.wall.0 + mono.since(START.mono) / Nanos::MILLISECOND);
        self.now.mono = mono;
    }

    pub(crate) fn text(&mut self, shard: u16, slot: u32, text: &str) {
        self.give(shard, Input::Text { slot: Slot(slot), text });
    }

    pub(crate) fn sign_in(&mut self, shard: u16, slot: u32, user: UserId, rooms: &[RoomId]) {
        let grant = Grant {
            user,
            session: SessionId([9; 16]),
            epoch: 0,
            id: [1; 16],
            issued: self.now.wall,
            expires: Millis(self.now.wall.0 + lynk_auth::TOKEN_MILLIS_MAX),
        };
        let token = self.key.issue(&Scope::default(), &grant);
        let resume: Vec<String> = rooms.iter().map(|room| format!(r#"{{"room":"{room}"}}"#)).collect();
        let hello = format!(
            r#"{{"id":1,"op":"hello","token":"{}","resume":[{}]}}"#,
            token.reveal(),
            resume.join(",")
        );
        self.give(shard, Input::Accepted { slot: Slot(slot), ip: IpPrefix([4, 192, 0, 2, 0, 0, 0]) });
        self.give(shard, Input::Upgraded { slot: Slot(slot) });
        self.text(shard, slot, &hello);
    }

    /// Posts a message; allocates nothing.
    pub(crate) fn send(&mut self, shard: u16, slot: u32, room: RoomId, text: &str) {
        self.keys_made += 1;
        let mut random = [0; 10];
        random[..8].copy_from_slice(&self.keys_made.to_be_bytes());
        let key = Key(uuid_v7(self.now.wall.0, random));
        let mut frame = std::mem::take(&mut self.text);
        frame.clear();
        write!(frame, r#"{{"id":7,"op":"send","room":"{room}","key":"{key}","text":"{text}"}}"#)
            .expect("a string takes everything");
        self.text(shard, slot, &frame);
        self.text = frame;
    }

    /// Everything journaled so far is in the store.
    pub(crate) fn drain_journals(&mut self) {
        for shard in 0..self.engines.len() as u16 {
            let source = SourceId(u32::from(shard));
            self.give(shard, Input::Drained { source, lsn: Lsn(u64::MAX) });
        }
    }

    /// What a connection was sent since the last call, as `ev` and `seq`.
    pub(crate) fn story(&mut self, shard: u16, slot: u32) -> Vec<String> {
        let mine = |(on, to, _): &mut (u16, Slot, Value)| *on == shard && to.0 == slot;
        self.sent
            .extract_if(.., mine)
            .map(|(.., value)| {
                let ev = value["ev"].as_str().unwrap_or("?");
                match (value["code"].as_str(), value["seq"].as_u64()) {
                    (Some(code), _) => format!("{ev} {code}"),
                    (None, Some(seq)) => format!("{ev} {seq}"),
                    (None, None) => ev.to_owned(),
                }
            })
            .collect()
    }
}

/// A store that knows rooms and no messages.
fn answer(rooms: &BTreeMap<RoomId, LoadedRoom>, request: &StoreRequest) -> StoreReply {
    match request {
        StoreRequest::LoadRoom { room, .. } => {
            StoreReply::Loaded(Box::new(rooms.get(room).cloned().unwrap_or_default()))
        }
        StoreRequest::Page { .. } => StoreReply::Page(Box::default()),
        StoreRequest::Event { .. } => StoreReply::Event(None),
        StoreRequest::FindTime { from, to, .. } => StoreReply::Time { after: Seq(from.0 - 1), to: *to },
        StoreRequest::FindOld { .. } => StoreReply::Old { found: Vec::new(), next: None },
        StoreRequest::FindKey { .. } => StoreReply::Key(None),
        StoreRequest::CountNotUnread { .. } => {
            StoreReply::NotUnread { own: 0, deleted: 0, cursor_n: lynk_domain::Ordinal(0), mentions: Some(0) }
        }
        StoreRequest::Memberships { .. } => StoreReply::Memberships(Vec::new()),
        StoreRequest::Note { .. } | StoreRequest::Wrote { .. } => StoreReply::Noted,
        StoreRequest::Discover(_) => StoreReply::Discovered(Vec::new()),
        StoreRequest::Requests { .. } => StoreReply::Requests(Vec::new()),
        StoreRequest::Blocks { .. } => StoreReply::Blocks(Vec::new()),
        StoreRequest::Hidden { .. } => StoreReply::Hidden(Vec::new()),
        StoreRequest::Clear { .. } => StoreReply::Cleared(true),
        StoreRequest::Relations { others, .. } => StoreReply::Relations(others.clone()),
        StoreRequest::KeepPicture { .. }
        | StoreRequest::Release { .. }
        | StoreRequest::Posted { .. }
        | StoreRequest::Leave { .. }
        | StoreRequest::Passed { .. }
        | StoreRequest::EndFiles { .. } => StoreReply::Released,
        StoreRequest::Attach { .. }
        | StoreRequest::TakePicture { .. }
        | StoreRequest::Apply(_)
        | StoreRequest::Confirm { .. }
        | StoreRequest::List { .. }
        | StoreRequest::FindName { .. } => StoreReply::Failed(lynk_model::StoreError::Unavailable),
    }
}
