//! What a call failed with.
//!
//! Thread: any; pure. The port's [`StoreError`] says what the caller must do, a [`Fault`] tells the operator why. Its words come from the
//! server and the driver, which repeat neither bound values nor credentials.
//!
//! A write that was sent and not answered is [`FaultKind::Unknown`], whatever ended the waiting; only a refusal that comes before any
//! replica was asked is [`FaultKind::Unavailable`].

use std::fmt;

use lynk_model::StoreError;
use lynk_model::port::StoreFault;
use scylla::deserialize::{DeserializationError, TypeCheckError};
use scylla::errors::{
    DbError, ExecutionError, IntoRowsResultError, PrepareError, RequestAttemptError, RowsError,
};

/// What kind of failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FaultKind {
    /// Nothing was written; the server is away, or too few replicas are there.
    Unavailable,
    /// The server refused the role or the statement. Nothing was written.
    Refused,
    /// It may have been written.
    Unknown,
    /// What is stored, or was to be, cannot be read.
    Corrupt,
}

impl FaultKind {
    /// For logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Corrupt => "corrupt",
        }
    }
}

/// A failure with the words for an operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What kind.
    pub kind: FaultKind,
    /// Why.
    pub detail: String,
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

impl Fault {
    pub(crate) fn new(kind: FaultKind, detail: impl fmt::Display) -> Self {
        Self { kind, detail: detail.to_string() }
    }

    pub(crate) fn corrupt(detail: impl fmt::Display) -> Self {
        Self::new(FaultKind::Corrupt, detail)
    }

    /// Of a write that was sent, or was about to be.
    pub(crate) fn of_write(error: &ExecutionError) -> Self {
        Self::new(kind_of_write(error), error)
    }

    /// Of a read: it can be asked again whatever happened.
    pub(crate) fn of_read(error: &ExecutionError) -> Self {
        let kind = match kind_of_write(error) {
            FaultKind::Unknown => FaultKind::Unavailable,
            other => other,
        };
        Self::new(kind, error)
    }

    pub(crate) fn store_error(&self) -> StoreError {
        match self.kind {
            FaultKind::Unavailable | FaultKind::Refused => StoreError::Unavailable,
            FaultKind::Unknown => StoreError::Unknown,
            FaultKind::Corrupt => StoreError::Corrupt,
        }
    }
}

/// Rows of another shape than this program expects.
macro_rules! corrupt_from {
    ($($error:ty),*) => {$(
        impl From<$error> for Fault {
            fn from(error: $error) -> Self {
                Self::corrupt(error)
            }
        }
    )*};
}
corrupt_from!(IntoRowsResultError, RowsError, TypeCheckError, DeserializationError);

impl From<PrepareError> for Fault {
    fn from(error: PrepareError) -> Self {
        let kind = match &error {
            PrepareError::AllAttemptsFailed { first_attempt: RequestAttemptError::DbError(refused, _) } => {
                kind_of_answer(refused)
            }
            _ => FaultKind::Unavailable,
        };
        // Preparing writes nothing.
        let kind = if kind == FaultKind::Unknown { FaultKind::Unavailable } else { kind };
        Self::new(kind, error)
    }
}

fn kind_of_write(error: &ExecutionError) -> FaultKind {
    match error {
        // No node was spoken to.
        ExecutionError::BadQuery(_)
        | ExecutionError::EmptyPlan
        | ExecutionError::PrepareError(_)
        | ExecutionError::ConnectionPoolError(_)
        | ExecutionError::UseKeyspaceError(_) => FaultKind::Unavailable,
        ExecutionError::LastAttemptError(attempt) => match attempt {
            RequestAttemptError::SerializationError(_)
            | RequestAttemptError::CqlRequestSerialization(_)
            | RequestAttemptError::UnableToAllocStreamId => FaultKind::Unavailable,
            RequestAttemptError::DbError(answer, _) => kind_of_answer(answer),
            _ => FaultKind::Unknown,
        },
        _ => FaultKind::Unknown,
    }
}

fn kind_of_answer(answer: &DbError) -> FaultKind {
    match answer {
        DbError::Unavailable { .. } | DbError::IsBootstrapping => FaultKind::Unavailable,
        DbError::Unauthorized
        | DbError::AuthenticationError
        | DbError::SyntaxError
        | DbError::Invalid
        | DbError::ConfigError
        | DbError::Unprepared { .. }
        | DbError::AlreadyExists { .. } => FaultKind::Refused,
        // Timeouts, failures of replicas, an overloaded coordinator: some replica may have it.
        _ => FaultKind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use scylla::errors::WriteType;
    use scylla::statement::Consistency;

    use super::*;

    fn answered(answer: DbError) -> ExecutionError {
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(answer, "words".to_owned()))
    }

    #[test]
    fn a_write_that_may_have_happened_is_never_called_failed() {
        let consistency = Consistency::LocalQuorum;
        let timeout = DbError::WriteTimeout {
            consistency,
            received: 1,
            required: 2,
            write_type: WriteType::UnloggedBatch,
        };
        for error in [
            answered(timeout),
            answered(DbError::Overloaded),
            answered(DbError::ServerError),
            ExecutionError::RequestTimeout(Duration::from_secs(1)),
        ] {
            assert_eq!(Fault::of_write(&error).store_error(), StoreError::Unknown, "{error}");
            assert_eq!(Fault::of_read(&error).store_error(), StoreError::Unavailable, "{error}");
        }
        for error in [
            answered(DbError::Unavailable { consistency, required: 2, alive: 1 }),
            answered(DbError::Unauthorized),
            ExecutionError::EmptyPlan,
        ] {
            assert_eq!(Fault::of_write(&error).store_error(), StoreError::Unavailable, "{error}");
        }
    }
}
