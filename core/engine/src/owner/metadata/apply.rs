//! What a metadata event does: to the room in memory, in the journal, and to those who are told.

use std::sync::Arc;

use lynk_domain::{Key, Lsn, Role, RoomKind, Seq, ShardId, UserId, shard_of_user};
use lynk_model::{
    Body, LoadedRoom, MetaChange, MetaEvent, MetaTransaction, OutboxRow, RecordHead, RecordKind, StoredBody,
    StoredEvent,
};
use lynk_protocol::{Added, Done, Frame, encode_added, encode_event, encode_ok, encode_removed};
use smallvec::SmallVec;

use super::super::books::{Books, append_position};
use super::super::keys::Used;
use super::super::release::Item;
use super::super::room::{Member, Room};
use super::super::window::{Entry, Kind, removes_of};
use super::{Asker, Unjournaled};
use crate::context::Context;
use crate::io::JournalState;
use crate::mail::{ConnectionRef, Mail, Own, Removes};

/// Users that one mail tells that a room is gone.
const NOTICES_MAX: usize = 2_048;

impl Room {
    /// Version of the last event that is applied, journaled or not.
    pub(super) fn last_version(&self) -> u64 {
        self.metadata.unjournaled.back().map_or(self.version, |event| event.row.version)
    }

    /// Changes the room in memory as the store changed its rows.
    fn apply_event(&mut self, actor: UserId, version: u64, event: &MetaEvent) {
        match event {
            MetaEvent::Created { .. } => {}
            MetaEvent::Joined { user, role } => {
                let member = Member::new(*role, version, Seq(0));
                // Whether it was a stranger the store knows.
                self.members.insert(*user, Member { added: *user != actor, ..member });
            }
            MetaEvent::Left { user } | MetaEvent::Kicked { user, .. } => {
                self.members.remove(user);
            }
            MetaEvent::Banned { user, until, .. } => {
                self.members.remove(user);
                self.bans.insert(*user, *until);
            }
            MetaEvent::Unbanned { user } => {
                self.bans.remove(user);
            }
            MetaEvent::Muted { user, until } => {
                self.mutes.insert(*user, *until);
            }
            MetaEvent::Unmuted { user } => {
                self.mutes.remove(user);
            }
            MetaEvent::Role { user, role } => self.set_role(*user, *role),
            MetaEvent::Transferred { user } => {
                self.set_role(actor, Role::Admin);
                self.set_role(*user, Role::Owner);
            }
            MetaEvent::Pinned { target, on: true } => {
                self.pins.insert(*target);
            }
            MetaEvent::Pinned { target, on: false } => {
                self.pins.remove(target);
            }
            MetaEvent::Settings { .. } => {
                if let Some(row) = &mut self.info {
                    row.take_settings(event);
                }
            }
            MetaEvent::Deleted => {
                self.members.clear();
                self.bans.clear();
                self.mutes.clear();
                self.pins.clear();
                self.links.clear();
                self.rounds.clear();
                self.moved.clear();
            }
        }
        if let Some(row) = &mut self.info {
            row.version = row.version.max(version);
        }
    }

    /// Makes members, bans and mutes what the store's rows say. Members keep what only memory knows of them.
    pub(super) fn take_rows(&mut self, rows: LoadedRoom) {
        self.info = rows.row;
        self.take_request(None);
        let mut known = std::mem::take(&mut self.members);
        let mut held_out = std::mem::take(&mut self.metadata.held_out);
        for row in rows.members {
            let same = |member: &Member| member.joined_version == row.joined_version;
            // Nobody journals what moved before the removal any more; the next move does.
            let back = held_out.remove(&row.user).map(|member| Member { moved: (false, false), ..member });
            let member = known.remove(&row.user).or(back).filter(same);
            let fresh = member.is_none();
            let member = member.unwrap_or_else(|| Member::new(row.role, row.joined_version, row.joined_seq));
            self.members.insert(row.user, Member { role: row.role, added: row.by_stranger, ..member });
            if fresh {
                self.set_read(row.user, row.joined_seq);
            }
        }
        self.bans = rows.bans.iter().map(|ban| (ban.user, ban.until)).collect();
        self.links = rows.links;
        self.mutes = rows.mutes.iter().map(|mute| (mute.user, mute.until)).collect();
        self.take_request(rows.message_request);
        let members = &self.members;
        self.cut_off.retain(|user| !members.contains_key(user));
    }

