//! 1:1s: who begins them, accepts what a stranger began, or declines it.
//!
//! Thread: the shard. The store decides who is a stranger, and counts requests. Who asked is told when it is accepted; of a refusal nobody
//! is told but who made it. What can fail: the checks.

use lynk_domain::{HistoryVisibility, Millis, Now, RoomKind, Seq, ShardId, UserId};
use lynk_model::{MessageRequest, MetaChange, MetaTransaction, RequestChange};
use lynk_protocol::{
    Added, Done, ErrorCode, Reject, encode_added, encode_conversation_accepted, encode_ok, encode_removed,
};

use super::super::books::{Ask, Books};
use super::super::release::Item;
use super::super::room::Room;
use super::Asker;
use super::apply::added;
use super::rules::{Planned, new_row};
use crate::EngineConfig;
use crate::context::Context;
use crate::mail::{ConnectionRef, Mail};

/// Why no more are begun.
const TOO_OFTEN: &str =
    "you have begun as many conversations with strangers as you may in a day; retry after retry_after_ms";

/// `actor` begins the 1:1 with `user`, finds it, or accepts it.
pub(super) fn plan_direct(
    room: &Room,
    actor: UserId,
    user: UserId,
    now: Now,
    config: &EngineConfig,
) -> Result<Planned, Reject> {
    if actor == user {
        return Err(Reject::because(ErrorCode::InvalidField, "field `user` is you"));
    }
    let requests_max = config.limits.message_requests_per_day;
    if room.info.is_some() {
        let request = room.asked.as_ref().map(|asked| asked.request);
        let change = match request {
            // Nobody is told anything across a block.
            Some(request) if request.user == actor && room.is_blocked() => match room.is_aside(actor) {
                true => return Err(ErrorCode::Blocked.into()),
                false => return Ok(Planned::Already),
            },
            Some(request) if request.user == actor => RequestChange::Accept,
            Some(request) if request.may_be_again(now.wall) && !room.is_blocked() => {
                RequestChange::Again { seq: room.top, n: room.top_n, requests_max }
            }
            _ => return room.member(actor, now.wall).map(|_| Planned::Already),
        };
        return Ok(Planned::Change(MetaChange::Conversation(change)));
    }
    if room.is_blocked() {
        return Err(ErrorCode::Blocked.into());
    }
    let (level, visibility) = (config.default_level, HistoryVisibility::All);
    let row = new_row(room.id, RoomKind::Direct, "", actor, now.wall, level, visibility);
    Ok(Planned::Change(MetaChange::Begin { row, user, requests_max }))
}

/// `actor` accepts or declines what a stranger began.
pub(super) fn plan_answer(room: &Room, actor: UserId, accept: bool, wall: Millis) -> Result<Planned, Reject> {
    room.member(actor, wall)?;
    match &room.asked {
        Some(asked) if asked.request.user == actor && accept && room.is_blocked() => {
            Err(ErrorCode::Blocked.into())
        }
        Some(asked) if asked.request.user == actor => {
            let change = match accept {
                true => RequestChange::Accept,
                false => RequestChange::Decline { seq: room.top, n: room.top_n },
            };
            Ok(Planned::Change(MetaChange::Conversation(change)))
        }
        _ => Err(Reject::because(ErrorCode::Conflict, "there is no such open request")),
    }
}

/// The version of what who is asked is told: the room's log has no event of it.
fn version_of(room: &Room, request: &MessageRequest) -> u64 {
    room.version + u64::from(request.turns)
}

/// Why somebody may begin no more until then.
pub(super) fn too_often(until: Millis, wall: Millis) -> Reject {
    let wait = u32::try_from(until.0.saturating_sub(wall.0)).unwrap_or(u32::MAX);
    Reject { retry_after_millis: Some(wait), ..Reject::because(ErrorCode::RateLimited, TOO_OFTEN) }
}

