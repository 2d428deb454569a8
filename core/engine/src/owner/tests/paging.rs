use super::*;
use lynk_domain::RoomKind::{Private, Public};

fn small_window() -> Limits {
    Limits { room_window_events_max: 8, resume_events_max: 4, ..Limits::default() }
}

/// Follows `more` from the newest page to the start.
fn page_back(w: &mut World, i: u8, room: RoomId, limit: u32, all: bool) -> Vec<u64> {
    let (mut before, mut found) = (None, Vec::new());
    loop {
        let mut fields = json!({"limit": limit, "all": all});
        if let Some(before) = before {
            fields["before"] = Value::from(before);
        }
        let page = w.history(i, room, fields);
        found.extend(seqs(&page));
        if page["more"] == false {
            assert_eq!(page["covers"]["from"], 1);
            return found;
        }
        let from = page["covers"]["from"].as_u64().expect("covers");
        assert!(before.is_none_or(|b| from < b), "pages make progress");
        before = Some(from);
    }
}

#[test]
fn pages_of_window_store_and_journal_join_without_seams() {
    let mut w = World::new(small_window());
    let room = w.room(Public, &[2]);
    for i in 0..30 {
        w.send(1 + i % 2, room, &format!("text {i}"));
        if i == 11 {
            w.drain();
        }
    }
    let top = 32;
    let expected: Vec<u64> = (3..=top).rev().collect();
    let everything: Vec<u64> = (1..=top).rev().collect();
    for limit in [1, 3, 7, 100] {
        assert_eq!(page_back(&mut w, 2, room, limit, false), expected);
        assert_eq!(page_back(&mut w, 2, room, limit, true), everything);
    }
    let mut after = 0;
    let mut found = Vec::new();
    loop {
        let page = w.history(2, room, json!({"after": after, "limit": 5, "all": true}));
        found.extend(seqs(&page));
        after = page["covers"]["to"].as_u64().expect("covers");
        if page["more"] == false {
            break;
        }
    }
    assert_eq!(found, (1..=top).collect::<Vec<_>>());
}

#[test]
fn a_reply_is_cut_by_bytes_and_says_where_to_go_on() {
    let limits = Limits { reply_bytes_max: 4_096, room_window_events_max: 4, ..small_window() };
    let mut w = World::new(limits);
    let room = w.room(Public, &[2]);
    for _ in 0..20 {
        // Escapes make six bytes of one character.
        w.send(2, room, &"\u{1}".repeat(100));
    }
    let page = w.history(2, room, json!({"limit": 100}));
    assert_eq!(page["more"], true);
    assert!(page.to_string().len() <= 4_096);
    assert_eq!(page_back(&mut w, 2, room, 100, false).len(), 20);
}

#[test]
fn resume_gives_the_newest_and_says_what_is_left() {
    let mut w = World::new(small_window());
    let room = w.room(Public, &[2]);
    for i in 0..20 {
        w.send(2, room, &format!("text {i}"));
    }
    let near = w.subscribe(2, room, Some(20));
    assert_eq!(seqs(&near), [21, 22]);
    assert_eq!((near["top"].as_u64(), near["more"].as_bool()), (Some(22), Some(false)));
    let far = w.subscribe(2, room, Some(2));
    assert_eq!(seqs(&far), [19, 20, 21, 22]);
    assert_eq!((far["covers"]["from"].as_u64(), far["more"].as_bool()), (Some(19), Some(true)));
    let none = w.subscribe(2, room, None);
    assert_eq!((seqs(&none), none["more"].as_bool()), (vec![], Some(false)));
    let beyond = w.subscribe(2, room, Some(99));
    assert_eq!(beyond["events"][0]["reason"], "reset");
    let foreign = w.run(2, json!({"op": "subscribe", "room": room.to_string(), "epoch": 7, "seq": 3}));
    assert_eq!(foreign["events"][0]["reason"], "reset");
    let page = w.history(2, room, json!({"after": 3, "epoch": 7}));
    assert_eq!(page["events"][0]["reason"], "reset");
}

#[test]
fn the_past_before_a_join_is_a_gap_where_the_room_hides_it() {
    let mut w = World::new(Limits::default());
    let room = w.room(Private, &[2]);
    for i in 0..5 {
        w.send(2, room, &format!("text {i}"));
    }
    let add = w.keyed("invite", room, json!({"user": user(3).to_string()}));
    w.run(1, add);
    w.send(2, room, "seen by all");
    for evicted in [false, true] {
        if evicted {
            w.drain();
            w.crash();
        }
        let page = w.history(3, room, json!({"all": true}));
        assert_eq!(listed(&page)[2], (1, "gap".to_owned()), "{page}");
        assert_eq!(page["events"][2]["reason"], "not_visible");
        assert_eq!((page["events"][2]["to"].as_u64(), &page["more"]), (Some(7), &json!(false)));
        let forward = w.history(3, room, json!({"after": 2, "all": true}));
        assert_eq!(forward["events"][0]["reason"], "not_visible");
        assert_eq!(seqs(&forward), [3, 8, 9]);
        assert_eq!(w.subscribe(3, room, Some(0))["events"][0]["reason"], "not_visible");
        w.with(|owner, cx| owner.mail(cx, ShardId(1), Mail::Unsubscribed { room, ends: 1 }));
        let react = w.keyed("react", room, json!({"seq": 4, "emoji": "x"}));
        assert_eq!(w.code(3, react), "message_not_found");
    }
}

