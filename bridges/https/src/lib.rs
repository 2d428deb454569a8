//! Requests to one server of somebody else, for bridges that speak HTTP: carriers of messages, of notifications, of files.
//!
//! It is built on hyper's connections and not on a pool of somebody else's, because of a question that a pool does not answer: whether
//! anything of a request that failed was written. Pools repeat by themselves what they believe to be safe.
//!
//! Thread: the bridge's runtime; each connection is a task there. Invariants: a failure other than [`Failure::Unanswered`] means that no byte
//! of the request left this program. Redirects are not followed: they would take credentials elsewhere. Plain HTTP is for this machine only.
//!
//! Limits: [`Keeping`], [`CONNECT_TIME`], [`HEAD_BYTES_MAX`], and what the caller says. What can fail: see [`Failure`].

#![forbid(unsafe_code)]

mod base;
mod client;
mod tls;

pub use base::Base;
pub use client::{Answer, CONNECT_TIME, Client, Failure, HEAD_BYTES_MAX, Keeping, Lease};
pub use tls::{Roots, trust};
