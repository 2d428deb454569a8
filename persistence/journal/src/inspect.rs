//! What one shard's journal holds, and whether it is sound. Changes nothing; recovery and `lynk verify` share it.
//!
//! Thread: boot; blocks on reads.
//!
//! The rule: a bad record is a torn tail, unless an intact record of a later batch exists anywhere in the
//! journal. A batch is written only after the one before it was synced, so then the bad record is damage.
//! A batch is named by its first lsn; so with E the number of the bad record, an intact record of batch
//! F > E proves damage, and one of F = E is a remainder of the same torn write.

use std::fmt;
use std::path::{Path, PathBuf};

use lynk_domain::Lsn;

use crate::block::BlockBuffer;
use crate::disk::{Disk, DiskError, DiskFile, at, read_full};
use crate::format::{BadHeader, BadRecord, HEADER_BYTES, SegmentHeader};
use crate::layout;
use crate::limits::BLOCK_BYTES;
use crate::scan::{Chain, Stop, Window, beyond, walk};

/// Bytes read at once when whole segments are walked.
pub(crate) const SCAN_CHUNK: usize = 1 << 20;

/// A place where the journal is not what was once synced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Offset in it, in bytes.
    pub offset: u64,
    /// What is wrong there.
    pub why: Why,
}

/// What is wrong at a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Why {
    /// The file has no readable header.
    Header(BadHeader),
    /// The record that should be here is bad, and a batch that was written after it was synced is intact.
    Record {
        /// The record's number, 0 when that is unknown.
        lsn: Lsn,
        /// What is wrong with it.
        bad: BadRecord,
        /// First record of the intact later batch.
        later_batch: Lsn,
    },
    /// An intact record that this program does not understand, or that does not belong here.
    Unreadable(BadRecord),
    /// Records that are not in the message store are in no file.
    Missing {
        /// The first one.
        from: Lsn,
        /// The last one.
        to: Lsn,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}: ", self.path.display(), self.offset)?;
        match self.why {
            Why::Header(bad) => write!(f, "{bad}"),
            Why::Record { lsn, bad, later_batch } => {
                write!(f, "record {} is damaged ({bad}); batch {} after it is intact", lsn.0, later_batch.0)
            }
            Why::Unreadable(bad) => write!(f, "{bad}"),
            Why::Missing { from, to } => write!(f, "records {} to {} are missing", from.0, to.0),
        }
    }
}

/// One segment file.
#[derive(Debug)]
pub(crate) struct Segment<F> {
    pub(crate) path: PathBuf,
    pub(crate) file: F,
    pub(crate) header: SegmentHeader,
    /// Length of the file.
    pub(crate) bytes: u64,
    pub(crate) chain: Chain,
    /// Bytes behind the chain that a torn write left.
    pub(crate) torn_bytes: u64,
}

/// A file that is not a segment, by its header.
#[derive(Debug)]
pub(crate) struct Unheaded {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) bad: BadHeader,
}

/// One shard's journal.
#[derive(Debug)]
pub(crate) struct Inspected<F> {
    /// In order.
    pub(crate) segments: Vec<Segment<F>>,
    /// Files whose header is bad; each is damage too.
    pub(crate) unheaded: Vec<Unheaded>,
    /// Files that were being prepared.
    pub(crate) preparing: Vec<PathBuf>,
    /// The first damage found.
    pub(crate) damage: Option<Damage>,
}

impl<F> Inspected<F> {
    /// The last segment that holds a record, by its place in `segments`.
    pub(crate) fn tail(&self) -> Option<usize> {
        self.segments.iter().rposition(|s| s.chain.last.0 != 0)
    }

    fn damaged(&mut self, path: &Path, offset: u64, why: Why) {
        self.damage.get_or_insert_with(|| Damage { path: path.to_owned(), offset, why });
    }
}

/// Every journal below `root`, oldest generation first: generation and shard.
pub(crate) fn journals<D: Disk>(disk: &D, root: &Path) -> Result<Vec<(u32, u16)>, DiskError> {
    let mut found = Vec::new();
    for generation in generations(disk, root)? {
        let dir = layout::generation_dir(root, generation);
        let names = disk.list(&dir).map_err(at("list", &dir))?;
        found.extend(names.iter().filter_map(|n| layout::parse_number(n)).map(|shard| (generation, shard)));
    }
    found.sort_unstable();
    Ok(found)
}

/// Every journal of a directory on disk, oldest generation first: generation and shard.
///
/// # Errors
/// The disk refuses.
pub fn journals_of(root: &Path) -> Result<Vec<(u32, u16)>, DiskError> {
    journals(&crate::disk::RealDisk, root)
}

