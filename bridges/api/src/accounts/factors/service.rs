//! What is done about second factors, over a [`FactorStore`]. See the parent module.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lynk_auth::{
    Claims, Code, CodeRequest, RECOVERY_CODES, RecoveryCode, SESSION_TOKEN_MILLIS_MAX, Token, TotpSecret,
};
use lynk_domain::{Millis, Now, SessionId, UserId};
use lynk_model::account::{Account, AuditEvent, AuditKind, Charge, Charged, Enrolled, Factor, Which};
use lynk_model::port::{FactorStore, LastFault};
use lynk_protocol::{ErrorCode, Reject};

use crate::accounts::counts::Tried;
use crate::accounts::service::{Bearer, DAY_MILLIS, HOUR_MILLIS, Service, bearer_of, wait};
use crate::accounts::vault::Found;
use crate::accounts::wire::Issued;

/// What somebody shows as a second factor.
#[derive(Clone, Debug)]
pub(in crate::accounts) enum Shown {
    /// A code of the app.
    Code(Code),
    /// A recovery code.
    Recovery(RecoveryCode),
}

/// What somebody shows to prove again who it is.
#[derive(Clone, Debug)]
pub(in crate::accounts) enum Again {
    /// A code that was sent to the account's telephone: of an account without an app.
    Sent(CodeRequest, Code),
    /// A second factor.
    Second(Shown),
}

/// A second factor for a challenge.
#[derive(Clone, Debug)]
pub(in crate::accounts) struct Answered {
    pub(in crate::accounts) challenge: String,
    pub(in crate::accounts) shown: Shown,
    pub(in crate::accounts) device: String,
}

/// How an account's app stands.
#[derive(Clone, Copy, Debug)]
pub(in crate::accounts) struct Standing {
    pub(in crate::accounts) confirmed: Option<Millis>,
    pub(in crate::accounts) recovery_left: u32,
}

/// A secret that nobody has shown a code of, and the account that it is for.
#[derive(Debug)]
pub(in crate::accounts) struct Fresh {
    pub(in crate::accounts) secret: TotpSecret,
    pub(in crate::accounts) account: Account,
    /// Where there is an app: what has this one take its place.
    pub(in crate::accounts) replacement: Option<String>,
}

/// An app that is to take the place of the one that there is.
#[derive(Clone, Debug)]
pub(in crate::accounts) struct Replacing {
    pub(in crate::accounts) replacement: String,
    /// The first code of the new app.
    pub(in crate::accounts) code: Code,
    /// Of the app that there is, or a recovery code.
    pub(in crate::accounts) current: Shown,
}

/// What replacements are sealed for.
const REPLACEMENT: &str = "app that takes the place of another";

/// Recovery codes that nobody sees again, and how many other sessions the account has.
#[derive(Debug)]
pub(in crate::accounts) struct Made {
    pub(in crate::accounts) codes: Vec<RecoveryCode>,
    pub(in crate::accounts) other_sessions: usize,
    /// A token with which everything is open, and its end: of a session that had to turn on the app first.
    pub(in crate::accounts) opened: Option<(Token, Millis)>,
}

/// What is done on the accounts' thread.
pub(in crate::accounts) trait FactorActions {
    fn second_factor(
        &mut self,
        now: Now,
        from: IpAddr,
        answered: &Answered,
    ) -> Result<(Issued, Account), Reject>;
    fn standing(&mut self, claims: &Claims) -> Result<Standing, Reject>;
    fn enrol(&mut self, now: Now, claims: &Claims) -> Result<Fresh, Reject>;
    fn replace(&mut self, now: Now, from: IpAddr, claims: &Claims, asked: &Replacing)
    -> Result<Made, Reject>;
    fn confirm(&mut self, now: Now, from: IpAddr, claims: &Claims, code: &Code) -> Result<Made, Reject>;
    /// Returns how many other sessions the account has.
    fn turn_off(&mut self, now: Now, from: IpAddr, claims: &Claims, shown: &Shown) -> Result<usize, Reject>;
    fn new_recovery(&mut self, now: Now, claims: &Claims) -> Result<Made, Reject>;
    /// The account, if it proves itself by codes that are sent to it.
    fn sent_to(&mut self, claims: &Claims) -> Result<Account, Reject>;
    /// Returns a token that says when its user proved who it is, and its end.
    fn step_up(
        &mut self,
        now: Now,
        from: IpAddr,
        claims: &Claims,
        again: &Again,
    ) -> Result<(Token, Millis), Reject>;
}

