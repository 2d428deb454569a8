//! Files of messages: [`Files`] on the store of media.
//!
//! Thread: that which answers store requests; it waits for the answer of the store's thread without blocking.

use lynk_api::Clock;
use lynk_domain::{Key, MediaId, RoomId, UserId};
use lynk_model::media::{Attach, AttachOutcome, Media, NotAttached, Purpose};
use lynk_model::port::{Files, FilesAnswer};
use lynk_model::{AttachRefusal, Attachment, StoreError};

use crate::desk::{Desk, Unasked};

/// [`Files`] by the thread of the store.
pub struct MediaFiles {
    desk: Desk,
    clock: Clock,
}

impl MediaFiles {
    pub(crate) fn new(desk: Desk, clock: Clock) -> Self {
        Self { desk, clock }
    }
}

/// A question that was not asked changed nothing.
fn store_error(unasked: Unasked) -> StoreError {
    match unasked {
        Unasked::Busy | Unasked::Ended => StoreError::Unavailable,
        Unasked::Store(error) => error,
    }
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

    fn release<'a>(&'a self, _: RoomId, files: &'a [MediaId]) -> FilesAnswer<'a, ()> {
        let (files, now) = (files.to_vec(), (self.clock)().wall);
        Box::pin(async move {
            self.desk.ask(move |rows| rows.release(&files, now)).await.map(drop).map_err(store_error)
        })
    }
}
