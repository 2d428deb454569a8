//! Recovery codes: ten of them, each good once in place of an app that is lost.
//!
//! A code has 50 random bits. At rest is a keyed hash over the user's id and the code. A slow hash would add nothing: whoever
//! has the store and not the key learns nothing however fast the hash is, and whoever has the key, too, has the secrets of the
//! apps and needs no code. Who guesses at the server is counted, as with other codes.

use std::fmt;

use lynk_domain::UserId;

use crate::ServerSecret;
use crate::secret::mac;

/// Codes of an account.
pub const RECOVERY_CODES: usize = 10;
/// Random bytes that a code takes.
pub const RECOVERY_RANDOM_BYTES: usize = 10;

/// That of base32 (RFC 4648): no 0, 1, 8, 9, which people take for letters. In lower case, which is read more easily.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Ten characters for their user, and for nobody else. `Debug` shows nothing of them.
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryCode([u8; RECOVERY_RANDOM_BYTES]);

impl RecoveryCode {
    /// The code of random bytes: five bits of each.
    #[must_use]
    pub fn new(random: [u8; RECOVERY_RANDOM_BYTES]) -> Self {
        Self(random.map(|byte| ALPHABET[usize::from(byte & 31)]))
    }

    /// The code that somebody typed, in any case, with or without spaces and dashes; `None` for what is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut code = [0; RECOVERY_RANDOM_BYTES];
        let mut places = code.iter_mut();
        for byte in text.bytes().filter(|byte| !matches!(byte, b'-' | b' ')) {
            let byte = byte.to_ascii_lowercase();
            *places.next()? = ALPHABET.contains(&byte).then_some(byte)?;
        }
        places.next().is_none().then_some(Self(code))
    }

    /// Two groups of five.
    #[must_use]
    pub fn reveal(&self) -> String {
        let text = std::str::from_utf8(&self.0).expect("the alphabet is ASCII");
        let (first, second) = text.split_at(RECOVERY_RANDOM_BYTES / 2);
        format!("{first}-{second}")
    }

    /// What is kept of a code of a user, and what a try is found by.
    #[must_use]
    pub fn proof(&self, server: &ServerSecret, user: UserId) -> [u8; 32] {
        mac(&server.recovery, &[&user.0, &self.0])
    }
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_people_type_it_and_not_otherwise() {
        let code = RecoveryCode::new([0, 1, 31, 30, 29, 32, 33, 63, 7, 255]);
        assert_eq!(code.reveal(), "ab765-ab7h7");
        for text in ["ab765-ab7h7", "AB765AB7H7", " ab765 ab7h7 ", "a-b-7-6-5-a-b-7-h-7"] {
            assert_eq!(RecoveryCode::parse(text), Some(code.clone()), "{text}");
        }
        for bad in
            ["", "ab765-ab7h", "ab765-ab7h77", "ab765-ab7h1", "ab765_ab7h7", "ab765-ab7hé", "０b765-ab7h7"]
        {
            assert_eq!(RecoveryCode::parse(bad), None, "{bad}");
        }
        assert_eq!(RecoveryCode::parse(&"a".repeat(1 << 20)), None);
        assert_eq!(format!("{code:?}"), "RecoveryCode(redacted)");
    }

    #[test]
    fn every_code_is_as_likely_as_any_other() {
        let mut letters = std::collections::BTreeMap::new();
        for byte in 0..=255 {
            let code = RecoveryCode::new([byte; RECOVERY_RANDOM_BYTES]).reveal();
            *letters.entry(code[..1].to_owned()).or_insert(0) += 1;
        }
        assert_eq!(letters.len(), 32);
        assert!(letters.values().all(|count| *count == 8));
    }

    #[test]
    fn a_proof_is_of_one_code_of_one_user_of_one_server() {
        let (server, other) = (ServerSecret::new([1; 32]), ServerSecret::new([2; 32]));
        let (code, user) = (RecoveryCode::new([3; 10]), UserId([1; 16]));
        let proof = code.proof(&server, user);
        assert_eq!(RecoveryCode::parse(&code.reveal()).expect("a code").proof(&server, user), proof);
        assert_ne!(code.proof(&server, UserId([2; 16])), proof);
        assert_ne!(code.proof(&other, user), proof);
        assert_ne!(RecoveryCode::new([4; 10]).proof(&server, user), proof);
    }
}
