//! Keys of the message log. Part of the stored format.
//!
//! Every key is `room 16 ‖ table 1 ‖ rest`, numbers big-endian, so that one room's rows lie together and a
//! range of seqs is a range of keys. Rows of the whole store use the nil room.
//!
//! | table | rest | value |
//! |---|---|---|
//! | 1 message | seq 8 | [`MessageRow`](lynk_model::MessageRow), see `value` |
//! | 2 event | seq 8 | any other event, see `value` |
//! | 3 reaction | target 8, user 16, emoji to the end | rev u64, on u8 |
//! | 4 own | sender 16, seq 8 | nothing: finds a user's own messages |
//! | 5 deleted | seq 8 | sender 16: finds deleted messages |
//! | 6 key | sender 16, key 16 | wall u64, seq u64, content hash u64 (0: not known) |
//! | 7 position | user 16 | read u64, delivered u64, then the round of `read` u64 unless it is 0 |
//! | 8 head | nothing | epoch u32, top u64, top_n u64, version u64, reserved u64, then the floor u64 unless it is 0; of the nil room: the epoch that all rooms have at least |
//! | 9 cursor (nil room) | source name | lsn u64 |
//! | 10 format (nil room) | nothing | u32 |
//! | 11 intent | actor 16, key 16 | wall u64, then the record's [`Body`](lynk_model::Body) |
//! | 12 mentioned | user 16 (nil: everybody), seq 8 | sender 16: finds messages that mention a user as they stand |
//! | 13 floor (nil room) | room 16 | from u64, floor u64: rows between them may still lie in tables 1 to 5 and 12, and mean nothing |

use std::ops::RangeInclusive;

use lynk_domain::{Key, RoomId, Seq, UserId};

/// Bytes before the part of a key that depends on its table.
pub(super) const PREFIX_BYTES: usize = 17;

/// The tables, by their byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Table {
    Message = 1,
    Event = 2,
    Reaction = 3,
    Own = 4,
    Deleted = 5,
    Key = 6,
    Position = 7,
    Head = 8,
    Cursor = 9,
    Format = 10,
    Intent = 11,
    Mentioned = 12,
    Floor = 13,
}

impl Table {
    /// Whether the seq of a table's keys is at their end, or follows the table's byte; `None` for tables that have no seq.
    pub(super) fn of_seq(table: u8) -> Option<bool> {
        const BEHIND: [Table; 2] = [Table::Own, Table::Mentioned];
        const FIRST: [Table; 4] = [Table::Message, Table::Event, Table::Reaction, Table::Deleted];
        let is = |tables: &[Table]| tables.iter().any(|of| *of as u8 == table);
        if is(&FIRST) { Some(false) } else { is(&BEHIND).then_some(true) }
    }
}

/// `room ‖ table`.
pub(super) fn prefix(room: RoomId, table: Table) -> [u8; PREFIX_BYTES] {
    let mut key = [table as u8; PREFIX_BYTES];
    key[..16].copy_from_slice(&room.0);
    key
}

