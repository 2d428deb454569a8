//! The thread that publishes: journals by their two streams, and the outbox of accounts.
//!
//! Thread: one, `kafka`; it blocks on brokers, on journals under a lock that no shard takes, and on the outbox. It looks for work every few
//! milliseconds rather than being woken by commits: nobody waits for it.
//!
//! Invariants: those of [`Publisher`]; a row of the outbox goes only when its event is out. Limits: [`OUTBOX_ROWS`] rows a batch; the
//! backlog is on disk, within the journal's budget. What can fail: brokers and disk, told as [`KafkaHealth`] and tried again.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lynk_bridge::{BridgeThread, Health, HealthReport, Turned, spawn};
use lynk_domain::{Nanos, UserId};
use lynk_journal::{Disk, PublishStep, Publisher, ReaderAccess as _, SharedReader};
use lynk_model::StoreError;
use lynk_model::event::{Event, Stream};
use lynk_model::port::{EventSink as _, ready};
use lynk_telemetry::Board;

use crate::{Fault, FaultKind, KafkaSink, Outbox, PublishSnapshot};

/// Rows of the outbox that make one batch.
const OUTBOX_ROWS: u32 = 256;
/// Time between two published snapshots.
const PUBLISH: Duration = Duration::from_secs(1);
/// First pause of the outbox after a failure; doubled up to [`OUTBOX_PAUSE_MAX`].
const OUTBOX_PAUSE_MIN: Duration = Duration::from_millis(250);
/// Longest pause of the outbox after a failure.
const OUTBOX_PAUSE_MAX: Duration = Duration::from_secs(10);

/// How the bridge works.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// Pause after everything that there was is published.
    pub pause: Duration,
    /// Time between two looks at an outbox that was empty.
    pub outbox_pause: Duration,
    /// Time that [`KafkaBridge::finish`] gives for what is committed; one batch may go on for as long again.
    pub final_publish: Duration,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            pause: Duration::from_millis(20),
            outbox_pause: Duration::from_millis(500),
            final_publish: Duration::from_secs(3),
        }
    }
}

/// What the bridge takes over.
pub struct KafkaParts<D: Disk> {
    /// Goes over journals.
    pub publisher: Publisher,
    /// Reads them.
    pub reader: SharedReader<D>,
    /// The disk that they are on.
    pub disk: D,
    /// Takes their events.
    pub sink: KafkaSink,
    /// New accounts, and who publishes them.
    pub accounts: Option<(Box<dyn Outbox>, KafkaSink)>,
}

/// Health of both parts, each with its own outages.
#[derive(Clone, Debug, Default)]
pub struct KafkaHealth {
    /// Events of journals.
    pub events: Health,
    /// New accounts.
    pub accounts: Health,
}

impl KafkaHealth {
    /// Of the part that fails, the events' first; `None` while all works.
    #[must_use]
    pub fn problem(&self) -> Option<HealthReport> {
        [&self.events, &self.accounts]
            .into_iter()
            .map(Health::report)
            .find(|report| report.degraded.is_some())
    }
}

/// The running bridge.
#[derive(Debug)]
pub struct KafkaBridge {
    thread: BridgeThread,
    health: KafkaHealth,
    board: Board<PublishSnapshot>,
}

impl KafkaBridge {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub fn start<D>(parts: KafkaParts<D>, options: &KafkaOptions) -> io::Result<Self>
    where
        D: Disk + Send + 'static,
        D::File: Send + 'static,
    {
        let (health, board) = (KafkaHealth::default(), Board::default());
        let accounts = parts.accounts.map(|(outbox, sink)| Accounts {
            outbox,
            sink,
            published: Vec::new(),
            pause: OUTBOX_PAUSE_MIN,
            next: Instant::now(),
        });
        let mut publishing = Publishing {
            publisher: parts.publisher,
            reader: parts.reader,
            disk: parts.disk,
            sink: parts.sink,
            accounts,
            health: health.clone(),
            counts: PublishSnapshot::default(),
            board: board.clone(),
            options: options.clone(),
            stuck: false,
        };
        let thread = spawn("kafka", move |stop| publishing.run(stop))?;
        Ok(Self { thread, health, board })
    }

