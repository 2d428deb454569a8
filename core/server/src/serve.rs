//! `lynk serve`: start, signals, end.
//!
//! Thread: the main thread waits for signals. SIGTERM and SIGINT drain; SIGHUP reads the configuration and the keys again.
//! From the first SIGTERM on, another thread waits for the second one, which ends the process at once, whatever the
//! main thread is doing: a drain, or a store that a sick disk keeps from finishing.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use lynk_api::accounts::AccountsState;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::boot::{Boot, KeySwap, Running, from_now};
use crate::cli::version_facts;
use crate::config::{Config, Sources, changed, load};
use crate::crash::Crashes;
use crate::data_dir::{DataDir, Keys};
use crate::doctor::bind_cure;
use crate::exit::{Exit, Failure};
use crate::health::{Health, Phase};
use crate::log::Log;
use crate::{admin, os};

/// Time between two looks at a drain.
const DRAIN_POLL: Duration = Duration::from_millis(10);
/// What a drain may take beyond its timeout before it is cut short.
const DRAIN_SLACK: Duration = Duration::from_secs(2);
/// How long a port may stay in use, and time between two looks.
const PORT_PATIENCE: Duration = Duration::from_secs(2);
const PORT_POLL: Duration = Duration::from_millis(10);
/// A server that ran for so long has left a crash loop behind.
const STEADY: Duration = Duration::from_secs(60);

/// Serves until a signal ends it.
///
/// # Errors
/// What stands in the way, and its cure.
pub(crate) fn run(sources: &Sources, after_crashes: bool) -> Result<(), Failure> {
    let config = load(sources)?.config;
    let log = Log::start(config.log_level, config.log_format)?;
    let result = serve(sources, config, after_crashes, &log);
    if let Err(failure) = &result {
        tracing::error!(event = "start_failed", "{failure}");
    }
    log.flush();
    result
}

fn serve(sources: &Sources, mut config: Config, after_crashes: bool, log: &Log) -> Result<(), Failure> {
    let health = Arc::new(Health::new());
    if !config.debug_core_dumps {
        os::forbid_dumps()?;
    }
    let files_max = open_files(&config)?;
    // While the server starts, a signal ends it at once: whatever a recovery was doing is done again by the next start.
    let starting = Arc::new(AtomicBool::new(true));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register_conditional_shutdown(
            signal,
            Exit::Failure as i32,
            Arc::clone(&starting),
        )?;
    }
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let second_signal = second_signal(log)?;
    let dir = DataDir::open(&config.data_dir)?;
    let crashes = Crashes::new(dir.root());
    if after_crashes {
        crashes.clear();
    }
    crashes.check()?;
    crashes.clone().install(|| lynk_reactor::current_note().map(|note| (note.shard.0, note.doing)));
    let loaded = dir.keys()?;
    let keys = KeySwap::new(loaded.accepted(config.auth_scope())?);

    let admin_address = start_admin(&config, &health)?;
    let shard_count = os::shard_count(config.shard_count);
    let listeners = bind(&config, shard_count)?;
    let address = lynk_reactor::local_address(&listeners)?;
    let flush = log.clone();
    let boot = Boot {
        config: &config,
        dir: &dir,
        keys: Arc::clone(&keys),
        health: &health,
        listeners,
        files_max,
        flush: Arc::new(move || flush.flush()),
    };
    let running = boot.start(loaded)?;
    starting.store(false, Ordering::Release);
    health.progress("started");
    health.enter(Phase::Ready);
    announce(&config, &dir, &health, address, admin_address);

    let started = Instant::now();
    // Each look begins with the signals that are pending, so none is lost between two.
    while signals.forever().next() == Some(SIGHUP) {
        reload(sources, &mut config, &dir, &keys, &running.accounts, log);
    }
    // It takes them: its thread lives as long as the process.
    let _ = second_signal.send(signals);
    end(running, &health, &config, || {
        if started.elapsed() >= STEADY {
            crashes.clear();
        }
    })
}

/// Starts the thread that ends the process on the second signal; it begins with the signals it is sent. Started with the
/// server, so that a process which ends needs no new thread.
fn second_signal(log: &Log) -> Result<SyncSender<Signals>, Failure> {
    let (give, take) = sync_channel::<Signals>(1);
    let log = log.clone();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let Ok(mut signals) = take.recv() else { return };
        if signals.forever().any(|signal| signal != SIGHUP) {
            tracing::warn!(
                event = "stopped_at_once",
                "a second signal: ending without waiting; acknowledged messages are safe"
            );
            log.flush();
            // The lock of the data directory is freed by the kernel, when no thread writes there any more.
            std::process::exit(Exit::Failure as i32);
        }
    })?;
    Ok(give)
}

/// The line that says where the server is.
fn announce(config: &Config, dir: &DataDir, health: &Health, address: SocketAddr, admin: Option<SocketAddr>) {
    tracing::info!(
        event = "ready",
        address = %address,
        path = config.listen_path,
        admin = admin.map(|address| address.to_string()),
        shards = health.parts().map(|parts| parts.shards.len()),
        driver = health.parts().map(|parts| parts.driver.name()),
        data = %dir.root().display(),
        version = version_facts()["version"].as_str(),
        pid = std::process::id(),
        start_ms = u64::try_from(health.uptime().as_millis()).unwrap_or(u64::MAX),
        "listening on {address}"
    );
}

