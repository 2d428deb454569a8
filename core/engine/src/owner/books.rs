//! What the rooms of a shard share: keys, drains, the release queue, store requests, timers; and the steps that
//! every command takes: wait its turn, run, be answered once.
//!
//! Thread: the shard. Invariants: a command is answered exactly once, or not at all when it is one of those
//! that may go without; commands of one connection to one room run in order. Limits: see each field.

use std::sync::Arc;

use lynk_domain::{AckLevel, FixedMap, Key, Lsn, Nanos, RoomId, Seq, ShardId, UserId, Wheel, fixed_map};
use lynk_model::{
    Attachment, Body, RecordAt, RecordHead, RecordKind, RequestId, RequestSide, StoreError, StoreReply,
};
use lynk_protocol::{Command, Done, ErrorCode, Frame, Reject, decode, encode_error, encode_ok};

use super::attach::{AttachWait, LeaveWait, Releases};
use super::backlog::{Drains, Undrained};
use super::by_time::TimeWait;
use super::change::{Target, TargetWait};
use super::clear::ClearWait;
use super::history::PageWait;
use super::keys::{Keys, Scope, Used};
use super::lists::ListWait;
use super::quiet::Aging;
use super::release::{Item, Release};
use super::replicas::Replicas;
use super::room::Room;
use super::send::Said;
use crate::EngineConfig;
use crate::context::Context;
use crate::io::JournalState;
use crate::mail::{ConnectionRef, Principal};

/// Seqs reserved at a time for rooms whose messages do not wait for the journal.
pub(super) const RESERVE_BLOCK: u64 = 1_024;
/// A new block is reserved when fewer than this are left, so that no message waits for it.
const RESERVE_AHEAD: u64 = 256;
/// Bytes of records after which one call appends no more: the journal says that it is behind only between two calls, and
/// must hold whatever a call appends after it was open. With the smallest segments there are 1 MiB for that, which leaves
/// room for the longest message.
pub(super) const APPENDED_BYTES_MAX: usize = 512 << 10;
/// How late a timer of the owner may be.
const GRANULE_NANOS: u64 = Nanos::MILLISECOND;

/// A command and who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    pub(super) from: ConnectionRef,
    pub(super) principal: Principal,
    pub(super) user: UserId,
    pub(super) re: u64,
    /// The room that it names: an error names it too, because the rooms of `hello` share one number.
    pub(super) room: Option<RoomId>,
    /// It gets no answer, not even an error.
    pub(super) silent: bool,
    /// The client's JSON, kept when the command must wait.
    pub(super) raw: &'a str,
}

impl<'a> Ask<'a> {
    pub(super) fn new(
        from: ConnectionRef,
        principal: Principal,
        re: u64,
        command: &Command<'_>,
        raw: &'a str,
    ) -> Self {
        let fleeting =
            matches!(command, Command::Typing { .. } | Command::Read { .. } | Command::Delivered { .. });
        let silent = fleeting && re == 0;
        Self { from, principal, user: principal.user, re, room: command.room(), silent, raw }
    }

    pub(super) fn hold(&self) -> Held {
        Held { from: self.from, principal: self.principal, raw: self.raw.into() }
    }
}

/// A command that waits.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) from: ConnectionRef,
    pub(super) principal: Principal,
    pub(super) raw: Box<str>,
}

/// What the store said about a command that had to ask first.
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// Nothing was asked.
    Unasked,
    /// The use of its key; `None` when it was not used.
    Key(Option<Used>),
    /// The message it is about; `None` when there is none.
    Target(Option<Target>),
    /// Its files. They are asked for last: its key is new, and the message that it answers stands.
    Files(Vec<Attachment>),
    /// The message to delete. It is noted, or could not be, that its files leave with it.
    Leaving(Target),
}

