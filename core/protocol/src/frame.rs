//! An encoded event, ready for the wire, shared by everyone who is sent it.
//!
//! A frame is built once with headroom in front, so that the WebSocket header lies directly before the JSON
//! and one contiguous slice is what a socket is given. Shards share it by `Arc`; a pool reuses the memory of
//! frames that nobody holds any more.

use std::collections::VecDeque;
use std::sync::Arc;

/// Longest unmasked server header: two bytes and a 64-bit length.
pub const FRAME_HEADROOM: usize = 10;

/// One unmasked WebSocket text frame, header and payload in one buffer; or several of them joined, so that a
/// connection is given one reference for all.
#[derive(Debug, Default)]
pub struct Frame {
    /// `FRAME_HEADROOM` bytes, then the payload.
    buffer: Vec<u8>,
    /// Where the header starts.
    start: usize,
}

impl Frame {
    /// A frame around what `write` appends. Allocates unless `buffer` has room.
    fn fill(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.buffer.clear();
        self.buffer.resize(FRAME_HEADROOM, 0);
        write(&mut self.buffer);
        self.seal();
    }

    /// A frame of its own, outside any pool.
    #[must_use]
    pub fn new(write: impl FnOnce(&mut Vec<u8>)) -> Arc<Self> {
        let mut frame = Self::default();
        frame.fill(write);
        Arc::new(frame)
    }

    fn seal(&mut self) {
        let length = self.buffer.len() - FRAME_HEADROOM;
        self.start = match length {
            0..=125 => {
                self.buffer[8] = 0x81;
                self.buffer[9] = length as u8;
                8
            }
            126..=0xffff => {
                self.buffer[6] = 0x81;
                self.buffer[7] = 126;
                self.buffer[8..10].copy_from_slice(&(length as u16).to_be_bytes());
                6
            }
            _ => {
                self.buffer[0] = 0x81;
                self.buffer[1] = 127;
                self.buffer[2..10].copy_from_slice(&(length as u64).to_be_bytes());
                0
            }
        };
    }

    /// The bytes for a WebSocket: header, then payload.
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// The JSON text of a frame that is not joined.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.buffer[FRAME_HEADROOM..]
    }

    /// The JSON texts of this frame: one, or as many as were joined.
    pub fn messages(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.wire();
        std::iter::from_fn(move || {
            let (header, length) = match rest.get(1)? {
                126 => (4, usize::from(u16::from_be_bytes(rest.get(2..4)?.try_into().ok()?))),
                127 => (10, usize::try_from(u64::from_be_bytes(rest.get(2..10)?.try_into().ok()?)).ok()?),
                short => (2, usize::from(*short)),
            };
            let message = rest.get(header..header + length)?;
            rest = &rest[header + length..];
            Some(message)
        })
    }

    /// Puts the wire bytes of `frames` one after the other.
    fn fill_joined<'a>(&mut self, frames: impl Iterator<Item = &'a Self>) {
        self.buffer.clear();
        self.start = 0;
        for frame in frames {
            self.buffer.extend_from_slice(frame.wire());
        }
    }
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        self.wire()
    }
}

/// Frames that nobody holds any more wait here to be filled again. One per shard; not shared.
///
/// [`Self::frame`] keeps a reference to every frame it hands out and takes one back as soon as its count has
/// fallen to 1, so that nothing needs to be returned by hand. At most `held_max` frames are remembered; past that
/// the oldest is forgotten (it is freed by its last holder). That suits frames that live for a moment. For frames
/// that are kept, as many as there are, [`Self::lend`] and [`Self::give_back`] reuse exactly what its keeper no
/// longer needs.
#[derive(Debug)]
pub struct FramePool {
    held: VecDeque<Arc<Frame>>,
    /// Given back by their keepers; at most `held_max`. Others may still hold some of them.
    given: VecDeque<Arc<Frame>>,
    held_max: usize,
    /// Buffers larger than this are not kept: one large history page must not stay for ever.
    keep_bytes_max: usize,
}

/// Frames looked at for a free one before a new one is made.
const PROBES: usize = 4;

impl FramePool {
    /// An empty pool.
    #[must_use]
    pub fn new(held_max: usize, keep_bytes_max: usize) -> Self {
        Self { held: VecDeque::new(), given: VecDeque::new(), held_max, keep_bytes_max }
    }

