//! What a shard needs of the operating system, and the two ways to get it.
//!
//! Both drivers keep the same order: a send is carried out between the call that asks for it and the end of the next
//! [`Driver::turn`], and every outcome that is an event is among that turn's events.

mod epoll;
mod uring;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use lynk_domain::ShardId;
use lynk_journal::{RealFile, WriteOp, WriteOutcome};
use lynk_protocol::Frame;
use lynk_ring::{Report, Wait};

pub(crate) use epoll::EpollDriver;
pub(crate) use uring::UringDriver;

/// The shard's own eventfd, which any thread may write to.
pub(crate) const WAKE_TOKEN: u32 = u32::MAX;
/// The io_uring driver's journal segment.
pub(crate) const SEGMENT_TOKEN: u32 = u32::MAX - 1;
/// First of the listeners' tokens. Smaller tokens are connection slots.
pub(crate) const LISTENER_TOKENS: u32 = u32::MAX - 0xff;

/// What happened. `token` is the number that was given to [`Driver::attach`].
#[derive(Debug)]
pub(crate) enum Event {
    /// A listener has accepted a connection.
    Accepted { socket: OwnedFd },
    /// A listener pauses, because [`lynk_ring::AcceptFailure`] is not a passing one. [`Driver::listen`] again after a
    /// while.
    AcceptStopped { token: u32, error: io::Error },
    /// There is input, or the end of it. Read until a short read, or to the end when `hung_up`.
    Readable { token: u32, hung_up: bool },
    /// A socket that was short takes bytes again.
    Writable { token: u32 },
    /// A send ended: every one with [`Report::Always`], otherwise those that took less than everything.
    Sent { token: u32, report: Report, result: io::Result<usize> },
    /// A journal write ended.
    Written { op: WriteOp<RealFile>, outcome: WriteOutcome },
    /// A detached file is closed; nothing more comes with its token.
    Detached { token: u32 },
    /// A released file, which nothing watches any more; nothing more comes with its token.
    Released { token: u32, socket: OwnedFd },
}

/// Numbers that only a driver knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct DriverCounters {
    /// Kernel calls that wait for events.
    pub(crate) waits: u64,
    /// Times a queue of the ring was full or overflowed.
    pub(crate) pressure: u64,
    /// Wakes of other shards that did not arrive.
    pub(crate) wakes_failed: u64,
}

/// One shard's access to sockets, timers by time-out, its journal file and other shards' sleep.
pub(crate) trait Driver {
    /// A file of this driver.
    type File: Copy;

    /// Takes a socket or listener in.
    fn attach(&mut self, fd: OwnedFd, token: u32) -> io::Result<Self::File>;
    /// Cancels what is under way and closes it; [`Event::Detached`] follows.
    fn detach(&mut self, file: Self::File);
    /// Cancels what is under way and gives the file back; [`Event::Released`] follows.
    fn release(&mut self, file: Self::File);
    /// Tells of input from now on, also of input that is there already.
    fn arm_readable(&mut self, file: Self::File);
    /// Tells once when a socket that was short takes bytes.
    fn arm_writable(&mut self, file: Self::File);
    /// Accepts connections from now on.
    fn listen(&mut self, file: Self::File);
    /// Leaves connections in the listener's queue until [`Self::listen`]. Those that were accepted already still come.
    fn stop_accepting(&mut self, file: Self::File);
    /// Accepts one connection that waits now; `WouldBlock` when none does.
    fn accept_waiting(&mut self, file: Self::File) -> io::Result<OwnedFd>;
    /// Receives what is there, without waiting.
    fn recv(&mut self, file: Self::File, buffer: &mut [u8]) -> io::Result<usize>;
    /// Ends the sending direction.
    fn shutdown_write(&mut self, file: Self::File);
    /// Memory for [`Self::send_copied`], which must be the next call.
    fn room(&mut self) -> &mut [u8];
    /// Sends the first `length` bytes of the room. One send per file and turn.
    fn send_copied(&mut self, file: Self::File, length: usize, report: Report);
    /// Sends a frame. One send per file and turn.
    fn send_frame(&mut self, file: Self::File, frame: &Arc<Frame>, report: Report);
    /// Empties the room in the middle of a turn.
    fn submit(&mut self);
    /// Writes and syncs one batch; one at a time.
    fn write(&mut self, op: WriteOp<RealFile>);
    /// Wakes a sleeping shard.
    fn wake(&mut self, shard: ShardId);
    /// Carries everything out and appends what happened, blocking as `wait` says.
    fn turn(&mut self, wait: Wait, events: &mut Vec<Event>);
    /// Totals so far.
    fn counters(&self) -> DriverCounters;
}
