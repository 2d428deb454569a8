//! Bytes on disk: the segment header and the record. `docs/journal-format.md` is the reference.
//!
//! Thread: any; pure functions over byte slices. Nothing here allocates except the caller's growing buffer.
//!
//! A record's checksum is seeded with the random id of its segment, so bytes that an earlier life of the file
//! left behind never pass. A batch is named by the lsn of its first record: names grow, and they tell where
//! each batch begins even when that beginning is unreadable.

use lynk_domain::{Key, Lsn, Millis, RoomId, Seq, UserId};
use lynk_model::{Record, RecordHead, RecordKind};

use crate::block::BlockBuffer;
use crate::limits::{BLOCK_BYTES, PAYLOAD_BYTES_MAX};

/// Bytes before the first record: the header and zeros, so that appending never rewrites the header's block.
pub const HEADER_BYTES: u64 = BLOCK_BYTES as u64;
/// Format version that this build writes. It reads every one from 1 on.
pub const FORMAT_VERSION: u16 = 2;
/// Bytes of a record before its payload.
pub const RECORD_HEAD_BYTES: usize = 104;
/// Records start at multiples of this; the gap after a payload is zero and covered by the checksum.
pub const RECORD_ALIGN: usize = 8;
/// Longest record in bytes.
pub const RECORD_BYTES_MAX: usize = record_bytes(PAYLOAD_BYTES_MAX);

const MAGIC: [u8; 8] = *b"LYNKJRNL";
const HEADER_USED: usize = 64;
const HEADER_CRC_AT: usize = HEADER_USED - 4;
const RECORD_VERSION: u8 = 1;

const _: () = assert!(RECORD_HEAD_BYTES.is_multiple_of(RECORD_ALIGN));
const _: () = assert!(HEADER_USED as u64 <= HEADER_BYTES);

/// What a segment says about itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentHeader {
    /// Random; seeds the checksum of every record.
    pub id: u64,
    /// Generation of the journal.
    pub generation: u32,
    /// Shard of the journal.
    pub shard: u16,
    /// Place among the journal's segments.
    pub index: u32,
    /// `Lsn(0)` for a segment prepared before its first record was known. Otherwise the segment is a complete
    /// copy of a journal's last batch, made at a start; it starts at this lsn and replaces every record of
    /// earlier segments from there on.
    pub rewrites: Lsn,
}

impl SegmentHeader {
    /// The header's block.
    #[must_use]
    pub fn encode(&self) -> BlockBuffer {
        let mut block = BlockBuffer::zeroed(BLOCK_BYTES);
        let bytes = &mut block.bytes_mut()[..HEADER_USED];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.shard.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.generation.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.id.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.index.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.rewrites.0.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..HEADER_CRC_AT]);
        bytes[HEADER_CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        block
    }

    /// Reads a header back from the start of a file.
    ///
    /// # Errors
    /// Says which check failed; see [`BadHeader`].
    pub fn decode(bytes: &[u8]) -> Result<Self, BadHeader> {
        let bytes: &[u8; HEADER_USED] = bytes.first_chunk().ok_or(BadHeader::Short)?;
        if bytes[..8] != MAGIC {
            return Err(BadHeader::Magic);
        }
        if u32_at(bytes, HEADER_CRC_AT) != crc32c::crc32c(&bytes[..HEADER_CRC_AT]) {
            return Err(BadHeader::Checksum);
        }
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        if !(1..=FORMAT_VERSION).contains(&version) {
            return Err(BadHeader::Version(version));
        }
        Ok(Self {
            id: u64_at(bytes, 16),
            generation: u32_at(bytes, 12),
            shard: u16::from_le_bytes([bytes[10], bytes[11]]),
            index: u32_at(bytes, 24),
            rewrites: Lsn(u64_at(bytes, 32)),
        })
    }

    /// Seed of the checksums of this segment's records.
    #[must_use]
    pub fn seed(&self) -> u32 {
        crc32c::crc32c(&self.id.to_le_bytes())
    }
}

/// Why the start of a file is not a segment header that this build reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadHeader {
    /// Fewer bytes than a header has.
    #[error("the file is shorter than a segment header")]
    Short,
    /// Not a journal segment.
    #[error("the file does not start with a segment header")]
    Magic,
    /// Damaged.
    #[error("the segment header's checksum is wrong")]
    Checksum,
    /// Written by a newer program.
    #[error(
        "the segment has format version {0}, which this program does not read; start a newer version of it"
    )]
    Version(u16),
    /// The header belongs to another place in the directory.
    #[error("the segment header names another generation, shard or index than the file's path")]
    Place,
}

