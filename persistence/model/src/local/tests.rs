use lynk_domain::Millis;

use super::*;
use crate::contract::{self, Bench, wait};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

fn at(millis: u64) -> Now {
    Now { mono: Nanos(millis * Nanos::MILLISECOND), wall: Millis(1_795_456_131_000 + millis) }
}

fn id(n: u32) -> [u8; 16] {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&n.to_be_bytes());
    id
}

fn code(n: u32) -> NewCode {
    NewCode {
        request: id(n),
        number: id(n + 1_000_000),
        proof: [1; 32],
        sealed: Vec::new(),
        tries: 5,
        life_millis: 5 * MINUTE,
        resend_millis: MINUTE,
    }
}

fn token(n: u32, owner: u32) -> NewOnce {
    let mut key = [0; 32];
    key[..4].copy_from_slice(&n.to_be_bytes());
    NewOnce { kind: OnceKind::Ticket, key, owner: id(owner), sealed: Vec::new(), life_millis: 30 * SECOND }
}

#[test]
fn it_passes_the_suite_of_the_port() {
    let mut seed = 0;
    contract::ephemeral(|test| {
        seed += 1;
        test(&Bench { store: &LocalEphemeral::default(), pass: &|_| {}, seed });
    });
}

#[test]
fn codes_are_bounded_and_forgotten_to_the_millisecond() {
    let store = LocalEphemeral::default();
    for n in 0..CODES_MAX as u32 {
        assert_eq!(wait(store.put_code(at(0), code(n))), Kept::Done);
    }
    assert_eq!(wait(store.put_code(at(1), code(CODES_MAX as u32))), Kept::Full);
    assert_eq!(wait(store.code_wait(at(MINUTE - 1), code(1).number)), 1);
    assert_eq!(wait(store.code_wait(at(MINUTE), code(1).number)), 0);
    assert_eq!(wait(store.try_code(at(5 * MINUTE - 1), id(1), [1; 32])), Tried::Good(Vec::new()));
    assert_eq!(wait(store.try_code(at(5 * MINUTE), id(2), [1; 32])), Tried::Absent);
    assert!(store.tables().codes.is_empty());
    // A number that waits for longer than its code lives, and one without a code.
    let late = NewCode { resend_millis: 9 * MINUTE, ..code(1) };
    let none = NewCode { tries: 0, ..code(2) };
    assert_eq!(wait(store.put_code(at(5 * MINUTE), late.clone())), Kept::Done);
    assert_eq!(wait(store.put_code(at(5 * MINUTE), none)), Kept::Done);
    assert_eq!(wait(store.code_wait(at(14 * MINUTE - 1), late.number)), 1);
    assert_eq!(wait(store.code_wait(at(14 * MINUTE), late.number)), 0);
    assert!(store.tables().codes.is_empty());
}

#[test]
fn tokens_are_bounded_and_time_makes_room() {
    let store = LocalEphemeral::default();
    for n in 0..ONCE_MAX as u32 {
        assert_eq!(wait(store.put_once(at(0), token(n, n))), Kept::Done);
    }
    assert_eq!(wait(store.put_once(at(1), token(u32::MAX, u32::MAX))), Kept::Full);
    assert_eq!(wait(store.put_once(at(30 * SECOND), token(u32::MAX, u32::MAX))), Kept::Done);
    let tables = store.tables();
    assert_eq!((tables.tickets.len(), tables.tickets.owners()), (1, 1));
}

#[test]
fn one_owner_that_asks_without_end_takes_nobody_elses_place() {
    let store = LocalEphemeral::default();
    for n in 0..ONCE_MAX as u32 + 1 {
        assert_eq!(wait(store.put_once(at(0), token(n, 1))), Kept::Done);
        match n % 3 {
            0 => assert!(wait(store.take_once(at(0), OnceKind::Ticket, token(n, 1).key)).is_some()),
            1 => {}
            _ => wait(store.drop_owner(at(0), OnceKind::Ticket, id(if n % 2 == 0 { 1 } else { 3 }))),
        }
    }
    assert_eq!(wait(store.put_once(at(0), token(u32::MAX, 2))), Kept::Done);
    assert!(store.tables().tickets.owners() <= 2);
}

#[test]
fn counters_are_bounded_and_forgotten_when_their_window_has_passed() {
    let store = LocalEphemeral::default();
    let charge = |n: u32| Charge { key: id(n), window_millis: MINUTE, amount: 1, max: 20 };
    let charged = |now: u64, n: u32| wait(store.charge(at(now), vec![charge(n)]));
    let refused = (0..COUNTERS_MAX as u32 + 100).filter(|n| charged(0, *n) != Charged::Done).count();
    assert_eq!(refused, 80, "those without a number share one");
    assert!(store.tables().counters.len() <= COUNTERS_MAX + 1);
    assert_eq!(charged(2 * MINUTE, 1), Charged::Done);
    assert_eq!(store.tables().counters.len(), 1);
}

#[test]
fn presence_is_bounded() {
    let store = LocalEphemeral::default();
    let seen = |from: u32| (from..from + 128).map(|n| Seen { user: UserId(id(n)), online: true }).collect();
    for from in (0..PRESENT_MAX as u32 + 1_280).step_by(128) {
        wait(store.mirror_presence(at(0), seen(from), MINUTE));
    }
    let late = UserId(id(PRESENT_MAX as u32 + 1));
    assert_eq!(wait(store.mirrored_presence(at(0), vec![UserId(id(0)), late])), [true, false]);
    wait(store.mirror_presence(at(MINUTE), vec![Seen { user: late, online: true }], MINUTE));
    assert_eq!(wait(store.mirrored_presence(at(MINUTE), vec![UserId(id(0)), late])), [false, true]);
}
