//! One room in memory: who may do what, how far it has come, what it waits for.
//!
//! Thread: the shard. Invariants: `released` ≤ `top`; the window ends at `top`; `version` is that of the last
//! `Meta` event in the log. Limits: members by `room_members_max`, lists as noted at each field. Nothing can
//! fail but a check, with a [`Reject`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lynk_domain::{
    AckLevel, Action, Epoch, HistoryVisibility, Lsn, Millis, Nanos, Now, Ordinal, Role, RoomId, RoomKind,
    Seq, ShardId, UserId, allowed,
};
use lynk_model::{Link, RoomRow};
use lynk_protocol::{ErrorCode, Reject};
use smallvec::SmallVec;

use super::backlog::Backlog;
use super::books::{Ask, Held};
use super::mentions::{MentionChanges, Mentioned};
use super::metadata::Metadata;
use super::moderation::Notes;
use super::reads::{Count, Counting, Deletes};
use super::release::{Owed, Sub};
use super::strangers::{Asked, Post};
use super::window::Window;
use crate::mail::{ConnectionRef, Principal};

/// A member and how far the member has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) role: Role,
    /// Metadata version of the join.
    pub(super) joined_version: u64,
    /// Seq of the join; 0 before it is journaled.
    pub(super) joined_seq: Seq,
    pub(super) read: Seq,
    /// Highest `read` that others were told: receipts never go back.
    pub(super) read_told: Seq,
    pub(super) delivered: Seq,
    /// The member has deleted the past up to here for itself, and the ordinal of its last message.
    pub(super) cleared: Seq,
    pub(super) cleared_n: Ordinal,
    /// What of the messages after `read` is not unread; `None` when it must be counted.
    pub(super) count: Option<Count>,
    /// What of those mentions the member.
    pub(super) mentioned: Mentioned,
    /// Wall time of the last message, for slow mode.
    pub(super) posted: Millis,
    /// When `read` or `delivered` was journaled last.
    pub(super) journaled: Nanos,
    /// `read` and `delivered` moved since.
    pub(super) moved: (bool, bool),
    /// When typing was passed on last.
    pub(super) typed: Nanos,
    /// Somebody, perhaps a stranger, added it, and the store is not told yet that it has written since.
    pub(super) added: bool,
}

impl Member {
    pub(super) fn new(role: Role, joined_version: u64, joined_seq: Seq) -> Self {
        Self {
            role,
            joined_version,
            joined_seq,
            read: Seq(0),
            read_told: Seq(0),
            delivered: Seq(0),
            cleared: Seq(0),
            cleared_n: Ordinal(0),
            count: None,
            mentioned: Mentioned::default(),
            posted: Millis(0),
            journaled: Nanos(0),
            moved: (false, false),
            typed: Nanos(0),
            added: false,
        }
    }

    /// How far the member has read as others may know it: what it deleted unread was not read.
    pub(super) fn shown_read(&self) -> Seq {
        if self.read > self.cleared { self.read.max(self.read_told) } else { self.read_told }
    }
}

/// Seqs that are reserved ahead in the journal, for rooms whose messages do not wait for it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reserved {
    /// Last reserved.
    pub(super) to: Seq,
    /// Last that was reserved before the newest reservation.
    pub(super) before: Seq,
    /// The newest reservation's record.
    pub(super) lsn: Lsn,
}

/// What of a room's log a member is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shown {
    /// The first seq.
    pub(super) from: Seq,
    /// Why nothing before it is, as a gap says it.
    pub(super) hidden: &'static str,
}

/// Messages a room takes per second: a bucket that holds one second's worth.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    spent_until: Nanos,
}

