//! One room as the journals have it: the model that everything observable is compared with.
//!
//! Built from the records that engines append, not from what engines say; a record becomes committed when its
//! journal reports it, and disappears when a crash took it.

use std::collections::{BTreeMap, BTreeSet};

use lynk_domain::{
    AckLevel, HistoryVisibility, Key, MediaId, MessageId, Millis, Role, RoomId, RoomKind, Seq, UserId,
};
use lynk_model::{Body, Mentions, MetaEvent, Record, RecordKind, RoomRow};

/// Number of a step of the world; orders everything that happens in it.
pub(crate) type Step = u64;

/// A journal of a boot: generation and shard.
pub(crate) type Journal = (u32, u16);

/// What an event of a room says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Said {
    Message { id: MessageId, n: u64, reply_to: u64, text: String, mentions: Mentions, files: Vec<MediaId> },
    Edit { target: u64, text: String, mentions: Mentions },
    Delete { target: u64 },
    Reaction { target: u64, on: bool, emoji: String },
    Meta { version: u64, event: MetaEvent },
}

/// One durable event.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    pub(crate) kind: RecordKind,
    pub(crate) sender: UserId,
    pub(crate) key: Key,
    pub(crate) wall: Millis,
    pub(crate) said: Said,
    pub(crate) journal: Journal,
    pub(crate) lsn: u64,
    /// When its commit was reported.
    pub(crate) committed: Option<Step>,
    /// Whether nobody may see it before it is committed.
    pub(crate) waits: bool,
    /// Whether a client was told about it.
    pub(crate) observed: bool,
}

/// A record that removed everything up to some event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floor {
    pub(crate) seq: u64,
    pub(crate) journal: Journal,
    pub(crate) lsn: u64,
    /// When its commit was reported.
    pub(crate) committed: Option<Step>,
}

/// From the event that made a user a member to the one that ended it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    pub(crate) from: u64,
    pub(crate) to: Option<u64>,
}

/// Settings as a `settings` event left them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Settings {
    pub(crate) level: AckLevel,
    pub(crate) visibility: HistoryVisibility,
    pub(crate) kind: RoomKind,
    pub(crate) members_max: u32,
    pub(crate) read_only: bool,
}

impl Settings {
    pub(crate) fn of(row: &RoomRow) -> Self {
        let RoomRow { level, visibility, kind, members_max, read_only, .. } = *row;
        Self { level, visibility, kind, members_max, read_only }
    }
}

/// A message after the changes up to some point.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Current {
    pub(crate) n: u64,
    pub(crate) sender: UserId,
    pub(crate) text: String,
    pub(crate) mentions: Mentions,
    pub(crate) files: Vec<MediaId>,
    pub(crate) edited: u64,
    pub(crate) deleted: u64,
    pub(crate) reactions: BTreeSet<(String, UserId)>,
}

/// A room.
#[derive(Clone, Debug)]
pub(crate) struct RoomTruth {
    pub(crate) room: RoomId,
    pub(crate) kind: RoomKind,
    pub(crate) initial: Settings,
    /// First members, from the transaction that created the room.
    pub(crate) founders: Vec<UserId>,
    pub(crate) events: BTreeMap<u64, Entry>,
    /// What was removed for its age, oldest first; the events stay here.
    pub(crate) floors: Vec<Floor>,
    /// Events that a crash took although somebody may have seen them; only of level `memory`.
    pub(crate) lost: BTreeMap<u64, Entry>,
    /// Highest seq ever told to anybody; a number is never given twice.
    pub(crate) observed_top: u64,
    pub(crate) members: BTreeMap<UserId, Vec<Span>>,
    /// Ends of bans and mutes; 0 for never.
    pub(crate) bans: BTreeMap<UserId, Millis>,
    pub(crate) mutes: BTreeMap<UserId, Millis>,
    /// Of members, and as they were of former ones.
    pub(crate) roles: BTreeMap<UserId, Role>,
    /// Number of the event that used a key.
    pub(crate) keys: BTreeMap<(UserId, Key), u64>,
    /// Whether the room ever was of level `memory`: then its numbers may jump after a crash.
    pub(crate) ever_memory: bool,
    /// Whether a crash happened since the last append.
    pub(crate) crashed: bool,
    /// Whether a crash ever took events: then ordinals have holes and unread counts are not exact.
    pub(crate) lost_any: bool,
}

