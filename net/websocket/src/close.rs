//! The payload of a close frame (RFC 6455 §5.5.1 and §7.4).

use crate::head::DecodeError;

/// What a close frame says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Close<'a> {
    /// The code, or `None` for an empty close frame (which stands for 1005).
    pub code: Option<u16>,
    /// Why, for humans; at most 123 bytes.
    pub reason: &'a str,
}

/// Whether `code` may appear in a close frame.
///
/// 1004, 1005, 1006 and 1015 never go over the wire; other codes below 3000 must be registered; 3000–3999 belong to
/// libraries and frameworks, 4000–4999 to applications.
#[must_use]
pub const fn close_code_valid(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Decodes the unmasked payload of a close frame.
pub(crate) fn decode_close(payload: &[u8]) -> Result<Close<'_>, DecodeError> {
    match payload {
        [] => Ok(Close::default()),
        [_] => Err(DecodeError::CloseTruncated),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !close_code_valid(code) {
                return Err(DecodeError::CloseCodeInvalid);
            }
            let reason = simdutf8::basic::from_utf8(reason).map_err(|_| DecodeError::InvalidUtf8)?;
            Ok(Close { code: Some(code), reason })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_codes() {
        let valid: Vec<u16> = (0..=u16::MAX).filter(|code| close_code_valid(*code)).collect();
        let expected: Vec<u16> = (1000..=1003).chain(1007..=1014).chain(3000..=4999).collect();
        assert_eq!(valid, expected);
    }

    #[test]
    fn payloads_of_every_shape() {
        assert_eq!(decode_close(b""), Ok(Close { code: None, reason: "" }));
        assert_eq!(decode_close(b"\x03"), Err(DecodeError::CloseTruncated));
        assert_eq!(decode_close(b"\x03\xe8"), Ok(Close { code: Some(1000), reason: "" }));
        assert_eq!(decode_close("\u{3}\u{0}".as_bytes()), Err(DecodeError::CloseCodeInvalid));
        assert_eq!(decode_close(b"\x03\xe8bye"), Ok(Close { code: Some(1000), reason: "bye" }));
        assert_eq!(decode_close(b"\x03\xe8\xce\xba\xe1"), Err(DecodeError::InvalidUtf8));
    }
}
