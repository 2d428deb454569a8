//! Rows as every store can give and take them: what backups, restores and moves between stores are made of.
//!
//! Thread: any. Pure. Rows are merged, not replaced: filling a store with rows it has, or with older states of them, changes
//! nothing, so a copy may be taken while the source changes, if every later record is applied to it, too. Text that one side
//! has deleted stays deleted.
//!
//! Every row has one encoding, the same for all stores, from which digests are made that tell whether two stores hold the same.
//!
//! Limits: none of its own; pages are bounded by whoever asks. Nothing can fail.

mod encode;
mod media;
mod notify;

pub use media::{MediaMark, MediaRow};
pub use notify::{NotifyMark, NotifyRow};

use lynk_domain::{Key, Millis, RoomId, Seq, SessionId, UserId};

use crate::account::{Account, AuditEvent, Erasure, Factor, Session};
use crate::{
    Act, DirectFrom, FoundKey, LoadedRoom, MessageRow, MessageState, MetaTransaction, Parts, Position,
    Report, RoomHead, StoredEvent,
};

/// A row of the message log. The room is named beside it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogRow {
    /// A message, or changes of one that has not come, with all reactions, also those taken back.
    Message {
        /// Its place.
        seq: Seq,
        /// Its state.
        state: MessageState,
    },
    /// Any other event. Edits say nothing: what they said is the message's.
    Event(StoredEvent),
    /// What a key was used for.
    Key {
        /// By whom.
        sender: UserId,
        /// The key.
        key: Key,
        /// For what.
        used: FoundKey,
    },
    /// How far a member has read.
    Position {
        /// Who.
        user: UserId,
        /// How far.
        position: Position,
    },
    /// A kick, ban or mute that held before the room store had it.
    Intent(MetaTransaction),
    /// The room's highest numbers. The epoch is not filled in: it is the store's, see
    /// [`MessageDump::raise_epoch`](crate::port::MessageDump::raise_epoch).
    Head(RoomHead),
}

/// A row of the relational side.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RoomsRow {
    /// A room with its members, bans, mutes, pins, links, requests, outbox and how it began. Blocks and what the message log knows are empty.
    Room(Box<LoadedRoom>),
    /// A unique name, by its folded form.
    Name {
        /// The folded form.
        folded: String,
        /// Who has it, or had it last.
        room: RoomId,
        /// When it was given up.
        freed: Option<Millis>,
    },
    /// A block.
    Block {
        /// Who blocks.
        by: UserId,
        /// Whom.
        user: UserId,
        /// Their 1:1.
        room: RoomId,
    },
    /// The result of a key.
    Result {
        /// Who used it.
        actor: UserId,
        /// In which room.
        room: RoomId,
        /// The key.
        key: Key,
        /// Hash of the command's content.
        content_hash: u64,
        /// Version of the change; 0 for one without an event.
        version: u64,
        /// Where its event is; 0 while it is not confirmed.
        seq: Seq,
        /// When.
        wall: Millis,
    },
    /// Somebody hides whether they are online.
    Hidden {
        /// Who.
        user: UserId,
    },
    /// Somebody does not let everyone begin a conversation of two.
    DirectFrom {
        /// Who.
        user: UserId,
        /// Who may.
        from: DirectFrom,
    },
    /// Something that a moderator did.
    Act {
        /// Where.
        room: RoomId,
        /// What.
        act: Act,
    },
    /// A report.
    Report(Box<Report>),
}

/// A row of accounts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AccountsRow {
    /// A person.
    Account(Account),
    /// A unique name, by its folded form.
    Name {
        /// The folded form.
        folded: String,
        /// Who has it, or had it last.
        user: UserId,
        /// When it was given up.
        freed: Option<Millis>,
    },
    /// A session with its refresh family.
    Session {
        /// The session.
        session: Session,
        /// When it was revoked.
        revoked: Option<Millis>,
    },
    /// What was counted in one slice of a window.
    Counter {
        /// A keyed hash.
        key: [u8; 16],
        /// Begin of the slice.
        slice: u64,
        /// How many.
        count: u64,
        /// When the slice has left the window.
        until: u64,
    },
    /// A line of the audit log.
    Audit(AuditEvent),
    /// A new account whose event is not published.
    Waiting {
        /// Whose.
        user: UserId,
        /// When it was made.
        created: Millis,
    },
    /// An authenticator app, with its secret as it is sealed.
    Factor(Factor),
    /// A recovery code that was not used.
    Recovery {
        /// Whose.
        user: UserId,
        /// Keyed hash.
        proof: [u8; 32],
    },
    /// A suspended account.
    Suspended {
        /// Whose.
        user: UserId,
        /// Since when.
        since: Millis,
    },
    /// An account that was erased.
    Erasure(Erasure),
}

