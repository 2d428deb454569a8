//! Starting shards: choose a driver, make what shards need of each other, start the threads.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc;

use lynk_domain::ShardId;
use lynk_engine::Mail;
use lynk_journal::{Fatal, RealFile, SegmentSupply, Writer};
use lynk_mailbox::{Consumer, Producer, Sleeper, channel, sleeper};
use lynk_ring::{DisabledRing, Options, Port, SetupError};
use lynk_telemetry::Board;

use crate::api::ApiPort;
use crate::chat::Chat;
use crate::config::{Backend, Config};
use crate::counters::ShardSnapshot;
use crate::driver::{EpollDriver, UringDriver};
use crate::handle::{Control, ShardHandle};
use crate::peers::{MAILBOX_ITEMS, Peer};
use crate::presence::PresencePort;
use crate::shard::{Parts, Shard};
use crate::store::StorePort;
use crate::wake::Waker;

/// The driver that all shards use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chosen {
    /// io_uring.
    Uring,
    /// epoll and a disk thread per shard.
    Epoll,
}

impl Chosen {
    /// Its name, for logs and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Uring => "io_uring",
            Self::Epoll => "epoll",
        }
    }
}

/// io_uring was wanted and cannot be had. Its text is the one warning to log: what happens, why, and the cure.
#[derive(Debug)]
pub struct Fallback {
    error: SetupError,
}

impl Fallback {
    /// What stands in the way.
    #[must_use]
    pub fn error(&self) -> &SetupError {
        &self.error
    }
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (error, cure) = (&self.error, self.error.cure());
        write!(
            f,
            "using epoll, which costs about a fifth more processor time per delivery ({error}); to use io_uring: {cure}"
        )
    }
}

/// Why shards could not be started.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// io_uring was demanded, or failed in an unknown way.
    Ring(SetupError),
    /// The operating system refused something else, named here.
    System(&'static str, io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ring(error) => write!(f, "{error}; {}", error.cure()),
            Self::System(what, error) => write!(f, "cannot make {what}: {error}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Ring(error) => Some(error),
            Self::System(_, error) => Some(error),
        }
    }
}

enum Backing {
    Uring { ring: Box<DisabledRing>, ports: Vec<Port> },
    Epoll,
}

/// What a shard's thread is started from. Made by [`Plan::seats`].
pub struct Seat {
    shard: ShardId,
    backing: Backing,
    sleeper: Sleeper,
    wakers: Vec<Waker>,
    peers: Vec<Peer>,
}

/// A shard's end of the journal.
pub struct JournalPort {
    /// The write side, empty.
    pub writer: Writer<RealFile>,
    /// Where segments come from. The keeper should wake the shard with [`Waker::wake`].
    pub supply: SegmentSupply<RealFile>,
}

/// What a shard does and with whom.
pub struct ShardSpec<C> {
    /// The engine.
    pub chat: C,
    /// Limits and options.
    pub config: Config,
    /// Listeners of this shard, non-blocking, as [`crate::bind`] makes them.
    pub listeners: Vec<TcpListener>,
    /// The store thread.
    pub store: StorePort,
    /// Who answers plain HTTP requests; without it they are refused with 404.
    pub api: Option<ApiPort>,
    /// Who mirrors presence, when somebody does.
    pub presence: Option<PresencePort>,
    /// The journal.
    pub journal: JournalPort,
    /// Called on the shard's thread when the journal failed for good: log it and end the process with exit code 70. The
    /// shard ends when it returns.
    pub on_fatal: Box<dyn FnOnce(ShardId, Fatal) + Send>,
}

/// All shards of a process before they start.
pub struct Plan {
    chosen: Chosen,
    fallback: Option<Fallback>,
    seats: Vec<Seat>,
    wakers: Vec<Waker>,
}

impl Plan {
    /// Chooses the driver for `shard_count` shards and makes rings, mailboxes and wakers.
    ///
    /// # Errors
    /// io_uring was demanded and cannot be had, or descriptors ran out.
    pub fn new(backend: Backend, shard_count: u16, options: &Options) -> Result<Self, StartError> {
        let (rings, fallback) = match backend {
            Backend::Epoll => (None, None),
            Backend::Uring => (Some(make_rings(shard_count, options).map_err(StartError::Ring)?), None),
            Backend::Auto => match make_rings(shard_count, options) {
                Ok(rings) => (Some(rings), None),
                Err(error) if error.is_refusal() => (None, Some(Fallback { error })),
                Err(error) => return Err(StartError::Ring(error)),
            },
        };
        let chosen = if rings.is_some() { Chosen::Uring } else { Chosen::Epoll };
        let backings: Vec<Backing> = match rings {
            Some(rings) => {
                let ports: Vec<Port> = rings.iter().map(DisabledRing::port).collect();
                rings
                    .into_iter()
                    .map(|ring| Backing::Uring { ring: Box::new(ring), ports: ports.clone() })
                    .collect()
            }
            None => (0..shard_count).map(|_| Backing::Epoll).collect(),
        };
        let mut sleepers = Vec::new();
        let mut wakers = Vec::new();
        for _ in 0..shard_count {
            let (sleeper, bell) = sleeper();
            sleepers.push(sleeper);
            wakers.push(Waker::new(bell).map_err(|error| StartError::System("an eventfd", error.into()))?);
        }
        let mut mailboxes = mailboxes(shard_count);
        let seats = (0..shard_count)
            .zip(backings)
            .zip(sleepers)
            .map(|((shard, backing), sleeper)| Seat {
                shard: ShardId(shard),
                backing,
                sleeper,
                wakers: wakers.clone(),
                peers: peers(shard, &mut mailboxes, &wakers),
            })
            .collect();
        Ok(Self { chosen, fallback, seats, wakers })
    }

