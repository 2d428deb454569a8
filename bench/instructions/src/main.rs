//! Runs one stage of the hot path a given number of times, and nothing else that depends on that number, so that
//! two runs under callgrind with different counts give the instructions of one message.
//!
//!     lynk-instructions decode|order|fanout COUNT
//!
//! - `decode`: one `send` command from JSON.
//! - `order`: a `send` through the engine in a room where nobody else listens: decode, check, number, record, encode,
//!   commit, acknowledge.
//! - `fanout`: the same in a room of 101 connected members.
//!
//! `scripts/instructions` does the arithmetic and keeps the baseline.

#![forbid(unsafe_code)]

use std::hint::black_box;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use lynk_auth::{Grant, KeySet, Scope, SigningKey};
use lynk_domain::{
    AckLevel, IpPrefix, Key, Limits, Millis, Nanos, Now, RoomId, SessionId, ShardId, UserId, uuid_v7,
};
use lynk_engine::{Effects, Engine, EngineConfig, Input, Slot};
use lynk_model::memory::{MemoryMessages, MemoryRecords, MemoryRooms};
use lynk_model::port::NoFiles;
use lynk_model::{SourceId, execute};

/// Subscribers beside the sender in stage `fanout`.
const LISTENERS: u32 = 100;
const WALL: u64 = 1_795_456_131_123;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let stage = args.next().context("usage: lynk-instructions decode|order|fanout COUNT")?;
    let count: u64 = args.next().context("COUNT is missing")?.parse()?;
    match stage.as_str() {
        "decode" => {
            let text = send_command(1, RoomId([7; 16]), WALL);
            for _ in 0..count {
                black_box(lynk_protocol::decode(black_box(&text)).command.is_ok());
            }
        }
        "order" => World::new(0)?.run(count)?,
        "fanout" => World::new(LISTENERS)?.run(count)?,
        other => bail!("no stage `{other}`"),
    }
    Ok(())
}

fn send_command(n: u64, room: RoomId, wall: u64) -> String {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&n.to_be_bytes());
    let key = Key(uuid_v7(wall, random));
    let text = "x".repeat(128);
    format!(r#"{{"id":{n},"op":"send","room":"{room}","key":"{key}","text":"{text}"}}"#)
}

/// One engine with memory stores and a journal that commits at once.
struct World {
    engine: Engine,
    effects: Effects,
    messages: MemoryMessages,
    rooms: MemoryRooms,
    records: MemoryRecords,
    now: Now,
    room: RoomId,
    /// Frames that the last call delivered, for set-up.
    answer: String,
}

impl World {
    fn new(listeners: u32) -> Result<Self> {
        let (signer, _) = SigningKey::generate([3; 32]);
        let keys = Arc::new(KeySet::new(Scope::default(), [signer.public()])?);
        // No limit of rates: what is measured is one message, not how many are let through.
        let limits = Limits {
            commands_per_connection_per_second: 0,
            commands_per_account_per_second: 0,
            messages_per_room_per_second: 0,
            connections_per_ip_max: 0,
            connects_per_ip_per_second: 0,
            ..Limits::default()
        };
        let config = EngineConfig {
            shard: ShardId(0),
            shard_count: 1,
            limits,
            default_level: AckLevel::Local,
            replicates: false,
            presence_round_nanos: 0,
            source: SourceId(0),
            seed: 9,
            links: lynk_auth::LinkKey::new([7; 32]),
        };
        let now = Now { mono: Nanos(Nanos::SECOND), wall: Millis(WALL) };
        let mut world = Self {
            engine: Engine::new(config, keys, Vec::new(), now),
            effects: Effects::default(),
            messages: MemoryMessages::default(),
            rooms: MemoryRooms::default(),
            records: MemoryRecords::default(),
            now,
            room: RoomId::NIL,
            answer: String::new(),
        };
        for index in 0..=listeners {
            world.sign_in(index, &signer)?;
        }
        Ok(world)
    }

