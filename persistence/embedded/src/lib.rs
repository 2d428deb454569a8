//! Embedded stores: the message log on fjall, rooms and blocks on SQLite. Nothing else to install.
//!
//! Thread: bridge threads; every call may block on the disk, for hundreds of milliseconds under load.
//! Files: `<data>/messages/` (fjall) and `<data>/rooms.sqlite` with its `-wal` and `-shm`. Both carry a
//! format version, and a newer one is refused.
//!
//! Invariants: what `append` and `apply` returned for is on disk (`fdatasync`, `synchronous=FULL`).
//! Limits: see [`MessageLogOptions`]. What can fail: the disk, and damaged files; a [`Fault`] keeps the last
//! failure in words for the operator, because ports answer a bare [`StoreError`](lynk_model::StoreError).

#![forbid(unsafe_code)]

mod fault;
mod log;
mod rooms;

pub use fault::{Fault, FaultKind, OpenError};
pub use log::{MessageLog, MessageLogOptions, MessageLogStats};
pub use rooms::Rooms;
