//! Codes of an authenticator app: HOTP (RFC 4226) over time (RFC 6238).
//!
//! What Lynk issues is what every app takes: SHA-1, six digits, 30 seconds, a secret of 20 bytes. The function itself has all
//! that the standard has, so that its vectors test it whole.
//!
//! A code is good for its own step and the one before and after, because clocks differ and people are slow; so a guess is right
//! with odds of 3 in 1,000,000. Whoever keeps a secret keeps the last step that was accepted beside it: no code is good twice,
//! nor is one from before it.

use std::fmt;

use data_encoding::BASE32_NOPAD;
use lynk_domain::Millis;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::hmac::{self, HMAC_SHA1_FOR_LEGACY_USE_ONLY, HMAC_SHA256, HMAC_SHA512};
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

use crate::Code;

/// Bytes of a secret, as RFC 4226 recommends: those of the hash.
pub const TOTP_SECRET_BYTES: usize = 20;
/// Length of a step.
pub const TOTP_STEP_MILLIS: u64 = 30_000;
/// Codes that are good at one moment: of a step, and of those beside it.
pub const TOTP_CODES_GOOD: u32 = 3;

const DIGITS: u32 = 6;

/// All but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The hash under a code. HMAC does not rest on collisions, so SHA-1 is sound here; apps know hardly another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TotpHash {
    /// What apps take.
    Sha1,
    /// RFC 6238 allows it.
    Sha256,
    /// RFC 6238 allows it.
    Sha512,
}

/// The code of a counter (RFC 4226, section 5.3) with `digits` digits, 1 to 9.
#[must_use]
pub fn hotp(hash: TotpHash, secret: &[u8], counter: u64, digits: u32) -> u32 {
    let algorithm = match hash {
        TotpHash::Sha1 => HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        TotpHash::Sha256 => HMAC_SHA256,
        TotpHash::Sha512 => HMAC_SHA512,
    };
    let tag = hmac::sign(&hmac::Key::new(algorithm, secret), &counter.to_be_bytes());
    let tag = tag.as_ref();
    // The shortest tag has 20 bytes, and four are read from at most the 16th on.
    let at = usize::from(tag[tag.len() - 1] & 0x0f);
    let number = u32::from_be_bytes([tag[at], tag[at + 1], tag[at + 2], tag[at + 3]]) & 0x7fff_ffff;
    number % 10_u32.pow(digits.clamp(1, 9))
}

/// What an app and the server share. `Debug` shows nothing of it; [`Self::base32`] and [`Self::uri`] do.
#[derive(Clone, PartialEq, Eq)]
pub struct TotpSecret([u8; TOTP_SECRET_BYTES]);

impl TotpSecret {
    /// A secret out of random bytes.
    #[must_use]
    pub fn new(random: [u8; TOTP_SECRET_BYTES]) -> Self {
        Self(random)
    }

    pub(crate) fn bytes(&self) -> &[u8; TOTP_SECRET_BYTES] {
        &self.0
    }

    /// The form that people type into an app: 32 letters and digits, for its user and nobody else.
    #[must_use]
    pub fn base32(&self) -> String {
        BASE32_NOPAD.encode(&self.0)
    }

    /// What a picture for an app holds: `otpauth://totp/ISSUER:ACCOUNT?…`, for its user and nobody else. A colon in the issuer
    /// becomes a space: apps split at the first one, encoded or not.
    #[must_use]
    pub fn uri(&self, issuer: &str, account: &str) -> String {
        let issuer = issuer.replace(':', " ");
        let (issuer, account) =
            (utf8_percent_encode(&issuer, RESERVED), utf8_percent_encode(account, RESERVED));
        let (secret, period) = (self.base32(), TOTP_STEP_MILLIS / 1_000);
        format!(
            "otpauth://totp/{issuer}:{account}?secret={secret}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={period}"
        )
    }

    /// The step of which `code` is at `wall`, if it is one that is good and comes after `last`, the last one that was accepted
    /// (0 for none). How long it takes says nothing of the codes.
    #[must_use]
    pub fn accept(&self, code: &Code, wall: Millis, last: u64) -> Option<u64> {
        let now = wall.0 / TOTP_STEP_MILLIS;
        let mut found = 0_u64;
        // The latest step of those that share a code: then it is over with the code.
        for step in now.saturating_sub(1)..=now.saturating_add(1) {
            let expected = self.code(step);
            found.conditional_assign(&step, expected.reveal().as_bytes().ct_eq(code.reveal().as_bytes()));
        }
        (found > last).then_some(found)
    }

    /// The code of a step.
    #[must_use]
    pub fn code(&self, step: u64) -> Code {
        Code::new(u128::from(hotp(TotpHash::Sha1, &self.0, step, DIGITS)).to_be_bytes())
    }
}

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSecret(redacted)")
    }
}

#[cfg(test)]
mod tests;
