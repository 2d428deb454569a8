//! The slow path's queue: frames and control bytes, and how far the front has gone out.

use std::collections::VecDeque;
use std::sync::Arc;

use lynk_domain::Nanos;
use lynk_protocol::Frame;

/// One stretch of whole frames.
#[derive(Debug)]
enum Item {
    /// A frame that others may be sent too.
    Frame(Arc<Frame>),
    /// Bytes of this connection alone.
    Own(Box<Own>),
}

/// A slow consumer has one per queued frame.
const _: () = assert!(size_of::<Item>() == 16);

#[derive(Debug)]
struct Own {
    bytes: Vec<u8>,
    /// The close frame or the refusal, behind everything. Otherwise control frames back to back, or the response to an
    /// upgrade: they stay right behind what has begun to go out.
    last: bool,
}

impl Item {
    fn own(bytes: Vec<u8>, last: bool) -> Self {
        Self::Own(Box::new(Own { bytes, last }))
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Frame(frame) => frame.wire(),
            Self::Own(own) => &own.bytes,
        }
    }

    fn is_control(&self) -> bool {
        matches!(self, Self::Own(own) if !own.last)
    }
}

/// What a connection on the slow path still has to send. Exists only while there is something.
#[derive(Debug)]
pub(crate) struct Outbox {
    items: VecDeque<Item>,
    /// Bytes of the front item that are gone.
    front_sent: usize,
    /// Unsent bytes of all items.
    queued_bytes: usize,
    /// One past the last control item; 0 when there is none.
    control_end: usize,
    /// Bytes given to the kernel whose fate is not known yet.
    in_flight: usize,
    /// Whether the socket took less than it was given: wait until it is writable.
    pub(crate) blocked: bool,
    /// When the peer has made no progress for too long.
    pub(crate) stall_at: Nanos,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Self {
            items: VecDeque::new(),
            front_sent: 0,
            queued_bytes: 0,
            control_end: 0,
            in_flight: 0,
            blocked: false,
            stall_at: Nanos::NEVER,
        }
    }

    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether a send may be given to the kernel now.
    pub(crate) fn is_ready(&self) -> bool {
        !self.items.is_empty() && self.in_flight == 0 && !self.blocked
    }

    pub(crate) fn push_frame(&mut self, frame: Arc<Frame>) {
        self.queued_bytes += frame.wire().len();
        self.items.push_back(Item::Frame(frame));
    }

    /// Adds the bytes behind which nothing follows.
    pub(crate) fn push_last(&mut self, bytes: Vec<u8>) {
        self.queued_bytes += bytes.len();
        self.items.push_back(Item::own(bytes, true));
    }

    /// Adds a control frame before every frame that has not begun to go out, behind earlier control frames.
    ///
    /// Neighbours share one buffer, so that a flood of pings costs no more memory than its pongs have bytes.
    pub(crate) fn push_control(&mut self, control: &[u8]) {
        self.queued_bytes += control.len();
        let begun = self.begun();
        let last = self.control_end.checked_sub(1).and_then(|last| self.items.get_mut(last));
        match last {
            Some(Item::Own(own)) if self.control_end >= begun => own.bytes.extend_from_slice(control),
            _ => {
                self.insert(begun, Item::own(control.to_vec(), false));
                self.control_end = begun + 1;
            }
        }
    }

    /// Puts frames that were queued earlier in front of all other frames; the first `sent` bytes of them are gone.
    pub(crate) fn push_earlier(&mut self, frames: impl Iterator<Item = Arc<Frame>>, sent: usize) {
        assert!(self.front_sent == 0 && self.in_flight == 0, "one send in flight at a time");
        let mut place = self.items.iter().take_while(|item| item.is_control()).count();
        let mut skip = sent;
        for frame in frames {
            let length = frame.wire().len();
            if skip >= length {
                skip -= length;
                continue;
            }
            self.queued_bytes += length - skip;
            let cut = skip > 0;
            self.insert(if cut { 0 } else { place }, Item::Frame(frame));
            self.front_sent += skip;
            skip = 0;
            place += 1;
        }
        assert!(skip == 0, "no more is gone than was queued");
    }

    fn insert(&mut self, place: usize, item: Item) {
        self.items.insert(place, item);
        if place < self.control_end {
            self.control_end += 1;
        }
    }

    /// Items that have begun to go out, wholly or in part.
    fn begun(&self) -> usize {
        let mut bytes = self.front_sent + self.in_flight;
        let mut count = 0;
        while bytes > 0 {
            bytes = bytes.saturating_sub(self.items[count].bytes().len());
            count += 1;
        }
        count
    }

    /// Drops every item that has not begun to go out.
    pub(crate) fn drop_unsent(&mut self) {
        self.items.truncate(self.begun());
        self.items.shrink_to_fit();
        self.control_end = 0;
        self.queued_bytes = self.items.iter().map(|item| item.bytes().len()).sum::<usize>() - self.front_sent;
    }

    /// Copies the next bytes to send into `room`; they are in flight until [`Self::sent`].
    pub(crate) fn copy_next(&mut self, room: &mut [u8]) -> usize {
        assert!(self.in_flight == 0, "one send in flight at a time");
        let mut filled = 0;
        let mut skip = self.front_sent;
        for item in &self.items {
            let bytes = &item.bytes()[skip..];
            skip = 0;
            let take = bytes.len().min(room.len() - filled);
            room[filled..filled + take].copy_from_slice(&bytes[..take]);
            filled += take;
            if filled == room.len() {
                break;
            }
        }
        self.in_flight = filled;
        filled
    }

    /// The kernel took the first `count` of the bytes in flight.
    pub(crate) fn sent(&mut self, count: usize) {
        assert!(count <= self.in_flight, "no more is gone than was in flight");
        self.blocked = count < self.in_flight;
        self.in_flight = 0;
        self.queued_bytes -= count;
        let mut gone = self.front_sent + count;
        while let Some(front) = self.items.front() {
            let length = front.bytes().len();
            if gone < length {
                break;
            }
            gone -= length;
            self.items.pop_front();
            self.control_end = self.control_end.saturating_sub(1);
        }
        self.front_sent = gone;
    }

    /// Heap bytes of the queue itself; shared frames are not counted.
    pub(crate) fn heap_bytes(&self) -> usize {
        let owned: usize = self
            .items
            .iter()
            .map(|item| match item {
                Item::Own(own) => size_of::<Own>() + own.bytes.capacity(),
                Item::Frame(_) => 0,
            })
            .sum();
        size_of::<Self>() + self.items.capacity() * size_of::<Item>() + owned
    }
}
