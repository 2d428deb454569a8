//! The loop of one shard.
//!
//! Thread: the shard's own; it blocks only in [`Driver::turn`]. Everything here is bookkeeping between four parties: the
//! driver (bytes), connections (protocol), the chat (decisions), and mail (other threads).

mod accept;
mod effects;
mod input;
mod output;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lynk_connection::{QueueLevel, TurnQueue};
use lynk_domain::{Nanos, Now, ShardId, Wheel};
use lynk_engine::{Effects, Input, JournalState, Mail, TicketAsk};
use lynk_mailbox::Sleeper;
use lynk_model::{RequestId, StoreReply};
use lynk_protocol::CloseCode;
use lynk_ring::Wait;
use lynk_telemetry::Board;

use crate::api::Api;
use crate::chat::Chat;
use crate::clock::{Clock, monotonic_now};
use crate::config::Config;
use crate::counters::{ReactorCounters, ShardSnapshot};
use crate::driver::{Driver, Event, LISTENER_TOKENS};
use crate::handle::Control;
use crate::journal::Journal;
use crate::note::note;
use crate::peers::{Peer, Peers};
use crate::plan::ShardSpec;
use crate::presence::Presence;
use crate::stall::{Part, StallDetector};
use crate::store::Store;
use crate::table::Table;

/// Granule of connection timers: one round of the wheel is longer than a heartbeat, so each entry is looked at once.
const TIMER_NANOS: u64 = 50 * Nanos::MILLISECOND;
/// How long answers wait for a full mailbox before the shard looks again.
const MAILBOX_RETRY_NANOS: u64 = Nanos::MILLISECOND;

/// What a shard is made from, apart from its driver.
pub(crate) struct Parts<C> {
    pub(crate) shard: ShardId,
    pub(crate) sleeper: Sleeper,
    pub(crate) peers: Vec<Peer>,
    pub(crate) spec: ShardSpec<C>,
    pub(crate) control: Arc<Control>,
    pub(crate) board: Board<ShardSnapshot>,
}

/// Something that the chat must hear of, noticed while its effects are carried out.
enum Pending {
    Queue(u32, QueueLevel),
    Closed(u32),
    Refused(ShardId, Mail),
    Journal(JournalState),
    Answered(RequestId, StoreReply),
    TicketRefused(TicketAsk),
}

/// A listener, and when to try again after it had to pause.
struct Listener<F> {
    file: F,
    again_at: Option<Nanos>,
}

pub(crate) struct Shard<D: Driver, C> {
    shard: ShardId,
    driver: D,
    chat: C,
    config: Config,
    clock: Clock,
    now: Now,
    effects: Effects,
    pending: VecDeque<Pending>,
    table: Table<D::File>,
    /// Connections of trusted proxies that have not said who their clients are, with the proxy's address. The chat does
    /// not know them yet. No more than there may be half-open ones.
    proxied: BTreeMap<u32, IpAddr>,
    /// Clients behind proxies whose request head is not complete.
    clients: BTreeMap<u32, IpAddr>,
    listeners: Vec<Listener<D::File>>,
    queue: TurnQueue,
    /// Connections to settle once this turn's sends are done.
    touched: Vec<u32>,
    /// Bytes of this turn's fast-path sends, and of these, what the kernel did not take. A send that takes everything
    /// is silent, so they are counted together when the turn's sends are done.
    planned_bytes: u64,
    unsent_bytes: u64,
    wheel: Wheel<u32>,
    due: Vec<u32>,
    /// Connections to read from.
    ready: Vec<u32>,
    reading: Vec<u32>,
    buffer: Box<[u8]>,
    events: Vec<Event>,
    peers: Peers,
    store: Store,
    api: Api,
    presence: Presence,
    journal: Journal,
    sleeper: Sleeper,
    stall: StallDetector,
    counters: ReactorCounters,
    half_open: u32,
    /// There is more to do without waiting.
    more: bool,
    control: Arc<Control>,
    board: Board<ShardSnapshot>,
    publish_at: Nanos,
    /// Whether anything happened since the last publication.
    unpublished: bool,
    on_fatal: Option<Box<dyn FnOnce(ShardId, lynk_journal::Fatal) + Send>>,
    draining: bool,
    /// When a stopped shard ends, whatever is still open.
    stop_at: Option<Nanos>,
    failed: bool,
}

