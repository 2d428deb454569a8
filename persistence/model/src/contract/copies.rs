//! The suites of dumping and filling: what is filled from a dump answers as the store that it was dumped from.

use std::collections::BTreeMap;
use std::ops::Range;

use lynk_domain::{Epoch, Key, Lsn, Millis, Ordinal, RoomId, Seq, UserId};

use super::history::{History, Random, records};
use super::messages::{println_seed, same_copy};
use crate::dump::{AccountsRow, DumpRow, LogRow, RoomsRow};
use crate::memory::{MemoryAccounts, MemoryMessages, MemoryRooms};
use crate::port::{
    AccountDump, AccountFill, Dump, ErasureStore, Fill, MarkOf, MessageDump, MessageStore as _, RoomDump,
    RoomFill, RoomStore, ready,
};
use crate::{DirectFrom, MetaChange, MetaEvent, RoomWish, StoreError, Wish};

/// Rows of a room in pages of so many seqs.
fn dump<M: MessageDump>(store: &M, room: RoomId, step: u64) -> Vec<Vec<LogRow>> {
    let top = ready(store.head(room)).expect("readable").top;
    let mut pages = Vec::new();
    for from in (0..=top.0).step_by(step as usize) {
        let rows = ready(store.log_rows(room, Seq(from), Seq(from + step - 1))).expect("readable");
        pages.push(ready(store.log_keys(room, &rows, Millis(0))).expect("readable"));
        pages.push(rows);
    }
    pages.push(ready(store.log_ends(room)).expect("readable"));
    pages
}

/// Encoded rows of a room, in an order that no store decides.
fn encoded<M: MessageDump>(store: &M, room: RoomId) -> Vec<Vec<u8>> {
    let mut rows: Vec<Vec<u8>> = dump(store, room, 7).iter().flatten().map(bytes_of).collect();
    rows.sort();
    rows
}

fn bytes_of(row: &LogRow) -> Vec<u8> {
    let mut bytes = Vec::new();
    row.encode(&mut bytes);
    bytes
}

fn rooms_of<M: MessageDump>(store: &M, limit: u32) -> Vec<RoomId> {
    let mut rooms: Vec<RoomId> = Vec::new();
    loop {
        let after = rooms.last().copied().unwrap_or(RoomId::NIL);
        let page = ready(store.logged_rooms(after, limit)).expect("readable");
        let over = page.len() < limit as usize;
        rooms.extend(page);
        if over {
            return rooms;
        }
    }
}

/// A copy that is filled while the source goes on, and gets the records that the source gets meanwhile, is the source: whatever the
/// order of pages and records, and however often they come. The store is the copy, and then the source. It must be empty.
pub fn a_copy_made_while_records_arrive_equals_its_source<M: MessageDump>(store: &mut M, seeds: Range<u64>) {
    let mut expected = Vec::new();
    for seed in seeds {
        println_seed(seed);
        let mut random = Random(seed ^ 0xc0b7);
        let count = 1 + random.below(60);
        let mut history = History::random(0xc0_0000 + seed, count, &mut random);
        let (actor, user) = (history.users[0], history.users[1]);
        history.meta(MetaEvent::Left { user });
        history.intend(actor, Key([seed as u8; 16]), 1, MetaEvent::Muted { user, until: Millis(0) });
        // A store that forgets keys in time must not think that these are old.
        history.records.iter_mut().for_each(|record| record.head.wall.0 += 2_400_000_000_000);
        let room = history.room;
        let first = random.below(history.records.len() as u64) as usize;
        let mut source = MemoryMessages::default();
        let append = |to: &mut MemoryMessages, from: usize, count: usize| {
            let part = &history.records[from..count];
            ready(to.append("1/0", Lsn(count as u64), &records(part))).expect("takes a batch");
        };
        append(&mut source, 0, first);
        let mut pages = dump(&source, room, 1 + random.below(9));
        random.shuffle(&mut pages);
        // Some pages are read when more has arrived.
        let at = random.below(pages.len() as u64 + 1) as usize;
        append(&mut source, first, history.records.len());
        let later = dump(&source, room, 5);
        ready(store.append("copy", Lsn(1), &records(&history.records[first..]))).expect("takes a batch");
        for page in pages[at..].iter().chain(&later[..later.len() / 2]).chain(&pages).chain(&pages[..at]) {
            ready(store.fill_log(room, page)).expect("fills");
        }
        ready(store.settle()).expect("settles");
        same_copy(&history, &*store, &source);
        assert_eq!(encoded(store, room), encoded(&source, room));
        let mut back = MemoryMessages::default();
        for page in dump(store, room, 3) {
            ready(back.fill_log(room, &page)).expect("fills");
        }
        same_copy(&history, &back, &source);
        expected.push(room);
    }
    ready(store.forget("copy")).expect("forgets");
    for limit in [1, 3, 1_000] {
        let mut found = rooms_of(store, limit);
        found.sort();
        assert_eq!(found, expected);
    }
}

