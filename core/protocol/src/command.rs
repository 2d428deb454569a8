//! Commands: what a client may ask, decoded from one JSON text frame.
//!
//! One flat struct with optional fields is read first, then matched on `op`: the fastest form with serde, and
//! the one that gives precise errors. Unknown fields are ignored; duplicate ones are refused.

use std::borrow::Cow;
use std::fmt;

use lynk_domain::{AckLevel, Cursor, Epoch, HistoryVisibility, Key, Role, RoomId, RoomKind, Seq, UserId};
use lynk_model::Parts;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

mod history;
mod parts;
mod proof;
mod refused;

pub use history::History;
use history::history_of;
pub use proof::Proof;
pub use refused::refused_command;

use crate::time::Moment;
use crate::{ErrorCode, Reject};

/// Largest integer that every JSON client reads exactly.
pub const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;
/// Bytes of the decoder's words in the answer to a frame that is no command, before the place in the frame.
const ERROR_BYTES_MAX: usize = 200;

/// A command with the number that its reply carries as `re`.
#[derive(Clone, PartialEq, Debug)]
pub struct Decoded<'a> {
    /// The client's number; 0 when the frame had none (then the reply's `re` is 0).
    pub re: u64,
    /// The command, or why it is none.
    pub command: Result<Command<'a>, Reject>,
}

/// A room and how far the client has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resume {
    /// The room.
    pub room: RoomId,
    /// What the client has; `None` to start at the top.
    pub cursor: Option<Cursor>,
}

