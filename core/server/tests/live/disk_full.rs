//! A full disk: sends are refused with a code that says to retry, reads go on, and sends work again when there is space.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Chatter, LoopFs, NO_RATES, PATIENCE, Server, key, may_mount};

/// Takes all space but `left` bytes of the file system that `path` is on.
fn fill(path: &Path, left: u64) -> File {
    let mut file = File::create(path).expect("writable");
    let block = vec![0x5a; 1 << 20];
    loop {
        let free = rustix::fs::statvfs(path).map(|fs| fs.f_bavail * fs.f_frsize).expect("mounted");
        if free <= left {
            break;
        }
        let step = usize::try_from((free - left).min(block.len() as u64)).expect("small");
        if file.write_all(&block[..step]).is_err() {
            break;
        }
    }
    let _ = file.sync_all();
    file
}

#[test]
fn a_full_disk_refuses_sends_only_and_only_as_long_as_it_is_full() {
    if !may_mount("a_full_disk_refuses_sends_only_and_only_as_long_as_it_is_full") {
        return;
    }
    for backend in ["epoll", "auto"] {
        let temp = tempfile::tempdir().expect("temporary directory");
        let fs = LoopFs::create(temp.path(), "small", 256 << 20);
        let data = fs.mount.join("data");
        let small = ["--backend", backend, "--set", "journal.segment_bytes=4MiB"];
        let server = Server::start(&data, &[&NO_RATES[..], &small].concat());
        let mut alice = Chatter::sign_in(&server);
        let room = alice.create();
        alice.say(&room, "first");
        let filler = fill(&fs.mount.join("filler"), 0);

        let text = "x".repeat(7_000);
        let mut acked = Vec::new();
        let until = Instant::now() + PATIENCE;
        let refused = 'full: loop {
            assert!(Instant::now() < until, "sends still succeed on a full disk ({} acked)", acked.len());
            // Many at once: each batch costs a sync, however much is in it.
            let sends: Vec<u64> = (0..100)
                .map(|_| {
                    alice.tell(json!({"op": "send", "room": room, "key": key().to_string(), "text": text}))
                })
                .collect();
            let answers: Vec<_> = sends.into_iter().map(|re| alice.answer(re)).collect();
            for answer in answers {
                match answer["ev"].as_str() {
                    Some("ok") => acked.push(answer["seq"].as_u64().expect("a number")),
                    _ if answer["code"] == "storage_full" => break 'full answer,
                    _ => assert_eq!(answer["retryable"], true, "{answer}"),
                }
            }
        };
        assert_eq!(refused["retryable"], true, "{refused}");
        let log = alice.log(&room, 0);
        assert!(log.iter().any(|event| event["text"] == "first"), "history is still told");
        assert_eq!(alice.ask(json!({"op": "ping"}))["ev"], "ok");
        assert_eq!(server.get("/livez").0, 200);

        drop(filler);
        std::fs::remove_file(fs.mount.join("filler")).expect("ours");
        let again = json!({"op": "send", "room": room, "key": key().to_string(), "text": "last"});
        let until = Instant::now() + PATIENCE;
        let last = loop {
            let answer = alice.ask(again.clone());
            if answer["ev"] == "ok" {
                break answer["seq"].as_u64().expect("a number");
            }
            assert!(answer["retryable"] == true && Instant::now() < until, "{answer}");
            std::thread::sleep(Duration::from_millis(50));
        };
        assert!(server.stop().success());

        let server = Server::start(&data, &small);
        let mut alice = Chatter::sign_in_as(&server, alice.user, json!([]));
        let seqs: Vec<u64> = alice.log(&room, 0).iter().filter_map(|event| event["seq"].as_u64()).collect();
        assert_eq!(
            seqs,
            (1..=last).collect::<Vec<_>>(),
            "nothing acknowledged is lost, nothing is there twice"
        );
        assert!(acked.iter().all(|seq| seqs.contains(seq)));
        assert!(server.stop().success());
        fs.remove();
    }
}