    /// Health, for `/readyz`.
    #[must_use]
    pub fn health(&self) -> &KafkaHealth {
        &self.health
    }

    /// Numbers, at most a second old.
    #[must_use]
    pub fn board(&self) -> &Board<PublishSnapshot> {
        &self.board
    }

    /// Ends the bridge: publishes what is committed within [`KafkaOptions::final_publish`], keeps the positions, and waits for the thread.
    pub fn finish(self) {
        self.thread.stop();
        self.thread.join();
    }
}

/// New accounts on their way.
struct Accounts {
    outbox: Box<dyn Outbox>,
    sink: KafkaSink,
    /// Published, and not marked yet.
    published: Vec<UserId>,
    pause: Duration,
    next: Instant,
}

struct Publishing<D: Disk> {
    publisher: Publisher,
    reader: SharedReader<D>,
    disk: D,
    sink: KafkaSink,
    accounts: Option<Accounts>,
    health: KafkaHealth,
    counts: PublishSnapshot,
    board: Board<PublishSnapshot>,
    options: KafkaOptions,
    /// A journal cannot be published until a restart: the health stays bad whatever the others do.
    stuck: bool,
}

impl<D: Disk> Publishing<D> {
    /// Until the flag is set; then until everything committed is published, or the time for that is over.
    fn run(&mut self, stop: &AtomicBool) {
        let started = Instant::now();
        let mut told: Option<Instant> = None;
        let mut stopping: Option<Instant> = None;
        loop {
            if stopping.is_none() && stop.load(Ordering::Acquire) {
                stopping = Some(Instant::now());
                self.hurry();
            }
            let wait = self.step(started);
            if told.is_none_or(|at| at.elapsed() >= PUBLISH) {
                told = Some(Instant::now());
                self.tell();
            }
            match (stopping, wait) {
                (Some(since), _) if since.elapsed() >= self.options.final_publish => break,
                (_, None) => {}
                (Some(_), Some(Pause::Idle)) => break,
                (None, Some(Pause::Idle)) => std::thread::park_timeout(self.options.pause),
                (_, Some(Pause::For(time))) => std::thread::park_timeout(time.min(PUBLISH)),
            }
        }
        self.publisher.finish(&self.disk);
        self.tell();
    }

    /// An end must not take long.
    fn hurry(&mut self) {
        self.sink.set_timeout(self.options.final_publish);
        if let Some(accounts) = &mut self.accounts {
            accounts.sink.set_timeout(self.options.final_publish);
            accounts.next = Instant::now();
        }
    }

    fn tell(&mut self) {
        let publisher = &self.publisher;
        let backlog =
            self.reader.with(|reader| Stream::OUTSIDE.map(|stream| publisher.backlog(reader, stream)));
        self.counts.backlog = backlog;
        self.counts.degraded = u64::from(self.health.problem().is_some());
        let counts = &self.counts;
        self.board.publish(|copy| copy.clone_from(counts));
    }

