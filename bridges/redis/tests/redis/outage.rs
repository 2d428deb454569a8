//! A server that dies, hangs, forgets, fills up, or turns into a replica.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lynk_model::StoreError;
use lynk_model::account::{Charge, Charged};
use lynk_model::port::{Ephemeral, Kept, NewCode, NewOnce, OnceKind, Seen, Tried};
use lynk_redis::{CALLS_MAX, RedisBridge, RedisEphemeral};
use lynk_telemetry::{Metric, Snapshot, Value};

use crate::support::{Server, block_on, is_up, now, until};

fn code(n: u8) -> NewCode {
    NewCode {
        request: [n; 16],
        number: [n; 16],
        proof: [n; 32],
        sealed: vec![n],
        tries: 5,
        life_millis: 300_000,
        resend_millis: 60_000,
    }
}

fn ticket(n: u8) -> NewOnce {
    NewOnce { kind: OnceKind::Ticket, key: [n; 32], owner: [n; 16], sealed: vec![n], life_millis: 300_000 }
}

fn put(store: &RedisEphemeral, n: u8) -> Result<Kept, StoreError> {
    block_on(store.put_code(now(), code(n)))
}

fn tried(store: &RedisEphemeral, n: u8) -> Result<Tried, StoreError> {
    block_on(store.try_code(now(), [n; 16], [n; 32]))
}

/// How many calls had an outcome, by the metric's label.
fn outcomes(bridge: &RedisBridge, outcome: &str) -> u64 {
    let mut snapshot = Snapshot::new();
    bridge.counts().add_to(&mut snapshot);
    let label = Metric::RedisCalls.label().expect("a label");
    let index = label.values.iter().position(|one| *one == outcome).expect("an outcome");
    let series =
        snapshot.series().iter().find(|one| one.metric == Metric::RedisCalls && one.label == Some(index));
    match series.map(|one| &one.value) {
        Some(Value::Number(count)) => *count as u64,
        other => panic!("a number: {other:?}"),
    }
}

#[test]
fn a_killed_server_is_away_and_comes_back_empty() {
    let Some(server) = Server::start("a_killed_server") else { return };
    let bridge = server.services.bridge(&server.services.connect());
    let store = bridge.handle();
    assert_eq!(put(&store, 1), Ok(Kept::Done));
    server.signal("KILL");
    until("it is noticed", || bridge.counts().health.report().degraded.is_some());
    for _ in 0..20 {
        assert_eq!(tried(&store, 1), Err(StoreError::Unavailable), "at once, and nothing was sent");
    }
    assert!(outcomes(&bridge, "away") >= 20);
    server.restart();
    until("it is back", || is_up(&bridge));
    assert_eq!(bridge.counts().health.report().degraded, None);
    assert_eq!(tried(&store, 1), Ok(Tried::Absent), "a code that is gone is asked for again");
    assert_eq!(put(&store, 2), Ok(Kept::Done), "scripts are loaded again");
    bridge.finish();
}

#[test]
fn under_kills_at_any_moment_each_call_is_answered_and_each_token_taken_once() {
    let Some(server) = Server::start("under_kills_at_any_moment") else { return };
    let bridge = Arc::new(server.services.bridge(&server.impatient()));
    let (mut taken, mut away) = (0, 0);
    std::thread::scope(|scope| {
        let tasks: Vec<_> = (0..2u8)
            .map(|task| {
                let store = bridge.handle();
                scope.spawn(move || {
                    let (mut taken, mut away) = (0u32, 0u32);
                    for n in 0..1_500u32 {
                        let mut key = [task; 32];
                        key[..4].copy_from_slice(&n.to_be_bytes());
                        let token = NewOnce { key, ..ticket(task) };
                        let kept = block_on(store.put_once(now(), token));
                        let got: Vec<_> =
                            (0..2).map(|_| block_on(store.take_once(now(), OnceKind::Ticket, key))).collect();
                        let good = got.iter().filter(|one| matches!(one, Ok(Some(_)))).count();
                        assert!(good <= 1, "{got:?}");
                        taken += good as u32;
                        if kept.is_err() {
                            away += 1;
                            std::thread::sleep(Duration::from_millis(5));
                        }
                    }
                    (taken, away)
                })
            })
            .collect();
        for pause in [150, 400, 250] {
            std::thread::sleep(Duration::from_millis(pause));
            server.signal("KILL");
            server.restart();
        }
        for task in tasks {
            let (got, lost) = task.join().expect("no panic");
            taken += got;
            away += lost;
        }
    });
    eprintln!("{taken} tokens taken, {away} times away over kills");
    assert!(taken > 0 && away > 0, "{taken} {away}");
    until("it is back", || is_up(&bridge));
}

