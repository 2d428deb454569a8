//! The connections of this shard, by slot.
//!
//! Everything an idle connection costs at home is here, in its one [`Subscriber`](super::topic::Subscriber) per
//! room and in its timer; the sizes are asserted, because they are multiplied by the number of connections.

use std::collections::VecDeque;

use lynk_domain::{IpPrefix, Nanos, RoomId, SessionId, ShardId, UserId};
use lynk_protocol::Resume;
use smallvec::SmallVec;

use crate::api::API_SLOTS_MAX;
use crate::bucket::Bucket;
use crate::io::Slot;
use crate::mail::{ConnectionRef, Principal};

/// How far a connection has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// Nobody has the slot.
    Free,
    /// A socket without a finished handshake.
    Accepted,
    /// A WebSocket without a valid `hello`.
    Upgraded,
    /// A WebSocket whose `hello` is being looked at elsewhere: its ticket was sent to the API bridge.
    Redeeming,
    /// Signed in.
    SignedIn,
    /// The driver was told to close it.
    Closing,
}

/// Where a session's subscription lies: `position` in the subscribers of `topic`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SubscriptionAt {
    pub(crate) topic: u32,
    pub(crate) position: u32,
}

/// What only some connections have.
#[derive(Default, Debug)]
pub(crate) struct Extra {
    /// Rooms of `hello` whose `subscribe` was not sent yet.
    pub(crate) resume: VecDeque<Resume>,
    /// Users whose presence is watched, ascending.
    pub(crate) watched: Vec<UserId>,
    /// Number of the last `Watch` that was posted, and what its rate leaves: kept as long as the connection, or a new
    /// list would start over.
    pub(crate) watch_number: u32,
    pub(crate) watches: Bucket,
    /// A presence event was shed since the queue was High: ask again at Low.
    pub(crate) presence_shed: bool,
    /// The connection is in the list of those whose rooms are tried again.
    pub(crate) stalled: bool,
    /// The connection is in the list of those whose rooms go on with the next flush.
    pub(crate) resuming: bool,
    /// Numbers of `history` commands that were not answered yet.
    pub(crate) pages: SmallVec<[u64; 2]>,
    /// `subscribe` commands that were not answered yet, in order.
    pub(crate) subscribing: Vec<Subscribing>,
}

/// A `subscribe` under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscribing {
    /// Its number; 0 for a room of `hello`.
    pub(crate) re: u64,
    pub(crate) room: RoomId,
    /// Number of the `unsubscribe` that came after it: answered after it, to keep their order.
    pub(crate) ended_by: Option<u64>,
}

