//! A warm engine allocates nothing per message.

use lynk_domain::{Limits, Nanos};

use crate::harness::{Shards, room, user};

/// One connection sends, a hundred receive. `gap_millis` between two messages decides whether the room is quiet or
/// flushed in ticks.
fn allocations_of_a_thousand_messages(shard_count: u16, gap_millis: u64) -> (u64, u64) {
    let limits = Limits {
        commands_per_connection_per_second: 0,
        commands_per_account_per_second: 0,
        messages_per_room_per_second: 0,
        dedupe_entries_per_shard_max: 512,
        ..Limits::default()
    };
    let mut shards = Shards::new(shard_count, &limits);
    let id = room(0);
    shards.add_room(id, (0..=100).map(user));
    for n in 0..=100u32 {
        shards.sign_in(n as u16 % shard_count, n, user(n), &[id]);
    }
    shards.listening = false;
    shards.sent.clear();
    let thousand = |shards: &mut Shards| {
        for i in 0..1_000 {
            shards.send(0, 0, id, "a message of an ordinary length, neither long nor short");
            shards.flush();
            shards.wait_millis(gap_millis);
            if i % 64 == 0 {
                shards.drain_journals();
            }
        }
        shards.wait_millis(100);
    };
    thousand(&mut shards);
    let before: u64 = shards.delivered.iter().flatten().sum();
    let info = allocation_counter::measure(|| thousand(&mut shards));
    let delivered = shards.delivered.iter().flatten().sum::<u64>() - before;
    (info.count_total, delivered)
}

#[test]
fn a_quiet_room_costs_no_allocation() {
    assert_eq!(allocations_of_a_thousand_messages(1, 100), (0, 101_000));
}

#[test]
fn a_busy_room_in_ticks_costs_no_allocation() {
    assert_eq!(allocations_of_a_thousand_messages(1, 1), (0, 101_000));
}

#[test]
fn crossing_shards_costs_no_allocation() {
    assert_eq!(allocations_of_a_thousand_messages(2, 10), (0, 101_000));
}

const _: () = assert!(Nanos::MILLISECOND == 1_000_000, "gaps are in milliseconds");
