//! Notifications: from a data directory and a configuration to a running thread.
//!
//! Thread: boot; [`Devices`](lynk_api::Devices) is asked by handlers. What can fail: the store, the provider's files; a provider that is away holds
//! up no start.

mod audience;
mod feed;
#[cfg(all(feature = "kafka", feature = "postgres", feature = "cassandra"))]
mod separate;
mod why;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lynk_api::accounts::{Forgetting, Notices};
use lynk_api::{DeviceAnswer, Devices, Trial, system_clock};
use lynk_domain::{SessionId, UserId};
use lynk_embedded::{Notifications, RoomsBeside};
use lynk_model::notify::{Device, Provider, Push, PushCause, PushId};
use lynk_model::port::{Delivered, Ephemeral, LastFault, MessageStore, NotifyStore};
use lynk_protocol::{ErrorCode, Reject};
use lynk_push::{
    Asked, ConsolePush, Fcm, FcmOptions, Feed, PushBridge, PushDesk, PushOptions, PushParts, Roots, Rules,
    Senders, ServiceAccount,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

#[cfg(not(all(feature = "kafka", feature = "postgres", feature = "cassandra")))]
use crate::config::load;
use crate::config::{Config, PushConfig, PushProvider, PushRun, Sources};
use crate::credentials::{check_secret, read};
use crate::data_dir::{DataDir, refused};
use crate::exit::{Exit, Failure};
use crate::os;

pub(crate) use audience::{Members, ServerAudience};
pub(crate) use feed::{JournalFeed, Source};
pub(crate) use why::{text as why_text, why};

/// File of notifications in the data directory.
const PUSH_FILE: &str = "dev-push.txt";
/// Rooms with more members have nobody told of a mention of everybody: each such message would be so many notifications.
const EVERYBODY_MAX: u32 = 10_000;
/// Time that notifications on their way have at the end.
const FINAL_WAIT: Duration = Duration::from_secs(5);
/// When to come back to a full queue.
const FULL_RETRY_MILLIS: u32 = 250;

/// The store of notifications, what they ask of rooms and messages, and the runtime of all.
pub(crate) struct Opened<N, Q, M> {
    pub(crate) store: N,
    pub(crate) members: Q,
    /// The message log; `None` where another process decides.
    pub(crate) messages: Option<M>,
    pub(crate) runtime: Runtime,
}

/// Whether this process reads messages for notifications.
pub(crate) fn reads(config: &Config) -> bool {
    config.push.provider != PushProvider::None && config.push.run == PushRun::Server
}

/// The embedded store.
///
/// # Errors
/// Damage, or the disk.
pub(crate) fn embedded<M>(
    dir: &DataDir,
    messages: Option<M>,
    runtime: Runtime,
) -> Result<Opened<Notifications, RoomsBeside, M>, Failure> {
    let failed = |error: lynk_embedded::OpenError| Failure::dependency(error.to_string());
    let store = Notifications::open(dir.root()).map_err(failed)?;
    Ok(Opened { store, members: RoomsBeside::open(dir.root()).map_err(failed)?, messages, runtime })
}

/// The rules of a configuration.
pub(crate) fn options(config: &PushConfig, sends: bool, alone: bool) -> PushOptions {
    PushOptions {
        rules: Rules {
            large_room: config.large_room,
            everybody_max: EVERYBODY_MAX,
            life_millis: config.life_millis,
        },
        window: Duration::from_millis(config.window_millis),
        retry_min: Duration::from_millis(config.retry_min_millis),
        retry_max: Duration::from_millis(config.retry_max_millis),
        attempts_max: config.attempts_max,
        keep: Duration::from_millis(config.keep_millis),
        keep_rows: config.keep_rows.into(),
        sends,
        alone,
        final_wait: FINAL_WAIT,
    }
}

/// The provider of a configuration. `root` is the data directory.
///
/// # Errors
/// A file cannot be used.
pub(crate) fn senders(config: &PushConfig, root: &Path) -> Result<Senders, Failure> {
    match config.provider {
        PushProvider::None => Ok(Senders::default()),
        PushProvider::Console => {
            let path = root.join(PUSH_FILE);
            let console = ConsolePush::file(&path).map_err(|error| refused(&path, &error))?;
            Ok(Senders { console: Some(console), fcm: None })
        }
        PushProvider::Fcm => {
            let path = Path::new(&config.fcm_account_file);
            check_secret(path)?;
            let wrong = |error: lynk_push::SetupError| {
                Failure::new(Exit::Config, format!("[push]: {error}"))
                    .cure("`docs/notifications.md` tells what each key is")
            };
            let roots = match config.fcm_ca_file.as_str() {
                "" => Roots::System,
                path => Roots::Pem(read(Path::new(path))?),
            };
            let clock = system_clock();
            let options = FcmOptions {
                api_url: config.fcm_api_url.clone(),
                account: ServiceAccount::parse(&read(path)?).map_err(wrong)?,
                roots,
                timeout: Duration::from_millis(config.timeout_millis),
                ttl_seconds: config.life_millis / 1_000,
                wall: Arc::new(move || clock().wall),
            };
            Ok(Senders { console: None, fcm: Some(Fcm::new(options).map_err(wrong)?) })
        }
    }
}

/// Starts the thread; without a provider there is none.
///
/// # Errors
/// A file of the provider, or no thread.
pub(crate) fn start<N, Q, M, F>(
    config: &Config,
    root: &Path,
    opened: Opened<N, Q, M>,
    ephemeral: Arc<dyn Ephemeral>,
    feed: F,
) -> Result<Option<PushBridge>, Failure>
where
    N: NotifyStore + LastFault + Send + 'static,
    Q: Members + Send + 'static,
    M: MessageStore + Send + 'static,
    F: Feed + Send + 'static,
{
    if config.push.provider == PushProvider::None {
        return Ok(None);
    }
    let clock = system_clock();
    let now = Arc::clone(&clock);
    let parts = PushParts {
        store: opened.store,
        audience: ServerAudience { members: opened.members, messages: opened.messages, ephemeral, clock },
        feed,
        sender: senders(&config.push, root)?,
        runtime: opened.runtime,
        wall: Arc::new(move || now().wall),
        seed: u64::from_le_bytes(os::random()?),
        ended: Vec::new(),
        dead: None,
    };
    Ok(Some(PushBridge::start(parts, options(&config.push, reads(config), true))?))
}

/// Devices as handlers see them.
pub(crate) struct DeskDevices {
    pub(crate) desk: PushDesk,
    pub(crate) provider: Provider,
}

/// The provider that devices are registered for.
pub(crate) fn provider(config: &PushConfig) -> Option<Provider> {
    match config.provider {
        PushProvider::None => None,
        PushProvider::Console => Some(Provider::Console),
        PushProvider::Fcm => Some(Provider::Fcm),
    }
}

fn reject(asked: Asked) -> Reject {
    match asked {
        Asked::Busy => Reject::after(ErrorCode::Busy, FULL_RETRY_MILLIS),
        Asked::Ended => ErrorCode::Draining.into(),
        Asked::Store(lynk_model::StoreError::Unknown) => ErrorCode::Unknown.into(),
        Asked::Store(_) => Reject::after(ErrorCode::Unavailable, 1_000),
    }
}

/// Notifications as accounts see them.
pub(crate) struct DeskNotices(pub(crate) PushDesk);

impl Notices for DeskNotices {
    fn ended(&self, session: SessionId) {
        self.0.ended(session);
    }

    fn forget(&self, user: UserId) -> Forgetting<'_> {
        Box::pin(async move { self.0.erase(user).await.map_err(reject) })
    }
}

