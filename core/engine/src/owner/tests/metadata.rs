use super::*;
use lynk_domain::RoomKind::{InviteOnly, Private, Public};

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
        (2, "settings", json!({"level": "replicated"}), "invalid_field"),
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
    assert_eq!(w.code(1, kick.clone()), "unavailable");
    let at_once = |(to, mail): &(ShardId, Mail)| {
        *to == ShardId(1)
            && matches!(mail, Mail::Skip { removes, to, .. } if *removes == [user(3)] && *to == Seq(4))
    };
    assert!(w.out.iter().any(at_once), "nothing of the room is for the removed any more");
    let mute = w.keyed("mute", room, json!({"user": user(4).to_string()}));
    assert_eq!(w.code(1, mute), "unavailable");
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
    let again = w.run(1, kick.clone());
    assert_eq!(again["code"], "unavailable", "it is repeated by the owner, not twice");
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
        let change = lynk_model::MetaChange::Block { by: user(1), user: UserId(id), on: true };
        let (room, actor) = (RoomId(id), user(1));
        let (key, wall) = (Key::NIL, Millis(1));
        let tx = lynk_model::MetaTransaction { room, actor, key, content_hash: 0, wall, change };
        ready(lynk_model::port::RoomStore::apply(&mut w.rooms, &tx)).expect("memory takes it");
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
