//! Reports of messages, members and rooms.

use super::*;
use lynk_domain::RoomKind::{InviteOnly, Private};

impl World {
    fn reported(&mut self, i: u8, room: RoomId, mut fields: Value) -> Value {
        if fields["reason"].is_null() {
            fields["reason"] = "spam".into();
        }
        let command = self.keyed("report", room, fields);
        self.run(i, command)
    }

    fn resolved(&mut self, i: u8, room: RoomId, number: u64) -> Value {
        let fields = json!({"number": number, "outcome": "dismissed", "note": "no harm"});
        let command = self.keyed("resolve_report", room, fields);
        self.run(i, command)
    }

    fn queue(&mut self, i: u8, room: RoomId, mut fields: Value) -> Value {
        fields["op"] = "reports".into();
        fields["room"] = room.to_string().into();
        self.run(i, fields)
    }
}

#[test]
fn a_report_keeps_what_was_said_and_does_not_tell_who_reported() {
    let mut w = World::new(Limits::default());
    let room = w.room(InviteOnly, &[2, 3]);
    let seq = w.send(3, room, "something rude")["seq"].clone();
    let report = w.keyed("report", room, json!({"seq": seq, "reason": "harassment", "comment": " again "}));
    assert_eq!(w.run(2, report.clone())["ev"], "ok");
    assert_eq!(w.run(2, report)["ev"], "ok", "a retry");
    assert_eq!(w.reported(2, room, json!({"seq": seq}))["code"], "conflict", "one of a person and a message");
    assert_eq!(w.reported(1, room, json!({"seq": seq}))["ev"], "ok");
    let edit = w.keyed("edit", room, json!({"seq": seq, "text": "nice"}));
    assert_eq!(w.run(3, edit)["ev"], "ok");
    let delete = w.keyed("delete", room, json!({"seq": seq}));
    assert_eq!(w.run(3, delete)["ev"], "ok");
    assert_eq!(w.reported(2, room, json!({"seq": seq}))["code"], "message_not_found");
    w.drain();
    w.crash();
    let queue = w.queue(1, room, json!({}));
    let first = &queue["reports"][1];
    assert_eq!(
        (&first["text"], &first["reason"], &first["comment"], &first["seq"], &first["user"], &first["kind"]),
        (
            &json!("something rude"),
            &json!("harassment"),
            &json!("again"),
            &seq,
            &json!(user(3).to_string()),
            &json!("message")
        )
    );
    assert!(!queue.to_string().contains(&user(2).to_string()), "{queue}");
    for (i, code) in [(2, "forbidden"), (9, "not_a_member")] {
        assert_eq!(w.queue(i, room, json!({}))["code"], code);
        assert_eq!(w.resolved(i, room, 1)["code"], code);
    }
    assert_eq!(w.resolved(1, room, 1)["ev"], "ok");
    assert_eq!(w.resolved(1, room, 1)["code"], "conflict");
    assert_eq!(w.resolved(1, room, 77)["code"], "conflict");
    let done = w.queue(1, room, json!({"state": "resolved"}));
    let report = &done["reports"][0];
    assert_eq!(
        (&report["outcome"], &report["note"], &report["by"]),
        (&json!("dismissed"), &json!("no harm"), &json!(user(1).to_string()))
    );
    assert_eq!(w.queue(1, room, json!({}))["reports"].as_array().map(Vec::len), Some(1));
    let log = w.run(1, json!({"op": "moderation_log", "room": room.to_string()}));
    assert_eq!((&log["acts"][0]["what"], &log["acts"][0]["report"]), (&json!("report_resolved"), &json!(1)));
}

#[test]
fn whom_a_report_is_about_does_not_see_it_and_rooms_are_for_operators() {
    let mut w = World::new(Limits::default());
    let room = w.room(Private, &[2, 3]);
    let role = w.keyed("role", room, json!({"user": user(2).to_string(), "role": "moderator"}));
    assert_eq!(w.run(1, role)["ev"], "ok");
    assert_eq!(w.reported(3, room, json!({"user": user(2).to_string()}))["ev"], "ok");
    assert_eq!(w.reported(3, room, json!({}))["ev"], "ok", "the room");
    assert_eq!(w.queue(2, room, json!({}))["reports"], json!([]));
    assert_eq!(w.resolved(2, room, 1)["code"], "conflict");
    let queue = w.queue(1, room, json!({}));
    assert_eq!(
        (queue["reports"].as_array().map(Vec::len), &queue["reports"][0]["kind"]),
        (Some(1), &json!("user"))
    );
    assert_eq!(w.resolved(1, room, 2)["code"], "conflict", "of the room operators decide");
    let own = w.send(3, room, "mine")["seq"].clone();
    for (fields, code) in [
        (json!({"seq": own}), "invalid_field"),
        (json!({"user": user(3).to_string()}), "invalid_field"),
        (json!({"user": user(2).to_string(), "seq": own}), "invalid_field"),
        (json!({"comment": "x".repeat(1_001)}), "too_large"),
        (json!({"user": user(9).to_string()}), "not_a_member"),
        (json!({"seq": 999}), "message_not_found"),
    ] {
        assert_eq!(w.reported(3, room, fields.clone())["code"], code, "{fields}");
    }
    assert_eq!(w.reported(9, room, json!({}))["code"], "room_not_found");
}

