//! What an engine counts: plain integers, read by the driver between two calls.

use std::ops::{Deref, DerefMut};

use lynk_protocol::{CloseCode, ErrorCode};
use lynk_telemetry::Histogram;

/// One count for each error code, at the code's number.
#[derive(Clone, Debug)]
pub struct ByCode([u64; ErrorCode::ALL.len() + 1]);

impl Default for ByCode {
    fn default() -> Self {
        Self([0; ErrorCode::ALL.len() + 1])
    }
}

impl Deref for ByCode {
    type Target = [u64];

    fn deref(&self) -> &[u64] {
        &self.0
    }
}

impl DerefMut for ByCode {
    fn deref_mut(&mut self) -> &mut [u64] {
        &mut self.0
    }
}

/// Totals since the engine was made. Each field is one metric of the catalogue.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Commands decoded.
    pub commands: u64,
    /// `hello` that succeeded.
    pub sign_ins: u64,
    /// Connections that the engine had closed, in the order of [`CloseCode::ALL`].
    pub closes: [u64; CloseCode::ALL.len()],
    /// Commands refused, by [`lynk_protocol::ErrorCode`] number (index 0 unused).
    pub rejects: ByCode,
    /// Messages ordered.
    pub messages: u64,
    /// From accepting a message until its acknowledgement left this shard, which is when its record was committed.
    pub acks: Histogram,
    /// The same in rooms of level `replicated`, retries and other changes included: until the message store had the record.
    pub replications: Histogram,
    /// Durable events ordered, messages included.
    pub events: u64,
    /// Frames handed to connections.
    pub deliveries: u64,
    /// Largest number of deliveries of one flush.
    pub flush_deliveries_max: u64,
    /// Best-effort events shed.
    pub shed: u64,
    /// `resync` events sent.
    pub resyncs: u64,
    /// Retries answered from the first attempt's result.
    pub repeats: u64,
    /// Rooms loaded from the stores.
    pub room_loads: u64,
    /// Rooms dropped from memory.
    pub room_evictions: u64,
    /// Records that said that everything up to some event of a room is removed.
    pub retentions: u64,
    /// Deletes by moderators that their list does not have.
    pub notes_lost: u64,
    /// Store replies that reported a failure.
    pub store_failures: u64,
    /// Users whom a round of the mirror of presence did not get to, at most.
    pub presence_missed: u64,
}

impl Counters {
    /// Counts a close by its code.
    pub(crate) fn count_close(&mut self, code: CloseCode) {
        if let Some(index) = CloseCode::ALL.iter().position(|listed| *listed == code) {
            self.closes[index] += 1;
        }
    }

    /// Connections that the engine had closed with `code`.
    #[must_use]
    pub fn closed_with(&self, code: CloseCode) -> u64 {
        CloseCode::ALL.iter().position(|listed| *listed == code).map_or(0, |index| self.closes[index])
    }
}
