//! Counters over sliding windows, as counts in slices. [`Slices`] are shared with the reference model of accounts.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use lynk_domain::Millis;

use crate::account::{COUNTER_SLICES, Charge, Charged};

/// Keys that are counted at a time. Above it, all further ones share one.
pub const COUNTERS_MAX: usize = 65_536;
/// No key that a hash makes: those for which there is no room.
const SHARED: [u8; 16] = [0xff; 16];

/// What was counted in a slice.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Counted {
    pub(crate) count: u64,
    /// When the slice has left the window.
    pub(crate) until: u64,
}

/// Counts by key and begin of a slice.
#[derive(Clone, Default, Debug)]
pub(crate) struct Slices(BTreeMap<([u8; 16], u64), Counted>);

impl Slices {
    /// Counts all of `charges`, or none when one is at its limit.
    pub(crate) fn charge(&mut self, wall: Millis, charges: &[Charge]) -> Charged {
        let mut done: Vec<(([u8; 16], u64), u64)> = Vec::new();
        for (index, charge) in charges.iter().enumerate() {
            let leaving = self.leaving(charge, wall);
            let mut counted: u64 = leaving.iter().map(|(_, count)| count).sum();
            let fits = |counted: u64| counted + u64::from(charge.amount) <= u64::from(charge.max);
            if fits(counted) {
                let slice = (charge.key, charge.slice(wall));
                let counted = self.0.entry(slice).or_default();
                counted.count += u64::from(charge.amount);
                counted.until = charge.until(wall);
                done.push((slice, u64::from(charge.amount)));
                continue;
            }
            let free = leaving.iter().find(|(_, count)| {
                counted -= count;
                fits(counted)
            });
            let retry_after_millis = free.map_or(charge.window_millis, |(leaves, _)| leaves - wall.0);
            for (slice, amount) in done {
                if let Entry::Occupied(mut counted) = self.0.entry(slice) {
                    counted.get_mut().count -= amount;
                    // It was not there before.
                    if counted.get().count == 0 {
                        counted.remove();
                    }
                }
            }
            return Charged::Refused { index, retry_after_millis };
        }
        Charged::Done
    }

    /// What counts for a charge: when a slice that its window touches leaves it, and how many are in it.
    fn leaving(&self, charge: &Charge, wall: Millis) -> Vec<(u64, u64)> {
        let last = wall.0.saturating_add(charge.window_millis);
        self.0
            .range((charge.key, 0)..=(charge.key, last))
            .map(|((_, slice), counted)| (slice + charge.width() + charge.window_millis, counted.count))
            .filter(|(leaves, _)| *leaves > wall.0)
            .collect()
    }

    /// What was counted, by key and begin of the slice, after one of those.
    pub(crate) fn after(
        &self,
        key: [u8; 16],
        slice: u64,
    ) -> impl Iterator<Item = (&([u8; 16], u64), &Counted)> {
        self.0.range((Bound::Excluded((key, slice)), Bound::Unbounded))
    }

    /// Puts a slice in place of what is there.
    pub(crate) fn put(&mut self, key: [u8; 16], slice: u64, counted: Counted) {
        self.0.insert((key, slice), counted);
    }

    /// Takes a slice out.
    pub(crate) fn take_out(&mut self, key: [u8; 16], slice: u64) {
        self.0.remove(&(key, slice));
    }

    fn forget(&mut self, key: [u8; 16]) {
        let gone: Vec<_> = self.0.range((key, 0)..=(key, u64::MAX)).map(|(slice, _)| *slice).collect();
        for slice in gone {
            self.0.remove(&slice);
        }
    }
}

impl Charge {
    /// Length of a slice of the window.
    #[must_use]
    pub fn width(&self) -> u64 {
        (self.window_millis / COUNTER_SLICES).max(1)
    }

    /// When the slice that holds `wall` has left the window.
    #[must_use]
    pub fn until(&self, wall: Millis) -> u64 {
        self.slice(wall).saturating_add(self.width()).saturating_add(self.window_millis)
    }

    /// Begin of the slice that holds `wall`.
    #[must_use]
    pub fn slice(&self, wall: Millis) -> u64 {
        wall.0 - wall.0 % self.width()
    }
}

#[derive(Default)]
pub(super) struct Counters {
    slices: Slices,
    /// When the last slice of a key leaves its window.
    ends: BTreeMap<[u8; 16], u64>,
    by_end: BTreeSet<(u64, [u8; 16])>,
}

impl Counters {
    pub(super) fn charge(&mut self, wall: Millis, charges: &[Charge]) -> Charged {
        self.forget(wall.0);
        let charges: Vec<Charge> =
            charges.iter().map(|charge| Charge { key: self.key(charge.key), ..*charge }).collect();
        let charged = self.slices.charge(wall, &charges);
        if charged == Charged::Done {
            for charge in &charges {
                let ends = charge.until(wall);
                let earlier = self.ends.get(&charge.key).copied().unwrap_or(0);
                self.by_end.remove(&(earlier, charge.key));
                self.ends.insert(charge.key, ends.max(earlier));
                self.by_end.insert((ends.max(earlier), charge.key));
            }
        }
        charged
    }

    fn key(&self, key: [u8; 16]) -> [u8; 16] {
        if self.ends.len() >= COUNTERS_MAX && !self.ends.contains_key(&key) { SHARED } else { key }
    }

    fn forget(&mut self, wall: u64) {
        while let Some((ends, key)) = self.by_end.first().copied().filter(|(ends, _)| *ends <= wall) {
            self.by_end.remove(&(ends, key));
            self.ends.remove(&key);
            self.slices.forget(key);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }
}
