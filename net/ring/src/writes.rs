//! Durable writes in flight: WRITE linked to FSYNC, held in place until both completed.
//!
//! Pure bookkeeping; the ring submits, and the caller interprets the two results (a short write cancels the sync). A sync
//! proves something only about a write that ended before it.

use crate::files::FileId;

/// Durable writes that one ring can have in flight. A journal needs one; the rest is headroom.
pub const WRITES_MAX: usize = 4;

struct Write<W> {
    file: FileId,
    /// Never moved while in flight: the slots do not move, and nothing takes it out before both completions.
    content: W,
    written: Option<i32>,
    synced: Option<i32>,
    generation: u16,
}

/// A write whose two completions have arrived.
pub(crate) struct Finished<W> {
    pub(crate) file: FileId,
    pub(crate) content: W,
    pub(crate) written: i32,
    pub(crate) synced: i32,
}

/// Where the bytes of a write are.
pub(crate) struct Place {
    pub(crate) index: u32,
    pub(crate) generation: u16,
    pub(crate) address: *const u8,
    pub(crate) length: u32,
}

pub(crate) struct Writes<W> {
    slots: Box<[Option<Write<W>>]>,
    generation: u16,
}

/// Which half of a write completed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Half {
    Write,
    Sync,
}

impl<W: AsRef<[u8]>> Writes<W> {
    pub(crate) fn new() -> Self {
        Self { slots: (0..WRITES_MAX).map(|_| None).collect(), generation: 0 }
    }

    /// Holds a write. Its bytes keep their address until it is finished: the content is borrowed where it stays.
    /// Gives it back when the table is full.
    pub(crate) fn begin(&mut self, file: FileId, content: W) -> Result<Place, W> {
        let Some(index) = self.slots.iter().position(Option::is_none) else { return Err(content) };
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let write =
            self.slots[index].insert(Write { file, content, written: None, synced: None, generation });
        let bytes = write.content.as_ref();
        let length = u32::try_from(bytes.len()).expect("a batch is far below 4 GiB");
        Ok(Place { index: index as u32, generation, address: bytes.as_ptr(), length })
    }

    /// Notes a completion; the write when it was the second.
    pub(crate) fn complete(
        &mut self,
        index: u32,
        generation: u16,
        half: Half,
        result: i32,
    ) -> Option<Finished<W>> {
        let slot = self.slots.get_mut(index as usize).expect("completions belong to a write in flight");
        let write = slot.as_mut().filter(|write| write.generation == generation);
        let write = write.expect("completions belong to a write in flight");
        let (place, result) = match half {
            Half::Write => (&mut write.written, result),
            // The link forbids it; if it happens all the same, the bytes may have come after the sync.
            Half::Sync if write.written.is_none() && result >= 0 => (&mut write.synced, -libc::ECANCELED),
            Half::Sync => (&mut write.synced, result),
        };
        assert!(place.replace(result).is_none(), "each half completes once");
        let (written, synced) = (write.written?, write.synced?);
        let write = slot.take().expect("it was there");
        Some(Finished { file: write.file, content: write.content, written, synced })
    }

    /// Forgets the writes without freeing them: the kernel may still read them.
    pub(crate) fn leak(&mut self) {
        std::mem::forget(std::mem::take(&mut self.slots));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: FileId = FileId { index: 0, generation: 0 };

    #[test]
    fn a_write_is_finished_by_its_second_completion_in_either_order() {
        let mut writes = Writes::<Vec<u8>>::new();
        for (first, second) in [(Half::Write, Half::Sync), (Half::Sync, Half::Write)] {
            let place = writes.begin(FILE, vec![7; 100]).expect("the table is empty");
            assert_eq!(place.length, 100);
            assert!(writes.complete(place.index, place.generation, first, 1).is_none());
            let done = writes.complete(place.index, place.generation, second, 2).expect("both are in");
            assert_eq!((done.file, done.content.as_ptr()), (FILE, place.address));
            let expected = if first == Half::Write { (1, 2) } else { (2, -libc::ECANCELED) };
            assert_eq!((done.written, done.synced), expected);
        }
    }

    #[test]
    fn a_sync_before_its_write_proves_nothing_and_a_failed_one_stays_failed() {
        let mut writes = Writes::<Vec<u8>>::new();
        for (synced, told) in [(0, -libc::ECANCELED), (-libc::EIO, -libc::EIO)] {
            let place = writes.begin(FILE, vec![7; 100]).expect("the table is empty");
            assert!(writes.complete(place.index, place.generation, Half::Sync, synced).is_none());
            let done = writes.complete(place.index, place.generation, Half::Write, 100).expect("both are in");
            assert_eq!((done.written, done.synced), (100, told));
        }
    }

    #[test]
    fn a_full_table_gives_the_content_back() {
        let mut writes = Writes::<Vec<u8>>::new();
        for _ in 0..WRITES_MAX {
            assert!(writes.begin(FILE, vec![1]).is_ok());
        }
        assert_eq!(writes.begin(FILE, vec![2]).err(), Some(vec![2]));
    }
}
