//! The broker is killed or frozen while it is written to.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lynk_kafka::topics::ENGINE;
use lynk_kafka::{Connect, Encoding, FaultKind, KafkaSink};
use lynk_model::StoreError;
use lynk_model::event::{Event, Topic};
use lynk_model::port::{EventSink as _, ready};

use crate::support::{PATIENCE, check_room, posted, room, server};

const ROOMS: u32 = 16;

/// Batch `number`: the next `each` events of every room.
fn batch(first_room: u32, number: u64, each: u64) -> Vec<Event> {
    (1..=each)
        .flat_map(|at| (0..ROOMS).map(move |n| (n, number * each + at)))
        .map(|(n, seq)| posted(Topic::MessageCreated, room(first_room + n), seq))
        .collect()
}

/// Gives a batch again until it is taken, as the publisher does; returns how often that failed.
fn until_taken(sink: &mut KafkaSink, batch: &[Event], secret: &str) -> u32 {
    let until = Instant::now() + 2 * PATIENCE;
    let mut failures = 0;
    while let Err(error) = ready(sink.publish(batch)) {
        assert!(matches!(error, StoreError::Unavailable | StoreError::Unknown), "{error:?}");
        let fault = sink.take_fault().expect("a reason");
        assert!(!format!("{fault:?}").contains(secret));
        assert!(Instant::now() < until, "{fault}");
        failures += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
    failures
}

#[test]
fn a_broker_killed_in_the_middle_of_a_batch_loses_and_reorders_nothing() {
    let Some(server) = server("a_broker_killed_in_the_middle_of_a_batch_loses_and_reorders_nothing") else {
        return;
    };
    const FIRST: u32 = 1_000;
    let mut watch = server.watch(&[Topic::MessageCreated]);
    let connect = Connect { timeout: Duration::from_secs(3), ..server.connect(ENGINE) };
    let secret = server.password(ENGINE);
    let mut number = 0;
    let mut failures = 0;
    let mut sink = KafkaSink::new(&connect, Encoding::default()).expect("usable");
    for _ in 0..3 {
        // Batches go out all the time; the broker dies among them and comes back while they are tried again.
        let done = AtomicU64::new(number);
        std::thread::scope(|scope| {
            let publishing = scope.spawn(|| {
                let mut failed = 0;
                while failed == 0 || done.load(Ordering::Relaxed) < number + 60 {
                    let next = done.load(Ordering::Relaxed);
                    failed += until_taken(&mut sink, &batch(FIRST, next, 20), &secret);
                    done.fetch_add(1, Ordering::Relaxed);
                }
                failed
            });
            let begun = Instant::now();
            while done.load(Ordering::Relaxed) < number + 20 {
                assert!(begun.elapsed() < PATIENCE);
                std::thread::sleep(Duration::from_millis(1));
            }
            server.signal("-KILL");
            server.start_again();
            failures += publishing.join().expect("no panic");
        });
        number = done.into_inner();
    }
    assert!(failures >= 3, "each kill was felt");
    let seen = watch.all();
    let again: usize =
        (0..ROOMS).map(|n| check_room(&seen, Topic::MessageCreated, room(FIRST + n), number * 20)).sum();
    println!("{} events, {again} came again, {failures} batches failed", seen.len());
}

#[test]
fn a_frozen_broker_ends_a_batch_and_is_found_again() {
    let Some(server) = server("a_frozen_broker_ends_a_batch_and_is_found_again") else { return };
    const FIRST: u32 = 2_000;
    let mut watch = server.watch(&[Topic::MessageCreated]);
    let connect = Connect { timeout: Duration::from_secs(2), ..server.connect(ENGINE) };
    let mut sink = KafkaSink::new(&connect, Encoding::default()).expect("usable");
    until_taken(&mut sink, &batch(FIRST, 0, 5), "-");
    server.signal("-STOP");
    let first = ready(sink.publish(&batch(FIRST, 1, 5)));
    let first_fault = sink.take_fault();
    // A new connection to a frozen broker.
    let second = ready(sink.publish(&batch(FIRST, 1, 5)));
    let second_fault = sink.take_fault();
    server.signal("-CONT");
    assert_eq!(first, Err(StoreError::Unknown), "it was sent: {first_fault:?}");
    assert_eq!(second, Err(StoreError::Unavailable), "it was not: {second_fault:?}");
    assert_eq!(second_fault.expect("a reason").kind, FaultKind::Unavailable);
    until_taken(&mut sink, &batch(FIRST, 1, 5), "-");
    until_taken(&mut sink, &batch(FIRST, 2, 5), "-");
    let seen = watch.all();
    for n in 0..ROOMS {
        check_room(&seen, Topic::MessageCreated, room(FIRST + n), 15);
    }
}
