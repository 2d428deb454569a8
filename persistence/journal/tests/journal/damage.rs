//! Torn tails are cut, damage is refused with file and offset, and no bytes on disk make a wrong record.

use std::ops::Range;
use std::path::PathBuf;

use lynk_domain::{Lsn, ShardId};
use lynk_journal::format::{self, BadHeader, BadRecord, HEADER_BYTES, SegmentHeader};
use lynk_journal::layout::segment_path;
use lynk_journal::limits::BLOCK_BYTES;
use lynk_journal::{BlockBuffer, Damage, MemoryDisk, RecoverError, Recovered, Why, verify};

use crate::harness::{Boot, MemoryStore, check_recovered, new_disk, record_at, recover_with, root};

/// Records of the three batches that the small journal has.
const BATCHES: [u64; 3] = [3, 2, 4];

/// A journal of one segment.
struct Small {
    path: PathBuf,
    content: Vec<u8>,
    /// Where the records are, record 1 first.
    records: Vec<Range<usize>>,
}

fn small() -> Small {
    let disk = new_disk();
    let mut boot = Boot::start(&disk, &MemoryStore::default(), 1, 7).expect("an empty disk");
    for records in BATCHES {
        boot.append(ShardId(0), records);
        boot.commit(ShardId(0)).expect("no fault is set");
    }
    let path = segment_path(root(), 1, 0, 0);
    let content = disk.content(&path).expect("the first segment");
    let (mut records, mut at) = (Vec::new(), usize::try_from(HEADER_BYTES).expect("small"));
    for batch in BATCHES {
        at = at.next_multiple_of(BLOCK_BYTES);
        for _ in 0..batch {
            let lsn = records.len() as u64 + 1;
            let end = at + format::record_bytes(record_at(1, 0, lsn).payload.len());
            records.push(at..end);
            at = end;
        }
    }
    Small { path, content, records }
}

impl Small {
    fn recover(&self, content: Vec<u8>) -> Result<Recovered, RecoverError> {
        let disk = new_disk();
        disk.set_content(&self.path, content);
        recover_all(&disk)
    }

    /// Leading records whose bytes are as they were written.
    fn untouched(&self, content: &[u8]) -> u64 {
        let same = |r: &&Range<usize>| content.get((*r).clone()) == Some(&self.content[(*r).clone()]);
        self.records.iter().take_while(same).count() as u64
    }

    /// Where the last record ends.
    fn end(&self) -> usize {
        self.records.last().expect("nine records").end
    }

    /// Records of every batch but the last.
    fn before_last_batch(&self) -> u64 {
        BATCHES[..BATCHES.len() - 1].iter().sum()
    }
}

/// Recovers and checks every record found.
fn recover_all(disk: &MemoryDisk) -> Result<Recovered, RecoverError> {
    let mut boot = Boot::start(disk, &MemoryStore::default(), 1, 8)?;
    check_recovered(&mut boot);
    Ok(boot.recovered)
}

fn damage(outcome: Result<Recovered, RecoverError>) -> Damage {
    match outcome {
        Err(RecoverError::Damage(damage)) => damage,
        other => panic!("expected damage, got {other:?}"),
    }
}

#[test]
fn a_tail_torn_at_any_byte_leaves_the_records_before_it() {
    let small = small();
    for cut in small.records[0].start..=small.end() {
        let mut zeroed = small.content.clone();
        zeroed[cut..].fill(0);
        let shortened = small.content[..cut].to_vec();
        let mut garbage = small.content.clone();
        garbage[cut..].fill(0xa7);
        for content in [zeroed, shortened, garbage] {
            let whole = small.untouched(&content);
            let recovered = small.recover(content).expect("a torn tail is no damage");
            assert_eq!(recovered.sources[0].last, Lsn(whole), "cut at {cut}");
        }
    }
}

#[test]
fn whatever_lies_between_two_batches_hides_nothing() {
    let small = small();
    let mut content = small.content.clone();
    for batch_end in [3, 5, 9] {
        let end = small.records[batch_end - 1].end;
        content[end..end.next_multiple_of(BLOCK_BYTES)].fill(0xa7);
    }
    assert_eq!(small.recover(content).expect("no record was touched").sources[0].last, Lsn(9));
}

#[test]
fn a_torn_tail_is_counted_and_an_unused_end_is_not() {
    let small = small();
    let intact = small.recover(small.content.clone()).expect("intact");
    assert_eq!((intact.cut_tails, intact.cut_bytes), (0, 0));
    let mut torn = small.content.clone();
    torn[small.records[6].start + 30] ^= 1;
    let recovered = small.recover(torn).expect("a torn tail is no damage");
    let remains = small.end() - small.records[6].start;
    assert_eq!((recovered.cut_tails, recovered.cut_bytes), (1, remains as u64));
    assert_eq!(recovered.sources[0].last, Lsn(6));
}

