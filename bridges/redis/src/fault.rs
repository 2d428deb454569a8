//! What went wrong, in the kinds that matter above, with words for the operator.
//!
//! Thread: any. Pure. Invariant: no text carries a value or a password. Redis quotes names of keys, which are keyed hashes.

use std::error::Error as _;
use std::fmt;

use lynk_model::StoreError;
use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Characters of the server's words that are kept.
const WORDS_MAX: usize = 200;

/// What a failure means for the caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FaultKind {
    /// The server cannot be reached, or does not want to work now. Nothing was done.
    Unavailable,
    /// The server refuses this identity, or this user a command or a key. Nothing was done.
    Refused,
    /// A call was sent and has no answer.
    Unknown,
}

impl FaultKind {
    /// Name for health and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

/// A failure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What it means.
    pub kind: FaultKind,
    /// What the server or the connection said.
    pub detail: String,
    /// Whether the connection is of no more use.
    pub(crate) ends_connection: bool,
    /// Whether the server does not know the command at all, or has no filter for us.
    pub(crate) unknown_command: bool,
}

impl Fault {
    pub(crate) fn new(kind: FaultKind, detail: impl fmt::Display, ends_connection: bool) -> Self {
        let detail = detail.to_string().chars().take(WORDS_MAX).collect();
        Self { kind, detail, ends_connection, unknown_command: false }
    }

    /// Of a connection that could not be had.
    pub(crate) fn of_connection(error: &RedisError) -> Self {
        let fault = Self::of_call(error);
        let kind = if fault.kind == FaultKind::Refused { FaultKind::Refused } else { FaultKind::Unavailable };
        Self { kind, ends_connection: true, ..fault }
    }

    /// Of a call.
    pub(crate) fn of_call(error: &RedisError) -> Self {
        let code = error.code().unwrap_or_default();
        let (kind, ends_connection) = match error.kind() {
            ErrorKind::Server(ServerErrorKind::NoPerm) | ErrorKind::AuthenticationFailed => {
                (FaultKind::Refused, false)
            }
            // Another server may do better, which a new connection may lead to.
            ErrorKind::Server(
                ServerErrorKind::BusyLoading | ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown,
            ) => (FaultKind::Unavailable, true),
            ErrorKind::Server(_) | ErrorKind::Extension if matches!(code, "WRONGPASS" | "NOAUTH") => {
                (FaultKind::Refused, true)
            }
            // No memory, no disk, a script that runs for too long: a write is refused before it happens.
            ErrorKind::Server(_) | ErrorKind::Extension => (FaultKind::Unavailable, false),
            _ => (FaultKind::Unknown, true),
        };
        let text = error.to_string();
        // A filter that the user may not use is as good as none.
        let refused_filter = kind == FaultKind::Refused && text.contains("'cf.");
        let unknown_command = refused_filter || text.contains("unknown command");
        Self { unknown_command, ..Self::new(kind, chain(&text, error), ends_connection) }
    }

    /// The same failure as the port reports it.
    #[must_use]
    pub fn store_error(&self) -> StoreError {
        match self.kind {
            FaultKind::Unavailable | FaultKind::Refused => StoreError::Unavailable,
            FaultKind::Unknown => StoreError::Unknown,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.detail)
    }
}

impl std::error::Error for Fault {}

/// An error with its causes.
fn chain(text: &str, error: &RedisError) -> String {
    let mut text = text.to_owned();
    let mut cause = error.source();
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = next.source();
    }
    text
}
