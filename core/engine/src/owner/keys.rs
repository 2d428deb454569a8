//! Idempotency keys that were used lately: a retry gets the first answer.
//!
//! Thread: the shard. Two layers: whole results for the newest uses, and after them only a fingerprint, which
//! is enough to know that a key was *not* used. What neither layer can tell is looked up in the store before
//! the command is accepted, so forgetting never makes a duplicate.
//!
//! Invariants: a result stays at least until its record is drained, because the store finds only drained keys.
//! Limits: `dedupe_entries_per_shard_max` results (more while the drain lags, bounded by the undrained
//! records), eight fingerprints for each, both at most `dedupe_window_millis` old. Nothing can fail.

use std::collections::VecDeque;

use lynk_domain::{
    FixedMap, FixedSet, Key, Limits, MessageId, Millis, Ordinal, RoomId, Seq, UserId, fixed_map, fixed_set,
};
use lynk_model::RecordAt;

use super::backlog::Drains;

/// Fingerprints kept for each whole result. At 5,000 messages a second a shard then knows the last 100 s,
/// longer than the 60 s by which a client's clock may be ahead.
const FINGERPRINTS_PER_RESULT: usize = 8;

/// What a key is unique within.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Scope {
    pub(super) room: RoomId,
    pub(super) sender: UserId,
    pub(super) key: Key,
}

/// What the first use of a key led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Used {
    pub(super) seq: Seq,
    /// Ordinal of a message; 0 for other events.
    pub(super) n: Ordinal,
    /// Id of a message; nil for other events.
    pub(super) id: MessageId,
    /// Hash of the command; `None` when only its outcome is known. It counts as equal when the store does not know it
    /// either.
    pub(super) hash: Option<u64>,
    pub(super) wall: Millis,
    /// Its record, when the store may not have it yet.
    pub(super) at: Option<RecordAt>,
}

/// What memory knows of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lookup {
    /// It was used, with this result.
    Used(Used),
    /// It was not used.
    New,
    /// Only the store can tell.
    Ask,
}

#[derive(Debug)]
pub(super) struct Keys {
    results: FixedMap<Scope, Used>,
    /// Results by age, with the wall time of their insertion.
    order: VecDeque<(Millis, Scope)>,
    prints: FixedSet<u64>,
    print_order: VecDeque<(Millis, u64)>,
    /// Uses up to this time may be forgotten.
    forgotten: Millis,
    results_max: usize,
    window_millis: u64,
    ahead_max_millis: u64,
}

impl Keys {
    pub(super) fn new(limits: &Limits, seed: u64) -> Self {
        Self {
            results: fixed_map(seed),
            order: VecDeque::new(),
            prints: fixed_set(seed),
            print_order: VecDeque::new(),
            forgotten: Millis(0),
            results_max: limits.dedupe_entries_per_shard_max.max(1) as usize,
            window_millis: limits.dedupe_window_millis,
            ahead_max_millis: limits.key_ahead_max_millis,
        }
    }

    /// The result of a key, when memory has it.
    pub(super) fn used(&self, scope: &Scope) -> Option<Used> {
        self.results.get(scope).copied()
    }

    /// Whether a key made at `made` was used. `known_since`: the room's uses after it are all remembered,
    /// unless this index forgot them.
    pub(super) fn look_up(&self, scope: &Scope, made: Millis, known_since: Millis) -> Lookup {
        if let Some(used) = self.used(scope) {
            return Lookup::Used(used);
        }
        // The client's clock may have been ahead when the key was made, so it may be older than it says.
        let earliest = made.0.saturating_sub(self.ahead_max_millis);
        let remembered =
            earliest > self.forgotten.max(known_since).0 || known_since.max(self.forgotten).0 == 0;
        if remembered && !self.prints.contains(&fingerprint(scope)) { Lookup::New } else { Lookup::Ask }
    }

    /// Remembers a result, and forgets what is too old or too much.
    pub(super) fn insert(&mut self, scope: Scope, used: Used, now: Millis, drains: &Drains) {
        if self.results.insert(scope, used).is_none() {
            self.order.push_back((now, scope));
        }
        self.suspect(&scope, now);
        self.forget(now, drains);
    }

    /// Remembers that a key was used, without its result.
    pub(super) fn suspect(&mut self, scope: &Scope, now: Millis) {
        let print = fingerprint(scope);
        if self.prints.insert(print) {
            self.print_order.push_back((now, print));
        }
    }

