//! What the operations look like from outside.

use axum::http::Method;

use super::wire;
use crate::accounts::operations::{enrolling, errors, public, signed_in};
use crate::accounts::wire as accounts_wire;
use crate::{Operation, SchemaOf, schema_of};

/// With a body.
fn with(request: SchemaOf, operation: Operation) -> Operation {
    Operation { request: Some(request), ..operation }
}

/// All, in the order of the reference.
pub(in crate::accounts) fn operations() -> Vec<Operation> {
    proving().into_iter().chain(apps().map(enrolling)).chain([recovery()]).collect()
}

fn proving() -> [Operation; 3] {
    [
        public(
            Method::POST,
            "/v1/auth/second_factor",
            "second_factor",
            "Sign in to an account with an authenticator app: the challenge of `verify`, and a code.",
            Some(schema_of::<wire::SecondFactorBody>),
            (200, Some(schema_of::<accounts_wire::SignedIn>)),
            errors!(InvalidField, InvalidCode, AccountSuspended, RateLimited),
        ),
        enrolling(signed_in(
            Method::POST,
            "/v1/auth/step_up/code",
            "request_step_up_code",
            "Send a one-time code to the account's own telephone, to prove again who it is; for accounts without an app.",
            (200, Some(schema_of::<accounts_wire::CodeSent>)),
            errors!(NotSignedIn, InvalidToken, TokenExpired, Conflict, Forbidden, RateLimited),
        )),
        enrolling(with(
            schema_of::<wire::StepUpBody>,
            signed_in(
                Method::POST,
                "/v1/auth/step_up",
                "step_up",
                "Prove again who it is: gives a token for what needs a recent proof.",
                (200, Some(schema_of::<wire::SteppedUp>)),
                errors!(NotSignedIn, InvalidToken, TokenExpired, InvalidField, InvalidCode, RateLimited),
            ),
        )),
    ]
}

fn apps() -> [Operation; 4] {
    [
        signed_in(
            Method::GET,
            "/v1/me/totp",
            "totp",
            "Whether signing in to this account asks for a code of an authenticator app.",
            (200, Some(schema_of::<wire::Standing>)),
            errors!(NotSignedIn, InvalidToken, TokenExpired, RateLimited),
        ),
        signed_in(
            Method::POST,
            "/v1/me/totp",
            "begin_totp",
            "Make a secret for an authenticator app; signing in asks for it once `confirm` had a code, in place of the one that is on.",
            (200, Some(schema_of::<wire::Begun>)),
            errors!(NotSignedIn, InvalidToken, TokenExpired, StepUpRequired, Conflict, RateLimited),
        ),
        with(
            schema_of::<wire::SecondFactor>,
            signed_in(
                Method::DELETE,
                "/v1/me/totp",
                "end_totp",
                "Ask for the app no more; recovery codes are void. Not where the server demands one.",
                (200, Some(schema_of::<wire::TurnedOff>)),
                errors!(
                    NotSignedIn,
                    Forbidden,
                    InvalidToken,
                    TokenExpired,
                    InvalidField,
                    InvalidCode,
                    Conflict,
                    RateLimited
                ),
            ),
        ),
        with(
            schema_of::<wire::ConfirmBody>,
            signed_in(
                Method::POST,
                "/v1/me/totp/confirm",
                "confirm_totp",
                "Show the first code of the app: signing in asks for one from now on.",
                (200, Some(schema_of::<wire::RecoveryCodes>)),
                errors!(
                    NotSignedIn,
                    InvalidToken,
                    TokenExpired,
                    InvalidField,
                    InvalidCode,
                    Conflict,
                    RateLimited
                ),
            ),
        ),
    ]
}

/// Of whoever has an app: it is not among what turns one on.
fn recovery() -> Operation {
    signed_in(
        Method::POST,
        "/v1/me/totp/recovery",
        "make_recovery_codes",
        "Make ten new recovery codes; earlier ones are void.",
        (200, Some(schema_of::<wire::RecoveryCodes>)),
        errors!(NotSignedIn, InvalidToken, TokenExpired, StepUpRequired, Conflict, RateLimited),
    )
}
