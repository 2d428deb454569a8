//! The connections that this shard accepted: sessions, limits, subscriptions, fan-out.
//!
//! Thread: the shard. Invariants: a command that was accepted is answered exactly once (unless its connection
//! closes); a subscriber is told every event after its `subscribed`, in order, or an explicit `resync`; after the
//! event that removes a user nothing of the room is sent to that user; a page of history comes after the events of
//! its room that arrived before it.
//!
//! Limits are in the files that enforce them; [`lynk_domain::Limits`] holds the configurable ones. Memory of an idle
//! connection: see [`session`].

mod command;
mod drain;
mod fanout;
mod gather;
mod hello;
mod pace;
mod presence;
mod request;
mod route;
mod session;
mod stream;
mod topic;
mod topics;

use std::collections::VecDeque;
use std::sync::Arc;

use lynk_auth::KeySet;
use lynk_domain::{IpPrefix, Nanos, ShardId, Wheel, shard_of_ip, shard_of_user};
use lynk_protocol::CloseCode;

use crate::EngineConfig;
use crate::context::Context;
use crate::io::{Close, QueueLevel, Slot};
use crate::mail::{ConnectionRef, Mail};
pub(crate) use command::{BURST_SECONDS, BUSY_RETRY_MILLIS, Order, rate_of};
use fanout::{flow, is_high, resync};
use gather::Gathers;
use session::{Sessions, State};
use topics::Topics;

/// Granule of the timers of connections.
const TIMER_GRANULE: u64 = 100 * Nanos::MILLISECOND;
/// Time until a refill that did not come is asked for again.
const REFILL_REPEAT: u64 = Nanos::SECOND;
/// Time until resumed rooms that a full shard refused are tried again.
const STALLED_REPEAT: u64 = 20 * Nanos::MILLISECOND;

/// Timers that one connection may have in the wheel: each but the first is for a deadline before that of the last.
pub(crate) const TIMERS_MAX: u8 = 8;

/// A look at one connection. The one that fires first counts, and is put in again when it fires early.
#[derive(Clone, Copy)]
struct Timer {
    slot: Slot,
    generation: u32,
}

/// The home part of a shard.
pub(crate) struct Home {
    shard: ShardId,
    keys: Arc<KeySet>,
    sessions: Sessions,
    topics: Topics,
    /// Per slot, bits of [`flow`]: apart from the sessions, because fan-out reads them for every subscriber.
    flow: Vec<u8>,
    /// Per shard, commands and questions there that have no answer yet.
    outstanding: Vec<u32>,
    timers: Wheel<Timer>,
    timers_next: Option<Nanos>,
    /// When to repeat a refill, ascending, and of which topic.
    refills: VecDeque<(Nanos, u32)>,
    /// Connections whose resumed rooms wait for room at a shard.
    stalled: VecDeque<ConnectionRef>,
    stalled_next: Option<Nanos>,
    /// Connections whose resumed rooms go on with the next flush.
    resuming: VecDeque<ConnectionRef>,
    gathers: Gathers,
    drain: Option<drain::Drain>,
    scratch_special: Vec<u32>,
    scratch_removed: Vec<Slot>,
    scratch_timers: Vec<Timer>,
}

impl Home {
    pub(crate) fn new(config: &EngineConfig, keys: Arc<KeySet>, now: Nanos) -> Self {
        Self {
            shard: config.shard,
            keys,
            sessions: Sessions::default(),
            topics: Topics::new(config.seed),
            flow: Vec::new(),
            outstanding: vec![0; usize::from(config.shard_count)],
            timers: Wheel::new(now, TIMER_GRANULE),
            timers_next: None,
            refills: VecDeque::new(),
            stalled: VecDeque::new(),
            stalled_next: None,
            resuming: VecDeque::new(),
            gathers: Gathers::new(config.seed),
            drain: None,
            scratch_special: Vec::new(),
            scratch_removed: Vec::new(),
            scratch_timers: Vec::new(),
        }
    }

    /// Takes another set of keys for tokens shown from now on.
    pub(crate) fn replace_keys(&mut self, keys: Arc<KeySet>) {
        self.keys = keys;
    }

