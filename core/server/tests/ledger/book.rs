//! Acknowledgements against what an independent reader found.
//!
//! Holds, or is written down as wrong: every acknowledged operation has its event, where the acknowledgement said; every
//! other event of an operation belongs to one that still waits for its acknowledgement, and to no second one; the events of
//! a room are numbered 1, 2, 3 … and its messages as well; messages say what the last change made of them, and
//! deleted ones nothing; and every subscriber was told the same events under the same numbers.

use std::collections::{BTreeSet, HashMap};

use super::client::{Ack, What};
use super::plain::{Entry, Kind};
use super::wire::{claim_of, edited_text, op_of, sent_text};

/// Findings that are told word by word; the rest is counted.
const TOLD_MAX: usize = 20;
/// Length of one of them.
const TOLD_CHARS_MAX: usize = 4_000;

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Fault {
    /// An acknowledged operation is not there, or not where it was acknowledged.
    Lost,
    /// An event of an operation that has its event elsewhere, or that nobody asked for.
    Duplicate,
    /// A number is missing, or something else has it.
    Order,
    /// A message does not say what it must.
    Content,
    /// A subscriber was told something else.
    Told,
    /// The server did not start, did not answer, or answered what it must not.
    Server,
}

/// Everything that is wrong.
#[derive(Clone, Default, Debug)]
pub(crate) struct Findings {
    counts: HashMap<Fault, u64>,
    told: Vec<String>,
}

impl Findings {
    pub(crate) fn add(&mut self, fault: Fault, what: impl FnOnce() -> String) {
        *self.counts.entry(fault).or_default() += 1;
        if self.told.len() < TOLD_MAX {
            let what: String = what().chars().take(TOLD_CHARS_MAX).collect();
            self.told.push(format!("{fault:?}: {what}"));
        }
    }

    pub(crate) fn count(&self, fault: Fault) -> u64 {
        self.counts.get(&fault).copied().unwrap_or(0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    pub(crate) fn text(&self) -> String {
        let mut counts: Vec<_> = self.counts.iter().collect();
        counts.sort();
        format!("{counts:?}\n{}", self.told.join("\n"))
    }
}

/// An operation without acknowledgement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) op: u64,
    pub(crate) client: usize,
    pub(crate) what: What,
}

/// One room's history and acknowledgements.
#[derive(Debug, Default)]
pub(crate) struct RoomBook {
    index: usize,
    /// User ids by client.
    users: Vec<String>,
    /// The event at index i has seq i + 1.
    pub(crate) log: Vec<Entry>,
    acks: Vec<Ack>,
    /// Acknowledgements that were compared with the log: `acks[..settled]`.
    settled: usize,
    /// The operation of each event, by seq.
    owners: HashMap<u64, u64>,
    /// Seqs of events whose operation was not acknowledged yet.
    open: BTreeSet<u64>,
}

impl RoomBook {
    pub(crate) fn new(index: usize, users: &[String]) -> Self {
        Self { index, users: users.to_vec(), ..Self::default() }
    }

    pub(crate) fn note(&mut self, ack: Ack) {
        self.acks.push(ack);
    }

    /// Forgets the log, so that the next reading is of everything and is compared with everything.
    pub(crate) fn forget(&mut self) {
        self.log.clear();
        self.owners.clear();
        self.open.clear();
        self.settled = 0;
    }

    /// Compares what was read since the last audit, the log after `start`, with everything else. `pending` are all
    /// operations of this room that were begun and not acknowledged.
    pub(crate) fn audit(&mut self, start: usize, pending: &[Pending], findings: &mut Findings) {
        self.number(start, findings);
        self.settle(findings);
        self.match_pending(pending, findings);
        self.states(start, findings);
    }

    /// Ordinals of messages.
    fn number(&mut self, start: usize, findings: &mut Findings) {
        let room = self.index;
        let mut n = self.log[..start].iter().rev().find(|e| e.kind == Kind::Message).map_or(0, |e| e.n);
        for (seq, entry) in (1..).zip(&self.log).skip(start) {
            if entry.kind == Kind::Message {
                if entry.n != n + 1 {
                    findings.add(Fault::Order, || format!("room {room}: n {} follows {n} at {seq}", entry.n));
                }
                n = entry.n;
            }
            if entry.kind != Kind::Other {
                self.open.insert(seq);
            }
        }
    }

    /// New acknowledgements against the log.
    fn settle(&mut self, findings: &mut Findings) {
        let room = self.index;
        for ack in &self.acks[self.settled..] {
            let Some(entry) = self.log.get(ack.seq.wrapping_sub(1) as usize) else {
                let top = self.log.len();
                findings.add(Fault::Lost, || format!("room {room}: {ack:?}, and the room ends with {top}"));
                continue;
            };
            let right = match ack.what {
                What::Send => {
                    entry.kind == Kind::Message
                        && (entry.id, entry.n) == (ack.id, ack.n)
                        && entry.from == self.users[ack.client]
                }
                What::Edit { target } => entry.kind == Kind::Edit && entry.target == target,
                What::Delete { target } => entry.kind == Kind::Delete && entry.target == target,
            };
            if !right {
                findings.add(Fault::Lost, || format!("room {room}: {ack:?} has become {entry:?}"));
            }
            self.open.remove(&ack.seq);
            if let Some(other) = self.owners.insert(ack.seq, ack.op).filter(|other| *other != ack.op) {
                findings.add(Fault::Lost, || format!("room {room}: {ack:?} has the seq of op {other}"));
            }
        }
        self.settled = self.acks.len();
    }

