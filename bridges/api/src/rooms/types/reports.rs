//! Reports: requests and answers.

use lynk_model::REPORT_CHARS_MAX;
use lynk_protocol::MAX_SAFE_INTEGER;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DESCRIPTION, Id, Key, Time, maybe_whole, whole};

choice! {
    /// What is reported.
    ReportKind { Message = "message", User = "user", }
}
choice! {
    /// Why.
    ReportReason {
        Spam = "spam", Harassment = "harassment", Hate = "hate", Violence = "violence", Sexual = "sexual", Illegal = "illegal",
        Other = "other",
    }
}
choice! {
    /// What came of a report.
    ReportOutcome {
        Dismissed = "dismissed", MessageDeleted = "message_deleted", MemberKicked = "member_kicked", MemberBanned = "member_banned",
        Other = "other",
    }
}
choice! {
    /// Which reports.
    ReportState { Open = "open", Resolved = "resolved", }
}
object! {
    /// A report: of a message with `seq`, of a member with `user`, of the room without both.
    MakeReport {
        /// Idempotency key.
        key: Key,
        /// Seq of the message.
        #[serde(default, deserialize_with = "maybe_whole")]
        #[schemars(range(min = 1, max = MAX_SAFE_INTEGER))]
        seq: Option<u64>,
        /// The member.
        #[serde(default)] user: Option<Id>,
        /// Why.
        reason: ReportReason,
        /// In words, line breaks allowed.
        #[serde(default)]
        #[schemars(length(max = REPORT_CHARS_MAX), regex(pattern = DESCRIPTION))]
        comment: Option<String>,
    }
}
object! {
    /// What came of a report.
    ResolveReport {
        /// Idempotency key.
        key: Key,
        /// Which of the room's.
        #[serde(deserialize_with = "whole")]
        #[schemars(range(max = MAX_SAFE_INTEGER))]
        number: u64,
        /// What came of it.
        outcome: ReportOutcome,
        /// In words, line breaks allowed.
        #[serde(default)]
        #[schemars(length(max = REPORT_CHARS_MAX), regex(pattern = DESCRIPTION))]
        note: Option<String>,
    }
}
object! {
    /// Where a page of reports begins.
    ReportPage {
        /// Open ones when missing.
        #[serde(default)] state: Option<ReportState>,
        /// Those with lower numbers than this; the newest when missing.
        #[serde(default)]
        #[schemars(range(max = MAX_SAFE_INTEGER))]
        before: Option<u64>,
        /// Items at most; above 10 is 10, and 10 when missing.
        #[serde(default)]
        #[schemars(range(max = u32::MAX))]
        limit: Option<u32>,
    }
}
object! {
    /// A report, without who made it.
    Report {
        /// Its place among the room's.
        number: u64,
        /// What is reported.
        kind: ReportKind,
        /// Who wrote the message, or the member.
        user: Id,
        /// Seq of the message.
        #[serde(default)] seq: Option<u64>,
        /// What the message said when it was reported.
        #[serde(default)] text: Option<String>,
        /// Why.
        reason: ReportReason,
        /// In the reporter's words.
        #[serde(default)] comment: Option<String>,
        /// When.
        at: Time,
        /// What came of it; missing while it is open.
        #[serde(default)] outcome: Option<ReportOutcome>,
        /// When that was decided.
        #[serde(default)] done: Option<Time>,
        /// By whom; missing for an operator.
        #[serde(default)] by: Option<Id>,
        /// In words.
        #[serde(default)] note: Option<String>,
    }
}
object! {
    /// Reports, newest first.
    Reports {
        /// The room.
        room: Id,
        /// The page.
        reports: Vec<Report>,
        /// There are more before the last one.
        more: bool,
    }
}
