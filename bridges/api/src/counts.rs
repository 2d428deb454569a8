//! What the bridge counts. Written by its thread, read by a scrape.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use lynk_telemetry::{Histogram, Metric, Snapshot};

/// Totals since the start, and a few gauges.
#[derive(Debug, Default)]
pub struct Counts {
    pub(crate) connections: AtomicU64,
    /// Full, and too many of one network.
    pub(crate) refused: [AtomicU64; 2],
    /// By the first digit of the status: 2, 3, 4, 5.
    requests: [AtomicU64; 4],
    seconds: Mutex<Histogram>,
    pub(crate) commands: AtomicU64,
    pub(crate) commands_in_flight: AtomicU64,
    pub(crate) commands_late: AtomicU64,
    /// Good, and bad.
    pub(crate) tickets: [AtomicU64; 2],
    pub(crate) revocations: AtomicU64,
}

impl Counts {
    pub(crate) fn answered(&self, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(2, 5) - 2;
        self.requests[class].fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if let Ok(mut seconds) = self.seconds.lock() {
            seconds.record(nanos);
        }
    }

    /// Adds the numbers to a scrape.
    pub fn add_to(&self, snapshot: &mut Snapshot) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        for (metric, count) in [
            (Metric::ApiConnections, &self.connections),
            (Metric::ApiCommands, &self.commands),
            (Metric::ApiCommandsInFlight, &self.commands_in_flight),
            (Metric::ApiCommandsLate, &self.commands_late),
            (Metric::ApiRevocations, &self.revocations),
        ] {
            snapshot.add(metric, of(count));
        }
        for (metric, counts) in [
            (Metric::ApiConnectionsRefused, &self.refused[..]),
            (Metric::ApiRequests, &self.requests[..]),
            (Metric::ApiTickets, &self.tickets[..]),
        ] {
            for (index, count) in counts.iter().enumerate() {
                snapshot.add_at(metric, index, of(count));
            }
        }
        if let Ok(seconds) = self.seconds.lock() {
            snapshot.merge(Metric::ApiRequestSeconds, &seconds);
        }
    }
}