impl RoomTruth {
    pub(crate) fn new(room: RoomId, kind: RoomKind, initial: Settings, founders: Vec<UserId>) -> Self {
        Self {
            room,
            kind,
            initial,
            founders,
            events: BTreeMap::new(),
            floors: Vec::new(),
            lost: BTreeMap::new(),
            observed_top: 0,
            members: BTreeMap::new(),
            bans: BTreeMap::new(),
            mutes: BTreeMap::new(),
            roles: BTreeMap::new(),
            keys: BTreeMap::new(),
            ever_memory: initial.level == AckLevel::Memory,
            crashed: false,
            lost_any: false,
        }
    }

    pub(crate) fn top(&self) -> u64 {
        self.events.last_key_value().map_or(0, |(seq, _)| *seq)
    }

    /// Everything up to here is removed, as the engine knows it.
    pub(crate) fn floor(&self) -> u64 {
        self.floors.iter().map(|floor| floor.seq).max().unwrap_or(0)
    }

    /// Everything up to here was removed by then.
    pub(crate) fn floor_by(&self, step: Step) -> u64 {
        let by = self.floors.iter().filter(|floor| floor.committed.is_some_and(|at| at <= step));
        by.map(|floor| floor.seq).max().unwrap_or(0)
    }

    /// Takes a record that removes everything up to its seq, which is for messages of an age of `life` milliseconds.
    ///
    /// # Errors
    /// When it removes what is younger, or nothing.
    pub(crate) fn retain(&mut self, floor: Floor, wall: Millis, life: u64) -> Result<(), String> {
        let told =
            |what: String| Err(format!("{}: events up to {} are removed: {what}", self.room, floor.seq));
        let Some(entry) = self.events.get(&floor.seq) else {
            return told("there is no such event".to_owned());
        };
        if entry.committed.is_none() {
            return told("it is not committed".to_owned());
        }
        if life == 0 || entry.wall.0 + life > wall.0 {
            return told(format!("the last is of {}, and it is {}", entry.wall.0, wall.0));
        }
        self.floors.push(floor);
        Ok(())
    }

    pub(crate) fn top_n(&self) -> u64 {
        self.events
            .values()
            .rev()
            .find_map(|e| match e.said {
                Said::Message { n, .. } => Some(n),
                _ => None,
            })
            .unwrap_or(0)
    }

    /// Metadata version of the last event that has one.
    pub(crate) fn version(&self) -> u64 {
        self.events
            .values()
            .rev()
            .find_map(|e| match e.said {
                Said::Meta { version, .. } => Some(version),
                _ => None,
            })
            .unwrap_or(0)
    }

    /// Settings before the event at `seq`.
    pub(crate) fn settings_before(&self, seq: u64) -> Settings {
        let mut events = self.events.range(..seq).rev();
        let last = events.find_map(|(_, entry)| match &entry.said {
            Said::Meta { event: MetaEvent::Settings { level, visibility, more, .. }, .. } => {
                let more = more.as_ref();
                Some(Settings {
                    level: *level,
                    visibility: *visibility,
                    kind: more.map_or(self.kind, |more| more.kind),
                    members_max: more.map_or(0, |more| more.members_max),
                    read_only: more.is_some_and(|more| more.read_only),
                })
            }
            _ => None,
        });
        last.unwrap_or(self.initial)
    }

