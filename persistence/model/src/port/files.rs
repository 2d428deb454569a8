//! What messages need of whoever keeps files.

use std::future::Future;
use std::pin::Pin;

use lynk_domain::{Key, MediaId, RoomId, Seq, UserId};

use crate::{AttachRefusal, Attachment, StoreError};

/// What [`Files`] answers later.
pub type FilesAnswer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A file that is attached for a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AttachedFile {
    /// Which.
    pub id: MediaId,
    /// In which room.
    pub room: RoomId,
    /// Whose it is, and who sends the message.
    pub owner: UserId,
    /// The message's key.
    pub key: Key,
    /// Seq of the message, if it is known: there may be none.
    pub seq: Option<Seq>,
}

/// Files as messages carry them. Called on the thread that answers store requests, which must not be blocked: what blocks runs elsewhere and is
/// waited for.
pub trait Files: Send + Sync {
    /// Makes `files`, uploads of `owner` for `room` that are ready, those of the message with `key`: all or none. Repeated with the same key it
    /// answers the same. In the order asked for.
    ///
    /// # Errors
    /// `Unavailable`: nothing was done; `Unknown`: repeat it.
    fn attach<'a>(
        &'a self,
        room: RoomId,
        owner: UserId,
        key: Key,
        files: &'a [MediaId],
    ) -> FilesAnswer<'a, Result<Vec<Attachment>, AttachRefusal>>;

    /// The message with `key` has these files and is in the log at `seq`, to stay. What is not told is found by the look that
    /// [`Self::attached`] is for.
    ///
    /// # Errors
    /// `Unavailable` or `Unknown`.
    fn posted<'a>(&'a self, room: RoomId, key: Key, files: &'a [MediaId], seq: Seq) -> FilesAnswer<'a, ()>;

    /// Files that were attached, some after the others: each call goes on where the last ended, first with those whose message is not known, and
    /// begins anew at the end. At most twice `limit`.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    fn attached(&self, limit: u32) -> FilesAnswer<'_, Vec<AttachedFile>>;

    /// Makes `picture`, an upload of `owner` for the picture of `room` that is ready, one that the room has. Repeated it answers the same.
    ///
    /// # Errors
    /// `Unavailable`: nothing was done; `Unknown`: repeat it.
    fn take_picture(
        &self,
        room: RoomId,
        owner: UserId,
        picture: MediaId,
    ) -> FilesAnswer<'_, Result<(), AttachRefusal>>;

    /// A room has this picture, nil for none: as [`Self::release`] for others that it had. Of what failed nothing is done later: another picture
    /// may be taken by then.
    ///
    /// # Errors
    /// `Unavailable` or `Unknown`: repeat it.
    fn keep_picture(&self, room: RoomId, keep: MediaId) -> FilesAnswer<'_, ()>;

    /// Files whose message is deleted: nobody may fetch them any more. What is gone already does not matter.
    ///
    /// # Errors
    /// `Unavailable` or `Unknown`: repeat it.
    fn release<'a>(&'a self, room: RoomId, files: &'a [MediaId]) -> FilesAnswer<'a, ()>;

    /// Whether messages of a room have files of which it is not noted that they leave.
    ///
    /// # Errors
    /// `Unavailable`, `Unknown` or `Corrupt`.
    fn has_files(&self, room: RoomId) -> FilesAnswer<'_, bool>;

    /// Notes that `files` are those of messages up to `to`, all of which are about to be removed, or of the message at `to`, which is about to
    /// be deleted. Nobody loses anything before [`Self::passed`] or [`Self::release`] says that they are; but from now on files are read only
    /// while what is at `to` stands.
    ///
    /// # Errors
    /// `Unavailable` or `Unknown`: repeat it before the messages are removed.
    fn leave<'a>(&'a self, room: RoomId, files: &'a [MediaId], to: Seq) -> FilesAnswer<'a, ()>;

    /// Messages of a room up to `floor` are removed: as [`Self::release`] for the files that were noted to leave with them.
    ///
    /// # Errors
    /// `Unavailable` or `Unknown`: repeat it.
    fn passed(&self, room: RoomId, floor: Seq) -> FilesAnswer<'_, ()>;

    /// A room is deleted: as [`Self::release`] for all of its files, whatever they are for.
    ///
    /// # Errors
    /// `Unavailable` or `Unknown`: repeat it.
    fn end(&self, room: RoomId) -> FilesAnswer<'_, ()>;
}

/// A server that keeps no files: there is none that a message could have.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFiles;

impl Files for NoFiles {
    fn attach<'a>(
        &'a self,
        _: RoomId,
        _: UserId,
        _: Key,
        _: &'a [MediaId],
    ) -> FilesAnswer<'a, Result<Vec<Attachment>, AttachRefusal>> {
        Box::pin(std::future::ready(Ok(Err(AttachRefusal::NotFound))))
    }

    fn posted<'a>(&'a self, _: RoomId, _: Key, _: &'a [MediaId], _: Seq) -> FilesAnswer<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn attached(&self, _: u32) -> FilesAnswer<'_, Vec<AttachedFile>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn take_picture(&self, _: RoomId, _: UserId, _: MediaId) -> FilesAnswer<'_, Result<(), AttachRefusal>> {
        Box::pin(std::future::ready(Ok(Err(AttachRefusal::NotFound))))
    }

    fn keep_picture(&self, _: RoomId, _: MediaId) -> FilesAnswer<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn release<'a>(&'a self, _: RoomId, _: &'a [MediaId]) -> FilesAnswer<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn has_files(&self, _: RoomId) -> FilesAnswer<'_, bool> {
        Box::pin(std::future::ready(Ok(false)))
    }

    fn leave<'a>(&'a self, _: RoomId, _: &'a [MediaId], _: Seq) -> FilesAnswer<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn passed(&self, _: RoomId, _: Seq) -> FilesAnswer<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn end(&self, _: RoomId) -> FilesAnswer<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}
