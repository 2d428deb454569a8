//! What the sends of one turn read: shared frames, and a scratch for copies.
//!
//! Invariant: what was given out by [`TurnHold::hold`] and [`TurnHold::commit`] is neither freed nor changed until
//! [`TurnHold::release`], which the ring calls when the kernel has consumed every entry pushed before and every
//! completion was read. Pure bookkeeping; runs under Miri.

use std::sync::Arc;

/// Frames and scratch of one turn.
pub(crate) struct TurnHold<F> {
    /// One reference per frame, or per run of sends of it; not one per send.
    frames: Vec<Arc<F>>,
    scratch: Box<[u8]>,
    /// Scratch bytes that sends read.
    committed: usize,
}

impl<F: AsRef<[u8]>> TurnHold<F> {
    pub(crate) fn new(scratch_bytes: usize) -> Self {
        Self { frames: Vec::new(), scratch: vec![0; scratch_bytes].into(), committed: 0 }
    }

    /// Holds a frame; returns its bytes' address and length, valid until the release. Holding the `Arc` is a shared
    /// borrow of the frame at an address that does not change, so its slice stays valid.
    pub(crate) fn hold(&mut self, frame: &Arc<F>) -> (*const u8, usize) {
        if !self.frames.last().is_some_and(|last| Arc::ptr_eq(last, frame)) {
            self.frames.push(Arc::clone(frame));
        }
        let bytes = (**frame).as_ref();
        (bytes.as_ptr(), bytes.len())
    }

    /// Scratch that no send reads.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        &mut self.scratch[self.committed..]
    }

    /// Makes the first `length` bytes of the room those of a send; returns their address.
    pub(crate) fn commit(&mut self, length: usize) -> *const u8 {
        let bytes = &self.scratch[self.committed..][..length];
        let address = bytes.as_ptr();
        self.committed += length;
        address
    }

    /// Nothing is read any more. A send that still read the scratch would put these bytes on the wire, and every test
    /// that compares streams would see it.
    pub(crate) fn release(&mut self) {
        self.frames.clear();
        if cfg!(debug_assertions) {
            self.scratch[..self.committed].fill(0xdd);
        }
        self.committed = 0;
    }

    /// Forgets everything without freeing it: the kernel may still read it.
    pub(crate) fn leak(&mut self) {
        std::mem::forget(std::mem::take(&mut self.frames));
        std::mem::forget(std::mem::take(&mut self.scratch));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_held_once_per_run_until_the_release() {
        let mut hold = TurnHold::<Vec<u8>>::new(16);
        let (one, two) = (Arc::new(b"one".to_vec()), Arc::new(b"two".to_vec()));
        for frame in [&one, &one, &two, &one] {
            assert_eq!(hold.hold(frame), (frame.as_ptr(), 3));
        }
        assert_eq!((Arc::strong_count(&one), Arc::strong_count(&two)), (3, 2));
        hold.release();
        assert_eq!((Arc::strong_count(&one), Arc::strong_count(&two)), (1, 1));
    }

    #[test]
    fn committed_scratch_is_out_of_reach_until_the_release_poisons_it() {
        let mut hold = TurnHold::<Vec<u8>>::new(8);
        hold.room()[..5].copy_from_slice(b"hello");
        let first = hold.commit(5);
        assert_eq!(hold.room().len(), 3);
        hold.room().fill(b'!');
        assert_eq!(hold.commit(3), first.wrapping_add(5));
        assert!(hold.room().is_empty());
        assert_eq!(&hold.scratch[..], b"hello!!!");
        hold.release();
        assert_eq!(hold.room().len(), 8);
        assert!(!cfg!(debug_assertions) || hold.room().iter().all(|byte| *byte == 0xdd));
    }
}
