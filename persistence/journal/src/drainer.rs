//! Moves journals into the message store, and removes what is in it.
//!
//! Thread: the store thread, which calls [`Drainer::step`] whenever it has nothing more urgent; a step blocks
//! for one store batch, or for the removal of files.
//!
//! Invariants: the cursor of a source moves in the same transaction as the rows, and only behind what is
//! committed; a file is removed only after the store said that its records are durable there. A batch whose
//! outcome is unknown is sent again: the store ignores what it has.
//!
//! Order: earlier generations first, oldest first, one after the other; then this boot's journals in turn. A
//! drained earlier journal is removed file by file, then forgotten by the store, then its directory goes. Where events are published
//! ([`Drainer::hold`]), files stay until those who publish have passed them too, and nothing else waits for that.
//!
//! Limits: [`DRAIN_RECORDS`] and [`DRAIN_BYTES`] a step. What can fail: the store
//! ([`DrainStep::Waiting`], tried again with growing pauses) and damage ([`DrainStep::Stuck`], that source
//! only, until a restart).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lynk_domain::{Lsn, Nanos};
use lynk_model::port::{MessageStore, source_name};
use lynk_model::{SourceId, StoreError};

use crate::cursors::Cursors;
use crate::disk::Disk;
use crate::keeper::DiskUse;
use crate::layout;
use crate::limits::{DRAIN_BYTES, DRAIN_RECORDS};
use crate::reader::{Batch, FreedSegment, Reader};
use crate::recover::Recovered;
use crate::shared::ReaderAccess;

/// First pause after a failure, in nanoseconds; doubled up to [`PAUSE_NANOS_MAX`].
const PAUSE_NANOS_MIN: u64 = 50_000_000;
/// Longest pause between attempts, in nanoseconds.
const PAUSE_NANOS_MAX: u64 = 5_000_000_000;

/// What a step did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DrainStep {
    /// Every record of the source up to `lsn` is in the message store. There may be more to do.
    Drained {
        /// Which journal.
        source: SourceId,
        /// Up to.
        lsn: Lsn,
        /// How many records this step moved.
        records: usize,
    },
    /// An earlier journal was drained to its end, and its files are gone. There may be more to do.
    Gone {
        /// Which journal.
        source: SourceId,
    },
    /// This source cannot be read or stored; [`Reader::damage`] may say more. Others go on.
    Stuck {
        /// Which journal.
        source: SourceId,
        /// The record after which it stopped.
        after: Lsn,
    },
    /// The store or the disk did not work: nothing to do before this time.
    Waiting(Nanos),
    /// Everything committed is in the store.
    Idle,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Draining,
    Stuck,
    Gone,
    /// Drained, but files of it cannot be removed.
    Left,
}

/// The next piece of work, by the source's place.
enum Turn {
    /// Move a batch.
    Drain { earlier: bool, i: usize },
    /// Remove an earlier journal that is drained.
    Finish(usize),
}

#[derive(Debug)]
struct Source {
    id: SourceId,
    generation: u32,
    shard: u16,
    name: String,
    cursor: Lsn,
    /// Segments with nothing after this record were let go.
    released: Lsn,
    phase: Phase,
}

/// Drains every journal of a data directory.
#[derive(Debug)]
pub struct Drainer {
    root: PathBuf,
    disk_use: Arc<DiskUse>,
    /// Who else goes over the journals.
    others: Option<Arc<Cursors>>,
    /// Journals of earlier boots, oldest first.
    earlier: Vec<Source>,
    /// Journals of this boot, in shard order.
    live: Vec<Source>,
    /// Whose turn it is among the live ones.
    turn: usize,
    /// Files to remove.
    freed: Vec<FreedSegment>,
    /// Those that could not be removed.
    kept: Vec<FreedSegment>,
    /// When to try again to remove them.
    remove_at: Option<Nanos>,
    batch: Batch,
    pause: u64,
    retry_at: Option<Nanos>,
}

