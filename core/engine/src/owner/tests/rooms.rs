//! What a room is: its settings, its size, its lists, its end.

use super::*;
use crate::mail::Removes;
use lynk_domain::MediaId;
use lynk_domain::RoomKind::{InviteOnly, Private, Public};

fn target(i: u8) -> Value {
    json!({"user": user(i).to_string()})
}

impl World {
    /// A keyed command that must succeed.
    fn done(&mut self, i: u8, op: &str, room: RoomId, fields: Value) -> Value {
        let command = self.keyed(op, room, fields);
        let answer = self.run(i, command);
        assert_eq!(answer["ev"], "ok", "{i} {op}: {answer}");
        answer
    }

    /// A keyed command that must be refused.
    fn refused(&mut self, i: u8, op: &str, room: RoomId, fields: Value) -> Value {
        let command = self.keyed(op, room, fields);
        let answer = self.run(i, command);
        assert_eq!(answer["ev"], "error", "{i} {op}: {answer}");
        answer
    }

    fn look(&mut self, i: u8, op: &str, room: RoomId) -> Value {
        self.run(i, json!({"op": op, "room": room.to_string()}))
    }

    /// The last event of a room as its window has it.
    fn last_event(&self, room: RoomId) -> Value {
        let room = self.loaded(room).expect("loaded");
        value(&room.window.iter().last().expect("an event").frame)
    }
}

#[test]
fn settings_change_one_by_one_and_every_event_tells_all_of_them() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2]);
    let picture = user(0xaa).to_string();
    w.files.put_picture(room, user(1), MediaId([0xaa; 16]), true);
    w.done(1, "settings", room, json!({"description": "two\nlines", "slow_mode_seconds": 7}));
    w.done(1, "settings", room, json!({"avatar": picture, "read_only": true}));
    w.done(1, "settings", room, json!({"max_members": 5, "kind": "invite_only"}));
    let event = w.last_event(room);
    for (field, expected) in [
        ("ev", json!("settings")),
        ("description", json!("two\nlines")),
        ("avatar", json!(picture)),
        ("read_only", json!(true)),
        ("max_members", json!(5)),
        ("kind", json!("invite_only")),
        ("slow_mode_seconds", json!(7)),
    ] {
        assert_eq!(event[field], expected, "{field}");
    }
    w.done(1, "settings", room, json!({"avatar": null, "description": ""}));
    let event = w.last_event(room);
    assert_eq!((&event["avatar"], &event["description"]), (&Value::Null, &json!("")));
    assert_eq!((&event["read_only"], &event["max_members"]), (&json!(true), &json!(5)));
    let about = w.look(2, "about", room);
    for field in ["kind", "description", "avatar", "read_only", "max_members", "slow_mode_seconds", "version"]
    {
        assert_eq!(about[field], event[field], "{field}");
    }
    assert_eq!((&about["members"], &about["role"]), (&json!(2), &json!("member")));
    w.drain();
    w.crash();
    let again = w.look(2, "about", room);
    for field in ["kind", "description", "avatar", "read_only", "max_members", "version"] {
        assert_eq!(again[field], about[field], "{field} is kept");
    }
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let mut w = World::new(Limits { room_members_max: 50, ..Limits::default() });
    let room = w.room(Public, &[2, 3]);
    for (fields, code, says) in [
        (json!({"description": "x".repeat(501)}), "too_large", ""),
        (json!({"description": "bell\u{7}"}), "invalid_field", "control characters"),
        (json!({"max_members": 2}), "invalid_field", "below the number of members"),
        (json!({"max_members": 51}), "invalid_field", "above the server's limit"),
    ] {
        let answer = w.refused(1, "settings", room, fields.clone());
        assert_eq!(answer["code"], code, "{fields}");
        assert!(answer["message"].as_str().is_some_and(|text| text.contains(says)), "{answer}");
    }
    w.done(1, "settings", room, json!({"description": "ü".repeat(500), "max_members": 3}));
    w.done(1, "settings", room, json!({"max_members": 0}));
    let key = w.key();
    let create = json!({"op": "create", "key": key, "name": "n", "max_members": 51});
    assert_eq!(w.code(1, create), "invalid_field");
}

