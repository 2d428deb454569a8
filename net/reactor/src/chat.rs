//! What a shard drives.

use lynk_domain::{Nanos, Now};
use lynk_engine::{Counters, Effects, Input};

/// A chat state machine: the engine, or a smaller one in the reactor's own tests.
///
/// The reactor gives one input at a time and empties the effects after each. It never calls from another thread than
/// the shard's.
pub trait Chat: Send {
    /// Takes one input and appends what must be done to `effects`.
    fn handle(&mut self, now: Now, input: Input<'_>, effects: &mut Effects);

    /// When `Input::Deadline` is due next.
    fn next_deadline(&self) -> Option<Nanos>;

    /// Totals so far.
    fn counters(&self) -> &Counters;
}

impl Chat for lynk_engine::Engine {
    fn handle(&mut self, now: Now, input: Input<'_>, effects: &mut Effects) {
        Self::handle(self, now, input, effects);
    }

    fn next_deadline(&self) -> Option<Nanos> {
        Self::next_deadline(self)
    }

    fn counters(&self) -> &Counters {
        Self::counters(self)
    }
}
