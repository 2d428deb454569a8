//! A whole deployment in one thread: clients, network, a process of N shards, disk and stores, on a virtual clock.
//!
//! Everything that takes time is an event with a time of its own; the world takes the earliest one, again and
//! again. Which one that is, and what goes wrong in it, follows from the seed alone. A run works for a while under
//! faults, then heals everything, waits until every client is done, compares everything exactly, and ends by
//! draining the process.

mod boot;
mod bridge;
mod journal;
mod run;
mod shard;
mod turn;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use lynk_auth::{KeySet, Scope, SigningKey};
use lynk_connection::Settings;
use lynk_domain::{Millis, Nanos, Now, ShardId, UserId, shard_of_user};
use lynk_engine::ApiInput;
use lynk_journal::MemoryDisk;
use lynk_model::memory::{MemoryFiles, MemoryMessages, MemoryRooms};
use lynk_model::{RequestId, StoreReply};

use crate::client::{Around, Caller, Device, Directory, Eraser, Network, Parsed, Rogue, Stepped, Tokens};
use crate::faults::{Faults, Sabotage};
use crate::oracle::{Journal, Ledger, Step};
use crate::random::Random;
use crate::scenario::Scenario;
use crate::trace::Trace;

use boot::Process;

/// Wall clock at the start of every world.
const WALL_START: u64 = 1_790_000_000_000;

/// Bytes that a client reads in one step at most.
const CLIENT_BUFFER_BYTES: usize = 16 << 10;

/// Something that happens at a time.
#[derive(Debug)]
enum Event {
    /// A shard's loop turns.
    Shard(ShardId),
    /// A client does something.
    Client(usize),
    /// A journal write and its sync are over.
    Written(ShardId),
    /// The keeper makes a segment.
    Keeper(ShardId),
    /// The store bridge carries out a request.
    Store(ShardId, RequestId),
    /// Its answer reaches the shard.
    Reply(ShardId, RequestId, Box<StoreReply>),
    /// The drainer does one step.
    Drain,
    /// The process starts.
    Start,
    /// Something goes wrong, or ends to.
    Fault(Fault),
}

/// A fault that has its own time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    /// The process dies at the next chance.
    Crash,
    /// The process is told to leave.
    Drain,
    /// The wall clock jumps.
    Clock,
    /// More than a day passes.
    Day,
    /// The disk has no space, or has it again.
    DiskFull(bool),
    /// The relational store is away, or back.
    Outage(bool),
    /// What would a crash leave right now?
    Probe,
}

/// A client of either kind.
#[derive(Debug)]
enum Client {
    Device(Box<Device>),
    Rogue(Box<Rogue>),
    Caller(Box<Caller>),
    Eraser(Box<Eraser>),
}

/// An event in the queue; those of an older boot's process are void.
#[derive(Debug)]
struct Queued {
    time: u64,
    id: u64,
    boot: u32,
    event: Event,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    /// The earliest is the greatest: the heap gives that one first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.time, other.id).cmp(&(self.time, self.id))
    }
}

/// Stores that outlive processes.
#[derive(Debug, Default)]
struct Stores {
    messages: MemoryMessages,
    rooms: MemoryRooms,
    files: MemoryFiles,
    /// Last lsn that the message store took of each journal, kept longer than the store keeps it.
    drained: BTreeMap<Journal, u64>,
    away: bool,
}

/// What a run is about.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) scenario: Scenario,
    pub(crate) seed: u64,
    pub(crate) sabotage: Sabotage,
}

/// What a run did, for reports.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Account {
    /// Events of the world.
    pub steps: u64,
    /// Records appended to journals.
    pub records: u64,
    /// Frames given to connections.
    pub deliveries: u64,
    /// Times the process died.
    pub crashes: u64,
    /// Sign-ins of good clients.
    pub sign_ins: u64,
    /// Virtual milliseconds.
    pub millis: u64,
    /// Largest send queue of a connection in bytes.
    pub queued_bytes_max: usize,
    /// What was reached that a quiet run does not reach.
    pub reached: Reached,
}

