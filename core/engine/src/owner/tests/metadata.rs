use super::*;
use lynk_domain::RoomKind::{InviteOnly, Private, Public};
use lynk_model::port::RoomStore;
use lynk_model::{MetaChange, MetaTransaction};

#[test]
fn each_role_may_do_what_its_row_of_the_matrix_says() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2, 3, 4, 5]);
    for (i, role) in [(2, "admin"), (3, "moderator")] {
        let set = w.keyed("role", room, json!({"user": user(i).to_string(), "role": role}));
        assert_eq!(w.run(1, set)["ev"], "ok");
    }
    let target = |i: u8| json!({"user": user(i).to_string()});
    for (i, op, fields, expected) in [
        (4, "kick", target(5), "forbidden"),
        (3, "kick", target(2), "forbidden"),
        (3, "kick", target(3), "forbidden"),
        (3, "mute", target(5), "ok"),
        (3, "settings", json!({"name": "mine"}), "forbidden"),
        (2, "settings", json!({"name": "ours"}), "ok"),
        (2, "role", json!({"user": user(4).to_string(), "role": "admin"}), "forbidden"),
        (2, "role", json!({"user": user(4).to_string(), "role": "moderator"}), "ok"),
        (2, "transfer", target(4), "forbidden"),
        (1, "leave", json!({}), "last_owner"),
        (1, "transfer", target(2), "ok"),
        (1, "kick", target(2), "forbidden"),
        (2, "ban", target(1), "ok"),
        (1, "join", json!({}), "banned"),
        (2, "unban", target(9), "conflict"),
        (2, "unban", target(1), "ok"),
        (1, "join", json!({}), "ok"),
        (9, "kick", target(5), "not_a_member"),
        (2, "kick", target(9), "not_a_member"),
    ] {
        let command = w.keyed(op, room, fields);
        let answer = w.run(i, command);
        assert!(answer["ev"] == expected || answer["code"] == expected, "{i} {op}: {answer}");
    }
}

#[test]
fn hidden_rooms_are_not_found_and_others_say_what_is_missing() {
    let mut w = World::new(Limits::default());
    for (kind, join, history) in [
        (Private, "room_not_found", "room_not_found"),
        (InviteOnly, "forbidden", "not_a_member"),
        (Public, "", "not_a_member"),
    ] {
        let room = w.room(kind, &[]);
        let page = json!({"op": "history", "room": room.to_string()});
        assert_eq!(w.code(2, page), history);
        let command = w.keyed("join", room, json!({}));
        if join.is_empty() {
            assert_eq!(w.run(2, command)["ev"], "ok");
        } else {
            assert_eq!(w.code(2, command), join);
        }
    }
    let nowhere = json!({"op": "history", "room": user(9).to_string()});
    assert_eq!(w.code(2, nowhere), "room_not_found");
}

#[test]
fn a_retry_of_a_metadata_command_gets_the_first_answer() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2]);
    let kick = w.keyed("kick", room, json!({"user": user(2).to_string()}));
    let first = w.run(1, kick.clone());
    assert_eq!(w.run(1, kick.clone())["seq"], first["seq"]);
    let mut other = kick.clone();
    other["reason"] = "another".into();
    assert_eq!(w.code(1, other), "idempotency_conflict");
    w.crash();
    assert_eq!(w.run(1, kick)["seq"], first["seq"]);
    let create = json!({"op": "create", "key": w.key(), "name": "twice"});
    let created = w.run(1, create.clone());
    assert_eq!(w.run(1, create.clone())["room"], created["room"]);
    w.crash();
    assert_eq!(w.run(1, create)["room"], created["room"]);
}