impl<D: Driver, C: Chat> Shard<D, C> {
    /// A shard that listens.
    pub(crate) fn new(mut driver: D, parts: Parts<C>) -> io::Result<Self> {
        let Parts { shard, sleeper, peers, mut spec, control, board } = parts;
        spec.config.connection.requests = spec.api.is_some();
        let mut clock = Clock::new();
        let (now, _) = clock.read();
        assert!(spec.listeners.len() <= 0x80, "far fewer listeners than tokens");
        let mut listeners = Vec::new();
        for (listener, token) in spec.listeners.into_iter().zip(LISTENER_TOKENS..) {
            listener.set_nonblocking(true)?;
            let file = driver.attach(listener.into(), token)?;
            driver.listen(file);
            listeners.push(Listener { file, again_at: None });
        }
        control.listening.store(!listeners.is_empty(), Ordering::Release);
        Ok(Self {
            shard,
            driver,
            chat: spec.chat,
            clock,
            now,
            effects: Effects::default(),
            pending: VecDeque::new(),
            table: Table::new(),
            proxied: BTreeMap::new(),
            clients: BTreeMap::new(),
            listeners,
            queue: TurnQueue::new(),
            touched: Vec::new(),
            planned_bytes: 0,
            unsent_bytes: 0,
            wheel: Wheel::new(now.mono, TIMER_NANOS),
            due: Vec::new(),
            ready: Vec::new(),
            reading: Vec::new(),
            buffer: vec![0; spec.config.receive_bytes].into(),
            events: Vec::new(),
            peers: Peers::new(peers),
            store: Store::new(spec.store),
            api: Api::new(spec.api),
            presence: Presence::new(spec.presence),
            journal: Journal::new(spec.journal.writer, spec.journal.supply),
            sleeper,
            stall: StallDetector::new(shard, spec.config.stall_nanos),
            counters: ReactorCounters::default(),
            half_open: 0,
            more: true,
            control,
            board,
            publish_at: now.mono,
            unpublished: true,
            on_fatal: Some(spec.on_fatal),
            draining: false,
            stop_at: None,
            failed: false,
            config: spec.config,
        })
    }

    /// Runs until it is stopped.
    pub(crate) fn run(mut self) {
        while !self.is_over() {
            self.wait();
            self.turn();
        }
        self.publish();
    }

    fn is_over(&self) -> bool {
        let idle = self.table.len() == 0 && self.journal.is_idle();
        self.failed || self.stop_at.is_some_and(|at| idle || self.now.mono >= at)
    }

    /// Submits the turn, and sleeps when there is nothing to do.
    fn wait(&mut self) {
        note(self.shard, "wait");
        let wait = self.how_long();
        let (peers, store, api) = (&mut self.peers, &mut self.store, &mut self.api);
        let has_mail = || peers.has_mail() || store.has_mail() || api.has_mail();
        let asleep = wait != Wait::No && self.sleeper.may_sleep(has_mail);
        if asleep {
            self.end_turn(monotonic_now());
            self.driver.turn(wait, &mut self.events);
            self.sleeper.wake_up();
        } else {
            // Under io_uring this call carries out the sends; what it takes is time of the turn.
            self.driver.turn(Wait::No, &mut self.events);
            let end = monotonic_now();
            self.stall.part(end, Part::Submit);
            self.end_turn(end);
        }
    }

    fn end_turn(&mut self, end: Nanos) {
        self.stall.end(end);
        // Only whether it moves is of interest, so no ordering is needed.
        self.control.turn_since.store(0, Ordering::Relaxed);
    }

    fn how_long(&mut self) -> Wait {
        if std::mem::take(&mut self.more) || !self.ready.is_empty() || !self.queue.is_empty() {
            return Wait::No;
        }
        let now = monotonic_now();
        let retry = (self.peers.waiting() > 0).then(|| now.after(MAILBOX_RETRY_NANOS));
        let listeners = self.listeners.iter().filter_map(|listener| listener.again_at).min();
        let deadlines = [
            self.wheel.next_deadline(),
            self.chat.next_deadline(),
            self.journal.next_deadline(),
            self.unpublished.then_some(self.publish_at),
            self.stop_at,
            listeners,
            retry,
        ];
        match deadlines.into_iter().flatten().min() {
            None => Wait::Event,
            Some(at) if at <= now => Wait::No,
            Some(at) => Wait::For(Duration::from_nanos(at.since(now))),
        }
    }

    fn turn(&mut self) {
        self.read_clock();
        self.stall.begin(self.now.mono);
        self.control.turn_since.store(self.now.mono.0, Ordering::Relaxed);
        self.counters.turns += 1;
        self.finish_sends();
        self.take_events();
        self.stall.part(monotonic_now(), Part::Completions);
        self.take_mail();
        self.follow_control();
        self.stall.part(monotonic_now(), Part::Mail);
        self.fire_timers();
        self.stall.part(monotonic_now(), Part::Timers);
        self.read_ready();
        self.stall.part(monotonic_now(), Part::Reads);
        self.flush();
        self.stall.part(monotonic_now(), Part::Flush);
        self.write_journal();
        self.plan_sends();
        self.ring_bells();
        let end = monotonic_now();
        self.stall.part(end, Part::Sends);
        if end >= self.publish_at && self.unpublished {
            self.publish();
        }
    }

