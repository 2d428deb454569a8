//! Sessions that ended before their access tokens did.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use lynk_domain::{Millis, Revocation, SessionId};

/// Revoked sessions that are remembered at a time; then the oldest is forgotten. Each needed a sign-in.
pub const REVOKED_MAX: usize = 1 << 20;

/// One session: the first epoch that is good, and how often it stands in the order.
#[derive(Default)]
struct Kept {
    epoch: u32,
    places: u32,
}

/// Which access tokens are not accepted although they are authentic and not over. A session is remembered as long as its
/// last access token may live; after that the token is refused for its age.
#[derive(Default)]
pub struct RevokedSessions {
    sessions: BTreeMap<SessionId, Kept>,
    /// In the order of revocation: until when, wall clock.
    order: VecDeque<(Millis, SessionId)>,
}

impl RevokedSessions {
    /// Remembers a revocation until `until`.
    pub fn insert(&mut self, revocation: Revocation, until: Millis) {
        if self.order.len() >= REVOKED_MAX {
            self.forget_first();
        }
        let kept = self.sessions.entry(revocation.session).or_default();
        kept.epoch = revocation.epoch.max(kept.epoch);
        kept.places += 1;
        self.order.push_back((until, revocation.session));
    }

    /// Whether an access token of `session` and `epoch` is not accepted any more.
    #[must_use]
    pub fn contains(&self, session: SessionId, epoch: u32) -> bool {
        self.sessions.get(&session).is_some_and(|kept| epoch < kept.epoch)
    }

    /// Forgets those whose tokens are over.
    pub fn forget(&mut self, wall: Millis) {
        while self.order.front().is_some_and(|(until, _)| *until <= wall) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        let Some((_, session)) = self.order.pop_front() else { return };
        let Some(kept) = self.sessions.get_mut(&session) else { return };
        kept.places -= 1;
        if kept.places == 0 {
            self.sessions.remove(&session);
        }
    }
}

impl fmt::Debug for RevokedSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RevokedSessions({})", self.sessions.len())
    }
}

#[cfg(test)]
mod tests {
    use lynk_domain::UserId;

    use super::*;

    fn revoked(session: u8, epoch: u32) -> Revocation {
        Revocation { user: UserId([1; 16]), session: SessionId([session; 16]), epoch }
    }

    #[test]
    fn tokens_of_earlier_epochs_are_refused_until_they_are_over_anyway() {
        let mut table = RevokedSessions::default();
        table.insert(revoked(1, 2), Millis(100));
        table.insert(revoked(1, 3), Millis(200));
        table.insert(revoked(1, 2), Millis(300));
        let seen = |table: &RevokedSessions| {
            [1, 2, 3]
                .map(|epoch| table.contains(SessionId([1; 16]), epoch))
                .iter()
                .filter(|refused| **refused)
                .count()
        };
        assert_eq!(seen(&table), 2);
        assert!(!table.contains(SessionId([2; 16]), 0));
        table.forget(Millis(200));
        assert_eq!(seen(&table), 2, "still in its third place");
        table.forget(Millis(300));
        assert_eq!(seen(&table), 0);
        assert!(table.sessions.is_empty());
    }
}
