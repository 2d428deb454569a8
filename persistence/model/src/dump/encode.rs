//! The one encoding of rows, for digests. Not a stored format: two stores that are compared are read by one program.
//!
//! A tag, then the fields in order: numbers little-endian, lists and texts behind their length. What stores derive (the rev of a
//! message) and what is the store's own (epochs) is left out. A key is the tag and the fields by which a store finds the row.

use lynk_domain::{Millis, Role};

use super::{AccountsRow, LogRow, RoomsRow};
use crate::account::Session;
use crate::{
    Body, FoundKey, LoadedRoom, MessageRequest, MessageState, MetaChange, MetaEvent, Personal, StoredBody,
    StoredEvent,
};

struct Out<'a>(&'a mut Vec<u8>);

impl Out<'_> {
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }
    fn id(&mut self, id: [u8; 16]) {
        self.0.extend_from_slice(&id);
    }
    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }
    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
    fn tagged(&mut self, tag: u8, bytes: &[u8]) {
        self.byte(tag);
        self.bytes(bytes);
    }
    fn time(&mut self, time: Option<Millis>) {
        match time {
            Some(time) => {
                self.byte(1);
                self.number(time.0);
            }
            None => self.byte(0),
        }
    }
    fn event(&mut self, event: &MetaEvent) {
        let mut bytes = Vec::new();
        event.encode(&mut bytes);
        self.bytes(&bytes);
    }
}

fn message(out: &mut Out<'_>, state: &MessageState) {
    let row = &state.row;
    match &row.facts {
        None => out.byte(0),
        Some(facts) => {
            out.byte(1);
            out.id(facts.id.0);
            out.number(facts.n.0);
            out.number(facts.reply_to.0);
            out.number(facts.wall.0);
            out.id(facts.sender.0);
            out.id(facts.key.0);
        }
    }
    out.number(row.edited.0);
    out.number(row.deleted.0);
    out.bytes(row.text.as_bytes());
    let mut parts = Vec::new();
    row.parts.encode(&mut parts);
    out.bytes(&parts);
    out.number(state.reactions.len() as u64);
    for reaction in &state.reactions {
        out.bytes(reaction.emoji.as_bytes());
        out.id(reaction.user.0);
        out.number(reaction.rev.0);
        out.byte(u8::from(reaction.on));
    }
}

fn stored_event(out: &mut Out<'_>, event: &StoredEvent) {
    out.number(event.seq.0);
    out.number(event.rev.0);
    out.number(event.wall.0);
    out.id(event.sender.0);
    out.id(event.key.0);
    let mut bytes = Vec::new();
    match &event.body {
        // A log row of this kind says nothing, and messages are rows of their own.
        StoredBody::Edit { target, .. } => Body::edit_of(*target).encode(&mut bytes),
        StoredBody::Delete { target } => Body::Delete { target: *target }.encode(&mut bytes),
        StoredBody::Reaction { target, on, emoji } => {
            Body::Reaction { target: *target, on: *on, emoji }.encode(&mut bytes);
        }
        StoredBody::Meta { version, event } => {
            Body::Meta { version: *version, event: event.clone() }.encode(&mut bytes);
        }
        StoredBody::Message(view) => bytes.extend_from_slice(view.text.as_bytes()),
    }
    let kind = match &event.body {
        StoredBody::Message(_) => 1,
        StoredBody::Edit { .. } => 2,
        StoredBody::Delete { .. } => 3,
        StoredBody::Reaction { .. } => 4,
        StoredBody::Meta { .. } => 5,
    };
    out.byte(kind);
    out.bytes(&bytes);
}

fn used(out: &mut Out<'_>, used: &FoundKey) {
    out.number(used.seq.0);
    out.number(used.n.0);
    out.id(used.id.0);
    out.number(used.wall);
    out.number(used.content_hash.unwrap_or(0));
}

fn role(out: &mut Out<'_>, role: Role) {
    out.byte(role as u8);
}

