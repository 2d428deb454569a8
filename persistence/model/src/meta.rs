//! Rooms and their members: rows, changes, and the events that tell about them.

use lynk_domain::{
    AckLevel, HistoryVisibility, Key, LinkId, MediaId, Millis, Role, RoomId, RoomKind, Seq, UserId,
};

use crate::body::{BodyError, Reader};
use crate::{Body, Link, Personal, Record, RecordHead, Report, RequestChange, Resolution};

/// A room's row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomRow {
    /// The room.
    pub room: RoomId,
    /// Who can find and join it.
    pub kind: RoomKind,
    /// Display name; empty for 1:1.
    pub name: String,
    /// Who created it.
    pub creator: UserId,
    /// When.
    pub created: Millis,
    /// Durability of its acknowledgements.
    pub level: AckLevel,
    /// How much past a member sees.
    pub visibility: HistoryVisibility,
    /// Least seconds between two messages of one member; 0 for none.
    pub slow_mode_seconds: u32,
    /// What it is about; empty for nothing.
    pub description: String,
    /// Its picture; nil for none.
    pub avatar: MediaId,
    /// Members at most; 0 for the server's limit.
    pub members_max: u32,
    /// Days for which messages are kept; 0 for as long as the server keeps them.
    pub retention_days: u32,
    /// Only moderators and above post.
    pub read_only: bool,
    /// When it was deleted; 0 for a room that stands. Of a deleted room nothing but its id and its times is left.
    pub deleted: Millis,
    /// Number of the last metadata change.
    pub version: u64,
}

/// One member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemberRow {
    /// Who.
    pub user: UserId,
    /// Standing.
    pub role: Role,
    /// Metadata version of the join; with it `SinceJoin` finds the join's seq.
    pub joined_version: u64,
    /// Seq of the join event once it is journaled; 0 before.
    pub joined_seq: Seq,
    /// What it has set for itself.
    pub personal: Personal,
    /// Somebody who was a stranger to it added it: the room is none that it shares with others.
    pub by_stranger: bool,
}

/// A ban or a mute.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sentence {
    /// Who.
    pub user: UserId,
    /// Wall time of its end; 0 for never.
    pub until: Millis,
    /// Why, for people; of a mute always empty.
    pub reason: String,
    /// Who did it; nil when that was not kept yet.
    pub by: UserId,
    /// When; 0 when that was not kept yet.
    pub at: Millis,
}

impl Sentence {
    /// Whether it stands at a wall time.
    #[must_use]
    pub fn stands(&self, wall: Millis) -> bool {
        self.until.0 == 0 || wall < self.until
    }
}