#[test]
fn a_new_member_starts_with_nothing_unread() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[]);
    w.send(1, room, "before");
    let join = w.keyed("join", room, json!({}));
    let ok = w.run(3, join.clone());
    assert_eq!((ok["ev"].as_str(), ok["seq"].as_u64()), (Some("ok"), Some(3)));
    assert_eq!(w.run(3, join)["seq"], 3);
    let again = w.keyed("join", room, json!({}));
    assert_eq!(w.run(3, again)["ev"], "ok", "a member may ask again");
    let subscribed = w.subscribe(3, room, None);
    assert_eq!((subscribed["unread"].as_u64(), subscribed["members"].as_u64()), (Some(0), Some(2)));
    assert_eq!(seqs(&w.history(3, room, json!({}))), [2], "what was said before can be read all the same");
}

#[test]
fn an_unknown_outcome_freezes_metadata_until_it_is_known() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2]);
    w.store = Store::Unsure;
    let add = w.keyed("invite", room, json!({"user": user(3).to_string()}));
    let re = w.post(1, add);
    w.settle();
    let kick = w.keyed("kick", room, json!({"user": user(2).to_string()}));
    let behind = w.post(1, kick);
    assert_eq!((w.answer(1, re), w.answer(1, behind)), (None, None));
    assert_eq!(w.send(2, room, "sends go on")["seq"], 3);
    w.store = Store::Up;
    w.wait(1_100);
    w.settle();
    assert_eq!(w.answer(1, re).expect("answered")["seq"], 4);
    assert_eq!(w.answer(1, behind).expect("answered")["seq"], 5);
    assert_eq!(w.send(3, room, "in")["ev"], "ok");
}

#[test]
fn an_outcome_that_stays_unknown_is_told_after_a_while_and_repeated_on() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[]);
    w.store = Store::Silent;
    let add = w.keyed("invite", room, json!({"user": user(3).to_string()}));
    let re = w.post(1, add.clone());
    for _ in 0..12 {
        w.wait(1_000);
    }
    w.store = Store::Unsure;
    w.settle();
    for _ in 0..12 {
        w.wait(1_000);
        w.settle();
    }
    assert_eq!(w.answer(1, re).expect("answered")["code"], "unknown");
    w.store = Store::Up;
    w.wait(1_100);
    w.settle();
    let again = w.run(1, add);
    assert_eq!((again["ev"].as_str(), again["seq"].as_u64()), (Some("ok"), Some(2)));
}

#[test]
fn while_the_store_is_away_removals_hold_and_reach_it_first() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2, 3, 4]);
    w.subscribe(3, room, None);
    w.store = Store::Away;
    let join = w.keyed("join", room, json!({}));
    assert_eq!(w.code(5, join.clone()), "unavailable");
    let kick = w.keyed("kick", room, json!({"user": user(3).to_string()}));
    w.take_out();
    let held = w.run(1, kick.clone());
    assert_eq!((held["ev"].as_str(), held.get("seq")), (Some("ok"), None));
    let mute = w.keyed("mute", room, json!({"user": user(4).to_string()}));
    assert_eq!(w.run(1, mute)["ev"], "ok");
    assert_eq!(w.code(5, join.clone()), "unavailable");
    let send = w.send_command(room, "out");
    assert_eq!(w.code(3, send.clone()), "not_a_member");
    assert_eq!(w.code(4, send), "muted");
    w.take_out();
    assert_eq!(w.send(2, room, "not for the removed")["ev"], "ok");
    let posted = w.take_out();
    assert!(posted.iter().any(|(to, mail)| *to == ShardId(1)
        && matches!(mail, Mail::Skip { removes, .. } if removes.contains(&user(3)))));
    assert!(!posted.iter().any(|(to, mail)| *to == ShardId(1) && matches!(mail, Mail::Event { .. })));
    w.store = Store::Up;
    assert_eq!(w.run(1, kick.clone())["ev"], "ok", "it is repeated by the owner, not twice");
    let mut other = kick.clone();
    other["reason"] = "another".into();
    assert_eq!(w.code(1, other), "idempotency_conflict");
    w.wait(1_100);
    w.settle();
    let page = w.history(2, room, json!({"all": true, "limit": 2}));
    assert_eq!(listed(&page).iter().map(|(_, ev)| ev.as_str()).collect::<Vec<_>>(), ["muted", "kicked"]);
    assert_eq!(w.run(1, kick)["ev"], "ok");
    assert_eq!(w.run(5, join)["ev"], "ok");
    let before = w.picture(room);
    w.crash();
    w.history(2, room, json!({"limit": 1}));
    assert_eq!(w.picture(room), before);
}

