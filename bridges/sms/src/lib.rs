//! One-time codes by SMS: [`Twilio`] is an [`SmsSender`](lynk_auth::SmsSender) over Twilio's Messages API. `docs/sms.md` has
//! the set-up, and what becomes of each answer.
//!
//! Thread: the API's, on its runtime; a message is a task of its own there. Nothing of a shard waits for it.
//!
//! Invariants: **a message is offered again only when it is certain that it was not taken** (`send`); whatever is not certain is
//! told as [`SmsError::Unknown`](lynk_auth::SmsError) and ends there. Nothing that is secret, no number and no code is shown
//! by `Debug`, logged, or repeated by an error; TLS is always verified, and is left out towards this machine only.
//!
//! Limits: [`Options::timeout`] for a message with all its repeats; [`REPEATS_MAX`] repeats; [`ANSWER_BYTES_MAX`] of an answer;
//! [`IDLE_MAX`] kept connections; [`TRACKED_MAX`] messages whose reports are awaited. What can fail: the carrier, with a
//! [`Cause`].

#![forbid(unsafe_code)]

mod answer;
mod cause;
mod client;
mod counts;
mod form;
mod options;
mod send;
mod signature;
mod track;

pub use cause::Cause;
pub use client::{ANSWER_BYTES_MAX, IDLE_MAX};
pub use counts::SmsCounts;
pub use lynk_https::Roots;
pub use options::{Credentials, Options, Reports, SetupError};
pub use send::{REPEATS_MAX, Twilio};
pub use track::TRACKED_MAX;

/// Path under which the server takes reports; what follows it names the message.
pub const STATUS_PATH: &str = "/v1/sms/status/";

/// Bytes that the tables here may take at most.
#[must_use]
pub fn memory_bytes_max() -> u64 {
    // Two entries with keys and their share of the tables, rounded up; a connection's buffers.
    const TRACKED: u64 = 160;
    const CONNECTION: u64 = 64 << 10;
    TRACKED_MAX as u64 * TRACKED + IDLE_MAX as u64 * CONNECTION
}
