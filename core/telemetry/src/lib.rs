//! What the server measures: the catalogue of metrics, and the plain values that threads count in.
//!
//! Thread: any. A shard counts in plain integers and [`Histogram`]s that only it touches, and hands copies out through
//! a [`Board`]; whoever answers a scrape adds the copies of all threads up in a [`Snapshot`].
//!
//! Invariants:
//! - Every metric is in [`Metric`]: its name, kind, unit, label values and help have one place, from which the
//!   exposition and `docs/metrics.md` are made.
//! - Label values come from fixed lists. Nothing that a user chose becomes a label.
//! - Counting and publishing never wait, and never allocate.
//!
//! Nothing here can fail.

#![forbid(unsafe_code)]

mod board;
mod catalogue;
mod histogram;
mod snapshot;

pub use board::Board;
pub use catalogue::{Kind, Label, Metric, reference};
pub use histogram::{BUCKETS, Histogram};
pub use snapshot::{Series, Snapshot, Value};
