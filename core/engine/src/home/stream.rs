//! What owners post to this shard, room by room: one ordered stream, whose losses are noticed and mended here.

use std::sync::Arc;

use lynk_domain::{Epoch, Nanos, RoomId, Seq, UserId, shard_of_room};
use lynk_protocol::{Done, Frame, page_of, refused_command};

use super::fanout::resync;
use super::topic::{Item, Kind};
use super::{Home, REFILL_REPEAT};
use crate::context::Context;
use crate::io::Slot;
use crate::mail::{ConnectionRef, Mail, Own, Removes};

/// The content of an event.
pub(crate) struct Told {
    pub(crate) frame: Arc<Frame>,
    pub(crate) own: Option<Own>,
    pub(crate) removes: Removes,
}

impl Home {
    /// A `subscribe` was answered: the connection is a subscriber from `top` on.
    pub(crate) fn subscribed(
        &mut self,
        cx: &mut Context<'_>,
        to: ConnectionRef,
        room: RoomId,
        epoch: Epoch,
        top: Seq,
        frame: Arc<Frame>,
    ) {
        let found = self.topics.find(room);
        let Some(session) = self.sessions.live(to) else {
            self.end_subscribed(cx, found, room);
            return;
        };
        cx.reply(to.slot, frame);
        let asked = session.subscribe_answered(|asked| asked.room == room);
        if let Some(re) = asked.and_then(|asked| asked.ended_by) {
            self.end_subscribed(cx, found, room);
            self.done(cx, to.slot, re, &Done { room: Some(room), ..Done::default() });
            return;
        }
        let topic = found.unwrap_or_else(|| self.topics.create(room, epoch, top));
        let Some(state) = self.topics.get_mut(topic) else { return };
        state.unended += 1;
        state.epoch = epoch;
        let position = session.position_in(topic).unwrap_or_else(|| {
            let position = state.add(to.slot, top);
            session.place(topic, position);
            position
        });
        // A `Subscribed` that had to be repeated may come after later events, which this connection was not sent.
        let sent = state.sent_before(position);
        if let Some(subscriber) = state.subscribers.get_mut(position as usize) {
            subscriber.mark = subscriber.mark.max(top);
            subscriber.lagging = false;
            if subscriber.mark < sent {
                resync(cx, room, epoch, subscriber, sent);
            }
        }
        // The stream is ordered: an event up to `top` that is not here was lost on the way.
        state.seen = state.seen.max(top);
        if state.last < top {
            self.refill(cx, topic);
        }
    }

    /// A command was answered, not by an event.
    pub(crate) fn replied(
        &mut self,
        cx: &mut Context<'_>,
        to: ConnectionRef,
        frame: Arc<Frame>,
        behind: Option<RoomId>,
    ) {
        let Some(session) = self.sessions.live(to) else { return };
        let (subscribing, paging) = session
            .extra
            .as_ref()
            .map_or((false, false), |extra| (!extra.subscribing.is_empty(), !extra.pages.is_empty()));
        let refused = if subscribing || paging { refused_command(frame.payload()) } else { None };
        let page = if paging { page_of(frame.payload()) } else { None };
        if let Some(re) = page.map(|(re, _)| re).or(refused.map(|(re, _)| re)) {
            session.page_answered(re);
        }
        let behind = page.map(|(_, room)| room).or(behind);
        if let Some(topic) = behind.and_then(|room| self.topics.find(room)) {
            self.serve_ahead(cx, to.slot, topic);
        }
        cx.reply(to.slot, frame);
        let Some((re, Some(room))) = refused else { return };
        self.subscribe_refused(cx, to, re, room);
    }

    /// A `subscribe` came to nothing; an `unsubscribe` that waits for it is answered.
    pub(crate) fn subscribe_refused(
        &mut self,
        cx: &mut Context<'_>,
        to: ConnectionRef,
        re: u64,
        room: RoomId,
    ) {
        let Some(session) = self.sessions.live(to) else { return };
        let asked = session.subscribe_answered(|asked| asked.re == re && asked.room == room);
        if let Some(re) = asked.and_then(|asked| asked.ended_by) {
            self.done(cx, to.slot, re, &Done { room: Some(room), ..Done::default() });
        }
    }

