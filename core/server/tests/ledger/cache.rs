//! A disk with a volatile write cache, as a file of a file system in user space: what is written is in the cache until
//! the kernel asks for a flush, and reads see it at once. Losing power loses the cache, or leaves any part of it.
//!
//! Why not a plain file: a write around the page cache reaches a plain file whether it was synced or not, and a server
//! that never flushes its disk would pass.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyWrite, Request, WriteFlags,
};

use super::random::Random;

/// Unit in which a disk keeps or loses what it cached.
const SECTOR: usize = 512;
const NAME: &str = "disk.img";
const IMAGE: INodeNo = INodeNo(2);
const EVER: Duration = Duration::from_secs(3_600);

/// Whether a flush does what it is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flushes {
    Obeyed,
    /// So too, by a disk that keeps its order: a cut takes the end of what was cached. A journal without syncs then reads
    /// as sound, and only a list of what was acknowledged tells what is missing.
    ObeyedInOrder,
    /// Answered with success, and ignored; in order as well, so that the file system on it stays one.
    Ignored,
}

#[derive(Debug)]
struct State {
    stable: File,
    bytes: u64,
    flushes: Flushes,
    /// What is written and not flushed: the sector's number and when it was written last.
    cache: BTreeMap<u64, (u64, [u8; SECTOR])>,
    /// Writes since the last flush that was obeyed.
    writes: u64,
    /// The power is off: nothing is kept any more.
    off: bool,
}

impl State {
    fn keep(&mut self, mut wanted: impl FnMut(u64) -> bool) {
        for (sector, (written, bytes)) in std::mem::take(&mut self.cache) {
            if wanted(written) {
                self.stable.write_all_at(&bytes, sector * SECTOR as u64).expect("space for the disk");
            }
        }
        self.writes = 0;
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        assert!(
            offset.is_multiple_of(SECTOR as u64) && bytes.len().is_multiple_of(SECTOR),
            "a disk has sectors"
        );
        if self.off {
            return;
        }
        self.writes += 1;
        for (sector, bytes) in (offset / SECTOR as u64..).zip(bytes.as_chunks::<SECTOR>().0) {
            self.cache.insert(sector, (self.writes, *bytes));
        }
    }

    fn read(&self, offset: u64, length: usize) -> Vec<u8> {
        let length = length.min(usize::try_from(self.bytes.saturating_sub(offset)).unwrap_or(length));
        let mut bytes = vec![0; length];
        self.stable.read_exact_at(&mut bytes, offset).expect("the disk is as long as it says");
        let first = offset / SECTOR as u64;
        for (sector, (_, cached)) in self.cache.range(first..first + (length / SECTOR) as u64) {
            let at = usize::try_from(sector - first).expect("within a read") * SECTOR;
            bytes[at..at + SECTOR].copy_from_slice(cached);
        }
        bytes
    }
}

/// The disk, mounted; gone when dropped.
#[derive(Debug)]
pub(crate) struct CachedDisk {
    state: Arc<Mutex<State>>,
    image: PathBuf,
    _session: BackgroundSession,
}

/// Stops the disk at one instant: whatever asks it for something waits.
pub(crate) struct Stopped<'a>(MutexGuard<'a, State>);

impl CachedDisk {
    /// A disk whose content is the file `stable`, under a name in `dir`, which exists.
    ///
    /// # Errors
    /// What stands in the way of file systems in user space.
    pub(crate) fn attach(stable: File, dir: &Path, flushes: Flushes) -> Result<Self, String> {
        let bytes = stable.metadata().map_err(|error| error.to_string())?.len();
        let state = State { stable, bytes, flushes, cache: BTreeMap::new(), writes: 0, off: false };
        let state = Arc::new(Mutex::new(state));
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("lynk-ledger".to_owned())];
        let served = Served { state: Arc::clone(&state), bytes };
        let session = fuser::spawn_mount(served, dir, &config).map_err(|error| format!("fuse: {error}"))?;
        Ok(Self { state, image: dir.join(NAME), _session: session })
    }

    /// The file that is the disk.
    pub(crate) fn image(&self) -> &Path {
        &self.image
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on everything waits.
    pub(crate) fn stop(&self) -> Stopped<'_> {
        Stopped(self.state())
    }

    /// The power is back.
    pub(crate) fn power_on(&self) {
        self.state().off = false;
    }
}

impl Stopped<'_> {
    /// Takes the power away and lets everything go on, into the void.
    pub(crate) fn power_off(mut self, random: &mut Random) {
        let written = self.0.writes;
        match self.0.flushes {
            // Any part of what was cached, in whatever order.
            Flushes::Obeyed => self.0.keep(|_| random.percent(50)),
            Flushes::ObeyedInOrder => {
                let last = random.within(0..written + 1);
                self.0.keep(|written| written <= last);
            }
            Flushes::Ignored => {
                let last = written - random.within(0..written / 4 + 1);
                self.0.keep(|written| written <= last);
            }
        }
        self.0.off = true;
    }
}

struct Served {
    state: Arc<Mutex<State>>,
    bytes: u64,
}

impl Served {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attributes(&self, inode: INodeNo) -> FileAttr {
        let image = inode == IMAGE;
        let bytes = if image { self.bytes } else { 0 };
        FileAttr {
            ino: inode,
            size: bytes,
            blocks: bytes / SECTOR as u64,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if image { FileType::RegularFile } else { FileType::Directory },
            perm: if image { 0o600 } else { 0o700 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: SECTOR as u32,
            flags: 0,
        }
    }
}

impl Filesystem for Served {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if parent == INodeNo::ROOT && name == NAME {
            reply.entry(&EVER, &self.attributes(IMAGE), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&EVER, &self.attributes(inode));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // The only cache is this one.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let bytes = self.state().read(offset, size as usize);
        reply.data(&bytes);
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        self.state().write(offset, data);
        reply.written(u32::try_from(data.len()).expect("far below 4 GiB"));
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let mut state = self.state();
        if state.flushes != Flushes::Ignored && !state.off {
            state.keep(|_| true);
        }
        drop(state);
        reply.ok();
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // Closing a file is no flush of a disk.
        reply.ok();
    }
}