/// How often a run came to the places that its faults are for.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Mail given back by a full mailbox.
    pub mail_refused: u64,
    /// `resync` events.
    pub resyncs: u64,
    /// Retries answered from the first result.
    pub repeats: u64,
    /// Rooms loaded.
    pub room_loads: u64,
    /// Rooms dropped from memory.
    pub room_evictions: u64,
    /// Store replies that reported a failure.
    pub store_failures: u64,
    /// Best-effort events shed.
    pub shed: u64,
    /// Commands refused.
    pub rejects: u64,
    /// Flushes that were cut at their limit.
    pub full_flushes: u64,
    /// Slow consumers closed.
    pub slow_closed: u64,
    /// Tails that recovery cut.
    pub cut_tails: u64,
    /// Starts that died.
    pub starts_died: u64,
    /// Events of level `memory` that a crash took.
    pub events_lost: u64,
    /// Writes that found the disk full.
    pub full_writes: u64,
    /// Rooms whose oldest messages were removed.
    pub retentions: u64,
    /// People who came in by a link.
    pub entered: u64,
    /// Requests to become a member that were decided.
    pub decided: u64,
    /// Reports that were resolved.
    pub resolved: u64,
    /// 1:1s of strangers that were accepted or declined.
    pub conversed: u64,
    /// Files that were given back.
    pub released: u64,
    /// Pictures of rooms that were given back.
    pub pictures: u64,
    /// Conversations that somebody deleted for itself.
    pub cleared: u64,
    /// Accounts whose erasure was finished.
    pub erased: u64,
}

impl Reached {
    /// Adds what another run reached.
    pub fn add(&mut self, other: &Self) {
        self.mail_refused += other.mail_refused;
        self.resyncs += other.resyncs;
        self.repeats += other.repeats;
        self.room_loads += other.room_loads;
        self.room_evictions += other.room_evictions;
        self.store_failures += other.store_failures;
        self.shed += other.shed;
        self.rejects += other.rejects;
        self.full_flushes += other.full_flushes;
        self.slow_closed += other.slow_closed;
        self.cut_tails += other.cut_tails;
        self.starts_died += other.starts_died;
        self.events_lost += other.events_lost;
        self.full_writes += other.full_writes;
        self.retentions += other.retentions;
        self.entered += other.entered;
        self.decided += other.decided;
        self.resolved += other.resolved;
        self.conversed += other.conversed;
        self.released += other.released;
        self.pictures += other.pictures;
        self.cleared += other.cleared;
        self.erased += other.erased;
    }

