//! The thread that drains journals.
//!
//! It looks for work at intervals rather than being woken by every commit: a batch costs one sync whatever its size, so
//! collecting records for a moment is cheaper, and hardly anybody waits for the drain.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use lynk_bridge::{Health, spawn};
use lynk_domain::Nanos;
use lynk_embedded::MessageLog;
use lynk_journal::{Disk, DrainStep, Drainer, ReaderAccess, SharedReader};
use lynk_model::port::{LastFault, MessageStore, StoreFault};
use lynk_telemetry::Board;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::notices::Notices;
use crate::tap::{DrainWish, TeeEnd, Teed};
use crate::{DrainSnapshot, failed, succeeded};

/// Time between two tries to tell shards what did not fit their queues.
const UNTOLD: Duration = Duration::from_millis(5);
/// Time for the drain at the end while a copy takes part in it.
const TEED_DRAIN_MAX: Duration = Duration::from_secs(60);
/// Time between two sweeps of the log.
const SWEEP: Duration = Duration::from_secs(5);
/// Time between two published snapshots.
const PUBLISH: Duration = Duration::from_secs(1);

pub(crate) struct Draining<D: Disk, M> {
    pub(crate) drainer: Drainer,
    pub(crate) messages: M,
    /// The embedded log, when it is the one: it has sizes, and is flushed at the end.
    pub(crate) embedded: Option<MessageLog>,
    /// Woken to end.
    pub(crate) woken: Arc<Notify>,
    /// What a copy asks for.
    pub(crate) wishes: Receiver<DrainWish>,
    /// Where a copy gets what is drained.
    pub(crate) tee: TeeEnd,
    pub(crate) disk: D,
    pub(crate) reader: SharedReader<D>,
    pub(crate) notices: Notices,
    pub(crate) health: Health,
    pub(crate) counts: DrainSnapshot,
    pub(crate) board: Board<DrainSnapshot>,
    pub(crate) pause: Duration,
    /// Records of all journals that are still to be moved before the next pause: what there was after the last one, in as
    /// many batches as that takes. What comes meanwhile waits, or a steady trickle would make a batch of every record.
    pub(crate) round: u64,
    pub(crate) final_drain: Duration,
    /// A journal cannot be drained until a restart: the health stays bad whatever the others do.
    pub(crate) stuck: bool,
}

/// What to do after a step.
enum Next {
    /// There may be more to do.
    Continue,
    /// Nothing for so long.
    Wait(Duration),
    /// Nothing to do at all.
    Idle,
}

impl<D: Disk, M: MessageStore + LastFault> Draining<D, M> {
    /// Until the flag is set; then until everything committed is moved, or the time for that is over. The pauses are spent on the
    /// runtime too, so that connections are kept.
    pub(crate) fn run(&mut self, runtime: &Runtime, stop: &AtomicBool) {
        runtime.block_on(self.drain(stop));
        // Only saves the next start the replay of fjall's journals; failing is harmless.
        if let Some(log) = &self.embedded
            && log.flush().is_err()
        {
            tracing::warn!(event = "store_flush_failed", fault = ?log.take_fault(), "the message log was not flushed");
        }
        self.publish();
    }

    async fn drain(&mut self, stop: &AtomicBool) {
        let started = Instant::now();
        let mut published: Option<Instant> = None;
        let mut swept = started;
        let mut stopping: Option<Instant> = None;
        let mut drained = false;
        loop {
            self.grant().await;
            if stopping.is_none() && stop.load(Ordering::Acquire) {
                stopping = Some(Instant::now());
            }
            let next = self.step(started, stopping.is_some()).await;
            let told = self.notices.post();
            if published.is_none_or(|at| at.elapsed() >= PUBLISH) {
                published = Some(Instant::now());
                self.publish();
            }
            // A copy that is to be whole waits for all of it.
            let most =
                if self.tee.is_open() { self.final_drain.max(TEED_DRAIN_MAX) } else { self.final_drain };
            let over = stopping.is_some_and(|since| since.elapsed() >= most);
            let wait = match next {
                _ if over => break,
                Next::Continue => continue,
                Next::Idle if stopping.is_some() => {
                    drained = !self.stuck;
                    break;
                }
                Next::Idle => {
                    if swept.elapsed() >= SWEEP {
                        swept = Instant::now();
                        self.sweep().await;
                    }
                    self.pause
                }
                Next::Wait(time) => time,
            };
            let wait = if told { wait } else { wait.min(UNTOLD) };
            let _early = timeout(wait.min(PUBLISH), self.woken.notified()).await;
        }
        self.tee.send(Teed::End { drained }).await;
    }

