//! Why a connection ended: one value to count, and to log when someone asks.

use lynk_http::Refusal;
use lynk_protocol::CloseCode;
use lynk_websocket::DecodeError;

/// Why a connection ended. The first reason stays; what happens while it closes adds none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EndReason {
    /// The request was refused.
    Refused(Refusal),
    /// A frame broke RFC 6455 or the size limit.
    Protocol(DecodeError),
    /// A binary message, where only text is taken.
    Binary,
    /// The peer closed with a close frame.
    PeerClosed,
    /// The stream ended without one.
    PeerGone,
    /// The socket failed (reset, broken pipe, timeout).
    SocketFailed,
    /// No sign of life after two pings.
    PingTimeout,
    /// A message was begun and not finished from one heartbeat to the next.
    MessageStalled,
    /// A slow consumer: the send queue passed its maximum.
    SendQueueFull,
    /// A slow consumer: no progress for the stall time.
    SendStalled,
    /// It was a plain request, which somebody else answers.
    HandedOver,
    /// The engine closed it.
    Engine(CloseCode),
}

const OTHERS: [EndReason; 10] = [
    EndReason::Binary,
    EndReason::PeerClosed,
    EndReason::PeerGone,
    EndReason::SocketFailed,
    EndReason::PingTimeout,
    EndReason::MessageStalled,
    EndReason::SendQueueFull,
    EndReason::SendStalled,
    EndReason::HandedOver,
    EndReason::Engine(CloseCode::Normal),
];

impl EndReason {
    /// How many values [`Self::index`] has.
    pub const COUNT: usize = Refusal::ALL.len() + DecodeError::ALL.len() + OTHERS.len();

    /// Every reason in the order of [`Self::index`]; all closes by the engine count as one, since the engine counts
    /// them by code.
    pub fn all() -> impl Iterator<Item = Self> {
        let refused = Refusal::ALL.into_iter().map(Self::Refused);
        refused.chain(DecodeError::ALL.into_iter().map(Self::Protocol)).chain(OTHERS)
    }

    /// Place in a table of counters, below [`Self::COUNT`].
    #[must_use]
    pub fn index(self) -> usize {
        Self::all()
            .position(|one| one == self || matches!((one, self), (Self::Engine(_), Self::Engine(_))))
            .expect("all() lists every reason")
    }

    /// Stable name, as a metric label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.name(),
            Self::Protocol(error) => error.name(),
            Self::Binary => "binary",
            Self::PeerClosed => "peer_closed",
            Self::PeerGone => "peer_gone",
            Self::SocketFailed => "socket_failed",
            Self::PingTimeout => "ping_timeout",
            Self::MessageStalled => "message_stalled",
            Self::SendQueueFull => "send_queue_full",
            Self::SendStalled => "send_stalled",
            Self::HandedOver => "handed_over",
            Self::Engine(_) => "engine",
        }
    }

    /// Close code and reason to send, where a close frame is due.
    pub(crate) fn close(self) -> Option<(u16, &'static str)> {
        let code = match self {
            Self::Protocol(error) => return Some((error.close_code(), error.reason())),
            Self::Binary => CloseCode::Unsupported,
            Self::PingTimeout => CloseCode::PingTimeout,
            // As for a peer that does not answer: it may come back and resume.
            Self::MessageStalled => {
                return Some((CloseCode::PingTimeout.number(), "message not finished in time"));
            }
            Self::SendQueueFull | Self::SendStalled => CloseCode::SlowConsumer,
            Self::Engine(code) => code,
            Self::Refused(_) | Self::PeerClosed | Self::PeerGone | Self::SocketFailed | Self::HandedOver => {
                return None;
            }
        };
        Some((code.number(), code.reason()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_dense_and_names_unique() {
        let all: Vec<_> = EndReason::all().collect();
        assert_eq!(all.len(), EndReason::COUNT);
        assert!(all.iter().enumerate().all(|(place, reason)| reason.index() == place));
        assert_eq!(
            EndReason::Engine(CloseCode::Shutdown).index(),
            EndReason::Engine(CloseCode::Normal).index()
        );
        let mut names: Vec<_> = all.iter().map(|reason| reason.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), EndReason::COUNT);
    }

    #[test]
    fn every_close_code_may_be_sent() {
        for (code, reason) in EndReason::all().filter_map(EndReason::close) {
            assert!(lynk_websocket::close_code_valid(code), "{code} {reason}");
        }
        assert!(CloseCode::ALL.iter().all(|code| lynk_websocket::close_code_valid(code.number())));
    }
}
