//! `about`, `pins`, `bans`, `mutes`, `requests`, `moderation_log`, `reports`: what a room is, and its lists.
//!
//! Thread: the shard. What memory has is answered from there; pages of lists come from the room store. Invariants: a page is for
//! whoever may see it when it leaves. Limits: `history_page_max` items; pins and settings fit one answer. What can fail: the checks,
//! and the store; then `unavailable`.

use lynk_domain::{Action, Millis, Role, RoomKind, Seq, UserId, allowed};
use lynk_model::{
    JOIN_REQUEST_LIFE_MILLIS, JoinRequest, ListQuery, Listed, Report, Sentence, SentenceKind, StoreReply,
    StoreRequest,
};
use lynk_protocol::{Command, ErrorCode, Json, Reject, encode_avatar, encode_side};

use super::books::{Ask, Books, Found, Held, Pending, store_reject};
use super::metadata::{SEES_REPORTS, encode_report};
use super::moderation::encode_act;
use super::room::Room;
use crate::context::Context;

/// Reports of a page: each may have a text.
const REPORTS_MAX: u32 = 10;
/// Bytes of JSON that the texts of a page's reports may be; the first one is told in any case.
const REPORTS_BYTES: usize = 192 << 10;

/// A page that the store reads.
#[derive(Debug)]
pub(super) struct ListWait {
    held: Held,
    re: u64,
    limit: usize,
    list: List,
}

/// Which list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum List {
    Bans,
    Mutes,
    Requests,
    Acts,
    Reports,
}

impl List {
    /// What one must be allowed to do to see it.
    fn action(self) -> Action {
        match self {
            Self::Bans => Action::Ban,
            Self::Mutes | Self::Acts => Action::Kick,
            Self::Reports => SEES_REPORTS,
            Self::Requests => Action::Invite,
        }
    }

    /// Of the event that tells it, and of the field in it.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Bans => ("bans", "bans"),
            Self::Mutes => ("mutes", "mutes"),
            Self::Requests => ("requests", "requests"),
            Self::Acts => ("moderation_log", "acts"),
            Self::Reports => ("reports", "reports"),
        }
    }
}

impl Books {
    /// What the room is: for its members, and of a public room for everybody who is not banned.
    pub(super) fn about(&mut self, cx: &mut Context<'_>, room: &mut Room, ask: &Ask<'_>) {
        let reader = match room.member(ask.user, cx.now.wall) {
            Ok(member) => Some((ask.user, member.role)),
            Err(reject) if reject.code == ErrorCode::NotAMember && room.kind() == RoomKind::Public => None,
            Err(reject) => return self.refuse(cx, room, ask, reject),
        };
        let frame = cx.shared.pool.frame(|out| encode_about(out, ask.re, room, reader));
        self.answer(cx, room, ask.from, frame);
    }

    /// The pinned messages that the member may see, newest first.
    pub(super) fn pins(&mut self, cx: &mut Context<'_>, room: &mut Room, ask: &Ask<'_>) {
        let floor = match room.member(ask.user, cx.now.wall) {
            Ok(member) => room.shown(member).from,
            Err(reject) => return self.refuse(cx, room, ask, reject),
        };
        let frame = cx.shared.pool.frame(|out| {
            let mut json = Json::new(out);
            json.open(b'{').key("ev").text("pins").key("re").number(ask.re).key("room").id(&room.id.0);
            json.key("pins").open(b'[');
            for Seq(seq) in room.pins.range(floor..).rev() {
                json.open(b'{').key("seq").number(*seq).close(b'}');
            }
            json.close(b']').close(b'}');
        });
        self.answer(cx, room, ask.from, frame);
    }

