//! The room port's suite.

use std::ops::Range;

use lynk_domain::{
    AckLevel, HistoryVisibility, Key, LinkId, MediaId, Millis, Ordinal, Role, RoomId, RoomKind, Seq, UserId,
    direct_room_id,
};

use super::history::Random;
use super::messages::println_seed;
use super::pages;
use crate::memory::MemoryRooms;
use crate::port::{RoomStore, ready};
use crate::{
    DirectFrom, Link, ListQuery, Listed, LoadedRoom, MetaChange, MetaEvent, MetaOutcome, MetaTransaction,
    MoreSettings, NAME_RESERVED_MILLIS, Personal, RequestChange, RoomRow, RoomWish, Sentence, SentenceKind,
    Wish, fold_name,
};

pub(super) const OWNER: UserId = UserId([1; 16]);
pub(super) const GUEST: UserId = UserId([2; 16]);
pub(super) const ROOM: RoomId = RoomId([0x70; 16]);
const DAY: u64 = 24 * 60 * 60 * 1_000;

fn row(room: RoomId, kind: RoomKind, name: &str) -> RoomRow {
    RoomRow::new(room, kind, name, OWNER, Millis(5))
}

/// A command of the owner whose key and hash are made of `number`.
pub(super) fn command(room: RoomId, number: u8, change: MetaChange) -> MetaTransaction {
    MetaTransaction {
        room,
        actor: OWNER,
        key: Key([number; 16]),
        content_hash: u64::MAX - u64::from(number),
        wall: Millis(1_000 + u64::from(number)),
        change,
    }
}

pub(super) fn create(room: RoomId, number: u8, kind: RoomKind, name: &str) -> MetaTransaction {
    let members = vec![(OWNER, Role::Owner)];
    command(room, number, MetaChange::Create { row: row(room, kind, name), members })
}

fn settings(name: &str) -> MetaEvent {
    MetaEvent::Settings {
        name: name.to_owned(),
        level: AckLevel::Memory,
        visibility: HistoryVisibility::SinceJoin,
        slow_mode_seconds: 9,
        more: None,
    }
}

/// All settings.
fn every_setting(name: &str, kind: RoomKind) -> MetaEvent {
    let more = MoreSettings {
        kind,
        description: format!("what {name} is about"),
        avatar: MediaId([0xa7; 16]),
        members_max: u32::MAX,
        retention_days: 90,
        read_only: true,
    };
    match settings(name) {
        MetaEvent::Settings { name, level, visibility, slow_mode_seconds, .. } => {
            let more = Some(Box::new(more));
            MetaEvent::Settings { name, level, visibility, slow_mode_seconds, more }
        }
        other => other,
    }
}

pub(super) fn apply<R: RoomStore>(store: &mut R, command: &MetaTransaction) -> MetaOutcome {
    ready(store.apply(command)).expect("the store takes a command")
}

pub(super) fn applied<R: RoomStore>(store: &mut R, command: &MetaTransaction) -> u64 {
    match apply(store, command) {
        MetaOutcome::Applied { version, .. } | MetaOutcome::Requested { version, .. } => version,
        other => panic!("{other:?} for {command:?}"),
    }
}

pub(super) fn load<R: RoomStore>(store: &R, room: RoomId) -> LoadedRoom {
    ready(store.load(room)).expect("readable")
}

/// One result per key; the event waits in the outbox until it is confirmed.
pub fn a_command_is_applied_once<R: RoomStore>(store: &mut R) {
    assert_eq!(load(store, ROOM), LoadedRoom::default());
    let join = MetaChange::Event(MetaEvent::Joined { user: GUEST, role: Role::Member });
    let early = command(ROOM, 2, join);
    assert_eq!(apply(store, &early), MetaOutcome::Missing);

    let first = create(ROOM, 1, RoomKind::Private, "a room");
    let event = MetaEvent::Created { kind: RoomKind::Private, name: "a room".to_owned() };
    assert_eq!(apply(store, &first), MetaOutcome::Applied { version: 1, event: Some(event.clone()) });
    assert_eq!(apply(store, &first), MetaOutcome::Repeated { version: 1, seq: Seq(0) });
    let other = MetaTransaction { content_hash: 3, ..first.clone() };
    assert_eq!(apply(store, &other), MetaOutcome::Conflict);
    let hash = |actor: UserId, key: Key| ready(store.result_hash(ROOM, actor, key)).expect("readable");
    assert_eq!(hash(OWNER, first.key), Some(first.content_hash));
    assert_eq!((hash(OWNER, early.key), hash(GUEST, first.key)), (None, None));
    let again = MetaTransaction { key: Key([9; 16]), ..first.clone() };
    assert_eq!(apply(store, &again), MetaOutcome::Exists);
    assert_eq!(apply(store, &again), MetaOutcome::Exists, "a refused command is not remembered");
    let stranger = MetaTransaction { actor: GUEST, ..first.clone() };
    assert_eq!(apply(store, &stranger), MetaOutcome::Exists, "a key is one actor's");

    let loaded = load(store, ROOM);
    let expected = RoomRow { version: 1, ..row(ROOM, RoomKind::Private, "a room") };
    assert_eq!(loaded.row, Some(expected));
    assert_eq!(loaded.outbox.len(), 1);
    let waiting = &loaded.outbox[0];
    assert_eq!(
        (waiting.version, waiting.actor, waiting.key, waiting.wall),
        (1, OWNER, first.key, first.wall)
    );
    assert_eq!(waiting.event, event);

    assert_eq!(applied(store, &early), 2, "a key that was refused may be used");
    ready(store.confirm(ROOM, 1, Seq(11))).expect("confirms");
    ready(store.confirm(ROOM, 2, Seq(12))).expect("confirms");
    ready(store.confirm(ROOM, 2, Seq(12))).expect("confirming twice is harmless");
    ready(store.confirm(RoomId([9; 16]), 2, Seq(12))).expect("confirming nothing is harmless");
    assert_eq!(apply(store, &first), MetaOutcome::Repeated { version: 1, seq: Seq(11) });
    assert_eq!(apply(store, &early), MetaOutcome::Repeated { version: 2, seq: Seq(12) });
    let loaded = load(store, ROOM);
    assert!(loaded.outbox.is_empty());
    let joins: Vec<_> = loaded.members.iter().map(|m| (m.user, m.joined_version, m.joined_seq)).collect();
    assert_eq!(joins, [(OWNER, 1, Seq(11)), (GUEST, 2, Seq(12))]);
}

