//! A token bucket in one word.

use lynk_domain::Nanos;

/// Allows `rate` takes per second and bursts of `burst`, by the time at which the bucket will be full again.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Bucket {
    full_at: Nanos,
}

impl Bucket {
    /// Takes one. A rate of 0 has no limit.
    ///
    /// # Errors
    /// Milliseconds to wait until there is one.
    pub(crate) fn take(&mut self, now: Nanos, rate: u32, burst: u32) -> Result<(), u32> {
        self.take_many(now, rate, burst, 1)
    }

    /// Takes `count` at once, which must not be above `burst`.
    ///
    /// # Errors
    /// Milliseconds to wait until there are so many.
    pub(crate) fn take_many(&mut self, now: Nanos, rate: u32, burst: u32, count: u32) -> Result<(), u32> {
        if rate == 0 || count == 0 {
            return Ok(());
        }
        let each = Nanos::SECOND / u64::from(rate);
        let filled = self.full_at.max(now).after(each * u64::from(count));
        let room = each * u64::from(burst.max(1));
        let over = filled.since(now).saturating_sub(room);
        if over > 0 {
            let millis = over.div_ceil(Nanos::MILLISECOND);
            return Err(u32::try_from(millis).unwrap_or(u32::MAX));
        }
        self.full_at = filled;
        Ok(())
    }

    /// Whether nothing was taken lately, so that forgetting the bucket changes nothing.
    pub(crate) fn is_full(&self, now: Nanos) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_the_rate_and_the_wait_is_stated() {
        let mut bucket = Bucket::default();
        let now = Nanos(5 * Nanos::SECOND);
        assert_eq!((0..30).filter(|_| bucket.take(now, 10, 20).is_ok()).count(), 20);
        assert_eq!(bucket.take(now, 10, 20), Err(100));
        assert_eq!(bucket.take(now.after(99 * Nanos::MILLISECOND), 10, 20), Err(1));
        assert_eq!(bucket.take(now.after(100 * Nanos::MILLISECOND), 10, 20), Ok(()));
        assert!(!bucket.is_full(now) && bucket.is_full(now.after(3 * Nanos::SECOND)));
        assert!((0..1_000).all(|_| bucket.take(now, 0, 0).is_ok()));
    }
}
