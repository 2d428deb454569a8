//! How people are found and seen, and whom they leave out.

use serde_json::{Value, json};

use crate::people::{as_user, sign_in, socket};
use crate::support::http::Http;
use crate::support::{Chatter, NO_RATES, PATIENCE, Server, key};

const CODES: [&str; 2] = ["--set", "sms.console=file"];
const NUMBERS: [&str; 3] = ["+4915112345601", "+4915112345602", "+4915112345603"];

fn start(data: &std::path::Path, options: &[&str]) -> Server {
    Server::start(data, &[&NO_RATES[..], &CODES, options].concat())
}

fn id(person: &Value) -> &str {
    person["user"]["user"].as_str().expect("an id")
}

fn privacy(http: &mut Http, body: Value) -> Value {
    http.good("PUT", "/v1/me/privacy", body, 200)
}

fn here(chatter: &mut Chatter, room: &str) -> Vec<String> {
    let answer = chatter.ask(json!({"op": "presence", "room": room}));
    let users = answer["users"].as_array().unwrap_or_else(|| panic!("{answer}"));
    users.iter().map(|user| user.as_str().expect("an id").to_owned()).collect()
}

#[test]
fn whether_somebody_is_online_is_for_their_rooms_or_for_nobody() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let options = ["--shards", "2"];
    let server = start(temp.path(), &options);
    let alice = sign_in(&server, temp.path(), NUMBERS[0], "alice");
    let bob = sign_in(&server, temp.path(), NUMBERS[1], "bob");
    let mut http = as_user(&server, &alice);
    let default = json!({"discoverable_by_name": true, "discoverable_by_phone": false, "presence": "rooms", "direct_from": "everyone"});
    assert_eq!(http.good("GET", "/v1/me/privacy", Value::Null, 200), default);
    let (mut hers, mut his) = (socket(&server, &alice).0, socket(&server, &bob).0);
    let room = hers.create();
    his.join(&room);
    his.ask(json!({"op": "presence", "watch": [id(&alice)]}));
    assert_eq!(his.event("presence")["online"], true);
    let both = |chatter: &mut Chatter| here(chatter, &room).len();
    assert_eq!((both(&mut hers), both(&mut his)), (2, 2));
    // Whoever watches is told at once, and finds nobody where others are listed.
    assert_eq!(privacy(&mut http, json!({"presence": "nobody"}))["presence"], "nobody");
    // What was told before may be told again: a watch begins anew when the watcher's rooms change.
    while his.event("presence")["online"] != false {}
    assert_eq!(here(&mut his, &room), [id(&bob)]);
    assert_eq!(both(&mut hers), 2, "one sees oneself");
    let over_http = as_user(&server, &bob).good("GET", &format!("/v1/rooms/{room}/here"), Value::Null, 200);
    assert_eq!(over_http["users"], json!([id(&bob)]));
    let mut again = socket(&server, &bob).0;
    again.ask(json!({"op": "presence", "watch": [id(&alice)]}));
    assert_eq!(again.event("presence")["online"], false);
    // It outlives a restart, and the other halves of the setting stay.
    drop((hers, his, again));
    assert!(server.stop().success());
    let server = start(temp.path(), &options);
    let (_hers, mut his) = (socket(&server, &alice).0, socket(&server, &bob).0);
    his.ask(json!({"op": "presence", "watch": [id(&alice)]}));
    assert_eq!(his.event("presence")["online"], false);
    let mut http = as_user(&server, &alice);
    let after = privacy(&mut http, json!({"discoverable_by_name": false}));
    assert_eq!(
        after,
        json!({"discoverable_by_name": false, "discoverable_by_phone": false, "presence": "nobody", "direct_from": "everyone"})
    );
    let shown = privacy(&mut http, json!({"presence": "rooms", "discoverable_by_name": true}));
    assert_eq!(shown, default);
    while his.event("presence")["online"] != true {}
    for bad in [
        json!({"presence": "everybody"}),
        json!({"direct_from": "strangers"}),
        json!({"discoverable_by_name": 1}),
        json!([]),
    ] {
        let answer = http.ask("PUT", "/v1/me/privacy", Some(&bad));
        assert_eq!(answer.status, 400, "{bad}");
    }
    assert!(server.stop().success());
}

