//! `kill -9` at random moments under load.

use std::time::{Duration, Instant};

use crate::load::{Book, Load, Rooms, Unanswered, check};
use crate::support::{NO_RATES, PATIENCE, Server, from_env, random};

#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_a_killed_process() {
    let kills = from_env("KILLS", 10);
    let temp = tempfile::tempdir().expect("temporary directory");
    let options = |round: u64| {
        let (backend, shards) =
            [("auto", "1"), ("epoll", "2"), ("auto", "3"), ("epoll", "1")][round as usize % 4];
        [&NO_RATES[..], &["--backend", backend, "--shards", shards]].concat()
    };
    let book = Book::default();
    let mut unanswered = Unanswered::default();
    let mut rooms = None;
    let mut sent = 0;
    for round in 0..kills {
        let server = Server::start(temp.path(), &options(round));
        let rooms = rooms.get_or_insert_with(|| Rooms::create(&server, 10));
        let findings = check(&server, rooms, &book.snapshot());
        assert!(findings.none(), "after {round} kills: {findings:#?}");

        let before = book.len();
        let load = Load::start(&server, rooms, &book, unanswered);
        let until = Instant::now() + PATIENCE;
        while book.len() == before && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(u64::from(u32::from_le_bytes(random())) % 800_000));
        server.kill();
        sent += load.sent.load(std::sync::atomic::Ordering::Relaxed);
        unanswered = load.finish(false);
        assert!(book.len() > before, "round {round}: nothing was acknowledged");
    }
    let server = Server::start(temp.path(), &options(0));
    let rooms = rooms.expect("at least one round");
    // What never got its answer gets it now, and is there once like everything else.
    Load::start(&server, &rooms, &book, unanswered).finish(true);
    let findings = check(&server, &rooms, &book.snapshot());
    assert!(findings.none(), "{findings:#?}");
    eprintln!(
        "==== kill ledger: {kills} kills, {sent} sends offered, {} acknowledged, 0 lost, 0 doubled ====",
        book.len()
    );
}
