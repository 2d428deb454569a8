//! Load, crash, restart, audit; again and again.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use super::book::{Fault, Findings, Pending, RoomBook};
use super::client::{Client, Orders, Room, Seat, Tally};
use super::plain::Plain;
use super::random::Random;
use super::server::{Backend, Ended, Server, Start};

const CLIENTS: usize = 8;
const PUBLIC_ROOMS: usize = 6;
/// Time for clients to sign in, or to have everything acknowledged, on a loaded machine. Longer is a hang.
const SETTLE_MAX: Duration = Duration::from_secs(120);
/// So many crashes between two audits of everything; the others audit what is new.
const WHOLE_EVERY: u64 = 10;
/// Chance that a start is crashed as well, in percent.
const CRASHED_STARTS: u64 = 20;
/// Shards of successive starts.
const SHARDS: [u16; 4] = [1, 2, 4, 3];

/// Where the data directory lies, and what taking the server away means.
pub(crate) trait World {
    fn data(&self) -> &Path;

    /// Takes the server away. Afterwards the data directory is what it left.
    fn crash(&mut self, server: Server);
}

/// A data directory that outlives `kill -9` as it is.
#[derive(Debug)]
pub(crate) struct Killed(TempDir);

impl Killed {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().expect("a temporary directory"))
    }
}

impl World for Killed {
    fn data(&self) -> &Path {
        self.0.path()
    }

    fn crash(&mut self, mut server: Server) {
        server.kill_and_wait();
    }
}

/// What a run does.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    pub(crate) binary: PathBuf,
    pub(crate) seed: u64,
    pub(crate) crashes: u64,
    /// Operations offered per second, over all clients.
    pub(crate) rate: u64,
    /// Whether the report is kept where `LEDGER_REPORT` says.
    pub(crate) report: bool,
    /// Only this driver, instead of both in turn.
    pub(crate) backend: Option<Backend>,
    /// A library that the server is started with.
    pub(crate) preload: Option<PathBuf>,
}

impl Plan {
    /// The issue's load: 5,000 operations a second.
    pub(crate) fn new(name: &'static str, binary: &str, seed: u64, crashes: u64) -> Self {
        Self {
            name,
            binary: binary.into(),
            seed,
            crashes,
            rate: 5_000,
            report: true,
            backend: None,
            preload: None,
        }
    }
}

/// What came of it.
#[derive(Clone, Default, Debug)]
pub(crate) struct Report {
    pub(crate) crashes: u64,
    pub(crate) crashed_starts: u64,
    pub(crate) tally: Tally,
    /// Events that the reader found in the end.
    pub(crate) events: u64,
    pub(crate) load: Duration,
    pub(crate) starts: Vec<Duration>,
    pub(crate) findings: Findings,
}

impl Report {
    fn start_at(&self, percent: usize) -> u128 {
        let mut starts: Vec<u128> = self.starts.iter().map(Duration::as_millis).collect();
        starts.sort_unstable();
        starts.get((starts.len() * percent / 100).min(starts.len().saturating_sub(1))).copied().unwrap_or(0)
    }

