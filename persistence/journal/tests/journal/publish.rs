//! Publishing: both streams, restarts at every change of the disk, segments that wait, a sink that fails.

use std::collections::{BTreeMap, BTreeSet};

use lynk_domain::{Lsn, Nanos, ShardId};
use lynk_journal::{Cursors, Disk as _, DrainStep, Kept, MemoryDisk, PublishStep};
use lynk_model::SourceId;
use lynk_model::event::{Event, EventBody, Stream, Topic};
use lynk_model::memory::{MemoryEvents, SinkFault};

use crate::harness::{Boot, MemoryStore, Random, new_disk, record_at, root};

fn start(disk: &MemoryDisk, store: &MemoryStore, shards: u16) -> Boot {
    Boot::start_publishing(disk, store, shards, 5).expect("no fault is set")
}

fn fill(boot: &mut Boot, batches: u64, records: u64) {
    for _ in 0..batches {
        for shard in boot.shards() {
            boot.append(shard, records);
            boot.commit(shard).expect("no fault is set");
        }
    }
}

fn written(boot: &Boot) -> Vec<(u32, u16, u64)> {
    let generation = boot.recovered.generation;
    (0..).zip(&boot.appended).map(|(shard, count)| (generation, shard, *count)).collect()
}

/// The place that a record's key names.
fn place(event: &Event) -> (u32, u16, u64) {
    let key = event.command.0;
    let number = |bytes: &[u8]| bytes.iter().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
    (number(&key[..4]) as u32, number(&key[4..6]) as u16, number(&key[8..]))
}

/// Every record is published to a topic, in the order of each room, whose later records are those of later generations; what comes again
/// has come before. Rooms are shared by all shards here, which never happens, so the order is checked within a shard.
fn check(sink: &MemoryEvents, topic: Topic, all: &[(u32, u16, u64)]) {
    let mut seen: BTreeSet<(u32, u16, u64)> = BTreeSet::new();
    let mut tops: BTreeMap<(u16, String), (u32, u64)> = BTreeMap::new();
    for event in sink.of(topic) {
        let (generation, shard, lsn) = place(event);
        let record = record_at(generation, shard, lsn);
        let same = Event::of_record(
            if topic == Topic::MessageReceived { Stream::Received } else { Stream::Created },
            &record.borrow(),
            true,
        );
        assert_eq!(same.expect("decodes").as_ref(), Some(event));
        if seen.insert((generation, shard, lsn)) {
            let top = tops.entry((shard, event.subject.to_string())).or_default();
            assert!(*top < (generation, lsn), "{generation}/{shard} {lsn} after {top:?}");
            *top = (generation, lsn);
        }
    }
    let expected: BTreeSet<_> = all
        .iter()
        .flat_map(|&(generation, shard, count)| (1..=count).map(move |lsn| (generation, shard, lsn)))
        .collect();
    assert_eq!(seen, expected, "{topic:?}");
}

#[test]
fn what_is_committed_is_received_and_what_is_stored_is_created() {
    let disk = new_disk();
    let (mut store, mut sink) = (MemoryStore::default(), MemoryEvents::default());
    let mut boot = start(&disk, &store, 2);
    boot.append(ShardId(0), 3);
    assert_eq!(boot.publish(&mut sink), PublishStep::Idle, "nothing is committed");
    fill(&mut boot, 2, 5);
    assert_eq!(boot.publish(&mut sink), PublishStep::Idle);
    let all = written(&boot);
    check(&sink, Topic::MessageReceived, &all);
    check(&sink, Topic::MessageCreated, &[]);
    let backlog = |boot: &Boot, stream| boot.publisher.as_ref().expect("it").backlog(&boot.reader, stream);
    assert_eq!((backlog(&boot, Stream::Received), backlog(&boot, Stream::Created)), (0, 23));
    boot.drain_step(&mut store);
    boot.publish(&mut sink);
    check(&sink, Topic::MessageCreated, &all[..1]);
    assert_eq!(boot.drain(&mut store), DrainStep::Idle);
    boot.publish(&mut sink);
    check(&sink, Topic::MessageCreated, &all);
    assert_eq!((backlog(&boot, Stream::Received), backlog(&boot, Stream::Created)), (0, 0));
    assert_eq!(sink.published.len(), 46, "and nothing twice");
}