    /// Events without acknowledgement against operations without acknowledgement: each has its own.
    fn match_pending(&mut self, pending: &[Pending], findings: &mut Findings) {
        let room = self.index;
        let mut free: Vec<Pending> = pending.to_vec();
        for seq in &self.open {
            let entry = &self.log[*seq as usize - 1];
            let found = free.iter().position(|op| match op.what {
                What::Send => {
                    entry.kind == Kind::Message && entry.text.as_deref().and_then(op_of) == Some(op.op)
                }
                What::Edit { target } => entry.kind == Kind::Edit && entry.target == target,
                What::Delete { target } => entry.kind == Kind::Delete && entry.target == target,
            });
            match found.map(|at| free.swap_remove(at)) {
                Some(op) if self.users[op.client] == entry.from => {
                    self.owners.insert(*seq, op.op);
                }
                _ => findings.add(Fault::Duplicate, || {
                    format!("room {room}, seq {seq}: no operation without acknowledgement made {entry:?}")
                }),
            }
        }
    }

    /// What messages say, against the changes in the log after `start`.
    fn states(&self, start: usize, findings: &mut Findings) {
        let room = self.index;
        let mut edits: HashMap<u64, u64> = HashMap::new();
        let mut deletes: HashMap<u64, u64> = HashMap::new();
        for (seq, entry) in (1..).zip(&self.log).skip(start) {
            match entry.kind {
                Kind::Edit => {
                    edits.insert(entry.target, seq);
                }
                Kind::Delete => {
                    if let Some(first) = deletes.insert(entry.target, seq) {
                        findings.add(Fault::Duplicate, || {
                            format!("room {room}: {} is deleted at {first} and {seq}", entry.target)
                        });
                    }
                }
                Kind::Message | Kind::Other => {}
            }
        }
        for (seq, entry) in (1..).zip(&self.log).skip(start) {
            let right = match entry.kind {
                Kind::Message => {
                    let changes = (edits.get(&seq).copied(), deletes.get(&seq).copied());
                    self.says_what_it_must(seq, entry, changes)
                }
                // An edit shows what its message says now; nothing, when the message was deleted.
                Kind::Edit if entry.target as usize > start => {
                    let target = self.log.get(entry.target as usize - 1);
                    target.is_some_and(|target| {
                        target.text.as_deref().unwrap_or_default()
                            == entry.text.as_deref().unwrap_or_default()
                    })
                }
                Kind::Edit | Kind::Delete | Kind::Other => true,
            };
            if !right {
                findings.add(Fault::Content, || format!("room {room}, seq {seq}: {entry:?}"));
            }
        }
    }

    /// Whether a message is what the edit and the delete with these seqs made of it.
    fn says_what_it_must(&self, seq: u64, entry: &Entry, changes: (Option<u64>, Option<u64>)) -> bool {
        let (edit, delete) = changes;
        let owner = |seq: &u64| self.owners.get(seq).copied();
        let expected = match (edit, delete) {
            (_, Some(_)) => None,
            (Some(edit), None) => owner(&edit).map(|op| edited_text(op, seq)),
            (None, None) => owner(&seq).and_then(|op| {
                let (room, client) = claim_of(entry.text.as_deref()?)?;
                let own = room == self.index && self.users.get(client) == Some(&entry.from);
                own.then(|| sent_text(op, room, client))
            }),
        };
        let known = delete.is_some() || expected.is_some();
        known
            && entry.text == expected
            && (entry.edited, entry.deleted) == (edit.unwrap_or(0), delete.unwrap_or(0))
    }

