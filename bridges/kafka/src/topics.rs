//! Topics, users and rights: the one table that the setup of a broker, its test server and the page about it are made from.
//!
//! Thread: any. Pure. Invariant: a user that is not here may do nothing, and a verb that is not here is refused by the broker, also to a program
//! that has been taken over. A right to read or write brings the right to describe.

use std::fmt::Write as _;

use lynk_model::event::Topic;

/// Publishes what comes out of journals.
pub const ENGINE: &str = "lynk_events";
/// Publishes what comes out of the store of accounts.
pub const AUTH: &str = "lynk_events_auth";
/// Reads what notifications are made of.
pub const NOTIFICATION: &str = "lynk_events_notification";
/// All users, each with a SCRAM-SHA-512 password and a client certificate of its name.
pub const USERS: [&str; 3] = [ENGINE, AUTH, NOTIFICATION];

/// Begin of the names of the consumer groups of [`NOTIFICATION`].
pub const NOTIFICATION_GROUPS: &str = "lynk.notification";

/// Longest message that brokers take, in bytes: above what is sent ([`EVENT_BYTES_MAX`](crate::EVENT_BYTES_MAX)) with its headers.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1 << 20;

const _: () = assert!(crate::EVENT_BYTES_MAX + (64 << 10) <= MESSAGE_BYTES_MAX);

const DAY_MILLIS: u64 = 24 * 60 * 60 * 1_000;

/// A topic as it is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setting {
    /// Which.
    pub topic: Topic,
    /// Partitions. More of them later mix the order of rooms at that moment.
    pub partitions: u32,
    /// How long events are kept, in milliseconds.
    pub retention_millis: u64,
}

const fn setting(topic: Topic, partitions: u32, days: u64) -> Setting {
    Setting { topic, partitions, retention_millis: days * DAY_MILLIS }
}

/// All topics.
pub const TOPICS: [Setting; 6] = [
    setting(Topic::MessageReceived, 12, 7),
    setting(Topic::MessageCreated, 12, 7),
    setting(Topic::MessageUpdated, 12, 7),
    setting(Topic::UserCreated, 3, 30),
    setting(Topic::RoomChanged, 6, 30),
    setting(Topic::NotificationDead, 3, 30),
];

/// What may be done.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Verb {
    /// Consume.
    Read,
    /// Publish.
    Write,
}

impl Verb {
    /// Its word in Kafka.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "READ",
            Self::Write => "WRITE",
        }
    }
}

/// With what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resource {
    /// A topic.
    Topic(Topic),
    /// Consumer groups whose names begin like this.
    Groups(&'static str),
}

/// A line of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Right {
    /// Who.
    pub user: &'static str,
    /// May do what.
    pub verb: Verb,
    /// With what.
    pub resource: Resource,
}

const fn write(user: &'static str, topic: Topic) -> Right {
    Right { user, verb: Verb::Write, resource: Resource::Topic(topic) }
}

const fn read(user: &'static str, resource: Resource) -> Right {
    Right { user, verb: Verb::Read, resource }
}

/// The table.
pub const RIGHTS: [Right; 8] = [
    write(ENGINE, Topic::MessageReceived),
    write(ENGINE, Topic::MessageCreated),
    write(ENGINE, Topic::MessageUpdated),
    write(ENGINE, Topic::RoomChanged),
    write(AUTH, Topic::UserCreated),
    read(NOTIFICATION, Resource::Topic(Topic::MessageCreated)),
    read(NOTIFICATION, Resource::Groups(NOTIFICATION_GROUPS)),
    write(NOTIFICATION, Topic::NotificationDead),
];

fn settings(of: &Setting) -> [String; 3] {
    [
        format!("retention.ms={}", of.retention_millis),
        format!("max.message.bytes={MESSAGE_BYTES_MAX}"),
        "cleanup.policy=delete".to_owned(),
    ]
}

/// Resource type, name and pattern, in Kafka's words.
fn words(resource: Resource) -> (&'static str, &'static str, &'static str) {
    match resource {
        Resource::Topic(topic) => ("topic", topic.name(), "literal"),
        Resource::Groups(prefix) => ("group", prefix, "prefixed"),
    }
}

/// The table as a plain list, one thing a line, for programs that set a broker up:
/// `topic NAME PARTITIONS SETTING=VALUE…`, `user NAME`, `allow USER VERB topic|group NAME literal|prefixed`.
#[must_use]
pub fn list() -> String {
    let mut text = String::from("# Made from bridges/kafka/src/topics.rs by `make docs`.\n");
    for topic in &TOPICS {
        let _ =
            writeln!(text, "topic {} {} {}", topic.topic.name(), topic.partitions, settings(topic).join(" "));
    }
    for user in USERS {
        let _ = writeln!(text, "user {user}");
    }
    for right in &RIGHTS {
        let (kind, name, pattern) = words(right.resource);
        let _ = writeln!(text, "allow {} {} {kind} {name} {pattern}", right.user, right.verb.word());
    }
    text
}

