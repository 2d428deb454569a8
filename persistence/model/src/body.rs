//! Payloads of records, and the rows they become in a store.
//!
//! Layout, little-endian, first byte of every payload is the body format version:
//! 1, or 2 for a message or an edit that says more than a text.
//!
//! | kind | after the version byte |
//! |---|---|
//! | Message | id 16, n u64, reply_to u64 (0: none), in version 2 [`Parts`], text to the end |
//! | Edit | target u64, in version 2 [`Parts`], text to the end |
//! | Delete | target u64 |
//! | Reaction | target u64, on u8, emoji to the end |
//! | Meta | version u64, then [`MetaEvent`](crate::MetaEvent) |
//! | Reserve, Read, Delivered, Retain | nothing |
//! | Intent | hash of the command u64, then [`MetaEvent`](crate::MetaEvent) |

use std::borrow::Cow;

use lynk_domain::{Key, MessageId, Millis, Ordinal, RoomId, Seq, UserId};

use crate::{MetaEvent, Parts, Record, RecordKind};

/// Version byte of payloads.
const BODY_VERSION: u8 = 1;
/// Version byte of messages and edits that say more than a text.
const BODY_VERSION_PARTS: u8 = 2;

/// A decoded payload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body<'a> {
    /// A posted message.
    Message {
        /// The message's id.
        id: MessageId,
        /// Its ordinal among the room's messages.
        n: Ordinal,
        /// The message it answers; 0 for none.
        reply_to: Seq,
        /// Text as sent.
        text: &'a str,
        /// What it says beside the text.
        parts: Cow<'a, Parts>,
    },
    /// New text of a message.
    Edit {
        /// Seq of the message.
        target: Seq,
        /// The new text.
        text: &'a str,
        /// What it says beside the text now.
        parts: Cow<'a, Parts>,
    },
    /// A message's content is gone.
    Delete {
        /// Seq of the message.
        target: Seq,
    },
    /// A reaction set or taken back.
    Reaction {
        /// Seq of the message.
        target: Seq,
        /// Set, or taken back.
        on: bool,
        /// The emoji.
        emoji: &'a str,
    },
    /// A change of the room or its members.
    Meta {
        /// The room's metadata version after the change.
        version: u64,
        /// The change.
        event: MetaEvent,
    },
    /// A kick, ban or mute that holds before the room store has it.
    Intent {
        /// Hash of the command's content, as in [`MetaTransaction`](crate::MetaTransaction).
        content_hash: u64,
        /// What holds.
        event: MetaEvent,
    },
    /// No payload beyond the version.
    Empty,
}

/// Why a payload cannot be read. The record's checksum was right, so this is a newer format or a bug.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum BodyError {
    /// The version byte is not one this build knows.
    Version(u8),
    /// Shorter than its kind needs.
    Short,
    /// Text that is not UTF-8.
    Text,
    /// An enum value that this build does not know.
    Value,
}

impl std::fmt::Display for BodyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Version(v) => write!(f, "payload format {v} is newer than this program reads"),
            Self::Short => f.write_str("payload is shorter than its kind needs"),
            Self::Text => f.write_str("payload text is not UTF-8"),
            Self::Value => f.write_str("payload holds a value this program does not know"),
        }
    }
}

impl std::error::Error for BodyError {}

/// Reads fixed-width fields off the front of a payload.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N], BodyError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(BodyError::Short)?;
        self.0 = rest;
        Ok(*head)
    }
    pub(crate) fn u8(&mut self) -> Result<u8, BodyError> {
        Ok(self.take::<1>()?[0])
    }
    pub(crate) fn u16(&mut self) -> Result<u16, BodyError> {
        Ok(u16::from_le_bytes(self.take()?))
    }
    pub(crate) fn u32(&mut self) -> Result<u32, BodyError> {
        Ok(u32::from_le_bytes(self.take()?))
    }
    pub(crate) fn u64(&mut self) -> Result<u64, BodyError> {
        Ok(u64::from_le_bytes(self.take()?))
    }
    pub(crate) fn text(&mut self, length: usize) -> Result<&'a str, BodyError> {
        let (head, rest) = self.0.split_at_checked(length).ok_or(BodyError::Short)?;
        self.0 = rest;
        std::str::from_utf8(head).map_err(|_| BodyError::Text)
    }
    pub(crate) fn rest(&mut self) -> Result<&'a str, BodyError> {
        let length = self.0.len();
        self.text(length)
    }
}

impl<'a> Body<'a> {
    /// An edit as its own row has it: what it says is in its message's row.
    #[must_use]
    pub fn edit_of(target: Seq) -> Self {
        Self::Edit { target, text: "", parts: Parts::none() }
    }

