//! The suite of second factors and suspensions.

use lynk_domain::{Millis, SessionId, UserId};

use super::accounts::{ALICE, BOB, CAROL, at, id, register};
use crate::account::{AuditEvent, AuditKind, Enrolled, Factor, Registered};
use crate::port::{FactorStore, ready};

fn factor<S: FactorStore>(store: &S, user: UserId) -> Option<Factor> {
    ready(store.factor(user)).expect("readable")
}

fn enrol<S: FactorStore>(store: &mut S, user: UserId, sealed: u8, wall: u64) -> Enrolled {
    ready(store.enrol(user, &[sealed; 53], at(wall))).expect("keeps")
}

/// An app of a user that is confirmed, with recovery codes.
fn confirmed<S: FactorStore>(store: &mut S, user: UserId, step: u64, proofs: &[[u8; 32]]) -> Factor {
    assert_eq!(enrol(store, user, user.0[0], 1), Enrolled::Waits);
    let waiting = factor(store, user).expect("it waits");
    assert_eq!(ready(store.confirm(&waiting, step, proofs, id(9), at(2))), Ok(true));
    factor(store, user).expect("confirmed")
}

/// The newest lines of the audit log.
fn noted<S: FactorStore>(store: &S, user: UserId, count: u32) -> Vec<(AuditKind, SessionId, Millis)> {
    let events = ready(store.audit(user, count)).expect("readable");
    events.iter().map(|event| (event.kind, event.session, event.at)).collect()
}

/// A secret waits for its first code, and a newer one takes its place; once confirmed it stays.
pub fn an_app_waits_until_it_is_confirmed<S: FactorStore>(store: &mut S) {
    assert_eq!(enrol(store, ALICE, 1, 0), Enrolled::NoAccount);
    assert_eq!(register(store, ALICE, "alice", 0), Registered::Made);
    assert_eq!(factor(store, ALICE), None);
    assert_eq!(enrol(store, ALICE, 1, 1), Enrolled::Waits);
    let first = factor(store, ALICE).expect("it waits");
    let expected =
        Factor { user: ALICE, sealed: vec![1; 53], enrolled: at(1), confirmed: None, last_step: 0 };
    assert_eq!(first, expected);
    assert_eq!(ready(store.remove_factor(ALICE, id(9), at(1))), Ok(false), "nobody is asked for it");
    assert_eq!(ready(store.replace_recovery(ALICE, &[[1; 32]], id(9), at(1))), Ok(false));
    assert_eq!(enrol(store, ALICE, 2, 5), Enrolled::Waits, "another one in its place");
    assert_eq!(ready(store.confirm(&first, 7, &[], id(9), at(6))), Ok(false), "which is another one");
    let second = factor(store, ALICE).expect("it waits");
    assert_eq!(ready(store.confirm(&second, 7, &[[1; 32], [2; 32]], id(9), at(6))), Ok(true));
    assert_eq!(ready(store.confirm(&second, 7, &[[3; 32]], id(9), at(7))), Ok(false), "once");
    let app = factor(store, ALICE).expect("confirmed");
    assert_eq!(app, Factor { confirmed: Some(at(6)), last_step: 7, ..second });
    assert_eq!(ready(store.confirm(&app, 8, &[], id(9), at(7))), Ok(false));
    assert_eq!(ready(store.recovery_left(ALICE)), Ok(2));
    assert_eq!(enrol(store, ALICE, 3, 9), Enrolled::HasOne);
    assert_eq!(factor(store, ALICE), Some(app));
    assert_eq!(noted(store, ALICE, 1), [(AuditKind::FactorOn, id(9), at(6))]);
}

/// Of any number that saw one state one moves the last step on.
pub fn a_step_is_accepted_once<S: FactorStore>(store: &mut S) {
    register(store, ALICE, "alice", 0);
    let seen = confirmed(store, ALICE, 100, &[]);
    assert_eq!(ready(store.accept_step(&seen, 101, None)), Ok(true));
    assert_eq!(ready(store.accept_step(&seen, 101, None)), Ok(false), "the second loses");
    assert_eq!(ready(store.accept_step(&seen, 102, None)), Ok(false), "also with another code");
    let next = factor(store, ALICE).expect("there");
    assert_eq!(next, Factor { last_step: 101, ..seen });
    assert_eq!(ready(store.accept_step(&next, u64::MAX, Some(&[8; 60]))), Ok(true));
    let anew = factor(store, ALICE).expect("there");
    assert_eq!(anew, Factor { last_step: u64::MAX, sealed: vec![8; 60], ..next });
    assert_eq!(ready(store.accept_step(&Factor { user: BOB, ..anew }, 1, None)), Ok(false), "nobody's");
}

/// A recovery code is used once, by its user; new ones replace all.
pub fn a_recovery_code_is_used_once<S: FactorStore>(store: &mut S) {
    register(store, ALICE, "alice", 0);
    register(store, BOB, "bob", 0);
    confirmed(store, ALICE, 1, &[[1; 32], [2; 32], [3; 32]]);
    confirmed(store, BOB, 1, &[[1; 32]]);
    let used = |store: &mut S, user, n: u8| ready(store.use_recovery(user, &[n; 32], at(9)));
    assert_eq!(used(store, ALICE, 4), Ok(false));
    assert_eq!(used(store, ALICE, 1), Ok(true));
    assert_eq!(noted(store, ALICE, 1), [(AuditKind::RecoveryUsed, SessionId::NIL, at(9))]);
    assert_eq!(used(store, ALICE, 1), Ok(false), "once");
    assert_eq!(ready(store.recovery_left(ALICE)), Ok(2));
    assert_eq!(ready(store.recovery_left(BOB)), Ok(1), "the other's is another one");
    assert_eq!(ready(store.replace_recovery(ALICE, &[[5; 32]], id(3), at(10))), Ok(true));
    assert_eq!(noted(store, ALICE, 1), [(AuditKind::RecoveryMade, id(3), at(10))]);
    assert_eq!(used(store, ALICE, 2), Ok(false), "replaced");
    assert_eq!(used(store, ALICE, 5), Ok(true));
    assert_eq!(ready(store.recovery_left(ALICE)), Ok(0));
    assert_eq!(used(store, BOB, 1), Ok(true));
}