impl Drainer {
    /// A drainer of everything recovered and of this boot's `shard_count` journals.
    #[must_use]
    pub fn new(root: &Path, recovered: &Recovered, shard_count: u16, disk_use: Arc<DiskUse>) -> Self {
        let earlier = recovered.sources.iter().map(|source| Source {
            id: source.id,
            generation: source.generation,
            shard: source.shard,
            name: source.name.clone(),
            cursor: source.cursor,
            released: Lsn(0),
            phase: Phase::Draining,
        });
        let live = (0..shard_count).map(|shard| Source {
            id: recovered.live_source(lynk_domain::ShardId(shard)),
            generation: recovered.generation,
            shard,
            name: source_name(recovered.generation, shard),
            cursor: Lsn(0),
            released: Lsn(0),
            phase: Phase::Draining,
        });
        Self {
            root: root.to_owned(),
            disk_use,
            others: None,
            earlier: earlier.collect(),
            live: live.collect(),
            turn: 0,
            freed: Vec::new(),
            kept: Vec::new(),
            remove_at: None,
            batch: Batch::default(),
            pause: PAUSE_NANOS_MIN,
            retry_at: None,
        }
    }

    /// Tells `cursors` what is stored, and keeps segments until all of them have passed.
    #[must_use]
    pub fn hold(self, cursors: Arc<Cursors>) -> Self {
        Self { others: Some(cursors), ..self }
    }

    /// Records committed but not yet drained, over all sources.
    #[must_use]
    pub fn backlog<D: Disk>(&self, reader: &Reader<D>) -> u64 {
        let sources = self.earlier.iter().chain(&self.live);
        sources.map(|s| reader.last(s.id).0.saturating_sub(s.cursor.0)).sum()
    }

    /// How far each journal is drained that still has records, or may get some.
    #[must_use]
    pub fn cursors(&self) -> Vec<(SourceId, Lsn)> {
        let earlier = self.earlier.iter().filter(|source| source.phase != Phase::Gone);
        earlier.chain(&self.live).map(|source| (source.id, source.cursor)).collect()
    }

    /// The batch that the last step moved, after [`DrainStep::Drained`] with records.
    #[must_use]
    pub fn last_batch(&self) -> &Batch {
        &self.batch
    }

    /// Drained files that could not be removed: the operator should look at the disk.
    #[must_use]
    pub fn unremoved(&self) -> usize {
        self.kept.len()
    }

    /// Whether every journal of earlier boots is drained and gone.
    #[must_use]
    pub fn earlier_gone(&self) -> bool {
        self.earlier.iter().all(|s| s.phase == Phase::Gone)
    }

    /// Does one piece of work, when there is any. A [shared](crate::SharedReader) reader is not held while the
    /// store works.
    pub async fn step<S: MessageStore, D: Disk, R: ReaderAccess<D>>(
        &mut self,
        store: &mut S,
        disk: &D,
        reader: &mut R,
        now: Nanos,
    ) -> DrainStep {
        if let Some(at) = self.retry_at.filter(|at| now < *at) {
            return DrainStep::Waiting(at);
        }
        self.retry_at = None;
        if self.remove_at.is_none_or(|at| at <= now) {
            self.freed.append(&mut self.kept);
            self.remove_at = Some(now.after(PAUSE_NANOS_MAX));
        }
        self.release_passed(reader);
        self.remove_freed(disk);
        let done = match reader.with(|reader| self.next_source(reader)) {
            None => return DrainStep::Idle,
            Some(Turn::Finish(i)) => self.finish(i, store, disk, reader).await,
            Some(Turn::Drain { earlier, i }) => self.drain(earlier, i, store, reader).await,
        };
        match done {
            Ok(step) => {
                self.pause = PAUSE_NANOS_MIN;
                step
            }
            Err(()) => self.wait(now),
        }
    }

    fn wait(&mut self, now: Nanos) -> DrainStep {
        let at = now.after(self.pause);
        self.retry_at = Some(at);
        self.pause = (self.pause * 2).min(PAUSE_NANOS_MAX);
        DrainStep::Waiting(at)
    }

    /// What to do next.
    fn next_source<D: Disk>(&mut self, reader: &Reader<D>) -> Option<Turn> {
        for (i, source) in self.earlier.iter().enumerate().filter(|(_, s)| s.phase == Phase::Draining) {
            let last = reader.last(source.id);
            if source.cursor < last {
                return Some(Turn::Drain { earlier: true, i });
            }
            if self.passed(source) >= last {
                return Some(Turn::Finish(i));
            }
        }
        let count = self.live.len();
        for i in (self.turn..count).chain(0..self.turn) {
            let source = &self.live[i];
            if source.phase == Phase::Draining && reader.last(source.id) > source.cursor {
                self.turn = (i + 1) % count;
                return Some(Turn::Drain { earlier: false, i });
            }
        }
        None
    }

    /// What of a source nobody needs any more.
    fn passed(&self, source: &Source) -> Lsn {
        self.others.as_ref().map_or(source.cursor, |others| source.cursor.min(others.passed(source.id)))
    }

