//! [`MemoryEvents`]: published events as a list. See the parent module.

use crate::StoreError;
use crate::event::{Event, Topic};
use crate::port::EventSink;

/// What a sink does with the next batches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SinkFault {
    /// Publishes.
    #[default]
    None,
    /// Publishes nothing and says so.
    Unavailable,
    /// Publishes the first half, and does not know.
    Half,
    /// Publishes everything, and does not know.
    All,
}

/// [`EventSink`] in memory.
#[derive(Clone, Default, Debug)]
pub struct MemoryEvents {
    /// What was published, repetitions too.
    pub published: Vec<Event>,
    /// What becomes of the next batches.
    pub fault: SinkFault,
}

impl MemoryEvents {
    /// The events of a topic, in order.
    #[must_use]
    pub fn of(&self, topic: Topic) -> Vec<&Event> {
        self.published.iter().filter(|event| event.topic == topic).collect()
    }
}

impl EventSink for MemoryEvents {
    async fn publish(&mut self, batch: &[Event]) -> Result<(), StoreError> {
        let (taken, answer) = match self.fault {
            SinkFault::None => (batch.len(), Ok(())),
            SinkFault::Unavailable => (0, Err(StoreError::Unavailable)),
            SinkFault::Half => (batch.len() / 2, Err(StoreError::Unknown)),
            SinkFault::All => (batch.len(), Err(StoreError::Unknown)),
        };
        self.published.extend_from_slice(&batch[..taken]);
        answer
    }
}
