//! A full disk: nothing is lost, sends are refused by state, and work goes on when there is space again.

use lynk_domain::{Lsn, ShardId};
use lynk_journal::{DrainStep, PrepareError, State};

use crate::harness::{Boot, MemoryStore, SEGMENT_BYTES, check_recovered, new_disk};

const SHARD: ShardId = ShardId(0);

fn start(store: &MemoryStore) -> (lynk_journal::MemoryDisk, Boot) {
    let disk = new_disk();
    let boot = Boot::start(&disk, store, 1, 5).expect("an empty disk");
    (disk, boot)
}

/// Appends and commits until the writer says that the disk is full; returns the committed lsn.
fn fill_up(boot: &mut Boot) -> Lsn {
    for _ in 0..1_000 {
        boot.append(SHARD, 5);
        boot.commit(SHARD).expect("a full disk is not fatal");
        if boot.writers[0].state() == State::DiskFull {
            return boot.committed(SHARD);
        }
    }
    panic!("the disk never filled up");
}

#[test]
fn without_a_spare_segment_records_are_kept_and_go_on_when_there_is_space() {
    let mut store = MemoryStore::default();
    let (disk, mut boot) = start(&store);
    disk.set_space(3 * SEGMENT_BYTES);
    let committed = fill_up(&mut boot);
    assert_eq!(committed, Lsn(boot.appended[0]), "what was taken before the state said so has space");
    // A shard that does not look goes on until a batch waits.
    while boot.committed(SHARD) == Lsn(boot.appended[0]) {
        boot.append(SHARD, 5);
        boot.commit(SHARD).expect("a full disk is not fatal");
    }
    assert_eq!(boot.writers[0].state(), State::DiskFull);
    disk.set_space(u64::MAX);
    boot.commit(SHARD).expect("there is space");
    assert_eq!((boot.committed(SHARD), boot.writers[0].state()), (Lsn(boot.appended[0]), State::Open));
    assert_eq!(boot.drain(&mut store), DrainStep::Idle);
    assert_eq!(store.rows.len() as u64, boot.appended[0]);
}

#[test]
fn the_journals_budget_is_a_full_disk_that_draining_empties() {
    let mut store = MemoryStore::default();
    let disk = new_disk();
    let mut boot = Boot::start(&disk, &store, 1, 5).expect("an empty disk");
    let mut options = lynk_journal::KeeperOptions::new(crate::harness::root(), 1, 1, 1);
    options.segment_bytes = SEGMENT_BYTES;
    options.disk_bytes_max = 4 * SEGMENT_BYTES;
    boot.keeper = lynk_journal::Keeper::create(disk, options, 0).expect("no fault is set");
    boot.drainer =
        lynk_journal::Drainer::new(crate::harness::root(), &boot.recovered, 1, boot.keeper.disk_use());
    let committed = fill_up(&mut boot);
    assert!(matches!(boot.keeper.prepare(SHARD), Err(PrepareError::Full)));
    assert_eq!(boot.drain(&mut store), DrainStep::Idle);
    boot.append(SHARD, 5);
    boot.commit(SHARD).expect("there is space");
    assert!(boot.committed(SHARD) > committed);
    assert_eq!(boot.writers[0].state(), State::Open);
}

#[test]
fn a_write_that_finds_no_space_is_kept_and_tried_again_at_its_deadline() {
    let store = MemoryStore::default();
    let (disk, mut boot) = start(&store);
    boot.append(SHARD, 3);
    // The segment is made before the disk fills up.
    let op = boot.next_write(SHARD).expect("no fault").expect("a batch");
    disk.set_writes_full(true);
    let outcome = lynk_journal::execute(&op);
    boot.finish(SHARD, op, outcome).expect("not fatal");
    assert_eq!(boot.writers[0].state(), State::DiskFull);
    assert!(boot.next_write(SHARD).expect("no fault").is_none(), "not before the deadline");
    boot.append(SHARD, 2);
    disk.set_writes_full(false);
    boot.now = boot.writers[0].next_deadline().expect("a deadline");
    boot.commit(SHARD).expect("there is space");
    assert_eq!((boot.committed(SHARD), boot.writers[0].state()), (Lsn(5), State::Open));
    disk.restart();
    let mut again = Boot::start(&disk, &store, 1, 6).expect("sound");
    check_recovered(&mut again);
    assert_eq!(again.recovered.sources[0].last, Lsn(5));
}

#[test]
fn a_segment_that_could_not_be_made_leaves_nothing_that_counts() {
    let store = MemoryStore::default();
    let (disk, mut boot) = start(&store);
    disk.set_writes_full(true);
    assert!(matches!(boot.keeper.prepare(SHARD), Err(PrepareError::Full)));
    assert_eq!(boot.keeper.disk_use().used(), 0);
    disk.set_writes_full(false);
    boot.append(SHARD, 3);
    boot.commit(SHARD).expect("there is space");
    assert_eq!(boot.committed(SHARD), Lsn(3));
    assert_eq!(boot.keeper.disk_use().used(), 2 * SEGMENT_BYTES, "the one in use and a spare");
}

/// Without a descriptor for the file, and without one for the directory that holds its name.
#[test]
fn out_of_descriptors_is_tried_again_and_is_not_the_end() {
    for opens in [0, 1] {
        let store = MemoryStore::default();
        let (disk, mut boot) = start(&store);
        disk.set_opens_left(opens);
        assert!(matches!(boot.keeper.prepare(SHARD), Err(PrepareError::Exhausted(_))), "{opens} opens");
        assert_eq!(boot.keeper.disk_use().used(), 0);
        boot.append(SHARD, 3);
        boot.commit(SHARD).expect("not fatal");
        assert_eq!((boot.committed(SHARD), boot.writers[0].state()), (Lsn(0), State::DiskFull));
        disk.set_opens_left(u64::MAX);
        boot.commit(SHARD).expect("there are descriptors");
        assert_eq!((boot.committed(SHARD), boot.writers[0].state()), (Lsn(3), State::Open));
        assert_eq!(boot.keeper.disk_use().used(), 2 * SEGMENT_BYTES, "the one in use and a spare");
        disk.restart();
        let mut again = Boot::start(&disk, &store, 1, 6).expect("sound");
        check_recovered(&mut again);
        assert_eq!(again.recovered.sources[0].last, Lsn(3));
    }
}
