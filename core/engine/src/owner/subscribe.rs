//! `subscribe`, also for the rooms of `hello`: where the room stands, and what the client missed.
//!
//! Thread: the shard. Invariants: the answer speaks for everything up to its top; events after it follow in the
//! same stream. Limits: `resume_events_max` events, `resume_bytes_max` bytes; the rest is paged by `history`.
//! What can fail: the membership check.

use std::sync::Arc;

use lynk_domain::{Cursor, Seq};
use lynk_protocol::{Frame, Subscribed, encode_gap, encode_subscribed_head, encode_tail};

use super::books::{Ask, Books};
use super::history::Items;
use super::release::Item;
use super::room::{Member, Room};
use crate::context::Context;

impl Books {
    pub(super) fn subscribe(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        ask: &Ask<'_>,
        cursor: Option<Cursor>,
    ) {
        let member = match room.member(ask.user, cx.now.wall) {
            Ok(member) => *member,
            Err(reject) => return self.refuse(cx, room, ask, reject),
        };
        let unread = room.unread(ask.user, &member);
        let mentions = room.mentions(ask.user, &member, self.blocks);
        let head = Subscribed {
            re: ask.re,
            room: room.id,
            epoch: room.epoch,
            top: room.top,
            top_n: room.top_n,
            read: member.read,
            unread,
            mentions,
            role: member.role,
            members: room.members_count(),
        };
        let frame = encode_missed(cx, room, &member, &head, cursor);
        let (to, epoch, top) = (ask.from, room.epoch, room.top);
        self.emit(cx, room, room.depends, Item::Subscribed { to, epoch, top, frame });
        if unread.is_none() || mentions.is_none() {
            self.count_ahead(cx, room, ask.user);
        }
    }
}

/// The whole `subscribed` frame: numbers, then the newest events after the cursor.
fn encode_missed(
    cx: &mut Context<'_>,
    room: &Room,
    member: &Member,
    head: &Subscribed,
    cursor: Option<Cursor>,
) -> Arc<Frame> {
    let limits = &cx.shared.config.limits;
    let (events_max, bytes_max) = (limits.resume_events_max as usize, limits.resume_bytes_max as usize);
    let shown = room.shown(member);
    cx.shared.pool.frame(|out| {
        encode_subscribed_head(out, head);
        let mut items = Items::new(out);
        let after = match cursor {
            None => return encode_tail(items.out, room.top.next(), room.top, false),
            Some(cursor) if cursor.epoch != room.epoch || cursor.seq > room.top => {
                encode_gap(items.next(), room.id, Seq(1), room.top, "reset");
                return encode_tail(items.out, Seq(1), room.top, false);
            }
            Some(cursor) => cursor.seq,
        };
        let wanted = after.next().max(shown.from);
        let first = newest(room, wanted, events_max, bytes_max);
        let hidden_to = Seq(shown.from.0 - 1).min(room.top);
        let hidden = after < hidden_to && first == wanted;
        if hidden {
            encode_gap(items.next(), room.id, after.next(), hidden_to, shown.hidden);
        }
        for entry in room.window.range(first, room.top) {
            entry.encode_within(items.next(), room.id, first, room.top);
        }
        let from = if hidden { after.next() } else { first };
        encode_tail(items.out, from, room.top, first > wanted);
    })
}

/// First seq of the newest events at or after `wanted` that the window holds and the limits allow.
fn newest(room: &Room, wanted: Seq, events_max: usize, bytes_max: usize) -> Seq {
    let mut first = room.top.next();
    let mut bytes = 0;
    for (count, entry) in room.window.range(wanted, room.top).rev().enumerate() {
        bytes += entry.bytes() + 1;
        if count >= events_max || bytes > bytes_max {
            return first;
        }
        first = entry.from().max(wanted);
    }
    // Everything the window has: it may start later than wanted.
    if room.window.start() <= wanted { wanted.min(room.top.next()) } else { first }
}