/// What is written to the relational store by one command, in one transaction with its idempotency result
/// and its outbox row. The owner shard has checked that it is allowed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MetaChange {
    /// Insert the room with its first members (the creator as owner). Nobody is made a member across a block with the actor, here, by
    /// [`Self::Begin`] and by [`MetaEvent::Joined`].
    Create {
        /// The row; its version is set by the store.
        row: RoomRow,
        /// The first members.
        members: Vec<(UserId, Role)>,
    },
    /// Insert the 1:1 of the actor and a user, both as members; not against the user's [`DirectFrom`](crate::DirectFrom). Of an actor with
    /// whom the user shares no room ([`MemberRow::by_stranger`]) it begins as a request ([`MetaOutcome::Requested`]): [`MetaOutcome::TooOften`] when the actor made as many in a day as it may,
    /// [`MetaOutcome::Closed`] when as many wait for the user as may.
    Begin {
        /// The row; its version is set by the store.
        row: RoomRow,
        /// The other one.
        user: UserId,
        /// Requests that the actor makes in a day at most.
        requests_max: u32,
    },
    /// Something becomes of a 1:1 that began as a request; [`MetaOutcome::NoRequest`] when it is none that the actor may change so, and as
    /// for [`Self::Begin`] when it is made anew, but for how many wait: the room is the user's already. No event.
    Conversation(RequestChange),
    /// Apply [`MetaEvent`] to the rows.
    Event(MetaEvent),
    /// Set or lift a block of `by` against `user`. Its room is their 1:1, which need not exist. No event.
    Block {
        /// Who blocks.
        by: UserId,
        /// Who is blocked.
        user: UserId,
        /// Set, or lifted.
        on: bool,
    },
    /// Keep a link, and forget those of its room that live no more. [`MetaOutcome::Limit`] when as many live as may. No event.
    Link(Box<Link>),
    /// Forget a link; [`MetaOutcome::NoLink`] when there is none of that name. No event.
    Unlink {
        /// Which.
        link: LinkId,
    },
    /// The actor joins by the link with this hash, whose uses are counted with it; [`MetaOutcome::NoLink`] when none lives.
    Enter {
        /// Hash of the secret of its code.
        hash: [u8; 32],
    },
    /// The actor asks to become a member, and requests that count no more are forgotten: those of the room and of the actor.
    /// [`MetaOutcome::Exists`] when the actor's request is open, [`MetaOutcome::Declined`] when it was not long ago,
    /// [`MetaOutcome::Limit`] when the room or the actor has as many open as may be. No event.
    Ask {
        /// What the actor says.
        text: String,
    },
    /// The actor takes its open request back; [`MetaOutcome::NoRequest`] when there is none. No event.
    Withdraw,
    /// A user whose request is open becomes a member; [`MetaOutcome::NoRequest`] when none is. The request goes as it does
    /// whenever its user becomes a member, or is banned.
    Accept {
        /// Who asked.
        user: UserId,
    },
    /// The actor reports something. [`MetaOutcome::Exists`] when the actor's report of it is open, [`MetaOutcome::Limit`] when the actor
    /// made, or the room has, as many as may be. No event.
    Report(Box<Report>),
    /// A report that is open is resolved; by the nil actor for an operator. [`MetaOutcome::NoReport`] when none is, or the actor may not
    /// decide it. No event.
    Resolve(Box<Resolution>),
    /// A request that is open is declined, and says nothing any more; [`MetaOutcome::NoRequest`] when none is. No event.
    Decline {
        /// Who asked.
        user: UserId,
    },
}

impl MetaChange {
    /// Whether nothing of it is in the room's log.
    #[must_use]
    pub fn has_no_event(&self) -> bool {
        match self {
            Self::Block { .. }
            | Self::Link(_)
            | Self::Unlink { .. }
            | Self::Ask { .. }
            | Self::Withdraw
            | Self::Report(_)
            | Self::Resolve(_)
            | Self::Conversation(_)
            | Self::Decline { .. } => true,
            Self::Create { .. }
            | Self::Begin { .. }
            | Self::Event(_)
            | Self::Enter { .. }
            | Self::Accept { .. } => false,
        }
    }
}

/// A metadata command as the store sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MetaTransaction {
    /// The room (for a block, the 1:1 of the pair).
    pub room: RoomId,
    /// Who asks.
    pub actor: UserId,
    /// Idempotency key; scope is (actor, room).
    pub key: Key,
    /// Hash of the command's content: the same key with another hash is a conflict.
    pub content_hash: u64,
    /// Server wall time.
    pub wall: Millis,
    /// What to write.
    pub change: MetaChange,
}

impl MetaTransaction {
    /// The transaction that an intent's record promises; `None` for a record of another kind.
    ///
    /// # Errors
    /// When the payload cannot be decoded.
    pub fn of_intent(record: &Record<'_>) -> Result<Option<Self>, BodyError> {
        let head = &record.head;
        let Body::Intent { content_hash, event } = Body::decode(head.kind, record.payload)? else {
            return Ok(None);
        };
        let RecordHead { room, sender: actor, key, wall, .. } = *head;
        Ok(Some(Self { room, actor, key, content_hash, wall, change: MetaChange::Event(event) }))
    }
}

