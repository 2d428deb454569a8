//! Sessions that ended before their tokens did.
//!
//! A token proves its session until it expires; this says which sessions are over all the same. An entry is needed until the
//! last token of its session expires, which is some minutes.
//!
//! Limit: [`REVOKED_MAX`] sessions. At the limit the one whose tokens end first is forgotten, and every token that ends no
//! later than that counts as expired: its owner refreshes, which a revoked session cannot do. So no revoked session is ever
//! let in, and others lose a round trip.

use std::collections::BTreeSet;

use lynk_domain::{FixedMap, Millis, SessionId, fixed_map};

/// Sessions that are remembered at most.
const REVOKED_MAX: usize = 64 << 10;

/// Whether a session's token may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It may.
    Good,
    /// Its session is over.
    Revoked,
    /// It is not known whether its session is over; a newer token is needed.
    Stale,
}

/// The sessions that ended before their tokens did.
#[derive(Debug)]
pub struct Revoked {
    until: FixedMap<SessionId, Millis>,
    by_end: BTreeSet<(Millis, SessionId)>,
    /// Tokens that end no later count as expired.
    stale_until: Millis,
    max: usize,
}

impl Revoked {
    /// None yet. `seed` is secret, so that outsiders cannot aim at one bucket.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_max(seed, REVOKED_MAX)
    }

    fn with_max(seed: u64, max: usize) -> Self {
        Self { until: fixed_map(seed), by_end: BTreeSet::new(), stale_until: Millis(0), max }
    }

    /// Notes that a session is over, whose last token ends at `until`.
    pub fn insert(&mut self, wall: Millis, session: SessionId, until: Millis) {
        while let Some((end, ended)) = self.by_end.first().copied().filter(|(end, _)| *end <= wall) {
            self.by_end.remove(&(end, ended));
            self.until.remove(&ended);
        }
        if let Some(before) = self.until.insert(session, until) {
            self.by_end.remove(&(before, session));
        }
        self.by_end.insert((until, session));
        if self.until.len() > self.max
            && let Some((end, forgotten)) = self.by_end.pop_first()
        {
            self.until.remove(&forgotten);
            self.stale_until = self.stale_until.max(end);
        }
    }

    /// Whether `session` is revoked.
    #[must_use]
    pub fn has(&self, session: SessionId) -> bool {
        self.until.contains_key(&session)
    }

    /// Whether a token of `session` that ends at `expires` may be used.
    #[must_use]
    pub fn standing(&self, session: SessionId, expires: Millis) -> Standing {
        if self.has(session) {
            Standing::Revoked
        } else if expires <= self.stale_until {
            Standing::Stale
        } else {
            Standing::Good
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(n: u8) -> SessionId {
        SessionId([n; 16])
    }

    #[test]
    fn a_revoked_session_is_known_until_its_last_token_ends() {
        let mut revoked = Revoked::with_max(1, 8);
        revoked.insert(Millis(0), session(1), Millis(100));
        revoked.insert(Millis(0), session(1), Millis(200));
        assert_eq!(revoked.standing(session(1), Millis(150)), Standing::Revoked);
        assert_eq!(revoked.standing(session(2), Millis(150)), Standing::Good);
        revoked.insert(Millis(150), session(3), Millis(300));
        assert_eq!(revoked.standing(session(1), Millis(150)), Standing::Revoked, "the later end counts");
        revoked.insert(Millis(200), session(4), Millis(300));
        assert_eq!((revoked.until.len(), revoked.by_end.len()), (2, 2), "nothing is kept for ever");
    }

    #[test]
    fn at_its_limit_it_asks_for_newer_tokens_and_lets_no_revoked_session_in() {
        let mut revoked = Revoked::with_max(1, 2);
        for n in 1..=5 {
            revoked.insert(Millis(0), session(n), Millis(u64::from(n) * 10));
        }
        assert_eq!(revoked.until.len(), 2);
        for n in 1..=5 {
            assert_ne!(revoked.standing(session(n), Millis(u64::from(n) * 10)), Standing::Good, "{n}");
        }
        assert_eq!(revoked.standing(session(9), Millis(30)), Standing::Stale);
        assert_eq!(revoked.standing(session(9), Millis(31)), Standing::Good);
    }
}
