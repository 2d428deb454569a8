use super::*;
use lynk_domain::RoomKind::Public;

#[test]
fn nothing_is_told_before_the_record_is_committed() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2, 3]);
    w.subscribe(2, room, None);
    w.subscribe(3, room, None);
    w.take_out();
    let command = w.send_command(room, "hello");
    let re = w.post(2, command.clone());
    let again = w.post(3, json!({"op": "subscribe", "room": room.to_string(), "seq": 0}));
    let retry = w.post(2, command);
    let page = w.post(3, json!({"op": "history", "room": room.to_string()}));
    w.serve();
    assert!(w.out.is_empty(), "{:?}", w.out);
    w.commit();
    let ok = w.answer(2, re).expect("answered");
    assert_eq!((ok["ev"].as_str(), ok["level"].as_str()), (Some("ok"), Some("local")));
    assert_eq!(w.answer(2, retry).expect("answered")["seq"], ok["seq"]);
    assert_eq!(w.answer(3, again).expect("answered")["top"], ok["seq"]);
    assert_eq!(w.answer(3, page).expect("answered")["events"][0]["text"], "hello");
    let events: Vec<_> = w.out.iter().filter(|(_, mail)| matches!(mail, Mail::Event { .. })).collect();
    assert_eq!(events.len(), 2, "one for each shard with subscribers");
    // The event goes first: a `subscribed` that tells of it may not overtake it.
    for shard in [ShardId(0), ShardId(1)] {
        let first = w.out.iter().find(|(to, _)| *to == shard);
        assert!(matches!(first, Some((_, Mail::Event { .. }))), "{first:?}");
    }
}

#[test]
fn a_message_is_timed_from_its_acceptance_to_its_acknowledgement() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2]);
    let command = w.send_command(room, "hello");
    w.post(2, command);
    w.serve();
    assert_eq!(w.shared.counters.acks.count(), 0);
    w.now.mono = w.now.mono.after(5_000_000);
    w.commit();
    let acks = &w.shared.counters.acks;
    assert_eq!((acks.count(), acks.sum_nanos()), (1, 5_000_000));
}

#[test]
fn a_key_has_one_result() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2]);
    let command = w.send_command(room, "once");
    let first = w.run(2, command.clone());
    assert_eq!(w.run(2, command.clone())["seq"], first["seq"]);
    let mut other = command.clone();
    other["text"] = "another".into();
    assert_eq!(w.code(2, other), "idempotency_conflict");
    // The key of somebody else is another key.
    assert_ne!(w.run(1, command)["seq"], first["seq"]);
    assert_eq!(w.shared.counters.repeats, 1);
}

#[test]
fn a_refused_command_leaves_its_key_unused() {
    let mut w = World::new(Limits { message_chars_max: 5, ..Limits::default() });
    let room = w.room(Public, &[2]);
    let mut command = w.send_command(room, "too long");
    assert_eq!(w.code(2, command.clone()), "too_large");
    command["text"] = "short".into();
    assert_eq!(w.run(2, command)["ev"], "ok");
}

#[test]
fn an_old_key_is_looked_up_before_it_is_accepted() {
    let mut w = World::new(Limits { dedupe_entries_per_shard_max: 1, ..Limits::default() });
    let room = w.room(Public, &[2]);
    let first = w.send_command(room, "first");
    let answer = w.run(2, first.clone());
    for i in 0..20 {
        w.send(2, room, &format!("later {i}"));
        w.wait(1_000);
    }
    w.drain();
    for i in 0..20 {
        w.send(2, room, &format!("even later {i}"));
    }
    w.store = Store::Silent;
    let re = w.post(2, first.clone());
    let next = w.send_command(room, "behind it");
    let behind = w.post(2, next);
    w.settle();
    assert_eq!((w.answer(2, re), w.answer(2, behind)), (None, None), "the connection's commands keep order");
    w.store = Store::Up;
    w.settle();
    let again = w.answer(2, re).expect("answered");
    assert_eq!(
        (&again["seq"], &again["id"], &again["time"]),
        (&answer["seq"], &answer["id"], &answer["time"])
    );
    assert_eq!(w.answer(2, behind).expect("answered")["ev"], "ok");
    w.store = Store::Away;
    let mut conflict = w.send_command(room, "not first");
    conflict["key"] = first["key"].clone();
    assert_eq!(w.code(2, conflict), "idempotency_conflict");
}

