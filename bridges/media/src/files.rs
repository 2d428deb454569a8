//! Files of messages: [`Files`] on the store of media.
//!
//! Thread: that which answers store requests; it waits for the answer of the store's thread without blocking.

use std::sync::{Arc, Mutex, PoisonError};

use lynk_api::Clock;
use lynk_domain::{Key, MediaId, RoomId, Seq, UserId};
use lynk_model::media::{Attach, AttachOutcome, MEDIA_BATCH_MAX, Media, NotAttached, PictureOf, Purpose};
use lynk_model::port::{AttachedFile, Files, FilesAnswer};
use lynk_model::{AttachRefusal, Attachment, StoreError};

use crate::counts::MediaCounts;
use crate::desk::{Desk, Rows, Unasked};

/// [`Files`] by the thread of the store.
pub struct MediaFiles {
    desk: Desk,
    clock: Clock,
    counts: Arc<MediaCounts>,
    next: Mutex<Next>,
}

/// Where [`Files::attached`] goes on.
#[derive(Clone, Copy, Default)]
struct Next {
    unknown: MediaId,
    all: MediaId,
}

impl MediaFiles {
    pub(crate) fn new(desk: Desk, clock: Clock, counts: Arc<MediaCounts>) -> Self {
        Self { desk, clock, counts, next: Mutex::default() }
    }

    /// Asks for something on the way of files to their end. What is not done is counted: it is asked for again.
    async fn ending<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut dyn Rows) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let answer = self.desk.ask(ask).await.map_err(store_error);
        if answer.is_err() {
            self.counts.deferred();
        }
        answer
    }
}

/// A question that was not asked changed nothing.
fn store_error(unasked: Unasked) -> StoreError {
    match unasked {
        Unasked::Busy | Unasked::Ended => StoreError::Unavailable,
        Unasked::Store(error) => error,
    }
}

/// That somebody's upload becomes a picture of a room or an account.
pub(crate) fn taking(of: PictureOf, owner: UserId, picture: MediaId, clock: &Clock) -> Attach {
    let (room, purpose, key) = (of.room(), of.purpose(), of.key());
    Attach { ids: vec![picture], owner, room, purpose, key, at: clock().wall }
}

/// Whether it did.
pub(crate) fn taken(outcome: &AttachOutcome) -> Result<(), AttachRefusal> {
    match outcome {
        AttachOutcome::Done(_) => Ok(()),
        AttachOutcome::Refused(_, NotAttached::NotReady) => Err(AttachRefusal::NotReady),
        AttachOutcome::Refused(..) => Err(AttachRefusal::NotFound),
    }
}

/// Files of messages after `next`, which then goes on behind them.
fn page(
    rows: &mut dyn Rows,
    unknown: bool,
    next: &mut MediaId,
    limit: u32,
) -> Result<Vec<AttachedFile>, StoreError> {
    let found = rows.attached(unknown, *next, limit)?;
    let whole = found.len() < limit as usize;
    *next = found.last().filter(|_| !whole).map_or(MediaId::NIL, |last| last.id);
    let of = |media: Media| {
        let Media { id, room, owner, attached, seq, .. } = media;
        attached.map(|attached| AttachedFile { id, room, owner, key: attached.key, seq })
    };
    Ok(found.into_iter().filter_map(of).collect())
}

fn attachment(media: Media) -> Attachment {
    let Media { id, name, kind, facts, .. } = media;
    Attachment { id, name, kind, bytes: facts.bytes, width: facts.width, height: facts.height }
}

impl Files for MediaFiles {
    fn attach<'a>(
        &'a self,
        room: RoomId,
        owner: UserId,
        key: Key,
        files: &'a [MediaId],
    ) -> FilesAnswer<'a, Result<Vec<Attachment>, AttachRefusal>> {
        let attach = Attach {
            ids: files.to_vec(),
            owner,
            room,
            purpose: Purpose::Attachment,
            key,
            at: (self.clock)().wall,
        };
        Box::pin(async move {
            let outcome = self.desk.ask(move |rows| rows.attach(&attach)).await.map_err(store_error)?;
            Ok(match outcome {
                AttachOutcome::Done(media) => Ok(media.into_iter().map(attachment).collect()),
                AttachOutcome::Refused(_, NotAttached::NotReady) => Err(AttachRefusal::NotReady),
                AttachOutcome::Refused(..) => Err(AttachRefusal::NotFound),
            })
        })
    }

    fn posted<'a>(&'a self, room: RoomId, key: Key, files: &'a [MediaId], seq: Seq) -> FilesAnswer<'a, ()> {
        let files = files.to_vec();
        Box::pin(async move {
            self.desk.ask(move |rows| rows.posted((room, key), &files, seq)).await.map_err(store_error)
        })
    }

    fn attached(&self, limit: u32) -> FilesAnswer<'_, Vec<AttachedFile>> {
        let mut next = *self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = self.ending(move |rows| {
            let mut found = page(rows, true, &mut next.unknown, limit)?;
            found.extend(
                page(rows, false, &mut next.all, limit)?.into_iter().filter(|file| file.seq.is_some()),
            );
            Ok((found, next))
        });
        Box::pin(async move {
            let (found, next) = asked.await?;
            *self.next.lock().unwrap_or_else(PoisonError::into_inner) = next;
            Ok(found)
        })
    }

    fn take_picture(
        &self,
        room: RoomId,
        owner: UserId,
        picture: MediaId,
    ) -> FilesAnswer<'_, Result<(), AttachRefusal>> {
        let attach = taking(PictureOf::Room(room), owner, picture, &self.clock);
        Box::pin(async move {
            let outcome = self.desk.ask(move |rows| rows.attach(&attach)).await.map_err(store_error)?;
            Ok(taken(&outcome))
        })
    }

    fn keep_picture(&self, room: RoomId, keep: MediaId) -> FilesAnswer<'_, ()> {
        let (of, now) = (PictureOf::Room(room), (self.clock)().wall);
        Box::pin(async move {
            while self.ending(move |rows| rows.keep_picture(of, keep, now)).await? == MEDIA_BATCH_MAX {}
            Ok(())
        })
    }

    fn release<'a>(&'a self, _: RoomId, files: &'a [MediaId]) -> FilesAnswer<'a, ()> {
        let (files, now) = (files.to_vec(), (self.clock)().wall);
        Box::pin(async move { self.ending(move |rows| rows.release(&files, now)).await.map(drop) })
    }

    fn has_files(&self, room: RoomId) -> FilesAnswer<'_, bool> {
        Box::pin(self.ending(move |rows| rows.has_files(room)))
    }

    fn leave<'a>(&'a self, room: RoomId, files: &'a [MediaId], to: Seq) -> FilesAnswer<'a, ()> {
        let files = files.to_vec();
        Box::pin(self.ending(move |rows| rows.leave(room, &files, to)))
    }

    fn passed(&self, room: RoomId, floor: Seq) -> FilesAnswer<'_, ()> {
        let now = (self.clock)().wall;
        Box::pin(async move {
            while self.ending(move |rows| rows.release_left(room, floor, now)).await? == MEDIA_BATCH_MAX {}
            Ok(())
        })
    }

    fn end(&self, room: RoomId) -> FilesAnswer<'_, ()> {
        let now = (self.clock)().wall;
        Box::pin(async move {
            while self.ending(move |rows| rows.release_room(room, now)).await? == MEDIA_BATCH_MAX {}
            Ok(())
        })
    }
}
