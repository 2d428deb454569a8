//! The disk as the journal sees it: a small trait with a real and an in-memory implementation.
//!
//! Thread: shards only hold file handles and hand them to their driver; everything else runs on the keeper,
//! the store thread or at boot, and may block there.
//!
//! What the journal relies on: what [`DiskFile::write_at`] says is written survives, as does what a successful sync of the
//! file followed; a name that was followed by a successful sync of its directory survives; nothing else does, in any
//! order and any part of it. No block is written twice.

mod memory;
mod real;

use std::io;
use std::path::{Path, PathBuf};

pub use memory::{MemoryDisk, MemoryFile};
pub use real::{RealDisk, RealFile};
use rustix::io::Errno;

use crate::limits::BLOCK_BYTES;

/// Directories and names.
pub trait Disk: Clone {
    /// An open file, readable and writable.
    type File: DiskFile;

    /// Names in a directory, in any order.
    ///
    /// # Errors
    /// `NotFound` when there is no such directory, or whatever the disk says.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Makes a directory; one that exists is fine.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// One that [`is_exhausted`] recognises, or whatever the disk says. The names may or may not be durable then.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Opens an existing file.
    ///
    /// # Errors
    /// `NotFound`, or whatever the disk says.
    fn open(&self, path: &Path) -> io::Result<Self::File>;

    /// Makes a new file of `bytes` zeros, a whole number of blocks, whose space is reserved, so that writing into it needs
    /// no more. Nothing of it is durable before a sync.
    ///
    /// # Errors
    /// `AlreadyExists`; one that [`is_full`] or [`is_exhausted`] recognises; or whatever the disk says.
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Self::File>;

    /// Renames a file within its directory, replacing what has the new name.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name. Open handles stay usable.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// An open file. Clones name the same file. Reads and writes are of whole blocks ([`BLOCK_BYTES`]) at multiples of a block,
/// from and to the memory of a [`BlockBuffer`](crate::BlockBuffer) at a multiple of a block.
pub trait DiskFile: Clone {
    /// Length in bytes.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn bytes(&self) -> io::Result<u64>;

    /// Reads into `buffer` and returns how many bytes; 0 at or after the end, and no whole number of blocks only at the end.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes from `bytes` and returns how many. In a file that [`Disk::create`] made they are durable then.
    ///
    /// # Errors
    /// One that [`is_full`] recognises, or whatever the disk says. Unless the disk is full or the call was interrupted, the
    /// content is unknown then, whatever a read returns (decision 4).
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Cuts the file at `bytes`.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn truncate(&self, bytes: u64) -> io::Result<()>;

    /// Makes content and length durable (fdatasync).
    ///
    /// # Errors
    /// Whatever the disk says. The content is unknown then, whatever a read returns (decision 4).
    fn sync(&self) -> io::Result<()>;
}

/// Whether an error means that there is no space, now.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether an error means that the process or the machine has no descriptor or memory left, now: nothing was done, and
/// nothing is said about the disk.
#[must_use]
pub fn is_exhausted(error: &io::Error) -> bool {
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| exhausted.contains(&errno))
}

/// A failed disk operation, with what it was about.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step} {}: {error}", path.display())]
pub struct DiskError {
    /// What was tried, as a verb.
    pub step: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What the disk said.
    #[source]
    pub error: io::Error,
}

/// Names the step and the path of a failure.
pub(crate) fn at<'a>(step: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> DiskError + use<'a> {
    move |error| DiskError { step, path: path.to_owned(), error }
}

/// Writes all of `bytes`, repeating after short writes from the first block that is not whole.
pub(crate) fn write_all<F: DiskFile>(file: &F, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(..BLOCK_BYTES) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                let whole = n - n % BLOCK_BYTES;
                bytes = &bytes[whole..];
                offset += whole as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads until `buffer` is full or the file ends; returns how many bytes.
pub(crate) fn read_full<F: DiskFile>(file: &F, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    // Behind a part of a block there is nothing, and no place to read on.
    while done < buffer.len() && done.is_multiple_of(BLOCK_BYTES) {
        match file.read_at(&mut buffer[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
