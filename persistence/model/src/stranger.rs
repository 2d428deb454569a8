//! Conversations of two that strangers begin: requests, until the other one accepts.
//!
//! Who begins one and shares no room with the other *asks*. Limits: the constants, and how many somebody asks in a day, which the
//! server's limits say.

use lynk_domain::{Millis, Ordinal, Seq, UserId};

/// Messages of who asks that a request takes.
pub const MESSAGE_REQUEST_MESSAGES_MAX: u64 = 3;
/// Requests that wait for one user at a time. Whoever has so many takes none.
pub const MESSAGE_REQUESTS_RECEIVED_MAX: u32 = 1_000;
/// How long after it was asked a request may be asked anew, and how long after a refusal nobody is told of that, in milliseconds: 30 days.
pub const MESSAGE_REQUEST_AGAIN_MILLIS: u64 = 30 * 24 * 60 * 60 * 1_000;
/// The time in which requests of one user are counted, in milliseconds: a day.
pub const MESSAGE_REQUESTS_WINDOW_MILLIS: u64 = 24 * 60 * 60 * 1_000;

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum RequestState {
    /// It waits for the other one.
    Pending = 0,
    /// The conversation is as any other.
    Accepted = 1,
    /// The other one does not want it, and hears no more of it. Who asked is not told.
    Declined = 2,
}

impl RequestState {
    /// Decodes the stored number.
    #[must_use]
    pub fn from_u8(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::Pending),
            1 => Some(Self::Accepted),
            2 => Some(Self::Declined),
            _ => None,
        }
    }
}

/// On which side of a request somebody is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestSide {
    /// The user asked.
    Sent,
    /// The user is asked.
    Received,
}

impl RequestSide {
    /// Its word in the protocol.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Received => "received",
        }
    }
}

/// How a 1:1 began that a stranger began. Of other 1:1s there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MessageRequest {
    /// Who asked.
    pub asker: UserId,
    /// Who is asked.
    pub user: UserId,
    /// What became of it.
    pub state: RequestState,
    /// When it was asked, the last time.
    pub at: Millis,
    /// Messages of the room before that.
    pub base: Ordinal,
    /// When it was accepted or declined; 0 while it waits.
    pub decided: Millis,
    /// How often something became of it: beyond the room's version, the version of what who is asked is told.
    pub turns: u32,
}

impl MessageRequest {
    /// A request that is made now.
    #[must_use]
    pub fn new(asker: UserId, user: UserId, at: Millis, base: Ordinal) -> Self {
        Self { asker, user, state: RequestState::Pending, at, base, decided: Millis(0), turns: 0 }
    }

    /// What `user` is told of it; nothing once it is accepted. Who is asked hears nothing of what it declined.
    #[must_use]
    pub fn side(&self, user: UserId) -> Option<RequestSide> {
        match self.state {
            RequestState::Accepted => None,
            _ if user == self.asker => Some(RequestSide::Sent),
            RequestState::Pending if user == self.user => Some(RequestSide::Received),
            _ => None,
        }
    }

    /// Whether the room is none of `user`'s, because it declined it.
    #[must_use]
    pub fn keeps_from(&self, user: UserId) -> bool {
        self.state == RequestState::Declined && user == self.user
    }

    /// What a change by `actor` makes of it, and the event and message up to which who is asked is shown nothing any more; itself where it
    /// is so already. `None` for a change that is not the actor's to make now.
    #[must_use]
    pub fn turned(
        &self,
        actor: UserId,
        change: RequestChange,
        wall: Millis,
    ) -> Option<(Self, Option<(Seq, Ordinal)>)> {
        let turns = self.turns.saturating_add(1);
        let decided = |state| Self { state, decided: wall, turns, ..*self };
        let asked = actor == self.user;
        match (change, self.state) {
            (RequestChange::Accept, RequestState::Accepted) if asked => Some((*self, None)),
            (RequestChange::Accept, _) if asked => Some((decided(RequestState::Accepted), None)),
            (RequestChange::Decline { .. }, RequestState::Declined) if asked => Some((*self, None)),
            (RequestChange::Decline { seq, n }, RequestState::Pending) if asked => {
                Some((decided(RequestState::Declined), Some((seq, n))))
            }
            (RequestChange::Again { .. }, RequestState::Accepted) => None,
            (RequestChange::Again { .. }, _) if actor == self.asker && !self.may_be_again(wall) => {
                Some((*self, None))
            }
            (RequestChange::Again { seq, n, .. }, RequestState::Declined)
                if actor == self.asker && passed(self.decided, wall) =>
            {
                Some((Self { turns, ..Self::new(self.asker, self.user, wall, n) }, Some((seq, n))))
            }
            (RequestChange::Again { n, .. }, _) if actor == self.asker => {
                Some((Self { at: wall, base: n, ..*self }, None))
            }
            _ => None,
        }
    }

