//! The ring: operations in, events out.

#![allow(unsafe_code, reason = "the kernel reads buffers by address")]

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue, opcode};

use crate::accept::{AcceptFailure, PASSING_FAILURES_MAX};
use crate::error::SetupError;
use crate::files::{Armed, FileId, Files};
use crate::hold::TurnHold;
use crate::port::Port;
use crate::setup::{self, Options};
use crate::token::{Kind, Token};
use crate::writes::Writes;

/// How long dropping a ring waits for the kernel before it leaks what may still be read.
const DROP_WAIT: Duration = Duration::from_secs(2);

/// Poll results after which no more data will come.
const HUNG_UP: i32 = (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) as i32;

/// A ring that nobody uses yet; may be sent to its thread.
pub struct DisabledRing {
    uring: IoUring,
    port: Port,
    scratch_bytes: usize,
}

impl DisabledRing {
    /// Makes a ring, restricted to the operations of [`crate::OPERATIONS`], with smaller queues when memory is short.
    ///
    /// # Errors
    /// What stands in the way, with its cure.
    pub fn new(options: &Options) -> Result<Self, SetupError> {
        let uring = setup::build(options)?;
        // SAFETY: the descriptor is that of `uring`, which is alive.
        let fd = unsafe { BorrowedFd::borrow_raw(uring.as_raw_fd()) };
        let fd = fd.try_clone_to_owned().map_err(|error| SetupError::new("dup", error))?;
        Ok(Self { uring, port: Port { fd: Arc::new(fd) }, scratch_bytes: options.scratch_bytes })
    }

    /// How other rings name this one.
    #[must_use]
    pub fn port(&self) -> Port {
        self.port.clone()
    }

    /// Submission entries, after halving.
    #[must_use]
    pub fn entries(&self) -> u32 {
        self.uring.params().sq_entries()
    }

    /// Makes the calling thread the ring's only user. `F` is the shared frame of its sends, `W` the content of its
    /// durable writes.
    ///
    /// # Errors
    /// The kernel refuses; the restrictions or flags are at fault.
    pub fn enable<F: AsRef<[u8]>, W: AsRef<[u8]>>(self) -> Result<Ring<F, W>, SetupError> {
        self.uring.submitter().register_enable_rings().map_err(|error| SetupError::new("enable", error))?;
        let no_iowait = self.uring.params().is_feature_no_iowait();
        Ok(Ring {
            uring: self.uring,
            files: Files::new(),
            hold: TurnHold::new(self.scratch_bytes),
            writes: Writes::new(),
            pushed: 0,
            sending: Vec::new(),
            stash: Vec::new(),
            rearm: Vec::new(),
            stopping: Vec::new(),
            accept_failures: 0,
            completions: Vec::new(),
            counters: RingCounters::default(),
            no_iowait,
            one_thread: PhantomData,
        })
    }
}

/// How long [`Ring::turn`] may block when nothing is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// Not at all.
    No,
    /// Until an event, or this long.
    For(Duration),
    /// Until an event.
    Event,
}

/// Which outcomes of a send are events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Report {
    /// Only those that took less than everything. Costs no completion otherwise.
    Short,
    /// All.
    Always,
}

