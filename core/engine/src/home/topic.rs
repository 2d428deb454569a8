//! One room as this shard sees it: who is subscribed, what waits to be sent, what is being sent.
//!
//! A *round* sends a few pending items to every subscriber, in chunks over several flushes. Subscribers lie in one
//! dense list; those before `cursor` have been served in the running round. Adding and removing during a round keeps
//! that true, so nobody is skipped and nobody served twice.

use std::collections::VecDeque;
use std::sync::Arc;

use lynk_domain::{Epoch, Nanos, RoomId, Seq, UserId};
use lynk_protocol::Frame;
use smallvec::SmallVec;

use super::pace::Pace;
use crate::io::Slot;
use crate::mail::{Own, Removes};

/// One connection's subscription.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Subscriber {
    /// Last event that the connection has been given or told about.
    pub(crate) mark: Seq,
    pub(crate) slot: Slot,
    /// Events after `mark` were left out: `resync` is due when the queue is low again.
    pub(crate) lagging: bool,
}

const _: () = assert!(size_of::<Subscriber>() == 16, "there is one per connection and room");

/// What one item tells.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// A durable event at `last`; `removes` ends subscriptions.
    Event { removes: Removes },
    /// Events `first..=last` are left out: everyone is told to page them. With `ends` all subscriptions are over.
    Skip { first: Seq, removes: Vec<UserId>, ends: bool },
    /// Typing or a receipt, not for its cause.
    Ephemeral { except: UserId },
}

/// Something to be sent to the subscribers.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) kind: Kind,
    /// The seq that it brings a subscriber to; 0 for what takes none.
    pub(crate) last: Seq,
    pub(crate) frame: Arc<Frame>,
    /// Who gets another answer instead.
    pub(crate) own: Option<Own>,
}

impl Item {
    /// The first seq that it speaks for; 0 for what takes none.
    pub(crate) fn first(&self) -> Seq {
        match &self.kind {
            Kind::Event { .. } | Kind::Ephemeral { .. } => self.last,
            Kind::Skip { first, .. } => *first,
        }
    }

    /// Whether it ends a subscription.
    pub(crate) fn removes_anyone(&self) -> bool {
        match &self.kind {
            Kind::Event { removes } => removes.anyone(),
            Kind::Skip { removes, ends, .. } => *ends || !removes.is_empty(),
            Kind::Ephemeral { .. } => false,
        }
    }

    /// Whether it ends the subscriptions of `user`.
    pub(crate) fn removes(&self, user: UserId) -> bool {
        match &self.kind {
            Kind::Event { removes } => removes.includes(user),
            Kind::Skip { removes, ends, .. } => *ends || removes.contains(&user),
            Kind::Ephemeral { .. } => false,
        }
    }

    /// Whether it is something else for `user` than for others.
    pub(crate) fn concerns(&self, user: UserId) -> bool {
        match &self.kind {
            Kind::Ephemeral { except } => *except == user,
            Kind::Event { .. } | Kind::Skip { .. } => self.removes(user),
        }
    }
}

/// What a topic needs only while it has something to send. Reused, so that a warm engine does not allocate.
#[derive(Default, Debug)]
pub(crate) struct Traffic {
    /// Not in a round yet.
    pub(crate) pending: VecDeque<Item>,
    /// The running round; empty when there is none.
    pub(crate) round: Vec<Item>,
    /// All of `round` in one frame, for subscribers that get all of it.
    pub(crate) joined: Option<Arc<Frame>>,
    /// Subscribers before this one are served.
    pub(crate) cursor: u32,
    /// The round was cut by its limits: the next one follows without waiting for a tick.
    pub(crate) cut: bool,
}

impl Traffic {
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.round.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.pending.clear();
        self.round.clear();
        self.joined = None;
        self.cursor = 0;
        self.cut = false;
    }
}

/// When a topic is looked at next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Schedule {
    /// Nothing to send.
    Idle,
    /// In the list of the next flush.
    Due,
    /// Waits for its tick.
    At(Nanos),
}

/// One room on this shard.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) room: RoomId,
    /// Last event that arrived in order.
    pub(crate) last: Seq,
    /// Last event that is known to exist.
    pub(crate) seen: Seq,
    pub(crate) subscribers: SmallVec<[Subscriber; 1]>,
    /// Present while there is something to send.
    pub(crate) traffic: Option<Box<Traffic>>,
    pub(crate) schedule: Schedule,
    pub(crate) pace: Pace,
    pub(crate) epoch: Epoch,
    /// `Subscribed` of the owner that are not ended yet.
    pub(crate) unended: u32,
    /// A refill was asked for and has not arrived whole.
    pub(crate) refilling: bool,
}

