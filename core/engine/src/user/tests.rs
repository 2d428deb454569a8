//! Presence as watchers on the other shard see it.

use lynk_domain::UserId;
use lynk_model::{StoreError, StoreReply, StoreRequest};

use crate::rig::{HERE, Rig, THERE, user_of};
use crate::{ConnectionRef, Input, Mail, Slot};

fn there(slot: u32) -> ConnectionRef {
    ConnectionRef { shard: THERE, slot: Slot(slot), generation: 1 }
}

fn watch(rig: &mut Rig, from: ConnectionRef, watcher: UserId, user: UserId, on: bool) {
    rig.mail(Mail::Watch { from, watcher, users: [user].into(), on });
}

/// What watchers were told since the last call.
fn told(rig: &mut Rig) -> Vec<(u32, bool)> {
    let mail = std::mem::take(&mut rig.mail);
    let presence = |(_, mail)| match mail {
        Mail::Presence { to, online, .. } => Some((to.slot.0, online)),
        _ => None,
    };
    mail.into_iter().filter_map(presence).collect()
}

/// A user of this shard, watched by two connections of the other; blocks are known.
fn watched(rig: &mut Rig) -> UserId {
    let user = user_of(HERE, 0);
    watch(rig, there(1), user_of(THERE, 1), user, true);
    watch(rig, there(2), user_of(THERE, 2), user, true);
    assert_eq!(told(rig), [], "nothing is told before blocks are known");
    assert!(matches!(rig.requests[..], [(_, StoreRequest::Blocks { user: asked })] if asked == user));
    rig.reply(StoreReply::Blocks(Vec::new()));
    assert_eq!(told(rig), [(1, false), (2, false)]);
    user
}

fn leave(rig: &mut Rig, slot: u32) {
    rig.give(Input::Closed { slot: Slot(slot) });
}

#[test]
fn watchers_are_told_of_the_first_and_the_last_connection() {
    let mut rig = Rig::new();
    let user = watched(&mut rig);
    rig.wait_millis(2_000);
    rig.upgrade(1);
    rig.hello(1, user, "");
    assert_eq!(told(&mut rig), [(1, true), (2, true)]);
    rig.upgrade(2);
    rig.hello(2, user, "");
    leave(&mut rig, 1);
    rig.wait_millis(3_000);
    assert_eq!(told(&mut rig), []);
    leave(&mut rig, 2);
    assert_eq!(told(&mut rig), [(1, false), (2, false)]);
}

#[test]
fn flapping_is_told_once_a_second_and_ends_with_the_truth() {
    let mut rig = Rig::new();
    let user = watched(&mut rig);
    rig.wait_millis(2_000);
    let mut changes = 0;
    for _ in 0..30 {
        rig.upgrade(1);
        rig.hello(1, user, "");
        rig.wait_millis(50);
        leave(&mut rig, 1);
        rig.wait_millis(50);
        changes += told(&mut rig).iter().filter(|(slot, _)| *slot == 1).count();
    }
    assert!((1..=4).contains(&changes), "{changes} in three seconds");
    rig.wait_millis(2_000);
    told(&mut rig);
    watch(&mut rig, there(1), user_of(THERE, 1), user, true);
    assert_eq!(told(&mut rig), [(1, false)], "asking again tells again");
}

#[test]
fn a_blocked_pair_is_offline_to_each_other() {
    let mut rig = Rig::new();
    let user = user_of(HERE, 0);
    rig.sign_in(1, user);
    let (by, plain, of) = (user_of(THERE, 1), user_of(THERE, 2), user_of(THERE, 3));
    for (slot, watcher) in [(1, by), (2, plain), (3, of)] {
        watch(&mut rig, there(slot), watcher, user, true);
    }
    rig.reply(StoreReply::Blocks(vec![(by, user), (user, of)]));
    assert_eq!(told(&mut rig), [(1, false), (2, true), (3, false)]);
    rig.mail(Mail::BlockChanged { by, user, on: false });
    rig.mail(Mail::BlockChanged { by: user, user: plain, on: true });
    assert_eq!(told(&mut rig), [(1, true), (2, false)]);
    // One sees oneself whatever one blocks.
    watch(&mut rig, there(9), user, user, true);
    assert_eq!(told(&mut rig), [(9, true)]);
}

