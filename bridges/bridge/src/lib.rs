//! The thread shell of every bridge: mailboxes to and from shards, what is in flight, circuit, health, counters; and who we are for what is outside.
//!
//! A bridge owns one thing that blocks or waits: an embedded store, a database, a broker. Shards post requests into
//! bounded mailboxes and go on; the bridge takes them in turns, one per shard, and answers each exactly once.
//!
//! Thread: [`Desks`] belongs to the bridge's thread, a [`Port`] to a shard. [`Health`] and [`Board`](lynk_telemetry::Board)
//! may be read from anywhere.
//!
//! Invariants: a request is taken only when its reply is sure to fit, so a reply is never dropped and the bridge never
//! waits for a shard. A shard is woken at most once per [`Desks::ring`]. A panic of the thread ends the process
//! ([`spawn`]): its shards would wait for ever.
//!
//! Limits: the budget of each [`Desks::open`]. **Lost when full: nothing**; a request that does not fit stays with the
//! shard, which answers its client.
//!
//! What can fail: starting a thread.

#![forbid(unsafe_code)]

mod circuit;
mod credentials;
mod desk;
mod handover;
mod health;
mod thread;

pub use circuit::{Circuit, FAILURES_MAX, jittered};
pub use credentials::{FileError, Secret, tls_client};
pub use desk::{Desks, Port, Wake};
pub use handover::Handover;
pub use health::{Health, HealthReport, Turned};
pub use thread::{BridgeThread, spawn};
