//! [`CassandraMessages`]: the port on one session.
//!
//! Thread: a bridge's; clones share the session and may be used by several tasks. Dropping a future of `append` is as if it had timed
//! out: what it sent may be written. The connections live on the runtime: a caller that pauses does so on it, or a lost connection is not
//! made again meanwhile.
//!
//! What can fail: see [`Fault`].

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lynk_domain::{Epoch, Key, Lsn, Millis, RoomId, Seq, UserId};
use lynk_model::dump::LogRow;
use lynk_model::port::{LastFault, MessageDump, MessageStore, NotUnread, StoreFault};
use lynk_model::{
    FoundKey, MessageState, MetaTransaction, PageQuery, PageReply, ReadState, Record, RoomHead, StoreError,
    StoredEvent,
};
use scylla::client::execution_profile::ExecutionProfileHandle;
use scylla::client::session::Session;
use scylla::policies::retry::DefaultRetryPolicy;
use scylla::policies::speculative_execution::SimpleSpeculativeExecutionPolicy;

use crate::connect::{self, Connect, ConnectError, KEY_LIFE_MAX, KEY_LIFE_MIN, Limits};
use crate::statement::Statements;
use crate::{Fault, FaultKind, place, schema};

/// [`MessageStore`] in Cassandra or ScyllaDB. Clones share the connections; each keeps its own last failure.
pub struct CassandraMessages {
    shared: Arc<Shared>,
    /// The part of the rooms that is swept next.
    sweeps: u16,
    fault: Mutex<Option<Fault>>,
}

/// What all clones use.
pub(crate) struct Shared {
    pub(crate) session: Session,
    pub(crate) statements: Arc<Statements>,
    pub(crate) limits: Limits,
    pub(crate) installation: String,
    /// Seconds.
    pub(crate) key_life: i32,
    pub(crate) write_profile: ExecutionProfileHandle,
    /// The epoch that rooms have at least: read when connecting, because only a restore into an empty log raises it.
    epoch: AtomicU32,
}

impl Shared {
    /// The epoch that rooms have at least.
    pub(crate) fn floor(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Relaxed))
    }

    pub(crate) fn note_epoch(&self, epoch: Epoch) {
        self.epoch.fetch_max(epoch.0, Ordering::Relaxed);
    }
}

impl Clone for CassandraMessages {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), sweeps: self.sweeps, fault: Mutex::default() }
    }
}

impl fmt::Debug for CassandraMessages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CassandraMessages").finish_non_exhaustive()
    }
}

impl CassandraMessages {
    /// Connects, looks whether the tables are those that this program needs, and prepares all statements. The tasks of the
    /// connections run on the runtime that this is called on, while it runs.
    ///
    /// # Errors
    /// When a certificate cannot be used, no server lets us in within [`Limits::connect_timeout`], or the tables are of another version.
    pub async fn connect(connect: &Connect) -> Result<Self, ConnectError> {
        let session = connect::session(connect).await?;
        let limits = connect.limits.clone();
        schema::check(&session, &connect.keyspace).await?;
        let write_profile = session.get_default_execution_profile_handle().clone();
        // Asking twice changes nothing, so reads go to another replica when one is slow or fails.
        let again =
            SimpleSpeculativeExecutionPolicy { max_retry_count: 1, retry_interval: limits.speculate_after };
        let read_profile = write_profile
            .pointee_to_builder()
            .retry_policy(Arc::new(DefaultRetryPolicy::new()))
            .speculative_execution_policy(Some(Arc::new(again)))
            .build()
            .into_handle();
        let statements = Statements::prepare(&session, &connect.keyspace, &write_profile, &read_profile)
            .await
            .map_err(Fault::from)?;
        let key_life = limits.key_life.clamp(KEY_LIFE_MIN, KEY_LIFE_MAX);
        let key_life = i32::try_from(key_life.as_secs()).unwrap_or(i32::MAX);
        let installation = connect.installation.clone();
        let epoch = AtomicU32::new(0);
        let shared = Shared { session, statements, limits, installation, key_life, write_profile, epoch };
        shared.note_epoch(shared.epoch().await?);
        Ok(Self { shared: Arc::new(shared), sweeps: 0, fault: Mutex::default() })
    }

