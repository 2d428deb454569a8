//! The bridge over a real journal, message log and database.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lynk_bridge::Wake;
use lynk_domain::{Key, Lsn, Millis, Nanos, Role, RoomId, Seq, ShardId, UserId};
use lynk_embedded::{MessageLog, MessageLogOptions, Rooms};
use lynk_journal::{
    Drainer, Keeper, KeeperOptions, Reader, RealDisk, RealFile, RecoverOptions, Recovered, SharedReader,
    Writer, WriterLimits, execute, recover,
};
use lynk_model::contract::{History, Random};
use lynk_model::memory::{MemoryMessages, MemoryRecords, MemoryRooms};
use lynk_model::port::{MessageStore, NoFiles, ready};
use lynk_model::{
    LoadedRoom, MetaChange, MetaEvent, MetaOutcome, MetaTransaction, OwnedRecord, PageQuery, RecordAt,
    RequestId, SourceId, StoreReply, StoreRequest,
};
use lynk_store::{Store, StoreBridge, StoreOptions, StoreParts, StorePort};
use tokio::runtime::Builder;

/// One life of a server's storage, with one shard that does nothing but write and ask.
struct Life {
    recovered: Recovered,
    keeper: Keeper<RealDisk>,
    writer: Writer<RealFile>,
    written: u64,
    bridge: StoreBridge,
    port: StorePort,
    asked: u64,
}

impl Life {
    fn begin(data: &Path, options: MessageLogOptions) -> Self {
        let messages = MessageLog::open(data, options).expect("opens");
        let rooms = Rooms::open(data).expect("opens");
        let root = data.join("journal");
        std::fs::create_dir_all(&root).expect("a directory");
        let recover_options = RecoverOptions::new(root.clone(), 1, 1);
        let cursor = &mut |name: &str| ready(messages.cursor(name));
        let recovered = recover(&RealDisk, &recover_options, cursor, &mut |_| ()).expect("recovers");
        let keeper_options = KeeperOptions::new(&root, recovered.generation, 1, 2);
        let keeper = Keeper::create(RealDisk, keeper_options, recovered.used_bytes).expect("creates");
        let writer = Writer::new(WriterLimits { gather_nanos: 0, ..WriterLimits::default() });
        let reader = SharedReader::new(Reader::new(RealDisk, &root, &recovered, vec![writer.committed()]));
        let drainer = Drainer::new(&root, &recovered, 1, keeper.disk_use());
        let live = vec![recovered.live_source(ShardId(0))];
        let store = |log: &MessageLog| Store {
            store: log.clone(),
            runtime: Builder::new_current_thread().enable_time().build().expect("a runtime"),
        };
        let parts = StoreParts {
            messages: store(&messages),
            drained: store(&messages),
            embedded: Some(messages),
            rooms,
            rooms_outside: false,
            named: Box::new(|_| ()),
            files: Arc::new(NoFiles),
            reader,
            drainer,
            disk: RealDisk,
            live,
        };
        let wakes: Vec<Wake> = vec![Arc::new(|| ())];
        let options = StoreOptions { final_drain: Duration::from_millis(500), ..StoreOptions::default() };
        let (bridge, mut ports) = StoreBridge::start(parts, wakes, &options).expect("starts");
        let port = ports.remove(0);
        Self { recovered, keeper, writer, written: 0, bridge, port, asked: 0 }
    }

    fn live(&self) -> SourceId {
        self.recovered.live_source(ShardId(0))
    }

    /// Appends and commits; returns where the records lie.
    fn write(&mut self, records: &[OwnedRecord]) -> Vec<RecordAt> {
        let mut places = Vec::new();
        for record in records {
            self.written += 1;
            self.writer.append(&record.borrow(), Lsn(self.written)).expect("the journal takes a record");
            places.push(RecordAt { source: self.live(), lsn: Lsn(self.written) });
        }
        if self.writer.wants_segment() {
            self.writer.supply(self.keeper.prepare(ShardId(0)).expect("space"));
        }
        while let Some(op) = self.writer.next_write(Nanos(0)) {
            let outcome = execute(&op);
            self.writer.finish(op, outcome, Nanos(0)).expect("the disk works");
        }
        assert_eq!(self.writer.committed().get(), Lsn(self.written));
        places
    }

    fn ask(&mut self, request: StoreRequest) -> StoreReply {
        self.asked += 1;
        let id = RequestId(self.asked);
        self.port.requests.try_post((id, request)).expect("within the budget");
        self.port.bell.ring(|| (self.port.wake)());
        let (answered, reply) = wait("a reply", || self.port.replies.take());
        assert_eq!(answered, id);
        reply
    }

    fn load(&mut self, room: RoomId, undrained: Vec<RecordAt>) -> LoadedRoom {
        match self.ask(StoreRequest::LoadRoom { room, window: 1_000, undrained }) {
            StoreReply::Loaded(loaded) => *loaded,
            other => panic!("{other:?}"),
        }
    }

    fn wait_drained(&mut self, source: SourceId, lsn: Lsn) {
        wait("the drain", || match self.port.drained.take() {
            Some((from, reached)) if from == source && reached >= lsn => Some(()),
            _ => None,
        });
    }

    fn end(self) {
        drop(self.port);
        self.bridge.finish();
    }
}

