//! [`PostgresNotify`]: devices, what waits to be pushed, pushes, and how messages were decided; and what notifications ask of rooms.
//!
//! Thread: the bridge's; see the crate. Invariants: each call is one transaction; a token belongs to one device; a batch of messages is taken in
//! once and what waits is claimed once, also by several processes. Its role reads members and blocks, and nothing else of rooms.
//! Limits: those of the port. What can fail: see [`Fault`](crate::Fault).

mod copy;
mod read;
mod write;

pub use copy::NotifySnapshot;

use lynk_domain::{Millis, RoomId, Seq, SessionId, UserId};
use lynk_model::StoreError;
use lynk_model::notify::{
    Device, Known, MemberSince, Pending, Push, PushId, RoomAudience, Taking, Took, Turn, Turned,
};
use lynk_model::port::NotifyStore;

use crate::store::Store;

/// Its place in the types.
pub enum NotifyPort {}

/// [`NotifyStore`] on PostgreSQL.
pub type PostgresNotify = Store<NotifyPort>;

impl PostgresNotify {
    /// See [`Audience::room`](lynk_model::port::Audience::room).
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    pub async fn audience(
        &self,
        room: RoomId,
        members_max: u32,
        named: &[UserId],
    ) -> Result<Option<RoomAudience>, StoreError> {
        self.database.noted(read::audience(&self.database, room, members_max, named).await)
    }

    /// Since when a member is one: the seq of joining; `None` for who is no member.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    pub async fn joined(&self, room: RoomId, user: UserId) -> Result<Option<MemberSince>, StoreError> {
        self.database.noted(read::joined(&self.database, room, user).await)
    }

    /// See [`Audience::blocked`](lynk_model::port::Audience::blocked).
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    pub async fn blocked(&self, user: UserId) -> Result<Vec<UserId>, StoreError> {
        self.database.noted(read::blocked(&self.database, user).await)
    }
}

impl NotifyStore for PostgresNotify {
    async fn put_device(&mut self, device: &Device) -> Result<u32, StoreError> {
        self.database.noted(write::put_device(&self.database, device).await)
    }

    async fn remove_devices(&mut self, sessions: &[SessionId]) -> Result<u32, StoreError> {
        self.database.noted(write::remove_devices(&self.database, sessions).await)
    }

    async fn devices(&self, user: UserId) -> Result<Vec<Device>, StoreError> {
        self.database.noted(read::devices(&self.database, user).await)
    }

    async fn any_device(&self) -> Result<bool, StoreError> {
        self.database.noted(read::any_device(&self.database).await)
    }

    async fn with_devices(&self, users: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        self.database.noted(read::with_devices(&self.database, users).await)
    }

    async fn taken(&self, rooms: &[RoomId]) -> Result<Vec<Seq>, StoreError> {
        self.database.noted(read::taken(&self.database, rooms).await)
    }

    async fn take(&mut self, taking: &Taking, now: Millis) -> Result<Took, StoreError> {
        self.database.noted(write::take(&self.database, taking, now).await)
    }

    async fn due(&self, now: Millis, limit: u32) -> Result<Vec<Pending>, StoreError> {
        self.database.noted(read::due(&self.database, now, limit).await)
    }

    async fn retries(&self, now: Millis, limit: u32) -> Result<Vec<Push>, StoreError> {
        self.database.noted(read::retries(&self.database, now, limit).await)
    }

    async fn next_due(&self) -> Result<Option<Millis>, StoreError> {
        self.database.noted(read::next_due(&self.database).await)
    }

    async fn turn(&mut self, turn: &Turn, now: Millis) -> Result<Turned, StoreError> {
        self.database.noted(write::turn(&self.database, turn, now).await)
    }

    async fn abandon(&mut self, before: Millis, now: Millis) -> Result<Vec<Push>, StoreError> {
        self.database.noted(write::abandon(&self.database, before, now).await)
    }

    async fn rooms_of(&self, user: UserId, limit: u32) -> Result<Vec<RoomId>, StoreError> {
        self.database.noted(read::rooms_of(&self.database, user, limit).await)
    }

    async fn why(&self, user: UserId, room: RoomId, seq: Seq) -> Result<Known, StoreError> {
        self.database.noted(read::why(&self.database, user, room, seq).await)
    }

    async fn dead(&self, untold: bool, limit: u32) -> Result<Vec<Push>, StoreError> {
        self.database.noted(read::dead(&self.database, untold, limit).await)
    }

    async fn mark_told(&mut self, ids: &[PushId]) -> Result<(), StoreError> {
        self.database.noted(write::mark_told(&self.database, ids).await)
    }

    async fn revive(&mut self, ids: &[PushId], now: Millis) -> Result<u32, StoreError> {
        self.database.noted(write::revive(&self.database, ids, now).await)
    }

    async fn prune(&mut self, before: Millis, rows_max: u64) -> Result<u64, StoreError> {
        self.database.noted(write::prune(&self.database, before, rows_max).await)
    }

    async fn erase(&mut self, user: UserId) -> Result<(), StoreError> {
        self.database.noted(write::erase(&self.database, user).await)
    }
}