#[test]
fn keys_of_undrained_messages_are_never_forgotten() {
    let mut w = World::new(Limits { dedupe_entries_per_shard_max: 1, ..Limits::default() });
    let room = w.room(Public, &[2]);
    let first = w.send_command(room, "first");
    let answer = w.run(2, first.clone());
    for i in 0..50 {
        w.send(2, room, &format!("later {i}"));
    }
    w.wait(20 * 60_000);
    w.send(2, room, "much later");
    assert_eq!(w.run(2, first)["seq"], answer["seq"]);
}

#[test]
fn a_full_journal_refuses_what_must_be_kept_and_nothing_else() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2]);
    w.send(2, room, "kept");
    w.journal_is(JournalState::Full);
    let send = w.send_command(room, "not kept");
    assert_eq!(w.code(2, send.clone()), "storage_full");
    let delete = w.keyed("delete", room, json!({"seq": 3}));
    assert_eq!(w.code(2, delete), "storage_full");
    let leave = w.keyed("leave", room, json!({}));
    assert_eq!(w.code(2, leave), "storage_full");
    assert_eq!(seqs(&w.history(2, room, json!({}))), [3]);
    w.journal_is(JournalState::Behind);
    assert_eq!(w.code(2, send.clone()), "busy");
    w.journal_is(JournalState::Open);
    assert_eq!(w.run(2, send)["ev"], "ok");
}

#[test]
fn a_backlog_at_its_limit_refuses_until_it_drains() {
    let mut w = World::new(Limits { undrained_records_per_shard_max: 4, ..Limits::default() });
    let room = w.room(Public, &[2]);
    w.send(2, room, "third");
    w.send(2, room, "fourth");
    let send = w.send_command(room, "one too many");
    assert_eq!(w.code(2, send.clone()), "storage_full");
    w.drain();
    assert_eq!(w.run(2, send)["ev"], "ok");
}

#[test]
fn slow_mode_and_mutes_hold_for_members_until_they_end() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2]);
    let slow = w.keyed("settings", room, json!({"slow_mode_seconds": 10}));
    assert_eq!(w.run(1, slow)["ev"], "ok");
    w.send(2, room, "first");
    let send = w.send_command(room, "too soon");
    let refused = w.run(2, send.clone());
    assert_eq!(
        (refused["code"].as_str(), refused["retry_after_ms"].as_u64()),
        (Some("slow_mode"), Some(10_000))
    );
    w.send(1, room, "an owner");
    assert_eq!(w.send(1, room, "need not wait")["ev"], "ok");
    w.wait(10_000);
    assert_eq!(w.run(2, send)["ev"], "ok");
    let mute = w.keyed("mute", room, json!({"user": user(2).to_string(), "seconds": 60}));
    assert_eq!(w.run(1, mute)["ev"], "ok");
    w.wait(30_000);
    let muted = w.send(2, room, "muted");
    assert_eq!((muted["code"].as_str(), muted["retry_after_ms"].as_u64()), (Some("muted"), Some(30_000)));
    w.wait(30_000);
    assert_eq!(w.send(2, room, "free again")["ev"], "ok");
}