/// Why a store was asked.
#[derive(Debug)]
pub(super) enum Pending {
    Load,
    Old,
    Key(Held),
    Target(Box<TargetWait>),
    Files(Box<AttachWait>),
    Leave(Box<LeaveWait>),
    Release,
    Posted,
    Page(Box<PageWait>),
    Time(Box<TimeWait>),
    Count { user: UserId, after: Seq },
    Clear(Box<ClearWait>),
    Wrote(UserId),
    Apply,
    Rows,
    Confirm { version: u64, seq: Seq },
    Kept { version: u64, seq: Seq },
    Note,
    List(Box<ListWait>),
}

/// Something to do later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Timer {
    /// Send what full mailboxes refused.
    Repair,
    /// Journal the read states that moved.
    Reads(RoomId),
    /// Repeat what the store or the journal did not take.
    Metadata(RoomId),
    /// Tell those who have waited for the message store for too long.
    Replicas,
    /// Give back files of deleted messages.
    Release,
}

#[derive(Debug)]
pub(super) struct Books {
    pub(super) keys: Keys,
    pub(super) drains: Drains,
    pub(super) release: Release,
    pub(super) replicas: Replicas,
    /// At most `store_requests_in_flight_max`, and confirmations.
    pub(super) pending: FixedMap<RequestId, (RoomId, Pending)>,
    pub(super) wheel: WheelOf,
    pub(super) aging: Aging,
    /// The shard is about to stop: positions do not wait for their second.
    pub(super) draining: bool,
    /// Version of the blocks among users, as far as this shard has heard; never 0.
    pub(super) blocks: u32,
    /// Files of deleted messages.
    pub(super) releases: Releases,
    /// Shards that missed events of a room; at most rooms × shards.
    pub(super) lagging: Vec<(RoomId, ShardId)>,
}

/// [`Wheel`] without its `Debug`.
pub(super) struct WheelOf(Wheel<Timer>);

impl std::fmt::Debug for WheelOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} timers", self.0.len())
    }
}

impl std::ops::Deref for WheelOf {
    type Target = Wheel<Timer>;
    fn deref(&self) -> &Wheel<Timer> {
        &self.0
    }
}

impl std::ops::DerefMut for WheelOf {
    fn deref_mut(&mut self) -> &mut Wheel<Timer> {
        &mut self.0
    }
}

/// An event that was just numbered and appended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Appended {
    pub(super) seq: Seq,
    pub(super) at: RecordAt,
    /// What must be committed before anyone is told.
    pub(super) after: Lsn,
}

impl Books {
    pub(super) fn new(config: &EngineConfig) -> Self {
        Self {
            keys: Keys::new(&config.limits, config.seed),
            drains: Drains::default(),
            release: Release::default(),
            replicas: Replicas::default(),
            pending: fixed_map(config.seed),
            wheel: WheelOf(Wheel::new(Nanos(0), GRANULE_NANOS)),
            aging: Aging::default(),
            draining: false,
            blocks: 1,
            releases: Releases::default(),
            lagging: Vec::new(),
        }
    }

    /// Runs a command, or keeps it until the connection's previous ones are done.
    pub(super) fn run(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        ask: &Ask<'_>,
        command: &Command<'_>,
    ) {
        room.touched = true;
        if !room.must_wait(ask) || matches!(command, Command::Typing { .. }) {
            return self.execute(cx, room, ask, command, Found::Unasked);
        }
        if room.held.len() >= cx.shared.config.limits.room_load_waiting_max as usize {
            return self.refuse(cx, room, ask, Reject::after(ErrorCode::Busy, 100));
        }
        room.held.push_back(ask.hold());
    }

    /// Runs a command that has waited, with what was found out for it.
    pub(super) fn run_held(&mut self, cx: &mut Context<'_>, room: &mut Room, held: &Held, found: Found) {
        let decoded = decode(&held.raw);
        // It was decoded before it was kept.
        let Ok(command) = decoded.command else { return };
        let ask = Ask::new(held.from, held.principal, decoded.re, &command, &held.raw);
        if !self.is_revoked(cx, room, &ask) {
            self.execute(cx, room, &ask, &command, found);
        }
    }

