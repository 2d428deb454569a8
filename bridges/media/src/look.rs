//! Looking at what was uploaded: is it what it says, is it harmful, what does it tell that it should not, what are its small pictures?
//!
//! Thread: `media-look-N`, which may block; pictures are decoded in processes of their own (`lynk_compute`). Invariants: until a look ended well
//! nobody gets the bytes; a file that was refused loses them with the next sweep. A look that came to nothing (the disk, no process, a scanner
//! without an answer) is done again, for a day after the first such one of this process; time without the bucket does not count. Limits:
//! [`LOOKERS`] at a time, [`LOOKS_MAX`] wait, [`FAILED_MAX`] are known to have come to nothing. What can fail: see above.

use std::collections::{HashMap, HashSet};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lynk_api::Clock;
use lynk_blob::{BlobError, BucketError};
use lynk_bridge::{BridgeThread, spawn};
use lynk_compute::{BOXES, Images, MediaType, Prepared, Refused};
use lynk_domain::MediaId;
use lynk_model::media::{Media, MediaFacts, MediaState, Purpose, Rejection, Settled};
use tokio::sync::Notify;

use crate::blobs::{Blobs, KeepError};
use crate::counts::{Looked, MediaCounts};
use crate::desk::{Desk, Unasked};
use crate::options::{LOOK_GIVE_UP_MILLIS, LOOKERS, LOOKS_MAX, ScanOptions};
use crate::scan::{Found, scan};
use crate::staging::Staging;

/// Directory for what is made of files, in that of the files.
const WORK: &str = "work";

/// Files of which it is known since when looks come to nothing. One more is looked at for longer.
const FAILED_MAX: usize = 10_000;
const GIVE_UP: Duration = Duration::from_millis(LOOK_GIVE_UP_MILLIS);

/// Since when looks at files come to nothing.
#[derive(Default)]
struct Failed(Mutex<HashMap<MediaId, Instant>>);

impl Failed {
    fn since(&self) -> MutexGuard<'_, HashMap<MediaId, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A look came to nothing; whether it has been so for so long that there is no other.
    fn is_hopeless(&self, id: MediaId, now: Instant) -> bool {
        let mut since = self.since();
        if !since.contains_key(&id) && since.len() >= FAILED_MAX {
            // Who is looked at would have been given up by now.
            since.retain(|_, first| now.saturating_duration_since(*first) < 2 * GIVE_UP);
            if since.len() >= FAILED_MAX {
                return false;
            }
        }
        now.saturating_duration_since(*since.entry(id).or_insert(now)) >= GIVE_UP
    }

    /// It is over, or something else is in its way.
    fn forget(&self, id: MediaId) {
        self.since().remove(&id);
    }
}

/// Files that are to be looked at.
pub(crate) struct Looks {
    ask: SyncSender<Option<Box<Media>>>,
    /// Those that wait or are looked at, so that none is twice.
    asked: Mutex<HashSet<MediaId>>,
    /// Told each time a look ended.
    pub(crate) ended: Notify,
    stop: AtomicBool,
    failed: Failed,
    /// Whether a look ended without the bucket that it needs.
    pub(crate) without_bucket: AtomicBool,
}

impl Looks {
    fn asked(&self) -> MutexGuard<'_, HashSet<MediaId>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a file looked at. Without room the sweeper finds it later.
    pub(crate) fn ask(&self, media: Media) {
        let id = media.id;
        if self.asked().insert(id) && self.ask.try_send(Some(Box::new(media))).is_err() {
            self.asked().remove(&id);
        }
    }

    /// Ends the threads after what they are at.
    pub(crate) fn end(&self) {
        self.stop.store(true, Ordering::Release);
        for _ in 0..LOOKERS {
            // With a full queue they find the wish as soon as they look.
            let _full = self.ask.try_send(None);
        }
    }
}

/// What the threads work with.
#[derive(Clone)]
pub(crate) struct Looker {
    pub(crate) desk: Desk,
    pub(crate) blobs: Blobs,
    pub(crate) staging: Arc<Staging>,
    pub(crate) root: PathBuf,
    pub(crate) images: Images,
    pub(crate) scan: Option<ScanOptions>,
    pub(crate) counts: Arc<MediaCounts>,
    pub(crate) clock: Clock,
}

/// Why a look came to nothing.
enum Undone {
    /// It is tried again.
    Again(String),
    /// It is tried again for as long as it takes: the bucket does not take the file.
    Away,
    Rejected(Rejection),
}