#[test]
fn a_room_is_made_with_its_settings() {
    let mut w = World::new(Limits::default());
    let key = w.key();
    let create = json!({
        "op": "create", "key": key, "name": "board", "kind": "private", "description": "news",
        "max_members": 2, "read_only": true,
    });
    let made = w.run(1, create.clone());
    let room = RoomId::parse(made["room"].as_str().expect("a room")).expect("an id");
    let about = w.look(1, "about", room);
    assert_eq!((&about["description"], &about["max_members"]), (&json!("news"), &json!(2)));
    assert_eq!((&about["read_only"], &about["kind"]), (&json!(true), &json!("private")));
    assert_eq!(w.run(1, create.clone())["room"], made["room"]);
    let mut other = create;
    other["description"] = "other news".into();
    assert_eq!(w.code(1, other), "idempotency_conflict");
}

#[test]
fn a_full_room_takes_nobody_in_until_somebody_left() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2]);
    w.done(1, "settings", room, json!({"max_members": 3}));
    w.done(3, "join", room, json!({}));
    assert_eq!(w.refused(4, "join", room, json!({}))["code"], "limit_reached");
    assert_eq!(w.refused(2, "invite", room, target(4))["code"], "limit_reached");
    w.done(3, "leave", room, json!({}));
    w.done(4, "join", room, json!({}));
}

#[test]
fn only_moderators_and_above_post_in_a_read_only_room() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2, 3]);
    w.done(1, "role", room, json!({"user": user(3).to_string(), "role": "moderator"}));
    let said = w.send(2, room, "before")["seq"].clone();
    w.done(1, "settings", room, json!({"read_only": true}));
    let refused = w.send(2, room, "after");
    assert_eq!(refused["code"], "forbidden");
    assert!(refused["message"].as_str().is_some_and(|text| text.contains("read-only")), "{refused}");
    for (op, fields) in
        [("edit", json!({"seq": said, "text": "changed"})), ("react", json!({"seq": said, "emoji": "x"}))]
    {
        assert_eq!(w.refused(2, op, room, fields)["code"], "forbidden", "{op}");
    }
    w.done(2, "delete", room, json!({"seq": said}));
    assert_eq!(w.send(3, room, "a notice")["ev"], "ok");
    assert_eq!(w.send(1, room, "a notice")["ev"], "ok");
    w.done(1, "settings", room, json!({"read_only": false}));
    assert_eq!(w.send(2, room, "again")["ev"], "ok");
}

#[test]
fn a_room_that_becomes_private_is_hidden_and_its_name_free_for_it_only() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2]);
    w.done(1, "settings", room, json!({"name": "agora"}));
    assert_eq!(w.look(9, "about", room)["name"], "agora", "everybody may look at a public room");
    w.done(1, "settings", room, json!({"kind": "private"}));
    assert_eq!(w.look(9, "about", room)["code"], "room_not_found");
    assert_eq!(w.refused(9, "join", room, json!({}))["code"], "room_not_found");
    assert_eq!(w.refused(2, "invite", room, target(9))["code"], "forbidden", "members do not invite here");
    let other = w.room(Public, &[]);
    assert_eq!(w.refused(1, "settings", other, json!({"name": "Agora"}))["code"], "name_taken");
    w.done(1, "settings", room, json!({"kind": "invite_only"}));
    assert_eq!(w.look(9, "about", room)["code"], "not_a_member");
    w.done(1, "settings", room, json!({"kind": "public"}));
    w.done(9, "join", room, json!({}));
    let direct = w.run(1, json!({"op": "direct", "user": user(2).to_string()}));
    let direct = RoomId::parse(direct["room"].as_str().expect("a room")).expect("an id");
    assert_eq!(w.refused(1, "settings", direct, json!({"read_only": true}))["code"], "forbidden");
    assert_eq!(w.refused(1, "delete_room", direct, json!({}))["code"], "forbidden");
}

