//! What a start does with the journals of earlier processes.
//!
//! Thread: boot; blocks. For each journal below the root: read everything, cut a torn tail, copy the last batch
//! into a new segment (after a failed sync the page cache may show what the disk does not have; that a batch
//! was written proves only that the ones before it were synced), sync every surviving file and directory.
//! Only then does [`recover`] return, so nothing recovered is served, acked or drained before it is durable.
//!
//! Memory: one read window, one copy of the largest last batch, and [`UndrainedRecord`] per record that the
//! message store does not have, up to [`RecoverOptions::index_records_max`].
//!
//! It may stop at any point and be repeated: each step leaves a journal that reads the same.

use std::path::{Path, PathBuf};

use lynk_domain::{FixedMap, Key, Lsn, Millis, RoomId, Seq, ShardId, UserId, fixed_map};
use lynk_model::port::source_name;
use lynk_model::{Record, RecordAt, RecordKind, SourceId, StoreError};

use crate::block::BlockBuffer;
use crate::disk::{Disk, DiskError, DiskFile, at, read_full};
use crate::format::{self, BadRecord, HEADER_BYTES, SegmentHeader};
use crate::inspect::{Damage, Inspected, Segment, Why, generations, inspect, journals};
use crate::keeper::{SegmentIds, make_segment};
use crate::layout;
use crate::limits::{BLOCK_BYTES, RECOVER_INDEX_RECORDS};
use crate::scan::{Chain, SparseIndex, Stop, Window, next_block};

/// What a recovery needs to know.
#[derive(Clone, Debug)]
pub struct RecoverOptions {
    /// The `journal` directory; it may be missing.
    pub root: PathBuf,
    /// Shards of this boot.
    pub shard_count: u16,
    /// Records to index in memory; with more, [`Recovered::overflow`] is set.
    pub index_records_max: usize,
    /// Random per start; ids of new segments are drawn from it. Not the keeper's seed.
    pub id_seed: u64,
}

impl RecoverOptions {
    /// Options with the default bound on memory.
    #[must_use]
    pub fn new(root: PathBuf, shard_count: u16, id_seed: u64) -> Self {
        Self { root, shard_count, index_records_max: RECOVER_INDEX_RECORDS, id_seed }
    }
}

/// How far a recovery is; reported after each journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecoverProgress {
    /// Journals done.
    pub journals_done: usize,
    /// Journals found.
    pub journals: usize,
    /// Records read.
    pub records: u64,
    /// Bytes of records read.
    pub bytes: u64,
}

/// Why a start cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// The disk failed or is full.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The journal is not what was once synced.
    #[error("the journal is damaged: {0}; run `lynk verify` for a full account, and restore the file")]
    Damage(Damage),
    /// The message store did not tell its drain cursor.
    #[error("the message store did not answer while the journal was recovered")]
    Cursor(StoreError),
}

/// A record that the message store may not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UndrainedRecord {
    /// Where it lies.
    pub at: RecordAt,
    /// What it says.
    pub kind: RecordKind,
    /// Its seq; see [`lynk_model::RecordHead`].
    pub seq: Seq,
    /// Server wall time of the event.
    pub wall: Millis,
    /// Who caused it; nil for the server.
    pub sender: UserId,
    /// Idempotency key of the command; nil when there was none.
    pub key: Key,
}

/// A journal of an earlier process, after recovery.
#[derive(Clone, Debug)]
pub struct RecoveredSource {
    /// Its number in this process.
    pub id: SourceId,
    /// Its generation.
    pub generation: u32,
    /// Its shard.
    pub shard: u16,
    /// Its name in the message store.
    pub name: String,
    /// First record that is still there; 0 when there is none.
    pub first: Lsn,
    /// Last record; 0 when there is none.
    pub last: Lsn,
    /// The message store has every record up to this one.
    pub cursor: Lsn,
    pub(crate) segments: Vec<SourceSegment>,
}

