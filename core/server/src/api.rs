//! The API bridge put together: mailboxes, keys, limits, the files of the web client.
//!
//! Thread: boot. What can fail: descriptors and threads.

use std::sync::Arc;
use std::time::Duration;

use lynk_api::accounts::{AccountsState, router};
use lynk_api::system_clock;
use lynk_api::{
    ApiBridge, ApiOptions, ApiParts, Asset, Counts, Devices, DevicesState, Intake, Operation, Shards,
    device_router,
};
use lynk_domain::ShardId;
use lynk_http::Policy;
use lynk_reactor::{ApiPort, Plan};

use crate::boot::KeySwap;
use crate::config::Config;
use crate::exit::Failure;
use crate::os;

/// The web client.
static WEB: &[Asset] = include!(concat!(env!("OUT_DIR"), "/web.rs"));

/// What the server can do beside rooms and messages.
fn operations() -> Vec<Operation> {
    let mut all = lynk_api::accounts::operations();
    all.extend(lynk_api::device_operations());
    all.extend(lynk_media::operations());
    all
}

/// The text of `docs/openapi.json`.
#[must_use]
pub fn openapi_document() -> String {
    let mut all = lynk_api::room_operations();
    all.extend(operations());
    lynk_api::document_text(&all)
}

/// The text of `docs/asyncapi.json`.
#[must_use]
pub fn asyncapi_document() -> String {
    lynk_api::socket_document_text()
}

/// Mailboxes between the bridge and the shards, before either runs.
pub(crate) struct Mailboxes {
    intake: Intake,
    /// The shards as operations see them.
    pub(crate) shards: Shards,
    counts: Arc<Counts>,
}

impl Mailboxes {
    /// Makes them; the ports are those of the shards, in order.
    ///
    /// # Errors
    /// No descriptor, or no random numbers.
    pub(crate) fn open(plan: &Plan, shard_count: u16) -> Result<(Self, Vec<ApiPort>), Failure> {
        let wakes = (0..shard_count)
            .map(|shard| {
                let waker = plan.waker(ShardId(shard));
                Arc::new(move || waker.ring()) as lynk_bridge::Wake
            })
            .collect();
        let counts = Arc::new(Counts::default());
        let (intake, shards, ports) = lynk_api::open(wakes, u64::from_le_bytes(os::random()?), &counts)?;
        Ok((Self { intake, shards, counts }, ports.into_iter().map(port).collect()))
    }

    pub(crate) fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// Starts the bridge.
    ///
    /// # Errors
    /// No thread.
    pub(crate) fn start(
        self,
        config: &Config,
        keys: &Arc<KeySwap>,
        accounts: &AccountsState,
        (devices, media): (Option<Arc<dyn Devices>>, lynk_media::MediaApi),
        files_max: Option<u64>,
    ) -> Result<ApiBridge, Failure> {
        let devices = DevicesState { devices, authority: accounts.authority(), clock: system_clock() };
        let (keys, tickets) = (Arc::clone(keys), Arc::clone(accounts.tickets()));
        let clock = system_clock();
        let policy = Policy { path: config.listen_path.clone(), origins: config.listen_origins.clone() };
        let options = ApiOptions {
            policy,
            connections_max: connections_max(config, files_max),
            connections_per_network_max: config.api_connections_per_network_max,
            request_time: Duration::from_millis(config.api_request_millis),
        };
        let parts = ApiParts {
            options,
            keys: Arc::new(move || keys.current()),
            clock: system_clock(),
            redeem: Box::new(move |ticket| {
                let (tickets, now, ticket) = (Arc::clone(&tickets), clock(), ticket.to_owned());
                Box::pin(async move { tickets.redeem(now, &ticket).await })
            }),
            assets: WEB,
            elsewhere: media.elsewhere(),
            routes: router(accounts.clone()).merge(device_router(devices)).merge(lynk_media::router(media)),
            operations: operations(),
        };
        Ok(ApiBridge::start(self.intake, parts, self.counts)?)
    }
}

fn port(port: lynk_api::ShardPort) -> ApiPort {
    let lynk_api::ShardPort { sockets, answers, inputs, bell, wake } = port;
    ApiPort { sockets, answers, inputs, bell, wake: Box::new(move || wake()) }
}

/// Connections that the bridge may have: what is configured, and no more than a quarter of the open files.
pub(crate) fn connections_max(config: &Config, files_max: Option<u64>) -> u32 {
    let by_files = files_max.map_or(u64::MAX, |max| max.saturating_sub(os::FILES_RESERVED) / 4);
    config.api_connections_max.min(u32::try_from(by_files).unwrap_or(u32::MAX))
}
