//! What the tests of this crate share: a driver in miniature, and the peer at the other end.

use std::sync::Arc;

use lynk_domain::{Limits, Nanos};
use lynk_http::{Policy, UpgradeRequest, decode_upgrade_response, encode_upgrade_request};
use lynk_protocol::Frame;
use lynk_websocket::{Close, Decoder, Event as WireEvent, Opcode, Role, accept_key, encode_client_frame};

use crate::{Connection, Event, Plan, Settings, TurnQueue};

pub(crate) const START: Nanos = Nanos(1_000);
pub(crate) const SECOND: u64 = Nanos::SECOND;

pub(crate) fn settings() -> Settings {
    Settings::new(&Limits::default(), Policy::default())
}

pub(crate) fn frame(text: &str) -> Arc<Frame> {
    Frame::new(|out| out.extend_from_slice(text.as_bytes()))
}

pub(crate) fn upgrade_request() -> Vec<u8> {
    let mut out = Vec::new();
    let request = UpgradeRequest { host: "chat.example", path: "/ws", nonce: [9; 16], origin: None };
    encode_upgrade_request(&mut out, &request);
    out
}

/// A masked client frame.
pub(crate) fn client(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_client_frame(&mut out, true, opcode, payload, [1, 2, 3, 4]);
    out
}

/// What a test saw of [`Connection::receive`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    Client(Option<std::net::IpAddr>),
    Request,
    Upgraded(bool),
    Text(String),
    Binary(Vec<u8>),
    Handled,
}

/// Gives `bytes` to the connection as one buffer.
pub(crate) fn receive(
    connection: &mut Connection,
    now: Nanos,
    settings: &Settings,
    bytes: &[u8],
) -> Vec<Seen> {
    let mut buffer = bytes.to_vec();
    let mut rest = buffer.as_mut_slice();
    let mut seen = Vec::new();
    loop {
        let step = connection.receive(now, settings, rest);
        let consumed = step.consumed;
        seen.push(match step.event {
            None => {
                assert_eq!(consumed, rest.len(), "without an event all input is taken");
                return seen;
            }
            Some(Event::Client(client)) => Seen::Client(client),
            Some(Event::Request) => Seen::Request,
            Some(Event::Upgraded { subprotocol }) => Seen::Upgraded(subprotocol),
            Some(Event::Text(text)) => Seen::Text(text.to_owned()),
            Some(Event::Binary(bytes)) => Seen::Binary(bytes.to_vec()),
            Some(Event::Handled) => Seen::Handled,
        });
        rest = &mut rest[consumed..];
    }
}

/// Sends all that the slow path has, and returns it.
pub(crate) fn drain(connection: &mut Connection, now: Nanos, settings: &Settings) -> Vec<u8> {
    let mut out = Vec::new();
    let mut room = [0; 1000];
    loop {
        let given = connection.next_send(&mut room);
        if given == 0 {
            return out;
        }
        out.extend_from_slice(&room[..given]);
        connection.sent(now, settings, given);
    }
}

/// An upgraded connection whose response is sent and whose news is settled.
pub(crate) fn open(now: Nanos, settings: &Settings) -> Connection {
    let mut connection = Connection::new(now, settings);
    assert_eq!(receive(&mut connection, now, settings, &upgrade_request()), [Seen::Upgraded(true)]);
    let response = drain(&mut connection, now, settings);
    assert!(response.starts_with(b"HTTP/1.1 101 "));
    let _ = connection.settle();
    connection
}

/// What the peer understood of the bytes it was sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    Text(String),
    Ping,
    Pong(Vec<u8>),
    Close(Option<u16>),
}

