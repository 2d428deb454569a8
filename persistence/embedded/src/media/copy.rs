//! Dumping and filling media.

use std::cell::RefCell;
use std::path::Path;

use lynk_model::StoreError;
use lynk_model::dump::{DumpPage, MediaMark, MediaRow};
use lynk_model::port::{Dump, Fill, LastFault, StoreFault};
use rusqlite::{Connection, params};

use super::{MediaTable, rows};
use crate::sqlite::{commit, snapshot};
use crate::{Fault, OpenError};

/// The media of `<data>/media.sqlite` as they are when this is opened, while their owner goes on. The write-ahead log grows as long as this is
/// open.
pub struct MediaSnapshot {
    connection: Connection,
    fault: RefCell<Option<Fault>>,
}

impl MediaSnapshot {
    /// Opens the file, which must exist, for reading.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn open(data: &Path) -> Result<Self, OpenError> {
        let touch = "SELECT count(*) FROM (SELECT 1 FROM media LIMIT 1)";
        let connection = snapshot(&data.join("media.sqlite"), touch)?;
        Ok(Self { connection, fault: RefCell::default() })
    }
}

impl LastFault for MediaSnapshot {
    fn last_fault(&self) -> Option<StoreFault> {
        self.fault.take().map(StoreFault::from)
    }
}

impl Dump for MediaSnapshot {
    type Row = MediaRow;

    async fn rows(
        &mut self,
        mark: &MediaMark,
        limit: u32,
    ) -> Result<DumpPage<MediaRow, MediaMark>, StoreError> {
        let rows = page(&self.connection, mark, limit).map_err(|fault| {
            let error = fault.store_error();
            self.fault.replace(Some(fault));
            error
        })?;
        let marked = |row: MediaRow| {
            let mark = row.mark();
            (row, mark)
        };
        Ok(DumpPage::at(mark, rows.into_iter().map(marked).collect(), limit))
    }
}

fn page(connection: &Connection, mark: &MediaMark, limit: u32) -> Result<Vec<MediaRow>, Fault> {
    let sql = format!("SELECT {} FROM media WHERE id > ?1 ORDER BY id LIMIT ?2", rows::MEDIA);
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_map(params![mark.0.0, limit], |row| rows::media(row).map(MediaRow))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

impl Fill for MediaTable {
    type Row = MediaRow;

    async fn fill(&mut self, rows: &[MediaRow]) -> Result<(), StoreError> {
        let result = fill(&mut self.connection, rows);
        self.noted(result)
    }

    async fn take_out(&mut self, rows: &[MediaRow]) -> Result<(), StoreError> {
        let result = take_out(&mut self.connection, rows);
        self.noted(result)
    }
}

fn fill(connection: &mut Connection, rows: &[MediaRow]) -> Result<(), Fault> {
    let tx = rows::transaction(connection)?;
    for row in rows {
        rows::put(&tx, &row.0)?;
    }
    commit(tx)
}

fn take_out(connection: &mut Connection, rows: &[MediaRow]) -> Result<(), Fault> {
    let tx = rows::transaction(connection)?;
    for row in rows {
        tx.prepare_cached("DELETE FROM media WHERE id = ?1")?.execute([row.0.id.0])?;
    }
    commit(tx)
}
