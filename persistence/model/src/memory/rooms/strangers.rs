//! Conversations of two that strangers begin.

use lynk_domain::{Millis, Ordinal, Role, Seq, UserId};

use super::MemoryRooms;
use crate::{
    MESSAGE_REQUESTS_RECEIVED_MAX, MessageRequest, MetaChange, MetaOutcome, MetaTransaction,
    ROOMS_BY_OTHERS_MAX, RequestChange, RequestState, RoomRow, may_ask_at,
};

const DONE: MetaOutcome = MetaOutcome::Applied { version: 0, event: None };

impl MemoryRooms {
    /// Whether `user` shares a room with `other`: not one that is not accepted, nor one to which a stranger added `user`.
    pub(super) fn knows(&self, user: UserId, other: UserId) -> bool {
        let shared = |room: &super::Room| {
            let waits = room.message_request.is_some_and(|request| request.state != RequestState::Accepted);
            let own = room.members.get(&user).is_some_and(|member| !member.by_stranger);
            own && !waits && room.members.contains_key(&other)
        };
        self.rooms.values().any(shared)
    }

    /// Whether `actor` is somebody else than `user`, and a stranger to it.
    pub(super) fn is_stranger(&self, actor: UserId, user: UserId) -> bool {
        actor != user && !self.knows(user, actor)
    }

    /// What a repeated command came to.
    pub(super) fn repeated(&self, tx: &MetaTransaction, version: u64, seq: Seq) -> MetaOutcome {
        let waits = || {
            let request = self.rooms.get(&tx.room).and_then(|room| room.message_request);
            request.is_some_and(|request| request.state == RequestState::Pending)
        };
        match &tx.change {
            MetaChange::Begin { .. } if waits() => MetaOutcome::Requested { version, repeated: Some(seq) },
            _ => MetaOutcome::Repeated { version, seq },
        }
    }

    pub(super) fn begin(
        &mut self,
        tx: &MetaTransaction,
        row: &RoomRow,
        user: UserId,
        requests_max: u32,
    ) -> MetaOutcome {
        let stranger = !self.knows(user, tx.actor);
        let members = [(tx.actor, Role::Member), (user, Role::Member)];
        if self.rooms.contains_key(&tx.room) {
            return MetaOutcome::Exists;
        }
        if let Some(refusal) = members.iter().find_map(|(who, _)| self.refuses(tx.actor, *who, row.kind)) {
            return refusal;
        }
        if self.is_closed(tx.actor, user) {
            return MetaOutcome::Closed;
        }
        if stranger && let Some(refusal) = self.refuses_request(tx, user, requests_max, true) {
            return refusal;
        }
        match self.create(tx, row, &members) {
            MetaOutcome::Applied { version, .. } if stranger => {
                if let Some(room) = self.rooms.get_mut(&tx.room) {
                    room.message_request = Some(MessageRequest::new(tx.actor, user, tx.wall, Ordinal(0)));
                }
                MetaOutcome::Requested { version, repeated: None }
            }
            outcome => outcome,
        }
    }

    /// Why the actor may not ask `user`; `joins`: the room is one more of the user's. That it was declined makes no difference.
    fn refuses_request(
        &self,
        tx: &MetaTransaction,
        user: UserId,
        requests_max: u32,
        joins: bool,
    ) -> Option<MetaOutcome> {
        let rooms = self.rooms.values().filter(|room| room.members.contains_key(&user)).count();
        let requests = || self.rooms.values().filter_map(|room| room.message_request);
        let waiting = requests().filter(|one| one.user == user && one.state == RequestState::Pending).count();
        let full = waiting >= MESSAGE_REQUESTS_RECEIVED_MAX as usize || rooms >= ROOMS_BY_OTHERS_MAX as usize;
        if joins && full {
            return Some(MetaOutcome::Closed);
        }
        let mut asked: Vec<Millis> =
            requests().filter(|one| one.asker == tx.actor).map(|one| one.at).collect();
        asked.sort_unstable_by(|a, b| b.cmp(a));
        may_ask_at(&asked, requests_max, tx.wall).map(|until| MetaOutcome::TooOften { until })
    }

    pub(super) fn converse(&mut self, tx: &MetaTransaction, change: RequestChange) -> MetaOutcome {
        let found = self.rooms.get(&tx.room).and_then(|room| room.message_request);
        let turned = found.and_then(|request| request.turned(tx.actor, change, tx.wall));
        let Some((next, cleared)) = turned else { return MetaOutcome::NoRequest };
        let user = next.user;
        if let RequestChange::Again { requests_max, .. } = change
            && found != Some(next)
        {
            if self.are_apart(tx.actor, user) {
                return MetaOutcome::Blocked;
            }
            if self.is_closed(tx.actor, user) {
                return MetaOutcome::Closed;
            }
            if let Some(refusal) = self.refuses_request(tx, user, requests_max, false) {
                return refusal;
            }
        }
        let Some(room) = self.rooms.get_mut(&tx.room) else { return MetaOutcome::NoRequest };
        room.message_request = Some(next);
        if let Some((seq, n)) = cleared
            && let Some(member) = room.members.get_mut(&user)
            && seq > member.personal.cleared
        {
            (member.personal.cleared, member.personal.cleared_n) = (seq, n);
        }
        DONE
    }

    fn are_apart(&self, actor: UserId, user: UserId) -> bool {
        self.blocks.contains_key(&(actor, user)) || self.blocks.contains_key(&(user, actor))
    }
}
