use std::collections::VecDeque;

use super::*;
use crate::testing::*;
use lynk_protocol::CloseCode;
use lynk_websocket::Opcode;

/// A connection, its turn queue, what was queued and what the kernel took.
struct World {
    settings: Settings,
    turn: TurnQueue,
    connection: Connection,
    queued: Vec<String>,
    pings: usize,
    closed: bool,
    out: Vec<u8>,
}

/// A text frame of three to five wire bytes, so that every cut can be tried.
fn queue(turn: &mut TurnQueue, connection: &mut Connection, settings: &Settings, queued: &mut Vec<String>) {
    let text = format!("{:x}", queued.len());
    let index = turn.frame(frame(&text));
    turn.queue(0, connection, START, settings, index);
    queued.push(text);
}

impl World {
    fn new() -> Self {
        let settings = settings();
        let connection = open(START, &settings);
        Self {
            settings,
            turn: TurnQueue::new(),
            connection,
            queued: Vec::new(),
            pings: 0,
            closed: false,
            out: Vec::new(),
        }
    }

    fn queue(&mut self) {
        queue(&mut self.turn, &mut self.connection, &self.settings, &mut self.queued);
    }

    fn ping(&mut self) {
        let ping = client(Opcode::Ping, &[self.pings as u8]);
        receive(&mut self.connection, START, &self.settings, &ping);
        self.pings += 1;
    }

    fn close(&mut self) {
        self.connection.close(START, &self.settings, CloseCode::Normal);
        self.closed = true;
    }

    /// One turn in which the kernel takes what `choices` say, and something may happen meanwhile.
    fn flush(&mut self, choices: &mut Choices) {
        let Self { settings, turn, connection, queued, pings, .. } = self;
        let mut taken = |bytes: usize| match choices.pick(4) {
            0 => bytes,
            1 => 0,
            2 => 1,
            _ => bytes - 1,
        };
        let open = !self.closed;
        let mut what = 0;
        let out = flush(turn, connection, START, settings, &mut taken, &mut |turn, connection| {
            // Alternates, to keep the tree small: nothing, a frame, a ping.
            what = (queued.len() + *pings) % 3;
            match what {
                1 if open => queue(turn, connection, settings, queued),
                2 if open => {
                    receive(connection, START, settings, &client(Opcode::Ping, &[*pings as u8]));
                    *pings += 1;
                }
                _ => {}
            }
        });
        self.out.extend(out);
    }

    /// Lets everything out and checks it.
    fn check(mut self) {
        for _ in 0..50 {
            self.connection.writable();
            self.flush(&mut Choices::default());
        }
        assert_eq!(self.connection.queued_bytes(), 0);
        let heard = heard(&self.out);
        let texts: Vec<_> = heard
            .iter()
            .filter_map(|h| if let Heard::Text(text) = h { Some(text.clone()) } else { None })
            .collect();
        assert_eq!(texts, self.queued, "every frame whole, once, in order");
        let pongs: Vec<_> = heard
            .iter()
            .filter_map(|h| if let Heard::Pong(p) = h { Some(p[0] as usize) } else { None })
            .collect();
        assert_eq!(pongs, (0..self.pings).collect::<Vec<_>>(), "every pong once, in order");
        assert_eq!(heard.contains(&Heard::Close(Some(1000))), self.closed);
        if !self.closed {
            assert_eq!(self.connection.heap_bytes(), 0, "an idle connection owns nothing");
        }
    }
}

#[test]
fn every_interleaving_of_short_and_blocked_sends_is_byte_exact() {
    let mut choices = Choices::default();
    let mut runs = 0u64;
    loop {
        let mut world = World::new();
        for _ in 0..5 {
            match choices.pick(4) {
                0 => world.flush(&mut choices),
                1 => {
                    world.queue();
                    world.flush(&mut choices);
                }
                2 => {
                    world.queue();
                    world.ping();
                    world.queue();
                    world.flush(&mut choices);
                }
                _ => world.connection.writable(),
            }
        }
        world.check();
        runs += 1;
        if !choices.advance() {
            break;
        }
    }
    assert!(runs > 10_000, "{runs} runs");
}

#[test]
fn every_interleaving_with_a_close_ends_with_the_close_frame() {
    let mut choices = Choices::default();
    loop {
        let mut world = World::new();
        let close_at = choices.pick(4);
        for step in 0..4 {
            match choices.pick(3) {
                0 => world.flush(&mut choices),
                1 if !world.closed => {
                    world.queue();
                    world.queue();
                }
                1 => world.connection.writable(),
                _ => {
                    world.connection.writable();
                    world.flush(&mut choices);
                }
            }
            if step == close_at {
                world.close();
            }
        }
        world.check();
        if !choices.advance() {
            break;
        }
    }
}

