//! How `hello` says who it is.

use std::borrow::Cow;
use std::fmt;

use super::envelope::missing;
use crate::{ErrorCode, Reject};

/// What a client signs in with. `Debug` does not print it.
#[derive(Clone, PartialEq, Eq)]
pub enum Proof<'a> {
    /// An access token.
    Token(Cow<'a, str>),
    /// A single-use ticket, for clients that keep tokens out of sockets.
    Ticket(Cow<'a, str>),
}

impl<'a> Proof<'a> {
    /// The one that was given.
    pub(super) fn of(token: Option<Cow<'a, str>>, ticket: Option<Cow<'a, str>>) -> Result<Self, Reject> {
        match (token, ticket) {
            (Some(token), None) => Ok(Self::Token(token)),
            (None, Some(ticket)) => Ok(Self::Ticket(ticket)),
            (None, None) => Err(missing("token")),
            (Some(_), Some(_)) => {
                Err(Reject::because(ErrorCode::InvalidField, "give `token` or `ticket`, not both"))
            }
        }
    }
}

impl fmt::Debug for Proof<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token(redacted)",
            Self::Ticket(_) => "Ticket(redacted)",
        })
    }
}
