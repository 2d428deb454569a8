//! Accounts, from a data directory and a configuration to a running thread.
//!
//! Thread: boot. What can fail: the store and the keys; every failure names its cure.

use std::collections::BTreeSet;
use std::future::Future;
use std::io::IsTerminal as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use lynk_api::accounts::{
    AccountsState, AccountsThread, Across, Avatars, Blocks, ConsoleSms, Forgetting, Listing, Notices,
    Painter, Painting, Parts, Pictures, Policies, start as start_accounts,
};
use lynk_api::names::{Names, OfRooms as RoomsAnswer, RoomNames, RoomPeople};
use lynk_api::{Shards, system_clock};
use lynk_auth::SmsSender;
use lynk_compute::{Compute, ComputeError, ComputeThreads, Qr, qr};
use lynk_domain::{Key, Millis, RoomId, UserId};
use lynk_embedded::{Fault, Rooms, RoomsBeside};
use lynk_model::port::{Ephemeral, ErasureStore, LastFault, RoomStore as _, ready};
use lynk_model::{
    DirectFrom, MetaChange, MetaTransaction, Report, ReportQuery, Resolution, RoomWish, StoreError,
};
use lynk_protocol::{ErrorCode, Reject};
use lynk_sms::SmsCounts;
use tokio::runtime::Runtime;

use crate::config::{Config, SmsConsole, SmsProvider};
use crate::data_dir::{DataDir, Keys, refused};
use crate::exit::Failure;

/// When to come back for a picture.
const PAINTER_RETRY_MILLIS: u32 = 250;

/// File of codes in the data directory.
const SMS_FILE: &str = "dev-sms.txt";

/// What accounts need to know of rooms.
pub(crate) trait OfRooms: Blocks + RoomNames + RoomPeople {}

impl<T: Blocks + RoomNames + RoomPeople> OfRooms for T {}

/// What accounts have from beside their own store.
pub(crate) struct Beside {
    pub(crate) rooms: Arc<dyn OfRooms>,
    /// The filter of names.
    pub(crate) names: Arc<Names>,
    /// Who keeps pictures.
    pub(crate) avatars: Arc<dyn Avatars>,
}

/// Accounts that run.
pub(crate) struct Started {
    pub(crate) state: AccountsState,
    pub(crate) thread: AccountsThread,
    /// Who makes pictures, and the threads that do.
    pub(crate) compute: (Compute, ComputeThreads),
    /// The carrier of codes, where there is one.
    pub(crate) sms: Option<Arc<SmsCounts>>,
}

/// Starts the accounts' thread on `store`, whose connections live on `runtime`.
///
/// # Errors
/// What stands in the way, and its cure.
pub(crate) fn start<S: ErasureStore + LastFault + Send + 'static>(
    config: &Config,
    dir: &DataDir,
    keys: Keys,
    (shards, notices): (Shards, Option<Arc<dyn Notices>>),
    (store, runtime): (S, Runtime),
    Beside { rooms, names, avatars }: Beside,
    shared: Option<Arc<dyn Ephemeral>>,
) -> Result<Started, Failure> {
    let (sender, counts) = sms(config, dir)?;
    let (compute, compute_threads) = Compute::start(1)?;
    let parts = Parts {
        store,
        runtime,
        secret: dir.secret()?,
        factor_keys: dir.factor_keys()?,
        ring: keys.ring(config.auth_scope())?,
        shared,
        policies: Policies {
            codes: config.codes.clone(),
            sessions: config.sessions.clone(),
            factors: config.factors.clone(),
            erase: config.erase_policy(),
        },
        sms: sender,
        blocks: Arc::clone(&rooms) as _,
        names,
        room_names: Arc::clone(&rooms) as _,
        room_people: rooms,
        room_name_chars_max: config.limits.room_name_chars_max,
        shards,
        painter: Arc::new(QrPainter(compute.clone())),
        avatars,
        notices,
        clock: system_clock(),
    };
    let (state, thread) = start_accounts(parts).map_err(|error| {
        Failure::dependency(error.to_string())
            .cure("`lynk verify` tells whether the data directory is damaged")
    })?;
    Ok(Started { state, thread, compute: (compute, compute_threads), sms: counts })
}

