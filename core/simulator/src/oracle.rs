//! What must hold, whatever happens: the judges of a world.
//!
//! The [`Ledger`] follows the records of all journals and compares everything that leaves an engine with
//! them. Each client checks its own streams (contiguous, answered once) beside it. The first broken promise ends the
//! run.

mod erased;
mod files;
mod frames;
mod pictures;
mod shelf;
mod strangers;
mod truth;

use std::collections::{BTreeMap, BTreeSet};

use lynk_domain::Seq;
use lynk_domain::{AckLevel, HistoryVisibility, Key, MediaId, Millis, Role, RoomId, RoomKind, UserId};
use lynk_model::memory::MemoryMessages;
use lynk_model::port::{MessageStore, ready};
use lynk_model::{
    Body, MENTIONS_COUNTED_MAX, MetaChange, MetaEvent, MetaTransaction, Record, RecordHead, RecordKind,
};

use crate::client::Change;
use crate::wire::{Ev, SyncRoom};

use files::Files;
pub(crate) use frames::Asked;
use pictures::Pictures;
use shelf::Shelf;
use strangers::Conversations;
pub(crate) use truth::{Entry, Floor, Journal, RoomTruth, Said, Settings, Step};

/// A broken promise, for people.
pub(crate) type Check = Result<(), String>;

/// What the world remembers of a record that takes no seq, or of one that does.
#[derive(Clone, Copy, Debug)]
struct Place {
    room: RoomId,
    kind: RecordKind,
    seq: u64,
}

/// One journal as the world saw it being written.
#[derive(Debug, Default)]
struct JournalTruth {
    records: Vec<Place>,
    committed: u64,
}

/// A block between two users, as its commands were answered.
#[derive(Clone, Copy, Debug)]
struct Block {
    /// When the blocking user was told that it is set.
    since: Step,
}

/// A removal or mute that is no event yet.
#[derive(Clone, Copy, Debug)]
struct Promise {
    /// Who is banned by it.
    banned: Option<UserId>,
    /// The server's time when it was acknowledged.
    wall: Millis,
}

/// The truth about every room.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    rooms: BTreeMap<RoomId, RoomTruth>,
    journals: BTreeMap<Journal, JournalTruth>,
    /// Keys whose only attempt was refused for good: they must never make an event.
    refused: BTreeSet<(UserId, RoomId, Key)>,
    /// Removals and mutes that were acknowledged before they are events: they must become some.
    promised: BTreeMap<(UserId, RoomId, Key), Promise>,
    /// (who blocks, whom).
    blocks: BTreeMap<(UserId, UserId), Block>,
    /// Members as the relational store has them: its events may be journaled later.
    granted: BTreeSet<(RoomId, UserId)>,
    /// Blocks as the relational store has them: (who blocks, whom).
    stored_blocks: BTreeSet<(UserId, UserId)>,
    /// Blocks that it had at some time.
    ever_blocked: BTreeSet<(UserId, UserId)>,
    /// How far the message store has each journal.
    drained: BTreeMap<Journal, u64>,
    /// For how long messages are kept, in milliseconds; 0 for ever.
    life: u64,
    /// What else the store of rooms has.
    shelf: Shelf,
    files: Files,
    pictures: Pictures,
    conversations: Conversations,
    /// Accounts that are erased: when all that they said was taken back, once it was.
    erased: BTreeMap<UserId, Option<Step>>,
}

impl Ledger {
    /// Of rooms whose messages are kept for `life` milliseconds, 0 for ever.
    pub(crate) fn new(life: u64) -> Self {
        Self { life, ..Self::default() }
    }

    /// The message store has each journal up to so far.
    pub(crate) fn drain(&mut self, drained: &BTreeMap<Journal, u64>) {
        self.drained.clone_from(drained);
    }

    pub(crate) fn room(&self, room: RoomId) -> Option<&RoomTruth> {
        self.rooms.get(&room)
    }

    pub(crate) fn rooms(&self) -> impl Iterator<Item = &RoomTruth> {
        self.rooms.values()
    }

    /// The rooms that a user is in, as the relational store has them.
    pub(crate) fn rooms_of(&self, user: UserId) -> BTreeSet<RoomId> {
        let own = self.granted.iter().filter(|(_, member)| *member == user).map(|(room, _)| *room);
        own.filter(|room| !self.keeps_out(*room, user)).collect()
    }

