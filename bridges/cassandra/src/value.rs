//! Blobs inside rows. Part of the stored format; numbers little-endian unless said otherwise, first byte a format version.
//!
//! | column | after the version 1 |
//! |---|---|
//! | `messages.facts` | flags u8, id 16, n u64, wall u64, sender 16, then reply_to u64 and key 16 by their flags |
//! | `messages.parts` | no version: [`Parts`], or nothing at all when there are none |
//! | `events.event` | record kind u8, rev u64, wall u64, sender 16, key 16, the record's [`Body`]; an edit says nothing |
//! | `used_keys.used` | wall u64, seq u64, n u64, id 16, content hash u64 (0: not known) |
//! | `intents.intent` | wall u64, the record's [`Body`] |
//! | `positions.read_to` | no version: round u64, seq u64, big-endian, so that a greater position is a greater value |
//!
//! Thread: any; pure. A reader refuses versions and flags that it does not know.

use lynk_domain::{Key, MessageId, Millis, Ordinal, RoomId, Seq, UserId};
use lynk_model::port::body_hash;
use lynk_model::{
    Body, FoundKey, MessageFacts, OwnedRecord, Parts, Position, RecordHead, RecordKind, StoredEvent,
};

use crate::Fault;

const VERSION: u8 = 1;

const HAS_REPLY: u8 = 1;
const HAS_KEY: u8 = 2;
const KNOWN_FLAGS: u8 = 3;

/// Takes fixed-width fields off the front of a value.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (head, rest) =
            self.0.split_first_chunk::<N>().ok_or_else(|| Fault::corrupt("a stored value is short"))?;
        self.0 = rest;
        Ok(*head)
    }
    fn u8(&mut self) -> Result<u8, Fault> {
        Ok(u8::from_le_bytes(self.take()?))
    }
    fn u64(&mut self) -> Result<u64, Fault> {
        Ok(u64::from_le_bytes(self.take()?))
    }
    fn version(&mut self) -> Result<(), Fault> {
        match self.u8()? {
            VERSION => Ok(()),
            other => Err(Fault::corrupt(format_args!("a stored value has format {other}"))),
        }
    }
}

pub(crate) fn encode_facts(facts: &MessageFacts) -> Vec<u8> {
    let reply = if facts.reply_to == Seq(0) { 0 } else { HAS_REPLY };
    let key = if facts.key.is_nil() { 0 } else { HAS_KEY };
    let mut out = Vec::with_capacity(74);
    out.extend_from_slice(&[VERSION, reply | key]);
    out.extend_from_slice(&facts.id.0);
    out.extend_from_slice(&facts.n.0.to_le_bytes());
    out.extend_from_slice(&facts.wall.0.to_le_bytes());
    out.extend_from_slice(&facts.sender.0);
    if reply != 0 {
        out.extend_from_slice(&facts.reply_to.0.to_le_bytes());
    }
    if key != 0 {
        out.extend_from_slice(&facts.key.0);
    }
    out
}

pub(crate) fn decode_facts(value: &[u8]) -> Result<MessageFacts, Fault> {
    let mut fields = Fields(value);
    fields.version()?;
    let flags = fields.u8()?;
    if flags & !KNOWN_FLAGS != 0 {
        return Err(Fault::corrupt(format_args!("a stored message has unknown flags {flags:#x}")));
    }
    let (id, n) = (MessageId(fields.take()?), Ordinal(fields.u64()?));
    let (wall, sender) = (Millis(fields.u64()?), UserId(fields.take()?));
    let reply_to = if flags & HAS_REPLY != 0 { Seq(fields.u64()?) } else { Seq(0) };
    let key = if flags & HAS_KEY != 0 { Key(fields.take()?) } else { Key::NIL };
    Ok(MessageFacts { id, n, reply_to, wall, sender, key })
}

/// No bytes for no parts: an edit that says nothing more must outlive what was said before.
pub(crate) fn encode_parts(parts: &Parts) -> Vec<u8> {
    let mut out = Vec::new();
    if !parts.is_empty() {
        parts.encode(&mut out);
    }
    out
}

pub(crate) fn decode_parts(value: &[u8]) -> Result<Parts, Fault> {
    if value.is_empty() {
        return Ok(Parts::default());
    }
    let (parts, rest) = Parts::decode(value).map_err(Fault::corrupt)?;
    if rest.is_empty() {
        Ok(parts)
    } else {
        Err(Fault::corrupt("a stored message has bytes behind its parts"))
    }
}

/// As [`encode_event`], of an event that is stored already; `body` is its own.
pub(crate) fn encode_stored(event: &StoredEvent, body: &Body<'_>) -> Vec<u8> {
    let kind = match body {
        Body::Edit { .. } => RecordKind::Edit,
        Body::Delete { .. } => RecordKind::Delete,
        Body::Reaction { .. } => RecordKind::Reaction,
        _ => RecordKind::Meta,
    };
    let StoredEvent { room, seq, rev, wall, sender, key, .. } = *event;
    encode_event(&RecordHead { kind, flags: 0, room, seq, rev, wall, sender, key }, body)
}