fn wrong() -> Reject {
    Reject::new(ErrorCode::InvalidCode)
}

impl<S: FactorStore + LastFault> Service<S> {
    /// The app of an account that is asked for.
    pub(in crate::accounts) fn app(&self, user: UserId) -> Result<Option<Factor>, Reject> {
        let found = self.stored(self.runtime.block_on(self.store.factor(user)))?;
        Ok(found.filter(|app| app.confirmed.is_some()))
    }

    /// Whether the proof that a token tells of is one of the last minutes.
    pub(in crate::accounts) fn recent(&self, now: Now, claims: &Claims) -> Result<(), Reject> {
        let age = now.wall.0.saturating_sub(claims.authenticated.0);
        if age <= self.policies.factors.recent_millis {
            Ok(())
        } else {
            Err(ErrorCode::StepUpRequired.into())
        }
    }

    /// Counters of wrong codes of a user: of the hour, and of the day. Recovery codes have their own, so that whoever locks the
    /// app does not keep its owner from them.
    fn wrong_codes(&self, user: UserId, shown: &Shown) -> [Charge; 2] {
        let kind = match shown {
            Shown::Code(_) => "wrong code of an app",
            Shown::Recovery(_) => "wrong recovery code",
        };
        let policy = &self.policies.factors;
        [("hour", HOUR_MILLIS, policy.wrong_hour), ("day", DAY_MILLIS, policy.wrong_day)].map(
            |(span, window_millis, max)| {
                let key = self.server.subject(&format!("{kind} in an {span}"), &user.0);
                Charge { key, window_millis, amount: 1, max }
            },
        )
    }

    /// Whether there were so many wrong codes that none is compared.
    fn is_locked(&mut self, charges: &[Charge; 2], wall: Millis) -> Result<bool, Reject> {
        // Nothing more fits below the limit when it is reached.
        let looks = charges.map(|charge| Charge { amount: 0, max: charge.max.saturating_sub(1), ..charge });
        Ok(self.charge(&looks, wall)? != Charged::Done)
    }

    /// Proves a user's second factor; what is wrong is told in one way.
    fn prove_factor(&mut self, now: Now, user: UserId, shown: &Shown) -> Result<(), Reject> {
        let charges = self.wrong_codes(user, shown);
        if self.is_locked(&charges, now.wall)? {
            self.counts.tried(Tried::Locked);
            return Err(wrong());
        }
        let good = match shown {
            Shown::Code(code) => self.accept(now, user, code)?,
            Shown::Recovery(code) => {
                let proof = code.proof(&self.server, user);
                let used = self.runtime.block_on(self.store.use_recovery(user, &proof, now.wall));
                self.wrote(used)?
            }
        };
        if good {
            self.counts.tried(Tried::Good);
            return Ok(());
        }
        self.counts.tried(Tried::Wrong);
        // Of several processes each may have compared one code at the limit: all of them are counted.
        self.charge(&charges.map(|charge| Charge { max: u32::MAX, ..charge }), now.wall)?;
        if self.is_locked(&charges, now.wall)? {
            let kind = AuditKind::FactorLocked;
            let event = AuditEvent { at: now.wall, user, session: SessionId::NIL, kind };
            let noted = self.runtime.block_on(self.store.note(event));
            self.wrote(noted)?;
            tracing::warn!(
                event = "second_factor_locked",
                %user,
                "too many wrong codes: the second factor is locked for a time"
            );
        }
        Err(wrong())
    }

    /// Whether a code is one of the user's app, and is used for the first time.
    fn accept(&mut self, now: Now, user: UserId, code: &Code) -> Result<bool, Reject> {
        let Some(app) = self.app(user)? else { return Ok(false) };
        let opened = self.open(&app)?;
        let Some(step) = opened.secret.accept(code, now.wall, app.last_step) else { return Ok(false) };
        // Whoever replaced the key finds the secret under the new one some time.
        let anew = opened.is_stale.then(|| self.seal(user, &opened.secret));
        let accepted = self.runtime.block_on(self.store.accept_step(&app, step, anew.as_deref()));
        self.wrote(accepted)
    }