/// What a client asks.
#[derive(Clone, PartialEq, Debug)]
pub enum Command<'a> {
    /// Signs in, and subscribes to the named rooms.
    Hello {
        /// Who it is.
        proof: Proof<'a>,
        /// Rooms to resume.
        resume: Vec<Resume>,
    },
    /// Replaces the session's token before it expires.
    Refresh {
        /// A new access token of the same session.
        token: Cow<'a, str>,
    },
    /// Asks for an `ok`.
    Ping,
    /// Creates a room.
    Create {
        /// Idempotency key.
        key: Key,
        /// Who can find and join it; never `Direct`.
        kind: RoomKind,
        /// Display name.
        name: Cow<'a, str>,
        /// Durability of acknowledgements; `None` for the server's default.
        level: Option<AckLevel>,
        /// How much past a member sees; `None` for the kind's default.
        visibility: Option<HistoryVisibility>,
    },
    /// Creates or finds the 1:1 with a user.
    Direct {
        /// The other user.
        user: UserId,
    },
    /// Asks for the id of the room that strangers can see under this name.
    Find {
        /// Display name; case and compatible forms do not matter.
        name: Cow<'a, str>,
    },
    /// Becomes a member of a public room.
    Join {
        /// The room.
        room: RoomId,
        /// Idempotency key.
        key: Key,
    },
    /// Adds a user to a room.
    Invite {
        /// The room.
        room: RoomId,
        /// Who.
        user: UserId,
        /// Idempotency key.
        key: Key,
    },
    /// Leaves a room.
    Leave {
        /// The room.
        room: RoomId,
        /// Idempotency key.
        key: Key,
    },
    /// Starts the flow of a room's events.
    Subscribe(Resume),
    /// Stops it.
    Unsubscribe {
        /// The room.
        room: RoomId,
    },
    /// Posts a message.
    Send {
        /// The room.
        room: RoomId,
        /// Idempotency key, UUIDv7.
        key: Key,
        /// Text.
        text: Cow<'a, str>,
        /// The message it answers.
        reply_to: Option<Seq>,
        /// What it says beside the text.
        parts: Parts,
    },
    /// Changes one's own message.
    Edit {
        /// The room.
        room: RoomId,
        /// Seq of the message.
        seq: Seq,
        /// Idempotency key.
        key: Key,
        /// New text.
        text: Cow<'a, str>,
        /// What it says beside the text now.
        parts: Parts,
    },
    /// Deletes a message.
    Delete {
        /// The room.
        room: RoomId,
        /// Seq of the message.
        seq: Seq,
        /// Idempotency key.
        key: Key,
    },
    /// Sets or takes back a reaction.
    React {
        /// The room.
        room: RoomId,
        /// Seq of the message.
        seq: Seq,
        /// Idempotency key.
        key: Key,
        /// The emoji.
        emoji: Cow<'a, str>,
        /// Set, or take back.
        on: bool,
    },
    /// Has read up to a seq.
    Read {
        /// The room.
        room: RoomId,
        /// Up to.
        seq: Seq,
    },
    /// Has stored up to a seq.
    Delivered {
        /// The room.
        room: RoomId,
        /// Up to.
        seq: Seq,
    },
    /// Sets the read cursor back.
    MarkUnread {
        /// The room.
        room: RoomId,
        /// The first unread message.
        seq: Seq,
    },
    /// Deletes the past of a conversation of two for the user alone.
    Clear {
        /// The room.
        room: RoomId,
        /// Up to.
        seq: Seq,
    },
    /// Is typing, or stopped.
    Typing {
        /// The room.
        room: RoomId,
        /// Typing, or stopped.
        on: bool,
    },
    /// A page of the past.
    History(History),
    /// A page of the user's rooms with their numbers.
    Sync {
        /// Rooms after this one.
        after: Option<RoomId>,
        /// Items at most.
        limit: Option<u32>,
    },
    /// Changes whose presence is watched; with `room`, asks who of it is here.
    Presence {
        /// A room to be told about once.
        room: Option<RoomId>,
        /// Users to watch.
        watch: Vec<UserId>,
        /// Users to watch no more.
        unwatch: Vec<UserId>,
    },
    /// A page of a room's members.
    Members {
        /// The room.
        room: RoomId,
        /// Members after this one.
        after: Option<UserId>,
        /// Items at most.
        limit: Option<u32>,
    },
    /// Changes a member's role.
    Role {
        /// The room.
        room: RoomId,
        /// Who.
        user: UserId,
        /// The new role.
        role: Role,
        /// Idempotency key.
        key: Key,
    },
    /// Hands the room to another owner.
    Transfer {
        /// The room.
        room: RoomId,
        /// The new owner.
        user: UserId,
        /// Idempotency key.
        key: Key,
    },
    /// Removes a member.
    Kick {
        /// The room.
        room: RoomId,
        /// Who.
        user: UserId,
        /// Idempotency key.
        key: Key,
        /// Why.
        reason: Cow<'a, str>,
    },
    /// Bans a user.
    Ban {
        /// The room.
        room: RoomId,
        /// Who.
        user: UserId,
        /// Idempotency key.
        key: Key,
        /// Why.
        reason: Cow<'a, str>,
        /// Length in seconds; `None` for ever.
        seconds: Option<u64>,
    },
    /// Lifts a ban.
    Unban {
        /// The room.
        room: RoomId,
        /// Who.
        user: UserId,
        /// Idempotency key.
        key: Key,
    },
    /// Stops a member from posting.
    Mute {
        /// The room.
        room: RoomId,
        /// Who.
        user: UserId,
        /// Idempotency key.
        key: Key,
        /// Length in seconds; `None` for ever.
        seconds: Option<u64>,
    },
    /// Lifts a mute.
    Unmute {
        /// The room.
        room: RoomId,
        /// Who.
        user: UserId,
        /// Idempotency key.
        key: Key,
    },
    /// Sets or lifts a block against a user.
    Block {
        /// Who.
        user: UserId,
        /// Idempotency key.
        key: Key,
        /// Set, or lift (`unblock`).
        on: bool,
    },
    /// Pins or unpins a message.
    Pin {
        /// The room.
        room: RoomId,
        /// Seq of the message.
        seq: Seq,
        /// Idempotency key.
        key: Key,
        /// Pin, or unpin.
        on: bool,
    },
    /// Changes a room's settings; what is `None` stays.
    Settings {
        /// The room.
        room: RoomId,
        /// Idempotency key.
        key: Key,
        /// Display name.
        name: Option<Cow<'a, str>>,
        /// Durability of acknowledgements.
        level: Option<AckLevel>,
        /// How much past a member sees.
        visibility: Option<HistoryVisibility>,
        /// Least seconds between two messages of one member.
        slow_mode_seconds: Option<u32>,
    },
}

