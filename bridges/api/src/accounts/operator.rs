//! What an operator does with accounts, from the machine that the server runs on.
//!
//! Thread: the caller's, which waits for the accounts' thread without a runtime. What can fail: no such account, the store.

use lynk_domain::{Millis, Now, SessionId, UserId};
use lynk_model::account::{Account, AuditEvent};
use lynk_model::port::{FactorStore, LastFault};
use lynk_protocol::{ErrorCode, Reject};

use super::AccountsState;
use super::factors::service::FactorActions;
use super::service::{Service, folded};

/// Lines of the audit log that are told.
const AUDIT_TOLD: u32 = 20;

/// Whom an operator means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Whom {
    /// By id.
    User(UserId),
    /// By user name, in any spelling.
    Name(String),
}

/// What an operator wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OperatorAction {
    /// To know.
    Show,
    /// Nobody signs in, and all sessions end.
    Suspend,
    /// People sign in again.
    Resume,
    /// The authenticator app is asked for no more, because its owner has lost it and the recovery codes.
    EndFactor,
}

/// An account as an operator reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccountFacts {
    /// The account.
    pub account: Account,
    /// Sessions that are open.
    pub sessions: usize,
    /// Since when sign-in asks for an app.
    pub app: Option<Millis>,
    /// Recovery codes that were not used.
    pub recovery_left: u32,
    /// Since when it is suspended.
    pub suspended: Option<Millis>,
    /// The newest lines of its audit log, newest first.
    pub audit: Vec<AuditEvent>,
    /// Whether the account was changed by what was asked for.
    pub changed: bool,
}

impl AccountsState {
    /// Carries out what an operator wants, and tells what the account is like then. Blocks.
    ///
    /// # Errors
    /// `UserNotFound`; the store; `Busy` and `Draining`.
    pub fn operate(&self, whom: Whom, action: OperatorAction) -> Result<AccountFacts, Reject> {
        let now = (self.clock)();
        self.desk.ask_here(move |desk| desk.operate(now, &whom, action))
    }
}

/// What is done on the accounts' thread.
pub(super) trait OperatorActions: FactorActions {
    fn operate(&mut self, now: Now, whom: &Whom, action: OperatorAction) -> Result<AccountFacts, Reject>;
}

impl<S: FactorStore + LastFault> OperatorActions for Service<S> {
    fn operate(&mut self, now: Now, whom: &Whom, action: OperatorAction) -> Result<AccountFacts, Reject> {
        let account = self.account_of(whom)?;
        let changed = self.carry_out(now, account.user, action)?;
        self.facts(now, account, changed)
    }
}

impl<S: FactorStore + LastFault> Service<S> {
    /// Whom an operator means.
    pub(super) fn account_of(&self, whom: &Whom) -> Result<Account, Reject> {
        let found = match whom {
            Whom::User(user) => {
                let found = self.runtime.block_on(self.store.accounts(&[*user]));
                self.stored(found)?.into_iter().next()
            }
            Whom::Name(name) => {
                let found = self.runtime.block_on(self.store.account_of_name(&folded(name)));
                self.stored(found)?
            }
        };
        found.ok_or_else(|| ErrorCode::UserNotFound.into())
    }

    fn carry_out(&mut self, now: Now, user: UserId, action: OperatorAction) -> Result<bool, Reject> {
        match action {
            OperatorAction::Show => Ok(false),
            OperatorAction::Suspend => {
                let before = self.stored(self.runtime.block_on(self.store.suspended(user)))?;
                let ended = self.runtime.block_on(self.store.suspend(user, now.wall));
                let ended = self.wrote(ended)?.ok_or(ErrorCode::UserNotFound)?;
                self.ended(now, &ended);
                Ok(before.is_none())
            }
            OperatorAction::Resume => {
                let resumed = self.runtime.block_on(self.store.resume(user, now.wall));
                self.wrote(resumed)
            }
            OperatorAction::EndFactor => {
                let removed = self.runtime.block_on(self.store.remove_factor(user, SessionId::NIL, now.wall));
                self.wrote(removed)
            }
        }
    }

    fn facts(&self, now: Now, account: Account, changed: bool) -> Result<AccountFacts, Reject> {
        let user = account.user;
        let sessions = self.stored(self.runtime.block_on(self.store.sessions(user, now.wall)))?.len();
        let left = self.runtime.block_on(self.store.recovery_left(user));
        let suspended = self.runtime.block_on(self.store.suspended(user));
        let audit = self.runtime.block_on(self.store.audit(user, AUDIT_TOLD));
        Ok(AccountFacts {
            account,
            sessions,
            app: self.app(user)?.and_then(|app| app.confirmed),
            recovery_left: self.stored(left)?,
            suspended: self.stored(suspended)?,
            audit: self.stored(audit)?,
            changed,
        })
    }
}
