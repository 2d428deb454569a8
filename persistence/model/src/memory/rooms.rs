//! [`MemoryRooms`]: the relational side as tables. See the parent module.

mod asking;
mod moderation;
mod reports;
mod strangers;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use lynk_domain::{Key, LinkId, Millis, Ordinal, Role, RoomId, RoomKind, Seq, UserId};

use crate::dump::{DumpPage, RoomsMark, RoomsRow};
use crate::port::{Dump, Fill, LastFault, RoomStore};
use crate::{
    Act, BLOCKS_PER_USER_MAX, DirectFrom, DiscoverQuery, Discovered, JoinRequest, LINKS_PER_ROOM_MAX, Link,
    ListQuery, Listed, LoadedRoom, MemberRow, Membership, MessageRequest, MetaChange, MetaEvent, MetaOutcome,
    MetaTransaction, NAME_RESERVED_MILLIS, OutboxRow, OwnRequest, Personal, Report, ReportQuery,
    RequestState, RoomRow, RoomWish, Sentence, SentenceKind, StoreError, rooms_max, unique_name,
};

/// [`RoomStore`] in memory.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub struct MemoryRooms {
    rooms: BTreeMap<RoomId, Room>,
    /// (who blocks, whom) → their 1:1.
    blocks: BTreeMap<(UserId, UserId), RoomId>,
    results: BTreeMap<(UserId, RoomId, Key), MetaResult>,
    names: BTreeMap<String, NameHolder>,
    /// Who hides whether they are online.
    hidden: BTreeSet<UserId>,
    /// Who does not let everyone begin a conversation of two.
    direct_from: BTreeMap<UserId, DirectFrom>,
    /// What moderators did, by room and number.
    acts: BTreeMap<(RoomId, u64), Act>,
    /// What people report, by room and number.
    reports: BTreeMap<(RoomId, u64), Report>,
}

/// One room's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Room {
    row: RoomRow,
    members: BTreeMap<UserId, MemberRow>,
    bans: BTreeMap<UserId, Sentence>,
    mutes: BTreeMap<UserId, Sentence>,
    pins: BTreeSet<Seq>,
    links: BTreeMap<LinkId, Link>,
    requests: BTreeMap<UserId, JoinRequest>,
    message_request: Option<MessageRequest>,
    outbox: BTreeMap<u64, OutboxRow>,
}

/// Result of an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MetaResult {
    content_hash: u64,
    version: u64,
    seq: Seq,
    wall: Millis,
}

/// Who has a unique name, or gave it up and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NameHolder {
    room: RoomId,
    freed: Option<Millis>,
}

impl MemoryRooms {
    /// Takes a unique name for `room`; `false` when another room has it or gave it up too recently.
    fn take_name(&mut self, room: RoomId, folded: &str, wall: Millis) -> bool {
        if let Some(holder) = self.names.get(folded).filter(|holder| holder.room != room) {
            let free = holder.freed.is_some_and(|at| wall.0 >= at.0.saturating_add(NAME_RESERVED_MILLIS));
            if !free {
                return false;
            }
        }
        self.names.insert(folded.to_owned(), NameHolder { room, freed: None });
        true
    }

    /// Why `user` may not become a member by `actor`.
    fn refuses(&self, actor: UserId, user: UserId, kind: RoomKind) -> Option<MetaOutcome> {
        let apart = self.blocks.contains_key(&(actor, user)) || self.blocks.contains_key(&(user, actor));
        if user != actor && apart {
            return Some(MetaOutcome::Blocked);
        }
        let rooms = self.rooms.values().filter(|room| room.members.contains_key(&user)).count();
        (rooms >= rooms_max(actor, user, kind) as usize).then_some(MetaOutcome::Limit)
    }