#[test]
fn one_frame_is_sent_from_its_own_memory_and_several_as_one_copy() {
    let settings = settings();
    let mut connection = open(START, &settings);
    let mut turn = TurnQueue::new();
    let mut room = vec![0; FAST_BYTES_MAX];
    let event = frame("one");
    let first = turn.frame(Arc::clone(&event));
    assert!(!turn.queue(7, &mut connection, START, &settings, first));
    turn.begin();
    assert_eq!(turn.slot(0), Some(7));
    let Plan::Frame(planned) = turn.plan(0, &mut connection, START, &settings, &mut room) else { panic!() };
    assert!(Arc::ptr_eq(turn.planned(planned), &event));
    assert_eq!(turn.plan(0, &mut connection, START, &settings, &mut room), Plan::Idle, "one send a turn");
    turn.finish();
    assert_eq!(Arc::strong_count(&event), 1, "the turn releases its frames");

    for text in ["two", "three"] {
        let index = turn.frame(frame(text));
        turn.queue(7, &mut connection, START, &settings, index);
    }
    turn.begin();
    assert_eq!(turn.plan(0, &mut connection, START, &settings, &mut room[..5]), Plan::NoRoom);
    let Plan::Copied { bytes } = turn.plan(0, &mut connection, START, &settings, &mut room) else { panic!() };
    assert_eq!(heard(&room[..bytes]), [Heard::Text("two".to_owned()), Heard::Text("three".to_owned())]);
    turn.finish();
    assert_eq!(connection.heap_bytes(), 0);
}

#[test]
fn a_fan_out_holds_its_frame_once() {
    let settings = settings();
    let mut connections: Vec<_> = (0..100).map(|_| open(START, &settings)).collect();
    let mut turn = TurnQueue::new();
    let event = frame("event");
    let index = turn.frame(Arc::clone(&event));
    for (slot, connection) in connections.iter_mut().enumerate() {
        turn.queue(slot as u32, connection, START, &settings, index);
    }
    assert_eq!(Arc::strong_count(&event), 2);
    turn.begin();
    for (slot, connection) in connections.iter_mut().enumerate() {
        assert!(matches!(turn.plan(slot, connection, START, &settings, &mut []), Plan::Frame(_)));
    }
    assert_eq!(turn.slot(100), None);
    turn.finish();
    assert_eq!(Arc::strong_count(&event), 1);
}

#[test]
fn many_frames_in_one_turn_take_the_slow_path_in_order() {
    let mut world = World::new();
    let long = "x".repeat(FAST_BYTES_MAX / 3);
    for i in 0..5 {
        let text = format!("{i}{long}");
        let index = world.turn.frame(frame(&text));
        let due = world.turn.queue(0, &mut world.connection, START, &world.settings, index);
        assert_eq!(due, i >= 2, "frame {i}");
        world.queued.push(text);
    }
    assert!(world.connection.queued_bytes() > 5 * long.len());
    world.check();
}

#[test]
#[should_panic(expected = "begins when the one before is finished")]
fn a_batch_cannot_begin_while_another_is_in_flight() {
    let mut turn = TurnQueue::new();
    turn.begin();
    turn.begin();
}

#[test]
fn a_slot_that_changes_hands_within_a_turn_keeps_its_streams_apart() {
    let settings = settings();
    let mut turn = TurnQueue::new();
    let mut old = open(START, &settings);
    let index = turn.frame(frame("for the old one"));
    turn.queue(3, &mut old, START, &settings, index);
    drop(old);
    let mut new = open(START, &settings);
    let index = turn.frame(frame("for the new one"));
    turn.queue(3, &mut new, START, &settings, index);
    turn.begin();
    assert_eq!((turn.slot(0), turn.slot(1), turn.slot(2)), (Some(3), Some(3), None));
    assert_eq!(turn.plan(0, &mut new, START, &settings, &mut []), Plan::Idle);
    let Plan::Frame(planned) = turn.plan(1, &mut new, START, &settings, &mut []) else { panic!() };
    assert_eq!(turn.planned(planned).payload(), b"for the new one");
    // A late report for a connection that has left its slot changes nothing.
    let mut newest = Connection::new(START, &settings);
    turn.short(3, &mut newest, START, &settings, 0);
    assert_eq!(newest.queued_bytes(), 0);
}

#[test]
fn a_connection_that_is_not_open_takes_no_frames() {
    let settings = settings();
    let mut turn = TurnQueue::new();
    let mut fresh = Connection::new(START, &settings);
    let mut closing = open(START, &settings);
    closing.close(START, &settings, CloseCode::Normal);
    for connection in [&mut fresh, &mut closing] {
        let before = connection.queued_bytes();
        let index = turn.frame(frame("lost"));
        assert!(!turn.queue(0, connection, START, &settings, index));
        assert_eq!(connection.queued_bytes(), before);
    }
}

