//! [`LinkCode`]: what lets somebody into a room, as people pass it on.

use std::fmt;

use lynk_domain::RoomId;

/// The code of a link: its room and its secret, as 64 hexadecimal digits. `Debug` does not show the secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LinkCode {
    /// Where it leads.
    pub room: RoomId,
    /// What only those have to whom it was given.
    pub secret: [u8; 16],
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

impl LinkCode {
    /// The code of a text; `None` for a text of another form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        if text.len() != 64 {
            return None;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let mut bytes = [0_u8; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        let (mut room, mut secret) = ([0; 16], [0; 16]);
        room.copy_from_slice(&bytes[..16]);
        secret.copy_from_slice(&bytes[16..]);
        Some(Self { room: RoomId(room), secret })
    }

    /// The code as text.
    #[must_use]
    pub fn text(&self) -> String {
        let bytes = self.room.0.iter().chain(&self.secret);
        let digits = bytes.flat_map(|byte| [byte >> 4, byte & 15]);
        digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
    }
}

impl fmt::Debug for LinkCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkCode({}, redacted)", self.room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_it_was_written_and_nothing_else_is() {
        let code = LinkCode { room: RoomId([0x0f; 16]), secret: [0xa1; 16] };
        let text = code.text();
        assert_eq!(text, format!("{}{}", "0f".repeat(16), "a1".repeat(16)));
        assert_eq!(LinkCode::parse(&text), Some(code));
        assert_eq!(LinkCode::parse(&text.to_uppercase()), Some(code));
        let bad =
            ["", "0f", &text[1..], &format!("{text}0"), &text.replace("a1", "g1"), &text.replace("0f", "+f")];
        for bad in bad {
            assert_eq!(LinkCode::parse(bad), None, "{bad}");
        }
        assert!(!format!("{code:?}").contains("a1a1"), "the secret is not shown");
    }
}
