//! Commands: what a client may ask, decoded from one JSON text frame.
//!
//! One flat struct with optional fields is read first, then matched on `op`: the fastest form with serde, and
//! the one that gives precise errors. Unknown fields are ignored; duplicate ones are refused.

use std::borrow::Cow;

use lynk_domain::{
    AckLevel, Cursor, HistoryVisibility, Key, LinkId, MediaId, Role, RoomId, RoomKind, Seq, UserId,
};
use lynk_model::{Parts, ReportOutcome, ReportReason};
use serde::Deserialize;

mod envelope;
mod history;
mod metadata;
mod parts;
mod proof;
mod rare;
mod refused;

pub use history::History;
use history::history_of;
pub use proof::Proof;
pub use refused::refused_command;

use self::envelope::{Envelope, ids, invalid, missing, resume_of, seq_field, take};
use self::metadata::metadata_of;
use self::rare::Rare;
use crate::{DiscoverCursor, ErrorCode, Reject};

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

/// Settings that a room got later; what is `None` stays as it is.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct MoreWanted<'a> {
    /// Who can find and join it; never `Direct`. In `create` it stands beside this.
    pub kind: Option<RoomKind>,
    /// What it is about; empty for nothing.
    pub description: Option<Cow<'a, str>>,
    /// Its picture; nil for none.
    pub avatar: Option<MediaId>,
    /// Members at most; 0 for the server's limit.
    pub members_max: Option<u32>,
    /// Days for which messages are kept; 0 for as long as the server keeps them.
    pub retention_days: Option<u32>,
    /// Only moderators and above post.
    pub read_only: Option<bool>,
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
        /// The rest. Behind a box, so that commands stay as small as the frequent ones.
        more: Box<MoreWanted<'a>>,
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
        /// The secret of the link that leads in, where one does.
        secret: Option<[u8; 16]>,
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
        /// What it says beside the text, without its files.
        parts: Parts,
        /// Its files, in their order; each once.
        attachments: Vec<MediaId>,
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
        /// The rest.
        more: Box<MoreWanted<'a>>,
    },
    /// Asks what a room is: its settings and its size.
    About {
        /// The room.
        room: RoomId,
    },
    /// Deletes a room.
    DeleteRoom {
        /// The room.
        room: RoomId,
        /// Idempotency key.
        key: Key,
    },
    /// A page of the bans that stand.
    Bans {
        /// The room.
        room: RoomId,
        /// Those of users after this one.
        after: Option<UserId>,
        /// Items at most.
        limit: Option<u32>,
    },
    /// A page of the mutes that stand.
    Mutes {
        /// The room.
        room: RoomId,
        /// Those of users after this one.
        after: Option<UserId>,
        /// Items at most.
        limit: Option<u32>,
    },
    /// Asks which messages are pinned.
    Pins {
        /// The room.
        room: RoomId,
    },
    /// Makes a link that lets people in.
    Link {
        /// The room.
        room: RoomId,
        /// Idempotency key.
        key: Key,
        /// How long it lives; `None` for the default.
        seconds: Option<u64>,
        /// How many it lets in; `None` for any number.
        uses: Option<u32>,
    },
    /// Asks which links there are.
    Links {
        /// The room.
        room: RoomId,
    },
    /// Ends a link.
    Unlink {
        /// The room.
        room: RoomId,
        /// Which.
        link: LinkId,
        /// Idempotency key.
        key: Key,
    },
    /// Asks where a link leads.
    Look {
        /// The room of its code.
        room: RoomId,
        /// The secret of its code.
        secret: [u8; 16],
    },
    /// A page of public rooms by their names.
    Discover {
        /// What the names begin with; all of them when missing.
        name: Option<Cow<'a, str>>,
        /// Where the page before ended.
        cursor: Option<DiscoverCursor>,
        /// Items at most.
        limit: Option<u32>,
    },
    /// Asks to become a member.
    RequestJoin {
        /// The room.
        room: RoomId,
        /// Idempotency key.
        key: Key,
        /// What to say to those who decide; may be empty.
        text: Cow<'a, str>,
    },
    /// Takes the request back.
    WithdrawRequest {
        /// The room.
        room: RoomId,
        /// Idempotency key.
        key: Key,
    },
    /// A page of the caller's own requests.
    MyRequests {
        /// Those of rooms after this one.
        after: Option<RoomId>,
        /// Items at most.
        limit: Option<u32>,
    },
    /// A page of the requests that are open.
    Requests {
        /// The room.
        room: RoomId,
        /// Those of users after this one.
        after: Option<UserId>,
        /// Items at most.
        limit: Option<u32>,
    },
    /// A page of what moderators did, newest first.
    ModerationLog {
        /// The room.
        room: RoomId,
        /// What has lower numbers than this.
        before: Option<u64>,
        /// Items at most.
        limit: Option<u32>,
    },
    /// Reports a message, a member, or the room.
    Report {
        /// The room.
        room: RoomId,
        /// Idempotency key.
        key: Key,
        /// The message.
        seq: Option<Seq>,
        /// The member.
        user: Option<UserId>,
        /// Why.
        reason: ReportReason,
        /// In words; may be empty.
        comment: Cow<'a, str>,
    },
    /// A page of reports, newest first.
    Reports {
        /// The room.
        room: RoomId,
        /// Open ones, or those that are not.
        open: bool,
        /// Those with lower numbers than this.
        before: Option<u64>,
        /// Items at most.
        limit: Option<u32>,
    },
    /// Says what came of a report.
    ResolveReport {
        /// The room.
        room: RoomId,
        /// Which.
        number: u64,
        /// Idempotency key.
        key: Key,
        /// What came of it.
        outcome: ReportOutcome,
        /// In words; may be empty.
        note: Cow<'a, str>,
    },
    /// Lets somebody in who asked, or not.
    AnswerRequest {
        /// The room.
        room: RoomId,
        /// Who asked.
        user: UserId,
        /// Idempotency key.
        key: Key,
        /// In.
        accept: bool,
    },
    /// Accepts a 1:1 that a stranger began, or does not.
    AnswerConversation {
        /// The room.
        room: RoomId,
        /// Idempotency key.
        key: Key,
        /// Accepts it.
        accept: bool,
    },
}

