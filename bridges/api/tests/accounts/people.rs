//! Profiles, and finding people.

use std::sync::Arc;

use lynk_domain::UserId;
use serde_json::{Value, json};

use crate::sessions::Apart;
use crate::support::{START, Server, lax, text};

const ALICE: &str = "+4915112345601";
const BOB: &str = "+4915112345602";
const DAY: u64 = 24 * 60 * 60 * 1_000;

fn change(server: &Server, token: &str, body: Value) -> crate::support::Answer {
    server.call("PATCH", "/v1/me", Some(token), Some(&body))
}

/// Signs in again: an access token lives for minutes.
fn again(server: &Server, phone: &str) -> String {
    text(&server.sign_in(phone, "again"), "access_token").to_owned()
}

#[test]
fn a_profile_changes_and_others_see_a_newer_one() {
    let server = Server::new();
    let alice = server.sign_up(ALICE, "alice");
    let bob = server.sign_up(BOB, "bob");
    let (alice, bob) = (text(&alice, "access_token"), text(&bob, "access_token"));
    let before = server.get("/v1/users/by_name/alice", bob).ok(200);
    assert_eq!((&before["bio"], &before["avatar"]), (&json!(""), &Value::Null));
    server.advance(1_000);
    let body = json!({"display_name": " Ada Lovelace ", "bio": "I count.\r\nAnd I write.", "nonsense": 1});
    let me = change(&server, alice, body).ok(200);
    assert_eq!((&me["display_name"], &me["bio"]), (&json!("Ada Lovelace"), &json!("I count.\nAnd I write.")));
    assert_eq!(server.get("/v1/me", alice).ok(200), me);
    let after = server.get(&format!("/v1/users?ids={}", text(&me, "user")), bob).ok(200)["users"][0].clone();
    assert_eq!((&after["display_name"], &after["bio"]), (&me["display_name"], &me["bio"]));
    assert!(after["updated_at"].as_u64() > before["updated_at"].as_u64(), "caches can tell");
    assert!(after.get("phone").is_none() && after.get("created_at").is_none(), "{after}");
    // What is left out stays; what is empty falls back.
    assert_eq!(change(&server, alice, json!({})).ok(200), me);
    let bare = change(&server, alice, json!({"display_name": "", "bio": ""})).ok(200);
    assert_eq!((&bare["display_name"], &bare["bio"]), (&json!("alice"), &json!("")));
    let both = change(&server, alice, json!({"user_name": "ada", "display_name": " "})).ok(200);
    assert_eq!((&both["user_name"], &both["display_name"]), (&json!("ada"), &json!("ada")));
}

#[test]
fn a_profile_that_is_none_changes_nothing() {
    let server = Server::new();
    let alice = server.sign_up(ALICE, "alice");
    server.sign_up(BOB, "bob");
    let token = text(&alice, "access_token");
    let before = server.get("/v1/me", token).ok(200);
    for (body, code) in [
        (json!({"bio": "kept?", "user_name": "a b"}), "invalid_field"),
        (json!({"bio": "kept?", "user_name": "p\u{430}ypal"}), "invalid_field"),
        (json!({"bio": "kept?", "display_name": "a\nb"}), "invalid_field"),
        (json!({"user_name": "ada", "bio": "x".repeat(501)}), "invalid_field"),
        (json!({"user_name": "ada", "bio": 7}), "invalid_field"),
        (json!(["ada"]), "bad_request"),
    ] {
        let answer = change(&server, token, body);
        assert_eq!(answer.code(400), code, "{}", answer.body);
    }
    let taken = change(&server, token, json!({"bio": "kept?", "user_name": "BOB"}));
    assert_eq!(taken.code(409), "name_taken");
    assert_eq!(server.get("/v1/me", token).ok(200), before);
    let none = server.call("PATCH", "/v1/me", None, Some(&json!({"bio": "x"})));
    assert_eq!(none.code(401), "not_signed_in");
}

