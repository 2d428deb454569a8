//! [`PostgresRooms`]: rooms, members, bans, mutes, pins, blocks, idempotency results and the outbox.
//!
//! Thread: the bridge's; see the crate. Invariants: a metadata command is one transaction: rows, idempotency result, outbox row, name. Commands
//! of one room come one after the other in all processes, under the room's lock, so versions have no gap and a key is applied once; the
//! locks of the users that it concerns keep the limits and the blocks exact, that of the name keeps the reservation. Results of keys are kept
//! as long as keys are accepted, and as long as their event is not confirmed.
//! Limits: see the crate. What can fail: see [`Fault`].

mod asking;
mod change;
mod copy;
mod links;
mod load;
mod moderation;
mod reports;
mod strangers;

pub use copy::RoomsSnapshot;
pub(crate) use load::wish;
pub(crate) use strangers::{OF_ROOM, request};

use lynk_domain::{Key, Millis, Ordinal, RoomId, Seq, UserId};
use lynk_model::port::{LastFault, RoomStore, StoreFault};
use lynk_model::{
    Act, DirectFrom, DiscoverQuery, Discovered, ListQuery, Listed, LoadedRoom, MODERATION_LIFE_MILLIS,
    Membership, MetaOutcome, MetaTransaction, OwnRequest, Report, ReportQuery, RoomWish, StoreError,
};

use crate::database::Database;
use crate::{Connect, Fault, OpenError};

/// How long results of keys are kept unless told otherwise: as the embedded store does, 7 days in which keys are accepted, the minute by which
/// they may lie ahead, and an hour for clocks.
const KEY_LIFE_MILLIS: u64 = (7 * 24 * 60 + 1 + 60) * 60 * 1_000;

/// [`RoomStore`] on PostgreSQL. Clones share the connections; each keeps its own last failure.
#[derive(Clone)]
pub struct PostgresRooms {
    database: Database,
    key_life_millis: u64,
    moderation_life_millis: u64,
}

impl PostgresRooms {
    /// Sets the store up; connects to nothing yet, so that a server starts while its database is away.
    ///
    /// # Errors
    /// A file or a setting that cannot be used.
    pub fn new(connect: &Connect) -> Result<Self, OpenError> {
        Ok(Self {
            database: Database::new(connect)?,
            key_life_millis: KEY_LIFE_MILLIS,
            moderation_life_millis: MODERATION_LIFE_MILLIS,
        })
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

    /// Whether the database can be reached with this identity, and its schema is one for this program.
    ///
    /// # Errors
    /// Why not.
    pub async fn check(&self) -> Result<(), Fault> {
        self.database.check().await
    }

    /// Rooms by id, after this one, `limit` at most; conversations of two as well.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn rooms_after(&self, after: RoomId, limit: u32) -> Result<Vec<RoomId>, StoreError> {
        self.database.noted(load::rooms_after(&self.database, after, limit).await)
    }

    /// The last failure since it was asked for, if there was one.
    #[must_use]
    pub fn take_fault(&self) -> Option<Fault> {
        self.database.take_fault()
    }
}

impl LastFault for PostgresRooms {
    fn last_fault(&self) -> Option<StoreFault> {
        self.take_fault().map(StoreFault::from)
    }
}

impl RoomStore for PostgresRooms {
    async fn load(&self, room: RoomId) -> Result<LoadedRoom, StoreError> {
        self.database.noted(load::room(&self.database, room).await)
    }

    async fn apply(&mut self, tx: &MetaTransaction) -> Result<MetaOutcome, StoreError> {
        self.database.noted(
            change::apply(&self.database, tx, (self.key_life_millis, self.moderation_life_millis)).await,
        )
    }

    async fn result_hash(&self, room: RoomId, actor: UserId, key: Key) -> Result<Option<u64>, StoreError> {
        self.database.noted(load::result_hash(&self.database, room, actor, key).await)
    }

    async fn confirm(&mut self, room: RoomId, version: u64, seq: Seq) -> Result<(), StoreError> {
        self.database.noted(change::confirm(&self.database, room, version, seq).await)
    }

    async fn memberships(
        &self,
        user: UserId,
        after: RoomId,
        limit: u32,
    ) -> Result<Vec<Membership>, StoreError> {
        self.database.noted(load::memberships(&self.database, user, after, limit).await)
    }

