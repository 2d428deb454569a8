//! A ledger over a real server: every acknowledgement that a client received is written down, the server is taken
//! away at random moments, and an independent reader says whether everything written down is still there, once.
//!
//! - `wire`: the frames of the protocol as the ledger reads them, and the texts it writes
//! - `server`: a `lynk serve` process
//! - `view`: what one subscriber has of one room
//! - `client`: a client that sends open loop, retries with the same keys, and resumes
//! - `plain`: a client that asks and waits, and the independent reader
//! - `book`: acknowledgements against what the reader found
//! - `run`: load, crash, restart, audit; again and again
//! - `disk`: file systems in files, and a power cut
//! - `cache`: a disk with a volatile write cache
//!
//! Everything random comes from one seed, which every failure prints. What the threads of two programs do in which
//! order is not reproducible; the seed repeats the choices, not the schedule.

#![allow(dead_code, reason = "every test program uses another part of this")]

pub(crate) mod book;
pub(crate) mod cache;
pub(crate) mod client;
pub(crate) mod disk;
pub(crate) mod plain;
pub(crate) mod random;
pub(crate) mod run;
pub(crate) mod server;
pub(crate) mod view;
pub(crate) mod wire;

use std::io::Write as _;

/// Prints a line that the test harness does not swallow: summaries and skips are to be seen also when all is well.
pub(crate) fn say(line: &str) {
    let _closed = writeln!(std::io::stderr(), "{line}");
}

/// A number from the environment.
///
/// # Panics
/// When it is set and is no number.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")),
        Err(_) => default,
    }
}

/// `LEDGER_SEED`, or one nobody chose.
pub(crate) fn seed() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970");
    number("LEDGER_SEED", since.as_nanos() as u64 ^ u64::from(std::process::id()) << 32)
}
