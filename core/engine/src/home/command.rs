//! From a text frame to a command on its way, and the answers that need no room.

use lynk_domain::{RoomId, ShardId, direct_room_id, shard_of_room};
use lynk_protocol::{
    CloseCode, Command, Decoded, Done, ErrorCode, Frame, History, Reject, Resume, decode, encode_error,
    encode_ok,
};

use super::Home;
use super::route::room_of_create;
use super::session::{Session, State, Subscribing};
use crate::context::Context;
use crate::io::Slot;
use crate::mail::{ConnectionRef, Mail, Principal};

/// Commands and questions of this shard that wait at one other shard at most: as many answers as its mailbox
/// towards this shard keeps free.
pub(crate) const CREDIT_PER_SHARD_MAX: u32 = 1_024;
/// What a client is told to wait when a shard or the journal is behind.
pub(crate) const BUSY_RETRY_MILLIS: u32 = 100;
/// Refused frames in a row after which the connection is closed.
const STRIKES_MAX: u8 = 64;
/// Seconds of its rate that a connection may use at once.
pub(crate) const BURST_SECONDS: u32 = 2;

/// A command for a room of this very shard, which needs no mail.
pub(crate) struct Order<'t> {
    pub(crate) room: RoomId,
    pub(crate) from: ConnectionRef,
    pub(crate) principal: Principal,
    pub(crate) re: u64,
    pub(crate) command: Command<'t>,
}

/// Commands that may go without an answer.
fn is_silent(re: u64, command: &Command<'_>) -> bool {
    re == 0 && matches!(command, Command::Typing { .. } | Command::Read { .. } | Command::Delivered { .. })
}

/// Commands per second of a connection: its own limit, or its share of the account's. 0 is no limit.
pub(crate) fn rate_of(own: u32, share: u32) -> u32 {
    if own == 0 || share == 0 { own.max(share) } else { own.min(share) }
}

impl Home {
    /// A text frame arrived. Returns a command that the owner part of this shard must carry out.
    pub(crate) fn text<'t>(&mut self, cx: &mut Context<'_>, slot: Slot, text: &'t str) -> Option<Order<'t>> {
        let session = self.sessions.get(slot)?;
        if !matches!(session.state, State::Upgraded | State::Redeeming | State::SignedIn) {
            return None;
        }
        let Decoded { re, command } = decode(text);
        cx.shared.counters.commands += 1;
        let silent = command.as_ref().is_ok_and(|command| is_silent(re, command));
        match self.admit(cx, slot, re, command) {
            Ok(command) => self.dispatch(cx, slot, re, command, text),
            Err(reject) => {
                let code = reject.code;
                if silent {
                    cx.shared.counters.rejects[code as usize] += 1;
                } else {
                    self.refuse(cx, slot, re, &reject);
                }
                self.strike(cx, slot, code);
                None
            }
        }
    }

