//! Sending a room's events to its subscribers: rounds, chunks, and what a slow consumer is told instead.
//!
//! Runs in `Input::Flush`, and for one subscriber before a page that must not overtake its events. Limits:
//! [`FLUSH_DELIVERIES_MAX`] deliveries and [`VISITS_MAX`] subscribers looked at per flush; [`ROUND_ITEMS_MAX`] items and
//! [`ROUND_BYTES_MAX`] bytes per round; [`PENDING_MAX`] pending items per topic, beyond which events become a `resync`
//! and ephemeral ones are shed; [`AHEAD_BYTES_MAX`] bytes before a page, beyond which events become a `resync`.

use std::sync::Arc;

use lynk_domain::{Epoch, RoomId, Seq, UserId};
use lynk_protocol::{Frame, encode_resync};

use super::Home;
use super::topic::{Item, Kind, Subscriber, Traffic};
use crate::context::Context;
use crate::io::{Delivery, FLUSH_DELIVERIES_MAX, Slot};
use crate::mail::Own;

/// Subscribers looked at in one flush at most, whether they get something or not.
const VISITS_MAX: usize = 4_096;
/// Items of one round at most.
const ROUND_ITEMS_MAX: usize = 64;
/// Bytes of one round at most, unless its first item alone is larger.
const ROUND_BYTES_MAX: usize = 12 << 10;
/// Bytes that one subscriber is given before its turn at most. A busy room gathers less than that in a tick: else the
/// page that answers one `resync` would bring the next.
const AHEAD_BYTES_MAX: usize = 48 << 10;
/// Items that wait for their round at most.
const PENDING_MAX: usize = 512;
/// Ephemeral items among them at most.
const PENDING_EPHEMERAL_MAX: usize = 64;

/// Bits of a slot in `Home::flow`.
pub(crate) mod flow {
    /// The send queue is above its high watermark.
    pub(crate) const HIGH: u8 = 1;
    /// During a chunk: the connection owns an item of the round.
    pub(crate) const OWNS: u8 = 2;
}

/// What is left of one flush.
struct Budget {
    deliveries: usize,
    visits: usize,
}

impl Home {
    /// End of a loop turn: sends what is due, as far as one flush may.
    pub(crate) fn flush(&mut self, cx: &mut Context<'_>) {
        self.topics.release(cx.now.mono);
        self.resume_due(cx);
        let mut budget = Budget { deliveries: FLUSH_DELIVERIES_MAX, visits: VISITS_MAX };
        // Each topic once, so that a busy one does not keep the others waiting.
        for _ in 0..self.topics.due_len() {
            if budget.deliveries == 0 || budget.visits == 0 {
                break;
            }
            let Some(topic) = self.topics.take_due() else { break };
            self.advance(cx, topic, &mut budget);
            self.topics.give_back(cx.now.mono, topic);
        }
        cx.fx.more |= self.topics.due_len() > 0;
        let sent = FLUSH_DELIVERIES_MAX - budget.deliveries;
        self.count_sent(cx, sent);
        let counters = &mut cx.shared.counters;
        counters.flush_deliveries_max = counters.flush_deliveries_max.max(sent as u64);
    }

    fn count_sent(&mut self, cx: &mut Context<'_>, sent: usize) {
        if sent > 0 {
            self.topics.deliveries.count(cx.now.mono, sent as u32);
            cx.shared.counters.deliveries += sent as u64;
        }
    }

    /// Gives one subscriber the events of a topic that still wait for its turn, because an answer comes next that speaks of
    /// them. A page shows messages as they stand after those events: an edit among them that came later would bring back
    /// the text of a message that the page shows as deleted. An unread number counts them, and an `ok` says that all
    /// before it were told.
    pub(crate) fn serve_ahead(&mut self, cx: &mut Context<'_>, slot: Slot, topic: u32) {
        let high = is_high(&self.flow, slot);
        let Some(session) = self.sessions.get(slot) else { return };
        let Some(position) = session.position_in(topic) else { return };
        let Some(state) = self.topics.get_mut(topic) else { return };
        let (room, epoch, last) = (state.room, state.epoch, state.last);
        let Some(subscriber) = state.subscribers.get_mut(position as usize) else { return };
        let Some(traffic) = state.traffic.as_mut() else { return };
        let (user, generation) = (session.principal.user, session.generation);
        let mut serving = Serving { cx: &mut *cx, room, epoch, user, generation, high, sent: 0 };
        let round = if position >= traffic.cursor { traffic.round.as_mut_slice() } else { &mut [] };
        let (mut bytes, mut ends) = (0, false);
        for item in round.iter_mut().chain(&mut traffic.pending) {
            if item.last <= subscriber.mark {
                continue;
            }
            bytes += item.frame.wire().len();
            subscriber.lagging |= bytes > AHEAD_BYTES_MAX;
            ends = serving.serve(subscriber, std::slice::from_ref(item));
            item.own.take_if(|own| serving.is_own(subscriber, own));
            if ends {
                break;
            }
        }
        if !ends {
            serving.catch_up(subscriber, last);
        }
        let sent = serving.sent;
        self.count_sent(cx, sent);
        if ends {
            self.unsubscribe(cx, slot, topic);
        }
    }

