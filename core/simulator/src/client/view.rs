//! What a client has of a room, and which part of it is missing.

use std::collections::BTreeMap;

use lynk_domain::UserId;

/// A set of seqs, kept as ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds `from..=to`; nothing when it is empty.
    pub(crate) fn add(&mut self, mut from: u64, mut to: u64) {
        if from > to {
            return;
        }
        while let Some((start, end)) =
            self.0.range(..=to.saturating_add(1)).next_back().map(|(s, e)| (*s, *e))
        {
            if end.saturating_add(1) < from {
                break;
            }
            from = from.min(start);
            to = to.max(end);
            self.0.remove(&start);
        }
        self.0.insert(from, to);
    }

    pub(crate) fn contains(&self, seq: u64) -> bool {
        self.0.range(..=seq).next_back().is_some_and(|(_, end)| *end >= seq)
    }

    /// The first seq at or after `from` that is not in the set.
    pub(crate) fn missing_after(&self, from: u64) -> u64 {
        match self.0.range(..=from).next_back() {
            Some((_, end)) if *end >= from => end + 1,
            _ => from,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// One room on one device. It outlives connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) epoch: u64,
    /// First seq that the device wants to have; 0 before it has subscribed.
    pub(crate) start: u64,
    /// What it has, explicit gaps included.
    pub(crate) have: Ranges,
    /// Highest seq it knows to exist.
    pub(crate) top: u64,
    /// Messages it could act on: seq → author.
    pub(crate) messages: BTreeMap<u64, UserId>,
    /// Deleted messages and the seq of their delete.
    pub(crate) deleted: BTreeMap<u64, u64>,
    /// Edited messages and the seq of the last edit that a page showed.
    pub(crate) edited: BTreeMap<u64, u64>,
    /// Whether the device wants the room's events.
    pub(crate) wanted: bool,
    /// Whether it was subscribed since the last comparison began.
    pub(crate) audited: bool,
    /// Whether a page is on its way.
    pub(crate) paging: bool,
    /// Do not page before this time.
    pub(crate) page_at: u64,
}

impl View {
    /// The last seq up to which nothing is missing.
    pub(crate) fn cursor(&self) -> u64 {
        self.have.missing_after(self.start.max(1)) - 1
    }

    /// The first seq that is known to exist and is missing.
    pub(crate) fn missing(&self) -> Option<u64> {
        let first = self.have.missing_after(self.start.max(1));
        (first <= self.top).then_some(first)
    }

    /// Notes that a seq exists.
    pub(crate) fn exists(&mut self, seq: u64) {
        self.top = self.top.max(seq);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_join_where_they_touch() {
        let mut ranges = Ranges::default();
        ranges.add(5, 6);
        ranges.add(1, 2);
        ranges.add(9, 12);
        assert_eq!(ranges.missing_after(1), 3);
        ranges.add(3, 4);
        assert_eq!(ranges.missing_after(1), 7);
        ranges.add(2, 10);
        assert_eq!(ranges.missing_after(1), 13);
        assert!(ranges.contains(12) && !ranges.contains(13) && !ranges.contains(0));
        ranges.add(20, 19);
        assert!(!ranges.contains(19));
    }
}
