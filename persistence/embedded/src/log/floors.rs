//! What rooms have lost at their beginning, and how the space of it comes back.
//!
//! A room's floor is in its head; here are the rooms of which rows at or below the floor may still lie in the tables. Compactions drop those
//! rows as they meet them. That is enough where much is written; [`MessageLog::tidy`] does not wait for it: it drops whole tables, and
//! rewrites everything when a quarter of it is dead and there is not too much of it.
//!
//! Thread: any; the map changes with the writer locked, and fjall's workers read it. Limits: about 60 bytes of memory for each room that
//! waits here; [`REWRITTEN_BYTES_MAX`]. What can fail: the disk.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use fjall::{AbstractTree as _, Keyspace};
use lynk_domain::{RoomId, Seq};
use lynk_model::StoreError;

use super::key::{self, PREFIX_BYTES, Table};
use super::{Engine, MessageLog, value};
use crate::Fault;

/// Seqs by which a room's floor must have moved before whole tables of it are looked for: tables hold 64 MB.
const DROPPED_SEQS_MIN: u64 = 100_000;
/// A log that takes more bytes is not rewritten at once: no other compaction runs meanwhile, and appends wait when too much is left to them.
const REWRITTEN_BYTES_MAX: u64 = 4 << 30;
/// Rows of a message, about: itself, its sender's index, its key.
const ROWS_PER_SEQ: u64 = 3;
/// The part of all rows that must be dead.
const DEAD_PART: u64 = 4;
/// Rooms that one write forgets.
const FORGOTTEN_AT_A_TIME: usize = 4_096;

/// Rows of a room that may still lie in the tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Dead {
    /// All up to here are gone.
    pub(super) from: Seq,
    /// Up to here nothing is shown.
    pub(super) floor: Seq,
}

impl Dead {
    fn seqs(self) -> u64 {
        self.floor.0.saturating_sub(self.from.0)
    }
}

/// Every room with such rows.
#[derive(Default)]
pub(super) struct Floors {
    rooms: RwLock<HashMap<RoomId, Dead>>,
    /// Seqs of all of them.
    dead: AtomicU64,
    /// Rows that compactions dropped.
    dropped: AtomicU64,
    /// Space is being given back.
    tidying: AtomicBool,
}

impl Floors {
    /// Reads what waits.
    pub(super) fn load(&self, keyspace: &Keyspace) -> Result<(), Fault> {
        let mut rooms = HashMap::new();
        for guard in keyspace.prefix(key::prefix(RoomId::NIL, Table::Floor)) {
            let (key, value) = guard.into_inner()?;
            let room = key::trailing_id(&key).ok_or_else(|| Fault::corrupt("a stored key is short"))?;
            rooms.insert(RoomId(room), value::decode_floor(&value)?);
        }
        self.dead.store(rooms.values().map(|dead| dead.seqs()).sum(), Ordering::Relaxed);
        *self.rooms.write().unwrap_or_else(PoisonError::into_inner) = rooms;
        Ok(())
    }

    fn rooms(&self) -> RwLockReadGuard<'_, HashMap<RoomId, Dead>> {
        self.rooms.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn of(&self, room: RoomId) -> Option<Dead> {
        self.rooms().get(&room).copied()
    }

    /// What is noted of a room whose floor moves on from `before`.
    pub(super) fn moved(&self, room: RoomId, before: Seq, floor: Seq) -> Dead {
        Dead { from: self.of(room).map_or(before, |dead| dead.from), floor }
    }

    /// Takes what was written; `None` where nothing is left to drop.
    pub(super) fn set(&self, written: Vec<(RoomId, Option<Dead>)>) {
        if written.is_empty() {
            return;
        }
        let mut rooms = self.rooms.write().unwrap_or_else(PoisonError::into_inner);
        for (room, dead) in written {
            let before = match dead {
                Some(dead) => rooms.insert(room, dead),
                None => rooms.remove(&room),
            };
            let now = dead.map_or(0, Dead::seqs);
            let sum = self.dead.load(Ordering::Relaxed) + now;
            self.dead.store(sum.saturating_sub(before.map_or(0, Dead::seqs)), Ordering::Relaxed);
        }
    }

