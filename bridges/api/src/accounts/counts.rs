//! What accounts count. Written by the accounts' thread and by handlers, read by a scrape.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lynk_auth::{SmsCallError, TEN_THOUSANDTHS};
use lynk_bridge::Health;
use lynk_telemetry::{Histogram, Metric, Snapshot};

/// What became of a request for a code, in the order of the metric's label.
#[derive(Clone, Copy, Debug)]
pub(super) enum Coded {
    /// The carrier took it.
    Sent,
    /// The number had its messages of the day; the answer was that of the others.
    Withheld,
    /// A limit refused it, or the store was away.
    Refused,
    /// The carrier did not take it.
    Failed,
    /// The carrier did not say whether it took it.
    Unknown,
}

/// What became of a refresh token, in the order of the metric's label.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refreshed {
    /// The family went on to the next one.
    Turned,
    /// A retry got the same successor.
    Repeated,
    /// It was used up: the session is over.
    Reused,
    /// It is not good, or came too fast.
    Refused,
}

/// What became of a second factor that was shown, in the order of the metric's label.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tried {
    /// It was right.
    Good,
    /// It was not.
    Wrong,
    /// There were too many wrong ones: it was not compared.
    Locked,
    /// The key that sealed it is not there, or it is damaged.
    Unreadable,
}

/// Totals since the start, a gauge, and whether the store works.
#[derive(Debug, Default)]
pub struct AccountCounts {
    /// The store.
    pub health: Health,
    codes: [AtomicU64; 5],
    /// Money, in ten-thousandths.
    spent: AtomicU64,
    over_budget: AtomicU64,
    /// By [`SmsCallError`], and those that were too long.
    calls_refused: [AtomicU64; 5],
    cancelled: AtomicU64,
    /// Good, and bad.
    proofs: [AtomicU64; 2],
    factors: [AtomicU64; 4],
    enrolling: AtomicU64,
    registered: AtomicU64,
    erasing: AtomicU64,
    erased: AtomicU64,
    refreshes: [AtomicU64; 4],
    waiting: AtomicU64,
    seconds: Mutex<Histogram>,
}

impl AccountCounts {
    pub(super) fn coded(&self, how: Coded) {
        self.codes[how as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A message was charged.
    pub(super) fn spent(&self, price: u32) {
        self.spent.fetch_add(price.into(), Ordering::Relaxed);
    }

    /// The money of the day is spent.
    pub(super) fn over_budget(&self) {
        self.over_budget.fetch_add(1, Ordering::Relaxed);
    }

    /// A carrier told that a message does not arrive.
    pub(super) fn cancelled(&self) {
        self.cancelled.fetch_add(1, Ordering::Relaxed);
    }

    /// A call of a carrier was not believed; `None` when it was too long to be looked at.
    pub(super) fn call_refused(&self, why: Option<SmsCallError>) {
        let index = match why {
            Some(SmsCallError::NotServed) => return,
            Some(why) => why as usize,
            None => self.calls_refused.len() - 1,
        };
        self.calls_refused[index].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn proved(&self, good: bool) {
        self.proofs[usize::from(!good)].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn tried(&self, how: Tried) {
        self.factors[how as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A token was issued that is good for turning on a second factor only.
    pub(super) fn enrolling(&self) {
        self.enrolling.fetch_add(1, Ordering::Relaxed);
    }

    /// Second factors that were compared and wrong: a test bounds guesses by it.
    #[cfg(test)]
    pub(super) fn compared_wrong(&self) -> u64 {
        self.factors[Tried::Wrong as usize].load(Ordering::Relaxed)
    }

    /// So many erasures are not done.
    pub(super) fn erasing(&self, count: u64) {
        self.erasing.store(count, Ordering::Relaxed);
    }

    /// A message of an erased account was taken back.
    pub(super) fn erased(&self) {
        self.erased.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn registered(&self) {
        self.registered.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refreshed(&self, how: Refreshed) {
        self.refreshes[how as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// An operation waits for the thread.
    pub(super) fn queued(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// One waits no longer: the thread took it, or there was no room for it.
    pub(super) fn taken(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn carried_out(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if let Ok(mut seconds) = self.seconds.lock() {
            seconds.record(nanos);
        }
    }

    /// Adds the numbers to a scrape.
    pub fn add_to(&self, snapshot: &mut Snapshot) {
        for (metric, counts) in [
            (Metric::AccountsCodes, &self.codes[..]),
            (Metric::AccountsProofs, &self.proofs[..]),
            (Metric::AccountsFactors, &self.factors[..]),
            (Metric::AccountsRefreshes, &self.refreshes[..]),
            (Metric::SmsCallsRefused, &self.calls_refused[..]),
        ] {
            for (index, count) in counts.iter().enumerate() {
                snapshot.add_at(metric, index, count.load(Ordering::Relaxed));
            }
        }
        let spent = self.spent.load(Ordering::Relaxed) as f64 / f64::from(TEN_THOUSANDTHS);
        snapshot.add_fraction(Metric::AccountsSpent, spent);
        snapshot.add(Metric::AccountsOverBudget, self.over_budget.load(Ordering::Relaxed));
        snapshot.add(Metric::AccountsCodesCancelled, self.cancelled.load(Ordering::Relaxed));
        snapshot.add(Metric::AccountsEnrolling, self.enrolling.load(Ordering::Relaxed));
        snapshot.add(Metric::AccountsErasures, self.erasing.load(Ordering::Relaxed));
        snapshot.add(Metric::AccountsErased, self.erased.load(Ordering::Relaxed));
        snapshot.add(Metric::AccountsRegistered, self.registered.load(Ordering::Relaxed));
        snapshot.add(Metric::AccountsWaiting, self.waiting.load(Ordering::Relaxed));
        let report = self.health.report();
        snapshot.add(Metric::AccountsStoreFailures, report.failures);
        snapshot.add(Metric::AccountsStoreDegraded, u64::from(report.degraded.is_some()));
        if let Ok(seconds) = self.seconds.lock() {
            snapshot.merge(Metric::AccountsSeconds, &seconds);
        }
    }
}