/// Raises the limit of open files; what is too low to start, or to be useful, is told.
fn open_files(config: &Config) -> Result<Option<u64>, Failure> {
    let max = os::raise_open_files();
    let cure = "raise the hard limit: LimitNOFILE=1048576 (systemd), --ulimit nofile=1048576 (containers), or \
                /etc/security/limits.conf";
    match max {
        Some(max) if max < 2 * os::FILES_RESERVED => {
            Err(Failure::dependency(format!("at most {max} open files are allowed")).cure(cure))
        }
        Some(max) if max < u64::from(config.limits.connections_per_ip_max).max(10_000) => {
            tracing::warn!(event = "open_files_low", max, "connections are limited by open files; {cure}");
            Ok(Some(max))
        }
        other => Ok(other),
    }
}

fn start_admin(config: &Config, health: &Arc<Health>) -> Result<Option<SocketAddr>, Failure> {
    if !config.admin_enabled {
        return Ok(None);
    }
    let address = config.admin_listen;
    let listener = TcpListener::bind(address).map_err(|error| {
        Failure::dependency(format!("the admin address {address} cannot be used: {error}")).cure(format!(
            "{}; --admin ADDRESS:PORT, or --set admin.enabled=false",
            bind_cure(&error, address)
        ))
    })?;
    if !address.ip().is_loopback() {
        tracing::warn!(event = "admin_exposed", %address, "the admin listener has no authentication: keep it on a private network");
    }
    Ok(Some(admin::start(listener, Arc::clone(health))?))
}

/// Makes the listeners. Several processes could share a port with SO_REUSEPORT, so a plain listener asks first whether
/// anybody has it. A process that was just killed may still have it for some milliseconds: the kernel takes a ring and the
/// sockets in it apart after the process is gone.
fn bind(config: &Config, shard_count: u16) -> Result<Vec<TcpListener>, Failure> {
    let address = config.listen;
    let refused = |error: std::io::Error| {
        Failure::dependency(format!("the address {address} cannot be used: {error}"))
            .cure(format!("{}; --listen ADDRESS:PORT", bind_cure(&error, address)))
    };
    let until = Instant::now() + PORT_PATIENCE;
    loop {
        match TcpListener::bind(address) {
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < until => {
                std::thread::sleep(PORT_POLL);
            }
            Err(error) => return Err(refused(error)),
        }
    }
    let options = lynk_reactor::SocketOptions {
        send_buffer_bytes: Some(config.listen_send_buffer_bytes).filter(|bytes| *bytes > 0),
        user_timeout_millis: config.listen_user_timeout_millis,
        backlog: config.listen_backlog,
    };
    lynk_reactor::bind(address, shard_count, &options).map_err(refused)
}

/// SIGHUP: what can change changes, the rest is named.
fn reload(
    sources: &Sources,
    config: &mut Config,
    dir: &DataDir,
    keys: &KeySwap,
    accounts: &AccountsState,
    log: &Log,
) {
    let fresh = match load(sources) {
        Ok(loaded) => loaded.config,
        Err(problems) => {
            tracing::error!(event = "reload_failed", problems = %problems, "the configuration is wrong; nothing changed");
            return;
        }
    };
    let mut applied = Vec::new();
    let mut pending = Vec::new();
    for key in changed(config, &fresh) {
        if key.live { &mut applied } else { &mut pending }.push(key.path);
    }
    log.set_level(fresh.log_level);
    config.log_level = fresh.log_level;
    match Keys::load(dir.root()).and_then(|loaded| loaded.ring(config.auth_scope())) {
        Ok(ring) => {
            let set = Arc::clone(ring.accepted());
            let accepted = set.keys().len();
            // What checks tokens learns of a key before what signs with it.
            keys.replace(set);
            accounts.keys().replace(ring);
            tracing::info!(
                event = "reloaded",
                changed = applied.join(", "),
                needs_restart = pending.join(", "),
                keys = accepted,
                "configuration read again"
            );
        }
        Err(failure) => tracing::error!(event = "reload_failed", "the keys stay as they were: {failure}"),
    }
}

/// The end after SIGTERM or SIGINT.
fn end(running: Running, health: &Health, config: &Config, steady: impl FnOnce()) -> Result<(), Failure> {
    health.enter(Phase::Draining);
    let (deadline, _) = from_now(config.drain_millis);
    tracing::info!(event = "draining", timeout_ms = config.drain_millis, "closing connections");
    running.drain(deadline);
    let until = Instant::now() + Duration::from_millis(config.drain_millis) + DRAIN_SLACK;
    while !running.is_drained() && Instant::now() < until {
        std::thread::sleep(DRAIN_POLL);
    }
    let drained = running.is_drained();
    let copied = running.stop();
    steady();
    tracing::info!(event = "stopped", drained, "bye");
    copied
}