    /// A socket was accepted.
    pub(crate) fn accepted(&mut self, cx: &mut Context<'_>, slot: Slot, ip: IpPrefix) {
        self.sessions.open(slot, ip);
        let index = slot.0 as usize;
        if self.flow.len() <= index {
            self.flow.resize(index + 1, 0);
        }
        self.flow[index] = 0;
        if self.drain.is_some() {
            self.close(cx, slot, CloseCode::Shutdown);
            return;
        }
        let full = self.sessions.len() > cx.shared.config.limits.connections_per_shard_max as usize;
        if full || cx.shared.kept.is_full() {
            self.close(cx, slot, CloseCode::TryLater);
            return;
        }
        let connection = self.sessions.reference(self.shard, slot);
        if let Some(session) = self.sessions.get_mut(slot) {
            session.ip_counted = true;
        }
        let to = shard_of_ip(ip, cx.shared.config.shard_count);
        cx.post(to, Mail::IpAcquire { connection, ip });
    }

    /// The handshake is done: `hello` is awaited.
    pub(crate) fn upgraded(&mut self, cx: &mut Context<'_>, slot: Slot) {
        let wait = cx.shared.config.limits.hello_millis_max.saturating_mul(Nanos::MILLISECOND);
        let deadline = cx.now.mono.after(wait);
        let Some(session) = self.sessions.get_mut(slot).filter(|s| s.state == State::Accepted) else {
            return;
        };
        session.state = State::Upgraded;
        session.deadline = deadline;
        self.arm(slot);
    }

    /// The send queue passed a watermark.
    pub(crate) fn send_queue(&mut self, cx: &mut Context<'_>, slot: Slot, level: QueueLevel) {
        let Some(bits) = self.flow.get_mut(slot.0 as usize) else { return };
        match level {
            QueueLevel::High => *bits |= flow::HIGH,
            QueueLevel::Low => {
                *bits &= !flow::HIGH;
                self.catch_up(cx, slot);
                let connection = self.sessions.reference(self.shard, slot);
                self.resume_rooms(cx, connection);
            }
        }
    }

    /// Tells a connection that reads again what it was not sent.
    fn catch_up(&mut self, cx: &mut Context<'_>, slot: Slot) {
        let Some(session) = self.sessions.get(slot).filter(|s| s.state == State::SignedIn) else { return };
        for at in &session.subscriptions {
            let Some(topic) = self.topics.get_mut(at.topic) else { continue };
            let (room, epoch, to) = (topic.room, topic.epoch, topic.resync_end(at.position));
            let Some(subscriber) = topic.subscribers.get_mut(at.position as usize) else { continue };
            if !subscriber.lagging {
                continue;
            }
            if subscriber.mark < to {
                // What of it still waits here is skipped for this connection, because its mark is beyond.
                resync(cx, room, epoch, subscriber, to);
            }
            subscriber.lagging = false;
        }
        self.refresh_presence(cx, slot);
    }

    /// The socket is gone.
    pub(crate) fn closed(&mut self, cx: &mut Context<'_>, slot: Slot) {
        self.leave(cx, slot);
        let Some(session) = self.sessions.get(slot) else { return };
        if session.ip_counted {
            let ip = session.ip;
            cx.post(shard_of_ip(ip, cx.shared.config.shard_count), Mail::IpRelease { ip });
        }
        self.sessions.close(slot);
        if let Some(bits) = self.flow.get_mut(slot.0 as usize) {
            *bits = 0;
        }
    }

    /// Has the driver close a connection, and ends its session at once.
    fn close(&mut self, cx: &mut Context<'_>, slot: Slot, code: CloseCode) {
        let Some(session) = self.sessions.get(slot) else { return };
        if session.state == State::Closing {
            return;
        }
        self.leave(cx, slot);
        if let Some(session) = self.sessions.get_mut(slot) {
            session.state = State::Closing;
        }
        cx.shared.counters.count_close(code);
        cx.fx.closes.push(Close { slot, code });
    }