    /// Whether it is not accepted, and was asked long enough ago to be asked anew. That it was declined, and when, makes no difference: who
    /// asked would know by that.
    #[must_use]
    pub fn may_be_again(&self, wall: Millis) -> bool {
        self.state != RequestState::Accepted && passed(self.at, wall)
    }
}

/// Whether that was long enough ago.
fn passed(since: Millis, wall: Millis) -> bool {
    wall.0 >= since.0.saturating_add(MESSAGE_REQUEST_AGAIN_MILLIS)
}

/// What becomes of a request by a command of one of the two. Repeating it is harmless.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestChange {
    /// Who asked asks anew, long enough after it asked. Of one that waits, and of one that was declined not long ago, nothing is told, and it
    /// stays so; else it waits again, and who is asked is shown nothing up to `seq`, whose last message is `n`.
    Again {
        /// The last event.
        seq: Seq,
        /// The last message.
        n: Ordinal,
        /// As in [`MetaChange::Begin`](crate::MetaChange::Begin).
        requests_max: u32,
    },
    /// Who is asked accepts, perhaps what it has declined.
    Accept,
    /// Who is asked declines: it is shown nothing up to `seq`, whose last message is `n`.
    Decline {
        /// The last event.
        seq: Seq,
        /// The last message.
        n: Ordinal,
    },
}

/// When somebody who asked at these times, newest first, may ask once more: `None` for now.
#[must_use]
pub fn may_ask_at(newest_first: &[Millis], requests_max: u32, wall: Millis) -> Option<Millis> {
    let Some(last) = requests_max.checked_sub(1) else {
        return Some(Millis(wall.0.saturating_add(MESSAGE_REQUESTS_WINDOW_MILLIS)));
    };
    let until = newest_first.get(last as usize)?.0.saturating_add(MESSAGE_REQUESTS_WINDOW_MILLIS);
    (until > wall.0).then_some(Millis(until))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_shown_to_each_side_and_one_that_was_declined_to_who_asked() {
        let [asker, user, other] = [1, 2, 3].map(|n| UserId([n; 16]));
        let request = MessageRequest::new(asker, user, Millis(5), Ordinal(0));
        let sides = |request: &MessageRequest| [asker, user, other].map(|who| request.side(who));
        assert_eq!(sides(&request), [Some(RequestSide::Sent), Some(RequestSide::Received), None]);
        let with = |state| MessageRequest { state, decided: Millis(9), ..request };
        assert_eq!(sides(&with(RequestState::Declined)), [Some(RequestSide::Sent), None, None]);
        assert_eq!(sides(&with(RequestState::Accepted)), [None, None, None]);
        let declined = with(RequestState::Declined);
        assert_eq!([asker, user].map(|who| declined.keeps_from(who)), [false, true]);
        assert!(!request.keeps_from(user));
        let day = 24 * 60 * 60 * 1_000;
        for one in [request, declined] {
            assert!(!one.may_be_again(Millis(4 + 30 * day)) && one.may_be_again(Millis(5 + 30 * day)));
        }
        assert!(!with(RequestState::Accepted).may_be_again(Millis(99 * day)));
        let anew = RequestChange::Again { seq: Seq(7), n: Ordinal(6), requests_max: 50 };
        let turned = |one: &MessageRequest, wall| one.turned(asker, anew, Millis(wall));
        for one in [request, declined] {
            assert_eq!(turned(&one, 4 + 30 * day), Some((one, None)));
            let wall = Millis(5 + 30 * day);
            let later = MessageRequest { at: wall, base: Ordinal(6), ..one };
            assert_eq!(turned(&one, wall.0), Some((later, None)), "also when it was declined since");
        }
        let waits =
            MessageRequest { turns: 1, ..MessageRequest::new(asker, user, Millis(9 + 30 * day), Ordinal(6)) };
        assert_eq!(turned(&declined, 9 + 30 * day), Some((waits, Some((Seq(7), Ordinal(6))))));
        assert_eq!(turned(&with(RequestState::Accepted), 99 * day), None);
    }

    #[test]
    fn so_many_are_asked_in_a_day() {
        let day = MESSAGE_REQUESTS_WINDOW_MILLIS;
        let asked = [Millis(30), Millis(20), Millis(10)];
        assert_eq!(may_ask_at(&asked, 4, Millis(40)), None);
        assert_eq!(may_ask_at(&asked, 3, Millis(40)), Some(Millis(10 + day)));
        assert_eq!(may_ask_at(&asked, 2, Millis(40)), Some(Millis(20 + day)));
        assert_eq!(may_ask_at(&asked, 3, Millis(10 + day)), None);
        assert_eq!(may_ask_at(&[], 0, Millis(40)), Some(Millis(40 + day)));
    }
}
