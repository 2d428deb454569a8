//! The suite of the port of short-lived state.
//!
//! Stores that go by a clock of their own are given real time: lives are short where a test waits for their end, and long
//! where it must not come.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use lynk_domain::{Millis, Nanos, Now, UserId};

use crate::account::{Charge, Charged};
use crate::port::{
    Call, Ephemeral, Kept, NewCode, NewOnce, ONCE_PER_OWNER_MAX, OnceKind, PRESENCE_PER_CALL_MAX, Seen, Tried,
};

const START: u64 = 1_795_456_131_000;
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// A life that a test waits for.
const SHORT: u64 = 200;

/// A store, the time, and ids that no other test uses.
pub struct Bench<'a> {
    /// What is tested.
    pub store: &'a dyn Ephemeral,
    /// Lets so many milliseconds pass for the store: a store that goes by the time it is given needs nothing.
    pub pass: &'a (dyn Fn(u64) + Sync),
    /// Different for each run on a store that keeps what it has.
    pub seed: u64,
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// What a call comes to, on a thread that may wait for it.
///
/// # Panics
/// When it fails.
pub fn wait<T>(mut call: Call<'_, T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match call.as_mut().poll(&mut context) {
            Poll::Ready(answer) => return answer.expect("the store works"),
            Poll::Pending => std::thread::park(),
        }
    }
}

impl Bench<'_> {
    fn id(&self, n: u32) -> [u8; 16] {
        let mut id = [0xa5; 16];
        id[..8].copy_from_slice(&self.seed.to_be_bytes());
        id[8..12].copy_from_slice(&n.to_be_bytes());
        id
    }

    fn key(&self, n: u32) -> [u8; 32] {
        let mut key = [0x5a; 32];
        key[..16].copy_from_slice(&self.id(n));
        key
    }

    /// The time after so much of it has passed since the start.
    fn at(&self, millis: u64) -> Now {
        Now { mono: Nanos((millis + 1) * Nanos::MILLISECOND), wall: Millis(START + millis) }
    }

    fn code(&self, request: u32, number: u32) -> NewCode {
        NewCode {
            request: self.id(request),
            number: self.id(number + 1_000),
            proof: [request as u8; 32],
            sealed: format!("what {request}\r\n proves\0").into_bytes(),
            tries: 5,
            life_millis: 5 * MINUTE,
            resend_millis: MINUTE,
        }
    }

    fn put(&self, now: Now, code: &NewCode) -> Kept {
        wait(self.store.put_code(now, code.clone()))
    }

    fn tries(&self, now: Now, code: &NewCode, right: bool) -> Tried {
        let proof = if right { code.proof } else { [0xee; 32] };
        wait(self.store.try_code(now, code.request, proof))
    }

    fn set_tries(&self, now: Now, code: &NewCode, tries: u32) {
        wait(self.store.set_tries(now, code.request, tries));
    }

    fn once(&self, kind: OnceKind, key: u32, owner: u32) -> NewOnce {
        let sealed = format!("{kind:?} {key}\r\n").into_bytes();
        NewOnce { kind, key: self.key(key), owner: self.id(owner), sealed, life_millis: 10 * MINUTE }
    }

    fn keep(&self, now: Now, once: &NewOnce) -> Kept {
        wait(self.store.put_once(now, once.clone()))
    }

    fn look(&self, now: Now, once: &NewOnce) -> Option<Vec<u8>> {
        wait(self.store.look_once(now, once.kind, once.key))
    }

    fn take(&self, now: Now, once: &NewOnce) -> Option<Vec<u8>> {
        wait(self.store.take_once(now, once.kind, once.key))
    }

    fn charge(&self, wall: u64, charges: &[Charge]) -> Charged {
        wait(self.store.charge(self.at(wall), charges.to_vec()))
    }
}

/// A code is good once, for its own request, and until its tries are used up.
pub fn a_code_is_good_once_and_for_so_many_tries(bench: &Bench<'_>) {
    let now = bench.at(0);
    let (first, second) = (bench.code(1, 1), bench.code(2, 2));
    assert_eq!(bench.tries(now, &first, true), Tried::Absent, "never made");
    assert_eq!((bench.put(now, &first), bench.put(now, &second)), (Kept::Done, Kept::Done));
    let crossed = NewCode { request: second.request, ..first.clone() };
    assert_eq!(bench.tries(now, &crossed, true), Tried::Wrong, "another request's");
    assert_eq!(bench.tries(now, &first, true), Tried::Good(first.sealed.clone()));
    assert_eq!(bench.tries(now, &first, true), Tried::Wrong, "used");
    // The second has four left.
    for _ in 0..3 {
        assert_eq!(bench.tries(now, &second, false), Tried::Wrong);
    }
    assert_eq!(bench.tries(now, &second, true), Tried::Good(second.sealed.clone()), "the fifth may be right");
    let third = bench.code(3, 3);
    assert_eq!(bench.put(now, &third), Kept::Done);
    for _ in 0..5 {
        assert_eq!(bench.tries(now, &third, false), Tried::Wrong);
    }
    assert_eq!(bench.tries(now, &third, true), Tried::Wrong, "the sixth may not");
}