#[test]
fn a_deleted_room_says_so_once_and_then_is_not_found() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2, 3]);
    w.send(2, room, "a word");
    for i in [1, 2, 3] {
        w.subscribe(i, room, None);
    }
    for (i, code) in [(2, "forbidden"), (9, "not_a_member")] {
        assert_eq!(w.refused(i, "delete_room", room, json!({}))["code"], code);
    }
    w.take_out();
    let delete = w.keyed("delete_room", room, json!({}));
    let done = w.run(1, delete.clone());
    assert_eq!((&done["ev"], &done["seq"]), (&json!("ok"), &json!(5)));
    let out = w.take_out();
    let events: Vec<_> = out.iter().filter(|(_, mail)| matches!(mail, Mail::Event { .. })).collect();
    assert_eq!(events.len(), 2, "one for each shard with subscribers");
    for (_, mail) in events {
        let Mail::Event { frame, removes, .. } = mail else { continue };
        assert_eq!((value(frame)["ev"].clone(), *removes), (json!("deleted"), Removes::Everybody));
    }
    let mut told: Vec<UserId> = Vec::new();
    for (_, mail) in &out {
        if let Mail::Notices { users, frame, .. } = mail {
            assert_eq!(value(frame)["ev"], "removed");
            told.extend(users);
        }
    }
    told.sort();
    assert_eq!(told, [user(1), user(2), user(3)]);
    let check = |w: &mut World| {
        assert_eq!(w.send(1, room, "anybody?")["code"], "room_not_found");
        assert_eq!(w.history(2, room, json!({}))["code"], "room_not_found");
        assert_eq!(w.subscribe(2, room, Some(1))["code"], "room_not_found");
        assert_eq!(w.look(1, "about", room)["code"], "room_not_found");
        assert_eq!(w.refused(1, "invite", room, target(2))["code"], "room_not_found");
        assert_eq!(w.refused(2, "join", room, json!({}))["code"], "room_not_found");
        assert_eq!(w.run(1, delete.clone())["seq"], 5, "a retry is told the same");
    };
    check(&mut w);
    w.crash();
    check(&mut w);
    w.drain_old();
    w.drain();
    assert!(w.evict(room));
    check(&mut w);
}

#[test]
fn a_deletion_is_finished_after_a_crash_between_store_and_journal() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2]);
    w.store = Store::Unsure;
    let delete = w.keyed("delete_room", room, json!({}));
    w.post(1, delete.clone());
    w.serve();
    w.crash();
    w.store = Store::Up;
    assert_eq!(w.send(1, room, "anybody?")["code"], "room_not_found");
    assert_eq!(w.run(1, delete)["seq"], 3);
    assert_eq!(w.last_event(room)["ev"], "deleted");
}

#[test]
fn bans_and_mutes_are_listed_for_moderators_with_their_reasons() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2, 3, 4]);
    w.done(1, "role", room, json!({"user": user(3).to_string(), "role": "moderator"}));
    let ban = |i: u8, reason: &str| json!({"user": user(i).to_string(), "reason": reason, "seconds": 60});
    w.done(3, "ban", room, ban(2, "noise"));
    w.done(1, "ban", room, ban(7, ""));
    w.done(1, "mute", room, target(4));
    assert_eq!(w.look(4, "bans", room)["code"], "forbidden");
    assert_eq!(w.look(2, "bans", room)["code"], "banned");
    let page = w.look(3, "bans", room);
    let bans = page["bans"].as_array().expect("a list");
    assert_eq!((bans.len(), &page["more"]), (2, &json!(false)));
    assert_eq!((&bans[0]["user"], &bans[0]["reason"]), (&json!(user(2).to_string()), &json!("noise")));
    assert_eq!((&bans[0]["by"], &bans[1]["reason"]), (&json!(user(3).to_string()), &Value::Null));
    assert!(bans[0]["until"].is_string() && bans[0]["at"].is_string(), "{page}");
    let page = w.run(3, json!({"op": "bans", "room": room.to_string(), "limit": 1}));
    assert_eq!((&page["bans"][0]["user"], &page["more"]), (&json!(user(2).to_string()), &json!(true)));
    let after = user(2).to_string();
    let page = w.run(3, json!({"op": "bans", "room": room.to_string(), "limit": 1, "after": after}));
    assert_eq!((&page["bans"][0]["user"], &page["more"]), (&json!(user(7).to_string()), &json!(false)));
    w.wait(61_000);
    assert_eq!(w.look(1, "bans", room)["bans"], json!([]), "they have ended");
    let mutes = w.look(3, "mutes", room);
    assert_eq!(mutes["mutes"][0]["user"], user(4).to_string());
    assert_eq!(mutes["mutes"][0]["until"], Value::Null);
}

