//! Presence as watchers on the other shard see it.

use lynk_domain::UserId;
use lynk_model::{StoreError, StoreReply, StoreRequest};
use lynk_protocol::Frame;

use crate::rig::{HERE, Rig, THERE, user_of};
use crate::{ConnectionRef, Input, Mail, Slot};

fn there(slot: u32) -> ConnectionRef {
    ConnectionRef { shard: THERE, slot: Slot(slot), generation: 1 }
}

fn watch(rig: &mut Rig, from: ConnectionRef, watcher: UserId, user: UserId, on: bool) {
    watch_as(rig, from, watcher, user, on, 1);
}

fn watch_as(rig: &mut Rig, from: ConnectionRef, watcher: UserId, user: UserId, on: bool, number: u32) {
    rig.mail(Mail::Watch { from, watcher, users: [user].into(), on, number });
}

/// Answers the questions of who may see a user: everyone but `apart`.
fn answer_but(rig: &mut Rig, apart: &[UserId]) {
    while let Some((_, StoreRequest::Relations { others, .. })) = rig.requests.first().cloned() {
        rig.reply(StoreReply::Relations(others.into_iter().filter(|other| !apart.contains(other)).collect()));
    }
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

/// A user of this shard, watched by two connections of the other that may see it.
fn watched(rig: &mut Rig) -> UserId {
    let user = user_of(HERE, 0);
    watch(rig, there(1), user_of(THERE, 1), user, true);
    watch(rig, there(2), user_of(THERE, 2), user, true);
    assert_eq!(told(rig), [], "nothing is told before it is known who may see it");
    assert!(
        matches!(&rig.requests[..], [(_, StoreRequest::Relations { user: asked, .. })] if *asked == user)
    );
    answer_but(rig, &[]);
    assert_eq!(told(rig), [(1, false), (2, false)]);
    user
}

fn frame() -> std::sync::Arc<Frame> {
    Frame::new(|out| out.extend_from_slice(br#"{"ev":"read"}"#))
}

#[test]
fn what_one_connection_did_is_told_to_the_others_and_changed_rooms_to_all() {
    let mut rig = Rig::new();
    let user = user_of(HERE, 0);
    let told = |rig: &mut Rig, slot| rig.story(slot).iter().any(|told| told == "read");
    let first = rig.sign_in(1, user);
    rig.mail(Mail::Notice { user, frame: frame(), except: None, rooms: false });
    assert!(!told(&mut rig, 1), "the only connection did it itself");
    rig.mail(Mail::Notice { user, frame: frame(), except: None, rooms: true });
    assert!(told(&mut rig, 1));
    rig.sign_in(2, user);
    rig.mail(Mail::Notice { user, frame: frame(), except: None, rooms: false });
    assert!(told(&mut rig, 1) && told(&mut rig, 2));
    leave(&mut rig, 2);
    rig.mail(Mail::Notice { user, frame: frame(), except: None, rooms: false });
    assert!(told(&mut rig, 1), "the one that did it may just have left");
    rig.wait_millis(6_000);
    rig.mail(Mail::Notice { user, frame: frame(), except: None, rooms: false });
    assert!(!told(&mut rig, 1));
    rig.sign_in(2, user);
    rig.mail(Mail::Notice { user, frame: frame(), except: Some(first), rooms: true });
    assert!(!told(&mut rig, 1) && told(&mut rig, 2), "whoever did it has its answer");
    rig.level(1, crate::QueueLevel::High);
    rig.mail(Mail::Noticed { to: first, frame: Some(frame()), rooms: false });
    assert!(!told(&mut rig, 1), "a slow reader asks again");
    rig.mail(Mail::Noticed { to: first, frame: Some(frame()), rooms: true });
    assert!(told(&mut rig, 1), "nothing would make up for it");
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
    answer_but(&mut rig, &[]);
    assert_eq!(told(&mut rig), [(1, false)], "asking again tells again");
}

#[test]
fn whoever_may_not_see_a_user_is_told_that_it_is_offline() {
    let mut rig = Rig::new();
    let user = user_of(HERE, 0);
    rig.sign_in(1, user);
    let (first, second, third) = (user_of(THERE, 1), user_of(THERE, 2), user_of(THERE, 3));
    for (slot, watcher) in [(1, first), (2, second), (3, third)] {
        watch(&mut rig, there(slot), watcher, user, true);
    }
    answer_but(&mut rig, &[first, third]);
    let mut all = told(&mut rig);
    all.sort_unstable();
    assert_eq!(all, [(1, false), (2, true), (3, false)]);
    rig.mail(Mail::BlockChanged { by: first, user });
    rig.mail(Mail::BlockChanged { by: user, user: second });
    answer_but(&mut rig, &[second, third]);
    let mut all = told(&mut rig);
    all.sort_unstable();
    assert_eq!(all, [(1, true), (2, false)]);
    rig.mail(Mail::Notice { user, frame: frame(), except: None, rooms: true });
    let rewatch = |(to, mail): &(_, Mail)| *to == HERE && matches!(mail, Mail::Noticed { .. });
    assert!(!rig.mail.iter().any(rewatch), "mail to the own shard does not leave it");
    answer_but(&mut rig, &[first, second]);
    let mut all = told(&mut rig);
    all.sort_unstable();
    assert_eq!(all, [(1, false), (3, true)]);
    // One sees oneself, and nobody is asked about it.
    watch(&mut rig, there(9), user, user, true);
    assert!(rig.requests.is_empty());
    assert_eq!(told(&mut rig), [(9, true)]);
}

#[test]
fn a_change_while_the_store_is_asked_is_not_lost() {
    let mut rig = Rig::new();
    let user = user_of(HERE, 0);
    rig.sign_in(1, user);
    let watcher = user_of(THERE, 1);
    watch(&mut rig, there(1), watcher, user, true);
    rig.mail(Mail::BlockChanged { by: user, user: watcher });
    // Another connection of the watcher comes before the answer, which says nothing about it.
    watch(&mut rig, there(2), watcher, user, true);
    rig.reply(StoreReply::Relations(vec![watcher]));
    assert_eq!(told(&mut rig), []);
    rig.reply(StoreReply::Relations(Vec::new()));
    assert_eq!(told(&mut rig), [(1, false), (2, false)]);
}

#[test]
fn the_end_of_a_watch_that_was_delayed_does_not_end_a_newer_one() {
    let mut rig = Rig::new();
    let user = watched(&mut rig);
    let watcher = user_of(THERE, 1);
    watch_as(&mut rig, there(1), watcher, user, true, 5);
    watch_as(&mut rig, there(1), watcher, user, false, 4);
    answer_but(&mut rig, &[]);
    assert_eq!(told(&mut rig), [(1, false)]);
    rig.wait_millis(2_000);
    rig.upgrade(1);
    rig.hello(1, user, "");
    assert_eq!(told(&mut rig), [(1, true), (2, true)]);
    watch_as(&mut rig, there(1), watcher, user, false, 6);
    leave(&mut rig, 1);
    rig.wait_millis(2_000);
    assert_eq!(told(&mut rig), [(2, false)]);
}

#[test]
fn questions_to_the_store_are_few_at_a_time_and_all_are_asked() {
    let mut rig = Rig::new();
    let users: Vec<_> = (0..300).map(|n| user_of(HERE, n)).collect();
    rig.mail(Mail::Watch {
        from: there(1),
        watcher: user_of(THERE, 1),
        users: users.clone().into(),
        on: true,
        number: 1,
    });
    assert_eq!(rig.requests.len(), 8);
    let mut answered = 0;
    while !rig.requests.is_empty() {
        assert!(rig.requests.len() <= 8);
        rig.reply(StoreReply::Relations(Vec::new()));
        answered += 1;
    }
    assert_eq!((answered, told(&mut rig).len()), (300, 300));
}

#[test]
fn what_cannot_be_read_is_asked_for_again() {
    let mut rig = Rig::new();
    let user = user_of(HERE, 0);
    rig.sign_in(1, user);
    watch(&mut rig, there(1), user_of(THERE, 1), user, true);
    rig.reply(StoreReply::Failed(StoreError::Unavailable));
    assert_eq!(rig.requests.len(), 0);
    rig.wait_millis(1_000);
    answer_but(&mut rig, &[]);
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
    answer_but(&mut rig, &[]);
    rig.wait_millis(2_000);
    told(&mut rig);
    rig.upgrade(1);
    rig.hello(1, user, "");
    assert_eq!(told(&mut rig).len(), 128);
    // Meanwhile some go and one comes.
    for slot in [1, 100, 128, 129, 400] {
        watch(&mut rig, there(slot), user_of(THERE, 1), user, false);
    }
    watch(&mut rig, there(0), user_of(THERE, 1), user, true);
    answer_but(&mut rig, &[]);
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
        answer_but(&mut rig, &[]);
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
    rig.wait_millis(61_000);
    assert_eq!(rig.engine.next_deadline(), None);
    assert_eq!(rig.engine.users_known(), 0);
}

#[test]
fn who_hides_is_offline_to_all_watchers_once_the_store_says_so() {
    let mut rig = Rig::new();
    let user = watched(&mut rig);
    rig.sign_in(1, user);
    rig.wait_millis(1_000);
    assert_eq!(told(&mut rig), [(1, true), (2, true)]);
    let changed = || Input::Api(crate::ApiInput::PresenceChanged { user });
    rig.give(changed());
    assert_eq!(told(&mut rig), [], "until the store has said what holds, nothing is told");
    rig.reply(StoreReply::Relations(Vec::new()));
    rig.wait_millis(1_000);
    assert_eq!(told(&mut rig), [(1, false), (2, false)]);
    rig.give(changed());
    answer_but(&mut rig, &[]);
    rig.wait_millis(1_000);
    assert_eq!(told(&mut rig), [(1, true), (2, true)]);
    // Of somebody whom nobody watches nothing is asked.
    rig.give(Input::Api(crate::ApiInput::PresenceChanged { user: user_of(HERE, 7) }));
    assert!(rig.requests.is_empty());
}
