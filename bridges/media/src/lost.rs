//! Bytes of which no row tells, looked for once after each start.
//!
//! A process that ends at the wrong moment may leave some: bytes came, or small pictures were made, after their upload had been given up and emptied,
//! and whoever made them did not get to see that. Nothing else names them.
//!
//! Thread: `media`, in the sweeps after a start, or that of whoever keeps a bucket. Rows are there before their bytes come and are kept longer, so that what has no row once
//! has none for ever. Limits: [`LOOKED_AT_A_TIME`] blobs a sweep; [`LOST_MAX`] are removed after one start, the others after the next. When more
//! bytes than a few have no row, and fewer have one, the rows are rather those of other bytes: nothing is removed, and the log says so. What can fail:
//! the store and the disk; the next sweep goes on.

use lynk_domain::MediaId;
use lynk_model::media::Media;

use crate::counts::{MediaCounts, Swept};

/// Blobs that one sweep looks at before others get their turn, at least: a whole directory more.
const LOOKED_AT_A_TIME: usize = 2_000;
/// Rows that are asked for at a time.
const ASKED_AT_A_TIME: usize = 100;
/// Lost blobs that are remembered.
const LOST_MAX: usize = 1_000;
/// Lost blobs that are removed however few rows there are.
const LOST_FEW: usize = 16;

/// Rows of what was asked for.
pub(crate) type Rows<E> = Result<Vec<Media>, E>;

/// How far the look is.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    /// The directory to look into next.
    next: usize,
    /// Blobs with rows.
    known: usize,
    /// Blobs without, and the first of them, which are removed.
    lost: usize,
    found: Vec<MediaId>,
}

impl Lost {
    /// Goes on; whether it is over. `known_of` finds rows, `list` has the blobs of a first byte, `delete` removes one.
    ///
    /// # Errors
    /// Of rows. What is not listed is tried again.
    pub(crate) fn look<E>(
        &mut self,
        known_of: &mut dyn FnMut(&[MediaId]) -> Rows<E>,
        list: &mut dyn FnMut(u8) -> Option<Vec<MediaId>>,
        delete: &mut dyn FnMut(MediaId) -> bool,
        counts: &MediaCounts,
    ) -> Result<bool, E> {
        let mut looked = 0;
        while let Ok(first) = u8::try_from(self.next) {
            if looked >= LOOKED_AT_A_TIME {
                return Ok(false);
            }
            let Some(ids) = list(first) else { return Ok(false) };
            looked += ids.len();
            let (mut known, mut found) = (0, Vec::new());
            for some in ids.chunks(ASKED_AT_A_TIME) {
                let there = known_of(some)?;
                let is_known = |id: &MediaId| there.iter().any(|media| media.id == *id && !is_empty(media));
                let (with, without): (Vec<MediaId>, Vec<MediaId>) = some.iter().copied().partition(is_known);
                known += with.len();
                found.extend(without);
            }
            self.known += known;
            self.lost += found.len();
            self.found.extend(found);
            self.found.truncate(LOST_MAX);
            self.next += 1;
        }
        self.remove(delete, counts);
        Ok(true)
    }

    fn remove(&self, delete: &mut dyn FnMut(MediaId) -> bool, counts: &MediaCounts) {
        let (lost, known) = (self.lost, self.known);
        if lost > LOST_FEW && lost > known {
            tracing::warn!(
                event = "media_rows_missing",
                lost,
                known,
                "more files are kept without a row than with one: is this the store of media that belongs to them? None is removed"
            );
            return;
        }
        for id in &self.found {
            if delete(*id) {
                counts.swept(Swept::Lost, 1);
            }
        }
        if lost > 0 {
            let lost = self.found.len();
            tracing::info!(event = "media_lost_removed", lost, "bytes of which no row told are removed");
        }
    }
}

