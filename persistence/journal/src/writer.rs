//! Group commit for one shard's journal, without doing any I/O.
//!
//! Thread: the shard. One batch is being written by the driver while the next one fills. The driver
//! takes a [`WriteOp`] from [`Writer::next_write`], writes its bytes durably (the segment is opened for that; on the ring,
//! or on a [`DiskThread`](crate::DiskThread) under epoll), and returns it to [`Writer::finish`]. The op owns its
//! buffer until then, so nothing the kernel may read is ever freed or changed.
//!
//! Invariants: records are numbered without a hole; batch b+1 is handed out only after batch b is durable; a
//! batch lies in one segment and fills whole blocks; the committed lsn grows only by [`Writer::finish`].
//!
//! Limits: uncommitted bytes per [`WriterLimits`]; two buffers that swap, so that a warm writer does not
//! allocate. A record of 128 bytes costs 377 instructions from append to commit (`examples/append_cost.rs`). [`Writer::state`] tells the shard to refuse sends while there is space for those it took:
//! without a spare segment, before the one in use ends. A batch that meets a full disk all the same stays and is tried again. A failed write is [`Fatal`]: the process must end with exit code 70.

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lynk_domain::{Lsn, Nanos};
use lynk_model::Record;

use crate::block::BlockBuffer;
use crate::disk::{DiskFile, is_full};
use crate::format::{self, HEADER_BYTES, SegmentHeader};
use crate::limits::{
    BLOCK_BYTES, FULL_RETRY_NANOS, GATHER_BYTES_MAX, GATHER_NANOS, PAYLOAD_BYTES_MAX, UNCOMMITTED_BYTES_HIGH,
    UNCOMMITTED_BYTES_MAX,
};

/// The last committed lsn of a journal; written by its shard, read by the store thread.
#[derive(Default, Debug)]
pub struct Committed(AtomicU64);

impl Committed {
    /// Every record up to this one is durable.
    #[must_use]
    pub fn get(&self) -> Lsn {
        // Acquire pairs with the Release of `set`: whoever sees the number may read the bytes.
        Lsn(self.0.load(Ordering::Acquire))
    }

    fn set(&self, lsn: Lsn) {
        self.0.store(lsn.0, Ordering::Release);
    }
}

/// An empty segment, durable under its final name, ready to take records.
#[derive(Clone, Debug)]
pub struct PreparedSegment<F> {
    /// What its header says.
    pub header: SegmentHeader,
    /// The open file.
    pub file: F,
    /// Size of the file, in bytes.
    pub bytes: u64,
}

/// Bounds on what waits for a commit, in bytes, both batches together.
#[derive(Clone, Copy, Debug)]
pub struct WriterLimits {
    /// From here on the state is [`State::Busy`].
    pub uncommitted_bytes_high: usize,
    /// An append that would go beyond is refused. The distance to `uncommitted_bytes_high` must hold what the
    /// driver appends between two looks at the state; a batch of this size must fit into a segment.
    pub uncommitted_bytes_max: usize,
    /// Least time between the beginnings of two batches when the first had more than one record; 0 gathers nothing.
    pub gather_nanos: u64,
}

impl WriterLimits {
    /// Whether a batch of the largest size fits into a segment of this many bytes. A configuration must see to it.
    #[must_use]
    pub fn fit(&self, segment_bytes: u64) -> bool {
        blocks(self.uncommitted_bytes_max) <= segment_bytes.saturating_sub(HEADER_BYTES)
    }
}

impl Default for WriterLimits {
    fn default() -> Self {
        Self {
            uncommitted_bytes_high: UNCOMMITTED_BYTES_HIGH,
            uncommitted_bytes_max: UNCOMMITTED_BYTES_MAX,
            gather_nanos: GATHER_NANOS,
        }
    }
}

/// Whether the shard should take sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Yes.
    Open,
    /// No: too much waits for the disk. Retryable.
    Busy,
    /// No: the disk, or the journal's share of it, is full. Retryable; reads go on.
    DiskFull,
}

