//! Walks the records of one segment.
//!
//! Thread: boot, store thread, `lynk verify`; blocks on reads. Memory: one window, as long as the longest
//! record met but at least a chunk.

use std::io;

use lynk_domain::Lsn;

use crate::block::BlockBuffer;
use crate::disk::{DiskFile, read_full};
use crate::format::{self, BadRecord, Claim, Decoded, HEADER_BYTES, RECORD_ALIGN, RECORD_HEAD_BYTES};
use crate::limits::{BLOCK_BYTES, INDEX_BYTES, INDEX_RECORDS, SEGMENT_BYTES_MAX};

/// A stretch of a file, read ahead.
#[derive(Default, Debug)]
pub(crate) struct Window {
    bytes: BlockBuffer,
    /// Offset in the file of the first byte, a multiple of a block.
    start: u64,
    filled: usize,
}

/// Why a window could not give a record.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The disk failed.
    Io(io::Error),
    /// There is no good record at the offset.
    Bad(BadRecord),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Window {
    /// Forgets what was read; for another file, or for bytes that may have been written since.
    pub(crate) fn clear(&mut self) {
        self.filled = 0;
    }

    /// The bytes from `offset` on: at least `need`, or up to the end of the file.
    fn slice<F: DiskFile>(&mut self, file: &F, offset: u64, need: usize, chunk: usize) -> io::Result<&[u8]> {
        let held = offset
            .checked_sub(self.start)
            .and_then(|skip| usize::try_from(skip).ok())
            .filter(|skip| skip.saturating_add(need) <= self.filled);
        if let Some(skip) = held {
            return Ok(&self.bytes.bytes()[skip..self.filled]);
        }
        let skip = offset as usize % BLOCK_BYTES;
        let wanted = (skip + need.max(chunk)).next_multiple_of(BLOCK_BYTES);
        if self.bytes.len() < wanted {
            self.bytes.resize(wanted);
        }
        self.filled = 0;
        self.start = offset - skip as u64;
        self.filled = read_full(file, &mut self.bytes.bytes_mut()[..wanted], self.start)?;
        Ok(&self.bytes.bytes()[skip.min(self.filled)..self.filled])
    }

    /// The record at `offset`.
    pub(crate) fn record<F: DiskFile>(
        &mut self,
        file: &F,
        seed: u32,
        offset: u64,
        chunk: usize,
    ) -> Result<Decoded<'_>, ReadError> {
        let head = self.slice(file, offset, RECORD_HEAD_BYTES, chunk)?;
        let need = format::claim(head).map_or(RECORD_HEAD_BYTES, |claim| claim.bytes);
        let bytes = self.slice(file, offset, need, chunk)?;
        format::decode(bytes, seed).map_err(ReadError::Bad)
    }

    /// Where record `next` should lie when the one before it ended at `end`: there, or at the beginning of the next block
    /// if a batch that begins with it claims to. What pads a batch is not looked at, so that it cannot hide the next one.
    pub(crate) fn place_after<F: DiskFile>(
        &mut self,
        file: &F,
        end: u64,
        next: Lsn,
        chunk: usize,
    ) -> io::Result<u64> {
        let block = next_block(end);
        if block == end {
            return Ok(end);
        }
        let gap = usize::try_from(block - end).expect("less than a block");
        let bytes = self.slice(file, end, gap + RECORD_HEAD_BYTES, chunk)?;
        let there = |claim: Claim| claim.lsn == next;
        let begins = |claim: Claim| claim.lsn == next && claim.batch == next;
        let padded = !format::claim(bytes).is_some_and(there)
            && bytes.get(gap..).and_then(format::claim).is_some_and(begins);
        Ok(if padded { block } else { end })
    }
}

/// The first beginning of a block at or after `offset`.
pub(crate) fn next_block(offset: u64) -> u64 {
    offset.next_multiple_of(BLOCK_BYTES as u64)
}

