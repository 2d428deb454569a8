//! Pictures and files over HTTP: an upload is announced, checked and given a link; its bytes come in pieces, are looked at, and are read by links
//! that are good for minutes and for one person.
//!
//! Where there is a bucket, files go into it when they were looked at, and are read from it.
//!
//! Thread: handlers run on the API's runtime and wait without blocking it. Rows are asked for on `media`, files are written and read on
//! `media-disk-N`, and looked at on `media-look-N`; `media-porter` and `s3` keep a bucket.
//!
//! Invariants: limits are checked before a link to upload is made; nobody gets bytes before they were looked at; whoever reads is asked for twice, when the
//! link is made and when it is used; no other memory than [`MediaOptions::memory_bytes_max`] grows with what comes and goes. What is left of a crash
//! at any moment is removed by the next start or the sweeper.
//!
//! Limits: [`MediaOptions`]. What can fail: starting; afterwards the store, the disk, and what looks at files.

#![forbid(unsafe_code)]

mod avatars;
mod blobs;
mod counts;
mod desk;
mod download;
mod files;
mod handlers;
mod keep;
mod look;
mod lost;
mod operations;
mod options;
mod porter;
mod rights;
mod scan;
mod shares;
mod staging;
mod sweep;
mod upload;
mod wire;

use std::collections::HashSet;
use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::FromRef;
use lynk_api::accounts::{Blocks, NoBlocks};
use lynk_api::{ApiError, Authority, Clock};
use lynk_blob::{BlobError, Bucket, BucketError, BucketThread, Directory, Links};
use lynk_bridge::{BridgeThread, spawn};
use lynk_compute::{ComputeThreads, ImageCounts, Images, ImagesOptions};
use lynk_domain::MediaId;
use lynk_model::media::Media;
use lynk_model::port::{LastFault, MediaStore};
use lynk_protocol::{ErrorCode, Reject};
use tokio::runtime::Runtime;

use crate::blobs::{Blobs, Claim};
use crate::counts::Direction;
use crate::desk::{Desk, Stored};
use crate::look::{Looker, Looks};
use crate::lost::Lost;
use crate::options::DISK_THREADS;
use crate::porter::Porter;
use crate::shares::{Full, Shares};
use crate::staging::Staging;
use crate::sweep::Sweeper;

pub use avatars::MediaAvatars;
pub use blobs::Claimed;
pub use counts::MediaCounts;
pub use files::MediaFiles;
pub use handlers::router;
pub use keep::{Keep, Kept};
pub use operations::operations;
pub use options::{MediaOptions, ScanOptions};

/// Time that work on the disk has at the end.
const DISK_END: Duration = Duration::from_secs(5);

/// What the bridge is made of.
pub struct MediaParts<S> {
    /// Rows.
    pub store: S,
    /// The runtime of the store's connections.
    pub runtime: Runtime,
    /// What may be uploaded.
    pub options: MediaOptions,
    /// Where files go that were looked at, if not into the directory; and its thread.
    pub bucket: Option<(Bucket, BucketThread)>,
    /// What the bucket shall be named after: one name for each set of rows.
    pub name: String,
    /// Called when the bucket was found to carry that name, before the first file goes there.
    pub claimed: Claimed,
    /// How pictures are decoded.
    pub images: ImagesOptions,
    /// The time.
    pub clock: Clock,
}

impl<S> std::fmt::Debug for MediaParts<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MediaParts").field("options", &self.options).finish_non_exhaustive()
    }
}

/// The running bridge.
pub struct MediaBridge {
    thread: BridgeThread,
    lookers: Vec<BridgeThread>,
    bucket: Option<BucketParts>,
    images: Option<(Images, ComputeThreads)>,
    disk: Runtime,
    shared: Arc<Shared>,
    image_counts: Arc<ImageCounts>,
    keep: Keep,
}

/// A bucket with its threads.
struct BucketParts {
    bucket: Bucket,
    thread: BucketThread,
    porter: BridgeThread,
    end: SyncSender<()>,
}

/// What handlers work with, beside who asks.
pub(crate) struct Shared {
    pub(crate) options: MediaOptions,
    pub(crate) desk: Desk,
    pub(crate) blobs: Blobs,
    pub(crate) staging: Arc<Staging>,
    pub(crate) looks: Arc<Looks>,
    pub(crate) disk: tokio::runtime::Handle,
    pub(crate) counts: Arc<MediaCounts>,
    pub(crate) clock: Clock,
    pub(crate) uploads: Shares,
    pub(crate) downloads: Shares,
    uploading: Mutex<HashSet<MediaId>>,
}