    /// Whether `user` takes no conversation of two from `actor`.
    fn is_closed(&self, actor: UserId, user: UserId) -> bool {
        match self.direct_from.get(&user) {
            None | Some(DirectFrom::Everyone) => false,
            Some(DirectFrom::Rooms) => actor != user && !self.knows(user, actor),
            Some(DirectFrom::Nobody) => actor != user,
        }
    }

    fn block(&mut self, room: RoomId, by: UserId, user: UserId, on: bool) -> MetaOutcome {
        if !on {
            self.blocks.remove(&(by, user));
        } else if !self.blocks.contains_key(&(by, user)) {
            let of = self.blocks.range((by, UserId([0; 16]))..=(by, UserId([0xff; 16])));
            if of.count() >= BLOCKS_PER_USER_MAX as usize {
                return MetaOutcome::Limit;
            }
            self.blocks.insert((by, user), room);
        }
        MetaOutcome::Applied { version: 0, event: None }
    }

    fn link(&mut self, tx: &MetaTransaction, link: &Link) -> MetaOutcome {
        let Some(room) = self.rooms.get_mut(&tx.room).filter(|room| room.row.deleted == Millis(0)) else {
            return MetaOutcome::Missing;
        };
        if room.links.contains_key(&link.id) {
            return MetaOutcome::Exists;
        }
        if room.links.values().filter(|link| link.lives(tx.wall)).count() >= LINKS_PER_ROOM_MAX as usize {
            return MetaOutcome::Limit;
        }
        room.links.retain(|_, link| link.lives(tx.wall));
        room.links.insert(link.id, link.clone());
        MetaOutcome::Applied { version: 0, event: None }
    }

    fn unlink(&mut self, room: RoomId, link: LinkId) -> MetaOutcome {
        match self.rooms.get_mut(&room).and_then(|room| room.links.remove(&link)) {
            Some(_) => MetaOutcome::Applied { version: 0, event: None },
            None => MetaOutcome::NoLink,
        }
    }

    fn enter(&mut self, tx: &MetaTransaction, hash: &[u8; 32]) -> MetaOutcome {
        let Some(room) = self.rooms.get(&tx.room) else { return MetaOutcome::NoLink };
        let mut links = room.links.values();
        let Some(id) = links.find(|link| link.hash == *hash && link.lives(tx.wall)).map(|link| link.id)
        else {
            return MetaOutcome::NoLink;
        };
        let outcome = self.change(tx, &MetaEvent::Joined { user: tx.actor, role: Role::Member });
        if matches!(outcome, MetaOutcome::Applied { .. })
            && let Some(link) = self.rooms.get_mut(&tx.room).and_then(|room| room.links.get_mut(&id))
        {
            link.uses += 1;
        }
        outcome
    }

    fn create(&mut self, tx: &MetaTransaction, row: &RoomRow, members: &[(UserId, Role)]) -> MetaOutcome {
        if self.rooms.contains_key(&tx.room) {
            return MetaOutcome::Exists;
        }
        if let Some(refusal) = members.iter().find_map(|(user, _)| self.refuses(tx.actor, *user, row.kind)) {
            return refusal;
        }
        if let Some(name) = unique_name(row.kind, &row.name)
            && !self.take_name(tx.room, &name, tx.wall)
        {
            return MetaOutcome::NameTaken;
        }
        let first = |(user, role): &(UserId, Role)| {
            let by_stranger = row.kind != RoomKind::Direct && self.is_stranger(tx.actor, *user);
            (*user, MemberRow { by_stranger, ..member(*user, *role, 1) })
        };
        let event = MetaEvent::Created { kind: row.kind, name: row.name.clone() };
        let room = Room {
            row: RoomRow { room: tx.room, version: 1, ..row.clone() },
            members: members.iter().map(first).collect(),
            bans: BTreeMap::new(),
            mutes: BTreeMap::new(),
            pins: BTreeSet::new(),
            links: BTreeMap::new(),
            requests: BTreeMap::new(),
            message_request: None,
            outbox: BTreeMap::from([(1, outbox_row(tx, 1, &event))]),
        };
        self.rooms.insert(tx.room, room);
        MetaOutcome::Applied { version: 1, event: Some(event) }
    }

