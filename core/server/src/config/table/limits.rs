//! The rows of `[limits]`: what the engine enforces. A field of `Limits` each.

use super::{DAY, key};
use crate::config::keys::{Field, Key, Unit};

macro_rules! count {
    ($field:ident, $low:expr, $high:expr, $effect:literal) => {
        key(
            concat!("limits.", stringify!($field)),
            Field::U32(|c| &mut c.limits.$field, Unit::Count, $low, $high),
            $effect,
        )
    };
}
macro_rules! bytes {
    ($field:ident, $low:expr, $high:expr, $effect:literal) => {
        key(
            concat!("limits.", stringify!($field)),
            Field::U32(|c| &mut c.limits.$field, Unit::Bytes, $low, $high),
            $effect,
        )
    };
}
macro_rules! time {
    ($name:literal, $field:ident, $low:expr, $high:expr, $effect:literal) => {
        key(
            concat!("limits.", $name),
            Field::U64(|c| &mut c.limits.$field, Unit::Millis, $low, $high),
            $effect,
        )
    };
}
/// In the order of the documentation.
pub(super) const LIMITS: &[Key] = &[
    count!(message_chars_max, 1, 100_000, "Longest message text, in characters after decoding."),
    bytes!(
        frame_bytes_max,
        4 << 10,
        16 << 20,
        "Longest WebSocket message a client may send; above it the connection closes with 1009."
    ),
    count!(room_name_chars_max, 1, 1_000, "Longest room name, in characters."),
    count!(room_description_chars_max, 0, 5_000, "Longest description of a room, in characters."),
    count!(reason_chars_max, 0, 5_000, "Longest reason of a kick or ban, in characters."),
    count!(reactions_per_message_max, 0, 1_000, "Distinct emoji on one message."),
    count!(
        reactions_standing_max,
        0,
        100_000,
        "Reactions that stand on one message; the next answers `limit_reached`."
    ),
    count!(mentions_per_message_max, 0, 1_000, "Users that one message may mention by name."),
    bytes!(emoji_bytes_max, 4, 1_024, "Longest emoji."),
    count!(history_page_default, 1, 10_000, "Items of a history page when the client names no limit."),
    count!(history_page_max, 1, 10_000, "Items of a history page at most."),
    bytes!(reply_bytes_max, 16 << 10, 16 << 20, "Longest reply; longer pages are cut and say so."),
    count!(subscriptions_per_connection_max, 1, 100_000, "Rooms one connection may be subscribed to."),
    count!(
        commands_in_flight_max,
        1,
        // A session counts in one byte.
        255,
        "Commands of one connection that wait for their reply; the next answers `rate_limited`."
    ),
    count!(room_members_max, 2, 1_000_000, "Members of a room."),
    count!(presence_watch_max, 0, 10_000, "Users whose presence one connection may watch."),
    count!(presence_room_members_max, 0, 100_000, "Room size above which presence is a count and a sample."),
    count!(
        message_requests_per_day,
        0,
        100_000,
        "1:1s that an account begins with people it shares no room with, in 24 hours; the next answers `rate_limited`."
    ),
    count!(connections_per_account_max, 1, 10_000_000, "Connections of one account at a time."),
    count!(
        connections_per_ip_max,
        0,
        10_000_000,
        "Connections of one network (IPv4 /24, IPv6 /48) at a time; 0 for no limit."
    ),
    count!(
        connects_per_ip_per_second,
        0,
        10_000_000,
        "New connections of one network per second; 0 for no limit."
    ),
    count!(
        connections_per_shard_max,
        1,
        10_000_000,
        "Connections of one shard; further ones are refused with 503."
    ),
    count!(
        commands_per_connection_per_second,
        0,
        10_000_000,
        "Commands of one connection per second; 0 for no limit."
    ),
    count!(
        commands_per_account_per_second,
        0,
        10_000_000,
        "Commands of one account per second over all its connections; 0 for no limit."
    ),
    count!(
        messages_per_room_per_second,
        0,
        10_000_000,
        "Messages one room takes per second; 0 for no limit."
    ),
    count!(
        room_load_waiting_max,
        1,
        100_000,
        "Commands that wait for a room being loaded; the next answers `busy`."
    ),
    count!(room_window_events_max, 1, 10_000, "Recent events kept in memory per room."),
    bytes!(room_window_bytes_max, 1 << 10, 16 << 20, "Bytes of recent events kept in memory per room."),
    time!(
        "room_window",
        room_window_millis,
        1_000,
        DAY,
        "Age above which a recent event leaves memory, but for the last one of its room; older ones are read from the store."
    ),
    count!(
        rooms_loaded_per_shard_max,
        16,
        10_000_000,
        "Rooms kept in memory per shard; idle ones leave first."
    ),
    count!(dedupe_entries_per_shard_max, 1_024, 100_000_000, "Idempotency keys kept in memory per shard."),
    time!(
        "dedupe_window",
        dedupe_window_millis,
        1_000,
        DAY,
        "Age up to which an idempotency key is kept in memory."
    ),
    time!(
        "key_age_max",
        key_age_max_millis,
        60_000,
        30 * DAY,
        "Age up to which an idempotency key is looked up in the store; older ones answer `key_expired`."
    ),
    time!(
        "key_ahead_max",
        key_ahead_max_millis,
        0,
        DAY,
        "How far a key's time may lie ahead of the server's; beyond it `clock_skew`."
    ),
    count!(
        undrained_records_per_shard_max,
        1_000,
        1_000_000_000,
        "Journaled records of one shard that the store does not have yet; beyond it sends answer `storage_full`. The index takes up to 128 bytes for each: 122 MiB per shard by default."
    ),
    count!(resume_events_max, 0, 10_000, "Events that a resume returns per room; the rest is paged."),
    bytes!(resume_bytes_max, 0, 16 << 20, "Bytes that a resume returns per room."),
    time!("hello_max", hello_millis_max, 100, 600_000, "Time from the upgrade to a valid `hello`."),
    time!("heartbeat", heartbeat_millis, 1_000, 3_600_000, "Time between two pings of the server."),
    bytes!(
        send_queue_bytes_high,
        4 << 10,
        256 << 20,
        "Queued output above which a connection is a slow consumer and gets `resync` instead of events."
    ),
    bytes!(send_queue_bytes_low, 0, 256 << 20, "Queued output below which it no longer is one."),
    bytes!(send_queue_bytes_max, 16 << 10, 1 << 30, "Queued output above which it is closed with 4101."),
    time!(
        "send_stall_max",
        send_stall_millis_max,
        1_000,
        3_600_000,
        "Time a slow consumer may go without progress before it is closed with 4101."
    ),
    count!(
        store_requests_in_flight_max,
        1,
        1_000_000,
        "Requests to the store that one shard may have outstanding."
    ),
    count!(
        uncommitted_records_max,
        16,
        10_000_000,
        "Records of one shard that wait for a journal sync; beyond it commands answer `busy`."
    ),
    time!(
        "retention",
        retention_millis,
        0,
        36_500 * DAY,
        "Age above which messages are removed for good, a 24th part of it or an hour later at most; `0` keeps them for ever."
    ),
    time!(
        "retention_sweep",
        retention_sweep_millis,
        1_000,
        30 * DAY,
        "Time between two looks at every room for messages of that age."
    ),
    time!(
        "moderation_log",
        moderation_log_millis,
        60 * 60 * 1_000,
        36_500 * DAY,
        "How long the store of rooms keeps what moderators did."
    ),
];