    /// What a subscriber was told, as seqs and prints, against the log.
    pub(crate) fn compare(
        &self,
        client: usize,
        told: impl Iterator<Item = (u64, u64)>,
        findings: &mut Findings,
    ) {
        let room = self.index;
        for (seq, print) in told {
            match self.log.get(seq.wrapping_sub(1) as usize) {
                Some(entry) if entry.print == print => {}
                Some(entry) => findings.add(Fault::Told, || {
                    format!(
                        "room {room}: client {client} was told another event with seq {seq} than {entry:?}"
                    )
                }),
                None => findings.add(Fault::Told, || {
                    format!(
                        "room {room}: client {client} was told seq {seq}; it ends with {}",
                        self.log.len()
                    )
                }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log, what was acknowledged, what was not yet, and what is wrong with it.
    type Case<'a> = (Vec<Entry>, &'a [Ack], &'a [(u64, What)], Fault);

    fn message(op: u64, n: u64) -> Entry {
        Entry {
            kind: Kind::Message,
            print: op + 1,
            from: "user".to_owned(),
            text: Some(sent_text(op, 0, 0)),
            target: 0,
            n,
            id: u128::from(op) + 100,
            edited: 0,
            deleted: 0,
        }
    }

    fn edited(op: u64, n: u64, by: u64, seq: u64, at: u64) -> Entry {
        Entry { text: Some(edited_text(by, seq)), edited: at, ..message(op, n) }
    }

    fn deleted(op: u64, n: u64, at: u64) -> Entry {
        Entry { text: None, deleted: at, ..message(op, n) }
    }

    fn edit(target: u64, shows: &str) -> Entry {
        Entry { kind: Kind::Edit, text: Some(shows.to_owned()), target, id: 0, n: 0, ..message(0, 0) }
    }

    fn delete(target: u64) -> Entry {
        Entry { kind: Kind::Delete, text: None, target, id: 0, n: 0, ..message(0, 0) }
    }

    fn ack(op: u64, what: What, seq: u64, n: u64) -> Ack {
        let id = if what == What::Send { u128::from(op) + 100 } else { 0 };
        Ack { op, room: 0, client: 0, what, seq, n, id }
    }

    fn audit(log: Vec<Entry>, acks: &[Ack], pending: &[(u64, What)]) -> Findings {
        let mut book = RoomBook::new(0, &["user".to_owned()]);
        book.log = log;
        acks.iter().for_each(|ack| book.note(*ack));
        let pending: Vec<_> =
            pending.iter().map(|(op, what)| Pending { op: *op, client: 0, what: *what }).collect();
        let mut findings = Findings::default();
        book.audit(0, &pending, &mut findings);
        findings
    }

    #[test]
    fn a_sound_log_has_no_findings() {
        let (first, second) = (What::Edit { target: 1 }, What::Delete { target: 2 });
        let log = || {
            vec![
                edited(0, 1, 3, 1, 4),
                deleted(1, 2, 5),
                message(2, 3),
                edit(1, &edited_text(3, 1)),
                delete(2),
            ]
        };
        let acks = [
            ack(0, What::Send, 1, 1),
            ack(1, What::Send, 2, 2),
            ack(2, What::Send, 3, 3),
            ack(3, first, 4, 0),
            ack(4, second, 5, 0),
        ];
        let findings = audit(log(), &acks, &[(5, What::Send)]);
        assert!(findings.is_empty(), "{}", findings.text());
        let findings = audit(log(), &acks[..2], &[(2, What::Send), (3, first), (4, second), (5, What::Send)]);
        assert!(findings.is_empty(), "an event may be there before its acknowledgement: {}", findings.text());
    }

    #[test]
    fn each_fault_is_found() {
        let send = |op, seq| ack(op, What::Send, seq, seq);
        let erase = What::Delete { target: 1 };
        let both = [send(0, 1), ack(1, erase, 2, 0)];
        let cases: [Case<'_>; 11] = [
            (vec![message(0, 1)], &[send(0, 1), send(1, 2)], &[], Fault::Lost),
            (vec![message(1, 1)], &[send(0, 1)], &[], Fault::Lost),
            (vec![message(0, 1)], &[send(0, 1), ack(1, erase, 1, 1)], &[], Fault::Lost),
            (vec![message(0, 1), message(0, 2)], &[send(0, 1)], &[], Fault::Duplicate),
            (vec![message(0, 1), message(0, 2)], &[], &[(0, What::Send)], Fault::Duplicate),
            (vec![deleted(0, 1, 2), delete(1), delete(1)], &both, &[], Fault::Duplicate),
            (vec![message(500, 1)], &[], &[], Fault::Duplicate),
            (vec![message(0, 1), message(1, 3)], &[], &[(0, What::Send), (1, What::Send)], Fault::Order),
            (vec![deleted(0, 1, 9)], &[send(0, 1)], &[], Fault::Content),
            (vec![message(0, 1), delete(1)], &both, &[], Fault::Content),
            (vec![deleted(0, 1, 3), edit(1, "back"), delete(1)], &[send(0, 1)], &[], Fault::Content),
        ];
        for (index, (log, acks, pending, fault)) in cases.into_iter().enumerate() {
            let findings = audit(log, acks, pending);
            assert!(findings.count(fault) > 0, "case {index}: {}", findings.text());
        }
    }

    #[test]
    fn what_a_subscriber_was_told_must_be_there() {
        let mut book = RoomBook::new(0, &["user".to_owned()]);
        book.log = vec![message(0, 1)];
        let told = |told: &[(u64, u64)]| {
            let mut findings = Findings::default();
            book.compare(0, told.iter().copied(), &mut findings);
            findings.count(Fault::Told)
        };
        assert_eq!(told(&[(1, 1)]), 0);
        assert_eq!(told(&[(1, 2)]), 1);
        assert_eq!(told(&[(1, 1), (2, 2)]), 1);
    }
}
