//! What happened, as a hash and, when asked for, as lines to read.
//!
//! Two runs of one seed must give the same hash: everything that enters and leaves the engines goes into it.
//! Text is recorded only in the repeat after a failure, because formatting every step costs more than running it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

/// Lines kept for a failure's report.
const TAIL_LINES: usize = 400;

#[derive(Debug)]
struct State {
    hash: u64,
    count: u64,
    tail: Option<VecDeque<String>>,
    tail_max: usize,
}

/// A shared trace; clones write to the same one. It outlives a world that panics.
#[derive(Clone, Debug)]
pub(crate) struct Trace(Rc<RefCell<State>>);

impl Trace {
    /// `readable`: keep the last lines as text; `all`: keep every line.
    pub(crate) fn new(readable: bool, all: bool) -> Self {
        Self(Rc::new(RefCell::new(State {
            hash: 0xcbf2_9ce4_8422_2325,
            count: 0,
            tail: readable.then(VecDeque::new),
            tail_max: if all { usize::MAX } else { TAIL_LINES },
        })))
    }

    /// Mixes a number in.
    pub(crate) fn number(&self, value: u64) {
        let mut state = self.0.borrow_mut();
        state.hash = mix(state.hash, value);
        state.count += 1;
    }

    /// Mixes bytes in.
    pub(crate) fn bytes(&self, bytes: &[u8]) {
        let mut state = self.0.borrow_mut();
        let (words, rest) = bytes.as_chunks::<8>();
        let mut hash = mix(state.hash, bytes.len() as u64);
        for word in words {
            hash = mix(hash, u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        state.hash = mix(hash, u64::from_le_bytes(last));
        state.count += 1;
    }

    /// Whether lines are kept.
    pub(crate) fn readable(&self) -> bool {
        self.0.borrow().tail.is_some()
    }

    /// Keeps a line, if lines are kept. `line` must not depend on anything that is not in the hash.
    pub(crate) fn line(&self, line: impl FnOnce() -> String) {
        if !self.readable() {
            return;
        }
        let line = line();
        let mut state = self.0.borrow_mut();
        let max = state.tail_max;
        let count = state.count;
        if let Some(tail) = &mut state.tail {
            if tail.len() >= max {
                tail.pop_front();
            }
            tail.push_back(format!("{count:>8} {line}"));
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.0.borrow().hash
    }

    pub(crate) fn tail(&self) -> Vec<String> {
        self.0.borrow().tail.iter().flatten().cloned().collect()
    }
}

fn mix(hash: u64, value: u64) -> u64 {
    (hash ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}

/// Text of a payload, cut to a readable length.
pub(crate) struct Short<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(self.0);
        match text.char_indices().nth(420) {
            Some((cut, _)) => write!(f, "{}… ({} bytes)", &text[..cut], self.0.len()),
            None => f.write_str(&text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_tells_order_length_and_content_apart() {
        let hash = |parts: &[&[u8]]| {
            let trace = Trace::new(false, false);
            parts.iter().for_each(|p| trace.bytes(p));
            trace.hash()
        };
        assert_eq!(hash(&[b"ab", b"c"]), hash(&[b"ab", b"c"]));
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"c", b"ab"]));
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
        assert_ne!(hash(&[b"\0"]), hash(&[b"\0\0"]));
    }
}