/// What happened. `token` is the number given to [`Ring::attach`].
#[derive(Debug)]
pub enum Event<W> {
    /// A listener accepted a connection.
    Accepted {
        /// The listener's.
        token: u32,
        /// The connection, close-on-exec.
        socket: OwnedFd,
    },
    /// A listener accepts no more until [`Ring::accept`] is called again. [`AcceptFailure`] tells what the error means.
    AcceptStopped {
        /// The listener's.
        token: u32,
        /// Why.
        error: io::Error,
    },
    /// There may be something to read, or the other side is gone. Read until a short read or `WouldBlock`: the next
    /// event comes only with new data.
    Readable {
        /// The file's.
        token: u32,
        /// The other side is gone or closed its direction: read until the end of the stream, past a short read.
        hung_up: bool,
    },
    /// The socket takes bytes again, or the other side is gone.
    Writable {
        /// The file's.
        token: u32,
    },
    /// A send ended.
    Sent {
        /// The file's.
        token: u32,
        /// What the send asked for.
        report: Report,
        /// Bytes that the socket took; `WouldBlock` for none.
        result: io::Result<usize>,
    },
    /// A write to a file ended.
    Written {
        /// The file's.
        token: u32,
        /// What was written.
        content: W,
        /// Bytes written, or a negated errno.
        written: i32,
    },
    /// Another ring woke this one.
    Woken,
    /// A wake did not arrive: the other ring is gone or short of memory. Wake its thread in another way.
    WakeFailed {
        /// The number given to [`Ring::wake`].
        tag: u32,
    },
    /// The last operation of a detached file ended and it is closed. The last event with this token.
    Detached {
        /// The file's.
        token: u32,
    },
    /// The last operation of a released file ended: nothing in the kernel refers to it on this ring's behalf. The last
    /// event with this token.
    Released {
        /// The file's.
        token: u32,
        /// The file, open.
        fd: OwnedFd,
    },
}

/// What a ring counted since it was enabled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct RingCounters {
    /// Calls of `io_uring_enter`.
    pub enters: u64,
    /// Completions read.
    pub completions: u64,
    /// Entries submitted.
    pub submitted: u64,
    /// Enters that were needed because the submission queue was full in the middle of a turn.
    pub queue_full: u64,
    /// Times the completion queue had overflowed into the kernel's list.
    pub overflows: u64,
    /// Wakes that did not arrive: the other ring is gone or its completion queue full.
    pub wakes_failed: u64,
    /// Completions that belonged to no operation of this ring.
    pub stale: u64,
}

/// An enabled ring. See the crate's documentation for what it promises.
pub struct Ring<F: AsRef<[u8]>, W: AsRef<[u8]>> {
    uring: IoUring,
    files: Files,
    hold: TurnHold<F>,
    writes: Writes<W>,
    /// Entries pushed so far, wrapping.
    pushed: u32,
    /// Files with a quiet send since the last cycle. A successful one has no completion that would end it.
    sending: Vec<FileId>,
    /// Events not handed out yet.
    stash: Vec<Event<W>>,
    /// Multishot operations that the kernel ended and that go on.
    rearm: Vec<(FileId, Armed)>,
    /// Listeners that were asked to stop and whose accept has not ended yet.
    stopping: Vec<FileId>,
    /// Passing failures of accepts since the last connection.
    accept_failures: u32,
    completions: Vec<(u64, i32, u32)>,
    counters: RingCounters,
    no_iowait: bool,
    /// SINGLE_ISSUER: only the enabling thread may enter.
    one_thread: PhantomData<*const ()>,
}

impl<F: AsRef<[u8]>, W: AsRef<[u8]>> Ring<F, W> {
    /// Takes a file in. Its events carry `token`.
    pub fn attach(&mut self, fd: OwnedFd, token: u32) -> FileId {
        self.files.attach(fd, token)
    }

    /// Cancels what is in flight on a file and closes it after its last completion; [`Event::Detached`] tells when.
    /// Sends of this turn and durable writes are not cancelled but awaited. Does nothing for a file that is leaving or
    /// gone.
    pub fn detach(&mut self, file: FileId) {
        if self.files.detach(file) {
            self.cancel_all(file);
        }
    }

    /// As [`Self::detach`], but the file stays open and comes back with [`Event::Released`], for another owner.
    pub fn give_up(&mut self, file: FileId) {
        if self.files.release(file) {
            self.cancel_all(file);
        }
    }

    fn cancel_all(&mut self, file: FileId) {
        for (armed, kind) in [
            (Armed::Readable, Kind::Readable),
            (Armed::Writable, Kind::Writable),
            (Armed::Accept, Kind::Accept),
        ] {
            if self.files.is_armed(file, armed) {
                self.cancel(file, kind);
            }
        }
        self.reap(file);
    }

    fn cancel(&mut self, file: FileId, kind: Kind) {
        let target = Token::new(kind, file.generation, file.index).to_bits();
        let entry = opcode::AsyncCancel::new(target).build().flags(Flags::SKIP_SUCCESS);
        self.push_plain(entry, Token::new(Kind::Cancel, file.generation, file.index));
    }