/// Why a record was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The payload is longer than [`PAYLOAD_BYTES_MAX`].
    #[error("the payload is longer than a record may hold")]
    PayloadTooLong,
    /// The caller went on in spite of [`State::Busy`] or [`State::DiskFull`].
    #[error("too many bytes wait for the journal")]
    Full,
    /// The lsn is not the next one: a bug of the caller.
    #[error("the record is not the next one of the journal")]
    Order,
}

/// A durable write that failed for good. The process must exit with code 70: what the disk holds is unknown
/// until a start rewrites it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("cannot write the journal: {0}")]
pub struct Fatal(
    /// How.
    pub io::ErrorKind,
);

/// What became of a [`WriteOp`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteOutcome {
    /// All bytes are durable.
    Durable,
    /// This many bytes are.
    Short(usize),
    /// Nothing was written, because of a signal or the like.
    Interrupted,
    /// There was no space.
    Full,
    /// It failed.
    Failed(Fatal),
}

impl WriteOutcome {
    /// The outcome of a WRITE of `bytes` bytes from its completion's result: a count or a negated errno.
    #[must_use]
    pub fn from_raw(bytes: usize, written: i32) -> Self {
        let result = usize::try_from(written).map_err(|_| io::Error::from_raw_os_error(-written));
        Self::of(bytes, result)
    }

    fn of(bytes: usize, written: io::Result<usize>) -> Self {
        match written {
            Ok(n) if n >= bytes => Self::Durable,
            Ok(n) => Self::Short(n),
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => Self::Interrupted,
                _ if is_full(&error) => Self::Full,
                kind => Self::Failed(Fatal(kind)),
            },
        }
    }
}

/// One durable write, to be executed outside. Owns its bytes.
#[must_use = "return it to `Writer::finish`, or the journal stops"]
#[derive(Debug)]
pub struct WriteOp<F> {
    file: F,
    offset: u64,
    buffer: BlockBuffer,
    done: usize,
    last: Lsn,
}

impl<F> WriteOp<F> {
    /// The segment to write to.
    pub fn file(&self) -> &F {
        &self.file
    }

    /// Where in the file, in bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset + self.done as u64
    }

    /// What to write: whole blocks, never none. The bytes keep their address until the op is finished.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer.bytes()[self.done..]
    }
}

/// Executes an op on the calling thread, which blocks.
pub fn execute<F: DiskFile>(op: &WriteOp<F>) -> WriteOutcome {
    WriteOutcome::of(op.bytes().len(), op.file.write_at(op.bytes(), op.offset()))
}

/// Bytes of the blocks that hold `bytes` bytes.
fn blocks(bytes: usize) -> u64 {
    bytes.next_multiple_of(BLOCK_BYTES) as u64
}

/// What [`Writer::finish`] leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Everything up to this lsn is committed. There may be a next write.
    Committed(Lsn),
    /// The same batch goes on: ask for the next write, now or at the deadline.
    Unfinished,
}

/// What a writer has done since it was made.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct WriterCounts {
    /// Records committed.
    pub records: u64,
    /// Batches committed.
    pub batches: u64,
    /// Bytes committed, in whole blocks.
    pub bytes: u64,
    /// Segments taken into use.
    pub segments: u64,
    /// Writes refused for lack of space.
    pub full_writes: u64,
}

#[derive(Debug)]
enum Flight<F> {
    /// No batch is on its way.
    Idle,
    /// The batch waits to be handed out again.
    Again(WriteOp<F>),
    /// The driver has it.
    Out,
}

#[derive(Debug)]
struct Active<F> {
    segment: PreparedSegment<F>,
    end: u64,
}

/// One shard's journal, write side. `F` is the driver's file handle.
#[derive(Debug)]
pub struct Writer<F> {
    limits: WriterLimits,
    committed: Arc<Committed>,
    /// Records of the next batch, not sealed yet.
    filling: BlockBuffer,
    /// The other of the two buffers, empty, while no batch is in flight.
    resting: BlockBuffer,
    flight_bytes: usize,
    flight: Flight<F>,
    /// Last lsn appended.
    last: Lsn,
    /// Last lsn handed out in a batch.
    batched: Lsn,
    active: Option<Active<F>>,
    spare: Option<PreparedSegment<F>>,
    /// The keeper said that it cannot make a segment for lack of space.
    no_spare: bool,
    /// The disk refused the batch in flight; not before this time again.
    retry_at: Option<Nanos>,
    /// The next batch gathers records until then.
    gather_until: Option<Nanos>,
    counts: WriterCounts,
}

