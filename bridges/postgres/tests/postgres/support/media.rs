//! The store of media, whose calls wait.

use lynk_domain::{Key, MediaId, Millis, RoomId, Seq, UserId};
use lynk_model::StoreError;
use lynk_model::media::{Attach, AttachOutcome, Begun, Media, PictureOf, Quota, Settled, Usage};
use lynk_model::port::MediaStore;
use lynk_postgres::PostgresMedia;

use super::Waiting;

impl MediaStore for Waiting<PostgresMedia> {
    async fn begin(&mut self, media: &Media, quota: &Quota) -> Result<Begun, StoreError> {
        self.runtime.block_on(self.store.begin(media, quota))
    }
    async fn usage(&self, owner: UserId, now: Millis) -> Result<Usage, StoreError> {
        self.wait(self.store.usage(owner, now))
    }
    async fn media(&self, ids: &[MediaId]) -> Result<Vec<Media>, StoreError> {
        self.wait(self.store.media(ids))
    }
    async fn of_owner(&self, owner: UserId, after: MediaId, limit: u32) -> Result<Vec<Media>, StoreError> {
        self.wait(self.store.of_owner(owner, after, limit))
    }
    async fn settle(
        &mut self,
        id: MediaId,
        settled: &Settled,
        now: Millis,
    ) -> Result<Option<Media>, StoreError> {
        self.runtime.block_on(self.store.settle(id, settled, now))
    }
    async fn attach(&mut self, attach: &Attach) -> Result<AttachOutcome, StoreError> {
        self.runtime.block_on(self.store.attach(attach))
    }
    async fn release(&mut self, ids: &[MediaId], now: Millis) -> Result<u32, StoreError> {
        self.runtime.block_on(self.store.release(ids, now))
    }
    async fn release_room(&mut self, room: RoomId, now: Millis) -> Result<u32, StoreError> {
        self.runtime.block_on(self.store.release_room(room, now))
    }
    async fn posted(&mut self, room: RoomId, key: Key, ids: &[MediaId], seq: Seq) -> Result<(), StoreError> {
        self.runtime.block_on(self.store.posted(room, key, ids, seq))
    }
    async fn attached(&self, unknown: bool, after: MediaId, limit: u32) -> Result<Vec<Media>, StoreError> {
        self.wait(self.store.attached(unknown, after, limit))
    }
    async fn has_files(&self, room: RoomId) -> Result<bool, StoreError> {
        self.wait(self.store.has_files(room))
    }
    async fn leave(&mut self, room: RoomId, ids: &[MediaId], to: Seq) -> Result<(), StoreError> {
        self.runtime.block_on(self.store.leave(room, ids, to))
    }
    async fn release_left(&mut self, room: RoomId, floor: Seq, now: Millis) -> Result<u32, StoreError> {
        self.runtime.block_on(self.store.release_left(room, floor, now))
    }
    async fn keep_picture(&mut self, of: PictureOf, keep: MediaId, now: Millis) -> Result<u32, StoreError> {
        self.runtime.block_on(self.store.keep_picture(of, keep, now))
    }
    async fn release_owner(&mut self, owner: UserId, now: Millis) -> Result<u32, StoreError> {
        self.runtime.block_on(self.store.release_owner(owner, now))
    }
    async fn doom_orphans(
        &mut self,
        pending: Millis,
        unused: Millis,
        now: Millis,
    ) -> Result<u32, StoreError> {
        self.runtime.block_on(self.store.doom_orphans(pending, unused, now))
    }
    async fn scanning(&self, before: Millis, limit: u32) -> Result<Vec<Media>, StoreError> {
        self.wait(self.store.scanning(before, limit))
    }
    async fn doomed(&self, limit: u32) -> Result<Vec<Media>, StoreError> {
        self.wait(self.store.doomed(limit))
    }
    async fn emptied(&mut self, ids: &[MediaId]) -> Result<(), StoreError> {
        self.runtime.block_on(self.store.emptied(ids))
    }
    async fn forget(&mut self, now: Millis) -> Result<u32, StoreError> {
        self.runtime.block_on(self.store.forget(now))
    }
}
