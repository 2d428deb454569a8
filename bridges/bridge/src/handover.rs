//! A socket on its way from a shard to the bridge that answers its requests.

use std::net::IpAddr;
use std::os::fd::OwnedFd;

/// A connection that turned out to carry plain HTTP requests. Nothing watches the socket any more; it is in blocking mode,
/// as it was accepted. Dropping it closes it.
#[derive(Debug)]
pub struct Handover {
    /// The socket.
    pub socket: OwnedFd,
    /// What was read from it already: at least one whole request head, at most what one read takes.
    pub read: Vec<u8>,
    /// Who opened it: the peer, or who stands behind a trusted proxy.
    pub client: IpAddr,
}
