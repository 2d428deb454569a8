//! What becomes of files when what holds them ends, and of links when their time is over.

use lynk_blob::{Grant, Links};
use lynk_domain::{MediaId, Millis, Seq, SessionId};
use lynk_embedded::MediaTable;
use lynk_model::dump::MediaRow;
use lynk_model::media::Media;
use lynk_model::port::{Fill as _, MediaStore as _, ready};

use super::*;
use crate::support::wall_millis;

/// Bytes that a server keeps of files.
fn bytes_kept(data: &Path) -> u64 {
    kept(data).into_iter().sum()
}

/// Uploads a text of so many bytes for a room, and says it there. Its id, and the seq of the message.
fn say_file(
    server: &Server,
    owner: &mut Chatter,
    http: &mut Http,
    room: &str,
    bytes: usize,
) -> (String, u64) {
    let row = upload(server, http, file(room, "text/plain", bytes as u64), &b"x".repeat(bytes));
    let media = text(&row, "media").to_owned();
    let said = owner.ask(
        json!({"op": "send", "room": room, "key": key().to_string(), "text": "see", "attachments": [media]}),
    );
    (media, said["seq"].as_u64().unwrap_or_else(|| panic!("{said}")))
}

#[test]
fn a_deleted_room_takes_its_files_with_it_and_no_others() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = serve(temp.path(), &[]);
    let mut owner = Chatter::sign_in(&server);
    let (room, other) = (owner.create(), owner.create());
    let mut http = as_user(&server, owner.user);
    let (said, _) = say_file(&server, &mut owner, &mut http, &room, 300_000);
    let unused = upload(&server, &mut http, file(&room, "text/plain", 200_000), &b"y".repeat(200_000));
    let picture = png(&picture(400, 400));
    let announce = json!({"purpose": "room_avatar", "room": room, "type": "image/png", "name": "", "bytes": picture.len()});
    assert_eq!(upload(&server, &mut http, announce, &picture)["state"], "ready");
    let (kept, _) = say_file(&server, &mut owner, &mut http, &other, 1_000);
    assert!(bytes_kept(temp.path()) > 501_000);
    let links = [link(&mut http, &said, 0), link(&mut http, text(&unused, "media"), 0)];
    let kept = link(&mut http, &kept, 0);
    let delete = json!({"op": "delete_room", "room": room, "key": key().to_string()});
    assert_eq!(owner.ask(delete)["ev"], "ok");
    assert_eq!(
        by_link(&server, "GET", &links[0], "", b"").status,
        404,
        "who sees no room sees no file of it"
    );
    wait_until("files of a deleted room stay", || {
        links.iter().all(|link| by_link(&server, "GET", link, "", b"").status == 404)
    });
    wait_until("their bytes stay", || bytes_kept(temp.path()) == 1_000);
    assert_eq!(by_link(&server, "GET", &kept, "", b"").body.len(), 1_000);
    wait_until("what is gone is counted", || {
        http.good("GET", "/v1/media/usage", Value::Null, 200)["bytes"] == 1_000
    });
    assert!(server.stop().success());
}

