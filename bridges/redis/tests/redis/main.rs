//! The bridge against a real server, which `make test` does not start yet. By hand:
//!
//! ```text
//! scripts/services up redis && LYNK_SERVICES=$PWD/target/services/env cargo test -p lynk-redis
//! ```
//!
//! Without `LYNK_SERVICES` the tests say that they are skipped. Tests that break their server have one of their own.

mod contract;
mod cuckoo;
mod documentation;
mod identity;
mod outage;
mod support;
