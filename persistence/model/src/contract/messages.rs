//! The message port's suite.

use std::collections::BTreeSet;
use std::ops::Range;

use lynk_domain::{Key, Lsn, MessageId, Millis, Ordinal, RoomId, Seq, UserId};

use super::history::{History, Random, key_of, message_id, records};
use crate::memory::MemoryMessages;
use crate::port::{MessageStore, NotUnread, body_hash, content_hash, ready};
use crate::{
    Body, FoundKey, Mentions, MetaChange, MetaEvent, MetaTransaction, OwnedRecord, PageQuery, PageReply,
    Parts, ReadState, RecordHead, RecordKind, StoreError, StoredBody, StoredEvent,
};

/// Appends records and moves the cursor of source `source` to `cursor`.
fn append<M: MessageStore>(store: &mut M, source: &str, cursor: u64, batch: &[OwnedRecord]) {
    ready(store.append(source, Lsn(cursor), &records(batch))).expect("the store takes a batch");
}

/// An event as it is shown: of a removed message an edit says nothing.
pub(super) fn shown(floor: Seq, event: Option<StoredEvent>) -> Option<StoredEvent> {
    event.map(|mut event| {
        event.forget_target(floor);
        event
    })
}

/// [`shown`] of all events of a page.
pub(super) fn shown_page(floor: Seq, mut page: PageReply) -> PageReply {
    page.events.iter_mut().for_each(|event| event.forget_target(floor));
    page
}

/// Two pages of the same events. One that counts what an edit of a removed message said, because that still lies there, may end earlier
/// where bytes are counted.
fn same_page(floor: Seq, query: &PageQuery, one: PageReply, other: PageReply) {
    let of_removed =
        |event: &StoredEvent| matches!(event.body, StoredBody::Edit { target, .. } if target <= floor);
    let weighs = query.bytes < u32::MAX && one.events.iter().chain(&other.events).any(of_removed);
    let (one, other) = (shown_page(floor, one), shown_page(floor, other));
    if weighs {
        let both = one.events.len().min(other.events.len());
        assert!(both > 0, "{query:?}");
        assert_eq!(one.events[..both], other.events[..both], "{query:?}");
    } else {
        assert_eq!(one, other, "{query:?}");
    }
}

/// Everything about a room that a store can be asked for, compared: what lies above its floor.
///
/// # Panics
/// When the stores differ.
pub fn same_log<A: MessageStore, B: MessageStore>(history: &History, a: &A, b: &B) {
    same_with_keys_from(history, a, b, Seq(1));
}

/// [`same_log`] of a store and its copy, which does not know the keys of what is removed.
pub(super) fn same_copy<A: MessageStore, B: MessageStore>(history: &History, a: &A, b: &B) {
    same_with_keys_from(history, a, b, history.floor.next());
}

fn same_with_keys_from<A: MessageStore, B: MessageStore>(history: &History, a: &A, b: &B, keys_from: Seq) {
    let (room, top, floor) = (history.room, history.top(), history.floor);
    assert_eq!(ready(a.head(room)), ready(b.head(room)));
    assert_eq!(ready(a.head(room)).map(|head| head.floor), Ok(floor));
    assert_eq!(ready(a.reads(room)), ready(b.reads(room)));
    assert_eq!(ready(a.intents(room)), ready(b.intents(room)));
    for seq in (floor.next().0..=top.0 + 2).map(Seq) {
        let (one, other) = (ready(a.event(room, seq)), ready(b.event(room, seq)));
        let shown = |event: Result<_, _>| event.map(|event| shown(floor, event));
        assert_eq!(shown(one), shown(other), "event {seq:?}");
        assert_eq!(ready(a.message(room, seq)), ready(b.message(room, seq)), "message {seq:?}");
    }
    for query in queries(history) {
        let (one, other) = (ready(a.page(&query)), ready(b.page(&query)));
        same_page(floor, &query, one.expect("readable"), other.expect("readable"));
    }
    let known = |found: Option<FoundKey>| {
        found.map(|found| match found.seq <= floor {
            true => FoundKey { n: Ordinal(0), id: MessageId::NIL, ..found },
            false => found,
        })
    };
    for user in &history.users {
        for after in (floor.0..=top.0).step_by(3).map(Seq) {
            let except = BTreeSet::from([Seq(after.0 + 2), Seq(after.0 + 5)]);
            for except in [BTreeSet::new(), except] {
                assert_eq!(
                    ready(a.count_not_unread(room, *user, after, &except)),
                    ready(b.count_not_unread(room, *user, after, &except)),
                    "not unread of {user:?} after {after:?}"
                );
                for limit in [1, 3, 1_000] {
                    assert_eq!(
                        ready(a.mentions(room, *user, after, &except, limit)),
                        ready(b.mentions(room, *user, after, &except, limit)),
                        "mentions of {user:?} after {after:?}"
                    );
                }
            }
        }
        for seq in (keys_from.0..=top.0).map(Seq) {
            let key = key_of(seq);
            let (one, other) = (ready(a.find_key(room, *user, key)), ready(b.find_key(room, *user, key)));
            assert_eq!(one.map(known), other.map(known));
        }
    }
}

