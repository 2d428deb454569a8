//! The outbox of accounts, as the publishing thread reads it.
//!
//! Thread: the publishing bridge's; calls may block. Invariants: see [`AccountStore::unpublished`].

use lynk_domain::{Millis, UserId};
use lynk_model::StoreError;
use lynk_model::port::{AccountStore, ready};

/// Accounts whose `user.created` waits.
pub trait Outbox: Send {
    /// See [`AccountStore::unpublished`].
    ///
    /// # Errors
    /// The store's.
    fn unpublished(&mut self, limit: u32) -> Result<Vec<(UserId, Millis)>, StoreError>;

    /// See [`AccountStore::mark_published`].
    ///
    /// # Errors
    /// The store's.
    fn mark_published(&mut self, users: &[UserId]) -> Result<(), StoreError>;
}

/// That of a store that does its work when it is asked. A store that waits needs a runtime round it.
#[derive(Debug)]
pub struct AccountOutbox<S>(pub S);

impl<S: AccountStore + Send> Outbox for AccountOutbox<S> {
    fn unpublished(&mut self, limit: u32) -> Result<Vec<(UserId, Millis)>, StoreError> {
        ready(self.0.unpublished(limit))
    }

    fn mark_published(&mut self, users: &[UserId]) -> Result<(), StoreError> {
        ready(self.0.mark_published(users))
    }
}
