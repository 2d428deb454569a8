//! The suite of links that let people into rooms.

use lynk_domain::{Key, LinkId, Millis, Role, RoomKind, UserId};

use super::rooms::{OWNER, ROOM, applied, apply, command, create, load};
use crate::port::RoomStore;
use crate::{LINKS_PER_ROOM_MAX, Link, MetaChange, MetaEvent, MetaOutcome, MetaTransaction};

fn link(number: u8, until: u64, uses_max: u32) -> Link {
    Link {
        id: LinkId([number; 16]),
        hash: [number; 32],
        by: OWNER,
        at: Millis(900),
        until: Millis(until),
        uses_max,
        uses: 0,
    }
}

fn make(number: u8, link: &Link) -> MetaTransaction {
    command(ROOM, number, MetaChange::Link(Box::new(link.clone())))
}

fn enter(number: u8, user: u8, link: &Link, wall: u64) -> MetaTransaction {
    let change = MetaChange::Enter { hash: link.hash };
    MetaTransaction { actor: UserId([user; 16]), wall: Millis(wall), ..command(ROOM, number, change) }
}

fn uses<R: RoomStore>(store: &R) -> Vec<(u8, u32)> {
    load(store, ROOM).links.iter().map(|link| (link.id.0[0], link.uses)).collect()
}

/// A use is counted once for each who joined, in the transaction that joins; a link that is over lets nobody in.
pub fn links_let_in_as_many_as_they_say<R: RoomStore>(store: &mut R) {
    let (two, brief) = (link(0xa1, 1 << 62, 2), link(0xa2, 5_000, 0));
    assert_eq!(apply(store, &make(9, &two)), MetaOutcome::Missing);
    assert_eq!(apply(store, &enter(9, 2, &two, 2_000)), MetaOutcome::NoLink);
    applied(store, &create(ROOM, 1, RoomKind::Private, "hidden"));
    let kept = MetaOutcome::Applied { version: 0, event: None };
    assert_eq!(apply(store, &make(2, &two)), kept);
    assert!(matches!(apply(store, &make(2, &two)), MetaOutcome::Repeated { version: 0, .. }));
    assert_eq!(apply(store, &make(3, &two)), MetaOutcome::Exists);
    assert_eq!(apply(store, &make(4, &brief)), kept);
    let loaded = load(store, ROOM);
    assert_eq!(
        (loaded.links, loaded.outbox.len()),
        (vec![two.clone(), brief.clone()], 1),
        "no event tells of it"
    );

    let first = enter(10, 2, &two, 2_000);
    let joined = MetaEvent::Joined { user: UserId([2; 16]), role: Role::Member };
    assert_eq!(apply(store, &first), MetaOutcome::Applied { version: 2, event: Some(joined) });
    assert!(matches!(apply(store, &first), MetaOutcome::Repeated { version: 2, .. }));
    assert_eq!(uses(store), [(0xa1, 1), (0xa2, 0)], "a retry is not counted");
    applied(store, &enter(11, 3, &two, 2_000));
    assert_eq!(apply(store, &enter(12, 4, &two, 2_000)), MetaOutcome::NoLink, "it is used up");
    assert_eq!(apply(store, &enter(12, 4, &brief, 5_000)), MetaOutcome::NoLink, "it is over");
    assert_eq!(apply(store, &enter(12, 4, &link(0xee, 9_000, 0), 2_000)), MetaOutcome::NoLink);
    applied(store, &enter(12, 4, &brief, 4_999));
    assert_eq!(uses(store), [(0xa1, 2), (0xa2, 1)]);
    let members: Vec<u8> = load(store, ROOM).members.iter().map(|member| member.user.0[0]).collect();
    assert_eq!(members, [1, 2, 3, 4]);

    let end = |number, link: &Link| command(ROOM, number, MetaChange::Unlink { link: link.id });
    assert_eq!(apply(store, &end(14, &brief)), kept);
    assert_eq!(apply(store, &end(15, &brief)), MetaOutcome::NoLink);
    assert_eq!(apply(store, &enter(16, 6, &brief, 4_000)), MetaOutcome::NoLink, "it was ended");

    // The one that is used up gives way, and no more live than may.
    for number in 0..LINKS_PER_ROOM_MAX as u8 {
        assert_eq!(apply(store, &make(20 + number, &link(number + 1, 1 << 40, 0))), kept, "{number}");
    }
    assert_eq!(uses(store).len(), LINKS_PER_ROOM_MAX as usize);
    assert_eq!(apply(store, &make(200, &link(0xb0, 1 << 40, 0))), MetaOutcome::Limit);
    let later =
        MetaTransaction { wall: Millis(1 << 40), key: Key([201; 16]), ..make(200, &link(0xb0, 1 << 41, 0)) };
    assert_eq!(apply(store, &later), kept);
    assert_eq!(uses(store), [(0xb0, 0)], "those that are over are forgotten");
    applied(store, &command(ROOM, 202, MetaChange::Event(MetaEvent::Deleted)));
    assert!(load(store, ROOM).links.is_empty());
    assert_eq!(apply(store, &enter(203, 7, &link(0xb0, 1 << 41, 0), 1 << 40)), MetaOutcome::NoLink);
}
