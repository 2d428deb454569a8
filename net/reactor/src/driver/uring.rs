//! The production driver: everything of a turn in one `io_uring_enter`.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use lynk_domain::ShardId;
use lynk_journal::{RealFile, WriteOp, WriteOutcome};
use lynk_protocol::Frame;
use lynk_ring::{FileId, Port, Report, Ring, Wait};
use rustix::net::{RecvFlags, Shutdown, SocketFlags};

use super::{Driver, DriverCounters, Event, SEGMENT_TOKEN, WAKE_TOKEN};
use crate::wake::Waker;

/// A journal write as the ring holds it.
struct Batch(WriteOp<RealFile>);

impl AsRef<[u8]> for Batch {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// The segment that is written to. `handle` keeps its descriptor open, so its number names no other file meanwhile.
struct Segment {
    handle: RealFile,
    file: FileId,
}

pub(crate) struct UringDriver {
    ring: Ring<Frame, Batch>,
    ports: Vec<Port>,
    /// The other way to wake each shard.
    wakers: Vec<Waker>,
    segment: Option<Segment>,
    events: Vec<lynk_ring::Event<Batch>>,
}

impl UringDriver {
    /// Enables the ring of `shard` for the calling thread. `ports` are the rings of all shards, `wakers` wake them.
    pub(crate) fn new(
        ring: lynk_ring::DisabledRing,
        shard: ShardId,
        ports: Vec<Port>,
        wakers: Vec<Waker>,
    ) -> io::Result<Self> {
        let mut ring = ring.enable::<Frame, Batch>().map_err(io::Error::other)?;
        let event = ring.attach(wakers[shard.index()].event().try_clone_to_owned()?, WAKE_TOKEN);
        // Never read: every write to it is a new edge.
        ring.arm_readable(event);
        Ok(Self { ring, ports, wakers, segment: None, events: Vec::new() })
    }

    fn segment_file(&mut self, op: &WriteOp<RealFile>) -> io::Result<FileId> {
        let number = |file: &RealFile| -> RawFd { file.as_fd().as_raw_fd() };
        match &self.segment {
            Some(segment) if number(&segment.handle) == number(op.file()) => Ok(segment.file),
            _ => {
                let fd = op.file().as_fd().try_clone_to_owned()?;
                let file = self.ring.attach(fd, SEGMENT_TOKEN);
                let segment = Segment { handle: op.file().clone(), file };
                if let Some(old) = self.segment.replace(segment) {
                    self.ring.detach(old.file);
                }
                Ok(file)
            }
        }
    }
}

impl Driver for UringDriver {
    type File = FileId;

    fn attach(&mut self, fd: OwnedFd, token: u32) -> io::Result<FileId> {
        Ok(self.ring.attach(fd, token))
    }

    fn detach(&mut self, file: FileId) {
        self.ring.detach(file);
    }

    fn release(&mut self, file: FileId) {
        self.ring.give_up(file);
    }

    fn arm_readable(&mut self, file: FileId) {
        self.ring.arm_readable(file);
    }

    fn arm_writable(&mut self, file: FileId) {
        self.ring.arm_writable(file);
    }

    fn listen(&mut self, file: FileId) {
        self.ring.accept(file);
    }

    fn stop_accepting(&mut self, file: FileId) {
        self.ring.stop_accepting(file);
    }

    fn accept_waiting(&mut self, file: FileId) -> io::Result<OwnedFd> {
        let fd = self.ring.descriptor(file).ok_or(io::ErrorKind::NotFound)?;
        Ok(rustix::net::accept_with(fd, SocketFlags::CLOEXEC)?)
    }

    fn recv(&mut self, file: FileId, buffer: &mut [u8]) -> io::Result<usize> {
        let fd = self.ring.descriptor(file).ok_or(io::ErrorKind::NotFound)?;
        let (count, _) = rustix::net::recv(fd, buffer, RecvFlags::DONTWAIT)?;
        Ok(count)
    }

    fn shutdown_write(&mut self, file: FileId) {
        if let Some(fd) = self.ring.descriptor(file) {
            // A peer that is gone already is told by the next read.
            let _gone = rustix::net::shutdown(fd, Shutdown::Write);
        }
    }

