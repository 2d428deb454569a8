//! 1:1s that strangers begin: until they are accepted, after that, and when they are declined.

use super::*;
use lynk_domain::RoomKind::{Private, Public};
use lynk_model::port::RoomStore as _;

const DAY: u64 = 24 * 60 * 60 * 1_000;

impl World {
    fn direct(&mut self, i: u8, with: u8) -> Value {
        self.run(i, json!({"op": "direct", "user": user(with).to_string()}))
    }

    fn asks(&mut self) -> RoomId {
        let begun = self.direct(1, 2);
        assert_eq!(begun["request"], "sent", "{begun}");
        RoomId::parse(begun["room"].as_str().expect("a room")).expect("an id")
    }

    fn decides(&mut self, i: u8, op: &str, room: RoomId) -> Value {
        let command = self.keyed(op, room, json!({}));
        self.run(i, command)
    }

    fn says(&mut self, i: u8, room: RoomId) -> String {
        let answer = self.send(i, room, "words");
        answer["code"].as_str().unwrap_or("ok").to_owned()
    }

    fn passes(&mut self, millis: u64) {
        self.now.wall = Millis(self.now.wall.0 + millis);
    }

    /// Whose connections were told what since this was asked.
    fn notices_of(&mut self) -> Vec<(u8, String, Option<String>)> {
        let notice = |(_, mail)| match mail {
            Mail::Notice { user, frame, .. } => {
                let frame = value(&frame);
                let request = frame["request"].as_str().map(str::to_owned);
                Some((user.0[0], frame["ev"].as_str().expect("a name").to_owned(), request))
            }
            _ => None,
        };
        let mut told: Vec<_> = self.take_out().into_iter().filter_map(notice).collect();
        told.sort();
        told
    }

    /// What is the same for who asked, whatever the other one did.
    fn seen_by_asker(&mut self, room: RoomId) -> Vec<Value> {
        let ask = |op: &str| json!({"op": op, "room": room.to_string()});
        let answers = [ask("about"), ask("members"), ask("subscribe")].map(|command| self.run(1, command));
        let mut seen: Vec<Value> = answers.to_vec();
        seen.push(self.direct(1, 2));
        let files = json!({"op": "send", "room": room.to_string(), "key": self.key(), "text": "a",
            "attachments": [lynk_domain::MediaId([5; 16]).to_string()]});
        seen.push(self.run(1, files));
        for answer in &mut seen {
            for field in ["re", "request_id", "top", "top_n", "covers", "seq", "time", "level", "unread"] {
                if let Some(fields) = answer.as_object_mut() {
                    fields.remove(field);
                }
            }
        }
        seen
    }
}

fn told(i: u8, ev: &str, request: Option<&str>) -> (u8, String, Option<String>) {
    (i, ev.to_owned(), request.map(str::to_owned))
}

