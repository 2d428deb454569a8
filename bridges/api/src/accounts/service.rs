//! What accounts do: each operation from what a client sent to what it gets, over an [`AccountStore`].
//!
//! Thread: the accounts' thread owns it; a call blocks on the store. Time and random bytes are passed in.
//!
//! Invariants: asking for a code never looks at accounts, so known and unknown numbers take the same way; a code is counted
//! before it is sent, and the count is on disk; whatever ends a session drops its tickets and tells [`Revocations`] before
//! the call returns. Limits: [`CodePolicy`] and [`SessionPolicy`]. What can fail: the store (`unavailable`, `unknown`), and
//! the client.

use std::cell::Cell;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use lynk_auth::{
    Attempts, Claims, Code, CodePolicy, CodeRequest, FactorKeys, FactorPolicy, Grant, Opaque, Refresh,
    RefreshToken, SESSION_TOKEN_MILLIS_MAX, ServerSecret, SessionPolicy, Sms, Token, address_key, new_family,
    refresh,
};
use lynk_bridge::Turned;
use lynk_domain::{Millis, Now, Phone, Revocation, SessionId, UserId, uuid_v7};
use lynk_model::account::{
    Account, AccountChange, AuditKind, Changed, Charge, Charged, FoundAccounts, NewSession, Registered,
    SearchMark, Session, Which,
};
use lynk_model::port::{ErasureStore, FactorStore, LastFault};
use lynk_model::{StoreError, fold_name};
use lynk_protocol::{ErrorCode, Reject};
use tokio::runtime::Runtime;

use super::counts::{AccountCounts, Refreshed};
use super::erase::{EraseActions, ErasePolicy};
use super::export::ExportActions;
use super::shared::{Keys, OnEnded};
use super::vault::{Found, NoCode, Vault};
use super::wire::Issued;
use crate::names::{NameOf, Names};

pub(super) const HOUR_MILLIS: u64 = 60 * 60 * 1_000;
pub(super) const DAY_MILLIS: u64 = 24 * HOUR_MILLIS;
/// How often a user name may change, and in which time: each change closes a name to others.
const RENAMES_MAX: u32 = 3;
const RENAMES_MILLIS: u64 = 30 * DAY_MILLIS;
/// Numbers that a user may try in a day.
const PHONES_TRIED_MAX: u32 = 20;

/// Turns of one refresh against others of the same family. Each other one had the newest token too.
const REFRESH_TURNS_MAX: usize = 4;

/// Fills bytes from the operating system's random source.
pub(super) type Random = Box<dyn FnMut(&mut [u8]) + Send>;

/// Rules of signing in.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    /// Of codes.
    pub codes: CodePolicy,
    /// Of sessions.
    pub sessions: SessionPolicy,
    /// Of second factors.
    pub factors: FactorPolicy,
    /// How long copies of what was erased live.
    pub erase: ErasePolicy,
}

/// A request for a code that was taken: the answer's id, and the message to send, if one is.
#[derive(Debug)]
pub(super) struct Requested {
    pub(super) request: CodeRequest,
    pub(super) sms: Option<Sms>,
}

/// What a right code led to.
#[derive(Debug)]
pub(super) enum Proved {
    SignedIn(Box<(Issued, Account)>),
    SecondFactor(Opaque),
    New(Opaque),
}

/// What a name and a proved number become.
#[derive(Clone, Debug)]
pub(super) struct Registration {
    pub(super) token: String,
    pub(super) user_name: String,
    pub(super) display_name: String,
    pub(super) device: String,
}