    /// Takes the next record of the room.
    ///
    /// # Errors
    /// When the record breaks the room's numbering, or repeats a key.
    pub(crate) fn append(&mut self, journal: Journal, lsn: u64, record: &Record<'_>) -> Result<(), String> {
        let head = &record.head;
        let seq = head.seq.0;
        let said = said(record)?;
        let top = self.top();
        if seq <= top.max(self.observed_top) {
            return Err(format!(
                "{}: seq {seq} given again (top {top}, observed {})",
                self.room, self.observed_top
            ));
        }
        if seq != top + 1 && !(self.ever_memory && self.crashed) {
            return Err(format!("{}: seq jumps from {top} to {seq}", self.room));
        }
        if head.rev != head.seq {
            return Err(format!("{}: seq {seq} has rev {}", self.room, head.rev.0));
        }
        if let Said::Message { n, .. } = &said {
            let expected = self.top_n() + 1;
            let lost = self.ever_memory && *n > expected;
            if *n != expected && !lost {
                return Err(format!("{}: seq {seq} has ordinal {n}, expected {expected}", self.room));
            }
        }
        if let Said::Meta { version, .. } = &said {
            let before = self.version();
            if *version != before + 1 {
                return Err(format!("{}: seq {seq} is version {version} after {before}", self.room));
            }
        }
        if let Some(before) = self.keys.get(&(head.sender, head.key)).filter(|_| !head.key.is_nil()) {
            return Err(format!(
                "{}: key {} of {} made event {before} and now {seq}",
                self.room, head.key, head.sender
            ));
        }
        if let Said::Edit { target, .. } | Said::Delete { target } | Said::Reaction { target, .. } = &said
            && *target <= self.floor()
        {
            return Err(format!("{}: seq {seq} changes {target}, which is removed", self.room));
        }
        let settings = self.settings_before(seq);
        self.allowed(head.sender, head.wall, settings, &said)?;
        let entry = Entry {
            seq,
            kind: head.kind,
            sender: head.sender,
            key: head.key,
            wall: head.wall,
            said,
            journal,
            lsn,
            committed: None,
            waits: settings.level != AckLevel::Memory,
            observed: false,
        };
        self.crashed = false;
        self.index(&entry);
        self.events.insert(seq, entry);
        Ok(())
    }

