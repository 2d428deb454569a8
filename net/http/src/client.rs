//! The client's half of the upgrade.

use std::fmt;

use base64::Engine as _;

use crate::{HEAD_BYTES_MAX, HEAD_LINES_MAX, SUBPROTOCOL, has_token};

/// What a client asks a server for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UpgradeRequest<'a> {
    /// Host, with the port when it is not the scheme's own.
    pub host: &'a str,
    /// Path of the WebSocket.
    pub path: &'a str,
    /// Sixteen fresh random bytes.
    pub nonce: [u8; 16],
    /// `Origin`, for tests of the server's policy; programs send none.
    pub origin: Option<&'a str>,
}

/// Appends the request to `out`; it offers [`SUBPROTOCOL`]. Returns the `Sec-WebSocket-Key` it carries, from which
/// the expected accept value is computed. `host`, `path` and `origin` must not contain line ends.
pub fn encode_upgrade_request(out: &mut Vec<u8>, request: &UpgradeRequest<'_>) -> [u8; 24] {
    let mut key = [0; 24];
    base64::engine::general_purpose::STANDARD
        .encode_slice(request.nonce, &mut key)
        .expect("16 bytes are 24 base64 characters");
    let mut line = |parts: &[&[u8]]| {
        for part in parts {
            out.extend_from_slice(part);
        }
        out.extend_from_slice(b"\r\n");
    };
    line(&[b"GET ", request.path.as_bytes(), b" HTTP/1.1"]);
    line(&[b"Host: ", request.host.as_bytes()]);
    line(&[b"Upgrade: websocket"]);
    line(&[b"Connection: Upgrade"]);
    line(&[b"Sec-WebSocket-Version: 13"]);
    line(&[b"Sec-WebSocket-Key: ", &key]);
    line(&[b"Sec-WebSocket-Protocol: ", SUBPROTOCOL.as_bytes()]);
    if let Some(origin) = request.origin {
        line(&[b"Origin: ", origin.as_bytes()]);
    }
    line(&[]);
    key
}

/// A server's consent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Upgraded {
    /// Length of the response head; frames follow it.
    pub head_bytes: usize,
    /// Whether the server selected [`SUBPROTOCOL`].
    pub subprotocol: bool,
}

/// Why a client did not get its WebSocket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum UpgradeFailed {
    /// The response is not HTTP/1.1, or its head is above the limits.
    Malformed,
    /// The server refused with this status; a body may follow.
    Status(u16),
    /// The upgrade headers are missing, or the accept value does not match the key.
    NotAccepted,
}

impl fmt::Display for UpgradeFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("the server does not speak HTTP/1.1"),
            Self::Status(status) => write!(f, "the server refused the WebSocket with status {status}"),
            Self::NotAccepted => f.write_str("the server's handshake does not prove a WebSocket"),
        }
    }
}

impl std::error::Error for UpgradeFailed {}

/// Decodes the response at the start of `bytes`; `None` when it is cut short. `accept` is the expected accept value.
///
/// # Errors
/// The response is complete, or wrong beyond repair, and not the upgrade that was asked for.
pub fn decode_upgrade_response(bytes: &[u8], accept: &[u8]) -> Result<Option<Upgraded>, UpgradeFailed> {
    let mut lines = [httparse::EMPTY_HEADER; HEAD_LINES_MAX];
    let mut response = httparse::Response::new(&mut lines);
    let within = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    let head_bytes = match response.parse(within) {
        Ok(httparse::Status::Complete(head_bytes)) => head_bytes,
        Ok(httparse::Status::Partial) if within.len() < HEAD_BYTES_MAX => return Ok(None),
        _ => return Err(UpgradeFailed::Malformed),
    };
    match (response.version, response.code) {
        (Some(1), Some(101)) => {}
        (_, Some(status)) if status != 101 => return Err(UpgradeFailed::Status(status)),
        _ => return Err(UpgradeFailed::Malformed),
    }
    let lists = |name: &str, token: &str| {
        response
            .headers
            .iter()
            .any(|line| line.name.eq_ignore_ascii_case(name) && has_token(line.value, token))
    };
    let accepted = response.headers.iter().any(|line| {
        line.name.eq_ignore_ascii_case("sec-websocket-accept") && line.value.trim_ascii() == accept
    });
    if !(accepted && lists("upgrade", "websocket") && lists("connection", "upgrade")) {
        return Err(UpgradeFailed::NotAccepted);
    }
    Ok(Some(Upgraded { head_bytes, subprotocol: lists("sec-websocket-protocol", SUBPROTOCOL) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> UpgradeRequest<'static> {
        UpgradeRequest { host: "chat.example:8080", path: "/ws", nonce: *b"the sample nonce", origin: None }
    }

    #[test]
    fn the_servers_half_understands_the_request() {
        let mut out = Vec::new();
        let key = encode_upgrade_request(&mut out, &request());
        assert_eq!(&key, b"dGhlIHNhbXBsZSBub25jZQ==");
        let (head, length) = crate::decode_head(&out, &crate::Policy::default()).unwrap().unwrap();
        assert_eq!(head, crate::Head::Upgrade(crate::Upgrade { key: &key, subprotocol: true }));
        assert_eq!(length, out.len());
    }

    #[test]
    fn consent_is_read_at_every_cut() {
        let mut out = Vec::new();
        crate::encode_switching(&mut out, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", true);
        let length = out.len();
        out.extend_from_slice(b"\x81\x00");
        for cut in 0..=out.len() {
            let result = decode_upgrade_response(&out[..cut], b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
            let expected = (cut >= length).then_some(Upgraded { head_bytes: length, subprotocol: true });
            assert_eq!(result, Ok(expected), "cut at {cut}");
        }
        assert_eq!(decode_upgrade_response(&out, b"another"), Err(UpgradeFailed::NotAccepted));
    }

    #[test]
    fn refusals_are_told_apart() {
        let mut out = Vec::new();
        crate::Refusal::Draining.encode_response(&mut out, 3);
        assert_eq!(decode_upgrade_response(&out, b""), Err(UpgradeFailed::Status(503)));
        assert_eq!(decode_upgrade_response(b"SSH-2.0-OpenSSH\r\n", b""), Err(UpgradeFailed::Malformed));
        assert_eq!(decode_upgrade_response(&[b'H'; HEAD_BYTES_MAX], b""), Err(UpgradeFailed::Malformed));
        let plain = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";
        assert_eq!(decode_upgrade_response(plain, b""), Err(UpgradeFailed::NotAccepted));
    }
}
