//! What requests and answers look like: the schemas of the document, and the check of a body's form. Limits that an
//! operator can change are the engine's to check.

use std::borrow::Cow;

use lynk_protocol::MAX_SAFE_INTEGER;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// Longest sentence: ten years, leap days and more.
const SENTENCE_SECONDS_MAX: u64 = 10 * 366 * 24 * 60 * 60;
/// Longest time between two messages of a member: a day.
const SLOW_MODE_SECONDS_MAX: u32 = 24 * 60 * 60;
/// Longest time for which a room says that it keeps messages: a century.
const RETENTION_DAYS_MAX: u32 = 36_500;
/// A room's name: something to see, and no control characters.
const ROOM_NAME: &str = r"^[^\x00-\x1F\x7F-\x9F]*[^\s\x00-\x1F\x7F-\x9F][^\x00-\x1F\x7F-\x9F]*$";

/// A room's description: no control characters but line breaks.
const DESCRIPTION: &str = r"^[^\x00-\x09\x0B-\x1F\x7F-\x9F]*$";

/// A UUID in lower-case hyphenated text. Which ones are acceptable is the engine's to say.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(transparent)]
pub(crate) struct Id(pub(crate) String);

impl JsonSchema for Id {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Id".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "uuid"})
    }
}

/// A picture that is set or, with `null`, taken away. As a field of the command the nil id takes it away.
#[derive(Clone, PartialEq, Eq, Serialize, Debug)]
#[serde(transparent)]
pub(crate) struct Picture(Id);

impl JsonSchema for Picture {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Picture".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "null"], "format": "uuid"})
    }
}

impl<'de> Deserialize<'de> for Picture {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let id = Option::<Id>::deserialize(from)?;
        Ok(Self(id.unwrap_or_else(|| Id(lynk_domain::MediaId::NIL.to_string()))))
    }
}

/// Tells `null` from nothing.
fn null_or_id<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Picture>, D::Error> {
    Picture::deserialize(from).map(Some)
}

/// What makes a repeated request harmless: a UUIDv7.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(transparent)]
pub(crate) struct Key(pub(crate) String);

impl JsonSchema for Key {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Key".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "uuid",
            "pattern": "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-7[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$",
        })
    }
}

/// A number of a body: JSON does not tell 7.0 from 7.
fn whole<'de, D: Deserializer<'de>, T: TryFrom<u64>>(from: D) -> Result<T, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Whole(u64),
        Real(f64),
    }
    let whole = match Number::deserialize(from)? {
        Number::Whole(whole) => Some(whole),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is whole and in range"
        )]
        Number::Real(real) if real.fract() == 0.0 && (0.0..=MAX_SAFE_INTEGER as f64).contains(&real) => {
            Some(real as u64)
        }
        Number::Real(_) => None,
    };
    whole
        .and_then(|whole| T::try_from(whole).ok())
        .ok_or_else(|| D::Error::custom("not a whole number in range"))
}

/// As [`whole`], where `null` is as good as nothing.
fn maybe_whole<'de, D: Deserializer<'de>, T: TryFrom<u64>>(from: D) -> Result<Option<T>, D::Error> {
    struct Given<T>(T);
    impl<'de, T: TryFrom<u64>> Deserialize<'de> for Given<T> {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            whole(from).map(Given)
        }
    }
    Ok(Option::<Given<T>>::deserialize(from)?.map(|given| given.0))
}

/// A time: RFC 3339 in UTC with milliseconds, as on the socket.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(transparent)]
pub(crate) struct Time(pub(crate) String);

impl JsonSchema for Time {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}

/// A time that a query names: RFC 3339 with any offset, or milliseconds since 1970.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(transparent)]
pub(crate) struct Moment(pub(crate) String);

impl JsonSchema for Moment {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [
            {"type": "string", "format": "date-time"},
            {"type": "integer", "minimum": 0, "maximum": MAX_SAFE_INTEGER},
        ]})
    }
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Debug)]
        pub(crate) enum $name {
            $(#[serde(rename = $text)] $variant,)*
        }
    };
}

