//! `history` from a time on: where in the log that is, and then a page as any other.
//!
//! Thread: the shard. The page begins behind the last message that is older than the time. The window tells where that is when it
//! holds an older message; else the store searches, by halves: each step looks at one message. Messages that the store does not have
//! are looked at in the journals; of a long backlog only some at first, then those between the two that the answer lies between.
//!
//! The clock of messages never goes back while a server runs. Where it went back over a restart, the time lies in several places, and the page
//! begins at one of them.
//!
//! Limits: [`RECORDS_MAX`] records in a request, [`TRIES_MAX`] requests. What can fail: the store.

use lynk_domain::{Millis, Seq};
use lynk_model::{StoreReply, StoreRequest};
use lynk_protocol::{ErrorCode, History, Reject};

use super::books::{Ask, Books, Held, Pending, store_reject};
use super::room::{Room, Shown};
use crate::context::Context;

/// Undrained messages that a search is told of at a time.
const RECORDS_MAX: usize = 1_024;
/// Requests of one search: each narrows a backlog to a thousandth.
const TRIES_MAX: u8 = 4;

/// A search under way.
#[derive(Debug)]
pub(super) struct TimeWait {
    held: Held,
    re: u64,
    asked: History,
    at: Millis,
    /// The last message that is known to be older, or the seq before the first that may be seen.
    after: Seq,
    /// The store was told of some of the undrained messages only.
    sampled: bool,
    tries: u8,
}

impl Books {
    /// Finds the place of a time in the log.
    pub(super) fn history_from(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        ask: &Ask<'_>,
        asked: &History,
        at: Millis,
        shown: Shown,
    ) {
        let newer = room.window.iter().rev().filter(|entry| entry.is_message());
        let older = newer.map(|entry| (entry.seq, entry.wall)).find(|(_, wall)| *wall < at);
        match older {
            Some((seq, _)) => self.history_behind(cx, room, ask, asked, seq, shown),
            None if room.window.start() <= shown.from => {
                self.history_behind(cx, room, ask, asked, Seq(0), shown);
            }
            None => {
                let (after, to) = (Seq(shown.from.0 - 1), Seq(room.window.start().0 - 1));
                let wait = TimeWait {
                    held: ask.hold(),
                    re: ask.re,
                    asked: *asked,
                    at,
                    after,
                    sampled: false,
                    tries: 0,
                };
                self.ask_place(cx, room, wait, to);
            }
        }
    }

    fn ask_place(&mut self, cx: &mut Context<'_>, room: &mut Room, mut wait: TimeWait, to: Seq) {
        wait.tries += 1;
        if !self.may_ask(cx) || wait.tries > TRIES_MAX {
            return self.refuse_held(cx, room, &wait.held, Reject::after(ErrorCode::Busy, 100));
        }
        let from = wait.after.next();
        let (undrained, sampled) = room.backlog.messages(from, to, RECORDS_MAX);
        wait.sampled = sampled;
        let request = StoreRequest::FindTime { room: room.id, at: wait.at, from, to, undrained };
        self.ask(cx, room, request, Pending::Time(Box::new(wait)));
    }

    /// The store searched, or could not.
    pub(super) fn time_found(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        mut wait: TimeWait,
        reply: StoreReply,
    ) {
        let (after, to) = match reply {
            StoreReply::Time { after, to } => (after, to),
            StoreReply::Failed(error) => {
                return self.refuse_held(cx, room, &wait.held, store_reject(error));
            }
            _ => return self.refuse_held(cx, room, &wait.held, ErrorCode::Internal.into()),
        };
        let user = wait.held.principal.user;
        let shown = match room.member(user, cx.now.wall) {
            Ok(member) => room.shown(member),
            Err(reject) => return self.refuse_held(cx, room, &wait.held, reject),
        };
        wait.after = after;
        if wait.sampled && after < to {
            return self.ask_place(cx, room, wait, to);
        }
        let held = wait.held.clone();
        let decoded = lynk_protocol::decode(&held.raw);
        let Ok(command) = &decoded.command else { return };
        let ask = Ask::new(held.from, held.principal, wait.re, command, &held.raw);
        self.history_behind(cx, room, &ask, &wait.asked, after, shown);
    }

    /// A page behind the last older message; from the beginning of all when there is none that may be seen.
    fn history_behind(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        ask: &Ask<'_>,
        asked: &History,
        older: Seq,
        shown: Shown,
    ) {
        let after = if older < shown.from { Seq(0) } else { older };
        let asked = History { at: None, after: Some(after), ..*asked };
        self.history_page(cx, room, ask, &asked, shown);
    }
}
