//! Dumping and filling media.
//!
//! Thread: that of whoever copies. A page is filled in one transaction. What can fail: see [`Fault`].

use lynk_domain::MediaId;
use lynk_model::StoreError;
use lynk_model::dump::{DumpPage, MediaMark, MediaRow};
use lynk_model::port::{Dump, Fill, LastFault, StoreFault};

use super::{PostgresMedia, rows};
use crate::Fault;
use crate::column::uuid;
use crate::database::{Held, Verdict, count};

/// Media as they were at one moment, while others go on. It takes a connection of the pool, and keeps the server from cleaning up what is
/// newer.
pub struct MediaSnapshot(Held);

impl PostgresMedia {
    /// The media as they are now.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn snapshot(&self) -> Result<MediaSnapshot, StoreError> {
        let held = self.database.hold("SELECT 1 FROM media.media LIMIT 1").await;
        self.database.noted(held).map(MediaSnapshot)
    }
}

impl LastFault for MediaSnapshot {
    fn last_fault(&self) -> Option<StoreFault> {
        self.0.take_fault().map(StoreFault::from)
    }
}

impl Dump for MediaSnapshot {
    type Row = MediaRow;

    async fn rows(
        &mut self,
        mark: &MediaMark,
        limit: u32,
    ) -> Result<DumpPage<MediaRow, MediaMark>, StoreError> {
        let sql = format!("SELECT {} FROM media.media WHERE id > $1 ORDER BY id LIMIT $2", rows::MEDIA);
        let found = self.0.read(async |session| {
            let found = session.rows(&sql, &[&uuid(mark.0.0), &i64::from(limit)]).await?;
            found.iter().map(|row| rows::media(row).map(MediaRow)).collect::<Result<Vec<_>, Fault>>()
        });
        let marked = |row: MediaRow| {
            let mark = row.mark();
            (row, mark)
        };
        Ok(DumpPage::at(mark, found.await?.into_iter().map(marked).collect(), limit))
    }

    async fn find(&mut self, rows: &[MediaRow]) -> Result<Vec<MediaRow>, StoreError> {
        let ids: Vec<MediaId> = rows.iter().map(|row| row.0.id).collect();
        let found = self.0.read(async |session| rows::find(session, &ids, false).await);
        Ok(found.await?.into_iter().map(MediaRow).collect())
    }

    async fn count(&mut self) -> Result<u64, StoreError> {
        count(&self.0, &["media.media"]).await
    }
}

impl Fill for PostgresMedia {
    type Row = MediaRow;

    async fn fill(&mut self, rows: &[MediaRow]) -> Result<(), StoreError> {
        let filled = self.database.change(async |session| {
            for row in rows {
                rows::put(session, &row.0).await?;
            }
            Ok(Verdict::Commit(()))
        });
        self.database.noted(filled.await)
    }

    async fn take_out(&mut self, rows: &[MediaRow]) -> Result<(), StoreError> {
        let ids: Vec<_> = rows.iter().map(|row| uuid(row.0.id.0)).collect();
        let gone = self.database.change(async |session| {
            session.execute("DELETE FROM media.media WHERE id = ANY ($1)", &[&ids]).await?;
            Ok(Verdict::Commit(()))
        });
        self.database.noted(gone.await)
    }
}
