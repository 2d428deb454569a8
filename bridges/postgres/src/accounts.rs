//! [`PostgresAccounts`]: people, their names, sessions and refresh families, counters of what was sent, and the audit log.
//!
//! Thread: the bridge's; see the crate. Invariants: each call is one transaction; a folded name and a number belong to one account at most; a
//! family turns only from the generation that the caller saw; charges count together under the locks of their keys. No secret is here:
//! hashes of tokens, keyed hashes as the names of counters. The audit log only grows, but for what is too old: the role may not change it.
//! Limits: sessions per account by the caller; ended sessions are dropped after a day, audit events after 90, counters when they have left their
//! window. What can fail: see [`Fault`](crate::Fault).

mod copy;
mod erasures;
mod factors;
mod read;
mod write;

pub use copy::AccountsSnapshot;

use lynk_domain::{Family, Millis, Phone, Revocation, SessionId, UserId};
use lynk_model::StoreError;
use lynk_model::account::{
    Account, AccountChange, AuditEvent, AuditKind, Changed, Charge, Charged, FoundAccounts, NewSession,
    Registered, SearchMark, Session, Which,
};
use lynk_model::port::AccountStore;

use crate::store::Store;

/// Its place in the types.
pub enum AccountsPort {}

/// [`AccountStore`] on PostgreSQL.
pub type PostgresAccounts = Store<AccountsPort>;

impl AccountStore for PostgresAccounts {
    async fn account_of_phone(&self, phone: &Phone) -> Result<Option<Account>, StoreError> {
        self.database.noted(read::account_of_phone(&self.database, phone).await)
    }

    async fn account_of_name(&self, folded: &str) -> Result<Option<Account>, StoreError> {
        self.database.noted(read::account_of_name(&self.database, folded).await)
    }

    async fn name_is_taken(&self, folded: &str, wall: Millis) -> Result<bool, StoreError> {
        self.database.noted(read::name_is_taken(&self.database, folded, wall).await)
    }

    async fn names(&self, after: &str, limit: u32) -> Result<Vec<String>, StoreError> {
        self.database.noted(read::names(&self.database, after, limit).await)
    }

    async fn accounts(&self, users: &[UserId]) -> Result<Vec<Account>, StoreError> {
        self.database.noted(read::accounts(&self.database, users).await)
    }

    async fn change(
        &mut self,
        user: UserId,
        change: &AccountChange,
        wall: Millis,
    ) -> Result<Changed, StoreError> {
        self.database.noted(write::change(&self.database, user, change, wall).await)
    }

    async fn search(
        &self,
        words: &[String],
        after: Option<&SearchMark>,
        limit: u32,
    ) -> Result<FoundAccounts, StoreError> {
        self.database.noted(read::search(&self.database, words, after, limit).await)
    }

    async fn index_words(&mut self, limit: u32) -> Result<u32, StoreError> {
        self.database.noted(write::index_words(&self.database, limit).await)
    }

    async fn register(&mut self, account: &Account, session: &NewSession) -> Result<Registered, StoreError> {
        self.database.noted(write::register(&self.database, account, session).await)
    }

    async fn remove(&mut self, user: UserId, wall: Millis) -> Result<Vec<Revocation>, StoreError> {
        self.database.noted(write::remove(&self.database, user, wall).await)
    }

    async fn open_session(
        &mut self,
        user: UserId,
        session: &NewSession,
    ) -> Result<Vec<Revocation>, StoreError> {
        self.database.noted(write::open_session(&self.database, user, session).await)
    }

    async fn session(&self, session: SessionId) -> Result<Option<Session>, StoreError> {
        self.database.noted(read::one_session(&self.database, session).await)
    }

    async fn sessions(&self, user: UserId, wall: Millis) -> Result<Vec<Session>, StoreError> {
        self.database.noted(read::sessions(&self.database, user, wall).await)
    }

    async fn rotate(
        &mut self,
        session: SessionId,
        generation: u32,
        family: &Family,
        wall: Millis,
    ) -> Result<bool, StoreError> {
        self.database.noted(write::rotate(&self.database, session, generation, family, wall).await)
    }

    async fn revoke(
        &mut self,
        user: UserId,
        which: Which,
        reason: AuditKind,
        wall: Millis,
    ) -> Result<Vec<Revocation>, StoreError> {
        self.database.noted(write::revoke(&self.database, user, which, reason, wall).await)
    }

    async fn revoked_since(&self, since: Millis) -> Result<Vec<(Millis, Revocation)>, StoreError> {
        self.database.noted(read::revoked_since(&self.database, since).await)
    }

    async fn charge(&mut self, charges: &[Charge], wall: Millis) -> Result<Charged, StoreError> {
        self.database.noted(write::charge(&self.database, charges, wall).await)
    }

    async fn audit(&self, user: UserId, limit: u32) -> Result<Vec<AuditEvent>, StoreError> {
        self.database.noted(read::audit(&self.database, user, limit).await)
    }

    async fn unpublished(&self, limit: u32) -> Result<Vec<(UserId, Millis)>, StoreError> {
        self.database.noted(read::unpublished(&self.database, limit).await)
    }

    async fn mark_published(&mut self, users: &[UserId]) -> Result<(), StoreError> {
        self.database.noted(write::mark_published(&self.database, users).await)
    }
}
