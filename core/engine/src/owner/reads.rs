//! Read and delivered positions, exact unread numbers, typing.
//!
//! Thread: the shard. Unread is never incremented per member: it is the room's last ordinal minus the ordinal at
//! the read position, minus the member's own messages and others' deleted ones after it. The window tells
//! those for positions inside it; for older ones a member keeps the two counts, and the store counts once when
//! they are not known.
//!
//! Invariants: a known count is exact. Positions only grow, but for `mark_unread`, which begins a new round of reading:
//! a store keeps the highest position of the last round. Limits: [`COUNTING_MAX`] counts under way a room, and as many
//! waiting for each; the next are answered as unknown. What can fail: a count, when the store is away; then the
//! number is unknown.

use std::collections::VecDeque;

use lynk_domain::{Nanos, Ordinal, Seq, ShardId, UserId, shard_of_user};
use lynk_model::{RecordKind, StoreReply, StoreRequest};
use lynk_protocol::{
    Done, ErrorCode, OwnRead, Reject, encode_ok, encode_own_read, encode_receipt, encode_typing,
};
use smallvec::SmallVec;

use super::books::{APPENDED_BYTES_MAX, Ask, Books, Pending, Timer, append_position};
use super::mentions::Mentioned;
use super::release::{Item, whisper};
use super::room::{Member, Room};
use super::strangers::Post;
use super::window::Kind;
use crate::context::Context;
use crate::io::JournalState;
use crate::mail::{ConnectionRef, Mail, RoomNumbers};

/// Counts under way in one room, and askers waiting for one of them.
const COUNTING_MAX: usize = 16;
/// A count is repeated this often when the room changes under it.
const COUNTING_TRIES_MAX: u8 = 3;
/// Deletes remembered for bringing older counts up to date.
const DELETES_MAX: usize = 256;
/// A member's positions are journaled, and passed on, at most this often.
const POSITION_NANOS: u64 = Nanos::SECOND;
/// Members whose positions one call journals; the others follow a moment later.
const PUBLISHED_MAX: usize = 512;
/// That moment.
const PUBLISH_AGAIN_NANOS: u64 = Nanos::MILLISECOND;
/// Typing of one member is passed on at most this often.
const TYPING_NANOS: u64 = Nanos::SECOND;

/// What of the messages after a read position is not unread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Count {
    /// Ordinal of the last message at or before the position.
    pub(super) read_n: Ordinal,
    /// The member's own messages after it.
    pub(super) own: u64,
    /// Others' deleted messages after it, among the first `seen` deletes.
    pub(super) deleted: u64,
    /// Deletes of the room that are counted.
    pub(super) seen: u64,
}

/// One delete.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deleted {
    pub(super) target: Seq,
    pub(super) author: UserId,
    pub(super) rev: Seq,
}

/// The last deletes of a room since it was loaded.
#[derive(Debug, Default)]
pub(super) struct Deletes {
    log: VecDeque<Deleted>,
    total: u64,
}

impl Deletes {
    pub(super) fn push(&mut self, deleted: Deleted) {
        if self.log.len() >= DELETES_MAX {
            self.log.pop_front();
        }
        self.log.push_back(deleted);
        self.total += 1;
    }

    /// Deletes so far.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Those after the first `seen`; `None` when some of them are forgotten.
    pub(super) fn since(&self, seen: u64) -> Option<impl Iterator<Item = &Deleted>> {
        let forgotten = self.total - self.log.len() as u64;
        let skip = seen.checked_sub(forgotten)?;
        Some(self.log.iter().skip(skip as usize))
    }
}

/// A count that the store makes.
#[derive(Debug)]
pub(super) struct Counting {
    user: UserId,
    /// The read position it is for.
    after: Seq,
    /// Changes of mentions when the store was asked, and the version of blocks.
    seen: u64,
    blocks: u32,
    /// The room changed under it.
    spoiled: bool,
    tries: u8,
    waiting: SmallVec<[Waiter; 2]>,
}

