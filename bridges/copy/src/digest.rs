//! What two stores must have in common to hold the same.
//!
//! The sum of the SHA-256 of every row, as four numbers that wrap: the same whatever the order in which a store has its rows. It is
//! made against accidents, not against somebody who may choose rows.

use std::fmt;

use lynk_domain::{Millis, RoomId};
use lynk_model::StoreError;
use lynk_model::dump::LogRow;
use lynk_model::port::MessageDump;
use ring::digest::{SHA256, digest};

use crate::log::pages;

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Digest {
    /// How many rows.
    pub rows: u64,
    sum: [u64; 4],
}

impl Digest {
    /// Adds a row by its encoding.
    pub fn add(&mut self, row: &[u8]) {
        let hash = digest(&SHA256, row);
        for (sum, part) in self.sum.iter_mut().zip(hash.as_ref().as_chunks::<8>().0) {
            *sum = sum.wrapping_add(u64::from_le_bytes(*part));
        }
        self.rows += 1;
    }

    /// Takes a row away that was added, by its encoding.
    pub fn take_away(&mut self, row: &[u8]) {
        let hash = digest(&SHA256, row);
        for (sum, part) in self.sum.iter_mut().zip(hash.as_ref().as_chunks::<8>().0) {
            *sum = sum.wrapping_sub(u64::from_le_bytes(*part));
        }
        self.rows = self.rows.wrapping_sub(1);
    }

    fn add_log(&mut self, row: &LogRow, since: Millis, bytes: &mut Vec<u8>) {
        if row.forgettable_since().is_some_and(|wall| wall < since) {
            return;
        }
        bytes.clear();
        row.encode(bytes);
        self.add(bytes);
    }
}

/// Rows, and the sum in hexadecimal.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.rows)?;
        self.sum.iter().try_for_each(|part| write!(f, "{part:016x}"))
    }
}

/// Digest of all that a message log has of a room. What is forgotten in time counts from `since` on.
///
/// # Errors
/// What the store says.
pub async fn digest_room<M: MessageDump>(
    store: &M,
    room: RoomId,
    since: Millis,
) -> Result<Digest, StoreError> {
    let (mut found, mut bytes) = (Digest::default(), Vec::new());
    for (from, to) in pages(store.head(room).await?.top) {
        let rows = store.log_rows(room, from, to).await?;
        let keys = store.log_keys(room, &rows, since).await?;
        rows.iter().chain(&keys).for_each(|row| found.add_log(row, since, &mut bytes));
    }
    let ends = store.log_ends(room).await?;
    ends.iter().for_each(|row| found.add_log(row, since, &mut bytes));
    Ok(found)
}