    /// Whether a row is dead, by the bytes of its key. `last` keeps the floor of the room of the row before.
    pub(super) fn is_dead(&self, key: &[u8], last: &mut Option<(RoomId, Seq)>) -> bool {
        let Some((room, rest)) = key.split_first_chunk::<16>() else { return false };
        let Some((table, rest)) = rest.split_first() else { return false };
        let seq = match Table::of_seq(*table) {
            None => return false,
            Some(false) => rest.first_chunk::<8>(),
            Some(true) => rest.last_chunk::<8>(),
        };
        let Some(seq) = seq.map(|bytes| Seq(u64::from_be_bytes(*bytes))) else { return false };
        let room = RoomId(*room);
        let floor = match last {
            Some((of, floor)) if *of == room => *floor,
            _ => {
                let floor = self.of(room).map_or(Seq(0), |dead| dead.floor);
                *last = Some((room, floor));
                floor
            }
        };
        let dead = seq <= floor;
        if dead {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        dead
    }

    /// Rows that compactions dropped since the log was opened.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn dead(&self) -> u64 {
        self.dead.load(Ordering::Relaxed)
    }
}

/// Ends [`Floors::tidying`].
struct Tidying<'a>(&'a Floors);

impl Drop for Tidying<'_> {
    fn drop(&mut self) {
        self.0.tidying.store(false, Ordering::Release);
    }
}

impl MessageLog {
    /// Whether [`Self::tidy`] would do something, and nobody does.
    #[must_use]
    pub fn is_untidy(&self) -> bool {
        let floors = &self.shared.floors;
        let dead = floors.dead();
        dead > 0
            && !floors.tidying.load(Ordering::Acquire)
            && (dead >= DROPPED_SEQS_MIN && floors.rooms().values().any(|dead| drops_tables(*dead))
                || self.is_worth_rewriting(dead))
    }

    fn is_worth_rewriting(&self, dead: u64) -> bool {
        let worth = |engine: &Engine| {
            let rows = engine.keyspace.approximate_len() as u64;
            let bytes = engine.database.disk_space()?;
            let state = rustix::fs::statvfs(&self.shared.path).map_err(std::io::Error::from)?;
            let free = state.f_bavail.saturating_mul(state.f_frsize);
            Ok(dead.saturating_mul(ROWS_PER_SEQ * DEAD_PART) >= rows
                && bytes <= REWRITTEN_BYTES_MAX
                && bytes.saturating_add(self.shared.options.free_bytes_min) <= free)
        };
        self.with_engine(worth).unwrap_or(false)
    }

    /// Gives back the space of removed rows, as the module says. Takes up to a minute or two and may run beside everything else; nothing
    /// happens when somebody else does it. Returns whether anything was done.
    ///
    /// # Errors
    /// When the disk refuses; nothing is lost, and what was not done is done next time.
    pub fn tidy(&self) -> Result<bool, StoreError> {
        let floors = &self.shared.floors;
        if floors.tidying.swap(true, Ordering::AcqRel) {
            return Ok(false);
        }
        let _done = Tidying(floors);
        if self.is_worth_rewriting(floors.dead()) {
            let dead: Vec<(RoomId, Dead)> =
                floors.rooms().iter().map(|(room, dead)| (*room, *dead)).collect();
            self.compact()?;
            for some in dead.chunks(FORGOTTEN_AT_A_TIME) {
                self.forget_floors(some)?;
            }
            self.let_go()?;
            return Ok(true);
        }
        let large: Vec<(RoomId, Dead)> = {
            let rooms = floors.rooms();
            rooms.iter().filter(|(_, dead)| drops_tables(**dead)).map(|(room, dead)| (*room, *dead)).collect()
        };
        for (room, dead) in &large {
            self.with_engine(|engine| {
                engine.write_memory()?;
                for table in [Table::Message, Table::Event, Table::Reaction] {
                    let mut end = key::by_seq(*room, table, dead.floor).to_vec();
                    // Above whatever follows the seq in a key.
                    end.extend_from_slice(&[0xff; 17]);
                    engine.keyspace.tree.drop_range(key::prefix(*room, table).to_vec()..end)?;
                }
                Ok(())
            })?;
            // What shares a table with other rows is dropped by compactions, in time.
            self.write(|engine, _, batch| {
                let now = self.shared.floors.of(*room).unwrap_or(*dead);
                let left = Dead { from: dead.floor, ..now };
                batch.insert(&engine.keyspace, key::floor(*room), value::encode_floor(left));
                Ok(super::Written { floors: vec![(*room, Some(left))], ..super::Written::default() })
            })?;
        }
        if large.is_empty() {
            return Ok(false);
        }
        self.let_go()?;
        Ok(true)
    }

