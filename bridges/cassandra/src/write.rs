//! Appends: records become rows by partition, then requests.
//!
//! Thread: a bridge's. Nothing is read: what a record says is written with the timestamp that makes it win or lose on its own.
//!
//! One request writes rows of one partition, so each replica applies it whole. Several are under way at a time, in any order; the cursor
//! is written when all of them are answered. Whatever an append leaves behind when it fails is a subset of the batch's records, which
//! are all beyond the cursor: they are applied again, and change nothing then.
//!
//! Limits: [`Limits`](crate::Limits). What can fail: the server; a payload that cannot be decoded, which is seen before anything is
//! written.

use std::collections::HashMap;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lynk_domain::{Lsn, Millis, RoomId, Seq, UserId};
use lynk_model::{Body, MessageFacts, Parts, Position, Record, RecordHead, RecordKind, RoomHead};
use scylla::statement::batch::{Batch, BatchType};

use crate::connect::KEY_LIFE_MIN;
use crate::place::{self, FINAL, number, uuid};
use crate::statement::{At, Row};
use crate::store::Shared;
use crate::{Fault, FaultKind, value};

/// How long an intent is found: 6 days. Its key tells that it is done, and must outlive it.
pub(crate) const INTENT_LIFE_SECONDS: i32 = 6 * 24 * 60 * 60;
const _: () = assert!((INTENT_LIFE_SECONDS as u64) < KEY_LIFE_MIN.as_secs());

/// Rows that one request may write. Tables that share the columns of their key share partitions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Partition {
    /// Messages, events, reactions and what finds them.
    Bucket(RoomId, i64),
    /// Used keys of a shard and slot.
    Keys(i32, i32),
    /// Heads of a shard.
    Heads(i32),
    /// Positions and intents.
    Room(RoomId),
}

/// A member's positions in a batch.
#[derive(Default)]
struct Reached {
    position: Position,
    read: bool,
    delivered: bool,
}

/// Rows of a batch.
pub(crate) struct Plan<'a> {
    key_life: i32,
    partitions: HashMap<Partition, Vec<Row<'a>>>,
    heads: HashMap<RoomId, RoomHead>,
    positions: HashMap<(RoomId, UserId), Reached>,
}

