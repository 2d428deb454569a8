//! The server publishes to a real broker while that broker, and the server itself, are killed. Other servers of `scripts/services` are not needed.

#![forbid(unsafe_code)]

#[path = "outside/pump.rs"]
mod pump;
mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use lynk_bridge::Secret;
use lynk_domain::RoomId;
use lynk_kafka::{Connect, EventConsumer, Identity, Received};
use lynk_model::event::{EventBody, Subject, Topic};
use serde_json::{Value, json};

use crate::pump::{Pump, assert_kept};
use crate::support::http::Http;
use crate::support::{Chatter, NO_RATES, PATIENCE, Server};

const ADMIN: &str = "kafka_admin";
const USERS: [&str; 2] = ["lynk_events", "lynk_events_auth"];

/// What `scripts/services` wrote.
struct Broker {
    directory: PathBuf,
    values: HashMap<String, String>,
}

impl Broker {
    fn find(test: &str) -> Option<Self> {
        let Some(path) = std::env::var_os("LYNK_SERVICES") else {
            let _unseen = writeln!(
                std::io::stderr(),
                "== SKIPPED {test}: no Kafka. scripts/services up target/services kafka && \
                 LYNK_SERVICES=$PWD/target/services/env cargo test -p lynk-server --features kafka --test events"
            );
            return None;
        };
        let text = std::fs::read_to_string(&path).expect("LYNK_SERVICES names a file that can be read");
        let pair = |line: &str| line.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        let directory = Path::new(&path).parent().expect("a file is in a directory").to_owned();
        Some(Self { directory, values: text.lines().filter_map(pair).collect() })
    }

    fn value(&self, key: &str) -> &str {
        self.values.get(key).unwrap_or_else(|| panic!("{key} is in LYNK_SERVICES"))
    }

    fn credential(&self, user: &str, kind: &str) -> Vec<u8> {
        let path = Path::new(self.value("CREDENTIALS_DIR")).join(format!("{user}.{kind}"));
        std::fs::read(path).expect("the services wrote it")
    }

    fn options(&self) -> Vec<String> {
        let settings = [
            ("events.sink", "kafka"),
            ("kafka.bootstrap", self.value("KAFKA_BOOTSTRAP")),
            ("kafka.timeout", "2s"),
            ("credentials.dir", self.value("CREDENTIALS_DIR")),
            ("sms.console", "file"),
        ];
        settings.into_iter().flat_map(|(key, value)| ["--set".to_owned(), format!("{key}={value}")]).collect()
    }

    fn start(&self, data: &Path) -> Server {
        let options = self.options();
        let mut all = NO_RATES.to_vec();
        all.extend(options.iter().map(String::as_str));
        Server::start(data, &all)
    }

    fn kill(&self) {
        let text = std::fs::read_to_string(self.value("KAFKA_PID_FILE")).expect("it runs");
        let pid = text.lines().next().expect("a pid").to_owned();
        assert!(Command::new("kill").args(["-KILL", &pid]).status().expect("kill is there").success());
    }

