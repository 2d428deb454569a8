//! The shard's end of the API bridge: sockets with plain requests go out, commands come in and answers go out.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use lynk_bridge::Handover;
use lynk_engine::{API_SLOTS_MAX, ApiInput, ApiOutput, Slot, TicketAsk};
use lynk_mailbox::{Consumer, Doorbell, Producer};
use lynk_protocol::Frame;

/// What a shard and the API bridge exchange. Make the queues with `lynk_mailbox::channel`; the bridge wakes the shard with
/// its [`crate::Waker`].
///
/// Full: a request whose socket does not fit is answered 503 by the shard; a ticket that does not fit is refused as busy. An
/// answer always fits, unless the bridge gave up waiting and used slots again faster than it reads: then it is dropped, which
/// is what its request was told already. What does not fit into `inputs` waits with the bridge.
pub struct ApiPort {
    /// Sockets with requests.
    pub sockets: Producer<Handover>,
    /// Answers to commands, and tickets. At least [`lynk_engine::API_ANSWERS_MAX`].
    pub answers: Producer<ApiOutput>,
    /// What the bridge says.
    pub inputs: Consumer<ApiInput>,
    /// The bridge's doorbell.
    pub bell: Doorbell,
    /// Wakes the bridge when the bell says that it sleeps.
    pub wake: Box<dyn Fn() + Send>,
}

pub(crate) struct Api {
    port: Option<ApiPort>,
    /// Sockets that were promised a place and are still watched by the driver.
    promised: usize,
    posted: bool,
}

impl Api {
    pub(crate) fn new(port: Option<ApiPort>) -> Self {
        Self { port, promised: 0, posted: false }
    }

    /// Whether there is a bridge.
    pub(crate) fn exists(&self) -> bool {
        self.port.is_some()
    }

    /// Promises a place for one more socket, if there is one.
    pub(crate) fn promise(&mut self) -> bool {
        let Some(port) = &mut self.port else { return false };
        let room = port.sockets.free() > self.promised && !port.sockets.is_abandoned();
        self.promised += usize::from(room);
        room
    }

    /// Posts a socket to its promised place. Without a client's address the peer is gone, and so is the socket.
    pub(crate) fn hand_over(&mut self, socket: OwnedFd, read: Vec<u8>, client: Option<IpAddr>) {
        self.promised = self.promised.saturating_sub(1);
        if let Some((port, client)) = self.port.as_mut().zip(client) {
            let posted = port.sockets.try_post(Handover { socket, read, client });
            debug_assert!(posted.is_ok(), "a place was promised");
            self.posted = true;
        }
    }

    /// Posts the answer to a command; whether it fitted.
    pub(crate) fn answer(&mut self, slot: Slot, frame: Arc<Frame>) -> bool {
        self.posted = true;
        self.port
            .as_mut()
            .is_some_and(|port| port.answers.try_post(ApiOutput::Answer { slot, frame }).is_ok())
    }

    /// Asks about a ticket.
    ///
    /// # Errors
    /// The question, when it does not fit.
    pub(crate) fn ask(&mut self, ask: TicketAsk) -> Result<(), TicketAsk> {
        let Some(port) = &mut self.port else { return Err(ask) };
        if port.answers.free() <= API_SLOTS_MAX as usize {
            return Err(ask);
        }
        self.posted = true;
        port.answers.try_post(ApiOutput::Ticket(ask)).map_err(|output| match output {
            ApiOutput::Ticket(ask) => ask,
            ApiOutput::Answer { .. } => unreachable!("it is what was posted"),
        })
    }

    pub(crate) fn take(&mut self) -> Option<ApiInput> {
        self.port.as_mut()?.inputs.take()
    }

    pub(crate) fn has_mail(&mut self) -> bool {
        self.port.as_mut().is_some_and(|port| !port.inputs.is_empty())
    }

    pub(crate) fn ring(&mut self) {
        if std::mem::take(&mut self.posted)
            && let Some(port) = &self.port
        {
            port.bell.ring(|| (port.wake)());
        }
    }
}
