//! [`Connect`]: which server, as whom, with which keys; and the TLS that is always on.
//!
//! Thread: boot. Reads the certificate files once, blocking; renewed files count from the next start.
//! What can fail: a file that is missing, is no PEM, or is a key that others may read.

use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::{ChannelBinding, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Connections that a pool may have.
const POOL_SIZE_MAX: u32 = 64;
/// How long the server goes on with a statement whose client has gone.
const GONE_CLIENT_CHECK: Duration = Duration::from_secs(2);

/// A password. It is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Reads a file; line ends at its end do not count. Blocks.
    ///
    /// # Errors
    /// When the file cannot be read, or is empty.
    pub fn from_file(path: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::File { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err(OpenError::Unusable { path: path.to_owned(), why: "it is empty".to_owned() });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

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
    /// A file cannot be read.
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A key that others than its owner and its group's readers can get at.
    KeyIsOpen {
        /// Which.
        path: PathBuf,
    },
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
            Self::File { path, source } => write!(f, "cannot read {}: {source}", path.display()),
            Self::Unusable { path, why } => write!(f, "cannot use {}: {why}", path.display()),
            Self::KeyIsOpen { path } => {
                write!(f, "others can get at the key {}: chmod 600 it", path.display())
            }
            Self::Setting { name, why } => write!(f, "setting {name} of PostgreSQL: {why}"),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
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
            .password(&self.password.0)
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
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.ca)? {
            roots.add(certificate).map_err(|error| unusable(&self.ca, error))?;
        }
        let chain = certificates(&self.certificate)?;
        check_mode(&self.key)?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| pem_error(&self.key, error))?;
        // Named, because two crates of one program may bring two providers, and then there is no default.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| unusable(&self.ca, error))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(|error| unusable(&self.certificate, error))?;
        Ok(MakeRustlsConnect::new(config))
    }
}

fn unusable(path: &Path, why: impl fmt::Display) -> OpenError {
    OpenError::Unusable { path: path.to_owned(), why: why.to_string() }
}

fn pem_error(path: &Path, error: rustls::pki_types::pem::Error) -> OpenError {
    match error {
        rustls::pki_types::pem::Error::Io(source) => OpenError::File { path: path.to_owned(), source },
        // The other kinds may quote the file.
        _ => unusable(path, "it is no PEM file of the right kind"),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, OpenError> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(|error| pem_error(path, error))?
        .collect::<Result<_, _>>()
        .map_err(|error| pem_error(path, error))?;
    if found.is_empty() {
        return Err(unusable(path, "it holds no certificate"));
    }
    Ok(found)
}

/// A key is its owner's; a group may read it, as secrets that are mounted into a container are laid out.
fn check_mode(path: &Path) -> Result<(), OpenError> {
    let meta = std::fs::metadata(path).map_err(|source| OpenError::File { path: path.to_owned(), source })?;
    if meta.permissions().mode() & 0o037 != 0 {
        return Err(OpenError::KeyIsOpen { path: path.to_owned() });
    }
    Ok(())
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