impl Pace {
    /// Takes one, or says how many milliseconds to wait.
    fn take(&mut self, now: Nanos, per_second: u32) -> Result<(), u32> {
        if per_second == 0 {
            return Ok(());
        }
        let each = Nanos::SECOND / u64::from(per_second);
        let start = self.spent_until.0.max(now.0);
        if start + each > now.0 + Nanos::SECOND {
            let wait = start + each - now.0 - Nanos::SECOND;
            return Err(u32::try_from(wait.div_ceil(Nanos::MILLISECOND)).unwrap_or(u32::MAX));
        }
        self.spent_until = Nanos(start + each);
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct Room {
    pub(super) id: RoomId,
    /// The row; `None` for a room that does not exist. Its version is the store's.
    pub(super) info: Option<RoomRow>,
    pub(super) members: BTreeMap<UserId, Member>,
    /// How often members, also former ones, marked something unread; only those who ever did.
    pub(super) rounds: BTreeMap<UserId, u64>,
    /// Ends of bans and mutes; 0 for never. Those that ended stay until lifted, renewed, or until the next one.
    pub(super) bans: BTreeMap<UserId, Millis>,
    pub(super) mutes: BTreeMap<UserId, Millis>,
    pub(super) pins: BTreeSet<Seq>,
    /// Links into it; some may live no more. The store decides, and counts.
    pub(super) links: Vec<Link>,
    /// Of a 1:1: (who blocks, whom); at most both ways.
    pub(super) blocks: SmallVec<[(UserId, UserId); 2]>,
    /// Of a 1:1 that a stranger began and that is not accepted.
    pub(super) asked: Option<Asked>,
    /// Whether there are `blocks`, or `asked`.
    pub(super) restrained: bool,
    /// Shards that did not take that somebody's subscriptions end; at most all shards.
    pub(super) undismissed: Vec<ShardId>,
    pub(super) epoch: Epoch,
    /// Everything up to here is removed; 0 for nothing.
    pub(super) floor: Seq,
    pub(super) top: Seq,
    pub(super) top_n: Ordinal,
    /// Version of the last `Meta` event journaled.
    pub(super) version: u64,
    pub(super) reserved: Reserved,
    /// Whether numbers were ever reserved, so that the log may have holes.
    pub(super) holes: bool,
    pub(super) window: Window,
    pub(super) backlog: Backlog,
    /// Uses of idempotency keys after this wall time were in memory since the room was loaded.
    pub(super) known_since: Millis,
    /// Wall time of the last event.
    pub(super) active: Millis,
    pub(super) pace: Pace,

    /// Last record of any kind.
    pub(super) appended: Lsn,
    /// Last record that answers must wait for.
    pub(super) depends: Lsn,
    /// Last record that waited-for changes of window frames depend on.
    pub(super) rewritten: Lsn,
    /// The release queue holds effects of this room up to here.
    pub(super) queued: Lsn,
    /// Last event that was posted.
    pub(super) released: Seq,
    /// Shards with subscribers; at most all shards.
    pub(super) subs: Vec<Sub>,
    /// Answers that wait until their shards have what they missed; at most one per command in flight or whose record is not drained.
    pub(super) owed: Vec<Owed>,
    /// Events that removed someone, newest last; bounded where it is filled.
    pub(super) removed: VecDeque<(Seq, UserId)>,
    /// The event with which the room was deleted.
    pub(super) ended: Option<Seq>,
    /// Users who are out although the store does not know it yet, and whose subscriptions still stand.
    pub(super) cut_off: Vec<UserId>,

    pub(super) metadata: Metadata,
    pub(super) notes: Notes,
    /// Connections with a command under way here: their next ones wait, so that their order holds.
    pub(super) busy: SmallVec<[ConnectionRef; 4]>,
    /// Those next ones, at most `room_load_waiting_max`.
    pub(super) held: VecDeque<Held>,
    pub(super) deletes: Deletes,
    pub(super) mention_changes: MentionChanges,
    /// Counts that are being made; bounded where it is filled.
    pub(super) counting: Vec<Counting>,
    /// Members whose `moved` is set.
    pub(super) moved: Vec<UserId>,
    /// A timer will journal them.
    pub(super) moved_timer: bool,
    /// The age of the window will be looked at.
    pub(super) window_timer: bool,
    /// Requests to the store that will come back to this room.
    pub(super) requests: u32,
    /// As how many rooms this one counts among those in memory; set when it is loaded.
    pub(super) weight: usize,
    /// Touched since the eviction hand passed.
    pub(super) touched: bool,
}

impl Room {
    /// A room without members or past.
    pub(super) fn empty(id: RoomId, backlog: Backlog) -> Self {
        Self {
            id,
            info: None,
            members: BTreeMap::new(),
            rounds: BTreeMap::new(),
            bans: BTreeMap::new(),
            mutes: BTreeMap::new(),
            pins: BTreeSet::new(),
            links: Vec::new(),
            blocks: SmallVec::new(),
            asked: None,
            restrained: false,
            undismissed: Vec::new(),
            epoch: Epoch(0),
            floor: Seq(0),
            top: Seq(0),
            top_n: Ordinal(0),
            version: 0,
            reserved: Reserved::default(),
            holes: false,
            window: Window::new(Seq(1)),
            backlog,
            known_since: Millis(0),
            active: Millis(0),
            pace: Pace::default(),
            appended: Lsn(0),
            depends: Lsn(0),
            rewritten: Lsn(0),
            queued: Lsn(0),
            released: Seq(0),
            subs: Vec::new(),
            owed: Vec::new(),
            removed: VecDeque::new(),
            ended: None,
            cut_off: Vec::new(),
            metadata: Metadata::default(),
            notes: Notes::default(),
            busy: SmallVec::new(),
            held: VecDeque::new(),
            deletes: Deletes::default(),
            mention_changes: MentionChanges::default(),
            counting: Vec::new(),
            moved: Vec::new(),
            moved_timer: false,
            window_timer: false,
            requests: 0,
            weight: 1,
            touched: true,
        }
    }

    /// The member, or why there is none. Whether a hidden room exists is told to nobody outside.
    pub(super) fn member(&self, user: UserId, wall: Millis) -> Result<&Member, Reject> {
        match self.members.get(&user) {
            Some(member) => Ok(member),
            None => Err(self.outsider(user, wall)),
        }
    }

    /// Whether somebody may look at the room: a member, or the server that erases.
    pub(super) fn reach(&self, principal: Principal, wall: Millis) -> Result<(), Reject> {
        if principal.is_eraser() && self.info.is_some() {
            return Ok(());
        }
        self.member(principal.user, wall).map(drop)
    }

    /// What of the log is shown to somebody.
    pub(super) fn shown_to(&self, principal: Principal, wall: Millis) -> Result<Shown, Reject> {
        if principal.is_eraser() && self.info.is_some() {
            return Ok(Shown { from: self.floor.next(), hidden: "retention" });
        }
        self.member(principal.user, wall).map(|member| self.shown(member))
    }

    /// Whether it was deleted.
    pub(super) fn is_deleted(&self) -> bool {
        self.info.as_ref().is_some_and(|row| row.deleted > Millis(0))
    }

    /// Why `user`, who is no member, is refused.
    pub(super) fn outsider(&self, user: UserId, wall: Millis) -> Reject {
        match &self.info {
            None => ErrorCode::RoomNotFound.into(),
            Some(_) if self.is_deleted() => ErrorCode::RoomNotFound.into(),
            Some(_) if self.is_banned(user, wall) => ErrorCode::Banned.into(),
            Some(row) if matches!(row.kind, RoomKind::Private | RoomKind::Direct) => {
                ErrorCode::RoomNotFound.into()
            }
            Some(_) => ErrorCode::NotAMember.into(),
        }
    }

    pub(super) fn is_banned(&self, user: UserId, wall: Millis) -> bool {
        self.bans.get(&user).is_some_and(|until| stands(*until, wall))
    }

    pub(super) fn is_muted(&self, user: UserId, wall: Millis) -> bool {
        self.mutes.get(&user).is_some_and(|until| stands(*until, wall))
    }

    /// Lets a new member wait as after a message while slow mode is on: leaving and joining is no way round it.
    pub(super) fn start_slow_mode(&mut self, user: UserId, joined: Millis) {
        let on = self.info.as_ref().is_some_and(|row| row.slow_mode_seconds > 0);
        if let Some(member) = self.members.get_mut(&user).filter(|_| on) {
            member.posted = member.posted.max(joined);
        }
    }

    /// Forgets bans and mutes that ended.
    pub(super) fn forget_ended(&mut self, wall: Millis) {
        self.bans.retain(|_, until| stands(*until, wall));
        self.mutes.retain(|_, until| stands(*until, wall));
    }

    /// Whether the pair of a 1:1 is apart, either way.
    pub(super) fn is_blocked(&self) -> bool {
        !self.blocks.is_empty()
    }

    pub(super) fn kind(&self) -> RoomKind {
        self.info.as_ref().map_or(RoomKind::Public, |row| row.kind)
    }

    pub(super) fn level(&self) -> AckLevel {
        self.info.as_ref().map_or(AckLevel::Local, |row| row.level)
    }

    /// Whether `user` may post, edit or react here now. Mutes end by themselves.
    pub(super) fn may_post(&self, user: UserId, wall: Millis, post: Post) -> Result<&Member, Reject> {
        let member = self.member(user, wall)?;
        if self.restrained {
            self.restrains(user, post)?;
        }
        if let Some(until) = self.mutes.get(&user).filter(|until| stands(**until, wall)) {
            let mut reject = Reject::new(ErrorCode::Muted);
            if until.0 > 0 {
                reject.retry_after_millis = u32::try_from(until.0.saturating_sub(wall.0)).ok();
            }
            return Err(reject);
        }
        let action = match &self.info {
            Some(row) if row.read_only => Action::PostReadOnly,
            _ => Action::Post,
        };
        if !allowed(member.role, action) {
            return Err(Reject::because(
                ErrorCode::Forbidden,
                "the room is read-only: moderators and above post here",
            ));
        }
        Ok(member)
    }

    /// Counts one message, edit or reaction against the room's pace.
    pub(super) fn keep_pace(&mut self, now: Now, per_second: u32) -> Result<(), Reject> {
        self.pace.take(now.mono, per_second).map_err(|millis| Reject::after(ErrorCode::RateLimited, millis))
    }

    /// What of the log is shown to the member.
    pub(super) fn shown(&self, member: &Member) -> Shown {
        let allowed = match self.info.as_ref().map(|row| row.visibility) {
            // Until the join is in the log, all of it was before.
            Some(HistoryVisibility::SinceJoin) if member.joined_seq == Seq(0) => self.top.next(),
            Some(HistoryVisibility::SinceJoin) => member.joined_seq,
            _ => Seq(1),
        };
        // What the member has deleted for itself is shown to it no more.
        let allowed = allowed.max(member.cleared.next());
        if allowed > self.floor {
            return Shown { from: allowed, hidden: "not_visible" };
        }
        Shown { from: self.floor.next(), hidden: "retention" }
    }

    /// After which seq messages are unread for the member: what is removed is not.
    pub(super) fn unread_after(&self, member: &Member) -> Seq {
        member.read.max(self.floor)
    }

    /// Whether a command of `ask`'s connection is under way, so that this one must wait.
    pub(super) fn must_wait(&self, ask: &Ask<'_>) -> bool {
        self.busy.contains(&ask.from)
    }

    /// Whether the next metadata command may run.
    pub(super) fn takes_metadata(&self, now: Nanos) -> bool {
        self.metadata.is_free() && !self.notes.hold_up(now)
    }

    /// A command of this connection is under way.
    pub(super) fn engage(&mut self, from: ConnectionRef) {
        self.busy.push(from);
    }

    /// It is finished.
    pub(super) fn disengage(&mut self, from: ConnectionRef) {
        if let Some(index) = self.busy.iter().position(|busy| *busy == from) {
            self.busy.swap_remove(index);
        }
    }
}

pub(super) fn stands(until: Millis, wall: Millis) -> bool {
    until.0 == 0 || wall < until
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_takes_its_rate_and_no_more() {
        let (mut pace, mut taken) = (Pace::default(), 0);
        for millis in 0..2_000u64 {
            for _ in 0..3 {
                taken += u32::from(pace.take(Nanos(millis * Nanos::MILLISECOND), 100).is_ok());
            }
        }
        assert!((298..=300).contains(&taken), "{taken}");
        assert_eq!(Pace::default().take(Nanos(0), 0), Ok(()));
    }
}
