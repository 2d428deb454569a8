//! Rules of rooms that hold for messages with files as they do for others.

use super::*;

#[test]
fn slow_mode_lets_one_of_many_through_also_with_files() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = serve(temp.path(), &["--shards", "2"]);
    let mut owner = Chatter::sign_in(&server);
    let room = owner.create();
    let member = user();
    // Whoever joins while it is on waits as after a message.
    Chatter::sign_in_as(&server, member, json!([])).join(&room);
    let slow = json!({"op": "settings", "room": room, "slow_mode_seconds": 3_600, "key": key().to_string()});
    assert_eq!(owner.ask(slow)["ev"], "ok");
    let uploads: Vec<String> = (0..6)
        .map(|_| {
            let mut http = as_user(&server, member);
            text(&upload(&server, &mut http, file(&room, "text/plain", 5), b"hello"), "media").to_owned()
        })
        .collect();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let sends: Vec<_> = uploads
            .iter()
            .map(|media| {
                let (server, room) = (&server, &room);
                scope.spawn(move || {
                    let mut http = as_user(server, member);
                    let body = json!({"key": key().to_string(), "text": "now", "attachments": [media]});
                    http.ask("POST", &format!("/v1/rooms/{room}/messages"), Some(&body)).status
                })
            })
            .collect();
        sends.into_iter().map(|send| send.join().expect("an answer")).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert!(server.stop().success());
}