/// Epochs only grow, and those of rooms that are not there yet grow, too.
pub fn epochs_are_raised_for_all_rooms<M: MessageDump>(store: &mut M) {
    let mut history = History::new(0xe_0c41);
    history.post(history.users[0], Seq(0), "text");
    ready(store.append("1/0", Lsn(1), &records(&history.records))).expect("takes a batch");
    let room = history.room;
    let epochs = |store: &M| {
        let of = |room| ready(store.head(room)).expect("readable").epoch;
        (of(room), of(RoomId([0x77; 16])), ready(store.epoch()).expect("readable"))
    };
    let before = epochs(store).2;
    for (raised, now) in [(7, 7), (5, 7), (1_800_000_000, 1_800_000_000)] {
        ready(store.raise_epoch(Epoch(raised))).expect("raises");
        let now = Epoch(now).max(before);
        assert_eq!(epochs(store), (now, now, now));
    }
    history.post(history.users[0], Seq(0), "later");
    ready(store.append("1/0", Lsn(2), &records(&history.records))).expect("takes a batch");
    assert_eq!(epochs(store).0, Epoch(1_800_000_000).max(before));
    assert_eq!(ready(store.head(room)).expect("readable").top, Seq(2));
}

fn encoding<R: DumpRow>(row: &R) -> Vec<u8> {
    let mut bytes = Vec::new();
    row.encode(&mut bytes);
    bytes
}

fn key<R: DumpRow>(row: &R) -> Vec<u8> {
    let mut bytes = Vec::new();
    row.key(&mut bytes);
    bytes
}

/// The rows of a dump, in pages of one size.
pub(super) fn pages<D: Dump>(dump: &mut D, limit: u32) -> Vec<D::Row> {
    let (mut rows, mut mark) = (Vec::new(), Some(MarkOf::<D>::default()));
    while let Some(at) = mark {
        let page = ready(dump.rows(&at, limit)).expect("readable");
        assert!(page.rows.len() <= limit as usize);
        let mut last = at;
        for (row, mark) in page.rows {
            assert!(mark > last, "marks ascend");
            last = mark;
            rows.push(row);
        }
        assert!(page.next.as_ref().is_none_or(|next| *next >= last), "so do tables");
        mark = page.next;
    }
    rows
}

/// All rows of a dump by their keys, encoded, in pages of several sizes. What else a dump answers must agree with them.
pub(super) fn all_rows<D: Dump>(dump: &mut D) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let rows = pages(dump, 1_000);
    let by_key = |rows: &[D::Row]| -> BTreeMap<Vec<u8>, Vec<u8>> {
        rows.iter().map(|row| (key(row), encoding(row))).collect()
    };
    let all = by_key(&rows);
    assert_eq!(all.len(), rows.len(), "a key is of one row");
    for limit in [1, 4] {
        let rows = pages(dump, limit);
        assert_eq!((by_key(&rows), rows.len()), (all.clone(), all.len()), "pages of {limit} hold other rows");
    }
    assert_eq!(ready(dump.count()), Ok(rows.len() as u64));
    let found = ready(dump.find(&rows)).expect("readable");
    assert!(found == rows, "each is found under its key, and in the order in which it was asked for");
    all
}

pub(super) async fn copy<D: Dump, F: Fill<Row = D::Row>>(
    dump: &mut D,
    fill: &mut F,
    limit: u32,
) -> Result<(), StoreError> {
    let mut mark = Some(MarkOf::<D>::default());
    while let Some(at) = mark {
        let page = dump.rows(&at, limit).await?;
        let rows: Vec<D::Row> = page.rows.into_iter().map(|(row, _)| row).collect();
        fill.fill(&rows).await?;
        mark = page.next;
    }
    Ok(())
}

/// Brings a store that was filled from `before` to what `after` has: what is gone is taken out, what is new or another is put in.
pub(super) fn follow<F: Fill>(
    store: &mut F,
    before: &mut impl Dump<Row = F::Row>,
    after: &mut impl Dump<Row = F::Row>,
) {
    let (before, after) = (pages(before, 3), pages(after, 3));
    let kept: BTreeMap<_, _> = after.iter().map(|row| (key(row), encoding(row))).collect();
    let known: BTreeMap<_, _> = before.iter().map(|row| (key(row), encoding(row))).collect();
    let gone: Vec<F::Row> = before.into_iter().filter(|row| !kept.contains_key(&key(row))).collect();
    let put: Vec<F::Row> =
        after.into_iter().filter(|row| known.get(&key(row)) != Some(&encoding(row))).collect();
    assert!(!gone.is_empty() && !put.is_empty(), "there is something to do");
    for _ in 0..2 {
        ready(store.take_out(&gone)).expect("takes out, also what is not there any more");
        ready(store.fill(&put)).expect("fills");
    }
}

