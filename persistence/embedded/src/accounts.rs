//! [`Accounts`]: people, their names, sessions and refresh families, counters of what was sent, and the audit log, in
//! SQLite.
//!
//! Thread: one thread owns the connection. Every call may block on the disk; a change waits for one `fdatasync` of the
//! write-ahead log (`synchronous=FULL`).
//!
//! Invariants: each call is one transaction; a folded name and a number belong to one account at most; a family turns only
//! from the generation that the caller saw. No secret is here: hashes of tokens, keyed hashes as the names of counters.
//! Limits: sessions per account by the caller; ended sessions are dropped after a day, audit events after 90, counters when
//! they have left their window; SQLite's cache is 4 MiB. What can fail: the disk, and a damaged file.

mod copy;
mod erasures;
mod factors;
mod read;
mod schema;
mod write;

use lynk_domain::{Family, Millis, Phone, Revocation, SessionId, UserId};
use lynk_model::StoreError;
use lynk_model::account::{
    Account, AccountChange, AuditEvent, AuditKind, Changed, Charge, Charged, FoundAccounts, NewSession,
    Registered, SearchMark, Session, Which,
};
use lynk_model::port::AccountStore;

pub use copy::AccountsSnapshot;

use crate::names;
use crate::table::{Table, TableFile};

/// Where the tables are: `<data>/accounts.sqlite`.
pub enum AccountsFile {}

impl TableFile for AccountsFile {
    const NAME: &'static str = "accounts.sqlite";
    const STEPS: &'static [&'static str] = schema::STEPS;
}

/// [`AccountStore`] on SQLite.
pub type Accounts = Table<AccountsFile>;

impl AccountStore for Accounts {
    async fn account_of_phone(&self, phone: &Phone) -> Result<Option<Account>, StoreError> {
        self.noted(read::account_of_phone(&self.connection, phone))
    }

    async fn account_of_name(&self, folded: &str) -> Result<Option<Account>, StoreError> {
        self.noted(read::account_of_name(&self.connection, folded))
    }

    async fn name_is_taken(&self, folded: &str, wall: Millis) -> Result<bool, StoreError> {
        self.noted(names::is_taken(&self.connection, folded, wall))
    }

    async fn names(&self, after: &str, limit: u32) -> Result<Vec<String>, StoreError> {
        self.noted(names::page(&self.connection, after, limit))
    }

    async fn accounts(&self, users: &[UserId]) -> Result<Vec<Account>, StoreError> {
        self.noted(read::accounts(&self.connection, users))
    }

    async fn change(
        &mut self,
        user: UserId,
        change: &AccountChange,
        wall: Millis,
    ) -> Result<Changed, StoreError> {
        let result = write::change(&mut self.connection, user, change, wall);
        self.noted(result)
    }

    async fn search(
        &self,
        words: &[String],
        after: Option<&SearchMark>,
        limit: u32,
    ) -> Result<FoundAccounts, StoreError> {
        self.noted(read::search(&self.connection, words, after, limit))
    }

    async fn index_words(&mut self, limit: u32) -> Result<u32, StoreError> {
        let result = write::index_words(&mut self.connection, limit);
        self.noted(result)
    }

    async fn register(&mut self, account: &Account, session: &NewSession) -> Result<Registered, StoreError> {
        let result = write::register(&mut self.connection, account, session);
        self.noted(result)
    }

    async fn remove(&mut self, user: UserId, wall: Millis) -> Result<Vec<Revocation>, StoreError> {
        let result = write::remove(&mut self.connection, user, wall);
        self.noted(result)
    }

    async fn open_session(
        &mut self,
        user: UserId,
        session: &NewSession,
    ) -> Result<Vec<Revocation>, StoreError> {
        let result = write::open_session(&mut self.connection, user, session);
        self.noted(result)
    }

    async fn session(&self, session: SessionId) -> Result<Option<Session>, StoreError> {
        self.noted(read::one_session(&self.connection, session))
    }

    async fn sessions(&self, user: UserId, wall: Millis) -> Result<Vec<Session>, StoreError> {
        self.noted(read::sessions(&self.connection, user, wall))
    }

    async fn rotate(
        &mut self,
        session: SessionId,
        generation: u32,
        family: &Family,
        wall: Millis,
    ) -> Result<bool, StoreError> {
        let result = write::rotate(&mut self.connection, session, generation, family, wall);
        self.noted(result)
    }

    async fn revoke(
        &mut self,
        user: UserId,
        which: Which,
        reason: AuditKind,
        wall: Millis,
    ) -> Result<Vec<Revocation>, StoreError> {
        let result = write::revoke(&mut self.connection, user, which, reason, wall);
        self.noted(result)
    }

    async fn revoked_since(&self, since: Millis) -> Result<Vec<(Millis, Revocation)>, StoreError> {
        self.noted(read::revoked_since(&self.connection, since))
    }

    async fn charge(&mut self, charges: &[Charge], wall: Millis) -> Result<Charged, StoreError> {
        let result = write::charge(&mut self.connection, charges, wall);
        self.noted(result)
    }

    async fn audit(&self, user: UserId, limit: u32) -> Result<Vec<AuditEvent>, StoreError> {
        self.noted(read::audit(&self.connection, user, limit))
    }

    async fn unpublished(&self, limit: u32) -> Result<Vec<(UserId, Millis)>, StoreError> {
        self.noted(read::unpublished(&self.connection, limit))
    }

    async fn mark_published(&mut self, users: &[UserId]) -> Result<(), StoreError> {
        let result = write::mark_published(&mut self.connection, users);
        self.noted(result)
    }
}
