//! The suite of rooms that strangers find, and of requests to become a member.

use lynk_domain::{Key, Millis, Role, RoomId, RoomKind, UserId};

use super::rooms::{OWNER, ROOM, applied, apply, command, create, load};
use crate::port::{RoomStore, ready};
use crate::{
    DiscoverQuery, Discovered, JOIN_REQUEST_AGAIN_MILLIS, JOIN_REQUEST_LIFE_MILLIS,
    JOIN_REQUESTS_PER_ROOM_MAX, JOIN_REQUESTS_PER_USER_MAX, JoinRequest, ListQuery, Listed, MetaChange,
    MetaEvent, MetaOutcome, MetaTransaction, MoreSettings,
};

const KEPT: MetaOutcome = MetaOutcome::Applied { version: 0, event: None };
const ASKER: UserId = UserId([7; 16]);

fn by(actor: UserId, wall: u64, command: MetaTransaction) -> MetaTransaction {
    MetaTransaction { actor, wall: Millis(wall), ..command }
}

fn ask(number: u8, user: UserId, wall: u64) -> MetaTransaction {
    by(user, wall, command(ROOM, number, MetaChange::Ask { text: format!("words {number}") }))
}

fn answer(number: u8, wall: u64, change: MetaChange) -> MetaTransaction {
    by(OWNER, wall, command(ROOM, number, change))
}

fn open<R: RoomStore>(store: &R, wall: u64) -> Vec<u8> {
    let query = ListQuery::Requests { after: UserId::NIL, wall: Millis(wall), limit: 10_000 };
    let listed = ready(store.list(ROOM, &query)).expect("readable");
    let Listed::Requests(rows) = listed else { panic!("{listed:?}") };
    assert!(rows.windows(2).all(|pair| pair[0].user < pair[1].user));
    rows.iter().map(|row| row.user.0[0]).collect()
}

fn own<R: RoomStore>(store: &R, user: UserId, wall: u64) -> Vec<(RoomId, String, JoinRequest)> {
    let found = ready(store.requests_of(user, RoomId::NIL, Millis(wall), 1_000)).expect("readable");
    found.into_iter().map(|own| (own.room, own.name, own.request)).collect()
}

fn settings(name: &str, kind: RoomKind) -> MetaChange {
    MetaChange::Event(MetaEvent::Settings {
        name: name.to_owned(),
        level: lynk_domain::AckLevel::Local,
        visibility: lynk_domain::HistoryVisibility::All,
        slow_mode_seconds: 0,
        more: Some(Box::new(MoreSettings {
            kind,
            description: "about".to_owned(),
            avatar: lynk_domain::MediaId([5; 16]),
            members_max: 3,
            retention_days: 0,
            read_only: false,
        })),
    })
}

