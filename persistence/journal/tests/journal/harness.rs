//! A server's use of the journal without the server: boots, appends, commits, drains, over an in-memory disk
//! and an in-memory message store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use lynk_domain::{Key, Lsn, MessageId, Millis, Nanos, Ordinal, RoomId, Seq, ShardId, UserId};
use lynk_journal::{
    Committed, Cursors, DrainStep, Drainer, Keeper, KeeperOptions, MemoryDisk, MemoryFile, PrepareError,
    Progress, PublishOptions, PublishStep, Publisher, Reader, RecoverError, RecoverOptions, Recovered,
    WriteOp, WriteOutcome, Writer, WriterLimits, execute, recover,
};
use lynk_model::event::Stream;
use lynk_model::memory::MemoryEvents;
use lynk_model::port::{MessageStore, NotUnread};
use lynk_model::{
    Body, FoundKey, MessageState, MetaTransaction, OwnedRecord, PageQuery, PageReply, Parts, ReadState,
    Record, RecordHead, RecordKind, RoomHead, StoreError, StoredEvent,
};

pub(crate) const ROOT: &str = "/journal";
pub(crate) const SEGMENT_BYTES: u64 = 16 << 10;
pub(crate) const LIMITS: WriterLimits =
    WriterLimits { uncommitted_bytes_high: 4 << 10, uncommitted_bytes_max: 8 << 10, gather_nanos: 0 };

pub(crate) fn root() -> &'static Path {
    Path::new(ROOT)
}

pub(crate) fn new_disk() -> MemoryDisk {
    MemoryDisk::with_root(root())
}

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// The record that every test writes at this place: its key names the place, its payload follows from it.
pub(crate) fn record_at(generation: u32, shard: u16, lsn: u64) -> OwnedRecord {
    let mut random = Random(u64::from(generation) << 48 ^ u64::from(shard) << 40 ^ lsn);
    let mut key = [0; 16];
    key[..4].copy_from_slice(&generation.to_be_bytes());
    key[4..6].copy_from_slice(&shard.to_be_bytes());
    key[8..].copy_from_slice(&lsn.to_be_bytes());
    let length = usize::try_from(random.below(120)).expect("small");
    let head = RecordHead {
        kind: RecordKind::Message,
        flags: 0,
        room: RoomId([u8::try_from(random.below(5)).expect("small"); 16]),
        seq: Seq(lsn),
        rev: Seq(lsn),
        wall: Millis(1_700_000_000_000 + lsn),
        sender: UserId([9; 16]),
        key: Key(key),
    };
    let text: String = (0..length).map(|_| char::from(b' ' + random.below(90) as u8)).collect();
    let body = Body::Message {
        id: MessageId(key),
        n: Ordinal(lsn),
        reply_to: Seq(0),
        text: &text,
        parts: Parts::none(),
    };
    let mut payload = Vec::new();
    body.encode(&mut payload);
    OwnedRecord { head, payload }
}

/// What a store is told to do with the next appends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum StoreFault {
    #[default]
    None,
    Unavailable,
    /// Writes, and says that it does not know.
    AppliedUnknown,
    /// Writes nothing, and says that it does not know.
    LostUnknown,
    Corrupt,
}

/// A message store that keeps records by key and checks how they come.
#[derive(Default, Debug)]
pub(crate) struct MemoryStore {
    pub(crate) rows: BTreeMap<Key, OwnedRecord>,
    pub(crate) cursors: BTreeMap<String, Lsn>,
    pub(crate) fault: StoreFault,
}

impl MemoryStore {
    pub(crate) fn cursor_of(&self, source: &str) -> Lsn {
        self.cursors.get(source).copied().unwrap_or_default()
    }

