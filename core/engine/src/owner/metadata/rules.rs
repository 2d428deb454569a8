//! Who may change what: a metadata command against the room as it is becomes a change, or a refusal. Pure.

use std::collections::BTreeMap;

use lynk_domain::{
    AckLevel, Action, HistoryVisibility, Key, Limits, MediaId, Millis, Now, Role, RoomId, RoomKind, Seq,
    UserId, allowed, may_act_on,
};
use lynk_model::{MetaChange, MetaEvent, MoreSettings, RoomRow};
use lynk_protocol::{Command, ErrorCode, MoreWanted, Reject};

use super::super::books::Found;
use super::super::change::target_in_window;
use super::super::keys::Digest;
use super::super::room::{Member, Room, stands};
use super::conversations::plan_direct;
use super::links::{plan_enter, plan_link, plan_unlink};
use super::reports::{plan_report, plan_resolve};
use super::requests::{plan_answer, plan_ask, plan_withdraw};
use crate::EngineConfig;

/// Bans, and mutes, that stand in one room at a time.
pub(super) const SENTENCES_MAX: usize = 10_000;
/// Pinned messages of one room.
const PINS_MAX: usize = 1_000;
/// Longest slow mode, ban or mute that is stated in seconds.
const SECONDS_MAX: u64 = 10 * 366 * 86_400;
/// A century.
const RETENTION_DAYS_MAX: u32 = 36_500;
const SLOW_MODE_SECONDS_MAX: u32 = 86_400;

/// What a command comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Planned {
    Change(MetaChange),
    /// What is asked for is so already, and saying so is enough.
    Already,
    /// The message at this seq must be read first.
    Look(Seq),
}

fn event(event: MetaEvent) -> Result<Planned, Reject> {
    Ok(Planned::Change(MetaChange::Event(event)))
}

/// Idempotency key of a metadata command. A 1:1 has one for each side: asking twice is the same question.
pub(super) fn key_of(command: &Command<'_>, room: RoomId) -> Key {
    match command {
        Command::Create { key, .. }
        | Command::Join { key, .. }
        | Command::Invite { key, .. }
        | Command::Leave { key, .. }
        | Command::Role { key, .. }
        | Command::Transfer { key, .. }
        | Command::Kick { key, .. }
        | Command::Ban { key, .. }
        | Command::Unban { key, .. }
        | Command::Mute { key, .. }
        | Command::Unmute { key, .. }
        | Command::Block { key, .. }
        | Command::Pin { key, .. }
        | Command::Settings { key, .. }
        | Command::Link { key, .. }
        | Command::Unlink { key, .. }
        | Command::RequestJoin { key, .. }
        | Command::WithdrawRequest { key, .. }
        | Command::AnswerRequest { key, .. }
        | Command::AnswerConversation { key, .. }
        | Command::Report { key, .. }
        | Command::ResolveReport { key, .. }
        | Command::DeleteRoom { key, .. } => *key,
        _ => Key(room.0),
    }
}