    /// Names and counts, for reports and for a test that none is zero.
    #[must_use]
    pub fn rows(&self) -> [(&'static str, u64); 23] {
        [
            ("mail refused", self.mail_refused),
            ("resyncs", self.resyncs),
            ("repeats", self.repeats),
            ("room loads", self.room_loads),
            ("room evictions", self.room_evictions),
            ("store failures", self.store_failures),
            ("shed", self.shed),
            ("rejects", self.rejects),
            ("full flushes", self.full_flushes),
            ("slow consumers closed", self.slow_closed),
            ("tails cut", self.cut_tails),
            ("starts that died", self.starts_died),
            ("memory events lost", self.events_lost),
            ("full writes", self.full_writes),
            ("retentions", self.retentions),
            ("entered by links", self.entered),
            ("requests decided", self.decided),
            ("reports resolved", self.resolved),
            ("conversations accepted or declined", self.conversed),
            ("files given back", self.released),
            ("pictures given back", self.pictures),
            ("conversations cleared", self.cleared),
            ("accounts erased", self.erased),
        ]
    }
}

/// The world.
pub(crate) struct World {
    plan: Plan,
    random: Random,
    trace: Trace,
    step: Step,
    now: u64,
    /// Added to the wall clock by jumps, in milliseconds.
    wall_shift: i64,
    queue: BinaryHeap<Queued>,
    next_event: u64,
    boot: u32,
    starts: usize,
    disk: MemoryDisk,
    root: PathBuf,
    stores: Stores,
    process: Option<Process>,
    clients: Vec<Client>,
    client_at: Vec<u64>,
    /// Client of each socket.
    socket_of: Vec<usize>,
    users: Vec<UserId>,
    /// First client that is a caller or, behind all of them, an eraser: their API slots have these numbers.
    callers_from: usize,
    /// Requests of the client whose turn it is.
    calls: Vec<ApiInput>,
    network: Network,
    directory: Directory,
    tokens: Tokens,
    keys: Arc<KeySet>,
    parsed: Parsed,
    ledger: Ledger,
    settings: Rc<Settings>,
    scratch: Vec<u8>,
    buffer: Vec<u8>,
    settling: bool,
    still: bool,
    /// Faults stop.
    healed: bool,
    /// The process ends after this event.
    dying: bool,
    account: Account,
}

impl World {
    pub(crate) fn new(plan: Plan, trace: Trace) -> Self {
        let mut random = Random::new(plan.seed);
        let (key, _kept) = SigningKey::generate([7; 32]);
        let scope = Scope::default();
        let keys = KeySet::new(scope.clone(), [key.public()]).expect("one key");
        let root = Path::new("/journal").to_owned();
        let scenario = &plan.scenario;
        let settings = Settings::new(&scenario.limits, lynk_http::Policy::default());
        let network = Network {
            sockets: Vec::new(),
            opened: Vec::new(),
            listening: false,
            faults: scenario.faults.network,
            random: random.fork(10),
        };
        let mut world = Self {
            random: random.fork(11),
            trace,
            step: 0,
            now: 0,
            wall_shift: 0,
            queue: BinaryHeap::new(),
            next_event: 0,
            boot: 0,
            starts: 0,
            disk: MemoryDisk::with_root(&root),
            root,
            stores: Stores::default(),
            process: None,
            clients: Vec::new(),
            client_at: Vec::new(),
            socket_of: Vec::new(),
            users: Vec::new(),
            callers_from: 0,
            calls: Vec::new(),
            network,
            directory: Directory::default(),
            tokens: Tokens::new(key, scope),
            keys: Arc::new(keys),
            parsed: Parsed::default(),
            ledger: {
                let mut ledger = Ledger::new(scenario.limits.retention_millis);
                let Faults { mail, .. } = &scenario.faults;
                let usual = Faults::default().mail;
                if mail.refused_permille > 0 || mail.capacity < usual.capacity {
                    ledger.mail_is_late();
                }
                ledger
            },
            settings: Rc::new(settings),
            scratch: Vec::new(),
            buffer: vec![0; CLIENT_BUFFER_BYTES],
            settling: false,
            still: false,
            healed: false,
            dying: false,
            account: Account::default(),
            plan,
        };
        world.people(&mut random);
        world
    }

    /// Makes users and their devices.
    fn people(&mut self, random: &mut Random) {
        let scenario = self.plan.scenario.clone();
        for _ in 0..scenario.users {
            let user = UserId(lynk_domain::uuid_v7(WALL_START, random.bytes()));
            self.directory.users.push(user);
            let devices = random.between(1, scenario.devices_max as u64);
            for device in 0..devices {
                let slow = scenario.slow.clone().filter(|_| random.chance(350));
                let pace = slow.unwrap_or_else(|| scenario.pace.clone());
                let device =
                    Device::new(user, device == 0, random.fork(20 + device), scenario.mix.clone(), pace);
                self.users.push(user);
                self.clients.push(Client::Device(Box::new(device)));
            }
        }
        if let Some(Client::Device(first)) = self.clients.first_mut() {
            first.found(scenario.rooms);
        }
        for vice in scenario.rogues {
            let user = UserId(lynk_domain::uuid_v7(WALL_START, random.bytes()));
            self.users.push(user);
            self.clients.push(Client::Rogue(Box::new(Rogue::new(*vice, user, random.fork(40)))));
        }
        self.callers_from = self.clients.len();
        for number in 0..scenario.callers {
            let user = UserId(lynk_domain::uuid_v7(WALL_START, random.bytes()));
            self.users.push(user);
            let caller = Caller::new(number, user, random.fork(60 + u64::from(number)));
            self.clients.push(Client::Caller(Box::new(caller)));
        }
        for number in 0..scenario.erasures {
            // The first user founds the rooms.
            let Some(user) = self.directory.users.iter().rev().nth(number as usize).copied() else { break };
            let begin = random.below(scenario.work_millis * 700_000);
            let eraser =
                Eraser::new(scenario.callers + number, user, begin, random.fork(80 + u64::from(number)));
            self.users.push(user);
            self.clients.push(Client::Eraser(Box::new(eraser)));
        }
        self.client_at = vec![u64::MAX; self.clients.len()];
    }

