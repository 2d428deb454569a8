//! What one record costs the shard that appends it, without any I/O:
//! `valgrind --tool=callgrind --callgrind-out-file=/dev/null append_cost RECORDS [PAYLOAD_BYTES]`,
//! run with two counts; the difference divided by the difference of the counts is one record's instructions.

#![forbid(unsafe_code)]

use lynk_domain::{Key, Lsn, Millis, Nanos, RoomId, Seq, UserId};
use lynk_journal::format::SegmentHeader;
use lynk_journal::limits::SEGMENT_BYTES;
use lynk_journal::{PreparedSegment, WriteOutcome, Writer, WriterLimits};
use lynk_model::{Record, RecordHead, RecordKind};

/// Records that one sync commits; 5,000 messages a second at 4 ms a sync make 20.
const BATCH_RECORDS: u64 = 20;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let records = arguments.next().and_then(Result::ok).unwrap_or(100_000) as u64;
    let payload = vec![0x61; arguments.next().and_then(Result::ok).unwrap_or(128)];
    let head = RecordHead {
        kind: RecordKind::Message,
        flags: 0,
        room: RoomId([1; 16]),
        seq: Seq(1),
        rev: Seq(1),
        wall: Millis(1),
        sender: UserId([2; 16]),
        key: Key([3; 16]),
    };
    let mut writer: Writer<u32> = Writer::new(WriterLimits::default());
    for lsn in 1..=records {
        let appended = writer.append(&Record { head, payload: &payload }, Lsn(lsn));
        assert_eq!(appended, Ok(()), "every batch is committed at once");
        if lsn % BATCH_RECORDS == 0 {
            commit(&mut writer);
        }
    }
}

fn commit(writer: &mut Writer<u32>) {
    if writer.wants_segment() {
        let index = u32::try_from(writer.counts().segments).expect("few segments");
        let header = SegmentHeader { id: u64::from(index), generation: 1, shard: 0, index, rewrites: Lsn(0) };
        writer.supply(PreparedSegment { header, file: index, bytes: SEGMENT_BYTES });
    }
    if let Some(op) = writer.next_write(Nanos(0)) {
        writer.finish(op, WriteOutcome::Durable, Nanos(0)).expect("nothing fails");
    }
}
