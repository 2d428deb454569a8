//! What a client wants done, and the commands that say so.

use std::fmt::Write as _;

use lynk_domain::{Key, LinkId, MediaId, RoomId, UserId};
use lynk_model::Mentions;

use crate::oracle::Step;

/// A change that carries an idempotency key, repeated until it is answered for good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    Create {
        name: String,
        kind: &'static str,
        level: &'static str,
        visibility: &'static str,
    },
    Send {
        text: String,
        reply_to: u64,
        mentions: Mentions,
        files: Vec<MediaId>,
    },
    Edit {
        seq: u64,
        text: String,
        mentions: Mentions,
    },
    Delete {
        seq: u64,
    },
    React {
        seq: u64,
        emoji: &'static str,
        on: bool,
    },
    Join,
    /// `join` with the code of a link.
    Enter {
        code: String,
    },
    Leave,
    Invite {
        user: UserId,
    },
    Kick {
        user: UserId,
        reason: &'static str,
    },
    Ban {
        user: UserId,
        seconds: Option<u64>,
    },
    Unban {
        user: UserId,
    },
    Mute {
        user: UserId,
        seconds: Option<u64>,
    },
    Unmute {
        user: UserId,
    },
    Role {
        user: UserId,
        role: &'static str,
    },
    Transfer {
        user: UserId,
    },
    Pin {
        seq: u64,
        on: bool,
    },
    Settings(Wanted),
    DeleteRoom,
    Block {
        user: UserId,
        on: bool,
    },
    Link {
        seconds: Option<u64>,
        uses: Option<u32>,
    },
    Unlink {
        link: LinkId,
    },
    Ask {
        text: String,
    },
    Withdraw,
    Answer {
        user: UserId,
        accept: bool,
    },
    /// Accepts or declines a 1:1.
    Converse {
        accept: bool,
    },
    Report {
        seq: Option<u64>,
        user: Option<UserId>,
        reason: &'static str,
    },
    Resolve {
        number: u64,
        outcome: &'static str,
    },
}

/// What a `settings` changes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) level: Option<&'static str>,
    pub(crate) visibility: Option<&'static str>,
    pub(crate) slow: Option<u32>,
    /// Size and whether it is read-only.
    pub(crate) more: Option<(u32, bool)>,
    pub(crate) kind: Option<&'static str>,
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    /// Nil for none.
    pub(crate) avatar: Option<MediaId>,
    /// Days for which messages are kept.
    pub(crate) days: Option<u32>,
}

