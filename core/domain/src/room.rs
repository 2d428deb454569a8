//! Numbers and settings of one room.

/// Position of a durable event in its room: 1, 2, 3 … without holes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Seq(pub u64);

impl Seq {
    /// The number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Ordinal of a message among the messages of its room (`n` on the wire): 1, 2, 3 …
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Ordinal(pub u64);

/// Number of a room's history. Raised by restore and truncation; a cursor of another epoch is void.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Epoch(pub u32);

/// Number of a record in one shard's journal of this boot: 1, 2, 3 … ; 0 means "depends on nothing".
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Lsn(pub u64);

/// What a client has seen of a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cursor {
    /// History the cursor belongs to.
    pub epoch: Epoch,
    /// Last event seen; 0 for none.
    pub seq: Seq,
}

/// Who can find and join a room.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum RoomKind {
    /// Everybody finds it and may join.
    Public = 0,
    /// Hidden: who has its id may ask to be let in, or comes by a link; a moderator or above may add others.
    Private = 1,
    /// Found by its name; members are added by a moderator or above, and in no other way.
    InviteOnly = 2,
    /// The 1:1 conversation of two users.
    Direct = 3,
}

impl RoomKind {
    /// The stored byte back to a kind; `None` for a value of a newer version.
    #[must_use]
    pub fn from_u8(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Public,
            1 => Self::Private,
            2 => Self::InviteOnly,
            3 => Self::Direct,
            _ => return None,
        })
    }

    /// Name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::InviteOnly => "invite_only",
            Self::Direct => "direct",
        }
    }

    /// The wire name back to a kind.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Public, Self::Private, Self::InviteOnly, Self::Direct].into_iter().find(|k| k.name() == name)
    }
}

/// Durability that an acknowledgement states, weakest first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum AckLevel {
    /// Accepted by the owner shard and journaled, not waited for.
    Memory = 0,
    /// Written and synced to the local journal.
    Local = 1,
    /// Confirmed by the outside message store.
    Replicated = 2,
}

impl AckLevel {
    /// The stored byte back to a level; `None` for a value of a newer version.
    #[must_use]
    pub fn from_u8(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Memory,
            1 => Self::Local,
            2 => Self::Replicated,
            _ => return None,
        })
    }

    /// Name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Local => "local",
            Self::Replicated => "replicated",
        }
    }

    /// The wire name back to a level.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Memory, Self::Local, Self::Replicated].into_iter().find(|l| l.name() == name)
    }
}

/// How much of the past a member may read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum HistoryVisibility {
    /// Everything since the room exists.
    All = 0,
    /// Events after the member joined.
    SinceJoin = 1,
}

impl HistoryVisibility {
    /// The stored byte back to a setting; `None` for a value of a newer version.
    #[must_use]
    pub fn from_u8(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::All),
            1 => Some(Self::SinceJoin),
            _ => None,
        }
    }

    /// Name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::SinceJoin => "since_join",
        }
    }

    /// The wire name back to a setting.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::All, Self::SinceJoin].into_iter().find(|v| v.name() == name)
    }
}
