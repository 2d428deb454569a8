//! The last events of a room, encoded as they stand now: what resume and most history pages are answered from.
//!
//! Thread: the shard. Invariants: events are ascending and, with the gaps among them, without holes up to the
//! room's top; a changed message is encoded again at once, so deleted text is in no frame of the window.
//! Limits: `room_window_events_max` events and `room_window_bytes_max` bytes of JSON, none older than twice
//! `room_window_millis`, but at least the last event, unless it is removed. Nothing can fail.

use std::collections::VecDeque;
use std::sync::Arc;

use lynk_domain::{Limits, MessageId, Millis, Ordinal, RoomId, Seq, UserId};
use lynk_model::{MessageView, MetaEvent, Parts, Reaction, StoredBody, StoredEvent};
use lynk_protocol::{Frame, FramePool, Json, encode_event, encode_gap, encode_parts, encode_reactions};

use crate::mail::Removes;

/// One event.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) seq: Seq,
    pub(super) wall: Millis,
    pub(super) sender: UserId,
    pub(super) frame: Arc<Frame>,
    pub(super) kind: Kind,
}

/// What the event is, as far as the owner must know without reading its frame.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Message(Posted),
    Edit {
        target: Seq,
    },
    Delete {
        target: Seq,
    },
    Reaction {
        target: Seq,
    },
    Meta {
        removes: Removes,
    },
    /// Seqs `from..=seq` that no event has: the entry's frame says so.
    Gap {
        from: Seq,
    },
}

/// A message's state beside its text.
#[derive(Clone, Debug)]
pub(super) struct Posted {
    pub(super) n: Ordinal,
    pub(super) id: MessageId,
    pub(super) reply_to: Seq,
    pub(super) edited: Seq,
    pub(super) deleted: Seq,
    /// What it says beside its text; nothing when deleted.
    pub(super) parts: Option<Box<Parts>>,
    /// Sorted by emoji, then user.
    pub(super) reactions: Vec<Reaction>,
    /// Length of the JSON up to where the reactions go.
    prefix: u32,
}

impl Posted {
    /// A message that was just posted and encoded as `frame`.
    pub(super) fn new(n: Ordinal, id: MessageId, reply_to: Seq, parts: &Parts, frame: &Frame) -> Self {
        let prefix = frame.payload().len() as u32 - 1;
        let (edited, deleted) = (Seq(0), Seq(0));
        Self { n, id, reply_to, edited, deleted, parts: boxed(parts), reactions: Vec::new(), prefix }
    }
}

fn boxed(parts: &Parts) -> Option<Box<Parts>> {
    (!parts.is_empty()).then(|| Box::new(parts.clone()))
}

impl Entry {
    /// First seq that the entry speaks for.
    pub(super) fn from(&self) -> Seq {
        if let Kind::Gap { from } = self.kind { from } else { self.seq }
    }

    pub(super) fn is_message(&self) -> bool {
        matches!(self.kind, Kind::Message(_))
    }

    /// Whose subscriptions end with this event.
    pub(super) fn removes(&self) -> Removes {
        if let Kind::Meta { removes } = self.kind { removes } else { Removes::Nobody }
    }

    pub(super) fn bytes(&self) -> usize {
        self.frame.payload().len()
    }

    /// Appends the event, or of a hole the part in `from..=to`.
    pub(super) fn encode_within(&self, out: &mut Vec<u8>, room: RoomId, from: Seq, to: Seq) {
        match self.kind {
            Kind::Gap { from: lost } if lost < from || to < self.seq => {
                encode_gap(out, room, lost.max(from), self.seq.min(to), "lost");
            }
            _ => out.extend_from_slice(self.frame.payload()),
        }
    }

    /// An event as a store returned it.
    pub(super) fn stored(pool: &mut FramePool, event: StoredEvent) -> Self {
        let frame = pool.lend(|out| encode_event(out, &event));
        let kind = match event.body {
            StoredBody::Message(view) => {
                let mut tail = Vec::new();
                encode_reactions(&mut tail, &view.reactions);
                let prefix = (frame.payload().len() - 1 - tail.len()) as u32;
                let MessageView { id, n, reply_to, edited, deleted, parts, reactions, text: _ } = view;
                let parts = boxed(&parts);
                Kind::Message(Posted { n, id, reply_to, edited, deleted, parts, reactions, prefix })
            }
            StoredBody::Edit { target, .. } => Kind::Edit { target },
            StoredBody::Delete { target } => Kind::Delete { target },
            StoredBody::Reaction { target, .. } => Kind::Reaction { target },
            StoredBody::Meta { event, .. } => Kind::Meta { removes: removes_of(&event) },
        };
        Self { seq: event.seq, wall: event.wall, sender: event.sender, frame, kind }
    }

