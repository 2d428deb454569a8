//! What the client has of one room, and what it must still ask for.
//!
//! Events are shown in the order of their `seq`, each once. What arrives early waits; what is missing is paged from
//! history; what will never come is a `gap` and is shown as one.

use std::collections::BTreeMap;

use lynk_domain::Nanos;
use serde_json::Value;

/// Events that wait for earlier ones at most. Beyond it the newest are dropped, and paged again later.
const WAITING_MAX: usize = 10_000;

/// A room as this client has it.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// Display name; empty for a 1:1.
    pub(crate) name: String,
    /// Epoch and seq of the last event shown; `None` before the first `subscribed`.
    cursor: Option<(u64, u64)>,
    /// Early events by their seq; a `gap` by its `from`.
    waiting: BTreeMap<u64, Value>,
    /// A page of history is on its way.
    filling: bool,
    /// Highest seq known to exist.
    top: u64,
    /// `hello` named it and its answer is missing.
    pub(crate) resuming: bool,
    /// The server could not subscribe it for now: when to ask again.
    pub(crate) subscribe_at: Option<Nanos>,
    /// When the next page may be asked for.
    page_not_before: Nanos,
}

fn number(value: &Value, field: &str) -> u64 {
    value.get(field).and_then(Value::as_u64).unwrap_or(0)
}

fn items(value: &Value) -> Vec<Value> {
    value.get("events").and_then(Value::as_array).cloned().unwrap_or_default()
}

fn covers(value: &Value) -> (u64, u64) {
    value.get("covers").map_or((1, 0), |covers| (number(covers, "from"), number(covers, "to")))
}

/// First and last seq that an event or gap speaks for.
fn span(event: &Value) -> (u64, u64) {
    if event.get("ev").and_then(Value::as_str) == Some("gap") {
        (number(event, "from"), number(event, "to"))
    } else {
        (number(event, "seq"), number(event, "seq"))
    }
}

impl Room {
    /// A room that is not subscribed yet.
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Epoch and seq to resume from.
    pub(crate) fn cursor(&self) -> Option<(u64, u64)> {
        self.cursor
    }

    /// The connection is gone: what was asked for will not come, and what was to be asked again is part of `hello`.
    pub(crate) fn disconnected(&mut self) {
        self.filling = false;
        self.resuming = false;
        self.subscribe_at = None;
        self.page_not_before = Nanos(0);
    }

    /// When something must be asked again that was refused for the time being.
    pub(crate) fn retry_at(&self) -> Option<Nanos> {
        let page = self.lacks_page().then_some(self.page_not_before);
        self.subscribe_at.into_iter().chain(page).min()
    }

    fn lacks_page(&self) -> bool {
        !self.filling && self.cursor.is_some_and(|(_, seq)| seq < self.top)
    }

    /// Takes the answer to a subscription; returns whether it was the first, and the events to show.
    pub(crate) fn subscribed(&mut self, reply: &Value) -> (bool, Vec<Value>) {
        let (epoch, top) = (number(reply, "epoch"), number(reply, "top"));
        self.top = self.top.max(top);
        let Some((own_epoch, _)) = self.cursor else {
            self.cursor = Some((epoch, top));
            return (true, self.drain());
        };
        let mut shown = Vec::new();
        if own_epoch != epoch {
            // Another history: the server says so with a gap; what waits belongs to the old one.
            self.waiting.clear();
            self.top = top;
        }
        self.take_page(reply, &mut shown);
        if own_epoch != epoch {
            let seq = self.cursor.map_or(top, |(_, seq)| seq.min(top));
            self.cursor = Some((epoch, seq));
        }
        shown.extend(self.drain());
        (false, shown)
    }

