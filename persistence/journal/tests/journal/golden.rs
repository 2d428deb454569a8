//! Journals of every format version that was ever written stay readable, byte for byte.
//!
//! `fixtures/v1/` and so on hold a data directory's `journal` and, in `records.txt` and `account.txt`, what it says;
//! `-intents` the same with the kind that was added later.
//! The files are never written again; `write_the_fixtures` shows how they were made.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use lynk_domain::{Key, Lsn, Millis, RoomId, Seq, ShardId, UserId};
use lynk_journal::layout::segment_path;
use lynk_journal::{MemoryDisk, verify};
use lynk_model::port::RecordSource as _;
use lynk_model::{Body, MetaEvent, OwnedRecord, RecordHead, RecordKind};

use crate::harness::{Boot, MemoryStore, new_disk, root};

/// A directory under `fixtures` and its segments: generation, shard, index.
struct Fixture {
    name: &'static str,
    segments: &'static [(u32, u16, u32)],
    make: fn() -> MemoryDisk,
}

const SEGMENTS: &[(u32, u16, u32)] = &[(1, 0, 0), (1, 0, 2), (1, 1, 0), (1, 1, 2), (2, 0, 0)];
const INTENT_SEGMENTS: &[(u32, u16, u32)] = &[(1, 0, 0)];
/// Written by earlier programs.
const OLD: [Fixture; 2] = [
    Fixture { name: "v1", segments: SEGMENTS, make },
    Fixture { name: "v1-intents", segments: INTENT_SEGMENTS, make: make_intents },
];
/// What this program writes.
const NEW: [Fixture; 2] = [
    Fixture { name: "v2", segments: SEGMENTS, make },
    Fixture { name: "v2-intents", segments: INTENT_SEGMENTS, make: make_intents },
];

fn fixture(of: &Fixture) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(of.name)
}

fn load(of: &Fixture) -> MemoryDisk {
    let disk = new_disk();
    for (generation, shard, index) in of.segments.iter().copied() {
        let file = segment_path(&fixture(of).join("journal"), generation, shard, index);
        let content = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        disk.set_content(&segment_path(root(), generation, shard, index), content);
    }
    disk
}

fn records(disk: &MemoryDisk) -> String {
    let mut boot = Boot::start(disk, &MemoryStore::default(), 1, 1).expect("the fixture is sound");
    let mut text = String::new();
    for source in boot.recovered.sources.clone() {
        for lsn in source.first.0..=source.last.0 {
            let found = boot.reader.read(source.id, Lsn(lsn)).expect("readable").expect("not released");
            let head = found.head;
            let payload: String = found.payload.iter().map(|b| format!("{b:02x}")).collect();
            writeln!(
                text,
                "{} {lsn} {} {} {} {} {} {} {} {payload}",
                source.name,
                head.kind as u8,
                head.room,
                head.seq.0,
                head.rev.0,
                head.wall.0,
                head.sender,
                head.key
            )
            .expect("a string grows");
        }
    }
    text
}

fn account(disk: &MemoryDisk) -> String {
    verify(disk, root(), &mut |_, _| None).expect("readable").to_string()
}

fn expected(of: &Fixture, name: &str) -> String {
    std::fs::read_to_string(fixture(of).join(name)).expect("part of the fixture")
}

#[test]
fn a_journal_of_every_version_says_what_it_always_said() {
    for of in OLD.into_iter().chain(NEW) {
        let disk = load(&of);
        assert_eq!(account(&disk), expected(&of, "account.txt"));
        assert_eq!(records(&disk), expected(&of, "records.txt"));
    }
}

#[test]
fn this_build_writes_its_version_byte_for_byte() {
    for of in NEW {
        let written = (of.make)();
        for (generation, shard, index) in of.segments.iter().copied() {
            let path = segment_path(root(), generation, shard, index);
            assert_eq!(written.content(&path).ok(), load(&of).content(&path).ok(), "{}", path.display());
        }
    }
}