    fn change(&mut self, tx: &MetaTransaction, event: &MetaEvent) -> MetaOutcome {
        let Some(room) = self.rooms.get(&tx.room).filter(|room| room.row.deleted == Millis(0)) else {
            return MetaOutcome::Missing;
        };
        if matches!(event, MetaEvent::Created { .. }) {
            return MetaOutcome::Exists;
        }
        if let MetaEvent::Joined { user, .. } = event
            && !room.members.contains_key(user)
            && let Some(refusal) = self.refuses(tx.actor, *user, room.row.kind)
        {
            return refusal;
        }
        let by_stranger = match (&tx.change, event) {
            // Others than by their own command, a link or a request of theirs.
            (MetaChange::Event(_), MetaEvent::Joined { user, .. }) => self.is_stranger(tx.actor, *user),
            _ => false,
        };
        if let MetaEvent::Joined { user, .. } = event
            && by_stranger
            && self.is_closed(tx.actor, *user)
        {
            return MetaOutcome::Closed;
        }
        let old = unique_name(room.row.kind, &room.row.name);
        let new = match event {
            MetaEvent::Settings { name, more, .. } => {
                unique_name(more.as_ref().map_or(room.row.kind, |more| more.kind), name)
            }
            MetaEvent::Deleted => None,
            _ => old.clone(),
        };
        if old != new {
            if new.is_some_and(|new| !self.take_name(tx.room, &new, tx.wall)) {
                return MetaOutcome::NameTaken;
            }
            if let Some(old) = old {
                self.names.entry(old).and_modify(|holder| holder.freed = Some(tx.wall));
            }
        }
        let Some(room) = self.rooms.get_mut(&tx.room) else { return MetaOutcome::Missing };
        room.row.version += 1;
        let version = room.row.version;
        room.apply(tx, event, by_stranger);
        room.outbox.insert(version, outbox_row(tx, version, event));
        MetaOutcome::Applied { version, event: Some(event.clone()) }
    }
}

fn member(user: UserId, role: Role, joined_version: u64) -> MemberRow {
    let personal = Personal::default();
    MemberRow { user, role, joined_version, joined_seq: Seq(0), personal, by_stranger: false }
}

fn outbox_row(tx: &MetaTransaction, version: u64, event: &MetaEvent) -> OutboxRow {
    OutboxRow { version, actor: tx.actor, key: tx.key, wall: tx.wall, event: event.clone() }
}

impl Room {
    fn apply(&mut self, tx: &MetaTransaction, event: &MetaEvent, by_stranger: bool) {
        let (by, at) = (tx.actor, tx.wall);
        match event {
            MetaEvent::Created { .. } => {}
            MetaEvent::Joined { user, role } => {
                let joined_version = self.row.version;
                let row = MemberRow { by_stranger, ..member(*user, *role, joined_version) };
                self.members.insert(*user, row);
                self.requests.remove(user);
            }
            MetaEvent::Left { user } | MetaEvent::Kicked { user, .. } => {
                self.members.remove(user);
            }
            MetaEvent::Banned { user, until, reason } => {
                self.members.remove(user);
                self.requests.remove(user);
                let reason = reason.clone();
                self.bans.insert(*user, Sentence { user: *user, until: *until, reason, by, at });
            }
            MetaEvent::Unbanned { user } => {
                self.bans.remove(user);
            }
            MetaEvent::Muted { user, until } => {
                let reason = String::new();
                self.mutes.insert(*user, Sentence { user: *user, until: *until, reason, by, at });
            }
            MetaEvent::Unmuted { user } => {
                self.mutes.remove(user);
            }
            MetaEvent::Role { user, role } => self.set_role(*user, *role),
            MetaEvent::Transferred { user } => {
                self.set_role(by, Role::Admin);
                self.set_role(*user, Role::Owner);
            }
            MetaEvent::Pinned { target, on: true } => {
                self.pins.insert(*target);
            }
            MetaEvent::Pinned { target, on: false } => {
                self.pins.remove(target);
            }
            MetaEvent::Settings { .. } => self.row.take_settings(event),
            MetaEvent::Deleted => {
                self.row.delete(at);
                self.members.clear();
                self.bans.clear();
                self.mutes.clear();
                self.pins.clear();
                self.links.clear();
                self.requests.clear();
            }
        }
    }