#[test]
fn a_room_that_cannot_be_loaded_answers_everyone_and_is_tried_again() {
    let mut w = World::new(Limits { room_load_waiting_max: 3, ..Limits::default() });
    let room = w.room(Public, &[2]);
    w.drain();
    assert!(w.evict(room));
    w.store = Store::Silent;
    let waiting: Vec<u64> = (0..4)
        .map(|i| {
            let send = w.send_command(room, &format!("waits {i}"));
            w.post(2, send)
        })
        .collect();
    assert_eq!(w.answer(2, waiting[3]).expect("turned away")["code"], "busy");
    w.store = Store::Away;
    w.settle();
    for re in &waiting[..3] {
        assert_eq!(w.answer(2, *re).expect("answered")["code"], "unavailable");
    }
    w.store = Store::Up;
    assert_eq!(w.send(2, room, "now")["ev"], "ok");
}

#[test]
fn a_block_stops_a_conversation_both_ways_and_retries_still_get_their_answer() {
    let mut w = World::new(Limits::default());
    let room = direct_room_id(user(1), user(2));
    assert_eq!(w.run(1, json!({"op": "direct", "user": user(2).to_string()}))["ev"], "ok");
    assert_eq!(w.run(2, json!({"op": "direct", "user": user(1).to_string()}))["room"], room.to_string());
    let first = w.send_command(room, "hi");
    let answer = w.run(1, first.clone());
    w.subscribe(1, room, None);
    w.take_out();
    let block = json!({"op": "block", "user": user(1).to_string(), "key": w.key()});
    assert_eq!(w.run(2, block.clone())["ev"], "ok");
    let told: Vec<_> = w.out.iter().filter(|(_, m)| matches!(m, Mail::BlockChanged { .. })).collect();
    assert!(!told.is_empty());
    w.take_out();
    for i in [1, 2] {
        let send = w.send_command(room, "blocked");
        assert_eq!(w.code(i, send), "blocked");
        assert_eq!(w.code(i, json!({"op": "typing", "room": room.to_string()})), "blocked");
        w.run(i, json!({"op": "read", "room": room.to_string(), "seq": 2}));
    }
    assert!(!w.out.iter().any(|(_, mail)| matches!(mail, Mail::Ephemeral { .. })), "no receipt crosses");
    assert_eq!(w.run(1, first)["seq"], answer["seq"]);
    let send = w.send_command(room, "hi");
    assert_eq!(w.code(3, send), "room_not_found", "an outsider learns nothing");
    let unblock = json!({"op": "unblock", "user": user(1).to_string(), "key": w.key()});
    assert_eq!(w.run(2, unblock)["ev"], "ok");
    assert_eq!(w.send(1, room, "again")["ev"], "ok");
}

#[test]
fn a_block_holds_before_the_conversation_exists() {
    let mut w = World::new(Limits::default());
    let block = json!({"op": "block", "user": user(1).to_string(), "key": w.key()});
    assert_eq!(w.run(2, block)["ev"], "ok");
    assert_eq!(w.code(1, json!({"op": "direct", "user": user(2).to_string()})), "blocked");
    let room = direct_room_id(user(1), user(2));
    assert!(w.evict(room));
    assert_eq!(w.code(1, json!({"op": "direct", "user": user(2).to_string()})), "blocked");
    assert_eq!(w.code(1, json!({"op": "direct", "user": user(1).to_string()})), "invalid_field");
}

