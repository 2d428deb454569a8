//! The stores that a configuration asks for: embedded ones in the data directory, or outside systems.
//!
//! Thread: boot; blocks. An outside store must be there when the server starts, because rooms are loaded from it: a start waits for it, tells
//! what it waits for, and gives up in the end. Once started, the server goes on without it.
//!
//! What can fail: the disk, the network, identities, schemas. Every failure names its cure.

#[cfg(feature = "cassandra")]
pub(crate) mod cassandra;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(feature = "redis")]
pub(crate) mod redis;

use std::sync::Arc;
use std::time::{Duration, Instant};

use lynk_embedded::{Accounts, MessageLog, MessageLogOptions, OpenError, Rooms};
use lynk_model::port::Ephemeral;
use lynk_store::Store;
use tokio::runtime::{Builder, Runtime};

use crate::config::{Config, EphemeralIn, EventsTo, MessagesIn, RelationalIn};
use crate::data_dir::DataDir;
use crate::exit::Failure;
use crate::health::{Bridge, Health};

/// First pause between two tries to reach a store, doubled up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(3);

/// What the file `STORES` says of a directory with everything in it.
pub(crate) const EMBEDDED: &str = "relational = embedded\nmessages = embedded\n";

/// A message log for each of the threads that use it.
pub(crate) struct Messages<M> {
    pub(crate) read: Store<M>,
    pub(crate) drained: Store<M>,
    /// For notifications, where this process decides about them. Its runtime is its own.
    pub(crate) notified: Option<Store<M>>,
    /// The embedded log, when that is what it is.
    pub(crate) embedded: Option<MessageLog>,
}

/// A runtime of one thread for a store's connections.
///
/// # Errors
/// The operating system has no descriptors left.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

fn open_failed(error: &OpenError) -> Failure {
    Failure::dependency(error.to_string())
}

/// The embedded message log.
///
/// # Errors
/// Damage, or the disk.
pub(crate) fn embedded_messages(
    dir: &DataDir,
    options: MessageLogOptions,
) -> Result<Messages<MessageLog>, Failure> {
    let log = MessageLog::open(dir.root(), options).map_err(|error| open_failed(&error))?;
    Ok(Messages {
        read: Store { store: log.clone(), runtime: runtime()? },
        drained: Store { store: log.clone(), runtime: runtime()? },
        notified: Some(Store { store: log.clone(), runtime: runtime()? }),
        embedded: Some(log),
    })
}

/// The embedded rooms.
///
/// # Errors
/// Damage, or the disk.
pub(crate) fn embedded_rooms(dir: &DataDir, key_life_millis: u64) -> Result<Rooms, Failure> {
    let rooms = Rooms::open(dir.root()).map_err(|error| open_failed(&error))?;
    Ok(rooms.with_key_life(key_life_millis))
}

/// The embedded accounts.
///
/// # Errors
/// Damage, or the disk.
pub(crate) fn embedded_accounts(dir: &DataDir) -> Result<Accounts, Failure> {
    Accounts::open(dir.root()).map_err(|error| open_failed(&error))
}

/// How long stores must find keys: while they are accepted, and an hour for clocks.
pub(crate) fn key_life_millis(config: &Config) -> u64 {
    const CLOCKS_MILLIS: u64 = 60 * 60 * 1_000;
    let limits = &config.limits;
    limits.key_age_max_millis + limits.key_ahead_max_millis + CLOCKS_MILLIS
}

/// The embedded message log for commands: they forget no idempotency key, because they do not know how long the server must find it.
pub(crate) fn keeping_log() -> MessageLogOptions {
    MessageLogOptions { key_life_millis: u64::MAX, ..MessageLogOptions::default() }
}

/// What waits for minutes, kept for several processes.
pub(crate) struct SharedEphemeral {
    pub(crate) store: Arc<dyn Ephemeral>,
    /// What the admin listener shows of it.
    pub(crate) bridge: Bridge,
    /// Ends its thread.
    pub(crate) finish: Box<dyn FnOnce() + Send>,
}

