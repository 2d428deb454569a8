//! How the process is doing, for the admin listener.
//!
//! Thread: written by the boot and the signal thread, read by the admin thread. The lock is held for a copy of a line.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use lynk_domain::Nanos;
use lynk_journal::DiskUse;
use lynk_reactor::{Chosen, Pulse, ShardSnapshot};
use lynk_store::{DrainSnapshot, RequestSnapshot, StoreHealth};
use lynk_telemetry::{Board, Snapshot};
use serde_json::{Value, json};

/// Share of the journal's disk budget, in percent, from which it counts as degraded.
const JOURNAL_PERCENT_WARN: u64 = 90;

/// Time inside one turn after which a shard counts as hung, in nanoseconds: far beyond any stall that ends by itself.
const HUNG_NANOS: u64 = 10 * Nanos::SECOND;

/// Where the process is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Recovering, or starting threads.
    Starting = 0,
    /// Serving.
    Ready = 1,
    /// Closing connections.
    Draining = 2,
}

/// What exists once the server has started.
pub(crate) struct Parts {
    pub(crate) shards: Vec<Board<ShardSnapshot>>,
    /// One per shard.
    pub(crate) pulses: Vec<Pulse>,
    pub(crate) store: StoreHealth,
    pub(crate) requests: Board<RequestSnapshot>,
    pub(crate) drain: Board<DrainSnapshot>,
    /// Of the thread that publishes events, where there is one.
    pub(crate) events: Option<crate::events::View>,
    pub(crate) api: Arc<lynk_api::Counts>,
    pub(crate) accounts: Arc<lynk_api::accounts::AccountCounts>,
    /// Of the mirror of presence.
    pub(crate) presence: Arc<lynk_presence::PresenceCounts>,
    /// The filter of names.
    pub(crate) names: Arc<lynk_api::names::Names>,
    pub(crate) compute: Arc<lynk_compute::ComputeCounts>,
    /// Bridges that a configuration asks for.
    pub(crate) bridges: Vec<Bridge>,
    /// The carrier of codes, where there is one.
    pub(crate) sms: Option<Arc<lynk_sms::SmsCounts>>,
    /// Notifications, where there are any.
    pub(crate) push: Option<Arc<lynk_push::PushCounts>>,
    /// Pictures and files, where they are kept.
    pub(crate) media: Option<(Arc<lynk_media::MediaCounts>, Arc<lynk_compute::ImageCounts>)>,
    pub(crate) journal: Arc<DiskUse>,
    pub(crate) driver: Chosen,
    /// Why the driver is not the preferred one.
    pub(crate) fallback: Option<String>,
    /// Open files allowed; `None` for no limit.
    pub(crate) files_max: Option<u64>,
}

/// A bridge to an outside system, as the admin listener shows it.
pub(crate) struct Bridge {
    /// Of the dependency.
    pub(crate) name: &'static str,
    /// Whether it works.
    pub(crate) health: lynk_bridge::Health,
    /// Adds what it counts to a scrape.
    pub(crate) add_to: Box<dyn Fn(&mut Snapshot) + Send + Sync>,
}

/// The health of the process.
pub(crate) struct Health {
    phase: AtomicU8,
    progress: Mutex<String>,
    parts: OnceLock<Parts>,
    /// What a process that only notifies has instead.
    notifier: OnceLock<Arc<lynk_push::PushCounts>>,
    started: Instant,
    started_unix_millis: u64,
    admin_drops: AtomicU64,
}

impl Health {
    /// Of a process that starts now.
    pub(crate) fn new() -> Self {
        Self {
            phase: AtomicU8::new(Phase::Starting as u8),
            progress: Mutex::new("starting".to_owned()),
            parts: OnceLock::new(),
            notifier: OnceLock::new(),
            started: Instant::now(),
            started_unix_millis: crate::os::wall_millis().0,
            admin_drops: AtomicU64::new(0),
        }
    }