/// Each kind of event does to the rows what it says, and no more.
pub fn events_change_the_rows_they_name<R: RoomStore>(store: &mut R) {
    applied(store, &create(ROOM, 1, RoomKind::Public, "events"));
    let mut number = 1;
    let mut event = |store: &mut R, event: MetaEvent| {
        number += 1;
        assert_eq!(applied(store, &command(ROOM, number, MetaChange::Event(event))), u64::from(number));
        load(store, ROOM)
    };
    let roles = |loaded: &LoadedRoom| loaded.members.iter().map(|m| (m.user, m.role)).collect::<Vec<_>>();
    let until = Millis(77);

    let now = event(store, MetaEvent::Joined { user: GUEST, role: Role::Member });
    assert_eq!(roles(&now), [(OWNER, Role::Owner), (GUEST, Role::Member)]);
    let now = event(store, MetaEvent::Role { user: GUEST, role: Role::Moderator });
    assert_eq!(roles(&now), [(OWNER, Role::Owner), (GUEST, Role::Moderator)]);
    let now = event(store, MetaEvent::Transferred { user: GUEST });
    assert_eq!(roles(&now), [(OWNER, Role::Admin), (GUEST, Role::Owner)]);
    let now = event(store, MetaEvent::Muted { user: OWNER, until });
    let mute = Sentence { user: OWNER, until, reason: String::new(), by: OWNER, at: Millis(1_005) };
    assert_eq!(now.mutes, [mute]);
    let now = event(store, MetaEvent::Left { user: OWNER });
    assert_eq!((roles(&now), now.mutes.len()), (vec![(GUEST, Role::Owner)], 1), "leaving ends no mute");
    let now = event(store, MetaEvent::Unmuted { user: OWNER });
    assert!(now.mutes.is_empty());
    event(store, MetaEvent::Joined { user: OWNER, role: Role::Member });
    let now = event(store, MetaEvent::Banned { user: OWNER, until: Millis(0), reason: "why".to_owned() });
    assert_eq!(roles(&now), [(GUEST, Role::Owner)]);
    let ban =
        Sentence { user: OWNER, until: Millis(0), reason: "why".to_owned(), by: OWNER, at: Millis(1_009) };
    assert_eq!(now.bans, [ban]);
    let now = event(store, MetaEvent::Banned { user: OWNER, until, reason: String::new() });
    let ban = Sentence { user: OWNER, until, reason: String::new(), by: OWNER, at: Millis(1_010) };
    assert_eq!(now.bans, [ban], "a ban again changes its end and its reason");
    let now = event(store, MetaEvent::Unbanned { user: OWNER });
    assert!(now.bans.is_empty());
    event(store, MetaEvent::Pinned { target: Seq(9), on: true });
    let now = event(store, MetaEvent::Pinned { target: Seq(4), on: true });
    assert_eq!(now.pins, [Seq(4), Seq(9)]);
    let now = event(store, MetaEvent::Pinned { target: Seq(9), on: false });
    assert_eq!(now.pins, [Seq(4)]);
    let now = event(store, settings("Renamed"));
    let row = now.row.clone().expect("the room exists");
    assert_eq!((row.name.as_str(), row.level, row.slow_mode_seconds), ("Renamed", AckLevel::Memory, 9));
    assert_eq!((row.visibility, row.kind), (HistoryVisibility::SinceJoin, RoomKind::Public));
    assert_eq!(row.version, now.outbox.len() as u64, "every change has its version and its event");
    let changed = every_setting("Renamed again", RoomKind::Private);
    let now = event(store, changed.clone());
    let row = now.row.clone().expect("the room exists");
    assert_eq!((row.kind, row.read_only, row.members_max), (RoomKind::Private, true, u32::MAX));
    assert_eq!(row.retention_days, 90);
    assert_eq!((row.avatar, row.description.as_str()), (MediaId([0xa7; 16]), "what Renamed again is about"));
    assert_eq!(now.outbox.last().map(|waiting| &waiting.event), Some(&changed));
    let now = event(store, settings("First form"));
    let row = now.row.clone().expect("the room exists");
    assert_eq!((row.name.as_str(), row.read_only), ("First form", true), "the first form leaves the rest");
    event(store, MetaEvent::Joined { user: OWNER, role: Role::Member });
    let now = event(store, MetaEvent::Kicked { user: OWNER, reason: String::new() });
    assert_eq!(roles(&now), [(GUEST, Role::Owner)]);
    assert!(now.outbox.is_sorted_by_key(|waiting| waiting.version));
}

