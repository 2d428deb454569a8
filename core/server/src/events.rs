//! Events for other systems: from a configuration to a running thread that publishes them.
//!
//! Thread: boot; [`View`] is read by the admin thread. What can fail: the disk and the identities; a broker that is away does not hold up a start,
//! because nothing is read from it.

#[cfg(feature = "kafka")]
pub(crate) mod kafka;

use std::path::Path;
use std::sync::Arc;

use lynk_bridge::HealthReport;
use lynk_journal::{Cursors, Drainer, Kept, RealDisk, Recovered, SharedReader};
use lynk_model::event::Stream;
use lynk_model::port::AccountStore;
use lynk_telemetry::Snapshot;
use tokio::runtime::Runtime;

use crate::config::{Config, EventsTo};
use crate::exit::Failure;

/// What the admin listener sees.
#[derive(Clone)]
pub(crate) struct View {
    problem: Arc<dyn Fn() -> Option<HealthReport> + Send + Sync>,
    numbers: Arc<dyn Fn(&mut Snapshot) + Send + Sync>,
}

impl View {
    /// What fails; `None` while all works.
    pub(crate) fn problem(&self) -> Option<HealthReport> {
        (self.problem)()
    }

    /// Adds its numbers to a scrape.
    pub(crate) fn add_to(&self, snapshot: &mut Snapshot) {
        (self.numbers)(snapshot);
    }
}

/// The running thread.
pub(crate) struct Publishing {
    view: View,
    end: Box<dyn FnOnce() + Send>,
}

impl Publishing {
    pub(crate) fn view(&self) -> View {
        self.view.clone()
    }

    /// Publishes what is committed, for a short time, and ends. To be called after the store has ended.
    pub(crate) fn finish(self) {
        (self.end)();
    }
}

/// Whether events are published.
pub(crate) fn wanted(config: &Config) -> bool {
    config.outside.events.sink != EventsTo::None
}

/// What is read of journals beside the drain: events for systems outside, and messages for notifications.
fn streams(config: &Config) -> Vec<Stream> {
    let outside = if wanted(config) { &Stream::OUTSIDE[..] } else { &[] };
    let notified = crate::push::reads(config).then_some(Stream::Notified);
    outside.iter().copied().chain(notified).collect()
}

/// How far journals are published, where they are: the drainer must know.
///
/// # Errors
/// The disk's.
pub(crate) fn cursors(
    config: &Config,
    root: &Path,
    recovered: &Recovered,
    shard_count: u16,
) -> Result<Option<Arc<Cursors>>, Failure> {
    let streams = streams(config);
    if streams.is_empty() {
        return Ok(None);
    }
    let opened = Cursors::open(&RealDisk, root, recovered, shard_count, &streams);
    let (cursors, kept) = opened.map_err(|error| {
        Failure::dependency(error.to_string()).cure("free some space, or see why the disk fails")
    })?;
    if kept == Kept::Damaged {
        tracing::warn!(
            event = "event_positions_damaged",
            "the positions of events are damaged: events of the oldest records on are published again, under the same keys"
        );
    }
    Ok(Some(cursors))
}

/// A drainer that keeps what others still need.
pub(crate) fn held(drainer: Drainer, cursors: Option<&Arc<Cursors>>) -> Drainer {
    match cursors {
        None => drainer,
        Some(cursors) => drainer.hold(Arc::clone(cursors)),
    }
}

/// Starts the thread. `accounts` is a store of its own.
///
/// # Errors
/// An identity that is missing or cannot be used.
pub(crate) fn start<A: AccountStore + Send + 'static>(
    config: &Config,
    root: &Path,
    recovered: &Recovered,
    shard_count: u16,
    cursors: Arc<Cursors>,
    reader: SharedReader<RealDisk>,
    accounts: (A, Runtime),
) -> Result<Publishing, Failure> {
    #[cfg(feature = "kafka")]
    return kafka::start(config, root, recovered, shard_count, cursors, reader, accounts);
    #[cfg(not(feature = "kafka"))]
    {
        let _unused = (config, root, recovered, shard_count, cursors, reader, accounts);
        unreachable!("the configuration is refused by a build without it")
    }
}
