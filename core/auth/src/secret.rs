//! The server's secret, what is derived from it, and the opaque tokens it vouches for.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::LessSafeKey;
use ring::hmac::{HMAC_SHA256, Key, sign, verify};

/// Bytes of secret in an opaque token.
pub(crate) const SECRET_BYTES: usize = 32;

/// 32 bytes that only the server knows, as one key per purpose, so that a value made for one proves nothing for another.
///
/// What is at rest (codes, tokens, numbers in counters) is a keyed hash: whoever has the database and not this has nothing.
pub struct ServerSecret {
    pub(crate) code: Key,
    pub(crate) refresh_hash: Key,
    pub(crate) refresh_tag: Key,
    pub(crate) refresh_next: Key,
    pub(crate) one_time: Key,
    pub(crate) recovery: Key,
    subject: Key,
    pub(crate) sealing: LessSafeKey,
}

impl ServerSecret {
    /// The secret from 32 bytes of the operating system's random source.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        let root = Key::new(HMAC_SHA256, &bytes);
        let derive = |purpose: &str| Key::new(HMAC_SHA256, sign(&root, purpose.as_bytes()).as_ref());
        Self {
            code: derive("lynk one-time code"),
            refresh_hash: derive("lynk refresh hash"),
            refresh_tag: derive("lynk refresh tag"),
            refresh_next: derive("lynk refresh successor"),
            one_time: derive("lynk one-time token"),
            recovery: derive("lynk recovery code"),
            subject: derive("lynk subject"),
            sealing: crate::sealed::sealing_key(sign(&root, b"lynk sealed value").as_ref()),
        }
    }

    /// What a counter is kept under: of `kind` and `value`, which cannot be told from it.
    #[must_use]
    pub fn subject(&self, kind: &str, value: &[u8]) -> [u8; 16] {
        let full = mac(&self.subject, &[kind.as_bytes(), &[0], value]);
        let mut short = [0; 16];
        short.copy_from_slice(&full[..16]);
        short
    }
}

impl fmt::Debug for ServerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerSecret(redacted)")
    }
}

/// Keyed hash of the concatenated parts. Callers see to it that the parts can be told apart.
pub(crate) fn mac(key: &Key, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = ring::hmac::Context::with_key(key);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.sign().as_ref());
    out
}

/// Whether `tag` is the keyed hash of `message`; the time it takes does not depend on where they differ.
pub(crate) fn is_mac(key: &Key, message: &[u8], tag: &[u8]) -> bool {
    verify(key, message, tag).is_ok()
}

/// A secret text for its user, and for nobody else. `Debug` shows nothing of it; [`Self::reveal`] does.
#[derive(Clone, PartialEq, Eq)]
pub struct Opaque(String);

impl Opaque {
    pub(crate) fn encode(prefix: &str, bytes: &[u8]) -> Self {
        let mut text = prefix.to_owned();
        URL_SAFE_NO_PAD.encode_string(bytes, &mut text);
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opaque(redacted)")
    }
}

/// The `N` bytes behind `prefix`; `None` unless the text is exactly their strict base64url form.
pub(crate) fn decode<const N: usize>(prefix: &str, text: &str) -> Option<[u8; N]> {
    let body = text.strip_prefix(prefix)?;
    // Longer texts are not looked at; base64 of N bytes is at most this long.
    if body.len() > N.div_ceil(3) * 4 {
        return None;
    }
    URL_SAFE_NO_PAD.decode(body).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_have_keys_of_their_own() {
        let secret = ServerSecret::new([7; 32]);
        let keys = [
            &secret.code,
            &secret.refresh_hash,
            &secret.refresh_tag,
            &secret.refresh_next,
            &secret.one_time,
            &secret.recovery,
            &secret.subject,
        ];
        let mut tags: Vec<_> = keys.iter().map(|key| mac(key, &[b"x"])).collect();
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(tags.len(), keys.len());
        assert_ne!(secret.subject("a", b"bc"), secret.subject("ab", b"c"));
        assert_ne!(secret.subject("a", b"b"), ServerSecret::new([8; 32]).subject("a", b"b"));
    }

    #[test]
    fn only_the_strict_form_of_exactly_so_many_bytes_decodes() {
        let text = Opaque::encode("lx1_", &[5; 32]).reveal().to_owned();
        assert_eq!(decode::<32>("lx1_", &text), Some([5; 32]));
        assert_eq!(decode::<32>("ly1_", &text), None);
        assert_eq!(decode::<31>("lx1_", &text), None);
        for bad in
            [format!("{text}="), format!("{text}A"), format!(" {text}"), text[..20].to_owned(), String::new()]
        {
            assert_eq!(decode::<32>("lx1_", &bad), None, "{bad}");
        }
        assert_eq!(decode::<32>("lx1_", &"A".repeat(1 << 20)), None);
    }

    #[test]
    fn secrets_do_not_print() {
        let printed = format!("{:?} {:?}", ServerSecret::new([7; 32]), Opaque::encode("lx1_", &[7; 32]));
        assert_eq!(printed, "ServerSecret(redacted) Opaque(redacted)");
    }
}