choice! {
    /// Who can find and join a room.
    Kind { Public = "public", Private = "private", InviteOnly = "invite_only", }
}
choice! {
    /// Who can find and join a room; `direct` is a conversation of two.
    AnyKind { Public = "public", Private = "private", InviteOnly = "invite_only", Direct = "direct", }
}
choice! {
    /// Durability that an acknowledgement stands for; `replicated` needs an outside message store.
    Level { Memory = "memory", Local = "local", Replicated = "replicated", }
}
choice! {
    /// How much of the past a member sees.
    Visibility { All = "all", SinceJoin = "since_join", }
}
choice! {
    /// What a member may do.
    Role { Owner = "owner", Admin = "admin", Moderator = "moderator", Member = "member", }
}
choice! {
    /// Roles that can be given; a room changes its owner by `transfer`.
    GivenRole { Admin = "admin", Moderator = "moderator", Member = "member", }
}

macro_rules! object {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema, Debug)]
        pub(crate) struct $name {
            $($(#[$field_doc])* pub(crate) $field: $type,)*
        }
    };
}

mod asking;
mod conversations;
mod links;
mod reports;

pub(crate) use asking::*;
pub(crate) use conversations::*;
pub(crate) use links::*;
pub(crate) use reports::*;

// ---- requests -------------------------------------------------------------------------------------------------------

