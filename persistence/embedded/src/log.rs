//! [`MessageLog`]: the message log in one fjall keyspace.
//!
//! Thread: clones share the store. One thread appends; others may read meanwhile and do not wait for it:
//! an append at full speed stalls for up to some hundred milliseconds now and then, a read does not.
//!
//! Invariants: a batch's rows and its source's cursor are one atomic write, synced before `append` returns.
//! One keyspace holds everything (see `key`), so that none is idle while others are written: an idle one
//! would pin fjall's journals. A failed write leaves the engine unusable until it is reopened; the next
//! append does that. What an opening replays was made durable before: a batch that is found stored is not written
//! again, so its earlier sync, which may have failed, must not be what keeps it. Nothing is written when the file system is nearly full, because a failing flush would
//! close the engine for reads, too.
//!
//! Limits: [`MessageLogOptions`]. What can fail: the disk.

mod copy;
mod floors;
mod key;
mod prune;
mod read;
mod value;
mod write;

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use lynk_domain::{Key, Lsn, RoomId, Seq, UserId};
use lynk_model::port::{LastFault, MessageStore, NotUnread, StoreFault};
use lynk_model::{
    FoundKey, MessageState, MetaTransaction, PageQuery, PageReply, ReadState, Record, RoomHead, StoreError,
    StoredEvent,
};

use crate::rewrite::{rewrite, rewrite_if_space};
use crate::{Fault, FaultKind, KEY_LIFE_MILLIS, OpenError};
use floors::Floors;
use key::Table;
use write::{HeadCache, Pending, Written};

/// Newest format of keys and values that this build knows: 1, and what it needs to say [more](format).
const FORMAT: u32 = format::FLOORS;
/// Format of a new log.
const FORMAT_NEW: u32 = 1;

/// Formats that a log comes to have when it holds what programs of an earlier one do not know.
mod format {
    /// The epoch of all rooms was raised: who does not know that row answers clients with epochs of an earlier life of their rooms.
    pub(super) const EPOCH: u32 = 2;
    /// Messages say more than a text: who does not know that cannot read their rows.
    pub(super) const PARTS: u32 = 3;
    /// Messages were removed for their age: who does not know that shows those that still lie there, and loses the mark when it writes.
    pub(super) const FLOORS: u32 = 4;
}
/// Memtables waiting for their flush at which an append waits. fjall itself waits at 4, without end when its
/// worker has died.
const SEALED_MEMTABLES_MAX: usize = 3;
/// Tables in level 0 at which an append waits; fjall itself waits at 30.
const LEVEL0_TABLES_MAX: usize = 20;
/// Tries to get the directory's lock, and the time between them: an engine that was just closed may hold it a
/// moment longer.
const LOCK_TRIES: usize = 4;
const LOCK_PAUSE: Duration = Duration::from_millis(100);
/// How long an append waits for the engine's workers before it gives up.
const BACKPRESSURE_MAX: Duration = Duration::from_secs(20);

/// Sizes of the message log.
#[derive(Clone, Debug)]
pub struct MessageLogOptions {
    /// Block cache, bytes.
    pub cache_bytes: u64,
    /// Memtable at which it is flushed, bytes; about four may exist at a time.
    pub memtable_bytes: u64,
    /// Threads that flush and compact. With more than one, fjall 3.1 keeps one spinning while another compacts: 15 %
    /// more CPU per message for nothing (`store-choice append fjall 300000 1000`).
    pub workers: usize,
    /// How long a key is found after its message, in milliseconds: at least as long as it is accepted.
    pub key_life_millis: u64,
    /// Free bytes of the file system below which nothing is appended.
    pub free_bytes_min: u64,
}

impl Default for MessageLogOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 32 << 20,
            memtable_bytes: 16 << 20,
            workers: 1,
            key_life_millis: KEY_LIFE_MILLIS,
            free_bytes_min: 48 << 20,
        }
    }
}

/// Sizes for metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MessageLogStats {
    /// Bytes on disk, fjall's journals included.
    pub disk_bytes: u64,
    /// Bytes of fjall's journals.
    pub journal_bytes: u64,
    /// Bytes in memtables.
    pub memtable_bytes: u64,
    /// Bytes in the block cache.
    pub cache_bytes: u64,
    /// Memtables waiting for their flush.
    pub memtables_sealed: u64,
    /// Compactions since the store was opened.
    pub compactions: u64,
    /// Rows of removed messages that compactions dropped since the store was opened.
    pub removed_rows: u64,
}

