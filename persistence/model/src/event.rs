//! Events for systems outside: what happened in rooms and with accounts, by topic.
//!
//! Thread: any; plain data. An event is a function of a journal record, or of an outbox row: whoever makes it again makes it with the same
//! [`Event::idempotency_key`], so a consumer knows a repetition. Texts that people wrote (messages, emoji, reasons) are left out unless they are
//! asked for: what has left the house cannot be erased.
//!
//! What can fail: a record of a newer format.

use std::fmt;

use lynk_domain::{Key, MessageId, Millis, Ordinal, RoomId, Seq, UserId};

use crate::{Attachment, Body, BodyError, Mentions, MetaEvent, Parts, Record};

/// Where an event is published; also its type. The names are public.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Topic {
    /// A message is in the journal.
    MessageReceived,
    /// A message is in the message store.
    MessageCreated,
    /// A message was edited, deleted or reacted to, and the message store has that.
    MessageUpdated,
    /// An account was made.
    UserCreated,
    /// A room or its members changed.
    RoomChanged,
    /// A notification was given up.
    NotificationDead,
}

impl Topic {
    /// All topics, in the order of their metrics.
    pub const ALL: [Self; 6] = [
        Self::MessageReceived,
        Self::MessageCreated,
        Self::MessageUpdated,
        Self::UserCreated,
        Self::RoomChanged,
        Self::NotificationDead,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MessageReceived => "message.received",
            Self::MessageCreated => "message.created",
            Self::MessageUpdated => "message.updated",
            Self::UserCreated => "user.created",
            Self::RoomChanged => "room.changed",
            Self::NotificationDead => "notification.dead",
        }
    }

    /// The topic of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.name() == name)
    }

    /// Place in [`Self::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }
}

/// What goes over a journal to make events. Each has a cursor of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Stream {
    /// What is committed: `message.received`, `room.changed`. A message store that is away does not delay it.
    Received,
    /// What the message store has: `message.created`, `message.updated`.
    Created,
    /// What the message store has, for notifications of this process: posted messages as `message.created`, without texts.
    Notified,
}

impl Stream {
    /// All, in the order of their places in the file of cursors.
    pub const ALL: [Self; 3] = [Self::Received, Self::Created, Self::Notified];
    /// Those for systems outside, in the order of their metrics.
    pub const OUTSIDE: [Self; 2] = [Self::Received, Self::Created];

    /// Place in [`Self::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }
}

/// Whose events keep their order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Subject {
    /// A room.
    Room(RoomId),
    /// An account.
    User(UserId),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room(room) => room.fmt(f),
            Self::User(user) => user.fmt(f),
        }
    }
}

/// What an event tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EventBody {
    /// A message was posted: of `message.received` and `message.created`.
    Posted {
        /// The message's id.
        id: MessageId,
        /// Its ordinal among the room's messages.
        n: Ordinal,
        /// The message it answers; 0 for none.
        reply_to: Seq,
        /// Whom it mentions.
        mentions: Mentions,
        /// Its files; their names are empty unless texts are published.
        attachments: Vec<Attachment>,
        /// Its text, where texts are published.
        text: Option<String>,
    },
    /// A message has new text.
    Edited {
        /// Seq of the message.
        target: Seq,
        /// Whom it mentions now.
        mentions: Mentions,
        /// The new text, where texts are published.
        text: Option<String>,
    },
    /// A message's content is gone.
    Deleted {
        /// Seq of the message.
        target: Seq,
    },
    /// A reaction was set or taken back.
    Reacted {
        /// Seq of the message.
        target: Seq,
        /// Set, or taken back.
        on: bool,
        /// The emoji, where texts are published.
        emoji: Option<String>,
    },
    /// A room or its members changed.
    Room {
        /// The room's metadata version after the change.
        version: u64,
        /// The change; reasons and descriptions are empty unless texts are published.
        change: MetaEvent,
    },
    /// An account was made.
    User,
    /// A notification about the event at the seq was given up.
    Dead {
        /// For whom it was.
        user: UserId,
        /// Why: a word of the sender's list.
        error: String,
        /// How often it was tried.
        attempts: u32,
    },
}

/// One event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Where it goes.
    pub topic: Topic,
    /// Whose order it keeps.
    pub subject: Subject,
    /// Its place in the room's log; 0 for an account.
    pub seq: Seq,
    /// Server wall time of what happened.
    pub at: Millis,
    /// Who caused it; nil for the server.
    pub by: UserId,
    /// Idempotency key of the client's command; nil for none.
    pub command: Key,
    /// What happened.
    pub body: EventBody,
}

