//! Replies and events as JSON, appended to a buffer. Each encoder writes one whole JSON object, unless its
//! name says head: then the caller adds items and [`encode_tail`].

use lynk_domain::{
    AckLevel, Epoch, MediaId, MessageId, Millis, Ordinal, Role, RoomId, RoomKind, Seq, UserId,
};
use lynk_model::{Attachment, MetaEvent, Parts, Reaction, RequestSide, StoredBody, StoredEvent};

use crate::{Json, Reject};

/// Appends a time as RFC 3339 in UTC with milliseconds, without quotes: `2026-11-23T17:48:51.123Z`.
pub fn write_time(out: &mut Vec<u8>, at: Millis) {
    let (days, of_day) = (at.0 / 86_400_000, at.0 % 86_400_000);
    // Days since 0000-03-01, split into 400-year eras: the usual civil calendar arithmetic, unsigned.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let two = |v: u64| [b'0' + (v / 10 % 10) as u8, b'0' + (v % 10) as u8];
    out.extend_from_slice(&two(year / 100));
    out.extend_from_slice(&two(year % 100));
    out.push(b'-');
    out.extend_from_slice(&two(month));
    out.push(b'-');
    out.extend_from_slice(&two(day));
    out.push(b'T');
    out.extend_from_slice(&two(of_day / 3_600_000));
    out.push(b':');
    out.extend_from_slice(&two(of_day / 60_000 % 60));
    out.push(b':');
    out.extend_from_slice(&two(of_day / 1_000 % 60));
    out.push(b'.');
    out.push(b'0' + (of_day / 100 % 10) as u8);
    out.extend_from_slice(&two(of_day % 100));
    out.push(b'Z');
}

/// What an `ok` may say. Zero and `None` mean "not part of this answer".
#[derive(Clone, Copy, Default, Debug)]
pub struct Done {
    /// The room.
    pub room: Option<RoomId>,
    /// Seq of the event that the command made.
    pub seq: Seq,
    /// Ordinal of the message.
    pub n: Ordinal,
    /// The message's id.
    pub id: Option<MessageId>,
    /// Server time of the event.
    pub time: Option<Millis>,
    /// Durability that was reached.
    pub level: Option<AckLevel>,
    /// Unread messages after the command.
    pub unread: Option<u64>,
    /// Those of them that mention the user, as they are counted.
    pub mentions: Option<u32>,
    /// Metadata version of the event; 0 for none.
    pub version: u64,
    /// Of a 1:1 that is not accepted yet, the user's side of it.
    pub request: Option<RequestSide>,
    /// The first attempt's result. Told to HTTP requests only, for their status.
    pub repeated: bool,
}

/// `{"ev":"ok","re":…}` with the given parts.
pub fn encode_ok(out: &mut Vec<u8>, re: u64, ok: &Done) {
    let mut json = Json::new(out);
    json.open(b'{').key("ev").text("ok").key("re").number(re);
    if let Some(room) = ok.room {
        json.key("room").id(&room.0);
    }
    if ok.seq.0 > 0 {
        json.key("seq").number(ok.seq.0);
    }
    if ok.n.0 > 0 {
        json.key("n").number(ok.n.0);
    }
    if let Some(id) = ok.id {
        json.key("id").id(&id.0);
    }
    if let Some(time) = ok.time {
        json.key("time").time(time);
    }
    if let Some(level) = ok.level {
        json.key("level").text(level.name());
    }
    if let Some(unread) = ok.unread {
        json.key("unread").number(unread);
    }
    encode_mentioned(&mut json, ok.mentions);
    if ok.version > 0 {
        json.key("version").number(ok.version);
    }
    encode_side(&mut json, ok.request);
    if ok.repeated {
        json.key("repeated").bool(true);
    }
    json.close(b'}');
}

/// `"mentions":…`: how many unread messages mention the user.
fn encode_mentioned(json: &mut Json<'_>, mentions: Option<u32>) {
    if let Some(mentions) = mentions {
        json.key("mentions").number(u64::from(mentions));
    }
}

/// `{"ev":"error","re":…,"room"?:…,"code":…,"message":…,"retryable":…}`. `room` is the one that the command named;
/// `request` names this answer in the server's log.
pub fn encode_error(out: &mut Vec<u8>, re: u64, room: Option<RoomId>, reject: &Reject, request: u64) {
    let mut json = Json::new(out);
    json.open(b'{').key("ev").text("error").key("re").number(re);
    if let Some(room) = room {
        json.key("room").id(&room.0);
    }
    json.key("code").text(reject.code.name()).key("message").text(reject.message());
    json.key("retryable").bool(reject.code.retryable());
    if let Some(millis) = reject.retry_after_millis {
        json.key("retry_after_ms").number(u64::from(millis));
    }
    json.key("request_id").text(&format!("{request:016x}")).close(b'}');
}

