//! Messages that mention somebody.
//!
//! Thread: a bridge's. The table `mentioned` tells where somebody was ever mentioned; the messages tell whether that still stands. Buckets
//! are read in their order, some at a time, until enough is found.
//!
//! Limits: those of the question. What can fail: the server; a row that cannot be read.

use std::collections::BTreeSet;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use lynk_domain::{RoomId, Seq, UserId};
use lynk_model::MessageRow;

use crate::place::{bound, bucket, unsigned, uuid};
use crate::read::BUCKETS_AT_A_TIME;
use crate::store::Shared;
use crate::{Fault, value};

impl Shared {
    pub(crate) async fn mentions(
        &self,
        room: RoomId,
        user: UserId,
        after: Seq,
        except: &BTreeSet<Seq>,
        limit: u32,
    ) -> Result<Vec<(Seq, UserId)>, Fault> {
        let Some(first) = bound(after).checked_add(1) else { return Ok(Vec::new()) };
        let top = bound(self.head(room).await?.top);
        let buckets = stream::iter(bucket(first)..=bucket(top.max(first)));
        let read = buckets.map(|bucket| self.mentions_in(room, bucket, user, first));
        let mut read = std::pin::pin!(read.buffered(BUCKETS_AT_A_TIME));
        let mut found = Vec::new();
        while found.len() < limit as usize
            && let Some(rows) = read.try_next().await?
        {
            found.extend(rows.into_iter().filter(|(seq, _)| !except.contains(seq)));
        }
        found.truncate(limit as usize);
        Ok(found)
    }

    /// Those of one bucket, from a seq on.
    async fn mentions_in(
        &self,
        room: RoomId,
        bucket: i64,
        user: UserId,
        first: i64,
    ) -> Result<Vec<(Seq, UserId)>, Fault> {
        let reads = &self.statements.reads;
        let ask =
            |user: UserId| self.rows::<(i64,)>(&reads.mentioned, (uuid(room.0), bucket, uuid(user.0), first));
        let (named, everybody) = tokio::try_join!(ask(user), ask(UserId::NIL))?;
        let seqs: BTreeSet<i64> = named.into_iter().chain(everybody).map(|(seq,)| seq).collect();
        type Cells = (i64, Option<Vec<u8>>, Option<Vec<u8>>);
        let rows = self.named(room, seqs, |shared, values| async move {
            shared.rows::<Cells>(&shared.statements.reads.mentions_of, values).await
        });
        let mut found = Vec::new();
        for (seq, facts, parts) in rows.await? {
            let row = MessageRow {
                facts: facts.as_deref().map(value::decode_facts).transpose()?,
                parts: parts.as_deref().map(value::decode_parts).transpose()?.unwrap_or_default(),
                ..MessageRow::default()
            };
            if let Some(sender) = row.mentioner_of(user) {
                found.push((Seq(unsigned(seq)?), sender));
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}
