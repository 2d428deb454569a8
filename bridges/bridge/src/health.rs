//! Whether what a bridge owns works.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What the thread that owns the health just learned. Log on a change only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turned {
    /// Nothing new.
    Same,
    /// It worked before, and failed now; or it fails in another way.
    Bad,
    /// It failed before, for so long, and works now.
    Good(Duration),
}

/// Health as of now.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HealthReport {
    /// Since when it has been failing; `None` while it works.
    pub degraded: Option<Duration>,
    /// Kind of the last failure, from a fixed list of the bridge; empty when there was none.
    pub last_error: &'static str,
    /// The last failure in words.
    pub detail: String,
    /// Failures since the start.
    pub failures: u64,
}

#[derive(Debug, Default)]
struct State {
    since: Option<Instant>,
    kind: &'static str,
    detail: String,
    failures: u64,
}

/// The health of one bridge; clones share it. The lock is held for a copy of a few words.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<State>>);

impl Health {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something failed. `kind` is from a fixed list, `detail` for people.
    pub fn fail(&self, kind: &'static str, detail: &str) -> Turned {
        let mut state = self.state();
        let same = state.since.is_some() && state.kind == kind;
        state.since.get_or_insert_with(Instant::now);
        state.kind = kind;
        detail.clone_into(&mut state.detail);
        state.failures += 1;
        if same { Turned::Same } else { Turned::Bad }
    }

    /// Something worked.
    pub fn succeed(&self) -> Turned {
        match self.state().since.take() {
            Some(since) => Turned::Good(since.elapsed()),
            None => Turned::Same,
        }
    }

    /// How it stands.
    #[must_use]
    pub fn report(&self) -> HealthReport {
        let state = self.state();
        HealthReport {
            degraded: state.since.map(|since| since.elapsed()),
            last_error: state.kind,
            detail: state.detail.clone(),
            failures: state.failures,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_news() {
        let health = Health::default();
        assert_eq!(health.succeed(), Turned::Same);
        assert_eq!(health.fail("disk_full", "no space"), Turned::Bad);
        assert_eq!(health.fail("disk_full", "still none"), Turned::Same);
        assert_eq!(health.fail("corrupt", "worse"), Turned::Bad);
        let report = health.report();
        assert!(report.degraded.is_some());
        assert_eq!((report.last_error, report.detail.as_str(), report.failures), ("corrupt", "worse", 3));
        assert!(matches!(health.succeed(), Turned::Good(_)));
        let report = health.clone().report();
        assert_eq!(
            (report.degraded, report.last_error),
            (None, "corrupt"),
            "the last failure stays readable"
        );
    }
}
