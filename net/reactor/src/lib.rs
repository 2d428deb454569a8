//! One shard: a thread with a loop that moves bytes, mail and time between the outside and the engine.
//!
//! The loop decides nothing about chat. It gives every arrival to a [`Chat`] (the engine) as an input and carries out
//! the effects; it gives every byte of a socket to a `Connection` and carries out what that asks for. Two drivers stand
//! behind one small interface, io_uring and epoll with a disk thread; all else is shared.
//!
//! # A turn
//! 1. results of the sends of the turn before; then its frames are released;
//! 2. what else completed: input, new connections, journal commits;
//! 3. mail of other shards, the store, the API bridge and the operator; timers;
//! 4. `Input::Flush`: the engine fans out, at most 128 deliveries;
//! 5. one journal batch and one send per connection are handed to the driver, which submits all of it at once and
//!    sleeps until something happens, unless there is more to do now.
//!
//! # Starting
//! [`Plan::new`] chooses the driver and makes what shards need of each other. [`Plan::waker`] wakes a shard from any
//! thread, for those who post to it. [`Plan::seats`] gives one [`Seat`] per shard, and [`Seat::spawn`] starts its
//! thread with a [`ShardSpec`] and returns its [`ShardHandle`]. [`bind`] makes the listeners.
//!
//! # Thread
//! One per shard. It blocks only in the driver. Handles and wakers may be used anywhere.
//!
//! # Limits
//! [`Config`] has them: connections, half-open connections, bytes read per connection and turn, mailbox sizes. Mail
//! that a full mailbox refuses goes back to the engine; mail that must not be refused waits in a queue that the engine's
//! credit bounds.
//!
//! # What can fail
//! Starting ([`StartError`]). A failed journal write ends the shard through [`ShardSpec::on_fatal`]. Sockets fail one by
//! one and are counted by reason.

#![forbid(unsafe_code)]

mod api;
mod chat;
mod clock;
mod config;
mod counters;
mod driver;
mod handle;
mod journal;
mod listen;
mod note;
mod peers;
mod plan;
mod presence;
mod shard;
mod stall;
mod store;
mod table;
mod wake;

pub use api::ApiPort;
pub use chat::Chat;
pub use clock::monotonic_now;
pub use config::{Backend, Config, SocketOptions};
pub use counters::{ReactorCounters, ShardSnapshot};
pub use handle::{Pulse, ShardHandle};
pub use listen::{bind, local_address};
pub use note::{Note, current_note};
pub use peers::MAILBOX_ITEMS;
pub use plan::{Chosen, Fallback, JournalPort, Plan, Seat, ShardSpec, StartError};
pub use presence::PresencePort;
pub use store::StorePort;
pub use wake::Waker;
