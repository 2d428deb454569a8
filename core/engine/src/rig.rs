//! What unit tests share: one engine of two shards, whose effects are collected, with the test in the place of the
//! driver and of the other shard.

use std::sync::Arc;

use lynk_auth::{Grant, KeySet, Scope, SigningKey};
use lynk_domain::{
    AckLevel, Epoch, IpPrefix, Limits, Millis, Nanos, Now, RoomId, Seq, SessionId, ShardId, UserId,
    shard_of_ip, shard_of_room, shard_of_user,
};
use lynk_model::{RequestId, SourceId, StoreReply, StoreRequest};
use lynk_protocol::{CloseCode, Frame};
use serde_json::Value;

use crate::mail::Removes;

use crate::{
    ConnectionRef, Effects, Engine, EngineConfig, Input, Mail, Own, PresenceNews, Principal, QueueLevel, Slot,
};

pub(crate) const HERE: ShardId = ShardId(0);
pub(crate) const THERE: ShardId = ShardId(1);
const START: Now = Now { mono: Nanos(10 * Nanos::SECOND), wall: Millis(1_795_456_131_123) };

pub(crate) struct Rig {
    pub(crate) engine: Engine,
    pub(crate) now: Now,
    key: SigningKey,
    fx: Effects,
    /// What each slot was sent, message by message.
    sent: Vec<(Slot, Value)>,
    pub(crate) closed: Vec<(Slot, CloseCode)>,
    pub(crate) mail: Vec<(ShardId, Mail)>,
    pub(crate) requests: Vec<(RequestId, StoreRequest)>,
    pub(crate) presence: Vec<PresenceNews>,
    /// The last call asked for another flush.
    pub(crate) more: bool,
    pub(crate) drained: bool,
}

/// The `n`th user of a shard.
pub(crate) fn user_of(shard: ShardId, n: u32) -> UserId {
    let user = |i: u32| UserId(u128::from(0x1000 + i).to_be_bytes());
    (0..).map(user).filter(|u| shard_of_user(*u, 2) == shard).nth(n as usize).expect("endless")
}

/// The `n`th room of a shard.
pub(crate) fn room_of(shard: ShardId, n: u32) -> RoomId {
    let room = |i: u32| RoomId(u128::from(0x2000 + i).to_be_bytes());
    (0..).map(room).filter(|r| shard_of_room(*r, 2) == shard).nth(n as usize).expect("endless")
}

/// A network of a shard.
pub(crate) fn ip_of(shard: ShardId) -> IpPrefix {
    let ip = |i: u8| IpPrefix([4, 192, 0, i, 0, 0, 0]);
    (0..).map(ip).find(|ip| shard_of_ip(*ip, 2) == shard).expect("some")
}

pub(crate) fn frame(text: &str) -> Arc<Frame> {
    Frame::new(|out| out.extend_from_slice(text.as_bytes()))
}