    /// The phase.
    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            _ => Phase::Draining,
        }
    }

    /// The next phase.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// What the start is doing, for `/startupz`.
    pub(crate) fn progress(&self, text: impl Into<String>) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = text.into();
    }

    /// The server's parts exist from now on.
    pub(crate) fn assemble(&self, parts: Parts) {
        // Set once, by the boot.
        let _ = self.parts.set(parts);
    }

    /// This process only notifies.
    #[cfg_attr(
        not(all(feature = "kafka", feature = "postgres", feature = "cassandra")),
        expect(dead_code, reason = "the server notifies")
    )]
    pub(crate) fn notifies(&self, counts: Arc<lynk_push::PushCounts>) {
        // Set once, by the start.
        let _ = self.notifier.set(counts);
    }

    /// Of a process that only notifies.
    pub(crate) fn notifier(&self) -> Option<&Arc<lynk_push::PushCounts>> {
        self.notifier.get()
    }

    /// The server's parts; `None` while it starts.
    pub(crate) fn parts(&self) -> Option<&Parts> {
        self.parts.get()
    }

    /// Time since the start.
    pub(crate) fn uptime(&self) -> std::time::Duration {
        self.started.elapsed()
    }

    /// When the process started.
    pub(crate) fn started_unix_millis(&self) -> u64 {
        self.started_unix_millis
    }

    /// The admin listener closed a connection to make room for another.
    pub(crate) fn count_admin_drop(&self) {
        self.admin_drops.fetch_add(1, Ordering::Relaxed);
    }

    /// How often it did.
    pub(crate) fn admin_drops(&self) -> u64 {
        self.admin_drops.load(Ordering::Relaxed)
    }

    /// Whether the process does anything: the shards that have been inside one turn for more than 10 s at `now`, with the
    /// seconds. A shard that hangs serves nobody and comes back by a restart only.
    pub(crate) fn hung(&self, now: Nanos) -> Vec<(usize, u64)> {
        let pulses = self.parts().map(|parts| &parts.pulses[..]).unwrap_or_default();
        let times = pulses.iter().map(|pulse| pulse.in_turn_nanos(now)).enumerate();
        times
            .filter(|(_, nanos)| *nanos > HUNG_NANOS)
            .map(|(shard, nanos)| (shard, nanos / Nanos::SECOND))
            .collect()
    }

    /// Whether the start is done, and how far it is.
    pub(crate) fn startup(&self) -> (bool, Value) {
        let done = self.phase() != Phase::Starting;
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (done, json!({"started": done, "progress": progress}))
    }

    /// Whether the server takes new connections, and each dependency by name. A dependency that fails degrades: rooms
    /// in memory go on, so it does not make the server unready.
    pub(crate) fn ready(&self) -> (bool, Value) {
        let phase = self.phase();
        let mut dependencies = self.parts().map(dependencies).unwrap_or_default();
        dependencies.extend(self.notifier().into_iter().flat_map(|counts| of_push(counts)));
        let degraded = dependencies.iter().any(|(_, problem)| problem.is_some());
        let status = match (phase, degraded) {
            (Phase::Starting, _) => "starting",
            (Phase::Draining, _) => "draining",
            (Phase::Ready, true) => "degraded",
            (Phase::Ready, false) => "ready",
        };
        let mut by_name = json!({});
        for (name, problem) in dependencies {
            by_name[name] = match problem {
                None => json!({"status": "ok"}),
                Some(detail) => json!({"status": "degraded", "detail": detail}),
            };
        }
        (phase == Phase::Ready, json!({"status": status, "dependencies": by_name}))
    }
}

