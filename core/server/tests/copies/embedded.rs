//! Embedded stores.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Chatter, Server};
use crate::tools::{Talk, assert_restored, backup, kept, refusal, restore, start, take_keys, told};

/// The greatest file of a backup, which has rows in it.
fn greatest(backup: &std::path::Path) -> PathBuf {
    let mut left = vec![backup.to_owned()];
    let mut found: Vec<(u64, PathBuf)> = Vec::new();
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                left.push(path);
            } else if path.file_name().is_some_and(|name| name != "MANIFEST") {
                found.push((fs::metadata(&path).expect("there").len(), path));
            }
        }
    }
    found.sort();
    found.pop().expect("a file").1
}

#[test]
fn a_backup_under_load_restores_what_was_acknowledged_before_it_once() {
    let place = tempfile::tempdir().expect("a directory");
    let path = |name: &str| place.path().join(name);
    let server = start(&path("data"), &[]);
    let talks: Vec<Talk> = (0..3).map(|_| Talk::start(&server)).collect();
    for talk in &talks {
        talk.pump.wait_more(200);
    }
    let before: Vec<usize> = talks.iter().map(|talk| talk.pump.count()).collect();
    let made = told(&backup(&path("data"), &path("backup"), &[]));
    assert_eq!((made["rooms"].as_u64(), made["logs"].as_u64()), (Some(3), Some(3)), "{made}");
    for talk in &talks {
        talk.pump.wait_more(50);
    }
    let ended: Vec<_> = talks.into_iter().map(Talk::end).collect();
    server.kill();
    assert_eq!(fs::metadata(path("backup")).expect("there").mode() & 0o777, 0o700);
    for absent in ["keys", "journal", "UNFINISHED"] {
        assert!(!path("backup").join(absent).exists(), "{absent} is in the backup");
    }

    // Twice, from the same backup: it stays as it is.
    for copy in ["first", "second"] {
        told(&restore(&path("backup"), &path(copy), &[]));
        take_keys(&path("data"), &path(copy));
        let server = start(&path(copy), &[]);
        for ((user, room, epoch, acked), least) in ended.iter().zip(&before) {
            assert_restored(&server, (*user, room, *epoch), acked, *least);
        }
        assert!(server.stop().success());
    }
    // The first life is as it was.
    let server = start(&path("data"), &[]);
    for (user, room, _, acked) in &ended {
        assert_eq!(&kept(&server, *user, room), acked);
    }
}

#[test]
fn a_backup_without_a_server_has_what_journals_hold() {
    let place = tempfile::tempdir().expect("a directory");
    let path = |name: &str| place.path().join(name);
    let server = start(&path("data"), &[]);
    let Talk { user, room, epoch, pump } = Talk::start(&server);
    pump.wait_more(100);
    let (chatter, acked) = pump.stop();
    drop(chatter);
    server.kill();
    told(&backup(&path("data"), &path("backup"), &[]));
    told(&restore(&path("backup"), &path("copy"), &[]));
    take_keys(&path("data"), &path("copy"));
    let server = start(&path("copy"), &[]);
    assert_restored(&server, (user, &room, epoch), &acked, acked.len());
}

#[test]
fn a_conversation_that_is_begun_anew_after_a_restore_has_another_epoch() {
    let place = tempfile::tempdir().expect("a directory");
    let path = |name: &str| place.path().join(name);
    let server = start(&path("data"), &[]);
    told(&backup(&path("data"), &path("backup"), &[]));
    let (mut one, other) = (Chatter::sign_in(&server), Chatter::sign_in(&server));
    let direct = json!({"op": "direct", "user": other.user.to_string()});
    let made = one.ask(direct.clone());
    assert_eq!(made["ev"], "ok", "{made}");
    let room = made["room"].as_str().expect("an id").to_owned();
    one.say(&room, "of the first life");
    let (user, second, seq) = (one.user, other.user, one.subscribe(&room)["top"].clone());
    drop((one, other));
    server.kill();
    told(&restore(&path("backup"), &path("copy"), &[]));
    take_keys(&path("data"), &path("copy"));
    let server = start(&path("copy"), &[]);
    let mut one = Chatter::sign_in_as(&server, user, json!([]));
    let made = one.ask(direct);
    let back = json!({"op": "direct", "user": user.to_string()});
    assert_eq!(Chatter::sign_in_as(&server, second, json!([])).ask(back)["room"], room);
    assert_eq!(made["room"], room, "the same pair has the same conversation: {made}");
    for _ in 0..4 {
        one.say(&room, "of the second life");
    }
    let old = one.ask(json!({"op": "subscribe", "room": room, "epoch": 0, "seq": seq}));
    assert_eq!(old["events"][0]["reason"], "reset", "{old}");
}

