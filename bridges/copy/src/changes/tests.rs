use std::cell::Cell;

use lynk_domain::{Key, Millis, RoomId, Seq, UserId};
use lynk_model::dump::{AccountsRow, DumpPage, RoomsMark, RoomsRow};
use lynk_model::memory::{MemoryAccounts, MemoryRooms};
use lynk_model::port::{Dump, Fill, PageOf, StoreFault, ready};
use lynk_model::{LoadedRoom, RoomRow, StoreError};

use super::*;
use crate::{PAGE_ROWS, copy_tables};

fn room(number: u8, version: u64) -> RoomsRow {
    let (id, kind, by) = (RoomId([number; 16]), lynk_domain::RoomKind::Public, UserId([1; 16]));
    let row = RoomRow { version, ..RoomRow::new(id, kind, &format!("room {number}"), by, Millis(1)) };
    RoomsRow::Room(Box::new(LoadedRoom { row: Some(row), ..LoadedRoom::default() }))
}

fn name(number: u8, version: u64) -> RoomsRow {
    RoomsRow::Name { folded: format!("name {number}"), room: RoomId([9; 16]), freed: Some(Millis(version)) }
}

fn block(number: u8, version: u64) -> RoomsRow {
    RoomsRow::Block { by: UserId([number; 16]), user: UserId([2; 16]), room: RoomId([version as u8; 16]) }
}

fn result(number: u8, version: u64) -> RoomsRow {
    RoomsRow::Result {
        actor: UserId([number; 16]),
        room: RoomId([1; 16]),
        key: Key([1; 16]),
        content_hash: 1,
        version,
        seq: Seq(1),
        wall: Millis(1),
    }
}

fn filled(rows: &[RoomsRow]) -> MemoryRooms {
    let mut rooms = MemoryRooms::default();
    ready(rooms.fill(rows)).expect("fills");
    rooms
}

fn digest_of<D: Dump + LastFault>(dump: &mut D) -> Digest {
    ready(digest_tables(dump, "a test's", |_| true, &mut async |_| Ok(()))).expect("readable").digest
}

/// Brings a copy of `old` to `new`, with so much held in memory.
fn brought<D>(old: &D, new: &D, held_max: usize) -> (Brought, D)
where
    D: Dump + Fill<Row = <D as Dump>::Row> + LastFault + Clone + Default,
{
    let (mut old, mut new, mut target) = (old.clone(), new.clone(), D::default());
    let mut each = async |_| Ok(());
    let held = ready(copy_tables(&mut old, &mut target, |_| true, &mut each)).expect("copies").digest;
    let there = std::rc::Rc::new(std::cell::RefCell::new(target));
    let mut filling = Shared(std::rc::Rc::clone(&there));
    let done = ready(bring(
        &mut old,
        &mut new,
        &mut filling,
        &mut async || Ok(there.borrow().clone()),
        held,
        &mut async |_| Ok(()),
        held_max,
    ));
    let target = there.borrow().clone();
    (done.expect("brings"), target)
}

/// A store that is looked at while it is filled.
struct Shared<D>(std::rc::Rc<std::cell::RefCell<D>>);

impl<D> LastFault for Shared<D> {
    fn last_fault(&self) -> Option<StoreFault> {
        None
    }
}

#[expect(clippy::await_holding_refcell_ref, reason = "memory answers at once")]
impl<D: Fill> Fill for Shared<D> {
    type Row = D::Row;

    async fn fill(&mut self, rows: &[D::Row]) -> Result<(), StoreError> {
        self.0.borrow_mut().fill(rows).await
    }

    async fn take_out(&mut self, rows: &[D::Row]) -> Result<(), StoreError> {
        self.0.borrow_mut().take_out(rows).await
    }
}

/// The version of a row before and after, where it is there.
type Fate = (Option<u64>, Option<u64>);

/// What may have happened to a row since it was copied.
const FATES: [Fate; 5] =
    [(None, None), (Some(1), Some(1)), (Some(1), Some(2)), (Some(1), None), (None, Some(1))];