/// One record of each kind that the first build knew, payloads of lengths that pad differently.
fn sample(n: u64) -> OwnedRecord {
    let kind = RecordKind::from_u8(1 + u8::try_from(n % 8).expect("small")).expect("a kind");
    let byte = u8::try_from(n).expect("small");
    let head = RecordHead {
        kind,
        flags: 0,
        room: RoomId([byte % 3 + 1; 16]),
        seq: Seq(n + 1),
        rev: Seq(n + 2),
        wall: Millis(1_764_000_000_000 + n),
        sender: if n.is_multiple_of(5) { UserId::NIL } else { UserId([0xa0 + byte; 16]) },
        key: if n.is_multiple_of(4) { Key::NIL } else { Key([0xc0 + byte; 16]) },
    };
    OwnedRecord { head, payload: (0..byte % 11).collect() }
}

/// Two boots: one with two shards, then one with a single shard that was cut off inside its last batch.
fn make() -> MemoryDisk {
    let disk = new_disk();
    let store = MemoryStore::default();
    let mut n = 0;
    for (shards, seed) in [(2, 11), (1, 12)] {
        let mut boot = Boot::start(&disk, &store, shards, seed).expect("sound");
        for shard in boot.shards() {
            for batch in [2, 1, 3] {
                for _ in 0..batch {
                    let lsn = Lsn(boot.appended[shard.index()] + 1);
                    boot.writers[shard.index()].append(&sample(n).borrow(), lsn).expect("room");
                    boot.appended[shard.index()] = lsn.0;
                    n += 1;
                }
                boot.commit(shard).expect("no fault is set");
            }
        }
        disk.restart();
    }
    shorten(&disk)
}

/// One boot whose records are a kick, a ban and a mute, with their payloads.
fn make_intents() -> MemoryDisk {
    let disk = new_disk();
    let mut boot = Boot::start(&disk, &MemoryStore::default(), 1, 13).expect("sound");
    let user = UserId([7; 16]);
    let events = [
        MetaEvent::Kicked { user, reason: "noise".to_owned() },
        MetaEvent::Banned { user, until: Millis(1_764_000_100_000), reason: String::new() },
        MetaEvent::Muted { user, until: Millis(0) },
    ];
    for (n, event) in (1..).zip(events) {
        let mut payload = Vec::new();
        Body::Intent { content_hash: 0x0123_4567_89ab_cdef + n, event }.encode(&mut payload);
        let head = RecordHead { kind: RecordKind::Intent, ..sample(n).head };
        boot.writers[0].append(&OwnedRecord { head, payload }.borrow(), Lsn(n)).expect("room");
    }
    boot.commit(ShardId(0)).expect("no fault is set");
    disk.restart();
    shorten(&disk)
}

/// Keeps the segments of the fixture, without their unused ends, the last one torn.
fn shorten(disk: &MemoryDisk) -> MemoryDisk {
    let account = verify(disk, root(), &mut |_, _| None).expect("readable");
    let small = new_disk();
    for file in account.journals.iter().flat_map(|j| &j.files).filter(|f| f.records > 0) {
        let mut content = disk.content(&file.path).expect("there");
        let torn = file.path == segment_path(root(), 2, ShardId(0).0, 0);
        content.truncate(usize::try_from(file.end).expect("small") - if torn { 9 } else { 0 });
        if torn {
            content.resize(content.len() + 200, 0);
        }
        small.set_content(&file.path, content);
    }
    small
}

#[test]
#[ignore = "makes the newest fixtures; run once for each version"]
fn write_the_fixtures() {
    for of in NEW {
        write_the_fixture(&of);
    }
}

fn write_the_fixture(of: &Fixture) {
    let disk = (of.make)();
    for (generation, shard, index) in of.segments.iter().copied() {
        let file = segment_path(&fixture(of).join("journal"), generation, shard, index);
        std::fs::create_dir_all(file.parent().expect("a directory")).expect("writable");
        let content = disk.content(&segment_path(root(), generation, shard, index)).expect("made");
        std::fs::write(file, content).expect("writable");
    }
    std::fs::write(fixture(of).join("account.txt"), account(&disk)).expect("writable");
    std::fs::write(fixture(of).join("records.txt"), records(&disk)).expect("writable");
}
