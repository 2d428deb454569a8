//! What the parts of an engine share while one input is handled.

use std::collections::VecDeque;
use std::sync::Arc;

use lynk_domain::{Lsn, Now, ShardId, uuid_v7};
use lynk_model::{RecordHead, RequestId, StoreRequest};
use lynk_protocol::{Frame, FramePool};

use crate::EngineConfig;
use crate::counters::Counters;
use crate::io::{Effects, JournalState, Slot};
use crate::kept::Kept;
use crate::mail::Mail;
use crate::revoked::Revoked;

/// Frames that the pool remembers at most, and the largest buffer among them: 16 MiB together, when all are large.
const FRAMES_HELD_MAX: usize = 4 << 10;
const FRAME_KEPT_BYTES_MAX: usize = 4 << 10;
/// The same for joined frames: 8 MiB.
const JOINS_HELD_MAX: usize = 256;
const JOIN_KEPT_BYTES_MAX: usize = 32 << 10;

/// Memory that the pools of one engine keep for frames to come, in bytes, at most.
pub const FRAME_POOLS_BYTES_MAX: usize =
    FRAMES_HELD_MAX * FRAME_KEPT_BYTES_MAX + JOINS_HELD_MAX * JOIN_KEPT_BYTES_MAX;

/// State that home, owner and user parts use alike.
pub(crate) struct Shared {
    pub(crate) config: EngineConfig,
    /// Answers, events, anything that leaves as one message.
    pub(crate) pool: FramePool,
    /// Several events in one frame: larger, so apart, or every small frame would grow to that size in time.
    pub(crate) joins: FramePool,
    pub(crate) counters: Counters,
    pub(crate) journal: JournalState,
    /// Last record appended; the next gets the number after it.
    pub(crate) appended: Lsn,
    /// Last record committed.
    pub(crate) committed: Lsn,
    /// Mail to be posted again.
    pub(crate) kept: Kept,
    /// Sessions that are over.
    pub(crate) revoked: Revoked,
    /// Requests at the store bridge.
    pub(crate) requests_in_flight: u32,
    last_request: u64,
    random: u64,
}

impl Shared {
    pub(crate) fn new(config: EngineConfig) -> Self {
        // Shards may share a seed; their ids must differ all the same.
        let random = config.seed ^ (u64::from(config.shard.0) + 1).wrapping_mul(0xd6e8_feb8_6659_fd93);
        let revoked = Revoked::new(config.seed);
        Self {
            config,
            revoked,
            pool: FramePool::new(FRAMES_HELD_MAX, FRAME_KEPT_BYTES_MAX),
            joins: FramePool::new(JOINS_HELD_MAX, JOIN_KEPT_BYTES_MAX),
            counters: Counters::default(),
            journal: JournalState::Open,
            appended: Lsn(0),
            committed: Lsn(0),
            kept: Kept::default(),
            requests_in_flight: 0,
            last_request: 0,
            random,
        }
    }

    /// SplitMix64: ids need to be unique and hard to collide, not secret.
    pub(crate) fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A new UUIDv7.
    pub(crate) fn new_id(&mut self, now: Now) -> [u8; 16] {
        let mut random = [0; 10];
        random[..8].copy_from_slice(&self.random().to_le_bytes());
        random[8..].copy_from_slice(&self.random().to_le_bytes()[..2]);
        uuid_v7(now.wall.0, random)
    }
}

/// One input's surroundings: the time, the shared state, and where effects go.
pub(crate) struct Context<'a> {
    pub(crate) now: Now,
    pub(crate) shared: &'a mut Shared,
    pub(crate) fx: &'a mut Effects,
    /// Mail to the own shard, handled before the call returns.
    pub(crate) local: &'a mut VecDeque<Mail>,
}

impl Context<'_> {
    /// Posts mail to any shard, the own one included.
    pub(crate) fn post(&mut self, to: ShardId, mail: Mail) {
        if to == self.shared.config.shard {
            self.local.push_back(mail);
        } else {
            self.fx.mail.push((to, mail));
        }
    }

    /// Queues an answer or an event for one connection.
    pub(crate) fn reply(&mut self, slot: Slot, frame: Arc<Frame>) {
        self.fx.deliver(slot, frame);
        self.shared.counters.deliveries += 1;
    }

    /// Whether the store bridge takes another request that a client can be told to repeat.
    pub(crate) fn may_request(&self) -> bool {
        self.shared.requests_in_flight < self.shared.config.limits.store_requests_in_flight_max
    }

    /// Asks the store bridge; the reply carries the returned id.
    pub(crate) fn request(&mut self, request: StoreRequest) -> RequestId {
        self.shared.last_request += 1;
        self.shared.requests_in_flight += 1;
        let id = RequestId(self.shared.last_request);
        self.fx.requests.push((id, request));
        id
    }

    /// Appends a record to the journal and returns its number.
    pub(crate) fn append(&mut self, head: RecordHead, write: impl FnOnce(&mut Vec<u8>)) -> Lsn {
        self.shared.appended = Lsn(self.shared.appended.0 + 1);
        self.fx.records.push(self.shared.appended, head, write);
        self.shared.appended
    }
}
