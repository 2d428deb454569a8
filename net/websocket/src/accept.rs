//! The proof that a server understood the upgrade (RFC 6455 §4.2.2).

use base64::Engine as _;

/// Appended to the client's key before hashing; fixed by the RFC.
const SALT: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Length of a `Sec-WebSocket-Accept` value.
pub const ACCEPT_BYTES: usize = 28;

/// `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key`: base64 of the SHA-1 of key and salt. ASCII.
///
/// `key` is the header value as sent, without surrounding blanks; its form is the caller's concern.
#[must_use]
pub fn accept_key(key: &[u8]) -> [u8; ACCEPT_BYTES] {
    let mut hash = sha1_smol::Sha1::new();
    hash.update(key);
    hash.update(SALT);
    let mut out = [0; ACCEPT_BYTES];
    let written = base64::engine::general_purpose::STANDARD
        .encode_slice(hash.digest().bytes(), &mut out)
        .expect("20 bytes are 28 base64 characters");
    debug_assert_eq!(written, ACCEPT_BYTES);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(&accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
