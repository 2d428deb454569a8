//! What waits to be told, and whom the store has from us. Pure.

use std::collections::{BTreeMap, VecDeque};

use lynk_domain::{Nanos, UserId};
use lynk_engine::PresenceNews;
use lynk_model::port::{PRESENCE_PER_CALL_MAX, Seen};

/// Users who came or went and wait to be told; and as many who stay.
pub const CHANGES_MAX: usize = 4_096;
/// Users that the store has from this process at a time.
pub const TOLD_MAX: usize = 65_536;

#[derive(Default)]
pub(crate) struct Mirror {
    /// The latest of each user that waits.
    waiting: BTreeMap<UserId, bool>,
    /// Who came or went, in that order. Some may have been told with the other queue.
    changes: VecDeque<UserId>,
    /// Whose lease is to be held.
    again: VecDeque<UserId>,
    /// Whom the store has, and until when.
    told: BTreeMap<UserId, Nanos>,
}

impl Mirror {
    /// Takes news; `false` when there is no room for them.
    pub(crate) fn note(&mut self, news: PresenceNews) -> bool {
        let queue = if news.again { &mut self.again } else { &mut self.changes };
        // Who waits to come is not told again besides; who stays and goes is told as one who goes.
        let queued = self.waiting.contains_key(&news.user);
        if !queued || !news.again {
            if queue.len() >= CHANGES_MAX {
                return false;
            }
            queue.push_back(news.user);
        }
        self.waiting.insert(news.user, news.online);
        true
    }

    /// Whether somebody waits to be told.
    pub(crate) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What is told next, for a lease that begins now.
    pub(crate) fn next(&mut self, now: Nanos, lease_millis: u64) -> Vec<Seen> {
        let until = now.after(lease_millis.saturating_mul(Nanos::MILLISECOND));
        let mut seen = Vec::new();
        while seen.len() < PRESENCE_PER_CALL_MAX {
            let Some(user) = self.changes.pop_front().or_else(|| self.again.pop_front()) else { break };
            let Some(online) = self.waiting.remove(&user) else { continue };
            let had = self.told.remove(&user).is_some_and(|until| until > now);
            if online {
                if self.told.len() >= TOLD_MAX {
                    self.told.retain(|_, until| *until > now);
                }
                // One who does not fit is told all the same, and only not taken out when the process ends.
                if self.told.len() < TOLD_MAX {
                    self.told.insert(user, until);
                }
            } else if !had {
                // Came and went in between, or ran out: there is nothing to take back.
                continue;
            }
            seen.push(Seen { user, online });
        }
        seen
    }

    /// Whom the store may have from us; forgets them.
    pub(crate) fn everybody(&mut self) -> Vec<UserId> {
        std::mem::take(self).told.into_keys().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: u64 = 60_000;

    fn user(n: usize) -> UserId {
        UserId((n as u128 + 1).to_be_bytes())
    }

    fn news(n: usize, online: bool) -> PresenceNews {
        PresenceNews { user: user(n), online, again: false }
    }

    fn stays(n: usize) -> PresenceNews {
        PresenceNews { user: user(n), online: true, again: true }
    }

    fn seen(n: usize, online: bool) -> Seen {
        Seen { user: user(n), online }
    }

    #[test]
    fn of_each_user_the_latest_is_told_once() {
        let mut mirror = Mirror::default();
        for (n, online) in [(1, true), (2, true), (1, false), (1, true), (3, true), (3, false)] {
            assert!(mirror.note(news(n, online)));
        }
        assert_eq!(mirror.next(Nanos(0), LEASE), [seen(1, true), seen(2, true)], "3 was never told");
        assert!(!mirror.waits());
        assert!(mirror.note(news(2, false)) && mirror.note(stays(1)));
        assert_eq!(mirror.next(Nanos(1), LEASE), [seen(2, false), seen(1, true)]);
        assert!(mirror.note(news(1, false)));
        assert_eq!(mirror.next(Nanos(2 * LEASE * Nanos::MILLISECOND), LEASE), [], "it has run out");
    }

    #[test]
    fn changes_are_told_before_leases_are_held() {
        let mut mirror = Mirror::default();
        for n in 0..2 * PRESENCE_PER_CALL_MAX {
            assert!(mirror.note(stays(n)));
        }
        assert!(mirror.note(news(999, true)) && mirror.note(news(0, false)));
        let told = mirror.next(Nanos(0), LEASE);
        assert_eq!(told.len(), PRESENCE_PER_CALL_MAX);
        assert_eq!(told[..2], [seen(999, true), seen(1, true)], "0 went before it was told");
        assert_eq!(mirror.next(Nanos(0), LEASE).len(), PRESENCE_PER_CALL_MAX);
        assert_eq!(mirror.next(Nanos(0), LEASE), []);
        assert!(!mirror.waits());
    }

    #[test]
    fn what_has_no_room_is_dropped_and_the_rest_stays() {
        let mut mirror = Mirror::default();
        let taken = (0..CHANGES_MAX + 10).filter(|n| mirror.note(news(*n, true))).count();
        assert_eq!(taken, CHANGES_MAX);
        assert!(mirror.note(stays(CHANGES_MAX + 5)), "another queue");
        let mut told = 0;
        while mirror.waits() {
            told += mirror.next(Nanos(0), LEASE).len();
        }
        assert_eq!(told, CHANGES_MAX + 1);
        assert_eq!(mirror.everybody().len(), CHANGES_MAX + 1);
        assert_eq!(mirror.everybody(), []);
    }

    #[test]
    fn the_users_of_a_process_are_bounded() {
        let mut mirror = Mirror::default();
        for n in 0..TOLD_MAX + 500 {
            assert!(mirror.note(news(n, true)));
            if n % PRESENCE_PER_CALL_MAX == 0 {
                mirror.next(Nanos(0), LEASE);
            }
        }
        while mirror.waits() {
            mirror.next(Nanos(0), LEASE);
        }
        assert_eq!(mirror.told.len(), TOLD_MAX);
        let late = TOLD_MAX + 900;
        assert!(mirror.note(news(late, true)));
        assert_eq!(mirror.next(Nanos(LEASE * Nanos::MILLISECOND), LEASE), [seen(late, true)]);
        assert_eq!(mirror.told.len(), 1, "the others ran out");
    }
}