/// A segment of a recovered journal.
#[derive(Clone, Debug)]
pub(crate) struct SourceSegment {
    pub(crate) header: SegmentHeader,
    /// Length of the file.
    pub(crate) bytes: u64,
    pub(crate) first: Lsn,
    pub(crate) last: Lsn,
    pub(crate) index: SparseIndex,
}

/// What the journals of earlier processes hold.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// Every journal found, oldest first, numbered from 0. Drained ones are among them, to be removed.
    pub sources: Vec<RecoveredSource>,
    /// Undrained records by room, each list in the order in which they were written. Sorted by room.
    pub rooms: Vec<(RoomId, Vec<UndrainedRecord>)>,
    /// There were more undrained records than may be indexed: `rooms` is empty, and the caller must drain
    /// every source before it serves anything.
    pub overflow: bool,
    /// The generation of this boot: newer than all found, and unknown to the message store.
    pub generation: u32,
    /// Bytes that segment files take now.
    pub used_bytes: u64,
    /// Undrained records.
    pub undrained_records: u64,
    /// Journals whose tail was cut.
    pub cut_tails: u64,
    /// Bytes cut.
    pub cut_bytes: u64,
    /// Records of last batches that were written anew.
    pub rewritten_records: u64,
}

impl Recovered {
    /// The number of the journal that `shard` writes in this boot.
    #[must_use]
    pub fn live_source(&self, shard: ShardId) -> SourceId {
        let old = u32::try_from(self.sources.len()).expect("bounded by the file system");
        SourceId(old + u32::from(shard.0))
    }
}

/// Recovers every journal below the root. `cursor` gives the message store's drain cursor of a source.
///
/// # Errors
/// See [`RecoverError`]. Nothing that was committed is lost by an attempt that failed.
pub fn recover<D: Disk>(
    disk: &D,
    options: &RecoverOptions,
    cursor: &mut dyn FnMut(&str) -> Result<Lsn, StoreError>,
    progress: &mut dyn FnMut(RecoverProgress),
) -> Result<Recovered, RecoverError> {
    let root = &options.root;
    let found = journals(disk, root)?;
    let mut recovery = Recovery {
        disk,
        options,
        ids: SegmentIds::new(options.id_seed),
        window: Window::default(),
        rooms: fixed_map(options.id_seed),
        recovered: Recovered {
            sources: Vec::new(),
            rooms: Vec::new(),
            overflow: false,
            generation: new_generation(disk, options, cursor)?,
            used_bytes: 0,
            undrained_records: 0,
            cut_tails: 0,
            cut_bytes: 0,
            rewritten_records: 0,
        },
    };
    let mut done = RecoverProgress { journals_done: 0, journals: found.len(), records: 0, bytes: 0 };
    for place in found {
        let drained = cursor(&source_name(place.0, place.1)).map_err(RecoverError::Cursor)?;
        recovery.journal(place, drained, &mut done)?;
        done.journals_done += 1;
        progress(done);
    }
    sync_dirs(disk, root)?;
    let Recovery { rooms, mut recovered, .. } = recovery;
    if !recovered.overflow {
        recovered.rooms = rooms.into_iter().collect();
        recovered.rooms.sort_unstable_by_key(|(room, _)| *room);
    }
    Ok(recovered)
}

/// A number above every generation on disk whose sources the message store never saw: a cursor left from an
/// earlier use of the number would hide new records.
fn new_generation<D: Disk>(
    disk: &D,
    options: &RecoverOptions,
    cursor: &mut dyn FnMut(&str) -> Result<Lsn, StoreError>,
) -> Result<u32, RecoverError> {
    let mut generation = generations(disk, &options.root)?.into_iter().max().unwrap_or(0) + 1;
    let mut shard = 0;
    while shard < options.shard_count {
        if cursor(&source_name(generation, shard)).map_err(RecoverError::Cursor)? == Lsn(0) {
            shard += 1;
        } else {
            generation += 1;
            shard = 0;
        }
    }
    Ok(generation)
}

