//! [`PostgresMedia`]: what is known of pictures and files.
//!
//! Thread: the bridge's; see the crate. Invariants: each call is one transaction; uploads of one account begin one after the other, so that
//! several processes do not pass a quota together; rows that are attached are locked in one order. Its role reads and changes media and
//! nothing else. Limits: those of the port. What can fail: see [`Fault`](crate::Fault).

mod copy;
mod rows;

pub use copy::MediaSnapshot;

use lynk_domain::{Key, MediaId, Millis, RoomId, Seq, UserId};
use lynk_model::StoreError;
use lynk_model::media::{Attach, AttachOutcome, Begun, Media, PictureOf, Quota, Settled, Usage};
use lynk_model::port::MediaStore;

use crate::store::Store;

/// Its place in the types.
pub enum MediaPort {}

/// [`MediaStore`] on PostgreSQL.
pub type PostgresMedia = Store<MediaPort>;

impl MediaStore for PostgresMedia {
    async fn begin(&mut self, media: &Media, quota: &Quota) -> Result<Begun, StoreError> {
        self.database.noted(rows::begin(&self.database, media, quota).await)
    }

    async fn usage(&self, owner: UserId, now: Millis) -> Result<Usage, StoreError> {
        let found = self.database.read(async |session| rows::usage(session, owner, now).await);
        self.database.noted(found.await)
    }

    async fn media(&self, ids: &[MediaId]) -> Result<Vec<Media>, StoreError> {
        let found = self.database.read(async |session| rows::find(session, ids, false).await);
        self.database.noted(found.await)
    }

    async fn of_owner(&self, owner: UserId, after: MediaId, limit: u32) -> Result<Vec<Media>, StoreError> {
        self.database.noted(rows::of_owner(&self.database, owner, after, limit).await)
    }

    async fn settle(
        &mut self,
        id: MediaId,
        settled: &Settled,
        now: Millis,
    ) -> Result<Option<Media>, StoreError> {
        self.database.noted(rows::settle(&self.database, id, settled, now).await)
    }

    async fn attach(&mut self, attach: &Attach) -> Result<AttachOutcome, StoreError> {
        self.database.noted(rows::attach(&self.database, attach).await)
    }

    async fn release(&mut self, ids: &[MediaId], now: Millis) -> Result<u32, StoreError> {
        self.database.noted(rows::release(&self.database, ids, now).await)
    }

    async fn release_room(&mut self, room: RoomId, now: Millis) -> Result<u32, StoreError> {
        self.database.noted(rows::release_room(&self.database, room, now).await)
    }

    async fn posted(&mut self, room: RoomId, key: Key, ids: &[MediaId], seq: Seq) -> Result<(), StoreError> {
        self.database.noted(rows::posted(&self.database, (room, key), ids, seq).await)
    }

    async fn attached(&self, unknown: bool, after: MediaId, limit: u32) -> Result<Vec<Media>, StoreError> {
        self.database.noted(rows::attached(&self.database, unknown, after, limit).await)
    }

    async fn has_files(&self, room: RoomId) -> Result<bool, StoreError> {
        self.database.noted(rows::has_files(&self.database, room).await)
    }

    async fn leave(&mut self, room: RoomId, ids: &[MediaId], to: Seq) -> Result<(), StoreError> {
        self.database.noted(rows::leave(&self.database, room, ids, to).await)
    }

    async fn release_left(&mut self, room: RoomId, floor: Seq, now: Millis) -> Result<u32, StoreError> {
        self.database.noted(rows::release_left(&self.database, room, floor, now).await)
    }

    async fn keep_picture(&mut self, of: PictureOf, keep: MediaId, now: Millis) -> Result<u32, StoreError> {
        self.database.noted(rows::keep_picture(&self.database, of, keep, now).await)
    }

    async fn release_owner(&mut self, owner: UserId, now: Millis) -> Result<u32, StoreError> {
        self.database.noted(rows::release_owner(&self.database, owner, now).await)
    }

    async fn doom_orphans(
        &mut self,
        pending: Millis,
        unused: Millis,
        now: Millis,
    ) -> Result<u32, StoreError> {
        self.database.noted(rows::doom_orphans(&self.database, pending, unused, now).await)
    }

    async fn scanning(&self, before: Millis, limit: u32) -> Result<Vec<Media>, StoreError> {
        self.database.noted(rows::scanning(&self.database, before, limit).await)
    }

    async fn doomed(&self, limit: u32) -> Result<Vec<Media>, StoreError> {
        self.database.noted(rows::doomed(&self.database, limit).await)
    }

    async fn emptied(&mut self, ids: &[MediaId]) -> Result<(), StoreError> {
        self.database.noted(rows::emptied(&self.database, ids).await)
    }

    async fn forget(&mut self, now: Millis) -> Result<u32, StoreError> {
        self.database.noted(rows::forget(&self.database, now).await)
    }
}
