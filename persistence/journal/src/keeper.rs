//! Makes segments ahead of the shards, so that no shard ever creates a file.
//!
//! Thread: [`Keeper`] is called on one thread and blocks there; [`KeeperThread`] is that thread in a server,
//! while a simulator calls [`Keeper::prepare`] itself.
//!
//! Invariant: a segment is visible under its final name only when its header and its space are durable, so a
//! bad header is always damage and never a torn start.
//!
//! Limits: one spare per shard; the bytes of all segments against [`DiskUse`]. What can fail: space
//! ([`PrepareError::Full`], try again later), descriptors and memory ([`PrepareError::Exhausted`], likewise) and the disk
//! ([`PrepareError::Failed`], end the process).

mod thread;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lynk_domain::{Lsn, ShardId};

pub use thread::{KeeperThread, SegmentSupply, Supplied};

use crate::block::BlockBuffer;
use crate::disk::{Disk, DiskError, DiskFile, at, is_exhausted, is_full, write_all};
use crate::format::{HEADER_BYTES, SegmentHeader};
use crate::layout;
use crate::limits::{
    BLOCK_BYTES, DISK_BYTES_MAX, FIRST_SEGMENT_BYTES, SEGMENT_BYTES, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN,
};
use crate::writer::PreparedSegment;

/// Bytes of all segments of a data directory, against their budget. Shared by those who make and remove them.
#[derive(Debug)]
pub struct DiskUse {
    used: AtomicU64,
    max: u64,
}

impl DiskUse {
    /// `used` bytes taken out of `max`.
    #[must_use]
    pub fn new(used: u64, max: u64) -> Arc<Self> {
        Arc::new(Self { used: AtomicU64::new(used), max })
    }

    /// Bytes taken.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The budget in bytes.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.max
    }

    fn take(&self, bytes: u64) -> bool {
        // The number guards nothing but itself, so no ordering is needed.
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= self.max)
            })
            .is_ok()
    }

    /// A file of this many bytes was removed.
    pub fn give_back(&self, bytes: u64) {
        let _previous = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| Some(used.saturating_sub(bytes)));
    }
}

/// What a keeper makes, and where.
#[derive(Clone, Debug)]
pub struct KeeperOptions {
    /// The `journal` directory, which exists.
    pub root: PathBuf,
    /// This boot's generation.
    pub generation: u32,
    /// Shards of this boot.
    pub shard_count: u16,
    /// Size of a segment file in bytes, of which a part of a block is not used. A journal's first one is no larger than
    /// [`FIRST_SEGMENT_BYTES`].
    pub segment_bytes: u64,
    /// Bytes that all segments may take.
    pub disk_bytes_max: u64,
    /// Random per start; segment ids are drawn from it.
    pub id_seed: u64,
}

impl KeeperOptions {
    /// Options with the default sizes.
    #[must_use]
    pub fn new(root: &Path, generation: u32, shard_count: u16, id_seed: u64) -> Self {
        Self {
            root: root.to_owned(),
            generation,
            shard_count,
            segment_bytes: SEGMENT_BYTES,
            disk_bytes_max: DISK_BYTES_MAX,
            id_seed,
        }
    }
}

