//! Rooms that strangers find, and requests to become a member.

use std::ops::Bound;

use lynk_domain::{MediaId, Millis, Role, RoomId, RoomKind, UserId};

use super::MemoryRooms;
use crate::{
    DiscoverQuery, Discovered, JOIN_REQUESTS_PER_ROOM_MAX, JOIN_REQUESTS_PER_USER_MAX, JoinRequest,
    MEMBERS_COUNTED_MAX, MetaChange, MetaEvent, MetaOutcome, MetaTransaction, OwnRequest, listed_name,
    name_is_unique,
};

const DONE: MetaOutcome = MetaOutcome::Applied { version: 0, event: None };

impl MemoryRooms {
    pub(super) fn asking(&mut self, tx: &MetaTransaction) -> MetaOutcome {
        let wall = tx.wall;
        if let MetaChange::Ask { text } = &tx.change {
            return self.ask(tx, text);
        }
        let Some(room) = self.rooms.get_mut(&tx.room) else { return MetaOutcome::NoRequest };
        let user = match &tx.change {
            MetaChange::Accept { user } | MetaChange::Decline { user } => *user,
            _ => tx.actor,
        };
        let Some(request) = room.requests.get_mut(&user).filter(|request| request.is_open(wall)) else {
            return MetaOutcome::NoRequest;
        };
        match &tx.change {
            MetaChange::Accept { .. } => {
                return self.change(tx, &MetaEvent::Joined { user, role: Role::Member });
            }
            MetaChange::Decline { .. } => {
                let at = request.at;
                *request = JoinRequest { user, text: String::new(), at, declined: wall, by: tx.actor };
            }
            _ => drop(room.requests.remove(&user)),
        }
        DONE
    }

    fn ask(&mut self, tx: &MetaTransaction, text: &str) -> MetaOutcome {
        let (user, wall) = (tx.actor, tx.wall);
        let Some(room) = self.rooms.get(&tx.room).filter(|room| room.row.deleted == Millis(0)) else {
            return MetaOutcome::Missing;
        };
        match room.requests.get(&user) {
            Some(request) if request.is_open(wall) => return MetaOutcome::Exists,
            Some(request) if request.counts(wall) => return MetaOutcome::Declined,
            _ => {}
        }
        let open = |request: &&JoinRequest| request.is_open(wall);
        let of_room = room.requests.values().filter(open).count();
        let of_user = self.rooms.values().filter_map(|room| room.requests.get(&user)).filter(open).count();
        if of_room >= JOIN_REQUESTS_PER_ROOM_MAX as usize || of_user >= JOIN_REQUESTS_PER_USER_MAX as usize {
            return MetaOutcome::Limit;
        }
        for (id, room) in &mut self.rooms {
            room.requests.retain(|who, request| request.counts(wall) || *id != tx.room && *who != user);
        }
        let request =
            JoinRequest { user, text: text.to_owned(), at: wall, declined: Millis(0), by: UserId::NIL };
        if let Some(room) = self.rooms.get_mut(&tx.room) {
            room.requests.insert(user, request);
        }
        DONE
    }

    pub(super) fn discovered(&self, query: &DiscoverQuery) -> Vec<Discovered> {
        let seen = |room: &&super::Room| {
            let banned = room.bans.get(&query.user).is_some_and(|ban| ban.stands(query.wall));
            room.row.kind == RoomKind::Public && room.row.deleted == Millis(0) && !banned
        };
        let told = |room: &super::Room| Discovered {
            room: room.row.room,
            listed: listed_name(&room.row.name),
            name: room.row.name.clone(),
            description: room.row.description.clone(),
            avatar: room.row.avatar,
            members: (room.members.len() as u32).min(MEMBERS_COUNTED_MAX),
            members_max: room.row.members_max,
            member: room.members.contains_key(&query.user),
        };
        let mut found: Vec<_> = self.rooms.values().filter(seen).map(told).collect();
        found.retain(|row| {
            row.listed.starts_with(&query.prefix) && (&row.listed, row.room) > (&query.after.0, query.after.1)
        });
        found.sort_by(|a, b| (&a.listed, a.room).cmp(&(&b.listed, b.room)));
        found.truncate(query.limit as usize);
        found
    }

    pub(super) fn own_requests(
        &self,
        user: UserId,
        after: RoomId,
        wall: Millis,
        limit: u32,
    ) -> Vec<OwnRequest> {
        let later = self.rooms.range((Bound::Excluded(after), Bound::Unbounded));
        let own = later.filter_map(|(id, room)| {
            let request = room.requests.get(&user).filter(|request| request.counts(wall))?.clone();
            let shown = name_is_unique(room.row.kind);
            let name = if shown { room.row.name.clone() } else { String::new() };
            let avatar = if shown { room.row.avatar } else { MediaId::NIL };
            Some(OwnRequest { room: *id, name, avatar, request })
        });
        own.take(limit as usize).collect()
    }
}
