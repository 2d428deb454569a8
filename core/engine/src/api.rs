//! What the API bridge and a shard tell each other: commands of HTTP requests, tickets of sockets, ends of sessions.
//!
//! A request takes the path of a socket's command. The bridge gives it an **API slot**, a slot number that no connection
//! has, at the shard of the request's user, because the rate of an account is counted there. The engine answers it as it
//! answers a connection, with one delivery to that slot. A slot has one command at a time: the next one takes the place of
//! the one before, whose answer is then dropped. So the bridge owns the life of a slot and the engine needs no message about
//! its end.
//!
//! Limits: [`API_SLOTS_MAX`] commands at a time. Full mailboxes: what the bridge posts waits with the bridge; a ticket that
//! a shard cannot post is refused as busy at once.

use std::fmt;
use std::sync::Arc;

use lynk_domain::{Millis, SessionId, UserId};
use lynk_protocol::Frame;

use crate::io::Slot;
use crate::mail::{ConnectionRef, Principal};

/// Commands of HTTP requests that one shard has at a time, at most.
pub const API_SLOTS_MAX: u32 = 1_024;
/// Tickets that one shard may ask about before the bridge has looked, at most.
const TICKETS_MAX: usize = 1_024;
/// What the mailbox towards the bridge must hold at least: an answer for each API slot, and tickets.
pub const API_ANSWERS_MAX: usize = API_SLOTS_MAX as usize + TICKETS_MAX;

impl Slot {
    /// Slots from here on are not connections.
    const API_FIRST: u32 = 1 << 31;

    /// The API slot of this number.
    ///
    /// # Panics
    /// When there are not so many.
    #[must_use]
    pub fn api(number: u32) -> Self {
        assert!(number < API_SLOTS_MAX, "there are {API_SLOTS_MAX} API slots");
        Self(Self::API_FIRST + number)
    }

    /// The number of an API slot; `None` for a connection's.
    #[must_use]
    pub fn api_number(self) -> Option<u32> {
        self.0.checked_sub(Self::API_FIRST)
    }
}

/// What the API bridge tells a shard.
#[derive(Clone, Debug)]
pub enum ApiInput {
    /// A command of an authenticated request, for the shard of its user. Answered with one delivery to `slot`, whose `re` is
    /// the command's `id`.
    Command {
        /// Its place; what was there before is not waited for any more.
        slot: Slot,
        /// Who asks.
        principal: Principal,
        /// When the token of the request ends.
        expires: Millis,
        /// The command as a client would send it, with an `id` above 0.
        text: Box<str>,
    },
    /// The answer to [`TicketAsk`].
    Ticket {
        /// Whose.
        to: ConnectionRef,
        /// As asked.
        re: u64,
        /// What the ticket is good for.
        outcome: TicketOutcome,
    },
    /// Whether a user hides that they are online may have changed; for the shard of the user.
    PresenceChanged {
        /// Whose.
        user: UserId,
    },
    /// A session has ended; for every shard. Sockets of it are closed with 4002, its tokens are good for nothing.
    Revoke {
        /// Whose.
        user: UserId,
        /// Which.
        session: SessionId,
        /// When the last of its tokens ends.
        until: Millis,
    },
}

/// What a shard tells the API bridge.
#[derive(Clone, Debug)]
pub enum ApiOutput {
    /// The answer to a command: the frame that a connection would get.
    Answer {
        /// Whose.
        slot: Slot,
        /// The answer.
        frame: Arc<Frame>,
    },
    /// What is this ticket good for?
    Ticket(TicketAsk),
}

/// What a ticket is good for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TicketOutcome {
    /// For this session, until `expires`. It is used up.
    Good {
        /// Who.
        principal: Principal,
        /// When the connection has to show a token, or ends.
        expires: Millis,
    },
    /// For nothing: never issued, too old, or used before.
    Bad,
    /// Not known: it could not be asked for.
    Busy,
}

/// What a shard asks the API bridge: what is this ticket good for? Answered once, with [`ApiInput::Ticket`].
#[derive(Clone, PartialEq, Eq)]
pub struct TicketAsk {
    /// Whose `hello` it was in.
    pub to: ConnectionRef,
    /// The number of that `hello`.
    pub re: u64,
    /// The ticket.
    pub ticket: Box<str>,
}

impl fmt::Debug for TicketAsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketAsk").field("to", &self.to).field("re", &self.re).finish_non_exhaustive()
    }
}
