//! The mirror of presence: which store it is in, and who may read it.
//!
//! Thread: boot. With Redis the mirror is there, for all processes; without it in the memory of this one.

use std::sync::Arc;

use lynk_api::system_clock;
use lynk_domain::Nanos;
use lynk_model::port::Ephemeral;
use lynk_presence::{PresenceBridge, ShardPort, round_millis};
use lynk_reactor::PresencePort;

use crate::config::Config;
use crate::exit::Failure;

/// The bridge before the shards run.
pub(crate) struct Mirror {
    pub(crate) bridge: PresenceBridge,
    pub(crate) ports: Vec<PresencePort>,
}

/// Starts the bridge, which tells `store`.
///
/// # Errors
/// No thread.
pub(crate) fn start(config: &Config, shard_count: u16, store: Arc<dyn Ephemeral>) -> Result<Mirror, Failure> {
    let lease = config.outside.presence_lease_millis;
    let (bridge, ports) = PresenceBridge::start(shard_count, store, system_clock(), lease)?;
    Ok(Mirror { bridge, ports: ports.into_iter().map(port).collect() })
}

/// Time between two rounds of the engine.
pub(crate) fn round_nanos(config: &Config) -> u64 {
    round_millis(config.outside.presence_lease_millis).saturating_mul(Nanos::MILLISECOND)
}

fn port(port: ShardPort) -> PresencePort {
    let ShardPort { news, bell, wake } = port;
    PresencePort { news, bell, wake: Box::new(move || wake()) }
}
