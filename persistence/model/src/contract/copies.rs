//! The suites of dumping and filling: what is filled from a dump answers as the store that it was dumped from.

use std::ops::Range;

use lynk_domain::{Epoch, Key, Lsn, Millis, RoomId, Seq};

use super::history::{History, Random, records};
use super::messages::{println_seed, same_log};
use crate::dump::{AccountsMark, LogRow, RoomsMark};
use crate::memory::{MemoryAccounts, MemoryMessages, MemoryRooms};
use crate::port::{
    AccountDump, AccountFill, FactorStore, MessageDump, MessageStore as _, RoomDump, RoomFill, RoomStore,
    ready,
};
use crate::{MetaEvent, StoreError};

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
        same_log(&history, &*store, &source);
        assert_eq!(encoded(store, room), encoded(&source, room));
        let mut back = MemoryMessages::default();
        for page in dump(store, room, 3) {
            ready(back.fill_log(room, &page)).expect("fills");
        }
        same_log(&history, &back, &source);
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

/// All rows of a dump, encoded, in pages of several sizes.
fn rooms_rows<D: RoomDump>(dump: &mut D) -> Vec<Vec<u8>> {
    let mut all: Option<Vec<Vec<u8>>> = None;
    for limit in [1, 4, 1_000] {
        let (mut rows, mut mark) = (Vec::new(), Some(RoomsMark::default()));
        while let Some(at) = mark {
            let page = ready(dump.rows(&at, limit)).expect("readable");
            assert!(page.rows.len() <= limit as usize);
            rows.extend(page.rows.iter().map(|row| {
                let mut bytes = Vec::new();
                row.encode(&mut bytes);
                bytes
            }));
            mark = page.next;
        }
        rows.sort();
        assert!(all.as_ref().is_none_or(|all| *all == rows), "pages of {limit} hold other rows");
        all = Some(rows);
    }
    all.unwrap_or_default()
}

async fn copy_rooms<D: RoomDump, F: RoomFill>(dump: &mut D, fill: &mut F) -> Result<(), StoreError> {
    let mut mark = Some(RoomsMark::default());
    while let Some(at) = mark {
        let page = dump.rows(&at, 3).await?;
        fill.fill(&page.rows).await?;
        mark = page.next;
    }
    Ok(())
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
    for _ in 0..2 {
        ready(copy_rooms(&mut source, store)).expect("copies");
    }
    let expected = rooms_rows(&mut source);
    let mut before = snapshot(store);
    assert_eq!(rooms_rows(&mut before), expected);
    let mut back = MemoryRooms::default();
    ready(copy_rooms(&mut before, &mut back)).expect("copies");
    assert_eq!(back, source);
    // It goes on as the source does, and the snapshot stays.
    super::rooms::random_commands_match_the_reference(store, 60..62);
    assert_eq!(rooms_rows(&mut before), expected);
    assert!(rooms_rows(&mut snapshot(store)).len() > expected.len());
}

fn accounts_rows<D: AccountDump>(dump: &mut D) -> Vec<Vec<u8>> {
    let mut all: Option<Vec<Vec<u8>>> = None;
    for limit in [1, 1_000] {
        let (mut rows, mut mark) = (Vec::new(), Some(AccountsMark::default()));
        while let Some(at) = mark {
            let page = ready(dump.rows(&at, limit)).expect("readable");
            rows.extend(page.rows.iter().map(|row| {
                let mut bytes = Vec::new();
                row.encode(&mut bytes);
                bytes
            }));
            mark = page.next;
        }
        rows.sort();
        assert!(all.as_ref().is_none_or(|all| *all == rows), "pages of {limit} hold other rows");
        all = Some(rows);
    }
    all.unwrap_or_default()
}

async fn copy_accounts<D: AccountDump, F: AccountFill>(dump: &mut D, fill: &mut F) -> Result<(), StoreError> {
    let mut mark = Some(AccountsMark::default());
    while let Some(at) = mark {
        let page = dump.rows(&at, 2).await?;
        fill.fill(&page.rows).await?;
        mark = page.next;
    }
    Ok(())
}

/// Accounts that are filled from the reference are dumped as they were filled, and go on as the reference does. The store must be empty.
pub fn filled_accounts_equal_their_source<A: FactorStore + AccountFill, D: AccountDump>(
    store: &mut A,
    snapshot: impl Fn(&A) -> D,
) {
    let mut source = MemoryAccounts::default();
    super::accounts::some_of_everything(&mut source);
    for _ in 0..2 {
        ready(copy_accounts(&mut source, store)).expect("copies");
    }
    let expected = accounts_rows(&mut source);
    let mut before = snapshot(store);
    assert_eq!(accounts_rows(&mut before), expected);
    let mut back = MemoryAccounts::default();
    ready(copy_accounts(&mut before, &mut back)).expect("copies");
    assert_eq!(accounts_rows(&mut back), expected);
    super::accounts::the_same_is_answered(store, &source);
    super::accounts::more_of_everything(&mut source);
    super::accounts::more_of_everything(store);
    super::accounts::the_same_is_answered(store, &source);
    assert_eq!(accounts_rows(&mut before), expected, "a snapshot stays");
    assert_eq!(accounts_rows(&mut snapshot(store)), accounts_rows(&mut source));
}
