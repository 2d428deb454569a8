//! How often a room is flushed: a quiet one at once, a busy one in ticks, so that several of its events share one
//! send per connection.
//!
//! A send costs 3.5–4 µs of kernel time, a frame more in the same send 0.05 µs; with 100 members and 150 messages a
//! second a tick of 20 ms saved 43 % of the server's CPU, and cost up to 20 ms of delay. So the tick grows with the
//! sends that it can save, and with the load of the shard.

use lynk_domain::Nanos;

/// Length of the window in which rates are counted.
const WINDOW: u64 = 100 * Nanos::MILLISECOND;
/// Windows of a second.
const PER_SECOND: u32 = 10;
/// Below this many events a second a tick would find one event each time.
const EVENTS_PER_SECOND_QUIET: u32 = 50;
/// Deliveries a second of one room, and the tick in milliseconds from there on.
const TICKS: [(u32, u64); 3] = [(2_000, 1), (10_000, 5), (50_000, 20)];
/// Deliveries a second of the whole shard from which every tick is one step longer.
const SHARD_DELIVERIES_LOADED: u32 = 100_000;

/// Counts per window: the last full one, and the one that runs.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Rate {
    window: u32,
    last: u32,
    running: u32,
}

impl Rate {
    pub(crate) fn count(&mut self, now: Nanos, by: u32) {
        let window = (now.0 / WINDOW) as u32;
        if window != self.window {
            self.last = if window == self.window.wrapping_add(1) { self.running } else { 0 };
            self.running = 0;
            self.window = window;
        }
        self.running = self.running.saturating_add(by);
    }

    /// Counts per second, by the larger of the two windows.
    pub(crate) fn per_second(&self) -> u32 {
        self.last.max(self.running).saturating_mul(PER_SECOND)
    }
}

/// The pace of one topic.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Pace {
    /// Start of the last round.
    pub(crate) flushed: Nanos,
    pub(crate) events: Rate,
}

impl Pace {
    /// When the next round may start.
    pub(crate) fn next(&self, subscribers: usize, shard_deliveries_per_second: u32) -> Nanos {
        self.flushed.after(interval(self.events.per_second(), subscribers, shard_deliveries_per_second))
    }
}

/// Time between two rounds of a room.
fn interval(events_per_second: u32, subscribers: usize, shard_deliveries_per_second: u32) -> u64 {
    if events_per_second < EVENTS_PER_SECOND_QUIET {
        return 0;
    }
    let deliveries = u64::from(events_per_second) * subscribers as u64;
    let step = TICKS.iter().take_while(|(from, _)| deliveries >= u64::from(*from)).count();
    if step == 0 {
        return 0;
    }
    let loaded = usize::from(shard_deliveries_per_second >= SHARD_DELIVERIES_LOADED);
    TICKS[(step - 1 + loaded).min(TICKS.len() - 1)].1 * Nanos::MILLISECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_or_small_room_is_flushed_at_once_and_a_busy_one_in_ticks() {
        let ms = |e, s, l| interval(e, s, l) / Nanos::MILLISECOND;
        assert_eq!(ms(10, 100_000, 1_000_000), 0, "too rare to share a send");
        assert_eq!(ms(500, 2, 1_000_000), 0, "too few sends to save");
        assert_eq!([ms(50, 40, 0), ms(150, 100, 0), ms(600, 100, 0)], [1, 5, 20]);
        assert_eq!([ms(50, 40, 100_000), ms(150, 100, 100_000), ms(600, 100, 100_000)], [5, 20, 20]);
    }

    #[test]
    fn a_rate_follows_the_last_tenth_of_a_second() {
        let mut rate = Rate::default();
        let at = |ms: u64| Nanos(1_000 * Nanos::SECOND + ms * Nanos::MILLISECOND);
        for i in 0..20 {
            rate.count(at(i * 5), 1);
        }
        assert_eq!(rate.per_second(), 200);
        rate.count(at(110), 1);
        assert_eq!(rate.per_second(), 200);
        rate.count(at(350), 1);
        assert_eq!(rate.per_second(), 10);
    }
}
