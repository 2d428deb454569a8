//! Where a thread leaves a copy of its numbers for others to read.

use std::sync::{Arc, Mutex, PoisonError, TryLockError};

/// The latest copy of one thread's numbers. Clones share it.
///
/// The writer never waits: when a reader is copying at that moment, that one update is skipped and the next one tells.
/// Totals only grow, so nothing is lost by it.
#[derive(Debug, Default)]
pub struct Board<T>(Arc<Mutex<T>>);

impl<T> Clone for Board<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Clone> Board<T> {
    /// A board that shows `first`.
    #[must_use]
    pub fn new(first: T) -> Self {
        Self(Arc::new(Mutex::new(first)))
    }

    /// Lets `write` update the copy, unless somebody is reading it; returns whether it did. Does not wait.
    pub fn publish(&self, write: impl FnOnce(&mut T)) -> bool {
        match self.0.try_lock() {
            Ok(mut copy) => {
                write(&mut copy);
                true
            }
            Err(TryLockError::Poisoned(copy)) => {
                write(&mut copy.into_inner());
                true
            }
            Err(TryLockError::WouldBlock) => false,
        }
    }

    /// The latest copy.
    #[must_use]
    pub fn read(&self) -> T {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_does_not_wait_for_a_reader() {
        let board = Board::new(1);
        let reader = board.0.lock().expect("free");
        assert!(!board.publish(|n| *n = 2));
        drop(reader);
        assert!(board.publish(|n| *n = 3));
        assert_eq!(board.clone().read(), 3);
    }
}
