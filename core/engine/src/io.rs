//! What goes into the engine and what comes out: the whole seam between chat and the outside.
//!
//! The driver calls [`Engine::handle`](crate::Engine::handle) with one [`Input`] at a time and then empties the
//! [`Effects`] in the order of its fields' documentation. Nothing here does I/O.

use std::sync::Arc;

use lynk_domain::{IpPrefix, Key, Lsn, Millis, Nanos, RoomId, Seq, ShardId, UserId};
use lynk_model::{Record, RecordAt, RecordHead, RecordKind, RequestId, SourceId, StoreReply, StoreRequest};
use lynk_protocol::{CloseCode, Frame};

use crate::api::{ApiInput, TicketAsk};
use crate::mail::Mail;

/// Slot of a connection in its home shard's tables, chosen by the driver, reused after `Closed`; or an API slot, which the
/// API bridge chooses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Slot(pub u32);

/// How full a connection's send queue is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueueLevel {
    /// Passed the high watermark: stop queueing durable events.
    High,
    /// Fell below the low watermark: tell what was left out, then go on.
    Low,
}

/// Whether the journal takes records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JournalState {
    /// Append freely.
    Open,
    /// The batch buffers are full: refuse with `busy` until `Open`.
    Behind,
    /// The disk or its budget is full: refuse with `storage_full` until `Open`.
    Full,
}

/// One thing that happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A socket was accepted into `slot`. Answered by `Effects::closes` when the network or the shard has
    /// too many.
    Accepted {
        /// Its slot.
        slot: Slot,
        /// Where from, for limits.
        ip: IpPrefix,
    },
    /// The WebSocket handshake is done: the hello deadline starts.
    Upgraded {
        /// Its slot.
        slot: Slot,
    },
    /// A text message arrived; `text` is valid UTF-8 within the frame limit.
    Text {
        /// Its slot.
        slot: Slot,
        /// The message.
        text: &'a str,
    },
    /// The send queue passed a watermark.
    SendQueue {
        /// Its slot.
        slot: Slot,
        /// Which one.
        level: QueueLevel,
    },
    /// The socket is gone; the slot may be given to another after this call.
    Closed {
        /// Its slot.
        slot: Slot,
    },
    /// Mail from another shard.
    Mail {
        /// Who posted it.
        from: ShardId,
        /// The mail.
        mail: Mail,
    },
    /// A mailbox was full: the mail comes back. The engine recovers as [`Mail`] documents for each kind.
    MailRefused {
        /// Whose mailbox.
        to: ShardId,
        /// The mail.
        mail: Mail,
    },
    /// The API bridge says something.
    Api(ApiInput),
    /// A store answered.
    Reply {
        /// Which request.
        id: RequestId,
        /// The answer.
        reply: StoreReply,
    },
    /// Every record up to `lsn` is written and synced.
    Committed {
        /// Highest committed record.
        lsn: Lsn,
    },
    /// The journal takes records again, or no longer.
    Journal(JournalState),
    /// Every record of `source` up to `lsn` is in the message store.
    Drained {
        /// Which journal.
        source: SourceId,
        /// Up to.
        lsn: Lsn,
    },
    /// [`Engine::next_deadline`](crate::Engine::next_deadline) has passed.
    Deadline,
    /// End of a loop turn: all input of this turn was given. Fan-out happens here and only here, at most
    /// [`FLUSH_DELIVERIES_MAX`] deliveries; [`Effects::more`] asks for another turn at once.
    Flush,
    /// Shut down: refuse new work, close connections spread over the time until `deadline`.
    Drain {
        /// When all connections should be gone.
        deadline: Nanos,
    },
}

/// Deliveries of one flush at most, so that input is polled between two chunks of a big room.
pub const FLUSH_DELIVERIES_MAX: usize = 128;

/// One frame for some connections.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The frame.
    pub frame: Arc<Frame>,
    /// Range in [`Effects::targets`].
    pub targets: std::ops::Range<u32>,
}

/// A connection to be closed after everything queued for it so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Close {
    /// Which.
    pub slot: Slot,
    /// Why.
    pub code: CloseCode,
}

/// Whether a user has a connection, for who mirrors it outside. Best effort: what is lost is told again with the next round, or runs out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PresenceNews {
    /// Who.
    pub user: UserId,
    /// Whether the user has one.
    pub online: bool,
    /// Nothing changed: it is told so that its lease does not end.
    pub again: bool,
}