    /// Removes files that are not part of the log any more. The engine keeps them until it writes out what came after they were left.
    fn let_go(&self) -> Result<(), StoreError> {
        self.with_engine(Engine::write_memory)
    }

    /// Notes that rows up to these floors are gone.
    fn forget_floors(&self, gone: &[(RoomId, Dead)]) -> Result<(), StoreError> {
        self.write(|engine, _, batch| {
            let mut written = super::Written::default();
            for (room, dead) in gone {
                let now = self.shared.floors.of(*room).filter(|now| now.floor > dead.floor);
                let left = now.map(|now| Dead { from: dead.floor, floor: now.floor });
                match left {
                    Some(left) => {
                        batch.insert(&engine.keyspace, key::floor(*room), value::encode_floor(left))
                    }
                    None => batch.remove(&engine.keyspace, key::floor(*room)),
                }
                written.floors.push((*room, left));
            }
            Ok(written)
        })
    }
}

fn drops_tables(dead: Dead) -> bool {
    dead.seqs() >= DROPPED_SEQS_MIN
}

const _: () = assert!(PREFIX_BYTES == 17, "a key begins with its room and the byte of its table");

#[cfg(test)]
mod tests {
    use std::path::Path;

    use lynk_domain::Lsn;
    use lynk_model::contract::{History, records, same_log};
    use lynk_model::memory::MemoryMessages;
    use lynk_model::port::{MessageDump as _, MessageStore as _, ready};

    use super::*;
    use crate::MessageLogOptions;

    /// Bytes that the files of a directory take on the disk, without the journal of the engine, which has a size of its own.
    fn bytes_on_disk(directory: &Path) -> u64 {
        use std::os::unix::fs::MetadataExt as _;
        let entries = std::fs::read_dir(directory).expect("a directory");
        let sizes = entries.map(|entry| {
            let path = entry.expect("an entry").path();
            match path.extension() {
                _ if path.is_dir() => bytes_on_disk(&path),
                Some(extension) if extension == "jnl" => 0,
                _ => path.metadata().map_or(0, |file| file.blocks() * 512),
            }
        });
        sizes.sum()
    }

    /// A room with so many messages of a kilobyte that do not compress well.
    fn room(number: u64, messages: u64) -> History {
        let mut history = History::new(number);
        let mut random = lynk_model::contract::Random(number);
        for _ in 0..messages {
            let text: String = (0..60).map(|_| format!("{:016x}", random.draw())).collect();
            let sender = history.users[random.below(4) as usize];
            history.post(sender, Seq(0), &text);
        }
        history
    }

