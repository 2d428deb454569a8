//! `history` and `members`: pages.
//!
//! Thread: the shard. A page comes from the window when that holds enough of it, else from the store joined with
//! undrained records. A page says what it covers; what it covers is complete, or says what is missing.
//!
//! Invariants: a page shows nothing that was deleted before it leaves, and nothing outside the member's rights.
//! Limits: `history_page_max` items, `reply_bytes_max` bytes. What can fail: the store; then `unavailable`.

use std::ops::Bound;

use lynk_domain::{RoomId, Seq, UserId};
use lynk_model::{PageQuery, PageReply, Parts, StoreReply, StoreRequest, StoredBody, StoredEvent};
use lynk_protocol::{
    ErrorCode, History, Json, Reject, encode_event, encode_gap, encode_history_head, encode_tail,
};

use super::backlog::Cut;
use super::books::{Ask, Books, Held, Pending, refusal, store_reject};
use super::room::{Room, Shown};
use super::window::{Entry, Kind};
use crate::context::Context;
use crate::mail::ConnectionRef;

/// Bytes kept free for the tail of a page.
const TAIL_BYTES: usize = 128;
/// Undrained edits and deletes of earlier messages that a page of events can take into account.
const PAGE_CHANGES_MAX: usize = 4_096;
/// A page is read again this often when more is deleted meanwhile than is remembered.
const PAGE_TRIES_MAX: u8 = 3;

/// Which part of a room's log a page is cut from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Span {
    from: Seq,
    to: Seq,
    /// What the member is shown; what of the span lies before it is a gap.
    shown: Shown,
    backward: bool,
    limit: u32,
    /// Every event, or messages only.
    all: bool,
}

impl Span {
    fn visible_from(&self) -> Seq {
        self.from.max(self.shown.from)
    }

    fn is_empty(&self) -> bool {
        self.visible_from() > self.to
    }
}

/// A page that the store reads.
#[derive(Debug)]
pub(super) struct PageWait {
    held: Held,
    re: u64,
    span: Span,
    /// Deletes of the room when the store was asked.
    deletes: u64,
    /// The log may have holes, so every event is read to find them.
    dense: bool,
    /// The store was asked for a part of the span only.
    narrowed: bool,
    tries: u8,
}

/// Items of a JSON list.
pub(super) struct Items<'a> {
    pub(super) out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Items<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, first: true }
    }

    /// Where the next item is appended.
    pub(super) fn next(&mut self) -> &mut Vec<u8> {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        self.out
    }
}

impl Books {
    pub(super) fn history(&mut self, cx: &mut Context<'_>, room: &mut Room, ask: &Ask<'_>, asked: &History) {
        let shown = match room.shown_to(ask.principal, cx.now.wall) {
            Ok(shown) => shown,
            Err(reject) => return self.refuse(cx, room, ask, reject),
        };
        let foreign = asked.epoch.is_some_and(|epoch| epoch != room.epoch);
        if foreign || asked.after.is_some_and(|after| after > room.top) {
            return self.answer_reset(cx, room, ask);
        }
        match asked.at {
            Some(at) => self.history_from(cx, room, ask, asked, at, shown),
            None => self.history_page(cx, room, ask, asked, shown),
        }
    }

    /// A page by seqs of this epoch, for a member that is shown so much of the log.
    pub(super) fn history_page(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        ask: &Ask<'_>,
        asked: &History,
        shown: Shown,
    ) {
        let limits = &cx.shared.config.limits;
        let below = |before: Seq| Seq(before.0.saturating_sub(1)).min(room.top);
        let span = Span {
            from: asked.after.map_or(Seq(1), Seq::next),
            to: asked.before.map_or(room.top, below),
            shown,
            backward: asked.after.is_none(),
            limit: asked.limit.unwrap_or(limits.history_page_default).clamp(1, limits.history_page_max),
            all: asked.all,
        };
        if span.is_empty() || window_has(room, &span) {
            return self.answer_from_window(cx, room, ask.from, ask.re, span);
        }
        self.ask_page(
            cx,
            room,
            PageWait {
                held: ask.hold(),
                re: ask.re,
                span,
                deletes: 0,
                dense: span.all || room.holes,
                narrowed: false,
                tries: 0,
            },
        );
    }