/// What is done on the accounts' thread.
pub(super) trait Actions: EraseActions + ExportActions {
    /// `price` is what the message would cost, in ten-thousandths.
    fn request_code(
        &mut self,
        now: Now,
        from: IpAddr,
        phone: &Phone,
        price: u32,
    ) -> Result<Requested, Reject>;
    fn cancel_code(&mut self, now: Now, request: CodeRequest);
    fn verify(
        &mut self,
        now: Now,
        from: IpAddr,
        request: CodeRequest,
        code: &Code,
        device: String,
    ) -> Result<Proved, Reject>;
    fn register(&mut self, now: Now, from: IpAddr, asked: &Registration)
    -> Result<(Issued, Account), Reject>;
    fn refresh(&mut self, now: Now, token: &RefreshToken) -> Result<Issued, Reject>;
    fn ticket(&mut self, now: Now, claims: Claims) -> Result<Opaque, Reject>;
    fn me(&mut self, claims: &Claims) -> Result<Account, Reject>;
    fn change(&mut self, now: Now, claims: &Claims, change: AccountChange) -> Result<Account, Reject>;
    fn sessions(&mut self, now: Now, claims: &Claims) -> Result<Vec<Session>, Reject>;
    fn end(&mut self, now: Now, claims: &Claims, which: Which) -> Result<usize, Reject>;
    fn users(&mut self, users: &[UserId]) -> Result<Vec<Account>, Reject>;
    fn user_of_name(&mut self, folded: &str) -> Result<Account, Reject>;
    /// Counts one more number that a user tries.
    fn may_try_phone(&mut self, now: Now, claims: &Claims) -> Result<(), Reject>;
    /// The account of a number, if whoever has the number may know of it.
    fn findable_by_phone(&mut self, phone: &Phone) -> Result<Option<UserId>, Reject>;
    fn search(
        &mut self,
        words: &[String],
        after: Option<&SearchMark>,
        limit: u32,
    ) -> Result<FoundAccounts, Reject>;
    fn index_words(&mut self, limit: u32) -> Result<u32, Reject>;
    fn name_is_taken(&mut self, folded: &str, wall: Millis) -> Result<bool, Reject>;
    fn names(&mut self, after: &str, limit: u32) -> Result<Vec<String>, Reject>;
}

/// Everything that accounts are made from, on one thread.
pub(super) struct Service<S> {
    pub(super) store: S,
    /// Where calls of the store are waited for.
    pub(super) runtime: Runtime,
    pub(super) policies: Policies,
    pub(super) server: Arc<ServerSecret>,
    pub(super) factor_keys: FactorKeys,
    pub(super) keys: Arc<Keys>,
    pub(super) vault: Arc<Vault>,
    pub(super) names: Arc<Names>,
    pub(super) on_ended: OnEnded,
    pub(super) counts: Arc<AccountCounts>,
    pub(super) random: Random,
    pub(super) attempts: Attempts,
    /// The last write failed.
    pub(super) write_failed: Cell<bool>,
}

impl<S> fmt::Debug for Service<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("vault", &self.vault).finish_non_exhaustive()
    }
}

/// Whom tokens are for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bearer {
    pub(super) user: UserId,
    pub(super) session: SessionId,
    pub(super) epoch: u32,
    /// When the session ends.
    pub(super) ends: Millis,
    /// When its user proved who it is: when it was opened, or at a step-up.
    pub(super) authenticated: Millis,
    /// Its user has to turn on a second factor first.
    pub(super) enrolling: bool,
}

/// Parts that a [`Service`] shares with the rest of the server.
pub(super) struct Shared {
    pub(super) server: Arc<ServerSecret>,
    pub(super) factor_keys: FactorKeys,
    pub(super) keys: Arc<Keys>,
    pub(super) vault: Arc<Vault>,
    pub(super) names: Arc<Names>,
    pub(super) on_ended: OnEnded,
    pub(super) counts: Arc<AccountCounts>,
}

pub(super) fn wait(code: ErrorCode, millis: u64) -> Reject {
    Reject::after(code, u32::try_from(millis).unwrap_or(u32::MAX))
}

impl<S: FactorStore + LastFault> Service<S> {
    pub(super) fn new(
        store: S,
        runtime: Runtime,
        shared: Shared,
        policies: Policies,
        random: Random,
    ) -> Self {
        let Shared { server, factor_keys, keys, vault, names, on_ended, counts } = shared;
        Self {
            store,
            runtime,
            policies,
            server,
            factor_keys,
            keys,
            vault,
            names,
            on_ended,
            counts,
            random,
            attempts: Attempts::default(),
            write_failed: Cell::new(false),
        }
    }

