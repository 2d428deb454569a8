//! [`KafkaSink`]: publishes batches, idempotently, and waits until all in-sync replicas have them.
//!
//! Thread: its owner's, which blocks for at most [`Connect::timeout`] a batch. librdkafka connects and sends on threads of its own.
//!
//! Invariants: of one partition, what the broker has of a producer is always a prefix of what it was given: messages do not time out by themselves,
//! the broker checks their sequence, and an error that could leave a gap ends the producer. After any failure the producer is thrown away
//! with all it holds, and the next batch begins with a new one: so the first of each kind come in order, whatever the old one still had
//! under way. One batch at a time.
//!
//! Limits: what one batch holds. What can fail: brokers away or frozen, rights, see [`Fault`].

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lynk_model::StoreError;
use lynk_model::event::Event;
use lynk_model::port::EventSink;
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig,
};

use crate::encode::{Encoded, Encoding, encode};
use crate::{Connect, Fault, FaultKind, OpenError};

/// Time between two looks for answers. A look that waits would wait for all of its time, also when there are some.
const LOOK: Duration = Duration::from_millis(1);
/// How long one look takes after a failure.
const LAST_LOOK: Duration = Duration::from_millis(50);

/// What became of a batch so far.
#[derive(Debug, Default)]
struct Outcome {
    delivered: usize,
    /// Never sent.
    withdrawn: usize,
    /// Refused, or withdrawn when it may have been sent.
    failed: usize,
    /// The first failure of a message.
    failure: Option<Fault>,
    /// What the client told of itself since the batch began.
    told: Option<Fault>,
}

#[derive(Debug, Default)]
struct Reports(Mutex<Outcome>);

impl Reports {
    fn outcome(&self) -> MutexGuard<'_, Outcome> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Reports {
    // What matters comes as an error, and is told by whoever owns the sink.
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, error: KafkaError, reason: &str) {
        let mut outcome = self.outcome();
        let all_down = error.rdkafka_error_code() == Some(Code::AllBrokersDown);
        let refused = outcome.told.as_ref().is_some_and(|told| told.kind == FaultKind::Refused);
        // That all are down says less than why the last one is.
        if !(refused || all_down && outcome.told.is_some()) {
            outcome.told = Some(Fault::told(&error, reason));
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut outcome = self.outcome();
        let Err((error, _)) = result else {
            outcome.delivered += 1;
            return;
        };
        match error.rdkafka_error_code() {
            Some(Code::PurgeQueue) => outcome.withdrawn += 1,
            Some(Code::PurgeInflight) => outcome.failed += 1,
            _ => {
                outcome.failed += 1;
                outcome.failure.get_or_insert_with(|| Fault::of(error));
            }
        }
    }
}

/// [`EventSink`] on Kafka.
pub struct KafkaSink {
    settings: ClientConfig,
    encoding: Encoding,
    timeout: Duration,
    producer: Option<BaseProducer<Reports>>,
    fault: Option<Fault>,
}

impl std::fmt::Debug for KafkaSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaSink").finish_non_exhaustive()
    }
}

impl KafkaSink {
    /// Sets the sink up; connects to nothing yet, so that a server starts while its brokers are away.
    ///
    /// # Errors
    /// A setting that cannot be used.
    pub fn new(connect: &Connect, encoding: Encoding) -> Result<Self, OpenError> {
        let mut settings = connect.settings()?;
        settings
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("enable.gapless.guarantee", "true")
            // Messages end with their producer only.
            .set("message.timeout.ms", "0")
            .set("retry.backoff.ms", "100")
            .set("linger.ms", "2")
            .set("compression.type", "lz4")
            // As Java's clients place keys.
            .set("partitioner", "murmur2_random")
            .set("topic.metadata.propagation.max.ms", "5000");
        Ok(Self { settings, encoding, timeout: connect.timeout, producer: None, fault: None })
    }

    /// The last failure since it was asked for, if there was one.
    #[must_use]
    pub fn take_fault(&mut self) -> Option<Fault> {
        self.fault.take()
    }

    /// Batches get this much time from now on; for an end that must not take long.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    fn give(&mut self, batch: &[Event]) -> Result<(), Fault> {
        let encoded: Option<Vec<_>> = batch.iter().map(|event| encode(event, &self.encoding)).collect();
        let Some(encoded) = encoded else {
            return Err(Fault::new(FaultKind::Corrupt, "an event is too long for a message"));
        };
        let producer = match self.producer.take() {
            Some(producer) => producer,
            None => {
                self.settings.create_with_context(Reports::default()).map_err(|error| Fault::of(&error))?
            }
        };
        *producer.context().0.lock().unwrap_or_else(PoisonError::into_inner) = Outcome::default();
        let until = Instant::now() + self.timeout;
        match send_all(&producer, &encoded, until) {
            Ok(()) => {
                self.producer = Some(producer);
                Ok(())
            }
            Err(given) => Err(give_up(&producer, given)),
        }
    }
}

/// Sends and waits. `Err` with the number of messages given when it is over without success.
fn send_all(producer: &BaseProducer<Reports>, batch: &[Encoded], until: Instant) -> Result<(), usize> {
    let mut given = 0;
    for message in batch {
        let headers = OwnedHeaders::new_with_capacity(message.headers.len());
        let headers = message
            .headers
            .iter()
            .fold(headers, |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
        let mut record =
            BaseRecord::to(message.topic).key(&message.key).payload(&message.value).headers(headers);
        loop {
            match producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(Code::QueueFull), back)) if Instant::now() < until => {
                    record = back;
                    std::thread::sleep(LOOK);
                    producer.poll(Duration::ZERO);
                }
                Err((error, _)) => {
                    producer.context().outcome().failure.get_or_insert_with(|| Fault::of(&error));
                    return Err(given);
                }
            }
        }
        given += 1;
    }
    loop {
        std::thread::sleep(LOOK);
        producer.poll(Duration::ZERO);
        let outcome = producer.context().outcome();
        if outcome.delivered == given {
            return Ok(());
        }
        let refused = outcome.told.as_ref().is_some_and(|told| told.kind == FaultKind::Refused);
        if outcome.failed > 0 || refused || until <= Instant::now() {
            return Err(given);
        }
    }
}

/// Takes back what can be taken back, and says how it stands.
fn give_up(producer: &BaseProducer<Reports>, given: usize) -> Fault {
    producer.purge(PurgeConfig::default().queue().inflight());
    // The reports of what was taken back are there at once.
    for _ in 0..4 {
        producer.poll(LAST_LOOK);
        let outcome = producer.context().outcome();
        if outcome.delivered + outcome.withdrawn + outcome.failed >= given {
            break;
        }
    }
    let mut outcome = producer.context().outcome();
    let why = outcome.failure.take().or_else(|| outcome.told.take());
    let why = why.unwrap_or_else(|| Fault::new(FaultKind::Unavailable, "the brokers do not answer in time"));
    if outcome.delivered == 0 && outcome.withdrawn == given {
        return why;
    }
    // A refusal of rights is the broker's word that it has nothing of it.
    if outcome.delivered == 0 && why.kind == FaultKind::Refused {
        return why;
    }
    Fault { kind: FaultKind::Unknown, detail: why.detail }
}

impl EventSink for KafkaSink {
    async fn publish(&mut self, batch: &[Event]) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.give(batch).map_err(|fault| {
            let error = fault.store_error();
            self.fault = Some(fault);
            error
        })
    }
}
