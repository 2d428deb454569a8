//! Mail between shards, and between the parts of one shard.
//!
//! Each kind says what happens when the mailbox is full. Mail to the own shard never passes a mailbox.

use std::sync::Arc;

use lynk_domain::{Epoch, IpPrefix, Ordinal, RoomId, Seq, SessionId, ShardId, UserId};
use lynk_protocol::Frame;

use crate::io::Slot;

/// A connection anywhere in the process. The generation makes mail for a closed connection harmless.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ConnectionRef {
    /// Home shard.
    pub shard: ShardId,
    /// Slot there.
    pub slot: Slot,
    /// Counts the connections that had this slot.
    pub generation: u32,
}

/// Who is signed in on a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Principal {
    /// The user.
    pub user: UserId,
    /// The session of its token.
    pub session: SessionId,
}

impl Principal {
    /// The server, which takes back what an erased user said, in rooms that the user is no member of as well.
    #[must_use]
    pub fn eraser(user: UserId) -> Self {
        Self { user, session: SessionId::SERVER }
    }

    /// Whether it is that.
    #[must_use]
    pub fn is_eraser(self) -> bool {
        self.session == SessionId::SERVER
    }
}

/// Whose subscriptions end with an event.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Removes {
    /// Nobody's.
    #[default]
    Nobody,
    /// Those of a user who was removed.
    User(UserId),
    /// All: the room was deleted.
    Everybody,
}

impl Removes {
    /// Whether any subscription ends.
    #[must_use]
    pub fn anyone(self) -> bool {
        self != Self::Nobody
    }

    /// Whether those of `user` end.
    #[must_use]
    pub fn includes(self, user: UserId) -> bool {
        match self {
            Self::Nobody => false,
            Self::User(removed) => removed == user,
            Self::Everybody => true,
        }
    }

    /// The one user.
    #[must_use]
    pub fn user(self) -> Option<UserId> {
        if let Self::User(user) = self { Some(user) } else { None }
    }
}

/// What the sending connection is told in place of the event that its command made.
#[derive(Clone, Debug)]
pub struct Own {
    /// The connection.
    pub to: ConnectionRef,
    /// Its `ok`.
    pub ok: Arc<Frame>,
}

/// One item in a mailbox.
#[derive(Clone, Debug)]
pub enum Mail {
    // ---- home → owner -------------------------------------------------------------------------------
    /// A command for a room, as it came from the client. Full: the client is told `busy`.
    Command {
        /// The room, so that no decoding is needed to route it.
        room: RoomId,
        /// Who asks, from where.
        from: ConnectionRef,
        /// Who it is.
        principal: Principal,
        /// The client's JSON, decoded again by the owner.
        raw: Arc<Frame>,
    },
    /// Connections of this shard no longer use `ends` of the `Subscribed` that the owner posted here for the room.
    /// The owner counts them per shard: at zero the shard gets no more events. (A plain "nobody is left" could
    /// overtake a `subscribe` that is under way, and lose it.) Full: kept by the home shard and repeated.
    Unsubscribed {
        /// The room.
        room: RoomId,
        /// How many.
        ends: u32,
    },
    /// Events after `after` did not arrive here. The owner sends them again, each with the `prev` of an unbroken
    /// chain that starts at `after` and with its `removes`, from its window; what is no longer there becomes `Skip`.
    /// Until then the home shard keeps nothing of what arrives out of order but `own`. Full: repeated once a second.
    Refill {
        /// The room.
        room: RoomId,
        /// History number.
        epoch: Epoch,
        /// Last event that arrived.
        after: Seq,
    },

