//! The operating system's disk, around its page cache (O_DIRECT) wherever the file system can do that.
//!
//! A file that is appended to is opened with O_DSYNC: a write is durable when it returns, in one operation that io_uring
//! starts without a worker thread. Its space is filled with zeros beforehand, so that a write changes no metadata: on ext4
//! a block written and synced like this costs a third of the CPU time of a buffered write with fdatasync, and a reserved
//! space without zeros twice the zeroed one (`perf-reports/` has the figures).

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, OFlags, fallocate};
use rustix::io::Errno;

use super::{Disk, DiskFile, write_all};
use crate::block::BlockBuffer;

/// Zeros written at once.
const FILL_BYTES: usize = 1 << 20;

/// Files and directories of the operating system; made private to the server's user (0600, 0700).
#[derive(Clone, Copy, Default, Debug)]
pub struct RealDisk;

/// An open file of the operating system. A driver that writes by itself takes the descriptor
/// from [`AsFd`].
#[derive(Clone, Debug)]
pub struct RealFile(Arc<File>);

impl RealFile {
    /// Whether it is read and written around the page cache.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        rustix::fs::fcntl_getfl(&self.0).is_ok_and(|flags| flags.contains(OFlags::DIRECT))
    }
}

impl AsFd for RealFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Opens around the page cache, or through it where the file system refuses that.
fn open(options: &mut OpenOptions, flags: OFlags, path: &Path) -> io::Result<RealFile> {
    let mut try_open = |flags: OFlags| options.custom_flags(flags.bits().cast_signed()).open(path);
    let file = match try_open(flags | OFlags::DIRECT) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => try_open(flags)?,
        opened => opened?,
    };
    Ok(RealFile(Arc::new(file)))
}

/// Reserves `bytes` and fills them with zeros.
fn fill(file: &RealFile, bytes: u64) -> io::Result<()> {
    loop {
        match fallocate(file, FallocateFlags::empty(), 0, bytes) {
            Err(Errno::INTR) => {}
            // The zeros reserve the space as well.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => break,
            done => break done?,
        }
    }
    let zeros = BlockBuffer::zeroed(usize::try_from(bytes).map_or(FILL_BYTES, |all| all.min(FILL_BYTES)));
    let mut offset = 0;
    while offset < bytes {
        let part = usize::try_from(bytes - offset).map_or(zeros.len(), |left| left.min(zeros.len()));
        write_all(file, &zeros.bytes()[..part], offset)?;
        offset += part as u64;
    }
    Ok(())
}

impl Disk for RealDisk {
    type File = RealFile;

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        // A name that is not UTF-8 is none of ours; the lossy form matches none either.
        fs::read_dir(dir)?.map(|e| e.map(|e| e.file_name().to_string_lossy().into_owned())).collect()
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        match fs::DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
            done => done,
        }
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn open(&self, path: &Path) -> io::Result<RealFile> {
        open(OpenOptions::new().read(true).write(true), OFlags::empty(), path)
    }

    fn create(&self, path: &Path, bytes: u64) -> io::Result<RealFile> {
        let new = open(
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o600),
            OFlags::empty(),
            path,
        )?;
        fill(&new, bytes)?;
        open(OpenOptions::new().read(true).write(true), OFlags::DSYNC, path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

impl DiskFile for RealFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(bytes, offset)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