object! {
    /// A new room; the caller is its owner.
    CreateRoom {
        /// Idempotency key.
        key: Key,
        /// Display name.
        #[schemars(length(min = 1), regex(pattern = ROOM_NAME))]
        name: String,
        /// `public` when missing.
        #[serde(default)] kind: Option<Kind>,
        /// The server's default when missing.
        #[serde(default)] level: Option<Level>,
        /// That of the kind when missing.
        #[serde(default)] visibility: Option<Visibility>,
        /// What it is about, line breaks allowed.
        #[serde(default)]
        #[schemars(regex(pattern = DESCRIPTION))]
        description: Option<String>,
        /// Refused: a picture is uploaded for a room that is there.
        #[serde(default)] #[schemars(skip)] avatar: Option<Id>,
        /// Members at most; 0, or missing, for the server's limit.
        #[serde(default, deserialize_with = "maybe_whole")]
        #[schemars(range(max = u32::MAX))]
        max_members: Option<u32>,
        /// Only moderators and above post.
        #[serde(default)] read_only: Option<bool>,
        /// Days for which messages are kept; 0, or missing, for as long as the server keeps them.
        #[serde(default, deserialize_with = "maybe_whole")]
        #[schemars(range(max = RETENTION_DAYS_MAX))]
        retention_days: Option<u32>,
    }
}
object! {
    /// The other person of a conversation.
    OpenDirect {
        /// Who.
        user: Id,
    }
}
object! {
    /// What makes a repeated request harmless.
    WithKey {
        /// Idempotency key.
        key: Key,
    }
}
object! {
    /// Somebody of a room.
    OnUser {
        /// Who.
        user: Id,
        /// Idempotency key.
        key: Key,
    }
}
object! {
    /// Who has to leave.
    Kick {
        /// Who.
        user: Id,
        /// Idempotency key.
        key: Key,
        /// Why, for people, line breaks allowed.
        #[serde(default)] #[schemars(regex(pattern = DESCRIPTION))] reason: Option<String>,
    }
}
object! {
    /// Who is kept out.
    Ban {
        /// Who.
        user: Id,
        /// Idempotency key.
        key: Key,
        /// Why, for people, line breaks allowed.
        #[serde(default)] #[schemars(regex(pattern = DESCRIPTION))] reason: Option<String>,
        /// For how long; for ever when missing.
        #[serde(default, deserialize_with = "maybe_whole")]
        #[schemars(range(min = 1, max = SENTENCE_SECONDS_MAX))]
        seconds: Option<u64>,
    }
}
object! {
    /// Who may not post.
    Mute {
        /// Who.
        user: Id,
        /// Idempotency key.
        key: Key,
        /// For how long; for ever when missing.
        #[serde(default, deserialize_with = "maybe_whole")]
        #[schemars(range(min = 1, max = SENTENCE_SECONDS_MAX))]
        seconds: Option<u64>,
    }
}
object! {
    /// A member's new role.
    SetRole {
        /// Which.
        role: GivenRole,
        /// Idempotency key.
        key: Key,
    }
}
object! {
    /// What changes in a room; what is missing stays.
    ChangeRoom {
        /// Idempotency key.
        key: Key,
        /// Display name.
        #[serde(default)]
        #[schemars(length(min = 1), regex(pattern = ROOM_NAME))]
        name: Option<String>,
        /// Durability.
        #[serde(default)] level: Option<Level>,
        /// How much of the past a member sees.
        #[serde(default)] visibility: Option<Visibility>,
        /// Time between two messages of a member; 0 for none.
        #[serde(default, deserialize_with = "maybe_whole")]
        #[schemars(range(max = SLOW_MODE_SECONDS_MAX))]
        slow_mode_seconds: Option<u32>,
        /// Who can find and join it.
        #[serde(default)] kind: Option<Kind>,
        /// What it is about, line breaks allowed; empty for nothing.
        #[serde(default)]
        #[schemars(regex(pattern = DESCRIPTION))]
        description: Option<String>,
        /// A picture that the caller has uploaded for it (`purpose: "room_avatar"`) and that is ready; `null` takes it away.
        #[serde(default, deserialize_with = "null_or_id")] avatar: Option<Picture>,
        /// Members at most, not below the number there is; 0 for the server's limit.
        #[serde(default, deserialize_with = "maybe_whole")]
        #[schemars(range(max = u32::MAX))]
        max_members: Option<u32>,
        /// Only moderators and above post.
        #[serde(default)] read_only: Option<bool>,
        /// Days for which messages are kept; 0 for as long as the server keeps them. A shorter time removes what is older for good.
        #[serde(default, deserialize_with = "maybe_whole")]
        #[schemars(range(max = RETENTION_DAYS_MAX))]
        retention_days: Option<u32>,
    }
}
object! {
    /// A message.
    SendMessage {
        /// Idempotency key, a UUIDv7.
        key: Key,
        /// Text; may be missing or empty beside files.
        #[serde(default)] text: Option<String>,
        /// Seq of the message that it answers.
        #[serde(default, deserialize_with = "maybe_whole")]
        #[schemars(range(max = MAX_SAFE_INTEGER))]
        reply_to: Option<u64>,
        /// Members whom it mentions; the same one once.
        #[serde(default)] mentions: Option<Vec<Id>>,
        /// It mentions everybody; for moderators and above.
        #[serde(default)] mention_all: Option<bool>,
        /// Uploads that are ready, each once, in the order in which they are shown.
        #[serde(default)]
        #[schemars(length(max = 10))]
        attachments: Option<Vec<Id>>,
    }
}
object! {
    /// What a message says now: what is missing here is no longer in it.
    EditMessage {
        /// Idempotency key.
        key: Key,
        /// Text; empty only where the message has files, which stay.
        text: String,
        /// Members whom it mentions; the same one once.
        #[serde(default)] mentions: Option<Vec<Id>>,
        /// It mentions everybody; for moderators and above.
        #[serde(default)] mention_all: Option<bool>,
    }
}
object! {
    /// A position in a room.
    At {
        /// Seq.
        #[serde(deserialize_with = "whole")]
        #[schemars(range(min = 1, max = MAX_SAFE_INTEGER))]
        seq: u64,
    }
}
object! {
    /// Whether somebody is typing.
    Typing {
        /// `true` when missing.
        #[serde(default)] on: Option<bool>,
    }
}
object! {
    /// Where a page of rooms begins.
    RoomPage {
        /// The last room of the page before.
        #[serde(default)] after: Option<Id>,
        /// Rooms at most; above 100 is 100, and 50 when missing.
        #[serde(default)]
        #[schemars(range(max = u32::MAX))]
        limit: Option<u32>,
    }
}
object! {
    /// Where a page of members begins.
    MemberPage {
        /// The last user of the page before.
        #[serde(default)] after: Option<Id>,
        /// Members at most; above 500 is 500, and 100 when missing.
        #[serde(default)]
        #[schemars(range(max = u32::MAX))]
        limit: Option<u32>,
    }
}
object! {
    /// Which part of the past.
    HistoryPage {
        /// Events before this seq, newest first. Without `before`, `after` and `at` the newest.
        #[serde(default)]
        #[schemars(range(max = MAX_SAFE_INTEGER))]
        before: Option<u64>,
        /// Events after this seq, oldest first.
        #[serde(default)]
        #[schemars(range(max = MAX_SAFE_INTEGER))]
        after: Option<u64>,
        /// Events from the first message on that is not older than this time, oldest first.
        #[serde(default)] at: Option<Moment>,
        /// History number that the seq belongs to.
        #[serde(default)]
        #[schemars(range(max = u32::MAX))]
        epoch: Option<u32>,
        /// Items at most.
        #[serde(default)]
        #[schemars(range(min = 1, max = u32::MAX))]
        limit: Option<u32>,
        /// Every event, not messages only.
        #[serde(default)] all: Option<bool>,
    }
}

