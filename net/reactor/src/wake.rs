//! Waking a shard from another thread.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use lynk_mailbox::Doorbell;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

/// Wakes one shard. Clone it for everyone who posts to the shard.
#[derive(Clone)]
pub struct Waker {
    bell: Doorbell,
    event: Arc<OwnedFd>,
}

impl Waker {
    pub(crate) fn new(bell: Doorbell) -> Result<Self, Errno> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { bell, event: Arc::new(event) })
    }

    /// After posting mail: wakes the shard if it sleeps. Costs nearly nothing when it does not.
    pub fn ring(&self) {
        self.bell.ring(|| self.wake());
    }

    /// Ends the shard's sleep, or its next one: for news that are in no mailbox.
    pub fn wake(&self) {
        // The only failure is a full counter, which wakes as well.
        let _woken = rustix::io::write(&self.event, &1u64.to_ne_bytes());
    }

    pub(crate) fn bell(&self) -> &Doorbell {
        &self.bell
    }

    pub(crate) fn event(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
