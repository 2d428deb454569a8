//! [`MediaTable`]: rows of pictures and files, in SQLite.
//!
//! Thread: one thread owns the connection. Every call may block on the disk; a change waits for one `fdatasync` of the write-ahead log
//! (`synchronous=FULL`).
//!
//! Invariants: each call is one transaction, which decides by what it reads. Names of files are in the file, which only its owner may read
//! (mode 0600). Limits: those of the port; SQLite's cache is 4 MiB. What can fail: the disk, and a damaged file.

mod copy;
mod rows;
mod schema;

use lynk_domain::{Key, MediaId, Millis, RoomId, Seq, UserId};
use lynk_model::StoreError;
use lynk_model::media::{Attach, AttachOutcome, Begun, Media, PictureOf, Quota, Settled, Usage};
use lynk_model::port::MediaStore;

pub use copy::MediaSnapshot;

use crate::table::{Table, TableFile};

/// Where the tables are: `<data>/media.sqlite`.
pub enum MediaFile {}

impl TableFile for MediaFile {
    const NAME: &'static str = "media.sqlite";
    const STEPS: &'static [&'static str] = schema::STEPS;
}

/// [`MediaStore`] on SQLite.
pub type MediaTable = Table<MediaFile>;

impl MediaStore for MediaTable {
    async fn begin(&mut self, media: &Media, quota: &Quota) -> Result<Begun, StoreError> {
        let result = rows::begin(&mut self.connection, media, quota);
        self.noted(result)
    }

    async fn usage(&self, owner: UserId, now: Millis) -> Result<Usage, StoreError> {
        self.noted(rows::usage(&self.connection, owner, now))
    }

    async fn media(&self, ids: &[MediaId]) -> Result<Vec<Media>, StoreError> {
        self.noted(rows::find(&self.connection, ids))
    }

    async fn of_owner(&self, owner: UserId, after: MediaId, limit: u32) -> Result<Vec<Media>, StoreError> {
        self.noted(rows::of_owner(&self.connection, owner, after, limit))
    }

    async fn settle(
        &mut self,
        id: MediaId,
        settled: &Settled,
        now: Millis,
    ) -> Result<Option<Media>, StoreError> {
        let result = rows::settle(&mut self.connection, id, settled, now);
        self.noted(result)
    }

    async fn attach(&mut self, attach: &Attach) -> Result<AttachOutcome, StoreError> {
        let result = rows::attach(&mut self.connection, attach);
        self.noted(result)
    }

    async fn release(&mut self, ids: &[MediaId], now: Millis) -> Result<u32, StoreError> {
        let result = rows::release(&mut self.connection, ids, now);
        self.noted(result)
    }

    async fn release_room(&mut self, room: RoomId, now: Millis) -> Result<u32, StoreError> {
        let result = rows::release_room(&mut self.connection, room, now);
        self.noted(result)
    }

    async fn posted(&mut self, room: RoomId, key: Key, ids: &[MediaId], seq: Seq) -> Result<(), StoreError> {
        let result = rows::posted(&mut self.connection, (room, key), ids, seq);
        self.noted(result)
    }

    async fn attached(&self, unknown: bool, after: MediaId, limit: u32) -> Result<Vec<Media>, StoreError> {
        self.noted(rows::attached(&self.connection, unknown, after, limit))
    }

    async fn has_files(&self, room: RoomId) -> Result<bool, StoreError> {
        self.noted(rows::has_files(&self.connection, room))
    }

    async fn leave(&mut self, room: RoomId, ids: &[MediaId], to: Seq) -> Result<(), StoreError> {
        let result = rows::leave(&mut self.connection, room, ids, to);
        self.noted(result)
    }

    async fn release_left(&mut self, room: RoomId, floor: Seq, now: Millis) -> Result<u32, StoreError> {
        let result = rows::release_left(&mut self.connection, room, floor, now);
        self.noted(result)
    }

    async fn keep_picture(&mut self, of: PictureOf, keep: MediaId, now: Millis) -> Result<u32, StoreError> {
        let result = rows::keep_picture(&mut self.connection, of, keep, now);
        self.noted(result)
    }

    async fn release_owner(&mut self, owner: UserId, now: Millis) -> Result<u32, StoreError> {
        let result = rows::release_owner(&mut self.connection, owner, now);
        self.noted(result)
    }

    async fn doom_orphans(
        &mut self,
        pending: Millis,
        unused: Millis,
        now: Millis,
    ) -> Result<u32, StoreError> {
        let result = rows::doom_orphans(&mut self.connection, pending, unused, now);
        self.noted(result)
    }

    async fn scanning(&self, before: Millis, limit: u32) -> Result<Vec<Media>, StoreError> {
        self.noted(rows::scanning(&self.connection, before, limit))
    }

    async fn doomed(&self, limit: u32) -> Result<Vec<Media>, StoreError> {
        self.noted(rows::doomed(&self.connection, limit))
    }

    async fn emptied(&mut self, ids: &[MediaId]) -> Result<(), StoreError> {
        let result = rows::emptied(&mut self.connection, ids);
        self.noted(result)
    }

    async fn forget(&mut self, now: Millis) -> Result<u32, StoreError> {
        let result = rows::forget(&mut self.connection, now);
        self.noted(result)
    }
}
