//! Tells shards how far journals are drained.

use std::collections::BTreeMap;

use lynk_bridge::Wake;
use lynk_domain::Lsn;
use lynk_mailbox::{Consumer, Producer, channel};
use lynk_model::SourceId;

/// Positions that may wait in a shard's queue; more are kept here, the newest per journal.
const QUEUE_MAX: usize = 64;

struct Shard {
    queue: Producer<(SourceId, Lsn)>,
    /// Told later: the newest position of each journal. Bounded by the number of journals.
    pending: BTreeMap<SourceId, Lsn>,
    wake: Wake,
}

/// The queues of all shards.
pub(crate) struct Notices {
    shards: Vec<Shard>,
    live: Vec<SourceId>,
}

impl Notices {
    /// `live` are the journals that shards write, in shard order.
    pub(crate) fn new(live: Vec<SourceId>) -> Self {
        Self { shards: Vec::new(), live }
    }

    /// Opens the next shard's queue.
    pub(crate) fn open(&mut self, wake: Wake) -> Consumer<(SourceId, Lsn)> {
        let (queue, consumer) = channel(QUEUE_MAX);
        self.shards.push(Shard { queue, pending: BTreeMap::new(), wake });
        consumer
    }

    /// Notes a position for those whom it concerns: the shard that writes the journal, or all of them when it is from an
    /// earlier boot.
    pub(crate) fn note(&mut self, source: SourceId, lsn: Lsn) {
        let owner = self.live.iter().position(|live| *live == source);
        for (index, shard) in self.shards.iter_mut().enumerate() {
            if owner.is_none_or(|owner| owner == index) {
                shard.pending.insert(source, lsn);
            }
        }
    }

    /// Posts what fits and wakes those who got something. Returns whether everything fitted.
    pub(crate) fn post(&mut self) -> bool {
        let mut all = true;
        for shard in &mut self.shards {
            let before = shard.pending.len();
            let queue = &mut shard.queue;
            shard.pending.retain(|source, lsn| queue.try_post((*source, *lsn)).is_err());
            if shard.pending.len() < before {
                (shard.wake)();
            }
            all &= shard.pending.is_empty();
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_position_reaches_its_shard_and_old_journals_reach_all() {
        let mut notices = Notices::new(vec![SourceId(1), SourceId(2)]);
        let mut first = notices.open(Arc::new(|| ()));
        let mut second = notices.open(Arc::new(|| ()));
        notices.note(SourceId(0), Lsn(9));
        notices.note(SourceId(1), Lsn(5));
        assert!(notices.post());
        assert_eq!(
            [first.take(), first.take(), first.take()],
            [Some((SourceId(0), Lsn(9))), Some((SourceId(1), Lsn(5))), None]
        );
        assert_eq!([second.take(), second.take()], [Some((SourceId(0), Lsn(9))), None]);
    }

    #[test]
    fn a_full_queue_gets_the_newest_position_later() {
        let mut notices = Notices::new(vec![SourceId(0)]);
        let mut queue = notices.open(Arc::new(|| ()));
        for lsn in 1..=QUEUE_MAX as u64 {
            notices.note(SourceId(0), Lsn(lsn));
            assert!(notices.post());
        }
        for lsn in [100, 200] {
            notices.note(SourceId(0), Lsn(lsn));
            assert!(!notices.post());
        }
        assert_eq!(queue.take(), Some((SourceId(0), Lsn(1))));
        assert!(notices.post());
        let last = std::iter::from_fn(|| queue.take()).last();
        assert_eq!(last, Some((SourceId(0), Lsn(200))));
    }
}
