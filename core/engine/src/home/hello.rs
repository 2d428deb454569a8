//! Signing in: tokens, the greeting, and the rooms that a client comes back to.
//!
//! The greeting is the `ok` of `hello`:
//!
//! ```json
//! {"ev":"ok","re":1,"session":"…","user":"…","time":"2026-11-23T17:48:51.123Z","expires":"…",
//!  "heartbeat_ms":25000,"resume_events":100,"dedupe_window_ms":600000,"key_age_max_ms":604800000,
//!  "key_ahead_max_ms":60000,"commands_per_second":50,
//!  "limits":{"message_chars":8000,"frame_bytes":131072,"room_name_chars":100,"reactions_per_message":20,
//!   "reactions_standing":2000,"mentions_per_message":50,"history_page":100,"history_page_max":500,"reply_bytes":262144,"subscriptions":1000,"commands_in_flight":32,
//!   "room_members":100000,"presence_watch":500,"presence_room_members":500,"resume_bytes":65536,
//!   "connections_per_account":30},
//!  "features":["direct","history","history_at","memberships","mentions","positions","presence","reactions","receipts","resume","sync","typing"]}
//! ```

use std::borrow::Cow;

use lynk_auth::{Claims, TokenError};
use lynk_domain::{Limits, Millis, Nanos, SessionId, shard_of_room, shard_of_user};
use lynk_protocol::{CloseCode, Done, ErrorCode, Json, Proof, Reject, Resume};

use super::command::{BUSY_RETRY_MILLIS, CREDIT_PER_SHARD_MAX, rate_of};
use super::session::{State, Subscribing};
use super::{Home, STALLED_REPEAT, TIMERS_MAX};
use crate::api::{TicketAsk, TicketOutcome};
use crate::context::Context;
use crate::io::Slot;
use crate::mail::{ConnectionRef, Mail, Principal};
use crate::revoked::Standing;

/// Connections whose rooms one flush asks for; the others follow in the next.
const RESUMES_PER_FLUSH: usize = 16;
/// Questions at another shard beyond which resumed rooms wait: commands come first.
const RESUME_CREDIT_MAX: u32 = CREDIT_PER_SHARD_MAX / 4 * 3;
/// Time that the API bridge has to say what a ticket is good for.
const TICKET_NANOS: u64 = 3 * Nanos::SECOND;
/// Longest ticket that is asked about; ours have 47 bytes.
const TICKET_BYTES_MAX: usize = 128;
/// What this server can do beyond sending and receiving.
const FEATURES: [&str; 12] = [
    "direct",
    "history",
    "history_at",
    "memberships",
    "mentions",
    "positions",
    "presence",
    "reactions",
    "receipts",
    "resume",
    "sync",
    "typing",
];

/// Why a token is refused, for its owner; nothing about the server's keys.
fn reject_of(error: TokenError) -> Reject {
    match error {
        TokenError::Expired => ErrorCode::TokenExpired.into(),
        TokenError::NotYet => Reject::because(ErrorCode::InvalidToken, "the token is not valid yet"),
        _ => ErrorCode::InvalidToken.into(),
    }
}

impl Home {
    /// `hello`: verifies the token or asks about the ticket, then greets, and resumes the listed rooms.
    pub(crate) fn hello(
        &mut self,
        cx: &mut Context<'_>,
        slot: Slot,
        re: u64,
        proof: &Proof<'_>,
        resume: &[Resume],
    ) {
        if self.sessions.get(slot).is_none_or(|s| s.state != State::Upgraded) {
            let reject = Reject::because(ErrorCode::Conflict, "this connection is signed in already");
            self.refuse(cx, slot, re, &reject);
            return;
        }
        if let Some(drain) = self.drain.as_ref() {
            let reject = Reject::after(ErrorCode::Draining, drain.retry_after_millis(cx.now.mono));
            self.refuse(cx, slot, re, &reject);
            self.close(cx, slot, CloseCode::Shutdown);
            return;
        }
        let limits = &cx.shared.config.limits;
        if resume.len() > limits.subscriptions_per_connection_max as usize {
            self.refuse(cx, slot, re, &ErrorCode::LimitReached.into());
            return;
        }
        let token = match proof {
            Proof::Token(token) => token,
            Proof::Ticket(ticket) => return self.redeem(cx, slot, re, ticket, resume),
        };
        let claims = match self.claims(token, cx.now.wall) {
            Ok(claims) => claims,
            Err(reject) => return self.turn_away(cx, slot, re, &reject),
        };
        let principal = Principal { user: claims.user, session: claims.session };
        self.sign_in(cx, slot, re, principal, claims.expires, resume);
    }

