use super::*;
use crate::chat::command::parse;

const ROOM: &str = "c6570214-468b-58cf-974c-e7b638713f42";

/// A client and the server that the test plays.
struct World {
    model: Model,
    now: Now,
    /// Commands that the client sent, parsed.
    sent: Vec<Value>,
    shown: Vec<Show>,
    other: Vec<Do>,
}

impl World {
    fn new() -> Self {
        let now = Now { mono: Nanos(Nanos::SECOND), wall: Millis(1_795_456_131_123) };
        let me = user_of("alice").expect("a name");
        let mut world = Self {
            model: Model::new(me, Vec::new(), 7),
            now,
            sent: Vec::new(),
            shown: Vec::new(),
            other: Vec::new(),
        };
        world.model.tick(now);
        world.collect();
        assert_eq!(world.other, [Do::Connect]);
        world.other.clear();
        world
    }

    fn collect(&mut self) {
        for item in self.model.take() {
            match item {
                Do::Send(text) => self.sent.push(serde_json::from_str(&text).expect("JSON")),
                Do::Show(show) => self.shown.push(show),
                other => self.other.push(other),
            }
        }
    }

    fn connect(&mut self) {
        self.model.connected(self.now, "token");
        self.collect();
        let hello = self.sent.pop().expect("hello");
        assert_eq!(hello["op"], "hello");
        self.answer(json!({"ev": "ok", "re": hello["id"], "heartbeat_ms": 25_000}));
    }

    fn answer(&mut self, frame: Value) {
        self.model.frame(self.now, &frame.to_string());
        self.collect();
    }

    fn line(&mut self, line: &str) {
        self.model.line(self.now, parse(line).expect("a line"));
        self.collect();
    }

    fn sent(&mut self, op: &str) -> Value {
        let at = self.sent.iter().position(|command| command["op"] == op);
        self.sent.remove(at.unwrap_or_else(|| panic!("no {op} in {:?}", self.sent)))
    }

    fn lose(&mut self) {
        self.model.disconnected(self.now, "gone", None, None);
        self.collect();
        self.now.mono = self.model.next_deadline(self.now);
        self.model.tick(self.now);
        self.collect();
        assert_eq!(self.other.pop(), Some(Do::Connect));
    }

    /// In one room, with everything up to seq 3 seen.
    fn in_room() -> Self {
        let mut world = Self::new();
        world.connect();
        world.line("/join lobby");
        let find = world.sent("find");
        world.answer(json!({"ev": "ok", "re": find["id"], "room": ROOM}));
        let join = world.sent("join");
        world.answer(json!({"ev": "ok", "re": join["id"], "room": ROOM, "seq": 3}));
        let subscribe = world.sent("subscribe");
        world.answer(json!({"ev": "subscribed", "re": subscribe["id"], "room": ROOM, "epoch": 1, "top": 3, "members": 2, "events": []}));
        let past = world.sent("history");
        world.answer(json!({"ev": "history", "re": past["id"], "room": ROOM, "events": [], "covers": {"from": 1, "to": 3}}));
        world.shown.clear();
        world
    }

    fn seqs(&self) -> Vec<u64> {
        let of = |show: &Show| match show {
            Show::Event(_, event, _) => event["seq"].as_u64(),
            _ => None,
        };
        self.shown.iter().filter_map(of).collect()
    }
}

fn message(seq: u64) -> Value {
    json!({"ev": "message", "room": ROOM, "seq": seq, "text": "hi", "from": ROOM})
}

#[test]
fn an_unknown_room_is_made_and_a_race_for_its_name_is_joined() {
    let mut world = World::new();
    world.connect();
    world.line("/join lobby");
    let find = world.sent("find");
    assert_eq!(find["name"], "lobby");
    world.answer(json!({"ev": "error", "re": find["id"], "code": "room_not_found", "retryable": false}));
    let create = world.sent("create");
    world.answer(json!({"ev": "error", "re": create["id"], "code": "name_taken", "retryable": false}));
    let find = world.sent("find");
    world.answer(json!({"ev": "ok", "re": find["id"], "room": ROOM}));
    let join = world.sent("join");
    world.answer(json!({"ev": "ok", "re": join["id"], "room": ROOM}));
    assert_eq!(world.sent("subscribe")["room"], ROOM, "a member already");
    assert!(world.shown.iter().all(|show| !matches!(show, Show::Refused(..))));
}