/// [`MessageStore`] on fjall. Clones share one store; each keeps its own last failure.
pub struct MessageLog {
    shared: Arc<Shared>,
    fault: Mutex<Option<Fault>>,
}

impl Clone for MessageLog {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), fault: Mutex::default() }
    }
}

struct Shared {
    path: PathBuf,
    options: MessageLogOptions,
    /// `None` only while a reopening has failed.
    engine: RwLock<Option<Engine>>,
    writer: Mutex<Writer>,
    /// Newest wall time appended: the clock that expires idempotency keys.
    newest_wall: Arc<AtomicU64>,
    floors: Arc<Floors>,
}

/// What the appending side keeps between batches.
#[derive(Default)]
struct Writer {
    heads: HeadCache,
    /// The engine refused a write and must be reopened.
    broken: bool,
}

/// fjall's handles. All of them are gone when this is dropped, so that the directory can be opened again.
struct Engine {
    database: Database,
    keyspace: Keyspace,
}

impl Engine {
    fn open(
        path: &Path,
        options: &MessageLogOptions,
        (newest_wall, floors): (&Arc<AtomicU64>, &Arc<Floors>),
        rewrite: fn(&Path) -> std::io::Result<()>,
    ) -> Result<Self, OpenError> {
        let engine = |fault: Fault| OpenError::Engine { path: path.to_owned(), fault };
        harden(path, rewrite)?;
        let filters = prune::factories(newest_wall.clone(), options.key_life_millis, floors.clone());
        let opened = Database::builder(path)
            .cache_size(options.cache_bytes)
            .worker_threads(options.workers)
            .max_cached_files(Some(64))
            .max_journaling_size(128 << 20)
            .with_compaction_filter_factories(filters)
            .open();
        let database = match opened {
            Err(fjall::Error::Locked) => return Err(OpenError::Locked { path: path.to_owned() }),
            other => other.map_err(|error| engine(error.into()))?,
        };
        let memtable = options.memtable_bytes;
        let create = || KeyspaceCreateOptions::default().max_memtable_size(memtable);
        let keyspace = database.keyspace(prune::KEYSPACE, create).map_err(|error| engine(error.into()))?;
        let opened = Self { database, keyspace };
        match opened.format().map_err(engine)? {
            Some(found) if found > FORMAT => {
                Err(OpenError::Newer { path: path.to_owned(), found, known: FORMAT })
            }
            Some(_) => floors.load(&opened.keyspace).map(|()| opened).map_err(engine),
            None => opened.write_format().map(|()| opened).map_err(engine),
        }
    }

    fn format(&self) -> Result<Option<u32>, Fault> {
        let value = self.keyspace.get(key::prefix(RoomId::NIL, Table::Format))?;
        value.map(|value| value::decode_u32(&value)).transpose()
    }

    fn write_format(&self) -> Result<(), Fault> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        let key = key::prefix(RoomId::NIL, Table::Format);
        batch.insert(&self.keyspace, key, FORMAT_NEW.to_le_bytes());
        Ok(batch.commit()?)
    }

    /// Notes in a batch that the log holds what programs of formats before `needed` do not know.
    fn need_format(&self, batch: &mut fjall::OwnedWriteBatch, needed: u32) -> Result<(), Fault> {
        if self.format()?.is_none_or(|known| known < needed) {
            let key = key::prefix(RoomId::NIL, Table::Format);
            batch.insert(&self.keyspace, key, needed.to_le_bytes());
        }
        Ok(())
    }

    /// Waits until a write would not make fjall wait: its own waiting never ends when a worker has died.
    fn wait_for_workers(&self) -> Result<(), Fault> {
        let started = Instant::now();
        while self.keyspace.sealed_memtable_count() >= SEALED_MEMTABLES_MAX
            || self.keyspace.l0_table_count() >= LEVEL0_TABLES_MAX
        {
            self.wait_a_little(started)?;
        }
        Ok(())
    }

    /// Writes memory out as tables.
    fn write_memory(&self) -> Result<(), Fault> {
        let started = Instant::now();
        self.keyspace.rotate_memtable()?;
        while self.keyspace.sealed_memtable_count() > 0 {
            self.wait_a_little(started)?;
        }
        Ok(())
    }

    fn wait_a_little(&self, started: Instant) -> Result<(), Fault> {
        // Fails once a worker has died.
        self.database.persist(PersistMode::Buffer)?;
        if started.elapsed() > BACKPRESSURE_MAX {
            return Err(Fault::new(FaultKind::Unavailable, "the engine does not flush its memory"));
        }
        std::thread::sleep(Duration::from_millis(5));
        Ok(())
    }
}

