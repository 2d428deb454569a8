//! Requests to become a member: who may ask, take it back and answer, and who is told.
//!
//! Thread: the shard. Rooms that are found and that nobody joins by themselves take requests: those of kind `invite_only`. The store keeps them,
//! counts them and decides; memory has none. Limits: of the model; [`TOLD_MAX`] moderators are told. What can fail: the checks.

use std::sync::Arc;

use lynk_domain::{Action, Limits, Millis, RoomKind, Seq, UserId, allowed, shard_of_user};
use lynk_model::{JOIN_REQUEST_CHARS_MAX, MetaChange, MetaTransaction};
use lynk_protocol::{ErrorCode, Frame, Reject, encode_join_request};

use super::super::books::Books;
use super::super::release::Item;
use super::super::room::Room;
use super::Asker;
use super::rules::{Planned, check_space};
use crate::context::Context;
use crate::mail::Mail;

/// Moderators who are told of a request or a report, if they are connected. All can ask for the list.
const TOLD_MAX: usize = 64;
/// Why one more is not kept.
pub(super) const TOO_MANY: &str = "you, or the room, have as many requests open as may be";
/// Why somebody may not ask again.
pub(super) const DECLINED: &str =
    "your request was declined; you may ask again seven days after that, see `my_requests`";

/// `actor` asks.
pub(super) fn plan_ask(room: &Room, actor: UserId, text: &str, wall: Millis) -> Result<Planned, Reject> {
    if room.members.contains_key(&actor) {
        return Err(Reject::because(ErrorCode::Conflict, "you are a member"));
    }
    match room.outsider(actor, wall) {
        Reject { code: ErrorCode::NotAMember, .. } => {}
        other => return Err(other),
    }
    if room.kind() != RoomKind::InviteOnly {
        return Err(Reject::because(ErrorCode::Conflict, "everybody may join this room; send `join`"));
    }
    if text.chars().any(|c| c.is_control() && c != '\n') {
        let detail = "field `text` has control characters other than line breaks";
        return Err(Reject::because(ErrorCode::InvalidField, detail));
    }
    if text.chars().count() > JOIN_REQUEST_CHARS_MAX {
        return Err(Reject::because(ErrorCode::TooLarge, "field `text` has more than 300 characters"));
    }
    Ok(Planned::Change(MetaChange::Ask { text: text.trim().to_owned() }))
}

/// Whoever asked takes it back, whatever became of the room. Whether somebody has asked is the store's to say.
pub(super) fn plan_withdraw(room: &Room, actor: UserId, wall: Millis) -> Result<Planned, Reject> {
    match &room.info {
        Some(row) if row.deleted == Millis(0) && row.kind != RoomKind::Direct => {
            Ok(Planned::Change(MetaChange::Withdraw))
        }
        _ => Err(gone(room, actor, wall)),
    }
}

/// A moderator answers.
pub(super) fn plan_answer(
    room: &Room,
    user: UserId,
    accept: bool,
    limits: &Limits,
) -> Result<Planned, Reject> {
    if !accept {
        return Ok(Planned::Change(MetaChange::Decline { user }));
    }
    if room.members.contains_key(&user) {
        return Err(Reject::because(ErrorCode::Conflict, "that user is a member"));
    }
    check_space(room, limits)?;
    Ok(Planned::Change(MetaChange::Accept { user }))
}

/// Why a change of a request that is not open is refused. Of a hidden room strangers learn nothing by it.
pub(super) fn gone(room: &Room, actor: UserId, wall: Millis) -> Reject {
    match room.member(actor, wall) {
        Err(reject) if reject.code != ErrorCode::NotAMember => reject,
        _ => Reject::because(ErrorCode::Conflict, "there is no such open request"),
    }
}

impl Books {
    /// The store has a request, or has it no more; `fresh` when that came to be now, as far as is known.
    pub(super) fn request_applied(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        tx: &MetaTransaction,
        asker: Option<Asker>,
        fresh: bool,
    ) {
        match &tx.change {
            MetaChange::Ask { .. } if fresh => {
                let told = who_may(room, Action::Invite, UserId::NIL);
                self.tell_request(cx, room, &told, (tx.actor, "open"));
            }
            MetaChange::Decline { user } if fresh => {
                self.tell_request(cx, room, &[*user], (*user, "declined"));
            }
            _ => {}
        }
        self.finish(cx, room, asker, Ok(Seq(0)));
    }

    fn tell_request(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        told: &[UserId],
        (user, state): (UserId, &str),
    ) {
        let frame = cx.shared.pool.frame(|out| encode_join_request(out, room.id, user, state));
        self.hint(cx, room, told, &frame);
    }

    /// Tells something to those of `told` who are connected.
    pub(super) fn hint(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        told: &[UserId],
        frame: &Arc<Frame>,
    ) {
        for whom in told {
            let to = shard_of_user(*whom, cx.shared.config.shard_count);
            let mail = Box::new(Mail::Hint { user: *whom, frame: frame.clone() });
            self.emit(cx, room, room.depends, Item::Post { to, mail });
        }
    }
}

/// Members who may do something, at most [`TOLD_MAX`] and never `but`.
pub(super) fn who_may(room: &Room, action: Action, but: UserId) -> Vec<UserId> {
    let members = room.members.iter().filter(|(user, member)| **user != but && allowed(member.role, action));
    members.map(|(user, _)| *user).take(TOLD_MAX).collect()
}
