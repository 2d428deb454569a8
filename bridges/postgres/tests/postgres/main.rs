//! The stores against a real server, which `make test` does not start yet. By hand:
//!
//! ```text
//! scripts/services up && LYNK_SERVICES=$PWD/target/services/env cargo test -p lynk-postgres
//! ```
//!
//! Without `LYNK_SERVICES` the tests say that they are skipped. Each has a database of its own.

mod concurrency;
mod contract;
mod documentation;
mod identity;
mod migrations;
mod outage;
mod support;