/// An app that is removed takes its recovery codes with it, and another one may come; so does an account.
pub fn what_is_removed_leaves_nothing<S: FactorStore>(store: &mut S) {
    register(store, ALICE, "alice", 0);
    confirmed(store, ALICE, 1, &[[1; 32]]);
    assert_eq!(ready(store.remove_factor(ALICE, id(4), at(3))), Ok(true));
    assert_eq!(noted(store, ALICE, 1), [(AuditKind::FactorOff, id(4), at(3))]);
    assert_eq!(ready(store.remove_factor(ALICE, id(4), at(3))), Ok(false), "once");
    assert_eq!((factor(store, ALICE), ready(store.recovery_left(ALICE))), (None, Ok(0)));
    let app = confirmed(store, ALICE, 5, &[[2; 32]]);
    assert_eq!(app.last_step, 5);
    ready(store.suspend(ALICE, at(4))).expect("suspends");
    ready(store.remove(ALICE, at(5))).expect("removes");
    assert_eq!((factor(store, ALICE), ready(store.recovery_left(ALICE))), (None, Ok(0)));
    assert_eq!(ready(store.suspended(ALICE)), Ok(None));
    assert_eq!(ready(store.accept_step(&app, 9, None)), Ok(false));
}

/// A suspension ends all sessions, and stays until it is ended.
pub fn a_suspended_account_has_no_sessions<S: FactorStore>(store: &mut S) {
    register(store, ALICE, "alice", 0);
    register(store, BOB, "bob", 0);
    assert_eq!(ready(store.suspend(CAROL, at(1))), Ok(None), "no such account");
    assert_eq!((ready(store.suspended(ALICE)), ready(store.resume(ALICE, at(1)))), (Ok(None), Ok(false)));
    let ended = ready(store.suspend(ALICE, at(2))).expect("suspends").expect("there");
    assert_eq!(ended.iter().map(|one| (one.user, one.session)).collect::<Vec<_>>(), [(ALICE, id(101))]);
    assert_eq!(ready(store.suspend(ALICE, at(3))), Ok(Some(Vec::new())), "it is suspended");
    assert_eq!(ready(store.suspended(ALICE)), Ok(Some(at(2))), "since then");
    assert_eq!(ready(store.sessions(ALICE, at(3))), Ok(Vec::new()));
    assert_eq!(ready(store.sessions(BOB, at(3))).expect("readable").len(), 1, "nobody else's");
    assert_eq!(ready(store.resume(ALICE, at(4))), Ok(true));
    assert_eq!((ready(store.suspended(ALICE)), ready(store.resume(ALICE, at(4)))), (Ok(None), Ok(false)));
    let kinds: Vec<_> = noted(store, ALICE, 3).into_iter().map(|(kind, ..)| kind).collect();
    assert_eq!(kinds, [AuditKind::Resumed, AuditKind::Suspended, AuditKind::Suspended]);
    let event = AuditEvent { at: at(5), user: ALICE, session: id(7), kind: AuditKind::FactorLocked };
    ready(store.note(event)).expect("notes");
    assert_eq!(ready(store.audit(ALICE, 1)), Ok(vec![event]));
}

/// An app that is confirmed, one that waits, used and unused recovery codes, a suspension that ended and one that did not.
pub(super) fn some_of_everything<S: FactorStore>(store: &mut S) {
    let app = confirmed(store, ALICE, 3, &[[1; 32], [2; 32]]);
    ready(store.accept_step(&app, 4, None)).expect("accepts");
    ready(store.use_recovery(ALICE, &[1; 32], at(3))).expect("uses");
    assert_eq!(enrol(store, CAROL, 7, 3), Enrolled::Waits);
    ready(store.suspend(ALICE, at(4))).expect("suspends");
    ready(store.resume(ALICE, at(5))).expect("resumes");
    ready(store.suspend(CAROL, at(6))).expect("suspends");
}

/// What a copy of [`some_of_everything`] must take as its source does.
pub(super) fn more_of_everything<S: FactorStore>(store: &mut S) {
    let app = factor(store, ALICE).expect("there");
    assert_eq!(ready(store.accept_step(&app, 5, None)), Ok(true));
    assert_eq!(ready(store.use_recovery(ALICE, &[1; 32], at(7))), Ok(false), "used before the copy");
    assert_eq!(ready(store.use_recovery(ALICE, &[2; 32], at(7))), Ok(true));
    let waiting = factor(store, CAROL).expect("it waits");
    assert_eq!(ready(store.confirm(&waiting, 1, &[[9; 32]], id(1), at(8))), Ok(true));
    assert_eq!(ready(store.resume(CAROL, at(9))), Ok(true));
}

/// Compares what can be asked for.
pub(super) fn the_same_is_answered<A: FactorStore, B: FactorStore>(one: &A, other: &B) {
    for user in [ALICE, BOB, CAROL] {
        assert_eq!(factor(one, user), factor(other, user));
        assert_eq!(ready(one.recovery_left(user)), ready(other.recovery_left(user)));
        assert_eq!(ready(one.suspended(user)), ready(other.suspended(user)));
    }
}