/// QR codes by the threads of `compute`.
struct QrPainter(Compute);

impl Painter for QrPainter {
    fn qr(&self, text: String) -> Painting {
        let compute = self.0.clone();
        Box::pin(async move {
            match compute.run(move || qr(&text)).await {
                Ok(Ok(Qr { svg, png })) => Ok(Pictures { svg, png }),
                // The configuration bounds the issuer, and names are short.
                Ok(Err(_)) => Err(ErrorCode::Internal.into()),
                Err(ComputeError::Busy) => Err(Reject::after(ErrorCode::Busy, PAINTER_RETRY_MILLIS)),
                Err(_) => Err(ErrorCode::Draining.into()),
            }
        })
    }
}

/// Who sends codes, and what it counts, where it is a carrier.
type Sender = (Option<Arc<dyn SmsSender>>, Option<Arc<SmsCounts>>);

fn sms(config: &Config, dir: &DataDir) -> Result<Sender, Failure> {
    match config.sms_provider {
        SmsProvider::None => Ok((None, None)),
        SmsProvider::Console => Ok((Some(console(config, dir)?), None)),
        SmsProvider::Twilio => {
            let twilio = crate::twilio::open(&config.twilio)?;
            let counts = Arc::clone(twilio.counts());
            Ok((Some(Arc::new(twilio)), Some(counts)))
        }
    }
}

fn console(config: &Config, dir: &DataDir) -> Result<Arc<dyn SmsSender>, Failure> {
    let terminal = match config.sms_console {
        SmsConsole::Terminal => true,
        SmsConsole::File => false,
        SmsConsole::Auto => std::io::stderr().is_terminal(),
    };
    if terminal {
        tracing::info!(event = "sms_console", "codes are shown on this terminal instead of being sent");
        return Ok(Arc::new(ConsoleSms::terminal()));
    }
    let path = dir.root().join(SMS_FILE);
    let console = ConsoleSms::file(&path).map_err(|error| refused(&path, &error))?;
    tracing::info!(event = "sms_console", file = %path.display(), "codes are written to a file instead of being sent");
    Ok(Arc::new(console))
}

/// Blocks and names as the embedded rooms have them; read on a thread that may block. What is written goes through the store's own connection.
pub(crate) struct StoredRooms {
    read: Arc<Mutex<RoomsBeside>>,
    rooms: Arc<Mutex<Rooms>>,
}

impl StoredRooms {
    /// Opens it.
    ///
    /// # Errors
    /// Damage, or the disk.
    pub(crate) fn open(dir: &DataDir, rooms: Rooms) -> Result<Self, Failure> {
        let read = RoomsBeside::open(dir.root()).map_err(|error| Failure::dependency(error.to_string()))?;
        Ok(Self { read: Arc::new(Mutex::new(read)), rooms: Arc::new(Mutex::new(rooms)) })
    }

    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&RoomsBeside) -> Result<T, Fault> + Send + 'static,
    ) -> Pin<Box<dyn Future<Output = Result<T, Reject>> + Send + 'static>> {
        let rooms = Arc::clone(&self.read);
        let look = move || {
            read(&rooms.lock().unwrap_or_else(PoisonError::into_inner)).map_err(|fault| fault.to_string())
        };
        Box::pin(blocking(look))
    }

    /// Has something done with the store itself.
    fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Rooms) -> Result<T, StoreError> + Send + 'static,
    ) -> Pin<Box<dyn Future<Output = Result<T, Reject>> + Send + 'static>> {
        let rooms = Arc::clone(&self.rooms);
        let work = move || {
            let mut rooms = rooms.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut rooms)
                .map_err(|_| rooms.take_fault().map(|fault| fault.to_string()).unwrap_or_default())
        };
        Box::pin(blocking(work))
    }
}