/// Users that one user may block.
pub const BLOCKS_PER_USER_MAX: u32 = 10_000;
/// Rooms that one user may be a member of.
pub const ROOMS_PER_USER_MAX: u32 = 10_000;
/// Rooms up to which others may add a user to theirs: strangers must not use up what a user needs for rooms of its own
/// choice and for 1:1 conversations.
pub const ROOMS_BY_OTHERS_MAX: u32 = ROOMS_PER_USER_MAX / 2;

/// Number of rooms from which on a user cannot become a member of one more, by `actor`.
#[must_use]
pub fn rooms_max(actor: UserId, user: UserId, kind: RoomKind) -> u32 {
    if actor == user || kind == RoomKind::Direct { ROOMS_PER_USER_MAX } else { ROOMS_BY_OTHERS_MAX }
}

/// How the store answered a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MetaOutcome {
    /// Written now, as `version`; `event` waits in the outbox until it is confirmed. A block has no event, nor has a link.
    Applied {
        /// The room's new version; 0 for what has no event.
        version: u64,
        /// The event to journal.
        event: Option<MetaEvent>,
    },
    /// As `Applied` or, with a seq, as `Repeated`, of a 1:1 that waits for its other user to accept it.
    Requested {
        /// The room's new version.
        version: u64,
        /// Of a repetition, the seq of the event.
        repeated: Option<Seq>,
    },
    /// Written now, without an event: a report that was made, or resolved.
    Reported {
        /// Its place among the room's.
        number: u64,
        /// Whom it is about; nil for a room. They are not told of it.
        user: UserId,
    },
    /// The same key and content were written before; `seq` is 0 when its event is not confirmed yet.
    Repeated {
        /// Version of that change.
        version: u64,
        /// Seq of its event.
        seq: Seq,
    },
    /// The key was used with other content.
    Conflict,
    /// The name is taken by another room.
    NameTaken,
    /// `Create` of a room that exists under another key.
    Exists,
    /// The room does not exist.
    Missing,
    /// A block stands between the actor and the user who would become a member.
    Blocked,
    /// A 1:1 whose other user takes none from the actor; somebody whom the actor, a stranger, adds to a room, and who does not take 1:1s from
    /// everyone.
    Closed,
    /// The actor has begun as many 1:1s with strangers as it may, until then.
    TooOften {
        /// When there may be one more.
        until: Millis,
    },
    /// No such link lives.
    NoLink,
    /// No such request is open.
    NoRequest,
    /// No such report is open, for the actor.
    NoReport,
    /// The actor's request was declined not long ago.
    Declined,
    /// A user blocks [`BLOCKS_PER_USER_MAX`] users, or would be in more than [`ROOMS_PER_USER_MAX`] rooms; a room
    /// has [`LINKS_PER_ROOM_MAX`](crate::LINKS_PER_ROOM_MAX) links; as many requests are open as may be.
    Limit,
}

impl MetaOutcome {
    /// What was written now: the room's version, 0 for what has no event, and the event to journal; `None` when nothing was.
    #[must_use]
    pub fn written(&self) -> Option<(u64, Option<&MetaEvent>)> {
        match self {
            Self::Applied { version, event } => Some((*version, event.as_ref())),
            Self::Requested { version, repeated: None } => Some((*version, None)),
            Self::Reported { .. } => Some((0, None)),
            _ => None,
        }
    }
}

/// An event that the store holds until the owner shard has journaled it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutboxRow {
    /// The room's version after the change.
    pub version: u64,
    /// Who caused it.
    pub actor: UserId,
    /// Idempotency key of the command.
    pub key: Key,
    /// Server wall time of the change.
    pub wall: Millis,
    /// The change.
    pub event: MetaEvent,
}

