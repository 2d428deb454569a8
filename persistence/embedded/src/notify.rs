//! [`Notifications`]: devices, what waits to be pushed, pushes, and how messages were decided, in SQLite.
//!
//! Thread: one thread owns the connection. Every call may block on the disk; a change waits for one `fdatasync` of the write-ahead log
//! (`synchronous=FULL`).
//!
//! Invariants: each call is one transaction; a token belongs to one device; a batch of messages is taken in once, and what waits is claimed
//! once. Tokens are in the file, which only its owner may read (mode 0600): they are of no use without the provider's credentials.
//! Limits: those of the port; SQLite's cache is 4 MiB. What can fail: the disk, and a damaged file.

mod copy;
mod read;
mod schema;
mod write;

use lynk_domain::{Millis, RoomId, Seq, SessionId, UserId};
use lynk_model::StoreError;
use lynk_model::notify::{Device, Known, Pending, Push, PushId, Taking, Took, Turn, Turned};
use lynk_model::port::NotifyStore;

pub use copy::NotificationsSnapshot;

use crate::table::{Table, TableFile};

/// Where the tables are: `<data>/notify.sqlite`.
pub enum NotifyFile {}

impl TableFile for NotifyFile {
    const NAME: &'static str = "notify.sqlite";
    const STEPS: &'static [&'static str] = schema::STEPS;
}

/// [`NotifyStore`] on SQLite.
pub type Notifications = Table<NotifyFile>;

impl NotifyStore for Notifications {
    async fn put_device(&mut self, device: &Device) -> Result<u32, StoreError> {
        let result = write::put_device(&mut self.connection, device);
        self.noted(result)
    }

    async fn remove_devices(&mut self, sessions: &[SessionId]) -> Result<u32, StoreError> {
        let result = write::remove_devices(&mut self.connection, sessions);
        self.noted(result)
    }

    async fn devices(&self, user: UserId) -> Result<Vec<Device>, StoreError> {
        self.noted(read::devices(&self.connection, user))
    }

    async fn any_device(&self) -> Result<bool, StoreError> {
        self.noted(read::any_device(&self.connection))
    }

    async fn with_devices(&self, users: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        self.noted(read::with_devices(&self.connection, users))
    }

    async fn taken(&self, rooms: &[RoomId]) -> Result<Vec<Seq>, StoreError> {
        self.noted(read::taken(&self.connection, rooms))
    }

    async fn take(&mut self, taking: &Taking, now: Millis) -> Result<Took, StoreError> {
        let result = write::take(&mut self.connection, taking, now);
        self.noted(result)
    }

    async fn due(&self, now: Millis, limit: u32) -> Result<Vec<Pending>, StoreError> {
        self.noted(read::due(&self.connection, now, limit))
    }

    async fn retries(&self, now: Millis, limit: u32) -> Result<Vec<Push>, StoreError> {
        self.noted(read::retries(&self.connection, now, limit))
    }

    async fn next_due(&self) -> Result<Option<Millis>, StoreError> {
        self.noted(read::next_due(&self.connection))
    }

    async fn turn(&mut self, turn: &Turn, now: Millis) -> Result<Turned, StoreError> {
        let result = write::turn(&mut self.connection, turn, now);
        self.noted(result)
    }

    async fn abandon(&mut self, before: Millis, now: Millis) -> Result<Vec<Push>, StoreError> {
        let result = write::abandon(&mut self.connection, before, now);
        self.noted(result)
    }

    async fn rooms_of(&self, user: UserId, limit: u32) -> Result<Vec<RoomId>, StoreError> {
        self.noted(read::rooms_of(&self.connection, user, limit))
    }

    async fn why(&self, user: UserId, room: RoomId, seq: Seq) -> Result<Known, StoreError> {
        self.noted(read::why(&self.connection, user, room, seq))
    }

    async fn dead(&self, untold: bool, limit: u32) -> Result<Vec<Push>, StoreError> {
        self.noted(read::dead(&self.connection, untold, limit))
    }

    async fn mark_told(&mut self, ids: &[PushId]) -> Result<(), StoreError> {
        let result = write::mark_told(&mut self.connection, ids);
        self.noted(result)
    }

    async fn revive(&mut self, ids: &[PushId], now: Millis) -> Result<u32, StoreError> {
        let result = write::revive(&mut self.connection, ids, now);
        self.noted(result)
    }

    async fn prune(&mut self, before: Millis, rows_max: u64) -> Result<u64, StoreError> {
        let result = write::prune(&mut self.connection, before, rows_max);
        self.noted(result)
    }

    async fn erase(&mut self, user: UserId) -> Result<(), StoreError> {
        let result = write::erase(&mut self.connection, user);
        self.noted(result)
    }
}
