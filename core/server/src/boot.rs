//! From a data directory and a configuration to running threads, and back.
//!
//! Thread: the main thread; blocks. The order matters: journals are recovered before anything can be acknowledged, rings
//! are made before the first shard starts so that a refusal is known for all, and shards start last.
//!
//! What can fail: the disk, the kernel, damage. Every failure names its cure and nothing keeps running.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lynk_api::ApiBridge;
use lynk_api::Devices;
use lynk_api::accounts::{AccountsState, AccountsThread, Avatars, NoAvatars, Notices};
use lynk_api::names::{NameOf, Names, NamesThread, RoomNames};
use lynk_auth::KeySet;
use lynk_compute::{Compute, ComputeThreads};
use lynk_connection::Settings;
use lynk_domain::{Limits, Millis, Nanos, Now, ShardId, shard_of_room};
use lynk_embedded::MessageLogOptions;
use lynk_engine::{Counters, Effects, Engine, EngineConfig, Input};
use lynk_http::{Policy, TrustedProxies};
use lynk_journal::{
    Cursors, DiskUse, DrainStep, Drainer, Keeper, KeeperOptions, KeeperThread, PublishOptions, Publisher,
    Reader, RealDisk, RealFile, RecoverError, RecoverOptions, Recovered, SegmentSupply, SharedReader, Writer,
    WriterLimits, recover,
};
use lynk_media::MediaBridge;
use lynk_model::event::Stream;
use lynk_model::local::LocalEphemeral;
use lynk_model::port::{
    ErasureStore, Files, LastFault, MediaStore, MessageStore, NoFiles, NotifyStore, RoomStore,
};
use lynk_presence::PresenceBridge;
use lynk_push::PushBridge;
use lynk_reactor::{
    ApiPort, Chat, JournalPort, Plan, PresencePort, ShardHandle, ShardSpec, StartError, StorePort,
    monotonic_now,
};
use lynk_store::{Store, StoreBridge, StoreOptions, StoreParts};
use tokio::runtime::Runtime;

use crate::accounts::{self, Beside, OfRooms, StoredRooms};
use crate::api::Mailboxes;
use crate::config::{Backend, Config, MessagesIn, Pin, RelationalIn};
use crate::copies::control::{self, Control};
use crate::data_dir::{DataDir, Keys};
use crate::events::{self, Publishing};
use crate::exit::Failure;
use crate::health::{Health, Parts};
use crate::media;
use crate::operator;
use crate::presence::{self, Mirror};
use crate::push;
use crate::stores::{self, Messages, SharedEphemeral};
use crate::{memory, os};

/// Exit code after a failed write or sync of the journal: what the disk holds is unknown until a start rewrites it.
pub(crate) const EXIT_JOURNAL: i32 = 70;

/// Sockets of a shard that may be in use for telling clients that it is full.
const REFUSED_SOCKETS_MAX: u32 = 256;
/// Pause of the drain between two rounds in front of an outside message log.
const OUTSIDE_DRAIN_PAUSE: Duration = Duration::from_millis(50);

/// The accepted keys, as they are now. Shards look at the number with each input and take the set when it moved.
pub(crate) struct KeySwap {
    version: AtomicU64,
    set: std::sync::Mutex<Arc<KeySet>>,
}

impl KeySwap {
    /// Starts with `set`.
    pub(crate) fn new(set: Arc<KeySet>) -> Arc<Self> {
        Arc::new(Self { version: AtomicU64::new(0), set: std::sync::Mutex::new(set) })
    }

