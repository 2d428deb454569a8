//! What the server says, read by an independent decoder: the simulator must not trust the encoder under test.

use lynk_domain::{AckLevel, LinkId, MediaId, MessageId, RoomId, UserId};
use lynk_model::Mentions;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// Kind of a frame or of an item of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize, Default)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ev {
    Ok,
    Error,
    Subscribed,
    History,
    Sync,
    Here,
    Members,
    About,
    Bans,
    Mutes,
    Pins,
    Links,
    Look,
    Discover,
    Requests,
    MyRequests,
    ModerationLog,
    Reports,
    Message,
    Edit,
    Delete,
    Reaction,
    Created,
    Joined,
    Left,
    Kicked,
    Banned,
    Unbanned,
    Muted,
    Unmuted,
    Role,
    Transferred,
    Pinned,
    Settings,
    Deleted,
    Typing,
    Read,
    Delivered,
    Presence,
    Added,
    Removed,
    Cleared,
    JoinRequest,
    Report,
    ConversationAccepted,
    Gap,
    Resync,
    Draining,
    #[default]
    #[serde(other)]
    Unknown,
}

impl Ev {
    /// Whether it takes a seq of its room.
    pub(crate) fn durable(self) -> bool {
        matches!(
            self,
            Self::Message
                | Self::Edit
                | Self::Delete
                | Self::Reaction
                | Self::Created
                | Self::Joined
                | Self::Left
                | Self::Kicked
                | Self::Banned
                | Self::Unbanned
                | Self::Muted
                | Self::Unmuted
                | Self::Role
                | Self::Transferred
                | Self::Pinned
                | Self::Settings
                | Self::Deleted
        )
    }

    /// Whether after it its subject is no longer a member.
    pub(crate) fn removes(self) -> bool {
        matches!(self, Self::Left | Self::Kicked | Self::Banned)
    }
}

/// `from` is a user in events and a seq in `gap`, `resync` and `covers`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum From {
    User(UserId),
    Seq(u64),
}

/// `members` is a number in `subscribed` and a list in `members`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Members {
    Count(u64),
    List(Vec<UserId>),
}

/// `mentions` is a list of users in messages and edits, and a number where unread ones are counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Mentioned {
    Users(Vec<UserId>),
    Count(u64),
}

/// A range of seqs, both ends included; empty when `from > to`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub(crate) struct Range {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// The users who set one emoji.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub(crate) struct Reactions {
    pub(crate) emoji: String,
    #[serde(deserialize_with = "users")]
    pub(crate) users: Vec<UserId>,
}

/// A room of `sync` or `discover`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Default)]
#[serde(default)]
pub(crate) struct SyncRoom {
    #[serde(deserialize_with = "room")]
    pub(crate) room: Option<RoomId>,
    pub(crate) name: Option<String>,
    pub(crate) request: Option<String>,
    pub(crate) member: Option<bool>,
    /// Nil for none.
    #[serde(deserialize_with = "avatar")]
    pub(crate) avatar: MediaId,
    pub(crate) hidden: bool,
    pub(crate) cleared: u64,
    pub(crate) top: Option<u64>,
    pub(crate) read: Option<u64>,
    pub(crate) unread: Option<u64>,
    pub(crate) mentions: Option<u64>,
}

/// A file of a message.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub(crate) struct File {
    #[serde(deserialize_with = "media")]
    pub(crate) id: MediaId,
}

/// A row of `links`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub(crate) struct LinkRow {
    #[serde(deserialize_with = "one_link")]
    pub(crate) link: LinkId,
    pub(crate) uses: u32,
    pub(crate) max_uses: Option<u32>,
}

/// A row of `requests` or `my_requests`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Default)]
#[serde(default)]
pub(crate) struct RequestRow {
    #[serde(deserialize_with = "user")]
    pub(crate) user: Option<UserId>,
    #[serde(deserialize_with = "room")]
    pub(crate) room: Option<RoomId>,
    pub(crate) state: Option<String>,
}

/// A row of `moderation_log`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Default)]
#[serde(default)]
pub(crate) struct ActRow {
    pub(crate) what: String,
    #[serde(deserialize_with = "user")]
    pub(crate) by: Option<UserId>,
    #[serde(deserialize_with = "user")]
    pub(crate) user: Option<UserId>,
    pub(crate) seq: u64,
}

/// A row of `reports`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Default)]
#[serde(default)]
pub(crate) struct ReportRow {
    pub(crate) number: u64,
    pub(crate) kind: String,
    #[serde(deserialize_with = "user")]
    pub(crate) user: Option<UserId>,
    pub(crate) seq: u64,
    pub(crate) text: String,
    pub(crate) reason: String,
    #[serde(deserialize_with = "user")]
    pub(crate) reporter: Option<UserId>,
}

