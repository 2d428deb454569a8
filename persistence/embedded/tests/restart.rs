//! What is left after an end, clean or not.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lynk_domain::{Key, Lsn, Millis, Role, RoomId, Seq, UserId};
use lynk_embedded::{FaultKind, MessageLog, MessageLogOptions, OpenError, Rooms};
use lynk_model::contract::{History, Random, records, same_log};
use lynk_model::memory::MemoryMessages;
use lynk_model::port::{MessageStore, RoomStore, ready};
use lynk_model::{
    LoadedRoom, MetaChange, MetaEvent, MetaOutcome, MetaTransaction, OwnedRecord, PageQuery, RoomRow,
    StoreError,
};

fn open(data: &Path) -> MessageLog {
    MessageLog::open(data, MessageLogOptions::default()).expect("opens")
}

fn small() -> MessageLogOptions {
    MessageLogOptions { memtable_bytes: 16 << 10, cache_bytes: 1 << 20, ..MessageLogOptions::default() }
}

fn reference(history: &[OwnedRecord]) -> MemoryMessages {
    let mut reference = MemoryMessages::default();
    ready(reference.append("x", Lsn(1), &records(history))).expect("reference");
    reference
}

#[test]
fn everything_is_there_after_a_clean_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let history = History::random(1, 200, &mut Random(5));
    for (number, batch) in history.records.chunks(50).enumerate() {
        let mut log = open(directory.path());
        ready(log.append("1/0", Lsn(number as u64 + 1), &records(batch))).expect("appends");
        if number % 2 == 0 {
            log.flush().expect("flushes");
        }
    }
    let log = open(directory.path());
    same_log(&history, &reference(&history.records), &log);
    assert_eq!(ready(log.cursor("1/0")), Ok(Lsn(4)));
}

#[test]
fn a_flush_that_cannot_be_is_refused_and_does_not_wait() {
    let directory = tempfile::tempdir().expect("a directory");
    let history = History::random(1, 50, &mut Random(5));
    let mut log = open(directory.path());
    ready(log.append("1/0", Lsn(1), &records(&history.records))).expect("appends");
    std::fs::remove_dir_all(directory.path()).expect("it goes");
    assert!(log.flush().is_err());
    drop(log);
    std::fs::create_dir(directory.path()).expect("it is made again, for whoever removes it");
}

/// The history that the killed child writes: a new one per life, in batches of ten.
fn life_history(life: u64) -> History {
    History::random(100 + life, 2_000, &mut Random(life))
}

const CHILD_DIRECTORY: &str = "LYNK_TEST_CHILD_DIRECTORY";
const CHILD_LIFE: &str = "LYNK_TEST_CHILD_LIFE";

/// Not a test by itself: the process that `kill_at_any_moment…` kills. It says which batch is stored.
#[test]
fn child_that_appends_until_it_is_killed() {
    let (Ok(directory), Ok(life)) = (std::env::var(CHILD_DIRECTORY), std::env::var(CHILD_LIFE)) else {
        return;
    };
    let life: u64 = life.parse().expect("a number");
    let mut log = MessageLog::open(&PathBuf::from(directory), small()).expect("opens");
    let mut rooms = Rooms::open(&PathBuf::from(std::env::var(CHILD_DIRECTORY).expect("set"))).expect("opens");
    for (batch, cursor) in life_history(life).records.chunks(10).zip(1u64..) {
        ready(log.append(&format!("{life}/0"), Lsn(cursor), &records(batch))).expect("appends");
        assert_eq!(ready(rooms.apply(&creation(life, cursor))).map(applied), Ok(true));
        println!("stored {cursor}");
    }
    println!("done");
    // Waits to be killed.
    loop {
        std::thread::park();
    }
}

fn room_of(life: u64, number: u64) -> RoomId {
    let mut id = [1; 16];
    id[..8].copy_from_slice(&life.to_be_bytes());
    id[8..].copy_from_slice(&number.to_be_bytes());
    RoomId(id)
}

fn applied(outcome: MetaOutcome) -> bool {
    matches!(outcome, MetaOutcome::Applied { .. })
}

fn creation(life: u64, number: u64) -> MetaTransaction {
    let (room, user) = (room_of(life, number), UserId([8; 16]));
    let name = format!("room {life} {number}");
    let row = RoomRow::new(room, lynk_domain::RoomKind::Public, &name, user, Millis(1));
    MetaTransaction {
        room,
        actor: user,
        key: Key([3; 16]),
        content_hash: 4,
        wall: Millis(1),
        change: MetaChange::Create { row, members: vec![(user, Role::Owner)] },
    }
}

