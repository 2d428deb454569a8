//! One access token: its claims, how it is signed, how it is checked.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lynk_domain::{Millis, SessionId, UserId};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::{KeySet, Scope, SigningKey};

/// Longest token that is looked at.
pub const TOKEN_BYTES_MAX: usize = 4 << 10;
/// Longest life of an access token of a session, and so how long after its end a session must be remembered as over.
pub const SESSION_TOKEN_MILLIS_MAX: u64 = 15 * 60 * 1_000;
/// Longest life of any token: a day, for tools on the server's own machine. One that claims more was not issued here.
pub const TOKEN_MILLIS_MAX: u64 = 24 * 60 * 60 * 1_000;

const _: () = assert!(SESSION_TOKEN_MILLIS_MAX <= TOKEN_MILLIS_MAX);

/// How far `nbf` may lie ahead of the verifier's clock. `exp` has no leeway: it is the promise made to the user.
pub const NOT_BEFORE_LEEWAY_MILLIS: u64 = 60_000;

/// Longest decoded header. Ours is 84 bytes.
const HEADER_BYTES_MAX: usize = 256;
const SIGNATURE_BYTES: usize = 64;
/// Seconds that still fit in [`Millis`]; times beyond are not times.
const SECONDS_MAX: u64 = 1 << 40;
/// Longest `jti`.
const TOKEN_ID_BYTES_MAX: usize = 128;

const ALGORITHM: &str = "EdDSA";
const TOKEN_TYPE: &str = "at+jwt";

/// Why a token is not accepted. Says nothing about which of the user's data exists.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum TokenError {
    /// Too long, not three base64url parts, or header or claims are not the JSON they must be.
    Malformed,
    /// No accepted key has the name that the token states.
    UnknownKey,
    /// The signature is not one of that key over these bytes.
    BadSignature,
    /// Authentic, and its time is over.
    Expired,
    /// Authentic, and its time has not come.
    NotYet,
    /// Authentic, and issued by or for someone else, or for longer than any is, or its claims make no sense.
    Claims,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the token is malformed",
            Self::UnknownKey => "the token is signed with a key that is not accepted",
            Self::BadSignature => "the token's signature is wrong",
            Self::Expired => "the token has expired",
            Self::NotYet => "the token is not valid yet",
            Self::Claims => "the token is not for this server",
        })
    }
}

impl std::error::Error for TokenError {}

/// What a verified token says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claims {
    /// Whose it is (`sub`).
    pub user: UserId,
    /// For which session (`sid`).
    pub session: SessionId,
    /// Epoch of the session when it was issued; a token without one counts as 0.
    pub epoch: u32,
    /// When the user last proved who it is (`auth_time`), wall clock; 0 when the token does not say.
    pub authenticated: Millis,
    /// Until when (`exp`), wall clock.
    pub expires: Millis,
    /// The server demands a second factor that the user does not have (`enrol`): the token is good for turning one on, and for
    /// nothing else. Whoever verifies a token must look at it.
    pub enrolling: bool,
}

/// What a token to be issued says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// Whose it is.
    pub user: UserId,
    /// For which session.
    pub session: SessionId,
    /// Epoch of the session; see [`Revocation`](lynk_domain::Revocation).
    pub epoch: u32,
    /// Its own id (`jti`), random.
    pub id: [u8; 16],
    /// From when; rounded down to seconds.
    pub issued: Millis,
    /// Until when; rounded down to seconds.
    pub expires: Millis,
}

/// A signed token. `Debug` does not print it; [`Self::reveal`] does.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The text to hand to its user, and to nobody else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

/// Exactly these members: whatever else a header may ask for (`crit`, `jku`, `jwk`, `x5u`, `x5c`, `zip`) is refused.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow)]
    typ: Cow<'a, str>,
    #[serde(borrow)]
    kid: Cow<'a, str>,
}

/// The claims; others are ignored, so that a later version may add some. `aud` is one string.
#[derive(Serialize, Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    iss: Cow<'a, str>,
    #[serde(borrow)]
    aud: Cow<'a, str>,
    #[serde(borrow)]
    sub: Cow<'a, str>,
    #[serde(borrow)]
    sid: Cow<'a, str>,
    #[serde(default)]
    epoch: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auth_time: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    enrol: bool,
    iat: u64,
    nbf: u64,
    exp: u64,
    #[serde(borrow)]
    jti: Cow<'a, str>,
}

/// Decodes strict base64url (no padding, no stray bits) into `buffer`.
fn decode<'b>(text: &str, buffer: &'b mut [u8]) -> Result<&'b [u8], TokenError> {
    let length = URL_SAFE_NO_PAD.decode_slice(text, buffer).map_err(|_| TokenError::Malformed)?;
    buffer.get(..length).ok_or(TokenError::Malformed)
}

/// Parses a JSON object. (Derived structs would also take an array of the members' values.)
fn parse<'b, T: Deserialize<'b>>(json: &'b [u8]) -> Result<T, TokenError> {
    if json.first() != Some(&b'{') {
        return Err(TokenError::Malformed);
    }
    serde_json::from_slice(json).map_err(|_| TokenError::Malformed)
}

