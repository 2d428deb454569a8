//! The whole way: a journal on disk, the publishing thread, the real broker; and an outbox of accounts.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lynk_domain::{
    Family, Key, Lsn, MessageId, Millis, Nanos, Ordinal, Phone, RoomId, SecretHash, Seq, SessionId, ShardId,
    UserId,
};
use lynk_journal::{
    Cursors, DrainStep, Drainer, Keeper, KeeperOptions, PublishOptions, Publisher, Reader, RealDisk,
    RealFile, RecoverOptions, Recovered, SharedReader, Writer, WriterLimits, execute, recover,
};
use lynk_kafka::topics::{AUTH, ENGINE};
use lynk_kafka::{Connect, Encoding, KafkaBridge, KafkaOptions, KafkaParts, KafkaSink, Outbox};
use lynk_model::account::{Account, NewSession};
use lynk_model::event::{Stream, Subject, Topic};
use lynk_model::memory::{MemoryAccounts, MemoryMessages};
use lynk_model::port::{AccountStore as _, MessageStore as _, ready};
use lynk_model::{Body, MetaEvent, OwnedRecord, Parts, RecordHead, RecordKind, StoreError};

use crate::support::{PATIENCE, Server, check_room, room, server};

/// Accounts that the test and the bridge share.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<MemoryAccounts>>);

impl Outbox for Shared {
    fn unpublished(&mut self, limit: u32) -> Result<Vec<(UserId, Millis)>, StoreError> {
        ready(self.0.lock().expect("no panic").unpublished(limit))
    }
    fn mark_published(&mut self, users: &[UserId]) -> Result<(), StoreError> {
        ready(self.0.lock().expect("no panic").mark_published(users))
    }
}

impl Shared {
    fn register(&self, n: u8) -> UserId {
        let mut user = [n; 16];
        user[..4].copy_from_slice(&std::process::id().to_be_bytes());
        let family = Family {
            generation: 0,
            hash: SecretHash([n; 32]),
            rotations: Vec::new(),
            idle_expires: Millis(u64::MAX),
            expires: Millis(u64::MAX),
        };
        let session = NewSession {
            session: SessionId(user),
            device: String::new(),
            created: Millis(1),
            family,
            sessions_max: 9,
        };
        let phone = Phone::from_e164(&format!("+4915112345{n:03}")).expect("a number");
        let created = Millis(u64::from(n));
        let account = Account::new(UserId(user), phone, format!("user{n}"), String::new(), created);
        ready(self.0.lock().expect("no panic").register(&account, &session)).expect("registers");
        account.user
    }
}

/// One life of a server's storage with the bridge on it.
struct Life {
    keeper: Keeper<RealDisk>,
    writer: Writer<RealFile>,
    written: u64,
    drainer: Drainer,
    reader: SharedReader<RealDisk>,
    bridge: KafkaBridge,
    _recovered: Recovered,
}

fn sink(connect: &Connect) -> KafkaSink {
    KafkaSink::new(connect, Encoding::default()).expect("usable")
}

