//! Sign-in state that is kept: what a store holds of a refresh family, and that a session was revoked.

use std::fmt;

use crate::{Millis, SessionId, UserId};

/// Rotations whose times a [`Family`] remembers. A family that turned this often inside the grace waits.
pub const ROTATIONS_KEPT: usize = 8;

/// Keyed hash of a secret. It is not the secret, and is not printed either.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretHash(pub [u8; 32]);

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(redacted)")
    }
}

/// A refresh family: the chain of tokens that one sign-in led to. Only the newest is good for a rotation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Family {
    /// Number of the newest token; the first is 0.
    pub generation: u32,
    /// Hash of the newest token.
    pub hash: SecretHash,
    /// When the last rotations were, oldest first, at most [`ROTATIONS_KEPT`]: the last one made the newest token.
    pub rotations: Vec<Millis>,
    /// When it ends unless it is used; wall clock.
    pub idle_expires: Millis,
    /// When it ends however much it is used; wall clock.
    pub expires: Millis,
}

impl Family {
    /// When it ends unless it is used.
    #[must_use]
    pub fn ends(&self) -> Millis {
        self.idle_expires.min(self.expires)
    }
}

/// A session came to its end before its tokens did: access tokens of an epoch below `epoch` are not accepted any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Revocation {
    /// Whose.
    pub user: UserId,
    /// Which.
    pub session: SessionId,
    /// First epoch that is good again.
    pub epoch: u32,
}
