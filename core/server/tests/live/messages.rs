//! What messages can say and how they are found again, over sockets and HTTP.

use serde_json::{Value, json};

use crate::support::http::Http;
use crate::support::{Chatter, NO_RATES, Server, key};

/// An HTTP connection of the user of a socket.
fn http_of(server: &Server, chatter: &Chatter) -> Http {
    let mut http = Http::connect(&server.address);
    http.token = Some(server.token(chatter.user));
    http
}

fn row_of(http: &mut Http, room: &str) -> Value {
    http.good("GET", &format!("/v1/rooms/{room}"), Value::Null, 200)
}

#[test]
fn mentions_are_seen_and_counted_over_sockets_and_http_also_after_a_restart() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let options = [&NO_RATES[..], &["--shards", "2"]].concat();
    let server = Server::start(temp.path(), &options);
    let (mut alice, mut bob) = (Chatter::sign_in(&server), Chatter::sign_in(&server));
    let cyd = Chatter::sign_in(&server);
    let room = alice.create();
    bob.join(&room);
    let mut of_cyd = http_of(&server, &cyd);
    of_cyd.good("POST", &format!("/v1/rooms/{room}/join"), json!({"key": key().to_string()}), 200);
    let messages = format!("/v1/rooms/{room}/messages");
    let (mut of_alice, cyd_id) = (http_of(&server, &alice), cyd.user.to_string());

    let first = json!({"key": key().to_string(), "text": "@cyd", "mentions": [&cyd_id]});
    let sent = of_alice.good("POST", &messages, first.clone(), 201);
    assert_eq!(bob.event("message")["mentions"], json!([&cyd_id]));
    assert_eq!(of_alice.good("POST", &messages, first.clone(), 200), sent, "a retry");
    let mut other = first;
    other["mentions"] = json!([]);
    of_alice.bad("POST", &messages, other, 409, "idempotency_conflict");
    let stranger = json!({"key": key().to_string(), "text": "x", "mentions": [key().to_string()]});
    of_alice.bad("POST", &messages, stranger, 400, "invalid_field");
    let crowd = vec![&cyd_id; 51];
    let crowd = json!({"key": key().to_string(), "text": "x", "mentions": crowd});
    of_alice.good("POST", &messages, crowd, 201);
    let everybody = json!({"key": key().to_string(), "text": "all", "mention_all": true});
    of_cyd.bad("POST", &messages, everybody.clone(), 403, "forbidden");
    of_alice.good("POST", &messages, everybody, 201);

    let row = row_of(&mut of_cyd, &room);
    assert_eq!((&row["unread"], &row["mentions"]), (&json!(3), &json!(3)), "{row}");
    let edit = json!({"key": key().to_string(), "text": "nobody"});
    of_alice.good("PATCH", &format!("{messages}/{}", sent["seq"]), edit, 200);
    assert_eq!(row_of(&mut of_cyd, &room)["mentions"], 2);
    assert!(server.stop().success());

    let server = Server::start(temp.path(), &options);
    let mut of_cyd = http_of(&server, &cyd);
    assert_eq!(row_of(&mut of_cyd, &room)["mentions"], 2, "after a restart");
    let block = format!("/v1/blocks/{}?key={}", alice.user, key());
    of_cyd.good("PUT", &block, Value::Null, 200);
    assert_eq!(row_of(&mut of_cyd, &room)["mentions"], 0, "across a block");
    let read = json!({"seq": sent["seq"]});
    let read = of_cyd.good("POST", &format!("/v1/rooms/{room}/read"), read, 200);
    assert_eq!(read["unread"], 2);
    assert!(server.stop().success());
}

#[test]
fn the_past_is_found_by_time_over_sockets_and_http() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let options = [&NO_RATES[..], &["--shards", "2", "--set", "limits.room_window_events_max=100"]].concat();
    let mut server = Server::start(temp.path(), &options);
    let mut alice = Chatter::sign_in(&server);
    let room = alice.create();
    let said: Vec<Value> = (0..300).map(|i| alice.say(&room, &format!("text {i}"))).collect();
    for restarted in [false, true] {
        if restarted {
            assert!(server.stop().success());
            server = Server::start(temp.path(), &options);
            alice = Chatter::sign_in_as(&server, alice.user, json!([]));
        }
        let mut http = http_of(&server, &alice);
        for index in [0, 1, 77, 150, 299] {
            let time = said[index]["time"].as_str().expect("a time");
            // Others may have been said in the same millisecond.
            let first = said.iter().position(|one| one["time"] == time).expect("it is there");
            let page = alice.ask(json!({"op": "history", "room": room, "at": time, "limit": 2}));
            assert_eq!(page["events"][0]["seq"], said[first]["seq"], "{time}: {page}");
            let path = format!("/v1/rooms/{room}/messages?at={time}&limit=2");
            let over_http = http.good("GET", &path, Value::Null, 200);
            assert_eq!(over_http["events"], page["events"]);
        }
        let path = |at: &str| format!("/v1/rooms/{room}/messages?at={at}");
        let page = http.good("GET", &path("0"), Value::Null, 200);
        assert_eq!(page["covers"]["from"], 1);
        let page = http.good("GET", &path("9007199254740991"), Value::Null, 200);
        assert_eq!((&page["events"], &page["more"]), (&json!([]), &json!(false)));
        for bad in ["yesterday", "-1", "1.5", "9007199254740992", "", "2026-11-23"] {
            http.bad("GET", &path(bad), Value::Null, 400, "invalid_field");
        }
        http.bad("GET", &format!("{}&after=3", path("0")), Value::Null, 400, "invalid_field");
    }
    assert!(server.stop().success());
}
