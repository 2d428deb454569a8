//! Makes events of journals and gives them to a sink, by streams with a cursor each.
//!
//! Thread: a publishing bridge's: that of events for systems outside, or that of notifications, which calls [`Publisher::step`] whenever it has nothing more urgent; a step blocks for one batch of the
//! sink, or for a small file.
//!
//! Invariants: [`Stream::Created`] and [`Stream::Notified`] never get ahead of the message store; [`Stream::Received`] does not wait for it. A
//! cursor moves only behind what the sink confirmed, and the drainer keeps the segments until all have passed. A batch whose outcome is unknown is given
//! again from its first record: nothing is lost, repetitions carry the same keys, and the events of a room come in their order.
//!
//! Order: journals of earlier boots first, oldest first, one after the other, because a room may have been on another shard then; this boot's
//! in turn. Limits: [`PUBLISH_RECORDS`] and [`PUBLISH_BYTES`] a step; the file of cursors is written once a second at most. What can fail:
//! the sink and the disk ([`PublishStep::Waiting`], tried again after pauses that grow and vary) and damage ([`PublishStep::Stuck`], that
//! journal and stream only, until a restart).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lynk_domain::{Lsn, Nanos, ShardId};
use lynk_model::event::{Event, Stream};
use lynk_model::port::EventSink;
use lynk_model::{SourceId, StoreError};

use crate::cursors::Cursors;
use crate::disk::Disk;
use crate::limits::{PUBLISH_BYTES, PUBLISH_RECORDS};
use crate::reader::{Batch, Reader};
use crate::recover::Recovered;
use crate::shared::ReaderAccess;

/// First pause after a failure, in nanoseconds; doubled up to [`PAUSE_NANOS_MAX`]. Half of each is by chance.
const PAUSE_NANOS_MIN: u64 = 100_000_000;
/// Longest pause between attempts, in nanoseconds.
const PAUSE_NANOS_MAX: u64 = 5_000_000_000;
/// Least time between two writes of the file of cursors, in nanoseconds.
const SAVE_NANOS: u64 = 1_000_000_000;

/// What a step did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PublishStep {
    /// Every event of the source up to `lsn` is published; [`Publisher::events`] has those of this step. There may be more to do.
    Published {
        /// Which journal.
        source: SourceId,
        /// Which stream.
        stream: Stream,
        /// Up to.
        lsn: Lsn,
    },
    /// This stream cannot go on in this journal; [`Reader::damage`] may say more. Others go on.
    Stuck {
        /// Which journal.
        source: SourceId,
        /// Which stream.
        stream: Stream,
        /// The record after which it stopped.
        after: Lsn,
    },
    /// The sink or the disk did not work: nothing to do before this time.
    Waiting(Nanos),
    /// Everything that may be published is.
    Idle,
}

#[derive(Debug)]
struct Source {
    id: SourceId,
    stuck: [bool; Stream::ALL.len()],
}

/// How a publisher works.
#[derive(Clone, Copy, Debug)]
pub struct PublishOptions {
    /// Whether events carry what people wrote.
    pub texts: bool,
    /// Random per start: pauses vary by it.
    pub seed: u64,
}

/// Publishes every journal of a data directory.
#[derive(Debug)]
pub struct Publisher {
    root: PathBuf,
    cursors: Arc<Cursors>,
    options: PublishOptions,
    /// Journals of earlier boots, oldest first.
    earlier: Vec<Source>,
    /// Journals of this boot, in shard order.
    live: Vec<Source>,
    /// What is published, by turns.
    streams: Vec<Stream>,
    /// Whose turn it is, and which live journal's in each stream.
    next: usize,
    turns: [usize; Stream::ALL.len()],
    batch: Batch,
    events: Vec<Event>,
    pause: u64,
    retry_at: Option<Nanos>,
    /// There are positions that the file does not have.
    unsaved: bool,
    save_at: Nanos,
    save_failed: bool,
}

impl Publisher {
    /// A publisher of `streams` of everything recovered and of this boot's `shard_count` journals, from where `cursors` stand. Its drainer must have the
    /// same ones ([`Drainer::hold`](crate::Drainer::hold)), or records are gone before they are published.
    #[must_use]
    pub fn new(
        root: &Path,
        recovered: &Recovered,
        shard_count: u16,
        cursors: Arc<Cursors>,
        streams: &[Stream],
        options: PublishOptions,
    ) -> Self {
        let source = |id| Source { id, stuck: [false; Stream::ALL.len()] };
        Self {
            root: root.to_owned(),
            cursors,
            options,
            earlier: recovered.sources.iter().map(|recovered| source(recovered.id)).collect(),
            live: (0..shard_count).map(|shard| source(recovered.live_source(ShardId(shard)))).collect(),
            streams: streams.to_vec(),
            next: 0,
            turns: [0; Stream::ALL.len()],
            batch: Batch::default(),
            events: Vec::new(),
            pause: PAUSE_NANOS_MIN,
            retry_at: None,
            unsaved: false,
            save_at: Nanos(0),
            save_failed: false,
        }
    }

    /// The events of the last step that published.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Records committed and not yet passed by a stream, over all sources.
    #[must_use]
    pub fn backlog<D: Disk>(&self, reader: &Reader<D>, stream: Stream) -> u64 {
        let sources = self.earlier.iter().chain(&self.live);
        sources.map(|s| reader.last(s.id).0.saturating_sub(self.cursors.published(s.id, stream).0)).sum()
    }

