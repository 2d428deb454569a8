//! The memory contract: what each part of the server may take at most, as the limits add up.
//!
//! Thread: boot. Parts that grow with what clients do are counted at their maximum, all connections at once, so that
//! an operator sees which limit a machine cannot keep. Nothing can fail.

use lynk_journal::WriterLimits;
use lynk_reactor::Chosen;

use crate::config::Config;

/// Bytes of each part, all shards together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Contract {
    connections: u64,
    /// Connections that do nothing: their own state, their session and one subscription.
    idle_connections: u64,
    /// Request heads that have arrived in part.
    request_heads: u64,
    /// Messages that have arrived in part.
    inbound_messages: u64,
    send_queue_max: u32,
    send_queues: u64,
    /// Of the kernel; 0 when it chooses their size.
    kernel_send_buffers: u64,
    room_windows: u64,
    undrained_index: u64,
    dedupe: u64,
    mailboxes: u64,
    /// HTTP connections, each with a request and its body.
    api: u64,
    /// Buffers of frames that wait to be used again.
    frame_pools: u64,
    journal_buffers: u64,
    store: u64,
    /// Codes, tickets, registrations and addresses that are counted, messages whose reports are awaited.
    accounts: u64,
    /// Notifications on their way, connections for them, SQLite's cache.
    push: u64,
    /// Pieces of files that come and go.
    media: u64,
}

impl Contract {
    /// Of a server with `shard_count` shards, each with at most `connections_per_shard` sockets.
    pub(crate) fn new(config: &Config, shard_count: u16, connections_per_shard: u32) -> Self {
        let limits = &config.limits;
        let shards = u64::from(shard_count);
        let connections = shards * u64::from(connections_per_shard);
        let half_open = shards * u64::from(config.listen_half_open_max.min(connections_per_shard));
        let idle = lynk_connection::CONNECTION_BYTES_MAX as u64 + 512;
        let mail = (lynk_reactor::MAILBOX_ITEMS * size_of::<lynk_engine::Mail>()) as u64;
        let per_shard =
            |count: u32, bytes: u64| shards.saturating_mul(u64::from(count)).saturating_mul(bytes);
        let undrained = lynk_engine::UNDRAINED_RECORD_BYTES_MAX as u64;
        Self {
            connections,
            idle_connections: connections.saturating_mul(idle),
            request_heads: half_open.saturating_mul(lynk_http::HEAD_BYTES_MAX as u64),
            inbound_messages: connections.saturating_mul(u64::from(limits.frame_bytes_max)),
            send_queue_max: limits.send_queue_bytes_max,
            send_queues: connections.saturating_mul(u64::from(limits.send_queue_bytes_max)),
            // The kernel doubles what it is given.
            kernel_send_buffers: connections.saturating_mul(2 * u64::from(config.listen_send_buffer_bytes)),
            room_windows: per_shard(
                limits.rooms_loaded_per_shard_max,
                u64::from(limits.room_window_bytes_max),
            ),
            undrained_index: per_shard(limits.undrained_records_per_shard_max, undrained),
            dedupe: per_shard(limits.dedupe_entries_per_shard_max, 96),
            mailboxes: shards * shards.saturating_sub(1) * mail,
            api: u64::from(config.api_connections_max) * (lynk_api::CONNECTION_BYTES_MAX as u64),
            frame_pools: shards * lynk_engine::FRAME_POOLS_BYTES_MAX as u64,
            journal_buffers: shards * 2 * WriterLimits::default().uncommitted_bytes_max as u64,
            store: config.store_cache_bytes + 4 * config.store_memtable_bytes,
            accounts: lynk_api::accounts::memory_bytes_max(&config.codes) + lynk_sms::memory_bytes_max(),
            push: lynk_push::memory_bytes_max(),
            media: match config.media.enabled {
                true => config.media.options(&config.data_dir).memory_bytes_max(config.media.is_in_bucket()),
                false => 0,
            },
        }
    }

    /// Logs it.
    pub(crate) fn tell(&self, chosen: Chosen) {
        tracing::info!(
            event = "memory_contract",
            connections_max = self.connections,
            idle_connections_bytes = self.idle_connections,
            request_heads_bytes = self.request_heads,
            inbound_messages_bytes = self.inbound_messages,
            send_queue_bytes_max = self.send_queue_max,
            send_queues_bytes = self.send_queues,
            kernel_send_buffers_bytes = self.kernel_send_buffers,
            room_windows_bytes = self.room_windows,
            undrained_index_bytes = self.undrained_index,
            dedupe_bytes = self.dedupe,
            mailboxes_bytes = self.mailboxes,
            api_bytes = self.api,
            frame_pools_bytes = self.frame_pools,
            journal_buffers_bytes = self.journal_buffers,
            store_bytes = self.store,
            accounts_bytes = self.accounts,
            push_bytes = self.push,
            media_bytes = self.media,
            driver = chosen.name(),
            "the most that each part may take; limits.*, listen.*, store.*, codes.* and media.* change it"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_counted_at_its_limit() {
        let config = Config::default();
        let contract = Contract::new(&config, 4, 1_000);
        assert_eq!(contract.connections, 4_000);
        assert_eq!(contract.inbound_messages, 4_000 * (128 << 10));
        assert_eq!(contract.kernel_send_buffers, 4_000 * (128 << 10));
        assert_eq!(contract.request_heads, 4_000 * (8 << 10), "no more heads than connections");
        assert_eq!(contract.mailboxes, 12 * 8_192 * size_of::<lynk_engine::Mail>() as u64);
        assert!(contract.undrained_index <= 4 * (128 << 20));
        assert_eq!(contract.frame_pools, 4 * (24 << 20));
        assert_eq!(Contract::new(&config, 1, 1_000).mailboxes, 0);
    }
}
