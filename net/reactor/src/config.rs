//! What a shard is configured with. Plain values: only the server knows files and the environment.

use lynk_connection::Settings;
use lynk_domain::{Limits, Nanos};

/// Which driver moves the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Backend {
    /// io_uring; epoll where the kernel refuses it, with one warning.
    #[default]
    Auto,
    /// io_uring, or no start.
    Uring,
    /// epoll and one disk thread per shard.
    Epoll,
}

/// Options of every client socket. Set on the listener, from which connections inherit them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SocketOptions {
    /// `SO_SNDBUF` in bytes (the kernel doubles it): bounds what a slow reader costs in kernel memory, and how late the
    /// send queue notices it. `None` leaves the kernel's automatic size.
    pub send_buffer_bytes: Option<u32>,
    /// `TCP_USER_TIMEOUT` in milliseconds: sent data that the peer does not acknowledge for so long ends the connection.
    pub user_timeout_millis: u32,
    /// Connections that the kernel completes while no shard has accepted them.
    pub backlog: u32,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self { send_buffer_bytes: Some(64 << 10), user_timeout_millis: 30_000, backlog: 4_096 }
    }
}

/// Configuration of one shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Limits and policy of connections.
    pub connection: Settings,
    /// Sockets of this shard at most, closing ones included. Further ones wait in the kernel's queue until there is room.
    pub connections_max: u32,
    /// Sockets that have not finished their request head, at most. The next is closed unanswered.
    pub half_open_max: u32,
    /// Buffer that all reads of the shard share.
    pub receive_bytes: usize,
    /// Bytes read from one connection in one turn before others get theirs.
    pub read_bytes_per_turn: usize,
    /// Mail from one shard, and replies of the store, taken in one turn.
    pub mail_per_turn: usize,
    /// A turn that takes longer is counted as a stall, in nanoseconds.
    pub stall_nanos: u64,
    /// Time between two published snapshots, in nanoseconds.
    pub publish_nanos: u64,
    /// Time that a stopped shard gives its last sockets, in nanoseconds.
    pub stop_nanos: u64,
    /// Processor to run on; `None` for any.
    pub processor: Option<usize>,
}

impl Config {
    /// The defaults for a server's limits.
    #[must_use]
    pub fn new(connection: Settings, limits: &Limits) -> Self {
        Self {
            connection,
            // Above the engine's limit, so that the first ones beyond it get an answer.
            connections_max: limits.connections_per_shard_max.saturating_add(256),
            half_open_max: 20_000,
            receive_bytes: 64 << 10,
            read_bytes_per_turn: 256 << 10,
            mail_per_turn: 1_024,
            stall_nanos: 50 * Nanos::MILLISECOND,
            publish_nanos: 250 * Nanos::MILLISECOND,
            stop_nanos: 2 * Nanos::SECOND,
            processor: None,
        }
    }
}