    /// Takes a live event, or an own one made from its `ok`; returns the events to show now.
    pub(crate) fn event(&mut self, event: Value) -> Vec<Value> {
        let (from, to) = span(&event);
        self.top = self.top.max(to);
        let full = self.waiting.len() >= WAITING_MAX;
        if self.cursor.is_none_or(|(_, seq)| to > seq) && !full {
            self.waiting.insert(from, event);
        }
        self.drain()
    }

    /// Takes a page asked for by [`Self::missing`]; returns the events to show now.
    pub(crate) fn page(&mut self, reply: &Value) -> Vec<Value> {
        self.filling = false;
        let before = self.cursor;
        let mut shown = Vec::new();
        self.take_page(reply, &mut shown);
        shown.extend(self.drain());
        if self.cursor == before
            && let (Some((epoch, seq)), Some((&next, _))) = (self.cursor, self.waiting.first_key_value())
        {
            // The server has nothing between: say so rather than ask for ever.
            shown.push(
                serde_json::json!({"ev": "gap", "from": seq + 1, "to": next - 1, "reason": "unexplained"}),
            );
            self.cursor = Some((epoch, next - 1));
            shown.extend(self.drain());
        } else if self.cursor == before {
            self.top = self.top.min(self.cursor.map_or(0, |(_, seq)| seq));
        }
        shown
    }

    /// The page could not be had; it is asked for again from `not_before` on.
    pub(crate) fn page_failed(&mut self, not_before: Nanos) {
        self.filling = false;
        self.page_not_before = not_before;
    }

    /// This connection was left out up to `to`.
    pub(crate) fn resync(&mut self, to: u64) {
        self.top = self.top.max(to);
    }

    /// Epoch and seq after which a page must be asked for, if one must and may. The caller asks for it.
    pub(crate) fn missing(&mut self, now: Nanos) -> Option<(u64, u64)> {
        if !self.lacks_page() || now < self.page_not_before {
            return None;
        }
        self.filling = true;
        self.cursor
    }

    /// Applies the items of a page that continues where the cursor is; keeps those of a later one.
    fn take_page(&mut self, page: &Value, shown: &mut Vec<Value>) {
        let Some((epoch, mut seq)) = self.cursor else { return };
        let (from, to) = covers(page);
        let continues = from <= seq + 1;
        for item in items(page) {
            let (item_from, item_to) = span(&item);
            if item_to <= seq {
                continue;
            }
            if continues {
                seq = item_to;
                shown.push(item);
            } else if self.waiting.len() < WAITING_MAX {
                self.waiting.insert(item_from, item);
            }
        }
        if continues {
            seq = seq.max(to);
        }
        self.cursor = Some((epoch, seq));
    }

