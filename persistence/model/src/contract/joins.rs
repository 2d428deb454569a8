//! Joined answers: a store with some of the records, and journals with the others.

use std::ops::Range;

use lynk_domain::{Lsn, Millis, Seq};

use super::history::{History, Random, records};
use super::messages::{println_seed, queries, shown, shown_page};
use crate::memory::{MemoryMessages, MemoryRecords, MemoryRooms};
use crate::port::{MessageStore, NoFiles, RecordSource as _, ready};
use crate::{
    Body, OwnedRecord, PageReply, RecordAt, RecordKind, SourceId, StoreReply, StoreRequest, execute,
};

/// Puts each record into the store, into a journal, or into both; then every request must be answered as by
/// the reference model with all records. A page may be cut earlier, and must be right for what it covers.
pub fn joined_answers_equal_those_of_a_full_store<M: MessageStore>(store: &mut M, seeds: Range<u64>) {
    for seed in seeds {
        let mut random = Random(seed ^ 0xf00d);
        // Numbers apart from those of the other suites, so that a store may be shared.
        let history = History::random(seed + 10_000, 40, &mut random);
        let mut full = MemoryMessages::default();
        ready(full.append("1/0", Lsn(1), &records(&history.records))).expect("reference");

        let (mut journals, mut undrained) = (MemoryRecords::default(), Vec::new());
        let mut drained: Vec<OwnedRecord> = Vec::new();
        for (lsn, record) in (1..).zip(&history.records) {
            let place = RecordAt { source: SourceId(random.below(3) as u32), lsn: Lsn(lsn) };
            let choice = random.below(5);
            if choice >= 2 {
                drained.push(record.clone());
            }
            if choice <= 2 {
                journals.records.insert((place.source, place.lsn), record.clone());
            }
            if choice <= 3 {
                // Choice 3 is drained and its journal gone, while the shard does not know yet.
                undrained.push(place);
            }
        }
        random.shuffle(&mut drained);
        ready(store.append("1/0", Lsn(seed), &records(&drained))).expect("the store takes a batch");

        println_seed(seed);
        let mut asked = Asked { history: &history, store, full: &full, journals, undrained };
        asked.pages();
        asked.events();
        asked.unread();
        asked.times();
        asked.load();
    }
}

/// A store to ask, and the one that knows the answers.
struct Asked<'a, M> {
    history: &'a History,
    store: &'a M,
    full: &'a MemoryMessages,
    journals: MemoryRecords,
    undrained: Vec<RecordAt>,
}