/// Where a dump of the relational side goes on. The default is its begin. Marks are in the order of the dump.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum RoomsMark {
    /// After this room.
    Rooms(RoomId),
    /// After this name, by what the store orders names by.
    Names(Vec<u8>),
    /// After this block.
    Blocks(UserId, UserId),
    /// After this result.
    Results(UserId, RoomId, Key),
    /// After this user.
    Hidden(UserId),
    /// After this user's setting for conversations of two.
    DirectFrom(UserId),
    /// After this act of this room.
    Acts(RoomId, u64),
    /// After this report of this room.
    Reports(RoomId, u64),
}

impl Default for RoomsMark {
    fn default() -> Self {
        Self::Rooms(RoomId::NIL)
    }
}

impl DumpMark for RoomsMark {
    fn next_table(&self) -> Option<Self> {
        match self {
            Self::Rooms(_) => Some(Self::Names(Vec::new())),
            Self::Names(_) => Some(Self::Blocks(UserId::NIL, UserId::NIL)),
            Self::Blocks(..) => Some(Self::Results(UserId::NIL, RoomId::NIL, Key::NIL)),
            Self::Results(..) => Some(Self::Hidden(UserId::NIL)),
            Self::Hidden(_) => Some(Self::DirectFrom(UserId::NIL)),
            Self::DirectFrom(_) => Some(Self::Acts(RoomId::NIL, 0)),
            Self::Acts(..) => Some(Self::Reports(RoomId::NIL, 0)),
            Self::Reports(..) => None,
        }
    }
}

/// Where a dump of accounts goes on. The default is its begin. Marks are in the order of the dump.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum AccountsMark {
    /// After this account.
    Accounts(UserId),
    /// After this folded name.
    Names(String),
    /// After this session.
    Sessions(SessionId),
    /// After this counter and slice.
    Counters([u8; 16], u64),
    /// After the line with this number.
    Audit(u64),
    /// After the row of the outbox with this number.
    Outbox(u64),
    /// After the app of this user.
    Factors(UserId),
    /// After this recovery code of this user.
    Recovery(UserId, [u8; 32]),
    /// After this suspended account.
    Suspended(UserId),
    /// After this erased account.
    Erasures(UserId),
}

impl Default for AccountsMark {
    fn default() -> Self {
        Self::Accounts(UserId::NIL)
    }
}

impl DumpMark for AccountsMark {
    fn next_table(&self) -> Option<Self> {
        match self {
            Self::Accounts(_) => Some(Self::Names(String::new())),
            Self::Names(_) => Some(Self::Sessions(SessionId::NIL)),
            Self::Sessions(_) => Some(Self::Counters([0; 16], 0)),
            Self::Counters(..) => Some(Self::Audit(0)),
            Self::Audit(_) => Some(Self::Outbox(0)),
            Self::Outbox(_) => Some(Self::Factors(UserId::NIL)),
            Self::Factors(_) => Some(Self::Recovery(UserId::NIL, [0; 32])),
            Self::Recovery(..) => Some(Self::Suspended(UserId::NIL)),
            Self::Suspended(_) => Some(Self::Erasures(UserId::NIL)),
            Self::Erasures(_) => None,
        }
    }
}

/// A page of a dump.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DumpPage<R, M> {
    /// Rows, all of one table, each with the mark behind it.
    pub rows: Vec<(R, M)>,
    /// Where it goes on; `None` at the end.
    pub next: Option<M>,
}

/// A row of tables that are dumped and filled as a whole: [`RoomsRow`], [`AccountsRow`] or [`NotifyRow`].
pub trait DumpRow: Clone + PartialEq + Sized {
    /// Where a dump goes on.
    type Mark: DumpMark;
    /// What the tables are called in messages.
    const TABLES: &'static str;

    /// Appends the row's encoding: two rows with one encoding are the same.
    fn encode(&self, out: &mut Vec<u8>);

    /// Appends what tells the row from all others of its store: a row is put in place of the one with its key.
    fn key(&self, out: &mut Vec<u8>);

    /// How much it weighs in a page: the rows that a store has for it, about.
    fn weight(&self) -> usize;

    /// Whether it is what people count the tables by: a room, an account.
    fn is_counted(&self) -> bool;
}

/// Where a dump goes on. The default is its begin; marks ascend with the dump.
pub trait DumpMark: Clone + Default + Ord {
    /// The begin of the next table; `None` after the last.
    #[must_use]
    fn next_table(&self) -> Option<Self>;
}

impl<R, M: DumpMark> DumpPage<R, M> {
    /// The page at `mark` that has these rows of `limit` that were asked for.
    #[must_use]
    pub fn at(mark: &M, rows: Vec<(R, M)>, limit: u32) -> Self {
        let whole = rows.len() >= limit as usize;
        let next = if whole { rows.last().map(|(_, at)| at.clone()) } else { mark.next_table() };
        Self { rows, next }
    }
}