    /// Ends a session: subscriptions, watches, its place among the user's connections.
    fn leave(&mut self, cx: &mut Context<'_>, slot: Slot) {
        let connection = self.sessions.reference(self.shard, slot);
        let Some(session) = self.sessions.get_mut(slot).filter(|s| s.state == State::SignedIn) else {
            return;
        };
        session.state = State::Closing;
        let principal = session.principal;
        let subscriptions = std::mem::take(&mut session.subscriptions);
        let extra = session.extra.take();
        for at in subscriptions {
            self.remove_subscriber(cx, at.topic, at.position);
        }
        if let Some(extra) = extra {
            let number = extra.watch_number.wrapping_add(1);
            self.post_watch(cx, connection, principal.user, extra.watched, false, number);
        }
        let to = shard_of_user(principal.user, cx.shared.config.shard_count);
        cx.post(to, Mail::SignedOut { connection, principal });
    }

    /// Timers of every kind.
    pub(crate) fn deadline(&mut self, cx: &mut Context<'_>) {
        if self.timers_next.is_some_and(|at| at <= cx.now.mono) {
            let mut due = std::mem::take(&mut self.scratch_timers);
            self.timers.fire(cx.now.mono, &mut due);
            for timer in due.drain(..) {
                self.fire(cx, timer);
            }
            self.scratch_timers = due;
            self.timers_next = self.timers.next_deadline();
        }
        self.repeat_refills(cx);
        if self.stalled_next.is_some_and(|at| at <= cx.now.mono) {
            self.stalled_next = None;
            for _ in 0..self.stalled.len() {
                let Some(connection) = self.stalled.pop_front() else { break };
                if let Some(extra) = self.sessions.live(connection).and_then(|s| s.extra.as_mut()) {
                    extra.stalled = false;
                }
                self.resume_rooms(cx, connection);
            }
        }
        self.expire_gathers(cx);
        self.drain_batch(cx);
        self.topics.release(cx.now.mono);
    }

    fn fire(&mut self, cx: &mut Context<'_>, timer: Timer) {
        let Some(session) = self.sessions.get_mut(timer.slot) else { return };
        if session.generation != timer.generation {
            return;
        }
        session.timers = session.timers.saturating_sub(1);
        if session.armed > cx.now.mono {
            // Another one looks in time.
            return;
        }
        session.armed = Nanos::NEVER;
        let (state, deadline) = (session.state, session.deadline);
        match state {
            State::Upgraded | State::Redeeming | State::SignedIn if deadline > cx.now.mono => {
                self.arm(timer.slot)
            }
            State::Upgraded => self.close(cx, timer.slot, CloseCode::HelloTimeout),
            // The answer did not come, which is no fault of the client.
            State::Redeeming => self.close(cx, timer.slot, CloseCode::TryLater),
            State::SignedIn => self.close(cx, timer.slot, CloseCode::TokenExpired),
            State::Free | State::Accepted | State::Closing => {}
        }
    }

