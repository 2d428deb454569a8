//! Keys: the one that signs, and the set that is accepted.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::signature::{Ed25519KeyPair, KeyPair};

/// Public keys that a [`KeySet`] holds at most: the current one and a few that are being replaced.
pub const KEYS_MAX: usize = 16;

/// Bytes in front of the seed in a PKCS#8 version 1 document of an Ed25519 key (RFC 8410).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Length of the base64url text of a SHA-256 digest.
const KID_BYTES: usize = 43;

/// Why a key, or a set of them, cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum KeyError {
    /// Not a PKCS#8 document of an Ed25519 key.
    Pkcs8,
    /// A set without keys accepts nothing.
    Empty,
    /// More than [`KEYS_MAX`] keys.
    TooMany,
    /// The same key twice.
    Duplicate,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pkcs8 => "not an Ed25519 private key in PKCS#8 form",
            Self::Empty => "the key set is empty",
            Self::TooMany => "the key set holds more keys than allowed",
            Self::Duplicate => "the key set holds one key twice",
        })
    }
}

impl std::error::Error for KeyError {}

/// Who issues tokens and for whom: claims `iss` and `aud`, compared byte by byte.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scope {
    /// Claim `iss`.
    pub issuer: String,
    /// Claim `aud`.
    pub audience: String,
}

impl Default for Scope {
    fn default() -> Self {
        Self { issuer: "lynk".to_owned(), audience: "lynk".to_owned() }
    }
}

/// Name of a key: its JWK thumbprint (RFC 7638), so that it needs no table and two keys never share one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyId([u8; KID_BYTES]);

impl KeyId {
    fn of(public: &[u8; 32]) -> Self {
        let x = URL_SAFE_NO_PAD.encode(public);
        let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        let mut text = [0; KID_BYTES];
        URL_SAFE_NO_PAD
            .encode_slice(digest(&SHA256, jwk.as_bytes()), &mut text)
            .expect("32 bytes are 43 base64url characters");
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("base64url is ASCII")
    }
}

/// A key that tokens may be signed with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey {
    pub(crate) bytes: [u8; 32],
    pub(crate) kid: KeyId,
}

impl PublicKey {
    /// The key from its 32 raw bytes. Whether they are a point of the curve shows when a signature is checked.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self { bytes, kid: KeyId::of(&bytes) }
    }

    /// The name that tokens carry as `kid`: the RFC 7638 thumbprint, 43 characters.
    #[must_use]
    pub fn kid(&self) -> &str {
        self.kid.as_str()
    }

    /// The 32 raw bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.kid())
    }
}

/// A private key in PKCS#8 form. Its `Debug` shows nothing of it.
pub struct Pkcs8(Vec<u8>);

impl Pkcs8 {
    /// The DER bytes, to be kept in a file that only the server may read.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Pkcs8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pkcs8(redacted)")
    }
}

/// The private key that signs tokens. Its `Debug` shows the key's name only.
pub struct SigningKey {
    pub(crate) pair: Ed25519KeyPair,
    public: PublicKey,
}

impl SigningKey {
    /// A new key from 32 bytes of the operating system's random source, and the form in which it is kept.
    #[must_use]
    pub fn generate(random: [u8; 32]) -> (Self, Pkcs8) {
        let mut der = PKCS8_PREFIX.to_vec();
        der.extend_from_slice(&random);
        let key = Self::from_pkcs8(&der).expect("prefix and seed are a PKCS#8 document");
        (key, Pkcs8(der))
    }

    /// A kept key. Takes PKCS#8 of version 1 (as [`Self::generate`] and `openssl genpkey` write it) and 2.
    ///
    /// # Errors
    /// [`KeyError::Pkcs8`] for anything else.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| KeyError::Pkcs8)?;
        let bytes = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Pkcs8)?;
        Ok(Self { pair, public: PublicKey::new(bytes) })
    }

    /// The key that verifies what this one signs.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.public
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.kid())
    }
}

/// The keys whose signatures are accepted, and the scope of their tokens. Never changes; swapped whole.
#[derive(Clone, Debug)]
pub struct KeySet {
    pub(crate) scope: Scope,
    keys: Vec<PublicKey>,
}

impl KeySet {
    /// The set that accepts tokens of `scope` signed by any of `keys`.
    ///
    /// # Errors
    /// When there is no key, one twice, or more than [`KEYS_MAX`].
    pub fn new(scope: Scope, keys: impl IntoIterator<Item = PublicKey>) -> Result<Self, KeyError> {
        let mut set = Self { scope, keys: Vec::new() };
        for key in keys {
            if set.keys.len() == KEYS_MAX {
                return Err(KeyError::TooMany);
            }
            if set.keys.contains(&key) {
                return Err(KeyError::Duplicate);
            }
            set.keys.push(key);
        }
        if set.keys.is_empty() { Err(KeyError::Empty) } else { Ok(set) }
    }

    /// The accepted keys, in the order given.
    #[must_use]
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    pub(crate) fn find(&self, kid: &str) -> Option<&PublicKey> {
        self.keys.iter().find(|key| key.kid() == kid)
    }
}

