//! Effects that wait for the journal, and how they leave: answers, events to the shards that have subscribers,
//! requests to the store.
//!
//! Thread: the shard. Invariants: nothing leaves before every record it depends on is committed; what one room
//! shows leaves in the order in which it happened; a shard that missed an event is sent it again or told so.
//! Limits: the queue is bounded by uncommitted records and commands in flight. Nothing can fail.

use std::collections::VecDeque;
use std::sync::Arc;

use lynk_domain::{Epoch, Lsn, Nanos, RoomId, Seq, ShardId, UserId};
use lynk_model::StoreRequest;
use lynk_protocol::Frame;

use super::books::{Books, Pending, Timer};
use super::room::Room;
use crate::context::Context;
use crate::mail::{ConnectionRef, Mail, Own, Removes};

/// Time after which a shard that missed an event is tried again.
pub(super) const REPAIR_NANOS: u64 = 2_000_000;
/// Missed events that are sent again; more are skipped, and the clients page them.
const REPAIR_EVENTS_MAX: usize = 64;
/// Removals remembered for shards that missed them.
const REMOVED_MAX: usize = 4_096;

/// One effect.
#[derive(Debug)]
pub(super) enum Item {
    /// `behind` the room's events, when it speaks of them.
    Reply {
        to: ConnectionRef,
        frame: Arc<Frame>,
        behind: bool,
        late: bool,
    },
    Subscribed {
        to: ConnectionRef,
        epoch: Epoch,
        top: Seq,
        frame: Arc<Frame>,
    },
    Event {
        seq: Seq,
        frame: Arc<Frame>,
        own: Option<Own>,
        removes: Removes,
    },
    Post {
        to: ShardId,
        mail: Box<Mail>,
    },
    Request(Box<(StoreRequest, Pending)>),
}

const _: () = assert!(size_of::<Item>() <= 80, "items are queued by the thousand");

/// What waits for the journal, oldest first.
#[derive(Debug, Default)]
pub(super) struct Release {
    queue: VecDeque<(Lsn, RoomId, Item)>,
    /// Requests among them.
    pub(super) requests: usize,
    /// Messages among them: the record they wait for, ascending, and when they were accepted.
    accepted: VecDeque<(Lsn, Nanos)>,
}

impl Release {
    /// Queues an item behind all others. Returns the record that it really waits for: the queue is ordered.
    fn push(&mut self, after: Lsn, room: RoomId, item: Item) -> Lsn {
        let lsn = self.queue.back().map_or(after, |(last, ..)| after.max(*last));
        self.queue.push_back((lsn, room, item));
        lsn
    }

    /// Takes the next item whose records are committed.
    pub(super) fn pop(&mut self, committed: Lsn) -> Option<(RoomId, Item)> {
        self.queue.front().filter(|(lsn, ..)| *lsn <= committed)?;
        self.queue.pop_front().map(|(_, room, item)| (room, item))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes the time at which the next message was accepted whose record is committed.
    pub(super) fn pop_accepted(&mut self, committed: Lsn) -> Option<Nanos> {
        self.accepted.front().filter(|(lsn, _)| *lsn <= committed)?;
        self.accepted.pop_front().map(|(_, at)| at)
    }
}

/// A shard with subscribers of a room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sub {
    pub(super) shard: ShardId,
    /// `Subscribed` posted to it that it has not ended.
    uses: u32,
    /// Last event posted to it.
    sent: Seq,
    /// Last event that it surely has, while it misses some.
    missing_after: Option<Seq>,
    /// Where the last repair began, should that be refused too.
    repaired_after: Seq,
}

impl Room {
    fn subscribed(&mut self, shard: ShardId) {
        if let Some(sub) = self.subs.iter_mut().find(|sub| sub.shard == shard) {
            sub.uses += 1;
            return;
        }
        let released = self.released;
        self.subs.push(Sub { shard, uses: 1, sent: released, missing_after: None, repaired_after: released });
    }

    /// Whether someone who was removed is no member at `at`.
    fn is_out(&self, user: UserId, at: Seq) -> bool {
        self.members.get(&user).is_none_or(|member| member.joined_seq == Seq(0) || member.joined_seq > at)
    }