impl Change {
    pub(crate) fn op(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Send { .. } => "send",
            Self::Edit { .. } => "edit",
            Self::Delete { .. } => "delete",
            Self::React { .. } => "react",
            Self::Join | Self::Enter { .. } => "join",
            Self::Leave => "leave",
            Self::Invite { .. } => "invite",
            Self::Kick { .. } => "kick",
            Self::Ban { .. } => "ban",
            Self::Unban { .. } => "unban",
            Self::Mute { .. } => "mute",
            Self::Unmute { .. } => "unmute",
            Self::Role { .. } => "role",
            Self::Transfer { .. } => "transfer",
            Self::Pin { .. } => "pin",
            Self::Settings(_) => "settings",
            Self::DeleteRoom => "delete_room",
            Self::Block { on: true, .. } => "block",
            Self::Block { on: false, .. } => "unblock",
            Self::Link { .. } => "link",
            Self::Unlink { .. } => "unlink",
            Self::Ask { .. } => "request_join",
            Self::Withdraw => "withdraw_request",
            Self::Answer { accept: true, .. } => "accept_request",
            Self::Answer { accept: false, .. } => "decline_request",
            Self::Converse { accept: true } => "accept_conversation",
            Self::Converse { accept: false } => "decline_conversation",
            Self::Report { .. } => "report",
            Self::Resolve { .. } => "resolve_report",
        }
    }

    /// Whether it makes one a member.
    pub(crate) fn joins(&self) -> bool {
        matches!(self, Self::Join | Self::Enter { .. })
    }

    /// Whether one's own subscription ends with it.
    pub(crate) fn ends(&self) -> bool {
        matches!(self, Self::Leave | Self::DeleteRoom)
    }

    /// The fields of the command beside id, op, room and key.
    fn fields(&self, out: &mut String) {
        let mut text = |name: &str, value: &str| {
            let value = serde_json::to_string(value).unwrap_or_default();
            // Writing to a String cannot fail.
            let _infallible = write!(out, ",\"{name}\":{value}");
        };
        match self {
            Self::Create { name, kind, level, visibility } => {
                text("name", name);
                text("kind", kind);
                text("level", level);
                text("visibility", visibility);
            }
            Self::Send { text: said, .. } | Self::Edit { text: said, .. } => text("text", said),
            Self::React { emoji, .. } => text("emoji", emoji),
            Self::Kick { reason, .. } => text("reason", reason),
            Self::Role { role, .. } => text("role", role),
            Self::Settings(wanted) => {
                let fixed =
                    [("level", wanted.level), ("visibility", wanted.visibility), ("kind", wanted.kind)];
                let said = [("name", &wanted.name), ("description", &wanted.description)];
                let said = said.into_iter().map(|(name, value)| (name, value.as_deref()));
                for (name, value) in fixed.into_iter().chain(said) {
                    value.iter().for_each(|value| text(name, value));
                }
                match wanted.avatar {
                    Some(MediaId::NIL) => out.push_str(",\"avatar\":null"),
                    Some(picture) => text("avatar", &picture.to_string()),
                    None => {}
                }
            }
            Self::Enter { code } => text("code", code),
            Self::Ask { text: said } => text("text", said),
            Self::Unlink { link } => text("link", &link.to_string()),
            Self::Report { reason, .. } => text("reason", reason),
            Self::Resolve { outcome, .. } => text("outcome", outcome),
            _ => {}
        }
        if let Self::Send { mentions, .. } | Self::Edit { mentions, .. } = self {
            mention(mentions, out);
        }
        if let Self::Send { files, .. } = self
            && !files.is_empty()
        {
            let files: Vec<String> = files.iter().map(|file| format!("\"{file}\"")).collect();
            let _infallible = write!(out, ",\"attachments\":[{}]", files.join(","));
        }
        if let Some(user) = self.subject() {
            let _infallible = write!(out, ",\"user\":\"{user}\"");
        }
        let mut number = |name: &str, value: u64| {
            let _infallible = write!(out, ",\"{name}\":{value}");
        };
        match self {
            Self::Send { reply_to, .. } if *reply_to > 0 => number("reply_to", *reply_to),
            Self::Edit { seq, .. } | Self::Delete { seq } => number("seq", *seq),
            Self::React { seq, on, .. } | Self::Pin { seq, on } => {
                number("seq", *seq);
                let _infallible = write!(out, ",\"on\":{on}");
            }
            Self::Ban { seconds: Some(seconds), .. } | Self::Mute { seconds: Some(seconds), .. } => {
                number("seconds", *seconds);
            }
            Self::Settings(Wanted { slow, more, days, .. }) => {
                slow.iter().for_each(|slow| number("slow_mode_seconds", u64::from(*slow)));
                days.iter().for_each(|days| number("retention_days", u64::from(*days)));
                if let Some((max, read_only)) = more {
                    number("max_members", u64::from(*max));
                    let _infallible = write!(out, ",\"read_only\":{read_only}");
                }
            }
            Self::Link { seconds, uses } => {
                seconds.iter().for_each(|seconds| number("seconds", *seconds));
                uses.iter().for_each(|uses| number("uses", u64::from(*uses)));
            }
            Self::Report { seq: Some(seq), .. } => number("seq", *seq),
            Self::Resolve { number: report, .. } => number("number", *report),
            _ => {}
        }
    }

    fn subject(&self) -> Option<UserId> {
        match self {
            Self::Invite { user }
            | Self::Kick { user, .. }
            | Self::Ban { user, .. }
            | Self::Unban { user }
            | Self::Mute { user, .. }
            | Self::Unmute { user }
            | Self::Role { user, .. }
            | Self::Transfer { user }
            | Self::Answer { user, .. }
            | Self::Block { user, .. } => Some(*user),
            Self::Report { user, .. } => *user,
            _ => None,
        }
    }
}

fn mention(mentions: &Mentions, out: &mut String) {
    if !mentions.users().is_empty() {
        let users: Vec<String> = mentions.users().iter().map(|user| format!("\"{user}\"")).collect();
        let _infallible = write!(out, ",\"mentions\":[{}]", users.join(","));
    }
    if mentions.all() {
        out.push_str(",\"mention_all\":true");
    }
}

/// Where an intent stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// To be sent, not before this time.
    Waiting(u64),
    /// Sent on the current connection with this number.
    Sent(u64),
}

/// A change and what became of it so far.
#[derive(Clone, Debug)]
pub(crate) struct Intent {
    pub(crate) key: Key,
    /// The room; `None` for `create` and blocks.
    pub(crate) room: Option<RoomId>,
    pub(crate) change: Change,
    pub(crate) standing: Standing,
    /// Times it was sent.
    pub(crate) attempts: u32,
    /// An earlier attempt may have been carried out.
    pub(crate) ambiguous: bool,
    /// It repeats one that was answered with this seq, and must be answered alike.
    pub(crate) known: Option<u64>,
}