    /// The relational store carried out a transaction for the first time; `asked`: a 1:1 as a request.
    ///
    /// # Errors
    /// When it should not have been asked to.
    pub(crate) fn transaction(&mut self, tx: &MetaTransaction, asked: bool) -> Check {
        self.shelve(tx)?;
        self.converse(tx, asked)?;
        self.pictured(tx)?;
        match &tx.change {
            MetaChange::Begin { user, .. } => {
                self.granted.extend([(tx.room, tx.actor), (tx.room, *user)]);
            }
            MetaChange::Create { members, .. } => {
                self.granted.extend(members.iter().map(|(user, _)| (tx.room, *user)));
            }
            MetaChange::Block { by, user, on: true } => {
                self.stored_blocks.insert((*by, *user));
                self.ever_blocked.insert((*by, *user));
            }
            MetaChange::Block { by, user, on: false } => {
                self.stored_blocks.remove(&(*by, *user));
            }
            MetaChange::Enter { .. } => {
                self.granted.insert((tx.room, tx.actor));
            }
            MetaChange::Event(MetaEvent::Joined { user, .. }) | MetaChange::Accept { user } => {
                self.granted.insert((tx.room, *user));
            }
            MetaChange::Event(MetaEvent::Deleted) => self.granted.retain(|(room, _)| *room != tx.room),
            MetaChange::Event(event) if event.removes_subject() => {
                self.granted.remove(&(tx.room, event.subject().unwrap_or_default()));
            }
            _ => {}
        }
        let (row, founders) = match &tx.change {
            MetaChange::Create { row, members } => (row, members.iter().map(|(user, _)| *user).collect()),
            MetaChange::Begin { row, user, .. } => (row, vec![tx.actor, *user]),
            _ => return Ok(()),
        };
        let truth = || RoomTruth::new(tx.room, row.kind, Settings::of(row), founders);
        self.rooms.entry(tx.room).or_insert_with(truth);
        Ok(())
    }

    /// An engine appended a record.
    pub(crate) fn append(&mut self, journal: Journal, lsn: u64, record: &Record<'_>) -> Check {
        let head = record.head;
        let truth = self.journals.entry(journal).or_default();
        if lsn != truth.records.len() as u64 + 1 {
            return Err(format!("journal {journal:?}: lsn {lsn} after {}", truth.records.len()));
        }
        truth.records.push(Place { room: head.room, kind: head.kind, seq: head.seq.0 });
        if head.kind == RecordKind::Retain {
            let floor = Floor { seq: head.seq.0, journal, lsn, committed: None };
            let life = self.life_of(head.room);
            let room = self.rooms.get_mut(&head.room).ok_or("a room that does not exist is cut")?;
            return room.retain(floor, head.wall, life);
        }
        if !head.kind.takes_seq() {
            return Ok(());
        }
        if let Ok(Body::Meta { event: MetaEvent::Joined { user, .. }, .. }) =
            Body::decode(head.kind, record.payload)
        {
            self.comes_in(&head, user)?;
        }
        if head.kind == RecordKind::Message
            && let Ok(Body::Message { parts, .. }) = Body::decode(head.kind, record.payload)
        {
            let files: Vec<MediaId> = parts.media().collect();
            self.carries((head.room, head.seq.0), head.sender, &files)?;
        }
        let Some(room) = self.rooms.get_mut(&head.room) else {
            return Err(format!("{}: an event of a room that the store does not have", head.room));
        };
        if self.refused.contains(&(head.sender, head.room, head.key)) {
            return Err(format!("{}: key {} was refused for good and made an event", head.room, head.key));
        }
        if head.kind == RecordKind::Message
            && let Ok(Body::Message { reply_to, .. }) = Body::decode(head.kind, record.payload)
        {
            room.answers(head.sender, reply_to.0)?;
        }
        if head.kind == RecordKind::Message
            && let Ok(Body::Message { parts, .. }) = Body::decode(head.kind, record.payload)
            && let Some(stranger) = parts
                .mentions
                .users()
                .iter()
                .find(|user| !room.is_member(**user) && !self.granted.contains(&(head.room, **user)))
        {
            return Err(format!("{}: a message mentions {stranger}, who is no member", head.room));
        }
        if head.kind == RecordKind::Message
            && let Some(peer) = room.peer(head.sender)
            && let Some(block) =
                [(peer, head.sender), (head.sender, peer)].iter().find_map(|b| self.blocks.get(b))
        {
            return Err(format!(
                "{}: a message across a block that stands since step {}",
                head.room, block.since
            ));
        }
        if head.kind == RecordKind::Delete && room.is_deleted() && !self.erased.contains_key(&head.sender) {
            return Err(format!("{}: a delete of {} after the room was deleted", head.room, head.sender));
        }
        room.append(journal, lsn, record)?;
        match self.rooms.get(&head.room).and_then(|room| room.events.get(&head.seq.0)) {
            Some(entry) => self.may_say(head.room, head.sender, &entry.said),
            None => Ok(()),
        }
    }

