//! Numbers that bound the journal, and the relations between them.

/// Longest payload of one record, in bytes. A longer one is refused on append and is damage on disk.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// What the disk is given and asked for in one piece: batches begin at multiples of it and are written as whole blocks.
pub const BLOCK_BYTES: usize = 4 << 10;

/// Default size of a segment file, in bytes.
pub const SEGMENT_BYTES: u64 = 64 << 20;
/// Largest size of a journal's first segment, in bytes: a start waits until it is filled with zeros.
pub const FIRST_SEGMENT_BYTES: u64 = 16 << 20;
/// Smallest segment that an option may ask for.
pub const SEGMENT_BYTES_MIN: u64 = 16 << 10;
/// Largest segment: offsets in the sparse index are 32 bits wide.
pub const SEGMENT_BYTES_MAX: u64 = u32::MAX as u64;

/// Default of uncommitted bytes per shard above which the writer reports `Busy`.
pub const UNCOMMITTED_BYTES_HIGH: usize = 4 << 20;
/// Default of uncommitted bytes per shard above which an append is refused.
pub const UNCOMMITTED_BYTES_MAX: usize = 8 << 20;

/// Default bytes that all segments of a data directory may take.
pub const DISK_BYTES_MAX: u64 = 16 << 30;

/// Records between two entries of a segment's sparse index.
pub const INDEX_RECORDS: u64 = 64;
/// Bytes between two entries of a segment's sparse index, at most one record more.
pub const INDEX_BYTES: u64 = 64 << 10;

/// Records that a drainer hands to the store at once.
pub const DRAIN_RECORDS: usize = 1_000;
/// Bytes that a drainer hands to the store at once; a single record may be longer.
pub const DRAIN_BYTES: usize = 1 << 20;

/// Records that a publisher turns into one batch of events.
pub const PUBLISH_RECORDS: usize = 1_000;
/// Bytes of records that become one batch of events; a single record may be longer.
pub const PUBLISH_BYTES: usize = 1 << 20;

/// Undrained records that recovery indexes in memory; more must be drained before the start goes on.
pub const RECOVER_INDEX_RECORDS: usize = 4 << 20;

/// Time between two attempts while the disk is full, in nanoseconds.
pub const FULL_RETRY_NANOS: u64 = 200_000_000;

/// Least time between the beginnings of two batches when the first had more than one record, in nanoseconds: a sync costs
/// some 80 µs of CPU time whatever it covers, and where records come faster than syncs end, one per millisecond is plenty.
/// A quiet journal writes every record at once.
pub const GATHER_NANOS: u64 = 1_000_000;
/// Gathered bytes that do not wait any longer.
pub const GATHER_BYTES_MAX: usize = 64 << 10;

const _: () = assert!(SEGMENT_BYTES <= SEGMENT_BYTES_MAX && SEGMENT_BYTES >= SEGMENT_BYTES_MIN);
const _: () = assert!(UNCOMMITTED_BYTES_HIGH + 2 * PAYLOAD_BYTES_MAX <= UNCOMMITTED_BYTES_MAX);
const _: () = assert!((UNCOMMITTED_BYTES_MAX as u64) * 2 <= FIRST_SEGMENT_BYTES);
const _: () = assert!(FIRST_SEGMENT_BYTES < SEGMENT_BYTES);
const _: () = assert!(DISK_BYTES_MAX > 64 * SEGMENT_BYTES);