/// Every room once, in the order of their ids, or those that keep messages for a time only.
pub fn rooms_are_listed_in_order<R: RoomStore>(store: &mut R) {
    let room = |byte| RoomId([byte; 16]);
    for (number, byte) in (1..).zip([7, 3, 9]) {
        applied(store, &create(room(byte), number, RoomKind::Private, "same"));
    }
    let after = |store: &R, every, last, limit| ready(store.retained(every, last, limit)).expect("readable");
    assert_eq!(after(store, true, RoomId::NIL, 2), [(room(3), 0), (room(7), 0)]);
    assert_eq!(after(store, true, room(7), 2), [(room(9), 0)]);
    assert_eq!(after(store, true, room(9), 2), []);
    assert_eq!(after(store, false, RoomId::NIL, 2), []);
    applied(store, &command(room(7), 9, MetaChange::Event(every_setting("for a time", RoomKind::Private))));
    assert_eq!(after(store, false, RoomId::NIL, 2), [(room(7), 90)]);
    assert_eq!(after(store, false, room(7), 2), []);
    assert_eq!(after(store, true, room(3), 1), [(room(7), 90)]);
}

/// Names of rooms that strangers can see are unique in their folded form; one that was given up stays closed
/// to other rooms for 30 days.
pub fn names_are_unique_and_reserved<R: RoomStore>(store: &mut R) {
    let room = |byte| RoomId([byte; 16]);
    let find = |store: &R, name: &str| ready(store.find_name(&fold_name(name))).expect("readable");
    applied(store, &create(room(1), 1, RoomKind::Public, "Straße"));
    assert_eq!(find(store, "strasse"), Some(room(1)));
    let taken = create(room(2), 2, RoomKind::InviteOnly, "STRASSE");
    assert_eq!(apply(store, &taken), MetaOutcome::NameTaken);
    assert_eq!(load(store, room(2)).row, None, "nothing of a refused room is left");
    applied(store, &create(room(3), 3, RoomKind::Private, "Straße"));
    applied(store, &create(room(4), 4, RoomKind::InviteOnly, "other"));
    let rename = |at: RoomId, number, wall, name: &str| MetaTransaction {
        wall: Millis(wall),
        ..command(at, number, MetaChange::Event(settings(name)))
    };
    assert_eq!(apply(store, &rename(room(4), 5, DAY, "strasse")), MetaOutcome::NameTaken);
    assert_eq!(
        load(store, room(4)).row.map(|row| row.version),
        Some(1),
        "a refused change leaves no version"
    );
    applied(store, &rename(room(1), 6, DAY, "STRASSE"));
    applied(store, &rename(room(1), 7, DAY, "elsewhere"));
    assert_eq!((find(store, "strasse"), find(store, "elsewhere")), (None, Some(room(1))));
    let soon = DAY + NAME_RESERVED_MILLIS - 1;
    assert_eq!(apply(store, &rename(room(4), 8, soon, "strasse")), MetaOutcome::NameTaken);
    applied(store, &rename(room(1), 9, soon, "strasse"));
    applied(store, &rename(room(1), 10, soon, "elsewhere"));
    applied(store, &rename(room(4), 11, soon + NAME_RESERVED_MILLIS, "strasse"));
    let taken = |store: &R, name: &str, wall| ready(store.name_is_taken(&fold_name(name), Millis(wall)));
    let later = soon + 2 * NAME_RESERVED_MILLIS;
    assert_eq!(taken(store, "STRASSE", later), Ok(true), "a room has it");
    assert_eq!(taken(store, "nobody", later), Ok(false));
    // Room 4 gave it up when it was renamed.
    let given_up = soon + NAME_RESERVED_MILLIS;
    assert_eq!(taken(store, "other", given_up + NAME_RESERVED_MILLIS - 1), Ok(true));
    assert_eq!(taken(store, "other", given_up + NAME_RESERVED_MILLIS), Ok(false));
    let mut names = pages(|after| ready(store.names(after, 2)).expect("readable"));
    names.sort_unstable();
    assert_eq!(names, ["elsewhere", "other", "strasse"]);
    assert_eq!(find(store, "STRASSE"), Some(room(4)));
    applied(store, &create(room(5), 12, RoomKind::Public, ""));
    applied(store, &create(room(6), 13, RoomKind::Public, ""));
}