    /// Does what a copy asks for. Between two steps, so that what was drained is in the log, and in the tee.
    async fn grant(&mut self) {
        while let Ok(wish) = self.wishes.try_recv() {
            match wish {
                DrainWish::Tee { to, begun } => {
                    self.tee.set(to);
                    let _gone = begun.send(());
                }
                DrainWish::Hold(hold) => hold.keep(self.drainer.cursors()).await,
            }
        }
    }

    /// Gives back the space of removed messages, when there is nothing else to do.
    async fn sweep(&mut self) {
        match self.messages.sweep().await {
            Ok(swept) => self.counts.sweeps += u64::from(swept),
            Err(_) => {
                let fault = self.messages.last_fault().map(|fault| fault.to_string());
                tracing::warn!(
                    event = "store_sweep_failed",
                    fault,
                    "removed messages were not swept; it is tried again"
                );
            }
        }
        let Some(log) = self.embedded.as_ref().filter(|log| log.is_untidy()).cloned() else { return };
        self.counts.sweeps += 1;
        // It takes its time, and the drain goes on. Nobody waits for it: what it has not done at the end, it does after the next start.
        let tidy = move |_: &AtomicBool| {
            let started = Instant::now();
            match log.tidy() {
                Ok(_) => tracing::info!(
                    event = "store_tidied",
                    seconds = started.elapsed().as_secs(),
                    "space of removed messages is given back"
                ),
                Err(_) => {
                    let fault = log.take_fault();
                    tracing::warn!(
                        event = "store_sweep_failed",
                        ?fault,
                        "space of removed messages was not given back; it is tried again"
                    );
                }
            }
        };
        if let Err(error) = spawn("store-tidy", tidy) {
            tracing::warn!(event = "store_sweep_failed", %error, "no thread gives space of removed messages back; it is tried again");
        }
    }

    fn publish(&mut self) {
        let drainer = &self.drainer;
        self.counts.backlog = self.reader.with(|reader| drainer.backlog(reader));
        self.counts.log = self.embedded.as_ref().map(MessageLog::stats).unwrap_or_default();
        let counts = &self.counts;
        self.board.publish(|copy| copy.clone_from(counts));
    }

    /// One step of the drainer.
    async fn step(&mut self, started: Instant, stopping: bool) -> Next {
        let before = Instant::now();
        let now = Nanos(nanos(before.duration_since(started)));
        if self.round == 0 {
            self.round = self.reader.with(|reader| self.drainer.backlog(reader));
        }
        let step = self.drainer.step(&mut self.messages, &self.disk, &mut self.reader, now).await;
        match step {
            DrainStep::Drained { source, lsn, records } => {
                if self.drainer.unremoved() > 0 {
                    failed("drain", &self.health, "journal", "a drained journal file cannot be removed");
                } else if !self.stuck {
                    succeeded("drain", &self.health);
                }
                self.counts.step_time.record(nanos(before.elapsed()));
                self.counts.records += records as u64;
                self.counts.batches += 1;
                self.notices.note(source, lsn);
                if self.tee.is_open() && records > 0 {
                    // Whoever waits for the store does not wait for a copy.
                    self.notices.post();
                    self.tee.send(Teed::Records(self.drainer.last_batch().to_owned_records())).await;
                }
                self.round = self.round.saturating_sub(records as u64);
                if self.round == 0 && !stopping { Next::Wait(self.pause) } else { Next::Continue }
            }
            DrainStep::Gone { .. } => Next::Continue,
            DrainStep::Stuck { source, after } => {
                let damage = self.reader.with(|reader| reader.damage().map(ToString::to_string));
                let fault = self.messages.last_fault().map(|fault| fault.detail);
                let why = damage.or(fault).unwrap_or_else(|| "a record cannot be read".to_owned());
                self.stuck = true;
                failed(
                    "drain",
                    &self.health,
                    "stuck",
                    &format!("{source:?} after record {}: {why}", after.0),
                );
                Next::Continue
            }
            DrainStep::Waiting(at) => {
                match self.messages.last_fault() {
                    Some(StoreFault { kind, detail }) => failed("drain", &self.health, kind, &detail),
                    // Within its pause the drainer does not try, so there is nothing new.
                    None if self.health.report().degraded.is_some() => {}
                    None => failed("drain", &self.health, "journal", "a journal cannot be read or removed"),
                }
                Next::Wait(Duration::from_nanos(at.since(now).max(1_000_000)))
            }
            DrainStep::Idle => {
                self.round = 0;
                Next::Idle
            }
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
