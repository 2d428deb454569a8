//! One shard as the driver has it: engine, journal, connections, and what waits for the next turn.

use std::collections::VecDeque;

use lynk_connection::{Connection, TurnQueue};
use lynk_domain::{IpPrefix, Lsn, Millis, Nanos, ShardId};
use lynk_engine::{ApiInput, Effects, Engine, JournalState, Mail};
use lynk_journal::{MemoryFile, PreparedSegment, WriteOp, WriteOutcome, Writer};
use lynk_model::{RequestId, SourceId, StoreReply};

use crate::oracle::Journal;

/// A connection and its socket.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) connection: Connection,
    pub(super) socket: usize,
    /// The engine knows that it is gone.
    pub(super) told: bool,
    /// Earliest entry in the driver's wheel.
    pub(super) deadline: Nanos,
}

/// What the keeper brought.
#[derive(Debug)]
pub(super) enum Supply {
    Segment(PreparedSegment<MemoryFile>),
    Refused,
}

/// What others lay down for a shard until its next turn.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) accepts: VecDeque<(usize, IpPrefix)>,
    /// Mail by sender, with the time of its arrival.
    pub(super) inbox: Vec<VecDeque<(u64, Mail)>>,
    pub(super) replies: VecDeque<(RequestId, StoreReply)>,
    /// Requests without a connection.
    pub(super) calls: VecDeque<ApiInput>,
    pub(super) drained: VecDeque<(SourceId, Lsn)>,
    pub(super) supplies: VecDeque<Supply>,
    /// The write that the disk has, and what became of it.
    pub(super) in_flight: Option<WriteOp<MemoryFile>>,
    pub(super) written: Option<(WriteOp<MemoryFile>, WriteOutcome)>,
    /// Leave until then.
    pub(super) drain: Option<Nanos>,
    /// When the next turn is.
    pub(super) turn_at: u64,
}

impl Desk {
    pub(super) fn new(shard_count: u16) -> Self {
        Self {
            accepts: VecDeque::new(),
            inbox: (0..shard_count).map(|_| VecDeque::new()).collect(),
            replies: VecDeque::new(),
            calls: VecDeque::new(),
            drained: VecDeque::new(),
            supplies: VecDeque::new(),
            in_flight: None,
            written: None,
            drain: None,
            turn_at: u64::MAX,
        }
    }
}

/// One shard of a process.
pub(super) struct Shard {
    pub(super) id: ShardId,
    pub(super) journal: Journal,
    pub(super) engine: Engine,
    pub(super) writer: Writer<MemoryFile>,
    pub(super) state: JournalState,
    pub(super) fx: Effects,
    pub(super) queue: TurnQueue,
    pub(super) slots: Vec<Option<Slot>>,
    pub(super) keeper_asked: bool,
    /// Highest wall clock given to the engine.
    pub(super) wall: Millis,
    /// Fan-out is left over.
    pub(super) more: bool,
    pub(super) drain_done: bool,
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Shard {
    pub(super) fn new(id: ShardId, journal: Journal, engine: Engine, writer: Writer<MemoryFile>) -> Self {
        Self {
            id,
            journal,
            engine,
            writer,
            state: JournalState::Open,
            fx: Effects::default(),
            queue: TurnQueue::new(),
            slots: Vec::new(),
            // The start asks for the first segment.
            keeper_asked: true,
            wall: Millis(0),
            more: false,
            drain_done: false,
        }
    }

    /// A free slot for a new connection.
    pub(super) fn take_slot(&mut self, slot: Slot) -> u32 {
        match self.slots.iter().position(Option::is_none) {
            Some(index) => {
                self.slots[index] = Some(slot);
                index as u32
            }
            None => {
                self.slots.push(Some(slot));
                self.slots.len() as u32 - 1
            }
        }
    }
}

/// Whether a full mailbox may hand this mail back. What must always fit is bounded by the commands in flight.
pub(super) fn refusable(mail: &Mail) -> bool {
    !matches!(
        mail,
        Mail::Reply { .. } | Mail::Subscribed { .. } | Mail::Admitted { .. } | Mail::Peeked { .. }
    )
}

/// A mail in a line.
pub(super) fn mail_text(mail: &Mail) -> String {
    let name = mail_name(mail);
    match mail {
        Mail::Command { room, raw, .. } => {
            format!("{name} for {room}: {}", String::from_utf8_lossy(raw.payload()))
        }
        Mail::Reply { to, frame, .. } => {
            format!("{name} to slot {}: {}", to.slot.0, String::from_utf8_lossy(frame.payload()))
        }
        Mail::Event { room, seq, prev, own, removes, .. } => {
            let own = own.as_ref().map(|own| own.to.slot.0);
            format!("{name} {} after {} of {room}, own {own:?}, removes {removes:?}", seq.0, prev.0)
        }
        Mail::Subscribed { to, room, top, .. } => format!("{name} slot {} to {room} at {}", to.slot.0, top.0),
        Mail::Ephemeral { room, frame, .. } => {
            format!("{name} of {room}: {}", String::from_utf8_lossy(frame.payload()))
        }
        other => format!("{other:?}"),
    }
}

/// Kind of a mail, for traces.
pub(super) fn mail_name(mail: &Mail) -> &'static str {
    match mail {
        Mail::Command { .. } => "command",
        Mail::Unsubscribed { .. } => "unsubscribed",
        Mail::Refill { .. } => "refill",
        Mail::Reply { .. } => "reply",
        Mail::Parked { .. } => "parked",
        Mail::Subscribed { .. } => "subscribed",
        Mail::Event { .. } => "event",
        Mail::Skip { .. } => "skip",
        Mail::Dismissed { .. } => "dismissed",
        Mail::Ephemeral { .. } => "ephemeral",
        Mail::SignedIn { .. } => "signed_in",
        Mail::SignedOut { .. } => "signed_out",
        Mail::Admitted { .. } => "admitted",
        Mail::Watch { .. } => "watch",
        Mail::Presence { .. } => "presence",
        Mail::BlockChanged { .. } => "block_changed",
        Mail::Notice { .. } => "notice",
        Mail::Notices { .. } => "notices",
        Mail::Revoked { .. } => "revoked",
        Mail::Noticed { .. } => "noticed",
        Mail::IpAcquire { .. } => "ip_acquire",
        Mail::IpRelease { .. } => "ip_release",
        Mail::IpRefused { .. } => "ip_refused",
        Mail::Here { .. } => "here",
        Mail::HereUsers { .. } => "here_users",
        Mail::Peek { .. } => "peek",
        Mail::Peeked { .. } => "peeked",
        Mail::Hint { .. } => "hint",
    }
}