    /// One step of each part. `None`: there may be more to do.
    fn step(&mut self, started: Instant) -> Option<Pause> {
        let accounts = self.accounts.as_mut().filter(|accounts| accounts.next <= Instant::now());
        if let Some(accounts) = accounts {
            accounts.step(&self.health.accounts, &mut self.counts, &self.options);
        }
        let before = Instant::now();
        let now = Nanos(nanos(before.duration_since(started)));
        match ready(self.publisher.step(&mut self.sink, &self.disk, &mut self.reader, now)) {
            PublishStep::Published { .. } => {
                let events = self.publisher.events();
                if !events.is_empty() {
                    self.counts.count(events);
                    self.counts.batch_time.record(nanos(before.elapsed()));
                }
                if self.publisher.save_failed() {
                    failed(
                        "events",
                        &self.health.events,
                        "journal",
                        "the positions of events cannot be written",
                    );
                } else if !self.stuck {
                    succeeded("events", &self.health.events);
                }
                None
            }
            PublishStep::Stuck { source, stream, after } => {
                let damage = self.reader.with(|reader| reader.damage().map(ToString::to_string));
                let fault = self.sink.take_fault().map(|fault| fault.detail);
                let why = damage.or(fault).unwrap_or_else(|| "a record cannot be read".to_owned());
                self.stuck = true;
                self.counts.count_failure(FaultKind::Corrupt);
                let detail = format!("{source:?} {stream:?} after record {}: {why}", after.0);
                failed("events", &self.health.events, "stuck", &detail);
                None
            }
            PublishStep::Waiting(at) => {
                match self.sink.take_fault() {
                    Some(fault) => {
                        self.counts.count_failure(fault.kind);
                        failed("events", &self.health.events, fault.kind.name(), &fault.detail);
                    }
                    // Within its pause the publisher does not try, so there is nothing new.
                    None if self.health.events.report().degraded.is_some() => {}
                    None => failed("events", &self.health.events, "journal", "a journal cannot be read"),
                }
                Some(Pause::For(Duration::from_nanos(at.since(now).max(1_000_000))))
            }
            PublishStep::Idle => Some(Pause::Idle),
        }
    }
}

/// Why nothing is done.
enum Pause {
    /// There is nothing.
    Idle,
    /// It did not work.
    For(Duration),
}

impl Accounts {
    fn step(&mut self, health: &Health, counts: &mut PublishSnapshot, options: &KafkaOptions) {
        match self.publish(counts) {
            Ok(more) => {
                self.pause = OUTBOX_PAUSE_MIN;
                self.next = Instant::now() + if more { Duration::ZERO } else { options.outbox_pause };
                succeeded("accounts", health);
            }
            Err(fault) => {
                counts.count_failure(fault.kind);
                failed("accounts", health, fault.kind.name(), &fault.detail);
                self.next = Instant::now() + self.pause;
                self.pause = (self.pause * 2).min(OUTBOX_PAUSE_MAX);
            }
        }
    }

    /// Publishes a batch of the outbox and marks it. Whether there may be more.
    fn publish(&mut self, counts: &mut PublishSnapshot) -> Result<bool, Fault> {
        // Marking may have failed after they were out.
        self.mark()?;
        let rows = self.outbox.unpublished(OUTBOX_ROWS).map_err(outbox_failed)?;
        if rows.is_empty() {
            return Ok(false);
        }
        let events: Vec<_> = rows.iter().map(|(user, created)| Event::of_account(*user, *created)).collect();
        let before = Instant::now();
        ready(self.sink.publish(&events)).map_err(|_| {
            let unsaid = || Fault::new(FaultKind::Unavailable, "new accounts cannot be published");
            self.sink.take_fault().unwrap_or_else(unsaid)
        })?;
        counts.count(&events);
        counts.batch_time.record(nanos(before.elapsed()));
        self.published.extend(rows.iter().map(|(user, _)| *user));
        self.mark()?;
        Ok(rows.len() == OUTBOX_ROWS as usize)
    }

    fn mark(&mut self) -> Result<(), Fault> {
        if !self.published.is_empty() {
            self.outbox.mark_published(&self.published).map_err(outbox_failed)?;
            self.published.clear();
        }
        Ok(())
    }
}

fn outbox_failed(error: StoreError) -> Fault {
    let kind = match error {
        StoreError::Corrupt => FaultKind::Corrupt,
        _ => FaultKind::Unavailable,
    };
    Fault::new(kind, "the outbox of accounts cannot be read or written")
}

/// Tells the log about a change of health, and only about that.
fn failed(part: &'static str, health: &Health, kind: &'static str, detail: &str) {
    if health.fail(kind, detail) == Turned::Bad {
        tracing::warn!(event = "kafka_degraded", part, kind, detail, "events are not published");
    }
}

/// See [`failed`].
fn succeeded(part: &'static str, health: &Health) {
    if let Turned::Good(after) = health.succeed() {
        tracing::info!(
            event = "kafka_recovered",
            part,
            seconds = after.as_secs(),
            "events are published again"
        );
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