/// Arguments of `kafka-topics.sh` that make the topics in `replicas` copies, one call each; may be repeated.
#[must_use]
pub fn topic_arguments(replicas: u16) -> Vec<String> {
    let of = |topic: &Setting| {
        let mut text = format!(
            "--create --if-not-exists --topic {} --partitions {} --replication-factor {replicas}",
            topic.topic.name(),
            topic.partitions
        );
        for setting in settings(topic) {
            let _ = write!(text, " --config {setting}");
        }
        if replicas > 2 {
            text.push_str(" --config min.insync.replicas=2");
        }
        text
    };
    TOPICS.iter().map(of).collect()
}

/// Arguments of `kafka-acls.sh` that grant the rights, one call for each user, verb and kind of resource; may be repeated.
#[must_use]
pub fn acl_arguments() -> Vec<String> {
    let mut calls: Vec<(String, &str, String)> = Vec::new();
    for right in &RIGHTS {
        let (kind, name, pattern) = words(right.resource);
        let call = format!(
            "--add --force --allow-principal User:{} --operation {} --resource-pattern-type {pattern}",
            right.user,
            right.verb.word()
        );
        let resource = format!(" --{kind} {name}");
        match calls.iter_mut().find(|(other, of, _)| *other == call && *of == kind) {
            Some((.., resources)) => resources.push_str(&resource),
            None => calls.push((call, kind, resource)),
        }
    }
    calls.into_iter().map(|(call, _, resources)| call + &resources).collect()
}

/// The table as a page shows it.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from("| topic | partitions | kept for |");
    for user in USERS {
        let _ = write!(text, " `{user}` |");
    }
    text.push_str("\n|---|---|---|---|---|---|\n");
    let mut row = |start: String, resource: Resource| {
        text.push_str(&start);
        for user in USERS {
            let verbs: Vec<_> = RIGHTS
                .iter()
                .filter(|right| right.user == user && right.resource == resource)
                .map(|right| right.verb.word())
                .collect();
            let _ = write!(text, " {} |", if verbs.is_empty() { "–".to_owned() } else { verbs.join(", ") });
        }
        text.push('\n');
    };
    for Setting { topic, partitions, retention_millis } in TOPICS {
        let start = format!("| `{}` | {partitions} | {} days |", topic.name(), retention_millis / DAY_MILLIS);
        row(start, Resource::Topic(topic));
    }
    row(format!("| groups `{NOTIFICATION_GROUPS}*` | | |"), Resource::Groups(NOTIFICATION_GROUPS));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(user: &str) -> Vec<(Verb, Resource)> {
        RIGHTS.iter().filter(|right| right.user == user).map(|right| (right.verb, right.resource)).collect()
    }

    #[test]
    fn every_topic_is_made_once_and_has_one_writer() {
        for topic in Topic::ALL {
            assert_eq!(TOPICS.iter().filter(|setting| setting.topic == topic).count(), 1);
            let writers =
                RIGHTS.iter().filter(|r| (r.verb, r.resource) == (Verb::Write, Resource::Topic(topic)));
            assert_eq!(writers.count(), 1, "{topic:?}");
        }
    }

    #[test]
    fn those_who_publish_read_nothing_and_those_who_read_publish_nothing_of_it() {
        for user in [ENGINE, AUTH] {
            assert!(rights(user).iter().all(|(verb, _)| *verb == Verb::Write), "{user}");
        }
        let of = rights(NOTIFICATION);
        assert!(of.contains(&(Verb::Read, Resource::Topic(Topic::MessageCreated))));
        assert!(!of.contains(&(Verb::Write, Resource::Topic(Topic::MessageCreated))));
    }

    #[test]
    fn calls_carry_every_row() {
        let (topics, rights) = (topic_arguments(3), acl_arguments());
        assert_eq!((topics.len(), rights.len()), (TOPICS.len(), 5));
        assert!(
            topics
                .iter()
                .all(|call| call.contains("--replication-factor 3") && call.contains("min.insync.replicas=2"))
        );
        assert!(topic_arguments(1).iter().all(|call| !call.contains("min.insync.replicas")));
        for right in &RIGHTS {
            let (kind, name, pattern) = words(right.resource);
            let user = format!(" User:{} --operation {} ", right.user, right.verb.word());
            let resource = format!(" --{kind} {name}");
            let whole = |call: &String| call.clone() + " ";
            let calls = rights
                .iter()
                .filter(|call| call.contains(&user) && whole(call).contains(&format!("{resource} ")));
            let calls: Vec<_> = calls.collect();
            assert_eq!(calls.len(), 1, "{right:?}: {rights:?}");
            assert!(calls[0].contains(&format!("--resource-pattern-type {pattern} ")), "{right:?}");
        }
        assert_eq!(rights.iter().map(|call| call.matches(" --topic ").count()).sum::<usize>(), 7);
        assert_eq!(list().lines().count(), 1 + 6 + 3 + 8);
    }
}
