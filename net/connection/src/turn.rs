//! What a shard sends in one turn: the fast path.

use std::sync::Arc;

use lynk_domain::Nanos;
use lynk_protocol::Frame;

use crate::{Connection, Settings};

/// Bytes of several frames that one connection may be sent in a turn without taking the slow path. A driver's scratch
/// must hold as much.
pub const FAST_BYTES_MAX: usize = 16 << 10;
/// Bytes of one send of the slow path at most.
pub const SLOW_SEND_BYTES_MAX: usize = 64 << 10;

/// A frame of the current turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameIndex(u32);

/// The one send that a connection gets in this turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plan {
    /// Nothing can be sent now.
    Idle,
    /// Send the frame's wire bytes, [`TurnQueue::wire`]. Report only a short or refused send: [`TurnQueue::short`].
    Frame(FrameIndex),
    /// Send the first `bytes` of the room. Report only a short or refused send: [`TurnQueue::short`].
    Copied {
        /// How many.
        bytes: usize,
    },
    /// Send the first `bytes` of the room, and report the result: [`Connection::sent`] or
    /// [`Connection::send_blocked`].
    Reported {
        /// How many.
        bytes: usize,
    },
    /// The room is too small. Submit what is planned, and plan this entry again with more.
    NoRoom,
}

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Node {
    frame: u32,
    next: u32,
}

/// A connection with something to send.
#[derive(Clone, Copy, Debug)]
struct Entry {
    slot: u32,
    /// First and last of its frames, in `nodes`.
    head: u32,
    tail: u32,
    /// Wire bytes of its frames.
    bytes: u32,
    planned: bool,
}

/// Frames and receivers of one turn.
#[derive(Debug, Default)]
struct Batch {
    frames: Vec<Arc<Frame>>,
    nodes: Vec<Node>,
    entries: Vec<Entry>,
}

impl Batch {
    /// Frames of the entry at `index`, in order, and forgets that it had them.
    fn take(&mut self, index: Option<usize>) -> impl Iterator<Item = Arc<Frame>> {
        let mut at = NONE;
        if let Some(entry) = index.and_then(|index| self.entries.get_mut(index)) {
            at = std::mem::replace(&mut entry.head, NONE);
            entry.tail = NONE;
            entry.bytes = 0;
        }
        chain(&self.nodes, &self.frames, at).map(Arc::clone)
    }
}

/// The frames that a shard sends: one batch that is being filled, and one that is being sent.
///
/// Vectors live here once per shard and keep their memory, so that a connection needs none. Each frame is held once
/// until the [`Self::finish`] of its batch, however many receive it.
#[derive(Debug, Default)]
pub struct TurnQueue {
    batches: [Batch; 2],
    /// The batch that is being filled; the other one is being sent.
    filling: u8,
    /// Between [`Self::begin`] and [`Self::finish`].
    sending: bool,
}

impl TurnQueue {
    /// With both batches empty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a frame in the batch that is being filled, to be queued for any number of connections before the next
    /// [`Self::begin`].
    pub fn frame(&mut self, frame: Arc<Frame>) -> FrameIndex {
        let frames = &mut self.filling().frames;
        let index = u32::try_from(frames.len()).expect("a turn has far less than 2^32 frames");
        frames.push(frame);
        FrameIndex(index)
    }

    /// Queues a frame for a connection. Returns whether [`Connection::settle`] is due.
    ///
    /// A connection that is not open, or is closing, takes nothing.
    pub fn queue(
        &mut self,
        slot: u32,
        connection: &mut Connection,
        now: Nanos,
        settings: &Settings,
        frame: FrameIndex,
    ) -> bool {
        if !connection.takes_frames() {
            return false;
        }
        let place = self.place(slot, connection);
        let batch = self.filling();
        let wire = &batch.frames[frame.0 as usize];
        let entry = &mut batch.entries[place];
        let bytes = wire.wire().len() as u32;
        let crowded = entry.head != NONE && (entry.bytes + bytes) as usize > FAST_BYTES_MAX;
        if crowded || connection.is_slow() {
            let frame = Arc::clone(wire);
            if !connection.is_slow() {
                connection.take_earlier(now, settings, batch.take(Some(place)), 0);
            }
            connection.queue(now, settings, frame);
            return true;
        }
        let node = batch.nodes.len() as u32;
        batch.nodes.push(Node { frame: frame.0, next: NONE });
        match entry.tail {
            NONE => entry.head = node,
            tail => batch.nodes[tail as usize].next = node,
        }
        entry.tail = node;
        entry.bytes += bytes;
        false
    }

    /// Makes sure that a connection is planned with the batch that is being filled: [`crate::Settled::output`] asks
    /// for it.
    pub fn mark(&mut self, slot: u32, connection: &mut Connection) {
        self.place(slot, connection);
    }