/// Of many tries at once one succeeds, and wrong ones count one by one.
pub fn codes_are_tried_one_by_one_by_whoever_tries_at_once(bench: &Bench<'_>) {
    let now = bench.at(0);
    let (right, guessed) = (bench.code(1, 1), NewCode { tries: 10, ..bench.code(2, 2) });
    assert_eq!((bench.put(now, &right), bench.put(now, &guessed)), (Kept::Done, Kept::Done));
    let (good, wrong) = std::thread::scope(|scope| {
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let good = matches!(bench.tries(now, &right, true), Tried::Good(_));
                    (good, bench.tries(now, &guessed, false) == Tried::Wrong)
                })
            })
            .collect();
        let done: Vec<_> = tasks.into_iter().map(|task| task.join().expect("no panic")).collect();
        (done.iter().filter(|one| one.0).count(), done.iter().filter(|one| one.1).count())
    });
    assert_eq!((good, wrong), (1, 8));
    assert_eq!(bench.tries(now, &guessed, false), Tried::Wrong, "the ninth");
    assert!(matches!(bench.tries(now, &guessed, true), Tried::Good(_)), "the tenth");
}

/// A newer code ends the one before for good, also when only another store has it.
pub fn a_newer_code_ends_the_one_before(bench: &Bench<'_>) {
    let now = bench.at(0);
    let brief = |code: NewCode| NewCode { resend_millis: SHORT, ..code };
    let (old, new) = (brief(bench.code(1, 1)), bench.code(2, 1));
    assert_eq!(bench.put(now, &old), Kept::Done);
    (bench.pass)(SHORT);
    let now = bench.at(SHORT);
    assert_eq!(bench.put(now, &new), Kept::Done);
    bench.set_tries(now, &old, 1);
    assert!(!matches!(bench.tries(now, &old, true), Tried::Good(_)), "nothing brings it back");
    wait(bench.store.end_code(now, new.number));
    bench.set_tries(now, &new, 1);
    assert!(!matches!(bench.tries(now, &new, true), Tried::Good(_)));
    assert!(wait(bench.store.code_wait(now, new.number)) > 0, "the number waits all the same");
    wait(bench.store.end_code(now, bench.id(9)));
}

/// A number waits for its next code, whatever became of the last one.
pub fn a_number_waits_between_codes(bench: &Bench<'_>) {
    let now = bench.at(0);
    let (first, other) = (bench.code(1, 1), bench.code(2, 2));
    assert_eq!(wait(bench.store.code_wait(now, first.number)), 0);
    assert_eq!(bench.put(now, &first), Kept::Done);
    assert!(matches!(bench.tries(now, &first, true), Tried::Good(_)));
    let waits = wait(bench.store.code_wait(now, first.number));
    assert!((1..=MINUTE).contains(&waits), "{waits}");
    let again = bench.put(now, &bench.code(3, 1));
    assert!(
        matches!(again, Kept::TooSoon { retry_after_millis } if (1..=MINUTE).contains(&retry_after_millis))
    );
    assert_eq!(bench.tries(now, &bench.code(3, 1), true), Tried::Absent, "it was not kept");
    assert_eq!(wait(bench.store.code_wait(now, other.number)), 0);
    let brief = NewCode { resend_millis: SHORT, ..other };
    assert_eq!(bench.put(now, &brief), Kept::Done);
    (bench.pass)(SHORT);
    assert_eq!(wait(bench.store.code_wait(bench.at(SHORT), brief.number)), 0);
}

/// A request without a code makes its number wait, proves nothing, and leaves the code that the number has.
pub fn a_request_without_a_code_leaves_the_code_before_it(bench: &Bench<'_>) {
    let now = bench.at(0);
    let sent = NewCode { resend_millis: SHORT, ..bench.code(1, 1) };
    let none = NewCode { tries: 0, ..bench.code(2, 1) };
    assert_eq!(bench.put(now, &sent), Kept::Done);
    (bench.pass)(SHORT);
    let now = bench.at(SHORT);
    assert_eq!(bench.put(now, &none), Kept::Done);
    assert!(wait(bench.store.code_wait(now, none.number)) > 0);
    assert_eq!(bench.tries(now, &none, true), Tried::Wrong, "no code, not even the right one");
    assert!(matches!(bench.tries(now, &sent, true), Tried::Good(_)));
}