    fn room(&mut self) -> &mut [u8] {
        self.ring.room()
    }

    fn send_copied(&mut self, file: FileId, length: usize, report: Report) {
        self.ring.send_copied(file, length, report);
    }

    fn send_frame(&mut self, file: FileId, frame: &Arc<Frame>, report: Report) {
        self.ring.send_frame(file, frame, report);
    }

    fn submit(&mut self) {
        self.ring.submit();
    }

    fn write(&mut self, op: WriteOp<RealFile>) {
        let offset = op.offset();
        // Out of descriptors: the batch waits until the next attempt, as for a full disk.
        let Ok(file) = self.segment_file(&op) else {
            self.events.push(lynk_ring::Event::Written {
                token: SEGMENT_TOKEN,
                content: Batch(op),
                written: 0,
            });
            return;
        };
        let held = self.ring.write(file, Batch(op), offset);
        assert!(held.is_ok(), "the writer hands out one write at a time");
    }

    fn wake(&mut self, shard: ShardId) {
        self.ring.wake(&self.ports[shard.index()], u32::from(shard.0));
    }

    fn turn(&mut self, wait: Wait, events: &mut Vec<Event>) {
        let wait = if self.events.is_empty() { wait } else { Wait::No };
        self.ring.turn(wait, &mut self.events);
        for event in self.events.drain(..) {
            if let lynk_ring::Event::WakeFailed { tag } = event {
                // A shard that is not woken sleeps on its mail.
                self.wakers[tag as usize].wake();
            } else {
                events.extend(translate(event));
            }
        }
    }

    fn counters(&self) -> DriverCounters {
        let ring = self.ring.counters();
        DriverCounters {
            waits: ring.enters,
            pressure: ring.queue_full + ring.overflows,
            wakes_failed: ring.wakes_failed,
        }
    }
}

fn translate(event: lynk_ring::Event<Batch>) -> Option<Event> {
    use lynk_ring::Event as Ringed;
    Some(match event {
        Ringed::Accepted { socket, .. } => Event::Accepted { socket },
        Ringed::AcceptStopped { token, error } => Event::AcceptStopped { token, error },
        Ringed::Readable { token: WAKE_TOKEN, .. } | Ringed::Woken | Ringed::WakeFailed { .. } => {
            return None;
        }
        Ringed::Readable { token, hung_up } => Event::Readable { token, hung_up },
        Ringed::Writable { token } => Event::Writable { token },
        Ringed::Sent { token, report, result } => Event::Sent { token, report, result },
        Ringed::Written { content, written, .. } => {
            let outcome = WriteOutcome::from_raw(content.0.bytes().len(), written);
            Event::Written { op: content.0, outcome }
        }
        Ringed::Detached { token: SEGMENT_TOKEN } => return None,
        Ringed::Detached { token } => Event::Detached { token },
        Ringed::Released { token, fd } => Event::Released { token, socket: fd },
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lynk_mailbox::sleeper;
    use lynk_ring::{DisabledRing, Options};

    use super::*;

    fn waker() -> Waker {
        let (_, bell) = sleeper();
        Waker::new(bell).expect("an eventfd")
    }

    #[test]
    fn a_shard_that_the_ring_cannot_wake_is_woken_by_its_eventfd() {
        let ring = match DisabledRing::new(&Options::default()) {
            Ok(ring) => ring,
            Err(error) => return eprintln!("SKIPPED: {error} ({})", error.cure()),
        };
        // It was never enabled, so it takes no messages.
        let deaf = DisabledRing::new(&Options::default()).expect("one was made before");
        let (ports, wakers) = (vec![ring.port(), deaf.port()], vec![waker(), waker()]);
        let mut driver =
            UringDriver::new(ring, ShardId(0), ports, wakers.clone()).expect("a fresh ring can be enabled");
        driver.wake(ShardId(1));
        let mut events = Vec::new();
        driver.turn(Wait::For(Duration::from_secs(5)), &mut events);
        assert!(events.is_empty(), "{events:?}");
        assert_eq!(driver.counters().wakes_failed, 1);
        let mut count = [0; 8];
        rustix::io::read(wakers[1].event(), &mut count).expect("it was written to");
        assert_eq!(u64::from_ne_bytes(count), 1);
    }
}