#[test]
fn messages_that_are_removed_for_their_age_take_their_files_with_them_also_after_a_kill() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let aged = ["--set", "limits.retention=6s", "--set", "limits.retention_sweep=1s"];
    let server = serve(temp.path(), &aged);
    let mut owner = Chatter::sign_in(&server);
    let room = owner.create();
    let mut http = as_user(&server, owner.user);
    let stands = |http: &mut Http, seq: u64| {
        let page = http.good("GET", &format!("/v1/rooms/{room}/messages?limit=100"), Value::Null, 200);
        page["events"]
            .as_array()
            .expect("a page")
            .iter()
            .any(|event| event["ev"] == "message" && event["seq"] == seq)
    };
    let (old_seq, url) = loop {
        let (old, seq) = say_file(&server, &mut owner, &mut http, &room, 300_000);
        let asked = http.ask("GET", &format!("/v1/media/{old}/link?variant=0"), None);
        if asked.status == 200 {
            break (seq, text(&asked.json(), "url").to_owned());
        }
        // It was too old before it had a link.
        assert!(!stands(&mut http, seq), "no link to the file of a message that stands: {asked:?}");
    };
    wait_until("an old message stays", || {
        // Looked at first: a message that stands afterwards stood then.
        let status = by_link(&server, "GET", &url, "", b"").status;
        let stands = stands(&mut http, old_seq);
        assert!(status == 200 || !stands, "{status}: the file of a message that stands is gone");
        !stands
    });
    let (new, new_seq) = say_file(&server, &mut owner, &mut http, &room, 1_000);
    wait_until("the file of a removed message stays", || {
        by_link(&server, "GET", &url, "", b"").status == 404
    });
    wait_until("its bytes stay", || bytes_kept(temp.path()) <= 1_000);
    // The new one may be too old by now.
    let asked = http.ask("GET", &format!("/v1/media/{new}/link?variant=0"), None);
    let status = match asked.status {
        200 => by_link(&server, "GET", text(&asked.json(), "url"), "", b"").status,
        other => other,
    };
    assert!(status == 200 || !stands(&mut http, new_seq), "the file of a message that stands is gone");
    // Whatever was done when the process ends, the next one does the rest.
    wait_until("a message stays", || !stands(&mut http, new_seq));
    server.kill();
    let server = serve(temp.path(), &aged);
    wait_until("bytes stay after a kill", || bytes_kept(temp.path()) == 0);
    let mut http = as_user(&server, owner.user);
    wait_until("what is gone is counted", || {
        http.good("GET", "/v1/media/usage", Value::Null, 200)["bytes"] == 0
    });
    assert!(server.stop().success());
}

#[test]
fn nobody_reads_the_file_of_a_deleted_message_also_when_the_process_ends_at_once() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = serve(temp.path(), &[]);
    let mut owner = Chatter::sign_in(&server);
    let room = owner.create();
    let reader = user();
    Chatter::sign_in_as(&server, reader, json!([])).join(&room);
    let mut http = as_user(&server, owner.user);
    let (stays, _) = say_file(&server, &mut owner, &mut http, &room, 100);
    let (gone, seq) = say_file(&server, &mut owner, &mut http, &room, 200);
    let url = link(&mut as_user(&server, reader), &gone, 0);
    assert_eq!(by_link(&server, "GET", &url, "", b"").status, 200);
    let delete = json!({"op": "delete", "room": room, "seq": seq, "key": key().to_string()});
    assert_eq!(owner.ask(delete)["ev"], "ok");
    // What is given back waits for a second.
    server.kill();
    let server = serve(temp.path(), &[]);
    for who in [reader, owner.user] {
        let mut http = as_user(&server, who);
        http.bad("GET", &format!("/v1/media/{gone}/link"), Value::Null, 404, "attachment_not_found");
        assert_eq!(by_link(&server, "GET", &link(&mut http, &stays, 0), "", b"").body.len(), 100);
    }
    assert!(server.stop().success());
}

/// Changes what is known of a file of a server that does not run.
fn change_row(data: &Path, media: &str, change: impl FnOnce(&mut Media)) {
    let mut table = MediaTable::open(data).expect("opens");
    let id = MediaId::parse(media).expect("an id");
    let mut row = ready(table.media(&[id])).expect("readable").pop().expect("a row");
    change(&mut row);
    ready(table.fill(&[MediaRow(row)])).expect("fills");
}

