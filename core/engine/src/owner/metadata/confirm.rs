//! The end of a metadata event: its outbox row is dropped, and before that what the event made superfluous is given back.
//!
//! Thread: the shard. Nobody waits for it. What can fail: the store; it is asked again by the room's timer, and by the next process.

use lynk_domain::Seq;
use lynk_model::{StoreReply, StoreRequest};

use super::super::books::{Books, Pending};
use super::super::room::Room;
use super::Metadata;
use crate::context::Context;

impl Metadata {
    /// Whether another picture may be taken: not while pictures that the room had before are to be given back, or are being so. That may be carried
    /// out late, and would take the new one, too.
    pub(in super::super) fn takes_pictures(&self) -> bool {
        self.new_picture.is_none() && self.keeping == 0
    }
}

impl Books {
    /// Has the outbox row dropped once the event's record is committed.
    pub(super) fn confirm(&mut self, cx: &mut Context<'_>, room: &mut Room, version: u64, seq: Seq) {
        room.metadata.unconfirmed.push((version, seq));
        // Of a deleted room files end first, and pictures that a room had before another: the outbox row is what remembers that they have
        // to, whatever happens meanwhile.
        if room.is_deleted() {
            let request = StoreRequest::EndFiles { room: room.id };
            self.ask(cx, room, request, Pending::Confirm { version, seq });
        } else if room.metadata.new_picture.is_some() {
            room.metadata.keeping += 1;
            let keep = room.info.as_ref().map(|row| row.avatar).unwrap_or_default();
            let request = StoreRequest::KeepPicture { room: room.id, keep };
            self.ask(cx, room, request, Pending::Kept { version, seq });
        } else {
            let request = StoreRequest::Confirm { room: room.id, version, seq };
            self.ask(cx, room, request, Pending::Confirm { version, seq });
        }
    }

    /// Repeats what was not confirmed. While pictures are being given back that is waited for: each event would ask for it once more.
    pub(super) fn confirm_again(&mut self, cx: &mut Context<'_>, room: &mut Room) {
        if room.metadata.keeping > 0 {
            return self.arm_metadata(cx, room);
        }
        for (version, seq) in std::mem::take(&mut room.metadata.unconfirmed) {
            self.confirm(cx, room, version, seq);
        }
    }

    /// Pictures that the room had before were given back, or not.
    pub(in super::super) fn picture_kept(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        (version, seq): (u64, Seq),
        reply: &StoreReply,
    ) {
        room.metadata.keeping -= 1;
        if matches!(reply, StoreReply::Released) {
            room.metadata.new_picture = room.metadata.new_picture.filter(|changed| *changed > version);
        }
        self.confirmed(cx, room, (version, seq), reply);
    }

    /// The outbox row was dropped, or what goes before that was done, or neither.
    pub(in super::super) fn confirmed(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        (version, seq): (u64, Seq),
        reply: &StoreReply,
    ) {
        match reply {
            StoreReply::Confirmed => room.metadata.unconfirmed.retain(|known| *known != (version, seq)),
            StoreReply::Released => {
                let request = StoreRequest::Confirm { room: room.id, version, seq };
                self.ask(cx, room, request, Pending::Confirm { version, seq });
            }
            _ => self.arm_metadata(cx, room),
        }
    }
}