#[test]
fn a_number_begins_a_conversation_only_with_who_wants_that_and_tells_nothing() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = start(temp.path(), &["--shards", "2"]);
    let [alice, bob, carol] =
        [0, 1, 2].map(|n| sign_in(&server, temp.path(), NUMBERS[n], ["alice", "bob", "carol"][n]));
    let mut http = as_user(&server, &alice);
    privacy(&mut as_user(&server, &alice), json!({"discoverable_by_phone": true}));
    privacy(&mut as_user(&server, &carol), json!({"discoverable_by_phone": true}));
    let block = format!("/v1/blocks/{}?key={}", id(&alice), key());
    as_user(&server, &carol).good("PUT", &block, Value::Null, 200);
    let direct = "/v1/direct/by_phone";
    // Nobody's, one that does not want it, one across a block, one's own: the same answer.
    let shape = |http: &mut Http, number: &str| {
        let answer = http.ask("POST", direct, Some(&json!({"phone": number})));
        let names: Vec<String> = answer.headers.iter().map(|(name, _)| name.clone()).collect();
        (answer.status, names, answer.body)
    };
    let first = shape(&mut http, "+4915112345699");
    assert_eq!((first.0, first.2.as_slice()), (202, b"{}".as_slice()));
    for number in [NUMBERS[1], NUMBERS[2], NUMBERS[0]] {
        assert_eq!(shape(&mut http, number), first, "{number}");
    }
    privacy(&mut as_user(&server, &bob), json!({"discoverable_by_phone": true}));
    assert_eq!(shape(&mut http, NUMBERS[1]), first);
    let until = std::time::Instant::now() + PATIENCE;
    let rooms = loop {
        let rooms = http.good("GET", "/v1/rooms", Value::Null, 200)["rooms"].clone();
        if rooms != json!([]) {
            break rooms;
        }
        assert!(std::time::Instant::now() < until, "no conversation begins");
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    assert_eq!((rooms.as_array().map(Vec::len), &rooms[0]["peer"]), (Some(1), &bob["user"]["user"]));
    let hers = as_user(&server, &carol).good("GET", "/v1/rooms", Value::Null, 200);
    assert_eq!(hers["rooms"], json!([]));
    for bad in ["12", "+0", "bob"] {
        http.bad("POST", direct, json!({"phone": bad}), 400, "invalid_field");
    }
    // A day's worth of numbers, and no more.
    let refused = (0..30).map(|_| http.ask("POST", direct, Some(&json!({"phone": "+4915112345699"}))));
    let refused: Vec<_> = refused.filter(|answer| answer.status != 202).collect();
    assert_eq!(refused.len(), 15);
    assert!(refused.iter().all(|answer| answer.status == 429 && answer.json()["code"] == "rate_limited"));
    assert!(server.stop().success());
}

