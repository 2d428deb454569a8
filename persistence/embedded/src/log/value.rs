//! Values of the message log. Part of the stored format; numbers little-endian, first byte a format version.
//!
//! Message: version 1, flags u8, then each field whose flag is set: rev u64 (else the seq), edited u64,
//! deleted u64, facts (id 16, n u64, wall u64, sender 16, then reply_to u64 and key 16 by their own flags),
//! [`Parts`]; the text to the end. A reader refuses flags it does not know.
//!
//! Event: version 1, record kind u8, rev u64, wall u64, sender 16, key 16, then the record's
//! [`Body`](lynk_model::Body); an edit says nothing.
//!
//! The others: version 1, then the fields that `key` names, in that order. Cursors and the format are bare numbers, and
//! the index rows `own`, `deleted` and `mentioned` hold nothing more than `key` says.

use lynk_domain::{Epoch, Key, MessageId, Millis, Ordinal, RoomId, Seq, UserId};
use lynk_model::{
    Body, MessageFacts, MessageRow, OwnedRecord, Parts, Position, RecordHead, RecordKind, RoomHead,
    StoredEvent,
};

use super::floors::Dead;
use crate::Fault;

const VERSION: u8 = 1;

const HAS_FACTS: u8 = 1;
const HAS_REV: u8 = 2;
const HAS_EDITED: u8 = 4;
const HAS_DELETED: u8 = 8;
const HAS_REPLY: u8 = 16;
const HAS_KEY: u8 = 32;
const HAS_PARTS: u8 = 64;
const KNOWN_FLAGS: u8 = 127;

/// Takes fixed-width fields off the front of a value.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (head, rest) =
            self.0.split_first_chunk::<N>().ok_or_else(|| Fault::corrupt("a stored row is short"))?;
        self.0 = rest;
        Ok(*head)
    }
    fn u8(&mut self) -> Result<u8, Fault> {
        Ok(self.take::<1>()?[0])
    }
    fn u64(&mut self) -> Result<u64, Fault> {
        Ok(u64::from_le_bytes(self.take()?))
    }
    fn seq_if(&mut self, present: bool) -> Result<Seq, Fault> {
        if present { self.u64().map(Seq) } else { Ok(Seq(0)) }
    }
    fn version(&mut self) -> Result<(), Fault> {
        match self.u8()? {
            VERSION => Ok(()),
            other => Err(Fault::corrupt(format_args!("a stored row has format {other}"))),
        }
    }
    fn parts(&mut self) -> Result<Parts, Fault> {
        let (parts, rest) = Parts::decode(self.0).map_err(Fault::corrupt)?;
        self.0 = rest;
        Ok(parts)
    }
    fn text(self) -> Result<&'a str, Fault> {
        std::str::from_utf8(self.0).map_err(Fault::corrupt)
    }
}

fn flag(set: bool, bit: u8) -> u8 {
    if set { bit } else { 0 }
}

pub(super) fn encode_message(seq: Seq, row: &MessageRow) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 + 24 + 72 + row.text.len());
    let facts = row.facts.as_ref();
    let flags = flag(facts.is_some(), HAS_FACTS)
        | flag(row.rev != seq, HAS_REV)
        | flag(row.edited != Seq(0), HAS_EDITED)
        | flag(row.deleted != Seq(0), HAS_DELETED)
        | flag(facts.is_some_and(|f| f.reply_to != Seq(0)), HAS_REPLY)
        | flag(facts.is_some_and(|f| !f.key.is_nil()), HAS_KEY)
        | flag(!row.parts.is_empty(), HAS_PARTS);
    out.extend_from_slice(&[VERSION, flags]);
    for (bit, seq) in [(HAS_REV, row.rev), (HAS_EDITED, row.edited), (HAS_DELETED, row.deleted)] {
        if flags & bit != 0 {
            out.extend_from_slice(&seq.0.to_le_bytes());
        }
    }
    if let Some(facts) = facts {
        out.extend_from_slice(&facts.id.0);
        out.extend_from_slice(&facts.n.0.to_le_bytes());
        out.extend_from_slice(&facts.wall.0.to_le_bytes());
        out.extend_from_slice(&facts.sender.0);
        if flags & HAS_REPLY != 0 {
            out.extend_from_slice(&facts.reply_to.0.to_le_bytes());
        }
        if flags & HAS_KEY != 0 {
            out.extend_from_slice(&facts.key.0);
        }
    }
    if flags & HAS_PARTS != 0 {
        row.parts.encode(&mut out);
    }
    out.extend_from_slice(row.text.as_bytes());
    out
}