    /// Somebody becomes a member: not by itself where that needs a link, and not while a ban is promised.
    fn comes_in(&self, head: &RecordHead, user: UserId) -> Check {
        let Some(truth) = self.rooms.get(&head.room) else { return Ok(()) };
        let open = truth.settings_before(u64::MAX).kind == RoomKind::Public;
        if head.sender == user && !open && !self.came_by_link(head.room, user, head.key) {
            return Err(format!("{}: {user} joins by itself what is not open to everybody", head.room));
        }
        let kept = |by: &UserId, key: &Key| truth.keys.contains_key(&(*by, *key));
        let barred = self.promised.iter().find(|((by, room, key), promise)| {
            *room == head.room && promise.banned == Some(user) && promise.wall < head.wall && !kept(by, key)
        });
        match barred {
            Some(((by, _, _), _)) => {
                Err(format!("{}: {user} joins although {by} was told that it is banned", head.room))
            }
            None => Ok(()),
        }
    }

    /// A journal reported that its records up to `lsn` are synced.
    pub(crate) fn commit(&mut self, journal: Journal, lsn: u64, step: Step) -> Check {
        let truth = self.journals.entry(journal).or_default();
        if lsn < truth.committed || lsn > truth.records.len() as u64 {
            return Err(format!(
                "journal {journal:?}: commit {lsn} after {} of {}",
                truth.committed,
                truth.records.len()
            ));
        }
        for (at, place) in (1..).zip(&truth.records).skip(truth.committed as usize) {
            if at > lsn {
                break;
            }
            if place.kind == RecordKind::Retain {
                let floors = self.rooms.get_mut(&place.room).map(|room| &mut room.floors);
                let same = |floor: &&mut Floor| (floor.journal, floor.lsn) == (journal, at);
                if let Some(floor) = floors.and_then(|floors| floors.iter_mut().find(same)) {
                    floor.committed = Some(step);
                }
            }
            if place.kind.takes_seq()
                && let Some(entry) =
                    self.rooms.get_mut(&place.room).and_then(|r| r.events.get_mut(&place.seq))
            {
                entry.committed = Some(step);
            }
        }
        truth.committed = lsn;
        Ok(())
    }

    /// The process died. `survives` tells of each record whether a start finds it, in a journal or in the store.
    /// Returns how many events are gone that somebody had seen.
    ///
    /// # Errors
    /// When a committed record is gone, or one that does not wait for no crash was seen and is gone.
    pub(crate) fn crash(
        &mut self,
        step: Step,
        survives: impl Fn(Journal, u64) -> bool,
    ) -> Result<u64, String> {
        for (journal, truth) in &mut self.journals {
            let mut end = truth.records.len() as u64;
            for lsn in 1..=end {
                if survives(*journal, lsn) {
                    continue;
                }
                if lsn <= truth.committed {
                    let place = truth.records[lsn as usize - 1];
                    return Err(format!(
                        "committed and lost: journal {journal:?} lsn {lsn} ({:?} {} of {})",
                        place.kind, place.seq, place.room
                    ));
                }
                end = lsn - 1;
                break;
            }
            for lsn in end + 1..=truth.records.len() as u64 {
                if survives(*journal, lsn) {
                    return Err(format!(
                        "journal {journal:?}: lsn {lsn} survives behind a hole at {}",
                        end + 1
                    ));
                }
            }
            truth.records.truncate(end as usize);
            truth.committed = end;
        }
        let journals = &self.journals;
        let mut known = 0;
        for room in self.rooms.values_mut() {
            let kept = |e: &Entry| journals.get(&e.journal).is_some_and(|j| e.lsn <= j.committed);
            for entry in room.crash(kept) {
                if entry.observed && entry.waits {
                    return Err(format!(
                        "{}: event {} was told to clients and is lost",
                        room.room, entry.seq
                    ));
                }
                known += u64::from(entry.observed);
            }
            for entry in room.events.values_mut() {
                entry.committed.get_or_insert(step);
            }
            room.floors
                .retain(|floor| journals.get(&floor.journal).is_some_and(|j| floor.lsn <= j.committed));
            for floor in &mut room.floors {
                floor.committed.get_or_insert(step);
            }
        }
        self.abandon_files();
        Ok(known)
    }

