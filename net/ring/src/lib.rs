//! A safe io_uring for one shard: readiness, sends that cost no completion, durable writes, messages between rings.
//!
//! Every operation names a file of the ring's own table ([`FileId`]); the ring owns the descriptor and every
//! buffer that the kernel may touch until the kernel is done with it, also after a cancel and after
//! [`Ring::detach`]. Nothing here knows about chat or WebSocket.
//!
//! Thread: a [`DisabledRing`] is made anywhere (boot makes all of them, so that a refusal is known before the
//! first shard starts); the [`Ring`] lives on the one thread that calls [`DisabledRing::enable`]. Only
//! [`Ring::turn`] blocks.
//!
//! Invariants:
//! - A descriptor is closed, and its table entry reused, only after the last completion of its operations.
//!   `user_data` carries entry and generation, so a completion for an earlier life would be recognised.
//! - No send waits: it runs while the kernel consumes its entry. What it reads is held, by type, until the kernel has
//!   consumed the entry **and** every completion of that call was read. Consumption is read from the queue's head; that
//!   `io_uring_enter` returned proves nothing. A socket that takes less than everything says so, and the caller waits
//!   for [`Event::Writable`]; so nothing but a durable write is held from one turn to the next.
//! - One send per file and turn: a second one could overtake the rest of a short first one.
//! - Every call that enters the kernel asks for completions (GETEVENTS): with DEFER_TASKRUN nothing runs otherwise.
//!
//! Limits: [`Options`] for the queues and the scratch; [`WRITES_MAX`] durable writes at once.
//!
//! What can fail: making a ring ([`SetupError`], with cause and cure), and each operation, whose error arrives as
//! an [`Event`]. A kernel call that fails for another reason than pressure or a signal means that the ring is
//! broken: it panics, as nothing could be sent or stored any more.

mod accept;
mod error;
mod files;
mod hold;
mod port;
mod ring;
mod setup;
mod token;
mod writes;

pub use accept::{AcceptFailure, PASSING_FAILURES_MAX};
pub use error::{Cause, SetupError};
pub use files::FileId;
pub use port::Port;
pub use ring::{DisabledRing, Event, Report, Ring, RingCounters, Wait};
pub use setup::{OPERATIONS, Options, probe};
pub use writes::WRITES_MAX;