    /// Loads the sessions that ended while their access tokens may live.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(super) fn load_revocations(&mut self, now: Now) -> Result<(), StoreError> {
        // Not the life that tokens get now: they may have been signed under a longer one.
        let since = Millis(now.wall.0.saturating_sub(SESSION_TOKEN_MILLIS_MAX));
        for (at, revocation) in self.runtime.block_on(self.store.revoked_since(since))? {
            let until = Millis(at.0.saturating_add(SESSION_TOKEN_MILLIS_MAX));
            (self.on_ended)(now.wall, revocation, until);
        }
        Ok(())
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.random)(&mut bytes);
        bytes
    }

    /// What a read of the store returned. That reads work says nothing of writes: a full disk refuses only those.
    pub(super) fn stored<T>(&self, result: Result<T, StoreError>) -> Result<T, Reject> {
        self.judged(result, !self.write_failed.get())
    }

    /// What a write to the store returned.
    pub(super) fn wrote<T>(&self, result: Result<T, StoreError>) -> Result<T, Reject> {
        self.write_failed.set(result.is_err());
        self.judged(result, true)
    }

    fn judged<T>(&self, result: Result<T, StoreError>, works: bool) -> Result<T, Reject> {
        let health = &self.counts.health;
        let error = match result {
            Ok(value) => {
                if works && let Turned::Good(after) = health.succeed() {
                    tracing::info!(
                        event = "accounts_store_works",
                        ?after,
                        "the store of accounts works again"
                    );
                }
                return Ok(value);
            }
            Err(error) => error,
        };
        let fault = self.store.last_fault().map(|fault| fault.to_string()).unwrap_or_default();
        let (kind, reject) = match error {
            StoreError::Unavailable => ("unavailable", Reject::after(ErrorCode::Unavailable, 1_000)),
            StoreError::Unknown => ("unknown", Reject::after(ErrorCode::Unknown, 1_000)),
            _ => ("corrupt", ErrorCode::Internal.into()),
        };
        if health.fail(kind, &fault) == Turned::Bad {
            tracing::error!(event = "accounts_store_failed", ?error, fault, "the store of accounts failed");
        }
        Err(reject)
    }

    pub(super) fn attempt(&mut self, now: Now, from: IpAddr) -> Result<(), Reject> {
        let per_minute = self.policies.codes.attempts_per_address_minute;
        let limited = |millis| wait(ErrorCode::RateLimited, millis);
        self.attempts.take(now.mono, from, per_minute).map_err(limited)?;
        self.runtime.block_on(self.vault.attempt(now, address_key(from), per_minute)).map_err(limited)
    }

    pub(super) fn charge(&mut self, charges: &[Charge], wall: Millis) -> Result<Charged, Reject> {
        if charges.is_empty() {
            return Ok(Charged::Done);
        }
        let charged = self.runtime.block_on(self.store.charge(charges, wall));
        self.wrote(charged)
    }

    /// One that is limited over `window_millis`; `None` where there is no limit.
    fn counted(&self, kind: &str, of: &[u8], window_millis: u64, max: u32) -> Option<Charge> {
        (max > 0).then(|| Charge { key: self.server.subject(kind, of), window_millis, amount: 1, max })
    }

    /// Ends the loose ends of sessions that ended.
    pub(super) fn ended(&self, now: Now, ended: &[Revocation]) {
        let until = Millis(now.wall.0.saturating_add(SESSION_TOKEN_MILLIS_MAX));
        for revocation in ended {
            self.runtime.block_on(self.vault.drop_tickets(now, revocation.session));
            (self.on_ended)(now.wall, *revocation, until);
        }
    }

    /// An access token for a session, and the refresh token that goes with it.
    fn issue(&mut self, now: Now, refresh: &RefreshToken, of: &Bearer) -> Issued {
        let (access, access_expires) = self.access(now, of);
        Issued {
            access,
            access_expires,
            refresh: refresh.reveal(&self.server),
            refresh_expires: of.ends,
            session: of.session,
            enrolling: of.enrolling,
        }
    }

    /// An access token for a session, and its end.
    pub(super) fn access(&mut self, now: Now, of: &Bearer) -> (Token, Millis) {
        let life = Millis(now.wall.0.saturating_add(self.policies.sessions.access_millis));
        self.access_until(now, of, life.min(of.ends))
    }

    /// An access token for a session until `expires`, and its end.
    pub(super) fn access_until(&mut self, now: Now, of: &Bearer, expires: Millis) -> (Token, Millis) {
        let &Bearer { user, session, epoch, authenticated, enrolling, .. } = of;
        let grant = Grant { user, session, epoch, id: self.bytes(), issued: now.wall, expires };
        // A clock that was set back must not make tokens of the future.
        let authenticated = authenticated.min(now.wall);
        let ring = self.keys.current();
        let token = if enrolling {
            self.counts.enrolling();
            ring.issue_enrolling(&grant, authenticated)
        } else {
            ring.issue_authenticated(&grant, authenticated)
        };
        // The token holds whole seconds.
        (token, Millis(expires.0 / 1_000 * 1_000))
    }

    /// Whether the server demands a second factor that an account does not have.
    fn has_to_enrol(&self, user: UserId) -> Result<bool, Reject> {
        Ok(self.policies.factors.required && self.app(user)?.is_none())
    }

    fn new_session(&mut self, now: Now, device: String) -> (NewSession, RefreshToken) {
        let session = SessionId(uuid_v7(now.wall.0, self.bytes()));
        let first = RefreshToken::first(session, self.bytes());
        let policy = &self.policies.sessions;
        let family = new_family(&first, &self.server, now.wall, policy);
        let sessions_max = policy.sessions_max;
        (NewSession { session, device, created: now.wall, family, sessions_max }, first)
    }

    pub(super) fn sign_in(
        &mut self,
        now: Now,
        account: Account,
        device: String,
    ) -> Result<(Issued, Account), Reject> {
        self.not_suspended(account.user)?;
        let enrolling = self.has_to_enrol(account.user)?;
        let (session, first) = self.new_session(now, device);
        let opened = self.runtime.block_on(self.store.open_session(account.user, &session));
        let displaced = self.wrote(opened)?;
        self.ended(now, &displaced);
        self.still_not_suspended(now, account.user, session.session)?;
        let bearer = opened_now(now, account.user, &session, enrolling);
        Ok((self.issue(now, &first, &bearer), account))
    }

    fn prove(&mut self, now: Now, phone: &Phone, device: String) -> Result<Proved, Reject> {
        let found = self.runtime.block_on(self.store.account_of_phone(phone));
        if let Some(account) = self.stored(found)? {
            if self.app(account.user)?.is_some() {
                let made =
                    self.runtime.block_on(self.vault.put_challenge(now, account.user, &mut *self.random));
                return made.map(Proved::SecondFactor).map_err(|_| wait(ErrorCode::Busy, 1_000));
            }
            let (issued, account) = self.sign_in(now, account, device)?;
            return Ok(Proved::SignedIn(Box::new((issued, account))));
        }
        let made = self.runtime.block_on(self.vault.put_registration(now, phone, &mut *self.random));
        made.map(Proved::New).map_err(|_| wait(ErrorCode::Busy, 1_000))
    }

    /// The session of an access token; what has no session any more, or another epoch, is not signed in.
    pub(super) fn session_of(&self, claims: &Claims) -> Result<Session, Reject> {
        let found = self.stored(self.runtime.block_on(self.store.session(claims.session)))?;
        found
            .filter(|session| session.user == claims.user && session.epoch == claims.epoch)
            .ok_or_else(|| ErrorCode::InvalidToken.into())
    }
}