    /// A frame around what `write` appends, from a free buffer if one of the oldest few is free.
    pub fn frame(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Arc<Frame> {
        self.filled(|frame| frame.fill(write))
    }

    /// As [`Self::frame`], for a frame that its keeper will give back. The pool keeps no reference.
    pub fn lend(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Arc<Frame> {
        for _ in 0..PROBES {
            let Some(mut given) = self.given.pop_front() else { break };
            // One that is still on its way to somebody is left to its last holder.
            if let Some(frame) = Arc::get_mut(&mut given) {
                frame.fill(write);
                return given;
            }
        }
        Frame::new(write)
    }

    /// Takes a frame that its keeper no longer needs.
    pub fn give_back(&mut self, frame: Arc<Frame>) {
        if self.given.len() < self.held_max && frame.buffer.capacity() <= self.keep_bytes_max {
            self.given.push_back(frame);
        }
    }

    /// One frame with the wire bytes of `frames` in order.
    pub fn joined<'a>(&mut self, frames: impl Iterator<Item = &'a Frame>) -> Arc<Frame> {
        self.filled(|joined| joined.fill_joined(frames))
    }

    fn filled(&mut self, fill: impl FnOnce(&mut Frame)) -> Arc<Frame> {
        for _ in 0..PROBES.min(self.held.len()) {
            let Some(mut oldest) = self.held.pop_front() else { break };
            if let Some(frame) = Arc::get_mut(&mut oldest) {
                fill(frame);
                self.hold(&oldest);
                return oldest;
            }
            self.held.push_back(oldest);
        }
        let mut frame = Frame::default();
        fill(&mut frame);
        let frame = Arc::new(frame);
        self.hold(&frame);
        frame
    }

    fn hold(&mut self, frame: &Arc<Frame>) {
        if frame.buffer.capacity() > self.keep_bytes_max {
            return;
        }
        if self.held.len() >= self.held_max {
            self.held.pop_front();
        }
        self.held.push_back(Arc::clone(frame));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_states_the_length_in_its_three_forms() {
        for (length, header) in [
            (5usize, vec![0x81, 5]),
            (126, vec![0x81, 126, 0, 126]),
            (70_000, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]),
        ] {
            let frame = Frame::new(|out| out.extend(std::iter::repeat_n(b'x', length)));
            assert_eq!(frame.payload().len(), length);
            assert_eq!(&frame.wire()[..header.len()], header);
            assert_eq!(frame.wire().len(), header.len() + length);
        }
    }

    #[test]
    fn a_lent_frame_is_reused_once_it_is_given_back_and_nobody_holds_it() {
        let mut pool = FramePool::new(8, 1 << 16);
        let kept = pool.lend(|out| out.extend_from_slice(b"kept"));
        let address = Arc::as_ptr(&kept);
        let other = pool.lend(|out| out.extend_from_slice(b"other"));
        assert_ne!(Arc::as_ptr(&other), address);
        let reader = Arc::clone(&other);
        pool.give_back(other);
        pool.give_back(kept);
        let next = pool.lend(|out| out.extend_from_slice(b"next"));
        assert_eq!((Arc::as_ptr(&next), next.payload()), (address, &b"next"[..]));
        assert_eq!(reader.payload(), b"other");
    }

    #[test]
    fn joined_frames_are_their_wire_bytes_and_come_apart_again() {
        let mut pool = FramePool::new(8, 1 << 16);
        let texts: Vec<Vec<u8>> = [3usize, 200, 70_000].iter().map(|n| vec![b'x'; *n]).collect();
        let frames: Vec<_> = texts.iter().map(|t| pool.frame(|out| out.extend_from_slice(t))).collect();
        let joined = pool.joined(frames.iter().map(|f| &**f));
        assert_eq!(joined.wire(), frames.iter().flat_map(|f| f.wire()).copied().collect::<Vec<_>>());
        assert_eq!(joined.messages().collect::<Vec<_>>(), texts);
        assert_eq!(frames[1].messages().collect::<Vec<_>>(), [frames[1].payload()]);
    }

    #[test]
    fn a_frame_in_use_is_never_overwritten_and_a_free_one_is_reused() {
        let mut pool = FramePool::new(8, 1 << 16);
        let first = pool.frame(|out| out.extend_from_slice(b"first"));
        let second = pool.frame(|out| out.extend_from_slice(b"second"));
        assert_eq!(first.payload(), b"first");
        let address = Arc::as_ptr(&first);
        drop(first);
        let third = pool.frame(|out| out.extend_from_slice(b"third"));
        assert_eq!(Arc::as_ptr(&third), address);
        assert_eq!(second.payload(), b"second");
    }
}
