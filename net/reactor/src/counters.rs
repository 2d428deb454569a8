//! What a shard counts: plain integers of its own, copied out now and then.

use lynk_connection::EndReason;
use lynk_engine::Counters;
use lynk_journal::WriterCounts;
use lynk_telemetry::Histogram;

/// Totals of a shard's loop since it started, and a few gauges.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ReactorCounters {
    /// Turns of the loop.
    pub turns: u64,
    /// Kernel calls that take events.
    pub waits: u64,
    /// Sockets accepted.
    pub accepted: u64,
    /// Of these, closed unanswered because they came together with the last one that the shard may have.
    pub refused_full: u64,
    /// Of these, closed unanswered because too many request heads were incomplete.
    pub refused_half_open: u64,
    /// Of these, gone before anything was read, or not watchable.
    pub accept_failed: u64,
    /// Times a listener had to pause: out of descriptors or memory.
    pub accept_paused: u64,
    /// Times the listeners had to pause because the shard had all the sockets it may have.
    pub accept_full: u64,
    /// Requests refused because nobody had room for them.
    pub refused_requests: u64,
    /// Answers to requests that nobody waited for any more and that did not fit.
    pub answers_dropped: u64,
    /// News for the mirror of presence that did not fit.
    pub presence_dropped: u64,
    /// Connections ended, by [`EndReason::index`].
    pub ended: [u64; EndReason::COUNT],
    /// Connections now, closing ones included.
    pub connections: u64,
    /// Of these, with an incomplete request head.
    pub half_open: u64,
    /// Bytes queued for slow readers now. Frames that several of them wait for count for each.
    pub queued_bytes: u64,
    /// The same at its highest.
    pub queued_bytes_max: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes that the kernel took.
    pub sent_bytes: u64,
    /// Sends on the fast path.
    pub sends: u64,
    /// Of these, that took less than everything: the connection went to the slow path.
    pub sends_short: u64,
    /// Sends on the slow path.
    pub sends_slow: u64,
    /// Deliveries asked for between two polls of input, at most.
    pub flush_deliveries_max: u64,
    /// Mail posted to other shards.
    pub mail_posted: u64,
    /// Mail that a full mailbox gave back.
    pub mail_refused: u64,
    /// Answers that waited for a full mailbox, at most at one time.
    pub mail_waiting_max: u64,
    /// Sleeping shards woken.
    pub wakes: u64,
    /// Wakes that did not arrive.
    pub wakes_failed: u64,
    /// Times a queue of the ring was full or overflowed.
    pub ring_pressure: u64,
    /// Requests to the store that did not fit its mailbox.
    pub store_refused: u64,
    /// Requests to the store that are not answered, now.
    pub store_in_flight: u64,
    /// Turns that took longer than the configured limit.
    pub stalls: u64,
    /// Longest turn, in nanoseconds.
    pub turn_nanos_max: u64,
    /// Times the wall clock was set by more than 5 s.
    pub clock_jumps: u64,
}

impl Default for ReactorCounters {
    fn default() -> Self {
        Self {
            turns: 0,
            waits: 0,
            accepted: 0,
            refused_full: 0,
            refused_half_open: 0,
            accept_failed: 0,
            accept_paused: 0,
            accept_full: 0,
            refused_requests: 0,
            answers_dropped: 0,
            presence_dropped: 0,
            ended: [0; EndReason::COUNT],
            connections: 0,
            half_open: 0,
            queued_bytes: 0,
            queued_bytes_max: 0,
            received_bytes: 0,
            sent_bytes: 0,
            sends: 0,
            sends_short: 0,
            sends_slow: 0,
            flush_deliveries_max: 0,
            mail_posted: 0,
            mail_refused: 0,
            mail_waiting_max: 0,
            wakes: 0,
            wakes_failed: 0,
            ring_pressure: 0,
            store_refused: 0,
            store_in_flight: 0,
            stalls: 0,
            turn_nanos_max: 0,
            clock_jumps: 0,
        }
    }
}

/// Everything that a shard tells about itself, as of the last publication.
#[derive(Clone, Default, Debug)]
#[non_exhaustive]
pub struct ShardSnapshot {
    /// The loop's numbers.
    pub reactor: ReactorCounters,
    /// The engine's numbers.
    pub engine: Counters,
    /// The journal's numbers.
    pub journal: WriterCounts,
    /// From handing a batch to the disk until it was synced.
    pub journal_sync: Histogram,
    /// Durations of turns: with the driver's call at their end when it does not wait, without it when it does.
    pub turns: Histogram,
}
