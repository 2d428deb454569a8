//! Idempotency keys leave the log while it is compacted: no scan, no second index by time.
//!
//! Thread: fjall's workers. The clock is the newest wall time appended since the store was opened, or the machine's when
//! that is behind it: a key is dropped only when its time is over by both, whichever of them once jumped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use fjall::compaction::filter::{
    CompactionFilter, CompactionFilterResult, Context, Factory, ItemAccessor, Verdict,
};

use super::key::{PREFIX_BYTES, Table};
use super::value;

/// The one keyspace.
pub(super) const KEYSPACE: &str = "log";

type Factories = Arc<dyn Fn(&str) -> Option<Arc<dyn Factory>> + Send + Sync>;

/// The filter for [`KEYSPACE`].
pub(super) fn factories(newest_wall: Arc<AtomicU64>, key_life_millis: u64) -> Factories {
    Arc::new(move |keyspace| {
        let expiry: Arc<dyn Factory> = Arc::new(Expiry { newest_wall: newest_wall.clone(), key_life_millis });
        (keyspace == KEYSPACE).then_some(expiry)
    })
}

struct Expiry {
    newest_wall: Arc<AtomicU64>,
    key_life_millis: u64,
}

impl Factory for Expiry {
    fn name(&self) -> &str {
        "idempotency keys"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        let machine = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let now = self.newest_wall.load(Ordering::Relaxed).min(u64::try_from(machine).unwrap_or(u64::MAX));
        Box::new(Before(now.saturating_sub(self.key_life_millis)))
    }
}

/// Removes keys whose message is older than the wall time inside.
struct Before(u64);

impl CompactionFilter for Before {
    fn filter_item(&mut self, item: ItemAccessor<'_>, _: &Context) -> CompactionFilterResult {
        if self.0 == 0 || item.key().get(PREFIX_BYTES - 1) != Some(&(Table::Key as u8)) {
            return Ok(Verdict::Keep);
        }
        // A value that cannot be read stays: the filter must not fail a compaction, a reader will tell.
        let old = value::decode_key(&item.value()?).is_ok_and(|used| used.wall.0 < self.0);
        Ok(if old { Verdict::Remove } else { Verdict::Keep })
    }
}

#[cfg(test)]
mod tests {
    use lynk_domain::{Lsn, Seq};
    use lynk_model::contract::{History, records};
    use lynk_model::port::{MessageStore, ready};

    use crate::{MessageLog, MessageLogOptions};

    #[test]
    fn a_key_leaves_with_a_compaction_after_its_time() {
        let directory = tempfile::tempdir().expect("a directory");
        const LIFE: u64 = 30 * 24 * 60 * 60 * 1_000;
        let options = MessageLogOptions { key_life_millis: LIFE, ..MessageLogOptions::default() };
        let mut log = MessageLog::open(directory.path(), options).expect("opens");
        let mut history = History::new(1);
        let sender = history.users[0];
        for _ in 0..3 {
            history.post(sender, Seq(0), "text");
        }
        let newest = history.records[0].head.wall.0 + LIFE;
        history.records[1].head.wall.0 = newest - LIFE + 1;
        history.records[2].head.wall.0 = newest + 1;
        ready(log.append("1/0", Lsn(1), &records(&history.records))).expect("appends");
        log.compact().expect("compacts");
        let found = history.records.iter().map(|record| {
            let found = ready(log.find_key(history.room, sender, record.head.key)).expect("readable");
            found.map(|found| found.seq.0)
        });
        assert_eq!(found.collect::<Vec<_>>(), [None, Some(2), Some(3)]);
        let shown = ready(log.event(history.room, Seq(1))).expect("readable").expect("the message stays");
        assert_eq!(shown.key, history.records[0].head.key);
    }
}
