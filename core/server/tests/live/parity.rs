//! What the reference system promises and no other end-to-end test shows, on whatever stores the server has ([the table](../../../../docs/parity.md)).

use serde_json::{Value, json};

use crate::people::{as_user, sign_in, start};
use crate::support::http::Http;
use crate::support::{Chatter, NO_RATES, Server, key};

fn k() -> String {
    key().to_string()
}

/// Ids of a page of people.
fn ids(page: &Value) -> Vec<&str> {
    let users = page["users"].as_array().expect("people");
    users.iter().map(|user| user["user"].as_str().expect("an id")).collect()
}

#[test]
fn a_profile_is_changed_read_and_searched_but_not_across_a_block() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = start(temp.path(), &[]);
    let [ada, ben] = [("+4915112345601", "ada"), ("+4915112345602", "ben")]
        .map(|(number, name)| sign_in(&server, temp.path(), number, name));
    let [adas, bens] = [&ada, &ben].map(|one| one["user"]["user"].as_str().expect("an id"));
    let (mut hers, mut his) = (as_user(&server, &ada), as_user(&server, &ben));

    let change = json!({"display_name": "Élodie Lovelace", "bio": "counts"});
    let changed = hers.good("PATCH", "/v1/me", change, 200);
    assert_eq!((&changed["user_name"], &changed["display_name"]), (&json!("ada"), &json!("Élodie Lovelace")));
    let seen = his.good("GET", &format!("/v1/users?ids={adas}"), Value::Null, 200);
    let profile = &seen["users"][0];
    assert_eq!((&profile["display_name"], &profile["bio"]), (&json!("Élodie Lovelace"), &json!("counts")));
    assert!(profile.get("phone").is_none(), "{profile}");
    assert_eq!(
        his.good("GET", "/v1/users/by_name/ADA", Value::Null, 200)["updated_at"],
        profile["updated_at"]
    );

    let search = "/v1/users/search?q=elod%20lov";
    assert_eq!(ids(&his.good("GET", search, Value::Null, 200)), [adas]);
    hers.good("PATCH", "/v1/me", json!({"user_name": "countess"}), 200);
    his.bad("GET", "/v1/users/by_name/ada", Value::Null, 404, "user_not_found");
    assert_eq!(his.good("GET", "/v1/users/by_name/countess", Value::Null, 200)["user"], adas);
    let taken = his.bad("PATCH", "/v1/me", json!({"user_name": "Ada"}), 409, "name_taken").json();
    assert_eq!(his.good("GET", "/v1/me", Value::Null, 200)["user_name"], "ben", "{taken}");

    hers.good("PUT", &format!("/v1/blocks/{bens}?key={}", k()), Value::Null, 200);
    assert_eq!(his.good("GET", search, Value::Null, 200)["users"], json!([]));
    assert_eq!(his.good("GET", &format!("/v1/users?ids={adas}"), Value::Null, 200)["users"], json!([]));
    hers.good("DELETE", &format!("/v1/blocks/{bens}?key={}", k()), Value::Null, 200);
    assert_eq!(ids(&his.good("GET", search, Value::Null, 200)), [adas]);
    assert!(server.stop().success());
}

#[test]
fn codes_are_tried_twenty_times_a_minute_from_one_address() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = start(temp.path(), &["--set", "codes.attempts_per_address_minute=20"]);
    let mut http = Http::connect(&server.address);
    let guess = json!({"request_id": k(), "code": "123456"});
    let answers: Vec<_> = (0..60).map(|_| http.ask("POST", "/v1/auth/verify", Some(&guess))).collect();
    let refused = answers.iter().find(|one| one.status == 429).expect("the sixtieth is one too many");
    assert_eq!(refused.json()["code"], "rate_limited");
    assert!(refused.json()["retry_after_ms"].as_u64().is_some_and(|millis| millis > 0));
    // One comes back every three seconds, and nobody knows how long all of this took.
    assert!(answers[..20].iter().all(|one| one.json()["code"] == "invalid_code"));
    assert!(server.stop().success());
}

#[test]
fn what_is_answered_must_stand_and_is_shown_with_the_answer() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(temp.path(), &NO_RATES);
    let (mut ada, mut ben) = (Chatter::sign_in(&server), Chatter::sign_in(&server));
    let room = ada.create();
    ben.join(&room);
    let said = ada.say(&room, "who comes?")["seq"].clone();
    let reply = |to: Value| json!({"op": "send", "room": room, "text": "me", "reply_to": to, "key": k()});
    assert_eq!(ben.ask(reply(said.clone()))["ev"], "ok");
    assert_eq!(ada.event("message")["reply_to"], said);
    assert_eq!(ben.ask(reply(json!(4_000)))["code"], "message_not_found");
    let delete = json!({"op": "delete", "room": room, "seq": said, "key": k()});
    assert_eq!(ada.ask(delete)["ev"], "ok");
    assert_eq!(ben.ask(reply(said))["code"], "message_not_found");
    assert!(server.stop().success());
}

#[test]
fn what_moderators_do_is_in_the_log_of_the_room_also_after_a_restart() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(temp.path(), &NO_RATES);
    let (mut owner, mut member) = (Chatter::sign_in(&server), Chatter::sign_in(&server));
    let room = owner.create();
    member.join(&room);
    let said = member.say(&room, "rude")["seq"].clone();
    let user = member.user.to_string();
    for command in [
        json!({"op": "delete", "seq": said}),
        json!({"op": "mute", "user": user}),
        json!({"op": "unmute", "user": user}),
        json!({"op": "kick", "user": user}),
        json!({"op": "ban", "user": user, "reason": "again"}),
        json!({"op": "unban", "user": user}),
    ] {
        let mut command = command;
        command["room"] = json!(room);
        command["key"] = json!(k());
        let answer = owner.ask(command);
        assert_eq!(answer["ev"], "ok", "{answer}");
    }
    member.join(&room);
    let log = json!({"op": "moderation_log", "room": room});
    assert_eq!(member.ask(log.clone())["code"], "forbidden");
    let check = |told: &Value| {
        // A store that takes longer than a second numbers them as they reach it; their times are exact.
        let mut acts: Vec<_> = told["acts"].as_array().expect("a list").iter().rev().collect();
        acts.sort_by_key(|act| act["at"].as_str().expect("a time"));
        let what: Vec<_> = acts.iter().map(|act| act["what"].as_str().expect("a word")).collect();
        assert_eq!(what, ["message_deleted", "muted", "unmuted", "kicked", "banned", "unbanned"]);
        assert_eq!((&acts[0]["seq"], &acts[4]["reason"]), (&said, &json!("again")));
        assert!(acts[1..].iter().all(|act| act["user"] == json!(user)));
    };
    let until = std::time::Instant::now() + crate::support::PATIENCE;
    while owner.ask(log.clone())["acts"].as_array().map(Vec::len) != Some(6) {
        assert!(std::time::Instant::now() < until, "{}", owner.ask(log.clone()));
    }
    check(&owner.ask(log.clone()));
    let id = owner.user;
    server.kill();
    let server = Server::start(temp.path(), &NO_RATES);
    let mut owner = Chatter::sign_in_as(&server, id, json!([]));
    check(&owner.ask(log));
    assert!(server.stop().success());
}
