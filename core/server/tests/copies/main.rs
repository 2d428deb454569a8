//! Backup, restore and move, with people talking meanwhile. Those of outside stores need `--test-threads 1`, as other tests of these servers.

#[path = "../support/mod.rs"]
mod support;

mod embedded;
mod outside;
#[path = "../outside/pump.rs"]
mod pump;
mod tools;
