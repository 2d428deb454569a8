//! Rooms, accounts, notifications and media in PostgreSQL: [`PostgresRooms`], [`PostgresAccounts`], [`PostgresNotify`] and [`PostgresMedia`] implement the ports that
//! SQLite implements for one machine.
//!
//! Thread: a bridge thread with a tokio runtime (time and net enabled) of its own. The connections of a pool are tasks of the runtime that
//! made them, so a store is used on one runtime from its first call to its last. Nothing here blocks the thread but the start, which reads
//! four small files.
//!
//! Invariants: every connection is TLS to a server whose certificate names the host (`verify-full`), with our client certificate and
//! SCRAM-SHA-256 bound to the channel; there is no setting that turns any of it off. Each port has a role and a pool of its own, and its
//! role may do what [`grants`] lists and nothing else. Several processes and connections may use one database: what must not run at the same
//! time takes the same lock, and constraints stand behind the locks. `Unavailable` means that nothing was written; whatever may have been
//! committed is `Unknown`.
//!
//! Limits: connections per pool, seconds per connect, statement and operation ([`Connect`]); [`ATTEMPTS_MAX`] tries of one call; all waiting
//! is bounded by them. What can fail: the network and the server, rights, a schema that is too old or too new ([`migrate`]), stored data that
//! cannot be read.

#![forbid(unsafe_code)]

mod accounts;
mod column;
mod connect;
mod database;
mod fault;
pub mod grants;
mod locks;
mod media;
mod migrate;
mod notify;
mod rooms;
mod store;

pub use accounts::{AccountsSnapshot, PostgresAccounts};
pub use connect::{Connect, OpenError, Timeouts};
pub use database::ATTEMPTS_MAX;
pub use fault::{Fault, FaultKind};
pub use media::{MediaSnapshot, PostgresMedia};
pub use migrate::{Migrated, STEPS, Step, migrate, migrate_with};
pub use notify::{NotifySnapshot, PostgresNotify};
pub use rooms::{PostgresRooms, RoomsSnapshot};