/// Every combination of fates of five rows: at the begin, in the middle, at the end, in every table; everything held or nothing.
#[test]
fn whatever_happened_to_rows_is_brought_over() {
    for of in [room, name, block, result] {
        let may_go = of(1, 1) == block(1, 1) || of(1, 1) == result(1, 1);
        for combination in 0..FATES.len().pow(5) {
            let fates: Vec<_> =
                (0..5).map(|place| FATES[combination / FATES.len().pow(place) % FATES.len()]).collect();
            let is_gone = |fate: &Fate| *fate == FATES[3];
            if !may_go && fates.iter().any(is_gone) {
                continue;
            }
            let rows = |side: fn(&Fate) -> Option<u64>| -> Vec<RoomsRow> {
                // A row of another table before and after: tables end anywhere.
                let others = [room(99, 7), result(99, 7)];
                let of_side =
                    (1..).zip(&fates).filter_map(|(n, fate)| side(fate).map(|version| of(n, version)));
                of_side.chain(others).collect()
            };
            let (old, new) = (filled(&rows(|fate| fate.0)), filled(&rows(|fate| fate.1)));
            for held_max in [0, HELD_WEIGHT_MAX] {
                let (done, target) = brought(&old, &new, held_max);
                assert_eq!(target, new, "{fates:?}");
                let gone = fates.iter().filter(|fate| is_gone(fate)).count() as u64;
                let put = fates.iter().filter(|(before, now)| now.is_some() && before != now).count() as u64;
                assert_eq!((done.gone, done.put), (gone, put), "{fates:?}");
                assert_eq!(done.tables.digest, digest_of(&mut new.clone()));
            }
        }
    }
}

/// A dump whose pages are as small as it likes, and empty in between.
#[derive(Clone)]
struct Small(MemoryRooms, u32, Cell<bool>);

impl LastFault for Small {}

impl Dump for Small {
    type Row = RoomsRow;

    async fn rows(&mut self, mark: &RoomsMark, limit: u32) -> Result<PageOf<Self>, StoreError> {
        self.2.set(!self.2.get());
        if self.2.get() {
            return Ok(DumpPage { rows: Vec::new(), next: Some(mark.clone()) });
        }
        let limit = limit.min(self.1);
        self.0.rows(mark, limit).await
    }
}

#[test]
fn pages_of_every_size_give_the_same() {
    let rows = |numbers: &[(u8, u64)]| -> Vec<RoomsRow> {
        let of = |(number, version): &(u8, u64)| [block(*number, *version), result(*number, *version)];
        (1..40).map(|n| room(n, 1)).chain(numbers.iter().flat_map(of)).collect()
    };
    let numbers: Vec<_> = (0..250).map(|n| (n, 1)).collect();
    let changed: Vec<_> = (0..255u8).filter(|n| n % 7 != 3).map(|n| (n, 1 + u64::from(n % 5 == 0))).collect();
    let (old, new) = (filled(&rows(&numbers)), filled(&rows(&changed)));
    let mut expected = None;
    for (one, other) in [(1, 1), (1, 100), (100, 1), (3, 7), (7, 3), (99, 100), (PAGE_ROWS, PAGE_ROWS)] {
        let mut walked = Vec::new();
        let (mut before, mut after) =
            (Small(old.clone(), one, Cell::new(false)), Small(new.clone(), other, Cell::new(false)));
        let mut told = async |change| {
            let of = |row: &RoomsRow| {
                let mut bytes = Vec::new();
                row.encode(&mut bytes);
                bytes
            };
            walked.push(match &change {
                Change::Gone(row) => (false, of(row)),
                Change::Put(row) => (true, of(row)),
            });
            Ok(())
        };
        let sides = ready(merge(&mut before, &mut after, &mut async |_| Ok(()), &mut told)).expect("merges");
        assert_eq!(sides.made, sides.new.digest);
        assert_eq!(sides.old, digest_of(&mut old.clone()));
        assert!(!walked.is_empty());
        assert!(expected.as_ref().is_none_or(|expected| *expected == walked), "pages of {one} and {other}");
        expected = Some(walked);
    }
}