    fn set_role(&mut self, user: UserId, role: Role) {
        if let Some(member) = self.members.get_mut(&user) {
            member.role = role;
        }
    }
}

impl RoomStore for MemoryRooms {
    async fn load(&self, room: RoomId) -> Result<LoadedRoom, StoreError> {
        let blocks = self.blocks.iter().filter(|(_, at)| **at == room).map(|(pair, _)| *pair).collect();
        let Some(found) = self.rooms.get(&room) else {
            return Ok(LoadedRoom { blocks, ..LoadedRoom::default() });
        };
        Ok(LoadedRoom {
            row: Some(found.row.clone()),
            members: found.members.values().copied().collect(),
            bans: found.bans.values().cloned().collect(),
            mutes: found.mutes.values().cloned().collect(),
            pins: found.pins.iter().copied().collect(),
            links: found.links.values().cloned().collect(),
            requests: found.requests.values().cloned().collect(),
            message_request: found.message_request,
            blocks,
            outbox: found.outbox.values().cloned().collect(),
            ..LoadedRoom::default()
        })
    }

    async fn apply(&mut self, tx: &MetaTransaction) -> Result<MetaOutcome, StoreError> {
        let scope = (tx.actor, tx.room, tx.key);
        if let Some(known) = self.results.get(&scope) {
            if known.content_hash != tx.content_hash {
                return Ok(MetaOutcome::Conflict);
            }
            return Ok(self.repeated(tx, known.version, known.seq));
        }
        let outcome = match &tx.change {
            MetaChange::Create { row, members } => self.create(tx, row, members),
            MetaChange::Begin { row, user, requests_max } => self.begin(tx, row, *user, *requests_max),
            MetaChange::Conversation(change) => self.converse(tx, *change),
            MetaChange::Event(event) => self.change(tx, event),
            MetaChange::Block { by, user, on } => self.block(tx.room, *by, *user, *on),
            MetaChange::Link(link) => self.link(tx, link),
            MetaChange::Unlink { link } => self.unlink(tx.room, *link),
            MetaChange::Enter { hash } => self.enter(tx, hash),
            MetaChange::Ask { .. }
            | MetaChange::Withdraw
            | MetaChange::Accept { .. }
            | MetaChange::Decline { .. } => self.asking(tx),
            MetaChange::Report(report) => self.report(tx, report),
            MetaChange::Resolve(resolution) => self.resolve(tx, resolution),
        };
        if let Some((version, _)) = outcome.written() {
            if !tx.key.is_nil() {
                let result =
                    MetaResult { content_hash: tx.content_hash, version, seq: Seq(0), wall: tx.wall };
                self.results.insert(scope, result);
            }
            if let Some(act) = Act::of(tx) {
                self.keep_act(tx.room, &act);
            }
            if matches!(tx.change, MetaChange::Event(MetaEvent::Deleted)) {
                self.forget_acts(tx.room);
            }
        }
        Ok(outcome)
    }

    async fn result_hash(&self, room: RoomId, actor: UserId, key: Key) -> Result<Option<u64>, StoreError> {
        Ok(self.results.get(&(actor, room, key)).map(|result| result.content_hash))
    }