impl Life {
    /// `timeout`: of a batch, and of what is committed at the end.
    fn begin(
        server: &Server,
        data: &Path,
        messages: &MemoryMessages,
        accounts: &Shared,
        timeout: Duration,
    ) -> Self {
        let root = data.join("journal");
        std::fs::create_dir_all(&root).expect("a directory");
        let options = RecoverOptions::new(root.clone(), 1, 1);
        let recovered = recover(&RealDisk, &options, &mut |name| ready(messages.cursor(name)), &mut |_| ());
        let recovered = recovered.expect("recovers");
        let mut options = KeeperOptions::new(&root, recovered.generation, 1, 2);
        options.segment_bytes = 64 << 10;
        let keeper = Keeper::create(RealDisk, options, recovered.used_bytes).expect("creates");
        let limits = WriterLimits {
            uncommitted_bytes_high: 16 << 10,
            uncommitted_bytes_max: 32 << 10,
            gather_nanos: 0,
        };
        let writer = Writer::new(limits);
        let reader = SharedReader::new(Reader::new(RealDisk, &root, &recovered, vec![writer.committed()]));
        let (cursors, _) = Cursors::open(&RealDisk, &root, &recovered, 1, &Stream::OUTSIDE).expect("opens");
        let drainer = Drainer::new(&root, &recovered, 1, keeper.disk_use()).hold(Arc::clone(&cursors));
        let publisher = Publisher::new(
            &root,
            &recovered,
            1,
            cursors,
            &Stream::OUTSIDE,
            PublishOptions { texts: false, seed: 7 },
        );
        let connect = |user| Connect { timeout, ..server.connect(user) };
        let parts = KafkaParts {
            publisher,
            reader: reader.clone(),
            disk: RealDisk,
            sink: sink(&connect(ENGINE)),
            accounts: Some((Box::new(accounts.clone()), sink(&connect(AUTH)))),
        };
        let options = KafkaOptions {
            outbox_pause: Duration::from_millis(50),
            final_publish: timeout,
            ..KafkaOptions::default()
        };
        let bridge = KafkaBridge::start(parts, &options).expect("starts");
        Self { keeper, writer, written: 0, drainer, reader, bridge, _recovered: recovered }
    }

    /// Appends and commits.
    fn write(&mut self, records: &[OwnedRecord]) {
        for batch in records.chunks(50) {
            self.write_batch(batch);
        }
    }

    fn write_batch(&mut self, records: &[OwnedRecord]) {
        for record in records {
            self.written += 1;
            self.writer.append(&record.borrow(), Lsn(self.written)).expect("the journal takes a record");
        }
        loop {
            if self.writer.wants_segment() {
                self.writer.supply(self.keeper.prepare(ShardId(0)).expect("space"));
            }
            let Some(op) = self.writer.next_write(Nanos(0)) else { break };
            let outcome = execute(&op);
            self.writer.finish(op, outcome, Nanos(0)).expect("the disk works");
        }
        assert_eq!(self.writer.committed().get(), Lsn(self.written));
    }

    fn drain(&mut self, messages: &mut MemoryMessages) {
        loop {
            match ready(self.drainer.step(messages, &RealDisk, &mut self.reader, Nanos(0))) {
                DrainStep::Drained { .. } | DrainStep::Gone { .. } => {}
                other => return assert_eq!(other, DrainStep::Idle),
            }
        }
    }

