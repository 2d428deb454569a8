//! Reads records out of journals: those of earlier processes, and those that shards are writing now.
//!
//! Thread: the store thread; blocks on reads. A live journal is read through its files, behind its shard's
//! back, and only up to the committed lsn; the shard pays one atomic store per commit for it.
//!
//! Memory: a sparse index per segment (one entry per 64 records or 64 KiB), built while records are first read,
//! one read window, and one open file per segment that holds undrained records.
//!
//! What can fail: a read (`Unavailable`) and a record that is not what was committed (`Corrupt`; then
//! [`Reader::damage`] says where).

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lynk_domain::Lsn;
use lynk_model::port::RecordSource;
use lynk_model::{OwnedRecord, Record, RecordHead, SourceId, StoreError};

use crate::disk::{Disk, DiskFile};
use crate::format::{BadRecord, Decoded, HEADER_BYTES};
use crate::inspect::{Damage, Why, read_header};
use crate::layout;
use crate::recover::{Recovered, RecoveredSource};
use crate::scan::{ReadError, SparseIndex, Window};
use crate::writer::Committed;

/// Bytes read at once for a single record: about what lies between two entries of the sparse index.
const SINGLE_CHUNK: usize = 16 << 10;
/// Bytes read at once when records are read one after another.
const BATCH_CHUNK: usize = 256 << 10;

/// Records copied out of a journal, in order.
#[derive(Default, Debug)]
pub struct Batch {
    heads: Vec<(RecordHead, Range<usize>)>,
    payloads: Vec<u8>,
    last: Lsn,
}

impl Batch {
    /// The records, borrowed. Allocates the list.
    #[must_use]
    pub fn records(&self) -> Vec<Record<'_>> {
        self.heads
            .iter()
            .map(|(head, range)| Record { head: *head, payload: &self.payloads[range.clone()] })
            .collect()
    }

    /// The records, copied.
    #[must_use]
    pub fn to_owned_records(&self) -> Vec<OwnedRecord> {
        let owned = |(head, range): &(RecordHead, Range<usize>)| OwnedRecord {
            head: *head,
            payload: self.payloads[range.clone()].to_vec(),
        };
        self.heads.iter().map(owned).collect()
    }

    /// Number of the last record; 0 when there is none.
    #[must_use]
    pub fn last(&self) -> Lsn {
        self.last
    }

    /// How many records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    fn clear(&mut self) {
        self.heads.clear();
        self.payloads.clear();
        self.last = Lsn(0);
    }
}

/// A segment file that nothing needs any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FreedSegment {
    /// Where it lies.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

/// Reads the journals of a data directory.
#[derive(Debug)]
pub struct Reader<D: Disk> {
    disk: D,
    root: PathBuf,
    sources: Vec<Source<D::File>>,
    window: Window,
    /// What the window holds: source and segment index.
    held: Option<(SourceId, u32)>,
    /// Bytes to read at once.
    chunk: usize,
    damage: Option<Damage>,
}

#[derive(Debug)]
enum Extent {
    /// A journal that no longer grows, up to this record.
    Closed(Lsn),
    /// A journal that its shard is writing.
    Live(Arc<Committed>),
}

#[derive(Debug)]
struct Source<F> {
    generation: u32,
    shard: u16,
    extent: Extent,
    segments: VecDeque<OpenSegment<F>>,
    /// First record that is not indexed yet, and where it should start in the last segment.
    next: Lsn,
    next_at: u64,
    /// Index of the segment after the last one known.
    next_segment: u32,
}

#[derive(Debug)]
struct OpenSegment<F> {
    index: u32,
    bytes: u64,
    seed: u32,
    /// Opened when first read.
    file: Option<F>,
    first: Lsn,
    positions: SparseIndex,
}

/// Where a record is, or the one before it ends.
#[derive(Clone, Copy)]
struct Place {
    /// Place in `Source::segments`.
    segment: usize,
    offset: u64,
}

/// A record that was found, and what was made of it.
struct Found<T> {
    start: u64,
    end: u64,
    used: T,
}

impl<F> Source<F> {
    fn last(&self) -> Lsn {
        match &self.extent {
            Extent::Closed(last) => *last,
            Extent::Live(committed) => committed.get(),
        }
    }

