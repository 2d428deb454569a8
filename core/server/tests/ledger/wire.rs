//! The frames of the protocol as the ledger reads them, and the texts it writes.
//!
//! Every text names the operation that it came from, so that a reader who knows nothing else can tell what a message
//! is and recompute what it must say.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher as _};

use serde::Deserialize;

use super::random::Random;

/// Any frame from the server.
#[derive(Deserialize, Debug)]
pub(crate) struct Told<'a> {
    #[serde(borrow)]
    pub(crate) ev: Cow<'a, str>,
    pub(crate) re: Option<u64>,
    #[serde(borrow)]
    pub(crate) room: Option<Cow<'a, str>>,
    pub(crate) seq: Option<u64>,
    pub(crate) n: Option<u64>,
    #[serde(borrow)]
    pub(crate) id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) from: Option<From<'a>>,
    pub(crate) to: Option<u64>,
    #[serde(borrow)]
    pub(crate) text: Option<Cow<'a, str>>,
    pub(crate) target: Option<u64>,
    pub(crate) edited: Option<u64>,
    pub(crate) deleted: Option<u64>,
    #[serde(borrow)]
    pub(crate) user: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) level: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) code: Option<Cow<'a, str>>,
    pub(crate) retryable: Option<bool>,
    pub(crate) retry_after_ms: Option<u64>,
    #[serde(borrow)]
    pub(crate) reason: Option<Cow<'a, str>>,
    pub(crate) epoch: Option<u64>,
    pub(crate) top: Option<u64>,
    #[serde(borrow, default)]
    pub(crate) events: Vec<Told<'a>>,
    pub(crate) covers: Option<Covers>,
    #[serde(default)]
    pub(crate) more: bool,
}

/// `from` of an event is a user, `from` of a gap or a resync is a seq.
#[derive(Deserialize, Debug)]
#[serde(untagged)]
pub(crate) enum From<'a> {
    Seq(u64),
    User(#[serde(borrow)] Cow<'a, str>),
}

/// The seqs that a page speaks for; none when `to` is below `from`.
#[derive(Clone, Copy, Deserialize, Debug)]
pub(crate) struct Covers {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl<'a> Told<'a> {
    /// # Panics
    /// When the server says what the protocol does not know.
    pub(crate) fn parse(frame: &'a str) -> Self {
        serde_json::from_str(frame).unwrap_or_else(|error| panic!("{error} in {frame}"))
    }

    pub(crate) fn seq(&self) -> u64 {
        self.seq.unwrap_or(0)
    }

    pub(crate) fn room(&self) -> &str {
        self.room.as_deref().unwrap_or_default()
    }

    /// First and last seq of a gap or a resync.
    pub(crate) fn span(&self) -> (u64, u64) {
        match self.from {
            Some(From::Seq(from)) => (from, self.to.unwrap_or(0)),
            _ => (0, 0),
        }
    }

    /// What is the same whenever and to whomever this event is told. Edits and deletes that come later change the text of
    /// the message and of its earlier edits, nothing else.
    pub(crate) fn print(&self) -> u64 {
        match &*self.ev {
            "message" => message_print(self.message_id(), self.n.unwrap_or(0)),
            "edit" => edit_print(self.target.unwrap_or(0)),
            "delete" => delete_print(self.target.unwrap_or(0)),
            other => print(&(other, self.user.as_deref(), self.target)),
        }
    }

    pub(crate) fn message_id(&self) -> u128 {
        self.id.as_deref().map_or(0, parse_id)
    }
}

fn print(parts: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    // 0 stands for "not seen".
    hasher.finish().max(1)
}

pub(crate) fn message_print(id: u128, n: u64) -> u64 {
    print(&("message", id, n))
}

pub(crate) fn edit_print(target: u64) -> u64 {
    print(&("edit", target))
}

pub(crate) fn delete_print(target: u64) -> u64 {
    print(&("delete", target))
}

/// A hyphenated UUID as a number.
pub(crate) fn parse_id(text: &str) -> u128 {
    text.bytes()
        .filter_map(|byte| char::from(byte).to_digit(16))
        .fold(0, |id, digit| id << 4 | u128::from(digit))
}

/// What the operation numbered `op` posts.
pub(crate) fn sent_text(op: u64, room: usize, client: usize) -> String {
    let mut random = Random::new(op ^ 0x5eed);
    let filler = "lorem ipsum dolor sit amet ".repeat(8);
    let length = random.within(10..200) as usize;
    format!("{op} sent {room} {client} {}", &filler[..length])
}

/// What the operation numbered `op` changes a message to.
pub(crate) fn edited_text(op: u64, target: u64) -> String {
    format!("{op} edits {target}")
}

/// The operation that wrote a text.
pub(crate) fn op_of(text: &str) -> Option<u64> {
    text.split(' ').next()?.parse().ok()
}

/// Room and author that the text of a message claims.
pub(crate) fn claim_of(text: &str) -> Option<(usize, usize)> {
    let mut words = text.split(' ').skip(1);
    if words.next()? != "sent" {
        return None;
    }
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}
