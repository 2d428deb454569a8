//! How to reach the servers, and as whom.
//!
//! Thread: a bridge's. Nothing of a [`Connect`] that is secret is shown by `Debug` or repeated by an error. The certificate of a node
//! must name its address, because nodes that the cluster tells of are known by nothing else.
//!
//! Limits: connecting ends after [`Limits::connect_timeout`] as a whole. What can fail: see [`ConnectError`].

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lynk_bridge::Secret;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use scylla::client::PoolSize;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::retry::FallthroughRetryPolicy;
use scylla::statement::Consistency;

use crate::Fault;

/// Whom we are for the transport. PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Our certificate, and those between it and the CA.
    pub certificate: Vec<u8>,
    /// Its key, not encrypted.
    pub key: Secret,
}

/// TLS, which is not optional.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Certificates of the CAs that servers may be of, PEM. No others are trusted.
    pub ca: Vec<u8>,
    /// `None` only where the server asks for none.
    pub identity: Option<Identity>,
}

/// Sizes and times.
#[derive(Clone, Debug)]
pub struct Limits {
    /// For connecting as a whole, and for the handshake of each connection.
    pub connect_timeout: Duration,
    /// For one request to the server.
    pub request_timeout: Duration,
    /// A read that has no answer after this is asked of one more replica.
    pub speculate_after: Duration,
    /// Requests of one append that wait for the server at a time.
    pub in_flight: usize,
    /// Rows of one partition that one request writes at most.
    pub request_rows: usize,
    /// Bytes of such a request, about; a greater row goes alone.
    pub request_bytes: usize,
    /// How long a key is found, at least 7 days and at most 20 years.
    pub key_life: Duration,
}

/// How long a key is found at least.
pub(crate) const KEY_LIFE_MIN: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The longest time that the server takes.
pub(crate) const KEY_LIFE_MAX: Duration = Duration::from_secs(20 * 365 * 24 * 60 * 60);

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(5),
            speculate_after: Duration::from_millis(100),
            in_flight: 32,
            request_rows: 256,
            request_bytes: 64 << 10,
            key_life: KEY_LIFE_MIN,
        }
    }
}

/// Where the servers are, and who we are.
#[derive(Clone, Debug)]
pub struct Connect {
    /// Nodes to begin with, `host:port`; the cluster tells of the others.
    pub nodes: Vec<String>,
    /// The data centre that is asked, and whose quorum decides. `None` asks all, for a cluster of one.
    pub datacenter: Option<String>,
    /// The keyspace: small letters, digits and underscores.
    pub keyspace: String,
    /// Whose journals the cursors are of: several installations may keep their logs in one keyspace. Not of the same rooms.
    pub installation: String,
    /// The role.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// Certificates.
    pub tls: Tls,
    /// Sizes and times.
    pub limits: Limits,
}

/// Why there is no connection.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// A certificate or key cannot be used: which, and why.
    Tls(&'static str, String),
    /// A name of the configuration cannot be one of the server's.
    Name(String),
    /// The password is not text.
    Password,
    /// No server let us in.
    Refused(String),
    /// No answer in this time.
    TimedOut(Duration),
    /// The tables are not there, or of an older version than this program needs, or of a newer one that it cannot use.
    Schema {
        /// What is there; 0 for nothing.
        found: i32,
        /// What is needed.
        needed: i32,
    },
    /// A statement failed.
    Fault(Fault),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls(what, why) => write!(f, "{what} cannot be used: {why}"),
            Self::Name(name) => {
                write!(
                    f,
                    "{name:?} cannot be a name here: small letters, digits and _ only, a letter first, 48 at most"
                )
            }
            Self::Password => f.write_str("the password of the role is not text"),
            Self::Refused(why) => write!(f, "no Cassandra node let us in: {why}"),
            Self::TimedOut(time) => write!(f, "no Cassandra node answered within {time:?}"),
            Self::Schema { found, needed } if found < needed => {
                write!(
                    f,
                    "the tables of the message log have version {found}, this program needs {needed}: run the migration"
                )
            }
            Self::Schema { found, needed } => {
                write!(
                    f,
                    "the tables of the message log have version {found}, this program knows {needed}: use a newer program"
                )
            }
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for ConnectError {}

impl From<Fault> for ConnectError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Refuses what would have to be quoted in a statement.
pub(crate) fn check_name(name: &str) -> Result<&str, ConnectError> {
    let fits = name.len() <= 48
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if fits { Ok(name) } else { Err(ConnectError::Name(name.to_owned())) }
}

fn tls_config(tls: &Tls) -> Result<ClientConfig, ConnectError> {
    let certificates = |what: &'static str, pem: &[u8]| {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        match found {
            Ok(found) if !found.is_empty() => Ok(found),
            Ok(_) => Err(ConnectError::Tls(what, "it holds no certificate".to_owned())),
            Err(error) => Err(ConnectError::Tls(what, error.to_string())),
        }
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates("the CA's certificate", &tls.ca)? {
        roots
            .add(certificate)
            .map_err(|error| ConnectError::Tls("the CA's certificate", error.to_string()))?;
    }
    // Named, because the driver brings a second provider and rustls would not choose.
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| ConnectError::Tls("TLS", error.to_string()))?
        .with_root_certificates(roots);
    let Some(identity) = &tls.identity else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates("the client's certificate", &identity.certificate)?;
    // What the parser says of a key could repeat some of it.
    let key = PrivateKeyDer::from_pem_slice(identity.key.reveal())
        .map_err(|_| ConnectError::Tls("the client's key", "it is no PEM key".to_owned()))?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| ConnectError::Tls("the client's certificate and key", error.to_string()))
}