    /// A hole that a crash left in the numbers.
    pub(super) fn lost(pool: &mut FramePool, room: RoomId, from: Seq, to: Seq, wall: Millis) -> Self {
        let frame = pool.lend(|out| encode_gap(out, room, from, to, "lost"));
        Self { seq: to, wall, sender: UserId::NIL, frame, kind: Kind::Gap { from } }
    }
}

/// Whose subscriptions end with an event.
pub(super) fn removes_of(event: &MetaEvent) -> Removes {
    match event.subject() {
        Some(user) if event.removes_subject() => Removes::User(user),
        _ if *event == MetaEvent::Deleted => Removes::Everybody,
        _ => Removes::Nobody,
    }
}

#[derive(Debug)]
pub(super) struct Window {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// First seq that the window speaks for; above the top when it is empty.
    start: Seq,
}

impl Window {
    pub(super) fn new(start: Seq) -> Self {
        Self { entries: VecDeque::new(), bytes: 0, start }
    }

    pub(super) fn start(&self) -> Seq {
        self.start
    }

    /// Adds the next event, and drops the oldest past the limits.
    pub(super) fn push(&mut self, pool: &mut FramePool, entry: Entry, limits: &Limits) {
        let (events_max, bytes_max) = (limits.room_window_events_max, limits.room_window_bytes_max);
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
        let full = |w: &Self| w.entries.len() > events_max as usize || w.bytes > bytes_max as usize;
        while self.entries.len() > 1 && full(self) {
            self.drop_oldest(pool);
        }
    }

    fn drop_oldest(&mut self, pool: &mut FramePool) {
        let Some(oldest) = self.entries.pop_front() else { return };
        self.bytes -= oldest.bytes();
        self.start = oldest.seq.next();
        pool.give_back(oldest.frame);
    }

    /// Drops the events before `wall`, all but the last one. Returns whether others are left, which will age.
    pub(super) fn forget_before(&mut self, pool: &mut FramePool, wall: Millis) -> bool {
        while self.entries.len() > 1 && self.entries.front().is_some_and(|oldest| oldest.wall < wall) {
            self.drop_oldest(pool);
        }
        if self.entries.capacity() > 2 * self.entries.len() {
            self.entries.shrink_to_fit();
        }
        self.entries.len() > 1
    }

    /// Drops what is removed: the events up to `floor`, and what later edits of such messages say.
    pub(super) fn forget_through(&mut self, pool: &mut FramePool, room: RoomId, floor: Seq) {
        while self.entries.front().is_some_and(|oldest| oldest.seq <= floor) {
            self.drop_oldest(pool);
        }
        self.start = self.start.max(floor.next());
        for entry in &mut self.entries {
            if let Kind::Edit { target } = entry.kind
                && target <= floor
            {
                self.bytes -= entry.bytes();
                entry.frame = encode_edit(pool, room, entry, target, "", Parts::NONE);
                self.bytes += entry.bytes();
            }
        }
    }

    /// The entry that speaks for `seq`.
    pub(super) fn get(&self, seq: Seq) -> Option<&Entry> {
        let index = self.entries.partition_point(|e| e.seq < seq);
        self.entries.get(index).filter(|e| e.from() <= seq)
    }

    /// Entries that speak for seqs above `seq`, ascending.
    pub(super) fn after(&self, seq: Seq) -> impl DoubleEndedIterator<Item = &Entry> {
        let index = self.entries.partition_point(|e| e.seq <= seq);
        self.entries.range(index..)
    }

    /// Entries that lie in `from..=to`, ascending.
    pub(super) fn range(&self, from: Seq, to: Seq) -> impl DoubleEndedIterator<Item = &Entry> {
        let first = self.entries.partition_point(|e| e.seq < from);
        let last = self.entries.partition_point(|e| e.from() <= to).max(first);
        self.entries.range(first..last)
    }

    /// Every entry, ascending.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Whether a change of `target` came after `since`, or might have.
    pub(super) fn changed_since(&self, since: Seq, target: Seq) -> bool {
        self.start > since.next()
            || self.after(since).any(|e| match e.kind {
                Kind::Edit { target: t } | Kind::Delete { target: t } | Kind::Reaction { target: t } => {
                    t == target
                }
                _ => false,
            })
    }

