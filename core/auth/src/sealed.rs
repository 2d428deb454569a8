//! Values that others keep for us: encrypted, and bound to what they are kept under.
//!
//! Who keeps them can lose them and bring back old ones, and can do no more: it reads nothing, makes nothing, and moves
//! nothing from one key to another. AES-256-GCM under a key of its own, with random nonces: far fewer than 2^32 values are
//! ever sealed under one secret.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::ServerSecret;

/// Random bytes that sealing takes.
pub const SEAL_RANDOM_BYTES: usize = NONCE_LEN;

pub(crate) fn sealing_key(bytes: &[u8]) -> LessSafeKey {
    let key = UnboundKey::new(&AES_256_GCM, bytes).expect("a hash is as long as a key");
    LessSafeKey::new(key)
}

impl ServerSecret {
    /// `clear` as others may keep it for `purpose` under `of`. Takes 28 bytes more.
    #[must_use]
    pub fn seal(&self, purpose: &str, of: &[u8], random: [u8; SEAL_RANDOM_BYTES], clear: &[u8]) -> Vec<u8> {
        let mut sealed = random.to_vec();
        let mut body = clear.to_vec();
        let nonce = Nonce::assume_unique_for_key(random);
        self.sealing
            .seal_in_place_append_tag(nonce, bound(purpose, of), &mut body)
            .expect("no value is as long as the limit of the cipher");
        sealed.append(&mut body);
        sealed
    }

    /// What was sealed for `purpose` under `of`; `None` when it was not, or is not whole.
    #[must_use]
    pub fn open(&self, purpose: &str, of: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut body = body.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let clear = self.sealing.open_in_place(nonce, bound(purpose, of), &mut body).ok()?.len();
        body.truncate(clear);
        Some(body)
    }
}

/// Purposes hold no zero, so no two pairs read alike.
fn bound(purpose: &str, of: &[u8]) -> Aad<Vec<u8>> {
    Aad::from([purpose.as_bytes(), &[0], of].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_where_it_was_sealed_and_nowhere_else() {
        let server = ServerSecret::new([1; 32]);
        let sealed = server.seal("code", b"one", [9; 12], b"+4915112345601");
        assert!(!sealed.windows(4).any(|part| part == b"1234"));
        assert_eq!(server.open("code", b"one", &sealed).as_deref(), Some(&b"+4915112345601"[..]));
        assert_eq!(server.open("code", b"two", &sealed), None);
        assert_eq!(server.open("ticket", b"one", &sealed), None);
        assert_eq!(ServerSecret::new([2; 32]).open("code", b"one", &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(server.open("code", b"one", &changed), None, "{at}");
            assert_eq!(server.open("code", b"one", &sealed[..at]), None, "{at}");
        }
        assert_eq!(server.open("empty", b"", &server.seal("empty", b"", [0; 12], b"")), Some(Vec::new()));
    }
}
