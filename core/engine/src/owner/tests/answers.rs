use super::*;
use lynk_domain::RoomKind::{Private, Public};

impl World {
    fn answer_to(&mut self, i: u8, room: RoomId, reply_to: u64) -> Value {
        let command = self.keyed("send", room, json!({"text": "yes", "reply_to": reply_to}));
        self.run(i, command)
    }
}

#[test]
fn only_a_message_that_stands_can_be_answered() {
    let limits = Limits { room_window_events_max: 4, resume_events_max: 4, ..Limits::default() };
    let mut w = World::new(limits);
    let room = w.room(Public, &[2]);
    let said = w.send(2, room, "well?")["seq"].as_u64().expect("a seq");
    let gone = w.send(2, room, "oops")["seq"].as_u64().expect("a seq");
    let delete = w.keyed("delete", room, json!({"seq": gone}));
    let delete = w.run(2, delete)["seq"].as_u64().expect("a seq");
    for place in ["window", "journal", "store", "both"] {
        match place {
            "journal" => (0..6).for_each(|_| drop(w.send(1, room, "talk"))),
            "store" => w.drain(),
            "both" => w.crash(),
            _ => {}
        }
        let answer = w.answer_to(1, room, said);
        assert_eq!(answer["ev"], "ok", "{place}: {answer}");
        for none in [1, gone, delete, 9_999] {
            let refused = w.answer_to(1, room, none);
            assert_eq!(refused["code"], "message_not_found", "{place}, {none}: {refused}");
        }
    }
    let page = w.history(2, room, json!({"limit": 1}));
    assert_eq!(page["events"][0]["reply_to"], said);
}

#[test]
fn what_may_not_be_seen_cannot_be_answered() {
    let mut w = World::new(Limits::default());
    let room = w.room(Private, &[2]);
    let said = w.send(2, room, "before")["seq"].as_u64().expect("a seq");
    let add = w.keyed("invite", room, json!({"user": user(3).to_string()}));
    w.run(1, add);
    assert_eq!(w.answer_to(3, room, said)["code"], "message_not_found");
    assert_eq!(w.answer_to(2, room, said)["ev"], "ok");
}

#[test]
fn an_answer_waits_for_its_message_and_keeps_its_place_and_its_key() {
    let limits = Limits { room_window_events_max: 4, resume_events_max: 4, ..Limits::default() };
    let mut w = World::new(limits);
    let room = w.room(Public, &[2]);
    let said = w.send(2, room, "well?")["seq"].as_u64().expect("a seq");
    (0..6).for_each(|_| drop(w.send(1, room, "talk")));
    w.drain();
    w.store = Store::Silent;
    let command = w.keyed("send", room, json!({"text": "yes", "reply_to": said}));
    let first = w.post(1, command.clone());
    let next = w.send_command(room, "and then");
    let next = w.post(1, next);
    w.settle();
    assert_eq!((w.answer(1, first), w.answer(1, next)), (None, None));
    w.store = Store::Up;
    w.settle();
    let (first, next) = (w.answer(1, first).expect("answered"), w.answer(1, next).expect("answered"));
    assert!(first["seq"].as_u64() < next["seq"].as_u64(), "{first} {next}");
    let delete = w.keyed("delete", room, json!({"seq": said}));
    w.run(2, delete);
    assert_eq!(w.run(1, command)["seq"], first["seq"], "a retry is answered as the first attempt was");
    (0..6).for_each(|_| drop(w.send(1, room, "talk")));
    w.store = Store::Away;
    assert_eq!(w.answer_to(1, room, said)["code"], "unavailable", "nobody can tell");
}
