//! A disk in memory that loses what was not synced: for tests, fuzzing and simulation.
//!
//! Reads see every write at once, as through a page cache. [`MemoryDisk::crash`] keeps what was synced and a
//! random part of the rest: each unsynced write of a file survives whole, in part or not at all, whatever
//! became of the others; of the unsynced names of a directory the first few survive. Handles from before a
//! crash answer an error. A write that a crash interrupts is [`MemoryFile::write_unsynced`].

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use super::{Disk, DiskFile};
use crate::limits::BLOCK_BYTES;

/// Unit in which a write tears.
const SECTOR_BYTES: usize = 512;

/// An in-memory disk. Clones share it.
#[derive(Clone, Default, Debug)]
pub struct MemoryDisk(Arc<Mutex<State>>);

/// An open file of a [`MemoryDisk`].
#[derive(Clone, Debug)]
pub struct MemoryFile {
    disk: MemoryDisk,
    inode: u64,
    life: u64,
}

#[derive(Clone, Default, Debug)]
struct State {
    inodes: BTreeMap<u64, Inode>,
    dirs: BTreeMap<PathBuf, Directory>,
    next_inode: u64,
    /// Raised by a crash; handles of an earlier life are dead.
    life: u64,
    faults: Faults,
}

#[derive(Clone, Debug)]
struct Faults {
    /// Bytes that new files may still reserve.
    space: u64,
    writes_full: bool,
    write_bytes_max: usize,
    syncs_fail: bool,
    /// Files whose names end so cannot be removed.
    kept: Option<String>,
    /// Changes that still succeed.
    changes: u64,
    /// Descriptors that may still be opened.
    opens: u64,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            space: u64::MAX,
            writes_full: false,
            write_bytes_max: usize::MAX,
            syncs_fail: false,
            kept: None,
            changes: u64::MAX,
            opens: u64::MAX,
        }
    }
}

#[derive(Clone, Default, Debug)]
struct Inode {
    durable: Vec<u8>,
    cached: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Resize(usize),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Node {
    File(u64),
    Directory,
}

#[derive(Clone, Default, Debug)]
struct Directory {
    durable: BTreeMap<String, Node>,
    cached: BTreeMap<String, Node>,
    pending: Vec<NameChange>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Add(String, Node),
    Remove(String),
    Rename(String, String),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Resize(bytes) => content.resize(*bytes, 0),
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(bytes);
            }
        }
    }

    /// What a crash leaves of this change.
    fn tear(&self, random: &mut dyn FnMut() -> u64) -> Vec<Self> {
        let Self::Write { offset, bytes } = self else {
            return if random().is_multiple_of(2) { vec![self.clone()] } else { Vec::new() };
        };
        match random() % 4 {
            0 => Vec::new(),
            1 => vec![self.clone()],
            2 => {
                let cut = usize::try_from(random() % (bytes.len() as u64 + 1)).unwrap_or(0);
                vec![Self::Write { offset: *offset, bytes: bytes[..cut].to_vec() }]
            }
            _ => {
                let mut kept = Vec::new();
                let mut at = 0;
                while at < bytes.len() {
                    let to_boundary = SECTOR_BYTES - (offset + at) % SECTOR_BYTES;
                    let end = bytes.len().min(at + to_boundary);
                    if random().is_multiple_of(2) {
                        kept.push(Self::Write { offset: offset + at, bytes: bytes[at..end].to_vec() });
                    }
                    at = end;
                }
                kept
            }
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, Node>) {
        match self {
            Self::Add(name, node) => {
                names.insert(name.clone(), *node);
            }
            Self::Remove(name) => {
                names.remove(name);
            }
            Self::Rename(from, to) => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
        }
    }
}

impl State {
    /// Counts a change against the point at which the machine stops.
    fn change(&mut self) -> io::Result<()> {
        if self.faults.changes == 0 {
            return Err(io::Error::other("the machine has stopped"));
        }
        self.faults.changes -= 1;
        Ok(())
    }

    /// Takes a descriptor, if one is left.
    fn take_descriptor(&mut self) -> io::Result<()> {
        self.faults.opens = self.faults.opens.checked_sub(1).ok_or(Errno::MFILE)?;
        Ok(())
    }

