//! Draining: order, restarts at every step, removal of what is drained, a store that fails.

use lynk_domain::{Lsn, Nanos, ShardId};
use lynk_journal::{Disk as _, DrainStep, MemoryDisk};
use lynk_model::SourceId;
use lynk_model::port::RecordSource as _;

use crate::harness::{Boot, MemoryStore, Random, StoreFault, check_recovered, new_disk, record_at, root};

fn start(disk: &MemoryDisk, store: &MemoryStore, shards: u16) -> Boot {
    Boot::start(disk, store, shards, 5).expect("no fault is set")
}

/// Appends and commits on every shard, several batches each.
fn fill(boot: &mut Boot, batches: u64, records: u64) {
    for _ in 0..batches {
        for shard in boot.shards() {
            boot.append(shard, records);
            boot.commit(shard).expect("no fault is set");
        }
    }
}

fn check_store(store: &MemoryStore, written: &[(u32, u16, u64)]) {
    for &(generation, shard, count) in written {
        for lsn in 1..=count {
            let record = record_at(generation, shard, lsn);
            assert_eq!(store.rows.get(&record.head.key), Some(&record), "{generation}/{shard} {lsn}");
        }
    }
    assert_eq!(store.rows.len() as u64, written.iter().map(|w| w.2).sum::<u64>(), "nothing else");
}

fn written(boot: &Boot) -> impl Iterator<Item = (u32, u16, u64)> + use<> {
    let generation = boot.recovered.generation;
    let appended = boot.appended.clone();
    (0..).zip(appended).map(move |(shard, count)| (generation, shard, count))
}

#[test]
fn the_number_of_shards_may_change_at_every_start_while_draining() {
    let disk = new_disk();
    let mut store = MemoryStore::default();
    let mut all = Vec::new();
    for (life, shards) in [1, 4, 2, 3].into_iter().enumerate() {
        let mut boot = start(&disk, &store, shards);
        check_recovered(&mut boot);
        fill(&mut boot, 4, 7);
        all.extend(written(&boot));
        for _ in 0..life * 2 {
            boot.drain_step(&mut store);
        }
        disk.restart();
    }
    let mut boot = start(&disk, &store, 2);
    assert_eq!(boot.drain(&mut store), DrainStep::Idle);
    check_store(&store, &all);
    assert_eq!(disk.list(root()).expect("the root"), ["5"], "only this boot's generation is left");
    assert!(store.cursors.is_empty());
}

#[test]
fn a_stop_at_any_change_of_a_drain_loses_and_repeats_nothing() {
    let prepared = || {
        let disk = new_disk();
        let mut store = MemoryStore::default();
        let mut boot = start(&disk, &store, 2);
        fill(&mut boot, 20, 5);
        boot.drain_step(&mut store);
        let all: Vec<_> = written(&boot).collect();
        disk.restart();
        (disk, store, all)
    };
    for changes in 0.. {
        let (disk, mut store, all) = prepared();
        disk.stop_after(changes);
        let mut random = Random(changes);
        // Stops anywhere in recovery, the making of the next generation, or the drain.
        if let Ok(mut boot) = Boot::start(&disk, &store, 1, 6) {
            boot.drain(&mut store);
        }
        let stopped = disk.changes_left() == 0;
        disk.crash(&mut || random.next());
        let mut boot = start(&disk, &store, 3);
        check_recovered(&mut boot);
        assert_eq!(boot.drain(&mut store), DrainStep::Idle, "after {changes} changes");
        check_store(&store, &all);
        assert!(store.cursors.is_empty());
        if !stopped {
            return;
        }
    }
}

#[test]
fn earlier_journals_go_first_oldest_first_then_the_live_ones_in_turn() {
    let disk = new_disk();
    let mut store = MemoryStore::default();
    for _ in 0..2 {
        let mut boot = start(&disk, &store, 2);
        fill(&mut boot, 2, 3);
        disk.restart();
    }
    let mut boot = start(&disk, &store, 2);
    fill(&mut boot, 400, 3);
    assert_eq!(boot.drainer.backlog(&boot.reader), 4 * 6 + 2 * 1_200);
    let mut order = Vec::new();
    loop {
        match boot.drain_step(&mut store) {
            DrainStep::Drained { source, .. } | DrainStep::Gone { source } => order.push(source.0),
            other => break assert_eq!(other, DrainStep::Idle),
        }
    }
    // Each earlier journal once to drain and once to remove; the live ones are longer than a batch.
    assert_eq!(order, [0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 4, 5]);
    assert_eq!(boot.drainer.backlog(&boot.reader), 0);
}

#[test]
fn a_store_that_fails_is_tried_again_with_growing_pauses() {
    let disk = new_disk();
    let mut store = MemoryStore::default();
    let mut boot = start(&disk, &store, 1);
    fill(&mut boot, 3, 5);
    for fault in [StoreFault::Unavailable, StoreFault::LostUnknown, StoreFault::AppliedUnknown] {
        store.fault = fault;
        let DrainStep::Waiting(first) = boot.drain_step(&mut store) else { panic!("it must wait") };
        assert!(first > boot.now);
        assert_eq!(boot.drain_step(&mut store), DrainStep::Waiting(first), "not before the pause is over");
        let pause = first.since(boot.now);
        boot.now = first;
        let DrainStep::Waiting(second) = boot.drain_step(&mut store) else { panic!("it must wait") };
        assert!(second.since(boot.now) > pause);
        boot.now = second;
    }
    store.fault = StoreFault::None;
    let drained = DrainStep::Drained { source: SourceId(0), lsn: Lsn(15), records: 15 };
    assert_eq!(boot.drain_step(&mut store), drained);
    assert_eq!(boot.drain_step(&mut store), DrainStep::Idle);
    check_store(&store, &[(1, 0, 15)]);
}