/// Why there is no record to read at an offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadRecord {
    /// Only zeros: nothing was ever written here.
    #[error("no record")]
    Empty,
    /// The file ends inside the record.
    #[error("the file ends inside the record")]
    Truncated,
    /// A length that no record has.
    #[error("the record's length is impossible")]
    Length,
    /// Damaged, half written, or left behind by an earlier use of the file.
    #[error("the record's checksum is wrong")]
    Checksum,
    /// The checksum is right, but this build does not know the version, kind or flags.
    #[error("the record was written by a newer program; start a newer version of it")]
    Newer,
    /// The checksum is right, but the record does not follow the one before it.
    #[error("the record is not the next one of this journal")]
    Order,
}

/// A record read back from a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decoded<'a> {
    /// Its number in the journal.
    pub lsn: Lsn,
    /// Lsn of the first record of its batch.
    pub batch: Lsn,
    /// The record.
    pub record: Record<'a>,
    /// Bytes to the next record.
    pub bytes: usize,
}

/// Bytes that a record with a payload of `payload` bytes takes on disk.
#[must_use]
pub const fn record_bytes(payload: usize) -> usize {
    (RECORD_HEAD_BYTES + payload).next_multiple_of(RECORD_ALIGN)
}

/// Appends a record without its checksum: the segment that it goes to, and with it the seed, is known only
/// when its batch is written. See [`seal`].
///
/// The payload must be at most [`PAYLOAD_BYTES_MAX`] bytes.
pub fn encode(record: &Record<'_>, lsn: Lsn, batch: Lsn, out: &mut BlockBuffer) {
    let start = out.len();
    let total = record_bytes(record.payload.len());
    let length = u32::try_from(record.payload.len()).expect("checked against PAYLOAD_BYTES_MAX");
    let head = &record.head;
    let mut bytes = [0; RECORD_HEAD_BYTES];
    bytes[4..8].copy_from_slice(&length.to_le_bytes());
    bytes[8..16].copy_from_slice(&batch.0.to_le_bytes());
    bytes[16..24].copy_from_slice(&lsn.0.to_le_bytes());
    bytes[24] = RECORD_VERSION;
    bytes[25] = head.kind as u8;
    bytes[26] = head.flags;
    bytes[32..48].copy_from_slice(&head.room.0);
    bytes[48..56].copy_from_slice(&head.seq.0.to_le_bytes());
    bytes[56..64].copy_from_slice(&head.rev.0.to_le_bytes());
    bytes[64..72].copy_from_slice(&head.wall.0.to_le_bytes());
    bytes[72..88].copy_from_slice(&head.sender.0);
    bytes[88..104].copy_from_slice(&head.key.0);
    out.extend(&bytes);
    out.extend(record.payload);
    out.resize(start + total);
}

/// Fills in the checksums of the records in `bytes`, which [`encode`] made.
pub fn seal(mut bytes: &mut [u8], seed: u32) {
    while !bytes.is_empty() {
        let payload = usize::try_from(u32_at(bytes, 4)).expect("encode wrote it");
        let (record, rest) = bytes.split_at_mut(record_bytes(payload));
        let crc = crc32c::crc32c_append(seed, &record[4..]);
        record[..4].copy_from_slice(&crc.to_le_bytes());
        bytes = rest;
    }
}

/// Reads the record at the start of `bytes`, which end where the file's readable bytes end.
///
/// # Errors
/// Says why there is none; after [`BadRecord::Newer`] the record is intact all the same.
pub fn decode(bytes: &[u8], seed: u32) -> Result<Decoded<'_>, BadRecord> {
    let Some(head) = bytes.first_chunk::<RECORD_HEAD_BYTES>() else {
        return Err(if bytes.iter().all(|b| *b == 0) { BadRecord::Empty } else { BadRecord::Truncated });
    };
    if head.iter().all(|b| *b == 0) {
        return Err(BadRecord::Empty);
    }
    let payload = usize::try_from(u32_at(head, 4)).map_err(|_| BadRecord::Length)?;
    if payload > PAYLOAD_BYTES_MAX {
        return Err(BadRecord::Length);
    }
    let total = record_bytes(payload);
    let whole = bytes.get(..total).ok_or(BadRecord::Truncated)?;
    if u32_at(head, 0) != crc32c::crc32c_append(seed, &whole[4..]) {
        return Err(BadRecord::Checksum);
    }
    let known = head[24] == RECORD_VERSION && head[26..32] == [0; 6];
    let kind = RecordKind::from_u8(head[25]).filter(|_| known).ok_or(BadRecord::Newer)?;
    let (batch, lsn) = (Lsn(u64_at(head, 8)), Lsn(u64_at(head, 16)));
    if lsn.0 == 0 || batch.0 == 0 || batch > lsn {
        return Err(BadRecord::Order);
    }
    let head = RecordHead {
        kind,
        flags: head[26],
        room: RoomId(bytes16_at(head, 32)),
        seq: Seq(u64_at(head, 48)),
        rev: Seq(u64_at(head, 56)),
        wall: Millis(u64_at(head, 64)),
        sender: UserId(bytes16_at(head, 72)),
        key: Key(bytes16_at(head, 88)),
    };
    let record = Record { head, payload: &whole[RECORD_HEAD_BYTES..RECORD_HEAD_BYTES + payload] };
    Ok(Decoded { lsn, batch, record, bytes: total })
}