/// Who waits for a count.
#[derive(Clone, Copy, Debug)]
enum Waiter {
    Peek { gather: u32, to: ShardId },
    Unread { to: ConnectionRef, re: u64 },
}

impl Room {
    /// Whether the window holds every event after `read`.
    pub(super) fn window_covers(&self, read: Seq) -> bool {
        read >= self.top || self.window.start() <= read.next()
    }

    /// The member's unread messages, and those that mention the member; each `None` when it must be counted.
    fn numbers(&self, user: UserId, blocks: u32) -> (Option<u64>, Option<u32>) {
        let Some(member) = self.members.get(&user) else { return (None, None) };
        (self.unread(user, member), self.mentions(user, member, blocks))
    }

    /// Counts what is not unread after `read`, as far as the window reaches.
    fn count_in_window(&self, user: UserId, read: Seq) -> Option<Count> {
        if !self.window_covers(read) {
            return None;
        }
        let mut count = Count { read_n: self.top_n, own: 0, deleted: 0, seen: self.deletes.total() };
        for entry in self.window.after(read).rev() {
            let Kind::Message(posted) = &entry.kind else { continue };
            count.read_n = Ordinal(posted.n.0 - 1);
            if entry.sender == user {
                count.own += 1;
            } else if posted.deleted > Seq(0) {
                count.deleted += 1;
            }
        }
        Some(count)
    }

    /// The member's unread messages; `None` when they must be counted.
    pub(super) fn unread(&self, user: UserId, member: &Member) -> Option<u64> {
        let after = self.unread_after(member);
        let count = match self.count_in_window(user, after) {
            Some(count) => count,
            None => {
                let mut count = member.count?;
                let others = |d: &&Deleted| d.target > after && d.author != user;
                count.deleted += self.deletes.since(count.seen)?.filter(others).count() as u64;
                count
            }
        };
        Some(self.top_n.0.saturating_sub(count.read_n.0 + count.own + count.deleted))
    }

    /// Sets a member's read position.
    pub(super) fn set_read(&mut self, user: UserId, read: Seq) {
        let count = self.count_in_window(user, read.max(self.floor));
        if let Some(member) = self.members.get_mut(&user) {
            member.read = read;
            member.count = count;
            member.mentioned = Mentioned::default();
        }
    }

    /// The member posted: counts under way for it are no longer right.
    pub(super) fn spoil_counts_of(&mut self, user: UserId) {
        self.counting.iter_mut().filter(|c| c.user == user).for_each(|c| c.spoiled = true);
    }

    /// A message was deleted.
    pub(super) fn spoil_counts(&mut self) {
        self.counting.iter_mut().for_each(|c| c.spoiled = true);
    }

    /// Whether receipts and typing are passed on here: not across a block, not before a 1:1 is accepted, and not to crowds.
    pub(super) fn passes_signs(&self, members_max: u32) -> bool {
        !self.restrained && self.members.len() <= members_max as usize
    }
}

impl Books {
    pub(super) fn read(&mut self, cx: &mut Context<'_>, room: &mut Room, ask: &Ask<'_>, seq: Seq) {
        let known = match position_of(room, ask, cx, seq) {
            Ok(member) => member.read,
            Err(reject) => return self.refuse(cx, room, ask, reject),
        };
        if seq > known {
            room.set_read(ask.user, seq);
            self.position_moved(cx, room, ask.user, |member| member.moved.0 = true);
        }
        self.ok_unread(cx, room, ask);
    }

    pub(super) fn delivered(&mut self, cx: &mut Context<'_>, room: &mut Room, ask: &Ask<'_>, seq: Seq) {
        if let Err(reject) = position_of(room, ask, cx, seq) {
            return self.refuse(cx, room, ask, reject);
        }
        if let Some(member) = room.members.get_mut(&ask.user).filter(|member| seq > member.delivered) {
            member.delivered = seq;
            self.position_moved(cx, room, ask.user, |member| member.moved.1 = true);
        }
        self.ok(cx, room, ask, &Done { room: Some(room.id), ..Done::default() });
    }

