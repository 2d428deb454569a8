//! The mirror of presence: shards say who came and went, this bridge tells a store that other processes read.
//!
//! Thread: `presence`, one. It waits for the store; nobody waits for it. [`Online`] is the reader's side, for any thread.
//!
//! Invariants: at most one call in [`PACE`], with at most [`PRESENCE_PER_CALL_MAX`] changes, the latest one of each user. What came and went is
//! told before what only holds its lease. A process that ends takes its users out; one that is killed leaves them to their leases.
//!
//! Limits: [`NEWS_MAX`] news of one shard that were not taken, [`CHANGES_MAX`] changes that wait, [`TOLD_MAX`] users. **Lost when full**: the news;
//! they are counted. Who is online is told again by the next round, who went runs out. Calls that fail are not repeated, for the same reason:
//! of all that a server does, this is what it leaves out first.
//!
//! What can fail: starting the thread; later the store, call by call.

#![forbid(unsafe_code)]

mod counts;
mod mirror;
mod online;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lynk_bridge::{BridgeThread, Wake, spawn};
use lynk_domain::Now;
use lynk_engine::PresenceNews;
use lynk_mailbox::{Consumer, Doorbell, Producer, Sleeper, channel, sleeper};
use lynk_model::port::{Ephemeral, PRESENCE_PER_CALL_MAX, Seen};

pub use counts::PresenceCounts;
pub use mirror::{CHANGES_MAX, TOLD_MAX};
pub use online::Online;

use mirror::Mirror;

/// Least time between two calls: 16 in a second.
pub const PACE: Duration = Duration::from_millis(62);
/// News of one shard that the bridge has not taken.
pub const NEWS_MAX: usize = 4_096;
/// Parts of a lease that one round of who stays may take: two may fail before the lease ends.
const ROUNDS_PER_LEASE: u64 = 3;
/// Time to take the users out when the process ends.
const END_TIME: Duration = Duration::from_secs(2);

/// The time.
pub type Clock = Arc<dyn Fn() -> Now + Send + Sync>;

/// What a shard holds of the bridge. The fields are open so that a reactor can hold them in its own form.
pub struct ShardPort {
    /// Who came, stays, went.
    pub news: Producer<PresenceNews>,
    /// The bridge's doorbell, to be rung with `wake` after a batch.
    pub bell: Doorbell,
    /// Wakes the bridge.
    pub wake: Wake,
}

/// How often shards are to tell who stays, in milliseconds, when a lease is so long.
#[must_use]
pub fn round_millis(lease_millis: u64) -> u64 {
    lease_millis / ROUNDS_PER_LEASE
}

/// The running bridge.
#[derive(Debug)]
pub struct PresenceBridge {
    thread: BridgeThread,
    counts: Arc<PresenceCounts>,
}

impl PresenceBridge {
    /// Starts the thread, and makes a port for each of `shard_count` shards. What is told lives for `lease_millis`.
    ///
    /// # Errors
    /// No thread.
    pub fn start(
        shard_count: u16,
        store: Arc<dyn Ephemeral>,
        clock: Clock,
        lease_millis: u64,
    ) -> io::Result<(Self, Vec<ShardPort>)> {
        let (sleeper, bell) = sleeper();
        let (producers, news): (Vec<_>, Vec<_>) = (0..shard_count).map(|_| channel(NEWS_MAX)).unzip();
        let counts = Arc::<PresenceCounts>::default();
        let mut work = Work {
            news,
            sleeper,
            store,
            clock,
            lease_millis,
            mirror: Mirror::default(),
            counts: Arc::clone(&counts),
        };
        let thread = spawn("presence", move |stop| work.run(stop))?;
        let handle = thread.thread().clone();
        let wake: Wake = Arc::new(move || handle.unpark());
        let port = |news| ShardPort { news, bell: bell.clone(), wake: Arc::clone(&wake) };
        let ports = producers.into_iter().map(port).collect();
        Ok((Self { thread, counts }, ports))
    }

    /// What the bridge counts.
    #[must_use]
    pub fn counts(&self) -> Arc<PresenceCounts> {
        Arc::clone(&self.counts)
    }

    /// Takes the users out and ends the thread. Call it when the shards have ended, and before the store does.
    pub fn finish(self) {
        self.thread.stop();
        self.thread.join();
    }
}

struct Work {
    news: Vec<Consumer<PresenceNews>>,
    sleeper: Sleeper,
    store: Arc<dyn Ephemeral>,
    clock: Clock,
    lease_millis: u64,
    mirror: Mirror,
    counts: Arc<PresenceCounts>,
}

impl Work {
    fn run(&mut self, stop: &AtomicBool) {
        let mut next_call = Instant::now();
        loop {
            // Looked at before the mail: what was posted before the end is told with it.
            let ends = stop.load(Ordering::Acquire);
            self.take();
            if ends {
                return self.take_out();
            }
            let left = next_call.saturating_duration_since(Instant::now());
            if self.mirror.waits() && left.is_zero() {
                let now = (self.clock)();
                let seen = self.mirror.next(now.mono, self.lease_millis);
                self.tell(now, seen);
                next_call = Instant::now() + PACE;
                continue;
            }
            let news = &mut self.news;
            if !self.sleeper.may_sleep(|| news.iter_mut().any(|one| !one.is_empty())) {
                continue;
            }
            if self.mirror.waits() {
                std::thread::park_timeout(left);
            } else {
                std::thread::park();
            }
            self.sleeper.wake_up();
        }
    }

    fn take(&mut self) {
        for news in &mut self.news {
            while let Some(one) = news.take() {
                if !self.mirror.note(one) {
                    self.counts.dropped(1);
                }
            }
        }
    }

    fn tell(&self, now: Now, seen: Vec<Seen>) {
        if seen.is_empty() {
            return;
        }
        let count = seen.len() as u64;
        // The store answers in a time of its own, or says at once that it is away.
        let told = pollster::block_on(self.store.mirror_presence(now, seen, self.lease_millis));
        self.counts.told(count, told.is_ok());
    }

    /// The process ends: nobody is online here any more.
    fn take_out(&mut self) {
        let until = Instant::now() + END_TIME;
        let all = self.mirror.everybody();
        for users in all.chunks(PRESENCE_PER_CALL_MAX) {
            if Instant::now() >= until {
                self.counts.dropped(users.len() as u64);
                continue;
            }
            let seen = users.iter().map(|user| Seen { user: *user, online: false }).collect();
            self.tell((self.clock)(), seen);
        }
    }
}

#[cfg(test)]
mod tests;