    /// Whether the file of cursors could not be written the last time: the operator should look at the disk.
    #[must_use]
    pub fn save_failed(&self) -> bool {
        self.save_failed
    }

    /// Writes the file of cursors now, for an end in good order.
    pub fn finish<D: Disk>(&mut self, disk: &D) {
        if self.unsaved {
            self.save(disk, Nanos(0));
        }
    }

    /// Does one piece of work, when there is any. A [shared](crate::SharedReader) reader is not held while the sink works.
    pub async fn step<S: EventSink, D: Disk, R: ReaderAccess<D>>(
        &mut self,
        sink: &mut S,
        disk: &D,
        reader: &mut R,
        now: Nanos,
    ) -> PublishStep {
        self.keep(disk, now);
        if let Some(at) = self.retry_at.filter(|at| now < *at) {
            return PublishStep::Waiting(at);
        }
        self.retry_at = None;
        let Some((stream, id, limit)) = reader.with(|reader| self.next_piece(reader)) else {
            return PublishStep::Idle;
        };
        match self.publish(stream, id, limit, sink, reader).await {
            Ok(lsn) => {
                self.pause = PAUSE_NANOS_MIN;
                self.cursors.set_published(id, stream, lsn);
                self.unsaved = true;
                PublishStep::Published { source: id, stream, lsn }
            }
            Err(StoreError::Unavailable | StoreError::Unknown) => self.wait(now),
            Err(_) => {
                if let Some(source) = self.earlier.iter_mut().chain(&mut self.live).find(|s| s.id == id) {
                    source.stuck[stream.index()] = true;
                }
                PublishStep::Stuck { source: id, stream, after: self.cursors.published(id, stream) }
            }
        }
    }

    /// Passes everything that may be published without reading it: nobody wants it.
    pub fn pass<D: Disk>(&mut self, reader: &Reader<D>) {
        for stream in self.streams.clone() {
            while let Some((source, limit)) = self.next_source(reader, stream) {
                self.cursors.set_published(source, stream, limit);
                self.unsaved = true;
            }
        }
    }

    /// Writes the file of cursors, if there is something new and it is time.
    pub fn keep<D: Disk>(&mut self, disk: &D, now: Nanos) {
        if self.unsaved && self.save_at <= now {
            self.save(disk, now);
        }
    }

    fn save<D: Disk>(&mut self, disk: &D, now: Nanos) {
        self.save_failed = self.cursors.save(disk, &self.root).is_err();
        self.unsaved = self.save_failed;
        self.save_at = now.after(SAVE_NANOS);
    }

    fn wait(&mut self, now: Nanos) -> PublishStep {
        // SplitMix64, as good as any for this.
        self.options.seed = self.options.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.options.seed ^ (self.options.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let by_chance = (mixed ^ (mixed >> 27)) % (self.pause / 2);
        let at = now.after(self.pause / 2 + by_chance);
        self.retry_at = Some(at);
        self.pause = (self.pause * 2).min(PAUSE_NANOS_MAX);
        PublishStep::Waiting(at)
    }

    /// What to do next: a stream, a journal, and the last record that may be published.
    fn next_piece<D: Disk>(&mut self, reader: &Reader<D>) -> Option<(Stream, SourceId, Lsn)> {
        for _ in 0..self.streams.len() {
            let stream = self.streams[self.next % self.streams.len()];
            self.next = self.next.wrapping_add(1);
            if let Some((source, limit)) = self.next_source(reader, stream) {
                return Some((stream, source, limit));
            }
        }
        None
    }

    fn next_source<D: Disk>(&mut self, reader: &Reader<D>, stream: Stream) -> Option<(SourceId, Lsn)> {
        let cursors = &self.cursors;
        let limit = |id| match stream {
            Stream::Received => reader.last(id),
            Stream::Created | Stream::Notified => reader.last(id).min(cursors.stored(id)),
        };
        for source in self.earlier.iter().filter(|source| !source.stuck[stream.index()]) {
            let published = cursors.published(source.id, stream);
            if published < limit(source.id) {
                return Some((source.id, limit(source.id)));
            }
            if published < reader.last(source.id) && !cursors.is_stuck(source.id) {
                // The store is still to get the rest, and what comes later waits for it.
                return None;
            }
        }
        let (count, turn) = (self.live.len(), self.turns[stream.index()]);
        for i in (turn..count).chain(0..turn) {
            let source = &self.live[i];
            if !source.stuck[stream.index()] && cursors.published(source.id, stream) < limit(source.id) {
                self.turns[stream.index()] = (i + 1) % count;
                return Some((source.id, limit(source.id)));
            }
        }
        None
    }

    /// Publishes one batch and returns its last record.
    async fn publish<S: EventSink, D: Disk, R: ReaderAccess<D>>(
        &mut self,
        stream: Stream,
        id: SourceId,
        limit: Lsn,
        sink: &mut S,
        reader: &mut R,
    ) -> Result<Lsn, StoreError> {
        let after = self.cursors.published(id, stream);
        let records = usize::try_from(limit.0.saturating_sub(after.0)).unwrap_or(usize::MAX);
        let (records, batch) = (records.min(PUBLISH_RECORDS), &mut self.batch);
        reader.with(|reader| reader.read_batch(id, after, records, PUBLISH_BYTES, batch))?;
        self.events.clear();
        for record in self.batch.records() {
            let event = Event::of_record(stream, &record, self.options.texts);
            self.events.extend(event.map_err(|_| StoreError::Corrupt)?);
        }
        if !self.events.is_empty() {
            sink.publish(&self.events).await?;
        }
        Ok(self.batch.last())
    }
}
