//! A warm engine allocates nothing per message, and joins what it sends in a burst.

use lynk_domain::Limits;

use crate::harness::{Shards, room, user};

/// What a thousand messages cost when four thousand went before. One connection sends, a hundred receive.
struct Cost {
    allocations: u64,
    /// Messages that arrived, answers included.
    messages: u64,
    /// Frames handed to connections.
    deliveries: u64,
}

/// `burst` messages a millisecond apart, then a pause: long enough in all that the index of idempotency keys, which
/// holds ten minutes, has reached its size.
fn cost_of_a_thousand_messages(shard_count: u16, burst: u64) -> Cost {
    let limits = Limits {
        commands_per_connection_per_second: 0,
        commands_per_account_per_second: 0,
        messages_per_room_per_second: 0,
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
        for _ in 0..1_000 / burst {
            for _ in 0..burst {
                shards.send(0, 0, id, "a message of an ordinary length, neither long nor short");
                shards.flush();
                shards.wait_millis(1);
            }
            shards.drain_journals();
            shards.wait_millis(burst * 1_000);
        }
    };
    for _ in 0..4 {
        thousand(&mut shards);
    }
    let deliveries = |shards: &Shards| shards.engines.iter().map(|e| e.counters().deliveries).sum::<u64>();
    let messages = |shards: &Shards| shards.delivered.iter().flatten().sum::<u64>();
    let before = (messages(&shards), deliveries(&shards));
    let measured = allocation_counter::measure(|| thousand(&mut shards));
    Cost {
        allocations: measured.count_total,
        messages: messages(&shards) - before.0,
        deliveries: deliveries(&shards) - before.1,
    }
}

#[test]
fn a_quiet_room_costs_no_allocation() {
    let cost = cost_of_a_thousand_messages(1, 1);
    assert_eq!((cost.messages, cost.allocations), (101_000, 0));
    assert_eq!(cost.deliveries, 101_000, "each is sent at once");
}

#[test]
fn a_busy_room_costs_no_allocation_and_shares_its_sends() {
    let cost = cost_of_a_thousand_messages(1, 100);
    assert_eq!((cost.messages, cost.allocations), (101_000, 0));
    assert!(cost.deliveries < 101_000 / 4, "{} frames", cost.deliveries);
}

#[test]
fn crossing_shards_costs_no_allocation() {
    for burst in [1, 100] {
        let cost = cost_of_a_thousand_messages(2, burst);
        assert_eq!((cost.messages, cost.allocations), (101_000, 0));
    }
}