/// Whether a row says that its bytes are gone.
fn is_empty(media: &Media) -> bool {
    media.state.is_over() && media.emptied
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use lynk_blob::Directory;
    use lynk_domain::{Millis, RoomId, UserId};
    use lynk_model::media::{MediaFacts, MediaState, Purpose};
    use lynk_model::memory::MemoryMedia;

    use super::*;
    use crate::desk::{Rows as _, Stored};

    fn id(n: u8) -> MediaId {
        let mut id = [n; 16];
        id[0] = n % 4;
        MediaId(id)
    }

    fn row(n: u8, state: MediaState, emptied: bool) -> Media {
        Media {
            id: id(n),
            owner: UserId([1; 16]),
            room: RoomId::NIL,
            purpose: Purpose::Avatar,
            name: String::new(),
            kind: "image/png".to_owned(),
            facts: MediaFacts::default(),
            state,
            created: Millis(1),
            changed: Millis(1),
            attached: None,
            leaves: None,
            seq: None,
            emptied,
        }
    }

    /// What is left of blobs of these numbers, of which some have rows, and how many were counted as lost.
    fn left(path: &Path, blobs: &[u8], with: &[Media]) -> (Vec<u8>, u64) {
        let directory = Directory::open(&path.join("blobs")).expect("opens");
        for n in blobs {
            // Of every third only a small picture was made.
            let mut upload = directory.begin(id(*n), u8::from(n % 3 == 0), 1).expect("begins");
            upload.write(b"x").expect("takes it");
            upload.finish().expect("finishes");
        }
        let counts = Arc::<MediaCounts>::default();
        let store = MemoryMedia { rows: with.iter().map(|media| (media.id, media.clone())).collect() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let mut rows = Stored { store, runtime, counts: Arc::clone(&counts) };
        let mut lost = Lost::default();
        let mut known = |ids: &[MediaId]| rows.find_all(ids);
        let mut list = |first| directory.ids(first).ok();
        let mut delete = |id| directory.delete(id).is_ok();
        while !lost.look(&mut known, &mut list, &mut delete, &counts).expect("memory answers") {}
        let mut there: Vec<u8> =
            (0..=255).flat_map(|first| directory.ids(first).expect("listed")).map(|id| id.0[1]).collect();
        there.sort_unstable();
        (there, counts.swept_so_far(Swept::Lost))
    }

    #[test]
    fn bytes_without_a_row_go_and_the_others_stay() {
        let temp = tempfile::tempdir().expect("a directory");
        let rows = [
            row(1, MediaState::Pending, false),
            row(2, MediaState::Ready, false),
            row(3, MediaState::Doomed, false),
            row(4, MediaState::Doomed, true),
            row(5, MediaState::Rejected, true),
        ];
        assert_eq!(left(temp.path(), &[1, 2, 3, 4, 5, 6, 7, 9], &rows), (vec![1, 2, 3], 5));
        assert_eq!(left(temp.path(), &[8], &[]), (Vec::new(), 4), "a few go however few rows there are");
    }

    #[test]
    fn rows_that_belong_to_other_bytes_cost_nothing() {
        let temp = tempfile::tempdir().expect("a directory");
        let blobs: Vec<u8> = (10..40).collect();
        let rows: Vec<Media> = (10..24).map(|n| row(n, MediaState::Ready, false)).collect();
        assert_eq!(left(temp.path(), &blobs, &rows[..1]), (blobs.clone(), 0));
        let more: Vec<Media> = (10..25).map(|n| row(n, MediaState::Ready, false)).collect();
        assert_eq!(left(temp.path(), &[], &more), ((10..25).collect(), 15));
    }

    #[test]
    fn what_is_lost_is_counted_whole_also_beyond_what_is_removed() {
        // As many with a row as are removed at most, and more without.
        let id = |n: usize| MediaId((n as u128).to_be_bytes());
        let removed = |with: usize, without: usize| {
            let (mut lost, mut removed) = (Lost::default(), 0);
            let mut known = |ids: &[MediaId]| {
                let rows = ids.iter().filter(|one| **one < id(with));
                Ok::<_, ()>(rows.map(|one| Media { id: *one, ..row(1, MediaState::Ready, false) }).collect())
            };
            let mut list = |first| match first {
                0 => Some((0..with + without).map(id).collect()),
                _ => Some(Vec::new()),
            };
            let mut delete = |_| {
                removed += 1;
                true
            };
            let counts = MediaCounts::default();
            while !lost.look(&mut known, &mut list, &mut delete, &counts).expect("rows are known") {}
            removed
        };
        assert_eq!(removed(LOST_MAX, LOST_MAX + 1), 0);
        assert_eq!(removed(LOST_MAX + 1, LOST_MAX + 1), LOST_MAX, "the others after the next start");
    }
}