/// A peer's kernel: room for a few bytes, read from time to time.
struct Socket {
    room: usize,
    buffered: VecDeque<u8>,
    received: Vec<u8>,
}

impl Socket {
    fn take(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room - self.buffered.len());
        self.buffered.extend(&bytes[..count]);
        count
    }

    fn read(&mut self, count: usize) {
        let count = count.min(self.buffered.len());
        self.received.extend(self.buffered.drain(..count));
    }
}

/// Connections in many rooms with minimal send buffers, one shared scratch, reports at the end of a batch, and pings
/// from the clients: every stream is byte-exact.
#[test]
fn many_connections_with_tiny_buffers_get_exact_streams() {
    for seed in 0..40 {
        let mut draw = Draw(seed);
        let settings = settings();
        let count = 20;
        let mut connections: Vec<_> = (0..count).map(|_| open(START, &settings)).collect();
        let mut sockets: Vec<_> = (0..count)
            .map(|_| Socket { room: 1 + draw.below(400), buffered: VecDeque::new(), received: Vec::new() })
            .collect();
        let mut expected: Vec<Vec<Heard>> = vec![Vec::new(); count];
        let mut pings = vec![0u8; count];
        let mut turn = TurnQueue::new();
        let mut scratch = vec![0; FAST_BYTES_MAX];
        for step in 0.. {
            let quiet = step >= 300;
            if quiet
                && sockets.iter().all(|s| s.buffered.is_empty())
                && connections.iter().all(|c| c.heap_bytes() == 0)
            {
                break;
            }
            for event in 0..if quiet { 0 } else { draw.below(6) } {
                let text = format!("{step} {event} {}", "y".repeat(draw.below(60)));
                let index = turn.frame(frame(&text));
                for slot in 0..count {
                    if draw.below(3) > 0 {
                        turn.queue(slot as u32, &mut connections[slot], START, &settings, index);
                        expected[slot].push(Heard::Text(text.clone()));
                    }
                }
            }
            for slot in 0..count {
                if !quiet && draw.below(10) == 0 {
                    receive(&mut connections[slot], START, &settings, &client(Opcode::Ping, &[pings[slot]]));
                    pings[slot] += 1;
                }
                sockets[slot].read(draw.below(300) + usize::from(quiet) * 1_000);
                if connections[slot].wants_write() && sockets[slot].buffered.len() < sockets[slot].room {
                    connections[slot].writable();
                }
                if connections[slot].settle().output {
                    turn.mark(slot as u32, &mut connections[slot]);
                }
            }
            send_batch(&mut turn, &mut connections, &mut sockets, &settings, &mut scratch);
        }
        for slot in 0..count {
            sockets[slot].read(usize::MAX);
            let (pongs, texts): (Vec<_>, Vec<_>) =
                heard(&sockets[slot].received).into_iter().partition(|heard| matches!(heard, Heard::Pong(_)));
            assert_eq!(texts, expected[slot], "seed {seed}, slot {slot}");
            assert_eq!(pongs, (0..pings[slot]).map(|n| Heard::Pong(vec![n])).collect::<Vec<_>>());
            assert_eq!(connections[slot].heap_bytes(), 0);
        }
    }
}

/// One batch as the io_uring driver does it: sends go in as they are planned, results come out at the end.
fn send_batch(
    turn: &mut TurnQueue,
    connections: &mut [Connection],
    sockets: &mut [Socket],
    settings: &Settings,
    scratch: &mut [u8],
) {
    turn.begin();
    let mut used = 0;
    let mut results = Vec::new();
    let mut index = 0;
    while let Some(slot) = turn.slot(index) {
        let slot = slot as usize;
        let plan = turn.plan(index, &mut connections[slot], START, settings, &mut scratch[used..]);
        let (bytes, reported) = match plan {
            Plan::Idle => {
                index += 1;
                continue;
            }
            Plan::NoRoom => {
                assert!(used > 0, "an empty scratch is enough");
                used = 0;
                continue;
            }
            Plan::Frame(frame) => (turn.planned(frame).wire(), false),
            Plan::Copied { bytes } | Plan::Reported { bytes } => {
                let start = used;
                used += bytes;
                (&scratch[start..used], matches!(plan, Plan::Reported { .. }))
            }
        };
        let taken = sockets[slot].take(bytes);
        if reported || taken < bytes.len() {
            results.push((slot, reported, taken));
        }
        index += 1;
    }
    for (slot, reported, taken) in results {
        let connection = &mut connections[slot];
        match (reported, taken) {
            (false, _) => turn.short(slot as u32, connection, START, settings, taken),
            (true, 0) => connection.send_blocked(START, settings),
            (true, _) => connection.sent(START, settings, taken),
        }
    }
    turn.finish();
}