    /// Has a connection looked at when its deadline has come, unless it is looked at before.
    fn arm(&mut self, slot: Slot) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let deadline = session.deadline;
        if deadline >= session.armed {
            return;
        }
        debug_assert!(session.timers < TIMERS_MAX, "whoever shortens a deadline asks first");
        session.armed = deadline;
        session.timers = session.timers.saturating_add(1);
        let timer = Timer { slot, generation: session.generation };
        self.timers.insert(deadline, timer);
        // Rounded up as the wheel does, or the driver would be woken for nothing.
        let fires = Nanos(deadline.0.div_ceil(TIMER_GRANULE).saturating_mul(TIMER_GRANULE));
        self.timers_next = Some(self.timers_next.map_or(fires, |next| next.min(fires)));
    }

    /// When [`Self::deadline`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Nanos> {
        let parts = [
            self.timers_next,
            self.topics.next_deadline(),
            self.refills.front().map(|(at, _)| *at),
            self.stalled_next,
            self.gathers.next_deadline(),
            self.drain.as_ref().and_then(drain::Drain::next_deadline),
        ];
        parts.into_iter().flatten().min()
    }

    /// Mail for this part.
    pub(crate) fn mail(&mut self, cx: &mut Context<'_>, from: ShardId, mail: Mail) {
        match mail {
            Mail::Reply { to, frame, behind, late } => {
                self.replied(cx, to, frame, behind);
                if !late {
                    self.returned(from);
                }
                self.no_longer_asks(cx, to);
            }
            Mail::Parked { to } => {
                self.returned(from);
                self.resume_if_more(cx, to);
            }
            Mail::Subscribed { to, room, epoch, top, frame } => {
                self.subscribed(cx, to, room, epoch, top, frame);
                self.answered(cx, from, to);
            }
            Mail::Event { room, epoch, seq, prev, frame, own, removes } => {
                let answers = own.as_ref().map(|own| own.to);
                self.event(cx, room, epoch, seq, prev, stream::Told { frame, own, removes });
                if let Some(to) = answers {
                    self.answered(cx, from, to);
                }
            }
            Mail::Skip { room, epoch, to, removes, ends } => self.skip(cx, room, epoch, to, (removes, ends)),
            Mail::Ephemeral { room, frame, except } => self.ephemeral(cx, room, frame, except),
            Mail::Dismissed { room, user } => self.dismissed(cx, room, user),
            Mail::Admitted { connection, admitted, share } => self.admitted(cx, connection, admitted, share),
            Mail::Revoked { to, session } => self.revoked(cx, to, session),
            Mail::Noticed { to, frame, rooms } => self.noticed(cx, to, frame, rooms),
            Mail::Presence { to, user, online } => self.presence_changed(cx, from, to, user, online),
            Mail::IpRefused { connection } => {
                let session = self.sessions.get(connection.slot);
                if let Some(session) = session.filter(|s| s.generation == connection.generation) {
                    // Before the upgrade the answer is a status, and 429 tells more than "full". Afterwards it is too
                    // many connections, not too many commands.
                    let early = session.state == State::Accepted;
                    let code = if early { CloseCode::RateLimited } else { CloseCode::TryLater };
                    self.close(cx, connection.slot, code);
                }
            }
            Mail::Here { gather, from, room } => self.here_asked(cx, gather, from, room),
            Mail::HereUsers { gather, users, count } => self.here_answered(cx, gather, &users, count),
            Mail::Peeked { gather, room, numbers } => {
                self.returned(from);
                self.peeked(cx, gather, room, numbers);
            }
            other => unreachable!("{other:?} is not for connections"),
        }
    }

    /// A mailbox refused mail that this part posted.
    pub(crate) fn mail_refused(&mut self, cx: &mut Context<'_>, to: ShardId, mail: Mail) {
        match mail {
            Mail::Command { room, from, raw, .. } => self.command_refused(cx, to, room, from, &raw),
            Mail::SignedIn { connection, .. } => {
                if self.sessions.live(connection).is_some() {
                    self.close(cx, connection.slot, CloseCode::TryLater);
                }
            }
            Mail::IpAcquire { connection, .. } => {
                let session = self.sessions.get_mut(connection.slot);
                if let Some(session) = session.filter(|s| s.generation == connection.generation) {
                    session.ip_counted = false;
                }
            }
            // It is asked again by its timer.
            Mail::Refill { .. } => {}
            Mail::Peek { gather, room, .. } => {
                self.returned(to);
                self.peeked(cx, gather, room, None);
            }
            Mail::Here { gather, .. } => self.gather_refused(cx, gather),
            kept @ (Mail::Unsubscribed { .. }
            | Mail::SignedOut { .. }
            | Mail::Watch { .. }
            | Mail::IpRelease { .. }
            | Mail::HereUsers { .. }) => cx.shared.kept.keep(cx.now.mono, to, kept),
            other => unreachable!("{other:?} is not posted by connections"),
        }
    }

    /// Connections in the table, closing ones included.
    pub(crate) fn connections(&self) -> usize {
        self.sessions.len()
    }

    /// Timers of connections in the wheel.
    #[cfg(test)]
    pub(crate) fn timers(&self) -> usize {
        self.timers.len()
    }

    /// Whether a drain has closed everything.
    pub(crate) fn drained(&self) -> bool {
        self.drain.is_some() && self.sessions.len() == 0
    }

    /// Whether a connection's queue takes no more events.
    fn is_high(&self, slot: Slot) -> bool {
        is_high(&self.flow, slot)
    }

    /// A command or question to `shard` has come back.
    fn returned(&mut self, shard: ShardId) {
        if shard != self.shard
            && let Some(outstanding) = self.outstanding.get_mut(shard.index())
        {
            *outstanding = outstanding.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests;