    /// What a token says that opens a socket, or keeps it open.
    fn claims(&self, token: &str, wall: Millis) -> Result<Claims, Reject> {
        let claims = self.keys.verify(token, wall).map_err(reject_of)?;
        if claims.enrolling { Err(ErrorCode::SecondFactorRequired.into()) } else { Ok(claims) }
    }

    /// `hello` with a ticket: the API bridge knows what it is good for.
    fn redeem(&mut self, cx: &mut Context<'_>, slot: Slot, re: u64, ticket: &str, resume: &[Resume]) {
        if ticket.len() > TICKET_BYTES_MAX {
            return self.turn_away(cx, slot, re, &ErrorCode::InvalidToken.into());
        }
        let to = self.sessions.reference(self.shard, slot);
        let Some(session) = self.sessions.get_mut(slot) else { return };
        session.state = State::Redeeming;
        session.deadline = cx.now.mono.after(TICKET_NANOS).min(session.deadline);
        if !resume.is_empty() {
            session.extra_mut().resume.extend(resume.iter().copied());
        }
        self.arm(slot);
        cx.fx.tickets.push(TicketAsk { to, re, ticket: ticket.into() });
    }

    /// The API bridge has said what a ticket is good for.
    pub(crate) fn ticket_known(
        &mut self,
        cx: &mut Context<'_>,
        to: ConnectionRef,
        re: u64,
        outcome: TicketOutcome,
    ) {
        let session = self.sessions.get_mut(to.slot).filter(|s| s.generation == to.generation);
        let Some(session) = session.filter(|s| s.state == State::Redeeming) else { return };
        session.state = State::Upgraded;
        match outcome {
            TicketOutcome::Good { principal, expires } if expires > cx.now.wall => {
                self.sign_in(cx, to.slot, re, principal, expires, &[]);
            }
            TicketOutcome::Good { .. } | TicketOutcome::Bad => {
                let reject =
                    Reject::because(ErrorCode::InvalidToken, "the ticket is not good, or was used before");
                self.turn_away(cx, to.slot, re, &reject);
            }
            TicketOutcome::Busy => {
                self.refuse(cx, to.slot, re, &Reject::after(ErrorCode::Busy, BUSY_RETRY_MILLIS));
                self.close(cx, to.slot, CloseCode::TryLater);
            }
        }
    }

    /// Refuses `hello` and closes, as its reason says whether to come back.
    fn turn_away(&mut self, cx: &mut Context<'_>, slot: Slot, re: u64, reject: &Reject) {
        let expired = reject.code == ErrorCode::TokenExpired;
        self.refuse(cx, slot, re, reject);
        self.close(cx, slot, if expired { CloseCode::TokenExpired } else { CloseCode::BadAuth });
    }

    /// A connection has proved who it is.
    fn sign_in(
        &mut self,
        cx: &mut Context<'_>,
        slot: Slot,
        re: u64,
        principal: Principal,
        expires: Millis,
        resume: &[Resume],
    ) {
        match cx.shared.revoked.standing(principal.session, expires) {
            Standing::Good => {}
            Standing::Stale => return self.turn_away(cx, slot, re, &ErrorCode::TokenExpired.into()),
            Standing::Revoked => {
                self.refuse(
                    cx,
                    slot,
                    re,
                    &Reject::because(ErrorCode::InvalidToken, "the session was revoked"),
                );
                return self.close(cx, slot, CloseCode::Revoked);
            }
        }
        let share = cx.shared.config.limits.commands_per_account_per_second;
        let connection = self.sessions.reference(self.shard, slot);
        let Some(session) = self.sessions.get_mut(slot) else { return };
        session.state = State::SignedIn;
        session.principal = principal;
        session.share = share;
        session.deadline = expiry(cx, expires);
        if !resume.is_empty() {
            session.extra_mut().resume.extend(resume.iter().copied());
        }
        self.arm(slot);
        cx.shared.counters.sign_ins += 1;
        let to = shard_of_user(principal.user, cx.shared.config.shard_count);
        cx.post(to, Mail::SignedIn { connection, principal });
        let (wall, rate) = (cx.now.wall, rate_of(limits_rate(cx), share));
        let Context { shared, .. } = cx;
        let limits = &shared.config.limits;
        let frame = shared.pool.frame(|out| encode_greeting(out, re, principal, expires, wall, rate, limits));
        cx.reply(slot, frame);
        self.resume_rooms(cx, connection);
    }

