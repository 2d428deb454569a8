//! Rooms come into memory on first touch and leave it when nothing needs them there.
//!
//! Thread: the shard. What the store and the journals know is joined by the store bridge; the owner adds what only
//! it can tell: numbers reserved before a crash, outbox rows to journal, keys that were used.
//!
//! Invariants: a reloaded room is equal to the one that left, but for what lives in memory only (rates, typing).
//! Limits: `rooms_loaded_per_shard_max` rooms, `room_load_waiting_max` inputs waiting for each, [`BACKLOG_LOAD_MAX`]
//! records that the store does not have. What can fail: the
//! store; then everyone who waits is told, and the next touch tries again.

use lynk_domain::{Lsn, Millis, RoomId, Seq, ShardId};
use lynk_model::port::{body_hash, content_hash};
use lynk_model::{
    Body, LoadedRoom, Personal, RecordAt, StoreError, StoreReply, StoreRequest, StoredBody, StoredEvent,
};
use lynk_protocol::{ErrorCode, Reject, decode};

use super::backlog::{Backlog, Undrained};
use super::books::{Ask, Books, Held, Pending, store_reject};
use super::history::refuse_unloaded;
use super::keys::Used;
use super::room::{Member, Reserved, Room};
use super::window::{Entry, Window};
use super::{Owner, Place};
use crate::context::Context;
use crate::mail::{Mail, Removes};

/// Members that take as much memory as the rest of a room.
const MEMBERS_PER_WEIGHT: usize = 64;
/// Rooms that one eviction looks at, at most.
const EVICT_LOOKS_MAX: usize = 32;
/// By this part of the limit it may be passed while the rooms looked at cannot leave.
const OVERSHOOT: usize = 8;

/// Undrained records beyond which a room is not loaded: each is read one by one, and all of them are held at once. The
/// drainer is about to take them.
const BACKLOG_LOAD_MAX: usize = 50_000;

/// An input for a room that is not loaded.
#[derive(Clone, Debug)]
pub(super) enum Waiting {
    Command(Held),
    Peek { gather: u32, to: ShardId, user: lynk_domain::UserId },
}

/// A room outside memory: what of it waits in journals, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Away {
    pub(super) backlog: Backlog,
    /// The last record that was appended for it in its absence.
    appended: Lsn,
    loading: bool,
    waiting: Vec<Waiting>,
}

impl Away {
    pub(super) fn is_loading(&self) -> bool {
        self.loading
    }

    /// Notes a record that was appended for it.
    pub(super) fn noted(&mut self, record: Undrained) {
        self.appended = record.at.lsn;
        self.backlog.insert(record);
    }

    /// Whether nothing is lost when it is forgotten.
    pub(super) fn is_forgettable(&self) -> bool {
        self.backlog.is_empty() && !self.loading && self.waiting.is_empty()
    }
}

impl Owner {
    /// Keeps an input until its room is loaded.
    pub(super) fn wait(&mut self, cx: &mut Context<'_>, id: RoomId, input: Waiting) {
        let limits = &cx.shared.config.limits;
        let waiting_max = limits.room_load_waiting_max as usize;
        let (loading, backlog) = match self.rooms.get(&id) {
            Some(Place::Away(away)) => (away.loading, away.backlog.len()),
            _ => (false, 0),
        };
        if backlog > BACKLOG_LOAD_MAX {
            return turn_away(cx, &input, id, &Reject::after(ErrorCode::Busy, 1_000));
        }
        if !loading && (!self.make_space(cx) || !self.books.may_ask(cx)) {
            return turn_away(cx, &input, id, &Reject::after(ErrorCode::Busy, 200));
        }
        let window = cx.shared.config.limits.room_window_events_max;
        let place = self.rooms.entry(id).or_insert_with(|| Place::Away(Away::default()));
        let Place::Away(away) = place else { return };
        if away.waiting.len() >= waiting_max {
            return turn_away(cx, &input, id, &Reject::after(ErrorCode::Busy, 100));
        }
        away.waiting.push(input);
        if !away.loading {
            away.loading = true;
            let undrained = away.backlog.all();
            let request = StoreRequest::LoadRoom { room: id, window, undrained };
            self.books.ask_after(cx, away.appended, id, request, Pending::Load);
            self.loaded_count += 1;
        }
    }

