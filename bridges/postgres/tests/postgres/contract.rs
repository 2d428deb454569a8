//! The suites of both ports, and what is particular to this database.

use lynk_domain::{Millis, Ordinal, Role, RoomId, RoomKind, Seq, UserId, direct_room_id};
use lynk_model::notify::MemberSince;
use lynk_model::port::{RoomStore as _, ready};
use lynk_model::{MetaChange, MetaEvent, MetaOutcome, MetaTransaction, RequestChange, contract, fold_name};

use crate::support::{OWNER, ROOM, Waiting, command, create, join, pin, services, user};

#[test]
fn rooms_pass_the_contract_of_their_port() {
    let Some(services) = services("rooms_pass_the_contract_of_their_port") else { return };
    let mut databases = Vec::new();
    contract::room_store(|| {
        let database = services.database();
        let rooms = database.rooms();
        databases.push(database);
        rooms
    });
}

#[test]
fn accounts_pass_the_contract_of_their_port() {
    let Some(services) = services("accounts_pass_the_contract_of_their_port") else { return };
    let mut databases = Vec::new();
    contract::account_store(|| {
        let database = services.database();
        let accounts = database.accounts();
        databases.push(database);
        accounts
    });
}

#[test]
fn erasures_pass_the_contract_of_their_port() {
    let Some(services) = services("erasures_pass_the_contract_of_their_port") else { return };
    let mut databases = Vec::new();
    contract::erasure_store(|| {
        let database = services.database();
        let accounts = database.accounts();
        databases.push(database);
        accounts
    });
}

#[test]
fn second_factors_pass_the_contract_of_their_port() {
    let Some(services) = services("second_factors_pass_the_contract_of_their_port") else { return };
    let mut databases = Vec::new();
    contract::factor_store(|| {
        let database = services.database();
        let accounts = database.accounts();
        databases.push(database);
        accounts
    });
}

#[test]
fn notifications_pass_the_contract_of_their_port() {
    let Some(services) = services("notifications_pass_the_contract_of_their_port") else { return };
    let mut databases = Vec::new();
    contract::notify_store(|| {
        let database = services.database();
        let notify = database.notify();
        databases.push(database);
        notify
    });
}

#[test]
fn notifications_know_members_and_blocks() {
    let Some(services) = services("notifications_know_members_and_blocks") else { return };
    let database = services.database();
    let (mut rooms, notify) = (database.rooms(), database.notify());
    ready(rooms.apply(&create(ROOM, 1, RoomKind::Private, "a room"))).expect("applies");
    for n in 2..=4 {
        ready(rooms.apply(&join(ROOM, n, user(n as u8)))).expect("applies");
    }
    let (by, other) = (user(2), user(3));
    let block = MetaChange::Block { by, user: other, on: true };
    ready(rooms.apply(&command(direct_room_id(by, other), 9, block))).expect("applies");
    let ask = |max, named: &[UserId]| {
        let found = notify.runtime.block_on(notify.store.audience(ROOM, max, named));
        found.expect("readable").map(|audience| (audience.size, audience.members))
    };
    assert_eq!(ask(4, &[]), Some((4, vec![OWNER, user(2), user(3), user(4)])));
    assert_eq!(
        ask(3, &[user(3), user(9)]),
        Some((4, vec![user(3)])),
        "of a large room those that were named"
    );
    let nowhere = notify.runtime.block_on(notify.store.audience(RoomId([9; 16]), 4, &[]));
    assert_eq!(nowhere, Ok(None));
    for (of, across) in [(by, vec![other]), (other, vec![by]), (user(4), Vec::new())] {
        assert_eq!(notify.runtime.block_on(notify.store.blocked(of)), Ok(across));
    }
    let since = |room, of| notify.runtime.block_on(notify.store.joined(room, of)).expect("readable");
    let told = |cleared, request| Some(MemberSince { joined: Seq(0), cleared: Seq(cleared), request });
    assert_eq!((since(ROOM, user(9)), since(ROOM, user(2))), (None, told(0, false)));
    assert_eq!(ready(rooms.clear(ROOM, user(2), Seq(7), Ordinal(5))), Ok(true));
    assert_eq!(since(ROOM, user(2)), told(7, false), "what was deleted is read");
    let (direct, asked) = (direct_room_id(OWNER, user(5)), user(5));
    let MetaChange::Create { row, .. } = create(direct, 40, RoomKind::Direct, "").change else { panic!() };
    let begin = MetaChange::Begin { row, user: asked, requests_max: 5 };
    ready(rooms.apply(&command(direct, 41, begin))).expect("applies");
    assert_eq!((since(direct, asked), since(direct, OWNER)), (told(0, true), told(0, false)));
    let decline = MetaChange::Conversation(RequestChange::Decline { seq: Seq(3), n: Ordinal(2) });
    let decline = MetaTransaction { actor: asked, ..command(direct, 42, decline) };
    ready(rooms.apply(&decline)).expect("applies");
    assert_eq!((since(direct, asked), since(direct, OWNER)), (None, told(0, false)));
}

