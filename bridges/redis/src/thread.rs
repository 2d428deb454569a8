//! The bridge's thread: one connection, the calls that share it, and what happens while it is gone.
//!
//! Invariants: a call is answered once, whatever happens. It is sent only while Redis works; when a call has no answer in
//! its time, the connection is closed, because answers come in order and those behind it would be late as well. Nobody
//! waits for a connection: while there is none, calls fail before they reach the queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lynk_bridge::{BridgeThread, Turned, spawn};
use lynk_model::StoreError;
use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::{Cmd, Pipeline, Value};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::connect::{Connect, Prepared};
use crate::counts::{Outcome, RedisCounts};
use crate::ephemeral::RedisEphemeral;
use crate::script::{Name, Scripts};
use crate::{Fault, FaultKind, OpenError};

/// Calls that wait for the thread, or are under way: as many of each.
pub const CALLS_MAX: usize = 512;
/// Time without a call after which the connection is tried.
const IDLE_TIME: Duration = Duration::from_secs(5);
/// The first pause before connecting again, and the longest one.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What is asked of Redis.
pub(crate) enum Ask {
    Script { name: Name, keys: Vec<String>, args: Vec<Vec<u8>> },
    Command(Cmd),
    Transaction(Pipeline),
}

/// What Redis said, or why it said nothing.
pub(crate) type Answer = Result<Value, Fault>;

pub(crate) struct Job {
    pub(crate) ask: Ask,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// What callers and the thread share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Calls may be sent.
    up: AtomicBool,
    pub(crate) counts: RedisCounts,
}

/// Which calls give way first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lane {
    /// Somebody waits for it.
    Sign,
    /// Half of the room is kept from it.
    Presence,
}

/// Where calls go.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    jobs: mpsc::Sender<Job>,
    pub(crate) shared: Arc<Shared>,
}

impl Desk {
    /// What Redis says. Waits for no longer than the time of a call, or twice that when the queue is full.
    pub(crate) async fn ask(&self, lane: Lane, ask: Ask) -> Answer {
        let counts = &self.shared.counts;
        if !self.shared.up.load(Ordering::Acquire) {
            counts.called(Outcome::Away);
            return Err(Fault::new(FaultKind::Unavailable, "Redis is away", false));
        }
        let full = || Fault::new(FaultKind::Unavailable, "too many calls", false);
        let (answer, answered) = oneshot::channel();
        if lane == Lane::Presence && self.jobs.capacity() < CALLS_MAX / 2
            || self.jobs.try_send(Job { ask, answer }).is_err()
        {
            counts.called(Outcome::Shed);
            return Err(full());
        }
        answered.await.unwrap_or_else(|_| Err(Fault::new(FaultKind::Unknown, "the bridge has ended", true)))
    }
}

/// The running bridge.
#[derive(Debug)]
pub struct RedisBridge {
    thread: BridgeThread,
    stop: Arc<Notify>,
    desk: Desk,
    handle: RedisEphemeral,
}

impl RedisBridge {
    /// Starts the thread, which connects as soon as it can: a server that is away is no reason not to start. Blocks to read
    /// the files that `connect` names.
    ///
    /// # Errors
    /// Files or settings that cannot be used, or no thread.
    pub fn start(connect: &Connect) -> Result<Self, OpenError> {
        let prepared = connect.prepare()?;
        let mut process = [0; 16];
        getrandom::fill(&mut process).map_err(|error| OpenError::Thread(std::io::Error::other(error)))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(1)
            .thread_name("redis-names")
            .build()
            .map_err(OpenError::Thread)?;
        let (jobs, queue) = mpsc::channel(CALLS_MAX);
        let desk = Desk { jobs, shared: Arc::default() };
        let handle = RedisEphemeral::new(desk.clone(), prepared.keys.clone(), process);
        let stop = Arc::new(Notify::new());
        let mut work = Work {
            prepared,
            queue,
            shared: Arc::clone(&desk.shared),
            stop: Arc::clone(&stop),
            scripts: Arc::new(Scripts::new()),
        };
        let thread = spawn("redis", move |_| runtime.block_on(work.run())).map_err(OpenError::Thread)?;
        Ok(Self { thread, stop, desk, handle })
    }

    /// Where calls are made. Clones share the connection.
    #[must_use]
    pub fn handle(&self) -> RedisEphemeral {
        self.handle.clone()
    }

    /// What the bridge counts, and whether Redis works.
    #[must_use]
    pub fn counts(&self) -> RedisNumbers {
        RedisNumbers(Arc::clone(&self.desk.shared))
    }

    /// Ends the thread. Calls that are under way are cut off; later ones fail.
    pub fn finish(self) {
        self.stop.notify_one();
        self.thread.join();
    }
}

/// The counts of a bridge, for whoever shows them.
#[derive(Clone, Debug)]
pub struct RedisNumbers(Arc<Shared>);

impl std::ops::Deref for RedisNumbers {
    type Target = RedisCounts;

    fn deref(&self) -> &RedisCounts {
        &self.0.counts
    }
}

/// Why work on a connection ended.
enum End {
    Stop,
    Lost(Fault),
}

struct Work {
    prepared: Prepared,
    queue: mpsc::Receiver<Job>,
    shared: Arc<Shared>,
    stop: Arc<Notify>,
    scripts: Arc<Scripts>,
}