    fn closed(source: &RecoveredSource) -> Self {
        let segments = source.segments.iter().map(|s| OpenSegment {
            index: s.header.index,
            bytes: s.bytes,
            seed: s.header.seed(),
            file: None,
            first: s.first,
            positions: s.index.clone(),
        });
        Self {
            generation: source.generation,
            shard: source.shard,
            extent: Extent::Closed(source.last),
            segments: segments.collect(),
            next: Lsn(source.last.0 + 1),
            next_at: HEADER_BYTES,
            next_segment: 0,
        }
    }
}

impl<D: Disk> Reader<D> {
    /// A reader of everything recovered and of this boot's journals, whose committed lsns are `live`, in shard
    /// order.
    #[must_use]
    pub fn new(disk: D, root: &Path, recovered: &Recovered, live: Vec<Arc<Committed>>) -> Self {
        let mut sources: Vec<_> = recovered.sources.iter().map(Source::closed).collect();
        for (shard, committed) in (0..).zip(live) {
            sources.push(Source {
                generation: recovered.generation,
                shard,
                extent: Extent::Live(committed),
                segments: VecDeque::new(),
                next: Lsn(1),
                next_at: HEADER_BYTES,
                next_segment: 0,
            });
        }
        Self {
            disk,
            root: root.to_owned(),
            sources,
            window: Window::default(),
            held: None,
            chunk: SINGLE_CHUNK,
            damage: None,
        }
    }

    /// The last record of a source that may be read: for a live journal, the last committed one.
    #[must_use]
    pub fn last(&self, source: SourceId) -> Lsn {
        self.sources.get(source.0 as usize).map_or(Lsn(0), Source::last)
    }