pub(super) fn decode_message(seq: Seq, value: &[u8]) -> Result<MessageRow, Fault> {
    let (row, text) = decode_message_head(seq, value)?;
    Ok(MessageRow { text: text.text()?.to_owned(), ..row })
}

/// The facts of a message row, without copying its text.
pub(super) fn decode_facts(seq: Seq, value: &[u8]) -> Result<Option<MessageFacts>, Fault> {
    Ok(decode_message_head(seq, value)?.0.facts)
}

fn decode_message_head(seq: Seq, value: &[u8]) -> Result<(MessageRow, Fields<'_>), Fault> {
    let mut fields = Fields(value);
    fields.version()?;
    let flags = fields.u8()?;
    if flags & !KNOWN_FLAGS != 0 {
        return Err(Fault::corrupt(format_args!("a stored message has unknown flags {flags:#x}")));
    }
    let rev = if flags & HAS_REV != 0 { Seq(fields.u64()?) } else { seq };
    let edited = fields.seq_if(flags & HAS_EDITED != 0)?;
    let deleted = fields.seq_if(flags & HAS_DELETED != 0)?;
    let facts = if flags & HAS_FACTS != 0 {
        let (id, n) = (MessageId(fields.take()?), Ordinal(fields.u64()?));
        let (wall, sender) = (Millis(fields.u64()?), UserId(fields.take()?));
        let reply_to = fields.seq_if(flags & HAS_REPLY != 0)?;
        let key = if flags & HAS_KEY != 0 { Key(fields.take()?) } else { Key::NIL };
        Some(MessageFacts { id, n, reply_to, wall, sender, key })
    } else {
        None
    };
    let parts = if flags & HAS_PARTS != 0 { fields.parts()? } else { Parts::default() };
    Ok((MessageRow { facts, rev, edited, deleted, text: String::new(), parts }, fields))
}

pub(super) fn encode_event(head: &RecordHead, body: &Body<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    out.extend_from_slice(&[VERSION, head.kind as u8]);
    out.extend_from_slice(&head.rev.0.to_le_bytes());
    out.extend_from_slice(&head.wall.0.to_le_bytes());
    out.extend_from_slice(&head.sender.0);
    out.extend_from_slice(&head.key.0);
    match body {
        Body::Edit { target, .. } => Body::edit_of(*target).encode(&mut out),
        other => other.encode(&mut out),
    }
    out
}

/// The rev of an event's row.
pub(super) fn decode_event_rev(value: &[u8]) -> Result<Seq, Fault> {
    let mut fields = Fields(value);
    fields.version()?;
    fields.u8()?;
    Ok(Seq(fields.u64()?))
}

pub(super) fn decode_event(room: RoomId, seq: Seq, value: &[u8]) -> Result<StoredEvent, Fault> {
    let mut fields = Fields(value);
    fields.version()?;
    let kind = RecordKind::from_u8(fields.u8()?)
        .ok_or_else(|| Fault::corrupt("a stored event has an unknown kind"))?;
    let head = RecordHead {
        kind,
        flags: 0,
        room,
        seq,
        rev: Seq(fields.u64()?),
        wall: Millis(fields.u64()?),
        sender: UserId(fields.take()?),
        key: Key(fields.take()?),
    };
    let record = OwnedRecord { head, payload: fields.0.to_vec() };
    let event = StoredEvent::of_record(&record.borrow()).map_err(Fault::corrupt)?;
    event.ok_or_else(|| Fault::corrupt("a stored event is of a kind without a row"))
}