    #[test]
    fn the_space_of_removed_messages_is_given_back() {
        const MESSAGES: u64 = 20_000;
        let directory = tempfile::tempdir().expect("a directory");
        let mut log = MessageLog::open(directory.path(), MessageLogOptions::default()).expect("opens");
        let mut reference = MemoryMessages::default();
        let mut rooms = [room(1, MESSAGES), room(2, MESSAGES)];
        let mut lsn = 0;
        for history in &rooms {
            for batch in history.records.chunks(1_000) {
                lsn += 1;
                ready(log.append("1/0", Lsn(lsn), &records(batch))).expect("appends");
                ready(reference.append("1/0", Lsn(lsn), &records(batch))).expect("appends");
            }
        }
        log.compact().expect("compacts");
        let full = bytes_on_disk(directory.path());
        assert!(full > 2 * MESSAGES * 500, "{full} bytes");
        assert!(!log.is_untidy());
        for history in &mut rooms {
            let before = history.records.len();
            history.retain(Seq(MESSAGES * 9 / 10));
            lsn += 1;
            ready(log.append("1/0", Lsn(lsn), &records(&history.records[before..]))).expect("appends");
            ready(reference.append("1/0", Lsn(lsn), &records(&history.records[before..]))).expect("appends");
        }
        assert!(log.is_untidy());
        assert_eq!(log.tidy(), Ok(true));
        let left = bytes_on_disk(directory.path());
        assert!(left < full / 4, "{left} of {full} bytes are left of a tenth");
        assert!(!log.is_untidy());
        assert!(log.shared.floors.rooms().is_empty());
        assert!(log.stats().removed_rows >= 2 * MESSAGES * 9 / 10);
        // Nothing of it returns with a replay, nor after a restart.
        drop(log);
        let mut log = MessageLog::open(directory.path(), MessageLogOptions::default()).expect("opens");
        for history in &rooms {
            for batch in history.records.chunks(1_000) {
                ready(log.append("1/1", Lsn(1), &records(batch))).expect("appends");
            }
            let rows = ready(log.log_rows(history.room, Seq(1), Seq(MESSAGES * 9 / 10))).expect("readable");
            assert!(rows.is_empty(), "{} rows are back", rows.len());
            let (top, floor) = (history.top(), Seq(MESSAGES * 9 / 10));
            let kept = ready(log.log_rows(history.room, floor, top)).expect("readable");
            assert_eq!(kept, ready(reference.log_rows(history.room, floor, top)).expect("readable"));
        }
        log.compact().expect("compacts");
        let again = bytes_on_disk(directory.path());
        assert!(again < full / 4, "{again} of {full} bytes after a replay");
    }

    #[test]
    fn rows_that_wait_to_be_dropped_are_known_after_a_restart() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut log = MessageLog::open(directory.path(), MessageLogOptions::default()).expect("opens");
        let mut history = room(3, 50);
        history.retain(Seq(20));
        ready(log.append("1/0", Lsn(1), &records(&history.records))).expect("appends");
        let dead = Dead { from: Seq(0), floor: Seq(20) };
        assert_eq!(log.shared.floors.of(history.room), Some(dead));
        assert_eq!(log.with_engine(Engine::format), Ok(Some(super::super::format::FLOORS)));
        drop(log);
        let mut log = MessageLog::open(directory.path(), MessageLogOptions::default()).expect("opens");
        assert_eq!(log.shared.floors.of(history.room), Some(dead));
        history.retain(Seq(30));
        ready(log.append("1/0", Lsn(2), &records(&history.records[51..]))).expect("appends");
        assert_eq!(log.shared.floors.of(history.room), Some(Dead { floor: Seq(30), ..dead }));
        assert_eq!(log.shared.floors.dead(), 30);
        log.tidy().expect("tidies");
        assert_eq!((log.shared.floors.of(history.room), log.shared.floors.dead()), (None, 0));
        let mut reference = MemoryMessages::default();
        ready(reference.append("1/0", Lsn(1), &records(&history.records))).expect("appends");
        same_log(&history, &log, &reference);
    }

    #[test]
    fn tables_of_a_large_room_are_dropped_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut log = MessageLog::open(directory.path(), MessageLogOptions::default()).expect("opens");
        let (mut history, other) = (room(4, 2_000), room(5, 2_000));
        for of in [&history, &other] {
            ready(log.append("1/0", Lsn(1), &records(&of.records))).expect("appends");
        }
        log.compact().expect("compacts");
        history.retain(Seq(1_000));
        ready(log.append("1/0", Lsn(2), &records(&history.records[2_000..]))).expect("appends");
        // As if the room were large: the tables here hold other rows, too, and must stay.
        log.with_engine(|engine| {
            let end = key::by_seq(history.room, Table::Message, Seq(1_000)).to_vec();
            Ok(engine.keyspace.tree.drop_range(key::prefix(history.room, Table::Message).to_vec()..end)?)
        })
        .expect("drops");
        let mut reference = MemoryMessages::default();
        for of in [&history, &other] {
            ready(reference.append("1/0", Lsn(1), &records(&of.records))).expect("appends");
        }
        same_log(&history, &log, &reference);
        same_log(&other, &log, &reference);
    }
}
