//! What is counted of messages. Written by the tasks that send and by calls of the carrier, read by a scrape.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lynk_auth::SmsError;
use lynk_bridge::Health;
use lynk_telemetry::{Histogram, Metric, Snapshot};

use crate::Cause;

/// Why a message is offered again, in the order of the metric's label.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Repeat {
    /// No connection was made.
    Unreachable,
    /// A kept connection had ended before anything was written to it.
    Stale,
    /// The carrier said that we ask too often.
    Throttled,
}

/// Totals since the start, and whether the carrier takes messages.
#[derive(Debug, Default)]
pub struct SmsCounts {
    /// The carrier.
    pub health: Health,
    sends: [AtomicU64; 4],
    failures: [AtomicU64; Cause::ALL.len()],
    repeats: [AtomicU64; 3],
    connections: AtomicU64,
    statuses: [AtomicU64; 8],
    tracked: AtomicU64,
    seconds: Mutex<Histogram>,
}

fn more(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

impl SmsCounts {
    pub(crate) fn sent(&self, result: Result<(), SmsError>, took: Duration) {
        more(
            &self.sends[match result {
                Ok(()) => 0,
                Err(SmsError::Refused) => 1,
                Err(SmsError::Unavailable) => 2,
                Err(_) => 3,
            }],
        );
        if let Ok(mut seconds) = self.seconds.lock() {
            seconds.record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    pub(crate) fn failed(&self, cause: Cause) {
        more(&self.failures[cause as usize]);
    }

    pub(crate) fn repeated(&self, why: Repeat) {
        more(&self.repeats[why as usize]);
    }

    pub(crate) fn connected(&self) {
        more(&self.connections);
    }

    /// `status` is the place of the metric's label.
    pub(crate) fn told(&self, status: usize) {
        more(&self.statuses[status]);
    }

    pub(crate) fn tracked(&self, count: usize) {
        self.tracked.store(count as u64, Ordering::Relaxed);
    }

    /// Adds the numbers to a scrape.
    pub fn add_to(&self, snapshot: &mut Snapshot) {
        for (metric, counts) in [
            (Metric::SmsSends, &self.sends[..]),
            (Metric::SmsFailures, &self.failures[..]),
            (Metric::SmsRepeats, &self.repeats[..]),
            (Metric::SmsStatuses, &self.statuses[..]),
        ] {
            for (index, count) in counts.iter().enumerate() {
                snapshot.add_at(metric, index, count.load(Ordering::Relaxed));
            }
        }
        snapshot.add(Metric::SmsConnections, self.connections.load(Ordering::Relaxed));
        snapshot.add(Metric::SmsTracked, self.tracked.load(Ordering::Relaxed));
        snapshot.add(Metric::SmsDegraded, u64::from(self.health.report().degraded.is_some()));
        if let Ok(seconds) = self.seconds.lock() {
            snapshot.merge(Metric::SmsSeconds, &seconds);
        }
    }
}
