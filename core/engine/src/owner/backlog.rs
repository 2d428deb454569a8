//! Records that the message store may not have yet: per room, which ones and about what; per journal, how far
//! it is drained.
//!
//! Thread: the shard. Invariants: a room's list is ascending by seq; a record is listed from its append (or
//! from boot) until its journal is drained past it. Limits: the owner refuses work when the count reaches
//! `undrained_records_per_shard_max`. Nothing can fail.

use std::collections::VecDeque;

use lynk_domain::{Lsn, RoomId, Seq};
use lynk_model::{Body, OwnedRecord, RecordAt, RecordKind, SourceId};

/// Memory that one record takes here at most, in bytes, in a room that has several: its entry in its room's list and in
/// its journal's, each in a buffer that doubles when it is full. The first record of a room makes room for four.
pub const UNDRAINED_RECORD_BYTES_MAX: usize = 2 * (size_of::<Undrained>() + size_of::<(Lsn, RoomId)>());
const _: () = assert!(UNDRAINED_RECORD_BYTES_MAX <= 128, "the default limit is made for 128 MiB per shard");

/// One such record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Undrained {
    pub(super) at: RecordAt,
    pub(super) seq: Seq,
    pub(super) kind: RecordKind,
    /// The message that an edit, delete or reaction is about; 0 while that is not known.
    pub(super) target: Seq,
}

impl Undrained {
    fn is_change(&self) -> bool {
        matches!(self.kind, RecordKind::Edit | RecordKind::Delete | RecordKind::Reaction)
    }

    /// Whether it changes a message in `from..=to`, or might.
    fn may_change(&self, from: Seq, to: Seq) -> bool {
        self.is_change() && (self.target == Seq(0) || (from <= self.target && self.target <= to))
    }
}

/// How a page is cut out of its range.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) backward: bool,
    pub(super) limit: u32,
    /// Every event, or messages only.
    pub(super) all: bool,
}

/// The records of one room.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    records: VecDeque<Undrained>,
}

impl Backlog {
    /// Adds a record whose seq is not below any listed one.
    pub(super) fn push(&mut self, record: Undrained) {
        self.records.push_back(record);
    }

    /// Adds a record that may lie before listed ones.
    pub(super) fn insert(&mut self, record: Undrained) {
        let index = self.records.partition_point(|r| (r.seq, r.at) < (record.seq, record.at));
        self.records.insert(index, record);
    }