    // ---- owner → home, one ordered stream -------------------------------------------------------------
    /// The answer to a command. Never refused: each shard has fewer commands out than its mailbox keeps free.
    Reply {
        /// Whose command.
        to: ConnectionRef,
        /// The answer.
        frame: Arc<Frame>,
        /// A room whose events and skips that arrived before are told first: the answer speaks of them.
        behind: Option<RoomId>,
        /// `Parked` gave the command's credit back before.
        late: bool,
    },
    /// The answer waits for the message store and comes late: the command's credit is free for others. Full: kept, and repeated.
    Parked {
        /// Whose command.
        to: ConnectionRef,
    },
    /// The answer to `subscribe` or a resumed room of `hello`: from here on the connection gets the room's events
    /// after `top`. Never refused, as `Reply`. Each one is ended by `Unsubscribed` in its time.
    Subscribed {
        /// Whose command.
        to: ConnectionRef,
        /// The room.
        room: RoomId,
        /// History number.
        epoch: Epoch,
        /// Last event that the frame tells about.
        top: Seq,
        /// The answer.
        frame: Arc<Frame>,
    },
    /// A durable event. Full: the owner remembers, and sends `Skip` when there is room (or when asked to `Refill`);
    /// an `own` inside it goes with the repair, so that it does not overtake what is missing.
    Event {
        /// The room.
        room: RoomId,
        /// History number.
        epoch: Epoch,
        /// Position.
        seq: Seq,
        /// Seq of the event that was posted to this shard before; a jump means that mail was lost.
        prev: Seq,
        /// The event.
        frame: Arc<Frame>,
        /// For the shard of the sending connection: its answer.
        own: Option<Own>,
        /// Whose subscriptions end with this event.
        removes: Removes,
    },
    /// Events up to `to` will not come: everyone subscribed here must `resync` from the first one missing. Full:
    /// the owner remembers, as for `Event`.
    Skip {
        /// The room.
        room: RoomId,
        /// History number.
        epoch: Epoch,
        /// Last event that is left out.
        to: Seq,
        /// Users whom the events left out removed, and who are no members at `to`: their subscriptions end here, also
        /// when no event is left out.
        removes: Vec<UserId>,
        /// The room was deleted: all subscriptions end here.
        ends: bool,
    },
    /// The user's subscriptions to a 1:1 end at once and without an event: it declined it. Full: the owner repeats it while that holds.
    Dismissed {
        /// The room.
        room: RoomId,
        /// Whose.
        user: UserId,
    },
    /// Typing or a receipt: best effort. Full: shed and counted.
    Ephemeral {
        /// The room.
        room: RoomId,
        /// The event.
        frame: Arc<Frame>,
        /// The user who caused it and is not told.
        except: UserId,
    },

    // ---- home ↔ user's shard --------------------------------------------------------------------------
    /// A connection signed in. Full: the connection is closed with 1013.
    SignedIn {
        /// Which.
        connection: ConnectionRef,
        /// Who.
        principal: Principal,
    },
    /// A connection is gone. Full: kept by the home shard and repeated.
    SignedOut {
        /// Which.
        connection: ConnectionRef,
        /// Who.
        principal: Principal,
    },
    /// The user's shard admits the connection, or not. `share` is what of the account's command rate this
    /// connection may use, per second. One per `SignedIn`, and when the share changes. Full: a refusal is kept and
    /// repeated, a share is shed (the connection goes on with the one it had).
    Admitted {
        /// Which.
        connection: ConnectionRef,
        /// Whether it may stay.
        admitted: bool,
        /// Commands per second; 0 for no limit.
        share: u32,
    },
    /// The session is over: close this connection with 4002, if it is still of that session. Full: kept and repeated.
    Revoked {
        /// Which connection.
        to: ConnectionRef,
        /// Which session.
        session: SessionId,
    },
    /// A connection watches, or no longer watches, users of one shard. Each start is answered by `Presence`. Full:
    /// kept by the home shard and repeated.
    Watch {
        /// Who watches, on which connection.
        from: ConnectionRef,
        /// The watcher.
        watcher: UserId,
        /// Whose presence.
        users: Box<[UserId]>,
        /// Starts, or ends.
        on: bool,
        /// Counts such mail of this connection: one that was delayed does not undo a later one.
        number: u32,
    },
    /// A watched user came or went (at most one a second per user). Full: kept by the user's shard and repeated,
    /// with what is true then.
    Presence {
        /// Which connection watches.
        to: ConnectionRef,
        /// Whose presence.
        user: UserId,
        /// Is online.
        online: bool,
    },
    /// A block was set or lifted, told to every shard by the owner of the 1:1: the two users' ask the store what holds now, and
    /// what any counted by the blocks before is counted again.
    /// Full: repeated; it says nothing that a later one would contradict.
    BlockChanged {
        /// Who blocks.
        by: UserId,
        /// Whom.
        user: UserId,
    },
    /// Something that a user's connections are told, wherever they are, posted to the user's shard by the owner of a
    /// room. `rooms`: the user is in a room more or less, so the store is asked again who may see whom. Full: repeated, as
    /// `BlockChanged`, when it is about `rooms`; otherwise shed and counted.
    Notice {
        /// Who.
        user: UserId,
        /// What they are told.
        frame: Arc<Frame>,
        /// The connection that did it and has its `ok`.
        except: Option<ConnectionRef>,
        /// Whether the user's rooms are others than before.
        rooms: bool,
    },
    /// Something that somebody else did and that a user may want to know at once, for all its connections, posted to the user's shard by
    /// the owner of a room. Full: shed and counted; what it is about can be asked for.
    Hint {
        /// Who.
        user: UserId,
        /// What they are told.
        frame: Arc<Frame>,
    },
    /// A `Notice` with `rooms` for many users of one shard. Full: repeated.
    Notices {
        /// Who; at most a few thousand.
        users: Box<[UserId]>,
        /// What they are told.
        frame: Arc<Frame>,
        /// As in `Notice`.
        except: Option<ConnectionRef>,
    },
    /// The notice for one connection. `rooms`: it watches everyone again whom it watches. Full: as `Notice`.
    Noticed {
        /// Which connection.
        to: ConnectionRef,
        /// What it is told; nothing when it did it itself.
        frame: Option<Arc<Frame>>,
        /// As in the notice.
        rooms: bool,
    },