    async fn confirm(&mut self, room: RoomId, version: u64, seq: Seq) -> Result<(), StoreError> {
        let Some(found) = self.rooms.get_mut(&room) else { return Ok(()) };
        found.outbox.remove(&version);
        for member in found.members.values_mut().filter(|m| m.joined_version == version) {
            if member.joined_seq == Seq(0) {
                member.joined_seq = seq;
            }
        }
        let of_room = self.results.iter_mut().filter(|((_, at, _), _)| *at == room);
        for (_, result) in of_room.filter(|(_, result)| result.version == version && result.seq == Seq(0)) {
            result.seq = seq;
        }
        Ok(())
    }

    async fn memberships(
        &self,
        user: UserId,
        after: RoomId,
        limit: u32,
    ) -> Result<Vec<Membership>, StoreError> {
        let mut found = Vec::new();
        for (id, room) in self.rooms.range((Bound::Excluded(after), Bound::Unbounded)) {
            let Some(member) = room.members.get(&user) else { continue };
            if room.message_request.is_some_and(|request| request.keeps_from(user)) {
                continue;
            }
            if found.len() >= limit as usize {
                break;
            }
            let direct = room.row.kind == RoomKind::Direct;
            let peer = room.members.keys().find(|other| direct && **other != user).copied();
            found.push(Membership {
                room: *id,
                kind: room.row.kind,
                name: room.row.name.clone(),
                avatar: room.row.avatar,
                role: member.role,
                peer: peer.unwrap_or_default(),
                request: room.message_request.and_then(|request| request.side(user)),
                personal: member.personal,
            });
        }
        Ok(found)
    }

    async fn find_name(&self, folded: &str) -> Result<Option<RoomId>, StoreError> {
        Ok(self.names.get(folded).filter(|holder| holder.freed.is_none()).map(|holder| holder.room))
    }

    async fn name_is_taken(&self, folded: &str, wall: Millis) -> Result<bool, StoreError> {
        let closed = |holder: &NameHolder| {
            holder.freed.is_none_or(|at| wall.0 < at.0.saturating_add(NAME_RESERVED_MILLIS))
        };
        Ok(self.names.get(folded).is_some_and(closed))
    }

    async fn names(&self, after: &str, limit: u32) -> Result<Vec<String>, StoreError> {
        let rest = self.names.range::<str, _>((Bound::Excluded(after), Bound::Unbounded));
        Ok(rest.take(limit as usize).map(|(name, _)| name.clone()).collect())
    }

    async fn blocks(&self, user: UserId) -> Result<Vec<(UserId, UserId)>, StoreError> {
        let named = |(by, whom): &&(UserId, UserId)| *by == user || *whom == user;
        Ok(self.blocks.keys().filter(named).copied().collect())
    }

    async fn apart(&self, user: UserId, others: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        let apart = |other: &&UserId| {
            [(user, **other), (**other, user)].iter().any(|pair| self.blocks.contains_key(pair))
        };
        Ok(others.iter().filter(apart).copied().collect())
    }

    async fn blocked(&self, by: UserId, after: UserId, limit: u32) -> Result<Vec<UserId>, StoreError> {
        let later = self.blocks.keys().filter(|(who, whom)| *who == by && *whom > after);
        Ok(later.take(limit as usize).map(|(_, whom)| *whom).collect())
    }

    async fn set_hidden(&mut self, user: UserId, hidden: bool) -> Result<(), StoreError> {
        if hidden {
            self.hidden.insert(user);
        } else {
            self.hidden.remove(&user);
        }
        Ok(())
    }

    async fn hidden(&self, users: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        Ok(users.iter().filter(|user| self.hidden.contains(user)).copied().collect())
    }

    async fn awaits(&self, room: RoomId) -> Result<bool, StoreError> {
        let request = self.rooms.get(&room).and_then(|room| room.message_request);
        Ok(request.is_some_and(|request| request.state != RequestState::Accepted))
    }