/// A code may be made good again for one try, and ended; nothing is made of one that is not there.
pub fn a_code_is_restored_and_cancelled(bench: &Bench<'_>) {
    let now = bench.at(0);
    let (restored, cancelled) = (bench.code(1, 1), bench.code(2, 2));
    assert_eq!((bench.put(now, &restored), bench.put(now, &cancelled)), (Kept::Done, Kept::Done));
    assert!(matches!(bench.tries(now, &restored, true), Tried::Good(_)));
    bench.set_tries(now, &restored, 1);
    assert!(matches!(bench.tries(now, &restored, true), Tried::Good(_)), "what it was for did not happen");
    assert_eq!(bench.tries(now, &restored, true), Tried::Wrong);
    bench.set_tries(now, &cancelled, 0);
    assert_eq!(bench.tries(now, &cancelled, true), Tried::Wrong);
    let missing = bench.code(9, 9);
    bench.set_tries(now, &missing, 1);
    assert_eq!(bench.tries(now, &missing, true), Tried::Absent);
}

/// What has a life ends with it, and is not found by any way.
pub fn lives_end(bench: &Bench<'_>) {
    let now = bench.at(0);
    let code = NewCode { life_millis: SHORT, ..bench.code(1, 1) };
    let ticket = NewOnce { life_millis: SHORT, ..bench.once(OnceKind::Ticket, 1, 1) };
    assert_eq!((bench.put(now, &code), bench.keep(now, &ticket)), (Kept::Done, Kept::Done));
    let user = UserId(bench.id(7));
    wait(bench.store.mirror_presence(now, vec![Seen { user, online: true }], SHORT));
    (bench.pass)(SHORT);
    let now = bench.at(SHORT);
    assert_eq!(bench.tries(now, &code, true), Tried::Absent);
    bench.set_tries(now, &code, 1);
    assert_eq!(bench.tries(now, &code, true), Tried::Absent, "and nothing is left of it");
    assert_eq!((bench.look(now, &ticket), bench.take(now, &ticket)), (None, None));
    assert_eq!(wait(bench.store.mirrored_presence(now, vec![user])), [false]);
}

/// A token is used up by being taken, by one of those who try, and not by being looked at.
pub fn a_token_is_taken_once(bench: &Bench<'_>) {
    let now = bench.at(0);
    let token = bench.once(OnceKind::Ticket, 1, 1);
    assert_eq!(bench.take(now, &token), None);
    assert_eq!(bench.keep(now, &token), Kept::Done);
    let twin = NewOnce { kind: OnceKind::Registration, ..token.clone() };
    assert_eq!(bench.look(now, &twin), None, "of another kind");
    assert_eq!(bench.look(now, &token), Some(token.sealed.clone()));
    let taken = std::thread::scope(|scope| {
        let tasks: Vec<_> = (0..8).map(|_| scope.spawn(|| bench.take(now, &token))).collect();
        let taken = tasks.into_iter().filter_map(|task| task.join().expect("no panic"));
        taken.collect::<Vec<_>>()
    });
    assert_eq!(taken, std::slice::from_ref(&token.sealed));
    assert_eq!(bench.look(now, &token), None);
}

/// An owner has so many tokens, the oldest of which makes room; a used one takes no place; all can be dropped.
pub fn an_owner_has_so_many_tokens(bench: &Bench<'_>) {
    let now = bench.at(0);
    let many = ONCE_PER_OWNER_MAX as u32;
    let token = |n: u32| bench.once(OnceKind::Registration, n, 1);
    let other = bench.once(OnceKind::Registration, 100, 2);
    assert_eq!(bench.keep(now, &other), Kept::Done);
    for n in 0..many {
        assert_eq!(bench.keep(now, &token(n)), Kept::Done);
    }
    assert!(bench.take(now, &token(3)).is_some());
    assert_eq!(bench.keep(now, &token(many)), Kept::Done);
    assert!(bench.look(now, &token(0)).is_some(), "the used one made room");
    assert_eq!(bench.keep(now, &token(many + 1)), Kept::Done);
    assert_eq!(bench.look(now, &token(0)), None, "the oldest made room");
    assert!(bench.look(now, &token(1)).is_some());
    wait(bench.store.drop_owner(now, OnceKind::Ticket, bench.id(1)));
    assert!(bench.look(now, &token(1)).is_some(), "of another kind");
    wait(bench.store.drop_owner(now, OnceKind::Registration, bench.id(1)));
    assert!((0..many + 2).all(|n| bench.look(now, &token(n)).is_none()));
    assert!(bench.look(now, &other).is_some(), "somebody else's");
}

