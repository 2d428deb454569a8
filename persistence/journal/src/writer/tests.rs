//! The writer alone, with numbers for files.

use lynk_domain::{Key, Millis, RoomId, Seq, UserId};
use lynk_model::{RecordHead, RecordKind};

use super::*;
use crate::limits::SEGMENT_BYTES_MIN;

const LIMITS: WriterLimits =
    WriterLimits { uncommitted_bytes_high: 2_000, uncommitted_bytes_max: 4_000, gather_nanos: GATHER_NANOS };
const BLOCK: u64 = BLOCK_BYTES as u64;
const NOW: Nanos = Nanos(5);

/// When nothing has to be gathered any more, `rounds` times over.
fn later(rounds: u32) -> Nanos {
    NOW.after(u64::from(rounds) * GATHER_NANOS)
}

fn head() -> RecordHead {
    RecordHead {
        kind: RecordKind::Message,
        flags: 0,
        room: RoomId([1; 16]),
        seq: Seq(1),
        rev: Seq(1),
        wall: Millis(1),
        sender: UserId([2; 16]),
        key: Key([3; 16]),
    }
}

fn segment(index: u32) -> PreparedSegment<u32> {
    let header =
        SegmentHeader { id: 77 + u64::from(index), generation: 1, shard: 0, index, rewrites: Lsn(0) };
    PreparedSegment { header, file: index, bytes: SEGMENT_BYTES_MIN }
}

fn writer() -> Writer<u32> {
    let mut writer = Writer::new(LIMITS);
    writer.supply(segment(0));
    writer
}

fn append(writer: &mut Writer<u32>, payload: &[u8]) -> Result<(), AppendError> {
    let lsn = Lsn(writer.last.0 + 1);
    writer.append(&Record { head: head(), payload }, lsn)
}

/// Numbers of the records in a batch, and the batch's name.
fn lsns(op: &WriteOp<u32>, seed: u32) -> (Vec<u64>, Lsn) {
    let (mut found, mut batch, mut rest) = (Vec::new(), Lsn(0), op.bytes());
    while rest.iter().any(|byte| *byte != 0) {
        let decoded = format::decode(rest, seed).expect("sealed");
        found.push(decoded.lsn.0);
        batch = decoded.batch;
        rest = &rest[decoded.bytes..];
    }
    assert!(rest.len() < BLOCK_BYTES && op.bytes().len().is_multiple_of(BLOCK_BYTES));
    (found, batch)
}

#[test]
fn one_batch_is_out_while_the_next_fills() {
    let mut writer = writer();
    assert!(writer.next_write(NOW).is_none(), "nothing to write");
    for _ in 0..3 {
        append(&mut writer, b"a").expect("room");
    }
    let op = writer.next_write(NOW).expect("a batch");
    assert_eq!((op.offset(), lsns(&op, segment(0).header.seed())), (HEADER_BYTES, (vec![1, 2, 3], Lsn(1))));
    append(&mut writer, b"b").expect("room");
    assert!(writer.next_write(NOW).is_none(), "the first batch is not synced");
    assert_eq!(writer.committed().get(), Lsn(0));
    let end = op.offset() + op.bytes().len() as u64;
    assert_eq!(writer.finish(op, WriteOutcome::Durable, NOW), Ok(Progress::Committed(Lsn(3))));
    assert_eq!(writer.committed().get(), Lsn(3));
    // The first batch had several records: more may come.
    assert_eq!(writer.next_deadline(), Some(later(1)));
    assert!(writer.next_write(Nanos(later(1).0 - 1)).is_none());
    let op = writer.next_write(later(1)).expect("the next batch");
    assert_eq!((op.offset(), lsns(&op, segment(0).header.seed())), (end, (vec![4], Lsn(4))));
    assert!(!writer.is_idle());
    append(&mut writer, b"c").expect("room");
    assert_eq!(writer.next_deadline(), None);
    assert_eq!(writer.finish(op, WriteOutcome::Durable, NOW), Ok(Progress::Committed(Lsn(4))));
    let op = writer.next_write(later(1)).expect("a quiet journal writes at once");
    assert_eq!(writer.finish(op, WriteOutcome::Durable, NOW), Ok(Progress::Committed(Lsn(5))));
    assert!(writer.is_idle());
}