    pub(super) fn mark_unread(&mut self, cx: &mut Context<'_>, room: &mut Room, ask: &Ask<'_>, seq: Seq) {
        let cleared = match position_of(room, ask, cx, seq) {
            Ok(member) => member.cleared,
            Err(reject) => return self.refuse(cx, room, ask, reject),
        };
        if seq <= cleared {
            let reject = Reject::because(ErrorCode::InvalidField, "field `seq` is of what you deleted");
            return self.refuse(cx, room, ask, reject);
        }
        *room.rounds.entry(ask.user).or_default() += 1;
        room.set_read(ask.user, Seq(seq.0.saturating_sub(1)));
        self.position_moved(cx, room, ask.user, |member| member.moved.0 = true);
        let (unread, mentions) = room.numbers(ask.user, self.blocks);
        if unread.is_none() || mentions.is_none() {
            let waiter = Waiter::Unread { to: ask.from, re: ask.re };
            if self.count(cx, room, ask.user, Some(waiter)) {
                return;
            }
        }
        self.ok_unread(cx, room, ask);
    }

    fn ok_unread(&mut self, cx: &mut Context<'_>, room: &mut Room, ask: &Ask<'_>) {
        let (unread, mentions) = room.numbers(ask.user, self.blocks);
        if !ask.silent {
            let done = Done { room: Some(room.id), unread, mentions, ..Done::default() };
            let frame = cx.shared.pool.frame(|out| encode_ok(out, ask.re, &done));
            self.answer_behind(cx, room, ask.from, frame);
        }
    }

    /// Journals and passes on a moved position, at once when the last time is long enough ago.
    fn position_moved(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        user: UserId,
        mark: impl FnOnce(&mut Member),
    ) {
        let Some(member) = room.members.get_mut(&user) else { return };
        let waiting = member.moved != (false, false);
        mark(member);
        if waiting {
            return;
        }
        let due = self.draining
            || member.journaled == Nanos(0)
            || cx.now.mono.since(member.journaled) >= POSITION_NANOS;
        if due && cx.shared.journal == JournalState::Open {
            return self.publish_position(cx, room, user);
        }
        room.moved.push(user);
        if !room.moved_timer {
            room.moved_timer = true;
            self.wheel.insert(cx.now.mono.after(POSITION_NANOS), Timer::Reads(room.id));
        }
    }

    /// The room's timer: journals the positions that moved since, of a crowd only so many at a time.
    pub(super) fn publish_positions(&mut self, cx: &mut Context<'_>, room: &mut Room) {
        if cx.shared.journal != JournalState::Open {
            self.wheel.insert(cx.now.mono.after(POSITION_NANOS), Timer::Reads(room.id));
            return;
        }
        let mut moved = std::mem::take(&mut room.moved);
        // Timers of several rooms may fire in one call.
        let space = APPENDED_BYTES_MAX > cx.fx.records.bytes();
        let count = if space { moved.len().min(PUBLISHED_MAX) } else { 0 };
        for user in moved.drain(..count) {
            self.publish_position(cx, room, user);
        }
        room.moved = moved;
        room.moved_timer = !room.moved.is_empty();
        if room.moved_timer {
            self.wheel.insert(cx.now.mono.after(PUBLISH_AGAIN_NANOS), Timer::Reads(room.id));
        }
    }

    /// Journals at most `max` of the positions that moved, before a stop; returns how many.
    pub(super) fn publish_some(&mut self, cx: &mut Context<'_>, room: &mut Room, max: usize) -> usize {
        if cx.shared.journal != JournalState::Open {
            return 0;
        }
        let at = room.moved.len().saturating_sub(max);
        let moved = room.moved.split_off(at);
        for user in &moved {
            self.publish_position(cx, room, *user);
        }
        moved.len()
    }

