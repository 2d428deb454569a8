//! The store bridge: stores on threads of their own, embedded or outside, so that no shard ever waits for them.
//!
//! Two threads, and a third one now and then that gives back space of the embedded log:
//! - **store** answers requests of shards: relational changes and reads, reads of the message log, joined with records that journals still
//!   hold. Shards take turns. Requests to an outside store are under way side by side, and are refused at once while it is known to be away.
//! - **store-drain** moves journals into the message log, in batches, and tells shards how far each journal is.
//!
//! Why two: an append to fjall waits for its sync and, now and then, for a flush or compaction. On one thread a page
//! read would wait behind it; `perf-reports` has the measurement. fjall lets others read during an append, the journal
//! reader is shared under a lock that is never held during one. The relational changes stay with the reads: they are rare. An outside
//! message log has connections of its own on each thread, so that a page does not wait behind the rows of an append.
//!
//! Thread: [`StoreBridge`] belongs to whoever composes the server, each [`StorePort`] to its shard.
//!
//! Invariants: exactly one reply per request. A drain position is told to a shard after the rows are durable, never
//! before; a position that does not fit its queue is told later, together with newer ones.
//!
//! Limits: [`StoreOptions`]. What can fail: the disk, seen as `Unavailable` by shards, as
//! [`Health`](lynk_bridge::Health) by the operator, and tried again.

#![forbid(unsafe_code)]

mod drain;
mod notices;
mod requests;
mod snapshot;
mod tap;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use lynk_bridge::{BridgeThread, Circuit, Desks, Health, Wake, spawn};
use lynk_domain::Lsn;
use lynk_embedded::MessageLog;
use lynk_journal::{Disk, Drainer, SharedReader};
use lynk_mailbox::{Consumer, Doorbell, Producer};
use lynk_model::port::{Files, LastFault, MessageStore, RoomStore};
use lynk_model::{RequestId, SourceId, StoreReply, StoreRequest};
use lynk_telemetry::Board;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

pub use snapshot::{DrainSnapshot, RequestSnapshot, StoreHealth};
pub use tap::{Holding, RequestsHeld, Tap, TapEnded, Tee, Teed};

/// How the bridge works.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Requests that a shard may have waiting, and replies that may wait for it. Not below the engine's limit of
    /// requests in flight.
    pub requests_per_shard_max: usize,
    /// Requests that may be under way at a time, over all shards; further ones wait in their mailboxes.
    pub in_flight_max: usize,
    /// Pause after everything that there was is moved: collects records, since a batch costs a sync whatever its size.
    pub drain_pause: Duration,
    /// Time that [`StoreBridge::finish`] gives the drainer to move what is committed.
    pub final_drain: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            requests_per_shard_max: 1_024,
            in_flight_max: 256,
            drain_pause: Duration::from_millis(250),
            final_drain: Duration::from_secs(5),
        }
    }
}

/// What the bridge takes over.
pub struct StoreParts<D: Disk, M, R> {
    /// The message log, for reading.
    pub messages: Store<M>,
    /// The message log, for draining: embedded, a clone of the other; outside, one with connections of its own.
    pub drained: Store<M>,
    /// The embedded log, when that is what `messages` is.
    pub embedded: Option<MessageLog>,
    /// The relational side; it runs where `messages` does.
    pub rooms: R,
    /// Whether the relational side is outside of this process.
    pub rooms_outside: bool,
    /// Is told the folded form of each name that a room got. Called on the bridge's thread, so it must not block.
    pub named: Named,
    /// Who keeps the files of messages.
    pub files: Arc<dyn Files>,
    /// Reads journals; others may have a share of it.
    pub reader: SharedReader<D>,
    /// Moves them.
    pub drainer: Drainer,
    /// The disk that the journals are on.
    pub disk: D,
    /// The journal that each shard writes, in shard order. Earlier journals concern every shard, these their own.
    pub live: Vec<SourceId>,
}

/// Hears of folded names.
pub type Named = Box<dyn Fn(&str) + Send>;

/// A store with the runtime that its connections live on.
pub struct Store<M> {
    /// The store.
    pub store: M,
    /// A runtime of one thread, with time enabled, and whatever the store needs.
    pub runtime: Runtime,
}

/// A shard's end of the bridge.
pub struct StorePort {
    /// Requests to the store. A full queue means that the budget is used up.
    pub requests: Producer<(RequestId, StoreRequest)>,
    /// Its answers, one per request, in any order.
    pub replies: Consumer<(RequestId, StoreReply)>,
    /// How far each journal is drained.
    pub drained: Consumer<(SourceId, Lsn)>,
    /// The bridge's doorbell, to be rung with `wake` after a batch of requests.
    pub bell: Doorbell,
    /// Wakes the bridge.
    pub wake: Wake,
}

/// The running bridge.
pub struct StoreBridge {
    requests: BridgeThread,
    requests_woken: Arc<Notify>,
    drain: BridgeThread,
    drain_woken: Arc<Notify>,
    health: StoreHealth,
    request_board: Board<RequestSnapshot>,
    drain_board: Board<DrainSnapshot>,
    tap: Option<Tap>,
}

