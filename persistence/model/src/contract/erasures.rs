//! The suite of erasures.

use lynk_domain::{RoomId, Seq, UserId};

use super::accounts::{ALICE, BOB, CAROL, at, id, register};
use crate::NAME_RESERVED_MILLIS;
use crate::account::{AuditKind, Erasure, Registered};
use crate::port::{ErasureStore, ready};

fn room(n: u8) -> RoomId {
    RoomId([n; 16])
}

fn erasure<S: ErasureStore>(store: &S, user: UserId) -> Option<Erasure> {
    ready(store.erasure(user)).expect("readable")
}

fn erase<S: ErasureStore>(store: &mut S, user: UserId, wall: u64) -> usize {
    ready(store.erase(user, at(wall))).expect("erases").expect("there").len()
}

fn waiting<S: ErasureStore>(store: &S, limit: u32) -> Vec<UserId> {
    ready(store.erasures(limit)).expect("readable").iter().map(|one| one.user).collect()
}

/// An erased account is gone at once, with all that is of it, and its erasure waits until it is done.
pub fn an_erased_account_is_gone_and_its_erasure_waits<S: ErasureStore>(store: &mut S) {
    register(store, ALICE, "alice", 0);
    register(store, BOB, "bob", 0);
    ready(store.enrol(ALICE, &[1; 53], at(0))).expect("keeps");
    assert_eq!(ready(store.erase(CAROL, at(1))), Ok(None), "no such account");
    assert_eq!(erase(store, ALICE, 5), 1, "its session ends");
    assert_eq!(ready(store.erase(ALICE, at(6))), Ok(None), "once");
    assert_eq!(ready(store.accounts(&[ALICE])), Ok(Vec::new()));
    assert_eq!(ready(store.factor(ALICE)), Ok(None));
    assert_eq!(ready(store.session(id(101))), Ok(None));
    assert_eq!(ready(store.audit(ALICE, 1)).expect("readable")[0].kind, AuditKind::Erased);
    assert_eq!(register(store, CAROL, "ALICE", 9), Registered::NameTaken, "for thirty days");
    let begun = Erasure { user: ALICE, begun: at(5), room: RoomId::NIL, seq: Seq(0), done: None };
    assert_eq!(erasure(store, ALICE), Some(begun));
    assert_eq!(erasure(store, BOB), None);
    assert_eq!(erase(store, BOB, 4), 1);
    assert_eq!(waiting(store, 9), [BOB, ALICE], "oldest first");
    assert_eq!(waiting(store, 1), [BOB]);
}

/// An erasure goes on and never back, and is done once.
pub fn an_erasure_goes_on_and_never_back<S: ErasureStore>(store: &mut S) {
    register(store, ALICE, "alice", 0);
    erase(store, ALICE, 1);
    let mut step = |room: RoomId, seq: u64, done: Option<u64>| {
        ready(store.advance_erasure(ALICE, room, Seq(seq), done.map(at))).expect("notes");
        let one = erasure(store, ALICE).expect("there");
        (one.room, one.seq.0, one.done)
    };
    assert_eq!(step(room(2), 700, None), (room(2), 700, None));
    assert_eq!(step(room(2), 500, None), (room(2), 700, None));
    assert_eq!(step(room(1), 900, None), (room(2), 700, None));
    assert_eq!(step(room(3), 0, None), (room(3), 0, None));
    assert_eq!(step(room(0xff), u64::MAX, None), (room(0xff), u64::MAX, None));
    assert_eq!(step(room(0xff), u64::MAX, Some(8)), (room(0xff), u64::MAX, Some(at(8))));
    assert_eq!(step(room(0xff), u64::MAX, Some(9)), (room(0xff), u64::MAX, Some(at(8))), "once");
    assert_eq!(waiting(store, 9), []);
    ready(store.advance_erasure(BOB, room(1), Seq(1), None)).expect("nobody's");
    assert_eq!(erasure(store, BOB), None);
}

/// A name that was given up is forgotten when it is free, and no other.
pub fn names_that_are_free_are_forgotten<S: ErasureStore>(store: &mut S) {
    register(store, ALICE, "alice", 0);
    register(store, BOB, "bob", 0);
    register(store, CAROL, "carol", 0);
    erase(store, ALICE, 1);
    erase(store, BOB, 2);
    let mut forget = |wall: u64, limit| ready(store.forget_names(at(wall), limit)).expect("forgets");
    assert_eq!(forget(NAME_RESERVED_MILLIS, 9), 0);
    assert_eq!(forget(NAME_RESERVED_MILLIS + 1, 9), 1);
    assert_eq!(forget(NAME_RESERVED_MILLIS + 1, 9), 0, "once");
    assert_eq!(forget(9 * NAME_RESERVED_MILLIS, 0), 0);
    assert_eq!(forget(9 * NAME_RESERVED_MILLIS, 9), 1, "those that somebody has stay");
    assert!(ready(store.account_of_name("carol")).expect("readable").is_some());
}

/// An erasure that is done, and one that is not.
pub(super) fn some_of_everything<S: ErasureStore>(store: &mut S) {
    for (n, name) in [(0x51, "grace"), (0x52, "heidi")] {
        register(store, UserId([n; 16]), name, 7);
        erase(store, UserId([n; 16]), 8);
    }
    ready(store.advance_erasure(UserId([0x51; 16]), room(7), Seq(9), Some(at(9)))).expect("notes");
    ready(store.advance_erasure(UserId([0x52; 16]), room(3), Seq(4), None)).expect("notes");
}

/// What a copy of [`some_of_everything`] must take as its source does.
pub(super) fn more_of_everything<S: ErasureStore>(store: &mut S) {
    ready(store.advance_erasure(UserId([0x52; 16]), room(2), Seq(4), None)).expect("notes");
    ready(store.advance_erasure(UserId([0x52; 16]), room(5), Seq(1), None)).expect("notes");
}

/// Compares what can be asked for.
pub(super) fn the_same_is_answered<A: ErasureStore, B: ErasureStore>(one: &A, other: &B) {
    for n in [0x51, 0x52] {
        assert_eq!(erasure(one, UserId([n; 16])), erasure(other, UserId([n; 16])));
    }
    assert_eq!(ready(one.erasures(9)), ready(other.erasures(9)));
}