    /// Events that waited and are next.
    fn drain(&mut self) -> Vec<Value> {
        let mut shown = Vec::new();
        let Some((epoch, mut seq)) = self.cursor else { return shown };
        while let Some(first) = self.waiting.first_entry() {
            let (from, to) = span(first.get());
            if to > seq && from > seq + 1 {
                break;
            }
            let event = first.remove();
            if to > seq {
                seq = to;
                shown.push(event);
            }
        }
        self.cursor = Some((epoch, seq));
        shown
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(seq: u64) -> Value {
        json!({"ev": "message", "seq": seq, "text": format!("m{seq}")})
    }

    fn page(from: u64, to: u64, seqs: &[u64]) -> Value {
        let events: Vec<_> = seqs.iter().map(|seq| message(*seq)).collect();
        json!({"epoch": 1, "top": to, "events": events, "covers": {"from": from, "to": to}})
    }

    fn at(seq: u64) -> Room {
        let mut room = Room::new("lobby");
        let (first, shown) = room.subscribed(&json!({"epoch": 1, "top": seq}));
        assert!(first && shown.is_empty());
        room
    }

    fn seqs(shown: &[Value]) -> Vec<u64> {
        shown.iter().map(|event| span(event).1).collect()
    }

    #[test]
    fn events_are_shown_in_order_and_once() {
        let mut room = at(5);
        assert_eq!(seqs(&room.event(message(6))), [6]);
        assert!(room.event(message(6)).is_empty(), "a repeat");
        assert!(room.event(message(9)).is_empty(), "early");
        assert!(room.event(message(8)).is_empty(), "early");
        assert_eq!(seqs(&room.event(message(7))), [7, 8, 9]);
        assert_eq!(room.missing(Nanos(0)), None);
    }

    #[test]
    fn what_is_missing_is_paged_while_live_events_wait() {
        let mut room = at(5);
        room.resync(200);
        assert_eq!(room.missing(Nanos(0)), Some((1, 5)));
        assert_eq!(room.missing(Nanos(0)), None, "one page at a time");
        assert!(room.event(message(201)).is_empty());
        assert_eq!(seqs(&room.page(&page(6, 100, &[6, 50]))), [6, 50]);
        assert_eq!(room.missing(Nanos(0)), Some((1, 100)), "a page covers more than it holds");
        assert_eq!(seqs(&room.page(&page(101, 200, &[150]))), [150, 201]);
        assert_eq!(room.missing(Nanos(0)), None);
        assert_eq!(room.cursor(), Some((1, 201)));
    }

    #[test]
    fn a_resume_continues_or_leaves_a_hole_that_is_paged() {
        let mut room = at(5);
        assert_eq!(seqs(&room.subscribed(&page(6, 8, &[6, 7, 8])).1), [6, 7, 8]);
        let (first, shown) = room.subscribed(&page(12, 14, &[12, 13, 14]));
        assert!(!first && shown.is_empty());
        assert_eq!(room.missing(Nanos(0)), Some((1, 8)));
        assert_eq!(seqs(&room.page(&page(9, 11, &[9, 10, 11]))), [9, 10, 11, 12, 13, 14]);
        assert_eq!(room.missing(Nanos(0)), None);
    }

    #[test]
    fn a_failed_page_and_a_lost_connection_are_made_up_for() {
        let mut room = at(5);
        room.resync(9);
        assert!(room.missing(Nanos(0)).is_some());
        room.page_failed(Nanos(7));
        assert_eq!((room.missing(Nanos(6)), room.retry_at()), (None, Some(Nanos(7))));
        assert!(room.missing(Nanos(7)).is_some());
        room.disconnected();
        assert_eq!(seqs(&room.subscribed(&page(6, 9, &[6, 7, 8, 9])).1), [6, 7, 8, 9]);
        assert_eq!(room.missing(Nanos(0)), None);
    }

    #[test]
    fn gaps_are_shown_where_they_are() {
        let mut room = at(5);
        let gap = json!({"ev": "gap", "from": 7, "to": 1_024, "reason": "lost"});
        assert!(room.event(gap).is_empty(), "6 is missing");
        let shown = room.event(message(6));
        assert_eq!(seqs(&shown), [6, 1_024]);
        assert_eq!(seqs(&room.event(message(1_025))), [1_025]);
    }

    #[test]
    fn a_hole_that_nobody_explains_is_told_and_passed() {
        let mut room = at(5);
        assert!(room.event(message(8)).is_empty());
        assert!(room.missing(Nanos(0)).is_some());
        let shown = room.page(&json!({"events": [], "covers": {"from": 6, "to": 5}}));
        assert_eq!(shown[0]["reason"], "unexplained");
        assert_eq!(seqs(&shown), [7, 8]);
    }

    #[test]
    fn another_epoch_starts_anew_at_its_gap() {
        let mut room = at(50);
        let reset = json!({"ev": "gap", "from": 1, "to": 12, "reason": "reset"});
        let reply = json!({"epoch": 2, "top": 12, "events": [reset], "covers": {"from": 1, "to": 12}});
        room.subscribed(&reply);
        assert_eq!(room.cursor(), Some((2, 12)));
        assert_eq!(seqs(&room.event(message(13))), [13]);
    }
}