/// Does `work` on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, Reject> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(detail)) => {
            tracing::error!(event = "rooms_unreadable", detail, "blocks and names of rooms cannot be read");
            Err(Reject::after(ErrorCode::Unavailable, 1_000))
        }
        Err(_) => Err(Reject::after(ErrorCode::Unavailable, 1_000)),
    }
}

/// What an operator decides, for the store of rooms: by nobody of the room, and without a key.
pub(crate) fn decision(room: RoomId, resolution: Resolution, wall: Millis) -> MetaTransaction {
    let change = MetaChange::Resolve(Box::new(resolution));
    MetaTransaction { room, actor: UserId::NIL, key: Key::NIL, content_hash: 0, wall, change }
}

impl RoomPeople for StoredRooms {
    fn hides(&self, user: UserId) -> RoomsAnswer<'_, bool> {
        self.change(move |rooms| Ok(!ready(rooms.hidden(&[user]))?.is_empty()))
    }

    fn set_hides(&self, user: UserId, hides: bool) -> RoomsAnswer<'_, ()> {
        self.change(move |rooms| ready(rooms.set_hidden(user, hides)))
    }

    fn direct_from(&self, user: UserId) -> RoomsAnswer<'_, DirectFrom> {
        self.change(move |rooms| ready(rooms.direct_from(user)))
    }

    fn set_direct_from(&self, user: UserId, from: DirectFrom) -> RoomsAnswer<'_, ()> {
        self.change(move |rooms| ready(rooms.set_direct_from(user, from)))
    }

    fn blocked(&self, by: UserId, after: UserId, limit: u32) -> RoomsAnswer<'_, Vec<UserId>> {
        self.change(move |rooms| ready(rooms.blocked(by, after, limit)))
    }

    fn set_wish(&self, room: RoomId, user: UserId, wish: RoomWish) -> RoomsAnswer<'_, bool> {
        self.change(move |rooms| ready(rooms.set_wish(room, user, wish)))
    }

    fn reports(&self, query: ReportQuery) -> RoomsAnswer<'_, Vec<Report>> {
        self.change(move |rooms| ready(rooms.reports(&query)))
    }

    fn resolve(&self, room: RoomId, resolution: Resolution, wall: Millis) -> RoomsAnswer<'_, bool> {
        let tx = decision(room, resolution, wall);
        self.change(move |rooms| Ok(ready(rooms.apply(&tx))?.written().is_some()))
    }
}

impl Blocks for StoredRooms {
    fn across<'a>(&'a self, asker: UserId, users: &'a [UserId]) -> Across<'a> {
        let users = users.to_vec();
        self.read(move |rooms| {
            let mut across = BTreeSet::new();
            for user in users {
                if rooms.stands_between(asker, user)? {
                    across.insert(user);
                }
            }
            Ok(across)
        })
    }

    fn by<'a>(&'a self, user: UserId) -> Across<'a> {
        self.read(move |rooms| Ok(rooms.blocked_by(user)?.into_iter().collect()))
    }

    fn rooms<'a>(&'a self, after: RoomId, limit: u32) -> Listing<'a> {
        self.read(move |rooms| rooms.rooms_after(after, limit))
    }

    fn forget_requests(&self, user: UserId) -> Forgetting<'_> {
        self.change(move |rooms| ready(rooms.forget_requests(user)))
    }
}

impl RoomNames for StoredRooms {
    fn is_taken<'a>(&'a self, folded: &'a str, wall: Millis) -> RoomsAnswer<'a, bool> {
        let folded = folded.to_owned();
        self.read(move |rooms| rooms.name_is_taken(&folded, wall))
    }

    fn page<'a>(&'a self, after: &'a str, limit: u32) -> RoomsAnswer<'a, Vec<String>> {
        let after = after.to_owned();
        self.read(move |rooms| rooms.names(&after, limit))
    }
}
