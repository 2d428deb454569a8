//! Codes that wait to be proved, and numbers that wait for their next one.

use std::collections::{BTreeMap, BTreeSet};

use lynk_domain::{Nanos, Now};

use super::{after, until};
use crate::port::{Kept, NewCode, Tried};

/// Codes that wait at a time. More than may be sent while one lives.
pub const CODES_MAX: usize = 100_000;

struct Waiting {
    number: [u8; 16],
    proof: [u8; 32],
    sealed: Vec<u8>,
    expires: Nanos,
    /// 0 when the code is used, used up, or was none.
    tries_left: u32,
}

#[derive(Default)]
pub(super) struct Codes {
    waiting: BTreeMap<[u8; 16], Waiting>,
    /// The request of the code that a number has.
    of_number: BTreeMap<[u8; 16], [u8; 16]>,
    /// When a number may be sent the next one.
    free_at: BTreeMap<[u8; 16], Nanos>,
    /// What may be forgotten, by when.
    requests_end: BTreeSet<(Nanos, [u8; 16])>,
    numbers_end: BTreeSet<(Nanos, [u8; 16])>,
}

impl Codes {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn wait(&mut self, now: Now, number: [u8; 16]) -> u64 {
        self.forget(now.mono);
        self.free_at.get(&number).map_or(0, |free_at| until(now, *free_at))
    }

    pub(super) fn put(&mut self, now: Now, code: NewCode) -> Kept {
        let retry_after_millis = self.wait(now, code.number);
        if retry_after_millis > 0 {
            return Kept::TooSoon { retry_after_millis };
        }
        // A number may wait for longer than its code lives, and the other way round.
        if self.waiting.len() >= CODES_MAX || self.free_at.len() >= CODES_MAX {
            return Kept::Full;
        }
        let NewCode { request, number, proof, sealed, tries, life_millis, resend_millis } = code;
        let expires = after(now, if tries > 0 { life_millis } else { resend_millis });
        if tries > 0 {
            self.end(now, number);
            self.of_number.insert(number, request);
        }
        self.waiting.insert(request, Waiting { number, proof, sealed, expires, tries_left: tries });
        self.requests_end.insert((expires, request));
        let free_at = after(now, resend_millis);
        self.free_at.insert(number, free_at);
        self.numbers_end.insert((free_at, number));
        Kept::Done
    }

    pub(super) fn take(&mut self, now: Now, request: [u8; 16], proof: [u8; 32]) -> Tried {
        self.forget(now.mono);
        let Some(waiting) = self.waiting.get_mut(&request) else { return Tried::Absent };
        if waiting.tries_left == 0 {
            return Tried::Wrong;
        }
        // Both are hashes under a key that whoever guesses does not have: the time this takes says nothing of the code.
        if waiting.proof != proof {
            waiting.tries_left -= 1;
            return Tried::Wrong;
        }
        waiting.tries_left = 0;
        Tried::Good(waiting.sealed.clone())
    }

    pub(super) fn set_tries(&mut self, now: Now, request: [u8; 16], tries: u32) {
        self.forget(now.mono);
        if let Some(waiting) = self.waiting.get_mut(&request) {
            waiting.tries_left = tries;
        }
    }

    /// Ends the number's code for good: nothing can set its tries any more.
    pub(super) fn end(&mut self, now: Now, number: [u8; 16]) {
        self.forget(now.mono);
        if let Some(request) = self.of_number.remove(&number)
            && let Some(waiting) = self.waiting.remove(&request)
        {
            self.requests_end.remove(&(waiting.expires, request));
        }
    }

    fn forget(&mut self, now: Nanos) {
        while let Some((at, request)) = self.requests_end.first().copied().filter(|(at, _)| *at <= now) {
            self.requests_end.remove(&(at, request));
            let Some(waiting) = self.waiting.remove(&request) else { continue };
            if self.of_number.get(&waiting.number) == Some(&request) {
                self.of_number.remove(&waiting.number);
            }
        }
        while let Some((at, number)) = self.numbers_end.first().copied().filter(|(at, _)| *at <= now) {
            self.numbers_end.remove(&(at, number));
            if self.free_at.get(&number) == Some(&at) {
                self.free_at.remove(&number);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
            && self.of_number.is_empty()
            && self.free_at.is_empty()
            && self.requests_end.is_empty()
            && self.numbers_end.is_empty()
    }
}