#[test]
fn one_connection_s_commands_keep_their_order_across_the_store() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[]);
    let join = w.keyed("join", room, json!({}));
    let send = w.send_command(room, "right behind");
    let (first, second) = (w.post(2, join), w.post(2, send));
    w.settle();
    assert_eq!(w.answer(2, first).expect("answered")["ev"], "ok");
    assert_eq!(w.answer(2, second).expect("answered")["ev"], "ok");
}

#[test]
fn metadata_commands_queue_up_to_a_limit() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[]);
    w.store = Store::Silent;
    let answers: Vec<_> = (2..22u8)
        .map(|i| {
            let join = w.keyed("join", room, json!({}));
            (i, w.post(i, join))
        })
        .collect();
    w.store = Store::Up;
    w.settle();
    let codes: Vec<_> = answers.iter().map(|(i, re)| w.answer(*i, *re).expect("answered")).collect();
    assert_eq!(codes.iter().filter(|answer| answer["ev"] == "ok").count(), 17);
    assert_eq!(codes.iter().filter(|answer| answer["code"] == "busy").count(), 3);
}

#[test]
fn an_event_that_the_journal_does_not_take_is_journaled_when_it_does() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2]);
    let kick = w.keyed("kick", room, json!({"user": user(2).to_string()}));
    let re = w.post(1, kick);
    w.journal_is(JournalState::Full);
    w.settle();
    assert_eq!(w.answer(1, re), None);
    let send = w.send_command(room, "out");
    assert_eq!(w.code(2, send), "not_a_member", "it holds already");
    w.journal_is(JournalState::Open);
    w.wait(1_100);
    w.settle();
    assert_eq!(w.answer(1, re).expect("answered")["seq"], 3);
}

#[test]
fn a_name_is_taken_once_and_a_pin_needs_a_message() {
    let mut w = World::new(Limits { room_window_events_max: 4, resume_events_max: 4, ..Limits::default() });
    let create = |w: &mut World, name: &str| {
        let key = w.key();
        w.run(1, json!({"op": "create", "key": key, "name": name}))
    };
    assert_eq!(create(&mut w, "Café")["ev"], "ok");
    assert_eq!(create(&mut w, "café")["code"], "name_taken");
    assert_eq!(create(&mut w, " ")["code"], "invalid_field");
    let room = w.room(Public, &[2]);
    w.send(2, room, "pin me");
    for _ in 0..10 {
        w.send(2, room, "x");
    }
    for (seq, expected) in [(3, "ok"), (3, "conflict"), (1, "message_not_found"), (99, "message_not_found")] {
        let pin = w.keyed("pin", room, json!({"seq": seq}));
        let answer = w.run(1, pin);
        assert!(answer["ev"] == expected || answer["code"] == expected, "{answer}");
    }
}

#[test]
fn a_repeated_unblock_does_not_lift_a_later_block() {
    let mut w = World::new(Limits::default());
    let room = w.friends(1, 2);
    let change = |w: &mut World, op: &str| json!({"op": op, "key": w.key(), "user": user(2).to_string()});
    let (unblock, block) = (change(&mut w, "unblock"), change(&mut w, "block"));
    for command in [&unblock, &block, &unblock] {
        assert_eq!(w.run(1, command.clone())["ev"], "ok");
    }
    let send = w.send_command(room, "kept apart");
    assert_eq!(w.code(2, send), "blocked");
}

