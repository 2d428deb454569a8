//! Watching users: which connection of this shard watches whom. What is told, and to whom, is decided by the user's
//! shard (`crate::user`).

use std::sync::Arc;

use lynk_domain::{RoomId, ShardId, UserId, shard_of_user};
use lynk_protocol::{Done, ErrorCode, Frame, Reject, encode_presence};

use super::Home;
use crate::context::Context;
use crate::io::Slot;
use crate::mail::{ConnectionRef, Mail};

/// Watches that one connection may start per second, after a full list at once: each costs a question to the store.
const WATCHES_PER_SECOND: u32 = 50;

impl Home {
    /// `presence`: changes the list of watched users; with a room, also gathers who of it is here.
    pub(crate) fn presence(
        &mut self,
        cx: &mut Context<'_>,
        slot: Slot,
        re: u64,
        room: Option<RoomId>,
        watch: &[UserId],
        unwatch: &[UserId],
    ) {
        let connection = self.sessions.reference(self.shard, slot);
        let Some(session) = self.sessions.live(connection) else { return };
        let max = cx.shared.config.limits.presence_watch_max as usize;
        let mut ended = Vec::new();
        let mut started = Vec::new();
        if !watch.is_empty() || !unwatch.is_empty() {
            let mut watched = session.extra.as_ref().map(|extra| extra.watched.clone()).unwrap_or_default();
            for user in unwatch {
                if let Ok(at) = watched.binary_search(user) {
                    ended.push(watched.remove(at));
                }
            }
            for user in watch {
                if let Err(at) = watched.binary_search(user) {
                    watched.insert(at, *user);
                    started.push(*user);
                }
                if watched.len() > max {
                    self.refuse(cx, slot, re, &ErrorCode::LimitReached.into());
                    return;
                }
            }
            let extra = session.extra_mut();
            let burst = (max as u32).max(WATCHES_PER_SECOND);
            let started_count = started.len() as u32;
            if let Err(millis) =
                extra.watches.take_many(cx.now.mono, WATCHES_PER_SECOND, burst, started_count)
            {
                session.trim();
                self.refuse(cx, slot, re, &Reject::after(ErrorCode::RateLimited, millis));
                return;
            }
            extra.watched = watched;
            session.trim();
        }
        let watcher = session.principal.user;
        let number = session.next_watch(!(ended.is_empty() && started.is_empty()));
        self.post_watch(cx, connection, watcher, ended, false, number);
        self.post_watch(cx, connection, watcher, started, true, number);
        match room {
            Some(room) => self.here(cx, slot, re, room),
            None => self.done(cx, slot, re, &Done::default()),
        }
    }

    /// Tells the users' shards, one mail each.
    pub(crate) fn post_watch(
        &mut self,
        cx: &mut Context<'_>,
        from: ConnectionRef,
        watcher: UserId,
        mut users: Vec<UserId>,
        on: bool,
        number: u32,
    ) {
        let shard_count = cx.shared.config.shard_count;
        users.sort_unstable_by_key(|user| (shard_of_user(*user, shard_count), *user));
        for group in users.chunk_by(|a, b| shard_of_user(*a, shard_count) == shard_of_user(*b, shard_count)) {
            let to = shard_of_user(group[0], shard_count);
            cx.post(to, Mail::Watch { from, watcher, users: group.into(), on, number });
        }
    }

    /// A watched user came or went, as far as this watcher may know.
    pub(crate) fn presence_changed(
        &mut self,
        cx: &mut Context<'_>,
        from: ShardId,
        to: ConnectionRef,
        user: UserId,
        online: bool,
    ) {
        let high = self.is_high(to.slot);
        let extra = self.sessions.live(to).and_then(|session| session.extra.as_mut());
        let number = extra.as_ref().map_or(u32::MAX, |extra| extra.watch_number);
        let Some(extra) = extra.filter(|extra| extra.watched.binary_search(&user).is_ok()) else {
            // The end of the watch was overtaken by its beginning, when a full mailbox delayed that: end it again.
            let users = [user].into();
            cx.post(from, Mail::Watch { from: to, watcher: UserId::NIL, users, on: false, number });
            return;
        };
        if high {
            extra.presence_shed = true;
            cx.shared.counters.shed += 1;
            return;
        }
        let frame = cx.shared.pool.frame(|out| encode_presence(out, user, online));
        cx.reply(to.slot, frame);
    }

    /// Something about the user's account. That its rooms changed is told also above the high watermark: no later event would
    /// make up for it.
    pub(crate) fn noticed(
        &mut self,
        cx: &mut Context<'_>,
        to: ConnectionRef,
        frame: Option<Arc<Frame>>,
        rooms: bool,
    ) {
        if self.sessions.live(to).is_none() {
            return;
        }
        if !rooms && self.is_high(to.slot) {
            cx.shared.counters.shed += 1;
            return;
        }
        if let Some(frame) = frame {
            cx.reply(to.slot, frame);
        }
        if rooms {
            self.rewatch(cx, to);
        }
    }

    /// After a time in which presence was shed, asks for everything watched again.
    pub(crate) fn refresh_presence(&mut self, cx: &mut Context<'_>, slot: Slot) {
        let connection = self.sessions.reference(self.shard, slot);
        let Some(session) = self.sessions.live(connection) else { return };
        let Some(extra) = session.extra.as_mut() else { return };
        if std::mem::take(&mut extra.presence_shed) {
            self.rewatch(cx, connection);
        }
    }

    /// Asks for everyone watched again: what was told is forgotten, and so is who may be seen.
    pub(crate) fn rewatch(&mut self, cx: &mut Context<'_>, connection: ConnectionRef) {
        let Some(session) = self.sessions.live(connection) else { return };
        let watcher = session.principal.user;
        let Some(watched) = session.extra.as_ref().map(|extra| extra.watched.clone()) else { return };
        let number = session.next_watch(!watched.is_empty());
        self.post_watch(cx, connection, watcher, watched, true, number);
    }
}