/// Bytes of a journal record beside its payload, with its padding.
const HEAD_BYTES: usize = 112;

/// Journal records of one call, encoded back to back.
#[derive(Debug, Default)]
pub struct Records {
    heads: Vec<(Lsn, RecordHead, std::ops::Range<u32>)>,
    payloads: Vec<u8>,
}

impl Records {
    /// Adds a record whose payload `write` appends.
    pub fn push(&mut self, lsn: Lsn, head: RecordHead, write: impl FnOnce(&mut Vec<u8>)) {
        let start = u32::try_from(self.payloads.len()).expect("one call appends far less than 4 GiB");
        write(&mut self.payloads);
        let end = u32::try_from(self.payloads.len()).expect("one call appends far less than 4 GiB");
        self.heads.push((lsn, head, start..end));
    }

    /// The records in order, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (Lsn, Record<'_>)> {
        self.heads.iter().map(|(lsn, head, range)| {
            (*lsn, Record { head: *head, payload: &self.payloads[range.start as usize..range.end as usize] })
        })
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Bytes that they take in a journal, about: payloads, and a head for each.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.payloads.len() + self.heads.len() * HEAD_BYTES
    }

    fn clear(&mut self) {
        self.heads.clear();
        self.payloads.clear();
    }
}

/// What the driver must do. It owns the buffers and clears them after each round; the engine only appends.
/// The order to carry them out: `records`, `mail`, `tickets`, `requests`, `presence`, `deliveries`, `closes`.
#[derive(Debug, Default)]
pub struct Effects {
    /// Records to append to this shard's journal, in order.
    pub records: Records,
    /// Mail for other shards, in order; what a full mailbox refuses comes back as `MailRefused`.
    pub mail: Vec<(ShardId, Mail)>,
    /// Tickets for the API bridge; what cannot be asked comes back as [`crate::TicketOutcome::Busy`].
    pub tickets: Vec<TicketAsk>,
    /// Requests for the store bridge.
    pub requests: Vec<(RequestId, StoreRequest)>,
    /// For the mirror of presence; what does not fit is left out and counted.
    pub presence: Vec<PresenceNews>,
    /// Frames to queue, in order. A target may appear in several deliveries of one call.
    pub deliveries: Vec<Delivery>,
    /// Slots that `deliveries` refer to.
    pub targets: Vec<Slot>,
    /// Connections to close.
    pub closes: Vec<Close>,
    /// Fan-out, or what was due, is left over: give the next `Flush` or `Deadline` without sleeping.
    pub more: bool,
    /// Every connection of a drain is closed and nothing waits for the journal.
    pub drained: bool,
}

impl Effects {
    /// Queues `frame` for one connection.
    pub fn deliver(&mut self, slot: Slot, frame: Arc<Frame>) {
        let start = self.targets.len() as u32;
        self.targets.push(slot);
        self.deliveries.push(Delivery { frame, targets: start..start + 1 });
    }

    /// Queues `frame` for many connections.
    pub fn deliver_many(&mut self, frame: Arc<Frame>, slots: impl IntoIterator<Item = Slot>) {
        let start = self.targets.len() as u32;
        self.targets.extend(slots);
        let end = self.targets.len() as u32;
        if end > start {
            self.deliveries.push(Delivery { frame, targets: start..end });
        }
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.records.clear();
        self.mail.clear();
        self.tickets.clear();
        self.requests.clear();
        self.presence.clear();
        self.deliveries.clear();
        self.targets.clear();
        self.closes.clear();
        self.more = false;
        self.drained = false;
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.mail.is_empty()
            && self.tickets.is_empty()
            && self.requests.is_empty()
            && self.presence.is_empty()
            && self.deliveries.is_empty()
            && self.closes.is_empty()
            && !self.more
            && !self.drained
    }
}

/// A record that recovery found and the message store may not have: what the owner must know without reading it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UndrainedRecord {
    /// Where it lies.
    pub at: RecordAt,
    /// Its room.
    pub room: RoomId,
    /// Its kind.
    pub kind: RecordKind,
    /// Its seq.
    pub seq: Seq,
    /// Its idempotency key.
    pub key: Key,
    /// Its sender.
    pub sender: UserId,
    /// Its time.
    pub wall: Millis,
}
