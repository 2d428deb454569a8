//! Links that let people into a room: who may make and end them, and what becomes of them in memory.
//!
//! Thread: the shard. The store keeps a link's hash, counts its uses in the transaction that makes a member, and decides; what memory has spares
//! it questions. Limits: [`LINKS_PER_ROOM_MAX`] links that live in a room, a year. What can fail: the checks; a code that lives no
//! more, or never did, is told as one.

use lynk_auth::link_hash;
use lynk_domain::{Action, Key, Limits, LinkId, Millis, Now, RoomKind, Seq, UserId, allowed};
use lynk_model::{LINKS_PER_ROOM_MAX, Link, MetaChange, MetaTransaction};
use lynk_protocol::{ErrorCode, Json, LinkCode, Reject};

use super::super::books::{Ask, Books, error_frame};
use super::super::room::Room;
use super::Asker;
use super::rules::{Planned, check_space};
use crate::EngineConfig;
use crate::context::Context;
use crate::mail::ConnectionRef;

/// A link lives so long where nothing is said: a week.
const LIFE_SECONDS: u64 = 7 * 86_400;
/// And no longer than a year.
const LIFE_SECONDS_MAX: u64 = 366 * 86_400;
/// Why one more is not made.
pub(super) const TOO_MANY: &str = "the room has as many links as it may; end one";

/// A link that `actor`, who may, makes by the command with this key.
pub(super) fn plan_link(
    room: &Room,
    actor: UserId,
    (key, seconds, uses): (Key, Option<u64>, Option<u32>),
    now: Now,
    config: &EngineConfig,
) -> Result<Planned, Reject> {
    let seconds = seconds.unwrap_or(LIFE_SECONDS);
    if !(1..=LIFE_SECONDS_MAX).contains(&seconds) {
        return Err(Reject::because(ErrorCode::InvalidField, "field `seconds` is 0 or above a year"));
    }
    if uses == Some(0) {
        return Err(Reject::because(ErrorCode::InvalidField, "field `uses` starts at 1"));
    }
    let (id, secret) = config.links.make(room.id, actor, key);
    let living = room.links.iter().filter(|link| link.lives(now.wall) && link.id != id).count();
    if living >= LINKS_PER_ROOM_MAX as usize {
        return Err(Reject::because(ErrorCode::LimitReached, TOO_MANY));
    }
    Ok(Planned::Change(MetaChange::Link(Box::new(Link {
        id,
        hash: link_hash(&secret),
        by: actor,
        at: now.wall,
        until: Millis(now.wall.0 + seconds * 1_000),
        uses_max: uses.unwrap_or(0),
        uses: 0,
    }))))
}

pub(super) fn plan_unlink(room: &Room, link: LinkId) -> Result<Planned, Reject> {
    let change = MetaChange::Unlink { link };
    match room.links.iter().any(|one| one.id == link) {
        true => Ok(Planned::Change(change)),
        false => Err(gone(&change)),
    }
}

/// Joining by a link.
pub(super) fn plan_enter(
    room: &Room,
    actor: UserId,
    secret: &[u8; 16],
    wall: Millis,
    limits: &Limits,
) -> Result<Planned, Reject> {
    if room.members.contains_key(&actor) {
        return Ok(Planned::Already);
    }
    let hash = living(room, secret, wall)?.hash;
    if room.is_banned(actor, wall) {
        return Err(ErrorCode::Banned.into());
    }
    check_space(room, limits)?;
    Ok(Planned::Change(MetaChange::Enter { hash }))
}

/// The link with this secret, while it lets somebody in.
fn living<'r>(room: &'r Room, secret: &[u8; 16], wall: Millis) -> Result<&'r Link, Reject> {
    let stands =
        room.info.as_ref().is_some_and(|row| row.deleted == Millis(0) && row.kind != RoomKind::Direct);
    let hash = link_hash(secret);
    let found = room.links.iter().find(|link| stands && link.hash == hash && link.lives(wall));
    found.ok_or_else(|| ErrorCode::InvalidCode.into())
}

/// Why a change of a link that is gone is refused.
pub(super) fn gone(change: &MetaChange) -> Reject {
    match change {
        MetaChange::Unlink { .. } => Reject::because(ErrorCode::Conflict, "the room has no such link"),
        _ => ErrorCode::InvalidCode.into(),
    }
}

/// Memory has a link that the store does not have.
pub(super) fn forget(room: &mut Room, change: &MetaChange) {
    room.links.retain(|link| match change {
        MetaChange::Unlink { link: gone } => link.id != *gone,
        MetaChange::Enter { hash } => link.hash != *hash,
        _ => true,
    });
}

