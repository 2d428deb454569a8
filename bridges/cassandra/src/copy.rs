//! Dumping and filling the message log.
//!
//! Thread: a bridge's, or that of whoever copies. Rows are filled cell by cell with the timestamps that their records would have had, so what
//! is filled late, twice, or beside an append loses or wins as those do. Keys and intents get what is left of their time.
//!
//! The epoch that rooms have at least is a row of `cursors`: a number that only grows, as those of journals do. Their names have a slash, its has
//! none.
//!
//! Limits: [`Limits`](crate::Limits). What can fail: the server; a row that cannot be read.

use std::collections::{BTreeMap, HashMap};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use lynk_domain::{Epoch, Key, Millis, RoomId, Seq, UserId};
use lynk_model::dump::LogRow;
use lynk_model::port::key_of;
use lynk_model::{Body, MessageState, MetaChange, MetaTransaction, Position, StoredBody, StoredEvent};
use uuid::Uuid;

use crate::place::{self, FINAL, bound, number, unsigned, uuid};
use crate::read::{MessageCells, message_row, react};
use crate::statement::Row;
use crate::store::Shared;
use crate::write::{INTENT_LIFE_SECONDS, Partition, bucket_of, mentioned, micros, post, requests};
use crate::{Fault, value};

/// Row of `cursors` with the epoch.
pub(crate) const EPOCH: &str = "epoch";
/// Keys that are looked up at a time.
const KEYS_AT_A_TIME: usize = 32;

impl Shared {
    pub(crate) async fn logged_rooms(&self, after: RoomId, limit: u32) -> Result<Vec<RoomId>, Fault> {
        let mut found = Vec::new();
        let first = if after == RoomId::NIL { 0 } else { place::head_shard(after) };
        let mut last = uuid(after.0);
        for shard in first..i32::from(place::SPREAD) {
            let left = i32::try_from(limit as usize - found.len()).unwrap_or(i32::MAX);
            if left == 0 {
                break;
            }
            let rows: Vec<(Uuid,)> =
                self.rows(&self.statements.reads.heads_after, (shard, last, left)).await?;
            found.extend(rows.into_iter().map(|(room,)| RoomId(*room.as_bytes())));
            last = Uuid::nil();
        }
        Ok(found)
    }

    pub(crate) async fn log_rows(&self, room: RoomId, from: Seq, to: Seq) -> Result<Vec<LogRow>, Fault> {
        type Cells = (i64, Option<Vec<u8>>, Option<String>, Option<Vec<u8>>, Option<i64>, Option<i64>);
        let floor = self.head(room).await?.floor;
        let (from, to) = (bound(from.max(floor.next())), bound(to));
        let mut found = Vec::new();
        if from > to {
            return Ok(found);
        }
        let reads = &self.statements.reads;
        for bucket in place::bucket(from)..=place::bucket(to) {
            let (first, last) = place::seqs(bucket);
            let (low, high) = (first.max(from), last.min(to));
            let values = (uuid(room.0), bucket, low, high, i32::MAX);
            let (rows, reactions, events) = tokio::try_join!(
                self.rows::<Cells>(&reads.messages_up, values),
                self.reactions(room, bucket, (low, high)),
                self.rows::<(i64, Vec<u8>)>(&reads.events_up, values),
            )?;
            let mut messages: BTreeMap<Seq, MessageState> = BTreeMap::new();
            for (seq, facts, text, parts, edited, deleted) in rows {
                let seq = Seq(unsigned(seq)?);
                let cells: MessageCells = (facts, text, parts, edited, deleted);
                messages.entry(seq).or_default().row = message_row(seq, cells)?;
            }
            for reaction in &reactions {
                react(messages.entry(Seq(unsigned(reaction.0)?)).or_default(), reaction)?;
            }
            found.extend(messages.into_iter().map(|(seq, state)| LogRow::Message { seq, state }));
            for (seq, event) in events {
                found.push(LogRow::Event(value::decode_event(room, Seq(unsigned(seq)?), &event)?));
            }
        }
        Ok(found)
    }

    pub(crate) async fn log_keys(
        &self,
        room: RoomId,
        rows: &[LogRow],
        since: Millis,
    ) -> Result<Vec<LogRow>, Fault> {
        let keys: Vec<(UserId, Key)> = rows
            .iter()
            .filter_map(key_of)
            .filter(|(_, key, wall)| !key.is_nil() && *wall >= since)
            .map(|(sender, key, _)| (sender, key))
            .collect();
        let asked = keys.into_iter().map(|(sender, key)| async move {
            let used = self.find_key(room, sender, key).await?;
            Ok::<_, Fault>(used.map(|used| LogRow::Key { sender, key, used }))
        });
        let found: Vec<Option<LogRow>> = stream::iter(asked).buffered(KEYS_AT_A_TIME).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    pub(crate) async fn fill_log(&self, room: RoomId, rows: &[LogRow], now: Millis) -> Result<(), Fault> {
        let mut filling = Filling { room, now, key_life: self.key_life, partitions: HashMap::new() };
        for row in rows {
            filling.put_row(row)?;
        }
        let limits = &self.limits;
        let waiting = filling
            .partitions
            .into_values()
            .flat_map(|rows| requests(rows, limits.request_rows, limits.request_bytes));
        self.send(waiting).await.finish()
    }

    pub(crate) async fn epoch(&self) -> Result<Epoch, Fault> {
        let epoch = self.cursor(EPOCH).await?.0;
        Ok(Epoch(u32::try_from(epoch).map_err(|_| Fault::corrupt("an epoch has more than 32 bits"))?))
    }

    pub(crate) async fn raise_epoch(&self, epoch: Epoch) -> Result<(), Fault> {
        let number = i64::from(epoch.0);
        let moved =
            self.session.execute_unpaged(&self.statements.writes.cursor, (number, number, EPOCH)).await;
        moved.map_err(|error| Fault::of_write(&error))?;
        self.note_epoch(epoch);
        Ok(())
    }
}

/// Rows of a room on their way into partitions.
struct Filling<'a> {
    room: RoomId,
    now: Millis,
    /// Seconds.
    key_life: i32,
    partitions: HashMap<Partition, Vec<Row<'a>>>,
}