    /// The store answered a load.
    pub(super) fn loaded(&mut self, cx: &mut Context<'_>, id: RoomId, reply: StoreReply) {
        let Some(Place::Away(away)) = self.rooms.get_mut(&id) else { return };
        let waiting = std::mem::take(&mut away.waiting);
        away.loading = false;
        let loaded = match reply {
            StoreReply::Loaded(loaded) => *loaded,
            StoreReply::Failed(error) => return self.load_failed(cx, id, &waiting, error),
            _ => return self.load_failed(cx, id, &waiting, StoreError::Corrupt),
        };
        let backlog = std::mem::take(&mut away.backlog);
        let memory_top = self.left_at.remove(&id);
        cx.shared.counters.room_loads += 1;
        let mut room = Box::new(self.books.open(cx, id, backlog, loaded, memory_top));
        for input in waiting {
            match input {
                Waiting::Command(held) => run_waiting(&mut self.books, cx, &mut room, &held),
                Waiting::Peek { gather, to, user } => self.books.peek(cx, &mut room, gather, to, user),
            }
        }
        self.books.settle(cx, &mut room);
        if room.info.is_none() && room.blocks.is_empty() && self.books.may_leave(cx, &room) {
            // Nobody may fill the memory with rooms that do not exist.
            self.rooms.remove(&id);
            self.loaded_count -= 1;
            return;
        }
        room.weight = weight(room.members.len(), cx.shared.config.limits.rooms_loaded_per_shard_max as usize);
        self.loaded_count += room.weight - 1;
        self.hand.push_back(id);
        self.rooms.insert(id, Place::Here(room));
    }

    fn load_failed(&mut self, cx: &mut Context<'_>, id: RoomId, waiting: &[Waiting], error: StoreError) {
        self.loaded_count -= 1;
        if matches!(self.rooms.get(&id), Some(Place::Away(away)) if away.is_forgettable()) {
            self.rooms.remove(&id);
        }
        for input in waiting {
            turn_away(cx, input, id, &store_reject(error));
        }
    }

    /// Makes room for one more in memory, when the limit is reached. `false` when nothing can leave.
    fn make_space(&mut self, cx: &mut Context<'_>) -> bool {
        let max = cx.shared.config.limits.rooms_loaded_per_shard_max as usize;
        if self.loaded_count < max {
            return true;
        }
        let mut left = 0;
        for _ in 0..EVICT_LOOKS_MAX.min(self.hand.len()) {
            let Some(id) = self.hand.pop_front() else { break };
            let Some(Place::Here(room)) = self.rooms.get_mut(&id) else { continue };
            let spared = std::mem::take(&mut room.touched);
            if spared || !self.books.may_leave(cx, room) {
                self.hand.push_back(id);
                continue;
            }
            self.evict(cx, id);
            left += 1;
            // Two for each one that comes, until what was passed is made up for.
            if left == 2 || self.loaded_count < max {
                break;
            }
        }
        left > 0 || self.loaded_count < max + max / OVERSHOOT
    }

    /// Drops a room from memory.
    pub(super) fn evict(&mut self, cx: &mut Context<'_>, id: RoomId) {
        let Some(Place::Here(room)) = self.rooms.remove(&id) else { return };
        // Numbers that were reserved and not used are no loss when the room left in order.
        if room.reserved.to > room.top {
            if self.left_at.len() >= cx.shared.config.limits.rooms_loaded_per_shard_max as usize {
                self.left_at.clear();
            }
            self.left_at.insert(id, room.top);
        }
        self.loaded_count -= room.weight;
        cx.shared.counters.room_evictions += 1;
    }
}