// ---- answers --------------------------------------------------------------------------------------------------------

object! {
    /// What a command made.
    Done {
        /// The room.
        #[serde(default)] room: Option<Id>,
        /// Seq of the event that it made.
        #[serde(default)] seq: Option<u64>,
        /// Time of that event.
        #[serde(default)] time: Option<Time>,
        /// Durability that was reached.
        #[serde(default)] level: Option<Level>,
        /// The room's metadata version with that event.
        #[serde(default)] version: Option<u64>,
    }
}
object! {
    /// A room.
    RoomRef {
        /// Its id.
        room: Id,
        /// Seq of the event that made it.
        #[serde(default)] seq: Option<u64>,
        /// The room's metadata version with that event.
        #[serde(default)] version: Option<u64>,
    }
}
object! {
    /// A message that is in its room.
    Sent {
        /// The room.
        room: Id,
        /// Its position among all events.
        seq: u64,
        /// Its position among messages.
        n: u64,
        /// Its id.
        id: Id,
        /// When.
        time: Time,
        /// Durability that was reached.
        level: Level,
    }
}
object! {
    /// Unread messages.
    Unread {
        /// The room.
        #[serde(default)] room: Option<Id>,
        /// How many.
        #[serde(default)] unread: Option<u64>,
        /// Those of them that mention the caller; 100 for as many or more.
        #[serde(default)] mentions: Option<u32>,
    }
}
object! {
    /// A member.
    MemberRow {
        /// Who.
        user: Id,
        /// What it may do.
        role: Role,
        /// How far it has read. Missing in a room with more members than receipts are passed on in.
        #[serde(default)] read: Option<u64>,
        /// How far one of its devices has stored.
        #[serde(default)] delivered: Option<u64>,
    }
}
object! {
    /// Members, ascending by user.
    Members {
        /// The room.
        room: Id,
        /// How many there are.
        count: u64,
        /// The page.
        members: Vec<MemberRow>,
        /// There are more after the last one.
        more: bool,
    }
}
object! {
    /// What a room is.
    About {
        /// Its id.
        room: Id,
        /// Who can find and join it.
        kind: AnyKind,
        /// Display name.
        name: String,
        /// What it is about; empty for nothing.
        description: String,
        /// Its picture.
        avatar: Option<Id>,
        /// Durability of acknowledgements.
        level: Level,
        /// How much of the past a member sees.
        visibility: Visibility,
        /// Time between two messages of a member; 0 for none.
        slow_mode_seconds: u32,
        /// Members at most; 0 for the server's limit.
        max_members: u32,
        /// Only moderators and above post.
        read_only: bool,
        /// Days for which messages are kept; 0 for as long as the server keeps them.
        retention_days: u32,
        /// When it was made.
        created: Time,
        /// Its metadata version.
        version: u64,
        /// How many members it has.
        members: u64,
        /// The caller's role; missing for who is no member.
        #[serde(default)] role: Option<Role>,
        /// Of a conversation of two that is not accepted: the caller's side of it.
        #[serde(default)] request: Option<RequestSide>,
    }
}
object! {
    /// A ban or a mute.
    Sentence {
        /// Who.
        user: Id,
        /// Why, for people.
        #[serde(default)] reason: Option<String>,
        /// When it ends; missing for never.
        #[serde(default)] until: Option<Time>,
        /// Who did it, where it is known.
        #[serde(default)] by: Option<Id>,
        /// When, where it is known.
        #[serde(default)] at: Option<Time>,
    }
}
object! {
    /// Bans that stand, ascending by user.
    Bans {
        /// The room.
        room: Id,
        /// The page.
        bans: Vec<Sentence>,
        /// There are more after the last one.
        more: bool,
    }
}
object! {
    /// Mutes that stand, ascending by user.
    Mutes {
        /// The room.
        room: Id,
        /// The page.
        mutes: Vec<Sentence>,
        /// There are more after the last one.
        more: bool,
    }
}
object! {
    /// A pinned message.
    Pin {
        /// Its seq.
        seq: u64,
    }
}
object! {
    /// Pinned messages, newest first.
    Pins {
        /// The room.
        room: Id,
        /// All of those that the caller may see.
        pins: Vec<Pin>,
    }
}
object! {
    /// Who of a room has a connection that listens to it now.
    Here {
        /// The room.
        room: Id,
        /// How many.
        count: u64,
        /// `users` is a part only.
        sample: bool,
        /// Who.
        users: Vec<Id>,
    }
}
object! {
    /// Seqs that a page speaks for; none when `from` is above `to`.
    Covers {
        /// First.
        from: u64,
        /// Last.
        to: u64,
    }
}
object! {
    /// A page of the past.
    History {
        /// The room.
        room: Id,
        /// History number.
        epoch: u32,
        /// Events in the order asked for.
        events: Vec<Event>,
        /// What the page speaks for.
        covers: Covers,
        /// There are more in that direction.
        more: bool,
    }
}
object! {
    /// Users who reacted in one way.
    Reaction {
        /// How.
        emoji: String,
        /// Who.
        users: Vec<Id>,
    }
}

