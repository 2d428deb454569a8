//! What the outside holds of a running shard.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use lynk_domain::{Nanos, ShardId};
use lynk_telemetry::Board;

use crate::counters::ShardSnapshot;
use crate::wake::Waker;

/// What the operator wants, and how far the shard is. Written and read by different threads; nothing depends on their
/// order but the flags themselves.
#[derive(Default)]
pub(crate) struct Control {
    /// Deadline of the drain in nanoseconds of the monotonic clock; 0 while there is none.
    pub(crate) drain_until: AtomicU64,
    pub(crate) stop: AtomicBool,
    pub(crate) listening: AtomicBool,
    pub(crate) drained: AtomicBool,
    /// When the turn began that the shard is in, in nanoseconds of the monotonic clock; 0 while it sleeps.
    pub(crate) turn_since: AtomicU64,
}

/// A look at whether a shard's loop goes round, for a thread that watches over it.
#[derive(Clone)]
pub struct Pulse(Arc<Control>);

impl Pulse {
    /// That of no shard: one that sleeps. For tests of those who watch.
    #[must_use]
    pub fn asleep() -> Self {
        Self::of_turn_since(Nanos(0))
    }

    /// That of no shard: one whose turn began at `since`. For tests of those who watch.
    #[must_use]
    pub fn of_turn_since(since: Nanos) -> Self {
        Self(Arc::new(Control { turn_since: AtomicU64::new(since.0), ..Control::default() }))
    }

    /// Nanoseconds that the shard has been inside one turn at `now` (see [`crate::monotonic_now`]); 0 while it sleeps.
    #[must_use]
    pub fn in_turn_nanos(&self, now: Nanos) -> u64 {
        match self.0.turn_since.load(Ordering::Relaxed) {
            0 => 0,
            since => now.since(Nanos(since)),
        }
    }
}

/// A running shard. Dropping the handle does not stop it.
pub struct ShardHandle {
    pub(crate) shard: ShardId,
    pub(crate) control: Arc<Control>,
    pub(crate) waker: Waker,
    pub(crate) board: Board<ShardSnapshot>,
    pub(crate) thread: JoinHandle<()>,
}

impl ShardHandle {
    /// Which shard.
    #[must_use]
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// Whether it accepts connections.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.control.listening.load(Ordering::Acquire)
    }

    /// Stops accepting and closes all connections, spread over the time until `deadline` (see
    /// [`crate::monotonic_now`]). Connections that wait to be accepted are answered 503 first.
    pub fn drain(&self, deadline: Nanos) {
        self.control.drain_until.store(deadline.0.max(1), Ordering::Release);
        self.waker.wake();
    }

    /// Whether a drain is done: every connection is told, and nothing waits for the journal. The shard goes on answering
    /// other shards.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.control.drained.load(Ordering::Acquire)
    }

    /// Ends the thread: closes what is open and waits for the batch that is being written. What was not acknowledged may
    /// be lost. Call it when every shard is drained.
    pub fn stop(&self) {
        self.control.stop.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Whether the thread has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the thread to end.
    ///
    /// # Errors
    /// The panic that ended it.
    pub fn join(self) -> std::thread::Result<()> {
        self.thread.join()
    }

    /// Whether its loop goes round, for a thread that watches over it.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        Pulse(Arc::clone(&self.control))
    }

    /// The numbers of the last publication.
    #[must_use]
    pub fn snapshot(&self) -> ShardSnapshot {
        self.board.read()
    }

    /// The board that the shard publishes to, for a thread that only reads numbers.
    #[must_use]
    pub fn board(&self) -> Board<ShardSnapshot> {
        self.board.clone()
    }
}
