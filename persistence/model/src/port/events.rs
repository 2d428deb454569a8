//! The port of events for systems outside.

use crate::StoreError;
use crate::event::Event;

/// Takes events.
///
/// Of the events of one subject and topic, those that were taken for the first time are always a prefix of those that were given, also when a
/// batch fails and is given again: repetitions may come, holes and changes of order may not.
#[expect(async_fn_in_trait, reason = "called on a bridge thread by concrete type; no Send bound is wanted")]
pub trait EventSink {
    /// Publishes a batch, in order for each subject and topic. Durable on the other side when it returns.
    ///
    /// # Errors
    /// `Unavailable`: nothing was published; `Unknown`: all, some or nothing was: give the batch again; `Corrupt`: an event cannot be
    /// encoded, nothing was published.
    async fn publish(&mut self, batch: &[Event]) -> Result<(), StoreError>;
}
