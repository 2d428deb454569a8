//! What went wrong, in the kinds that matter above, with words for the operator.
//!
//! Thread: any. Pure. Invariant: no text carries a value of a row, a parameter, a statement or a password: of what the server says only the
//! code, the message and the name of a constraint are kept, because its details quote rows.

use std::error::Error as _;
use std::fmt;

use deadpool_postgres::{HookError, PoolError};
use lynk_model::StoreError;
use lynk_model::port::StoreFault;
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

/// What a failure means for the caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FaultKind {
    /// The server cannot be reached, or did not answer in time; a later try may succeed. Nothing was written.
    Unavailable,
    /// The server refuses this identity, or this role on a table. Nothing was written.
    Refused,
    /// The schema is missing, or not one that this program can work with. Nothing was written.
    Schema,
    /// A commit may or may not have happened.
    Unknown,
    /// Stored data cannot be read.
    Corrupt,
}

impl FaultKind {
    /// Name for metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
            Self::Schema => "schema",
            Self::Unknown => "unknown",
            Self::Corrupt => "corrupt",
        }
    }
}

/// A failure of a store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What it means.
    pub kind: FaultKind,
    /// What the server or the connection said, without any data.
    pub detail: String,
    /// Whether the whole call may be tried again at once: it left nothing behind, and the cause may be gone.
    pub(crate) again: bool,
}

impl Fault {
    pub(crate) fn new(kind: FaultKind, detail: impl fmt::Display) -> Self {
        Self { kind, detail: detail.to_string(), again: false }
    }

    pub(crate) fn corrupt(detail: impl fmt::Display) -> Self {
        Self::new(FaultKind::Corrupt, detail)
    }

    pub(crate) fn late(what: &str) -> Self {
        Self::new(FaultKind::Unavailable, format_args!("{what}: no answer in time"))
    }

    /// Of a statement before the commit: whatever it was, nothing has been written.
    pub(crate) fn of_statement(error: &Error) -> Self {
        let Some(answer) = error.as_db_error() else {
            // The connection is gone, or speaks nonsense; another one may do.
            return Self { again: true, ..Self::new(FaultKind::Unavailable, chain(error)) };
        };
        let (kind, again) = meaning(answer.code());
        Self { again, ..Self::new(kind, said(answer)) }
    }

    /// Of a commit. Only an answer that says "rolled back" says so.
    pub(crate) fn of_commit(error: &Error) -> Self {
        let rolled_back = error.code().is_some_and(|code| {
            let class = code.code().get(..2).unwrap_or_default();
            // Serialization and deadlock, and constraints that are checked by the commit.
            matches!(class, "40" | "23") && *code != SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
        });
        let fault = Self::of_statement(error);
        if rolled_back { fault } else { Self { kind: FaultKind::Unknown, again: false, ..fault } }
    }

    /// Of a connection that could not be had.
    pub(crate) fn of_pool(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => Self { again: false, ..Self::of_statement(&error) },
            // The check of the schema on a new connection.
            PoolError::PostCreateHook(HookError::Backend(error)) => {
                Self { again: false, ..Self::of_statement(&error) }
            }
            PoolError::PostCreateHook(HookError::Message(message)) => Self::new(FaultKind::Schema, message),
            PoolError::Timeout(_) => Self::late("a connection"),
            other => Self::new(FaultKind::Unavailable, other),
        }
    }

    /// The same failure as the ports report it.
    #[must_use]
    pub fn store_error(&self) -> StoreError {
        match self.kind {
            FaultKind::Unavailable | FaultKind::Refused | FaultKind::Schema => StoreError::Unavailable,
            FaultKind::Unknown => StoreError::Unknown,
            FaultKind::Corrupt => StoreError::Corrupt,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.detail)
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for StoreFault {
    fn from(fault: Fault) -> Self {
        Self { kind: fault.kind.name(), detail: fault.detail }
    }
}

/// Kind of an answer, and whether the same call may succeed at once.
fn meaning(code: &SqlState) -> (FaultKind, bool) {
    if *code == SqlState::INSUFFICIENT_PRIVILEGE {
        return (FaultKind::Refused, false);
    }
    match code.code().get(..2).unwrap_or_default() {
        // Rolled back in favour of another transaction.
        "40" => (FaultKind::Unavailable, true),
        // Another connection was first; the next try sees what it wrote.
        "23" => (FaultKind::Schema, *code == SqlState::UNIQUE_VIOLATION),
        // The session ends: shutdown, or a crash of another one. A statement that took too long is not tried again.
        "08" => (FaultKind::Unavailable, true),
        "57" => (FaultKind::Unavailable, *code != SqlState::QUERY_CANCELED),
        "28" => (FaultKind::Refused, false),
        // What was sent does not fit what is there, or a statement was prepared before a step of a migration.
        "0A" | "26" | "3D" | "3F" | "42" => (FaultKind::Schema, false),
        // A value that no column takes says nothing of the server: the next call may be right, so it is no reason to ask nothing any more.
        "22" => (FaultKind::Corrupt, false),
        "XX" if matches!(code.code(), "XX001" | "XX002") => (FaultKind::Corrupt, false),
        _ => (FaultKind::Unavailable, false),
    }
}

fn said(answer: &DbError) -> String {
    let mut text = format!("{} {}: {}", answer.severity(), answer.code().code(), answer.message());
    if let Some(constraint) = answer.constraint() {
        text.push_str(" (");
        text.push_str(constraint);
        text.push(')');
    }
    text
}

/// An error of the connection with its causes: the cause alone says "connection refused".
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_means_what_its_code_says() {
        for (code, kind, again) in [
            ("40001", FaultKind::Unavailable, true),
            ("40P01", FaultKind::Unavailable, true),
            ("23505", FaultKind::Schema, true),
            ("23514", FaultKind::Schema, false),
            ("57014", FaultKind::Unavailable, false),
            ("57P01", FaultKind::Unavailable, true),
            ("55P03", FaultKind::Unavailable, false),
            ("28P01", FaultKind::Refused, false),
            ("42501", FaultKind::Refused, false),
            ("42P01", FaultKind::Schema, false),
            ("0A000", FaultKind::Schema, false),
            ("22021", FaultKind::Corrupt, false),
            ("53100", FaultKind::Unavailable, false),
            ("XX001", FaultKind::Corrupt, false),
            ("XX000", FaultKind::Unavailable, false),
        ] {
            assert_eq!(meaning(&SqlState::from_code(code)), (kind, again), "{code}");
        }
    }

    #[test]
    fn only_unknown_says_unknown() {
        let errors = [
            FaultKind::Unavailable,
            FaultKind::Refused,
            FaultKind::Schema,
            FaultKind::Unknown,
            FaultKind::Corrupt,
        ]
        .map(|kind| Fault::new(kind, "").store_error());
        let unavailable = StoreError::Unavailable;
        assert_eq!(errors, [unavailable, unavailable, unavailable, StoreError::Unknown, StoreError::Corrupt]);
    }
}