#[test]
fn a_full_journal_holds_up_no_connection() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2, 3, 4]);
    let kick = w.keyed("kick", room, json!({"user": user(2).to_string()}));
    let first = w.post(1, kick.clone());
    // It waits for the kick when the disk fills up.
    let leave = w.keyed("leave", room, json!({}));
    let queued = w.post(3, leave);
    w.journal_is(JournalState::Full);
    w.serve();
    assert_eq!((w.answer(1, first), w.answer(3, queued)), (None, None));
    let mute = w.keyed("mute", room, json!({"user": user(4).to_string()}));
    assert_eq!(w.code(4, mute), "storage_full");
    for _ in 0..12 {
        w.wait(1_000);
        w.settle();
    }
    assert_eq!(w.answer(1, first).expect("answered")["code"], "unknown");
    assert_eq!(w.answer(3, queued).expect("answered")["code"], "storage_full");
    assert_eq!(w.history(1, room, json!({"limit": 1}))["ev"], "history");
    w.journal_is(JournalState::Open);
    w.wait(1_100);
    w.settle();
    assert_eq!(w.run(1, kick.clone())["seq"], 5);
    let mut other = kick;
    other["reason"] = "another".into();
    assert_eq!(w.code(1, other), "idempotency_conflict", "its content is still known");
}

#[test]
fn a_retry_is_recognised_while_the_store_is_away() {
    let mut w = World::new(Limits { room_window_events_max: 2, resume_events_max: 2, ..Limits::default() });
    let room = w.room(Public, &[2, 3]);
    let kick = w.keyed("kick", room, json!({"user": user(2).to_string()}));
    let first = w.run(1, kick.clone());
    let join = w.keyed("join", room, json!({}));
    assert_eq!(w.run(2, join)["ev"], "ok");
    for in_memory in [true, false] {
        if !in_memory {
            for _ in 0..4 {
                w.send(3, room, "text");
            }
            w.drain();
            w.crash();
            w.history(2, room, json!({"limit": 1}));
            w.wait(60 * 60 * 1_000);
        }
        w.store = Store::RoomsAway;
        let mute = w.keyed("mute", room, json!({"user": user(3).to_string()}));
        assert_eq!(w.run(1, mute)["ev"], "ok");
        assert_eq!(w.run(1, kick.clone())["seq"], first["seq"], "in memory {in_memory}");
        assert_eq!(w.send(2, room, "still here")["ev"], "ok");
        w.store = Store::Up;
        w.wait(1_100);
        w.settle();
        let unmute = w.keyed("unmute", room, json!({"user": user(3).to_string()}));
        assert_eq!(w.run(1, unmute)["ev"], "ok");
    }
}

#[test]
fn a_removal_that_comes_to_nothing_is_undone_in_memory() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2, 3]);
    w.send(3, room, "read this");
    w.run(2, json!({"op": "read", "room": room.to_string(), "seq": 4}));
    let before = w.picture(room);
    let kick = w.keyed("kick", room, json!({"user": user(2).to_string()}));
    w.store = Store::Away;
    assert_eq!(w.run(1, kick.clone())["ev"], "ok");
    let mute = w.keyed("mute", room, json!({"user": user(3).to_string()}));
    assert_eq!(w.run(1, mute)["ev"], "ok");
    // The key was used for something else, which the server has forgotten.
    let key = Key::parse(kick["key"].as_str().expect("a key")).expect("an id");
    let change = MetaChange::Block { by: user(1), user: user(9), on: false };
    let other = MetaTransaction { room, actor: user(1), key, content_hash: 1, wall: w.now.wall, change };
    ready(w.rooms.apply(&other)).expect("memory takes it");
    let send = w.send_command(room, "out");
    assert_eq!(w.code(2, send), "not_a_member");
    w.store = Store::Up;
    for _ in 0..3 {
        w.wait(1_100);
        w.settle();
    }
    let after = w.picture(room);
    assert!(before.iter().skip(1).all(|line| after.contains(line)), "{before:?} {after:?}");
    assert_eq!(w.send(2, room, "here again")["ev"], "ok");
    let send = w.send_command(room, "muted all the same");
    assert_eq!(w.code(3, send), "muted");
}