impl From<io::Error> for Undone {
    fn from(error: io::Error) -> Self {
        Self::Again(error.to_string())
    }
}

impl From<BlobError> for Undone {
    fn from(error: BlobError) -> Self {
        Self::Again(error.to_string())
    }
}

impl From<KeepError> for Undone {
    fn from(error: KeepError) -> Self {
        match error {
            KeepError::Bucket(BucketError::Away(_) | BucketError::Refused(_) | BucketError::Shared(_)) => {
                Self::Away
            }
            other => Self::Again(other.to_string()),
        }
    }
}

/// A directory of one look; it goes with what is in it.
struct Work(PathBuf);

impl Work {
    fn new(root: &Path) -> io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let path = root.join(WORK).join(NUMBER.fetch_add(1, Ordering::Relaxed).to_string());
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // What cannot be removed goes with the next start.
        let _left = fs::remove_dir_all(&self.0);
    }
}

/// Makes the directory of all looks, without what an earlier process left in it.
///
/// # Errors
/// The disk refuses.
pub(crate) fn clear(root: &Path) -> io::Result<()> {
    let work = root.join(WORK);
    match fs::remove_dir_all(&work) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    DirBuilder::new().mode(0o700).create(work)
}

/// Starts the threads.
///
/// # Errors
/// No thread.
pub(crate) fn start(looker: &Looker) -> io::Result<(Arc<Looks>, Vec<BridgeThread>)> {
    let (ask, queue) = sync_channel(LOOKS_MAX);
    let looks = Arc::new(Looks {
        ask,
        asked: Mutex::default(),
        ended: Notify::new(),
        stop: AtomicBool::new(false),
        failed: Failed::default(),
        without_bucket: AtomicBool::new(false),
    });
    let queue = Arc::new(Mutex::new(queue));
    let mut threads = Vec::new();
    for number in 0..LOOKERS {
        let (looker, looks, queue) = (looker.clone(), Arc::clone(&looks), Arc::clone(&queue));
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        threads.push(spawn(&format!("media-look-{number}"), move |_| {
            while let Some(media) = next(&queue) {
                if looks.stop.load(Ordering::Acquire) {
                    return;
                }
                let id = media.id;
                looker.look(&runtime, &media, &looks);
                looks.asked().remove(&id);
                looks.ended.notify_waiters();
            }
        })?);
    }
    Ok((looks, threads))
}

fn next(queue: &Mutex<Receiver<Option<Box<Media>>>>) -> Option<Box<Media>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).recv().ok().flatten()
}

impl Looker {
    fn look(&self, runtime: &tokio::runtime::Runtime, media: &Media, looks: &Looks) {
        if self.blobs.bucket.is_some() {
            let id = media.id;
            // Somebody may have asked who did not know that it was looked at, and then its bytes are not here any more.
            match self.desk.ask_here(move |rows| rows.find(id)) {
                Ok(Some(row)) if row.state == MediaState::Scanning => {}
                Ok(_) => return looks.failed.forget(id),
                Err(_) => return self.counts.looked(Looked::Again),
            }
        }
        let now = (self.clock)().wall;
        let (settled, looked) = match self.examine(runtime, media, &looks.stop) {
            Ok(facts) => {
                self.counts.seen(Ok(()));
                (Settled::Ready(facts), Looked::Ready)
            }
            Err(Undone::Rejected(why)) => {
                self.counts.seen(Ok(()));
                (Settled::Rejected(why), Looked::Rejected(why))
            }
            // Whoever keeps the bucket has it done when the bucket is back, and the sweeper.
            Err(Undone::Away) => {
                looks.failed.forget(media.id);
                looks.without_bucket.store(true, Ordering::Release);
                return self.counts.looked(Looked::Again);
            }
            Err(Undone::Again(detail)) => {
                self.counts.seen(Err(&detail));
                self.counts.looked(Looked::Again);
                if !looks.failed.is_hopeless(media.id, Instant::now()) {
                    return;
                }
                let why = Rejection::NotScanned;
                (Settled::Rejected(why), Looked::Rejected(why))
            }
        };
        let id = media.id;
        match self.desk.ask_here(move |rows| rows.settle(id, &settled, now)) {
            Ok(row) => {
                if row.is_none_or(|row| row.state == MediaState::Doomed) {
                    // Its bytes may have gone already, before those that were just made.
                    let _next_time = self.counts.kept(self.blobs.delete(id));
                } else if matches!(settled, Settled::Ready(_)) {
                    let _next_round = self.counts.on_disk(self.blobs.clear(id));
                }
                self.staging.give(id);
                looks.failed.forget(id);
                self.counts.looked(looked);
                if let Looked::Rejected(why) = looked {
                    tracing::info!(event = "media_rejected", reason = why.word(), "a file was refused");
                }
            }
            // The sweeper finds it again.
            Err(Unasked::Busy | Unasked::Ended | Unasked::Store(_)) => self.counts.looked(Looked::Again),
        }
    }

