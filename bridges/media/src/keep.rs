//! [`Keep`]: bytes of files stay while somebody copies them.
//!
//! Thread: any. Whoever copies blocks until a removal that is under way has ended; whoever removes never waits, and leaves it for later. Limits:
//! what nobody needs any more takes its space for as long as the copy goes on. What can fail: nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

/// See the module. Clones are of the same files.
#[derive(Clone, Default, Debug)]
pub struct Keep(Arc<Mutex<()>>);

/// Nothing is removed until this is dropped.
#[derive(Debug)]
pub struct Kept<'a>(#[expect(dead_code, reason = "held, not read")] MutexGuard<'a, ()>);

impl Keep {
    /// Bytes that are there stay until the answer is dropped.
    #[must_use]
    pub fn hold(&self) -> Kept<'_> {
        Kept(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Bytes may be removed until the answer is dropped; none while somebody copies.
    pub(crate) fn may_remove(&self) -> Option<MutexGuard<'_, ()>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_removed_while_somebody_copies() {
        let keep = Keep::default();
        let other = keep.clone();
        let kept = keep.hold();
        assert!(other.may_remove().is_none());
        drop(kept);
        assert!(other.may_remove().is_some());
    }
}
