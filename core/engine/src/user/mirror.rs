//! Who is online, told to the mirror outside: changes as they happen, and those who stay once in a round, so that their lease does not end.
//!
//! Nothing is remembered of what was told: whoever was not heard of is told with the next round, and whose end was not heard of runs out. A
//! round begins at the lowest places, so when there are more users than it can tell, the same ones are told each time.
//!
//! Limits: [`TOLD_PER_SECOND_MAX`] users that stay in a second, over all shards; [`PLACES_MAX`] places looked at in one call.

use lynk_domain::{Nanos, UserId};

use super::Users;
use crate::EngineConfig;
use crate::context::Context;
use crate::io::PresenceNews;

/// Users that stay and are told in one second by all shards together: the mirror takes no more.
const TOLD_PER_SECOND_MAX: u32 = 2_048;
/// Places of users that one call looks at; the rest follows at once, with other input between.
const PLACES_MAX: u32 = 1_024;

/// How far a round is.
pub(super) struct Mirror {
    /// 0 when nobody mirrors.
    round_nanos: u64,
    per_second: u32,
    /// When this round is over.
    ends: Nanos,
    /// The next place to look at.
    cursor: u32,
    /// Users told in this second.
    told: u32,
    /// This round has met somebody.
    anybody: bool,
    /// When to go on; `None` while nobody is online.
    next: Option<Nanos>,
}

impl Mirror {
    pub(super) fn new(config: &EngineConfig) -> Self {
        let per_second = (TOLD_PER_SECOND_MAX / u32::from(config.shard_count.max(1))).max(1);
        let round_nanos = config.presence_round_nanos;
        Self { round_nanos, per_second, ends: Nanos(0), cursor: 0, told: 0, anybody: false, next: None }
    }

    pub(super) fn next_deadline(&self) -> Option<Nanos> {
        self.next
    }

    /// A user got the first connection, or lost the last.
    pub(super) fn changed(&mut self, cx: &mut Context<'_>, user: UserId, online: bool) {
        if self.round_nanos == 0 {
            return;
        }
        cx.fx.presence.push(PresenceNews { user, online, again: false });
        if online && self.next.is_none() {
            self.begin(cx.now.mono);
        }
    }

    /// Plans a round for when this one is over.
    fn begin(&mut self, now: Nanos) {
        self.ends = now.after(self.round_nanos);
        self.next = Some(self.ends);
        self.cursor = 0;
    }
}

