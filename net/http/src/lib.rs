//! HTTP/1.1 request heads, the WebSocket upgrade, and who is behind a proxy. Sans-I/O.
//!
//! Thread: any; a shard decodes the head of each new connection, the terminal client and the load tool use the
//! client's half.
//!
//! Invariants: the answer depends on the bytes of the head alone, however they were cut into reads; a refusal always
//! closes the connection, so nothing after a refused head is ever taken for a second request.
//!
//! Limits: [`HEAD_BYTES_MAX`], [`HEAD_LINES_MAX`] and [`PROXY_BYTES_MAX`]. Decoding a head allocates nothing; looking for
//! a proxy's client in it does.
//!
//! What can fail: a request, with a [`Refusal`] that is both the reason to count and the response to send.

#![forbid(unsafe_code)]

mod client;
mod proxy;
mod refusal;
mod request;

pub use client::{UpgradeFailed, UpgradeRequest, Upgraded, decode_upgrade_response, encode_upgrade_request};
pub use proxy::{
    Network, PROXY_BYTES_MAX, ProxyHeader, TrustedProxies, decode_proxy_header, forwarded_client,
};
pub use refusal::Refusal;
pub use request::{Head, Policy, Request, Upgrade, decode_head, encode_switching};

/// Longest head, from the first byte of the request line to the empty line.
pub const HEAD_BYTES_MAX: usize = 8 << 10;
/// Most header lines of a head.
pub const HEAD_LINES_MAX: usize = 64;
/// Where the WebSocket lives unless configured otherwise.
pub const SOCKET_PATH: &str = "/ws";
/// The subprotocol that a server selects when it is offered.
pub const SUBPROTOCOL: &str = "lynk.v1";

/// Whether `value`, a comma-separated list, has `token` in it. Tokens compare without case.
fn has_token(value: &[u8], token: &str) -> bool {
    value.split(|byte| *byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}
