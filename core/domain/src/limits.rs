//! Limits that the engine enforces and `hello` announces. Every value is configurable; these are the defaults.

/// Limits of one server. Sizes in bytes unless the name says characters; rates per second.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Longest message text, in Unicode scalar values after JSON decoding.
    pub message_chars_max: u32,
    /// Longest incoming WebSocket message.
    pub frame_bytes_max: u32,
    /// Longest room name, in characters.
    pub room_name_chars_max: u32,
    /// Longest description of a room, in characters.
    pub room_description_chars_max: u32,
    /// Longest ban or kick reason, in characters.
    pub reason_chars_max: u32,
    /// Distinct emoji on one message.
    pub reactions_per_message_max: u32,
    /// Reactions that stand on one message, of all users together: a message is told with all of them.
    pub reactions_standing_max: u32,
    /// Users that one message may mention by name.
    pub mentions_per_message_max: u32,
    /// Longest emoji, in bytes.
    pub emoji_bytes_max: u32,
    /// Items of a history page when the client names none.
    pub history_page_default: u32,
    /// Items of a history page at most.
    pub history_page_max: u32,
    /// Longest reply; longer pages are cut with `next`.
    pub reply_bytes_max: u32,
    /// Subscriptions of one connection.
    pub subscriptions_per_connection_max: u32,
    /// Commands of one connection that wait for their reply.
    pub commands_in_flight_max: u32,
    /// Members of a room.
    pub room_members_max: u32,
    /// Users whose presence one connection may watch.
    pub presence_watch_max: u32,
    /// Room size above which presence is a count and a sample.
    pub presence_room_members_max: u32,
    /// 1:1s that an account begins with strangers in a day.
    pub message_requests_per_day: u32,
    /// Connections of one account at a time.
    pub connections_per_account_max: u32,
    /// Connections of one network (IPv4 /24, IPv6 /48) at a time; 0 for no limit.
    pub connections_per_ip_max: u32,
    /// New connections of one network per second; 0 for no limit.
    pub connects_per_ip_per_second: u32,
    /// Signed-in and half-open connections of one shard.
    pub connections_per_shard_max: u32,
    /// Commands of one connection per second; 0 for no limit.
    pub commands_per_connection_per_second: u32,
    /// Commands of one account per second over all its connections; 0 for no limit.
    pub commands_per_account_per_second: u32,
    /// Messages one room takes per second; 0 for no limit.
    pub messages_per_room_per_second: u32,
    /// Inputs that wait for a room that is loading; the next answers `busy`.
    pub room_load_waiting_max: u32,
    /// Recent events kept in memory per room.
    pub room_window_events_max: u32,
    /// Bytes of recent events kept in memory per room.
    pub room_window_bytes_max: u32,
    /// Age above which a recent event leaves memory, in milliseconds; the last one of a room stays.
    pub room_window_millis: u64,
    /// Rooms kept loaded per shard; idle, drained rooms leave first.
    pub rooms_loaded_per_shard_max: u32,
    /// Idempotency keys kept in memory per shard.
    pub dedupe_entries_per_shard_max: u32,
    /// Age up to which a key is kept in memory, in milliseconds.
    pub dedupe_window_millis: u64,
    /// Age up to which a key can be looked up in the store, in milliseconds.
    pub key_age_max_millis: u64,
    /// How far a key's time may lie ahead of the server's, in milliseconds.
    pub key_ahead_max_millis: u64,
    /// Journaled records of one shard not yet in the store; beyond it sends answer `backlog_full`.
    pub undrained_records_per_shard_max: u32,
    /// Events a resume returns at most per room.
    pub resume_events_max: u32,
    /// Bytes a resume returns at most per room.
    pub resume_bytes_max: u32,
    /// Time from the upgrade to a valid `hello`, in milliseconds.
    pub hello_millis_max: u64,
    /// Time between server pings, in milliseconds.
    pub heartbeat_millis: u64,
    /// Queued output above which a connection is a slow consumer, in bytes.
    pub send_queue_bytes_high: u32,
    /// Queued output below which it no longer is one, in bytes.
    pub send_queue_bytes_low: u32,
    /// Queued output above which it is closed, in bytes.
    pub send_queue_bytes_max: u32,
    /// Time a slow consumer may go without progress before it is closed, in milliseconds.
    pub send_stall_millis_max: u64,
    /// Requests to the store that one shard may have outstanding.
    pub store_requests_in_flight_max: u32,
    /// Records waiting for one journal sync; beyond it commands answer `busy`.
    pub uncommitted_records_max: u32,
    /// Age above which messages are removed, in milliseconds; 0 for never.
    pub retention_millis: u64,
    /// Time between two looks at every room for messages of that age, in milliseconds.
    pub retention_sweep_millis: u64,
    /// How long what moderators did is kept, in milliseconds.
    pub moderation_log_millis: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_chars_max: 8_000,
            frame_bytes_max: 128 << 10,
            room_name_chars_max: 100,
            room_description_chars_max: 500,
            reason_chars_max: 300,
            reactions_per_message_max: 20,
            reactions_standing_max: 2_000,
            mentions_per_message_max: 50,
            emoji_bytes_max: 64,
            history_page_default: 100,
            history_page_max: 500,
            reply_bytes_max: 256 << 10,
            subscriptions_per_connection_max: 1_000,
            commands_in_flight_max: 32,
            room_members_max: 100_000,
            presence_watch_max: 500,
            presence_room_members_max: 500,
            message_requests_per_day: 50,
            connections_per_account_max: 30,
            connections_per_ip_max: 2_000,
            connects_per_ip_per_second: 200,
            connections_per_shard_max: 1_000_000,
            commands_per_connection_per_second: 50,
            commands_per_account_per_second: 100,
            messages_per_room_per_second: 1_000,
            room_load_waiting_max: 64,
            room_window_events_max: 128,
            room_window_bytes_max: 64 << 10,
            room_window_millis: 10 * 60 * 1_000,
            rooms_loaded_per_shard_max: 50_000,
            dedupe_entries_per_shard_max: 64 << 10,
            dedupe_window_millis: 10 * 60 * 1_000,
            key_age_max_millis: 7 * 24 * 60 * 60 * 1_000,
            key_ahead_max_millis: 60 * 1_000,
            undrained_records_per_shard_max: 1_000_000,
            resume_events_max: 100,
            resume_bytes_max: 64 << 10,
            hello_millis_max: 10_000,
            heartbeat_millis: 25_000,
            send_queue_bytes_high: 128 << 10,
            send_queue_bytes_low: 16 << 10,
            send_queue_bytes_max: 1 << 20,
            send_stall_millis_max: 30_000,
            store_requests_in_flight_max: 1_024,
            uncommitted_records_max: 16 << 10,
            retention_millis: 0,
            retention_sweep_millis: 60 * 60 * 1_000,
            moderation_log_millis: 180 * 24 * 60 * 60 * 1_000,
        }
    }
}