/// `room ‖ table ‖ parts`.
fn join(room: RoomId, table: Table, parts: &[&[u8]]) -> Vec<u8> {
    let length = PREFIX_BYTES + parts.iter().map(|part| part.len()).sum::<usize>();
    let mut key = Vec::with_capacity(length);
    key.extend_from_slice(&prefix(room, table));
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

/// Key of a table that is ordered by seq alone.
pub(super) fn by_seq(room: RoomId, table: Table, seq: Seq) -> [u8; PREFIX_BYTES + 8] {
    let mut key = [0; PREFIX_BYTES + 8];
    key[..PREFIX_BYTES].copy_from_slice(&prefix(room, table));
    key[PREFIX_BYTES..].copy_from_slice(&seq.0.to_be_bytes());
    key
}

/// Keys of such a table from one seq to another.
pub(super) fn seqs(room: RoomId, table: Table, from: Seq, to: Seq) -> RangeInclusive<[u8; PREFIX_BYTES + 8]> {
    by_seq(room, table, from)..=by_seq(room, table, to)
}

pub(super) fn reaction(room: RoomId, target: Seq, user: UserId, emoji: &str) -> Vec<u8> {
    join(room, Table::Reaction, &[&target.0.to_be_bytes(), &user.0, emoji.as_bytes()])
}

/// Keys of all reactions to messages from one seq to another.
pub(super) fn reactions(room: RoomId, from: Seq, to: Seq) -> (Vec<u8>, Vec<u8>) {
    // UTF-8 never holds the byte 0xff, so this key is above that of every user and emoji.
    let end = join(room, Table::Reaction, &[&to.0.to_be_bytes(), &[0xff; 16], &[0xff]]);
    (join(room, Table::Reaction, &[&from.0.to_be_bytes()]), end)
}

pub(super) fn own(room: RoomId, sender: UserId, seq: Seq) -> Vec<u8> {
    join(room, Table::Own, &[&sender.0, &seq.0.to_be_bytes()])
}

/// `user` is nil where everybody is mentioned.
pub(super) fn mentioned(room: RoomId, user: UserId, seq: Seq) -> Vec<u8> {
    join(room, Table::Mentioned, &[&user.0, &seq.0.to_be_bytes()])
}

pub(super) fn idempotency(room: RoomId, sender: UserId, key: Key) -> Vec<u8> {
    join(room, Table::Key, &[&sender.0, &key.0])
}

pub(super) fn intent(room: RoomId, actor: UserId, key: Key) -> Vec<u8> {
    join(room, Table::Intent, &[&actor.0, &key.0])
}

/// Actor and key of an intent's key.
pub(super) fn split_intent(key: &[u8]) -> Option<(UserId, Key)> {
    let (actor, rest) = key.get(PREFIX_BYTES..)?.split_first_chunk::<16>()?;
    Some((UserId(*actor), Key(*rest.first_chunk::<16>()?)))
}

pub(super) fn position(room: RoomId, user: UserId) -> Vec<u8> {
    join(room, Table::Position, &[&user.0])
}

pub(super) fn floor(room: RoomId) -> Vec<u8> {
    join(RoomId::NIL, Table::Floor, &[&room.0])
}

pub(super) fn cursor(source: &str) -> Vec<u8> {
    join(RoomId::NIL, Table::Cursor, &[source.as_bytes()])
}

/// The last eight bytes of a key that ends in a seq.
pub(super) fn trailing_seq(key: &[u8]) -> Option<Seq> {
    key.last_chunk::<8>().map(|bytes| Seq(u64::from_be_bytes(*bytes)))
}

/// Target, user and emoji of a reaction's key.
pub(super) fn split_reaction(key: &[u8]) -> Option<(Seq, UserId, &str)> {
    let (target, rest) = key.get(PREFIX_BYTES..)?.split_first_chunk::<8>()?;
    let (user, emoji) = rest.split_first_chunk::<16>()?;
    Some((Seq(u64::from_be_bytes(*target)), UserId(*user), std::str::from_utf8(emoji).ok()?))
}

/// The user at the end of a position's key.
pub(super) fn trailing_user(key: &[u8]) -> Option<UserId> {
    trailing_id(key).map(UserId)
}

/// The id at the end of a key.
pub(super) fn trailing_id(key: &[u8]) -> Option<[u8; 16]> {
    key.last_chunk::<16>().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_order_is_seq_order_and_ranges_hold_their_ends() {
        let room = RoomId([3; 16]);
        let seqs_in_order = [1, 255, 256, 65_536, u64::MAX].map(Seq);
        assert!(seqs_in_order.is_sorted_by_key(|seq| by_seq(room, Table::Message, *seq)));
        let (from, to) = reactions(room, Seq(5), Seq(6));
        let inside = |seq, user, emoji: &str| {
            let key = reaction(room, Seq(seq), UserId([user; 16]), emoji);
            from <= key && key <= to
        };
        assert!(inside(5, 0, "") && inside(6, 0xfe, "\u{10ffff}\u{10ffff}"));
        assert!(!inside(4, 0xff, "x") && !inside(7, 0, ""));
    }

    #[test]
    fn reaction_keys_split_into_what_they_were_made_of() {
        let key = reaction(RoomId([3; 16]), Seq(9), UserId([4; 16]), "👍");
        assert_eq!(split_reaction(&key), Some((Seq(9), UserId([4; 16]), "👍")));
        for cut in 0..PREFIX_BYTES + 24 {
            assert_eq!(split_reaction(&key[..cut]), None);
        }
    }
}