impl<S: ErasureStore + LastFault> Actions for Service<S> {
    fn request_code(
        &mut self,
        now: Now,
        from: IpAddr,
        phone: &Phone,
        price: u32,
    ) -> Result<Requested, Reject> {
        self.attempt(now, from)?;
        let policy = self.policies.codes.clone();
        match self.runtime.block_on(self.vault.code_wait(now, phone)) {
            0 => {}
            millis => return Err(wait(ErrorCode::RateLimited, millis)),
        }
        // The address pays for every request that is answered as taken, also for those that get no message.
        let address = address_key(from);
        let by_address = self.counted("address", &address, HOUR_MILLIS, policy.per_address_hour);
        if let Charged::Refused { retry_after_millis, .. } = self.charge(by_address.as_slice(), now.wall)? {
            return Err(wait(ErrorCode::RateLimited, retry_after_millis));
        }
        let number = phone.as_e164().as_bytes();
        let charges: Vec<Charge> = [
            self.counted("number", number, DAY_MILLIS, policy.per_number_day),
            self.counted("prefix", phone.prefix().as_bytes(), HOUR_MILLIS, policy.per_prefix_hour),
            self.counted("messages in an hour", b"", HOUR_MILLIS, policy.messages_hour),
            self.counted("messages in a day", b"", DAY_MILLIS, policy.messages_day),
        ]
        .into_iter()
        .flatten()
        // Money last: a number that had its messages is told nothing, also when there is none left.
        .chain(
            self.counted("money in a day", b"", DAY_MILLIS, policy.spend_day)
                .map(|money| Charge { amount: price, ..money }),
        )
        .collect();
        let money = (policy.spend_day > 0).then(|| charges.len() - 1);
        let tries = match self.charge(&charges, now.wall)? {
            Charged::Done => policy.tries_max,
            // The number had its messages of the day. Its owner may see that in them; who asks sees nothing, so the answer
            // costs what others cost, a code and a write, and the number waits as others do.
            Charged::Refused { index: 0, .. } => 0,
            Charged::Refused { index, retry_after_millis } => {
                if Some(index) == money {
                    self.counts.over_budget();
                }
                return Err(wait(ErrorCode::RateLimited, retry_after_millis));
            }
        };
        let made = self.vault.make_code(now, phone, &policy, tries, &mut *self.random);
        let (request, code) = self.runtime.block_on(made).map_err(|why| match why {
            NoCode::TooSoon { retry_after_millis } => wait(ErrorCode::RateLimited, retry_after_millis),
            NoCode::Full => wait(ErrorCode::Busy, 60_000),
        })?;
        if tries == 0 {
            let decoy = self.counted("decoy", &address, HOUR_MILLIS, u32::MAX);
            self.charge(decoy.as_slice(), now.wall)?;
            return Ok(Requested { request, sms: None });
        }
        self.counts.spent(price);
        let sms = Sms { to: phone.clone(), code, request, made: now.wall, life_millis: policy.life_millis };
        Ok(Requested { request, sms: Some(sms) })
    }

