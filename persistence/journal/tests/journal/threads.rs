//! The two threads over a real disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use lynk_domain::{Lsn, Nanos, ShardId};
use lynk_journal::{
    DiskThread, Keeper, KeeperOptions, KeeperThread, Progress, RealDisk, RealFile, RecoverOptions,
    SegmentSupply, State, Supplied, Writer, recover,
};

use crate::harness::{LIMITS, SEGMENT_BYTES, new_disk, record_at, root};

/// Longer than anything here takes; only a broken thread meets it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A shard that sleeps until something wakes it.
struct Shard {
    writer: Writer<RealFile>,
    supply: SegmentSupply<RealFile>,
    disk: DiskThread<RealFile>,
    wakes: Receiver<()>,
    appended: u64,
    out: bool,
}

fn waker(wakes: &Sender<()>) -> impl Fn() + Send + 'static {
    let wakes = wakes.clone();
    move || {
        // The shard may be gone already.
        let _heard = wakes.send(());
    }
}

impl Shard {
    /// One loop turn.
    fn turn(&mut self) {
        while let Some(answer) = self.supply.take() {
            match answer {
                Supplied::Segment(segment) => self.writer.supply(segment),
                Supplied::Refused => self.writer.supply_refused(),
            }
        }
        if let Some((op, outcome)) = self.disk.take() {
            self.out = false;
            let progress = self.writer.finish(op, outcome, Nanos(0)).expect("the disk works");
            assert!(matches!(progress, Progress::Committed(_) | Progress::Unfinished));
        }
        if self.writer.wants_segment() {
            self.supply.ask();
        }
        if !self.out
            && let Some(op) = self.writer.next_write(Nanos(0))
        {
            self.out = true;
            self.disk.submit(op);
        }
    }

    fn append(&mut self, generation: u32, shard: u16, count: u64) {
        for _ in 0..count {
            let lsn = self.appended + 1;
            let record = record_at(generation, shard, lsn);
            while self.writer.append(&record.borrow(), Lsn(lsn)).is_err() {
                self.sleep();
            }
            self.appended = lsn;
        }
    }

    fn sleep(&mut self) {
        self.turn();
        self.wakes.recv_timeout(PATIENCE).expect("a thread wakes the shard");
        self.turn();
    }
}

fn start(
    root: &Path,
    shards: u16,
    disk_bytes_max: u64,
) -> (KeeperThread, Vec<Shard>, Arc<lynk_journal::DiskUse>) {
    let mut options = KeeperOptions::new(root, 1, shards, 42);
    options.segment_bytes = SEGMENT_BYTES;
    options.disk_bytes_max = disk_bytes_max;
    let keeper = Keeper::create(RealDisk, options, 0).expect("a directory");
    let disk_use = keeper.disk_use();
    let channels: Vec<_> = (0..shards).map(|_| channel()).collect();
    let wakes = channels.iter().map(|(w, _)| Box::new(waker(w)) as Box<dyn Fn() + Send>).collect();
    let fatal = |error| panic!("{error}");
    let (thread, supplies) = KeeperThread::spawn(keeper, wakes, fatal).expect("a thread");
    let shards = channels.into_iter().zip(supplies).map(|((wake, wakes), supply)| Shard {
        writer: Writer::new(LIMITS),
        supply,
        disk: DiskThread::spawn("journal-disk".to_owned(), waker(&wake)).expect("a thread"),
        wakes,
        appended: 0,
        out: false,
    });
    (thread, shards.collect(), disk_use)
}