/// Every op name, for documentation, tests and fuzz dictionaries.
pub const OPS: [&str; 35] = [
    "hello",
    "refresh",
    "ping",
    "create",
    "direct",
    "find",
    "join",
    "invite",
    "leave",
    "subscribe",
    "unsubscribe",
    "send",
    "edit",
    "delete",
    "react",
    "read",
    "delivered",
    "mark_unread",
    "clear",
    "typing",
    "history",
    "sync",
    "presence",
    "members",
    "role",
    "transfer",
    "kick",
    "ban",
    "unban",
    "mute",
    "unmute",
    "block",
    "unblock",
    "pin",
    "settings",
];

/// An id in hyphenated form, parsed without allocation.
struct Id([u8; 16]);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl Visitor<'_> for V {
            type Value = Id;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id of 36 characters")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Id, E> {
                RoomId::parse(text).map(|id| Id(id.0)).ok_or_else(|| E::custom("not an id of 36 characters"))
            }
        }
        deserializer.deserialize_str(V)
    }
}

#[derive(Deserialize)]
struct ResumeItem {
    room: Id,
    epoch: Option<u32>,
    seq: Option<u64>,
}

/// Text that stays borrowed when it holds no escapes. (Inside an `Option`, serde would copy a bare `Cow`.)
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Cow<'de, str>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        deserializer.deserialize_str(V).map(Text)
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    op: Option<Text<'a>>,
    #[serde(borrow)]
    token: Option<Text<'a>>,
    #[serde(borrow)]
    ticket: Option<Text<'a>>,
    resume: Option<Vec<ResumeItem>>,
    room: Option<Id>,
    user: Option<Id>,
    key: Option<Id>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    reply_to: Option<u64>,
    mentions: Option<Vec<Id>>,
    mention_all: Option<bool>,
    seq: Option<u64>,
    epoch: Option<u32>,
    before: Option<u64>,
    after: Option<AfterField<'a>>,
    at: Option<Moment>,
    limit: Option<u32>,
    all: Option<bool>,
    #[serde(borrow)]
    emoji: Option<Text<'a>>,
    on: Option<bool>,
    #[serde(borrow)]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    level: Option<Text<'a>>,
    #[serde(borrow)]
    visibility: Option<Text<'a>>,
    slow_mode_seconds: Option<u32>,
    #[serde(borrow)]
    role: Option<Text<'a>>,
    seconds: Option<u64>,
    #[serde(borrow)]
    reason: Option<Text<'a>>,
    watch: Option<Vec<Id>>,
    unwatch: Option<Vec<Id>>,
}

/// `after` is a seq in `history` and an id in `sync` and `members`.
enum AfterField<'a> {
    Seq(u64),
    Id([u8; 16]),
    Bad(std::marker::PhantomData<&'a ()>),
}

impl<'de: 'a, 'a> Deserialize<'de> for AfterField<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V<'a>(std::marker::PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for V<'a> {
            type Value = AfterField<'a>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a seq or an id")
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
                Ok(AfterField::Seq(value))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(RoomId::parse(text)
                    .map_or(AfterField::Bad(std::marker::PhantomData), |id| AfterField::Id(id.0)))
            }
        }
        deserializer.deserialize_any(V(std::marker::PhantomData))
    }
}

fn take<'a>(field: &mut Option<Text<'a>>) -> Option<Cow<'a, str>> {
    field.take().map(|text| text.0)
}

