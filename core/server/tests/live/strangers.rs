//! Conversations of two that strangers begin: on sockets, over HTTP, over restarts, and what devices are told of them.

use serde_json::{Value, json};

use crate::people::{as_user, sign_in, socket};
use crate::support::http::Http;
use crate::support::{Chatter, NO_RATES, PATIENCE, Server, key};

const NUMBERS: [&str; 3] = ["+4915112345611", "+4915112345612", "+4915112345613"];

fn start(data: &std::path::Path, options: &[&str]) -> Server {
    Server::start(data, &[&NO_RATES[..], &["--set", "sms.console=file", "--shards", "2"], options].concat())
}

fn id(person: &Value) -> &str {
    person["user"]["user"].as_str().expect("an id")
}

fn direct(person: &Value) -> Value {
    json!({"op": "direct", "user": id(person)})
}

fn say(who: &mut Chatter, room: &str, text: &str) -> Value {
    who.ask(json!({"op": "send", "room": room, "text": text, "key": key().to_string()}))
}

fn answer(who: &mut Chatter, op: &str, room: &str) -> Value {
    who.ask(json!({"op": op, "room": room, "key": key().to_string()}))
}

fn rooms(http: &mut Http) -> Vec<Value> {
    http.good("GET", "/v1/rooms", Value::Null, 200)["rooms"].as_array().expect("a list").clone()
}

#[test]
fn a_stranger_waits_until_the_other_accepts_also_over_a_restart() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = start(temp.path(), &[]);
    let [alice, bob] = [0, 1].map(|n| sign_in(&server, temp.path(), NUMBERS[n], ["alice", "bob"][n]));
    let (mut hers, mut his) = (socket(&server, &alice).0, socket(&server, &bob).0);
    let begun = hers.ask(direct(&bob));
    assert_eq!(begun["request"], "sent", "{begun}");
    let room = begun["room"].as_str().expect("an id").to_owned();
    let added = his.event("added");
    assert_eq!((&added["room"], &added["request"]), (&begun["room"], &json!("received")));
    his.subscribe(&room);
    hers.subscribe(&room);
    for text in ["one", "two", "three"] {
        assert_eq!(say(&mut hers, &room, text)["ev"], "ok");
        assert_eq!(his.event("message")["text"], text);
    }
    let (mut of_hers, mut of_his) = (as_user(&server, &alice), as_user(&server, &bob));
    let messages = format!("/v1/rooms/{room}/messages");
    let body = || json!({"key": key().to_string(), "text": "four"});
    of_hers.bad("POST", &messages, body(), 403, "request_pending");
    of_his.bad("POST", &messages, body(), 403, "request_pending");
    of_his.bad("POST", &format!("/v1/rooms/{room}/typing"), json!({}), 403, "request_pending");
    assert_eq!(rooms(&mut of_hers)[0]["request"], "sent");
    assert_eq!(
        (&rooms(&mut of_his)[0]["request"], &rooms(&mut of_his)[0]["unread"]),
        (&json!("received"), &json!(3))
    );
    let about = |http: &mut Http| http.good("GET", &format!("/v1/rooms/{room}/about"), Value::Null, 200);
    assert_eq!(about(&mut of_his)["request"], "received");
    drop((hers, his));
    assert!(server.stop().success());

    let server = start(temp.path(), &[]);
    let (mut hers, mut his) = (socket(&server, &alice).0, socket(&server, &bob).0);
    let (mut of_hers, mut of_his) = (as_user(&server, &alice), as_user(&server, &bob));
    assert_eq!(say(&mut hers, &room, "four")["code"], "request_pending");
    let accept = format!("/v1/rooms/{room}/accept");
    of_hers.bad("POST", &accept, json!({"key": key().to_string()}), 409, "conflict");
    of_his.good("POST", &accept, json!({"key": key().to_string()}), 200);
    for who in [&mut hers, &mut his] {
        let told = who.event("conversation_accepted");
        assert_eq!((&told["room"], &told["user"]), (&json!(room), &bob["user"]["user"]));
    }
    assert_eq!(say(&mut his, &room, "hello")["ev"], "ok");
    assert_eq!(say(&mut hers, &room, "four")["ev"], "ok");
    assert!(rooms(&mut of_hers)[0].get("request").is_none());
    let found = of_hers.good("POST", "/v1/direct", json!({"user": id(&bob)}), 200);
    assert_eq!((&found["room"], found.get("request")), (&json!(room), None));
    assert!(server.stop().success());
}

