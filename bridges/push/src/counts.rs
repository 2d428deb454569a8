//! What is counted of notifications. Written by the bridge's thread, read by a scrape.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lynk_bridge::Health;
use lynk_model::notify::{PushCause, PushState, Reason};
use lynk_telemetry::{Histogram, Metric, Snapshot};

/// Totals since the start, and how stores and providers are.
#[derive(Debug, Default)]
pub struct PushCounts {
    /// The stores.
    pub stores: Health,
    /// The providers.
    pub providers: Health,
    decisions: [AtomicU64; Reason::ALL.len()],
    ended: [AtomicU64; PushState::ALL.len()],
    failures: [AtomicU64; PushCause::ALL.len()],
    removed: AtomicU64,
    store_failures: AtomicU64,
    in_flight: AtomicU64,
    lag_millis: AtomicU64,
    backlog: AtomicU64,
    seconds: Mutex<Histogram>,
}

fn more(count: &AtomicU64, by: u64) {
    count.fetch_add(by, Ordering::Relaxed);
}

impl PushCounts {
    pub(crate) fn decided(&self, reason: Reason, messages: u64) {
        more(&self.decisions[reason.index()], messages);
    }

    pub(crate) fn ended(&self, state: PushState) {
        more(&self.ended[state.index()], 1);
    }

    /// The provider does not know a token.
    pub(crate) fn removed(&self) {
        more(&self.removed, 1);
    }

    pub(crate) fn failed(&self, cause: PushCause) {
        more(&self.failures[cause.index()], 1);
    }

    pub(crate) fn store_failed(&self) {
        more(&self.store_failures, 1);
    }

    pub(crate) fn took(&self, time: Duration) {
        if let Ok(mut seconds) = self.seconds.lock() {
            seconds.record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    pub(crate) fn in_flight(&self, count: usize) {
        self.in_flight.store(count as u64, Ordering::Relaxed);
    }

    /// How long what is due has waited, in milliseconds.
    pub(crate) fn lag(&self, millis: u64) {
        self.lag_millis.store(millis, Ordering::Relaxed);
    }

    /// Records that are not taken in yet.
    pub(crate) fn backlog(&self, records: u64) {
        self.backlog.store(records, Ordering::Relaxed);
    }

    /// Adds the numbers to a scrape.
    pub fn add_to(&self, snapshot: &mut Snapshot) {
        for (metric, counts) in [
            (Metric::PushDecisions, &self.decisions[..]),
            (Metric::PushEnds, &self.ended[..]),
            (Metric::PushFailures, &self.failures[..]),
        ] {
            for (index, count) in counts.iter().enumerate() {
                snapshot.add_at(metric, index, count.load(Ordering::Relaxed));
            }
        }
        snapshot.add(Metric::PushTokensRemoved, self.removed.load(Ordering::Relaxed));
        snapshot.add(Metric::PushStoreFailures, self.store_failures.load(Ordering::Relaxed));
        snapshot.add(Metric::PushInFlight, self.in_flight.load(Ordering::Relaxed));
        snapshot.add(Metric::PushLag, self.lag_millis.load(Ordering::Relaxed) / 1_000);
        snapshot.add(Metric::PushBacklog, self.backlog.load(Ordering::Relaxed));
        let degraded =
            [&self.stores, &self.providers].iter().any(|health| health.report().degraded.is_some());
        snapshot.add(Metric::PushDegraded, u64::from(degraded));
        if let Ok(seconds) = self.seconds.lock() {
            snapshot.merge(Metric::PushSeconds, &seconds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_label_values_of_the_metrics() {
        let values = |metric: Metric| metric.label().expect("a label").values.to_vec();
        let words = Reason::ALL.iter().map(|reason| reason.word()).collect::<Vec<_>>();
        assert_eq!(values(Metric::PushDecisions), words);
        let words = PushState::ALL.iter().map(|state| state.word()).collect::<Vec<_>>();
        assert_eq!(values(Metric::PushEnds), words);
        let words = PushCause::ALL.iter().map(|cause| cause.word()).collect::<Vec<_>>();
        assert_eq!(values(Metric::PushFailures), words);
    }
}