impl Work {
    async fn run(&mut self) {
        let mut pause = PAUSE_FIRST;
        loop {
            let opened = tokio::select! {
                () = self.stop.notified() => return,
                opened = self.prepared.open(&self.scripts) => opened,
            };
            self.shared.counts.connected(opened.is_ok());
            let fault = match opened {
                Ok(connection) => {
                    self.works();
                    pause = PAUSE_FIRST;
                    self.shared.up.store(true, Ordering::Release);
                    let end = self.work(&connection).await;
                    self.shared.up.store(false, Ordering::Release);
                    self.turn_away();
                    match end {
                        End::Stop => return,
                        End::Lost(fault) => fault,
                    }
                }
                Err(fault) => fault,
            };
            failed(&self.shared, &fault);
            tokio::select! {
                () = self.stop.notified() => return,
                () = sleep(jittered(pause)) => {}
            }
            // Whoever saw Redis up a moment ago.
            self.turn_away();
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Takes calls until the connection is lost.
    async fn work(&mut self, connection: &MultiplexedConnection) -> End {
        let room = Arc::new(Semaphore::new(CALLS_MAX));
        let (lose, mut lost) = mpsc::channel(1);
        let call = |job: Option<Job>, permit| Call {
            connection: connection.clone(),
            scripts: Arc::clone(&self.scripts),
            shared: Arc::clone(&self.shared),
            time: self.prepared.timeouts.call,
            lose: lose.clone(),
            job,
            _permit: permit,
        };
        let queue = &mut self.queue;
        loop {
            let next = async {
                let permit = Arc::clone(&room).acquire_owned().await.ok();
                (queue.recv().await, permit)
            };
            tokio::select! {
                biased;
                () = self.stop.notified() => return End::Stop,
                Some(fault) = lost.recv() => return End::Lost(fault),
                (job, permit) = next => match job {
                    Some(job) => drop(tokio::spawn(call(Some(job), permit).run())),
                    // Every handle is gone, and so is the bridge.
                    None => return End::Stop,
                },
                () = sleep(IDLE_TIME) => drop(tokio::spawn(call(None, None).run())),
            }
        }
    }

    fn works(&self) {
        if let Turned::Good(after) = self.shared.counts.health.succeed() {
            tracing::info!(event = "redis_works", ?after, "Redis works again");
        }
    }

    /// Answers what was not sent.
    fn turn_away(&mut self) {
        while let Ok(job) = self.queue.try_recv() {
            self.shared.counts.called(Outcome::Away);
            let _gone = job.answer.send(Err(Fault::new(FaultKind::Unavailable, "Redis is away", false)));
        }
    }
}

fn failed(shared: &Shared, fault: &Fault) {
    if shared.counts.health.fail(fault.kind.name(), &fault.detail) == Turned::Bad {
        tracing::warn!(event = "redis_failed", %fault, "Redis does not work; the server goes on without it");
    }
}

/// Half of `pause`, and a random part of the other half: processes that lost a server together come back one by one.
fn jittered(pause: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    pause / 2 + (pause / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// One call under way, or a look whether there still is somebody.
struct Call {
    connection: MultiplexedConnection,
    scripts: Arc<Scripts>,
    shared: Arc<Shared>,
    time: Duration,
    lose: mpsc::Sender<Fault>,
    job: Option<Job>,
    _permit: Option<tokio::sync::OwnedSemaphorePermit>,
}

impl Call {
    async fn run(mut self) {
        let (ask, answer) = match self.job.take() {
            Some(Job { ask, answer }) => (ask, Some(answer)),
            None => (Ask::Command(redis::cmd("PING")), None),
        };
        let counts = &self.shared.counts;
        let started = Instant::now();
        counts.taken();
        let answered = timeout(self.time, send(&mut self.connection, &self.scripts, &ask)).await;
        counts.answered();
        let answered = match answered {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(Fault::of_call(&error)),
            Err(_) => Err(Fault::new(FaultKind::Unknown, "a call: no answer in time", true)),
        };
        match &answered {
            Ok(_) => {
                counts.took(started.elapsed());
                counts.called(Outcome::Done);
                // A look says nothing of what calls are refused.
                if answer.is_some() && counts.health.succeed() != Turned::Same {
                    tracing::info!(event = "redis_works", "Redis takes calls again");
                }
            }
            Err(fault) => {
                let unknown = fault.kind == FaultKind::Unknown;
                counts.called(if unknown { Outcome::Unknown } else { Outcome::Refused });
                if fault.ends_connection {
                    // Before the answer: whoever gets that finds Redis away.
                    self.shared.up.store(false, Ordering::Release);
                    // One reason is enough.
                    let _full = self.lose.try_send(fault.clone());
                } else if !fault.unknown_command {
                    failed(&self.shared, fault);
                }
            }
        }
        if let Some(answer) = answer {
            // Nobody may be waiting any more.
            let _gone = answer.send(answered);
        }
    }
}

async fn send(
    connection: &mut MultiplexedConnection,
    scripts: &Scripts,
    ask: &Ask,
) -> redis::RedisResult<Value> {
    match ask {
        Ask::Script { name, keys, args } => {
            let mut invocation = scripts.get(*name).prepare_invoke();
            for key in keys {
                invocation.key(key);
            }
            for arg in args {
                invocation.arg(arg.as_slice());
            }
            invocation.invoke_async(connection).await
        }
        Ask::Command(command) => connection.req_packed_command(command).await?.extract_error(),
        Ask::Transaction(pipeline) => pipeline.query_async(connection).await,
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        fault.store_error()
    }
}