    /// A page of one of the room's lists.
    pub(super) fn list(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        ask: &Ask<'_>,
        command: &Command<'_>,
    ) {
        let (list, after, limit) = match command {
            Command::Bans { after, limit, .. } => (List::Bans, *after, *limit),
            Command::Mutes { after, limit, .. } => (List::Mutes, *after, *limit),
            Command::Requests { after, limit, .. } => (List::Requests, *after, *limit),
            Command::ModerationLog { limit, .. } => (List::Acts, None, *limit),
            Command::Reports { limit, .. } => {
                (List::Reports, None, Some(limit.unwrap_or(REPORTS_MAX).min(REPORTS_MAX)))
            }
            _ => return self.refuse(cx, room, ask, ErrorCode::UnknownOp.into()),
        };
        if let Err(reject) = may_see(cx, room, ask.user, list) {
            return self.refuse(cx, room, ask, reject);
        }
        // What was done and acknowledged is told, unless the store is away or slow.
        let told = !room.notes.hold_up(cx.now.mono) && (room.notes.is_empty() || !room.metadata.is_running());
        if list == List::Acts && !told && !room.metadata.store_away() {
            return self.queue(cx, room, ask, Found::Unasked);
        }
        if !self.may_ask(cx) {
            return self.refuse(cx, room, ask, Reject::after(ErrorCode::Busy, 100));
        }
        let limits = &cx.shared.config.limits;
        let limit = limit.unwrap_or(limits.history_page_default).clamp(1, limits.history_page_max);
        // One more than is told, to know whether there is more.
        let (after, wall, more) = (after.unwrap_or(UserId::NIL), cx.now.wall, limit + 1);
        let sentences = |what| ListQuery::Sentences { what, after, wall, limit: more };
        let query = match list {
            List::Bans => sentences(SentenceKind::Ban),
            List::Mutes => sentences(SentenceKind::Mute),
            List::Requests => ListQuery::Requests { after, wall, limit: more },
            List::Reports => {
                let Command::Reports { open, before, .. } = command else {
                    return self.refuse(cx, room, ask, ErrorCode::UnknownOp.into());
                };
                let (open, before) = (*open, before.unwrap_or(0));
                ListQuery::Reports { open, before, viewer: ask.user, limit: more }
            }
            List::Acts => {
                let before = if let Command::ModerationLog { before, .. } = command { *before } else { None };
                ListQuery::Acts { before: before.unwrap_or(0), wall, limit: more }
            }
        };
        let wait = ListWait { held: ask.hold(), re: ask.re, limit: limit as usize, list };
        let request = StoreRequest::List { room: room.id, query };
        self.ask(cx, room, request, Pending::List(Box::new(wait)));
    }

    /// The store answered.
    pub(super) fn listed(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        wait: ListWait,
        reply: StoreReply,
    ) {
        let listed = match reply {
            StoreReply::Listed(listed) => *listed,
            StoreReply::Failed(error) => return self.refuse_held(cx, room, &wait.held, store_reject(error)),
            _ => return self.refuse_held(cx, room, &wait.held, ErrorCode::Internal.into()),
        };
        // It may have changed meanwhile.
        if let Err(reject) = may_see(cx, room, wait.held.principal.user, wait.list) {
            return self.refuse_held(cx, room, &wait.held, reject);
        }
        let frame = cx.shared.pool.frame(|out| {
            let (name, field) = wait.list.names();
            let mut json = Json::new(out);
            json.open(b'{').key("ev").text(name).key("re").number(wait.re).key("room").id(&room.id.0);
            json.key(field).open(b'[');
            let found = match &listed {
                Listed::Sentences(rows) => {
                    rows.iter().take(wait.limit).for_each(|row| encode_sentence(&mut json, row));
                    rows.len()
                }
                Listed::Reports(rows) => {
                    let told = told_reports(rows).min(wait.limit);
                    rows.iter().take(told).for_each(|row| encode_report(&mut json, row));
                    // Those that are cut off are more, too.
                    if told < rows.len() { wait.limit + 1 } else { told }
                }
                Listed::Acts(rows) => {
                    rows.iter().take(wait.limit).for_each(|row| encode_act(&mut json, row));
                    rows.len()
                }
                Listed::Requests(rows) => {
                    rows.iter().take(wait.limit).for_each(|row| encode_request(&mut json, row));
                    rows.len()
                }
            };
            json.close(b']').key("more").bool(found > wait.limit).close(b'}');
        });
        self.answer(cx, room, wait.held.from, frame);
    }
}

