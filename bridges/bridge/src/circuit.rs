//! When to stop asking something that does not answer, and when to try again.
//!
//! Thread: the bridge's. Pure: time and random bits are passed in. After [`FAILURES_MAX`] failures in a row the circuit opens: requests are
//! refused at once, instead of each waiting for a time-out of its own. After a pause one request goes through as a probe; its success
//! closes the circuit, its failure doubles the pause. Pauses are jittered, so that many processes do not come back in step.

use lynk_domain::Nanos;

/// Failures in a row that open the circuit.
pub const FAILURES_MAX: u32 = 5;
/// First pause; doubled up to [`PAUSE_NANOS_MAX`].
const PAUSE_NANOS_MIN: u64 = 250 * Nanos::MILLISECOND;
/// Longest pause.
const PAUSE_NANOS_MAX: u64 = 8 * Nanos::SECOND;

/// A pause between a half of `nanos` and all of it, chosen by `random`.
#[must_use]
pub fn jittered(nanos: u64, random: u64) -> u64 {
    let half = nanos / 2;
    half + random % (nanos - half + 1)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Requests go through; so many have failed in a row.
    Closed(u32),
    /// None goes through before this time.
    Open(Nanos),
    /// One is on its way to find out.
    Probing,
}

/// The state of one outside system as its bridge sees it.
#[derive(Clone, Debug)]
pub struct Circuit {
    state: State,
    pause: u64,
}

impl Default for Circuit {
    fn default() -> Self {
        Self { state: State::Closed(0), pause: PAUSE_NANOS_MIN }
    }
}

impl Circuit {
    /// Whether a request may go through now. One that may is told of by [`Self::succeeded`], [`Self::failed`] or
    /// [`Self::untried`].
    pub fn admits(&mut self, now: Nanos) -> bool {
        match self.state {
            State::Closed(_) => true,
            State::Open(until) if now >= until => {
                self.state = State::Probing;
                true
            }
            State::Open(_) | State::Probing => false,
        }
    }

    /// Whether requests are being refused.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed(_))
    }

    /// A request ended before it reached the system: if it was the probe, the next one is.
    pub fn untried(&mut self, now: Nanos) {
        if self.state == State::Probing {
            self.state = State::Open(now);
        }
    }

    /// A request was answered.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// A request failed in a way that speaks of the system. `random` spreads the pause.
    pub fn failed(&mut self, now: Nanos, random: u64) {
        match self.state {
            State::Closed(failures) if failures + 1 < FAILURES_MAX => {
                self.state = State::Closed(failures + 1)
            }
            State::Closed(_) | State::Probing => {
                self.state = State::Open(now.after(jittered(self.pause, random)));
                self.pause = (self.pause * 2).min(PAUSE_NANOS_MAX);
            }
            // It was sent before the circuit opened, and says nothing new.
            State::Open(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened() -> Circuit {
        let mut circuit = Circuit::default();
        for failure in 0..FAILURES_MAX {
            assert!(circuit.admits(Nanos(0)), "failure {failure}");
            circuit.failed(Nanos(0), u64::MAX);
        }
        circuit
    }

    #[test]
    fn a_few_failures_open_nothing_and_a_success_forgets_them() {
        let mut circuit = Circuit::default();
        for _ in 0..3 {
            for _ in 1..FAILURES_MAX {
                circuit.failed(Nanos(0), 0);
            }
            circuit.succeeded();
        }
        assert!(!circuit.is_open() && circuit.admits(Nanos(0)));
    }

    #[test]
    fn an_open_circuit_lets_one_probe_through_after_its_pause() {
        let mut circuit = opened();
        assert!(circuit.is_open() && !circuit.admits(Nanos(0)));
        circuit.failed(Nanos(PAUSE_NANOS_MIN), 0);
        assert!(circuit.admits(Nanos(PAUSE_NANOS_MIN)), "late failures do not lengthen the pause");
        assert!(!circuit.admits(Nanos(PAUSE_NANOS_MIN)), "one probe at a time");
        circuit.succeeded();
        assert!(circuit.admits(Nanos(PAUSE_NANOS_MIN)) && !circuit.is_open());
    }

    #[test]
    fn a_probe_that_came_to_nothing_is_followed_by_another() {
        let mut circuit = opened();
        let later = Nanos(PAUSE_NANOS_MIN);
        assert!(circuit.admits(later));
        circuit.untried(later);
        assert!(circuit.is_open() && circuit.admits(later) && !circuit.admits(later));
    }

    #[test]
    fn pauses_grow_to_their_bound_and_are_spread() {
        let mut circuit = opened();
        let (mut now, mut last) = (PAUSE_NANOS_MAX, 0);
        for _ in 0..10 {
            assert!(circuit.admits(Nanos(now)));
            circuit.failed(Nanos(now), u64::MAX - 1);
            let pause = (0..).find(|step| circuit.clone().admits(Nanos(now + step * Nanos::MILLISECOND)));
            last = pause.expect("it ends") * Nanos::MILLISECOND;
            assert!(last <= PAUSE_NANOS_MAX);
            now += 2 * PAUSE_NANOS_MAX;
        }
        assert!(last >= PAUSE_NANOS_MAX / 2, "{last}");
        let spread: Vec<_> = (0..4).map(|random| jittered(2, random)).collect();
        assert_eq!(spread, [1, 2, 1, 2]);
    }
}
