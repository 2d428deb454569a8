//! Outages with people talking: nothing that was acknowledged is lost or doubled, and the operator can see what is wrong.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::alone;
use crate::pump::{Pump, assert_kept, insist};
use crate::support::http::Http;
use crate::support::outside::{Frozen, Outside};
use crate::support::{Chatter, NO_RATES, PATIENCE, Server, key, user};

const BACKLOG: &str = "lynk_store_drain_backlog_records";

fn start(outside: &Outside, data: &std::path::Path, more: &[&str]) -> Server {
    let options = outside.options(data);
    let options = NO_RATES.into_iter().chain(options.iter().map(String::as_str)).chain(more.iter().copied());
    Server::start(data, &options.collect::<Vec<_>>())
}

/// Waits until `/readyz` says so of a dependency.
fn wait_ready(server: &Server, dependency: &str, status: &str) -> Value {
    let until = Instant::now() + 2 * PATIENCE;
    loop {
        let (code, body) = server.get("/readyz");
        assert_eq!(code, 200, "a server whose stores are away goes on: {body}");
        let told: Value = serde_json::from_str(&body).expect("JSON");
        if told["dependencies"][dependency]["status"] == status {
            return told;
        }
        assert!(Instant::now() < until, "{dependency} does not become {status}: {told}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn wait_drained(server: &Server) {
    let until = Instant::now() + 3 * PATIENCE;
    while server.metric(BACKLOG) > 0.0 {
        assert!(Instant::now() < until, "the backlog stays at {}", server.metric(BACKLOG));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_message_store_that_dies_under_load_costs_no_message() {
    let Some((outside, _turn)) = alone("a_message_store_that_dies_under_load_costs_no_message") else {
        return;
    };
    let data = tempfile::tempdir().expect("a directory");
    let server = start(outside, data.path(), &[]);
    let mut chatter = Chatter::sign_in(&server);
    let (user, room) = (chatter.user, chatter.create());
    let pump = Pump::start(chatter, &room);
    for _ in 0..3 {
        pump.wait_more(300);
        outside.signal("cassandra", "KILL");
        let told = wait_ready(&server, "drain", "degraded");
        assert_eq!(told["status"], "degraded", "{told}");
        pump.wait_more(300);
        outside.up(&["cassandra"]);
        wait_ready(&server, "drain", "ok");
    }
    let (chatter, acked) = pump.stop();
    drop(chatter);
    wait_drained(&server);
    assert_kept(&server, user, &room, &acked);
    // What only the store can know.
    assert!(server.stop().success());
    let server = start(outside, data.path(), &[]);
    assert_kept(&server, user, &room, &acked);
}

#[test]
fn a_server_that_dies_while_its_message_store_is_away_loses_nothing() {
    let Some((outside, _turn)) = alone("a_server_that_dies_while_its_message_store_is_away_loses_nothing")
    else {
        return;
    };
    let data = tempfile::tempdir().expect("a directory");
    let server = start(outside, data.path(), &[]);
    let mut chatter = Chatter::sign_in(&server);
    let (user, room) = (chatter.user, chatter.create());
    let pump = Pump::start(chatter, &room);
    pump.wait_more(200);
    outside.signal("cassandra", "KILL");
    pump.wait_more(200);
    let (_, acked) = pump.stop();
    server.kill();
    outside.up(&["cassandra"]);
    let server = start(outside, data.path(), &[]);
    assert_kept(&server, user, &room, &acked);
    wait_drained(&server);
    assert_kept(&server, user, &room, &acked);
}

#[test]
fn a_backlog_beyond_its_budget_is_refused_with_an_error_to_retry() {
    let Some((outside, _turn)) = alone("a_backlog_beyond_its_budget_is_refused_with_an_error_to_retry")
    else {
        return;
    };
    let data = tempfile::tempdir().expect("a directory");
    let budget =
        ["--set", "journal.segment_bytes=4MiB", "--set", "journal.disk_bytes_max=32MiB", "--shards", "1"];
    let server = start(outside, data.path(), &budget);
    let mut chatter = Chatter::sign_in(&server);
    let (user, room) = (chatter.user, chatter.create());
    outside.signal("cassandra", "KILL");
    let text = "x".repeat(8_000);
    let mut acked = Vec::new();
    let refused = loop {
        let send = json!({"op": "send", "room": room, "key": key().to_string(), "text": text});
        let answer = chatter.ask(send);
        if answer["ev"] == "error" {
            break answer;
        }
        acked.push((answer["seq"].as_u64().expect("a number"), text.clone()));
        assert!(acked.len() < 20_000, "the budget of 32 MiB is used up");
    };
    assert_eq!(
        (&refused["code"], &refused["retryable"]),
        (&json!("storage_full"), &json!(true)),
        "{refused}"
    );
    let used = server.metric("lynk_journal_disk_bytes");
    assert!(used <= f64::from(32 << 20), "{used}");
    outside.up(&["cassandra"]);
    wait_ready(&server, "drain", "ok");
    let last = "after the outage".to_owned();
    let send = json!({"op": "send", "room": room, "key": key().to_string(), "text": last});
    // Nobody read the old connection for as long as that store was away.
    let mut chatter = Chatter::sign_in_as(&server, user, json!([]));
    let ok = insist(&mut chatter, &send);
    acked.push((ok["seq"].as_u64().expect("a number"), last));
    wait_drained(&server);
    assert_kept(&server, user, &room, &acked);
}

#[test]
fn a_relational_store_that_dies_leaves_each_command_done_once() {
    let Some((outside, _turn)) = alone("a_relational_store_that_dies_leaves_each_command_done_once") else {
        return;
    };
    let data = tempfile::tempdir().expect("a directory");
    let server = start(outside, data.path(), &[]);
    let mut talker = Chatter::sign_in(&server);
    let (user, room) = (talker.user, talker.create());
    let pump = Pump::start(talker, &room);
    let mut maker = Chatter::sign_in(&server);
    let owner = maker.user;
    let (done, made) = std::sync::mpsc::channel();
    let maker = std::thread::spawn(move || {
        let mut rooms = Vec::new();
        while done.send(()).is_ok() {
            let name = format!("drill {}", key());
            let create = json!({"op": "create", "key": key().to_string(), "name": name});
            let ok = insist(&mut maker, &create);
            // The same key again is the same room.
            assert_eq!(insist(&mut maker, &create)["room"], ok["room"]);
            rooms.push(ok["room"].as_str().expect("an id").to_owned());
        }
        rooms
    });
    let wait_made =
        |count: usize| (0..count).for_each(|_| made.recv_timeout(2 * PATIENCE).expect("rooms are made"));
    for _ in 0..3 {
        wait_made(10);
        outside.signal("postgres", "KILL");
        wait_ready(&server, "rooms", "degraded");
        pump.wait_more(200);
        outside.up(&["postgres"]);
        wait_made(5);
        wait_ready(&server, "rooms", "ok");
    }
    drop(made);
    let mut rooms = maker.join().expect("every command is done in the end");
    let (chatter, acked) = pump.stop();
    drop(chatter);
    wait_drained(&server);
    assert_kept(&server, user, &room, &acked);
    let mut reader = Chatter::sign_in_as(&server, owner, json!([]));
    let mut found: Vec<String> = Vec::new();
    let mut ask = json!({"op": "sync"});
    loop {
        let page = reader.ask(ask.clone());
        assert_eq!(page["ev"], "sync", "{page}");
        let listed = page["rooms"].as_array().expect("a list").iter();
        found.extend(listed.map(|row| row["room"].as_str().expect("an id").to_owned()));
        if page["next"].is_null() {
            break;
        }
        ask["after"] = page["next"].clone();
    }
    rooms.sort();
    found.sort();
    assert_eq!(found, rooms, "each command made one room");
}

#[test]
fn a_start_waits_for_a_store_that_is_away() {
    let Some((outside, _turn)) = alone("a_start_waits_for_a_store_that_is_away") else { return };
    for system in ["postgres", "cassandra"] {
        let data = tempfile::tempdir().expect("a directory");
        // The database is made while it can be.
        outside.options(data.path());
        outside.signal(system, "KILL");
        let up = std::thread::spawn(move || {
            // Long enough for the server to come to it, and for several tries.
            std::thread::sleep(Duration::from_secs(3));
            outside.up(&[system]);
        });
        let server = start(outside, data.path(), &["--set", "store.start_wait=5m"]);
        up.join().expect("it comes back");
        assert!(!server.logged("store_awaited").is_empty(), "{system} was away");
        let mut chatter = Chatter::sign_in(&server);
        let room = chatter.create();
        chatter.say(&room, "hello");
        assert!(server.stop().success());
    }
}

#[test]
fn a_server_ends_well_while_its_tables_are_read() {
    let Some((outside, _turn)) = alone("a_server_ends_well_while_its_tables_are_read") else { return };
    let data = tempfile::tempdir().expect("a directory");
    let server = start(outside, data.path(), &[]);
    let mut http = Http::connect(&server.address);
    http.token = Some(server.token(user()));
    http.good("GET", "/v1/blocks", Value::Null, 200);
    let hold = Frozen::new(outside, "postgres");
    let read = http.request("GET", "/v1/blocks", "", b"");
    http.send(&read);
    // The read is under way before the end begins, and when whoever asked for it is gone.
    std::thread::sleep(Duration::from_millis(500));
    let end = std::thread::spawn(move || server.stop());
    std::thread::sleep(Duration::from_secs(4));
    drop(hold);
    assert!(end.join().expect("it ends").success());
}

#[test]
fn level_replicated_is_acknowledged_when_the_message_store_has_it() {
    let Some((outside, _turn)) = alone("level_replicated_is_acknowledged_when_the_message_store_has_it")
    else {
        return;
    };
    let data = tempfile::tempdir().expect("a directory");
    let server = start(outside, data.path(), &["--set", "rooms.default_level=replicated"]);
    let (mut ann, mut ben) = (Chatter::sign_in(&server), Chatter::sign_in(&server));
    let room = ann.create();
    ben.join(&room);
    let send = |text: &str| json!({"op": "send", "room": room, "key": key().to_string(), "text": text});
    // What the store does not confirm in ten seconds may be asked again, and after the drills before this one it takes its time.
    assert_eq!(insist(&mut ann, &send("stored"))["level"], "replicated");
    let hold = Frozen::new(outside, "cassandra");
    let held = send("held");
    let first = ann.tell(held.clone());
    while ben.event("message")["text"] != "held" {}
    let late = ann.answer(first);
    assert_eq!((&late["code"], &late["retryable"]), (&"unknown".into(), &true.into()), "{late}");
    let again = ann.tell(held.clone());
    assert_eq!(ann.ask(json!({"op": "ping"}))["ev"], "ok", "the connection goes on");
    drop(hold);
    let mut ok = ann.answer(again);
    if ok["ev"] == "error" {
        assert_eq!(ok["retryable"], true, "{ok}");
        ok = insist(&mut ann, &held);
    }
    assert_eq!((&ok["ev"], &ok["level"]), (&"ok".into(), &"replicated".into()), "{ok}");
    assert_eq!(ann.ask(held)["seq"], ok["seq"], "the same message");
    let texts: Vec<_> =
        ann.log(&room, 0).iter().filter_map(|event| event["text"].as_str().map(str::to_owned)).collect();
    assert_eq!(texts, ["stored", "held"]);
    server.wait_metric("lynk_engine_replicated_duration_seconds_count", 2.0);
}
