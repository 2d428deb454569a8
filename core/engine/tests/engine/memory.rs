//! What an idle connection costs the engine.

use lynk_domain::Limits;

use crate::harness::{Shards, room, user};

/// Bytes that one more signed-in connection with one subscription takes, the room's members apart.
fn bytes_per_connection(per_room: u32) -> i64 {
    const COUNT: u32 = 20_000;
    let limits = Limits {
        connections_per_ip_max: 0,
        connects_per_ip_per_second: 0,
        ..Limits::default()
    };
    let mut shards = Shards::new(1, &limits);
    for n in 0..COUNT / per_room {
        shards.add_room(room(n), (0..per_room).map(|m| user(n * per_room + m)));
    }
    // The rooms are in memory before it is measured: their members are not what a connection costs.
    for n in 0..COUNT / per_room {
        shards.sign_in(0, n, user(n * per_room), &[room(n)]);
    }
    let first = COUNT / per_room;
    shards.sent.clear();
    shards.listening = false;
    shards.wait_millis(20_000);
    let info = allocation_counter::measure(|| {
        for n in 0..COUNT {
            shards.sign_in(0, first + n, user(1_000_000 + n), &[]);
        }
    });
    let _ = info;
    0
}

#[test]
#[ignore]
fn placeholder() {
    bytes_per_connection(10);
}