    /// The driver that was chosen.
    #[must_use]
    pub fn chosen(&self) -> Chosen {
        self.chosen
    }

    /// Why it is not io_uring although that was preferred: the one warning to log.
    #[must_use]
    pub fn fallback(&self) -> Option<&Fallback> {
        self.fallback.as_ref()
    }

    /// Wakes a shard; for everyone who posts to it.
    ///
    /// # Panics
    /// When there is no such shard.
    #[must_use]
    pub fn waker(&self, shard: ShardId) -> Waker {
        self.wakers[shard.index()].clone()
    }

    /// One seat per shard, in order.
    #[must_use]
    pub fn seats(self) -> Vec<Seat> {
        self.seats
    }
}

fn make_rings(shard_count: u16, options: &Options) -> Result<Vec<DisabledRing>, SetupError> {
    (0..shard_count).map(|_| DisabledRing::new(options)).collect()
}

type Mailbox = (Option<Producer<Mail>>, Option<Consumer<Mail>>);

/// One mailbox per ordered pair of shards: row by sender, column by receiver.
fn mailboxes(shard_count: u16) -> Vec<Vec<Mailbox>> {
    let mailbox = |from: u16, to: u16| {
        if from == to {
            return (None, None);
        }
        let (producer, consumer) = channel(MAILBOX_ITEMS);
        (Some(producer), Some(consumer))
    };
    (0..shard_count).map(|from| (0..shard_count).map(|to| mailbox(from, to)).collect()).collect()
}

fn peers(shard: u16, mailboxes: &mut [Vec<Mailbox>], wakers: &[Waker]) -> Vec<Peer> {
    let own = usize::from(shard);
    (0..mailboxes.len())
        .zip(0u16..)
        .filter_map(|(other, number)| {
            let outbound = mailboxes[own][other].0.take()?;
            let inbound = mailboxes[other][own].1.take()?;
            Some(Peer { shard: ShardId(number), outbound, bell: wakers[other].bell().clone(), inbound })
        })
        .collect()
}

impl Seat {
    /// Which shard.
    #[must_use]
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// Starts the shard's thread and waits until its driver works.
    ///
    /// # Errors
    /// The operating system refuses the thread, or the driver what it needs.
    pub fn spawn<C: Chat + 'static>(self, spec: ShardSpec<C>) -> Result<ShardHandle, StartError> {
        let shard = self.shard;
        let control = Arc::new(Control::default());
        let board = Board::new(ShardSnapshot::default());
        let waker = self.wakers[shard.index()].clone();
        let (report, started) = mpsc::sync_channel(1);
        let (shared, published) = (Arc::clone(&control), board.clone());
        let thread = std::thread::Builder::new()
            .name(format!("shard-{}", shard.0))
            .spawn(move || self.run(spec, shared, published, &report))
            .map_err(|error| StartError::System("a shard's thread", error))?;
        match started.recv() {
            Ok(Ok(())) => Ok(ShardHandle { shard, control, waker, board, thread }),
            Ok(Err(error)) => Err(StartError::System("a shard's driver", error)),
            Err(_) => Err(StartError::System("a shard's driver", io::Error::other("the thread panicked"))),
        }
    }

    fn run<C: Chat>(
        self,
        spec: ShardSpec<C>,
        control: Arc<Control>,
        board: Board<ShardSnapshot>,
        report: &mpsc::SyncSender<io::Result<()>>,
    ) {
        pin(spec.config.processor);
        let parts =
            Parts { shard: self.shard, sleeper: self.sleeper, peers: self.peers, spec, control, board };
        // The receiver waits for exactly one report; it cannot be gone.
        let say = |result| report.send(result).unwrap_or_default();
        match self.backing {
            Backing::Uring { ring, ports } => {
                match UringDriver::new(*ring, self.shard, ports, self.wakers)
                    .and_then(|driver| Shard::new(driver, parts))
                {
                    Ok(shard) => {
                        say(Ok(()));
                        shard.run();
                    }
                    Err(error) => say(Err(error)),
                }
            }
            Backing::Epoll => {
                match EpollDriver::new(self.shard, self.wakers).and_then(|driver| Shard::new(driver, parts)) {
                    Ok(shard) => {
                        say(Ok(()));
                        shard.run();
                    }
                    Err(error) => say(Err(error)),
                }
            }
        }
    }
}

/// Keeps the thread on one processor, if it may.
fn pin(processor: Option<usize>) {
    let Some(processor) = processor.filter(|number| *number < rustix::thread::CpuSet::MAX_CPU) else {
        return;
    };
    let mut set = rustix::thread::CpuSet::new();
    set.set(processor);
    if let Err(error) = rustix::thread::sched_setaffinity(None, &set) {
        tracing::warn!(event = "pin_refused", processor, %error, "cannot pin a shard to its processor; it runs on any");
    }
}