/// A room has its unique name as long as it is one that strangers can see, and a deleted one has none.
pub fn names_follow_the_kind_of_their_room<R: RoomStore>(store: &mut R) {
    let room = |byte| RoomId([byte; 16]);
    let find = |store: &R, name: &str| ready(store.find_name(&fold_name(name))).expect("readable");
    let change = |at: RoomId, number, wall, event| MetaTransaction {
        wall: Millis(wall),
        ..command(at, number, MetaChange::Event(event))
    };
    applied(store, &create(room(1), 1, RoomKind::Public, "agora"));
    applied(store, &create(room(2), 2, RoomKind::Private, "agora"));
    let public = every_setting("Agora", RoomKind::Public);
    assert_eq!(apply(store, &change(room(2), 3, DAY, public.clone())), MetaOutcome::NameTaken);
    applied(store, &change(room(1), 4, DAY, every_setting("agora", RoomKind::Private)));
    assert_eq!(find(store, "agora"), None);
    let early = change(room(2), 5, DAY + NAME_RESERVED_MILLIS - 1, public.clone());
    assert_eq!(apply(store, &early), MetaOutcome::NameTaken, "it stays closed to others");
    applied(store, &change(room(2), 6, DAY + NAME_RESERVED_MILLIS, public));
    assert_eq!(find(store, "AGORA"), Some(room(2)));
    applied(store, &change(room(2), 7, 40 * DAY, MetaEvent::Deleted));
    assert_eq!(find(store, "agora"), None);
    let taken = |number, wall| MetaTransaction {
        wall: Millis(wall),
        ..create(room(number), number, RoomKind::Public, "agora")
    };
    assert_eq!(apply(store, &taken(8, 40 * DAY + NAME_RESERVED_MILLIS - 1)), MetaOutcome::NameTaken);
    applied(store, &taken(9, 40 * DAY + NAME_RESERVED_MILLIS));
}

/// Of a deleted room the id is left, and its last event until that is confirmed; it cannot be made again or changed.
pub fn a_deleted_room_is_gone_for_ever<R: RoomStore>(store: &mut R) {
    applied(store, &create(ROOM, 1, RoomKind::Public, "short lived"));
    applied(store, &command(ROOM, 2, MetaChange::Event(every_setting("short lived", RoomKind::Public))));
    let join = MetaEvent::Joined { user: GUEST, role: Role::Member };
    applied(store, &command(ROOM, 3, MetaChange::Event(join.clone())));
    let other = UserId([3; 16]);
    for (number, event) in (4..).zip([
        MetaEvent::Banned { user: other, until: Millis(0), reason: "why".to_owned() },
        MetaEvent::Muted { user: GUEST, until: Millis(0) },
        MetaEvent::Pinned { target: Seq(2), on: true },
    ]) {
        applied(store, &command(ROOM, number, MetaChange::Event(event)));
    }
    let ending = |store: &R, after| ready(store.ending(after, 10)).expect("readable");
    assert_eq!(ending(store, RoomId::NIL), [], "it waits for confirmations, and is not deleted");
    let delete = command(ROOM, 7, MetaChange::Event(MetaEvent::Deleted));
    assert_eq!(apply(store, &delete), MetaOutcome::Applied { version: 7, event: Some(MetaEvent::Deleted) });
    assert_eq!(apply(store, &delete), MetaOutcome::Repeated { version: 7, seq: Seq(0) });
    let loaded = load(store, ROOM);
    let row = loaded.row.expect("its id stays");
    assert_eq!((row.deleted, row.version), (delete.wall, 7));
    assert_eq!((row.name.as_str(), row.description.as_str(), row.avatar), ("", "", MediaId::NIL));
    assert!(loaded.members.is_empty() && loaded.pins.is_empty());
    assert!(loaded.bans.is_empty() && loaded.mutes.is_empty());
    assert_eq!(loaded.outbox.last().map(|waiting| &waiting.event), Some(&MetaEvent::Deleted));
    assert_eq!(ready(store.memberships(GUEST, RoomId::NIL, 10)), Ok(vec![]));
    assert_eq!(apply(store, &command(ROOM, 8, MetaChange::Event(join))), MetaOutcome::Missing);
    let delete = command(ROOM, 9, MetaChange::Event(MetaEvent::Deleted));
    assert_eq!(apply(store, &delete), MetaOutcome::Missing);
    assert_eq!(apply(store, &create(ROOM, 10, RoomKind::Private, "again")), MetaOutcome::Exists);
    assert_eq!((ending(store, RoomId::NIL), ending(store, ROOM)), (vec![ROOM], Vec::new()));
    for version in 1..7 {
        ready(store.confirm(ROOM, version, Seq(version))).expect("confirms");
    }
    assert_eq!(ending(store, RoomId::NIL), [ROOM], "its last event waits");
    ready(store.confirm(ROOM, 7, Seq(70))).expect("confirms");
    assert_eq!(ending(store, RoomId::NIL), []);
    assert!(load(store, ROOM).outbox.iter().all(|waiting| waiting.version < 7));
}

/// Bans and mutes are listed with who, why and until when, those that ended not.
pub fn sentences_are_listed_while_they_stand<R: RoomStore>(store: &mut R) {
    let list = |store: &R, what, after, wall, limit| {
        let query = ListQuery::Sentences { what, after, wall: Millis(wall), limit };
        let listed = ready(store.list(ROOM, &query)).expect("readable");
        let Listed::Sentences(rows) = listed else { panic!("{listed:?}") };
        rows
    };
    assert_eq!(list(store, SentenceKind::Ban, UserId::NIL, 0, 9), []);
    applied(store, &create(ROOM, 1, RoomKind::Public, "listed"));
    let user = |byte| UserId([byte; 16]);
    for (number, until) in [(5, 0), (2, 500), (9, 1 << 60)] {
        let reason = format!("reason {number}");
        let ban = MetaEvent::Banned { user: user(number), until: Millis(until), reason };
        applied(store, &command(ROOM, number, MetaChange::Event(ban)));
    }
    let mute = MetaEvent::Muted { user: user(5), until: Millis(77) };
    applied(store, &command(ROOM, 11, MetaChange::Event(mute)));
    let who = |rows: Vec<Sentence>| rows.into_iter().map(|row| row.user.0[0]).collect::<Vec<_>>();
    assert_eq!(who(list(store, SentenceKind::Ban, UserId::NIL, 499, 9)), [2, 5, 9]);
    assert_eq!(who(list(store, SentenceKind::Ban, UserId::NIL, 500, 9)), [5, 9], "it has ended");
    assert_eq!(who(list(store, SentenceKind::Ban, user(2), 0, 1)), [5]);
    assert_eq!(who(list(store, SentenceKind::Mute, UserId::NIL, 76, 9)), [5]);
    assert_eq!(who(list(store, SentenceKind::Mute, UserId::NIL, 77, 9)), [0u8; 0]);
    let first = list(store, SentenceKind::Ban, UserId::NIL, 0, 1);
    let expected = Sentence {
        user: user(2),
        until: Millis(500),
        reason: "reason 2".to_owned(),
        by: OWNER,
        at: Millis(1_002),
    };
    assert_eq!(first, [expected]);
}

