//! Links that let people into a room.

use lynk_domain::{LinkId, Millis, UserId};

/// Links that live in one room at a time. Those that do not any more are forgotten when one is made.
pub const LINKS_PER_ROOM_MAX: u32 = 64;

/// A link as it is kept: of its code only the hash.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// What it is called.
    pub id: LinkId,
    /// SHA-256 of the secret of its code.
    pub hash: [u8; 32],
    /// Who made it.
    pub by: UserId,
    /// When.
    pub at: Millis,
    /// Wall time of its end.
    pub until: Millis,
    /// How many it lets in; 0 for any number.
    pub uses_max: u32,
    /// How many it let in.
    pub uses: u32,
}

impl Link {
    /// Whether it lets somebody in at a wall time.
    #[must_use]
    pub fn lives(&self, wall: Millis) -> bool {
        wall < self.until && (self.uses_max == 0 || self.uses < self.uses_max)
    }
}
