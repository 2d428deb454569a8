//! The port of media: rows of pictures and files. Their bytes are in a blob store.

use lynk_domain::{Key, MediaId, Millis, RoomId, Seq, UserId};

use crate::StoreError;
use crate::media::{Attach, AttachOutcome, Begun, Media, PictureOf, Quota, Settled, Usage};

/// Rows of pictures and files.
///
/// Each call is one transaction. Several processes may use one store: a quota is never passed, and a file is attached once.
#[expect(async_fn_in_trait, reason = "called on a bridge thread by concrete type; no Send bound is wanted")]
pub trait MediaStore {
    /// Begins an upload, unless its owner has too much at [`Media::created`]. Repeating it with the same id is harmless.
    ///
    /// # Errors
    /// `Unavailable`: nothing was written; `Unknown`: repeat it.
    async fn begin(&mut self, media: &Media, quota: &Quota) -> Result<Begun, StoreError>;

    /// What an account has at `now`.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn usage(&self, owner: UserId, now: Millis) -> Result<Usage, StoreError>;

    /// Those of `ids` that are there, in that order.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn media(&self, ids: &[MediaId]) -> Result<Vec<Media>, StoreError>;

    /// A page of an account's files after `after` (nil for the start), by id; those that are rejected or doomed are left out.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn of_owner(&self, owner: UserId, after: MediaId, limit: u32) -> Result<Vec<Media>, StoreError>;

    /// Notes what became of a file, and answers it as it is then: unchanged when that does not follow from its state; `None` when
    /// there is none.
    ///
    /// # Errors
    /// `Unavailable` or `Unknown`: repeat it.
    async fn settle(
        &mut self,
        id: MediaId,
        settled: &Settled,
        now: Millis,
    ) -> Result<Option<Media>, StoreError>;

    /// Attaches files, all or none.
    ///
    /// # Errors
    /// `Unavailable` or `Unknown`: repeat it with the same key.
    async fn attach(&mut self, attach: &Attach) -> Result<AttachOutcome, StoreError>;

    /// Dooms files, whatever their state; how many were not over yet.
    ///
    /// # Errors
    /// `Unavailable` or `Unknown`: repeat it.
    async fn release(&mut self, ids: &[MediaId], now: Millis) -> Result<u32, StoreError>;

    /// Dooms all files of a room. At most [`MEDIA_BATCH_MAX`](crate::media::MEDIA_BATCH_MAX) a call; 0 when there is no more. The nil room
    /// has none.
    ///
    /// # Errors
    /// `Unavailable` or `Unknown`: repeat it.
    async fn release_room(&mut self, room: RoomId, now: Millis) -> Result<u32, StoreError>;

    /// Notes the [seq](Media::seq) of the message that has files of a room, by its key.
    ///
    /// # Errors
    /// `Unavailable` or `Unknown`: repeat it.
    async fn posted(&mut self, room: RoomId, key: Key, ids: &[MediaId], seq: Seq) -> Result<(), StoreError>;

    /// Files that are attached for messages, after `after` (nil for the start), by id: all that are not over, or those whose message is not
    /// known.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn attached(&self, unknown: bool, after: MediaId, limit: u32) -> Result<Vec<Media>, StoreError>;

    /// Whether messages of a room have files that are not noted to [leave](Media::leaves).
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn has_files(&self, room: RoomId) -> Result<bool, StoreError>;

    /// Notes that files of a room's messages [leave](Media::leaves) with those up to `to`. Of what is noted already the first note stays.
    ///
    /// # Errors
    /// `Unavailable` or `Unknown`: repeat it.
    async fn leave(&mut self, room: RoomId, ids: &[MediaId], to: Seq) -> Result<(), StoreError>;

    /// Dooms files of a room that were noted to leave at or before `floor`, as [`Self::release_room`] does.
    ///
    /// # Errors
    /// `Unavailable` or `Unknown`: repeat it.
    async fn release_left(&mut self, room: RoomId, floor: Seq, now: Millis) -> Result<u32, StoreError>;

    /// Dooms pictures that a room or an account had: all that are attached to it but `keep`, which is nil for none. As [`Self::release_room`].
    ///
    /// # Errors
    /// `Unavailable` or `Unknown`: repeat it.
    async fn keep_picture(&mut self, of: PictureOf, keep: MediaId, now: Millis) -> Result<u32, StoreError>;

    /// Dooms all files of an account but pictures that rooms have, as [`Self::release_room`] does.
    ///
    /// # Errors
    /// `Unavailable` or `Unknown`: repeat it.
    async fn release_owner(&mut self, owner: UserId, now: Millis) -> Result<u32, StoreError>;

    /// Dooms what nobody finished or used: pending ones begun before `pending`, ready ones that are attached to nothing and became ready before
    /// `unused`. At most [`MEDIA_BATCH_MAX`](crate::media::MEDIA_BATCH_MAX) of each a call; 0 when there is no more.
    ///
    /// # Errors
    /// `Unavailable` or `Unknown`: repeat it.
    async fn doom_orphans(&mut self, pending: Millis, unused: Millis, now: Millis)
    -> Result<u32, StoreError>;

    /// Files that are looked at, and changed before a time; the oldest first.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn scanning(&self, before: Millis, limit: u32) -> Result<Vec<Media>, StoreError>;

    /// Files that are over and whose bytes are not known to be gone.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn doomed(&self, limit: u32) -> Result<Vec<Media>, StoreError>;

    /// Notes that the bytes of files that are over are gone. Rows stay as long as they count as uploads.
    ///
    /// # Errors
    /// `Unavailable` or `Unknown`: repeat it.
    async fn emptied(&mut self, ids: &[MediaId]) -> Result<(), StoreError>;

    /// Forgets rows whose bytes are gone and that count as uploads no more at `now`. At most
    /// [`MEDIA_BATCH_MAX`](crate::media::MEDIA_BATCH_MAX) a call; 0 when there is no more.
    ///
    /// # Errors
    /// `Unavailable` or `Unknown`: repeat it.
    async fn forget(&mut self, now: Millis) -> Result<u32, StoreError>;
}
