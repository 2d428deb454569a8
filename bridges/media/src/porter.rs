//! What is done with a bucket beside looks and downloads: files that are ready and still in the directory are carried over, what nobody needs is
//! removed from it, objects of which no row tells go, and looks that wait for it are done when it is back.
//!
//! Files that are ready are in the directory after a crash between the last part and the removal here, and all of them when a server that kept files in
//! its directory is given a bucket.
//!
//! Thread: `media-porter`, so that a slow bucket holds up no operation. Rows are asked for on `media`. Invariants: nothing is removed from the directory
//! before the bucket has it; each round begins with whose name the bucket carries, and does nothing there while it is another's. Limits: [`ROUND_FILES`] files of each
//! kind in a round. What can fail: the rows, the disk, the bucket; the next round goes on. A file that the disk does not give holds up no other, and is
//! counted until it does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use lynk_blob::{Bucket, BucketError, Directory};
use lynk_domain::{MediaId, Millis};
use lynk_model::media::{Media, MediaState};

use crate::blobs::{Blobs, KeepError};
use crate::counts::{MediaCounts, Swept};
use crate::desk::{Desk, Unasked};
use crate::keep::Keep;
use crate::look::Looks;
use crate::lost::Lost;
use crate::options::SWEEP_FILES;
use crate::staging::Staging;

/// Files of each kind in one round, about.
const ROUND_FILES: usize = 1_000;
/// Looks that are asked for at a time; fewer than may wait.
const WAITING_FILES: u32 = 500;
/// Lists of the bucket in one round.
const LISTS: u32 = 16;
/// Rows that are asked for at a time.
const ASKED_AT_A_TIME: usize = 100;
/// Time between two looks whether a bucket that was away is back, and whether it is.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// Longest pause before looks are done again that ended without the bucket.
const AGAIN_MAX: Duration = Duration::from_secs(60);

/// What the thread works with.
pub(crate) struct Porter {
    pub(crate) desk: Desk,
    pub(crate) blobs: Blobs,
    pub(crate) bucket: Bucket,
    pub(crate) looks: Arc<Looks>,
    pub(crate) staging: Arc<Staging>,
    pub(crate) counts: Arc<MediaCounts>,
    pub(crate) keep: Keep,
    /// The directory from which on files that an earlier process took are to be counted.
    pub(crate) uncounted: usize,
    /// Looks for bytes without a row, until they are over: in the directory, and in the bucket.
    pub(crate) lost_here: Option<Lost>,
    pub(crate) lost_there: Option<Lost>,
    /// Whether the bucket was away in the last round.
    pub(crate) away: bool,
    /// From when on waiting looks may be done again, and the pause after that.
    pub(crate) again: (Instant, Duration),
    /// Whether files may wait to be looked at.
    pub(crate) waiting: bool,
    /// Whether the last round left files in the directory that are ready.
    pub(crate) more: bool,
}

/// What the disk did not give in a round.
#[derive(Default)]
struct Stuck {
    count: u64,
    first: Option<String>,
}

impl Stuck {
    fn note(&mut self, what: impl FnOnce() -> String) {
        self.count += 1;
        self.first.get_or_insert_with(what);
    }
}

impl Porter {
    /// Works until the end is told, or nobody can tell it any more.
    pub(crate) fn run(mut self, every: Duration, end: &Receiver<()>) {
        loop {
            // What failed was counted where it did, and is done by the next one.
            let _later = self.round();
            let pause = match (self.away, std::mem::take(&mut self.more)) {
                (false, true) => Duration::ZERO,
                (false, false) if !self.waiting => every,
                _ => every.min(PAUSE),
            };
            let until = Instant::now() + pause;
            loop {
                let left = until.saturating_duration_since(Instant::now());
                if !matches!(end.recv_timeout(left.min(PAUSE)), Err(RecvTimeoutError::Timeout)) {
                    return;
                }
                self.away |= self.looks.without_bucket.swap(false, Ordering::AcqRel);
                if left <= PAUSE || self.away {
                    break;
                }
            }
        }
    }

    fn round(&mut self) -> Result<(), Unasked> {
        self.count()?;
        let bucket = self.bucket.clone();
        if bucket.wait(bucket.check()).is_err() || !self.own() {
            self.away = true;
            return Ok(());
        }
        if self.away {
            // Where it answers and takes nothing, looks would be done for nothing all the time.
            if Instant::now() < self.again.0 {
                return Ok(());
            }
            self.again = (Instant::now() + self.again.1, (self.again.1 * 2).min(AGAIN_MAX));
            (self.away, self.waiting) = (false, true);
        } else {
            self.again.1 = PAUSE;
        }
        if self.waiting {
            self.waiting = self.look_again()?;
        }
        // What cannot be given up now is in a later round.
        match bucket.wait(bucket.give_up_left()) {
            // Who may not give up parts may put files all the same.
            Ok(_) | Err(BucketError::Refused(_)) => {}
            Err(_) => self.away = true,
        }
        self.carry()?;
        self.remove()?;
        self.forget()?;
        self.lose()
    }

    fn rows(&self, ids: &[MediaId]) -> Result<Vec<Media>, Unasked> {
        let ids = ids.to_vec();
        self.desk.ask_here(move |rows| rows.find_all(&ids))
    }

