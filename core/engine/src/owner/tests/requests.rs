//! Requests to become a member.

use super::*;
use lynk_domain::RoomKind::{InviteOnly, Private, Public};

const DAY: u64 = 24 * 60 * 60 * 1_000;

impl World {
    fn asked(&mut self, i: u8, op: &str, room: RoomId, fields: Value) -> Value {
        let command = self.keyed(op, room, fields);
        self.run(i, command)
    }

    fn answered(&mut self, i: u8, op: &str, room: RoomId, whom: u8) -> Value {
        self.asked(i, op, room, json!({"user": user(whom).to_string()}))
    }

    fn requests_of(&mut self, i: u8, room: RoomId) -> Value {
        self.run(i, json!({"op": "requests", "room": room.to_string()}))
    }

    fn later(&mut self, millis: u64) {
        self.now.wall = Millis(self.now.wall.0 + millis);
    }

    /// Who was told what of requests and reports, since this was asked.
    pub(super) fn hints(&mut self) -> Vec<(UserId, Value)> {
        let hint = |(_, mail)| match mail {
            Mail::Hint { user, frame } => Some((user, value(&frame))),
            _ => None,
        };
        let mut told: Vec<_> = self.take_out().into_iter().filter_map(hint).collect();
        told.sort_by_key(|(user, _)| *user);
        told
    }
}

#[test]
fn who_asks_and_is_accepted_is_a_member_and_those_who_decide_are_told() {
    let mut w = World::new(Limits::default());
    let room = w.room(InviteOnly, &[2, 3]);
    let role = w.asked(1, "role", room, json!({"user": user(2).to_string(), "role": "moderator"}));
    assert_eq!(role["ev"], "ok", "{role}");
    w.hints();
    let ask = w.keyed("request_join", room, json!({"text": " I bake\nbread "}));
    assert_eq!(w.run(7, ask.clone())["ev"], "ok");
    let expected =
        json!({"ev": "join_request", "room": room.to_string(), "user": user(7).to_string(), "state": "open"});
    assert_eq!(w.hints(), [(user(1), expected.clone()), (user(2), expected)]);
    assert_eq!(w.run(7, ask.clone())["ev"], "ok", "a retry");
    w.drain();
    w.crash();
    assert_eq!(w.run(7, ask)["ev"], "ok", "a retry after a restart");
    assert_eq!(w.hints(), [], "nobody is told twice");
    assert_eq!(w.asked(7, "request_join", room, json!({}))["code"], "conflict");
    let listed = w.requests_of(2, room);
    let request = &listed["requests"][0];
    assert_eq!((&request["user"], &request["text"]), (&json!(user(7).to_string()), &json!("I bake\nbread")));
    assert_eq!((listed["requests"].as_array().map(Vec::len), &listed["more"]), (Some(1), &json!(false)));

    for (i, code) in [(3, "forbidden"), (8, "not_a_member")] {
        assert_eq!(w.requests_of(i, room)["code"], code);
        assert_eq!(w.answered(i, "accept_request", room, 7)["code"], code);
        assert_eq!(w.answered(i, "decline_request", room, 7)["code"], code);
    }
    let accept = w.keyed("accept_request", room, json!({"user": user(7).to_string()}));
    let accepted = w.run(2, accept.clone());
    assert!(accepted["seq"].as_u64().is_some(), "{accepted}");
    assert_eq!(w.run(2, accept)["seq"], accepted["seq"], "a retry gets the first answer");
    let page = w.history(7, room, json!({"all": true}));
    let joined = page["events"].as_array().and_then(|events| events.first()).cloned().unwrap_or_default();
    assert_eq!(
        (&joined["ev"], &joined["user"], &joined["from"]),
        (&json!("joined"), &json!(user(7).to_string()), &json!(user(2).to_string())),
        "{page}"
    );
    assert_eq!(w.requests_of(2, room)["requests"], json!([]));
    assert_eq!(w.answered(2, "accept_request", room, 7)["code"], "conflict");
    assert_eq!(w.asked(7, "request_join", room, json!({}))["code"], "conflict");
    w.drain();
    w.crash();
    assert_eq!(w.send(7, room, "hello")["ev"], "ok");
}

