//! Reports of messages, members and the room: who may make and resolve them, and who is told.
//!
//! Thread: the shard. The store keeps them, counts them and decides; memory has none. What a message said is kept as the store and the journals have
//! it then. Invariants: of a report is told whoever sees it in the list, and nobody else. What can fail: the checks.

use lynk_domain::{Action, Millis, Now, RoomKind, Seq, UserId};
use lynk_model::{
    MetaChange, MetaTransaction, REPORT_CHARS_MAX, REPORT_TEXT_BYTES_MAX, Report, ReportKind, ReportOutcome,
    ReportReason, Resolution,
};
use lynk_protocol::{ErrorCode, Json, Reject, encode_report_news};

use super::super::books::{Books, Found};
use super::super::room::Room;
use super::requests::who_may;
use super::rules::Planned;
use crate::context::Context;

/// What one must be allowed to do to see reports.
pub(in super::super) const SEES_REPORTS: Action = Action::Kick;

/// Why one more is not kept.
pub(super) const TOO_MANY: &str =
    "you have made as many reports today as you may, or the room has as many open as may be";

/// `actor` reports a message, a member, or the room.
pub(super) fn plan_report(
    room: &Room,
    actor: UserId,
    (seq, user): (Option<Seq>, Option<UserId>),
    (reason, comment): (ReportReason, &str),
    now: Now,
    found: &Found,
) -> Result<Planned, Reject> {
    let member = room.member(actor, now.wall)?;
    let comment = checked("comment", comment)?;
    let own = || Reject::because(ErrorCode::InvalidField, "you cannot report yourself");
    let (kind, user, text) = match (seq, user) {
        (Some(_), Some(_)) => {
            let detail = "say `seq` for a message or `user` for a member, not both";
            return Err(Reject::because(ErrorCode::InvalidField, detail));
        }
        (Some(seq), None) => {
            // The window has no texts.
            let Found::Target(target) = found else { return Ok(Planned::Look(seq)) };
            let seen = seq >= room.shown(member).from && seq <= room.top;
            let target = target.as_ref().filter(|target| seen && !target.deleted);
            let target = target.ok_or(ErrorCode::MessageNotFound)?;
            let end = target.text.floor_char_boundary(REPORT_TEXT_BYTES_MAX);
            // Not every store has a place for U+0000.
            (ReportKind::Message, target.author, target.text[..end].replace('\0', "\u{fffd}"))
        }
        (None, Some(user)) => {
            // Who asked cannot tell by this that the other declined.
            if !room.members.contains_key(&user) && !room.is_aside(user) {
                return Err(Reject::because(ErrorCode::NotAMember, "that user is not a member"));
            }
            (ReportKind::User, user, String::new())
        }
        (None, None) => (ReportKind::Room, UserId::NIL, String::new()),
    };
    if user == actor {
        return Err(own());
    }
    Ok(Planned::Change(MetaChange::Report(Box::new(Report {
        room: room.id,
        number: 0,
        reporter: actor,
        kind,
        user,
        seq: seq.unwrap_or_default(),
        reason,
        comment,
        text,
        at: now.wall,
        outcome: None,
        by: UserId::NIL,
        done: Millis(0),
        note: String::new(),
    }))))
}

/// A moderator says what came of a report.
pub(super) fn plan_resolve(number: u64, outcome: ReportOutcome, note: &str) -> Result<Planned, Reject> {
    let resolution = Resolution { number, outcome, note: checked("note", note)? };
    Ok(Planned::Change(MetaChange::Resolve(Box::new(resolution))))
}

impl Books {
    /// The store has a report, or what came of one: those are told who see it in the list. Of an answer that was lost nobody is: the
    /// list is the truth.
    pub(super) fn report_applied(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        tx: &MetaTransaction,
        (number, about): (u64, UserId),
    ) {
        let state = match &tx.change {
            // Those of rooms, and of a 1:1, are for the operators of the server.
            MetaChange::Report(report) if report.kind == ReportKind::Room => return,
            MetaChange::Report(_) => "open",
            _ => "resolved",
        };
        if room.kind() == RoomKind::Direct {
            return;
        }
        let told = who_may(room, SEES_REPORTS, about);
        if told.is_empty() {
            return;
        }
        let frame = cx.shared.pool.frame(|out| encode_report_news(out, room.id, number, state));
        self.hint(cx, room, &told, &frame);
    }
}

fn checked(field: &str, text: &str) -> Result<String, Reject> {
    if text.chars().any(|c| c.is_control() && c != '\n') {
        let detail = format!("field `{field}` has control characters other than line breaks");
        return Err(Reject::because(ErrorCode::InvalidField, detail));
    }
    if text.chars().count() > REPORT_CHARS_MAX {
        let detail = format!("field `{field}` has more than {REPORT_CHARS_MAX} characters");
        return Err(Reject::because(ErrorCode::TooLarge, detail));
    }
    Ok(text.trim().to_owned())
}

/// `{"number":…,"kind":…,"user"?:…,"seq"?:…,"reason":…,"comment"?:…,"text"?:…,"at":…,"outcome"?:…,"by"?:…,"done"?:…,"note"?:…}`. Not who
/// reported it.
pub(in super::super) fn encode_report(json: &mut Json<'_>, report: &Report) {
    json.open(b'{').key("number").number(report.number).key("kind").text(report.kind.name());
    json.key("user").id(&report.user.0);
    if report.seq > Seq(0) {
        json.key("seq").number(report.seq.0).key("text").text(&report.text);
    }
    json.key("reason").text(report.reason.name());
    if !report.comment.is_empty() {
        json.key("comment").text(&report.comment);
    }
    json.key("at").time(report.at);
    if let Some(outcome) = report.outcome {
        json.key("outcome").text(outcome.name()).key("done").time(report.done);
        if !report.by.is_nil() {
            json.key("by").id(&report.by.0);
        }
        if !report.note.is_empty() {
            json.key("note").text(&report.note);
        }
    }
    json.close(b'}');
}
