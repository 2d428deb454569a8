//! The ports of notifications: what they keep, what they ask of rooms, and who brings them.

use lynk_domain::{Millis, RoomId, Seq, SessionId, UserId};

use crate::StoreError;
use crate::notify::{
    Device, Known, Pending, Push, PushCause, PushId, RoomAudience, RoomUnread, Taking, Took, Turn, Turned,
};

/// Devices, what waits, pushes and decisions. What a call returned for is on disk.
///
/// Errors of all calls: `Unavailable`, nothing was done; `Unknown`, it may have been done; `Corrupt`, stored data cannot be read.
#[expect(async_fn_in_trait, reason = "called on one thread by concrete type; no Send bound is wanted")]
pub trait NotifyStore {
    /// Puts a device in place of the one of its session, and takes its token from every other device. The account's devices beyond
    /// [`DEVICES_PER_ACCOUNT_MAX`](crate::notify::DEVICES_PER_ACCOUNT_MAX) go, those that were registered first. Returns how many went.
    ///
    /// # Errors
    /// See the trait.
    async fn put_device(&mut self, device: &Device) -> Result<u32, StoreError>;

    /// Removes the devices of sessions that ended. Returns how many there were.
    ///
    /// # Errors
    /// See the trait.
    async fn remove_devices(&mut self, sessions: &[SessionId]) -> Result<u32, StoreError>;

    /// The devices of an account, by time of registration.
    ///
    /// # Errors
    /// See the trait.
    async fn devices(&self, user: UserId) -> Result<Vec<Device>, StoreError>;

    /// Whether anybody has a device.
    ///
    /// # Errors
    /// See the trait.
    async fn any_device(&self) -> Result<bool, StoreError>;

    /// Those of `users` who have a device, ascending.
    ///
    /// # Errors
    /// See the trait.
    async fn with_devices(&self, users: &[UserId]) -> Result<Vec<UserId>, StoreError>;

    /// The last seq of each room that was taken in, in their order; 0 for none.
    ///
    /// # Errors
    /// See the trait.
    async fn taken(&self, rooms: &[RoomId]) -> Result<Vec<Seq>, StoreError>;

    /// Takes a batch in: who is to be told, how it was decided, and that it was, in one step. What waits already grows. Decisions that go on
    /// as the last one of a user and room become one with it.
    ///
    /// # Errors
    /// See the trait. After `Unknown`, [`Self::taken`] tells.
    async fn take(&mut self, taking: &Taking, now: Millis) -> Result<Took, StoreError>;

    /// What waits and is due, oldest first, `limit` at most.
    ///
    /// # Errors
    /// See the trait.
    async fn due(&self, now: Millis, limit: u32) -> Result<Vec<Pending>, StoreError>;

    /// Pushes that are to be tried again and are due, oldest first, `limit` at most.
    ///
    /// # Errors
    /// See the trait.
    async fn retries(&self, now: Millis, limit: u32) -> Result<Vec<Push>, StoreError>;

    /// When the next of both is due; `None` when nothing waits.
    ///
    /// # Errors
    /// See the trait.
    async fn next_due(&self) -> Result<Option<Millis>, StoreError>;

    /// Notes how attempts ended, and claims the next ones. A push that is not claimed does not end; what is not as it was read is not
    /// claimed. A claim whose pushes are there was made by an earlier call that did not hear of it, and counts as made.
    ///
    /// # Errors
    /// See the trait. After `Unknown` repeat it.
    async fn turn(&mut self, turn: &Turn, now: Millis) -> Result<Turned, StoreError>;

    /// Pushes that were claimed before this time become [`PushState::Unknown`](crate::notify::PushState::Unknown): their process has died.
    /// Returns them.
    ///
    /// # Errors
    /// See the trait.
    async fn abandon(&mut self, before: Millis, now: Millis) -> Result<Vec<Push>, StoreError>;

    /// Rooms for which the user was pushed or is to be, `limit` at most, those of the latest pushes.
    ///
    /// # Errors
    /// See the trait.
    async fn rooms_of(&self, user: UserId, limit: u32) -> Result<Vec<RoomId>, StoreError>;