#[test]
fn a_bad_record_before_the_last_batch_is_refused_with_its_place() {
    let small = small();
    for (record, place) in small.records.iter().enumerate() {
        let mut content = small.content.clone();
        content[place.start + 60] ^= 0x10;
        let outcome = small.recover(content);
        if (record as u64) < small.before_last_batch() {
            let damage = damage(outcome);
            assert_eq!((damage.path, damage.offset), (small.path.clone(), place.start as u64));
        } else {
            assert_eq!(outcome.expect("a torn tail").sources[0].last, Lsn(record as u64));
        }
    }
}

#[test]
fn no_flipped_bit_makes_a_wrong_record_or_hides_a_synced_batch() {
    let small = small();
    let all: u64 = BATCHES.iter().sum();
    let within = |byte: usize| small.records.iter().any(|record| record.contains(&byte));
    // Of what pads a batch, what is next to records.
    let near = |byte: &usize| within(byte.saturating_sub(120)) || within(byte + 120);
    let header = 0..64;
    for byte in header.chain((small.records[0].start - 8..small.end() + 200).filter(near)) {
        for bit in 0..8 {
            let mut content = small.content.clone();
            content[byte] ^= 1 << bit;
            match small.recover(content) {
                Ok(recovered) => {
                    let last = recovered.sources[0].last.0;
                    assert!(last >= small.before_last_batch(), "byte {byte} bit {bit}");
                    assert!(last == all || byte >= small.records[small.before_last_batch() as usize].start);
                    assert!(last < all || !within(byte), "byte {byte} bit {bit}");
                }
                Err(RecoverError::Damage(damage)) => {
                    assert_eq!(damage.path, small.path);
                    assert!(damage.offset <= byte as u64, "byte {byte} bit {bit}");
                }
                Err(other) => panic!("byte {byte} bit {bit}: {other}"),
            }
        }
    }
}

#[test]
fn a_torn_first_record_of_a_batch_is_told_from_damage_by_the_batch_after_it() {
    // Record 6 starts the last batch, record 4 the one before: the same wound, with and without a later batch.
    let small = small();
    let mut tail = small.content.clone();
    tail[small.records[5].clone()].fill(0);
    assert_eq!(small.recover(tail).expect("torn").sources[0].last, Lsn(5));
    let mut middle = small.content.clone();
    middle[small.records[3].clone()].fill(0);
    let found = damage(small.recover(middle));
    assert_eq!(found.offset, small.records[2].end as u64, "where nothing claims to be record 4");
    let why = Why::Record { lsn: Lsn(4), bad: BadRecord::Empty, later_batch: Lsn(6) };
    assert_eq!(found.why, why);
}

#[test]
fn records_of_an_earlier_life_of_the_file_do_not_count() {
    let small = small();
    let mut content = small.content.clone();
    // Records 10 and on, in the right places, but sealed for another segment.
    let mut stale = BlockBuffer::default();
    for lsn in 10..=14 {
        format::encode(
            &record_at(1, 0, lsn).borrow(),
            Lsn(lsn),
            Lsn(if lsn < 12 { 10 } else { 12 }),
            &mut stale,
        );
    }
    format::seal(stale.bytes_mut(), 12_345);
    let block = small.end().next_multiple_of(BLOCK_BYTES);
    content.resize(content.len().max(block + stale.len()), 0);
    content[block..block + stale.len()].copy_from_slice(stale.bytes());
    assert_eq!(small.recover(content).expect("sound").sources[0].last, Lsn(9));
}

#[test]
fn a_segment_of_another_place_or_a_newer_format_is_refused() {
    let small = small();
    let old = SegmentHeader::decode(&small.content).expect("a header");
    let encode = |header: SegmentHeader| header.encode().bytes()[..64].to_vec();
    let foreign = encode(SegmentHeader { shard: 5, ..old });
    let mut newer = encode(old);
    newer[8] = 3;
    let crc = crc32c::crc32c(&newer[..60]);
    newer[60..].copy_from_slice(&crc.to_le_bytes());
    for (header, bad) in [(foreign, BadHeader::Place), (newer, BadHeader::Version(3))] {
        let mut content = small.content.clone();
        content[..64].copy_from_slice(&header);
        let found = damage(small.recover(content));
        assert_eq!((found.offset, found.why), (0, Why::Header(bad)));
    }
}

#[test]
fn an_intact_record_of_a_newer_kind_is_refused_even_at_the_tail() {
    let small = small();
    let old = SegmentHeader::decode(&small.content).expect("a header");
    let mut content = small.content.clone();
    let last = small.records[8].clone();
    content[last.start + 25] = 200;
    format::seal(&mut content[last.clone()], old.seed());
    let found = damage(small.recover(content));
    assert_eq!((found.offset, found.why), (last.start as u64, Why::Unreadable(BadRecord::Newer)));
}