#[test]
fn the_key_of_a_metadata_command_keeps_its_content_over_a_reload() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2]);
    let settings = w.keyed("settings", room, json!({"slow_mode_seconds": 1}));
    let first = w.run(1, settings.clone());
    let mut other = settings.clone();
    other["slow_mode_seconds"] = 2.into();
    for drained in [false, true] {
        if drained {
            w.drain_old();
            w.drain();
        }
        w.crash();
        assert_eq!(w.code(1, other.clone()), "idempotency_conflict", "drained {drained}");
        assert_eq!(w.run(1, settings.clone())["seq"], first["seq"], "drained {drained}");
    }
}

#[test]
fn keys_that_lead_nowhere_hold_up_nobody_s_metadata() {
    let mut w = World::new(Limits { room_window_events_max: 2, resume_events_max: 2, ..Limits::default() });
    let room = w.room(Public, &[2, 3]);
    w.drain();
    w.crash();
    w.history(1, room, json!({"limit": 1}));
    w.wait(2 * 60_000);
    w.store = Store::Silent;
    // A stranger with a key that only the store can know.
    let stranger = json!({
        "op": "kick", "room": room.to_string(), "key": user(77).to_string(), "user": user(2).to_string()
    });
    let (strange, owner) = (w.post(9, stranger), w.keyed("kick", room, json!({"user": user(2).to_string()})));
    let re = w.post(1, owner);
    let asks = w.requests.iter().filter(|(_, request)| matches!(request, StoreRequest::Apply(_)));
    assert_eq!(asks.count(), 1, "it is at the store already");
    w.store = Store::Up;
    w.settle();
    assert_eq!(w.answer(1, re).expect("answered")["ev"], "ok");
    assert_eq!(w.answer(9, strange).expect("answered")["code"], "not_a_member");
}

#[test]
fn a_removal_held_while_the_store_was_away_survives_a_crash() {
    for drained in [false, true] {
        let mut w = World::new(Limits::default());
        let room = w.room(Public, &[2, 3]);
        w.store = Store::RoomsAway;
        let ban = w.keyed("ban", room, json!({"user": user(2).to_string()}));
        let re = w.post(1, ban.clone());
        w.serve();
        assert_eq!(w.answer(1, re), None, "nothing is promised before it is synced");
        w.commit();
        assert_eq!(w.answer(1, re).expect("answered")["ev"], "ok");
        if drained {
            w.drain();
        }
        w.crash();
        w.store = Store::Up;
        // The store learns it first, whatever is asked.
        let join = w.keyed("join", room, json!({}));
        assert_eq!(w.code(2, join), "banned", "drained {drained}");
        let page = w.history(3, room, json!({"all": true, "limit": 1}));
        assert_eq!(listed(&page), [(4, "banned".to_owned())]);
        assert_eq!(w.run(1, ban)["seq"], 4);
        // It is done once.
        let unban = w.keyed("unban", room, json!({"user": user(2).to_string()}));
        assert_eq!(w.run(1, unban)["ev"], "ok");
        for _ in 0..2 {
            w.drain_old();
            w.drain();
            w.crash();
            let page = w.history(3, room, json!({"all": true, "limit": 1}));
            assert_eq!(listed(&page), [(5, "unbanned".to_owned())]);
        }
    }
}

#[test]
fn a_removal_that_the_store_does_not_answer_holds_after_a_while() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2]);
    w.store = Store::Silent;
    let kick = w.keyed("kick", room, json!({"user": user(2).to_string()}));
    let re = w.post(1, kick.clone());
    let behind = w.keyed("settings", room, json!({"slow_mode_seconds": 1}));
    let second = w.post(1, behind);
    // Something must wake the room.
    for _ in 0..12 {
        w.wait(1_000);
        w.commit();
    }
    assert_eq!(w.answer(1, re).expect("answered")["ev"], "ok");
    assert!(w.answer(1, second).is_some());
    let send = w.send_command(room, "out");
    assert_eq!(w.code(2, send), "not_a_member");
    w.store = Store::Up;
    w.settle();
    assert_eq!(w.run(1, kick)["seq"], 3);
}