/// Blocks stand without a room, and load with the 1:1 of the pair.
pub fn blocks_need_no_room<R: RoomStore>(store: &mut R) {
    let direct = direct_room_id(OWNER, GUEST);
    let block = |number, by, user, on| command(direct, number, MetaChange::Block { by, user, on });
    let set = block(1, OWNER, GUEST, true);
    assert_eq!(apply(store, &set), MetaOutcome::Applied { version: 0, event: None });
    assert_eq!(apply(store, &set), MetaOutcome::Repeated { version: 0, seq: Seq(0) });
    applied(store, &block(2, OWNER, GUEST, true));
    applied(store, &block(3, GUEST, OWNER, true));
    let loaded = load(store, direct);
    assert_eq!((loaded.row, loaded.blocks), (None, vec![(OWNER, GUEST), (GUEST, OWNER)]));
    applied(store, &block(4, OWNER, GUEST, false));
    applied(store, &block(5, GUEST, OWNER, false));
    applied(store, &command(direct, 6, begin(OWNER, GUEST).change));
    applied(store, &block(7, GUEST, OWNER, true));
    assert_eq!(load(store, direct).blocks, [(GUEST, OWNER)]);
    for user in [OWNER, GUEST] {
        assert_eq!(ready(store.blocks(user)), Ok(vec![(GUEST, OWNER)]));
        let rooms = ready(store.memberships(user, RoomId::NIL, 10)).expect("readable");
        let peers: Vec<_> = rooms.iter().map(|room| (room.room, room.peer)).collect();
        assert_eq!(peers, [(direct, if user == OWNER { GUEST } else { OWNER })]);
    }
    assert_eq!(ready(store.blocks(UserId([7; 16]))), Ok(vec![]));
}

/// Nobody becomes a member of a room by a user on the other side of a block, whoever blocks.
pub fn a_block_keeps_invitations_out<R: RoomStore>(store: &mut R) {
    let direct = direct_room_id(OWNER, GUEST);
    let block = |number, by, user, on| command(direct, number, MetaChange::Block { by, user, on });
    let join = |number, actor| {
        let event = MetaEvent::Joined { user: GUEST, role: Role::Member };
        MetaTransaction { actor, ..command(ROOM, number, MetaChange::Event(event)) }
    };
    applied(store, &create(ROOM, 1, RoomKind::Public, "a room"));
    for (number, by, user) in [(10, OWNER, GUEST), (20, GUEST, OWNER)] {
        applied(store, &block(number, by, user, true));
        assert_eq!(apply(store, &join(number + 1, OWNER)), MetaOutcome::Blocked);
        let create = begin(OWNER, GUEST).change;
        assert_eq!(apply(store, &command(direct, number + 2, create)), MetaOutcome::Blocked);
        let loaded = load(store, ROOM);
        assert_eq!((loaded.members.len(), loaded.row.map(|row| row.version)), (1, Some(1)));
        applied(store, &block(number + 3, by, user, false));
    }
    applied(store, &block(30, GUEST, OWNER, true));
    assert_eq!(applied(store, &join(31, GUEST)), 2, "one may join by oneself");
    let kick = MetaEvent::Kicked { user: GUEST, reason: String::new() };
    applied(store, &command(ROOM, 32, MetaChange::Event(kick)));
    applied(store, &block(33, GUEST, OWNER, false));
    assert_eq!(applied(store, &join(34, OWNER)), 4);
}

