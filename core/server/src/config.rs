//! Configuration: one table of keys, from which file, environment, flags, documentation and `config explain` all work.
//!
//! Thread: boot, and the signal thread for a reload. Nothing below the binary knows of files or environment: each
//! crate takes a plain struct.
//!
//! Every setting is a row of [`KEYS`] that points at a field of [`Config`]. A layer (file, environment, flags)
//! is a list of texts for rows, so a key behaves the same wherever it is set. Deriving the parser from the structs
//! would need a second list for documentation, ranges and reload behaviour, and would not know the line of a bad value.
//!
//! Precedence: flag > environment > file > default. Unknown keys and bad values are errors, all reported at once with
//! their place. What can fail: [`load`], with [`Problems`].

mod keys;
mod layer;
mod media;
mod origin;
mod outside;
mod render;
mod table;
pub(crate) mod units;
mod value;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use lynk_api::accounts::ErasePolicy;
use lynk_auth::{CodePolicy, FactorPolicy, SessionPolicy};
use lynk_domain::{AckLevel, Limits};
use lynk_http::Network;

pub(crate) use keys::Key;
pub(crate) use layer::{Problem, Problems, unknown};
pub(crate) use media::MediaConfig;
pub(crate) use outside::Outside;
pub use render::reference;
pub(crate) use render::{default_toml, explain};
pub(crate) use table::KEYS;
#[cfg(feature = "kafka")]
pub(crate) use value::EventEnvelope;
pub(crate) use value::{
    Backend, Choice, EphemeralIn, EventsTo, LogFormat, LogLevel, MessagesIn, Pin, PushProvider, PushRun,
    RelationalIn, SmsConsole, SmsProvider,
};

