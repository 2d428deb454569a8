//! `send`: the warm path. One message is checked, numbered, journaled, encoded and queued without allocation.
//!
//! Thread: the shard. What can fail: every check answers with a [`Reject`]; a refused key is not remembered.

use std::borrow::Cow;

use lynk_domain::{Key, Limits, MediaId, MessageId, Millis, Now, Ordinal, Role, Seq, UserId};
use lynk_model::port::command_hash;
use lynk_model::{Body, FoundKey, Parts, RecordKind, StoreReply, StoreRequest};
use lynk_protocol::{Done, ErrorCode, Reject, encode_message, encode_ok};

use super::books::{Ask, Books, Found, Held, Pending, store_reject};
use super::change::stands_in_window;
use super::keys::{Lookup, Used};
use super::mentions::may_mention;
use super::release::Item;
use super::room::{Member, Room};
use super::strangers::Post;
use super::window::{Entry, Kind, Posted};
use crate::context::Context;
use crate::mail::Removes;

/// What a `send` says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said<'a> {
    /// The message it answers; 0 for none.
    pub(super) reply_to: Seq,
    pub(super) text: &'a str,
    pub(super) parts: &'a Parts,
    /// Its files, which the store has to give first.
    pub(super) files: &'a [MediaId],
}

impl Books {
    pub(super) fn send(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        ask: &Ask<'_>,
        key: Key,
        said: Said<'_>,
        found: Found,
    ) {
        let hash = command_hash(said.reply_to, said.text, said.parts, said.files);
        let scope = Self::scope(room, ask.user, key);
        // A retry is answered even when its sender may no longer post.
        if let Some(used) = self.keys.used(&scope) {
            return self.repeat(cx, room, ask, &used, hash);
        }
        if let Found::Key(Some(used)) = found {
            self.keys.insert(scope, used, cx.now.wall, &self.drains);
            return self.repeat(cx, room, ask, &used, hash);
        }
        let checked = room
            .member(ask.user, cx.now.wall)
            .map(drop)
            .and_then(|()| key_time(key, cx.now.wall, &cx.shared.config.limits));
        let made = match checked {
            Ok(made) => made,
            Err(reject) => return self.refuse(cx, room, ask, reject),
        };
        let asked = !matches!(found, Found::Unasked);
        if !asked && self.keys.look_up(&scope, made, room.known_since) == Lookup::Ask {
            return self.ask_key(cx, room, ask, key, false);
        }
        if let Err(reject) = self.may_send(cx, room, ask.user, said) {
            return self.refuse(cx, room, ask, reject);
        }
        if said.reply_to > Seq(0) {
            let stands = match (stands_in_window(room, said.reply_to), &found) {
                (Some(stands), _) => stands,
                (None, Found::Target(target)) => target.as_ref().is_some_and(|target| !target.deleted),
                (None, Found::Files(_)) => true,
                (None, _) => return self.ask_target(cx, room, ask.hold(), said.reply_to, 1),
            };
            let seen = room.members.get(&ask.user).map(|member| room.shown(member).from);
            if !stands || seen.is_none_or(|seen| said.reply_to < seen) {
                let reject = "`reply_to` is no message that you can answer";
                return self.refuse(cx, room, ask, Reject::because(ErrorCode::MessageNotFound, reject));
            }
        }
        if let Found::Files(files) = found {
            // Its pace was counted before the files were asked for; but another message of its sender may have come in meanwhile.
            let slow = room
                .member(ask.user, cx.now.wall)
                .map(|member| (member.role, member.posted))
                .and_then(|(role, posted)| slow_mode(room, role, posted, cx.now));
            if let Err(reject) = slow {
                return self.refuse(cx, room, ask, reject);
            }
            let parts = Parts { attachments: files, ..said.parts.clone() };
            return self.accept(cx, room, ask, key, Said { parts: &parts, ..said }, hash);
        }
        if let Err(reject) = self.may_be_now(cx, room, ask.user) {
            return self.refuse(cx, room, ask, reject);
        }
        if said.files.is_empty() {
            self.accept(cx, room, ask, key, said, hash);
        } else {
            self.ask_files(cx, room, ask, key, (said.files, said.reply_to));
        }
    }