/// Presence is for those who share a room and stand across no block; a 1:1 that is accepted counts for the one who did not open it.
pub fn presence_needs_a_shared_room<R: RoomStore>(store: &mut R) {
    let sees = |store: &R, watcher, user| ready(store.may_see(watcher, user)).expect("readable");
    let both = |store: &R| (sees(store, OWNER, GUEST), sees(store, GUEST, OWNER));
    assert_eq!(both(store), (false, false));
    let direct = direct_room_id(OWNER, GUEST);
    applied(store, &begin(OWNER, GUEST));
    assert_eq!(both(store), (false, false), "nobody accepted it");
    let accept = MetaChange::Conversation(RequestChange::Accept);
    applied(store, &MetaTransaction { actor: GUEST, ..command(direct, 20, accept) });
    assert_eq!(both(store), (false, true), "the owner opened it");
    applied(store, &create(ROOM, 2, RoomKind::Private, "a room"));
    assert_eq!(both(store), (false, true));
    let join = MetaEvent::Joined { user: GUEST, role: Role::Member };
    applied(store, &command(ROOM, 3, MetaChange::Event(join)));
    assert_eq!(both(store), (true, true));
    let hide = |store: &mut R, hidden| ready(store.set_hidden(OWNER, hidden)).expect("takes it");
    for hidden in [true, true, false, false] {
        hide(store, hidden);
        assert_eq!(both(store), (true, !hidden), "the owner is hidden, and sees others");
        let found = ready(store.hidden(&[GUEST, OWNER, UserId([9; 16])])).expect("readable");
        assert_eq!(found, if hidden { vec![OWNER] } else { Vec::new() });
    }
    assert_eq!(ready(store.hidden(&[])), Ok(Vec::new()));
    let block = |number, on| command(direct, number, MetaChange::Block { by: GUEST, user: OWNER, on });
    applied(store, &block(4, true));
    assert_eq!(both(store), (false, false));
    let third = UserId([7; 16]);
    let apart = |store: &R, user, others: &[UserId]| ready(store.apart(user, others)).expect("readable");
    assert_eq!(apart(store, OWNER, &[third, GUEST, OWNER]), [GUEST], "whoever blocks");
    assert_eq!(apart(store, GUEST, &[OWNER, third]), [OWNER]);
    assert_eq!(apart(store, third, &[OWNER, GUEST]), []);
    assert_eq!(apart(store, OWNER, &[]), []);
    applied(store, &block(5, false));
    let leave = MetaEvent::Left { user: GUEST };
    applied(store, &command(ROOM, 6, MetaChange::Event(leave)));
    assert_eq!(both(store), (false, true));
}

/// A conversation of two begins with those only who take it from whoever begins it. One that was begun stays.
pub fn conversations_begin_with_who_takes_them<R: RoomStore>(store: &mut R) {
    let direct = direct_room_id(OWNER, GUEST);
    let open =
        |number, actor| MetaTransaction { actor, ..command(direct, number, begin(OWNER, GUEST).change) };
    let set = |store: &mut R, from| ready(store.set_direct_from(GUEST, from)).expect("takes it");
    let get = |store: &R, user| ready(store.direct_from(user)).expect("readable");
    assert_eq!(get(store, GUEST), DirectFrom::Everyone);
    for from in [DirectFrom::Nobody, DirectFrom::Rooms, DirectFrom::Rooms] {
        set(store, from);
        assert_eq!((get(store, GUEST), get(store, OWNER)), (from, DirectFrom::Everyone));
        assert_eq!(apply(store, &open(1, OWNER)), MetaOutcome::Closed);
        assert_eq!(load(store, direct).row, None, "nothing is left behind");
    }
    // A room that one of them alone is in is none of both.
    applied(store, &create(ROOM, 2, RoomKind::Private, "a room"));
    assert_eq!(apply(store, &open(3, OWNER)), MetaOutcome::Closed);
    let join = |number| {
        let join = MetaEvent::Joined { user: GUEST, role: Role::Member };
        command(ROOM, number, MetaChange::Event(join))
    };
    for from in [DirectFrom::Nobody, DirectFrom::Rooms] {
        set(store, from);
        assert_eq!(apply(store, &join(4)), MetaOutcome::Closed, "nor do strangers add it to rooms");
        assert_eq!(load(store, ROOM).members.len(), 1);
    }
    set(store, DirectFrom::Everyone);
    applied(store, &join(4));
    set(store, DirectFrom::Rooms);
    assert_eq!(apply(store, &open(6, OWNER)), MetaOutcome::Closed, "one to which it was added is no better");
    ready(store.wrote(ROOM, GUEST)).expect("takes it");
    set(store, DirectFrom::Nobody);
    assert_eq!(apply(store, &open(5, OWNER)), MetaOutcome::Closed);
    set(store, DirectFrom::Rooms);
    assert_eq!(applied(store, &open(1, OWNER)), 1, "a refused key is free");
    // What was begun goes on, whatever is set and shared later.
    let leave = MetaEvent::Left { user: GUEST };
    applied(store, &command(ROOM, 8, MetaChange::Event(leave)));
    set(store, DirectFrom::Nobody);
    assert_eq!(apply(store, &open(9, OWNER)), MetaOutcome::Exists);
    assert_eq!(load(store, direct).members.len(), 2);
    // Their conversation makes them no strangers, and who is none adds it to rooms.
    applied(store, &join(10));
    // The setting does not bind who made it.
    applied(store, &begin(GUEST, UserId([7; 16])));
    set(store, DirectFrom::Everyone);
    assert_eq!(get(store, GUEST), DirectFrom::Everyone);
}

/// Begins the conversation of two users, as the first.
pub(super) fn begin(actor: UserId, user: UserId) -> MetaTransaction {
    let room = direct_room_id(actor, user);
    let row = RoomRow { creator: actor, ..row(room, RoomKind::Direct, "") };
    let change = MetaChange::Begin { row, user, requests_max: 50 };
    MetaTransaction { actor, ..command(room, 1, change) }
}