    /// At most a few at a time, so that no insertion is slow; two for each one added keeps the bound.
    fn forget(&mut self, now: Millis, drains: &Drains) {
        for _ in 0..2 {
            let Some((since, scope)) = self.order.front() else { break };
            let due = self.order.len() > self.results_max || since.0 + self.window_millis < now.0;
            let stored = |used: &Used| used.at.is_none_or(|at| drains.is_drained(at));
            if !due || !self.results.get(scope).is_none_or(stored) {
                break;
            }
            self.results.remove(scope);
            self.order.pop_front();
        }
        for _ in 0..2 {
            let Some((since, print)) = self.print_order.front() else { break };
            let due = self.print_order.len() > self.results_max * FINGERPRINTS_PER_RESULT
                || since.0 + self.window_millis < now.0;
            if !due {
                break;
            }
            self.forgotten = self.forgotten.max(*since);
            self.prints.remove(print);
            self.print_order.pop_front();
        }
    }
}

fn fingerprint(scope: &Scope) -> u64 {
    let mut digest = Digest::new(0);
    digest.bytes(&scope.room.0).bytes(&scope.sender.0).bytes(&scope.key.0);
    digest.0
}

/// FNV-1a over the parts of a command, to tell a retry from another use of its key.
pub(super) struct Digest(pub(super) u64);

impl Digest {
    /// Starts with what kind of command it is.
    pub(super) fn new(kind: u8) -> Self {
        let mut digest = Self(0xcbf2_9ce4_8422_2325);
        digest.bytes(&[kind]);
        digest
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self
    }

    pub(super) fn number(&mut self, number: u64) -> &mut Self {
        self.bytes(&number.to_le_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lynk_domain::Lsn;
    use lynk_model::SourceId;

    const MINUTE: u64 = 60_000;

    fn keys(results_max: u32) -> Keys {
        Keys::new(&Limits { dedupe_entries_per_shard_max: results_max, ..Limits::default() }, 1)
    }

    fn scope(i: u8) -> Scope {
        Scope { room: RoomId([1; 16]), sender: UserId([2; 16]), key: Key([i; 16]) }
    }

    fn used(seq: u64, at: Option<RecordAt>) -> Used {
        Used { seq: Seq(seq), n: Ordinal(seq), id: MessageId::NIL, hash: None, wall: Millis(0), at }
    }

    #[test]
    fn a_key_that_may_be_forgotten_is_asked_for_and_a_fresh_one_is_not() {
        let (mut keys, drains) = (keys(2), Drains::default());
        let start = 100 * MINUTE;
        for i in 0..40u8 {
            keys.insert(scope(i), used(u64::from(i), None), Millis(start + u64::from(i)), &drains);
        }
        assert!(matches!(keys.look_up(&scope(39), Millis(start), Millis(0)), Lookup::Used(_)));
        // Only its fingerprint is left, and then not even that.
        assert_eq!(keys.look_up(&scope(30), Millis(start + 5 * MINUTE), Millis(0)), Lookup::Ask);
        assert_eq!(keys.look_up(&scope(1), Millis(start), Millis(0)), Lookup::Ask);
        // Never used, and younger than anything forgotten even if the clock that made it was ahead.
        assert_eq!(keys.look_up(&scope(99), Millis(start + 2 * MINUTE), Millis(0)), Lookup::New);
        // The room's past is not in memory.
        let loaded = Millis(start + 2 * MINUTE);
        assert_eq!(keys.look_up(&scope(99), Millis(start + 2 * MINUTE), loaded), Lookup::Ask);
    }

    #[test]
    fn a_result_stays_until_its_record_is_drained() {
        let (mut keys, mut drains) = (keys(1), Drains::default());
        let at = |lsn| RecordAt { source: SourceId(0), lsn: Lsn(lsn) };
        for i in 1..=3u8 {
            keys.insert(scope(i), used(u64::from(i), Some(at(u64::from(i)))), Millis(MINUTE), &drains);
        }
        assert!(keys.used(&scope(1)).is_some());
        drains.advance(SourceId(0), Lsn(1));
        keys.insert(scope(4), used(4, Some(at(4))), Millis(MINUTE), &drains);
        assert!(keys.used(&scope(1)).is_none());
        assert!(keys.used(&scope(2)).is_some());
    }
}
