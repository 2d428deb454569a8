//! The one source of chance: a small generator that a seed decides entirely.
//!
//! Independent parts of a world (each client, the network, the disk) take a [`Random::fork`] of their own, so
//! that one more draw in one part does not shift the choices of all others.

/// SplitMix64: 64 bits of state, every seed is good, forks do not correlate.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed ^ 0x6c79_6e6b_2073_696d)
    }

    /// A generator of its own for the part named `label`.
    pub(crate) fn fork(&mut self, label: u64) -> Self {
        Self::new(self.next().wrapping_add(label.wrapping_mul(0xd134_2543_de82_ef95)))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`; 0 for a bound of 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in `low..=high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in `permille` of a thousand cases.
    pub(crate) fn chance(&mut self, permille: u32) -> bool {
        permille > 0 && self.below(1_000) < u64::from(permille)
    }

    /// An index into a list of `length` items, which must not be empty.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// One of `items`; `None` when there is none.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() { None } else { items.get(self.index(items.len())) }
    }

    /// One of `choices` by weight. The weights must not all be 0.
    pub(crate) fn weighted<T: Copy>(&mut self, choices: &[(u32, T)]) -> T {
        let total: u64 = choices.iter().map(|(weight, _)| u64::from(*weight)).sum();
        let mut at = self.below(total);
        for (weight, choice) in choices {
            let weight = u64::from(*weight);
            if at < weight {
                return *choice;
            }
            at -= weight;
        }
        unreachable!("the weights add up to the total")
    }

    /// A delay around `mean`: usually near it, sometimes much longer. Never 0.
    pub(crate) fn delay(&mut self, mean: u64) -> u64 {
        let base = 1 + self.below(mean.max(1) * 2);
        if self.chance(20) { base.saturating_mul(self.between(2, 20)) } else { base }
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        for chunk in out.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_stay_in_their_ranges_and_reach_both_ends() {
        let mut random = Random::new(1);
        let mut seen = [false; 5];
        for _ in 0..1_000 {
            let drawn = random.between(3, 7);
            seen[(drawn - 3) as usize] = true;
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(random.below(0), 0);
        assert!(!random.chance(0));
        assert!(random.chance(1_000));
    }

    #[test]
    fn forks_repeat_and_differ() {
        let draw = |label| Random::new(9).fork(label).next();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