    /// Appends the encoded payload to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.version());
        match self {
            Self::Message { id, n, reply_to, text, parts } => {
                out.extend_from_slice(&id.0);
                out.extend_from_slice(&n.0.to_le_bytes());
                out.extend_from_slice(&reply_to.0.to_le_bytes());
                encode_parts(parts, out);
                out.extend_from_slice(text.as_bytes());
            }
            Self::Edit { target, text, parts } => {
                out.extend_from_slice(&target.0.to_le_bytes());
                encode_parts(parts, out);
                out.extend_from_slice(text.as_bytes());
            }
            Self::Delete { target } => out.extend_from_slice(&target.0.to_le_bytes()),
            Self::Reaction { target, on, emoji } => {
                out.extend_from_slice(&target.0.to_le_bytes());
                out.push(u8::from(*on));
                out.extend_from_slice(emoji.as_bytes());
            }
            Self::Meta { version, event } => {
                out.extend_from_slice(&version.to_le_bytes());
                event.encode(out);
            }
            Self::Intent { content_hash, event } => {
                out.extend_from_slice(&content_hash.to_le_bytes());
                event.encode(out);
            }
            Self::Empty => {}
        }
    }

    /// Decodes the payload of a record.
    ///
    /// # Errors
    /// When the payload is of a newer format or does not hold what its kind needs.
    pub fn decode(kind: RecordKind, payload: &'a [u8]) -> Result<Self, BodyError> {
        let mut r = Reader(payload);
        let version = r.u8()?;
        let has_parts = match (version, kind) {
            (BODY_VERSION, _) => false,
            (BODY_VERSION_PARTS, RecordKind::Message | RecordKind::Edit) => true,
            _ => return Err(BodyError::Version(version)),
        };
        Ok(match kind {
            RecordKind::Message => Self::Message {
                id: MessageId(r.take()?),
                n: Ordinal(r.u64()?),
                reply_to: Seq(r.u64()?),
                parts: decode_parts(has_parts, &mut r)?,
                text: r.rest()?,
            },
            RecordKind::Edit => {
                Self::Edit { target: Seq(r.u64()?), parts: decode_parts(has_parts, &mut r)?, text: r.rest()? }
            }
            RecordKind::Delete => Self::Delete { target: Seq(r.u64()?) },
            RecordKind::Reaction => {
                Self::Reaction { target: Seq(r.u64()?), on: r.u8()? != 0, emoji: r.rest()? }
            }
            RecordKind::Meta => Self::Meta { version: r.u64()?, event: MetaEvent::decode(r.0)? },
            RecordKind::Intent => Self::Intent { content_hash: r.u64()?, event: MetaEvent::decode(r.0)? },
            RecordKind::Reserve | RecordKind::Read | RecordKind::Delivered | RecordKind::Retain => {
                Self::Empty
            }
        })
    }

    fn version(&self) -> u8 {
        match self {
            Self::Message { parts, .. } | Self::Edit { parts, .. } if !parts.is_empty() => BODY_VERSION_PARTS,
            _ => BODY_VERSION,
        }
    }
}

fn encode_parts(parts: &Parts, out: &mut Vec<u8>) {
    if !parts.is_empty() {
        parts.encode(out);
    }
}

fn decode_parts<'a>(has_parts: bool, r: &mut Reader<'_>) -> Result<Cow<'a, Parts>, BodyError> {
    Ok(if has_parts { Cow::Owned(Parts::read(r)?) } else { Parts::none() })
}

/// Who reacted with what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reaction {
    /// The emoji.
    pub emoji: String,
    /// Who set it.
    pub user: UserId,
}

/// A message as it stands now: after edits, deletes and reactions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MessageView {
    /// The message's id.
    pub id: MessageId,
    /// Its ordinal.
    pub n: Ordinal,
    /// The message it answers; 0 for none.
    pub reply_to: Seq,
    /// Current text; empty when deleted.
    pub text: String,
    /// What it says beside the text now; nothing when deleted.
    pub parts: Parts,
    /// Seq of the last edit; 0 for none.
    pub edited: Seq,
    /// Seq of the delete; 0 when it stands.
    pub deleted: Seq,
    /// Reactions that stand, sorted by emoji, then user; none when deleted.
    pub reactions: Vec<Reaction>,
}

/// What a stored event says now. What an edit says is not stored twice: it is what the target says now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoredBody {
    /// A message in its current state.
    Message(MessageView),
    /// An edit: what the target says now, which is nothing when it was deleted since.
    Edit {
        /// Seq of the message.
        target: Seq,
        /// The target's text now.
        text: String,
        /// What the target says beside it now.
        parts: Parts,
    },
    /// A delete.
    Delete {
        /// Seq of the message.
        target: Seq,
    },
    /// A reaction as it happened.
    Reaction {
        /// Seq of the message.
        target: Seq,
        /// Set, or taken back.
        on: bool,
        /// The emoji.
        emoji: String,
    },
    /// A change of the room or its members.
    Meta {
        /// The room's metadata version after the change.
        version: u64,
        /// The change.
        event: MetaEvent,
    },
}

