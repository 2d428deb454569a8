//! What moderators did.

use lynk_domain::{Millis, RoomId};

use super::MemoryRooms;
use crate::{Act, ActKind, MODERATION_LIFE_MILLIS};

const EVERY: (u64, u64) = (0, u64::MAX);

impl MemoryRooms {
    /// Keeps an act, once; a message is deleted once.
    pub(super) fn keep_act(&mut self, room: RoomId, act: &Act) {
        if self.rooms.get(&room).is_none_or(|room| room.row.deleted > Millis(0)) {
            return;
        }
        let of_room = || self.acts.range((room, EVERY.0)..=(room, EVERY.1));
        let same = |known: &Act| known.kind == ActKind::MessageDeleted && known.value == act.value;
        if act.kind == ActKind::MessageDeleted && of_room().any(|(_, known)| same(known)) {
            return;
        }
        let number = of_room().next_back().map_or(0, |((_, number), _)| *number) + 1;
        let oldest = Millis(act.at.0.saturating_sub(MODERATION_LIFE_MILLIS));
        self.acts.retain(|_, known| known.at > oldest);
        self.acts.insert((room, number), Act { number, ..act.clone() });
    }

    pub(super) fn forget_acts(&mut self, room: RoomId) {
        self.acts.retain(|(of, _), _| *of != room);
    }

    /// The newest before a number (0 for the newest of all), newest first.
    pub(super) fn acts(&self, room: RoomId, before: u64, wall: Millis, limit: u32) -> Vec<Act> {
        let end = if before == 0 { u64::MAX } else { before - 1 };
        let oldest = Millis(wall.0.saturating_sub(MODERATION_LIFE_MILLIS));
        let found = self.acts.range((room, EVERY.0)..=(room, end)).rev().map(|(_, act)| act);
        found.filter(|act| act.at > oldest).take(limit as usize).cloned().collect()
    }
}
