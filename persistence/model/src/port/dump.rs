//! The ports by which whole stores are copied: into a backup, out of one, into other stores.

use std::collections::BTreeMap;

use lynk_domain::{Epoch, Millis, RoomId, Seq};

use super::MessageStore;
use crate::dump::{AccountsRow, DumpPage, DumpRow, LogRow, MediaRow, NotifyRow, RoomsRow};
use crate::{Position, StoreError};

/// A message log that can be read whole, and filled.
///
/// A room's rows are read while it is appended to: what is read is at least the state at the begin of the reading, and holds nothing that is
/// not appended at its end. Rows are merged into what is there, so a copy that is filled with such rows, and to which every record that was
/// appended meanwhile is appended as well, holds what the source does.
#[expect(async_fn_in_trait, reason = "called on one thread by concrete type; no Send bound is wanted")]
pub trait MessageDump: MessageStore {
    /// Rooms that have a head, in an order of the store's own, after `after` (nil for the start); fewer than `limit` means the end.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn logged_rooms(&self, after: RoomId, limit: u32) -> Result<Vec<RoomId>, StoreError>;

    /// [`LogRow::Message`] and [`LogRow::Event`] from one seq to another, both counted.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn log_rows(&self, room: RoomId, from: Seq, to: Seq) -> Result<Vec<LogRow>, StoreError>;

    /// [`LogRow::Key`] of those rows whose time is at `since` or later. A key whose time is over may be missing.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn log_keys(
        &self,
        room: RoomId,
        rows: &[LogRow],
        since: Millis,
    ) -> Result<Vec<LogRow>, StoreError> {
        let mut keys = Vec::new();
        for row in rows {
            let Some((sender, key, wall)) = key_of(row) else { continue };
            if key.is_nil() || wall < since {
                continue;
            }
            if let Some(used) = self.find_key(room, sender, key).await? {
                keys.push(LogRow::Key { sender, key, used });
            }
        }
        Ok(keys)
    }

    /// The rows of a room that have no seq: positions, intents, head.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn log_ends(&self, room: RoomId) -> Result<Vec<LogRow>, StoreError> {
        let mut rows = Vec::new();
        for state in self.reads(room).await? {
            let position = Position { round: state.round, read: state.read, delivered: state.delivered };
            rows.push(LogRow::Position { user: state.user, position });
        }
        rows.extend(self.intents(room).await?.into_iter().map(LogRow::Intent));
        rows.push(LogRow::Head(self.head(room).await?));
        Ok(rows)
    }

    /// Merges rows into a room. Durable after [`Self::settle`]. Repeating it is harmless.
    ///
    /// # Errors
    /// `Unavailable`, `Unknown` or `Corrupt`.
    async fn fill_log(&mut self, room: RoomId, rows: &[LogRow]) -> Result<(), StoreError>;

    /// Makes everything that was filled durable.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn settle(&mut self) -> Result<(), StoreError>;

    /// The epoch that rooms have at least.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn epoch(&self) -> Result<Epoch, StoreError>;

    /// Raises the epoch of every room, also of those that are not there yet, to `epoch` at least. Durable when it returns.
    ///
    /// # Errors
    /// `Unavailable` or `Unknown`.
    async fn raise_epoch(&mut self, epoch: Epoch) -> Result<(), StoreError>;
}

/// Sender, key and time of a row that may have a key.
#[must_use]
pub fn key_of(row: &LogRow) -> Option<(lynk_domain::UserId, lynk_domain::Key, Millis)> {
    match row {
        LogRow::Message { state, .. } => state.row.facts.map(|facts| (facts.sender, facts.key, facts.wall)),
        LogRow::Event(event) => Some((event.sender, event.key, event.wall)),
        _ => None,
    }
}

/// Tables at one moment.
#[expect(async_fn_in_trait, reason = "called on one thread by concrete type; no Send bound is wanted")]
pub trait Dump {
    /// What is in them.
    type Row: DumpRow;

    /// The rows after a mark, `limit` at most, in the order of their marks.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn rows(&mut self, mark: &MarkOf<Self>, limit: u32) -> Result<PageOf<Self>, StoreError>;

    /// Those rows that are there under the keys of `rows`, in that order. A store that is far away looks for them; this reads everything.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn find(&mut self, rows: &[Self::Row]) -> Result<Vec<Self::Row>, StoreError> {
        let key = |row: &Self::Row| {
            let mut key = Vec::new();
            row.key(&mut key);
            key
        };
        let mut found: BTreeMap<Vec<u8>, Option<Self::Row>> =
            rows.iter().map(|row| (key(row), None)).collect();
        let mut mark = Some(MarkOf::<Self>::default());
        while let Some(at) = mark {
            let page = self.rows(&at, PAGE_ROWS).await?;
            for (row, _) in page.rows {
                if let Some(place) = found.get_mut(&key(&row)) {
                    *place = Some(row);
                }
            }
            mark = page.next;
        }
        Ok(rows.iter().filter_map(|row| found.get(&key(row))?.clone()).collect())
    }

    /// How many rows there are. A store that is far away counts them; this reads everything.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn count(&mut self) -> Result<u64, StoreError> {
        let (mut count, mut mark) = (0, Some(MarkOf::<Self>::default()));
        while let Some(at) = mark {
            let page = self.rows(&at, PAGE_ROWS).await?;
            count += page.rows.len() as u64;
            mark = page.next;
        }
        Ok(count)
    }
}

