//! Whether a name can be had, and what the filter knows of it.

use std::time::{Duration, Instant};

use lynk_api::names::NameOf;
use lynk_telemetry::{Metric, Snapshot, Value as Number};
use serde_json::{Value, json};

use crate::support::{Server, text};

const USERS: &str = "/v1/users/name_available?user_name=";
const ROOMS: &str = "/v1/rooms/name_available?name=";

/// What the filter said so far: free, maybe, unsure.
fn said(server: &Server) -> [f64; 3] {
    let mut snapshot = Snapshot::new();
    server.names.add_to(&mut snapshot);
    [0, 1, 2].map(|index| {
        let one =
            snapshot.series().iter().find(|one| one.metric == Metric::NamesAsked && one.label == Some(index));
        match one.map(|one| &one.value) {
            Some(Number::Number(number)) => *number,
            _ => 0.0,
        }
    })
}

/// Waits until the filter has all names.
fn filled(server: &Server) {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let mut snapshot = Snapshot::new();
        server.names.add_to(&mut snapshot);
        let ready = snapshot.series().iter().find(|one| one.metric == Metric::NamesReady);
        if ready.is_some_and(|one| one.value == Number::Number(1.0)) {
            return;
        }
        assert!(Instant::now() < until, "the filter is not filled");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_name_is_free_until_somebody_has_it_and_the_filter_spares_the_store() {
    let server = Server::new();
    filled(&server);
    let proved = server.prove("+4915112345601", "first");
    let registration = text(&proved, "registration").to_owned();
    let ask = |name: &str, token: &str| server.get(&format!("{USERS}{name}"), token);
    assert_eq!(ask("alice", &registration).ok(200), json!({"available": true}));
    assert_eq!(said(&server), [1.0, 0.0, 0.0], "no store was asked");
    let body = json!({ "registration": registration, "user_name": "alice", "device": "first" });
    let made = server.post("/v1/auth/register", &body).ok(201);
    let token = text(&made, "access_token");
    let taken = json!({"available": false, "reason": "taken", "message": "that name is taken"});
    // The filter is told of it later than the account is made.
    let until = Instant::now() + Duration::from_secs(30);
    while ask("ALICE", token).ok(200) != taken {
        assert!(Instant::now() < until, "the filter does not know the name");
        std::thread::sleep(Duration::from_millis(5));
    }
    let free = said(&server)[0];
    assert_eq!(ask("ALICE", token).ok(200), taken);
    assert_eq!(said(&server)[0], free, "a name that is there may be there");
    assert_eq!(ask("bob", token).ok(200), json!({"available": true}));
    assert_eq!(said(&server)[0], free + 1.0);
    // The registration is over.
    assert_eq!(ask("bob", &registration).code(401), "invalid_token");
}

#[test]
fn a_name_that_is_none_is_told_in_the_words_of_the_refusal() {
    let server = Server::new();
    let made = server.sign_up("+4915112345601", "alice");
    let token = text(&made, "access_token");
    for (path, name) in
        [(USERS, "ab"), (USERS, "a%20b"), (USERS, "p%D0%B0ypal"), (ROOMS, "%20"), (ROOMS, "a%00b")]
    {
        let answer = server.get(&format!("{path}{name}"), token).ok(200);
        assert_eq!(
            (&answer["available"], &answer["reason"]),
            (&json!(false), &json!("invalid")),
            "{name}: {answer}"
        );
        assert!(!text(&answer, "message").is_empty());
    }
    let refused = server.get(&format!("{USERS}p%D0%B0ypal"), token).ok(200);
    let proved = server.prove("+4915112345602", "first");
    let body = json!({ "registration": proved["registration"], "user_name": "p\u{430}ypal" });
    let create = server.post("/v1/auth/register", &body);
    assert_eq!((create.code(400), &create.body["message"]), ("invalid_field", &refused["message"]));
    let long = server.get(&format!("{ROOMS}{}", "x".repeat(101)), token).ok(200);
    assert_eq!(long["reason"], "invalid");
    for query in ["", "?name=", "?user_name=a&user_name=b"] {
        let answer = server.get(&format!("/v1/users/name_available{query}"), token);
        assert_eq!(answer.code(400), "invalid_field", "{query}");
    }
    assert_eq!(server.get("/v1/rooms/name_available", token).code(400), "invalid_field");
}

#[test]
fn nobody_asks_for_names_without_a_token_or_without_end() {
    let server = Server::new();
    for path in [format!("{USERS}alice"), format!("{ROOMS}lobby")] {
        assert_eq!(server.call("GET", &path, None, None).code(401), "not_signed_in");
        assert_eq!(server.get(&path, "nonsense").code(401), "invalid_token");
    }
    let made = server.sign_up("+4915112345601", "alice");
    let registration = server.prove("+4915112345602", "first")["registration"].clone();
    let registration = registration.as_str().expect("a token");
    // A registration is good for names of users and for nothing else.
    assert_eq!(server.get(&format!("{ROOMS}lobby"), registration).code(401), "invalid_token");
    assert_eq!(server.get("/v1/me", registration).code(401), "invalid_token");
    let token = text(&made, "access_token");
    let limited = (0..300)
        .map(|n| server.get(&format!("{USERS}name{n}"), if n % 2 == 0 { token } else { registration }));
    let refused: Vec<Value> =
        limited.filter(|answer| answer.status != 200).map(|answer| answer.body).collect();
    assert!(!refused.is_empty(), "one address asks without end");
    assert!(refused.iter().all(|body| body["code"] == "rate_limited" && body["retry_after_ms"].is_u64()));
}

#[test]
fn the_filter_is_filled_from_the_store_when_a_server_starts() {
    let server = Server::new();
    server.sign_up("+4915112345601", "alice");
    let data = server.data.clone();
    let wall = server.wall();
    server.end();
    let server = Server::over(
        data,
        crate::support::lax(),
        std::sync::Arc::new(lynk_api::accounts::NoBlocks),
        wall + 60_000,
    );
    filled(&server);
    let registration = server.prove("+4915112345602", "first")["registration"].clone();
    let registration = registration.as_str().expect("a token");
    assert_eq!(server.get(&format!("{USERS}alice"), registration).ok(200)["reason"], "taken");
    assert_eq!(said(&server), [0.0, 1.0, 0.0]);
    assert_eq!(server.get(&format!("{USERS}carol"), registration).ok(200)["available"], true);
    assert_eq!(said(&server), [1.0, 1.0, 0.0]);
    // Of a room and of a user: not the same name.
    server.names.note(NameOf::Room, "carol");
    assert_eq!(server.get(&format!("{USERS}carol"), registration).ok(200)["available"], true);
    assert_eq!(said(&server)[0], 2.0);
}