#[test]
fn a_declined_stranger_is_told_nothing_and_heard_no_more() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = start(temp.path(), &[]);
    let [alice, bob] = [0, 1].map(|n| sign_in(&server, temp.path(), NUMBERS[n], ["alice", "bob"][n]));
    let (mut hers, mut his) = (socket(&server, &alice).0, socket(&server, &bob).0);
    let mut other = socket(&server, &bob).0;
    let room = hers.ask(direct(&bob))["room"].as_str().expect("an id").to_owned();
    hers.subscribe(&room);
    his.subscribe(&room);
    other.subscribe(&room);
    let first = say(&mut hers, &room, "buy");
    assert_eq!(his.event("message")["text"], "buy");
    assert_eq!(other.event("message")["text"], "buy");
    assert_eq!(answer(&mut his, "decline_conversation", &room)["ev"], "ok");
    assert_eq!(other.event("removed")["room"], json!(room));
    // Who asked goes on as if it waited: two messages more, no changes of what was said, and no word of it.
    let edit =
        json!({"op": "edit", "room": room, "seq": first["seq"], "text": "buy now", "key": key().to_string()});
    assert_eq!(hers.ask(edit)["code"], "request_pending");
    for code in [None, None, Some("request_pending")] {
        assert_eq!(say(&mut hers, &room, "buy")["code"].as_str(), code);
    }
    assert_eq!(hers.ask(direct(&bob))["request"], "sent");
    assert_eq!(rooms(&mut as_user(&server, &alice))[0]["request"], "sent");
    let members = hers.ask(json!({"op": "members", "room": room}));
    assert_eq!(members["count"], 2, "{members}");
    // The other hears none of it: the answer to a later command comes first.
    for who in [&mut his, &mut other] {
        who.events.clear();
        assert_eq!(who.ask(json!({"op": "history", "room": room}))["code"], "room_not_found");
        assert!(who.events.is_empty(), "{:?}", who.events);
    }
    assert_eq!(rooms(&mut as_user(&server, &bob)), Vec::<Value>::new());
    drop((hers, his, other));
    assert!(server.stop().success());
    let server = start(temp.path(), &[]);
    let mut his = socket(&server, &bob).0;
    assert_eq!(rooms(&mut as_user(&server, &bob)), Vec::<Value>::new());
    assert_eq!(answer(&mut his, "accept_conversation", &room)["code"], "room_not_found");
    // He may begin it himself.
    let begun = his.ask(direct(&alice));
    assert_eq!((&begun["room"], begun.get("request")), (&json!(room), None));
    assert_eq!(say(&mut his, &room, "after all")["ev"], "ok");
    assert_eq!(rooms(&mut as_user(&server, &bob)).len(), 1);
    assert!(server.stop().success());
}

#[test]
fn whom_a_stranger_adds_to_a_room_is_asked_until_it_writes_there() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = start(temp.path(), &[]);
    let [alice, bob, carol] =
        [0, 1, 2].map(|n| sign_in(&server, temp.path(), NUMBERS[n], ["alice", "bob", "carol"][n]));
    let [mut hers, mut his, mut of_carol] = [&alice, &bob, &carol].map(|who| socket(&server, who).0);
    let made = json!({"op": "create", "name": "prizes", "kind": "private", "key": key().to_string()});
    let room = hers.ask(made)["room"].as_str().expect("an id").to_owned();
    for who in [&bob, &carol] {
        let add = json!({"op": "invite", "room": room, "user": id(who), "key": key().to_string()});
        assert_eq!(hers.ask(add)["ev"], "ok");
    }
    assert_eq!(his.event("added")["room"], json!(room));
    assert_eq!(hers.ask(direct(&bob))["request"], "sent", "a room of hers makes nobody less of a stranger");
    let begun = his.ask(direct(&carol));
    assert_eq!(begun["request"], "sent", "nor does it him, to whom else she added");
    // Who takes conversations of members of rooms alone is not begun one with.
    let rooms_alone = json!({"direct_from": "rooms"});
    as_user(&server, &carol).good("PUT", "/v1/me/privacy", rooms_alone, 200);
    assert_eq!(hers.ask(direct(&carol))["code"], "forbidden");
    assert_eq!(say(&mut of_carol, &room, "what is this?")["ev"], "ok");
    // It is noted a moment after it is said.
    let deadline = std::time::Instant::now() + PATIENCE;
    let begun = loop {
        let begun = hers.ask(direct(&carol));
        if begun["ev"] == "ok" || std::time::Instant::now() > deadline {
            break begun;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    assert_eq!((&begun["ev"], begun.get("request")), (&json!("ok"), None), "{begun}");
    assert!(server.stop().success());
}

#[test]
fn so_many_strangers_are_asked_in_a_day() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = start(temp.path(), &["--set", "limits.message_requests_per_day=1"]);
    let [alice, bob, carol] =
        [0, 1, 2].map(|n| sign_in(&server, temp.path(), NUMBERS[n], ["alice", "bob", "carol"][n]));
    let mut hers = socket(&server, &alice).0;
    assert_eq!(hers.ask(direct(&bob))["request"], "sent");
    let refused = hers.ask(direct(&carol));
    assert_eq!(refused["code"], "rate_limited", "{refused}");
    assert!(refused["retry_after_ms"].as_u64().is_some_and(|wait| wait > 23 * 60 * 60 * 1_000), "{refused}");
    as_user(&server, &alice).bad("POST", "/v1/direct", json!({"user": id(&carol)}), 429, "rate_limited");
    // With whom a room is shared one is no stranger.
    let room = hers.create();
    socket(&server, &carol).0.join(&room);
    let begun = hers.ask(direct(&carol));
    assert_eq!((&begun["ev"], begun.get("request")), (&json!("ok"), None));
    assert!(server.stop().success());
}