    fn cancel_code(&mut self, now: Now, request: CodeRequest) {
        self.runtime.block_on(self.vault.set_tries(now, request, 0));
    }

    fn verify(
        &mut self,
        now: Now,
        from: IpAddr,
        request: CodeRequest,
        code: &Code,
        device: String,
    ) -> Result<Proved, Reject> {
        self.attempt(now, from)?;
        let phone = match self.runtime.block_on(self.vault.prove(now, request, code)) {
            Found::Good(phone) => phone,
            Found::Bad => {
                self.counts.proved(false);
                return Err(Reject::new(ErrorCode::InvalidCode));
            }
            Found::Away => return Err(wait(ErrorCode::Unavailable, 1_000)),
        };
        self.counts.proved(true);
        let proved = self.prove(now, &phone, device);
        if proved.is_err() {
            self.runtime.block_on(self.vault.set_tries(now, request, 1));
        }
        proved
    }

    fn register(
        &mut self,
        now: Now,
        from: IpAddr,
        asked: &Registration,
    ) -> Result<(Issued, Account), Reject> {
        self.attempt(now, from)?;
        let phone = match self.runtime.block_on(self.vault.registration(now, &asked.token)) {
            Found::Good(phone) => phone,
            Found::Bad => {
                return Err(Reject::because(
                    ErrorCode::InvalidToken,
                    "the registration is over or used; prove the number again",
                ));
            }
            Found::Away => return Err(wait(ErrorCode::Unavailable, 1_000)),
        };
        let user = UserId(uuid_v7(now.wall.0, self.bytes()));
        let (user_name, display_name) = (asked.user_name.clone(), asked.display_name.clone());
        let account = Account::new(user, phone, user_name, display_name, now.wall);
        let (session, first) = self.new_session(now, asked.device.clone());
        let registered = self.runtime.block_on(self.store.register(&account, &session));
        let (issued, account) = match self.wrote(registered)? {
            Registered::Made => {
                self.counts.registered();
                self.names.note(NameOf::User, &folded(&account.user_name));
                // An account of a moment ago has no second factor.
                let enrolling = self.policies.factors.required;
                let bearer = opened_now(now, account.user, &session, enrolling);
                (self.issue(now, &first, &bearer), account)
            }
            Registered::NameTaken => return Err(ErrorCode::NameTaken.into()),
            // An earlier try of which the answer was lost, or another device of the number was faster: whoever proved the
            // number signs in to its account.
            Registered::PhoneTaken => match self.prove(now, &account.phone, asked.device.clone())? {
                Proved::SignedIn(signed) => *signed,
                Proved::New(_) => return Err(wait(ErrorCode::Busy, 1_000)),
                Proved::SecondFactor(_) => {
                    return Err(Reject::because(
                        ErrorCode::InvalidToken,
                        "the number has an account that asks for a second factor; prove the number again",
                    ));
                }
            },
        };
        // All registrations of the number: it has its account.
        self.runtime.block_on(self.vault.drop_registrations(now, &account.phone));
        Ok((issued, account))
    }

