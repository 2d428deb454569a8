//! Reads of the message log.

use std::collections::BTreeSet;
use std::iter::Peekable;

use fjall::{Guard, Iter, Keyspace};
use lynk_domain::{Epoch, Key, Lsn, MessageId, Ordinal, RoomId, Seq, UserId};
use lynk_model::port::NotUnread;
use lynk_model::{
    FoundKey, MessageFacts, MessageState, MetaTransaction, PageBuilder, PageQuery, PageReply, Position,
    ReadState, Record, RecordHead, RecordKind, RoomHead, StoredBody, StoredEvent,
};

use super::key::{self, Table};
use super::value::{self, KeyRow};
use crate::Fault;

pub(super) fn head(keyspace: &Keyspace, room: RoomId) -> Result<RoomHead, Fault> {
    let head = match keyspace.get(key::prefix(room, Table::Head))? {
        Some(value) => value::decode_head(&value)?,
        None => RoomHead::default(),
    };
    Ok(RoomHead { epoch: head.epoch.max(floor(keyspace)?), ..head })
}

/// The epoch that rooms have at least.
pub(super) fn floor(keyspace: &Keyspace) -> Result<Epoch, Fault> {
    match keyspace.get(key::prefix(RoomId::NIL, Table::Head))? {
        Some(value) => Ok(value::decode_head(&value)?.epoch),
        None => Ok(Epoch::default()),
    }
}

pub(super) fn cursor(keyspace: &Keyspace, source: &str) -> Result<Lsn, Fault> {
    match keyspace.get(key::cursor(source))? {
        Some(value) => value::decode_u64(&value).map(Lsn),
        None => Ok(Lsn(0)),
    }
}

pub(super) fn find_key(
    keyspace: &Keyspace,
    room: RoomId,
    sender: UserId,
    key: Key,
) -> Result<Option<FoundKey>, Fault> {
    let Some(used) = keyspace.get(key::idempotency(room, sender, key))? else { return Ok(None) };
    let KeyRow { wall, seq, content_hash } = value::decode_key(&used)?;
    // Other events than messages have neither.
    let row = keyspace.get(key::by_seq(room, Table::Message, seq))?;
    let facts = row.map(|row| value::decode_facts(seq, &row)).transpose()?.flatten();
    let (n, id) = facts.map_or((Ordinal(0), MessageId::NIL), |MessageFacts { n, id, .. }| (n, id));
    Ok(Some(FoundKey { seq, n, id, wall: wall.0, content_hash }))
}

pub(super) fn intents(keyspace: &Keyspace, room: RoomId) -> Result<Vec<MetaTransaction>, Fault> {
    let mut intents = Vec::new();
    for guard in keyspace.prefix(key::prefix(room, Table::Intent)) {
        let (key, value) = guard.into_inner()?;
        let (sender, key) = key::split_intent(&key).ok_or_else(|| Fault::corrupt("a stored key is short"))?;
        let (wall, payload) = value::decode_intent(&value)?;
        let (kind, seq) = (RecordKind::Intent, Seq(0));
        let head = RecordHead { kind, flags: 0, room, seq, rev: seq, wall, sender, key };
        intents.extend(MetaTransaction::of_intent(&Record { head, payload }).map_err(Fault::corrupt)?);
    }
    Ok(intents)
}

/// The message's row and all its reactions.
pub(super) fn message(keyspace: &Keyspace, room: RoomId, seq: Seq) -> Result<Option<MessageState>, Fault> {
    let row = keyspace.get(key::by_seq(room, Table::Message, seq))?;
    let row = row.map(|value| value::decode_message(seq, &value)).transpose()?;
    let (from, to) = key::reactions(room, seq, seq);
    let mut state = MessageState { row: row.clone().unwrap_or_default(), reactions: Vec::new() };
    Reactions::new(keyspace.range(from..=to), false).add_to(seq, &mut state)?;
    Ok((row.is_some() || !state.reactions.is_empty()).then_some(state))
}

pub(super) fn event(keyspace: &Keyspace, room: RoomId, seq: Seq) -> Result<Option<StoredEvent>, Fault> {
    if let Some(value) = keyspace.get(key::by_seq(room, Table::Event, seq))? {
        return render(keyspace, value::decode_event(room, seq, &value)?).map(Some);
    }
    Ok(message(keyspace, room, seq)?.and_then(|state| state.view(room, seq)))
}

