//! `edit`, `delete`, `react`: events about an earlier message; and where that message is, also for whoever answers it.
//!
//! Thread: the shard. A message inside the window is judged from memory; an older one is read from the store
//! first, while the connection's next commands wait. Limits: `reactions_per_message_max`, `emoji_bytes_max`,
//! [`TARGET_TRIES_MAX`]. What can fail: every check answers with a [`Reject`].

use std::borrow::Cow;

use lynk_domain::{Action, Key, Limits, Millis, Role, Seq, UserId, allowed};
use lynk_model::port::body_hash;
use lynk_model::{
    Act, Body, MessageView, Parts, Reaction, RecordKind, StoreReply, StoreRequest, StoredBody, StoredEvent,
};
use lynk_protocol::{Command, Done, ErrorCode, Reject, encode_event, encode_ok};

use super::books::{Ask, Books, Found, Held, Pending, store_reject};
use super::keys::Used;
use super::mentions::may_mention;
use super::reads::Deleted;
use super::release::Item;
use super::room::{Member, Room};
use super::send::check_text;
use super::strangers::Post;
use super::window::{Entry, Kind};
use crate::context::Context;
use crate::mail::{Principal, Removes};

/// A message is read again this often when it changes while it is read.
const TARGET_TRIES_MAX: u8 = 3;

/// The message that a command is about.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) author: UserId,
    /// What it says, where the store was asked; the window has no texts.
    pub(super) text: String,
    pub(super) deleted: bool,
    /// What it says beside its text.
    pub(super) parts: Parts,
    pub(super) reactions: Vec<Reaction>,
}

/// A command that waits for its message.
#[derive(Debug)]
pub(super) struct TargetWait {
    held: Held,
    target: Seq,
    /// The room's top when the store was asked.
    top: Seq,
    tries: u8,
}

/// What is to be done to a message.
#[derive(Clone, Copy, Debug)]
struct Change<'a> {
    target: Seq,
    key: Key,
    what: What<'a>,
}

#[derive(Clone, Copy, Debug)]
enum What<'a> {
    Edit(&'a str, &'a Parts),
    Delete,
    React(&'a str, bool),
}

impl<'a> Change<'a> {
    fn of(command: &'a Command<'_>) -> Option<Self> {
        Some(match command {
            Command::Edit { seq, key, text, parts, .. } => {
                Self { target: *seq, key: *key, what: What::Edit(text, parts) }
            }
            Command::Delete { seq, key, .. } => Self { target: *seq, key: *key, what: What::Delete },
            Command::React { seq, key, emoji, on, .. } => {
                Self { target: *seq, key: *key, what: What::React(emoji, *on) }
            }
            _ => return None,
        })
    }

    fn kind(&self) -> RecordKind {
        match self.what {
            What::Edit(..) => RecordKind::Edit,
            What::Delete => RecordKind::Delete,
            What::React(..) => RecordKind::Reaction,
        }
    }

    fn body(&self) -> Body<'a> {
        let target = self.target;
        match self.what {
            What::Edit(text, parts) => Body::Edit { target, text, parts: Cow::Borrowed(parts) },
            What::Delete => Body::Delete { target },
            What::React(emoji, on) => Body::Reaction { target, on, emoji },
        }
    }

    fn stored(&self) -> StoredBody {
        let target = self.target;
        match self.what {
            What::Edit(text, parts) => {
                StoredBody::Edit { target, text: text.to_owned(), parts: parts.clone() }
            }
            What::Delete => StoredBody::Delete { target },
            What::React(emoji, on) => StoredBody::Reaction { target, on, emoji: emoji.to_owned() },
        }
    }
}

impl Books {
    pub(super) fn change(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        ask: &Ask<'_>,
        command: &Command<'_>,
        found: Found,
    ) {
        let Some(change) = Change::of(command) else { return };
        let hash = body_hash(&change.body()).unwrap_or_default();
        let scope = Self::scope(room, ask.user, change.key);
        if let Some(used) = self.keys.used(&scope) {
            return self.repeat(cx, room, ask, &used, hash);
        }
        if let Found::Key(Some(used)) = found {
            self.keys.insert(scope, used, cx.now.wall, &self.drains);
            return self.repeat(cx, room, ask, &used, hash);
        }
        if let Err(reject) = room.reach(ask.principal, cx.now.wall) {
            return self.refuse(cx, room, ask, reject);
        }
        if matches!(found, Found::Unasked) && self.must_ask_key(room, ask, change.key) {
            return self.ask_key(cx, room, ask, change.key, false);
        }
        if let Err(reject) = self.may_change(cx, room, ask.principal, &change) {
            return self.refuse(cx, room, ask, reject);
        }
        let leaving = matches!(found, Found::Leaving(_));
        let target = match (found, target_in_window(room, change.target)) {
            (_, Some(target)) => target,
            (Found::Target(target), None) => target,
            (Found::Leaving(target), None) => Some(target),
            (_, None) => return self.ask_target(cx, room, ask.hold(), change.target, 1),
        };
        let verdict =
            judge(room, ask.principal, &change, target.as_ref(), cx.now.wall, &cx.shared.config.limits);
        let pace = cx.shared.config.limits.messages_per_room_per_second;
        if let (Ok(before), What::Delete, false) = (&verdict, change.what, leaving)
            && !before.parts.attachments.is_empty()
        {
            let before = (*before).clone();
            return self.ask_leave(cx, room, ask, change.target, before);
        }
        match verdict.and_then(|before| room.keep_pace(cx.now, pace).map(|()| before)) {
            Ok(before) => self.commit_change(cx, room, ask, &change, before, hash),
            Err(reject) => self.refuse(cx, room, ask, reject),
        }
    }

