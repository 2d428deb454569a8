//! A directory that is there as a whole or not at all.
//!
//! It is made under another name beside its place, and takes its place when everything in it is on disk. What is left of a process that
//! died is known by a file in it, and makes room for the next try.

use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::CopyError;

/// Says that a directory is not finished.
const UNFINISHED: &str = "UNFINISHED";

/// See the module. Dropping it removes what is not finished.
#[derive(Debug)]
pub struct Part {
    target: PathBuf,
    path: PathBuf,
    finished: bool,
}

impl Part {
    /// Makes the directory, for its owner only.
    ///
    /// # Errors
    /// Something has the name, or the disk refuses.
    pub fn make(target: &Path) -> Result<Self, CopyError> {
        let taken = |path: &Path, why| Err(CopyError::InTheWay { path: path.to_owned(), why });
        if target.file_name().is_none() {
            return taken(target, "it is no name of a new directory");
        }
        if fs::symlink_metadata(target).is_ok() {
            return taken(target, "it exists; name another directory");
        }
        let mut name = target.as_os_str().to_owned();
        name.push(".part");
        let path = PathBuf::from(name);
        if fs::symlink_metadata(&path).is_ok() {
            if !path.join(UNFINISHED).exists() {
                return taken(&path, "it was not left by an interrupted copy; move it away");
            }
            fs::remove_dir_all(&path).map_err(|error| CopyError::disk(&path, error))?;
        }
        DirBuilder::new().mode(0o700).create(&path).map_err(|error| CopyError::disk(&path, error))?;
        let part = Self { target: target.to_owned(), path, finished: false };
        let marker = part.path.join(UNFINISHED);
        File::create(&marker).map_err(|error| CopyError::disk(&marker, error))?;
        Ok(part)
    }

    /// Where it is made.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts it in its place, with everything in it on disk.
    ///
    /// # Errors
    /// The disk refuses, or something has the name by now.
    pub fn finish(mut self) -> Result<(), CopyError> {
        let marker = self.path.join(UNFINISHED);
        fs::remove_file(&marker).map_err(|error| CopyError::disk(&marker, error))?;
        sync_tree(&self.path)?;
        let placed = renameat_with(CWD, &self.path, CWD, &self.target, RenameFlags::NOREPLACE);
        placed.map_err(|error| CopyError::disk(&self.target, error.into()))?;
        self.finished = true;
        let parent = match self.target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        sync(parent)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.finished {
            // What cannot be removed is known by its marker.
            let _left = fs::remove_dir_all(&self.path);
        }
    }
}

fn sync(path: &Path) -> Result<(), CopyError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| CopyError::disk(path, error))
}

/// Syncs every file and directory below, and the directory itself.
///
/// # Errors
/// The disk refuses.
pub fn sync_tree(root: &Path) -> Result<(), CopyError> {
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).map_err(|error| CopyError::disk(&directory, error))? {
            let path = entry.map_err(|error| CopyError::disk(&directory, error))?.path();
            if path.is_dir() {
                directories.push(path);
            } else {
                sync(&path)?;
            }
        }
        sync(&directory)?;
    }
    Ok(())
}

/// Files below a directory but those of one directory in it, as paths relative to it, sorted.
pub(crate) fn files(root: &Path, without: &str) -> Result<Vec<PathBuf>, CopyError> {
    let (mut found, mut directories) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(directory) = directories.pop() {
        let path = root.join(&directory);
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries.map_err(|error| CopyError::disk(&path, error))?,
        };
        for entry in entries {
            let entry = entry.map_err(|error| CopyError::disk(&path, error))?;
            let kind = entry.file_type().map_err(|error| CopyError::disk(&entry.path(), error))?;
            let relative = directory.join(entry.file_name());
            if relative != Path::new(without) {
                if kind.is_dir() { &mut directories } else { &mut found }.push(relative);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_part_leaves_nothing_and_a_finished_one_is_in_its_place() {
        let place = tempfile::tempdir().expect("a directory");
        let target = place.path().join("backup");
        let part = Part::make(&target).expect("makes");
        fs::create_dir(part.path().join("deep")).expect("makes");
        fs::write(part.path().join("deep/file"), "x").expect("writes");
        drop(part);
        assert_eq!(fs::read_dir(place.path()).expect("a directory").count(), 0);

        // As a process that died leaves it.
        let part = Part::make(&target).expect("makes");
        fs::write(part.path().join("file"), "x").expect("writes");
        std::mem::forget(part);
        let part = Part::make(&target).expect("makes again");
        assert!(!part.path().join("file").exists());
        fs::write(part.path().join("other"), "x").expect("writes");
        part.finish().expect("finishes");
        assert_eq!(files(&target, "").expect("lists"), [PathBuf::from("other")]);
        assert!(matches!(Part::make(&target), Err(CopyError::InTheWay { .. })));

        let strange = place.path().join("strange.part");
        fs::create_dir(&strange).expect("makes");
        assert!(matches!(Part::make(&place.path().join("strange")), Err(CopyError::InTheWay { .. })));
        assert!(strange.exists(), "what is somebody else's stays");
    }
}