/// Lets an edit say what its target says now.
fn render(keyspace: &Keyspace, mut event: StoredEvent) -> Result<StoredEvent, Fault> {
    if let StoredBody::Edit { target, text, parts } = &mut event.body
        && let Some(value) = keyspace.get(key::by_seq(event.room, Table::Message, *target))?
    {
        let row = value::decode_message(*target, &value)?;
        (*text, *parts) = (row.text, row.parts);
    }
    Ok(event)
}

/// An iterator that runs up or down.
struct Scan {
    rows: Iter,
    backward: bool,
}

impl Iterator for Scan {
    type Item = Guard;
    fn next(&mut self) -> Option<Guard> {
        if self.backward { self.rows.next_back() } else { self.rows.next() }
    }
}

/// Rows of one table that end in a seq, read one ahead.
struct SeqRows {
    rows: Scan,
    ahead: Option<(Seq, fjall::UserValue)>,
}

impl SeqRows {
    fn new(rows: Iter, backward: bool) -> Result<Self, Fault> {
        let mut rows = Self { rows: Scan { rows, backward }, ahead: None };
        rows.step()?;
        Ok(rows)
    }

    /// An empty table.
    fn none(keyspace: &Keyspace) -> Result<Self, Fault> {
        Self::new(keyspace.range::<&[u8], _>(..=&[][..]), false)
    }

    /// Takes the row that is ahead.
    fn step(&mut self) -> Result<Option<(Seq, fjall::UserValue)>, Fault> {
        let next = match self.rows.next() {
            Some(guard) => {
                let (key, value) = guard.into_inner()?;
                let seq = key::trailing_seq(&key).ok_or_else(|| Fault::corrupt("a stored key is short"))?;
                Some((seq, value))
            }
            None => None,
        };
        Ok(std::mem::replace(&mut self.ahead, next))
    }
}

/// Reactions in the order of the messages they belong to, consumed beside a scan of those.
struct Reactions {
    rows: Peekable<ReactionRows>,
    backward: bool,
}

type Reacted = (Seq, UserId, String, Seq, bool);

/// Decodes reaction rows.
struct ReactionRows(Scan);

impl Iterator for ReactionRows {
    type Item = Result<Reacted, Fault>;
    fn next(&mut self) -> Option<Self::Item> {
        let guard = self.0.next()?;
        Some((|| {
            let (key, value) = guard.into_inner()?;
            let (target, user, emoji) =
                key::split_reaction(&key).ok_or_else(|| Fault::corrupt("a stored reaction key is wrong"))?;
            let (rev, on) = value::decode_reaction(&value)?;
            Ok((target, user, emoji.to_owned(), rev, on))
        })())
    }
}

impl Reactions {
    fn new(rows: Iter, backward: bool) -> Self {
        Self { rows: ReactionRows(Scan { rows, backward }).peekable(), backward }
    }

    /// Adds the reactions of the message at `seq`, which is the next one of the scan.
    fn add_to(&mut self, seq: Seq, state: &mut MessageState) -> Result<(), Fault> {
        let backward = self.backward;
        let reached = move |target: Seq| if backward { target >= seq } else { target <= seq };
        while let Some(row) = self.rows.next_if(|row| row.as_ref().map_or(true, |row| reached(row.0))) {
            let (target, user, emoji, rev, on) = row?;
            if target == seq {
                state.react(rev, user, on, &emoji);
            }
        }
        Ok(())
    }
}

pub(super) fn page(keyspace: &Keyspace, query: &PageQuery) -> Result<PageReply, Fault> {
    let PageQuery { room, from, to, backward, all, .. } = *query;
    let mut builder = PageBuilder::new(query);
    if from > to {
        return Ok(builder.finish());
    }
    let mut messages = SeqRows::new(keyspace.range(key::seqs(room, Table::Message, from, to)), backward)?;
    let mut events = if all {
        SeqRows::new(keyspace.range(key::seqs(room, Table::Event, from, to)), backward)?
    } else {
        SeqRows::none(keyspace)?
    };
    let (first, last) = key::reactions(room, from, to);
    let mut reactions = Reactions::new(keyspace.range(first..=last), backward);
    loop {
        let message_first = match (&messages.ahead, &events.ahead) {
            (None, None) => break,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some((message, _)), Some((event, _))) => (message < event) != backward,
        };
        let found = if message_first {
            let Some((seq, value)) = messages.step()? else { break };
            let mut state = MessageState { row: value::decode_message(seq, &value)?, reactions: Vec::new() };
            if state.row.facts.is_none() {
                continue;
            }
            reactions.add_to(seq, &mut state)?;
            state.view(room, seq)
        } else {
            let Some((seq, value)) = events.step()? else { break };
            Some(render(keyspace, value::decode_event(room, seq, &value)?)?)
        };
        if found.is_some_and(|event| !builder.push(event)) {
            break;
        }
    }
    Ok(builder.finish())
}

