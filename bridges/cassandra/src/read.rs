//! Reads of single rows, of a room's small tables, and counts.
//!
//! Thread: a bridge's. A read asks a quorum of the data centre, as writes do, so it sees every append that has returned. It may see part
//! of one that has not, see `docs/cassandra.md`.
//!
//! Limits: results without a bound of their own come in pages of the driver's. What can fail: the server; a row that this program cannot
//! read.

use std::collections::BTreeSet;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use lynk_domain::{Key, Lsn, Ordinal, RoomId, Seq, UserId};
use lynk_model::port::NotUnread;
use lynk_model::{
    FoundKey, MessageFacts, MessageRow, MessageState, MetaTransaction, Parts, ReadState, Record, RecordHead,
    RecordKind, RoomHead, StoredBody, StoredEvent,
};
use scylla::deserialize::row::DeserializeRow;
use scylla::response::PagingState;
use scylla::serialize::row::SerializeRow;
use scylla::statement::prepared::PreparedStatement;
use uuid::Uuid;

use crate::place::{self, bound, bucket, number, unsigned, uuid};
use crate::store::Shared;
use crate::{Fault, value};

/// Seqs that one statement names at most.
pub(crate) const NAMED_MAX: usize = 100;
/// Buckets that one count reads at a time.
pub(crate) const BUCKETS_AT_A_TIME: usize = 16;
/// Messages that are looked at, at a time, for the nearest one of a seq: those of which only a change has arrived do not count.
const NEAREST_ROWS: i32 = 16;

/// Columns of a message that changes may have made before it came.
pub(crate) type MessageCells = (Option<Vec<u8>>, Option<String>, Option<Vec<u8>>, Option<i64>, Option<i64>);

/// A message's row out of its cells.
pub(crate) fn message_row(seq: Seq, cells: MessageCells) -> Result<MessageRow, Fault> {
    let (facts, text, parts, edited, deleted) = cells;
    let facts = facts.as_deref().map(value::decode_facts).transpose()?;
    let (edited, deleted) = (Seq(unsigned(edited.unwrap_or(0))?), Seq(unsigned(deleted.unwrap_or(0))?));
    // The rev of a message's own record is its seq.
    let posted = if facts.is_some() { seq } else { Seq(0) };
    Ok(MessageRow {
        facts,
        rev: posted.max(edited).max(deleted),
        edited,
        deleted,
        text: text.unwrap_or_default(),
        parts: parts.as_deref().map(value::decode_parts).transpose()?.unwrap_or_default(),
    })
}

/// A reaction: target, user, emoji, rev, and whether it is set.
pub(crate) type ReactionCells = (i64, Uuid, String, i64, bool);

/// Adds a reaction to the message that it is of.
pub(crate) fn react(
    state: &mut MessageState,
    (_, user, emoji, rev, on): &ReactionCells,
) -> Result<(), Fault> {
    state.react(Seq(unsigned(*rev)?), UserId(*user.as_bytes()), *on, emoji);
    Ok(())
}

/// The buckets of a range of seqs, one after the other. Where the range has no end, the room's head is its end, which is asked for when a
/// bucket turns out empty.
pub(crate) struct Walk {
    room: RoomId,
    next: Option<i64>,
    last: i64,
    backward: bool,
    clamped: bool,
}

impl Walk {
    pub(crate) fn new(room: RoomId, from: i64, to: i64, backward: bool) -> Self {
        let (low, high) = (bucket(from), bucket(to));
        let (next, last) = if backward { (high, low) } else { (low, high) };
        Self { room, next: (from <= to).then_some(next), last, backward, clamped: false }
    }

    /// The next bucket. `met` says whether the last one had rows.
    pub(crate) async fn step(&mut self, shared: &Shared, met: bool) -> Result<Option<i64>, Fault> {
        let Some(mut current) = self.next else { return Ok(None) };
        let endless = self.backward && current > bucket(1 << 53);
        if !self.clamped && (!met || endless) && current != self.last {
            self.clamped = true;
            let top = bucket(bound(shared.head(self.room).await?.top));
            if self.backward {
                current = current.min(top.max(self.last));
            } else {
                self.last = self.last.min(top);
            }
        }
        let over = if self.backward { current < self.last } else { current > self.last };
        if over {
            self.next = None;
            return Ok(None);
        }
        let step = if self.backward { current.checked_sub(1) } else { current.checked_add(1) };
        self.next = step.filter(|_| current != self.last);
        Ok(Some(current))
    }
}