    /// Prints the summary, and keeps it where `LEDGER_REPORT` says.
    fn publish(&self, plan: &Plan, took: Duration) {
        let (tally, seconds) = (&self.tally, self.load.as_secs_f64().max(0.001));
        let count = |fault| self.findings.count(fault);
        super::say(&format!(
            "{}: {} crashes ({} more while starting), {} offered ({:.0}/s), {} acked ({:.0}/s), {} retried, {} repeated, refused {:?}; {} events; \
             start p50 {} ms, max {} ms; lost {}, duplicate {}, order {}, content {}, told {}, server {}; seed {}",
            plan.name,
            self.crashes,
            self.crashed_starts,
            tally.offered,
            tally.offered as f64 / seconds,
            tally.acked,
            tally.acked as f64 / seconds,
            tally.retried,
            tally.repeated,
            tally.refused,
            self.events,
            self.start_at(50),
            self.start_at(100),
            count(Fault::Lost),
            count(Fault::Duplicate),
            count(Fault::Order),
            count(Fault::Content),
            count(Fault::Told),
            count(Fault::Server),
            plan.seed,
        ));
        let Some(dir) = std::env::var_os("LEDGER_REPORT").filter(|_| plan.report) else { return };
        let report = json!({
            "name": plan.name, "seed": plan.seed, "crashes": self.crashes, "crashed_starts": self.crashed_starts,
            "clients": CLIENTS, "rooms": PUBLIC_ROOMS + 1, "shards": SHARDS, "rate_offered": plan.rate,
            "took_ms": took.as_millis() as u64, "load_ms": self.load.as_millis() as u64,
            "operations": {
                "offered": tally.offered, "dropped_by_client": tally.dropped, "acked": tally.acked, "retried": tally.retried,
                "repeated": tally.repeated, "refused_retryably": tally.refused,
            },
            "connections": {"made": tally.connects, "closed_by_server": tally.closed, "resyncs": tally.resyncs},
            "events": self.events,
            "start_ms": {"p50": self.start_at(50) as u64, "p99": self.start_at(99) as u64, "max": self.start_at(100) as u64},
            "findings": {
                "lost": count(Fault::Lost), "duplicate": count(Fault::Duplicate), "order": count(Fault::Order),
                "content": count(Fault::Content), "told": count(Fault::Told), "server": count(Fault::Server),
            },
        });
        let path = Path::new(&dir).join(format!("{}.json", plan.name.replace(' ', "-")));
        std::fs::write(&path, format!("{report:#}\n"))
            .expect("LEDGER_REPORT is a directory that can be written");
    }
}

/// Runs a plan in a world. Ends at the first audit with findings.
pub(crate) fn run(plan: &Plan, world: &mut dyn World) -> Report {
    let began = Instant::now();
    let mut run = Run::begin(plan, world);
    for crash in 1..=plan.crashes {
        if !run.report.findings.is_empty() {
            break;
        }
        run.load();
        run.crash(crash);
        if crash.is_multiple_of(WHOLE_EVERY) && crash < plan.crashes {
            super::say(&format!("{}: {crash} of {} crashes", plan.name, plan.crashes));
        }
    }
    if run.report.findings.is_empty() {
        run.end();
    }
    let report = run.finish();
    report.publish(plan, began.elapsed());
    report
}

struct Run<'a> {
    world: &'a mut dyn World,
    random: Random,
    start: Start,
    backend: Option<Backend>,
    starts: u64,
    server: Option<Server>,
    rooms: Arc<Vec<Room>>,
    books: Vec<RoomBook>,
    /// Seq up to which a client's log of a room was compared, by client and room.
    compared: Vec<Vec<u64>>,
    reader_token: String,
    orders: Arc<Mutex<Orders>>,
    clients: Vec<Client>,
    /// Since when load is offered.
    loaded: Instant,
    report: Report,
}

impl<'a> Run<'a> {
    /// First start, rooms, clients.
    fn begin(plan: &Plan, world: &'a mut dyn World) -> Self {
        let mut random = Random::new(plan.seed);
        let mut start = Start::new(&plan.binary, world.data());
        (start.shards, start.backend) = turn(0, plan.backend);
        start.preload.clone_from(&plan.preload);
        let began = Instant::now();
        let server = start.run().unwrap_or_else(|ended| panic!("the first start: {ended:?}"));
        let report = Report { starts: vec![began.elapsed()], ..Report::default() };
        let people: Vec<(String, String)> =
            (0..CLIENTS).map(|n| start.token(&format!("ledger-{n}"))).collect();
        let (reader_token, _) = start.token("ledger-0");
        let rooms = Arc::new(make_rooms(&server, &people, &mut random));
        let users: Vec<String> = people.iter().map(|(_, user)| user.clone()).collect();
        let books = (0..rooms.len()).map(|index| RoomBook::new(index, &users)).collect();
        let numbers = Arc::new(AtomicU64::new(1));
        let orders = Arc::new(Mutex::new(Orders { url: Some(server.url()), ..Orders::default() }));
        let clients = people.into_iter().enumerate().map(|(index, (token, _))| {
            Client::start(Seat {
                index,
                token,
                rooms: Arc::clone(&rooms),
                interval: Duration::from_secs(CLIENTS as u64) / plan.rate as u32,
                numbers: Arc::clone(&numbers),
                orders: Arc::clone(&orders),
                random: random.fork(),
            })
        });
        let clients = clients.collect();
        let compared = vec![vec![0; rooms.len()]; CLIENTS];
        Self {
            world,
            random,
            start,
            backend: plan.backend,
            starts: 1,
            server: Some(server),
            rooms,
            books,
            compared,
            reader_token,
            orders,
            clients,
            loaded: began,
            report,
        }
    }