    fn up(&self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/services");
        let done =
            Command::new(script).arg("up").arg(&self.directory).arg("kafka").output().expect("it starts");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// Reads everything of `topics` until `enough` says so of an event.
    fn read(&self, topics: &[Topic], mut enough: impl FnMut(&Received) -> bool) -> Vec<Received> {
        let connect = Connect {
            bootstrap: vec![self.value("KAFKA_BOOTSTRAP").to_owned()],
            user: ADMIN.to_owned(),
            password: Secret::new(self.credential(ADMIN, "password")),
            ca: std::fs::read(self.value("TLS_CA")).expect("the services wrote it"),
            identity: Some(Identity {
                certificate: self.credential(ADMIN, "crt"),
                key: Secret::new(self.credential(ADMIN, "key")),
            }),
            timeout: Duration::from_secs(20),
        };
        let group = format!("server.{}", std::process::id());
        let consumer = EventConsumer::new(&connect, &group, topics).expect("usable");
        let mut all = Vec::new();
        loop {
            let received = consumer.next(PATIENCE).expect("readable");
            let received = received.unwrap_or_else(|| panic!("{} events and no more", all.len()));
            let done = enough(&received);
            all.push(received);
            if done {
                break;
            }
        }
        // What came twice comes last.
        while let Some(more) = consumer.next(Duration::from_secs(2)).expect("readable") {
            all.push(more);
        }
        all
    }
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + 3 * PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What `/readyz` says of Kafka; the server is ready whatever it is.
fn kafka(server: &Server) -> Value {
    let (code, body) = server.get("/readyz");
    assert_eq!(code, 200, "{body}");
    serde_json::from_str::<Value>(&body).expect("JSON")["dependencies"]["kafka"].clone()
}

fn backlog(server: &Server) -> f64 {
    ["received", "created"]
        .map(|stream| server.metric(&format!("lynk_kafka_backlog_records{{stream=\"{stream}\"}}")))
        .iter()
        .sum()
}

/// Registers a number; the account's id.
fn sign_up(server: &Server, data: &Path, number: &str, name: &str) -> String {
    let mut http = Http::connect(&server.address);
    let asked = http.ask("POST", "/v1/auth/code", Some(&json!({"phone": number}))).json();
    let mut code = None;
    wait("a code", || {
        let sent = std::fs::read_to_string(data.join("dev-sms.txt")).unwrap_or_default();
        let of_number = |line: &str| Some(line.split_once(&format!("{number} "))?.1.to_owned());
        code = sent.lines().filter_map(of_number).next_back();
        code.is_some()
    });
    let body = json!({"request_id": asked["request_id"], "code": code, "device": "test"});
    let proved = http.good("POST", "/v1/auth/verify", body, 200);
    let body = json!({"registration": proved["registration"], "user_name": name, "device": "test"});
    let made = http.good("POST", "/v1/auth/register", body, 201);
    made["user"]["user"].as_str().expect("an id").to_owned()
}

/// No secret is where others can see it.
fn assert_secrets_kept(broker: &Broker, server: &Server) {
    let (_, metrics) = server.get("/metrics");
    let (_, ready) = server.get("/readyz");
    let process = |file: &str| {
        String::from_utf8_lossy(&std::fs::read(format!("/proc/{}/{file}", server.pid())).expect("it runs"))
            .into_owned()
    };
    for text in [server.log_text(), metrics, ready, process("cmdline"), process("environ")] {
        for user in USERS {
            let password = String::from_utf8(broker.credential(user, "password")).expect("text");
            assert!(!text.contains(&password), "the password of {user} is shown");
            let key = String::from_utf8(broker.credential(user, "key")).expect("PEM");
            assert!(key.lines().all(|line| line.starts_with('-') || !text.contains(line)), "a key is shown");
        }
    }
}

#[test]
fn events_reach_the_broker_whoever_is_killed_meanwhile() {
    let Some(broker) = Broker::find("events_reach_the_broker_whoever_is_killed_meanwhile") else { return };
    let data = tempfile::tempdir().expect("a directory");
    let server = broker.start(data.path());
    let first = sign_up(&server, data.path(), "+4915112345601", "alice");
    let mut chatter = Chatter::sign_in(&server);
    let user = chatter.user;
    let room = chatter.create();
    let pump = Pump::start(chatter, &room);
    pump.wait_more(200);
    wait("events", || server.metric("lynk_kafka_published_total{topic=\"message.created\"}") >= 200.0);
    wait("user.created", || server.metric("lynk_kafka_published_total{topic=\"user.created\"}") >= 1.0);
    wait("room.changed", || server.metric("lynk_kafka_published_total{topic=\"room.changed\"}") >= 1.0);
    assert_eq!(kafka(&server)["status"], "ok");

    broker.kill();
    pump.wait_more(300);
    wait("degraded", || kafka(&server)["status"] == "degraded");
    let second = sign_up(&server, data.path(), "+4915112345602", "bob");
    wait("a backlog", || backlog(&server) > 300.0);
    assert!(!server.logged("kafka_degraded").is_empty());
    assert_secrets_kept(&broker, &server);
    let (_, acked) = pump.stop();
    server.kill();

    // A start does not wait for a broker.
    let server = broker.start(data.path());
    wait("degraded", || kafka(&server)["status"] == "degraded");
    let pump = Pump::start(Chatter::sign_in_as(&server, user, json!([])), &room);
    pump.wait_more(100);
    broker.up();
    wait("health", || kafka(&server)["status"] == "ok");
    let (chatter, more) = pump.stop();
    drop(chatter);
    wait("the drain", || backlog(&server) == 0.0);
    assert_kept(&server, user, &room, &acked.iter().chain(&more).cloned().collect());
    assert_secrets_kept(&broker, &server);
    assert!(server.stop().success());

    let mut expected: Vec<u64> = acked.iter().chain(&more).map(|(seq, _)| *seq).collect();
    expected.sort_unstable();
    let subject = Subject::Room(RoomId::parse(&room).expect("an id"));
    let last = *expected.last().expect("some");
    let users = [&first, &second];
    let mut reached = BTreeSet::new();
    let all = broker.read(
        &[Topic::MessageReceived, Topic::MessageCreated, Topic::UserCreated, Topic::RoomChanged],
        |received| {
            let event = &received.event;
            if event.subject == subject && event.seq.0 == last {
                reached.insert(event.topic);
            }
            reached.contains(&Topic::MessageReceived) && reached.contains(&Topic::MessageCreated)
        },
    );
    for topic in [Topic::MessageReceived, Topic::MessageCreated] {
        let mut seen: BTreeMap<String, &Received> = BTreeMap::new();
        let mut firsts = Vec::new();
        for received in all.iter().filter(|r| r.event.topic == topic && r.event.subject == subject) {
            assert!(matches!(received.event.body, EventBody::Posted { text: None, .. }), "no text leaves");
            let key = received.event.idempotency_key();
            if let Some(known) = seen.insert(key, received) {
                assert_eq!(known.event, received.event, "what comes again is the same");
            } else {
                firsts.push(received.event.seq.0);
            }
        }
        assert!(firsts.is_sorted(), "{topic:?}: in order");
        // A message may be kept without its acknowledgement: the server was killed.
        let missing: Vec<_> = expected.iter().filter(|seq| firsts.binary_search(seq).is_err()).collect();
        assert!(missing.is_empty(), "{topic:?}: acknowledged and not published: {missing:?}");
    }
    for user in users {
        let made = all.iter().filter(|r| r.event.topic == Topic::UserCreated);
        assert!(made.filter(|r| r.event.subject.to_string() == *user).count() >= 1, "{user}");
    }
    let changed = all.iter().find(|r| r.event.topic == Topic::RoomChanged && r.event.subject == subject);
    assert!(changed.is_some(), "the room was made");
}

#[test]
fn a_missing_identity_is_refused_by_name() {
    let Some(broker) = Broker::find("a_missing_identity_is_refused_by_name") else {
        return;
    };
    let data = tempfile::tempdir().expect("a directory");
    let credentials = tempfile::tempdir().expect("a directory");
    let setting = format!("credentials.dir={}", credentials.path().display());
    let options = broker.options();
    let mut words: Vec<&str> = options.iter().map(String::as_str).collect();
    words.extend(["--set", &setting]);
    let refused = support::serve_command(data.path(), &words).output().expect("lynk can be started");
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("lynk_events.crt does not exist"), "{told}");
}