#[test]
fn deleted_text_is_nowhere_once_the_delete_is_ordered() {
    let mut w = World::new(small_window());
    let room = w.room(Public, &[2]);
    let secret = w.send(2, room, "secret")["seq"].clone();
    let edit = w.keyed("edit", room, json!({"seq": secret, "text": "secret too"}));
    w.run(2, edit);
    let react = w.keyed("react", room, json!({"seq": secret, "emoji": "🔥"}));
    w.run(1, react);
    let before = w.subscribe(1, room, Some(0));
    let message = before["events"].as_array().expect("events").iter().find(|e| e["ev"] == "message");
    if let Some(message) = message {
        assert_eq!(
            (message["text"].as_str(), message["reactions"][0]["emoji"].as_str()),
            (Some("secret too"), Some("🔥"))
        );
    }
    let delete = w.keyed("delete", room, json!({"seq": secret}));
    assert_eq!(w.run(1, delete)["ev"], "ok", "an owner may delete what others said");
    w.take_out();
    for at in [0, 1, 2, 3, 4] {
        let answer = w.subscribe(1, room, Some(at));
        assert!(!answer.to_string().contains("secret"), "{answer}");
    }
    for drained in [false, true] {
        if drained {
            w.drain();
        }
        for all in [true, false] {
            let page = w.history(1, room, json!({"all": all}));
            assert!(!page.to_string().contains("secret") && page.to_string().contains("deleted"), "{page}");
        }
        for i in 0..20 {
            w.send(2, room, &format!("{i}"));
        }
    }
}

#[test]
fn a_page_that_was_read_before_a_delete_does_not_show_the_text() {
    let mut w = World::new(small_window());
    let room = w.room(Public, &[2]);
    w.send(2, room, "secret");
    for i in 0..20 {
        w.send(2, room, &format!("{i}"));
    }
    w.drain();
    let page = w.post(1, json!({"op": "history", "room": room.to_string(), "before": 6}));
    let (id, request) = w.requests.pop_front().expect("asked");
    let reply = w.reply_to(&request);
    let delete = w.keyed("delete", room, json!({"seq": 3}));
    w.run(2, delete);
    w.with(|owner, cx| owner.reply(cx, id, reply).expect("asked"));
    w.settle();
    let page = w.answer(1, page).expect("answered");
    assert!(!page.to_string().contains("secret") && page.to_string().contains("deleted"), "{page}");
}

#[test]
fn changes_of_old_messages_are_judged_by_what_the_store_has() {
    let mut w =
        World::new(Limits { reactions_per_message_max: 2, reactions_standing_max: 3, ..small_window() });
    let room = w.room(Public, &[2, 3]);
    w.send(2, room, "old");
    for i in 0..20 {
        w.send(3, room, &format!("{i}"));
    }
    w.drain();
    let edit = |w: &mut World, i, text: &str| {
        let command = w.keyed("edit", room, json!({"seq": 4, "text": text}));
        w.run(i, command)
    };
    assert_eq!(edit(&mut w, 3, "not mine")["code"], "forbidden");
    assert_eq!(edit(&mut w, 2, "mine")["ev"], "ok");
    for (i, emoji, expected) in
        [(2, "a", "ok"), (3, "b", "ok"), (3, "c", "limit_reached"), (2, "b", "ok"), (3, "a", "limit_reached")]
    {
        let react = w.keyed("react", room, json!({"seq": 4, "emoji": emoji}));
        let answer = w.run(i, react);
        assert!(answer["ev"] == expected || answer["code"] == expected, "{answer}");
    }
    let again = w.keyed("react", room, json!({"seq": 4, "emoji": "b"}));
    assert_eq!(w.code(2, again), "conflict");
    let meta = w.keyed("delete", room, json!({"seq": 1}));
    assert_eq!(w.code(1, meta), "message_not_found");
    let delete = w.keyed("delete", room, json!({"seq": 4}));
    assert_eq!(w.run(2, delete.clone())["ev"], "ok");
    assert_eq!(w.run(2, delete)["ev"], "ok", "a retry gets the first answer");
    assert_eq!(edit(&mut w, 2, "too late")["code"], "message_not_found");
}