    /// Refuses what has waited while its session was revoked: whoever erases an account counts on it that nothing of it comes
    /// after a while.
    pub(super) fn is_revoked(&mut self, cx: &mut Context<'_>, room: &mut Room, ask: &Ask<'_>) -> bool {
        let revoked = cx.shared.revoked.has(ask.principal.session);
        if revoked {
            let reject = Reject::because(ErrorCode::InvalidToken, "the session was revoked");
            self.refuse(cx, room, ask, reject);
        }
        revoked
    }

    /// Runs what no longer has to wait.
    pub(super) fn settle(&mut self, cx: &mut Context<'_>, room: &mut Room) {
        loop {
            if room.takes_metadata(cx.now.mono)
                && let Some((held, found)) = room.metadata.queue.pop_front()
            {
                room.disengage(held.from);
                self.run_held(cx, room, &held, found);
                continue;
            }
            let next = room.held.iter().position(|held| !room.busy.contains(&held.from));
            let Some(held) = next.and_then(|index| room.held.remove(index)) else { return };
            self.run_held(cx, room, &held, Found::Unasked);
        }
    }

    fn execute(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        ask: &Ask<'_>,
        command: &Command<'_>,
        found: Found,
    ) {
        match command {
            Command::Send { key, text, reply_to, parts, attachments, .. } => {
                let reply_to = reply_to.unwrap_or_default();
                let said = Said { reply_to, text, parts, files: attachments };
                self.send(cx, room, ask, *key, said, found);
            }
            Command::Edit { .. } | Command::Delete { .. } | Command::React { .. } => {
                self.change(cx, room, ask, command, found);
            }
            Command::Read { seq, .. } => self.read(cx, room, ask, *seq),
            Command::Delivered { seq, .. } => self.delivered(cx, room, ask, *seq),
            Command::MarkUnread { seq, .. } => self.mark_unread(cx, room, ask, *seq),
            Command::Clear { seq, .. } => self.clear(cx, room, ask, *seq),
            Command::Typing { on, .. } => self.typing(cx, room, ask, *on),
            Command::History(history) => self.history(cx, room, ask, history),
            Command::Subscribe(resume) => self.subscribe(cx, room, ask, resume.cursor),
            Command::Members { after, limit, .. } => self.members(cx, room, ask, *after, *limit),
            Command::About { .. } => self.about(cx, room, ask),
            Command::Pins { .. } => self.pins(cx, room, ask),
            Command::Links { .. } => self.links(cx, room, ask),
            Command::Look { secret, .. } => self.look(cx, room, ask, secret),
            Command::Bans { .. }
            | Command::Mutes { .. }
            | Command::Requests { .. }
            | Command::ModerationLog { .. }
            | Command::Reports { .. } => self.list(cx, room, ask, command),
            Command::Unsubscribe { .. } => self.ok(cx, room, ask, &Done::default()),
            Command::Hello { .. }
            | Command::Refresh { .. }
            | Command::Ping
            | Command::Sync { .. }
            | Command::Discover { .. }
            | Command::MyRequests { .. }
            | Command::Presence { .. } => {
                // The home shard answers these.
                self.refuse(cx, room, ask, ErrorCode::UnknownOp.into());
            }
            _ => self.metadata(cx, room, ask, command, found),
        }
    }

    /// The store answered a request of `room`.
    pub(super) fn answered(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        why: Pending,
        reply: StoreReply,
    ) {
        room.requests -= 1;
        match why {
            // Where a message with files is that the store did not note is found by a later look.
            Pending::Load | Pending::Old | Pending::Release | Pending::Posted => {}
            Pending::Key(held) => self.key_found(cx, room, &held, reply),
            Pending::Target(wait) => self.target_found(cx, room, *wait, reply),
            Pending::Files(wait) => self.attached(cx, room, *wait, reply),
            Pending::Leave(wait) => self.leaving(cx, room, *wait),
            Pending::Page(wait) => self.page_found(cx, room, *wait, reply),
            Pending::Time(wait) => self.time_found(cx, room, *wait, reply),
            Pending::Count { user, after } => self.counted(cx, room, user, after, reply),
            Pending::Clear(wait) => self.cleared(cx, room, *wait, &reply),
            Pending::Wrote(user) => room.wrote(user, &reply),
            Pending::Apply => self.applied(cx, room, reply),
            Pending::Rows => self.rows_read(cx, room, reply),
            Pending::Confirm { version, seq } => self.confirmed(cx, room, (version, seq), &reply),
            Pending::Kept { version, seq } => self.picture_kept(cx, room, (version, seq), &reply),
            Pending::Note => self.noted(cx, room, &reply),
            Pending::List(wait) => self.listed(cx, room, *wait, reply),
        }
        self.settle(cx, room);
    }

