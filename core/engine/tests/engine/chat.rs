//! People chat across shards.

use lynk_domain::Limits;
use lynk_engine::{Input, Slot};

use crate::harness::{Shards, room, user};

#[test]
fn what_one_posts_reaches_everyone_on_every_shard_in_one_order() {
    for count in [1u16, 2, 4] {
        let limits = Limits { commands_per_connection_per_second: 0, ..Limits::default() };
        let mut shards = Shards::new(count, &limits);
        let rooms: Vec<_> = (0..5).map(room).collect();
        for id in &rooms {
            shards.add_room(*id, (0..8).map(user));
        }
        for n in 0..8u32 {
            shards.sign_in(n as u16 % count, n, user(n), &rooms);
            let told = shards.story(n as u16 % count, n);
            assert_eq!(told, ["ok", "subscribed", "subscribed", "subscribed", "subscribed", "subscribed"]);
        }
        for turn in 1..=20u64 {
            for n in 0..8u32 {
                shards.send(n as u16 % count, n, rooms[turn as usize % 5], "hello");
            }
            shards.flush();
            shards.wait_millis(25);
        }
        for n in 0..8u32 {
            let told = shards.story(n as u16 % count, n);
            assert_eq!(told.len(), 20 * 8, "{count} shards");
            let own = told.iter().filter(|word| word.starts_with("ok ")).count();
            assert_eq!(own, 20);
        }
    }
}

#[test]
fn events_of_a_room_arrive_in_order_with_the_ok_at_its_place() {
    let mut shards = Shards::new(2, &Limits::default());
    let id = room(0);
    shards.add_room(id, (0..3).map(user));
    for n in 0..3u32 {
        shards.sign_in(n as u16 % 2, n, user(n), &[id]);
        shards.story(n as u16 % 2, n);
    }
    for n in [0, 1, 2, 0] {
        shards.send(n as u16 % 2, n, id, "x");
    }
    shards.flush();
    assert_eq!(shards.story(0, 0), ["ok 1", "message 2", "message 3", "ok 4"]);
    assert_eq!(shards.story(1, 1), ["message 1", "ok 2", "message 3", "message 4"]);
    assert_eq!(shards.story(0, 2), ["message 1", "message 2", "ok 3", "message 4"]);
}

#[test]
fn a_room_that_is_not_there_is_named_in_its_error() {
    let mut shards = Shards::new(2, &Limits::default());
    let (mine, other) = (room(0), room(1));
    shards.add_room(mine, [user(0)]);
    shards.sign_in(0, 0, user(0), &[mine, other]);
    let told: Vec<_> = shards.sent.drain(..).map(|(.., value)| value).collect();
    let subscribed = told.iter().find(|v| v["ev"] == "subscribed").expect("the room that is there");
    assert_eq!(subscribed["room"], mine.to_string());
    let error = told.iter().find(|v| v["ev"] == "error").expect("the other");
    assert_eq!((&error["code"], &error["room"]), (&"room_not_found".into(), &other.to_string().into()));
}

#[test]
fn a_drain_ends_when_connections_and_journal_are_done() {
    let mut shards = Shards::new(1, &Limits::default());
    let id = room(0);
    shards.add_room(id, (0..3).map(user));
    for n in 0..3u32 {
        shards.sign_in(0, n, user(n), &[id]);
    }
    let deadline = shards.now.mono.after(1_000_000_000);
    shards.give(0, Input::Drain { deadline });
    shards.send(0, 2, id, "last words");
    shards.wait_millis(1_000);
    assert!(shards.story(0, 2).contains(&"ok 1".to_owned()));
    for n in 0..3 {
        shards.give(0, Input::Closed { slot: Slot(n) });
    }
    assert_eq!(shards.engines[0].connections(), 0);
}