/// The place of a row is a store's number in some tables, and may be given again to another row.
#[test]
fn a_place_that_went_to_another_row_is_the_other_rows() {
    let waiting = |user: u8| AccountsRow::Waiting { user: UserId([user; 16]), created: Millis(user.into()) };
    let of = |users: &[u8]| {
        let mut accounts = MemoryAccounts::default();
        let rows: Vec<_> = users.iter().map(|user| waiting(*user)).collect();
        ready(accounts.fill(&rows)).expect("fills");
        accounts
    };
    for (old, new) in [
        (&[1, 2, 3][..], &[4][..]),
        (&[1, 2, 3], &[2, 3, 4]),
        (&[1, 2, 3], &[3]),
        (&[1], &[2, 3, 4]),
        (&[1, 2, 3], &[]),
        (&[], &[5, 4]),
    ] {
        for held_max in [0, HELD_WEIGHT_MAX] {
            let (done, mut target) = brought(&of(old), &of(new), held_max);
            let page = ready(target.rows(&lynk_model::dump::AccountsMark::Outbox(0), 10)).expect("readable");
            let rows: Vec<_> = page.rows.into_iter().map(|(row, _)| row).collect();
            assert_eq!(rows, new.iter().map(|user| waiting(*user)).collect::<Vec<_>>(), "in their order");
            assert_eq!(done.tables.digest.rows, new.len() as u64);
        }
    }
}

/// What a target may do wrong.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fault {
    /// It loses a row that is put.
    LosesPut,
    /// It keeps a row that is taken out.
    KeepsGone,
    /// It writes something else than it was given.
    WritesElse,
    /// It takes out one more.
    TakesMore,
}

struct Faulty(std::rc::Rc<std::cell::RefCell<MemoryRooms>>, Fault);

impl LastFault for Faulty {}

#[expect(clippy::await_holding_refcell_ref, reason = "memory answers at once")]
impl Fill for Faulty {
    type Row = RoomsRow;

    async fn fill(&mut self, rows: &[RoomsRow]) -> Result<(), StoreError> {
        let rows = match self.1 {
            Fault::LosesPut => rows[1..].to_vec(),
            Fault::WritesElse => rows.iter().map(|_| block(3, 77)).collect(),
            _ => rows.to_vec(),
        };
        self.0.borrow_mut().fill(&rows).await
    }

    async fn take_out(&mut self, rows: &[RoomsRow]) -> Result<(), StoreError> {
        let mut rows = rows.to_vec();
        match self.1 {
            Fault::KeepsGone => rows.clear(),
            Fault::TakesMore => rows.push(block(5, 1)),
            _ => {}
        }
        self.0.borrow_mut().take_out(&rows).await
    }
}

#[test]
fn a_target_that_is_not_as_it_should_be_is_found() {
    let (old, new) = ([block(1, 1), block(3, 1), block(5, 1)], [block(3, 2), block(5, 1)]);
    for fault in [Fault::LosesPut, Fault::KeepsGone, Fault::WritesElse, Fault::TakesMore] {
        for held_max in [0, HELD_WEIGHT_MAX] {
            let there = std::rc::Rc::new(std::cell::RefCell::new(filled(&old)));
            let mut target = Faulty(std::rc::Rc::clone(&there), fault);
            let (mut before, mut after) = (filled(&old), filled(&new));
            let held = digest_of(&mut before.clone());
            let done = ready(bring(
                &mut before,
                &mut after,
                &mut target,
                &mut async || Ok(there.borrow().clone()),
                held,
                &mut async |_| Ok(()),
                held_max,
            ));
            assert!(matches!(done, Err(CopyError::Differs(_))), "{fault:?} {held_max}: {done:?}");
        }
    }
}

#[test]
fn what_was_copied_must_be_what_the_target_holds() {
    let (mut old, mut new) = (filled(&[block(1, 1)]), filled(&[block(1, 2)]));
    let mut target = old.clone();
    let held = digest_of(&mut new.clone());
    let look = old.clone();
    let done = ready(bring(
        &mut old,
        &mut new,
        &mut target,
        &mut async || Ok(look.clone()),
        held,
        &mut async |_| Ok(()),
        HELD_WEIGHT_MAX,
    ));
    assert!(matches!(done, Err(CopyError::Differs(_))), "{done:?}");
    assert_eq!(target, look, "nothing was written");
}

/// No store ever loses a room: a state without one that was there is not taken for a later one.
#[test]
fn a_room_that_is_gone_is_not_believed() {
    let (mut old, mut new) = (filled(&[room(1, 1), room(2, 1)]), filled(&[room(1, 1)]));
    let mut target = old.clone();
    let held = digest_of(&mut old);
    let look = old.clone();
    let done = ready(bring(
        &mut old,
        &mut new,
        &mut target,
        &mut async || Ok(look.clone()),
        held,
        &mut async |_| Ok(()),
        HELD_WEIGHT_MAX,
    ));
    assert!(matches!(done, Err(CopyError::Store { .. })), "{done:?}");
    assert_eq!(target, look);
}
