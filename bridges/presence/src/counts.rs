//! What the bridge counts. Written by its thread, read by a scrape.

use std::sync::atomic::{AtomicU64, Ordering};

use lynk_telemetry::{Metric, Snapshot};

/// Changes since the start, by what became of them.
#[derive(Debug, Default)]
pub struct PresenceCounts {
    told: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

impl PresenceCounts {
    pub(crate) fn told(&self, count: u64, well: bool) {
        let counter = if well { &self.told } else { &self.failed };
        counter.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn dropped(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    /// Adds the numbers to a scrape. What shards dropped is theirs to add.
    pub fn add_to(&self, snapshot: &mut Snapshot) {
        for (index, count) in [&self.told, &self.dropped, &self.failed].into_iter().enumerate() {
            snapshot.add_at(Metric::PresenceMirrored, index, count.load(Ordering::Relaxed));
        }
    }

    /// Changes that the store took.
    #[must_use]
    pub fn told_so_far(&self) -> u64 {
        self.told.load(Ordering::Relaxed)
    }
}
