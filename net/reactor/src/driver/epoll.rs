//! The fallback: epoll, plain system calls, and a thread for the disk.
//!
//! Files are registered once, edge-triggered, for everything. Sends happen at once; their outcomes wait for the turn so
//! that the loop sees the same order as with io_uring. An edge that says "writable" counts only for a file that was short
//! before, which this driver notes itself: the edge may come before the loop has heard of the short send.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use lynk_domain::ShardId;
use lynk_journal::{DiskThread, RealFile, WriteOp};
use lynk_protocol::Frame;
use lynk_ring::{AcceptFailure, PASSING_FAILURES_MAX, Report, Wait};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketFlags};

use super::{Driver, DriverCounters, Event, LISTENER_TOKENS, WAKE_TOKEN};
use crate::wake::Waker;

/// Events taken by one call.
const EVENTS_MAX: usize = 1_024;
/// Connections that one listener may accept in a turn.
const ACCEPTS_PER_TURN: u32 = PASSING_FAILURES_MAX;
/// Bytes of copies in one send.
const ROOM_BYTES: usize = 64 << 10;

struct Socket {
    fd: OwnedFd,
    token: u32,
    /// The last send took less than everything.
    short: bool,
    /// A listener that accepts. One that does not is told of connections all the same.
    accepts: bool,
}

struct Place {
    socket: Option<Socket>,
    generation: u32,
}

/// An index into the driver's files, with the generation that tells late events of its earlier life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct EpollFile {
    index: u32,
    generation: u32,
}

impl EpollFile {
    fn to_data(self) -> EventData {
        EventData::new_u64(u64::from(self.generation) << 32 | u64::from(self.index))
    }

    fn from_data(data: u64) -> Self {
        Self { index: data as u32, generation: (data >> 32) as u32 }
    }
}

pub(crate) struct EpollDriver {
    epoll: OwnedFd,
    places: Vec<Place>,
    free: Vec<u32>,
    /// Listeners with connections waiting.
    accepting: Vec<EpollFile>,
    ready: Vec<epoll::Event>,
    stash: Vec<Event>,
    room: Box<[u8]>,
    disk: DiskThread<RealFile>,
    peers: Vec<Waker>,
    counters: DriverCounters,
}

impl EpollDriver {
    /// A driver for the shard that `wakers[shard]` wakes.
    pub(crate) fn new(shard: ShardId, wakers: Vec<Waker>) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let own = wakers[shard.index()].clone();
        let token = EpollFile { index: WAKE_TOKEN, generation: 0 };
        epoll::add(&epoll, own.event(), token.to_data(), EventFlags::IN | EventFlags::ET)?;
        let disk = DiskThread::spawn(format!("disk-{}", shard.0), move || own.wake())?;
        Ok(Self {
            epoll,
            places: Vec::new(),
            free: Vec::new(),
            accepting: Vec::new(),
            ready: Vec::with_capacity(EVENTS_MAX),
            stash: Vec::new(),
            room: vec![0; ROOM_BYTES].into(),
            disk,
            peers: wakers,
            counters: DriverCounters::default(),
        })
    }

    fn socket(&mut self, file: EpollFile) -> Option<&mut Socket> {
        let place = self.places.get_mut(file.index as usize)?;
        place.socket.as_mut().filter(|_| place.generation == file.generation)
    }

    fn remove(&mut self, file: EpollFile) -> Option<Socket> {
        let place = self.places.get_mut(file.index as usize)?;
        let socket = place.socket.take_if(|_| place.generation == file.generation)?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(file.index);
        Some(socket)
    }

    fn fd(&self, file: EpollFile) -> Option<BorrowedFd<'_>> {
        let place = self.places.get(file.index as usize)?;
        place.socket.as_ref().filter(|_| place.generation == file.generation).map(|socket| socket.fd.as_fd())
    }

    fn send(&mut self, file: EpollFile, result: io::Result<usize>, length: usize, report: Report) {
        let Some(socket) = self.socket(file) else { return };
        let all = matches!(result, Ok(count) if count == length);
        socket.short |= !all;
        let token = socket.token;
        if report == Report::Always || !all {
            self.stash.push(Event::Sent { token, report, result });
        }
    }

    fn note_ready(&mut self, file: EpollFile, flags: EventFlags) {
        let Some(socket) = self.socket(file) else { return };
        let token = socket.token;
        let hung_up = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        if token >= LISTENER_TOKENS {
            if socket.accepts && !self.accepting.contains(&file) {
                self.accepting.push(file);
            }
            return;
        }
        let writable = socket.short && (hung_up || flags.contains(EventFlags::OUT));
        if writable {
            socket.short = false;
            self.stash.push(Event::Writable { token });
        }
        if hung_up || flags.contains(EventFlags::IN) {
            self.stash.push(Event::Readable { token, hung_up });
        }
    }

    fn accept_all(&mut self) {
        let mut listeners = std::mem::take(&mut self.accepting);
        listeners.retain(|file| {
            let mut failures = 0;
            for _ in 0..ACCEPTS_PER_TURN {
                match self.accept_waiting(*file) {
                    Ok(socket) => self.stash.push(Event::Accepted { socket }),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                    Err(error) => {
                        failures += 1;
                        if AcceptFailure::of(&error) == AcceptFailure::Passing
                            && failures < PASSING_FAILURES_MAX
                        {
                            continue;
                        }
                        let Some(socket) = self.socket(*file) else { return false };
                        socket.accepts = false;
                        let token = socket.token;
                        self.stash.push(Event::AcceptStopped { token, error });
                        return false;
                    }
                }
            }
            true
        });
        self.accepting = listeners;
    }
}

