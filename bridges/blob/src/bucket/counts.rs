//! What is counted of a bucket, and whether it is asked at all. Written by whoever asks it, read by a scrape.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lynk_bridge::{Circuit, Health, Turned};
use lynk_domain::Nanos;
use lynk_telemetry::{Histogram, Metric, Snapshot};

use super::BucketError;

/// What became of a call. The order is that of the metric's label.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Done,
    Missing,
    Refused,
    Away,
    /// Not sent, because those before it failed.
    Shed,
}

/// Which way bytes go. The order is that of the metric's label.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    In,
    Out,
}

/// Totals since the start, and whether the bucket works.
#[derive(Debug)]
pub struct BucketCounts {
    /// The bucket.
    pub health: Health,
    calls: [AtomicU64; 5],
    bytes: [AtomicU64; 2],
    seconds: Mutex<Histogram>,
    circuit: Mutex<Circuit>,
    /// What is said of it while it is another server's.
    shared: Mutex<Option<String>>,
    started: Instant,
}

impl Default for BucketCounts {
    fn default() -> Self {
        Self {
            health: Health::default(),
            calls: Default::default(),
            bytes: Default::default(),
            seconds: Mutex::default(),
            circuit: Mutex::default(),
            shared: Mutex::default(),
            started: Instant::now(),
        }
    }
}

/// A call that is under way. Dropped without an end it says nothing of the bucket.
pub(super) struct Call<'a> {
    counts: &'a BucketCounts,
    began: Instant,
    over: bool,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.counts.circuit().untried(self.counts.now());
        }
    }
}

impl Call<'_> {
    /// It ended so.
    pub(super) fn end<T>(mut self, result: &Result<T, BucketError>) {
        self.over = true;
        let counts = self.counts;
        let outcome = match result {
            Ok(_) | Err(BucketError::Exists) => Outcome::Done,
            Err(BucketError::Missing) => Outcome::Missing,
            Err(BucketError::Refused(_)) => Outcome::Refused,
            Err(_) => Outcome::Away,
        };
        counts.calls[outcome as usize].fetch_add(1, Ordering::Relaxed);
        if outcome != Outcome::Away
            && let Ok(mut seconds) = counts.seconds.lock()
        {
            seconds.record(u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX));
        }
        match result {
            Err(BucketError::Away(_)) => counts.circuit().failed(counts.now(), counts.spread()),
            // It answered.
            _ => counts.circuit().succeeded(),
        }
        match result {
            Err(error @ BucketError::Away(_)) => counts.bad("away", error),
            Err(error @ BucketError::Refused(_)) => counts.bad("refused", error),
            _ => counts.good(),
        }
    }
}

impl BucketCounts {
    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Nanos {
        Nanos(u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// What spreads pauses: times of calls that failed are nobody's choice.
    fn spread(&self) -> u64 {
        self.now().0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
    }

    /// It does not work, as `kind` says.
    pub(super) fn bad(&self, kind: &'static str, error: &BucketError) {
        let detail = error.to_string();
        if self.health.fail(kind, &detail) == Turned::Bad {
            tracing::error!(event = "s3_failed", kind, detail, "the bucket of files does not work");
        }
    }

    fn shared(&self) -> MutexGuard<'_, Option<String>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose it is was looked at: while it is another's it does not work, however well it answers.
    pub(super) fn claimed(&self, claimed: &Result<(), BucketError>) {
        *self.shared() = claimed.as_ref().err().map(ToString::to_string);
        self.good();
    }

    /// Whether it is another server's.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.shared().is_some()
    }

    fn good(&self) {
        if let Some(detail) = &*self.shared() {
            let report = self.health.report();
            if report.degraded.is_none() || report.last_error != "shared" {
                self.health.fail("shared", detail);
                tracing::error!(
                    event = "media_bucket_shared",
                    detail,
                    "the bucket carries the name of another data directory at this prefix: nothing is put there or removed, and files wait"
                );
            }
            return;
        }
        if let Turned::Good(after) = self.health.succeed() {
            tracing::info!(event = "s3_back", seconds = after.as_secs(), "the bucket of files works again");
        }
    }

    /// A call may begin; not while those before it fail.
    pub(super) fn begin(&self) -> Result<Call<'_>, BucketError> {
        if self.circuit().admits(self.now()) {
            return Ok(Call { counts: self, began: Instant::now(), over: false });
        }
        self.calls[Outcome::Shed as usize].fetch_add(1, Ordering::Relaxed);
        Err(BucketError::Away("calls failed, and the next one is tried in some seconds".to_owned()))
    }

