//! Codes of links that let people into rooms.
//!
//! Thread: any. A code's secret is 128 bits of a keyed hash of who made the link, where, and with which idempotency key: a repeated command
//! has the same code, and nothing but its plain hash is kept. That the key is on no disk but the server's makes codes impossible to guess.

use std::fmt;

use lynk_domain::{Key as CommandKey, LinkId, RoomId, UserId};
use ring::digest::{SHA256, digest};
use ring::hmac::{HMAC_SHA256, Key, sign};

use crate::secret::mac;

/// Makes codes of links.
#[derive(Clone)]
pub struct LinkKey(Key);

impl LinkKey {
    /// The key from the server's secret, whose other uses this tells nothing of.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        let root = Key::new(HMAC_SHA256, &secret);
        Self(Key::new(HMAC_SHA256, sign(&root, b"lynk invite link").as_ref()))
    }

    /// Name and secret of the link that a command makes.
    #[must_use]
    pub fn make(&self, room: RoomId, by: UserId, key: CommandKey) -> (LinkId, [u8; 16]) {
        let full = mac(&self.0, &[&room.0, &by.0, &key.0]);
        let (mut id, mut secret) = ([0; 16], [0; 16]);
        id.copy_from_slice(&full[..16]);
        secret.copy_from_slice(&full[16..]);
        (LinkId(id), secret)
    }
}

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKey(redacted)")
    }
}

/// What is kept of a link's secret. It has 128 random bits, so that no salt is needed.
#[must_use]
pub fn link_hash(secret: &[u8; 16]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, secret).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_of_its_command_and_its_server_alone() {
        let key = LinkKey::new([7; 32]);
        let make = |key: &LinkKey, room: u8, by: u8, command: u8| {
            key.make(RoomId([room; 16]), UserId([by; 16]), CommandKey([command; 16]))
        };
        let first = make(&key, 1, 2, 3);
        assert_eq!(first, make(&LinkKey::new([7; 32]), 1, 2, 3), "a repeated command has the same");
        for other in [
            make(&key, 9, 2, 3),
            make(&key, 1, 9, 3),
            make(&key, 1, 2, 9),
            make(&LinkKey::new([8; 32]), 1, 2, 3),
        ] {
            assert!(first.0 != other.0 && first.1 != other.1);
            assert_ne!(link_hash(&first.1), link_hash(&other.1));
        }
        assert_ne!(first.0.0, first.1, "the name tells nothing of the secret");
    }
}