impl<'a> Plan<'a> {
    /// Rows of `batch`; keys are found for `key_life` seconds.
    pub(crate) fn of(batch: &'a [Record<'a>], key_life: i32) -> Result<Self, Fault> {
        let (partitions, heads, positions) = (HashMap::new(), HashMap::new(), HashMap::new());
        let mut plan = Self { key_life, partitions, heads, positions };
        for record in batch {
            plan.apply(record)?;
        }
        Ok(plan)
    }

    fn put(&mut self, partition: Partition, row: Row<'a>) {
        self.partitions.entry(partition).or_default().push(row);
    }

    fn apply(&mut self, record: &'a Record<'a>) -> Result<(), Fault> {
        let head = &record.head;
        let body = Body::decode(head.kind, record.payload).map_err(Fault::corrupt)?;
        self.heads.entry(head.room).or_default().absorb(head.kind, head.seq, &body);
        match &body {
            Body::Message { id, n, reply_to, text, parts } => {
                let facts = MessageFacts::of(head, *id, *n, *reply_to);
                let (partition, at) = bucket_of(head.room, head.seq)?;
                let (stamp, sender) = (number(head.rev.0)?, uuid(head.sender.0));
                self.put(partition, post(at, &facts, text, parts, stamp));
                self.mention(partition, at, parts, stamp);
                self.put(partition, Row::Sent { at, sender, stamp });
                return self.use_key(head, &body);
            }
            Body::Edit { target, text, parts } => {
                let (partition, at) = bucket_of(head.room, *target)?;
                let rev = number(head.rev.0)?;
                self.mention(partition, at, parts, rev);
                let parts = value::encode_parts(parts);
                self.put(partition, Row::Edit { at, text, parts, rev });
            }
            Body::Delete { target } => {
                let (partition, at) = bucket_of(head.room, *target)?;
                let rev = number(head.rev.0)?;
                self.put(partition, Row::Empty { at, stamp: FINAL });
                self.put(partition, Row::Delete { at, rev });
                self.put(partition, Row::Deleted { at, stamp: rev });
            }
            Body::Reaction { target, on, emoji } => {
                let (partition, at) = bucket_of(head.room, *target)?;
                let (user, rev) = (uuid(head.sender.0), number(head.rev.0)?);
                self.put(partition, Row::Reaction { at, user, emoji, rev, on: *on });
            }
            Body::Meta { .. } => {}
            Body::Intent { .. } => return self.intend(head, &body),
            Body::Empty => return self.reach(head),
        }
        let (partition, at) = bucket_of(head.room, head.seq)?;
        let event = value::encode_event(head, &body);
        self.put(partition, Row::Event { at, event, rev: number(head.rev.0)? });
        self.use_key(head, &body)
    }

    fn mention(&mut self, partition: Partition, at: At, parts: &Parts, stamp: i64) {
        if parts.is_empty() {
            return;
        }
        let rows = self.partitions.entry(partition).or_default();
        rows.extend(mentioned(at, parts, stamp));
    }

    /// Keys and intents are written once, and their time of the event is their timestamp: files of expired ones are told by it.
    fn use_key(&mut self, head: &RecordHead, body: &Body<'_>) -> Result<(), Fault> {
        if head.key.is_nil() {
            return Ok(());
        }
        let part = place::key_slot(head.room, head.key);
        let (room, sender, key) = (uuid(head.room.0), uuid(head.sender.0), uuid(head.key.0));
        let (used, stamp, life) = (value::encode_used(head, body), micros(head.wall)?, self.key_life);
        self.put(
            Partition::Keys(part.0, part.1),
            Row::UsedKey { part, room, sender, key, used, stamp, life },
        );
        Ok(())
    }

    fn intend(&mut self, head: &RecordHead, body: &Body<'_>) -> Result<(), Fault> {
        let (room, actor, key) = (uuid(head.room.0), uuid(head.sender.0), uuid(head.key.0));
        let (intent, stamp) = (value::encode_intent(head.wall, body), micros(head.wall)?);
        let life = INTENT_LIFE_SECONDS;
        self.put(Partition::Room(head.room), Row::Intent { room, actor, key, intent, stamp, life });
        Ok(())
    }

    fn reach(&mut self, head: &RecordHead) -> Result<(), Fault> {
        if !matches!(head.kind, RecordKind::Read | RecordKind::Delivered) {
            return Ok(());
        }
        let reached = self.positions.entry((head.room, head.sender)).or_default();
        reached.position.reach(head);
        reached.read |= head.kind == RecordKind::Read;
        reached.delivered |= head.kind == RecordKind::Delivered;
        Ok(())
    }

    /// Rows by partition, the heads and positions of the batch among them.
    fn into_partitions(mut self) -> Result<impl Iterator<Item = Vec<Row<'a>>>, Fault> {
        for (room, head) in std::mem::take(&mut self.heads) {
            let (shard, id) = (place::head_shard(room), uuid(room.0));
            for (value, cell) in place::head_cells(&head) {
                self.put(Partition::Heads(shard), cell(shard, id, number(value)?));
            }
        }
        for ((room, user), reached) in std::mem::take(&mut self.positions) {
            let (partition, id, user) = (Partition::Room(room), uuid(room.0), uuid(user.0));
            if reached.read {
                let (read, stamp) =
                    (value::encode_read(&reached.position), place::position_stamp(&reached.position));
                self.put(partition, Row::ReadTo { room: id, user, read, stamp });
            }
            if reached.delivered {
                let delivered = number(reached.position.delivered.0)?;
                self.put(partition, Row::DeliveredTo { room: id, user, delivered });
            }
        }
        Ok(self.partitions.into_values())
    }
}

/// The row of a message's own record.
pub(crate) fn post<'a>(at: At, facts: &MessageFacts, text: &'a str, parts: &Parts, stamp: i64) -> Row<'a> {
    let facts = value::encode_facts(facts);
    if parts.is_empty() {
        return Row::Post { at, facts, text, stamp };
    }
    Row::PostParts { at, facts, text, parts: value::encode_parts(parts), stamp }
}

/// Rows that find a message by whom it mentions; nil stands for everybody. They stay when an edit takes a mention back: whoever finds
/// one asks the message.
pub(crate) fn mentioned<'a>(at: At, parts: &Parts, stamp: i64) -> Vec<Row<'a>> {
    let all = parts.mentions.all().then_some(UserId::NIL);
    let users = all.into_iter().chain(parts.mentions.users().iter().copied());
    users.map(|user| Row::Mentioned { at, user: uuid(user.0), stamp }).collect()
}

pub(crate) fn bucket_of(room: RoomId, seq: Seq) -> Result<(Partition, At), Fault> {
    let seq = number(seq.0)?;
    let bucket = place::bucket(seq);
    Ok((Partition::Bucket(room, bucket), At { room: uuid(room.0), bucket, seq }))
}

/// A time as the server counts it.
pub(crate) fn micros(wall: Millis) -> Result<i64, Fault> {
    number(wall.0.saturating_mul(1_000))
}

/// Cuts a partition's rows into requests.
pub(crate) fn requests<'a>(rows: Vec<Row<'a>>, rows_max: usize, bytes_max: usize) -> Vec<Vec<Row<'a>>> {
    let (mut requests, mut current, mut bytes) = (Vec::new(), Vec::new(), 0);
    for row in rows {
        let more = row.bytes();
        if !current.is_empty() && (current.len() >= rows_max.max(1) || bytes + more > bytes_max) {
            requests.push(std::mem::take(&mut current));
            bytes = 0;
        }
        bytes += more;
        current.push(row);
    }
    requests.push(current);
    requests
}

/// What became of the requests of an append.
#[derive(Default)]
pub(crate) struct Outcome {
    written: bool,
    fault: Option<Fault>,
}