/// Some positions of a segment's records: one per [`INDEX_RECORDS`] records or [`INDEX_BYTES`] bytes.
#[derive(Clone, Default, Debug)]
pub(crate) struct SparseIndex(Vec<(Lsn, u32)>);

impl SparseIndex {
    /// Notes a record; they come in order.
    pub(crate) fn note(&mut self, lsn: Lsn, offset: u64) {
        let due = self.0.last().is_none_or(|(last, at)| {
            lsn.0 - last.0 >= INDEX_RECORDS || offset - u64::from(*at) >= INDEX_BYTES
        });
        if due && let Ok(offset) = u32::try_from(offset) {
            self.0.push((lsn, offset));
        }
    }

    /// The nearest noted record at or before `lsn`.
    pub(crate) fn find(&self, lsn: Lsn) -> Option<(Lsn, u64)> {
        let after = self.0.partition_point(|(noted, _)| *noted <= lsn);
        let (noted, offset) = self.0.get(after.checked_sub(1)?)?;
        Some((*noted, u64::from(*offset)))
    }

    /// Forgets records from `lsn` on.
    pub(crate) fn cut(&mut self, lsn: Lsn) {
        self.0.retain(|(noted, _)| *noted < lsn);
    }
}

/// Why a walk ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    /// No good record follows.
    Bad(BadRecord),
    /// The next record is replaced by a later segment.
    Replaced,
}

/// The unbroken records at the start of a segment.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    /// First record; 0 when there is none.
    pub(crate) first: Lsn,
    /// Last record; 0 when there is none.
    pub(crate) last: Lsn,
    /// How many batches.
    pub(crate) batches: u64,
    /// First record of the last batch, and its offset.
    pub(crate) last_batch: (Lsn, u64),
    /// Where the last record ends.
    pub(crate) end: u64,
    /// Where the next record should lie.
    pub(crate) next_at: u64,
    /// Why the walk ended there.
    pub(crate) stop: Stop,
    /// Positions.
    pub(crate) index: SparseIndex,
}

impl Chain {
    /// A chain without a record.
    pub(crate) fn empty(stop: Stop) -> Self {
        Self {
            first: Lsn(0),
            last: Lsn(0),
            batches: 0,
            last_batch: (Lsn(0), HEADER_BYTES),
            end: HEADER_BYTES,
            next_at: HEADER_BYTES,
            stop,
            index: SparseIndex::default(),
        }
    }

    /// How many records.
    pub(crate) fn records(&self) -> u64 {
        if self.last.0 == 0 { 0 } else { self.last.0 - self.first.0 + 1 }
    }

    /// Adds the next record, which lies at `at`.
    pub(crate) fn add(&mut self, at: u64, lsn: Lsn, batch: Lsn, bytes: usize) {
        if self.first.0 == 0 {
            self.first = lsn;
        }
        if batch == lsn {
            self.batches += 1;
            self.last_batch = (lsn, at);
        }
        self.index.note(lsn, at);
        self.last = lsn;
        self.end = at + bytes as u64;
        self.next_at = self.end;
    }

    /// Whether a record with these numbers can be the next one: numbers without a hole, batches that start
    /// with their own first record, the first batch at the start of the segment.
    fn fits(&self, lsn: Lsn, batch: Lsn) -> bool {
        if self.last.0 == 0 {
            batch == lsn
        } else {
            lsn.0 == self.last.0 + 1 && (batch == lsn || batch == self.last_batch.0)
        }
    }
}