fn sync_dirs<D: Disk>(disk: &D, root: &Path) -> Result<(), DiskError> {
    let found = generations(disk, root)?;
    for generation in &found {
        let dir = layout::generation_dir(root, *generation);
        disk.sync_dir(&dir).map_err(at("sync", &dir))?;
    }
    if found.is_empty() { Ok(()) } else { disk.sync_dir(root).map_err(at("sync", root)) }
}

struct Recovery<'a, D> {
    disk: &'a D,
    options: &'a RecoverOptions,
    ids: SegmentIds,
    window: Window,
    rooms: FixedMap<RoomId, Vec<UndrainedRecord>>,
    recovered: Recovered,
}

impl<D: Disk> Recovery<'_, D> {
    fn journal(
        &mut self,
        place: (u32, u16),
        cursor: Lsn,
        done: &mut RecoverProgress,
    ) -> Result<(), RecoverError> {
        let id = SourceId(u32::try_from(self.recovered.sources.len()).expect("bounded by the file system"));
        let (max, rooms, recovered) = (self.options.index_records_max, &mut self.rooms, &mut self.recovered);
        let found =
            inspect(self.disk, &self.options.root, place, Some(cursor), &mut self.window, |lsn, record| {
                done.records += 1;
                done.bytes += format::record_bytes(record.payload.len()) as u64;
                if lsn > cursor {
                    recovered.undrained_records += 1;
                    note(rooms, recovered, max, RecordAt { source: id, lsn }, record);
                }
            })?;
        if let Some(damage) = found.damage {
            return Err(RecoverError::Damage(damage));
        }
        let segments = self.settle(place, cursor, found)?;
        self.recovered.used_bytes += segments.iter().map(|s| s.bytes).sum::<u64>();
        self.recovered.sources.push(RecoveredSource {
            id,
            generation: place.0,
            shard: place.1,
            name: source_name(place.0, place.1),
            first: segments.first().map_or(Lsn(0), |s| s.first),
            last: segments.last().map_or(Lsn(0), |s| s.last),
            cursor,
            segments,
        });
        Ok(())
    }

    /// Brings the files of a sound journal into their final form, durably, and returns the segments that
    /// hold records.
    fn settle(
        &mut self,
        place: (u32, u16),
        cursor: Lsn,
        mut found: Inspected<D::File>,
    ) -> Result<Vec<SourceSegment>, RecoverError> {
        let dir = layout::shard_dir(&self.options.root, place.0, place.1);
        // A process that was killed may have left names that are seen but not durable yet, and what follows
        // removes files because of them.
        self.disk.sync_dir(&dir).map_err(at("sync", &dir))?;
        let tail = found.tail();
        let last = tail.map_or(Lsn(0), |tail| found.segments[tail].chain.last);
        let next_index = found.segments.last().map_or(0, |s| s.header.index + 1);
        let torn: u64 = found.segments.iter().map(|s| s.torn_bytes).sum();
        self.recovered.cut_tails += u64::from(torn > 0);
        self.recovered.cut_bytes += torn;
        // Whatever holds no record gives its space back first: the copy of the last batch may need it.
        let (mut segments, empty): (Vec<_>, Vec<_>) =
            found.segments.drain(..).partition(|s| s.chain.last.0 != 0);
        for path in found.preparing.iter().chain(empty.iter().map(|s| &s.path)) {
            self.disk.remove(path).map_err(at("remove", path))?;
        }
        for segment in &mut segments {
            cut(segment, segment.chain.end)?;
        }
        if last > cursor {
            segments = self.rewrite_last_batch(segments, next_index)?;
        }
        for segment in &segments {
            segment.file.sync().map_err(at("sync", &segment.path))?;
        }
        self.disk.sync_dir(&dir).map_err(at("sync", &dir))?;
        Ok(segments.into_iter().map(settled).collect())
    }

    /// Copies the last batch to a new segment, then takes it out of the old one.
    fn rewrite_last_batch(
        &mut self,
        mut segments: Vec<Segment<D::File>>,
        index: u32,
    ) -> Result<Vec<Segment<D::File>>, RecoverError> {
        let Some(mut old) = segments.pop() else { return Ok(segments) };
        let (first, from) = old.chain.last_batch;
        let mut batch = read_batch(&old.file, from..old.chain.end).map_err(at("read", &old.path))?;
        let header = SegmentHeader { id: self.ids.next_id(), index, rewrites: first, ..old.header };
        format::seal(batch.bytes_mut(), header.seed());
        let root = &self.options.root;
        let bytes = HEADER_BYTES + batch.len() as u64;
        let chain = copied_chain(batch.bytes(), &header, &old.path)?;
        let file = make_segment(self.disk, root, &header, next_block(bytes), Some(batch))?;
        self.recovered.rewritten_records += old.chain.last.0 - first.0 + 1;
        if first == old.chain.first {
            self.disk.remove(&old.path).map_err(at("remove", &old.path))?;
        } else {
            cut(&mut old, from)?;
            old.chain.last = Lsn(first.0 - 1);
            old.chain.end = from;
            old.chain.index.cut(first);
            segments.push(old);
        }
        let path = layout::segment_path(root, header.generation, header.shard, header.index);
        segments.push(Segment { path, file, header, bytes, chain, torn_bytes: 0 });
        Ok(segments)
    }
}

