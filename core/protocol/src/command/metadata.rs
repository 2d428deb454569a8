//! Commands about rooms and members.

use lynk_domain::{Role, RoomKind, UserId};

use super::envelope::{Envelope, missing, parse_name, take, view};
use super::rare::Rare;
use super::{Command, MoreWanted};
use crate::{ErrorCode, Reject};

/// The command of an op that is not about messages.
pub(super) fn metadata_of<'a>(op: &str, e: &Envelope<'a>, text: &'a str) -> Result<Command<'a>, Reject> {
    Ok(match op {
        "create" => {
            let mut rare = Rare::of(text)?;
            Command::Create {
                key: e.key()?,
                kind: rare.kind()?.unwrap_or(RoomKind::Public),
                level: rare.level()?,
                visibility: rare.visibility()?,
                name: rare.name()?,
                more: Box::new(rare.settings()),
            }
        }
        "direct" => Command::Direct { user: e.user()? },
        "find" => Command::Find { name: Rare::of(text)?.name()? },
        "join" => Command::Join { room: e.room()?, key: e.key()? },
        "invite" => Command::Invite { room: e.room()?, user: e.user()?, key: e.key()? },
        "leave" => Command::Leave { room: e.room()?, key: e.key()? },
        "role" => Command::Role {
            room: e.room()?,
            user: e.user()?,
            key: e.key()?,
            role: parse_name("role", view(&Rare::of(text)?.role), Role::parse)?
                .ok_or_else(|| missing("role"))?,
        },
        "transfer" => Command::Transfer { room: e.room()?, user: e.user()?, key: e.key()? },
        "kick" => Command::Kick {
            room: e.room()?,
            user: e.user()?,
            key: e.key()?,
            reason: Rare::of(text)?.reason(),
        },
        "ban" => {
            let mut rare = Rare::of(text)?;
            Command::Ban {
                room: e.room()?,
                user: e.user()?,
                key: e.key()?,
                seconds: rare.seconds,
                reason: rare.reason(),
            }
        }
        "unban" => Command::Unban { room: e.room()?, user: e.user()?, key: e.key()? },
        "mute" => Command::Mute {
            room: e.room()?,
            user: e.user()?,
            key: e.key()?,
            seconds: Rare::of(text)?.seconds,
        },
        "unmute" => Command::Unmute { room: e.room()?, user: e.user()?, key: e.key()? },
        "block" | "unblock" => Command::Block { user: e.user()?, key: e.key()?, on: op == "block" },
        "pin" => Command::Pin { room: e.room()?, seq: e.seq()?, key: e.key()?, on: e.on.unwrap_or(true) },
        "settings" => {
            let mut rare = Rare::of(text)?;
            Command::Settings {
                room: e.room()?,
                key: e.key()?,
                level: rare.level()?,
                visibility: rare.visibility()?,
                slow_mode_seconds: rare.slow_mode_seconds,
                more: Box::new(MoreWanted { kind: rare.kind()?, ..rare.settings() }),
                name: take(&mut rare.name),
            }
        }
        "about" => Command::About { room: e.room()? },
        "delete_room" => Command::DeleteRoom { room: e.room()?, key: e.key()? },
        "bans" => Command::Bans { room: e.room()?, after: e.after_id()?.map(UserId), limit: e.limit },
        "mutes" => Command::Mutes { room: e.room()?, after: e.after_id()?.map(UserId), limit: e.limit },
        "pins" => Command::Pins { room: e.room()? },
        _ => return Err(Reject::new(ErrorCode::UnknownOp)),
    })
}
