//! The store passes the suites of its port on the real server.
//!
//! Each suite has a keyspace of its own. The random ones run few seeds, because every call is a journey to the server;
//! LYNK_CONTRACT_SEEDS sets another number.

mod common;

use std::collections::BTreeSet;

use common::{Blocking, Keyspace, Server};
use lynk_domain::{Lsn, Seq};
use lynk_model::contract::{self, History, records};
use lynk_model::memory::MemoryMessages;
use lynk_model::port::{MessageStore as _, ready};
use lynk_model::{MetaEvent, PageQuery, RecordKind};

fn on_a_keyspace(test: &str, suite: impl FnOnce(&mut Blocking)) {
    let Some(server) = Server::find(test) else { return };
    let keyspace = Keyspace::new(&server);
    suite(&mut keyspace.store());
}

fn seeds(usual: u64) -> std::ops::Range<u64> {
    let wanted = std::env::var("LYNK_CONTRACT_SEEDS").ok().and_then(|text| text.parse().ok());
    1..1 + wanted.unwrap_or(usual)
}

macro_rules! suites {
    ($($suite:ident),*) => {$(
        #[test]
        fn $suite() {
            on_a_keyspace(stringify!($suite), |store| contract::$suite(store));
        }
    )*};
}

suites!(
    deleted_text_never_returns,
    a_page_says_exactly_what_it_covers,
    cursor_moves_with_its_rows_and_never_back,
    unreadable_batches_write_nothing,
    not_unread_is_counted_exactly,
    mentions_are_those_of_messages_as_they_stand,
    what_is_removed_does_not_return,
    keys_lead_to_their_event,
    intents_are_kept_beside_the_log,
    a_later_round_of_reading_replaces_an_earlier_one,
    epochs_are_raised_for_all_rooms
);

#[test]
fn a_copy_made_while_records_arrive_equals_its_source() {
    on_a_keyspace("a_copy_made_while_records_arrive_equals_its_source", |store| {
        contract::a_copy_made_while_records_arrive_equals_its_source(store, seeds(4));
    });
}

#[test]
fn replay_in_any_order_equals_in_order_once() {
    on_a_keyspace("replay_in_any_order_equals_in_order_once", |store| {
        contract::replay_in_any_order_equals_in_order_once(store, seeds(4));
    });
}

#[test]
fn joined_answers_equal_those_of_a_full_store() {
    on_a_keyspace("joined_answers_equal_those_of_a_full_store", |store| {
        contract::joined_answers_equal_those_of_a_full_store(store, seeds(2));
    });
}

/// Room over three buckets, with a bucket between that has no message: edits, deletes and reactions across the borders.
#[test]
fn a_room_of_several_buckets_reads_as_the_reference_does() {
    on_a_keyspace("a_room_of_several_buckets_reads_as_the_reference_does", |store| {
        let mut history = History::new(77);
        let (me, other) = (history.users[0], history.users[1]);
        let first = history.post(me, Seq(0), "the first");
        for number in 0..1_500u64 {
            let user = if number % 3 == 0 { me } else { other };
            history.post(user, Seq(0), &format!("text {number}"));
        }
        // Bucket 1 holds only events.
        while history.top().0 < 4_300 {
            history.meta(MetaEvent::Left { user: other });
        }
        history.edit(me, first, "the first, edited");
        history.react(other, first, true, "x");
        history.delete(me, Seq(2));
        for number in 0..50u64 {
            history.post(other, first, &format!("late {number}"));
        }
        history.reach(RecordKind::Read, me, Seq(40));
        let mut reference = MemoryMessages::default();
        ready(reference.append("1/0", Lsn(1), &records(&history.records))).expect("reference");
        let mut shuffled = history.records.clone();
        contract::Random(7).shuffle(&mut shuffled);
        for (lsn, batch) in (1..).zip(shuffled.chunks(1_000)) {
            ready(store.append("1/0", Lsn(lsn), &records(batch))).expect("appends");
        }
        let (room, top) = (history.room, history.top());
        assert_eq!(ready(store.head(room)), ready(reference.head(room)));
        for seq in [1, 2, 1_501, 2_047, 2_048, 4_095, 4_096, 4_301, top.0, top.0 + 1].map(Seq) {
            assert_eq!(ready(store.event(room, seq)), ready(reference.event(room, seq)), "{seq:?}");
            assert_eq!(ready(store.message(room, seq)), ready(reference.message(room, seq)), "{seq:?}");
        }
        for (from, to) in [(1, u64::MAX), (1, 4_350), (1_400, 4_320), (2_048, 4_095), (4_000, 4_200)] {
            for limit in [1, 10, 100, 10_000] {
                for (backward, all) in [(false, false), (false, true), (true, false), (true, true)] {
                    let (from, to, bytes) = (Seq(from), Seq(to), u32::MAX);
                    let query = PageQuery { room, from, to, backward, limit, bytes, all };
                    assert_eq!(ready(store.page(&query)), ready(reference.page(&query)), "{query:?}");
                }
            }
        }
        for user in [me, other] {
            for after in [0, 1, 40, 1_501, 2_048, 4_310, top.0].map(Seq) {
                let except = BTreeSet::from([Seq(2), Seq(50), top]);
                for except in [BTreeSet::new(), except] {
                    assert_eq!(
                        ready(store.count_not_unread(room, user, after, &except)),
                        ready(reference.count_not_unread(room, user, after, &except)),
                        "{user:?} after {after:?}"
                    );
                }
            }
        }
    });
}