fn append(out: &mut String, part: &impl Serialize) {
    let json = serde_json::to_vec(part).expect("strings and integers always serialize");
    URL_SAFE_NO_PAD.encode_string(json, out);
}

impl SigningKey {
    /// Signs a token for `scope` that does not say when its user last proved who it is.
    #[must_use]
    pub fn issue(&self, scope: &Scope, grant: &Grant) -> Token {
        self.sign(scope, grant, None, false)
    }

    /// Signs a token for `scope` whose user proved who it is at `authenticated`; rounded down to seconds.
    #[must_use]
    pub fn issue_authenticated(&self, scope: &Scope, grant: &Grant, authenticated: Millis) -> Token {
        self.sign(scope, grant, Some(authenticated.0 / 1_000), false)
    }

    /// As [`Self::issue_authenticated`], for a user who has to turn on a second factor first.
    #[must_use]
    pub fn issue_enrolling(&self, scope: &Scope, grant: &Grant, authenticated: Millis) -> Token {
        self.sign(scope, grant, Some(authenticated.0 / 1_000), true)
    }

    fn sign(&self, scope: &Scope, grant: &Grant, auth_time: Option<u64>, enrol: bool) -> Token {
        let kid = self.public();
        let header = Header { alg: ALGORITHM.into(), typ: TOKEN_TYPE.into(), kid: kid.kid().into() };
        let issued = grant.issued.0 / 1_000;
        let payload = Payload {
            iss: Cow::Borrowed(&scope.issuer),
            aud: Cow::Borrowed(&scope.audience),
            sub: grant.user.to_string().into(),
            sid: grant.session.to_string().into(),
            epoch: grant.epoch,
            auth_time,
            enrol,
            iat: issued,
            nbf: issued,
            exp: grant.expires.0 / 1_000,
            jti: URL_SAFE_NO_PAD.encode(grant.id).into(),
        };
        let mut text = String::with_capacity(512);
        append(&mut text, &header);
        text.push('.');
        append(&mut text, &payload);
        let signature = self.pair.sign(text.as_bytes());
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        Token(text)
    }
}

impl KeySet {
    /// Checks a token at wall time `wall`: form, key, signature, scope and times, in this order, so that nothing of
    /// the claims is believed before the signature is.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn verify(&self, token: &str, wall: Millis) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let mut header_buffer = [0; HEADER_BYTES_MAX];
        let header: Header<'_> = parse(decode(header, &mut header_buffer)?)?;
        if header.alg != ALGORITHM || header.typ != TOKEN_TYPE {
            return Err(TokenError::Malformed);
        }
        let mut signature_buffer = [0; SIGNATURE_BYTES + 2];
        let signature = decode(signature, &mut signature_buffer)?;
        if signature.len() != SIGNATURE_BYTES {
            return Err(TokenError::Malformed);
        }

        let key = self.find(&header.kid).ok_or(TokenError::UnknownKey)?;
        UnparsedPublicKey::new(&ED25519, &key.bytes)
            .verify(signed.as_bytes(), signature)
            .map_err(|_| TokenError::BadSignature)?;

        let mut payload_buffer = [0; TOKEN_BYTES_MAX];
        let payload: Payload<'_> = parse(decode(payload, &mut payload_buffer)?)?;
        self.check(&payload, wall)
    }

    fn check(&self, payload: &Payload<'_>, wall: Millis) -> Result<Claims, TokenError> {
        let ours = payload.iss == self.scope.issuer && payload.aud == self.scope.audience;
        let in_order = payload.iat <= payload.exp && payload.nbf < payload.exp && payload.exp <= SECONDS_MAX;
        // Whoever stole a key signs any end: a socket that it opened must not outlive the key by more than a day.
        let brief = payload.exp.saturating_sub(payload.iat) <= TOKEN_MILLIS_MAX / 1_000;
        let authenticated = payload.auth_time.unwrap_or_default();
        let named = !payload.jti.is_empty() && payload.jti.len() <= TOKEN_ID_BYTES_MAX;
        if !ours || !in_order || !brief || !named || authenticated > payload.iat {
            return Err(TokenError::Claims);
        }
        let user = UserId::parse(&payload.sub).filter(|user| !user.is_nil()).ok_or(TokenError::Claims)?;
        let known = |sid: &SessionId| !sid.is_nil() && *sid != SessionId::SERVER;
        let session = SessionId::parse(&payload.sid).filter(known).ok_or(TokenError::Claims)?;
        let expires = Millis(payload.exp * 1_000);
        if wall >= expires {
            return Err(TokenError::Expired);
        }
        // Of both, or a start in the future would make up for a life that is bounded.
        if payload.nbf.max(payload.iat) * 1_000 > wall.0.saturating_add(NOT_BEFORE_LEEWAY_MILLIS) {
            return Err(TokenError::NotYet);
        }
        let authenticated = Millis(authenticated * 1_000);
        let (epoch, enrolling) = (payload.epoch, payload.enrol);
        Ok(Claims { user, session, epoch, authenticated, expires, enrolling })
    }
}

#[cfg(test)]
mod tests;
