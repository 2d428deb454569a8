//! The server is killed or frozen while it is written to.
//!
//! Thread: tests of this file run one after the other, because they share the server that they end.

mod common;

use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::{Blocking, Keyspace, Server, runtime};
use lynk_cassandra::{CassandraMessages, ConnectError, FaultKind};
use lynk_domain::{Lsn, Seq};
use lynk_model::contract::{History, records};
use lynk_model::port::{MessageStore as _, ready};
use lynk_model::{OwnedRecord, PageQuery, StoreError, StoredBody, StoredEvent};

static ALONE: Mutex<()> = Mutex::new(());

fn signal(server: &Server, name: &str) {
    let sent = Command::new("kill").args([name, &server.pid()]).status().expect("kill runs");
    assert!(sent.success());
}

fn start_again(server: &Server) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/services");
    let started =
        Command::new(script).arg("up").arg(&server.directory).arg("cassandra").status().expect("it runs");
    assert!(started.success(), "the server starts again");
}

/// Everything of a room.
fn whole(store: &Blocking, history: &History) -> Vec<StoredEvent> {
    let (mut from, mut events) = (Seq(1), Vec::new());
    loop {
        let query = PageQuery {
            room: history.room,
            from,
            to: Seq(u64::MAX),
            backward: false,
            limit: 1_000,
            bytes: u32::MAX,
            all: true,
        };
        let page = ready(store.page(&query)).expect("readable");
        events.extend(page.events);
        if !page.more {
            return events;
        }
        from = page.covers_to.next();
    }
}

/// Repeats a batch until it is answered; returns how often that was refused.
fn until_answered(store: &mut Blocking, lsn: u64, batch: &[OwnedRecord]) -> u32 {
    let deadline = Instant::now() + Duration::from_secs(120);
    for tries in 0.. {
        match ready(store.append("1/0", Lsn(lsn), &records(batch))) {
            Ok(()) => return tries,
            Err(StoreError::Corrupt) => panic!("{:?}", store.store.take_fault()),
            // On the runtime, because that is where the driver connects again.
            Err(_) => store.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(100)).await }),
        }
        assert!(Instant::now() < deadline, "{:?}", store.store.take_fault());
    }
    unreachable!("an endless loop")
}

#[test]
fn a_killed_server_keeps_what_it_answered_and_takes_the_rest_again_once() {
    const BATCH: usize = 400;
    let Some(server) = Server::find("a_killed_server_keeps_what_it_answered_and_takes_the_rest_again_once")
    else {
        return;
    };
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let keyspace = Keyspace::new(&server);
    let mut connect = keyspace.connect();
    connect.limits.request_timeout = Duration::from_secs(2);
    let mut store = Blocking::open(&connect);
    let mut history = History::new(1);
    let user = history.users[0];
    let (mut lsn, mut failures) = (0, Vec::new());
    for round in 0..3u64 {
        let killer = {
            let server = server.clone();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(300 + 170 * round));
                signal(&server, "-KILL");
            })
        };
        // Until one batch is not answered.
        let failed = loop {
            for _ in 0..BATCH {
                let text = format!("message {}", history.top().0 + 1);
                history.post(user, Seq(0), &text);
            }
            lsn += BATCH as u64;
            let batch = &history.records[history.records.len() - BATCH..];
            match ready(store.append("1/0", Lsn(lsn), &records(batch))) {
                Ok(()) => assert!(history.records.len() < 400 * BATCH, "the server is killed in between"),
                Err(error) => break error,
            }
        };
        killer.join().expect("it killed");
        assert!(matches!(failed, StoreError::Unknown | StoreError::Unavailable), "{failed:?}");
        failures.push((failed, store.store.take_fault().expect("a reason").to_string()));
        start_again(&server);
        let batch = history.records[history.records.len() - BATCH..].to_vec();
        // What was answered is there before anything is repeated.
        let answered = Lsn(lsn - BATCH as u64);
        let mut fresh = keyspace.store();
        let cursor = ready(fresh.cursor("1/0")).expect("readable");
        assert!(cursor == answered || cursor == Lsn(lsn), "{cursor:?} after {answered:?}");
        let events = whole(&fresh, &history);
        let kept = events.iter().filter(|event| event.seq.0 <= answered.0).count();
        assert_eq!(kept as u64, answered.0, "every batch that returned is there");
        // The same handle finds the server again.
        until_answered(&mut store, lsn, &batch);
        let once = whole(&store, &history);
        until_answered(&mut fresh, lsn, &batch);
        assert_eq!(whole(&fresh, &history), once, "repeating it changes nothing");
        assert_eq!(once.len() as u64, history.top().0);
        for (seq, event) in (1..).zip(&once) {
            let StoredBody::Message(view) = &event.body else { panic!("a message") };
            assert_eq!(
                (event.seq, view.n.0, view.text.as_str()),
                (Seq(seq), seq, format!("message {seq}").as_str())
            );
        }
        assert_eq!(ready(store.cursor("1/0")), Ok(Lsn(lsn)));
        assert_eq!(ready(store.head(history.room)).expect("readable").top, history.top());
    }
    let words = format!("{failures:?}");
    assert!(!words.contains(&server.password(common::MESSAGES)), "{words}");
    assert!(!words.contains("message 1"), "no text is repeated: {words}");
}

#[test]
fn a_frozen_server_costs_a_bounded_time() {
    let Some(server) = Server::find("a_frozen_server_costs_a_bounded_time") else { return };
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let keyspace = Keyspace::new(&server);
    let mut connect = keyspace.connect();
    connect.limits.request_timeout = Duration::from_secs(1);
    connect.limits.connect_timeout = Duration::from_secs(2);
    let mut store = {
        let mut patient = connect.clone();
        patient.limits.connect_timeout = Duration::from_secs(30);
        Blocking::open(&patient)
    };
    let mut history = History::new(2);
    let user = history.users[0];
    for _ in 0..3_000 {
        history.post(user, Seq(0), "text");
    }
    until_answered(&mut store, 1, &history.records[..10]);

    signal(&server, "-STOP");
    let started = Instant::now();
    let appended = ready(store.append("1/0", Lsn(2), &records(&history.records)));
    let append_took = started.elapsed();
    let fault = store.store.take_fault();
    let started = Instant::now();
    let read = ready(store.head(history.room));
    let read_took = started.elapsed();
    let started = Instant::now();
    let connected = runtime().block_on(CassandraMessages::connect(&connect)).map(|_| ());
    let connect_took = started.elapsed();
    signal(&server, "-CONT");

    assert_eq!(appended, Err(StoreError::Unknown));
    assert_eq!(fault.map(|fault| fault.kind), Some(FaultKind::Unknown));
    assert_eq!(read, Err(StoreError::Unavailable));
    assert!(matches!(connected, Err(ConnectError::TimedOut(_) | ConnectError::Refused(_))), "{connected:?}");
    for (took, limit) in [(append_took, 10), (read_took, 10), (connect_took, 10)] {
        assert!(took < Duration::from_secs(limit), "{append_took:?} {read_took:?} {connect_took:?}");
    }
    until_answered(&mut store, 2, &history.records);
    assert_eq!(whole(&store, &history).len() as u64, history.top().0);
}
