//! Tokens that are good once, and for a short time: socket tickets, registrations between a proved number and a name,
//! challenges between a proved number and a second factor.
//! Who keeps them sees keyed hashes only.

use crate::secret::{SECRET_BYTES, decode, mac};
use crate::{Opaque, ServerSecret};

/// What a token is for: its life and how it begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OneTimeKind {
    /// How the token begins, so that a leaked one can be searched for.
    pub prefix: &'static str,
    /// How long it is good.
    pub life_millis: u64,
}

impl OneTimeKind {
    /// Opens one socket.
    pub const TICKET: Self = Self { prefix: "lt1_", life_millis: 30_000 };
    /// Turns one proved number into an account.
    pub const REGISTRATION: Self = Self { prefix: "lg1_", life_millis: 10 * 60_000 };
    /// Waits for the second factor of an account whose number was proved.
    pub const CHALLENGE: Self = Self { prefix: "lc1_", life_millis: 5 * 60_000 };

    /// A token out of 32 random bytes, and what it is kept under.
    #[must_use]
    pub fn make(&self, server: &ServerSecret, random: [u8; SECRET_BYTES]) -> (Opaque, [u8; 32]) {
        (Opaque::encode(self.prefix, &random), self.key(server, &random))
    }

    /// What a token of a client would be kept under; `None` when it is none of this kind.
    ///
    /// Whoever looks for it compares hashes under a key that the client does not have: the time says nothing of the secret.
    #[must_use]
    pub fn find(&self, server: &ServerSecret, text: &str) -> Option<[u8; 32]> {
        Some(self.key(server, &decode(self.prefix, text)?))
    }

    fn key(&self, server: &ServerSecret, secret: &[u8; SECRET_BYTES]) -> [u8; 32] {
        mac(&server.one_time, &[self.prefix.as_bytes(), secret])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_by_its_hash_under_its_own_kind() {
        let server = ServerSecret::new([1; 32]);
        let (token, key) = OneTimeKind::TICKET.make(&server, [7; 32]);
        let text = token.reveal();
        assert!(text.starts_with("lt1_"));
        assert_eq!(OneTimeKind::TICKET.find(&server, text), Some(key));
        assert_eq!(OneTimeKind::REGISTRATION.find(&server, text), None);
        assert_ne!(OneTimeKind::TICKET.find(&ServerSecret::new([2; 32]), text), Some(key));
        assert_ne!(OneTimeKind::REGISTRATION.make(&server, [7; 32]).1, key);
        assert_eq!(OneTimeKind::TICKET.find(&server, "lt1_short"), None);
        assert!(!text.as_bytes().windows(8).any(|part| key.windows(8).any(|hash| hash == part)));
    }
}