#[test]
fn a_block_keeps_invitations_out_and_a_user_has_a_number_of_blocks() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[]);
    let block = |w: &mut World, i: u8, of: u8, op: &str| {
        let key = w.key();
        w.run(i, json!({"op": op, "user": user(of).to_string(), "key": key}))
    };
    let invite = |w: &mut World| {
        let command = w.keyed("invite", room, json!({"user": user(2).to_string()}));
        w.run(1, command)
    };
    for (by, of) in [(1, 2), (2, 1)] {
        assert_eq!(block(&mut w, by, of, "block")["ev"], "ok");
        assert_eq!(invite(&mut w)["code"], "blocked");
        assert_eq!(block(&mut w, by, of, "unblock")["ev"], "ok");
    }
    assert_eq!(invite(&mut w)["ev"], "ok");
    for number in 0..10_000u32 {
        let mut id = [0xee; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let change = MetaChange::Block { by: user(1), user: UserId(id), on: true };
        let (room, actor) = (RoomId(id), user(1));
        let (key, wall) = (Key::NIL, Millis(1));
        let tx = MetaTransaction { room, actor, key, content_hash: 0, wall, change };
        ready(RoomStore::apply(&mut w.rooms, &tx)).expect("memory takes it");
    }
    assert_eq!(block(&mut w, 1, 3, "block")["code"], "limit_reached");
    assert_eq!(block(&mut w, 2, 3, "block")["ev"], "ok");
}

#[test]
fn bans_and_pins_have_a_number_and_ended_bans_are_forgotten() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2]);
    let sent = w.send(2, room, "pin me");
    let ban = |w: &mut World, i: u8, seconds: Option<u64>| {
        let mut fields = json!({"user": user(i).to_string()});
        if let Some(seconds) = seconds {
            fields["seconds"] = seconds.into();
        }
        let command = w.keyed("ban", room, fields);
        w.run(1, command)
    };
    assert_eq!(ban(&mut w, 9, Some(1))["ev"], "ok");
    w.wait(1_100);
    let fill = |w: &mut World, until: u64| {
        w.with(|owner, _| {
            let Some(Place::Here(room)) = owner.rooms.get_mut(&room) else { panic!("loaded") };
            for number in 0..10_000u32 {
                let mut id = [0xee; 16];
                id[..4].copy_from_slice(&number.to_be_bytes());
                room.bans.insert(UserId(id), Millis(until));
            }
            room.pins = (100..1_100).map(Seq).collect();
        });
    };
    fill(&mut w, 0);
    assert_eq!(ban(&mut w, 3, None)["code"], "limit_reached");
    let pin = w.keyed("pin", room, json!({"seq": sent["seq"]}));
    assert_eq!(w.code(1, pin), "limit_reached");
    fill(&mut w, 1);
    assert_eq!(ban(&mut w, 3, None)["ev"], "ok");
    assert_eq!(w.loaded(room).expect("loaded").bans.len(), 1, "what ended is forgotten");
    w.crash();
    w.history(2, room, json!({}));
    assert_eq!(w.loaded(room).expect("loaded").bans.len(), 1, "also when the room is loaded");
}

#[test]
fn a_large_room_counts_as_several_in_memory() {
    let mut w = World::new(Limits { rooms_loaded_per_shard_max: 16, ..Limits::default() });
    let others: Vec<u8> = (2..=200).collect();
    let room = w.room(Public, &others);
    w.drain();
    assert_eq!(w.owner.loaded_count, 1);
    assert!(w.evict(room));
    assert_eq!(w.owner.loaded_count, 0);
    w.history(2, room, json!({}));
    assert_eq!(w.owner.loaded_count, 1 + 200 / 64);
    assert!(w.evict(room));
    assert_eq!(w.owner.loaded_count, 0);
}

/// What the users' shards are to tell, oldest first: user, frame.
fn notices(w: &mut World) -> Vec<(UserId, Value)> {
    let mail = std::mem::take(&mut w.out).into_iter();
    let notice = |(_, mail)| match mail {
        Mail::Notice { user, frame, .. } => Some((user, value(&frame))),
        _ => None,
    };
    mail.filter_map(notice).collect()
}

