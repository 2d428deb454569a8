//! Rooms and accounts in PostgreSQL: how they are reached, and by which role.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;

use lynk_api::accounts::{Across, Blocks, Forgetting, Listing};
use lynk_api::names::{OfRooms as RoomsAnswer, RoomNames, RoomPeople};
use lynk_domain::{Millis, RoomId, UserId};
use lynk_model::port::RoomStore as _;
use lynk_model::{DirectFrom, Report, ReportQuery, Resolution, RoomWish, StoreError};
use lynk_postgres::grants::{ACCOUNTS, MEDIA, MIGRATE, NOTIFY, ROOMS};
use lynk_postgres::{
    AccountsSnapshot, Connect, Fault, FaultKind, MediaSnapshot, NotifySnapshot, PostgresAccounts,
    PostgresMedia, PostgresNotify, PostgresRooms, RoomsSnapshot, Timeouts,
};
use lynk_protocol::{ErrorCode, Reject};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinSet, LocalSet};

use super::{Miss, wait_for};
use crate::config::Config;
use crate::credentials::Identity;
use crate::exit::Failure;
use crate::health::Health;

const NAME: &str = "PostgreSQL";
/// Connections that tell who blocks whom, and which names there are: they answer reads of one statement.
const BLOCKS_POOL: u32 = 2;
/// What is asked of these connections at a time, and as much again that waits; whoever asks beyond that waits, too.
const READS_MAX: usize = 64;

fn connect(config: &Config, role: &'static str) -> Result<Connect, Failure> {
    let outside = &config.outside;
    let identity = Identity::of(outside, role)?;
    Ok(Connect {
        host: outside.postgres.host.clone(),
        port: outside.postgres.port,
        database: outside.postgres.database.clone(),
        user: identity.role.to_owned(),
        password: identity.secret()?,
        ca: outside.authority(&outside.postgres.ca),
        certificate: identity.certificate,
        key: identity.key,
        pool_size: outside.postgres.pool_size,
        timeouts: Timeouts::default(),
    })
}

fn unusable(error: lynk_postgres::OpenError) -> Failure {
    Failure::dependency(error.to_string())
}

fn miss(fault: &Fault) -> Miss {
    let what = format!("{NAME} refuses: {}", fault.detail);
    match fault.kind {
        FaultKind::Schema => Miss::Failed(Failure::dependency(what).cure("run `lynk migrate`")),
        FaultKind::Refused => Miss::Failed(
            Failure::dependency(what).cure(
                "see whether the role exists with this password and certificate, and whether `lynk migrate` has run",
            ),
        ),
        _ => Miss::Away(fault.to_string()),
    }
}

/// The rooms, once the database answers.
///
/// # Errors
/// It does not, or refuses us.
pub(crate) fn rooms(
    config: &Config,
    health: &Health,
    runtime: &Runtime,
    key_life_millis: u64,
) -> Result<PostgresRooms, Failure> {
    let rooms =
        PostgresRooms::new(&connect(config, ROOMS)?).map_err(unusable)?.with_key_life(key_life_millis);
    wait_for(NAME, config, health, runtime, async || rooms.check().await.map_err(|fault| miss(&fault)))?;
    Ok(rooms)
}

/// The accounts, once the database answers.
///
/// # Errors
/// It does not, or refuses us.
pub(crate) fn accounts(
    config: &Config,
    health: &Health,
    runtime: &Runtime,
) -> Result<PostgresAccounts, Failure> {
    let accounts = PostgresAccounts::new(&connect(config, ACCOUNTS)?).map_err(unusable)?;
    wait_for(NAME, config, health, runtime, async || accounts.check().await.map_err(|fault| miss(&fault)))?;
    Ok(accounts)
}

/// The store of notifications, once the database answers.
///
/// # Errors
/// It does not, or refuses us.
pub(crate) fn notify(config: &Config, health: &Health, runtime: &Runtime) -> Result<PostgresNotify, Failure> {
    let notify = PostgresNotify::new(&connect(config, NOTIFY)?).map_err(unusable)?;
    wait_for(NAME, config, health, runtime, async || notify.check().await.map_err(|fault| miss(&fault)))?;
    Ok(notify)
}

/// The store of media, once the database answers.
///
/// # Errors
/// It does not, or refuses us.
pub(crate) fn media(config: &Config, health: &Health, runtime: &Runtime) -> Result<PostgresMedia, Failure> {
    let media = PostgresMedia::new(&connect(config, MEDIA)?).map_err(unusable)?;
    wait_for(NAME, config, health, runtime, async || media.check().await.map_err(|fault| miss(&fault)))?;
    Ok(media)
}