    /// The last damage met, for the operator.
    #[must_use]
    pub fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }

    /// Fills `batch` with the records after `after`: at most `records_max`, and no further one when `bytes_max`
    /// bytes of payload are reached. Empty when there is none yet.
    ///
    /// # Errors
    /// `Unavailable` when the disk fails, `Corrupt` on damage; `batch` is empty then.
    pub fn read_batch(
        &mut self,
        source: SourceId,
        after: Lsn,
        records_max: usize,
        bytes_max: usize,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        batch.clear();
        let last = self.last(source).min(Lsn(after.0.saturating_add(records_max as u64)));
        if last <= after {
            return Ok(());
        }
        self.chunk = BATCH_CHUNK;
        let done = self.copy(source, after, last, bytes_max, batch);
        if done.is_err() {
            batch.clear();
        }
        done
    }

    fn copy(
        &mut self,
        source: SourceId,
        after: Lsn,
        last: Lsn,
        bytes_max: usize,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let mut lsn = Lsn(after.0 + 1);
        let Some(mut place) = self.find(source, lsn)? else {
            // The records between the cursor and the first segment are gone: recovery would have refused.
            return Err(StoreError::Corrupt);
        };
        while lsn <= last && batch.payloads.len() < bytes_max {
            self.index_up_to(source, lsn)?;
            let opened = self.sources.get(source.0 as usize).map(|s| &s.segments);
            if opened.and_then(|s| s.get(place.segment + 1)).is_some_and(|next| next.first == lsn) {
                place = Place { segment: place.segment + 1, offset: HEADER_BYTES };
            }
            let found = self.record(source, place, lsn, |record| {
                let start = batch.payloads.len();
                batch.payloads.extend_from_slice(record.payload);
                batch.heads.push((record.head, start..batch.payloads.len()));
            })?;
            place.offset = found.end;
            batch.last = lsn;
            lsn.0 += 1;
        }
        Ok(())
    }

    /// Lets go of the segments that hold no record after `cursor` and returns their files, to be removed. A
    /// live journal keeps the segment being written; of a journal that no longer grows nothing is kept when
    /// all of it is drained.
    ///
    /// A segment goes only when a record of the one after it is drained: so the first record of the oldest
    /// segment on disk is never one that could have been torn.
    pub fn release(&mut self, source: SourceId, cursor: Lsn) -> Vec<FreedSegment> {
        let Some(source) = self.sources.get_mut(source.0 as usize) else { return Vec::new() };
        let (generation, shard) = (source.generation, source.shard);
        let all = matches!(source.extent, Extent::Closed(last) if last <= cursor);
        let mut freed = Vec::new();
        while all || source.segments.get(1).is_some_and(|next| next.first <= cursor) {
            let Some(segment) = source.segments.pop_front() else { break };
            let path = layout::segment_path(&self.root, generation, shard, segment.index);
            freed.push(FreedSegment { path, bytes: segment.bytes });
        }
        freed
    }

    /// Where record `lsn` is; `None` when its segment was released.
    fn find(&mut self, id: SourceId, lsn: Lsn) -> Result<Option<Place>, StoreError> {
        self.index_up_to(id, lsn)?;
        let Some(source) = self.sources.get(id.0 as usize) else { return Ok(None) };
        let after = source.segments.partition_point(|s| s.first <= lsn);
        let Some(segment) = after.checked_sub(1) else { return Ok(None) };
        let Some((mut at, mut offset)) = source.segments[segment].positions.find(lsn) else {
            return Ok(None);
        };
        while at < lsn {
            offset = self.record(id, Place { segment, offset }, at, |_| ())?.end;
            at.0 += 1;
        }
        Ok(Some(Place { segment, offset }))
    }

    /// Indexes a live journal's records up to `lsn`, which must be committed.
    fn index_up_to(&mut self, id: SourceId, lsn: Lsn) -> Result<(), StoreError> {
        loop {
            let Some(source) = self.sources.get_mut(id.0 as usize) else { return Ok(()) };
            if lsn < source.next {
                return Ok(());
            }
            let (next, offset) = (source.next, source.next_at);
            let known = source.segments.len().checked_sub(1);
            let found = match known {
                Some(segment) => self.try_record(id, Place { segment, offset }, next, |_| ())?,
                None => Err(BadRecord::Empty),
            };
            match found {
                Ok(found) => self.note_next(id, &found),
                Err(bad) => self.open_next(id, next, bad)?,
            }
        }
    }

    fn note_next<T>(&mut self, id: SourceId, found: &Found<T>) {
        if let Some(source) = self.sources.get_mut(id.0 as usize)
            && let Some(segment) = source.segments.back_mut()
        {
            segment.positions.note(source.next, found.start);
            source.next.0 += 1;
            source.next_at = found.end;
        }
    }

    /// Opens the segment after the last one, which must start with record `first`. When there is none, what
    /// was found in place of that record (`bad`) is damage.
    fn open_next(&mut self, id: SourceId, first: Lsn, bad: BadRecord) -> Result<(), StoreError> {
        let Some(source) = self.sources.get(id.0 as usize) else { return Ok(()) };
        let index = source.next_segment;
        let place = (source.generation, source.shard, index);
        let path = layout::segment_path(&self.root, place.0, place.1, index);
        let opened = self.disk.open(&path).and_then(|file| {
            let header = read_header(&file, place)?;
            Ok((file.bytes()?, file, header))
        });
        let (bytes, file, header) = match opened {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(self.damaged(id, None, Why::Unreadable(bad)));
            }
            Err(_) => return Err(StoreError::Unavailable),
        };
        let header = header.map_err(|bad| {
            self.damage = Some(Damage { path: path.clone(), offset: 0, why: Why::Header(bad) });
            StoreError::Corrupt
        })?;
        let segment = OpenSegment {
            index,
            bytes,
            seed: header.seed(),
            file: Some(file),
            first,
            positions: SparseIndex::default(),
        };
        let Some(source) = self.sources.get_mut(id.0 as usize) else { return Ok(()) };
        source.segments.push_back(segment);
        let there = Place { segment: source.segments.len() - 1, offset: HEADER_BYTES };
        match self.try_record(id, there, first, |_| ()) {
            Ok(Ok(_)) => {
                let Some(source) = self.sources.get_mut(id.0 as usize) else { return Ok(()) };
                source.next_segment += 1;
                source.next_at = HEADER_BYTES;
                Ok(())
            }
            failed => {
                // A blank segment is one that is not in use yet: the record is missing in the one before.
                let error = match failed {
                    Ok(Err(first_bad)) if first_bad != BadRecord::Empty || there.segment == 0 => {
                        self.damaged(id, Some(there), Why::Unreadable(first_bad))
                    }
                    Ok(_) => self.damaged(id, None, Why::Unreadable(bad)),
                    Err(error) => error,
                };
                if let Some(source) = self.sources.get_mut(id.0 as usize) {
                    source.segments.pop_back();
                }
                Err(error)
            }
        }
    }

    /// Shows `use_record` the record that follows a place, which must be `lsn`.
    fn record<T>(
        &mut self,
        id: SourceId,
        place: Place,
        lsn: Lsn,
        use_record: impl FnOnce(&Record<'_>) -> T,
    ) -> Result<Found<T>, StoreError> {
        match self.try_record(id, place, lsn, use_record)? {
            Ok(found) => Ok(found),
            Err(bad) => Err(self.damaged(id, Some(place), Why::Unreadable(bad))),
        }
    }

    fn try_record<T>(
        &mut self,
        id: SourceId,
        place: Place,
        lsn: Lsn,
        use_record: impl FnOnce(&Record<'_>) -> T,
    ) -> Result<Result<Found<T>, BadRecord>, StoreError> {
        let Some(source) = self.sources.get_mut(id.0 as usize) else { return Ok(Err(BadRecord::Empty)) };
        let (generation, shard) = (source.generation, source.shard);
        let Some(segment) = source.segments.get_mut(place.segment) else {
            return Ok(Err(BadRecord::Empty));
        };
        if segment.file.is_none() {
            let path = layout::segment_path(&self.root, generation, shard, segment.index);
            segment.file = Some(self.disk.open(&path).map_err(|_| StoreError::Unavailable)?);
        }
        let Some(file) = &segment.file else { return Err(StoreError::Unavailable) };
        if self.held != Some((id, segment.index)) {
            self.window.clear();
            self.held = Some((id, segment.index));
        }
        let found = |start, decoded: Decoded<'_>| {
            let end = start + decoded.bytes as u64;
            Found { start, end, used: use_record(&decoded.record) }
        };
        let (window, chunk) = (&mut self.window, self.chunk);
        let place_of = |window: &mut Window| window.place_after(file, place.offset, lsn, chunk);
        let at = place_of(window).map_err(|_| StoreError::Unavailable)?;
        if let Ok(decoded) = window.record(file, segment.seed, at, chunk)
            && decoded.lsn == lsn
        {
            return Ok(Ok(found(at, decoded)));
        }
        // The window may have been filled before this record was written: look again before judging.
        window.clear();
        let at = place_of(window).map_err(|_| StoreError::Unavailable)?;
        match window.record(file, segment.seed, at, chunk) {
            Ok(decoded) if decoded.lsn == lsn => Ok(Ok(found(at, decoded))),
            Ok(_) => Ok(Err(BadRecord::Order)),
            Err(ReadError::Bad(bad)) => Ok(Err(bad)),
            Err(ReadError::Io(_)) => Err(StoreError::Unavailable),
        }
    }

    /// Notes damage at a place, or, without one, where the next record should have been.
    fn damaged(&mut self, id: SourceId, place: Option<Place>, why: Why) -> StoreError {
        if let Some(source) = self.sources.get(id.0 as usize) {
            let indexed = source.segments.iter().rposition(|s| s.index + 1 == source.next_segment);
            let known = place.map(|p| p.segment).or(indexed);
            let index = known.and_then(|k| source.segments.get(k)).map_or(source.next_segment, |s| s.index);
            let path = layout::segment_path(&self.root, source.generation, source.shard, index);
            let offset = place.map_or(source.next_at, |p| p.offset);
            self.damage = Some(Damage { path, offset, why });
        }
        StoreError::Corrupt
    }
}

impl<D: Disk> RecordSource for Reader<D> {
    /// Also `Unavailable` for a record of a live journal that is not committed yet.
    fn read(&mut self, source: SourceId, lsn: Lsn) -> Result<Option<OwnedRecord>, StoreError> {
        if lsn > self.last(source) {
            return Err(StoreError::Unavailable);
        }
        self.chunk = SINGLE_CHUNK;
        let Some(place) = self.find(source, lsn)? else { return Ok(None) };
        let copy = |record: &Record<'_>| OwnedRecord { head: record.head, payload: record.payload.to_vec() };
        self.record(source, place, lsn, copy).map(|found| Some(found.used))
    }
}