    /// Replaces the set.
    pub(crate) fn replace(&self, set: Arc<KeySet>) {
        *self.set.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = set;
        self.version.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn current(&self) -> Arc<KeySet> {
        Arc::clone(&self.set.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// The engine as the reactor drives it, with keys that can be swapped.
struct ShardChat {
    engine: Engine,
    keys: Arc<KeySwap>,
    version: u64,
}

impl Chat for ShardChat {
    fn handle(&mut self, now: Now, input: Input<'_>, effects: &mut Effects) {
        let version = self.keys.version.load(Ordering::Acquire);
        if version != self.version {
            self.version = version;
            self.engine.replace_keys(self.keys.current());
        }
        self.engine.handle(now, input, effects);
    }

    fn next_deadline(&self) -> Option<Nanos> {
        self.engine.next_deadline()
    }

    fn counters(&self) -> &Counters {
        self.engine.counters()
    }
}

/// Everything that runs.
pub(crate) struct Running {
    pub(crate) shards: Vec<ShardHandle>,
    api: ApiBridge,
    pub(crate) accounts: AccountsState,
    accounts_thread: AccountsThread,
    filled: NamesThread,
    compute: (Compute, ComputeThreads),
    /// Ends the bridge of what waits for minutes.
    finish_shared: Option<Box<dyn FnOnce() + Send>>,
    presence: PresenceBridge,
    store: StoreBridge,
    control: Option<Control>,
    publishing: Option<Publishing>,
    push: Option<PushBridge>,
    media: Option<MediaBridge>,
    keeper: KeeperThread,
}

/// The store of accounts on its runtime, and once more for those who publish new ones.
type AccountStores<A> = ((A, Runtime), Option<(A, Runtime)>);

/// Where segments come from.
struct Segments {
    thread: KeeperThread,
    supplies: Vec<SegmentSupply<RealFile>>,
    disk_use: Arc<DiskUse>,
}

/// What a boot is made from.
pub(crate) struct Boot<'a> {
    pub(crate) config: &'a Config,
    pub(crate) dir: &'a DataDir,
    pub(crate) keys: Arc<KeySwap>,
    pub(crate) health: &'a Health,
    pub(crate) listeners: Vec<std::net::TcpListener>,
    pub(crate) files_max: Option<u64>,
    /// Flushes the log before the process ends.
    pub(crate) flush: Arc<dyn Fn() + Send + Sync>,
}

/// The driver that a configuration asks for.
fn backend(config: &Config) -> lynk_reactor::Backend {
    match config.shard_backend {
        Backend::Auto => lynk_reactor::Backend::Auto,
        Backend::IoUring => lynk_reactor::Backend::Uring,
        Backend::Epoll => lynk_reactor::Backend::Epoll,
    }
}

impl Boot<'_> {
    /// Recovers and starts everything. `loaded` are the keys that `keys` was made from.
    ///
    /// # Errors
    /// What stands in the way, and its cure.
    pub(crate) fn start(self, loaded: Keys) -> Result<Running, Failure> {
        stores::agree(self.config, self.dir)?;
        match self.config.outside.messages {
            MessagesIn::Embedded => {
                let messages = stores::embedded_messages(self.dir, self.message_log())?;
                self.with_messages(loaded, messages)
            }
            MessagesIn::Cassandra => {
                #[cfg(feature = "cassandra")]
                {
                    let life = stores::key_life_millis(self.config);
                    let messages = stores::cassandra::messages(self.config, self.dir, self.health, life)?;
                    self.with_messages(loaded, messages)
                }
                #[cfg(not(feature = "cassandra"))]
                unreachable!("the configuration is refused by a build without it")
            }
        }
    }

    fn with_messages<M>(self, loaded: Keys, mut messages: Messages<M>) -> Result<Running, Failure>
    where
        M: MessageStore + LastFault + Clone + Send + 'static,
    {
        let (notified, runtime) = match messages.notified.take() {
            Some(Store { store, runtime }) => (Some(store), runtime),
            None => (None, stores::runtime()?),
        };
        let life = stores::key_life_millis(self.config);
        match self.config.outside.relational {
            RelationalIn::Embedded => {
                let rooms = stores::embedded_rooms(self.dir, life)?
                    .with_moderation_life(self.config.limits.moderation_log_millis);
                let accounts = self.account_stores(|first, _| match first {
                    None => stores::embedded_accounts(self.dir),
                    Some(first) => stores::embedded_accounts_beside(first),
                })?;
                let beside = Arc::new(StoredRooms::open(self.dir, rooms.clone())?);
                let notify = push::embedded(self.dir, notified, runtime)?;
                let media = self.media_store(|_| media::embedded(self.dir))?;
                self.with_stores(loaded, messages, rooms, accounts, beside, (notify, media))
            }
            RelationalIn::Postgres => {
                #[cfg(feature = "postgres")]
                {
                    let (config, health) = (self.config, self.health);
                    let rooms = stores::postgres::rooms(config, health, &messages.read.runtime, life)?
                        .with_moderation_life(config.limits.moderation_log_millis);
                    let accounts = self
                        .account_stores(|_, runtime| stores::postgres::accounts(config, health, runtime))?;
                    let beside = Arc::new(stores::postgres::RoomsBeside::new(config)?);
                    let store = stores::postgres::notify(config, health, &runtime)?;
                    let members = store.clone();
                    let notify = push::Opened { store, members, messages: notified, runtime };
                    let media =
                        self.media_store(|runtime| stores::postgres::media(config, health, runtime))?;
                    self.with_stores(loaded, messages, rooms, accounts, beside, (notify, media))
                }
                #[cfg(not(feature = "postgres"))]
                unreachable!("the configuration is refused by a build without it")
            }
        }
    }

    /// A store for the accounts' thread, and one with connections of its own for the publishing one, if there is one. `open` gets the first one
    /// when there is one.
    fn account_stores<A>(
        &self,
        open: impl Fn(Option<&A>, &Runtime) -> Result<A, Failure>,
    ) -> Result<AccountStores<A>, Failure> {
        let runtime = stores::runtime()?;
        let first = (open(None, &runtime)?, runtime);
        if !events::wanted(self.config) {
            return Ok((first, None));
        }
        let runtime = stores::runtime()?;
        let again = (open(Some(&first.0), &runtime)?, runtime);
        Ok((first, Some(again)))
    }

    /// The store of media with a runtime of its own, where files are wanted.
    fn media_store<F>(
        &self,
        open: impl FnOnce(&Runtime) -> Result<F, Failure>,
    ) -> Result<Option<(F, Runtime)>, Failure> {
        if !self.config.media.enabled {
            return Ok(None);
        }
        let runtime = stores::runtime()?;
        Ok(Some((open(&runtime)?, runtime)))
    }

    fn with_stores<M, R, A, N, Q, F>(
        self,
        loaded: Keys,
        mut messages: Messages<M>,
        rooms: R,
        (accounts, new_accounts): AccountStores<A>,
        beside: Arc<dyn OfRooms>,
        (notify, media): (push::Opened<N, Q, M>, Option<(F, Runtime)>),
    ) -> Result<Running, Failure>
    where
        N: NotifyStore + LastFault + Send + 'static,
        F: MediaStore + LastFault + Send + 'static,
        Q: push::Members + Send + 'static,
        M: MessageStore + LastFault + Clone + Send + 'static,
        R: RoomStore + LastFault + Clone + Send + 'static,
        A: ErasureStore + LastFault + Send + 'static,
    {
        let shard_count = u16::try_from(self.listeners.len()).unwrap_or(u16::MAX);
        let root = self.dir.root().join("journal");
        std::fs::create_dir_all(&root).map_err(|error| crate::data_dir::refused(&root, &error))?;
        let recovered = self.recover(&mut messages.drained, shard_count)?;
        let cursors = events::cursors(self.config, &root, &recovered, shard_count)?;

        let plan = Plan::new(backend(self.config), shard_count, &lynk_ring::Options::default())
            .map_err(start_failed)?;
        let fallback = plan.fallback().map(ToString::to_string);
        if let Some(warning) = &fallback {
            tracing::warn!(event = "io_uring_refused", "{warning}");
        }
        let chosen = plan.chosen();

        let Segments { thread: keeper, supplies, disk_use } = self.keeper(&plan, &recovered, shard_count)?;
        let limits = self.writer_limits();
        let writers: Vec<_> = (0..shard_count).map(|_| Writer::new(limits)).collect();
        let committed = writers.iter().map(Writer::committed).collect();
        let log = messages.embedded.clone();
        let reader = SharedReader::new(Reader::new(RealDisk, &root, &recovered, committed));
        let drainer = Drainer::new(&root, &recovered, shard_count, Arc::clone(&disk_use));
        let (shared, mut bridges, finish) = match stores::ephemeral(self.config)? {
            None => (None, Vec::new(), None),
            Some(SharedEphemeral { store, bridge, finish }) => (Some(store), vec![bridge], Some(finish)),
        };
        // For what each process has at least by itself.
        let ephemeral = shared.clone().unwrap_or_else(|| Arc::new(LocalEphemeral::default()));
        let (names, filler) = Names::new(Arc::clone(&ephemeral), os::random()?);
        let noted = Arc::clone(&names);
        let media = media::start(self.config, self.dir, media)?;
        bridges.extend(media.as_ref().and_then(media::bridge));
        let (files, avatars): (Arc<dyn Files>, Arc<dyn Avatars>) = match &media {
            Some(media) => (Arc::new(media.files()), Arc::new(media.avatars())),
            None => (Arc::new(NoFiles), Arc::new(NoAvatars)),
        };
        let parts = StoreParts {
            messages: messages.read,
            drained: messages.drained,
            embedded: messages.embedded,
            rooms,
            rooms_outside: self.config.outside.relational != RelationalIn::Embedded,
            named: Box::new(move |name| noted.note(NameOf::Room, name)),
            files,
            reader: reader.clone(),
            drainer: events::held(drainer, cursors.as_ref()),
            disk: RealDisk,
            live: (0..shard_count).map(|shard| recovered.live_source(ShardId(shard))).collect(),
        };
        let wakes = (0..shard_count)
            .map(|shard| {
                let waker = plan.waker(ShardId(shard));
                Arc::new(move || waker.ring()) as lynk_bridge::Wake
            })
            .collect();
        let options = StoreOptions {
            requests_per_shard_max: self.config.limits.store_requests_in_flight_max as usize,
            drain_pause: match self.config.outside.messages {
                MessagesIn::Embedded => StoreOptions::default().drain_pause,
                // A batch costs no sync of this process, and rooms of level `replicated` wait for it.
                _ => OUTSIDE_DRAIN_PAUSE,
            },
            ..StoreOptions::default()
        };
        let (mut store, ports) = StoreBridge::start(parts, wakes, &options)?;
        let tap = store.take_tap();
        let notified = self.notified(&root, &recovered, shard_count, cursors.as_ref(), &reader)?;
        let publishing = match cursors.zip(new_accounts) {
            None => None,
            Some((cursors, accounts)) => {
                Some(events::start(self.config, &root, &recovered, shard_count, cursors, reader, accounts)?)
            }
        };
        let (root, installation) = (self.dir.root().to_owned(), self.dir.installation()?);

        let (mailboxes, apis) = Mailboxes::open(&plan, shard_count)?;
        let journals =
            writers.into_iter().zip(supplies).map(|(writer, supply)| JournalPort { writer, supply });
        let flush = Arc::clone(&self.flush);
        let (config, health, files_max) = (self.config, self.health, self.files_max);
        let counts = mailboxes.counts();
        let Mirror { bridge: presence, ports: mirrors } =
            presence::start(config, shard_count, Arc::clone(&ephemeral))?;
        let to = mailboxes.shards.clone();
        let push = push::start(config, self.dir.root(), notify, ephemeral, notified)?;
        let desk = push.as_ref().map(|push| push.desk().clone());
        let notices = desk.clone().map(|desk| Arc::new(push::DeskNotices(desk)) as Arc<dyn Notices>);
        let room_names: Arc<dyn RoomNames> = Arc::clone(&beside) as _;
        let people = Arc::clone(&beside);
        let beside = Beside { rooms: beside, names: Arc::clone(&names), avatars };
        let accounts::Started { state: accounts, thread: accounts_thread, compute, sms } =
            accounts::start(config, self.dir, loaded, (to, notices), accounts, beside, shared)?;
        let filled = filler.start(accounts.clone(), room_names)?;
        let devices = desk.clone().zip(push::provider(&config.push)).map(|(desk, provider)| {
            let devices: Arc<dyn Devices> = Arc::new(push::DeskDevices { desk, provider });
            devices
        });
        let media_api = match &media {
            Some(media) => media.state(accounts.authority(), self.dir.media_links()?, accounts.blocks()),
            None => lynk_media::MediaApi::none(accounts.authority()),
        };
        let api = mailboxes.start(config, &self.keys, &accounts, (devices, media_api), files_max)?;
        let ports = ports.into_iter().zip(apis).zip(mirrors);
        let shards = self.shards(plan, &recovered, ports, journals, &flush)?;
        health.assemble(Parts {
            shards: shards.iter().map(ShardHandle::board).collect(),
            pulses: shards.iter().map(ShardHandle::pulse).collect(),
            store: store.health().clone(),
            requests: store.request_board().clone(),
            drain: store.drain_board().clone(),
            events: publishing.as_ref().map(Publishing::view),
            api: counts,
            accounts: Arc::clone(accounts.counts()),
            presence: presence.counts(),
            names,
            compute: Arc::clone(compute.0.counts()),
            bridges,
            sms,
            push: push.as_ref().map(|push| Arc::clone(push.counts())),
            media: media.as_ref().map(|media| (Arc::clone(media.counts()), Arc::clone(media.image_counts()))),
            journal: disk_use,
            driver: chosen,
            fallback,
            files_max,
        });
        let room = room_for_connections(config, shard_count, files_max);
        memory::Contract::new(config, shard_count, room.sockets).tell(chosen);
        let control = tap
            .map(|tap| {
                let (config, keep) = (config.clone(), media.as_ref().map(|media| media.keep().clone()));
                let parts = control::Parts { config, root, installation, log, tap, desk, keep };
                Control::start(parts, operator::asker(accounts.clone(), people))
            })
            .transpose()?;
        Ok(Running {
            shards,
            api,
            accounts,
            accounts_thread,
            filled,
            compute,
            finish_shared: finish,
            presence,
            store,
            control,
            publishing,
            push,
            media,
            keeper,
        })
    }

    /// Messages for notifications, out of this process's journals.
    fn notified(
        &self,
        root: &std::path::Path,
        recovered: &Recovered,
        shard_count: u16,
        cursors: Option<&Arc<Cursors>>,
        reader: &SharedReader<RealDisk>,
    ) -> Result<push::Source, Failure> {
        let Some(cursors) = cursors.filter(|_| push::reads(self.config)) else {
            return Ok(push::Source::None);
        };
        let options = PublishOptions { texts: false, seed: u64::from_le_bytes(os::random()?) };
        let streams = [Stream::Notified];
        let publisher = Publisher::new(root, recovered, shard_count, Arc::clone(cursors), &streams, options);
        Ok(push::Source::Journals(Box::new(push::JournalFeed::new(publisher, reader.clone()))))
    }

    fn message_log(&self) -> MessageLogOptions {
        MessageLogOptions {
            cache_bytes: self.config.store_cache_bytes,
            memtable_bytes: self.config.store_memtable_bytes,
            key_life_millis: stores::key_life_millis(self.config),
            ..MessageLogOptions::default()
        }
    }

    /// A batch must fit into a segment, also into a small one.
    fn writer_limits(&self) -> WriterLimits {
        let default = WriterLimits::default();
        let max = default
            .uncommitted_bytes_max
            .min(usize::try_from(self.config.journal_segment_bytes / 2).unwrap_or(usize::MAX));
        WriterLimits {
            uncommitted_bytes_high: default.uncommitted_bytes_high.min(max / 2),
            uncommitted_bytes_max: max,
            ..default
        }
    }

    /// Reads what earlier processes left. With more than can be indexed, the store gets all of it first.
    fn recover<M: MessageStore + LastFault>(
        &self,
        messages: &mut Store<M>,
        shard_count: u16,
    ) -> Result<Recovered, Failure> {
        let root = self.dir.root().join("journal");
        loop {
            let options = RecoverOptions::new(root.clone(), shard_count, u64::from_le_bytes(os::random()?));
            let recovered = recover(
                &RealDisk,
                &options,
                &mut |name| messages.runtime.block_on(messages.store.cursor(name)),
                &mut |progress| {
                    self.health.progress(format!(
                        "recovering: {} of {} journals, {} records",
                        progress.journals_done, progress.journals, progress.records
                    ));
                },
            )
            .map_err(recover_failed)?;
            tracing::info!(
                event = "recovered",
                journals = recovered.sources.len(),
                undrained_records = recovered.undrained_records,
                cut_tails = recovered.cut_tails,
                cut_bytes = recovered.cut_bytes,
                rewritten_records = recovered.rewritten_records,
                generation = recovered.generation,
                "journals recovered"
            );
            if !recovered.overflow {
                return Ok(recovered);
            }
            self.drain_first(messages, &recovered)?;
        }
    }

    fn drain_first<M: MessageStore + LastFault>(
        &self,
        messages: &mut Store<M>,
        recovered: &Recovered,
    ) -> Result<(), Failure> {
        let root = self.dir.root().join("journal");
        let mut reader = Reader::new(RealDisk, &root, recovered, Vec::new());
        let used = DiskUse::new(recovered.used_bytes, u64::MAX);
        // What is not published yet stays.
        let cursors = events::cursors(self.config, &root, recovered, 0)?;
        let mut drainer = events::held(Drainer::new(&root, recovered, 0, used), cursors.as_ref());
        let mut moved = 0;
        loop {
            let Store { store, runtime } = messages;
            match runtime.block_on(drainer.step(store, &RealDisk, &mut reader, monotonic_now())) {
                DrainStep::Drained { records, .. } => {
                    moved += records as u64;
                    self.health
                        .progress(format!("draining: {moved} of {} records", recovered.undrained_records));
                }
                DrainStep::Gone { .. } => {}
                DrainStep::Idle => return Ok(()),
                DrainStep::Waiting(_) => {
                    runtime.block_on(async { tokio::time::sleep(Duration::from_millis(50)).await })
                }
                DrainStep::Stuck { after, .. } => {
                    let why = reader.damage().map(ToString::to_string).unwrap_or_default();
                    return Err(Failure::dependency(format!(
                        "a journal cannot be drained after record {}: {why}",
                        after.0
                    ))
                    .cure("run `lynk verify` and restore the file it names"));
                }
            }
        }
    }

    fn keeper(&self, plan: &Plan, recovered: &Recovered, shard_count: u16) -> Result<Segments, Failure> {
        let root = self.dir.root().join("journal");
        let seed = u64::from_le_bytes(os::random()?);
        let options = KeeperOptions {
            segment_bytes: self.config.journal_segment_bytes,
            disk_bytes_max: self.config.journal_disk_bytes_max,
            ..KeeperOptions::new(&root, recovered.generation, shard_count, seed)
        };
        let keeper = Keeper::create(RealDisk, options, recovered.used_bytes).map_err(|error| {
            Failure::dependency(error.to_string())
                .cure("free some space, or see why the disk fails in the kernel's log")
        })?;
        let disk_use = keeper.disk_use();
        let wakes = (0..shard_count)
            .map(|shard| {
                let waker = plan.waker(ShardId(shard));
                Box::new(move || waker.wake()) as Box<dyn Fn() + Send>
            })
            .collect();
        let flush = Arc::clone(&self.flush);
        let (thread, supplies) = KeeperThread::spawn(keeper, wakes, move |error| {
            tracing::error!(event = "journal_failed", %error, "the journal's disk failed; the process ends");
            flush();
            std::process::exit(EXIT_JOURNAL);
        })?;
        Ok(Segments { thread, supplies, disk_use })
    }

    fn shards(
        self,
        plan: Plan,
        recovered: &Recovered,
        ports: impl Iterator<Item = ((lynk_store::StorePort, ApiPort), PresencePort)>,
        journals: impl Iterator<Item = JournalPort>,
        flush: &Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Vec<ShardHandle>, Failure> {
        let shard_count = u16::try_from(self.listeners.len()).unwrap_or(u16::MAX);
        let mut undrained = undrained_by_shard(recovered, shard_count);
        let policy =
            Policy { path: self.config.listen_path.clone(), origins: self.config.listen_origins.clone() };
        let processors = pinning(self.config.shard_pin);
        let seed = u64::from_le_bytes(os::random()?);
        let links = lynk_auth::LinkKey::new(self.dir.secret()?);
        let now = Now { mono: monotonic_now(), wall: os::wall_millis() };
        let mut handles = Vec::new();
        let seats = plan.seats().into_iter().zip(self.listeners).zip(ports).zip(journals);
        for (((seat, listener), ((port, api), mirror)), journal) in seats {
            let shard = seat.shard();
            let mut settings = Settings {
                trusted_proxies: TrustedProxies::new(self.config.listen_trusted_proxies.clone()),
                ..Settings::new(&self.config.limits, policy.clone())
            };
            settings.head_nanos_max = self.config.listen_head_millis.saturating_mul(Nanos::MILLISECOND);
            let mut config = lynk_reactor::Config::new(settings, &self.config.limits);
            config.half_open_max = self.config.listen_half_open_max;
            let room = room_for_connections(self.config, shard_count, self.files_max);
            config.connections_max = room.sockets;
            config.processor = processors.get(shard.index() % processors.len().max(1)).copied();
            let engine = EngineConfig {
                shard,
                shard_count,
                limits: Limits { connections_per_shard_max: room.connections, ..self.config.limits.clone() },
                default_level: self.config.room_level,
                replicates: self.config.outside.messages != MessagesIn::Embedded,
                presence_round_nanos: presence::round_nanos(self.config),
                source: recovered.live_source(shard),
                seed: seed ^ u64::from(shard.0).wrapping_mul(0x9e37_79b9_7f4a_7c15),
                links: links.clone(),
            };
            let boot = std::mem::take(&mut undrained[shard.index()]);
            let engine = Engine::new(engine, self.keys.current(), boot, now);
            let flush = Arc::clone(flush);
            let spec = ShardSpec {
                chat: ShardChat { engine, keys: Arc::clone(&self.keys), version: 0 },
                config,
                listeners: vec![listener],
                store: store_port(port),
                api: Some(api),
                presence: Some(mirror),
                journal,
                on_fatal: Box::new(move |shard, fatal| {
                    tracing::error!(event = "journal_failed", shard = shard.0, error = %fatal, "the journal failed; the process ends");
                    flush();
                    std::process::exit(EXIT_JOURNAL);
                }),
            };
            handles.push(seat.spawn(spec).map_err(start_failed)?);
        }
        Ok(handles)
    }
}

fn store_port(port: lynk_store::StorePort) -> StorePort {
    let lynk_store::StorePort { requests, replies, drained, bell, wake } = port;
    StorePort { requests, replies, drained, bell, wake: Box::new(move || wake()) }
}

/// Recovered records by the shard that owns their room now.
fn undrained_by_shard(recovered: &Recovered, shard_count: u16) -> Vec<Vec<lynk_engine::UndrainedRecord>> {
    let mut by_shard = vec![Vec::new(); usize::from(shard_count)];
    for (room, records) in &recovered.rooms {
        let owner = &mut by_shard[shard_of_room(*room, shard_count).index()];
        owner.extend(records.iter().map(|record| lynk_engine::UndrainedRecord {
            at: record.at,
            room: *room,
            kind: record.kind,
            seq: record.seq,
            key: record.key,
            sender: record.sender,
            wall: record.wall,
        }));
    }
    by_shard
}

/// The processors to pin shards to; empty for none. The first one is left to the other threads when there are several.
fn pinning(pin: Pin) -> Vec<usize> {
    let mut processors = os::processors();
    let wanted = match pin {
        Pin::On => true,
        Pin::Off => false,
        Pin::Auto => os::usable_cores() >= 4,
    };
    if !wanted {
        return Vec::new();
    }
    if processors.len() > 1 {
        processors.rotate_left(1);
    }
    processors
}

/// What one shard has room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Room {
    /// Connections that are served; the next one is refused with 503.
    connections: u32,
    /// Sockets, with those that are being refused. Beyond that connections wait in the listener's queue.
    sockets: u32,
}

/// What is configured, and what open files allow. A refusal takes a socket for a moment, so some are kept for that.
fn room_for_connections(config: &Config, shard_count: u16, files_max: Option<u64>) -> Room {
    let api = u64::from(crate::api::connections_max(config, files_max));
    let by_files = files_max
        .map_or(u64::MAX, |max| max.saturating_sub(os::FILES_RESERVED + api) / u64::from(shard_count.max(1)));
    let by_files = u32::try_from(by_files).unwrap_or(u32::MAX);
    let refused = REFUSED_SOCKETS_MAX.min(by_files / 8);
    let connections = config.limits.connections_per_shard_max.min(by_files - refused).max(1);
    Room { connections, sockets: connections.saturating_add(refused.max(1)) }
}

fn start_failed(error: StartError) -> Failure {
    match error {
        StartError::Ring(error) => {
            let cure = format!("{}; or let it use epoll: --backend epoll", error.cure());
            Failure::dependency(error.to_string()).cure(cure)
        }
        other => Failure::dependency(other.to_string()).cure("raise the limits of open files and threads"),
    }
}

fn recover_failed(error: RecoverError) -> Failure {
    let text = error.to_string();
    match error {
        RecoverError::Damage(_) => Failure::dependency(text)
            .cure("nothing was changed. `lynk verify` tells which file is damaged and where; restore it from a backup"),
        _ => Failure::dependency(text).cure("see why the disk fails in the kernel's log, or free some space"),
    }
}

impl Running {
    /// Asks every shard to close its connections until `deadline`.
    pub(crate) fn drain(&self, deadline: Nanos) {
        self.api.drain();
        for shard in &self.shards {
            shard.drain(deadline);
        }
    }

    /// Whether every shard and every request is done.
    pub(crate) fn is_drained(&self) -> bool {
        self.api.is_drained() && self.shards.iter().all(ShardHandle::is_drained)
    }

    /// Ends all threads, the store and what publishes last, so that everything committed is moved.
    ///
    /// # Errors
    /// Those of [`Control::join`].
    pub(crate) fn stop(self) -> Result<(), Failure> {
        self.api.finish();
        for shard in &self.shards {
            shard.stop();
        }
        for shard in self.shards {
            if let Err(panic) = shard.join() {
                std::panic::resume_unwind(panic);
            }
        }
        self.presence.finish();
        // The bridge and the operator were the others that asked it.
        self.filled.finish();
        self.control.iter().for_each(Control::close_accounts);
        drop(self.accounts);
        self.accounts_thread.join();
        let (compute, compute_threads) = self.compute;
        drop(compute);
        compute_threads.join();
        if let Some(finish) = self.finish_shared {
            finish();
        }
        self.store.finish();
        if let Some(publishing) = self.publishing {
            publishing.finish();
        }
        if let Some(push) = self.push {
            push.finish();
        }
        if let Some(media) = self.media {
            media.finish();
        }
        let copied = self.control.map_or(Ok(()), Control::join);
        self.keeper.join();
        copied
    }
}

/// Wall time of a deadline `millis` from now, for logs.
pub(crate) fn from_now(millis: u64) -> (Nanos, Millis) {
    let wall = Millis(os::wall_millis().0.saturating_add(millis));
    (monotonic_now().after(millis.saturating_mul(Nanos::MILLISECOND)), wall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_left_to_tell_clients_that_a_shard_is_full() {
        let mut config = Config::default();
        config.limits.connections_per_shard_max = 1_000;
        config.api_connections_max = 400;
        let room = |config: &Config, files| {
            let room = room_for_connections(config, 2, files);
            (room.connections, room.sockets)
        };
        assert_eq!(room(&config, None), (1_000, 1_256));
        assert_eq!(room(&config, Some(os::FILES_RESERVED + 100_000)), (1_000, 1_256));
        assert_eq!(room(&config, Some(os::FILES_RESERVED + 2_000)), (700, 800), "open files are the limit");
        assert_eq!(room(&config, Some(0)), (1, 2));
    }
}