impl Event {
    /// What makes it the same event: equal for every repetition, different for every other event of any topic.
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        let (topic, subject, seq) = (self.topic.name(), self.subject, self.seq.0);
        match &self.body {
            EventBody::User => format!("{topic}/{subject}"),
            EventBody::Dead { user, .. } => format!("{topic}/{subject}/{seq}/{user}"),
            _ => format!("{topic}/{subject}/{seq}"),
        }
    }

    /// The event that a stream makes of a record, if it makes one. `texts`: whether it carries what people wrote.
    ///
    /// # Errors
    /// When the payload cannot be decoded.
    pub fn of_record(stream: Stream, record: &Record<'_>, texts: bool) -> Result<Option<Self>, BodyError> {
        let texts = texts && stream != Stream::Notified;
        let kept = |text: &str| texts.then(|| text.to_owned());
        let head = &record.head;
        let (topic, body) = match (stream, Body::decode(head.kind, record.payload)?) {
            (_, Body::Message { id, n, reply_to, text, parts }) => {
                let Parts { mentions, mut attachments } = parts.into_owned();
                if !texts {
                    drop_names(&mut attachments);
                }
                let topic = match stream {
                    Stream::Received => Topic::MessageReceived,
                    Stream::Created | Stream::Notified => Topic::MessageCreated,
                };
                (topic, EventBody::Posted { id, n, reply_to, mentions, attachments, text: kept(text) })
            }
            (Stream::Created, Body::Edit { target, text, parts }) => {
                let mentions = parts.into_owned().mentions;
                (Topic::MessageUpdated, EventBody::Edited { target, mentions, text: kept(text) })
            }
            (Stream::Created, Body::Delete { target }) => {
                (Topic::MessageUpdated, EventBody::Deleted { target })
            }
            (Stream::Created, Body::Reaction { target, on, emoji }) => {
                (Topic::MessageUpdated, EventBody::Reacted { target, on, emoji: kept(emoji) })
            }
            (Stream::Received, Body::Meta { version, event }) => {
                let mut change = event;
                if !texts {
                    drop_words(&mut change);
                }
                (Topic::RoomChanged, EventBody::Room { version, change })
            }
            _ => return Ok(None),
        };
        Ok(Some(Self {
            topic,
            subject: Subject::Room(head.room),
            seq: head.seq,
            at: head.wall,
            by: head.sender,
            command: head.key,
            body,
        }))
    }

    /// `user.created`.
    #[must_use]
    pub fn of_account(user: UserId, created: Millis) -> Self {
        Self {
            topic: Topic::UserCreated,
            subject: Subject::User(user),
            seq: Seq(0),
            at: created,
            by: user,
            command: Key::NIL,
            body: EventBody::User,
        }
    }

    /// Takes out what people wrote.
    pub fn drop_texts(&mut self) {
        match &mut self.body {
            EventBody::Posted { text, attachments, .. } => {
                *text = None;
                drop_names(attachments);
            }
            EventBody::Edited { text, .. } => *text = None,
            EventBody::Reacted { emoji, .. } => *emoji = None,
            EventBody::Room { change, .. } => {
                drop_words(change);
            }
            EventBody::Deleted { .. } | EventBody::User | EventBody::Dead { .. } => {}
        }
    }
}

/// What people call their files is what they wrote.
fn drop_names(attachments: &mut [Attachment]) {
    attachments.iter_mut().for_each(|attachment| attachment.name.clear());
}