#[test]
fn a_stranger_says_three_things_and_the_other_nothing_until_it_accepts() {
    let mut w = World::new(Limits::default());
    let room = w.asks();
    let both = [told(1, "added", Some("sent")), told(2, "added", Some("received"))];
    assert_eq!(w.notices_of(), both, "each with its side");
    assert_eq!(w.run(2, json!({"op": "about", "room": room.to_string()}))["request"], "received");
    let files = json!({"op": "send", "room": room.to_string(), "key": w.key(), "text": "a",
        "attachments": [lynk_domain::MediaId([5; 16]).to_string()]});
    assert_eq!(w.code(1, files), "request_pending");
    let first = w.send(1, room, "hello");
    let edit = w.keyed("edit", room, json!({"seq": first["seq"], "text": "hello there"}));
    assert_eq!(w.code(1, edit.clone()), "request_pending", "it would say a fourth thing");
    let react = w.keyed("react", room, json!({"seq": first["seq"], "emoji": "+"}));
    assert_eq!(w.code(1, react), "request_pending");
    assert_eq!([w.says(1, room), w.says(1, room)], ["ok", "ok"]);
    assert_eq!(w.says(1, room), "request_pending");
    let delete = w.keyed("delete", room, json!({"seq": first["seq"]}));
    assert_eq!(w.run(1, delete)["ev"], "ok");
    assert_eq!(w.says(1, room), "request_pending", "what is deleted was said");

    assert_eq!(w.says(2, room), "request_pending");
    let react = w.keyed("react", room, json!({"seq": 3, "emoji": "+"}));
    assert_eq!(w.code(2, react), "request_pending");
    assert_eq!(w.code(2, json!({"op": "typing", "room": room.to_string()})), "request_pending");
    for i in [1, 2] {
        w.subscribe(i, room, None);
    }
    w.take_out();
    w.run(2, json!({"op": "read", "room": room.to_string(), "seq": 4}));
    w.run(2, json!({"op": "delivered", "room": room.to_string(), "seq": 4}));
    w.wait(1_100);
    w.settle();
    assert!(
        !w.out.iter().any(|(_, mail)| matches!(mail, Mail::Ephemeral { .. })),
        "nobody is told what was read"
    );
    let members = w.run(1, json!({"op": "members", "room": room.to_string()}));
    assert_eq!((&members["count"], &members["members"][1]["read"]), (&json!(2), &Value::Null));

    assert_eq!(w.decides(1, "accept_conversation", room)["code"], "conflict");
    assert_eq!(w.decides(1, "decline_conversation", room)["code"], "conflict");
    assert_eq!(w.decides(9, "accept_conversation", room)["code"], "room_not_found");
    w.take_out();
    let accept = w.keyed("accept_conversation", room, json!({}));
    assert_eq!(w.run(2, accept.clone())["ev"], "ok");
    assert_eq!(
        w.notices_of(),
        [told(1, "conversation_accepted", None), told(2, "conversation_accepted", None)]
    );
    assert_eq!(w.run(2, accept.clone())["ev"], "ok", "a retry");
    assert_eq!(w.decides(2, "accept_conversation", room)["code"], "conflict");
    assert_eq!(w.decides(2, "decline_conversation", room)["code"], "conflict");
    assert_eq!([w.says(2, room), w.says(1, room), w.says(1, room)], ["ok", "ok", "ok"]);
    assert_eq!(w.run(1, json!({"op": "about", "room": room.to_string()}))["request"], Value::Null);
    let members = w.run(1, json!({"op": "members", "room": room.to_string()}));
    assert_eq!(members["members"][1]["read"], 4);
    w.drain();
    w.crash();
    assert_eq!(w.run(2, accept)["ev"], "ok", "a retry after a restart");
    assert_eq!([w.says(2, room), w.says(1, room)], ["ok", "ok"]);
    assert_eq!(w.direct(1, 2)["request"], Value::Null);
}

#[test]
fn who_shares_a_room_does_not_ask_and_who_is_asked_accepts_by_beginning_it_too() {
    let mut w = World::new(Limits::default());
    let hall = w.room(Public, &[]);
    let join = w.keyed("join", hall, json!({}));
    assert_eq!(w.run(2, join)["ev"], "ok");
    let begun = w.direct(1, 2);
    assert_eq!((&begun["ev"], &begun["request"]), (&json!("ok"), &Value::Null));
    let asked = w.direct(1, 3);
    let room = RoomId::parse(asked["room"].as_str().expect("a room")).expect("an id");
    assert_eq!(asked["request"], "sent");
    assert_eq!(w.direct(1, 3)["request"], "sent", "a repetition says so, too");
    w.drain();
    w.crash();
    assert_eq!(w.direct(1, 3)["request"], "sent", "also after a restart");
    assert_eq!(w.says(3, room), "request_pending");
    w.take_out();
    assert_eq!(w.direct(3, 1)["request"], Value::Null);
    assert_eq!(
        w.notices_of(),
        [told(1, "conversation_accepted", None), told(3, "conversation_accepted", None)]
    );
    assert_eq!([w.says(3, room), w.says(1, room)], ["ok", "ok"]);
}

#[test]
fn whom_a_stranger_adds_to_a_room_is_asked_all_the_same_until_it_writes_there() {
    let mut w = World::new(Limits::default());
    let room = w.room(Private, &[2, 3]);
    assert_eq!(w.direct(1, 2)["request"], "sent", "who added it");
    assert_eq!(w.direct(3, 2)["request"], "sent", "who was added, too");
    assert_eq!(w.direct(2, 1)["request"], Value::Null, "who was added accepts");
    // What the store does not take is told it with the next message.
    w.store = Store::RoomsAway;
    assert_eq!(w.says(3, room), "ok");
    w.settle();
    w.store = Store::Up;
    let stranger = |w: &World| {
        let loaded = ready(w.rooms.load(room)).expect("readable");
        loaded.members.iter().find(|member| member.user == user(3)).is_some_and(|member| member.by_stranger)
    };
    assert!(stranger(&w));
    assert_eq!(w.says(3, room), "ok");
    w.settle();
    assert!(!stranger(&w));
    let begun = w.direct(1, 3);
    assert_eq!((&begun["ev"], &begun["request"]), (&json!("ok"), &Value::Null), "it has written there");
}