#[test]
fn who_begins_a_conversation_is_for_the_other_to_say() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let options = ["--shards", "2"];
    let server = start(temp.path(), &options);
    let [alice, bob, carol] =
        [0, 1, 2].map(|n| sign_in(&server, temp.path(), NUMBERS[n], ["alice", "bob", "carol"][n]));
    let direct = |user: &Value| json!({"op": "direct", "user": id(user)});
    let set = |server: &Server, from: &str| {
        let told = privacy(&mut as_user(server, &bob), json!({"direct_from": from}));
        assert_eq!(told["direct_from"], from);
    };
    let (mut hers, mut his) = (socket(&server, &alice).0, socket(&server, &bob).0);
    set(&server, "nobody");
    assert_eq!(hers.ask(direct(&bob))["code"], "forbidden");
    as_user(&server, &alice).bad("POST", "/v1/direct", json!({"user": id(&bob)}), 403, "forbidden");
    // It outlives a restart, and who set it may begin what he likes.
    drop((hers, his));
    assert!(server.stop().success());
    let server = start(temp.path(), &options);
    (hers, his) = (socket(&server, &alice).0, socket(&server, &bob).0);
    assert_eq!(hers.ask(direct(&bob))["code"], "forbidden");
    let with_carol = his.ask(direct(&carol));
    assert_eq!(with_carol["ev"], "ok", "{with_carol}");
    let mut other = socket(&server, &carol).0;
    assert_eq!(other.ask(direct(&bob))["room"], with_carol["room"], "what was begun is found");
    // A room that both are in is enough, and is asked about when the conversation is begun.
    set(&server, "rooms");
    assert_eq!(hers.ask(direct(&bob))["code"], "forbidden");
    let room = hers.create();
    assert_eq!(hers.ask(direct(&bob))["code"], "forbidden");
    // Nor do strangers add him to one, and he comes by himself.
    let add = json!({"op": "invite", "room": room, "user": id(&bob), "key": key().to_string()});
    let refused = hers.ask(add);
    assert_eq!(refused["code"], "forbidden", "{refused}");
    assert!(refused["message"].as_str().is_some_and(|words| words.contains("send a link")), "{refused}");
    his.join(&room);
    let begun = hers.ask(direct(&bob));
    assert_eq!(begun["ev"], "ok", "{begun}");
    set(&server, "nobody");
    let text = json!({"op": "send", "room": begun["room"], "key": key().to_string(), "text": "still here"});
    assert_eq!(hers.ask(text)["ev"], "ok", "what was begun goes on");
    assert_eq!(hers.ask(direct(&bob))["room"], begun["room"]);
    assert!(server.stop().success());
}

#[test]
fn whom_one_blocks_is_listed_and_who_blocks_one_is_not() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = start(temp.path(), &[]);
    let [alice, bob, carol] =
        [0, 1, 2].map(|n| sign_in(&server, temp.path(), NUMBERS[n], ["alice", "bob", "carol"][n]));
    let mut http = as_user(&server, &alice);
    assert_eq!(http.good("GET", "/v1/blocks", Value::Null, 200), json!({"users": []}));
    for other in [&bob, &carol] {
        let path = format!("/v1/blocks/{}?key={}", id(other), key());
        http.good("PUT", &path, Value::Null, 200);
    }
    let row =
        |person: &Value, name: &str| json!({"user": id(person), "user_name": name, "display_name": name});
    let mut rows = [row(&bob, "bob"), row(&carol, "carol")];
    rows.sort_by_key(|row| row["user"].as_str().map(str::to_owned));
    assert_eq!(http.good("GET", "/v1/blocks", Value::Null, 200)["users"], json!(rows));
    let first = http.good("GET", "/v1/blocks?limit=1", Value::Null, 200);
    assert_eq!(first, json!({"users": [rows[0]], "next": rows[0]["user"]}));
    let next = first["next"].as_str().expect("an id");
    let second = http.good("GET", &format!("/v1/blocks?limit=1&after={next}"), Value::Null, 200);
    assert_eq!(second["users"], json!([rows[1]]));
    assert_eq!(as_user(&server, &bob).good("GET", "/v1/blocks", Value::Null, 200), json!({"users": []}));
    for bad in ["?limit=0", "?limit=101", "?after=bob", "?limit=x", "?limit=1&limit=2"] {
        http.bad("GET", &format!("/v1/blocks{bad}"), Value::Null, 400, "invalid_field");
    }
    let lift = format!("/v1/blocks/{}?key={}", id(&bob), key());
    http.good("DELETE", &lift, Value::Null, 200);
    assert_eq!(http.good("GET", "/v1/blocks", Value::Null, 200)["users"], json!([row(&carol, "carol")]));
    assert!(server.stop().success());
}