/// Whom a user blocks is listed page by page, and who blocks the user is not.
pub fn whom_a_user_blocks_is_listed<R: RoomStore>(store: &mut R) {
    let user = |n: u8| UserId([n; 16]);
    for n in [7, 3, 5, 9] {
        let block = MetaChange::Block { by: OWNER, user: user(n), on: true };
        applied(store, &command(direct_room_id(OWNER, user(n)), n, block));
    }
    let back = MetaChange::Block { by: user(3), user: OWNER, on: true };
    applied(store, &MetaTransaction { actor: user(3), ..command(direct_room_id(OWNER, user(3)), 20, back) });
    let page = |store: &R, after, limit| ready(store.blocked(OWNER, after, limit)).expect("readable");
    assert_eq!(page(store, UserId::NIL, 3), [user(3), user(5), user(7)]);
    assert_eq!(page(store, user(7), 3), [user(9)]);
    assert_eq!(ready(store.blocked(user(3), UserId::NIL, 9)), Ok(vec![OWNER]));
    let lift = MetaChange::Block { by: OWNER, user: user(5), on: false };
    applied(store, &command(direct_room_id(OWNER, user(5)), 21, lift));
    assert_eq!(page(store, UserId::NIL, 9), [user(3), user(7), user(9)]);
}

/// What a member has set for itself is listed with its rooms, stays when others change the room, and goes with the member.
pub fn what_a_member_has_set_is_its_own<R: RoomStore>(store: &mut R) {
    applied(store, &create(ROOM, 1, RoomKind::Public, "a room"));
    let join = |number| {
        let joined = MetaEvent::Joined { user: GUEST, role: Role::Member };
        command(ROOM, number, MetaChange::Event(joined))
    };
    applied(store, &join(2));
    let own = |store: &R, user: UserId| {
        let listed = ready(store.memberships(user, RoomId::NIL, 9)).expect("readable");
        let member = load(store, ROOM).members.into_iter().find(|member| member.user == user);
        let (listed, member) =
            (listed.first().map(|room| room.personal), member.map(|member| member.personal));
        assert_eq!(listed, member);
        member
    };
    assert_eq!(own(store, GUEST), Some(Personal::default()));
    let until = Millis((1 << 53) - 1);
    for wish in [Wish::Mentions, Wish::All, Wish::Default, Wish::Mentions] {
        let wish = RoomWish { muted_until: until, wish };
        assert_eq!(ready(store.set_wish(ROOM, GUEST, wish)), Ok(true));
        assert_eq!(own(store, GUEST).expect("a member").wish, wish);
    }
    // How far the past is deleted only grows.
    for (seq, n, then) in [(7, 5, (7, 5)), (6, 4, (7, 5)), (7, 9, (7, 5)), (9, 6, (9, 6))] {
        assert_eq!(ready(store.clear(ROOM, GUEST, Seq(seq), Ordinal(n))), Ok(true));
        let Personal { cleared, cleared_n, .. } = own(store, GUEST).expect("a member");
        assert_eq!((cleared.0, cleared_n.0), then);
    }
    let set = own(store, GUEST);
    assert_eq!(own(store, OWNER), Some(Personal::default()), "of nobody else");
    let role = MetaEvent::Role { user: GUEST, role: Role::Admin };
    for (number, event) in [(3, role), (4, settings("another name"))] {
        applied(store, &command(ROOM, number, MetaChange::Event(event)));
    }
    ready(store.confirm(ROOM, 2, Seq(3))).expect("takes it");
    assert_eq!(own(store, GUEST), set);
    let stranger = UserId([9; 16]);
    for (room, user) in [(ROOM, stranger), (RoomId([9; 16]), GUEST)] {
        assert_eq!(ready(store.set_wish(room, user, RoomWish::default())), Ok(false));
        assert_eq!(ready(store.clear(room, user, Seq(1), Ordinal(1))), Ok(false));
    }
    applied(store, &command(ROOM, 5, MetaChange::Event(MetaEvent::Left { user: GUEST })));
    assert_eq!(ready(store.set_wish(ROOM, GUEST, RoomWish::default())), Ok(false));
    applied(store, &join(6));
    assert_eq!(own(store, GUEST), Some(Personal::default()), "whoever comes back begins anew");
}

/// Random commands have the outcomes and leave the rows that the reference model has. The store may hold
/// rooms of earlier seeds: ids and names are apart.
pub fn random_commands_match_the_reference<R: RoomStore>(store: &mut R, seeds: Range<u64>) {
    for seed in seeds {
        println_seed(seed);
        let mut random = Random(seed ^ 0xdead);
        let mut reference = MemoryRooms::default();
        let room = |number: u64| {
            let mut id = [0x33; 16];
            id[..8].copy_from_slice(&seed.to_be_bytes());
            id[8..].copy_from_slice(&number.to_be_bytes());
            RoomId(id)
        };
        let mut wall = 0;
        for step in 0..120u64 {
            wall += random.below(2 * DAY);
            if random.below(4) == 0 {
                let (at, version, seq) = (room(random.below(3)), 1 + random.below(20), Seq(100 + step));
                ready(store.confirm(at, version, seq)).expect("confirms");
                ready(reference.confirm(at, version, seq)).expect("confirms");
                continue;
            }
            let mut command = random_command(&mut random, step, seed, wall);
            command.room = room(random.below(3));
            assert_eq!(apply(store, &command), apply(&mut reference, &command), "{command:?}");
        }
        for number in 0..3 {
            assert_eq!(load(store, room(number)), load(&reference, room(number)));
        }
        for byte in 1..=5 {
            let user = person(seed, byte);
            let mine = |found: Vec<crate::Membership>| {
                let of_seed = found.into_iter().filter(|m| m.room.0[..8] == seed.to_be_bytes());
                of_seed.collect::<Vec<_>>()
            };
            let listed = ready(store.memberships(user, RoomId::NIL, 10_000)).expect("readable");
            let expected = ready(reference.memberships(user, RoomId::NIL, 10_000)).expect("readable");
            assert_eq!(mine(listed), expected);
            let (after, limit) = (room(0), 1);
            let listed = ready(store.memberships(user, after, limit)).expect("readable");
            assert_eq!(mine(listed), ready(reference.memberships(user, after, limit)).expect("readable"));
        }
    }
}

