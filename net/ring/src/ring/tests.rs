//! The ring against real sockets and files. Skipped, loudly, where the kernel refuses io_uring.

use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use std::collections::VecDeque;

use rustix::net::sockopt;

use super::*;

type TestRing = Ring<Vec<u8>, Vec<u8>>;

fn ring_with(entries: u32) -> Option<TestRing> {
    match DisabledRing::new(&Options { entries, entries_min: entries, scratch_bytes: 128 << 10 }) {
        Ok(disabled) => Some(disabled.enable().expect("a fresh ring can be enabled")),
        Err(error) if error.is_refusal() => {
            eprintln!("SKIPPED: {error} ({})", error.cure());
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn ring() -> Option<TestRing> {
    ring_with(256)
}

fn turn(ring: &mut TestRing) -> Vec<Event<Vec<u8>>> {
    let mut events = Vec::new();
    // A turn may end on a completion that is no event by itself (the first half of a durable write).
    for _ in 0..5 {
        ring.turn(Wait::For(Duration::from_secs(5)), &mut events);
        if !events.is_empty() {
            return events;
        }
    }
    panic!("nothing happened");
}

/// A connected pair over loopback TCP; the first with the smallest send buffer, the second with a small window.
fn tiny_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback works");
    sockopt::set_socket_recv_buffer_size(&listener, 1).expect("it is settable");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    let (server, _) = listener.accept().expect("it connected");
    sockopt::set_socket_send_buffer_size(&server, 1).expect("it is settable");
    server.set_nodelay(true).expect("it is settable");
    (server, client)
}

#[test]
fn readiness_is_told_once_per_arrival_until_detached() {
    let Some(mut ring) = ring() else { return };
    let (ours, mut theirs) = UnixStream::pair().expect("pair");
    let file = ring.attach(ours.try_clone().expect("dup").into(), 5);
    ring.arm_readable(file);
    ring.arm_readable(file);
    for round in 0..3 {
        theirs.write_all(b"x").expect("open");
        let events = turn(&mut ring);
        assert!(
            events.iter().all(|e| matches!(e, Event::Readable { token: 5, hung_up: false })),
            "{events:?}"
        );
        (&ours).read_exact(&mut [0]).expect("it was readable");
        let mut rest = Vec::new();
        ring.turn(Wait::No, &mut rest);
        assert!(rest.is_empty(), "round {round}: {rest:?}");
    }
    ring.detach(file);
    ring.detach(file);
    assert!(matches!(turn(&mut ring)[..], [Event::Detached { token: 5 }]));
    assert_eq!(ring.attached(), 0);
    theirs.write_all(b"x").expect("our duplicate is open");
    let mut rest = Vec::new();
    ring.turn(Wait::No, &mut rest);
    assert!(rest.is_empty(), "{rest:?}");
}

#[test]
fn a_hang_up_is_told_as_readable() {
    let Some(mut ring) = ring() else { return };
    let (ours, theirs) = UnixStream::pair().expect("pair");
    let file = ring.attach(ours.into(), 1);
    ring.arm_readable(file);
    drop(theirs);
    assert!(turn(&mut ring).iter().any(|e| matches!(e, Event::Readable { token: 1, hung_up: true })));
}

#[test]
fn a_listener_accepts_many_and_hands_over_late_ones_while_leaving() {
    let Some(mut ring) = ring() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback works");
    let address = listener.local_addr().expect("bound");
    // As the epoll driver needs it; a multishot accept waits all the same.
    listener.set_nonblocking(true).expect("settable");
    let file = ring.attach(listener.into(), 0);
    ring.accept(file);
    let clients: Vec<_> = (0..20).map(|_| TcpStream::connect(address).expect("it listens")).collect();
    let mut accepted = 0;
    while accepted < clients.len() {
        for event in turn(&mut ring) {
            assert!(matches!(event, Event::Accepted { token: 0, .. }), "{event:?}");
            accepted += 1;
        }
    }
    ring.detach(file);
    assert!(turn(&mut ring).iter().any(|e| matches!(e, Event::Detached { token: 0 })));
}

#[test]
fn a_listener_that_stopped_leaves_connections_waiting_until_it_accepts_again() {
    let Some(mut ring) = ring() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback works");
    let address = listener.local_addr().expect("bound");
    let file = ring.attach(listener.into(), 4);
    ring.accept(file);
    let _first = TcpStream::connect(address).expect("it listens");
    assert!(matches!(turn(&mut ring)[..], [Event::Accepted { token: 4, .. }]));
    ring.stop_accepting(file);
    ring.stop_accepting(file);
    let mut events = Vec::new();
    ring.turn(Wait::No, &mut events);
    let _second = TcpStream::connect(address).expect("it listens");
    ring.turn(Wait::For(Duration::from_millis(50)), &mut events);
    assert!(events.is_empty(), "{events:?}");
    ring.accept(file);
    assert!(matches!(turn(&mut ring)[..], [Event::Accepted { token: 4, .. }]));
    // Both in one turn: the last word counts.
    ring.stop_accepting(file);
    ring.accept(file);
    ring.turn(Wait::No, &mut events);
    let _third = TcpStream::connect(address).expect("it listens");
    assert!(matches!(turn(&mut ring)[..], [Event::Accepted { token: 4, .. }]));
    ring.stop_accepting(file);
    ring.detach(file);
    assert!(matches!(turn(&mut ring)[..], [Event::Detached { token: 4 }]));
    assert!(ring.stopping.is_empty());
}

/// A completion as the kernel would post it for an operation that is noted as in flight, but was never submitted.
fn pretend(ring: &mut TestRing, file: FileId, (armed, kind): (Armed, Kind), result: i32) {
    assert!(ring.files.arm(file, armed));
    ring.complete(Token::new(kind, file.generation, file.index), result, false);
}

#[test]
fn a_poll_that_ends_for_lack_of_memory_goes_on() {
    let Some(mut ring) = ring() else { return };
    let (ours, mut theirs) = UnixStream::pair().expect("pair");
    let file = ring.attach(ours.into(), 5);
    pretend(&mut ring, file, (Armed::Readable, Kind::Readable), -libc::ENOMEM);
    let events = turn(&mut ring);
    assert!(matches!(events[..], [Event::Readable { token: 5, hung_up: false }]), "{events:?}");
    theirs.write_all(b"x").expect("open");
    let events = turn(&mut ring);
    assert!(matches!(events[..], [Event::Readable { token: 5, hung_up: false }]), "{events:?}");
    leave(&mut ring, file);
}

/// Leaves, and waits for the end.
fn leave(ring: &mut TestRing, file: FileId) {
    ring.detach(file);
    while !turn(ring).iter().any(|event| matches!(event, Event::Detached { .. })) {}
}

#[test]
fn an_accept_goes_on_after_errors_of_single_connections_only() {
    let Some(mut ring) = ring() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback works");
    let file = ring.attach(listener.into(), 6);
    let accept = (Armed::Accept, Kind::Accept);
    for errno in [libc::ECONNABORTED, libc::EPROTO, libc::EHOSTUNREACH, libc::EPERM] {
        pretend(&mut ring, file, accept, -errno);
        assert!(ring.stash.is_empty(), "{errno} ends nothing");
        assert_eq!(ring.rearm.pop(), Some((file, Armed::Accept)));
    }
    for errno in [libc::EMFILE, libc::EINVAL] {
        pretend(&mut ring, file, accept, -errno);
        let told = ring.stash.pop();
        assert!(
            matches!(&told, Some(Event::AcceptStopped { token: 6, error }) if error.raw_os_error() == Some(errno))
        );
        assert!(ring.rearm.is_empty());
    }
    let mut told = 0;
    for _ in 0..PASSING_FAILURES_MAX {
        pretend(&mut ring, file, accept, -libc::EPERM);
        told += ring.stash.drain(..).count();
        ring.rearm.clear();
    }
    assert_eq!(told, 1, "what refuses everything is no error of single connections");
    leave(&mut ring, file);
}

#[test]
fn a_send_that_fits_posts_nothing_and_lets_go_of_its_frame() {
    let Some(mut ring) = ring() else { return };
    let (ours, mut theirs) = UnixStream::pair().expect("pair");
    let file = ring.attach(ours.into(), 1);
    let frame = Arc::new(b"hello".to_vec());
    ring.send_frame(file, &frame, Report::Short);
    assert_eq!(Arc::strong_count(&frame), 2);
    let mut events = Vec::new();
    ring.turn(Wait::No, &mut events);
    assert!(events.is_empty(), "{events:?}");
    assert_eq!(Arc::strong_count(&frame), 1);
    assert_eq!(ring.counters().completions, 0);
    let mut read = [0; 5];
    theirs.read_exact(&mut read).expect("it was sent");
    assert_eq!(&read, b"hello");
    ring.room()[..5].copy_from_slice(b"again");
    ring.send_copied(file, 5, Report::Always);
    ring.turn(Wait::No, &mut events);
    assert!(
        matches!(events[..], [Event::Sent { token: 1, report: Report::Always, result: Ok(5) }]),
        "{events:?}"
    );
    theirs.read_exact(&mut read).expect("it was sent");
    assert_eq!(&read, b"again");
}

#[test]
fn a_second_send_of_a_file_in_one_turn_is_a_bug() {
    let Some(mut ring) = ring() else { return };
    let (ours, _theirs) = UnixStream::pair().expect("pair");
    let file = ring.attach(ours.into(), 1);
    let frame = Arc::new(b"hello".to_vec());
    ring.send_frame(file, &frame, Report::Short);
    // Caught, so that the ring is dropped in peace and frees what it holds.
    let second = std::panic::AssertUnwindSafe(|| ring.send_frame(file, &frame, Report::Short));
    assert!(std::panic::catch_unwind(second).is_err());
}

#[test]
fn a_send_to_a_closed_peer_reports_its_error() {
    let Some(mut ring) = ring() else { return };
    let (ours, theirs) = UnixStream::pair().expect("pair");
    drop(theirs);
    let file = ring.attach(ours.into(), 1);
    ring.send_frame(file, &Arc::new(b"x".to_vec()), Report::Short);
    match &turn(&mut ring)[..] {
        [Event::Sent { token: 1, report: Report::Short, result: Err(error) }] => {
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        }
        other => panic!("{other:?}"),
    }
}

/// What a connection does with the ring's answers, as the reactor does it: quiet sends until one is short, then
/// reported ones, each after the socket became writable.
struct Stream {
    file: FileId,
    queue: VecDeque<Arc<Vec<u8>>>,
    /// What the send of this turn was given.
    planned: Vec<u8>,
    /// What is left of short sends.
    rest: Vec<u8>,
    blocked: bool,
}

impl Stream {
    fn flush(&mut self, ring: &mut TestRing) {
        if self.blocked {
            return;
        }
        if self.rest.is_empty() && self.queue.len() == 1 {
            let frame = self.queue.pop_front().expect("one");
            ring.send_frame(self.file, &frame, Report::Short);
            self.planned = frame.to_vec();
            return;
        }
        let report = if self.rest.is_empty() { Report::Short } else { Report::Always };
        self.planned = std::mem::take(&mut self.rest);
        self.queue.drain(..).for_each(|frame| self.planned.extend_from_slice(&frame));
        let length = self.planned.len().min(ring.room().len());
        self.rest = self.planned.split_off(length);
        ring.room()[..length].copy_from_slice(&self.planned);
        ring.send_copied(self.file, length, report);
    }

    fn sent(&mut self, ring: &mut TestRing, result: io::Result<usize>) {
        let count = match result {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => panic!("{error}"),
        };
        let mut rest = self.planned.split_off(count);
        self.blocked = !rest.is_empty();
        rest.append(&mut self.rest);
        self.rest = rest;
        if self.blocked {
            ring.arm_writable(self.file);
        }
    }
}

#[test]
fn a_stream_through_the_smallest_send_buffer_is_exact() {
    let Some(mut ring) = ring() else { return };
    let (server, mut client) = tiny_pair();
    let file = ring.attach(server.into(), 1);
    let mut stream =
        Stream { file, queue: VecDeque::new(), planned: Vec::new(), rest: Vec::new(), blocked: false };
    let (mut expected, mut frames, mut seed) = (Vec::new(), Vec::new(), 1u32);
    for _ in 0..4_000 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let frame: Vec<u8> = (0..=seed >> 24).map(|i| (seed >> (i % 17)) as u8).collect();
        expected.extend_from_slice(&frame);
        frames.push(Arc::new(frame));
    }
    let length = expected.len();
    let reader = std::thread::spawn(move || {
        let mut read = Vec::new();
        let mut chunk = [0; 700];
        while read.len() < length {
            let count = client.read(&mut chunk).expect("open");
            assert!(count > 0, "the stream ends early");
            read.extend_from_slice(&chunk[..count]);
            std::thread::yield_now();
        }
        read
    });
    let (mut events, mut short, mut per_turn) = (Vec::new(), 0, 1);
    let mut frames = frames.into_iter();
    while frames.len() > 0 || stream.blocked || !stream.rest.is_empty() || !stream.queue.is_empty() {
        // Between 1 and 50 frames a turn: single frames, copies, and bursts far above the buffer.
        if stream.rest.is_empty() {
            stream.queue.extend(frames.by_ref().take(per_turn));
            per_turn = per_turn % 50 + 1;
        }
        stream.flush(&mut ring);
        ring.turn(if stream.blocked { Wait::For(Duration::from_secs(5)) } else { Wait::No }, &mut events);
        for event in events.drain(..) {
            match event {
                Event::Sent { result, report, .. } => {
                    short += u32::from(report == Report::Short);
                    stream.sent(&mut ring, result);
                }
                Event::Writable { .. } => stream.blocked = false,
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(short > 10, "a quiet send was short {short} times");
    assert!(reader.join().expect("no panic") == expected, "the stream differs");
}

#[test]
fn more_sends_than_the_queue_holds_all_arrive() {
    let Some(mut ring) = ring_with(64) else { return };
    let pairs: Vec<_> = (0..200)
        .map(|token| {
            let (ours, theirs) = UnixStream::pair().expect("pair");
            (ring.attach(ours.into(), token), theirs)
        })
        .collect();
    let frame = Arc::new(b"to all".to_vec());
    for (file, _) in &pairs {
        ring.send_frame(*file, &frame, Report::Short);
    }
    let mut events = Vec::new();
    ring.turn(Wait::No, &mut events);
    assert!(events.is_empty(), "{events:?}");
    assert_eq!(Arc::strong_count(&frame), 1);
    assert!(ring.counters().queue_full > 0);
    for (_, theirs) in &pairs {
        let mut read = [0; 6];
        (&*theirs).read_exact(&mut read).expect("it was sent");
        assert_eq!(&read, b"to all");
    }
}

#[test]
fn completions_beyond_the_queue_are_not_lost() {
    let Some(mut ring) = ring_with(64) else { return };
    let pairs: Vec<_> = (0..600)
        .map(|token| {
            let (ours, theirs) = UnixStream::pair().expect("pair");
            let file = ring.attach(ours.into(), token);
            ring.arm_readable(file);
            (file, theirs)
        })
        .collect();
    let mut events = Vec::new();
    ring.turn(Wait::No, &mut events);
    assert!(events.is_empty());
    for (_, theirs) in &pairs {
        (&*theirs).write_all(b"x").expect("open");
    }
    let mut readable = vec![0; pairs.len()];
    while readable.contains(&0) {
        ring.turn(Wait::For(Duration::from_secs(5)), &mut events);
        assert!(!events.is_empty(), "every file becomes readable");
        for event in events.drain(..) {
            let Event::Readable { token, hung_up: false } = event else { panic!("{event:?}") };
            readable[token as usize] += 1;
        }
    }
}

#[test]
fn copies_beyond_the_scratch_go_out_in_between() {
    let Some(mut ring) = ring_with(64) else { return };
    let pairs: Vec<_> = (0..100)
        .map(|token| {
            let (ours, theirs) = UnixStream::pair().expect("pair");
            (ring.attach(ours.into(), token), theirs)
        })
        .collect();
    for (i, (file, _)) in pairs.iter().enumerate() {
        if ring.room().len() < 4_096 {
            ring.submit();
        }
        ring.room()[..4_096].fill(i as u8);
        ring.send_copied(*file, 4_096, Report::Short);
    }
    let mut events = Vec::new();
    ring.turn(Wait::No, &mut events);
    assert!(events.is_empty(), "{events:?}");
    for (i, (_, theirs)) in pairs.iter().enumerate() {
        let mut read = [0; 4_096];
        (&*theirs).read_exact(&mut read).expect("it was sent");
        assert!(read.iter().all(|byte| *byte == i as u8));
    }
}

#[test]
fn a_blocked_socket_is_told_writable_once_there_is_room() {
    let Some(mut ring) = ring() else { return };
    let (server, mut client) = tiny_pair();
    let file = ring.attach(server.into(), 1);
    let frame = Arc::new(vec![7; 8 << 20]);
    ring.send_frame(file, &frame, Report::Short);
    let events = turn(&mut ring);
    let [Event::Sent { token: 1, report: Report::Short, result: Ok(taken) }] = events[..] else {
        panic!("{events:?}")
    };
    assert!(taken < frame.len());
    assert_eq!(Arc::strong_count(&frame), 1, "a short send is the caller's to continue");
    ring.arm_writable(file);
    ring.arm_writable(file);
    let reader = std::thread::spawn(move || {
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).expect("closed");
        rest
    });
    assert!(matches!(turn(&mut ring)[..], [Event::Writable { token: 1 }]));
    ring.arm_writable(file);
    ring.detach(file);
    let events = turn(&mut ring);
    assert!(matches!(events.last(), Some(Event::Detached { token: 1 })), "{events:?}");
    assert_eq!(reader.join().expect("no panic"), vec![7; taken]);
}

#[test]
fn a_send_right_before_the_detach_goes_out() {
    let Some(mut ring) = ring() else { return };
    for report in [Report::Short, Report::Always] {
        let (ours, mut theirs) = UnixStream::pair().expect("pair");
        let file = ring.attach(ours.into(), 1);
        ring.arm_readable(file);
        ring.send_frame(file, &Arc::new(b"bye".to_vec()), report);
        ring.detach(file);
        ring.send_frame(file, &Arc::new(b"too late".to_vec()), report);
        assert!(matches!(turn(&mut ring)[..], [Event::Detached { token: 1 }]));
        let mut read = Vec::new();
        theirs.read_to_end(&mut read).expect("closed");
        assert_eq!(read, b"bye");
    }
    assert_eq!(ring.counters().stale, 0);
}

#[test]
fn dropping_a_ring_frees_what_was_in_flight() {
    let Some(mut ring) = ring() else { return };
    let (server, mut client) = tiny_pair();
    let file = ring.attach(server.into(), 1);
    ring.arm_readable(file);
    ring.arm_writable(file);
    let frame = Arc::new(vec![7; 8 << 20]);
    ring.send_frame(file, &frame, Report::Short);
    drop(ring);
    assert_eq!(Arc::strong_count(&frame), 1);
    client.read_to_end(&mut Vec::new()).expect("closed");
}

#[test]
fn a_write_lands_and_an_impossible_one_fails() {
    let Some(mut ring) = ring() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("segment");
    let file = std::fs::File::create_new(&path).expect("new");
    let file = ring.attach(file.into(), 1);
    ring.write(file, b"second".to_vec(), 5).expect("open");
    ring.write(file, b"first".to_vec(), 0).expect("open");
    let mut events = Vec::new();
    while events.len() < 2 {
        events.extend(turn(&mut ring));
    }
    for event in events {
        let Event::Written { token: 1, content, written } = event else { panic!("{event:?}") };
        assert_eq!(content.len() as i32, written);
    }
    assert_eq!(std::fs::read(&path).expect("there"), b"firstsecond");
    let read_only = ring.attach(std::fs::File::open(&path).expect("there").into(), 2);
    ring.write(read_only, b"x".to_vec(), 0).expect("open");
    match &turn(&mut ring)[..] {
        [Event::Written { token: 2, content, written }] => {
            assert_eq!((*written, &content[..]), (-libc::EBADF, &b"x"[..]));
        }
        other => panic!("{other:?}"),
    }
    // A detach waits for writes in flight.
    ring.write(file, vec![b'.'; 1 << 20], 11).expect("open");
    ring.detach(file);
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.extend(turn(&mut ring));
    }
    assert!(matches!(seen[..], [Event::Written { .. }, Event::Detached { token: 1 }]));
    assert_eq!(std::fs::metadata(&path).expect("there").len(), 11 + (1 << 20));
}

#[test]
fn a_short_write_tells_how_short() {
    let Some(mut ring) = ring() else { return };
    let (ours, _theirs) = UnixStream::pair().expect("pair");
    ours.set_nonblocking(true).expect("settable");
    let file = ring.attach(ours.into(), 1);
    ring.write(file, vec![1; 64 << 20], 0).expect("open");
    match &turn(&mut ring)[..] {
        [Event::Written { written, .. }] => assert!((1..64 << 20).contains(written), "{written}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_ring_wakes_another() {
    let Some(mut waker) = ring() else { return };
    let sleeper = DisabledRing::new(&Options::default()).expect("one was made before");
    let port = sleeper.port();
    let (started, is_started) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let mut ring: TestRing = sleeper.enable().expect("fresh");
        started.send(()).expect("the test waits");
        matches!(turn(&mut ring)[..], [Event::Woken])
    });
    is_started.recv().expect("it starts");
    waker.wake(&port, 0);
    waker.turn(Wait::No, &mut Vec::new());
    assert!(thread.join().expect("no panic"));
    assert_eq!(waker.counters().wakes_failed, 0);
}

#[test]
fn a_wake_that_does_not_arrive_is_told_and_counted() {
    let Some(mut waker) = ring() else { return };
    let idle = DisabledRing::new(&Options::default()).expect("one was made before");
    waker.wake(&idle.port(), 7);
    assert!(matches!(turn(&mut waker)[..], [Event::WakeFailed { tag: 7 }]));
    assert_eq!(waker.counters().wakes_failed, 1);
}

#[test]
fn an_eventfd_wakes_without_being_read() {
    let Some(mut ring) = ring() else { return };
    let event = rustix::event::eventfd(0, rustix::event::EventfdFlags::NONBLOCK).expect("eventfd");
    let file = ring.attach(event.as_fd().try_clone_to_owned().expect("dup"), 3);
    ring.arm_readable(file);
    for _ in 0..3 {
        rustix::io::write(&event, &1u64.to_ne_bytes()).expect("open");
        assert!(matches!(turn(&mut ring)[..], [Event::Readable { token: 3, hung_up: false }]));
        let mut rest = Vec::new();
        ring.turn(Wait::No, &mut rest);
        assert!(rest.is_empty(), "{rest:?}");
    }
}

#[test]
fn a_ring_refuses_operations_that_it_does_not_need() {
    let Some(mut ring) = ring() else { return };
    let entry = opcode::Socket::new(libc::AF_INET, libc::SOCK_STREAM, 0).build();
    ring.push_plain(entry, Token::new(Kind::WakeFailed, 0, 0));
    let mut events = Vec::new();
    ring.enter(Wait::For(Duration::from_secs(5))).expect("the ring works");
    let results: Vec<i32> = ring.uring.completion().map(|cqe| cqe.result()).collect();
    assert_eq!(results, [-libc::EACCES]);
    ring.turn(Wait::No, &mut events);
    assert!(ring.uring.submitter().register_files_sparse(1).is_err());
}

#[test]
fn a_wait_without_events_ends_in_time() {
    let Some(mut ring) = ring() else { return };
    let mut events = Vec::new();
    ring.turn(Wait::For(Duration::from_millis(5)), &mut events);
    assert!(events.is_empty());
}
