//! Where a row lies and which of two versions of a cell wins. Part of the stored format.
//!
//! Thread: any; pure. A timestamp is a function of what is written: the rev of the change, or the number itself where a cell only grows.
//! Equal timestamps therefore mean equal content. Deletes use [`FINAL`], which no rev reaches.
//!
//! Limits: numbers are below 2^53 by the protocol; one that does not fit is corrupt.

use lynk_domain::{Key, RoomId, Seq, shard_of_room};
use lynk_model::{Position, RoomHead};
use uuid::Uuid;

use crate::Fault;
use crate::statement::Row;

/// Seqs of one room that share a partition. A partition is full when its last seq is used, however long that takes: at 8,000
/// characters of four bytes it holds 64 MiB, at the usual 200 bytes half a megabyte.
pub const BUCKET_SEQS: i64 = 2_048;

/// Parts into which the keys of one time slot, and the heads of all rooms, are spread. A batch of many rooms then makes at most so many
/// partitions of each, and not one a room.
pub(crate) const SPREAD: u16 = 256;

/// Timestamp of the empty text that a delete leaves: above every rev, so that no post and no edit is newer.
pub(crate) const FINAL: i64 = 1 << 62;

/// Timestamp of the deletes of what lies below a room's floor: above everything that was ever written there.
pub(crate) const SWEPT: i64 = FINAL + 1;

/// A number as the store keeps it.
pub(crate) fn number(value: u64) -> Result<i64, Fault> {
    i64::try_from(value).map_err(|_| Fault::corrupt("a number is beyond what is stored"))
}

/// A stored number back. Negative ones were never written.
pub(crate) fn unsigned(value: i64) -> Result<u64, Fault> {
    u64::try_from(value).map_err(|_| Fault::corrupt("a stored number is negative"))
}

/// The end of a range: what is beyond the stored numbers is their end.
pub(crate) fn bound(seq: Seq) -> i64 {
    i64::try_from(seq.0).unwrap_or(i64::MAX)
}

/// The bucket of a seq.
pub(crate) fn bucket(seq: i64) -> i64 {
    seq / BUCKET_SEQS
}

/// First and last seq of a bucket.
pub(crate) fn seqs(bucket: i64) -> (i64, i64) {
    let first = bucket.saturating_mul(BUCKET_SEQS);
    (first, first.saturating_add(BUCKET_SEQS - 1))
}

/// Part of the head table that has a room.
pub(crate) fn head_shard(room: RoomId) -> i32 {
    i32::from(shard_of_room(room, SPREAD).0)
}

/// Partition of a key: the part of its room, and the 17 minutes in which it was made. Keys of messages are version 7 and begin with
/// their time; others lie anywhere.
pub(crate) fn key_slot(room: RoomId, key: Key) -> (i32, i32) {
    let [first, second, third, fourth, ..] = key.0;
    // 28 bits of the 48-bit milliseconds.
    let slot = u32::from_be_bytes([first, second, third, fourth]) >> 4;
    (head_shard(room), slot as i32)
}

/// Timestamp of a read position: a later round wins, inside a round the later position. Beyond 2^20 rounds or 2^43 seqs
/// timestamps are equal, and the greater value wins: it has the same order.
pub(crate) fn position_stamp(position: &Position) -> i64 {
    let (round, read) = (position.round.min((1 << 20) - 1), position.read.0.min((1 << 43) - 1));
    (round << 43 | read) as i64
}

/// Makes the row of a head's cell: shard, room, number.
pub(crate) type HeadCell<'a> = fn(i32, Uuid, i64) -> Row<'a>;

/// The cells of a head that say something, with their numbers; with the floor goes that it is to be swept.
pub(crate) fn head_cells<'a>(head: &RoomHead) -> impl Iterator<Item = (u64, HeadCell<'a>)> {
    let cells: [(u64, HeadCell<'a>); 6] = [
        (head.top.0, |shard, room, number| Row::Top { shard, room, number }),
        (head.top_n.0, |shard, room, number| Row::TopN { shard, room, number }),
        (head.version, |shard, room, number| Row::Version { shard, room, number }),
        (head.reserved.0, |shard, room, number| Row::Reserved { shard, room, number }),
        (head.floor.0, |shard, room, number| Row::Floor { shard, room, number }),
        (head.floor.0, |shard, room, number| Row::Sweep { shard, room, number }),
    ];
    cells.into_iter().filter(|(number, _)| *number > 0)
}

/// An id as the store keeps it.
pub(crate) fn uuid(id: [u8; 16]) -> Uuid {
    Uuid::from_bytes(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_tile_the_seqs() {
        for seq in [0, 1, 2_047, 2_048, 2_049, 4_095, 4_096, 1 << 53] {
            let (first, last) = seqs(bucket(seq));
            assert!(first <= seq && seq <= last, "{seq}");
            assert_eq!(
                (bucket(first), bucket(last), last - first + 1),
                (bucket(seq), bucket(seq), BUCKET_SEQS)
            );
        }
    }

    #[test]
    fn position_stamps_order_by_round_then_position_and_stay_below_final_text() {
        let at = |round, read| position_stamp(&Position { round, read: Seq(read), delivered: Seq(0) });
        let stamps = [at(0, 0), at(0, 1), at(0, 1 << 42), at(1, 0), at(1, 7), at(2, 3), at(1 << 30, 0)];
        assert!(stamps.is_sorted_by(|a, b| a < b), "{stamps:?}");
        assert_eq!(at(u64::MAX, u64::MAX), i64::MAX);
    }

    #[test]
    fn keys_of_one_quarter_of_an_hour_share_a_partition() {
        let (room, mut key) = (RoomId([1; 16]), [0; 16]);
        key[..6].copy_from_slice(&1_700_000_000_000u64.to_be_bytes()[2..]);
        let slot = key_slot(room, Key(key));
        key[..6].copy_from_slice(&1_700_000_010_000u64.to_be_bytes()[2..]);
        assert_eq!(key_slot(room, Key(key)), slot);
        key[..6].copy_from_slice(&1_700_001_100_000u64.to_be_bytes()[2..]);
        assert_ne!(key_slot(room, Key(key)), slot);
    }
}