    /// Checks that a batch continues its source without a hole and that every record is the one written there.
    fn check(&self, source: &str, cursor: Lsn, batch: &[Record<'_>]) {
        let before = self.cursor_of(source);
        let first = cursor.0 - batch.len() as u64 + 1;
        assert!(first <= before.0 + 1, "{source}: batch {first}..={} after {}", cursor.0, before.0);
        assert!(cursor >= before, "{source}: the cursor went back");
        let (generation, shard) = source.split_once('/').expect("a source name");
        let place = (generation.parse().expect("number"), shard.parse().expect("number"));
        for (lsn, record) in (first..).zip(batch) {
            assert_eq!(record, &record_at(place.0, place.1, lsn).borrow(), "{source} record {lsn}");
        }
    }
}

impl MessageStore for MemoryStore {
    async fn append(&mut self, source: &str, cursor: Lsn, batch: &[Record<'_>]) -> Result<(), StoreError> {
        self.check(source, cursor, batch);
        match self.fault {
            StoreFault::Unavailable => return Err(StoreError::Unavailable),
            StoreFault::LostUnknown => return Err(StoreError::Unknown),
            StoreFault::Corrupt => return Err(StoreError::Corrupt),
            StoreFault::None | StoreFault::AppliedUnknown => {}
        }
        for record in batch {
            let row = OwnedRecord { head: record.head, payload: record.payload.to_vec() };
            self.rows.insert(record.head.key, row);
        }
        self.cursors.insert(source.to_owned(), cursor);
        if self.fault == StoreFault::AppliedUnknown { Err(StoreError::Unknown) } else { Ok(()) }
    }

    async fn cursor(&self, source: &str) -> Result<Lsn, StoreError> {
        Ok(self.cursor_of(source))
    }

    async fn forget(&mut self, source: &str) -> Result<(), StoreError> {
        if self.fault == StoreFault::Unavailable {
            return Err(StoreError::Unavailable);
        }
        self.cursors.remove(source);
        Ok(())
    }

    // A drainer never asks.
    async fn page(&self, _: &PageQuery) -> Result<PageReply, StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn event(&self, _: RoomId, _: Seq) -> Result<Option<StoredEvent>, StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn message(&self, _: RoomId, _: Seq) -> Result<Option<MessageState>, StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn count_not_unread(
        &self,
        _: RoomId,
        _: UserId,
        _: Seq,
        _: &BTreeSet<Seq>,
    ) -> Result<NotUnread, StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn mentions(
        &self,
        _: RoomId,
        _: UserId,
        _: Seq,
        _: &BTreeSet<Seq>,
        _: u32,
    ) -> Result<Vec<(Seq, UserId)>, StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn head(&self, _: RoomId) -> Result<RoomHead, StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn reads(&self, _: RoomId) -> Result<Vec<ReadState>, StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn intents(&self, _: RoomId) -> Result<Vec<MetaTransaction>, StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn find_key(&self, _: RoomId, _: UserId, _: Key) -> Result<Option<FoundKey>, StoreError> {
        Err(StoreError::Unavailable)
    }
}

/// Runs a future that never waits.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("an in-memory store never waits"),
    }
}

pub(crate) fn recover_with(
    disk: &MemoryDisk,
    store: &MemoryStore,
    shard_count: u16,
    id_seed: u64,
) -> Result<Recovered, RecoverError> {
    let options = RecoverOptions::new(root().to_owned(), shard_count, id_seed);
    recover(disk, &options, &mut |name| Ok(store.cursor_of(name)), &mut |_| {})
}

/// One life of a server.
pub(crate) struct Boot {
    pub(crate) disk: MemoryDisk,
    pub(crate) recovered: Recovered,
    pub(crate) keeper: Keeper<MemoryDisk>,
    pub(crate) writers: Vec<Writer<MemoryFile>>,
    pub(crate) reader: Reader<MemoryDisk>,
    pub(crate) drainer: Drainer,
    /// Of a life that publishes.
    pub(crate) publisher: Option<Publisher>,
    /// Records appended, by shard.
    pub(crate) appended: Vec<u64>,
    pub(crate) now: Nanos,
}

/// The machine stopped under the server, or the server had to end.
#[derive(Debug)]
pub(crate) struct Stopped;

impl Boot {
    pub(crate) fn start(
        disk: &MemoryDisk,
        store: &MemoryStore,
        shard_count: u16,
        seed: u64,
    ) -> Result<Self, RecoverError> {
        let recovered = recover_with(disk, store, shard_count, seed)?;
        let mut options = KeeperOptions::new(root(), recovered.generation, shard_count, !seed);
        options.segment_bytes = SEGMENT_BYTES;
        let keeper = Keeper::create(disk.clone(), options, recovered.used_bytes)?;
        let writers: Vec<_> = (0..shard_count).map(|_| Writer::new(LIMITS)).collect();
        let live: Vec<Arc<Committed>> = writers.iter().map(Writer::committed).collect();
        let reader = Reader::new(disk.clone(), root(), &recovered, live);
        let drainer = Drainer::new(root(), &recovered, shard_count, keeper.disk_use());
        Ok(Self {
            disk: disk.clone(),
            recovered,
            keeper,
            writers,
            reader,
            drainer,
            publisher: None,
            appended: vec![0; usize::from(shard_count)],
            now: Nanos(0),
        })
    }

    /// A life that publishes too.
    pub(crate) fn start_publishing(
        disk: &MemoryDisk,
        store: &MemoryStore,
        shard_count: u16,
        seed: u64,
    ) -> Result<Self, RecoverError> {
        let mut boot = Self::start(disk, store, shard_count, seed)?;
        let (cursors, _) = Cursors::open(disk, root(), &boot.recovered, shard_count, &Stream::OUTSIDE)?;
        let drainer = Drainer::new(root(), &boot.recovered, shard_count, boot.keeper.disk_use());
        boot.drainer = drainer.hold(Arc::clone(&cursors));
        let options = PublishOptions { texts: true, seed };
        let streams = &Stream::OUTSIDE;
        boot.publisher =
            Some(Publisher::new(root(), &boot.recovered, shard_count, cursors, streams, options));
        Ok(boot)
    }

