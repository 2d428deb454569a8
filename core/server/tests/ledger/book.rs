//! Acknowledgements against what an independent reader found.
//!
//! Holds, or is written down as wrong: every acknowledged operation has its event, where the acknowledgement said, once;
//! the events of a room are numbered 1, 2, 3 … and its messages as well; no operation that was not acknowledged is there
//! twice; nothing is there that nobody asked for; messages say what the last change made of them, and deleted ones
//! nothing; and every subscriber was told the same events under the same numbers.

use std::collections::HashMap;

use super::client::{Ack, What};
use super::plain::{Entry, Kind};
use super::wire::{claim_of, edited_text, sent_text};

/// Findings that are told word by word; the rest is counted.
const TOLD_MAX: usize = 20;

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Fault {
    /// An acknowledged operation is not there, or not where it was acknowledged.
    Lost,
    /// An operation took effect more than once.
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
            self.told.push(format!("{fault:?}: {}", what()));
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

/// One room's history and acknowledgements.
#[derive(Debug, Default)]
pub(crate) struct RoomBook {
    index: usize,
    /// User ids by client.
    users: Vec<String>,
    pub(crate) log: Vec<Entry>,
    /// Every operation of the log by number, with its seq.
    ops: HashMap<u64, u64>,
    acks: Vec<Ack>,
    /// Acknowledgements that were compared with the log already: `acks[..checked]`.
    checked: usize,
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
        self.ops.clear();
        self.checked = 0;
    }

    /// Compares what was read since the last audit (the log after `start`) with everything else. `issued` is the number
    /// of operations that were ever begun.
    pub(crate) fn audit(&mut self, start: usize, issued: u64, findings: &mut Findings) {
        self.number(start, issued, findings);
        self.settle(findings);
        self.states(start, findings);
    }

    /// Numbers of messages and operations, in order.
    fn number(&mut self, start: usize, issued: u64, findings: &mut Findings) {
        let room = self.index;
        let mut n = self.log[..start].iter().rev().find(|e| e.kind == Kind::Message).map_or(0, |e| e.n);
        for (at, entry) in self.log.iter().enumerate().skip(start) {
            let seq = at as u64 + 1;
            if entry.kind == Kind::Message {
                if entry.n != n + 1 {
                    findings.add(Fault::Order, || format!("room {room}: n {} follows {n} at {seq}", entry.n));
                }
                n = entry.n;
            }
            let Some(op) = own_op(entry) else { continue };
            if op >= issued {
                findings
                    .add(Fault::Content, || format!("room {room}, seq {seq}: nobody asked for {entry:?}"));
            }
            if let Some(before) = self.ops.insert(op, seq) {
                findings
                    .add(Fault::Duplicate, || format!("room {room}: op {op} has seqs {before} and {seq}"));
            }
        }
    }

    /// New acknowledgements against the log.
    fn settle(&mut self, findings: &mut Findings) {
        let room = self.index;
        for ack in &self.acks[self.checked..] {
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
                        && own_op(entry).is_none_or(|op| op == ack.op)
                }
                What::Edit { target } => {
                    entry.kind == Kind::Edit && entry.target == target && entry.op == Some(ack.op)
                }
                What::Delete { target } => entry.kind == Kind::Delete && entry.target == target,
            };
            if !right {
                findings.add(Fault::Lost, || format!("room {room}: {ack:?} has become {entry:?}"));
            }
            // A message that was edited or deleted does not name its operation any more; its acknowledgement does.
            if let Some(seq) = self.ops.insert(ack.op, ack.seq).filter(|seq| *seq != ack.seq) {
                findings.add(Fault::Duplicate, || format!("room {room}: {ack:?} is at seq {seq} as well"));
            }
        }
        self.checked = self.acks.len();
    }

    /// What messages say, against the changes in the log.
    fn states(&self, start: usize, findings: &mut Findings) {
        let room = self.index;
        let mut last_edit: HashMap<u64, u64> = HashMap::new();
        let mut deletes: HashMap<u64, u64> = HashMap::new();
        for (at, entry) in self.log.iter().enumerate().skip(start) {
            match entry.kind {
                Kind::Edit => {
                    last_edit.insert(entry.target, entry.op.unwrap_or(u64::MAX));
                    let expected = entry.op.map(|op| edited_text(op, entry.target));
                    if entry.text != expected {
                        findings.add(Fault::Content, || format!("room {room}, seq {}: {entry:?}", at + 1));
                    }
                }
                Kind::Delete => {
                    if let Some(first) = deletes.insert(entry.target, at as u64 + 1) {
                        findings.add(Fault::Duplicate, || {
                            format!("room {room}: {} is deleted at {first} and {}", entry.target, at + 1)
                        });
                    }
                }
                Kind::Message | Kind::Other => {}
            }
        }
        for (at, entry) in self.log.iter().enumerate().skip(start) {
            let seq = at as u64 + 1;
            if entry.kind == Kind::Message
                && !self.says_what_it_must(
                    entry,
                    last_edit.get(&seq).copied(),
                    deletes.contains_key(&seq),
                    seq,
                )
            {
                findings.add(Fault::Content, || format!("room {room}, seq {seq}: {entry:?}"));
            }
        }
    }

    fn says_what_it_must(&self, entry: &Entry, edited_by: Option<u64>, deleted: bool, seq: u64) -> bool {
        if deleted {
            return entry.deleted && entry.text.is_none();
        }
        let Some(text) = entry.text.as_deref() else { return false };
        let expected = match (edited_by, entry.op, claim_of(text)) {
            (Some(op), ..) => edited_text(op, seq),
            (None, Some(op), Some((room, client)))
                if room == self.index && self.users.get(client) == Some(&entry.from) =>
            {
                sent_text(op, room, client)
            }
            _ => return false,
        };
        !entry.deleted && entry.edited == edited_by.is_some() && text == expected
    }

    /// What a subscriber was told against the log.
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