/// The event of a new message: the hottest encoder, so it takes its parts directly.
#[expect(clippy::too_many_arguments, reason = "the hot path builds no intermediate struct")]
pub fn encode_message(
    out: &mut Vec<u8>,
    room: RoomId,
    seq: Seq,
    n: Ordinal,
    id: MessageId,
    from: UserId,
    time: Millis,
    reply_to: Seq,
    text: &str,
    parts: &Parts,
) {
    let mut json = Json::new(out);
    json.open(b'{').key("ev").text("message").key("room").id(&room.0).key("seq").number(seq.0);
    json.key("n").number(n.0).key("id").id(&id.0).key("from").id(&from.0).key("time").time(time);
    if reply_to.0 > 0 {
        json.key("reply_to").number(reply_to.0);
    }
    json.key("text").text(text);
    encode_parts(&mut json, parts);
    json.close(b'}');
}

/// What a message says beside its text: `"mentions":[…]`, `"mention_all":true`,
/// `"attachments":[{"id":…,"name":…,"type":…,"bytes":…,"width"?:…,"height"?:…}]`.
pub fn encode_parts(json: &mut Json<'_>, parts: &Parts) {
    let mentions = &parts.mentions;
    if !mentions.users().is_empty() {
        json.key("mentions").open(b'[');
        for user in mentions.users() {
            json.id(&user.0);
        }
        json.close(b']');
    }
    if mentions.all() {
        json.key("mention_all").bool(true);
    }
    if !parts.attachments.is_empty() {
        encode_attachments(json, &parts.attachments);
    }
}

fn encode_attachments(json: &mut Json<'_>, attachments: &[Attachment]) {
    json.key("attachments").open(b'[');
    for Attachment { id, name, kind, bytes, width, height } in attachments {
        json.open(b'{').key("id").id(&id.0).key("name").text(name).key("type").text(kind);
        json.key("bytes").number(*bytes);
        for (side, pixels) in [("width", *width), ("height", *height)] {
            if pixels > 0 {
                json.key(side).number(u64::from(pixels));
            }
        }
        json.close(b'}');
    }
    json.close(b']');
}

/// Any durable event in its current state.
pub fn encode_event(out: &mut Vec<u8>, event: &StoredEvent) {
    let mut json = Json::new(out);
    json.open(b'{').key("ev").text(event_name(&event.body)).key("room").id(&event.room.0);
    json.key("seq").number(event.seq.0);
    if let StoredBody::Message(view) = &event.body {
        json.key("n").number(view.n.0).key("id").id(&view.id.0);
    }
    json.key("from").id(&event.sender.0).key("time").time(event.wall);
    match &event.body {
        StoredBody::Message(view) => {
            if view.reply_to.0 > 0 {
                json.key("reply_to").number(view.reply_to.0);
            }
            if view.edited.0 > 0 {
                json.key("edited").number(view.edited.0);
            }
            if view.deleted.0 > 0 {
                json.key("deleted").number(view.deleted.0);
            } else {
                json.key("text").text(&view.text);
                encode_parts(&mut json, &view.parts);
            }
            encode_reactions(json.next_part(), &view.reactions);
        }
        StoredBody::Edit { target, text, parts } => {
            json.key("target").number(target.0).key("text").text(text);
            encode_parts(&mut json, parts);
        }
        StoredBody::Delete { target } => {
            json.key("target").number(target.0);
        }
        StoredBody::Reaction { target, on, emoji } => {
            json.key("target").number(target.0).key("emoji").text(emoji).key("on").bool(*on);
        }
        StoredBody::Meta { version, event } => {
            json.key("version").number(*version);
            encode_meta(&mut json, event);
        }
    }
    json.close(b'}');
}

/// The last part of a message: `,"reactions":[{"emoji":…,"users":[…]}]`, or nothing without reactions. They are
/// sorted by emoji, then user.
pub fn encode_reactions(out: &mut Vec<u8>, reactions: &[Reaction]) {
    if reactions.is_empty() {
        return;
    }
    let mut json = Json::resume(out);
    json.key("reactions").open(b'[');
    for group in reactions.chunk_by(|a, b| a.emoji == b.emoji) {
        json.open(b'{').key("emoji").text(&group[0].emoji).key("users").open(b'[');
        for reaction in group {
            json.id(&reaction.user.0);
        }
        json.close(b']').close(b'}');
    }
    json.close(b']');
}

