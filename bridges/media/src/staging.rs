//! [`Staging`]: how much of the directory is taken by files that are on their way into a bucket.
//!
//! They stay there while the bucket is away, which may be for long; so there is a limit, at which uploads are refused. Thread: any, for a moment.
//! Limits: bytes as configured, and [`FILES_MAX`] files. What can fail: nothing.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lynk_domain::MediaId;
use lynk_model::media::MediaState;

use crate::lost::Rows;

/// Files that wait at most.
const FILES_MAX: usize = 100_000;
/// Rows that are asked for at a time, and files that are counted before others get their turn, about.
const ASKED_AT_A_TIME: usize = 100;
const COUNTED_AT_A_TIME: usize = 10_000;

#[derive(Debug, Default)]
struct Held {
    bytes: u64,
    files: HashMap<MediaId, u64>,
}

/// See the module. Without a limit nothing is counted.
#[derive(Debug)]
pub(crate) struct Staging {
    limit: Option<u64>,
    held: Mutex<Held>,
}

impl Staging {
    /// Of files that may have so many bytes together; `None` for as many as the disk has.
    pub(crate) fn new(limit: Option<u64>) -> Self {
        Self { limit, held: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes room for a file; whether there was some. A file has room once.
    pub(crate) fn take(&self, id: MediaId, bytes: u64) -> bool {
        let Some(limit) = self.limit else { return true };
        let mut held = self.held();
        if held.files.contains_key(&id) {
            return true;
        }
        if held.files.len() >= FILES_MAX || held.bytes.saturating_add(bytes) > limit {
            return false;
        }
        held.files.insert(id, bytes);
        held.bytes += bytes;
        true
    }

    /// Counts a file that an earlier process took, whether there is room or not.
    pub(crate) fn found(&self, id: MediaId, bytes: u64) {
        if self.limit.is_none() {
            return;
        }
        let mut held = self.held();
        if held.files.len() < FILES_MAX && held.files.insert(id, bytes).is_none() {
            held.bytes = held.bytes.saturating_add(bytes);
        }
    }

    /// Counts what an earlier process took and did not put away, from the directory `next` on, which is 256 when all were counted. `list` has the
    /// files of a first byte, `rows_of` finds rows.
    ///
    /// # Errors
    /// Of rows: call it again.
    pub(crate) fn count<E>(
        &self,
        next: &mut usize,
        list: &mut dyn FnMut(u8) -> Vec<MediaId>,
        rows_of: &mut dyn FnMut(&[MediaId]) -> Rows<E>,
    ) -> Result<(), E> {
        let mut looked = 0;
        while let Ok(first) = u8::try_from(*next) {
            if looked >= COUNTED_AT_A_TIME {
                break;
            }
            let ids = list(first);
            looked += ids.len();
            for some in ids.chunks(ASKED_AT_A_TIME) {
                let rows = rows_of(some)?;
                for media in rows.iter().filter(|media| media.state == MediaState::Scanning) {
                    self.found(media.id, media.facts.bytes);
                }
            }
            *next += 1;
        }
        Ok(())
    }

    /// A file left the directory, or its bytes never came.
    pub(crate) fn give(&self, id: MediaId) {
        let mut held = self.held();
        if let Some(bytes) = held.files.remove(&id) {
            held.bytes = held.bytes.saturating_sub(bytes);
        }
    }

    /// All that have room.
    pub(crate) fn ids(&self) -> Vec<MediaId> {
        self.held().files.keys().copied().collect()
    }

    /// Bytes that are taken.
    pub(crate) fn bytes(&self) -> u64 {
        self.held().bytes
    }
}

#[cfg(test)]
mod tests {
    use lynk_domain::{Millis, RoomId, UserId};
    use lynk_model::media::{Media, MediaFacts, Purpose};

    use super::*;

    #[test]
    fn room_is_taken_once_and_given_back_once() {
        let staging = Staging::new(Some(10));
        let id = |n: u8| MediaId([n; 16]);
        assert!(staging.take(id(1), 6) && staging.take(id(1), 6) && !staging.take(id(2), 5));
        assert!(staging.take(id(3), 4));
        assert_eq!(staging.bytes(), 10);
        // Of before the start: there already, whatever the limit says.
        staging.found(id(4), 7);
        staging.found(id(4), 7);
        assert_eq!(staging.bytes(), 17);
        staging.give(id(1));
        staging.give(id(1));
        assert_eq!(staging.bytes(), 11);
        assert!(!staging.take(id(5), 1), "over the limit until more have left");
        staging.give(id(4));
        assert!(staging.take(id(5), 1));
        let mut ids = staging.ids();
        ids.sort_unstable();
        assert_eq!(ids, [id(3), id(5)]);
    }

    #[test]
    fn all_that_waited_before_a_start_is_counted() {
        let id = |n: usize| {
            let mut id = (n as u128).to_be_bytes();
            id[0] = u8::try_from(n % 7).expect("a byte");
            MediaId(id)
        };
        let row = |id: &MediaId| Media {
            id: *id,
            owner: UserId([1; 16]),
            room: RoomId::NIL,
            purpose: Purpose::Attachment,
            name: String::new(),
            kind: "text/plain".to_owned(),
            facts: MediaFacts { bytes: 3, ..MediaFacts::default() },
            // Every third is one that is only carried over.
            state: if id.0[15].is_multiple_of(3) { MediaState::Ready } else { MediaState::Scanning },
            created: Millis(1),
            changed: Millis(1),
            attached: None,
            leaves: None,
            seq: None,
            emptied: false,
        };
        let all: Vec<MediaId> = (0..2_000).map(id).collect();
        let waits = all.iter().filter(|id| !id.0[15].is_multiple_of(3)).count();
        let staging = Staging::new(Some(1_000));
        let mut next = 0;
        let mut list = |first| all.iter().copied().filter(|id| id.0[0] == first).collect();
        let mut fails = |_: &[MediaId]| Err(());
        assert_eq!(staging.count(&mut next, &mut list, &mut fails), Err(()));
        let mut rows = |ids: &[MediaId]| Ok::<_, ()>(ids.iter().map(row).collect());
        assert_eq!(staging.count(&mut next, &mut list, &mut rows), Ok(()));
        assert_eq!(
            (next, staging.bytes()),
            (256, 3 * waits as u64),
            "more than one page, and beyond the limit"
        );
        assert!(!staging.take(MediaId([9; 16]), 1));
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let staging = Staging::new(None);
        assert!(staging.take(MediaId([1; 16]), u64::MAX) && staging.take(MediaId([2; 16]), u64::MAX));
        staging.found(MediaId([3; 16]), 1);
        assert_eq!((staging.bytes(), staging.ids().len()), (0, 0));
    }
}
