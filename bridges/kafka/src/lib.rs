//! Events on Apache Kafka.
//!
//! Without features: the table of topics, users and rights ([`topics`]), and how events are written ([`encode`], [`schema`]); nothing of it needs
//! a C compiler. With `client`: [`KafkaSink`], which publishes, [`EventConsumer`], which reads, and [`KafkaBridge`], the thread that publishes
//! journals and the outbox of accounts.
//!
//! Thread: whoever publishes owns its sink and may block; librdkafka has threads of its own below it.
//!
//! Invariants: nothing is said to be published before all in-sync replicas have it; the events of one room come in their order, repetitions
//! only behind the first of their kind and under the same key; every connection is TLS with a certificate on both sides and SCRAM-SHA-512, and
//! there is no setting that changes that. Limits: those of [`Connect`], and [`EVENT_BYTES_MAX`]. What can fail: see [`Fault`].

#![forbid(unsafe_code)]

mod asyncapi;
mod encode;
mod schema;
pub mod topics;
mod wire;

#[cfg(feature = "client")]
mod bridge;
#[cfg(feature = "client")]
mod connect;
#[cfg(feature = "client")]
mod consumer;
#[cfg(feature = "client")]
mod fault;
#[cfg(feature = "client")]
mod outbox;
#[cfg(feature = "client")]
mod sink;
#[cfg(feature = "client")]
mod snapshot;

pub use asyncapi::document;
pub use encode::{DecodeError, EVENT_BYTES_MAX, Encoded, Encoding, Envelope, decode, encode};
pub use schema::{SCHEMA_VERSION, schema};

#[cfg(feature = "client")]
pub use bridge::{KafkaBridge, KafkaHealth, KafkaOptions, KafkaParts};
#[cfg(feature = "client")]
pub use connect::{Connect, Identity, OpenError};
#[cfg(feature = "client")]
pub use consumer::{EventConsumer, Received};
#[cfg(feature = "client")]
pub use fault::{Fault, FaultKind};
#[cfg(feature = "client")]
pub use outbox::{AccountOutbox, Outbox};
#[cfg(feature = "client")]
pub use sink::KafkaSink;
#[cfg(feature = "client")]
pub use snapshot::PublishSnapshot;
