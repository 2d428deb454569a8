use super::*;
use lynk_domain::RoomKind::Public;

fn memory_room(w: &mut World) -> RoomId {
    let room = w.room(Public, &[2, 3]);
    let level = w.keyed("settings", room, json!({"level": "memory"}));
    assert_eq!(w.run(1, level)["ev"], "ok");
    // The first message reserves numbers, and waits for that.
    assert_eq!(w.send(2, room, "first")["level"], "memory");
    room
}

#[test]
fn level_memory_does_not_wait_but_for_its_reservation() {
    let mut w = World::new(Limits::default());
    let room = memory_room(&mut w);
    w.crash();
    w.history(2, room, json!({}));
    let first = w.send_command(room, "reserves");
    let re = w.post(2, first);
    assert_eq!(w.answer(2, re), None, "a number may not be shown before it is reserved");
    w.commit();
    assert_eq!(w.answer(2, re).expect("answered")["level"], "memory");
    for i in 0..2_000 {
        let send = w.send_command(room, &format!("{i}"));
        let re = w.post(2, send);
        assert!(w.answer(2, re).is_some(), "message {i} waited");
        if i % 100 == 0 {
            w.commit();
        }
        w.take_out();
        w.wait(10);
    }
}

#[test]
fn numbers_shown_before_a_crash_are_a_gap_after_it() {
    let mut w = World::new(Limits::default());
    let room = memory_room(&mut w);
    let mut shown = 0;
    for i in 0..10 {
        let send = w.send_command(room, &format!("lost {i}"));
        let re = w.post(2, send);
        shown = w.answer(2, re).expect("at once")["seq"].as_u64().expect("a seq");
    }
    w.crash();
    let back = w.subscribe(2, room, Some(shown));
    let top = back["top"].as_u64().expect("a top");
    assert!(top > shown, "no number that was shown is used again");
    assert_eq!(
        (back["events"][0]["reason"].as_str(), back["events"][0]["to"].as_u64()),
        (Some("lost"), Some(top))
    );
    let next = w.send(2, room, "after")["seq"].as_u64();
    assert_eq!(next, Some(top + 1));
    for drained in [false, true] {
        if drained {
            w.drain_old();
            w.drain();
            w.with(|owner, cx| owner.mail(cx, ShardId(0), Mail::Unsubscribed { room, ends: 1 }));
            assert!(w.evict(room));
        }
        for all in [true, false] {
            let page = w.history(2, room, json!({"all": all}));
            let found = listed(&page);
            assert_eq!(found[0].0, top + 1);
            assert_eq!(found[1], (6, "gap".to_owned()), "drained {drained} all {all}: {page}");
            assert_eq!(page["more"], false);
        }
    }
    assert_eq!(w.send(3, room, "goes on")["seq"].as_u64(), Some(top + 2));
}

#[test]
fn a_room_of_level_memory_that_left_in_order_has_no_gap() {
    let mut w = World::new(Limits::default());
    let room = memory_room(&mut w);
    w.drain();
    let before = w.picture(room);
    assert!(w.evict(room));
    assert_eq!(w.send(2, room, "next")["seq"], 6);
    assert_eq!(w.picture(room)[..before.len()][1..], before[1..]);
}

#[test]
fn an_uncommitted_message_is_gone_after_a_crash_and_its_key_is_free() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2]);
    let kept = w.send_command(room, "kept");
    let kept_answer = w.run(2, kept.clone());
    let lost = w.send_command(room, "lost");
    let re = w.post(2, lost.clone());
    assert_eq!(w.answer(2, re), None);
    w.crash();
    assert_eq!(w.run(2, kept)["id"], kept_answer["id"]);
    let again = w.run(2, lost);
    assert_eq!((again["ev"].as_str(), again["seq"].as_u64()), (Some("ok"), Some(4)));
}