#[test]
fn segments_stay_until_the_store_and_both_streams_have_passed() {
    let disk = new_disk();
    let (mut store, mut sink) = (MemoryStore::default(), MemoryEvents::default());
    let mut boot = start(&disk, &store, 1);
    fill(&mut boot, 60, 10);
    let files = |disk: &MemoryDisk, dir: &str| disk.list(&root().join(dir)).map_or(0, |names| names.len());
    let (before, used) = (files(&disk, "1/0"), boot.keeper.disk_use().used());
    assert!(before > 4, "{before} segments");
    assert_eq!(boot.drain(&mut store), DrainStep::Idle);
    assert_eq!(boot.drain(&mut store), DrainStep::Idle);
    assert_eq!(files(&disk, "1/0"), before, "nothing is published yet");
    boot.publish(&mut sink);
    assert_eq!(boot.drain(&mut store), DrainStep::Idle);
    assert!(files(&disk, "1/0") <= 2, "{} of {before} are left", files(&disk, "1/0"));
    assert!(boot.keeper.disk_use().used() < used);

    // A journal of an earlier boot: it holds up neither the store nor those after it.
    fill(&mut boot, 5, 5);
    let mut all = written(&boot);
    disk.restart();
    let mut boot = start(&disk, &store, 1);
    fill(&mut boot, 5, 5);
    all.extend(written(&boot));
    assert_eq!(boot.drain(&mut store), DrainStep::Idle);
    assert_eq!(boot.drainer.backlog(&boot.reader), 0);
    assert!(files(&disk, "1/0") > 0 && !boot.drainer.earlier_gone());
    boot.publish(&mut sink);
    assert_eq!(boot.drain(&mut store), DrainStep::Idle);
    assert!(boot.drainer.earlier_gone());
    assert!(!disk.list(root()).expect("the root").contains(&"1".to_owned()));
    check(&sink, Topic::MessageReceived, &all);
    check(&sink, Topic::MessageCreated, &all);
}

#[test]
fn a_stop_at_any_change_loses_no_event() {
    let prepared = || {
        let disk = new_disk();
        let (mut store, mut sink) = (MemoryStore::default(), MemoryEvents::default());
        let mut boot = start(&disk, &store, 2);
        fill(&mut boot, 20, 5);
        boot.drain_step(&mut store);
        boot.publish_step(&mut sink);
        let all = written(&boot);
        disk.restart();
        (disk, store, sink, all)
    };
    for changes in 0.. {
        let (disk, mut store, mut sink, mut all) = prepared();
        disk.stop_after(changes);
        let mut random = Random(changes);
        if let Ok(mut boot) = Boot::start_publishing(&disk, &store, 1, 6) {
            for _ in 0..6 {
                boot.publish_step(&mut sink);
                boot.drain_step(&mut store);
                boot.now = boot.now.after(Nanos::SECOND);
            }
        }
        let stopped = disk.changes_left() == 0;
        disk.crash(&mut || random.next());
        let mut boot = start(&disk, &store, 3);
        fill(&mut boot, 2, 2);
        all.extend(written(&boot));
        assert_eq!(boot.drain(&mut store), DrainStep::Idle, "after {changes} changes");
        assert_eq!(boot.publish(&mut sink), PublishStep::Idle, "after {changes} changes");
        check(&sink, Topic::MessageReceived, &all);
        check(&sink, Topic::MessageCreated, &all);
        if !stopped {
            return;
        }
    }
}

#[test]
fn the_number_of_shards_may_change_at_every_start_while_publishing() {
    let disk = new_disk();
    let (mut store, mut sink) = (MemoryStore::default(), MemoryEvents::default());
    let mut all = Vec::new();
    for (life, shards) in [1, 4, 2, 3].into_iter().enumerate() {
        let mut boot = start(&disk, &store, shards);
        fill(&mut boot, 4, 7);
        all.extend(written(&boot));
        for _ in 0..=life {
            boot.publish_step(&mut sink);
            boot.drain_step(&mut store);
            boot.publish_step(&mut sink);
        }
        disk.restart();
    }
    let mut boot = start(&disk, &store, 2);
    boot.drain(&mut store);
    assert_eq!(boot.publish(&mut sink), PublishStep::Idle);
    assert_eq!(boot.drain(&mut store), DrainStep::Idle);
    check(&sink, Topic::MessageReceived, &all);
    check(&sink, Topic::MessageCreated, &all);
    let mut left = disk.list(root()).expect("the root");
    left.sort_unstable();
    assert_eq!(left, ["5", "published"], "only this boot's generation is left");
}