    pub(crate) fn publish_step(&mut self, sink: &mut MemoryEvents) -> PublishStep {
        let publisher = self.publisher.as_mut().expect("a life that publishes");
        run(publisher.step(sink, &self.disk, &mut self.reader, self.now))
    }

    /// Publishes until there is nothing to do, or to wait.
    pub(crate) fn publish(&mut self, sink: &mut MemoryEvents) -> PublishStep {
        loop {
            match self.publish_step(sink) {
                PublishStep::Published { .. } => {}
                other => return other,
            }
        }
    }

    pub(crate) fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..u16::try_from(self.writers.len()).expect("few shards")).map(ShardId)
    }

    pub(crate) fn append(&mut self, shard: ShardId, count: u64) {
        for _ in 0..count {
            let lsn = self.appended[shard.index()] + 1;
            let record = record_at(self.recovered.generation, shard.0, lsn);
            match self.writers[shard.index()].append(&record.borrow(), Lsn(lsn)) {
                Ok(()) => self.appended[shard.index()] = lsn,
                Err(lynk_journal::AppendError::Full) => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(crate) fn next_write(&mut self, shard: ShardId) -> Result<Option<WriteOp<MemoryFile>>, Stopped> {
        if self.writers[shard.index()].wants_segment() {
            match self.keeper.prepare(shard) {
                Ok(segment) => self.writers[shard.index()].supply(segment),
                Err(PrepareError::Full | PrepareError::Exhausted(_)) => {
                    self.writers[shard.index()].supply_refused()
                }
                Err(_) => return Err(Stopped),
            }
        }
        Ok(self.writers[shard.index()].next_write(self.now))
    }

    pub(crate) fn finish(
        &mut self,
        shard: ShardId,
        op: WriteOp<MemoryFile>,
        outcome: WriteOutcome,
    ) -> Result<Progress, Stopped> {
        self.writers[shard.index()].finish(op, outcome, self.now).map_err(|_| Stopped)
    }

    /// Writes and syncs until nothing is left to write now.
    pub(crate) fn commit(&mut self, shard: ShardId) -> Result<(), Stopped> {
        while let Some(op) = self.next_write(shard)? {
            let outcome = execute(&op);
            self.finish(shard, op, outcome)?;
        }
        Ok(())
    }

    pub(crate) fn committed(&self, shard: ShardId) -> Lsn {
        self.writers[shard.index()].committed().get()
    }

    pub(crate) fn drain_step(&mut self, store: &mut MemoryStore) -> DrainStep {
        run(self.drainer.step(store, &self.disk, &mut self.reader, self.now))
    }

    /// Drains until the drainer has nothing to do, or waits.
    pub(crate) fn drain(&mut self, store: &mut MemoryStore) -> DrainStep {
        loop {
            match self.drain_step(store) {
                DrainStep::Drained { .. } | DrainStep::Gone { .. } => {}
                other => return other,
            }
        }
    }
}

/// Checks that a source's undrained records are those written, in order, once each, from its cursor to its
/// last, and that the reader finds each of them.
pub(crate) fn check_recovered(boot: &mut Boot) {
    let recovered = boot.recovered.clone();
    let mut by_source: BTreeMap<_, Vec<Lsn>> = BTreeMap::new();
    for (room, records) in &recovered.rooms {
        assert!(records.is_sorted_by_key(|r| r.at), "a room's records are in writing order");
        for undrained in records {
            let source = &recovered.sources[undrained.at.source.0 as usize];
            let written = record_at(source.generation, source.shard, undrained.at.lsn.0);
            assert_eq!((*room, undrained.key), (written.head.room, written.head.key));
            by_source.entry(undrained.at.source).or_default().push(undrained.at.lsn);
        }
    }
    for source in &recovered.sources {
        let mut found = by_source.remove(&source.id).unwrap_or_default();
        found.sort_unstable();
        let expected: Vec<_> = (source.cursor.0 + 1..=source.last.0).map(Lsn).collect();
        assert_eq!(found, expected, "{}: every record after the cursor, once", source.name);
        for lsn in expected {
            let read = lynk_model::port::RecordSource::read(&mut boot.reader, source.id, lsn);
            assert_eq!(read, Ok(Some(record_at(source.generation, source.shard, lsn.0))));
        }
    }
    assert!(by_source.is_empty());
}
