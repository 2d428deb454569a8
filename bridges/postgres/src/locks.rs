//! Names of the advisory locks under which transactions that must not overlap come one after the other.
//!
//! Thread: any. Pure. Rows cannot be locked before they exist, and limits count rows: so a transaction first takes the locks of everything
//! that its decision rests on, all at once and in ascending order, so that two never wait for each other. A lock ends with its
//! transaction. Two names with one hash only wait for each other without need. The names are part of the schema's format: a program with
//! other names is not excluded by these.

/// All locks of a transaction; `$1` is ascending.
pub(crate) const TAKE: &str = "SELECT pg_advisory_xact_lock(name) FROM unnest($1::bigint[]) AS name";

/// What a lock is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Of {
    /// The schema, by migrations.
    Schema = 1,
    /// A room, by its id.
    Room = 2,
    /// A user among rooms, by id: blocks and memberships.
    Member = 3,
    /// A room's unique name, folded.
    RoomName = 4,
    /// An account, by its user's id.
    Account = 5,
    /// A telephone number.
    Phone = 6,
    /// A user name, folded.
    UserName = 7,
    /// A counter, by its key.
    Counter = 8,
    /// The devices of an account, by its user's id.
    Devices = 9,
    /// A device's token.
    PushToken = 10,
    /// The media of an account, by its user's id.
    MediaOwner = 20,
}

/// The locks of one transaction.
#[derive(Default, Debug)]
pub(crate) struct Locks(Vec<i64>);

impl Locks {
    /// Adds one.
    pub(crate) fn with(mut self, of: Of, name: &[u8]) -> Self {
        self.0.push(lock(of, name));
        self
    }

    /// Ascending, each once.
    pub(crate) fn sorted(mut self) -> Vec<i64> {
        self.0.sort_unstable();
        self.0.dedup();
        self.0
    }
}

/// FNV-1a over kind and name.
pub(crate) fn lock(of: Of, name: &[u8]) -> i64 {
    let bytes = std::iter::once(of as u8).chain(name.iter().copied());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_taken_in_one_order_whoever_asks() {
        let one = Locks::default().with(Of::Room, b"a").with(Of::Member, b"b").with(Of::Room, b"a").sorted();
        let other = Locks::default().with(Of::Member, b"b").with(Of::Room, b"a").sorted();
        assert_eq!(one, other);
        assert_ne!(lock(Of::Room, b"a"), lock(Of::Member, b"a"));
        // Part of the format: processes of two versions exclude each other.
        assert_eq!(lock(Of::Room, &[1; 16]), lock(Of::Room, &[1; 16]));
    }
}
