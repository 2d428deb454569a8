//! The table of files: descriptors, what is in flight on each, and when one may be closed.
//!
//! Invariant: an entry is free, attached, or closing; a closing entry becomes free, and its descriptor is
//! closed, in [`Files::reap`] when nothing is in flight. Pure bookkeeping without system calls but that close.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// A file of one ring. Stale ones are recognised by their generation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileId {
    pub(crate) index: u32,
    pub(crate) generation: u16,
}

const NO_INDEX: u32 = u32::MAX;

/// 16 bytes per file: 100,000 idle connections cost 1.6 MB here.
#[derive(Debug)]
struct Entry {
    fd: Option<OwnedFd>,
    /// The owner's number; the next free entry while free.
    token: u32,
    generation: u16,
    /// Operations whose end is not known yet.
    in_flight: u16,
    /// Bits of [`Armed`].
    armed: u8,
    closing: bool,
    /// When it leaves, the descriptor is given back instead of closed.
    keep: bool,
}

const _: () = assert!(size_of::<Entry>() <= 16);

#[derive(Debug)]
pub(crate) struct Files {
    entries: Vec<Entry>,
    free: u32,
    attached: usize,
}

/// Operations of which a file has at most one in flight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Armed {
    Readable = 1,
    Writable = 2,
    Accept = 4,
    /// A send of this turn. Never in flight when a turn is over.
    Send = 8,
}

impl Files {
    pub(crate) fn new() -> Self {
        Self { entries: Vec::new(), free: NO_INDEX, attached: 0 }
    }

    pub(crate) fn attach(&mut self, fd: OwnedFd, token: u32) -> FileId {
        self.attached += 1;
        if self.free == NO_INDEX {
            let index =
                u32::try_from(self.entries.len()).expect("the kernel has fewer descriptors than 2^32");
            assert!(index < NO_INDEX, "the kernel has fewer descriptors than 2^32");
            self.entries.push(Entry {
                fd: Some(fd),
                token,
                generation: 0,
                in_flight: 0,
                armed: 0,
                closing: false,
                keep: false,
            });
            return FileId { index, generation: 0 };
        }
        let index = self.free;
        let entry = &mut self.entries[index as usize];
        debug_assert!(entry.fd.is_none() && entry.in_flight == 0);
        self.free = entry.token;
        entry.fd = Some(fd);
        entry.token = token;
        entry.closing = false;
        entry.keep = false;
        FileId { index, generation: entry.generation }
    }

    /// The entry, if the id is of its present life and it is not closing.
    fn open(&mut self, file: FileId) -> Option<&mut Entry> {
        self.entries
            .get_mut(file.index as usize)
            .filter(|entry| entry.generation == file.generation && entry.fd.is_some() && !entry.closing)
    }