impl Devices for DeskDevices {
    fn provider(&self) -> Provider {
        self.provider
    }

    fn put(&self, device: Device) -> DeviceAnswer<'_, ()> {
        Box::pin(async move { self.desk.put(device).await.map(|_| ()).map_err(reject) })
    }

    fn remove(&self, session: SessionId) -> DeviceAnswer<'_, ()> {
        Box::pin(async move { self.desk.remove(session).await.map_err(reject) })
    }

    fn trial(&self, user: UserId, session: SessionId) -> DeviceAnswer<'_, Option<Trial>> {
        Box::pin(async move {
            let tried = self.desk.trial(user, session).await.map_err(reject)?;
            Ok(tried.map(|delivered| match delivered {
                Delivered::Taken => Trial { outcome: "sent", cause: None },
                Delivered::Unregistered => {
                    Trial { outcome: "unregistered", cause: Some(PushCause::Unregistered.word()) }
                }
                Delivered::Refused(cause) => Trial { outcome: "refused", cause: Some(cause.word()) },
                Delivered::Failed { cause, .. } => Trial { outcome: "failed", cause: Some(cause.word()) },
            }))
        })
    }
}

/// Runs `lynk notify`.
///
/// # Errors
/// What stands in the way, and its cure.
pub(crate) fn separate(sources: &Sources) -> Result<(), Failure> {
    #[cfg(all(feature = "kafka", feature = "postgres", feature = "cassandra"))]
    return separate::run(sources);
    #[cfg(not(all(feature = "kafka", feature = "postgres", feature = "cassandra")))]
    {
        let _ = load(sources)?;
        Err(Failure::new(Exit::Config, "this build cannot read events from Kafka").cure(
            "use a release, or build with --features kafka; or let the server send: `push.run = \"server\"`",
        ))
    }
}