impl Driver for EpollDriver {
    type File = EpollFile;

    fn attach(&mut self, fd: OwnedFd, token: u32) -> io::Result<EpollFile> {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { socket: None, generation: 0 });
            self.places.len() as u32 - 1
        });
        let place = &mut self.places[index as usize];
        let file = EpollFile { index, generation: place.generation };
        // A listener is level-triggered by our own list: it is asked until it would block.
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        if let Err(error) = epoll::add(&self.epoll, &fd, file.to_data(), flags) {
            self.free.push(index);
            return Err(error.into());
        }
        place.socket = Some(Socket { fd, token, short: false, accepts: false });
        Ok(file)
    }

    fn detach(&mut self, file: EpollFile) {
        // Closing it takes it out of the epoll set: nobody else holds the descriptor.
        if let Some(socket) = self.remove(file) {
            self.stash.push(Event::Detached { token: socket.token });
        }
    }

    fn release(&mut self, file: EpollFile) {
        let Some(socket) = self.remove(file) else { return };
        // It lives on, so it must be taken out. That cannot fail: it was put in when it was attached.
        let removed = epoll::delete(&self.epoll, &socket.fd);
        debug_assert!(removed.is_ok(), "an attached file is in the set");
        self.stash.push(Event::Released { token: socket.token, socket: socket.fd });
    }

    /// Registered already; input that was there before the registration is an edge too.
    fn arm_readable(&mut self, _file: EpollFile) {}

    /// Noted when the send was short.
    fn arm_writable(&mut self, _file: EpollFile) {}

    fn listen(&mut self, file: EpollFile) {
        let Some(socket) = self.socket(file) else { return };
        socket.accepts = true;
        if !self.accepting.contains(&file) {
            self.accepting.push(file);
        }
    }

    fn stop_accepting(&mut self, file: EpollFile) {
        if let Some(socket) = self.socket(file) {
            socket.accepts = false;
        }
        self.accepting.retain(|accepting| *accepting != file);
    }

    fn accept_waiting(&mut self, file: EpollFile) -> io::Result<OwnedFd> {
        let fd = self.fd(file).ok_or(io::ErrorKind::NotFound)?;
        Ok(rustix::net::accept_with(fd, SocketFlags::CLOEXEC)?)
    }

    fn recv(&mut self, file: EpollFile, buffer: &mut [u8]) -> io::Result<usize> {
        let fd = self.fd(file).ok_or(io::ErrorKind::NotFound)?;
        let (count, _) = rustix::net::recv(fd, buffer, RecvFlags::DONTWAIT)?;
        Ok(count)
    }

    fn shutdown_write(&mut self, file: EpollFile) {
        if let Some(fd) = self.fd(file) {
            // A peer that is gone already is told by the next read.
            let _gone = rustix::net::shutdown(fd, Shutdown::Write);
        }
    }

    fn room(&mut self) -> &mut [u8] {
        &mut self.room
    }

    fn send_copied(&mut self, file: EpollFile, length: usize, report: Report) {
        let Some(fd) = self.fd(file) else { return };
        let result = send(fd, &self.room[..length]);
        self.send(file, result, length, report);
    }

    fn send_frame(&mut self, file: EpollFile, frame: &Arc<Frame>, report: Report) {
        let Some(fd) = self.fd(file) else { return };
        let result = send(fd, frame.wire());
        self.send(file, result, frame.wire().len(), report);
    }

    /// Nothing waits: sends have happened.
    fn submit(&mut self) {}

    fn write(&mut self, op: WriteOp<RealFile>) {
        self.disk.submit(op);
    }

    fn wake(&mut self, shard: ShardId) {
        self.peers[shard.index()].wake();
    }

    fn turn(&mut self, wait: Wait, events: &mut Vec<Event>) {
        let busy = !self.stash.is_empty() || !self.accepting.is_empty();
        let timeout = match wait {
            _ if busy => Some(Timespec { tv_sec: 0, tv_nsec: 0 }),
            Wait::No => Some(Timespec { tv_sec: 0, tv_nsec: 0 }),
            Wait::For(duration) => Timespec::try_from(duration).ok(),
            Wait::Event => None,
        };
        self.counters.waits += 1;
        let mut ready = std::mem::take(&mut self.ready);
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut ready), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => panic!("epoll_wait failed, no socket can be served any more: {error}"),
        }
        for event in ready.drain(..) {
            let file = EpollFile::from_data(event.data.u64());
            if file.index != WAKE_TOKEN {
                self.note_ready(file, event.flags);
            }
        }
        self.ready = ready;
        self.accept_all();
        if let Some((op, outcome)) = self.disk.take() {
            self.stash.push(Event::Written { op, outcome });
        }
        events.append(&mut self.stash);
    }

    fn counters(&self) -> DriverCounters {
        self.counters
    }
}

