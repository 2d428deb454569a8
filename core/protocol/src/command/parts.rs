//! What a `send` or an `edit` says beside its text.

use std::borrow::Cow;

use lynk_domain::MediaId;
use lynk_model::{ATTACHMENTS_MAX, MENTIONED_USERS_MAX, Mentions, Parts};

use super::envelope::{Envelope, ids, invalid, take};
use crate::{ErrorCode, Reject};

impl<'a> Envelope<'a> {
    /// The parts, without the limits that the server announces: nearly always none.
    pub(super) fn parts(&mut self) -> Result<Parts, Reject> {
        let (users, all) = (self.mentions.take(), self.mention_all == Some(true));
        if users.is_none() && !all {
            return Ok(Parts::default());
        }
        if users.as_ref().is_some_and(|users| users.len() > MENTIONED_USERS_MAX) {
            return Err(ErrorCode::TooLarge.into());
        }
        Ok(Parts::of_mentions(Mentions::new(all, ids(users))))
    }

    /// The files of a `send`.
    pub(super) fn attachments(&self) -> Result<Vec<MediaId>, Reject> {
        let Some(list) = &self.attachments else { return Ok(Vec::new()) };
        if list.len() > ATTACHMENTS_MAX {
            return Err(ErrorCode::TooLarge.into());
        }
        let mut files = Vec::with_capacity(list.len());
        for id in list {
            let file = MediaId(id.0);
            if file.is_nil() || files.contains(&file) {
                return Err(invalid("attachments", "names nothing, or a file twice"));
            }
            files.push(file);
        }
        Ok(files)
    }

    /// The text of a `send`, which may be missing beside files.
    pub(super) fn said(&mut self) -> Result<Cow<'a, str>, Reject> {
        match take(&mut self.text) {
            Some(text) => Ok(text),
            None if self.attachments.as_ref().is_some_and(|files| !files.is_empty()) => Ok(Cow::Borrowed("")),
            None => self.text(),
        }
    }
}
