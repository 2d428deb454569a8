//! Deleting a conversation of two for oneself: its past is shown to that member no more, and the other one keeps all of it.
//!
//! Thread: the shard. How far is kept in the store of rooms, which is asked before anything changes here, so that nothing comes back after a
//! restart. Invariants: how far only grows, and goes no further than what was shown; the other one is told nothing: what was unread is not
//! counted any more, but no receipt says that it was read. What can fail: the store; then it may be repeated.

use lynk_domain::{Ordinal, RoomKind, Seq, shard_of_user};
use lynk_model::{StoreReply, StoreRequest};
use lynk_protocol::{Done, ErrorCode, Reject, encode_cleared};

use super::books::{Ask, Books, Held, Pending, store_reject};
use super::release::Item;
use super::room::{Member, Room};
use super::window::Kind;
use crate::context::Context;
use crate::mail::Mail;

/// What the store is asked to keep.
#[derive(Debug)]
pub(super) struct ClearWait {
    held: Held,
    seq: Seq,
    n: Ordinal,
}

impl Room {
    /// Ordinal of the last message at or before a seq, as far as the window reaches.
    fn ordinal_at(&self, seq: Seq) -> Option<Ordinal> {
        let later = self.window.after(seq).find_map(|entry| match &entry.kind {
            Kind::Message(posted) => Some(Ordinal(posted.n.0 - 1)),
            _ => None,
        });
        self.window_covers(seq).then(|| later.unwrap_or(self.top_n))
    }

    /// The member who may delete the past up to a seq, and the ordinal there.
    fn may_clear(&self, ask: &Ask<'_>, cx: &Context<'_>, seq: Seq) -> Result<(Member, Ordinal), Reject> {
        let member = *self.member(ask.user, cx.now.wall)?;
        if self.kind() != RoomKind::Direct {
            let what = "only a conversation of two is deleted for oneself; a room is left";
            return Err(Reject::because(ErrorCode::Forbidden, what));
        }
        let wrong = |what: &'static str| Reject::because(ErrorCode::InvalidField, what);
        if seq > self.released {
            return Err(wrong("field `seq` is beyond the last event"));
        }
        let n =
            self.ordinal_at(seq).ok_or_else(|| wrong("field `seq` is too far back: name a later event"))?;
        Ok((member, n))
    }
}

impl Books {
    pub(super) fn clear(&mut self, cx: &mut Context<'_>, room: &mut Room, ask: &Ask<'_>, seq: Seq) {
        let (member, n) = match room.may_clear(ask, cx, seq) {
            Ok(may) => may,
            Err(reject) => return self.refuse(cx, room, ask, reject),
        };
        if seq <= member.cleared {
            return self.ok(cx, room, ask, &Done { room: Some(room.id), ..Done::default() });
        }
        if !self.may_ask(cx) {
            return self.refuse(cx, room, ask, Reject::after(ErrorCode::Busy, 100));
        }
        let request = StoreRequest::Clear { room: room.id, user: ask.user, seq, n };
        let wait = ClearWait { held: ask.hold(), seq, n };
        self.ask(cx, room, request, Pending::Clear(Box::new(wait)));
    }

    /// The store keeps it, or could not.
    pub(super) fn cleared(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        wait: ClearWait,
        reply: &StoreReply,
    ) {
        let ClearWait { held, seq, n } = wait;
        let reject = match reply {
            StoreReply::Cleared(true) => None,
            StoreReply::Cleared(false) => Some(ErrorCode::NotAMember.into()),
            StoreReply::Failed(error) => Some(store_reject(*error)),
            _ => Some(ErrorCode::Internal.into()),
        };
        if let Some(reject) = reject {
            return self.refuse_held(cx, room, &held, reject);
        }
        let user = held.principal.user;
        if room.members.get(&user).is_some_and(|member| member.moved.0) {
            // What was really read is told before it cannot be told apart any more.
            self.publish_read(cx, room, user);
        }
        let Some(member) = room.members.get_mut(&user) else {
            return self.refuse_held(cx, room, &held, ErrorCode::NotAMember.into());
        };
        if seq > member.cleared {
            (member.cleared, member.cleared_n) = (seq, n);
            let unread = member.read < seq;
            let frame = cx.shared.pool.frame(|out| encode_cleared(out, room.id, seq));
            let to = shard_of_user(user, cx.shared.config.shard_count);
            let mail = Box::new(Mail::Notice { user, frame, except: None, rooms: false });
            self.emit(cx, room, room.depends, Item::Post { to, mail });
            if unread {
                room.set_read(user, seq);
                self.tell_own(cx, room, user);
            }
        }
        let decoded = lynk_protocol::decode(&held.raw);
        let Ok(command) = &decoded.command else { return };
        let ask = Ask::new(held.from, held.principal, decoded.re, command, &held.raw);
        self.ok(cx, room, &ask, &Done { room: Some(room.id), ..Done::default() });
    }
}