/// A block, for dumps.
pub(super) fn random_block() -> MetaTransaction {
    let (by, user) = (UserId([0xb1; 16]), UserId([0xb2; 16]));
    let mut block = command(direct_room_id(by, user), 0xb1, MetaChange::Block { by, user, on: true });
    block.key = Key([0xb1; 16]);
    block
}

/// Somebody of one seed: whom one shares rooms with counts, and a store may have those of other seeds.
fn person(seed: u64, number: u8) -> UserId {
    let mut id = [number; 16];
    id[8..].copy_from_slice(&seed.to_be_bytes());
    UserId(id)
}

fn random_command(random: &mut Random, step: u64, seed: u64, wall: u64) -> MetaTransaction {
    let user = person(seed, 1 + random.below(5) as u8);
    let until = Millis(random.below(9));
    let name = format!("{} {seed}", ["One", "oNe", "two", "three"][random.below(4) as usize]);
    let kind = [RoomKind::Public, RoomKind::Private, RoomKind::InviteOnly][random.below(3) as usize];
    let event = match random.below(16) {
        0 => MetaEvent::Left { user },
        1 => MetaEvent::Kicked { user, reason: "r".to_owned() },
        2 => MetaEvent::Banned { user, until, reason: String::new() },
        3 => MetaEvent::Unbanned { user },
        4 => MetaEvent::Muted { user, until },
        5 => MetaEvent::Unmuted { user },
        6 => MetaEvent::Role { user, role: Role::Admin },
        7 => MetaEvent::Transferred { user },
        8 => MetaEvent::Pinned { target: Seq(random.below(4)), on: random.below(2) == 0 },
        9 | 10 => settings(&name),
        11 | 12 => every_setting(&name, kind),
        13 if random.below(6) == 0 => MetaEvent::Deleted,
        _ => MetaEvent::Joined { user, role: Role::Moderator },
    };
    let change = match random.below(9) {
        0 | 1 => {
            let owner = person(seed, 1);
            let members = vec![(owner, Role::Owner), (user, Role::Member)];
            let members = if user == owner { members[..1].to_vec() } else { members };
            MetaChange::Create { row: row(RoomId::NIL, kind, &name), members }
        }
        2 => {
            let number = 1 + random.below(4) as u8;
            match random.below(4) {
                0 => MetaChange::Unlink { link: LinkId([number; 16]) },
                1 => MetaChange::Enter { hash: [number; 32] },
                _ => MetaChange::Link(Box::new(Link {
                    id: LinkId([number; 16]),
                    hash: [number; 32],
                    by: user,
                    at: Millis(wall),
                    until: Millis(wall + random.below(9 * DAY)),
                    uses_max: random.below(3) as u32,
                    uses: 0,
                })),
            }
        }
        3 => match random.below(5) {
            0 => MetaChange::Withdraw,
            1 => MetaChange::Accept { user },
            2 => MetaChange::Decline { user },
            _ => MetaChange::Ask { text: format!("t{step}") },
        },
        _ => MetaChange::Event(event),
    };
    // Keys of the last steps, so that some repeat and some conflict, and none that may be forgotten by now.
    let mut key = [0; 16];
    key[..8].copy_from_slice(&step.saturating_sub(random.below(3)).to_be_bytes());
    MetaTransaction {
        room: RoomId::NIL,
        actor: person(seed, 1 + random.below(2) as u8),
        key: Key(key),
        content_hash: random.below(2),
        wall: Millis(wall),
        change,
    }
}

/// Changes of a room that is there: some of its members, a mute, a pin, an event that is confirmed.
pub(super) fn change_some<R: RoomStore>(store: &mut R, room: RoomId, number: u64) {
    let member = UserId([1 + (number % 5) as u8; 16]);
    let events = [
        MetaEvent::Left { user: member },
        MetaEvent::Joined { user: UserId([0x66; 16]), role: Role::Member },
        MetaEvent::Muted { user: UserId([0x66; 16]), until: Millis(number) },
        MetaEvent::Pinned { target: Seq(90 + number), on: true },
    ];
    let mut version = 0;
    for (step, event) in (0..).zip(events).skip((number % 3) as usize) {
        let mut key = [0x44; 16];
        key[..8].copy_from_slice(&(number * 8 + step).to_be_bytes());
        let command = MetaTransaction {
            room,
            actor: OWNER,
            key: Key(key),
            content_hash: 1,
            wall: Millis(1),
            change: MetaChange::Event(event),
        };
        let MetaOutcome::Applied { version: now, .. } = ready(store.apply(&command)).expect("answers") else {
            panic!("{command:?}");
        };
        version = now;
    }
    ready(store.confirm(room, version, Seq(500))).expect("confirms");
}