    /// An answer was cut off.
    pub(super) fn cut_off(&self, error: &BucketError) {
        self.bad("away", error);
    }

    pub(super) fn moved(&self, way: Way, bytes: usize) {
        self.bytes[way as usize].fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Whether calls are refused for a while.
    #[must_use]
    pub fn is_shut(&self) -> bool {
        self.circuit().is_open()
    }

    /// Whether the last answer was that it does not let us.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        let report = self.health.report();
        report.degraded.is_some() && report.last_error == "refused"
    }

    /// Whether reads can be expected to be answered: also while it is another server's, when nothing is put there.
    #[must_use]
    pub fn gives(&self) -> bool {
        let report = self.health.report();
        !self.is_shut() && (report.degraded.is_none() || report.last_error == "shared")
    }

    /// How long the bucket has not worked.
    #[must_use]
    pub fn degraded(&self) -> Option<Duration> {
        self.health.report().degraded
    }

    /// Adds the numbers to a scrape.
    pub fn add_to(&self, snapshot: &mut Snapshot) {
        for (metric, counts) in [(Metric::S3Calls, &self.calls[..]), (Metric::S3Bytes, &self.bytes[..])] {
            for (index, count) in counts.iter().enumerate() {
                snapshot.add_at(metric, index, count.load(Ordering::Relaxed));
            }
        }
        snapshot.add(Metric::S3Degraded, u64::from(self.degraded().is_some()));
        if let Ok(seconds) = self.seconds.lock() {
            snapshot.merge(Metric::S3Seconds, &seconds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_shed_after_failures_and_refusals_are_answers() {
        let counts = BucketCounts::default();
        let end = |result: Result<(), BucketError>| counts.begin().expect("goes out").end(&result);
        let away = || Err(BucketError::Away("gone".to_owned()));
        for _ in 0..10 {
            end(Err(BucketError::Refused("AccessDenied".to_owned())));
        }
        assert!(
            !counts.is_shut() && counts.degraded().is_some() && !counts.gives(),
            "it answers, but not well"
        );
        end(Err(BucketError::Missing));
        assert!(counts.degraded().is_none(), "what is not there is no fault");
        for _ in 0..lynk_bridge::FAILURES_MAX {
            end(away());
        }
        assert!(counts.is_shut() && counts.begin().is_err());
        let mut snapshot = Snapshot::default();
        counts.add_to(&mut snapshot);
    }

    #[test]
    fn a_bucket_of_another_server_is_degraded_however_well_it_answers() {
        let counts = BucketCounts::default();
        let end = |result: Result<(), BucketError>| counts.begin().expect("goes out").end(&result);
        counts.claimed(&Err(BucketError::Shared("a/INSTALLATION".to_owned())));
        end(Ok(()));
        assert!(counts.is_shared() && counts.health.report().detail.contains("object a/INSTALLATION says"));
        end(Err(BucketError::Away("gone".to_owned())));
        assert!(counts.health.report().last_error == "away" && !counts.gives());
        end(Ok(()));
        let report = counts.health.report();
        assert!(report.degraded.is_some() && report.last_error == "shared", "{report:?}");
        assert!(counts.gives());
        counts.claimed(&Ok(()));
        assert!(!counts.is_shared() && counts.degraded().is_none());
    }
}
