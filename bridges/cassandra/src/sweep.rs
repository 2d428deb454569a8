//! Removes what lies below the floors of rooms.
//!
//! Thread: a bridge's, between two appends. A bucket that lies below the floor whole is dropped as a partition in each table: one small
//! delete, whatever it held, and no read ever meets it, because nobody asks below a floor. In the bucket of the floor itself messages,
//! events, reactions and deletes are cut off up to it: at most one such range for each move of a floor, and reads begin behind it. What that
//! bucket has of senders and mentions waits until it is dropped whole: numbers, nothing that was said.
//!
//! The deletes have the timestamp [`SWEPT`](place::SWEPT), above every other, so a record that is appended again stays dead.
//!
//! Limits: [`ROOMS_MAX`] and [`BUCKETS_MAX`] in a call. What can fail: the server; what was done is noted, the rest is done again.

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use scylla::serialize::row::SerializeRow;
use scylla::statement::prepared::PreparedStatement;
use uuid::Uuid;

use crate::Fault;
use crate::place::{self, SWEPT, bucket};
use crate::store::Shared;

/// Rooms that one call sweeps.
const ROOMS_MAX: usize = 16;
/// Buckets that one call drops of a room.
const BUCKETS_MAX: i64 = 64;
/// Deletes that are under way at a time.
const AT_A_TIME: usize = 8;

impl Shared {
    /// Sweeps some rooms of a part; whether there were any.
    pub(crate) async fn sweep(&self, part: i32) -> Result<bool, Fault> {
        type Cells = (Uuid, Option<i64>, Option<i64>);
        let rows: Vec<Cells> = self.rows(&self.statements.reads.sweeps, (part,)).await?;
        let due = rows.into_iter().filter_map(|(room, floor, done)| {
            let (floor, done) = (floor.unwrap_or(0), done.unwrap_or(0));
            (floor > done).then_some((room, floor, done))
        });
        let due: Vec<_> = due.take(ROOMS_MAX).collect();
        for (room, floor, done) in &due {
            let done = self.sweep_room(*room, *floor, *done).await?;
            self.delete(&self.statements.writes.swept, (done, done, part, *room)).await?;
        }
        Ok(!due.is_empty())
    }

    /// Removes a part of what lies between two seqs; up to where is returned.
    async fn sweep_room(&self, room: Uuid, floor: i64, done: i64) -> Result<i64, Fault> {
        let writes = &self.statements.writes;
        // The first of them may have been cut, and has the floor behind it now.
        let first = bucket(done.saturating_add(1));
        let whole = bucket(floor.saturating_add(1));
        let last = whole.min(first.saturating_add(BUCKETS_MAX));
        let dropped = [
            &writes.drop_messages,
            &writes.drop_events,
            &writes.drop_reactions,
            &writes.drop_sent,
            &writes.drop_deleted,
            &writes.drop_mentioned,
        ];
        let drops = (first..last).flat_map(|bucket| dropped.map(|statement| (statement, bucket)));
        let drops = drops.map(|(statement, bucket)| self.delete(statement, (SWEPT, room, bucket)));
        stream::iter(drops).buffer_unordered(AT_A_TIME).try_collect::<Vec<()>>().await?;
        if last < whole {
            return Ok(place::seqs(last).0 - 1);
        }
        let cut = [&writes.cut_messages, &writes.cut_events, &writes.cut_reactions, &writes.cut_deleted];
        let cuts = cut.map(|statement| self.delete(statement, (SWEPT, room, bucket(floor), floor)));
        stream::iter(cuts).buffer_unordered(AT_A_TIME).try_collect::<Vec<()>>().await?;
        Ok(floor)
    }

    async fn delete(&self, statement: &PreparedStatement, values: impl SerializeRow) -> Result<(), Fault> {
        let sent = self.session.execute_unpaged(statement, values).await;
        sent.map(drop).map_err(|error| Fault::of_write(&error))
    }
}