/// Writes fjall's journals anew, before they are replayed.
fn harden(path: &Path, rewrite: fn(&Path) -> std::io::Result<()>) -> Result<(), OpenError> {
    let refused = |error: std::io::Error| OpenError::Engine { path: path.to_owned(), fault: error.into() };
    let lock = match OpenOptions::new().read(true).write(true).open(path.join("lock")) {
        Ok(lock) => lock,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refused(error)),
    };
    lock_directory(path, &lock)?;
    for entry in std::fs::read_dir(path).map_err(refused)? {
        let journal = entry.map_err(refused)?.path();
        if journal.extension().is_some_and(|extension| extension == "jnl") {
            rewrite(&journal).map_err(refused)?;
        }
    }
    // fjall takes the lock next, with another file handle.
    lock.unlock().map_err(refused)
}

fn lock_directory(path: &Path, lock: &File) -> Result<(), OpenError> {
    for _ in 0..LOCK_TRIES {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => {
                return Err(OpenError::Engine { path: path.to_owned(), fault: error.into() });
            }
        }
    }
    Err(OpenError::Locked { path: path.to_owned() })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic ends the process, so nobody sees a poisoned lock; tests may.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MessageLog {
    /// Opens or creates `<data>/messages`. Replays fjall's journals, which takes up to a second after a crash
    /// under load; an empty store opens in milliseconds.
    ///
    /// # Errors
    /// When the directory is locked, damaged, of a newer format, or the disk refuses.
    pub fn open(data: &Path, options: MessageLogOptions) -> Result<Self, OpenError> {
        let path = data.join("messages");
        let newest_wall = Arc::new(AtomicU64::new(0));
        let floors = Arc::default();
        let engine = Engine::open(&path, &options, (&newest_wall, &floors), rewrite_if_space)?;
        Ok(Self {
            shared: Arc::new(Shared {
                path,
                options,
                engine: RwLock::new(Some(engine)),
                writer: Mutex::default(),
                newest_wall,
                floors,
            }),
            fault: Mutex::default(),
        })
    }

    /// The last failure of this handle since it was asked for, if there was one.
    #[must_use]
    pub fn take_fault(&self) -> Option<Fault> {
        lock(&self.fault).take()
    }

    /// Sizes for metrics; zeroes while the store is closed by a failure.
    #[must_use]
    pub fn stats(&self) -> MessageLogStats {
        let engine = self.shared.engine.read().unwrap_or_else(PoisonError::into_inner);
        let Some(Engine { database, keyspace }) = engine.as_ref() else {
            return MessageLogStats::default();
        };
        MessageLogStats {
            disk_bytes: database.disk_space().unwrap_or(0),
            journal_bytes: database.journal_disk_space().unwrap_or(0),
            memtable_bytes: database.write_buffer_size(),
            cache_bytes: database.cache_size(),
            memtables_sealed: keyspace.sealed_memtable_count() as u64,
            compactions: database.compactions_completed() as u64,
            removed_rows: self.shared.floors.dropped(),
        }
    }

    /// Writes memory out as tables, so that the next open has nothing to replay. Takes up to a second.
    ///
    /// # Errors
    /// When the disk refuses; the store is as durable as before.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.with_engine(Engine::write_memory)
    }

    /// Rewrites everything: space of deleted and expired rows is given back. Takes seconds per gigabyte and needs
    /// as much space again meanwhile.
    ///
    /// # Errors
    /// When the disk refuses; nothing is lost.
    pub fn compact(&self) -> Result<(), StoreError> {
        self.with_engine(|engine| {
            engine.write_memory()?;
            Ok(engine.keyspace.major_compact()?)
        })
    }

    /// Closes the store: what it holds is written out as tables, and when this returns nobody writes to its files any more. Other handles
    /// must be gone.
    ///
    /// # Errors
    /// When the disk refuses, or somebody else has a handle.
    pub fn close(self) -> Result<(), OpenError> {
        let path = self.shared.path.clone();
        let refused = |fault: Fault| OpenError::Engine { path: path.clone(), fault };
        if self.flush().is_err() {
            return Err(refused(self.take_fault().unwrap_or_else(|| Fault::corrupt("the flush failed"))));
        }
        if Arc::strong_count(&self.shared) > 1 {
            return Err(OpenError::Locked { path });
        }
        drop(self);
        // The engine's threads hold its lock until they have ended.
        let lock = File::open(path.join("lock")).map_err(|error| refused(error.into()))?;
        lock_directory(&path, &lock)
    }

    /// Runs `f` on the open engine, and notes what it fails with.
    fn with_engine<T>(&self, f: impl FnOnce(&Engine) -> Result<T, Fault>) -> Result<T, StoreError> {
        let engine = self.shared.engine.read().unwrap_or_else(PoisonError::into_inner);
        let result = match engine.as_ref() {
            Some(engine) => f(engine),
            None => Err(Fault::new(FaultKind::Unavailable, "the message log is closed after a failure")),
        };
        result.map_err(|fault| self.note(fault))
    }

    fn read<T>(&self, f: impl FnOnce(&Keyspace) -> Result<T, Fault>) -> Result<T, StoreError> {
        self.with_engine(|engine| f(&engine.keyspace))
    }

    fn note(&self, fault: Fault) -> StoreError {
        let error = fault.store_error();
        *lock(&self.fault) = Some(fault);
        error
    }

    /// Refuses while the file system is nearly full.
    fn check_free_space(&self) -> Result<(), Fault> {
        let state = rustix::fs::statvfs(&self.shared.path).map_err(std::io::Error::from)?;
        let free = state.f_bavail.saturating_mul(state.f_frsize);
        if free < self.shared.options.free_bytes_min {
            return Err(Fault::new(FaultKind::DiskFull, format_args!("{free} bytes are free")));
        }
        Ok(())
    }

    /// Closes and opens the engine, which is the only way out after it refused a write.
    fn reopen(&self, writer: &mut Writer) -> Result<(), Fault> {
        let shared = &*self.shared;
        let mut engine = shared.engine.write().unwrap_or_else(PoisonError::into_inner);
        // The old handles hold the directory's lock.
        drop(engine.take());
        writer.heads.clear();
        // A write or a sync has just failed: nothing of it may be believed.
        let kept = (&shared.newest_wall, &shared.floors);
        match Engine::open(&shared.path, &shared.options, kept, rewrite) {
            Ok(opened) => {
                *engine = Some(opened);
                writer.broken = false;
                Ok(())
            }
            Err(OpenError::Engine { fault, .. }) => Err(fault),
            Err(other) => Err(Fault::new(FaultKind::Unavailable, other)),
        }
    }

    /// One atomic, synced write of what `fill` puts into the batch.
    fn write(
        &self,
        fill: impl FnOnce(&Engine, &HeadCache, &mut fjall::OwnedWriteBatch) -> Result<Written, Fault>,
    ) -> Result<(), StoreError> {
        self.write_as(Some(PersistMode::SyncData), fill)
    }

    /// As [`Self::write`], and as durable as `durability` says.
    fn write_as(
        &self,
        durability: Option<PersistMode>,
        fill: impl FnOnce(&Engine, &HeadCache, &mut fjall::OwnedWriteBatch) -> Result<Written, Fault>,
    ) -> Result<(), StoreError> {
        let mut writer = lock(&self.shared.writer);
        let written = self.write_locked(&mut writer, durability, fill);
        written.map_err(|fault| self.note(fault))
    }

    fn write_locked(
        &self,
        writer: &mut Writer,
        durability: Option<PersistMode>,
        fill: impl FnOnce(&Engine, &HeadCache, &mut fjall::OwnedWriteBatch) -> Result<Written, Fault>,
    ) -> Result<(), Fault> {
        self.check_free_space()?;
        if writer.broken {
            self.reopen(writer)?;
        }
        let guard = self.shared.engine.read().unwrap_or_else(PoisonError::into_inner);
        let Some(engine) = guard.as_ref() else {
            writer.broken = true;
            return Err(Fault::new(FaultKind::Unavailable, "the message log is closed after a failure"));
        };
        engine.wait_for_workers().inspect_err(|_| writer.broken = true)?;
        let mut batch = engine.database.batch().durability(durability);
        let Written { heads, floors } = fill(engine, &writer.heads, &mut batch)?;
        batch.commit().map_err(|error| {
            writer.broken = true;
            // The engine's journal may hold the batch: only reopening tells.
            Fault { kind: FaultKind::Unknown, ..Fault::from(error) }
        })?;
        writer.heads.remember(heads);
        self.shared.floors.set(floors);
        Ok(())
    }
}

