//! How far each journal has been moved: by the drain into the message store, and by each stream of events; and the file that keeps the latter.
//!
//! Thread: shared by the thread that drains and the one that publishes; each number has one writer. The file belongs to the publishing thread,
//! and to the boot.
//!
//! Invariants: a number never goes back; [`Cursors::passed`] is a record that nobody needs any more. The file is replaced whole, so it is the
//! old or the new one. It may be older than the numbers: then events are published again under the same keys.
//!
//! Format: `lynk-published 2`, then for each journal a line of its name and a number per stream, then `crc32c` and eight hexadecimal digits
//! over all before. Version 1 had two numbers: a stream that it does not have starts at the oldest record. Limits: [`FILE_BYTES_MAX`]. What can fail: the disk. A file that is damaged, or of a newer format, is told and not used.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lynk_domain::{Lsn, ShardId};
use lynk_model::SourceId;
use lynk_model::event::Stream;
use lynk_model::port::source_name;

use crate::block::BlockBuffer;
use crate::disk::{Disk, DiskError, DiskFile, at, read_full, write_all};
use crate::recover::Recovered;

/// Name of the file, beside the generations.
const FILE: &str = "published";
const FIRST_LINE: &str = "lynk-published 2";
/// That of version 1, and how many streams it had.
const EARLIER: (&str, usize) = ("lynk-published 1", 2);
const SUM: &str = "crc32c ";
/// Longest file that is read; one line is less than 64 bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What a start found in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kept {
    /// There is none: every stream starts at the oldest record of each journal.
    Nothing,
    /// Positions.
    Positions,
    /// Something that cannot be used; as if there were none.
    Damaged,
}

#[derive(Debug)]
struct Journal {
    name: String,
    /// The message store has every record up to this one.
    stored: AtomicU64,
    /// And gets no further one before a restart.
    stuck: AtomicBool,
    /// By stream: every event up to this record is published.
    published: [AtomicU64; Stream::ALL.len()],
}

/// Positions in all journals of a process.
#[derive(Debug)]
pub struct Cursors {
    /// By source number.
    journals: Vec<Journal>,
    /// Which streams are read: the others hold nothing.
    streams: Vec<Stream>,
    /// The file is written by one at a time.
    saving: Mutex<()>,
}

impl Cursors {
    /// Reads the file, and writes it again without journals that are gone: a number that is used again must not find the positions of its
    /// earlier use. Records are kept for `streams`; what was published of another one stays noted.
    ///
    /// # Errors
    /// The disk's.
    pub fn open<D: Disk>(
        disk: &D,
        root: &Path,
        recovered: &Recovered,
        shard_count: u16,
        streams: &[Stream],
    ) -> Result<(Arc<Self>, Kept), DiskError> {
        let path = root.join(FILE);
        let (known, kept) = match read(disk, &path).map_err(at("read", &path))? {
            None => (BTreeMap::new(), Kept::Nothing),
            Some(text) => match parse(&text) {
                Some(known) => (known, Kept::Positions),
                None => (BTreeMap::new(), Kept::Damaged),
            },
        };
        let earlier = recovered.sources.iter().map(|source| {
            let oldest = source.first.0.saturating_sub(1);
            let of = known.get(&source.name).copied().unwrap_or_default();
            Journal {
                name: source.name.clone(),
                stored: AtomicU64::new(source.cursor.0),
                stuck: AtomicBool::new(false),
                published: of.map(|lsn| AtomicU64::new(lsn.min(source.last.0).max(oldest))),
            }
        });
        let live = (0..shard_count).map(|shard| {
            assert_eq!(
                recovered.live_source(ShardId(shard)).0 as usize,
                recovered.sources.len() + usize::from(shard)
            );
            Journal {
                name: source_name(recovered.generation, shard),
                stored: AtomicU64::new(0),
                stuck: AtomicBool::new(false),
                published: [0; Stream::ALL.len()].map(AtomicU64::new),
            }
        });
        let journals = earlier.chain(live).collect();
        let cursors = Arc::new(Self { journals, streams: streams.to_vec(), saving: Mutex::default() });
        cursors.save(disk, root)?;
        Ok((cursors, kept))
    }

