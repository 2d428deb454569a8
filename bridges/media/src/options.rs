//! What may be uploaded, how much of it, and how fast.

use std::path::PathBuf;
use std::time::Duration;

use lynk_compute::MediaType;
use lynk_model::media::{Purpose, Quota};

/// Bytes of an upload that are gathered before they are written, and of a piece that is sent.
pub(crate) const PIECE_BYTES: usize = 128 << 10;
/// Time in which an upload or a download may be slower than the least rate.
pub(crate) const RATE_GRACE: Duration = Duration::from_secs(30);
/// Threads that write and read files.
pub(crate) const DISK_THREADS: usize = 8;
/// Files that are looked at, at a time.
pub(crate) const LOOKERS: usize = 2;
/// Files that wait to be looked at; what finds no room is found by the sweeper.
pub(crate) const LOOKS_MAX: usize = 1_024;
/// Operations on the store that wait.
pub(crate) const QUEUE_MAX: usize = 256;
/// Time that `complete` waits for a look to end.
pub(crate) const COMPLETE_WAIT: Duration = Duration::from_secs(10);
/// Time after which a look that came to nothing is tried again.
pub(crate) const LOOK_AGAIN_MILLIS: u64 = 60 * 1_000;
/// Time after which nobody waits for a look any more.
pub(crate) const LOOK_GIVE_UP_MILLIS: u64 = 24 * 60 * 60 * 1_000;
/// Files on a page of one's own when the client names no number, and at most.
pub(crate) const PAGE_DEFAULT: u32 = 50;
pub(crate) const PAGE_MAX: u32 = 100;
/// Files whose bytes one sweep removes before others get their turn.
pub(crate) const SWEEP_FILES: u32 = 100;

/// From the begin of a transfer, the time at which more than so many bytes must have gone, where so many a second must on average.
pub(crate) fn must_have_until(rate_min: u64, bytes: u64) -> Duration {
    bytes.checked_div(rate_min).map_or(Duration::MAX, |seconds| RATE_GRACE.max(Duration::from_secs(seconds)))
}

/// A program that looks for harmful files.
#[derive(Clone, Debug)]
pub struct ScanOptions {
    /// The program and its arguments; the path of the file follows. It ends with 0 when the file is clean and with 1 when it is not; anything
    /// else is no answer.
    pub command: Vec<String>,
    /// After which it is killed, which is no answer.
    pub timeout: Duration,
}

/// What may be uploaded, how much of it, and how fast.
#[derive(Clone, Debug)]
pub struct MediaOptions {
    /// Directory of the files, made if it is not there.
    pub directory: PathBuf,
    /// Types that may be announced.
    pub types: Vec<MediaType>,
    /// Bytes of a picture.
    pub image_bytes_max: u64,
    /// Bytes of a film or sound.
    pub video_bytes_max: u64,
    /// Bytes of anything else.
    pub file_bytes_max: u64,
    /// Bytes of a picture of an account or a room.
    pub avatar_bytes_max: u64,
    /// What an account may have.
    pub quota: Quota,
    /// Uploads at a time, of everybody.
    pub uploads_max: u32,
    /// Downloads at a time, of everybody.
    pub downloads_max: u32,
    /// Uploads at a time of one account.
    pub uploads_per_account_max: u32,
    /// Downloads at a time of one account.
    pub downloads_per_account_max: u32,
    /// Time in which the next bytes must come, or be taken.
    pub idle: Duration,
    /// Bytes a second that an upload or a download must have on average after its first half minute.
    pub rate_min: u64,
    /// Age at which an upload that did not end is given up.
    pub unfinished_millis: u64,
    /// Age at which a file that nobody attached is given up.
    pub unused_millis: u64,
    /// Time between two sweeps.
    pub sweep: Duration,
    /// Bytes of files that may wait in the directory for the bucket, where there is one.
    pub staging_bytes_max: u64,
    /// How long a URL of the bucket is good by which a reader gets a file of a message from there; `None`: all bytes go through the server. A second
    /// at least.
    pub presigned: Option<Duration>,
    /// What looks for harmful files.
    pub scan: Option<ScanOptions>,
}

impl MediaOptions {
    /// Whether a type may be announced for a purpose: pictures of accounts and rooms are of types that are looked into.
    pub(crate) fn allows(&self, purpose: Purpose, kind: MediaType) -> bool {
        self.types.contains(&kind) && (purpose == Purpose::Attachment || kind.is_read())
    }

    /// Bytes that a file may have.
    pub(crate) fn bytes_max(&self, purpose: Purpose, kind: MediaType) -> u64 {
        if purpose != Purpose::Attachment {
            return self.avatar_bytes_max;
        }
        let name = kind.as_str();
        if kind.is_image() {
            self.image_bytes_max
        } else if name.starts_with("video/") || name.starts_with("audio/") {
            self.video_bytes_max
        } else {
            self.file_bytes_max
        }
    }

    /// Memory that uploads and downloads take at most.
    #[must_use]
    pub fn memory_bytes_max(&self, with_bucket: bool) -> u64 {
        let pieces = u64::from(self.uploads_max) * 2 + u64::from(self.downloads_max) * 2;
        // With a bucket each look, and whoever carries files over, holds a part.
        let parts = (LOOKERS as u64 + 1) * lynk_blob::PART_BYTES as u64;
        pieces * PIECE_BYTES as u64 + if with_bucket { parts } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_may_be_slow_for_half_a_minute_and_not_on_average() {
        let until = |rate, bytes| must_have_until(rate, bytes).as_secs();
        assert_eq!((until(1_000, 0), until(1_000, 30_999)), (30, 30));
        assert_eq!((until(1_000, 31_000), until(1_000, 600_000)), (31, 600), "what was taken fast lasts");
        assert_eq!(must_have_until(0, 0), Duration::MAX, "no rate is no limit");
    }
}