    /// A `Subscribed` that nobody uses.
    fn end_subscribed(&mut self, cx: &mut Context<'_>, topic: Option<u32>, room: RoomId) {
        match topic.and_then(|topic| self.topics.get_mut(topic)) {
            Some(state) => state.unended += 1,
            None => self.post_to_owner(cx, room, Mail::Unsubscribed { room, ends: 1 }),
        }
    }

    fn post_to_owner(&mut self, cx: &mut Context<'_>, room: RoomId, mail: Mail) {
        let owner = shard_of_room(room, cx.shared.config.shard_count);
        cx.post(owner, mail);
    }

    /// A durable event arrived.
    pub(crate) fn event(
        &mut self,
        cx: &mut Context<'_>,
        room: RoomId,
        epoch: Epoch,
        seq: Seq,
        prev: Seq,
        told: Told,
    ) {
        let Told { frame, own, removes } = told;
        let found = self.topics.find(room);
        let Some((topic, state)) = found.and_then(|t| self.topics.get_mut(t).map(|state| (t, state))) else {
            // The last subscriber has gone while this was on its way.
            if let Some(own) = own {
                self.answer_aside(cx, None, seq, own);
            }
            return;
        };
        let gap = prev > state.last;
        state.seen = state.seen.max(seq);
        if gap || seq <= state.last {
            if let Some(own) = own {
                self.answer_aside(cx, Some(topic), seq, own);
            }
            if gap {
                self.refill(cx, topic);
            }
            return;
        }
        state.arrived(epoch, seq);
        // Somebody who is not subscribed has nothing to wait for.
        let own = match own {
            Some(own) if self.is_subscribed(own.to, topic) => Some(own),
            Some(own) => {
                self.answer_aside(cx, None, seq, own);
                None
            }
            None => None,
        };
        self.enqueue(cx, topic, Item { kind: Kind::Event { removes }, last: seq, frame, own });
    }

    /// Events up to `to` will not come.
    pub(crate) fn skip(
        &mut self,
        cx: &mut Context<'_>,
        room: RoomId,
        epoch: Epoch,
        to: Seq,
        (removes, ends): (Vec<UserId>, bool),
    ) {
        let found = self.topics.find(room);
        let Some((topic, state)) = found.and_then(|t| self.topics.get_mut(t).map(|state| (t, state))) else {
            return;
        };
        if to <= state.last {
            return;
        }
        let first = state.last.next();
        state.seen = state.seen.max(to);
        state.arrived(epoch, to);
        let frame = cx.shared.pool.frame(|out| lynk_protocol::encode_resync(out, room, epoch, first, to));
        let kind = Kind::Skip { first, removes, ends };
        self.enqueue(cx, topic, Item { kind, last: to, frame, own: None });
    }

    /// Typing or a receipt.
    pub(crate) fn ephemeral(
        &mut self,
        cx: &mut Context<'_>,
        room: RoomId,
        frame: Arc<Frame>,
        except: UserId,
    ) {
        if let Some(topic) = self.topics.find(room) {
            let kind = Kind::Ephemeral { except };
            self.enqueue(cx, topic, Item { kind, last: Seq(0), frame, own: None });
        }
    }