    pub(super) fn has_subscribers(&self, shard: ShardId) -> bool {
        self.subs.iter().any(|sub| sub.shard == shard)
    }

    /// A shard no longer uses `ends` of the subscriptions that were posted to it.
    pub(super) fn unsubscribed(&mut self, shard: ShardId, ends: u32) {
        self.subs.retain_mut(|sub| {
            if sub.shard == shard {
                sub.uses = sub.uses.saturating_sub(ends);
            }
            sub.uses > 0
        });
    }
}

impl Books {
    /// Lets an effect of `room` leave once `after` and everything the room queued before is committed.
    pub(super) fn emit(&mut self, cx: &mut Context<'_>, room: &mut Room, after: Lsn, item: Item) {
        let committed = cx.shared.committed;
        if after <= committed && room.queued <= committed {
            self.perform(cx, room, item);
        } else {
            room.queued = self.release.push(after, room.id, item);
        }
    }

    /// Measures how long the message that `room` emitted last takes to be acknowledged.
    pub(super) fn time_ack(&mut self, cx: &mut Context<'_>, room: &Room) {
        if room.queued <= cx.shared.committed {
            cx.shared.counters.acks.record(0);
        } else {
            self.release.accepted.push_back((room.queued, cx.now.mono));
        }
    }

    /// Asks the store once every record of the room is committed: until then the request's records cannot
    /// be read. It does not hold up what the room shows meanwhile.
    pub(super) fn ask(&mut self, cx: &mut Context<'_>, room: &mut Room, request: StoreRequest, why: Pending) {
        room.requests += 1;
        self.ask_after(cx, room.appended, room.id, request, why);
    }

    /// Asks the store once records up to `after` are committed.
    pub(super) fn ask_after(
        &mut self,
        cx: &mut Context<'_>,
        after: Lsn,
        room: RoomId,
        request: StoreRequest,
        why: Pending,
    ) {
        if after <= cx.shared.committed {
            self.request(cx, room, request, why);
        } else {
            self.release.requests += 1;
            self.release.push(after, room, Item::Request(Box::new((request, why))));
        }
    }

    /// A request that waited has its records.
    pub(super) fn request_now(
        &mut self,
        cx: &mut Context<'_>,
        room: RoomId,
        (request, why): (StoreRequest, Pending),
    ) {
        self.release.requests -= 1;
        self.request(cx, room, request, why);
    }

    pub(super) fn request(
        &mut self,
        cx: &mut Context<'_>,
        room: RoomId,
        request: StoreRequest,
        why: Pending,
    ) {
        let id = cx.request(request);
        self.pending.insert(id, (room, why));
    }

    /// Whether the shard may ask the store for one thing more.
    pub(super) fn may_ask(&self, cx: &Context<'_>) -> bool {
        let limit = cx.shared.config.limits.store_requests_in_flight_max as usize;
        cx.shared.requests_in_flight as usize + self.release.requests < limit
    }

    /// Lets an effect leave now.
    pub(super) fn perform(&mut self, cx: &mut Context<'_>, room: &mut Room, item: Item) {
        match item {
            Item::Reply { to, frame, behind: false, late } => {
                cx.post(to.shard, Mail::Reply { to, frame, behind: None, late });
            }
            Item::Reply { to, frame, behind: true, late } => {
                answer_behind(cx, room, Owed { to, frame, of: None, late });
            }
            Item::Post { to, mail } => cx.post(to, *mail),
            Item::Request(request) => self.request_now(cx, room.id, *request),
            Item::Subscribed { to, epoch, top, frame } => {
                room.subscribed(to.shard);
                cx.post(to.shard, Mail::Subscribed { to, room: room.id, epoch, top, frame });
            }
            Item::Event { seq, frame, own, removes } => fan_out(cx, room, seq, &frame, own, removes),
        }
    }