/// Records of 1,000 bytes until a batch has five blocks, which the limits of these tests do not hold.
fn five_blocks() -> (Writer<u32>, WriteOp<u32>) {
    let mut writer = Writer::new(WriterLimits { uncommitted_bytes_max: 30_000, ..LIMITS });
    let bytes = 64 << 10;
    writer.supply(PreparedSegment { bytes, ..segment(0) });
    for _ in 0..17 {
        append(&mut writer, &[9; 1_000]).expect("room");
    }
    let op = writer.next_write(NOW).expect("a batch");
    assert_eq!(op.bytes().len(), 5 * BLOCK_BYTES);
    (writer, op)
}

#[test]
fn a_short_write_continues_with_the_first_block_that_is_not_whole() {
    for (step, blocks) in
        [(BLOCK_BYTES, 1), (BLOCK_BYTES + 1, 1), (3 * BLOCK_BYTES - 1, 2), (4 * BLOCK_BYTES, 4)]
    {
        let (mut writer, mut op) = five_blocks();
        let mut done = 0;
        while op.bytes().len() > step {
            assert_eq!(writer.finish(op, WriteOutcome::Short(step), NOW), Ok(Progress::Unfinished));
            assert_eq!((writer.committed().get(), writer.state()), (Lsn(0), State::Busy));
            done += blocks;
            op = writer.next_write(NOW).expect("the rest");
            assert_eq!(op.offset(), HEADER_BYTES + done * BLOCK);
            assert_eq!(op.bytes().len() as u64, (5 - done) * BLOCK);
        }
        assert_eq!(writer.finish(op, WriteOutcome::Durable, NOW), Ok(Progress::Committed(Lsn(17))));
    }
}

#[test]
fn an_interrupted_write_goes_out_again() {
    let mut writer = writer();
    append(&mut writer, b"a").expect("room");
    let op = writer.next_write(NOW).expect("the batch");
    assert_eq!(writer.finish(op, WriteOutcome::Interrupted, NOW), Ok(Progress::Unfinished));
    let op = writer.next_write(NOW).expect("the batch");
    assert_eq!((op.offset(), op.bytes().len()), (HEADER_BYTES, BLOCK_BYTES));
}

#[test]
fn a_full_disk_pauses_the_batch_and_nothing_is_lost() {
    let mut writer = writer();
    append(&mut writer, b"a").expect("room");
    let outcomes = [WriteOutcome::Full, WriteOutcome::Short(0), WriteOutcome::Short(BLOCK_BYTES - 1)];
    for outcome in outcomes {
        let op = writer.next_write(writer.next_deadline().unwrap_or(NOW)).expect("the batch");
        assert_eq!(writer.finish(op, outcome, NOW), Ok(Progress::Unfinished));
        assert_eq!(writer.state(), State::DiskFull);
        assert!(writer.next_write(NOW).is_none());
    }
    let deadline = writer.next_deadline().expect("a pause");
    let op = writer.next_write(deadline).expect("the batch");
    assert_eq!(writer.finish(op, WriteOutcome::Durable, NOW), Ok(Progress::Committed(Lsn(1))));
    assert_eq!((writer.state(), writer.next_deadline()), (State::Open, None));
    assert_eq!(writer.counts().full_writes, 3);
}

#[test]
fn a_failed_write_is_fatal_and_commits_nothing() {
    let mut writer = writer();
    append(&mut writer, b"a").expect("room");
    let op = writer.next_write(NOW).expect("the batch");
    let fatal = Fatal(io::ErrorKind::Other);
    assert_eq!(writer.finish(op, WriteOutcome::Failed(fatal), NOW), Err(fatal));
    assert_eq!(writer.committed().get(), Lsn(0));
}

#[test]
fn a_batch_that_does_not_fit_goes_whole_to_the_next_segment_sealed_for_it() {
    let mut writer = writer();
    let mut moved = false;
    for round in 0..20 {
        for _ in 0..4 {
            append(&mut writer, &[1; 500]).expect("room");
        }
        let Some(op) = writer.next_write(later(round)) else {
            assert!(writer.wants_segment());
            writer.supply_refused();
            assert_eq!(writer.state(), State::DiskFull, "it waits for a segment, and there is no space");
            writer.supply(segment(1));
            assert_ne!(writer.state(), State::DiskFull);
            let op = writer.next_write(later(round)).expect("the batch");
            assert_eq!((*op.file(), op.offset()), (1, HEADER_BYTES));
            let (numbers, batch) = lsns(&op, segment(1).header.seed());
            assert_eq!((numbers.len(), batch.0), (4, numbers[0]));
            moved = true;
            break;
        };
        assert!(op.offset() + op.bytes().len() as u64 <= SEGMENT_BYTES_MIN);
        writer.finish(op, WriteOutcome::Durable, NOW).expect("not fatal");
    }
    assert!(moved);
}

