//! [`Directory`]: blobs as files.
//!
//! ```text
//! blobs/ab/cdef…          a blob; `abcdef…` is its id in hexadecimal
//! blobs/ab/cdef….1        its first smaller variant
//! blobs/incoming/…        uploads that are not whole yet; emptied by each start
//! ```
//!
//! Thread: one that may block. An upload is written under another name, synced, and then renamed, and the directory of its name is synced after: whoever
//! is told that it is there finds it after a power failure. All is for its owner only (0700 and 0600). Variants are written in the same
//! way. Limits: 256 directories. What can fail: the disk.

#[cfg(test)]
mod tests;

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lynk_domain::MediaId;

use crate::BlobError;

/// Where uploads lie until they are whole.
const INCOMING: &str = "incoming";
/// Variants that a blob has at most, itself among them.
const VARIANTS_MAX: u8 = 8;

/// A directory of blobs. Clones are of the same one.
#[derive(Clone, Debug)]
pub struct Directory {
    root: PathBuf,
    /// Uploads so far: each has a name of its own.
    uploads: Arc<AtomicU64>,
}

/// An upload that is not whole yet. Dropping it leaves nothing.
#[derive(Debug)]
pub struct Upload {
    file: File,
    from: PathBuf,
    to: PathBuf,
    announced: u64,
    came: u64,
    done: bool,
}

/// A blob, or a part of one, that is being read.
#[derive(Debug)]
pub struct Blob {
    file: io::Take<File>,
    /// Bytes of the whole blob.
    pub bytes: u64,
}

