//! Short-lived state in Redis: [`RedisEphemeral`] implements the port that a server without Redis keeps in memory.
//!
//! Thread: `redis`, one with a runtime of its own, which owns the one connection that all calls share. Handles may be
//! called from anywhere; a call waits for its answer without a runtime.
//!
//! Invariants: the connection is TLS to a server whose certificate names the host, with our client certificate, and signed
//! in as a user that may do what [`acl`] lists and nothing else; there is no setting that turns any of it off. Each call is
//! one script, one command or one transaction: it happens wholly or not at all. **Redis may lose everything at any moment**:
//! callers go on with what the process remembers, and nothing that protects somebody rests on Redis alone.
//!
//! Limits: [`CALLS_MAX`] calls wait or are under way, half of them for presence; the time of a call and of a connection are
//! [`Timeouts`]. A call that finds no room, or Redis away, fails at once. After a call without an answer the connection is
//! closed and Redis counts as away until a probe comes back, which is tried with growing, jittered pauses.
//!
//! What can fail: the network and the server, rights, memory of the server ([`FaultKind`]).

#![forbid(unsafe_code)]

pub mod acl;
mod answer;
mod connect;
mod counts;
mod ephemeral;
mod fault;
pub mod filter;
mod key;
mod script;
mod thread;

pub use connect::{Connect, OpenError, Timeouts};
pub use counts::RedisCounts;
pub use ephemeral::RedisEphemeral;
pub use fault::{Fault, FaultKind};
pub use thread::{CALLS_MAX, RedisBridge, RedisNumbers};
