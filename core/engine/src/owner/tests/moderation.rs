//! What moderators did.

use super::*;
use lynk_domain::RoomKind::InviteOnly;

impl World {
    fn acted(&mut self, i: u8, op: &str, room: RoomId, fields: Value) -> Value {
        let command = self.keyed(op, room, fields);
        let answer = self.run(i, command);
        assert_eq!(answer["ev"], "ok", "{op}: {answer}");
        answer
    }

    fn log_of(&mut self, i: u8, room: RoomId, mut fields: Value) -> Value {
        fields["op"] = "moderation_log".into();
        fields["room"] = room.to_string().into();
        self.run(i, fields)
    }

    /// What was done, oldest first.
    fn words(&mut self, room: RoomId) -> Vec<String> {
        let log = self.log_of(1, room, json!({}));
        let acts = log["acts"].as_array().unwrap_or_else(|| panic!("{log}"));
        acts.iter().rev().map(|act| act["what"].as_str().expect("a word").to_owned()).collect()
    }
}

#[test]
fn every_act_of_a_moderator_is_in_the_log_once_with_who_whom_and_why() {
    let mut w = World::new(Limits::default());
    let room = w.room(InviteOnly, &[2, 3, 4]);
    let of = |i: u8| json!({"user": user(i).to_string()});
    w.acted(1, "role", room, json!({"user": user(2).to_string(), "role": "moderator"}));
    let kick = w.keyed("kick", room, json!({"user": user(3).to_string(), "reason": "noise"}));
    assert_eq!(w.run(2, kick.clone())["ev"], "ok");
    assert_eq!(w.run(2, kick)["ev"], "ok", "a retry");
    w.acted(2, "ban", room, json!({"user": user(3).to_string(), "reason": "again", "seconds": 60}));
    w.acted(2, "unban", room, of(3));
    w.acted(2, "mute", room, of(4));
    w.acted(2, "unmute", room, of(4));
    w.acted(1, "settings", room, json!({"description": "calm"}));
    let seq = w.send(4, room, "rude")["seq"].clone();
    let own = w.send(2, room, "mine")["seq"].clone();
    w.acted(2, "delete", room, json!({"seq": seq}));
    w.acted(2, "delete", room, json!({"seq": own}));
    let link = w.acted(2, "link", room, json!({}))["link"].clone();
    w.acted(2, "unlink", room, json!({"link": link}));
    for i in [7, 8] {
        w.acted(i, "request_join", room, json!({}));
    }
    w.acted(2, "accept_request", room, of(7));
    w.acted(2, "decline_request", room, of(8));
    w.acted(1, "transfer", room, of(2));
    w.acted(7, "leave", room, json!({}));
    let expected = [
        "role",
        "kicked",
        "banned",
        "unbanned",
        "muted",
        "unmuted",
        "settings",
        "message_deleted",
        "link_made",
        "link_ended",
        "request_accepted",
        "request_declined",
        "transferred",
    ];
    assert_eq!(w.words(room), expected, "and nothing that members do");
    let log = w.log_of(1, room, json!({}));
    let at = |number: usize| &log["acts"][13 - number];
    assert_eq!(
        (&at(1)["role"], &at(1)["user"], &at(1)["by"]),
        (&json!("moderator"), &of(2)["user"], &of(1)["user"])
    );
    assert_eq!(
        (&at(2)["reason"], &at(2)["user"], &at(2)["by"]),
        (&json!("noise"), &of(3)["user"], &of(2)["user"])
    );
    assert!(at(3)["until"].is_string() && at(3)["reason"] == "again", "{log}");
    assert_eq!((&at(8)["seq"], &at(8)["user"], &at(8)["by"]), (&seq, &of(4)["user"], &of(2)["user"]));
    assert_eq!((&at(9)["link"], at(9).get("user")), (&link, None));
    assert_eq!(at(13)["number"], 13);
    w.drain();
    w.crash();
    let page = w.log_of(2, room, json!({"limit": 5}));
    assert_eq!((page["acts"].as_array().map(Vec::len), &page["more"]), (Some(5), &json!(true)));
    let next = w.log_of(2, room, json!({"before": page["acts"][4]["number"], "limit": 8}));
    assert_eq!((&next["acts"][0]["number"], &next["acts"][7]["number"]), (&json!(8), &json!(1)));
    assert_eq!(next["more"], false);
    for (i, code) in [(4, "forbidden"), (9, "not_a_member")] {
        assert_eq!(w.log_of(i, room, json!({}))["code"], code);
    }
}

#[test]
fn a_message_deleted_while_the_store_is_away_is_in_the_log_when_it_is_back() {
    let mut w = World::new(Limits::default());
    let room = w.room(InviteOnly, &[2]);
    let seqs: Vec<Value> = (0..3).map(|n| w.send(2, room, &format!("m{n}"))["seq"].clone()).collect();
    w.store = Store::RoomsAway;
    for seq in &seqs {
        w.acted(1, "delete", room, json!({"seq": seq}));
    }
    assert_eq!(w.log_of(1, room, json!({}))["code"], "unavailable");
    assert!(!w.evict(room), "what the store does not have keeps the room in memory");
    w.store = Store::Up;
    w.wait(2_000);
    w.settle();
    let log = w.log_of(1, room, json!({}));
    let told: Vec<&Value> = log["acts"].as_array().expect("a list").iter().map(|act| &act["seq"]).collect();
    assert_eq!(told, [&seqs[2], &seqs[1], &seqs[0]]);
    w.acted(1, "delete_room", room, json!({}));
    assert_eq!(w.log_of(1, room, json!({}))["code"], "room_not_found");
}