    /// Puts records that came in journal order into order of seq.
    pub(super) fn sort(&mut self) {
        self.records.make_contiguous().sort_by_key(|r| (r.seq, r.at));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Forgets a record; harmless when it is not listed.
    pub(super) fn remove(&mut self, at: RecordAt) {
        // Journals drain in order, so it is nearly always the first.
        if let Some(index) = self.records.iter().position(|r| r.at == at) {
            self.records.remove(index);
        }
    }

    /// Learns from the records themselves which messages they change.
    pub(super) fn learn_targets(&mut self, records: &[OwnedRecord]) {
        for record in records {
            let target = match Body::decode(record.head.kind, &record.payload) {
                Ok(Body::Edit { target, .. } | Body::Delete { target } | Body::Reaction { target, .. }) => {
                    target
                }
                _ => continue,
            };
            let first = self.records.partition_point(|r| r.seq < record.head.seq);
            let same = self.records.range_mut(first..).take_while(|r| r.seq == record.head.seq);
            same.filter(|r| r.kind == record.head.kind).for_each(|r| r.target = target);
        }
    }

    /// The record of an event.
    pub(super) fn find(&self, kind: RecordKind, seq: Seq) -> Option<&Undrained> {
        let first = self.records.partition_point(|r| r.seq < seq);
        self.records.range(first..).take_while(|r| r.seq == seq).find(|r| r.kind == kind)
    }

    /// All of them, for loading the room.
    pub(super) fn all(&self) -> Vec<RecordAt> {
        self.records.iter().map(|r| r.at).collect()
    }

    /// The part of `from..=to` that holds `limit` undrained events, counted from the page's start: a page needs no
    /// more, and each record is read one by one.
    pub(super) fn narrow(&self, from: Seq, to: Seq, page: Cut) -> (Seq, Seq) {
        let Cut { backward, limit, all } = page;
        let wanted = |r: &&Undrained| if all { r.kind.takes_seq() } else { r.kind == RecordKind::Message };
        let first = self.records.partition_point(|r| r.seq < from);
        let last = self.records.partition_point(|r| r.seq <= to).max(first);
        let mut inside = self.records.range(first..last).filter(wanted);
        let nth = limit.saturating_sub(1) as usize;
        if backward {
            (inside.rev().nth(nth).map_or(from, |r| r.seq), to)
        } else {
            (from, inside.nth(nth).map_or(to, |r| r.seq))
        }
    }

    /// Events in `from..=to` and later changes to messages there, for a page.
    pub(super) fn in_range(&self, from: Seq, to: Seq) -> Vec<RecordAt> {
        let first = self.records.partition_point(|r| r.seq < from);
        let wanted =
            |r: &&Undrained| r.kind.takes_seq() && ((from <= r.seq && r.seq <= to) || r.may_change(from, to));
        self.records.range(first..).filter(wanted).map(|r| r.at).collect()
    }

    /// Edits and deletes from `from` on of messages before it, with the message: the text of edits that lie in a page from
    /// `from` on depends on them. At most `max`; `None` when there are more.
    pub(super) fn changes_before(&self, from: Seq, max: usize) -> Option<Vec<(Seq, RecordAt)>> {
        let first = self.records.partition_point(|r| r.seq < from);
        let changes = self.records.range(first..);
        let changes = changes.filter(|r| matches!(r.kind, RecordKind::Edit | RecordKind::Delete));
        let changes = changes.filter(|r| Seq(0) < r.target && r.target < from);
        let changes: Vec<_> = changes.map(|r| (r.target, r.at)).take(max + 1).collect();
        (changes.len() <= max).then_some(changes)
    }

    /// Messages in `from..=to`, all or `max` of them that are evenly apart; and whether some are left out.
    pub(super) fn messages(&self, from: Seq, to: Seq, max: usize) -> (Vec<(Seq, RecordAt)>, bool) {
        let first = self.records.partition_point(|r| r.seq < from);
        let last = self.records.partition_point(|r| r.seq <= to).max(first);
        let messages = || self.records.range(first..last).filter(|r| r.kind == RecordKind::Message);
        let every = messages().count().div_ceil(max.max(1)).max(1);
        (messages().step_by(every).map(|r| (r.seq, r.at)).collect(), every > 1)
    }

    /// The event at `seq` and changes of it.
    pub(super) fn about(&self, seq: Seq) -> Vec<RecordAt> {
        let first = self.records.partition_point(|r| r.seq < seq);
        let wanted = |r: &&Undrained| r.kind.takes_seq() && (r.seq == seq || r.may_change(seq, seq));
        self.records.range(first..).filter(wanted).map(|r| r.at).collect()
    }

    /// Messages after `seq`, and edits and deletes of such.
    pub(super) fn unread_after(&self, seq: Seq) -> Vec<RecordAt> {
        let first = self.records.partition_point(|r| r.seq <= seq);
        let wanted = |r: &&Undrained| match r.kind {
            RecordKind::Message => true,
            RecordKind::Edit | RecordKind::Delete => r.target == Seq(0) || r.target > seq,
            _ => false,
        };
        self.records.range(first..).filter(wanted).map(|r| r.at).collect()
    }
}

/// How far each journal is drained, and which rooms' records wait in it.
#[derive(Debug, Default)]
pub(super) struct Drains {
    journals: Vec<Journal>,
    count: usize,
}

#[derive(Debug)]
struct Journal {
    source: SourceId,
    drained: Lsn,
    /// Ascending by number.
    waiting: VecDeque<(Lsn, RoomId)>,
}

impl Drains {
    fn journal(&mut self, source: SourceId) -> &mut Journal {
        // A handful of journals: those of old generations, and this boot's.
        let index = match self.journals.iter().position(|j| j.source == source) {
            Some(index) => index,
            None => {
                self.journals.push(Journal { source, drained: Lsn(0), waiting: VecDeque::new() });
                self.journals.len() - 1
            }
        };
        &mut self.journals[index]
    }

    /// Adds a record; its number is above those listed of the same journal.
    pub(super) fn push(&mut self, at: RecordAt, room: RoomId) {
        self.journal(at.source).waiting.push_back((at.lsn, room));
        self.count += 1;
    }

    /// Records that wait, of all journals.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn is_drained(&self, at: RecordAt) -> bool {
        self.journals.iter().any(|j| j.source == at.source && at.lsn <= j.drained)
    }

    /// Notes that `source` is drained up to `lsn`.
    pub(super) fn advance(&mut self, source: SourceId, lsn: Lsn) {
        let journal = self.journal(source);
        journal.drained = journal.drained.max(lsn);
    }