#[test]
fn a_list_is_for_who_may_see_it_when_it_comes() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2]);
    w.done(1, "role", room, json!({"user": user(2).to_string(), "role": "moderator"}));
    let asked = w.post(2, json!({"op": "bans", "room": room.to_string()}));
    let demote = w.keyed("role", room, json!({"user": user(2).to_string(), "role": "member"}));
    let role = w.post(1, demote);
    // The store answers the change first.
    w.serve_at(1);
    w.settle();
    assert_eq!(w.answer(1, role).expect("answered")["ev"], "ok");
    assert_eq!(w.answer(2, asked).expect("answered")["code"], "forbidden");
    w.store = Store::Away;
    assert_eq!(w.look(1, "bans", room)["code"], "unavailable");
    assert_eq!(w.look(1, "pins", room)["pins"], json!([]), "memory has these");
}

#[test]
fn pins_are_listed_newest_first_as_far_as_the_member_may_see() {
    let mut w = World::new(Limits::default());
    let room = w.room(InviteOnly, &[2]);
    let said: Vec<Value> = (0..3).map(|i| w.send(1, room, &format!("{i}"))["seq"].clone()).collect();
    w.done(1, "pin", room, json!({"seq": said[0]}));
    w.done(1, "invite", room, target(3));
    let late = w.send(1, room, "late")["seq"].clone();
    for seq in [&said[2], &late] {
        w.done(1, "pin", room, json!({"seq": seq}));
    }
    let pins = |w: &mut World, i| w.look(i, "pins", room)["pins"].clone();
    assert_eq!(pins(&mut w, 2), json!([{"seq": late}, {"seq": said[2]}, {"seq": said[0]}]));
    assert_eq!(pins(&mut w, 3), json!([{"seq": late}]), "what was before it came is not told");
    assert_eq!(w.look(9, "pins", room)["code"], "not_a_member");
    w.done(1, "pin", room, json!({"seq": late, "on": false}));
    assert_eq!(pins(&mut w, 3), json!([]));
    let private = w.room(Private, &[]);
    assert_eq!(w.look(9, "pins", private)["code"], "room_not_found");
}

#[test]
fn no_picture_is_taken_while_those_before_it_are_given_back() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2]);
    let id = |n: u8| MediaId([n; 16]);
    for n in [1, 2] {
        w.files.put_picture(room, user(1), id(n), true);
    }
    // The store does all but that.
    let serve = |w: &mut World| loop {
        w.commit();
        let other = w.requests.iter().position(|(_, one)| !matches!(one, StoreRequest::KeepPicture { .. }));
        match other {
            Some(at) => w.serve_at(at),
            None if w.pending.is_empty() => break,
            None => {}
        }
    };
    let ask = |w: &mut World, fields: Value| {
        let command = w.keyed("settings", room, fields);
        let re = w.post(1, command);
        serve(w);
        w.answer(1, re).expect("an answer")
    };
    let picture = |n: u8| json!({"avatar": id(n).to_string()});
    assert_eq!(ask(&mut w, picture(1))["ev"], "ok");
    assert_eq!(ask(&mut w, json!({"description": "news"}))["ev"], "ok");
    assert_eq!(w.requests.len(), 2, "both events ask for it");
    w.wait(1_100);
    assert_eq!(w.requests.len(), 2, "and are not repeated while that is under way");
    w.serve_at(1);
    serve(&mut w);
    assert_eq!(ask(&mut w, picture(2))["code"], "busy", "the first request would take it, too");
    w.settle();
    let second = w.keyed("settings", room, picture(2));
    assert_eq!(w.run(1, second)["ev"], "ok");
    assert_eq!((w.files.holds(id(1)), w.files.holds(id(2))), (false, true));
}

