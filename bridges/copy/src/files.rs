//! Pictures and files of a backup, and the list of them.
//!
//! There may be millions, so that they are not in the manifest, which is read whole: `FILES` has a line for each, `<path below blobs/> <bytes>
//! <SHA-256>`, and the manifest has the hash of `FILES`. Both are written and read line by line.
//!
//! Limits: memory of a line and a piece. What can fail: the disk, damage.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{BufRead as _, BufReader, BufWriter, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use ring::digest::{Context, SHA256};

use crate::manifest::{CHUNK, hash_file, hex};
use crate::{CopyError, FileEntry};

/// Name of the list.
pub const FILES: &str = "FILES";
/// Directory of what is listed.
pub const BLOBS: &str = "blobs";
/// Bytes of a line at most.
const LINE_BYTES_MAX: u64 = 512;

/// The list while it is written.
#[derive(Debug)]
pub struct FileList {
    out: BufWriter<File>,
    path: PathBuf,
}

impl FileList {
    /// Makes an empty one in a backup.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn create(backup: &Path) -> Result<Self, CopyError> {
        let path = backup.join(FILES);
        let file = File::create_new(&path).map_err(|error| CopyError::disk(&path, error))?;
        Ok(Self { out: BufWriter::new(file), path })
    }

    /// Adds a file.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn add(&mut self, FileEntry { path, bytes, sha256 }: &FileEntry) -> Result<(), CopyError> {
        writeln!(self.out, "{path} {bytes} {sha256}").map_err(|error| CopyError::disk(&self.path, error))
    }

    /// Writes what is left of it.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn finish(mut self) -> Result<(), CopyError> {
        self.out.flush().map_err(|error| CopyError::disk(&self.path, error))
    }
}

/// A file of a backup while it is written, piece by piece. Nothing is synced yet.
pub struct FileWriter {
    file: File,
    path: PathBuf,
    context: Context,
    bytes: u64,
}

impl FileWriter {
    /// Makes the file and its directory, for their owner only.
    ///
    /// # Errors
    /// It exists; the disk refuses.
    pub fn create(path: &Path) -> Result<Self, CopyError> {
        if let Some(parent) = path.parent() {
            let made = DirBuilder::new().mode(0o700).recursive(true).create(parent);
            made.map_err(|error| CopyError::disk(parent, error))?;
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|error| CopyError::disk(path, error))?;
        Ok(Self { file, path: path.to_owned(), context: Context::new(&SHA256), bytes: 0 })
    }

    /// Takes a piece.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write(&mut self, piece: &[u8]) -> Result<(), CopyError> {
        self.file.write_all(piece).map_err(|error| CopyError::disk(&self.path, error))?;
        self.context.update(piece);
        self.bytes += piece.len() as u64;
        Ok(())
    }

    /// What is in it, to be listed as `path`.
    #[must_use]
    pub fn finish(self, path: String) -> FileEntry {
        FileEntry { path, bytes: self.bytes, sha256: hex(self.context.finish().as_ref()) }
    }

    /// Takes it back: its source was not there to its end.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn discard(self) -> Result<(), CopyError> {
        fs::remove_file(&self.path).map_err(|error| CopyError::disk(&self.path, error))
    }
}

impl fmt::Debug for FileWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileWriter")
            .field("path", &self.path)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// Reads the list of a backup that was found to be whole; a backup may have none.
///
/// # Errors
/// It is damaged; the disk refuses; what `each` says.
pub fn each_file(
    backup: &Path,
    each: &mut dyn FnMut(&FileEntry) -> Result<(), CopyError>,
) -> Result<(), CopyError> {
    let path = backup.join(FILES);
    let mut lines = match File::open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        opened => BufReader::new(opened.map_err(|error| CopyError::disk(&path, error))?),
    };
    let mut line = String::new();
    loop {
        line.clear();
        let read = (&mut lines).take(LINE_BYTES_MAX).read_line(&mut line);
        if read.map_err(|error| CopyError::disk(&path, error))? == 0 {
            return Ok(());
        }
        let entry = line.strip_suffix('\n').and_then(entry);
        each(&entry.ok_or_else(|| CopyError::damaged(&path, "a line of it is no file"))?)?;
    }
}