/// Opens connections to the cluster.
pub(crate) async fn session(connect: &Connect) -> Result<Session, ConnectError> {
    let limits = &connect.limits;
    let password = std::str::from_utf8(connect.password.reveal()).map_err(|_| ConnectError::Password)?;
    let keyspace = check_name(&connect.keyspace)?;
    let mut nearest = DefaultPolicy::builder().token_aware(true);
    if let Some(datacenter) = &connect.datacenter {
        // A quorum of another data centre would not be the one that has our rows.
        nearest = nearest.prefer_datacenter(datacenter.clone()).permit_dc_failover(false);
    }
    let profile = ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .request_timeout(Some(limits.request_timeout))
        // A second try inside the driver could end with an error that says less than the first one.
        .retry_policy(Arc::new(FallthroughRetryPolicy::new()))
        .speculative_execution_policy(None)
        .load_balancing_policy(nearest.build())
        .build();
    let one = NonZeroUsize::MIN;
    let builder = SessionBuilder::new()
        .known_nodes(&connect.nodes)
        .user(connect.user.as_str(), password)
        .tls_context(Some(Arc::new(tls_config(&connect.tls)?)))
        .default_execution_profile_handle(profile.into_handle())
        .connection_timeout(limits.connect_timeout)
        .keyspaces_to_fetch([keyspace])
        .pool_size(PoolSize::PerHost(one))
        // They speak without TLS, or are not there.
        .disallow_shard_aware_port(true)
        .driver_config_reporting(false)
        .schema_agreement_interval(Duration::from_millis(20))
        .tcp_nodelay(true);
    match tokio::time::timeout(limits.connect_timeout, builder.build()).await {
        Ok(Ok(session)) => Ok(session),
        Ok(Err(error)) => Err(ConnectError::Refused(error.to_string())),
        Err(_) => Err(ConnectError::TimedOut(limits.connect_timeout)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_shown() {
        let connect = Connect {
            nodes: vec!["127.0.0.1:1".to_owned()],
            datacenter: None,
            keyspace: "lynk".to_owned(),
            installation: String::new(),
            user: "lynk_messages".to_owned(),
            password: Secret::new("hunter2"),
            tls: Tls {
                ca: Vec::new(),
                identity: Some(Identity { certificate: Vec::new(), key: Secret::new("hunter3") }),
            },
            limits: Limits::default(),
        };
        let shown = format!("{connect:?} {connect:#?}");
        assert!(!shown.contains("hunter") && !shown.contains("104"), "{shown}");
        let refused = tls_config(&connect.tls).expect_err("nothing in it");
        assert!(refused.to_string().contains("the CA's certificate"), "{refused}");
    }

    #[test]
    fn names_that_would_need_quotes_are_refused() {
        for name in ["lynk", "a", "lynk_7"] {
            assert_eq!(check_name(name), Ok(name));
        }
        for name in ["", "7a", "Lynk", "a-b", "a;drop", "a\"", &"a".repeat(49)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