impl Users {
    /// Tells the next users that stay, when it is time for it.
    pub(super) fn mirror_again(&mut self, cx: &mut Context<'_>) {
        let now = cx.now.mono;
        let Self { mirror, slab, .. } = self;
        if mirror.next.is_none_or(|at| at > now) {
            return;
        }
        if mirror.ends <= now {
            // The one before may not have come to the end.
            if mirror.cursor > 0 {
                cx.shared.counters.presence_missed += u64::from(slab.end().saturating_sub(mirror.cursor));
            }
            mirror.cursor = 0;
            mirror.ends = now.after(mirror.round_nanos);
        }
        let stop = slab.end().min(mirror.cursor.saturating_add(PLACES_MAX));
        while mirror.cursor < stop && mirror.told < mirror.per_second {
            let user = slab.get(mirror.cursor).filter(|user| !user.connections.is_empty());
            mirror.cursor += 1;
            if let Some(user) = user {
                mirror.told += 1;
                mirror.anybody = true;
                cx.fx.presence.push(PresenceNews { user: user.user, online: true, again: true });
            }
        }
        if mirror.cursor >= slab.end() {
            // With nobody online nothing is left to be told; the next who comes begins anew.
            mirror.next = std::mem::take(&mut mirror.anybody).then_some(mirror.ends);
            mirror.told = 0;
            mirror.cursor = 0;
        } else if mirror.told >= mirror.per_second {
            mirror.told = 0;
            mirror.next = Some(now.after(Nanos::SECOND));
        } else {
            cx.fx.more = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use lynk_domain::UserId;

    use super::TOLD_PER_SECOND_MAX;
    use crate::rig::{HERE, Rig, THERE, user_of};
    use crate::{ConnectionRef, Mail, Slot};

    const ROUND: u64 = 60_000;

    fn there(slot: u32) -> ConnectionRef {
        ConnectionRef { shard: THERE, slot: Slot(slot), generation: 1 }
    }

    fn comes(rig: &mut Rig, slot: u32, user: UserId) {
        rig.mail(Mail::SignedIn { connection: there(slot), principal: Rig::principal(user) });
    }

    fn goes(rig: &mut Rig, slot: u32, user: UserId) {
        rig.mail(Mail::SignedOut { connection: there(slot), principal: Rig::principal(user) });
    }

    /// What the mirror was told since the last call: who, whether online, whether again.
    fn told(rig: &mut Rig) -> Vec<(UserId, bool, bool)> {
        std::mem::take(&mut rig.presence).iter().map(|one| (one.user, one.online, one.again)).collect()
    }

    #[test]
    fn the_first_and_the_last_connection_are_told_and_who_stays_once_a_round() {
        let mut rig = Rig::new();
        let (alice, bob) = (user_of(HERE, 0), user_of(HERE, 1));
        comes(&mut rig, 1, alice);
        comes(&mut rig, 2, alice);
        assert_eq!(told(&mut rig), [(alice, true, false)]);
        comes(&mut rig, 3, bob);
        goes(&mut rig, 3, bob);
        assert_eq!(told(&mut rig), [(bob, true, false), (bob, false, false)]);
        rig.wait_millis(ROUND - 1);
        assert_eq!(told(&mut rig), []);
        rig.wait_millis(1);
        assert_eq!(told(&mut rig), [(alice, true, true)]);
        rig.wait_millis(3 * ROUND);
        assert_eq!(told(&mut rig), [(alice, true, true); 3]);
        goes(&mut rig, 1, alice);
        assert_eq!(told(&mut rig), []);
        goes(&mut rig, 2, alice);
        assert_eq!(told(&mut rig), [(alice, false, false)]);
        rig.wait_millis(2 * ROUND);
        assert_eq!(told(&mut rig), []);
        assert_eq!(rig.engine.next_deadline(), None, "with nobody there is no round");
    }

    #[test]
    fn who_is_watched_and_away_is_not_told() {
        let mut rig = Rig::new();
        let (alice, bob) = (user_of(HERE, 0), user_of(HERE, 1));
        let watched =
            Mail::Watch { from: there(9), watcher: alice, users: [bob].into(), on: true, number: 1 };
        rig.mail(watched);
        comes(&mut rig, 1, alice);
        rig.wait_millis(ROUND);
        assert_eq!(told(&mut rig), [(alice, true, false), (alice, true, true)]);
    }

    #[test]
    fn a_round_is_spread_and_tells_the_same_users_when_it_cannot_tell_all() {
        let mut rig = Rig::new();
        // Two shards share what the mirror takes.
        let per_second = TOLD_PER_SECOND_MAX as usize / 2;
        let users: Vec<UserId> = (0..per_second as u32 * 70).map(user_of_fast).collect();
        for (slot, user) in users.iter().enumerate() {
            comes(&mut rig, slot as u32, *user);
        }
        assert_eq!(told(&mut rig).len(), users.len());
        rig.wait_millis(ROUND);
        assert_eq!(told(&mut rig).len(), per_second);
        rig.wait_millis(1_000);
        assert_eq!(told(&mut rig).len(), per_second);
        rig.wait_millis(ROUND - 1_001);
        let first = 2 * per_second + told(&mut rig).len();
        assert_eq!(first, 60 * per_second);
        assert_eq!(rig.engine.counters().presence_missed, 0);
        rig.wait_millis(1);
        assert_eq!(told(&mut rig)[0].0, users[0], "the next round begins where the one before did");
        assert_eq!(rig.engine.counters().presence_missed, 10 * per_second as u64);
    }

    /// A user of this shard; [`user_of`] looks from the beginning each time.
    fn user_of_fast(n: u32) -> UserId {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        let shard = |id: [u8; 16]| lynk_domain::shard_of_user(UserId(id), 2);
        (0..=u8::MAX)
            .map(|last| {
                id[15] = last;
                id
            })
            .find(|id| shard(*id) == HERE)
            .map(UserId)
            .expect("half of them")
    }
}