#[test]
fn rooms_and_accounts_can_be_copied() {
    let Some(services) = services("rooms_and_accounts_can_be_copied") else { return };
    let mut databases = Vec::new();
    let mut new = || {
        databases.push(services.database());
        databases.last().expect("there is one").rooms()
    };
    contract::room_dump(&mut new, |rooms| {
        let store = rooms.runtime.block_on(rooms.store.snapshot()).expect("a snapshot");
        Waiting { store, runtime: std::rc::Rc::clone(&rooms.runtime) }
    });
    let mut new = || {
        databases.push(services.database());
        databases.last().expect("there is one").accounts()
    };
    contract::account_dump(&mut new, |accounts| {
        let store = accounts.runtime.block_on(accounts.store.snapshot()).expect("a snapshot");
        Waiting { store, runtime: std::rc::Rc::clone(&accounts.runtime) }
    });
}

#[test]
fn media_pass_the_contract_of_their_port() {
    let Some(services) = services("media_pass_the_contract_of_their_port") else { return };
    let mut databases = Vec::new();
    contract::media_store(|| {
        let database = services.database();
        let media = database.media();
        databases.push(database);
        media
    });
}

#[test]
fn media_can_be_copied() {
    let Some(services) = services("media_can_be_copied") else { return };
    let mut databases = Vec::new();
    let mut new = || {
        databases.push(services.database());
        databases.last().expect("there is one").media()
    };
    contract::media_dump(&mut new, |media| {
        let store = media.runtime.block_on(media.store.snapshot()).expect("a snapshot");
        Waiting { store, runtime: std::rc::Rc::clone(&media.runtime) }
    });
}

#[test]
fn notifications_can_be_copied() {
    let Some(services) = services("notifications_can_be_copied") else { return };
    let mut databases = Vec::new();
    let mut new = || {
        databases.push(services.database());
        databases.last().expect("there is one").notify()
    };
    contract::notify_dump(&mut new, |notify| {
        let store = notify.runtime.block_on(notify.store.snapshot()).expect("a snapshot");
        Waiting { store, runtime: std::rc::Rc::clone(&notify.runtime) }
    });
}

#[test]
fn numbers_beyond_those_of_the_database_come_back_as_they_were() {
    let Some(services) = services("numbers_beyond_those_of_the_database_come_back_as_they_were") else {
        return;
    };
    let database = services.database();
    let mut rooms = database.rooms();
    let mut first = create(ROOM, 1, RoomKind::Private, "a room");
    first.content_hash = u64::MAX;
    first.wall = Millis(u64::MAX);
    ready(rooms.apply(&first)).expect("applies");
    let event = MetaEvent::Pinned { target: Seq(u64::MAX - 1), on: true };
    ready(rooms.apply(&command(ROOM, 2, MetaChange::Event(event.clone())))).expect("applies");
    ready(rooms.confirm(ROOM, 1, Seq(u64::MAX))).expect("confirms");
    assert_eq!(ready(rooms.apply(&first)), Ok(MetaOutcome::Repeated { version: 1, seq: Seq(u64::MAX) }));
    let loaded = ready(rooms.load(ROOM)).expect("readable");
    assert_eq!((loaded.pins, loaded.members[0].joined_seq), (vec![Seq(u64::MAX - 1)], Seq(u64::MAX)));
    assert_eq!((loaded.outbox.len(), &loaded.outbox[0].event), (1, &event));
}

