//! The ports in memory: the reference model of what a store does.
//!
//! Thread: any; the simulator and tests use it. It is the plainest implementation that is right, and the
//! contract suite holds it to the same behaviour as the embedded stores. A clone is a snapshot, so a test
//! can crash a store back to an earlier state.
//!
//! Invariants: iteration order is fixed, so a run repeats. Limits: none; nothing is ever pruned. What can
//! fail: a payload that cannot be decoded.

mod accounts;
mod events;
mod factors;
mod files;
mod media;
mod messages;
mod notify;
mod rooms;

use std::collections::BTreeMap;

use lynk_domain::Lsn;

use crate::port::RecordSource;
use crate::{OwnedRecord, SourceId, StoreError};

pub use accounts::MemoryAccounts;
pub use events::{MemoryEvents, SinkFault};
pub use files::MemoryFiles;
pub use media::MemoryMedia;
pub use messages::MemoryMessages;
pub use notify::MemoryNotify;
pub use rooms::MemoryRooms;

/// Journals as a table.
#[derive(Clone, Default, Debug)]
pub struct MemoryRecords {
    /// Records by place. A missing one counts as drained.
    pub records: BTreeMap<(SourceId, Lsn), OwnedRecord>,
}

impl RecordSource for MemoryRecords {
    fn read(&mut self, source: SourceId, lsn: Lsn) -> Result<Option<OwnedRecord>, StoreError> {
        Ok(self.records.get(&(source, lsn)).cloned())
    }
}