/// Everything an operator can set. One field per key of [`KEYS`].
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Config {
    /// Where clients connect.
    pub(crate) listen: SocketAddr,
    /// Connections that wait to be accepted, per shard.
    pub(crate) listen_backlog: u32,
    /// `SO_SNDBUF` of a connection; 0 for the kernel's automatic size.
    pub(crate) listen_send_buffer_bytes: u32,
    /// Time after which sent data that is not acknowledged ends a connection.
    pub(crate) listen_user_timeout_millis: u32,
    /// Connections of one shard with an incomplete request head.
    pub(crate) listen_half_open_max: u32,
    /// Time for a request head.
    pub(crate) listen_head_millis: u64,
    /// Path of the WebSocket.
    pub(crate) listen_path: String,
    /// Browser origins allowed besides the server's own.
    pub(crate) listen_origins: Vec<String>,
    /// Peers that may say who their clients are.
    pub(crate) listen_trusted_proxies: Vec<Network>,
    /// HTTP connections besides sockets.
    pub(crate) api_connections_max: u32,
    /// Of one network; 0 for no limit.
    pub(crate) api_connections_per_network_max: u32,
    /// Time for one HTTP request.
    pub(crate) api_request_millis: u64,
    /// Whether there is an admin listener.
    pub(crate) admin_enabled: bool,
    /// Where it listens.
    pub(crate) admin_listen: SocketAddr,
    /// The data directory.
    pub(crate) data_dir: PathBuf,
    /// Shard threads; 0 for the default.
    pub(crate) shard_count: u16,
    /// Whether shard threads stay on one core each.
    pub(crate) shard_pin: Pin,
    /// Which driver shards use.
    pub(crate) shard_backend: Backend,
    /// Claim `iss`.
    pub(crate) auth_issuer: String,
    /// Claim `aud`.
    pub(crate) auth_audience: String,
    /// How one-time codes are sent and tried.
    pub(crate) codes: CodePolicy,
    /// How long sessions and their tokens live.
    pub(crate) sessions: SessionPolicy,
    /// How second factors are tried.
    pub(crate) factors: FactorPolicy,
    /// How long copies of what was erased live.
    pub(crate) erase: ErasePolicy,
    /// Who sends one-time codes.
    pub(crate) sms_provider: SmsProvider,
    /// Where the console provider shows them.
    pub(crate) sms_console: SmsConsole,
    /// The account that sends them.
    pub(crate) twilio: TwilioConfig,
    /// Notifications.
    pub(crate) push: PushConfig,
    /// Pictures and files.
    pub(crate) media: MediaConfig,
    /// Durability of rooms that name none.
    pub(crate) room_level: AckLevel,
    /// Size of a journal segment.
    pub(crate) journal_segment_bytes: u64,
    /// Bytes of all segments.
    pub(crate) journal_disk_bytes_max: u64,
    /// Block cache of the message log.
    pub(crate) store_cache_bytes: u64,
    /// Memtable of the message log.
    pub(crate) store_memtable_bytes: u64,
    /// Systems outside of this process.
    pub(crate) outside: Outside,
    /// Time for a graceful end.
    pub(crate) drain_millis: u64,
    /// Least severe log line.
    pub(crate) log_level: LogLevel,
    /// Form of log lines.
    pub(crate) log_format: LogFormat,
    /// Allows core files and debuggers.
    pub(crate) debug_core_dumps: bool,
    /// What the engine enforces.
    pub(crate) limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 7777).into(),
            listen_backlog: 4_096,
            listen_send_buffer_bytes: 64 << 10,
            listen_user_timeout_millis: 30_000,
            listen_half_open_max: 20_000,
            listen_head_millis: 5_000,
            listen_path: lynk_http::SOCKET_PATH.to_owned(),
            listen_origins: Vec::new(),
            listen_trusted_proxies: Vec::new(),
            api_connections_max: 4_096,
            api_connections_per_network_max: 512,
            api_request_millis: 20_000,
            admin_enabled: true,
            admin_listen: (Ipv4Addr::LOCALHOST, 7778).into(),
            data_dir: PathBuf::from("data"),
            shard_count: 0,
            shard_pin: Pin::Auto,
            shard_backend: Backend::Auto,
            auth_issuer: "lynk".to_owned(),
            auth_audience: "lynk".to_owned(),
            codes: CodePolicy::default(),
            sessions: SessionPolicy::default(),
            factors: FactorPolicy::default(),
            erase: ErasePolicy { events_kept_millis: 7 * 86_400_000, ..ErasePolicy::default() },
            sms_provider: SmsProvider::Console,
            sms_console: SmsConsole::Auto,
            twilio: TwilioConfig::default(),
            push: PushConfig::default(),
            media: MediaConfig::default(),
            room_level: AckLevel::Local,
            journal_segment_bytes: 64 << 20,
            journal_disk_bytes_max: 16 << 30,
            store_cache_bytes: 32 << 20,
            store_memtable_bytes: 16 << 20,
            outside: Outside::default(),
            drain_millis: 30_000,
            log_level: LogLevel::Info,
            log_format: LogFormat::Json,
            debug_core_dumps: false,
            limits: Limits::default(),
        }
    }
}

/// How people are notified. Texts are empty where nothing is set.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct PushConfig {
    pub(crate) provider: PushProvider,
    pub(crate) run: PushRun,
    pub(crate) window_millis: u64,
    pub(crate) large_room: u32,
    pub(crate) life_millis: u64,
    pub(crate) attempts_max: u32,
    pub(crate) retry_min_millis: u64,
    pub(crate) retry_max_millis: u64,
    pub(crate) keep_millis: u64,
    pub(crate) keep_rows: u32,
    pub(crate) fcm_account_file: String,
    pub(crate) fcm_api_url: String,
    pub(crate) fcm_ca_file: String,
    pub(crate) timeout_millis: u64,
}

impl Default for PushConfig {
    fn default() -> Self {
        const DAY: u64 = 24 * 60 * 60 * 1_000;
        Self {
            provider: PushProvider::Console,
            run: PushRun::Server,
            window_millis: 15_000,
            large_room: 500,
            life_millis: DAY,
            attempts_max: 12,
            retry_min_millis: 10_000,
            retry_max_millis: 30 * 60 * 1_000,
            keep_millis: 7 * DAY,
            keep_rows: 1_000_000,
            fcm_account_file: String::new(),
            fcm_api_url: "https://fcm.googleapis.com".to_owned(),
            fcm_ca_file: String::new(),
            timeout_millis: 10_000,
        }
    }
}

/// How codes are sent through Twilio. Texts are empty where nothing is set.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct TwilioConfig {
    pub(crate) account_sid: String,
    pub(crate) key_sid: String,
    pub(crate) secret_file: String,
    pub(crate) sender: String,
    pub(crate) public_url: String,
    pub(crate) auth_token_file: String,
    pub(crate) api_url: String,
    pub(crate) ca_file: String,
    pub(crate) timeout_millis: u64,
}

