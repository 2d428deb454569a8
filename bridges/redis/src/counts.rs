//! What the bridge counts. Written by callers and by the thread, read by a scrape.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lynk_bridge::Health;
use lynk_telemetry::{Histogram, Metric, Snapshot};

/// What became of a call, in the order of the metric's label.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// It was answered.
    Done,
    /// The server refused it.
    Refused,
    /// Redis was away, and it was not sent.
    Away,
    /// It was sent and has no answer.
    Unknown,
    /// There was no room for it.
    Shed,
}

/// Totals since the start, a gauge, and whether Redis works.
#[derive(Debug, Default)]
pub struct RedisCounts {
    /// The connection, and what it may do.
    pub health: Health,
    calls: [AtomicU64; 5],
    /// Good, and bad.
    connects: [AtomicU64; 2],
    in_flight: AtomicU64,
    seconds: Mutex<Histogram>,
}

impl RedisCounts {
    pub(crate) fn called(&self, outcome: Outcome) {
        self.calls[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn connected(&self, good: bool) {
        self.connects[usize::from(!good)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn taken(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn answered(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn took(&self, time: Duration) {
        if let Ok(mut seconds) = self.seconds.lock() {
            seconds.record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    /// Calls that were answered so far.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.calls[Outcome::Done as usize].load(Ordering::Relaxed)
    }

    /// Adds the numbers to a scrape.
    pub fn add_to(&self, snapshot: &mut Snapshot) {
        for (metric, counts) in
            [(Metric::RedisCalls, &self.calls[..]), (Metric::RedisConnects, &self.connects[..])]
        {
            for (index, count) in counts.iter().enumerate() {
                snapshot.add_at(metric, index, count.load(Ordering::Relaxed));
            }
        }
        snapshot.add(Metric::RedisInFlight, self.in_flight.load(Ordering::Relaxed));
        snapshot.add(Metric::RedisDegraded, u64::from(self.health.report().degraded.is_some()));
        if let Ok(seconds) = self.seconds.lock() {
            snapshot.merge(Metric::RedisSeconds, &seconds);
        }
    }
}
