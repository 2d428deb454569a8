//! What frames look like: each command and each frame of the server, by its fields, as plain tables.
//!
//! Thread: any; constants. The decoder and the encoders are the truth. The tests beside this module compare: what the decoder reads of an op is
//! what the table says, field by field, and what encoders write fits. The AsyncAPI document, and the fuzzer of sockets, are made from the tables.
//!
//! To add a command: a row in [`COMMANDS`], in the order of [`crate::OPS`]; to add an event: one in [`EVENTS`].

mod commands;
mod events;

pub use commands::COMMANDS;
pub use events::{ERROR, EVENTS};

use crate::MAX_SAFE_INTEGER;

/// What a field holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// The id of a room, a user, a key …: a UUID as lower-case hyphenated text.
    Id,
    /// An id, or `null` for none.
    IdOrNull,
    /// A whole number, from and to.
    Number(u64, u64),
    /// `true` or `false`.
    Bool,
    /// Any text.
    Text,
    /// So many hexadecimal digits.
    Hex(u8),
    /// Where a page of [`DiscoverCursor`](crate::DiscoverCursor) ended.
    Cursor,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A code of the table of errors.
    Code,
    /// A time of RFC 3339 in UTC with milliseconds.
    Time,
    /// A time of RFC 3339 with any offset, or milliseconds since 1970.
    Moment,
    /// A list.
    List(&'static Self),
    /// An object with these members.
    Object(&'static [Field]),
    /// An object whose members are numbers, named by the server.
    Numbers,
    /// A durable event, or a gap.
    Durable,
}

/// A number that every JSON client reads exactly.
pub(crate) const NUMBER: Shape = Shape::Number(0, MAX_SAFE_INTEGER);
/// Place of an event in its room.
pub(crate) const PLACE: Shape = Shape::Number(1, MAX_SAFE_INTEGER);
/// A number of 32 bits.
pub(crate) const SMALL: Shape = Shape::Number(0, u32::MAX as u64);

/// A member of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub shape: Shape,
    /// Whether it is always there.
    pub required: bool,
    /// What it means.
    pub about: &'static str,
}

pub(crate) const fn must(name: &'static str, shape: Shape, about: &'static str) -> Field {
    Field { name, shape, required: true, about }
}

pub(crate) const fn may(name: &'static str, shape: Shape, about: &'static str) -> Field {
    Field { name, shape, required: false, about }
}

/// Which fields go together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// Exactly one of these.
    OneOf(&'static [&'static str]),
    /// One of these at least.
    AnyOf(&'static [&'static str]),
    /// One of these at most.
    AtMostOne(&'static [&'static str]),
    /// The first only with the second.
    With(&'static str, &'static str),
}

/// A command: `{"id":…,"op":…}` and its fields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommandShape {
    /// Its name.
    pub op: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Its fields, without `id` and `op`.
    pub fields: &'static [Field],
    /// Which of them go together.
    pub rules: &'static [Rule],
    /// What answers it, beside [`ERROR`].
    pub answers: &'static [FrameShape],
}

/// Why the server sends a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameKind {
    /// It answers a command: it has `re`.
    Answer,
    /// An event of a room's log: it has `seq`.
    Durable,
    /// It is told once, to who is there, and takes no `seq`.
    Passing,
    /// It is about one's own account.
    Own,
    /// It is about the flow of events.
    Flow,
}

/// A frame of the server: `{"ev":…}` and its fields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameShape {
    /// Its name among all frames.
    pub name: &'static str,
    /// What `ev` says; several frames may say the same.
    pub ev: &'static str,
    /// Why it is sent.
    pub kind: FrameKind,
    /// What it means.
    pub about: &'static str,
    /// Its fields, without `ev`.
    pub fields: &'static [Field],
}

#[cfg(test)]
mod tests;
