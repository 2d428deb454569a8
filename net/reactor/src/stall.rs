//! Notices turns that hold everybody up, and says which part of the turn did.

use lynk_domain::{Nanos, ShardId};
use lynk_telemetry::Histogram;

/// Time between two log lines about stalls, per shard.
const LOG_NANOS: u64 = 10 * Nanos::SECOND;

/// A part of a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    Completions,
    Mail,
    Timers,
    Reads,
    Flush,
    Sends,
    /// The driver's call at the end of a turn that does not wait: there io_uring carries out the sends.
    Submit,
}

impl Part {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Completions => "completions",
            Self::Mail => "mail",
            Self::Timers => "timers",
            Self::Reads => "reads",
            Self::Flush => "flush",
            Self::Sends => "sends",
            Self::Submit => "submit",
        }
    }
}

/// Times the parts of each turn.
pub(crate) struct StallDetector {
    shard: ShardId,
    limit_nanos: u64,
    /// `None` before the first turn and after each.
    turn_start: Option<Nanos>,
    part_start: Nanos,
    longest: (u64, Part),
    log_after: Nanos,
    /// Stalls since the last log line.
    unlogged: u64,
    pub(crate) turns: Histogram,
    pub(crate) turn_nanos_max: u64,
    pub(crate) stalls: u64,
}

impl StallDetector {
    pub(crate) fn new(shard: ShardId, limit_nanos: u64) -> Self {
        Self {
            shard,
            limit_nanos,
            turn_start: None,
            part_start: Nanos(0),
            longest: (0, Part::Completions),
            log_after: Nanos(0),
            unlogged: 0,
            turns: Histogram::default(),
            turn_nanos_max: 0,
            stalls: 0,
        }
    }

    pub(crate) fn begin(&mut self, now: Nanos) {
        self.turn_start = Some(now);
        self.part_start = now;
        self.longest = (0, Part::Completions);
    }

    /// The part that just ended.
    pub(crate) fn part(&mut self, now: Nanos, part: Part) {
        let took = now.since(self.part_start);
        self.part_start = now;
        if took > self.longest.0 {
            self.longest = (took, part);
        }
    }

    /// The turn is over, if there was one; what follows may sleep.
    pub(crate) fn end(&mut self, now: Nanos) {
        let Some(start) = self.turn_start.take() else { return };
        let took = now.since(start);
        self.turns.record(took);
        self.turn_nanos_max = self.turn_nanos_max.max(took);
        if took <= self.limit_nanos {
            return;
        }
        self.stalls += 1;
        self.unlogged += 1;
        if now < self.log_after {
            return;
        }
        self.log_after = now.after(LOG_NANOS);
        let (part_nanos, part) = self.longest;
        tracing::warn!(
            event = "stall",
            shard = self.shard.0,
            turn_ms = took / Nanos::MILLISECOND,
            part = part.name(),
            part_ms = part_nanos / Nanos::MILLISECOND,
            stalls = self.unlogged,
            "a turn of a shard took long; everybody on it waited"
        );
        self.unlogged = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_turn_counts_once_and_names_its_longest_part() {
        let mut detector = StallDetector::new(ShardId(0), 50);
        detector.end(Nanos(900));
        detector.begin(Nanos(1_000));
        detector.part(Nanos(1_010), Part::Completions);
        detector.part(Nanos(1_090), Part::Reads);
        detector.part(Nanos(1_100), Part::Flush);
        assert_eq!(detector.longest, (80, Part::Reads));
        detector.end(Nanos(1_100));
        detector.begin(Nanos(2_000));
        detector.end(Nanos(2_050));
        assert_eq!((detector.stalls, detector.turn_nanos_max, detector.turns.count()), (1, 100, 2));
    }
}