    fn open(&self, app: &Factor) -> Result<lynk_auth::OpenedFactor, Reject> {
        self.factor_keys.open(app.user, &app.sealed).map_err(|error| {
            self.counts.tried(Tried::Unreadable);
            tracing::error!(
                event = "second_factor_unreadable",
                user = %app.user,
                %error,
                "a second factor cannot be read; its account has its recovery codes"
            );
            ErrorCode::Internal.into()
        })
    }

    fn seal(&mut self, user: UserId, secret: &TotpSecret) -> Vec<u8> {
        let random = self.bytes();
        self.factor_keys.seal(user, secret, random)
    }

    fn make_recovery(&mut self, user: UserId) -> (Vec<RecoveryCode>, Vec<[u8; 32]>) {
        let codes: Vec<_> = (0..RECOVERY_CODES).map(|_| RecoveryCode::new(self.bytes())).collect();
        let proofs = codes.iter().map(|code| code.proof(&self.server, user)).collect();
        (codes, proofs)
    }

    /// Replaces the recovery codes of an account.
    fn make_anew(&mut self, now: Now, claims: &Claims) -> Result<Made, Reject> {
        let (codes, proofs) = self.make_recovery(claims.user);
        let replaced = self.runtime.block_on(self.store.replace_recovery(
            claims.user,
            &proofs,
            claims.session,
            now.wall,
        ));
        if !self.wrote(replaced)? {
            return Err(Reject::because(
                ErrorCode::Conflict,
                "two-step sign-in is off; turn it on for recovery codes",
            ));
        }
        Ok(Made { codes, other_sessions: self.other_sessions(now, claims)?, opened: None })
    }

    /// A secret that its user keeps until the first code: nothing of it is in the store, so nobody's app ends by a begin.
    fn seal_replacement(&mut self, now: Now, claims: &Claims, secret: &TotpSecret) -> String {
        let factor = self.seal(claims.user, secret);
        let clear = [&claims.session.0[..], &now.wall.0.to_be_bytes(), &factor].concat();
        let random = self.bytes();
        URL_SAFE_NO_PAD.encode(self.server.seal(REPLACEMENT, &claims.user.0, random, &clear))
    }

    /// The sealed secret of a replacement that this session began in the last minutes.
    fn open_replacement(&self, now: Now, claims: &Claims, text: &str) -> Option<Vec<u8>> {
        let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let clear = self.server.open(REPLACEMENT, &claims.user.0, &sealed)?;
        let (session, rest) = clear.split_first_chunk()?;
        let (begun, factor) = rest.split_first_chunk()?;
        let until = u64::from_be_bytes(*begun).saturating_add(self.policies.factors.enrolment_millis);
        (SessionId(*session) == claims.session && now.wall.0 <= until).then(|| factor.to_vec())
    }

    fn other_sessions(&self, now: Now, claims: &Claims) -> Result<usize, Reject> {
        let all = self.stored(self.runtime.block_on(self.store.sessions(claims.user, now.wall)))?;
        Ok(all.iter().filter(|session| session.session != claims.session).count())
    }

    pub(in crate::accounts) fn account(&self, user: UserId) -> Result<Account, Reject> {
        let found = self.stored(self.runtime.block_on(self.store.accounts(&[user])))?;
        found.into_iter().next().ok_or_else(|| ErrorCode::InvalidToken.into())
    }

    /// Refuses an account that an operator suspended: told to whoever proved everything, and to nobody else.
    pub(in crate::accounts) fn not_suspended(&self, user: UserId) -> Result<(), Reject> {
        let since = self.stored(self.runtime.block_on(self.store.suspended(user)))?;
        if since.is_some() { Err(ErrorCode::AccountSuspended.into()) } else { Ok(()) }
    }

    /// Ends a session again that was opened while its account was suspended by another process.
    pub(in crate::accounts) fn still_not_suspended(
        &mut self,
        now: Now,
        user: UserId,
        session: SessionId,
    ) -> Result<(), Reject> {
        let refused = self.not_suspended(user);
        if refused.is_err() {
            let which = Which::One(session);
            let ended = self.runtime.block_on(self.store.revoke(user, which, AuditKind::Suspended, now.wall));
            let ended = self.wrote(ended)?;
            self.ended(now, &ended);
        }
        refused
    }
}