fn event_name(body: &StoredBody) -> &'static str {
    match body {
        StoredBody::Message(_) => "message",
        StoredBody::Edit { .. } => "edit",
        StoredBody::Delete { .. } => "delete",
        StoredBody::Reaction { .. } => "reaction",
        StoredBody::Meta { event, .. } => match event {
            MetaEvent::Created { .. } => "created",
            MetaEvent::Joined { .. } => "joined",
            MetaEvent::Left { .. } => "left",
            MetaEvent::Kicked { .. } => "kicked",
            MetaEvent::Banned { .. } => "banned",
            MetaEvent::Unbanned { .. } => "unbanned",
            MetaEvent::Muted { .. } => "muted",
            MetaEvent::Unmuted { .. } => "unmuted",
            MetaEvent::Role { .. } => "role",
            MetaEvent::Transferred { .. } => "transferred",
            MetaEvent::Pinned { .. } => "pinned",
            MetaEvent::Settings { .. } => "settings",
            MetaEvent::Deleted => "deleted",
        },
    }
}

fn encode_meta(json: &mut Json<'_>, event: &MetaEvent) {
    if let Some(user) = event.subject() {
        json.key("user").id(&user.0);
    }
    match event {
        MetaEvent::Created { kind, name } => {
            json.key("kind").text(kind.name()).key("name").text(name);
        }
        MetaEvent::Joined { role, .. } | MetaEvent::Role { role, .. } => {
            json.key("role").text(role.name());
        }
        MetaEvent::Kicked { reason, .. } => {
            json.key("reason").text(reason);
        }
        MetaEvent::Banned { until, reason, .. } => {
            json.key("reason").text(reason);
            encode_until(json, *until);
        }
        MetaEvent::Muted { until, .. } => encode_until(json, *until),
        MetaEvent::Pinned { target, on } => {
            json.key("target").number(target.0).key("on").bool(*on);
        }
        MetaEvent::Settings { name, level, visibility, slow_mode_seconds, more } => {
            json.key("name").text(name).key("level").text(level.name());
            json.key("visibility").text(visibility.name());
            json.key("slow_mode_seconds").number(u64::from(*slow_mode_seconds));
            if let Some(more) = more {
                json.key("kind").text(more.kind.name()).key("description").text(&more.description);
                encode_avatar(json, more.avatar);
                json.key("max_members").number(u64::from(more.members_max));
                json.key("read_only").bool(more.read_only);
                json.key("retention_days").number(u64::from(more.retention_days));
            }
        }
        MetaEvent::Left { .. }
        | MetaEvent::Unbanned { .. }
        | MetaEvent::Unmuted { .. }
        | MetaEvent::Transferred { .. }
        | MetaEvent::Deleted => {}
    }
}

/// `"avatar":` and its id, or `null`.
pub fn encode_avatar(json: &mut Json<'_>, avatar: MediaId) {
    json.key("avatar");
    if avatar.is_nil() {
        json.raw(b"null");
    } else {
        json.id(&avatar.0);
    }
}

fn encode_until(json: &mut Json<'_>, until: Millis) {
    if until.0 > 0 {
        json.key("until").time(until);
    }
}

/// Part of the past that cannot be given: `{"ev":"gap",…}`, as an event or an item of a page.
pub fn encode_gap(out: &mut Vec<u8>, room: RoomId, from: Seq, to: Seq, reason: &str) {
    let mut json = Json::new(out);
    json.open(b'{').key("ev").text("gap").key("room").id(&room.0).key("from").number(from.0);
    json.key("to").number(to.0).key("reason").text(reason).close(b'}');
}

/// Events `from..=to` were not sent to this connection: page them from history; live events start at `to + 1`.
pub fn encode_resync(out: &mut Vec<u8>, room: RoomId, epoch: Epoch, from: Seq, to: Seq) {
    let mut json = Json::new(out);
    json.open(b'{').key("ev").text("resync").key("room").id(&room.0).key("epoch");
    json.number(u64::from(epoch.0)).key("from").number(from.0).key("to").number(to.0).close(b'}');
}

