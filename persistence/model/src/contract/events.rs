//! The event port's suite.

use std::collections::BTreeMap;

use lynk_domain::{Key, MessageId, Millis, Ordinal, Role, RoomId, RoomKind, Seq, UserId};

use crate::event::{Event, EventBody, Subject, Topic};
use crate::port::{EventSink, ready};
use crate::{Mentions, MetaEvent};

const ROOMS: u64 = 5;

fn of_room(topic: Topic, room: u64, seq: u64, body: EventBody) -> Event {
    let mut id = [0x4c; 16];
    id[..8].copy_from_slice(&room.to_be_bytes());
    let command = if seq.is_multiple_of(3) { Key::NIL } else { Key([seq as u8; 16]) };
    Event {
        topic,
        subject: Subject::Room(RoomId(id)),
        seq: Seq(seq),
        at: Millis(1_795_456_131_000 + seq),
        by: UserId([room as u8; 16]),
        command,
        body,
    }
}

fn posted(room: u64, seq: u64, text: Option<&str>) -> Event {
    let body = EventBody::Posted {
        id: MessageId([seq as u8; 16]),
        n: Ordinal(seq),
        reply_to: Seq(seq / 2),
        mentions: Mentions::new(seq == 3, (1..seq.min(4) as u8).map(|byte| UserId([byte; 16])).collect()),
        attachments: Vec::new(),
        text: text.map(str::to_owned),
    };
    of_room(Topic::MessageCreated, room, seq, body)
}

/// One event of each shape that there is.
#[must_use]
pub fn every_event() -> Vec<Event> {
    let user = UserId([7; 16]);
    let target = Seq(3);
    let edited = |mentions, text| EventBody::Edited { target, mentions, text };
    let mut events = vec![
        Event { topic: Topic::MessageReceived, ..posted(1, 1, None) },
        posted(1, 2, None),
        posted(1, 3, Some("hé \u{1F600}\n\"quoted\"")),
        of_room(Topic::MessageUpdated, 1, 4, edited(Mentions::default(), None)),
        of_room(Topic::MessageUpdated, 1, 5, edited(Mentions::new(true, vec![user]), Some(String::new()))),
        of_room(Topic::MessageUpdated, 1, 6, EventBody::Deleted { target }),
        of_room(Topic::MessageUpdated, 1, 7, EventBody::Reacted { target, on: true, emoji: None }),
        of_room(
            Topic::MessageUpdated,
            1,
            8,
            EventBody::Reacted { target, on: false, emoji: Some("👍".into()) },
        ),
        Event::of_account(user, Millis(5)),
        of_room(
            Topic::NotificationDead,
            1,
            3,
            EventBody::Dead { user, error: "unregistered".to_owned(), attempts: 3 },
        ),
    ];
    let changes = [
        MetaEvent::Created { kind: RoomKind::Public, name: "a room".to_owned() },
        MetaEvent::Joined { user, role: Role::Moderator },
        MetaEvent::Left { user },
        MetaEvent::Kicked { user, reason: String::new() },
        MetaEvent::Kicked { user, reason: "loud".to_owned() },
        MetaEvent::Banned { user, until: Millis(0), reason: "loud".to_owned() },
        MetaEvent::Banned { user, until: Millis(9), reason: String::new() },
        MetaEvent::Unbanned { user },
        MetaEvent::Muted { user, until: Millis(9) },
        MetaEvent::Unmuted { user },
        MetaEvent::Role { user, role: Role::Admin },
        MetaEvent::Transferred { user },
        MetaEvent::Pinned { target, on: false },
        MetaEvent::Settings {
            name: "another".to_owned(),
            level: lynk_domain::AckLevel::Memory,
            visibility: lynk_domain::HistoryVisibility::SinceJoin,
            slow_mode_seconds: 5,
            more: None,
        },
        MetaEvent::Settings {
            name: "another".to_owned(),
            level: lynk_domain::AckLevel::Memory,
            visibility: lynk_domain::HistoryVisibility::SinceJoin,
            slow_mode_seconds: 5,
            more: Some(Box::new(crate::MoreSettings {
                kind: RoomKind::Private,
                description: "about".to_owned(),
                avatar: lynk_domain::MediaId([4; 16]),
                members_max: 7,
                retention_days: 30,
                read_only: true,
            })),
        },
        MetaEvent::Deleted,
    ];
    for (seq, change) in (20..).zip(changes) {
        let body = EventBody::Room { version: seq - 19, change };
        events.push(of_room(Topic::RoomChanged, 1, seq, body));
    }
    events
}

/// What was published comes back as it was, whatever it tells. `read` gives all that `sink` has published since the suite began, each
/// subject's events of a topic in their order.
pub fn every_event_comes_back_as_it_was<S: EventSink>(
    sink: &mut S,
    read: &mut dyn FnMut(&mut S) -> Vec<Event>,
) {
    assert_eq!(ready(sink.publish(&[])), Ok(()));
    let mut given = every_event();
    ready(sink.publish(&given)).expect("publishes");
    let mut found = read(sink);
    given.sort_by_key(Event::idempotency_key);
    found.sort_by_key(Event::idempotency_key);
    assert_eq!(found, given);
}

/// A subject's events keep their order over batches, and what is given twice comes twice, under the same key.
pub fn order_is_kept_and_repetitions_are_known<S: EventSink>(
    sink: &mut S,
    read: &mut dyn FnMut(&mut S) -> Vec<Event>,
) {
    let batches: Vec<Vec<Event>> = (0..8)
        .map(|batch| (0..40).map(|at| posted(100 + at % ROOMS, batch * 8 + at / ROOMS + 1, None)).collect())
        .collect();
    for (number, batch) in batches.iter().enumerate() {
        ready(sink.publish(batch)).expect("publishes");
        if number == 3 {
            ready(sink.publish(batch)).expect("publishes again");
        }
    }
    let mut rooms: BTreeMap<Subject, Vec<Event>> = BTreeMap::new();
    for event in read(sink).into_iter().filter(|event| event.at.0 > 5) {
        if matches!(event.subject, Subject::Room(room) if room.0[7] >= 100) {
            rooms.entry(event.subject).or_default().push(event);
        }
    }
    assert_eq!(rooms.len() as u64, ROOMS);
    for (subject, events) in rooms {
        let seqs: Vec<_> = events.iter().map(|event| event.seq.0).collect();
        let expected: Vec<_> = (1..=32).chain(25..=32).chain(33..=64).collect();
        assert_eq!(seqs, expected, "{subject}");
        let mut keys: Vec<_> = events.iter().map(Event::idempotency_key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 64, "{subject}");
    }
}