    /// The file's descriptor, for calls that the ring does not make; `None` for one that is leaving or gone.
    #[must_use]
    pub fn descriptor(&self, file: FileId) -> Option<BorrowedFd<'_>> {
        self.files.descriptor(file)
    }

    /// Tells of input on a file, from now until it is detached.
    pub fn arm_readable(&mut self, file: FileId) {
        self.arm(file, Armed::Readable);
    }

    /// Tells once when a socket takes bytes.
    pub fn arm_writable(&mut self, file: FileId) {
        self.arm(file, Armed::Writable);
    }

    /// Accepts connections on a listener, from now until it is detached, [`Self::stop_accepting`] or
    /// [`Event::AcceptStopped`].
    pub fn accept(&mut self, file: FileId) {
        // An accept that is still being cancelled is armed again when it ends.
        self.stopping.retain(|stopping| *stopping != file);
        self.arm(file, Armed::Accept);
    }

    /// Leaves further connections in a listener's queue, from this ring's next turn until [`Self::accept`]. Those that
    /// were accepted before still arrive.
    pub fn stop_accepting(&mut self, file: FileId) {
        self.rearm.retain(|(waiting, armed)| (*waiting, *armed) != (file, Armed::Accept));
        if self.files.is_open(file)
            && self.files.is_armed(file, Armed::Accept)
            && !self.stopping.contains(&file)
        {
            self.stopping.push(file);
            self.cancel(file, Kind::Accept);
        }
    }

    fn arm(&mut self, file: FileId, armed: Armed) {
        let Some(fd) = self.files.fd(file).map(Fd) else { return };
        if !self.files.arm(file, armed) {
            return;
        }
        let (kind, entry) = match armed {
            Armed::Readable => {
                let mask = (libc::POLLIN | libc::POLLRDHUP) as u32;
                (Kind::Readable, opcode::PollAdd::new(fd, mask).multi(true).build())
            }
            Armed::Writable => (Kind::Writable, opcode::PollAdd::new(fd, libc::POLLOUT as u32).build()),
            Armed::Accept => (Kind::Accept, opcode::AcceptMulti::new(fd).flags(libc::SOCK_CLOEXEC).build()),
            Armed::Send => unreachable!("sends have their own functions"),
        };
        self.push_plain(entry, Token::new(kind, file.generation, file.index));
    }

    /// Sends a frame without waiting. At most one send per file and [`Self::turn`]. Nothing happens for a file that is
    /// leaving or gone, or an empty frame.
    pub fn send_frame(&mut self, file: FileId, frame: &Arc<F>, report: Report) {
        if self.files.is_open(file) {
            self.reserve(1);
            let (address, length) = self.hold.hold(frame);
            self.send(file, address, length, report);
        }
    }

    /// Memory for [`Self::send_copied`], which must be the next call. Shrinks with every copy until [`Self::submit`] or
    /// [`Self::turn`].
    pub fn room(&mut self) -> &mut [u8] {
        // Now, because a full queue is emptied by entering, after which the room is another.
        self.reserve(1);
        self.hold.room()
    }

    /// Sends the first `length` bytes of [`Self::room`] without waiting, as [`Self::send_frame`].
    ///
    /// # Panics
    /// When the room is smaller, or other calls filled the queue since.
    pub fn send_copied(&mut self, file: FileId, length: usize, report: Report) {
        if self.files.is_open(file) {
            assert!(self.free_entries() > 0, "the room was asked for just before");
            let address = self.hold.commit(length);
            self.send(file, address, length, report);
        }
    }

    fn send(&mut self, file: FileId, address: *const u8, length: usize, report: Report) {
        if length == 0 {
            return;
        }
        let Some(fd) = self.files.fd(file) else { return };
        assert!(self.files.arm(file, Armed::Send), "one send per connection per enter");
        let length = u32::try_from(length).expect("a send is far below 4 GiB");
        let mut entry = opcode::Send::new(Fd(fd), address, length)
            .flags(libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
            .build();
        let kind = match report {
            Report::Short => {
                entry = entry.flags(Flags::SKIP_SUCCESS);
                self.sending.push(file);
                Kind::SendQuiet
            }
            Report::Always => Kind::SendReported,
        };
        // SAFETY: `hold` keeps the bytes until the kernel consumed the entry and its completion, if any, was read
        // (`cycle`); the send runs while the entry is consumed, because DONTWAIT forbids it to wait.
        unsafe { self.push(entry, Token::new(kind, file.generation, file.index)) };
    }

    /// Writes `content` at `offset`. [`Event::Written`] tells when it is done, and durable if the file was opened so.
    ///
    /// # Errors
    /// The content, for a file that is leaving or gone, or when [`crate::WRITES_MAX`] writes are in flight.
    pub fn write(&mut self, file: FileId, content: W, offset: u64) -> Result<(), W> {
        let Some(fd) = self.files.fd(file).map(Fd) else { return Err(content) };
        self.reserve(1);
        let place = self.writes.begin(file, content)?;
        self.files.begin(file);
        let write = opcode::Write::new(fd, place.address, place.length).offset(offset).build();
        // SAFETY: `writes` keeps the content, unmoved and untouched, until the completion arrived.
        unsafe { self.push(write, Token::new(Kind::Write, place.generation, place.index)) };
        Ok(())
    }

    /// Wakes another ring: its turn ends with [`Event::Woken`]. Takes effect with this ring's next turn, which tells with
    /// [`Event::WakeFailed`] and `tag` when it did not arrive.
    pub fn wake(&mut self, port: &Port, tag: u32) {
        let woken = Token::new(Kind::Woken, 0, 0).to_bits();
        let entry = opcode::MsgRingData::new(Fd(port.raw()), 0, woken, None).build();
        self.push_plain(entry.flags(Flags::SKIP_SUCCESS), Token::new(Kind::WakeFailed, 0, tag));
    }

    /// Files attached, leaving ones included.
    #[must_use]
    pub fn attached(&self) -> usize {
        self.files.attached()
    }

    /// Totals so far.
    #[must_use]
    pub fn counters(&self) -> RingCounters {
        self.counters
    }

    /// Submits everything in the middle of a turn, which frees the room. Events wait for [`Self::turn`].
    pub fn submit(&mut self) {
        self.cycle(Wait::No);
    }

    /// Submits everything and appends what completed to `events`, blocking as `wait` says if nothing did. One call
    /// of `io_uring_enter` unless a queue overflowed. May end without events: not every completion is one. Every
    /// outcome of a send of this turn that is an event is among them.
    pub fn turn(&mut self, wait: Wait, events: &mut Vec<Event<W>>) {
        let wait = if self.stash.is_empty() { wait } else { Wait::No };
        self.cycle(wait);
        while let Some((file, armed)) = self.rearm.pop() {
            self.arm(file, armed);
        }
        events.append(&mut self.stash);
    }

    /// Enter, read completions, release: in this order (see the crate's invariants).
    fn cycle(&mut self, wait: Wait) {
        let target = self.pushed;
        self.enter_or_die(wait);
        self.read_completions();
        // What was pushed must be consumed before anything else is pushed, or two sends of one connection could meet
        // in one call. Completions in the kernel's overflow list may be short sends.
        while target.wrapping_sub(self.consumed()) as i32 > 0 || self.overflowed() {
            self.enter_or_die(Wait::No);
            self.read_completions();
        }
        self.release();
    }

    /// Ends the quiet sends that completed without saying so, and lets go of what all sends read.
    fn release(&mut self) {
        let mut sending = std::mem::take(&mut self.sending);
        for file in sending.drain(..) {
            // A short one ended with its completion.
            if self.files.is_armed(file, Armed::Send) {
                self.files.disarm(file, Armed::Send);
                self.reap(file);
            }
        }
        self.sending = sending;
        self.hold.release();
    }

    /// Position up to which the kernel consumed entries.
    fn consumed(&mut self) -> u32 {
        let left = u32::try_from(self.uring.submission().len()).expect("a queue has at most 2^15 entries");
        self.pushed.wrapping_sub(left)
    }

    fn overflowed(&mut self) -> bool {
        let overflowed = self.uring.submission().cq_overflow();
        self.counters.overflows += u64::from(overflowed);
        overflowed
    }

    fn enter_or_die(&mut self, wait: Wait) {
        if let Err(error) = self.enter(wait) {
            panic!("io_uring_enter failed, the ring is broken: {error}");
        }
    }

    fn enter(&mut self, wait: Wait) -> io::Result<()> {
        let to_submit =
            u32::try_from(self.uring.submission().len()).expect("a queue has at most 2^15 entries");
        self.counters.enters += 1;
        self.counters.submitted += u64::from(to_submit);
        let mut flags = EnterFlags::GETEVENTS | EnterFlags::EXT_ARG;
        if self.no_iowait {
            flags |= EnterFlags::NO_IOWAIT;
        }
        let timespec;
        let mut args = SubmitArgs::new();
        if let Wait::For(duration) = wait {
            timespec = Timespec::from(duration);
            args = args.timespec(&timespec);
        }
        let want = u32::from(wait != Wait::No);
        // SAFETY: the flags match the argument's type; everything that the queued entries point to is held by
        // `hold` and `writes`, as each push says.
        let entered = unsafe { self.uring.submitter().enter(to_submit, want, flags.bits(), Some(&args)) };
        match entered.map_err(|error| (error.raw_os_error(), error)) {
            Ok(_) | Err((Some(libc::EINTR | libc::ETIME), _)) => Ok(()),
            // Short of memory, or completions wait to be read: the caller reads them and tries again.
            Err((Some(libc::EAGAIN | libc::EBUSY | libc::ENOMEM), _)) => {
                std::thread::yield_now();
                Ok(())
            }
            Err((_, error)) => Err(error),
        }
    }

    fn read_completions(&mut self) {
        let mut completions = std::mem::take(&mut self.completions);
        completions.extend(self.uring.completion().map(|cqe| (cqe.user_data(), cqe.result(), cqe.flags())));
        self.counters.completions += completions.len() as u64;
        for (user_data, result, flags) in completions.drain(..) {
            match Token::from_bits(user_data) {
                Some(token) => self.complete(token, result, cqueue::more(flags)),
                None => self.counters.stale += 1,
            }
        }
        self.completions = completions;
    }

    fn complete(&mut self, token: Token, result: i32, more: bool) {
        let file = FileId { index: token.index, generation: token.generation };
        match token.kind {
            Kind::Cancel => return,
            Kind::Woken => return self.stash.push(Event::Woken),
            Kind::WakeFailed => {
                self.counters.wakes_failed += 1;
                return self.stash.push(Event::WakeFailed { tag: token.index });
            }
            Kind::Write => return self.finish_write(token, result),
            _ => {}
        }
        let Some(owner) = self.files.token(file) else {
            self.counters.stale += 1;
            return;
        };
        match token.kind {
            Kind::Readable => {
                // The kernel ends a multishot poll when it cannot post, and on error. Short of memory it says nothing
                // about the file, which must not be deaf from then on; a read finds out what was missed.
                let short = result == -libc::ENOMEM;
                if self.files.is_open(file) {
                    let hung_up = !short && (result < 0 || result & HUNG_UP != 0);
                    self.stash.push(Event::Readable { token: owner, hung_up });
                }
                self.settle(file, Armed::Readable, more, result >= 0 || short);
            }
            Kind::Writable => {
                if self.files.is_open(file) {
                    self.stash.push(Event::Writable { token: owner });
                }
                self.settle(file, Armed::Writable, more, false);
            }
            Kind::Accept => self.finish_accept(file, owner, result, more),
            Kind::SendQuiet => self.finish_send(file, owner, Report::Short, result),
            _ => self.finish_send(file, owner, Report::Always, result),
        }
        self.reap(file);
    }

    /// Ends an operation unless it has `more` to say; a multishot one that ended but should go on is armed again.
    fn settle(&mut self, file: FileId, armed: Armed, more: bool, go_on: bool) {
        if more {
            return;
        }
        self.files.disarm(file, armed);
        if go_on && self.files.is_open(file) {
            self.rearm.push((file, armed));
        }
    }

    fn finish_accept(&mut self, file: FileId, owner: u32, result: i32, more: bool) {
        if result >= 0 {
            // SAFETY: the kernel has just made this descriptor for us; nobody else knows it.
            let socket = unsafe { OwnedFd::from_raw_fd(result) };
            self.stash.push(Event::Accepted { token: owner, socket });
            self.accept_failures = 0;
        }
        if more {
            return;
        }
        let before = self.stopping.len();
        self.stopping.retain(|stopping| *stopping != file);
        let stopped = self.stopping.len() < before;
        let error = io::Error::from_raw_os_error(-result.min(0));
        // A cancel that nobody waits for any more: accepting was asked for again meanwhile.
        let go_on = result >= 0 || result == -libc::ECANCELED || self.passes(&error);
        self.settle(file, Armed::Accept, more, go_on && !stopped);
        if !go_on && !stopped && self.files.is_open(file) {
            self.accept_failures = 0;
            self.stash.push(Event::AcceptStopped { token: owner, error });
        }
    }

    /// Whether a failed accept is only about one connection.
    fn passes(&mut self, error: &io::Error) -> bool {
        self.accept_failures += 1;
        AcceptFailure::of(error) == AcceptFailure::Passing && self.accept_failures < PASSING_FAILURES_MAX
    }

    fn finish_send(&mut self, file: FileId, owner: u32, report: Report, result: i32) {
        if !self.files.is_armed(file, Armed::Send) {
            self.counters.stale += 1;
            return;
        }
        self.files.disarm(file, Armed::Send);
        if self.files.is_open(file) {
            let result = usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result));
            self.stash.push(Event::Sent { token: owner, report, result });
        }
    }

    fn finish_write(&mut self, token: Token, written: i32) {
        let (file, content) = self.writes.complete(token.index, token.generation);
        let token = self.files.token(file).expect("a file with a write in flight is attached");
        self.files.end(file);
        self.stash.push(Event::Written { token, content, written });
        self.reap(file);
    }

    fn reap(&mut self, file: FileId) {
        if let Some((token, kept)) = self.files.reap(file) {
            self.stash.push(match kept {
                Some(fd) => Event::Released { token, fd },
                None => Event::Detached { token },
            });
        }
    }

    /// Makes room for `count` entries, entering if there is none.
    fn reserve(&mut self, count: usize) {
        if self.free_entries() < count {
            self.counters.queue_full += 1;
            self.cycle(Wait::No);
        }
    }

    fn free_entries(&mut self) -> usize {
        let queue = self.uring.submission();
        queue.capacity() - queue.len()
    }

    /// Pushes an entry that points to no memory of ours.
    fn push_plain(&mut self, entry: Entry, token: Token) {
        self.reserve(1);
        // SAFETY: the callers' entries carry descriptors and numbers only.
        unsafe { self.push(entry, token) };
    }

    /// # Safety
    /// What the entry points to stays valid until the kernel is done with it, and there is room.
    unsafe fn push(&mut self, entry: Entry, token: Token) {
        let entry = entry.user_data(token.to_bits());
        // SAFETY: passed on to the caller.
        let pushed = unsafe { self.uring.submission().push(&entry) };
        pushed.expect("the caller reserved room");
        self.pushed = self.pushed.wrapping_add(1);
    }
}

impl<F: AsRef<[u8]>, W: AsRef<[u8]>> Drop for Ring<F, W> {
    /// Cancels everything and waits for it; what the kernel still holds after [`DROP_WAIT`] is leaked.
    fn drop(&mut self) {
        let deadline = Instant::now() + DROP_WAIT;
        if !std::thread::panicking() {
            for file in self.files.open_ids() {
                self.detach(file);
            }
            while self.files.attached() > 0 && Instant::now() < deadline {
                if self.enter(Wait::For(Duration::from_millis(10))).is_err() {
                    break;
                }
                self.read_completions();
                if self.consumed() == self.pushed && !self.overflowed() {
                    self.release();
                }
                self.stash.clear();
            }
        }
        if self.files.attached() > 0 {
            self.hold.leak();
            self.writes.leak();
        }
    }
}

#[cfg(test)]
mod tests;
