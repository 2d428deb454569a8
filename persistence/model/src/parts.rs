//! What a message says beside its text.
//!
//! Thread: any. Pure. In payloads and rows: the number of parts u8, then each as kind u8, length of the rest u16, the rest.
//! Numbers are little-endian, kinds ascend, and a part that says nothing is not written, so equal parts have equal bytes.
//!
//! | kind | the rest |
//! |---|---|
//! | 1 mentions | everybody u8, then users, 16 bytes each, ascending |
//! | 2 attachments | [`Attachment`]s, one after the other |
//!
//! A reader refuses kinds that it does not know: it would answer without them.
//!
//! Limits: a part has at most 65,535 bytes; whoever accepts commands bounds what is in it. What can fail: bytes of a newer program.

use std::borrow::Cow;

use lynk_domain::{MediaId, UserId};

use crate::body::Reader;
use crate::{ATTACHMENTS_MAX, Attachment, BodyError};

const MENTIONS: u8 = 1;
const ATTACHMENTS: u8 = 2;

/// Users that the mentions of one message may name at most, whatever is configured: they fit into a part.
pub const MENTIONED_USERS_MAX: usize = 4_000;
const _: () = assert!(MENTIONED_USERS_MAX * 16 < u16::MAX as usize);

/// Whom a message mentions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mentions {
    /// Everybody in the room.
    all: bool,
    /// Users, each once, ascending.
    users: Vec<UserId>,
}

impl Mentions {
    /// Mentions of users, and of everybody when `all`. Their order and repetitions do not matter.
    #[must_use]
    pub fn new(all: bool, mut users: Vec<UserId>) -> Self {
        users.sort_unstable();
        users.dedup();
        Self { all, users }
    }

    /// Whether nobody is mentioned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.all && self.users.is_empty()
    }

    /// Whether everybody in the room is mentioned.
    #[must_use]
    pub fn all(&self) -> bool {
        self.all
    }

    /// The users that are named, ascending.
    #[must_use]
    pub fn users(&self) -> &[UserId] {
        &self.users
    }

    /// Whether `user` is named.
    #[must_use]
    pub fn names(&self, user: UserId) -> bool {
        self.users.binary_search(&user).is_ok()
    }

    /// Whether `user`, a member of the room, is mentioned.
    #[must_use]
    pub fn concern(&self, user: UserId) -> bool {
        self.all || self.names(user)
    }
}

/// What a message says beside its text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Parts {
    /// Whom it mentions.
    pub mentions: Mentions,
    /// Its files, in the order of the command.
    pub attachments: Vec<Attachment>,
}

impl Parts {
    /// A text and nothing else.
    pub const NONE: &'static Self =
        &Self { mentions: Mentions { all: false, users: Vec::new() }, attachments: Vec::new() };

    /// [`Self::NONE`], as payloads hold it.
    #[must_use]
    pub fn none<'a>() -> Cow<'a, Self> {
        Cow::Borrowed(Self::NONE)
    }

    /// Whether there is nothing beside the text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.mentions.is_empty() && self.attachments.is_empty()
    }

    /// Mentions and nothing else.
    #[must_use]
    pub fn of_mentions(mentions: Mentions) -> Self {
        Self { mentions, attachments: Vec::new() }
    }

    /// The files, by id, in their order.
    pub fn media(&self) -> impl Iterator<Item = MediaId> {
        self.attachments.iter().map(|attachment| attachment.id)
    }

    /// Bytes that count against the size of a page: of each mention those of an id as text, of a file its description.
    #[must_use]
    pub fn content_bytes(&self) -> usize {
        39 * self.mentions.users.len() + self.attachments.iter().map(Attachment::content_bytes).sum::<usize>()
    }

    /// Appends the stored form; of empty parts, too.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let Self { mentions, attachments } = self;
        debug_assert!(attachments.len() <= ATTACHMENTS_MAX, "the command was bounded");
        out.push(u8::from(!mentions.is_empty()) + u8::from(!attachments.is_empty()));
        mentions.encode(out);
        if !attachments.is_empty() {
            out.push(ATTACHMENTS);
            let length = out.len();
            out.extend_from_slice(&[0; 2]);
            attachments.iter().for_each(|attachment| attachment.encode(out));
            let bytes = (out.len() - length - 2) as u16;
            out[length..length + 2].copy_from_slice(&bytes.to_le_bytes());
        }
    }

    /// Takes the stored form off the front of `bytes`; returns what is behind it.
    ///
    /// # Errors
    /// When the bytes are short, or of a newer program.
    pub fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), BodyError> {
        let mut r = Reader(bytes);
        let parts = Self::read(&mut r)?;
        Ok((parts, r.0))
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, BodyError> {
        let mut parts = Self::default();
        let mut last = 0;
        for _ in 0..r.u8()? {
            let kind = r.u8()?;
            let length = usize::from(r.u16()?);
            let (bytes, rest) = r.0.split_at_checked(length).ok_or(BodyError::Short)?;
            r.0 = rest;
            match kind {
                MENTIONS if last < MENTIONS => parts.mentions = Mentions::read(bytes)?,
                ATTACHMENTS if last < ATTACHMENTS => parts.attachments = read_attachments(bytes)?,
                _ => return Err(BodyError::Value),
            }
            last = kind;
        }
        Ok(parts)
    }
}

