//! `lynk notify`: notifications as a process of its own, which reads `message.created` and never writes there.
//!
//! Thread: the main thread waits for signals; one thread reads events, one decides and sends. Reading takes the next events when those before
//! are taken in, and then commits their place: what was read and not taken in comes again, and is known by the seqs of its rooms. Several such
//! processes share the partitions; a room is in one, and what is taken in or claimed twice is refused by the store.
//!
//! Limits: [`BATCH`] events at a time. What can fail: Kafka, PostgreSQL, the message log, Redis; each is asked again, and named by `/readyz`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::time::{Duration, Instant};

use lynk_api::system_clock;
use lynk_kafka::topics::{NOTIFICATION, NOTIFICATION_GROUPS};
use lynk_kafka::{EventConsumer, FaultKind};
use lynk_model::event::{Event, Topic};
use lynk_model::local::LocalEphemeral;
use lynk_model::port::{EventSink, ready};
use lynk_push::{Fed, Feed, PushBridge, PushParts};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{ServerAudience, options, senders};
use crate::config::{Config, PushProvider, PushRun, Sources, load};
use crate::exit::{Exit, Failure};
use crate::health::{Health, Phase};
use crate::log::Log;
use crate::stores::{self, SharedEphemeral};
use crate::{admin, events, os};

/// Events of one batch, at most.
const BATCH: usize = 500;
/// Longest wait for the first event of a batch, and for each further one.
const FIRST: Duration = Duration::from_millis(200);
const FURTHER: Duration = Duration::from_millis(5);
/// Pause after Kafka failed.
const PAUSE: Duration = Duration::from_secs(2);
/// Pause after a batch was not taken in.
const REFUSED_PAUSE: Duration = Duration::from_millis(250);

/// Events from the reading thread.
struct KafkaFeed {
    batches: Receiver<Vec<Event>>,
    taken: Sender<()>,
    /// What was not taken in yet.
    batch: Option<Vec<Event>>,
}

impl Feed for KafkaFeed {
    async fn step<S: EventSink>(&mut self, sink: &mut S) -> Fed {
        let batch = match self.batch.take() {
            Some(batch) => batch,
            None => match self.batches.try_recv() {
                Ok(batch) => batch,
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return Fed::Idle,
            },
        };
        if sink.publish(&batch).await.is_err() {
            self.batch = Some(batch);
            return Fed::Wait(REFUSED_PAUSE);
        }
        // The reader may have ended.
        let _ = self.taken.send(());
        Fed::Some
    }

    fn skip(&mut self) {
        // What was not taken in counts as well: the reader waits until it is.
        if self.batch.take().is_some() || self.batches.try_recv().is_ok() {
            let _ = self.taken.send(());
        }
    }
}

/// Reads until `stop`.
fn read(consumer: &EventConsumer, batches: &SyncSender<Vec<Event>>, taken: &Receiver<()>, stop: &AtomicBool) {
    let mut told = false;
    while !stop.load(Ordering::Acquire) {
        let mut batch = Vec::new();
        let begun = Instant::now();
        while batch.len() < BATCH && begun.elapsed() < FIRST {
            match consumer.next(if batch.is_empty() { FIRST } else { FURTHER }) {
                Ok(Some(received)) => batch.push(received.event),
                Ok(None) => break,
                Err(fault) if fault.kind == FaultKind::Corrupt => {
                    tracing::warn!(
                        event = "push_event_corrupt",
                        detail = fault.detail,
                        "an event is passed over"
                    );
                }
                Err(fault) => {
                    if !told {
                        tracing::error!(
                            event = "push_events_refused",
                            detail = fault.detail,
                            "events cannot be read"
                        );
                    }
                    told = true;
                    std::thread::sleep(PAUSE);
                    break;
                }
            }
        }
        if batch.is_empty() {
            continue;
        }
        told = false;
        if batches.send(batch).is_err() || taken.recv().is_err() {
            return;
        }
        if let Err(fault) = consumer.commit() {
            tracing::warn!(event = "push_commit_failed", detail = fault.detail, "events may be read again");
        }
    }
}

