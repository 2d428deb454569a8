//! Messages that have become too old are removed: the owner decides, and journals it as everything else.
//!
//! Thread: the shard. Now and then the store is asked for rooms whose first messages are older than messages are kept, some rooms at a
//! time. For each the owner appends a record that says up to where all of it is gone: the room's floor. From then on nothing at or below it
//! is shown, found or counted; answers that follow from it wait for the record, so that no crash brings back what somebody was told is
//! gone. The message store removes the rows when the record comes to it, in its order; files that leave with those messages are given back
//! once the record is committed.
//!
//! A room may keep its messages for a shorter time than the server does. One that is not in memory is not loaded for it.
//!
//! Invariants: a floor never goes back. Limits: [`ROOMS_MAX`] rooms are looked at for one request, and one request is under way. What can
//! fail: the store, or the journal takes nothing; then it is tried again later.

use lynk_domain::{Key, Millis, Nanos, RoomId, Seq, UserId};
use lynk_model::{Body, RecordAt, RecordHead, RecordKind, StoreReply, StoreRequest, TooOld};

use super::backlog::Undrained;
use super::books::{Books, Pending};
use super::load::Away;
use super::mentions::Mentioned;
use super::room::Room;
use super::{Owner, Place};
use crate::EngineConfig;
use crate::context::Context;

/// Rooms that the store looks at for one request.
const ROOMS_MAX: u32 = 64;
/// Time between two requests of one round.
const PAUSE_NANOS: u64 = 50 * Nanos::MILLISECOND;
/// Time until a request that could not be made, or its outcome noted, is made again.
const AGAIN_NANOS: u64 = Nanos::SECOND;
/// The first round begins so soon, however seldom they are.
const FIRST_NANOS_MAX: u64 = 60 * Nanos::SECOND;

/// Where the round is.
#[derive(Debug)]
pub(super) struct Sweep {
    /// The last room that was looked at.
    after: RoomId,
    /// When to ask next; `None` while the store is asked.
    next: Option<Nanos>,
}

impl Sweep {
    pub(super) fn new(config: &EngineConfig) -> Self {
        let first = every(config).min(FIRST_NANOS_MAX);
        Self { after: RoomId::NIL, next: Some(Nanos(first)) }
    }

    pub(super) fn next_deadline(&self) -> Option<Nanos> {
        self.next
    }
}

/// Time between two rounds.
fn every(config: &EngineConfig) -> u64 {
    config.limits.retention_sweep_millis.saturating_mul(Nanos::MILLISECOND)
}

impl Owner {
    /// Asks for rooms with messages that are too old, when it is time.
    pub(super) fn sweep(&mut self, cx: &mut Context<'_>) {
        if self.sweep.next.is_none_or(|at| at > cx.now.mono) || self.books.draining {
            return;
        }
        if !self.books.may_ask(cx) {
            self.sweep.next = Some(cx.now.mono.after(AGAIN_NANOS));
            return;
        }
        self.sweep.next = None;
        let config = &cx.shared.config;
        let request = StoreRequest::FindOld {
            after: self.sweep.after,
            limit: ROOMS_MAX,
            now: cx.now.wall,
            life: config.limits.retention_millis,
            key_life: config.limits.key_age_max_millis + config.limits.key_ahead_max_millis,
            shard: config.shard,
            shards: config.shard_count,
        };
        self.books.request(cx, RoomId::NIL, request, Pending::Old);
    }

    /// The store answered.
    pub(super) fn old_found(&mut self, cx: &mut Context<'_>, reply: StoreReply) {
        let mut again = AGAIN_NANOS;
        if let StoreReply::Old { found, next } = reply {
            let all = found.into_iter().all(|old| self.retain(cx, old));
            if all {
                self.sweep.after = next.unwrap_or(RoomId::NIL);
                again = if next.is_some() { PAUSE_NANOS } else { every(&cx.shared.config) };
            }
        }
        self.sweep.next = Some(cx.now.mono.after(again));
    }

    /// What is too old of a room is gone. `false` when the journal does not take it now.
    fn retain(&mut self, cx: &mut Context<'_>, TooOld { room: id, to, days }: TooOld) -> bool {
        if self.books.may_append(cx).is_err() {
            return false;
        }
        match self.rooms.entry(id).or_insert_with(|| Place::Away(Away::default())) {
            // While the store looked, the room was given another time: the next round looks anew.
            Place::Here(room) if room.info.as_ref().is_some_and(|info| info.retention_days != days) => {}
            Place::Here(room) => self.books.retain(cx, room, to),
            // What is on its way here does not know of the record: it is left to the next round.
            Place::Away(away) if away.is_loading() => {}
            Place::Away(away) => {
                let record = append(cx, id, to);
                away.noted(record);
                self.books.drains.push(record.at, id);
                self.books.let_pass(cx, (id, record.at.lsn), to);
            }
        }
        true
    }
}

impl Books {
    fn retain(&mut self, cx: &mut Context<'_>, room: &mut Room, to: Seq) {
        let to = to.min(room.top);
        if to <= room.floor {
            return;
        }
        let record = append(cx, room.id, to);
        room.appended = record.at.lsn;
        room.depends = room.depends.max(record.at.lsn);
        room.rewritten = room.rewritten.max(record.at.lsn);
        room.backlog.insert(record);
        self.drains.push(record.at, room.id);
        self.let_pass(cx, (room.id, record.at.lsn), to);
        room.forget_through(to);
        room.window.forget_through(&mut cx.shared.pool, room.id, to);
    }
}

impl Room {
    /// Forgets what is known of messages up to `floor`, but for the window.
    pub(super) fn forget_through(&mut self, floor: Seq) {
        self.floor = floor;
        self.pins = self.pins.split_off(&floor.next());
        for member in self.members.values_mut().filter(|member| member.read < floor) {
            member.count = None;
            member.mentioned = Mentioned::default();
        }
    }
}

/// Appends the record.
fn append(cx: &mut Context<'_>, room: RoomId, to: Seq) -> Undrained {
    let (kind, wall) = (RecordKind::Retain, Millis(cx.now.wall.0));
    let head =
        RecordHead { kind, flags: 0, room, seq: to, rev: to, wall, sender: UserId::NIL, key: Key::NIL };
    let lsn = cx.append(head, |out| Body::Empty.encode(out));
    cx.shared.counters.retentions += 1;
    Undrained { at: RecordAt { source: cx.shared.config.source, lsn }, seq: to, kind, target: Seq(0) }
}
