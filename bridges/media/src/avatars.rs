//! Pictures of accounts: [`Avatars`] on the store of media.
//!
//! Thread: handlers of accounts, and the thread that erases them; both wait without blocking. What can fail: the store; it is asked again.

use std::sync::Arc;

use lynk_api::Clock;
use lynk_api::accounts::{AvatarAnswer, Avatars};
use lynk_domain::{MediaId, UserId};
use lynk_model::media::{MEDIA_BATCH_MAX, PictureOf};
use lynk_model::{AttachRefusal, StoreError};
use lynk_protocol::{ErrorCode, Reject};

use crate::counts::MediaCounts;
use crate::desk::{Desk, Rows};
use crate::files::{taken, taking};

/// When to come back for a picture that is still looked at.
const READY_RETRY_MILLIS: u32 = 1_000;

/// [`Avatars`] by the thread of the store.
pub struct MediaAvatars {
    desk: Desk,
    clock: Clock,
    counts: Arc<MediaCounts>,
}

impl MediaAvatars {
    pub(crate) fn new(desk: Desk, clock: Clock, counts: Arc<MediaCounts>) -> Self {
        Self { desk, clock, counts }
    }

    /// Dooms batches until there is none. What is not done is counted: it is asked for again.
    async fn doom(
        &self,
        batch: impl Fn(&mut dyn Rows) -> Result<u32, StoreError> + Copy + Send + 'static,
    ) -> Result<(), Reject> {
        loop {
            let doomed = self.desk.ask(batch).await.inspect_err(|_| self.counts.deferred());
            if doomed? < MEDIA_BATCH_MAX {
                return Ok(());
            }
        }
    }
}

impl Avatars for MediaAvatars {
    fn take(&self, user: UserId, picture: MediaId) -> AvatarAnswer<'_> {
        let attach = taking(PictureOf::Account(user), user, picture, &self.clock);
        Box::pin(async move {
            let outcome = self.desk.ask(move |rows| rows.attach(&attach)).await?;
            taken(&outcome).map_err(|refusal| match refusal {
                AttachRefusal::NotReady => Reject::after(ErrorCode::AttachmentNotReady, READY_RETRY_MILLIS),
                _ => Reject::because(
                    ErrorCode::AttachmentNotFound,
                    "field `avatar` is no picture that you have uploaded for your account",
                ),
            })
        })
    }

    fn keep(&self, user: UserId, picture: MediaId) -> AvatarAnswer<'_> {
        let (of, now) = (PictureOf::Account(user), (self.clock)().wall);
        Box::pin(self.doom(move |rows| rows.keep_picture(of, picture, now)))
    }

    fn end(&self, user: UserId) -> AvatarAnswer<'_> {
        let now = (self.clock)().wall;
        Box::pin(self.doom(move |rows| rows.release_owner(user, now)))
    }
}
