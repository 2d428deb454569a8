//! Rooms and messages over HTTP: what a socket can do, seen from a socket.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::http::Http;
use crate::support::{Chatter, NO_RATES, PATIENCE, Server, key, token_from, user};

/// Runs a test on each driver, on one and four shards.
fn on_every_driver(test: impl Fn(&Server)) {
    for (backend, shards) in [("epoll", "1"), ("auto", "4"), ("epoll", "4"), ("auto", "1")] {
        let temp = tempfile::tempdir().expect("temporary directory");
        let options = ["--backend", backend, "--shards", shards];
        let server = Server::start(temp.path(), &[&NO_RATES[..], &options].concat());
        test(&server);
        assert!(server.stop().success());
    }
}

/// A signed-in HTTP connection of a new user.
fn caller(server: &Server) -> (Http, String) {
    let user = user();
    let mut http = Http::connect(&server.address);
    http.token = Some(server.token(user));
    (http, user.to_string())
}

fn name() -> String {
    format!("room {}", key())
}

#[test]
fn what_is_sent_over_http_is_seen_on_sockets_and_the_other_way_round() {
    on_every_driver(|server| {
        let (mut alice, alice_id) = caller(server);
        let made = alice.good("POST", "/v1/rooms", json!({"key": key().to_string(), "name": name()}), 201);
        assert_eq!(made.get("ev"), None);
        let room = made["room"].as_str().expect("an id").to_owned();
        let mut bob = Chatter::sign_in(server);
        bob.join(&room);

        let messages = format!("/v1/rooms/{room}/messages");
        let sent = alice.good(
            "POST",
            &messages,
            json!({"key": key().to_string(), "text": "hello «bob» \u{1f600}"}),
            201,
        );
        let seen = bob.event("message");
        assert_eq!((&seen["seq"], &seen["id"], &seen["n"]), (&sent["seq"], &sent["id"], &sent["n"]));
        assert_eq!(
            (&seen["text"], &seen["from"]),
            (&"hello «bob» \u{1f600}".into(), &alice_id.clone().into())
        );
        assert_eq!(sent["level"], "local");

        let said = bob.say(&room, "hello alice");
        let page = alice.good("GET", &format!("{messages}?limit=10"), Value::Null, 200);
        assert_eq!(page["events"][0]["text"], "hello alice");
        assert_eq!(page["events"][0]["seq"], said["seq"]);
        assert_eq!(page["more"], false);

        let seq = &sent["seq"];
        alice.good(
            "PATCH",
            &format!("{messages}/{seq}"),
            json!({"key": key().to_string(), "text": "hi"}),
            200,
        );
        assert_eq!(bob.event("edit")["text"], "hi");
        let reaction = format!("{messages}/{}/reactions/%F0%9F%91%8D?key={}", said["seq"], key());
        alice.good("PUT", &reaction, Value::Null, 200);
        let event = bob.event("reaction");
        assert_eq!((&event["emoji"], &event["on"]), (&"\u{1f44d}".into(), &true.into()));
        let reaction = format!("{messages}/{}/reactions/%F0%9F%91%8D?key={}", said["seq"], key());
        alice.good("DELETE", &reaction, Value::Null, 200);
        assert_eq!(bob.event("reaction")["on"], false);
        alice.good("PUT", &format!("{messages}/{seq}/pin?key={}", key()), Value::Null, 200);
        assert_eq!(bob.event("pinned")["on"], true);
        alice.good("POST", &format!("/v1/rooms/{room}/typing"), json!({"on": true}), 200);
        assert_eq!(bob.event("typing")["user"], alice_id);
        let read = alice.good("POST", &format!("/v1/rooms/{room}/read"), json!({"seq": said["seq"]}), 200);
        assert_eq!(read["unread"], 0);
        assert_eq!(bob.event("read")["user"], alice_id);
        alice.good("DELETE", &format!("{messages}/{seq}?key={}", key()), Value::Null, 200);
        assert_eq!(bob.event("delete")["target"], *seq);

        let row = alice.good("GET", &format!("/v1/rooms/{room}"), Value::Null, 200);
        let rooms = alice.good("GET", "/v1/rooms", Value::Null, 200);
        assert_eq!(rooms["rooms"], json!([row]));
        assert_eq!((&row["role"], &row["room"]), (&"owner".into(), &room.clone().into()));
        let here = alice.good("GET", &format!("/v1/rooms/{room}/here"), Value::Null, 200);
        assert_eq!(here["users"], json!([bob.user.to_string()]));
        let members = alice.good("GET", &format!("/v1/rooms/{room}/members?limit=1"), Value::Null, 200);
        assert_eq!((&members["count"], &members["more"]), (&2.into(), &true.into()));
    });
}

