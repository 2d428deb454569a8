//! Roles and the permission matrix. The matrix is a table so that documentation and tests read the same facts.

/// Standing of a member in a room, weakest first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Role {
    /// May read and post.
    Member = 0,
    /// May also remove messages and people below.
    Moderator = 1,
    /// May also change settings and roles below.
    Admin = 2,
    /// May do everything; the last owner cannot leave without a transfer.
    Owner = 3,
}

impl Role {
    /// The stored byte back to a role; `None` for a value of a newer version.
    #[must_use]
    pub fn from_u8(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Member,
            1 => Self::Moderator,
            2 => Self::Admin,
            3 => Self::Owner,
            _ => return None,
        })
    }

    /// Name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Moderator => "moderator",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// The wire name back to a role.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Member, Self::Moderator, Self::Admin, Self::Owner].into_iter().find(|r| r.name() == name)
    }
}

/// What a member may want to do in a room, beyond reading.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// Post a message, react, edit or delete one's own message, type.
    Post,
    /// The same in a read-only room.
    PostReadOnly,
    /// Delete a message of someone else.
    DeleteOthers,
    /// Pin or unpin a message.
    Pin,
    /// Mention everybody in the room.
    MentionAll,
    /// Add a user to a room that cannot be joined freely.
    Invite,
    /// Remove a member, or mute or unmute one.
    Kick,
    /// Ban or unban a user.
    Ban,
    /// Change a member's role.
    SetRole,
    /// Change name, description, picture, kind, size, level, visibility, slow mode, read-only.
    Settings,
    /// Hand the room to another owner.
    Transfer,
    /// Delete the room.
    DeleteRoom,
}

/// The permission matrix: whether `role` may do `action` at all. Acting on a person also needs [`may_act_on`].
#[must_use]
pub fn allowed(role: Role, action: Action) -> bool {
    let least = match action {
        Action::Post => Role::Member,
        Action::PostReadOnly
        | Action::DeleteOthers
        | Action::Pin
        | Action::MentionAll
        | Action::Invite
        | Action::Kick
        | Action::Ban => Role::Moderator,
        Action::SetRole | Action::Settings => Role::Admin,
        Action::Transfer | Action::DeleteRoom => Role::Owner,
    };
    role >= least
}

/// Whether someone of `actor`'s role may act on a member of `target`'s role: only downward.
#[must_use]
pub fn may_act_on(actor: Role, target: Role) -> bool {
    actor > target
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_acts_on_equals_or_superiors() {
        let all = [Role::Member, Role::Moderator, Role::Admin, Role::Owner];
        for (i, actor) in all.iter().enumerate() {
            for (j, target) in all.iter().enumerate() {
                assert_eq!(may_act_on(*actor, *target), i > j);
            }
        }
        assert!(!allowed(Role::Member, Action::Kick));
        assert!(!allowed(Role::Admin, Action::Transfer) && !allowed(Role::Admin, Action::DeleteRoom));
        assert!(
            !allowed(Role::Member, Action::PostReadOnly) && allowed(Role::Moderator, Action::PostReadOnly)
        );
    }
}