impl Shared {
    fn uploading(&self) -> MutexGuard<'_, HashSet<MediaId>> {
        self.uploading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work` on a thread that may block on the disk.
    pub(crate) async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
    ) -> Result<T, BlobError> {
        // It does not panic, and ends with the process alone.
        let result = self.disk.spawn_blocking(work).await;
        result.unwrap_or_else(|_| Err(BlobError::Disk(io::Error::other("the server ends"))))
    }

    /// What is said of a transfer that gets no place.
    pub(crate) fn full(&self, direction: Direction, full: Full) -> ApiError {
        self.counts.transfer_refused(direction, full);
        let (what, all, own, wait) = match direction {
            Direction::In => {
                ("uploads", self.options.uploads_max, self.options.uploads_per_account_max, 2_000)
            }
            Direction::Out => {
                ("downloads", self.options.downloads_max, self.options.downloads_per_account_max, 1_000)
            }
        };
        let detail = match full {
            Full::Everybody => format!("{all} {what} of everybody are under way; come back"),
            Full::Account => format!("{own} {what} of this account are under way: let one end"),
        };
        let detail = detail.into();
        Reject { code: ErrorCode::Busy, detail, retry_after_millis: Some(wait) }.into()
    }

    /// A file's row.
    pub(crate) async fn row(&self, id: MediaId) -> Result<Option<Media>, ApiError> {
        self.desk.ask(move |rows| rows.find(id)).await.map_err(|unasked| Reject::from(unasked).into())
    }
}

/// What is said of a disk that does not do it.
pub(crate) fn of_disk(error: &BlobError) -> ApiError {
    match error {
        BlobError::Full => ErrorCode::StorageFull.into(),
        BlobError::Length { .. } => {
            ApiError::because(ErrorCode::BadRequest, "fewer bytes came than were announced, or more")
        }
        BlobError::Missing => missing(),
        _ => ApiError::after(ErrorCode::Unavailable, 1_000),
    }
}

/// What is said of a bucket that does not do it.
pub(crate) fn of_bucket(error: &BucketError) -> ApiError {
    match error {
        BucketError::Missing => missing(),
        _ => ApiError::after(ErrorCode::Unavailable, 1_000),
    }
}

/// There is no such file, or it is not for whoever asks.
pub(crate) fn missing() -> ApiError {
    ApiError::because(ErrorCode::AttachmentNotFound, "there is no such file, or it is not for you")
}

impl MediaBridge {
    /// Starts the threads, and removes what an earlier process left unfinished.
    ///
    /// # Errors
    /// The disk, or no thread.
    pub fn start<S>(parts: MediaParts<S>) -> Result<Self, BlobError>
    where
        S: MediaStore + LastFault + Send + 'static,
    {
        let MediaParts { store, runtime, options, bucket, name, claimed, images, clock } = parts;
        let directory = Directory::open(&options.directory)?;
        let claim = Arc::new(Claim::new(name, claimed));
        let blobs = Blobs { directory, bucket: bucket.as_ref().map(|(bucket, _)| bucket.clone()), claim };
        let staging = Arc::new(Staging::new(bucket.is_some().then_some(options.staging_bytes_max)));
        look::clear(&options.directory)?;
        let counts = Arc::<MediaCounts>::default();
        let disk = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(DISK_THREADS)
            .thread_name("media-disk")
            .build()?;
        let (images, image_threads) = Images::start(images)?;
        let image_counts = Arc::clone(images.counts());
        let (desk, queue) = Desk::new();
        let looker = Looker {
            desk: desk.clone(),
            blobs: blobs.clone(),
            staging: Arc::clone(&staging),
            root: options.directory.clone(),
            images: images.clone(),
            scan: options.scan.clone(),
            counts: Arc::clone(&counts),
            clock: Arc::clone(&clock),
        };
        let (looks, lookers) = look::start(&looker)?;
        drop(looker);
        let every = options.sweep;
        let keep = Keep::default();
        let mut sweeper = Sweeper {
            options: options.clone(),
            directory: blobs.directory.clone(),
            looks: Arc::clone(&looks),
            counts: Arc::clone(&counts),
            clock: Arc::clone(&clock),
            first: true,
            lost: bucket.is_none().then(Lost::default),
            keep: keep.clone(),
            staging: Arc::clone(&staging),
            has_bucket: bucket.is_some(),
        };
        let mut rows = Stored { store, runtime, counts: Arc::clone(&counts) };
        let thread = spawn("media", move |_| queue.run(&mut rows, every, |rows| sweeper.sweep(rows)))?;
        let bucket = match bucket {
            None => None,
            Some((bucket, thread)) => {
                let porter = Porter {
                    desk: desk.clone(),
                    blobs: blobs.clone(),
                    bucket: bucket.clone(),
                    looks: Arc::clone(&looks),
                    staging: Arc::clone(&staging),
                    counts: Arc::clone(&counts),
                    keep: keep.clone(),
                    uncounted: 0,
                    lost_here: Some(Lost::default()),
                    lost_there: Some(Lost::default()),
                    away: false,
                    again: (Instant::now(), porter::PAUSE),
                    waiting: true,
                    more: false,
                };
                let (end, ended) = sync_channel(1);
                let porter = spawn("media-porter", move |_| porter.run(every, &ended))?;
                Some(BucketParts { bucket, thread, porter, end })
            }
        };
        let shared = Arc::new(Shared {
            uploads: Shares::new(options.uploads_max, options.uploads_per_account_max),
            downloads: Shares::new(options.downloads_max, options.downloads_per_account_max),
            options,
            desk,
            blobs,
            staging,
            looks,
            disk: disk.handle().clone(),
            counts,
            clock,
            uploading: Mutex::default(),
        });
        let images = Some((images, image_threads));
        Ok(Self { thread, lookers, bucket, images, disk, shared, image_counts, keep })
    }

    /// What handlers work with. `blocks` knows who may see whose profile.
    #[must_use]
    pub fn state(&self, authority: Authority, links: Links, blocks: Arc<dyn Blocks>) -> MediaApi {
        MediaApi { shared: Some(Arc::clone(&self.shared)), authority, links: Arc::new(links), blocks }
    }

    /// Pictures of accounts.
    #[must_use]
    pub fn avatars(&self) -> MediaAvatars {
        let Shared { desk, clock, counts, .. } = &*self.shared;
        MediaAvatars::new(desk.clone(), Arc::clone(clock), Arc::clone(counts))
    }

    /// Files as messages carry them.
    #[must_use]
    pub fn files(&self) -> MediaFiles {
        let Shared { desk, clock, counts, .. } = &*self.shared;
        MediaFiles::new(desk.clone(), Arc::clone(clock), Arc::clone(counts))
    }

    /// What is counted.
    #[must_use]
    pub fn counts(&self) -> &Arc<MediaCounts> {
        &self.shared.counts
    }

    /// What is counted of pictures.
    #[must_use]
    pub fn image_counts(&self) -> &Arc<ImageCounts> {
        &self.image_counts
    }

    /// By which bytes stay while they are copied.
    #[must_use]
    pub fn keep(&self) -> &Keep {
        &self.keep
    }

    /// The bucket, where files are kept in one.
    #[must_use]
    pub fn bucket(&self) -> Option<&Bucket> {
        self.bucket.as_ref().map(|parts| &parts.bucket)
    }

    /// Tells bytes that wait in the directory for the bucket.
    pub fn staged(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let staging = Arc::clone(&self.shared.staging);
        move || staging.bytes()
    }

    /// Ends the threads. What was not looked at is looked at by the next start.
    pub fn finish(mut self) {
        self.shared.looks.end();
        if let Some(BucketParts { thread, end, .. }) = &self.bucket {
            thread.end();
            // A full channel has told it.
            let _told = end.try_send(());
        }
        for looker in self.lookers {
            looker.join();
        }
        if let Some((images, threads)) = self.images.take() {
            drop(images);
            threads.join();
        }
        // It asks for rows to its end.
        let bucket = self.bucket.map(|BucketParts { thread, porter, .. }| {
            porter.join();
            thread
        });
        self.shared.desk.end();
        self.thread.join();
        if let Some(thread) = bucket {
            thread.join();
        }
        self.disk.shutdown_timeout(DISK_END);
    }
}

/// What handlers work with.
#[derive(Clone)]
pub struct MediaApi {
    shared: Option<Arc<Shared>>,
    authority: Authority,
    links: Arc<Links>,
    blocks: Arc<dyn Blocks>,
}

impl MediaApi {
    /// Of a server that keeps no files.
    #[must_use]
    pub fn none(authority: Authority) -> Self {
        let (links, blocks) = (Arc::new(Links::new(&[0; 32], &[])), Arc::new(NoBlocks));
        Self { shared: None, authority, links, blocks }
    }

    /// Where readers are sent on to by links, and pages load from: scheme, host and port. `None` where all bytes go through the server.
    #[must_use]
    pub fn elsewhere(&self) -> Option<String> {
        let shared = self.shared.as_ref().filter(|shared| shared.options.presigned.is_some())?;
        shared.blobs.bucket.as_ref().map(Bucket::public_origin)
    }

    pub(crate) fn shared(&self) -> Result<&Arc<Shared>, ApiError> {
        let none = || ApiError::because(ErrorCode::Unavailable, "this server keeps no files");
        self.shared.as_ref().ok_or_else(none)
    }
}

impl std::fmt::Debug for MediaApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MediaApi").field("shared", &self.shared.is_some()).finish_non_exhaustive()
    }
}

impl FromRef<MediaApi> for Authority {
    fn from_ref(state: &MediaApi) -> Self {
        state.authority.clone()
    }
}
