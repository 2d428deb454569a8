//! [`Links`]: signatures that let somebody put or get one blob for a while.
//!
//! Thread: any. Pure; time is an argument. A signature is HMAC-SHA-256 over everything that it grants, each part with its length, so that no two
//! grants have one text. Whoever changes a part of a link has no signature for it. Limits: a link lives as long as its grant says, and no longer
//! than [`PUT_LINK_MILLIS`]. What can fail: a link that was changed, ended, or is of a key that is gone.

use data_encoding::BASE64URL_NOPAD;
use lynk_domain::{MediaId, Millis, SessionId, UserId};
use ring::hmac;

/// Life of a link by which bytes are put: 15 minutes.
pub const PUT_LINK_MILLIS: u64 = 15 * 60 * 1_000;
/// Life of a link by which bytes are got: 5 minutes.
pub const GET_LINK_MILLIS: u64 = 5 * 60 * 1_000;
/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Characters of a signature.
pub const SIGNATURE_TEXT_BYTES: usize = 43;

/// Stands before what is signed: no other signature of these keys is ever one of a link.
const CONTEXT: &[u8] = b"lynk media link 1\0";

/// What a link lets somebody do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Grant<'a> {
    /// Put these bytes.
    Put {
        /// Of which blob.
        id: MediaId,
        /// How many.
        bytes: u64,
        /// Of which type.
        kind: &'a str,
    },
    /// Get a blob.
    Get {
        /// Which.
        id: MediaId,
        /// Which variant; 0 is the blob itself.
        variant: u8,
        /// Whom: a link is of no use to somebody else's rights.
        user: UserId,
        /// In which session: its end is the link's.
        session: SessionId,
    },
}

impl Grant<'_> {
    fn life_max(&self) -> u64 {
        match self {
            Self::Put { .. } => PUT_LINK_MILLIS,
            Self::Get { .. } => GET_LINK_MILLIS,
        }
    }

    /// What is signed.
    fn text(&self, ends: Millis) -> Vec<u8> {
        let mut text = CONTEXT.to_vec();
        let mut part = |bytes: &[u8]| {
            text.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            text.extend_from_slice(bytes);
        };
        match self {
            Self::Put { id, bytes, kind } => {
                part(b"PUT");
                part(&id.0);
                part(&bytes.to_le_bytes());
                part(kind.as_bytes());
            }
            Self::Get { id, variant, user, session } => {
                part(b"GET");
                part(&id.0);
                part(&[*variant]);
                part(&user.0);
                part(&session.0);
            }
        }
        part(&ends.0.to_le_bytes());
        text
    }
}

/// Why a link is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LinkError {
    /// It was good once.
    #[error("the link has ended: ask for a new one")]
    Ended,
    /// It never was.
    #[error("the link is not one of this server, or was changed")]
    Forged,
}

/// Keys of links: the first signs, all are taken.
#[derive(Clone)]
pub struct Links(Vec<hmac::Key>);

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Links({} keys)", self.0.len())
    }
}

impl Links {
    /// Of a key that signs, and others that signed before.
    #[must_use]
    pub fn new(signs: &[u8; KEY_BYTES], before: &[[u8; KEY_BYTES]]) -> Self {
        let keys = std::iter::once(signs).chain(before);
        Self(keys.map(|key| hmac::Key::new(hmac::HMAC_SHA256, key)).collect())
    }

    /// The signature of a link that ends at `ends`, as text for a URL.
    #[must_use]
    pub fn sign(&self, grant: &Grant<'_>, ends: Millis) -> String {
        let key = self.0.first().expect("there is one that signs");
        BASE64URL_NOPAD.encode(hmac::sign(key, &grant.text(ends)).as_ref())
    }