/// A journal of several segments, none of it drained.
fn large() -> (MemoryDisk, u64) {
    let disk = new_disk();
    let mut boot = Boot::start(&disk, &MemoryStore::default(), 1, 7).expect("an empty disk");
    for _ in 0..60 {
        boot.append(ShardId(0), 5);
        boot.commit(ShardId(0)).expect("no fault is set");
    }
    let all = boot.appended[0];
    assert!(boot.writers[0].counts().segments >= 4);
    disk.restart();
    (disk, all)
}

#[test]
fn a_missing_segment_is_refused_and_a_drained_one_is_not() {
    let (disk, all) = large();
    let account = verify(&disk, root(), &mut |_, _| None).expect("readable");
    let files = &account.journals[0].files;
    let (first, second) = (&files[0], &files[1]);
    lynk_journal::Disk::remove(&disk, &second.path).expect("there");
    let found = damage(recover_all(&disk));
    assert_eq!((&found.path, found.offset), (&first.path, first.end));
    assert_eq!(found.why, Why::Missing { from: second.first, to: second.last });

    let mut store = MemoryStore::default();
    store.cursors.insert("1/0".to_owned(), second.last);
    let recovered = recover_with(&disk, &store, 1, 9).expect("all that is missing is drained");
    assert_eq!(recovered.undrained_records, all - second.last.0);
}

#[test]
fn a_tail_torn_in_an_earlier_segment_is_damage() {
    let (disk, _) = large();
    let account = verify(&disk, root(), &mut |_, _| None).expect("readable");
    let first = &account.journals[0].files[0];
    let mut content = disk.content(&first.path).expect("there");
    let end = usize::try_from(first.end).expect("small");
    content[end - 200..end].fill(0);
    disk.set_content(&first.path, content);
    let found = damage(recover_all(&disk));
    assert_eq!(found.path, first.path);
    assert!(matches!(found.why, Why::Missing { to, .. } if to == first.last), "{found}");
}

#[test]
fn a_damaged_copy_of_the_last_batch_is_refused() {
    let small = small();
    let disk = new_disk();
    disk.set_content(&small.path, small.content.clone());
    recover_all(&disk).expect("intact");
    let copy = segment_path(root(), 1, 0, 1);
    let mut content = disk.content(&copy).expect("the copy");
    let at = content.len() - 10;
    content[at] ^= 1;
    disk.set_content(&copy, content);
    assert_eq!(damage(recover_all(&disk)).path, copy);
}

#[test]
fn a_start_repeated_any_number_of_times_changes_nothing_and_leaves_few_files() {
    let small = small();
    let disk = new_disk();
    disk.set_content(&small.path, small.content.clone());
    for _ in 0..5 {
        let recovered = recover_with(&disk, &MemoryStore::default(), 1, 3).expect("sound");
        assert_eq!((recovered.sources[0].first, recovered.sources[0].last), (Lsn(1), Lsn(9)));
        assert_eq!(recovered.rewritten_records, BATCHES[2]);
        let account = verify(&disk, root(), &mut |_, _| None).expect("readable");
        let files = account.journals[0].files.len();
        assert_eq!(files, 2, "the earlier batches, and the copy of the last");
    }
}

#[test]
fn more_records_than_the_index_may_hold_are_left_to_the_drainer() {
    let (disk, all) = large();
    let mut options = lynk_journal::RecoverOptions::new(root().to_owned(), 1, 3);
    options.index_records_max = 10;
    let store = MemoryStore::default();
    let recovered =
        lynk_journal::recover(&disk, &options, &mut |name| Ok(store.cursor_of(name)), &mut |_| {})
            .expect("sound");
    assert!(recovered.overflow && recovered.rooms.is_empty());
    assert_eq!(recovered.undrained_records, all);
}

#[test]
fn an_account_names_every_file_and_what_is_wrong() {
    let small = small();
    let disk = new_disk();
    let mut content = small.content.clone();
    content[small.records[1].start + 60] ^= 1;
    disk.set_content(&small.path, content);
    let account = verify(&disk, root(), &mut |_, _| None).expect("readable");
    assert!(!account.is_sound());
    let offset = small.records[1].start;
    let text = account.to_string();
    assert_eq!(
        text,
        format!(
            "journal 1/0\n  /journal/1/0/00000000.seg: records 1 to 1 in 1 batches, ending at offset {offset} \
             of 16384\n  DAMAGED: /journal/1/0/00000000.seg at offset {offset}: record 2 is damaged (the \
             record's checksum is wrong); batch 4 after it is intact\n"
        )
    );
}