    /// `refresh`: a newer token of the same session moves its end.
    pub(crate) fn refresh(&mut self, cx: &mut Context<'_>, slot: Slot, re: u64, token: &str) {
        let claims = match self.claims(token, cx.now.wall) {
            Ok(claims) => claims,
            Err(reject) => {
                self.refuse(cx, slot, re, &reject);
                return;
            }
        };
        match cx.shared.revoked.standing(claims.session, claims.expires) {
            Standing::Good => {}
            Standing::Stale => return self.refuse(cx, slot, re, &ErrorCode::TokenExpired.into()),
            Standing::Revoked => return self.refuse(cx, slot, re, &ErrorCode::InvalidToken.into()),
        }
        let Some(session) = self.sessions.get_mut(slot) else { return };
        if (session.principal.user, session.principal.session) != (claims.user, claims.session) {
            let reject = Reject::because(ErrorCode::InvalidToken, "the token is of another session");
            self.refuse(cx, slot, re, &reject);
            return;
        }
        // A longer life needs no new timer: the old one fires, finds the new deadline and is put in again.
        let deadline = expiry(cx, claims.expires);
        if deadline < session.armed && session.timers >= TIMERS_MAX {
            let reject = Reject::because(ErrorCode::InvalidToken, "shorter tokens were shown too often");
            self.refuse(cx, slot, re, &reject);
            return;
        }
        session.deadline = deadline;
        self.arm(slot);
        self.done(cx, slot, re, &Done { time: Some(cx.now.wall), ..Done::default() });
    }

    /// The session of a connection is over.
    pub(crate) fn revoked(&mut self, cx: &mut Context<'_>, to: ConnectionRef, session: SessionId) {
        if self.sessions.live(to).is_some_and(|live| live.principal.session == session) {
            self.close(cx, to.slot, CloseCode::Revoked);
        }
    }

    /// The user's shard has decided.
    pub(crate) fn admitted(&mut self, cx: &mut Context<'_>, to: ConnectionRef, admitted: bool, share: u32) {
        let Some(session) = self.sessions.live(to) else { return };
        if admitted {
            session.share = share;
            return;
        }
        let text = Cow::Borrowed("this account has too many connections");
        self.refuse(cx, to.slot, 0, &Reject::because(ErrorCode::LimitReached, text));
        self.close(cx, to.slot, CloseCode::TryLater);
    }

    /// Has [`Self::resume_rooms`] go on at the end of this turn, when the driver has told how full the connection's queue
    /// is: an owner on this shard answers before this call returns.
    pub(crate) fn resume_soon(&mut self, cx: &mut Context<'_>, connection: ConnectionRef) {
        let Some(extra) = self.sessions.live(connection).and_then(|s| s.extra.as_mut()) else { return };
        if !extra.resume.is_empty() && !std::mem::replace(&mut extra.resuming, true) {
            self.resuming.push_back(connection);
        }
        cx.fx.more |= !self.resuming.is_empty();
    }

    /// Goes on with connections whose rooms were answered in this turn.
    pub(crate) fn resume_due(&mut self, cx: &mut Context<'_>) {
        for _ in 0..RESUMES_PER_FLUSH.min(self.resuming.len()) {
            let Some(connection) = self.resuming.pop_front() else { break };
            if let Some(extra) = self.sessions.live(connection).and_then(|s| s.extra.as_mut()) {
                extra.resuming = false;
            }
            self.resume_rooms(cx, connection);
        }
        cx.fx.more |= !self.resuming.is_empty();
    }

