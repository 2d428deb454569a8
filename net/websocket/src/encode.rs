//! Frames for sending. A server's are unmasked; a client's are masked with a key the caller draws.

use std::ops::Deref;

use crate::{CONTROL_BYTES_MAX, Opcode, mask};

/// Longest head of a server's frame.
pub const SERVER_HEADER_BYTES_MAX: usize = 10;
/// Longest head of a client's frame.
pub const CLIENT_HEADER_BYTES_MAX: usize = SERVER_HEADER_BYTES_MAX + 4;

/// An encoded frame head; dereferences to its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    bytes: [u8; CLIENT_HEADER_BYTES_MAX],
    length: u8,
}

impl Header {
    fn new(fin: bool, opcode: Opcode, payload_bytes: usize, mask_bit: u8) -> Self {
        let mut bytes = [0; CLIENT_HEADER_BYTES_MAX];
        bytes[0] = u8::from(fin) << 7 | opcode as u8;
        let length = match payload_bytes {
            0..=125 => {
                bytes[1] = payload_bytes as u8;
                2
            }
            126..=0xffff => {
                bytes[1] = 126;
                bytes[2..4].copy_from_slice(&(payload_bytes as u16).to_be_bytes());
                4
            }
            _ => {
                bytes[1] = 127;
                bytes[2..10].copy_from_slice(&(payload_bytes as u64).to_be_bytes());
                10
            }
        };
        bytes[1] |= mask_bit;
        Self { bytes, length }
    }
}

impl Deref for Header {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// Head of a server's frame with `payload_bytes` of payload to follow. `fin` is false for all but the last
/// fragment of a fragmented message.
#[must_use]
pub fn encode_server_header(fin: bool, opcode: Opcode, payload_bytes: usize) -> Header {
    Header::new(fin, opcode, payload_bytes, 0)
}

/// Head of a client's frame; the payload that follows must be masked with `key`.
#[must_use]
pub fn encode_client_header(fin: bool, opcode: Opcode, payload_bytes: usize, key: [u8; 4]) -> Header {
    let mut header = Header::new(fin, opcode, payload_bytes, 0x80);
    let at = usize::from(header.length);
    header.bytes[at..at + 4].copy_from_slice(&key);
    header.length += 4;
    header
}

/// Appends a whole client frame to `out`, masked with `key`, which must not be predictable to others on the path.
pub fn encode_client_frame(out: &mut Vec<u8>, fin: bool, opcode: Opcode, payload: &[u8], key: [u8; 4]) {
    out.extend_from_slice(&encode_client_header(fin, opcode, payload.len(), key));
    let start = out.len();
    out.extend_from_slice(payload);
    mask(&mut out[start..], key, 0);
}

/// A server's control frame, head and payload; dereferences to its bytes. Lives on the stack.
#[derive(Clone, Copy, Debug)]
pub struct Control {
    bytes: [u8; 2 + CONTROL_BYTES_MAX],
    length: u8,
}

impl Control {
    fn new(opcode: Opcode, parts: [&[u8]; 2]) -> Self {
        let mut bytes = [0; 2 + CONTROL_BYTES_MAX];
        let mut length = 2;
        for part in parts {
            bytes[length..length + part.len()].copy_from_slice(part);
            length += part.len();
        }
        bytes[0] = 0x80 | opcode as u8;
        bytes[1] = (length - 2) as u8;
        Self { bytes, length: length as u8 }
    }

    /// A ping. Payload above [`CONTROL_BYTES_MAX`] is cut.
    #[must_use]
    pub fn ping(payload: &[u8]) -> Self {
        Self::new(Opcode::Ping, [&payload[..payload.len().min(CONTROL_BYTES_MAX)], b""])
    }

    /// The answer to a ping, with the ping's payload. Payload above [`CONTROL_BYTES_MAX`] is cut.
    #[must_use]
    pub fn pong(payload: &[u8]) -> Self {
        Self::new(Opcode::Pong, [&payload[..payload.len().min(CONTROL_BYTES_MAX)], b""])
    }

    /// A close frame. `code` must be one of [`crate::close_code_valid`]; a reason above 123 bytes is cut at a
    /// character boundary.
    #[must_use]
    pub fn close(code: u16, reason: &str) -> Self {
        debug_assert!(crate::close_code_valid(code), "close code {code} must not be sent");
        let cut = reason.floor_char_boundary(CONTROL_BYTES_MAX - 2);
        Self::new(Opcode::Close, [&code.to_be_bytes(), &reason.as_bytes()[..cut]])
    }

    /// A close frame without code: the answer to a close frame that had none.
    #[must_use]
    pub fn close_empty() -> Self {
        Self::new(Opcode::Close, [b"", b""])
    }
}

impl Deref for Control {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_the_rfc() {
        // Section 5.7.
        let mut out = Vec::new();
        encode_client_frame(&mut out, true, Opcode::Text, b"Hello", [0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(out, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
        assert_eq!(*encode_server_header(true, Opcode::Text, 5), [0x81, 0x05]);
        assert_eq!(*encode_server_header(false, Opcode::Text, 3), [0x01, 0x03]);
        assert_eq!(*encode_server_header(true, Opcode::Continuation, 2), [0x80, 0x02]);
        assert_eq!(*encode_server_header(true, Opcode::Binary, 256), [0x82, 0x7e, 0x01, 0x00]);
        assert_eq!(*encode_server_header(true, Opcode::Binary, 65_536), [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(*Control::ping(b"Hello"), [0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        assert_eq!(*Control::pong(b""), [0x8a, 0x00]);
    }

    #[test]
    fn lengths_take_the_fewest_bytes() {
        for (payload, bytes) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            assert_eq!(encode_server_header(true, Opcode::Text, payload).len(), bytes, "{payload}");
            assert_eq!(
                encode_client_header(true, Opcode::Text, payload, [0; 4]).len(),
                bytes + 4,
                "{payload}"
            );
        }
    }

    #[test]
    fn a_long_close_reason_is_cut_between_characters() {
        let frame = Control::close(4101, &"é".repeat(100));
        assert_eq!(frame.len(), 2 + 2 + 122);
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
        assert_eq!(Control::ping(&[0; 200]).len(), 2 + CONTROL_BYTES_MAX);
    }
}