/// Someone types, or stopped.
pub fn encode_typing(out: &mut Vec<u8>, room: RoomId, user: UserId, on: bool) {
    let mut json = Json::new(out);
    json.open(b'{').key("ev").text("typing").key("room").id(&room.0).key("user").id(&user.0);
    json.key("on").bool(on).close(b'}');
}

/// Someone has read (`ev` = `read`) or stored (`ev` = `delivered`) up to `seq`.
pub fn encode_receipt(out: &mut Vec<u8>, ev: &str, room: RoomId, user: UserId, seq: Seq) {
    let mut json = Json::new(out);
    json.open(b'{').key("ev").text(ev).key("room").id(&room.0).key("user").id(&user.0);
    json.key("seq").number(seq.0).close(b'}');
}

/// How far a user itself has read, for its connections.
#[derive(Clone, Copy, Debug)]
pub struct OwnRead {
    /// The room.
    pub room: RoomId,
    /// The user.
    pub user: UserId,
    /// Read up to here.
    pub seq: Seq,
    /// Last event that `unread` counts.
    pub top: Seq,
    /// Unread messages then; `None` when they must be counted.
    pub unread: Option<u64>,
    /// Those of them that mention the user; `None` when they must be counted.
    pub mentions: Option<u32>,
    /// The position was set back.
    pub marked: bool,
}

/// The user itself has read up to a seq, told to its connections.
pub fn encode_own_read(out: &mut Vec<u8>, read: &OwnRead) {
    let mut json = Json::new(out);
    json.open(b'{').key("ev").text("read").key("room").id(&read.room.0).key("user").id(&read.user.0);
    json.key("seq").number(read.seq.0).key("top").number(read.top.0);
    if let Some(unread) = read.unread {
        json.key("unread").number(unread);
    }
    encode_mentioned(&mut json, read.mentions);
    if read.marked {
        json.key("marked").bool(true);
    }
    json.close(b'}');
}

/// A user deleted the past of a conversation for itself, told to its connections.
pub fn encode_cleared(out: &mut Vec<u8>, room: RoomId, upto: Seq) {
    let mut json = Json::new(out);
    json.open(b'{').key("ev").text("cleared").key("room").id(&room.0).key("upto").number(upto.0).close(b'}');
}

/// A room that a user is in from now on.
#[derive(Clone, Copy, Debug)]
pub struct Added<'a> {
    /// The room.
    pub room: RoomId,
    /// Its metadata version with that: of two such frames the higher one holds.
    pub version: u64,
    /// Its kind.
    pub kind: RoomKind,
    /// Its name; empty for a 1:1.
    pub name: &'a str,
    /// The user's role.
    pub role: Role,
    /// The other user of a 1:1.
    pub peer: Option<UserId>,
    /// Of a 1:1 that is not accepted yet, the user's side of it.
    pub request: Option<RequestSide>,
}

/// The user is in a room from now on, told to all its connections.
pub fn encode_added(out: &mut Vec<u8>, added: &Added<'_>) {
    let mut json = Json::new(out);
    json.open(b'{').key("ev").text("added").key("room").id(&added.room.0);
    json.key("version").number(added.version).key("kind").text(added.kind.name());
    json.key("name").text(added.name).key("role").text(added.role.name());
    if let Some(peer) = added.peer {
        json.key("peer").id(&peer.0);
    }
    encode_side(&mut json, added.request);
    json.close(b'}');
}

/// The field `request` of a 1:1 that is not accepted yet; nothing for others.
pub fn encode_side(json: &mut Json<'_>, side: Option<RequestSide>) {
    if let Some(side) = side {
        json.key("request").text(side.name());
    }
}

/// `{"ev":"conversation_accepted","room":…,"user":…}`: a 1:1 that a stranger began is accepted.
pub fn encode_conversation_accepted(out: &mut Vec<u8>, room: RoomId, user: UserId) {
    let mut json = Json::new(out);
    json.open(b'{').key("ev").text("conversation_accepted").key("room").id(&room.0);
    json.key("user").id(&user.0).close(b'}');
}

/// The user is in a room no longer, told to all its connections.
pub fn encode_removed(out: &mut Vec<u8>, room: RoomId, version: u64) {
    let mut json = Json::new(out);
    json.open(b'{').key("ev").text("removed").key("room").id(&room.0);
    json.key("version").number(version).close(b'}');
}

/// A watched user came or went.
pub fn encode_presence(out: &mut Vec<u8>, user: UserId, online: bool) {
    let mut json = Json::new(out);
    json.open(b'{').key("ev").text("presence").key("user").id(&user.0).key("online").bool(online);
    json.close(b'}');
}

