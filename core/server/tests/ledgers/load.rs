//! Load whose every acknowledgement is written down, and the independent reader that checks the book.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lynk_domain::UserId;
use lynk_server::client::{self, Incoming, Url};
use serde_json::{Value, json};

use crate::support::{Chatter, PATIENCE, Server, key, user};

/// Sends offered per second, by all connections together.
pub(crate) const OFFERED: u64 = 5_000;
/// Connections that send.
const WRITERS: u64 = 8;
/// Sends of one connection that may wait for their answer; then it waits too.
const IN_FLIGHT_MAX: usize = 200;

/// What was promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acked {
    pub(crate) room: String,
    pub(crate) seq: u64,
    pub(crate) id: String,
}

/// Every acknowledged text, which is its key.
#[derive(Clone, Default)]
pub(crate) struct Book(Arc<Mutex<HashMap<String, Acked>>>);

impl Book {
    /// A copy as of now.
    pub(crate) fn snapshot(&self) -> HashMap<String, Acked> {
        self.0.lock().expect("no panic").clone()
    }

    fn note(&self, text: &str, acked: Acked) {
        let before = self.0.lock().expect("no panic").insert(text.to_owned(), acked.clone());
        assert!(
            before.as_ref().is_none_or(|before| *before == acked),
            "one key, two results: {before:?} and {acked:?}"
        );
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().expect("no panic").len()
    }
}

/// The rooms of a ledger and their one member.
pub(crate) struct Rooms {
    pub(crate) user: UserId,
    pub(crate) ids: Vec<String>,
}

impl Rooms {
    pub(crate) fn create(server: &Server, count: usize) -> Self {
        let user = user();
        let mut owner = Chatter::sign_in_as(server, user, json!([]));
        let ids = (0..count).map(|_| owner.create()).collect();
        Self { user, ids }
    }
}

/// A send that is not acknowledged: it is repeated on the next connection, with its key.
#[derive(Clone)]
struct Pending {
    room: String,
    text: String,
}

/// Writers that run until they are told to stop or their connection ends.
pub(crate) struct Load {
    threads: Vec<std::thread::JoinHandle<Vec<Pending>>>,
    stop: Arc<AtomicBool>,
    pub(crate) sent: Arc<AtomicU64>,
}

/// Sends that earlier loads left without an answer, for the next one.
#[derive(Default)]
pub(crate) struct Unanswered(Vec<Pending>);

impl Load {
    /// Offers [`OFFERED`] sends a second to `server`, the unanswered ones first.
    pub(crate) fn start(server: &Server, rooms: &Rooms, book: &Book, unanswered: Unanswered) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let mut left: Vec<Vec<Pending>> = vec![Vec::new(); WRITERS as usize];
        for (index, pending) in unanswered.0.into_iter().enumerate() {
            left[index % WRITERS as usize].push(pending);
        }
        let threads = left
            .into_iter()
            .map(|retry| {
                let writer = Writer {
                    url: server.url(),
                    token: server.token(rooms.user),
                    rooms: rooms.ids.clone(),
                    book: book.clone(),
                    stop: Arc::clone(&stop),
                    sent: Arc::clone(&sent),
                };
                std::thread::spawn(move || writer.run(retry))
            })
            .collect();
        Self { threads, stop, sent }
    }

    /// Waits for the writers to end; with `stop` they end at once.
    pub(crate) fn finish(self, stop: bool) -> Unanswered {
        if stop {
            self.stop.store(true, Ordering::Relaxed);
        }
        let left = self.threads.into_iter().flat_map(|thread| thread.join().expect("a writer panicked"));
        Unanswered(left.collect())
    }
}

struct Writer {
    url: Url,
    token: String,
    rooms: Vec<String>,
    book: Book,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
}

