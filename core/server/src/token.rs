//! Access tokens from the keys of a data directory on this machine: `lynk token`, and the terminal client's own.

use std::path::Path;

use lynk_auth::{Grant, Scope};
use lynk_domain::{Millis, SessionId, UserId, uuid_v7};

use crate::data_dir::Keys;
use crate::exit::Failure;
use crate::os;

/// Life of a token when none is asked for.
pub(crate) const DEFAULT_TTL_MILLIS: u64 = 15 * 60 * 1_000;
/// Longest life that may be asked for. Nobody takes such a token back: its session is in no store.
pub(crate) const TTL_MILLIS_MAX: u64 = lynk_auth::TOKEN_MILLIS_MAX;

/// A token of the usual life for `user` and a new session.
///
/// # Errors
/// The data directory has no usable key.
pub(crate) fn mint(root: &Path, scope: &Scope, user: UserId) -> Result<String, Failure> {
    Ok(issue(&Keys::load(root)?, scope, user, new_session()?, DEFAULT_TTL_MILLIS)?.0)
}

/// A session nobody had before.
///
/// # Errors
/// No random numbers.
pub(crate) fn new_session() -> Result<SessionId, Failure> {
    Ok(SessionId(uuid_v7(os::wall_millis().0, os::random()?)))
}

/// A token and the wall time of its end.
///
/// # Errors
/// No random numbers.
pub(crate) fn issue(
    keys: &Keys,
    scope: &Scope,
    user: UserId,
    session: SessionId,
    ttl_millis: u64,
) -> Result<(String, Millis), Failure> {
    let issued = os::wall_millis();
    let expires = Millis(issued.0.saturating_add(ttl_millis));
    let grant = Grant { user, session, epoch: 0, id: os::random()?, issued, expires };
    Ok((keys.signing.issue(scope, &grant).reveal().to_owned(), expires))
}
