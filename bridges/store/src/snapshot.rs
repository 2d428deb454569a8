//! What the two threads publish.

use lynk_bridge::Health;
use lynk_embedded::MessageLogStats;
use lynk_model::StoreError;
use lynk_telemetry::{Histogram, Metric, Snapshot};

/// Health of the parts, each with its own outages.
#[derive(Clone, Debug, Default)]
pub struct StoreHealth {
    /// Reads of the message log and of journals.
    pub messages: Health,
    /// The relational side.
    pub rooms: Health,
    /// Moving journals into the message log.
    pub drain: Health,
}

impl StoreHealth {
    /// The parts with their names for people and metrics.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, &Health); 3] {
        [("messages", &self.messages), ("rooms", &self.rooms), ("drain", &self.drain)]
    }

    /// Adds 1 for each part that fails.
    pub fn add_to(&self, snapshot: &mut Snapshot) {
        for (index, (_, health)) in self.parts().iter().enumerate() {
            let degraded = health.report().degraded.is_some();
            snapshot.add_at(Metric::StoreDegraded, index, u64::from(degraded));
        }
    }
}

/// Numbers of the thread that answers requests.
#[derive(Clone, Debug, Default)]
pub struct RequestSnapshot {
    /// Requests answered, failures included.
    pub answered: u64,
    /// Requests answered with a failure: unavailable, unknown, corrupt.
    pub failed: [u64; 3],
    /// Time from taking a request to its answer.
    pub request_time: Histogram,
    /// Requests waiting.
    pub waiting: u64,
    /// Requests taken and not answered.
    pub in_flight: u64,
    /// Requests refused at once because the store that they need is known to be away.
    pub refused: u64,
    /// Whether requests of messages, and of rooms, are being refused so.
    pub circuits_open: [bool; 2],
}

impl RequestSnapshot {
    pub(crate) fn count(&mut self, nanos: u64, error: Option<StoreError>) {
        self.answered += 1;
        self.request_time.record(nanos);
        if let Some(error) = error {
            let index = match error {
                StoreError::Unavailable => 0,
                StoreError::Unknown => 1,
                _ => 2,
            };
            self.failed[index] += 1;
        }
    }

    /// Adds the numbers to a scrape.
    pub fn add_to(&self, snapshot: &mut Snapshot) {
        snapshot.add(Metric::StoreRequests, self.answered);
        for (index, count) in self.failed.iter().enumerate() {
            snapshot.add_at(Metric::StoreFailures, index, *count);
        }
        snapshot.merge(Metric::StoreRequestSeconds, &self.request_time);
        snapshot.add(Metric::StoreRequestsWaiting, self.waiting);
        snapshot.add(Metric::StoreRequestsInFlight, self.in_flight);
        snapshot.add(Metric::StoreRequestsRefused, self.refused);
        for (index, open) in self.circuits_open.into_iter().enumerate() {
            snapshot.add_at(Metric::StoreCircuitOpen, index, u64::from(open));
        }
    }
}

/// Numbers of the draining thread.
#[derive(Clone, Debug, Default)]
pub struct DrainSnapshot {
    /// Records moved.
    pub records: u64,
    /// Batches moved.
    pub batches: u64,
    /// Time of one step: read, write, sync.
    pub step_time: Histogram,
    /// Records committed and not moved yet.
    pub backlog: u64,
    /// Times removed messages were swept out of the log.
    pub sweeps: u64,
    /// Sizes of the message log.
    pub log: MessageLogStats,
}

impl DrainSnapshot {
    /// Adds the numbers to a scrape.
    pub fn add_to(&self, snapshot: &mut Snapshot) {
        snapshot.add(Metric::StoreDrainRecords, self.records);
        snapshot.add(Metric::StoreDrainBatches, self.batches);
        snapshot.merge(Metric::StoreDrainSeconds, &self.step_time);
        snapshot.add(Metric::StoreDrainBacklog, self.backlog);
        snapshot.add(Metric::StoreLogDisk, self.log.disk_bytes);
        snapshot.add(Metric::StoreLogRemoved, self.log.removed_rows);
        snapshot.add(Metric::StoreSweeps, self.sweeps);
        snapshot.add(Metric::StoreLogMemory, self.log.memtable_bytes + self.log.cache_bytes);
    }
}
