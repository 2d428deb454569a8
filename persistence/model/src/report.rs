//! What people report to those who look after a room, and to operators.

use lynk_domain::{Millis, RoomId, Seq, UserId};

/// Reports that are open in one room at a time.
pub const REPORTS_PER_ROOM_MAX: u32 = 1_000;
/// Reports of one user in a day.
pub const REPORTS_PER_DAY_MAX: u32 = 20;
/// Longest comment of a report, and note of its outcome, in characters.
pub const REPORT_CHARS_MAX: usize = 1_000;
/// Longest text of a message that a report keeps, in bytes: that of the longest message, and what bounds a page of reports.
pub const REPORT_TEXT_BYTES_MAX: usize = 16 << 10;
/// What the limit of a user is counted over, in milliseconds.
pub const REPORT_DAY_MILLIS: u64 = 24 * 60 * 60 * 1_000;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $number:literal $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$of])* $variant = $number,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The one with this number.
            #[must_use]
            pub fn from_u8(number: u8) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| *one as u8 == number)
            }

            /// Its word on the wire.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }

            /// The one of a word.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.name() == word)
            }
        }
    };
}

words! {
    /// What is reported. Part of the stored format.
    ReportKind {
        /// A message.
        Message = 1 "message",
        /// A member.
        User = 2 "user",
        /// The room, to operators.
        Room = 3 "room",
    }
}
words! {
    /// Why. Part of the stored format.
    ReportReason {
        /// Advertising, or the same again and again.
        Spam = 1 "spam",
        /// Somebody is harassed.
        Harassment = 2 "harassment",
        /// Hatred of a group.
        Hate = 3 "hate",
        /// Violence, or a threat of it.
        Violence = 4 "violence",
        /// Sexual content.
        Sexual = 5 "sexual",
        /// Against the law.
        Illegal = 6 "illegal",
        /// Something else, said in the comment.
        Other = 7 "other",
    }
}
words! {
    /// What came of it. Part of the stored format.
    ReportOutcome {
        /// Nothing.
        Dismissed = 1 "dismissed",
        /// The message was deleted.
        MessageDeleted = 2 "message_deleted",
        /// The member was removed.
        MemberKicked = 3 "member_kicked",
        /// The member was banned.
        MemberBanned = 4 "member_banned",
        /// Something else, said in the note.
        Other = 5 "other",
    }
}

/// A report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// Where.
    pub room: RoomId,
    /// Its place among the room's, from 1 on; the store's to give.
    pub number: u64,
    /// Who reports. Nobody in the room is told.
    pub reporter: UserId,
    /// What is reported.
    pub kind: ReportKind,
    /// Who wrote the message, or the member; nil for a room.
    pub user: UserId,
    /// The message; 0 for none.
    pub seq: Seq,
    /// Why.
    pub reason: ReportReason,
    /// In the reporter's words.
    pub comment: String,
    /// The message as it was then.
    pub text: String,
    /// When.
    pub at: Millis,
    /// What came of it; `None` while it is open.
    pub outcome: Option<ReportOutcome>,
    /// By whom; nil for an operator, and while it is open.
    pub by: UserId,
    /// When; 0 while it is open.
    pub done: Millis,
    /// In the words of who decided.
    pub note: String,
}

/// What comes of a report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resolution {
    /// Which of the room's.
    pub number: u64,
    /// What came of it.
    pub outcome: ReportOutcome,
    /// In words.
    pub note: String,
}

/// Which reports are wanted, of all rooms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReportQuery {
    /// That one alone, by room and number.
    One(RoomId, u64),
    /// A page for an operator, newest first.
    All {
        /// Open ones, or those that are not.
        open: bool,
        /// Made before this time; 0 for the newest.
        before: Millis,
        /// Items at most.
        limit: u32,
    },
    /// A page of those that one account made, by room and number.
    By {
        /// Whose.
        reporter: UserId,
        /// Those after this one; the nil room for the start.
        after: (RoomId, u64),
        /// Items at most.
        limit: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_lead_back() {
        for reason in ReportReason::ALL {
            assert_eq!(ReportReason::from_u8(*reason as u8), Some(*reason));
            assert_eq!(ReportReason::parse(reason.name()), Some(*reason));
        }
        for outcome in ReportOutcome::ALL {
            assert_eq!(ReportOutcome::from_u8(*outcome as u8), Some(*outcome));
            assert_eq!(ReportOutcome::parse(outcome.name()), Some(*outcome));
        }
        for kind in ReportKind::ALL {
            assert_eq!(ReportKind::from_u8(*kind as u8), Some(*kind));
        }
        assert_eq!((ReportReason::from_u8(0), ReportOutcome::parse("")), (None, None));
    }
}
