//! The AsyncAPI 3.0 document of the events: topics and rights from [`topics`](crate::topics), keys and headers as [`encode`](crate::encode) writes
//! them, values by reference to the schemas beside it.
//!
//! Thread: any. Pure. `docs/events/asyncapi.json` holds it, and a test compares.

use lynk_model::event::Topic;
use serde_json::{Map, Value, json};

use crate::SCHEMA_VERSION;
use crate::encode::{CLOUD_EVENTS, IDEMPOTENCY_KEY, SEQ, TYPE, VERSION};
use crate::topics::{MESSAGE_BYTES_MAX, RIGHTS, Resource, TOPICS, Verb};

/// What an event of a topic tells.
fn about(topic: Topic) -> &'static str {
    match topic {
        Topic::MessageReceived => "A message is committed to the journal.",
        Topic::MessageCreated => "A message is in the message store.",
        Topic::MessageUpdated => {
            "A message was edited, deleted or reacted to, and the message store has that."
        }
        Topic::UserCreated => "An account was made.",
        Topic::RoomChanged => "A room or its members changed.",
        Topic::NotificationDead => "A notification was given up.",
    }
}

/// The document.
#[must_use]
pub fn document() -> Value {
    let mut channels = Map::new();
    let mut messages = Map::new();
    for setting in TOPICS {
        let name = setting.topic.name();
        let channel = json!({
            "address": name,
            "description": about(setting.topic),
            "servers": [{"$ref": "#/servers/cluster"}],
            "messages": {name: {"$ref": format!("#/components/messages/{name}")}},
            "bindings": {"kafka": {
                "topic": name,
                "partitions": setting.partitions,
                "topicConfiguration": {
                    "cleanup.policy": ["delete"],
                    "retention.ms": setting.retention_millis,
                    "max.message.bytes": MESSAGE_BYTES_MAX,
                },
                "bindingVersion": "0.5.0",
            }},
        });
        channels.insert(name.to_owned(), channel);
        messages.insert(name.to_owned(), message(setting.topic));
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Lynk events",
            "version": SCHEMA_VERSION.to_string(),
            "description": "What happened in rooms and with accounts, at least once, the events of a room in their order. docs/kafka.md says how.",
            "license": {"name": "MIT OR Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"cluster": {
            "host": "{host}",
            "protocol": "kafka-secure",
            "description": "Certificates on both sides, and a password; there is no setting that turns one of these off.",
            "variables": {"host": {"description": "A broker, with its port.", "default": "localhost:9093"}},
            "security": [{"$ref": "#/components/securitySchemes/password"}, {"$ref": "#/components/securitySchemes/certificate"}],
        }},
        "channels": channels,
        "operations": operations(),
        "components": {
            "messages": messages,
            "schemas": {"Headers": headers(), "CloudEventsHeaders": cloud_events_headers()},
            "securitySchemes": {
                "password": {"type": "scramSha512", "description": "Of the user; see the rights in docs/kafka.md."},
                "certificate": {"type": "X509", "description": "A client certificate of the user."},
            },
        },
    })
}

/// Who may do what, a line of the table each.
fn operations() -> Map<String, Value> {
    let mut operations = Map::new();
    for right in RIGHTS {
        let Resource::Topic(topic) = right.resource else { continue };
        let (action, verb) = match right.verb {
            Verb::Write => ("send", "publish"),
            Verb::Read => ("receive", "read"),
        };
        let name = topic.name();
        let operation = json!({
            "action": action,
            "channel": {"$ref": format!("#/channels/{name}")},
            "summary": about(topic),
            "description": format!("With the rights of `{}`.", right.user),
            "messages": [{"$ref": format!("#/channels/{name}/messages/{name}")}],
        });
        operations.insert(format!("{verb}.{name}"), operation);
    }
    operations
}

fn message(topic: Topic) -> Value {
    let name = topic.name();
    let key = if topic == Topic::UserCreated { "The account." } else { "The room, or the account." };
    json!({
        "name": name,
        "title": name,
        "summary": about(topic),
        "contentType": "application/json",
        "headers": {"$ref": "#/components/schemas/Headers"},
        "payload": {"$ref": format!("./{name}.json")},
        "bindings": {"kafka": {
            "key": {"type": "string", "format": "uuid", "description": key},
            "bindingVersion": "0.5.0",
        }},
    })
}

/// Headers that are always there.
fn headers() -> Value {
    let topics: Vec<_> = TOPICS.iter().map(|setting| setting.topic.name()).collect();
    json!({
        "type": "object",
        "description": "Kafka's headers are bytes: these are texts.",
        "properties": {
            TYPE: {"type": "string", "enum": topics, "description": "The topic."},
            SEQ: {"type": "string", "description": "The event's place in its room, as a number; 0 for what has none."},
            IDEMPOTENCY_KEY: {"type": "string", "description": "Equal for every repetition of the event, and for no other event."},
            VERSION: {"type": "string", "const": SCHEMA_VERSION.to_string(), "description": "Version of the schema."},
            "content-type": {
                "type": "string",
                "enum": ["application/json", "application/cloudevents+json"],
                "description": "The second with `events.envelope = \"structured\"`: the event is its `data`.",
            },
        },
        "required": [TYPE, SEQ, IDEMPOTENCY_KEY, VERSION, "content-type"],
    })
}

/// Headers that are there, too, with `events.envelope = "binary"`.
fn cloud_events_headers() -> Value {
    let properties: Map<_, _> = CLOUD_EVENTS
        .iter()
        .map(|name| {
            ((*name).to_owned(), json!({"type": "string", "description": "An attribute of CloudEvents 1.0."}))
        })
        .collect();
    let required: Vec<_> = CLOUD_EVENTS.iter().filter(|name| **name != "ce_time").collect();
    json!({
        "type": "object",
        "description": "There, too, with `events.envelope = \"binary\"`.",
        "properties": properties,
        "required": required,
    })
}
