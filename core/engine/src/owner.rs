//! The rooms that hash to this shard: their order, members, journal records, history, unread numbers.
//!
//! Thread: the shard that owns it. A command comes from its connection's home shard, is checked, and either is
//! answered at once or becomes an event: it gets the room's next seq, a record in the journal, a frame; when the
//! record is committed, one mail goes to each shard with subscribers.
//!
//! Invariants: nothing that can be observed depends on a record that is not committed (rooms of level `memory`
//! excepted, for their messages); every command is answered once; events of a room reach each shard in order,
//! and a shard that missed one is told.
//!
//! Limits: those of [`Limits`](lynk_domain::Limits), stated where they act. What can fail: the store, which turns into
//! an answer to the client; nothing here ends the process.
//!
//! Files: `room` one room's state · `load` into memory and out · `books` what rooms share, one command's way ·
//! `send`, `change`, `metadata`, `reads` commands that alter · `history`, `by_time`, `subscribe`, `lists` commands that read ·
//! `mentions`, `window`, `quiet`, `backlog`, `keys` what is remembered · `retention` what is too old ·
//! `release` what waits for the journal, and fan-out · `replicas` what waits for the message store.

mod attach;
mod backlog;
mod books;
mod by_time;
mod change;
mod clear;
mod history;
mod keys;
mod lists;
mod load;
mod mentions;
mod metadata;
mod moderation;
mod quiet;
mod reads;
mod release;
mod replicas;
mod retention;
mod room;
mod send;
mod strangers;
mod subscribe;
mod window;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use lynk_domain::{FixedMap, Lsn, Nanos, RoomId, Seq, ShardId, fixed_map};
use lynk_model::{RecordAt, RequestId, SourceId, StoreReply};
use lynk_protocol::{Command, decode};

pub use self::backlog::UNDRAINED_RECORD_BYTES_MAX;
use self::backlog::Undrained;
use self::books::{Ask, Books, Pending, Timer};
use self::load::{Away, Waiting};
pub use self::metadata::check_room_name;
use self::quiet::AGED_PER_CALL;
use self::release::Item;
use self::retention::Sweep;
use self::room::Room;
use crate::EngineConfig;
use crate::context::Context;
use crate::io::{JournalState, UndrainedRecord};
use crate::mail::{ConnectionRef, Mail, Principal};

/// Read positions that one call journals before a stop; other input has its turn between.
const POSITIONS_PER_CALL: usize = 512;

/// Time after which a drain looks again whether the journal takes positions.
const DRAIN_RETRY_NANOS: u64 = 5 * Nanos::MILLISECOND;

/// Every room of one shard.
#[derive(Debug)]
pub(crate) struct Owner {
    rooms: FixedMap<RoomId, Place>,
    books: Books,
    /// Rooms in memory, or on their way, by weight.
    loaded_count: usize,
    /// Rooms in memory in the order in which eviction looks at them.
    hand: VecDeque<RoomId>,
    /// Tops of rooms that left memory with reserved numbers unused; at most as many as rooms may be loaded.
    left_at: FixedMap<RoomId, Seq>,
    /// Rooms whose read positions are journaled before the shard stops.
    leaving: VecDeque<RoomId>,
    /// When to go on with them.
    drain_next: Option<Nanos>,
    /// The search for messages that are too old.
    sweep: Sweep,
    /// Timers that fire; kept for its memory.
    due: Vec<Timer>,
}

/// A room in memory, or what is known of one that is not.
#[derive(Debug)]
enum Place {
    Away(Away),
    Here(Box<Room>),
}

impl Owner {
    /// Every room is away. `boot`: records of this shard's rooms that the message store may not have.
    pub(crate) fn new(config: &EngineConfig, mut boot: Vec<UndrainedRecord>) -> Self {
        let mut owner = Self {
            rooms: fixed_map(config.seed),
            books: Books::new(config),
            loaded_count: 0,
            hand: VecDeque::new(),
            left_at: fixed_map(config.seed),
            leaving: VecDeque::new(),
            drain_next: None,
            sweep: Sweep::new(config),
            due: Vec::new(),
        };
        boot.sort_unstable_by_key(|record| record.at);
        for record in boot {
            let UndrainedRecord { at, room, kind, seq, .. } = record;
            let place = owner.rooms.entry(room).or_insert_with(|| Place::Away(Away::default()));
            if let Place::Away(away) = place {
                away.backlog.push(Undrained { at, seq, kind, target: Seq(0) });
            }
            owner.books.drains.push(at, room);
        }
        for place in owner.rooms.values_mut() {
            if let Place::Away(away) = place {
                away.backlog.sort();
            }
        }
        owner
    }