/// Pages of many shapes over a history, above its floor.
pub(super) fn queries(history: &History) -> Vec<PageQuery> {
    let (room, top, floor) = (history.room, history.top(), history.floor);
    let ranges = [(1, u64::MAX), (top.0 / 3, top.0 / 2), (0, top.0), (top.0 + 1, u64::MAX), (5, 4)];
    let mut queries = Vec::new();
    for (from, to) in ranges {
        let from = if floor > Seq(0) { floor.next().0.max(from) } else { from };
        for (limit, bytes) in [(1_000, u32::MAX), (1, u32::MAX), (7, u32::MAX), (1_000, 60), (3, 1)] {
            for (backward, all) in [(false, false), (false, true), (true, false), (true, true)] {
                queries.push(PageQuery { room, from: Seq(from), to: Seq(to), backward, limit, bytes, all });
            }
        }
    }
    queries
}

/// Whatever the order, the repetitions and the cut into batches: the result is that of the reference model
/// after the same records in order, once.
pub fn replay_in_any_order_equals_in_order_once<M: MessageStore>(store: &mut M, seeds: Range<u64>) {
    for seed in seeds {
        let mut random = Random(seed);
        let history = History::random(seed, 60, &mut random);
        let mut reference = MemoryMessages::default();
        append(&mut reference, "a", 1, &history.records);

        let mut replayed = history.records.clone();
        for _ in 0..random.below(30) {
            let again = random.below(history.records.len() as u64) as usize;
            replayed.push(history.records[again].clone());
        }
        // Sometimes nearly in order, as journals are; sometimes not at all.
        if random.below(3) > 0 {
            random.shuffle(&mut replayed);
        } else {
            for window in replayed.chunks_mut(8) {
                random.shuffle(window);
            }
        }
        let mut rest = replayed.as_slice();
        let mut cursor = 0;
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(1 + random.below(rest.len().min(20) as u64) as usize);
            cursor += batch.len() as u64;
            append(store, ["1/0", "1/1", "2/0"][random.below(3) as usize], cursor, batch);
            rest = later;
        }
        println_seed(seed);
        same_log(&history, &reference, store);
    }
}

/// Shown by the test harness when the assertion that follows fails.
#[expect(clippy::print_stdout, reason = "a suite tells which seed failed")]
pub(super) fn println_seed(seed: u64) {
    println!("contract seed {seed}");
}

fn text_of(event: Option<StoredEvent>) -> String {
    match event.expect("the event exists").body {
        StoredBody::Message(view) => view.text,
        StoredBody::Edit { text, .. } => text,
        other => panic!("{other:?} has no text"),
    }
}

/// A delete is final, whether its message or an edit comes before, after or again.
pub fn deleted_text_never_returns<M: MessageStore>(store: &mut M) {
    let mut history = History::new(1);
    let user = history.users[0];
    let target = history.post(user, Seq(0), "secret one");
    history.edit(user, target, "secret two");
    history.react(user, target, true, "👍");
    history.delete(user, target);
    let (post, edit) = (history.records[0].clone(), history.records[1].clone());
    let delete = history.records[3].clone();
    let room = history.room;

    append(store, "1/0", 1, &[delete]);
    assert_eq!(ready(store.event(room, target)), Ok(None), "a change alone shows no message");
    let batches = [vec![post.clone()], vec![edit.clone()], vec![post, edit], history.records];
    for (cursor, batch) in (2..).zip(&batches) {
        append(store, "1/0", cursor, batch);
        let state = ready(store.message(room, target)).expect("readable").expect("known");
        assert_eq!(state.row.text, "");
        assert_eq!(text_of(ready(store.event(room, target)).expect("readable")), "");
    }
    assert_eq!(text_of(ready(store.event(room, Seq(2))).expect("readable")), "", "the edit shows none, too");
    let shown = ready(store.event(room, target)).expect("readable").expect("a tombstone stays");
    assert_eq!((shown.seq, shown.rev), (Seq(1), Seq(4)));
    assert!(matches!(shown.body, StoredBody::Message(m) if m.reactions.is_empty() && m.deleted == Seq(4)));
}