    /// Whether the room as its log has it allows an event.
    fn allowed(&self, sender: UserId, wall: Millis, settings: Settings, said: &Said) -> Result<(), String> {
        if self.is_deleted() && !matches!(said, Said::Delete { .. }) {
            return Err(format!("{}: {said:?} after the room was deleted", self.room));
        }
        let standing = |user: &UserId| self.bans_now(*user, wall);
        let muted = || self.mutes.get(&sender).is_some_and(|until| until.0 == 0 || wall < *until);
        match said {
            Said::Message { .. } | Said::Edit { .. } | Said::Reaction { on: true, .. } if muted() => {
                Err(format!("{}: {said:?} of {sender}, who is muted", self.room))
            }
            Said::Message { .. } | Said::Edit { .. } | Said::Reaction { on: true, .. }
                if settings.read_only && self.role(sender) == Role::Member =>
            {
                Err(format!("{}: {said:?} of a plain member in a read-only room", self.room))
            }
            Said::Meta { event: MetaEvent::Joined { user, .. }, .. } if standing(user) => {
                Err(format!("{}: {user} joins and is banned", self.room))
            }
            Said::Meta { event: MetaEvent::Joined { user, .. }, .. } if !self.is_member(*user) => {
                let members = self.members.keys().filter(|user| self.is_member(**user)).count();
                let max = settings.members_max as usize;
                let full = max > 0 && members >= max;
                if full { Err(format!("{}: member {} of {max}", self.room, members + 1)) } else { Ok(()) }
            }
            Said::Meta { event: MetaEvent::Deleted, .. } if self.role(sender) != Role::Owner => {
                Err(format!("{}: deleted by {sender}, who is no owner", self.room))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn is_deleted(&self) -> bool {
        // What erased accounts said is deleted also behind that.
        let mut last = self.events.values().rev().filter(|e| !matches!(e.said, Said::Delete { .. }));
        let last = last.next().map(|entry| &entry.said);
        matches!(last, Some(Said::Meta { event: MetaEvent::Deleted, .. }))
    }

    /// Whether everybody could find and join it at some time.
    pub(crate) fn was_public(&self) -> bool {
        let opened = |entry: &Entry| match &entry.said {
            Said::Meta { event: MetaEvent::Settings { more: Some(more), .. }, .. } => {
                more.kind == RoomKind::Public
            }
            _ => false,
        };
        self.kind == RoomKind::Public || self.events.values().any(opened)
    }

    fn role(&self, user: UserId) -> Role {
        self.roles.get(&user).copied().unwrap_or(Role::Member)
    }

    /// Whether `user` lost or changed a role after `step`, or an event that would say so was not committed by then.
    pub(crate) fn role_since(&self, user: UserId, step: Step) -> bool {
        let late = self.events.values().rev().take_while(|e| e.committed.is_none_or(|at| at >= step));
        late.into_iter().any(|entry| match &entry.said {
            Said::Meta { event, .. } => event.subject() == Some(user) || entry.sender == user,
            _ => false,
        })
    }

    /// Follows bans and roles.
    fn index_standing(&mut self, sender: UserId, event: &MetaEvent) {
        match event {
            MetaEvent::Created { .. } if self.kind != RoomKind::Direct => {
                self.roles.extend(self.founders.first().map(|founder| (*founder, Role::Owner)));
            }
            MetaEvent::Joined { user, role } | MetaEvent::Role { user, role } => {
                self.roles.insert(*user, *role);
            }
            MetaEvent::Transferred { user } => {
                self.roles.insert(sender, Role::Admin);
                self.roles.insert(*user, Role::Owner);
            }
            MetaEvent::Banned { user, until, .. } => {
                self.bans.insert(*user, *until);
            }
            MetaEvent::Unbanned { user } => {
                self.bans.remove(user);
            }
            MetaEvent::Muted { user, until } => {
                self.mutes.insert(*user, *until);
            }
            MetaEvent::Unmuted { user } => {
                self.mutes.remove(user);
            }
            _ => {}
        }
    }

    fn index(&mut self, entry: &Entry) {
        if !entry.key.is_nil() {
            self.keys.insert((entry.sender, entry.key), entry.seq);
        }
        let seq = entry.seq;
        let Said::Meta { event, .. } = &entry.said else { return };
        self.index_standing(entry.sender, event);
        match event {
            MetaEvent::Created { .. } => {
                for user in self.founders.clone() {
                    self.open_span(user, seq);
                }
            }
            MetaEvent::Joined { user, .. } => self.open_span(*user, seq),
            MetaEvent::Left { user } | MetaEvent::Kicked { user, .. } | MetaEvent::Banned { user, .. } => {
                if let Some(span) = self.members.get_mut(user).and_then(|s| s.last_mut())
                    && span.to.is_none()
                {
                    span.to = Some(seq);
                }
            }
            MetaEvent::Deleted => {
                let open = self.members.values_mut().filter_map(|spans| spans.last_mut());
                open.filter(|span| span.to.is_none()).for_each(|span| span.to = Some(seq));
            }
            MetaEvent::Settings { level: AckLevel::Memory, .. } => self.ever_memory = true,
            _ => {}
        }
    }

    fn open_span(&mut self, user: UserId, seq: u64) {
        let spans = self.members.entry(user).or_default();
        if spans.last().is_none_or(|s| s.to.is_some()) {
            spans.push(Span { from: seq, to: None });
        }
    }

    /// Drops the events that `lost` names after a crash and returns them.
    pub(crate) fn crash(&mut self, survives: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        self.crashed = true;
        let all = std::mem::take(&mut self.events);
        let (kept, lost): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, entry)| survives(entry));
        self.members.clear();
        self.bans.clear();
        self.mutes.clear();
        self.roles.clear();
        self.keys.clear();
        for (_, entry) in &kept {
            self.index(entry);
        }
        self.events = kept.into_iter().collect();
        self.lost_any |= self.ever_memory && lost.iter().any(|(_, e)| e.observed);
        for (seq, entry) in &lost {
            if entry.observed {
                self.lost.insert(*seq, entry.clone());
            }
        }
        lost.into_iter().map(|(_, entry)| entry).collect()
    }

    /// Whether events with this seq were delivered to `user` by right: as a member at that event.
    pub(crate) fn member_at(&self, user: UserId, seq: u64) -> bool {
        self.members
            .get(&user)
            .is_some_and(|spans| spans.iter().any(|s| s.from <= seq && s.to.is_none_or(|to| seq <= to)))
    }

    /// Whether `user` was a member at some time since `step`; then the first seq of the earliest such membership: who asked in
    /// it may be answered from it, even after leaving and joining again.
    pub(crate) fn member_since(&self, user: UserId, step: Step) -> Option<u64> {
        let spans = self.members.get(&user)?;
        let span = spans.iter().find(|span| {
            span.to.is_none_or(|to| {
                let end = self.events.get(&to).and_then(|e| e.committed);
                end.is_none_or(|ended| ended >= step)
            })
        })?;
        Some(span.from)
    }

    pub(crate) fn is_member(&self, user: UserId) -> bool {
        self.members.get(&user).is_some_and(|spans| spans.last().is_some_and(|s| s.to.is_none()))
    }

    /// Seq of the delete of `target`, if one was committed at `step` or before.
    pub(crate) fn deleted_before(&self, target: u64, step: Step) -> Option<u64> {
        let deletes = self.events.range(target..);
        deletes
            .filter(|(_, e)| matches!(e.said, Said::Delete { target: at } if at == target))
            .find(|(_, e)| e.committed.is_some_and(|at| at <= step))
            .map(|(seq, _)| *seq)
    }

    /// Every message after all events whose entry `counts`.
    pub(crate) fn state(&self, counts: impl Fn(&Entry) -> bool) -> BTreeMap<u64, Current> {
        let mut messages: BTreeMap<u64, Current> = BTreeMap::new();
        for (seq, entry) in self.events.iter().filter(|(_, e)| counts(e)) {
            match &entry.said {
                Said::Message { n, text, mentions, files, .. } => {
                    let (text, mentions, files) = (text.clone(), mentions.clone(), files.clone());
                    let current =
                        Current { n: *n, sender: entry.sender, text, mentions, files, ..Current::default() };
                    messages.insert(*seq, current);
                }
                Said::Edit { target, text, mentions } => {
                    if let Some(m) = messages.get_mut(target).filter(|m| m.deleted == 0) {
                        m.text.clone_from(text);
                        m.mentions.clone_from(mentions);
                        m.edited = *seq;
                    }
                }
                Said::Delete { target } => {
                    if let Some(m) = messages.get_mut(target).filter(|m| m.deleted == 0) {
                        m.deleted = *seq;
                        m.text.clear();
                        m.mentions = Mentions::default();
                        m.files.clear();
                        m.reactions.clear();
                    }
                }
                Said::Reaction { target, on, emoji } => {
                    if let Some(m) = messages.get_mut(target).filter(|m| m.deleted == 0) {
                        let reaction = (emoji.clone(), entry.sender);
                        if *on {
                            m.reactions.insert(reaction);
                        } else {
                            m.reactions.remove(&reaction);
                        }
                    }
                }
                Said::Meta { .. } => {}
            }
        }
        messages
    }

    /// Messages above `read` and `floor` up to `top` that are neither the user's own nor deleted by an event that `counts`.
    pub(crate) fn unread(
        &self,
        user: UserId,
        (read, floor, top): (u64, u64, u64),
        counts: impl Fn(&Entry) -> bool,
    ) -> u64 {
        let read = read.max(floor);
        if top <= read {
            return 0;
        }
        let deleted: BTreeSet<u64> = self
            .events
            .values()
            .filter(|e| counts(e))
            .filter_map(|e| match e.said {
                Said::Delete { target } => Some(target),
                _ => None,
            })
            .collect();
        let messages = self.events.range(read + 1..=top);
        let unread = messages.filter(|(seq, e)| {
            matches!(e.said, Said::Message { .. }) && e.sender != user && !deleted.contains(seq)
        });
        unread.count() as u64
    }

    /// The next message answers the one at `target`; 0 for none.
    ///
    /// # Errors
    /// When that is no message, is deleted or removed, or was before its sender's time.
    pub(crate) fn answers(&self, sender: UserId, target: u64) -> Result<(), String> {
        if target == 0 {
            return Ok(());
        }
        let told = |what: &str| {
            Err(format!("{}: a message of {sender} answers {target}, which is {what}", self.room))
        };
        if target <= self.floor() {
            return told("removed");
        }
        if !self.events.get(&target).is_some_and(|e| matches!(e.said, Said::Message { .. })) {
            return told("no message");
        }
        if self
            .events
            .range(target..)
            .any(|(_, e)| matches!(e.said, Said::Delete { target: at } if at == target))
        {
            return told("deleted");
        }
        let since_join = self.settings_before(u64::MAX).visibility == HistoryVisibility::SinceJoin;
        if since_join && self.members.get(&sender).is_none_or(|s| s.last().is_none_or(|s| s.from > target)) {
            return told("not visible");
        }
        Ok(())
    }

    /// Messages above `read` up to `top` that mention `user`, by their authors: for each how many did so in every state since `issued`
    /// (`None`: now), and in any.
    pub(crate) fn mentions(
        &self,
        user: UserId,
        (read, top): (u64, u64),
        issued: Option<Step>,
    ) -> BTreeMap<UserId, (u64, u64)> {
        let mut counts: BTreeMap<UserId, (u64, u64)> = BTreeMap::new();
        let floor = self.floor();
        let read = read.max(issued.map_or(floor, |step| self.floor_by(step)));
        if top <= read {
            return counts;
        }
        let old = |entry: &Entry| issued.is_none_or(|step| entry.committed.is_some_and(|at| at <= step));
        for (seq, entry) in self.events.range(read + 1..=top).filter(|(_, e)| e.sender != user) {
            let Said::Message { mentions, .. } = &entry.said else { continue };
            let mut states = vec![mentions.concern(user)];
            let mut gone = false;
            for (_, change) in self.events.range(seq + 1..) {
                let now = match &change.said {
                    Said::Edit { target, mentions, .. } if target == seq => !gone && mentions.concern(user),
                    Said::Delete { target } if target == seq => false,
                    _ => continue,
                };
                gone |= matches!(change.said, Said::Delete { .. });
                if old(change) {
                    states.clear();
                }
                states.push(now);
            }
            let (always, ever) = counts.entry(entry.sender).or_default();
            *always += u64::from(*seq > floor && states.iter().all(|state| *state));
            *ever += u64::from(states.iter().any(|state| *state));
        }
        counts
    }

    /// The user of the pair that is not `user`, in a 1:1.
    pub(crate) fn peer(&self, user: UserId) -> Option<UserId> {
        (self.kind == RoomKind::Direct).then(|| self.founders.iter().find(|f| **f != user).copied())?
    }
}

/// The meaning of a record that takes a seq.
fn said(record: &Record<'_>) -> Result<Said, String> {
    let body = Body::decode(record.head.kind, record.payload).map_err(|e| format!("a record: {e}"))?;
    Ok(match body {
        Body::Message { id, n, reply_to, text, parts } => {
            let files = parts.media().collect();
            let (text, mentions) = (text.to_owned(), parts.into_owned().mentions);
            Said::Message { id, n: n.0, reply_to: reply_to.0, text, mentions, files }
        }
        Body::Edit { target: Seq(target), text, parts } => {
            Said::Edit { target, text: text.to_owned(), mentions: parts.into_owned().mentions }
        }
        Body::Delete { target: Seq(target) } => Said::Delete { target },
        Body::Reaction { target: Seq(target), on, emoji } => {
            Said::Reaction { target, on, emoji: emoji.to_owned() }
        }
        Body::Meta { version, event } => Said::Meta { version, event },
        Body::Intent { .. } | Body::Empty => return Err("a record that takes a seq is empty".to_owned()),
    })
}