    /// Mail came back from a full mailbox.
    pub(super) fn refused(&mut self, cx: &mut Context<'_>, room: Option<&mut Room>, to: ShardId, mail: Mail) {
        match (mail, room) {
            (Mail::Event { room: id, seq, prev, own, .. }, Some(room)) => {
                self.missed(cx, room, id, to, Some(prev));
                if let Some(own) = own {
                    answer_aside(cx, room, seq, own);
                }
            }
            (Mail::Event { own, .. }, None) => {
                if let Some(Own { to, ok }) = own {
                    cx.post(to.shard, Mail::Reply { to, frame: ok, behind: None, late: false });
                }
            }
            (Mail::Skip { room: id, .. }, Some(room)) => self.missed(cx, room, id, to, None),
            (Mail::Skip { .. } | Mail::Dismissed { .. }, None) => {}
            (Mail::Dismissed { .. }, Some(room)) => self.dismissed_refused(cx, room, to),
            (Mail::Ephemeral { .. } | Mail::Hint { .. } | Mail::Notice { rooms: false, .. }, _) => {
                cx.shared.counters.shed += 1
            }
            (mail, _) => {
                // A changed block or membership is repeated until it is taken. Answers are never refused, says the mailbox;
                // if one is, losing it would leave a client waiting.
                cx.shared.kept.keep(cx.now.mono, to, mail);
            }
        }
    }

    fn missed(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        id: RoomId,
        shard: ShardId,
        after: Option<Seq>,
    ) {
        let Some(sub) = room.subs.iter_mut().find(|sub| sub.shard == shard) else { return };
        let after = after.unwrap_or(sub.repaired_after);
        if let Some(known) = sub.missing_after {
            sub.missing_after = Some(known.min(after));
            return;
        }
        sub.missing_after = Some(after);
        self.lagging.push((id, shard));
        self.wheel.insert(cx.now.mono.after(REPAIR_NANOS), Timer::Repair);
    }
}

/// Posts an event to every shard with subscribers, and its answer to the connection that caused it.
fn fan_out(
    cx: &mut Context<'_>,
    room: &mut Room,
    seq: Seq,
    frame: &Arc<Frame>,
    mut own: Option<Own>,
    removes: Removes,
) {
    room.released = seq;
    if let Some(user) = removes.user() {
        if room.removed.len() >= REMOVED_MAX {
            room.removed.pop_front();
        }
        room.removed.push_back((seq, user));
    }
    if !room.cut_off.is_empty() {
        cut_off(cx, room, seq, removes);
    }
    for sub in room.subs.iter_mut().filter(|sub| sub.missing_after.is_none() && sub.sent < seq) {
        let answered = own.take_if(|own| own.to.shard == sub.shard);
        let event = Mail::Event {
            room: room.id,
            epoch: room.epoch,
            seq,
            prev: sub.sent,
            frame: Arc::clone(frame),
            own: answered,
            removes,
        };
        sub.sent = seq;
        cx.post(sub.shard, event);
    }
    if let Some(own) = own {
        answer_aside(cx, room, seq, own);
    }
}

/// An answer that waits until its shard has what it missed.
#[derive(Debug)]
pub(super) struct Owed {
    to: ConnectionRef,
    frame: Arc<Frame>,
    /// The event that it stands for: it comes with that, if that comes.
    of: Option<Seq>,
    late: bool,
}

/// Answers a command whose event its shard is not sent now.
fn answer_aside(cx: &mut Context<'_>, room: &mut Room, seq: Seq, own: Own) {
    answer_behind(cx, room, Owed { to: own.to, frame: own.ok, of: Some(seq), late: false });
}

/// Gives an answer that speaks of events. A shard that misses events gets it with their repair, so that it does not overtake them.
fn answer_behind(cx: &mut Context<'_>, room: &mut Room, owed: Owed) {
    let misses = |sub: &Sub| sub.shard == owed.to.shard && sub.missing_after.is_some();
    if room.subs.iter().any(misses) {
        room.owed.push(owed);
    } else {
        let Owed { to, frame, late, .. } = owed;
        cx.post(to.shard, Mail::Reply { to, frame, behind: Some(room.id), late });
    }
}

/// Gives a shard the answers that waited for its repair.
pub(super) fn answer_owed(cx: &mut Context<'_>, room: &mut Room, shard: ShardId) {
    for Owed { to, frame, late, .. } in room.owed.extract_if(.., |owed| owed.to.shard == shard) {
        cx.post(shard, Mail::Reply { to, frame, behind: Some(room.id), late });
    }
}

