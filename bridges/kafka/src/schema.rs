//! JSON schemas of the events, made from the types that write them.
//!
//! Thread: any. Pure. `docs/events` holds them, and a test compares.

use lynk_model::event::Topic;
use schemars::{Schema, schema_for};
use serde_json::json;

use crate::wire::{NotificationDead, Posted, RoomChanged, Updated, UserCreated};

/// Version of all schemas. It rises with a change that readers of the version before could not take.
pub const SCHEMA_VERSION: u32 = 1;

/// The schema of a topic's events.
#[must_use]
pub fn schema(topic: Topic) -> Schema {
    let mut schema = match topic {
        Topic::MessageReceived | Topic::MessageCreated => schema_for!(Posted),
        Topic::MessageUpdated => schema_for!(Updated),
        Topic::UserCreated => schema_for!(UserCreated),
        Topic::RoomChanged => schema_for!(RoomChanged),
        Topic::NotificationDead => schema_for!(NotificationDead),
    };
    schema.insert("title".to_owned(), json!(topic.name()));
    if let Some(properties) = schema.get_mut("properties").and_then(|p| p.as_object_mut()) {
        properties.insert("type".to_owned(), json!({"const": topic.name()}));
        properties.insert("version".to_owned(), json!({"const": SCHEMA_VERSION}));
    }
    schema
}
