//! Bounded single-producer single-consumer queues between two threads, with a doorbell.
//!
//! A mailbox is one [`channel`] per ordered pair of threads: the sender owns the [`Producer`], the receiver
//! the [`Consumer`]. A thread that receives from several mailboxes has one [`Sleeper`]; everyone who posts to
//! it holds a clone of its [`Doorbell`] and rings once after a batch of posts. Ringing costs a fence and a
//! load unless the receiver sleeps; only then the caller's wake action (MSG_RING, a write to an eventfd) runs.
//!
//! Thread: producer, consumer and doorbells may each live on their own thread. Nothing here blocks, and
//! nothing allocates after [`channel`].
//!
//! Invariants: items leave in the order in which they were posted, each once; an item that was posted before
//! a ring is seen by the receiver before it sleeps, or the ring wakes it.
//!
//! Limits: the capacity, fixed at creation. **Lost when full: nothing.** A full queue gives the item back to
//! the caller ([`Producer::try_post`]), who decides: retry, collapse into a marker, or refuse its own input.
//! Items still queued when both ends are gone are dropped, not leaked.
//!
//! What can fail: only `try_post`. The unsafe code is in `queue`; it is checked by loom (every interleaving
//! of small cases) and by Miri.

mod queue;
mod sleep;
mod sync;

pub use queue::{Consumer, Producer, channel};
pub use sleep::{Doorbell, Sleeper, sleeper};

#[cfg(all(test, loom))]
mod models;