    fn refresh(&mut self, now: Now, token: &RefreshToken) -> Result<Issued, Reject> {
        for _ in 0..REFRESH_TURNS_MAX {
            let found = self.stored(self.runtime.block_on(self.store.session(token.session())))?;
            let Some(session) = found else {
                self.counts.refreshed(Refreshed::Refused);
                return Err(ErrorCode::InvalidToken.into());
            };
            // Before the token is used: a store that does not answer must cost nobody a turn.
            let enrolling = self.has_to_enrol(session.user)?;
            let (family, policy) = (&session.family, &self.policies.sessions);
            match refresh(family, token, &self.server, now.wall, policy) {
                Refresh::Rotate { next, family: turned } => {
                    let rotated = self.runtime.block_on(self.store.rotate(
                        session.session,
                        family.generation,
                        &turned,
                        now.wall,
                    ));
                    if self.wrote(rotated)? {
                        self.counts.refreshed(Refreshed::Turned);
                        let bearer = bearer_of(&session, turned.ends(), enrolling);
                        return Ok(self.issue(now, &next, &bearer));
                    }
                    // Somebody else turned it, or ended it, in between: look again.
                }
                Refresh::Repeat { next } => {
                    self.counts.refreshed(Refreshed::Repeated);
                    let bearer = bearer_of(&session, session.family.ends(), enrolling);
                    return Ok(self.issue(now, &next, &bearer));
                }
                Refresh::Reuse => {
                    let which = Which::One(session.session);
                    let revoked = self.runtime.block_on(self.store.revoke(
                        session.user,
                        which,
                        AuditKind::RefreshReuse,
                        now.wall,
                    ));
                    let ended = self.wrote(revoked)?;
                    self.ended(now, &ended);
                    self.counts.refreshed(Refreshed::Reused);
                    tracing::warn!(
                        event = "refresh_token_reused",
                        user = %session.user,
                        session = %session.session,
                        "a refresh token was used again after its grace; the session is revoked"
                    );
                    return Err(ErrorCode::InvalidToken.into());
                }
                Refresh::TooFast { retry_after_millis } => {
                    self.counts.refreshed(Refreshed::Refused);
                    return Err(wait(ErrorCode::RateLimited, retry_after_millis));
                }
                Refresh::Expired | Refresh::Unknown => {
                    self.counts.refreshed(Refreshed::Refused);
                    return Err(ErrorCode::InvalidToken.into());
                }
            }
        }
        Err(wait(ErrorCode::Busy, 250))
    }

    fn ticket(&mut self, now: Now, claims: Claims) -> Result<Opaque, Reject> {
        let made = self.vault.put_ticket(now, &claims, &mut *self.random);
        self.runtime.block_on(made).map_err(|_| wait(ErrorCode::Busy, 1_000))
    }

    fn me(&mut self, claims: &Claims) -> Result<Account, Reject> {
        self.session_of(claims)?;
        self.account(claims.user)
    }

    fn change(&mut self, now: Now, claims: &Claims, mut change: AccountChange) -> Result<Account, Reject> {
        self.session_of(claims)?;
        let account = self.account(claims.user)?;
        change.user_name.take_if(|name| *name == account.user_name);
        let renames = Charge {
            key: self.server.subject("renames", &claims.user.0),
            window_millis: RENAMES_MILLIS,
            amount: 0,
            max: RENAMES_MAX - 1,
        };
        // Whether there may be one more; it is counted when the name was to be had.
        if change.user_name.is_some()
            && let Charged::Refused { retry_after_millis, .. } = self.charge(&[renames], now.wall)?
        {
            return Err(wait(ErrorCode::RateLimited, retry_after_millis));
        }
        let changed = self.runtime.block_on(self.store.change(claims.user, &change, now.wall));
        match self.wrote(changed)? {
            Changed::Done(account) => {
                if change.user_name.is_some() {
                    self.names.note(NameOf::User, &folded(&account.user_name));
                    self.charge(&[Charge { amount: 1, max: u32::MAX, ..renames }], now.wall)?;
                }
                Ok(*account)
            }
            Changed::NameTaken => Err(ErrorCode::NameTaken.into()),
            Changed::Missing => Err(ErrorCode::InvalidToken.into()),
        }
    }