#[test]
fn a_retry_is_told_apart_and_changes_nothing() {
    on_every_driver(|server| {
        let (mut alice, _) = caller(server);
        let create = json!({"key": key().to_string(), "name": name()});
        let made = alice.good("POST", "/v1/rooms", create.clone(), 201);
        let again = alice.good("POST", "/v1/rooms", create, 200);
        assert_eq!(made["room"], again["room"]);
        let messages = format!("/v1/rooms/{}/messages", made["room"].as_str().expect("an id"));
        let send = json!({"key": key().to_string(), "text": "once"});
        let first = alice.good("POST", &messages, send.clone(), 201);
        let again = alice.good("POST", &messages, send.clone(), 200);
        assert_eq!(first, again, "the same answer, and no word more");
        let other = json!({"key": send["key"], "text": "twice"});
        alice.bad("POST", &messages, other, 409, "idempotency_conflict");
        let page = alice.good("GET", &messages, Value::Null, 200);
        assert_eq!(page["events"].as_array().map(Vec::len), Some(1));
    });
}

#[test]
fn every_refusal_has_the_status_of_its_code() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(temp.path(), &[&NO_RATES[..], &["--shards", "2"]].concat());
    let (mut alice, alice_id) = caller(&server);
    let (mut bob, bob_id) = caller(&server);
    let title = name();
    let made = alice.good("POST", "/v1/rooms", json!({"key": key().to_string(), "name": title}), 201);
    let room = made["room"].as_str().expect("an id").to_owned();
    let at = |rest: &str| format!("/v1/rooms/{room}{rest}");
    let k = || key().to_string();

    bob.bad("POST", "/v1/rooms", json!({"key": k(), "name": title}), 409, "name_taken");
    bob.bad("GET", &at(""), Value::Null, 404, "room_not_found");
    bob.bad("GET", &at("/here"), Value::Null, 403, "not_a_member");
    bob.bad("POST", &at("/messages"), json!({"key": k(), "text": "x"}), 403, "not_a_member");
    bob.good("POST", &at("/join"), json!({"key": k()}), 200);
    alice.bad("POST", &at("/leave"), json!({"key": k()}), 409, "last_owner");
    bob.bad("PATCH", &at(""), json!({"key": k(), "name": name()}), 403, "forbidden");
    bob.bad("PATCH", &at("/messages/1"), json!({"key": k(), "text": "x"}), 404, "message_not_found");
    bob.bad("POST", &at("/messages"), json!({"key": k(), "text": "x".repeat(9_000)}), 413, "too_large");
    bob.bad("POST", &at("/messages"), json!({"key": "no", "text": "x"}), 400, "invalid_field");
    bob.bad("POST", &at("/messages"), json!({"text": "x"}), 400, "invalid_field");
    bob.bad("GET", &at("/messages?limit=many"), Value::Null, 400, "invalid_field");
    bob.bad("GET", &at("/messages?before=1&after=1"), Value::Null, 400, "invalid_field");
    bob.bad("DELETE", &at("/messages/0?key=x"), Value::Null, 400, "invalid_field");
    bob.bad("GET", "/v1/rooms/nonsense", Value::Null, 400, "invalid_field");
    bob.bad("GET", "/v1/rooms/by_name/nobody%20has%20this", Value::Null, 404, "room_not_found");
    alice.good("POST", &at("/mute"), json!({"key": k(), "user": bob_id, "seconds": 60}), 200);
    bob.bad("POST", &at("/messages"), json!({"key": k(), "text": "x"}), 403, "muted");
    alice.good("PUT", &at(&format!("/members/{bob_id}/role")), json!({"key": k(), "role": "moderator"}), 200);
    alice.good("POST", &at("/ban"), json!({"key": k(), "user": bob_id, "reason": "r"}), 200);
    bob.bad("POST", &at("/messages"), json!({"key": k(), "text": "x"}), 403, "banned");
    let old = lynk_domain::uuid_v7(1_600_000_000_000, [1; 10]);
    let old = lynk_domain::Key(old).to_string();
    alice.bad("POST", &at("/messages"), json!({"key": old, "text": "x"}), 410, "key_expired");
    let ahead = lynk_domain::uuid_v7(crate::support::wall_millis() + 3_600_000, [1; 10]);
    let ahead = lynk_domain::Key(ahead).to_string();
    alice.bad("POST", &at("/messages"), json!({"key": ahead, "text": "x"}), 422, "clock_skew");
    let settings = json!({"key": k(), "slow_mode_seconds": 60});
    alice.good("PATCH", &at(""), settings, 200);
    alice.good("PUT", &format!("/v1/blocks/{bob_id}?key={}", k()), Value::Null, 200);
    bob.bad("POST", "/v1/direct", json!({"user": alice_id}), 403, "blocked");
    alice.good("DELETE", &format!("/v1/blocks/{bob_id}?key={}", k()), Value::Null, 200);
    let direct = bob.good("POST", "/v1/direct", json!({"user": alice_id}), 200);
    let found = alice.good("POST", "/v1/direct", json!({"user": bob_id}), 200);
    assert_eq!(direct["room"], found["room"], "one conversation from both sides");
    let found =
        alice.good("GET", &format!("/v1/rooms/by_name/{}", title.replace(' ', "%20")), Value::Null, 200);
    assert_eq!(found["room"], room);
}

