//! Tokens of one kind that wait to be used once, with what they stand for.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use lynk_domain::{Nanos, Now};

use super::after;
use crate::port::{Kept, NewOnce, ONCE_PER_OWNER_MAX};

/// Tokens of one kind that wait at a time, over all owners.
pub const ONCE_MAX: usize = 65_536;

const _: () = assert!(ONCE_PER_OWNER_MAX < ONCE_MAX);

struct Waiting {
    owner: [u8; 16],
    expires: Nanos,
    sealed: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Once {
    waiting: BTreeMap<[u8; 32], Waiting>,
    by_owner: BTreeMap<[u8; 16], Vec<[u8; 32]>>,
    /// What waits, by when it expires. Exactly that: a token that was used takes nobody's place.
    by_end: BTreeSet<(Nanos, [u8; 32])>,
}

impl Once {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn put(&mut self, now: Now, once: NewOnce) -> Kept {
        self.forget(now.mono);
        let NewOnce { key, owner, sealed, life_millis, .. } = once;
        if let Some(own) = self.by_owner.get(&owner)
            && own.len() >= ONCE_PER_OWNER_MAX
        {
            let oldest = own[0];
            self.remove(&oldest);
        }
        if self.waiting.len() >= ONCE_MAX {
            return Kept::Full;
        }
        let expires = after(now, life_millis);
        self.waiting.insert(key, Waiting { owner, expires, sealed });
        self.by_owner.entry(owner).or_default().push(key);
        self.by_end.insert((expires, key));
        Kept::Done
    }

    pub(super) fn look(&mut self, now: Now, key: &[u8; 32]) -> Option<Vec<u8>> {
        self.forget(now.mono);
        self.waiting.get(key).map(|waiting| waiting.sealed.clone())
    }

    pub(super) fn take(&mut self, now: Now, key: &[u8; 32]) -> Option<Vec<u8>> {
        self.forget(now.mono);
        self.remove(key)
    }

    pub(super) fn drop_owner(&mut self, owner: [u8; 16]) {
        for key in self.by_owner.remove(&owner).unwrap_or_default() {
            if let Some(waiting) = self.waiting.remove(&key) {
                self.by_end.remove(&(waiting.expires, key));
            }
        }
    }

    fn remove(&mut self, key: &[u8; 32]) -> Option<Vec<u8>> {
        let waiting = self.waiting.remove(key)?;
        self.by_end.remove(&(waiting.expires, *key));
        if let Entry::Occupied(mut own) = self.by_owner.entry(waiting.owner) {
            own.get_mut().retain(|other| other != key);
            if own.get().is_empty() {
                own.remove();
            }
        }
        Some(waiting.sealed)
    }

    fn forget(&mut self, now: Nanos) {
        while let Some((_, key)) = self.by_end.first().copied().filter(|(expires, _)| *expires <= now) {
            self.remove(&key);
        }
    }

    #[cfg(test)]
    pub(super) fn owners(&self) -> usize {
        assert_eq!(self.by_end.len(), self.waiting.len());
        self.by_owner.len()
    }
}