#[test]
fn shards_commit_through_their_threads_and_a_restart_finds_it_all() {
    let dir = tempfile::tempdir().expect("a directory");
    let (thread, mut shards, _) = start(dir.path(), 2, 64 * SEGMENT_BYTES);
    for (number, shard) in (0..).zip(shards.iter_mut()) {
        for _ in 0..20 {
            shard.append(1, number, 9);
            shard.turn();
        }
        while !shard.writer.is_idle() {
            shard.sleep();
        }
        assert_eq!(shard.writer.committed().get(), Lsn(180));
        assert!(shard.writer.counts().segments > 1);
    }
    drop(shards);
    thread.join();
    let options = RecoverOptions::new(dir.path().to_owned(), 3, 43);
    let recovered = recover(&RealDisk, &options, &mut |_| Ok(Lsn(0)), &mut |_| {}).expect("sound");
    assert_eq!(recovered.undrained_records, 360);
    assert_eq!(recovered.cut_tails, 0);
    let lasts: Vec<_> = recovered.sources.iter().map(|s| (s.name.as_str(), s.last)).collect();
    assert_eq!(lasts, [("1/0", Lsn(180)), ("1/1", Lsn(180))]);
}

#[test]
fn a_keeper_without_space_refuses_at_once_and_supplies_when_there_is_some() {
    let dir = tempfile::tempdir().expect("a directory");
    let (thread, mut shards, disk_use) = start(dir.path(), 1, 2 * SEGMENT_BYTES);
    let mut shard = shards.remove(0);
    while shard.writer.state() != State::DiskFull {
        shard.append(1, 0, 5);
        shard.sleep();
    }
    assert_eq!(disk_use.used(), 2 * SEGMENT_BYTES);
    // A drainer removes a segment.
    let drained = lynk_journal::layout::segment_path(dir.path(), 1, ShardId(0).0, 0);
    std::fs::remove_file(drained).expect("there");
    disk_use.give_back(SEGMENT_BYTES);
    while shard.writer.state() != State::Open {
        shard.sleep();
    }
    // Into the segment that the drainer's space made.
    while shard.writer.counts().segments < 3 || !shard.writer.is_idle() {
        if shard.writer.is_idle() {
            shard.append(1, 0, 5);
        }
        shard.sleep();
    }
    assert_eq!(shard.writer.committed().get(), Lsn(shard.appended));
    drop(shard);
    thread.join();
}

#[test]
fn a_keeper_without_descriptors_refuses_and_supplies_when_there_are_some() {
    let disk = new_disk();
    let mut options = KeeperOptions::new(root(), 1, 1, 42);
    options.segment_bytes = SEGMENT_BYTES;
    let keeper = Keeper::create(disk.clone(), options, 0).expect("a directory");
    let (wake, wakes) = channel();
    let fatal = |error| panic!("{error}");
    let (thread, mut supplies) =
        KeeperThread::spawn(keeper, vec![Box::new(waker(&wake))], fatal).expect("a thread");
    let mut supply = supplies.remove(0);
    disk.set_opens_left(0);
    supply.ask();
    wakes.recv_timeout(PATIENCE).expect("an answer");
    assert!(matches!(supply.take(), Some(Supplied::Refused)));
    disk.set_opens_left(u64::MAX);
    wakes.recv_timeout(PATIENCE).expect("an answer");
    assert!(matches!(supply.take(), Some(Supplied::Segment(_))));
    drop((supply, supplies));
    thread.join();
}

#[test]
fn files_are_private_and_of_their_full_size() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().expect("a directory");
    let mut options = KeeperOptions::new(dir.path(), 3, 1, 1);
    options.segment_bytes = SEGMENT_BYTES;
    let mut keeper = Keeper::create(RealDisk, options, 0).expect("a directory");
    keeper.prepare(ShardId(0)).expect("space");
    let mode = |path: &str| std::fs::metadata(dir.path().join(path)).expect("there").mode() & 0o777;
    assert_eq!((mode("3"), mode("3/0"), mode("3/0/00000000.seg")), (0o700, 0o700, 0o600));
    let file = std::fs::metadata(dir.path().join("3/0/00000000.seg")).expect("there");
    assert_eq!(file.len(), SEGMENT_BYTES);
    let names: Vec<_> = std::fs::read_dir(dir.path().join("3/0")).expect("there").collect();
    assert_eq!(names.len(), 1, "nothing under preparation is left");
}
