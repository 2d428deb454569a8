//! [`Rooms`]: rooms, members, bans, mutes, pins, blocks, idempotency results and the outbox, in SQLite.
//!
//! Thread: one bridge thread. Clones share the connection, each keeps its own last failure. Every call may block on the disk, with the
//! connection locked; a change waits for one `fdatasync` of the write-ahead log (`synchronous=FULL`).
//!
//! Invariants: a metadata command is one transaction: rows, idempotency result, outbox row, name. Results of
//! keys are kept as long as keys are accepted, and as long as their event is not confirmed.
//! Limits: none of its own; SQLite's cache is 4 MiB. What can fail: the disk, and a damaged file.

mod across;
mod asking;
mod change;
mod copy;
mod links;
mod load;
mod moderation;
mod reports;
mod schema;
mod strangers;

use std::cell::RefCell;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lynk_domain::{Key, Millis, Ordinal, RoomId, Seq, UserId};
use lynk_model::port::{LastFault, RoomStore, StoreFault};
use lynk_model::{
    Act, DirectFrom, DiscoverQuery, Discovered, ListQuery, Listed, LoadedRoom, MODERATION_LIFE_MILLIS,
    Membership, MetaOutcome, MetaTransaction, OwnRequest, Report, ReportQuery, RoomWish, StoreError,
};
use rusqlite::Connection;

pub use across::RoomsBeside;
pub use copy::RoomsSnapshot;

use crate::{Fault, KEY_LIFE_MILLIS, OpenError, names, sqlite};

/// [`RoomStore`] on SQLite.
pub struct Rooms {
    connection: Arc<Mutex<Connection>>,
    key_life_millis: u64,
    moderation_life_millis: u64,
    fault: RefCell<Option<Fault>>,
}

impl Clone for Rooms {
    fn clone(&self) -> Self {
        Self {
            connection: Arc::clone(&self.connection),
            key_life_millis: self.key_life_millis,
            moderation_life_millis: self.moderation_life_millis,
            fault: RefCell::default(),
        }
    }
}

impl Rooms {
    /// Opens or creates `<data>/rooms.sqlite`.
    ///
    /// # Errors
    /// When the file is damaged, of a newer format, or the disk refuses.
    pub fn open(data: &Path) -> Result<Self, OpenError> {
        let path = data.join("rooms.sqlite");
        let mut connection = sqlite::open(&path, schema::STEPS, 0o644)?;
        asking::list_names(&mut connection).map_err(|fault| OpenError::Engine { path, fault })?;
        let connection = Arc::new(Mutex::new(connection));
        let (key_life_millis, moderation_life_millis) = (KEY_LIFE_MILLIS, MODERATION_LIFE_MILLIS);
        Ok(Self { connection, key_life_millis, moderation_life_millis, fault: RefCell::new(None) })
    }

    /// Keeps the results of keys for so long: at least as long as keys are accepted.
    #[must_use]
    pub fn with_key_life(self, millis: u64) -> Self {
        Self { key_life_millis: millis, ..self }
    }

    /// Keeps what moderators do for so long.
    #[must_use]
    pub fn with_moderation_life(self, millis: u64) -> Self {
        Self { moderation_life_millis: millis, ..self }
    }

    /// The last failure since it was asked for, if there was one.
    #[must_use]
    pub fn take_fault(&self) -> Option<Fault> {
        self.fault.take()
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic ends the process, so only a test can see the poison.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what `result` failed with.
    fn noted<T>(&self, result: Result<T, Fault>) -> Result<T, StoreError> {
        result.map_err(|fault| {
            let error = fault.store_error();
            self.fault.replace(Some(fault));
            error
        })
    }
}

impl LastFault for Rooms {
    fn last_fault(&self) -> Option<StoreFault> {
        self.take_fault().map(StoreFault::from)
    }
}

impl RoomStore for Rooms {
    async fn load(&self, room: RoomId) -> Result<LoadedRoom, StoreError> {
        self.noted(load::room(&self.connection(), room))
    }

    async fn apply(&mut self, tx: &MetaTransaction) -> Result<MetaOutcome, StoreError> {
        let result =
            change::apply(&mut self.connection(), tx, (self.key_life_millis, self.moderation_life_millis));
        self.noted(result)
    }

    async fn result_hash(&self, room: RoomId, actor: UserId, key: Key) -> Result<Option<u64>, StoreError> {
        self.noted(load::result_hash(&self.connection(), room, actor, key))
    }

    async fn confirm(&mut self, room: RoomId, version: u64, seq: Seq) -> Result<(), StoreError> {
        let result = change::confirm(&mut self.connection(), room, version, seq);
        self.noted(result)
    }