    /// Sends one chunk of a topic's running round, starting one when there is none.
    fn advance(&mut self, cx: &mut Context<'_>, topic: u32, budget: &mut Budget) {
        let Some(state) = self.topics.get_mut(topic) else { return };
        let count = state.subscribers.len();
        let Some(mut traffic) = state.traffic.take() else { return };
        if traffic.round.is_empty() {
            state.pace.flushed = cx.now.mono;
            start_round(cx, &mut traffic, count);
        }
        let mut removed = std::mem::take(&mut self.scratch_removed);
        self.send_chunk(cx, topic, &mut traffic, budget, &mut removed);
        let Some(state) = self.topics.get_mut(topic) else { return };
        if traffic.cursor as usize >= state.subscribers.len() {
            traffic.round.clear();
            traffic.joined = None;
            traffic.cursor = 0;
        }
        state.traffic = Some(traffic);
        for slot in removed.drain(..) {
            self.unsubscribe(cx, slot, topic);
        }
        self.scratch_removed = removed;
    }

    /// Serves subscribers from the cursor on: first those that get exactly the whole round, with one delivery for
    /// all, then the special ones of the same chunk.
    fn send_chunk(
        &mut self,
        cx: &mut Context<'_>,
        topic: u32,
        traffic: &mut Traffic,
        budget: &mut Budget,
        removed: &mut Vec<Slot>,
    ) {
        mark_owners(&mut self.flow, &traffic.round, true);
        let mut special = std::mem::take(&mut self.scratch_special);
        self.send_shared(cx, topic, traffic, budget, &mut special);
        let Some(state) = self.topics.get_mut(topic) else { return };
        for position in special.drain(..) {
            let Some(subscriber) = state.subscribers.get_mut(position as usize) else { continue };
            let Some(session) = self.sessions.get(subscriber.slot) else { continue };
            let mut serving = Serving {
                cx: &mut *cx,
                room: state.room,
                epoch: state.epoch,
                user: session.principal.user,
                generation: session.generation,
                high: is_high(&self.flow, subscriber.slot),
                sent: 0,
            };
            if serving.serve(subscriber, &traffic.round) {
                removed.push(subscriber.slot);
            }
            budget.deliveries = budget.deliveries.saturating_sub(serving.sent);
        }
        self.scratch_special = special;
        mark_owners(&mut self.flow, &traffic.round, false);
    }

    /// Serves those of the next chunk that get the whole round, and lists the others in `special`.
    fn send_shared(
        &mut self,
        cx: &mut Context<'_>,
        topic: u32,
        traffic: &mut Traffic,
        budget: &mut Budget,
        special: &mut Vec<u32>,
    ) {
        let Some(state) = self.topics.get_mut(topic) else { return };
        let Some(shape) = Shape::of(&traffic.round) else { return };
        let start = cx.fx.targets.len();
        let mut left = budget.deliveries;
        let flow = &self.flow;
        let is_plain = |subscriber: &Subscriber| {
            flow.get(subscriber.slot.0 as usize).is_none_or(|bits| *bits == 0)
                && (shape.ephemeral || !subscriber.lagging && subscriber.mark <= shape.before)
        };
        let joined = traffic.joined.is_some();
        loop {
            // Almost every subscriber is plain. A run of them costs nothing but looking at each: this loop is what a delivery costs.
            if joined && !shape.selective {
                let from = cx.fx.targets.len();
                let rest = state.subscribers.get_mut(traffic.cursor as usize..).unwrap_or_default();
                cx.fx.targets.extend(rest.iter_mut().take(left.min(budget.visits)).map_while(|subscriber| {
                    is_plain(subscriber).then(|| {
                        subscriber.mark = subscriber.mark.max(shape.last);
                        subscriber.slot
                    })
                }));
                let run = cx.fx.targets.len() - from;
                left -= run;
                budget.visits -= run;
                traffic.cursor += run as u32;
            }
            let Some(subscriber) = state.subscribers.get_mut(traffic.cursor as usize) else { break };
            if left == 0 || budget.visits == 0 {
                break;
            }
            // The user is looked up only when the round treats users differently: it costs a cache miss.
            let concerned = shape.selective && {
                let user = self.sessions.get(subscriber.slot).map(|s| s.principal.user);
                traffic.round.iter().any(|item| user.is_some_and(|user| item.concerns(user)))
            };
            if joined && is_plain(subscriber) && !concerned {
                subscriber.mark = subscriber.mark.max(shape.last);
                cx.fx.targets.push(subscriber.slot);
                left -= 1;
            } else {
                // It may get a resync and a frame for each item; a whole flush has room for that.
                let frames = 2 * traffic.round.len();
                if frames > left && left < FLUSH_DELIVERIES_MAX {
                    break;
                }
                left = left.saturating_sub(frames);
                special.push(traffic.cursor);
            }
            budget.visits -= 1;
            traffic.cursor += 1;
        }
        let end = cx.fx.targets.len();
        if end > start
            && let Some(frame) = traffic.joined.clone()
        {
            budget.deliveries -= end - start;
            if shape.skip {
                cx.shared.counters.resyncs += (end - start) as u64;
            }
            cx.fx.deliveries.push(Delivery { frame, targets: start as u32..end as u32 });
        }
    }