/// A page holds all that is wanted between its covers, tells exactly whether there is more, and following
/// pages meet without hole or overlap.
pub fn a_page_says_exactly_what_it_covers<M: MessageStore>(store: &mut M) {
    let mut history = History::new(2);
    let user = history.users[0];
    for number in 1..=6u64 {
        let seq = history.post(user, Seq(0), &"x".repeat(10));
        history.react(user, seq, true, "👍");
        if number == 3 {
            history.react(user, seq, false, "👍");
        }
    }
    append(store, "1/0", 1, &history.records);
    // Messages at 1, 3, 5, 8, 10, 12; other events between them; top 13.
    let query = PageQuery {
        room: history.room,
        from: Seq(1),
        to: Seq(u64::MAX),
        backward: false,
        limit: 2,
        bytes: u32::MAX,
        all: false,
    };
    let page = |query: &PageQuery| ready(store.page(query)).expect("readable");
    let seqs = |page: &PageReply| page.events.iter().map(|event| event.seq.0).collect::<Vec<_>>();
    let covers = |page: &PageReply| (page.covers_from.0, page.covers_to.0, page.more);

    let first = page(&query);
    assert_eq!((seqs(&first), covers(&first)), (vec![1, 3], (1, 4, true)));
    let last = page(&PageQuery { from: Seq(9), ..query.clone() });
    assert_eq!(
        (seqs(&last), covers(&last)),
        (vec![10, 12], (9, u64::MAX, false)),
        "a full page may be the last"
    );
    let newest = page(&PageQuery { backward: true, to: Seq(13), ..query.clone() });
    assert_eq!((seqs(&newest), covers(&newest)), (vec![12, 10], (9, 13, true)));
    let bounded = page(&PageQuery { from: Seq(3), to: Seq(5), limit: 9, ..query.clone() });
    assert_eq!((seqs(&bounded), covers(&bounded)), (vec![3, 5], (3, 5, false)));
    let everything = page(&PageQuery { to: Seq(4), limit: 9, all: true, ..query.clone() });
    assert_eq!(seqs(&everything), vec![1, 2, 3, 4]);
    // A reaction counts 36 bytes and its emoji's 4: three messages of 10 bytes, one without a reaction.
    let small = page(&PageQuery { from: Seq(3), limit: 9, bytes: 70, ..query.clone() });
    assert_eq!((seqs(&small), covers(&small)), (vec![3, 5], (3, 7, true)));
    let tiny = page(&PageQuery { limit: 9, bytes: 1, ..query.clone() });
    assert_eq!(seqs(&tiny), vec![1], "one item is always returned");
    let empty = page(&PageQuery { from: Seq(14), ..query.clone() });
    assert_eq!((seqs(&empty), covers(&empty)), (vec![], (14, u64::MAX, false)));

    for backward in [false, true] {
        let (mut from, mut to, mut met) = (Seq(1), Seq(20), Vec::new());
        loop {
            let part = page(&PageQuery { from, to, backward, ..query.clone() });
            met.extend(seqs(&part));
            if !part.more {
                break;
            }
            if backward {
                to = Seq(part.covers_from.0 - 1);
            } else {
                from = part.covers_to.next();
            }
        }
        met.sort_unstable();
        assert_eq!(met, [1, 3, 5, 8, 10, 12]);
    }
}

