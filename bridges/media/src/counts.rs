//! What is counted of media. Written by handlers and threads, read by a scrape.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::blobs::KeepError;
use lynk_bridge::{Health, Turned};
use lynk_model::StoreError;
use lynk_model::media::Rejection;
use lynk_model::port::StoreFault;
use lynk_telemetry::{Metric, Snapshot};

use crate::shares::Full;

/// What became of an upload. The order is that of the metric's label.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum UploadOutcome {
    Begun,
    Refused,
    Received,
    CutOff,
}

/// What was done with files that nobody needs. The order is that of the metric's label.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Swept {
    Doomed,
    Emptied,
    Forgotten,
    /// Bytes of which there was no row.
    Lost,
    /// Moved from the directory into the bucket.
    Carried,
}

/// Which way bytes go. The order is that of the metric's label.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    In,
    Out,
}

/// What became of a look at a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Looked {
    Ready,
    Rejected(Rejection),
    Again,
}

/// Totals since the start, and how the store, the disk and what looks at files are.
#[derive(Debug, Default)]
pub struct MediaCounts {
    uploads: [AtomicU64; 4],
    looked: [AtomicU64; Rejection::ALL.len() + 2],
    bytes: [AtomicU64; 2],
    open: [AtomicU64; 2],
    links_refused: AtomicU64,
    redirects: AtomicU64,
    stuck: AtomicU64,
    /// By direction: of everybody, of the account; then too slow.
    transfers_refused: [AtomicU64; 6],
    swept: [AtomicU64; 5],
    deferred: AtomicU64,
    /// The store of rows.
    pub store: Health,
    /// The disk of bytes.
    pub files: Health,
    /// What looks at files. Apart from the disk, which works on while a scanner does not.
    pub looks: Health,
}

/// A transfer that is under way, until it is dropped.
pub(crate) struct Open<'a>(&'a AtomicU64);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl MediaCounts {
    pub(crate) fn upload(&self, outcome: UploadOutcome) {
        self.uploads[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn looked(&self, outcome: Looked) {
        let index = match outcome {
            Looked::Ready => 0,
            Looked::Rejected(why) => usize::from(why as u8),
            Looked::Again => Rejection::ALL.len() + 1,
        };
        self.looked[index].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn bytes(&self, direction: Direction, count: u64) {
        self.bytes[direction as usize].fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn opened(&self, direction: Direction) -> Open<'_> {
        let open = &self.open[direction as usize];
        open.fetch_add(1, Ordering::Relaxed);
        Open(open)
    }

    pub(crate) fn transfer_refused(&self, direction: Direction, full: Full) {
        let why = match full {
            Full::Everybody => 0,
            Full::Account => 1,
        };
        self.transfers_refused[direction as usize * 3 + why].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn transfer_slow(&self, direction: Direction) {
        self.transfers_refused[direction as usize * 3 + 2].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn link_refused(&self) {
        self.links_refused.fetch_add(1, Ordering::Relaxed);
    }

    /// So many files, or directories of them, are not carried into the bucket, because the disk does not give them; the first of them in `detail`.
    pub(crate) fn stuck(&self, count: u64, detail: &str) {
        match (self.stuck.swap(count, Ordering::Relaxed), count) {
            (0, 1..) => tracing::error!(
                event = "media_not_carried",
                count,
                detail,
                "the disk does not give files that are to go into the bucket"
            ),
            (1.., 0) => {
                tracing::info!(event = "media_carried_again", "all files can go into the bucket again")
            }
            _ => {}
        }
    }

    pub(crate) fn redirected(&self) {
        self.redirects.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn deferred(&self) {
        self.deferred.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn swept(&self, step: Swept, count: u64) {
        self.swept[step as usize].fetch_add(count, Ordering::Relaxed);
    }

    /// Files of which a step was done.
    #[cfg(test)]
    pub(crate) fn swept_so_far(&self, step: Swept) -> u64 {
        self.swept[step as usize].load(Ordering::Relaxed)
    }

    /// Notes how a call of the store ended.
    pub(crate) fn stored<T>(
        &self,
        result: &Result<T, StoreError>,
        fault: impl FnOnce() -> Option<StoreFault>,
    ) {
        match result {
            Ok(_) => {
                if let Turned::Good(after) = self.store.succeed() {
                    let seconds = after.as_secs();
                    tracing::info!(event = "media_store_back", seconds, "the store of media works again");
                }
            }
            Err(error) => {
                let (kind, detail) = match fault() {
                    Some(fault) => (fault.kind, fault.detail),
                    None => ("refused", format!("{error:?}")),
                };
                if self.store.fail(kind, &detail) == Turned::Bad {
                    tracing::error!(event = "media_store_failed", kind, detail, "the store of media fails");
                }
            }
        }
    }

    /// Notes how something on the disk ended.
    pub(crate) fn on_disk<T, E: std::fmt::Display>(&self, result: Result<T, E>) -> Result<T, E> {
        match &result {
            Ok(_) => {
                if let Turned::Good(after) = self.files.succeed() {
                    tracing::info!(
                        event = "media_files_back",
                        seconds = after.as_secs(),
                        "files can be kept again"
                    );
                }
            }
            Err(error) => {
                let detail = error.to_string();
                if self.files.fail("disk", &detail) == Turned::Bad {
                    tracing::error!(event = "media_files_failed", detail, "files cannot be kept");
                }
            }
        }
        result
    }

    /// Notes how a look at a file ended.
    pub(crate) fn seen(&self, result: Result<(), &str>) {
        match result {
            Ok(()) => {
                if let Turned::Good(after) = self.looks.succeed() {
                    let seconds = after.as_secs();
                    tracing::info!(event = "media_looks_back", seconds, "files can be looked at again");
                }
            }
            Err(detail) => {
                if self.looks.fail("look", detail) == Turned::Bad {
                    tracing::error!(event = "media_looks_failed", detail, "files cannot be looked at");
                }
            }
        }
    }

    /// Notes how something with bytes ended, which the bucket may have refused: that is told of the bucket itself.
    pub(crate) fn kept<T>(&self, result: Result<T, KeepError>) -> Result<T, KeepError> {
        match result {
            Err(KeepError::Bucket(_)) => result,
            other => self.on_disk(other),
        }
    }

    /// Adds the numbers to a scrape.
    pub fn add_to(&self, snapshot: &mut Snapshot) {
        for (metric, counts) in [
            (Metric::MediaUploads, &self.uploads[..]),
            (Metric::MediaLooked, &self.looked[..]),
            (Metric::MediaBytes, &self.bytes[..]),
            (Metric::MediaOpen, &self.open[..]),
            (Metric::MediaTransfersRefused, &self.transfers_refused[..]),
            (Metric::MediaSwept, &self.swept[..]),
        ] {
            for (index, count) in counts.iter().enumerate() {
                snapshot.add_at(metric, index, count.load(Ordering::Relaxed));
            }
        }
        snapshot.add(Metric::MediaRefusedLinks, self.links_refused.load(Ordering::Relaxed));
        snapshot.add(Metric::MediaRedirects, self.redirects.load(Ordering::Relaxed));
        snapshot.add(Metric::MediaDeferred, self.deferred.load(Ordering::Relaxed));
        let parts = [&self.store, &self.files, &self.looks];
        let degraded = parts.into_iter().any(|health| health.report().degraded.is_some());
        let stuck = self.stuck.load(Ordering::Relaxed);
        snapshot.add(Metric::MediaStuck, stuck);
        snapshot.add(Metric::MediaDegraded, u64::from(degraded || stuck > 0));
    }
}
