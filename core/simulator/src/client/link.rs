//! One connection as its client has it: the upgrade, frames both ways, commands in flight.

use std::collections::{BTreeMap, BTreeSet};

use lynk_domain::RoomId;
use lynk_websocket::{Control, Decoder, Event, Opcode, Role, encode_client_frame, mask};

use crate::network::{Moved, Socket};
use crate::random::Random;

use super::intent::{Pending, Question};

/// Longest frame that a client takes.
const FRAME_BYTES_MAX: u32 = 4 << 20;

/// How far a connection has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// Waits for the answer to the upgrade.
    Upgrading,
    /// `hello` is sent.
    Greeting,
    /// Signed in.
    Ready,
}

/// A connection from its client's side.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) socket: usize,
    pub(crate) stage: Stage,
    decoder: Decoder,
    head: Vec<u8>,
    accept: [u8; 28],
    out: Vec<u8>,
    random: Random,
    /// Commands that wait for their answer.
    pub(crate) pending: BTreeMap<u64, Pending>,
    pub(crate) last_id: u64,
    /// Subscriptions: the next seq of each room's stream.
    pub(crate) streams: BTreeMap<RoomId, u64>,
    /// Events that an `ok` told about which may or may not stand for them in the stream.
    pub(crate) perhaps: BTreeSet<(RoomId, u64)>,
    /// Top of the last `subscribed` or `resync` of each room: commands whose events lie below may still be answered.
    pub(crate) based: BTreeMap<RoomId, u64>,
    /// Rooms that were unsubscribed, and the command: a `subscribe` before it starts no stream any more.
    pub(crate) unsubscribed: BTreeMap<RoomId, u64>,
    /// Rooms that answered a page or `subscribe` with a lasting refusal: their streams have ended with a removal that
    /// is no event yet, or go on when that came to nothing.
    pub(crate) refused: BTreeSet<RoomId>,
    /// Rooms of `hello` that were not answered yet.
    pub(crate) resuming: BTreeSet<RoomId>,
    /// Number of `hello`, for the errors of its rooms.
    pub(crate) hello: u64,
    /// When it was sent.
    pub(crate) hello_at: crate::oracle::Step,
    /// The presence that is compared at the end is watched on this connection.
    pub(crate) watches: bool,
    /// The user's rooms as the store had them a while after the sign-in, with the version of each room then, and when they are
    /// looked at.
    pub(crate) base_rooms: Option<(BTreeSet<RoomId>, BTreeMap<RoomId, u64>)>,
    pub(crate) base_at: u64,
    /// What was told about them: the newest version, and whether the user is in it.
    pub(crate) told_rooms: BTreeMap<RoomId, (u64, bool)>,
    /// Rooms that came back, to be subscribed to anew.
    pub(crate) again: BTreeSet<RoomId>,
    /// Close code, when the server sent one.
    pub(crate) closed: Option<u16>,
}

/// What reading brought.
pub(crate) enum Read {
    /// The upgrade was accepted.
    Upgraded,
    /// A text frame.
    Text(Vec<u8>),
    /// The connection is over.
    Over,
    /// The server broke the protocol.
    Broken(String),
}

impl Link {
    pub(crate) fn new(socket: usize, mut random: Random) -> Self {
        let nonce: [u8; 16] = random.bytes();
        let mut out = Vec::new();
        let request =
            lynk_http::UpgradeRequest { host: "sim", path: lynk_http::SOCKET_PATH, nonce, origin: None };
        let key = lynk_http::encode_upgrade_request(&mut out, &request);
        Self {
            socket,
            stage: Stage::Upgrading,
            decoder: Decoder::new(Role::Client, FRAME_BYTES_MAX),
            head: Vec::new(),
            accept: lynk_websocket::accept_key(&key),
            out,
            random,
            pending: BTreeMap::new(),
            last_id: 0,
            streams: BTreeMap::new(),
            perhaps: BTreeSet::new(),
            based: BTreeMap::new(),
            unsubscribed: BTreeMap::new(),
            refused: BTreeSet::new(),
            resuming: BTreeSet::new(),
            hello: 0,
            hello_at: 0,
            watches: false,
            base_rooms: None,
            base_at: u64::MAX,
            told_rooms: BTreeMap::new(),
            again: BTreeSet::new(),
            closed: None,
        }
    }

    /// The user's rooms as this connection knows them, once it knows any.
    pub(crate) fn known_rooms(&self) -> Option<BTreeSet<RoomId>> {
        let (mut rooms, versions) = self.base_rooms.clone()?;
        for (room, (version, member)) in &self.told_rooms {
            if versions.get(room).is_some_and(|base| version <= base) {
                // It was so before: the answer to a repeated command, or news of the time between.
                continue;
            }
            if *member {
                rooms.insert(*room);
            } else {
                rooms.remove(room);
            }
        }
        Some(rooms)
    }

    /// Whether the `subscribed` that answers command `id` starts a stream: not when the room was unsubscribed after
    /// it, unless it is wanted again by now.
    pub(crate) fn starts(&self, room: RoomId, id: u64) -> bool {
        let wanted = |p: &Pending| p.question == Question::Subscribe { room };
        self.unsubscribed.get(&room).is_none_or(|at| *at < id) || self.pending.values().any(wanted)
    }

    /// Whether the room's stream was asked to end: it may have, although that was not answered yet.
    pub(crate) fn ending(&self, room: RoomId) -> bool {
        self.pending.values().any(|p| p.question == Question::Unsubscribe { room })
    }

