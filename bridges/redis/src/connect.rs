//! [`Connect`]: which server, as whom, with which keys; and the TLS that is always on.
//!
//! Thread: boot reads the files once, blocking; renewed ones count from the next start. The bridge's thread connects.
//! What can fail: a file that is missing, is no PEM, or is a key that others may read; and the server.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lynk_bridge::{FileError, Secret, tls_client};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::key::Keys;
use crate::script::Scripts;
use crate::{Fault, FaultKind};

/// How long the key lives that a new connection writes.
const PROBE_MILLIS: u64 = 1_000;

/// How long one waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// For a new connection: TCP, TLS, signing in and the first write together.
    pub connect: Duration,
    /// For one call. What takes longer has no answer.
    pub call: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(3), call: Duration::from_millis(500) }
    }
}

/// The way to one server.
#[derive(Clone, Debug)]
pub struct Connect {
    /// Name or address of the server; its certificate must be for it.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User; see [`crate::acl`].
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// PEM file of the authority that signed the server's certificate; no other one is trusted.
    pub ca: PathBuf,
    /// PEM file of the client certificate, with intermediate ones after it.
    pub certificate: PathBuf,
    /// PEM file of its key, which others must not be able to read.
    pub key: PathBuf,
    /// What all keys begin with, before a colon.
    pub prefix: String,
    /// How long one waits.
    pub timeouts: Timeouts,
}

/// Why the bridge cannot be set up. Ends the start of the server; the text names what to change.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// A file cannot be used.
    Files(FileError),
    /// A setting that cannot be meant.
    Setting {
        /// Field of [`Connect`].
        name: &'static str,
        /// What it should be.
        why: &'static str,
    },
    /// No thread or runtime.
    Thread(std::io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(error) => error.fmt(f),
            Self::Setting { name, why } => write!(f, "setting {name} of Redis: {why}"),
            Self::Thread(source) => write!(f, "no thread for Redis: {source}"),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Files(error) => error.source(),
            Self::Thread(source) => Some(source),
            _ => None,
        }
    }
}

/// What is needed to connect, again and again.
pub(crate) struct Prepared {
    address: (String, u16),
    name: ServerName<'static>,
    tls: TlsConnector,
    user: RedisConnectionInfo,
    pub(crate) keys: Keys,
    pub(crate) timeouts: Timeouts,
}

impl Connect {
    /// Reads the files and checks the settings.
    pub(crate) fn prepare(&self) -> Result<Prepared, OpenError> {
        let setting = |name, why| Err(OpenError::Setting { name, why });
        let Ok(name) = ServerName::try_from(self.host.clone()) else {
            return setting("host", "must be a host name or an address");
        };
        if self.user.is_empty() || self.user.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return setting("user", "must be a name");
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.prefix.is_empty() || self.prefix.len() > 64 || !self.prefix.chars().all(fits) {
            return setting("prefix", "must be 1 to 64 letters, digits, `-`, `_` or `.`");
        }
        if self.timeouts.connect.is_zero() || self.timeouts.call.is_zero() {
            return setting("timeouts", "must not be 0");
        }
        let password = self.password.reveal_text();
        let Some(password) = password else { return setting("password", "must be a text") };
        let tls = tls_client(&self.ca, &self.certificate, &self.key).map_err(OpenError::Files)?;
        let user = RedisConnectionInfo::default()
            .set_username(&self.user)
            .set_password(password)
            // It would need rights for nothing.
            .set_skip_set_lib_name();
        Ok(Prepared {
            address: (self.host.clone(), self.port),
            name,
            tls: TlsConnector::from(Arc::new(tls)),
            user,
            keys: Keys::new(&self.prefix),
            timeouts: self.timeouts,
        })
    }
}

impl Prepared {
    /// A connection that may write, within its time. Its driver is a task of this runtime and ends with it.
    pub(crate) async fn open(&self, scripts: &Scripts) -> Result<MultiplexedConnection, Fault> {
        match timeout(self.timeouts.connect, self.connect(scripts)).await {
            Ok(opened) => opened,
            Err(_) => Err(Fault::new(FaultKind::Unavailable, "a connection: no answer in time", true)),
        }
    }

    async fn connect(&self, scripts: &Scripts) -> Result<MultiplexedConnection, Fault> {
        let (host, port) = &self.address;
        let failed = |error: std::io::Error| Fault::new(FaultKind::Unavailable, error, true);
        let socket = TcpStream::connect((host.as_str(), *port)).await.map_err(failed)?;
        socket.set_nodelay(true).map_err(failed)?;
        let stream = self.tls.connect(self.name.clone(), socket).await.map_err(failed)?;
        // Time-outs are ours: the driver's own would leave a connection in use whose answers are late.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let refused = |error| Fault::of_connection(&error);
        let (mut connection, driver) =
            MultiplexedConnection::new_with_config(&self.user, stream, config).await.map_err(refused)?;
        tokio::spawn(driver);
        // What cannot write, or may not load scripts, is of no use: a replica, a full server, another one's user.
        let mut probe = redis::cmd("SET");
        probe.arg(self.keys.single("probe")).arg("").arg("PX").arg(PROBE_MILLIS);
        probe.exec_async(&mut connection).await.map_err(refused)?;
        for script in scripts.all() {
            script.load_async(&mut connection).await.map_err(refused)?;
        }
        Ok(connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect() -> Connect {
        Connect {
            host: "redis.example".to_owned(),
            port: 6379,
            user: "lynk_ephemeral".to_owned(),
            password: Secret::new("very secret"),
            ca: PathBuf::from("/nonexistent/ca.crt"),
            certificate: PathBuf::from("a.crt"),
            key: PathBuf::from("a.key"),
            prefix: "lynk".to_owned(),
            timeouts: Timeouts::default(),
        }
    }

    #[test]
    fn nothing_prints_the_password() {
        let printed = format!("{:?}", connect());
        assert!(!printed.contains("very secret") && printed.contains("Secret(redacted)"), "{printed}");
    }

    #[test]
    fn settings_that_cannot_be_meant_are_named() {
        let refused = |connect: Connect| connect.prepare().err().expect("refused").to_string();
        assert!(refused(Connect { host: "a b".to_owned(), ..connect() }).contains("host"));
        assert!(refused(Connect { user: String::new(), ..connect() }).contains("user"));
        assert!(refused(Connect { prefix: "a:*".to_owned(), ..connect() }).contains("prefix"));
        let timeouts = Timeouts { call: Duration::ZERO, ..Timeouts::default() };
        assert!(refused(Connect { timeouts, ..connect() }).contains("timeouts"));
        assert!(refused(connect()).contains("/nonexistent/ca.crt"));
    }
}
