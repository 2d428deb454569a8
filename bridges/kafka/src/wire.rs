//! Events as JSON: the shapes that the published schemas are made from. Field names and meanings are public; a change that a reader could not
//! take raises [`SCHEMA_VERSION`](crate::SCHEMA_VERSION). Readers skip fields they do not know.
//!
//! Thread: any. Pure. Numbers stay below 2^53; times are milliseconds since 1970; ids are lower-case hyphenated UUIDs.

use lynk_domain::{
    AckLevel, HistoryVisibility, Key, MediaId, MessageId, Millis, Ordinal, Role, RoomId, RoomKind, Seq,
    UserId,
};
use lynk_model::event::{Event, EventBody, Subject, Topic};
use lynk_model::{Attachment, Mentions, MetaEvent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SCHEMA_VERSION;

/// What every event begins with.
#[derive(Serialize, Deserialize, JsonSchema, Clone, PartialEq, Debug)]
pub(crate) struct Head {
    /// The topic that it is published to.
    #[serde(rename = "type")]
    pub(crate) topic: String,
    /// Version of this schema.
    pub(crate) version: u32,
    /// Equal for every repetition of the event, and for no other event.
    pub(crate) idempotency_key: String,
    /// When it happened, by the server's clock: milliseconds since 1970.
    pub(crate) time: u64,
}

/// Where in a room something happened, and by whom.
#[derive(Serialize, Deserialize, JsonSchema, Clone, PartialEq, Debug)]
pub(crate) struct Place {
    /// The room.
    #[schemars(extend("format" = "uuid"))]
    pub(crate) room: String,
    /// The event's place in the room's log.
    pub(crate) seq: u64,
    /// Who caused it; absent for the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "uuid"))]
    pub(crate) by: Option<String>,
    /// Idempotency key of the client's command; absent when there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "uuid"))]
    pub(crate) command: Option<String>,
}

/// A message was posted.
#[derive(Serialize, Deserialize, JsonSchema, Clone, PartialEq, Debug)]
pub(crate) struct Posted {
    #[serde(flatten)]
    pub(crate) head: Head,
    #[serde(flatten)]
    pub(crate) place: Place,
    /// The message's id.
    #[schemars(extend("format" = "uuid"))]
    pub(crate) message: String,
    /// Its number among the room's messages.
    pub(crate) n: u64,
    /// Place of the message it answers; absent for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reply_to: Option<u64>,
    /// Users that it mentions; absent for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mentions: Option<Vec<String>>,
    /// It mentions everybody in the room; absent when it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mention_all: Option<bool>,
    /// Its files; absent for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attachments: Option<Vec<File>>,
    /// Its text, where texts are published and it is not too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
}

/// A file of a message.
#[derive(Serialize, Deserialize, JsonSchema, Clone, PartialEq, Debug)]
pub(crate) struct File {
    /// The file's id.
    #[schemars(extend("format" = "uuid"))]
    pub(crate) id: String,
    /// What it is, as HTTP names it.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Its length.
    pub(crate) bytes: u64,
    /// Pixels across; absent where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) width: Option<u32>,
    /// Pixels down; absent where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) height: Option<u32>,
    /// What its sender called it, where texts are published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
}

/// A message was edited, deleted or reacted to.
#[derive(Serialize, Deserialize, JsonSchema, Clone, PartialEq, Debug)]
pub(crate) struct Updated {
    #[serde(flatten)]
    pub(crate) head: Head,
    #[serde(flatten)]
    pub(crate) place: Place,
    /// Place of the message.
    pub(crate) target: u64,
    #[serde(flatten)]
    pub(crate) change: Change,
}

/// What became of the message.
#[derive(Serialize, Deserialize, JsonSchema, Clone, PartialEq, Debug)]
#[serde(tag = "change", rename_all = "snake_case")]
pub(crate) enum Change {
    /// It has new text.
    Edited {
        /// Users that it mentions now; absent for none.
        #[serde(skip_serializing_if = "Option::is_none")]
        mentions: Option<Vec<String>>,
        /// It mentions everybody in the room now; absent when it does not.
        #[serde(skip_serializing_if = "Option::is_none")]
        mention_all: Option<bool>,
        /// The text, where texts are published and it is not too long.
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    /// Its content is gone.
    Deleted,
    /// A reaction was set or taken back.
    Reacted {
        /// Set, or taken back.
        on: bool,
        /// The emoji, where texts are published.
        #[serde(skip_serializing_if = "Option::is_none")]
        emoji: Option<String>,
    },
}

/// A room or its members changed.
#[derive(Serialize, Deserialize, JsonSchema, Clone, PartialEq, Debug)]
pub(crate) struct RoomChanged {
    #[serde(flatten)]
    pub(crate) head: Head,
    #[serde(flatten)]
    pub(crate) place: Place,
    /// Number of the change among the room's changes.
    pub(crate) room_version: u64,
    #[serde(flatten)]
    pub(crate) change: RoomChange,
}

/// What changed.
#[derive(Serialize, Deserialize, JsonSchema, Clone, PartialEq, Debug)]
#[serde(tag = "change", rename_all = "snake_case")]
pub(crate) enum RoomChange {
    /// The room exists.
    Created {
        /// `public`, `private` or another kind of the API.
        kind: String,
        /// Its name; empty for a conversation of two.
        name: String,
    },
    /// A user became a member.
    Joined {
        /// Who.
        #[schemars(extend("format" = "uuid"))]
        user: String,
        /// With which role.
        role: String,
    },
    /// A member left.
    Left {
        /// Who.
        #[schemars(extend("format" = "uuid"))]
        user: String,
    },
    /// A member was removed.
    Kicked {
        /// Who.
        #[schemars(extend("format" = "uuid"))]
        user: String,
        /// Why, where texts are published.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A user was banned, and removed when a member.
    Banned {
        /// Who.
        #[schemars(extend("format" = "uuid"))]
        user: String,
        /// When it ends: milliseconds since 1970; absent for never.
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<u64>,
        /// Why, where texts are published.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A ban was lifted.
    Unbanned {
        /// Who.
        #[schemars(extend("format" = "uuid"))]
        user: String,
    },
    /// A member may not post for a time.
    Muted {
        /// Who.
        #[schemars(extend("format" = "uuid"))]
        user: String,
        /// When it ends: milliseconds since 1970; absent for never.
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<u64>,
    },
    /// A mute was lifted.
    Unmuted {
        /// Who.
        #[schemars(extend("format" = "uuid"))]
        user: String,
    },
    /// A member's role changed.
    Role {
        /// Who.
        #[schemars(extend("format" = "uuid"))]
        user: String,
        /// The new role.
        role: String,
    },
    /// Ownership went to a member.
    Transferred {
        /// The new owner.
        #[schemars(extend("format" = "uuid"))]
        user: String,
    },
    /// A message was pinned or unpinned.
    Pinned {
        /// Place of the message.
        target: u64,
        /// Pinned, or unpinned.
        on: bool,
    },
    /// All of the room's settings, after the change.
    Settings {
        /// Its name.
        name: String,
        /// Durability of acknowledgements.
        level: String,
        /// How much past a member sees.
        visibility: String,
        /// Least seconds between two messages of one member.
        slow_mode_seconds: u32,
        /// The rest; absent in events of servers that did not have it.
        #[serde(flatten)]
        more: Option<MoreSettings>,
    },
    /// The room is no more.
    Deleted,
}

/// Further settings of a room.
#[derive(Serialize, Deserialize, JsonSchema, Clone, PartialEq, Debug)]
pub(crate) struct MoreSettings {
    /// Who can find and join it.
    pub(crate) kind: String,
    /// What it is about, where texts are published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// Its picture; absent for none.
    #[schemars(extend("format" = "uuid"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) avatar: Option<String>,
    /// Members at most; 0 for the server's limit.
    pub(crate) max_members: u32,
    /// Only moderators and above post.
    pub(crate) read_only: bool,
    /// Days for which messages are kept; absent for as long as the server keeps them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retention_days: Option<u32>,
}

/// An account was made.
#[derive(Serialize, Deserialize, JsonSchema, Clone, PartialEq, Debug)]
pub(crate) struct UserCreated {
    #[serde(flatten)]
    pub(crate) head: Head,
    /// The account.
    #[schemars(extend("format" = "uuid"))]
    pub(crate) user: String,
}

/// A notification was given up.
#[derive(Serialize, Deserialize, JsonSchema, Clone, PartialEq, Debug)]
pub(crate) struct NotificationDead {
    #[serde(flatten)]
    pub(crate) head: Head,
    /// The place that it was about.
    #[serde(flatten)]
    pub(crate) place: Place,
    /// For whom it was.
    #[schemars(extend("format" = "uuid"))]
    pub(crate) user: String,
    /// Why, as a word of a fixed list.
    pub(crate) error: String,
    /// How often it was tried.
    pub(crate) attempts: u32,
}

/// Any of them.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Wire {
    Posted(Posted),
    Updated(Updated),
    RoomChanged(RoomChanged),
    UserCreated(UserCreated),
    NotificationDead(NotificationDead),
}

impl Wire {
    pub(crate) fn json(&self) -> serde_json::Result<Vec<u8>> {
        match self {
            Self::Posted(wire) => serde_json::to_vec(wire),
            Self::Updated(wire) => serde_json::to_vec(wire),
            Self::RoomChanged(wire) => serde_json::to_vec(wire),
            Self::UserCreated(wire) => serde_json::to_vec(wire),
            Self::NotificationDead(wire) => serde_json::to_vec(wire),
        }
    }

    pub(crate) fn of_json(topic: Topic, value: serde_json::Value) -> serde_json::Result<Self> {
        Ok(match topic {
            Topic::MessageReceived | Topic::MessageCreated => Self::Posted(serde_json::from_value(value)?),
            Topic::MessageUpdated => Self::Updated(serde_json::from_value(value)?),
            Topic::RoomChanged => Self::RoomChanged(serde_json::from_value(value)?),
            Topic::UserCreated => Self::UserCreated(serde_json::from_value(value)?),
            Topic::NotificationDead => Self::NotificationDead(serde_json::from_value(value)?),
        })
    }

    pub(crate) fn of(event: &Event) -> Self {
        let head = Head {
            topic: event.topic.name().to_owned(),
            version: SCHEMA_VERSION,
            idempotency_key: event.idempotency_key(),
            time: event.at.0,
        };
        let place = Place {
            room: event.subject.to_string(),
            seq: event.seq.0,
            by: (!event.by.is_nil()).then(|| event.by.to_string()),
            command: (!event.command.is_nil()).then(|| event.command.to_string()),
        };
        let updated = |target: Seq, change| {
            Self::Updated(Updated { head: head.clone(), place: place.clone(), target: target.0, change })
        };
        match &event.body {
            EventBody::Posted { id, n, reply_to, mentions, attachments, text } => Self::Posted(Posted {
                head,
                place,
                message: id.to_string(),
                n: n.0,
                reply_to: (reply_to.0 != 0).then_some(reply_to.0),
                mentions: named(mentions),
                mention_all: mentions.all().then_some(true),
                attachments: files(attachments),
                text: text.clone(),
            }),
            EventBody::Edited { target, mentions, text } => {
                let (mentions, mention_all) = (named(mentions), mentions.all().then_some(true));
                updated(*target, Change::Edited { mentions, mention_all, text: text.clone() })
            }
            EventBody::Deleted { target } => updated(*target, Change::Deleted),
            EventBody::Reacted { target, on, emoji } => {
                updated(*target, Change::Reacted { on: *on, emoji: emoji.clone() })
            }
            EventBody::Room { version, change } => Self::RoomChanged(RoomChanged {
                head,
                place,
                room_version: *version,
                change: change_of(change),
            }),
            EventBody::User => Self::UserCreated(UserCreated { head, user: event.subject.to_string() }),
            EventBody::Dead { user, error, attempts } => Self::NotificationDead(NotificationDead {
                head,
                place,
                user: user.to_string(),
                error: error.clone(),
                attempts: *attempts,
            }),
        }
    }

    /// `None` when a value is none of ours.
    pub(crate) fn event(self, topic: Topic) -> Option<Event> {
        let of_room = |head: &Head, place: &Place, body| {
            Some(Event {
                topic,
                subject: Subject::Room(RoomId::parse(&place.room)?),
                seq: Seq(place.seq),
                at: Millis(head.time),
                by: place.by.as_deref().map_or(Some(UserId::NIL), UserId::parse)?,
                command: place.command.as_deref().map_or(Some(Key::NIL), Key::parse)?,
                body,
            })
        };
        match self {
            Self::Posted(wire) => {
                let body = EventBody::Posted {
                    id: MessageId::parse(&wire.message)?,
                    n: Ordinal(wire.n),
                    reply_to: Seq(wire.reply_to.unwrap_or(0)),
                    mentions: mentions_of(wire.mentions, wire.mention_all)?,
                    attachments: attachments_of(wire.attachments)?,
                    text: wire.text,
                };
                of_room(&wire.head, &wire.place, body)
            }
            Self::Updated(wire) => {
                let target = Seq(wire.target);
                let body = match wire.change {
                    Change::Edited { mentions, mention_all, text } => {
                        EventBody::Edited { target, mentions: mentions_of(mentions, mention_all)?, text }
                    }
                    Change::Deleted => EventBody::Deleted { target },
                    Change::Reacted { on, emoji } => EventBody::Reacted { target, on, emoji },
                };
                of_room(&wire.head, &wire.place, body)
            }
            Self::RoomChanged(wire) => {
                let body = EventBody::Room { version: wire.room_version, change: of_change(wire.change)? };
                of_room(&wire.head, &wire.place, body)
            }
            Self::UserCreated(wire) => {
                Some(Event::of_account(UserId::parse(&wire.user)?, Millis(wire.head.time)))
            }
            Self::NotificationDead(wire) => {
                let body = EventBody::Dead {
                    user: UserId::parse(&wire.user)?,
                    error: wire.error,
                    attempts: wire.attempts,
                };
                of_room(&wire.head, &wire.place, body)
            }
        }
    }
}

fn named(mentions: &Mentions) -> Option<Vec<String>> {
    let users = mentions.users();
    (!users.is_empty()).then(|| users.iter().map(UserId::to_string).collect())
}

/// `None` when an id is none.
fn mentions_of(users: Option<Vec<String>>, all: Option<bool>) -> Option<Mentions> {
    let users = users.unwrap_or_default();
    let users = users.iter().map(|user| UserId::parse(user)).collect::<Option<_>>()?;
    Some(Mentions::new(all == Some(true), users))
}

fn files(attachments: &[Attachment]) -> Option<Vec<File>> {
    let pixels = |side: u32| (side != 0).then_some(side);
    let file = |one: &Attachment| File {
        id: one.id.to_string(),
        kind: one.kind.clone(),
        bytes: one.bytes,
        width: pixels(one.width),
        height: pixels(one.height),
        name: some(&one.name),
    };
    (!attachments.is_empty()).then(|| attachments.iter().map(file).collect())
}

/// `None` when an id is none.
fn attachments_of(files: Option<Vec<File>>) -> Option<Vec<Attachment>> {
    let attachment = |File { id, kind, bytes, width, height, name }: File| {
        let (width, height) = (width.unwrap_or(0), height.unwrap_or(0));
        Some(Attachment {
            id: MediaId::parse(&id)?,
            name: name.unwrap_or_default(),
            kind,
            bytes,
            width,
            height,
        })
    };
    files.unwrap_or_default().into_iter().map(attachment).collect()
}

fn time(at: Millis) -> Option<u64> {
    (at.0 != 0).then_some(at.0)
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn change_of(event: &MetaEvent) -> RoomChange {
    match event {
        MetaEvent::Created { kind, name } => {
            RoomChange::Created { kind: kind.name().to_owned(), name: name.clone() }
        }
        MetaEvent::Joined { user, role } => {
            RoomChange::Joined { user: user.to_string(), role: role.name().to_owned() }
        }
        MetaEvent::Left { user } => RoomChange::Left { user: user.to_string() },
        MetaEvent::Kicked { user, reason } => {
            RoomChange::Kicked { user: user.to_string(), reason: some(reason) }
        }
        MetaEvent::Banned { user, until, reason } => {
            RoomChange::Banned { user: user.to_string(), until: time(*until), reason: some(reason) }
        }
        MetaEvent::Unbanned { user } => RoomChange::Unbanned { user: user.to_string() },
        MetaEvent::Muted { user, until } => RoomChange::Muted { user: user.to_string(), until: time(*until) },
        MetaEvent::Unmuted { user } => RoomChange::Unmuted { user: user.to_string() },
        MetaEvent::Role { user, role } => {
            RoomChange::Role { user: user.to_string(), role: role.name().to_owned() }
        }
        MetaEvent::Transferred { user } => RoomChange::Transferred { user: user.to_string() },
        MetaEvent::Pinned { target, on } => RoomChange::Pinned { target: target.0, on: *on },
        MetaEvent::Deleted => RoomChange::Deleted,
        MetaEvent::Settings { name, level, visibility, slow_mode_seconds, more } => RoomChange::Settings {
            name: name.clone(),
            level: level.name().to_owned(),
            visibility: visibility.name().to_owned(),
            slow_mode_seconds: *slow_mode_seconds,
            more: more.as_ref().map(|more| MoreSettings {
                kind: more.kind.name().to_owned(),
                description: some(&more.description),
                avatar: (!more.avatar.is_nil()).then(|| more.avatar.to_string()),
                max_members: more.members_max,
                read_only: more.read_only,
                retention_days: Some(more.retention_days).filter(|days| *days > 0),
            }),
        },
    }
}

fn of_change(change: RoomChange) -> Option<MetaEvent> {
    let id = |user: &str| UserId::parse(user);
    Some(match change {
        RoomChange::Created { kind, name } => MetaEvent::Created { kind: RoomKind::parse(&kind)?, name },
        RoomChange::Joined { user, role } => {
            MetaEvent::Joined { user: id(&user)?, role: Role::parse(&role)? }
        }
        RoomChange::Left { user } => MetaEvent::Left { user: id(&user)? },
        RoomChange::Kicked { user, reason } => {
            MetaEvent::Kicked { user: id(&user)?, reason: reason.unwrap_or_default() }
        }
        RoomChange::Banned { user, until, reason } => MetaEvent::Banned {
            user: id(&user)?,
            until: Millis(until.unwrap_or(0)),
            reason: reason.unwrap_or_default(),
        },
        RoomChange::Unbanned { user } => MetaEvent::Unbanned { user: id(&user)? },
        RoomChange::Muted { user, until } => {
            MetaEvent::Muted { user: id(&user)?, until: Millis(until.unwrap_or(0)) }
        }
        RoomChange::Unmuted { user } => MetaEvent::Unmuted { user: id(&user)? },
        RoomChange::Role { user, role } => MetaEvent::Role { user: id(&user)?, role: Role::parse(&role)? },
        RoomChange::Transferred { user } => MetaEvent::Transferred { user: id(&user)? },
        RoomChange::Pinned { target, on } => MetaEvent::Pinned { target: Seq(target), on },
        RoomChange::Deleted => MetaEvent::Deleted,
        RoomChange::Settings { name, level, visibility, slow_mode_seconds, more } => MetaEvent::Settings {
            name,
            level: AckLevel::parse(&level)?,
            visibility: HistoryVisibility::parse(&visibility)?,
            slow_mode_seconds,
            more: match more {
                Some(more) => Some(Box::new(lynk_model::MoreSettings {
                    kind: RoomKind::parse(&more.kind)?,
                    description: more.description.unwrap_or_default(),
                    avatar: more.avatar.as_deref().map_or(Some(MediaId::NIL), MediaId::parse)?,
                    members_max: more.max_members,
                    retention_days: more.retention_days.unwrap_or(0),
                    read_only: more.read_only,
                })),
                None => None,
            },
        },
    })
}
