//! What is counted of work. Written by whoever asks and by the threads, read by a scrape.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lynk_telemetry::{Histogram, Metric, Snapshot};

/// Totals since the start, and what waits.
#[derive(Debug, Default)]
pub struct ComputeCounts {
    waiting: AtomicU64,
    done: AtomicU64,
    refused: AtomicU64,
    seconds: Mutex<Histogram>,
}

impl ComputeCounts {
    pub(crate) fn queued(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn taken(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn done(&self, took: Duration) {
        self.done.fetch_add(1, Ordering::Relaxed);
        if let Ok(mut seconds) = self.seconds.lock() {
            seconds.record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    /// Adds the numbers to a scrape.
    pub fn add_to(&self, snapshot: &mut Snapshot) {
        for (index, count) in [&self.done, &self.refused].into_iter().enumerate() {
            snapshot.add_at(Metric::ComputeJobs, index, count.load(Ordering::Relaxed));
        }
        snapshot.add(Metric::ComputeWaiting, self.waiting.load(Ordering::Relaxed));
        if let Ok(seconds) = self.seconds.lock() {
            snapshot.merge(Metric::ComputeSeconds, &seconds);
        }
    }
}

/// What became of an upload. The order is that of the metric's label.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ImageOutcome {
    Prepared,
    Refused,
    TooLarge,
    TimedOut,
    Busy,
    Failed,
}

/// Uploads since the start, by what became of them.
#[derive(Debug, Default)]
pub struct ImageCounts([AtomicU64; 6]);

impl ImageCounts {
    pub(crate) fn count(&self, outcome: ImageOutcome) {
        self.0[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Adds the numbers to a scrape.
    pub fn add_to(&self, snapshot: &mut Snapshot) {
        for (index, count) in self.0.iter().enumerate() {
            snapshot.add_at(Metric::ImagesPrepared, index, count.load(Ordering::Relaxed));
        }
    }
}
