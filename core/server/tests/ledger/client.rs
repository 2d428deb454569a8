//! A client that offers operations open loop, writes down every acknowledgement, retries with the same keys, and resumes.
//!
//! Threads: one per client that connects and writes, one per connection that reads. Only the writer writes, and it holds no
//! lock while it does, so a server that stops reading never stops the reader.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use lynk_domain::{Key, uuid_v7};
use lynk_server::client::{self, Incoming, Receiver, Sender, Url};

use super::random::Random;
use super::view::View;
use super::wire::{Told, delete_print, edit_print, edited_text, message_print, sent_text};

/// Time for connecting, and for the server to take what is written.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Commands without answer on one connection; below the server's limit, which pages count against as well.
const IN_FLIGHT_MAX: usize = 200;
/// Operations without acknowledgement; what is offered beyond them is counted and dropped.
const UNACKED_MAX: usize = 2_000;
/// Acknowledged operations that are repeated after a reconnect, to see the same answer.
const REPEATED: usize = 4;
/// Own messages that are kept to be edited or deleted.
const TARGETS_MAX: usize = 200;
/// Frames written before the state is looked at again.
const BATCH: usize = 64;

/// A room of the run, and who is in it, by client number.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    pub(crate) id: String,
    pub(crate) members: Vec<usize>,
    pub(crate) subscribers: Vec<usize>,
}

/// What an operation does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    Send,
    Edit { target: u64 },
    Delete { target: u64 },
}

/// One intention of a client; its key never changes.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) number: u64,
    pub(crate) room: usize,
    pub(crate) what: What,
    key: String,
    /// Retryable errors so far.
    refusals: u32,
}

/// An acknowledgement, as received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ack {
    pub(crate) op: u64,
    pub(crate) room: usize,
    pub(crate) client: usize,
    pub(crate) what: What,
    pub(crate) seq: u64,
    /// Ordinal and id of a message; 0 otherwise.
    pub(crate) n: u64,
    pub(crate) id: u128,
}

/// What a client is to do.
#[derive(Clone, Default, Debug)]
pub(crate) struct Orders {
    /// Where to connect; `None` while there is no server.
    pub(crate) url: Option<Url>,
    /// Whether new operations are offered.
    pub(crate) load: bool,
    pub(crate) end: bool,
}

/// Counts of one client.
#[derive(Clone, Default, Debug)]
pub(crate) struct Tally {
    pub(crate) offered: u64,
    /// Offered and dropped, because too many were without acknowledgement.
    pub(crate) dropped: u64,
    pub(crate) acked: u64,
    /// Operations written again, after a reconnect or a retryable error.
    pub(crate) retried: u64,
    /// Acknowledged operations written again, and answered the same.
    pub(crate) repeated: u64,
    /// Retryable errors by code.
    pub(crate) refused: BTreeMap<String, u64>,
    pub(crate) resyncs: u64,
    pub(crate) connects: u64,
    /// Connections that the server closed.
    pub(crate) closed: u64,
}

/// What a command in flight was sent for.
#[derive(Debug)]
enum Asked {
    Hello,
    Op(u64),
    /// An operation that has this acknowledgement already.
    Repeat(Ack),
    Page(usize),
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.offered += other.offered;
        self.dropped += other.dropped;
        self.acked += other.acked;
        self.retried += other.retried;
        self.repeated += other.repeated;
        for (code, count) in &other.refused {
            *self.refused.entry(code.clone()).or_default() += count;
        }
        self.resyncs += other.resyncs;
        self.connects += other.connects;
        self.closed += other.closed;
    }
}

#[derive(Debug)]
enum Out {
    Text(String),
    Pong(Vec<u8>),
}