impl<M: MessageStore> Asked<'_, M> {
    fn ask(&mut self, request: &StoreRequest) -> StoreReply {
        let mut rooms = MemoryRooms::default();
        ready(execute(request, self.store, &mut rooms, &mut self.journals, &NoFiles))
    }

    /// The answer of the reference with all records.
    fn expected(&self, request: &StoreRequest) -> StoreReply {
        let (mut rooms, mut nothing) = (MemoryRooms::default(), MemoryRecords::default());
        ready(execute(request, self.full, &mut rooms, &mut nothing, &NoFiles))
    }

    /// The undrained records that an owner names for a page of `from..=to`: those that change a message before it apart.
    fn split(&mut self, from: Seq, to: Seq) -> (Vec<RecordAt>, Vec<(Seq, RecordAt)>) {
        let (mut undrained, mut changes) = (Vec::new(), Vec::new());
        for at in &self.undrained {
            let record = self.journals.read(at.source, at.lsn).expect("readable");
            let body = record.as_ref().map(|r| Body::decode(r.head.kind, &r.payload).expect("ours"));
            if let Some(Body::Edit { target, .. } | Body::Delete { target }) = body
                && target < from
            {
                changes.push((target, *at));
                // One that lies in the page is an event of it, too.
                if record.is_some_and(|record| !(from..=to).contains(&record.head.seq)) {
                    continue;
                }
            }
            undrained.push(*at);
        }
        (undrained, changes)
    }

    fn pages(&mut self) {
        for query in queries(self.history) {
            let (undrained, changes) = self.split(query.from, query.to);
            let request = StoreRequest::Page { query: query.clone(), undrained, changes };
            let StoreReply::Page(joined) = self.ask(&request) else {
                panic!("a page answers a page");
            };
            let floor = self.history.floor;
            let PageReply { events, covers_from, covers_to, more } = shown_page(floor, *joined);
            let mut part = query.clone();
            (part.from, part.to, part.limit, part.bytes) = (covers_from, covers_to, u32::MAX, u32::MAX);
            let whole = shown_page(floor, ready(self.full.page(&part)).expect("reference"));
            assert_eq!(events, whole.events, "{query:?}");
            assert!(events.len() <= query.limit as usize);
            (part.from, part.to) = (query.from, query.to);
            let all = ready(self.full.page(&part)).expect("reference").events.len();
            assert_eq!(more, events.len() < all, "{query:?}");
            assert!(!events.is_empty() || all == 0, "one item is always returned");
            if !more {
                assert_eq!((covers_from, covers_to), (query.from, query.to));
            }
        }
    }

    fn events(&mut self) {
        let (room, floor) = (self.history.room, self.history.floor);
        let told = |reply| match reply {
            StoreReply::Event(event) => shown(floor, event.map(|event| *event)),
            other => panic!("an event answers an event, not {other:?}"),
        };
        for seq in (floor.next().0..=self.history.top().0 + 1).map(Seq) {
            let undrained = self.undrained.clone();
            let joined = self.ask(&StoreRequest::Event { room, seq, undrained });
            let expected = self.expected(&StoreRequest::Event { room, seq, undrained: Vec::new() });
            assert_eq!(told(joined), told(expected), "event {seq:?}");
        }
    }

    fn unread(&mut self) {
        let (room, floor) = (self.history.room, self.history.floor);
        let top_n = ready(self.full.head(room)).expect("reference").top_n;
        for user in self.history.users.clone() {
            for after in (floor.0..=self.history.top().0).map(Seq) {
                let of = |undrained| StoreRequest::CountNotUnread { room, user, after, top_n, undrained };
                let joined = self.ask(&of(self.undrained.clone()));
                let expected = self.expected(&of(Vec::new()));
                assert_eq!(joined, expected, "not unread of {user:?} after {after:?}");
            }
        }
    }

    /// A time is found where a full store has it, also when only some of the undrained messages are named at first.
    fn times(&mut self) {
        let (room, top, floor) = (self.history.room, self.history.top(), self.history.floor);
        let mut waiting = Vec::new();
        for at in &self.undrained {
            let record = self.journals.read(at.source, at.lsn).expect("readable");
            if let Some(record) = record.filter(|record| record.head.kind == RecordKind::Message) {
                waiting.push((record.head.seq, *at));
            }
        }
        waiting.sort_unstable();
        let first = self.history.records[0].head.wall;
        for millis in (0..=self.history.records.len() as u64 + 1).step_by(3) {
            let at = Millis(first.0 - 1 + millis);
            for from in [Seq(1), Seq(top.0 / 2)].map(|from| from.max(floor.next())) {
                let of = |from, to, undrained| StoreRequest::FindTime { room, at, from, to, undrained };
                let full = self.expected(&of(from, top, Vec::new()));
                assert_eq!(self.ask(&of(from, top, waiting.clone())), full, "{at:?} from {from:?}");
                let (mut from, mut to) = (from, top);
                for every in [5, 1] {
                    let inside = waiting.iter().filter(|(seq, _)| from <= *seq && *seq <= to);
                    let undrained = inside.step_by(every).copied().collect();
                    let StoreReply::Time { after, to: before } = self.ask(&of(from, to, undrained)) else {
                        panic!("a time answers a time");
                    };
                    (from, to) = (after.next(), before);
                }
                let StoreReply::Time { after, .. } = full else { panic!("a time answers a time") };
                assert_eq!(from, after.next(), "{at:?} in two steps");
            }
        }
    }

    fn load(&mut self) {
        for window in [0, 1, 10, 1_000] {
            let (room, undrained) = (self.history.room, self.undrained.clone());
            let StoreReply::Loaded(joined) = self.ask(&StoreRequest::LoadRoom { room, window, undrained })
            else {
                panic!("a load answers a load");
            };
            let undrained = Vec::new();
            let StoreReply::Loaded(expected) =
                self.expected(&StoreRequest::LoadRoom { room, window, undrained })
            else {
                panic!("a load answers a load");
            };
            assert_eq!(joined.head, expected.head);
            assert_eq!(joined.recent, expected.recent, "window {window}");
            assert_eq!(joined.reads, expected.reads);
            let places = self.undrained.iter().map(|place| (place.source, place.lsn));
            let there: Vec<_> = places.filter_map(|place| self.journals.records.get(&place)).collect();
            assert_eq!(joined.undrained.iter().collect::<Vec<_>>(), there);
        }
    }
}