pub(super) fn encode_reaction(rev: Seq, on: bool) -> [u8; 10] {
    let mut out = [VERSION; 10];
    out[1..9].copy_from_slice(&rev.0.to_le_bytes());
    out[9] = u8::from(on);
    out
}

pub(super) fn decode_reaction(value: &[u8]) -> Result<(Seq, bool), Fault> {
    let mut fields = Fields(value);
    fields.version()?;
    Ok((Seq(fields.u64()?), fields.u8()? != 0))
}

/// What a used idempotency key leads to. The event's row has the rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct KeyRow {
    pub(super) wall: Millis,
    pub(super) seq: Seq,
    pub(super) content_hash: Option<u64>,
}

pub(super) fn encode_key(used: &KeyRow) -> [u8; 25] {
    let mut out = [VERSION; 25];
    let numbers = [used.wall.0, used.seq.0, used.content_hash.unwrap_or(0)];
    for (place, number) in out[1..].chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    out
}

pub(super) fn decode_key(value: &[u8]) -> Result<KeyRow, Fault> {
    let mut fields = Fields(value);
    fields.version()?;
    let (wall, seq) = (Millis(fields.u64()?), Seq(fields.u64()?));
    Ok(KeyRow { wall, seq, content_hash: Some(fields.u64()?).filter(|hash| *hash != 0) })
}

pub(super) fn encode_position(position: &Position) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend_from_slice(&position.read.0.to_le_bytes());
    out.extend_from_slice(&position.delivered.0.to_le_bytes());
    if position.round > 0 {
        out.extend_from_slice(&position.round.to_le_bytes());
    }
    out
}

pub(super) fn decode_position(value: &[u8]) -> Result<Position, Fault> {
    let mut fields = Fields(value);
    fields.version()?;
    let (read, delivered) = (Seq(fields.u64()?), Seq(fields.u64()?));
    let round = if fields.0.is_empty() { 0 } else { fields.u64()? };
    Ok(Position { round, read, delivered })
}

pub(super) fn encode_intent(wall: Millis, body: &Body<'_>) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend_from_slice(&wall.0.to_le_bytes());
    body.encode(&mut out);
    out
}

/// Wall time and payload of an intent.
pub(super) fn decode_intent(value: &[u8]) -> Result<(Millis, &[u8]), Fault> {
    let mut fields = Fields(value);
    fields.version()?;
    Ok((Millis(fields.u64()?), fields.0))
}

pub(super) fn encode_head(head: &RoomHead) -> Vec<u8> {
    let mut out = Vec::with_capacity(45);
    out.push(VERSION);
    out.extend_from_slice(&head.epoch.0.to_le_bytes());
    for number in [head.top.0, head.top_n.0, head.version, head.reserved.0] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    if head.floor > Seq(0) {
        out.extend_from_slice(&head.floor.0.to_le_bytes());
    }
    out
}

pub(super) fn decode_head(value: &[u8]) -> Result<RoomHead, Fault> {
    let mut fields = Fields(value);
    fields.version()?;
    Ok(RoomHead {
        epoch: Epoch(u32::from_le_bytes(fields.take()?)),
        top: Seq(fields.u64()?),
        top_n: Ordinal(fields.u64()?),
        version: fields.u64()?,
        reserved: Seq(fields.u64()?),
        floor: if fields.0.is_empty() { Seq(0) } else { Seq(fields.u64()?) },
    })
}

pub(super) fn encode_floor(dead: Dead) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend_from_slice(&dead.from.0.to_le_bytes());
    out.extend_from_slice(&dead.floor.0.to_le_bytes());
    out
}