impl StoreBridge {
    /// Starts both threads. `wakes[i]` wakes shard i; the ports come back in the same order.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    ///
    /// # Panics
    /// When `wakes` and `parts.live` do not have one entry per shard.
    pub fn start<D, M, R>(
        parts: StoreParts<D, M, R>,
        wakes: Vec<Wake>,
        options: &StoreOptions,
    ) -> io::Result<(Self, Vec<StorePort>)>
    where
        D: Disk + Send + 'static,
        D::File: Send + 'static,
        M: MessageStore + LastFault + Clone + Send + 'static,
        R: RoomStore + LastFault + Clone + Send + 'static,
    {
        assert_eq!(wakes.len(), parts.live.len(), "one waker and one journal per shard");
        let StoreParts {
            messages,
            drained,
            embedded,
            rooms,
            rooms_outside,
            named,
            files,
            reader,
            drainer,
            disk,
            live,
        } = parts;
        let health = StoreHealth::default();
        let (request_board, drain_board) = (Board::default(), Board::default());

        let requests_woken = Arc::new(Notify::new());
        let drain_woken = Arc::new(Notify::new());
        let (tap, tap_ends) = Tap::new(reader.clone(), Arc::clone(&drain_woken), Arc::clone(&requests_woken));
        let woken = Arc::clone(&requests_woken);
        let mut desks = Desks::new(Arc::new(move || woken.notify_one()));
        let (mut notices, mut ports) = (notices::Notices::new(live), Vec::new());
        for wake in wakes {
            let drained = notices.open(Arc::clone(&wake));
            let port = desks.open(options.requests_per_shard_max, wake);
            ports.push(StorePort {
                requests: port.requests,
                replies: port.replies,
                drained,
                bell: port.bell,
                wake: port.wake,
            });
        }
        let circuit = |outside: bool| outside.then(Circuit::default);
        let mut answering = requests::Answering {
            desks,
            woken: Arc::clone(&requests_woken),
            holds: tap_ends.requests,
            messages: messages.store,
            rooms,
            named,
            files,
            records: reader.clone(),
            in_flight_max: options.in_flight_max.max(1),
            circuits: requests::Circuits {
                messages: circuit(embedded.is_none()),
                rooms: circuit(rooms_outside),
            },
            health: health.clone(),
            counts: RequestSnapshot::default(),
            board: request_board.clone(),
        };
        let mut draining = drain::Draining {
            drainer,
            messages: drained.store,
            embedded,
            woken: Arc::clone(&drain_woken),
            wishes: tap_ends.drain,
            tee: tap::TeeEnd::default(),
            disk,
            reader,
            notices,
            health: health.drain.clone(),
            counts: DrainSnapshot::default(),
            board: drain_board.clone(),
            pause: options.drain_pause,
            round: 0,
            final_drain: options.final_drain,
            stuck: false,
        };
        let drain = spawn("store-drain", move |stop| draining.run(&drained.runtime, stop))?;
        let requests = spawn("store", move |stop| answering.run(&messages.runtime, stop))?;
        let tap = Some(tap);
        let bridge =
            Self { requests, requests_woken, drain, drain_woken, health, request_board, drain_board, tap };
        Ok((bridge, ports))
    }

    /// The tap on the drain, once: there is one copy at a time.
    pub fn take_tap(&mut self) -> Option<Tap> {
        self.tap.take()
    }

    /// Health of each part, for `/readyz`.
    #[must_use]
    pub fn health(&self) -> &StoreHealth {
        &self.health
    }

    /// Numbers of the thread that answers requests, at most a second old.
    #[must_use]
    pub fn request_board(&self) -> &Board<RequestSnapshot> {
        &self.request_board
    }

    /// Numbers of the draining thread, at most a second old.
    #[must_use]
    pub fn drain_board(&self) -> &Board<DrainSnapshot> {
        &self.drain_board
    }

    /// Ends the bridge: answers what waits, drains what is committed within [`StoreOptions::final_drain`], flushes the
    /// message log, and waits for both threads. Call it after the shards have ended.
    pub fn finish(self) {
        self.requests.stop();
        self.requests_woken.notify_one();
        self.drain.stop();
        self.drain_woken.notify_one();
        self.requests.join();
        self.drain.join();
    }
}

/// Tells the log about a change of health, and only about that.
pub(crate) fn failed(part: &'static str, health: &Health, kind: &'static str, detail: &str) {
    if health.fail(kind, detail) == lynk_bridge::Turned::Bad {
        tracing::warn!(event = "store_degraded", part, kind, detail, "store degraded");
    }
}

/// See [`failed`].
pub(crate) fn succeeded(part: &'static str, health: &Health) {
    if let lynk_bridge::Turned::Good(after) = health.succeed() {
        tracing::info!(event = "store_recovered", part, seconds = after.as_secs(), "store works again");
    }
}