impl DumpRow for RoomsRow {
    type Mark = RoomsMark;
    const TABLES: &'static str = "rooms";

    fn encode(&self, out: &mut Vec<u8>) {
        Self::encode(self, out);
    }

    fn key(&self, out: &mut Vec<u8>) {
        Self::key(self, out);
    }

    fn weight(&self) -> usize {
        match self {
            Self::Room(room) => 1 + room.members.len() + room.bans.len() + room.requests.len(),
            _ => 1,
        }
    }

    fn is_counted(&self) -> bool {
        matches!(self, Self::Room(_))
    }
}

impl DumpRow for AccountsRow {
    type Mark = AccountsMark;
    const TABLES: &'static str = "accounts";

    fn encode(&self, out: &mut Vec<u8>) {
        Self::encode(self, out);
    }

    fn key(&self, out: &mut Vec<u8>) {
        Self::key(self, out);
    }

    fn weight(&self) -> usize {
        1
    }

    fn is_counted(&self) -> bool {
        matches!(self, Self::Account(_))
    }
}

impl MessageRow {
    /// Applies everything that `other`, a state of the same row, has had applied.
    pub fn merge(&mut self, other: &Self) {
        if other.edited != Seq(0) {
            self.edit(other.edited, &other.text, &other.parts);
        }
        if other.deleted != Seq(0) {
            self.delete(other.deleted);
        }
        if let Some(facts) = other.facts {
            let (text, parts) = other.posted();
            self.post(Seq(0), facts, text, parts);
        }
        self.rev = self.rev.max(other.rev);
    }

    /// What was posted, as far as it is known: it is not once the message was edited or deleted.
    #[must_use]
    pub fn posted(&self) -> (&str, &Parts) {
        let changed = self.edited != Seq(0) || self.deleted != Seq(0);
        if changed { ("", Parts::NONE) } else { (&self.text, &self.parts) }
    }
}

impl MessageState {
    /// Applies everything that `other`, a state of the same message, has had applied.
    pub fn merge(&mut self, other: &Self) {
        self.row.merge(&other.row);
        for reaction in &other.reactions {
            self.react(reaction.rev, reaction.user, reaction.on, &reaction.emoji);
        }
    }
}

impl Position {
    /// The later of two states.
    pub fn merge(&mut self, other: &Self) {
        (self.round, self.read) = (self.round, self.read).max((other.round, other.read));
        self.delivered = self.delivered.max(other.delivered);
    }
}

impl RoomHead {
    /// Raises the numbers to those of `other`. The epoch stays.
    pub fn merge(&mut self, other: &Self) {
        self.top = self.top.max(other.top);
        self.top_n = self.top_n.max(other.top_n);
        self.version = self.version.max(other.version);
        self.reserved = self.reserved.max(other.reserved);
        self.floor = self.floor.max(other.floor);
    }
}

impl LogRow {
    /// The time by which it is forgotten, for rows that are: keys and intents.
    #[must_use]
    pub fn forgettable_since(&self) -> Option<Millis> {
        match self {
            Self::Key { used, .. } => Some(Millis(used.wall)),
            Self::Intent(intent) => Some(intent.wall),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use lynk_domain::{MessageId, Ordinal};

    use super::*;
    use crate::{Mentions, MessageFacts};

    #[test]
    fn merging_two_states_equals_applying_the_records_of_both() {
        type Step = fn(&mut MessageRow) -> bool;
        fn facts() -> MessageFacts {
            MessageFacts {
                id: MessageId([1; 16]),
                n: Ordinal(1),
                reply_to: Seq(0),
                wall: Millis(1),
                sender: UserId([1; 16]),
                key: Key::NIL,
            }
        }
        fn all() -> Parts {
            Parts::of_mentions(Mentions::new(true, Vec::new()))
        }
        let steps: [Step; 4] = [
            |r| r.post(Seq(3), facts(), "first", &all()),
            |r| r.edit(Seq(5), "second", Parts::NONE),
            |r| r.edit(Seq(7), "third", &all()),
            |r| r.delete(Seq(6)),
        ];
        let of = |chosen: u32| {
            let mut row = MessageRow::default();
            for (_, step) in steps.iter().enumerate().filter(|(i, _)| chosen >> i & 1 == 1) {
                step(&mut row);
            }
            row
        };
        for one in 0..16 {
            for other in 0..16 {
                let mut merged = of(one);
                merged.merge(&of(other));
                assert_eq!(merged, of(one | other), "{one:04b} {other:04b}");
            }
        }
    }
}