    /// Takes the next record of `source` that has been drained.
    pub(super) fn take(&mut self, source: SourceId) -> Option<(RecordAt, RoomId)> {
        let journal = self.journal(source);
        let (lsn, room) = *journal.waiting.front().filter(|(lsn, _)| *lsn <= journal.drained)?;
        journal.waiting.pop_front();
        self.count -= 1;
        Some((RecordAt { source, lsn }, room))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(lsn: u64, seq: u64, kind: RecordKind, target: u64) -> Undrained {
        Undrained {
            at: RecordAt { source: SourceId(1), lsn: Lsn(lsn) },
            seq: Seq(seq),
            kind,
            target: Seq(target),
        }
    }

    fn lsns(places: &[RecordAt]) -> Vec<u64> {
        places.iter().map(|at| at.lsn.0).collect()
    }

    #[test]
    fn a_page_gets_its_events_and_later_changes_of_them_only() {
        let mut backlog = Backlog::default();
        for r in [
            record(1, 4, RecordKind::Message, 4),
            record(2, 5, RecordKind::Message, 5),
            record(3, 6, RecordKind::Edit, 2),
            record(4, 7, RecordKind::Delete, 4),
            record(5, 8, RecordKind::Reaction, 0),
            record(6, 9, RecordKind::Delete, 2),
            record(7, 9, RecordKind::Read, 0),
        ] {
            backlog.push(r);
        }
        assert_eq!(lsns(&backlog.in_range(Seq(4), Seq(5))), [1, 2, 4, 5]);
        assert_eq!(lsns(&backlog.in_range(Seq(5), Seq(6))), [2, 3, 5]);
        // The edit at 6, and any other of 2 that the store has, shows the text of 2, which is gone since 9.
        assert_eq!(backlog.changes_before(Seq(4), 1), None);
        let changes = backlog.changes_before(Seq(4), 2).expect("two");
        assert_eq!(changes.iter().map(|(of, at)| (of.0, at.lsn.0)).collect::<Vec<_>>(), [(2, 3), (2, 6)]);
        assert_eq!(lsns(&backlog.about(Seq(4))), [1, 4, 5]);
        assert_eq!(lsns(&backlog.unread_after(Seq(4))), [2]);
        backlog.remove(RecordAt { source: SourceId(1), lsn: Lsn(2) });
        assert_eq!(backlog.all().len(), 6);
    }

    #[test]
    fn the_index_of_the_default_limit_stays_below_128_mib() {
        let max = u64::from(lynk_domain::Limits::default().undrained_records_per_shard_max);
        assert!(max * UNDRAINED_RECORD_BYTES_MAX as u64 <= 128 << 20);
        // Just above a power of two, where the buffers have doubled.
        for (rooms, records) in [(1, 65_537), (16, 65_552), (4_000, 260_000)] {
            let mut kept = None;
            let measured = allocation_counter::measure(|| {
                let mut drains = Drains::default();
                let mut backlogs: Vec<Backlog> = (0..rooms).map(|_| Backlog::default()).collect();
                for n in 0..records {
                    let r = record(n, n, RecordKind::Message, n);
                    drains.push(r.at, RoomId([1; 16]));
                    backlogs[(n % rooms) as usize].push(r);
                }
                kept = Some((drains, backlogs));
            });
            let bytes = measured.bytes_current as u64 / records;
            assert!(
                (64..=UNDRAINED_RECORD_BYTES_MAX as u64).contains(&bytes),
                "{bytes} bytes, {rooms} rooms"
            );
        }
    }

    #[test]
    fn a_drained_journal_gives_up_its_records_in_order_and_no_others() {
        let mut drains = Drains::default();
        let (old, new) = (SourceId(0), SourceId(4));
        for lsn in 1..=3 {
            drains.push(RecordAt { source: old, lsn: Lsn(lsn) }, RoomId([1; 16]));
            drains.push(RecordAt { source: new, lsn: Lsn(lsn) }, RoomId([2; 16]));
        }
        drains.advance(new, Lsn(2));
        assert_eq!(drains.take(old), None);
        assert_eq!(drains.take(new), Some((RecordAt { source: new, lsn: Lsn(1) }, RoomId([2; 16]))));
        assert!(drains.take(new).is_some() && drains.take(new).is_none());
        assert!(drains.is_drained(RecordAt { source: new, lsn: Lsn(2) }));
        assert!(!drains.is_drained(RecordAt { source: old, lsn: Lsn(1) }));
        assert_eq!(drains.count(), 4);
    }
}
