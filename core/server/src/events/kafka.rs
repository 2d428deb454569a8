//! Events on Kafka: by which users, and with which settings.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lynk_bridge::Secret;
use lynk_domain::{Millis, UserId};
use lynk_journal::{Cursors, PublishOptions, Publisher, RealDisk, Recovered, SharedReader};
use lynk_kafka::topics::{AUTH, ENGINE};
use lynk_kafka::{
    Connect, Encoding, Envelope, Identity as Certificate, KafkaBridge, KafkaOptions, KafkaParts, KafkaSink,
    Outbox,
};
use lynk_model::StoreError;
use lynk_model::event::Stream;
use lynk_model::port::AccountStore;
use tokio::runtime::Runtime;

use super::{Publishing, View};
use crate::config::{Config, EventEnvelope};
use crate::credentials::{Identity, read};
use crate::exit::Failure;
use crate::os;

/// The outbox of a store whose connections live on a runtime.
struct StoredOutbox<A> {
    store: A,
    runtime: Runtime,
}

impl<A: AccountStore + Send> Outbox for StoredOutbox<A> {
    fn unpublished(&mut self, limit: u32) -> Result<Vec<(UserId, Millis)>, StoreError> {
        self.runtime.block_on(self.store.unpublished(limit))
    }

    fn mark_published(&mut self, users: &[UserId]) -> Result<(), StoreError> {
        self.runtime.block_on(self.store.mark_published(users))
    }
}

/// How brokers are reached as a user.
///
/// # Errors
/// An identity that is missing or cannot be used.
pub(crate) fn connect(config: &Config, user: &'static str) -> Result<Connect, Failure> {
    let outside = &config.outside;
    let identity = Identity::of(outside, user)?;
    Ok(Connect {
        bootstrap: outside.kafka.bootstrap.clone(),
        user: user.to_owned(),
        password: identity.secret()?,
        ca: read(&outside.authority(&outside.kafka.ca))?,
        identity: Some(Certificate {
            certificate: read(&identity.certificate)?,
            key: Secret::new(read(&identity.key)?),
        }),
        timeout: Duration::from_millis(outside.kafka.timeout_millis),
    })
}

/// What publishes as a user.
///
/// # Errors
/// An identity that is missing or cannot be used.
pub(crate) fn sink(config: &Config, user: &'static str) -> Result<KafkaSink, Failure> {
    let (outside, connect) = (&config.outside, connect(config, user)?);
    let envelope = match outside.events.envelope {
        EventEnvelope::None => Envelope::None,
        EventEnvelope::Binary => Envelope::Binary,
        EventEnvelope::Structured => Envelope::Structured,
    };
    let encoding = Encoding { envelope, source: outside.events.source.clone() };
    KafkaSink::new(&connect, encoding).map_err(|error| {
        Failure::dependency(format!("Kafka cannot be used as {user}: {error}"))
            .cure("see the section [kafka], and the files of this user in `credentials.dir`")
    })
}

/// See [`super::start`].
///
/// # Errors
/// An identity that is missing or cannot be used.
pub(super) fn start<A: AccountStore + Send + 'static>(
    config: &Config,
    root: &Path,
    recovered: &Recovered,
    shard_count: u16,
    cursors: Arc<Cursors>,
    reader: SharedReader<RealDisk>,
    (store, runtime): (A, Runtime),
) -> Result<Publishing, Failure> {
    let options =
        PublishOptions { texts: config.outside.events.include_body, seed: u64::from_le_bytes(os::random()?) };
    let parts = KafkaParts {
        publisher: Publisher::new(root, recovered, shard_count, cursors, &Stream::OUTSIDE, options),
        reader,
        disk: RealDisk,
        sink: sink(config, ENGINE)?,
        accounts: Some((Box::new(StoredOutbox { store, runtime }), sink(config, AUTH)?)),
    };
    let bridge = KafkaBridge::start(parts, &KafkaOptions::default())?;
    let (health, board) = (bridge.health().clone(), bridge.board().clone());
    let view = View {
        problem: Arc::new(move || health.problem()),
        numbers: Arc::new(move |snapshot| board.read().add_to(snapshot)),
    };
    Ok(Publishing { view, end: Box::new(move || bridge.finish()) })
}