#[test]
fn kill_at_any_moment_keeps_whole_batches_and_all_that_were_stored() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut random = Random(std::process::id().into());
    let mut stored_by_life = Vec::new();
    for life in 1..=6u64 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "child_that_appends_until_it_is_killed", "--nocapture"])
            .env(CHILD_DIRECTORY, directory.path())
            .env(CHILD_LIFE, life.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a child");
        let enough = 1 + random.below(150);
        let mut stored = 0;
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        for line in lines.by_ref() {
            let line = line.expect("text");
            if let Some((_, number)) = line.split_once("stored ") {
                stored = number.trim().parse().expect("a number");
            }
            if stored >= enough || line.starts_with("done") {
                break;
            }
        }
        child.kill().expect("killed");
        child.wait().expect("waited for");
        // What it said before the kill was read too late counts as well.
        for line in lines.map_while(Result::ok) {
            if let Some((_, number)) = line.split_once("stored ") {
                stored = number.trim().parse().expect("a number");
            }
        }
        assert!(stored > 0, "the child got as far as storing");
        stored_by_life.push((life, stored));

        let log = MessageLog::open(directory.path(), small()).expect("opens after a kill");
        let rooms = Rooms::open(directory.path()).expect("opens after a kill");
        for (life, stored) in &stored_by_life {
            check_life(&log, &rooms, *life, *stored);
        }
    }
}

/// The cursor tells exactly which rows are there; nothing that the child said is missing.
fn check_life(log: &MessageLog, rooms: &Rooms, life: u64, stored: u64) {
    let cursor = ready(log.cursor(&format!("{life}/0"))).expect("readable").0;
    assert!(cursor >= stored, "life {life}: {stored} batches were stored, {cursor} are there");
    let mut history = life_history(life);
    history.records.truncate(cursor as usize * 10);
    let reference = reference(&history.records);
    let room = history.room;
    assert_eq!(ready(log.head(room)), ready(reference.head(room)));
    assert_eq!(ready(log.reads(room)), ready(reference.reads(room)));
    let floor = ready(log.head(room)).expect("readable").floor;
    let (from, to) = (floor.next(), Seq(u64::MAX));
    let query = PageQuery { room, from, to, backward: false, limit: u32::MAX, bytes: u32::MAX, all: true };
    let mut shown = ready(log.page(&query)).expect("readable");
    shown.events.iter_mut().for_each(|event| event.forget_target(floor));
    assert_eq!(Ok(shown), ready(reference.page(&query)), "life {life}");
    for number in 1..=stored {
        let loaded = ready(rooms.load(room_of(life, number))).expect("readable");
        assert_eq!((loaded.members.len(), loaded.outbox.len()), (1, 1), "life {life} room {number}");
    }
    assert_eq!(ready(rooms.load(room_of(life, stored + 2))), Ok(LoadedRoom::default()));
}

#[test]
fn a_nearly_full_disk_refuses_appends_and_still_reads() {
    let directory = tempfile::tempdir().expect("a directory");
    let history = History::random(3, 50, &mut Random(3));
    let mut log = open(directory.path());
    ready(log.append("1/0", Lsn(1), &records(&history.records))).expect("appends");
    drop(log);
    let options = MessageLogOptions { free_bytes_min: u64::MAX, ..MessageLogOptions::default() };
    let mut log = MessageLog::open(directory.path(), options).expect("opens");
    let refused = ready(log.append("1/0", Lsn(2), &records(&history.records)));
    assert_eq!(refused, Err(StoreError::Unavailable));
    assert_eq!(log.take_fault().map(|fault| fault.kind), Some(FaultKind::DiskFull));
    assert_eq!(log.take_fault(), None);
    same_log(&history, &reference(&history.records), &log);
}

#[test]
fn a_second_process_and_a_newer_format_are_refused_with_advice() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = open(directory.path());
    let again = MessageLog::open(directory.path(), MessageLogOptions::default());
    assert!(matches!(again, Err(OpenError::Locked { .. })));
    drop(log);

    drop(Rooms::open(directory.path()).expect("opens"));
    let file = rusqlite::Connection::open(directory.path().join("rooms.sqlite")).expect("opens");
    file.pragma_update(None, "user_version", 99).expect("writes");
    drop(file);
    let error = Rooms::open(directory.path()).err().expect("refused");
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error}");
    assert!(error.to_string().contains("start a newer version"));
}

#[test]
fn damaged_files_are_errors_not_panics() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("rooms.sqlite"), vec![0xa5; 8_192]).expect("writes");
    match Rooms::open(directory.path()).err() {
        Some(OpenError::Engine { fault, .. }) => assert_eq!(fault.kind, FaultKind::Corrupt),
        other => panic!("{other:?}"),
    }

    let history = History::random(4, 200, &mut Random(4));
    let mut log = MessageLog::open(directory.path(), small()).expect("opens");
    ready(log.append("1/0", Lsn(1), &records(&history.records))).expect("appends");
    log.flush().expect("flushes");
    drop(log);
    let tables = directory.path().join("messages").join("keyspaces").join("1").join("tables");
    let mut flipped = 0;
    for entry in std::fs::read_dir(tables).expect("the engine's tables") {
        let path = entry.expect("an entry").path();
        let mut bytes = std::fs::read(&path).expect("readable");
        let middle = bytes.len() / 3;
        bytes[middle] ^= 0x40;
        std::fs::write(&path, bytes).expect("writes");
        flipped += 1;
    }
    assert!(flipped > 0);
    // Damage is found when the store opens or when the page is read, and is told as damage.
    let query = PageQuery {
        room: history.room,
        from: Seq(0),
        to: Seq(u64::MAX),
        backward: false,
        limit: u32::MAX,
        bytes: u32::MAX,
        all: true,
    };
    match MessageLog::open(directory.path(), small()) {
        Ok(log) => assert_eq!(ready(log.page(&query)), Err(StoreError::Corrupt)),
        Err(error) => assert!(matches!(error, OpenError::Engine { .. }), "{error}"),
    }
}