    async fn set_direct_from(&mut self, user: UserId, from: DirectFrom) -> Result<(), StoreError> {
        match from {
            DirectFrom::Everyone => self.direct_from.remove(&user),
            _ => self.direct_from.insert(user, from),
        };
        Ok(())
    }

    async fn direct_from(&self, user: UserId) -> Result<DirectFrom, StoreError> {
        Ok(self.direct_from.get(&user).copied().unwrap_or_default())
    }

    async fn set_wish(&mut self, room: RoomId, user: UserId, wish: RoomWish) -> Result<bool, StoreError> {
        let member = self.rooms.get_mut(&room).and_then(|room| room.members.get_mut(&user));
        Ok(member.map(|member| member.personal.wish = wish).is_some())
    }

    async fn clear(&mut self, room: RoomId, user: UserId, seq: Seq, n: Ordinal) -> Result<bool, StoreError> {
        let Some(member) = self.rooms.get_mut(&room).and_then(|room| room.members.get_mut(&user)) else {
            return Ok(false);
        };
        if seq > member.personal.cleared {
            (member.personal.cleared, member.personal.cleared_n) = (seq, n);
        }
        Ok(true)
    }

    async fn wrote(&mut self, room: RoomId, user: UserId) -> Result<(), StoreError> {
        if let Some(member) = self.rooms.get_mut(&room).and_then(|room| room.members.get_mut(&user)) {
            member.by_stranger = false;
        }
        Ok(())
    }

    async fn forget_requests(&mut self, user: UserId) -> Result<(), StoreError> {
        for room in self.rooms.values_mut() {
            let Some(request) = room.message_request.filter(|one| one.asker == user || one.user == user)
            else {
                continue;
            };
            room.message_request = None;
            if request.state != RequestState::Accepted {
                room.members.clear();
            }
        }
        Ok(())
    }

    async fn retained(
        &self,
        every: bool,
        after: RoomId,
        limit: u32,
    ) -> Result<Vec<(RoomId, u32)>, StoreError> {
        let later = self.rooms.range((Bound::Excluded(after), Bound::Unbounded));
        let rooms = later.map(|(room, known)| (*room, known.row.retention_days));
        Ok(rooms.filter(|(_, days)| every || *days > 0).take(limit as usize).collect())
    }

    async fn ending(&self, after: RoomId, limit: u32) -> Result<Vec<RoomId>, StoreError> {
        let later = self.rooms.range((Bound::Excluded(after), Bound::Unbounded));
        let ending = later.filter(|(_, room)| room.row.deleted > Millis(0) && !room.outbox.is_empty());
        Ok(ending.take(limit as usize).map(|(room, _)| *room).collect())
    }

    async fn may_see(&self, watcher: UserId, user: UserId) -> Result<bool, StoreError> {
        let apart = self.blocks.contains_key(&(watcher, user)) || self.blocks.contains_key(&(user, watcher));
        let shared = |room: &Room| {
            let counts = room.row.kind != RoomKind::Direct || room.row.creator != watcher;
            let waits = room.message_request.is_some_and(|request| request.state != RequestState::Accepted);
            counts && !waits && room.members.contains_key(&watcher) && room.members.contains_key(&user)
        };
        Ok(!apart && !self.hidden.contains(&user) && self.rooms.values().any(shared))
    }

    async fn list(&self, room: RoomId, query: &ListQuery) -> Result<Listed, StoreError> {
        let found = self.rooms.get(&room);
        Ok(match *query {
            ListQuery::Sentences { what, after, wall, limit } => {
                let of = found.map(|room| match what {
                    SentenceKind::Ban => &room.bans,
                    SentenceKind::Mute => &room.mutes,
                });
                let rows = of.into_iter().flat_map(BTreeMap::values);
                let wanted = rows.filter(|row| row.user > after && row.stands(wall));
                Listed::Sentences(wanted.take(limit as usize).cloned().collect())
            }
            ListQuery::Requests { after, wall, limit } => {
                let rows = found.into_iter().flat_map(|room| room.requests.values());
                let open = rows.filter(|row| row.user > after && row.is_open(wall));
                Listed::Requests(open.take(limit as usize).cloned().collect())
            }
            ListQuery::Reports { open, before, viewer, limit } => {
                Listed::Reports(self.reports_of(room, (open, before, viewer, limit)))
            }
            ListQuery::Acts { before, wall, limit } => Listed::Acts(self.acts(room, before, wall, limit)),
        })
    }