    fn dir(&mut self, dir: &Path) -> io::Result<&mut Directory> {
        self.dirs.get_mut(dir).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn name(&mut self, dir: &Path, change: NameChange) -> io::Result<()> {
        let dir = self.dir(dir)?;
        change.apply(&mut dir.cached);
        dir.pending.push(change);
        Ok(())
    }

    fn find(&mut self, path: &Path) -> io::Result<Node> {
        let (dir, name) = split(path)?;
        self.dir(dir)?.cached.get(&name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn split(path: &Path) -> io::Result<(&Path, String)> {
    match (path.parent(), path.file_name()) {
        (Some(dir), Some(name)) => Ok((dir, name.to_string_lossy().into_owned())),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

impl MemoryDisk {
    /// A disk that holds one empty, durable directory.
    #[must_use]
    pub fn with_root(root: &Path) -> Self {
        let disk = Self::default();
        disk.state().dirs.insert(root.to_owned(), Directory::default());
        disk
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An independent copy as it is now, faults and unsynced changes included.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self(Arc::new(Mutex::new(self.state().clone())))
    }

    /// Power loss: keeps what was synced and a part of the rest that `random` decides. Faults are cleared.
    pub fn crash(&self, random: &mut dyn FnMut() -> u64) {
        let mut state = self.state();
        state.life += 1;
        state.faults = Faults::default();
        for inode in state.inodes.values_mut() {
            for change in std::mem::take(&mut inode.pending) {
                for part in change.tear(random) {
                    part.apply(&mut inode.durable);
                }
            }
            inode.cached.clone_from(&inode.durable);
        }
        for dir in state.dirs.values_mut() {
            let pending = std::mem::take(&mut dir.pending);
            let kept = usize::try_from(random() % (pending.len() as u64 + 1)).unwrap_or(0);
            for change in &pending[..kept] {
                change.apply(&mut dir.durable);
            }
            dir.cached.clone_from(&dir.durable);
        }
        state.prune();
    }

    /// The process ends and the machine goes on: nothing is lost, handles die, faults are cleared.
    pub fn restart(&self) {
        let mut state = self.state();
        state.life += 1;
        state.faults = Faults::default();
    }

    /// After `changes` more changes every further one fails, as if the machine had stopped there.
    pub fn stop_after(&self, changes: u64) {
        self.state().faults.changes = changes;
    }

    /// Changes left before the stop set by [`Self::stop_after`].
    #[must_use]
    pub fn changes_left(&self) -> u64 {
        self.state().faults.changes
    }

    /// New files may reserve this many more bytes.
    pub fn set_space(&self, bytes: u64) {
        self.state().faults.space = bytes;
    }

    /// After `opens` more files and directories were opened there is no descriptor left. None is ever given back.
    pub fn set_opens_left(&self, opens: u64) {
        self.state().faults.opens = opens;
    }

    /// Whether writes answer that the disk is full.
    pub fn set_writes_full(&self, full: bool) {
        self.state().faults.writes_full = full;
    }

    /// A write takes at most this many bytes.
    pub fn set_write_bytes_max(&self, bytes: usize) {
        self.state().faults.write_bytes_max = bytes.max(1);
    }

    /// Whether syncs of files, and writes that are durable at once, fail. As in a page cache, what a failed sync should have written counts as
    /// written: reads still see it, a later sync succeeds, and a crash loses it.
    pub fn set_syncs_fail(&self, fail: bool) {
        self.state().faults.syncs_fail = fail;
    }

    /// Files whose names end like this cannot be removed.
    pub fn set_kept(&self, suffix: Option<&str>) {
        self.state().faults.kept = suffix.map(str::to_owned);
    }

    /// Content of a file as a read sees it.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn content(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut state = self.state();
        match state.find(path)? {
            Node::File(inode) => Ok(state.inodes.get(&inode).map(|i| i.cached.clone()).unwrap_or_default()),
            Node::Directory => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    /// Replaces a file's durable content, creating the file and its directories.
    pub fn set_content(&self, path: &Path, content: Vec<u8>) {
        let mut state = self.state();
        let mut child = path.to_owned();
        let inode = state.next_inode;
        state.next_inode += 1;
        state.inodes.insert(inode, Inode { cached: content.clone(), durable: content, pending: Vec::new() });
        let mut node = Node::File(inode);
        while let Ok((dir, name)) = split(&child) {
            let dir = dir.to_owned();
            let known = state.dirs.contains_key(&dir);
            let entry = state.dirs.entry(dir.clone()).or_default();
            entry.durable.insert(name.clone(), node);
            entry.cached.insert(name, node);
            if known {
                break;
            }
            node = Node::Directory;
            child = dir;
        }
    }
}

impl State {
    /// Drops directories and files that no name leads to.
    fn prune(&mut self) {
        let mut gone = Vec::new();
        for path in self.dirs.keys() {
            let Ok((parent, name)) = split(path) else { continue };
            if let Some(parent) = self.dirs.get(parent)
                && parent.cached.get(&name) != Some(&Node::Directory)
            {
                gone.push(path.clone());
            }
        }
        self.dirs.retain(|path, _| !gone.iter().any(|g| path.starts_with(g)));
        let named: Vec<u64> = self
            .dirs
            .values()
            .flat_map(|d| d.cached.values())
            .filter_map(|node| match node {
                Node::File(inode) => Some(*inode),
                Node::Directory => None,
            })
            .collect();
        self.inodes.retain(|inode, _| named.contains(inode));
    }
}

impl Disk for MemoryDisk {
    type File = MemoryFile;

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        Ok(self.state().dir(dir)?.cached.keys().cloned().collect())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.dirs.contains_key(dir) {
            return Ok(());
        }
        state.change()?;
        let (parent, name) = split(dir)?;
        state.name(parent, NameChange::Add(name, Node::Directory))?;
        state.dirs.insert(dir.to_owned(), Directory::default());
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        if !state.dir(dir)?.cached.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let (parent, name) = split(dir)?;
        state.name(parent, NameChange::Remove(name))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.take_descriptor()?;
        state.change()?;
        let dir = state.dir(dir)?;
        dir.durable.clone_from(&dir.cached);
        dir.pending.clear();
        Ok(())
    }

    fn open(&self, path: &Path) -> io::Result<MemoryFile> {
        let mut state = self.state();
        state.take_descriptor()?;
        match state.find(path)? {
            Node::File(inode) => Ok(MemoryFile { disk: self.clone(), inode, life: state.life }),
            Node::Directory => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn create(&self, path: &Path, bytes: u64) -> io::Result<MemoryFile> {
        let mut state = self.state();
        state.take_descriptor()?;
        state.change()?;
        let (dir, name) = split(path)?;
        if state.dir(dir)?.cached.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let left = state.faults.space.checked_sub(bytes).ok_or(io::ErrorKind::StorageFull)?;
        state.faults.space = left;
        let inode = state.next_inode;
        state.next_inode += 1;
        let length = usize::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let content =
            Inode { durable: Vec::new(), cached: vec![0; length], pending: vec![Change::Resize(length)] };
        state.inodes.insert(inode, content);
        state.name(dir, NameChange::Add(name, Node::File(inode)))?;
        Ok(MemoryFile { disk: self.clone(), inode, life: state.life })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        state.find(from)?;
        let ((dir, from), (_, to)) = (split(from)?, split(to)?);
        state.name(dir, NameChange::Rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        state.find(path)?;
        if state.faults.kept.as_ref().is_some_and(|suffix| path.to_string_lossy().ends_with(suffix)) {
            return Err(io::Error::other("the file cannot be removed"));
        }
        let (dir, name) = split(path)?;
        state.name(dir, NameChange::Remove(name))
    }
}

impl MemoryFile {
    fn with<T>(&self, act: impl FnOnce(&mut State, u64) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.state();
        if state.life != self.life || !state.inodes.contains_key(&self.inode) {
            return Err(io::Error::other("the file was opened before the machine stopped"));
        }
        act(&mut state, self.inode)
    }

    /// Writes any bytes anywhere, as far as the faults allow, and leaves them to the mercy of a crash.
    ///
    /// # Errors
    /// As [`DiskFile::write_at`].
    pub fn write_unsynced(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let count = self.with(|state, _| {
            if state.faults.writes_full {
                return Err(io::ErrorKind::StorageFull.into());
            }
            Ok(bytes.len().min(state.faults.write_bytes_max))
        })?;
        let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.change(Change::Write { offset, bytes: bytes[..count].to_vec() })?;
        Ok(count)
    }

    /// Makes everything durable that was done to the file.
    fn settle(&self) -> io::Result<()> {
        self.with(|state, inode| {
            state.change()?;
            let fail = state.faults.syncs_fail;
            let inode = state.inodes.get_mut(&inode).ok_or(io::ErrorKind::NotFound)?;
            if fail {
                inode.pending.clear();
                return Err(io::Error::other("the disk failed"));
            }
            for change in inode.pending.drain(..) {
                change.apply(&mut inode.durable);
            }
            Ok(())
        })
    }

    fn change(&self, change: Change) -> io::Result<()> {
        self.with(|state, inode| {
            state.change()?;
            let inode = state.inodes.get_mut(&inode).ok_or(io::ErrorKind::NotFound)?;
            change.apply(&mut inode.cached);
            inode.pending.push(change);
            Ok(())
        })
    }
}

impl DiskFile for MemoryFile {
    fn bytes(&self) -> io::Result<u64> {
        self.with(|state, inode| Ok(state.inodes.get(&inode).map_or(0, |i| i.cached.len() as u64)))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|state, inode| {
            let content = state.inodes.get(&inode).map_or(&[][..], |i| &i.cached);
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
            let count = buffer.len().min(content.len() - from);
            buffer[..count].copy_from_slice(&content[from..from + count]);
            Ok(count)
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        debug_assert!(offset.is_multiple_of(BLOCK_BYTES as u64) && bytes.len().is_multiple_of(BLOCK_BYTES));
        let count = self.write_unsynced(bytes, offset)?;
        self.settle()?;
        Ok(count)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        let bytes = usize::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.change(Change::Resize(bytes))
    }

    fn sync(&self) -> io::Result<()> {
        self.settle()
    }
}