    fn read_clock(&mut self) {
        let (now, jump) = self.clock.read();
        self.now = now;
        if let Some(jump) = jump {
            self.counters.clock_jumps += 1;
            tracing::warn!(
                event = "clock_jump",
                shard = self.shard.0,
                jump_ms = jump.millis,
                "the wall clock was set; times of messages never go back, so they may stand still for a while"
            );
        }
    }

    /// Mail of other shards, of the store and of the API bridge; as much of it as one turn takes.
    fn take_mail(&mut self) {
        self.journal.supply();
        let mut left = self.config.mail_per_turn;
        while left > 0 {
            let Some((from, mail)) = self.peers.take() else { break };
            left -= 1;
            self.give(Input::Mail { from, mail });
        }
        self.more |= left == 0;
        let mut left = self.config.mail_per_turn;
        while left > 0 {
            let Some((id, reply)) = self.store.take_reply() else { break };
            left -= 1;
            self.give(Input::Reply { id, reply });
        }
        self.more |= left == 0;
        let mut left = self.config.mail_per_turn;
        while left > 0 {
            let Some(input) = self.api.take() else { break };
            left -= 1;
            self.give(Input::Api(input));
        }
        self.more |= left == 0;
        while let Some((source, lsn)) = self.store.take_drained() {
            self.give(Input::Drained { source, lsn });
        }
    }

    /// What the operator wants.
    fn follow_control(&mut self) {
        let until = self.control.drain_until.load(Ordering::Acquire);
        if until != 0 && !self.draining {
            self.draining = true;
            self.config.connection.draining = true;
            self.stop_listening();
            self.give(Input::Drain { deadline: Nanos(until) });
        }
        if self.stop_at.is_none() && self.control.stop.load(Ordering::Acquire) {
            self.stop_at = Some(self.now.mono.after(self.config.stop_nanos));
            self.stop_listening();
            for slot in self.table.slots() {
                if let Some(entry) = self.table.get(slot) {
                    entry.connection.close(self.now.mono, &self.config.connection, CloseCode::Shutdown);
                    self.settle(slot);
                }
            }
            self.carry_out();
        }
    }

    fn fire_timers(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.fire(self.now.mono, &mut due);
        for slot in due.drain(..) {
            if let Some(entry) = self.table.get(slot).filter(|entry| !entry.leaving) {
                entry.connection.on_deadline(self.now.mono, &self.config.connection);
                self.settle(slot);
            }
        }
        self.due = due;
        self.carry_out();
        self.resume_listeners();
        if self.chat.next_deadline().is_some_and(|deadline| deadline <= self.now.mono) {
            self.give(Input::Deadline);
        }
    }

    fn flush(&mut self) {
        self.give(Input::Flush);
    }

    fn write_journal(&mut self) {
        note(self.shard, "journal");
        if let Some(op) = self.journal.next_write(self.now.mono) {
            self.driver.write(op);
        }
        // A batch may have taken the spare segment.
        self.journal.supply();
        self.tell_journal_state();
    }

    fn tell_journal_state(&mut self) {
        if let Some(state) = self.journal.news() {
            self.give(Input::Journal(state));
        }
    }

    fn ring_bells(&mut self) {
        let (driver, counters) = (&mut self.driver, &mut self.counters);
        self.peers.ring(|shard| {
            counters.wakes += 1;
            driver.wake(shard);
        });
        counters.mail_waiting_max = counters.mail_waiting_max.max(self.peers.waiting() as u64);
        self.store.ring();
        self.api.ring();
        self.presence.ring();
    }

    fn publish(&mut self) {
        let driver = self.driver.counters();
        let counters = &mut self.counters;
        counters.waits = driver.waits;
        counters.ring_pressure = driver.pressure;
        counters.wakes_failed = driver.wakes_failed;
        counters.connections = u64::from(self.table.len());
        counters.half_open = u64::from(self.half_open);
        counters.store_in_flight = self.store.in_flight();
        counters.stalls = self.stall.stalls;
        counters.turn_nanos_max = self.stall.turn_nanos_max;
        let (chat, journal, stall) = (&self.chat, &self.journal, &self.stall);
        let published = self.board.publish(|copy| {
            copy.reactor.clone_from(counters);
            copy.engine.clone_from(chat.counters());
            copy.journal = journal.counts();
            copy.journal_sync.clone_from(journal.synced());
            copy.turns.clone_from(&stall.turns);
        });
        self.unpublished = !published;
        self.publish_at = self.now.mono.after(self.config.publish_nanos);
    }
}