/// Decodes the server's bytes after the upgrade; the stream must end with a whole frame.
pub(crate) fn heard(bytes: &[u8]) -> Vec<Heard> {
    let mut bytes = bytes.to_vec();
    let mut decoder = Decoder::new(Role::Client, 1 << 24);
    let mut rest = bytes.as_mut_slice();
    let mut heard = Vec::new();
    loop {
        let step = decoder.decode(rest).expect("a server's stream is valid");
        let consumed = step.consumed;
        heard.push(match step.event {
            None => break,
            Some(WireEvent::Text(text)) => Heard::Text(text.to_owned()),
            Some(WireEvent::Ping(_)) => Heard::Ping,
            Some(WireEvent::Pong(payload)) => Heard::Pong(payload.to_vec()),
            Some(WireEvent::Close(Close { code, .. })) => {
                assert_eq!(consumed, rest.len(), "nothing follows a close frame");
                Heard::Close(code)
            }
            Some(WireEvent::Binary(_)) => panic!("the server sends no binary"),
        });
        rest = &mut rest[consumed..];
    }
    assert!(!decoder.is_partial(), "the stream ends with a whole frame");
    heard
}

/// Splits off and checks the upgrade response, then decodes the rest.
pub(crate) fn heard_after_upgrade(bytes: &[u8]) -> Vec<Heard> {
    let mut request = Vec::new();
    let upgrade = UpgradeRequest { host: "", path: "", nonce: [9; 16], origin: None };
    let key = encode_upgrade_request(&mut request, &upgrade);
    let upgraded = decode_upgrade_response(bytes, &accept_key(&key)).unwrap().expect("the response is whole");
    heard(&bytes[upgraded.head_bytes..])
}

/// One step between the submission of a send and the report of its result.
pub(crate) type Meanwhile<'a> = &'a mut dyn FnMut(&mut TurnQueue, &mut Connection);

/// One turn for one connection in slot 0: plans its send, lets the kernel take what `take` says of the bytes it is
/// given, and reports that. Returns what the kernel took. `meanwhile` runs while the send is in flight.
pub(crate) fn flush(
    turn: &mut TurnQueue,
    connection: &mut Connection,
    now: Nanos,
    settings: &Settings,
    take: &mut dyn FnMut(usize) -> usize,
    meanwhile: Meanwhile<'_>,
) -> Vec<u8> {
    if connection.settle().output {
        turn.mark(0, connection);
    }
    turn.begin();
    let mut out = Vec::new();
    let mut index = 0;
    while let Some(slot) = turn.slot(index) {
        assert_eq!(slot, 0);
        let mut room = vec![0; 64 << 10];
        let (bytes, reported) = match turn.plan(index, connection, now, settings, &mut room) {
            Plan::Idle => (Vec::new(), false),
            Plan::Frame(frame) => (turn.planned(frame).wire().to_vec(), false),
            Plan::Copied { bytes } => (room[..bytes].to_vec(), false),
            Plan::Reported { bytes } => (room[..bytes].to_vec(), true),
            Plan::NoRoom => panic!("the room is large"),
        };
        index += 1;
        if bytes.is_empty() {
            continue;
        }
        let taken = take(bytes.len());
        out.extend_from_slice(&bytes[..taken]);
        meanwhile(turn, connection);
        if !reported && taken < bytes.len() {
            turn.short(0, connection, now, settings, taken);
        } else if reported && taken == 0 {
            connection.send_blocked(now, settings);
        } else if reported {
            connection.sent(now, settings, taken);
        }
    }
    turn.finish();
    out
}

/// Every sequence of choices, one after another: depth-first over a tree whose shape the choices decide.
#[derive(Default)]
pub(crate) struct Choices {
    path: Vec<(usize, usize)>,
    at: usize,
}

impl Choices {
    /// One of `count` branches.
    pub(crate) fn pick(&mut self, count: usize) -> usize {
        if self.at == self.path.len() {
            self.path.push((0, count));
        }
        let (chosen, of) = self.path[self.at];
        assert_eq!(of, count, "a run repeats its choices");
        self.at += 1;
        chosen
    }

    /// Turns to the next sequence; false after the last.
    pub(crate) fn advance(&mut self) -> bool {
        self.at = 0;
        while let Some((chosen, count)) = self.path.pop() {
            if chosen + 1 < count {
                self.path.push((chosen + 1, count));
                return true;
            }
        }
        false
    }
}

/// A small generator; the same everywhere.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % bound as u64) as usize
    }
}
