//! The two clocks, read once per turn. The only place in the reactor that reads them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lynk_domain::{Millis, Nanos, Now};
use rustix::time::{ClockId, clock_gettime};

/// A wall clock that moves this much against the monotonic one has been set.
const JUMP_MILLIS: u64 = 5_000;

/// Monotonic time as every shard sees it: for deadlines that another thread gives to a shard.
#[must_use]
pub fn monotonic_now() -> Nanos {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(time.tv_nsec).unwrap_or_default();
    Nanos(seconds.saturating_mul(Nanos::SECOND).saturating_add(nanos))
}

/// Reads both clocks; the wall clock never goes back.
#[derive(Debug)]
pub(crate) struct Clock {
    last: Now,
    /// Wall time as the system told it, before clamping, with the monotonic time of that reading.
    raw_wall: u64,
}

/// A reading that shows that somebody set the clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Jump {
    /// Milliseconds, negative when it was set back.
    pub(crate) millis: i64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let wall = wall_millis();
        Self { last: Now { mono: monotonic_now(), wall: Millis(wall) }, raw_wall: wall }
    }

    /// The time now, and whether the wall clock jumped since the last reading.
    pub(crate) fn read(&mut self) -> (Now, Option<Jump>) {
        self.advance(monotonic_now(), wall_millis())
    }

    fn advance(&mut self, mono: Nanos, wall: u64) -> (Now, Option<Jump>) {
        let elapsed = mono.since(self.last.mono) / Nanos::MILLISECOND;
        let expected = self.raw_wall.saturating_add(elapsed);
        let jump = (wall.abs_diff(expected) > JUMP_MILLIS).then(|| Jump {
            millis: i64::try_from(i128::from(wall) - i128::from(expected)).unwrap_or(i64::MAX),
        });
        self.raw_wall = wall;
        self.last = Now { mono, wall: Millis(wall.max(self.last.wall.0)) };
        (self.last, jump)
    }
}

fn wall_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_never_goes_back_and_a_jump_is_told_once() {
        let start = Now { mono: Nanos(0), wall: Millis(100_000) };
        let mut clock = Clock { last: start, raw_wall: 100_000 };
        let second = Nanos::SECOND;
        assert_eq!(clock.advance(Nanos(second), 101_004).1, None);
        // Set back by a minute: the time stands still until it is made up for.
        let (now, jump) = clock.advance(Nanos(2 * second), 42_000);
        assert_eq!(now.wall, Millis(101_004));
        assert_eq!(jump, Some(Jump { millis: -60_004 }));
        let (now, jump) = clock.advance(Nanos(3 * second), 43_000);
        assert_eq!((now.wall, jump), (Millis(101_004), None));
        let (now, jump) = clock.advance(Nanos(4 * second), 200_000);
        assert_eq!((now.wall, jump), (Millis(200_000), Some(Jump { millis: 156_000 })));
    }

    #[test]
    fn a_long_sleep_is_no_jump() {
        let mut clock = Clock { last: Now { mono: Nanos(0), wall: Millis(100_000) }, raw_wall: 100_000 };
        assert_eq!(clock.advance(Nanos(3_600 * Nanos::SECOND), 3_700_500).1, None);
    }
}
