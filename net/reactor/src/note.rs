//! What a shard is doing right now, for the one line that a crash prints.
//!
//! Thread: written by a shard's thread, read on the same thread by a panic hook. Costs one store per input.

use std::cell::Cell;

use lynk_domain::ShardId;

/// What a thread is doing. Anything but a shard's thread has no note.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Note {
    /// The shard.
    pub shard: ShardId,
    /// The input that is being handled, or the part of the turn.
    pub doing: &'static str,
}

thread_local! {
    static NOTE: Cell<Option<Note>> = const { Cell::new(None) };
}

/// The calling thread's note. Call it from a panic hook, which runs on the thread that panics.
#[must_use]
pub fn current_note() -> Option<Note> {
    NOTE.get()
}

pub(crate) fn note(shard: ShardId, doing: &'static str) {
    NOTE.set(Some(Note { shard, doing }));
}
