//! The clocks of the API: read here, passed in everywhere else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lynk_domain::{Millis, Nanos, Now};

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Now + Send + Sync>;

/// The operating system's clocks. The wall clock never goes back while the process lives: a step back would make access
/// tokens good again whose revocation was forgotten with their end.
#[must_use]
pub fn system_clock() -> Clock {
    let latest = AtomicU64::new(0);
    Arc::new(move || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let mono = seconds.saturating_mul(Nanos::SECOND) + u64::try_from(time.tv_nsec).unwrap_or(0);
        let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        let read = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let wall = latest.fetch_max(read, Ordering::Relaxed).max(read);
        Now { mono: Nanos(mono), wall: Millis(wall) }
    })
}