impl Outcome {
    fn note(&mut self, result: Result<(), Fault>) {
        match result {
            Ok(()) => self.written = true,
            // One that may be written decides, whatever else fails.
            Err(fault) if fault.kind == FaultKind::Unknown => self.fault = Some(fault),
            Err(fault) => {
                self.fault.get_or_insert(fault);
            }
        }
    }

    /// A refusal means that nothing was written only when nothing was.
    pub(crate) fn finish(self) -> Result<(), Fault> {
        match self.fault {
            None => Ok(()),
            Some(fault) if self.written => Err(Fault { kind: FaultKind::Unknown, ..fault }),
            Some(fault) => Err(fault),
        }
    }
}

impl Shared {
    /// Writes a batch, then its cursor.
    pub(crate) async fn append(&self, source: &str, cursor: Lsn, batch: &[Record<'_>]) -> Result<(), Fault> {
        let lsn = number(cursor.0)?;
        let limits = &self.limits;
        let waiting = Plan::of(batch, self.key_life)?
            .into_partitions()?
            .flat_map(|rows| requests(rows, limits.request_rows, limits.request_bytes));
        let mut outcome = self.send(waiting).await;
        if outcome.fault.is_none() {
            let moved =
                self.session.execute_unpaged(&self.statements.writes.cursor, (lsn, lsn, source)).await;
            outcome.note(moved.map(|_| ()).map_err(|error| Fault::of_write(&error)));
        }
        outcome.finish()
    }

    /// Sends requests, some at a time.
    pub(crate) async fn send<'a>(&self, mut waiting: impl Iterator<Item = Vec<Row<'a>>>) -> Outcome {
        let mut outcome = Outcome::default();
        let mut sent = FuturesUnordered::new();
        loop {
            // After a failure nothing more is sent; what is under way tells whether anything was written.
            while outcome.fault.is_none() && sent.len() < self.limits.in_flight.max(1) {
                let Some(rows) = waiting.next() else { break };
                sent.push(self.write(rows));
            }
            match sent.next().await {
                Some(result) => outcome.note(result),
                None => break,
            }
            if outcome.fault.as_ref().is_some_and(|fault| fault.kind == FaultKind::Unknown) {
                break;
            }
        }
        outcome
    }

    /// One request: rows of one partition.
    async fn write(&self, rows: Vec<Row<'_>>) -> Result<(), Fault> {
        let writes = &self.statements.writes;
        let sent = match rows.as_slice() {
            [row] => self.session.execute_unpaged(row.statement(writes), row).await.map(|_| ()),
            rows => {
                let statements = rows.iter().map(|row| row.statement(writes).clone().into()).collect();
                let mut batch = Batch::new_with_statements(BatchType::Unlogged, statements);
                batch.set_is_idempotent(true);
                batch.set_execution_profile_handle(Some(self.write_profile.clone()));
                self.session.batch(&batch, rows).await.map(|_| ())
            }
        };
        sent.map_err(|error| Fault::of_write(&error))
    }

    /// Forgets a cursor as it stands; one that moved on meanwhile stays.
    pub(crate) async fn forget(&self, source: &str) -> Result<(), Fault> {
        // The delete wins over equal timestamps, and the cursor is its own.
        let lsn = number(self.cursor(source).await?.0)?;
        let gone = self.session.execute_unpaged(&self.statements.writes.forget, (lsn, source)).await;
        gone.map(|_| ()).map_err(|error| Fault::of_write(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: usize, text: &'static str) -> Vec<Row<'static>> {
        let at = At { room: uuid([0; 16]), bucket: 0, seq: 1 };
        (0..count).map(|_| Row::Edit { at, text, parts: Vec::new(), rev: 1 }).collect()
    }

    #[test]
    fn requests_are_bounded_by_rows_and_bytes_and_lose_nothing() {
        let sizes = |requests: Vec<Vec<Row<'_>>>| requests.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(requests(rows(5, "x"), 2, 1 << 20)), [2, 2, 1]);
        assert_eq!(sizes(requests(rows(3, "0123456789"), 100, 250)), [2, 1]);
        assert_eq!(sizes(requests(rows(2, "0123456789"), 100, 1)), [1, 1], "a great row goes alone");
    }

    #[test]
    fn a_refusal_after_something_was_written_is_unknown() {
        let refused = || Err(Fault::new(FaultKind::Unavailable, "away"));
        let mut outcome = Outcome::default();
        outcome.note(refused());
        assert_eq!(outcome.finish().expect_err("failed").kind, FaultKind::Unavailable);
        let mut outcome = Outcome::default();
        outcome.note(refused());
        outcome.note(Ok(()));
        assert_eq!(outcome.finish().expect_err("failed").kind, FaultKind::Unknown);
        let mut outcome = Outcome::default();
        outcome.note(Err(Fault::new(FaultKind::Unknown, "timed out")));
        outcome.note(refused());
        assert_eq!(outcome.finish().expect_err("failed").kind, FaultKind::Unknown);
    }
}
