//! Links that let people into a room.

use super::*;
use lynk_domain::RoomKind::{InviteOnly, Private, Public};

impl World {
    fn linked(&mut self, i: u8, op: &str, room: RoomId, fields: Value) -> Value {
        let command = self.keyed(op, room, fields);
        self.run(i, command)
    }

    /// A link of user 1: its name, and its code.
    fn link(&mut self, room: RoomId, fields: Value) -> (String, String) {
        let made = self.linked(1, "link", room, fields);
        let text = |name: &str| made[name].as_str().unwrap_or_else(|| panic!("{name}: {made}")).to_owned();
        (text("link"), text("code"))
    }

    /// Joins by a code, which says the room.
    fn enter(&mut self, i: u8, code: &str) -> Value {
        let key = self.key();
        self.run(i, json!({"op": "join", "code": code, "key": key}))
    }

    fn links_of(&mut self, i: u8, room: RoomId) -> Value {
        self.run(i, json!({"op": "links", "room": room.to_string()}))
    }
}

#[test]
fn a_link_lets_as_many_into_a_hidden_room_as_it_says() {
    for kind in [Public, Private, InviteOnly] {
        let mut w = World::new(Limits::default());
        let room = w.room(kind, &[2]);
        let (name, code) = w.link(room, json!({"uses": 2}));
        assert_eq!(code.len(), 64);
        let look = w.run(3, json!({"op": "look", "code": code}));
        assert_eq!(
            (&look["ev"], &look["members"], &look["member"]),
            (&json!("look"), &json!(2), &json!(false))
        );
        assert_eq!((&look["room"], &look["kind"]), (&json!(room.to_string()), &json!(kind.name())));
        let key = w.key();
        let join = json!({"op": "join", "code": code, "key": key});
        let joined = w.run(3, join.clone());
        assert_eq!(joined["ev"], "ok", "{joined}");
        assert_eq!(w.run(3, join)["seq"], joined["seq"], "a retry gets the first answer");
        assert_eq!(w.enter(3, &code)["ev"], "ok", "who is a member is not counted");
        let listed = w.links_of(1, room);
        let link = &listed["links"][0];
        assert_eq!((&link["link"], &link["uses"], &link["max_uses"]), (&json!(name), &json!(1), &json!(2)));
        assert_eq!((&link["by"], link.get("code")), (&json!(user(1).to_string()), None));
        assert_eq!(w.enter(4, &code)["ev"], "ok");
        assert_eq!(w.enter(5, &code)["code"], "invalid_code");
        assert_eq!(w.links_of(1, room)["links"], json!([]));
        w.drain();
        w.crash();
        assert_eq!(w.enter(5, &code)["code"], "invalid_code", "{}", kind.name());
        assert!(w.loaded(room).expect("loaded").members.contains_key(&user(4)));
    }
}

#[test]
fn a_link_that_is_over_ended_or_of_a_deleted_room_is_told_as_one_that_never_was() {
    let mut w = World::new(Limits::default());
    let room = w.room(Private, &[2]);
    let (_, brief) = w.link(room, json!({"seconds": 10}));
    let (name, ended) = w.link(room, json!({}));
    let (_, last) = w.link(room, json!({}));
    let never = format!("{}{}", &last[..32], "5".repeat(32));
    let nowhere = "7".repeat(64);
    assert_eq!(w.linked(1, "unlink", room, json!({"link": name}))["ev"], "ok");
    assert_eq!(w.linked(1, "unlink", room, json!({"link": name}))["code"], "conflict");
    w.now.wall = Millis(w.now.wall.0 + 10_000);
    let mut refused = Vec::new();
    for code in [&brief, &ended, &never, &nowhere, &"x".repeat(64)] {
        if code.starts_with('x') {
            let text = json!({"id": 1, "op": "join", "key": w.key(), "code": code}).to_string();
            assert_eq!(
                decode(&text).command.expect_err("no code").code,
                lynk_protocol::ErrorCode::InvalidCode
            );
            continue;
        }
        let answers = [w.enter(3, code), w.run(3, json!({"op": "look", "code": code}))];
        refused.extend(answers.iter().map(|answer| (answer["code"].clone(), answer["message"].clone())));
    }
    assert_eq!(refused[0].0, "invalid_code");
    assert!(refused.iter().all(|one| *one == refused[0]), "{refused:?}");
    assert_eq!(w.linked(1, "delete_room", room, json!({}))["ev"], "ok");
    assert_eq!(w.enter(3, &last)["code"], "invalid_code");
}