impl Shared {
    /// All rows of a statement, page by page.
    pub(crate) async fn rows<R>(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<Vec<R>, Fault>
    where
        R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
    {
        let (mut rows, mut state) = (Vec::new(), PagingState::start());
        loop {
            let page = self.session.execute_single_page(statement, &values, state).await;
            let (result, rest) = page.map_err(|error| Fault::of_read(&error))?;
            let result = result.into_rows_result()?;
            for row in result.rows::<R>()? {
                rows.push(row?);
            }
            match rest.into_paging_control_flow() {
                std::ops::ControlFlow::Break(()) => return Ok(rows),
                std::ops::ControlFlow::Continue(next) => state = next,
            }
        }
    }

    /// The row of a whole primary key.
    async fn row<R>(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<Option<R>, Fault>
    where
        R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
    {
        Ok(self.rows(statement, values).await?.pop())
    }

    pub(crate) async fn cursor(&self, source: &str) -> Result<Lsn, Fault> {
        let row: Option<(Option<i64>,)> = self.row(&self.statements.reads.cursor, (source,)).await?;
        unsigned(row.and_then(|(lsn,)| lsn).unwrap_or(0)).map(Lsn)
    }

    pub(crate) async fn head(&self, room: RoomId) -> Result<RoomHead, Fault> {
        type Cells = (Option<i64>, Option<i64>, Option<i64>, Option<i64>, Option<i64>);
        let values = (place::head_shard(room), uuid(room.0));
        let row: Option<Cells> = self.row(&self.statements.reads.head, values).await?;
        let (top, top_n, version, reserved, floor) = row.unwrap_or_default();
        Ok(RoomHead {
            epoch: self.floor(),
            top: Seq(unsigned(top.unwrap_or(0))?),
            top_n: Ordinal(unsigned(top_n.unwrap_or(0))?),
            version: unsigned(version.unwrap_or(0))?,
            reserved: Seq(unsigned(reserved.unwrap_or(0))?),
            floor: Seq(unsigned(floor.unwrap_or(0))?),
        })
    }

    pub(crate) async fn reads(&self, room: RoomId) -> Result<Vec<ReadState>, Fault> {
        type Cells = (Uuid, Option<Vec<u8>>, Option<i64>);
        let rows: Vec<Cells> = self.rows(&self.statements.reads.positions, (uuid(room.0),)).await?;
        let state = |(user, read, delivered): Cells| -> Result<ReadState, Fault> {
            let (round, read) = read.as_deref().map(value::decode_read).transpose()?.unwrap_or_default();
            let delivered = Seq(unsigned(delivered.unwrap_or(0))?);
            Ok(ReadState { user: UserId(*user.as_bytes()), round, read, delivered })
        };
        let mut states = rows.into_iter().map(state).collect::<Result<Vec<_>, _>>()?;
        // The server orders ids by their version first.
        states.sort_unstable_by_key(|state| state.user);
        Ok(states)
    }

    pub(crate) async fn find_key(
        &self,
        room: RoomId,
        sender: UserId,
        key: Key,
    ) -> Result<Option<FoundKey>, Fault> {
        if key.is_nil() {
            return Ok(None);
        }
        let (shard, slot) = place::key_slot(room, key);
        let values = (shard, slot, uuid(room.0), uuid(sender.0), uuid(key.0));
        let row: Option<(Vec<u8>,)> = self.row(&self.statements.reads.used_key, values).await?;
        row.map(|(used,)| value::decode_used(&used)).transpose()
    }

    pub(crate) async fn intents(&self, room: RoomId) -> Result<Vec<MetaTransaction>, Fault> {
        type Cells = (Uuid, Uuid, Vec<u8>);
        let rows: Vec<Cells> = self.rows(&self.statements.reads.intents, (uuid(room.0),)).await?;
        let mut intents = Vec::with_capacity(rows.len());
        for (actor, key, intent) in rows {
            let (wall, payload) = value::decode_intent(&intent)?;
            let (sender, key) = (UserId(*actor.as_bytes()), Key(*key.as_bytes()));
            let (kind, seq) = (RecordKind::Intent, Seq(0));
            let head = RecordHead { kind, flags: 0, room, seq, rev: seq, wall, sender, key };
            intents.extend(MetaTransaction::of_intent(&Record { head, payload }).map_err(Fault::corrupt)?);
        }
        intents.sort_unstable_by_key(|intent| (intent.actor, intent.key));
        Ok(intents)
    }

    /// Reactions to the messages of a bucket, from one seq to another.
    pub(crate) async fn reactions(
        &self,
        room: RoomId,
        bucket: i64,
        (from, to): (i64, i64),
    ) -> Result<Vec<ReactionCells>, Fault> {
        self.rows(&self.statements.reads.reactions, (uuid(room.0), bucket, from, to)).await
    }

    pub(crate) async fn message(&self, room: RoomId, seq: Seq) -> Result<Option<MessageState>, Fault> {
        let Ok(at) = number(seq.0) else { return Ok(None) };
        let values = (uuid(room.0), bucket(at), at);
        let (row, reactions) = tokio::try_join!(
            self.row::<MessageCells>(&self.statements.reads.message, values),
            self.reactions(room, bucket(at), (at, at)),
        )?;
        if row.is_none() && reactions.is_empty() {
            return Ok(None);
        }
        let mut state = MessageState::default();
        if let Some(cells) = row {
            state.row = message_row(seq, cells)?;
        }
        for reaction in &reactions {
            react(&mut state, reaction)?;
        }
        Ok(Some(state))
    }

    pub(crate) async fn event(&self, room: RoomId, seq: Seq) -> Result<Option<StoredEvent>, Fault> {
        let Ok(at) = number(seq.0) else { return Ok(None) };
        let values = (uuid(room.0), bucket(at), at);
        let (event, message) = tokio::try_join!(
            self.row::<(Vec<u8>,)>(&self.statements.reads.event, values),
            self.message(room, seq),
        )?;
        let Some((event,)) = event else { return Ok(message.and_then(|state| state.view(room, seq))) };
        let mut event = value::decode_event(room, seq, &event)?;
        if let StoredBody::Edit { target, text, parts } = &mut event.body {
            let named = BTreeSet::from([number(target.0)?]);
            if let Some((_, said)) = self.said(room, named).await?.pop() {
                (*text, *parts) = said;
            }
        }
        Ok(Some(event))
    }

    /// What messages say, where there is anything.
    pub(crate) async fn said(
        &self,
        room: RoomId,
        seqs: BTreeSet<i64>,
    ) -> Result<Vec<(i64, (String, Parts))>, Fault> {
        type Cells = (i64, Option<String>, Option<Vec<u8>>);
        let named = self.named(room, seqs, |shared, values| async move {
            shared.rows::<Cells>(&shared.statements.reads.said_of, values).await
        });
        let mut found = Vec::new();
        for (seq, text, parts) in named.await? {
            if let Some(text) = text {
                let parts = parts.as_deref().map(value::decode_parts).transpose()?.unwrap_or_default();
                found.push((seq, (text, parts)));
            }
        }
        Ok(found)
    }

    /// Facts of messages, where they have arrived.
    async fn facts(&self, room: RoomId, seqs: BTreeSet<i64>) -> Result<Vec<(i64, MessageFacts)>, Fault> {
        type Cells = (i64, Option<Vec<u8>>);
        let named = self.named(room, seqs, |shared, values| async move {
            shared.rows::<Cells>(&shared.statements.reads.facts_of, values).await
        });
        let mut found = Vec::new();
        for (seq, facts) in named.await? {
            if let Some(facts) = facts {
                found.push((seq, value::decode_facts(&facts)?));
            }
        }
        Ok(found)
    }

    /// What `ask` tells of seqs, by bucket and in statements of [`NAMED_MAX`], some at a time.
    pub(crate) async fn named<'s, T, F>(
        &'s self,
        room: RoomId,
        seqs: BTreeSet<i64>,
        ask: impl Fn(&'s Self, (Uuid, i64, Vec<i64>)) -> F,
    ) -> Result<Vec<T>, Fault>
    where
        F: Future<Output = Result<Vec<T>, Fault>>,
    {
        let seqs: Vec<i64> = seqs.into_iter().collect();
        let parts = seqs.chunk_by(|a, b| bucket(*a) == bucket(*b)).flat_map(|part| part.chunks(NAMED_MAX));
        let asked: Vec<F> = parts
            .filter_map(|part| Some(ask(self, (uuid(room.0), bucket(*part.first()?), part.to_vec()))))
            .collect();
        let answers: Vec<Vec<T>> =
            stream::iter(asked).buffer_unordered(BUCKETS_AT_A_TIME).try_collect().await?;
        Ok(answers.into_iter().flatten().collect())
    }

    /// The first message from a seq on that has arrived and is not in `except`.
    async fn next(
        &self,
        room: RoomId,
        from: i64,
        except: &BTreeSet<Seq>,
    ) -> Result<Option<(Seq, MessageFacts)>, Fault> {
        let statement = &self.statements.reads.facts_up;
        let mut walk = Walk::new(room, from, i64::MAX, false);
        let mut met = true;
        while let Some(bucket) = walk.step(self, met).await? {
            let (first, last) = place::seqs(bucket);
            let (mut low, high) = (first.max(from), last);
            met = false;
            while low <= high {
                type Cells = (i64, Option<Vec<u8>>);
                let values = (uuid(room.0), bucket, low, high, NEAREST_ROWS);
                let rows: Vec<Cells> = self.rows(statement, values).await?;
                met |= !rows.is_empty();
                let more = rows.len() >= NEAREST_ROWS as usize;
                for (seq, facts) in rows {
                    low = seq + 1;
                    let seq = Seq(unsigned(seq)?);
                    if let Some(facts) = facts.filter(|_| !except.contains(&seq)) {
                        return Ok(Some((seq, value::decode_facts(&facts)?)));
                    }
                }
                if !more {
                    break;
                }
            }
        }
        Ok(None)
    }

    /// Reads only the user's own messages, the deleted ones, and the next message after the cursor: a member who comes back to a long
    /// unread history costs two small reads for each bucket of it, and no scan.
    pub(crate) async fn count_not_unread(
        &self,
        room: RoomId,
        user: UserId,
        after: Seq,
        except: &BTreeSet<Seq>,
    ) -> Result<NotUnread, Fault> {
        let Some(first) = bound(after).checked_add(1) else {
            return Ok(NotUnread::default());
        };
        let (next, (own, deleted)) =
            tokio::try_join!(self.next(room, first, except), self.marked(room, user, first))?;
        let wanted = |seq: &i64| !except.contains(&Seq(*seq as u64));
        let others: BTreeSet<i64> =
            deleted.into_iter().filter(|seq| wanted(seq) && !own.contains(seq)).collect();
        // A delete may have come before its message, which then is none yet.
        let deleted = if others.is_empty() { 0 } else { self.facts(room, others).await?.len() };
        Ok(NotUnread {
            own: own.iter().filter(|seq| wanted(seq)).count() as u64,
            deleted: deleted as u64,
            next: next.map(|(seq, facts)| (seq, facts.n)),
        })
    }

    /// Own messages of a user, and deleted ones of all, from a seq on.
    async fn marked(
        &self,
        room: RoomId,
        user: UserId,
        first: i64,
    ) -> Result<(BTreeSet<i64>, BTreeSet<i64>), Fault> {
        let reads = &self.statements.reads;
        let top = bound(self.head(room).await?.top);
        let buckets = bucket(first)..=bucket(top.max(first));
        let answers = stream::iter(buckets).map(|bucket| async move {
            tokio::try_join!(
                self.rows::<(i64,)>(&reads.sent, (uuid(room.0), bucket, uuid(user.0), first)),
                self.rows::<(i64,)>(&reads.deleted, (uuid(room.0), bucket, first)),
            )
        });
        let answers: Vec<_> = answers.buffer_unordered(BUCKETS_AT_A_TIME).try_collect().await?;
        let (mut own, mut deleted) = (BTreeSet::new(), BTreeSet::new());
        for (sent, gone) in answers {
            own.extend(sent.into_iter().map(|(seq,)| seq));
            deleted.extend(gone.into_iter().map(|(seq,)| seq));
        }
        Ok((own, deleted))
    }
}
