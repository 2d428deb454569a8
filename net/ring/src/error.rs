//! Why a ring could not be made, in words for an operator.

use std::fmt;
use std::io;

/// What stands in the way of io_uring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Cause {
    /// `EPERM` or `EACCES`: a seccomp profile, or the sysctl `kernel.io_uring_disabled`.
    Refused,
    /// `ENOSYS`: a kernel without io_uring, or a seccomp profile that says so.
    Absent,
    /// `ENOMEM` even for the smallest queues: ring memory counts against `RLIMIT_MEMLOCK`.
    Memory,
    /// `EINVAL`: a kernel that does not know the flags (DEFER_TASKRUN came with 6.1), or lacks an operation.
    Old,
    /// Anything else.
    Other,
}

/// A ring could not be made. Its text names the cause; [`Self::cure`] the remedy.
#[derive(Debug)]
pub struct SetupError {
    cause: Cause,
    step: &'static str,
    error: io::Error,
}

impl SetupError {
    pub(crate) fn new(step: &'static str, error: io::Error) -> Self {
        let cause = match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Cause::Refused,
            Some(libc::ENOSYS) => Cause::Absent,
            Some(libc::ENOMEM) => Cause::Memory,
            Some(libc::EINVAL) => Cause::Old,
            _ => Cause::Other,
        };
        Self { cause, step, error }
    }

    pub(crate) fn missing(operation: &'static str) -> Self {
        Self {
            cause: Cause::Old,
            step: operation,
            error: io::Error::new(io::ErrorKind::Unsupported, "the kernel does not offer this operation"),
        }
    }

    /// What stands in the way.
    #[must_use]
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// Whether the epoll driver is a sound answer. Every known cause is one; an unknown error is not.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.cause != Cause::Other
    }

    /// What an operator can do about it.
    #[must_use]
    pub fn cure(&self) -> &'static str {
        match self.cause {
            Cause::Refused => {
                "allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile of the \
                 container or service, and set sysctl kernel.io_uring_disabled=0"
            }
            Cause::Absent => "use a kernel of 6.1 or later, or a seccomp profile that allows io_uring",
            Cause::Memory => {
                "raise the locked-memory limit: LimitMEMLOCK=infinity, --ulimit memlock=-1 or ulimit -l"
            }
            Cause::Old => "use a kernel of 6.1 or later",
            Cause::Other => "see the error; please report it if the kernel is 6.1 or later",
        }
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "io_uring: {}: {}", self.step, self.error)
    }
}

impl std::error::Error for SetupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
