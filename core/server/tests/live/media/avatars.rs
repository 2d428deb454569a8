//! Pictures of people and rooms: who sets them, who sees them, and where they end.

use super::*;
use crate::people;

/// An upload of a picture that is ready; its id.
fn painted(server: &Server, http: &mut Http, mut announce: Value, size: u32) -> String {
    let file = png(&picture(size, size));
    announce["bytes"] = file.len().into();
    let row = upload(server, http, announce, &file);
    assert_eq!(row["state"], "ready", "{row}");
    text(&row, "media").to_owned()
}

fn of_room(room: &str) -> Value {
    json!({"purpose": "room_avatar", "room": room, "type": "image/png", "name": ""})
}

fn of_oneself() -> Value {
    avatar("image/png", 0)
}

/// What a file answers to whoever asks for a link to it.
fn seen(http: &mut Http, media: &str, more: &str) -> u16 {
    http.ask("GET", &format!("/v1/media/{media}/link?variant=1{more}"), None).status
}

/// Changes a room, also while a picture that it had before is still being given back.
fn change_room(http: &mut Http, room: &str, mut fields: Value) {
    fields["key"] = key().to_string().into();
    wait_until("a room does not change", || {
        let answer = http.ask("PATCH", &format!("/v1/rooms/{room}"), Some(&fields));
        assert!([200, 503].contains(&answer.status), "{}", answer.json());
        answer.status == 200
    });
}

#[test]
fn a_person_has_a_picture_that_others_see_but_not_across_a_block() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let data = temp.path();
    let server = people::start(data, &OPTIONS);
    let signed = people::sign_in(&server, data, "+4915112345801", "alice");
    let other = people::sign_in(&server, data, "+4915112345802", "bob");
    let (mut alice, mut bob) = (people::as_user(&server, &signed), people::as_user(&server, &other));
    let id = |signed: &Value| text(&signed["user"], "user").to_owned();
    let (alice_id, bob_id) = (id(&signed), id(&other));
    let first = painted(&server, &mut alice, of_oneself(), 400);
    let theirs = painted(&server, &mut bob, of_oneself(), 400);
    assert_eq!(seen(&mut bob, &first, ""), 404, "nobody has it yet");
    let mut announce = of_oneself();
    announce["bytes"] = 10.into();
    let pending = text(&alice.good("POST", "/v1/media", announce, 201), "media").to_owned();
    let mut bad = |picture: Value, status: u16, code: &str| {
        alice.bad("PATCH", "/v1/me", json!({ "avatar": picture }), status, code);
    };
    bad(json!(theirs), 404, "attachment_not_found");
    bad(json!(key().to_string()), 404, "attachment_not_found");
    bad(json!(pending), 409, "attachment_not_ready");
    bad(json!("no id"), 400, "invalid_field");

    let me = alice.good("PATCH", "/v1/me", json!({"avatar": first, "bio": "me"}), 200);
    assert_eq!((text(&me, "avatar"), text(&me, "bio")), (&*first, "me"));
    let again = alice.good("PATCH", "/v1/me", json!({"avatar": first}), 200);
    assert_eq!(again["updated_at"], me["updated_at"], "the same is no change");
    let profile = |http: &mut Http| {
        http.good("GET", &format!("/v1/users?ids={alice_id}"), Value::Null, 200)["users"].clone()
    };
    assert_eq!(profile(&mut bob)[0]["avatar"], json!(first));
    let by_name = bob.good("GET", "/v1/users/by_name/alice", Value::Null, 200);
    assert_eq!(by_name["avatar"], json!(first));
    assert_eq!(seen(&mut bob, &first, ""), 200);
    let url = link(&mut bob, &first, 1);
    assert_eq!(by_link(&server, "GET", &url, "", b"").header("content-type"), Some("image/jpeg"));
    alice.bad("DELETE", &format!("/v1/media/{first}"), Value::Null, 409, "conflict");

    alice.good("PUT", &format!("/v1/blocks/{bob_id}?key={}", key()), Value::Null, 200);
    assert_eq!((profile(&mut bob), seen(&mut bob, &first, "")), (json!([]), 404));
    assert_eq!(by_link(&server, "GET", &url, "", b"").status, 404, "a link dies with the right to see it");
    alice.good("DELETE", &format!("/v1/blocks/{bob_id}?key={}", key()), Value::Null, 200);
    assert_eq!(seen(&mut bob, &first, ""), 200);

    let pages = alice.good("POST", "/v1/me/export", json!({}), 200);
    assert_eq!(pages["account"]["avatar"], json!(first));
    let second = painted(&server, &mut alice, of_oneself(), 420);
    // All of it or nothing: what was taken for a change that is refused is given back, and the picture stays.
    alice.bad("PATCH", "/v1/me", json!({"avatar": second, "user_name": "bob"}), 409, "name_taken");
    assert_eq!(profile(&mut bob)[0]["avatar"], json!(first));
    assert_eq!((seen(&mut bob, &first, ""), seen(&mut bob, &second, "")), (200, 404));
    let third = painted(&server, &mut alice, of_oneself(), 440);
    assert_eq!(text(&alice.good("PATCH", "/v1/me", json!({"avatar": third}), 200), "avatar"), third);
    assert_eq!(
        (seen(&mut bob, &first, ""), seen(&mut bob, &third, "")),
        (404, 200),
        "the one before is over"
    );
    let none = alice.good("PATCH", "/v1/me", json!({"avatar": null}), 200);
    assert_eq!((&none["avatar"], seen(&mut bob, &third, "")), (&Value::Null, 404));

    // Erased, a person has neither a picture nor a file; bob's bytes are what is left.
    let last = painted(&server, &mut alice, of_oneself(), 460);
    alice.good("PATCH", "/v1/me", json!({"avatar": last}), 200);
    assert_eq!(seen(&mut bob, &last, ""), 200);
    let receipt = alice.ask("POST", "/v1/me/erase", Some(&json!({"user_name": "alice"})));
    assert_eq!(receipt.status, 200, "{}", receipt.json());
    wait_until("the picture of an erased person stays", || seen(&mut bob, &last, "") == 404);
    assert_eq!(bob.ask("DELETE", &format!("/v1/media/{theirs}"), None).status, 204);
    wait_until("bytes stay", || kept(data).is_empty());
    assert!(server.stop().success());
}