fn entry(line: &str) -> Option<FileEntry> {
    let mut words = line.split(' ');
    let (path, bytes, sha256) = (words.next()?, words.next()?, words.next()?);
    let inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if words.next().is_some() || path.is_empty() || !inside {
        return None;
    }
    Some(FileEntry { path: path.to_owned(), bytes: bytes.parse().ok()?, sha256: sha256.to_owned() })
}

/// Compares a listed file with its line.
///
/// # Errors
/// It is missing, or is not what is listed; the disk refuses.
pub fn check_file(from: &Path, entry: &FileEntry) -> Result<(), CopyError> {
    if !from.exists() {
        return Err(CopyError::damaged(from, "it is missing"));
    }
    let (bytes, sha256) = hash_file(from)?;
    same(from, entry, (bytes, &sha256))
}

/// Says what is wrong with a file that is not what is listed.
pub(crate) fn same(from: &Path, entry: &FileEntry, (bytes, sha256): (u64, &str)) -> Result<(), CopyError> {
    if bytes != entry.bytes {
        return Err(CopyError::damaged(from, format!("it has {bytes} bytes, not {}", entry.bytes)));
    }
    if sha256 != entry.sha256 {
        return Err(CopyError::damaged(from, "its content is not what was backed up"));
    }
    Ok(())
}

/// Bytes that are copied at a time.
pub const PIECE_BYTES: usize = CHUNK;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::take_file;

    #[test]
    fn listed_files_come_back_and_what_is_not_as_listed_is_named() {
        let place = tempfile::tempdir().expect("a directory");
        let root = place.path();
        let mut list = FileList::create(root).expect("makes");
        for (name, body) in [("ab/cd", &b"one"[..]), ("ab/cd.1", b""), ("ef/01", b"three")] {
            let mut file = FileWriter::create(&root.join(BLOBS).join(name)).expect("makes");
            body.iter().for_each(|byte| file.write(&[*byte]).expect("writes"));
            list.add(&file.finish(name.to_owned())).expect("adds");
        }
        let half = FileWriter::create(&root.join(BLOBS).join("ef/02")).expect("makes");
        half.discard().expect("removes");
        list.finish().expect("writes");
        let mut found = Vec::new();
        let each = &mut |entry: &FileEntry| {
            let from = root.join(BLOBS).join(&entry.path);
            check_file(&from, entry)?;
            let to = root.join("to").join(&entry.path);
            fs::create_dir_all(to.parent().expect("has one")).expect("makes");
            take_file(&from, entry, &to)?;
            found.push((entry.path.clone(), entry.bytes, fs::read(&to).expect("readable")));
            Ok(())
        };
        each_file(root, each).expect("reads");
        let told: Vec<_> = found.iter().map(|(path, bytes, body)| (&**path, *bytes, &body[..])).collect();
        assert_eq!(told, [("ab/cd", 3, &b"one"[..]), ("ab/cd.1", 0, b""), ("ef/01", 5, b"three")]);
        assert!(!root.join(BLOBS).join("ef/02").exists());

        fs::write(root.join(BLOBS).join("ef/01"), "threE").expect("writes");
        let check = &mut |entry: &FileEntry| check_file(&root.join(BLOBS).join(&entry.path), entry);
        let text = each_file(root, check).expect_err("damaged").to_string();
        assert!(text.contains("ef/01 is damaged: its content"), "{text}");
        fs::remove_file(root.join(BLOBS).join("ef/01")).expect("removes");
        let text = each_file(root, check).expect_err("damaged").to_string();
        assert!(text.contains("ef/01 is damaged: it is missing"), "{text}");
        for bad in ["../x 1 a\n", "/x 1 a\n", "x 1\n", "x y a\n", "x 1 a b\n", "x 1 a", &"x".repeat(600)] {
            fs::write(root.join(FILES), bad).expect("writes");
            let text = each_file(root, &mut |_| Ok(())).expect_err("damaged").to_string();
            assert!(text.contains("FILES is damaged: a line"), "{bad}: {text}");
        }
        fs::remove_file(root.join(FILES)).expect("removes");
        each_file(root, &mut |_| panic!("there is none")).expect("reads");
    }
}