    /// Queues an item for a topic, within its limits.
    pub(crate) fn enqueue(&mut self, cx: &mut Context<'_>, topic: u32, item: Item) {
        let Some(state) = self.topics.get_mut(topic) else { return };
        if let Some(traffic) = state.traffic.as_mut() {
            let waiting = traffic.pending.len();
            if waiting >= PENDING_EPHEMERAL_MAX && matches!(item.kind, Kind::Ephemeral { .. }) {
                cx.shared.counters.shed += 1;
                return;
            }
            // What must reach one connection in particular stays; those are bounded by commands in flight.
            if waiting >= PENDING_MAX && item.own.is_none() && !item.removes_anyone() {
                let (room, epoch) = (state.room, state.epoch);
                collapse(cx, room, epoch, traffic, item);
                return;
            }
        }
        self.topics.push(cx.now.mono, topic, item);
    }
}

const _: () =
    assert!(2 * ROUND_ITEMS_MAX <= FLUSH_DELIVERIES_MAX, "one subscriber's share of a round fits a flush");

/// What all items of a round have in common.
struct Shape {
    ephemeral: bool,
    skip: bool,
    /// Some users are treated differently.
    selective: bool,
    /// Where a subscriber stands at most to get the whole round. Seqs that a crash took may lie between.
    before: Seq,
    /// Where it stands afterwards.
    last: Seq,
}

impl Shape {
    fn of(round: &[Item]) -> Option<Self> {
        let (first, last) = (round.first()?, round.last()?);
        let ephemeral = matches!(first.kind, Kind::Ephemeral { .. });
        Some(Self {
            ephemeral,
            skip: matches!(first.kind, Kind::Skip { .. }),
            selective: ephemeral || last.removes_anyone(),
            before: Seq(first.first().0.saturating_sub(1)),
            last: last.last,
        })
    }
}

/// Whether a connection's send queue is above its high watermark.
pub(crate) fn is_high(flow: &[u8], slot: Slot) -> bool {
    flow.get(slot.0 as usize).is_some_and(|bits| bits & flow::HIGH != 0)
}

/// Sets or clears the bit of connections that own an item of the round.
fn mark_owners(flow: &mut [u8], round: &[Item], on: bool) {
    for own in round.iter().filter_map(|item| item.own.as_ref()) {
        if let Some(bits) = flow.get_mut(own.to.slot.0 as usize) {
            *bits = if on { *bits | flow::OWNS } else { *bits & !flow::OWNS };
        }
    }
}

/// Moves the next items into the round: of one kind, up to the first that removes somebody, within the limits.
fn start_round(cx: &mut Context<'_>, traffic: &mut Traffic, subscribers: usize) {
    traffic.cursor = 0;
    let mut bytes = 0;
    while let Some(next) = traffic.pending.front() {
        bytes += next.frame.wire().len();
        if let Some(before) = traffic.round.last() {
            let alike = match (&before.kind, &next.kind) {
                (Kind::Event { removes }, Kind::Event { .. }) => !removes.anyone(),
                (Kind::Ephemeral { .. }, Kind::Ephemeral { .. }) => true,
                _ => false,
            };
            if !alike || bytes > ROUND_BYTES_MAX || traffic.round.len() >= ROUND_ITEMS_MAX {
                break;
            }
        }
        let Some(item) = traffic.pending.pop_front() else { break };
        traffic.round.push(item);
    }
    traffic.cut = !traffic.pending.is_empty();
    traffic.joined = match traffic.round.as_slice() {
        [] => None,
        [only] => Some(Arc::clone(&only.frame)),
        // One subscriber takes the frames as they are: joining would copy them for nobody else.
        _ if subscribers < 2 => None,
        several => Some(cx.shared.joins.joined(several.iter().map(|item| &*item.frame))),
    };
}