/// As how many rooms one of so many members counts: by the memory of its members, and never as so many that it alone
/// keeps the others out.
fn weight(members: usize, rooms_max: usize) -> usize {
    1 + (members / MEMBERS_PER_WEIGHT).min(rooms_max / 4)
}

/// Runs a command that waited for its room.
fn run_waiting(books: &mut Books, cx: &mut Context<'_>, room: &mut Room, held: &Held) {
    let decoded = decode(&held.raw);
    let Ok(command) = &decoded.command else { return };
    let ask = Ask::new(held.from, held.principal, decoded.re, command, &held.raw);
    if !books.is_revoked(cx, room, &ask) {
        books.run(cx, room, &ask, command);
    }
}

/// Answers an input whose room cannot be loaded now.
fn turn_away(cx: &mut Context<'_>, input: &Waiting, room: RoomId, reject: &Reject) {
    match input {
        Waiting::Command(held) => {
            let decoded = decode(&held.raw);
            if let Ok(command) = &decoded.command {
                let ask = Ask::new(held.from, held.principal, decoded.re, command, &held.raw);
                refuse_unloaded(cx, &ask, reject);
            }
        }
        Waiting::Peek { gather, to, .. } => {
            cx.post(*to, Mail::Peeked { gather: *gather, room, numbers: None });
        }
    }
}

impl Books {
    /// Whether nothing needs the room in memory.
    pub(super) fn may_leave(&self, cx: &Context<'_>, room: &Room) -> bool {
        let last = RecordAt { source: cx.shared.config.source, lsn: room.appended };
        room.subs.is_empty()
            && room.queued <= cx.shared.committed
            && (room.appended == Lsn(0) || self.drains.is_drained(last))
            && room.backlog.is_empty()
            && room.requests == 0
            && room.busy.is_empty()
            && room.held.is_empty()
            && room.moved.is_empty()
            && room.counting.is_empty()
            && room.metadata.is_idle()
            && room.undismissed.is_empty()
            && room.notes.is_empty()
    }

    /// A room out of what the store and the journals know. `memory_top`: where it stood when it left memory.
    fn open(
        &mut self,
        cx: &mut Context<'_>,
        id: RoomId,
        mut backlog: Backlog,
        loaded: LoadedRoom,
        memory_top: Option<Seq>,
    ) -> Room {
        backlog.learn_targets(&loaded.undrained);
        let head = loaded.head;
        let mut room = Room::empty(id, backlog);
        room.info = loaded.row.clone();
        room.epoch = head.epoch;
        room.floor = head.floor;
        room.top_n = head.top_n;
        room.version = head.version;
        // Without an orderly leave, any number of the reserved block may have been shown before a crash.
        let shown = memory_top.unwrap_or(head.reserved);
        room.top = head.top.max(shown);
        room.released = room.top;
        room.holes = head.reserved > Seq(0);
        room.reserved = Reserved { to: head.reserved, before: head.reserved, lsn: Lsn(0) };
        let member = |m: &lynk_model::MemberRow| {
            let Personal { cleared, cleared_n, .. } = m.personal;
            let member = Member::new(m.role, m.joined_version, m.joined_seq);
            (m.user, Member { cleared, cleared_n, added: m.by_stranger, ..member })
        };
        room.members = loaded.members.iter().map(member).collect();
        room.bans = loaded.bans.iter().map(|ban| (ban.user, ban.until)).collect();
        room.mutes = loaded.mutes.iter().map(|mute| (mute.user, mute.until)).collect();
        room.forget_ended(cx.now.wall);
        room.pins = loaded.pins.iter().copied().filter(|pin| *pin > room.floor).collect();
        room.links.clone_from(&loaded.links);
        room.blocks = loaded.blocks.iter().copied().collect();
        room.settle_restraints();

        self.remember_keys(cx, &mut room, &loaded.recent, &loaded.undrained);
        let journaled = find_versions(&loaded);
        find_joins(&mut room, &journaled);
        fill_window(cx, &mut room, loaded.recent, head.top);
        restore_slow_mode(&mut room, cx.now.wall);
        for state in &loaded.reads {
            if state.round > 0 {
                room.rounds.insert(state.user, state.round);
            }
            if room.members.contains_key(&state.user) {
                room.set_read(state.user, state.read);
            }
            if let Some(member) = room.members.get_mut(&state.user) {
                member.delivered = state.delivered;
                member.read_told = state.read;
            }
        }
        start_at_joins(&mut room);
        room.take_request(loaded.message_request);
        self.take_outbox(cx, &mut room, loaded.outbox, &journaled);
        self.take_intents(cx, &mut room, loaded.intents);
        // Only now: positions and slow mode are told by all of what was read.
        self.age_window(cx, &mut room);
        room
    }