fn send(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match rustix::net::send(fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            other => return other.map_err(Into::into),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use lynk_mailbox::sleeper;
    use rustix::net::{AddressFamily, SocketType};

    use super::*;

    fn driver() -> EpollDriver {
        let (_, bell) = sleeper();
        let waker = Waker::new(bell).expect("an eventfd");
        EpollDriver::new(ShardId(0), vec![waker]).expect("epoll can be had")
    }

    fn turn(driver: &mut EpollDriver) -> Vec<Event> {
        let mut events = Vec::new();
        driver.turn(Wait::For(Duration::from_millis(20)), &mut events);
        events
    }

    #[test]
    fn a_listener_that_cannot_accept_pauses_and_does_not_spin() {
        // One that does not listen, and one for which accept means nothing, as under a rule that refuses it.
        for (kind, errno) in [(SocketType::STREAM, Errno::INVAL), (SocketType::DGRAM, Errno::OPNOTSUPP)] {
            let mut driver = driver();
            let socket = rustix::net::socket(AddressFamily::INET, kind, None).expect("a socket");
            let file = driver.attach(socket, LISTENER_TOKENS).expect("it can be watched");
            driver.listen(file);
            let events = turn(&mut driver);
            let [Event::AcceptStopped { token: LISTENER_TOKENS, error }] = &events[..] else {
                panic!("{events:?}")
            };
            assert_eq!(error.raw_os_error(), Some(errno.raw_os_error()));
            let start = Instant::now();
            assert!(turn(&mut driver).is_empty());
            assert!(start.elapsed() >= Duration::from_millis(15), "it sleeps");
        }
    }

    #[test]
    fn a_listener_that_stopped_leaves_connections_waiting_until_it_listens_again() {
        let mut driver = driver();
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback works");
        listener.set_nonblocking(true).expect("settable");
        let address = listener.local_addr().expect("bound");
        let file = driver.attach(listener.into(), LISTENER_TOKENS).expect("it can be watched");
        driver.listen(file);
        driver.stop_accepting(file);
        let _waiting = TcpStream::connect(address).expect("it listens");
        assert!(turn(&mut driver).is_empty());
        driver.listen(file);
        assert!(matches!(turn(&mut driver)[..], [Event::Accepted { .. }]));
    }
}