    /// The server's clocks, before the driver's clamp.
    fn server_wall(&self) -> Millis {
        let straight = (WALL_START + self.now / 1_000_000) as i64;
        Millis((straight + self.wall_shift).max(1) as u64)
    }

    fn mono(&self) -> Nanos {
        Nanos(self.now + 1)
    }

    fn server_now(&self) -> Now {
        Now { mono: self.mono(), wall: self.server_wall() }
    }

    /// Puts an event into the queue, `delay` from now.
    fn after(&mut self, delay: u64, event: Event) {
        self.at(self.now.saturating_add(delay), event);
    }

    fn at(&mut self, time: u64, event: Event) {
        let id = self.next_event;
        self.next_event += 1;
        self.queue.push(Queued { time: time.max(self.now), id, boot: self.boot, event });
    }

    /// Gives a client its turn at `time`, unless it has one earlier.
    fn wake_client(&mut self, client: usize, time: u64) {
        let time = time.max(self.now);
        if time < self.client_at[client] {
            self.client_at[client] = time;
            self.at(time, Event::Client(client));
        }
    }

    /// One client's turn.
    fn client(&mut self, index: usize) -> Result<(), String> {
        if self.client_at[index] > self.now {
            // A turn that was brought forward has been taken already.
            return Ok(());
        }
        self.client_at[index] = u64::MAX;
        let before = self.network.opened.len();
        let server_wall = self.server_wall();
        let mut around = Around {
            now: self.now,
            wall: Millis(WALL_START + self.now / 1_000_000),
            server_wall,
            step: self.step,
            ledger: &mut self.ledger,
            files: &self.stores.files,
            directory: &mut self.directory,
            network: &mut self.network,
            tokens: &mut self.tokens,
            parsed: &mut self.parsed,
            trace: &self.trace,
            buffer: &mut self.buffer,
            calls: &mut self.calls,
            boot: self.boot,
            settling: self.settling,
            still: self.still,
        };
        let Stepped { next, touched } = match &mut self.clients[index] {
            Client::Device(device) => device.step(&mut around)?,
            Client::Rogue(rogue) => rogue.step(&mut around),
            Client::Caller(caller) => caller.step(&mut around)?,
            Client::Eraser(eraser) => eraser.step(&mut around)?,
        };
        self.post_calls(index);
        for opened in before..self.network.opened.len() {
            let socket = self.network.opened[opened];
            if self.socket_of.len() <= socket {
                self.socket_of.resize(socket + 1, usize::MAX);
            }
            self.socket_of[socket] = index;
        }
        if let Some(next) = next {
            self.wake_client(index, next);
        }
        if let Some(socket) = touched {
            if !self.healed
                && self.random.chance(self.plan.scenario.faults.reset_permille)
                && let Some(socket) = self.network.socket(socket)
            {
                socket.reset();
            }
            let delay = self.random.delay(60_000);
            self.wake_socket(socket, delay);
        }
        Ok(())
    }

    /// Takes a client's requests to the shard of its user; without a process they come to nothing.
    fn post_calls(&mut self, client: usize) {
        for input in std::mem::take(&mut self.calls) {
            let shards = self.process.as_ref().map_or(0, |process| process.desks.len());
            let Some(count) = u16::try_from(shards).ok().filter(|count| *count > 0) else {
                match &mut self.clients[client] {
                    Client::Caller(caller) => caller.refused(),
                    Client::Eraser(eraser) => eraser.refused(),
                    Client::Device(_) | Client::Rogue(_) => {}
                }
                continue;
            };
            let shard = shard_of_user(self.users[client], count);
            if let Some(desk) = self.desk(shard) {
                desk.calls.push_back(input);
            }
            let delay = self.random.delay(200_000);
            self.wake_shard(shard, delay);
        }
    }
}
