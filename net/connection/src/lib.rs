//! One connection: handshake, decoder, heartbeat, send queue and slow path. Sans-I/O.
//!
//! Thread: the shard that accepted the socket. The io_uring driver, the epoll driver and the simulator run the same
//! [`Connection`]; they move bytes and carry out what it asks, and decide nothing.
//!
//! # What a driver does
//! - **Accept**: [`Connection::new`].
//! - **Readable**: receive into a buffer shared by the shard, only while [`Connection::wants_read`]; then call
//!   [`Connection::receive`] with the rest of the buffer until it returns no event. End of stream:
//!   [`Connection::end_of_stream`]; an error on the socket: [`Connection::socket_failed`].
//! - **Send**: register each frame once per turn with [`TurnQueue::frame`], queue it for each receiver with
//!   [`TurnQueue::queue`]; then send as below.
//! - **Writable**, if [`Connection::wants_write`]: [`Connection::writable`].
//! - **Timer**: one wheel per shard; when an entry fires, [`Connection::on_deadline`].
//! - **After any of these calls**, [`Connection::settle`], and do what it says. The only exception is a
//!   [`TurnQueue::queue`] that returns `false`.
//!
//! - **A plain request** ([`Event::Request`], only with [`Settings::requests`]): [`Connection::hand_over`] when somebody
//!   has room for it, else [`Connection::refuse`]. [`SocketStep::Release`] says when to give the socket away, with the bytes
//!   of [`Connection::take_request`].
//!
//! # Order of a turn
//! One connection has at most one send in flight, and what is queued while it is in flight must not overtake it. On
//! the fast path success is silent, so the driver keeps this order:
//! 1. take input, run the engine, [`TurnQueue::queue`] what it wants sent;
//! 2. [`TurnQueue::begin`], then [`TurnQueue::plan`] for each [`TurnQueue::slot`], and submit one send for it;
//! 3. enter the kernel, then take *every* completion of a send that the enter produced: [`TurnQueue::short`] for a
//!    fast-path send that came back short or refused, [`Connection::sent`] or [`Connection::send_blocked`] for a
//!    reported one;
//! 4. when the kernel has consumed every submitted send, [`TurnQueue::finish`]: the frames are released here.
//!
//! Frames that are queued between 2 and 4 wait for the next batch, which cannot begin before `finish`: nothing can be
//! overtaken as long as no completion of a send is left unread at `finish`. With the epoll driver a send answers at
//! once, and the same calls follow each other without a batch in the kernel.
//!
//! # Paths
//! *Fast*: a connection with nothing queued of its own gets one direct send of the frame's bytes, or of a copy of
//! several frames in the driver's scratch (a copy of a few hundred bytes costs less than a SENDMSG's vectors). No
//! allocation, no reference counted per receiver: the turn holds each frame once.
//!
//! *Slow*: after a short or refused send, for handshake and control frames, and for more than [`FAST_BYTES_MAX`] in a
//! turn. The connection holds references to its frames in a bounded queue; every send is reported; after a short one
//! it waits until the socket is writable. It returns to the fast path as soon as the queue is empty, and the queue's
//! memory is freed.
//!
//! # Limits
//! [`Settings`] has them all. A connection is [`CONNECTION_BYTES_MAX`] bytes at most and owns no heap while idle.
//! Queued bytes above the high watermark stop reads and are reported; above the maximum, or without progress for the
//! stall time, the queue is dropped and the connection closed with 4101. The client resumes from its cursor.
//! A message that has begun holds memory up to its maximum: when it is not finished from one heartbeat to the next, the
//! connection is closed with 1008.
//!
//! # What can fail
//! The peer and the socket, never a call: each end has an [`EndReason`] to count.

#![forbid(unsafe_code)]

mod connection;
mod outbox;
mod reason;
mod settings;
mod turn;

#[cfg(test)]
mod testing;

pub use connection::{CONNECTION_BYTES_MAX, Connection, Event, QueueLevel, Received, Settled, SocketStep};
pub use reason::EndReason;
pub use settings::Settings;
pub use turn::{FAST_BYTES_MAX, FrameIndex, Plan, SLOW_SEND_BYTES_MAX, TurnQueue};