pub(super) fn decode_floor(value: &[u8]) -> Result<Dead, Fault> {
    let mut fields = Fields(value);
    fields.version()?;
    Ok(Dead { from: Seq(fields.u64()?), floor: Seq(fields.u64()?) })
}

/// A lone number: a cursor's lsn.
pub(super) fn decode_u64(value: &[u8]) -> Result<u64, Fault> {
    Fields(value).u64()
}

/// The store's format.
pub(super) fn decode_u32(value: &[u8]) -> Result<u32, Fault> {
    Ok(u32::from_le_bytes(Fields(value).take()?))
}

#[cfg(test)]
mod tests {
    use lynk_model::Mentions;

    use super::*;

    #[test]
    fn every_shape_of_message_row_survives_and_no_cut_value_panics() {
        let facts = MessageFacts {
            id: MessageId([1; 16]),
            n: Ordinal(2),
            reply_to: Seq(0),
            wall: Millis(3),
            sender: UserId([4; 16]),
            key: Key::NIL,
        };
        let full = MessageFacts { reply_to: Seq(1), key: Key([5; 16]), ..facts };
        for facts in [None, Some(facts), Some(full)] {
            for (rev, edited, deleted, text) in [(7, 0, 0, "hé"), (9, 9, 0, "x"), (11, 9, 11, "")] {
                let (rev, edited, deleted) = (Seq(rev), Seq(edited), Seq(deleted));
                for users in [vec![], vec![UserId([8; 16]), UserId([9; 16])]] {
                    let parts = Parts::of_mentions(Mentions::new(false, users));
                    let row = MessageRow { facts, rev, edited, deleted, text: text.to_owned(), parts };
                    let value = encode_message(Seq(7), &row);
                    assert_eq!(decode_message(Seq(7), &value).expect("decodes"), row);
                    for cut in 0..value.len() {
                        let _ = decode_message(Seq(7), &value[..cut]);
                    }
                }
            }
        }
        assert!(decode_message(Seq(7), &[VERSION, 128]).is_err(), "an unknown flag is refused");
        assert!(decode_message(Seq(7), &[2, 0]).is_err(), "a newer format is refused");
    }

    #[test]
    fn a_plain_message_costs_66_bytes_beside_its_text() {
        let facts = MessageFacts {
            id: MessageId([1; 16]),
            n: Ordinal(2),
            reply_to: Seq(0),
            wall: Millis(3),
            sender: UserId([4; 16]),
            key: Key([5; 16]),
        };
        let row = MessageRow { facts: Some(facts), rev: Seq(7), ..MessageRow::default() };
        assert_eq!(encode_message(Seq(7), &row).len(), 66);
    }

    #[test]
    fn heads_and_keys_survive() {
        for (floor, bytes) in [(0, 37), (6, 45)] {
            let (epoch, floor) = (Epoch(1), Seq(floor));
            let head =
                RoomHead { epoch, top: Seq(2), top_n: Ordinal(3), version: 4, reserved: Seq(5), floor };
            let value = encode_head(&head);
            assert_eq!((value.len(), decode_head(&value).expect("decodes")), (bytes, head));
        }
        let dead = Dead { from: Seq(1), floor: Seq(2) };
        assert_eq!(decode_floor(&encode_floor(dead)).expect("decodes"), dead);
        for content_hash in [Some(5), None] {
            let used = KeyRow { wall: Millis(4), seq: Seq(1), content_hash };
            assert_eq!(decode_key(&encode_key(&used)).expect("decodes"), used);
        }
        assert_eq!(decode_reaction(&encode_reaction(Seq(4), true)).expect("decodes"), (Seq(4), true));
        for (round, bytes) in [(0, 17), (6, 25)] {
            let position = Position { round, read: Seq(4), delivered: Seq(5) };
            let value = encode_position(&position);
            assert_eq!((value.len(), decode_position(&value).expect("decodes")), (bytes, position));
        }
    }
}
