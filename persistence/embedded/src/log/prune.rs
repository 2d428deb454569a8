//! Idempotency keys leave the log while it is compacted: no scan, no second index by time.
//!
//! Thread: fjall's workers. The clock is the newest wall time appended since the store was opened, so no
//! key is dropped before its 7 days are over by the records' own time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fjall::compaction::filter::{
    CompactionFilter, CompactionFilterResult, Context, Factory, ItemAccessor, Verdict,
};

use super::key::{PREFIX_BYTES, Table};
use super::value;

/// The one keyspace.
pub(super) const KEYSPACE: &str = "log";

/// How long a key is found after its message, in milliseconds: 7 days.
const KEY_LIFE_MILLIS: u64 = 7 * 24 * 60 * 60 * 1_000;

type Factories = Arc<dyn Fn(&str) -> Option<Arc<dyn Factory>> + Send + Sync>;

/// The filter for [`KEYSPACE`].
pub(super) fn factories(newest_wall: Arc<AtomicU64>) -> Factories {
    Arc::new(move |keyspace| {
        let expiry: Arc<dyn Factory> = Arc::new(Expiry { newest_wall: newest_wall.clone() });
        (keyspace == KEYSPACE).then_some(expiry)
    })
}

struct Expiry {
    newest_wall: Arc<AtomicU64>,
}

impl Factory for Expiry {
    fn name(&self) -> &str {
        "idempotency keys"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        Box::new(Before(self.newest_wall.load(Ordering::Relaxed).saturating_sub(KEY_LIFE_MILLIS)))
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
        let old = value::decode_key(&item.value()?).is_ok_and(|found| found.wall < self.0);
        Ok(if old { Verdict::Remove } else { Verdict::Keep })
    }
}