#[test]
fn a_room_has_a_picture_for_whoever_may_see_the_room() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = serve(temp.path(), &[]);
    let mut owner = Chatter::sign_in(&server);
    let mut http = as_user(&server, owner.user);
    let make = json!({"op": "create", "kind": "private", "name": "with a face", "key": key().to_string()});
    let room = text(&owner.ask(make), "room").to_owned();
    let open = owner.create();
    let mut member = Chatter::sign_in(&server);
    let invite =
        json!({"op": "invite", "room": room, "user": member.user.to_string(), "key": key().to_string()});
    assert_eq!(owner.ask(invite)["ev"], "ok");
    member.subscribe(&room);
    let (mut inside, mut outside) = (as_user(&server, member.user), as_user(&server, user()));

    let first = painted(&server, &mut http, of_room(&room), 400);
    let elsewhere = painted(&server, &mut http, of_room(&open), 400);
    assert_eq!(seen(&mut inside, &first, ""), 404, "the room does not have it yet");
    let at = format!("/v1/rooms/{room}");
    let with = |media: &str| json!({"key": key().to_string(), "avatar": media});
    http.bad("PATCH", &at, with(&elsewhere), 404, "attachment_not_found");
    inside.bad("PATCH", &at, with(&first), 403, "forbidden");
    change_room(&mut http, &room, json!({"avatar": first}));
    assert_eq!(member.event("settings")["avatar"], json!(first));
    assert_eq!(inside.good("GET", &format!("{at}/about"), Value::Null, 200)["avatar"], json!(first));
    assert_eq!(inside.good("GET", &at, Value::Null, 200)["avatar"], json!(first));
    assert_eq!((seen(&mut inside, &first, ""), seen(&mut outside, &first, "")), (200, 404));

    // Who looks through a link sees it as long as the link lives.
    let made = http.good("POST", &format!("{at}/links"), json!({"key": key().to_string()}), 200);
    let code = text(&made, "code").to_owned();
    let by_code = format!("&code={code}");
    assert_eq!(seen(&mut outside, &first, &by_code), 200);
    assert_eq!(seen(&mut outside, &first, "&code=nothing"), 400);
    assert_eq!(seen(&mut outside, &elsewhere, &by_code), 404, "a code is for its room");
    let path = format!("/v1/media/{first}/link?variant=1{by_code}");
    let url = text(&outside.good("GET", &path, Value::Null, 200), "url").to_owned();
    assert_eq!(by_link(&server, "GET", &url, "", b"").status, 200);
    let without = url.split("&code=").next().unwrap_or_default();
    assert_eq!(by_link(&server, "GET", without, "", b"").status, 404);
    let end = format!("{at}/links/{}?key={}", text(&made, "link"), key());
    assert_eq!(http.ask("DELETE", &end, None).status, 200);
    assert_eq!(
        (seen(&mut outside, &first, &by_code), by_link(&server, "GET", &url, "", b"").status),
        (404, 404)
    );

    // A public room is there for everybody who is signed in, but not for who is banned.
    change_room(&mut http, &open, json!({"avatar": elsewhere}));
    assert_eq!(seen(&mut outside, &elsewhere, ""), 200);
    let ban = json!({"op": "ban", "room": open, "user": member.user.to_string(), "key": key().to_string()});
    assert_eq!(owner.ask(ban)["ev"], "ok");
    assert_eq!(seen(&mut inside, &elsewhere, ""), 404);

    let second = painted(&server, &mut http, of_room(&room), 420);
    change_room(&mut http, &room, json!({"avatar": second}));
    wait_until("a picture that was replaced stays", || seen(&mut inside, &first, "") == 404);
    assert_eq!(seen(&mut inside, &second, ""), 200);
    change_room(&mut http, &room, json!({"avatar": null}));
    wait_until("a picture that was taken away stays", || seen(&mut inside, &second, "") == 404);
    let delete = json!({"op": "delete_room", "room": open, "key": key().to_string()});
    assert_eq!(owner.ask(delete)["ev"], "ok");
    assert_eq!(seen(&mut outside, &elsewhere, ""), 404, "it goes with the room");
    wait_until("bytes stay", || kept(temp.path()).is_empty());
    assert!(server.stop().success());
}