/// Hash of what a command says beside its key.
pub(super) fn hash_of(command: &Command<'_>) -> u64 {
    let flag = |flag: bool| [u8::from(flag)];
    let mut digest = Digest::new(b'm');
    match command {
        Command::Create { kind, name, level, visibility, more, .. } => {
            digest
                .bytes(&[1, *kind as u8])
                .number(level.map_or(u64::MAX, |level| level as u64))
                .number(visibility.map_or(u64::MAX, |visibility| visibility as u64))
                .bytes(name.as_bytes());
            digest_more(&mut digest, more)
        }
        Command::Direct { .. } => digest.bytes(&[2]),
        Command::Join { secret: None, .. } => digest.bytes(&[3]),
        Command::Join { secret: Some(secret), .. } => digest.bytes(&[3]).bytes(secret),
        Command::Invite { user, .. } => digest.bytes(&[4]).bytes(&user.0),
        Command::Leave { .. } => digest.bytes(&[5]),
        Command::Role { user, role, .. } => digest.bytes(&[6, *role as u8]).bytes(&user.0),
        Command::Transfer { user, .. } => digest.bytes(&[7]).bytes(&user.0),
        Command::Kick { user, reason, .. } => digest.bytes(&[8]).bytes(&user.0).bytes(reason.as_bytes()),
        Command::Ban { user, reason, seconds, .. } => {
            digest.bytes(&[9]).bytes(&user.0).number(seconds.unwrap_or(u64::MAX)).bytes(reason.as_bytes())
        }
        Command::Unban { user, .. } => digest.bytes(&[10]).bytes(&user.0),
        Command::Mute { user, seconds, .. } => {
            digest.bytes(&[11]).bytes(&user.0).number(seconds.unwrap_or(u64::MAX))
        }
        Command::Unmute { user, .. } => digest.bytes(&[12]).bytes(&user.0),
        Command::Block { user, on, .. } => digest.bytes(&[13]).bytes(&user.0).bytes(&flag(*on)),
        Command::Pin { seq, on, .. } => digest.bytes(&[14]).number(seq.0).bytes(&flag(*on)),
        Command::Settings { name, level, visibility, slow_mode_seconds, more, .. } => {
            digest
                .bytes(&[15])
                .number(level.map_or(u64::MAX, |level| level as u64))
                .number(visibility.map_or(u64::MAX, |visibility| visibility as u64))
                .number(slow_mode_seconds.map_or(u64::MAX, u64::from))
                .bytes(&flag(name.is_some()))
                .bytes(name.as_deref().unwrap_or_default().as_bytes());
            digest_more(&mut digest, more)
        }
        Command::DeleteRoom { .. } => digest.bytes(&[16]),
        Command::Link { seconds, uses, .. } => {
            digest.bytes(&[17]).number(seconds.unwrap_or(u64::MAX)).number(uses.map_or(u64::MAX, u64::from))
        }
        Command::Unlink { link, .. } => digest.bytes(&[18]).bytes(&link.0),
        Command::RequestJoin { text, .. } => digest.bytes(&[19]).bytes(text.as_bytes()),
        Command::WithdrawRequest { .. } => digest.bytes(&[20]),
        Command::Report { seq, user, reason, comment, .. } => digest
            .bytes(&[22, *reason as u8])
            .number(seq.map_or(0, |seq| seq.0))
            .bytes(&user.unwrap_or_default().0)
            .bytes(comment.as_bytes()),
        Command::ResolveReport { number, outcome, note, .. } => {
            digest.bytes(&[23, *outcome as u8]).number(*number).bytes(note.as_bytes())
        }
        Command::AnswerConversation { accept, .. } => digest.bytes(&[24]).bytes(&flag(*accept)),
        Command::AnswerRequest { user, accept, .. } => {
            digest.bytes(&[21]).bytes(&user.0).bytes(&flag(*accept))
        }
        _ => &mut digest,
    };
    digest.0
}

/// Without any of them the hash is what it was before they were there.
fn digest_more<'d>(digest: &'d mut Digest, more: &MoreWanted<'_>) -> &'d mut Digest {
    if *more == MoreWanted::default() {
        return digest;
    }
    let description = more.description.as_deref();
    let digest = digest
        .bytes(&[
            more.kind.map_or(u8::MAX, |kind| kind as u8),
            u8::from(description.is_some()),
            more.read_only.map_or(u8::MAX, u8::from),
            u8::from(more.avatar.is_some()),
        ])
        .bytes(&more.avatar.unwrap_or_default().0)
        .number(more.members_max.map_or(u64::MAX, u64::from))
        .bytes(description.unwrap_or_default().as_bytes());
    match more.retention_days {
        None => digest,
        Some(days) => digest.number(u64::from(days)),
    }
}

