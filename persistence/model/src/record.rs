//! One journal record: the unit that is appended, synced, replayed and drained.

use lynk_domain::{Key, Lsn, Millis, RoomId, Seq, UserId};

/// What a record says. The byte is part of the journal format: values are never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum RecordKind {
    /// A posted message. Takes a seq.
    Message = 1,
    /// New text for a message. Takes a seq.
    Edit = 2,
    /// A message's content is gone. Takes a seq.
    Delete = 3,
    /// A reaction was set or taken back. Takes a seq.
    Reaction = 4,
    /// Join, leave, role, ban, mute, pin, settings. Takes a seq.
    Meta = 5,
    /// Seqs up to the payload's number are reserved (rooms of level `memory`). Takes no seq.
    Reserve = 6,
    /// A member has read up to the record's `seq`. Takes no seq.
    Read = 7,
    /// A member's device has stored up to the record's `seq`. Takes no seq.
    Delivered = 8,
    /// A kick, ban or mute holds that the room store has not taken yet. Takes no seq.
    Intent = 9,
    /// Everything up to the record's `seq` is removed for good. Takes no seq.
    Retain = 10,
}

impl RecordKind {
    /// The stored byte back to a kind; `None` for a value of a newer version, which a reader must refuse.
    #[must_use]
    pub fn from_u8(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Message,
            2 => Self::Edit,
            3 => Self::Delete,
            4 => Self::Reaction,
            5 => Self::Meta,
            6 => Self::Reserve,
            7 => Self::Read,
            8 => Self::Delivered,
            9 => Self::Intent,
            10 => Self::Retain,
            _ => return None,
        })
    }

    /// Whether records of this kind take the next seq of their room.
    #[must_use]
    pub fn takes_seq(self) -> bool {
        !matches!(self, Self::Reserve | Self::Read | Self::Delivered | Self::Intent | Self::Retain)
    }
}

/// Everything of a record but its payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordHead {
    /// What the record says.
    pub kind: RecordKind,
    /// Reserved, 0. A reader refuses bits it does not know.
    pub flags: u8,
    /// The room.
    pub room: RoomId,
    /// The event's own seq; for `Read` and `Delivered` the position reached; for `Reserve` the last reserved;
    /// for `Intent` the room's last event; for `Retain` the last that is removed.
    pub seq: Seq,
    /// Seq of the change that this record makes to its row: equal to `seq` for events. For `Read` with the highest bit set
    /// the rest is the position's round.
    pub rev: Seq,
    /// Server wall time of the event.
    pub wall: Millis,
    /// Who caused it; nil for the server.
    pub sender: UserId,
    /// Idempotency key of the command; nil when there was none.
    pub key: Key,
}

/// Bit of a `Read` record's rev that says that the rest is a round.
const ROUND: u64 = 1 << 63;

impl RecordHead {
    /// How often the member had marked something unread when it came to this position. Positions of a later round
    /// replace those of an earlier one, also when they lie before them.
    #[must_use]
    pub fn round(&self) -> u64 {
        if self.rev.0 & ROUND != 0 { self.rev.0 & !ROUND } else { 0 }
    }

    /// The rev of a position in a round; in round 0 records are as they were before there were rounds.
    #[must_use]
    pub fn rev_in_round(round: u64, reached: Seq) -> Seq {
        if round == 0 { reached } else { Seq(ROUND | round) }
    }
}

/// A record with a borrowed payload. The payload's layout by kind is [`Body`](crate::Body).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// All but the payload.
    pub head: RecordHead,
    /// Encoded [`Body`](crate::Body).
    pub payload: &'a [u8],
}

/// A record that owns its payload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnedRecord {
    /// All but the payload.
    pub head: RecordHead,
    /// Encoded [`Body`](crate::Body).
    pub payload: Vec<u8>,
}

impl OwnedRecord {
    /// The same record, borrowed.
    #[must_use]
    pub fn borrow(&self) -> Record<'_> {
        Record { head: self.head, payload: &self.payload }
    }
}

/// One journal that can be read: a shard of a generation. Numbered at boot, oldest generation first; the
/// journals that this boot writes come last, in shard order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SourceId(pub u32);

/// Where one record lies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RecordAt {
    /// The journal.
    pub source: SourceId,
    /// Its number there.
    pub lsn: Lsn,
}