    fn sign_in(&mut self, index: u32, signer: &SigningKey) -> Result<()> {
        let slot = Slot(index);
        let mut id = [0x11; 16];
        id[..4].copy_from_slice(&index.to_be_bytes());
        let grant = Grant {
            user: UserId(id),
            session: SessionId(id),
            epoch: 0,
            id,
            issued: Millis(WALL),
            expires: Millis(WALL + 900_000),
        };
        let token = signer.issue(&Scope::default(), &grant);
        self.step(Input::Accepted { slot, ip: IpPrefix([4, 127, 0, 0, 0, 0, 0]) });
        self.step(Input::Upgraded { slot });
        self.say(slot, &format!(r#"{{"id":1,"op":"hello","token":"{}"}}"#, token.reveal()))?;
        let key = Key(uuid_v7(WALL, [index as u8; 10]));
        if index == 0 {
            self.say(slot, &format!(r#"{{"id":2,"op":"create","key":"{key}","name":"bench"}}"#))?;
            let at = self.answer.find("\"room\":\"").context("`create` names its room")? + 8;
            self.room = RoomId::parse(&self.answer[at..at + 36]).context("a room id")?;
        } else {
            self.say(slot, &format!(r#"{{"id":2,"op":"join","room":"{}","key":"{key}"}}"#, self.room))?;
        }
        self.say(slot, &format!(r#"{{"id":3,"op":"subscribe","room":"{}"}}"#, self.room))
    }

    /// One command of the set-up, which must be answered without an error.
    fn say(&mut self, slot: Slot, text: &str) -> Result<()> {
        self.answer.clear();
        self.step(Input::Text { slot, text });
        if self.answer.is_empty() || self.answer.contains("\"ev\":\"error\"") {
            bail!("set-up failed: {}", self.answer);
        }
        Ok(())
    }

    /// Gives one input and carries out what follows, until nothing does.
    fn step(&mut self, input: Input<'_>) {
        self.engine.handle(self.now, input, &mut self.effects);
        loop {
            let requests = std::mem::take(&mut self.effects.requests);
            let committed = self.effects.records.iter().map(|(lsn, _)| lsn).last();
            for delivery in &self.effects.deliveries {
                self.answer.push_str(std::str::from_utf8(delivery.frame.payload()).unwrap_or_default());
            }
            let more = self.effects.more;
            self.effects.clear();
            if requests.is_empty() && committed.is_none() && !more {
                self.now.mono = self.now.mono.after(50 * Nanos::MILLISECOND);
                self.engine.handle(self.now, Input::Deadline, &mut self.effects);
                self.engine.handle(self.now, Input::Flush, &mut self.effects);
                if self.effects.is_empty() {
                    return;
                }
                continue;
            }
            for (id, request) in requests {
                let future = execute(&request, &self.messages, &mut self.rooms, &mut self.records, &NoFiles);
                let reply = pollster::block_on(future);
                self.engine.handle(self.now, Input::Reply { id, reply }, &mut self.effects);
            }
            if let Some(lsn) = committed {
                self.engine.handle(self.now, Input::Committed { lsn }, &mut self.effects);
            }
            self.engine.handle(self.now, Input::Flush, &mut self.effects);
        }
    }

    /// The measured loop: one message a turn, 50 ms apart, so that no two of them share a send.
    fn run(mut self, count: u64) -> Result<()> {
        let listeners = LISTENERS as usize;
        let mut delivered = 0;
        for n in 0..count {
            self.now.mono = self.now.mono.after(50 * Nanos::MILLISECOND);
            let text = send_command(10 + n, self.room, WALL);
            self.engine.handle(self.now, Input::Text { slot: Slot(0), text: &text }, &mut self.effects);
            let lsn = self.effects.records.iter().map(|(lsn, _)| lsn).last().context("a record")?;
            self.effects.clear();
            self.engine.handle(self.now, Input::Committed { lsn }, &mut self.effects);
            loop {
                self.engine.handle(self.now, Input::Flush, &mut self.effects);
                delivered += self.effects.targets.len();
                let more = self.effects.more;
                black_box(&self.effects.deliveries);
                self.effects.clear();
                if !more {
                    break;
                }
            }
        }
        let expected = count as usize;
        if delivered != expected && delivered != expected * (listeners + 1) {
            bail!("{delivered} deliveries of {count} messages: the stage does not measure what it says");
        }
        Ok(())
    }
}