#[test]
fn a_request_needs_a_token_that_is_good_now() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(temp.path(), &[]);
    let mut http = Http::connect(&server.address);
    let refused = http.bad("GET", "/v1/rooms", Value::Null, 401, "not_signed_in");
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    assert_eq!(refused.header("cache-control"), Some("no-store"));
    let scope = lynk_auth::Scope::default();
    http.token = Some("nonsense".to_owned());
    http.bad("GET", "/v1/rooms", Value::Null, 401, "invalid_token");
    http.token = Some(token_from(&server.data, &scope, user(), -1_000));
    http.bad("GET", "/v1/rooms", Value::Null, 401, "token_expired");
    let elsewhere = lynk_auth::Scope { audience: "another".to_owned(), ..scope };
    http.token = Some(token_from(&server.data, &elsewhere, user(), 60_000));
    http.bad("GET", "/v1/rooms", Value::Null, 401, "invalid_token");
    http.token = Some(server.token(user()));
    assert_eq!(http.good("GET", "/v1/rooms", Value::Null, 200), json!({"rooms": []}));
}

#[test]
fn an_account_has_one_rate_for_sockets_and_requests() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let options = ["--set", "limits.commands_per_account_per_second=1"];
    let server = Server::start(temp.path(), &options);
    let (mut http, _) = caller(&server);
    // At once, whatever one takes.
    let all: Vec<u8> = (0..40).flat_map(|_| http.request("GET", "/v1/rooms", "", b"")).collect();
    http.send(&all);
    let answers: Vec<_> = (0..40).map(|_| http.receive(false).expect("an answer")).collect();
    let refused = answers.iter().find(|answer| answer.status == 429);
    let refused = refused.expect("forty at once are too many for one a second");
    assert_eq!(refused.header("retry-after"), Some("1"), "{refused:?}");
    assert_eq!(refused.json()["code"], "rate_limited");
}