fn dependencies(parts: &Parts) -> Vec<(&'static str, Option<String>)> {
    let mut all = vec![("driver", parts.fallback.clone())];
    let (used, max) = (parts.journal.used(), parts.journal.max());
    let full = used.saturating_mul(100) >= max.saturating_mul(JOURNAL_PERCENT_WARN);
    all.push(("journal", full.then(|| format!("{used} of {max} bytes of its disk budget are used"))));
    let stores = parts.store.parts().into_iter().chain([("accounts", &parts.accounts.health)]);
    let stores = stores.chain(parts.sms.as_ref().map(|sms| ("sms", &sms.health)));
    let stores = stores.chain(parts.bridges.iter().map(|bridge| (bridge.name, &bridge.health)));
    all.extend(stores.map(|(name, health)| (name, said(health.report()))));
    if let Some(events) = &parts.events {
        all.push(("kafka", events.problem().and_then(said)));
    }
    if let Some((media, _)) = &parts.media {
        let parts = [("media", &media.store), ("files", &media.files), ("looks", &media.looks)];
        all.extend(parts.map(|(name, health)| (name, said(health.report()))));
    }
    all.extend(parts.push.iter().flat_map(|counts| of_push(counts)));
    all
}

fn of_push(counts: &lynk_push::PushCounts) -> [(&'static str, Option<String>); 2] {
    [("notifications", said(counts.stores.report())), ("push", said(counts.providers.report()))]
}

fn said(report: lynk_bridge::HealthReport) -> Option<String> {
    report.degraded.map(|since| format!("{} for {} s: {}", report.last_error, since.as_secs(), report.detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(used: u64) -> Parts {
        Parts {
            shards: vec![Board::default()],
            pulses: vec![Pulse::asleep(), Pulse::of_turn_since(Nanos(Nanos::SECOND))],
            store: StoreHealth::default(),
            requests: Board::default(),
            drain: Board::default(),
            events: None,
            api: Arc::default(),
            accounts: Arc::default(),
            presence: Arc::default(),
            names: lynk_api::names::Names::new(Arc::<lynk_model::local::LocalEphemeral>::default(), [0; 16])
                .0,
            compute: Arc::default(),
            bridges: Vec::new(),
            sms: Some(Arc::default()),
            push: Some(Arc::default()),
            media: Some((Arc::default(), Arc::default())),
            journal: DiskUse::new(used, 1_000),
            driver: Chosen::Epoll,
            fallback: None,
            files_max: None,
        }
    }

    #[test]
    fn only_a_serving_process_is_ready() {
        let health = Health::new();
        health.progress("recovering 3 of 7");
        assert_eq!(health.startup(), (false, json!({"started": false, "progress": "recovering 3 of 7"})));
        assert!(!health.ready().0);
        health.assemble(parts(0));
        health.enter(Phase::Ready);
        assert!(health.startup().0);
        assert_eq!(health.ready().1["status"], "ready");
        health.enter(Phase::Draining);
        let (ready, told) = health.ready();
        assert!(!ready && told["status"] == "draining");
    }

    #[test]
    fn a_shard_that_stays_in_one_turn_is_hung() {
        let health = Health::new();
        let late = Nanos(13 * Nanos::SECOND);
        assert_eq!(health.hung(late), []);
        health.assemble(parts(0));
        assert_eq!(health.hung(Nanos(11 * Nanos::SECOND)), []);
        assert_eq!(health.hung(late), [(1, 12)]);
    }

    #[test]
    fn a_failing_dependency_degrades_and_is_named() {
        let health = Health::new();
        let parts = parts(900);
        let (store, accounts) = (parts.store.clone(), Arc::clone(&parts.accounts));
        let sms = parts.sms.clone().expect("a carrier");
        health.assemble(parts);
        health.enter(Phase::Ready);
        store.rooms.fail("locked", "someone else writes");
        accounts.health.fail("unavailable", "disk I/O error");
        sms.health.fail("credentials", "Twilio's error 20003");
        let (ready, told) = health.ready();
        assert!(ready && told["status"] == "degraded");
        assert_eq!(told["dependencies"]["driver"]["status"], "ok");
        assert_eq!(told["dependencies"]["journal"]["status"], "degraded");
        assert_eq!(told["dependencies"]["accounts"]["detail"], "unavailable for 0 s: disk I/O error");
        assert_eq!(told["dependencies"]["sms"]["detail"], "credentials for 0 s: Twilio's error 20003");
        assert!(
            told["dependencies"]["rooms"]["detail"].as_str().expect("text").contains("someone else writes")
        );
    }
}