/// The operation that made this event, when it still says so: the text of an edited message names the edit.
fn own_op(entry: &Entry) -> Option<u64> {
    match entry.kind {
        Kind::Message if entry.edited => None,
        Kind::Message | Kind::Edit => entry.op,
        Kind::Delete | Kind::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(op: u64, n: u64) -> Entry {
        Entry {
            kind: Kind::Message,
            print: op + 1,
            op: Some(op),
            from: "user".to_owned(),
            text: Some(sent_text(op, 0, 0)),
            target: 0,
            n,
            id: u128::from(op) + 100,
            edited: false,
            deleted: false,
        }
    }

    fn change(kind: Kind, op: u64, target: u64) -> Entry {
        let text = (kind == Kind::Edit).then(|| edited_text(op, target));
        let op = text.is_some().then_some(op);
        Entry { kind, op, text, target, id: 0, n: 0, ..message(0, 0) }
    }

    fn ack(op: u64, what: What, seq: u64, n: u64) -> Ack {
        let id = if what == What::Send { u128::from(op) + 100 } else { 0 };
        Ack { op, room: 0, client: 0, what, seq, n, id }
    }

    fn audit(log: Vec<Entry>, acks: &[Ack]) -> Findings {
        let mut book = RoomBook::new(0, &["user".to_owned()]);
        book.log = log;
        acks.iter().for_each(|ack| book.note(*ack));
        let mut findings = Findings::default();
        book.audit(0, 100, &mut findings);
        findings
    }

    fn edited(mut entry: Entry, op: u64, seq: u64) -> Entry {
        (entry.op, entry.text, entry.edited) = (Some(op), Some(edited_text(op, seq)), true);
        entry
    }

    fn deleted(mut entry: Entry) -> Entry {
        (entry.op, entry.text, entry.deleted) = (None, None, true);
        entry
    }

    #[test]
    fn a_sound_log_has_no_findings() {
        let log = vec![
            edited(message(0, 1), 3, 1),
            deleted(message(1, 2)),
            message(2, 3),
            change(Kind::Edit, 3, 1),
            change(Kind::Delete, 4, 2),
        ];
        let acks = [
            ack(0, What::Send, 1, 1),
            ack(1, What::Send, 2, 2),
            ack(3, What::Edit { target: 1 }, 4, 0),
            ack(4, What::Delete { target: 2 }, 5, 0),
        ];
        let findings = audit(log, &acks);
        assert!(findings.is_empty(), "{}", findings.text());
    }

    #[test]
    fn each_fault_is_found() {
        let send = |op, seq| ack(op, What::Send, seq, seq);
        let cases: [(Vec<Entry>, Vec<Ack>, Fault); 10] = [
            (vec![message(0, 1)], vec![send(0, 1), send(1, 2)], Fault::Lost),
            (vec![message(1, 1)], vec![send(0, 1)], Fault::Lost),
            (vec![message(0, 1), message(0, 2)], vec![send(0, 1)], Fault::Duplicate),
            (
                vec![edited(message(0, 1), 2, 1), message(0, 2), change(Kind::Edit, 2, 1)],
                vec![send(0, 1)],
                Fault::Duplicate,
            ),
            (vec![message(0, 1), message(1, 3)], vec![], Fault::Order),
            (vec![message(500, 1)], vec![], Fault::Content),
            (vec![deleted(message(0, 1))], vec![], Fault::Content),
            (vec![message(0, 1), change(Kind::Delete, 1, 1)], vec![], Fault::Content),
            (vec![message(0, 1), change(Kind::Edit, 1, 1)], vec![], Fault::Content),
            (
                vec![deleted(message(0, 1)), change(Kind::Delete, 1, 1), change(Kind::Delete, 2, 1)],
                vec![],
                Fault::Duplicate,
            ),
        ];
        for (index, (log, acks, fault)) in cases.into_iter().enumerate() {
            let findings = audit(log, &acks);
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