/// Generations below `root`; none when there is no such directory.
pub(crate) fn generations<D: Disk>(disk: &D, root: &Path) -> Result<Vec<u32>, DiskError> {
    match disk.list(root) {
        Ok(names) => Ok(names.iter().filter_map(|n| layout::parse_number(n)).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(at("list", root)(error)),
    }
}

/// Reads one journal from end to end. `cursor`: the message store has every record up to it; `None` when that
/// is unknown, then records missing before the first one there is are no damage. `visit` sees each good record
/// once, in order; what it saw is void when there is damage.
pub(crate) fn inspect<D: Disk>(
    disk: &D,
    root: &Path,
    (generation, shard): (u32, u16),
    cursor: Option<Lsn>,
    window: &mut Window,
    mut visit: impl FnMut(Lsn, &lynk_model::Record<'_>),
) -> Result<Inspected<D::File>, DiskError> {
    let mut found = open_segments(disk, root, generation, shard)?;
    for i in 0..found.segments.len() {
        // A copy of the last batch replaces what earlier segments hold from its first record on.
        let until = found.segments[i + 1..].iter().map(|s| s.header.rewrites).filter(|l| l.0 != 0).min();
        let segment = &mut found.segments[i];
        let rewrites = segment.header.rewrites;
        if rewrites.0 != 0 && until.is_some_and(|until| until <= rewrites) {
            segment.chain = Chain::empty(Stop::Replaced);
            continue;
        }
        let chain = walk(&segment.file, segment.header.seed(), until, window, SCAN_CHUNK, |decoded| {
            visit(decoded.lsn, &decoded.record);
        });
        segment.chain = chain.map_err(at("read", &segment.path))?;
    }
    check_order(&mut found, cursor);
    check_tail(&mut found, window)?;
    Ok(found)
}

fn open_segments<D: Disk>(
    disk: &D,
    root: &Path,
    generation: u32,
    shard: u16,
) -> Result<Inspected<D::File>, DiskError> {
    let dir = layout::shard_dir(root, generation, shard);
    let mut names = disk.list(&dir).map_err(at("list", &dir))?;
    names.sort_unstable();
    let mut found =
        Inspected { segments: Vec::new(), unheaded: Vec::new(), preparing: Vec::new(), damage: None };
    for name in names {
        let path = dir.join(&name);
        if layout::is_preparing(&name) {
            found.preparing.push(path);
            continue;
        }
        let Some(index) = layout::parse_segment(&name) else { continue };
        let file = disk.open(&path).map_err(at("open", &path))?;
        let bytes = file.bytes().map_err(at("read", &path))?;
        match read_header(&file, (generation, shard, index)).map_err(at("read", &path))? {
            Ok(header) => {
                let chain = Chain::empty(Stop::Bad(BadRecord::Empty));
                found.segments.push(Segment { path, file, header, bytes, chain, torn_bytes: 0 });
            }
            Err(bad) => {
                found.damaged(&path, 0, Why::Header(bad));
                found.unheaded.push(Unheaded { path, bytes, bad });
            }
        }
    }
    Ok(found)
}

/// Reads a segment's header and checks that it belongs to `place`: generation, shard, index.
pub(crate) fn read_header<F: DiskFile>(
    file: &F,
    place: (u32, u16, u32),
) -> std::io::Result<Result<SegmentHeader, BadHeader>> {
    let mut block = BlockBuffer::zeroed(BLOCK_BYTES);
    let filled = read_full(file, block.bytes_mut(), 0)?;
    Ok(SegmentHeader::decode(&block.bytes()[..filled]).and_then(|header| {
        let placed = (header.generation, header.shard, header.index) == place;
        if placed { Ok(header) } else { Err(BadHeader::Place) }
    }))
}

/// Records must follow each other across segments. A hole that the message store has filled is what removing
/// drained segments leaves.
fn check_order<F>(found: &mut Inspected<F>, cursor: Option<Lsn>) {
    let mut known = cursor;
    let mut last = Lsn(0);
    let mut last_at: Option<(&Path, u64)> = None;
    let mut broken = Vec::new();
    for segment in &found.segments {
        let (chain, path) = (&segment.chain, segment.path.as_path());
        if let Stop::Bad(bad) = chain.stop {
            // A copy of a last batch was complete before it got its name.
            let copy = segment.header.rewrites.0 != 0;
            let damaged_copy = copy && (chain.end != segment.bytes || chain.first != segment.header.rewrites);
            if damaged_copy || matches!(bad, BadRecord::Newer | BadRecord::Order) {
                broken.push((path, chain.next_at, Why::Unreadable(bad)));
            }
        }
        if chain.last.0 == 0 {
            continue;
        }
        let have = last.max(known.unwrap_or(Lsn(chain.first.0 - 1)));
        if chain.first <= last {
            broken.push((path, HEADER_BYTES, Why::Unreadable(BadRecord::Order)));
        } else if chain.first.0 > have.0 + 1 {
            let (path, offset) = last_at.unwrap_or((path, HEADER_BYTES));
            let (from, to) = (Lsn(have.0 + 1), Lsn(chain.first.0 - 1));
            broken.push((path, offset, Why::Missing { from, to }));
        }
        known = known.or(Some(Lsn(0)));
        last = chain.last;
        last_at = Some((path, chain.end));
    }
    let broken: Vec<_> = broken.into_iter().map(|(path, at, why)| (path.to_owned(), at, why)).collect();
    for (path, offset, why) in broken {
        found.damaged(&path, offset, why);
    }
}

/// Behind the last good record nothing may prove that more was synced.
fn check_tail<F: DiskFile>(found: &mut Inspected<F>, window: &mut Window) -> Result<(), DiskError> {
    let tail = found.tail();
    let next = match tail {
        Some(tail) => Some(Lsn(found.segments[tail].chain.last.0 + 1)),
        // A journal starts with record 1 in its first segment. A later segment becomes the first only when
        // its own first record is in the message store, so nothing of it may be torn.
        None => found.segments.first().filter(|s| s.header.index == 0).map(|_| Lsn(1)),
    };
    let mut proofs = Vec::new();
    for segment in &mut found.segments[tail.unwrap_or(0)..] {
        let Stop::Bad(bad) = segment.chain.stop else { continue };
        let seen =
            beyond(&segment.file, segment.header.seed(), segment.chain.next_at, next, window, SCAN_CHUNK)
                .map_err(at("read", &segment.path))?;
        segment.torn_bytes = seen.torn_bytes;
        if let Some(later_batch) = seen.later_batch {
            let lsn = next.unwrap_or_default();
            proofs.push((segment.path.clone(), segment.chain.next_at, Why::Record { lsn, bad, later_batch }));
        }
    }
    for (path, offset, why) in proofs {
        found.damaged(&path, offset, why);
    }
    Ok(())
}