    /// Everything about a message and a user; 100 pushes at most.
    ///
    /// # Errors
    /// See the trait.
    async fn why(&self, user: UserId, room: RoomId, seq: Seq) -> Result<Known, StoreError>;

    /// Pushes that were given up, newest first, `limit` at most; those whose end is not [told](Self::mark_told) alone when `untold`, and then
    /// oldest first.
    ///
    /// # Errors
    /// See the trait.
    async fn dead(&self, untold: bool, limit: u32) -> Result<Vec<Push>, StoreError>;

    /// The end of these pushes is published.
    ///
    /// # Errors
    /// See the trait.
    async fn mark_told(&mut self, ids: &[PushId]) -> Result<(), StoreError>;

    /// Pushes that were given up are tried again, at once and as if for the first time. Returns how many of them there are.
    ///
    /// # Errors
    /// See the trait.
    async fn revive(&mut self, ids: &[PushId], now: Millis) -> Result<u32, StoreError>;

    /// Forgets what was last changed before `before`: decisions, and pushes that are over; and the oldest of each beyond `rows_max`. A call
    /// forgets a bounded number. Rooms and windows are forgotten with them. Returns how many rows went.
    ///
    /// # Errors
    /// See the trait.
    async fn prune(&mut self, before: Millis, rows_max: u64) -> Result<u64, StoreError>;

    /// Forgets everything about a user.
    ///
    /// # Errors
    /// See the trait.
    async fn erase(&mut self, user: UserId) -> Result<(), StoreError>;
}

/// What notifications ask of rooms, messages and connections. Reads only.
///
/// Errors of all calls: `Unavailable` or `Corrupt`.
#[expect(async_fn_in_trait, reason = "called on one thread by concrete type; no Send bound is wanted")]
pub trait Audience {
    /// A room with all its members, or with more than `members_max` with those of them that are in `named` (ascending), and those who have
    /// set that they want everything. `None` when there is no such room.
    ///
    /// # Errors
    /// See the trait.
    async fn room(
        &mut self,
        room: RoomId,
        members_max: u32,
        named: &[UserId],
    ) -> Result<Option<RoomAudience>, StoreError>;

    /// Those on the other side of a block with the user, whoever of the two made it, ascending.
    ///
    /// # Errors
    /// See the trait.
    async fn blocked(&mut self, user: UserId) -> Result<Vec<UserId>, StoreError>;

    /// What a user has not read of a room.
    ///
    /// # Errors
    /// See the trait.
    async fn unread(&mut self, user: UserId, room: RoomId) -> Result<RoomUnread, StoreError>;

    /// Which of `users` have a device that is connected, in their order.
    ///
    /// # Errors
    /// See the trait.
    async fn active(&mut self, users: &[UserId]) -> Result<Vec<bool>, StoreError>;
}

/// What a device is told. Ids and numbers, no text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PushNote {
    /// The push.
    pub push: Push,
    /// To whom.
    pub device: Device,
    /// Unread messages of the user: the number at the app's icon.
    pub badge: u64,
    /// Of them, those of this room.
    pub unread: u64,
    /// Whether it is about a 1:1 that waits for the user to accept it.
    pub request: bool,
    /// Whether it is a trial that the user asked for; room and message are nil then.
    pub trial: bool,
}

/// What a provider said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delivered {
    /// It took the push.
    Taken,
    /// It does not know the token any more.
    Unregistered,
    /// It will never take this push; the token may be good.
    Refused(PushCause),
    /// It may take it later.
    Failed {
        /// Why.
        cause: PushCause,
        /// Not before that many milliseconds; 0 when it did not say.
        retry_after_millis: u64,
    },
}

/// Brings pushes to devices.
#[expect(async_fn_in_trait, reason = "called on one thread by concrete type; no Send bound is wanted")]
pub trait PushSender {
    /// Makes ready for so many pushes at once: connections stand, credentials are there. So little time lies between a claim and its request.
    ///
    /// # Errors
    /// Why nothing can be sent now.
    async fn ready(&self, count: usize) -> Result<(), PushCause>;

    /// Brings one.
    async fn send(&self, note: &PushNote) -> Delivered;
}