impl<F: Clone> Writer<F> {
    /// A writer for an empty journal. It takes records at once and writes when it has a segment.
    #[must_use]
    pub fn new(limits: WriterLimits) -> Self {
        assert!(limits.uncommitted_bytes_high <= limits.uncommitted_bytes_max, "limits out of order");
        Self {
            limits,
            committed: Arc::new(Committed::default()),
            filling: BlockBuffer::default(),
            resting: BlockBuffer::default(),
            flight_bytes: 0,
            flight: Flight::Idle,
            last: Lsn(0),
            batched: Lsn(0),
            active: None,
            spare: None,
            no_spare: false,
            retry_at: None,
            gather_until: None,
            counts: WriterCounts::default(),
        }
    }

    /// The committed lsn, shared with whoever reads this journal.
    #[must_use]
    pub fn committed(&self) -> Arc<Committed> {
        Arc::clone(&self.committed)
    }

    /// Adds a record to the batch that fills. `lsn` must be one more than the last.
    ///
    /// # Errors
    /// Nothing was taken; see [`AppendError`].
    pub fn append(&mut self, record: &Record<'_>, lsn: Lsn) -> Result<(), AppendError> {
        if lsn.0 != self.last.0 + 1 {
            return Err(AppendError::Order);
        }
        if record.payload.len() > PAYLOAD_BYTES_MAX {
            return Err(AppendError::PayloadTooLong);
        }
        let bytes = format::record_bytes(record.payload.len());
        if self.uncommitted_bytes() + bytes > self.limits.uncommitted_bytes_max {
            return Err(AppendError::Full);
        }
        format::encode(record, lsn, Lsn(self.batched.0 + 1), &mut self.filling);
        self.last = lsn;
        Ok(())
    }

    /// Whether the shard should take sends. Look after every append and every finish.
    #[must_use]
    pub fn state(&self) -> State {
        if self.retry_at.is_some() || (self.no_spare && !self.has_reserve()) {
            State::DiskFull
        } else if self.uncommitted_bytes() >= self.limits.uncommitted_bytes_high {
            State::Busy
        } else {
            State::Open
        }
    }

    /// Bytes that wait for a commit.
    #[must_use]
    pub fn uncommitted_bytes(&self) -> usize {
        self.filling.len() + self.flight_bytes
    }