    /// Sends `subscribe` for rooms of `hello`, a few at a time: each answer makes room for the next. Nothing is asked for
    /// while the connection's queue is above the high watermark; it goes on when that is drained.
    pub(crate) fn resume_rooms(&mut self, cx: &mut Context<'_>, connection: ConnectionRef) {
        let max = cx.shared.config.limits.resumes_in_flight_max();
        loop {
            if self.is_high(connection.slot) {
                return;
            }
            let Some(session) = self.sessions.live(connection) else { return };
            let principal = session.principal;
            let in_flight = session.in_flight;
            let Some(extra) = session.extra.as_mut() else { return };
            if u32::from(in_flight) >= max {
                return;
            }
            let Some(resume) = extra.resume.pop_front() else {
                extra.resume = std::collections::VecDeque::new();
                session.trim();
                return;
            };
            let owner = shard_of_room(resume.room, cx.shared.config.shard_count);
            if owner != self.shard && !self.borrow_credit(owner, RESUME_CREDIT_MAX) {
                self.resume_later(cx, connection, resume);
                return;
            }
            if let Some(session) = self.sessions.live(connection) {
                session.in_flight += 1;
                let asked = Subscribing { re: 0, room: resume.room, ended_by: None };
                session.extra_mut().subscribing.push(asked);
            }
            let raw = cx.shared.pool.frame(|out| encode_subscribe(out, &resume));
            cx.post(owner, Mail::Command { room: resume.room, from: connection, principal, raw });
        }
    }

    /// Puts a room back, to be tried again soon.
    pub(crate) fn resume_later(&mut self, cx: &mut Context<'_>, connection: ConnectionRef, resume: Resume) {
        let Some(session) = self.sessions.live(connection) else { return };
        session.extra_mut().resume.push_front(resume);
        if !std::mem::replace(&mut session.extra_mut().stalled, true) {
            self.stalled.push_back(connection);
        }
        self.stalled_next.get_or_insert(cx.now.mono.after(STALLED_REPEAT));
    }
}

fn limits_rate(cx: &Context<'_>) -> u32 {
    cx.shared.config.limits.commands_per_connection_per_second
}

/// The end of a token on the monotonic clock, so that a jump of the wall clock ends no session.
fn expiry(cx: &Context<'_>, expires: Millis) -> Nanos {
    let millis = expires.0.saturating_sub(cx.now.wall.0);
    cx.now.mono.after(millis.saturating_mul(Nanos::MILLISECOND))
}

/// The command that resumes one room, without a number: its answer names the room.
fn encode_subscribe(out: &mut Vec<u8>, resume: &Resume) {
    let mut json = Json::new(out);
    json.open(b'{').key("op").text("subscribe").key("room").id(&resume.room.0);
    if let Some(cursor) = resume.cursor {
        json.key("epoch").number(u64::from(cursor.epoch.0)).key("seq").number(cursor.seq.0);
    }
    json.close(b'}');
}

fn encode_greeting(
    out: &mut Vec<u8>,
    re: u64,
    principal: Principal,
    expires: Millis,
    wall: Millis,
    rate: u32,
    limits: &Limits,
) {
    let mut json = Json::new(out);
    json.open(b'{').key("ev").text("ok").key("re").number(re);
    json.key("session").id(&principal.session.0).key("user").id(&principal.user.0);
    json.key("time").time(wall).key("expires").time(expires);
    json.key("heartbeat_ms").number(limits.heartbeat_millis);
    json.key("resume_events").number(u64::from(limits.resume_events_max));
    json.key("dedupe_window_ms").number(limits.dedupe_window_millis);
    json.key("key_age_max_ms").number(limits.key_age_max_millis);
    json.key("key_ahead_max_ms").number(limits.key_ahead_max_millis);
    json.key("commands_per_second").number(u64::from(rate));
    json.key("limits").open(b'{');
    let announced = [
        ("message_chars", limits.message_chars_max),
        ("frame_bytes", limits.frame_bytes_max),
        ("room_name_chars", limits.room_name_chars_max),
        ("room_description_chars", limits.room_description_chars_max),
        ("reactions_per_message", limits.reactions_per_message_max),
        ("reactions_standing", limits.reactions_standing_max),
        ("mentions_per_message", limits.mentions_per_message_max),
        ("history_page", limits.history_page_default),
        ("history_page_max", limits.history_page_max),
        ("reply_bytes", limits.reply_bytes_max),
        ("subscriptions", limits.subscriptions_per_connection_max),
        ("commands_in_flight", limits.commands_in_flight_max),
        ("room_members", limits.room_members_max),
        ("presence_watch", limits.presence_watch_max),
        ("presence_room_members", limits.presence_room_members_max),
        ("resume_bytes", limits.resume_bytes_max),
        ("connections_per_account", limits.connections_per_account_max),
    ];
    for (name, value) in announced {
        json.key(name).number(u64::from(value));
    }
    json.close(b'}').key("features").open(b'[');
    for feature in FEATURES {
        json.text(feature);
    }
    json.close(b']').close(b'}');
}