impl Writer {
    /// Returns what was not acknowledged.
    fn run(self, mut retry: Vec<Pending>) -> Vec<Pending> {
        let Ok((mut sender, mut receiver)) = client::connect(&self.url, PATIENCE) else { return retry };
        let mut waiting: BTreeMap<u64, Pending> = BTreeMap::new();
        let hello = json!({"id": 1, "op": "hello", "token": self.token}).to_string();
        if sender.text(&hello).is_err() || receiver.set_timeout(Some(Duration::from_millis(1))).is_err() {
            return retry;
        }
        let started = Instant::now();
        let (mut re, mut offered) = (1, 0);
        let alive = loop {
            if self.stop.load(Ordering::Relaxed) {
                break true;
            }
            // Open loop: what is due is due, whatever was answered.
            let due = started.elapsed().as_micros() as u64 * OFFERED / WRITERS / 1_000_000;
            let mut failed = false;
            while offered < due && waiting.len() < IN_FLIGHT_MAX && !failed {
                let pending = retry.pop().unwrap_or_else(|| {
                    let room = self.rooms[(offered as usize) % self.rooms.len()].clone();
                    Pending { room, text: key().to_string() }
                });
                re += 1;
                offered += 1;
                let send = json!({"id": re, "op": "send", "room": pending.room, "key": pending.text, "text": pending.text});
                waiting.insert(re, pending);
                failed = sender.text(&send.to_string()).is_err();
                self.sent.fetch_add(1, Ordering::Relaxed);
            }
            if failed || !self.receive(&mut receiver, &mut waiting, &mut retry) {
                break false;
            }
        };
        if alive {
            let until = Instant::now() + Duration::from_secs(5);
            while !waiting.is_empty()
                && Instant::now() < until
                && self.receive(&mut receiver, &mut waiting, &mut retry)
            {}
        }
        retry.extend(waiting.into_values());
        retry
    }

    /// Takes what has arrived; `false` when the connection is gone.
    fn receive(
        &self,
        receiver: &mut client::Receiver,
        waiting: &mut BTreeMap<u64, Pending>,
        retry: &mut Vec<Pending>,
    ) -> bool {
        loop {
            match receiver.receive() {
                Ok(Incoming::Text(text)) => {
                    let frame: Value = serde_json::from_str(&text).expect("JSON");
                    let Some(pending) = frame["re"].as_u64().and_then(|re| waiting.remove(&re)) else {
                        continue;
                    };
                    if frame["ev"] == "ok" {
                        let acked = Acked {
                            room: pending.room,
                            seq: frame["seq"].as_u64().expect("a number"),
                            id: frame["id"].as_str().expect("an id").to_owned(),
                        };
                        self.book.note(&pending.text, acked);
                    } else {
                        assert_eq!(frame["retryable"], true, "{frame}");
                        retry.push(pending);
                    }
                }
                Ok(_) => {}
                Err(client::ClientError::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    return true;
                }
                Err(_) => return false,
            }
        }
    }
}

/// What an independent reader found wrong.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) lost: Vec<String>,
    pub(crate) wrong: Vec<String>,
}

impl Findings {
    pub(crate) fn none(&self) -> bool {
        self.lost.is_empty() && self.wrong.is_empty()
    }
}

/// Reads every room from its first event on and compares it with the book.
pub(crate) fn check(server: &Server, rooms: &Rooms, book: &HashMap<String, Acked>) -> Findings {
    let mut findings = Findings::default();
    let mut reader = Chatter::sign_in_as(server, rooms.user, json!([]));
    let mut found: HashMap<String, Acked> = HashMap::new();
    for room in &rooms.ids {
        let log = reader.log(room, 0);
        let mut ids = BTreeSet::new();
        for (expected, event) in (1..).zip(&log) {
            if event["seq"] != expected {
                findings.wrong.push(format!("{room}: {expected} is {event}"));
                break;
            }
            let (Some(text), Some(id)) = (event["text"].as_str(), event["id"].as_str()) else { continue };
            if !ids.insert(id.to_owned()) {
                findings.wrong.push(format!("{room}: id {id} twice"));
            }
            let here = Acked { room: room.clone(), seq: expected, id: id.to_owned() };
            if let Some(before) = found.insert(text.to_owned(), here.clone()) {
                findings.wrong.push(format!("key {text} twice: {before:?} and {here:?}"));
            }
        }
    }
    for (text, acked) in book {
        match found.get(text) {
            None => findings.lost.push(format!("{text} {acked:?}")),
            Some(there) if there != acked => {
                findings.wrong.push(format!("{text}: promised {acked:?}, found {there:?}"))
            }
            Some(_) => {}
        }
    }
    findings
}