    /// Whether only the store can tell what a key led to.
    pub(super) fn must_ask_key(&self, room: &Room, ask: &Ask<'_>, key: Key) -> bool {
        let made = Millis(key.v7_millis().unwrap_or(0));
        self.keys.look_up(&Self::scope(room, ask.user, key), made, room.known_since) == Lookup::Ask
    }

    /// Asks the store for an old key; the command goes on in [`Self::key_found`]. `metadata`: of a metadata command.
    pub(super) fn ask_key(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        ask: &Ask<'_>,
        key: Key,
        metadata: bool,
    ) {
        if !self.may_ask(cx) {
            return self.refuse(cx, room, ask, Reject::after(ErrorCode::Busy, 100));
        }
        room.engage(ask.from);
        let request = StoreRequest::FindKey { room: room.id, sender: ask.user, key, metadata };
        self.ask(cx, room, request, Pending::Key(ask.hold()));
    }

    pub(super) fn key_found(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        held: &Held,
        reply: StoreReply,
    ) {
        room.disengage(held.from);
        match reply {
            StoreReply::Key(known) => self.run_held(cx, room, held, Found::Key(known.map(used_of))),
            StoreReply::Failed(error) => self.refuse_held(cx, room, held, store_reject(error)),
            _ => self.refuse_held(cx, room, held, ErrorCode::Internal.into()),
        }
    }

    /// What a message may be refused for, whenever it is looked at.
    fn may_send(&self, cx: &Context<'_>, room: &Room, user: UserId, said: Said<'_>) -> Result<(), Reject> {
        let limits = &cx.shared.config.limits;
        let post = Post::Message { files: !said.files.is_empty() };
        let role = room.may_post(user, cx.now.wall, post)?.role;
        check_text(said.text, !said.files.is_empty(), limits)?;
        may_mention(room, role, &said.parts.mentions, &Parts::NONE.mentions, limits)?;
        self.may_append(cx)?;
        self.may_wait(cx, room)
    }

    /// Whether the pace of the member and of the room allow a message now; counts it.
    fn may_be_now(&self, cx: &Context<'_>, room: &mut Room, user: UserId) -> Result<(), Reject> {
        let Member { role, posted, .. } = *room.member(user, cx.now.wall)?;
        slow_mode(room, role, posted, cx.now)?;
        room.keep_pace(cx.now, cx.shared.config.limits.messages_per_room_per_second)
    }

    fn accept(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        ask: &Ask<'_>,
        key: Key,
        said: Said<'_>,
        hash: u64,
    ) {
        let Said { reply_to, text, parts, files: _ } = said;
        let (wall, user) = (cx.now.wall, ask.user);
        let id = MessageId(cx.shared.new_id(cx.now));
        let n = Ordinal(room.top_n.0 + 1);
        let body = Body::Message { id, n, reply_to, text, parts: Cow::Borrowed(parts) };
        let event = self.append(cx, room, RecordKind::Message, wall, user, key, Seq(0), &body);
        let seq = event.seq;
        room.top_n = n;
        let mut added = false;
        if let Some(member) = room.members.get_mut(&user) {
            member.posted = wall;
            added = member.added;
            if let Some(count) = &mut member.count {
                count.own += 1;
            }
        }
        room.spoil_counts_of(user);
        if !parts.is_empty() {
            room.mention_changes.push(seq, user, &Parts::NONE.mentions, &parts.mentions);
        }
        let used = Used { seq, n, id, hash: Some(hash), wall, at: Some(event.at) };
        self.keys.insert(Self::scope(room, user, key), used, wall, &self.drains);
        if !parts.attachments.is_empty() {
            self.tell_posted(cx, room, key, (seq, event.at.lsn), parts);
        }
        if added {
            self.tell_wrote(cx, room, user, event.at.lsn);
        }

        let pool = &mut cx.shared.pool;
        let frame = pool.lend(|out| {
            encode_message(out, room.id, seq, n, id, user, wall, reply_to, text, parts);
        });
        let done = Done {
            room: Some(room.id),
            seq,
            n,
            id: Some(id),
            time: Some(wall),
            level: Some(room.level()),
            ..Done::default()
        };
        let ok = pool.frame(|out| encode_ok(out, ask.re, &done));
        let kind = Kind::Message(Posted::new(n, id, reply_to, parts, &frame));
        let entry = Entry { seq, wall, sender: user, frame: frame.clone(), kind };
        self.keep(cx, room, entry);
        cx.shared.counters.messages += 1;
        let own = self.acknowledge(cx, room, ask, event.at, ok);
        let journaled = own.is_some();
        self.emit(cx, room, event.after, Item::Event { seq, frame, own, removes: Removes::Nobody });
        if journaled {
            self.time_ack(cx, room);
        }
    }