fn make(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

impl Directory {
    /// Opens or makes the directory, and removes what an earlier process did not finish. One process at a time may have it.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn open(root: &Path) -> Result<Self, BlobError> {
        make(root)?;
        let incoming = root.join(INCOMING);
        make(&incoming)?;
        for entry in fs::read_dir(&incoming)? {
            fs::remove_file(entry?.path())?;
        }
        if let Some(above) = root.parent() {
            sync(above)?;
        }
        sync(root)?;
        Ok(Self { root: root.to_owned(), uploads: Arc::default() })
    }

    /// The same directory for somebody who only reads, while a process that has it goes on. It may not exist.
    #[must_use]
    pub fn beside(root: &Path) -> Self {
        Self { root: root.to_owned(), uploads: Arc::default() }
    }

    /// The path of a blob below the directory.
    #[must_use]
    pub fn relative(id: MediaId, variant: u8) -> String {
        let hex = data_encoding::HEXLOWER.encode(&id.0);
        let (directory, name) = hex.split_at(2);
        if variant == 0 { format!("{directory}/{name}") } else { format!("{directory}/{name}.{variant}") }
    }

    fn path(&self, id: MediaId, variant: u8) -> PathBuf {
        self.root.join(Self::relative(id, variant))
    }

    /// The path of a blob that is to be, whose directory is there.
    fn place(&self, id: MediaId, variant: u8) -> Result<PathBuf, BlobError> {
        let to = self.path(id, variant);
        if let Some(directory) = to.parent()
            && !directory.exists()
        {
            make(directory)?;
            sync(&self.root)?;
        }
        Ok(to)
    }

    /// Begins to take a blob of `bytes`; variant 0 is the blob itself. When it is whole it takes the place of one that was there.
    ///
    /// # Errors
    /// The disk refuses, or is full.
    pub fn begin(&self, id: MediaId, variant: u8, bytes: u64) -> Result<Upload, BlobError> {
        assert!(variant < VARIANTS_MAX, "a handful of variants");
        let number = self.uploads.fetch_add(1, Ordering::Relaxed);
        let from = self.root.join(INCOMING).join(number.to_string());
        let to = self.place(id, variant)?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&from)?;
        Ok(Upload { file, from, to, announced: bytes, came: 0, done: false })
    }

    /// Where a blob is, for programs that look at it. It may be gone at any time.
    #[must_use]
    pub fn path_of(&self, id: MediaId) -> PathBuf {
        self.path(id, 0)
    }

    /// Where a blob or a variant of one is. It may be gone at any time.
    #[must_use]
    pub fn file(&self, id: MediaId, variant: u8) -> PathBuf {
        self.path(id, variant)
    }

    /// Takes a file that lies whole on the same file system as a blob, in place of one that was there. It is there after a power failure when
    /// this has returned.
    ///
    /// # Errors
    /// The disk refuses, or is full; the file may be left where it was.
    pub fn adopt(&self, id: MediaId, variant: u8, file: &Path) -> Result<(), BlobError> {
        assert!(variant < VARIANTS_MAX, "a handful of variants");
        let to = self.place(id, variant)?;
        let whole = File::open(file)?;
        whole.set_permissions(Permissions::from_mode(0o600))?;
        whole.sync_all()?;
        fs::rename(file, &to)?;
        if let Some(directory) = to.parent() {
            sync(directory)?;
        }
        Ok(())
    }

    /// Ids of the blobs that lie in the directory of a first byte, also of those of which only a variant is there; each once.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn ids(&self, first: u8) -> Result<Vec<MediaId>, BlobError> {
        let hex = data_encoding::HEXLOWER.encode(&[first]);
        let entries = match fs::read_dir(self.root.join(&hex)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            // What has another name was not put there by this.
            let stem = name.to_str().and_then(|name| name.split('.').next()).unwrap_or_default();
            let bytes = data_encoding::HEXLOWER.decode(format!("{hex}{stem}").as_bytes()).ok();
            ids.extend(bytes.and_then(|bytes| bytes.try_into().ok()).map(MediaId));
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    /// Opens a blob for reading from `from`, `length` bytes at most.
    ///
    /// # Errors
    /// There is none; the disk refuses.
    pub fn read(&self, id: MediaId, variant: u8, from: u64, length: u64) -> Result<Blob, BlobError> {
        let mut file = File::open(self.path(id, variant))?;
        let bytes = file.metadata()?.len();
        if from > 0 {
            file.seek(SeekFrom::Start(from))?;
        }
        Ok(Blob { file: file.take(length), bytes })
    }

    /// Bytes of a blob.
    ///
    /// # Errors
    /// There is none; the disk refuses.
    pub fn bytes(&self, id: MediaId, variant: u8) -> Result<u64, BlobError> {
        Ok(fs::metadata(self.path(id, variant))?.len())
    }

    /// Removes a blob with its variants. One that is not there is none. Who reads it reads it to its end.
    ///
    /// # Errors
    /// The disk refuses: repeat it.
    pub fn delete(&self, id: MediaId) -> Result<(), BlobError> {
        let mut gone = false;
        // The blob itself last: what is repeated finds what is left.
        for variant in (0..VARIANTS_MAX).rev() {
            match fs::remove_file(self.path(id, variant)) {
                Ok(()) => gone = true,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        if gone && let Some(directory) = self.path(id, 0).parent() {
            sync(directory)?;
        }
        Ok(())
    }
}

impl Upload {
    /// Takes a piece.
    ///
    /// # Errors
    /// It is more than was announced, before anything of it is written; the disk refuses, or is full.
    pub fn write(&mut self, piece: &[u8]) -> Result<(), BlobError> {
        let came = self.came.saturating_add(piece.len() as u64);
        if came > self.announced {
            return Err(BlobError::Length { announced: self.announced, came });
        }
        self.file.write_all(piece)?;
        self.came = came;
        Ok(())
    }

    /// Bytes that came so far.
    #[must_use]
    pub fn came(&self) -> u64 {
        self.came
    }

    /// Puts the blob in its place. It is there after a power failure when this has returned.
    ///
    /// # Errors
    /// Fewer bytes came than were announced; the disk refuses, or is full.
    pub fn finish(mut self) -> Result<(), BlobError> {
        if self.came != self.announced {
            return Err(BlobError::Length { announced: self.announced, came: self.came });
        }
        self.file.sync_all()?;
        fs::rename(&self.from, &self.to)?;
        self.done = true;
        if let Some(directory) = self.to.parent() {
            sync(directory)?;
        }
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.done {
            // What cannot be removed goes with the next start.
            let _left = fs::remove_file(&self.from);
        }
    }
}

impl Blob {
    /// Reads into `buffer`; 0 at the end of what was asked for.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, BlobError> {
        Ok(self.file.read(buffer)?)
    }
}
