//! Answers in rooms of level `replicated`: they wait until the message store has the record. Everyone else sees the event when the journal
//! has it.
//!
//! Thread: the shard. Invariants: a command is answered once, with `ok` when its record is drained or with `unknown` after
//! [`REPLICATED_NANOS_MAX`], whichever comes first; a retry waits for the same record. Limits: as many as records may be undrained; commands
//! beyond that are refused with `busy`. Nothing can fail.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use lynk_domain::{AckLevel, Lsn, Nanos, RoomId};
use lynk_model::{RecordAt, SourceId};
use lynk_protocol::{ErrorCode, Frame, Reject};

use super::Owner;
use super::books::{Ask, Books, Timer, error_frame};
use super::release::Item;
use super::room::Room;
use crate::context::Context;
use crate::mail::{ConnectionRef, Mail, Own};

/// How long an answer waits for the message store.
const REPLICATED_NANOS_MAX: u64 = 10 * Nanos::SECOND;

/// A record, and a number that tells apart those who wait for it.
type Place = (RecordAt, u64);

#[derive(Debug)]
struct Waiting {
    to: ConnectionRef,
    room: RoomId,
    re: u64,
    ok: Arc<Frame>,
    since: Nanos,
}

/// What waits for the message store.
#[derive(Debug, Default)]
pub(super) struct Replicas {
    waiting: BTreeMap<Place, Waiting>,
    /// In the order in which their time is over; those that were answered are still listed.
    ends: VecDeque<(Nanos, Place)>,
    last: u64,
    /// There is a timer for the first of them.
    timed: bool,
}

impl Replicas {
    /// Takes the next one whose record is drained.
    fn pop(&mut self, source: SourceId, lsn: Lsn) -> Option<Waiting> {
        let first = (RecordAt { source, lsn: Lsn(0) }, 0);
        let last = (RecordAt { source, lsn }, u64::MAX);
        let place = *self.waiting.range(first..=last).next()?.0;
        let waiting = self.waiting.remove(&place);
        // Drains go in order, so that what is listed stays about as much as what waits.
        while self.ends.pop_front_if(|(_, place)| !self.waiting.contains_key(place)).is_some() {}
        waiting
    }

    /// Takes the next one whose time is over.
    fn pop_late(&mut self, now: Nanos) -> Option<Waiting> {
        loop {
            let (_, place) = self.ends.pop_front_if(|(end, _)| *end <= now)?;
            if let Some(waiting) = self.waiting.remove(&place) {
                return Some(waiting);
            }
        }
    }
}

impl Books {
    /// The answer that goes out with an event of `room`; `None` when it waits for the message store.
    pub(super) fn acknowledge(
        &mut self,
        cx: &mut Context<'_>,
        room: &Room,
        ask: &Ask<'_>,
        at: RecordAt,
        ok: Arc<Frame>,
    ) -> Option<Own> {
        if room.level() != AckLevel::Replicated {
            return Some(Own { to: ask.from, ok });
        }
        self.wait_for_store(cx, room, ask, at, ok);
        None
    }

    /// Keeps an answer until the message store has the record at `at`.
    pub(super) fn wait_for_store(
        &mut self,
        cx: &mut Context<'_>,
        room: &Room,
        ask: &Ask<'_>,
        at: RecordAt,
        ok: Arc<Frame>,
    ) {
        let (replicas, since) = (&mut self.replicas, cx.now.mono);
        replicas.last += 1;
        let place = (at, replicas.last);
        let end = since.after(REPLICATED_NANOS_MAX);
        if !std::mem::replace(&mut replicas.timed, true) {
            self.wheel.insert(end, Timer::Replicas);
        }
        replicas.ends.push_back((end, place));
        replicas.waiting.insert(place, Waiting { to: ask.from, room: room.id, re: ask.re, ok, since });
        // Commands to this shard are counted until they are answered: these must not keep out the others of a slow store's ten seconds.
        cx.post(ask.from.shard, Mail::Parked { to: ask.from });
    }

    /// Whether one answer more of `room` may wait.
    pub(super) fn may_wait(&self, cx: &Context<'_>, room: &Room) -> Result<(), Reject> {
        let max = cx.shared.config.limits.undrained_records_per_shard_max as usize;
        // What was answered is listed behind what is not.
        if room.level() == AckLevel::Replicated && self.replicas.ends.len() >= max {
            return Err(Reject::after(ErrorCode::Busy, 1_000));
        }
        Ok(())
    }
}

impl Owner {
    /// Answers those whose records `source` has drained.
    pub(super) fn answer_replicated(&mut self, cx: &mut Context<'_>, source: SourceId, lsn: Lsn) {
        while let Some(Waiting { to, room, ok, since, .. }) = self.books.replicas.pop(source, lsn) {
            cx.shared.counters.replications.record(cx.now.mono.since(since));
            self.answer_waiting(cx, to, room, ok);
        }
    }

    /// Tells those whose time is over that the outcome is not known.
    pub(super) fn give_up_replicated(&mut self, cx: &mut Context<'_>) {
        while let Some(Waiting { to, room, re, .. }) = self.books.replicas.pop_late(cx.now.mono) {
            let reject = Reject::because(
                ErrorCode::Unknown,
                "the message store does not confirm; others see it, and a retry with the same key goes on waiting",
            );
            let frame = error_frame(cx, re, Some(room), &reject);
            self.answer_waiting(cx, to, room, frame);
        }
        let next = self.books.replicas.ends.front().map(|(end, _)| *end);
        self.books.replicas.timed = next.is_some();
        if let Some(end) = next {
            self.books.wheel.insert(end, Timer::Replicas);
        }
    }

    /// The answer comes behind the event that it speaks of, also where its room is in memory no more.
    fn answer_waiting(&mut self, cx: &mut Context<'_>, to: ConnectionRef, room: RoomId, frame: Arc<Frame>) {
        match self.rooms.get_mut(&room) {
            Some(super::Place::Here(room)) => {
                let reply = Item::Reply { to, frame, behind: true, late: true };
                self.books.emit(cx, room, room.depends, reply);
            }
            _ => cx.post(to.shard, Mail::Reply { to, frame, behind: Some(room), late: true }),
        }
    }
}