#[test]
fn users_are_told_of_rooms_that_become_theirs_or_are_no_longer_once_that_is_committed() {
    let mut w = World::new(Limits::default());
    let room = w.room(Private, &[]);
    notices(&mut w);
    let invite = w.keyed("invite", room, json!({"user": user(2).to_string()}));
    w.post(1, invite);
    w.serve();
    assert_eq!(notices(&mut w), [], "nothing is told that a crash could take back");
    w.settle();
    let added = notices(&mut w);
    let [(told, added)] = &added[..] else { panic!("{added:?}") };
    assert_eq!(*told, user(2));
    assert_eq!(
        (&added["ev"], &added["kind"], &added["role"]),
        (&json!("added"), &json!("private"), &json!("member"))
    );
    let kick = w.keyed("kick", room, json!({"user": user(2).to_string()}));
    w.run(1, kick);
    let removed = notices(&mut w);
    let [(told, removed)] = &removed[..] else { panic!("{removed:?}") };
    assert_eq!((*told, &removed["ev"]), (user(2), &json!("removed")));
    assert!(removed["version"].as_u64() > added["version"].as_u64(), "the newer one holds");
}

#[test]
fn who_is_muted_and_then_removed_while_the_store_is_away_is_told_that_the_room_is_gone() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2]);
    w.store = Store::Away;
    for op in ["mute", "ban"] {
        let command = w.keyed(op, room, json!({"user": user(2).to_string()}));
        assert_eq!(w.run(1, command)["ev"], "ok", "{op}");
    }
    notices(&mut w);
    w.store = Store::Up;
    w.wait(1_100);
    w.settle();
    let told = notices(&mut w);
    let [(whom, removed)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((*whom, &removed["ev"]), (user(2), &json!("removed")));
}

#[test]
fn both_users_of_a_conversation_are_told_of_it() {
    let mut w = World::new(Limits::default());
    w.run(1, json!({"op": "direct", "user": user(2).to_string()}));
    let mut told: Vec<_> =
        notices(&mut w).into_iter().map(|(user, frame)| (user, frame["peer"].clone())).collect();
    told.sort_by_key(|(user, _)| *user);
    assert_eq!(told, [(user(1), json!(user(2).to_string())), (user(2), json!(user(1).to_string()))]);
}

#[test]
fn members_come_with_their_positions_but_not_in_a_crowd() {
    let mut w = World::new(Limits { presence_room_members_max: 2, ..Limits::default() });
    let room = w.room(Public, &[2]);
    let seq = w.send(1, room, "read me")["seq"].as_u64().expect("a seq");
    w.run(2, json!({"op": "delivered", "room": room.to_string(), "seq": seq}));
    w.run(2, json!({"op": "read", "room": room.to_string(), "seq": seq}));
    w.wait(1_100);
    notices(&mut w);
    w.run(2, json!({"op": "mark_unread", "room": room.to_string(), "seq": seq}));
    w.wait(1_100);
    let own = notices(&mut w);
    let [(_, own)] = &own[..] else { panic!("{own:?}") };
    assert_eq!((&own["seq"], &own["unread"], &own["marked"]), (&json!(seq - 1), &json!(1), &json!(true)));
    let members = json!({"op": "members", "room": room.to_string()});
    let list = w.run(1, members.clone());
    let second = &list["members"][1];
    assert_eq!((&second["read"], &second["delivered"]), (&json!(seq), &json!(seq)), "receipts never go back");
    let join = w.keyed("join", room, json!({}));
    w.run(3, join);
    assert_eq!(w.run(1, members)["members"][1].get("read"), None);
}

#[test]
fn a_stranger_who_is_banned_hears_nothing_of_it() {
    let mut w = World::new(Limits::default());
    let room = w.room(Private, &[]);
    notices(&mut w);
    let ban = w.keyed("ban", room, json!({"user": user(9).to_string()}));
    assert_eq!(w.run(1, ban)["ev"], "ok");
    assert_eq!(notices(&mut w), []);
}