    /// Answers with a frame once all that the room's state depends on is committed.
    pub(super) fn answer(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        to: ConnectionRef,
        frame: Arc<Frame>,
    ) {
        self.emit(cx, room, room.depends, Item::Reply { to, frame, behind: false, late: false });
    }

    /// An answer that speaks of events: the connection is told those before it first.
    pub(super) fn answer_behind(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        to: ConnectionRef,
        frame: Arc<Frame>,
    ) {
        self.emit(cx, room, room.depends, Item::Reply { to, frame, behind: true, late: false });
    }

    pub(super) fn ok(&mut self, cx: &mut Context<'_>, room: &mut Room, ask: &Ask<'_>, done: &Done) {
        if !ask.silent {
            let frame = cx.shared.pool.frame(|out| encode_ok(out, ask.re, done));
            self.answer(cx, room, ask.from, frame);
        }
    }

    pub(super) fn refuse(&mut self, cx: &mut Context<'_>, room: &mut Room, ask: &Ask<'_>, reject: Reject) {
        if let Some(frame) = refusal(cx, ask, &reject) {
            self.answer(cx, room, ask.from, frame);
        }
    }

    /// Answers a retry with the first attempt's result, or a misuse of its key.
    pub(super) fn repeat(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        ask: &Ask<'_>,
        used: &Used,
        hash: u64,
    ) {
        self.repeat_begun(cx, room, ask, used, hash, None);
    }

    /// As [`Self::repeat`], of a 1:1 with its user's side of it.
    pub(super) fn repeat_begun(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        ask: &Ask<'_>,
        used: &Used,
        hash: u64,
        request: Option<RequestSide>,
    ) {
        if used.hash.is_some_and(|known| known != hash) {
            return self.refuse(cx, room, ask, ErrorCode::IdempotencyConflict.into());
        }
        cx.shared.counters.repeats += 1;
        let done = Done {
            room: Some(room.id),
            seq: used.seq,
            n: used.n,
            id: Some(used.id).filter(|id| !id.is_nil()),
            time: Some(used.wall).filter(|wall| wall.0 > 0),
            level: Some(room.level()),
            unread: None,
            mentions: None,
            version: 0,
            request,
            repeated: ask.from.slot.api_number().is_some(),
        };
        let frame = cx.shared.pool.frame(|out| encode_ok(out, ask.re, &done));
        match used.at.filter(|at| room.level() == AckLevel::Replicated && !self.drains.is_drained(*at)) {
            Some(at) => match self.may_wait(cx, room) {
                Ok(()) => self.wait_for_store(cx, room, ask, at, frame),
                Err(reject) => self.refuse(cx, room, ask, reject),
            },
            None => self.answer_behind(cx, room, ask.from, frame),
        }
    }

    pub(super) fn scope(room: &Room, sender: UserId, key: Key) -> Scope {
        Scope { room: room.id, sender, key }
    }

    /// Whether the journal takes an event now.
    pub(super) fn may_append(&self, cx: &Context<'_>) -> Result<(), Reject> {
        let limits = &cx.shared.config.limits;
        if cx.shared.journal == JournalState::Full
            || self.drains.count() >= limits.undrained_records_per_shard_max as usize
        {
            return Err(Reject::after(ErrorCode::StorageFull, 5_000));
        }
        let waiting = cx.shared.appended.0.saturating_sub(cx.shared.committed.0);
        if cx.shared.journal == JournalState::Behind
            || waiting >= u64::from(limits.uncommitted_records_max)
            || cx.fx.records.bytes() >= APPENDED_BYTES_MAX
        {
            return Err(Reject::after(ErrorCode::Busy, 100));
        }
        Ok(())
    }