#[test]
fn a_restart_goes_on_where_it_was_and_without_its_file_at_the_oldest_record() {
    let disk = new_disk();
    let (store, mut sink) = (MemoryStore::default(), MemoryEvents::default());
    let mut boot = start(&disk, &store, 1);
    fill(&mut boot, 3, 5);
    let mut all = written(&boot);
    boot.publish(&mut sink);
    let mut publisher = boot.publisher.take().expect("it");
    publisher.finish(&disk);
    disk.restart();
    let mut boot = start(&disk, &store, 1);
    assert_eq!(boot.publish(&mut sink), PublishStep::Idle);
    assert_eq!(sink.published.len(), 15, "nothing again");

    for damaged in [false, true] {
        let path = root().join("published");
        if damaged {
            disk.set_content(&path, b"lynk-published 1\n1/0 15 15\ncrc32c 00000000\n".to_vec());
        } else {
            disk.remove(&path).expect("it is there");
        }
        disk.restart();
        let recovered = Boot::start(&disk, &store, 1, 9).expect("no fault is set").recovered;
        let (cursors, kept) =
            Cursors::open(&disk, root(), &recovered, 1, &Stream::OUTSIDE).expect("no fault is set");
        assert_eq!(kept, if damaged { Kept::Damaged } else { Kept::Nothing });
        assert_eq!(cursors.published(SourceId(0), Stream::Received), Lsn(0));
        if damaged {
            disk.set_content(&path, b"no longer".to_vec());
        } else {
            disk.remove(&path).expect("it is there");
        }
        sink.published.clear();
        let mut boot = start(&disk, &store, 1);
        fill(&mut boot, 1, 1);
        all.extend(written(&boot));
        assert_eq!(boot.publish(&mut sink), PublishStep::Idle);
        check(&sink, Topic::MessageReceived, &all);
    }
}

#[test]
fn a_number_that_is_used_again_does_not_find_old_positions() {
    let disk = new_disk();
    let store = MemoryStore::default();
    let text = "lynk-published 1\n1/0 500 500\n7/0 3 3\n";
    let sum = crc(text.as_bytes());
    disk.set_content(&root().join("published"), format!("{text}crc32c {sum:08x}\n").into_bytes());
    let mut boot = start(&disk, &store, 1);
    assert_eq!(boot.recovered.generation, 1);
    fill(&mut boot, 1, 3);
    let mut all = written(&boot);
    disk.restart();
    let mut sink = MemoryEvents::default();
    let mut boot = start(&disk, &store, 1);
    fill(&mut boot, 1, 1);
    all.extend(written(&boot));
    assert_eq!(boot.publish(&mut sink), PublishStep::Idle);
    check(&sink, Topic::MessageReceived, &all);
}

/// CRC32C bit by bit: not the implementation under test.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 },
        )
    })
}

#[test]
fn a_sink_that_fails_is_tried_again_after_pauses_that_grow_and_vary() {
    let disk = new_disk();
    let store = MemoryStore::default();
    let mut sink = MemoryEvents::default();
    let mut boot = start(&disk, &store, 1);
    fill(&mut boot, 3, 5);
    let mut pauses = Vec::new();
    for fault in [SinkFault::Unavailable, SinkFault::Half, SinkFault::All, SinkFault::Unavailable].repeat(4) {
        sink.fault = fault;
        let PublishStep::Waiting(at) = boot.publish_step(&mut sink) else { panic!("it must wait") };
        let given = sink.published.len();
        assert_eq!(boot.publish_step(&mut sink), PublishStep::Waiting(at), "not before the pause is over");
        assert_eq!(sink.published.len(), given);
        pauses.push(at.since(boot.now));
        boot.now = at;
    }
    assert!(pauses[0] >= 50_000_000 && pauses.iter().all(|pause| *pause <= 5 * Nanos::SECOND), "{pauses:?}");
    assert!(pauses[15] >= 2_500_000_000 && pauses[14] != pauses[15], "{pauses:?}");
    sink.fault = SinkFault::None;
    assert_eq!(boot.publish(&mut sink), PublishStep::Idle);
    check(&sink, Topic::MessageReceived, &written(&boot));
    assert!(sink.published.len() > 15, "some came more than once");
}

