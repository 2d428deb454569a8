//! What an old key led to, when memory has forgotten it and the store's key index does not have it: keys of edits,
//! deletes, reactions and metadata stand in the log beside their events, and are looked for there.
//!
//! Thread: the shard. It goes back from the top until the events are older than the key can be. Only retries that
//! come late, or soon after a busy room was loaded, get here. Limits: [`PAGES_MAX`] pages of `history_page_max` events;
//! a key that would need more is answered as expired. What can fail: the store; then `unavailable`.

use lynk_domain::{Key, Millis, Seq};
use lynk_model::port::content_hash;
use lynk_model::{Body, PageQuery, StoreReply, StoreRequest, StoredBody, StoredEvent};
use lynk_protocol::{ErrorCode, Reject};

use super::books::{Ask, Books, Found, Held, Pending, store_reject};
use super::change::change_hash;
use super::keys::{Lookup, Used};
use super::room::Room;
use crate::context::Context;

/// Pages looked through for one key.
const PAGES_MAX: u8 = 20;

/// A command whose key is looked for.
#[derive(Debug)]
pub(super) struct Recall {
    held: Held,
    key: Key,
    /// The key was not used before this wall time.
    since: Millis,
    /// Nor by an event at or before this one.
    after: Seq,
    /// Events above are looked through.
    to: Seq,
    pages: u8,
}

impl Books {
    /// Whether only the log can tell what a key, that is not of `send`, led to.
    pub(super) fn must_recall(&self, room: &Room, ask: &Ask<'_>, key: Key) -> bool {
        let made = Millis(key.v7_millis().unwrap_or(0));
        self.keys.look_up(&Self::scope(room, ask.user, key), made, room.known_since) == Lookup::Ask
    }

    /// Looks for the event that a key led to, after the event `after`. The command goes on with
    /// [`Found::Key`]; the connection's next ones wait.
    pub(super) fn recall(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        ask: &Ask<'_>,
        key: Key,
        after: Seq,
    ) {
        let ahead = cx.shared.config.limits.key_ahead_max_millis;
        let since = Millis(key.v7_millis().unwrap_or(0).saturating_sub(ahead));
        let to = room.top;
        self.recall_page(cx, room, Recall { held: ask.hold(), key, since, after, to, pages: 0 });
    }

    fn recall_page(&mut self, cx: &mut Context<'_>, room: &mut Room, mut wait: Recall) {
        if wait.pages >= PAGES_MAX {
            return self.refuse_held(cx, room, &wait.held, ErrorCode::KeyExpired.into());
        }
        if !self.may_ask(cx) {
            return self.refuse_held(cx, room, &wait.held, Reject::after(ErrorCode::Busy, 100));
        }
        wait.pages += 1;
        room.engage(wait.held.from);
        let limits = &cx.shared.config.limits;
        let query = PageQuery {
            room: room.id,
            from: wait.after.next(),
            to: wait.to,
            backward: true,
            limit: limits.history_page_max,
            bytes: u32::MAX,
            all: true,
        };
        // Memory has the keys of undrained records: only stored events are looked through.
        let request = StoreRequest::Page { query, undrained: Vec::new() };
        self.ask(cx, room, request, Pending::Recall(Box::new(wait)));
    }

    /// The store returned a page of the log.
    pub(super) fn recalled(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        mut wait: Recall,
        reply: StoreReply,
    ) {
        room.disengage(wait.held.from);
        let looking = std::mem::take(&mut room.metadata.looking);
        let page = match reply {
            StoreReply::Page(page) => *page,
            StoreReply::Failed(error) => return self.refuse_held(cx, room, &wait.held, store_reject(error)),
            _ => return self.refuse_held(cx, room, &wait.held, ErrorCode::Internal.into()),
        };
        let user = wait.held.principal.user;
        let found = page.events.iter().find(|event| event.sender == user && event.key == wait.key);
        let past = page.events.last().is_some_and(|oldest| oldest.wall < wait.since);
        if found.is_none() && page.more && !past {
            wait.to = Seq(page.covers_from.0.saturating_sub(1));
            self.recall_page(cx, room, wait);
            room.metadata.looking = looking && room.requests > 0;
            return;
        }
        self.run_held(cx, room, &wait.held, Found::Key(found.map(used_by)));
    }
}

/// What a key led to, out of its event.
fn used_by(event: &StoredEvent) -> Used {
    let mut used = Used {
        seq: event.seq,
        n: Default::default(),
        id: Default::default(),
        hash: None,
        wall: event.wall,
        at: None,
    };
    match &event.body {
        StoredBody::Message(view) => {
            (used.n, used.id) = (view.n, view.id);
            let as_sent = view.edited == Seq(0) && view.deleted == Seq(0);
            used.hash = as_sent.then(|| content_hash(view.reply_to, &view.text));
        }
        StoredBody::Delete { target } => used.hash = change_hash(&Body::Delete { target: *target }),
        StoredBody::Reaction { target, on, emoji } => {
            used.hash = change_hash(&Body::Reaction { target: *target, on: *on, emoji });
        }
        // An edit's text may be another by now, and a metadata event does not say all that the command said.
        StoredBody::Edit { .. } | StoredBody::Meta { .. } => {}
    }
    used
}
