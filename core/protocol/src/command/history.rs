//! `history`: which part of a room's past is asked for.

use lynk_domain::{Epoch, Millis, RoomId, Seq};

use super::envelope::{AfterField, Envelope, invalid, seq_field};
use super::{Command, MAX_SAFE_INTEGER};
use crate::Reject;

/// Which part of the past is asked for. At most one of `before`, `after` and `at` is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct History {
    /// The room.
    pub room: RoomId,
    /// Events before this seq, newest first. Nothing of the three: the newest page.
    pub before: Option<Seq>,
    /// Events after this seq, oldest first.
    pub after: Option<Seq>,
    /// Events from the first message on that is not older than this wall time, oldest first.
    pub at: Option<Millis>,
    /// Epoch of the client's cursor, when it has one.
    pub epoch: Option<Epoch>,
    /// Items at most; `None` for the server's default.
    pub limit: Option<u32>,
    /// Every event, or messages only.
    pub all: bool,
}

pub(super) fn history_of<'a>(e: &Envelope<'a>) -> Result<Command<'a>, Reject> {
    let after = match e.after {
        None => None,
        Some(AfterField::Seq(seq)) => Some(seq_field("after", seq)?),
        Some(_) => return Err(invalid("after", "is not a seq")),
    };
    let before = e.before.map(|seq| seq_field("before", seq)).transpose()?;
    let at = e.at.as_ref().map(|moment| moment.0);
    if after.is_some() && before.is_some() {
        return Err(invalid("before", "cannot be combined with `after`"));
    }
    if at.is_some() && (after.is_some() || before.is_some()) {
        return Err(invalid("at", "cannot be combined with `before` or `after`"));
    }
    if at.is_some_and(|at| at.0 > MAX_SAFE_INTEGER) {
        return Err(invalid("at", "is larger than 2^53 - 1"));
    }
    if e.limit == Some(0) {
        return Err(invalid("limit", "must be at least 1"));
    }
    Ok(Command::History(History {
        room: e.room()?,
        before,
        after,
        at,
        epoch: e.epoch.map(Epoch),
        limit: e.limit,
        all: e.all.unwrap_or(false),
    }))
}
