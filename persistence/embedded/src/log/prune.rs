//! Idempotency keys, intents and what lies below the floors of rooms leave the log while it is compacted: no scan, no second index by time.
//!
//! Thread: fjall's workers. The clock of keys and intents is the newest wall time appended since the store was opened, or the machine's when
//! that is behind it: a key is dropped only when its time is over by both, whichever of them once jumped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use fjall::compaction::filter::{
    CompactionFilter, CompactionFilterResult, Context, Factory, ItemAccessor, Verdict,
};

use lynk_domain::{Millis, RoomId, Seq};

use super::floors::Floors;
use super::key::{PREFIX_BYTES, Table};
use super::value;

/// The one keyspace.
pub(super) const KEYSPACE: &str = "log";

/// How long an intent is found, in milliseconds: 6 days. Its key tells that it is done, and must outlive it.
const INTENT_LIFE_MILLIS: u64 = 6 * 24 * 60 * 60 * 1_000;
/// How long a key is found at least, in milliseconds: 7 days.
const KEY_LIFE_MILLIS_MIN: u64 = 7 * 24 * 60 * 60 * 1_000;
const _: () = assert!(INTENT_LIFE_MILLIS < KEY_LIFE_MILLIS_MIN);

type Factories = Arc<dyn Fn(&str) -> Option<Arc<dyn Factory>> + Send + Sync>;

/// The filter for [`KEYSPACE`].
pub(super) fn factories(newest_wall: Arc<AtomicU64>, key_life_millis: u64, floors: Arc<Floors>) -> Factories {
    Arc::new(move |keyspace| {
        let (newest_wall, floors) = (newest_wall.clone(), floors.clone());
        let expiry: Arc<dyn Factory> = Arc::new(Expiry { newest_wall, key_life_millis, floors });
        (keyspace == KEYSPACE).then_some(expiry)
    })
}

struct Expiry {
    newest_wall: Arc<AtomicU64>,
    key_life_millis: u64,
    floors: Arc<Floors>,
}

impl Factory for Expiry {
    fn name(&self) -> &str {
        "what has expired"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        let machine = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let now = self.newest_wall.load(Ordering::Relaxed).min(u64::try_from(machine).unwrap_or(u64::MAX));
        let key_life = self.key_life_millis.max(KEY_LIFE_MILLIS_MIN);
        Box::new(Before { now, key_life, floors: self.floors.clone(), last: None })
    }
}

/// Removes what has expired.
struct Before {
    /// The time, in wall milliseconds.
    now: u64,
    /// How long a key is found.
    key_life: u64,
    floors: Arc<Floors>,
    /// The room of the last row, and its floor.
    last: Option<(RoomId, Seq)>,
}

impl CompactionFilter for Before {
    fn filter_item(&mut self, item: ItemAccessor<'_>, _: &Context) -> CompactionFilterResult {
        if self.floors.is_dead(item.key(), &mut self.last) {
            return Ok(Verdict::Remove);
        }
        let table = item.key().get(PREFIX_BYTES - 1).copied();
        let over = |wall: Millis, life: u64| wall.0 < self.now.saturating_sub(life);
        // A value that cannot be read stays: the filter must not fail a compaction, a reader will tell.
        let old = if table == Some(Table::Key as u8) {
            value::decode_key(&item.value()?).is_ok_and(|used| over(used.wall, self.key_life))
        } else if table == Some(Table::Intent as u8) {
            value::decode_intent(&item.value()?).is_ok_and(|(wall, _)| over(wall, INTENT_LIFE_MILLIS))
        } else {
            false
        };
        Ok(if old { Verdict::Remove } else { Verdict::Keep })
    }
}

#[cfg(test)]
mod tests {
    use lynk_domain::{Key, Lsn, Millis, Seq};
    use lynk_model::MetaEvent;
    use lynk_model::contract::{History, records};
    use lynk_model::port::{MessageStore, ready};

    use super::INTENT_LIFE_MILLIS;
    use crate::{MessageLog, MessageLogOptions};

    #[test]
    fn an_intent_leaves_before_the_key_that_tells_that_it_is_done() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut log = MessageLog::open(directory.path(), MessageLogOptions::default()).expect("opens");
        let mut history = History::new(1);
        let (actor, user) = (history.users[0], history.users[1]);
        for i in 0..2 {
            history.intend(actor, Key([i; 16]), 1, MetaEvent::Muted { user, until: Millis(0) });
        }
        let newest = history.records[0].head.wall.0 + INTENT_LIFE_MILLIS;
        history.records[1].head.wall.0 = newest + 1;
        ready(log.append("1/0", Lsn(1), &records(&history.records))).expect("appends");
        log.compact().expect("compacts");
        let left = ready(log.intents(history.room)).expect("readable");
        assert_eq!(left.iter().map(|intent| intent.key).collect::<Vec<_>>(), [Key([1; 16])]);
    }

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
