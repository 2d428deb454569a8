//! The real broker, found by LYNK_SERVICES, and a reader that sees everything from its beginning on.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lynk_bridge::Secret;
use lynk_domain::{Key, MessageId, Millis, Ordinal, RoomId, Seq, UserId};
use lynk_kafka::{Connect, Encoding, Identity, KafkaSink, decode};
use lynk_model::event::{Event, EventBody, Subject, Topic};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};

pub(crate) const ADMIN: &str = "kafka_admin";
/// For what must work.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

static TURN: Mutex<()> = Mutex::new(());

/// What `scripts/services` wrote, and the turn of the test that has it.
pub(crate) struct Server {
    directory: PathBuf,
    values: HashMap<String, String>,
    _turn: MutexGuard<'static, ()>,
}

/// `None` when there is none, which is said past the test harness.
pub(crate) fn server(test: &str) -> Option<Server> {
    let Some(path) = std::env::var_os("LYNK_SERVICES") else {
        let _unseen = writeln!(
            std::io::stderr(),
            "== SKIPPED {test}: no Kafka. scripts/services up target/services kafka && \
             LYNK_SERVICES=$PWD/target/services/env cargo test -p lynk-kafka --features client"
        );
        return None;
    };
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let text = std::fs::read_to_string(&path).expect("LYNK_SERVICES names a file that can be read");
    let pair = |line: &str| line.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    let values = text.lines().filter_map(pair).collect();
    let directory = Path::new(&path).parent().expect("a file is in a directory").to_owned();
    Some(Server { directory, values, _turn: turn })
}

impl Server {
    pub(crate) fn value(&self, key: &str) -> &str {
        self.values.get(key).unwrap_or_else(|| panic!("{key} is in LYNK_SERVICES"))
    }

    pub(crate) fn file(&self, key: &str) -> Vec<u8> {
        std::fs::read(self.value(key)).expect("the services wrote it")
    }

    pub(crate) fn password(&self, user: &str) -> String {
        String::from_utf8(self.file(&format!("{}_PASSWORD_FILE", user.to_uppercase()))).expect("text")
    }

    pub(crate) fn identity(&self, user: &str, from: &str) -> Identity {
        let name = user.to_uppercase();
        Identity {
            certificate: self.file(&format!("{name}{from}_CERT")),
            key: Secret::new(self.file(&format!("{name}{from}_KEY"))),
        }
    }

    pub(crate) fn connect(&self, user: &str) -> Connect {
        Connect {
            bootstrap: vec![self.value("KAFKA_BOOTSTRAP").to_owned()],
            user: user.to_owned(),
            password: Secret::new(self.password(user)),
            ca: self.file("TLS_CA"),
            identity: Some(self.identity(user, "")),
            timeout: Duration::from_secs(20),
        }
    }

    pub(crate) fn sink(&self, user: &str) -> KafkaSink {
        KafkaSink::new(&self.connect(user), Encoding::default()).expect("usable")
    }

    fn pid(&self) -> String {
        let text = std::fs::read_to_string(self.value("KAFKA_PID_FILE")).expect("it runs");
        text.lines().next().expect("a pid").to_owned()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.pid()]).status().expect("kill is there");
        assert!(sent.success());
    }

    /// Starts the broker again after it was killed.
    pub(crate) fn start_again(&self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/services");
        let started =
            Command::new(script).arg("up").arg(&self.directory).arg("kafka").output().expect("runs");
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    }

    /// Everything that is published from now on.
    pub(crate) fn watch(&self, topics: &[Topic]) -> Watch {
        let mut settings = ClientConfig::new();
        settings
            .set("bootstrap.servers", self.value("KAFKA_BOOTSTRAP"))
            .set("group.id", "watch")
            .set("enable.auto.commit", "false")
            .set("security.protocol", "sasl_ssl")
            .set("sasl.mechanism", "SCRAM-SHA-512")
            .set("sasl.username", ADMIN)
            .set("sasl.password", self.password(ADMIN))
            .set("ssl.ca.location", self.value("TLS_CA"))
            .set("ssl.certificate.location", self.value("KAFKA_ADMIN_CERT"))
            .set("ssl.key.location", self.value("KAFKA_ADMIN_KEY"));
        let consumer: BaseConsumer = settings.create().expect("usable");
        let mut watch = Watch { consumer, ends: BTreeMap::new(), seen: Vec::new() };
        for topic in topics {
            let metadata = consumer_metadata(&watch.consumer, topic.name());
            for partition in metadata {
                let end = end(&watch.consumer, topic.name(), partition);
                watch.ends.insert((topic.name(), partition), end);
            }
        }
        watch.assign();
        watch
    }
}

