//! Makes a file durable whose last sync may have failed: its content is written again, to a new file.
//!
//! Thread: the one that opens the store. A kernel marks pages clean after it could not write them, so a later sync of the
//! same file succeeds and proves nothing: what an engine replays from its own log may exist in the page cache only.
//! A copy is dirty from its first byte, and its sync tells the truth.
//!
//! Limits: reads and writes as much as the file holds; holes stay holes. What can fail: the disk; then the old file
//! stands as it was, and nothing is left of the copy.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Bytes copied at a time, and the grain of holes.
const CHUNK: usize = 256 << 10;
/// What the copy is called until it takes the file's place; no engine looks at such names.
const SUFFIX: &str = ".rewrite";

/// Replaces the file at `path` by a synced copy of itself, and syncs its directory. Nothing happens when there is none.
///
/// # Errors
/// When the disk refuses.
pub(crate) fn rewrite(path: &Path) -> io::Result<()> {
    let mut from = match File::open(path) {
        Ok(from) => from,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let copy = copy_path(path);
    let replaced = copy_file(&mut from, &copy).and_then(|()| std::fs::rename(&copy, path));
    if let Err(error) = replaced {
        // Else it would hold the space for want of which it failed.
        let _gone_or_never_made = std::fs::remove_file(&copy);
        return Err(error);
    }
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// As [`rewrite`], for a start: without space for the copy the old file serves, because a full disk must not keep anybody
/// from reading. Whether an earlier sync of it failed is not known then.
///
/// # Errors
/// When the disk refuses anything else.
pub(crate) fn rewrite_if_space(path: &Path) -> io::Result<()> {
    match rewrite(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            Ok(())
        }
        other => other,
    }
}

/// Whether the file system surely has no space for a copy of the file: better not to begin then.
fn is_too_large(from: &File) -> io::Result<bool> {
    let (size, state) = (rustix::fs::fstat(from)?, rustix::fs::fstatvfs(from)?);
    let needed = u64::try_from(size.st_blocks).unwrap_or(0).saturating_mul(512);
    Ok(needed.min(u64::try_from(size.st_size).unwrap_or(0)) > state.f_bavail.saturating_mul(state.f_frsize))
}

fn copy_file(from: &mut File, copy: &Path) -> io::Result<()> {
    // What a process that died left of a copy is space, too.
    let mut to = OpenOptions::new().write(true).create(true).truncate(true).open(copy)?;
    if is_too_large(from)? {
        return Err(io::ErrorKind::StorageFull.into());
    }
    let metadata = from.metadata()?;
    to.set_permissions(metadata.permissions())?;
    copy_data(from, &mut to)?;
    to.set_len(metadata.len())?;
    to.sync_all()
}

fn copy_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(SUFFIX);
    PathBuf::from(name)
}

/// Copies through this process: a copy inside the kernel may share the very blocks that are in doubt.
fn copy_data(from: &mut File, to: &mut File) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    let mut at = 0u64;
    loop {
        let length = from.read(&mut chunk)?;
        if length == 0 {
            return Ok(());
        }
        let read = &chunk[..length];
        at += length as u64;
        if read.iter().any(|byte| *byte != 0) {
            to.write_all(read)?;
            continue;
        }
        // A preallocated rest is not read byte by byte.
        match rustix::fs::seek(from.as_fd(), rustix::fs::SeekFrom::Data(at)) {
            Ok(next) => at = next,
            Err(rustix::io::Errno::NXIO) => return Ok(()),
            Err(_) => {
                from.seek(SeekFrom::Start(at))?;
            }
        }
        to.seek(SeekFrom::Start(at))?;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_rewritten_file_has_the_same_content_in_another_inode() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("7.jnl");
        rewrite(&path).expect("nothing to rewrite");
        let mut content = vec![0; 3 * CHUNK + 17];
        content[5] = 1;
        content[2 * CHUNK + 9] = 2;
        for tail in [0u64, 8 << 20] {
            std::fs::write(&path, &content).expect("writes");
            let file = OpenOptions::new().write(true).open(&path).expect("opens");
            file.set_len(content.len() as u64 + tail).expect("grows");
            std::fs::write(copy_path(&path), [9; 50]).expect("an unfinished copy is left over");
            let before = std::fs::metadata(&path).expect("is there");
            rewrite(&path).expect("rewrites");
            let after = std::fs::metadata(&path).expect("is there");
            assert_ne!(before.ino(), after.ino());
            assert_eq!((before.len(), before.mode()), (after.len(), after.mode()));
            let read = std::fs::read(&path).expect("reads");
            assert!(read.starts_with(&content) && read[content.len()..].iter().all(|byte| *byte == 0));
            assert!(!copy_path(&path).exists());
        }
    }
}