    fn may_change(
        &self,
        cx: &Context<'_>,
        room: &Room,
        principal: Principal,
        change: &Change<'_>,
    ) -> Result<(), Reject> {
        let user = principal.user;
        let limits = &cx.shared.config.limits;
        match change.what {
            // A muted or blocked user may still take back what was said.
            What::Delete => room.reach(principal, cx.now.wall)?,
            What::Edit(text, _) => {
                room.may_post(user, cx.now.wall, Post::Change)?;
                // Beside files it may be empty; whether there are some is seen with the message.
                check_text(text, true, limits)?;
            }
            What::React(emoji, _) => {
                room.may_post(user, cx.now.wall, Post::Change)?;
                if emoji.is_empty() || emoji.len() > limits.emoji_bytes_max as usize {
                    return Err(Reject::because(
                        ErrorCode::InvalidField,
                        "field `emoji` is empty or too long",
                    ));
                }
            }
        }
        self.may_append(cx)?;
        self.may_wait(cx, room)
    }

    /// Reads the message that a command is about from the store.
    pub(super) fn ask_target(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        held: Held,
        target: Seq,
        tries: u8,
    ) {
        if !self.may_ask(cx) || tries > TARGET_TRIES_MAX {
            return self.refuse_held(cx, room, &held, Reject::after(ErrorCode::Busy, 100));
        }
        room.engage(held.from);
        let undrained = room.backlog.about(target);
        let request = StoreRequest::Event { room: room.id, seq: target, undrained };
        let wait = TargetWait { held, target, top: room.top, tries };
        self.ask(cx, room, request, Pending::Target(Box::new(wait)));
    }

    pub(super) fn target_found(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        wait: TargetWait,
        reply: StoreReply,
    ) {
        let TargetWait { held, target, top, tries } = wait;
        room.disengage(held.from);
        room.metadata.looked(held.from);
        match reply {
            StoreReply::Event(_) if room.window.changed_since(top, target) => {
                self.ask_target(cx, room, held, target, tries + 1);
            }
            StoreReply::Event(event) => {
                let target = event.and_then(|event| Target::of(*event));
                self.run_held(cx, room, &held, Found::Target(target));
            }
            StoreReply::Failed(error) => self.refuse_held(cx, room, &held, store_reject(error)),
            _ => self.refuse_held(cx, room, &held, ErrorCode::Internal.into()),
        }
    }

    fn commit_change(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        ask: &Ask<'_>,
        change: &Change<'_>,
        before: &Target,
        hash: u64,
    ) {
        let (wall, user, target) = (cx.now.wall, ask.user, change.target);
        let kept;
        let mut change = *change;
        if let What::Edit(text, parts) = change.what
            && !before.parts.attachments.is_empty()
        {
            // An edit says all of a message again but for its files, which stay.
            kept = Parts { attachments: before.parts.attachments.clone(), ..parts.clone() };
            change.what = What::Edit(text, &kept);
        }
        let event = self.append(cx, room, change.kind(), wall, user, change.key, target, &change.body());
        let seq = event.seq;
        let pool = &mut cx.shared.pool;
        let mut noted = None;
        let kind = match change.what {
            What::Edit(text, parts) => {
                room.window.edit(pool, room.id, target, seq, (text, parts));
                room.mention_changes.push(target, before.author, &before.parts.mentions, &parts.mentions);
                Kind::Edit { target }
            }
            What::Delete => {
                room.window.delete(pool, room.id, target, seq);
                room.deletes.push(Deleted { target, author: before.author, rev: seq });
                let none = &Parts::NONE.mentions;
                room.mention_changes.push(target, before.author, &before.parts.mentions, none);
                room.spoil_counts();
                if before.author != user {
                    noted = Some(Act::deleted(wall, user, before.author, target));
                }
                Kind::Delete { target }
            }
            What::React(emoji, on) => {
                room.window.react(pool, target, user, emoji, on);
                Kind::Reaction { target }
            }
        };
        let stored = StoredEvent {
            room: room.id,
            seq,
            rev: seq,
            wall,
            sender: user,
            key: change.key,
            body: change.stored(),
        };
        let frame = pool.lend(|out| encode_event(out, &stored));
        let level = Some(room.level());
        let done = Done { room: Some(room.id), seq, time: Some(wall), level, ..Done::default() };
        let ok = pool.frame(|out| encode_ok(out, ask.re, &done));
        let entry = Entry { seq, wall, sender: user, frame: frame.clone(), kind };
        self.keep(cx, room, entry);
        let used = Used {
            seq,
            n: Default::default(),
            id: Default::default(),
            hash: Some(hash),
            wall,
            at: Some(event.at),
        };
        self.keys.insert(Self::scope(room, user, change.key), used, wall, &self.drains);
        if matches!(change.what, What::Delete) {
            self.let_go(cx, (room.id, event.at.lsn), before.parts.media());
        }
        let own = self.acknowledge(cx, room, ask, event.at, ok);
        self.emit(cx, room, event.after, Item::Event { seq, frame, own, removes: Removes::Nobody });
        if let Some(act) = noted {
            self.note(cx, room, act);
        }
    }
}