/// Runs until a signal ends it.
///
/// # Errors
/// What stands in the way, and its cure.
pub(super) fn run(sources: &Sources) -> Result<(), Failure> {
    let config = load(sources)?.config;
    if config.push.run != PushRun::Separate || config.push.provider == PushProvider::None {
        return Err(Failure::new(
            Exit::Config,
            "the configuration has no process of its own for notifications",
        )
        .cure("set `push.run = \"separate\"` and `push.provider` for the servers and for this"));
    }
    let log = Log::start(config.log_level, config.log_format)?;
    let health = Arc::new(Health::new());
    let mut admin = None;
    if config.admin_enabled {
        let listener = std::net::TcpListener::bind(config.admin_listen).map_err(|error| {
            Failure::dependency(format!("the admin address {} cannot be used: {error}", config.admin_listen))
                .cure("give this process another one: --set admin.address=ADDRESS:PORT")
        })?;
        admin = Some(admin::start(listener, Arc::clone(&health))?);
    }
    std::fs::create_dir_all(&config.data_dir)
        .map_err(|error| crate::data_dir::refused(&config.data_dir, &error))?;
    let result = serve(&config, &health, admin);
    log.flush();
    result
}

fn serve(config: &Config, health: &Arc<Health>, admin: Option<SocketAddr>) -> Result<(), Failure> {
    let runtime = stores::runtime()?;
    let store = stores::postgres::notify(config, health, &runtime)?;
    let messages = Some(stores::cassandra::log(config, String::new(), &runtime)?);
    let (ephemeral, finish) = match stores::ephemeral(config)? {
        None => (Arc::new(LocalEphemeral::default()) as _, None),
        Some(SharedEphemeral { store, finish, .. }) => (store, Some(finish)),
    };
    let connect = events::kafka::connect(config, NOTIFICATION)?;
    let refused = |fault: lynk_kafka::Fault| {
        Failure::dependency(format!("Kafka cannot be used as {NOTIFICATION}: {fault}"))
            .cure("see the section [kafka], and the files of this user in `credentials.dir`")
    };
    let group = format!("{NOTIFICATION_GROUPS}.push");
    let consumer = EventConsumer::new(&connect, &group, &[Topic::MessageCreated]).map_err(refused)?;
    let mut dead = events::kafka::sink(config, NOTIFICATION)?;
    let ((give, batches), (taken, was_taken)) = (sync_channel(0), channel());
    let clock = system_clock();
    let now = Arc::clone(&clock);
    let parts = PushParts {
        audience: ServerAudience { members: store.clone(), messages, ephemeral, clock },
        store,
        feed: KafkaFeed { batches, taken, batch: None },
        sender: senders(&config.push, &config.data_dir)?,
        runtime,
        wall: Arc::new(move || now().wall),
        seed: u64::from_le_bytes(os::random()?),
        ended: Vec::new(),
        dead: Some(Box::new(move |batch| ready(dead.publish(batch)))),
    };
    let bridge = PushBridge::start(parts, options(&config.push, true, false))?;
    health.notifies(Arc::clone(bridge.counts()));
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let reader = std::thread::Builder::new()
        .name("events".to_owned())
        .spawn(move || read(&consumer, &give, &was_taken, &stopped))?;
    health.progress("started");
    health.enter(Phase::Ready);
    let (admin, pid) = (admin.map(|address| address.to_string()), std::process::id());
    tracing::info!(event = "ready", group, admin, pid, "notifications are decided here");
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let _which = signals.forever().next();
    health.enter(Phase::Draining);
    stop.store(true, Ordering::Release);
    // With the bridge goes what the reader waits for.
    bridge.finish();
    if let Err(panic) = reader.join() {
        std::panic::resume_unwind(panic);
    }
    if let Some(finish) = finish {
        finish();
    }
    tracing::info!(event = "stopped", "bye");
    Ok(())
}
