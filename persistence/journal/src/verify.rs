//! A full account of the journals of a data directory, for `lynk verify`. Changes nothing.
//!
//! Thread: a command of its own; blocks. The account of a journal that a server is writing is a snapshot: its
//! last batch may look torn.

use std::fmt;
use std::path::{Path, PathBuf};

use lynk_domain::Lsn;

use crate::disk::{Disk, DiskError};
use crate::format::BadHeader;
use crate::inspect::{Damage, inspect, journals};
use crate::scan::Window;

/// Every journal found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// Oldest generation first.
    pub journals: Vec<JournalAccount>,
}

/// One shard's journal of one generation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JournalAccount {
    /// Its generation.
    pub generation: u32,
    /// Its shard.
    pub shard: u16,
    /// Its files, in order.
    pub files: Vec<FileAccount>,
    /// Why a start would refuse this journal; `None` when it would not.
    pub damage: Option<Damage>,
}

/// One segment file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileAccount {
    /// Where it lies.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// What is wrong with its header.
    pub header: Option<BadHeader>,
    /// First good record; 0 when there is none.
    pub first: Lsn,
    /// Last good record; 0 when there is none.
    pub last: Lsn,
    /// Good records.
    pub records: u64,
    /// Batches that they form.
    pub batches: u64,
    /// Where the good records end, in bytes from the start of the file.
    pub end: u64,
    /// Bytes behind the end that an interrupted write left; the next start cuts them.
    pub torn_bytes: u64,
}

impl Account {
    /// Whether a start would accept every journal.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.journals.iter().all(|j| j.damage.is_none())
    }
}

/// Reads every journal below `root`. `cursor` gives the drain cursor of generation and shard, when it is known;
/// without it, records missing before the first one are taken for drained.
///
/// # Errors
/// When the disk fails; damage is part of the account.
pub fn verify<D: Disk>(
    disk: &D,
    root: &Path,
    cursor: &mut dyn FnMut(u32, u16) -> Option<Lsn>,
) -> Result<Account, DiskError> {
    let mut window = Window::default();
    let mut accounts = Vec::new();
    for (generation, shard) in journals(disk, root)? {
        let known = cursor(generation, shard);
        let found = inspect(disk, root, (generation, shard), known, &mut window, |_, _| {})?;
        let mut files: Vec<_> = found
            .segments
            .iter()
            .map(|segment| FileAccount {
                path: segment.path.clone(),
                bytes: segment.bytes,
                header: None,
                first: segment.chain.first,
                last: segment.chain.last,
                records: segment.chain.records(),
                batches: segment.chain.batches,
                end: segment.chain.end,
                torn_bytes: segment.torn_bytes,
            })
            .collect();
        files.extend(found.unheaded.into_iter().map(|file| FileAccount {
            path: file.path,
            bytes: file.bytes,
            header: Some(file.bad),
            first: Lsn(0),
            last: Lsn(0),
            records: 0,
            batches: 0,
            end: 0,
            torn_bytes: 0,
        }));
        files.sort_by(|a, b| a.path.cmp(&b.path));
        accounts.push(JournalAccount { generation, shard, files, damage: found.damage });
    }
    Ok(Account { journals: accounts })
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for journal in &self.journals {
            writeln!(f, "journal {}/{}", journal.generation, journal.shard)?;
            for file in &journal.files {
                writeln!(f, "  {file}")?;
            }
            match &journal.damage {
                Some(damage) => writeln!(f, "  DAMAGED: {damage}")?,
                None => writeln!(f, "  sound")?,
            }
        }
        if self.journals.is_empty() {
            writeln!(f, "no journal")?;
        }
        Ok(())
    }
}

impl fmt::Display for FileAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        if let Some(bad) = self.header {
            return write!(f, "{bad}");
        }
        if self.records == 0 {
            write!(f, "no records")?;
        } else {
            let (first, last) = (self.first.0, self.last.0);
            write!(f, "records {first} to {last} in {} batches, ", self.batches)?;
            write!(f, "ending at offset {} of {}", self.end, self.bytes)?;
        }
        if self.torn_bytes > 0 {
            write!(f, "; {} bytes of an interrupted write, which the next start cuts", self.torn_bytes)?;
        }
        Ok(())
    }
}