    /// A command for `room`. `raw` is the client's JSON, copied only when the command must wait.
    #[expect(clippy::too_many_arguments, reason = "one call per command, all of it needed")]
    pub(crate) fn command(
        &mut self,
        cx: &mut Context<'_>,
        room: RoomId,
        from: ConnectionRef,
        principal: Principal,
        re: u64,
        command: &Command<'_>,
        raw: &str,
    ) {
        let ask = Ask::new(from, principal, re, command, raw);
        match self.rooms.get_mut(&room) {
            Some(Place::Here(room)) => self.books.run(cx, room, &ask, command),
            _ => self.wait(cx, room, Waiting::Command(ask.hold())),
        }
    }

    /// Mail for the owner: `Command`, `Unsubscribed`, `Refill`, `Peek`. Other kinds are not for it.
    pub(crate) fn mail(&mut self, cx: &mut Context<'_>, from: ShardId, mail: Mail) {
        match mail {
            Mail::Command { room, from, principal, raw } => {
                let Ok(text) = std::str::from_utf8(raw.payload()) else { return };
                let decoded = decode(text);
                // The home shard decoded it before it was posted.
                if let Ok(command) = &decoded.command {
                    self.command(cx, room, from, principal, decoded.re, command, text);
                }
            }
            Mail::Unsubscribed { room, ends } => {
                if let Some(Place::Here(room)) = self.rooms.get_mut(&room) {
                    room.unsubscribed(from, ends);
                    if !room.has_subscribers(from) {
                        release::answer_owed(cx, room, from);
                    }
                }
            }
            Mail::Refill { room, epoch, after } => {
                if let Some(Place::Here(room)) = self.rooms.get_mut(&room) {
                    let after = if epoch == room.epoch { after } else { Seq(0) };
                    self.books.repair(cx, room, from, Some(after));
                }
            }
            Mail::Peek { gather, from, room, user } => match self.rooms.get_mut(&room) {
                Some(Place::Here(room)) => self.books.peek(cx, room, gather, from, user),
                _ => self.wait(cx, room, Waiting::Peek { gather, to: from, user }),
            },
            _ => {}
        }
    }

    /// Mail that the owner posted and that a full mailbox gave back.
    pub(crate) fn mail_refused(&mut self, cx: &mut Context<'_>, to: ShardId, mail: Mail) {
        let room = match &mail {
            Mail::Event { room, .. } | Mail::Skip { room, .. } | Mail::Dismissed { room, .. } => {
                self.rooms.get_mut(room)
            }
            _ => None,
        };
        let room = match room {
            Some(Place::Here(room)) => Some(&mut **room),
            _ => None,
        };
        self.books.refused(cx, room, to, mail);
    }

    /// A block was set or lifted somewhere: what was counted without its mentions is counted again.
    pub(crate) fn blocks_changed(&mut self) {
        self.books.blocks = self.books.blocks.wrapping_add(1).max(1);
    }

    /// A store answered.
    ///
    /// # Errors
    /// Gives the reply back when another part of the engine asked.
    pub(crate) fn reply(
        &mut self,
        cx: &mut Context<'_>,
        id: RequestId,
        reply: StoreReply,
    ) -> Result<(), StoreReply> {
        let Some((room, why)) = self.books.pending.remove(&id) else { return Err(reply) };
        if matches!(reply, StoreReply::Failed(_)) {
            cx.shared.counters.store_failures += 1;
        }
        match (why, self.rooms.get_mut(&room)) {
            (Pending::Load, _) => self.loaded(cx, room, reply),
            (Pending::Old, _) => self.old_found(cx, reply),
            (Pending::Release, _) => self.books.released(cx, &reply),
            (why, Some(Place::Here(room))) => self.books.answered(cx, room, why, reply),
            // A room with a request under way does not leave memory.
            _ => {}
        }
        Ok(())
    }

    /// Records up to `lsn` are committed: what waited for them leaves.
    pub(crate) fn committed(&mut self, cx: &mut Context<'_>, lsn: Lsn) {
        cx.shared.committed = cx.shared.committed.max(lsn);
        while let Some(accepted) = self.books.release.pop_accepted(cx.shared.committed) {
            cx.shared.counters.acks.record(cx.now.mono.since(accepted));
        }
        while let Some((room, item)) = self.books.release.pop(cx.shared.committed) {
            match (self.rooms.get_mut(&room), item) {
                (Some(Place::Here(room)), item) => self.books.perform(cx, room, item),
                // The load of a room that waited for a record of it.
                (_, Item::Request(request)) => self.books.request_now(cx, room, *request),
                _ => {}
            }
        }
    }