#[test]
fn a_name_whose_folded_form_is_longer_than_an_index_takes_is_unique() {
    let Some(services) = services("a_name_whose_folded_form_is_longer_than_an_index_takes_is_unique") else {
        return;
    };
    let database = services.database();
    let mut rooms = database.rooms();
    // Folds to 18 characters each.
    let name = "\u{fdfa}".repeat(100);
    let other = RoomId([0x71; 16]);
    assert!(matches!(
        ready(rooms.apply(&create(ROOM, 1, RoomKind::Public, &name))),
        Ok(MetaOutcome::Applied { .. })
    ));
    assert_eq!(ready(rooms.apply(&create(other, 2, RoomKind::Public, &name))), Ok(MetaOutcome::NameTaken));
    assert_eq!(ready(rooms.find_name(&fold_name(&name))), Ok(Some(ROOM)));
}

#[test]
fn blocks_and_rooms_of_a_user_are_limited() {
    let Some(services) = services("blocks_and_rooms_of_a_user_are_limited") else { return };
    let database = services.database();
    let mut rooms = database.rooms();
    database.sql(
        "CREATE FUNCTION id(n bigint) RETURNS uuid LANGUAGE sql AS $$ SELECT lpad(to_hex(n), 32, '0')::uuid $$;
         INSERT INTO rooms.rooms SELECT id(n), 1, '', id(1), 1, 1, 1, 0, 1 FROM generate_series(1, 10000) n;
         INSERT INTO rooms.members SELECT id(n), '02020202-0202-0202-0202-020202020202', 0, 1, 1 FROM generate_series(1, 10000) n;
         INSERT INTO rooms.blocks SELECT '02020202-0202-0202-0202-020202020202', id(n), id(n) FROM generate_series(1, 10000) n;",
    );
    let (full, other) = (user(2), user(3));
    let known = UserId(7_u128.to_be_bytes());
    let block =
        |key, by, user, on| command(direct_room_id(by, user), key, MetaChange::Block { by, user, on });
    let done = Ok(MetaOutcome::Applied { version: 0, event: None });
    assert_eq!(ready(rooms.apply(&block(1, full, other, true))), Ok(MetaOutcome::Limit));
    assert_eq!(ready(rooms.apply(&block(2, full, known, true))), done, "it stands already");
    assert_eq!(ready(rooms.apply(&block(3, full, known, false))), done);
    assert_eq!(ready(rooms.apply(&block(4, full, other, true))), done);
    assert_eq!(ready(rooms.apply(&block(5, full, other, false))), done);
    ready(rooms.apply(&create(ROOM, 6, RoomKind::Private, "a room"))).expect("applies");
    assert_eq!(ready(rooms.apply(&join(ROOM, 7, full))), Ok(MetaOutcome::Limit));
    let mut own = create(RoomId([9; 16]), 8, RoomKind::Private, "own");
    own.actor = full;
    if let MetaChange::Create { members, .. } = &mut own.change {
        *members = vec![(full, Role::Owner)];
    }
    assert_eq!(ready(rooms.apply(&own)), Ok(MetaOutcome::Limit));
    assert_eq!(ready(rooms.memberships(full, RoomId::NIL, 20_000)).expect("readable").len(), 10_000);
}

#[test]
fn results_of_keys_go_when_their_time_is_over_and_their_event_is_confirmed() {
    let Some(services) = services("results_of_keys_go_when_their_time_is_over") else { return };
    let database = services.database();
    let mut rooms = database.rooms();
    rooms.store = lynk_postgres::PostgresRooms::new(&database.connect("lynk_rooms"))
        .expect("a store")
        .with_key_life(10);
    ready(rooms.apply(&create(ROOM, 1, RoomKind::Private, "a room"))).expect("applies");
    ready(rooms.apply(&pin(ROOM, 2))).expect("applies");
    ready(rooms.confirm(ROOM, 2, Seq(8))).expect("confirms");
    ready(rooms.apply(&pin(ROOM, 100))).expect("applies");
    let kept = |key| ready(rooms.result_hash(ROOM, OWNER, pin(ROOM, key).key)).expect("readable");
    assert_eq!((kept(1), kept(2), kept(100)), (Some(5), None, Some(5)), "the first waits for its event");
}