/// What `command` comes to when `actor` gives it now.
pub(super) fn plan(
    room: &Room,
    actor: UserId,
    command: &Command<'_>,
    now: Now,
    config: &EngineConfig,
    found: &Found,
) -> Result<Planned, Reject> {
    let limits = &config.limits;
    match command {
        Command::Create { kind, name, level, visibility, more, .. } => {
            check_room_name(name, limits.room_name_chars_max)?;
            check_more(more, 1, limits)?;
            if more.avatar.is_some_and(|avatar| !avatar.is_nil()) {
                let what = "field `avatar` is for a room that is there: upload a picture for it, and name that in `settings`";
                return Err(Reject::because(ErrorCode::InvalidField, what));
            }
            let level = check_level(level.unwrap_or(config.default_level), config)?;
            let visibility = visibility.unwrap_or(match kind {
                RoomKind::Public | RoomKind::Direct => HistoryVisibility::All,
                RoomKind::Private | RoomKind::InviteOnly => HistoryVisibility::SinceJoin,
            });
            let row = RoomRow {
                description: more.description.as_deref().unwrap_or_default().to_owned(),
                members_max: more.members_max.unwrap_or(0),
                retention_days: more.retention_days.unwrap_or(0),
                read_only: more.read_only.unwrap_or(false),
                ..new_row(room.id, *kind, name, actor, now.wall, level, visibility)
            };
            Ok(Planned::Change(MetaChange::Create { row, members: vec![(actor, Role::Owner)] }))
        }
        Command::Direct { user } => plan_direct(room, actor, *user, now, config),
        Command::AnswerConversation { accept, .. } => {
            super::conversations::plan_answer(room, actor, *accept, now.wall)
        }
        Command::Block { user, on, .. } => {
            if actor == *user {
                return Err(Reject::because(ErrorCode::InvalidField, "field `user` is you"));
            }
            Ok(Planned::Change(MetaChange::Block { by: actor, user: *user, on: *on }))
        }
        Command::Join { secret: None, .. } => plan_join(room, actor, now.wall, limits),
        Command::Join { secret: Some(secret), .. } => plan_enter(room, actor, secret, now.wall, limits),
        Command::RequestJoin { text, .. } => plan_ask(room, actor, text, now.wall),
        Command::WithdrawRequest { .. } => plan_withdraw(room, actor, now.wall),
        Command::Report { seq, user, reason, comment, .. } => {
            plan_report(room, actor, (*seq, *user), (*reason, comment), now, found)
        }
        _ => {
            let member = room.member(actor, now.wall)?;
            if room.kind() == RoomKind::Direct {
                return Err(Reject::because(ErrorCode::Forbidden, "a 1:1 has no such settings or members"));
            }
            plan_inside(room, actor, member, command, now, config, found)
        }
    }
}

pub(super) fn new_row(
    room: RoomId,
    kind: RoomKind,
    name: &str,
    creator: UserId,
    created: Millis,
    level: AckLevel,
    visibility: HistoryVisibility,
) -> RoomRow {
    RoomRow { level, visibility, version: 1, ..RoomRow::new(room, kind, name, creator, created) }
}

fn plan_join(room: &Room, actor: UserId, wall: Millis, limits: &Limits) -> Result<Planned, Reject> {
    if room.members.contains_key(&actor) {
        return Ok(Planned::Already);
    }
    match room.outsider(actor, wall) {
        Reject { code: ErrorCode::NotAMember, .. } => {}
        other => return Err(other),
    }
    if room.kind() != RoomKind::Public {
        return Err(Reject::because(ErrorCode::Forbidden, "members of this room are added by invitation"));
    }
    check_space(room, limits)?;
    event(MetaEvent::Joined { user: actor, role: Role::Member })
}