#[test]
fn a_user_name_changes_three_times_in_thirty_days_and_the_old_one_stays_closed() {
    let server = Server::new();
    let alice = server.sign_up(ALICE, "alice");
    let bob = server.sign_up(BOB, "bob");
    let (alice, bob) = (text(&alice, "access_token"), text(&bob, "access_token"));
    // What does not become one is not counted: a name of somebody, and the name that one has.
    for name in ["bob", "BOB", "alice", "bob", "alice"] {
        change(&server, alice, json!({"user_name": name}));
    }
    for name in ["ada", "Ada", "countess"] {
        assert_eq!(change(&server, alice, json!({"user_name": name})).ok(200)["user_name"], name);
    }
    let refused = change(&server, alice, json!({"user_name": "lovelace"}));
    assert_eq!(refused.code(429), "rate_limited");
    let wait = refused.body["retry_after_ms"].as_u64().expect("a time");
    assert!((29 * DAY..=32 * DAY).contains(&wait), "{wait}");
    change(&server, alice, json!({"bio": "other things change"})).ok(200);
    assert_eq!(server.get("/v1/users/by_name/alice", bob).code(404), "user_not_found");
    assert_eq!(change(&server, bob, json!({"user_name": "ada"})).code(409), "name_taken");
    assert_eq!(server.get("/v1/users/name_available?user_name=alice", bob).ok(200)["reason"], "taken");
    server.advance(wait);
    let (alice, bob) = (again(&server, ALICE), again(&server, BOB));
    change(&server, &alice, json!({"user_name": "lovelace"})).ok(200);
    assert_eq!(change(&server, &bob, json!({"user_name": "alice"})).ok(200)["user_name"], "alice");
}

#[test]
fn people_are_searched_by_the_beginnings_of_their_names_but_not_across_a_block() {
    let server = Server::new();
    let people = [
        (ALICE, "ada", "Ada Lovelace"),
        (BOB, "lovely", "Élodie Lové"),
        ("+4915112345603", "adam.smith", "Adam Smith"),
    ];
    let people = people.map(|(phone, name, display_name)| {
        let made = server.sign_up(phone, name);
        change(&server, text(&made, "access_token"), json!({"display_name": display_name})).ok(200);
        made
    });
    let token = text(&people[2], "access_token");
    let names = |found: &Value| -> Vec<String> {
        let users = found["users"].as_array().expect("people");
        users.iter().map(|user| text(user, "user_name").to_owned()).collect()
    };
    let find = |q: &str, token: &str| server.get(&format!("/v1/users/search?q={q}"), token).ok(200);
    assert_eq!(names(&find("LOV", token)), ["lovely", "ada"]);
    assert_eq!(names(&find("elodie%20lov", token)), ["lovely"]);
    assert_eq!(names(&find("ada", token)), ["ada"], "without oneself");
    assert_eq!(find("nobody", token), json!({"users": []}));
    let found = find("lovely", token);
    assert!(!found.to_string().contains("+49") && found["users"][0].get("phone").is_none(), "{found}");
    // Page by page.
    let first = server.get("/v1/users/search?q=lo&limit=1", token).ok(200);
    let next = text(&first, "next");
    let second = server.get(&format!("/v1/users/search?q=lo&limit=1&after={next}"), token).ok(200);
    assert_eq!((names(&first), names(&second)), (vec!["lovely".to_owned()], vec!["ada".to_owned()]));
    let numbers = ["%2B49151", "15112345601"];
    for number in numbers {
        assert_eq!(find(number, token), json!({"users": []}), "no number is found");
    }
    for bad in [
        "",
        "?q=",
        "?q=%21",
        "?q=a",
        "?q=ada&limit=0",
        "?q=ada&limit=51",
        "?q=ada&after=x",
        "?q=a&q=b",
        "?q=%FF",
    ] {
        assert_eq!(server.get(&format!("/v1/users/search{bad}"), token).code(400), "invalid_field", "{bad}");
    }
    assert_eq!(server.call("GET", "/v1/users/search?q=ada", None, None).code(401), "not_signed_in");
    let ids = [0, 2].map(|n| UserId::parse(text(&people[n]["user"], "user")).expect("an id"));
    let data = Arc::clone(&server.data);
    server.end();
    let server = Server::over(data, lax(), Arc::new(Apart(ids.to_vec())), START);
    let find = |q: &str, token: &str| server.get(&format!("/v1/users/search?q={q}"), token).ok(200);
    assert_eq!(names(&find("ada", token)), [""; 0], "they block each other");
    assert_eq!(names(&find("ada", text(&people[1], "access_token"))), ["ada", "adam.smith"]);
}