/// The drain cursor is per source, is there after the append, and does not go back.
pub fn cursor_moves_with_its_rows_and_never_back<M: MessageStore>(store: &mut M) {
    let mut history = History::new(3);
    let user = history.users[0];
    history.post(user, Seq(0), "one");
    history.post(user, Seq(0), "two");
    let cursor = |store: &M, source: &str| ready(store.cursor(source)).expect("readable");
    assert_eq!(cursor(store, "1/0"), Lsn(0));
    append(store, "1/0", 7, &history.records[..1]);
    append(store, "1/1", 3, &history.records[1..]);
    assert_eq!((cursor(store, "1/0"), cursor(store, "1/1")), (Lsn(7), Lsn(3)));
    append(store, "1/0", 5, &history.records[..1]);
    assert_eq!(cursor(store, "1/0"), Lsn(7), "an older batch again does not move it back");
    append(store, "1/0", 9, &[]);
    assert_eq!(cursor(store, "1/0"), Lsn(9), "a batch without rows moves it");
    ready(store.forget("1/0")).expect("forgets");
    ready(store.forget("1/0")).expect("forgetting twice is harmless");
    assert_eq!((cursor(store, "1/0"), cursor(store, "1/1")), (Lsn(0), Lsn(3)));
    assert_eq!(ready(store.head(history.room)).map(|head| head.top), Ok(Seq(2)), "rows stay");
}

/// A batch with a payload of another format is refused whole, with its cursor.
pub fn unreadable_batches_write_nothing<M: MessageStore>(store: &mut M) {
    let mut history = History::new(4);
    let user = history.users[0];
    history.post(user, Seq(0), "good");
    history.post(user, Seq(0), "bad");
    history.records[1].payload[0] = 99;
    let refused = ready(store.append("1/0", Lsn(2), &records(&history.records)));
    assert_eq!(refused, Err(StoreError::Corrupt));
    assert_eq!(ready(store.cursor("1/0")), Ok(Lsn(0)));
    assert_eq!(ready(store.event(history.room, Seq(1))), Ok(None));
    assert_eq!(ready(store.head(history.room)), Ok(crate::RoomHead::default()));
    append(store, "1/0", 1, &history.records[..1]);
    assert_eq!(ready(store.cursor("1/0")), Ok(Lsn(1)), "the store goes on");
}

/// Own messages and deleted ones of others, each once, and the messages next to the cursor.
pub fn not_unread_is_counted_exactly<M: MessageStore>(store: &mut M) {
    let mut history = History::new(5);
    let (me, other) = (history.users[0], history.users[1]);
    let read = history.post(other, Seq(0), "read");
    history.meta(MetaEvent::Left { user: other });
    let mine = history.post(me, Seq(0), "mine");
    let theirs = history.post(other, Seq(0), "theirs, deleted");
    history.post(other, Seq(0), "theirs");
    history.delete(me, mine);
    history.delete(other, theirs);
    append(store, "1/0", 1, &history.records);
    let count = |after: Seq, except: &[Seq]| {
        let except = except.iter().copied().collect();
        ready(store.count_not_unread(history.room, me, after, &except)).expect("readable")
    };
    let expected = NotUnread { own: 1, deleted: 1, next: Some((mine, Ordinal(2))) };
    assert_eq!(count(read, &[]), expected, "an own deleted message counts once, as own");
    assert_eq!(count(Seq(2), &[]), expected, "the cursor may stand on another event");
    assert_eq!(count(read, &[mine]), NotUnread { own: 0, deleted: 1, next: Some((theirs, Ordinal(3))) });
    assert_eq!(count(history.top(), &[]), NotUnread::default());
    let stranger = ready(store.count_not_unread(RoomId([9; 16]), me, Seq(0), &BTreeSet::new()));
    assert_eq!(stranger, Ok(NotUnread::default()));
}

