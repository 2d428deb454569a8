//! Accounts over HTTP: sign-in by telephone, second factors, tokens, sessions, tickets for the socket, and looking people up.
//!
//! Thread: handlers on the API's runtime, the work on the accounts' thread (`desk`), which owns the store. [`start`] makes
//! both ends; [`router`] is the first of them, and the rest of the server takes what it needs from [`AccountsState`]: the
//! keys and the tickets. Sessions that end are told to [`Shards`], which closes their sockets.
//!
//! Invariants: secrets travel in bodies and in one header, never in a path, a query, a log line or an error; asking for a
//! code costs and answers the same for known and unknown numbers. Limits: [`Policies`], and those of `desk`.

mod available;
mod carrier;
mod console;
mod counts;
mod desk;
mod erase;
mod eraser;
mod export;
mod factors;
mod handlers;
mod names;
mod number;
mod operations;
mod operator;
mod people;
mod privacy;
mod service;
mod shared;
mod vault;
mod wire;
mod wishes;

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::FromRef;
use axum::routing::{delete, get, post, put};
use lynk_auth::{ADDRESSES_MAX, CodePolicy, FactorKeys, KeyRing, ServerSecret, SmsSender};
use lynk_domain::{MediaId, RoomId, SessionId, UserId};
use lynk_model::StoreError;
use lynk_model::local::{CODES_MAX, NAME_FILTER_BYTES, ONCE_MAX};
use lynk_model::port::{Ephemeral, ErasureStore, LastFault};
use lynk_protocol::{ErrorCode, Reject};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, Semaphore};

use crate::names::{Names, RoomNames, RoomPeople};
use crate::{Authority, Clock, Shards};

pub use console::ConsoleSms;
pub use counts::AccountCounts;
pub use erase::{ErasePolicy, Place, Receipt};
pub use operations::operations;
pub use operator::{AccountFacts, OperatorAction, Whom};
pub use service::Policies;
pub use shared::{Keys, Tickets};

use desk::Desk;
use eraser::{Eraser, Means, Wake};
use factors::handlers as second;
use service::{Service, Shared};
use shared::Pace;
use vault::Vault;

/// Messages on their way to the carrier at a time; further requests for codes answer `busy`.
const SENDING_MAX: usize = 64;

/// Bytes that the tables of accounts may take at most: codes that wait, tickets, registrations and challenges, addresses and
/// accounts that are counted, the filter of names, SQLite's cache. Sessions that ended are not counted: each needed a sign-in.
#[must_use]
pub fn memory_bytes_max(codes: &CodePolicy) -> u64 {
    // Entries with their keys and their share of tree nodes, rounded up.
    const CODE: u64 = 512;
    const ONE_TIME: u64 = 384;
    const ADDRESS: u64 = 64;
    const CACHE: u64 = 4 << 20;
    // A code is remembered for ten minutes, or an hour where the next one may be asked for that late.
    let codes = u64::from(codes.messages_hour).saturating_mul(2).min(CODES_MAX as u64) * CODE;
    codes
        + NAME_FILTER_BYTES as u64
        + 3 * ONCE_MAX as u64 * ONE_TIME
        + 2 * ADDRESSES_MAX as u64 * ADDRESS
        + CACHE
}

/// An answer of [`Blocks`] on its way.
pub type Across<'a> = Pin<Box<dyn Future<Output = Result<BTreeSet<UserId>, Reject>> + Send + 'a>>;

/// An answer of [`Blocks::rooms`] on its way.
pub type Listing<'a> = Pin<Box<dyn Future<Output = Result<Vec<RoomId>, Reject>> + Send + 'a>>;

/// An answer of [`Blocks::forget_requests`] or [`Notices::forget`] on its way.
pub type Forgetting<'a> = Pin<Box<dyn Future<Output = Result<(), Reject>> + Send + 'a>>;

/// Notifies people that are not there, and keeps what it decided about them.
pub trait Notices: Send + Sync {
    /// A session ended: its device goes. Must not block.
    fn ended(&self, session: SessionId);

    /// Forgets everything about a user who is erased.
    fn forget(&self, user: UserId) -> Forgetting<'_>;
}

/// Knows who blocks whom, and which rooms there are. All live with the rooms; accounts only ask.
pub trait Blocks: Send + Sync {
    /// Those of `users` (at most 100) that are across a block from `asker`, on either side.
    fn across<'a>(&'a self, asker: UserId, users: &'a [UserId]) -> Across<'a>;

