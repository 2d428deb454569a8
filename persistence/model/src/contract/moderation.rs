//! The suite of what moderators did.

use lynk_domain::{Millis, Role, RoomId, RoomKind, Seq, UserId};

use super::rooms::{OWNER, ROOM, applied, apply, command, create};
use crate::port::{RoomStore, ready};
use crate::{
    Act, ActKind, ListQuery, Listed, MODERATION_LIFE_MILLIS, MetaChange, MetaEvent, MetaTransaction,
};

fn page<R: RoomStore>(store: &R, before: u64, wall: u64, limit: u32) -> Vec<Act> {
    let query = ListQuery::Acts { before, wall: Millis(wall), limit };
    let listed = ready(store.list(ROOM, &query)).expect("readable");
    let Listed::Acts(acts) = listed else { panic!("{listed:?}") };
    acts
}

/// Acts are kept in their order with the change that they are, once, for a time, and as long as their room.
pub fn acts_are_kept_with_what_they_did<R: RoomStore>(store: &mut R) {
    let user = UserId([2; 16]);
    applied(store, &create(ROOM, 1, RoomKind::Public, "watched"));
    let event = |number, event| command(ROOM, number, MetaChange::Event(event));
    let join = MetaEvent::Joined { user, role: Role::Member };
    applied(store, &event(2, join.clone()));
    assert_eq!(page(store, 0, 1_000, 9), [], "joining is none");
    let ban = event(3, MetaEvent::Banned { user, until: Millis(77), reason: "why".to_owned() });
    applied(store, &ban);
    apply(store, &ban);
    applied(store, &event(4, MetaEvent::Unbanned { user }));
    applied(store, &event(5, join));
    applied(store, &event(6, MetaEvent::Role { user, role: Role::Admin }));
    let act = |number: u64, at: u64, kind, value, reason: &str| Act {
        number,
        at: Millis(at),
        by: OWNER,
        kind,
        subject: user.0,
        value,
        reason: reason.to_owned(),
    };
    let (banned, unbanned) =
        (act(1, 1_003, ActKind::Banned, 77, "why"), act(2, 1_004, ActKind::Unbanned, 0, ""));
    let role = act(3, 1_006, ActKind::Role, Role::Admin as u64, "");
    assert_eq!(page(store, 0, 1_010, 9), [role.clone(), unbanned.clone(), banned.clone()]);
    assert_eq!(page(store, 0, 1_010, 1), [role]);
    assert_eq!(page(store, 3, 1_010, 1), [unbanned]);
    assert_eq!(page(store, 2, 1_010, 9), [banned]);
    assert_eq!(page(store, 1, 1_010, 9), []);

    // What is refused is none, and what is noted is noted once.
    let closed = MetaTransaction { content_hash: 99, ..ban };
    apply(store, &closed);
    let deleted = Act::deleted(Millis(2_000), OWNER, user, Seq(40));
    for _ in 0..2 {
        ready(store.note(ROOM, &deleted)).expect("notes");
    }
    ready(store.note(RoomId([9; 16]), &deleted)).expect("of a room that is not there nothing is noted");
    let noted = act(4, 2_000, ActKind::MessageDeleted, 40, "");
    assert_eq!(page(store, 0, 2_000, 1), std::slice::from_ref(&noted));
    assert_eq!(page(store, 0, 2_000, 9).len(), 4);

    // They are kept for a time.
    let old = 1_006 + MODERATION_LIFE_MILLIS;
    assert_eq!(page(store, 0, old, 9), [noted]);
    let later =
        MetaTransaction { wall: Millis(old), ..event(7, MetaEvent::Kicked { user, reason: String::new() }) };
    applied(store, &later);
    let kinds = |acts: Vec<Act>| acts.iter().map(|act| act.kind).collect::<Vec<_>>();
    assert_eq!(
        kinds(page(store, 0, 2_000, 9)),
        [ActKind::Kicked, ActKind::MessageDeleted],
        "old ones are gone"
    );
    applied(store, &event(8, MetaEvent::Deleted));
    ready(store.note(ROOM, &Act::deleted(Millis(2_000), OWNER, user, Seq(41)))).expect("notes");
    assert_eq!(page(store, 0, 2_000, 9), [], "it goes with its room");
}
