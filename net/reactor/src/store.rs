//! The shard's end of the store thread.

use lynk_domain::Lsn;
use lynk_mailbox::{Consumer, Doorbell, Producer};
use lynk_model::{RequestId, SourceId, StoreError, StoreReply, StoreRequest};

/// What a shard and the store thread exchange. Make the queues with `lynk_mailbox::channel`; the store thread wakes the
/// shard with its [`crate::Waker`].
///
/// Full: a request that does not fit is answered [`StoreError::Unavailable`] at once, so that nothing is lost unnoticed.
/// The other two queues are the store thread's to keep within their capacity: it answers each request once, and repeats
/// a drain position that did not fit with a later one.
pub struct StorePort {
    /// Requests to the store. As many as the limit of requests in flight should fit.
    pub requests: Producer<(RequestId, StoreRequest)>,
    /// Its answers.
    pub replies: Consumer<(RequestId, StoreReply)>,
    /// How far each journal is drained.
    pub drained: Consumer<(SourceId, Lsn)>,
    /// The store thread's doorbell.
    pub bell: Doorbell,
    /// Wakes the store thread when the bell says that it sleeps.
    pub wake: Box<dyn Fn() + Send>,
}

pub(crate) struct Store {
    port: StorePort,
    posted: bool,
    /// Requests that are not answered.
    in_flight: u64,
}

impl Store {
    pub(crate) fn new(port: StorePort) -> Self {
        Self { port, posted: false, in_flight: 0 }
    }

    /// Posts a request; the answer to give to the engine at once when it does not fit.
    pub(crate) fn post(&mut self, id: RequestId, request: StoreRequest) -> Option<(RequestId, StoreReply)> {
        self.posted = true;
        match self.port.requests.try_post((id, request)) {
            Ok(()) => {
                self.in_flight += 1;
                None
            }
            Err((id, _)) => Some((id, StoreReply::Failed(StoreError::Unavailable))),
        }
    }

    pub(crate) fn ring(&mut self) {
        if std::mem::take(&mut self.posted) {
            self.port.bell.ring(|| (self.port.wake)());
        }
    }

    pub(crate) fn take_reply(&mut self) -> Option<(RequestId, StoreReply)> {
        let reply = self.port.replies.take()?;
        self.in_flight = self.in_flight.saturating_sub(1);
        Some(reply)
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    pub(crate) fn take_drained(&mut self) -> Option<(SourceId, Lsn)> {
        self.port.drained.take()
    }

    pub(crate) fn has_mail(&mut self) -> bool {
        !self.port.replies.is_empty() || !self.port.drained.is_empty()
    }
}