fn room(out: &mut Out<'_>, room: &LoadedRoom) {
    if let Some(row) = &room.row {
        out.id(row.room.0);
        out.byte(row.kind as u8);
        out.bytes(row.name.as_bytes());
        out.id(row.creator.0);
        out.number(row.created.0);
        out.byte(row.level as u8);
        out.byte(row.visibility as u8);
        out.number(row.slow_mode_seconds.into());
        out.bytes(row.description.as_bytes());
        out.id(row.avatar.0);
        out.number(row.members_max.into());
        out.number(row.retention_days.into());
        out.byte(u8::from(row.read_only));
        out.number(row.deleted.0);
        out.number(row.version);
    }
    out.number(room.members.len() as u64);
    for member in &room.members {
        out.id(member.user.0);
        role(out, member.role);
        out.number(member.joined_version);
        out.number(member.joined_seq.0);
        out.byte(u8::from(member.by_stranger));
        let Personal { wish, cleared, cleared_n } = member.personal;
        out.number(wish.muted_until.0);
        out.byte(wish.wish as u8);
        out.number(cleared.0);
        out.number(cleared_n.0);
    }
    for list in [&room.bans, &room.mutes] {
        out.number(list.len() as u64);
        for sentence in list {
            out.id(sentence.user.0);
            out.number(sentence.until.0);
            out.bytes(sentence.reason.as_bytes());
            out.id(sentence.by.0);
            out.number(sentence.at.0);
        }
    }
    out.number(room.pins.len() as u64);
    room.pins.iter().for_each(|pin| out.number(pin.0));
    out.number(room.links.len() as u64);
    for link in &room.links {
        out.id(link.id.0);
        out.bytes(&link.hash);
        out.id(link.by.0);
        out.number(link.at.0);
        out.number(link.until.0);
        out.number(link.uses_max.into());
        out.number(link.uses.into());
    }
    out.number(room.requests.len() as u64);
    for request in &room.requests {
        out.id(request.user.0);
        out.bytes(request.text.as_bytes());
        out.number(request.at.0);
        out.number(request.declined.0);
        out.id(request.by.0);
    }
    if let Some(MessageRequest { asker, user, state, at, base, decided, turns }) = room.message_request {
        out.id(asker.0);
        out.id(user.0);
        out.byte(state as u8);
        out.number(at.0);
        out.number(base.0);
        out.number(decided.0);
        out.number(turns.into());
    }
    out.number(room.outbox.len() as u64);
    for row in &room.outbox {
        out.number(row.version);
        out.id(row.actor.0);
        out.id(row.key.0);
        out.number(row.wall.0);
        out.event(&row.event);
    }
}

fn session(out: &mut Out<'_>, of: &Session) {
    out.id(of.session.0);
    out.id(of.user.0);
    out.bytes(of.device.as_bytes());
    out.number(of.created.0);
    out.number(of.last_used.0);
    out.number(of.epoch.into());
    out.number(of.family.generation.into());
    out.bytes(&of.family.hash.0);
    out.number(of.family.rotations.len() as u64);
    of.family.rotations.iter().for_each(|at| out.number(at.0));
    out.number(of.family.idle_expires.0);
    out.number(of.family.expires.0);
}

impl LogRow {
    /// Appends the row's encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let out = &mut Out(out);
        match self {
            Self::Message { seq, state } => {
                out.byte(1);
                out.number(seq.0);
                message(out, state);
            }
            Self::Event(event) => {
                out.byte(2);
                stored_event(out, event);
            }
            Self::Key { sender, key, used: of } => {
                out.byte(3);
                out.id(sender.0);
                out.id(key.0);
                used(out, of);
            }
            Self::Position { user, position } => {
                out.byte(4);
                out.id(user.0);
                out.number(position.round);
                out.number(position.read.0);
                out.number(position.delivered.0);
            }
            Self::Intent(intent) => {
                out.byte(5);
                out.id(intent.actor.0);
                out.id(intent.key.0);
                out.number(intent.content_hash);
                out.number(intent.wall.0);
                if let MetaChange::Event(event) = &intent.change {
                    out.event(event);
                }
            }
            Self::Head(head) => {
                out.byte(6);
                for number in [head.top.0, head.top_n.0, head.version, head.reserved.0, head.floor.0] {
                    out.number(number);
                }
            }
        }
    }
}