fn view<'a>(field: &'a Option<Text<'_>>) -> Option<&'a str> {
    field.as_ref().map(|text| &*text.0)
}

fn missing(name: &'static str) -> Reject {
    Reject::because(ErrorCode::InvalidField, format!("field `{name}` is missing"))
}

fn invalid(name: &'static str, what: &str) -> Reject {
    Reject::because(ErrorCode::InvalidField, format!("field `{name}` {what}"))
}

fn seq_field(name: &'static str, value: u64) -> Result<Seq, Reject> {
    if value > MAX_SAFE_INTEGER {
        return Err(invalid(name, "is larger than 2^53 - 1"));
    }
    Ok(Seq(value))
}

impl<'a> Envelope<'a> {
    fn room(&self) -> Result<RoomId, Reject> {
        self.room.as_ref().map(|id| RoomId(id.0)).ok_or_else(|| missing("room"))
    }
    fn user(&self) -> Result<UserId, Reject> {
        self.user.as_ref().map(|id| UserId(id.0)).ok_or_else(|| missing("user"))
    }
    fn key(&self) -> Result<Key, Reject> {
        let key = self.key.as_ref().map(|id| Key(id.0)).ok_or_else(|| missing("key"))?;
        if key.is_nil() { Err(invalid("key", "must not be zero")) } else { Ok(key) }
    }
    fn seq(&self) -> Result<Seq, Reject> {
        match self.seq {
            None => Err(missing("seq")),
            Some(0) => Err(invalid("seq", "starts at 1")),
            Some(value) => seq_field("seq", value),
        }
    }
    fn text(&mut self) -> Result<Cow<'a, str>, Reject> {
        take(&mut self.text).ok_or_else(|| missing("text"))
    }
    fn reason(&mut self) -> Cow<'a, str> {
        take(&mut self.reason).unwrap_or(Cow::Borrowed(""))
    }
    fn level(&self) -> Result<Option<AckLevel>, Reject> {
        parse_name("level", view(&self.level), AckLevel::parse)
    }
    fn visibility(&self) -> Result<Option<HistoryVisibility>, Reject> {
        parse_name("visibility", view(&self.visibility), HistoryVisibility::parse)
    }
    fn after_id(&self) -> Result<Option<[u8; 16]>, Reject> {
        match self.after {
            None => Ok(None),
            Some(AfterField::Id(id)) => Ok(Some(id)),
            Some(_) => Err(invalid("after", "is not an id of 36 characters")),
        }
    }
}

fn parse_name<T>(
    field: &'static str,
    value: Option<&str>,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Reject> {
    match value {
        None => Ok(None),
        Some(name) => parse(name).map(Some).ok_or_else(|| invalid(field, "has no such value")),
    }
}

fn resume_of(room: RoomId, epoch: Option<u32>, seq: Option<u64>) -> Result<Resume, Reject> {
    let cursor = match (epoch, seq) {
        (None, None) => None,
        (epoch, Some(seq)) => Some(Cursor { epoch: Epoch(epoch.unwrap_or(0)), seq: seq_field("seq", seq)? }),
        (Some(_), None) => return Err(missing("seq")),
    };
    Ok(Resume { room, cursor })
}

fn ids(list: Option<Vec<Id>>) -> Vec<UserId> {
    list.unwrap_or_default().into_iter().map(|id| UserId(id.0)).collect()
}

/// Decodes one command from a text frame. `text` is valid UTF-8 (the WebSocket decoder checked it).
#[must_use]
pub fn decode(text: &str) -> Decoded<'_> {
    let mut envelope: Envelope<'_> = match serde_json::from_str(text) {
        Ok(envelope) => envelope,
        Err(error) => {
            // A syntax error says nothing about fields; a data error names the field it stumbled over.
            let code = if error.is_data() { ErrorCode::InvalidField } else { ErrorCode::BadRequest };
            let re = salvage_id(text);
            return Decoded { re, command: Err(Reject::because(code, told(&error))) };
        }
    };
    let re = envelope.id.unwrap_or(0);
    if re > MAX_SAFE_INTEGER {
        return Decoded { re: 0, command: Err(invalid("id", "is larger than 2^53 - 1")) };
    }
    let Some(op) = take(&mut envelope.op) else {
        return Decoded { re, command: Err(missing("op")) };
    };
    Decoded { re, command: command_of(&op, envelope) }
}

