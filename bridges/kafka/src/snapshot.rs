//! What the publishing thread counts.

use lynk_model::event::{Event, Stream, Topic};
use lynk_telemetry::{Histogram, Metric, Snapshot};

use crate::FaultKind;

/// Numbers of the publishing thread.
#[derive(Clone, Debug, Default)]
pub struct PublishSnapshot {
    /// Events published, by topic; repetitions count.
    pub published: [u64; Topic::ALL.len()],
    /// Batches that failed, by kind.
    pub failures: [u64; FaultKind::ALL.len()],
    /// Time of a batch that was published: read, encode, send, all replicas.
    pub batch_time: Histogram,
    /// Records committed and not passed, by stream.
    pub backlog: [u64; Stream::OUTSIDE.len()],
    /// Parts that fail now.
    pub degraded: u64,
}

impl PublishSnapshot {
    pub(crate) fn count(&mut self, events: &[Event]) {
        for event in events {
            self.published[event.topic.index()] += 1;
        }
    }

    pub(crate) fn count_failure(&mut self, kind: FaultKind) {
        let index = FaultKind::ALL.iter().position(|known| *known == kind).unwrap_or(0);
        self.failures[index] += 1;
    }

    /// Adds the numbers to a scrape.
    pub fn add_to(&self, snapshot: &mut Snapshot) {
        for (index, count) in self.published.iter().enumerate() {
            snapshot.add_at(Metric::KafkaPublished, index, *count);
        }
        for (index, count) in self.failures.iter().enumerate() {
            snapshot.add_at(Metric::KafkaFailures, index, *count);
        }
        for (index, count) in self.backlog.iter().enumerate() {
            snapshot.add_at(Metric::KafkaBacklog, index, *count);
        }
        snapshot.merge(Metric::KafkaPublishSeconds, &self.batch_time);
        snapshot.add(Metric::KafkaDegraded, u64::from(self.degraded > 0));
    }
}