impl Extra {
    fn is_empty(&self) -> bool {
        !self.stalled
            && !self.resuming
            && self.pages.is_empty()
            && self.resume.is_empty()
            && self.watched.is_empty()
            && self.watch_number == 0
            && self.subscribing.is_empty()
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Session {
    /// Its subscriptions, ascending by topic. Two fit without an allocation.
    pub(crate) subscriptions: SmallVec<[SubscriptionAt; 2]>,
    pub(crate) principal: Principal,
    pub(crate) extra: Option<Box<Extra>>,
    /// When `hello` is due, or the token expires.
    pub(crate) deadline: Nanos,
    /// When its next timer fires; others of its timers fire later and come to nothing.
    pub(crate) armed: Nanos,
    pub(crate) bucket: Bucket,
    /// Commands per second that the account leaves to this connection; 0 for no limit.
    pub(crate) share: u32,
    pub(crate) generation: u32,
    pub(crate) ip: IpPrefix,
    pub(crate) state: State,
    /// Commands without an answer.
    pub(crate) in_flight: u8,
    /// Refused frames in a row.
    pub(crate) strikes: u8,
    /// Timers of this connection in the wheel.
    pub(crate) timers: u8,
    /// The network's shard counts this connection.
    pub(crate) ip_counted: bool,
}

const _: () = assert!(size_of::<Session>() <= 112, "there is one per connection");
const _: () = assert!(size_of::<SubscriptionAt>() == 8, "two lie inside a session without making it larger");

impl Session {
    fn free() -> Self {
        Self {
            subscriptions: SmallVec::new(),
            principal: Principal { user: UserId::NIL, session: SessionId::NIL },
            extra: None,
            deadline: Nanos::NEVER,
            armed: Nanos::NEVER,
            bucket: Bucket::default(),
            share: 0,
            generation: 0,
            ip: IpPrefix([0; 7]),
            state: State::Free,
            in_flight: 0,
            strikes: 0,
            timers: 0,
            ip_counted: false,
        }
    }

    /// The rare parts, made when needed.
    pub(crate) fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// Gives back the rare parts when nothing is left of them.
    pub(crate) fn trim(&mut self) {
        if self.extra.as_ref().is_some_and(|extra| extra.is_empty()) {
            self.extra = None;
        }
    }

    /// Number for the next `Watch`; there is one only when `any`thing is to be posted.
    pub(crate) fn next_watch(&mut self, any: bool) -> u32 {
        if !any {
            return 0;
        }
        let number = &mut self.extra_mut().watch_number;
        *number += 1;
        *number
    }

    /// Takes the first `subscribe` under way that `is_it`, which has been answered.
    pub(crate) fn subscribe_answered(
        &mut self,
        is_it: impl FnMut(&Subscribing) -> bool,
    ) -> Option<Subscribing> {
        let extra = self.extra.as_mut()?;
        let at = extra.subscribing.iter().position(is_it)?;
        let answered = extra.subscribing.remove(at);
        self.trim();
        Some(answered)
    }

    /// The `history` of this number was answered, or came to nothing. (A client that gives one number to several commands
    /// may end the wait early, and then fills its own queue only.)
    pub(crate) fn page_answered(&mut self, re: u64) {
        let Some(extra) = self.extra.as_mut() else { return };
        if let Some(at) = extra.pages.iter().position(|page| *page == re) {
            extra.pages.swap_remove(at);
            self.trim();
        }
    }

    /// Position among the subscribers of a topic.
    pub(crate) fn position_in(&self, topic: u32) -> Option<u32> {
        let at = self.subscriptions.binary_search_by_key(&topic, |s| s.topic).ok()?;
        Some(self.subscriptions[at].position)
    }

    /// Notes, moves or adds a subscription.
    pub(crate) fn place(&mut self, topic: u32, position: u32) {
        match self.subscriptions.binary_search_by_key(&topic, |s| s.topic) {
            Ok(at) => self.subscriptions[at].position = position,
            Err(at) => self.subscriptions.insert(at, SubscriptionAt { topic, position }),
        }
    }

    /// Forgets a subscription and says where it lay.
    pub(crate) fn displace(&mut self, topic: u32) -> Option<u32> {
        let at = self.subscriptions.binary_search_by_key(&topic, |s| s.topic).ok()?;
        Some(self.subscriptions.remove(at).position)
    }
}

/// Sessions per chunk: growing never moves the others.
const CHUNK: usize = 256;

/// The table of connections. Slots are small numbers that the driver reuses.
#[derive(Default)]
pub(crate) struct Sessions {
    chunks: Vec<Box<[Session]>>,
    /// Commands of HTTP requests, by API slot. One that was answered stays until its slot is used again: it holds nothing.
    requests: Vec<Session>,
    /// Slots in use.
    count: usize,
}

impl Sessions {
    /// Fills a slot with a new connection and returns its generation.
    pub(crate) fn open(&mut self, slot: Slot, ip: IpPrefix) -> u32 {
        let index = slot.0 as usize;
        while self.chunks.len() * CHUNK <= index {
            self.chunks.push((0..CHUNK).map(|_| Session::free()).collect());
        }
        let session = &mut self.chunks[index / CHUNK][index % CHUNK];
        assert!(session.state == State::Free, "the driver opened a slot that is in use");
        let generation = session.generation.wrapping_add(1);
        *session = Session { generation, ip, state: State::Accepted, ..Session::free() };
        self.count += 1;
        generation
    }

    /// Fills an API slot with a request of `principal`.
    pub(crate) fn open_request(&mut self, slot: Slot, principal: Principal) {
        let index = slot.api_number().expect("the bridge uses API slots") as usize;
        assert!(index < API_SLOTS_MAX as usize, "the bridge has so many slots");
        if self.requests.len() <= index {
            self.requests.resize_with(index + 1, Session::free);
        }
        let session = &mut self.requests[index];
        let generation = session.generation.wrapping_add(1);
        *session = Session { generation, principal, state: State::SignedIn, ..Session::free() };
    }

    /// Empties a slot; its generation stays.
    pub(crate) fn close(&mut self, slot: Slot) {
        if let Some(session) = self.get_mut(slot) {
            *session = Session { generation: session.generation, ..Session::free() };
            self.count -= 1;
        }
    }

    #[cold]
    #[inline(never)]
    fn request(&self, slot: Slot) -> Option<&Session> {
        self.requests.get(slot.api_number()? as usize)
    }

    #[cold]
    #[inline(never)]
    fn request_mut(&mut self, slot: Slot) -> Option<&mut Session> {
        self.requests.get_mut(slot.api_number()? as usize)
    }

    /// The connection in a slot, `None` when it is free.
    pub(crate) fn get(&self, slot: Slot) -> Option<&Session> {
        let index = slot.0 as usize;
        // No chunk reaches as far as the API slots, so that connections pay nothing for them here.
        let Some(chunk) = self.chunks.get(index / CHUNK) else { return self.request(slot) };
        let session = chunk.get(index % CHUNK)?;
        (session.state != State::Free).then_some(session)
    }

    /// As [`Self::get`].
    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Session> {
        let index = slot.0 as usize;
        if index / CHUNK >= self.chunks.len() {
            return self.request_mut(slot);
        }
        let chunk = &mut self.chunks[index / CHUNK];
        let session = chunk.get_mut(index % CHUNK)?;
        (session.state != State::Free).then_some(session)
    }

    /// The signed-in connection that `to` means, `None` when it is gone or going.
    pub(crate) fn live(&mut self, to: ConnectionRef) -> Option<&mut Session> {
        self.get_mut(to.slot).filter(|s| s.generation == to.generation && s.state == State::SignedIn)
    }

    /// The name of the connection in a slot, for mail.
    pub(crate) fn reference(&self, shard: ShardId, slot: Slot) -> ConnectionRef {
        let generation = self.get(slot).map_or(0, |s| s.generation);
        ConnectionRef { shard, slot, generation }
    }

    /// Slots in use.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Slots from 0 to here may be in use.
    pub(crate) fn end(&self) -> u32 {
        (self.chunks.len() * CHUNK) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_slot_has_another_generation() {
        let mut sessions = Sessions::default();
        let slot = Slot(700);
        let first = sessions.open(slot, IpPrefix([4; 7]));
        let reference = sessions.reference(ShardId(0), slot);
        sessions.get_mut(slot).expect("open").state = State::SignedIn;
        assert!(sessions.live(reference).is_some());
        sessions.close(slot);
        assert!(sessions.get(slot).is_none() && sessions.len() == 0);
        assert_ne!(sessions.open(slot, IpPrefix([4; 7])), first);
        sessions.get_mut(slot).expect("open").state = State::SignedIn;
        assert!(sessions.live(reference).is_none());
    }

    #[test]
    fn subscriptions_are_found_by_topic() {
        let mut session = Session::free();
        for topic in [5, 1, 9, 3] {
            session.place(topic, topic * 10);
        }
        session.place(9, 1);
        assert_eq!(
            [1, 3, 5, 9, 4].map(|t| session.position_in(t)),
            [Some(10), Some(30), Some(50), Some(1), None]
        );
        assert_eq!((session.displace(3), session.displace(3)), (Some(30), None));
        assert!(session.subscriptions.is_sorted_by_key(|s| s.topic));
    }
}