#[test]
fn a_store_that_cannot_read_its_data_stops_one_source_and_not_the_others() {
    let disk = new_disk();
    let mut store = MemoryStore::default();
    let mut boot = start(&disk, &store, 2);
    fill(&mut boot, 1, 3);
    store.fault = StoreFault::Corrupt;
    assert_eq!(boot.drain_step(&mut store), DrainStep::Stuck { source: SourceId(0), after: Lsn(0) });
    store.fault = StoreFault::None;
    let drained = DrainStep::Drained { source: SourceId(1), lsn: Lsn(3), records: 3 };
    assert_eq!(boot.drain_step(&mut store), drained);
    assert_eq!(boot.drain_step(&mut store), DrainStep::Idle);
}

#[test]
fn only_committed_records_are_drained_and_drained_segments_give_their_space_back() {
    let disk = new_disk();
    let mut store = MemoryStore::default();
    let mut boot = start(&disk, &store, 1);
    fill(&mut boot, 60, 5);
    let before = boot.keeper.disk_use().used();
    boot.append(ShardId(0), 4);
    assert_eq!(boot.drain(&mut store), DrainStep::Idle);
    check_store(&store, &[(1, 0, 300)]);
    // The segment in use, a spare, and at most the one before stay.
    let after = boot.keeper.disk_use().used();
    assert!(before >= 5 * crate::harness::SEGMENT_BYTES && after <= 3 * crate::harness::SEGMENT_BYTES);
    boot.commit(ShardId(0)).expect("no fault is set");
    assert_eq!(boot.drain(&mut store), DrainStep::Idle);
    check_store(&store, &[(1, 0, 304)]);
}

#[test]
fn a_number_that_the_store_has_seen_is_not_used_for_a_generation_again() {
    let disk = new_disk();
    let mut store = MemoryStore::default();
    // The journal's directory was lost, the message store was not.
    store.cursors.insert("1/0".to_owned(), Lsn(70));
    store.cursors.insert("2/1".to_owned(), Lsn(7));
    let boot = start(&disk, &store, 2);
    assert_eq!(boot.recovered.generation, 3);
}

#[test]
fn a_reader_follows_a_live_journal_up_to_its_committed_record() {
    let disk = new_disk();
    let mut store = MemoryStore::default();
    let mut boot = start(&disk, &store, 1);
    let live = boot.recovered.live_source(ShardId(0));
    for round in 0..40 {
        boot.append(ShardId(0), 1 + round % 7);
        let uncommitted = Lsn(boot.appended[0]);
        assert!(boot.reader.read(live, uncommitted).is_err(), "not before the commit");
        boot.commit(ShardId(0)).expect("no fault is set");
        for lsn in [uncommitted.0, 1, uncommitted.0 / 2 + 1] {
            assert_eq!(boot.reader.read(live, Lsn(lsn)), Ok(Some(record_at(1, 0, lsn))));
        }
    }
    boot.now = Nanos(1);
    boot.drain(&mut store);
    let first = boot.reader.read(live, Lsn(1));
    assert_eq!(first, Ok(None), "its segment is drained and gone");
    assert!(boot.reader.read(live, Lsn(boot.appended[0])).is_ok_and(|found| found.is_some()));
}

#[test]
fn damage_to_a_live_journal_is_reported_with_its_place_and_stops_only_its_source() {
    let disk = new_disk();
    let mut store = MemoryStore::default();
    let mut boot = start(&disk, &store, 2);
    fill(&mut boot, 3, 3);
    let path = lynk_journal::layout::segment_path(root(), 1, 0, 0);
    let file = disk.open(&path).expect("the live segment");
    let second = 4096 + lynk_journal::format::record_bytes(record_at(1, 0, 1).payload.len()) as u64;
    file.write_unsynced(&[0xff; 4], second + 40).expect("no fault is set");
    assert_eq!(boot.drain_step(&mut store), DrainStep::Stuck { source: SourceId(0), after: Lsn(0) });
    let damage = boot.reader.damage().expect("a place");
    assert_eq!((&damage.path, damage.offset), (&path, second));
    assert!(matches!(boot.drain_step(&mut store), DrainStep::Drained { source: SourceId(1), .. }));
}

#[test]
fn a_file_that_cannot_be_removed_keeps_no_record_from_the_store() {
    let disk = new_disk();
    let mut store = MemoryStore::default();
    let mut boot = start(&disk, &store, 2);
    fill(&mut boot, 20, 5);
    let mut all: Vec<_> = written(&boot).collect();
    disk.restart();
    let name = disk.list(&root().join("1/0")).expect("a journal").remove(0);
    disk.set_kept(Some(&format!("1/0/{name}")));
    let mut boot = start(&disk, &store, 2);
    fill(&mut boot, 20, 5);
    all.extend(written(&boot));
    assert_eq!(boot.drain(&mut store), DrainStep::Idle);
    check_store(&store, &all);
    assert_eq!(boot.drainer.unremoved(), 1);
    disk.set_kept(None);
    boot.now = boot.now.after(6 * Nanos::SECOND);
    assert_eq!(boot.drain(&mut store), DrainStep::Idle);
    assert_eq!(boot.drainer.unremoved(), 0);
    disk.restart();
    let mut boot = start(&disk, &store, 2);
    assert_eq!(boot.drain(&mut store), DrainStep::Idle);
    check_store(&store, &all);
    assert_eq!(disk.list(root()).expect("the root"), ["3"], "the rest of it goes with the next start");
}