    pub(super) fn typing(&mut self, cx: &mut Context<'_>, room: &mut Room, ask: &Ask<'_>, on: bool) {
        if let Err(reject) = room.may_post(ask.user, cx.now.wall, Post::Sign) {
            return self.refuse(cx, room, ask, reject);
        }
        let passes = room.passes_signs(cx.shared.config.limits.presence_room_members_max);
        if let Some(member) = room.members.get_mut(&ask.user) {
            let recent = member.typed != Nanos(0) && cx.now.mono.since(member.typed) < TYPING_NANOS;
            if passes && !(on && recent) {
                member.typed = if on { cx.now.mono.max(Nanos(1)) } else { Nanos(0) };
                let frame = cx.shared.pool.frame(|out| encode_typing(out, room.id, ask.user, on));
                whisper(cx, room, &frame, ask.user);
            }
        }
        self.ok(cx, room, ask, &Done { room: Some(room.id), ..Done::default() });
    }

    /// A room's numbers for `sync`.
    pub(super) fn peek(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        gather: u32,
        to: ShardId,
        user: UserId,
    ) {
        room.touched = true;
        let (unread, mentions) = room.numbers(user, self.blocks);
        let unknown = unread.is_none() || mentions.is_none();
        if unknown && self.count(cx, room, user, Some(Waiter::Peek { gather, to })) {
            return;
        }
        self.peeked(cx, room, gather, to, user);
    }

    fn peeked(&mut self, cx: &mut Context<'_>, room: &mut Room, gather: u32, to: ShardId, user: UserId) {
        let numbers = room.members.get(&user).map(|member| RoomNumbers {
            epoch: room.epoch,
            top: room.top,
            top_n: room.top_n,
            read: member.read,
            unread: room.unread(user, member).unwrap_or(u64::MAX),
            mentions: room.mentions(user, member, self.blocks),
            active: room.active,
        });
        let mail = Box::new(Mail::Peeked { gather, room: room.id, numbers });
        self.emit(cx, room, room.depends, Item::Post { to, mail });
    }

    /// Has the store count for a member. `false` when it cannot be asked now.
    fn count(&mut self, cx: &mut Context<'_>, room: &mut Room, user: UserId, waiter: Option<Waiter>) -> bool {
        if let Some(counting) = room.counting.iter_mut().find(|c| c.user == user) {
            let room_left = counting.waiting.len() < COUNTING_MAX;
            counting.waiting.extend(waiter.filter(|_| room_left));
            return room_left;
        }
        let Some(member) = room.members.get(&user) else { return false };
        if room.counting.len() >= COUNTING_MAX || !self.may_ask(cx) {
            return false;
        }
        let after = room.unread_after(member);
        let waiting = waiter.into_iter().collect();
        let (seen, blocks) = (room.mention_changes.total(), self.blocks);
        room.counting.push(Counting { user, after, seen, blocks, spoiled: false, tries: 1, waiting });
        self.ask_count(cx, room, user, after);
        true
    }

    /// Has the store count for a member whose numbers are not known; nobody waits for it.
    pub(super) fn count_ahead(&mut self, cx: &mut Context<'_>, room: &mut Room, user: UserId) {
        self.count(cx, room, user, None);
    }

    fn ask_count(&mut self, cx: &mut Context<'_>, room: &mut Room, user: UserId, after: Seq) {
        let undrained = room.backlog.unread_after(after);
        let top_n = room.top_n;
        let request = StoreRequest::CountNotUnread { room: room.id, user, after, top_n, undrained };
        self.ask(cx, room, request, Pending::Count { user, after });
    }