/// Whether `user` may see a list now.
fn may_see(cx: &Context<'_>, room: &Room, user: UserId, list: List) -> Result<(), Reject> {
    let role = room.member(user, cx.now.wall)?.role;
    if allowed(role, list.action()) { Ok(()) } else { Err(ErrorCode::Forbidden.into()) }
}

/// `{"ev":"about",…}`.
fn encode_about(out: &mut Vec<u8>, re: u64, room: &Room, reader: Option<(UserId, Role)>) {
    let mut json = Json::new(out);
    json.open(b'{').key("ev").text("about").key("re").number(re).key("room").id(&room.id.0);
    if let Some(row) = &room.info {
        json.key("kind").text(row.kind.name()).key("name").text(&row.name);
        json.key("description").text(&row.description);
        encode_avatar(&mut json, row.avatar);
        json.key("level").text(row.level.name()).key("visibility").text(row.visibility.name());
        json.key("slow_mode_seconds").number(u64::from(row.slow_mode_seconds));
        json.key("max_members").number(u64::from(row.members_max)).key("read_only").bool(row.read_only);
        json.key("retention_days").number(u64::from(row.retention_days));
        json.key("created").time(row.created).key("version").number(room.version);
    }
    json.key("members").number(room.members_count());
    if let Some((user, role)) = reader {
        json.key("role").text(role.name());
        encode_side(&mut json, room.side(user));
    }
    json.close(b'}');
}

/// `{"user":…,"reason":…,"until"?:…,"by"?:…,"at"?:…}`.
fn encode_sentence(json: &mut Json<'_>, sentence: &Sentence) {
    json.open(b'{').key("user").id(&sentence.user.0);
    if !sentence.reason.is_empty() {
        json.key("reason").text(&sentence.reason);
    }
    if sentence.until.0 > 0 {
        json.key("until").time(sentence.until);
    }
    if !sentence.by.is_nil() {
        json.key("by").id(&sentence.by.0).key("at").time(sentence.at);
    }
    json.close(b'}');
}

/// `{"user":…,"at":…,"until":…,"text"?:…}`.
fn encode_request(json: &mut Json<'_>, request: &JoinRequest) {
    json.open(b'{').key("user").id(&request.user.0).key("at").time(request.at);
    json.key("until").time(Millis(request.at.0.saturating_add(JOIN_REQUEST_LIFE_MILLIS)));
    if !request.text.is_empty() {
        json.key("text").text(&request.text);
    }
    json.close(b'}');
}

/// How many of the first reports fit a page.
fn told_reports(reports: &[Report]) -> usize {
    let escaped = |text: &str| -> usize {
        let bytes = text.bytes();
        bytes.map(|byte| if byte < b' ' { 6 } else { 1 + usize::from(matches!(byte, b'"' | b'\\')) }).sum()
    };
    let mut bytes = 0;
    let fits = |report: &&Report| {
        bytes += escaped(&report.text) + escaped(&report.comment) + escaped(&report.note) + 512;
        bytes <= REPORTS_BYTES
    };
    reports.iter().take_while(fits).count().max(1)
}

#[cfg(test)]
mod tests {
    use lynk_domain::{Millis, RoomId};
    use lynk_model::{REPORT_TEXT_BYTES_MAX, ReportKind, ReportReason};

    use super::*;

    #[test]
    fn a_page_of_reports_ends_where_their_texts_fill_it() {
        let report = |text: &str| Report {
            room: RoomId([1; 16]),
            number: 1,
            reporter: UserId([1; 16]),
            kind: ReportKind::Message,
            user: UserId([2; 16]),
            seq: Seq(1),
            reason: ReportReason::Spam,
            comment: String::new(),
            text: text.repeat(REPORT_TEXT_BYTES_MAX),
            at: Millis(1),
            outcome: None,
            by: UserId::NIL,
            done: Millis(0),
            note: String::new(),
        };
        let told = |text: &str| told_reports(&vec![report(text); 10]);
        assert_eq!((told(""), told("x"), told("\""), told("\n")), (10, 10, 5, 1));
    }
}
