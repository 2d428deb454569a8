//! [`EventConsumer`]: reads events as one of a group, typed.
//!
//! Thread: its owner's. A position is kept only by [`EventConsumer::commit`], so what was read and not committed comes again. What can fail: brokers,
//! rights, and messages that are not ours ([`FaultKind::Corrupt`]), which are passed over by committing.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lynk_model::event::{Event, Topic};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Headers as _, Message as _};

use crate::encode::decode;
use crate::{Connect, Fault, FaultKind, OpenError};

/// How long one look for messages waits, so that a refusal is seen soon.
const POLL: Duration = Duration::from_millis(100);
/// How long a group waits for a member that says nothing. Brokers take 6 seconds and more.
const SESSION_MILLIS: &str = "10000";

/// An event with its place.
#[derive(Clone, PartialEq, Debug)]
pub struct Received {
    /// The event.
    pub event: Event,
    /// Its topic's partition.
    pub partition: i32,
    /// Its place there.
    pub offset: i64,
    /// Headers, in their order.
    pub headers: Vec<(String, String)>,
}

#[derive(Debug, Default)]
struct Told(Mutex<Option<Fault>>);

impl Told {
    fn refused(&self) -> Option<Fault> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.take_if(|fault| fault.kind == FaultKind::Refused)
    }
}

impl ClientContext for Told {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, error: KafkaError, reason: &str) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.as_ref().is_none_or(|told| told.kind != FaultKind::Refused) {
            *told = Some(Fault::told(&error, reason));
        }
    }
}

impl ConsumerContext for Told {}

/// Reads topics as a member of a group.
pub struct EventConsumer {
    consumer: BaseConsumer<Told>,
}

impl std::fmt::Debug for EventConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventConsumer").finish_non_exhaustive()
    }
}

impl EventConsumer {
    /// A consumer that begins where its group has committed, or with the oldest event. It connects when it is first asked.
    ///
    /// # Errors
    /// A setting that cannot be used; see [`Fault`] for what librdkafka refuses.
    pub fn new(connect: &Connect, group: &str, topics: &[Topic]) -> Result<Self, Fault> {
        let unusable = |error: OpenError| Fault::new(FaultKind::Refused, error);
        let mut settings = connect.settings().map_err(unusable)?;
        settings
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            // What a member that died had is somebody else's after this time.
            .set("session.timeout.ms", SESSION_MILLIS)
            .set("isolation.level", "read_committed");
        let consumer: BaseConsumer<Told> =
            settings.create_with_context(Told::default()).map_err(|error| Fault::of(&error))?;
        let names: Vec<_> = topics.iter().map(|topic| topic.name()).collect();
        consumer.subscribe(&names).map_err(|error| Fault::of(&error))?;
        Ok(Self { consumer })
    }

    /// The next event; `None` when none came in time.
    ///
    /// # Errors
    /// `Refused` for a wrong identity or a missing right; `Corrupt` for a message that is not ours.
    pub fn next(&self, timeout: Duration) -> Result<Option<Received>, Fault> {
        let until = Instant::now() + timeout;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.consumer.poll(left.min(POLL)) {
                Some(Ok(message)) => {
                    let event = decode(message.payload().unwrap_or_default())
                        .map_err(|error| Fault::new(FaultKind::Corrupt, error))?;
                    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
                    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
                    let headers =
                        headers.map(|h| (h.key.to_owned(), text(h.value.unwrap_or_default()))).collect();
                    let (partition, offset) = (message.partition(), message.offset());
                    return Ok(Some(Received { event, partition, offset, headers }));
                }
                Some(Err(error)) => {
                    let fault = Fault::of(&error);
                    if fault.kind == FaultKind::Refused {
                        return Err(fault);
                    }
                }
                None => {}
            }
            if let Some(fault) = self.consumer.context().refused() {
                return Err(fault);
            }
            if left.is_zero() {
                return Ok(None);
            }
        }
    }

    /// Everything that was read is done with.
    ///
    /// # Errors
    /// It may or may not be kept: what was read may come again.
    pub fn commit(&self) -> Result<(), Fault> {
        match self.consumer.commit_consumer_state(CommitMode::Sync) {
            Ok(()) | Err(KafkaError::ConsumerCommit(Code::NoOffset)) => Ok(()),
            Err(error) => Err(Fault::of(&error)),
        }
    }
}
