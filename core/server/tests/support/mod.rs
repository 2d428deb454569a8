//! A real server process and clients of the public protocol, for the tests beside this directory.

#![allow(dead_code, reason = "each test target uses its part")]

pub(crate) mod contract;
pub(crate) mod http;
pub(crate) mod json_schema;
pub(crate) mod outside;

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lynk_auth::{Grant, Scope, SigningKey};
use lynk_domain::{Key, Millis, SessionId, UserId, uuid_v7};
use lynk_server::client::{self, ClientError, Incoming, Sender, Url};
use serde_json::{Value, json};

use contract::Contract;

/// The program under test.
pub(crate) const LYNK: &str = env!("CARGO_BIN_EXE_lynk");
/// How long anything may take on a busy machine before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Options that lift limits which would get in the way of load from one address.
pub(crate) const NO_RATES: [&str; 14] = [
    "--set",
    "limits.connections_per_ip_max=0",
    "--set",
    "limits.connects_per_ip_per_second=0",
    "--set",
    "limits.commands_per_connection_per_second=0",
    "--set",
    "limits.commands_per_account_per_second=0",
    "--set",
    "limits.messages_per_room_per_second=0",
    "--set",
    "limits.commands_in_flight_max=250",
    "--set",
    "drain.timeout=1s",
];

/// A running `lynk serve`, killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// Where clients connect.
    pub(crate) address: String,
    /// Where health and metrics are.
    pub(crate) admin: String,
    /// The event `ready` as it was logged.
    pub(crate) ready: Value,
    pub(crate) data: PathBuf,
    log: Arc<Mutex<Vec<Value>>>,
    /// Whether all that it wrote was read.
    all_read: Arc<AtomicBool>,
}

/// The command that serves from `data` on free ports.
pub(crate) fn serve_command(data: &Path, options: &[&str]) -> Command {
    serve_at(&own_address(), data, options)
}

/// The command that serves from `data` at `address`.
pub(crate) fn serve_at(address: &str, data: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(LYNK);
    command.arg("serve").arg("--data").arg(data).args(["--listen", address, "--admin", "127.0.0.1:0"]);
    command.args(["--set", "journal.segment_bytes=8MiB"]);
    if let Some(outside) = outside::Outside::for_all() {
        command.args(outside.options(data));
    }
    command.args(options);
    command
}

/// A loopback address that nothing else on the machine uses, port to be chosen: a server that is restarted at its
/// address must not find that another test was given its port.
fn own_address() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("127.{}.{low}.{}:0", 64 + high % 128, 1 + count % 250)
}

impl Server {
    /// Starts a server and waits until it is ready.
    pub(crate) fn start(data: &Path, options: &[&str]) -> Self {
        Self::spawn(serve_command(data, options), data)
    }

