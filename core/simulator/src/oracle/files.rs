//! Files of messages: each in one message at most, and given back exactly when that is deleted.

use std::collections::{BTreeMap, BTreeSet};

use lynk_domain::{MediaId, RoomId, Seq, UserId};
use lynk_model::memory::MemoryFiles;

use super::{Check, Ledger, RoomTruth, Said, Step};

/// What is known of files.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Where each was put, and by whom.
    put: BTreeMap<MediaId, (RoomId, UserId)>,
    /// The message that has it.
    carried: BTreeMap<MediaId, (RoomId, u64)>,
    /// Given back.
    released: BTreeSet<MediaId>,
    /// Of messages whose delete is in the log and whose process ended before they were given back: they may stay.
    abandoned: BTreeSet<MediaId>,
}

impl RoomTruth {
    /// Whether the message at a seq carries a file; a crash may have taken the one that did, and given its number to another.
    fn has_file(&self, seq: u64, file: MediaId) -> bool {
        let said = self.events.get(&seq).map(|entry| &entry.said);
        matches!(said, Some(Said::Message { files, .. }) if files.contains(&file))
    }

    /// The delete of a message, if there is one: whether it is committed.
    fn delete_of(&self, seq: u64) -> Option<bool> {
        let mut later = self.events.range(seq..);
        let delete = later.find(|(_, e)| matches!(e.said, Said::Delete { target } if target == seq));
        delete.map(|(_, entry)| entry.committed.is_some())
    }
}

impl Ledger {
    /// Somebody put a file.
    pub(crate) fn put(&mut self, file: MediaId, room: RoomId, owner: UserId) {
        self.files.put.insert(file, (room, owner));
    }

    /// A message carries files.
    ///
    /// # Errors
    /// When one is not its sender's, was put elsewhere, is in another message or was given back.
    pub(super) fn carries(&mut self, (room, seq): (RoomId, u64), sender: UserId, files: &[MediaId]) -> Check {
        for file in files {
            let told = |what: String| Err(format!("{room}: message {seq} carries {file}, {what}"));
            if self.files.put.get(file) != Some(&(room, sender)) {
                return told("which is none of its sender's here".to_owned());
            }
            if self.files.released.contains(file) {
                return told("which was given back".to_owned());
            }
            let other = self
                .files
                .carried
                .get(file)
                .filter(|(of, at)| self.rooms.get(of).is_some_and(|truth| truth.has_file(*at, *file)));
            if let Some((of, at)) = other {
                return told(format!("which is in {at} of {of}"));
            }
            self.files.carried.insert(*file, (room, seq));
        }
        Ok(())
    }

    /// Files are given back to their store.
    ///
    /// # Errors
    /// When the message of one stands, or its delete could still be lost.
    pub(crate) fn given_back(&mut self, room: RoomId, files: &[MediaId]) -> Check {
        for file in files {
            let Some((of, seq)) = self.files.carried.get(file).filter(|(of, _)| *of == room) else {
                return Err(format!("{room}: {file} is given back and in no message here"));
            };
            let truth = self.rooms.get(of).ok_or("a file of nothing")?;
            if *seq > truth.floor() && truth.delete_of(*seq) != Some(true) && !truth.is_deleted() {
                return Err(format!("{room}: {file} of message {seq} is given back, which stands"));
            }
            self.files.released.insert(*file);
        }
        Ok(())
    }

    /// The store is told where the message of files is.
    ///
    /// # Errors
    /// When it does not carry them, or could still be lost.
    pub(crate) fn posted(&self, room: RoomId, files: &[MediaId], seq: Seq) -> Check {
        let truth = self.rooms.get(&room).ok_or("a message of nothing")?;
        let stays = truth.events.get(&seq.0).is_some_and(|entry| entry.committed.is_some());
        match files.iter().find(|file| !stays || !truth.has_file(seq.0, **file)) {
            Some(file) => Err(format!("{room}: {file} is said to be in message {}, which is not so", seq.0)),
            None => Ok(()),
        }
    }

    /// Files that leave with messages up to here are given back.
    ///
    /// # Errors
    /// When those are not removed, or that could still be lost.
    pub(crate) fn passed(&self, room: RoomId, to: Seq) -> Check {
        let floor = self.rooms.get(&room).map_or(0, |truth| truth.floor_by(Step::MAX));
        if to.0 <= floor {
            return Ok(());
        }
        Err(format!("{room}: files up to {} are given back; messages are removed up to {floor}", to.0))
    }

    /// All files of a room are given back.
    ///
    /// # Errors
    /// When it stands.
    pub(crate) fn ended(&self, room: RoomId) -> Check {
        if self.is_gone(room) {
            Ok(())
        } else {
            Err(format!("{room}: its files are given back, and it stands"))
        }
    }

    /// The process is gone, and with it what waited to be given back.
    pub(super) fn abandon_files(&mut self) {
        for (file, (room, seq)) in &self.files.carried {
            let truth = self.rooms.get(room).filter(|truth| truth.has_file(*seq, *file));
            let deleted = truth.and_then(|truth| truth.delete_of(*seq));
            if deleted.is_some() && !self.files.released.contains(file) {
                self.files.abandoned.insert(*file);
            }
        }
    }

    /// Nothing changes any more: a file that is there and should not be, or the other way round.
    pub(crate) fn misplaced(&self, store: &MemoryFiles) -> Option<String> {
        for (file, (room, seq)) in &self.files.carried {
            let Some(truth) = self.rooms.get(room).filter(|truth| truth.has_file(*seq, *file)) else {
                continue;
            };
            if *seq <= truth.floor() || truth.is_deleted() {
                // Gone with what removed the message, sooner or later.
                continue;
            }
            let (held, deleted) = (store.holds(*file), truth.delete_of(*seq).is_some());
            if held == deleted && !(held && self.files.abandoned.contains(file)) {
                let what = if held { "is there after its delete" } else { "is gone, and the message stands" };
                return Some(format!("{room}: {file} of message {seq} {what}"));
            }
        }
        self.misplaced_picture(store)
    }
}