    /// The store counted, or could not.
    pub(super) fn counted(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        user: UserId,
        after: Seq,
        reply: StoreReply,
    ) {
        let Some(index) = room.counting.iter().position(|c| c.user == user && c.after == after) else {
            return;
        };
        let floor = room.floor;
        let counting = &mut room.counting[index];
        if let (StoreReply::NotUnread { own, deleted, cursor_n, mentions }, Some(member)) =
            (reply, room.members.get_mut(&user))
        {
            let now = member.read.max(floor);
            if let Some(count) = mentions.filter(|_| now == after) {
                member.mentioned = Mentioned { seen: counting.seen, blocks: counting.blocks, count };
            }
            if !counting.spoiled && now == after {
                let seen = room.deletes.total();
                member.count = Some(Count { read_n: cursor_n, own, deleted, seen });
            } else if counting.tries < COUNTING_TRIES_MAX && member.count.is_none() {
                counting.tries += 1;
                counting.spoiled = false;
                counting.after = now;
                (counting.seen, counting.blocks) = (room.mention_changes.total(), self.blocks);
                return self.ask_count(cx, room, user, now);
            }
        }
        for waiter in room.counting.swap_remove(index).waiting {
            match waiter {
                Waiter::Peek { gather, to } => self.peeked(cx, room, gather, to, user),
                Waiter::Unread { to, re } => {
                    let (unread, mentions) = room.numbers(user, self.blocks);
                    let done = Done { room: Some(room.id), unread, mentions, ..Done::default() };
                    let frame = cx.shared.pool.frame(|out| encode_ok(out, re, &done));
                    self.answer_behind(cx, room, to, frame);
                }
            }
        }
    }
}

/// The member, when it may state that it has come to `seq`.
fn position_of<'r>(room: &'r Room, ask: &Ask<'_>, cx: &Context<'_>, seq: Seq) -> Result<&'r Member, Reject> {
    let member = room.member(ask.user, cx.now.wall)?;
    if seq > room.top {
        return Err(Reject::because(ErrorCode::InvalidField, "field `seq` is beyond the last event"));
    }
    Ok(member)
}

impl Books {
    /// Journals and passes on a read position at once; forgets that it moved while the journal takes nothing.
    pub(super) fn publish_read(&mut self, cx: &mut Context<'_>, room: &mut Room, user: UserId) {
        if cx.shared.journal == JournalState::Open {
            self.publish_position(cx, room, user);
        } else if let Some(member) = room.members.get_mut(&user) {
            member.moved.0 = false;
        }
    }

    /// Journals a member's positions and tells the others.
    fn publish_position(&mut self, cx: &mut Context<'_>, room: &mut Room, user: UserId) {
        let passes = room.passes_signs(cx.shared.config.limits.presence_room_members_max);
        let Some(member) = room.members.get_mut(&user) else { return };
        member.journaled = cx.now.mono.max(Nanos(1));
        let (read, delivered) = std::mem::take(&mut member.moved);
        let (read_to, delivered_to) = (member.read, member.delivered);
        let news = read_to > member.read_told;
        if read {
            member.read_told = member.read_told.max(read_to);
        }
        for (moved, kind, name, to, news) in [
            (read, RecordKind::Read, "read", read_to, news),
            (delivered, RecordKind::Delivered, "delivered", delivered_to, true),
        ] {
            if !moved {
                continue;
            }
            append_position(cx, room, kind, user, to);
            if kind == RecordKind::Read {
                self.tell_own(cx, room, user);
            }
            if passes && news {
                let frame = cx.shared.pool.frame(|out| encode_receipt(out, name, room.id, user, to));
                whisper(cx, room, &frame, user);
            }
        }
    }

    /// Tells a user's connections how far it has read: they show the same number of unread messages. The number counts
    /// messages that are not committed, so it waits for them as every answer does.
    pub(super) fn tell_own(&mut self, cx: &mut Context<'_>, room: &mut Room, user: UserId) {
        let Some(member) = room.members.get(&user) else { return };
        let read = OwnRead {
            room: room.id,
            user,
            seq: member.read,
            top: room.top,
            unread: room.unread(user, member),
            mentions: room.mentions(user, member, self.blocks),
            marked: member.read < member.read_told,
        };
        let frame = cx.shared.pool.frame(|out| encode_own_read(out, &read));
        let to = shard_of_user(user, cx.shared.config.shard_count);
        let mail = Box::new(Mail::Notice { user, frame, except: None, rooms: false });
        self.emit(cx, room, room.depends, Item::Post { to, mail });
    }
}
