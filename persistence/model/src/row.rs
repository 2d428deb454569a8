//! The rules by which records become rows. Every store, and the join of a store with journals, uses these
//! and no others.
//!
//! Thread: any. Pure. A row is a function of the *set* of records applied to it: order and repetition do not
//! matter. A change may come before the message it changes; the row then has no [`MessageFacts`] yet and is
//! not shown. A delete is final: no post and no edit brings text back, whatever their order.
//!
//! Limits: none of its own. Nothing can fail.

use lynk_domain::{Key, MessageId, Millis, Ordinal, RoomId, Seq, UserId};

use crate::{
    MessageView, MetaEvent, PageQuery, PageReply, Parts, Reaction, RecordHead, RecordKind, StoredBody,
    StoredEvent,
};

/// What a message's own record says, except its text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MessageFacts {
    /// The message's id.
    pub id: MessageId,
    /// Its ordinal.
    pub n: Ordinal,
    /// The message it answers; 0 for none.
    pub reply_to: Seq,
    /// Server wall time.
    pub wall: Millis,
    /// Who posted it.
    pub sender: UserId,
    /// Idempotency key; nil for none.
    pub key: Key,
}

impl MessageFacts {
    /// Facts out of a record's head and what its payload adds.
    #[must_use]
    pub fn of(head: &RecordHead, id: MessageId, n: Ordinal, reply_to: Seq) -> Self {
        Self { id, n, reply_to, wall: head.wall, sender: head.sender, key: head.key }
    }
}

/// A message's row without its reactions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MessageRow {
    /// What the message's record said; `None` while only changes of it have arrived.
    pub facts: Option<MessageFacts>,
    /// Greatest rev applied; 0 for none.
    pub rev: Seq,
    /// Rev of the last edit; 0 for none.
    pub edited: Seq,
    /// Rev of the last delete; 0 when it stands.
    pub deleted: Seq,
    /// Current text; empty when deleted, or when neither the message nor an edit has arrived.
    pub text: String,
    /// What it says beside the text now; nothing where there is no text.
    pub parts: Parts,
}

impl MessageRow {
    /// Applies the message's own record. Returns whether the row changed.
    pub fn post(&mut self, rev: Seq, facts: MessageFacts, text: &str, parts: &Parts) -> bool {
        if self.facts.is_some() {
            return false;
        }
        self.facts = Some(facts);
        self.rev = self.rev.max(rev);
        if self.edited == Seq(0) && self.deleted == Seq(0) {
            self.say(text, parts);
        }
        true
    }

    /// Applies an edit. Returns whether the row changed.
    pub fn edit(&mut self, rev: Seq, text: &str, parts: &Parts) -> bool {
        if rev <= self.edited {
            return false;
        }
        self.edited = rev;
        self.rev = self.rev.max(rev);
        if self.deleted == Seq(0) {
            self.say(text, parts);
        }
        true
    }

    fn say(&mut self, text: &str, parts: &Parts) {
        text.clone_into(&mut self.text);
        self.parts.clone_from(parts);
    }

    /// Who mentions `user` with this message as it stands; `None` when nobody does. Nobody mentions himself.
    #[must_use]
    pub fn mentioner_of(&self, user: UserId) -> Option<UserId> {
        let facts = self.facts.filter(|facts| facts.sender != user)?;
        self.parts.mentions.concern(user).then_some(facts.sender)
    }

    /// Applies a delete. Returns whether the row changed.
    pub fn delete(&mut self, rev: Seq) -> bool {
        if rev <= self.deleted {
            return false;
        }
        self.deleted = rev;
        self.rev = self.rev.max(rev);
        // The memory goes too, not only the length: deleted text must not linger in a buffer.
        self.text = String::new();
        self.parts = Parts::default();
        true
    }
}

/// How far a member has read, and a device of it has stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Position {
    /// [Round](RecordHead::round) of `read`.
    pub round: u64,
    /// Read up to.
    pub read: Seq,
    /// Stored by a device up to.
    pub delivered: Seq,
}