/// Rooms of `hello` that one connection is asked for at a time, at most.
const RESUMES_IN_FLIGHT_MAX: u32 = 8;
/// Pages of history that one connection may wait for, at most.
const PAGES_IN_FLIGHT_MAX: u32 = 2;
/// Bytes of one reaction in a message as it is told: the user's id, quoted, and a comma.
const REACTION_BYTES: u32 = 39;

impl Limits {
    /// Rooms of `hello` that are asked for at a time. All of them, one page and what is queued below the high watermark
    /// fit into a send queue, so that no connection is closed for what it was given to catch up.
    #[must_use]
    pub fn resumes_in_flight_max(&self) -> u32 {
        let room = self.answers_bytes().saturating_sub(self.reply_bytes_max);
        (room / self.resume_bytes_max.max(1)).clamp(1, RESUMES_IN_FLIGHT_MAX)
    }

    /// Pages of history that a connection may wait for while no room of its `hello` is; one while there are some.
    #[must_use]
    pub fn pages_in_flight_max(&self) -> u32 {
        (self.answers_bytes() / self.reply_bytes_max.max(1)).clamp(1, PAGES_IN_FLIGHT_MAX)
    }

    /// Bytes of a send queue beyond the high watermark: for answers that are on their way when it is reached.
    fn answers_bytes(&self) -> u32 {
        self.send_queue_bytes_max.saturating_sub(self.send_queue_bytes_high)
    }

    /// The first broken relation between limits, as a sentence for an operator; `None` when all hold.
    #[must_use]
    pub fn broken_relation(&self) -> Option<&'static str> {
        let relations = [
            (
                self.send_queue_bytes_low < self.send_queue_bytes_high,
                "send_queue_bytes_low must be below send_queue_bytes_high",
            ),
            (
                self.send_queue_bytes_high + self.reply_bytes_max + self.resume_bytes_max
                    <= self.send_queue_bytes_max,
                "send_queue_bytes_max must hold send_queue_bytes_high, one reply of reply_bytes_max and one resumed \
                 room of resume_bytes_max",
            ),
            (
                self.resume_bytes_max <= self.reply_bytes_max,
                "resume_bytes_max must not exceed reply_bytes_max",
            ),
            (
                self.reactions_standing_max.saturating_mul(REACTION_BYTES) <= self.reply_bytes_max / 2,
                "reply_bytes_max must hold twice the 39 bytes of each of reactions_standing_max reactions",
            ),
            (
                self.history_page_default <= self.history_page_max,
                "history_page_default must not exceed history_page_max",
            ),
            (
                self.resume_events_max <= self.room_window_events_max,
                "resume_events_max must not exceed room_window_events_max",
            ),
            (
                self.frame_bytes_max >= 4 * self.message_chars_max + 1_024,
                "frame_bytes_max must hold message_chars_max characters of four bytes and the command around them",
            ),
            (
                self.dedupe_window_millis <= self.key_age_max_millis,
                "dedupe_window must not exceed key_age_max",
            ),
        ];
        relations.into_iter().find(|(holds, _)| !holds).map(|(_, text)| text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_fit_together() {
        assert_eq!(Limits::default().broken_relation(), None);
    }

    #[test]
    fn answers_on_their_way_fit_into_a_send_queue() {
        for (high, max) in [(128, 1_024), (100, 420), (128, 700)] {
            let limits = Limits {
                send_queue_bytes_high: high << 10,
                send_queue_bytes_max: max << 10,
                ..Limits::default()
            };
            assert_eq!(limits.broken_relation(), None);
            let (rooms, pages) = (limits.resumes_in_flight_max(), limits.pages_in_flight_max());
            let catching_up = rooms * limits.resume_bytes_max + limits.reply_bytes_max;
            let most = catching_up.max(pages * limits.reply_bytes_max);
            assert!(limits.send_queue_bytes_high + most <= limits.send_queue_bytes_max, "{high} {max}");
        }
        assert_eq!(Limits::default().resumes_in_flight_max(), 8);
        assert_eq!(Limits::default().pages_in_flight_max(), 2);
    }
}
