//! An event as a Kafka message, and back: key, headers, value.
//!
//! Thread: any. Pure. The value is JSON of [`schema`](crate::schema); the envelope of CloudEvents 1.0 is optional, around it (structured) or in
//! headers (binary). A message says its type, seq, idempotency key and schema version in headers whatever the envelope.
//!
//! Limits: a value is at most [`EVENT_BYTES_MAX`] long; texts that would make it longer are left out. What can fail: reading what is not ours.

use std::fmt;

use jiff::Timestamp;
use lynk_model::event::{Event, Topic};
use serde_json::{Value, json};

use crate::SCHEMA_VERSION;
use crate::wire::Wire;

/// Longest value, in bytes.
pub const EVENT_BYTES_MAX: usize = 900 << 10;

/// Header of the event's type.
pub(crate) const TYPE: &str = "lynk-type";
/// Header of the event's place in its room.
pub(crate) const SEQ: &str = "lynk-seq";
/// Header by which a repetition is known.
pub(crate) const IDEMPOTENCY_KEY: &str = "lynk-idempotency-key";
/// Header of the schema's version.
pub(crate) const VERSION: &str = "lynk-schema-version";
/// Headers of the binary envelope, the last of them where the time can be written.
pub(crate) const CLOUD_EVENTS: [&str; 6] =
    ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_time"];

/// Whether there is a CloudEvents 1.0 envelope.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Envelope {
    /// The value is the event.
    #[default]
    None,
    /// The value is the event; the attributes are in headers.
    Binary,
    /// The value is the envelope; the event is its `data`.
    Structured,
}

/// How events are written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Encoding {
    /// The envelope.
    pub envelope: Envelope,
    /// Attribute `source` of an envelope: a URI reference that names this installation.
    pub source: String,
}

impl Default for Encoding {
    fn default() -> Self {
        Self { envelope: Envelope::None, source: "/lynk".to_owned() }
    }
}

/// A message to publish.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Encoded {
    /// Where to.
    pub topic: &'static str,
    /// Decides the partition: the room, or the account.
    pub key: String,
    /// Names and values.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub value: Vec<u8>,
}