impl Position {
    /// Applies a `Read` or `Delivered` record; others change nothing.
    pub fn reach(&mut self, head: &RecordHead) {
        match head.kind {
            RecordKind::Read => {
                (self.round, self.read) = (self.round, self.read).max((head.round(), head.seq));
            }
            RecordKind::Delivered => self.delivered = self.delivered.max(head.seq),
            _ => {}
        }
    }
}

/// One user's reaction with one emoji, set or taken back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReactionRow {
    /// The emoji.
    pub emoji: String,
    /// Who.
    pub user: UserId,
    /// Rev of the last change.
    pub rev: Seq,
    /// Set, or taken back.
    pub on: bool,
}

/// A message's row with its reactions, also those taken back: all that is needed to apply a record to it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MessageState {
    /// The row.
    pub row: MessageRow,
    /// Reactions sorted by emoji, then user.
    pub reactions: Vec<ReactionRow>,
}

impl MessageState {
    /// Applies a reaction.
    pub fn react(&mut self, rev: Seq, user: UserId, on: bool, emoji: &str) {
        let place = self.reactions.binary_search_by(|r| (r.emoji.as_str(), r.user).cmp(&(emoji, user)));
        match place {
            Ok(at) => {
                if let Some(known) = self.reactions.get_mut(at).filter(|known| rev > known.rev) {
                    known.rev = rev;
                    known.on = on;
                }
            }
            Err(at) => self.reactions.insert(at, ReactionRow { emoji: emoji.to_owned(), user, rev, on }),
        }
    }

    /// The message as it stands; `None` while its own record has not arrived.
    #[must_use]
    pub fn view(&self, room: RoomId, seq: Seq) -> Option<StoredEvent> {
        let facts = self.row.facts?;
        let gone = self.row.deleted != Seq(0);
        let standing = self.reactions.iter().filter(|r| r.on && !gone);
        Some(StoredEvent {
            room,
            seq,
            rev: self.row.rev,
            wall: facts.wall,
            sender: facts.sender,
            key: facts.key,
            body: StoredBody::Message(MessageView {
                id: facts.id,
                n: facts.n,
                reply_to: facts.reply_to,
                text: self.row.text.clone(),
                parts: self.row.parts.clone(),
                edited: self.row.edited,
                deleted: self.row.deleted,
                reactions: standing.map(|r| Reaction { emoji: r.emoji.clone(), user: r.user }).collect(),
            }),
        })
    }
}

impl StoredEvent {
    /// Takes what it says out of an edit whose message lies at or below `floor`, and so is removed.
    pub fn forget_target(&mut self, floor: Seq) {
        if let StoredBody::Edit { target, text, parts } = &mut self.body
            && *target <= floor
        {
            *text = String::new();
            *parts = Parts::default();
        }
    }

    /// Bytes that count against [`PageQuery::bytes`]: text and what is beside it, names and reasons, and 36 bytes (a user id
    /// as text) beside the emoji of each reaction.
    #[must_use]
    pub fn content_bytes(&self) -> u64 {
        let bytes = match &self.body {
            StoredBody::Message(view) => {
                let reactions = view.reactions.iter().map(|r| 36 + r.emoji.len()).sum::<usize>();
                view.text.len() + view.parts.content_bytes() + reactions
            }
            StoredBody::Edit { text, parts, .. } => text.len() + parts.content_bytes(),
            StoredBody::Delete { .. } => 0,
            StoredBody::Reaction { emoji, .. } => emoji.len(),
            StoredBody::Meta { event, .. } => match event {
                MetaEvent::Created { name, .. } => name.len(),
                MetaEvent::Settings { name, more, .. } => {
                    name.len() + more.as_ref().map_or(0, |more| more.description.len())
                }
                MetaEvent::Kicked { reason, .. } | MetaEvent::Banned { reason, .. } => reason.len(),
                _ => 0,
            },
        };
        bytes as u64
    }
}

/// Cuts a stream of events into a page. The caller pushes wanted events in the order of the query until
/// [`Self::push`] refuses one or the range ends.
pub struct PageBuilder<'q> {
    query: &'q PageQuery,
    bytes: u64,
    events: Vec<StoredEvent>,
    /// First event that did not fit.
    left_out: Option<Seq>,
}

