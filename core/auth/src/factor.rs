//! Secrets of second factors at rest: encrypted under a key that is not beside them, and bound to their user.
//!
//! The server must know an app's secret to check its codes, so a hash will not do. What a store or a backup has is this:
//!
//! ```text
//! 1       version, 1
//! 2..5    name of the key
//! 6..17   nonce
//! 18..    secret, encrypted with AES-256-GCM, and its tag
//! ```
//!
//! All before the nonce, and the user's id, are authenticated with it: a secret that is moved to another user opens for nobody.
//! Keys change by adding one: the first seals, all open, and what another than the first one sealed says that it is stale, so
//! that it is sealed anew when it is used next. Nonces are random: far fewer than 2^32 secrets are ever sealed under one key.

use std::fmt;

use lynk_domain::UserId;
use ring::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use ring::hmac::{HMAC_SHA256, Key, sign};

use crate::sealed::sealing_key;
use crate::totp::TOTP_SECRET_BYTES;
use crate::{SEAL_RANDOM_BYTES, TotpSecret};

/// Keys of second factors that are known at a time.
pub const FACTOR_KEYS_MAX: usize = 16;
/// Bytes of a sealed secret.
pub const SEALED_FACTOR_BYTES: usize = HEAD_BYTES + NONCE_LEN + TOTP_SECRET_BYTES + TAG_BYTES;

const VERSION: u8 = 1;
const NAME_BYTES: usize = 4;
const HEAD_BYTES: usize = 1 + NAME_BYTES;
const TAG_BYTES: usize = 16;

/// Why a sealed secret does not open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FactorError {
    /// The key that sealed it is not there: `keys/` is not the one of the store.
    UnknownKey,
    /// It is not what was sealed for this user.
    Damaged,
}

impl fmt::Display for FactorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownKey => "the key that sealed the second factor is not in keys/",
            Self::Damaged => "the sealed second factor is not what was sealed for this user",
        })
    }
}

impl std::error::Error for FactorError {}

/// A secret that was sealed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenedFactor {
    /// The secret.
    pub secret: TotpSecret,
    /// Another key than the first one sealed it: seal it anew.
    pub is_stale: bool,
}

struct FactorKey {
    name: [u8; NAME_BYTES],
    sealing: LessSafeKey,
}

impl FactorKey {
    fn new(bytes: &[u8; 32]) -> Self {
        let root = Key::new(HMAC_SHA256, bytes);
        let mut name = [0; NAME_BYTES];
        name.copy_from_slice(&sign(&root, b"lynk factor key name").as_ref()[..NAME_BYTES]);
        Self { name, sealing: sealing_key(sign(&root, b"lynk sealed factor").as_ref()) }
    }
}

/// The keys under which second factors are sealed. `Debug` shows how many.
pub struct FactorKeys(Vec<FactorKey>);

impl FactorKeys {
    /// The keys from 32 random bytes each; `current` seals. Of two with one name the first is used, and at most
    /// [`FACTOR_KEYS_MAX`] are.
    #[must_use]
    pub fn new(current: [u8; 32], earlier: impl IntoIterator<Item = [u8; 32]>) -> Self {
        let mut keys: Vec<FactorKey> = Vec::new();
        for bytes in std::iter::once(current).chain(earlier).take(FACTOR_KEYS_MAX) {
            let key = FactorKey::new(&bytes);
            if keys.iter().all(|known| known.name != key.name) {
                keys.push(key);
            }
        }
        Self(keys)
    }

    /// `secret` as a store may keep it for `user`: [`SEALED_FACTOR_BYTES`].
    #[must_use]
    pub fn seal(&self, user: UserId, secret: &TotpSecret, random: [u8; SEAL_RANDOM_BYTES]) -> Vec<u8> {
        let key = &self.0[0];
        let mut sealed = vec![VERSION];
        sealed.extend_from_slice(&key.name);
        let bound = bound(&sealed, user);
        sealed.extend_from_slice(&random);
        let mut body = secret.bytes().to_vec();
        key.sealing
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(random), bound, &mut body)
            .expect("no secret is as long as the limit of the cipher");
        sealed.append(&mut body);
        sealed
    }

    /// The secret that was sealed for `user`.
    ///
    /// # Errors
    /// Another key, another user, or bytes that were changed.
    pub fn open(&self, user: UserId, sealed: &[u8]) -> Result<OpenedFactor, FactorError> {
        let (head, rest) = sealed.split_first_chunk::<HEAD_BYTES>().ok_or(FactorError::Damaged)?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or(FactorError::Damaged)?;
        if head[0] != VERSION {
            return Err(FactorError::Damaged);
        }
        let (place, key) = self
            .0
            .iter()
            .enumerate()
            .find(|(_, key)| key.name == head[1..])
            .ok_or(FactorError::UnknownKey)?;
        let mut body = body.to_vec();
        let clear = key
            .sealing
            .open_in_place(Nonce::assume_unique_for_key(*nonce), bound(head, user), &mut body)
            .map_err(|_| FactorError::Damaged)?;
        let secret = <[u8; TOTP_SECRET_BYTES]>::try_from(&*clear).map_err(|_| FactorError::Damaged)?;
        Ok(OpenedFactor { secret: TotpSecret::new(secret), is_stale: place > 0 })
    }
}

impl fmt::Debug for FactorKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FactorKeys({} keys)", self.0.len())
    }
}

fn bound(head: &[u8], user: UserId) -> Aad<Vec<u8>> {
    Aad::from([head, &user.0].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: UserId = UserId([1; 16]);

    fn secret() -> TotpSecret {
        TotpSecret::new(*b"12345678901234567890")
    }

    #[test]
    fn a_secret_opens_for_its_user_and_for_nobody_else() {
        let keys = FactorKeys::new([1; 32], []);
        let sealed = keys.seal(ALICE, &secret(), [9; 12]);
        assert_eq!(sealed.len(), SEALED_FACTOR_BYTES);
        assert!(!sealed.windows(4).any(|part| part == b"1234"));
        assert_eq!(keys.open(ALICE, &sealed), Ok(OpenedFactor { secret: secret(), is_stale: false }));
        assert_eq!(keys.open(UserId([2; 16]), &sealed), Err(FactorError::Damaged));
        assert_eq!(FactorKeys::new([2; 32], []).open(ALICE, &sealed), Err(FactorError::UnknownKey));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(keys.open(ALICE, &changed).is_err(), "{at}");
            assert!(keys.open(ALICE, &sealed[..at]).is_err(), "{at}");
        }
        let long = [&sealed[..], &[0]].concat();
        assert!(keys.open(ALICE, &long).is_err());
    }

    #[test]
    fn a_key_that_was_replaced_opens_and_says_that_it_was() {
        let old = FactorKeys::new([1; 32], []);
        let sealed = old.seal(ALICE, &secret(), [9; 12]);
        let both = FactorKeys::new([2; 32], [[1; 32], [2; 32]]);
        assert_eq!(both.open(ALICE, &sealed), Ok(OpenedFactor { secret: secret(), is_stale: true }));
        let anew = both.seal(ALICE, &secret(), [8; 12]);
        assert_eq!(both.open(ALICE, &anew), Ok(OpenedFactor { secret: secret(), is_stale: false }));
        assert_eq!(old.open(ALICE, &anew), Err(FactorError::UnknownKey));
        assert_eq!(format!("{both:?}"), "FactorKeys(2 keys)");
    }
}