    async fn memberships(
        &self,
        user: UserId,
        after: RoomId,
        limit: u32,
    ) -> Result<Vec<Membership>, StoreError> {
        self.noted(load::memberships(&self.connection(), user, after, limit))
    }

    async fn find_name(&self, folded: &str) -> Result<Option<RoomId>, StoreError> {
        self.noted(load::name(&self.connection(), folded))
    }

    async fn name_is_taken(&self, folded: &str, wall: Millis) -> Result<bool, StoreError> {
        self.noted(names::is_taken(&self.connection(), folded, wall))
    }

    async fn names(&self, after: &str, limit: u32) -> Result<Vec<String>, StoreError> {
        self.noted(names::page(&self.connection(), after, limit))
    }

    async fn blocks(&self, user: UserId) -> Result<Vec<(UserId, UserId)>, StoreError> {
        self.noted(load::blocks(&self.connection(), user))
    }

    async fn apart(&self, user: UserId, others: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        self.noted(load::apart(&self.connection(), user, others))
    }

    async fn blocked(&self, by: UserId, after: UserId, limit: u32) -> Result<Vec<UserId>, StoreError> {
        self.noted(load::blocked(&self.connection(), by, after, limit))
    }

    async fn set_hidden(&mut self, user: UserId, hidden: bool) -> Result<(), StoreError> {
        let result = change::set_hidden(&self.connection(), user, hidden);
        self.noted(result)
    }

    async fn hidden(&self, users: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        self.noted(load::hidden(&self.connection(), users))
    }

    async fn awaits(&self, room: RoomId) -> Result<bool, StoreError> {
        self.noted(strangers::awaits(&self.connection(), room))
    }

    async fn set_direct_from(&mut self, user: UserId, from: DirectFrom) -> Result<(), StoreError> {
        let result = change::set_direct_from(&self.connection(), user, from);
        self.noted(result)
    }

    async fn direct_from(&self, user: UserId) -> Result<DirectFrom, StoreError> {
        self.noted(load::direct_from(&self.connection(), user))
    }

    async fn set_wish(&mut self, room: RoomId, user: UserId, wish: RoomWish) -> Result<bool, StoreError> {
        let result = change::set_wish(&self.connection(), room, user, wish);
        self.noted(result)
    }

    async fn clear(&mut self, room: RoomId, user: UserId, seq: Seq, n: Ordinal) -> Result<bool, StoreError> {
        let result = change::clear(&self.connection(), room, user, seq, n);
        self.noted(result)
    }

    async fn wrote(&mut self, room: RoomId, user: UserId) -> Result<(), StoreError> {
        let result = strangers::wrote(&self.connection(), room, user);
        self.noted(result)
    }

    async fn forget_requests(&mut self, user: UserId) -> Result<(), StoreError> {
        let result = strangers::forget(&mut self.connection(), user);
        self.noted(result)
    }

    async fn retained(
        &self,
        every: bool,
        after: RoomId,
        limit: u32,
    ) -> Result<Vec<(RoomId, u32)>, StoreError> {
        self.noted(load::retained(&self.connection(), every, after, limit))
    }

    async fn ending(&self, after: RoomId, limit: u32) -> Result<Vec<RoomId>, StoreError> {
        self.noted(load::ending(&self.connection(), after, limit))
    }

    async fn may_see(&self, watcher: UserId, user: UserId) -> Result<bool, StoreError> {
        self.noted(load::may_see(&self.connection(), watcher, user))
    }

    async fn list(&self, room: RoomId, query: &ListQuery) -> Result<Listed, StoreError> {
        self.noted(load::list(&self.connection(), room, query, self.moderation_life_millis))
    }

    async fn reports(&self, query: &ReportQuery) -> Result<Vec<Report>, StoreError> {
        self.noted(reports::all(&self.connection(), query))
    }

    async fn note(&mut self, room: RoomId, act: &Act) -> Result<(), StoreError> {
        let result = moderation::note(&mut self.connection(), room, act, self.moderation_life_millis);
        self.noted(result)
    }

    async fn discover(&self, query: &DiscoverQuery) -> Result<Vec<Discovered>, StoreError> {
        self.noted(asking::discover(&self.connection(), query))
    }

    async fn requests_of(
        &self,
        user: UserId,
        after: RoomId,
        wall: Millis,
        limit: u32,
    ) -> Result<Vec<OwnRequest>, StoreError> {
        self.noted(asking::own(&self.connection(), user, after, wall, limit))
    }
}