/// Any frame, and any item of a page.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Default)]
#[serde(default)]
pub(crate) struct Item {
    pub(crate) ev: Ev,
    pub(crate) re: Option<u64>,
    #[serde(deserialize_with = "room")]
    pub(crate) room: Option<RoomId>,
    pub(crate) seq: u64,
    pub(crate) n: u64,
    #[serde(deserialize_with = "message_id")]
    pub(crate) id: Option<MessageId>,
    #[serde(deserialize_with = "from")]
    pub(crate) from: Option<From>,
    pub(crate) to: u64,
    pub(crate) time: Option<String>,
    pub(crate) text: Option<String>,
    #[serde(deserialize_with = "mentioned")]
    pub(crate) mentions: Option<Mentioned>,
    pub(crate) mention_all: bool,
    pub(crate) attachments: Vec<File>,
    pub(crate) reply_to: u64,
    pub(crate) edited: u64,
    pub(crate) deleted: u64,
    pub(crate) reactions: Vec<Reactions>,
    pub(crate) target: u64,
    pub(crate) emoji: Option<String>,
    pub(crate) on: Option<bool>,
    pub(crate) online: Option<bool>,
    #[serde(deserialize_with = "user")]
    pub(crate) user: Option<UserId>,
    pub(crate) role: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) version: u64,
    pub(crate) reason: Option<String>,
    #[serde(deserialize_with = "level")]
    pub(crate) level: Option<AckLevel>,
    pub(crate) visibility: Option<String>,
    pub(crate) max_members: Option<u32>,
    pub(crate) read_only: Option<bool>,
    pub(crate) retention_days: Option<u32>,
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    /// Nil for none.
    #[serde(deserialize_with = "avatar")]
    pub(crate) avatar: MediaId,
    /// The id that the `ok` of `link` tells.
    #[serde(deserialize_with = "some_link")]
    pub(crate) link: Option<LinkId>,
    /// Of a report.
    pub(crate) number: u64,
    /// Of a request to become a member, or of a report.
    pub(crate) state: Option<String>,
    /// Of a 1:1 that is not accepted.
    pub(crate) request: Option<String>,
    pub(crate) upto: u64,
    pub(crate) unread: Option<u64>,
    pub(crate) epoch: u64,
    pub(crate) top: u64,
    pub(crate) top_n: u64,
    pub(crate) read: u64,
    #[serde(deserialize_with = "members")]
    pub(crate) members: Option<Members>,
    pub(crate) events: Vec<Item>,
    pub(crate) rooms: Vec<SyncRoom>,
    pub(crate) links: Vec<LinkRow>,
    pub(crate) requests: Vec<RequestRow>,
    pub(crate) acts: Vec<ActRow>,
    pub(crate) reports: Vec<ReportRow>,
    /// There may be more behind this page.
    #[serde(rename = "next", deserialize_with = "present")]
    pub(crate) has_next: bool,
    pub(crate) covers: Option<Range>,
    pub(crate) more: bool,
    /// Of an error, or of a link.
    pub(crate) code: Option<String>,
    pub(crate) retryable: bool,
    pub(crate) retry_after_ms: Option<u64>,
}

impl Item {
    /// Reads one frame's JSON.
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(payload).map_err(|error| error.to_string())
    }

    pub(crate) fn sender(&self) -> Option<UserId> {
        match self.from {
            Some(From::User(user)) => Some(user),
            _ => None,
        }
    }

    /// Whom a message or an edit mentions.
    pub(crate) fn whom(&self) -> Mentions {
        let users = match &self.mentions {
            Some(Mentioned::Users(users)) => users.clone(),
            _ => Vec::new(),
        };
        Mentions::new(self.mention_all, users)
    }

    /// The files of a message or an edit.
    pub(crate) fn files(&self) -> Vec<MediaId> {
        self.attachments.iter().map(|file| file.id).collect()
    }

    /// How many unread messages mention the user who is told.
    pub(crate) fn mentioned(&self) -> Option<u64> {
        match self.mentions {
            Some(Mentioned::Count(count)) => Some(count),
            _ => None,
        }
    }

    /// The range of a `gap` or `resync`.
    pub(crate) fn range(&self) -> Option<Range> {
        match self.from {
            Some(From::Seq(from)) => Some(Range { from, to: self.to }),
            _ => None,
        }
    }
}

struct Id([u8; 16]);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl Visitor<'_> for V {
            type Value = Id;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an id")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Id, E> {
                RoomId::parse(text).map(|id| Id(id.0)).ok_or_else(|| E::custom("not an id"))
            }
        }
        deserializer.deserialize_str(V)
    }
}