/// What is wrong, for the client. The text quotes what the client sent, which escapes to several times its length in the
/// reply; the place at its end is worth more than the rest of a long quote.
fn told(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if text.len() <= ERROR_BYTES_MAX {
        return text;
    }
    let end = text.floor_char_boundary(ERROR_BYTES_MAX);
    format!("{}… at line {} column {}", &text[..end], error.line(), error.column())
}

/// The `id` of a frame whose other fields are wrong, so that the client can match the error; 0 if none.
fn salvage_id(text: &str) -> u64 {
    #[derive(Deserialize)]
    struct OnlyId {
        id: Option<u64>,
    }
    serde_json::from_str::<OnlyId>(text)
        .ok()
        .and_then(|o| o.id)
        .filter(|id| *id <= MAX_SAFE_INTEGER)
        .unwrap_or(0)
}

fn command_of<'a>(op: &str, mut e: Envelope<'a>) -> Result<Command<'a>, Reject> {
    Ok(match op {
        "send" => Command::Send {
            room: e.room()?,
            key: e.key()?,
            reply_to: e.reply_to.map(|seq| seq_field("reply_to", seq)).transpose()?,
            parts: e.parts()?,
            text: e.text()?,
        },
        "read" => Command::Read { room: e.room()?, seq: e.seq()? },
        "delivered" => Command::Delivered { room: e.room()?, seq: e.seq()? },
        "typing" => Command::Typing { room: e.room()?, on: e.on.unwrap_or(true) },
        "ping" => Command::Ping,
        "hello" => {
            let items = e.resume.take().unwrap_or_default();
            let resume = items
                .into_iter()
                .map(|item| resume_of(RoomId(item.room.0), item.epoch, item.seq))
                .collect::<Result<_, _>>()?;
            let proof = Proof::of(take(&mut e.token), take(&mut e.ticket))?;
            Command::Hello { proof, resume }
        }
        "refresh" => Command::Refresh { token: take(&mut e.token).ok_or_else(|| missing("token"))? },
        "edit" => Command::Edit {
            room: e.room()?,
            seq: e.seq()?,
            key: e.key()?,
            parts: e.parts()?,
            text: e.text()?,
        },
        "delete" => Command::Delete { room: e.room()?, seq: e.seq()?, key: e.key()? },
        "react" => Command::React {
            room: e.room()?,
            seq: e.seq()?,
            key: e.key()?,
            on: e.on.unwrap_or(true),
            emoji: take(&mut e.emoji).ok_or_else(|| missing("emoji"))?,
        },
        "mark_unread" => Command::MarkUnread { room: e.room()?, seq: e.seq()? },
        "clear" => Command::Clear { room: e.room()?, seq: e.seq()? },
        "history" => history_of(&e)?,
        "sync" => Command::Sync { after: e.after_id()?.map(RoomId), limit: e.limit },
        "presence" => Command::Presence {
            room: e.room.as_ref().map(|id| RoomId(id.0)),
            watch: ids(e.watch.take()),
            unwatch: ids(e.unwatch.take()),
        },
        "subscribe" => Command::Subscribe(resume_of(e.room()?, e.epoch, e.seq)?),
        "unsubscribe" => Command::Unsubscribe { room: e.room()? },
        "members" => Command::Members { room: e.room()?, after: e.after_id()?.map(UserId), limit: e.limit },
        _ => return metadata_of(op, e),
    })
}