    fn set_role(&mut self, user: UserId, role: Role) {
        if let Some(member) = self.members.get_mut(&user) {
            member.role = role;
        }
    }
}

impl Books {
    /// The store has written `tx` as `version`: the room changes, and its log tells.
    pub(super) fn take_event(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        tx: MetaTransaction,
        version: u64,
        asker: Option<Asker>,
        intent: bool,
    ) {
        let event = match tx.change {
            MetaChange::Create { row, members } => {
                let event = MetaEvent::Created { kind: row.kind, name: row.name.clone() };
                room.members =
                    members.iter().map(|(user, role)| (*user, Member::new(*role, version, Seq(0)))).collect();
                room.info = Some(row);
                event
            }
            MetaChange::Begin { row, user, .. } => {
                let event = MetaEvent::Created { kind: row.kind, name: row.name.clone() };
                let member = |user| (user, Member::new(Role::Member, version, Seq(0)));
                room.members = [tx.actor, user].map(member).into();
                room.info = Some(row);
                event
            }
            MetaChange::Event(event) => event,
            MetaChange::Enter { hash } => {
                room.links.iter_mut().filter(|link| link.hash == hash).for_each(|link| link.uses += 1);
                MetaEvent::Joined { user: tx.actor, role: Role::Member }
            }
            MetaChange::Accept { user } => MetaEvent::Joined { user, role: Role::Member },
            MetaChange::Block { .. }
            | MetaChange::Link(_)
            | MetaChange::Unlink { .. }
            | MetaChange::Ask { .. }
            | MetaChange::Withdraw
            | MetaChange::Report(_)
            | MetaChange::Resolve(_)
            | MetaChange::Conversation(_)
            | MetaChange::Decline { .. } => return,
        };
        let subject = event.subject().unwrap_or_default();
        let mut left = Vec::new();
        if event == MetaEvent::Deleted {
            left = room.members.keys().copied().collect();
            if let Some(row) = &mut room.info {
                row.delete(tx.wall);
            }
        }
        let picture = |room: &Room| room.info.as_ref().map(|row| row.avatar);
        let picture_before = picture(room);
        let member = if intent {
            // A mute leaves its subject where it is, perhaps held out by a removal that comes after it.
            event.removes_subject() && room.metadata.held_out.remove(&subject).is_some()
        } else {
            let member = room.members.contains_key(&subject);
            room.apply_event(tx.actor, version, &event);
            member
        };
        if matches!(event, MetaEvent::Settings { .. }) && picture(room) != picture_before {
            room.metadata.new_picture = Some(version);
        }
        if let MetaEvent::Joined { user, .. } = &event {
            room.start_slow_mode(*user, tx.wall);
        }
        if matches!(event, MetaEvent::Banned { .. } | MetaEvent::Muted { .. }) {
            room.forget_ended(cx.now.wall);
        }
        let row = OutboxRow { version, actor: tx.actor, key: tx.key, wall: tx.wall, event };
        room.metadata.unjournaled.push_back(Unjournaled {
            row,
            hash: Some(tx.content_hash),
            asker,
            member,
            left,
        });
        self.journal_waiting(cx, room);
    }

    /// Journals the events that the store wrote, in the order of their versions, while the journal takes any.
    pub(in super::super) fn journal_waiting(&mut self, cx: &mut Context<'_>, room: &mut Room) {
        while cx.shared.journal != JournalState::Full {
            room.metadata.stuck_since = None;
            let Some(event) = room.metadata.unjournaled.pop_front() else { return };
            self.journal_event(cx, room, event);
        }
        if !room.metadata.unjournaled.is_empty() {
            room.metadata.stuck_since.get_or_insert(cx.now.mono);
            self.arm_metadata(cx, room);
        }
    }