#[derive(Debug)]
struct State {
    random: Random,
    /// Unacknowledged operations by number.
    ops: BTreeMap<u64, Op>,
    /// Those of them that are not on their way, by the time before which they wait.
    unsent: BTreeSet<(Instant, u64)>,
    asked: HashMap<u64, Asked>,
    last_re: u64,
    /// To be written before anything else.
    urgent: Vec<Out>,
    online: bool,
    /// A room was not resumed: connect again.
    broken: bool,
    views: Vec<Option<View>>,
    targets: Vec<(usize, u64)>,
    lately: VecDeque<(Op, Ack)>,
    fresh: Vec<Ack>,
    wrong: Vec<String>,
    tally: Tally,
    /// When the next operation is due.
    due: Instant,
}

/// Everything that the two threads of a client share.
#[derive(Debug)]
struct Shared {
    index: usize,
    token: String,
    rooms: Arc<Vec<Room>>,
    /// Time between two operations.
    interval: Duration,
    numbers: Arc<AtomicU64>,
    orders: Arc<Mutex<Orders>>,
    state: Mutex<State>,
}

/// A running client.
#[derive(Debug)]
pub(crate) struct Client {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What a client is made from.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) index: usize,
    pub(crate) token: String,
    pub(crate) rooms: Arc<Vec<Room>>,
    pub(crate) interval: Duration,
    /// The next number of an operation, over all clients.
    pub(crate) numbers: Arc<AtomicU64>,
    pub(crate) orders: Arc<Mutex<Orders>>,
    pub(crate) random: Random,
}