impl Default for TwilioConfig {
    fn default() -> Self {
        let none = String::new;
        Self {
            account_sid: none(),
            key_sid: none(),
            secret_file: none(),
            sender: none(),
            public_url: none(),
            auth_token_file: none(),
            api_url: "https://api.twilio.com".to_owned(),
            ca_file: none(),
            timeout_millis: 10_000,
        }
    }
}

impl TwilioConfig {
    /// What is missing to send with it.
    fn missing(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let reports = !self.public_url.is_empty();
        [
            (&self.account_sid, true, "twilio.account_sid", "is needed with sms.provider `twilio`"),
            (&self.secret_file, true, "twilio.secret_file", "is needed with sms.provider `twilio`"),
            (&self.sender, true, "twilio.sender", "is needed with sms.provider `twilio`"),
            (
                &self.auth_token_file,
                reports,
                "twilio.auth_token_file",
                "is needed with twilio.public_url: calls cannot be checked without it",
            ),
        ]
        .into_iter()
        .filter(|(text, needed, ..)| *needed && text.is_empty())
        .map(|(_, _, key, what)| (key, what))
    }
}

impl Config {
    /// What receipts of erasures promise.
    pub(crate) fn erase_policy(&self) -> ErasePolicy {
        let events =
            if self.outside.events.sink == EventsTo::None { 0 } else { self.erase.events_kept_millis };
        ErasePolicy { events_kept_millis: events, ..self.erase.clone() }
    }

    /// Who issues tokens and for whom.
    pub(crate) fn auth_scope(&self) -> lynk_auth::Scope {
        lynk_auth::Scope { issuer: self.auth_issuer.clone(), audience: self.auth_audience.clone() }
    }
}

/// Where a value came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// Nobody set it.
    Default,
    /// Line of the file, counted from 1.
    File(u32),
    /// The environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag,
}

/// A configuration and where each of its values came from.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Loaded {
    /// The values.
    pub(crate) config: Config,
    /// By row of [`KEYS`].
    pub(crate) origins: Vec<Origin>,
}

/// What the configuration is read from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// The file, if one was named.
    pub(crate) file: Option<PathBuf>,
    /// The environment: all of it, other variables are skipped.
    pub(crate) environment: Vec<(String, String)>,
    /// `key=value` of the command line, in order.
    pub(crate) flags: Vec<(String, String)>,
}

/// Reads all layers and checks what they add up to.
///
/// # Errors
/// Every problem found, each with its place and cure.
pub(crate) fn load(sources: &Sources) -> Result<Loaded, Problems> {
    let text = match &sources.file {
        None => None,
        Some(path) => Some(std::fs::read_to_string(path).map_err(|error| {
            Problems::one(Problem::new(path.display(), format!("cannot be read: {error}")))
        })?),
    };
    load_text(sources, text.as_deref())
}

/// As [`load`], with the file's text at hand.
pub(crate) fn load_text(sources: &Sources, text: Option<&str>) -> Result<Loaded, Problems> {
    let mut problems = Problems::default();
    let mut settings = Vec::new();
    if let Some(text) = text {
        let name = sources.file.as_deref().unwrap_or(Path::new("configuration"));
        layer::file(name, text, &mut settings, &mut problems);
    }
    layer::environment(&sources.environment, &mut settings, &mut problems);
    layer::flags(&sources.flags, &mut settings, &mut problems);

    let mut loaded = Loaded { config: Config::default(), origins: vec![Origin::Default; KEYS.len()] };
    for setting in settings {
        let key = &KEYS[setting.row];
        match key.set(&mut loaded.config, &setting.text) {
            Ok(()) => loaded.origins[setting.row] = setting.origin,
            Err(what) => problems.push(Problem::new(setting.place, format!("`{}` {what}", key.path))),
        }
    }
    check(&loaded, &mut problems);
    if problems.is_empty() { Ok(loaded) } else { Err(problems) }
}