    /// What is in a file, which has been made ready for others.
    fn examine(
        &self,
        runtime: &tokio::runtime::Runtime,
        media: &Media,
        stop: &AtomicBool,
    ) -> Result<MediaFacts, Undone> {
        if self.blobs.is_shut() {
            return Err(Undone::Away);
        }
        let path = self.blobs.directory.path_of(media.id);
        if let Some(options) = &self.scan {
            match scan(options, &path, stop) {
                Ok(Found::Clean) => {}
                Ok(Found::Infected) => return Err(Undone::Rejected(Rejection::Infected)),
                Err(detail) => return Err(Undone::Again(detail)),
            }
        }
        let declared = MediaType::parse(&media.kind).ok_or(Undone::Rejected(Rejection::UnknownType))?;
        let work = self.counts.on_disk(Work::new(&self.root))?;
        let prepared = runtime.block_on(self.images.prepare(path.clone(), work.0.clone(), declared));
        let prepared = prepared.map_err(refused)?;
        if media.purpose != Purpose::Attachment && prepared.thumbnails.is_empty() {
            return Err(Undone::Rejected(Rejection::OtherType));
        }
        let thumbnails = self.counts.on_disk(self.keep(media.id, &path, &prepared))?;
        self.blobs.put_away(media.id)?;
        Ok(MediaFacts {
            bytes: prepared.bytes,
            width: prepared.width.unwrap_or(0),
            height: prepared.height.unwrap_or(0),
            thumbnails,
        })
    }

    /// Puts what was made in its place. Small pictures first: a look that is done again finds the file that was uploaded, or the clean one.
    fn keep(&self, id: MediaId, uploaded: &Path, prepared: &Prepared) -> Result<u8, BlobError> {
        let mut bits = 0;
        for small in &prepared.thumbnails {
            let Some(index) = BOXES.iter().position(|fits| *fits == small.fits) else { continue };
            let index = u8::try_from(index).unwrap_or(u8::MAX);
            self.blobs.directory.adopt(id, index + 1, &small.path)?;
            bits |= 1 << index;
        }
        if prepared.path != uploaded {
            self.blobs.directory.adopt(id, 0, &prepared.path)?;
        }
        Ok(bits)
    }
}

fn refused(why: Refused) -> Undone {
    if why.is_temporary() {
        return Undone::Again(why.to_string());
    }
    Undone::Rejected(match why {
        Refused::UnknownType => Rejection::UnknownType,
        Refused::OtherType { .. } => Rejection::OtherType,
        Refused::TooLarge => Rejection::TooLarge,
        Refused::TimedOut => Rejection::TooSlow,
        _ => Rejection::Damaged,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_given_up_a_day_after_the_first_look_that_came_to_nothing() {
        let failed = Failed::default();
        let (id, start) = (MediaId([1; 16]), Instant::now());
        // However long it has been there.
        assert!(!failed.is_hopeless(id, start));
        assert!(!failed.is_hopeless(id, start + GIVE_UP - Duration::from_secs(1)));
        assert!(failed.is_hopeless(id, start + GIVE_UP));
        // The bucket was in the way meanwhile.
        failed.forget(id);
        assert!(!failed.is_hopeless(id, start + GIVE_UP));
        assert!(failed.is_hopeless(id, start + 2 * GIVE_UP));
    }

    #[test]
    fn what_is_known_of_looks_has_a_limit() {
        let (failed, start) = (Failed::default(), Instant::now());
        let id = |n: usize| MediaId((n as u128).to_be_bytes());
        for n in 0..FAILED_MAX + 5 {
            assert!(!failed.is_hopeless(id(n), start));
        }
        assert_eq!(failed.since().len(), FAILED_MAX);
        assert!(failed.is_hopeless(id(7), start + GIVE_UP));
        assert!(!failed.is_hopeless(id(FAILED_MAX), start + 2 * GIVE_UP), "it has room now");
        assert_eq!(failed.since().len(), 1);
    }
}