    fn order(&self, change: impl FnOnce(&mut Orders)) {
        change(&mut self.orders.lock().expect("no client panics with the orders"));
    }

    fn fault(&mut self, what: impl FnOnce() -> String) {
        self.report.findings.add(Fault::Server, what);
    }

    /// Waits until `done`; whether it was in time.
    fn settle(&self, done: impl Fn(&Self) -> bool) -> bool {
        let until = Instant::now() + SETTLE_MAX;
        while !done(self) {
            if Instant::now() > until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }

    /// Operations of all clients without an acknowledgement.
    fn unacked(&self) -> usize {
        self.clients.iter().map(Client::unacked).sum()
    }

    /// Offers load for a random time.
    fn load(&mut self) {
        if !self.settle(|run| run.clients.iter().all(Client::is_online)) {
            let lines = self.server.as_ref().map(Server::lines);
            self.fault(|| format!("clients cannot sign in\n{}", lines.unwrap_or_default()));
        }
        let time = Duration::from_millis(self.random.within(150..1_500));
        self.order(|orders| orders.load = true);
        self.loaded = Instant::now();
        std::thread::sleep(time);
    }

    /// Takes the server away in the middle of everything, starts the next one and audits what it has.
    fn crash(&mut self, crash: u64) {
        let mut server = self.server.take().expect("a server runs");
        if let Some(status) = server.ended() {
            self.fault(|| format!("the server ended by itself: {status}\n{}", server.lines()));
        }
        self.world.crash(server);
        self.order(|orders| (orders.load, orders.url) = (false, None));
        self.report.load += self.loaded.elapsed();
        if !self.settle(|run| !run.clients.iter().any(Client::is_online)) {
            self.fault(|| "connections outlive their server".to_owned());
        }
        self.report.crashes += 1;
        while self.random.percent(CRASHED_STARTS) {
            self.next_start();
            let server = self.start.spawn();
            std::thread::sleep(Duration::from_millis(self.random.within(0..200)));
            self.world.crash(server);
            self.report.crashed_starts += 1;
        }
        self.restart();
        self.audit(crash.is_multiple_of(WHOLE_EVERY));
        let url = self.server.as_ref().map(Server::url);
        self.order(|orders| orders.url = url);
    }

    fn next_start(&mut self) {
        (self.start.shards, self.start.backend) = turn(self.starts, self.backend);
        self.start.data = self.world.data().to_owned();
        self.starts += 1;
    }

    fn restart(&mut self) {
        self.next_start();
        let began = Instant::now();
        match self.start.run() {
            Ok(server) => self.server = Some(server),
            Err(Ended { code, lines }) => {
                let start = format!("{} shards, {:?}", self.start.shards, self.start.backend);
                self.fault(|| format!("the server does not start ({start}): exit code {code:?}\n{lines}"));
            }
        }
        self.report.starts.push(began.elapsed());
    }

    /// Reads what is new, or everything, as a client that was never there before, and compares.
    fn audit(&mut self, whole: bool) {
        let Some(server) = &self.server else { return };
        let mut reader = Plain::sign_in(&server.url(), &self.reader_token, self.random.fork());
        let mut pending = vec![Vec::new(); self.books.len()];
        for (client, own) in self.clients.iter().enumerate() {
            own.take_acks().into_iter().for_each(|ack| self.books[ack.room].note(ack));
            for op in own.pending() {
                pending[op.room].push(Pending { op: op.number, client, what: op.what });
            }
        }
        let findings = &mut self.report.findings;
        for (index, (room, book)) in self.rooms.iter().zip(&mut self.books).enumerate() {
            if whole {
                book.forget();
            }
            let start = book.log.len();
            if let Err(what) = reader.read(&room.id, &mut book.log) {
                findings.add(Fault::Order, || format!("room {index}: {what}"));
            }
            book.audit(start, &pending[index], findings);
            for (number, client) in self.clients.iter().enumerate() {
                let compared = &mut self.compared[number][index];
                let from = if whole { 0 } else { *compared };
                let end = client.view(index, |view| {
                    book.compare(number, view.told_since(from), findings);
                    view.cursor().1
                });
                *compared = end.unwrap_or(0);
            }
        }
        for wrong in self.clients.iter().flat_map(Client::wrong) {
            findings.add(Fault::Told, || wrong);
        }
    }

    /// Lets everything be acknowledged and told, ends the server as an operator would, and audits everything once more.
    fn end(&mut self) {
        self.order(|orders| orders.load = false);
        // A machine may be slow for as long as it likes, but what waits must become less.
        let mut left = usize::MAX;
        loop {
            let before = left;
            self.settle(|run| run.unacked() < before);
            left = self.unacked();
            if left == 0 {
                break;
            }
            if left >= before {
                let unacked: Vec<usize> = self.clients.iter().map(Client::unacked).collect();
                self.fault(|| format!("operations without an answer, by client: {unacked:?}"));
                // While they are under way nothing that is read now could be compared.
                return;
            }
        }
        self.audit(true);
        let tops: Vec<u64> = self.books.iter().map(|book| book.log.len() as u64).collect();
        let whole = |run: &Self| {
            let mut views = run.clients.iter().flat_map(|client| {
                tops.iter()
                    .enumerate()
                    .filter_map(|(room, top)| client.view(room, |view| view.is_whole(*top)))
            });
            views.all(|whole| whole)
        };
        if !self.settle(whole) {
            self.fault(|| "a subscriber was not told everything".to_owned());
        }
        self.order(|orders| orders.url = None);
        let Some(server) = self.server.take() else { return };
        let ended = server.stop();
        if ended.code != Some(0) {
            self.fault(|| format!("SIGTERM ended the server with {:?}\n{}", ended.code, ended.lines));
        }
        self.restart();
        self.audit(true);
        self.report.events = tops.iter().sum();
    }

    fn finish(mut self) -> Report {
        for client in &self.clients {
            self.report.tally.add(&client.tally());
        }
        // Connections end with the server, so the clients end at once.
        self.server = None;
        self.clients.clear();
        self.report
    }
}

/// Shards and driver of a start: over eight starts every shard count meets both drivers.
fn turn(start: u64, only: Option<Backend>) -> (u16, Backend) {
    let shards = SHARDS[(start % 4) as usize];
    let backend = if (start + start / 4).is_multiple_of(2) { Backend::Uring } else { Backend::Epoll };
    (shards, only.unwrap_or(backend))
}

/// Public rooms that everybody is in, and a conversation of the first two. A third of the clients subscribe to a room.
fn make_rooms(server: &Server, people: &[(String, String)], random: &mut Random) -> Vec<Room> {
    let mut plains: Vec<Plain> =
        people.iter().map(|(token, _)| Plain::sign_in(&server.url(), token, random.fork())).collect();
    let (owner, others) = plains.split_first_mut().expect("several clients");
    let room_of = |told: &super::wire::Told<'_>| told.room().to_owned();
    let mut rooms = Vec::new();
    for index in 0..PUBLIC_ROOMS {
        let key = owner.key();
        let create = format!(r#""op":"create","key":"{key}","name":"ledger {index}","level":"local""#);
        let id = owner.insist(&create, room_of);
        for other in others.iter_mut() {
            let key = other.key();
            other.insist(&format!(r#""op":"join","room":"{id}","key":"{key}""#), |_| ());
        }
        let subscribers = (0..people.len()).filter(|client| (client + index).is_multiple_of(3)).collect();
        rooms.push(Room { id, members: (0..people.len()).collect(), subscribers });
    }
    let id = owner.insist(&format!(r#""op":"direct","user":"{}""#, people[1].1), room_of);
    rooms.push(Room { id, members: vec![0, 1], subscribers: vec![0, 1] });
    rooms
}
