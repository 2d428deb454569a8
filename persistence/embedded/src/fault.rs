//! Failures of the engines below, in the three kinds that matter above, with words for the operator.

use std::fmt;
use std::path::PathBuf;

use lynk_model::StoreError;
use lynk_model::port::StoreFault;

/// What a failure means for the caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FaultKind {
    /// The disk is full, or nearly.
    DiskFull,
    /// The disk or the engine refused; a later try may succeed.
    Unavailable,
    /// A write may or may not have happened.
    Unknown,
    /// Stored data cannot be read.
    Corrupt,
}

impl FaultKind {
    /// Name for metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DiskFull => "disk_full",
            Self::Unavailable => "unavailable",
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
    /// What the engine said.
    pub detail: String,
}

impl Fault {
    pub(crate) fn new(kind: FaultKind, detail: impl fmt::Display) -> Self {
        Self { kind, detail: detail.to_string() }
    }

    pub(crate) fn corrupt(detail: impl fmt::Display) -> Self {
        Self::new(FaultKind::Corrupt, detail)
    }

    /// The same failure as the ports report it.
    #[must_use]
    pub fn store_error(&self) -> StoreError {
        match self.kind {
            FaultKind::DiskFull | FaultKind::Unavailable => StoreError::Unavailable,
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

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        let full = error.kind() == std::io::ErrorKind::StorageFull;
        Self::new(if full { FaultKind::DiskFull } else { FaultKind::Unavailable }, error)
    }
}

impl From<fjall::LsmError> for Fault {
    fn from(error: fjall::LsmError) -> Self {
        match error {
            fjall::LsmError::Io(error) => error.into(),
            other => Self::corrupt(other),
        }
    }
}

impl From<fjall::Error> for Fault {
    fn from(error: fjall::Error) -> Self {
        match error {
            fjall::Error::Io(error) => error.into(),
            fjall::Error::Storage(error) => error.into(),
            fjall::Error::Poisoned | fjall::Error::Locked | fjall::Error::KeyspaceDeleted => {
                Self::new(FaultKind::Unavailable, error)
            }
            other => Self::corrupt(other),
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        let kind = match &error {
            rusqlite::Error::SqliteFailure(code, _) => match code.code {
                ErrorCode::DiskFull => FaultKind::DiskFull,
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::TypeMismatch => {
                    FaultKind::Corrupt
                }
                _ => FaultKind::Unavailable,
            },
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..) => FaultKind::Corrupt,
            _ => FaultKind::Unavailable,
        };
        Self::new(kind, error)
    }
}

/// Why a store did not open. Ends the start of the server; the text names the file and the remedy.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The engine refused.
    Engine {
        /// File or directory.
        path: PathBuf,
        /// Why.
        fault: Fault,
    },
    /// Another process has it open.
    Locked {
        /// File or directory.
        path: PathBuf,
    },
    /// Written by a newer version of this program.
    Newer {
        /// File or directory.
        path: PathBuf,
        /// Format found.
        found: u32,
        /// Newest format known here.
        known: u32,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine { path, fault } => {
                write!(f, "cannot open {}: {fault}", path.display())?;
                if fault.kind == FaultKind::Corrupt {
                    f.write_str("; restore the data directory from a backup")?;
                }
                Ok(())
            }
            Self::Locked { path } => {
                write!(f, "{} is open in another process; stop it first", path.display())
            }
            Self::Newer { path, found, known } => write!(
                f,
                "{} has format {found}, this program knows {known}: start a newer version",
                path.display()
            ),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Engine { fault, .. } => Some(fault),
            Self::Locked { .. } | Self::Newer { .. } => None,
        }
    }
}