#[test]
fn members_are_paged_in_a_fixed_order() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[5, 2, 9]);
    let first = w.run(2, json!({"op": "members", "room": room.to_string(), "limit": 3}));
    let users = |page: &Value| -> Vec<Value> {
        page["members"].as_array().expect("members").iter().map(|m| m["user"].clone()).collect()
    };
    assert_eq!(
        (users(&first).len(), first["more"].as_bool(), first["count"].as_u64()),
        (3, Some(true), Some(4))
    );
    let last = users(&first)[2].clone();
    let rest = w.run(2, json!({"op": "members", "room": room.to_string(), "after": last}));
    assert_eq!((users(&rest), rest["more"].as_bool()), (vec![json!(user(9).to_string())], Some(false)));
}

#[test]
fn while_the_store_is_away_the_newest_page_is_short_and_older_ones_wait() {
    let mut w = World::new(small_window());
    let room = w.room(Public, &[2]);
    for i in 0..20 {
        w.send(2, room, &format!("text {i}"));
    }
    w.store = Store::Away;
    let page = w.history(2, room, json!({}));
    assert_eq!((seqs(&page).len(), &page["more"], &page["covers"]["from"]), (8, &json!(true), &json!(15)));
    let older = json!({"op": "history", "room": room.to_string(), "before": 15});
    assert_eq!(w.code(2, older), "unavailable");
}

#[test]
fn a_page_asks_for_no_more_records_than_it_shows() {
    let mut w = World::new(small_window());
    let room = w.room(Public, &[2]);
    for i in 0..200 {
        w.send(2, room, &format!("text {i}"));
        if i == 150 {
            w.drain();
        }
    }
    for (fields, most) in [
        (json!({"before": 190, "limit": 10}), 10),
        (json!({"before": 160, "limit": 10}), 6),
        (json!({"before": 100, "limit": 10}), 0),
        (json!({"after": 1, "limit": 10}), 49),
        (json!({"after": 160, "limit": 10}), 10),
    ] {
        let mut command = fields.clone();
        command["op"] = "history".into();
        command["room"] = room.to_string().into();
        let re = w.post(2, command);
        let records = match w.requests.front() {
            Some((_, StoreRequest::Page { undrained, .. })) => undrained.len(),
            other => panic!("{other:?}"),
        };
        assert!(records <= most, "{fields}: {records}");
        w.settle();
        let page = w.answer(2, re).expect("answered");
        assert_eq!((seqs(&page).len(), &page["more"]), (10, &json!(true)), "{fields}");
    }
}

#[test]
fn a_room_that_does_not_exist_takes_no_memory() {
    let mut w = World::new(Limits::default());
    for i in 0..100 {
        let nowhere = json!({"op": "history", "room": user(i).to_string()});
        assert_eq!(w.code(2, nowhere), "room_not_found");
    }
    assert_eq!((w.owner.rooms.len(), w.owner.loaded_count, w.owner.hand.len()), (0, 0, 0));
}

#[test]
fn a_hole_is_told_only_as_far_as_a_page_reaches() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2]);
    let level = w.keyed("settings", room, json!({"level": "memory"}));
    w.run(1, level);
    w.send(2, room, "kept");
    w.drain();
    w.crash();
    w.send(2, room, "after");
    let gap = |page: &Value| {
        let gap =
            page["events"].as_array().expect("a page").iter().find(|e| e["ev"] == "gap").expect("a gap");
        (gap["from"].as_u64().expect("from"), gap["to"].as_u64().expect("to"))
    };
    assert_eq!(gap(&w.history(2, room, json!({"before": 100, "all": true}))), (5, 99));
    assert_eq!(gap(&w.history(2, room, json!({"after": 100, "all": true}))).0, 101);
    assert_eq!(gap(&w.subscribe(2, room, Some(100))).0, 101);
}

#[test]
fn a_quiet_room_keeps_its_last_event_in_memory_and_every_event_in_reach() {
    let limits = Limits { room_window_millis: 10_000, ..Limits::default() };
    let mut w = World::new(limits);
    let room = w.room(Public, &[2]);
    for i in 0..10 {
        w.send(1, room, &format!("text {i}"));
    }
    let in_memory = |w: &World| w.loaded(room).expect("loaded").window.iter().count();
    assert_eq!(in_memory(&w), 12);
    w.wait(10_001);
    w.send(1, room, "new");
    w.wait(10_001);
    assert_eq!(in_memory(&w), 1, "only the last one");
    // Not drained yet: the rest comes out of the journal.
    let resumed = w.subscribe(2, room, Some(9));
    assert_eq!(seqs(&resumed), [13]);
    assert_eq!((&resumed["top"], &resumed["more"]), (&json!(13), &json!(true)));
    w.drain();
    assert_eq!(page_back(&mut w, 2, room, 100, true), (1..=13).rev().collect::<Vec<_>>());
    w.crash();
    assert_eq!(page_back(&mut w, 2, room, 100, true).len(), 13);
    assert_eq!(in_memory(&w), 1, "what is old is not loaded");
}
