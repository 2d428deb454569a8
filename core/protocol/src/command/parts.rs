//! What a `send` or an `edit` says beside its text.

use lynk_model::{MENTIONED_USERS_MAX, Mentions, Parts};

use super::envelope::{Envelope, ids};
use crate::{ErrorCode, Reject};

impl Envelope<'_> {
    /// The parts, without the limits that the server announces: nearly always none.
    pub(super) fn parts(&mut self) -> Result<Parts, Reject> {
        let (users, all) = (self.mentions.take(), self.mention_all == Some(true));
        if users.is_none() && !all {
            return Ok(Parts::default());
        }
        if users.as_ref().is_some_and(|users| users.len() > MENTIONED_USERS_MAX) {
            return Err(ErrorCode::TooLarge.into());
        }
        Ok(Parts { mentions: Mentions::new(all, ids(users)) })
    }
}