/// All relational sides, to be copied or filled.
pub(crate) struct Tables {
    pub(crate) rooms: PostgresRooms,
    pub(crate) accounts: PostgresAccounts,
    pub(crate) notify: PostgresNotify,
    /// Where files are wanted: a server without them has no role for their rows.
    pub(crate) media: Option<PostgresMedia>,
}

/// The tables at one moment.
pub(crate) type Snapshots = (RoomsSnapshot, AccountsSnapshot, NotifySnapshot, Option<MediaSnapshot>);

impl Tables {
    /// Connects, as the roles of the ports.
    ///
    /// # Errors
    /// The database does not answer, or refuses us.
    pub(crate) fn open(config: &Config, runtime: &Runtime) -> Result<Self, Failure> {
        let health = Health::new();
        let rooms = rooms(config, &health, runtime, super::key_life_millis(config))?;
        let notify = notify(config, &health, runtime)?;
        let media = config.media.enabled.then(|| media(config, &health, runtime)).transpose()?;
        Ok(Self { rooms, accounts: accounts(config, &health, runtime)?, notify, media })
    }

    /// All as they are now.
    ///
    /// # Errors
    /// The database does not answer.
    pub(crate) async fn snapshots(&self) -> Result<Snapshots, Failure> {
        let failed = |fault: Option<Fault>| {
            Failure::dependency(format!(
                "{NAME}: {}",
                fault.map(|fault| fault.to_string()).unwrap_or_default()
            ))
        };
        let rooms = self.rooms.snapshot().await.map_err(|_| failed(self.rooms.take_fault()))?;
        let accounts = self.accounts.snapshot().await.map_err(|_| failed(self.accounts.take_fault()))?;
        let notify = self.notify.snapshot().await.map_err(|_| failed(self.notify.take_fault()))?;
        let media = match &self.media {
            Some(media) => Some(media.snapshot().await.map_err(|_| failed(media.take_fault()))?),
            None => None,
        };
        Ok((rooms, accounts, notify, media))
    }
}

/// Blocks and names, as the rooms' role reads them, with connections of their own on a thread of their own: who asks has a runtime that
/// may end before the answer is here, and the store's futures stay on one thread, which those of a handler do not promise.
pub(crate) struct RoomsBeside {
    reads: mpsc::Sender<Read>,
}

/// What is done with the store.
type Read = Box<dyn FnOnce(PostgresRooms) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

impl RoomsBeside {
    /// Starts the thread, which ends with the last that may ask it, and connects to nothing yet.
    ///
    /// # Errors
    /// A file of the identity cannot be used; no thread, or no runtime.
    pub(crate) fn new(config: &Config) -> Result<Self, Failure> {
        let connect = Connect { pool_size: BLOCKS_POOL, ..connect(config, ROOMS)? };
        let rooms = PostgresRooms::new(&connect).map_err(unusable)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (reads, asked) = mpsc::channel(READS_MAX);
        std::thread::Builder::new()
            .name("rooms-beside".to_owned())
            .spawn(move || runtime.block_on(LocalSet::new().run_until(read_all(rooms, asked))))?;
        Ok(Self { reads })
    }

    fn read<T: Send + 'static>(
        &self,
        read: impl AsyncFnOnce(&mut PostgresRooms) -> Result<T, StoreError> + Send + 'static,
    ) -> Pin<Box<dyn Future<Output = Result<T, Reject>> + Send + 'static>> {
        let reads = self.reads.clone();
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let read: Read = Box::new(move |mut rooms| {
                Box::pin(async move {
                    let found = read(&mut rooms).await.map_err(|_| rooms.take_fault());
                    // Whoever asked may be gone.
                    let _gone = answer.send(found);
                })
            });
            // When the thread has ended, nobody answers.
            let _ended = reads.send(read).await;
            match answered.await {
                Ok(Ok(found)) => Ok(found),
                Ok(Err(fault)) => {
                    let detail = fault.map(|fault| fault.to_string()).unwrap_or_default();
                    tracing::error!(
                        event = "rooms_unreadable",
                        detail,
                        "blocks and names of rooms cannot be read"
                    );
                    Err(Reject::after(ErrorCode::Unavailable, 1_000))
                }
                Err(_) => Err(Reject::after(ErrorCode::Unavailable, 1_000)),
            }
        })
    }
}