#[test]
fn who_is_declined_waits_seven_days_and_a_request_thirty() {
    let mut w = World::new(Limits::default());
    let room = w.room(InviteOnly, &[]);
    assert_eq!(w.asked(7, "request_join", room, json!({"text": "please"}))["ev"], "ok");
    w.hints();
    assert_eq!(w.answered(1, "decline_request", room, 7)["ev"], "ok");
    let told = w.hints();
    assert_eq!((told.len(), told[0].0, &told[0].1["state"]), (1, user(7), &json!("declined")));
    assert_eq!(w.answered(1, "decline_request", room, 7)["code"], "conflict");
    assert_eq!(w.answered(1, "accept_request", room, 7)["code"], "conflict");
    assert_eq!(w.asked(7, "withdraw_request", room, json!({}))["code"], "conflict");
    w.later(7 * DAY - 60_000);
    assert_eq!(w.asked(7, "request_join", room, json!({}))["code"], "forbidden");
    w.later(120_000);
    assert_eq!(w.asked(7, "request_join", room, json!({}))["ev"], "ok");
    w.later(30 * DAY);
    assert_eq!(w.requests_of(1, room)["requests"], json!([]));
    assert_eq!(w.answered(1, "accept_request", room, 7)["code"], "conflict");
    assert_eq!(w.asked(7, "request_join", room, json!({}))["ev"], "ok", "one that is over may be made again");
    assert_eq!(w.asked(7, "withdraw_request", room, json!({}))["ev"], "ok");
    assert_eq!(w.asked(7, "withdraw_request", room, json!({}))["code"], "conflict");
}

#[test]
fn only_rooms_that_are_found_and_closed_take_requests() {
    let mut w = World::new(Limits::default());
    let (open, hidden, club) = (w.room(Public, &[]), w.room(Private, &[]), w.room(InviteOnly, &[2, 3]));
    assert_eq!(w.asked(7, "request_join", open, json!({}))["code"], "conflict");
    let nowhere = RoomId([0x99; 16]);
    for op in ["request_join", "withdraw_request"] {
        let answers: Vec<Value> = [hidden, nowhere].map(|room| w.asked(7, op, room, json!({}))).into();
        assert!(answers.iter().all(|answer| answer["code"] == "room_not_found"), "{answers:?}");
        assert_eq!(answers[0]["message"], answers[1]["message"], "a hidden room is as none");
    }
    for (text, code) in [("x".repeat(301), "too_large"), ("a\u{7}b".to_owned(), "invalid_field")] {
        assert_eq!(w.asked(7, "request_join", club, json!({"text": text}))["code"], code);
    }
    let longest = "é".repeat(300);
    assert_eq!(w.asked(7, "request_join", club, json!({"text": longest}))["ev"], "ok");
    // A ban ends it, and keeps from asking.
    assert_eq!(w.answered(1, "ban", club, 7)["ev"], "ok");
    assert_eq!(w.requests_of(1, club)["requests"], json!([]));
    assert_eq!(w.asked(7, "request_join", club, json!({}))["code"], "banned");
    assert_eq!(w.asked(7, "withdraw_request", club, json!({}))["code"], "banned");
    // A room that is hidden by now: who asked may still take it back.
    assert_eq!(w.asked(8, "request_join", club, json!({}))["ev"], "ok");
    assert_eq!(w.asked(1, "settings", club, json!({"kind": "private"}))["ev"], "ok");
    assert_eq!(w.requests_of(1, club)["requests"].as_array().map(Vec::len), Some(1));
    assert_eq!(w.asked(9, "withdraw_request", club, json!({}))["code"], "room_not_found");
    assert_eq!(w.asked(8, "withdraw_request", club, json!({}))["ev"], "ok");
    assert_eq!(w.asked(8, "withdraw_request", club, json!({}))["code"], "room_not_found");
    // A full room lets nobody in.
    assert_eq!(w.asked(1, "settings", club, json!({"kind": "invite_only", "max_members": 3}))["ev"], "ok");
    assert_eq!(w.asked(9, "request_join", club, json!({}))["ev"], "ok");
    assert_eq!(w.answered(1, "accept_request", club, 9)["code"], "limit_reached");
    assert_eq!(w.requests_of(1, club)["requests"].as_array().map(Vec::len), Some(1));
    assert_eq!(w.asked(1, "delete_room", club, json!({}))["ev"], "ok");
    assert_eq!(w.asked(9, "withdraw_request", club, json!({}))["code"], "room_not_found");
}

#[test]
fn a_request_whose_outcome_was_lost_is_made_once() {
    let mut w = World::new(Limits::default());
    let room = w.room(InviteOnly, &[]);
    w.hints();
    let ask = w.keyed("request_join", room, json!({}));
    w.store = Store::Unsure;
    w.post(7, ask.clone());
    w.settle();
    w.store = Store::Up;
    w.wait(2_000);
    w.settle();
    assert_eq!(w.hints().len(), 1, "it is told when it is known");
    assert_eq!(w.run(7, ask)["ev"], "ok");
    assert_eq!(w.requests_of(1, room)["requests"].as_array().map(Vec::len), Some(1));
    w.store = Store::RoomsAway;
    assert_eq!(w.asked(8, "request_join", room, json!({}))["code"], "unavailable");
    assert_eq!(w.requests_of(1, room)["code"], "unavailable");
}