#[test]
fn a_room_is_the_same_after_eviction_and_after_a_crash() {
    let mut w = World::new(Limits { room_window_events_max: 12, resume_events_max: 4, ..Limits::default() });
    let room = w.room(Public, &[2, 3, 4]);
    for i in 0..10 {
        w.send(2 + i % 2, room, &format!("text {i} \"quoted\""));
    }
    for (i, op, fields) in [
        (2, "edit", json!({"seq": 7, "text": "changed"})),
        (2, "edit", json!({"seq": 9, "text": "changed"})),
        (2, "edit", json!({"seq": 9, "text": "changed twice"})),
        (3, "react", json!({"seq": 9, "emoji": "b"})),
        (4, "react", json!({"seq": 9, "emoji": "a"})),
        (4, "react", json!({"seq": 9, "emoji": "c"})),
        (4, "react", json!({"seq": 9, "emoji": "c", "on": false})),
        (3, "react", json!({"seq": 14, "emoji": "z"})),
        (1, "delete", json!({"seq": 11})),
        (1, "pin", json!({"seq": 12})),
        (1, "mute", json!({"user": user(3).to_string(), "seconds": 1000})),
        (1, "ban", json!({"user": user(4).to_string()})),
        (1, "role", json!({"user": user(2).to_string(), "role": "admin"})),
    ] {
        let command = w.keyed(op, room, fields);
        assert_eq!(w.run(i, command)["ev"], "ok", "{op}");
    }
    w.run(2, json!({"op": "read", "room": room.to_string(), "seq": 9}));
    w.run(2, json!({"op": "delivered", "room": room.to_string(), "seq": 12}));
    w.wait(1_100);
    w.settle();
    let before = w.picture(room);
    let reload = |w: &mut World| {
        w.history(2, room, json!({"limit": 1}));
        w.settle();
        w.picture(room)
    };
    w.crash();
    assert_eq!(reload(&mut w), before, "from undrained records");
    w.drain_old();
    w.drain();
    assert!(w.evict(room), "drained and idle");
    assert_eq!(reload(&mut w), before, "from the store");
}

#[test]
fn a_room_with_records_that_are_not_drained_stays_in_memory() {
    let mut w = World::new(Limits { rooms_loaded_per_shard_max: 2, ..Limits::default() });
    let (a, b) = (w.room(Public, &[2]), w.room(Public, &[2]));
    let create = json!({"op": "create", "key": w.key(), "name": "third"});
    assert_eq!(w.code(1, create.clone()), "busy");
    w.drain();
    w.subscribe(2, a, None);
    assert_eq!(w.run(1, create)["ev"], "ok");
    assert!(w.loaded(a).is_some() && w.loaded(b).is_none(), "one with subscribers stays as well");
    assert_eq!(w.shared.counters.room_evictions, 1);
}

#[test]
fn what_the_store_applied_before_a_crash_is_journaled_after_it_and_once() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2]);
    let add = w.keyed("invite", room, json!({"user": user(5).to_string()}));
    w.post(1, add.clone());
    // Applied by the store, never committed by the journal.
    w.serve();
    w.crash();
    let page = w.history(2, room, json!({"all": true, "after": 2}));
    assert_eq!((seqs(&page), &page["events"][0]["user"]), (vec![3], &json!(user(5).to_string())));
    assert_eq!(w.run(1, add)["seq"], 3, "the retry finds it");
    let before = w.picture(room);
    w.crash();
    w.history(2, room, json!({"limit": 1}));
    assert_eq!(w.picture(room), before);
    assert_eq!(w.send(5, room, "a member")["ev"], "ok");
}

#[test]
fn committed_but_unconfirmed_outbox_rows_are_not_journaled_again() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[]);
    let add = w.keyed("invite", room, json!({"user": user(2).to_string()}));
    w.post(1, add);
    w.serve();
    w.commit();
    w.crash();
    let page = w.history(1, room, json!({"all": true}));
    assert_eq!(seqs(&page), [2, 1]);
    assert_eq!(w.loaded(room).expect("loaded").members[&user(2)].joined_seq, Seq(2));
}

#[test]
fn a_join_that_the_window_has_left_is_confirmed_with_its_place() {
    let mut w = World::new(Limits { room_window_events_max: 3, resume_events_max: 2, ..Limits::default() });
    let room = w.room(Public, &[]);
    let shown = w.keyed("settings", room, json!({"visibility": "since_join"}));
    assert_eq!(w.run(1, shown)["ev"], "ok");
    let add = w.keyed("invite", room, json!({"user": user(2).to_string()}));
    let re = w.post(1, add);
    w.serve();
    w.commit();
    assert_eq!(w.answer(1, re).expect("answered")["seq"], 3);
    // The confirmation does not arrive.
    w.requests.clear();
    w.store = Store::Silent;
    for _ in 0..5 {
        let send = w.send_command(room, "text");
        w.post(2, send);
        w.commit();
    }
    w.drain();
    w.crash();
    w.store = Store::Up;
    for _ in 0..2 {
        assert_eq!(seqs(&w.history(2, room, json!({"all": true}))), [8, 7, 6, 5, 4, 3, 1]);
        assert_eq!(w.loaded(room).expect("loaded").members[&user(2)].joined_seq, Seq(3));
        w.settle();
        w.crash();
    }
    assert_eq!(ready(lynk_model::port::RoomStore::load(&w.rooms, room)).expect("readable").outbox, []);
}