impl LastFault for MessageLog {
    fn last_fault(&self) -> Option<StoreFault> {
        self.take_fault().map(StoreFault::from)
    }
}

impl MessageStore for MessageLog {
    async fn append(&mut self, source: &str, cursor: Lsn, batch: &[Record<'_>]) -> Result<(), StoreError> {
        let newest = batch.iter().map(|record| record.head.wall.0).max().unwrap_or(0);
        self.shared.newest_wall.fetch_max(newest, Ordering::Relaxed);
        let floors = Arc::clone(&self.shared.floors);
        self.write(|engine, heads, rows| {
            let mut pending = Pending::new(&engine.keyspace, &floors);
            for record in batch {
                pending.apply(heads, record)?;
            }
            if pending.removes() {
                engine.need_format(rows, format::FLOORS)?;
            } else if pending.says_more() {
                engine.need_format(rows, format::PARTS)?;
            }
            pending.finish(rows);
            let cursor = cursor.max(read::cursor(&engine.keyspace, source)?);
            rows.insert(&engine.keyspace, key::cursor(source), cursor.0.to_le_bytes());
            Ok(pending.into_written())
        })
    }

    async fn cursor(&self, source: &str) -> Result<Lsn, StoreError> {
        self.read(|keyspace| read::cursor(keyspace, source))
    }

    async fn forget(&mut self, source: &str) -> Result<(), StoreError> {
        self.write(|engine, _, rows| {
            rows.remove(&engine.keyspace, key::cursor(source));
            Ok(Written::default())
        })
    }

    async fn page(&self, query: &PageQuery) -> Result<PageReply, StoreError> {
        self.read(|keyspace| read::page(keyspace, query))
    }

    async fn event(&self, room: RoomId, seq: Seq) -> Result<Option<StoredEvent>, StoreError> {
        self.read(|keyspace| read::event(keyspace, room, seq))
    }

    async fn message(&self, room: RoomId, seq: Seq) -> Result<Option<MessageState>, StoreError> {
        self.read(|keyspace| read::message(keyspace, room, seq))
    }

    async fn count_not_unread(
        &self,
        room: RoomId,
        user: UserId,
        after: Seq,
        except: &BTreeSet<Seq>,
    ) -> Result<NotUnread, StoreError> {
        self.read(|keyspace| read::count_not_unread(keyspace, room, user, after, except))
    }

    async fn mentions(
        &self,
        room: RoomId,
        user: UserId,
        after: Seq,
        except: &BTreeSet<Seq>,
        limit: u32,
    ) -> Result<Vec<(Seq, UserId)>, StoreError> {
        self.read(|keyspace| read::mentions(keyspace, room, user, after, except, limit))
    }

    async fn head(&self, room: RoomId) -> Result<RoomHead, StoreError> {
        self.read(|keyspace| read::head(keyspace, room))
    }

    async fn read_state(&self, room: RoomId, user: UserId) -> Result<Option<ReadState>, StoreError> {
        self.read(|keyspace| read::read_state(keyspace, room, user))
    }

    async fn reads(&self, room: RoomId) -> Result<Vec<ReadState>, StoreError> {
        self.read(|keyspace| read::reads(keyspace, room))
    }

    async fn find_key(&self, room: RoomId, sender: UserId, key: Key) -> Result<Option<FoundKey>, StoreError> {
        self.read(|keyspace| read::find_key(keyspace, room, sender, key))
    }

    async fn intents(&self, room: RoomId) -> Result<Vec<MetaTransaction>, StoreError> {
        self.read(|keyspace| read::intents(keyspace, room))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::MetadataExt;

    use lynk_domain::Epoch;
    use lynk_model::contract::{History, records};
    use lynk_model::port::{MessageDump as _, ready};
    use lynk_model::{Mentions, Parts};

    use super::*;

    /// Inode of each journal of fjall's.
    fn journals(data: &Path) -> BTreeMap<PathBuf, u64> {
        let entries = std::fs::read_dir(data.join("messages")).expect("a directory");
        entries
            .map(|entry| entry.expect("an entry"))
            .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "jnl"))
            .map(|entry| (entry.path(), entry.metadata().expect("is there").ino()))
            .collect()
    }