    /// Whom a user blocks.
    fn by<'a>(&'a self, user: UserId) -> Across<'a>;

    /// Rooms by id, after this one, `limit` at most; conversations of two as well.
    fn rooms<'a>(&'a self, after: RoomId, limit: u32) -> Listing<'a>;

    /// Forgets the requests of strangers that name a user who is erased. To be repeated as often as one likes.
    fn forget_requests(&self, user: UserId) -> Forgetting<'_>;
}

/// Nobody blocks anybody, and there are no rooms.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoBlocks;

impl Blocks for NoBlocks {
    fn across<'a>(&'a self, _: UserId, _: &'a [UserId]) -> Across<'a> {
        Box::pin(async { Ok(BTreeSet::new()) })
    }

    fn by<'a>(&'a self, _: UserId) -> Across<'a> {
        Box::pin(async { Ok(BTreeSet::new()) })
    }

    fn rooms<'a>(&'a self, _: RoomId, _: u32) -> Listing<'a> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn forget_requests(&self, _: UserId) -> Forgetting<'_> {
        Box::pin(async { Ok(()) })
    }
}

/// An answer of [`Avatars`] on its way.
pub type AvatarAnswer<'a> = Pin<Box<dyn Future<Output = Result<(), Reject>> + Send + 'a>>;

/// Keeps pictures of accounts, and the other files of them.
pub trait Avatars: Send + Sync {
    /// Makes `picture`, an upload of `user` for its account that is ready, one that the account has. To be repeated as often as one likes.
    fn take(&self, user: UserId, picture: MediaId) -> AvatarAnswer<'_>;

    /// The account has this picture, nil for none: nobody may fetch others that it had any more.
    fn keep(&self, user: UserId, picture: MediaId) -> AvatarAnswer<'_>;

    /// The account is erased: nobody may fetch any of its files any more, but for pictures that rooms have.
    fn end(&self, user: UserId) -> AvatarAnswer<'_>;
}

/// A server that keeps no files: there is none that an account could have.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAvatars;

impl Avatars for NoAvatars {
    fn take(&self, _: UserId, _: MediaId) -> AvatarAnswer<'_> {
        let none = Reject::because(ErrorCode::AttachmentNotFound, "this server keeps no files");
        Box::pin(std::future::ready(Err(none)))
    }

    fn keep(&self, _: UserId, _: MediaId) -> AvatarAnswer<'_> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn end(&self, _: UserId) -> AvatarAnswer<'_> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// One text as two pictures that a camera reads. `Debug` shows nothing of them: the text may be a secret.
#[derive(Clone)]
pub struct Pictures {
    /// An SVG document.
    pub svg: String,
    /// A PNG file.
    pub png: Vec<u8>,
}

impl fmt::Debug for Pictures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pictures(redacted)")
    }
}

/// Pictures on their way.
pub type Painting = Pin<Box<dyn Future<Output = Result<Pictures, Reject>> + Send>>;

/// Makes pictures somewhere else than on the API's runtime.
pub trait Painter: Send + Sync {
    /// The QR code of a text; refused with `busy` when there is no room for the work.
    fn qr(&self, text: String) -> Painting;
}

/// What accounts are started from.
pub struct Parts<S> {
    /// The store.
    pub store: S,
    /// The runtime that its connections live on, of one thread: it is driven while an operation waits for the store.
    pub runtime: Runtime,
    /// The server's secret.
    pub secret: [u8; 32],
    /// The keys under which secrets of second factors are sealed.
    pub factor_keys: FactorKeys,
    /// The key that signs, and those that are accepted.
    pub ring: KeyRing,
    /// Where what waits for minutes is kept for several processes; `None` keeps it in this one.
    pub shared: Option<Arc<dyn Ephemeral>>,
    /// Rules of signing in.
    pub policies: Policies,
    /// Who sends codes; `None` when nobody does, and nobody new signs in.
    pub sms: Option<Arc<dyn SmsSender>>,
    /// Who blocks whom.
    pub blocks: Arc<dyn Blocks>,
    /// The filter of names; learns of those that are given to users.
    pub names: Arc<Names>,
    /// Names of rooms.
    pub room_names: Arc<dyn RoomNames>,
    /// What people set and see beside their rooms.
    pub room_people: Arc<dyn RoomPeople>,
    /// Longest name of a room.
    pub room_name_chars_max: u32,
    /// Is told which sessions end, and says which have.
    pub shards: Shards,
    /// Who makes pictures.
    pub painter: Arc<dyn Painter>,
    /// Who keeps pictures of accounts.
    pub avatars: Arc<dyn Avatars>,
    /// Who notifies people that are not there, where somebody does.
    pub notices: Option<Arc<dyn Notices>>,
    /// The time.
    pub clock: Clock,
}