impl Books {
    /// The store has what became of a request; `fresh` when that came to be now, as far as is known.
    pub(super) fn conversation_applied(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        tx: &MetaTransaction,
        asker: Option<Asker>,
        fresh: bool,
    ) {
        let MetaChange::Conversation(change) = tx.change else { return };
        let turned = room.asked.as_ref().and_then(|asked| asked.request.turned(tx.actor, change, tx.wall));
        let before = room.asked.as_ref().map(|asked| asked.request);
        let mut version = 0;
        if let Some((next, cleared)) = turned.filter(|(next, _)| fresh && before != Some(*next)) {
            let except = asker.map(|asker| asker.from);
            let was_aside = room.is_aside(next.user);
            if tx.actor == next.user {
                version = version_of(room, &next);
            }
            room.take_request(Some(next));
            if let Some(upto) = cleared {
                room.clear_for(next.user, upto);
            }
            match change {
                RequestChange::Accept => {
                    if was_aside {
                        self.come_back(cx, room, &next, except);
                    }
                    let frame =
                        cx.shared.pool.frame(|out| encode_conversation_accepted(out, room.id, next.user));
                    for user in [next.asker, next.user] {
                        self.tell_member(cx, room, room.depends, (user, except), frame.clone());
                    }
                }
                RequestChange::Again { .. } if was_aside && !room.is_aside(next.user) => {
                    self.come_back(cx, room, &next, None);
                }
                // It waits as before, or stays declined: nobody is told.
                RequestChange::Again { .. } => {}
                RequestChange::Decline { .. } => {
                    self.dismiss(cx, room, next.user);
                    let frame =
                        cx.shared.pool.frame(|out| encode_removed(out, room.id, version_of(room, &next)));
                    self.tell_member(cx, room, room.depends, (next.user, except), frame);
                }
            }
        }
        self.finish_begun(cx, room, asker, (Seq(0), version), tx.actor);
    }

    /// Whoever was kept aside is a member as before, has read what it is not shown, and is told of the room.
    fn come_back(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        request: &MessageRequest,
        except: Option<ConnectionRef>,
    ) {
        let user = request.user;
        let Some(member) = room.members.get_mut(&user) else { return };
        // The room's first event made it one.
        member.joined_seq = member.joined_seq.max(Seq(1));
        let read = member.read.max(member.cleared);
        room.set_read(user, read);
        let told = Added { version: version_of(room, request), ..added(room, user) };
        let frame = cx.shared.pool.frame(|out| encode_added(out, &told));
        self.tell_member(cx, room, room.depends, (user, except), frame);
    }

    /// Ends the subscriptions of whoever declined, on all shards: the answer of one that begins now may still wait for a commit.
    fn dismiss(&mut self, cx: &mut Context<'_>, room: &mut Room, user: UserId) {
        for shard in (0..cx.shared.config.shard_count).map(ShardId) {
            let mail = Box::new(Mail::Dismissed { room: room.id, user });
            self.emit(cx, room, room.depends, Item::Post { to: shard, mail });
        }
    }

    /// A full mailbox did not take that somebody's subscriptions end: it is tried again while that holds.
    pub(in super::super) fn dismissed_refused(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        shard: ShardId,
    ) {
        room.undismissed.push(shard);
        self.arm_metadata(cx, room);
    }

    /// The room's timer: tries it again.
    pub(super) fn dismiss_again(&mut self, cx: &mut Context<'_>, room: &mut Room) {
        let user = room.asked.as_ref().map(|asked| asked.request.user);
        for shard in std::mem::take(&mut room.undismissed) {
            if let Some(user) = user.filter(|user| room.is_aside(*user)) {
                cx.post(shard, Mail::Dismissed { room: room.id, user });
            }
        }
    }

    /// Answers who began, accepted or declined a 1:1, with the side of it that is left, and the version of what who is asked would be told.
    pub(super) fn finish_begun(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        asker: Option<Asker>,
        (seq, version): (Seq, u64),
        actor: UserId,
    ) {
        let Some(Asker { from, re }) = asker else { return };
        room.disengage(from);
        let done = Done { room: Some(room.id), seq, version, request: room.side(actor), ..Done::default() };
        let frame = cx.shared.pool.frame(|out| encode_ok(out, re, &done));
        self.answer_behind(cx, room, from, frame);
    }

    /// A 1:1 that is there already.
    pub(super) fn found(&mut self, cx: &mut Context<'_>, room: &mut Room, ask: &Ask<'_>) {
        let request = if room.kind() == RoomKind::Direct { room.side(ask.user) } else { None };
        self.ok(cx, room, ask, &Done { room: Some(room.id), request, ..Done::default() });
    }
}
