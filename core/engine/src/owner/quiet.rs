//! Rooms that have become quiet give back the memory of their last events.
//!
//! Thread: the shard. A client that comes back within `room_window_millis` is answered from memory; a later one pages
//! the store, which costs it a few milliseconds once and spares every quiet room up to `room_window_bytes_max`.
//! Limits: two entries per room that may be loaded; [`AGED_PER_CALL`]. Nothing can fail.

use std::collections::VecDeque;

use lynk_domain::{Millis, Nanos, RoomId};

use super::books::Books;
use super::room::Room;
use super::window::Entry;
use crate::context::{Context, Shared};

/// Rooms whose windows are looked at in one call at most.
pub(super) const AGED_PER_CALL: usize = 64;

/// When to look at which room's window. All wait equally long, so that a queue keeps them in order.
#[derive(Debug, Default)]
pub(super) struct Aging {
    queue: VecDeque<(Nanos, RoomId)>,
}

impl Aging {
    /// Takes a room whose time has come.
    pub(super) fn take(&mut self, now: Nanos) -> Option<RoomId> {
        self.queue.pop_front_if(|(at, _)| *at <= now).map(|(_, room)| room)
    }

    /// When [`Self::take`] has something.
    pub(super) fn next_deadline(&self) -> Option<Nanos> {
        self.queue.front().map(|(at, _)| *at)
    }
}

impl Books {
    /// Adds the newest event to the window.
    pub(super) fn keep(&mut self, cx: &mut Context<'_>, room: &mut Room, entry: Entry) {
        let Shared { pool, config, .. } = &mut *cx.shared;
        room.window.push(pool, entry, &config.limits);
        self.watch_window(cx, room);
    }

    /// Has the window looked at when its events may have aged.
    pub(super) fn watch_window(&mut self, cx: &mut Context<'_>, room: &mut Room) {
        let limits = &cx.shared.config.limits;
        // Rooms that left and came back have an entry for each time: twice the rooms is more than enough.
        let full = self.aging.queue.len() >= 2 * limits.rooms_loaded_per_shard_max as usize;
        if !room.window_timer && !full && room.window.iter().nth(1).is_some() {
            room.window_timer = true;
            let age = limits.room_window_millis.saturating_mul(Nanos::MILLISECOND);
            self.aging.queue.push_back((cx.now.mono.after(age), room.id));
        }
    }

    /// The room's timer: drops the events that have aged.
    pub(super) fn age_window(&mut self, cx: &mut Context<'_>, room: &mut Room) {
        let limits = &cx.shared.config.limits;
        let since = Millis(cx.now.wall.0.saturating_sub(limits.room_window_millis));
        room.window_timer = false;
        if room.window.forget_before(&mut cx.shared.pool, since) {
            self.watch_window(cx, room);
        }
    }
}