    /// The last failure of this handle since it was asked for, if there was one.
    #[must_use]
    pub fn take_fault(&self) -> Option<Fault> {
        // A panic ends the process, so nobody sees a poisoned lock; tests may.
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The row of a journal's cursor.
    fn source(&self, name: &str) -> String {
        format!("{}/{name}", self.shared.installation)
    }

    fn note<T>(&self, result: Result<T, Fault>) -> Result<T, StoreError> {
        result.map_err(|fault| {
            let error = fault.store_error();
            *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
            error
        })
    }
}

impl LastFault for CassandraMessages {
    fn last_fault(&self) -> Option<StoreFault> {
        self.take_fault().map(StoreFault::from)
    }
}

impl MessageStore for CassandraMessages {
    async fn append(&mut self, source: &str, cursor: Lsn, batch: &[Record<'_>]) -> Result<(), StoreError> {
        self.note(self.shared.append(&self.source(source), cursor, batch).await)
    }

    async fn cursor(&self, source: &str) -> Result<Lsn, StoreError> {
        self.note(self.shared.cursor(&self.source(source)).await)
    }

    async fn forget(&mut self, source: &str) -> Result<(), StoreError> {
        // The port knows one failure of it, and repeating is harmless.
        let forgotten = self.shared.forget(&self.source(source)).await.map_err(|fault| match fault.kind {
            FaultKind::Unknown => Fault { kind: FaultKind::Unavailable, ..fault },
            _ => fault,
        });
        self.note(forgotten)
    }

    async fn page(&self, query: &PageQuery) -> Result<PageReply, StoreError> {
        self.note(self.shared.page(query).await)
    }

    async fn event(&self, room: RoomId, seq: Seq) -> Result<Option<StoredEvent>, StoreError> {
        self.note(self.shared.event(room, seq).await)
    }

    async fn message(&self, room: RoomId, seq: Seq) -> Result<Option<MessageState>, StoreError> {
        self.note(self.shared.message(room, seq).await)
    }

    async fn count_not_unread(
        &self,
        room: RoomId,
        user: UserId,
        after: Seq,
        except: &BTreeSet<Seq>,
    ) -> Result<NotUnread, StoreError> {
        self.note(self.shared.count_not_unread(room, user, after, except).await)
    }

    async fn mentions(
        &self,
        room: RoomId,
        user: UserId,
        after: Seq,
        except: &BTreeSet<Seq>,
        limit: u32,
    ) -> Result<Vec<(Seq, UserId)>, StoreError> {
        self.note(self.shared.mentions(room, user, after, except, limit).await)
    }

    async fn head(&self, room: RoomId) -> Result<RoomHead, StoreError> {
        self.note(self.shared.head(room).await)
    }

    async fn reads(&self, room: RoomId) -> Result<Vec<ReadState>, StoreError> {
        self.note(self.shared.reads(room).await)
    }

    async fn find_key(&self, room: RoomId, sender: UserId, key: Key) -> Result<Option<FoundKey>, StoreError> {
        self.note(self.shared.find_key(room, sender, key).await)
    }

    async fn intents(&self, room: RoomId) -> Result<Vec<MetaTransaction>, StoreError> {
        self.note(self.shared.intents(room).await)
    }

    async fn sweep(&mut self) -> Result<bool, StoreError> {
        let (part, shared) = (self.sweeps, Arc::clone(&self.shared));
        self.sweeps = (part + 1) % place::SPREAD;
        self.note(shared.sweep(i32::from(part)).await)
    }
}

impl MessageDump for CassandraMessages {
    async fn logged_rooms(&self, after: RoomId, limit: u32) -> Result<Vec<RoomId>, StoreError> {
        self.note(self.shared.logged_rooms(after, limit).await)
    }

    async fn log_rows(&self, room: RoomId, from: Seq, to: Seq) -> Result<Vec<LogRow>, StoreError> {
        self.note(self.shared.log_rows(room, from, to).await)
    }

    async fn log_keys(
        &self,
        room: RoomId,
        rows: &[LogRow],
        since: Millis,
    ) -> Result<Vec<LogRow>, StoreError> {
        self.note(self.shared.log_keys(room, rows, since).await)
    }

    async fn fill_log(&mut self, room: RoomId, rows: &[LogRow]) -> Result<(), StoreError> {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
        let now = Millis(u64::try_from(now).unwrap_or(u64::MAX));
        self.note(self.shared.fill_log(room, rows, now).await)
    }

    /// Every row is durable when its request is answered.
    async fn settle(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn epoch(&self) -> Result<Epoch, StoreError> {
        self.note(self.shared.epoch().await)
    }

    async fn raise_epoch(&mut self, epoch: Epoch) -> Result<(), StoreError> {
        self.note(self.shared.raise_epoch(epoch).await)
    }
}