    /// Lets go of segments that others have passed since they were drained.
    fn release_passed<D: Disk, R: ReaderAccess<D>>(&mut self, reader: &mut R) {
        let Some(others) = &self.others else { return };
        for source in self.earlier.iter_mut().chain(&mut self.live) {
            let passed = source.cursor.min(others.passed(source.id));
            if source.phase == Phase::Draining && source.released < passed {
                source.released = passed;
                self.freed.extend(reader.with(|reader| reader.release(source.id, passed)));
            }
        }
    }

    /// Moves one batch. `Err`: try again later.
    async fn drain<S: MessageStore, D: Disk, R: ReaderAccess<D>>(
        &mut self,
        earlier: bool,
        i: usize,
        store: &mut S,
        reader: &mut R,
    ) -> Result<DrainStep, ()> {
        let source = if earlier { &mut self.earlier[i] } else { &mut self.live[i] };
        let (id, after, batch) = (source.id, source.cursor, &mut self.batch);
        let read = reader.with(|reader| reader.read_batch(id, after, DRAIN_RECORDS, DRAIN_BYTES, batch));
        let stored = match read {
            Ok(()) => store.append(&source.name, self.batch.last(), &self.batch.records()).await,
            Err(error) => Err(error),
        };
        match stored {
            Ok(()) => {
                source.cursor = self.batch.last();
                let passed = match &self.others {
                    None => source.cursor,
                    Some(others) => {
                        others.set_stored(source.id, source.cursor);
                        source.cursor.min(others.passed(source.id))
                    }
                };
                self.freed.extend(reader.with(|reader| reader.release(source.id, passed)));
                Ok(DrainStep::Drained { source: source.id, lsn: source.cursor, records: self.batch.len() })
            }
            Err(StoreError::Unavailable | StoreError::Unknown) => Err(()),
            Err(_) => {
                source.phase = Phase::Stuck;
                if let Some(others) = &self.others {
                    others.set_stuck(source.id);
                }
                Ok(DrainStep::Stuck { source: source.id, after: source.cursor })
            }
        }
    }

    /// Removes a drained journal of an earlier boot. Stopping anywhere is harmless: what is left is found
    /// drained, or empty, by the next start, which goes on. The store's cursor outlives the files, because
    /// without it they would count as undrained.
    async fn finish<S: MessageStore, D: Disk, R: ReaderAccess<D>>(
        &mut self,
        i: usize,
        store: &mut S,
        disk: &D,
        reader: &mut R,
    ) -> Result<DrainStep, ()> {
        let (id, cursor) = (self.earlier[i].id, self.earlier[i].cursor);
        self.freed.extend(reader.with(|reader| reader.release(id, cursor)));
        self.remove_freed(disk);
        let source = &self.earlier[i];
        let dir = layout::shard_dir(&self.root, source.generation, source.shard);
        if self.kept.iter().any(|segment| segment.path.starts_with(&dir)) {
            // It is drained, and the next start finds it so.
            self.earlier[i].phase = Phase::Left;
            return Ok(DrainStep::Drained { source: id, lsn: cursor, records: 0 });
        }
        let generation = layout::generation_dir(&self.root, source.generation);
        gone(disk.sync_dir(&dir))?;
        store.forget(&source.name).await.map_err(|_| ())?;
        remove_dir(disk, &dir)?;
        let others = self.earlier[i + 1..].iter().any(|s| s.generation == source.generation);
        if !others {
            remove_dir(disk, &generation)?;
        }
        self.earlier[i].phase = Phase::Gone;
        Ok(DrainStep::Gone { source: id })
    }

    /// Removes what was drained; what cannot be removed is kept in a list.
    fn remove_freed<D: Disk>(&mut self, disk: &D) {
        for segment in self.freed.drain(..) {
            match gone(disk.remove(&segment.path)) {
                Ok(()) => self.disk_use.give_back(segment.bytes),
                // It must not keep records from the store: it is tried again later.
                Err(()) => self.kept.push(segment),
            }
        }
    }
}

/// Something that is already gone is as good as removed.
fn gone(done: io::Result<()>) -> Result<(), ()> {
    match done {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(()),
        _ => Ok(()),
    }
}

/// A directory that holds a stranger's file stays, and is found empty of records by every start.
fn remove_dir<D: Disk>(disk: &D, dir: &Path) -> Result<(), ()> {
    match disk.remove_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        done => gone(done),
    }
}