#[test]
fn who_asked_cannot_tell_a_refusal_from_waiting_and_the_other_hears_no_more() {
    let mut w = World::new(Limits::default());
    let room = w.asks();
    w.send(1, room, "hello");
    for i in [1, 2] {
        w.subscribe(i, room, None);
    }
    let before = w.seen_by_asker(room);
    w.take_out();
    let decline = w.keyed("decline_conversation", room, json!({}));
    assert_eq!(w.run(2, decline.clone())["ev"], "ok");
    let dismissed = w.out.iter().filter(
        |(_, mail)| matches!(mail, Mail::Dismissed { room: at, user: whom } if *at == room && *whom == user(2)),
    );
    assert_eq!(dismissed.count(), 4, "every shard");
    assert_eq!(w.notices_of(), [told(2, "removed", None)], "who asked is told nothing");
    assert_eq!(w.run(2, decline.clone())["ev"], "ok", "a retry");
    let same = |w: &mut World| {
        assert_eq!(w.seen_by_asker(room), before);
        let report = w.keyed("report", room, json!({"user": user(2).to_string(), "reason": "other"}));
        let told = w.run(1, report);
        // One report of somebody may be open.
        assert!(told["ev"] == "ok" || told["code"] == "conflict", "as of a member: {told}");
        for command in ["about", "members", "subscribe", "history"] {
            assert_eq!(w.code(2, json!({"op": command, "room": room.to_string()})), "room_not_found");
        }
        assert_eq!(w.decides(2, "accept_conversation", room)["code"], "room_not_found");
        assert_eq!(w.says(2, room), "room_not_found");
    };
    same(&mut w);
    assert_eq!([w.says(1, room), w.says(1, room), w.says(1, room)], ["ok", "ok", "request_pending"]);
    w.drain();
    w.crash();
    assert_eq!(w.run(2, decline)["ev"], "ok", "a retry after a restart");
    same(&mut w);
    assert_eq!(w.says(1, room), "request_pending");

    // Asked anew: not for thirty days, and then as if for the first time.
    w.passes(30 * DAY - 1);
    w.take_out();
    assert_eq!(w.direct(1, 2)["request"], "sent");
    assert_eq!(w.says(1, room), "request_pending");
    assert_eq!(w.notices_of(), []);
    w.passes(1);
    assert_eq!(w.direct(1, 2)["request"], "sent");
    assert_eq!(w.notices_of(), [told(2, "added", Some("received"))]);
    assert_eq!(
        w.history(2, room, json!({}))["events"].as_array().map(Vec::len),
        Some(1),
        "the gap of what was"
    );
    assert_eq!([w.says(1, room), w.says(1, room), w.says(1, room)], ["ok", "ok", "ok"]);
    assert_eq!(w.says(1, room), "request_pending");
    let texts = w.history(2, room, json!({}));
    assert_eq!(
        texts["events"].as_array().map(|events| events.iter().filter(|e| e["ev"] == "message").count()),
        Some(3)
    );
}

#[test]
fn thirty_days_later_a_refusal_looks_like_waiting_too() {
    // Who declines late is not asked the day after; who asked sees the same.
    for declines in [false, true] {
        let mut w = World::new(Limits { message_requests_per_day: 1, ..Limits::default() });
        let room = w.asks();
        assert_eq!([w.says(1, room), w.says(1, room), w.says(1, room)], ["ok", "ok", "ok"]);
        w.passes(29 * DAY);
        if declines {
            assert_eq!(w.decides(2, "decline_conversation", room)["ev"], "ok");
        }
        w.passes(DAY - 1);
        w.take_out();
        assert_eq!(w.direct(1, 2)["request"], "sent");
        assert_eq!(w.says(1, room), "request_pending", "not yet: {declines}");
        // Nor is it asked anew while one more may not be asked, and is found all the same.
        assert_eq!(w.direct(1, 3)["request"], "sent");
        w.passes(1);
        w.take_out();
        assert_eq!(w.direct(1, 2)["request"], "sent", "{declines}");
        assert_eq!(w.says(1, room), "request_pending", "not yet: {declines}");
        w.passes(DAY);
        w.take_out();
        assert_eq!(w.direct(1, 2)["request"], "sent", "{declines}");
        assert_eq!(w.notices_of(), [], "nobody is told: {declines}");
        assert_eq!([w.says(1, room), w.says(1, room), w.says(1, room)], ["ok", "ok", "ok"], "{declines}");
        assert_eq!(w.says(1, room), "request_pending", "{declines}");
        let about = w.run(2, json!({"op": "about", "room": room.to_string()}));
        let expected = if declines { "room_not_found" } else { "about" };
        assert_eq!(about["code"].as_str().or(about["ev"].as_str()), Some(expected), "{about}");
        assert_eq!(w.direct(1, 4)["code"], "rate_limited", "it counts as one that is asked: {declines}");
        w.drain();
        w.crash();
        assert_eq!(w.says(1, room), "request_pending", "also after a restart: {declines}");
    }
}

