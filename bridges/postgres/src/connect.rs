//! [`Connect`]: which server, as whom, with which keys; and the TLS that is always on.
//!
//! Thread: boot. Reads the certificate files once, blocking; renewed files count from the next start.
//! What can fail: a file that is missing, is no PEM, or is a key that others may read.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use lynk_bridge::{FileError, Secret, tls_client};
use rustls::pki_types::ServerName;
use tokio_postgres::config::{ChannelBinding, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Connections that a pool may have.
const POOL_SIZE_MAX: u32 = 64;
/// How long the server goes on with a statement whose client has gone.
const GONE_CLIENT_CHECK: Duration = Duration::from_secs(2);

/// How long one waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// For a new connection: TCP, TLS and sign-in together.
    pub connect: Duration,
    /// For one statement, locks included; the server ends it.
    pub statement: Duration,
    /// For a call as a whole: a free connection, all statements, all tries. A commit that was sent is waited for as long again.
    pub operation: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            statement: Duration::from_secs(4),
            operation: Duration::from_secs(8),
        }
    }
}

/// One role's way to one database.
#[derive(Clone, Debug)]
pub struct Connect {
    /// Name or address of the server; its certificate must be for it.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Database.
    pub database: String,
    /// Role, which is also the CN of the client certificate.
    pub user: String,
    /// The role's password.
    pub password: Secret,
    /// PEM file of the authority that signed the server's certificate; no other one is trusted.
    pub ca: PathBuf,
    /// PEM file of the client certificate, with intermediate ones after it.
    pub certificate: PathBuf,
    /// PEM file of its key, which others must not be able to read.
    pub key: PathBuf,
    /// Connections at most, 1 to 64.
    pub pool_size: u32,
    /// How long one waits.
    pub timeouts: Timeouts,
}

/// Why a store cannot be set up. Ends the start of the server; the text names what to change.
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
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(error) => error.fmt(f),
            Self::Setting { name, why } => write!(f, "setting {name} of PostgreSQL: {why}"),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Files(error) => error.source(),
            _ => None,
        }
    }
}

impl Connect {
    /// Settings of the driver. `bounded` is for stores; a migration may take as long as it takes.
    pub(crate) fn settings(&self, bounded: bool) -> Result<tokio_postgres::Config, OpenError> {
        for (name, value) in [("host", &self.host), ("database", &self.database), ("user", &self.user)] {
            if value.is_empty() || value.contains('\0') {
                return Err(OpenError::Setting { name, why: "must not be empty" });
            }
        }
        if !(1..=POOL_SIZE_MAX).contains(&self.pool_size) {
            return Err(OpenError::Setting { name: "pool_size", why: "must be 1 to 64" });
        }
        let Timeouts { connect, statement, operation } = self.timeouts;
        if connect.is_zero() || statement.as_millis() == 0 || operation.is_zero() {
            return Err(OpenError::Setting { name: "timeouts", why: "must not be 0" });
        }
        let mut settings = tokio_postgres::Config::new();
        settings
            .host(&self.host)
            .port(self.port)
            .dbname(&self.database)
            .user(&self.user)
            .password(self.password.reveal())
            .application_name("lynk")
            // There is no way in without TLS, and no password leaves without being bound to the channel.
            .ssl_mode(SslMode::Require)
            .channel_binding(ChannelBinding::Require)
            .connect_timeout(connect)
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(30))
            .tcp_user_timeout(operation);
        // Names in statements are whole: nothing depends on a search path, and nothing can be put before a table.
        let mut options = format!(
            "-c search_path=pg_catalog -c client_connection_check_interval={}",
            GONE_CLIENT_CHECK.as_millis()
        );
        if bounded {
            options.push_str(&format!(
                " -c statement_timeout={} -c idle_in_transaction_session_timeout={}",
                statement.as_millis(),
                operation.as_millis()
            ));
        }
        settings.options(options);
        Ok(settings)
    }

    /// TLS with our certificate, to a server that the authority vouches for under its host's name. Reads files.
    pub(crate) fn tls(&self) -> Result<MakeRustlsConnect, OpenError> {
        if ServerName::try_from(self.host.as_str()).is_err() {
            return Err(OpenError::Setting { name: "host", why: "must be a host name or an address" });
        }
        let config = tls_client(&self.ca, &self.certificate, &self.key).map_err(OpenError::Files)?;
        Ok(MakeRustlsConnect::new(config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_prints_the_password() {
        let connect = Connect {
            host: "db.example".to_owned(),
            port: 5432,
            database: "lynk".to_owned(),
            user: "lynk_rooms".to_owned(),
            password: Secret::new("very secret"),
            ca: PathBuf::from("ca.crt"),
            certificate: PathBuf::from("a.crt"),
            key: PathBuf::from("a.key"),
            pool_size: 4,
            timeouts: Timeouts::default(),
        };
        let settings = connect.settings(true).expect("good settings");
        let printed = format!("{connect:?} {:?} {settings:?}", connect.password);
        assert!(!printed.contains("very secret") && printed.contains("Secret(redacted)"), "{printed}");
    }
}