#[test]
fn fleeting_commands_without_a_number_get_no_answer_at_all() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2]);
    w.take_out();
    for raw in [
        format!(r#"{{"op":"typing","room":"{room}"}}"#),
        format!(r#"{{"op":"read","room":"{room}","seq":1}}"#),
        format!(r#"{{"op":"delivered","room":"{room}","seq":999}}"#),
    ] {
        for i in [2, 4] {
            let command = decode(&raw).command.expect("valid");
            let principal = Principal { user: user(i), session: SessionId([i; 16]) };
            w.with(|owner, cx| owner.command(cx, room, connection(i), principal, 0, &command, &raw));
        }
    }
    w.settle();
    assert!(w.out.is_empty(), "{:?}", w.out);
}

#[test]
fn a_forgotten_key_of_a_change_is_found_in_the_store() {
    let limits = Limits {
        dedupe_entries_per_shard_max: 1,
        room_window_events_max: 4,
        resume_events_max: 4,
        history_page_max: 7,
        history_page_default: 7,
        ..Limits::default()
    };
    let mut w = World::new(limits);
    let room = w.room(Public, &[2, 3, 4]);
    w.send(2, room, "first");
    let edit = w.keyed("edit", room, json!({"seq": 5, "text": "second"}));
    let react = w.keyed("react", room, json!({"seq": 5, "emoji": "x"}));
    let kick = w.keyed("kick", room, json!({"user": user(4).to_string()}));
    let commands = [(2, edit.clone()), (3, react.clone()), (1, kick)];
    let results: Vec<_> =
        commands.iter().map(|(i, command)| w.run(*i, command.clone())["seq"].clone()).collect();
    let newer = w.keyed("edit", room, json!({"seq": 5, "text": "third"}));
    w.run(2, newer);
    for i in 0..30 {
        w.send(2, room, &format!("{i}"));
        w.wait(100);
    }
    w.drain();
    w.crash();
    for ((i, command), seq) in commands.iter().zip(&results) {
        assert_eq!(w.run(*i, command.clone())["seq"], *seq, "{command}");
    }
    let page = w.history(2, room, json!({"before": 6, "all": true}));
    assert_eq!(page["events"][0]["text"], "third", "an old retry does not undo what came after");
    let mut other = react;
    other["emoji"] = "y".into();
    assert_eq!(w.code(3, other), "idempotency_conflict");
    let fresh = w.keyed("delete", room, json!({"seq": 5}));
    assert_eq!(w.run(2, fresh)["ev"], "ok");
}

#[test]
fn one_call_appends_no_more_than_the_journal_holds() {
    let mut w = World::new(Limits { messages_per_room_per_second: 0, ..Limits::default() });
    let room = w.room(Public, &[2]);
    w.crash();
    w.store = Store::Silent;
    let text = "\u{1F600}".repeat(8_000);
    let asked: Vec<u64> = (0..64)
        .map(|_| {
            let send = w.send_command(room, &text);
            w.post(2, send)
        })
        .collect();
    w.store = Store::Up;
    // All of them run when the room is there.
    w.serve();
    let bytes: usize = w.pending.iter().map(|(_, record)| record.payload.len()).sum();
    assert!(bytes > 256 << 10 && bytes < 1 << 20, "{bytes} in one call");
    w.settle();
    let answers: Vec<Value> = asked.iter().map(|re| w.answer(2, *re).expect("answered")).collect();
    assert!(answers.iter().any(|answer| answer["ev"] == "ok"));
    assert!(answers.iter().any(|answer| answer["code"] == "busy"));
}

#[test]
fn positions_of_a_crowd_are_journaled_some_at_a_time_and_all_of_them() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[]);
    w.with(|owner, cx| {
        let Some(Place::Here(here)) = owner.rooms.get_mut(&room) else { panic!("loaded") };
        for i in 0..1_300u64 {
            let user = UserId(u128::from(1_000 + i).to_be_bytes());
            let mut member = crate::owner::room::Member::new(lynk_domain::Role::Member, 1, Seq(1));
            (member.read, member.moved) = (Seq(1), (true, false));
            here.members.insert(user, member);
            here.moved.push(user);
        }
        owner.books.publish_positions(cx, here);
    });
    assert_eq!(w.pending.len(), 512);
    for expected in [1_024, 1_300] {
        w.wait(3);
        assert_eq!(w.pending.len(), expected);
    }
    w.settle();
    w.drain();
    assert!(w.evict(room), "nothing is left to do");
}