impl Intent {
    /// A change that was not tried yet.
    pub(crate) fn new(key: Key, room: Option<RoomId>, change: Change, at: u64) -> Self {
        let standing = Standing::Waiting(at);
        Self { key, room, change, standing, attempts: 0, ambiguous: false, known: None }
    }

    /// The command as JSON.
    pub(crate) fn command(&self, id: u64) -> String {
        let mut out = format!("{{\"id\":{id},\"op\":\"{}\",\"key\":\"{}\"", self.change.op(), self.key);
        if let Some(room) = self.room {
            let _infallible = write!(out, ",\"room\":\"{room}\"");
        }
        self.change.fields(&mut out);
        out.push('}');
        out
    }
}

/// A command without a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Question {
    Hello,
    Ping,
    Refresh,
    Direct {
        user: UserId,
    },
    Subscribe {
        room: RoomId,
    },
    Unsubscribe {
        room: RoomId,
    },
    Read {
        room: RoomId,
        seq: u64,
    },
    MarkUnread {
        room: RoomId,
        seq: u64,
    },
    Delivered {
        room: RoomId,
    },
    Typing {
        room: RoomId,
    },
    /// A page of what is missing.
    Fill {
        room: RoomId,
        after: u64,
    },
    /// A page for its own sake.
    Browse {
        room: RoomId,
        all: bool,
        backward: bool,
        /// From a time on.
        at: Option<u64>,
    },
    Sync,
    Presence,
    Members {
        room: RoomId,
    },
    /// A list of the room, or what it is: the op says which.
    Look {
        room: RoomId,
    },
    /// Where a code leads.
    LookAt {
        code: String,
    },
    Discover,
    MyRequests,
    Clear {
        room: RoomId,
        seq: u64,
    },
    /// The keyed command at hand; the intent is found by its number.
    Change,
}

/// A command that waits for its answer.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) question: Question,
    pub(crate) issued: Step,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_is_a_command_that_the_server_decodes() {
        let user = UserId([3; 16]);
        let mentions = Mentions::new(true, vec![user]);
        let changes = [
            Change::Create { name: "a\"b".into(), kind: "public", level: "local", visibility: "all" },
            Change::Send {
                text: "t\n".into(),
                reply_to: 3,
                mentions: mentions.clone(),
                files: vec![MediaId([6; 16])],
            },
            Change::Edit { seq: 1, text: "e".into(), mentions },
            Change::Delete { seq: 1 },
            Change::React { seq: 1, emoji: "👍", on: false },
            Change::Join,
            Change::Leave,
            Change::Invite { user },
            Change::Kick { user, reason: "r" },
            Change::Ban { user, seconds: Some(5) },
            Change::Unban { user },
            Change::Mute { user, seconds: None },
            Change::Unmute { user },
            Change::Role { user, role: "admin" },
            Change::Transfer { user },
            Change::Pin { seq: 4, on: true },
            Change::Settings(Wanted {
                level: Some("memory"),
                visibility: Some("all"),
                slow: Some(1),
                more: Some((3, true)),
                kind: Some("private"),
                name: Some("n".into()),
                description: Some("d".into()),
                avatar: Some(MediaId([6; 16])),
                days: Some(2),
            }),
            Change::Settings(Wanted { avatar: Some(MediaId::NIL), ..Wanted::default() }),
            Change::DeleteRoom,
            Change::Block { user, on: true },
            Change::Enter { code: format!("{}{}", "01".repeat(16), "a1".repeat(16)) },
            Change::Link { seconds: Some(5), uses: Some(1) },
            Change::Unlink { link: LinkId([5; 16]) },
            Change::Ask { text: "let me".into() },
            Change::Withdraw,
            Change::Answer { user, accept: true },
            Change::Answer { user, accept: false },
            Change::Converse { accept: true },
            Change::Converse { accept: false },
            Change::Report { seq: Some(3), user: None, reason: "spam" },
            Change::Report { seq: None, user: Some(user), reason: "other" },
            Change::Resolve { number: 1, outcome: "dismissed" },
        ];
        for change in changes {
            let intent = Intent::new(Key([9; 16]), Some(RoomId([1; 16])), change, 0);
            let text = intent.command(7);
            let decoded = lynk_protocol::decode(&text);
            assert_eq!(decoded.re, 7);
            assert!(decoded.command.is_ok(), "{text}: {:?}", decoded.command);
        }
    }
}