    async fn find_name(&self, folded: &str) -> Result<Option<RoomId>, StoreError> {
        self.database.noted(load::name(&self.database, folded).await)
    }

    async fn name_is_taken(&self, folded: &str, wall: Millis) -> Result<bool, StoreError> {
        self.database.noted(load::name_is_taken(&self.database, folded, wall).await)
    }

    async fn names(&self, after: &str, limit: u32) -> Result<Vec<String>, StoreError> {
        self.database.noted(load::names(&self.database, after, limit).await)
    }

    async fn blocks(&self, user: UserId) -> Result<Vec<(UserId, UserId)>, StoreError> {
        self.database.noted(load::blocks(&self.database, user).await)
    }

    async fn apart(&self, user: UserId, others: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        self.database.noted(load::apart(&self.database, user, others).await)
    }

    async fn blocked(&self, by: UserId, after: UserId, limit: u32) -> Result<Vec<UserId>, StoreError> {
        self.database.noted(load::blocked(&self.database, by, after, limit).await)
    }

    async fn set_hidden(&mut self, user: UserId, hidden: bool) -> Result<(), StoreError> {
        self.database.noted(change::set_hidden(&self.database, user, hidden).await)
    }

    async fn hidden(&self, users: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        self.database.noted(load::hidden(&self.database, users).await)
    }

    async fn awaits(&self, room: RoomId) -> Result<bool, StoreError> {
        self.database.noted(strangers::awaits(&self.database, room).await)
    }

    async fn set_direct_from(&mut self, user: UserId, from: DirectFrom) -> Result<(), StoreError> {
        self.database.noted(change::set_direct_from(&self.database, user, from).await)
    }

    async fn direct_from(&self, user: UserId) -> Result<DirectFrom, StoreError> {
        self.database.noted(load::direct_from(&self.database, user).await)
    }

    async fn set_wish(&mut self, room: RoomId, user: UserId, wish: RoomWish) -> Result<bool, StoreError> {
        self.database.noted(change::set_wish(&self.database, room, user, wish).await)
    }

    async fn clear(&mut self, room: RoomId, user: UserId, seq: Seq, n: Ordinal) -> Result<bool, StoreError> {
        self.database.noted(change::clear(&self.database, room, user, seq, n).await)
    }

    async fn wrote(&mut self, room: RoomId, user: UserId) -> Result<(), StoreError> {
        self.database.noted(strangers::wrote(&self.database, room, user).await)
    }

    async fn forget_requests(&mut self, user: UserId) -> Result<(), StoreError> {
        self.database.noted(strangers::forget(&self.database, user).await)
    }

    async fn retained(
        &self,
        every: bool,
        after: RoomId,
        limit: u32,
    ) -> Result<Vec<(RoomId, u32)>, StoreError> {
        self.database.noted(load::retained(&self.database, every, after, limit).await)
    }

    async fn ending(&self, after: RoomId, limit: u32) -> Result<Vec<RoomId>, StoreError> {
        self.database.noted(load::ending(&self.database, after, limit).await)
    }

    async fn may_see(&self, watcher: UserId, user: UserId) -> Result<bool, StoreError> {
        self.database.noted(load::may_see(&self.database, watcher, user).await)
    }

    async fn list(&self, room: RoomId, query: &ListQuery) -> Result<Listed, StoreError> {
        self.database.noted(load::list(&self.database, room, query, self.moderation_life_millis).await)
    }

    async fn reports(&self, query: &ReportQuery) -> Result<Vec<Report>, StoreError> {
        self.database.noted(reports::all(&self.database, query).await)
    }

    async fn note(&mut self, room: RoomId, act: &Act) -> Result<(), StoreError> {
        let life = self.moderation_life_millis;
        self.database.noted(moderation::note(&self.database, room, act, life).await)
    }

    async fn discover(&self, query: &DiscoverQuery) -> Result<Vec<Discovered>, StoreError> {
        self.database.noted(asking::discover(&self.database, query).await)
    }

    async fn requests_of(
        &self,
        user: UserId,
        after: RoomId,
        wall: Millis,
        limit: u32,
    ) -> Result<Vec<OwnRequest>, StoreError> {
        self.database.noted(asking::own(&self.database, user, after, wall, limit).await)
    }
}
