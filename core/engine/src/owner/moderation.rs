//! What moderators do without a metadata command: messages of others that they delete, for the room's list of their acts.
//!
//! Thread: the shard. All else that they do the store notes in the transaction that does it. Deletes are journaled, so they are told the store
//! afterwards, one at a time and again until it has them. The store numbers acts as they reach it, so while it is told of one no command that it notes
//! begins, and the list is not read; and it is told of none while such a command is under way. A ban must not come late for the order of a list: after
//! [`TOLD_NANOS`] nothing waits any more, nor while the store is away, and what it is told then may be numbered in another order than that of its times.
//! Limits: [`NOTES_MAX`] wait in a room; those beyond it, and those that a crash takes while the store is away, are not in the list (the room's log
//! has them). What can fail: the store.

use std::collections::VecDeque;

use lynk_domain::{Millis, Nanos, Role, UserId};
use lynk_model::{Act, ActKind, StoreReply, StoreRequest};
use lynk_protocol::Json;

use super::books::{Books, Pending};
use super::room::Room;
use crate::context::Context;

/// Deletes that wait for the store.
const NOTES_MAX: usize = 256;
/// How long what a room is asked meanwhile waits for the store to be told of deletes.
const TOLD_NANOS: u64 = Nanos::SECOND;

/// Deletes of a room that the store does not have yet.
#[derive(Debug, Default)]
pub(super) struct Notes {
    waiting: VecDeque<Act>,
    asked: bool,
    /// Since when there are some without a pause.
    since: Nanos,
}

impl Notes {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the store is being told, and nothing has waited for that for too long.
    pub(super) fn hold_up(&self, now: Nanos) -> bool {
        self.asked && now.since(self.since) < TOLD_NANOS
    }
}

impl Books {
    /// Somebody else's message was deleted.
    pub(super) fn note(&mut self, cx: &mut Context<'_>, room: &mut Room, act: Act) {
        if room.notes.waiting.len() >= NOTES_MAX {
            cx.shared.counters.notes_lost += 1;
            return;
        }
        if room.notes.is_empty() {
            room.notes.since = cx.now.mono;
        }
        room.notes.waiting.push_back(act);
        self.tell_notes(cx, room);
    }

    /// Tells the store of the oldest, unless it is asked already or does something that it notes itself.
    pub(super) fn tell_notes(&mut self, cx: &mut Context<'_>, room: &mut Room) {
        let free = !room.notes.asked && !room.metadata.is_running();
        let Some(act) = room.notes.waiting.front().filter(|_| free) else { return };
        if !self.may_ask(cx) {
            return self.arm_metadata(cx, room);
        }
        let request = StoreRequest::Note { room: room.id, act: Box::new(act.clone()) };
        room.notes.asked = true;
        self.ask(cx, room, request, Pending::Note);
    }

    /// The store answered.
    pub(super) fn noted(&mut self, cx: &mut Context<'_>, room: &mut Room, reply: &StoreReply) {
        room.notes.asked = false;
        match reply {
            StoreReply::Noted => {
                room.notes.waiting.pop_front();
                self.tell_notes(cx, room);
            }
            _ => self.arm_metadata(cx, room),
        }
    }
}

/// `{"number":…,"at":…,"by":…,"what":…,"user"?:…,"link"?:…,"until"?:…,"role"?:…,"seq"?:…,"reason"?:…}`.
pub(super) fn encode_act(json: &mut Json<'_>, act: &Act) {
    json.open(b'{').key("number").number(act.number).key("at").time(act.at).key("by").id(&act.by.0);
    json.key("what").text(act.kind.name());
    match act.kind {
        ActKind::LinkMade | ActKind::LinkEnded => _ = json.key("link").id(&act.subject),
        _ if act.subject != UserId::NIL.0 => _ = json.key("user").id(&act.subject),
        _ => {}
    }
    match act.kind {
        ActKind::Banned | ActKind::Muted if act.value > 0 => _ = json.key("until").time(Millis(act.value)),
        ActKind::MessageDeleted => _ = json.key("seq").number(act.value),
        ActKind::ReportResolved => _ = json.key("report").number(act.value),
        ActKind::Role => {
            if let Some(role) = u8::try_from(act.value).ok().and_then(Role::from_u8) {
                json.key("role").text(role.name());
            }
        }
        _ => {}
    }
    if !act.reason.is_empty() {
        json.key("reason").text(&act.reason);
    }
    json.close(b'}');
}