/// Walks a segment from its first record, up to but not including `until`, and shows each record.
pub(crate) fn walk<F: DiskFile>(
    file: &F,
    seed: u32,
    until: Option<Lsn>,
    window: &mut Window,
    chunk: usize,
    mut visit: impl FnMut(&Decoded<'_>),
) -> io::Result<Chain> {
    window.clear();
    let mut chain = Chain::empty(Stop::Replaced);
    loop {
        chain.next_at = window.place_after(file, chain.end, Lsn(chain.last.0 + 1), chunk)?;
        match window.record(file, seed, chain.next_at, chunk) {
            Ok(decoded) if until.is_some_and(|until| decoded.lsn >= until) => return Ok(chain),
            Ok(decoded) if chain.fits(decoded.lsn, decoded.batch) => {
                visit(&decoded);
                chain.add(chain.next_at, decoded.lsn, decoded.batch, decoded.bytes);
            }
            Ok(_) => {
                chain.stop = Stop::Bad(BadRecord::Order);
                return Ok(chain);
            }
            Err(ReadError::Bad(bad)) => {
                let replaced = chain.last.0 != 0 && until.is_some_and(|until| until.0 <= chain.last.0 + 1);
                chain.stop = if replaced { Stop::Replaced } else { Stop::Bad(bad) };
                return Ok(chain);
            }
            Err(ReadError::Io(error)) => return Err(error),
        }
    }
}

/// What lies behind the end of a chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Beyond {
    /// Bytes that were meant to be records of the journal's next batch.
    pub(crate) torn_bytes: u64,
    /// First lsn of an intact batch after the next one: proof that the next one was synced.
    pub(crate) later_batch: Option<Lsn>,
}

/// Looks for remains of records behind `end`, where record `next` should start. `next` is `None` when its
/// number is unknown; then every intact record counts as a later batch.
pub(crate) fn beyond<F: DiskFile>(
    file: &F,
    seed: u32,
    end: u64,
    next: Option<Lsn>,
    window: &mut Window,
    chunk: usize,
) -> io::Result<Beyond> {
    window.clear();
    let mut torn_end = end;
    let mut offset = end;
    loop {
        let bytes = window.slice(file, offset, RECORD_HEAD_BYTES, chunk)?;
        if bytes.len() < RECORD_HEAD_BYTES {
            return Ok(Beyond { torn_bytes: torn_end - end, later_batch: None });
        }
        let Some((at, claim)) = first_claim(bytes, next) else {
            // Everything but a last, incomplete head has been looked at.
            let looked = bytes.len() - RECORD_HEAD_BYTES + 1;
            offset += looked.next_multiple_of(RECORD_ALIGN) as u64;
            continue;
        };
        offset += at as u64;
        let intact = match window.record(file, seed, offset, chunk) {
            // Any other complaint comes after the checksum was found right.
            Ok(_) | Err(ReadError::Bad(BadRecord::Newer | BadRecord::Order)) => true,
            Err(ReadError::Bad(_)) => false,
            Err(ReadError::Io(error)) => return Err(error),
        };
        if intact && next.is_none_or(|next| claim.batch > next) {
            return Ok(Beyond { torn_bytes: 0, later_batch: Some(claim.batch) });
        }
        if intact || (offset == end && next == Some(claim.lsn)) {
            torn_end = torn_end.max(offset + claim.bytes as u64);
        }
        offset += if intact { claim.bytes } else { RECORD_ALIGN } as u64;
    }
}

/// The first place in `bytes` that could be a record from `next` on.
fn first_claim(bytes: &[u8], next: Option<Lsn>) -> Option<(usize, Claim)> {
    let low = next.unwrap_or(Lsn(1));
    // A segment has no room for more; keeps text that looks like a record from costing a checksum.
    let high =
        next.map_or(u64::MAX, |next| next.0.saturating_add(SEGMENT_BYTES_MAX / RECORD_HEAD_BYTES as u64));
    let mut at = 0;
    while at + RECORD_HEAD_BYTES <= bytes.len() {
        // Most of what is looked at is zeros of a segment that was never filled.
        let zeros = bytes[at..].chunks_exact(RECORD_ALIGN).take_while(|w| **w == [0; RECORD_ALIGN]).count();
        at += (zeros * RECORD_ALIGN).saturating_sub(RECORD_HEAD_BYTES);
        if let Some(claim) = format::claim(&bytes[at..])
            && (low.0..=high).contains(&claim.lsn.0)
        {
            return Some((at, claim));
        }
        at += RECORD_ALIGN;
    }
    None
}