/// Does what is asked, [`READS_MAX`] at a time, until nobody can ask any more.
async fn read_all(rooms: PostgresRooms, mut asked: mpsc::Receiver<Read>) {
    let mut under_way = JoinSet::new();
    while let Some(read) = asked.recv().await {
        while under_way.try_join_next().is_some() {}
        if under_way.len() >= READS_MAX {
            under_way.join_next().await;
        }
        under_way.spawn_local(read(rooms.clone()));
    }
}

impl Blocks for RoomsBeside {
    fn across<'a>(&'a self, asker: UserId, users: &'a [UserId]) -> Across<'a> {
        let users = users.to_vec();
        self.read(async move |rooms| {
            let pairs = rooms.blocks(asker).await?;
            let others: BTreeSet<_> =
                pairs.into_iter().map(|(by, of)| if by == asker { of } else { by }).collect();
            Ok(users.into_iter().filter(|user| others.contains(user)).collect())
        })
    }

    fn by<'a>(&'a self, user: UserId) -> Across<'a> {
        self.read(async move |rooms| {
            let pairs = rooms.blocks(user).await?;
            Ok(pairs.into_iter().filter(|(by, _)| *by == user).map(|(_, of)| of).collect())
        })
    }

    fn rooms<'a>(&'a self, after: RoomId, limit: u32) -> Listing<'a> {
        self.read(async move |rooms| rooms.rooms_after(after, limit).await)
    }

    fn forget_requests(&self, user: UserId) -> Forgetting<'_> {
        self.read(async move |rooms| rooms.forget_requests(user).await)
    }
}

impl RoomPeople for RoomsBeside {
    fn hides(&self, user: UserId) -> RoomsAnswer<'_, bool> {
        self.read(async move |rooms| Ok(!rooms.hidden(&[user]).await?.is_empty()))
    }

    fn set_hides(&self, user: UserId, hides: bool) -> RoomsAnswer<'_, ()> {
        self.read(async move |rooms| rooms.set_hidden(user, hides).await)
    }

    fn direct_from(&self, user: UserId) -> RoomsAnswer<'_, DirectFrom> {
        self.read(async move |rooms| rooms.direct_from(user).await)
    }

    fn set_direct_from(&self, user: UserId, from: DirectFrom) -> RoomsAnswer<'_, ()> {
        self.read(async move |rooms| rooms.set_direct_from(user, from).await)
    }

    fn blocked(&self, by: UserId, after: UserId, limit: u32) -> RoomsAnswer<'_, Vec<UserId>> {
        self.read(async move |rooms| rooms.blocked(by, after, limit).await)
    }

    fn set_wish(&self, room: RoomId, user: UserId, wish: RoomWish) -> RoomsAnswer<'_, bool> {
        self.read(async move |rooms| rooms.set_wish(room, user, wish).await)
    }

    fn reports(&self, query: ReportQuery) -> RoomsAnswer<'_, Vec<Report>> {
        self.read(async move |rooms| rooms.reports(&query).await)
    }

    fn resolve(&self, room: RoomId, resolution: Resolution, wall: Millis) -> RoomsAnswer<'_, bool> {
        let tx = crate::accounts::decision(room, resolution, wall);
        self.read(async move |rooms| Ok(rooms.apply(&tx).await?.written().is_some()))
    }
}

impl RoomNames for RoomsBeside {
    fn is_taken<'a>(&'a self, folded: &'a str, wall: Millis) -> RoomsAnswer<'a, bool> {
        let folded = folded.to_owned();
        self.read(async move |rooms| rooms.name_is_taken(&folded, wall).await)
    }

    fn page<'a>(&'a self, after: &'a str, limit: u32) -> RoomsAnswer<'a, Vec<String>> {
        let after = after.to_owned();
        self.read(async move |rooms| rooms.names(&after, limit).await)
    }
}

/// Brings the tables to the newest version; returns what was there and what is.
///
/// # Errors
/// The database does not answer, or refuses us.
pub(crate) fn migrate(config: &Config, runtime: &Runtime) -> Result<(u32, u32), Failure> {
    let connect = connect(config, MIGRATE)?;
    let migrated = runtime.block_on(lynk_postgres::migrate(&connect)).map_err(|fault| {
        Failure::dependency(format!("{NAME}: {fault}")).cure(
            "see whether the roles exist, and whether the database belongs to `lynk_migrate`; a migration may be repeated",
        )
    })?;
    Ok((migrated.from, migrated.to))
}