impl<'a> Filling<'a> {
    fn put(&mut self, partition: Partition, row: Row<'a>) {
        self.partitions.entry(partition).or_default().push(row);
    }

    fn put_row(&mut self, row: &'a LogRow) -> Result<(), Fault> {
        match row {
            LogRow::Message { seq, state } => self.message(*seq, state),
            LogRow::Event(event) => self.event(event),
            LogRow::Key { sender, key, used } => {
                let Some(life) = self.left(Millis(used.wall), self.key_life) else { return Ok(()) };
                let part = place::key_slot(self.room, *key);
                let (room, sender, key) = (uuid(self.room.0), uuid(sender.0), uuid(key.0));
                let (stamp, used) = (micros(Millis(used.wall))?, value::encode_found(used));
                let row = Row::UsedKey { part, room, sender, key, used, stamp, life };
                self.put(Partition::Keys(part.0, part.1), row);
                Ok(())
            }
            LogRow::Position { user, position } => self.position(*user, position),
            LogRow::Intent(intent) => self.intent(intent),
            LogRow::Head(head) => {
                let (shard, room) = (place::head_shard(self.room), uuid(self.room.0));
                for (number, row) in place::head_cells(head) {
                    self.put(Partition::Heads(shard), row(shard, room, place::number(number)?));
                }
                Ok(())
            }
        }
    }

    /// Seconds that are left of `life`; `None` when it is over.
    fn left(&self, since: Millis, life: i32) -> Option<i32> {
        let age = i32::try_from(self.now.0.saturating_sub(since.0) / 1_000).ok()?;
        Some(life.saturating_sub(age)).filter(|left| *left > 0)
    }

    fn message(&mut self, seq: Seq, state: &'a MessageState) -> Result<(), Fault> {
        let (partition, at) = bucket_of(self.room, seq)?;
        let row = &state.row;
        if let Some(facts) = &row.facts {
            let stamp = number(seq.0)?;
            let (text, parts) = row.posted();
            self.put(partition, post(at, facts, text, parts, stamp));
            for row in mentioned(at, parts, stamp) {
                self.put(partition, row);
            }
            self.put(partition, Row::Sent { at, sender: uuid(facts.sender.0), stamp });
        }
        if row.edited != Seq(0) {
            let rev = number(row.edited.0)?;
            for row in mentioned(at, &row.parts, rev) {
                self.put(partition, row);
            }
            let parts = value::encode_parts(&row.parts);
            self.put(partition, Row::Edit { at, text: &row.text, parts, rev });
        }
        if row.deleted != Seq(0) {
            let rev = number(row.deleted.0)?;
            self.put(partition, Row::Empty { at, stamp: FINAL });
            self.put(partition, Row::Delete { at, rev });
            self.put(partition, Row::Deleted { at, stamp: rev });
        }
        for reaction in &state.reactions {
            let (user, rev) = (uuid(reaction.user.0), number(reaction.rev.0)?);
            self.put(partition, Row::Reaction { at, user, emoji: &reaction.emoji, rev, on: reaction.on });
        }
        Ok(())
    }

    fn event(&mut self, event: &StoredEvent) -> Result<(), Fault> {
        let (partition, at) = bucket_of(self.room, event.seq)?;
        let body = match &event.body {
            StoredBody::Edit { target, .. } => Body::edit_of(*target),
            StoredBody::Delete { target } => Body::Delete { target: *target },
            StoredBody::Reaction { target, on, emoji } => Body::Reaction { target: *target, on: *on, emoji },
            StoredBody::Meta { version, event } => Body::Meta { version: *version, event: event.clone() },
            StoredBody::Message(_) => return Err(Fault::corrupt("a message is not a row of the events")),
        };
        let rev = number(event.rev.0)?;
        self.put(partition, Row::Event { at, event: value::encode_stored(event, &body), rev });
        Ok(())
    }

    fn position(&mut self, user: UserId, position: &Position) -> Result<(), Fault> {
        let (room, user) = (uuid(self.room.0), uuid(user.0));
        let partition = Partition::Room(self.room);
        let (read, stamp) = (value::encode_read(position), place::position_stamp(position));
        self.put(partition, Row::ReadTo { room, user, read, stamp });
        self.put(partition, Row::DeliveredTo { room, user, delivered: number(position.delivered.0)? });
        Ok(())
    }

    fn intent(&mut self, intent: &MetaTransaction) -> Result<(), Fault> {
        let MetaChange::Event(event) = &intent.change else { return Ok(()) };
        let Some(life) = self.left(intent.wall, INTENT_LIFE_SECONDS) else { return Ok(()) };
        let body = Body::Intent { content_hash: intent.content_hash, event: event.clone() };
        let (room, actor, key) = (uuid(self.room.0), uuid(intent.actor.0), uuid(intent.key.0));
        let (stamp, intent) = (micros(intent.wall)?, value::encode_intent(intent.wall, &body));
        self.put(Partition::Room(self.room), Row::Intent { room, actor, key, intent, stamp, life });
        Ok(())
    }
}
