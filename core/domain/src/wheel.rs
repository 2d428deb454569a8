//! A timer wheel: many coarse deadlines, no allocation in steady state.
//!
//! Thread: the one that owns it. Entries are small values that the owner checks when they fire (a timer is
//! never cancelled: its owner ignores one that no longer matters). Limits: none of its own; the owner
//! bounds how many entries it adds. Nothing can fail.

use crate::Nanos;

/// Slots of the wheel. Entries farther away than `SLOTS` granules stay in their slot for another round.
const SLOTS: usize = 512;

/// A wheel of `T` values with deadlines rounded up to a granule.
pub struct Wheel<T> {
    granule_nanos: u64,
    /// Granule that was fired last.
    fired: u64,
    count: usize,
    slots: Vec<Vec<(u64, T)>>,
}

impl<T: Copy> Wheel<T> {
    /// A wheel whose entries fire up to `granule_nanos` late, starting at `now`.
    #[must_use]
    pub fn new(now: Nanos, granule_nanos: u64) -> Self {
        assert!(granule_nanos > 0, "a granule has a length");
        Self {
            granule_nanos,
            fired: now.0 / granule_nanos,
            count: 0,
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
        }
    }

    /// Adds an entry. A deadline in the past fires at the next [`Self::fire`] of a later granule.
    pub fn insert(&mut self, deadline: Nanos, value: T) {
        let granule = deadline.0.div_ceil(self.granule_nanos).max(self.fired + 1);
        self.slots[(granule % SLOTS as u64) as usize].push((granule, value));
        self.count += 1;
    }

    /// Moves every entry that is due at `now` into `due`, in granule order.
    pub fn fire(&mut self, now: Nanos, due: &mut Vec<T>) {
        let target = now.0 / self.granule_nanos;
        if target <= self.fired {
            return;
        }
        if self.count == 0 {
            self.fired = target;
            return;
        }
        // After a long sleep one round over the slots is enough: it finds everything that is due.
        let first = self.fired + 1;
        let last = target.min(self.fired + SLOTS as u64);
        for granule in first..=last {
            let slot = &mut self.slots[(granule % SLOTS as u64) as usize];
            let mut kept = 0;
            for i in 0..slot.len() {
                let entry = slot[i];
                if entry.0 <= target {
                    due.push(entry.1);
                } else {
                    slot[kept] = entry;
                    kept += 1;
                }
            }
            self.count -= slot.len() - kept;
            slot.truncate(kept);
        }
        self.fired = target;
    }

    /// When [`Self::fire`] should be called next: a lower bound of the earliest deadline, `None` when empty.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Nanos> {
        if self.count == 0 {
            return None;
        }
        let earliest = (1..=SLOTS as u64)
            .map(|step| self.fired + step)
            .find(|granule| !self.slots[(granule % SLOTS as u64) as usize].is_empty())?;
        Some(Nanos(earliest * self.granule_nanos))
    }

    /// Entries that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no entry waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_fire_once_never_early_and_at_most_a_granule_late() {
        let mut wheel = Wheel::new(Nanos(1_000), 10);
        let deadlines: Vec<u64> = (0..2_000u64).map(|i| 1_001 + (i * 7_919) % 30_000).collect();
        for d in &deadlines {
            wheel.insert(Nanos(*d), *d);
        }
        let mut fired = Vec::new();
        let mut now = 1_000;
        while !wheel.is_empty() {
            now += 3;
            let mut due = Vec::new();
            wheel.fire(Nanos(now), &mut due);
            for d in due {
                assert!(d <= now && now < d + 10 + 3, "deadline {d} fired at {now}");
                fired.push(d);
            }
        }
        fired.sort_unstable();
        let mut expected = deadlines;
        expected.sort_unstable();
        assert_eq!(fired, expected);
    }

    #[test]
    fn a_long_sleep_fires_everything_due() {
        let mut wheel = Wheel::new(Nanos(0), 10);
        for i in 1..=3_000u64 {
            wheel.insert(Nanos(i * 10), i);
        }
        let mut due = Vec::new();
        wheel.fire(Nanos(20_000), &mut due);
        assert_eq!(due.len(), 2_000);
        assert_eq!(wheel.len(), 1_000);
        assert!(wheel.next_deadline().is_some_and(|d| d.0 > 20_000));
    }
}
