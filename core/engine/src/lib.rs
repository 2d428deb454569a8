//! The shard state machine: sessions, rooms, ordering, fan-out, presence. No socket, file, clock, thread or
//! random source: [`Engine::handle`] takes an [`Input`] and appends to [`Effects`].
//!
//! Thread: the shard that owns it. Three parts share a shard and talk by [`Mail`](mail::Mail), whether they are
//! on the same shard or not:
//!
//! - `home`: connections that this shard accepted, their sessions, subscriptions, rate limits, fan-out;
//! - `owner`: rooms that hash to this shard: order, membership, journal, history, unread;
//! - `user`: users that hash to this shard: presence and its mirror, admission of their connections, blocks.

#![forbid(unsafe_code)]

mod api;
mod bucket;
mod context;
mod counters;
mod engine;
mod home;
pub mod io;
mod kept;
pub mod mail;
mod owner;
mod revoked;
#[cfg(test)]
mod rig;
mod slab;
mod user;

pub use api::{API_ANSWERS_MAX, API_SLOTS_MAX, ApiInput, ApiOutput, TicketAsk, TicketOutcome};
pub use context::FRAME_POOLS_BYTES_MAX;
pub use counters::{ByCode, Counters};
pub use engine::Engine;
pub use io::{
    Close, Delivery, Effects, FLUSH_DELIVERIES_MAX, Input, JournalState, PresenceNews, QueueLevel, Records,
    Slot, UndrainedRecord,
};
pub use mail::{ConnectionRef, Mail, Own, Principal, Removes, RoomNumbers};
pub use owner::{UNDRAINED_RECORD_BYTES_MAX, check_room_name};
pub use revoked::{Revoked, Standing};

use lynk_auth::LinkKey;
use lynk_domain::{AckLevel, Limits, ShardId};
use lynk_model::SourceId;

/// What an engine is built from. Everything random is passed in.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// This shard.
    pub shard: ShardId,
    /// Shards of the process.
    pub shard_count: u16,
    /// The limits.
    pub limits: Limits,
    /// Durability of rooms that name none.
    pub default_level: AckLevel,
    /// The message store is outside: rooms may have level `replicated`.
    pub replicates: bool,
    /// Time between two rounds in which users who stay online are told to the mirror of presence; 0 when nobody mirrors.
    pub presence_round_nanos: u64,
    /// The source that this shard's new records belong to.
    pub source: SourceId,
    /// Random, secret: hash seed and start of the id generator.
    pub seed: u64,
    /// Makes codes of links into rooms; the same in every shard, and after a restart.
    pub links: LinkKey,
}
