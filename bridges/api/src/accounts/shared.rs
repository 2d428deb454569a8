//! What accounts share with the rest of the server: the keys, the tickets, and the news of sessions that ended.
//!
//! Thread: any. What is behind a lock is held for a few map operations; none is touched per message. Nothing can fail.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use lynk_auth::{Attempts, Claims, KeyRing};
use lynk_domain::{Millis, Nanos, Now, Revocation, SessionId, UserId};
use lynk_engine::{Principal, TicketOutcome};
use lynk_protocol::{ErrorCode, Reject};

use super::vault::{Found, Vault};

/// The tables hold at any moment: a thread that died in between left them whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The keys as they are now; swapped whole when they are read again.
#[derive(Debug)]
pub struct Keys {
    ring: RwLock<Arc<KeyRing>>,
}

impl Keys {
    /// Starts with `ring`.
    #[must_use]
    pub fn new(ring: KeyRing) -> Arc<Self> {
        Arc::new(Self { ring: RwLock::new(Arc::new(ring)) })
    }

    /// The ring now.
    #[must_use]
    pub fn current(&self) -> Arc<KeyRing> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the ring.
    pub fn replace(&self, ring: KeyRing) {
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
    }
}

/// Socket tickets: made over HTTP, used up by the socket's `hello`.
#[derive(Debug)]
pub struct Tickets(Arc<Vault>);

impl Tickets {
    pub(super) fn new(vault: Arc<Vault>) -> Arc<Self> {
        Arc::new(Self(vault))
    }

    /// What a ticket is good for, and until when the access token holds that it was made with. The ticket is used up.
    pub async fn redeem(&self, now: Now, ticket: &str) -> TicketOutcome {
        match self.0.take_ticket(now, ticket).await {
            Found::Good(Claims { user, session, expires, .. }) => {
                TicketOutcome::Good { principal: Principal { user, session }, expires }
            }
            Found::Bad => TicketOutcome::Bad,
            Found::Away => TicketOutcome::Busy,
        }
    }
}

/// Questions that an account may ask at once, and again within [`PACE_NANOS`].
const PACE_BURST: u32 = 100;
const PACE_NANOS: u64 = 2 * Nanos::SECOND;

/// How often each account asks. Ends of sessions are not counted, and the proofs that they need are counted by session: whoever
/// has a stolen token must not keep its owner from ending it.
#[derive(Default, Debug)]
pub(super) struct Pace(Mutex<Attempts>);

impl Pace {
    /// # Errors
    /// `rate_limited`, with a time.
    pub(super) fn take(&self, now: Nanos, user: UserId) -> Result<(), Reject> {
        self.take_of(now, user.0)
    }

    /// One of a session's own.
    ///
    /// # Errors
    /// `rate_limited`, with a time.
    pub(super) fn take_proof(&self, now: Nanos, session: SessionId) -> Result<(), Reject> {
        self.take_of(now, session.0)
    }

    fn take_of(&self, now: Nanos, whose: [u8; 16]) -> Result<(), Reject> {
        lock(&self.0).take_of(now, whose, PACE_BURST, PACE_NANOS).map_err(|millis| {
            Reject::after(ErrorCode::RateLimited, u32::try_from(millis).unwrap_or(u32::MAX))
        })
    }
}

/// Is told of each session that ended before its access tokens did, and until when the last of them lives. Called on the
/// accounts' thread, so it must not block.
pub(super) type OnEnded = Box<dyn Fn(Millis, Revocation, Millis) + Send>;