    /// Runs `command`, which becomes a server of `data`, and waits until it is ready.
    pub(crate) fn spawn(mut command: Command, data: &Path) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("lynk can be started");
        let out = child.stdout.take().expect("piped");
        let (lines, ready) = channel();
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&log);
        let all_read = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&all_read);
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let Ok(value) = serde_json::from_str::<Value>(&line) else { continue };
                kept.lock().expect("no panic").push(value.clone());
                if value["event"] == "ready" {
                    let _ = lines.send(value);
                }
            }
            ended.store(true, Ordering::Release);
        });
        let ready = wait_for_ready(&ready, &mut child, &log);
        let text = |field: &str| ready[field].as_str().unwrap_or_default().to_owned();
        let (address, admin) = (text("address"), text("admin"));
        Self { child, address, admin, data: data.to_owned(), log, all_read, ready }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as a power button would kill the process.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Sends a signal by its number's name.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("it runs");
    }

    /// Ends it gracefully.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        let status = self.wait();
        if !status.success() {
            // Why is for whoever reads of the test that this fails.
            let log = self.log.lock().expect("no panic");
            log.iter().rev().take(20).rev().for_each(|line| eprintln!("{line}"));
            let crashes = std::fs::read_to_string(self.data.join("crashes")).unwrap_or_default();
            eprintln!("{status}; crashes: {crashes:?}");
        }
        status
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("waitable") {
                // What it wrote last is read, too. Whoever has its output from it may hold that open, but not for ever.
                while !self.all_read.load(Ordering::Acquire) && Instant::now() < until {
                    std::thread::sleep(Duration::from_millis(5));
                }
                return status;
            }
            assert!(Instant::now() < until, "the server does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Logged lines with this event name.
    pub(crate) fn logged(&self, event: &str) -> Vec<Value> {
        let log = self.log.lock().expect("no panic");
        log.iter().filter(|line| line["event"] == event).cloned().collect()
    }

    /// All that was logged, without the times, which have as many digits as a code.
    pub(crate) fn log_text(&self) -> String {
        let log = self.log.lock().expect("no panic");
        let mut lines = log.clone();
        lines.iter_mut().filter_map(Value::as_object_mut).for_each(|line| drop(line.remove("timestamp")));
        Value::Array(lines).to_string()
    }

    /// Waits until an event is logged.
    pub(crate) fn wait_logged(&self, event: &str) -> Value {
        let until = Instant::now() + 5 * PATIENCE;
        loop {
            if let Some(line) = self.logged(event).pop() {
                return line;
            }
            assert!(Instant::now() < until, "{event} is not logged");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A resource of the admin listener: status and body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        http_get(&self.admin, path)
    }

    /// One number of `/metrics`, by its name and label as printed; 0 when it is not there.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let (_, text) = self.get("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.and_then(|number| number.parse().ok()).unwrap_or(0.0)
    }

    /// Waits until a number of `/metrics` is at least `least`.
    pub(crate) fn wait_metric(&self, series: &str, least: f64) {
        let until = Instant::now() + PATIENCE;
        while self.metric(series) < least {
            assert!(Instant::now() < until, "{series} stays at {}", self.metric(series));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Resident bytes of the process.
    pub(crate) fn resident(&self) -> u64 {
        self.metric("lynk_process_resident_memory_bytes") as u64
    }

    pub(crate) fn url(&self) -> Url {
        Url::parse(&self.address).expect("an address")
    }

    /// A token for `user`, signed with the key of the data directory.
    pub(crate) fn token(&self, user: UserId) -> String {
        token_from(&self.data, &Scope::default(), user, 3_600_000)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_for_ready(ready: &Receiver<Value>, child: &mut Child, log: &Mutex<Vec<Value>>) -> Value {
    let until = Instant::now() + 5 * PATIENCE;
    loop {
        match ready.recv_timeout(Duration::from_millis(50)) {
            Ok(value) => return value,
            Err(RecvTimeoutError::Timeout) if Instant::now() < until => {}
            Err(_) => {
                let _ = child.kill();
                let status = child.wait();
                panic!("the server did not get ready: {status:?} {:?}", log.lock().expect("no panic"));
            }
        }
        if let Ok(Some(status)) = child.try_wait() {
            std::thread::sleep(Duration::from_millis(50));
            panic!("the server ended with {status}: {:?}", log.lock().expect("no panic"));
        }
    }
}

/// A GET by hand: status and body.
pub(crate) fn http_get(address: &str, path: &str) -> (u16, String) {
    use std::io::{Read as _, Write as _};
    let mut socket = std::net::TcpStream::connect(address).expect("the admin listener is there");
    write!(socket, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("sent");
    let mut text = String::new();
    socket.read_to_string(&mut text).expect("an answer");
    let status = text.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    (status, body)
}

pub(crate) fn wall_millis() -> u64 {
    u64::try_from(std::time::UNIX_EPOCH.elapsed().expect("a clock").as_millis()).expect("soon enough")
}

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("random numbers");
    bytes
}

/// A token that ends in `ttl` milliseconds, which may be negative.
pub(crate) fn token_from(data: &Path, scope: &Scope, user: UserId, ttl: i64) -> String {
    let der = std::fs::read(data.join("keys/access.p8")).expect("the server made its key");
    sign(&SigningKey::from_pkcs8(&der).expect("a key"), scope, user, ttl)
}

pub(crate) fn sign(key: &SigningKey, scope: &Scope, user: UserId, ttl: i64) -> String {
    let now = wall_millis();
    let issued = Millis(now.min(now.saturating_add_signed(ttl)).saturating_sub(1_000));
    let expires = Millis(now.saturating_add_signed(ttl));
    let grant =
        Grant { user, session: SessionId(uuid_v7(now, random())), epoch: 0, id: random(), issued, expires };
    key.issue(scope, &grant).reveal().to_owned()
}

/// A user that no other test has.
pub(crate) fn user() -> UserId {
    UserId(uuid_v7(wall_millis(), random()))
}

/// A fresh idempotency key.
pub(crate) fn key() -> Key {
    Key(uuid_v7(wall_millis(), random()))
}

/// What arrived, or did not.
pub(crate) enum Arrived {
    /// A frame of the protocol.
    Frame(Value),
    /// The connection is over.
    End,
    /// Nothing, for as long as the connection waits.
    Nothing,
}

/// One signed-in connection. All that it hears is compared with `docs/asyncapi.json`, and so is what it asked and got an answer to.
pub(crate) struct Chatter {
    pub(crate) sender: Sender,
    pub(crate) receiver: client::Receiver,
    pub(crate) user: UserId,
    last: u64,
    /// Commands that are not answered, by their numbers.
    asked: HashMap<u64, Value>,
    /// Frames that arrived and were not asked for yet.
    pub(crate) events: VecDeque<Value>,
    pub(crate) closed: Option<(Option<u16>, String)>,
}

impl Chatter {
    /// Connects without signing in.
    pub(crate) fn connect(server: &Server) -> Self {
        let (sender, receiver) = client::connect(&server.url(), PATIENCE).expect("the server accepts");
        receiver.set_timeout(Some(PATIENCE)).expect("a socket");
        Self::over(sender, receiver, UserId::NIL)
    }

    /// Over a connection that stands.
    pub(crate) fn over(sender: Sender, receiver: client::Receiver, user: UserId) -> Self {
        let (asked, events) = (HashMap::new(), VecDeque::new());
        Self { sender, receiver, user, last: 0, asked, events, closed: None }
    }

    /// Connects and signs in as a new user.
    pub(crate) fn sign_in(server: &Server) -> Self {
        Self::sign_in_as(server, user(), json!([]))
    }

    /// Connects and signs in, resuming rooms.
    pub(crate) fn sign_in_as(server: &Server, user: UserId, resume: Value) -> Self {
        let mut chatter = Self::connect(server);
        chatter.user = user;
        let ok = chatter.ask(json!({"op": "hello", "token": server.token(user), "resume": resume}));
        assert_eq!(ok["ev"], "ok", "{ok}");
        chatter
    }

    /// The next frame; `None` after the end.
    pub(crate) fn next(&mut self) -> Option<Value> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        self.receive()
    }

    fn receive(&mut self) -> Option<Value> {
        match self.arrive() {
            Arrived::Frame(frame) => Some(frame),
            Arrived::End => None,
            Arrived::Nothing => panic!("nothing arrived for {PATIENCE:?}"),
        }
    }

    /// The next frame from the socket; those that were kept are not looked at.
    pub(crate) fn arrive(&mut self) -> Arrived {
        loop {
            match self.receiver.receive() {
                Ok(Incoming::Text(text)) => {
                    let frame: Value = serde_json::from_str(&text).expect("JSON");
                    self.compare(&frame);
                    return Arrived::Frame(frame);
                }
                Ok(Incoming::Ping(payload)) => self.sender.pong(&payload).unwrap_or_default(),
                Ok(Incoming::Pong) => {}
                Ok(Incoming::Close(code, reason)) => {
                    let _ = self.sender.close(1_000);
                    self.closed = Some((code, reason));
                    return Arrived::End;
                }
                Err(ClientError::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    return Arrived::Nothing;
                }
                Err(_) => return Arrived::End,
            }
        }
    }

    /// The document knows the frame, and as an answer to what was asked.
    fn compare(&mut self, frame: &Value) {
        let contract = Contract::get();
        let asked = frame["re"].as_u64().and_then(|re| self.asked.remove(&re));
        let known = match &asked {
            Some(command) => contract.answer(command, frame),
            None => contract.frame(frame),
        };
        known.unwrap_or_else(|why| panic!("{why}"));
    }

    /// Sends a command with a number of its own and returns it.
    pub(crate) fn tell(&mut self, mut command: Value) -> u64 {
        self.last += 1;
        command["id"] = self.last.into();
        self.sender.text(&command.to_string()).expect("the connection stands");
        self.asked.insert(self.last, command);
        self.last
    }

    /// Sends a command and waits for its answer; other frames are kept.
    pub(crate) fn ask(&mut self, command: Value) -> Value {
        let re = self.tell(command);
        self.answer(re)
    }

    /// As [`Self::ask`]; `None` when the connection ends before the answer.
    pub(crate) fn try_ask(&mut self, mut command: Value) -> Option<Value> {
        self.last += 1;
        command["id"] = self.last.into();
        self.sender.text(&command.to_string()).ok()?;
        self.asked.insert(self.last, command);
        loop {
            let frame = self.receive()?;
            if frame["re"] == self.last {
                return Some(frame);
            }
            self.events.push_back(frame);
        }
    }

    /// Waits for the answer with this number.
    pub(crate) fn answer(&mut self, re: u64) -> Value {
        if let Some(at) = self.events.iter().position(|event| event["re"] == re) {
            return self.events.remove(at).expect("found");
        }
        loop {
            let frame =
                self.receive().unwrap_or_else(|| panic!("closed before the answer: {:?}", self.closed));
            if frame["re"] == re {
                return frame;
            }
            self.events.push_back(frame);
        }
    }

    /// Waits for the next event of this kind; others are dropped.
    pub(crate) fn event(&mut self, ev: &str) -> Value {
        loop {
            let event = self.next().unwrap_or_else(|| panic!("closed before {ev}: {:?}", self.closed));
            if event["ev"] == ev {
                return event;
            }
        }
    }

    /// Reads to the end and returns the close code.
    pub(crate) fn close_code(&mut self) -> Option<u16> {
        while self.next().is_some() {}
        self.closed.as_ref().and_then(|(code, _)| *code)
    }

    /// Creates a room of a random name, enters it, and returns its id.
    pub(crate) fn create(&mut self) -> String {
        let name = format!("room {}", key());
        let ok = self.ask(json!({"op": "create", "key": key().to_string(), "name": name}));
        assert_eq!(ok["ev"], "ok", "{ok}");
        let room = ok["room"].as_str().expect("an id").to_owned();
        self.subscribe(&room);
        room
    }

    /// Joins and subscribes.
    pub(crate) fn join(&mut self, room: &str) {
        let ok = self.ask(json!({"op": "join", "room": room, "key": key().to_string()}));
        assert!(ok["ev"] == "ok", "{ok}");
        self.subscribe(room);
    }

    pub(crate) fn subscribe(&mut self, room: &str) -> Value {
        let reply = self.ask(json!({"op": "subscribe", "room": room}));
        assert_eq!(reply["ev"], "subscribed", "{reply}");
        reply
    }

    /// Posts and waits for the acknowledgement.
    pub(crate) fn say(&mut self, room: &str, text: &str) -> Value {
        let ok = self.ask(json!({"op": "send", "room": room, "key": key().to_string(), "text": text}));
        assert_eq!(ok["ev"], "ok", "{ok}");
        ok
    }

    /// The whole log of a room from `after` on, oldest first, read page by page.
    pub(crate) fn log(&mut self, room: &str, after: u64) -> Vec<Value> {
        let mut events = Vec::new();
        let mut after = after;
        loop {
            let page =
                self.ask(json!({"op": "history", "room": room, "after": after, "all": true, "limit": 500}));
            if page["ev"] == "error" && page["retryable"] == true {
                std::thread::sleep(Duration::from_millis(page["retry_after_ms"].as_u64().unwrap_or(50)));
                continue;
            }
            assert_eq!(page["ev"], "history", "{page}");
            events.extend(page["events"].as_array().expect("a list").iter().cloned());
            let to = page["covers"]["to"].as_u64().expect("a number");
            if page["more"] != true || to <= after {
                return events;
            }
            after = to;
        }
    }
}