    /// Gives a connection its `ok` outside the stream: it is not subscribed, or the events before did not arrive. In
    /// the second case it is told so first.
    fn answer_aside(&mut self, cx: &mut Context<'_>, topic: Option<u32>, seq: Seq, own: Own) {
        let Some(session) = self.sessions.live(own.to) else { return };
        let position = topic.and_then(|topic| session.position_in(topic));
        if let Some(state) = topic.and_then(|topic| self.topics.get_mut(topic))
            && let Some(position) = position
        {
            let (room, epoch) = (state.room, state.epoch);
            if let Some(subscriber) = state.subscribers.get_mut(position as usize)
                && subscriber.mark < seq
            {
                let before = Seq(seq.0.saturating_sub(1));
                if subscriber.mark < before {
                    resync(cx, room, epoch, subscriber, before);
                }
                subscriber.mark = seq;
            }
        }
        cx.reply(own.to.slot, own.ok);
    }

    fn is_subscribed(&mut self, connection: ConnectionRef, topic: u32) -> bool {
        self.sessions.live(connection).is_some_and(|session| session.position_in(topic).is_some())
    }

    /// Asks the owner for events that did not arrive.
    fn refill(&mut self, cx: &mut Context<'_>, topic: u32) {
        let Some(state) = self.topics.get_mut(topic) else { return };
        if state.refilling {
            return;
        }
        state.refilling = true;
        let mail = Mail::Refill { room: state.room, epoch: state.epoch, after: state.last };
        let room = state.room;
        self.refills.push_back((cx.now.mono.after(REFILL_REPEAT), topic));
        self.post_to_owner(cx, room, mail);
    }

    /// Asks again for what was asked for a second ago and has not come.
    pub(crate) fn repeat_refills(&mut self, cx: &mut Context<'_>) {
        while let Some((at, topic)) = self.refills.front().copied() {
            if at > cx.now.mono {
                break;
            }
            self.refills.pop_front();
            if let Some(state) = self.topics.get_mut(topic)
                && std::mem::take(&mut state.refilling)
            {
                self.refill(cx, topic);
            }
        }
    }

    /// Ends a user's subscriptions to a 1:1 that it declined.
    pub(crate) fn dismissed(&mut self, cx: &mut Context<'_>, room: RoomId, user: UserId) {
        let Some(topic) = self.topics.find(room) else { return };
        let Some(state) = self.topics.get(topic) else { return };
        let slots = state.subscribers.iter().map(|subscriber| subscriber.slot);
        let of_user = |slot: &Slot| self.sessions.get(*slot).is_some_and(|s| s.principal.user == user);
        let slots: Vec<Slot> = slots.filter(of_user).collect();
        for slot in slots {
            self.unsubscribe(cx, slot, topic);
        }
    }

    /// Ends one subscription of a live connection. Answers of its commands that wait in the stream come out now.
    pub(crate) fn unsubscribe(&mut self, cx: &mut Context<'_>, slot: Slot, topic: u32) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let generation = session.generation;
        let Some(position) = session.displace(topic) else { return };
        if let Some(traffic) = self.topics.get_mut(topic).and_then(|state| state.traffic.as_mut()) {
            let served = position < traffic.cursor;
            let round = traffic.round.iter_mut().filter(|_| !served);
            for item in round.chain(traffic.pending.iter_mut()) {
                let is_own = |own: &mut Own| own.to.slot == slot && own.to.generation == generation;
                if let Some(own) = item.own.take_if(is_own) {
                    cx.reply(slot, own.ok);
                }
            }
        }
        self.remove_subscriber(cx, topic, position);
    }

    /// Takes a subscriber out of a topic; the topic goes with the last one.
    pub(crate) fn remove_subscriber(&mut self, cx: &mut Context<'_>, topic: u32, position: u32) {
        let Some(state) = self.topics.get_mut(topic) else { return };
        let sessions = &mut self.sessions;
        state.remove(position, |slot, to| {
            if let Some(session) = sessions.get_mut(slot) {
                session.place(topic, to);
            }
        });
        if state.subscribers.is_empty() {
            let (room, ends) = (state.room, state.unended);
            self.topics.remove(topic);
            self.post_to_owner(cx, room, Mail::Unsubscribed { room, ends });
        }
    }
}

const _: () = assert!(REFILL_REPEAT >= 100 * Nanos::MILLISECOND, "an owner needs time to answer");
