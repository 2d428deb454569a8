//! One-time codes: six digits that prove that somebody reads a telephone's messages.
//!
//! At rest is a keyed hash over the request's id and the digits, so a code is good for the request it was made for and for
//! nothing else. Who keeps it counts tries and lives; every check costs one hash, whether there is such a request or not.

use std::fmt;

use crate::ServerSecret;
use crate::secret::mac;

/// Names one request for a code. Random, and told to who asked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CodeRequest(pub [u8; 16]);

/// Six digits for the telephone, and for nobody else. `Debug` shows nothing of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Code([u8; 6]);

impl Code {
    /// The code of 16 random bytes. Of the 2^128 values of the bytes no code has 1 in 10^32 more than another.
    #[must_use]
    pub fn new(random: [u8; 16]) -> Self {
        let mut number = u128::from_be_bytes(random) % 1_000_000;
        let mut digits = [b'0'; 6];
        for digit in digits.iter_mut().rev() {
            *digit += (number % 10) as u8;
            number /= 10;
        }
        Self(digits)
    }

    /// The code that a client sent; `None` unless it is six ASCII digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: [u8; 6] = text.as_bytes().try_into().ok()?;
        digits.iter().all(u8::is_ascii_digit).then_some(Self(digits))
    }

    /// The digits.
    #[must_use]
    pub fn reveal(&self) -> &str {
        std::str::from_utf8(&self.0).expect("digits are ASCII")
    }

    /// What is kept of the code of a request, and what a try is compared by.
    #[must_use]
    pub fn proof(&self, server: &ServerSecret, request: CodeRequest) -> [u8; 32] {
        mac(&server.code, &[&request.0, &self.0])
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_six_digits_spread_evenly_and_read_strictly() {
        assert_eq!(Code::new([0; 16]).reveal(), "000000");
        assert_eq!(Code::new(1_234_567u128.to_be_bytes()).reveal(), "234567");
        assert_eq!(Code::new([0xff; 16]).reveal(), format!("{:06}", u128::MAX % 1_000_000));
        assert_eq!(Code::parse("012345").expect("digits").reveal(), "012345");
        for bad in ["", "12345", "1234567", "12345a", " 12345", "-12345", "１２３４５６", "١٢٣"] {
            assert_eq!(Code::parse(bad), None, "{bad}");
        }
        assert_eq!(format!("{:?}", Code::new([7; 16])), "Code(redacted)");
    }

    #[test]
    fn a_proof_is_of_one_code_of_one_request_of_one_server() {
        let (server, other) = (ServerSecret::new([1; 32]), ServerSecret::new([2; 32]));
        let (code, request) = (Code::new([0; 16]), CodeRequest([1; 16]));
        let proof = code.proof(&server, request);
        assert_eq!(proof, code.proof(&server, request));
        assert_ne!(proof, Code::new([1; 16]).proof(&server, request));
        assert_ne!(proof, code.proof(&server, CodeRequest([2; 16])));
        assert_ne!(proof, code.proof(&other, request));
    }
}