/// A command of a member about a room of several.
fn plan_inside(
    room: &Room,
    actor: UserId,
    member: &Member,
    command: &Command<'_>,
    now: Now,
    config: &EngineConfig,
    found: &Found,
) -> Result<Planned, Reject> {
    let limits = &config.limits;
    let role = member.role;
    match command {
        Command::Invite { user, .. } => {
            if room.kind() != RoomKind::Public {
                require(role, Action::Invite)?;
            }
            if room.members.contains_key(user) {
                return Err(Reject::because(ErrorCode::Conflict, "that user is a member"));
            }
            if room.is_banned(*user, now.wall) {
                return Err(Reject::because(ErrorCode::Conflict, "that user is banned; lift the ban first"));
            }
            check_space(room, limits)?;
            event(MetaEvent::Joined { user: *user, role: Role::Member })
        }
        Command::Link { key, seconds, uses, .. } => {
            require(role, Action::Invite)?;
            plan_link(room, actor, (*key, *seconds, *uses), now, config)
        }
        Command::Unlink { link, .. } => {
            require(role, Action::Invite)?;
            plan_unlink(room, *link)
        }
        Command::ResolveReport { number, outcome, note, .. } => {
            require(role, Action::Kick)?;
            plan_resolve(*number, *outcome, note)
        }
        Command::AnswerRequest { user, accept, .. } => {
            require(role, Action::Invite)?;
            plan_answer(room, *user, *accept, limits)
        }
        Command::Leave { .. } => {
            let owners = || room.members.values().filter(|m| m.role == Role::Owner).count();
            if role == Role::Owner && room.members.len() > 1 && owners() == 1 {
                return Err(ErrorCode::LastOwner.into());
            }
            event(MetaEvent::Left { user: actor })
        }
        Command::Role { user, role: wanted, .. } => {
            require(role, Action::SetRole)?;
            let target = act_on(room, role, *user)?;
            if !may_act_on(role, *wanted) {
                return Err(ErrorCode::Forbidden.into());
            }
            if target.role == *wanted {
                return Err(ErrorCode::Conflict.into());
            }
            event(MetaEvent::Role { user: *user, role: *wanted })
        }
        Command::Transfer { user, .. } => {
            require(role, Action::Transfer)?;
            act_on(room, role, *user)?;
            event(MetaEvent::Transferred { user: *user })
        }
        Command::Settings { .. } => plan_settings(room, role, command, config),
        Command::DeleteRoom { .. } => {
            require(role, Action::DeleteRoom)?;
            event(MetaEvent::Deleted)
        }
        Command::Pin { seq, on, .. } => plan_pin(room, member, *seq, *on, found),
        _ => plan_moderation(room, role, command, now, limits),
    }
}

fn plan_moderation(
    room: &Room,
    role: Role,
    command: &Command<'_>,
    now: Now,
    limits: &Limits,
) -> Result<Planned, Reject> {
    match command {
        Command::Kick { user, reason, .. } => {
            require(role, Action::Kick)?;
            act_on(room, role, *user)?;
            event(MetaEvent::Kicked { user: *user, reason: check_reason(reason, limits)? })
        }
        Command::Ban { user, reason, seconds, .. } => {
            require(role, Action::Ban)?;
            if room.members.contains_key(user) {
                act_on(room, role, *user)?;
            }
            check_sentences(&room.bans, *user, now.wall)?;
            let (until, reason) = (end_of(*seconds, now)?, check_reason(reason, limits)?);
            event(MetaEvent::Banned { user: *user, until, reason })
        }
        Command::Unban { user, .. } => {
            require(role, Action::Ban)?;
            if !room.is_banned(*user, now.wall) {
                return Err(Reject::because(ErrorCode::Conflict, "that user is not banned"));
            }
            event(MetaEvent::Unbanned { user: *user })
        }
        Command::Mute { user, seconds, .. } => {
            require(role, Action::Kick)?;
            act_on(room, role, *user)?;
            check_sentences(&room.mutes, *user, now.wall)?;
            event(MetaEvent::Muted { user: *user, until: end_of(*seconds, now)? })
        }
        Command::Unmute { user, .. } => {
            require(role, Action::Kick)?;
            act_on(room, role, *user)?;
            if !room.is_muted(*user, now.wall) {
                return Err(Reject::because(ErrorCode::Conflict, "that user is not muted"));
            }
            event(MetaEvent::Unmuted { user: *user })
        }
        _ => Err(ErrorCode::UnknownOp.into()),
    }
}

