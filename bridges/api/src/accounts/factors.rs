//! Second factors: an authenticator app and its recovery codes, and proving again who somebody is.
//!
//! Thread: as all of accounts: handlers on the API's runtime, [`service`] on the accounts' thread, pictures with the
//! [`Painter`](super::Painter).
//!
//! Invariants: a second factor is asked for only after the first one was right, and what is wrong with either is told with one
//! error; a wrong code is counted, in the store, before its answer goes out, so that no restart and no other process gives one
//! more; while it is locked nothing is compared. A code of an app is good once, a recovery code, too. What is sensitive needs a
//! proof of the last minutes: the sign-in of the session, or a step-up. Limits:
//! [`FactorPolicy`](lynk_auth::FactorPolicy). What can fail: the store, the keys under which secrets are sealed, and room for a
//! picture.

pub(super) mod handlers;
mod operations;
pub(super) mod service;
mod wire;

pub(super) use operations::operations;