    /// Gives an event its number and appends its record.
    #[expect(clippy::too_many_arguments, reason = "all of one record's head")]
    pub(super) fn append(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        kind: RecordKind,
        wall: lynk_domain::Millis,
        sender: UserId,
        key: Key,
        target: Seq,
        body: &Body<'_>,
    ) -> Appended {
        let waits = room.level() != AckLevel::Memory || kind == RecordKind::Meta;
        if room.level() == AckLevel::Memory {
            reserve(cx, room);
        }
        let seq = room.top.next();
        let head = RecordHead { kind, flags: 0, room: room.id, seq, rev: seq, wall, sender, key };
        let lsn = cx.append(head, |out| body.encode(out));
        let at = RecordAt { source: cx.shared.config.source, lsn };
        let after = match waits {
            true => lsn,
            false if seq > room.reserved.before => room.reserved.lsn,
            false => Lsn(0),
        };
        room.top = seq;
        room.appended = lsn;
        room.active = wall;
        room.depends = room.depends.max(after);
        if matches!(kind, RecordKind::Edit | RecordKind::Delete | RecordKind::Reaction) {
            room.rewritten = room.rewritten.max(after);
        }
        room.backlog.push(Undrained { at, seq, kind, target });
        self.drains.push(at, room.id);
        cx.shared.counters.events += 1;
        Appended { seq, at, after }
    }
}

/// Appends the record of a read state; nobody waits for it.
pub(super) fn append_position(
    cx: &mut Context<'_>,
    room: &mut Room,
    kind: RecordKind,
    user: UserId,
    reached: Seq,
) {
    let round = match kind {
        RecordKind::Read => room.rounds.get(&user).copied().unwrap_or(0),
        _ => 0,
    };
    let head = RecordHead {
        kind,
        flags: 0,
        room: room.id,
        seq: reached,
        rev: RecordHead::rev_in_round(round, reached),
        wall: cx.now.wall,
        sender: user,
        key: Key::NIL,
    };
    room.appended = cx.append(head, |out| Body::Empty.encode(out));
}

/// Reserves numbers for a room whose messages are shown before they are journaled: after a crash none of
/// them may mean another message.
fn reserve(cx: &mut Context<'_>, room: &mut Room) {
    if room.reserved.to.0 >= room.top.0 + RESERVE_AHEAD {
        return;
    }
    let to = Seq(room.reserved.to.max(room.top).0 + RESERVE_BLOCK);
    room.reserved.before = room.reserved.to;
    room.reserved.to = to;
    room.holes = true;
    append_position(cx, room, RecordKind::Reserve, UserId::NIL, to);
    room.reserved.lsn = room.appended;
}

/// The error frame of a refused command, counted; `None` when it gets no answer.
pub(super) fn refusal(cx: &mut Context<'_>, ask: &Ask<'_>, reject: &Reject) -> Option<Arc<Frame>> {
    let frame = error_frame(cx, ask.re, ask.room, reject);
    Some(frame).filter(|_| !ask.silent)
}

/// The error frame that answers a command, counted.
pub(super) fn error_frame(
    cx: &mut Context<'_>,
    re: u64,
    room: Option<RoomId>,
    reject: &Reject,
) -> Arc<Frame> {
    if let Some(count) = cx.shared.counters.rejects.get_mut(reject.code as usize) {
        *count += 1;
    }
    let request = cx.shared.random();
    cx.shared.pool.frame(|out| encode_error(out, re, room, reject, request))
}

/// What a client is told when a store could not answer.
pub(super) fn store_reject(error: StoreError) -> Reject {
    match error {
        StoreError::Corrupt => ErrorCode::Internal.into(),
        _ => Reject::after(ErrorCode::Unavailable, 1_000),
    }
}