/// Messages that mention a user as they stand: what an edit takes back or a delete ends does not count.
pub fn mentions_are_those_of_messages_as_they_stand<M: MessageStore>(store: &mut M) {
    let mut history = History::new(7);
    let [me, other, third] = [0, 1, 2].map(|index| history.users[index]);
    let of = |all, users: &[UserId]| Parts::of_mentions(Mentions::new(all, users.to_vec()));
    let named = history.post_with(other, Seq(0), "one", of(false, &[me, third]));
    let everybody = history.post_with(third, Seq(0), "all", of(true, &[me]));
    history.post_with(me, Seq(0), "myself", of(true, &[me]));
    let taken_back = history.post_with(other, Seq(0), "oops", of(false, &[me]));
    history.edit_with(other, taken_back, "for another", of(false, &[third]));
    let added = history.post(other, Seq(0), "to nobody");
    history.edit_with(other, added, "to me", of(false, &[me]));
    let deleted = history.post_with(other, Seq(0), "gone", of(true, &[]));
    history.delete(other, deleted);
    let found = |store: &M, user, after, except: &[Seq], limit| {
        let except = except.iter().copied().collect();
        ready(store.mentions(history.room, user, after, &except, limit)).expect("readable")
    };
    // Changes come before what they change, and again after it.
    let mut records: Vec<OwnedRecord> = history.records.iter().rev().cloned().collect();
    records.extend(history.records.iter().cloned());
    for (cursor, record) in (1..).zip(&records) {
        append(store, "1/0", cursor, std::slice::from_ref(record));
    }
    let all = [(named, other), (everybody, third), (added, other)];
    assert_eq!(found(store, me, Seq(0), &[], 100), all);
    assert_eq!(found(store, me, Seq(0), &[], 2), all[..2]);
    assert_eq!(found(store, me, Seq(0), &[named], 1), all[1..2]);
    assert_eq!(found(store, me, named, &[], 100), all[1..]);
    assert_eq!(found(store, third, Seq(0), &[], 100), [(named, other), (Seq(3), me), (taken_back, other)]);
    assert_eq!(found(store, me, history.top(), &[], 100), []);
    assert_eq!(found(store, history.users[3], everybody, &[], 100), [(Seq(3), me)], "everybody is meant");
}

/// What is removed stays so, whatever is appended again; what is above it, keys and positions stay.
///
/// # Panics
/// When they do not.
pub fn what_is_removed_does_not_return<M: MessageStore>(store: &mut M) {
    let mut history = History::new(0x0ff1);
    let (me, other) = (history.users[0], history.users[1]);
    let old = history.post_with(other, Seq(0), "old", Parts::of_mentions(Mentions::new(true, vec![me])));
    history.react(me, old, true, "x");
    let kept = history.post_with(other, old, "kept", Parts::of_mentions(Mentions::new(false, vec![me])));
    history.edit(other, old, "older than it looks");
    history.reach(RecordKind::Read, me, old);
    history.retain(Seq(2));
    history.delete(other, kept);
    history.post(other, Seq(0), "new");
    let before = history.records.clone();
    append(store, "1/0", 1, &before[..4]);
    append(store, "1/0", 2, &before);
    for cursor in 3..6 {
        let head = ready(store.head(history.room)).expect("readable");
        assert_eq!((head.floor, head.top, head.top_n), (Seq(2), Seq(6), Ordinal(3)));
        let query = PageQuery {
            room: history.room,
            from: Seq(3),
            to: Seq(u64::MAX),
            backward: false,
            limit: 9,
            bytes: u32::MAX,
            all: true,
        };
        let page = shown_page(Seq(2), ready(store.page(&query)).expect("readable"));
        assert_eq!(page.events.iter().map(|event| event.seq.0).collect::<Vec<_>>(), [3, 4, 5, 6]);
        let said = |event: &StoredEvent| match &event.body {
            StoredBody::Message(view) => view.text.clone(),
            StoredBody::Edit { text, .. } => text.clone(),
            _ => String::new(),
        };
        assert_eq!(page.events.iter().map(said).collect::<Vec<_>>(), ["", "", "", "new"]);
        let counted = ready(store.count_not_unread(history.room, me, Seq(2), &BTreeSet::new()));
        assert_eq!(counted, Ok(NotUnread { own: 0, deleted: 1, next: Some((kept, Ordinal(2))) }));
        assert_eq!(ready(store.mentions(history.room, me, Seq(2), &BTreeSet::new(), 9)), Ok(Vec::new()));
        let used = ready(store.find_key(history.room, other, key_of(old))).expect("readable");
        assert_eq!(used.map(|used| used.seq), Some(old), "its key is used");
        let read = ReadState { user: me, round: 0, read: old, delivered: Seq(0) };
        assert_eq!(ready(store.reads(history.room)), Ok(vec![read]));
        // Again, as after a crash: all, one by one, and with the removal first.
        match cursor {
            3 => append(store, "1/0", 3, &before),
            4 => before.iter().for_each(|record| append(store, "1/0", 4, std::slice::from_ref(record))),
            _ => append(store, "1/0", 5, &before.iter().rev().cloned().collect::<Vec<_>>()),
        }
    }
}

