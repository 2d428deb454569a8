//! Notifications: who is told of which message, when, and how devices are reached. `docs/notifications.md` has the rules and the set-up.
//!
//! - [`decide`]: for a batch of a room's messages, why each is pushed to whom, or not. Pure.
//! - [`Notifier`]: takes messages in, and turns what waits into pushes. It reaches everything by ports and sends nothing itself.
//! - [`Fcm`]: Firebase Cloud Messaging over its HTTP v1 API. [`ConsolePush`]: ids in a file, for development.
//! - [`PushBridge`]: the thread that drives a notifier.
//!
//! Thread: one, with a runtime of its own; nothing of a shard waits for it. Invariants: a push carries ids and numbers, and nothing that
//! people wrote. **Nothing is pushed twice after a restart and nothing that was decided is lost**: see [`lynk_model::notify`]. A
//! device's token is removed when the provider says that it does not know it, and for nothing else. Secrets and tokens are not
//! printed, logged, or repeated by errors; TLS is always verified, and is left out towards this machine only.
//!
//! Limits: [`IN_FLIGHT_MAX`] pushes at a time, [`MESSAGES_MAX`] messages of a batch, [`BADGE_ROOMS_MAX`] rooms of a badge;
//! those of the ports. What can fail: stores (tried again) and providers, with a [`PushCause`](lynk_model::notify::PushCause).

#![forbid(unsafe_code)]

mod client;
mod console;
mod counts;
mod decide;
mod fcm;
mod notifier;
mod senders;
mod thread;

pub use console::ConsolePush;
pub use counts::PushCounts;
pub use decide::{Decided, Facts, Message, Rules, decide};
pub use fcm::{Fcm, FcmOptions, ServiceAccount, SetupError};
pub use lynk_https::Roots;
pub use notifier::{BADGE_ROOMS_MAX, Clock, Ended, MESSAGES_MAX, Notifier, Trouble};
pub use senders::Senders;
pub use thread::{
    Asked, DeadSink, Fed, Feed, IN_FLIGHT_MAX, NoFeed, PushBridge, PushDesk, PushOptions, PushParts,
};

/// Bytes that notifications may take at most: a batch of messages with its decisions, connections with their buffers, SQLite's cache.
#[must_use]
pub fn memory_bytes_max() -> u64 {
    // A room's members, twice, with a decision each; a connection's buffers and an answer.
    const BATCH: u64 = 8 << 20;
    const CONNECTION: u64 = 128 << 10;
    const CACHE: u64 = 4 << 20;
    BATCH + client::IDLE_MAX as u64 * CONNECTION + CACHE
}