/// A request waits until it is taken back, answered or over; who was declined waits; membership and bans end it.
pub fn requests_wait_for_an_answer<R: RoomStore>(store: &mut R) {
    assert_eq!(apply(store, &ask(9, ASKER, 1_000)), MetaOutcome::Missing);
    applied(store, &create(ROOM, 1, RoomKind::InviteOnly, "club"));
    assert_eq!(apply(store, &ask(2, ASKER, 1_000)), KEPT);
    assert!(matches!(apply(store, &ask(2, ASKER, 1_000)), MetaOutcome::Repeated { version: 0, .. }));
    assert_eq!(apply(store, &ask(3, ASKER, 1_001)), MetaOutcome::Exists);
    let request = JoinRequest {
        user: ASKER,
        text: "words 2".to_owned(),
        at: Millis(1_000),
        declined: Millis(0),
        by: UserId::NIL,
    };
    let loaded = load(store, ROOM);
    assert_eq!((&loaded.requests, loaded.outbox.len()), (&vec![request.clone()], 1), "no event tells of it");
    assert_eq!(own(store, ASKER, 1_000), [(ROOM, "club".to_owned(), request.clone())]);
    applied(store, &answer(4, 1_000, settings("secret", RoomKind::Private)));
    assert_eq!(own(store, ASKER, 1_000), [(ROOM, String::new(), request)], "a hidden room has no name");
    applied(store, &answer(5, 1_000, settings("club", RoomKind::InviteOnly)));

    // It is over, and may be made again.
    let over = 1_000 + JOIN_REQUEST_LIFE_MILLIS;
    assert_eq!((open(store, over - 1), open(store, over)), (vec![7], vec![]));
    assert_eq!(own(store, ASKER, over), []);
    for (number, change) in [
        (10, MetaChange::Accept { user: ASKER }),
        (11, MetaChange::Decline { user: ASKER }),
        (12, MetaChange::Accept { user: OWNER }),
    ] {
        assert_eq!(apply(store, &answer(number, over, change)), MetaOutcome::NoRequest, "{number}");
    }
    assert_eq!(apply(store, &ask(13, ASKER, over)), KEPT);

    // Taken back, and made again.
    let withdraw = |number| by(ASKER, over, command(ROOM, number, MetaChange::Withdraw));
    assert_eq!(apply(store, &withdraw(14)), KEPT);
    assert_eq!(apply(store, &withdraw(15)), MetaOutcome::NoRequest);
    assert!(load(store, ROOM).requests.is_empty());
    assert_eq!(apply(store, &ask(16, ASKER, over)), KEPT);

    // Declined: its words are gone, and for seven days it may not be made again.
    assert_eq!(apply(store, &answer(17, over + 5, MetaChange::Decline { user: ASKER })), KEPT);
    assert_eq!(
        apply(store, &answer(18, over + 5, MetaChange::Decline { user: ASKER })),
        MetaOutcome::NoRequest
    );
    let declined = JoinRequest {
        user: ASKER,
        text: String::new(),
        at: Millis(over),
        declined: Millis(over + 5),
        by: OWNER,
    };
    assert_eq!(load(store, ROOM).requests, vec![declined.clone()]);
    assert_eq!(open(store, over + 5), [0u8; 0]);
    let again = over + 5 + JOIN_REQUEST_AGAIN_MILLIS;
    assert_eq!(own(store, ASKER, again - 1), [(ROOM, "club".to_owned(), declined)]);
    assert_eq!(own(store, ASKER, again), []);
    assert_eq!(apply(store, &ask(19, ASKER, again - 1)), MetaOutcome::Declined);
    assert_eq!(apply(store, &ask(20, ASKER, again)), KEPT);

    // Accepted, and gone with it.
    let joined = MetaEvent::Joined { user: ASKER, role: Role::Member };
    let accept = answer(21, again, MetaChange::Accept { user: ASKER });
    let version = load(store, ROOM).row.expect("a room").version + 1;
    assert_eq!(apply(store, &accept), MetaOutcome::Applied { version, event: Some(joined) });
    assert!(matches!(apply(store, &accept), MetaOutcome::Repeated { .. }));
    let loaded = load(store, ROOM);
    assert!(loaded.requests.is_empty() && loaded.members.iter().any(|member| member.user == ASKER));
    assert_eq!(loaded.outbox.last().map(|waiting| waiting.actor), Some(OWNER));

    // Invited, or banned.
    let (invited, banned) = (UserId([8; 16]), UserId([9; 16]));
    for (number, user) in [(22, invited), (23, banned)] {
        assert_eq!(apply(store, &ask(number, user, again)), KEPT);
    }
    let invite = MetaEvent::Joined { user: invited, role: Role::Member };
    let ban = MetaEvent::Banned { user: banned, until: Millis(0), reason: String::new() };
    for (number, event) in [(24, invite), (25, ban)] {
        applied(store, &answer(number, again, MetaChange::Event(event)));
    }
    assert!(load(store, ROOM).requests.is_empty());

    // Across a block nobody is let in.
    let (blocker, at) = (UserId([0x0a; 16]), RoomId([0x0b; 16]));
    let block = MetaChange::Block { by: blocker, user: OWNER, on: true };
    apply(store, &by(blocker, again, command(at, 26, block)));
    assert_eq!(apply(store, &ask(27, blocker, again)), KEPT);
    let accept = answer(28, again, MetaChange::Accept { user: blocker });
    assert_eq!(apply(store, &accept), MetaOutcome::Blocked);
    assert_eq!(open(store, again), [0x0a]);
    applied(store, &answer(29, again, MetaChange::Event(MetaEvent::Deleted)));
    assert!(load(store, ROOM).requests.is_empty());
    assert_eq!(apply(store, &ask(30, ASKER, again)), MetaOutcome::Missing);
}

/// As many are open in a room, and of a user, as may be; those that are over make place.
pub fn so_many_requests_are_open<R: RoomStore>(store: &mut R) {
    applied(store, &create(ROOM, 1, RoomKind::InviteOnly, "full"));
    let user = |number: u32| UserId((0x0101_0000 + u128::from(number)).to_be_bytes());
    let at = |room, actor, key: u32, wall| MetaTransaction {
        room,
        actor,
        key: Key(u128::from(key + 1).to_be_bytes()),
        content_hash: 1,
        wall: Millis(wall),
        change: MetaChange::Ask { text: String::new() },
    };
    for number in 0..JOIN_REQUESTS_PER_ROOM_MAX {
        let wall = if number == 0 { 1_000 } else { 2_000 };
        assert_eq!(apply(store, &at(ROOM, user(number), number, wall)), KEPT, "{number}");
    }
    let last = user(JOIN_REQUESTS_PER_ROOM_MAX);
    assert_eq!(apply(store, &at(ROOM, last, 5_000, 2_000)), MetaOutcome::Limit);
    assert_eq!(apply(store, &at(ROOM, last, 5_001, 1_000 + JOIN_REQUEST_LIFE_MILLIS)), KEPT);
    assert_eq!(load(store, ROOM).requests.len(), JOIN_REQUESTS_PER_ROOM_MAX as usize);

    let room = |number: u32| RoomId((0x0202_0000 + u128::from(number)).to_be_bytes());
    for number in 0..=JOIN_REQUESTS_PER_USER_MAX {
        let name = format!("club {number}");
        applied(store, &create(room(number), 1, RoomKind::InviteOnly, &name));
        let wall = if number == 0 { 1_000 } else { 2_000 };
        let expected = if number < JOIN_REQUESTS_PER_USER_MAX { KEPT } else { MetaOutcome::Limit };
        assert_eq!(apply(store, &at(room(number), ASKER, 6_000, wall)), expected, "{number}");
    }
    let page = |after, limit| {
        let found = ready(store.requests_of(ASKER, after, Millis(2_000), limit)).expect("readable");
        found.iter().map(|own| own.room).collect::<Vec<_>>()
    };
    assert_eq!(page(RoomId::NIL, 2), [room(0), room(1)]);
    assert_eq!(page(room(1), 1), [room(2)]);
    assert_eq!(page(room(JOIN_REQUESTS_PER_USER_MAX - 1), 9), []);
    let later = at(room(JOIN_REQUESTS_PER_USER_MAX), ASKER, 6_001, 1_000 + JOIN_REQUEST_LIFE_MILLIS);
    assert_eq!(apply(store, &later), KEPT);
    assert!(load(store, room(0)).requests.is_empty(), "one that is over is forgotten");
}

