//! Why a copy failed.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use lynk_model::StoreError;
use lynk_model::port::{LastFault, StoreFault};

/// Why a copy failed. The text names the store or the file, and nobody's data.
#[derive(Debug)]
#[non_exhaustive]
pub enum CopyError {
    /// A store did not do its part.
    Store {
        /// Which.
        which: Cow<'static, str>,
        /// What it means.
        error: StoreError,
        /// What it said.
        fault: Option<StoreFault>,
    },
    /// The disk.
    Disk {
        /// File or directory.
        path: PathBuf,
        /// What it said.
        error: std::io::Error,
    },
    /// A file is not what it was.
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The source ended, or gave the copy up because it was too slow.
    Ended,
    /// The copy is not what its source is.
    Differs(Vec<String>),
    /// Something is in the way.
    InTheWay {
        /// What.
        path: PathBuf,
        /// Why it stays.
        why: &'static str,
    },
}

impl CopyError {
    /// A store's failure with what it remembers of it.
    pub fn store<S: LastFault>(which: impl Into<Cow<'static, str>>, store: &S, error: StoreError) -> Self {
        Self::Store { which: which.into(), error, fault: store.last_fault() }
    }

    /// The disk's failure at a path.
    #[must_use]
    pub fn disk(path: &Path, error: std::io::Error) -> Self {
        Self::Disk { path: path.to_owned(), error }
    }

    pub(crate) fn damaged(path: &Path, why: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), why: why.into() }
    }
}

impl fmt::Display for CopyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store { which, fault: Some(fault), .. } => write!(f, "{which}: {fault}"),
            Self::Store { which, error, fault: None } => write!(f, "{which}: {error:?}"),
            Self::Disk { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Damaged { path, why } => write!(f, "{} is damaged: {why}", path.display()),
            Self::Ended => f.write_str("the server ends, or the copy was too slow for it"),
            Self::Differs(what) => write!(f, "the copy is not what its source is: {}", what.join("; ")),
            Self::InTheWay { path, why } => write!(f, "{} is in the way: {why}", path.display()),
        }
    }
}

impl std::error::Error for CopyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Disk { error, .. } => Some(error),
            _ => None,
        }
    }
}
