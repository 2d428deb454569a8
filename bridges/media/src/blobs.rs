//! [`Blobs`]: where bytes of files are. An upload is in the directory until it was looked at, and stays there, or goes into a bucket.
//!
//! Thread: one that may block. Invariants: a file that is ready is whole in the directory or in the bucket; it leaves the directory only when the
//! bucket has all of it. Whoever reads looks into the directory first, and so finds it at any moment. What can fail: the disk, the bucket.

use std::fmt;

use lynk_blob::{BlobError, Bucket, BucketError, Directory};
use lynk_compute::BOXES;
use lynk_domain::MediaId;

/// Variants of a file, itself among them.
#[expect(clippy::cast_possible_truncation, reason = "a handful")]
pub(crate) const VARIANTS: u8 = BOXES.len() as u8 + 1;

/// See the module. Clones are of the same files.
#[derive(Clone, Debug)]
pub(crate) struct Blobs {
    pub(crate) directory: Directory,
    pub(crate) bucket: Option<Bucket>,
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
        self.bucket.as_ref().is_some_and(|bucket| bucket.counts().is_shut() || bucket.counts().is_refused())
    }

    /// Puts a file, with the variants that are there, from the directory into the bucket, where there is one. It stays in the directory as well.
    pub(crate) fn put_away(&self, id: MediaId) -> Result<(), KeepError> {
        let Some(bucket) = &self.bucket else { return Ok(()) };
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
            Some(bucket) => Ok(bucket.wait(bucket.delete(id, VARIANTS))?),
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