    /// Replaces the file, durably.
    ///
    /// # Errors
    /// The disk's; the old file stays, or the new one is there.
    pub(crate) fn save<D: Disk>(&self, disk: &D, root: &Path) -> Result<(), DiskError> {
        let (path, making) = (root.join(FILE), making(root));
        let _turn = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let text = self.text();
        let mut blocks = BlockBuffer::default();
        blocks.extend(text.as_bytes());
        blocks.pad();
        match disk.remove(&making) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(at("remove", &making)(error));
            }
            _ => {}
        }
        let file = disk.create(&making, blocks.len() as u64).map_err(at("create", &making))?;
        write_all(&file, blocks.bytes(), 0).map_err(at("write", &making))?;
        file.truncate(text.len() as u64).map_err(at("truncate", &making))?;
        file.sync().map_err(at("sync", &making))?;
        disk.rename(&making, &path).map_err(at("rename", &making))?;
        disk.sync_dir(root).map_err(at("sync", root))
    }

    fn text(&self) -> String {
        let mut text = format!("{FIRST_LINE}\n");
        for journal in &self.journals {
            let _infallible = write!(text, "{}", journal.name);
            for lsn in &journal.published {
                let _infallible = write!(text, " {}", lsn.load(Ordering::Acquire));
            }
            text.push('\n');
        }
        let sum = crc32c::crc32c(text.as_bytes());
        let _infallible = writeln!(text, "{SUM}{sum:08x}");
        text
    }

    fn journal(&self, source: SourceId) -> Option<&Journal> {
        self.journals.get(source.0 as usize)
    }

    /// The message store has every record up to this one.
    #[must_use]
    pub fn stored(&self, source: SourceId) -> Lsn {
        // Acquire and release: whoever reads the number may rely on what was done before it was set.
        Lsn(self.journal(source).map_or(0, |journal| journal.stored.load(Ordering::Acquire)))
    }

    pub(crate) fn set_stored(&self, source: SourceId, lsn: Lsn) {
        if let Some(journal) = self.journal(source) {
            journal.stored.fetch_max(lsn.0, Ordering::AcqRel);
        }
    }

    /// Whether the message store gets no further record before a restart.
    pub(crate) fn is_stuck(&self, source: SourceId) -> bool {
        self.journal(source).is_some_and(|journal| journal.stuck.load(Ordering::Acquire))
    }

    pub(crate) fn set_stuck(&self, source: SourceId) {
        if let Some(journal) = self.journal(source) {
            journal.stuck.store(true, Ordering::Release);
        }
    }

    /// Every event up to this record is published.
    #[must_use]
    pub fn published(&self, source: SourceId, stream: Stream) -> Lsn {
        let at = |journal: &Journal| journal.published[stream.index()].load(Ordering::Acquire);
        Lsn(self.journal(source).map_or(0, at))
    }

    pub(crate) fn set_published(&self, source: SourceId, stream: Stream, lsn: Lsn) {
        if let Some(journal) = self.journal(source) {
            journal.published[stream.index()].fetch_max(lsn.0, Ordering::AcqRel);
        }
    }

    /// Nobody needs this record or one before it any more.
    #[must_use]
    pub fn passed(&self, source: SourceId) -> Lsn {
        let published = self.streams.iter().map(|stream| self.published(source, *stream));
        published.fold(self.stored(source), Ord::min)
    }
}

fn making(root: &Path) -> PathBuf {
    root.join(format!("{FILE}.tmp"))
}

fn read<D: Disk>(disk: &D, path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let bytes = file.bytes()?;
    if bytes > FILE_BYTES_MAX {
        return Ok(Some(Vec::new()));
    }
    let mut buffer = BlockBuffer::zeroed(usize::try_from(bytes).unwrap_or(0));
    buffer.pad();
    let read = read_full(&file, buffer.bytes_mut(), 0)?;
    Ok(Some(buffer.bytes()[..read].to_vec()))
}

/// Positions by journal; `None` when the text is not what was written.
fn parse(bytes: &[u8]) -> Option<BTreeMap<String, [u64; Stream::ALL.len()]>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (before, sum) = text.strip_suffix('\n')?.rsplit_once('\n')?;
    let sum = u32::from_str_radix(sum.strip_prefix(SUM)?, 16).ok()?;
    if crc32c::crc32c(&bytes[..before.len() + 1]) != sum {
        return None;
    }
    let mut lines = before.lines();
    let count = match lines.next()? {
        FIRST_LINE => Stream::ALL.len(),
        line if line == EARLIER.0 => EARLIER.1,
        _ => return None,
    };
    let mut known = BTreeMap::new();
    for line in lines {
        let mut words = line.split(' ');
        let name = words.next()?.to_owned();
        let mut numbers = [0; Stream::ALL.len()];
        for number in &mut numbers[..count] {
            *number = words.next()?.parse().ok()?;
        }
        known.insert(name, numbers);
    }
    Some(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursors(names: &[&str]) -> Cursors {
        let journal = |name: &&str| Journal {
            name: (*name).to_owned(),
            stored: AtomicU64::new(0),
            stuck: AtomicBool::new(false),
            published: [0; Stream::ALL.len()].map(AtomicU64::new),
        };
        let streams = Stream::OUTSIDE.to_vec();
        Cursors { journals: names.iter().map(journal).collect(), streams, saving: Mutex::default() }
    }

    #[test]
    fn a_file_of_the_earlier_version_is_read() {
        let before = "lynk-published 1\n3/0 17 5\n";
        let text = format!("{before}{SUM}{:08x}\n", crc32c::crc32c(before.as_bytes()));
        assert_eq!(parse(text.as_bytes()).expect("what was written")["3/0"], [17, 5, 0]);
    }

    #[test]
    fn a_text_comes_back_and_a_changed_one_does_not() {
        let written = cursors(&["3/0", "3/1", "12/0"]);
        written.set_published(SourceId(1), Stream::Received, Lsn(u64::MAX));
        written.set_published(SourceId(2), Stream::Created, Lsn(7));
        let text = written.text();
        let known = parse(text.as_bytes()).expect("what was written");
        assert_eq!(known["3/1"], [u64::MAX, 0, 0]);
        assert_eq!(known["12/0"], [0, 7, 0]);
        for at in 0..text.len() {
            assert_eq!(parse(&text.as_bytes()[..at]), None, "cut at {at}");
            let mut changed = text.clone().into_bytes();
            changed[at] ^= 1;
            assert_eq!(parse(&changed), None, "changed at {at}");
        }
    }

    #[test]
    fn a_record_is_passed_when_all_three_have_passed_it() {
        let cursors = cursors(&["1/0"]);
        let source = SourceId(0);
        cursors.set_stored(source, Lsn(9));
        cursors.set_published(source, Stream::Received, Lsn(12));
        assert_eq!(cursors.passed(source), Lsn(0));
        cursors.set_published(source, Stream::Created, Lsn(5));
        assert_eq!(cursors.passed(source), Lsn(5));
        cursors.set_published(source, Stream::Created, Lsn(3));
        assert_eq!(cursors.passed(source), Lsn(5), "nothing goes back");
        cursors.set_published(source, Stream::Created, Lsn(11));
        assert_eq!(cursors.passed(source), Lsn(9));
    }
}