    async fn reports(&self, query: &ReportQuery) -> Result<Vec<Report>, StoreError> {
        Ok(self.all_reports(query))
    }

    async fn note(&mut self, room: RoomId, act: &Act) -> Result<(), StoreError> {
        self.keep_act(room, act);
        Ok(())
    }

    async fn discover(&self, query: &DiscoverQuery) -> Result<Vec<Discovered>, StoreError> {
        Ok(self.discovered(query))
    }

    async fn requests_of(
        &self,
        user: UserId,
        after: RoomId,
        wall: Millis,
        limit: u32,
    ) -> Result<Vec<OwnRequest>, StoreError> {
        Ok(self.own_requests(user, after, wall, limit))
    }
}

impl LastFault for MemoryRooms {}

impl Dump for MemoryRooms {
    type Row = RoomsRow;

    async fn rows(
        &mut self,
        mark: &RoomsMark,
        limit: u32,
    ) -> Result<DumpPage<RoomsRow, RoomsMark>, StoreError> {
        let size = limit as usize;
        let mut rows = Vec::new();
        match mark {
            RoomsMark::Rooms(after) => {
                let later: Vec<_> =
                    self.rooms.keys().filter(|room| *room > after).take(size).copied().collect();
                for room in later {
                    let loaded = LoadedRoom { blocks: Vec::new(), ..self.load(room).await? };
                    rows.push((RoomsRow::Room(Box::new(loaded)), RoomsMark::Rooms(room)));
                }
            }
            RoomsMark::Names(after) => {
                let later = self.names.iter().filter(|(folded, _)| folded.as_bytes() > after.as_slice());
                rows.extend(later.take(size).map(|(folded, holder)| {
                    let (room, freed) = (holder.room, holder.freed);
                    let row = RoomsRow::Name { folded: folded.clone(), room, freed };
                    (row, RoomsMark::Names(folded.clone().into_bytes()))
                }));
            }
            RoomsMark::Blocks(by, user) => {
                let later = self.blocks.iter().filter(|(pair, _)| **pair > (*by, *user));
                rows.extend(later.take(size).map(|((by, user), room)| {
                    let row = RoomsRow::Block { by: *by, user: *user, room: *room };
                    (row, RoomsMark::Blocks(*by, *user))
                }));
            }
            RoomsMark::Results(actor, room, key) => {
                let later = self.results.iter().filter(|(scope, _)| **scope > (*actor, *room, *key));
                rows.extend(later.take(size).map(|((actor, room, key), result)| {
                    let MetaResult { content_hash, version, seq, wall } = *result;
                    let (actor, room, key) = (*actor, *room, *key);
                    let row = RoomsRow::Result { actor, room, key, content_hash, version, seq, wall };
                    (row, RoomsMark::Results(actor, room, key))
                }));
            }
            RoomsMark::Hidden(after) => {
                let later = self.hidden.iter().filter(|user| *user > after).take(size);
                rows.extend(later.map(|user| (RoomsRow::Hidden { user: *user }, RoomsMark::Hidden(*user))));
            }
            RoomsMark::DirectFrom(after) => {
                let later = self.direct_from.range((Bound::Excluded(*after), Bound::Unbounded)).take(size);
                rows.extend(later.map(|(user, from)| {
                    let row = RoomsRow::DirectFrom { user: *user, from: *from };
                    (row, RoomsMark::DirectFrom(*user))
                }));
            }
            RoomsMark::Acts(room, number) => {
                let later = self.acts.range((Bound::Excluded((*room, *number)), Bound::Unbounded)).take(size);
                rows.extend(later.map(|((room, number), act)| {
                    let row = RoomsRow::Act { room: *room, act: act.clone() };
                    (row, RoomsMark::Acts(*room, *number))
                }));
            }
            RoomsMark::Reports(room, number) => {
                let later =
                    self.reports.range((Bound::Excluded((*room, *number)), Bound::Unbounded)).take(size);
                rows.extend(later.map(|((room, number), report)| {
                    let row = RoomsRow::Report(Box::new(report.clone()));
                    (row, RoomsMark::Reports(*room, *number))
                }));
            }
        }
        Ok(DumpPage::at(mark, rows, limit))
    }
}

