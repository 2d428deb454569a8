//! Bytes of pictures and files: [`Directory`] keeps them on the disk of this machine, [`Bucket`] in a service that speaks S3, [`Links`] lets somebody
//! put or get one for a while, and [`range`] and [`disposition`] say how HTTP answers with one.
//!
//! Thread: one that may block on the disk, and for a bucket its own beside; [`Links`] and what is about HTTP are pure. Nothing here knows rows of media: who may do what is
//! decided by whoever makes a link, and again by whoever takes one.
//!
//! Invariants: a blob is there whole or not at all, also after a crash at any moment; what is announced and what comes must have the same
//! length. Limits: a piece of an upload is as large as its caller makes it, and no other memory grows with a blob. What can fail: the disk, which
//! may be full ([`BlobError::Full`]); nothing is left of what failed, or it goes with the next start.

#![forbid(unsafe_code)]

mod bucket;
mod directory;
mod http;
mod link;

use std::io;

pub use bucket::{
    Bucket, BucketCounts, BucketError, BucketOptions, BucketThread, Encryption, Object, PART_BYTES,
    SIGNED_SECONDS, Told, check_endpoint, is_prefix,
};
pub use directory::{Blob, Directory, Upload};
pub use http::{Range, disposition, entity_tag, is_shown, range};
pub use link::{GET_LINK_MILLIS, Grant, KEY_BYTES, LinkError, Links, PUT_LINK_MILLIS, SIGNATURE_TEXT_BYTES};
pub use lynk_https::Roots;

/// Why a blob store did not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// There is none of that name.
    #[error("there is no such blob")]
    Missing,
    /// More bytes came than were announced, or fewer.
    #[error("{came} bytes came and {announced} were announced")]
    Length {
        /// What was announced.
        announced: u64,
        /// What came; when it is more, as much as came until then.
        came: u64,
    },
    /// There is no space left, or the quota of the file system is used up.
    #[error("the disk of blobs is full")]
    Full,
    /// The disk refuses.
    #[error("the disk of blobs refuses: {0}")]
    Disk(#[source] io::Error),
}

impl From<io::Error> for BlobError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Disk(error),
        }
    }
}
