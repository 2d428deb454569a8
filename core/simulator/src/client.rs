//! Simulated clients: they follow `docs/protocol.md` as a good client should, and complain when the server does not.
//!
//! A [`Device`] keeps its rooms, its cursors and its unacknowledged commands across connections. A [`Caller`] has none and
//! asks by HTTP. An [`Eraser`] takes back what an account said. A [`Rogue`] does what no client should.

mod answer;
mod caller;
mod choose;
mod device;
mod doors;
mod eraser;
mod intent;
mod link;
mod rogue;
mod view;

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use foldhash::fast::FixedState;
use lynk_auth::{Grant, Scope, SigningKey};
use lynk_domain::{LinkId, MediaId, Millis, RoomId, SessionId, UserId};
use lynk_model::memory::MemoryFiles;

use crate::network::{NetworkFaults, Socket};
use crate::oracle::{Ledger, Step};
use crate::random::Random;
use crate::trace::Trace;
use crate::wire::Item;

pub(crate) use caller::Caller;
pub(crate) use choose::{Act, Mix};
pub(crate) use device::{Device, Pace};
pub(crate) use eraser::Eraser;
pub(crate) use intent::Change;
pub(crate) use rogue::{Rogue, Vice};

/// What all clients know of each other: rooms and people.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    pub(crate) users: Vec<UserId>,
    pub(crate) rooms: Vec<RoomId>,
    /// Codes of links that were passed on, the newest last.
    pub(crate) codes: Vec<(RoomId, LinkId, String)>,
    /// Files that somebody put, the newest last.
    pub(crate) files: Vec<MediaId>,
    /// The same of pictures.
    pub(crate) pictures: Vec<MediaId>,
}

impl Directory {
    pub(crate) fn add_room(&mut self, room: RoomId) {
        if !self.rooms.contains(&room) {
            self.rooms.push(room);
        }
    }
}

/// Sockets between clients and server.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) sockets: Vec<Option<Socket>>,
    /// Opened and not accepted yet.
    pub(crate) opened: Vec<usize>,
    /// Whether the server listens.
    pub(crate) listening: bool,
    pub(crate) faults: NetworkFaults,
    pub(crate) random: Random,
}

impl Network {
    /// Opens a connection; `None` when nobody listens.
    pub(crate) fn open(&mut self) -> Option<usize> {
        if !self.listening {
            return None;
        }
        let socket = Socket::new(self.faults, self.random.fork(1));
        let free = self.sockets.iter().position(Option::is_none);
        let index = free.unwrap_or(self.sockets.len());
        if free.is_some() {
            self.sockets[index] = Some(socket);
        } else {
            self.sockets.push(Some(socket));
        }
        self.opened.push(index);
        Some(index)
    }

    pub(crate) fn socket(&mut self, index: usize) -> Option<&mut Socket> {
        self.sockets.get_mut(index)?.as_mut()
    }
}

/// Issues access tokens; stands for the account service.
#[derive(Debug)]
pub(crate) struct Tokens {
    key: SigningKey,
    scope: Scope,
    /// One token per session, used again while it has time left: signing is slow.
    issued: BTreeMap<SessionId, (Millis, String)>,
}

/// Life of an access token.
const TOKEN_MILLIS: u64 = 15 * 60 * 1_000;

impl Tokens {
    pub(crate) fn new(key: SigningKey, scope: Scope) -> Self {
        Self { key, scope, issued: BTreeMap::new() }
    }

    /// A token that is good for some time from `wall`.
    pub(crate) fn token(&mut self, user: UserId, session: SessionId, wall: Millis, fresh: bool) -> String {
        if let Some((expires, token)) = self.issued.get(&session)
            && !fresh
            && expires.0 > wall.0 + TOKEN_MILLIS / 3
            && expires.0 <= wall.0 + TOKEN_MILLIS
        {
            return token.clone();
        }
        let expires = Millis(wall.0 + TOKEN_MILLIS);
        let grant = Grant { user, session, epoch: 0, id: session.0, issued: wall, expires };
        let token = self.key.issue(&self.scope, &grant).reveal().to_owned();
        self.issued.insert(session, (expires, token.clone()));
        token
    }
}

/// Frames read once, however many clients receive them.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    items: HashMap<Vec<u8>, Rc<Item>, FixedState>,
}

/// Frames remembered.
const PARSED_MAX: usize = 512;

impl Parsed {
    /// The meaning of a frame.
    ///
    /// # Errors
    /// When it has none.
    pub(crate) fn item(&mut self, payload: &[u8]) -> Result<Rc<Item>, String> {
        if let Some(item) = self.items.get(payload) {
            return Ok(Rc::clone(item));
        }
        let item = Rc::new(Item::parse(payload)?);
        if self.items.len() >= PARSED_MAX {
            self.items.clear();
        }
        self.items.insert(payload.to_vec(), Rc::clone(&item));
        Ok(item)
    }
}

/// A client's surroundings in one step.
pub(crate) struct Around<'a> {
    /// Nanoseconds since the world began.
    pub(crate) now: u64,
    /// The client's own clock, which nobody sets.
    pub(crate) wall: Millis,
    /// The clock of the account service: the server's.
    pub(crate) server_wall: Millis,
    pub(crate) step: Step,
    pub(crate) ledger: &'a mut Ledger,
    /// The store of files, into which clients put theirs.
    pub(crate) files: &'a MemoryFiles,
    pub(crate) directory: &'a mut Directory,
    pub(crate) network: &'a mut Network,
    pub(crate) tokens: &'a mut Tokens,
    pub(crate) parsed: &'a mut Parsed,
    pub(crate) trace: &'a Trace,
    /// Room to read into.
    pub(crate) buffer: &'a mut [u8],
    /// Requests without a connection, for the shard of the client's user.
    pub(crate) calls: &'a mut Vec<lynk_engine::ApiInput>,
    /// Counts processes: what was asked of an earlier one is not answered.
    pub(crate) boot: u32,
    /// No new work: finish what is open.
    pub(crate) settling: bool,
    /// Nothing changes any more: answers must be exact.
    pub(crate) still: bool,
}

/// When a client wants its next step, and what it did to its socket.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stepped {
    pub(crate) next: Option<u64>,
    /// The socket it wrote to, closed or opened.
    pub(crate) touched: Option<usize>,
}