#[test]
fn who_sees_the_queue_is_told_of_a_report_and_of_its_end_and_nobody_else_is() {
    let mut w = World::new(Limits::default());
    let room = w.room(InviteOnly, &[2, 3, 4]);
    for i in [2, 3] {
        let role = w.keyed("role", room, json!({"user": user(i).to_string(), "role": "moderator"}));
        assert_eq!(w.run(1, role)["ev"], "ok");
    }
    w.hints();
    let news = |number: u64, state: &str| json!({"ev": "report", "room": room.to_string(), "number": number, "state": state});
    let seq = w.send(3, room, "something rude")["seq"].clone();
    let report = w.keyed("report", room, json!({"seq": seq, "reason": "spam"}));
    assert_eq!(w.run(4, report.clone())["ev"], "ok");
    assert_eq!(w.hints(), [(user(1), news(1, "open")), (user(2), news(1, "open"))]);
    assert_eq!(w.run(4, report.clone())["ev"], "ok", "a retry");
    w.drain();
    w.crash();
    assert_eq!(w.run(4, report)["ev"], "ok", "a retry after a restart");
    assert_eq!(w.reported(4, room, json!({}))["ev"], "ok", "of the room: for operators");
    assert_eq!(w.resolved(3, room, 1)["code"], "conflict", "about itself");
    assert_eq!(w.resolved(1, room, 2)["code"], "conflict", "of the room");
    assert_eq!(w.hints(), []);
    assert_eq!(w.resolved(2, room, 1)["ev"], "ok");
    assert_eq!(w.hints(), [(user(1), news(1, "resolved")), (user(2), news(1, "resolved"))]);
    // Two decide at once, and one is too late.
    assert_eq!(w.resolved(1, room, 1)["code"], "conflict");
    assert_eq!(w.reported(2, room, json!({"user": user(1).to_string()}))["ev"], "ok");
    assert_eq!(w.hints(), [(user(2), news(3, "open")), (user(3), news(3, "open"))], "also who made it");

    let two = direct(&mut w);
    let seq = w.send(2, two, "something rude")["seq"].clone();
    w.hints();
    assert_eq!(w.reported(1, two, json!({"seq": seq}))["ev"], "ok");
    assert_eq!(w.hints(), [], "nobody moderates it");
}

#[test]
fn a_report_whose_answer_was_lost_is_in_the_queue_once_and_told_to_nobody() {
    let mut w = World::new(Limits::default());
    let room = w.room(InviteOnly, &[2, 3]);
    let seq = w.send(2, room, "something rude")["seq"].clone();
    w.hints();
    let report = w.keyed("report", room, json!({"seq": seq, "reason": "spam"}));
    w.store = Store::Unsure;
    w.post(3, report.clone());
    w.settle();
    w.store = Store::Up;
    w.wait(2_000);
    w.settle();
    assert_eq!(w.run(3, report)["ev"], "ok");
    assert_eq!(w.queue(1, room, json!({}))["reports"].as_array().map(Vec::len), Some(1));
    assert_eq!(w.hints(), [], "its number is not known; the list is the truth");
}

#[test]
fn a_person_makes_twenty_reports_a_day_also_of_a_conversation_of_two() {
    let mut w = World::new(Limits::default());
    let room = direct(&mut w);
    for n in 0..20 {
        let seq = w.send(2, room, &format!("m{n}"))["seq"].clone();
        assert_eq!(w.reported(1, room, json!({"seq": seq}))["ev"], "ok", "{n}");
    }
    assert_eq!(w.reported(1, room, json!({}))["code"], "limit_reached");
    assert_eq!(w.queue(1, room, json!({}))["code"], "forbidden", "nobody moderates it");
    w.now.wall = Millis(w.now.wall.0 + 24 * 60 * 60 * 1_000);
    assert_eq!(w.reported(1, room, json!({}))["ev"], "ok");
}

fn direct(w: &mut World) -> RoomId {
    w.friends(1, 2)
}