impl Target {
    /// The message that the store returned; `None` for an event that is no message.
    fn of(event: StoredEvent) -> Option<Self> {
        let StoredBody::Message(view) = event.body else { return None };
        let MessageView { text, deleted, parts, reactions, .. } = view;
        Some(Self { author: event.sender, text, deleted: deleted > Seq(0), parts, reactions })
    }
}

/// Whether a message is at `target` and stands, where the window knows.
pub(super) fn stands_in_window(room: &Room, target: Seq) -> Option<bool> {
    if target <= room.top && target > room.floor && target < room.window.start() {
        return None;
    }
    let entry = room.window.get(target);
    Some(entry.is_some_and(|entry| matches!(&entry.kind, Kind::Message(posted) if posted.deleted == Seq(0))))
}

/// What the window knows of a message: `Some(None)` when it knows that there is none.
pub(super) fn target_in_window(room: &Room, target: Seq) -> Option<Option<Target>> {
    if target > room.top || target <= room.floor {
        return Some(None);
    }
    if target < room.window.start() {
        return None;
    }
    let entry = room.window.get(target);
    Some(entry.and_then(|entry| match &entry.kind {
        Kind::Message(posted) => Some(Target {
            author: entry.sender,
            text: String::new(),
            deleted: posted.deleted > Seq(0),
            parts: posted.parts.as_deref().cloned().unwrap_or_default(),
            reactions: posted.reactions.clone(),
        }),
        _ => None,
    }))
}

/// Whether the change may be made to its message; returns the message as it stands.
fn judge<'t>(
    room: &Room,
    principal: Principal,
    change: &Change<'_>,
    target: Option<&'t Target>,
    wall: Millis,
    limits: &Limits,
) -> Result<&'t Target, Reject> {
    let user = principal.user;
    if principal.is_eraser() {
        return judge_erasure(user, change, target);
    }
    let member = room.member(user, wall)?;
    let seen = change.target >= room.shown(member).from;
    let Some(target) = target.filter(|_| seen) else { return Err(ErrorCode::MessageNotFound.into()) };
    let Member { role, .. } = *member;
    match change.what {
        What::Delete if target.deleted => return Err(ErrorCode::Conflict.into()),
        _ if target.deleted => return Err(ErrorCode::MessageNotFound.into()),
        What::Edit(..) if target.author != user => return Err(ErrorCode::Forbidden.into()),
        What::Delete if target.author != user && !may_delete(role) => {
            return Err(ErrorCode::Forbidden.into());
        }
        What::Edit(text, parts) => {
            check_text(text, !target.parts.attachments.is_empty(), limits)?;
            may_mention(room, role, &parts.mentions, &target.parts.mentions, limits)?;
        }
        What::React(emoji, on) => judge_reaction(target, user, emoji, on, limits)?,
        What::Delete => {}
    }
    Ok(target)
}

/// What an erased user said is taken back, and nothing else is done in its name.
fn judge_erasure<'t>(
    user: UserId,
    change: &Change<'_>,
    target: Option<&'t Target>,
) -> Result<&'t Target, Reject> {
    let target = target.ok_or(ErrorCode::MessageNotFound)?;
    match change.what {
        What::Delete if target.author != user => Err(ErrorCode::Forbidden.into()),
        What::Delete if target.deleted => Err(ErrorCode::Conflict.into()),
        What::Delete => Ok(target),
        What::Edit(..) | What::React(..) => Err(ErrorCode::Forbidden.into()),
    }
}

fn may_delete(role: Role) -> bool {
    allowed(role, Action::DeleteOthers)
}

fn judge_reaction(
    target: &Target,
    user: UserId,
    emoji: &str,
    on: bool,
    limits: &Limits,
) -> Result<(), Reject> {
    let stands = target.reactions.iter().any(|r| r.user == user && r.emoji == emoji);
    if stands == on {
        return Err(ErrorCode::Conflict.into());
    }
    let new = on && target.reactions.iter().all(|r| r.emoji != emoji);
    let distinct = target.reactions.chunk_by(|a, b| a.emoji == b.emoji).count();
    if new && distinct >= limits.reactions_per_message_max as usize {
        return Err(Reject::because(ErrorCode::LimitReached, "the message has too many different reactions"));
    }
    if on && target.reactions.len() >= limits.reactions_standing_max as usize {
        return Err(Reject::because(ErrorCode::LimitReached, "the message has too many reactions"));
    }
    Ok(())
}