#[test]
fn damage_stops_one_journal_and_a_store_that_is_stuck_stops_its_own() {
    let disk = new_disk();
    let (mut store, mut sink) = (MemoryStore::default(), MemoryEvents::default());
    let mut boot = start(&disk, &store, 2);
    fill(&mut boot, 1, 3);
    let path = lynk_journal::layout::segment_path(root(), 1, 0, 0);
    let file = disk.open(&path).expect("the live segment");
    file.write_unsynced(&[0xff; 4], 4096 + 40).expect("no fault is set");
    let stuck = PublishStep::Stuck { source: SourceId(0), stream: Stream::Received, after: Lsn(0) };
    assert_eq!(boot.publish_step(&mut sink), stuck);
    assert_eq!(boot.reader.damage().expect("a place").path, path);
    assert_eq!(boot.publish(&mut sink), PublishStep::Idle);
    check(&sink, Topic::MessageReceived, &written(&boot)[1..]);
    assert!(matches!(boot.drain(&mut store), DrainStep::Stuck { source: SourceId(0), .. }));
    assert_eq!(boot.drain(&mut store), DrainStep::Idle);
    assert_eq!(boot.publish(&mut sink), PublishStep::Idle);
    check(&sink, Topic::MessageCreated, &written(&boot)[1..]);

    // An earlier journal that the store cannot take does not hold up the events of later ones for ever.
    let disk = new_disk();
    let (mut store, mut sink) = (MemoryStore::default(), MemoryEvents::default());
    let mut boot = start(&disk, &store, 1);
    fill(&mut boot, 1, 3);
    disk.restart();
    let mut boot2 = start(&disk, &store, 1);
    fill(&mut boot2, 1, 2);
    boot2.drain_step(&mut store);
    store.fault = crate::harness::StoreFault::Corrupt;
    drop(boot);
    disk.restart();
    store.cursors.clear();
    store.rows.clear();
    let mut boot = start(&disk, &store, 1);
    fill(&mut boot, 1, 1);
    assert!(matches!(boot.drain_step(&mut store), DrainStep::Stuck { source: SourceId(0), .. }));
    store.fault = crate::harness::StoreFault::None;
    boot.drain(&mut store);
    assert_eq!(boot.publish(&mut sink), PublishStep::Idle);
    let created: Vec<_> = sink.of(Topic::MessageCreated).into_iter().map(place).collect();
    assert_eq!(created, [(2, 0, 1), (2, 0, 2), (3, 0, 1)], "not those of the first journal");
}

#[test]
fn texts_are_published_only_when_asked_for() {
    let disk = new_disk();
    let store = MemoryStore::default();
    let mut boot = start(&disk, &store, 1);
    fill(&mut boot, 1, 20);
    let (cursors, _) =
        Cursors::open(&disk, root(), &boot.recovered, 1, &Stream::OUTSIDE).expect("no fault is set");
    let options = lynk_journal::PublishOptions { texts: false, seed: 1 };
    boot.publisher =
        Some(lynk_journal::Publisher::new(root(), &boot.recovered, 1, cursors, &Stream::OUTSIDE, options));
    let mut sink = MemoryEvents::default();
    boot.publish(&mut sink);
    assert_eq!(sink.published.len(), 20);
    assert!(sink.published.iter().all(|event| matches!(event.body, EventBody::Posted { text: None, .. })));
}

#[test]
fn notifications_follow_the_store_and_nobody_waits_for_a_stream_that_is_not_read() {
    let disk = new_disk();
    let (mut store, mut sink) = (MemoryStore::default(), MemoryEvents::default());
    let mut boot = start(&disk, &store, 1);
    let streams = [Stream::Notified];
    let (cursors, _) = Cursors::open(&disk, root(), &boot.recovered, 1, &streams).expect("no fault is set");
    let drainer = lynk_journal::Drainer::new(root(), &boot.recovered, 1, boot.keeper.disk_use());
    boot.drainer = drainer.hold(std::sync::Arc::clone(&cursors));
    let options = lynk_journal::PublishOptions { texts: true, seed: 5 };
    let publisher = lynk_journal::Publisher::new(
        root(),
        &boot.recovered,
        1,
        std::sync::Arc::clone(&cursors),
        &streams,
        options,
    );
    boot.publisher = Some(publisher);
    fill(&mut boot, 2, 5);
    boot.publish(&mut sink);
    assert_eq!(sink.published.len(), 0, "the store does not have it");
    boot.drain(&mut store);
    assert_eq!(cursors.passed(SourceId(0)), Lsn(0));
    boot.publish(&mut sink);
    assert_eq!(cursors.passed(SourceId(0)), Lsn(10));
    let of_streams: Vec<_> = sink.published.iter().map(|event| event.topic).collect();
    assert!(of_streams.iter().all(|topic| *topic == Topic::MessageCreated) && !of_streams.is_empty());
    assert!(
        sink.published.iter().all(|event| !matches!(&event.body, EventBody::Posted { text: Some(_), .. }))
    );
    // Nobody wants the next ones.
    let before = sink.published.len();
    fill(&mut boot, 1, 5);
    boot.drain(&mut store);
    boot.publisher.as_mut().expect("it").pass(&boot.reader);
    assert_eq!((cursors.passed(SourceId(0)), sink.published.len()), (Lsn(15), before));
}