#[test]
fn acts_are_in_the_log_in_the_order_in_which_they_were_done() {
    let mut w = World::new(Limits::default());
    let room = w.room(InviteOnly, &[2, 3]);
    let seqs: Vec<Value> = (0..3).map(|n| w.send(2, room, &format!("m{n}"))["seq"].clone()).collect();
    let mute = |w: &mut World| w.keyed("mute", room, json!({"user": user(2).to_string()}));
    w.acted(1, "role", room, json!({"user": user(3).to_string(), "role": "moderator"}));
    w.serve();
    // The store takes what it is asked in any order.
    for (i, seq) in [(1, &seqs[0]), (3, &seqs[1])] {
        let delete = w.keyed("delete", room, json!({"seq": seq}));
        w.post(i, delete);
    }
    let command = mute(&mut w);
    let muted = w.post(1, command);
    let log = w.post(3, json!({"op": "moderation_log", "room": room.to_string()}));
    w.commit();
    while let Some(last) = w.requests.len().checked_sub(1) {
        w.serve_at(last);
        w.commit();
    }
    assert_eq!(w.answer(1, muted).expect("an answer")["ev"], "ok");
    let told = w.answer(3, log).expect("an answer");
    assert!(told["acts"].as_array().expect("a list").len() >= 3, "what was done is told: {told}");
    // A delete while a command is under way.
    let command = w.keyed("unmute", room, json!({"user": user(2).to_string()}));
    w.post(1, command);
    let command = w.keyed("delete", room, json!({"seq": seqs[2]}));
    w.post(3, command);
    w.commit();
    while let Some(last) = w.requests.len().checked_sub(1) {
        w.serve_at(last);
        w.commit();
    }
    let expected = ["role", "message_deleted", "message_deleted", "muted", "unmuted", "message_deleted"];
    assert_eq!(w.words(room), expected);
}

#[test]
fn the_log_is_read_and_members_are_removed_while_the_store_is_not_told_of_a_delete() {
    let mut w = World::new(Limits::default());
    let room = w.room(InviteOnly, &[2, 3]);
    let seq = w.send(2, room, "rude")["seq"].clone();
    w.store = Store::RoomsAway;
    w.acted(1, "delete", room, json!({"seq": seq}));
    w.acted(1, "kick", room, json!({"user": user(3).to_string()}));
    assert_eq!(w.log_of(1, room, json!({}))["code"], "unavailable");
    w.store = Store::Up;
    for _ in 0..3 {
        w.wait(2_000);
        w.settle();
    }
    let mut words = w.words(room);
    words.sort_unstable();
    assert_eq!(words, ["kicked", "message_deleted"]);
}

#[test]
fn a_removal_waits_a_second_at_most_for_deletes_that_the_store_is_told_of() {
    let mut w = World::new(Limits::default());
    let room = w.room(InviteOnly, &[2, 3]);
    let seqs: Vec<Value> = (0..2).map(|n| w.send(2, room, &format!("m{n}"))["seq"].clone()).collect();
    // The room's timer is set already.
    w.acted(1, "mute", room, json!({"user": user(3).to_string()}));
    w.store = Store::Silent;
    w.wait(500);
    for seq in seqs {
        let delete = w.keyed("delete", room, json!({"seq": seq}));
        w.post(1, delete);
    }
    w.commit();
    let kick = w.keyed("kick", room, json!({"user": user(3).to_string()}));
    w.post(1, kick);
    let asked = |w: &World| w.requests.iter().filter(|(_, of)| matches!(of, StoreRequest::Apply(_))).count();
    assert_eq!(asked(&w), 0, "its order in the list");
    for _ in 0..4 {
        w.wait(500);
        w.commit();
    }
    assert_eq!(asked(&w), 1, "no more than that");
    w.store = Store::Up;
    w.settle();
    w.wait(2_000);
    w.settle();
    let mut words = w.words(room);
    words.sort_unstable();
    assert_eq!(words, ["kicked", "message_deleted", "message_deleted", "muted"]);
}

#[test]
fn what_is_old_is_not_in_the_log() {
    let mut w = World::new(Limits::default());
    let room = w.room(InviteOnly, &[2]);
    w.acted(1, "mute", room, json!({"user": user(2).to_string()}));
    w.now.wall = Millis(w.now.wall.0 + lynk_model::MODERATION_LIFE_MILLIS - 1_000);
    assert_eq!(w.words(room), ["muted"]);
    w.acted(1, "unmute", room, json!({"user": user(2).to_string()}));
    w.now.wall = Millis(w.now.wall.0 + 2_000);
    assert_eq!(w.words(room), ["unmuted"]);
}
