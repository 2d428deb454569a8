//! What waits for minutes in Redis: how it is reached, and as whom.

use std::sync::Arc;
use std::time::Duration;

use lynk_redis::{Connect, RedisBridge, Timeouts, acl};

use super::SharedEphemeral;
use crate::config::Config;
use crate::credentials::Identity;
use crate::exit::Failure;
use crate::health::Bridge;

/// Starts the bridge. It connects when it can: without Redis the process goes on by itself.
///
/// # Errors
/// A file of the identity cannot be used, or there is no thread.
pub(crate) fn start(config: &Config) -> Result<SharedEphemeral, Failure> {
    let unusable = |error: lynk_redis::OpenError| Failure::dependency(error.to_string());
    let (outside, redis) = (&config.outside, &config.outside.redis);
    let identity = Identity::of(outside, acl::USER)?;
    let connect = Connect {
        host: redis.host.clone(),
        port: redis.port,
        user: identity.role.to_owned(),
        password: identity.secret()?,
        ca: outside.authority(&redis.ca),
        certificate: identity.certificate,
        key: identity.key,
        prefix: redis.prefix.clone(),
        timeouts: Timeouts { call: Duration::from_millis(redis.call_millis), ..Timeouts::default() },
    };
    let bridge = RedisBridge::start(&connect).map_err(unusable)?;
    let numbers = bridge.counts();
    Ok(SharedEphemeral {
        store: Arc::new(bridge.handle()),
        bridge: Bridge {
            name: "redis",
            health: numbers.health.clone(),
            add_to: Box::new(move |snapshot| numbers.add_to(snapshot)),
        },
        finish: Box::new(move || bridge.finish()),
    })
}