    /// Like [`Self::crash`], without one: every committed record would be found.
    pub(crate) fn would_survive(&self, survives: impl Fn(Journal, u64) -> bool) -> Check {
        for (journal, truth) in &self.journals {
            if let Some(lsn) = (1..=truth.committed).find(|lsn| !survives(*journal, *lsn)) {
                return Err(format!(
                    "a power cut now would take lsn {lsn} of {journal:?}, which is committed"
                ));
            }
        }
        Ok(())
    }

    /// Every row of the message store is what the drained events make.
    pub(crate) fn stored(&self, store: &MemoryMessages) -> Check {
        for room in self.rooms.values() {
            for (seq, current) in room.state(|_| true) {
                if seq <= room.floor() {
                    if let Ok(Some(_)) = ready(store.message(room.room, Seq(seq))) {
                        return Err(format!("{}: message {seq} is removed and stored", room.room));
                    }
                    continue;
                }
                let row = ready(store.message(room.room, Seq(seq)))
                    .ok()
                    .flatten()
                    .ok_or_else(|| format!("{}: message {seq} is drained and not stored", room.room))?;
                let files: Vec<MediaId> = row.row.parts.media().collect();
                let told = (row.row.text.as_str(), &row.row.parts.mentions, &files, row.row.deleted.0);
                let expected = (current.text.as_str(), &current.mentions, &current.files, current.deleted);
                if told != expected {
                    return Err(format!(
                        "{}: message {seq} is stored as {told:?}, not {expected:?}",
                        room.room
                    ));
                }
            }
        }
        Ok(())
    }

    /// A change was acknowledged as the event at `seq`.
    ///
    /// # Errors
    /// When that event is not what was asked for.
    pub(crate) fn acked(&self, user: UserId, room: RoomId, key: Key, seq: u64, change: &Change) -> Check {
        let Some(truth) = self.rooms.get(&room) else {
            return Err(format!("{room}: acknowledged and unknown"));
        };
        let Some(entry) = truth.events.get(&seq) else {
            // Bytes that a dead process had sent may arrive after the crash that took a `memory` event.
            let lost = truth.ever_memory;
            return if lost { Ok(()) } else { Err(format!("{room}: event {seq} is acknowledged and gone")) };
        };
        let same = match (&entry.said, change) {
            (
                Said::Message { text, reply_to, mentions, files, .. },
                Change::Send { text: sent, reply_to: to, mentions: whom, files: with },
            ) => (text, reply_to, mentions, files) == (sent, to, whom, with),
            (Said::Edit { target, text, mentions }, Change::Edit { seq, text: sent, mentions: whom }) => {
                (target, text, mentions) == (seq, sent, whom)
            }
            (Said::Delete { target }, Change::Delete { seq }) => target == seq,
            (Said::Reaction { target, on, emoji }, Change::React { seq, emoji: sent, on: set }) => {
                target == seq && on == set && emoji == sent
            }
            (Said::Meta { .. }, Change::Send { .. } | Change::Edit { .. } | Change::Delete { .. }) => false,
            (Said::Meta { .. }, _) => true,
            _ => false,
        };
        if !same || entry.sender != user {
            return Err(format!("{room}: {} was acknowledged as {:?}", change.op(), entry.said));
        }
        if entry.key != key && entry.kind != RecordKind::Meta {
            return Err(format!("{room}: key {key} was acknowledged as event {seq} of key {}", entry.key));
        }
        Ok(())
    }

    /// A command with a key was refused for good on its only attempt.
    pub(crate) fn refused(&mut self, user: UserId, room: RoomId, key: Key) -> Check {
        if let Some(seq) = self.rooms.get(&room).and_then(|r| r.keys.get(&(user, key))) {
            return Err(format!("{room}: key {key} made event {seq} and was refused"));
        }
        self.refused.insert((user, room, key));
        Ok(())
    }

    /// A removal or mute was acknowledged that is no event yet.
    pub(crate) fn promised(&mut self, user: UserId, room: RoomId, key: Key, change: &Change, wall: Millis) {
        let banned = if let Change::Ban { user, .. } = change { Some(*user) } else { None };
        self.promised.entry((user, room, key)).or_insert(Promise { banned, wall });
    }