#[test]
fn lines_wait_until_the_rooms_of_the_command_line_are_entered() {
    let mut world = World::new();
    world.model.wanted.push("lobby".to_owned());
    world.line("first");
    world.line("/who");
    world.connect();
    let find = world.sent("find");
    assert!(world.sent.is_empty());
    world.answer(json!({"ev": "ok", "re": find["id"], "room": ROOM}));
    let join = world.sent("join");
    world.answer(json!({"ev": "ok", "re": join["id"], "room": ROOM, "seq": 1}));
    let subscribe = world.sent("subscribe");
    assert!(!world.model.is_idle());
    world.answer(
        json!({"ev": "subscribed", "re": subscribe["id"], "room": ROOM, "epoch": 1, "top": 1, "members": 1}),
    );
    assert_eq!(world.sent("send")["text"], "first");
    assert_eq!(world.sent("presence")["room"], ROOM);
}

#[test]
fn an_own_message_takes_its_place_among_the_others() {
    let mut world = World::in_room();
    world.line("hello");
    let send = world.sent("send");
    assert_eq!(send["text"], "hello");
    world.answer(message(4));
    world.answer(json!({"ev": "ok", "re": send["id"], "room": ROOM, "seq": 5, "n": 3}));
    world.answer(message(6));
    assert_eq!(world.seqs(), [4, 5, 6]);
    assert!(world.model.is_idle());
}

#[test]
fn an_unacknowledged_message_is_repeated_with_its_key_and_shown_once() {
    let mut world = World::in_room();
    world.line("hello");
    let first = world.sent("send");
    world.lose();
    world.line("while away");
    assert!(world.sent.is_empty());
    world.model.connected(world.now, "token");
    world.collect();
    let hello = world.sent("hello");
    assert_eq!(hello["resume"], json!([{"room": ROOM, "epoch": 1, "seq": 3}]));
    world.answer(json!({"ev": "ok", "re": hello["id"]}));
    let again = world.sent("send");
    assert_eq!((&again["key"], &again["text"]), (&first["key"], &first["text"]));
    // The first attempt had arrived: the resume tells it, then the retry's answer names the same seq.
    world.answer(json!({"ev": "subscribed", "room": ROOM, "epoch": 1, "top": 4, "events": [message(4)], "covers": {"from": 4, "to": 4}}));
    world.answer(json!({"ev": "ok", "re": again["id"], "room": ROOM, "seq": 4}));
    let second = world.sent("send");
    assert_eq!(second["text"], "while away");
    assert_ne!(second["key"], first["key"]);
    world.answer(json!({"ev": "ok", "re": second["id"], "room": ROOM, "seq": 5}));
    assert_eq!(world.seqs(), [4, 5]);
}

#[test]
fn a_retryable_refusal_waits_and_keeps_the_order_of_messages() {
    let mut world = World::in_room();
    world.line("one");
    world.line("two");
    let one = world.sent("send");
    assert!(world.sent.is_empty(), "one at a time");
    world.answer(
        json!({"ev": "error", "re": one["id"], "code": "busy", "retryable": true, "retry_after_ms": 250}),
    );
    assert!(world.sent.is_empty());
    assert_eq!(world.model.next_deadline(world.now), world.now.mono.after(250 * Nanos::MILLISECOND));
    world.now.mono = world.now.mono.after(250 * Nanos::MILLISECOND);
    world.model.tick(world.now);
    world.collect();
    assert_eq!(world.sent("send")["key"], one["key"]);
}

#[test]
fn a_final_refusal_is_told_and_the_next_message_goes() {
    let mut world = World::in_room();
    world.line("one");
    world.line("two");
    let one = world.sent("send");
    world.answer(
        json!({"ev": "error", "re": one["id"], "code": "muted", "message": "no", "retryable": false}),
    );
    assert!(matches!(world.shown.last(), Some(Show::Refused(..))));
    assert_eq!(world.sent("send")["text"], "two");
}

#[test]
fn a_hole_is_paged_before_later_events_are_shown() {
    let mut world = World::in_room();
    world.answer(json!({"ev": "resync", "room": ROOM, "epoch": 1, "from": 4, "to": 6}));
    let page = world.sent("history");
    assert_eq!((&page["after"], &page["all"]), (&json!(3), &json!(true)));
    world.answer(message(7));
    assert!(world.seqs().is_empty());
    world.answer(json!({"ev": "history", "re": page["id"], "room": ROOM, "events": [message(4), message(6)], "covers": {"from": 4, "to": 6}}));
    assert_eq!(world.seqs(), [4, 6, 7]);
}

