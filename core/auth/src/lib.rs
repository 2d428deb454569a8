//! Access tokens: issuing them and telling good ones from bad ones. Sans-I/O: time and key bytes are passed in.
//!
//! Thread: any. A shard holds its [`KeySet`] behind an `Arc` and swaps it whole on reload; a [`SigningKey`] stays
//! with whoever issues tokens.
//!
//! The format is a JWT by RFC 8725 with one algorithm, Ed25519, chosen by the key and never by the token:
//! header exactly `{"alg":"EdDSA","typ":"at+jwt","kid":…}`, claims `iss`, `aud`, `sub` (user), `sid` (session),
//! `iat`, `nbf`, `exp`, `jti`.
//!
//! It is built on `ring::signature` and two serde structs rather than on a JWT library. The general library
//! (`jsonwebtoken`) reads the system clock while it validates, keeps its crypto back end in a process-wide
//! variable, ignores unknown header members, and its pure-Rust back end links RSA. Fixing one algorithm, one token
//! type and passing the time leaves less code here than the configuration of the library would be.
//!
//! Limits: [`TOKEN_BYTES_MAX`], [`KEYS_MAX`]. Verification works in buffers of fixed size on the stack; only a claim
//! that holds JSON escapes is copied, and that is bounded by the token's size.
//!
//! What can fail: [`KeySet::verify`] with a [`TokenError`]; building keys with a [`KeyError`]. Nothing panics on what
//! a client sent.

#![forbid(unsafe_code)]

mod key;
mod token;

pub use key::{KEYS_MAX, KeyError, KeySet, Pkcs8, PublicKey, Scope, SigningKey};
pub use token::{Claims, Grant, NOT_BEFORE_LEEWAY_MILLIS, TOKEN_BYTES_MAX, Token, TokenError};
