//! The port of erasures. They are of the accounts' store.

use lynk_domain::{Millis, Revocation, RoomId, Seq, UserId};

use super::FactorStore;
use crate::StoreError;
use crate::account::Erasure;

/// Accounts that were erased. What a call returned for is on disk; each is one step beside those of other processes.
///
/// Errors of all calls: as those of [`AccountStore`](super::AccountStore).
#[expect(async_fn_in_trait, reason = "called on one thread by concrete type; no Send bound is wanted")]
pub trait ErasureStore: FactorStore {
    /// Removes an account, as [`AccountStore::remove`](super::AccountStore::remove) does, and notes in the same step that what its user said is to
    /// be taken back. `None` when there is no such account.
    ///
    /// # Errors
    /// See the trait.
    async fn erase(&mut self, user: UserId, wall: Millis) -> Result<Option<Vec<Revocation>>, StoreError>;

    /// The erasure of an account.
    ///
    /// # Errors
    /// See the trait.
    async fn erasure(&self, user: UserId) -> Result<Option<Erasure>, StoreError>;

    /// Erasures that are not done, oldest first, `limit` at most.
    ///
    /// # Errors
    /// See the trait.
    async fn erasures(&self, limit: u32) -> Result<Vec<Erasure>, StoreError>;

    /// Notes how far an erasure has come, and that it is done when `done` says when. It never goes back: a place before the noted one, in the order of rooms and
    /// seqs, changes nothing, and one that is done stays so.
    ///
    /// # Errors
    /// See the trait. After `Unknown` repeat it.
    async fn advance_erasure(
        &mut self,
        user: UserId,
        room: RoomId,
        seq: Seq,
        done: Option<Millis>,
    ) -> Result<(), StoreError>;

    /// Forgets names that were given up for longer than they stay closed, `limit` at most; how many.
    ///
    /// # Errors
    /// See the trait.
    async fn forget_names(&mut self, wall: Millis, limit: u32) -> Result<u32, StoreError>;
}
