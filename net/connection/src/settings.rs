//! What all connections of a server share.

use lynk_domain::{Limits, Nanos};
use lynk_http::{Policy, TrustedProxies};

/// Limits and policy of connections. A shard has one and passes it to every call, which keeps it out of each
/// connection. Times in nanoseconds, sizes in bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Path and origins of the WebSocket.
    pub policy: Policy,
    /// Peers whose connections are [`crate::Connection::behind_proxy`].
    pub trusted_proxies: TrustedProxies,
    /// Time for the whole request head.
    pub head_nanos_max: u64,
    /// Time for the end: flushing what is queued, the peer's answer, end of stream.
    pub close_nanos_max: u64,
    /// Time between two pings.
    pub heartbeat_nanos: u64,
    /// Time without progress after which a slow consumer is closed.
    pub send_stall_nanos_max: u64,
    /// Longest incoming message.
    pub frame_bytes_max: u32,
    /// Queued bytes above which a connection is a slow consumer.
    pub send_queue_bytes_high: u32,
    /// Queued bytes at which it no longer is one.
    pub send_queue_bytes_low: u32,
    /// Queued bytes above which it is closed.
    pub send_queue_bytes_max: u32,
    /// Whether binary messages are events; otherwise they close with 1003.
    pub binary: bool,
    /// Whether plain requests are events, to be handed over; otherwise they are refused with 404.
    pub requests: bool,
    /// Whether upgrades and requests are refused because the server shuts down.
    pub draining: bool,
    /// `Retry-After` of refusals that mean "try again", in seconds.
    pub retry_after_seconds: u32,
}

impl Settings {
    /// The settings for a server's limits and policy.
    #[must_use]
    pub fn new(limits: &Limits, policy: Policy) -> Self {
        Self {
            policy,
            trusted_proxies: TrustedProxies::default(),
            head_nanos_max: 5 * Nanos::SECOND,
            close_nanos_max: 5 * Nanos::SECOND,
            heartbeat_nanos: limits.heartbeat_millis.saturating_mul(Nanos::MILLISECOND),
            send_stall_nanos_max: limits.send_stall_millis_max.saturating_mul(Nanos::MILLISECOND),
            frame_bytes_max: limits.frame_bytes_max,
            send_queue_bytes_high: limits.send_queue_bytes_high,
            send_queue_bytes_low: limits.send_queue_bytes_low,
            send_queue_bytes_max: limits.send_queue_bytes_max,
            binary: false,
            requests: false,
            draining: false,
            retry_after_seconds: 5,
        }
    }
}
