//! [`Table`]: a store that is one SQLite file of its own, and what it failed with last.
//!
//! Thread: one thread owns it. Every call may block on the disk. The file is for its owner only (mode 0600). Which tables it has, and what is
//! done with them, say the modules that name a [`TableFile`].

use std::cell::RefCell;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use lynk_model::StoreError;
use lynk_model::port::{LastFault, StoreFault};
use rusqlite::Connection;

use crate::{Fault, OpenError, sqlite};

/// Which file.
pub trait TableFile {
    /// Its name in the data directory.
    const NAME: &'static str;
    /// Its formats; step `n` turns format `n` into `n + 1`.
    const STEPS: &'static [&'static str];
}

/// See the module.
pub struct Table<F> {
    pub(crate) connection: Connection,
    fault: RefCell<Option<Fault>>,
    file: PhantomData<fn() -> F>,
}

impl<F: TableFile> Table<F> {
    /// Opens or creates the file in this directory, which only its owner may read.
    ///
    /// # Errors
    /// When the file is damaged, of a newer format, or the disk refuses.
    pub fn open(data: &Path) -> Result<Self, OpenError> {
        Ok(Self::of(sqlite::open(&data.join(F::NAME), F::STEPS, 0o600)?))
    }

    /// The same store once more, for another thread. Both write, and wait for each other.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn open_beside(&self) -> Result<Self, OpenError> {
        let path = self.connection.path().map(PathBuf::from).unwrap_or_default();
        Ok(Self::of(sqlite::open_beside(&path)?))
    }

    fn of(connection: Connection) -> Self {
        Self { connection, fault: RefCell::new(None), file: PhantomData }
    }

    /// The last failure since it was asked for, if there was one.
    #[must_use]
    pub fn take_fault(&self) -> Option<Fault> {
        self.fault.take()
    }

    /// Notes what `result` failed with.
    pub(crate) fn noted<T>(&self, result: Result<T, Fault>) -> Result<T, StoreError> {
        result.map_err(|fault| {
            let error = fault.store_error();
            self.fault.replace(Some(fault));
            error
        })
    }
}

impl<F: TableFile> LastFault for Table<F> {
    fn last_fault(&self) -> Option<StoreFault> {
        self.take_fault().map(StoreFault::from)
    }
}