/// Every so many-th member sets something for itself.
fn set_some(rooms: &mut MemoryRooms, step: usize) {
    let mut members = Vec::new();
    for row in pages(&mut rooms.clone(), 100) {
        let RoomsRow::Room(loaded) = row else { continue };
        let room = loaded.row.as_ref().expect("a room").room;
        members.extend(loaded.members.iter().map(|member| (room, member.user)));
    }
    for (number, (room, user)) in (1..).zip(members.into_iter().step_by(step)) {
        let wish = if number % 2 == 0 { Wish::All } else { Wish::Mentions };
        let wish = RoomWish { muted_until: Millis(number), wish };
        assert_eq!(ready(rooms.set_wish(room, user, wish)), Ok(true));
        assert_eq!(ready(rooms.clear(room, user, Seq(number + 1), Ordinal(number))), Ok(true));
    }
}

/// Rooms that are filled from the reference answer as it does, and are dumped as they were filled. `snapshot` dumps the store as it
/// is now, whatever is done to it after. The store must be empty.
pub fn filled_rooms_equal_their_source<R: RoomStore + RoomFill, D: RoomDump>(
    store: &mut R,
    snapshot: impl Fn(&R) -> D,
) {
    let mut source = MemoryRooms::default();
    super::rooms::random_commands_match_the_reference(&mut source, 50..56);
    let block = super::rooms::random_block();
    assert!(ready(source.apply(&block)).is_ok());
    for n in [1, 2, 3, 4, 5] {
        ready(source.set_hidden(UserId([n; 16]), true)).expect("takes it");
        let from = if n % 2 == 0 { DirectFrom::Rooms } else { DirectFrom::Nobody };
        ready(source.set_direct_from(UserId([n; 16]), from)).expect("takes it");
    }
    super::strangers::some_requests(&mut source);
    set_some(&mut source, 3);
    for _ in 0..2 {
        ready(copy(&mut source, store, 3)).expect("copies");
    }
    let expected = all_rows(&mut source);
    let mut before = snapshot(store);
    assert_eq!(all_rows(&mut before), expected);
    let mut back = MemoryRooms::default();
    ready(copy(&mut before, &mut back, 3)).expect("copies");
    assert_eq!(back, source);
    // It goes on as the source does, and the snapshot stays.
    super::rooms::random_commands_match_the_reference(store, 60..62);
    assert_eq!(all_rows(&mut before), expected);
    assert!(all_rows(&mut snapshot(store)).len() > expected.len());
}

/// What changes in rooms after they were copied is brought over row by row. The store must be empty.
pub fn filled_rooms_follow_their_source<R: RoomStore + RoomFill, D: RoomDump>(
    store: &mut R,
    snapshot: impl Fn(&R) -> D,
) {
    let mut source = MemoryRooms::default();
    super::rooms::random_commands_match_the_reference(&mut source, 70..73);
    let mut block = super::rooms::random_block();
    assert!(ready(source.apply(&block)).is_ok());
    let [stays, changes, goes] = [1, 2, 3].map(|n| UserId([n; 16]));
    for user in [stays, changes, goes] {
        ready(source.set_direct_from(user, DirectFrom::Rooms)).expect("takes it");
    }
    super::strangers::some_requests(&mut source);
    ready(copy(&mut source, store, 3)).expect("copies");
    let mut before = source.clone();
    super::strangers::answer_one(&mut source);
    ready(source.set_direct_from(changes, DirectFrom::Nobody)).expect("takes it");
    ready(source.set_direct_from(goes, DirectFrom::Everyone)).expect("takes it");
    // Rooms that were there change, others come, results of keys and a block go.
    let rows = pages(&mut before, 100);
    let rooms: Vec<RoomId> = rows
        .iter()
        .filter_map(|row| match row {
            RoomsRow::Room(room) => {
                room.row.as_ref().filter(|row| row.deleted == Millis(0)).map(|row| row.room)
            }
            _ => None,
        })
        .collect();
    assert!(!rooms.is_empty(), "some stand");
    for (number, room) in (0..).zip(&rooms) {
        super::rooms::change_some(&mut source, *room, number);
    }
    super::rooms::random_commands_match_the_reference(&mut source, 73..75);
    let results = rows.iter().filter(|row| matches!(row, RoomsRow::Result { .. })).step_by(2).cloned();
    ready(source.take_out(&results.collect::<Vec<_>>())).expect("takes out");
    set_some(&mut source, 2);
    if let MetaChange::Block { on, .. } = &mut block.change {
        (*on, block.key) = (false, Key([0x5a; 16]));
    }
    assert!(ready(source.apply(&block)).is_ok());
    follow(store, &mut before, &mut source);
    assert_eq!(all_rows(&mut snapshot(store)), all_rows(&mut source));
    let mut back = MemoryRooms::default();
    ready(copy(&mut snapshot(store), &mut back, 3)).expect("copies");
    assert_eq!(back, source);
    // What no store ever takes out is not taken out so either, nor what is named beside it.
    let expected = all_rows(&mut source);
    for never in rows.iter().filter(|row| matches!(row, RoomsRow::Room(_) | RoomsRow::Name { .. })) {
        let beside = rows.iter().find(|row| matches!(row, RoomsRow::Result { .. })).expect("some").clone();
        assert_eq!(ready(store.take_out(&[beside, never.clone()])), Err(StoreError::Corrupt));
    }
    assert_eq!(all_rows(&mut snapshot(store)), expected);
}

