//! Settings of outside systems: which ones are used, where they are, and where our identities for them lie.
//!
//! Every role that Lynk signs in with has three files in [`Outside::credentials_dir`]: `<role>.crt`, `<role>.key`, `<role>.password`. A
//! directory is what secrets are mounted as (systemd credentials, container secrets), and one key names all of them.

use std::path::PathBuf;

use super::value::{EphemeralIn, EventEnvelope, EventsTo, MessagesIn, RelationalIn};

/// See the module.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Outside {
    /// Where rooms and accounts are kept.
    pub(crate) relational: RelationalIn,
    /// Where the message log is kept.
    pub(crate) messages: MessagesIn,
    /// Where codes, registrations and tickets wait.
    pub(crate) ephemeral: EphemeralIn,
    /// How long a process that was killed still seems to have its users online.
    pub(crate) presence_lease_millis: u64,
    /// How long a start waits for systems that are away.
    pub(crate) start_wait_millis: u64,
    /// Certificates, keys and passwords.
    pub(crate) credentials_dir: PathBuf,
    /// PostgreSQL.
    pub(crate) postgres: Postgres,
    /// Cassandra or ScyllaDB.
    pub(crate) cassandra: Cassandra,
    /// Redis.
    pub(crate) redis: Redis,
    /// What happens, for other systems.
    pub(crate) events: Events,
    /// Kafka.
    pub(crate) kafka: Kafka,
}

/// What is published, and how.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Events {
    /// Where to.
    pub(crate) sink: EventsTo,
    /// Whether events carry what people wrote.
    pub(crate) include_body: bool,
    /// Their envelope.
    pub(crate) envelope: EventEnvelope,
    /// Attribute `source` of the envelope.
    pub(crate) source: String,
}

/// Where Kafka is.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Kafka {
    /// `host:port` of some brokers.
    pub(crate) bootstrap: Vec<String>,
    /// File with the authority of their certificates.
    pub(crate) ca: PathBuf,
    /// Time for one batch.
    pub(crate) timeout_millis: u64,
}

/// Where Redis is.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Redis {
    /// Name or address; the server's certificate must be for it.
    pub(crate) host: String,
    /// TCP port.
    pub(crate) port: u16,
    /// What all keys begin with.
    pub(crate) prefix: String,
    /// File with the authority of its certificate.
    pub(crate) ca: PathBuf,
    /// How long one call may take.
    pub(crate) call_millis: u64,
}

/// Where PostgreSQL is.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Postgres {
    /// Name or address; the server's certificate must be for it.
    pub(crate) host: String,
    /// TCP port.
    pub(crate) port: u16,
    /// Database.
    pub(crate) database: String,
    /// File with the authority of its certificate.
    pub(crate) ca: PathBuf,
    /// Connections of one role.
    pub(crate) pool_size: u32,
}

/// Where Cassandra is.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Cassandra {
    /// `host:port` of some nodes.
    pub(crate) nodes: Vec<String>,
    /// Our data centre.
    pub(crate) datacenter: String,
    /// Keyspace.
    pub(crate) keyspace: String,
    /// File with the authority of the nodes' certificates.
    pub(crate) ca: PathBuf,
    /// Copies of a row in our data centre, for a keyspace that is made.
    pub(crate) replicas: u16,
}

impl Default for Outside {
    fn default() -> Self {
        Self {
            relational: RelationalIn::Embedded,
            messages: MessagesIn::Embedded,
            ephemeral: EphemeralIn::Local,
            presence_lease_millis: 180_000,
            start_wait_millis: 60_000,
            credentials_dir: PathBuf::from("credentials"),
            postgres: Postgres {
                host: "localhost".to_owned(),
                port: 5432,
                database: "lynk".to_owned(),
                ca: PathBuf::from("ca.crt"),
                pool_size: 8,
            },
            cassandra: Cassandra {
                nodes: vec!["localhost:9042".to_owned()],
                datacenter: "datacenter1".to_owned(),
                keyspace: "lynk".to_owned(),
                ca: PathBuf::from("ca.crt"),
                replicas: 3,
            },
            redis: Redis {
                host: "localhost".to_owned(),
                port: 6379,
                prefix: "lynk".to_owned(),
                ca: PathBuf::from("ca.crt"),
                call_millis: 500,
            },
            events: Events {
                sink: EventsTo::None,
                include_body: false,
                envelope: EventEnvelope::None,
                source: "/lynk".to_owned(),
            },
            kafka: Kafka {
                bootstrap: vec!["localhost:9093".to_owned()],
                ca: PathBuf::from("ca.crt"),
                timeout_millis: 10_000,
            },
        }
    }
}

impl Outside {
    /// A file of an authority: beside the credentials, unless it is named with its whole path.
    pub(crate) fn authority(&self, file: &std::path::Path) -> PathBuf {
        self.credentials_dir.join(file)
    }
}