/// A change of a room or of its members, as it stands in the room's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MetaEvent {
    /// The room exists.
    Created {
        /// Who can find and join it.
        kind: RoomKind,
        /// Display name.
        name: String,
    },
    /// A user became a member.
    Joined {
        /// Who.
        user: UserId,
        /// With which role.
        role: Role,
    },
    /// A member left.
    Left {
        /// Who.
        user: UserId,
    },
    /// A member was removed.
    Kicked {
        /// Who.
        user: UserId,
        /// Why, for people.
        reason: String,
    },
    /// A user was banned, and removed when a member.
    Banned {
        /// Who.
        user: UserId,
        /// Wall time of its end; 0 for never.
        until: Millis,
        /// Why, for people.
        reason: String,
    },
    /// A ban was lifted.
    Unbanned {
        /// Who.
        user: UserId,
    },
    /// A member may not post for a time.
    Muted {
        /// Who.
        user: UserId,
        /// Wall time of its end; 0 for never.
        until: Millis,
    },
    /// A mute was lifted.
    Unmuted {
        /// Who.
        user: UserId,
    },
    /// A member's role changed.
    Role {
        /// Who.
        user: UserId,
        /// The new role.
        role: Role,
    },
    /// Ownership went from the actor (now admin) to a member.
    Transferred {
        /// The new owner.
        user: UserId,
    },
    /// A message was pinned or unpinned.
    Pinned {
        /// Seq of the message.
        target: Seq,
        /// Pinned, or unpinned.
        on: bool,
    },
    /// The room's settings, all of them, after the change.
    Settings {
        /// Display name.
        name: String,
        /// Durability of acknowledgements.
        level: AckLevel,
        /// How much past a member sees.
        visibility: HistoryVisibility,
        /// Least seconds between two messages of one member.
        slow_mode_seconds: u32,
        /// The rest; `None` in events that were written before there was any.
        more: Option<Box<MoreSettings>>,
    },
    /// The room is no more. It is the last event.
    Deleted,
}

/// Settings that came after the first form of [`MetaEvent::Settings`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MoreSettings {
    /// Who can find and join the room.
    pub kind: RoomKind,
    /// What it is about; empty for nothing.
    pub description: String,
    /// Its picture; nil for none.
    pub avatar: MediaId,
    /// Members at most; 0 for the server's limit.
    pub members_max: u32,
    /// Days for which messages are kept; 0 for as long as the server keeps them.
    pub retention_days: u32,
    /// Only moderators and above post.
    pub read_only: bool,
}

impl MoreSettings {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.kind as u8);
        put_text(out, &self.description);
        out.extend_from_slice(&self.avatar.0);
        out.extend_from_slice(&self.members_max.to_le_bytes());
        out.push(u8::from(self.read_only));
        // Not said where there is none: the last field, and the youngest.
        if self.retention_days > 0 {
            out.extend_from_slice(&self.retention_days.to_le_bytes());
        }
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, BodyError> {
        Ok(Self {
            kind: RoomKind::from_u8(r.u8()?).ok_or(BodyError::Value)?,
            description: get_text(r)?,
            avatar: MediaId(r.take()?),
            members_max: r.u32()?,
            read_only: r.u8()? != 0,
            retention_days: if r.0.is_empty() { 0 } else { r.u32()? },
        })
    }
}

impl RoomRow {
    /// The row of a room as it is made with nothing but what it must have: acknowledgements are [`AckLevel::Local`], all of the past is seen, and
    /// it has no version yet.
    #[must_use]
    pub fn new(room: RoomId, kind: RoomKind, name: &str, creator: UserId, created: Millis) -> Self {
        Self {
            room,
            kind,
            name: name.to_owned(),
            creator,
            created,
            level: AckLevel::Local,
            visibility: HistoryVisibility::All,
            slow_mode_seconds: 0,
            description: String::new(),
            avatar: MediaId::NIL,
            members_max: 0,
            retention_days: 0,
            read_only: false,
            deleted: Millis(0),
            version: 0,
        }
    }

