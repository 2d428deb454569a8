//! What moderators did in a room: who, to whom, what, when and why.

use lynk_domain::{Millis, Seq, UserId};

use crate::{MetaChange, MetaEvent, MetaTransaction};

/// How long an act is kept unless told otherwise, in milliseconds: 180 days.
pub const MODERATION_LIFE_MILLIS: u64 = 180 * 24 * 60 * 60 * 1_000;

/// What was done. Part of the stored format.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum ActKind {
    /// A member was removed.
    Kicked = 1,
    /// Somebody is kept out.
    Banned = 2,
    /// Is no longer.
    Unbanned = 3,
    /// A member may not post.
    Muted = 4,
    /// May again.
    Unmuted = 5,
    /// A member has another role.
    Role = 6,
    /// The room has another owner.
    Transferred = 7,
    /// Settings were changed.
    Settings = 8,
    /// Somebody else's message was deleted.
    MessageDeleted = 9,
    /// A link was made.
    LinkMade = 10,
    /// A link was ended.
    LinkEnded = 11,
    /// A request to become a member was accepted.
    RequestAccepted = 12,
    /// A request to become a member was declined.
    RequestDeclined = 13,
    /// A report was resolved.
    ReportResolved = 14,
}

impl ActKind {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Kicked,
        Self::Banned,
        Self::Unbanned,
        Self::Muted,
        Self::Unmuted,
        Self::Role,
        Self::Transferred,
        Self::Settings,
        Self::MessageDeleted,
        Self::LinkMade,
        Self::LinkEnded,
        Self::RequestAccepted,
        Self::RequestDeclined,
        Self::ReportResolved,
    ];

    /// The kind with this number.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// Its word on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kicked => "kicked",
            Self::Banned => "banned",
            Self::Unbanned => "unbanned",
            Self::Muted => "muted",
            Self::Unmuted => "unmuted",
            Self::Role => "role",
            Self::Transferred => "transferred",
            Self::Settings => "settings",
            Self::MessageDeleted => "message_deleted",
            Self::LinkMade => "link_made",
            Self::LinkEnded => "link_ended",
            Self::RequestAccepted => "request_accepted",
            Self::RequestDeclined => "request_declined",
            Self::ReportResolved => "report_resolved",
        }
    }
}

/// Something that a moderator did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Act {
    /// Its place in the room's list, from 1 on; the store's to give.
    pub number: u64,
    /// When.
    pub at: Millis,
    /// Who.
    pub by: UserId,
    /// What.
    pub kind: ActKind,
    /// To whom; of a link its id; zeroes for nobody.
    pub subject: [u8; 16],
    /// Of a ban or mute its end (0 for never), of a role its number, of a message its seq, of a report its number; else 0.
    pub value: u64,
    /// Why, for people; may be empty.
    pub reason: String,
}

impl Act {
    /// What a transaction that is applied is to the room's moderators; `None` for what members do.
    #[must_use]
    pub fn of(tx: &MetaTransaction) -> Option<Self> {
        let act = |kind, subject: [u8; 16], value, reason: &str| {
            let reason = reason.to_owned();
            Some(Self { number: 0, at: tx.wall, by: tx.actor, kind, subject, value, reason })
        };
        match &tx.change {
            MetaChange::Event(event) => match event {
                MetaEvent::Kicked { user, reason } => act(ActKind::Kicked, user.0, 0, reason),
                MetaEvent::Banned { user, until, reason } => act(ActKind::Banned, user.0, until.0, reason),
                MetaEvent::Unbanned { user } => act(ActKind::Unbanned, user.0, 0, ""),
                MetaEvent::Muted { user, until } => act(ActKind::Muted, user.0, until.0, ""),
                MetaEvent::Unmuted { user } => act(ActKind::Unmuted, user.0, 0, ""),
                MetaEvent::Role { user, role } => act(ActKind::Role, user.0, *role as u64, ""),
                MetaEvent::Transferred { user } => act(ActKind::Transferred, user.0, 0, ""),
                MetaEvent::Settings { .. } => act(ActKind::Settings, [0; 16], 0, ""),
                MetaEvent::Created { .. }
                | MetaEvent::Joined { .. }
                | MetaEvent::Left { .. }
                | MetaEvent::Pinned { .. }
                | MetaEvent::Deleted => None,
            },
            MetaChange::Link(link) => act(ActKind::LinkMade, link.id.0, 0, ""),
            MetaChange::Unlink { link } => act(ActKind::LinkEnded, link.0, 0, ""),
            MetaChange::Accept { user } => act(ActKind::RequestAccepted, user.0, 0, ""),
            // Reports that an operator decides on may be about the moderators themselves, to whom they are not shown.
            MetaChange::Resolve(_) if tx.actor.is_nil() => None,
            MetaChange::Resolve(of) => act(ActKind::ReportResolved, [0; 16], of.number, ""),
            MetaChange::Decline { user } => act(ActKind::RequestDeclined, user.0, 0, ""),
            MetaChange::Create { .. }
            | MetaChange::Begin { .. }
            | MetaChange::Conversation(_)
            | MetaChange::Block { .. }
            | MetaChange::Enter { .. }
            | MetaChange::Ask { .. }
            | MetaChange::Report(_)
            | MetaChange::Withdraw => None,
        }
    }

    /// Somebody else's message was deleted, which is no transaction of the store of rooms.
    #[must_use]
    pub fn deleted(at: Millis, by: UserId, author: UserId, seq: Seq) -> Self {
        let (kind, subject) = (ActKind::MessageDeleted, author.0);
        Self { number: 0, at, by, kind, subject, value: seq.0, reason: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_its_number_and_its_word() {
        for kind in ActKind::ALL {
            assert_eq!(ActKind::from_u8(kind as u8), Some(kind));
            assert_eq!(ActKind::ALL.iter().filter(|other| other.name() == kind.name()).count(), 1);
        }
        assert_eq!(ActKind::from_u8(0), None);
    }
}