#[test]
fn whether_a_room_can_have_a_name_is_told_before_it_is_tried() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(temp.path(), &NO_RATES);
    server.wait_metric("lynk_names_filter_ready", 1.0);
    let (mut alice, _) = caller(&server);
    let ask = |http: &mut Http, name: &str| {
        let path = format!("/v1/rooms/name_available?name={}", name.replace(' ', "%20"));
        http.good("GET", &path, Value::Null, 200)
    };
    let (first, second, hidden) = (name(), name(), name());
    let free = json!({"available": true});
    let taken = json!({"available": false, "reason": "taken", "message": "that name is taken"});
    assert_eq!(ask(&mut alice, &first), free);
    let spared = "lynk_names_asked_total{answer=\"free\"}";
    assert_eq!(server.metric(spared), 1.0, "no store was asked");
    let create = |name: &str, kind: &str| json!({"key": key().to_string(), "name": name, "kind": kind});
    let room = alice.good("POST", "/v1/rooms", create(&first, "public"), 201)["room"].clone();
    // The filter hears of it a moment later; the creation did not wait for that. Slower than what one may ask in a second.
    let heard = |http: &mut Http, name: &str| {
        let until = Instant::now() + PATIENCE;
        while ask(http, name) == free {
            assert!(Instant::now() < until, "{name} stays free");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    heard(&mut alice, &first);
    assert_eq!(ask(&mut alice, &first.to_uppercase()), taken);
    alice.bad("POST", "/v1/rooms", create(&first, "invite_only"), 409, "name_taken");
    let room = format!("/v1/rooms/{}", room.as_str().expect("an id"));
    alice.good("PATCH", &room, json!({"key": key().to_string(), "name": second}), 200);
    heard(&mut alice, &second);
    assert_eq!(ask(&mut alice, &second), taken);
    assert_eq!(ask(&mut alice, &first), taken, "it stays closed to others for a while");
    alice.good("POST", "/v1/rooms", create(&hidden, "private"), 201);
    assert_eq!(ask(&mut alice, &hidden), free, "private rooms may share a name");
    assert!(server.stop().success());
    // The next process knows them from the start.
    let server = Server::start(temp.path(), &NO_RATES);
    server.wait_metric("lynk_names_filter_ready", 1.0);
    let (mut alice, _) = caller(&server);
    assert_eq!(
        (ask(&mut alice, &first), ask(&mut alice, &second), ask(&mut alice, &hidden)),
        (taken.clone(), taken, free)
    );
    assert!(server.stop().success());
}

#[test]
fn a_room_is_described_limited_moderated_and_deleted_over_http() {
    on_every_driver(|server| {
        let (mut alice, alice_id) = caller(server);
        let (mut bob, bob_id) = caller(server);
        let k = || key().to_string();
        let create = json!({"key": k(), "name": name(), "description": "what for", "max_members": 3});
        let made = alice.good("POST", "/v1/rooms", create, 201);
        let room = made["room"].as_str().expect("an id").to_owned();
        let at = |rest: &str| format!("/v1/rooms/{room}{rest}");
        let about = bob.good("GET", &at("/about"), Value::Null, 200);
        assert_eq!((&about["description"], &about["max_members"]), (&json!("what for"), &json!(3)));
        assert_eq!((&about["members"], about.get("role")), (&json!(1), None));
        bob.good("POST", &at("/join"), json!({"key": k()}), 200);
        let mut listener = Chatter::sign_in(server);
        listener.join(&room);
        let (mut late, _) = caller(server);
        late.bad("POST", &at("/join"), json!({"key": k()}), 409, "limit_reached");

        let change = json!({"key": k(), "avatar": k(), "read_only": true, "description": ""});
        alice.bad("PATCH", &at(""), change, 404, "attachment_not_found");
        let change = json!({"key": k(), "avatar": null, "read_only": true, "description": ""});
        alice.good("PATCH", &at(""), change, 200);
        let event = listener.event("settings");
        assert_eq!((&event["avatar"], &event["read_only"]), (&Value::Null, &json!(true)));
        assert_eq!((&event["description"], &event["max_members"]), (&json!(""), &json!(3)));
        let refused = bob.bad("POST", &at("/messages"), json!({"key": k(), "text": "x"}), 403, "forbidden");
        assert!(refused.json()["message"].as_str().is_some_and(|text| text.contains("read-only")));
        alice.good("PATCH", &at(""), json!({"key": k(), "read_only": false}), 200);
        assert_eq!(listener.event("settings")["read_only"], false);
        let create = json!({"key": k(), "name": name(), "avatar": k()});
        alice.bad("POST", "/v1/rooms", create, 400, "invalid_field");
        alice.bad("PATCH", &at(""), json!({"key": k(), "avatar": "no id"}), 400, "invalid_field");
        alice.bad("PATCH", &at(""), json!({"key": k(), "max_members": 2}), 400, "invalid_field");
        alice.bad("PATCH", &at(""), json!({"key": k(), "description": "x".repeat(501)}), 413, "too_large");
        bob.bad("PATCH", &at(""), json!({"key": k(), "read_only": true}), 403, "forbidden");

        let sent = alice.good("POST", &at("/messages"), json!({"key": k(), "text": "keep"}), 201);
        alice.good("PUT", &at(&format!("/messages/{}/pin?key={}", sent["seq"], k())), Value::Null, 200);
        let pins = bob.good("GET", &at("/pins"), Value::Null, 200);
        assert_eq!(pins["pins"], json!([{"seq": sent["seq"]}]));
        late.bad("GET", &at("/pins"), Value::Null, 403, "not_a_member");

        bob.bad("GET", &at("/bans"), Value::Null, 403, "forbidden");
        let ban = json!({"key": k(), "user": bob_id, "reason": "noise", "seconds": 3600});
        alice.good("POST", &at("/ban"), ban, 200);
        let bans = alice.good("GET", &at("/bans?limit=1"), Value::Null, 200);
        let ban = &bans["bans"][0];
        assert_eq!((&ban["user"], &ban["reason"]), (&json!(bob_id), &json!("noise")));
        assert_eq!((&ban["by"], &bans["more"]), (&json!(alice_id), &json!(false)));
        assert!(ban["until"].is_string() && ban["at"].is_string());
        let user = listener.user.to_string();
        alice.good("POST", &at("/mute"), json!({"key": k(), "user": user}), 200);
        let mutes = alice.good("GET", &at("/mutes"), Value::Null, 200);
        assert_eq!(mutes["mutes"][0]["user"], json!(user));
        alice.good("POST", &at("/unban"), json!({"key": k(), "user": bob_id}), 200);
        assert_eq!(alice.good("GET", &at("/bans"), Value::Null, 200)["bans"], json!([]));

        bob.good("POST", &at("/join"), json!({"key": k()}), 200);
        bob.bad("DELETE", &at(&format!("?key={}", k())), Value::Null, 403, "forbidden");
        let delete = at(&format!("?key={}", k()));
        let deleted = alice.good("DELETE", &delete, Value::Null, 200);
        assert_eq!(listener.event("deleted")["seq"], deleted["seq"]);
        assert_eq!(alice.good("DELETE", &delete, Value::Null, 200)["seq"], deleted["seq"], "a retry");
        for path in ["/about", "/messages", "/members", "/pins", "/bans", ""] {
            alice.bad("GET", &at(path), Value::Null, 404, "room_not_found");
        }
        alice.bad("POST", &at("/messages"), json!({"key": k(), "text": "x"}), 404, "room_not_found");
    });
}

#[test]
fn a_link_leads_into_a_hidden_room() {
    on_every_driver(|server| {
        let (mut alice, alice_id) = caller(server);
        let (mut bob, _) = caller(server);
        let k = || key().to_string();
        let made =
            alice.good("POST", "/v1/rooms", json!({"key": k(), "name": name(), "kind": "private"}), 201);
        let room = made["room"].as_str().expect("an id").to_owned();
        let at = |rest: &str| format!("/v1/rooms/{room}{rest}");
        bob.bad("POST", &at("/join"), json!({"key": k()}), 404, "room_not_found");
        let make = json!({"key": k(), "uses": 1, "seconds": 3600});
        let link = alice.good("POST", &at("/links"), make.clone(), 200);
        assert_eq!(alice.good("POST", &at("/links"), make, 200), link, "a retry");
        let code = link["code"].as_str().expect("a code");
        let look = bob.good("POST", "/v1/links/look", json!({"code": code}), 200);
        assert_eq!((&look["room"], &look["members"]), (&json!(room), &json!(1)));
        let wrong = bob.bad("POST", "/v1/links/look", json!({"code": "nothing"}), 401, "invalid_code");
        assert_eq!(wrong.json()["code"], "invalid_code");
        bob.good("POST", &at("/join"), json!({"key": k(), "code": code}), 200);
        let (mut late, _) = caller(server);
        late.bad("POST", &at("/join"), json!({"key": k(), "code": code}), 401, "invalid_code");
        bob.bad("GET", &at("/links"), Value::Null, 403, "forbidden");
        let other = alice.good("POST", &at("/links"), json!({"key": k()}), 200);
        let links = alice.good("GET", &at("/links"), Value::Null, 200);
        let listed = links["links"].as_array().expect("a list");
        assert_eq!(
            (listed.len(), &listed[0]["link"], &listed[0]["by"]),
            (1, &other["link"], &json!(alice_id))
        );
        let end = format!("/links/{}?key={}", other["link"].as_str().expect("an id"), k());
        alice.good("DELETE", &at(&end), Value::Null, 200);
        late.bad("POST", &at("/join"), json!({"key": k(), "code": other["code"]}), 401, "invalid_code");
    });
}

#[test]
fn public_rooms_are_discovered_and_invite_only_ones_are_asked() {
    on_every_driver(|server| {
        let (mut alice, alice_id) = caller(server);
        let (mut bob, bob_id) = caller(server);
        let k = || key().to_string();
        let word = format!("w{}", key().to_string().replace('-', ""));
        let mut make = |name: &str, kind: &str| {
            let body = json!({"key": k(), "name": name, "kind": kind, "description": "about it"});
            alice.good("POST", "/v1/rooms", body, 201)["room"].as_str().expect("an id").to_owned()
        };
        let rooms: Vec<String> =
            ["b", "É", "C"].map(|name| make(&format!("{} {name}", word.to_uppercase()), "public")).into();
        make(&format!("{word} hidden"), "private");
        let club = make(&format!("{word} club"), "invite_only");
        let mut names = Vec::new();
        let mut path = format!("/v1/rooms/discover?name={word}%20&limit=2");
        for _ in 0..3 {
            let page = bob.good("GET", &path, Value::Null, 200);
            names.extend(page["rooms"].as_array().expect("a list").iter().cloned());
            let Some(next) = page["next"].as_str() else { break };
            path = format!("/v1/rooms/discover?name={word}&limit=2&cursor={}", next.replace(' ', "%20"));
        }
        let found: Vec<_> = names.iter().map(|row| row["room"].as_str().expect("an id")).collect();
        assert_eq!(found, [&rooms[0], &rooms[2], &rooms[1]], "by name, whatever the accents");
        let first = json!({"room": rooms[0], "name": format!("{} b", word.to_uppercase()), "description": "about it",
            "avatar": null, "members": 1, "member": false, "open": true});
        assert_eq!(names[0], first);
        let ban = json!({"key": k(), "user": bob_id});
        alice.good("POST", &format!("/v1/rooms/{}/ban", rooms[0]), ban, 200);
        let page = bob.good("GET", &format!("/v1/rooms/discover?name={word}"), Value::Null, 200);
        assert_eq!(page["rooms"].as_array().map(Vec::len), Some(2), "who is banned does not see it");
        let page = alice.good("GET", &format!("/v1/rooms/discover?name={word}%20b"), Value::Null, 200);
        assert_eq!((&page["rooms"][0]["member"], page.get("next")), (&json!(true), None));
        bob.bad("GET", "/v1/rooms/discover?cursor=x", Value::Null, 400, "invalid_field");

        let id = lynk_domain::UserId::parse(&alice_id).expect("an id");
        let mut listener = Chatter::sign_in_as(server, id, json!([]));
        let one = format!("/v1/rooms/{club}/join_request");
        bob.good("POST", &one, json!({"key": k(), "text": "let me in"}), 200);
        let hint = listener.event("join_request");
        assert_eq!(
            (&hint["room"], &hint["user"], &hint["state"]),
            (&json!(club), &json!(bob_id), &json!("open"))
        );
        bob.bad("POST", &one, json!({"key": k()}), 409, "conflict");
        let own = bob.good("GET", "/v1/join_requests", Value::Null, 200);
        let request = &own["requests"][0];
        assert_eq!(
            (&request["room"], &request["state"], &request["text"]),
            (&json!(club), &json!("open"), &json!("let me in"))
        );
        bob.good("DELETE", &format!("{one}?key={}", k()), Value::Null, 200);
        assert_eq!(bob.good("GET", "/v1/join_requests", Value::Null, 200)["requests"], json!([]));
        bob.good("POST", &one, json!({"key": k()}), 200);
        let list = format!("/v1/rooms/{club}/join_requests");
        bob.bad("GET", &list, Value::Null, 403, "not_a_member");
        let listed = alice.good("GET", &list, Value::Null, 200);
        assert_eq!((&listed["requests"][0]["user"], &listed["more"]), (&json!(bob_id), &json!(false)));
        alice.good("POST", &format!("{list}/{bob_id}/accept"), json!({"key": k()}), 200);
        let about = bob.good("GET", &format!("/v1/rooms/{club}/about"), Value::Null, 200);
        assert_eq!(about["role"], "member");
        let (mut carol, carol_id) = caller(server);
        carol.good("POST", &one, json!({"key": k()}), 200);
        alice.good("POST", &format!("{list}/{carol_id}/decline"), json!({"key": k()}), 200);
        carol.bad("POST", &one, json!({"key": k()}), 403, "forbidden");
        let own = carol.good("GET", "/v1/join_requests", Value::Null, 200);
        assert_eq!(
            (&own["requests"][0]["state"], own["requests"][0].get("text")),
            (&json!("declined"), None)
        );
    });
}

#[test]
fn a_report_is_told_to_those_who_see_the_queue_and_not_to_whom_it_is_about() {
    on_every_driver(|server| {
        let users = [user(), user(), user(), user()];
        let [mut alice, mut bob, mut carol, mut dave] =
            users.map(|one| Chatter::sign_in_as(server, one, json!([])));
        let room = alice.create();
        for one in [&mut bob, &mut carol, &mut dave] {
            one.join(&room);
        }
        let good = |one: &mut Chatter, mut command: Value| {
            command["room"] = room.clone().into();
            command["key"] = key().to_string().into();
            let ok = one.ask(command);
            assert_eq!(ok["ev"], "ok", "{ok}");
        };
        let moderator = |of: usize| json!({"op": "role", "user": users[of].to_string(), "role": "moderator"});
        let report = |seq: &Value| json!({"op": "report", "seq": seq, "reason": "spam"});
        let told = |one: &mut Chatter| {
            let news = one.event("report");
            assert_eq!(news["room"], room.as_str());
            assert!(news.get("user").is_none() && news.get("reporter").is_none(), "{news}");
            (news["number"].as_u64().expect("a number"), news["state"].as_str().expect("a state").to_owned())
        };
        let was = |number: u64, state: &str| (number, state.to_owned());
        good(&mut alice, moderator(1));
        good(&mut alice, moderator(2));

        let rude = carol.say(&room, "rude")["seq"].clone();
        good(&mut dave, report(&rude));
        assert_eq!((told(&mut alice), told(&mut bob)), (was(1, "open"), was(1, "open")));
        let ruder = bob.say(&room, "ruder")["seq"].clone();
        good(&mut dave, report(&ruder));
        assert_eq!(told(&mut alice), was(2, "open"));
        assert_eq!(told(&mut carol), was(2, "open"), "and nothing of the first, which is about her");
        good(&mut alice, json!({"op": "resolve_report", "number": 1, "outcome": "dismissed"}));
        assert_eq!(told(&mut alice), was(1, "resolved"), "on all connections");
        assert_eq!(told(&mut bob), was(1, "resolved"), "and nothing of the second, which is about him");
        let queue = bob.ask(json!({"op": "reports", "room": room}));
        assert_eq!(queue["reports"], json!([]));

        // Who reported was told nothing before it moderates itself.
        good(&mut alice, moderator(3));
        let mine = alice.say(&room, "mine")["seq"].clone();
        good(&mut carol, report(&mine));
        assert_eq!((told(&mut dave), told(&mut carol)), (was(3, "open"), was(3, "open")));
        let queue = dave.ask(json!({"op": "reports", "room": room}));
        let numbers: Vec<_> =
            queue["reports"].as_array().expect("a list").iter().map(|one| &one["number"]).collect();
        assert_eq!(numbers, [3, 2]);
    });
}

#[test]
fn an_operator_sees_and_resolves_every_report() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(temp.path(), &NO_RATES);
    let (mut alice, _) = caller(&server);
    let (mut bob, bob_id) = caller(&server);
    let k = || key().to_string();
    let made = alice.good("POST", "/v1/rooms", json!({"key": k(), "name": name()}), 201);
    let at = |rest: &str| format!("/v1/rooms/{}{rest}", made["room"].as_str().expect("an id"));
    let say = json!({"key": k(), "text": "buy this"});
    let seq = alice.good("POST", &at("/messages"), say, 201)["seq"].clone();
    bob.good("POST", &at("/join"), json!({"key": k()}), 200);
    let report = json!({"key": k(), "seq": seq, "reason": "spam", "comment": "every day"});
    bob.good("POST", &at("/reports"), report.clone(), 200);
    bob.good("POST", &at("/reports"), report, 200);
    bob.good("POST", &at("/reports"), json!({"key": k(), "reason": "illegal"}), 200);
    let own = alice.good("GET", &at("/reports"), Value::Null, 200);
    assert_eq!(own["reports"], json!([]), "whom it is about does not see it");
    bob.bad("GET", &at("/reports"), Value::Null, 403, "forbidden");
    let lynk = |arguments: &[&str]| {
        let mut command = std::process::Command::new(crate::support::LYNK);
        let out = command.arg("reports").args(arguments).args(["-o", "json", "--data"]).arg(temp.path());
        let out = out.output().expect("lynk can be started");
        let told: Value = serde_json::from_slice(&out.stdout).unwrap_or(Value::Null);
        (out.status.code(), told)
    };
    let (_, listed) = lynk(&["list"]);
    let found = listed["reports"].as_array().expect("a list");
    assert_eq!((found.len(), &found[0]["kind"], &found[1]["reporter"]), (2, &json!("room"), &json!(bob_id)));
    let named = found[1]["report"].as_str().expect("a name");
    let (_, shown) = lynk(&["show", "--report", named]);
    assert_eq!(
        (&shown["text"], &shown["comment"], &shown["seq"]),
        (&json!("buy this"), &json!("every day"), &seq)
    );
    let resolve = ["resolve", "--report", named, "--outcome", "other", "--note", "warned"];
    let (code, resolved) = lynk(&resolve);
    assert_eq!((code, &resolved["outcome"], &resolved["note"]), (Some(0), &json!("other"), &json!("warned")));
    assert_eq!(lynk(&resolve).0, Some(4), "once");
    assert_eq!(lynk(&["resolve", "--report", "x", "--outcome", "other"]).0, Some(2));
    assert_eq!(lynk(&["list"]).1["reports"].as_array().map(Vec::len), Some(1));
    assert_eq!(lynk(&["list", "--resolved"]).1["reports"].as_array().map(Vec::len), Some(1));
    assert!(server.stop().success());
}
