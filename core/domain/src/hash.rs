//! Hashing that never depends on a random seed: replays must repeat, and shard placement is part of the
//! journal's format.

use std::collections::{HashMap, HashSet};

use foldhash::fast::FixedState;

use crate::{IpPrefix, RoomId, ShardId, UserId};

/// A hash map whose iteration order depends only on its seed and its history.
pub type FixedMap<K, V> = HashMap<K, V, FixedState>;
/// A hash set whose iteration order depends only on its seed and its history.
pub type FixedSet<K> = HashSet<K, FixedState>;

/// An empty [`FixedMap`]. `seed` is secret per process, so that outsiders cannot aim at one bucket.
#[must_use]
pub fn fixed_map<K, V>(seed: u64) -> FixedMap<K, V> {
    HashMap::with_hasher(FixedState::with_seed(seed))
}

/// An empty [`FixedSet`]; see [`fixed_map`].
#[must_use]
pub fn fixed_set<K>(seed: u64) -> FixedSet<K> {
    HashSet::with_hasher(FixedState::with_seed(seed))
}

/// Owner shard of a room. Fixed for ever: recovery maps old journals with it.
#[must_use]
pub fn shard_of_room(room: RoomId, shard_count: u16) -> ShardId {
    place(&room.0, shard_count)
}

/// Shard that keeps a user's presence, devices and account limits.
#[must_use]
pub fn shard_of_user(user: UserId, shard_count: u16) -> ShardId {
    place(&user.0, shard_count)
}

/// Shard that counts the connections of one network.
#[must_use]
pub fn shard_of_ip(ip: IpPrefix, shard_count: u16) -> ShardId {
    let mut wide = [0; 16];
    wide[..7].copy_from_slice(&ip.0);
    place(&wide, shard_count)
}

/// FNV-1a over sixteen bytes, finished with a multiply-xor mix, reduced by multiplication.
fn place(id: &[u8; 16], shard_count: u16) -> ShardId {
    assert!(shard_count > 0, "a process has at least one shard");
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in id {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^= hash >> 32;
    let reduced = (u128::from(hash) * u128::from(shard_count)) >> 64;
    ShardId(u16::try_from(reduced).expect("below shard_count"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placement_is_fixed_for_ever() {
        // These values are part of the journal's format: never change them.
        let room = RoomId([7; 16]);
        assert_eq!([1, 2, 3, 4, 16].map(|n| shard_of_room(room, n).0), PINNED);
    }
    const PINNED: [u16; 5] = [0, 0, 0, 0, 3];

    #[test]
    fn placement_is_even() {
        let mut counts = [0u32; 4];
        for i in 0..40_000u32 {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&i.to_be_bytes());
            counts[shard_of_room(RoomId(id), 4).index()] += 1;
        }
        assert!(counts.iter().all(|c| (9_500..10_500).contains(c)), "{counts:?}");
    }
}