impl<S> fmt::Debug for Parts<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("policies", &self.policies).finish_non_exhaustive()
    }
}

/// What handlers work with. Cheap to clone.
#[derive(Clone)]
pub struct AccountsState {
    desk: Desk,
    keys: Arc<Keys>,
    authority: Authority,
    server: Arc<ServerSecret>,
    tickets: Arc<Tickets>,
    vault: Arc<Vault>,
    pace: Arc<Pace>,
    counts: Arc<AccountCounts>,
    policies: Arc<Policies>,
    sms: Option<Arc<dyn SmsSender>>,
    sending: Arc<Semaphore>,
    blocks: Arc<dyn Blocks>,
    names: Arc<Names>,
    room_names: Arc<dyn RoomNames>,
    room_people: Arc<dyn RoomPeople>,
    room_name_chars_max: u32,
    painter: Arc<dyn Painter>,
    avatars: Arc<dyn Avatars>,
    /// Held while a picture changes: of two changes of one account the later one decides which picture is kept.
    avatar_changes: Arc<Mutex<()>>,
    eraser: Wake,
    clock: Clock,
}

impl fmt::Debug for AccountsState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountsState").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl AccountsState {
    /// The keys: whoever reads them again replaces them here.
    #[must_use]
    pub fn keys(&self) -> &Arc<Keys> {
        &self.keys
    }

    /// Who checks tokens, for other routes.
    #[must_use]
    pub fn authority(&self) -> Authority {
        self.authority.clone()
    }

    /// Who knows who blocks whom.
    #[must_use]
    pub fn blocks(&self) -> Arc<dyn Blocks> {
        Arc::clone(&self.blocks)
    }

    /// What accounts count, and whether their store works.
    #[must_use]
    pub fn counts(&self) -> &Arc<AccountCounts> {
        &self.counts
    }

    /// A page of folded names after one, those that were given up among them.
    pub(crate) async fn names_after(&self, after: String, limit: u32) -> Result<Vec<String>, Reject> {
        self.desk.ask(move |desk| desk.names(&after, limit)).await
    }

    /// Notes the words of some accounts that have none; returns of how many.
    pub(crate) async fn index_words(&self, limit: u32) -> Result<u32, Reject> {
        self.desk.ask(move |desk| desk.index_words(limit)).await
    }

    /// The tickets, for the socket's `hello`.
    #[must_use]
    pub fn tickets(&self) -> &Arc<Tickets> {
        &self.tickets
    }
}

impl FromRef<AccountsState> for Authority {
    fn from_ref(state: &AccountsState) -> Self {
        state.authority.clone()
    }
}

/// Why accounts did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The store cannot be read.
    Store(StoreError),
    /// No thread.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(_) => f.write_str("the store of accounts cannot be read"),
            Self::Thread(error) => write!(f, "no thread for accounts: {error}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Store(_) => None,
            Self::Thread(error) => Some(error),
        }
    }
}

/// The accounts' thread, and the one that takes back what erased users said. The first ends when every [`AccountsState`] is gone.
#[derive(Debug)]
pub struct AccountsThread {
    accounts: JoinHandle<()>,
    eraser: Eraser,
}