#[test]
fn files_of_deleted_messages_of_which_nothing_was_noted_are_read_by_nobody_and_end() {
    // Its rows are changed in the file of the embedded store.
    if Outside::for_all().is_some() {
        return;
    }
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = serve(temp.path(), &[]);
    let mut owner = Chatter::sign_in(&server);
    let room = owner.create();
    let reader = user();
    Chatter::sign_in_as(&server, reader, json!([])).join(&room);
    let mut http = as_user(&server, owner.user);
    let stays = say_file(&server, &mut owner, &mut http, &room, 100).0;
    let untold = say_file(&server, &mut owner, &mut http, &room, 50).0;
    let gone = [200, 300].map(|bytes| say_file(&server, &mut owner, &mut http, &room, bytes));
    for (_, seq) in &gone {
        let delete = json!({"op": "delete", "room": room, "seq": seq, "key": key().to_string()});
        assert_eq!(owner.ask(delete)["ev"], "ok");
    }
    server.kill();
    // As it is when whoever keeps files was away all the time: of one not even the message is known.
    let seqs = [Some(Seq(gone[0].1)), None];
    for ((media, _), seq) in gone.iter().zip(seqs) {
        change_row(temp.path(), media, |row| (row.leaves, row.seq) = (None, seq));
    }
    change_row(temp.path(), &untold, |row| row.seq = None);
    let server = serve(temp.path(), &[]);
    for who in [reader, owner.user] {
        let mut http = as_user(&server, who);
        for (media, _) in &gone {
            http.bad("GET", &format!("/v1/media/{media}/link"), Value::Null, 404, "attachment_not_found");
        }
        assert_eq!(by_link(&server, "GET", &link(&mut http, &stays, 0), "", b"").body.len(), 100);
        assert_eq!(by_link(&server, "GET", &link(&mut http, &untold, 0), "", b"").body.len(), 50);
    }
    server.kill();
    let server = serve(temp.path(), &["--set", "limits.retention_sweep=1s"]);
    wait_until("bytes of deleted messages stay", || bytes_kept(temp.path()) == 150);
    let mut http = as_user(&server, reader);
    for (media, bytes) in [(&stays, 100), (&untold, 50)] {
        assert_eq!(by_link(&server, "GET", &link(&mut http, media, 0), "", b"").body.len(), bytes);
    }
    assert!(server.stop().success());
}

#[test]
fn who_joined_after_a_message_sees_no_file_of_it_whatever_clocks_said() {
    // Its rows are changed in the file of the embedded store.
    if Outside::for_all().is_some() {
        return;
    }
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = serve(temp.path(), &[]);
    let mut owner = Chatter::sign_in(&server);
    let make = json!({"op": "create", "name": "since", "visibility": "since_join", "key": key().to_string()});
    let room = text(&owner.ask(make), "room").to_owned();
    let (early, late) = (user(), user());
    Chatter::sign_in_as(&server, early, json!([])).join(&room);
    let mut http = as_user(&server, owner.user);
    let (before, seq) = say_file(&server, &mut owner, &mut http, &room, 100);
    Chatter::sign_in_as(&server, late, json!([])).join(&room);
    let (after, _) = say_file(&server, &mut owner, &mut http, &room, 200);
    assert!(server.stop().success());
    // A clock that was set back between the file and the joining.
    change_row(temp.path(), &before, |row| {
        row.attached.as_mut().expect("attached").at = Millis(wall_millis() + 60_000);
        assert_eq!(row.seq, Some(Seq(seq)), "it is noted where the message is");
    });
    let server = serve(temp.path(), &[]);
    let path = format!("/v1/media/{before}/link");
    as_user(&server, late).bad("GET", &path, Value::Null, 404, "attachment_not_found");
    for (who, media, bytes) in [(early, &before, 100), (late, &after, 200)] {
        let url = link(&mut as_user(&server, who), media, 0);
        assert_eq!(by_link(&server, "GET", &url, "", b"").body.len(), bytes);
    }
    assert!(server.stop().success());
}