    /// What every command must pass: rate, form, sign-in, number of commands without an answer.
    fn admit<'t>(
        &mut self,
        cx: &mut Context<'_>,
        slot: Slot,
        re: u64,
        command: Result<Command<'t>, Reject>,
    ) -> Result<Command<'t>, Reject> {
        let limits = &cx.shared.config.limits;
        let Some(session) = self.sessions.get_mut(slot) else { return Err(ErrorCode::NotSignedIn.into()) };
        let rate = rate_of(limits.commands_per_connection_per_second, session.share);
        session
            .bucket
            .take(cx.now.mono, rate, rate.saturating_mul(BURST_SECONDS))
            .map_err(|millis| Reject::after(ErrorCode::RateLimited, millis))?;
        let command = command?;
        if session.state != State::SignedIn && !matches!(command, Command::Hello { .. }) {
            return Err(ErrorCode::NotSignedIn.into());
        }
        if u32::from(session.in_flight) >= limits.commands_in_flight_max.min(u32::from(u8::MAX))
            && !is_silent(re, &command)
        {
            return Err(Reject::after(ErrorCode::RateLimited, BUSY_RETRY_MILLIS));
        }
        session.strikes = 0;
        Ok(command)
    }

    pub(super) fn dispatch<'t>(
        &mut self,
        cx: &mut Context<'_>,
        slot: Slot,
        re: u64,
        command: Command<'t>,
        text: &'t str,
    ) -> Option<Order<'t>> {
        let session = self.sessions.get(slot)?;
        let user = session.principal.user;
        if session.state == State::SignedIn && session.deadline <= cx.now.mono {
            self.close(cx, slot, CloseCode::TokenExpired);
            return None;
        }
        let room = match &command {
            Command::Hello { proof, resume } => {
                self.hello(cx, slot, re, proof, resume);
                return None;
            }
            Command::Refresh { token } => {
                self.refresh(cx, slot, re, token);
                return None;
            }
            Command::Ping => {
                self.done(cx, slot, re, &Done::default());
                return None;
            }
            Command::Unsubscribe { room } => {
                self.unsubscribe_command(cx, slot, re, *room);
                return None;
            }
            Command::Sync { after, limit } => {
                self.sync(cx, slot, re, *after, *limit);
                return None;
            }
            Command::Presence { room, watch, unwatch } => {
                self.presence(cx, slot, re, *room, watch, unwatch);
                return None;
            }
            Command::Find { name } => {
                self.find(cx, slot, re, name);
                return None;
            }
            Command::Discover { name, cursor, limit } => {
                self.discover(cx, slot, re, (name.as_deref(), cursor.as_ref(), *limit));
                return None;
            }
            Command::MyRequests { after, limit } => {
                self.my_requests(cx, slot, re, *after, *limit);
                return None;
            }
            Command::Create { key, .. } => room_of_create(user, *key),
            Command::Direct { user: other } | Command::Block { user: other, .. } => {
                if *other == user {
                    let reject = Reject::because(ErrorCode::InvalidField, "field `user` is yourself");
                    self.refuse(cx, slot, re, &reject);
                    return None;
                }
                direct_room_id(user, *other)
            }
            Command::Subscribe(Resume { room, .. }) => {
                if !self.may_subscribe(cx, slot, *room) {
                    self.refuse(cx, slot, re, &ErrorCode::LimitReached.into());
                    return None;
                }
                *room
            }
            Command::History(History { room, .. }) => {
                if !self.may_page(cx, slot) {
                    self.refuse(cx, slot, re, &Reject::after(ErrorCode::Busy, BUSY_RETRY_MILLIS));
                    return None;
                }
                *room
            }
            other => match other.room() {
                Some(room) => room,
                None => {
                    self.refuse(cx, slot, re, &ErrorCode::UnknownOp.into());
                    return None;
                }
            },
        };
        self.send_to_owner(cx, slot, re, room, command, text)
    }

    /// Takes a command to the owner of its room.
    fn send_to_owner<'t>(
        &mut self,
        cx: &mut Context<'_>,
        slot: Slot,
        re: u64,
        room: RoomId,
        command: Command<'t>,
        text: &'t str,
    ) -> Option<Order<'t>> {
        let from = self.sessions.reference(self.shard, slot);
        let owner = shard_of_room(room, cx.shared.config.shard_count);
        let silent = is_silent(re, &command);
        if owner != self.shard && !silent && !self.borrow_credit(owner, CREDIT_PER_SHARD_MAX) {
            self.refuse(cx, slot, re, &Reject::after(ErrorCode::Busy, BUSY_RETRY_MILLIS));
            return None;
        }
        let session = self.sessions.get_mut(slot)?;
        let principal = session.principal;
        if !silent {
            session.in_flight += 1;
        }
        match &command {
            Command::Subscribe(_) => {
                session.extra_mut().subscribing.push(Subscribing { re, room, ended_by: None });
            }
            Command::History(_) => session.extra_mut().pages.push(re),
            _ => {}
        }
        if owner == self.shard {
            return Some(Order { room, from, principal, re, command });
        }
        let raw = cx.shared.pool.frame(|out| out.extend_from_slice(text.as_bytes()));
        cx.post(owner, Mail::Command { room, from, principal, raw });
        None
    }

    /// Counts one more question at another shard, if there are fewer than `max`.
    pub(crate) fn borrow_credit(&mut self, shard: ShardId, max: u32) -> bool {
        let Some(outstanding) = self.outstanding.get_mut(shard.index()) else { return false };
        if *outstanding >= max {
            return false;
        }
        *outstanding += 1;
        true
    }

    /// A command was answered, by `shard`: there is room for another, or for a room that waits to be resumed.
    pub(crate) fn answered(&mut self, cx: &mut Context<'_>, shard: ShardId, to: ConnectionRef) {
        self.returned(shard);
        self.no_longer_asks(cx, to);
    }

    /// A connection has one command less under way.
    pub(crate) fn no_longer_asks(&mut self, cx: &mut Context<'_>, to: ConnectionRef) {
        let Some(session) = self.sessions.live(to) else { return };
        session.in_flight = session.in_flight.saturating_sub(1);
        self.resume_if_more(cx, to);
    }

    /// There is credit again, which a room that is to be resumed may have waited for.
    pub(crate) fn resume_if_more(&mut self, cx: &mut Context<'_>, to: ConnectionRef) {
        let Some(session) = self.sessions.live(to) else { return };
        if session.extra.as_ref().is_some_and(|extra| !extra.resume.is_empty()) {
            self.resume_soon(cx, to);
        }
    }

    /// The mailbox of a room's owner was full.
    pub(crate) fn command_refused(
        &mut self,
        cx: &mut Context<'_>,
        to: ShardId,
        room: RoomId,
        from: ConnectionRef,
        raw: &Frame,
    ) {
        let text = std::str::from_utf8(raw.payload()).unwrap_or_default();
        let Decoded { re, command } = decode(text);
        let Ok(command) = command else {
            debug_assert!(false, "a command is decoded before it is posted");
            return;
        };
        if is_silent(re, &command) {
            cx.shared.counters.rejects[ErrorCode::Busy as usize] += 1;
            return;
        }
        self.returned(to);
        let Some(session) = self.sessions.live(from) else { return };
        session.in_flight = session.in_flight.saturating_sub(1);
        match &command {
            Command::Subscribe(resume) if re == 0 => {
                debug_assert_eq!(resume.room, room, "a subscribe is posted to the owner of its room");
                let asked = session.subscribe_answered(|asked| asked.re == 0 && asked.room == room);
                match asked.and_then(|asked| asked.ended_by) {
                    None => self.resume_later(cx, from, *resume),
                    Some(re) => self.done(cx, from.slot, re, &Done { room: Some(room), ..Done::default() }),
                }
            }
            _ => {
                session.page_answered(re);
                self.refuse(cx, from.slot, re, &Reject::after(ErrorCode::Busy, BUSY_RETRY_MILLIS));
                self.subscribe_refused(cx, from, re, room);
            }
        }
    }

    /// Answers with an error and counts it.
    pub(crate) fn refuse(&mut self, cx: &mut Context<'_>, slot: Slot, re: u64, reject: &Reject) {
        cx.shared.counters.rejects[reject.code as usize] += 1;
        let request = cx.shared.random();
        let frame = cx.shared.pool.frame(|out| encode_error(out, re, None, reject, request));
        cx.reply(slot, frame);
    }

    /// Answers with `ok`.
    pub(crate) fn done(&mut self, cx: &mut Context<'_>, slot: Slot, re: u64, done: &Done) {
        let frame = cx.shared.pool.frame(|out| encode_ok(out, re, done));
        cx.reply(slot, frame);
    }

    /// Counts what a sound client does not do; too much of it in a row ends the connection.
    fn strike(&mut self, cx: &mut Context<'_>, slot: Slot, code: ErrorCode) {
        let close = match code {
            ErrorCode::RateLimited => CloseCode::RateLimited,
            ErrorCode::BadRequest
            | ErrorCode::UnknownOp
            | ErrorCode::InvalidField
            | ErrorCode::NotSignedIn => CloseCode::Misuse,
            _ => return,
        };
        let Some(session) = self.sessions.get_mut(slot) else { return };
        session.strikes = session.strikes.saturating_add(1);
        if session.strikes >= STRIKES_MAX {
            self.close(cx, slot, close);
        }
    }

    /// Whether a connection may have one more subscription (or has this one). Those under way are not counted: there
    /// are at most as many as commands in flight.
    fn may_subscribe(&self, cx: &Context<'_>, slot: Slot, room: RoomId) -> bool {
        let Some(session) = self.sessions.get(slot) else { return false };
        let resuming = session.extra.as_ref().map_or(0, |extra| extra.resume.len());
        let max = cx.shared.config.limits.subscriptions_per_connection_max as usize;
        let has = |session: &Session| {
            self.topics.find(room).is_some_and(|topic| session.position_in(topic).is_some())
        };
        session.subscriptions.len() + resuming < max || has(session)
    }

    /// Whether the queue of a connection holds one more page of history, with those on their way.
    fn may_page(&self, cx: &Context<'_>, slot: Slot) -> bool {
        let Some(session) = self.sessions.get(slot) else { return false };
        let limits = &cx.shared.config.limits;
        let (pages, resuming) = match &session.extra {
            Some(extra) => (extra.pages.len(), !extra.resume.is_empty() || !extra.subscribing.is_empty()),
            None => (0, false),
        };
        let max = if resuming { 1 } else { limits.pages_in_flight_max() as usize };
        pages < max && !self.is_high(slot)
    }

    /// `unsubscribe`: answered here, because the owner need not know which connections listen. When a `subscribe` of
    /// the room is under way, that one is answered first.
    fn unsubscribe_command(&mut self, cx: &mut Context<'_>, slot: Slot, re: u64, room: RoomId) {
        let topic = self.topics.find(room);
        if let Some(topic) = topic {
            self.unsubscribe(cx, slot, topic);
        }
        let Some(session) = self.sessions.get_mut(slot) else { return };
        if let Some(extra) = session.extra.as_mut() {
            extra.resume.retain(|resume| resume.room != room);
            let open = extra.subscribing.iter_mut().rev().find(|asked| asked.room == room);
            if let Some(asked) = open
                && asked.ended_by.is_none()
            {
                asked.ended_by = Some(re);
                return;
            }
            session.trim();
        }
        self.done(cx, slot, re, &Done { room: Some(room), ..Done::default() });
    }
}