fn plan_settings(
    room: &Room,
    role: Role,
    command: &Command<'_>,
    config: &EngineConfig,
) -> Result<Planned, Reject> {
    let Command::Settings { name, level, visibility, slow_mode_seconds, more, .. } = command else {
        return Err(ErrorCode::UnknownOp.into());
    };
    require(role, Action::Settings)?;
    let Some(row) = &room.info else { return Err(ErrorCode::RoomNotFound.into()) };
    if let Some(name) = name {
        check_room_name(name, config.limits.room_name_chars_max)?;
    }
    let slow_mode_seconds = slow_mode_seconds.unwrap_or(row.slow_mode_seconds);
    if slow_mode_seconds > SLOW_MODE_SECONDS_MAX {
        return Err(Reject::because(ErrorCode::InvalidField, "field `slow_mode_seconds` is above one day"));
    }
    check_more(more, room.members.len(), &config.limits)?;
    event(MetaEvent::Settings {
        name: name.as_deref().unwrap_or(&row.name).to_owned(),
        level: level.map_or(Ok(row.level), |level| check_level(level, config))?,
        visibility: visibility.unwrap_or(row.visibility),
        slow_mode_seconds,
        more: Some(Box::new(MoreSettings {
            kind: more.kind.unwrap_or(row.kind),
            description: more.description.as_deref().unwrap_or(&row.description).to_owned(),
            avatar: more.avatar.unwrap_or(row.avatar),
            members_max: more.members_max.unwrap_or(row.members_max),
            retention_days: more.retention_days.unwrap_or(row.retention_days),
            read_only: more.read_only.unwrap_or(row.read_only),
        })),
    })
}

/// The picture that a change gives the room, if it has another one or none.
pub(super) fn new_picture(room: &Room, change: &MetaChange) -> Option<MediaId> {
    let MetaChange::Event(MetaEvent::Settings { more: Some(more), .. }) = change else { return None };
    let before = room.info.as_ref().map(|row| row.avatar);
    Some(more.avatar).filter(|picture| !picture.is_nil() && Some(*picture) != before)
}

fn plan_pin(room: &Room, member: &Member, seq: Seq, on: bool, found: &Found) -> Result<Planned, Reject> {
    require(member.role, Action::Pin)?;
    if room.pins.contains(&seq) == on {
        return Err(ErrorCode::Conflict.into());
    }
    if !on {
        return event(MetaEvent::Pinned { target: seq, on });
    }
    if room.pins.len() >= PINS_MAX {
        return Err(Reject::because(ErrorCode::LimitReached, "the room has as many pins as it may"));
    }
    let target = match (target_in_window(room, seq), found) {
        (Some(target), _) => target,
        (None, Found::Target(target)) => target.clone(),
        (None, _) => return Ok(Planned::Look(seq)),
    };
    let seen = seq >= room.shown(member).from;
    if !seen || target.is_none_or(|target| target.deleted) {
        return Err(ErrorCode::MessageNotFound.into());
    }
    event(MetaEvent::Pinned { target: seq, on })
}

fn require(role: Role, action: Action) -> Result<(), Reject> {
    if allowed(role, action) { Ok(()) } else { Err(ErrorCode::Forbidden.into()) }
}

/// The member that someone of `role` wants to act on, when that is allowed.
fn act_on(room: &Room, role: Role, user: UserId) -> Result<&Member, Reject> {
    let Some(target) = room.members.get(&user) else {
        return Err(Reject::because(ErrorCode::NotAMember, "that user is not a member"));
    };
    if may_act_on(role, target.role) { Ok(target) } else { Err(ErrorCode::Forbidden.into()) }
}