    /// The client's position means nothing here: all of the room is new to it.
    fn answer_reset(&mut self, cx: &mut Context<'_>, room: &mut Room, ask: &Ask<'_>) {
        let frame = cx.shared.pool.frame(|out| {
            encode_history_head(out, ask.re, room.id, room.epoch);
            encode_gap(out, room.id, Seq(1), room.top, "reset");
            encode_tail(out, Seq(1), room.top, false);
        });
        self.answer(cx, room, ask.from, frame);
    }

    fn answer_from_window(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        to: ConnectionRef,
        re: u64,
        span: Span,
    ) {
        let bytes_max = cx.shared.config.limits.reply_bytes_max as usize;
        let frame = cx.shared.pool.frame(|out| {
            encode_history_head(out, re, room.id, room.epoch);
            let mut page = Page::new(out, room.id, span, bytes_max);
            // A hole is told also where only messages are wanted.
            let wanted = |e: &&Entry| span.all || e.is_message() || matches!(e.kind, Kind::Gap { .. });
            let mut entries = room.window.range(span.visible_from(), span.to).filter(wanted);
            let add = |e: &Entry| {
                let (from, to) = (e.from().max(span.visible_from()), e.seq.min(span.to));
                page.add(from, to, |out| e.encode_within(out, room.id, from, to))
            };
            let _whole = if span.backward { entries.rev().all(add) } else { entries.all(add) };
            let start = room.window.start();
            page.finish(span.visible_from().max(start), span.to, start > span.visible_from());
        });
        self.answer(cx, room, to, frame);
    }

    fn ask_page(&mut self, cx: &mut Context<'_>, room: &mut Room, mut wait: PageWait) {
        wait.tries += 1;
        if !self.may_ask(cx) || wait.tries > PAGE_TRIES_MAX {
            return self.refuse_held(cx, room, &wait.held, Reject::after(ErrorCode::Busy, 100));
        }
        wait.deletes = room.deletes.total();
        let Span { backward, limit, .. } = wait.span;
        let cut = Cut { backward, limit, all: wait.dense };
        let (from, to) = room.backlog.narrow(wait.span.visible_from(), wait.span.to, cut);
        wait.narrowed = (from, to) != (wait.span.visible_from(), wait.span.to);
        let bytes = cx.shared.config.limits.reply_bytes_max;
        let query = PageQuery { room: room.id, from, to, backward, limit, bytes, all: wait.dense };
        let undrained = room.backlog.in_range(query.from, query.to);
        let changes = match query.all {
            true => room.backlog.changes_before(query.from, PAGE_CHANGES_MAX),
            false => Some(Vec::new()),
        };
        let Some(changes) = changes else {
            // The store is far behind with a room that is edited a lot.
            return self.refuse_held(cx, room, &wait.held, Reject::after(ErrorCode::Busy, 1_000));
        };
        let request = StoreRequest::Page { query, undrained, changes };
        self.ask(cx, room, request, Pending::Page(Box::new(wait)));
    }

