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