#[test]
fn a_frozen_server_costs_one_calls_time_and_then_nothing() {
    let Some(server) = Server::start("a_frozen_server") else { return };
    let bridge = server.services.bridge(&server.impatient());
    let store = bridge.handle();
    // One that took too long may have been done all the same.
    until("a code is there", || matches!(put(&store, 1), Ok(Kept::Done | Kept::TooSoon { .. })));
    server.signal("STOP");
    assert_eq!(tried(&store, 1), Err(StoreError::Unknown), "it was sent, and no answer came");
    let unknown = outcomes(&bridge, "unknown");
    for _ in 0..200 {
        assert_eq!(tried(&store, 1), Err(StoreError::Unavailable));
    }
    assert_eq!(outcomes(&bridge, "unknown"), unknown, "none of these was sent");
    server.signal("CONT");
    until("it is back", || is_up(&bridge));
    // What was sent into the freeze may have been done since: a right code is then used, for nobody.
    assert!(matches!(tried(&store, 1), Ok(Tried::Good(_) | Tried::Wrong)));
    bridge.finish();
}

#[test]
fn overload_is_refused_and_presence_first() {
    let Some(server) = Server::start("overload") else { return };
    let bridge = server.services.bridge(&server.impatient());
    let store = bridge.handle();
    server.signal("STOP");
    let user = lynk_domain::UserId([1; 16]);
    let (calls, mirror) = block_on(async {
        let calls: Vec<_> = (0..4 * CALLS_MAX)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move { store.try_code(now(), [1; 16], [1; 32]).await })
            })
            .collect();
        let end = Instant::now() + Duration::from_secs(60);
        while outcomes(&bridge, "shed") == 0 {
            assert!(Instant::now() < end, "nothing is shed");
            tokio::task::yield_now().await;
        }
        let seen = vec![Seen { user, online: true }];
        let mirror = store.mirror_presence(now(), seen, 1_000).await;
        let mut answers = Vec::new();
        for call in calls {
            answers.push(call.await.expect("no panic"));
        }
        (answers, mirror)
    });
    assert_eq!(calls.len(), 4 * CALLS_MAX);
    assert!(calls.iter().all(|call| matches!(call, Err(StoreError::Unavailable | StoreError::Unknown))));
    assert_eq!(mirror, Err(StoreError::Unavailable));
    assert!(outcomes(&bridge, "shed") > 0);
    assert!(outcomes(&bridge, "unknown") <= CALLS_MAX as u64);
    server.signal("CONT");
    until("it is back", || is_up(&bridge));
    bridge.finish();
}

#[test]
fn what_was_flushed_is_gone_and_nothing_else_changes() {
    let Some(server) = Server::start("what_was_flushed") else { return };
    let bridge = server.services.bridge(&server.services.connect());
    let store = bridge.handle();
    assert_eq!(put(&store, 1), Ok(Kept::Done));
    assert_eq!(block_on(store.put_once(now(), ticket(1))), Ok(Kept::Done));
    let charge = Charge { key: [1; 16], window_millis: 60_000, amount: 1, max: 1 };
    assert_eq!(block_on(store.charge(now(), vec![charge])), Ok(Charged::Done));
    server.services.admin(&["FLUSHALL"]);
    server.services.admin(&["SCRIPT", "FLUSH"]);
    assert_eq!(tried(&store, 1), Ok(Tried::Absent));
    assert_eq!(block_on(store.take_once(now(), OnceKind::Ticket, [1; 32])), Ok(None));
    assert_eq!(block_on(store.charge(now(), vec![charge])), Ok(Charged::Done));
    assert_eq!(bridge.counts().health.report().degraded, None);
    bridge.finish();
}

#[test]
fn a_full_server_or_a_replica_degrades_and_recovers() {
    let Some(server) = Server::start("a_full_server") else { return };
    let bridge = server.services.bridge(&server.services.connect());
    let store = bridge.handle();
    server.services.admin(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(put(&store, 1), Err(StoreError::Unavailable));
    let report = bridge.counts().health.report();
    assert!(report.degraded.is_some() && report.detail.contains("OOM"), "{report:?}");
    server.services.admin(&["CONFIG", "SET", "maxmemory", "64mb"]);
    assert_eq!(put(&store, 1), Ok(Kept::Done), "the connection was kept");
    assert_eq!(bridge.counts().health.report().degraded, None);
    server.services.admin(&["REPLICAOF", "127.0.0.1", "1"]);
    assert_eq!(put(&store, 2), Err(StoreError::Unavailable));
    until("it is seen", || bridge.counts().health.report().degraded.is_some());
    server.services.admin(&["REPLICAOF", "NO", "ONE"]);
    until("it is back", || is_up(&bridge));
    assert_eq!(put(&store, 2), Ok(Kept::Done));
    bridge.finish();
}

#[test]
fn a_server_that_comes_later_is_found() {
    let Some(server) = Server::start("a_server_that_comes_later") else { return };
    server.signal("KILL");
    let bridge = RedisBridge::start(&server.services.connect()).expect("no reason not to start");
    until("it tried", || bridge.counts().health.report().failures > 0);
    assert_eq!(put(&bridge.handle(), 1), Err(StoreError::Unavailable));
    server.restart();
    until("it is found", || is_up(&bridge));
    let store = bridge.handle();
    bridge.finish();
    assert!(put(&store, 2).is_err(), "a bridge that has ended answers all the same");
}
