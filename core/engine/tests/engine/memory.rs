//! What an idle connection costs the engine.

use lynk_domain::Limits;

use crate::harness::{Shards, room, user};

/// Just above the size at which the map of users has doubled: the worst case.
const CONNECTIONS: u32 = 7_500;

/// Bytes on the heap for each connection that signs in and subscribes to one room, when rooms and their members are
/// in memory already: session, subscription, timer, presence entry, and the slack of the tables that hold them.
fn bytes_per_idle_connection(members: u32) -> i64 {
    let limits = Limits { connections_per_ip_max: 0, connects_per_ip_per_second: 0, ..Limits::default() };
    let mut shards = Shards::new(1, &limits);
    let rooms = CONNECTIONS / members;
    for n in 0..rooms {
        shards.add_room(room(n), (0..=members).map(|m| user(n * (members + 1) + m)));
    }
    shards.listening = false;
    shards.delivered[0].resize(2 * CONNECTIONS as usize, 0);
    // One member of each loads the room. The pings fill the pool of frames, which is of a fixed size.
    for n in 0..rooms {
        shards.sign_in(0, n, user(n * (members + 1)), &[room(n)]);
    }
    for i in 0..10_000 {
        shards.text(0, i % rooms, r#"{"id":1,"op":"ping"}"#);
        if i % 100 == 0 {
            shards.wait_millis(2_000);
        }
    }
    let measured = allocation_counter::measure(|| {
        for n in 0..rooms {
            for m in 1..=members {
                let slot = rooms + n * members + m - 1;
                shards.sign_in(0, slot, user(n * (members + 1) + m), &[room(n)]);
            }
        }
        shards.wait_millis(20_000);
    });
    assert_eq!(shards.engines[0].connections() as u32, rooms + rooms * members);
    measured.bytes_current / i64::from(rooms * members)
}

#[test]
fn an_idle_connection_in_a_room_takes_at_most_350_bytes() {
    for members in [7_500, 10] {
        let bytes = bytes_per_idle_connection(members);
        assert!((100..=350).contains(&bytes), "{bytes} bytes per connection in rooms of {members}");
    }
}

#[test]
fn an_idle_connection_in_a_conversation_takes_at_most_500_bytes() {
    let bytes = bytes_per_idle_connection(1);
    assert!((100..=500).contains(&bytes), "{bytes} bytes");
}