#[test]
fn a_room_that_cannot_be_resumed_for_now_is_kept_and_asked_for_again() {
    let mut world = World::in_room();
    world.lose();
    world.model.connected(world.now, "token");
    world.collect();
    let hello = world.sent("hello");
    world.answer(json!({"ev": "ok", "re": hello["id"]}));
    let busy = json!({"ev": "error", "room": ROOM, "code": "busy", "retryable": true, "retry_after_ms": 300});
    world.answer(busy);
    assert!(matches!(world.shown.last(), Some(Show::Note(_))));
    assert!(world.sent.is_empty() && !world.model.is_idle());
    for _ in 0..2 {
        assert_eq!(world.model.next_deadline(world.now), world.now.mono.after(300 * Nanos::MILLISECOND));
        world.now.mono = world.now.mono.after(300 * Nanos::MILLISECOND);
        world.model.tick(world.now);
        world.collect();
        let again = world.sent("subscribe");
        assert_eq!((&again["room"], &again["epoch"], &again["seq"]), (&json!(ROOM), &json!(1), &json!(3)));
        world.answer(json!({"ev": "error", "re": again["id"], "code": "unavailable", "retryable": true, "retry_after_ms": 300}));
    }
    world.now.mono = world.now.mono.after(300 * Nanos::MILLISECOND);
    world.model.tick(world.now);
    world.collect();
    let again = world.sent("subscribe");
    world.answer(json!({"ev": "subscribed", "re": again["id"], "room": ROOM, "epoch": 1, "top": 4, "events": [message(4)], "covers": {"from": 4, "to": 4}}));
    assert_eq!(world.seqs(), [4]);
    assert!(world.model.is_idle());
    assert_eq!(world.shown.iter().filter(|show| matches!(show, Show::Online(_))).count(), 1);
}

#[test]
fn a_refused_page_is_asked_for_again_when_the_server_said() {
    let mut world = World::in_room();
    world.answer(json!({"ev": "resync", "room": ROOM, "epoch": 1, "from": 4, "to": 6}));
    let page = world.sent("history");
    world.answer(
        json!({"ev": "error", "re": page["id"], "code": "busy", "retryable": true, "retry_after_ms": 400}),
    );
    world.answer(message(7));
    assert!(world.sent.is_empty(), "it would be refused again");
    assert_eq!(world.model.next_deadline(world.now), world.now.mono.after(400 * Nanos::MILLISECOND));
    world.now.mono = world.now.mono.after(400 * Nanos::MILLISECOND);
    world.model.tick(world.now);
    world.collect();
    assert_eq!(world.sent("history")["after"], 3);
}

#[test]
fn backoff_grows_with_jitter_and_obeys_the_server() {
    let mut world = World::new();
    let mut waits = Vec::new();
    for _ in 0..20 {
        world.model.disconnected(world.now, "gone", Some(1006), None);
        waits.push(world.model.connect_at.expect("an attempt").since(world.now.mono) / Nanos::MILLISECOND);
    }
    assert!(waits.iter().all(|wait| (1..=BACKOFF_MAX).contains(wait)), "{waits:?}");
    assert!(waits[0] <= BACKOFF_MIN && waits[8..].iter().any(|wait| *wait > 2_000), "{waits:?}");
    world.model.disconnected(world.now, "drain", Some(4102), Some(3_000));
    let wait = world.model.connect_at.expect("an attempt").since(world.now.mono) / Nanos::MILLISECOND;
    assert!((3_000..3_000 + BACKOFF_MIN).contains(&wait), "{wait}");
}

#[test]
fn a_close_for_good_and_a_refused_token_end_the_client() {
    let mut world = World::new();
    world.model.disconnected(world.now, "token not accepted", Some(4_000), None);
    world.collect();
    assert!(matches!(&world.other[..], [Do::Fail(why)] if why.contains("token not accepted")));
    let mut world = World::new();
    world.model.connected(world.now, "token");
    world.collect();
    let hello = world.sent("hello");
    world.answer(json!({"ev": "error", "re": hello["id"], "code": "invalid_token", "message": "no", "retryable": false}));
    assert!(matches!(&world.other[..], [Do::Fail(_)]));
}

#[test]
fn silence_drops_the_connection_and_an_ending_token_is_renewed() {
    let mut world = World::new();
    world.connect();
    world.model.expires = Some(Millis(world.now.wall.0 + 90_000));
    let deadline = world.model.next_deadline(world.now);
    assert_eq!(deadline, world.now.mono.after(30 * Nanos::SECOND));
    world.now = Now { mono: deadline, wall: Millis(world.now.wall.0 + 30_000) };
    world.model.tick(world.now);
    world.collect();
    assert_eq!(world.other, [Do::Token]);
    world.now.mono = world.now.mono.after(60 * Nanos::SECOND);
    world.model.tick(world.now);
    world.collect();
    assert_eq!(world.other, [Do::Token, Do::Drop]);
}