impl Client {
    pub(crate) fn start(seat: Seat) -> Self {
        let Seat { index, token, rooms, interval, numbers, orders, random } = seat;
        let views = rooms.iter().map(|room| room.subscribers.contains(&index).then(View::default)).collect();
        let state = State {
            random,
            ops: BTreeMap::new(),
            unsent: BTreeSet::new(),
            asked: HashMap::new(),
            last_re: 0,
            urgent: Vec::new(),
            online: false,
            broken: false,
            views,
            targets: Vec::new(),
            lately: VecDeque::new(),
            fresh: Vec::new(),
            wrong: Vec::new(),
            tally: Tally::default(),
            due: Instant::now(),
        };
        let shared =
            Arc::new(Shared { index, token, rooms, interval, numbers, orders, state: Mutex::new(state) });
        let own = Arc::clone(&shared);
        Self { shared, thread: Some(std::thread::spawn(move || own.live())) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    /// Whether it is signed in.
    pub(crate) fn is_online(&self) -> bool {
        self.state().online
    }

    /// Number of operations without acknowledgement.
    pub(crate) fn unacked(&self) -> usize {
        self.state().ops.len()
    }

    /// Operations without acknowledgement.
    pub(crate) fn pending(&self) -> Vec<Op> {
        self.state().ops.values().cloned().collect()
    }

    /// Acknowledgements since the last call.
    pub(crate) fn take_acks(&self) -> Vec<Ack> {
        std::mem::take(&mut self.state().fresh)
    }

    /// What it found wrong by itself.
    pub(crate) fn wrong(&self) -> Vec<String> {
        self.state().wrong.clone()
    }

    pub(crate) fn tally(&self) -> Tally {
        self.state().tally.clone()
    }

    /// Calls `look` with its log of a room, if it subscribes to it.
    pub(crate) fn view<T>(&self, room: usize, look: impl FnOnce(&View) -> T) -> Option<T> {
        self.state().views[room].as_ref().map(look)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.orders.lock().unwrap_or_else(std::sync::PoisonError::into_inner).end = true;
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(std::thread::panicking() || ended.is_ok(), "a client panicked");
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no client panics with its state")
    }

    fn orders(&self) -> Orders {
        self.orders.lock().expect("no client panics with the orders").clone()
    }

    /// The writer's thread.
    fn live(self: Arc<Self>) {
        loop {
            let orders = self.orders();
            if orders.end {
                return;
            }
            let connected = orders.url.and_then(|url| client::connect(&url, TIMEOUT).ok());
            match connected {
                Some((sender, receiver)) => Arc::clone(&self).connected(sender, receiver),
                // Between two servers, or before one listens.
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    fn connected(self: Arc<Self>, mut sender: Sender, receiver: Receiver) {
        let lost = Arc::new(AtomicBool::new(false));
        let (own, tell) = (Arc::clone(&self), Arc::clone(&lost));
        let hello = self.state().hello(&self);
        let reader = std::thread::spawn(move || {
            own.read(receiver);
            tell.store(true, Ordering::Release);
        });
        let mut alive = sender.text(&hello).is_ok();
        while alive && !lost.load(Ordering::Acquire) {
            let orders = self.orders();
            if orders.end || self.state().broken {
                break;
            }
            let batch = self.state().batch(&self, orders.load);
            if batch.is_empty() {
                std::thread::sleep(Duration::from_millis(1));
            }
            alive = batch.iter().all(|out| match out {
                Out::Text(text) => sender.text(text).is_ok(),
                Out::Pong(payload) => sender.pong(payload).is_ok(),
            });
        }
        sender.shutdown();
        reader.join().expect("the reader found a frame that the protocol does not know");
        self.state().disconnected();
    }

    /// The reader's thread.
    fn read(&self, mut receiver: Receiver) {
        loop {
            match receiver.receive() {
                Ok(Incoming::Text(text)) => self.state().told(self, &Told::parse(&text)),
                Ok(Incoming::Ping(payload)) => self.state().urgent.push(Out::Pong(payload)),
                Ok(Incoming::Pong) => {}
                Ok(Incoming::Close(..)) => {
                    self.state().tally.closed += 1;
                    return;
                }
                Err(_) => return,
            }
        }
    }

    fn room_of(&self, told: &Told<'_>) -> Option<usize> {
        self.rooms.iter().position(|room| room.id == told.room())
    }
}

impl State {
    /// The first frame of a connection: signs in and resumes every subscription.
    fn hello(&mut self, client: &Shared) -> String {
        self.tally.connects += 1;
        let re = self.ask(Asked::Hello);
        let resume: Vec<String> = client
            .rooms
            .iter()
            .zip(&self.views)
            .filter_map(|(room, view)| {
                let (epoch, seq) = view.as_ref()?.cursor();
                let epoch = epoch.map(|epoch| format!(r#","epoch":{epoch}"#)).unwrap_or_default();
                Some(format!(r#"{{"room":"{}","seq":{seq}{epoch}}}"#, room.id))
            })
            .collect();
        format!(r#"{{"id":{re},"op":"hello","token":"{}","resume":[{}]}}"#, client.token, resume.join(","))
    }

    fn ask(&mut self, asked: Asked) -> u64 {
        self.last_re += 1;
        self.asked.insert(self.last_re, asked);
        self.last_re
    }

    /// The connection is gone: whatever had no answer must be asked again.
    fn disconnected(&mut self) {
        self.online = false;
        self.broken = false;
        self.asked.clear();
        self.urgent.clear();
        self.views.iter_mut().flatten().for_each(View::disconnected);
        let now = Instant::now();
        self.unsent = self.ops.keys().map(|number| (now, *number)).collect();
        self.tally.retried += self.ops.len() as u64;
    }

    /// What to write now.
    fn batch(&mut self, client: &Shared, load: bool) -> Vec<Out> {
        let mut out = std::mem::take(&mut self.urgent);
        self.offer(client, load);
        if !self.online {
            return out;
        }
        for room in 0..self.views.len() {
            let missing = self.views[room].as_mut().and_then(View::missing);
            if let Some((epoch, seq)) = missing {
                let re = self.ask(Asked::Page(room));
                let id = &client.rooms[room].id;
                out.push(Out::Text(format!(
                    r#"{{"id":{re},"op":"history","room":"{id}","epoch":{epoch},"after":{seq},"all":true,"limit":500}}"#
                )));
            }
        }
        let now = Instant::now();
        while out.len() < BATCH && self.asked.len() < IN_FLIGHT_MAX {
            let Some(&(at, number)) = self.unsent.first().filter(|(at, _)| *at <= now) else { break };
            self.unsent.remove(&(at, number));
            let re = self.ask(Asked::Op(number));
            out.push(Out::Text(self.ops[&number].command(client, re)));
        }
        out
    }

    /// Makes the operations whose time has come, whether or not the server keeps up.
    fn offer(&mut self, client: &Shared, load: bool) {
        let now = Instant::now();
        if !load {
            self.due = now;
            return;
        }
        while self.due <= now {
            self.due += client.interval;
            self.tally.offered += 1;
            if self.ops.len() >= UNACKED_MAX {
                self.tally.dropped += 1;
                continue;
            }
            let number = client.numbers.fetch_add(1, Ordering::Relaxed);
            let (room, what) = self.intend(client);
            let wall = SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_millis() as u64;
            let key = Key(uuid_v7(wall, self.random.ten_bytes())).to_string();
            self.ops.insert(number, Op { number, room, what, key, refusals: 0 });
            self.unsent.insert((now, number));
        }
    }

    /// Mostly a message; now and then a change of an own message that nothing else is about to change.
    fn intend(&mut self, client: &Shared) -> (usize, What) {
        let dice = self.random.below(100);
        if dice < 8 && !self.targets.is_empty() {
            let index = self.random.below(self.targets.len());
            let (room, target) = self.targets.swap_remove(index);
            return (room, if dice < 5 { What::Edit { target } } else { What::Delete { target } });
        }
        let mine: Vec<usize> = (0..client.rooms.len())
            .filter(|room| client.rooms[*room].members.contains(&client.index))
            .collect();
        (mine[self.random.below(mine.len())], What::Send)
    }

    fn told(&mut self, client: &Shared, told: &Told<'_>) {
        match &*told.ev {
            "ok" => self.ok(client, told),
            "error" => self.error(client, told),
            "subscribed" | "history" => {
                if told.ev == "history" {
                    self.asked.remove(&told.re.unwrap_or(0));
                }
                self.with_view(client, told, |view| {
                    if told.ev == "history" {
                        view.filled();
                    }
                    view.take_page(told)
                });
            }
            "resync" => {
                self.tally.resyncs += 1;
                self.with_view(client, told, |view| {
                    view.resync(told.span().1);
                    Ok(())
                });
            }
            "gap" => self.wrong.push(format!("client {}: {told:?}", client.index)),
            "typing" | "presence" | "read" | "delivered" | "draining" => {}
            _ => self.with_view(client, told, |view| view.take(told.seq(), told.print())),
        }
    }

    fn with_view(
        &mut self,
        client: &Shared,
        told: &Told<'_>,
        act: impl FnOnce(&mut View) -> Result<(), String>,
    ) {
        let room = client.room_of(told);
        let done = match room.and_then(|room| self.views[room].as_mut()) {
            Some(view) => act(view),
            None => Err("an event of a room that was not subscribed".to_owned()),
        };
        if let Err(what) = done {
            self.wrong.push(format!("client {}, room {room:?}: {what}: {told:?}", client.index));
        }
    }

    fn ok(&mut self, client: &Shared, told: &Told<'_>) {
        match self.asked.remove(&told.re.unwrap_or(0)) {
            Some(Asked::Hello) => {
                self.online = true;
                self.repeat(client);
            }
            Some(Asked::Op(number)) => {
                let Some(op) = self.ops.remove(&number) else { return };
                self.acked(client, op, told);
            }
            Some(Asked::Repeat(first)) => {
                if told.seq() == first.seq && told.n.unwrap_or(0) == first.n && told.message_id() == first.id
                {
                    self.tally.repeated += 1;
                } else {
                    self.wrong.push(format!("a repeated key was answered {told:?} after {first:?}"));
                }
            }
            Some(Asked::Page(_)) | None => {
                self.wrong.push(format!("client {}: unexpected {told:?}", client.index));
            }
        }
    }

    /// Asks for the operations acknowledged last again.
    fn repeat(&mut self, client: &Shared) {
        let lately = std::mem::take(&mut self.lately);
        for (op, ack) in &lately {
            let re = self.ask(Asked::Repeat(*ack));
            self.urgent.push(Out::Text(op.command(client, re)));
        }
        self.lately = lately;
    }

    fn acked(&mut self, client: &Shared, op: Op, told: &Told<'_>) {
        let ack = Ack {
            op: op.number,
            room: op.room,
            client: client.index,
            what: op.what,
            seq: told.seq(),
            n: told.n.unwrap_or(0),
            id: told.message_id(),
        };
        self.tally.acked += 1;
        if told.level.as_deref() != Some("local") {
            self.wrong.push(format!("an acknowledgement of another level: {told:?}"));
        }
        let print = match ack.what {
            What::Send => message_print(ack.id, ack.n),
            What::Edit { target } => edit_print(target),
            What::Delete { target } => delete_print(target),
        };
        if let Some(view) = &mut self.views[ack.room]
            && let Err(what) = view.take(ack.seq, print)
        {
            self.wrong.push(format!("client {}: {what}: own {ack:?}", client.index));
        }
        match ack.what {
            What::Send if self.targets.len() < TARGETS_MAX => self.targets.push((ack.room, ack.seq)),
            What::Edit { target } => self.targets.push((ack.room, target)),
            What::Send | What::Delete { .. } => {}
        }
        self.fresh.push(ack);
        self.lately.push_back((op, ack));
        if self.lately.len() > REPEATED {
            self.lately.pop_front();
        }
    }

    fn error(&mut self, client: &Shared, told: &Told<'_>) {
        let asked = self.asked.remove(&told.re.unwrap_or(0));
        if told.retryable != Some(true) {
            self.wrong.push(format!("client {}: {asked:?} was refused: {told:?}", client.index));
            return;
        }
        let code = told.code.as_deref().unwrap_or_default();
        match self.tally.refused.get_mut(code) {
            Some(count) => *count += 1,
            None => drop(self.tally.refused.insert(code.to_owned(), 1)),
        }
        match asked {
            Some(Asked::Op(number)) => {
                self.tally.retried += 1;
                let refusals = self.ops.get_mut(&number).map_or(0, |op| {
                    op.refusals += 1;
                    op.refusals
                });
                // Longer each time, as a good client does, so that what is refused does not come back all at once.
                let wait = told.retry_after_ms.unwrap_or(50).clamp(10, 1_000) << refusals.min(4);
                let wait = wait / 2 + self.random.within(0..wait / 2);
                self.unsent.insert((Instant::now() + Duration::from_millis(wait), number));
            }
            Some(Asked::Page(room)) => {
                if let Some(view) = &mut self.views[room] {
                    view.filled();
                }
            }
            // A repetition is not insisted on.
            Some(Asked::Repeat(_)) => {}
            Some(Asked::Hello) | None => self.broken = true,
        }
    }
}

impl Op {
    fn command(&self, client: &Shared, re: u64) -> String {
        let (room, key) = (&client.rooms[self.room].id, &self.key);
        let head = format!(r#"{{"id":{re},"room":"{room}","key":"{key}","#);
        match self.what {
            What::Send => {
                let text = sent_text(self.number, self.room, client.index);
                format!(r#"{head}"op":"send","text":"{text}"}}"#)
            }
            What::Edit { target } => {
                let text = edited_text(self.number, target);
                format!(r#"{head}"op":"edit","seq":{target},"text":"{text}"}}"#)
            }
            What::Delete { target } => format!(r#"{head}"op":"delete","seq":{target}}}"#),
        }
    }
}