    fn sessions(&mut self, now: Now, claims: &Claims) -> Result<Vec<Session>, Reject> {
        self.session_of(claims)?;
        self.stored(self.runtime.block_on(self.store.sessions(claims.user, now.wall)))
    }

    fn end(&mut self, now: Now, claims: &Claims, which: Which) -> Result<usize, Reject> {
        self.session_of(claims)?;
        let reason = match which {
            Which::One(session) if session == claims.session => AuditKind::SignedOut,
            // Whoever has a stolen token and no factor must not put its owner out.
            _ => {
                self.recent(now, claims)?;
                AuditKind::Revoked
            }
        };
        let revoked = self.runtime.block_on(self.store.revoke(claims.user, which, reason, now.wall));
        let ended = self.wrote(revoked)?;
        self.ended(now, &ended);
        Ok(ended.len())
    }

    fn users(&mut self, users: &[UserId]) -> Result<Vec<Account>, Reject> {
        self.stored(self.runtime.block_on(self.store.accounts(users)))
    }

    fn user_of_name(&mut self, folded: &str) -> Result<Account, Reject> {
        let found = self.stored(self.runtime.block_on(self.store.account_of_name(folded)))?;
        found.ok_or_else(|| ErrorCode::UserNotFound.into())
    }

    fn may_try_phone(&mut self, now: Now, claims: &Claims) -> Result<(), Reject> {
        self.session_of(claims)?;
        let tries = self.counted("phones tried", &claims.user.0, DAY_MILLIS, PHONES_TRIED_MAX);
        match self.charge(tries.as_slice(), now.wall)? {
            Charged::Done => Ok(()),
            Charged::Refused { retry_after_millis, .. } => {
                Err(wait(ErrorCode::RateLimited, retry_after_millis))
            }
        }
    }

    fn findable_by_phone(&mut self, phone: &Phone) -> Result<Option<UserId>, Reject> {
        let found = self.stored(self.runtime.block_on(self.store.account_of_phone(phone)))?;
        Ok(found.filter(|account| account.findable.by_phone).map(|account| account.user))
    }

    fn search(
        &mut self,
        words: &[String],
        after: Option<&SearchMark>,
        limit: u32,
    ) -> Result<FoundAccounts, Reject> {
        self.stored(self.runtime.block_on(self.store.search(words, after, limit)))
    }

    fn index_words(&mut self, limit: u32) -> Result<u32, Reject> {
        let indexed = self.runtime.block_on(self.store.index_words(limit));
        self.wrote(indexed)
    }

    fn name_is_taken(&mut self, folded: &str, wall: Millis) -> Result<bool, Reject> {
        self.stored(self.runtime.block_on(self.store.name_is_taken(folded, wall)))
    }

    fn names(&mut self, after: &str, limit: u32) -> Result<Vec<String>, Reject> {
        self.stored(self.runtime.block_on(self.store.names(after, limit)))
    }
}

/// Of a session that is opened now.
fn opened_now(now: Now, user: UserId, opened: &NewSession, enrolling: bool) -> Bearer {
    let (session, ends) = (opened.session, opened.family.ends());
    Bearer { user, session, epoch: 1, ends, authenticated: now.wall, enrolling }
}

/// Of a session that was opened some time: refreshing it is no proof.
pub(super) fn bearer_of(session: &Session, ends: Millis, enrolling: bool) -> Bearer {
    let &Session { user, session: id, epoch, created, .. } = session;
    Bearer { user, session: id, epoch, ends, authenticated: created, enrolling }
}

/// The form under which user names are compared.
pub(super) fn folded(name: &str) -> String {
    fold_name(name)
}

#[cfg(test)]
mod tests;
