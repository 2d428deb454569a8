//! A page of a room's log.
//!
//! Thread: a bridge's. The range is walked bucket by bucket. In each, messages and events are read in parts of the size of what the page
//! still wants, then the reactions of those messages and the texts that edits among the events show.
//!
//! Limits: [`PART_ROWS_MAX`] rows of each kind are held beside the page. What can fail: the server; a row that cannot be read.

use std::collections::{BTreeMap, BTreeSet};

use lynk_domain::{RoomId, Seq};
use lynk_model::{MessageState, PageBuilder, PageQuery, PageReply, StoredBody, StoredEvent};

use crate::place::{self, bound, number, unsigned, uuid};
use crate::read::{Walk, message_row, react};
use crate::store::Shared;
use crate::{Fault, value};

/// Rows of one kind that are read at a time.
const PART_ROWS_MAX: u32 = 512;
/// The same, at least: a page of one message must not ask for every event between two messages alone.
const PART_ROWS_MIN: u32 = 4;

/// Part of a bucket.
#[derive(Clone, Copy)]
struct Part {
    room: RoomId,
    bucket: i64,
    low: i64,
    high: i64,
    backward: bool,
    all: bool,
    rows: u32,
}

/// What a part held.
struct Read {
    messages: BTreeMap<Seq, MessageState>,
    events: BTreeMap<Seq, StoredEvent>,
    /// The last seq that the part speaks for, in its direction; `None` when it speaks for all of it.
    end: Option<i64>,
    /// Whether there was any row.
    met: bool,
}

impl Shared {
    pub(crate) async fn page(&self, query: &PageQuery) -> Result<PageReply, Fault> {
        let PageQuery { room, backward, all, limit, .. } = *query;
        let mut builder = PageBuilder::new(query);
        let (from, to) = (bound(query.from), bound(query.to));
        if query.from > query.to {
            return Ok(builder.finish());
        }
        let mut wanted = limit.max(1);
        let mut walk = Walk::new(room, from, to, backward);
        let mut met = true;
        while let Some(bucket) = walk.step(self, met).await? {
            let (first, last) = place::seqs(bucket);
            let (mut low, mut high) = (first.max(from), last.min(to));
            met = false;
            while low <= high {
                // One more than wanted tells where the page is cut.
                let rows = wanted.saturating_add(1).clamp(PART_ROWS_MIN, PART_ROWS_MAX);
                let read = self.part(Part { room, bucket, low, high, backward, all, rows }).await?;
                met |= read.met;
                for event in self.shown(room, backward, read.messages, read.events).await? {
                    if !builder.push(event) {
                        return Ok(builder.finish());
                    }
                    wanted = wanted.saturating_sub(1);
                }
                match read.end {
                    None => break,
                    Some(end) if backward => high = end - 1,
                    Some(end) => low = end + 1,
                }
            }
        }
        Ok(builder.finish())
    }

    /// Reads one part: messages with their reactions, and events.
    async fn part(&self, part: Part) -> Result<Read, Fault> {
        type MessageRow = (i64, Option<Vec<u8>>, Option<String>, Option<Vec<u8>>, Option<i64>, Option<i64>);
        let Part { room, bucket, low, high, backward, all, rows } = part;
        let reads = &self.statements.reads;
        let values = (uuid(room.0), bucket, low, high, rows as i32);
        let (messages, events) = tokio::try_join!(
            async {
                let statement = if backward { &reads.messages_down } else { &reads.messages_up };
                self.rows::<MessageRow>(statement, values).await
            },
            async {
                let statement = if backward { &reads.events_down } else { &reads.events_up };
                if all { self.rows::<(i64, Vec<u8>)>(statement, values).await } else { Ok(Vec::new()) }
            },
        )?;
        // A kind that was cut speaks only for what comes before its last row.
        let cut = |count: usize, last: Option<i64>| last.filter(|_| count >= rows as usize);
        let ends = [
            cut(messages.len(), messages.last().map(|row| row.0)),
            cut(events.len(), events.last().map(|row| row.0)),
        ];
        let ends = ends.into_iter().flatten();
        let end = if backward { ends.max() } else { ends.min() };
        let inside = |seq: i64| end.is_none_or(|end| if backward { seq >= end } else { seq <= end });
        let met = !messages.is_empty() || !events.is_empty();
        let mut read = Read { messages: BTreeMap::new(), events: BTreeMap::new(), end, met };
        for (seq, facts, text, parts, edited, deleted) in messages {
            // Changes of a message that has not come are not shown.
            if facts.is_some() && inside(seq) {
                let seq = Seq(unsigned(seq)?);
                let row = message_row(seq, (facts, text, parts, edited, deleted))?;
                read.messages.insert(seq, MessageState { row, reactions: Vec::new() });
            }
        }
        for (seq, event) in events {
            if inside(seq) {
                let seq = Seq(unsigned(seq)?);
                read.events.insert(seq, value::decode_event(room, seq, &event)?);
            }
        }
        if let (Some(first), Some(last)) = (read.messages.keys().next(), read.messages.keys().next_back()) {
            let range = (number(first.0)?, number(last.0)?);
            for reaction in self.reactions(room, bucket, range).await? {
                if let Some(state) = read.messages.get_mut(&Seq(unsigned(reaction.0)?)) {
                    react(state, &reaction)?;
                }
            }
        }
        Ok(read)
    }

    /// The events of a part in the order of the page, edits with what their messages say now.
    async fn shown(
        &self,
        room: RoomId,
        backward: bool,
        messages: BTreeMap<Seq, MessageState>,
        mut events: BTreeMap<Seq, StoredEvent>,
    ) -> Result<Vec<StoredEvent>, Fault> {
        let mut elsewhere = BTreeSet::new();
        for event in events.values_mut() {
            if let StoredBody::Edit { target, text, parts } = &mut event.body {
                match messages.get(target) {
                    Some(state) => {
                        text.clone_from(&state.row.text);
                        parts.clone_from(&state.row.parts);
                    }
                    None => {
                        elsewhere.insert(number(target.0)?);
                    }
                }
            }
        }
        if !elsewhere.is_empty() {
            let said: BTreeMap<_, _> = self.said(room, elsewhere).await?.into_iter().collect();
            for event in events.values_mut() {
                if let StoredBody::Edit { target, text, parts } = &mut event.body
                    && let Some((now, beside)) = said.get(&number(target.0)?)
                {
                    text.clone_from(now);
                    parts.clone_from(beside);
                }
            }
        }
        events.extend(messages.into_iter().filter_map(|(seq, state)| Some((seq, state.view(room, seq)?))));
        let shown = events.into_values();
        Ok(if backward { shown.rev().collect() } else { shown.collect() })
    }
}