#[test]
fn a_refused_spare_does_not_matter_before_it_is_needed() {
    let mut writer = writer();
    append(&mut writer, b"a").expect("room");
    let op = writer.next_write(NOW).expect("the batch");
    writer.supply_refused();
    assert_eq!(writer.state(), State::Open);
    writer.finish(op, WriteOutcome::Durable, NOW).expect("not fatal");
    append(&mut writer, b"a").expect("room");
    assert_eq!(writer.state(), State::Open);
}

#[test]
fn without_a_spare_the_disk_is_full_before_a_record_would_wait_for_space() {
    let mut writer = writer();
    append(&mut writer, b"a").expect("room");
    let op = writer.next_write(NOW).expect("the first batch takes the spare");
    writer.finish(op, WriteOutcome::Durable, NOW).expect("not fatal");
    writer.supply_refused();
    while writer.state() == State::Open {
        append(&mut writer, &[1; 500]).expect("room");
        let op = writer.next_write(NOW).expect("everything that was taken has space");
        writer.finish(op, WriteOutcome::Durable, NOW).expect("not fatal");
    }
    assert_eq!((writer.state(), writer.is_idle()), (State::DiskFull, true));
    // What was on its way when the state changed.
    append(&mut writer, &[1; 1_500]).expect("room");
    let op = writer.next_write(NOW).expect("it has space");
    writer.finish(op, WriteOutcome::Durable, NOW).expect("not fatal");
    writer.supply(segment(1));
    assert_eq!(writer.state(), State::Open);
}

#[test]
fn appends_beyond_the_bounds_are_reported_then_refused() {
    let mut writer = writer();
    while writer.state() == State::Open {
        append(&mut writer, &[0; 100]).expect("room");
    }
    assert_eq!(writer.state(), State::Busy);
    assert!(writer.uncommitted_bytes() >= LIMITS.uncommitted_bytes_high);
    // Both batches count.
    let op = writer.next_write(NOW).expect("a batch");
    assert_eq!(writer.state(), State::Busy);
    while append(&mut writer, &[0; 100]).is_ok() {}
    assert_eq!(append(&mut writer, &[0; 100]), Err(AppendError::Full));
    assert!(writer.uncommitted_bytes() <= LIMITS.uncommitted_bytes_max);
    writer.finish(op, WriteOutcome::Durable, NOW).expect("not fatal");
    assert_eq!(append(&mut writer, &[0; 100]), Ok(()), "the same number is taken now");
}

#[test]
fn records_out_of_order_or_too_long_are_refused() {
    let mut writer = writer();
    let record = Record { head: head(), payload: b"" };
    for lsn in [0, 2] {
        assert_eq!(writer.append(&record, Lsn(lsn)), Err(AppendError::Order));
    }
    let long = vec![0; PAYLOAD_BYTES_MAX + 1];
    assert_eq!(append(&mut writer, &long), Err(AppendError::PayloadTooLong));
    assert!(writer.is_idle());
}

#[test]
fn two_buffers_take_turns_so_that_a_warm_writer_does_not_allocate() {
    let mut writer = writer();
    let mut addresses = std::collections::BTreeSet::new();
    for round in 0..30 {
        for _ in 0..3 {
            append(&mut writer, &[0; 60]).expect("room");
        }
        if writer.wants_segment() {
            writer.supply(segment(round + 1));
        }
        let op = writer.next_write(later(round)).expect("a batch");
        if round >= 2 {
            addresses.insert(op.bytes().as_ptr() as usize);
        }
        writer.finish(op, WriteOutcome::Durable, NOW).expect("not fatal");
    }
    assert_eq!(addresses.len(), 2);
}

#[test]
fn completions_are_told_apart() {
    let fatal = |errno: i32| WriteOutcome::Failed(Fatal(io::Error::from_raw_os_error(errno).kind()));
    let (eio, enospc, edquot, eintr, eagain) = (5, 28, 122, 4, 11);
    for (written, outcome) in [
        (8_192, WriteOutcome::Durable),
        (4_096, WriteOutcome::Short(4_096)),
        (0, WriteOutcome::Short(0)),
        (-eio, fatal(eio)),
        (-enospc, WriteOutcome::Full),
        (-edquot, WriteOutcome::Full),
        (-eintr, WriteOutcome::Interrupted),
        (-eagain, WriteOutcome::Interrupted),
    ] {
        assert_eq!(WriteOutcome::from_raw(8_192, written), outcome, "{written}");
    }
}