impl<S: FactorStore + LastFault> FactorActions for Service<S> {
    fn second_factor(
        &mut self,
        now: Now,
        from: IpAddr,
        answered: &Answered,
    ) -> Result<(Issued, Account), Reject> {
        self.attempt(now, from)?;
        let look = self.runtime.block_on(self.vault.challenge(now, &answered.challenge, false));
        let user = match look {
            Found::Good(user) => user,
            Found::Bad => return Err(wrong()),
            Found::Away => return Err(wait(ErrorCode::Unavailable, 1_000)),
        };
        self.prove_factor(now, user, &answered.shown)?;
        // Of two that were right at once, with a code of the app and a recovery code, one signs in.
        match self.runtime.block_on(self.vault.challenge(now, &answered.challenge, true)) {
            Found::Good(same) if same == user => {}
            Found::Good(_) | Found::Bad => return Err(wrong()),
            Found::Away => return Err(wait(ErrorCode::Unavailable, 1_000)),
        }
        let account = self.account(user).map_err(|reject| match reject.code {
            // It was removed in between.
            ErrorCode::InvalidToken => wrong(),
            _ => reject,
        })?;
        self.sign_in(now, account, answered.device.clone())
    }

    fn standing(&mut self, claims: &Claims) -> Result<Standing, Reject> {
        self.session_of(claims)?;
        let Some(app) = self.app(claims.user)? else {
            return Ok(Standing { confirmed: None, recovery_left: 0 });
        };
        let left = self.runtime.block_on(self.store.recovery_left(claims.user));
        Ok(Standing { confirmed: app.confirmed, recovery_left: self.stored(left)? })
    }

    fn enrol(&mut self, now: Now, claims: &Claims) -> Result<Fresh, Reject> {
        self.session_of(claims)?;
        if self.app(claims.user)?.is_some() {
            // Nothing changes yet, and what does later asks for a code of that app: no other proof is needed.
            let account = self.account(claims.user)?;
            let secret = TotpSecret::new(self.bytes());
            let replacement = Some(self.seal_replacement(now, claims, &secret));
            return Ok(Fresh { secret, account, replacement });
        }
        self.recent(now, claims)?;
        let account = self.account(claims.user)?;
        let secret = TotpSecret::new(self.bytes());
        let sealed = self.seal(claims.user, &secret);
        let kept = self.runtime.block_on(self.store.enrol(claims.user, &sealed, now.wall));
        match self.wrote(kept)? {
            Enrolled::Waits => Ok(Fresh { secret, account, replacement: None }),
            Enrolled::HasOne => Err(Reject::because(
                ErrorCode::Conflict,
                "two-step sign-in was turned on meanwhile; begin again",
            )),
            Enrolled::NoAccount => Err(ErrorCode::InvalidToken.into()),
        }
    }

    fn confirm(&mut self, now: Now, from: IpAddr, claims: &Claims, code: &Code) -> Result<Made, Reject> {
        self.attempt(now, from)?;
        let session = self.session_of(claims)?;
        let none = || Reject::because(ErrorCode::Conflict, "no app waits for its first code; begin again");
        let found = self.stored(self.runtime.block_on(self.store.factor(claims.user)))?;
        let app = found.filter(|app| app.confirmed.is_none()).ok_or_else(none)?;
        if now.wall.0 > app.enrolled.0.saturating_add(self.policies.factors.enrolment_millis) {
            return Err(none());
        }
        let step = self.open(&app)?.secret.accept(code, now.wall, app.last_step).ok_or_else(wrong)?;
        if self.policies.factors.required {
            // Whoever opened them with the number alone has shown no second factor, and would be let in by this one.
            let others = Which::Others(claims.session);
            let revoked =
                self.runtime.block_on(self.store.revoke(claims.user, others, AuditKind::Revoked, now.wall));
            let ended = self.wrote(revoked)?;
            self.ended(now, &ended);
        }
        let (codes, proofs) = self.make_recovery(claims.user);
        let confirmed =
            self.runtime.block_on(self.store.confirm(&app, step, &proofs, claims.session, now.wall));
        if !self.wrote(confirmed)? {
            return Err(none());
        }
        let opened = claims.enrolling.then(|| {
            let bearer = bearer_of(&session, session.family.ends(), false);
            self.access(now, &Bearer { authenticated: claims.authenticated, ..bearer })
        });
        let other_sessions = self.other_sessions(now, claims)?;
        Ok(Made { codes, other_sessions, opened })
    }