    pub(super) fn page_found(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        wait: PageWait,
        reply: StoreReply,
    ) {
        let mut page = match reply {
            StoreReply::Page(page) => *page,
            StoreReply::Failed(_) if wait.span.backward && window_reaches(room, &wait) => {
                let Held { from, .. } = wait.held;
                return self.answer_from_window(cx, room, from, wait.re, wait.span);
            }
            StoreReply::Failed(error) => {
                return self.refuse_held(cx, room, &wait.held, store_reject(error));
            }
            _ => return self.refuse_held(cx, room, &wait.held, ErrorCode::Internal.into()),
        };
        // Removed meanwhile: the removal was the last thing to be seen.
        if let Err(reject) = room.reach(wait.held.principal, cx.now.wall) {
            return self.refuse_held(cx, room, &wait.held, reject);
        }
        if wait.span.shown.from <= room.floor {
            // Some of it was removed meanwhile.
            let mut wait = wait;
            wait.span.shown = Shown { from: room.floor.next(), hidden: "retention" };
            if wait.span.is_empty() {
                let Held { from, .. } = wait.held;
                return self.answer_from_window(cx, room, from, wait.re, wait.span);
            }
            return self.ask_page(cx, room, wait);
        }
        let Some(deletes) = room.deletes.since(wait.deletes) else {
            return self.ask_page(cx, room, wait);
        };
        page.events.iter_mut().for_each(|event| event.forget_target(room.floor));
        for deleted in deletes {
            page.events.iter_mut().for_each(|event| strike(event, deleted.target, deleted.rev));
        }
        page.more |= wait.narrowed;
        let (span, re) = (wait.span, wait.re);
        let bytes_max = cx.shared.config.limits.reply_bytes_max as usize;
        let frame = cx.shared.pool.frame(|out| {
            encode_history_head(out, re, room.id, room.epoch);
            encode_stored(Page::new(out, room.id, span, bytes_max), page, &span, wait.dense);
        });
        self.answer(cx, room, wait.held.from, frame);
    }

    pub(super) fn members(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        ask: &Ask<'_>,
        after: Option<UserId>,
        limit: Option<u32>,
    ) {
        if let Err(reject) = room.member(ask.user, cx.now.wall) {
            return self.refuse(cx, room, ask, reject);
        }
        let limits = &cx.shared.config.limits;
        let limit = limit.unwrap_or(limits.history_page_default).clamp(1, limits.history_page_max) as usize;
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let positions = room.passes_signs(limits.presence_room_members_max);
        let frame = cx.shared.pool.frame(|out| {
            let mut json = Json::new(out);
            json.open(b'{').key("ev").text("members").key("re").number(ask.re).key("room").id(&room.id.0);
            json.key("count").number(room.members_count()).key("members").open(b'[');
            let members = room.all_members();
            let mut rest = members.range((start, Bound::Unbounded));
            for (user, member) in rest.by_ref().take(limit) {
                json.open(b'{').key("user").id(&user.0).key("role").text(member.role.name());
                if positions {
                    json.key("read").number(member.shown_read().0);
                    json.key("delivered").number(member.delivered.0);
                }
                json.close(b'}');
            }
            json.close(b']').key("more").bool(rest.next().is_some()).close(b'}');
        });
        self.answer(cx, room, ask.from, frame);
    }
}

/// Whether the window holds a full page of the span, or all of it.
fn window_has(room: &Room, span: &Span) -> bool {
    let start = room.window.start();
    if span.backward && span.to >= start {
        let held = room.window.range(start, span.to);
        let wanted = held.filter(|e| span.all || e.is_message()).take(span.limit as usize).count();
        return start <= span.visible_from() || wanted >= span.limit as usize;
    }
    start <= span.visible_from()
}

/// Whether the window holds the start of a backward page: better a short one than none while the store is away.
fn window_reaches(room: &Room, wait: &PageWait) -> bool {
    let member = room.members.contains_key(&wait.held.principal.user);
    member && room.window.range(room.window.start(), wait.span.to).any(|e| wait.span.all || e.is_message())
}

/// Takes what it says out of an event whose message was deleted after it was read.
fn strike(event: &mut StoredEvent, target: Seq, rev: Seq) {
    match &mut event.body {
        StoredBody::Message(view) if event.seq == target => {
            view.deleted = rev;
            view.text = String::new();
            view.parts = Parts::default();
            view.reactions.clear();
        }
        StoredBody::Edit { target: edited, text, parts } if *edited == target => {
            *text = String::new();
            *parts = Parts::default();
        }
        _ => {}
    }
}

/// Items of a page, cut by count and bytes, with the holes between them made visible.
struct Page<'a> {
    items: Items<'a>,
    room: RoomId,
    span: Span,
    count: u32,
    bytes_end: usize,
    /// The first item that was left out.
    left_out: Option<(Seq, Seq)>,
}

