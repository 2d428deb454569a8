//! A server whose stores are outside, while those are killed, frozen or away for long. Run with `--test-threads 1`: the tests share the
//! servers that they kill.

#[path = "../support/mod.rs"]
mod support;

mod frozen;
mod outages;
mod pump;
