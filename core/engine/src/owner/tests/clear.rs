use super::*;
use lynk_domain::RoomKind::Public;

fn direct(w: &mut World) -> RoomId {
    w.friends(1, 2)
}

fn clear(room: RoomId, seq: u64) -> Value {
    json!({"op": "clear", "room": room.to_string(), "seq": seq})
}

/// Texts of the page of the past that a user sees.
fn texts(w: &mut World, i: u8, room: RoomId) -> Vec<String> {
    let page = w.history(i, room, json!({}));
    let messages = page["events"].as_array().expect("a list").iter().filter(|event| event["ev"] == "message");
    messages.map(|event| event["text"].as_str().expect("a text").to_owned()).collect()
}

fn read_of(w: &mut World, i: u8, whose: u8, room: RoomId) -> u64 {
    let list = w.run(i, json!({"op": "members", "room": room.to_string()}));
    let member =
        list["members"].as_array().expect("a list").iter().find(|row| row["user"] == user(whose).to_string());
    member.expect("a member")["read"].as_u64().expect("a seq")
}

/// Frames that were told to the connections of a user, by their names.
fn told(w: &World, i: u8) -> Vec<String> {
    let notices = w.out.iter().filter_map(|(_, mail)| match mail {
        Mail::Notice { user: whom, frame, .. } if *whom == user(i) => Some(value(frame)),
        _ => None,
    });
    notices.map(|frame| frame["ev"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn the_past_is_gone_for_one_side_alone_and_stays_so() {
    let mut w = World::new(Limits::default());
    let room = direct(&mut w);
    let seqs: Vec<u64> =
        (0..4).map(|i| w.send(1, room, &format!("text {i}"))["seq"].as_u64().expect("a seq")).collect();
    w.subscribe(1, room, None);
    w.run(2, json!({"op": "read", "room": room.to_string(), "seq": seqs[0]}));
    w.wait(1_100);
    w.settle();
    w.take_out();
    assert_eq!(w.run(2, clear(room, seqs[2]))["ev"], "ok");
    assert_eq!(told(&w, 2), ["cleared", "read"]);
    assert_eq!(told(&w, 1), Vec::<String>::new());
    let same = |w: &mut World, when: &str| {
        assert_eq!(texts(w, 2, room), ["text 3"], "{when}");
        assert_eq!(texts(w, 1, room).len(), 4, "{when}");
        let back = w.subscribe(2, room, Some(seqs[0]));
        assert_eq!((back["read"].as_u64(), back["unread"].as_u64()), (Some(seqs[2]), Some(1)), "{when}");
        assert_eq!(back["events"][0]["reason"], "not_visible", "{when}");
        assert_eq!(read_of(w, 1, 2, room), seqs[0], "{when}: what was deleted was not read");
    };
    same(&mut w, "at once");
    w.wait(1_100);
    w.run(2, json!({"op": "delivered", "room": room.to_string(), "seq": seqs[3]}));
    w.wait(1_100);
    w.settle();
    let receipts = w.out.iter().filter_map(|(_, mail)| match mail {
        Mail::Ephemeral { frame, .. } => Some(value(frame)),
        _ => None,
    });
    assert!(receipts.clone().all(|frame| frame["ev"] != "read"), "{:?}", receipts.collect::<Vec<_>>());
    same(&mut w, "after the next receipt");
    w.crash();
    same(&mut w, "after a crash");
    w.drain_old();
    w.drain();
    w.crash();
    same(&mut w, "from the store");
    // What was read within the last second is told as far as it was read.
    let later = w.send(1, room, "text 4")["seq"].as_u64().expect("a seq");
    let last = w.send(1, room, "text 5")["seq"].as_u64().expect("a seq");
    w.run(2, json!({"op": "read", "room": room.to_string(), "seq": seqs[3]}));
    w.run(2, json!({"op": "read", "room": room.to_string(), "seq": later}));
    assert_eq!(w.run(2, clear(room, last))["ev"], "ok");
    w.wait(1_100);
    w.settle();
    assert_eq!(read_of(&mut w, 1, 2, room), later);
    // Who reads on reads all of it.
    let end = w.send(1, room, "text 6")["seq"].as_u64().expect("a seq");
    assert_eq!(w.run(2, json!({"op": "read", "room": room.to_string(), "seq": end}))["unread"], 0);
    assert_eq!(read_of(&mut w, 1, 2, room), end);
}

#[test]
fn how_far_only_grows() {
    let mut w = World::new(Limits::default());
    let room = direct(&mut w);
    let seqs: Vec<u64> = (0..3).map(|_| w.send(1, room, "text")["seq"].as_u64().expect("a seq")).collect();
    assert_eq!(w.run(2, clear(room, seqs[1]))["ev"], "ok");
    w.take_out();
    for seq in [seqs[0], seqs[1]] {
        assert_eq!(w.run(2, clear(room, seq))["ev"], "ok");
    }
    assert_eq!(told(&w, 2), Vec::<String>::new(), "nothing changed");
    assert_eq!(texts(&mut w, 2, room), ["text"]);
    let marked = json!({"op": "mark_unread", "room": room.to_string(), "seq": seqs[1]});
    assert_eq!(w.code(2, marked), "invalid_field");
    let mut answer = w.send_command(room, "to what is gone");
    answer["reply_to"] = seqs[1].into();
    assert_eq!(w.code(2, answer), "message_not_found");
    assert_eq!(w.run(2, clear(room, seqs[2]))["ev"], "ok");
    assert_eq!(texts(&mut w, 2, room), Vec::<String>::new());
    w.send(1, room, "new");
    assert_eq!(texts(&mut w, 2, room), ["new"]);
}

#[test]
fn what_cannot_be_deleted_is_refused_and_nothing_is_done_while_the_store_is_away() {
    let mut w = World::new(Limits { room_window_events_max: 8, ..Limits::default() });
    let public = w.room(Public, &[2]);
    assert_eq!(w.code(2, clear(public, 1)), "forbidden");
    let room = direct(&mut w);
    assert_eq!(w.code(3, clear(room, 1)), "room_not_found");
    for _ in 0..40 {
        w.send(1, room, "text");
    }
    let top = w.send(1, room, "last")["seq"].as_u64().expect("a seq");
    assert_eq!(w.code(2, clear(room, top + 1)), "invalid_field");
    assert_eq!(w.code(2, clear(room, 3)), "invalid_field", "nobody knows how many messages there were");
    let send = w.send_command(room, "not committed");
    w.post(1, send);
    let early = w.post(2, clear(room, top + 1));
    w.settle();
    assert_eq!(w.answer(2, early).expect("answered")["code"], "invalid_field", "nobody has seen it");
    for store in [Store::Away, Store::RoomsAway] {
        w.store = store;
        assert_eq!(w.code(2, clear(room, top)), "unavailable");
        w.store = Store::Up;
        assert!(texts(&mut w, 2, room).len() > 1);
    }
    assert_eq!(w.run(2, clear(room, top))["ev"], "ok");
    assert_eq!(texts(&mut w, 2, room), ["not committed"]);
}