    fn wait_published(&self, topic: Topic, count: u64) {
        wait(&format!("{count} of {topic:?}"), || {
            self.bridge.board().read().published[topic.index()] >= count
        });
    }
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + 2 * PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn record(room: RoomId, kind: RecordKind, seq: u64, body: &Body<'_>) -> OwnedRecord {
    let mut key = [7; 16];
    key[..8].copy_from_slice(&seq.to_be_bytes());
    let mut payload = Vec::new();
    body.encode(&mut payload);
    let head = RecordHead {
        kind,
        flags: 0,
        room,
        seq: Seq(seq),
        rev: Seq(seq),
        wall: Millis(1_000 + seq),
        sender: UserId([1; 16]),
        key: Key(key),
    };
    OwnedRecord { head, payload }
}

fn messages(room: RoomId, seqs: std::ops::RangeInclusive<u64>) -> Vec<OwnedRecord> {
    let text = "hush ".repeat(20);
    seqs.map(|seq| {
        let mut id = room.0;
        id[8..].copy_from_slice(&seq.to_be_bytes());
        let body = Body::Message {
            id: MessageId(id),
            n: Ordinal(seq),
            reply_to: Seq(0),
            text: &text,
            parts: Parts::none(),
        };
        record(room, RecordKind::Message, seq, &body)
    })
    .collect()
}

const CHAT: [Topic; 2] = [Topic::MessageReceived, Topic::MessageCreated];

#[test]
fn a_broker_that_is_away_delays_events_and_a_store_that_is_away_only_those_of_stored_messages() {
    let name = "a_broker_that_is_away_delays_events_and_a_store_that_is_away_only_those_of_stored_messages";
    let Some(server) = server(name) else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let (mut store, accounts) = (MemoryMessages::default(), Shared::default());
    let mut watch = server.watch(&Topic::ALL);
    let mut life = Life::begin(&server, directory.path(), &store, &accounts, Duration::from_secs(2));
    let rooms = [room(3_000), room(3_001)];
    let first = accounts.register(1);

    // The store is away.
    for room in rooms {
        life.write(&messages(room, 1..=50));
    }
    let member = MetaEvent::Left { user: UserId([3; 16]) };
    life.write(&[record(rooms[0], RecordKind::Meta, 51, &Body::Meta { version: 4, event: member })]);
    life.wait_published(Topic::MessageReceived, 100);
    life.wait_published(Topic::RoomChanged, 1);
    life.wait_published(Topic::UserCreated, 1);
    assert_eq!(life.bridge.board().read().published[Topic::MessageCreated.index()], 0);
    wait("the backlog", || life.bridge.board().read().backlog[Stream::Created.index()] == 101);
    life.drain(&mut store);
    life.wait_published(Topic::MessageCreated, 100);

    // The broker is away while sends and registrations go on, with little disk in use.
    let used = life.keeper.disk_use().used();
    server.signal("-KILL");
    let mut number = 50;
    while number < 1_050 {
        for room in rooms {
            life.write(&messages(room, number + 1..=number + 50));
        }
        life.drain(&mut store);
        number += 50;
    }
    let second = accounts.register(2);
    wait("degraded health", || life.bridge.health().events.report().degraded.is_some());
    wait("degraded health", || life.bridge.health().accounts.report().degraded.is_some());
    let report = life.bridge.health().problem().expect("it fails");
    assert!(!report.detail.is_empty() && !report.detail.contains(&server.password(ENGINE)), "{report:?}");
    assert!(life.keeper.disk_use().used() > used, "what is not published stays");
    wait("the backlog", || life.bridge.board().read().backlog[Stream::Received.index()] >= 2_000);
    server.start_again();
    for topic in CHAT {
        life.wait_published(topic, 2_100);
    }
    life.wait_published(Topic::UserCreated, 2);
    wait("health", || life.bridge.health().problem().is_none());
    wait("the outbox", || {
        ready(accounts.0.lock().expect("no panic").unpublished(9)).expect("readable").is_empty()
    });
    wait("space", || {
        life.drain(&mut store);
        life.keeper.disk_use().used() <= used
    });

    let seen = watch.all();
    for topic in CHAT {
        for room in rooms {
            // Seq 51 is a change of the room and a message here, which no server does.
            check_room(&seen, topic, room, 1_050);
        }
    }
    let made: Vec<_> = seen.iter().filter(|seen| seen.event.topic == Topic::UserCreated).collect();
    assert_eq!(made.first().expect("one").event.subject, Subject::User(first));
    assert_eq!(made.last().expect("another").event.subject, Subject::User(second));
    assert!(
        made.len() >= 2
            && made.iter().all(|seen| [first, second].map(Subject::User).contains(&seen.event.subject))
    );
    assert!(!format!("{seen:?}").contains("hush"), "no text leaves the house");
    life.bridge.finish();
}

#[test]
fn a_bridge_that_ends_publishes_what_is_committed_and_the_next_one_goes_on() {
    let Some(server) = server("a_bridge_that_ends_publishes_what_is_committed_and_the_next_one_goes_on")
    else {
        return;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let (mut store, accounts) = (MemoryMessages::default(), Shared::default());
    let mut watch = server.watch(&CHAT);
    let room = room(4_000);
    let mut last = 0;
    for _ in 0..3 {
        // A batch whose time is over would come twice, and what a last life leaves would be lost.
        let mut life = Life::begin(&server, directory.path(), &store, &accounts, PATIENCE);
        life.write(&messages(room, last + 1..=last + 300));
        last += 300;
        life.drain(&mut store);
        life.bridge.finish();
    }
    let seen = watch.all();
    for topic in CHAT {
        assert_eq!(check_room(&seen, topic, room, last), 0, "and nothing twice");
    }
}