#[test]
fn who_declined_may_begin_it_after_all() {
    let mut w = World::new(Limits::default());
    let room = w.asks();
    w.send(1, room, "hello");
    assert_eq!(w.decides(2, "decline_conversation", room)["ev"], "ok");
    w.send(1, room, "are you there");
    w.take_out();
    assert_eq!(w.direct(2, 1)["request"], Value::Null);
    let both = [
        told(1, "conversation_accepted", None),
        told(2, "added", None),
        told(2, "conversation_accepted", None),
    ];
    assert_eq!(w.notices_of(), both);
    let page = w.history(2, room, json!({}));
    let texts: Vec<_> =
        page["events"].as_array().expect("a list").iter().filter_map(|e| e["text"].as_str()).collect();
    assert_eq!(texts, ["are you there"], "what was declined stays deleted");
    assert_eq!([w.says(2, room), w.says(1, room)], ["ok", "ok"]);
}

#[test]
fn a_shard_that_took_no_mail_hears_later_that_subscriptions_end() {
    let mut w = World::new(Limits::default());
    let room = w.asks();
    w.subscribe(1, room, None);
    w.full = Some(ShardId(1));
    w.decides(2, "decline_conversation", room);
    w.full = None;
    w.take_out();
    w.wait(1_100);
    let to: Vec<ShardId> = w
        .take_out()
        .into_iter()
        .filter_map(|(to, mail)| matches!(mail, Mail::Dismissed { .. }).then_some(to))
        .collect();
    assert_eq!(to, [ShardId(1)]);
    assert!(w.loaded(room).is_some_and(|room| room.undismissed.is_empty()));
}

#[test]
fn so_many_strangers_are_asked_in_a_day_and_a_block_stops_a_request() {
    let mut w = World::new(Limits { message_requests_per_day: 2, ..Limits::default() });
    assert_eq!([w.direct(1, 2)["ev"].clone(), w.direct(1, 3)["ev"].clone()], ["ok", "ok"]);
    let third = w.direct(1, 4);
    assert_eq!((&third["code"], &third["retry_after_ms"]), (&json!("rate_limited"), &json!(DAY)));
    assert_eq!(w.direct(1, 2)["request"], "sent", "what is there is found");
    w.passes(DAY);
    assert_eq!(w.direct(1, 4)["request"], "sent");
    let room = direct_room_id(user(1), user(4));
    let block = json!({"op": "block", "user": user(1).to_string(), "key": w.key()});
    assert_eq!(w.run(4, block)["ev"], "ok");
    assert_eq!(w.says(1, room), "blocked");
    w.take_out();
    assert_eq!(
        w.decides(4, "accept_conversation", room)["code"],
        "blocked",
        "nothing is told across a block"
    );
    assert_eq!(w.direct(4, 1)["request"], "received", "it is found, and stays a request");
    assert_eq!(w.decides(4, "decline_conversation", room)["ev"], "ok");
    assert_eq!(w.direct(4, 1)["code"], "blocked");
    assert_eq!(w.notices_of(), [told(4, "removed", None)]);
}

#[test]
fn a_store_that_does_not_say_what_came_of_it_changes_nothing() {
    let mut w = World::new(Limits::default());
    w.store = Store::Unsure;
    let re = w.post(1, json!({"op": "direct", "user": user(2).to_string()}));
    w.settle();
    w.store = Store::Up;
    w.wait(1_100);
    w.settle();
    assert_eq!(w.answer(1, re).expect("an answer")["request"], "sent");
    let room = direct_room_id(user(1), user(2));
    assert_eq!(w.says(2, room), "request_pending");
    w.store = Store::Unsure;
    let accept = w.keyed("accept_conversation", room, json!({}));
    let re = w.post(2, accept);
    w.settle();
    w.store = Store::Up;
    w.wait(1_100);
    w.settle();
    assert_eq!(w.answer(2, re).expect("an answer")["ev"], "ok");
    assert_eq!([w.says(2, room), w.says(1, room)], ["ok", "ok"]);
}