/// Notifications that were given up, listed at a time.
const DEAD_MAX: u32 = 1_000;

fn asked_of(asked: Asked) -> Failure {
    match asked {
        Asked::Busy | Asked::Ended => Failure::dependency("the server is busy or ending").cure("repeat it"),
        Asked::Store(_) => Failure::dependency("the store of notifications does not answer")
            .cure("see `notifications` of /readyz on the admin listener"),
    }
}

fn desk_of(desk: Option<&PushDesk>) -> Result<&PushDesk, Failure> {
    desk.ok_or_else(|| Failure::dependency("this server sends no notifications").cure("see `push.provider`"))
}

/// Lists notifications that were given up, newest first.
///
/// # Errors
/// The store does not answer.
pub(crate) fn dead(desk: Option<&PushDesk>, asked: &Value) -> Result<Value, Failure> {
    let limit =
        asked["limit"].as_u64().and_then(|limit| u32::try_from(limit).ok()).unwrap_or(100).min(DEAD_MAX);
    let dead = desk_of(desk)?.dead(limit).map_err(asked_of)?;
    let of = |push: &Push| {
        json!({
            "push": push.id.to_string(), "user": push.user.to_string(), "room": push.room.to_string(),
            "up_to_seq": push.upto.0, "session": push.session.to_string(), "cause": push.cause.word(),
            "attempts": push.attempts, "at_unix_millis": push.at.0,
        })
    };
    Ok(json!({"dead": dead.iter().map(of).collect::<Vec<_>>()}))
}

/// Tries notifications again that were given up: those named, or all of them.
///
/// # Errors
/// A name is none, or the store does not answer.
pub(crate) fn revive(desk: Option<&PushDesk>, asked: &Value) -> Result<Value, Failure> {
    let desk = desk_of(desk)?;
    let ids = match asked["pushes"].as_array() {
        Some(named) => {
            let parse = |value: &Value| {
                value.as_str().and_then(PushId::parse).ok_or_else(|| {
                    Failure::new(Exit::Usage, format!("{value} names no notification"))
                        .cure("`lynk notify dead list` shows their names")
                })
            };
            named.iter().map(parse).collect::<Result<Vec<_>, _>>()?
        }
        None => desk.dead(DEAD_MAX).map_err(asked_of)?.iter().map(|push| push.id).collect(),
    };
    Ok(json!({"retried": desk.revive(ids).map_err(asked_of)?}))
}
