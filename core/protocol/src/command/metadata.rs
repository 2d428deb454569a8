//! Commands about rooms and members, and the fields that only they have.

use lynk_domain::{MediaId, Role, RoomKind, UserId};
use serde::Deserialize;
use serde::de::Deserializer;

use super::envelope::{Envelope, Id, Text, invalid, missing, parse_name, take, view};
use super::{Command, MoreWanted, told};
use crate::{ErrorCode, Reject};

/// Fields that no frequent command has.
#[derive(Deserialize)]
struct Rare<'a> {
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(default, deserialize_with = "nil_or_id")]
    avatar: Option<Id>,
    max_members: Option<u32>,
    retention_days: Option<u32>,
    read_only: Option<bool>,
}

/// `null` is the nil id: that there is none is said, too.
fn nil_or_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Id>, D::Error> {
    Ok(Some(Option::<Id>::deserialize(deserializer)?.unwrap_or(Id([0; 16]))))
}

impl<'a> Rare<'a> {
    /// Reads them from the frame.
    fn of(text: &'a str) -> Result<Self, Reject> {
        serde_json::from_str(text).map_err(|error| Reject::because(ErrorCode::InvalidField, told(&error)))
    }

    fn settings(mut self, kind: Option<RoomKind>) -> MoreWanted<'a> {
        MoreWanted {
            kind,
            description: take(&mut self.description),
            avatar: self.avatar.map(|id| MediaId(id.0)),
            members_max: self.max_members,
            retention_days: self.retention_days,
            read_only: self.read_only,
        }
    }
}

/// The kind of a room that has members by its own rules.
fn kind_of(e: &Envelope<'_>) -> Result<Option<RoomKind>, Reject> {
    match parse_name("kind", view(&e.kind), RoomKind::parse)? {
        Some(RoomKind::Direct) => Err(invalid("kind", "`direct` is made by op `direct`")),
        kind => Ok(kind),
    }
}

/// The command of an op that is not about messages.
pub(super) fn metadata_of<'a>(op: &str, mut e: Envelope<'a>, text: &'a str) -> Result<Command<'a>, Reject> {
    Ok(match op {
        "create" => Command::Create {
            key: e.key()?,
            kind: kind_of(&e)?.unwrap_or(RoomKind::Public),
            level: e.level()?,
            visibility: e.visibility()?,
            name: take(&mut e.name).ok_or_else(|| missing("name"))?,
            more: Box::new(Rare::of(text)?.settings(None)),
        },
        "direct" => Command::Direct { user: e.user()? },
        "find" => Command::Find { name: take(&mut e.name).ok_or_else(|| missing("name"))? },
        "join" => Command::Join { room: e.room()?, key: e.key()? },
        "invite" => Command::Invite { room: e.room()?, user: e.user()?, key: e.key()? },
        "leave" => Command::Leave { room: e.room()?, key: e.key()? },
        "role" => Command::Role {
            room: e.room()?,
            user: e.user()?,
            key: e.key()?,
            role: parse_name("role", view(&e.role), Role::parse)?.ok_or_else(|| missing("role"))?,
        },
        "transfer" => Command::Transfer { room: e.room()?, user: e.user()?, key: e.key()? },
        "kick" => Command::Kick { room: e.room()?, user: e.user()?, key: e.key()?, reason: e.reason() },
        "ban" => Command::Ban {
            room: e.room()?,
            user: e.user()?,
            key: e.key()?,
            seconds: e.seconds,
            reason: e.reason(),
        },
        "unban" => Command::Unban { room: e.room()?, user: e.user()?, key: e.key()? },
        "mute" => Command::Mute { room: e.room()?, user: e.user()?, key: e.key()?, seconds: e.seconds },
        "unmute" => Command::Unmute { room: e.room()?, user: e.user()?, key: e.key()? },
        "block" | "unblock" => Command::Block { user: e.user()?, key: e.key()?, on: op == "block" },
        "pin" => Command::Pin { room: e.room()?, seq: e.seq()?, key: e.key()?, on: e.on.unwrap_or(true) },
        "settings" => Command::Settings {
            room: e.room()?,
            key: e.key()?,
            level: e.level()?,
            visibility: e.visibility()?,
            slow_mode_seconds: e.slow_mode_seconds,
            more: Box::new(Rare::of(text)?.settings(kind_of(&e)?)),
            name: take(&mut e.name),
        },
        "about" => Command::About { room: e.room()? },
        "delete_room" => Command::DeleteRoom { room: e.room()?, key: e.key()? },
        "bans" => Command::Bans { room: e.room()?, after: e.after_id()?.map(UserId), limit: e.limit },
        "mutes" => Command::Mutes { room: e.room()?, after: e.after_id()?.map(UserId), limit: e.limit },
        "pins" => Command::Pins { room: e.room()? },
        _ => return Err(Reject::new(ErrorCode::UnknownOp)),
    })
}
