//! A 1:1 that a stranger began: what each side may do until it is accepted.
//!
//! Thread: the shard. Invariants: a room that has one of these is a 1:1 of two who are its members; who declined is kept aside, and is
//! nobody here until it is asked anew or accepts after all; who asked cannot tell a refusal from waiting. Limits: those of the model. What
//! can fail: the checks.

use std::borrow::Cow;
use std::collections::BTreeMap;

use lynk_domain::{Lsn, Ordinal, Seq, UserId};
use lynk_model::{
    MESSAGE_REQUEST_MESSAGES_MAX, MessageRequest, RequestSide, RequestState, StoreReply, StoreRequest,
};
use lynk_protocol::{ErrorCode, Reject};

use super::books::{Books, Pending};
use super::room::{Member, Room};
use crate::context::Context;

/// How a 1:1 began that is not accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) request: MessageRequest,
    /// Who declined it.
    aside: Option<Member>,
}

/// What somebody wants to do in a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Post {
    /// Say something.
    Message {
        /// With files.
        files: bool,
    },
    /// Change what was said, or react to it.
    Change,
    /// Be seen typing.
    Sign,
}

impl Room {
    /// Whether a block or a request stands in the way of some of what members do. It is one question, so that rooms without either pay
    /// for one.
    pub(super) fn settle_restraints(&mut self) {
        self.restrained = !self.blocks.is_empty() || self.asked.is_some();
    }

    /// Takes in how the room began and what became of that. Whoever was kept aside is a member again unless it declined.
    pub(super) fn take_request(&mut self, request: Option<MessageRequest>) {
        if let Some(Asked { request, aside: Some(member) }) = self.asked.take() {
            self.members.insert(request.user, member);
        }
        self.asked = request
            .filter(|request| request.state != RequestState::Accepted)
            .map(|request| Asked { request, aside: None });
        if let Some(asked) = self.asked.as_mut().filter(|asked| asked.request.keeps_from(asked.request.user))
        {
            asked.aside = self.members.remove(&asked.request.user);
        }
        self.settle_restraints();
    }

    /// Shows who is asked nothing up to `seq`, whose last message is `n`. Whoever is kept aside is looked at, too.
    pub(super) fn clear_for(&mut self, user: UserId, (seq, n): (Seq, Ordinal)) {
        let aside = self.asked.as_mut().and_then(|asked| asked.aside.as_mut());
        if let Some(member) = self.members.get_mut(&user).or(aside)
            && seq > member.cleared
        {
            (member.cleared, member.cleared_n) = (seq, n);
        }
    }

    /// Which side of a request that is not accepted `user` is on.
    pub(super) fn side(&self, user: UserId) -> Option<RequestSide> {
        self.asked.as_ref().and_then(|asked| asked.request.side(user))
    }

    /// All members, with whoever is kept aside: who asked sees no difference.
    pub(super) fn all_members(&self) -> Cow<'_, BTreeMap<UserId, Member>> {
        match self.asked {
            Some(Asked { request, aside: Some(member) }) => {
                let mut members = self.members.clone();
                members.insert(request.user, member);
                Cow::Owned(members)
            }
            _ => Cow::Borrowed(&self.members),
        }
    }

    /// How many members there are, with whoever is kept aside.
    pub(super) fn members_count(&self) -> u64 {
        let aside = self.asked.as_ref().is_some_and(|asked| asked.aside.is_some());
        self.members.len() as u64 + u64::from(aside)
    }

    /// Whether `user` is kept aside.
    pub(super) fn is_aside(&self, user: UserId) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.aside.is_some() && asked.request.user == user)
    }

    /// The store knows that `user`, whom somebody added, has written here, or does not.
    pub(super) fn wrote(&mut self, user: UserId, reply: &StoreReply) {
        if let (StoreReply::Noted, Some(member)) = (reply, self.members.get_mut(&user)) {
            member.added = false;
        }
    }

    /// Whether the block or the request of a 1:1 allow `user`, a member, to do something.
    pub(super) fn restrains(&self, user: UserId, post: Post) -> Result<(), Reject> {
        if self.is_blocked() {
            return Err(ErrorCode::Blocked.into());
        }
        let Some(Asked { request, .. }) = &self.asked else { return Ok(()) };
        if user != request.asker {
            let what = "accept the conversation first: `accept_conversation`";
            return Err(Reject::because(ErrorCode::RequestPending, what));
        }
        match post {
            Post::Message { files: true } => {
                let what = "the other has not accepted yet: files can be sent then";
                Err(Reject::because(ErrorCode::RequestPending, what))
            }
            Post::Message { files: false }
                if self.top_n.0.saturating_sub(request.base.0) >= MESSAGE_REQUEST_MESSAGES_MAX =>
            {
                Err(ErrorCode::RequestPending.into())
            }
            // Or one of the three could say any number of things.
            Post::Change => {
                let what = "the other has not accepted yet: what was said can be deleted, and edited then";
                Err(Reject::because(ErrorCode::RequestPending, what))
            }
            _ => Ok(()),
        }
    }
}

impl Books {
    /// Tells the store that a member whom somebody added has written here, once the message's record is committed: the room counts from then
    /// on as one that it shares with others. What is not told, or not taken, is told with the next message.
    pub(super) fn tell_wrote(&mut self, cx: &mut Context<'_>, room: &mut Room, user: UserId, lsn: Lsn) {
        if self.may_ask(cx) {
            room.requests += 1;
            let request = StoreRequest::Wrote { room: room.id, user };
            self.ask_after(cx, lsn, room.id, request, Pending::Wrote(user));
        }
    }
}