/// The shared store that a configuration asks for. It need not be there when the server starts.
///
/// # Errors
/// A file of the identity cannot be used.
pub(crate) fn ephemeral(config: &Config) -> Result<Option<SharedEphemeral>, Failure> {
    match config.outside.ephemeral {
        EphemeralIn::Local => Ok(None),
        EphemeralIn::Redis => {
            #[cfg(feature = "redis")]
            {
                redis::start(config).map(Some)
            }
            #[cfg(not(feature = "redis"))]
            unreachable!("the configuration is refused by a build without it")
        }
    }
}

/// The same accounts, for another thread.
///
/// # Errors
/// The disk.
pub(crate) fn embedded_accounts_beside(accounts: &Accounts) -> Result<Accounts, Failure> {
    accounts.open_beside().map_err(|error| open_failed(&error))
}

/// Why a try to reach an outside store came to nothing.
#[cfg_attr(
    not(any(feature = "postgres", feature = "cassandra")),
    expect(dead_code, reason = "no outside store")
)]
pub(crate) enum Miss {
    /// It may be there in a moment.
    Away(String),
    /// Waiting does not help.
    Failed(Failure),
}

/// Tries until it works or the time for it is over. Each new reason is logged once.
///
/// # Errors
/// The last reason.
#[cfg_attr(
    not(any(feature = "postgres", feature = "cassandra")),
    expect(dead_code, reason = "no outside store")
)]
pub(crate) fn wait_for<T>(
    what: &'static str,
    config: &Config,
    health: &Health,
    runtime: &Runtime,
    mut attempt: impl AsyncFnMut() -> Result<T, Miss>,
) -> Result<T, Failure> {
    let until = Instant::now() + Duration::from_millis(config.outside.start_wait_millis);
    let (mut pause, mut told) = (PAUSE_MIN, String::new());
    loop {
        let detail = match runtime.block_on(attempt()) {
            Ok(done) => return Ok(done),
            Err(Miss::Failed(failure)) => return Err(failure),
            Err(Miss::Away(detail)) => detail,
        };
        if Instant::now() >= until {
            return Err(Failure::dependency(format!("{what} cannot be used: {detail}")).cure(
                "see whether it runs, whether `credentials.dir` has the right identity for it, and `store.start_wait`",
            ));
        }
        health.progress(format!("waiting for {what}: {detail}"));
        if detail != told {
            tracing::warn!(event = "store_awaited", store = what, detail, "waiting for {what}");
            told = detail;
        }
        // On the runtime: a driver may be connecting in the background.
        runtime.block_on(async { tokio::time::sleep(pause).await });
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// What the file `STORES` says of a configuration's stores.
pub(crate) fn wanted(config: &Config) -> String {
    let outside = &config.outside;
    format!("relational = {}\nmessages = {}\n", name(outside.relational), name(outside.messages))
}

/// Refuses a data directory whose data would be left behind in other stores, and notes the stores of a new one.
///
/// # Errors
/// The configuration names other stores than those that the directory's data is in.
pub(crate) fn agree(config: &Config, dir: &DataDir) -> Result<(), Failure> {
    let wanted = wanted(config);
    let found = dir.stores(&wanted)?;
    if found == wanted {
        return Ok(());
    }
    let list = |text: &str| text.trim().replace('\n', ", ");
    Err(Failure::dependency(format!(
        "the data of {} is in other stores than those configured: {} there, {} configured",
        dir.root().display(),
        list(&found),
        list(&wanted)
    ))
    .cure("set `store.relational` and `store.messages` back, or use another data directory"))
}

fn name(choice: impl crate::config::Choice) -> &'static str {
    choice.word()
}

/// What this build would need for the outside systems of a configuration.
pub(crate) fn missing_feature(config: &Config) -> Option<&'static str> {
    if config.outside.ephemeral == EphemeralIn::Redis && !cfg!(feature = "redis") {
        return Some("redis");
    }
    if config.outside.events.sink == EventsTo::Kafka && !cfg!(feature = "kafka") {
        return Some("kafka");
    }
    match (config.outside.relational, config.outside.messages) {
        (RelationalIn::Postgres, _) if !cfg!(feature = "postgres") => Some("postgres"),
        (_, MessagesIn::Cassandra) if !cfg!(feature = "cassandra") => Some("cassandra"),
        _ => None,
    }
}