    /// Outbox rows that a freshly loaded room holds: what the log does not have is journaled, the rest
    /// confirmed. The rows of the room and its members have all of it already.
    pub(in super::super) fn take_outbox(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        rows: Vec<OutboxRow>,
        journaled: &[(u64, Seq)],
    ) {
        let seq_of = |row: &OutboxRow| journaled.iter().find(|(version, _)| *version == row.version);
        // Whether the picture was among what changed is not known any more.
        let settings = rows.iter().filter(|row| matches!(row.event, MetaEvent::Settings { .. }));
        let last = room.last_version();
        let ends = settings.filter(|row| row.version > last || seq_of(row).is_some());
        room.metadata.new_picture = ends.map(|row| row.version).max();
        for row in rows {
            if row.version > room.last_version() {
                // Whether a ban was of a member is not known any more.
                let member = !matches!(row.event, MetaEvent::Banned { .. });
                room.metadata.unjournaled.push_back(Unjournaled {
                    row,
                    hash: None,
                    asker: None,
                    member,
                    left: Vec::new(),
                });
            } else {
                // Without its seq a confirmation would take the join's place for ever. The row waits for the next load.
                if let Some((_, seq)) = seq_of(&row) {
                    self.confirm(cx, room, row.version, *seq);
                }
            }
        }
        self.journal_waiting(cx, room);
    }

    fn journal_event(&mut self, cx: &mut Context<'_>, room: &mut Room, event: Unjournaled) {
        let Unjournaled { row: OutboxRow { version, actor, key, wall, event }, hash, asker, member, left } =
            event;
        let removes = removes_of(&event);
        let newcomers = match &event {
            MetaEvent::Joined { user, .. } => SmallVec::from_slice(&[*user]),
            MetaEvent::Created { .. } => room.members.keys().copied().collect(),
            _ => SmallVec::<[UserId; 2]>::new(),
        };
        let body = Body::Meta { version, event: event.clone() };
        let appended = self.append(cx, room, RecordKind::Meta, wall, actor, key, Seq(0), &body);
        let seq = appended.seq;
        room.version = version;

        let stored = StoredEvent {
            room: room.id,
            seq,
            rev: seq,
            wall,
            sender: actor,
            key,
            body: StoredBody::Meta { version, event },
        };
        let frame = cx.shared.pool.lend(|out| encode_event(out, &stored));
        let entry = Entry { seq, wall, sender: actor, frame: frame.clone(), kind: Kind::Meta { removes } };
        self.keep(cx, room, entry);
        newcomers.iter().for_each(|user| place_newcomer(cx, room, *user, seq));
        if key != Key::NIL {
            let used = Used {
                seq,
                n: Default::default(),
                id: Default::default(),
                hash,
                wall,
                at: Some(appended.at),
            };
            self.keys.insert(Self::scope(room, actor, key), used, cx.now.wall, &self.drains);
        }

        let mut own = None;
        let except = asker.map(|asker| asker.from);
        if let Some(asker) = asker {
            room.disengage(asker.from);
            let request = room.side(actor);
            let done =
                Done { room: Some(room.id), seq, time: Some(wall), version, request, ..Done::default() };
            let ok = cx.shared.pool.frame(|out| encode_ok(out, asker.re, &done));
            own = Some(Own { to: asker.from, ok });
        }
        self.emit(cx, room, appended.after, Item::Event { seq, frame, own, removes });
        for user in newcomers {
            let frame = cx.shared.pool.frame(|out| encode_added(out, &added(room, user)));
            self.tell_member(cx, room, appended.after, (user, except), frame);
        }
        if removes == Removes::Everybody {
            room.ended = Some(seq);
            self.tell_all(cx, room, appended.after, (&left, except), version);
        }
        if let Some(user) = removes.user().filter(|_| member) {
            let frame = cx.shared.pool.frame(|out| encode_removed(out, room.id, version));
            self.tell_member(cx, room, appended.after, (user, except), frame);
        }
        self.confirm(cx, room, version, seq);
    }