    /// Where a room's stream stands, given that `ok`s stood for the events up to `seq` that they told about.
    pub(crate) fn pass(&mut self, room: RoomId, seq: u64) -> Option<u64> {
        let next = self.streams.get_mut(&room)?;
        while *next < seq && self.perhaps.remove(&(room, *next)) {
            *next += 1;
        }
        Some(*next)
    }

    /// Queues a text frame; sometimes in fragments.
    pub(crate) fn text(&mut self, payload: &str) {
        let key = self.random.bytes();
        let bytes = payload.as_bytes();
        if bytes.len() > 1 && self.random.chance(30) {
            let cut = self.random.between(1, bytes.len() as u64 - 1) as usize;
            encode_client_frame(&mut self.out, false, Opcode::Text, &bytes[..cut], key);
            encode_client_frame(&mut self.out, true, Opcode::Continuation, &bytes[cut..], key);
        } else {
            encode_client_frame(&mut self.out, true, Opcode::Text, bytes, key);
        }
    }

    /// Queues any bytes.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Keeps only the first bytes of what waits for the socket.
    pub(crate) fn cut(&mut self, bytes: usize) {
        self.out.truncate(bytes);
    }

    /// Queues a close frame.
    pub(crate) fn close(&mut self) {
        let key = self.random.bytes();
        encode_client_frame(&mut self.out, true, Opcode::Close, &1000u16.to_be_bytes(), key);
    }

    /// Bytes that wait for the socket.
    pub(crate) fn unsent(&self) -> usize {
        self.out.len()
    }

    /// Gives the socket what it takes; whether it took anything.
    pub(crate) fn flush(&mut self, socket: &mut Socket) -> bool {
        let mut any = false;
        while !self.out.is_empty() {
            match socket.client_send(&self.out) {
                Moved::Bytes(count) => {
                    self.out.drain(..count);
                    any = true;
                }
                _ => break,
            }
        }
        any
    }

    /// Takes up to `buffer.len()` bytes off the socket and gives each frame in them to `take`.
    pub(crate) fn read(&mut self, socket: &mut Socket, buffer: &mut [u8], frames: &mut Vec<Read>) {
        let count = match socket.client_recv(buffer) {
            Moved::Bytes(count) => count,
            Moved::Blocked => return,
            Moved::Ended | Moved::Reset => {
                frames.push(Read::Over);
                return;
            }
        };
        let input = &mut buffer[..count];
        if self.stage == Stage::Upgrading {
            self.upgrade(input, frames);
        } else {
            self.decode(input, frames);
        }
    }

    fn upgrade(&mut self, input: &[u8], frames: &mut Vec<Read>) {
        self.head.extend_from_slice(input);
        match lynk_http::decode_upgrade_response(&self.head, &self.accept) {
            Ok(None) => {}
            Ok(Some(upgraded)) => {
                let mut rest = self.head.split_off(upgraded.head_bytes);
                self.head = Vec::new();
                self.stage = Stage::Greeting;
                frames.push(Read::Upgraded);
                self.decode(&mut rest, frames);
            }
            // A refusal: overloaded or draining. The client comes back later.
            Err(_) => frames.push(Read::Over),
        }
    }

    fn decode(&mut self, mut input: &mut [u8], frames: &mut Vec<Read>) {
        loop {
            let step = match self.decoder.decode(input) {
                Ok(step) => step,
                Err(error) => {
                    frames.push(Read::Broken(format!("{error:?}")));
                    return;
                }
            };
            let consumed = step.consumed;
            match step.event {
                None => return,
                Some(Event::Text(text)) => frames.push(Read::Text(text.as_bytes().to_vec())),
                Some(Event::Ping(payload)) => {
                    let key = self.random.bytes();
                    encode_client_frame(&mut self.out, true, Opcode::Pong, payload, key);
                }
                Some(Event::Close(close)) => self.closed = Some(close.code.unwrap_or(1005)),
                Some(Event::Binary(_)) => frames.push(Read::Broken("a binary frame".to_owned())),
                Some(Event::Pong(_)) => {}
            }
            input = &mut input[consumed..];
        }
    }
}

/// Bytes that no good client sends: broken frames, wrong text, half a frame.
pub(crate) fn garbage(random: &mut Random) -> Vec<u8> {
    let key = random.bytes();
    let mut out = Vec::new();
    match random.below(8) {
        0 => out.extend(random.bytes::<40>()),
        1 => out.extend_from_slice(&Control::ping(b"unmasked")),
        2 => encode_client_frame(&mut out, true, Opcode::Text, &[0xff, 0xfe, 0xc0], key),
        3 => encode_client_frame(&mut out, true, Opcode::Binary, b"binary", key),
        4 => encode_client_frame(&mut out, true, Opcode::Text, "[".repeat(5_000).as_bytes(), key),
        5 => {
            // Announces far more than the limit.
            out.extend_from_slice(&[0x81, 0xff, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 1, 2, 3, 4]);
        }
        6 => encode_client_frame(
            &mut out,
            true,
            Opcode::Text,
            br#"{"id":1,"op":"hello","token":"x.y.z"}"#,
            key,
        ),
        _ => {
            let mut half = vec![0x81, 0xfe, 0x20, 0x00, 1, 2, 3, 4];
            let mut payload = vec![b'{'; 30];
            mask(&mut payload, [1, 2, 3, 4], 0);
            half.extend(payload);
            out = half;
        }
    }
    out
}