/// What the bytes at a place claim to be, checksum unseen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    /// The record's number.
    pub(crate) lsn: Lsn,
    /// First lsn of its batch.
    pub(crate) batch: Lsn,
    /// Bytes to the next record.
    pub(crate) bytes: usize,
}

/// Reads a record's head without its checksum; `None` when no record of this journal starts like this. Finds
/// how much must be read, and tells a torn record from bytes that merely happen to be there.
pub(crate) fn claim(bytes: &[u8]) -> Option<Claim> {
    let head = bytes.first_chunk::<RECORD_HEAD_BYTES>()?;
    let payload = usize::try_from(u32_at(head, 4)).ok().filter(|n| *n <= PAYLOAD_BYTES_MAX)?;
    let (batch, lsn) = (Lsn(u64_at(head, 8)), Lsn(u64_at(head, 16)));
    (batch.0 != 0 && batch <= lsn).then_some(Claim { lsn, batch, bytes: record_bytes(payload) })
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn bytes16_at(bytes: &[u8], at: usize) -> [u8; 16] {
    bytes[at..at + 16].try_into().expect("sixteen bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(payload: &[u8]) -> Record<'_> {
        let head = RecordHead {
            kind: RecordKind::Message,
            flags: 0,
            room: RoomId([1; 16]),
            seq: Seq(2),
            rev: Seq(3),
            wall: Millis(4),
            sender: UserId([5; 16]),
            key: Key([6; 16]),
        };
        Record { head, payload }
    }

    fn sealed(payload: &[u8], seed: u32) -> Vec<u8> {
        let mut buffer = BlockBuffer::default();
        encode(&record(payload), Lsn(9), Lsn(7), &mut buffer);
        seal(buffer.bytes_mut(), seed);
        buffer.bytes().to_vec()
    }

    #[test]
    fn a_record_of_any_length_reads_back() {
        for length in 0..40 {
            let payload = vec![0xa5; length];
            let bytes = sealed(&payload, 11);
            let decoded = decode(&bytes, 11).expect("intact");
            assert_eq!(decoded.record, record(&payload));
            assert_eq!((decoded.lsn, decoded.batch, decoded.bytes), (Lsn(9), Lsn(7), bytes.len()));
            assert_eq!(bytes.len() % RECORD_ALIGN, 0);
        }
    }

    #[test]
    fn no_flipped_bit_and_no_cut_passes() {
        let bytes = sealed(b"hello", 11);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bad, 11).is_err(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut], 11).is_err(), "cut {cut}");
        }
    }

    #[test]
    fn a_record_of_another_segment_does_not_pass() {
        assert_eq!(decode(&sealed(b"hello", 11), 12), Err(BadRecord::Checksum));
    }

    #[test]
    fn unknown_kinds_flags_and_versions_are_named_as_newer() {
        for (at, value) in [(24, 2), (25, 99), (26, 1), (27, 1), (28, 1), (31, 1)] {
            let mut bytes = sealed(b"hello", 11);
            bytes[at] = value;
            seal(&mut bytes, 11);
            assert_eq!(decode(&bytes, 11), Err(BadRecord::Newer), "byte {at}");
        }
    }

    #[test]
    fn no_flipped_bit_of_a_header_passes() {
        let header = SegmentHeader { id: 1, generation: 2, shard: 3, index: 4, rewrites: Lsn(5) };
        let bytes = header.encode().bytes()[..HEADER_USED].to_vec();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&bad).is_err(), "bit {bit}");
        }
        assert_eq!(SegmentHeader::decode(&bytes[..63]), Err(BadHeader::Short));
    }
}