    /// Counts what an earlier process took and did not put away.
    fn count(&mut self) -> Result<(), Unasked> {
        let (blobs, counts, desk) = (&self.blobs, &self.counts, &self.desk);
        let mut list = |first| counts.on_disk(blobs.directory.ids(first)).unwrap_or_default();
        let mut rows = |ids: &[MediaId]| {
            let ids = ids.to_vec();
            desk.ask_here(move |rows| rows.find_all(&ids))
        };
        self.staging.count(&mut self.uncounted, &mut list, &mut rows)?;
        self.more |= u8::try_from(self.uncounted).is_ok();
        Ok(())
    }

    /// Whether the bucket carries this server's name.
    fn own(&self) -> bool {
        match self.blobs.claim() {
            Ok(()) => true,
            Err(error) => {
                if let BucketError::Disk(detail) = error {
                    let _told = self.counts.on_disk::<(), _>(Err(detail));
                }
                false
            }
        }
    }

    /// Has looks done that ended without the bucket; whether there may be more.
    fn look_again(&self) -> Result<bool, Unasked> {
        let waiting = self.desk.ask_here(|rows| rows.scanning(Millis(u64::MAX >> 1), WAITING_FILES))?;
        let more = waiting.len() == WAITING_FILES as usize;
        for media in waiting {
            self.looks.ask(media);
        }
        Ok(more)
    }

    /// Carries over what is ready and in the directory.
    fn carry(&mut self) -> Result<(), Unasked> {
        let (mut carried, mut stuck, mut through) = (0, Stuck::default(), true);
        for first in 0..=u8::MAX {
            let ids = match self.blobs.directory.ids(first) {
                Ok(ids) => ids,
                Err(error) => {
                    stuck.note(|| format!("{first:02x}: {error}"));
                    continue;
                }
            };
            for some in ids.chunks(ASKED_AT_A_TIME) {
                for media in self.rows(some)? {
                    if media.state != MediaState::Ready {
                        continue;
                    }
                    match self.blobs.put_away(media.id) {
                        Ok(()) => {}
                        // Whoever looked at it has put it there just now.
                        Err(KeepError::Bucket(BucketError::Missing)) => continue,
                        Err(error @ (KeepError::Disk(_) | KeepError::Bucket(BucketError::Disk(_)))) => {
                            stuck.note(|| format!("{}: {error}", Directory::relative(media.id, 0)));
                            continue;
                        }
                        Err(KeepError::Bucket(_)) => {
                            self.away = true;
                            return Ok(());
                        }
                    }
                    let _next_round = self.counts.on_disk(self.blobs.clear(media.id));
                    self.staging.give(media.id);
                    self.counts.swept(Swept::Carried, 1);
                    carried += 1;
                }
            }
            if carried >= ROUND_FILES {
                (self.more, through) = (true, false);
                break;
            }
        }
        // A round that ended early did not come to all of them: it does not say that there is none.
        if through || stuck.count > 0 {
            self.counts.stuck(stuck.count, stuck.first.as_deref().unwrap_or_default());
        }
        Ok(())
    }

    /// Removes the bytes of what nobody needs.
    fn remove(&mut self) -> Result<(), Unasked> {
        for _ in 0..ROUND_FILES.div_ceil(SWEEP_FILES as usize) {
            // What is looked for while nobody copies may go: whoever begins to copy waits for the end of this.
            let Some(_removing) = self.keep.may_remove() else { return Ok(()) };
            let doomed = self.desk.ask_here(|rows| rows.doomed(SWEEP_FILES))?;
            let mut gone = Vec::with_capacity(doomed.len());
            for media in &doomed {
                match self.blobs.delete(media.id) {
                    Ok(()) => gone.push(media.id),
                    Err(_) => {
                        self.away = self.bucket.counts().degraded().is_some();
                        break;
                    }
                }
            }
            if gone.is_empty() {
                return Ok(());
            }
            let count = gone.len() as u64;
            self.desk.ask_here(move |rows| rows.emptied(&gone))?;
            self.counts.swept(Swept::Emptied, count);
        }
        Ok(())
    }

    /// Gives room back that files had which did not come so far.
    fn forget(&self) -> Result<(), Unasked> {
        for some in self.staging.ids().chunks(ASKED_AT_A_TIME) {
            let rows = self.rows(some)?;
            for id in some {
                let waits = |media: &Media| matches!(media.state, MediaState::Pending | MediaState::Scanning);
                if !rows.iter().any(|media| media.id == *id && waits(media)) {
                    self.staging.give(*id);
                }
            }
        }
        Ok(())
    }

    /// Looks for bytes of which no row tells.
    fn lose(&mut self) -> Result<(), Unasked> {
        let (blobs, counts, desk) = (self.blobs.clone(), Arc::clone(&self.counts), self.desk.clone());
        let mut known = |ids: &[MediaId]| {
            let ids = ids.to_vec();
            desk.ask_here(move |rows| rows.find_all(&ids))
        };
        let mut delete = |id| blobs.delete(id).is_ok();
        if let Some(lost) = &mut self.lost_here
            && lost.look(
                &mut known,
                &mut |first| counts.on_disk(blobs.directory.ids(first)).ok(),
                &mut delete,
                &counts,
            )?
        {
            self.lost_here = None;
        }
        if self.lost_there.is_none() {
            return Ok(());
        }
        let bucket = &self.bucket;
        let mut lists = 0;
        let mut list = |first| {
            lists += 1;
            if lists > LISTS { None } else { bucket.wait(bucket.ids(first)).ok() }
        };
        if let Some(lost) = &mut self.lost_there
            && lost.look(&mut known, &mut list, &mut delete, &counts)?
        {
            self.lost_there = None;
        }
        // Removals are not to wait for all of it.
        self.more |= self.lost_there.is_some();
        Ok(())
    }
}