impl AccountsThread {
    /// Waits for the end. Blocks while there is an [`AccountsState`] left.
    pub fn join(self) {
        self.eraser.finish();
        if let Err(panic) = self.accounts.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Starts the accounts' thread.
///
/// # Errors
/// The store cannot be read, or there is no thread.
///
/// # Panics
/// Later, on the thread: when the operating system gives no random bytes.
pub fn start<S: ErasureStore + LastFault + Send + 'static>(
    parts: Parts<S>,
) -> Result<(AccountsState, AccountsThread), StartError> {
    let Parts { store, runtime, secret, factor_keys, ring, shared, policies, sms, blocks, .. } = parts;
    let Parts {
        names,
        room_names,
        room_people,
        room_name_chars_max,
        shards,
        painter,
        avatars,
        notices,
        clock,
        ..
    } = parts;
    let server = Arc::new(ServerSecret::new(secret));
    let keys = Keys::new(ring);
    let vault = Vault::new(Arc::clone(&server), shared);
    let tickets = Tickets::new(Arc::clone(&vault));
    let (told, noticed) = (shards.clone(), notices.clone());
    let counts = Arc::<AccountCounts>::default();
    let shared = Shared {
        server: Arc::clone(&server),
        factor_keys,
        keys: Arc::clone(&keys),
        vault: Arc::clone(&vault),
        names: Arc::clone(&names),
        counts: Arc::clone(&counts),
        on_ended: Box::new(move |wall, revoked, until| {
            told.revoke(wall, revoked.user, revoked.session, until);
            if let Some(notices) = &noticed {
                notices.ended(revoked.session);
            }
        }),
    };
    let random =
        Box::new(|bytes: &mut [u8]| getrandom::fill(bytes).expect("the operating system gives random bytes"));
    let mut service = Service::new(store, runtime, shared, policies.clone(), random);
    service.load_revocations(clock()).map_err(StartError::Store)?;
    let (desk, thread) = Desk::start(move || service, Arc::clone(&counts)).map_err(StartError::Thread)?;
    let wake = Wake::default();
    let means = Means {
        desk: desk.clone(),
        shards: shards.clone(),
        blocks: Arc::clone(&blocks),
        avatars: Arc::clone(&avatars),
        notices,
        counts: Arc::clone(&counts),
        clock: Arc::clone(&clock),
    };
    let eraser = Eraser::start(means, wake.clone()).map_err(StartError::Thread)?;
    let accepted = Arc::clone(&keys);
    let authority = Authority {
        keys: Arc::new(move || Arc::clone(accepted.current().accepted())),
        shards,
        clock: Arc::clone(&clock),
    };
    let state = AccountsState {
        desk,
        keys,
        authority,
        server,
        tickets,
        vault,
        pace: Arc::default(),
        counts,
        policies: Arc::new(policies),
        sms,
        sending: Arc::new(Semaphore::new(SENDING_MAX)),
        blocks,
        names,
        room_names,
        room_people,
        room_name_chars_max,
        painter,
        avatars,
        avatar_changes: Arc::default(),
        eraser: wake,
        clock,
    };
    Ok((state, AccountsThread { accounts: thread, eraser }))
}

/// The operations of accounts. To be given to the bridge as [`ApiParts::routes`](crate::ApiParts).
pub fn router(state: AccountsState) -> Router {
    Router::new()
        .route("/v1/auth/code", post(handlers::code))
        .route("/v1/auth/verify", post(handlers::verify))
        .route("/v1/auth/register", post(handlers::register))
        .route("/v1/auth/second_factor", post(second::second_factor))
        .route("/v1/auth/step_up/code", post(second::step_up_code))
        .route("/v1/auth/step_up", post(second::step_up))
        .route("/v1/auth/refresh", post(handlers::refresh))
        .route("/v1/auth/logout", post(handlers::logout))
        .route("/v1/auth/ticket", post(handlers::ticket))
        .route("/v1/me", get(handlers::me).patch(people::change_me))
        .route("/v1/me/totp", get(second::standing).post(second::begin).delete(second::turn_off))
        .route("/v1/me/export", post(export::export))
        .route("/v1/me/erase", post(erase::erase))
        .route("/v1/me/totp/confirm", post(second::confirm))
        .route("/v1/me/totp/recovery", post(second::new_recovery))
        .route("/v1/me/privacy", get(privacy::get).put(privacy::put))
        .route("/v1/blocks", get(privacy::blocks))
        .route("/v1/rooms/{room}/notifications", put(wishes::put))
        .route("/v1/direct/by_phone", post(privacy::direct_by_phone))
        .route("/v1/sessions", get(handlers::sessions))
        .route("/v1/sessions/{session}", delete(handlers::end_session))
        .route("/v1/sessions/revoke_others", post(handlers::end_others))
        .route("/v1/users", get(people::users))
        .route("/v1/users/search", get(people::search))
        .route("/v1/users/name_available", get(available::user_name))
        .route("/v1/rooms/name_available", get(available::room_name))
        .route("/v1/users/by_name/{user_name}", get(people::user_of_name))
        .route("/.well-known/jwks.json", get(handlers::jwks))
        .route("/v1/sms/status/{reference}", post(carrier::status))
        .with_state(state)
}