    pub(crate) fn descriptor(&self, file: FileId) -> Option<BorrowedFd<'_>> {
        let entry = self.entries.get(file.index as usize)?;
        let open = entry.generation == file.generation && !entry.closing;
        entry.fd.as_ref().filter(|_| open).map(AsFd::as_fd)
    }

    pub(crate) fn fd(&self, file: FileId) -> Option<RawFd> {
        self.descriptor(file).map(|fd| fd.as_raw_fd())
    }

    pub(crate) fn token(&self, file: FileId) -> Option<u32> {
        let entry = self.entries.get(file.index as usize)?;
        (entry.generation == file.generation && entry.fd.is_some()).then_some(entry.token)
    }

    /// Whether the file exists and nobody has detached it.
    pub(crate) fn is_open(&self, file: FileId) -> bool {
        self.fd(file).is_some()
    }

    /// Notes an operation in flight.
    pub(crate) fn begin(&mut self, file: FileId) {
        let entry = self.open(file).expect("operations start on open files");
        entry.in_flight += 1;
    }

    /// Notes the end of an operation. Call [`Self::reap`] when convenient.
    pub(crate) fn end(&mut self, file: FileId) {
        let entry = &mut self.entries[file.index as usize];
        assert!(
            entry.generation == file.generation && entry.in_flight > 0,
            "an operation ended on a file that had none in flight"
        );
        entry.in_flight -= 1;
    }

    /// Notes a single operation in flight, unless the file has one of that kind: then nothing happens and the answer
    /// is `false`.
    pub(crate) fn arm(&mut self, file: FileId, armed: Armed) -> bool {
        let entry = self.open(file).expect("operations start on open files");
        if entry.armed & armed as u8 != 0 {
            return false;
        }
        entry.armed |= armed as u8;
        entry.in_flight += 1;
        true
    }

    /// Notes the end of a single operation.
    pub(crate) fn disarm(&mut self, file: FileId, armed: Armed) {
        self.end(file);
        let entry = &mut self.entries[file.index as usize];
        debug_assert!(entry.armed & armed as u8 != 0, "it was armed");
        entry.armed &= !(armed as u8);
    }

    /// Whether an operation of that kind is in flight.
    pub(crate) fn is_armed(&self, file: FileId, armed: Armed) -> bool {
        let entry = &self.entries[file.index as usize];
        entry.generation == file.generation && entry.armed & armed as u8 != 0
    }

    /// Marks a file as leaving; no operation can start on it any more. Returns whether it was open until now.
    pub(crate) fn detach(&mut self, file: FileId) -> bool {
        self.open(file).map(|entry| entry.closing = true).is_some()
    }

    /// As [`Self::detach`], but [`Self::reap`] gives the descriptor back.
    pub(crate) fn release(&mut self, file: FileId) -> bool {
        self.open(file).map(|entry| (entry.closing, entry.keep) = (true, true)).is_some()
    }

    /// Closes a leaving file that has nothing in flight, or gives it back if it was released; returns its owner's token.
    pub(crate) fn reap(&mut self, file: FileId) -> Option<(u32, Option<OwnedFd>)> {
        let entry = self.entries.get_mut(file.index as usize)?;
        if entry.generation != file.generation || !entry.closing || entry.in_flight > 0 {
            return None;
        }
        debug_assert!(entry.armed == 0);
        let token = entry.token;
        // Nothing in the kernel refers to the descriptor: dropping it closes it, and another owner may have it.
        let kept = entry.fd.take().filter(|_| entry.keep);
        entry.generation = entry.generation.wrapping_add(1);
        entry.closing = false;
        entry.token = self.free;
        self.free = file.index;
        self.attached -= 1;
        Some((token, kept))
    }

    /// Files attached, leaving ones included.
    pub(crate) fn attached(&self) -> usize {
        self.attached
    }

    /// Ids of everything attached and not leaving.
    pub(crate) fn open_ids(&self) -> Vec<FileId> {
        let live = |(index, entry): (usize, &Entry)| {
            (entry.fd.is_some() && !entry.closing)
                .then_some(FileId { index: index as u32, generation: entry.generation })
        };
        self.entries.iter().enumerate().filter_map(live).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn some_fd() -> OwnedFd {
        File::open("/dev/null").expect("it exists").into()
    }

    #[test]
    fn a_file_in_flight_is_closed_only_after_its_last_operation_ended() {
        let mut files = Files::new();
        let file = files.attach(some_fd(), 7);
        files.begin(file);
        assert!(files.arm(file, Armed::Readable));
        assert!(!files.arm(file, Armed::Readable));
        assert!(files.detach(file));
        assert!(!files.detach(file));
        assert_eq!(files.fd(file), None);
        assert_eq!(files.token(file), Some(7));
        files.end(file);
        assert!(files.reap(file).is_none());
        assert!(files.is_armed(file, Armed::Readable));
        files.disarm(file, Armed::Readable);
        assert!(matches!(files.reap(file), Some((7, None))));
        assert_eq!(files.attached(), 0);
    }

    #[test]
    fn a_released_file_is_given_back_open_when_its_last_operation_ended_and_only_then() {
        let mut files = Files::new();
        let file = files.attach(some_fd(), 3);
        let number = files.fd(file).expect("open");
        assert!(files.arm(file, Armed::Readable));
        assert!(files.release(file));
        assert!(!files.release(file) && !files.detach(file), "it leaves once");
        assert_eq!(files.fd(file), None, "nothing starts on it any more");
        assert!(files.reap(file).is_none(), "the kernel still polls it");
        files.disarm(file, Armed::Readable);
        let Some((3, Some(kept))) = files.reap(file) else { panic!("it is given back") };
        assert_eq!(kept.as_raw_fd(), number);
        let next = files.attach(some_fd(), 4);
        assert!(files.detach(next));
        assert!(matches!(files.reap(next), Some((4, None))), "the next file in the place is closed again");
    }

    #[test]
    fn a_reused_entry_does_not_answer_to_the_old_id() {
        let mut files = Files::new();
        let old = files.attach(some_fd(), 1);
        assert!(files.detach(old));
        assert!(matches!(files.reap(old), Some((1, None))));
        let new = files.attach(some_fd(), 2);
        assert_eq!(new.index, old.index);
        assert_ne!(new, old);
        assert_eq!(files.token(old), None);
        assert!(!files.detach(old));
        assert_eq!(files.token(new), Some(2));
        assert!(files.is_open(new));
    }
}