/// Takes reasons and descriptions out. The name stays: it is what others call the room by.
fn drop_words(event: &mut MetaEvent) {
    match event {
        MetaEvent::Kicked { reason, .. } | MetaEvent::Banned { reason, .. } => reason.clear(),
        MetaEvent::Settings { more: Some(more), .. } => more.description.clear(),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OwnedRecord, RecordHead, RecordKind};

    fn record(kind: RecordKind, body: &Body<'_>) -> OwnedRecord {
        let head = RecordHead {
            kind,
            flags: 0,
            room: RoomId([1; 16]),
            seq: Seq(7),
            rev: Seq(7),
            wall: Millis(5),
            sender: UserId([2; 16]),
            key: Key([3; 16]),
        };
        let mut payload = Vec::new();
        body.encode(&mut payload);
        OwnedRecord { head, payload }
    }

    fn message(text: &str) -> Body<'_> {
        let (id, n, reply_to) = (MessageId([4; 16]), Ordinal(1), Seq(0));
        Body::Message { id, n, reply_to, text, parts: Parts::none() }
    }

    fn topics(record: &OwnedRecord) -> [Option<Topic>; 2] {
        Stream::OUTSIDE.map(|stream| {
            Event::of_record(stream, &record.borrow(), false).expect("decodes").map(|event| event.topic)
        })
    }

    #[test]
    fn each_record_makes_an_event_of_one_topic_in_each_stream_at_most() {
        let user = UserId([9; 16]);
        let message = message("hush");
        let meta = Body::Meta { version: 2, event: MetaEvent::Left { user } };
        let intent = Body::Intent { content_hash: 1, event: MetaEvent::Left { user } };
        for (kind, body, expected) in [
            (RecordKind::Message, &message, [Some(Topic::MessageReceived), Some(Topic::MessageCreated)]),
            (
                RecordKind::Edit,
                &Body::Edit { target: Seq(1), text: "hush", parts: Parts::none() },
                [None, Some(Topic::MessageUpdated)],
            ),
            (RecordKind::Delete, &Body::Delete { target: Seq(1) }, [None, Some(Topic::MessageUpdated)]),
            (
                RecordKind::Reaction,
                &Body::Reaction { target: Seq(1), on: true, emoji: "x" },
                [None, Some(Topic::MessageUpdated)],
            ),
            (RecordKind::Meta, &meta, [Some(Topic::RoomChanged), None]),
            (RecordKind::Intent, &intent, [None, None]),
            (RecordKind::Read, &Body::Empty, [None, None]),
            (RecordKind::Delivered, &Body::Empty, [None, None]),
            (RecordKind::Reserve, &Body::Empty, [None, None]),
        ] {
            assert_eq!(topics(&record(kind, body)), expected, "{kind:?}");
        }
    }

    #[test]
    fn what_people_wrote_is_left_out_unless_asked_for() {
        let user = UserId([9; 16]);
        let reason = || "because hush".to_owned();
        let cases = [
            (RecordKind::Message, message("hush")),
            (RecordKind::Edit, Body::Edit { target: Seq(1), text: "hush", parts: Parts::none() }),
            (RecordKind::Reaction, Body::Reaction { target: Seq(1), on: true, emoji: "hush" }),
            (
                RecordKind::Meta,
                Body::Meta { version: 1, event: MetaEvent::Kicked { user, reason: reason() } },
            ),
            (
                RecordKind::Meta,
                Body::Meta {
                    version: 1,
                    event: MetaEvent::Banned { user, until: Millis(3), reason: reason() },
                },
            ),
            (
                RecordKind::Meta,
                Body::Meta {
                    version: 1,
                    event: MetaEvent::Settings {
                        name: "a room".to_owned(),
                        level: lynk_domain::AckLevel::Local,
                        visibility: lynk_domain::HistoryVisibility::All,
                        slow_mode_seconds: 0,
                        more: Some(Box::new(crate::MoreSettings {
                            kind: lynk_domain::RoomKind::Public,
                            description: reason(),
                            avatar: lynk_domain::MediaId::NIL,
                            members_max: 0,
                            retention_days: 0,
                            read_only: false,
                        })),
                    },
                },
            ),
        ];
        for (kind, body) in cases {
            let record = record(kind, &body);
            for stream in Stream::OUTSIDE {
                let of = |texts| Event::of_record(stream, &record.borrow(), texts).expect("decodes");
                let (Some(with), Some(without)) = (of(true), of(false)) else { continue };
                assert!(format!("{with:?}").contains("hush"));
                assert!(!format!("{without:?}").contains("hush"), "{without:?}");
                let mut dropped = with;
                dropped.drop_texts();
                assert_eq!(dropped, without);
            }
        }
    }

    #[test]
    fn notifications_get_messages_alone_and_no_text() {
        let message = message("hush");
        let of = |kind, body: &Body<'_>| {
            Event::of_record(Stream::Notified, &record(kind, body).borrow(), true).expect("decodes")
        };
        let event = of(RecordKind::Message, &message).expect("an event");
        assert_eq!(event.topic, Topic::MessageCreated);
        assert!(!format!("{event:?}").contains("hush"));
        assert_eq!(
            of(RecordKind::Edit, &Body::Edit { target: Seq(1), text: "hush", parts: Parts::none() }),
            None
        );
    }

    #[test]
    fn keys_tell_events_apart_and_repeat_with_them() {
        let user = UserId([2; 16]);
        let made = Event::of_account(user, Millis(1));
        assert_eq!(made.idempotency_key(), format!("user.created/{user}"));
        let body = message("a");
        let message = record(RecordKind::Message, &body);
        let of = |stream| {
            let event =
                Event::of_record(stream, &message.borrow(), false).expect("decodes").expect("an event");
            event.idempotency_key()
        };
        assert_eq!(of(Stream::Created), format!("message.created/{}/7", RoomId([1; 16])));
        assert_ne!(of(Stream::Received), of(Stream::Created));
        for topic in Topic::ALL {
            assert_eq!(Topic::parse(topic.name()), Some(topic));
        }
    }
}
