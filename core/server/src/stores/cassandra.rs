//! The message log in Cassandra or ScyllaDB: how it is reached, and by which role.

use std::time::Duration;

use lynk_bridge::Secret;
use lynk_cassandra::{
    CassandraMessages, Connect, ConnectError, Identity as Certificate, Limits, MESSAGES, MIGRATE, Migration,
    Replication, Tls,
};
use lynk_store::Store;
use tokio::runtime::Runtime;

use super::{Messages, Miss, runtime, wait_for};
use crate::config::Config;
use crate::credentials::{Identity, read};
use crate::data_dir::DataDir;
use crate::exit::Failure;
use crate::health::Health;

const NAME: &str = "Cassandra";

fn connect(
    config: &Config,
    role: &'static str,
    installation: String,
    key_life_millis: u64,
) -> Result<Connect, Failure> {
    let outside = &config.outside;
    let identity = Identity::of(outside, role)?;
    Ok(Connect {
        nodes: outside.cassandra.nodes.clone(),
        datacenter: Some(outside.cassandra.datacenter.clone()),
        keyspace: outside.cassandra.keyspace.clone(),
        installation,
        user: identity.role.to_owned(),
        password: identity.secret()?,
        tls: Tls {
            ca: read(&outside.authority(&outside.cassandra.ca))?,
            identity: Some(Certificate {
                certificate: read(&identity.certificate)?,
                key: Secret::new(read(&identity.key)?),
            }),
        },
        limits: Limits { key_life: Duration::from_millis(key_life_millis), ..Limits::default() },
    })
}

fn miss(error: &ConnectError) -> Miss {
    match error {
        ConnectError::Refused(_) | ConnectError::TimedOut(_) | ConnectError::Fault(_) => {
            Miss::Away(error.to_string())
        }
        ConnectError::Schema { .. } => {
            Miss::Failed(Failure::dependency(error.to_string()).cure("run `lynk migrate`"))
        }
        _ => Miss::Failed(Failure::dependency(error.to_string()).cure("see the section [cassandra]")),
    }
}

/// The message log for both threads, once the cluster answers.
///
/// # Errors
/// It does not, or refuses us.
pub(crate) fn messages(
    config: &Config,
    dir: &DataDir,
    health: &Health,
    key_life_millis: u64,
) -> Result<Messages<CassandraMessages>, Failure> {
    let connect = connect(config, MESSAGES, dir.installation()?, key_life_millis)?;
    let open = || {
        let runtime = runtime()?;
        let store = wait_for(NAME, config, health, &runtime, async || {
            CassandraMessages::connect(&connect).await.map_err(|error| miss(&error))
        })?;
        Ok::<_, Failure>(Store { store, runtime })
    };
    let notified = crate::push::reads(config).then(open).transpose()?;
    Ok(Messages { read: open()?, drained: open()?, notified, embedded: None })
}

/// The message log, to be copied or filled; `installation` matters to drain positions only.
///
/// # Errors
/// The cluster does not answer, or refuses us.
pub(crate) fn log(
    config: &Config,
    installation: String,
    runtime: &Runtime,
) -> Result<CassandraMessages, Failure> {
    let connect = connect(config, MESSAGES, installation, super::key_life_millis(config))?;
    wait_for(NAME, config, &Health::new(), runtime, async || {
        CassandraMessages::connect(&connect).await.map_err(|error| miss(&error))
    })
}

/// Brings the tables to the newest version; returns what was there and what is.
///
/// # Errors
/// The cluster does not answer, or refuses us.
pub(crate) fn migrate(config: &Config, runtime: &Runtime) -> Result<(i32, i32), Failure> {
    let connect = connect(config, MIGRATE, String::new(), 0)?;
    let copies = u8::try_from(config.outside.cassandra.replicas).unwrap_or(u8::MAX);
    let migration = Migration {
        replication: Replication::Datacenters(vec![(config.outside.cassandra.datacenter.clone(), copies)]),
        grant_to: Some(MESSAGES.to_owned()),
    };
    let found = runtime.block_on(lynk_cassandra::migrate(&connect, &migration)).map_err(|error| {
        Failure::dependency(error.to_string())
            .cure("see whether the roles exist; a migration may be repeated, one at a time")
    })?;
    Ok((found, lynk_cassandra::VERSION.max(found)))
}