#[test]
fn a_block_that_changes_while_the_store_is_asked_is_not_lost() {
    let mut rig = Rig::new();
    let user = user_of(HERE, 0);
    rig.sign_in(1, user);
    let watcher = user_of(THERE, 1);
    watch(&mut rig, there(1), watcher, user, true);
    rig.mail(Mail::BlockChanged { by: user, user: watcher, on: true });
    rig.reply(StoreReply::Blocks(Vec::new()));
    assert_eq!(told(&mut rig), []);
    rig.reply(StoreReply::Blocks(vec![(user, watcher)]));
    assert_eq!(told(&mut rig), [(1, false)]);
}

#[test]
fn blocks_that_cannot_be_read_are_asked_for_again() {
    let mut rig = Rig::new();
    let user = user_of(HERE, 0);
    rig.sign_in(1, user);
    watch(&mut rig, there(1), user_of(THERE, 1), user, true);
    rig.reply(StoreReply::Failed(StoreError::Unavailable));
    assert_eq!(rig.requests.len(), 0);
    rig.wait_millis(1_000);
    rig.reply(StoreReply::Blocks(Vec::new()));
    assert_eq!(told(&mut rig), [(1, true)]);
}

#[test]
fn news_that_a_full_mailbox_refused_is_told_later_as_it_is_then() {
    let mut rig = Rig::new();
    let user = watched(&mut rig);
    rig.wait_millis(2_000);
    rig.upgrade(1);
    rig.hello(1, user, "");
    for (to, mail) in std::mem::take(&mut rig.mail) {
        if matches!(mail, Mail::Presence { .. }) {
            rig.give(Input::MailRefused { to, mail });
        }
    }
    leave(&mut rig, 1);
    rig.wait_millis(2_000);
    assert_eq!(told(&mut rig), [(1, false), (2, false)]);
}

#[test]
fn a_user_with_many_watchers_is_told_in_parts() {
    let mut rig = Rig::new();
    let user = watched(&mut rig);
    for slot in 3..=500 {
        watch(&mut rig, there(slot), user_of(THERE, 1), user, true);
    }
    told(&mut rig);
    rig.wait_millis(2_000);
    rig.upgrade(1);
    rig.hello(1, user, "");
    assert_eq!(told(&mut rig).len(), 128);
    // Meanwhile some go and one comes.
    for slot in [1, 100, 128, 129, 400] {
        watch(&mut rig, there(slot), user_of(THERE, 1), user, false);
    }
    watch(&mut rig, there(0), user_of(THERE, 1), user, true);
    let mut rest = told(&mut rig);
    while rig.engine.next_deadline().is_some_and(|at| at <= rig.now.mono) {
        rig.give(Input::Deadline);
        let part = told(&mut rig);
        assert!(part.len() <= 128, "{} in one call", part.len());
        rest.extend(part);
    }
    rest.sort_unstable();
    rest.dedup();
    let expected: Vec<_> =
        [0].into_iter().chain(130..=500).filter(|slot| *slot != 400).map(|slot| (slot, true)).collect();
    assert_eq!(rest, expected);
}

#[test]
fn users_who_change_together_are_told_in_parts() {
    let mut rig = Rig::new();
    let users: Vec<_> = (0..10).map(|number| user_of(HERE, number)).collect();
    for user in &users {
        for slot in 1..=30 {
            watch(&mut rig, there(slot), user_of(THERE, 1), *user, true);
        }
        rig.reply(StoreReply::Blocks(Vec::new()));
    }
    rig.wait_millis(2_000);
    for (slot, user) in (100..).zip(&users) {
        rig.sign_in(slot, *user);
        leave(&mut rig, slot);
    }
    told(&mut rig);
    // All of them went within the second in which they came, so the news of that is due at one time.
    rig.now.mono = rig.engine.next_deadline().expect("news");
    rig.give(Input::Deadline);
    assert!(told(&mut rig).len() <= 128 && rig.more);
    let mut rest = 0;
    while rig.more {
        rig.give(Input::Deadline);
        let part = told(&mut rig).len();
        assert!((1..=128).contains(&part), "{part} in one call");
        rest += part;
    }
    assert!((300 - 128..300).contains(&rest), "{rest}");
}

#[test]
fn nobody_watched_and_nobody_online_costs_nothing() {
    let mut rig = Rig::new();
    let user = watched(&mut rig);
    for slot in [1, 2] {
        watch(&mut rig, there(slot), UserId::NIL, user, false);
    }
    rig.sign_in(1, user);
    leave(&mut rig, 1);
    assert_eq!(told(&mut rig), []);
    rig.wait_millis(20_000);
    assert_eq!(rig.engine.next_deadline(), None);
    assert_eq!(rig.engine.users_known(), 0);
}
