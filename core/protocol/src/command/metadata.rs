//! Commands about rooms and members.

use lynk_domain::{LinkId, Role, RoomId, RoomKind, UserId};
use lynk_model::{ReportOutcome, ReportReason};

use super::envelope::{Envelope, invalid, missing, parse_name, take, view};
use super::rare::Rare;
use super::{Command, MoreWanted};
use crate::{DiscoverCursor, ErrorCode, LinkCode, Reject};

/// The room that a code leads to. One that is said beside it must be the same.
fn led_to(e: &Envelope<'_>, code: LinkCode) -> Result<RoomId, Reject> {
    match &e.room {
        Some(said) if said.0 != code.room.0 => Err(ErrorCode::InvalidCode.into()),
        _ => Ok(code.room),
    }
}

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
        "accept_conversation" | "decline_conversation" => {
            let accept = op == "accept_conversation";
            Command::AnswerConversation { room: e.room()?, key: e.key()?, accept }
        }
        "find" => Command::Find { name: Rare::of(text)?.name()? },
        "join" => match Rare::of(text)?.code()? {
            None => Command::Join { room: e.room()?, key: e.key()?, secret: None },
            Some(code) => Command::Join { room: led_to(e, code)?, key: e.key()?, secret: Some(code.secret) },
        },
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
        "link" => {
            let rare = Rare::of(text)?;
            Command::Link { room: e.room()?, key: e.key()?, seconds: rare.seconds, uses: rare.uses }
        }
        "links" => Command::Links { room: e.room()? },
        "unlink" => Command::Unlink {
            room: e.room()?,
            key: e.key()?,
            link: Rare::of(text)?.link.map(|id| LinkId(id.0)).ok_or_else(|| missing("link"))?,
        },
        "look" => {
            let code = Rare::of(text)?.code()?.ok_or_else(|| missing("code"))?;
            Command::Look { room: led_to(e, code)?, secret: code.secret }
        }
        "discover" => {
            let mut rare = Rare::of(text)?;
            let cursor = view(&rare.cursor).map(|text| {
                DiscoverCursor::parse(text).ok_or_else(|| invalid("cursor", "is of no page of this server"))
            });
            let cursor = cursor.transpose()?;
            Command::Discover { cursor, name: take(&mut rare.name), limit: e.limit }
        }
        "withdraw_request" => Command::WithdrawRequest { room: e.room()?, key: e.key()? },
        "my_requests" => Command::MyRequests { after: e.after_id()?.map(RoomId), limit: e.limit },
        "requests" => Command::Requests { room: e.room()?, after: e.after_id()?.map(UserId), limit: e.limit },
        "moderation_log" => Command::ModerationLog { room: e.room()?, before: e.before()?, limit: e.limit },
        "report" => {
            let mut rare = Rare::of(text)?;
            let reason = parse_name("reason", Some(&*rare.reason()), ReportReason::parse)?;
            Command::Report {
                room: e.room()?,
                key: e.key()?,
                seq: e.seq.map(|_| e.seq()).transpose()?,
                user: e.user.as_ref().map(|id| UserId(id.0)),
                reason: reason.ok_or_else(|| missing("reason"))?,
                comment: take(&mut rare.comment).unwrap_or_default(),
            }
        }
        "reports" => {
            let rare = Rare::of(text)?;
            let open = match view(&rare.state) {
                None | Some("open") => true,
                Some("resolved") => false,
                Some(_) => return Err(invalid("state", "has no such value")),
            };
            Command::Reports { room: e.room()?, open, before: e.before()?, limit: e.limit }
        }
        "resolve_report" => {
            let mut rare = Rare::of(text)?;
            let outcome = parse_name("outcome", view(&rare.outcome), ReportOutcome::parse)?;
            Command::ResolveReport {
                room: e.room()?,
                number: rare.number.ok_or_else(|| missing("number"))?,
                key: e.key()?,
                outcome: outcome.ok_or_else(|| missing("outcome"))?,
                note: take(&mut rare.note).unwrap_or_default(),
            }
        }
        "accept_request" | "decline_request" => Command::AnswerRequest {
            room: e.room()?,
            user: e.user()?,
            key: e.key()?,
            accept: op == "accept_request",
        },
        _ => return Err(Reject::new(ErrorCode::UnknownOp)),
    })
}