    /// Has a user's connections told that the room is one of its rooms, or no longer, once that is committed; but not the one
    /// that did it.
    pub(super) fn tell_member(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        after: Lsn,
        (user, except): (UserId, Option<ConnectionRef>),
        frame: Arc<Frame>,
    ) {
        let to = shard_of_user(user, cx.shared.config.shard_count);
        let mail = Box::new(Mail::Notice { user, frame, except, rooms: true });
        self.emit(cx, room, after, Item::Post { to, mail });
    }

    /// Has the connections of all who were members told that the room is none of theirs any more, once that is committed.
    fn tell_all(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        after: Lsn,
        (users, except): (&[UserId], Option<ConnectionRef>),
        version: u64,
    ) {
        let shards = cx.shared.config.shard_count;
        let frame = cx.shared.pool.frame(|out| encode_removed(out, room.id, version));
        for shard in 0..shards {
            let here = users.iter().copied().filter(|user| shard_of_user(*user, shards) == ShardId(shard));
            let here: Vec<UserId> = here.collect();
            for users in here.chunks(NOTICES_MAX) {
                let mail = Mail::Notices { users: users.into(), frame: Arc::clone(&frame), except };
                self.emit(cx, room, after, Item::Post { to: ShardId(shard), mail: Box::new(mail) });
            }
        }
    }

    /// Lets a removal or mute hold before the store knows of it. The removed get no further event; until the next one they stay
    /// subscribed, because then everybody is told to page it: whoever is out hears so, and nobody's stream has a silent gap
    /// should the removal come to nothing.
    pub(super) fn hold_in_memory(room: &mut Room, actor: UserId, event: &MetaEvent) {
        if let Some(user) = event.subject().filter(|_| event.removes_subject())
            && let Some(member) = room.members.get(&user)
        {
            room.metadata.held_out.insert(user, *member);
        }
        room.apply_event(actor, 0, event);
        room.cut_off.extend(event.subject().filter(|_| event.removes_subject()));
    }

    /// A block was written or lifted: the 1:1 and every shard learn it.
    pub(super) fn block_applied(&mut self, cx: &mut Context<'_>, room: &mut Room, change: &MetaChange) {
        let MetaChange::Block { by, user, on } = *change else { return };
        room.blocks.retain(|pair| *pair != (by, user));
        if on {
            room.blocks.push((by, user));
        }
        room.settle_restraints();
        for shard in 0..cx.shared.config.shard_count {
            cx.post(ShardId(shard), Mail::BlockChanged { by, user });
        }
    }
}

/// The room as a new member is told of it.
pub(super) fn added(room: &Room, user: UserId) -> Added<'_> {
    let peer = || room.members.keys().copied().find(|other| *other != user);
    Added {
        room: room.id,
        version: room.version,
        kind: room.kind(),
        name: room.info.as_ref().map_or("", |row| &row.name),
        role: room.members.get(&user).map_or(Role::Member, |member| member.role),
        peer: (room.kind() == RoomKind::Direct).then(peer).flatten(),
        request: room.side(user),
    }
}

/// Appends the record of a removal or mute that the store does not have.
pub(super) fn append_intent(cx: &mut Context<'_>, room: &mut Room, tx: &MetaTransaction, event: &MetaEvent) {
    let head = RecordHead {
        kind: RecordKind::Intent,
        flags: 0,
        room: room.id,
        seq: room.top,
        rev: room.top,
        wall: tx.wall,
        sender: tx.actor,
        key: tx.key,
    };
    let body = Body::Intent { content_hash: tx.content_hash, event: event.clone() };
    room.appended = cx.append(head, |out| body.encode(out));
    room.depends = room.depends.max(room.appended);
}

/// A new member starts reading at the event of the join: what was said before is not unread.
fn place_newcomer(cx: &mut Context<'_>, room: &mut Room, user: UserId, seq: Seq) {
    let Some(member) = room.members.get_mut(&user).filter(|member| member.joined_seq == Seq(0)) else {
        return;
    };
    member.joined_seq = seq;
    room.set_read(user, seq);
    append_position(cx, room, RecordKind::Read, user, seq);
}
