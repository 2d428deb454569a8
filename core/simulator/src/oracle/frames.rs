//! Compares what leaves an engine, and what a client is answered, with the truth.

use lynk_domain::MediaId;
use lynk_domain::{HistoryVisibility, Millis, RoomId, UserId};
use lynk_model::{Mentions, MetaEvent};

use super::{Check, Entry, Ledger, RoomTruth, Said, Step};
use crate::wire::{Ev, Item, Range};

/// A question whose answer is judged when it arrives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) user: UserId,
    pub(crate) room: RoomId,
    /// When it was sent.
    pub(crate) issued: Step,
    /// Every event, or messages only.
    pub(crate) all: bool,
    /// Newest first.
    pub(crate) backward: bool,
}

impl Ledger {
    /// A frame leaves an engine for connections of `users`.
    ///
    /// # Errors
    /// When it tells what is not committed, not true, or not theirs to know.
    pub(crate) fn deliver(&mut self, item: &Item, users: &[UserId]) -> Check {
        match item.ev {
            Ev::Ok => self.deliver_ok(item),
            Ev::Subscribed => {
                self.position(item.room, item.top)?;
                item.events.iter().try_for_each(|event| self.deliver_item(item.room, event))
            }
            Ev::History => item.events.iter().try_for_each(|event| self.deliver_item(item.room, event)),
            Ev::Gap | Ev::Resync => self.deliver_item(item.room, item),
            Ev::Read
                if (item.unread.is_some() || item.mentions.is_some())
                    && users.iter().any(|user| item.user != Some(*user)) =>
            {
                Err("an unread number goes to another user".to_owned())
            }
            Ev::Read | Ev::Delivered => self.position(item.room, item.seq),
            Ev::Added | Ev::Removed => {
                if let (Ev::Added, Some(room)) = (item.ev, item.room) {
                    users.iter().try_for_each(|user| self.side_is(room, *user, item.request.as_deref()))?;
                }
                if self.turn_told(item, users) { Ok(()) } else { self.membership(item, users) }
            }
            Ev::ConversationAccepted => self.accepted_told(item, users),
            Ev::JoinRequest => self.request_told(item, users),
            Ev::Report => self.report_told(item, users),
            Ev::Cleared => self.cleared_told(item, users),
            Ev::Unknown => Err("a frame of an unknown kind".to_owned()),
            ev if ev.durable() => {
                self.deliver_item(item.room, item)?;
                let room = self.of(item.room)?;
                if let Some(entry) = room.events.get(&item.seq) {
                    users.iter().try_for_each(|user| self.may_hear(*user, room.room, entry))?;
                }
                let theirs = |user: &UserId| {
                    room.member_at(*user, item.seq) || self.granted.contains(&(room.room, *user))
                };
                match users.iter().find(|user| !theirs(user)) {
                    Some(user) => {
                        Err(format!("{}: event {} goes to {user}, not a member then", room.room, item.seq))
                    }
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn of(&self, room: Option<RoomId>) -> Result<&RoomTruth, String> {
        let room = room.ok_or("a frame without its room")?;
        self.room(room).ok_or_else(|| format!("{room}: a frame about a room that does not exist"))
    }

    /// Users are told that a room is theirs, or no longer: by the event of that version, which is committed.
    fn membership(&self, item: &Item, users: &[UserId]) -> Check {
        let room = self.of(item.room)?;
        let event = room.events.values().find_map(|entry| match &entry.said {
            Said::Meta { version, event } if *version == item.version => Some((entry, event)),
            _ => None,
        });
        let Some((entry, event)) = event.filter(|(entry, _)| entry.committed.is_some()) else {
            return Err(format!("{}: version {} is told and not committed", room.room, item.version));
        };
        let about = |user: &UserId| match event {
            MetaEvent::Created { .. } => item.ev == Ev::Added && room.founders.contains(user),
            MetaEvent::Joined { user: joined, .. } => item.ev == Ev::Added && joined == user,
            MetaEvent::Deleted => item.ev == Ev::Removed && room.member_at(*user, entry.seq),
            event => {
                let removed = item.ev == Ev::Removed && event.removes_subject();
                removed && event.subject() == Some(*user) && room.member_at(*user, entry.seq)
            }
        };
        match users.iter().find(|user| !about(user)) {
            Some(user) => Err(format!("{}: {event:?} is told to {user} as {:?}", room.room, item.ev)),
            None => Ok(()),
        }
    }

    fn deliver_ok(&mut self, item: &Item) -> Check {
        let (Some(_), true) = (item.room, item.seq > 0) else { return Ok(()) };
        let room = self.of(item.room)?;
        self.may_tell(room, item.seq, item.level)?;
        if let Some(entry) = room.events.get(&item.seq)
            && let Said::Message { id, n, .. } = &entry.said
            && (item.id != Some(*id) || item.n != *n)
        {
            return Err(format!("{}: ok for event {} names another id or n", room.room, item.seq));
        }
        self.observe(item.room, item.seq);
        Ok(())
    }

    fn deliver_item(&mut self, room: Option<RoomId>, item: &Item) -> Check {
        if item.room != room {
            return Err("an item of another room than its page".to_owned());
        }
        match item.ev {
            Ev::Gap | Ev::Resync => {
                let range = item.range().ok_or("a gap without a range")?;
                if range.from > range.to {
                    return Err(format!("an empty {:?}", item.ev));
                }
                match item.reason.as_deref().filter(|_| item.ev == Ev::Gap) {
                    Some("lost") => return self.gap_is_true(room, range),
                    Some("retention") => self.is_removed(room, range.to)?,
                    _ => {}
                }
                self.position(room, range.to)
            }
            ev if ev.durable() => {
                let truth = self.of(room)?;
                self.may_tell(truth, item.seq, None)?;
                let entry = truth.events.get(&item.seq).ok_or("checked above")?;
                matches(truth, entry, item)
                    .map_err(|what| format!("{}: event {} told wrongly: {what}", truth.room, item.seq))?;
                for change in [item.edited, item.deleted].into_iter().filter(|seq| *seq > 0) {
                    self.may_tell(truth, change, None)?;
                }
                self.observe(room, item.seq);
                Ok(())
            }
            other => Err(format!("an item of kind {other:?}")),
        }
    }

    /// Nothing that exists may be called lost.
    fn gap_is_true(&self, room: Option<RoomId>, range: Range) -> Check {
        let room = self.of(room)?;
        match room.events.range(range.from..=range.to).next() {
            Some((seq, _)) => Err(format!("{}: event {seq} exists and is called lost", room.room)),
            None => Ok(()),
        }
    }

    /// Nothing may be called removed before it is.
    fn is_removed(&self, room: Option<RoomId>, to: u64) -> Check {
        let room = self.of(room)?;
        let floor = room.floor_by(Step::MAX);
        if to <= floor {
            return Ok(());
        }
        Err(format!("{}: events up to {to} are called removed; it is {floor}", room.room))
    }

    /// A seq is mentioned without its event.
    fn position(&mut self, room: Option<RoomId>, seq: u64) -> Check {
        let truth = self.of(room)?;
        if seq == 0 {
            return Ok(());
        }
        if truth.events.contains_key(&seq) {
            self.may_tell(truth, seq, None)?;
        } else if !truth.ever_memory {
            return Err(format!("{}: position {seq} does not exist (top {})", truth.room, truth.top()));
        }
        self.observe(room, seq);
        Ok(())
    }

    fn observe(&mut self, room: Option<RoomId>, seq: u64) {
        if let Some(room) = room.and_then(|id| self.rooms.get_mut(&id)) {
            room.observed_top = room.observed_top.max(seq.min(room.top()));
            if let Some(entry) = room.events.get_mut(&seq) {
                entry.observed = true;
            }
        }
    }

    /// A page (`history` or `subscribed`) has arrived at the client who asked.
    ///
    /// # Errors
    /// When it holds too much, too little, or what was no longer true when it was asked for.
    pub(crate) fn page(&self, item: &Item, asked: &Asked) -> Check {
        let room = self.of(Some(asked.room))?;
        let told = |what: String| format!("{}: page for {}: {what}", room.room, asked.user);
        let granted = self.granted.contains(&(room.room, asked.user)).then_some(u64::MAX);
        let Some(joined) = room.member_since(asked.user, asked.issued).or(granted) else {
            return Err(told("not a member any more when it asked".to_owned()));
        };
        self.may_ask(asked.user, asked.room, asked.issued)?;
        let covers = item.covers.ok_or_else(|| told("it does not say what it covers".to_owned()))?;
        let mut last: Option<u64> = None;
        for event in item.events.iter().filter(|e| e.reason.as_deref() != Some("reset")) {
            let range = event.range().unwrap_or(Range { from: event.seq, to: event.seq });
            let (first, next) = if asked.backward { (range.to, range.from) } else { (range.from, range.to) };
            let ordered = last.is_none_or(|last| if asked.backward { first < last } else { first > last });
            if !ordered {
                return Err(told(format!("item {first} out of order")));
            }
            last = Some(next);
            // A gap tells its whole extent, also what lies beyond the page.
            let touches = range.from <= covers.to && range.to >= covers.from;
            let inside = range.from >= covers.from && range.to <= covers.to;
            if !(inside || touches && event.ev == Ev::Gap) {
                return Err(told(format!("item {first} outside {}..={}", covers.from, covers.to)));
            }
            if event.ev.durable() {
                if event.seq <= room.floor_by(asked.issued) {
                    return Err(told(format!("event {} was removed when it asked", event.seq)));
                }
                self.fresh(room, event, asked).map_err(told)?;
                self.says_nothing_of_erased(event, asked.issued).map_err(told)?;
                let cleared = self.cleared_by(room.room, asked.user, asked.issued);
                if event.seq <= cleared {
                    return Err(told(format!("event {} of what it cleared up to {cleared}", event.seq)));
                }
                if event.seq < joined && self.hides_past(room, asked.issued) {
                    return Err(told(format!("event {} was before its time", event.seq)));
                }
            }
        }
        complete(room, item, covers, asked.all).map_err(told)
    }

    /// A page that was asked for by time begins behind the last message that is older. Where the clock went back the time lies in several
    /// places, and nothing is said.
    ///
    /// # Errors
    /// When an older message is in it, or one that is not older lies before it.
    pub(crate) fn begins_at(&self, room: RoomId, user: UserId, item: &Item, at: u64) -> Check {
        let truth = self.of(Some(room))?;
        let said = |entry: &&Entry| matches!(entry.said, Said::Message { .. });
        let walls: Vec<(u64, u64)> = truth.events.values().filter(said).map(|e| (e.seq, e.wall.0)).collect();
        let Some(covers) = item.covers.filter(|_| walls.is_sorted_by_key(|(_, wall)| *wall)) else {
            return Ok(());
        };
        // What a member may not see is told as a gap from the beginning on.
        let hidden = item.events.iter().filter(|e| e.ev == Ev::Gap).filter_map(Item::range);
        let first = hidden.map(|gap| gap.to + 1).max().unwrap_or(covers.from).max(covers.from);
        for (seq, wall) in walls {
            let inside = (first..=covers.to).contains(&seq);
            if seq < covers.from && wall >= at || inside && wall < at {
                return Err(format!(
                    "{room}: {user} asked for {at}; message {seq} is of {wall}, and the page begins at {first}"
                ));
            }
        }
        Ok(())
    }

    /// Nothing changes any more: messages of a page must read exactly as the log makes them.
    ///
    /// # Errors
    /// When one does not.
    pub(crate) fn exact(&self, room: RoomId, item: &Item) -> Check {
        let truth = self.of(Some(room))?;
        let state = truth.state(|_| true);
        for event in item.events.iter().filter(|e| e.ev == Ev::Message) {
            let current = state.get(&event.seq).ok_or_else(|| format!("{room}: no message {}", event.seq))?;
            let reactions: std::collections::BTreeSet<_> = event
                .reactions
                .iter()
                .flat_map(|group| group.users.iter().map(|user| (group.emoji.clone(), *user)))
                .collect();
            let text = event.text.as_deref().unwrap_or_default();
            let files = event.files();
            let told = (text, &event.whom(), &files, event.edited, event.deleted, &reactions);
            let deleted = current.deleted > 0;
            let edited = if deleted { event.edited } else { current.edited };
            let (text, whom) = (current.text.as_str(), &current.mentions);
            let expected = (text, whom, &current.files, edited, current.deleted, &current.reactions);
            if told != expected {
                return Err(format!("{room}: message {} reads {told:?}, not {expected:?}", event.seq));
            }
        }
        Ok(())
    }

    /// An event of a page reads at least as new as it did when the page was asked for.
    fn fresh(&self, room: &RoomTruth, item: &Item, asked: &Asked) -> Check {
        let target = match item.ev {
            Ev::Message => item.seq,
            Ev::Edit => item.target,
            _ => return Ok(()),
        };
        let text = item.text.as_deref().unwrap_or_default();
        if item.deleted == 0
            && !text.is_empty()
            && let Some(delete) = room.deleted_before(target, asked.issued)
        {
            return Err(format!("text of {target} although delete {delete} was committed"));
        }
        if item.ev == Ev::Message && item.deleted == 0 {
            let newest = room.events.range(target..).rev().find(|(_, e)| {
                matches!(e.said, Said::Edit { target: at, .. } if at == target)
                    && e.committed.is_some_and(|at| at <= asked.issued)
            });
            if let Some((edit, _)) = newest.filter(|(edit, _)| **edit > item.edited) {
                return Err(format!("message {target} without edit {edit}, which was committed"));
            }
        }
        Ok(())
    }
}

/// Every event of the covered range is there or explicitly not.
fn complete(room: &RoomTruth, item: &Item, covers: Range, all: bool) -> Check {
    if covers.from > covers.to {
        return Ok(());
    }
    let mut at = covers.from;
    let mut told: Vec<Range> = item
        .events
        .iter()
        .map(|event| event.range().unwrap_or(Range { from: event.seq, to: event.seq }))
        .collect();
    told.sort_unstable_by_key(|range| range.from);
    let missing = |from: u64, to: u64| {
        if from > to {
            return None;
        }
        let mut inside = room.events.range(from..=to);
        if let Some((seq, _)) = inside.find(|(_, e)| all || matches!(e.said, Said::Message { .. })) {
            return Some(format!("event {seq} is missing in {}..={}", covers.from, covers.to));
        }
        let hole = all && room.events.range(from..=to).count() as u64 != to - from + 1;
        hole.then(|| format!("a silent hole in {from}..={to}"))
    };
    for range in told {
        if let Some(what) = range.from.checked_sub(1).and_then(|to| missing(at, to)) {
            return Err(what);
        }
        at = at.max(range.to + 1);
    }
    missing(at, covers.to).map_or(Ok(()), Err)
}

/// Whether an item says what the entry says, or what it says after later changes.
fn matches(room: &RoomTruth, entry: &Entry, item: &Item) -> Check {
    let mut time = Vec::new();
    lynk_protocol::write_time(&mut time, Millis(entry.wall.0));
    if item.time.as_deref().map(str::as_bytes) != Some(&time[..]) {
        return Err(format!("time {:?}", item.time));
    }
    if item.sender() != Some(entry.sender) {
        return Err(format!("from {:?}, not {}", item.from, entry.sender));
    }
    match &entry.said {
        Said::Message { id, n, reply_to, text, mentions, files } => {
            let same = (item.ev, item.id, item.n, item.reply_to) == (Ev::Message, Some(*id), *n, *reply_to);
            if !same {
                return Err("not that message".to_owned());
            }
            message_text(room, entry.seq, item, (text, mentions), files)
        }
        Said::Edit { target, .. } => {
            let same = (item.ev, item.target) == (Ev::Edit, *target);
            let text = item.text.as_deref().unwrap_or_default();
            if same && edit_text(room, entry.seq, *target, (text, &item.whom())) {
                Ok(())
            } else {
                Err("not that edit".to_owned())
            }
        }
        Said::Delete { target } if (item.ev, item.target) == (Ev::Delete, *target) => Ok(()),
        Said::Reaction { target, on, emoji }
            if (item.ev, item.target, item.on, item.emoji.as_deref())
                == (Ev::Reaction, *target, Some(*on), Some(emoji.as_str())) =>
        {
            Ok(())
        }
        Said::Meta { version, event } if item.version == *version => meta(event, item),
        _ => Err(format!("kind {:?} or its target", item.ev)),
    }
}

fn message_text(
    room: &RoomTruth,
    seq: u64,
    item: &Item,
    original: (&str, &Mentions),
    files: &[MediaId],
) -> Check {
    if item.files() != if item.deleted > 0 { &[][..] } else { files } {
        return Err(format!("files {:?}, not {files:?}", item.files()));
    }
    if item.deleted > 0 {
        let by = room.events.get(&item.deleted);
        let right = by.is_some_and(|e| matches!(e.said, Said::Delete { target } if target == seq));
        return if right && item.text.is_none() && item.reactions.is_empty() && item.whom().is_empty() {
            Ok(())
        } else {
            Err(format!("deleted by {} with text {:?}", item.deleted, item.text))
        };
    }
    let expected = if item.edited > 0 {
        match room.events.get(&item.edited).map(|e| &e.said) {
            Some(Said::Edit { target, text, mentions }) if *target == seq => (text.as_str(), mentions),
            _ => return Err(format!("edited by {}, which is no edit of it", item.edited)),
        }
    } else {
        original
    };
    let told = (item.text.as_deref().unwrap_or_default(), &item.whom());
    if told != expected {
        return Err(format!("says {told:?}, not {expected:?}"));
    }
    for group in &item.reactions {
        for user in &group.users {
            let set = room.events.range(seq..).any(|(_, e)| {
                e.sender == *user
                    && matches!(&e.said, Said::Reaction { target, on: true, emoji } if *target == seq && *emoji == group.emoji)
            });
            if !set {
                return Err(format!("reaction {} of {user}, who never set it", group.emoji));
            }
        }
    }
    Ok(())
}

/// An edit shows its own text, that of a later edit, or nothing once the message is deleted or removed.
fn edit_text(room: &RoomTruth, seq: u64, target: u64, (text, whom): (&str, &Mentions)) -> bool {
    if target <= room.floor() && text.is_empty() && whom.is_empty() {
        return true;
    }
    room.events.range(seq..).any(|(_, e)| match &e.said {
        Said::Edit { target: at, text: edited, mentions } => {
            *at == target && edited == text && mentions == whom
        }
        Said::Delete { target: at } => *at == target && text.is_empty() && whom.is_empty(),
        _ => false,
    })
}

fn meta(event: &MetaEvent, item: &Item) -> Check {
    let subject = event.subject();
    let right = match event {
        MetaEvent::Created { kind, name: _ } => {
            item.ev == Ev::Created && item.kind.as_deref() == Some(kind.name())
        }
        MetaEvent::Joined { role, .. } => item.ev == Ev::Joined && item.role.as_deref() == Some(role.name()),
        MetaEvent::Role { role, .. } => item.ev == Ev::Role && item.role.as_deref() == Some(role.name()),
        MetaEvent::Left { .. } => item.ev == Ev::Left,
        MetaEvent::Kicked { reason, .. } => {
            item.ev == Ev::Kicked && item.reason.as_deref() == Some(reason.as_str())
        }
        MetaEvent::Banned { .. } => item.ev == Ev::Banned,
        MetaEvent::Unbanned { .. } => item.ev == Ev::Unbanned,
        MetaEvent::Muted { .. } => item.ev == Ev::Muted,
        MetaEvent::Unmuted { .. } => item.ev == Ev::Unmuted,
        MetaEvent::Transferred { .. } => item.ev == Ev::Transferred,
        MetaEvent::Pinned { target, on } => {
            item.ev == Ev::Pinned && item.target == target.0 && item.on == Some(*on)
        }
        MetaEvent::Deleted => item.ev == Ev::Deleted,
        MetaEvent::Settings { name, level, visibility, more, .. } => {
            item.ev == Ev::Settings
                && item.name.as_ref() == Some(name)
                && item.description.as_deref() == more.as_ref().map(|more| more.description.as_str())
                && item.avatar == more.as_ref().map_or(MediaId::NIL, |more| more.avatar)
                && item.retention_days == more.as_ref().map(|more| more.retention_days)
                && item.max_members == more.as_ref().map(|more| more.members_max)
                && item.read_only == more.as_ref().map(|more| more.read_only)
                && item.kind.as_deref() == more.as_ref().map(|more| more.kind.name())
                && item.level == Some(*level)
                && item.visibility.as_deref().and_then(HistoryVisibility::parse) == Some(*visibility)
        }
    };
    if right && item.user == subject { Ok(()) } else { Err(format!("not {event:?}")) }
}
