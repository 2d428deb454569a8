//! Mail that a full mailbox refused and that must arrive all the same: kept in order and repeated.

use std::collections::VecDeque;

use lynk_domain::{Nanos, ShardId};

use crate::mail::Mail;

/// Time between two attempts.
const RETRY_NANOS: u64 = 20 * Nanos::MILLISECOND;
/// Mail repeated per attempt at most.
const RETRY_BATCH: usize = 256;
/// Kept mail beyond which new connections are refused: each of them may add a few.
const FULL: usize = 64 << 10;

/// The kept mail of one shard. Only mail that names what is true of one connection or room, and whose order among
/// other mail does not matter, may be kept.
#[derive(Default)]
pub(crate) struct Kept {
    mail: VecDeque<(ShardId, Mail)>,
    next: Option<Nanos>,
}

impl Kept {
    pub(crate) fn keep(&mut self, now: Nanos, to: ShardId, mail: Mail) {
        self.mail.push_back((to, mail));
        self.next.get_or_insert(now.after(RETRY_NANOS));
    }

    /// Takes what is to be posted again at `now`.
    pub(crate) fn take_due(&mut self, now: Nanos) -> Vec<(ShardId, Mail)> {
        if self.next.is_none_or(|at| at > now) {
            return Vec::new();
        }
        let batch: Vec<_> = self.mail.drain(..RETRY_BATCH.min(self.mail.len())).collect();
        self.next = (!self.mail.is_empty()).then(|| now.after(RETRY_NANOS));
        batch
    }

    pub(crate) fn next_deadline(&self) -> Option<Nanos> {
        self.next
    }

    pub(crate) fn is_full(&self) -> bool {
        self.mail.len() >= FULL
    }
}