/// Makes an event part of the `resync` at the end of a full list.
fn collapse(cx: &mut Context<'_>, room: RoomId, epoch: Epoch, traffic: &mut Traffic, item: Item) {
    let first = match &item.kind {
        Kind::Ephemeral { .. } => return,
        Kind::Event { .. } => item.last,
        Kind::Skip { first, .. } => *first,
    };
    let (first, removes, ends) = match traffic.pending.back_mut() {
        Some(Item { kind: Kind::Skip { first, removes, ends }, .. }) => {
            let taken = (*first, std::mem::take(removes), *ends);
            traffic.pending.pop_back();
            taken
        }
        _ => (first, Vec::new(), false),
    };
    let frame = cx.shared.pool.frame(|out| encode_resync(out, room, epoch, first, item.last));
    traffic.pending.push_back(Item {
        kind: Kind::Skip { first, removes, ends },
        last: item.last,
        frame,
        own: None,
    });
}

/// Tells a subscriber to page what it was not sent, up to `to`, and brings it there.
pub(crate) fn resync(cx: &mut Context<'_>, room: RoomId, epoch: Epoch, subscriber: &mut Subscriber, to: Seq) {
    let from = subscriber.mark.next();
    let frame = cx.shared.pool.frame(|out| encode_resync(out, room, epoch, from, to));
    cx.fx.deliver(subscriber.slot, frame);
    cx.shared.counters.resyncs += 1;
    subscriber.mark = to;
    subscriber.lagging = false;
}

/// One subscriber that does not simply get the whole round.
struct Serving<'c, 'a> {
    cx: &'c mut Context<'a>,
    room: RoomId,
    epoch: Epoch,
    user: UserId,
    generation: u32,
    high: bool,
    sent: usize,
}

impl Serving<'_, '_> {
    /// Gives the subscriber what of the round is for it. True when its subscription ends.
    fn serve(&mut self, subscriber: &mut Subscriber, round: &[Item]) -> bool {
        let mut ends = false;
        for item in round {
            match &item.kind {
                Kind::Ephemeral { except } => self.ephemeral(subscriber, item, *except),
                Kind::Event { .. } => ends |= self.event(subscriber, item),
                Kind::Skip { .. } => ends |= self.skip(subscriber, item),
            }
        }
        ends
    }

    fn ephemeral(&mut self, subscriber: &Subscriber, item: &Item, except: UserId) {
        if self.user == except {
            return;
        }
        if self.high {
            self.cx.shared.counters.shed += 1;
        } else {
            self.deliver(subscriber.slot, &item.frame);
        }
    }

    fn event(&mut self, subscriber: &mut Subscriber, item: &Item) -> bool {
        let own = item.own.as_ref().filter(|own| self.is_own(subscriber, own));
        let removed = item.removes(self.user) && subscriber.mark < item.last;
        if let Some(own) = own {
            self.catch_up(subscriber, Seq(item.last.0.saturating_sub(1)));
            self.deliver(subscriber.slot, &own.ok);
        } else if subscriber.mark >= item.last {
            return false;
        } else if removed {
            // The last thing a removed user is told is the removal, however slow the connection.
            self.catch_up(subscriber, Seq(item.last.0.saturating_sub(1)));
            self.deliver(subscriber.slot, &item.frame);
        } else if self.high || subscriber.lagging {
            subscriber.lagging = true;
            return false;
        } else {
            self.deliver(subscriber.slot, &item.frame);
        }
        subscriber.mark = subscriber.mark.max(item.last);
        removed
    }

    fn skip(&mut self, subscriber: &mut Subscriber, item: &Item) -> bool {
        if subscriber.mark >= item.last {
            return false;
        }
        let removed = item.removes(self.user);
        if !removed && (self.high || subscriber.lagging) {
            subscriber.lagging = true;
            return false;
        }
        subscriber.lagging = true;
        self.catch_up(subscriber, item.last);
        removed
    }

    /// Tells a lagging subscriber what it was not sent up to `to`, so that the next frame is no silent gap.
    fn catch_up(&mut self, subscriber: &mut Subscriber, to: Seq) {
        if !subscriber.lagging || subscriber.mark >= to {
            return;
        }
        self.sent += 1;
        resync(self.cx, self.room, self.epoch, subscriber, to);
    }

    fn is_own(&self, subscriber: &Subscriber, own: &Own) -> bool {
        own.to.slot == subscriber.slot && own.to.generation == self.generation
    }

    fn deliver(&mut self, slot: Slot, frame: &Arc<Frame>) {
        self.cx.fx.deliver(slot, Arc::clone(frame));
        self.sent += 1;
    }
}