#[test]
fn results_of_keys_leave_after_their_time_and_not_before_their_event_is_confirmed() {
    let directory = tempfile::tempdir().expect("a directory");
    let day = 24 * 60 * 60 * 1_000;
    let mut rooms = Rooms::open(directory.path()).expect("opens").with_key_life(30 * day);
    let create = creation(1, 1);
    assert_eq!(ready(rooms.apply(&create)).map(applied), Ok(true));
    let mut number = 0;
    let mut joins = |rooms: &mut Rooms, wall: u64| {
        number += 1;
        let change = MetaChange::Event(MetaEvent::Pinned { target: Seq(number), on: true });
        let key = Key([100 + number as u8; 16]);
        let command = MetaTransaction { key, wall: Millis(wall), change, ..create.clone() };
        assert_eq!(ready(rooms.apply(&command)).map(applied), Ok(true));
    };
    joins(&mut rooms, 31 * day);
    let repeated = MetaOutcome::Repeated { version: 1, seq: Seq(0) };
    assert_eq!(ready(rooms.apply(&create)), Ok(repeated), "not confirmed, so kept");
    ready(rooms.confirm(create.room, 1, Seq(9))).expect("confirms");
    joins(&mut rooms, 29 * day);
    let repeated = MetaOutcome::Repeated { version: 1, seq: Seq(9) };
    assert_eq!(ready(rooms.apply(&create)), Ok(repeated), "its time is not over");
    joins(&mut rooms, 31 * day + 1);
    assert_eq!(ready(rooms.apply(&create)), Ok(MetaOutcome::Exists), "the key is forgotten");
}

/// A small file system in memory, unmounted at the end. `None` without the right to mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(bytes: u64) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let options = format!("size={bytes}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "lynk-test"]).arg(directory.path());
        let mounted = mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        mounted.then_some(Self(directory))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ended = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn the_log_survives_a_disk_that_is_full_in_the_middle_of_a_write_and_goes_on_after() {
    let Some(disk) = SmallDisk::mount(48 << 20) else {
        println!("SKIPPED: needs the right to mount a small file system");
        return;
    };
    let data = disk.0.path();
    // Without a reserve, so that the engine itself meets the full disk: while writing its journal, flushing, compacting.
    let options =
        MessageLogOptions { free_bytes_min: 0, memtable_bytes: 1 << 20, ..MessageLogOptions::default() };
    let mut log = MessageLog::open(data, options).expect("opens");
    let ballast = data.join("ballast");
    std::fs::write(&ballast, vec![1; 30 << 20]).expect("it fits");

    let mut history = History::new(7);
    let sender = history.users[0];
    let mut filler = Random(1);
    let mut stored = 0;
    let mut failures = 0;
    while failures < 3 {
        // Text that does not compress.
        let text: String = (0..2_000).map(|_| char::from(b'a' + (filler.draw() % 26) as u8)).collect();
        history.post(sender, Seq(0), &text);
        let batch = &history.records[stored..];
        match ready(log.append("1/0", Lsn(history.records.len() as u64), &records(batch))) {
            Ok(()) => stored = history.records.len(),
            Err(error) => {
                assert!(matches!(error, StoreError::Unavailable | StoreError::Unknown), "{error:?}");
                assert!(log.take_fault().is_some());
                failures += 1;
            }
        }
        assert!(history.records.len() < 100_000, "the disk is small");
    }
    std::fs::remove_file(&ballast).expect("removes");
    let rest = &history.records[stored..];
    let cursor = Lsn(history.records.len() as u64);
    let stored = (0..10).any(|_| ready(log.append("1/0", cursor, &records(rest))).is_ok());
    assert!(stored, "{:?}", log.take_fault());
    assert_eq!(ready(log.cursor("1/0")), Ok(cursor));
    let query = PageQuery {
        room: history.room,
        from: Seq(0),
        to: Seq(u64::MAX),
        backward: false,
        limit: u32::MAX,
        bytes: u32::MAX,
        all: true,
    };
    let page = ready(log.page(&query)).expect("readable");
    assert_eq!(page.events.len(), history.records.len());
    drop(log);
    let log = MessageLog::open(data, small()).expect("opens again");
    assert_eq!(ready(log.page(&query)), Ok(page));
}