    /// A promise that is not kept: of one room, or any.
    pub(crate) fn unkept(&self, of: Option<RoomId>) -> Option<String> {
        let kept = |(user, room, key): &&(UserId, RoomId, Key)| {
            self.rooms.get(room).is_some_and(|truth| truth.keys.contains_key(&(*user, *key)))
        };
        let mut asked = self.promised.keys().filter(|(_, room, _)| of.is_none_or(|of| of == *room));
        let (_, room, key) = asked.find(|promise| !kept(promise))?;
        Some(format!("{room}: key {key} was acknowledged and made no event"))
    }

    /// A user was told that a block is set.
    pub(crate) fn blocked(&mut self, by: UserId, user: UserId, step: Step) {
        self.blocks.insert((by, user), Block { since: step });
    }

    /// A user asks to lift a block: from here on it may or may not stand.
    pub(crate) fn unblocking(&mut self, by: UserId, user: UserId) {
        self.blocks.remove(&(by, user));
    }

    /// Something was said in a room by a command of `issued`.
    ///
    /// # Errors
    /// When a block stood between the two of a 1:1 by then.
    pub(crate) fn said(&self, user: UserId, room: RoomId, issued: Step) -> Check {
        let Some(peer) = self.rooms.get(&room).and_then(|r| r.peer(user)) else { return Ok(()) };
        let either = [self.blocks.get(&(user, peer)), self.blocks.get(&(peer, user))];
        match either.into_iter().flatten().find(|block| block.since < issued) {
            Some(block) => Err(format!("{room}: said across a block that stands since step {}", block.since)),
            None => Ok(()),
        }
    }

    /// Whether `watcher` may see whether `user` is online: a room is shared, other than a 1:1 that `watcher` opened, and
    /// neither blocks the other.
    pub(crate) fn sees(&self, watcher: UserId, user: UserId) -> bool {
        let apart = |a, b| self.stored_blocks.contains(&(a, b));
        let shared = |room: &RoomTruth| {
            let opened = room.kind == RoomKind::Direct && room.founders.first() == Some(&watcher);
            !opened && self.shows(room.room) && room.is_member(watcher) && room.is_member(user)
        };
        let gone = self.erased.contains_key(&user);
        !gone && !apart(watcher, user) && !apart(user, watcher) && self.rooms.values().any(shared)
    }

    /// A question about a room was answered: by right, if the asker was a member at some time since it asked, and of its bans only to
    /// moderators and above.
    ///
    /// # Errors
    /// When it was not.
    pub(crate) fn may_look(&self, user: UserId, room: RoomId, ev: Ev, issued: Step) -> Check {
        let Some(truth) = self.rooms.get(&room) else { return Err(format!("{room}: {ev:?} of nothing")) };
        let granted = self.granted.contains(&(room, user));
        let member = granted || truth.member_since(user, issued).is_some();
        self.may_ask(user, room, issued)?;
        let open = ev == Ev::About && truth.was_public();
        if !member && !open {
            return Err(format!("{room}: {ev:?} for {user}, who is no member"));
        }
        let moderated = truth.roles.get(&user).is_some_and(|role| *role > Role::Member);
        // A role may have been taken between the answer and now, which leaves its event behind.
        let was = || truth.role_since(user, issued);
        if !matches!(ev, Ev::About | Ev::Pins) && !moderated && !was() {
            return Err(format!("{room}: {ev:?} for {user}, who is no moderator"));
        }
        Ok(())
    }

    /// Nothing changes any more: the members of a room, and the rooms of a user.
    ///
    /// # Errors
    /// When the list is not that of the log.
    pub(crate) fn members_are(&self, room: RoomId, told: &[UserId]) -> Check {
        let Some(truth) = self.rooms.get(&room) else { return Err(format!("{room}: members of nothing")) };
        let told: BTreeSet<UserId> = told.iter().copied().collect();
        let expected: BTreeSet<UserId> =
            truth.members.keys().filter(|user| truth.is_member(**user)).copied().collect();
        if told == expected { Ok(()) } else { Err(format!("{room}: members {told:?}, not {expected:?}")) }
    }

    /// Whether a user's rooms by the logs are those that the store has.
    pub(crate) fn agrees(&self, user: UserId) -> bool {
        let logged = self.rooms.values().filter(|room| room.is_member(user)).map(|room| room.room);
        logged.filter(|room| !self.keeps_out(*room, user)).collect::<BTreeSet<_>>() == self.rooms_of(user)
    }