/// Why there is no new segment.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// The disk or the budget is full. Nothing is left behind; try again later.
    #[error("there is no space for another journal segment")]
    Full,
    /// Descriptors or memory ran out, which says nothing about the disk. The segment may have its name already; the next
    /// attempt replaces it. Try again later.
    #[error("descriptors or memory ran out: {0}")]
    Exhausted(#[source] DiskError),
    /// The disk failed: end the process.
    #[error(transparent)]
    Failed(#[from] DiskError),
}

/// Makes the segments of one generation.
#[derive(Debug)]
pub struct Keeper<D> {
    disk: D,
    options: KeeperOptions,
    disk_use: Arc<DiskUse>,
    next_index: Vec<u32>,
    ids: SegmentIds,
}

impl<D: Disk> Keeper<D> {
    /// Makes the directories of the generation, durably. `used_bytes` is what recovery found.
    ///
    /// # Errors
    /// The disk's.
    ///
    /// # Panics
    /// When the segment size is out of its limits.
    pub fn create(disk: D, options: KeeperOptions, used_bytes: u64) -> Result<Self, DiskError> {
        let sizes = SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX;
        assert!(sizes.contains(&options.segment_bytes), "segment size out of its limits");
        let root = &options.root;
        let generation = layout::generation_dir(root, options.generation);
        disk.create_dir(&generation).map_err(at("create", &generation))?;
        disk.sync_dir(root).map_err(at("sync", root))?;
        for shard in 0..options.shard_count {
            let dir = layout::shard_dir(root, options.generation, shard);
            disk.create_dir(&dir).map_err(at("create", &dir))?;
        }
        disk.sync_dir(&generation).map_err(at("sync", &generation))?;
        Ok(Self {
            disk,
            disk_use: DiskUse::new(used_bytes, options.disk_bytes_max),
            next_index: vec![0; usize::from(options.shard_count)],
            ids: SegmentIds::new(options.id_seed),
            options,
        })
    }

    /// Bytes taken by segments, shared with the drainer, which gives them back.
    #[must_use]
    pub fn disk_use(&self) -> Arc<DiskUse> {
        Arc::clone(&self.disk_use)
    }

    /// Shards that this keeper serves.
    #[must_use]
    pub fn shard_count(&self) -> u16 {
        self.options.shard_count
    }

    /// Makes the next segment of a shard's journal. Blocks for several syncs.
    ///
    /// # Errors
    /// See [`PrepareError`].
    ///
    /// # Panics
    /// When there is no such shard.
    pub fn prepare(&mut self, shard: ShardId) -> Result<PreparedSegment<D::File>, PrepareError> {
        let index = self.next_index[shard.index()];
        let most = if index == 0 { FIRST_SEGMENT_BYTES } else { SEGMENT_BYTES_MAX };
        let bytes = self.options.segment_bytes.min(most);
        let bytes = bytes - bytes % BLOCK_BYTES as u64;
        if !self.disk_use.take(bytes) {
            return Err(PrepareError::Full);
        }
        let header = SegmentHeader {
            id: self.ids.next_id(),
            generation: self.options.generation,
            shard: shard.0,
            index,
            rewrites: Lsn(0),
        };
        match make_segment(&self.disk, &self.options.root, &header, bytes, None) {
            Ok(file) => {
                self.next_index[shard.index()] += 1;
                Ok(PreparedSegment { header, file, bytes })
            }
            Err(error) => {
                self.disk_use.give_back(bytes);
                Err(match &error.error {
                    reason if is_full(reason) => PrepareError::Full,
                    reason if is_exhausted(reason) => PrepareError::Exhausted(error),
                    _ => PrepareError::Failed(error),
                })
            }
        }
    }
}

/// Makes a segment durable under its final name: `bytes` long and zero behind the header, or ending with the `content` that
/// follows it and fits. Leaves nothing but a `.tmp` file behind when it fails.
pub(crate) fn make_segment<D: Disk>(
    disk: &D,
    root: &Path,
    header: &SegmentHeader,
    bytes: u64,
    content: Option<BlockBuffer>,
) -> Result<D::File, DiskError> {
    let path = layout::segment_path(root, header.generation, header.shard, header.index);
    let preparing = layout::preparing_path(&path);
    match disk.remove(&preparing) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(at("remove", &preparing)(error));
        }
        _ => {}
    }
    let filled = disk.create(&preparing, bytes).map_err(at("create", &preparing)).and_then(|file| {
        write_all(&file, header.encode().bytes(), 0).map_err(at("write", &preparing))?;
        if let Some(mut content) = content {
            let end = HEADER_BYTES + content.len() as u64;
            content.pad();
            write_all(&file, content.bytes(), HEADER_BYTES).map_err(at("write", &preparing))?;
            file.truncate(end).map_err(at("truncate", &preparing))?;
        }
        file.sync().map_err(at("sync", &preparing))?;
        Ok(file)
    });
    let file = match filled {
        Ok(file) => file,
        Err(error) => {
            // Best effort: the next attempt and the next start remove it too.
            let _unfinished = disk.remove(&preparing);
            return Err(error);
        }
    };
    disk.rename(&preparing, &path).map_err(at("rename", &preparing))?;
    let dir = layout::shard_dir(root, header.generation, header.shard);
    disk.sync_dir(&dir).map_err(at("sync", &dir))?;
    Ok(file)
}

/// Segment ids out of one random seed: distinct within a start, unguessable from outside.
#[derive(Debug)]
pub(crate) struct SegmentIds(u64);

impl SegmentIds {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64: a bijection of a counter, so no id repeats within 2^64 draws.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