#[test]
fn a_room_takes_a_picture_of_whoever_changes_it_and_gives_back_the_one_before() {
    let mut w = World::new(Limits::default());
    let room = w.room(Public, &[2, 3]);
    let other = w.room(Public, &[2]);
    let id = |n: u8| MediaId([n; 16]);
    for (n, of, owner, ready) in
        [(1, room, 1, true), (2, room, 1, true), (3, room, 1, false), (4, room, 2, true), (5, other, 1, true)]
    {
        w.files.put_picture(of, user(owner), id(n), ready);
    }
    let admin = w.keyed("role", room, json!({"user": user(2).to_string(), "role": "admin"}));
    assert_eq!(w.run(1, admin)["ev"], "ok");
    let with = |w: &mut World, n: u8| w.keyed("settings", room, json!({"avatar": id(n).to_string()}));
    for (n, code) in [
        (3, "attachment_not_ready"),
        (4, "attachment_not_found"),
        (5, "attachment_not_found"),
        (9, "attachment_not_found"),
    ] {
        let command = with(&mut w, n);
        assert_eq!(w.code(1, command), code, "{n}");
    }
    let command = with(&mut w, 4);
    assert_eq!(w.code(3, command), "forbidden");
    let create =
        json!({"op": "create", "key": w.key(), "name": "with a picture", "avatar": id(1).to_string()});
    assert_eq!(w.code(1, create), "invalid_field", "it was uploaded for a room that is there");

    let first = with(&mut w, 1);
    assert_eq!(w.run(1, first.clone())["ev"], "ok");
    let of = |w: &mut World| w.look(3, "about", room)["avatar"].clone();
    assert_eq!(of(&mut w), json!(id(1).to_string()));
    let same = with(&mut w, 1);
    assert_eq!(w.run(2, same)["ev"], "ok", "the same again is nobody's upload but the room's");
    let second = with(&mut w, 4);
    assert_eq!(w.run(2, second)["ev"], "ok");
    assert_eq!(of(&mut w), json!(id(4).to_string()));
    assert_eq!((w.files.holds(id(1)), w.files.holds(id(2)), w.files.holds(id(4))), (false, true, true));
    assert_eq!(w.run(1, first)["ev"], "ok", "a retry is answered as its first try was");
    assert_eq!(of(&mut w), json!(id(4).to_string()), "and changes nothing");
    let gone = with(&mut w, 1);
    assert_eq!(w.code(1, gone), "attachment_not_found");

    // What is given back waits until somebody takes it; meanwhile there is no third.
    let none = w.keyed("settings", room, json!({"avatar": null}));
    w.files.set_away(true);
    assert_eq!(w.run(1, none)["ev"], "ok");
    let third = with(&mut w, 2);
    assert_eq!(w.code(1, third.clone()), "busy");
    w.drain();
    w.crash();
    w.drain_old();
    assert_eq!(of(&mut w), Value::Null);
    assert!(w.files.holds(id(4)), "nobody took it");
    w.files.set_away(false);
    for _ in 0..3 {
        w.wait(1_100);
        w.settle();
    }
    assert!(!w.files.holds(id(4)), "it was tried again by the next process");
    assert_eq!(w.run(1, third)["ev"], "ok");
    assert_eq!(of(&mut w), json!(id(2).to_string()));
    w.files.put_picture(room, user(1), id(6), true);
    let description = w.keyed("settings", room, json!({"description": "new"}));
    assert_eq!(w.run(1, description)["ev"], "ok");
    assert!(
        w.files.holds(id(2)) && w.files.holds(id(6)),
        "other settings leave the picture, and what is uploaded"
    );
}