/// The numbers of a room as `subscribed` tells them.
#[derive(Clone, Copy, Debug)]
pub struct Subscribed {
    /// Number of the command that it answers; 0 for one without, and for the rooms of `hello`.
    pub re: u64,
    /// The room.
    pub room: RoomId,
    /// History number.
    pub epoch: Epoch,
    /// Last event; live events start at `top + 1`.
    pub top: Seq,
    /// Last message's ordinal.
    pub top_n: Ordinal,
    /// The user's read cursor.
    pub read: Seq,
    /// The user's unread messages; `None` while it is being counted.
    pub unread: Option<u64>,
    /// Those of them that mention the user; `None` while they are being counted.
    pub mentions: Option<u32>,
    /// The user's role.
    pub role: Role,
    /// Members of the room.
    pub members: u64,
}

/// `{"ev":"subscribed",…,"events":[`: the caller appends events (ascending) and calls [`encode_tail`].
pub fn encode_subscribed_head(out: &mut Vec<u8>, s: &Subscribed) {
    let mut json = Json::new(out);
    json.open(b'{').key("ev").text("subscribed").key("re").number(s.re);
    json.key("room").id(&s.room.0).key("epoch").number(u64::from(s.epoch.0)).key("top").number(s.top.0);
    json.key("top_n").number(s.top_n.0).key("read").number(s.read.0);
    if let Some(unread) = s.unread {
        json.key("unread").number(unread);
    }
    encode_mentioned(&mut json, s.mentions);
    json.key("role").text(s.role.name()).key("members").number(s.members).key("events").open(b'[');
}

/// `{"ev":"history","re":…,"room":…,"epoch":…,"events":[`: the caller appends items and calls [`encode_tail`].
pub fn encode_history_head(out: &mut Vec<u8>, re: u64, room: RoomId, epoch: Epoch) {
    let mut json = Json::new(out);
    json.open(b'{').key("ev").text("history").key("re").number(re).key("room").id(&room.0);
    json.key("epoch").number(u64::from(epoch.0)).key("events").open(b'[');
}

/// Which command an encoded page of history answers, and its room. `None` for what is no page.
#[must_use]
pub fn page_of(answer: &[u8]) -> Option<(u64, RoomId)> {
    let rest = answer.strip_prefix(br#"{"ev":"history","re":"#)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (re, rest) = rest.split_at(digits);
    let room = rest.strip_prefix(br#","room":""#)?.split(|byte| *byte == b'"').next()?;
    Some((std::str::from_utf8(re).ok()?.parse().ok()?, RoomId::parse(std::str::from_utf8(room).ok()?)?))
}

/// `],"covers":{"from":…,"to":…},"more":…}`: ends a page. `covers` with `from > to` speaks for nothing.
pub fn encode_tail(out: &mut Vec<u8>, from: Seq, to: Seq, more: bool) {
    out.push(b']');
    let mut json = Json::resume(out);
    json.key("covers").open(b'{').key("from").number(from.0).key("to").number(to.0).close(b'}');
    json.key("more").bool(more).close(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(at: u64) -> String {
        let mut out = Vec::new();
        write_time(&mut out, Millis(at));
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn times_follow_the_civil_calendar() {
        assert_eq!(time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(time(1_709_251_199_999), "2024-02-29T23:59:59.999Z");
        assert_eq!(time(1_795_456_131_123), "2026-11-23T17:48:51.123Z");
        assert_eq!(time(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn a_page_is_one_json_object() {
        let mut out = Vec::new();
        let room = RoomId([1; 16]);
        encode_history_head(&mut out, 4, room, Epoch(1));
        encode_gap(&mut out, room, Seq(1), Seq(3), "lost");
        out.push(b',');
        encode_message(
            &mut out,
            room,
            Seq(4),
            Ordinal(1),
            MessageId([2; 16]),
            UserId([3; 16]),
            Millis(1),
            Seq(2),
            "\"",
            Parts::NONE,
        );
        encode_tail(&mut out, Seq(1), Seq(4), false);
        let value: serde_json::Value = serde_json::from_slice(&out).expect("valid JSON");
        assert_eq!(value["events"][1]["text"], "\"");
        assert_eq!(value["covers"]["to"], 4);
        assert_eq!((page_of(&out), page_of(b"{\"ev\":\"ok\",\"re\":4}")), (Some((4, room)), None));
    }
}