/// What lies below a floor is swept bucket by bucket, the last one up to the floor; what is above it stays, and nothing returns.
#[test]
fn what_lies_below_a_floor_is_swept() {
    on_a_keyspace("what_lies_below_a_floor_is_swept", |store| {
        let mut history = History::new(78);
        let (me, other) = (history.users[0], history.users[1]);
        for number in 0..4_500u64 {
            let seq =
                history.post(if number % 2 == 0 { me } else { other }, Seq(0), &format!("text {number}"));
            if number % 50 == 0 {
                history.react(other, seq, true, "x");
                history.delete(me, seq);
            }
        }
        let (room, floor) = (history.room, Seq(4_200));
        assert_eq!(ready(store.sweep()), Ok(false), "there is nothing to sweep");
        history.retain(floor);
        let mut reference = MemoryMessages::default();
        ready(reference.append("1/0", Lsn(1), &records(&history.records))).expect("reference");
        for (lsn, batch) in (1..).zip(history.records.chunks(1_000)) {
            ready(store.append("1/0", Lsn(lsn), &records(batch))).expect("appends");
        }
        let below = |store: &Blocking, all| {
            let (from, to, limit, bytes) = (Seq(1), floor, 10_000, u32::MAX);
            let query = PageQuery { room, from, to, backward: false, limit, bytes, all };
            ready(store.page(&query)).expect("readable").events.len()
        };
        assert!(below(store, true) > 4_000, "it still lies there");
        let mut rounds = 0;
        while ready(store.sweep()).expect("sweeps") {
            rounds += 1;
            assert!(rounds < 10, "sweeping comes to an end");
        }
        assert_eq!(below(store, true), 0);
        contract::same_log(&history, store, &reference);
        for (lsn, batch) in (10..).zip(history.records.chunks(1_000)) {
            ready(store.append("1/1", Lsn(lsn), &records(batch))).expect("appends again");
        }
        assert_eq!(below(store, true), 0, "a replay brings nothing back");
        contract::same_log(&history, store, &reference);
    });
}

/// Two migrations, and a program that is older or newer than the tables.
#[test]
fn a_migration_may_be_repeated_and_a_wrong_version_is_named() {
    use lynk_cassandra::{CassandraMessages, ConnectError, Migration, Replication, VERSION, migrate};
    let Some(server) = Server::find("a_migration_may_be_repeated_and_a_wrong_version_is_named") else {
        return;
    };
    let keyspace = Keyspace::new(&server);
    let runtime = common::runtime();
    let migration =
        Migration { replication: Replication::Simple(1), grant_to: Some(common::MESSAGES.to_owned()) };
    let migrator = server.connect(common::MIGRATE, &keyspace.name);
    assert_eq!(runtime.block_on(migrate(&migrator, &migration)), Ok(VERSION));
    let none = server.connect(common::MESSAGES, "nowhere");
    let refused = runtime.block_on(CassandraMessages::connect(&none)).expect_err("no tables");
    assert_eq!(refused, ConnectError::Schema { found: 0, needed: VERSION });
    assert!(refused.to_string().contains("migration"), "{refused}");
    runtime.block_on(async {
        let session = server.session(common::MIGRATE).await;
        let newer = format!(
            "INSERT INTO {}.versions (part, version, usable_by) VALUES ('messages', 9, 9) USING TIMESTAMP 9",
            keyspace.name
        );
        session.query_unpaged(newer, ()).await.expect("the migration's own table");
    });
    let refused =
        runtime.block_on(CassandraMessages::connect(&keyspace.connect())).expect_err("newer tables");
    assert_eq!(refused, ConnectError::Schema { found: 9, needed: VERSION });
    let refused = runtime.block_on(migrate(&migrator, &migration)).expect_err("newer tables");
    assert_eq!(refused, ConnectError::Schema { found: 9, needed: VERSION });
}
