//! Recovery codes: ten of them, each good once in place of an app that is lost.
//!
//! A code has 120 random bits. At rest is a keyed hash over the user's id and the code. A slow hash would add nothing: nobody
//! finds so many bits by trying, whether the key is known or not. Codes that were handed out before had ten characters, 50 bits;
//! they are good until they are used or replaced. Who guesses at the server is counted, as with other codes.

use std::fmt;

use lynk_domain::UserId;

use crate::ServerSecret;
use crate::secret::mac;

/// Codes of an account.
pub const RECOVERY_CODES: usize = 10;
/// Random bytes that a code takes, five bits of each: characters of a code.
pub const RECOVERY_RANDOM_BYTES: usize = 24;
/// Characters of codes that were handed out before.
const EARLIER_CHARACTERS: usize = 10;
/// Fewest random bits for which a plain hash will do at rest (OWASP ASVS 5.0, 6.5.2).
const RANDOM_BITS_MIN: usize = 112;

const _: () = assert!(RECOVERY_RANDOM_BYTES * 5 >= RANDOM_BITS_MIN);
const _: () = assert!(EARLIER_CHARACTERS < RECOVERY_RANDOM_BYTES);

/// That of base32 (RFC 4648): no 0, 1, 8, 9, which people take for letters. In lower case, which is read more easily.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// 24 characters, or ten of an earlier code, for their user, and for nobody else. `Debug` shows nothing of them.
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryCode {
    characters: [u8; RECOVERY_RANDOM_BYTES],
    /// Those that count; the others are zero.
    count: usize,
}

impl RecoveryCode {
    /// The code of random bytes: five bits of each.
    #[must_use]
    pub fn new(random: [u8; RECOVERY_RANDOM_BYTES]) -> Self {
        let characters = random.map(|byte| ALPHABET[usize::from(byte & 31)]);
        Self { characters, count: RECOVERY_RANDOM_BYTES }
    }