    /// Keys that were used in the room: those of undrained records, which the store cannot find, and of the last
    /// events, so that a fresh key needs no look into the store.
    fn remember_keys(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        recent: &[StoredEvent],
        undrained: &[lynk_model::OwnedRecord],
    ) {
        for record in undrained.iter().filter(|r| r.head.kind.takes_seq() && !r.head.key.is_nil()) {
            let Ok(body) = Body::decode(record.head.kind, &record.payload) else { continue };
            let at = room.backlog.find(record.head.kind, record.head.seq).map(|record| record.at);
            let mut used = used_at(record.head.seq, record.head.wall);
            used.at = at;
            used.hash = body_hash(&body);
            if let Body::Message { id, n, .. } = body {
                (used.n, used.id) = (n, id);
            }
            let scope = Self::scope(room, record.head.sender, record.head.key);
            self.keys.insert(scope, used, cx.now.wall, &self.drains);
        }
        // A metadata event may be much older than its place in the log: it waited for the room store. Without any other the
        // newest is the best guess.
        let timely = recent.iter().find(|event| !matches!(event.body, StoredBody::Meta { .. }));
        let newest = recent.iter().map(|event| event.wall).max().unwrap_or(Millis(0));
        room.known_since = match recent.first() {
            Some(first) if first.seq > Seq(1) => timely.map_or(newest, |event| event.wall),
            // All of its events are removed, and their keys are in the store.
            None if room.floor > Seq(0) => cx.now.wall,
            _ => Millis(0),
        };
        let window = cx.shared.config.limits.dedupe_window_millis;
        let since = Millis(cx.now.wall.0.saturating_sub(window));
        for event in recent.iter().filter(|event| !event.key.is_nil()) {
            if event.wall < since {
                // Retries that come so late ask the store.
                room.known_since = room.known_since.max(event.wall);
                continue;
            }
            let scope = Self::scope(room, event.sender, event.key);
            if self.keys.used(&scope).is_some() {
                continue;
            }
            let mut used = used_at(event.seq, event.wall);
            match &event.body {
                // The text as sent is gone from the row; the store kept its hash.
                StoredBody::Edit { .. } => {
                    self.keys.suspect(&scope, cx.now.wall);
                    continue;
                }
                StoredBody::Message(view) if view.edited > Seq(0) || view.deleted > Seq(0) => {
                    self.keys.suspect(&scope, cx.now.wall);
                    continue;
                }
                StoredBody::Message(view) => {
                    (used.n, used.id) = (view.n, view.id);
                    used.hash = Some(content_hash(view.reply_to, &view.text, &view.parts));
                }
                StoredBody::Delete { target } => used.hash = body_hash(&Body::Delete { target: *target }),
                StoredBody::Reaction { target, on, emoji } => {
                    used.hash = body_hash(&Body::Reaction { target: *target, on: *on, emoji });
                }
                // Whoever repeats it asks for the hash.
                StoredBody::Meta { .. } => {}
            }
            self.keys.insert(scope, used, cx.now.wall, &self.drains);
        }
    }
}

fn used_at(seq: Seq, wall: Millis) -> Used {
    Used { seq, n: Default::default(), id: Default::default(), hash: None, wall, at: None }
}

