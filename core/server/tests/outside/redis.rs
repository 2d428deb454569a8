//! Signing in with Redis, and while Redis is killed, frozen or emptied.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lynk_bridge::Secret;
use lynk_domain::UserId;
use lynk_presence::Online;
use lynk_redis::{Connect, RedisBridge, Timeouts};
use serde_json::{Value, json};

use crate::alone;
use crate::support::http::Http;
use crate::support::outside::{Frozen, Outside};
use crate::support::{Chatter, NO_RATES, PATIENCE, Server};

/// Calls that Redis answered.
const DONE: &str = "lynk_redis_calls_total{outcome=\"done\"}";

/// One address may ask for many codes, and they are in a file.
pub(crate) const MANY_CODES: [&str; 8] = [
    "--set",
    "sms.console=file",
    "--set",
    "codes.attempts_per_address_minute=1000",
    "--set",
    "codes.per_address_hour=1000",
    "--set",
    "codes.per_prefix_hour=1000",
];

/// The answer to a ticket that was used.
const USED: &str = "invalid_token";

/// Options with which `lynk` uses Redis.
fn settings(outside: &Outside) -> Vec<String> {
    let settings = [
        ("store.ephemeral", "redis"),
        ("store.presence_lease", "3s"),
        ("credentials.dir", outside.value("CREDENTIALS_DIR")),
        ("redis.host", outside.value("REDIS_HOST")),
        ("redis.port", outside.value("REDIS_PORT")),
        // Beside everything else on this machine.
        ("redis.call_time", "5s"),
    ];
    settings.iter().flat_map(|(key, value)| ["--set".to_owned(), format!("{key}={value}")]).collect()
}

fn start(outside: &Outside, data: &Path) -> Server {
    start_with(outside, data, &[])
}

/// The same with further options.
fn start_with(outside: &Outside, data: &Path, more: &[&str]) -> Server {
    let settings = settings(outside);
    let options = settings.iter().map(String::as_str).chain(more.iter().copied());
    let server =
        Server::start(data, &NO_RATES.into_iter().chain(MANY_CODES).chain(options).collect::<Vec<_>>());
    wait_ready(&server, "ok");
    server
}

