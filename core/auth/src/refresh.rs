//! Refresh tokens in families: single use, the same successor inside the grace, theft told by reuse.
//!
//! A token is `lr1_` and base64url of session (16 bytes), generation (4, big endian), secret (32) and tag (16). The secret
//! is random in the first token of a family; each next one is a keyed hash of the one before, so the successor of a token
//! that was used can be made again without being kept, and only by the server. The tag is a keyed hash of the rest: a token
//! that the server never made is told before any store is asked, so nobody ends a family who does not have a token of it,
//! and one that is old is known as a token of its family however old it is, without a list of used ones.
//!
//! At rest is the hash of the newest secret. An older token is checked by making its successors up to the newest.

use std::fmt;

use lynk_domain::{Family, Millis, ROTATIONS_KEPT, SecretHash, SessionId};

use crate::secret::{SECRET_BYTES, decode, is_mac, mac};
use crate::{Opaque, ServerSecret, SessionPolicy};

/// How every refresh token begins.
pub const REFRESH_PREFIX: &str = "lr1_";

const BODY_BYTES: usize = 16 + 4 + SECRET_BYTES;
const TAG_BYTES: usize = 16;

/// A refresh token that the server made. `Debug` shows session and generation.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken {
    session: SessionId,
    generation: u32,
    secret: [u8; SECRET_BYTES],
}

impl RefreshToken {
    /// The first token of a session's family, from 32 random bytes.
    #[must_use]
    pub fn first(session: SessionId, random: [u8; SECRET_BYTES]) -> Self {
        Self { session, generation: 0, secret: random }
    }

    /// The token of a text that a client sent; `None` when this server did not make it.
    #[must_use]
    pub fn parse(text: &str, server: &ServerSecret) -> Option<Self> {
        let bytes: [u8; BODY_BYTES + TAG_BYTES] = decode(REFRESH_PREFIX, text)?;
        let (body, tag) = bytes.split_at(BODY_BYTES);
        let expected = mac(&server.refresh_tag, &[body]);
        // `ring` compares whole tags in constant time: compare a hash of either half-length tag.
        let presented = mac(&server.refresh_tag, &[tag]);
        if !is_mac(&server.refresh_tag, &expected[..TAG_BYTES], &presented) {
            return None;
        }
        let (session, rest) = body.split_at(16);
        let (generation, secret) = rest.split_at(4);
        Some(Self {
            session: SessionId(session.try_into().ok()?),
            generation: u32::from_be_bytes(generation.try_into().ok()?),
            secret: secret.try_into().ok()?,
        })
    }

    /// The text for its user.
    #[must_use]
    pub fn reveal(&self, server: &ServerSecret) -> Opaque {
        let mut bytes = Vec::with_capacity(BODY_BYTES + TAG_BYTES);
        bytes.extend_from_slice(&self.session.0);
        bytes.extend_from_slice(&self.generation.to_be_bytes());
        bytes.extend_from_slice(&self.secret);
        let tag = mac(&server.refresh_tag, &[&bytes]);
        bytes.extend_from_slice(&tag[..TAG_BYTES]);
        Opaque::encode(REFRESH_PREFIX, &bytes)
    }

    /// Whose family it is of.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self, server: &ServerSecret) -> SecretHash {
        SecretHash(mac(
            &server.refresh_hash,
            &[&self.session.0, &self.generation.to_be_bytes(), &self.secret],
        ))
    }

    /// The one token that may follow this one.
    fn successor(&self, server: &ServerSecret) -> Self {
        let generation = self.generation.saturating_add(1);
        let parts: [&[u8]; 3] = [&self.session.0, &generation.to_be_bytes(), &self.secret];
        Self { session: self.session, generation, secret: mac(&server.refresh_next, &parts) }
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RefreshToken({}, {}, redacted)", self.session, self.generation)
    }
}

/// What a presented token leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refresh {
    /// It is the newest: `next` takes its place once `family` is kept.
    Rotate {
        /// The successor.
        next: RefreshToken,
        /// The family as it is then.
        family: Family,
    },
    /// It was used a moment ago, by another tab or in a try whose answer was lost: the same successor again.
    Repeat {
        /// The successor it had.
        next: RefreshToken,
    },
    /// It was used longer ago: somebody else has it too. The family must end.
    Reuse,
    /// The family has come to its end.
    Expired,
    /// The family never had this token, or not yet: the store is older than the token.
    Unknown,
    /// The family turned [`ROTATIONS_KEPT`] times inside the grace.
    TooFast {
        /// When the next rotation is possible.
        retry_after_millis: u64,
    },
}

/// The family of a new session.
#[must_use]
pub fn new_family(
    first: &RefreshToken,
    server: &ServerSecret,
    wall: Millis,
    policy: &SessionPolicy,
) -> Family {
    Family {
        generation: 0,
        hash: first.hash(server),
        rotations: Vec::new(),
        idle_expires: Millis(wall.0.saturating_add(policy.idle_millis)),
        expires: Millis(wall.0.saturating_add(policy.life_millis)),
    }
}

/// What `token`, which is of this family's session, leads to at wall time `wall`.
///
/// A clock that jumped back by more than the grace lengthens no grace: the distance counts, in either direction.
#[must_use]
pub fn refresh(
    family: &Family,
    token: &RefreshToken,
    server: &ServerSecret,
    wall: Millis,
    policy: &SessionPolicy,
) -> Refresh {
    if wall >= family.ends() {
        return Refresh::Expired;
    }
    if token.generation > family.generation {
        return Refresh::Unknown;
    }
    let inside_grace = |at: &Millis| at.0.abs_diff(wall.0) <= policy.grace_millis;
    let behind = (family.generation - token.generation) as usize;
    if behind == 0 {
        if !same(server, &token.hash(server), &family.hash) {
            return Refresh::Reuse;
        }
        if let [oldest, ..] = family.rotations.as_slice()
            && family.rotations.len() == ROTATIONS_KEPT
            && inside_grace(oldest)
        {
            let until = oldest.0.saturating_add(policy.grace_millis);
            return Refresh::TooFast { retry_after_millis: until.saturating_sub(wall.0) + 1 };
        }
        return rotate(family, token, server, wall, policy);
    }
    // The last rotation made the newest token, the one before it the token before it, and so on.
    let used_at = family.rotations.len().checked_sub(behind).map(|index| family.rotations[index]);
    if !used_at.as_ref().is_some_and(inside_grace) {
        return Refresh::Reuse;
    }
    let next = token.successor(server);
    let newest = (1..behind).fold(next.clone(), |token, _| token.successor(server));
    if same(server, &newest.hash(server), &family.hash) { Refresh::Repeat { next } } else { Refresh::Reuse }
}

fn rotate(
    family: &Family,
    token: &RefreshToken,
    server: &ServerSecret,
    wall: Millis,
    policy: &SessionPolicy,
) -> Refresh {
    let next = token.successor(server);
    let mut rotations = family.rotations.clone();
    if rotations.len() >= ROTATIONS_KEPT {
        rotations.drain(..=rotations.len() - ROTATIONS_KEPT);
    }
    rotations.push(wall);
    let family = Family {
        generation: next.generation,
        hash: next.hash(server),
        rotations,
        idle_expires: Millis(wall.0.saturating_add(policy.idle_millis)),
        expires: family.expires,
    };
    Refresh::Rotate { next, family }
}

/// Compares two hashes in constant time.
fn same(server: &ServerSecret, a: &SecretHash, b: &SecretHash) -> bool {
    is_mac(&server.refresh_hash, &a.0, &mac(&server.refresh_hash, &[&b.0]))
}

#[cfg(test)]
mod tests;