    /// Checks a link at `now`. Takes the same time whatever is wrong with a signature.
    ///
    /// # Errors
    /// It is forged, or has ended: only one that was good is told so.
    pub fn check(
        &self,
        grant: &Grant<'_>,
        ends: Millis,
        signature: &str,
        now: Millis,
    ) -> Result<(), LinkError> {
        if signature.len() != SIGNATURE_TEXT_BYTES {
            return Err(LinkError::Forged);
        }
        let tag = BASE64URL_NOPAD.decode(signature.as_bytes()).map_err(|_| LinkError::Forged)?;
        let text = grant.text(ends);
        if !self.0.iter().any(|key| hmac::verify(key, &text, &tag).is_ok()) {
            return Err(LinkError::Forged);
        }
        // A clock that was wrong when the link was made does not make it live longer.
        if now >= ends || ends.0 - now.0 > grant.life_max() { Err(LinkError::Ended) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; KEY_BYTES] = [7; KEY_BYTES];
    const ENDS: Millis = Millis(100_000);
    const PUT: Grant<'static> = Grant::Put { id: MediaId([1; 16]), bytes: 1_000, kind: "image/png" };
    const GET: Grant<'static> = got(1, 0, 2, 4);

    const fn got(id: u8, variant: u8, user: u8, session: u8) -> Grant<'static> {
        let (id, user, session) = (MediaId([id; 16]), UserId([user; 16]), SessionId([session; 16]));
        Grant::Get { id, variant, user, session }
    }

    #[test]
    fn a_link_is_good_for_what_it_grants_until_it_ends() {
        let links = Links::new(&KEY, &[]);
        for grant in [PUT, GET] {
            let signature = links.sign(&grant, ENDS);
            assert_eq!(signature.len(), SIGNATURE_TEXT_BYTES);
            assert_eq!(links.check(&grant, ENDS, &signature, Millis(99_999)), Ok(()));
            assert_eq!(links.check(&grant, ENDS, &signature, ENDS), Err(LinkError::Ended));
        }
        let far = Millis(ENDS.0 + PUT_LINK_MILLIS + 1);
        let signature = links.sign(&PUT, far);
        assert_eq!(links.check(&PUT, far, &signature, ENDS), Err(LinkError::Ended), "it lives too long");
    }

    #[test]
    fn whatever_is_changed_in_a_link_makes_it_worthless() {
        let links = Links::new(&KEY, &[]);
        let put = links.sign(&PUT, ENDS);
        let now = Millis(1);
        let others = [
            Grant::Put { id: MediaId([9; 16]), bytes: 1_000, kind: "image/png" },
            Grant::Put { id: MediaId([1; 16]), bytes: 1_001, kind: "image/png" },
            Grant::Put { id: MediaId([1; 16]), bytes: 1_000, kind: "image/pn" },
            GET,
        ];
        for other in others {
            assert_eq!(links.check(&other, ENDS, &put, now), Err(LinkError::Forged), "{other:?}");
        }
        assert_eq!(links.check(&PUT, Millis(ENDS.0 + 1), &put, now), Err(LinkError::Forged));
        let get = links.sign(&GET, ENDS);
        for other in [got(9, 0, 2, 4), got(1, 1, 2, 4), got(1, 0, 3, 4), got(1, 0, 2, 5)] {
            assert_eq!(links.check(&other, ENDS, &get, now), Err(LinkError::Forged), "{other:?}");
        }
        let cut = &put[..SIGNATURE_TEXT_BYTES - 1];
        let long = format!("{put}A");
        let odd = "%".repeat(SIGNATURE_TEXT_BYTES);
        for signature in [cut, "", &long, &odd, &"A".repeat(SIGNATURE_TEXT_BYTES)] {
            assert_eq!(links.check(&PUT, ENDS, signature, now), Err(LinkError::Forged), "{signature}");
        }
    }

    #[test]
    fn links_of_the_key_before_are_good_until_it_is_gone() {
        let old = Links::new(&KEY, &[]).sign(&PUT, ENDS);
        let turned = Links::new(&[8; KEY_BYTES], &[KEY]);
        assert_eq!(turned.check(&PUT, ENDS, &old, Millis(1)), Ok(()));
        assert_ne!(turned.sign(&PUT, ENDS), old);
        let gone = Links::new(&[8; KEY_BYTES], &[]);
        assert_eq!(gone.check(&PUT, ENDS, &old, Millis(1)), Err(LinkError::Forged));
        assert!(!format!("{gone:?}").contains('8'), "no key is shown");
    }
}
