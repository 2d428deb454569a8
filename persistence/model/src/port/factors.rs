//! The port of second factors, and of accounts that an operator suspended. They are of the accounts' store.

use lynk_domain::{Millis, Revocation, SessionId, UserId};

use super::AccountStore;
use crate::StoreError;
use crate::account::{AuditEvent, Enrolled, Factor};

/// Second factors, recovery codes, suspensions. What a call returned for is on disk; each is one step beside those of other
/// processes. What is noted of a change in the audit log names the session that made it.
///
/// Errors of all calls: as those of [`AccountStore`].
#[expect(async_fn_in_trait, reason = "called on one thread by concrete type; no Send bound is wanted")]
pub trait FactorStore: AccountStore {
    /// The app of an account, confirmed or waiting.
    ///
    /// # Errors
    /// See the trait.
    async fn factor(&self, user: UserId) -> Result<Option<Factor>, StoreError>;

    /// Keeps a secret that waits for its first code.
    ///
    /// # Errors
    /// See the trait.
    async fn enrol(&mut self, user: UserId, sealed: &[u8], wall: Millis) -> Result<Enrolled, StoreError>;

    /// Confirms the secret that `seen` is, by a code of `step`, and replaces the recovery codes by those with these proofs;
    /// `false` when it is another one, or confirmed, by now.
    ///
    /// # Errors
    /// See the trait. After `Unknown` it may be confirmed: begin again.
    async fn confirm(
        &mut self,
        seen: &Factor,
        step: u64,
        proofs: &[[u8; 32]],
        by: SessionId,
        wall: Millis,
    ) -> Result<bool, StoreError>;

    /// Notes that a code of `step` was accepted, if the app is still as `seen`, and puts `sealed` in place of the sealed
    /// secret, if there is one; `false` when somebody else was faster.
    ///
    /// # Errors
    /// See the trait. After `Unknown` the code may be used.
    async fn accept_step(
        &mut self,
        seen: &Factor,
        step: u64,
        sealed: Option<&[u8]>,
    ) -> Result<bool, StoreError>;

    /// Uses up a recovery code; `false` when there is none with this proof.
    ///
    /// # Errors
    /// See the trait. After `Unknown` it may be used.
    async fn use_recovery(
        &mut self,
        user: UserId,
        proof: &[u8; 32],
        wall: Millis,
    ) -> Result<bool, StoreError>;

    /// How many recovery codes an account has.
    ///
    /// # Errors
    /// See the trait.
    async fn recovery_left(&self, user: UserId) -> Result<u32, StoreError>;

    /// Replaces the recovery codes of an account with a confirmed app; `false` when it has none.
    ///
    /// # Errors
    /// See the trait.
    async fn replace_recovery(
        &mut self,
        user: UserId,
        proofs: &[[u8; 32]],
        by: SessionId,
        wall: Millis,
    ) -> Result<bool, StoreError>;

    /// Removes the app of an account and its recovery codes; `false` when it has no confirmed one.
    ///
    /// # Errors
    /// See the trait.
    async fn remove_factor(&mut self, user: UserId, by: SessionId, wall: Millis) -> Result<bool, StoreError>;

    /// Adds a line to the audit log.
    ///
    /// # Errors
    /// See the trait.
    async fn note(&mut self, event: AuditEvent) -> Result<(), StoreError>;

    /// Since when an account is suspended, if it is.
    ///
    /// # Errors
    /// See the trait.
    async fn suspended(&self, user: UserId) -> Result<Option<Millis>, StoreError>;

    /// Suspends an account and ends its sessions; those that this call ended. One that is suspended stays so, since when it
    /// was. `None` when there is no such account.
    ///
    /// # Errors
    /// See the trait.
    async fn suspend(&mut self, user: UserId, wall: Millis) -> Result<Option<Vec<Revocation>>, StoreError>;

    /// Ends a suspension; `false` when there is none.
    ///
    /// # Errors
    /// See the trait.
    async fn resume(&mut self, user: UserId, wall: Millis) -> Result<bool, StoreError>;
}