#[test]
fn a_join_whose_position_was_torn_off_starts_with_nothing_unread() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[]);
    for _ in 0..3 {
        w.send(1, room, "before");
    }
    let join = w.keyed("join", room, json!({}));
    w.post(2, join);
    w.serve();
    assert_eq!(w.pending.len(), 2, "the join and the position");
    w.commit_first(1);
    w.crash();
    let subscribed = w.subscribe(2, room, None);
    assert_eq!((subscribed["read"].as_u64(), subscribed["unread"].as_u64()), (Some(5), Some(0)));
}

#[test]
fn what_was_marked_unread_stays_so_and_is_no_receipt() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2, 3]);
    for _ in 0..4 {
        w.send(1, room, "text");
    }
    w.subscribe(3, room, None);
    let at = |op: &str, seq: u64| json!({"op": op, "room": room.to_string(), "seq": seq});
    assert_eq!(w.run(2, at("read", 7))["unread"], 0);
    w.take_out();
    assert_eq!(w.run(2, at("mark_unread", 5))["unread"], 3);
    assert_eq!(w.run(2, at("read", 6))["unread"], 1);
    w.wait(1_100);
    w.settle();
    let told = |w: &World| w.out.iter().filter(|(_, mail)| matches!(mail, Mail::Ephemeral { .. })).count();
    assert_eq!(told(&w), 0, "others know that it was read further");
    for drained in [false, true] {
        if drained {
            w.drain_old();
            w.drain();
        }
        w.crash();
        let back = w.subscribe(2, room, None);
        assert_eq!((back["read"].as_u64(), back["unread"].as_u64()), (Some(6), Some(1)), "drained {drained}");
    }
    // Whoever comes back starts at the new join, whatever was marked before.
    let leave = w.keyed("leave", room, json!({}));
    assert_eq!(w.run(2, leave)["ev"], "ok");
    let join = w.keyed("join", room, json!({}));
    let joined = w.run(2, join)["seq"].as_u64();
    w.crash();
    let back = w.subscribe(2, room, None);
    assert_eq!((back["read"].as_u64(), back["unread"].as_u64()), (joined, Some(0)));
}

#[test]
fn a_room_with_a_long_backlog_is_busy_until_the_store_has_caught_up() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[]);
    w.send(1, room, "kept");
    w.drain();
    w.crash();
    // The store has what is listed here: only the number of records matters.
    let source = SourceId(0);
    let record = |lsn: u64| UndrainedRecord {
        at: RecordAt { source, lsn: Lsn(1_000 + lsn) },
        room,
        kind: lynk_model::RecordKind::Read,
        seq: Seq(2),
        key: Key::NIL,
        sender: user(1),
        wall: w.now.wall,
    };
    w.owner = Owner::new(&w.config, (0..50_001).map(record).collect());
    let page = json!({"op": "history", "room": room.to_string()});
    let answer = w.run(1, page.clone());
    assert_eq!((&answer["code"], &answer["retry_after_ms"]), (&json!("busy"), &json!(1_000)));
    w.with(|owner, cx| owner.drained(cx, source, Lsn(1_000)));
    assert_eq!(seqs(&w.run(1, page)), [2]);
}

#[test]
fn positions_of_the_last_second_are_journaled_before_a_stop() {
    let mut w = World::new(Limits::default());
    let others: Vec<u8> = (2..=200).collect();
    let rooms: Vec<RoomId> = (0..4).map(|_| w.room(Public, &others)).collect();
    let read = |w: &mut World, room: RoomId, i: u8, seq: u64| {
        w.run(i, json!({"op": "read", "room": room.to_string(), "seq": seq}))
    };
    for room in &rooms {
        for i in 2..=200u8 {
            read(&mut w, *room, i, 200);
        }
        w.send(1, *room, "one more");
    }
    w.wait(5_000);
    w.settle();
    for room in &rooms {
        for i in 2..=200 {
            read(&mut w, *room, i, 201);
        }
    }
    for room in &rooms {
        w.send(1, *room, "another");
        for i in 2..=200 {
            read(&mut w, *room, i, 202);
        }
    }
    w.with(|owner, cx| owner.start_drain(cx));
    assert_eq!(w.pending.len(), 512, "other input has its turn between");
    while !w.with(|owner, _| owner.idle()) {
        w.with(|owner, cx| owner.deadline(cx));
    }
    assert_eq!(w.pending.len(), 4 * 199);
    w.settle();
    w.crash();
    for room in &rooms {
        for i in [2, 200] {
            assert_eq!(w.subscribe(i, *room, None)["read"], 202);
        }
    }
}
