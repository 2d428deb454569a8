//! The write-ahead journal: records, segments, group commit, recovery, drain.
//!
//! A shard appends records to its [`Writer`], whose batches a driver writes and syncs; the [`Keeper`] makes
//! segment files ahead. A start calls [`recover`] for what earlier processes left, reads single records
//! through [`Reader`], and moves everything into the message store with a [`Drainer`]; a [`Publisher`] makes events of it for systems
//! outside. [`verify`] explains
//! damage. All of it runs over [`Disk`], so that a simulator can take the disk away.
//!
//! Thread: [`Writer`] and the ends of the two threads belong to a shard; everything else to the boot, the
//! keeper or the store thread, and may block.
//!
//! Guarantees: what [`Writer::finish`] reported committed is found by every later start, in order, once; what
//! was not may be found or not, but never behind a hole. Damage is refused with file and offset.
//! `docs/journal-format.md` has the bytes and the argument.

#![forbid(unsafe_code)]

mod block;
mod cursors;
pub mod disk;
mod disk_thread;
mod drainer;
pub mod format;
mod inspect;
mod keeper;
pub mod layout;
pub mod limits;
mod publisher;
mod reader;
mod recover;
mod scan;
mod shared;
mod verify;
mod writer;

pub use block::BlockBuffer;
pub use cursors::{Cursors, Kept};
pub use disk::{Disk, DiskError, DiskFile, MemoryDisk, MemoryFile, RealDisk, RealFile};
pub use disk_thread::DiskThread;
pub use drainer::{DrainStep, Drainer};
pub use inspect::{Damage, Why, journals_of};
pub use keeper::{DiskUse, Keeper, KeeperOptions, KeeperThread, PrepareError, SegmentSupply, Supplied};
pub use publisher::{PublishOptions, PublishStep, Publisher};
pub use reader::{Batch, FreedSegment, Reader};
pub use recover::{
    RecoverError, RecoverOptions, RecoverProgress, Recovered, RecoveredSource, UndrainedRecord, recover,
};
pub use shared::{ReaderAccess, SharedReader};
pub use verify::{Account, FileAccount, JournalAccount, verify};
pub use writer::{
    AppendError, Committed, Fatal, PreparedSegment, Progress, State, WriteOp, WriteOutcome, Writer,
    WriterCounts, WriterLimits, execute,
};