/// Polls for something that another thread does.
fn wait<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(value) = poll() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What the reference says about a room with all of its records.
fn expected(history: &History) -> LoadedRoom {
    let mut messages = MemoryMessages::default();
    let records = lynk_model::contract::records(&history.records);
    ready(messages.append("x", Lsn(1), &records)).expect("reference");
    let request = StoreRequest::LoadRoom { room: history.room, window: 1_000, undrained: Vec::new() };
    let (mut rooms, mut none) = (MemoryRooms::default(), MemoryRecords::default());
    match ready(lynk_model::execute(&request, &messages, &mut rooms, &mut none, &NoFiles)) {
        StoreReply::Loaded(loaded) => *loaded,
        other => panic!("{other:?}"),
    }
}

fn same(loaded: &LoadedRoom, expected: &LoadedRoom) {
    assert_eq!(loaded.head, expected.head);
    assert_eq!(loaded.recent, expected.recent);
    assert_eq!(loaded.reads, expected.reads);
}

#[test]
fn a_room_reads_the_same_before_while_and_after_it_is_drained_and_after_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut random = Random(7);
    let history = History::random(1, 300, &mut random);
    let full = expected(&history);

    let mut life = Life::begin(directory.path(), MessageLogOptions::default());
    let places = life.write(&history.records);
    for _ in 0..50 {
        same(&life.load(history.room, places.clone()), &full);
    }
    let (source, last) = (life.live(), Lsn(life.written));
    life.wait_drained(source, last);
    same(&life.load(history.room, Vec::new()), &full);
    life.end();

    let mut life = Life::begin(directory.path(), MessageLogOptions::default());
    assert_eq!(life.recovered.undrained_records, 0, "a clean end leaves nothing to drain");
    same(&life.load(history.room, Vec::new()), &full);
    wait("the old journal's end", || {
        let old = directory.path().join("journal").join(life.recovered.sources[0].generation.to_string());
        (!old.exists()).then_some(())
    });
    life.end();
}

#[test]
fn a_store_that_takes_nothing_delays_the_drain_and_loses_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let history = History::random(2, 100, &mut Random(9));
    let full = expected(&history);

    // No file system has this much space: every append is refused, as on a full disk.
    let refusing = MessageLogOptions { free_bytes_min: u64::MAX, ..MessageLogOptions::default() };
    let mut life = Life::begin(directory.path(), refusing);
    let places = life.write(&history.records);
    let drain = life.bridge.health().drain.clone();
    wait("degraded health", || drain.report().degraded);
    assert_eq!(drain.report().last_error, "disk_full");
    same(&life.load(history.room, places.clone()), &full);
    let query = PageQuery {
        room: history.room,
        from: history.floor.next(),
        to: Seq(u64::MAX),
        backward: false,
        limit: 1_000,
        bytes: u32::MAX,
        all: true,
    };
    match life.ask(StoreRequest::Page { query, undrained: places, changes: Vec::new() }) {
        StoreReply::Page(mut page) => {
            page.events.iter_mut().for_each(|event| event.forget_target(history.floor));
            assert_eq!((page.events, page.more), (full.recent.clone(), false));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(life.port.drained.take(), None, "nothing is said to be drained");
    life.end();

    // The next start finds the records in the old journal.
    let mut life = Life::begin(directory.path(), MessageLogOptions::default());
    let (room, undrained) = life.recovered.rooms[0].clone();
    assert_eq!((room, undrained.len()), (history.room, history.records.len()));
    let places = undrained.iter().map(|record| record.at).collect();
    same(&life.load(history.room, places), &full);
    let last = undrained[undrained.len() - 1].at;
    life.wait_drained(last.source, last.lsn);
    same(&life.load(history.room, Vec::new()), &full);
    assert_eq!(life.bridge.health().drain.report().degraded, None);
    life.end();
}

#[test]
fn metadata_survives_a_restart_with_its_outbox() {
    let directory = tempfile::tempdir().expect("a directory");
    let (room, user) = (RoomId([5; 16]), UserId([6; 16]));
    let command = MetaTransaction {
        room,
        actor: user,
        key: Key([7; 16]),
        content_hash: 1,
        wall: Millis(1),
        change: MetaChange::Event(MetaEvent::Joined { user, role: Role::Member }),
    };
    let mut life = Life::begin(directory.path(), MessageLogOptions::default());
    let reply = life.ask(StoreRequest::Apply(Box::new(command.clone())));
    assert_eq!(reply, StoreReply::Applied(Box::new(MetaOutcome::Missing)));
    let row = lynk_model::RoomRow::new(room, lynk_domain::RoomKind::Public, "Hall", user, Millis(1));
    let change = MetaChange::Create { row, members: vec![(user, Role::Owner)] };
    let create = MetaTransaction { change, ..command };
    life.ask(StoreRequest::Apply(Box::new(create.clone())));
    life.end();

    let mut life = Life::begin(directory.path(), MessageLogOptions::default());
    assert_eq!(life.load(room, Vec::new()).outbox.len(), 1, "the event still waits for its journal");
    let repeated = MetaOutcome::Repeated { version: 1, seq: Seq(0) };
    let reply = life.ask(StoreRequest::Apply(Box::new(create)));
    assert_eq!(reply, StoreReply::Applied(Box::new(repeated)));
    assert_eq!(life.ask(StoreRequest::Confirm { room, version: 1, seq: Seq(4) }), StoreReply::Confirmed);
    assert!(life.load(room, Vec::new()).outbox.is_empty());
    let found = life.ask(StoreRequest::FindName { name: "HALL".to_owned() });
    assert_eq!(found, StoreReply::Named(Some(room)));
    life.end();
}