    /// Whether nobody has anything to send in the batch that is being filled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batches[usize::from(self.filling)].entries.is_empty()
    }

    /// Turns to sending what was filled. What is queued from here on belongs to the next batch.
    ///
    /// Panics when the batch before was not finished: its sends might be overtaken.
    pub fn begin(&mut self) {
        assert!(!self.sending, "a batch begins when the one before is finished");
        self.sending = true;
        self.filling ^= 1;
    }

    /// Slot of the entry at `index` of the batch that is being sent; `None` past the last.
    #[must_use]
    pub fn slot(&self, index: usize) -> Option<u32> {
        self.sending_ref().entries.get(index).map(|entry| entry.slot)
    }

    /// Decides the send of the entry at `index`, whose [`Self::slot`] has `connection`. `room` is memory that stays
    /// untouched until the kernel has consumed the send; an empty scratch offers [`FAST_BYTES_MAX`] at least.
    pub fn plan(
        &mut self,
        index: usize,
        connection: &mut Connection,
        now: Nanos,
        settings: &Settings,
        room: &mut [u8],
    ) -> Plan {
        assert!(self.sending, "a batch begins before it is planned");
        let side = self.filling ^ 1;
        // A slot that was freed and taken again within a turn leaves the old connection's entry behind.
        if connection.turn_entry(side) != index || self.batches[usize::from(side)].entries[index].planned {
            return Plan::Idle;
        }
        if connection.is_slow() || !connection.takes_frames() {
            let slot = self.batches[usize::from(side)].entries[index].slot;
            self.spill(slot, connection, now, settings, 0);
            return connection.plan_slow(room);
        }
        let batch = &mut self.batches[usize::from(side)];
        let entry = &mut batch.entries[index];
        if entry.head == NONE {
            return Plan::Idle;
        }
        let bytes = entry.bytes as usize;
        if entry.head == entry.tail {
            entry.planned = true;
            return Plan::Frame(FrameIndex(batch.nodes[entry.head as usize].frame));
        }
        if room.len() < bytes {
            return Plan::NoRoom;
        }
        entry.planned = true;
        let mut filled = 0;
        for frame in chain(&batch.nodes, &batch.frames, entry.head) {
            let wire = frame.wire();
            room[filled..filled + wire.len()].copy_from_slice(wire);
            filled += wire.len();
        }
        debug_assert_eq!(filled, bytes);
        Plan::Copied { bytes }
    }

    /// The frame of a [`Plan::Frame`]; send its `wire()`.
    #[must_use]
    pub fn planned(&self, frame: FrameIndex) -> &Arc<Frame> {
        &self.sending_ref().frames[frame.0 as usize]
    }

    /// Bytes of the fast-path send that is planned for a connection and not finished; 0 when there is none.
    #[must_use]
    pub fn planned_bytes(&self, slot: u32, connection: &Connection) -> usize {
        let side = self.filling ^ 1;
        let entries = &self.batches[usize::from(side)].entries;
        let entry = self.entry(slot, connection, side).map(|entry| &entries[entry]);
        entry.filter(|entry| self.sending && entry.planned).map_or(0, |entry| entry.bytes as usize)
    }

    /// A fast-path send took only `sent` bytes (0 when refused): the rest moves to the slow path, byte for byte, and
    /// what was queued since goes behind it. A report for a connection that is gone from its slot is ignored.
    pub fn short(
        &mut self,
        slot: u32,
        connection: &mut Connection,
        now: Nanos,
        settings: &Settings,
        sent: usize,
    ) {
        assert!(self.sending, "a short send is reported before its batch is finished");
        let side = self.filling ^ 1;
        let Some(entry) = self.entry(slot, connection, side) else { return };
        let entry = &self.batches[usize::from(side)].entries[entry];
        assert!(entry.planned && sent < entry.bytes as usize, "a short send was planned and took less");
        self.spill(slot, connection, now, settings, sent);
        connection.block_short(now, settings);
    }

    /// Ends the batch: the kernel has consumed every send, and every short one was reported. Releases the frames.
    pub fn finish(&mut self) {
        self.sending = false;
        let batch = &mut self.batches[usize::from(self.filling ^ 1)];
        batch.frames.clear();
        batch.nodes.clear();
        batch.entries.clear();
    }

    fn filling(&mut self) -> &mut Batch {
        &mut self.batches[usize::from(self.filling)]
    }

    fn sending_ref(&self) -> &Batch {
        &self.batches[usize::from(self.filling ^ 1)]
    }

    /// The connection's entry in the batch on `side`. A connection remembers an index per side; it is stale unless the
    /// entry there has its slot, and a new connection in a slot remembers none.
    fn entry(&self, slot: u32, connection: &Connection, side: u8) -> Option<usize> {
        let known = connection.turn_entry(side);
        let entry = self.batches[usize::from(side)].entries.get(known)?;
        (entry.slot == slot).then_some(known)
    }

    /// The connection's entry in the batch that is being filled, made if there is none.
    fn place(&mut self, slot: u32, connection: &mut Connection) -> usize {
        if let Some(known) = self.entry(slot, connection, self.filling) {
            return known;
        }
        let entries = &mut self.filling().entries;
        let place = entries.len();
        entries.push(Entry { slot, head: NONE, tail: NONE, bytes: 0, planned: false });
        connection.set_turn_entry(self.filling, u32::try_from(place).expect("slots are u32"));
        place
    }

    /// Moves the frames of both batches to the connection's queue, before what it has there: they were queued while it
    /// had nothing. The first `sent` bytes are gone.
    fn spill(
        &mut self,
        slot: u32,
        connection: &mut Connection,
        now: Nanos,
        settings: &Settings,
        sent: usize,
    ) {
        let filling = self.filling;
        let [earlier, later] = [filling ^ 1, filling].map(|side| self.entry(slot, connection, side));
        let [left, right] = &mut self.batches;
        let (sending, filled) = if filling == 1 { (left, right) } else { (right, left) };
        let frames = sending.take(earlier).chain(filled.take(later));
        connection.take_earlier(now, settings, frames, sent);
    }
}

/// The frames of one entry, in order.
fn chain<'a>(nodes: &'a [Node], frames: &'a [Arc<Frame>], head: u32) -> impl Iterator<Item = &'a Arc<Frame>> {
    let mut at = head;
    std::iter::from_fn(move || {
        let node = nodes.get(at as usize)?;
        at = node.next;
        Some(&frames[node.frame as usize])
    })
}

#[cfg(test)]
mod tests;