    /// Changes the row as a `settings` event says. Other events leave it.
    pub fn take_settings(&mut self, event: &MetaEvent) {
        let MetaEvent::Settings { name, level, visibility, slow_mode_seconds, more } = event else { return };
        self.name.clone_from(name);
        self.level = *level;
        self.visibility = *visibility;
        self.slow_mode_seconds = *slow_mode_seconds;
        if let Some(more) = more {
            self.kind = more.kind;
            self.description.clone_from(&more.description);
            self.avatar = more.avatar;
            self.members_max = more.members_max;
            self.read_only = more.read_only;
            self.retention_days = more.retention_days;
        }
    }

    /// Takes out of the row what people wrote.
    pub fn delete(&mut self, at: Millis) {
        self.deleted = at;
        self.name.clear();
        self.description.clear();
        self.avatar = MediaId::NIL;
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("names and reasons are limited far below 64 KiB");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn get_text(r: &mut Reader<'_>) -> Result<String, BodyError> {
    let length = usize::from(r.u16()?);
    Ok(r.text(length)?.to_owned())
}

fn get_user(r: &mut Reader<'_>) -> Result<UserId, BodyError> {
    Ok(UserId(r.take()?))
}

impl MetaEvent {
    /// The member or user the event is about, when it is about one.
    #[must_use]
    pub fn subject(&self) -> Option<UserId> {
        match self {
            Self::Joined { user, .. }
            | Self::Left { user }
            | Self::Kicked { user, .. }
            | Self::Banned { user, .. }
            | Self::Unbanned { user }
            | Self::Muted { user, .. }
            | Self::Unmuted { user }
            | Self::Role { user, .. }
            | Self::Transferred { user } => Some(*user),
            Self::Created { .. } | Self::Pinned { .. } | Self::Settings { .. } | Self::Deleted => None,
        }
    }

    /// Whether after this event its subject is no longer a member.
    #[must_use]
    pub fn removes_subject(&self) -> bool {
        matches!(self, Self::Left { .. } | Self::Kicked { .. } | Self::Banned { .. })
    }

    /// Appends the encoding: tag u8, then fields in order; text as length u16 and bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Created { kind, name } => {
                out.extend_from_slice(&[1, *kind as u8]);
                put_text(out, name);
            }
            Self::Joined { user, role } => {
                out.push(2);
                out.extend_from_slice(&user.0);
                out.push(*role as u8);
            }
            Self::Left { user } => {
                out.push(3);
                out.extend_from_slice(&user.0);
            }
            Self::Kicked { user, reason } => {
                out.push(4);
                out.extend_from_slice(&user.0);
                put_text(out, reason);
            }
            Self::Banned { user, until, reason } => {
                out.push(5);
                out.extend_from_slice(&user.0);
                out.extend_from_slice(&until.0.to_le_bytes());
                put_text(out, reason);
            }
            Self::Unbanned { user } => {
                out.push(6);
                out.extend_from_slice(&user.0);
            }
            Self::Muted { user, until } => {
                out.push(7);
                out.extend_from_slice(&user.0);
                out.extend_from_slice(&until.0.to_le_bytes());
            }
            Self::Unmuted { user } => {
                out.push(8);
                out.extend_from_slice(&user.0);
            }
            Self::Role { user, role } => {
                out.push(9);
                out.extend_from_slice(&user.0);
                out.push(*role as u8);
            }
            Self::Transferred { user } => {
                out.push(10);
                out.extend_from_slice(&user.0);
            }
            Self::Pinned { target, on } => {
                out.push(11);
                out.extend_from_slice(&target.0.to_le_bytes());
                out.push(u8::from(*on));
            }
            Self::Settings { name, level, visibility, slow_mode_seconds, more } => {
                out.push(if more.is_some() { 13 } else { 12 });
                put_text(out, name);
                out.extend_from_slice(&[*level as u8, *visibility as u8]);
                out.extend_from_slice(&slow_mode_seconds.to_le_bytes());
                if let Some(more) = more {
                    more.encode(out);
                }
            }
            Self::Deleted => out.push(14),
        }
    }

    /// Decodes what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are short, not UTF-8, or hold a value of a newer version.
    pub fn decode(bytes: &[u8]) -> Result<Self, BodyError> {
        let r = &mut Reader(bytes);
        Ok(match r.u8()? {
            1 => Self::Created {
                kind: RoomKind::from_u8(r.u8()?).ok_or(BodyError::Value)?,
                name: get_text(r)?,
            },
            2 => Self::Joined { user: get_user(r)?, role: Role::from_u8(r.u8()?).ok_or(BodyError::Value)? },
            3 => Self::Left { user: get_user(r)? },
            4 => Self::Kicked { user: get_user(r)?, reason: get_text(r)? },
            5 => Self::Banned { user: get_user(r)?, until: Millis(r.u64()?), reason: get_text(r)? },
            6 => Self::Unbanned { user: get_user(r)? },
            7 => Self::Muted { user: get_user(r)?, until: Millis(r.u64()?) },
            8 => Self::Unmuted { user: get_user(r)? },
            9 => Self::Role { user: get_user(r)?, role: Role::from_u8(r.u8()?).ok_or(BodyError::Value)? },
            10 => Self::Transferred { user: get_user(r)? },
            11 => Self::Pinned { target: Seq(r.u64()?), on: r.u8()? != 0 },
            tag @ (12 | 13) => Self::Settings {
                name: get_text(r)?,
                level: AckLevel::from_u8(r.u8()?).ok_or(BodyError::Value)?,
                visibility: HistoryVisibility::from_u8(r.u8()?).ok_or(BodyError::Value)?,
                slow_mode_seconds: r.u32()?,
                more: if tag == 13 { Some(Box::new(MoreSettings::decode(r)?)) } else { None },
            },
            14 => Self::Deleted,
            _ => return Err(BodyError::Value),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Settings as the first form of events has them.
    const FIRST_FORM: &[u8] = b"\x0c\x04\0hall\x01\x00\x09\0\0\0";

    #[test]
    fn settings_of_the_first_form_are_read_and_written_as_they_were() {
        let event = MetaEvent::decode(FIRST_FORM).expect("an old event");
        let expected = MetaEvent::Settings {
            name: "hall".to_owned(),
            level: AckLevel::Local,
            visibility: HistoryVisibility::All,
            slow_mode_seconds: 9,
            more: None,
        };
        assert_eq!(event, expected);
        let mut again = Vec::new();
        event.encode(&mut again);
        assert_eq!(again, FIRST_FORM);
    }

    #[test]
    fn the_later_settings_follow_the_first_ones() {
        let more = MoreSettings {
            kind: RoomKind::InviteOnly,
            description: "ü".to_owned(),
            avatar: MediaId([7; 16]),
            members_max: 3,
            retention_days: 0,
            read_only: true,
        };
        let settings = |more: &MoreSettings| MetaEvent::Settings {
            name: "hall".to_owned(),
            level: AckLevel::Local,
            visibility: HistoryVisibility::All,
            slow_mode_seconds: 9,
            more: Some(Box::new(more.clone())),
        };
        let event = settings(&more);
        let mut bytes = Vec::new();
        event.encode(&mut bytes);
        let mut stored = FIRST_FORM.to_vec();
        stored[0] = 13;
        stored.extend_from_slice(b"\x02\x02\0\xc3\xbc");
        stored.extend_from_slice(&[7; 16]);
        stored.extend_from_slice(b"\x03\0\0\0\x01");
        assert_eq!(bytes, stored);
        assert_eq!(MetaEvent::decode(&bytes), Ok(event));
        for cut in 0..bytes.len() {
            assert!(MetaEvent::decode(&bytes[..cut]).is_err(), "{cut}");
        }
        let event = settings(&MoreSettings { retention_days: 90, ..more });
        event.encode(&mut stored);
        let later = stored.split_off(bytes.len());
        assert_eq!((&later[..bytes.len()], &later[bytes.len()..]), (&bytes[..], &b"\x5a\0\0\0"[..]));
        assert_eq!(MetaEvent::decode(&later), Ok(event));
    }
}