    /// Refuses a command that has waited.
    pub(super) fn refuse_held(&mut self, cx: &mut Context<'_>, room: &mut Room, held: &Held, reject: Reject) {
        let decoded = lynk_protocol::decode(&held.raw);
        let Ok(command) = &decoded.command else { return };
        let ask = Ask::new(held.from, held.principal, decoded.re, command, &held.raw);
        self.refuse(cx, room, &ask, reject);
    }
}

fn used_of(known: FoundKey) -> Used {
    let FoundKey { seq, n, id, wall, content_hash } = known;
    Used { seq, n, id, hash: content_hash, wall: Millis(wall), at: None }
}

/// The time at which a key was made, when the server can still tell whether it was used.
fn key_time(key: Key, wall: Millis, limits: &Limits) -> Result<Millis, Reject> {
    let Some(made) = key.v7_millis() else {
        return Err(Reject::because(ErrorCode::InvalidField, "field `key` must be a UUIDv7"));
    };
    if made > wall.0 + limits.key_ahead_max_millis {
        let mut now = Vec::with_capacity(24);
        lynk_protocol::write_time(&mut now, wall);
        let now = String::from_utf8_lossy(&now);
        return Err(Reject::because(
            ErrorCode::ClockSkew,
            format!("the server's time is {now}; set the clock"),
        ));
    }
    if made + limits.key_age_max_millis < wall.0 {
        return Err(ErrorCode::KeyExpired.into());
    }
    Ok(Millis(made))
}

/// Whether a text is within its limit, which counts characters, and not empty unless it `may_be`.
pub(super) fn check_text(text: &str, may_be: bool, limits: &Limits) -> Result<(), Reject> {
    if text.is_empty() && !may_be {
        return Err(Reject::because(ErrorCode::InvalidField, "field `text` is empty"));
    }
    let max = limits.message_chars_max as usize;
    // A text has at most as many characters as bytes: short ones need no count.
    if text.len() > max && text.chars().nth(max).is_some() {
        return Err(ErrorCode::TooLarge.into());
    }
    Ok(())
}

fn slow_mode(room: &Room, role: Role, posted: Millis, now: Now) -> Result<(), Reject> {
    let seconds = room.info.as_ref().map_or(0, |row| row.slow_mode_seconds);
    let next = posted.0 + u64::from(seconds) * 1_000;
    if seconds == 0 || role > Role::Member || posted.0 == 0 || next <= now.wall.0 {
        return Ok(());
    }
    Err(Reject::after(ErrorCode::SlowMode, u32::try_from(next - now.wall.0).unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_limited_in_characters_not_bytes() {
        let limits = Limits { message_chars_max: 3, ..Limits::default() };
        assert!(check_text("äöü", false, &limits).is_ok());
        assert!(check_text("äöüx", true, &limits).is_err_and(|r| r.code == ErrorCode::TooLarge));
        assert!(check_text("", false, &limits).is_err_and(|r| r.code == ErrorCode::InvalidField));
        assert!(check_text("", true, &limits).is_ok());
    }

    #[test]
    fn keys_are_refused_when_too_old_too_new_or_of_another_kind() {
        let limits = Limits::default();
        let now = Millis(1_800_000_000_000);
        let key = |millis: u64| Key(lynk_domain::uuid_v7(millis, [1; 10]));
        let code = |key| key_time(key, now, &limits).map_err(|r| r.code);
        assert_eq!(code(key(now.0 + 60_000)), Ok(Millis(now.0 + 60_000)));
        assert_eq!(code(key(now.0 + 60_001)), Err(ErrorCode::ClockSkew));
        assert_eq!(code(key(now.0 - 7 * 86_400_000)), Ok(Millis(now.0 - 7 * 86_400_000)));
        assert_eq!(code(key(now.0 - 7 * 86_400_000 - 1)), Err(ErrorCode::KeyExpired));
        assert_eq!(code(Key([1; 16])), Err(ErrorCode::InvalidField));
    }
}