    fn replace(
        &mut self,
        now: Now,
        from: IpAddr,
        claims: &Claims,
        asked: &Replacing,
    ) -> Result<Made, Reject> {
        self.attempt(now, from)?;
        self.session_of(claims)?;
        let none =
            || Reject::because(ErrorCode::Conflict, "no app waits to take the place of another; begin again");
        self.app(claims.user)?.ok_or_else(none)?;
        let sealed = self.open_replacement(now, claims, &asked.replacement).ok_or_else(none)?;
        let next = self.factor_keys.open(claims.user, &sealed).map_err(|_| none())?;
        // The new app's code first: one that is mistyped must not use up a recovery code.
        let step = next.secret.accept(&asked.code, now.wall, 0).ok_or_else(wrong)?;
        self.prove_factor(now, claims.user, &asked.current)?;
        let app = self.app(claims.user)?.ok_or_else(none)?;
        // The app last: until then the one that is on holds, and only its recovery codes may be void when a store fails in between.
        let made = self.make_anew(now, claims)?;
        let kind = AuditKind::FactorOn;
        let event = AuditEvent { at: now.wall, user: claims.user, session: claims.session, kind };
        let noted = self.runtime.block_on(self.store.note(event));
        self.wrote(noted)?;
        let replaced = self.runtime.block_on(self.store.accept_step(&app, step, Some(&sealed)));
        if !self.wrote(replaced)? {
            return Err(none());
        }
        Ok(made)
    }

    fn turn_off(&mut self, now: Now, from: IpAddr, claims: &Claims, shown: &Shown) -> Result<usize, Reject> {
        self.attempt(now, from)?;
        self.session_of(claims)?;
        let off = || Reject::because(ErrorCode::Conflict, "two-step sign-in is off");
        self.app(claims.user)?.ok_or_else(off)?;
        if self.policies.factors.required {
            return Err(Reject::because(
                ErrorCode::Forbidden,
                "this server demands a second factor of everybody: it cannot be turned off",
            ));
        }
        self.prove_factor(now, claims.user, shown)?;
        let removed = self.runtime.block_on(self.store.remove_factor(claims.user, claims.session, now.wall));
        if !self.wrote(removed)? {
            return Err(off());
        }
        self.other_sessions(now, claims)
    }

    fn new_recovery(&mut self, now: Now, claims: &Claims) -> Result<Made, Reject> {
        self.session_of(claims)?;
        self.recent(now, claims)?;
        self.make_anew(now, claims)
    }

    fn sent_to(&mut self, claims: &Claims) -> Result<Account, Reject> {
        self.session_of(claims)?;
        if self.app(claims.user)?.is_some() {
            return Err(Reject::because(
                ErrorCode::Conflict,
                "this account has an app: prove who you are with its code, or with a recovery code",
            ));
        }
        self.account(claims.user)
    }

    fn step_up(
        &mut self,
        now: Now,
        from: IpAddr,
        claims: &Claims,
        again: &Again,
    ) -> Result<(Token, Millis), Reject> {
        self.attempt(now, from)?;
        let session = self.session_of(claims)?;
        let has_app = self.app(claims.user)?.is_some();
        match again {
            Again::Second(shown) if has_app => self.prove_factor(now, claims.user, shown)?,
            Again::Sent(request, code) if !has_app => {
                let account = self.account(claims.user)?;
                match self.runtime.block_on(self.vault.prove(now, *request, code)) {
                    Found::Good(phone) if phone == account.phone => self.counts.proved(true),
                    Found::Good(_) | Found::Bad => {
                        self.counts.proved(false);
                        return Err(wrong());
                    }
                    Found::Away => return Err(wait(ErrorCode::Unavailable, 1_000)),
                }
            }
            Again::Second(_) => {
                let what = "this account has no app: ask for a code with POST /v1/auth/step_up/code, and send its request_id";
                return Err(Reject::because(ErrorCode::InvalidField, what));
            }
            Again::Sent(..) => {
                let what = "this account has an app: send its code, or a recovery code, without request_id";
                return Err(Reject::because(ErrorCode::InvalidField, what));
            }
        }
        let life = self.policies.factors.recent_millis.min(SESSION_TOKEN_MILLIS_MAX);
        let expires = Millis(now.wall.0.saturating_add(life)).min(session.family.ends());
        let enrolling = self.policies.factors.required && !has_app;
        let bearer = bearer_of(&session, session.family.ends(), enrolling);
        Ok(self.access_until(now, &Bearer { authenticated: now.wall, ..bearer }, expires))
    }
}