const _: () = assert!(size_of::<Topic>() <= 128, "a 1:1 conversation has one per connection");

impl Topic {
    pub(crate) fn new(room: RoomId, epoch: Epoch, last: Seq) -> Self {
        Self {
            room,
            last,
            seen: last,
            subscribers: SmallVec::new(),
            traffic: None,
            schedule: Schedule::Idle,
            pace: Pace::default(),
            epoch,
            unended: 0,
            refilling: false,
        }
    }

    /// Adds a subscriber and returns its position. In a running round it counts as not served yet; its mark says
    /// what it needs of the round.
    pub(crate) fn add(&mut self, slot: Slot, mark: Seq) -> u32 {
        self.subscribers.push(Subscriber { mark, slot, lagging: false });
        (self.subscribers.len() - 1) as u32
    }

    /// Events up to `last` have arrived, or will not come.
    pub(crate) fn arrived(&mut self, epoch: Epoch, last: Seq) {
        self.epoch = epoch;
        self.last = last;
        self.refilling &= last < self.seen;
    }

    /// Last event that was sent to everyone before `position`'s turn came: what follows is still to come to it.
    pub(crate) fn sent_before(&self, position: u32) -> Seq {
        let Some(traffic) = self.traffic.as_ref() else { return self.last };
        let round = if position >= traffic.cursor { traffic.round.as_slice() } else { &[] };
        let first = round.iter().chain(&traffic.pending).map(Item::first).find(|first| first.0 > 0);
        first.map_or(self.last, |first| Seq(first.0.saturating_sub(1)))
    }

    /// Up to where a `resync` may bring the subscriber at `position`: the last event that arrived, or just before the
    /// first one still to come to it that ends somebody's subscription, because that one must not be skipped.
    pub(crate) fn resync_end(&self, position: u32) -> Seq {
        let Some(traffic) = self.traffic.as_ref() else { return self.last };
        let round = if position >= traffic.cursor { traffic.round.as_slice() } else { &[] };
        let first = round.iter().chain(&traffic.pending).find(|item| item.removes_anyone());
        first.map_or(self.last, |item| Seq(item.first().0.saturating_sub(1)))
    }

    /// Removes the subscriber at `position`; calls `moved(slot, position)` for each one that lies elsewhere now.
    pub(crate) fn remove(&mut self, position: u32, mut moved: impl FnMut(Slot, u32)) {
        let mut hole = position as usize;
        if hole >= self.subscribers.len() {
            return;
        }
        if let Some(traffic) = self.traffic.as_mut()
            && hole < traffic.cursor as usize
        {
            // The last served one fills the hole, so that the hole lies at the border and an unserved one may fill it.
            traffic.cursor -= 1;
            let border = traffic.cursor as usize;
            if hole != border {
                self.subscribers.swap(hole, border);
                moved(self.subscribers[hole].slot, hole as u32);
                hole = border;
            }
        }
        self.subscribers.swap_remove(hole);
        if let Some(filler) = self.subscribers.get(hole) {
            moved(filler.slot, hole as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every subset removed at every point of a round: each one that stays is served exactly once.
    #[test]
    fn removal_during_a_round_neither_skips_nor_repeats_anyone() {
        const COUNT: u32 = 6;
        for removed in 0u32..1 << COUNT {
            for at in 0..=COUNT {
                let mut topic = Topic::new(RoomId::NIL, Epoch(1), Seq(0));
                let mut position_of = [0u32; COUNT as usize + 1];
                for slot in 0..COUNT {
                    position_of[slot as usize] = topic.add(Slot(slot), Seq(0));
                }
                topic.traffic = Some(Box::default());
                let mut served = Vec::new();
                let mut steps = 0;
                loop {
                    if steps == at {
                        for slot in (0..COUNT).filter(|s| removed & (1 << s) != 0) {
                            topic.remove(position_of[slot as usize], |moved, to| {
                                position_of[moved.0 as usize] = to
                            });
                        }
                        position_of[COUNT as usize] = topic.add(Slot(COUNT), Seq(0));
                    }
                    let cursor = topic.traffic.as_ref().expect("set above").cursor as usize;
                    let Some(next) = topic.subscribers.get(cursor) else {
                        if steps >= at {
                            break;
                        }
                        steps += 1;
                        continue;
                    };
                    served.push(next.slot.0);
                    topic.traffic.as_mut().expect("set above").cursor += 1;
                    steps += 1;
                }
                for (position, subscriber) in topic.subscribers.iter().enumerate() {
                    assert_eq!(position_of[subscriber.slot.0 as usize], position as u32);
                    let times = served.iter().filter(|s| **s == subscriber.slot.0).count();
                    assert_eq!(times, 1, "removed {removed:b} at {at}: {served:?}");
                }
            }
        }
    }
}