/// An event frame that a test recognises.
pub(crate) fn event_frame(seq: u64) -> Arc<Frame> {
    frame(&format!(r#"{{"ev":"message","seq":{seq}}}"#))
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        assert_eq!(limits.broken_relation(), None);
        let config = EngineConfig {
            shard: HERE,
            shard_count: 2,
            limits,
            default_level: AckLevel::Local,
            replicates: true,
            presence_round_nanos: 60 * Nanos::SECOND,
            source: SourceId(0),
            seed: 7,
            links: lynk_auth::LinkKey::new([7; 32]),
        };
        let (key, _) = SigningKey::generate([7; 32]);
        let keys = Arc::new(KeySet::new(Scope::default(), [key.public()]).expect("one key"));
        Self {
            engine: Engine::new(config, keys, Vec::new(), START),
            now: START,
            key,
            fx: Effects::default(),
            sent: Vec::new(),
            closed: Vec::new(),
            mail: Vec::new(),
            requests: Vec::new(),
            presence: Vec::new(),
            more: false,
            drained: false,
        }
    }

    /// Gives one input and takes the effects.
    pub(crate) fn give(&mut self, input: Input<'_>) {
        self.engine.handle(self.now, input, &mut self.fx);
        for delivery in &self.fx.deliveries {
            let targets = delivery.targets.start as usize..delivery.targets.end as usize;
            for slot in &self.fx.targets[targets] {
                for message in delivery.frame.messages() {
                    let value = serde_json::from_slice(message).expect("every frame is JSON");
                    self.sent.push((*slot, value));
                }
            }
        }
        self.closed.extend(self.fx.closes.iter().map(|close| (close.slot, close.code)));
        self.mail.append(&mut self.fx.mail);
        self.requests.append(&mut self.fx.requests);
        self.presence.append(&mut self.fx.presence);
        self.more = self.fx.more;
        self.drained = self.fx.drained;
        self.fx.clear();
    }

    pub(crate) fn text(&mut self, slot: u32, text: &str) {
        self.give(Input::Text { slot: Slot(slot), text });
    }

    pub(crate) fn mail(&mut self, mail: Mail) {
        self.give(Input::Mail { from: THERE, mail });
    }

    /// Flushes until nothing is due.
    pub(crate) fn flush(&mut self) {
        self.give(Input::Flush);
        while self.more {
            self.give(Input::Flush);
        }
    }

    /// Moves the time on, calling at each deadline on the way.
    pub(crate) fn wait_millis(&mut self, millis: u64) {
        let end = self.now.mono.after(millis * Nanos::MILLISECOND);
        while let Some(at) = self.engine.next_deadline().filter(|at| *at <= end) {
            let step = at.since(self.now.mono);
            self.now.mono = self.now.mono.after(step);
            self.now.wall = Millis(self.now.wall.0 + step / Nanos::MILLISECOND);
            self.give(Input::Deadline);
            let next = self.engine.next_deadline();
            let due = next.is_some_and(|next| next <= self.now.mono);
            assert!(!due || self.more, "a deadline was not dealt with");
        }
        let step = end.since(self.now.mono);
        self.now.mono = end;
        self.now.wall = Millis(self.now.wall.0 + step / Nanos::MILLISECOND);
    }

    fn grant(&self, user: UserId, session: u8, ttl_millis: u64) -> Grant {
        Grant {
            user,
            session: SessionId([session; 16]),
            epoch: 0,
            id: [1; 16],
            issued: self.now.wall,
            expires: Millis(self.now.wall.0 + ttl_millis),
        }
    }

    pub(crate) fn token(&self, user: UserId, session: u8, ttl_millis: u64) -> String {
        let grant = self.grant(user, session, ttl_millis);
        self.key.issue(&Scope::default(), &grant).reveal().to_owned()
    }

    /// A token of somebody who has to turn on a second factor first.
    pub(crate) fn enrolling_token(&self, user: UserId, session: u8, ttl_millis: u64) -> String {
        let grant = self.grant(user, session, ttl_millis);
        self.key.issue_enrolling(&Scope::default(), &grant, self.now.wall).reveal().to_owned()
    }

    pub(crate) fn upgrade(&mut self, slot: u32) {
        self.give(Input::Accepted { slot: Slot(slot), ip: ip_of(HERE) });
        self.give(Input::Upgraded { slot: Slot(slot) });
    }

    pub(crate) fn hello(&mut self, slot: u32, user: UserId, resume: &str) {
        let token = self.token(user, 9, 900_000);
        self.text(slot, &format!(r#"{{"id":1,"op":"hello","token":"{token}","resume":[{resume}]}}"#));
    }

    /// A signed-in connection; what that made is forgotten.
    pub(crate) fn sign_in(&mut self, slot: u32, user: UserId) -> ConnectionRef {
        self.upgrade(slot);
        self.hello(slot, user, "");
        assert_eq!(self.take_sent(slot)[0]["ev"], "ok");
        self.mail.clear();
        ConnectionRef { shard: HERE, slot: Slot(slot), generation: 1 }
    }

    /// Subscribes a connection to a room of the other shard, at `top`.
    pub(crate) fn subscribe(&mut self, to: ConnectionRef, room: RoomId, top: u64) {
        self.text(to.slot.0, &format!(r#"{{"id":2,"op":"subscribe","room":"{room}"}}"#));
        assert!(matches!(self.mail.pop(), Some((THERE, Mail::Command { .. }))));
        let frame = frame(r#"{"ev":"subscribed","re":2}"#);
        self.mail(Mail::Subscribed { to, room, epoch: Epoch(1), top: Seq(top), frame });
        assert_eq!(self.take_sent(to.slot.0).last().expect("answer")["ev"], "subscribed");
    }

    /// An event in order.
    pub(crate) fn event(&mut self, room: RoomId, seq: u64) {
        self.event_with(room, seq, None, None);
    }

    pub(crate) fn event_with(
        &mut self,
        room: RoomId,
        seq: u64,
        own: Option<ConnectionRef>,
        removes: Option<UserId>,
    ) {
        let removes = removes.map_or(Removes::Nobody, Removes::User);
        self.mail(Mail::Event {
            room,
            epoch: Epoch(1),
            seq: Seq(seq),
            prev: Seq(seq - 1),
            frame: event_frame(seq),
            own: own.map(|to| Own { to, ok: frame(&format!(r#"{{"ev":"ok","seq":{seq}}}"#)) }),
            removes,
        });
    }

    pub(crate) fn level(&mut self, slot: u32, level: QueueLevel) {
        self.give(Input::SendQueue { slot: Slot(slot), level });
    }

    /// What a slot was sent since the last call.
    pub(crate) fn take_sent(&mut self, slot: u32) -> Vec<Value> {
        let (taken, kept) = std::mem::take(&mut self.sent).into_iter().partition(|(to, _)| to.0 == slot);
        self.sent = kept;
        let taken: Vec<(Slot, Value)> = taken;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    /// The same as short words: `message 5`, `ok 6`, `resync 3-7`, `error code`.
    pub(crate) fn story(&mut self, slot: u32) -> Vec<String> {
        let tell = |value: &Value| match value["ev"].as_str().expect("every frame has ev") {
            "resync" => format!("resync {}-{}", value["from"], value["to"]),
            "error" => format!("error {}", value["code"].as_str().expect("code")),
            "presence" => format!("presence {}", value["online"]),
            ev => match value["seq"].as_u64() {
                Some(seq) => format!("{ev} {seq}"),
                None => ev.to_owned(),
            },
        };
        self.take_sent(slot).iter().map(tell).collect()
    }

    pub(crate) fn principal(user: UserId) -> Principal {
        Principal { user, session: SessionId([9; 16]) }
    }

    pub(crate) fn reply(&mut self, reply: StoreReply) {
        let (id, _) = self.requests.remove(0);
        self.give(Input::Reply { id, reply });
    }
}