/// Why a message is not one of ours.
#[derive(Debug)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not JSON of the schema.
    Json(serde_json::Error),
    /// A type that this program does not know, or none.
    Type,
    /// A newer schema.
    Version(u64),
    /// An id or a word that cannot be.
    Value,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Its own words may repeat what is in the message.
            Self::Json(error) => write!(f, "not an event: line {}, column {}", error.line(), error.column()),
            Self::Type => f.write_str("an event of no known type"),
            Self::Version(version) => write!(f, "an event of schema version {version}, which is newer"),
            Self::Value => f.write_str("an event with a value that cannot be"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// The message of an event; `None` for one that cannot be written, which no event of this program is.
#[must_use]
pub fn encode(event: &Event, encoding: &Encoding) -> Option<Encoded> {
    let mut value = enveloped(event, encoding)?;
    if value.len() > EVENT_BYTES_MAX {
        let mut short = event.clone();
        short.drop_texts();
        value = enveloped(&short, encoding)?;
    }
    let mut headers = vec![
        (TYPE, event.topic.name().to_owned()),
        (SEQ, event.seq.0.to_string()),
        (IDEMPOTENCY_KEY, event.idempotency_key()),
        (VERSION, SCHEMA_VERSION.to_string()),
    ];
    match encoding.envelope {
        Envelope::None => headers.push(("content-type", "application/json".to_owned())),
        Envelope::Structured => headers.push(("content-type", "application/cloudevents+json".to_owned())),
        Envelope::Binary => {
            headers.push(("content-type", "application/json".to_owned()));
            headers.push(("ce_specversion", "1.0".to_owned()));
            headers.push(("ce_id", event.idempotency_key()));
            headers.push(("ce_source", encoding.source.clone()));
            headers.push(("ce_type", event.topic.name().to_owned()));
            headers.push(("ce_subject", event.subject.to_string()));
            headers.extend(time(event).map(|time| ("ce_time", time)));
        }
    }
    (value.len() <= EVENT_BYTES_MAX).then(|| Encoded {
        topic: event.topic.name(),
        key: event.subject.to_string(),
        headers,
        value,
    })
}

/// RFC 3339; `None` for a time beyond the year 9999.
fn time(event: &Event) -> Option<String> {
    let millis = i64::try_from(event.at.0).ok()?;
    Timestamp::from_millisecond(millis).ok().map(|time| time.to_string())
}

fn enveloped(event: &Event, encoding: &Encoding) -> Option<Vec<u8>> {
    let data = Wire::of(event).json().ok()?;
    if encoding.envelope != Envelope::Structured {
        return Some(data);
    }
    let data: Value = serde_json::from_slice(&data).ok()?;
    let mut envelope = json!({
        "specversion": "1.0",
        "id": event.idempotency_key(),
        "source": encoding.source,
        "type": event.topic.name(),
        "subject": event.subject.to_string(),
        "datacontenttype": "application/json",
        "data": data,
    });
    if let Some(time) = time(event) {
        envelope["time"] = json!(time);
    }
    serde_json::to_vec(&envelope).ok()
}

/// The event of a message's value, whatever its envelope.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode(value: &[u8]) -> Result<Event, DecodeError> {
    let mut value: Value = serde_json::from_slice(value).map_err(DecodeError::Json)?;
    if value.get("specversion").is_some() {
        value = value["data"].take();
    }
    let topic = value.get("type").and_then(Value::as_str).and_then(Topic::parse).ok_or(DecodeError::Type)?;
    let version = value.get("version").and_then(Value::as_u64).ok_or(DecodeError::Value)?;
    if version > u64::from(SCHEMA_VERSION) {
        return Err(DecodeError::Version(version));
    }
    let wire = Wire::of_json(topic, value).map_err(DecodeError::Json)?;
    wire.event(topic).ok_or(DecodeError::Value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lynk_model::contract::every_event;
    use lynk_model::event::EventBody;

    #[test]
    fn every_event_survives_every_envelope() {
        for envelope in [Envelope::None, Envelope::Binary, Envelope::Structured] {
            let encoding = Encoding { envelope, source: "https://chat.example".to_owned() };
            for event in every_event() {
                let encoded = encode(&event, &encoding).expect("fits");
                assert_eq!(decode(&encoded.value).expect("ours"), event, "{envelope:?}");
                assert_eq!(
                    (encoded.topic, encoded.key.as_str()),
                    (event.topic.name(), event.subject.to_string().as_str())
                );
                let header = |name: &str| {
                    encoded.headers.iter().find(|(key, _)| *key == name).map(|(_, v)| v.as_str())
                };
                assert_eq!(header(IDEMPOTENCY_KEY), Some(event.idempotency_key().as_str()));
                assert_eq!(header(SEQ), Some(event.seq.0.to_string().as_str()));
                assert_eq!(header("ce_id").is_some(), envelope == Envelope::Binary);
            }
        }
    }

    #[test]
    fn an_envelope_has_the_attributes_of_cloudevents() {
        let event = &every_event()[1];
        let encoding = Encoding { envelope: Envelope::Structured, ..Encoding::default() };
        let value: Value =
            serde_json::from_slice(&encode(event, &encoding).expect("fits").value).expect("JSON");
        assert_eq!(value["specversion"], "1.0");
        assert_eq!(value["time"], "2026-11-23T17:48:51.002Z");
        assert_eq!((&value["type"], &value["source"]), (&json!("message.created"), &json!("/lynk")));
        assert_eq!(value["data"]["type"], "message.created");
    }

    #[test]
    fn a_text_that_is_too_long_is_left_out() {
        let mut event = every_event()[2].clone();
        let EventBody::Posted { text, .. } = &mut event.body else { panic!("a message") };
        // A control character takes six bytes of JSON.
        *text = Some("\u{1}".repeat(EVENT_BYTES_MAX / 6));
        let encoded = encode(&event, &Encoding::default()).expect("fits");
        assert!(encoded.value.len() < 1_000);
        event.drop_texts();
        assert_eq!(decode(&encoded.value).expect("ours"), event);
    }

    #[test]
    fn what_is_not_ours_is_refused_without_its_words() {
        let newer = br#"{"type": "user.created", "version": 2}"#;
        assert!(matches!(decode(newer), Err(DecodeError::Version(2))));
        assert!(matches!(decode(br#"{"type": "other"}"#), Err(DecodeError::Type)));
        let wrong =
            br#"{"type": "user.created", "version": 1, "idempotency_key": "k", "time": 1, "user": "hush"}"#;
        let error = decode(wrong).expect_err("no id");
        assert!(!error.to_string().contains("hush"));
        let error =
            decode(br#"{"type": "user.created", "version": 1, "time": "hush"}"#).expect_err("no number");
        assert!(!error.to_string().contains("hush"), "{error}");
    }
}