#[test]
fn links_are_for_moderators_and_let_nobody_in_who_is_banned_or_for_whom_there_is_no_place() {
    let mut w = World::new(Limits::default());
    let room = w.room(Private, &[2, 3]);
    assert_eq!(w.linked(2, "link", room, json!({}))["code"], "forbidden");
    assert_eq!(w.links_of(2, room)["code"], "forbidden");
    assert_eq!(w.linked(9, "link", room, json!({}))["code"], "room_not_found");
    for bad in [json!({"seconds": 0}), json!({"seconds": 366 * 86_400 + 1}), json!({"uses": 0})] {
        assert_eq!(w.linked(1, "link", room, bad)["code"], "invalid_field");
    }
    let (name, code) = w.link(room, json!({}));
    assert_eq!(w.linked(2, "unlink", room, json!({"link": name}))["code"], "forbidden");
    assert_eq!(w.linked(1, "ban", room, json!({"user": user(3).to_string()}))["ev"], "ok");
    assert_eq!(w.enter(3, &code)["code"], "banned");
    assert_eq!(w.run(3, json!({"op": "look", "code": code}))["code"], "banned");
    assert_eq!(w.linked(1, "settings", room, json!({"max_members": 2}))["ev"], "ok");
    assert_eq!(w.enter(4, &code)["code"], "limit_reached");
    assert_eq!(w.links_of(1, room)["links"][0]["uses"], 0, "what was refused is not counted");
    assert_eq!(w.linked(1, "settings", room, json!({"max_members": 0}))["ev"], "ok");
    assert_eq!(w.enter(4, &code)["ev"], "ok");
    for _ in 1..64 {
        w.link(room, json!({}));
    }
    assert_eq!(w.linked(1, "link", room, json!({}))["code"], "limit_reached");
}

#[test]
fn a_repeated_command_has_the_same_code_until_its_link_is_ended() {
    let mut w = World::new(Limits::default());
    let room = w.room(Private, &[2]);
    let make = w.keyed("link", room, json!({"uses": 1}));
    w.store = Store::Unsure;
    w.post(1, make.clone());
    w.settle();
    w.store = Store::Up;
    w.drain();
    w.crash();
    let made = w.run(1, make.clone());
    assert_eq!(made["ev"], "ok", "{made}");
    let code = made["code"].as_str().expect("a code").to_owned();
    assert_eq!(w.run(1, make.clone())["code"], json!(code));
    assert_eq!(w.links_of(1, room)["links"].as_array().map(Vec::len), Some(1));
    let mut other = make.clone();
    other["uses"] = 2.into();
    assert_eq!(w.run(1, other)["code"], "idempotency_conflict");
    assert_eq!(w.enter(3, &code)["ev"], "ok");
    let end = w.linked(1, "unlink", room, json!({"link": made["link"]}));
    assert_eq!(end["ev"], "ok", "one that is used up may be ended: {end}");
    assert_eq!(w.run(1, make)["code"], "conflict");
}

#[test]
fn a_repeated_command_has_the_same_code_also_when_it_could_not_be_given_any_more() {
    let mut w = World::new(Limits::default());
    let room = w.room(Private, &[2]);
    let role = |role: &str| json!({"user": user(2).to_string(), "role": role});
    assert_eq!(w.linked(1, "role", room, role("moderator"))["ev"], "ok");
    let make = w.keyed("link", room, json!({"uses": 2}));
    let made = w.run(2, make.clone());
    assert_eq!(made["ev"], "ok", "{made}");
    assert_eq!(w.linked(1, "role", room, role("member"))["ev"], "ok");
    // Only the store knows of the key now.
    w.crash();
    let again = w.run(2, make.clone());
    let told = |one: &Value| (one["ev"].clone(), one["link"].clone(), one["code"].clone());
    assert_eq!(told(&again), told(&made), "{again}");
    let mut other = make.clone();
    other["uses"] = 1.into();
    assert_eq!(w.run(2, other)["code"], "idempotency_conflict");
    let end = w.linked(1, "unlink", room, json!({"link": made["link"]}));
    assert_eq!(end["ev"], "ok", "{end}");
    assert_eq!(w.run(2, make)["code"], "conflict");
}
