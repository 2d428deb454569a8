//! The shard's end of the bridge that mirrors who is online.

use lynk_engine::PresenceNews;
use lynk_mailbox::{Doorbell, Producer};

/// What a shard tells the mirror. Make the queue with `lynk_mailbox::channel`.
///
/// Full: news are dropped and counted. The engine tells again who stays, and what was not taken back runs out.
pub struct PresencePort {
    /// Who came, stays, went.
    pub news: Producer<PresenceNews>,
    /// The bridge's doorbell.
    pub bell: Doorbell,
    /// Wakes the bridge when the bell says that it sleeps.
    pub wake: Box<dyn Fn() + Send>,
}

pub(crate) struct Presence {
    port: Option<PresencePort>,
    posted: bool,
}

impl Presence {
    pub(crate) fn new(port: Option<PresencePort>) -> Self {
        Self { port, posted: false }
    }

    /// Posts news, as far as they fit; returns how many did not.
    pub(crate) fn tell(&mut self, news: impl ExactSizeIterator<Item = PresenceNews>) -> u64 {
        let Some(port) = &mut self.port else { return 0 };
        self.posted |= news.len() > 0;
        news.map(|one| u64::from(port.news.try_post(one).is_err())).sum()
    }

    pub(crate) fn ring(&mut self) {
        if std::mem::take(&mut self.posted)
            && let Some(port) = &self.port
        {
            port.bell.ring(|| (port.wake)());
        }
    }
}