fn read_attachments(bytes: &[u8]) -> Result<Vec<Attachment>, BodyError> {
    let (mut r, mut attachments) = (Reader(bytes), Vec::new());
    while !r.0.is_empty() {
        attachments.push(Attachment::read(&mut r)?);
    }
    if attachments.is_empty() || attachments.len() > ATTACHMENTS_MAX {
        return Err(BodyError::Value);
    }
    Ok(attachments)
}

impl Mentions {
    /// Appends the part; nothing when nobody is mentioned.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let Self { all, users } = self;
        debug_assert!(users.len() <= MENTIONED_USERS_MAX, "the command was bounded");
        if !self.is_empty() {
            out.push(MENTIONS);
            out.extend_from_slice(&((1 + users.len() * 16) as u16).to_le_bytes());
            out.push(u8::from(*all));
            users.iter().for_each(|user| out.extend_from_slice(&user.0));
        }
    }

    fn read(bytes: &[u8]) -> Result<Self, BodyError> {
        let (all, users) = bytes.split_first().ok_or(BodyError::Short)?;
        let (users, rest) = users.as_chunks::<16>();
        let users: Vec<UserId> = users.iter().map(|id| UserId(*id)).collect();
        if *all > 1 || !rest.is_empty() || !users.is_sorted_by(|a, b| a < b) {
            return Err(BodyError::Value);
        }
        Ok(Self { all: *all == 1, users })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mentions(all: bool, users: &[u8]) -> Parts {
        let users = users.iter().map(|byte| UserId([*byte; 16])).collect();
        Parts::of_mentions(Mentions::new(all, users))
    }

    fn file(id: u8, name: &str) -> Attachment {
        let (id, kind) = (MediaId([id; 16]), "image/png".to_owned());
        Attachment { id, name: name.to_owned(), kind, bytes: 1 << 33, width: 640, height: 480 }
    }

    #[test]
    fn parts_survive_and_no_cut_bytes_panic() {
        let files = vec![file(2, "Übung.png"), file(1, "")];
        let largest = Attachment { name: "n".repeat(crate::ATTACHMENT_NAME_BYTES_MAX), ..file(3, "") };
        for parts in [
            Parts::default(),
            mentions(true, &[]),
            mentions(false, &[9]),
            mentions(true, &[3, 1, 3]),
            Parts { attachments: files.clone(), ..Parts::default() },
            Parts { attachments: files, ..mentions(true, &[7]) },
            Parts { attachments: vec![largest; ATTACHMENTS_MAX], ..Parts::default() },
        ] {
            let mut bytes = Vec::new();
            parts.encode(&mut bytes);
            for cut in 0..bytes.len() {
                assert!(Parts::decode(&bytes[..cut]).is_err());
            }
            bytes.extend_from_slice(b"text");
            assert_eq!(Parts::decode(&bytes), Ok((parts, &b"text"[..])));
        }
    }

    #[test]
    fn bytes_of_a_newer_program_are_refused() {
        for bytes in [
            &[1, 2, 0, 0][..],
            &[1, 3, 0, 0],
            &[1, 1, 1, 0, 2],
            &[1, 1, 2, 0, 0, 0],
            &[2, 1, 1, 0, 1, 1, 1, 0, 1],
        ] {
            assert_eq!(Parts::decode(bytes), Err(BodyError::Value), "{bytes:?}");
        }
        let mut unsorted = vec![1, 1, 33, 0, 0];
        unsorted.extend_from_slice(&[2; 16]);
        unsorted.extend_from_slice(&[1; 16]);
        assert_eq!(Parts::decode(&unsorted), Err(BodyError::Value));
    }

    /// As version 2 of payloads has had them since there were mentions.
    #[test]
    fn mentions_alone_have_the_bytes_that_they_always_had() {
        let mut bytes = Vec::new();
        mentions(true, &[9]).encode(&mut bytes);
        let mut expected = vec![1, 1, 17, 0, 1];
        expected.extend([9; 16]);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn who_is_named_twice_is_named_once() {
        let parts = mentions(false, &[2, 1, 2]);
        assert_eq!(parts.mentions.users(), [UserId([1; 16]), UserId([2; 16])]);
        assert!(parts.mentions.concern(UserId([2; 16])) && !parts.mentions.concern(UserId([3; 16])));
        assert!(mentions(true, &[]).mentions.concern(UserId([3; 16])));
    }
}