fn room<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<RoomId>, D::Error> {
    Ok(Some(RoomId(Id::deserialize(deserializer)?.0)))
}

fn user<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<UserId>, D::Error> {
    Ok(Some(UserId(Id::deserialize(deserializer)?.0)))
}

fn media<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MediaId, D::Error> {
    Ok(MediaId(Id::deserialize(deserializer)?.0))
}

fn avatar<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MediaId, D::Error> {
    let id: Option<Id> = Option::deserialize(deserializer)?;
    Ok(id.map(|id| MediaId(id.0)).unwrap_or_default())
}

fn one_link<'de, D: Deserializer<'de>>(deserializer: D) -> Result<LinkId, D::Error> {
    Ok(LinkId(Id::deserialize(deserializer)?.0))
}

fn some_link<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<LinkId>, D::Error> {
    one_link(deserializer).map(Some)
}

fn message_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<MessageId>, D::Error> {
    Ok(Some(MessageId(Id::deserialize(deserializer)?.0)))
}

/// Whether a field is there, whatever it says.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    de::IgnoredAny::deserialize(deserializer).map(|_| true)
}

fn users<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<UserId>, D::Error> {
    let ids: Vec<Id> = Vec::deserialize(deserializer)?;
    Ok(ids.into_iter().map(|id| UserId(id.0)).collect())
}

fn level<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<AckLevel>, D::Error> {
    let name = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
    AckLevel::parse(&name).map(Some).ok_or_else(|| de::Error::custom("no such level"))
}

fn from<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<From>, D::Error> {
    struct V;
    impl Visitor<'_> for V {
        type Value = Option<From>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a user or a seq")
        }
        fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
            Ok(Some(From::Seq(value)))
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            UserId::parse(text).map(|user| Some(From::User(user))).ok_or_else(|| E::custom("not an id"))
        }
    }
    deserializer.deserialize_any(V)
}

fn mentioned<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Mentioned>, D::Error> {
    struct V;
    impl<'de> Visitor<'de> for V {
        type Value = Option<Mentioned>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a number or a list of users")
        }
        fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
            Ok(Some(Mentioned::Count(value)))
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut users = Vec::new();
            while let Some(user) = list.next_element::<Id>()? {
                users.push(UserId(user.0));
            }
            Ok(Some(Mentioned::Users(users)))
        }
    }
    deserializer.deserialize_any(V)
}

fn members<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Members>, D::Error> {
    #[derive(Deserialize)]
    struct Row {
        user: Id,
    }
    struct V;
    impl<'de> Visitor<'de> for V {
        type Value = Option<Members>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a number or a list of members")
        }
        fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
            Ok(Some(Members::Count(value)))
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut users = Vec::new();
            while let Some(row) = list.next_element::<Row>()? {
                users.push(UserId(row.user.0));
            }
            Ok(Some(Members::List(users)))
        }
    }
    deserializer.deserialize_any(V)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lynk_domain::{Epoch, Millis, Ordinal, Seq};
    use lynk_model::Parts;

    #[test]
    fn frames_of_the_encoder_read_back() {
        let (room, user) = (RoomId([7; 16]), UserId([8; 16]));
        let mut out = Vec::new();
        lynk_protocol::encode_history_head(&mut out, 3, room, Epoch(2));
        lynk_protocol::encode_gap(&mut out, room, Seq(1), Seq(4), "lost");
        out.push(b',');
        let id = MessageId([1; 16]);
        lynk_protocol::encode_message(
            &mut out,
            room,
            Seq(5),
            Ordinal(2),
            id,
            user,
            Millis(9),
            Seq(0),
            "a\"b",
            &Parts::of_mentions(Mentions::new(true, vec![user])),
        );
        lynk_protocol::encode_tail(&mut out, Seq(1), Seq(5), true);
        let item = Item::parse(&out).expect("valid");
        assert_eq!((item.ev, item.re, item.epoch, item.more), (Ev::History, Some(3), 2, true));
        assert_eq!(item.covers, Some(Range { from: 1, to: 5 }));
        assert_eq!(item.events[0].range(), Some(Range { from: 1, to: 4 }));
        assert_eq!(item.events[1].text.as_deref(), Some("a\"b"));
        assert_eq!(item.events[1].sender(), Some(user));
        assert_eq!(item.events[1].whom(), Mentions::new(true, vec![user]));
    }

    #[test]
    fn unknown_events_and_fields_do_not_fail() {
        let item = Item::parse(br#"{"ev":"later","x":[1,{"y":2}],"seq":4}"#).expect("valid");
        assert_eq!((item.ev, item.seq), (Ev::Unknown, 4));
    }
}