/// Rows of a page where nobody has said how many.
const PAGE_ROWS: u32 = 100;

/// Where a dump goes on.
pub type MarkOf<D> = <<D as Dump>::Row as DumpRow>::Mark;
/// A page of a dump.
pub type PageOf<D> = DumpPage<<D as Dump>::Row, MarkOf<D>>;

/// Tables that can be filled.
#[expect(async_fn_in_trait, reason = "called on one thread by concrete type; no Send bound is wanted")]
pub trait Fill {
    /// What is in them.
    type Row: DumpRow;

    /// Puts rows in, each in place of the one with its key, and of another account with its telephone number, or another device with its token. Lines of the audit log, and
    /// accounts in the outbox, that are there already are left out. Those of one call keep their order. Durable when it returns. Repeating
    /// it is harmless.
    ///
    /// # Errors
    /// `Unavailable`, `Unknown` or `Corrupt`.
    async fn fill(&mut self, rows: &[Self::Row]) -> Result<(), StoreError>;

    /// Takes rows out, each by its key, whatever else it says; one that is not there is none. Durable when it returns. Repeating it is
    /// harmless. Rooms, their names, and erasures are never taken out of any store, so this is no way to do it either.
    ///
    /// # Errors
    /// `Unavailable` or `Unknown`; `Corrupt` for a room, a room's name or an erasure, and nothing is taken out.
    async fn take_out(&mut self, rows: &[Self::Row]) -> Result<(), StoreError>;
}

/// Tables that may not be there: none have no rows.
impl<D: Dump> Dump for Option<D> {
    type Row = D::Row;

    async fn rows(&mut self, mark: &MarkOf<D>, limit: u32) -> Result<PageOf<D>, StoreError> {
        match self {
            Some(dump) => dump.rows(mark, limit).await,
            None => Ok(DumpPage { rows: Vec::new(), next: None }),
        }
    }

    async fn find(&mut self, rows: &[D::Row]) -> Result<Vec<D::Row>, StoreError> {
        match self {
            Some(dump) => dump.find(rows).await,
            None => Ok(Vec::new()),
        }
    }

    async fn count(&mut self) -> Result<u64, StoreError> {
        match self {
            Some(dump) => dump.count().await,
            None => Ok(0),
        }
    }
}

/// Tables that may not be there: none take no rows.
impl<F: Fill> Fill for Option<F> {
    type Row = F::Row;

    async fn fill(&mut self, rows: &[F::Row]) -> Result<(), StoreError> {
        match self {
            Some(tables) => tables.fill(rows).await,
            None if rows.is_empty() => Ok(()),
            None => Err(StoreError::Unavailable),
        }
    }

    async fn take_out(&mut self, rows: &[F::Row]) -> Result<(), StoreError> {
        match self {
            Some(tables) => tables.take_out(rows).await,
            None => Ok(()),
        }
    }
}

/// The relational side at one moment.
pub trait RoomDump: Dump<Row = RoomsRow> {}
impl<D: Dump<Row = RoomsRow>> RoomDump for D {}

/// A relational side that can be filled.
pub trait RoomFill: Fill<Row = RoomsRow> {}
impl<F: Fill<Row = RoomsRow>> RoomFill for F {}

/// Accounts at one moment.
pub trait AccountDump: Dump<Row = AccountsRow> {}
impl<D: Dump<Row = AccountsRow>> AccountDump for D {}

/// Accounts that can be filled.
pub trait AccountFill: Fill<Row = AccountsRow> {}
impl<F: Fill<Row = AccountsRow>> AccountFill for F {}

/// Notifications at one moment.
pub trait NotifyDump: Dump<Row = NotifyRow> {}
impl<D: Dump<Row = NotifyRow>> NotifyDump for D {}

/// Notifications that can be filled.
pub trait NotifyFill: Fill<Row = NotifyRow> {}
impl<F: Fill<Row = NotifyRow>> NotifyFill for F {}

/// Media at one moment.
pub trait MediaDump: Dump<Row = MediaRow> {}
impl<D: Dump<Row = MediaRow>> MediaDump for D {}

/// Media that can be filled.
pub trait MediaFill: Fill<Row = MediaRow> {}
impl<F: Fill<Row = MediaRow>> MediaFill for F {}