#[test]
fn what_is_damaged_or_in_the_way_is_refused_and_named() {
    let place = tempfile::tempdir().expect("a directory");
    let path = |name: &str| place.path().join(name);
    let server = start(&path("data"), &[]);
    let Talk { pump, .. } = Talk::start(&server);
    pump.wait_more(100);
    drop(pump.stop());
    fs::create_dir(path("taken")).expect("made");
    let text = refusal(&backup(&path("data"), &path("taken"), &[]));
    assert!(text.contains("taken is in the way: it exists"), "{text}");
    assert!(refusal(&backup(&path("nothing"), &path("backup"), &[])).contains("is not a data directory"));
    told(&backup(&path("data"), &path("backup"), &[]));
    let text = refusal(&restore(&path("backup"), &path("data"), &[]));
    assert!(text.contains("in use by another process"), "{text}");
    assert!(server.stop().success());
    let text = refusal(&restore(&path("backup"), &path("data"), &[]));
    assert!(text.contains("is not empty"), "{text}");

    let file = greatest(&path("backup"));
    let whole = fs::read(&file).expect("readable");
    let mut damaged = whole.clone();
    let at = damaged.len() / 2;
    damaged[at] ^= 1;
    fs::write(&file, &damaged).expect("ours");
    let text = refusal(&restore(&path("backup"), &path("copy"), &[]));
    assert!(text.contains(&format!("{} is damaged", file.display())), "{text}");
    assert!(!path("copy").join("VERSION").exists());
    assert!(!path("copy").join("restore.part").exists());
    fs::write(&file, &whole).expect("ours");
    told(&restore(&path("backup"), &path("copy"), &[]));
    let _serves = Server::start(&path("copy"), &[]);
}

/// The asker is killed when the copy has just begun, and the server stands still from then until it is gone: the copy of so many messages takes
/// seconds.
#[test]
fn an_asker_that_goes_away_leaves_nothing_half_made() {
    let place = tempfile::tempdir().expect("a directory");
    let path = |name: &str| place.path().join(name);
    let server = start(&path("data"), &[]);
    let mut chatter = Chatter::sign_in(&server);
    let room = chatter.create();
    let text = "many words ".repeat(150);
    for _ in 0..100 {
        let sent: Vec<u64> = (0..200)
            .map(|_| {
                let key = crate::support::key().to_string();
                chatter.tell(json!({"op": "send", "room": room, "key": key, "text": text}))
            })
            .collect();
        for re in sent {
            assert_eq!(chatter.answer(re)["ev"], "ok");
        }
        chatter.events.clear();
    }
    let target = path("backup");
    let mut asker = Command::new(crate::support::LYNK)
        .args(["backup", "--data", crate::tools::text(&path("data")), "--to", crate::tools::text(&target)])
        .stderr(Stdio::piped())
        .spawn()
        .expect("lynk can be started");
    let mut lines = BufReader::new(asker.stderr.take().expect("piped")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("copying messages")), "it begins with them");
    server.signal(Signal::STOP);
    assert!(path("backup.part").exists() && !target.exists(), "it is half made");
    asker.kill().expect("it runs");
    asker.wait().expect("it ends");
    server.signal(Signal::CONT);
    server.wait_logged("backup_failed");
    assert!(server.logged("backup_done").is_empty());
    assert!(!path("backup.part").exists() && !target.exists(), "nothing is left of it");
    // One that stays has it all.
    let made = told(&backup(&path("data"), &target, &[]));
    assert_eq!((made["rooms"].as_u64(), made["logs"].as_u64()), (Some(1), Some(1)), "{made}");
    assert!(target.exists() && !path("backup.part").exists());
}