    // ---- home ↔ shard of a network --------------------------------------------------------------------
    /// A socket of this network was accepted. Full: admitted.
    IpAcquire {
        /// Which connection.
        connection: ConnectionRef,
        /// The network.
        ip: IpPrefix,
    },
    /// It is gone. Full: kept and repeated.
    IpRelease {
        /// The network.
        ip: IpPrefix,
    },
    /// The network has too many connections: close this one with 1013. Full: shed (it stays).
    IpRefused {
        /// Which connection.
        connection: ConnectionRef,
    },

    // ---- home ↔ home, gathered for `presence` of a room --------------------------------------------------
    /// Which users are subscribed to a room on your shard? Full: the client is told `busy`.
    Here {
        /// Correlates the answer.
        gather: u32,
        /// Who asks.
        from: ShardId,
        /// The room.
        room: RoomId,
    },
    /// The answer to `Here`: each user once, ascending, at most the limit above which a room's presence is a sample.
    /// Full: kept and repeated; the question times out.
    HereUsers {
        /// As in the question.
        gather: u32,
        /// All of them, or a sample when `count` is larger.
        users: Box<[UserId]>,
        /// How many: users, or connections when there are more than the limit.
        count: u32,
    },

    // ---- home ↔ owner, gathered for `sync` --------------------------------------------------------------
    /// What are a room's numbers for this user? Full: answered as unknown.
    Peek {
        /// Correlates the answer.
        gather: u32,
        /// Who asks.
        from: ShardId,
        /// The room.
        room: RoomId,
        /// For whom.
        user: UserId,
    },
    /// The answer to `Peek`; `None` when the room could not be loaded. Never refused, as `Reply`.
    Peeked {
        /// As in the question.
        gather: u32,
        /// The room.
        room: RoomId,
        /// The numbers.
        numbers: Option<RoomNumbers>,
    },
}

const _: () = assert!(size_of::<Mail>() <= 128, "mail is copied by the thousand");

/// A room as `sync` lists it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RoomNumbers {
    /// History number.
    pub epoch: Epoch,
    /// Last event.
    pub top: Seq,
    /// Ordinal of the last message.
    pub top_n: Ordinal,
    /// Read cursor of the user.
    pub read: Seq,
    /// Unread messages; `u64::MAX` when it is not known yet.
    pub unread: u64,
    /// Those that mention the user, as they are counted; `None` when it is not known yet.
    pub mentions: Option<u32>,
    /// Wall time of the last event, for ordering a list by activity.
    pub active: lynk_domain::Millis,
}