#[test]
fn what_still_waits_when_its_session_is_revoked_does_not_come() {
    for revoked in [false, true] {
        let mut w = World::new(Limits::default());
        let room = w.room(Public, &[2]);
        let command = w.send_command(room, "late");
        w.drain();
        w.wait(60 * 60 * 1_000);
        w.crash();
        let re = w.post(2, command);
        // The room is loaded, and asks for the key.
        w.serve_at(0);
        w.commit();
        let asked = w.requests.iter().any(|(_, request)| matches!(request, StoreRequest::FindKey { .. }));
        assert!(asked, "{:?}", w.requests);
        if revoked {
            w.shared.revoked.insert(w.now.wall, SessionId([2; 16]), Millis(w.now.wall.0 + 1_000));
        }
        w.settle();
        let answer = w.answer(2, re).expect("an answer");
        assert_eq!(answer["code"] == "invalid_token", revoked, "{answer}");
        assert_eq!(answer["ev"] == "ok", !revoked, "{answer}");
    }
}

#[test]
fn the_key_of_a_change_keeps_its_content_over_a_reload() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2, 3]);
    w.send(2, room, "one");
    w.send(2, room, "two");
    let changes = [
        (2, w.keyed("edit", room, json!({"seq": 4, "text": "A"})), json!({"text": "B"})),
        (3, w.keyed("react", room, json!({"seq": 4, "emoji": "a"})), json!({"emoji": "b"})),
        (2, w.keyed("delete", room, json!({"seq": 5})), json!({"seq": 4})),
    ];
    let firsts: Vec<Value> =
        changes.iter().map(|(i, change, _)| w.run(*i, change.clone())["seq"].clone()).collect();
    w.drain();
    w.crash();
    for ((i, change, differs), first) in changes.iter().zip(firsts) {
        let mut other = change.clone();
        for (name, value) in differs.as_object().expect("fields") {
            other[name] = value.clone();
        }
        assert_eq!(w.code(*i, other), "idempotency_conflict", "{change}");
        assert_eq!(w.run(*i, change.clone())["seq"], first);
    }
}

#[test]
fn leaving_and_joining_is_no_way_round_slow_mode() {
    let mut w = World::new(Limits { room_window_events_max: 4, resume_events_max: 4, ..Limits::default() });
    let room = w.room(Public, &[2, 3]);
    let slow = w.keyed("settings", room, json!({"slow_mode_seconds": 100}));
    assert_eq!(w.run(1, slow)["ev"], "ok");
    assert_eq!(w.send(2, room, "first")["ev"], "ok");
    let leave = w.keyed("leave", room, json!({}));
    assert_eq!(w.run(2, leave)["ev"], "ok");
    let join = w.keyed("join", room, json!({}));
    assert_eq!(w.run(2, join)["ev"], "ok");
    let again = w.send(2, room, "too soon");
    assert_eq!(again["code"], "slow_mode");
    w.crash();
    assert_eq!(w.send(2, room, "too soon")["code"], "slow_mode");
    assert_eq!(w.send(1, room, "owners need not wait")["ev"], "ok");
    // What user 3 said is not in the window of four any more, but may be recent.
    w.wait(100_000);
    assert_eq!(w.send(3, room, "once")["ev"], "ok");
    for _ in 0..6 {
        w.send(1, room, "later");
    }
    w.crash();
    assert_eq!(w.send(3, room, "too soon")["code"], "slow_mode");
    w.wait(100_000);
    assert_eq!(w.send(3, room, "in time")["ev"], "ok");
}

#[test]
fn keys_of_long_ago_are_left_to_the_store() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2]);
    let sent = w.send_command(room, "once");
    let first = w.run(2, sent.clone());
    w.drain();
    w.wait(11 * 60_000);
    w.crash();
    w.history(2, room, json!({"limit": 1}));
    assert_eq!(w.run(2, sent.clone())["seq"], first["seq"], "the store knows it");
    let mut other = sent;
    other["text"] = "another".into();
    assert_eq!(w.code(2, other), "idempotency_conflict");
    let re = {
        let fresh = w.send_command(room, "new");
        w.post(2, fresh)
    };
    assert!(w.requests.is_empty(), "a fresh key needs no look into the store");
    w.settle();
    assert_eq!(w.answer(2, re).expect("answered")["ev"], "ok");
}
