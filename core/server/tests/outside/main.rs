//! A server whose stores are outside, while those are killed, frozen or away for long. The tests take turns, because they share the servers
//! that they kill.

#[path = "../support/mod.rs"]
mod support;

mod bucket;
mod frozen;
mod outages;
mod pump;
mod redis;

use std::sync::{Mutex, MutexGuard, PoisonError};

use support::outside::Outside;

/// What the tests kill.
const ALL: &[&str] = if cfg!(feature = "kafka") {
    &["cassandra", "kafka", "postgres", "redis", "s3"]
} else {
    &["cassandra", "postgres", "redis", "s3"]
};

/// The outside servers, for one test at a time. Every test here asks by this and never by [`Outside::find`]: one that does not wait for its
/// turn meets servers that another has killed.
fn alone(test: &str) -> Option<(&'static Outside, MutexGuard<'static, ()>)> {
    static TURN: Mutex<()> = Mutex::new(());
    let outside = Outside::find(test)?;
    let turn = TURN.lock().unwrap_or_else(|failed| {
        // A test that failed may have left one of them dead, which is no failure of the next one.
        outside.up(ALL);
        TURN.clear_poison();
        PoisonError::into_inner(failed)
    });
    Some((outside, turn))
}