/// Waits until `/readyz` says so of Redis.
fn wait_ready(server: &Server, status: &str) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let (code, body) = server.get("/readyz");
        assert_eq!(code, 200, "without Redis the server goes on: {body}");
        let told: Value = serde_json::from_str(&body).expect("JSON");
        if told["dependencies"]["redis"]["status"] == status {
            return told;
        }
        assert!(Instant::now() < until, "redis does not become {status}: {told}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A number that no other run has had: Redis is shared.
pub(crate) fn number() -> String {
    let random = u32::from_be_bytes(crate::support::random());
    format!("+49151{:08}", random % 100_000_000)
}

/// The newest code that was sent to a number.
fn code(data: &Path, number: &str) -> String {
    let until = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(data.join("dev-sms.txt")).unwrap_or_default();
        let code = |line: &str| Some(line.split_once(&format!("{number} "))?.1.to_owned());
        if let Some(code) = text.lines().filter_map(code).next_back() {
            return code;
        }
        assert!(Instant::now() < until, "no code for {number}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Asks for a code and reads it: what proves the number.
fn ask(server: &Server, data: &Path, number: &str) -> Value {
    let asked = Http::connect(&server.address).good("POST", "/v1/auth/code", json!({"phone": number}), 200);
    json!({"request_id": asked["request_id"], "code": code(data, number), "device": "test"})
}

fn register(server: &Server, proof: &Value, name: &str) -> Value {
    let mut http = Http::connect(&server.address);
    let proved = http.good("POST", "/v1/auth/verify", proof.clone(), 200);
    let body = json!({"registration": proved["registration"], "user_name": name, "device": "test"});
    http.good("POST", "/v1/auth/register", body, 201)
}

fn name() -> String {
    format!("u{:x}", u32::from_be_bytes(crate::support::random()))
}

/// A whole sign-up, and a socket that a ticket opens; the ticket is good once. `again` is the answer to its second use: while Redis is away a
/// ticket that was used cannot be told from one that Redis has.
fn sign_up_and_talk(server: &Server, data: &Path, again: &str) {
    let signed = register(server, &ask(server, data, &number()), &name());
    let mut http = Http::connect(&server.address);
    http.token = signed["access_token"].as_str().map(str::to_owned);
    let ticket = http.good("POST", "/v1/auth/ticket", Value::Null, 200)["ticket"].clone();
    let mut socket = Chatter::connect(server);
    let answer = socket.ask(json!({"op": "hello", "ticket": ticket}));
    assert_eq!((&answer["ev"], &answer["user"]), (&"ok".into(), &signed["user"]["user"]), "{answer}");
    let mut second = Chatter::connect(server);
    let answer = second.ask(json!({"op": "hello", "ticket": ticket}));
    assert_eq!(answer["code"], again, "{answer}");
}

fn admin(outside: &Outside, command: &str) {
    let password = std::fs::read_to_string(outside.value("REDIS_ADMIN_PASSWORD_FILE")).expect("a password");
    let options = [
        ("-h", "REDIS_HOST"),
        ("-p", "REDIS_PORT"),
        ("--cacert", "TLS_CA"),
        ("--cert", "REDIS_ADMIN_CERT"),
        ("--key", "REDIS_ADMIN_KEY"),
    ];
    let mut client = Command::new("redis-cli")
        .arg("--tls")
        .args(options.iter().flat_map(|(option, key)| [option, outside.value(key)]))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("redis-cli");
    let commands = format!("AUTH redis_admin {password}\n{command}\n");
    client.stdin.take().expect("piped").write_all(commands.as_bytes()).expect("it reads");
    let said = client.wait_with_output().expect("it ends").stdout;
    assert_eq!(String::from_utf8_lossy(&said).trim(), "OK\nOK");
}

#[test]
fn people_sign_in_with_redis() {
    let Some((outside, _turn)) = alone("people_sign_in_with_redis") else { return };
    let data = tempfile::tempdir().expect("a directory");
    let server = start(outside, data.path());
    let before = server.metric(DONE);
    sign_up_and_talk(&server, data.path(), USED);
    assert!(server.metric(DONE) >= before + 8.0, "{}", server.metric(DONE));
    assert!(server.metric("lynk_redis_connects_total{outcome=\"good\"}") >= 1.0);
    let password =
        std::fs::read_to_string(outside.value("LYNK_EPHEMERAL_PASSWORD_FILE")).expect("a password");
    let (_, metrics) = server.get("/metrics");
    assert!(!server.log_text().contains(&password) && !metrics.contains(&password));
    assert!(server.stop().success());
}

#[test]
fn a_flush_in_the_middle_of_signing_in_asks_for_a_new_code() {
    let Some((outside, _turn)) = alone("a_flush_in_the_middle_of_signing_in") else { return };
    let data = tempfile::tempdir().expect("a directory");
    let server = start(outside, data.path());
    let number = number();
    let proof = ask(&server, data.path(), &number);
    admin(outside, "FLUSHALL");
    let mut http = Http::connect(&server.address);
    http.bad("POST", "/v1/auth/verify", proof, 401, "invalid_code");
    // The codes of the day are counted elsewhere.
    let lines = || std::fs::read_to_string(data.path().join("dev-sms.txt")).expect("codes").lines().count();
    let mut sent = 1;
    loop {
        admin(outside, "FLUSHALL");
        http.good("POST", "/v1/auth/code", json!({"phone": number}), 200);
        // Counted before the answer; a code is written after it.
        if server.metric("lynk_accounts_codes_total{outcome=\"withheld\"}") > 0.0 {
            break;
        }
        sent += 1;
        assert!(sent < 9, "nothing limits the codes of a number");
        let until = Instant::now() + PATIENCE;
        while lines() < sent {
            assert!(Instant::now() < until, "a code is not written");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    assert_eq!((sent, lines()), (5, 5));
    sign_up_and_talk(&server, data.path(), USED);
    assert!(server.stop().success());
}

#[test]
fn without_redis_people_sign_in_all_the_same() {
    let Some((outside, _turn)) = alone("without_redis_people_sign_in_all_the_same") else { return };
    let data = tempfile::tempdir().expect("a directory");
    let server = start(outside, data.path());
    let proof = ask(&server, data.path(), &number());
    outside.signal("redis", "KILL");
    let told = wait_ready(&server, "degraded");
    assert_eq!(told["status"], "degraded");
    let mut http = Http::connect(&server.address);
    let refused = http.bad("POST", "/v1/auth/verify", proof.clone(), 503, "unavailable");
    assert_eq!(refused.json()["retryable"], true, "it may be good");
    sign_up_and_talk(&server, data.path(), "busy");
    let alone = ask(&server, data.path(), &number());
    outside.up(&["redis"]);
    wait_ready(&server, "ok");
    Http::connect(&server.address).bad("POST", "/v1/auth/verify", proof, 401, "invalid_code");
    register(&server, &alone, &name());
    sign_up_and_talk(&server, data.path(), USED);
    assert!(server.stop().success());
}

#[test]
fn a_frozen_redis_stops_nobody() {
    let Some((outside, _turn)) = alone("a_frozen_redis_stops_nobody") else { return };
    let data = tempfile::tempdir().expect("a directory");
    // The first call waits for so long.
    let server = start_with(outside, data.path(), &["--set", "redis.call_time=2s"]);
    let proof = ask(&server, data.path(), &number());
    let frozen = Frozen::new(outside, "redis");
    let mut http = Http::connect(&server.address);
    http.bad("POST", "/v1/auth/verify", proof, 503, "unavailable");
    wait_ready(&server, "degraded");
    for _ in 0..3 {
        sign_up_and_talk(&server, data.path(), "busy");
    }
    let unknown = server.metric("lynk_redis_calls_total{outcome=\"unknown\"}");
    assert!(unknown <= 4.0, "one time-out is enough to know: {unknown}");
    drop(frozen);
    wait_ready(&server, "ok");
    sign_up_and_talk(&server, data.path(), USED);
    assert!(server.stop().success());
}

/// The mirror of presence, as another process reads it.
struct Reader {
    bridge: RedisBridge,
    online: Online,
}

impl Reader {
    fn new(outside: &Outside) -> Self {
        let password = Path::new(outside.value("LYNK_EPHEMERAL_PASSWORD_FILE"));
        let bridge = RedisBridge::start(&Connect {
            host: outside.value("REDIS_HOST").to_owned(),
            port: outside.value("REDIS_PORT").parse().expect("a port"),
            user: "lynk_ephemeral".to_owned(),
            password: Secret::from_file(password).expect("a password"),
            ca: outside.value("TLS_CA").into(),
            certificate: outside.value("LYNK_EPHEMERAL_CERT").into(),
            key: outside.value("LYNK_EPHEMERAL_KEY").into(),
            prefix: "lynk".to_owned(),
            timeouts: Timeouts::default(),
        });
        let bridge = bridge.expect("an identity");
        let online = Online::new(Arc::new(bridge.handle()), lynk_api::system_clock());
        Self { bridge, online }
    }

    /// Waits until the mirror says so of these users.
    fn wait(&self, users: &[UserId], wanted: &[bool]) {
        let until = Instant::now() + PATIENCE;
        loop {
            let read = pollster::block_on(self.online.of(users));
            if read.as_deref() == Ok(wanted) {
                return;
            }
            assert!(Instant::now() < until, "{read:?}, not {wanted:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn who_is_online_is_mirrored_for_other_processes_until_they_go_or_the_process_does() {
    let Some((outside, _turn)) = alone("who_is_online_is_mirrored") else { return };
    let (data, other) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let server = start(outside, data.path());
    let reader = Reader::new(outside);
    let alice = Chatter::sign_in(&server);
    let bob = Chatter::sign_in(&server);
    let users = [alice.user, bob.user, crate::support::user()];
    reader.wait(&users, &[true, true, false]);
    // A connection more of the same user changes nothing, and one less neither.
    let mut again = Chatter::sign_in_as(&server, bob.user, json!([]));
    drop(bob);
    drop(alice);
    reader.wait(&users, &[false, true, false]);
    // Longer than the lease: who stays is told again.
    let told = "lynk_presence_mirrored_total{outcome=\"told\"}";
    server.wait_metric(told, server.metric(told) + 6.0);
    assert_eq!(again.ask(json!({"op": "ping"}))["ev"], "ok");
    reader.wait(&users, &[false, true, false]);
    let out = Command::new(crate::support::LYNK)
        .arg("online")
        .arg(users[1].to_string())
        .args(["-o", "json"])
        .args(settings(outside))
        .output();
    let out = out.expect("lynk can be started");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let told: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!(told, json!({"users": [{"user": users[1].to_string(), "online": true}]}));

    // Two processes have the same user: one of them ends and takes its own out, the other is killed.
    let second = start(outside, other.path());
    let there = Chatter::sign_in_as(&second, again.user, json!([]));
    let only = Chatter::sign_in(&second);
    let users = [again.user, only.user];
    reader.wait(&users, &[true, true]);
    assert!(second.stop().success());
    reader.wait(&users, &[true, false]);
    drop((there, only));
    server.kill();
    reader.wait(&users, &[false, false]);
    drop(again);
    reader.bridge.finish();
}
