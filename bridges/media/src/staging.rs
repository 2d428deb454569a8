//! [`Staging`]: how much of the directory is taken by files that are on their way into a bucket.
//!
//! They stay there while the bucket is away, which may be for long; so there is a limit, at which uploads are refused. Thread: any, for a moment.
//! Limits: bytes as configured, and [`FILES_MAX`] files. What can fail: nothing.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lynk_domain::MediaId;

/// Files that wait at most.
const FILES_MAX: usize = 100_000;

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
    fn without_a_limit_nothing_is_counted() {
        let staging = Staging::new(None);
        assert!(staging.take(MediaId([1; 16]), u64::MAX) && staging.take(MediaId([2; 16]), u64::MAX));
        staging.found(MediaId([3; 16]), 1);
        assert_eq!((staging.bytes(), staging.ids().len()), (0, 0));
    }
}