    /// Nothing changes any more: the rooms of a user as `sync` lists them.
    ///
    /// # Errors
    /// When the list, or a room's numbers, are not those of the log.
    pub(crate) fn rooms_are(&self, user: UserId, told: &[SyncRoom]) -> Check {
        let listed: BTreeSet<RoomId> = told.iter().filter_map(|room| room.room).collect();
        let own = self.rooms.values().filter(|room| room.is_member(user)).map(|room| room.room);
        let expected: BTreeSet<RoomId> = own.filter(|room| !self.keeps_out(*room, user)).collect();
        if listed != expected {
            return Err(format!("{user}: sync lists {listed:?}, not {expected:?}"));
        }
        for room in told {
            let Some(truth) = room.room.and_then(|id| self.rooms.get(&id)) else { continue };
            self.cleared_row(user, room, truth)?;
            self.side_stands(truth.room, user, room.request.as_deref())?;
            self.picture_is(truth.room, room.avatar)?;
            let (Some(top), Some(read), Some(unread)) = (room.top, room.read, room.unread) else { continue };
            if let Some(mentions) = room.mentions {
                self.mentions_are(user, truth.room, (read, top), mentions, None)?;
            }
            let expected = truth.unread(user, (read, truth.floor(), top), |_| true);
            // The top of a room that reserves its numbers may lie beyond its last event.
            let top_right = top == truth.top() || truth.ever_memory && top > truth.top();
            if !top_right || unread != expected && !truth.lost_any {
                return Err(format!(
                    "{}: sync says top {top}, unread {unread}; it is {} and {expected}",
                    truth.room,
                    truth.top()
                ));
            }
        }
        Ok(())
    }

    /// How many unread messages mention a user, as an engine counted between `issued` and now; now exactly, when nothing changes any more
    /// and `issued` is `None`. Messages of somebody on the other side of a block do not count; where a block was set or lifted, they may.
    ///
    /// # Errors
    /// When it is another number.
    pub(crate) fn mentions_are(
        &self,
        user: UserId,
        room: RoomId,
        (read, top): (u64, u64),
        told: u64,
        issued: Option<Step>,
    ) -> Check {
        let Some(truth) = self.rooms.get(&room).filter(|truth| !truth.lost_any) else { return Ok(()) };
        let (mut least, mut most) = (0, 0);
        for (author, (always, ever)) in truth.mentions(user, (read, top), issued) {
            let pairs = [(author, user), (user, author)];
            let apart = pairs.iter().any(|pair| self.stored_blocks.contains(pair));
            let unsure = issued.is_some() && pairs.iter().any(|pair| self.ever_blocked.contains(pair));
            least += if apart || unsure { 0 } else { always };
            most += if apart && !unsure { 0 } else { ever };
        }
        let cap = u64::from(MENTIONS_COUNTED_MAX);
        if (least.min(cap)..=most.min(cap)).contains(&told) {
            return Ok(());
        }
        Err(format!(
            "{room}: {told} mentions of {user} from {read} to {top}, a recount says {least} to {most}"
        ))
    }

    /// Whether a member may read what was before it joined, in every setting that was valid since `step`.
    pub(crate) fn hides_past(&self, room: &RoomTruth, step: Step) -> bool {
        let now = room.settings_before(u64::MAX).visibility == HistoryVisibility::SinceJoin;
        let changed = room.events.values().rev().take_while(|e| e.committed.is_none_or(|at| at >= step));
        let stable = !changed
            .into_iter()
            .any(|e| matches!(&e.said, Said::Meta { event: MetaEvent::Settings { .. }, .. }));
        now && stable
    }

    /// Whether the event at `seq` may be spoken of now.
    fn may_tell(&self, room: &RoomTruth, seq: u64, level: Option<AckLevel>) -> Check {
        let Some(entry) = room.events.get(&seq) else {
            return if room.lost.contains_key(&seq) {
                Err(format!("{}: event {seq} was lost in a crash and is told again", room.room))
            } else {
                Err(format!("{}: event {seq} does not exist", room.room))
            };
        };
        let must = entry.waits || level.is_some_and(|l| l >= AckLevel::Local);
        if must && entry.committed.is_none() {
            return Err(format!("{}: event {seq} is told before it is committed", room.room));
        }
        let drained = self.drained.get(&entry.journal).copied().unwrap_or(0);
        if level == Some(AckLevel::Replicated) && drained < entry.lsn {
            return Err(format!("{}: event {seq} is called replicated and is not stored", room.room));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