/// Accounts that are filled from the reference are dumped as they were filled, and go on as the reference does. The store must be empty.
pub fn filled_accounts_equal_their_source<A: ErasureStore + AccountFill, D: AccountDump>(
    store: &mut A,
    snapshot: impl Fn(&A) -> D,
) {
    let mut source = MemoryAccounts::default();
    super::accounts::some_of_everything(&mut source);
    for _ in 0..2 {
        ready(copy(&mut source, store, 2)).expect("copies");
    }
    let expected = all_rows(&mut source);
    let mut before = snapshot(store);
    assert_eq!(all_rows(&mut before), expected);
    let mut back = MemoryAccounts::default();
    ready(copy(&mut before, &mut back, 2)).expect("copies");
    assert_eq!(all_rows(&mut back), expected);
    super::accounts::the_same_is_answered(store, &source);
    super::accounts::more_of_everything(&mut source);
    super::accounts::more_of_everything(store);
    super::accounts::the_same_is_answered(store, &source);
    assert_eq!(all_rows(&mut before), expected, "a snapshot stays");
    assert_eq!(all_rows(&mut snapshot(store)), all_rows(&mut source));
}

/// What changes in accounts after they were copied is brought over row by row. The store must be empty.
pub fn filled_accounts_follow_their_source<A: ErasureStore + AccountFill, D: AccountDump>(
    store: &mut A,
    snapshot: impl Fn(&A) -> D,
) {
    let mut source = MemoryAccounts::default();
    super::accounts::some_of_everything(&mut source);
    ready(copy(&mut source, store, 2)).expect("copies");
    let mut before = source.clone();
    super::accounts::more_of_everything(&mut source);
    super::accounts::numbers_that_pass_on(&mut source);
    // What is forgotten in time, and what is published.
    let one_of_each = |of: fn(&AccountsRow) -> bool| pages(&mut before.clone(), 100).into_iter().find(of);
    let gone = [
        one_of_each(|row| matches!(row, AccountsRow::Name { freed: Some(_), .. })),
        one_of_each(|row| matches!(row, AccountsRow::Session { .. })),
        one_of_each(|row| matches!(row, AccountsRow::Counter { .. })),
        one_of_each(|row| matches!(row, AccountsRow::Audit(_))),
        one_of_each(|row| matches!(row, AccountsRow::Waiting { .. })),
        one_of_each(|row| matches!(row, AccountsRow::Factor(_))),
        one_of_each(|row| matches!(row, AccountsRow::Recovery { .. })),
        one_of_each(|row| matches!(row, AccountsRow::Suspended { .. })),
    ];
    ready(source.take_out(&gone.map(|row| row.expect("some of everything")))).expect("takes out");
    follow(store, &mut before, &mut source);
    assert_eq!(all_rows(&mut snapshot(store)), all_rows(&mut source));
    super::accounts::the_same_is_answered(store, &source);
    // Two that stay may have changed their numbers for each other's.
    let mut two: Vec<_> = pages(&mut source, 100)
        .into_iter()
        .filter(|row| matches!(row, AccountsRow::Account(_)))
        .take(2)
        .collect();
    if let [AccountsRow::Account(one), AccountsRow::Account(other)] = &mut two[..] {
        std::mem::swap(&mut one.phone, &mut other.phone);
    }
    for row in &two {
        ready(store.fill(std::slice::from_ref(row))).expect("fills");
        ready(source.fill(std::slice::from_ref(row))).expect("fills");
    }
    assert_eq!(ready(source.find(&two)).expect("readable").len(), 2);
    let expected = all_rows(&mut source);
    let mut beside = None;
    for row in pages(&mut source, 100) {
        match row {
            AccountsRow::Session { .. } => beside = Some(row),
            AccountsRow::Erasure(_) => {
                let beside = beside.clone().expect("sessions come first");
                assert_eq!(ready(store.take_out(&[beside, row])), Err(StoreError::Corrupt));
            }
            _ => {}
        }
    }
    assert_eq!(all_rows(&mut snapshot(store)), expected);
}
