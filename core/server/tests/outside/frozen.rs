//! No shard waits for an outside system: each one is stopped in the middle of load.
//!
//! A stopped process is the hardest case: its sockets stay open and nothing is refused. What is looked at is the cause, not a latency: where
//! the threads of shards sleep, and how long their turns take, beside the same load with nothing stopped.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::alone;
use crate::pump::{Pump, assert_kept};
use crate::redis::{MANY_CODES, number};
use crate::support::http::Http;
use crate::support::outside::{Frozen, Outside};
use crate::support::{Chatter, NO_RATES, Server, key};

const PAIRS: usize = 11;
/// Sets of pairs, of which one must be good: what else this machine does makes one slow, and a shard that waits makes all of them slow.
const SETS: usize = 4;
/// One measurement.
const WINDOW: Duration = Duration::from_millis(700);
/// Time between two looks at a thread that sleeps.
const LOOK: Duration = Duration::from_millis(20);
/// Looks that tell that it waits, half of a window long: a lock of the allocator may be somebody's who is not run for some time slices, and
/// who waits for a frozen system does so to the end of the window.
const LOOKS: usize = 18;
/// Of which a percentile says something.
const TURNS_MIN: f64 = 100.0;
/// A turn may take this much longer with a system frozen, at the 99th percentile.
const RATIO_MAX: f64 = 1.2;
/// `io_uring_enter`, in which a shard waits for everything; `-1` is a thread that was interrupted while it ran.
const WAITS: [&str; 3] = ["426", "-1", "running"];

/// Buckets of the turns of all shards: upper bound in nanoseconds, turns up to it since the start.
fn turns(server: &Server) -> BTreeMap<u64, f64> {
    let (_, text) = server.get("/metrics");
    let mut buckets = BTreeMap::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("lynk_reactor_turn_duration_seconds_bucket{le=\"") else {
            continue;
        };
        let (bound, count) = rest.split_once("\"} ").expect("a bucket");
        let Ok(seconds) = bound.parse::<f64>() else { continue };
        buckets.insert((seconds * 1e9) as u64, count.parse().expect("a count"));
    }
    assert!(!buckets.is_empty(), "the histogram has a name of its own: {text}");
    buckets
}

/// The 99th percentile of the turns in a window, interpolated in its bucket.
fn p99(before: &BTreeMap<u64, f64>, after: &BTreeMap<u64, f64>) -> f64 {
    let counts: Vec<(u64, f64)> =
        after.iter().map(|(bound, count)| (*bound, count - before[bound])).collect();
    let total = counts.last().expect("buckets").1;
    assert!(total > TURNS_MIN, "{total} turns are too few");
    let goal = total * 0.99;
    let (mut low, mut below) = (0.0, 0.0);
    for (bound, count) in counts {
        if count >= goal {
            return low + (bound as f64 - low) * (goal - below) / (count - below).max(1.0);
        }
        (low, below) = (bound as f64, count);
    }
    unreachable!("the last bucket has all");
}

/// Where the threads of shards are.
fn shard_threads(server: &Server) -> Vec<PathBuf> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("it runs");
    let named = |task: &PathBuf| std::fs::read_to_string(task.join("comm")).unwrap_or_default();
    let all: Vec<_> = tasks.map(|task| task.expect("listed").path()).collect();
    let found: Vec<_> = all.into_iter().filter(|task| named(task).starts_with("shard")).collect();
    assert!(!found.is_empty(), "threads of shards have their name");
    found
}

/// One window: turns, and a look at where the shards sleep, again and again.
fn window(server: &Server, shards: &[PathBuf]) -> f64 {
    let before = turns(server);
    let began = Instant::now();
    // On a slow disk there are fewer turns: the window is longer then.
    while began.elapsed() < WINDOW
        || (began.elapsed() < 20 * WINDOW && made(&before, &turns(server)) <= TURNS_MIN)
    {
        for shard in shards {
            let waits = waits_in(shard);
            // The two looks of one may have seen two calls.
            if waits.is_some()
                && (0..LOOKS).all(|_| {
                    std::thread::sleep(LOOK);
                    waits_in(shard) == waits
                })
            {
                panic!("a shard waits in system call {waits:?}");
            }
        }
        std::thread::sleep(Duration::from_millis(3));
    }
    p99(&before, &turns(server))
}

