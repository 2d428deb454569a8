//! Embedded stores: the message log on fjall; rooms and blocks, accounts and sessions, notifications, and what is known of media on SQLite. Nothing
//! else to install.
//!
//! Thread: bridge threads; every call may block on the disk, for hundreds of milliseconds under load.
//! Files: `<data>/messages/` (fjall), `<data>/rooms.sqlite`, `<data>/accounts.sqlite` (mode 0600: it has telephone
//! numbers), `<data>/notify.sqlite` (mode 0600: it has tokens of devices) and `<data>/media.sqlite` (mode 0600: it has names of files), each with its `-wal` and `-shm`. All carry a
//! format version, and a newer one is refused.
//!
//! Invariants: what `append` and `apply` returned for is on disk (`fdatasync`, `synchronous=FULL`), and so is all that
//! an opened store shows: logs that it replays are written anew first (see `rewrite`).
//! Limits: see [`MessageLogOptions`]. What can fail: the disk, and damaged files; a [`Fault`] keeps the last
//! failure in words for the operator, because ports answer a bare [`StoreError`](lynk_model::StoreError).

#![forbid(unsafe_code)]

mod accounts;
mod fault;
mod log;
mod media;
mod names;
mod notify;
mod rewrite;
mod rooms;
mod sqlite;
mod table;

use std::path::Path;

pub use accounts::{Accounts, AccountsSnapshot};
pub use fault::{Fault, FaultKind, OpenError};
pub use log::{MessageLog, MessageLogOptions, MessageLogStats};
pub use media::{MediaSnapshot, MediaTable};
pub use notify::{Notifications, NotificationsSnapshot};
pub use rooms::{Rooms, RoomsBeside, RoomsSnapshot};

/// How long keys are kept unless it is said otherwise, in milliseconds: 7 days in which they are accepted, the minute by
/// which they may lie ahead, and an hour for clocks.
pub(crate) const KEY_LIFE_MILLIS: u64 = (7 * 24 * 60 + 1 + 60) * 60 * 1_000;

/// Writes the rooms, the accounts and the notifications of `data`, each as it is at one moment, to files of the same names in `to`, for their owner only, while
/// their owner goes on. `to` has none yet. [`RoomsSnapshot`], [`AccountsSnapshot`] and [`NotificationsSnapshot`] read them there. They are as large as what is in the
/// old ones, and not synced: no power failure needs to find them.
///
/// # Errors
/// What SQLite or the disk says; a part may be left.
pub fn copy_tables(data: &Path, to: &Path) -> Result<(), OpenError> {
    for file in TABLE_FILES {
        sqlite::copy(&data.join(file), &to.join(file))?;
    }
    Ok(())
}

/// The files of the tables.
pub const TABLE_FILES: [&str; 4] = ["rooms.sqlite", "accounts.sqlite", "notify.sqlite", "media.sqlite"];

/// Opens or creates both stores, at the same time: a first start is mostly waiting for some forty syncs.
///
/// # Errors
/// See [`OpenError`]; when both refuse, the message log's reason.
pub fn open(data: &Path, options: MessageLogOptions) -> Result<(MessageLog, Rooms), OpenError> {
    std::thread::scope(|scope| {
        let rooms = scope.spawn(|| Rooms::open(data));
        let messages = MessageLog::open(data, options)?;
        let rooms = rooms.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok((messages, rooms))
    })
}