fn metadata_of<'a>(op: &str, mut e: Envelope<'a>) -> Result<Command<'a>, Reject> {
    Ok(match op {
        "create" => {
            let kind = parse_name("kind", view(&e.kind), RoomKind::parse)?.unwrap_or(RoomKind::Public);
            if kind == RoomKind::Direct {
                return Err(invalid("kind", "`direct` is made by op `direct`"));
            }
            Command::Create {
                key: e.key()?,
                kind,
                level: e.level()?,
                visibility: e.visibility()?,
                name: take(&mut e.name).ok_or_else(|| missing("name"))?,
            }
        }
        "direct" => Command::Direct { user: e.user()? },
        "find" => Command::Find { name: take(&mut e.name).ok_or_else(|| missing("name"))? },
        "join" => Command::Join { room: e.room()?, key: e.key()? },
        "invite" => Command::Invite { room: e.room()?, user: e.user()?, key: e.key()? },
        "leave" => Command::Leave { room: e.room()?, key: e.key()? },
        "role" => Command::Role {
            room: e.room()?,
            user: e.user()?,
            key: e.key()?,
            role: parse_name("role", view(&e.role), Role::parse)?.ok_or_else(|| missing("role"))?,
        },
        "transfer" => Command::Transfer { room: e.room()?, user: e.user()?, key: e.key()? },
        "kick" => Command::Kick { room: e.room()?, user: e.user()?, key: e.key()?, reason: e.reason() },
        "ban" => Command::Ban {
            room: e.room()?,
            user: e.user()?,
            key: e.key()?,
            seconds: e.seconds,
            reason: e.reason(),
        },
        "unban" => Command::Unban { room: e.room()?, user: e.user()?, key: e.key()? },
        "mute" => Command::Mute { room: e.room()?, user: e.user()?, key: e.key()?, seconds: e.seconds },
        "unmute" => Command::Unmute { room: e.room()?, user: e.user()?, key: e.key()? },
        "block" | "unblock" => Command::Block { user: e.user()?, key: e.key()?, on: op == "block" },
        "pin" => Command::Pin { room: e.room()?, seq: e.seq()?, key: e.key()?, on: e.on.unwrap_or(true) },
        "settings" => Command::Settings {
            room: e.room()?,
            key: e.key()?,
            level: e.level()?,
            visibility: e.visibility()?,
            slow_mode_seconds: e.slow_mode_seconds,
            name: take(&mut e.name),
        },
        _ => return Err(Reject::new(ErrorCode::UnknownOp)),
    })
}

impl Command<'_> {
    /// The room whose owner shard must handle the command; `None` for commands of the session or the user.
    #[must_use]
    pub fn room(&self) -> Option<RoomId> {
        match self {
            Self::Hello { .. }
            | Self::Refresh { .. }
            | Self::Ping
            | Self::Create { .. }
            | Self::Direct { .. }
            | Self::Find { .. }
            | Self::Sync { .. }
            | Self::Block { .. } => None,
            Self::Presence { room, .. } => *room,
            Self::Subscribe(Resume { room, .. })
            | Self::History(History { room, .. })
            | Self::Join { room, .. }
            | Self::Invite { room, .. }
            | Self::Leave { room, .. }
            | Self::Unsubscribe { room }
            | Self::Send { room, .. }
            | Self::Edit { room, .. }
            | Self::Delete { room, .. }
            | Self::React { room, .. }
            | Self::Read { room, .. }
            | Self::Delivered { room, .. }
            | Self::MarkUnread { room, .. }
            | Self::Clear { room, .. }
            | Self::Typing { room, .. }
            | Self::Members { room, .. }
            | Self::Role { room, .. }
            | Self::Transfer { room, .. }
            | Self::Kick { room, .. }
            | Self::Ban { room, .. }
            | Self::Unban { room, .. }
            | Self::Mute { room, .. }
            | Self::Unmute { room, .. }
            | Self::Pin { room, .. }
            | Self::Settings { room, .. } => Some(*room),
        }
    }
}

#[cfg(test)]
mod tests;
