//! [`Blobs`]: where bytes of files are. An upload is in the directory until it was looked at, and stays there, or goes into a bucket.
//!
//! Thread: one that may block. Invariants: a file that is ready is whole in the directory or in the bucket; it leaves the directory only when the
//! bucket has all of it; nothing is put into a bucket or removed from it before it was found to carry this server's name, once in each process, and
//! while it carries another's. Whoever reads looks into the directory first, and so finds it at any moment. What can fail: the disk, the bucket.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lynk_blob::{BlobError, Bucket, BucketError, Directory};
use lynk_compute::BOXES;
use lynk_domain::MediaId;

/// Variants of a file, itself among them.
#[expect(clippy::cast_possible_truncation, reason = "a handful")]
pub(crate) const VARIANTS: u8 = BOXES.len() as u8 + 1;

/// Called when a bucket was found to be this server's, before anything is put there. What it says when it fails is of the disk.
pub type Claimed = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Who keeps files in a bucket.
pub(crate) struct Claim {
    /// The name of this server, which its bucket carries.
    name: String,
    claimed: Claimed,
    /// Whether the bucket was found to carry it, and whether that was told.
    is_ours: AtomicBool,
    told: Mutex<bool>,
}

impl Claim {
    pub(crate) fn new(name: String, claimed: Claimed) -> Self {
        Self { name, claimed, is_ours: AtomicBool::new(false), told: Mutex::new(false) }
    }

    /// The bucket carries it.
    fn found(&self) -> Result<(), BucketError> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if !*told {
            (self.claimed)().map_err(BucketError::Disk)?;
            *told = true;
        }
        self.is_ours.store(true, Ordering::Release);
        Ok(())
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("name", &self.name).finish_non_exhaustive()
    }
}

/// See the module. Clones are of the same files.
#[derive(Clone, Debug)]
pub(crate) struct Blobs {
    pub(crate) directory: Directory,
    pub(crate) bucket: Option<Bucket>,
    pub(crate) claim: Arc<Claim>,
}

/// Why bytes were not kept or removed.
#[derive(Debug)]
pub(crate) enum KeepError {
    Disk(BlobError),
    Bucket(BucketError),
}

impl fmt::Display for KeepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(error) => error.fmt(f),
            Self::Bucket(error) => error.fmt(f),
        }
    }
}

impl From<BlobError> for KeepError {
    fn from(error: BlobError) -> Self {
        Self::Disk(error)
    }
}

impl From<BucketError> for KeepError {
    fn from(error: BucketError) -> Self {
        Self::Bucket(error)
    }
}

impl Blobs {
    /// Whether whatever goes into the bucket has to wait.
    pub(crate) fn is_shut(&self) -> bool {
        let is_shut = |bucket: &Bucket| {
            let counts = bucket.counts();
            counts.is_shut() || counts.is_refused() || counts.is_shared()
        };
        self.bucket.as_ref().is_some_and(is_shut)
    }

    /// Has the bucket carry this server's name, where there is one.
    pub(crate) fn claim(&self) -> Result<(), BucketError> {
        let Some(bucket) = &self.bucket else { return Ok(()) };
        match bucket.wait(bucket.claim(&self.claim.name)) {
            Ok(()) => self.claim.found(),
            Err(error) => {
                if matches!(error, BucketError::Shared(_)) {
                    self.claim.is_ours.store(false, Ordering::Release);
                }
                Err(error)
            }
        }
    }

    fn own(&self) -> Result<(), BucketError> {
        if self.claim.is_ours.load(Ordering::Acquire) { Ok(()) } else { self.claim() }
    }

    /// Puts a file, with the variants that are there, from the directory into the bucket, where there is one. It stays in the directory as well.
    pub(crate) fn put_away(&self, id: MediaId) -> Result<(), KeepError> {
        let Some(bucket) = &self.bucket else { return Ok(()) };
        self.own()?;
        // The file itself last, so that it is never there without its variants.
        for variant in (0..VARIANTS).rev() {
            match bucket.wait(bucket.put(id, variant, &self.directory.file(id, variant))) {
                Err(BucketError::Missing) if variant > 0 => {}
                put => put?,
            }
        }
        Ok(())
    }

    /// Removes a file with its variants from wherever it is.
    pub(crate) fn delete(&self, id: MediaId) -> Result<(), KeepError> {
        self.directory.delete(id)?;
        match &self.bucket {
            Some(bucket) => {
                self.own()?;
                Ok(bucket.wait(bucket.delete(id, VARIANTS))?)
            }
            None => Ok(()),
        }
    }

    /// Takes a file that the bucket has from the directory.
    pub(crate) fn clear(&self, id: MediaId) -> Result<(), BlobError> {
        match &self.bucket {
            Some(_) => self.directory.delete(id),
            None => Ok(()),
        }
    }
}