/// A used key leads to its event as sent, in its room and for its sender only.
pub fn keys_lead_to_their_event<M: MessageStore>(store: &mut M) {
    let mut history = History::new(6);
    let (sender, other) = (history.users[0], history.users[1]);
    let seq = history.post(sender, Seq(0), "as sent");
    history.edit(sender, seq, "edited");
    history.delete(sender, seq);
    let (edit, delete) = (seq.next(), seq.next().next());
    append(store, "1/0", 1, &history.records);
    let find = |user: UserId, key: Key| ready(store.find_key(history.room, user, key)).expect("readable");
    let expected = FoundKey {
        seq,
        n: Ordinal(1),
        id: message_id(seq),
        wall: history.records[0].head.wall.0,
        content_hash: Some(content_hash(Seq(0), "as sent", Parts::NONE)),
    };
    assert_eq!(find(sender, key_of(seq)), Some(expected));
    assert_eq!(find(other, key_of(seq)), None);
    let edited = Body::Edit { target: seq, text: "edited", parts: Parts::none() };
    for (seq, body) in [(edit, edited), (delete, Body::Delete { target: seq })] {
        let wall = history.records[seq.0 as usize - 1].head.wall.0;
        let (n, id) = (Ordinal(0), MessageId::NIL);
        let expected = FoundKey { seq, n, id, wall, content_hash: body_hash(&body) };
        assert_eq!(find(sender, key_of(seq)), Some(expected), "{body:?}");
    }
    assert_eq!(find(sender, Key::NIL), None);
}

/// Intents come back as what they promise, in the order of their keys, and are no events.
///
/// # Panics
/// When they do not.
pub fn intents_are_kept_beside_the_log<M: MessageStore>(store: &mut M) {
    let mut history = History::new(1);
    let (actor, user) = (history.users[0], history.users[1]);
    history.post(actor, Seq(0), "text");
    let kick = MetaEvent::Kicked { user, reason: "noise".to_owned() };
    let ban = MetaEvent::Banned { user, until: Millis(9), reason: String::new() };
    history.intend(actor, Key([9; 16]), 5, kick.clone());
    history.intend(actor, Key([8; 16]), 6, ban.clone());
    append(store, "1/0", 3, &history.records);
    append(store, "2/0", 2, &history.records[1..]);
    let expected: Vec<MetaTransaction> = [(2, 6, ban), (1, 5, kick)]
        .into_iter()
        .map(|(index, content_hash, event)| {
            let RecordHead { key, wall, .. } = history.records[index].head;
            let change = MetaChange::Event(event);
            MetaTransaction { room: history.room, actor, key, content_hash, wall, change }
        })
        .collect();
    assert_eq!(ready(store.intents(history.room)).expect("readable"), expected);
    assert_eq!(ready(store.intents(RoomId([0xee; 16]))).expect("readable"), []);
    assert_eq!(ready(store.head(history.room)).expect("readable").top, Seq(1));
    assert_eq!(ready(store.find_key(history.room, actor, Key([9; 16]))).expect("readable"), None);
}

/// A read position goes back when its member marked something unread, in whatever order the records come.
///
/// # Panics
/// When it does not.
pub fn a_later_round_of_reading_replaces_an_earlier_one<M: MessageStore>(store: &mut M) {
    let mut history = History::new(1);
    let user = history.users[1];
    for _ in 0..6 {
        history.post(history.users[0], Seq(0), "text");
    }
    append(store, "1/0", 6, &history.records);
    history.reach(RecordKind::Read, user, Seq(6));
    history.mark(user, 1, Seq(2));
    history.reach(RecordKind::Delivered, user, Seq(5));
    history.mark(user, 1, Seq(3));
    let moves = &history.records[6..];
    for (cursor, index) in [2, 3, 0, 1, 3, 0].into_iter().enumerate() {
        append(store, "1/1", cursor as u64 + 1, &moves[index..=index]);
    }
    let expected = ReadState { user, round: 1, read: Seq(3), delivered: Seq(5) };
    assert_eq!(ready(store.reads(history.room)).expect("readable"), [expected]);
}