impl Fill for MemoryRooms {
    type Row = RoomsRow;

    async fn fill(&mut self, rows: &[RoomsRow]) -> Result<(), StoreError> {
        for row in rows {
            match row {
                RoomsRow::Room(loaded) => {
                    let Some(row) = loaded.row.clone() else { continue };
                    let room = Room {
                        members: loaded.members.iter().map(|member| (member.user, *member)).collect(),
                        bans: loaded.bans.iter().map(|ban| (ban.user, ban.clone())).collect(),
                        mutes: loaded.mutes.iter().map(|mute| (mute.user, mute.clone())).collect(),
                        pins: loaded.pins.iter().copied().collect(),
                        links: loaded.links.iter().map(|link| (link.id, link.clone())).collect(),
                        requests: loaded.requests.iter().map(|one| (one.user, one.clone())).collect(),
                        message_request: loaded.message_request,
                        outbox: loaded.outbox.iter().map(|row| (row.version, row.clone())).collect(),
                        row,
                    };
                    self.rooms.insert(room.row.room, room);
                }
                RoomsRow::Hidden { user } => {
                    self.hidden.insert(*user);
                }
                RoomsRow::DirectFrom { user, from } => {
                    self.direct_from.insert(*user, *from);
                }
                RoomsRow::Act { room, act } => {
                    self.acts.insert((*room, act.number), act.clone());
                }
                RoomsRow::Report(report) => {
                    self.reports.insert((report.room, report.number), (**report).clone());
                }
                RoomsRow::Name { folded, room, freed } => {
                    self.names.insert(folded.clone(), NameHolder { room: *room, freed: *freed });
                }
                RoomsRow::Block { by, user, room } => {
                    self.blocks.insert((*by, *user), *room);
                }
                RoomsRow::Result { actor, room, key, content_hash, version, seq, wall } => {
                    let (content_hash, version, seq, wall) = (*content_hash, *version, *seq, *wall);
                    self.results
                        .insert((*actor, *room, *key), MetaResult { content_hash, version, seq, wall });
                }
            }
        }
        Ok(())
    }

    async fn take_out(&mut self, rows: &[RoomsRow]) -> Result<(), StoreError> {
        if rows.iter().any(|row| matches!(row, RoomsRow::Room(_) | RoomsRow::Name { .. })) {
            return Err(StoreError::Corrupt);
        }
        for row in rows {
            match row {
                RoomsRow::Room(_) | RoomsRow::Name { .. } => {}
                RoomsRow::Block { by, user, .. } => drop(self.blocks.remove(&(*by, *user))),
                RoomsRow::Hidden { user } => {
                    self.hidden.remove(user);
                }
                RoomsRow::DirectFrom { user, .. } => {
                    self.direct_from.remove(user);
                }
                RoomsRow::Act { room, act } => {
                    self.acts.remove(&(*room, act.number));
                }
                RoomsRow::Report(report) => {
                    self.reports.remove(&(report.room, report.number));
                }
                RoomsRow::Result { actor, room, key, .. } => {
                    self.results.remove(&(*actor, *room, *key));
                }
            }
        }
        Ok(())
    }
}