    /// Whether every record taken is committed.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.filling.is_empty() && matches!(self.flight, Flight::Idle)
    }

    /// What was done so far.
    #[must_use]
    pub fn counts(&self) -> WriterCounts {
        self.counts
    }

    /// Whether the keeper should be asked for a segment. True until [`Self::supply`] is called.
    #[must_use]
    pub fn wants_segment(&self) -> bool {
        self.spare.is_none()
    }

    /// Hands over a segment, which must be the next one of this journal.
    ///
    /// # Panics
    /// When there is a spare segment already, or a batch of the largest size would not fit into this one.
    pub fn supply(&mut self, segment: PreparedSegment<F>) {
        assert!(self.spare.is_none(), "asked for one segment at a time");
        assert!(self.limits.fit(segment.bytes), "a batch must fit into a segment");
        self.spare = Some(segment);
        self.no_spare = false;
    }

    /// The keeper cannot make a segment for lack of space and goes on trying.
    pub fn supply_refused(&mut self) {
        self.no_spare = true;
    }

    /// When to call [`Self::next_write`] again although nothing else happens.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Nanos> {
        let idle = matches!(self.flight, Flight::Idle);
        self.retry_at.or(self.gather_until.filter(|_| idle && !self.filling.is_empty()))
    }

    /// The next write, when there is one and none is out. Call after appends, [`Self::finish`],
    /// [`Self::supply`] and at the deadline.
    pub fn next_write(&mut self, now: Nanos) -> Option<WriteOp<F>> {
        if self.retry_at.is_some_and(|at| now < at) {
            return None;
        }
        match std::mem::replace(&mut self.flight, Flight::Idle) {
            Flight::Out => {
                self.flight = Flight::Out;
                None
            }
            Flight::Again(op) => {
                self.flight = Flight::Out;
                Some(op)
            }
            Flight::Idle => self.next_batch(now),
        }
    }

    fn next_batch(&mut self, now: Nanos) -> Option<WriteOp<F>> {
        if self.filling.is_empty() {
            return None;
        }
        if self.gather_until.is_some_and(|until| now < until) && self.filling.len() < GATHER_BYTES_MAX {
            return None;
        }
        self.gather_until = None;
        if !self.active_has_room() {
            let segment = self.spare.take()?;
            self.counts.segments += 1;
            self.active = Some(Active { segment, end: HEADER_BYTES });
        }
        let active = self.active.as_mut()?;
        let mut buffer = std::mem::replace(&mut self.filling, std::mem::take(&mut self.resting));
        format::seal(buffer.bytes_mut(), active.segment.header.seed());
        self.flight_bytes = buffer.len();
        buffer.pad();
        let op = WriteOp {
            file: active.segment.file.clone(),
            offset: active.end,
            done: 0,
            last: self.last,
            buffer,
        };
        active.end += op.buffer.len() as u64;
        if self.limits.gather_nanos > 0 && self.last.0 - self.batched.0 > 1 {
            self.gather_until = Some(now.after(self.limits.gather_nanos));
        }
        self.batched = self.last;
        self.flight = Flight::Out;
        Some(op)
    }

    /// Takes back an op that [`Self::next_write`] gave out.
    ///
    /// # Errors
    /// [`Fatal`]: end the process with exit code 70. The writer takes no part in anything after it.
    ///
    /// # Panics
    /// When no op is out.
    pub fn finish(
        &mut self,
        mut op: WriteOp<F>,
        outcome: WriteOutcome,
        now: Nanos,
    ) -> Result<Progress, Fatal> {
        assert!(matches!(self.flight, Flight::Out), "no write is out");
        self.retry_at = None;
        match outcome {
            WriteOutcome::Failed(fatal) => return Err(fatal),
            WriteOutcome::Durable => {
                let before = self.committed.get();
                self.counts.records += op.last.0 - before.0;
                self.counts.batches += 1;
                self.counts.bytes += op.buffer.len() as u64;
                self.committed.set(op.last);
                self.flight = Flight::Idle;
                self.flight_bytes = 0;
                self.resting = op.buffer;
                self.resting.clear();
                return Ok(Progress::Committed(op.last));
            }
            // No progress is waited out like a full disk, so that it cannot spin.
            WriteOutcome::Short(..BLOCK_BYTES) | WriteOutcome::Full => {
                self.counts.full_writes += 1;
                self.retry_at = Some(now.after(FULL_RETRY_NANOS));
            }
            // A block goes out whole or not at all.
            WriteOutcome::Short(n) => op.done += n - n % BLOCK_BYTES,
            WriteOutcome::Interrupted => {}
        }
        self.flight = Flight::Again(op);
        Ok(Progress::Unfinished)
    }

    fn active_has_room(&self) -> bool {
        self.active_room() >= blocks(self.filling.len())
    }

    /// Bytes behind the last batch of the segment in use.
    fn active_room(&self) -> u64 {
        self.active.as_ref().map_or(0, |active| active.segment.bytes.saturating_sub(active.end))
    }

    /// Whether what is appended before the next look at the state fits into the segment in use as well. A record that
    /// was taken and has no space would hold back every answer about its room, reads included.
    fn has_reserve(&self) -> bool {
        let reserve = self.limits.uncommitted_bytes_max - self.limits.uncommitted_bytes_high;
        // It may be cut into two batches, each of which ends with a part of a block.
        self.active_room() >= blocks(self.filling.len() + reserve) + blocks(1)
    }
}