pub(crate) fn encode_event(head: &RecordHead, body: &Body<'_>) -> Vec<u8> {
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

pub(crate) fn decode_event(room: RoomId, seq: Seq, value: &[u8]) -> Result<StoredEvent, Fault> {
    let mut fields = Fields(value);
    fields.version()?;
    let kind = RecordKind::from_u8(fields.u8()?)
        .ok_or_else(|| Fault::corrupt("a stored event has an unknown kind"))?;
    let (rev, wall) = (Seq(fields.u64()?), Millis(fields.u64()?));
    let (sender, key) = (UserId(fields.take()?), Key(fields.take()?));
    let head = RecordHead { kind, flags: 0, room, seq, rev, wall, sender, key };
    let record = OwnedRecord { head, payload: fields.0.to_vec() };
    let event = StoredEvent::of_record(&record.borrow()).map_err(Fault::corrupt)?;
    event.ok_or_else(|| Fault::corrupt("a stored event is of a kind without a row"))
}

/// All that a used key leads to: the message's row may be in another partition, and not be there yet.
pub(crate) fn encode_used(head: &RecordHead, body: &Body<'_>) -> Vec<u8> {
    let (n, id) = match body {
        Body::Message { n, id, .. } => (*n, *id),
        _ => (Ordinal(0), MessageId::NIL),
    };
    encode_found(&FoundKey { seq: head.seq, n, id, wall: head.wall.0, content_hash: body_hash(body) })
}

pub(crate) fn encode_found(used: &FoundKey) -> Vec<u8> {
    let mut out = Vec::with_capacity(49);
    out.push(VERSION);
    for number in [used.wall, used.seq.0, used.n.0] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&used.id.0);
    out.extend_from_slice(&used.content_hash.unwrap_or(0).to_le_bytes());
    out
}

pub(crate) fn decode_used(value: &[u8]) -> Result<FoundKey, Fault> {
    let mut fields = Fields(value);
    fields.version()?;
    Ok(FoundKey {
        wall: fields.u64()?,
        seq: Seq(fields.u64()?),
        n: Ordinal(fields.u64()?),
        id: MessageId(fields.take()?),
        content_hash: Some(fields.u64()?).filter(|hash| *hash != 0),
    })
}

pub(crate) fn encode_intent(wall: Millis, body: &Body<'_>) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend_from_slice(&wall.0.to_le_bytes());
    body.encode(&mut out);
    out
}

/// Wall time and payload of an intent.
pub(crate) fn decode_intent(value: &[u8]) -> Result<(Millis, &[u8]), Fault> {
    let mut fields = Fields(value);
    fields.version()?;
    Ok((Millis(fields.u64()?), fields.0))
}

pub(crate) fn encode_read(position: &Position) -> [u8; 16] {
    (u128::from(position.round) << 64 | u128::from(position.read.0)).to_be_bytes()
}

/// Round and seq.
pub(crate) fn decode_read(value: &[u8]) -> Result<(u64, Seq), Fault> {
    let bytes = value.try_into().map_err(|_| Fault::corrupt("a stored position has the wrong length"))?;
    let both = u128::from_be_bytes(bytes);
    Ok(((both >> 64) as u64, Seq(both as u64)))
}

#[cfg(test)]
mod tests {
    use lynk_model::Mentions;

    use super::*;

    #[test]
    fn facts_survive_and_no_cut_value_panics() {
        let plain = MessageFacts {
            id: MessageId([1; 16]),
            n: Ordinal(2),
            reply_to: Seq(0),
            wall: Millis(3),
            sender: UserId([4; 16]),
            key: Key::NIL,
        };
        for facts in
            [plain, MessageFacts { reply_to: Seq(9), ..plain }, MessageFacts { key: Key([5; 16]), ..plain }]
        {
            let value = encode_facts(&facts);
            assert_eq!(decode_facts(&value).expect("decodes"), facts);
            for cut in 0..value.len() {
                assert!(decode_facts(&value[..cut]).is_err());
            }
        }
        assert!(decode_facts(&[VERSION, 4]).is_err(), "an unknown flag is refused");
        assert!(decode_facts(&[2, 0]).is_err(), "a newer format is refused");
    }

    #[test]
    fn parts_survive_and_none_are_nothing() {
        let parts = Parts::of_mentions(Mentions::new(true, vec![UserId([3; 16])]));
        let value = encode_parts(&parts);
        assert_eq!(decode_parts(&value).expect("decodes"), parts);
        assert!(decode_parts(&value[..value.len() - 1]).is_err());
        assert!(decode_parts(&[value.as_slice(), &[0]].concat()).is_err());
        assert!(encode_parts(&Parts::default()).is_empty());
        assert_eq!(decode_parts(&[]).expect("decodes"), Parts::default());
    }

    #[test]
    fn events_keys_intents_and_positions_survive() {
        let head = RecordHead {
            kind: RecordKind::Edit,
            flags: 0,
            room: RoomId([1; 16]),
            seq: Seq(7),
            rev: Seq(7),
            wall: Millis(8),
            sender: UserId([2; 16]),
            key: Key([3; 16]),
        };
        let body = Body::Edit { target: Seq(5), text: "written", parts: Parts::none() };
        let value = encode_event(&head, &body);
        assert!(!value.windows(7).any(|window| window == b"written"), "an edit's text is not kept twice");
        let event = decode_event(head.room, head.seq, &value).expect("decodes");
        assert_eq!(
            (event.rev, event.wall, event.sender, event.key),
            (head.rev, head.wall, head.sender, head.key)
        );
        let used = decode_used(&encode_used(&head, &body)).expect("decodes");
        assert_eq!((used.seq, used.wall, used.content_hash), (Seq(7), 8, body_hash(&body)));
        assert!(decode_used(&[VERSION]).is_err());
        let position = Position { round: 3, read: Seq(9), delivered: Seq(1) };
        assert_eq!(decode_read(&encode_read(&position)).expect("decodes"), (3, Seq(9)));
        let greater = Position { round: 4, read: Seq(1), delivered: Seq(0) };
        assert!(encode_read(&position) < encode_read(&greater));
        assert!(decode_read(&[0; 15]).is_err());
    }
}
