//! What a member of a room has set for itself: nobody else sees it, it is in no event, and it goes when the member does. And what somebody has
//! set for all conversations of two.

use lynk_domain::{Millis, Ordinal, Seq};

/// What a member wants to be told of. The numbers are stored.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(u8)]
pub enum Wish {
    /// What the server does by itself.
    #[default]
    Default = 0,
    /// Everything.
    All = 1,
    /// Mentions only.
    Mentions = 2,
}

impl Wish {
    /// The wish of a stored number.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Self> {
        [Self::Default, Self::All, Self::Mentions].into_iter().find(|wish| *wish as u8 == number)
    }
}

/// What a member wants to be told of a room.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RoomWish {
    /// Nothing before this time; 0 for no such time.
    pub muted_until: Millis,
    /// What otherwise.
    pub wish: Wish,
}

/// Who may begin a conversation of two with somebody. The numbers are stored.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(u8)]
pub enum DirectFrom {
    /// Everybody.
    #[default]
    Everyone = 0,
    /// Who is a member of one of the person's rooms.
    Rooms = 1,
    /// Nobody: the person begins them.
    Nobody = 2,
}

impl DirectFrom {
    /// The setting of a stored number.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Self> {
        [Self::Everyone, Self::Rooms, Self::Nobody].into_iter().find(|from| *from as u8 == number)
    }
}

/// What a member has set for itself.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Personal {
    /// What it wants to be told of.
    pub wish: RoomWish,
    /// It has deleted the past up to here for itself; 0 for nothing.
    pub cleared: Seq,
    /// Ordinal of the last message of that past.
    pub cleared_n: Ordinal,
}
