//! What accounts share with the rest of the server: the keys, the tickets, and the news of sessions that ended.
//!
//! Thread: any. Each is behind a lock that is held for a few map operations; none is touched per message.
//! Limits: see [`lynk_auth::ONE_TIME_MAX`]. Nothing can fail.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use lynk_auth::{Attempts, Claims, KeyRing, OneTime, OneTimeFull, OneTimeKind, Opaque, ServerSecret};
use lynk_domain::{Millis, Nanos, Revocation, SessionId, UserId};
use lynk_protocol::{ErrorCode, Reject};

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
pub struct Tickets {
    server: Arc<ServerSecret>,
    table: Mutex<OneTime<Claims>>,
}

impl Tickets {
    pub(super) fn new(server: Arc<ServerSecret>) -> Arc<Self> {
        Arc::new(Self { server, table: Mutex::new(OneTime::new(OneTimeKind::TICKET)) })
    }

    pub(super) fn make(&self, now: Nanos, random: [u8; 32], claims: Claims) -> Result<Opaque, OneTimeFull> {
        lock(&self.table).make(now, &self.server, claims.session.0, random, claims)
    }

    pub(super) fn drop_session(&self, session: SessionId) {
        lock(&self.table).drop_owner(session.0);
    }

    /// Who a ticket was made for, and until when the access token holds that it was made with. The ticket is used up.
    pub fn redeem(&self, now: Nanos, ticket: &str) -> Option<Claims> {
        lock(&self.table).take(now, &self.server, ticket)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        lock(&self.table).fmt(f)
    }
}

/// Questions that an account may ask at once, and again within [`PACE_NANOS`].
const PACE_BURST: u32 = 100;
const PACE_NANOS: u64 = 2 * Nanos::SECOND;

/// How often each account asks. Ends of sessions are not counted: whoever has a stolen token must not keep its owner from
/// ending it.
#[derive(Default, Debug)]
pub(super) struct Pace(Mutex<Attempts>);

impl Pace {
    /// # Errors
    /// `rate_limited`, with a time.
    pub(super) fn take(&self, now: Nanos, user: UserId) -> Result<(), Reject> {
        lock(&self.0).take_of(now, user.0, PACE_BURST, PACE_NANOS).map_err(|millis| {
            Reject::after(ErrorCode::RateLimited, u32::try_from(millis).unwrap_or(u32::MAX))
        })
    }
}

/// Is told of each session that ended before its access tokens did, and until when the last of them lives. Called on the
/// accounts' thread, so it must not block.
pub(super) type OnEnded = Box<dyn Fn(Millis, Revocation, Millis) + Send>;
