//! The message log in Cassandra or ScyllaDB: [`CassandraMessages`] is a [`MessageStore`](lynk_model::port::MessageStore) over TLS with a
//! certificate and a role of its own. `docs/cassandra.md` has the tables, and why replays in any order end in the same rows.
//!
//! Thread: a bridge's, on its runtime; clones share the connections. A future waits for the server, never for ever: every request has
//! a timeout, and connecting has one as a whole.
//!
//! Invariants: a cell is written with a timestamp that is made of what it says (`place`), never with a clock's, so the newest change
//! wins on every replica whatever the order. A drain cursor is written when all rows of its batch are.
//!
//! Limits: [`Limits`]; a partition holds at most [`BUCKET_SEQS`] events of a room. What can fail: the server, and the way to it. What a
//! call failed with is kept as a [`Fault`]; none of its words is a password, a key or a text that somebody wrote.

#![forbid(unsafe_code)]

mod connect;
mod copy;
mod fault;
pub mod grants;
mod mentions;
mod page;
mod place;
mod read;
mod schema;
mod statement;
mod store;
mod sweep;
mod value;
mod write;

pub use connect::{Connect, ConnectError, Identity, Limits, Tls};
pub use fault::{Fault, FaultKind};
pub use grants::{MESSAGES, MIGRATE};
pub use place::BUCKET_SEQS;
pub use schema::{Migration, Replication, VERSION, migrate, replication_map};
pub use store::CassandraMessages;
