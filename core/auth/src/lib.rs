//! Who somebody is: one-time codes, codes of authenticator apps, access tokens, refresh families, single-use tokens, how often
//! each may be tried, and the port to whoever sends codes ([`SmsSender`]).
//! Sans-I/O: time, random bytes and key bytes are passed in.
//!
//! Thread: any. A shard holds its [`KeySet`] behind an `Arc` and swaps it whole on reload; a [`KeyRing`] stays
//! with whoever issues tokens, and so does the table of [`Attempts`]. Rules about
//! a refresh family are functions ([`refresh`]) over what a store keeps; the store makes each step atomic.
//!
//! The format of an access token is a JWT by RFC 8725 with one algorithm, Ed25519, chosen by the key and never by the token:
//! header exactly `{"alg":"EdDSA","typ":"at+jwt","kid":…}`, claims `iss`, `aud`, `sub` (user), `sid` (session),
//! `epoch`, `auth_time`, `enrol` (only where true), `iat`, `nbf`, `exp`, `jti`.
//!
//! It is built on `ring::signature` and two serde structs rather than on a JWT library. The general library
//! (`jsonwebtoken`) reads the system clock while it validates, keeps its crypto back end in a process-wide
//! variable, ignores unknown header members, and its pure-Rust back end links RSA. Fixing one algorithm, one token
//! type and passing the time leaves less code here than the configuration of the library would be.
//!
//! No secret is at rest in clear: codes and opaque tokens are kept as hashes under keys derived from [`ServerSecret`], what others keep for us is sealed under another one, and
//! no type that holds one prints it.
//!
//! Limits: [`TOKEN_BYTES_MAX`], [`KEYS_MAX`], [`ADDRESSES_MAX`], and what
//! [`CodePolicy`] and [`SessionPolicy`] set. Verification works in buffers of fixed size on the stack; only a claim
//! that holds JSON escapes is copied, and that is bounded by the token's size.
//!
//! What can fail: [`KeySet::verify`] with a [`TokenError`]; building keys with a [`KeyError`]. Nothing panics on what
//! a client sent.

#![forbid(unsafe_code)]

mod attempts;
mod code;
mod factor;
mod key;
mod link;
mod one_time;
mod policy;
mod recovery;
mod refresh;
mod sealed;
mod secret;
mod sms;
mod token;
mod totp;

pub use attempts::{ADDRESSES_MAX, Attempts, address_key};
pub use code::{Code, CodeRequest};
pub use factor::{FACTOR_KEYS_MAX, FactorError, FactorKeys, OpenedFactor, SEALED_FACTOR_BYTES};
pub use key::{KEYS_MAX, KeyError, KeyRing, KeySet, Pkcs8, PublicKey, Scope, SigningKey};
pub use link::{LinkKey, link_hash};
pub use one_time::OneTimeKind;
pub use policy::{
    CodePolicy, CountryPrice, FactorPolicy, SessionPolicy, TEN_THOUSANDTHS, TRIES_PER_NUMBER_DAY_MAX,
};
pub use recovery::{RECOVERY_CODES, RECOVERY_RANDOM_BYTES, RecoveryCode};
pub use refresh::{REFRESH_PREFIX, Refresh, RefreshToken, new_family, refresh};
pub use sealed::SEAL_RANDOM_BYTES;
pub use secret::{Opaque, ServerSecret};
pub use sms::{Sending, Sms, SmsCall, SmsCallError, SmsError, SmsReport, SmsSender};
pub use token::{
    Claims, Grant, NOT_BEFORE_LEEWAY_MILLIS, SESSION_TOKEN_MILLIS_MAX, TOKEN_BYTES_MAX, TOKEN_MILLIS_MAX,
    Token, TokenError,
};
pub use totp::{TOTP_CODES_GOOD, TOTP_SECRET_BYTES, TOTP_STEP_MILLIS, TotpHash, TotpSecret, hotp};