    /// Records of `source` up to `lsn` are in the message store.
    pub(crate) fn drained(&mut self, cx: &mut Context<'_>, source: SourceId, lsn: Lsn) {
        self.books.drains.advance(source, lsn);
        self.answer_replicated(cx, source, lsn);
        while let Some((at, id)) = self.books.drains.take(source) {
            self.forget_record(at, id);
        }
    }

    fn forget_record(&mut self, at: RecordAt, id: RoomId) {
        match self.rooms.get_mut(&id) {
            Some(Place::Here(room)) => room.backlog.remove(at),
            Some(Place::Away(away)) => {
                away.backlog.remove(at);
                if away.is_forgettable() {
                    self.rooms.remove(&id);
                }
            }
            None => {}
        }
    }

    /// The shard is about to stop: positions are journaled now, and from here on as they move.
    pub(crate) fn start_drain(&mut self, cx: &mut Context<'_>) {
        self.books.draining = true;
        let moved = |place: &Place| matches!(place, Place::Here(room) if !room.moved.is_empty());
        self.leaving = self.rooms.iter().filter(|(_, place)| moved(place)).map(|(id, _)| *id).collect();
        self.leaving.make_contiguous().sort_unstable();
        self.drain_positions(cx);
    }

    fn drain_positions(&mut self, cx: &mut Context<'_>) {
        if cx.shared.journal != JournalState::Open && !self.leaving.is_empty() {
            // It takes them in a moment, or the drain's deadline comes.
            self.drain_next = Some(cx.now.mono.after(DRAIN_RETRY_NANOS));
            return;
        }
        let mut left = POSITIONS_PER_CALL;
        while left > 0
            && let Some(id) = self.leaving.pop_front()
        {
            let Some(Place::Here(room)) = self.rooms.get_mut(&id) else { continue };
            left -= self.books.publish_some(cx, room, left);
            if !room.moved.is_empty() {
                self.leaving.push_front(id);
            }
        }
        self.drain_next = (!self.leaving.is_empty()).then_some(cx.now.mono);
    }

    /// [`Self::next_deadline`] has passed.
    pub(crate) fn deadline(&mut self, cx: &mut Context<'_>) {
        if self.drain_next.is_some_and(|at| at <= cx.now.mono) {
            self.drain_positions(cx);
        }
        let mut due = std::mem::take(&mut self.due);
        self.books.wheel.fire(cx.now.mono, &mut due);
        for timer in due.drain(..) {
            match timer {
                Timer::Repair => self.repair(cx),
                Timer::Replicas => self.give_up_replicated(cx),
                Timer::Release => self.books.release_files(cx),
                Timer::Reads(id) => {
                    if let Some(Place::Here(room)) = self.rooms.get_mut(&id) {
                        self.books.publish_positions(cx, room);
                    }
                }
                Timer::Metadata(id) => {
                    if let Some(Place::Here(room)) = self.rooms.get_mut(&id) {
                        self.books.retry_metadata(cx, room);
                    }
                }
            }
        }
        self.due = due;
        self.sweep(cx);
        for _ in 0..AGED_PER_CALL {
            let Some(id) = self.books.aging.take(cx.now.mono) else { break };
            if let Some(Place::Here(room)) = self.rooms.get_mut(&id) {
                self.books.age_window(cx, room);
            }
        }
    }

    /// Sends what full mailboxes refused, or tells of it.
    fn repair(&mut self, cx: &mut Context<'_>) {
        for (id, shard) in std::mem::take(&mut self.books.lagging) {
            if let Some(Place::Here(room)) = self.rooms.get_mut(&id) {
                self.books.repair(cx, room, shard, None);
            }
        }
    }

    /// When [`Self::deadline`] is to be called, at the latest.
    pub(crate) fn next_deadline(&self) -> Option<Nanos> {
        let Books { wheel, aging, draining, .. } = &self.books;
        let sweep = self.sweep.next_deadline().filter(|_| !draining);
        let parts = [wheel.next_deadline(), aging.next_deadline(), self.drain_next, sweep];
        parts.into_iter().flatten().min()
    }

    /// Whether nothing waits for the journal, nor has to be given to it before a stop.
    pub(crate) fn idle(&self) -> bool {
        self.books.release.is_empty() && self.leaving.is_empty()
    }
}
