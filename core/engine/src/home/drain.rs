//! Shutting down: no new sign-ins, connections closed in batches spread over the drain time.

use lynk_domain::Nanos;
use lynk_protocol::{CloseCode, Json};

use super::Home;
use super::session::State;
use crate::context::Context;
use crate::io::Slot;

/// Time between two batches.
const BATCH_NANOS: u64 = 100 * Nanos::MILLISECOND;
/// A client that is told to come back is given this much beyond the end of the drain, for the next start.
const RESTART_MILLIS: u64 = 1_000;

/// A drain under way.
pub(crate) struct Drain {
    deadline: Nanos,
    next: Option<Nanos>,
    /// Slots below this one are done.
    cursor: u32,
}

impl Drain {
    /// When a client may try again.
    pub(crate) fn retry_after_millis(&self, now: Nanos) -> u32 {
        let millis = self.deadline.since(now) / Nanos::MILLISECOND + RESTART_MILLIS;
        u32::try_from(millis).unwrap_or(u32::MAX)
    }

    pub(crate) fn next_deadline(&self) -> Option<Nanos> {
        self.next
    }
}

impl Home {
    /// Begins a drain that ends at `deadline`; a second call moves the end.
    pub(crate) fn start_drain(&mut self, cx: &mut Context<'_>, deadline: Nanos) {
        let cursor = self.drain.as_ref().map_or(0, |drain| drain.cursor);
        self.drain = Some(Drain { deadline, next: Some(cx.now.mono), cursor });
        self.drain_batch(cx);
    }

    /// Closes the next batch: as many as spread the rest evenly over the batches that are left.
    pub(crate) fn drain_batch(&mut self, cx: &mut Context<'_>) {
        let Some(drain) = self.drain.as_mut() else { return };
        if drain.next.is_none_or(|at| at > cx.now.mono) {
            return;
        }
        let batches = drain.deadline.since(cx.now.mono) / BATCH_NANOS + 1;
        let end = self.sessions.end();
        let open = (drain.cursor..end)
            .filter(|slot| self.sessions.get(Slot(*slot)).is_some_and(|s| s.state != State::Closing))
            .count() as u64;
        let mut left = open.div_ceil(batches);
        let mut cursor = drain.cursor;
        let retry = drain.retry_after_millis(cx.now.mono);
        let notice = cx.shared.pool.frame(|out| {
            let mut json = Json::new(out);
            json.open(b'{')
                .key("ev")
                .text("draining")
                .key("retry_after_ms")
                .number(u64::from(retry))
                .close(b'}');
        });
        while cursor < end && left > 0 {
            let slot = Slot(cursor);
            cursor += 1;
            match self.sessions.get(slot).map(|s| s.state) {
                None | Some(State::Free | State::Closing) => continue,
                Some(State::Accepted) => {}
                Some(State::Upgraded | State::Redeeming | State::SignedIn) => cx.reply(slot, notice.clone()),
            }
            self.close(cx, slot, CloseCode::Shutdown);
            left -= 1;
        }
        if let Some(drain) = self.drain.as_mut() {
            drain.cursor = cursor;
            drain.next = (cursor < end).then(|| cx.now.mono.after(BATCH_NANOS));
        }
    }
}
