//! The rooms that connections of this shard are subscribed to, and when each is looked at next.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use lynk_domain::{Epoch, FixedMap, Nanos, RoomId, Seq, fixed_map};

use super::pace::Rate;
use super::topic::{Item, Schedule, Topic, Traffic};
use crate::slab::Slab;

/// Idle traffic states kept for reuse.
const SPARE_MAX: usize = 256;

/// All topics of a shard.
pub(crate) struct Topics {
    by_room: FixedMap<RoomId, u32>,
    slab: Slab<Topic>,
    /// To be sent at the next flush, round robin. May hold numbers of topics that are gone: checked when taken.
    due: VecDeque<u32>,
    /// To be sent from a time on; checked as `due`.
    waiting: BinaryHeap<Reverse<(Nanos, u32)>>,
    #[expect(clippy::vec_box, reason = "topics hold the box, so that an idle one holds one word")]
    spare: Vec<Box<Traffic>>,
    /// Deliveries of this shard.
    pub(crate) deliveries: Rate,
}

impl Topics {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            by_room: fixed_map(seed),
            slab: Slab::new(),
            due: VecDeque::new(),
            waiting: BinaryHeap::new(),
            spare: Vec::new(),
            deliveries: Rate::default(),
        }
    }

    pub(crate) fn find(&self, room: RoomId) -> Option<u32> {
        self.by_room.get(&room).copied()
    }

    pub(crate) fn get(&self, topic: u32) -> Option<&Topic> {
        self.slab.get(topic)
    }

    pub(crate) fn get_mut(&mut self, topic: u32) -> Option<&mut Topic> {
        self.slab.get_mut(topic)
    }

    pub(crate) fn create(&mut self, room: RoomId, epoch: Epoch, last: Seq) -> u32 {
        let topic = self.slab.insert(Topic::new(room, epoch, last));
        self.by_room.insert(room, topic);
        topic
    }

    /// Forgets a topic, with whatever it had to send.
    pub(crate) fn remove(&mut self, topic: u32) {
        if let Some(gone) = self.slab.remove(topic) {
            self.by_room.remove(&gone.room);
            if let Some(traffic) = gone.traffic {
                self.keep(traffic);
            }
        }
    }

    /// Appends an item to a topic and plans its round.
    pub(crate) fn push(&mut self, now: Nanos, topic: u32, item: Item) {
        let Some(state) = self.slab.get_mut(topic) else { return };
        let traffic = state.traffic.get_or_insert_with(|| self.spare.pop().unwrap_or_default());
        traffic.pending.push_back(item);
        state.pace.events.count(now, 1);
        self.plan(now, topic);
    }

    /// Plans the next round of a topic that has something to send and is not planned yet.
    fn plan(&mut self, now: Nanos, topic: u32) {
        self.deliveries.count(now, 0);
        let Some(state) = self.slab.get_mut(topic) else { return };
        if state.schedule != Schedule::Idle {
            return;
        }
        let next = state.pace.next(state.subscribers.len(), self.deliveries.per_second());
        if next <= now {
            state.schedule = Schedule::Due;
            self.due.push_back(topic);
        } else {
            state.schedule = Schedule::At(next);
            self.waiting.push(Reverse((next, topic)));
        }
    }

    /// Moves topics whose tick has come to the list of the next flush.
    pub(crate) fn release(&mut self, now: Nanos) {
        while let Some(Reverse((at, topic))) = self.waiting.peek().copied() {
            if at > now {
                break;
            }
            self.waiting.pop();
            if let Some(state) = self.slab.get_mut(topic)
                && state.schedule == Schedule::At(at)
            {
                state.schedule = Schedule::Due;
                self.due.push_back(topic);
            }
        }
    }

    /// The next topic to send, taken off the list.
    pub(crate) fn take_due(&mut self) -> Option<u32> {
        while let Some(topic) = self.due.pop_front() {
            if self.slab.get(topic).is_some_and(|state| state.schedule == Schedule::Due) {
                return Some(topic);
            }
        }
        None
    }

    /// Puts a topic that [`Self::take_due`] gave back: behind the others when its round is not over, into its next
    /// tick when more is pending, to rest otherwise.
    pub(crate) fn give_back(&mut self, now: Nanos, topic: u32) {
        let Some(state) = self.slab.get_mut(topic) else { return };
        let Some(traffic) = state.traffic.as_ref() else {
            state.schedule = Schedule::Idle;
            return;
        };
        if !traffic.round.is_empty() {
            self.due.push_back(topic);
            return;
        }
        state.schedule = Schedule::Idle;
        if traffic.is_empty() {
            if let Some(traffic) = state.traffic.take() {
                self.keep(traffic);
            }
            return;
        }
        self.plan(now, topic);
    }

    /// Topics on the list, counting those that are gone.
    pub(crate) fn due_len(&self) -> usize {
        self.due.len()
    }

    /// When [`Self::release`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Nanos> {
        self.waiting.peek().map(|Reverse((at, _))| *at)
    }

    fn keep(&mut self, mut traffic: Box<Traffic>) {
        traffic.clear();
        if self.spare.len() < SPARE_MAX {
            self.spare.push(traffic);
        }
    }
}
