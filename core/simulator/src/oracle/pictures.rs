//! Pictures of rooms: each is of whoever set it, taken before the settings name it, and given back exactly when they name another.
//! What was taken and never named is not judged: it may stay until the room's next change of the picture.

use std::collections::{BTreeMap, BTreeSet};

use lynk_domain::{MediaId, RoomId, UserId};
use lynk_model::memory::MemoryFiles;
use lynk_model::{MetaChange, MetaEvent, MetaTransaction};

use super::{Check, Ledger};

/// What is known of pictures.
#[derive(Debug, Default)]
pub(super) struct Pictures {
    /// For which room each was put, and by whom.
    put: BTreeMap<MediaId, (RoomId, UserId)>,
    /// Those that the store was asked to keep for their room.
    taken: BTreeSet<MediaId>,
    /// Those that settings named.
    had: BTreeSet<MediaId>,
    /// The one that each room has, as the store of rooms has it.
    current: BTreeMap<RoomId, MediaId>,
    /// Given back.
    over: BTreeSet<MediaId>,
}

impl Ledger {
    /// Somebody put a picture for a room.
    pub(crate) fn put_picture(&mut self, picture: MediaId, room: RoomId, owner: UserId) {
        self.pictures.put.insert(picture, (room, owner));
    }

    /// The picture of a room; nil for none.
    pub(crate) fn picture(&self, room: RoomId) -> MediaId {
        self.pictures.current.get(&room).copied().unwrap_or_default()
    }

    /// The store keeps a picture for a room.
    ///
    /// # Errors
    /// When it is none of `owner`'s there, or was given back.
    pub(crate) fn took_picture(&mut self, room: RoomId, owner: UserId, picture: MediaId) -> Check {
        if self.pictures.put.get(&picture) != Some(&(room, owner)) {
            return Err(format!("{room}: {picture} is taken as a picture, and none of {owner}'s there"));
        }
        if self.pictures.over.contains(&picture) {
            return Err(format!("{room}: {picture} is taken again after it was given back"));
        }
        self.pictures.taken.insert(picture);
        Ok(())
    }

    /// The store of rooms carried out a change for the first time.
    pub(super) fn pictured(&mut self, tx: &MetaTransaction) -> Check {
        let MetaChange::Event(MetaEvent::Settings { more: Some(more), .. }) = &tx.change else {
            return Ok(());
        };
        let (room, picture) = (tx.room, more.avatar);
        if picture == self.picture(room) {
            return Ok(());
        }
        let known = &mut self.pictures;
        known.current.insert(room, picture);
        if picture.is_nil() {
            return Ok(());
        }
        known.had.insert(picture);
        if known.put.get(&picture) != Some(&(room, tx.actor)) {
            return Err(format!("{room}: {} sets {picture}, which is none of its own there", tx.actor));
        }
        if !known.taken.contains(&picture) || known.over.contains(&picture) {
            return Err(format!("{room}: {} sets {picture}, which nobody keeps", tx.actor));
        }
        Ok(())
    }

    /// All pictures that a room had but this one are given back; how many of them for the first time.
    ///
    /// # Errors
    /// When it has another.
    pub(crate) fn kept_picture(&mut self, room: RoomId, keep: MediaId) -> Result<u64, String> {
        let picture = self.picture(room);
        // One that is taken away may be kept until that is told.
        if picture != keep && !picture.is_nil() {
            return Err(format!("{room}: {keep} is kept, and its picture is {picture}"));
        }
        let Pictures { put, taken, over, .. } = &mut self.pictures;
        let of =
            |picture: &&MediaId| **picture != keep && put.get(picture).is_some_and(|(of, _)| *of == room);
        Ok(taken.iter().filter(of).map(|picture| u64::from(over.insert(*picture))).sum())
    }

    /// What a room says of its picture, when nothing changes any more.
    ///
    /// # Errors
    /// When it is another.
    pub(super) fn picture_is(&self, room: RoomId, told: MediaId) -> Check {
        let picture = self.picture(room);
        if told == picture { Ok(()) } else { Err(format!("{room}: {told} is told as its picture {picture}")) }
    }

    /// Nothing changes any more: a picture that is there and should not be, or the other way round.
    pub(super) fn misplaced_picture(&self, store: &MemoryFiles) -> Option<String> {
        self.pictures.had.iter().find_map(|picture| {
            let (room, _) = self.pictures.put.get(picture)?;
            let (has, held) =
                (!self.is_gone(*room) && self.picture(*room) == *picture, store.holds(*picture));
            let what = if held { "is there and over" } else { "is gone, and the room has it" };
            (has != held).then(|| format!("{room}: picture {picture} {what}"))
        })
    }
}