/// The bytes of a batch. It begins within a block in a segment of format 1 only.
fn read_batch<F: DiskFile>(file: &F, place: std::ops::Range<u64>) -> std::io::Result<BlockBuffer> {
    let skip = usize::try_from(place.start % BLOCK_BYTES as u64).expect("below a block");
    let start = place.start - skip as u64;
    let length = usize::try_from(place.end - start).expect("a batch fits into memory");
    let mut blocks = BlockBuffer::zeroed(length.next_multiple_of(BLOCK_BYTES));
    if read_full(file, blocks.bytes_mut(), start)? < length {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let mut batch = BlockBuffer::default();
    batch.extend(&blocks.bytes()[skip..length]);
    Ok(batch)
}

/// The chain of a batch that starts right behind its new header; `source` is where it was read from.
fn copied_chain(batch: &[u8], header: &SegmentHeader, source: &Path) -> Result<Chain, RecoverError> {
    let mut chain = Chain::empty(Stop::Bad(BadRecord::Empty));
    let mut rest = batch;
    while !rest.is_empty() {
        // A failure means that the batch was read twice and differed: its checksums were made just now.
        let decoded = format::decode(rest, header.seed()).map_err(|bad| {
            let why = Why::Unreadable(bad);
            RecoverError::Damage(Damage { path: source.to_owned(), offset: chain.end, why })
        })?;
        chain.add(chain.end, decoded.lsn, header.rewrites, decoded.bytes);
        rest = &rest[decoded.bytes..];
    }
    Ok(chain)
}

fn cut<F: DiskFile>(segment: &mut Segment<F>, bytes: u64) -> Result<(), DiskError> {
    if segment.bytes > bytes {
        segment.file.truncate(bytes).map_err(at("truncate", &segment.path))?;
        segment.bytes = bytes;
    }
    Ok(())
}

fn settled<F>(segment: Segment<F>) -> SourceSegment {
    SourceSegment {
        header: segment.header,
        bytes: segment.bytes,
        first: segment.chain.first,
        last: segment.chain.last,
        index: segment.chain.index,
    }
}

fn note(
    rooms: &mut FixedMap<RoomId, Vec<UndrainedRecord>>,
    recovered: &mut Recovered,
    max: usize,
    at: RecordAt,
    record: &Record<'_>,
) {
    if recovered.overflow {
        return;
    }
    if usize::try_from(recovered.undrained_records).unwrap_or(usize::MAX) > max {
        recovered.overflow = true;
        *rooms = fixed_map(0);
        return;
    }
    let head = &record.head;
    let undrained = UndrainedRecord {
        at,
        kind: head.kind,
        seq: head.seq,
        wall: head.wall,
        sender: head.sender,
        key: head.key,
    };
    rooms.entry(head.room).or_default().push(undrained);
}