/// Ends the subscriptions of users whom the store does not know as removed yet: the event at `seq` is not for
/// them, so nobody gets it by mail and everyone pages it.
fn cut_off(cx: &mut Context<'_>, room: &mut Room, seq: Seq, removes: Removes) {
    let ends = removes == Removes::Everybody;
    let removes = removes.user();
    let mut users = std::mem::take(&mut room.cut_off);
    users.retain(|user| Some(*user) != removes);
    if users.is_empty() {
        return;
    }
    users.extend(removes);
    for sub in room.subs.iter_mut().filter(|sub| sub.missing_after.is_none()) {
        // Should it be refused, the repair names them again.
        sub.repaired_after = sub.sent;
        sub.sent = seq;
        let removes = users.clone();
        cx.post(sub.shard, Mail::Skip { room: room.id, epoch: room.epoch, to: seq, removes, ends });
    }
    room.removed.extend(users.into_iter().filter(|user| Some(*user) != removes).map(|user| (seq, user)));
}

impl Books {
    /// Sends a shard the events after `after` again, or tells it that they will not come.
    pub(super) fn repair(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        shard: ShardId,
        after: Option<Seq>,
    ) {
        let Some(sub) = room.subs.iter_mut().find(|sub| sub.shard == shard) else { return };
        let Some(after) = after.into_iter().chain(sub.missing_after).min() else {
            // The skip of the last repair was taken.
            return answer_owed(cx, room, shard);
        };
        if room.rewritten > cx.shared.committed {
            // A frame of the window tells of a change that is not committed yet.
            sub.missing_after = Some(after);
            self.lagging.push((room.id, shard));
            self.wheel.insert(cx.now.mono.after(REPAIR_NANOS), Timer::Repair);
            return;
        }
        let released = room.released;
        *sub = Sub { sent: released, missing_after: None, repaired_after: after, ..*sub };
        if after >= released {
            return answer_owed(cx, room, shard);
        }
        let missed = || room.window.after(after).take_while(|e| e.seq <= released);
        let told = |(seq, user): &(Seq, UserId)| {
            *seq <= after || room.window.get(*seq).is_some_and(|entry| entry.removes().user() == Some(*user))
        };
        let whole = room.window.start() <= after.next()
            && missed().count() <= REPAIR_EVENTS_MAX
            && room.removed.iter().all(told);
        if !whole {
            let removed =
                room.removed.iter().filter(|(seq, user)| *seq > after && room.is_out(*user, released));
            let removes = removed.map(|(_, user)| *user).collect();
            let ends = room.ended.is_some_and(|seq| seq <= released);
            cx.post(shard, Mail::Skip { room: room.id, epoch: room.epoch, to: released, removes, ends });
            if room.owed.iter().any(|owed| owed.to.shard == shard) {
                self.lagging.push((room.id, shard));
                self.wheel.insert(cx.now.mono.after(REPAIR_NANOS), Timer::Repair);
            }
            return;
        }
        let mut prev = after;
        for entry in missed() {
            let stands = |owed: &Owed| owed.of == Some(entry.seq) && owed.to.shard == shard;
            let owed = room.owed.iter().position(stands).map(|index| room.owed.remove(index));
            let own = owed.map(|owed| Own { to: owed.to, ok: owed.frame });
            let event = Mail::Event {
                room: room.id,
                epoch: room.epoch,
                seq: entry.seq,
                prev,
                frame: Arc::clone(&entry.frame),
                own,
                removes: entry.removes(),
            };
            prev = entry.seq;
            cx.post(shard, event);
        }
        answer_owed(cx, room, shard);
    }
}

/// Tells a shard, and every other, something that may be lost.
pub(super) fn whisper(cx: &mut Context<'_>, room: &Room, frame: &Arc<Frame>, except: UserId) {
    for sub in &room.subs {
        cx.post(sub.shard, Mail::Ephemeral { room: room.id, frame: Arc::clone(frame), except });
    }
}
