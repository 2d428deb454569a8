//! The sweeper: what nobody finished or used is doomed, what is doomed or refused loses its bytes, rows that say nothing any more are forgotten, and
//! what was not looked at is looked at again. After a start, bytes of which no row tells go ([`Lost`]).
//!
//! Thread: `media`, between two operations. Bytes go before their row says so: a crash in between makes the next sweep do it again. Limits: some
//! batches a sweep, so that operations get their turn. What can fail: the store and the disk; the next sweep goes on.

use std::sync::Arc;

use lynk_api::Clock;
use lynk_blob::Directory;
use lynk_domain::{MediaId, Millis};
use lynk_model::StoreError;

use crate::counts::{MediaCounts, Swept};
use crate::desk::Rows;
use crate::keep::Keep;
use crate::look::Looks;
use crate::lost::Lost;
use crate::options::{LOOK_AGAIN_MILLIS, MediaOptions, SWEEP_FILES};
use crate::staging::Staging;

/// Batches of each kind in one sweep.
const BATCHES: u32 = 10;

/// What a sweep works with.
pub(crate) struct Sweeper {
    pub(crate) options: MediaOptions,
    pub(crate) directory: Directory,
    pub(crate) looks: Arc<Looks>,
    pub(crate) counts: Arc<MediaCounts>,
    pub(crate) clock: Clock,
    /// Whether it is the first since the start: nothing is looked at yet.
    pub(crate) first: bool,
    /// The look for bytes without a row, until it is over.
    pub(crate) lost: Option<Lost>,
    /// Somebody may be copying bytes.
    pub(crate) keep: Keep,
    /// What waits for a bucket. Where there is one, bytes are removed by the thread that keeps it.
    pub(crate) staging: Arc<Staging>,
    pub(crate) has_bucket: bool,
}

impl Sweeper {
    pub(crate) fn sweep(&mut self, rows: &mut dyn Rows) {
        // What failed was counted where it did, and is done by the next one.
        let _later = self.work(rows);
    }

    fn work(&mut self, rows: &mut dyn Rows) -> Result<(), StoreError> {
        let now = (self.clock)().wall;
        let before = |age: u64| Millis(now.0.saturating_sub(age));
        let again =
            if std::mem::take(&mut self.first) { Millis(now.0 + 1) } else { before(LOOK_AGAIN_MILLIS) };
        for media in rows.scanning(again, SWEEP_FILES)? {
            self.staging.found(media.id, media.facts.bytes);
            self.looks.ask(media);
        }
        let (pending, unused) = (before(self.options.unfinished_millis), before(self.options.unused_millis));
        self.until_none(Swept::Doomed, || rows.doom_orphans(pending, unused, now))?;
        // What is looked for while nobody copies may go: whoever begins to copy waits for the end of this.
        let removing = if self.has_bucket { None } else { self.keep.may_remove() };
        for _ in 0..if removing.is_some() { BATCHES } else { 0 } {
            let doomed = rows.doomed(SWEEP_FILES)?;
            let mut gone = Vec::with_capacity(doomed.len());
            for media in &doomed {
                if self.counts.on_disk(self.directory.delete(media.id)).is_ok() {
                    gone.push(media.id);
                }
            }
            if gone.is_empty() {
                break;
            }
            rows.emptied(&gone)?;
            self.counts.swept(Swept::Emptied, gone.len() as u64);
        }
        drop(removing);
        self.until_none(Swept::Forgotten, || rows.forget(now))?;
        let Self { lost, directory, counts, .. } = self;
        let mut known = |ids: &[MediaId]| rows.find_all(ids);
        let mut list = |first| counts.on_disk(directory.ids(first)).ok();
        let mut delete = |id| counts.on_disk(directory.delete(id)).is_ok();
        if let Some(looked) = lost
            && looked.look(&mut known, &mut list, &mut delete, counts)?
        {
            *lost = None;
        }
        Ok(())
    }

    fn until_none(
        &self,
        step: Swept,
        mut batch: impl FnMut() -> Result<u32, StoreError>,
    ) -> Result<(), StoreError> {
        for _ in 0..BATCHES {
            match batch()? {
                0 => break,
                count => self.counts.swept(step, count.into()),
            }
        }
        Ok(())
    }
}
