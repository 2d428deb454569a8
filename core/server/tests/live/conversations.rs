//! What one sets for oneself of a conversation: what one is notified of, and that its past is gone.

use serde_json::{Value, json};

use crate::people::{as_user, sign_in, socket};
use crate::support::http::Http;
use crate::support::{Chatter, NO_RATES, Server};

const CODES: [&str; 2] = ["--set", "sms.console=file"];
const NUMBERS: [&str; 3] = ["+4915112345611", "+4915112345612", "+4915112345613"];

fn start(data: &std::path::Path) -> Server {
    Server::start(data, &[&NO_RATES[..], &CODES, &["--shards", "2"]].concat())
}

fn id(person: &Value) -> &str {
    person["user"]["user"].as_str().expect("an id")
}

fn row(http: &mut Http, room: &str) -> Value {
    http.good("GET", &format!("/v1/rooms/{room}"), Value::Null, 200)
}

fn texts(http: &mut Http, room: &str) -> Vec<String> {
    let page = http.good("GET", &format!("/v1/rooms/{room}/messages"), Value::Null, 200);
    let events = page["events"].as_array().expect("a list").iter().filter(|event| event["ev"] == "message");
    events.map(|event| event["text"].as_str().expect("a text").to_owned()).collect()
}

#[test]
fn a_conversation_is_deleted_for_one_side_on_all_its_devices() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = start(temp.path());
    let alice = sign_in(&server, temp.path(), NUMBERS[0], "alice");
    let bob = sign_in(&server, temp.path(), NUMBERS[1], "bob");
    let (mut hers, mut his): (Chatter, Chatter) = (socket(&server, &alice).0, socket(&server, &bob).0);
    let mut other = socket(&server, &bob).0;
    let room =
        hers.ask(json!({"op": "direct", "user": id(&bob)}))["room"].as_str().expect("a room").to_owned();
    hers.say(&room, "one");
    let last = hers.say(&room, "two");
    let clear = json!({"op": "clear", "room": room, "seq": last["seq"]});
    assert_eq!(his.ask(clear)["ev"], "ok");
    assert_eq!(other.event("cleared")["upto"], last["seq"]);
    let (mut of_hers, mut of_his) = (as_user(&server, &alice), as_user(&server, &bob));
    let listed = row(&mut of_his, &room);
    assert_eq!(
        (&listed["hidden"], &listed["cleared"], &listed["unread"]),
        (&json!(true), &last["seq"], &json!(0))
    );
    assert_eq!((texts(&mut of_his, &room), texts(&mut of_hers, &room).len()), (Vec::new(), 2));
    assert_eq!(row(&mut of_hers, &room).get("hidden"), None);
    drop((hers, his, other));
    // It outlives a restart, and the next message brings back the conversation without its past.
    assert!(server.stop().success());
    let server = start(temp.path());
    let (mut of_hers, mut of_his) = (as_user(&server, &alice), as_user(&server, &bob));
    assert_eq!(row(&mut of_his, &room)["hidden"], true);
    socket(&server, &alice).0.say(&room, "three");
    let listed = row(&mut of_his, &room);
    assert_eq!((listed.get("hidden"), &listed["unread"]), (None, &json!(1)));
    assert_eq!((texts(&mut of_his, &room), texts(&mut of_hers, &room).len()), (vec!["three".to_owned()], 3));
    let path = format!("/v1/rooms/{room}/clear");
    of_his.good("POST", &path, json!({"seq": listed["top"]}), 200);
    assert_eq!(texts(&mut of_his, &room), Vec::<String>::new());
    of_his.bad("POST", &path, json!({"seq": 1_000}), 400, "invalid_field");
    let carol = sign_in(&server, temp.path(), NUMBERS[2], "carol");
    as_user(&server, &carol).bad("POST", &path, json!({"seq": 1}), 404, "room_not_found");
    let group = socket(&server, &alice).0.create();
    of_hers.bad("POST", &format!("/v1/rooms/{group}/clear"), json!({"seq": 1}), 403, "forbidden");
    assert!(server.stop().success());
}

#[test]
fn what_one_is_notified_of_is_ones_own_and_of_members() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = start(temp.path());
    let alice = sign_in(&server, temp.path(), NUMBERS[0], "alice");
    let bob = sign_in(&server, temp.path(), NUMBERS[1], "bob");
    let room = socket(&server, &alice).0.create();
    let path = format!("/v1/rooms/{room}/notifications");
    let (mut hers, mut his) = (as_user(&server, &alice), as_user(&server, &bob));
    his.bad("PUT", &path, json!({"muted_until": 5}), 403, "not_a_member");
    socket(&server, &bob).0.join(&room);
    let said = |http: &mut Http| {
        let row = row(http, &room);
        (row.get("muted_until").cloned(), row.get("mentions_only").cloned())
    };
    assert_eq!(said(&mut his), (None, None));
    let far = (1_u64 << 53) - 1;
    for (body, then) in [
        (json!({"muted_until": far, "mentions_only": true}), (Some(json!(far)), Some(json!(true)))),
        (json!({"mentions_only": false}), (None, Some(json!(false)))),
        (json!({"muted_until": 5}), (Some(json!(5)), None)),
        (json!({"muted_until": 0}), (None, None)),
        (json!({"muted_until": 7, "mentions_only": null}), (Some(json!(7)), None)),
    ] {
        let answer = his.good("PUT", &path, body.clone(), 200);
        assert_eq!(
            (answer.get("muted_until").cloned(), answer.get("mentions_only").cloned()),
            then,
            "{body}"
        );
        assert_eq!(said(&mut his), then, "{body}");
    }
    assert_eq!(said(&mut hers), (None, None));
    for bad in [json!({"muted_until": far + 1}), json!({"muted_until": -1}), json!({"mentions_only": 1})] {
        his.bad("PUT", &path, bad, 400, "invalid_field");
    }
    his.bad("PUT", &path, json!([]), 400, "bad_request");
    his.bad("PUT", "/v1/rooms/x/notifications", json!({}), 400, "invalid_field");
    assert!(server.stop().success());
}