/// Whether one more ban or mute may stand. Those that ended do not count.
fn check_sentences(list: &BTreeMap<UserId, Millis>, user: UserId, wall: Millis) -> Result<(), Reject> {
    let standing = || list.values().filter(|until| stands(**until, wall)).count();
    if list.len() < SENTENCES_MAX || list.contains_key(&user) || standing() < SENTENCES_MAX {
        return Ok(());
    }
    Err(Reject::because(ErrorCode::LimitReached, "the room has as many of them as it may"))
}

pub(super) fn check_space(room: &Room, limits: &Limits) -> Result<(), Reject> {
    let own = room.info.as_ref().map_or(0, |row| row.members_max);
    let max = if own == 0 { limits.room_members_max } else { own.min(limits.room_members_max) };
    if room.members.len() < max as usize {
        return Ok(());
    }
    Err(Reject::because(ErrorCode::LimitReached, "the room has as many members as it may"))
}

/// Whether a room may be called so, whoever else is.
///
/// # Errors
/// The text is empty, holds control characters, or is longer than `chars_max`.
pub fn check_room_name(name: &str, chars_max: u32) -> Result<(), Reject> {
    if name.trim().is_empty() || name.chars().any(char::is_control) {
        return Err(Reject::because(
            ErrorCode::InvalidField,
            "field `name` is empty or has control characters",
        ));
    }
    if name.chars().count() > chars_max as usize {
        return Err(ErrorCode::TooLarge.into());
    }
    Ok(())
}

/// Whether a room of so many members may have these settings.
fn check_more(more: &MoreWanted<'_>, members: usize, limits: &Limits) -> Result<(), Reject> {
    if let Some(description) = &more.description {
        if description.chars().any(|c| c.is_control() && c != '\n') {
            return Err(Reject::because(
                ErrorCode::InvalidField,
                "field `description` has control characters other than line breaks",
            ));
        }
        if description.chars().count() > limits.room_description_chars_max as usize {
            return Err(ErrorCode::TooLarge.into());
        }
    }
    if more.retention_days.is_some_and(|days| days > RETENTION_DAYS_MAX) {
        return Err(Reject::because(ErrorCode::InvalidField, "field `retention_days` is above 36500"));
    }
    match more.members_max {
        None | Some(0) => Ok(()),
        Some(max) if max > limits.room_members_max => {
            Err(Reject::because(ErrorCode::InvalidField, "field `max_members` is above the server's limit"))
        }
        Some(max) if (max as usize) < members => Err(Reject::because(
            ErrorCode::InvalidField,
            "field `max_members` is below the number of members",
        )),
        Some(_) => Ok(()),
    }
}

fn check_reason(reason: &str, limits: &Limits) -> Result<String, Reject> {
    if reason.chars().count() > limits.reason_chars_max as usize {
        return Err(ErrorCode::TooLarge.into());
    }
    if reason.chars().any(|c| c.is_control() && c != '\n') {
        return Err(Reject::because(ErrorCode::InvalidField, "field `reason` holds control characters"));
    }
    Ok(reason.to_owned())
}

fn check_level(level: AckLevel, config: &EngineConfig) -> Result<AckLevel, Reject> {
    if level == AckLevel::Replicated && !config.replicates {
        return Err(Reject::because(
            ErrorCode::Forbidden,
            "level `replicated` needs an outside message store",
        ));
    }
    Ok(level)
}

/// Wall time at which something of `seconds` ends; 0 for never.
fn end_of(seconds: Option<u64>, now: Now) -> Result<Millis, Reject> {
    match seconds {
        None => Ok(Millis(0)),
        Some(seconds @ 1..=SECONDS_MAX) => Ok(Millis(now.wall.0 + seconds * 1_000)),
        Some(_) => Err(Reject::because(ErrorCode::InvalidField, "field `seconds` is 0 or above ten years")),
    }
}