/// The key that signs together with the keys that are accepted: what issues tokens and knows its own. Swapped whole.
#[derive(Debug)]
pub struct KeyRing {
    signing: SigningKey,
    set: std::sync::Arc<KeySet>,
}

impl KeyRing {
    /// The ring whose tokens `signing` signs; it and `others` are accepted. A key named twice counts once: a rotation
    /// passes through such a state.
    ///
    /// # Errors
    /// More than [`KEYS_MAX`] keys.
    pub fn new(
        scope: Scope,
        signing: SigningKey,
        others: impl IntoIterator<Item = PublicKey>,
    ) -> Result<Self, KeyError> {
        let mut keys = vec![signing.public()];
        for key in others {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        Ok(Self { signing, set: std::sync::Arc::new(KeySet::new(scope, keys)?) })
    }

    /// The keys that are accepted, the one that signs first.
    #[must_use]
    pub fn accepted(&self) -> &std::sync::Arc<KeySet> {
        &self.set
    }

    /// Signs a token for the ring's scope whose user proved who it is at `authenticated`.
    #[must_use]
    pub fn issue_authenticated(
        &self,
        grant: &crate::Grant,
        authenticated: lynk_domain::Millis,
    ) -> crate::Token {
        self.signing.issue_authenticated(&self.set.scope, grant, authenticated)
    }

    /// Signs a token for the ring's scope whose user has to turn on a second factor first.
    #[must_use]
    pub fn issue_enrolling(&self, grant: &crate::Grant, authenticated: lynk_domain::Millis) -> crate::Token {
        self.signing.issue_enrolling(&self.set.scope, grant, authenticated)
    }

    /// Signs a token for the ring's scope.
    #[must_use]
    pub fn issue(&self, grant: &crate::Grant) -> crate::Token {
        self.signing.issue(&self.set.scope, grant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Private key of RFC 8037, appendix A.1.
    const RFC_8037_SEED: [u8; 32] = [
        0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44,
        0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
    ];

    #[test]
    fn key_and_name_match_the_vectors_of_rfc_8037() {
        let (key, _) = SigningKey::generate(RFC_8037_SEED);
        let x = URL_SAFE_NO_PAD.encode(key.public().as_bytes());
        assert_eq!(x, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(key.public().kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        let signature = key.pair.sign(b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc");
        assert_eq!(
            URL_SAFE_NO_PAD.encode(signature),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
    }

    #[test]
    fn a_key_comes_back_from_its_kept_form_and_from_nothing_else() {
        let (key, kept) = SigningKey::generate([7; 32]);
        let again = SigningKey::from_pkcs8(kept.as_bytes()).expect("kept form");
        assert_eq!(again.public(), key.public());
        for bad in [&kept.as_bytes()[..47], &[0; 48], b"", &[kept.as_bytes(), b"x"].concat()] {
            assert_eq!(SigningKey::from_pkcs8(bad).err(), Some(KeyError::Pkcs8));
        }
    }

    #[test]
    fn a_set_is_neither_empty_nor_ambiguous_nor_unbounded() {
        let scope = Scope::default;
        let key = |n: u8| PublicKey::new([n; 32]);
        assert_eq!(KeySet::new(scope(), []).err(), Some(KeyError::Empty));
        assert_eq!(KeySet::new(scope(), [key(1), key(1)]).err(), Some(KeyError::Duplicate));
        assert_eq!(KeySet::new(scope(), (0..=16).map(key)).err(), Some(KeyError::TooMany));
        assert_eq!(KeySet::new(scope(), (0..16).map(key)).expect("sixteen").keys().len(), KEYS_MAX);
    }

    #[test]
    fn a_ring_signs_with_one_key_and_accepts_those_it_replaces() {
        let key = |seed: u8| SigningKey::generate([seed; 32]).0;
        let grant = crate::Grant {
            user: lynk_domain::UserId([1; 16]),
            session: lynk_domain::SessionId([2; 16]),
            epoch: 1,
            id: [3; 16],
            issued: lynk_domain::Millis(1_000_000),
            expires: lynk_domain::Millis(1_900_000),
        };
        let wall = lynk_domain::Millis(1_500_000);
        let before = KeyRing::new(Scope::default(), key(1), [key(2).public()]).expect("two keys");
        // The next key signs; the old one is still accepted, also while it is there under both names.
        let others = [key(1).public(), key(2).public(), key(3).public()];
        let after = KeyRing::new(Scope::default(), key(2), others).expect("three keys");
        assert_eq!(after.accepted().keys().len(), 3);
        for (by, at) in [(&before, &after), (&after, &before), (&after, &after)] {
            assert!(at.accepted().verify(by.issue(&grant).reveal(), wall).is_ok());
        }
        let ended = KeyRing::new(Scope::default(), key(2), [key(3).public()]).expect("two keys");
        assert!(ended.accepted().verify(before.issue(&grant).reveal(), wall).is_err(), "the overlap is over");
    }

    #[test]
    fn secrets_do_not_print() {
        let (key, kept) = SigningKey::generate([7; 32]);
        let printed = format!("{key:?} {kept:?}");
        assert!(printed.contains("redacted") && !printed.contains('7'.to_string().repeat(4).as_str()));
        assert!(!printed.contains("[48"));
    }
}
