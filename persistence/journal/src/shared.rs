//! One [`Reader`] for two threads: the drainer copies batches, requests read single records.
//!
//! Thread: bridge threads. The lock is held while records are read, never while the store works, so a
//! request does not wait behind a slow append. One reader, because its index is built by whoever reads a
//! record first, and would otherwise be built twice.

use std::sync::{Arc, Mutex, PoisonError};

use lynk_domain::Lsn;
use lynk_model::port::RecordSource;
use lynk_model::{OwnedRecord, SourceId, StoreError};

use crate::disk::Disk;
use crate::reader::Reader;

/// How a drainer gets at its reader.
pub trait ReaderAccess<D: Disk> {
    /// Runs `f` on the reader. May wait for another thread that reads.
    fn with<T>(&mut self, f: impl FnOnce(&mut Reader<D>) -> T) -> T;
}

impl<D: Disk> ReaderAccess<D> for Reader<D> {
    fn with<T>(&mut self, f: impl FnOnce(&mut Reader<D>) -> T) -> T {
        f(self)
    }
}

/// A reader that clones share.
pub struct SharedReader<D: Disk>(Arc<Mutex<Reader<D>>>);

impl<D: Disk> SharedReader<D> {
    /// Shares `reader`.
    #[must_use]
    pub fn new(reader: Reader<D>) -> Self {
        Self(Arc::new(Mutex::new(reader)))
    }
}

impl<D: Disk> Clone for SharedReader<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<D: Disk> ReaderAccess<D> for SharedReader<D> {
    fn with<T>(&mut self, f: impl FnOnce(&mut Reader<D>) -> T) -> T {
        // A panic ends the process, so only a test can see the poison.
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<D: Disk> RecordSource for SharedReader<D> {
    fn read(&mut self, source: SourceId, lsn: Lsn) -> Result<Option<OwnedRecord>, StoreError> {
        self.with(|reader| reader.read(source, lsn))
    }
}