impl RoomsRow {
    /// Appends the row's encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let out = &mut Out(out);
        match self {
            Self::Room(loaded) => {
                out.byte(1);
                room(out, loaded);
            }
            Self::Name { folded, room, freed } => {
                out.byte(2);
                out.bytes(folded.as_bytes());
                out.id(room.0);
                out.time(*freed);
            }
            Self::Block { by, user, room } => {
                out.byte(3);
                [by.0, user.0, room.0].into_iter().for_each(|id| out.id(id));
            }
            Self::Result { actor, room, key, content_hash, version, seq, wall } => {
                out.byte(4);
                [actor.0, room.0, key.0].into_iter().for_each(|id| out.id(id));
                [*content_hash, *version, seq.0, wall.0].into_iter().for_each(|number| out.number(number));
            }
            Self::Hidden { user } => {
                out.byte(5);
                out.id(user.0);
            }
            Self::DirectFrom { user, from } => {
                out.byte(6);
                out.id(user.0);
                out.byte(*from as u8);
            }
            Self::Act { room, act } => {
                out.byte(7);
                out.id(room.0);
                out.number(act.number);
                out.number(act.at.0);
                out.id(act.by.0);
                out.byte(act.kind as u8);
                out.id(act.subject);
                out.number(act.value);
                out.bytes(act.reason.as_bytes());
            }
            Self::Report(report) => {
                out.byte(8);
                out.id(report.room.0);
                out.number(report.number);
                out.id(report.reporter.0);
                out.byte(report.kind as u8);
                out.id(report.user.0);
                out.number(report.seq.0);
                out.byte(report.reason as u8);
                out.bytes(report.comment.as_bytes());
                out.bytes(report.text.as_bytes());
                out.number(report.at.0);
                out.byte(report.outcome.map_or(0, |outcome| outcome as u8));
                out.id(report.by.0);
                out.number(report.done.0);
                out.bytes(report.note.as_bytes());
            }
        }
    }

    /// Appends what tells it from other rows.
    pub fn key(&self, out: &mut Vec<u8>) {
        let out = &mut Out(out);
        match self {
            Self::Room(loaded) => {
                out.byte(1);
                loaded.row.iter().for_each(|row| out.id(row.room.0));
            }
            Self::Name { folded, .. } => out.tagged(2, folded.as_bytes()),
            Self::Block { by, user, .. } => {
                out.tagged(3, &by.0);
                out.id(user.0);
            }
            Self::Result { actor, room, key, .. } => {
                out.tagged(4, &actor.0);
                [room.0, key.0].into_iter().for_each(|id| out.id(id));
            }
            Self::Hidden { user } => out.tagged(5, &user.0),
            Self::DirectFrom { user, .. } => out.tagged(6, &user.0),
            Self::Act { room, act } => {
                out.tagged(7, &room.0);
                out.number(act.number);
            }
            Self::Report(report) => {
                out.tagged(8, &report.room.0);
                out.number(report.number);
            }
        }
    }
}

impl AccountsRow {
    /// Appends the row's encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let out = &mut Out(out);
        match self {
            Self::Account(account) => {
                out.byte(1);
                out.id(account.user.0);
                out.bytes(account.phone.as_e164().as_bytes());
                out.bytes(account.user_name.as_bytes());
                out.bytes(account.display_name.as_bytes());
                out.number(account.created.0);
                out.bytes(account.bio.as_bytes());
                out.bytes(account.avatar.as_ref().map_or(&[], |id| &id[..]));
                out.number(account.updated.0);
                out.byte(u8::from(account.findable.by_name));
                out.byte(u8::from(account.findable.by_phone));
            }
            Self::Name { folded, user, freed } => {
                out.byte(2);
                out.bytes(folded.as_bytes());
                out.id(user.0);
                out.time(*freed);
            }
            Self::Session { session: of, revoked } => {
                out.byte(3);
                session(out, of);
                out.time(*revoked);
            }
            Self::Counter { key, slice, count, until } => {
                out.byte(4);
                out.id(*key);
                [*slice, *count, *until].into_iter().for_each(|number| out.number(number));
            }
            Self::Audit(event) => {
                out.byte(5);
                out.number(event.at.0);
                out.id(event.user.0);
                out.id(event.session.0);
                out.byte(event.kind as u8);
            }
            Self::Waiting { user, created } => {
                out.byte(6);
                out.id(user.0);
                out.number(created.0);
            }
            Self::Factor(app) => {
                out.byte(7);
                out.id(app.user.0);
                out.bytes(&app.sealed);
                out.number(app.enrolled.0);
                out.time(app.confirmed);
                out.number(app.last_step);
            }
            Self::Recovery { user, proof } => {
                out.byte(8);
                out.id(user.0);
                out.bytes(proof);
            }
            Self::Suspended { user, since } => {
                out.byte(9);
                out.id(user.0);
                out.number(since.0);
            }
            Self::Erasure(one) => {
                out.byte(10);
                out.id(one.user.0);
                out.number(one.begun.0);
                out.id(one.room.0);
                out.number(one.seq.0);
                out.time(one.done);
            }
        }
    }

    /// Appends what tells it from other rows. A line of the audit log is told by all that it says: its number is each store's own.
    pub fn key(&self, out: &mut Vec<u8>) {
        match self {
            Self::Audit(_) => self.encode(out),
            Self::Account(account) => Out(out).tagged(1, &account.user.0),
            Self::Name { folded, .. } => Out(out).tagged(2, folded.as_bytes()),
            Self::Session { session, .. } => Out(out).tagged(3, &session.session.0),
            Self::Counter { key, slice, .. } => {
                Out(out).tagged(4, key);
                Out(out).number(*slice);
            }
            Self::Waiting { user, .. } => Out(out).tagged(6, &user.0),
            Self::Factor(app) => Out(out).tagged(7, &app.user.0),
            Self::Recovery { user, proof } => {
                Out(out).tagged(8, &user.0);
                Out(out).bytes(proof);
            }
            Self::Suspended { user, .. } => Out(out).tagged(9, &user.0),
            Self::Erasure(one) => Out(out).tagged(10, &one.user.0),
        }
    }
}