impl<'a> Page<'a> {
    fn new(out: &'a mut Vec<u8>, room: RoomId, span: Span, bytes_max: usize) -> Self {
        let bytes_end = out.len() + bytes_max.saturating_sub(out.len() + TAIL_BYTES);
        let mut page = Self { items: Items::new(out), room, span, count: 0, bytes_end, left_out: None };
        if !span.backward {
            page.tell_hidden();
        }
        page
    }

    /// Tells which part of the span lies before what the member may see. Returns whether there is one.
    fn tell_hidden(&mut self) -> bool {
        let Span { from, to, shown, .. } = self.span;
        let hidden_to = Seq(shown.from.0.saturating_sub(1)).min(to);
        if from <= hidden_to {
            encode_gap(self.items.next(), self.room, from, hidden_to, shown.hidden);
        }
        from <= hidden_to
    }

    /// Adds an item that speaks for `from..=to`; `false` when it does not fit and the page is cut before it.
    fn add(&mut self, from: Seq, to: Seq, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        if self.count >= self.span.limit {
            self.left_out = Some((from, to));
            return false;
        }
        let (before, first) = (self.items.out.len(), self.items.first);
        write(self.items.next());
        if self.items.out.len() > self.bytes_end && self.count > 0 {
            self.items.out.truncate(before);
            self.items.first = first;
            self.left_out = Some((from, to));
            return false;
        }
        self.count += 1;
        true
    }

    /// Ends the page, which covers `from..=to` unless it was cut.
    fn finish(mut self, mut from: Seq, mut to: Seq, mut more: bool) {
        let Span { backward, from: span_from, .. } = self.span;
        if let Some((out_from, out_to)) = self.left_out {
            more = true;
            if backward {
                from = out_to.next();
            } else {
                to = Seq(out_from.0.saturating_sub(1));
            }
        }
        // A backward page tells of the hidden past where it reaches it, a forward one has done so.
        if !backward || (!more && self.tell_hidden()) {
            from = from.min(span_from);
        }
        encode_tail(self.items.out, from, to, more);
    }
}

/// Writes a page of the store. In a dense one every seq that no event has is told as lost.
fn encode_stored(mut page: Page<'_>, stored: PageReply, span: &Span, dense: bool) {
    let PageReply { events, covers_from, covers_to, more } = stored;
    // Where the next event is expected, in the direction of the page.
    let mut next = if span.backward { covers_to } else { covers_from };
    let room = page.room;
    for event in &events {
        let hole = match span.backward {
            true => (event.seq.next(), next),
            false => (next, Seq(event.seq.0.saturating_sub(1))),
        };
        if dense
            && hole.0 <= hole.1
            && !page.add(hole.0, hole.1, |out| encode_gap(out, room, hole.0, hole.1, "lost"))
        {
            return page.finish(covers_from, covers_to, more);
        }
        let wanted = span.all || matches!(event.body, StoredBody::Message(_));
        if wanted && !page.add(event.seq, event.seq, |out| encode_event(out, event)) {
            return page.finish(covers_from, covers_to, more);
        }
        next = if span.backward { Seq(event.seq.0.saturating_sub(1)) } else { event.seq.next() };
    }
    let rest = if span.backward { (covers_from, next) } else { (next, covers_to) };
    if dense && rest.0 <= rest.1 {
        page.add(rest.0, rest.1, |out| encode_gap(out, room, rest.0, rest.1, "lost"));
    }
    page.finish(covers_from, covers_to, more);
}

/// Answers an asker whose room could not be loaded.
pub(super) fn refuse_unloaded(cx: &mut Context<'_>, ask: &Ask<'_>, reject: &Reject) {
    if let Some(frame) = refusal(cx, ask, reject) {
        cx.post(ask.from.shard, crate::mail::Mail::Reply { to: ask.from, frame, behind: None, late: false });
    }
}
