//! Against the real broker that `scripts/services` starts. Tests take turns, because some of them kill or freeze it.

#![forbid(unsafe_code)]

mod bridge;
mod contract;
mod identity;
mod outage;
mod support;