#[test]
fn bytes_of_which_no_row_tells_go_with_a_start() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = serve(temp.path(), &[]);
    let who = user();
    let file = png(&picture(500, 500));
    let row = upload(&server, &mut as_user(&server, who), avatar("image/png", file.len()), &file);
    assert!(server.stop().success());
    let blobs = temp.path().join("blobs");
    let before = bytes_kept(temp.path());
    // As it is when a process ends while it makes pictures of an upload that was given up.
    let below = blobs.join("a7");
    std::fs::create_dir_all(&below).expect("makes it");
    for name in [format!("{:030x}", 7), format!("{:030x}.1", 8)] {
        std::fs::write(below.join(name), vec![7; 5_000]).expect("writes");
    }
    let server = serve(temp.path(), &[]);
    server.wait_metric("lynk_media_swept_total{step=\"lost\"}", 2.0);
    wait_until("bytes without a row stay", || bytes_kept(temp.path()) == before);
    let url = link(&mut as_user(&server, who), text(&row, "media"), 0);
    assert_eq!(by_link(&server, "GET", &url, "", b"").status, 200);
    assert_eq!(server.metric("lynk_media_ends_deferred_total"), 0.0);
    assert!(server.stop().success());
}

/// The links of a server, by the key that is made of its secret.
fn links_of(data: &Path) -> Links {
    let secret = std::fs::read(data.join("keys/server.secret")).expect("the server made it");
    let root = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret);
    let key = ring::hmac::sign(&root, b"lynk media links");
    Links::new(key.as_ref().try_into().expect("32 bytes"), &[])
}

#[test]
fn a_link_whose_time_is_over_is_refused() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let server = serve(temp.path(), &[]);
    let links = links_of(temp.path());
    let mut owner = Chatter::sign_in(&server);
    let room = owner.create();
    let mut http = as_user(&server, owner.user);
    let row = upload(&server, &mut http, file(&room, "text/plain", 5), b"hello");
    let url = link(&mut http, text(&row, "media"), 0);
    let part = |name: &str| {
        let at =
            url.find(&format!("{name}=")).unwrap_or_else(|| panic!("no {name} in {url}")) + name.len() + 1;
        url[at..].split('&').next().unwrap_or_default().to_owned()
    };
    let id = MediaId::parse(text(&row, "media")).expect("an id");
    let person = UserId::parse(&part("user")).expect("an id");
    let session = SessionId(UserId::parse(&part("session")).expect("an id").0);
    let get = |millis: i64| {
        let ends = Millis(wall_millis().saturating_add_signed(millis));
        let signature = links.sign(&Grant::Get { id, variant: 0, user: person, session }, ends);
        let url = format!(
            "/v1/media/{id}/content?variant=0&user={person}&session={}&ends={}&signature={signature}",
            part("session"),
            ends.0
        );
        by_link(&server, "GET", &url, "", b"")
    };
    assert_eq!(get(60_000).body, b"hello", "signed as the server signs");
    for late in [-1, -5 * 60 * 1_000] {
        let answer = get(late);
        assert_eq!((answer.status, code(&answer)), (401, "token_expired".to_owned()));
    }
    assert_eq!(get(24 * 60 * 60 * 1_000).status, 401, "nobody signs for so long");

    let announced = http.good("POST", "/v1/media", file(&room, "text/plain", 5), 201);
    let id = MediaId::parse(text(&announced, "media")).expect("an id");
    let put = |millis: i64| {
        let ends = Millis(wall_millis().saturating_add_signed(millis));
        let signature = links.sign(&Grant::Put { id, bytes: 5, kind: "text/plain" }, ends);
        let url =
            format!("/v1/media/{id}/content?bytes=5&type=text%2Fplain&ends={}&signature={signature}", ends.0);
        by_link(&server, "PUT", &url, "", b"hello")
    };
    assert_eq!((put(-1).status, code(&put(-1))), (401, "token_expired".to_owned()));
    assert_eq!(put(60_000).status, 200);
    assert!(server.metric("lynk_media_links_refused_total") >= 5.0);
    assert!(server.stop().success());
}