    #[test]
    fn a_log_whose_epoch_was_raised_has_the_format_that_earlier_programs_refuse() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut log = MessageLog::open(directory.path(), MessageLogOptions::default()).expect("opens");
        let format = |log: &MessageLog| log.with_engine(Engine::format).expect("readable");
        ready(log.raise_epoch(Epoch(0))).expect("raises");
        assert_eq!(format(&log), Some(1), "it has the epoch that every log has");
        ready(log.raise_epoch(Epoch(7))).expect("raises");
        assert_eq!(format(&log), Some(2));
        drop(log);
        let log = MessageLog::open(directory.path(), MessageLogOptions::default()).expect("opens");
        assert_eq!((format(&log), ready(log.epoch())), (Some(2), Ok(Epoch(7))));
    }

    #[test]
    fn a_log_with_mentions_has_the_format_that_earlier_programs_refuse() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut log = MessageLog::open(directory.path(), MessageLogOptions::default()).expect("opens");
        let format = |log: &MessageLog| log.with_engine(Engine::format).expect("readable");
        let mut history = History::new(1);
        let sender = history.users[0];
        history.post(sender, Seq(0), "text");
        ready(log.append("1/0", Lsn(1), &records(&history.records))).expect("appends");
        assert_eq!(format(&log), Some(1));
        let parts = Parts::of_mentions(Mentions::new(true, Vec::new()));
        history.post_with(sender, Seq(0), "text", parts);
        ready(log.append("1/0", Lsn(2), &records(&history.records))).expect("appends");
        assert_eq!(format(&log), Some(3));
        ready(log.raise_epoch(Epoch(7))).expect("raises");
        assert_eq!(format(&log), Some(3), "it does not go back");
        let other = tempfile::tempdir().expect("a directory");
        let mut copy = MessageLog::open(other.path(), MessageLogOptions::default()).expect("opens");
        let rows = ready(log.log_rows(history.room, Seq(0), Seq(9))).expect("readable");
        ready(copy.fill_log(history.room, &rows)).expect("fills");
        assert_eq!(format(&copy), Some(3));
    }

    #[test]
    fn what_is_replayed_after_a_failed_sync_lies_in_new_files() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut log = MessageLog::open(directory.path(), MessageLogOptions::default()).expect("opens");
        let mut history = History::new(1);
        let sender = history.users[0];
        for number in 1..=3u64 {
            history.post(sender, Seq(0), "text");
            let record = &history.records[history.records.len() - 1..];
            let before = journals(directory.path());
            // As after a commit whose sync failed, and whose batch the page cache holds all the same.
            lock(&log.shared.writer).broken = true;
            ready(log.append("1/0", Lsn(number), &records(record))).expect("appends");
            let after = journals(directory.path());
            assert!(!before.is_empty());
            for (path, inode) in before {
                assert_ne!(after.get(&path), Some(&inode), "{} is replayed as it was", path.display());
            }
        }
        drop(log);
        let before = journals(directory.path());
        let log = MessageLog::open(directory.path(), MessageLogOptions::default()).expect("opens");
        let after = journals(directory.path());
        for (path, inode) in before {
            assert_ne!(after.get(&path), Some(&inode), "{} is replayed as it was", path.display());
        }
        assert_eq!(ready(log.cursor("1/0")), Ok(Lsn(3)));
        assert_eq!(ready(log.head(history.room)).expect("readable").top, Seq(3));
    }
}