/// Public rooms are found by the beginnings of their names, in order, by those whom they do not keep out.
pub fn public_rooms_are_found<R: RoomStore>(store: &mut R) {
    let find = |store: &R, user, prefix: &str, after: Option<&Discovered>, limit| {
        let after = after.map_or((String::new(), RoomId::NIL), |row| (row.listed.clone(), row.room));
        let query = DiscoverQuery { user, prefix: prefix.to_owned(), after, wall: Millis(5_000), limit };
        ready(store.discover(&query)).expect("readable")
    };
    let names = |rows: &[Discovered]| rows.iter().map(|row| row.name.clone()).collect::<Vec<_>>();
    assert_eq!(find(store, ASKER, "", None, 10), []);
    let room = |number: u8| RoomId([number; 16]);
    for (number, kind, name) in [
        (0x31, RoomKind::Public, "Zoo"),
        (0x32, RoomKind::Public, "École du soir"),
        (0x33, RoomKind::Private, "École privée"),
        (0x34, RoomKind::InviteOnly, "École fermée"),
        (0x35, RoomKind::Public, "ecole!"),
        (0x36, RoomKind::Public, "***"),
        (0x37, RoomKind::Public, "Economy"),
        (0x38, RoomKind::Public, "gone"),
    ] {
        applied(store, &create(room(number), 1, kind, name));
    }
    let deleted = MetaChange::Event(MetaEvent::Deleted);
    applied(store, &command(room(0x38), 2, deleted));
    let all = find(store, ASKER, "", None, 10);
    assert_eq!(names(&all), ["***", "ecole!", "École du soir", "Economy", "Zoo"]);
    assert_eq!(names(&find(store, ASKER, "ecole", None, 10)), ["ecole!", "École du soir"]);
    assert_eq!(names(&find(store, ASKER, "ecole d", None, 10)), ["École du soir"]);
    assert_eq!(names(&find(store, ASKER, "du", None, 10)), [""; 0]);
    for (at, row) in all.iter().enumerate() {
        assert_eq!(find(store, ASKER, "", Some(row), 10), all[at + 1..], "a page goes on behind any row");
        assert_eq!(
            find(store, ASKER, "", Some(row), 1),
            all[at + 1..].iter().take(1).cloned().collect::<Vec<_>>()
        );
    }
    assert_eq!(names(&find(store, ASKER, "ecole", Some(&all[1]), 10)), ["École du soir"]);

    applied(store, &command(room(0x31), 3, settings("Aquarium", RoomKind::Public)));
    applied(store, &command(room(0x35), 3, settings("ecole!", RoomKind::Private)));
    applied(store, &command(room(0x34), 3, settings("École fermée", RoomKind::Public)));
    let join = MetaChange::Event(MetaEvent::Joined { user: ASKER, role: Role::Member });
    applied(store, &command(room(0x31), 4, join));
    let ban = |until| MetaEvent::Banned { user: ASKER, until: Millis(until), reason: String::new() };
    for (number, until) in [(0x32, 0), (0x37, 5_001), (0x36, 5_000)] {
        applied(store, &command(room(number), 5, MetaChange::Event(ban(until))));
    }
    let found = find(store, ASKER, "", None, 10);
    assert_eq!(names(&found), ["***", "Aquarium", "École fermée"], "bans that stand hide a room");
    let expected = Discovered {
        room: room(0x31),
        listed: "aquarium".to_owned(),
        name: "Aquarium".to_owned(),
        description: "about".to_owned(),
        avatar: lynk_domain::MediaId([5; 16]),
        members: 2,
        members_max: 3,
        member: true,
    };
    assert_eq!(found[1], expected);
    let other = find(store, UserId([8; 16]), "", None, 10);
    assert_eq!(names(&other), ["***", "Aquarium", "École du soir", "École fermée", "Economy"]);
    assert!(other.iter().all(|row| !row.member));
}
