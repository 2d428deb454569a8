//! Who makes a request: the bearer token, checked as a socket's `hello` checks it.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::header;
use axum::http::request::Parts;
use lynk_auth::{Claims, KeySet, TokenError};
use lynk_engine::Principal;
use lynk_protocol::ErrorCode;

use crate::clock::Clock;
use crate::error::ApiError;
use crate::intake::Shards;

/// The keys that are accepted now.
pub type Keys = Arc<dyn Fn() -> Arc<KeySet> + Send + Sync>;

/// What tokens are checked with.
#[derive(Clone)]
pub struct Authority {
    /// The accepted keys.
    pub keys: Keys,
    /// Knows which sessions are over.
    pub shards: Shards,
    /// The time.
    pub clock: Clock,
}

impl Authority {
    /// Who a token speaks for.
    ///
    /// # Errors
    /// What to answer; also to whoever has to turn on a second factor first.
    pub fn verify(&self, token: &str) -> Result<Caller, ApiError> {
        let claims = self.claims(token)?;
        if claims.enrolling {
            return Err(ErrorCode::SecondFactorRequired.into());
        }
        Ok(Caller { claims })
    }

    fn claims(&self, token: &str) -> Result<Claims, ApiError> {
        let claims = (self.keys)().verify(token, (self.clock)().wall).map_err(|error| match error {
            TokenError::Expired => ApiError::new(ErrorCode::TokenExpired),
            TokenError::NotYet => ApiError::because(ErrorCode::InvalidToken, "the token is not valid yet"),
            _ => ErrorCode::InvalidToken.into(),
        })?;
        self.shards.check(claims.session, claims.expires)?;
        Ok(claims)
    }
}

/// Who makes a request. As an argument of a handler it answers 401 to everybody else.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// What the token says.
    pub claims: Claims,
}

impl Caller {
    /// User and session.
    #[must_use]
    pub fn principal(&self) -> Principal {
        Principal { user: self.claims.user, session: self.claims.session }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller
where
    Authority: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Authority::from_ref(state).verify(bearer(parts)?)
    }
}

/// Who makes a request, also when it has to turn on a second factor first: of the operations by which that is done, and of those
/// that are open until then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Enrolling {
    /// What the token says.
    pub(crate) claims: Claims,
}

impl<S: Send + Sync> FromRequestParts<S> for Enrolling
where
    Authority: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Ok(Self { claims: Authority::from_ref(state).claims(bearer(parts)?)? })
    }
}

/// The token of a request.
fn bearer(parts: &Parts) -> Result<&str, ApiError> {
    let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(ErrorCode::NotSignedIn)?;
    let (scheme, token) = value
        .to_str()
        .ok()
        .filter(|_| values.next().is_none())
        .and_then(|value| value.split_once(' '))
        .ok_or(ErrorCode::InvalidToken)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(ApiError::because(ErrorCode::InvalidToken, "the scheme must be Bearer"));
    }
    Ok(token.trim_start())
}
