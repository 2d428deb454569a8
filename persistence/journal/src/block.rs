//! Bytes that the disk takes as they are: whole blocks, at block addresses in memory.
//!
//! Why: a journal that writes around the page cache needs no worker thread of the kernel and half of the CPU time, and
//! the kernel asks for this alignment in return.

use crate::limits::BLOCK_BYTES;

/// A growing run of bytes that begins at a multiple of [`BLOCK_BYTES`] in memory. Cleared, it keeps its memory.
#[derive(Default, Debug)]
pub struct BlockBuffer {
    /// One block longer than what it can hold, so that an aligned start always exists.
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl BlockBuffer {
    /// A buffer of `length` zeros.
    #[must_use]
    pub fn zeroed(length: usize) -> Self {
        let mut buffer = Self::default();
        buffer.resize(length);
        buffer
    }

    /// How many bytes it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.length]
    }

    /// The bytes, to be changed in place.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.length]
    }

    /// Forgets the bytes.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// Adds bytes.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        let end = self.start + self.length;
        self.memory[end..end + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    /// Cuts or adds zeros so that `length` bytes are held.
    pub fn resize(&mut self, length: usize) {
        let more = length.saturating_sub(self.length);
        self.reserve(more);
        let end = self.start + self.length;
        self.memory[end..end + more].fill(0);
        self.length = length;
    }

    /// Adds zeros up to a whole number of blocks.
    pub fn pad(&mut self) {
        self.resize(self.length.next_multiple_of(BLOCK_BYTES));
    }

    fn reserve(&mut self, more: usize) {
        let needed = self.length + more;
        if needed <= self.memory.len().saturating_sub(BLOCK_BYTES) {
            return;
        }
        let capacity = needed.max(2 * self.length).next_multiple_of(BLOCK_BYTES);
        let memory = vec![0; capacity + BLOCK_BYTES];
        let start = memory.as_ptr().align_offset(BLOCK_BYTES);
        let old = std::mem::replace(self, Self { memory, start, length: 0 });
        self.extend(old.bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aligned(buffer: &BlockBuffer) -> bool {
        (buffer.bytes().as_ptr() as usize).is_multiple_of(BLOCK_BYTES)
    }

    #[test]
    fn it_stays_aligned_and_keeps_its_bytes_while_it_grows() {
        let mut buffer = BlockBuffer::default();
        let mut expected = Vec::new();
        for step in 0..2_000_u32 {
            let bytes = step.to_le_bytes().repeat(step as usize % 90);
            buffer.extend(&bytes);
            expected.extend_from_slice(&bytes);
            assert!(buffer.is_empty() || aligned(&buffer));
        }
        assert_eq!(buffer.bytes(), expected);
        buffer.pad();
        expected.resize(expected.len().next_multiple_of(BLOCK_BYTES), 0);
        assert_eq!((buffer.bytes(), buffer.len()), (&expected[..], expected.len()));
        buffer.pad();
        assert_eq!(buffer.len(), expected.len(), "whole already");
    }

    #[test]
    fn what_was_cleared_does_not_come_back_as_padding() {
        let mut buffer = BlockBuffer::default();
        buffer.extend(&[7; 3 * BLOCK_BYTES]);
        let address = buffer.bytes().as_ptr();
        buffer.clear();
        assert!(buffer.is_empty());
        buffer.extend(b"a");
        buffer.pad();
        assert_eq!((buffer.bytes()[0], buffer.bytes().as_ptr()), (b'a', address));
        assert!(buffer.bytes()[1..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn zeros_are_given_at_once() {
        let buffer = BlockBuffer::zeroed(5_000);
        assert!(aligned(&buffer) && buffer.bytes() == [0; 5_000]);
    }
}