/// A file of a message.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema, Debug)]
pub(crate) struct Attachment {
    /// The file.
    pub(crate) id: Id,
    /// What its sender called it; perhaps empty.
    pub(crate) name: String,
    /// What it is, as HTTP names it.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Its length.
    pub(crate) bytes: u64,
    /// Pixels across as it is shown, where that is known.
    #[serde(default)]
    pub(crate) width: Option<u32>,
    /// Pixels down as it is shown, where that is known.
    #[serde(default)]
    pub(crate) height: Option<u32>,
}

/// Who made an event; of a `gap` its first seq.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema, Debug)]
#[serde(untagged)]
pub(crate) enum From {
    /// A user; the nil UUID for the server.
    User(Id),
    /// A seq.
    Seq(u64),
}

/// An event of a room as the socket tells it; the other fields depend on `ev` and are listed in `docs/protocol.md`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema, Debug)]
pub(crate) struct Event {
    /// What happened: `message`, `edit`, `delete`, `reaction`, `joined` …, or `gap`: a part of the past that cannot be given.
    pub(crate) ev: String,
    /// The room.
    pub(crate) room: Id,
    /// Position; a `gap` has none.
    #[serde(default)]
    pub(crate) seq: Option<u64>,
    /// Who, or where a `gap` begins.
    #[serde(default)]
    pub(crate) from: Option<From>,
    /// When.
    #[serde(default)]
    pub(crate) time: Option<Time>,
    /// Position among messages.
    #[serde(default)]
    pub(crate) n: Option<u64>,
    /// Id of a message.
    #[serde(default)]
    pub(crate) id: Option<Id>,
    /// Text of a message that is not deleted, or of an edit.
    #[serde(default)]
    pub(crate) text: Option<String>,
    /// Users whom a message or an edit mentions.
    #[serde(default)]
    pub(crate) mentions: Option<Vec<Id>>,
    /// Whether it mentions everybody.
    #[serde(default)]
    pub(crate) mention_all: Option<bool>,
    /// Files of a message, or of an edit: those of its message.
    #[serde(default)]
    pub(crate) attachments: Option<Vec<Attachment>>,
    /// Seq of the message that is answered.
    #[serde(default)]
    pub(crate) reply_to: Option<u64>,
    /// Reactions to a message.
    #[serde(default)]
    pub(crate) reactions: Option<Vec<Reaction>>,
}