impl<'q> PageBuilder<'q> {
    /// An empty page.
    #[must_use]
    pub fn new(query: &'q PageQuery) -> Self {
        Self { query, bytes: 0, events: Vec::new(), left_out: None }
    }

    /// Whether the page has its full count, so that a further event need only be noted by
    /// [`Self::leave_out`].
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.events.len() >= self.query.limit.max(1) as usize
    }

    /// Adds the next event; `false` when it does not fit, and then no other may be pushed.
    pub fn push(&mut self, event: StoredEvent) -> bool {
        let bytes = event.content_bytes();
        let fits = self.events.is_empty() || self.bytes + bytes <= u64::from(self.query.bytes);
        if self.is_full() || !fits {
            self.leave_out(event.seq);
            return false;
        }
        self.bytes += bytes;
        self.events.push(event);
        true
    }

    /// Notes that the range goes on at `seq` with an event that the page does not hold.
    pub fn leave_out(&mut self, seq: Seq) {
        debug_assert!(self.left_out.is_none(), "a page is cut once");
        self.left_out = Some(seq);
    }

    /// The page. It covers everything up to, and without, the first event left out.
    #[must_use]
    pub fn finish(self) -> PageReply {
        let PageQuery { from, to, backward, .. } = *self.query;
        let (covers_from, covers_to) = match self.left_out {
            None => (from, to),
            Some(seq) if backward => (Seq(seq.0.saturating_add(1)), to),
            Some(seq) => (from, Seq(seq.0.saturating_sub(1))),
        };
        PageReply { events: self.events, covers_from, covers_to, more: self.left_out.is_some() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mentions;

    fn facts(n: u64) -> MessageFacts {
        MessageFacts {
            id: MessageId([n as u8; 16]),
            n: Ordinal(n),
            reply_to: Seq(0),
            wall: Millis(n),
            sender: UserId([1; 16]),
            key: Key::NIL,
        }
    }

    fn mentions(user: u8) -> Parts {
        Parts::of_mentions(Mentions::new(false, vec![UserId([user; 16])]))
    }

    #[test]
    fn a_row_is_the_same_for_every_order_of_its_records() {
        type Step = fn(&mut MessageRow) -> bool;
        let steps: [Step; 4] = [
            |r| r.post(Seq(3), facts(1), "first", &mentions(1)),
            |r| r.edit(Seq(5), "second", Parts::NONE),
            |r| r.edit(Seq(7), "third", &mentions(2)),
            |r| r.delete(Seq(6)),
        ];
        for chosen in 0..16u32 {
            let set: Vec<Step> =
                steps.iter().enumerate().filter(|(i, _)| chosen >> i & 1 == 1).map(|(_, s)| *s).collect();
            let mut expected = MessageRow::default();
            for step in &set {
                step(&mut expected);
            }
            for order in 0..set.len().pow(set.len() as u32) {
                // Every sequence over the set that is long enough, repeats included; those that miss a
                // member are finished with the whole set.
                let mut row = MessageRow::default();
                let mut code = order;
                for _ in 0..set.len() {
                    set[code % set.len()](&mut row);
                    code /= set.len();
                }
                for step in set.iter().rev() {
                    step(&mut row);
                }
                assert_eq!(row, expected);
            }
            if chosen & 8 != 0 {
                assert_eq!((expected.text, expected.parts), (String::new(), Parts::default()));
            }
        }
    }

    #[test]
    fn an_older_reaction_does_not_undo_a_newer_one() {
        let (mut state, user) = (MessageState::default(), UserId([2; 16]));
        state.react(Seq(9), user, true, "x");
        state.react(Seq(8), user, false, "x");
        assert!(state.reactions.iter().all(|r| r.on && r.rev == Seq(9)));
        state.react(Seq(10), user, false, "x");
        state.row.post(Seq(1), facts(1), "t", Parts::NONE);
        let view = state.view(RoomId::NIL, Seq(1)).expect("posted");
        assert!(matches!(view.body, StoredBody::Message(m) if m.reactions.is_empty()));
    }
}
