//! Recovery of a journal whose files were changed in any way: no panic, no record that was never written, and the same
//! answer when it is asked again.
//!
//! Input: a journal is built from the first byte, then each five bytes are one change: what, which segment, where
//! (two bytes), and a value. After a change that repairs checksums, records may be forged, and only the agreement of
//! recovery, verify, reader and a second recovery is checked.

#![no_main]

use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;
use lynk_domain::{Key, Lsn, Millis, Nanos, RoomId, Seq, ShardId, UserId};
use lynk_journal::format::{self, HEADER_BYTES, SegmentHeader};
use lynk_journal::layout::segment_path;
use lynk_journal::limits::SEGMENT_BYTES_MIN;
use lynk_journal::{
    Disk as _, Keeper, KeeperOptions, MemoryDisk, Reader, RecoverError, RecoverOptions, Recovered, Writer,
    WriterLimits, execute, recover, verify,
};
use lynk_model::port::RecordSource as _;
use lynk_model::{OwnedRecord, RecordHead, RecordKind};

const SEGMENTS: u32 = 4;

fn root() -> &'static Path {
    Path::new("/journal")
}

fn path(segment: u8) -> PathBuf {
    segment_path(root(), 1, 0, u32::from(segment) % SEGMENTS)
}

fn record(lsn: u64) -> OwnedRecord {
    let head = RecordHead {
        kind: RecordKind::Message,
        flags: 0,
        room: RoomId([(lsn % 3) as u8; 16]),
        seq: Seq(lsn),
        rev: Seq(lsn),
        wall: Millis(lsn),
        sender: UserId([1; 16]),
        key: Key([2; 16]),
    };
    OwnedRecord { head, payload: vec![lsn as u8; (lsn * 37 % 400) as usize] }
}

/// A journal of up to four segments in batches of 1 to 16 records.
fn build(batch: u64) -> MemoryDisk {
    let disk = MemoryDisk::with_root(root());
    let mut options = KeeperOptions::new(root(), 1, 1, 9);
    options.segment_bytes = SEGMENT_BYTES_MIN;
    let mut keeper = Keeper::create(disk.clone(), options, 0).expect("an empty disk");
    let limits = WriterLimits { uncommitted_bytes_high: 8 << 10, uncommitted_bytes_max: 12 << 10, gather_nanos: 0 };
    let mut writer = Writer::new(limits);
    let mut prepared = 0;
    let mut lsn = 1;
    for _ in 0..120 / batch {
        for _ in 0..batch {
            writer.append(&record(lsn).borrow(), Lsn(lsn)).expect("room");
            lsn += 1;
        }
        if writer.wants_segment() && prepared < SEGMENTS {
            writer.supply(keeper.prepare(ShardId(0)).expect("space"));
            prepared += 1;
        }
        let Some(op) = writer.next_write(Nanos(0)) else { break };
        let outcome = execute(&op);
        writer.finish(op, outcome, Nanos(0)).expect("the disk works");
    }
    disk
}

/// Changes one file. True when the change can forge records.
fn change(disk: &MemoryDisk, [what, segment, low, high, value]: [u8; 5]) -> bool {
    let path = path(segment);
    let Ok(mut content) = disk.content(&path) else { return false };
    let at = usize::from(u16::from_le_bytes([low, high]));
    let length = usize::from(value) * 8;
    let end = (at + length).min(content.len());
    match what % 8 {
        0 => content.get_mut(at).into_iter().for_each(|byte| *byte ^= value),
        1 if at < end => content[at..end].fill(0),
        2 => content.truncate(at),
        3 => {
            let _gone = disk.remove(&path);
            return false;
        }
        4 => {
            // A stretch of another segment, as of an earlier use of the same blocks.
            let other = disk.content(&self::path(segment.wrapping_add(1))).unwrap_or_default();
            if let (Some(to), Some(from)) = (content.get_mut(at..end), other.get(at..end)) {
                to.copy_from_slice(from);
            }
        }
        5 => content.resize(content.len() + length, value),
        6 => {
            seal_at(&mut content, at);
            disk.set_content(&path, content);
            return true;
        }
        7 => {
            seal_header(&mut content);
            disk.set_content(&path, content);
            return true;
        }
        _ => {}
    }
    disk.set_content(&path, content);
    false
}

/// Gives the bytes at a record's place the checksum of a good record.
fn seal_at(content: &mut [u8], at: usize) {
    let Ok(header) = SegmentHeader::decode(content) else { return };
    let at = at & !7;
    let Some(length) = content.get(at + 4..at + 8).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes)
    else {
        return;
    };
    let bytes = format::record_bytes(length.min(1 << 20) as usize);
    if let Some(record) = content.get_mut(at..at + bytes).filter(|_| at as u64 >= HEADER_BYTES) {
        format::seal(record, header.seed());
    }
}

fn seal_header(content: &mut [u8]) {
    if let Some((head, crc)) = content.first_chunk_mut::<64>().map(|used| used.split_at_mut(60)) {
        crc.copy_from_slice(&crc32c::crc32c(head).to_le_bytes());
    }
}

fn recovered(disk: &MemoryDisk, seed: u64) -> Option<Recovered> {
    let options = RecoverOptions::new(root().to_owned(), 1, seed);
    match recover(disk, &options, &mut |_| Ok(Lsn(0)), &mut |_| {}) {
        Ok(recovered) => Some(recovered),
        Err(RecoverError::Damage(damage)) => {
            assert!(!damage.path.as_os_str().is_empty() && !damage.to_string().is_empty());
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn read_all(disk: &MemoryDisk, recovered: &Recovered) -> Vec<(Lsn, OwnedRecord)> {
    let mut reader = Reader::new(disk.clone(), root(), recovered, Vec::new());
    let mut found = Vec::new();
    for source in &recovered.sources {
        for lsn in (source.first.0..=source.last.0).filter(|lsn| *lsn != 0).map(Lsn) {
            let record = reader.read(source.id, lsn).expect("recovered records are readable");
            found.push((lsn, record.expect("nothing was released")));
        }
    }
    found
}

fuzz_target!(|input: &[u8]| {
    let Some((first, changes)) = input.split_first() else { return };
    let disk = build(u64::from(first % 16) + 1);
    let mut forged = false;
    for bytes in changes.as_chunks::<5>().0.iter().take(64) {
        forged |= change(&disk, *bytes);
    }
    let account = verify(&disk, root(), &mut |_, _| Some(Lsn(0))).expect("a disk that works");
    let Some(once) = recovered(&disk, 1) else {
        assert!(!account.is_sound(), "refused, but sound:\n{account}");
        return;
    };
    assert!(account.is_sound(), "accepted, but not sound:\n{account}");
    let found = read_all(&disk, &once);
    assert_eq!(found.len() as u64, once.undrained_records);
    assert_eq!(once.rooms.iter().map(|(_, records)| records.len()).sum::<usize>(), found.len());
    if !forged {
        for (lsn, found) in &found {
            assert_eq!(found, &record(lsn.0), "record {}", lsn.0);
        }
    }
    let mut random = u64::from(*first);
    disk.crash(&mut || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        random >> 33
    });
    let again = recovered(&disk, 2).expect("what was recovered once is sound");
    assert_eq!(read_all(&disk, &again), found, "a second start, after a power cut, finds the same");
});
