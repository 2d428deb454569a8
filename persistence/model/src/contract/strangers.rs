//! The suite of conversations of two that strangers begin.

use lynk_domain::{Millis, Ordinal, Role, RoomId, RoomKind, Seq, UserId, direct_room_id};

use super::rooms::{GUEST, OWNER, ROOM, applied, apply, begin, command, create, load};
use crate::port::{RoomStore, ready};
use crate::{
    DirectFrom, MESSAGE_REQUEST_AGAIN_MILLIS, MESSAGE_REQUESTS_RECEIVED_MAX, MESSAGE_REQUESTS_WINDOW_MILLIS,
    Membership, MessageRequest, MetaChange, MetaEvent, MetaOutcome, MetaTransaction, RequestChange,
    RequestSide, RequestState,
};

const KEPT: MetaOutcome = MetaOutcome::Applied { version: 0, event: None };
const ASKED: MetaOutcome = MetaOutcome::Requested { version: 1, repeated: None };

fn user(number: u32) -> UserId {
    let mut id = [0x5a; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    UserId(id)
}

fn asks(actor: UserId, other: UserId, wall: u64, requests_max: u32) -> MetaTransaction {
    let mut asks = begin(actor, other);
    if let MetaChange::Begin { requests_max: max, .. } = &mut asks.change {
        *max = requests_max;
    }
    MetaTransaction { wall: Millis(wall), ..asks }
}

fn changes(number: u8, actor: UserId, wall: u64, change: RequestChange) -> MetaTransaction {
    let room = direct_room_id(OWNER, GUEST);
    MetaTransaction { actor, wall: Millis(wall), ..command(room, number, MetaChange::Conversation(change)) }
}

fn listed<R: RoomStore>(store: &R, user: UserId) -> Vec<Membership> {
    ready(store.memberships(user, RoomId::NIL, 10)).expect("readable")
}

fn sides<R: RoomStore>(store: &R) -> [Vec<Option<RequestSide>>; 2] {
    [OWNER, GUEST].map(|user| listed(store, user).iter().map(|row| row.request).collect())
}

fn request<R: RoomStore>(store: &R) -> MessageRequest {
    load(store, direct_room_id(OWNER, GUEST)).message_request.expect("a request")
}

/// Whoever shares no room asks, and the conversation is as any other once it is accepted; of others it is from the start.
pub fn a_stranger_asks_until_it_is_accepted<R: RoomStore>(store: &mut R) {
    let direct = direct_room_id(OWNER, GUEST);
    assert_eq!(apply(store, &asks(OWNER, GUEST, 100, 50)), ASKED);
    let again = MetaOutcome::Requested { version: 1, repeated: Some(Seq(0)) };
    assert_eq!(apply(store, &asks(OWNER, GUEST, 100, 50)), again);
    ready(store.confirm(direct, 1, Seq(1))).expect("confirms");
    let again = MetaOutcome::Requested { version: 1, repeated: Some(Seq(1)) };
    assert_eq!(apply(store, &asks(OWNER, GUEST, 101, 50)), again);
    let asked = MessageRequest::new(OWNER, GUEST, Millis(100), Ordinal(0));
    assert_eq!(request(store), asked);
    assert_eq!(sides(store), [[Some(RequestSide::Sent)], [Some(RequestSide::Received)]]);
    assert_eq!(load(store, direct).members.len(), 2);

    // The one who is asked alone says what becomes of it.
    for (number, change) in
        [(2, RequestChange::Accept), (3, RequestChange::Decline { seq: Seq(1), n: Ordinal(0) })]
    {
        for (offset, actor) in [(0, OWNER), (10, UserId([9; 16]))] {
            let refused = apply(store, &changes(number + offset, actor, 200, change));
            assert_eq!(refused, MetaOutcome::NoRequest, "{change:?}");
        }
    }
    assert_eq!(request(store), asked);
    let accept = changes(4, GUEST, 300, RequestChange::Accept);
    assert_eq!(apply(store, &accept), KEPT);
    assert_eq!(apply(store, &accept), MetaOutcome::Repeated { version: 0, seq: Seq(0) });
    let accepted = MessageRequest { state: RequestState::Accepted, decided: Millis(300), turns: 1, ..asked };
    assert_eq!(request(store), accepted);
    assert_eq!(apply(store, &changes(5, GUEST, 400, RequestChange::Accept)), KEPT);
    assert_eq!(request(store), accepted, "once");
    let decline = RequestChange::Decline { seq: Seq(9), n: Ordinal(9) };
    assert_eq!(apply(store, &changes(6, GUEST, 400, decline)), MetaOutcome::NoRequest);
    let over = 300 + MESSAGE_REQUEST_AGAIN_MILLIS;
    let anew = RequestChange::Again { seq: Seq(9), n: Ordinal(9), requests_max: 50 };
    assert_eq!(apply(store, &changes(7, OWNER, over, anew)), MetaOutcome::NoRequest);
    assert_eq!(sides(store), [[None], [None]]);
    assert_eq!(apply(store, &asks(OWNER, GUEST, 500, 50)), MetaOutcome::Repeated { version: 1, seq: Seq(1) });

    // Who shares a room does not ask.
    applied(store, &create(ROOM, 20, RoomKind::Private, "a room"));
    let third = UserId([7; 16]);
    let join = MetaEvent::Joined { user: third, role: Role::Member };
    applied(store, &command(ROOM, 21, MetaChange::Event(join)));
    assert!(matches!(apply(store, &begin(third, OWNER)), MetaOutcome::Applied { version: 1, .. }));
    assert_eq!(load(store, direct_room_id(OWNER, third)).message_request, None);
}

/// Whoever adds somebody to a room stays a stranger, and so does everybody there, until that one writes there; whoever is no stranger makes
/// nobody one.
pub fn who_is_added_by_a_stranger_shares_no_room<R: RoomStore>(store: &mut R) {
    let [helper, friend] = [UserId([7; 16]), UserId([8; 16])];
    let joins = |number, actor, user| {
        let join = MetaEvent::Joined { user, role: Role::Member };
        MetaTransaction { actor, ..command(ROOM, number, MetaChange::Event(join)) }
    };
    let by_stranger = |store: &R, user| {
        let found = load(store, ROOM).members.into_iter().find(|member| member.user == user);
        found.map(|member| member.by_stranger)
    };
    applied(store, &create(ROOM, 20, RoomKind::Private, "a room"));
    applied(store, &joins(21, helper, helper));
    assert_eq!((by_stranger(store, OWNER), by_stranger(store, helper)), (Some(false), Some(false)));
    applied(store, &joins(22, OWNER, GUEST));
    assert_eq!(by_stranger(store, GUEST), Some(true));
    for asker in [OWNER, helper] {
        assert_eq!(apply(store, &asks(asker, GUEST, 100, 50)), ASKED, "{asker}");
    }
    // Whom one wrote to oneself is no stranger from then on, but for those alone who are.
    let accept = MetaChange::Conversation(RequestChange::Accept);
    let accept = MetaTransaction { actor: GUEST, ..command(direct_room_id(helper, GUEST), 9, accept) };
    assert_eq!(apply(store, &accept), KEPT);
    applied(store, &create(RoomId([0x71; 16]), 23, RoomKind::Private, "another"));
    let into =
        |number, actor, user| MetaTransaction { room: RoomId([0x71; 16]), ..joins(number, actor, user) };
    applied(store, &into(24, helper, helper));
    applied(store, &into(25, helper, GUEST));
    let there = load(store, RoomId([0x71; 16])).members;
    assert!(there.iter().all(|member| !member.by_stranger), "by somebody whom the guest knows: {there:?}");

    // It may begin one with anybody there: it is they who came by themselves.
    applied(store, &joins(26, OWNER, friend));
    assert_eq!(by_stranger(store, friend), Some(true));
    assert_eq!(apply(store, &asks(GUEST, friend, 100, 50)), ASKED, "both were added");
    let begun = apply(store, &begin(friend, helper));
    assert!(matches!(begun, MetaOutcome::Applied { version: 1, .. }), "{begun:?}");

    // Who writes there is there by itself, whoever leaves and is added again is not, and who comes back by itself is.
    ready(store.wrote(ROOM, friend)).expect("takes it");
    ready(store.wrote(ROOM, friend)).expect("again");
    ready(store.wrote(ROOM, UserId([9; 16]))).expect("of no member");
    assert_eq!((by_stranger(store, friend), by_stranger(store, GUEST)), (Some(false), Some(true)));
    let begun = apply(store, &begin(OWNER, friend));
    assert!(matches!(begun, MetaOutcome::Applied { version: 1, .. }), "{begun:?}");
    let leave = |number, user| {
        let left = MetaChange::Event(MetaEvent::Left { user });
        MetaTransaction { actor: user, ..command(ROOM, number, left) }
    };
    applied(store, &leave(27, GUEST));
    applied(store, &joins(28, helper, GUEST));
    assert_eq!(by_stranger(store, GUEST), Some(false), "the helper is no stranger");
    applied(store, &leave(29, GUEST));
    applied(store, &MetaTransaction { actor: UserId([6; 16]), ..joins(30, OWNER, GUEST) });
    assert_eq!(by_stranger(store, GUEST), Some(true));
    applied(store, &leave(31, GUEST));
    applied(store, &joins(32, GUEST, GUEST));
    assert_eq!(by_stranger(store, GUEST), Some(false));
}

/// What is declined is shown to who asked alone, as if it waited, and waits again when it is asked anew after its time.
pub fn what_is_declined_may_be_asked_again<R: RoomStore>(store: &mut R) {
    applied(store, &asks(OWNER, GUEST, 100, 50));
    let decline = RequestChange::Decline { seq: Seq(3), n: Ordinal(2) };
    assert_eq!(apply(store, &changes(2, GUEST, 200, decline)), KEPT);
    let asked = MessageRequest::new(OWNER, GUEST, Millis(100), Ordinal(0));
    let declined = MessageRequest { state: RequestState::Declined, decided: Millis(200), turns: 1, ..asked };
    assert_eq!(request(store), declined);
    assert_eq!(sides(store), [vec![Some(RequestSide::Sent)], vec![]]);
    let cleared = |store: &R| {
        let loaded = load(store, direct_room_id(OWNER, GUEST));
        let member = loaded.members.into_iter().find(|member| member.user == GUEST).expect("a member");
        (member.personal.cleared.0, member.personal.cleared_n.0)
    };
    assert_eq!(cleared(store), (3, 2));
    let later = RequestChange::Decline { seq: Seq(8), n: Ordinal(7) };
    assert_eq!(apply(store, &changes(3, GUEST, 300, later)), KEPT);
    assert_eq!((request(store), cleared(store)), (declined, (3, 2)), "once");

    let over = 200 + MESSAGE_REQUEST_AGAIN_MILLIS;
    let anew = RequestChange::Again { seq: Seq(5), n: Ordinal(4), requests_max: 1 };
    let early = 99 + MESSAGE_REQUEST_AGAIN_MILLIS;
    assert_eq!(apply(store, &changes(4, OWNER, early, anew)), KEPT, "as of one that waits");
    assert_eq!(request(store), declined);
    assert_eq!(apply(store, &changes(5, GUEST, over, anew)), MetaOutcome::NoRequest);
    let block = |number, on| {
        let block = MetaChange::Block { by: GUEST, user: OWNER, on };
        MetaTransaction { actor: GUEST, ..command(direct_room_id(OWNER, GUEST), number, block) }
    };
    applied(store, &block(6, true));
    assert_eq!(apply(store, &changes(7, OWNER, over, anew)), MetaOutcome::Blocked);
    applied(store, &block(8, false));
    ready(store.set_direct_from(GUEST, DirectFrom::Rooms)).expect("takes it");
    assert_eq!(apply(store, &changes(9, OWNER, over, anew)), MetaOutcome::Closed, "their 1:1 does not count");
    ready(store.set_direct_from(GUEST, DirectFrom::Everyone)).expect("takes it");
    let none = RequestChange::Again { seq: Seq(5), n: Ordinal(4), requests_max: 0 };
    let until = Millis(over + MESSAGE_REQUESTS_WINDOW_MILLIS);
    assert_eq!(apply(store, &changes(10, OWNER, over, none)), MetaOutcome::TooOften { until });
    assert_eq!(request(store), declined);

    assert_eq!(apply(store, &changes(11, OWNER, over, anew)), KEPT);
    let waits = MessageRequest { turns: 2, ..MessageRequest::new(OWNER, GUEST, Millis(over), Ordinal(4)) };
    assert_eq!((request(store), cleared(store)), (waits, (5, 4)));
    assert_eq!(sides(store), [[Some(RequestSide::Sent)], [Some(RequestSide::Received)]]);
    assert_eq!(apply(store, &changes(12, OWNER, over + 1, anew)), KEPT, "it waits already");
    assert_eq!(request(store), waits);

    // It is accepted although it was declined.
    assert_eq!(apply(store, &changes(13, GUEST, over + 2, decline)), KEPT);
    assert_eq!(apply(store, &changes(14, GUEST, over + 3, RequestChange::Accept)), KEPT);
    assert_eq!(sides(store), [[None], [None]]);
    assert_eq!(cleared(store), (5, 4), "it only grows");
}

/// What waits is asked anew after the same time as what was declined, so that nobody can tell one from the other by it; of neither is anybody
/// told but once the refusal is as long ago.
pub fn what_waits_may_be_asked_again_as_what_was_declined<R: RoomStore>(store: &mut R) {
    let again = MESSAGE_REQUEST_AGAIN_MILLIS;
    let anew = |seq, n| RequestChange::Again { seq: Seq(seq), n: Ordinal(n), requests_max: 1 };
    applied(store, &asks(OWNER, GUEST, 100, 50));
    let asked = request(store);
    assert_eq!(apply(store, &changes(2, OWNER, 99 + again, anew(5, 4))), KEPT, "not yet");
    assert_eq!(request(store), asked);
    assert_eq!(apply(store, &changes(3, GUEST, 100 + again, anew(5, 4))), MetaOutcome::NoRequest);
    assert_eq!(apply(store, &changes(4, OWNER, 100 + again, anew(5, 4))), KEPT);
    let renewed = MessageRequest { at: Millis(100 + again), base: Ordinal(4), ..asked };
    assert_eq!(request(store), renewed);
    assert_eq!(sides(store), [[Some(RequestSide::Sent)], [Some(RequestSide::Received)]]);
    let cleared = |store: &R| {
        let loaded = load(store, direct_room_id(OWNER, GUEST));
        let member = loaded.members.into_iter().find(|member| member.user == GUEST).expect("a member");
        (member.personal.cleared.0, member.personal.cleared_n.0)
    };
    assert_eq!(cleared(store), (0, 0), "what it was asked before stands");

    // Declined a day before it may be asked anew: the same for who asked, and nothing for the other.
    let refused = 100 + 2 * again - 1;
    let decline = RequestChange::Decline { seq: Seq(9), n: Ordinal(7) };
    assert_eq!(apply(store, &changes(5, GUEST, refused, decline)), KEPT);
    let over = 100 + 2 * again;
    assert_eq!(apply(store, &changes(6, OWNER, over, anew(9, 7))), KEPT);
    let declined = MessageRequest {
        state: RequestState::Declined,
        at: Millis(over),
        base: Ordinal(7),
        decided: Millis(refused),
        turns: 1,
        ..renewed
    };
    assert_eq!(request(store), declined);
    assert_eq!(sides(store), [vec![Some(RequestSide::Sent)], vec![]]);
    let over = 100 + 3 * again;
    assert_eq!(apply(store, &changes(7, OWNER, over - 1, anew(12, 10))), KEPT, "not yet");
    assert_eq!(request(store), declined);
    assert_eq!(apply(store, &changes(8, OWNER, over, anew(12, 10))), KEPT);
    let waits = MessageRequest { turns: 2, ..MessageRequest::new(OWNER, GUEST, Millis(over), Ordinal(10)) };
    assert_eq!((request(store), cleared(store)), (waits, (12, 10)));
    assert_eq!(sides(store), [[Some(RequestSide::Sent)], [Some(RequestSide::Received)]]);
}

/// Somebody asks so many strangers in a day, and so many wait for somebody.
pub fn so_many_strangers_are_asked_and_ask<R: RoomStore>(store: &mut R) {
    let day = MESSAGE_REQUESTS_WINDOW_MILLIS;
    for number in 1..=3_u32 {
        assert_eq!(apply(store, &asks(OWNER, user(number), u64::from(number), 3)), ASKED);
    }
    let wait = MetaOutcome::TooOften { until: Millis(1 + day) };
    assert_eq!(apply(store, &asks(OWNER, user(4), day, 3)), wait);
    assert_eq!(load(store, direct_room_id(OWNER, user(4))).row, None);
    assert_eq!(apply(store, &asks(GUEST, user(4), day, 3)), ASKED, "of another");
    assert_eq!(apply(store, &asks(OWNER, user(4), 1 + day, 3)), ASKED);

    let popular = user(0);
    for number in 0..MESSAGE_REQUESTS_RECEIVED_MAX {
        applied(store, &asks(user(1_000 + number), popular, 1, 50));
    }
    let late = asks(GUEST, popular, 5, 50);
    assert_eq!(apply(store, &late), MetaOutcome::Closed);
    let first = direct_room_id(user(1_000), popular);
    let accept = command(first, 1, MetaChange::Conversation(RequestChange::Accept));
    applied(store, &MetaTransaction { actor: popular, ..accept });
    assert_eq!(apply(store, &late), ASKED);
}

/// Of an erased account no request is left: those that are not accepted go with their rooms' members, the others are conversations as any.
pub fn no_request_outlives_an_account<R: RoomStore>(store: &mut R) {
    let third = UserId([7; 16]);
    let decides = |asker: UserId, user: UserId, change| {
        let change = command(direct_room_id(asker, user), 9, MetaChange::Conversation(change));
        MetaTransaction { actor: user, ..change }
    };
    let pairs = [(OWNER, GUEST), (OWNER, user(1)), (user(2), OWNER), (user(3), OWNER), (third, GUEST)];
    for (asker, other) in pairs {
        assert_eq!(apply(store, &asks(asker, other, 100, 50)), ASKED);
    }
    let decline = RequestChange::Decline { seq: Seq(3), n: Ordinal(2) };
    applied(store, &decides(OWNER, user(1), decline));
    applied(store, &decides(user(2), OWNER, RequestChange::Accept));
    for _ in 0..2 {
        ready(store.forget_requests(OWNER)).expect("takes it");
        for (asker, other) in &pairs[..4] {
            let loaded = load(store, direct_room_id(*asker, *other));
            assert_eq!(loaded.message_request, None, "{asker} {other}");
            assert_eq!(loaded.members.len(), if *asker == user(2) { 2 } else { 0 }, "{asker} {other}");
        }
        let rooms = |user| listed(store, user).iter().map(|row| row.room).collect::<Vec<_>>();
        let accepted = direct_room_id(user(2), OWNER);
        assert_eq!([rooms(OWNER), rooms(user(2))], [[accepted], [accepted]]);
        assert_eq!([rooms(user(1)), rooms(user(3))], [[], []], "what was declined does not come back");
        assert_eq!(rooms(GUEST), [direct_room_id(third, GUEST)], "of others nothing goes");
    }
    assert!(load(store, direct_room_id(third, GUEST)).message_request.is_some());
}

/// Requests in every state, for dumps.
pub(super) fn some_requests<R: RoomStore>(store: &mut R) {
    let asked = user(9_000);
    for (number, change) in [
        (9_001, None),
        (9_002, Some(RequestChange::Accept)),
        (9_003, Some(RequestChange::Decline { seq: Seq(4), n: Ordinal(3) })),
    ] {
        applied(store, &asks(user(number), asked, 7, 50));
        if let Some(change) = change {
            let room = direct_room_id(user(number), asked);
            let change = command(room, 9, MetaChange::Conversation(change));
            applied(store, &MetaTransaction { actor: asked, ..change });
        }
    }
}

/// Something becomes of one of them.
pub(super) fn answer_one<R: RoomStore>(store: &mut R) {
    let change = MetaChange::Conversation(RequestChange::Accept);
    let accept = command(direct_room_id(user(9_001), user(9_000)), 9, change);
    applied(store, &MetaTransaction { actor: user(9_000), ..accept });
}