/// The system call that a shard sleeps in, unless it is the one in which it waits for everything.
fn waits_in(shard: &Path) -> Option<String> {
    let now = std::fs::read_to_string(shard.join("syscall")).unwrap_or_default();
    let call = now.split_whitespace().next().unwrap_or("running");
    // A call that is being made is not a wait: only a sleeping thread waits.
    let status = std::fs::read_to_string(shard.join("stat")).unwrap_or_default();
    let sleeps = status.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'));
    (sleeps && !WAITS.contains(&call)).then(|| call.to_owned())
}

/// Turns between two scrapes.
fn made(before: &BTreeMap<u64, f64>, after: &BTreeMap<u64, f64>) -> f64 {
    let last = |turns: &BTreeMap<u64, f64>| *turns.values().next_back().expect("buckets");
    last(after) - last(before)
}

/// Rooms are made, which only the relational store can answer, and codes asked for, which are in Redis. Every answer is good or may be retried.
fn ask(mut chatter: Chatter, mut http: Http, stopped: &Receiver<()>) {
    while stopped.recv_timeout(Duration::from_millis(20)) == Err(RecvTimeoutError::Timeout) {
        let name = format!("frozen {}", key());
        let answer = chatter.ask(json!({"op": "create", "key": key().to_string(), "name": name}));
        assert!(answer["ev"] != "error" || answer["retryable"] == true, "{answer}");
        let answer = http.ask("POST", "/v1/auth/code", Some(&json!({"phone": number()})));
        assert!(answer.status == 200 || answer.json()["retryable"] == true, "{answer:?}");
    }
}

fn frozen(outside: &'static Outside, system: &str) {
    let data = tempfile::tempdir().expect("a directory");
    let options = outside.options(data.path());
    let mut all: Vec<_> = NO_RATES.iter().chain(&MANY_CODES).copied().collect();
    all.extend(options.iter().map(String::as_str));
    let server = Server::start(data.path(), &all);
    let mut chatter = Chatter::sign_in(&server);
    let (user, room) = (chatter.user, chatter.create());
    let pump = Pump::start(chatter, &room);
    let (asker, http) = (Chatter::sign_in(&server), Http::connect(&server.address));
    let (stop, stopped) = std::sync::mpsc::channel();
    let asker = std::thread::spawn(move || ask(asker, http, &stopped));
    pump.wait_more(200);
    let shards = shard_threads(&server);
    let good = (0..SETS).any(|_| {
        let mut ratios = Vec::new();
        for _ in 0..PAIRS {
            let normal = window(&server, &shards);
            let hold = Frozen::new(outside, system);
            let held = window(&server, &shards);
            pump.wait_more(10);
            drop(hold);
            ratios.push(held / normal);
        }
        ratios.sort_by(f64::total_cmp);
        let median = ratios[PAIRS / 2];
        let (least, most) = (ratios[0], ratios[PAIRS - 1]);
        let mut stderr = std::io::stderr();
        let _unseen = writeln!(
            stderr,
            "{system}: p99 of a turn frozen / normal {median:.2}, from {least:.2} to {most:.2}"
        );
        median <= RATIO_MAX
    });
    drop(stop);
    asker.join().expect("every answer may be retried");
    let (_, acked) = pump.stop();
    assert!(good, "{system}: turns are longer while it is frozen, {SETS} times");
    assert_kept(&server, user, &room, &acked);
}

#[test]
fn no_shard_waits_for_a_frozen_message_store() {
    let Some((outside, _turn)) = alone("no_shard_waits_for_a_frozen_message_store") else { return };
    frozen(outside, "cassandra");
}

#[test]
fn no_shard_waits_for_frozen_ephemeral_state() {
    let Some((outside, _turn)) = alone("no_shard_waits_for_frozen_ephemeral_state") else { return };
    frozen(outside, "redis");
}

#[cfg(feature = "kafka")]
#[test]
fn no_shard_waits_for_a_frozen_broker() {
    let Some((outside, _turn)) = alone("no_shard_waits_for_a_frozen_broker") else { return };
    frozen(outside, "kafka");
}

#[test]
fn no_shard_waits_for_a_frozen_relational_store() {
    let Some((outside, _turn)) = alone("no_shard_waits_for_a_frozen_relational_store") else { return };
    frozen(outside, "postgres");
}