/// Charges count together or not at all; no window of the stated length ever holds more than the limit.
pub fn shared_charges_count_together_and_never_too_many(bench: &Bench<'_>) {
    let charge =
        |n: u32, window_millis: u64, max: u32| Charge { key: bench.id(n), window_millis, amount: 1, max };
    let (hourly, other) = (charge(1, HOUR, 3), charge(2, HOUR, 1));
    assert_eq!(bench.charge(0, &[]), Charged::Done);
    assert_eq!(bench.charge(0, &[hourly, other]), Charged::Done);
    let refused = bench.charge(1, &[hourly, other]);
    assert!(matches!(refused, Charged::Refused { index: 1, .. }), "{refused:?}");
    assert_eq!(
        bench.charge(2, &[hourly, hourly]),
        Charged::Done,
        "the refused pair counted nothing, this one twice"
    );
    let Charged::Refused { index: 0, retry_after_millis } = bench.charge(3, &[hourly]) else {
        panic!("over the limit")
    };
    assert!((HOUR - 3..=HOUR + HOUR / 24).contains(&retry_after_millis), "{retry_after_millis}");
    assert!(matches!(bench.charge(3 + retry_after_millis - 1, &[hourly]), Charged::Refused { .. }));
    assert_eq!(bench.charge(3 + retry_after_millis, &[hourly]), Charged::Done);

    let daily = charge(3, DAY, 5);
    let mut accepted = Vec::new();
    for step in 0..400u64 {
        let wall = step * 19 * MINUTE + step % 7 * 1_234;
        if bench.charge(wall, &[daily]) == Charged::Done {
            accepted.push(wall);
        }
    }
    assert!(accepted.windows(6).all(|six| six[5] - six[0] >= DAY), "{accepted:?}");
    assert!(accepted.len() >= 5 * 5, "and the limit is nearly used: {}", accepted.len());

    let money = |amount| Charge { amount, ..charge(5, DAY, 10) };
    assert_eq!(bench.charge(0, &[money(7)]), Charged::Done);
    assert!(matches!(bench.charge(1, &[money(4)]), Charged::Refused { .. }));
    assert_eq!(bench.charge(1, &[money(3)]), Charged::Done);
    assert!(matches!(bench.charge(3 * DAY, &[money(11)]), Charged::Refused { .. }), "more than ever");

    let back = charge(4, DAY, 2);
    assert_eq!(bench.charge(10 * DAY, &[back, back]), Charged::Done);
    for jump in [0, MINUTE, HOUR, DAY - 1] {
        let charged = bench.charge(10 * DAY - jump, &[back]);
        assert!(
            matches!(charged, Charged::Refused { .. }),
            "a clock that jumps back gives nothing back: {jump}"
        );
    }
}

/// Whoever charges at once gets as many as there are.
pub fn charges_at_once_are_exact(bench: &Bench<'_>) {
    let hourly = Charge { key: bench.id(1), window_millis: HOUR, amount: 1, max: 20 };
    let done = std::thread::scope(|scope| {
        let tasks: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| (0..5).filter(|_| bench.charge(0, &[hourly]) == Charged::Done).count()))
            .collect();
        tasks.into_iter().map(|task| task.join().expect("no panic")).sum::<usize>()
    });
    assert_eq!(done, 20);
}

/// The mirror says what it was told last, until the lease is over.
pub fn presence_is_mirrored(bench: &Bench<'_>) {
    let now = bench.at(0);
    let users: Vec<UserId> = (0..PRESENCE_PER_CALL_MAX as u32).map(|n| UserId(bench.id(n))).collect();
    let tell = |online: bool, users: &[UserId]| {
        let seen = users.iter().map(|user| Seen { user: *user, online }).collect();
        wait(bench.store.mirror_presence(now, seen, MINUTE));
    };
    let online = || wait(bench.store.mirrored_presence(now, users.clone()));
    assert!(online().iter().all(|one| !one));
    tell(true, &users);
    assert!(online().iter().all(|one| *one));
    tell(false, &users[..3]);
    tell(false, &users[..1]);
    tell(true, &users[2..3]);
    assert_eq!(online()[..4], [false, false, true, true]);
    tell(true, &[]);
    assert_eq!(wait(bench.store.mirrored_presence(now, Vec::new())), Vec::<bool>::new());
}

/// No name that was added is said to be missing.
pub fn names_that_were_added_are_found(bench: &Bench<'_>) {
    let name = |n: u32| format!("räume {} {n}", bench.seed);
    for n in 0..100 {
        wait(bench.store.add_name(name(n)));
        wait(bench.store.add_name(name(n)));
    }
    assert!((0..100).all(|n| wait(bench.store.may_have_name(name(n)))));
    let wrong = (100..300).filter(|n| wait(bench.store.may_have_name(name(*n)))).count();
    assert!(wrong < 40, "{wrong} of 200");
}