/// Reads only the user's own messages, the deleted ones, and the next message after the cursor: a member who comes back to a long unread
/// history costs no scan of it.
pub(super) fn count_not_unread(
    keyspace: &Keyspace,
    room: RoomId,
    user: UserId,
    after: Seq,
    except: &BTreeSet<Seq>,
) -> Result<NotUnread, Fault> {
    let mut counted = NotUnread::default();
    let first = Seq(after.0.saturating_add(1));
    let last = Seq(u64::MAX);
    for guard in keyspace.range(key::own(room, user, first)..=key::own(room, user, last)) {
        let key = guard.key()?;
        if key::trailing_seq(&key).is_some_and(|seq| !except.contains(&seq)) {
            counted.own += 1;
        }
    }
    let mut deleted = SeqRows::new(keyspace.range(key::seqs(room, Table::Deleted, first, last)), false)?;
    while let Some((seq, sender)) = deleted.step()? {
        if *sender != user.0 && !except.contains(&seq) {
            counted.deleted += 1;
        }
    }
    let mut later = SeqRows::new(keyspace.range(key::seqs(room, Table::Message, first, last)), false)?;
    while let Some((seq, value)) = later.step()? {
        if except.contains(&seq) {
            continue;
        }
        if let Some(facts) = value::decode_facts(seq, &value)? {
            counted.next = Some((seq, facts.n));
            break;
        }
    }
    Ok(counted)
}

/// Messages that name the user, merged with those that name everybody.
pub(super) fn mentions(
    keyspace: &Keyspace,
    room: RoomId,
    user: UserId,
    after: Seq,
    except: &BTreeSet<Seq>,
    limit: u32,
) -> Result<Vec<(Seq, UserId)>, Fault> {
    let first = Seq(after.0.saturating_add(1));
    let rows = |of: UserId| {
        let range = key::mentioned(room, of, first)..=key::mentioned(room, of, Seq(u64::MAX));
        SeqRows::new(keyspace.range(range), false)
    };
    let (mut named, mut everybody) = (rows(user)?, rows(UserId::NIL)?);
    let mut found = Vec::new();
    while found.len() < limit as usize {
        let next = match (&named.ahead, &everybody.ahead) {
            (None, None) => break,
            (Some((one, _)), Some((other, _))) if one == other => {
                named.step()?;
                everybody.step()?
            }
            (Some((one, _)), Some((other, _))) if other < one => everybody.step()?,
            (None, Some(_)) => everybody.step()?,
            (Some(_), _) => named.step()?,
        };
        let Some((seq, sender)) = next else { break };
        let sender = sender.first_chunk().ok_or_else(|| Fault::corrupt("a stored mention is short"))?;
        let sender = UserId(*sender);
        if sender != user && !except.contains(&seq) {
            found.push((seq, sender));
        }
    }
    Ok(found)
}

pub(super) fn read_state(
    keyspace: &Keyspace,
    room: RoomId,
    user: UserId,
) -> Result<Option<ReadState>, Fault> {
    let Some(value) = keyspace.get(key::position(room, user))? else { return Ok(None) };
    let Position { round, read, delivered } = value::decode_position(&value)?;
    Ok(Some(ReadState { user, round, read, delivered }))
}

pub(super) fn reads(keyspace: &Keyspace, room: RoomId) -> Result<Vec<ReadState>, Fault> {
    let mut states = Vec::new();
    for guard in keyspace.prefix(key::prefix(room, Table::Position)) {
        let (key, value) = guard.into_inner()?;
        let user = key::trailing_user(&key).ok_or_else(|| Fault::corrupt("a stored key is short"))?;
        let Position { round, read, delivered } = value::decode_position(&value)?;
        states.push(ReadState { user, round, read, delivered });
    }
    Ok(states)
}