impl Books {
    /// The store has a link, or has it no more; `fresh` when that came to be now, as far as is known.
    pub(super) fn link_applied(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        tx: &MetaTransaction,
        asker: Option<Asker>,
        fresh: bool,
    ) {
        let MetaChange::Link(link) = &tx.change else {
            if fresh {
                forget(room, &tx.change);
            }
            return self.finish(cx, room, asker, Ok(Seq(0)));
        };
        if fresh && room.links.iter().all(|one| one.id != link.id) {
            room.links.retain(|one| one.lives(tx.wall));
            room.links.push((**link).clone());
        }
        let Some(Asker { from, re }) = asker else { return };
        room.disengage(from);
        self.tell_link(cx, room, (from, re), (tx.actor, tx.key));
    }

    /// Tells whoever made a link by a command with this key its code, again and again, while the link is there.
    pub(super) fn tell_link(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        (from, re): (ConnectionRef, u64),
        (actor, key): (UserId, Key),
    ) {
        let (id, secret) = cx.shared.config.links.make(room.id, actor, key);
        // The key may be of a link that was ended, or that a server with another secret made.
        let Some(until) = room.links.iter().find(|one| one.id == id).map(|one| one.until) else {
            let reject = Reject::because(ErrorCode::Conflict, "the link of this key is over; make another");
            let frame = error_frame(cx, re, Some(room.id), &reject);
            return self.answer(cx, room, from, frame);
        };
        let code = LinkCode { room: room.id, secret }.text();
        let frame = cx.shared.pool.frame(|out| {
            let mut json = Json::new(out);
            json.open(b'{').key("ev").text("ok").key("re").number(re).key("room").id(&room.id.0);
            json.key("link").id(&id.0).key("code").text(&code).key("until").time(until).close(b'}');
        });
        self.answer_behind(cx, room, from, frame);
    }

    /// The links that live, newest first, for those who may make some. Codes are told once, to who made them.
    pub(in super::super) fn links(&mut self, cx: &mut Context<'_>, room: &mut Room, ask: &Ask<'_>) {
        let may =
            |role| if allowed(role, Action::Invite) { Ok(()) } else { Err(ErrorCode::Forbidden.into()) };
        if let Err(reject) = room.member(ask.user, cx.now.wall).and_then(|member| may(member.role)) {
            return self.refuse(cx, room, ask, reject);
        }
        let mut living: Vec<&Link> = room.links.iter().filter(|link| link.lives(cx.now.wall)).collect();
        living.sort_by_key(|link| std::cmp::Reverse((link.at, link.id)));
        let frame = cx.shared.pool.frame(|out| {
            let mut json = Json::new(out);
            json.open(b'{').key("ev").text("links").key("re").number(ask.re).key("room").id(&room.id.0);
            json.key("links").open(b'[');
            for link in living {
                json.open(b'{').key("link").id(&link.id.0).key("by").id(&link.by.0);
                json.key("at").time(link.at).key("until").time(link.until);
                json.key("uses").number(u64::from(link.uses));
                if link.uses_max > 0 {
                    json.key("max_uses").number(u64::from(link.uses_max));
                }
                json.close(b'}');
            }
            json.close(b']').close(b'}');
        });
        self.answer(cx, room, ask.from, frame);
    }

    /// Where a code leads: for everybody who has it and is not banned.
    pub(in super::super) fn look(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        ask: &Ask<'_>,
        secret: &[u8; 16],
    ) {
        let led = living(room, secret, cx.now.wall).map(|_| ());
        let led = led.and_then(|()| match room.is_banned(ask.user, cx.now.wall) {
            true => Err(ErrorCode::Banned.into()),
            false => Ok(()),
        });
        if let Err(reject) = led {
            return self.refuse(cx, room, ask, reject);
        }
        let frame = cx.shared.pool.frame(|out| {
            let mut json = Json::new(out);
            json.open(b'{').key("ev").text("look").key("re").number(ask.re).key("room").id(&room.id.0);
            if let Some(row) = &room.info {
                json.key("kind").text(row.kind.name()).key("name").text(&row.name);
                json.key("description").text(&row.description);
                lynk_protocol::encode_avatar(&mut json, row.avatar);
            }
            json.key("members").number(room.members.len() as u64);
            json.key("member").bool(room.members.contains_key(&ask.user)).close(b'}');
        });
        self.answer(cx, room, ask.from, frame);
    }
}
