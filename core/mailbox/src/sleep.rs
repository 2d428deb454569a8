//! The sleep flag: wakes a receiver that sleeps, and costs nearly nothing while it is awake.
//!
//! Thread: [`Sleeper`] on the receiver, [`Doorbell`] on any number of senders.
//!
//! Invariant (no lost wakeup): the receiver writes the flag, then reads its queues; a sender writes a queue,
//! then reads the flag. A sequentially consistent fence between write and read on both sides makes at least
//! one of the two see the other's write, so an item is never left behind by a receiver that sleeps.
//!
//! Limits and failures: none. Several senders may ring at once; exactly one of them runs its wake action per
//! sleep.

use crate::sync::{Arc, AtomicBool, Ordering, OwnLines, fence};

/// Makes the two sides of one receiving thread's sleep flag. All its inbound mailboxes share them.
#[must_use]
pub fn sleeper() -> (Sleeper, Doorbell) {
    let asleep = Arc::new(OwnLines(AtomicBool::new(false)));
    (Sleeper { asleep: Arc::clone(&asleep) }, Doorbell { asleep })
}

/// The receiver's side of the flag.
pub struct Sleeper {
    asleep: Arc<OwnLines<AtomicBool>>,
}

impl Sleeper {
    /// Announces that this thread is about to block, then asks `has_mail`, which must look at every inbound
    /// queue. Returns whether the thread may block; it must call [`Self::wake_up`] afterwards, whatever ended
    /// the blocking. When there is mail the announcement is withdrawn and `false` returned; a sender may have
    /// rung in between, so the blocking call that comes next can return early once.
    #[must_use]
    pub fn may_sleep(&mut self, has_mail: impl FnOnce() -> bool) -> bool {
        // A swap, here and in `wake_up`: flag changes of both sides then form one chain of read-modify-writes,
        // so no ring that aimed at an earlier sleep can end up behind this announcement.
        self.asleep.0.swap(true, Ordering::AcqRel);
        fence(Ordering::SeqCst);
        if has_mail() {
            self.wake_up();
            return false;
        }
        true
    }

    /// Withdraws the announcement: senders no longer ring.
    pub fn wake_up(&mut self) {
        self.asleep.0.swap(false, Ordering::AcqRel);
    }
}

/// A sender's side of the flag. Clone it for every thread that posts to the receiver.
#[derive(Clone)]
pub struct Doorbell {
    asleep: Arc<OwnLines<AtomicBool>>,
}

impl Doorbell {
    /// Runs `wake` if the receiver sleeps and no other sender woke it yet. Call it after posting, once per
    /// batch. Returns whether `wake` ran.
    pub fn ring(&self, wake: impl FnOnce()) -> bool {
        fence(Ordering::SeqCst);
        if !self.asleep.0.load(Ordering::Relaxed) || !self.asleep.0.swap(false, Ordering::AcqRel) {
            return false;
        }
        wake();
        true
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn rings_only_a_sleeper_and_once_per_sleep() {
        let (mut sleeper, bell) = sleeper();
        let other = bell.clone();
        assert!(!bell.ring(|| panic!("the receiver is awake")));
        assert!(sleeper.may_sleep(|| false));
        let mut rung = 0;
        assert!(bell.ring(|| rung += 1));
        assert!(!other.ring(|| rung += 1));
        assert_eq!(rung, 1);
        sleeper.wake_up();
        assert!(sleeper.may_sleep(|| false));
        assert!(other.ring(|| ()));
    }

    #[test]
    fn mail_withdraws_the_announcement() {
        let (mut sleeper, bell) = sleeper();
        assert!(!sleeper.may_sleep(|| true));
        assert!(!bell.ring(|| panic!("the receiver is awake")));
    }
}