/// Versions of the metadata events at hand, with their seqs.
fn find_versions(loaded: &LoadedRoom) -> Vec<(u64, Seq)> {
    let stored = loaded.recent.iter().filter_map(|event| match event.body {
        StoredBody::Meta { version, .. } => Some((version, event.seq)),
        _ => None,
    });
    let undrained =
        loaded.undrained.iter().filter_map(|record| match Body::decode(record.head.kind, &record.payload) {
            Ok(Body::Meta { version, .. }) => Some((version, record.head.seq)),
            _ => None,
        });
    stored.chain(undrained).chain(loaded.journaled.iter().copied()).collect()
}

/// Fills in the seqs of joins whose outbox rows were not confirmed.
fn find_joins(room: &mut Room, journaled: &[(u64, Seq)]) {
    for member in room.members.values_mut().filter(|member| member.joined_seq == Seq(0)) {
        let joined = journaled.iter().find(|(version, _)| *version == member.joined_version);
        member.joined_seq = joined.map_or(Seq(0), |(_, seq)| *seq);
    }
}

/// Members start reading at their join. Its record and the one of the position are two: a crash may keep only the first.
/// Who marked something unread may have gone back further. Nobody reads what it has deleted for itself.
fn start_at_joins(room: &mut Room) {
    let marked = |user| room.rounds.contains_key(user);
    let start = |user, member: &Member| {
        let joined = if marked(user) { Seq(0) } else { member.joined_seq };
        joined.max(member.cleared)
    };
    let starts = room.members.iter().map(|(user, member)| (*user, member.read, start(user, member)));
    let behind: Vec<_> = starts.filter(|(_, read, start)| read < start).collect();
    for (user, _, start) in behind {
        room.set_read(user, start);
    }
}

/// When members posted last, for slow mode: the window tells, unless it begins within the time that counts. Then whoever
/// is not in it may have posted just before it, and waits once as if the last event were its own.
fn restore_slow_mode(room: &mut Room, now: Millis) {
    let seconds = room.info.as_ref().map_or(0, |row| row.slow_mode_seconds);
    if seconds == 0 {
        return;
    }
    let first = room.window.iter().next().map(|entry| (entry.seq, entry.wall));
    let Some((first, since)) = first else { return };
    let reaches = first <= Seq(1) || since.0 + u64::from(seconds) * 1_000 <= now.0;
    let active = room.active;
    for member in room.members.values_mut() {
        let joined = room.window.get(member.joined_seq).map_or(Millis(0), |entry| entry.wall);
        member.posted = member.posted.max(joined);
        if !reaches && member.posted == Millis(0) && member.role == lynk_domain::Role::Member {
            member.posted = active;
        }
    }
}

/// Fills the window. A jump in the numbers is told as a loss.
fn fill_window(cx: &mut Context<'_>, room: &mut Room, recent: Vec<StoredEvent>, stored_top: Seq) {
    let limits = &cx.shared.config.limits;
    let pool = &mut cx.shared.pool;
    // Where nothing that happened is left.
    room.active = room.info.as_ref().map_or(Millis(0), |row| row.created);
    let first = recent.first().map_or(stored_top.next(), |first| first.seq);
    room.window = Window::new(first);
    let mut next = first;
    for event in recent {
        if event.seq < next {
            continue;
        }
        if event.seq > next {
            let to = Seq(event.seq.0 - 1);
            let lost = Entry::lost(pool, room.id, next, to, event.wall);
            room.window.push(pool, lost, limits);
        }
        next = event.seq.next();
        room.active = event.wall;
        if let (StoredBody::Message(_), Some(member)) = (&event.body, room.members.get_mut(&event.sender)) {
            member.posted = event.wall;
        }
        let entry = Entry::stored(pool, event);
        room.window.push(pool, entry, limits);
    }
    if next <= room.top {
        let lost = Entry::lost(pool, room.id, next, room.top, room.active);
        room.window.push(pool, lost, limits);
    }
    for entry in room.window.iter() {
        match entry.removes() {
            Removes::User(user) => room.removed.push_back((entry.seq, user)),
            Removes::Everybody => room.ended = Some(entry.seq),
            Removes::Nobody => {}
        }
    }
}
