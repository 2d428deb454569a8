//! People chat, on both drivers and with several shards.

use serde_json::json;

use crate::support::{Chatter, NO_RATES, Server, key};

/// Runs a test on each driver, and on one and four shards.
fn on_every_driver(test: impl Fn(&Server)) {
    for backend in ["epoll", "auto"] {
        for shards in ["1", "4"] {
            let temp = tempfile::tempdir().expect("temporary directory");
            let options = ["--backend", backend, "--shards", shards];
            let server = Server::start(temp.path(), &[&NO_RATES[..], &options].concat());
            test(&server);
            assert!(server.stop().success());
        }
    }
}

#[test]
fn two_people_talk_in_a_room_and_in_private() {
    on_every_driver(|server| {
        let (mut alice, mut bob) = (Chatter::sign_in(server), Chatter::sign_in(server));
        let room = alice.create();
        bob.join(&room);
        let joined = alice.event("joined");
        assert_eq!(joined["user"], bob.user.to_string());

        let ok = alice.say(&room, "hello «bob» \u{1f600}");
        assert_eq!(ok["level"], "local");
        let message = bob.event("message");
        assert_eq!(message["text"], "hello «bob» \u{1f600}");
        assert_eq!((&message["seq"], &message["id"], &message["n"]), (&ok["seq"], &ok["id"], &ok["n"]));
        assert_eq!(message["from"], alice.user.to_string());

        bob.say(&room, "hello alice");
        assert_eq!(alice.event("message")["text"], "hello alice");
        bob.tell(json!({"op": "typing", "room": room}));
        assert_eq!(alice.event("typing")["user"], bob.user.to_string());

        let direct = alice.ask(json!({"op": "direct", "user": bob.user.to_string()}));
        let private = direct["room"].as_str().expect("an id").to_owned();
        let added = bob.event("added");
        assert_eq!((&added["room"], &added["kind"]), (&direct["room"], &json!("direct")));
        assert_eq!(added["peer"], alice.user.to_string(), "the other side is told at once");
        alice.subscribe(&private);
        assert_eq!(bob.ask(json!({"op": "direct", "user": alice.user.to_string()}))["room"], private);
        bob.subscribe(&private);
        alice.say(&private, "just us");
        assert_eq!(bob.event("message")["room"], private);
        for past in [
            alice.ask(json!({"op": "history", "room": private})),
            bob.ask(json!({"op": "history", "room": room})),
        ] {
            let texts: Vec<_> =
                past["events"].as_array().expect("a page").iter().map(|e| &e["text"]).collect();
            let expected = if past["room"] == *private {
                vec!["just us"]
            } else {
                vec!["hello alice", "hello «bob» \u{1f600}"]
            };
            assert_eq!(texts, expected, "newest first");
        }

        let mut carol = Chatter::sign_in(server);
        let refused = carol.ask(json!({"op": "subscribe", "room": private}));
        assert_eq!(refused["code"], "room_not_found", "a stranger does not learn that it exists");
    });
}

#[test]
fn a_retry_with_the_same_key_is_one_message() {
    on_every_driver(|server| {
        let mut alice = Chatter::sign_in(server);
        let room = alice.create();
        let send = json!({"op": "send", "room": room, "key": key().to_string(), "text": "once"});
        let first = alice.ask(send.clone());
        let again = alice.ask(send.clone());
        assert_eq!((&first["seq"], &first["id"]), (&again["seq"], &again["id"]));
        let mut other = send;
        other["text"] = "twice".into();
        assert_eq!(alice.ask(other)["code"], "idempotency_conflict");
        let texts: Vec<_> =
            alice.log(&room, 0).into_iter().filter(|event| event["ev"] == "message").collect();
        assert_eq!(texts.len(), 1);
    });
}

#[test]
fn who_was_away_resumes_without_gap_or_repeat() {
    on_every_driver(|server| {
        let (mut alice, mut bob) = (Chatter::sign_in(server), Chatter::sign_in(server));
        let room = alice.create();
        bob.join(&room);
        let seen = alice.say(&room, "before")["seq"].as_u64().expect("a number");
        assert_eq!(bob.event("message")["seq"], seen);
        let user = bob.user;
        drop(bob);
        for n in 0..150 {
            alice.say(&room, &format!("away {n}"));
        }
        let mut bob = Chatter::sign_in_as(server, user, json!([{"room": room, "epoch": 0, "seq": seen}]));
        let resumed = bob.event("subscribed");
        assert_eq!(resumed["top"], seen + 150);
        // What the resume left out is paged; together it is everything, once.
        let from = resumed["covers"]["from"].as_u64().expect("a number");
        let mut seqs: Vec<u64> = bob
            .log(&room, seen)
            .iter()
            .filter_map(|event| event["seq"].as_u64())
            .filter(|seq| {
                *seq < from || resumed["covers"]["from"].as_u64() > resumed["covers"]["to"].as_u64()
            })
            .collect();
        let resumed = resumed["events"].as_array().expect("a list").clone();
        seqs.extend(resumed.iter().filter_map(|event| event["seq"].as_u64()));
        let expected: Vec<u64> = (seen + 1..=seen + 150).collect();
        seqs.sort_unstable();
        seqs.dedup();
        assert_eq!(seqs, expected);
        alice.say(&room, "live");
        assert_eq!(bob.event("message")["seq"], seen + 151);
    });
}

#[test]
fn a_banned_member_hears_nothing_after_the_ban() {
    on_every_driver(|server| {
        let (mut alice, mut bob) = (Chatter::sign_in(server), Chatter::sign_in(server));
        let room = alice.create();
        bob.join(&room);
        let ban = alice
            .ask(json!({"op": "ban", "room": room, "user": bob.user.to_string(), "key": key().to_string()}));
        assert_eq!(ban["ev"], "ok", "{ban}");
        alice.say(&room, "now that he is gone");
        assert_eq!(bob.event("banned")["user"], bob.user.to_string());
        let refused =
            bob.ask(json!({"op": "send", "room": room, "key": key().to_string(), "text": "let me in"}));
        assert_eq!(refused["code"], "banned");
        assert!(bob.events.iter().all(|event| event["ev"] != "message"), "{:?}", bob.events);
    });
}

#[test]
fn a_room_is_found_by_its_name_however_it_is_written() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(temp.path(), &[]);
    let mut alice = Chatter::sign_in(&server);
    let ok = alice.ask(json!({"op": "create", "key": key().to_string(), "name": "Straße"}));
    let mut bob = Chatter::sign_in(&server);
    assert_eq!(bob.ask(json!({"op": "find", "name": "STRASSE"}))["room"], ok["room"]);
    assert_eq!(bob.ask(json!({"op": "find", "name": "Gasse"}))["code"], "room_not_found");
    let hidden = json!({"op": "create", "key": key().to_string(), "name": "Hinterhof", "kind": "private"});
    assert_eq!(alice.ask(hidden)["ev"], "ok");
    assert_eq!(bob.ask(json!({"op": "find", "name": "Hinterhof"}))["code"], "room_not_found");
}