/// Relations between keys.
fn check(loaded: &Loaded, problems: &mut Problems) {
    let config = &loaded.config;
    if let Some(broken) = config.limits.broken_relation() {
        problems.push(Problem::new("[limits]", broken));
    }
    if !is_path(&config.listen_path) {
        problems.push(Problem::new(
            "listen.path",
            "must begin with a slash and hold neither `?`, `#` nor blanks",
        ));
    }
    for origin in &config.listen_origins {
        if let Some(what) = origin::problem(origin) {
            problems.push(Problem::new("listen.origins", format!("{origin:?} {what}")));
        }
    }
    if config.admin_enabled && config.listen.port() == config.admin_listen.port() && config.listen.port() != 0
    {
        let overlap = config.listen.ip() == config.admin_listen.ip()
            || config.listen.ip().is_unspecified()
            || config.admin_listen.ip().is_unspecified();
        if overlap {
            problems
                .push(Problem::new("admin.address", "is the clients' address: give it a port of its own"));
        }
    }
    if let Some(broken) = config.codes.broken_relation() {
        problems.push(Problem::new("[codes]", broken));
    }
    if let Some(broken) = config.sessions.broken_relation() {
        problems.push(Problem::new("[sessions]", broken));
    }
    if let Some(broken) = config.factors.broken_relation() {
        problems.push(Problem::new("[factors]", broken));
    }
    for country in &config.codes.countries {
        if country.len() != 2 || !country.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            problems.push(Problem::new(
                "codes.countries",
                format!("{country:?} is not a country of two letters such as \"DE\""),
            ));
        }
    }
    if config.sms_provider == SmsProvider::Console && !config.listen.ip().is_loopback() {
        problems.push(Problem::new(
            "sms.provider",
            "`console` shows codes on this machine instead of sending them, and others can reach listen.address: use `twilio` or `none`, or listen on loopback",
        ));
    }
    if config.sms_provider == SmsProvider::Twilio {
        for (key, what) in config.twilio.missing() {
            problems.push(Problem::new(key, what));
        }
    }
    if config.push.provider == PushProvider::Fcm && config.push.fcm_account_file.is_empty() {
        problems.push(Problem::new("push.fcm_account_file", "is needed with push.provider `fcm`"));
    }
    config.media.check(problems);
    if config.push.retry_max_millis < config.push.retry_min_millis {
        problems.push(Problem::new("push.retry_max", "must not be less than push.retry_min"));
    }
    let shared = config.outside.relational != RelationalIn::Embedded
        && config.outside.messages != MessagesIn::Embedded
        && config.outside.ephemeral != EphemeralIn::Local
        && config.outside.events.sink == EventsTo::Kafka;
    if config.push.run == PushRun::Separate && !shared {
        problems.push(Problem::new(
            "push.run",
            "`separate` needs stores that another process can reach: store.relational `postgres`, store.messages `cassandra`, \
             store.ephemeral `redis`, and events.sink `kafka`",
        ));
    }
    if config.room_level == AckLevel::Replicated && config.outside.messages == MessagesIn::Embedded {
        problems.push(Problem::new(
            "rooms.default_level",
            "`replicated` needs an outside message store: set store.messages = \"cassandra\", or use `local`",
        ));
    }
    if let Some(feature) = crate::stores::missing_feature(config) {
        problems.push(Problem::new(
            "[store], [events]",
            format!("this build has no {feature}: use one with the feature `{feature}`"),
        ));
    }
    let outside = &config.outside;
    if outside.messages == MessagesIn::Cassandra && outside.cassandra.nodes.is_empty() {
        problems.push(Problem::new("cassandra.nodes", "must name a node such as \"cassandra.example:9042\""));
    }
    if outside.events.sink == EventsTo::Kafka && outside.kafka.bootstrap.is_empty() {
        problems.push(Problem::new("kafka.bootstrap", "must name a broker such as \"kafka.example:9093\""));
    }
    if config.journal_disk_bytes_max < 8 * config.journal_segment_bytes {
        problems.push(Problem::new(
            "journal.disk_bytes_max",
            "must hold at least 8 segments of journal.segment_bytes",
        ));
    }
}

/// Whether requests can name it: what follows `?` or `#` is not part of a path, and a blank ends it.
fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'))
}

/// The rows whose values differ, in table order.
pub(crate) fn changed(old: &Config, new: &Config) -> Vec<&'static Key> {
    KEYS.iter().filter(|key| key.get(old) != key.get(new)).collect()
}

#[cfg(test)]
mod tests;
