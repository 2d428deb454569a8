//! Writes to files in flight, held in place until they completed.
//!
//! Pure bookkeeping; the ring submits, and the caller interprets the result.

use crate::files::FileId;

/// Writes that one ring can have in flight. A journal needs one; the rest is headroom.
pub const WRITES_MAX: usize = 4;

struct Write<W> {
    file: FileId,
    /// Never moved while in flight: the slots do not move, and nothing takes it out before the completion.
    content: W,
    generation: u16,
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
        let write = self.slots[index].insert(Write { file, content, generation });
        let bytes = write.content.as_ref();
        let length = u32::try_from(bytes.len()).expect("a batch is far below 4 GiB");
        Ok(Place { index: index as u32, generation, address: bytes.as_ptr(), length })
    }

    /// Takes a completed write out.
    pub(crate) fn complete(&mut self, index: u32, generation: u16) -> (FileId, W) {
        let slot = self.slots.get_mut(index as usize);
        let write = slot.and_then(|slot| slot.take_if(|write| write.generation == generation));
        let write = write.expect("completions belong to a write in flight");
        (write.file, write.content)
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
    fn a_finished_write_gives_back_the_very_bytes_that_the_kernel_read() {
        let mut writes = Writes::<Vec<u8>>::new();
        for _ in 0..2 * WRITES_MAX {
            let place = writes.begin(FILE, vec![7; 100]).expect("the table is empty");
            assert_eq!(place.length, 100);
            let (file, content) = writes.complete(place.index, place.generation);
            assert_eq!((file, content.as_ptr()), (FILE, place.address));
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
