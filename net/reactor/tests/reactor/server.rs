//! Shards on real threads with a real journal in a temporary directory.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use lynk_connection::Settings;
use lynk_domain::{Limits, Nanos, ShardId};
use lynk_journal::{Keeper, KeeperOptions, KeeperThread, RealDisk, Writer, WriterLimits};
use lynk_mailbox::{channel, sleeper};
use lynk_reactor::{
    Backend, Config, JournalPort, Plan, ReactorCounters, ShardHandle, ShardSnapshot, ShardSpec,
    SocketOptions, StorePort, bind, local_address,
};
use lynk_ring::Options;

use crate::chat::TinyChat;

pub(crate) struct Setup {
    /// One per shard, or none.
    pub(crate) apis: Vec<lynk_reactor::ApiPort>,
    pub(crate) backend: Backend,
    pub(crate) shards: u16,
    pub(crate) config: Config,
    pub(crate) socket: SocketOptions,
}

impl Setup {
    pub(crate) fn new(backend: Backend) -> Self {
        let limits = Limits::default();
        let mut config = Config::new(Settings::new(&limits, lynk_http::Policy::default()), &limits);
        config.publish_nanos = 5 * Nanos::MILLISECOND;
        config.stop_nanos = 200 * Nanos::MILLISECOND;
        Self { apis: Vec::new(), backend, shards: 1, config, socket: SocketOptions::default() }
    }

    pub(crate) fn with_config(mut self, change: impl FnOnce(&mut Config, &mut SocketOptions)) -> Self {
        change(&mut self.config, &mut self.socket);
        self
    }
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) handles: Vec<ShardHandle>,
    keeper: KeeperThread,
    /// Removed when the server stops.
    _directory: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start(setup: Setup) -> Self {
        let plan = Plan::new(setup.backend, setup.shards, &Options { entries: 256, ..Options::default() })
            .expect("the driver can be had");
        let directory = tempfile::tempdir().expect("a directory");
        let mut options = KeeperOptions::new(directory.path(), 1, setup.shards, 42);
        options.segment_bytes = 4 << 20;
        let keeper = Keeper::create(RealDisk, options, 0).expect("a new journal");
        let wakes = (0..setup.shards)
            .map(|shard| {
                let waker = plan.waker(ShardId(shard));
                Box::new(move || waker.wake()) as Box<dyn Fn() + Send>
            })
            .collect();
        let (keeper, supplies) =
            KeeperThread::spawn(keeper, wakes, |error| panic!("{error}")).expect("a thread");
        let listeners =
            bind("127.0.0.1:0".parse().expect("address"), setup.shards, &setup.socket).expect("loopback");
        let address = local_address(&listeners).expect("bound");
        let mut handles = Vec::new();
        let mut apis = setup.apis.into_iter();
        for ((seat, listener), supply) in plan.seats().into_iter().zip(listeners).zip(supplies) {
            let limits = WriterLimits {
                uncommitted_bytes_high: 1 << 20,
                uncommitted_bytes_max: 2 << 20,
                gather_nanos: 1_000_000,
            };
            let spec = ShardSpec {
                chat: TinyChat::new(seat.shard(), setup.shards),
                config: setup.config.clone(),
                listeners: vec![listener],
                store: no_store(),
                api: apis.next(),
                presence: None,
                journal: JournalPort { writer: Writer::new(limits), supply },
                on_fatal: Box::new(|shard, fatal| panic!("shard {}: {fatal}", shard.0)),
            };
            handles.push(seat.spawn(spec).expect("it starts"));
        }
        Self { address, handles, keeper, _directory: directory }
    }

    pub(crate) fn dial(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).expect("it listens");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("settable");
        socket
    }

    pub(crate) fn wait_until(&self, what: &str, mut is: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !is(self) {
            assert!(start.elapsed() < Duration::from_secs(30), "not {what} in time");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The first shard's numbers as soon as they satisfy `is`.
    pub(crate) fn settled_snapshot(&self, mut is: impl FnMut(&ShardSnapshot) -> bool) -> ShardSnapshot {
        let start = Instant::now();
        loop {
            let snapshot = self.handles[0].snapshot();
            if is(&snapshot) {
                return snapshot;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "not settled: {:?}", snapshot.reactor);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Some numbers of all shards, once they have stopped changing.
    pub(crate) fn snapshot_sum(&self) -> ReactorCounters {
        std::thread::sleep(Duration::from_millis(50));
        let mut sum = ReactorCounters::default();
        for handle in &self.handles {
            let one = handle.snapshot().reactor;
            sum.mail_posted += one.mail_posted;
            sum.mail_refused += one.mail_refused;
            sum.wakes += one.wakes;
            sum.wakes_failed += one.wakes_failed;
        }
        sum
    }

    pub(crate) fn stop(self) {
        for handle in &self.handles {
            handle.stop();
        }
        for handle in self.handles {
            handle.join().expect("the shard does not panic");
        }
        self.keeper.join();
    }
}

/// A store that is never asked.
fn no_store() -> StorePort {
    let (requests, _) = channel(1);
    let (_, replies) = channel(1);
    let (_, drained) = channel(1);
    let (_, bell) = sleeper();
    StorePort { requests, replies, drained, bell, wake: Box::new(|| ()) }
}

/// Whether the kernel lets this process use io_uring; says so when it does not.
pub(crate) fn uring_works() -> bool {
    match lynk_ring::probe(&Options::default()) {
        Ok(()) => true,
        Err(error) => {
            eprintln!("SKIPPED: {error} ({})", error.cure());
            false
        }
    }
}