fn consumer_metadata(consumer: &BaseConsumer, topic: &str) -> Vec<i32> {
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).expect("the broker answers");
    metadata.topics()[0].partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect()
}

fn end(consumer: &BaseConsumer, topic: &str, partition: i32) -> i64 {
    let until = Instant::now() + PATIENCE;
    loop {
        match consumer.fetch_watermarks(topic, partition, Duration::from_secs(10)) {
            Ok((_, high)) => return high,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
    }
}

/// Reads whole topics from a moment on.
pub(crate) struct Watch {
    consumer: BaseConsumer,
    /// Next offset to read, by topic and partition.
    ends: BTreeMap<(&'static str, i32), i64>,
    seen: Vec<Seen>,
}

/// A message as it is in its topic.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) event: Event,
    pub(crate) key: String,
    pub(crate) headers: BTreeMap<String, String>,
}

impl Watch {
    fn assign(&self) {
        let mut list = TopicPartitionList::new();
        for ((topic, partition), offset) in &self.ends {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).expect("a place");
        }
        self.consumer.assign(&list).expect("assigns");
    }

    /// All there is by now since the watch began, in the order of each partition.
    pub(crate) fn all(&mut self) -> Vec<Seen> {
        let goals: BTreeMap<_, _> = self
            .ends
            .keys()
            .map(|(topic, partition)| ((*topic, *partition), end(&self.consumer, topic, *partition)))
            .collect();
        let until = Instant::now() + PATIENCE;
        while self.ends.iter().any(|(place, next)| *next < goals[place]) {
            assert!(Instant::now() < until, "the broker gives what it has");
            let Some(Ok(message)) = self.consumer.poll(Duration::from_millis(100)) else { continue };
            let place = self
                .ends
                .keys()
                .find(|(topic, partition)| (*topic, *partition) == (message.topic(), message.partition()))
                .copied()
                .expect("one that was asked for");
            self.ends.insert(place, message.offset() + 1);
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
            let headers = message.headers().expect("headers").iter();
            self.seen.push(Seen {
                event: decode(message.payload().expect("a value")).expect("ours"),
                key: text(message.key().expect("a key")),
                headers: headers.map(|h| (h.key.to_owned(), text(h.value.expect("a value")))).collect(),
            });
        }
        self.seen.clone()
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        self.all().into_iter().map(|seen| seen.event).collect()
    }
}

/// A room of this run alone.
pub(crate) fn room(number: u32) -> RoomId {
    let mut id = [0x6b; 16];
    id[..4].copy_from_slice(&std::process::id().to_be_bytes());
    id[4..8].copy_from_slice(&number.to_be_bytes());
    RoomId(id)
}

pub(crate) fn posted(topic: Topic, room: RoomId, seq: u64) -> Event {
    Event {
        topic,
        subject: Subject::Room(room),
        seq: Seq(seq),
        at: Millis(1_795_456_131_000 + seq),
        by: UserId([1; 16]),
        command: Key([2; 16]),
        body: EventBody::Posted {
            id: MessageId([3; 16]),
            n: Ordinal(seq),
            reply_to: Seq(0),
            mentions: lynk_model::Mentions::default(),
            attachments: Vec::new(),
            text: None,
        },
    }
}

/// Every seq from 1 to `last` of a room is there; the first of each kind come in order; what comes again is the same event under the same
/// key. Returns how many came again.
pub(crate) fn check_room(seen: &[Seen], topic: Topic, room: RoomId, last: u64) -> usize {
    let of_room =
        seen.iter().filter(|seen| seen.event.topic == topic && seen.event.subject == Subject::Room(room));
    let mut first: BTreeMap<String, Event> = BTreeMap::new();
    let mut next = 1;
    let mut again = 0;
    for seen in of_room {
        let key = seen.headers["lynk-idempotency-key"].clone();
        assert_eq!(key, seen.event.idempotency_key());
        assert_eq!(seen.headers["lynk-seq"], seen.event.seq.0.to_string());
        assert_eq!(seen.headers["lynk-schema-version"], "1");
        assert_eq!(seen.key, room.to_string());
        if let Some(known) = first.get(&key) {
            assert_eq!(*known, seen.event, "the same key, the same event");
            again += 1;
        } else {
            assert_eq!(seen.event.seq.0, next, "{topic:?} {room}: in order, without a hole");
            next += 1;
            first.insert(key, seen.event.clone());
        }
    }
    assert_eq!(next, last + 1, "{topic:?} {room}: nothing is lost");
    again
}