    /// The code that somebody typed, in any case, with or without spaces and dashes; `None` for what is none. Both lengths
    /// are read: whoever kept codes of before has them still.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (mut characters, mut count) = ([0; RECOVERY_RANDOM_BYTES], 0);
        for byte in text.bytes().filter(|byte| !matches!(byte, b'-' | b' ')) {
            let byte = byte.to_ascii_lowercase();
            *characters.get_mut(count)? = ALPHABET.contains(&byte).then_some(byte)?;
            count += 1;
        }
        matches!(count, EARLIER_CHARACTERS | RECOVERY_RANDOM_BYTES).then_some(Self { characters, count })
    }

    fn characters(&self) -> &[u8] {
        &self.characters[..self.count]
    }

    /// Groups of four; of an earlier code, two of five.
    #[must_use]
    pub fn reveal(&self) -> String {
        let group = if self.count == EARLIER_CHARACTERS { EARLIER_CHARACTERS / 2 } else { 4 };
        let text = std::str::from_utf8(self.characters()).expect("the alphabet is ASCII");
        let mut shown = String::with_capacity(self.count + self.count / group);
        for (at, character) in text.char_indices() {
            if at > 0 && at % group == 0 {
                shown.push('-');
            }
            shown.push(character);
        }
        shown
    }

    /// What is kept of a code of a user, and what a try is found by. That of an earlier code is as it was: all that follows the
    /// id, which has one length, is the code.
    #[must_use]
    pub fn proof(&self, server: &ServerSecret, user: UserId) -> [u8; 32] {
        mac(&server.recovery, &[&user.0, self.characters()])
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

    /// A code whose first bytes are these, and whose others are 0.
    fn code_of(first: &[u8]) -> RecoveryCode {
        let mut random = [0; RECOVERY_RANDOM_BYTES];
        random[..first.len()].copy_from_slice(first);
        RecoveryCode::new(random)
    }

    #[test]
    fn a_code_is_read_as_people_type_it_and_not_otherwise() {
        let code = code_of(&[0, 1, 31, 30, 29, 32, 33, 63, 7, 255]);
        assert_eq!(code.reveal(), "ab76-5ab7-h7aa-aaaa-aaaa-aaaa");
        for text in [
            "ab76-5ab7-h7aa-aaaa-aaaa-aaaa",
            "AB765AB7H7AAAAAAAAAAAAAA",
            " ab765 ab7h7 aaaaa aaaaa aaaa ",
            "a-b-7-6-5-a-b-7-h-7-aaaaaaaaaaaaaa",
        ] {
            assert_eq!(RecoveryCode::parse(text), Some(code.clone()), "{text}");
        }
        for bad in [
            "",
            "ab76-5ab7-h7aa-aaaa-aaaa-aaa",
            "ab76-5ab7-h7aa-aaaa-aaaa-aaaaa",
            "ab76-5ab7-h7aa-aaaa-aaaa-aaa1",
            "ab76_5ab7_h7aa_aaaa_aaaa_aaaa",
            "ab76-5ab7-h7aa-aaaa-aaaa-aaé",
            "ab765-ab7h",
            "ab765-ab7h77",
            "ab765-ab7h1",
            "ab765_ab7h7",
        ] {
            assert_eq!(RecoveryCode::parse(bad), None, "{bad}");
        }
        assert_eq!(RecoveryCode::parse(&"a".repeat(1 << 20)), None);
        assert_eq!(format!("{code:?}"), "RecoveryCode(redacted)");
    }

    #[test]
    fn a_code_that_was_handed_out_before_is_read_and_is_no_beginning_of_another() {
        let (server, user) = (ServerSecret::new([1; 32]), UserId([1; 16]));
        let earlier = RecoveryCode::parse(" AB765 ab7h7").expect("ten characters");
        assert_eq!(earlier.reveal(), "ab765-ab7h7");
        let kept = mac(&server.recovery, &[&user.0, b"ab765ab7h7"]);
        assert_eq!(earlier.proof(&server, user), kept, "as it is kept in stores of before");
        let longer = code_of(&[0, 1, 31, 30, 29, 0, 1, 31, 7, 31]);
        assert!(longer.reveal().replace('-', "").starts_with("ab765ab7h7"));
        assert_ne!(longer.proof(&server, user), kept);
        assert_ne!(longer, earlier);
    }

    #[test]
    fn every_code_is_as_likely_as_any_other() {
        let mut letters = std::collections::BTreeMap::new();
        for byte in 0..=255 {
            let code = RecoveryCode::new([byte; RECOVERY_RANDOM_BYTES]).reveal();
            let of_one: Vec<_> =
                code.split('-').map(|group| group.chars().all(|c| code.starts_with(c))).collect();
            assert_eq!(of_one, [true; 6], "each of the bytes counts: {code}");
            *letters.entry(code[..1].to_owned()).or_insert(0) += 1;
        }
        assert_eq!(letters.len(), 32);
        assert!(letters.values().all(|count| *count == 8));
        let last = |byte: u8| {
            let mut random = [0; RECOVERY_RANDOM_BYTES];
            random[RECOVERY_RANDOM_BYTES - 1] = byte;
            RecoveryCode::new(random)
        };
        assert_ne!(last(1), last(2));
    }

    #[test]
    fn a_proof_is_of_one_code_of_one_user_of_one_server() {
        let (server, other) = (ServerSecret::new([1; 32]), ServerSecret::new([2; 32]));
        let (code, user) = (RecoveryCode::new([3; RECOVERY_RANDOM_BYTES]), UserId([1; 16]));
        let proof = code.proof(&server, user);
        assert_eq!(RecoveryCode::parse(&code.reveal()).expect("a code").proof(&server, user), proof);
        assert_ne!(code.proof(&server, UserId([2; 16])), proof);
        assert_ne!(code.proof(&other, user), proof);
        assert_ne!(RecoveryCode::new([4; RECOVERY_RANDOM_BYTES]).proof(&server, user), proof);
    }
}