    /// Lets the message at `target`, and the edits of it, say what it says now.
    pub(super) fn edit(
        &mut self,
        pool: &mut FramePool,
        room: RoomId,
        target: Seq,
        rev: Seq,
        (text, parts): (&str, &Parts),
    ) {
        self.rewrite(pool, target, |pool, entry| {
            if let Kind::Message(posted) = &mut entry.kind {
                posted.edited = rev;
                posted.parts = boxed(parts);
                entry.frame = encode_posted(pool, room, entry.seq, entry.sender, entry.wall, posted, text);
            } else {
                entry.frame = encode_edit(pool, room, entry, target, text, parts);
            }
        });
    }

    /// Takes the text of the message at `target` out of every frame.
    pub(super) fn delete(&mut self, pool: &mut FramePool, room: RoomId, target: Seq, rev: Seq) {
        self.rewrite(pool, target, |pool, entry| {
            if let Kind::Message(posted) = &mut entry.kind {
                posted.deleted = rev;
                posted.parts = None;
                posted.reactions = Vec::new();
                entry.frame = encode_posted(pool, room, entry.seq, entry.sender, entry.wall, posted, "");
            } else {
                entry.frame = encode_edit(pool, room, entry, target, "", Parts::NONE);
            }
        });
    }

    /// Sets or takes back a reaction on the message at `target`.
    pub(super) fn react(&mut self, pool: &mut FramePool, target: Seq, user: UserId, emoji: &str, on: bool) {
        self.rewrite(pool, target, |pool, entry| {
            let Kind::Message(posted) = &mut entry.kind else { return };
            let place = posted.reactions.binary_search_by(|r| (r.emoji.as_str(), r.user).cmp(&(emoji, user)));
            match (place, on) {
                (Err(at), true) => posted.reactions.insert(at, Reaction { emoji: emoji.to_owned(), user }),
                (Ok(at), false) => drop(posted.reactions.remove(at)),
                _ => return,
            }
            let old = Arc::clone(&entry.frame);
            entry.frame = pool.lend(|out| {
                out.extend_from_slice(old.payload().get(..posted.prefix as usize).unwrap_or_default());
                encode_reactions(out, &posted.reactions);
                out.push(b'}');
            });
        });
    }

    /// Changes the message at `target` and the edits of it.
    fn rewrite(
        &mut self,
        pool: &mut FramePool,
        target: Seq,
        mut change: impl FnMut(&mut FramePool, &mut Entry),
    ) {
        let index = self.entries.partition_point(|e| e.seq < target);
        for entry in self.entries.range_mut(index..) {
            let about = match &entry.kind {
                Kind::Message(_) => entry.seq == target,
                Kind::Edit { target: edited } => *edited == target,
                _ => false,
            };
            if about {
                self.bytes -= entry.bytes();
                change(pool, entry);
                self.bytes += entry.bytes();
            }
        }
    }
}

/// A message again after an edit or a delete; the same bytes as [`encode_event`] writes for its row.
fn encode_posted(
    pool: &mut FramePool,
    room: RoomId,
    seq: Seq,
    sender: UserId,
    wall: Millis,
    posted: &mut Posted,
    text: &str,
) -> Arc<Frame> {
    let mut prefix = 0;
    let frame = pool.lend(|out| {
        let start = out.len();
        let mut json = Json::new(out);
        json.open(b'{').key("ev").text("message").key("room").id(&room.0).key("seq").number(seq.0);
        json.key("n").number(posted.n.0).key("id").id(&posted.id.0);
        json.key("from").id(&sender.0).key("time").time(wall);
        if posted.reply_to.0 > 0 {
            json.key("reply_to").number(posted.reply_to.0);
        }
        if posted.edited.0 > 0 {
            json.key("edited").number(posted.edited.0);
        }
        if posted.deleted.0 > 0 {
            json.key("deleted").number(posted.deleted.0);
        } else {
            json.key("text").text(text);
            encode_parts(&mut json, posted.parts.as_deref().unwrap_or(Parts::NONE));
        }
        prefix = out.len() - start;
        encode_reactions(out, &posted.reactions);
        out.push(b'}');
    });
    posted.prefix = prefix as u32;
    frame
}

fn encode_edit(
    pool: &mut FramePool,
    room: RoomId,
    entry: &Entry,
    target: Seq,
    text: &str,
    parts: &Parts,
) -> Arc<Frame> {
    let body = StoredBody::Edit { target, text: text.to_owned(), parts: parts.clone() };
    let event = StoredEvent {
        room,
        seq: entry.seq,
        rev: entry.seq,
        wall: entry.wall,
        sender: entry.sender,
        key: lynk_domain::Key::NIL,
        body,
    };
    pool.lend(|out| encode_event(out, &event))
}
