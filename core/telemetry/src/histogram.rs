//! Durations counted in fixed buckets, two per power of two.

/// Buckets with an upper bound; one more takes what is longer.
pub const BUCKETS: usize = 50;

/// Power of two of the first bound: 1.024 µs. Below it nothing is told apart.
const FIRST_POWER: u32 = 10;

/// How often something took how long. Bounds are 2^k and 1.5 · 2^k nanoseconds from 1.024 µs to 25.8 s, so a value is
/// known to within a third. Plain integers: one thread counts, copies travel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Histogram {
    buckets: [u64; BUCKETS + 1],
    sum_nanos: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS + 1], sum_nanos: 0 }
    }
}

impl Histogram {
    /// Upper bound of bucket `index` in nanoseconds, inclusive; `index` is below [`BUCKETS`].
    #[must_use]
    pub const fn bound_nanos(index: usize) -> u64 {
        let base = 1 << (FIRST_POWER + (index / 2) as u32);
        if index.is_multiple_of(2) { base } else { base + base / 2 }
    }

    fn bucket(nanos: u64) -> usize {
        if nanos <= Self::bound_nanos(0) {
            return 0;
        }
        // The value minus one lies in [2^power, 2^(power + 1)): its second highest bit says which half.
        let below = nanos - 1;
        let power = below.ilog2();
        let half = (below >> (power - 1)) & 1;
        let index = 2 * (power - FIRST_POWER) as usize + half as usize + 1;
        index.min(BUCKETS)
    }

    /// Counts one duration.
    pub fn record(&mut self, nanos: u64) {
        self.buckets[Self::bucket(nanos)] += 1;
        self.sum_nanos = self.sum_nanos.saturating_add(nanos);
    }

    /// Adds what another one counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.sum_nanos = self.sum_nanos.saturating_add(other.sum_nanos);
    }

    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Their sum in nanoseconds.
    #[must_use]
    pub fn sum_nanos(&self) -> u64 {
        self.sum_nanos
    }

    /// Counts per bucket, the last one without an upper bound.
    #[must_use]
    pub fn buckets(&self) -> &[u64; BUCKETS + 1] {
        &self.buckets
    }

    /// Upper bound in nanoseconds of the bucket in which the `q`-quantile lies (0 ≤ q ≤ 1); 0 when nothing was counted,
    /// `u64::MAX` when it lies beyond the last bound.
    #[must_use]
    pub fn quantile_nanos(&self, q: f64) -> u64 {
        let count = self.count();
        if count == 0 {
            return 0;
        }
        let rank = ((count as f64 * q.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, in_bucket) in self.buckets.iter().enumerate() {
            seen += in_bucket;
            if seen >= rank {
                return if index < BUCKETS { Self::bound_nanos(index) } else { u64::MAX };
            }
        }
        u64::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_in_the_bucket_whose_bounds_hold_it() {
        let mut values: Vec<u64> = vec![0, 1, u64::MAX, 60_000_000_000];
        for index in 0..BUCKETS {
            let bound = Histogram::bound_nanos(index);
            values.extend([bound - 1, bound, bound + 1]);
        }
        for value in values {
            let index = Histogram::bucket(value);
            if index < BUCKETS {
                assert!(value <= Histogram::bound_nanos(index), "{value} above bucket {index}");
            }
            if index > 0 {
                assert!(value > Histogram::bound_nanos(index - 1), "{value} below bucket {index}");
            }
        }
    }

    #[test]
    fn quantiles_are_the_bounds_of_the_buckets_they_lie_in() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile_nanos(0.5), 0);
        for micros in 1..=100 {
            histogram.record(micros * 1_000);
        }
        assert_eq!(histogram.count(), 100);
        assert_eq!(histogram.sum_nanos(), 5_050_000);
        let p50 = histogram.quantile_nanos(0.5);
        assert!((50_000..75_000).contains(&p50), "{p50}");
        let mut both = histogram.clone();
        both.merge(&histogram);
        assert_eq!(both.count(), 200);
        assert_eq!(both.quantile_nanos(0.5), p50);
        both.record(u64::MAX);
        assert_eq!(both.quantile_nanos(1.0), u64::MAX);
    }
}