/// One row of a room's log, as a store returns it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredEvent {
    /// The room.
    pub room: RoomId,
    /// Position.
    pub seq: Seq,
    /// Seq of the row's last change: `seq`, or the edit or delete that changed it.
    pub rev: Seq,
    /// Server wall time.
    pub wall: Millis,
    /// Who caused it; nil for the server.
    pub sender: UserId,
    /// Idempotency key; nil for none.
    pub key: Key,
    /// Content.
    pub body: StoredBody,
}

impl StoredEvent {
    /// The row that a record of a seq-taking kind makes before any later change; `None` for other kinds.
    ///
    /// # Errors
    /// When the record's payload cannot be decoded.
    pub fn of_record(record: &Record<'_>) -> Result<Option<Self>, BodyError> {
        let body = match Body::decode(record.head.kind, record.payload)? {
            Body::Message { id, n, reply_to, text, parts } => StoredBody::Message(MessageView {
                id,
                n,
                reply_to,
                text: text.to_owned(),
                parts: parts.into_owned(),
                edited: Seq(0),
                deleted: Seq(0),
                reactions: Vec::new(),
            }),
            Body::Edit { target, text, parts } => {
                StoredBody::Edit { target, text: text.to_owned(), parts: parts.into_owned() }
            }
            Body::Delete { target } => StoredBody::Delete { target },
            Body::Reaction { target, on, emoji } => {
                StoredBody::Reaction { target, on, emoji: emoji.to_owned() }
            }
            Body::Meta { version, event } => StoredBody::Meta { version, event },
            Body::Intent { .. } | Body::Empty => return Ok(None),
        };
        let h = &record.head;
        Ok(Some(Self {
            room: h.room,
            seq: h.seq,
            rev: h.rev,
            wall: h.wall,
            sender: h.sender,
            key: h.key,
            body,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mentions;
    use lynk_domain::Role;

    #[test]
    fn every_body_survives_encoding() {
        let user = UserId([9; 16]);
        let mentions: Cow<'_, Parts> = Cow::Owned(Parts::of_mentions(Mentions::new(true, vec![user])));
        let message = |parts| {
            let (id, n, reply_to) = (MessageId([1; 16]), Ordinal(3), Seq(2));
            Body::Message { id, n, reply_to, text: "hé\u{1F600}", parts }
        };
        let file = crate::Attachment {
            id: lynk_domain::MediaId([4; 16]),
            kind: "a/b".to_owned(),
            ..Default::default()
        };
        let files: Cow<'_, Parts> = Cow::Owned(Parts { attachments: vec![file], ..Parts::default() });
        let none = Parts::none();
        let bodies = [
            (RecordKind::Message, message(none.clone())),
            (RecordKind::Message, message(mentions.clone())),
            (RecordKind::Message, message(files.clone())),
            (RecordKind::Edit, Body::Edit { target: Seq(7), text: "", parts: files }),
            (RecordKind::Edit, Body::Edit { target: Seq(7), text: "", parts: none }),
            (RecordKind::Edit, Body::Edit { target: Seq(7), text: "", parts: mentions }),
            (RecordKind::Delete, Body::Delete { target: Seq(7) }),
            (RecordKind::Reaction, Body::Reaction { target: Seq(7), on: true, emoji: "👍" }),
            (
                RecordKind::Meta,
                Body::Meta { version: 4, event: MetaEvent::Joined { user, role: Role::Moderator } },
            ),
            (RecordKind::Read, Body::Empty),
            (RecordKind::Intent, Body::Intent { content_hash: 5, event: MetaEvent::Left { user } }),
        ];
        for (kind, body) in bodies {
            let mut bytes = Vec::new();
            body.encode(&mut bytes);
            assert_eq!(Body::decode(kind, &bytes), Ok(body.clone()));
            for cut in 0..bytes.len() {
                // A cut payload is an error or another valid text, never a panic.
                let _ = Body::decode(kind, &bytes[..cut]);
            }
        }
        assert_eq!(Body::decode(RecordKind::Edit, &[3, 0]), Err(BodyError::Version(3)));
        assert_eq!(Body::decode(RecordKind::Delete, &[2, 0]), Err(BodyError::Version(2)));
    }

    #[test]
    fn a_text_alone_has_the_payload_that_it_always_had() {
        let mut bytes = Vec::new();
        let parts = Parts::none();
        Body::Edit { target: Seq(258), text: "hi", parts }.encode(&mut bytes);
        assert_eq!(bytes, [1, 2, 1, 0, 0, 0, 0, 0, 0, b'h', b'i']);
    }
}
