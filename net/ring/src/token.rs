//! `user_data`: which operation of which file a completion belongs to.
//!
//! Layout, from the top: kind (16 bits), generation (16 bits), index (32 bits). The index is that of the file, or of
//! the write to a file.

/// What an operation is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub(crate) enum Kind {
    /// A cancel. Its own outcome is of no interest: the cancelled operation completes.
    Cancel = 0,
    Readable = 1,
    Writable = 2,
    Accept = 3,
    /// Completes only when it took less than everything.
    SendQuiet = 4,
    SendReported = 5,
    Write = 6,
    /// A message from another ring.
    Woken = 7,
    /// Our message to another ring, which completes only when it failed.
    WakeFailed = 8,
}

const KINDS: [Kind; 9] = [
    Kind::Cancel,
    Kind::Readable,
    Kind::Writable,
    Kind::Accept,
    Kind::SendQuiet,
    Kind::SendReported,
    Kind::Write,
    Kind::Woken,
    Kind::WakeFailed,
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) generation: u16,
    pub(crate) index: u32,
}

impl Token {
    pub(crate) fn new(kind: Kind, generation: u16, index: u32) -> Self {
        Self { kind, generation, index }
    }

    pub(crate) fn to_bits(self) -> u64 {
        (self.kind as u64) << 48 | u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// `None` for a kind that this build never submits: a message from a foreign ring.
    pub(crate) fn from_bits(bits: u64) -> Option<Self> {
        let kind = *KINDS.get((bits >> 48) as usize)?;
        Some(Self { kind, generation: (bits >> 32) as u16, index: bits as u32 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_round_trip() {
        for kind in KINDS {
            let token = Token::new(kind, u16::MAX, 0xdead_beef);
            assert_eq!(Token::from_bits(token.to_bits()), Some(token));
        }
        assert_eq!(Token::from_bits((KINDS.len() as u64) << 48), None);
    }
}
