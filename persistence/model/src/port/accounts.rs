//! The port of accounts.

use lynk_domain::{Family, Millis, Phone, Revocation, SessionId, UserId};

use crate::StoreError;
use crate::account::{
    Account, AccountChange, AuditEvent, AuditKind, Changed, Charge, Charged, FoundAccounts, NewSession,
    Registered, SearchMark, Session, Which,
};

/// Accounts, sessions, counters, audit. One writer; what a call returned for is on disk.
///
/// Errors of all calls: `Unavailable`, nothing was done; `Unknown`, it may have been done; `Corrupt`, stored data cannot
/// be read.
#[expect(async_fn_in_trait, reason = "called on one thread by concrete type; no Send bound is wanted")]
pub trait AccountStore {
    /// The account of a number.
    ///
    /// # Errors
    /// See the trait.
    async fn account_of_phone(&self, phone: &Phone) -> Result<Option<Account>, StoreError>;

    /// The account of a folded name ([`crate::fold_name`]); names that were given up find nothing.
    ///
    /// # Errors
    /// See the trait.
    async fn account_of_name(&self, folded: &str) -> Result<Option<Account>, StoreError>;

    /// Whether a folded name cannot be had at `wall`: an account has it, or gave it up less than
    /// [`NAME_RESERVED_MILLIS`](crate::NAME_RESERVED_MILLIS) ago.
    ///
    /// # Errors
    /// See the trait.
    async fn name_is_taken(&self, folded: &str, wall: Millis) -> Result<bool, StoreError>;

    /// A page of folded names in an order of the store's own, those that were given up among them. `after` is the last one of the page before,
    /// empty for the start.
    ///
    /// # Errors
    /// See the trait.
    async fn names(&self, after: &str, limit: u32) -> Result<Vec<String>, StoreError>;

    /// The accounts that exist of `users`, in their order.
    ///
    /// # Errors
    /// See the trait.
    async fn accounts(&self, users: &[UserId]) -> Result<Vec<Account>, StoreError>;

    /// Changes an account.
    ///
    /// # Errors
    /// See the trait.
    async fn change(
        &mut self,
        user: UserId,
        change: &AccountChange,
        wall: Millis,
    ) -> Result<Changed, StoreError>;

    /// Accounts that can be found by name and have, for each of `words` (of [`crate::search_words`]), a word that begins with it. They are
    /// looked for along the longest of the words, [`SEARCH_WORDS_MAX`](crate::account::SEARCH_WORDS_MAX) places at a time.
    ///
    /// # Errors
    /// See the trait.
    async fn search(
        &self,
        words: &[String],
        after: Option<&SearchMark>,
        limit: u32,
    ) -> Result<FoundAccounts, StoreError>;

    /// Notes the words of accounts that were made before there were words, at most `limit`; returns of how many.
    ///
    /// # Errors
    /// See the trait.
    async fn index_words(&mut self, limit: u32) -> Result<u32, StoreError>;

    /// Makes an account with its first session, in one step.
    ///
    /// # Errors
    /// See the trait. After `Unknown` the number tells: it has an account or not.
    async fn register(&mut self, account: &Account, session: &NewSession) -> Result<Registered, StoreError>;

    /// Removes an account with its sessions. Its name stays closed to others for
    /// [`NAME_RESERVED_MILLIS`](crate::NAME_RESERVED_MILLIS); its number is free at once.
    ///
    /// # Errors
    /// See the trait.
    async fn remove(&mut self, user: UserId, wall: Millis) -> Result<Vec<Revocation>, StoreError>;

    /// Opens a session of an account that exists; returns the sessions that made room for it.
    ///
    /// # Errors
    /// See the trait.
    async fn open_session(
        &mut self,
        user: UserId,
        session: &NewSession,
    ) -> Result<Vec<Revocation>, StoreError>;

    /// A session that was not revoked; it may be over.
    ///
    /// # Errors
    /// See the trait.
    async fn session(&self, session: SessionId) -> Result<Option<Session>, StoreError>;

    /// The sessions of an account that are neither revoked nor over, by time of opening.
    ///
    /// # Errors
    /// See the trait.
    async fn sessions(&self, user: UserId, wall: Millis) -> Result<Vec<Session>, StoreError>;

    /// Replaces a session's family if it is still of `generation`; `false` when it is not, or the session has ended.
    ///
    /// # Errors
    /// See the trait.
    async fn rotate(
        &mut self,
        session: SessionId,
        generation: u32,
        family: &Family,
        wall: Millis,
    ) -> Result<bool, StoreError>;

    /// Ends sessions of an account for a reason, which the audit log gets with each. Returns those that this call ended.
    ///
    /// # Errors
    /// See the trait.
    async fn revoke(
        &mut self,
        user: UserId,
        which: Which,
        reason: AuditKind,
        wall: Millis,
    ) -> Result<Vec<Revocation>, StoreError>;

    /// Sessions revoked at `since` or later, with the time of it: what a start must know.
    ///
    /// # Errors
    /// See the trait.
    async fn revoked_since(&self, since: Millis) -> Result<Vec<(Millis, Revocation)>, StoreError>;

    /// Counts all of `charges`, or none when one is at its limit.
    ///
    /// # Errors
    /// See the trait.
    async fn charge(&mut self, charges: &[Charge], wall: Millis) -> Result<Charged, StoreError>;

    /// The newest audit events of an account, newest first.
    ///
    /// # Errors
    /// See the trait.
    async fn audit(&self, user: UserId, limit: u32) -> Result<Vec<AuditEvent>, StoreError>;

    /// Accounts that were made and not marked published, oldest first, `limit` at most, with the time. One waits from the moment it is
    /// made, also when it was removed since.
    ///
    /// # Errors
    /// See the trait.
    async fn unpublished(&self, limit: u32) -> Result<Vec<(UserId, Millis)>, StoreError>;

    /// These wait no longer. Those that do not wait are fine.
    ///
    /// # Errors
    /// See the trait. After `Unknown` some may wait still: publish them again.
    async fn mark_published(&mut self, users: &[UserId]) -> Result<(), StoreError>;
}