/// Every op name, for documentation, tests and fuzz dictionaries.
pub const OPS: [&str; 57] = [
    "hello",
    "refresh",
    "ping",
    "create",
    "direct",
    "accept_conversation",
    "decline_conversation",
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
    "about",
    "delete_room",
    "bans",
    "mutes",
    "pins",
    "link",
    "links",
    "unlink",
    "look",
    "discover",
    "request_join",
    "withdraw_request",
    "my_requests",
    "requests",
    "accept_request",
    "decline_request",
    "moderation_log",
    "report",
    "reports",
    "resolve_report",
];

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
    Decoded { re, command: command_of(&op, envelope, text) }
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

fn command_of<'a>(op: &str, mut e: Envelope<'a>, text: &'a str) -> Result<Command<'a>, Reject> {
    Ok(match op {
        "send" => Command::Send {
            room: e.room()?,
            key: e.key()?,
            reply_to: e.reply_to.map(|seq| seq_field("reply_to", seq)).transpose()?,
            parts: e.parts()?,
            attachments: e.attachments()?,
            text: e.said()?,
        },
        "read" => Command::Read { room: e.room()?, seq: e.seq()? },
        "delivered" => Command::Delivered { room: e.room()?, seq: e.seq()? },
        "typing" => Command::Typing { room: e.room()?, on: e.on.unwrap_or(true) },
        "ping" => Command::Ping,
        "hello" => {
            let mut rare = Rare::of(text)?;
            Command::Hello { resume: rare.resume()?, proof: rare.proof()? }
        }
        "refresh" => Command::Refresh { token: Rare::of(text)?.token()? },
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
        "presence" => {
            let rare = Rare::of(text)?;
            Command::Presence {
                room: e.room.as_ref().map(|id| RoomId(id.0)),
                watch: ids(rare.watch),
                unwatch: ids(rare.unwatch),
            }
        }
        "subscribe" => Command::Subscribe(resume_of(e.room()?, e.epoch, e.seq)?),
        "unsubscribe" => Command::Unsubscribe { room: e.room()? },
        "members" => Command::Members { room: e.room()?, after: e.after_id()?.map(UserId), limit: e.limit },
        "request_join" => Command::RequestJoin {
            room: e.room()?,
            key: e.key()?,
            text: take(&mut e.text).unwrap_or_default(),
        },
        _ => return metadata_of(op, &e, text),
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
            | Self::Discover { .. }
            | Self::MyRequests { .. }
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
            | Self::Settings { room, .. }
            | Self::About { room }
            | Self::DeleteRoom { room, .. }
            | Self::Bans { room, .. }
            | Self::Mutes { room, .. }
            | Self::Pins { room }
            | Self::Link { room, .. }
            | Self::Links { room }
            | Self::Unlink { room, .. }
            | Self::Look { room, .. }
            | Self::RequestJoin { room, .. }
            | Self::WithdrawRequest { room, .. }
            | Self::Requests { room, .. }
            | Self::AnswerRequest { room, .. }
            | Self::AnswerConversation { room, .. }
            | Self::ModerationLog { room, .. }
            | Self::Report { room, .. }
            | Self::Reports { room, .. }
            | Self::ResolveReport { room, .. } => Some(*room),
        }
    }
}

#[cfg(test)]
mod tests;
