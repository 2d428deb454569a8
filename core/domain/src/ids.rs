//! 128-bit identifiers, one type each so that a room never passes for a user.

use std::fmt;

/// Number of a shard inside this process, `0..shard_count`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The shard's index into per-shard tables.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// The id made of sixteen zero bytes; used on disk for "none".
            pub const NIL: Self = Self([0; 16]);

            /// Parses the lower- or upper-case hyphenated form (36 characters); `None` for anything else.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                if text.len() != 36 {
                    return None;
                }
                uuid::Uuid::try_parse(text).ok().map(|id| Self(id.into_bytes()))
            }

            /// Writes the lower-case hyphenated form into `buffer` and returns it as text. Does not allocate.
            pub fn write_text<'a>(&self, buffer: &'a mut [u8; 36]) -> &'a str {
                uuid::Uuid::from_bytes(self.0).hyphenated().encode_lower(buffer)
            }

            /// Whether this is [`Self::NIL`].
            #[must_use]
            pub fn is_nil(&self) -> bool {
                self.0 == [0; 16]
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut buffer = [0; 36];
                f.write_str(self.write_text(&mut buffer))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

id!(
    /// A room or a 1:1 conversation.
    RoomId
);
id!(
    /// A person's account.
    UserId
);
id!(
    /// A posted message: UUIDv7 made by the owner shard.
    MessageId
);
id!(
    /// One signed-in session of a user (claim `sid` of its access token).
    SessionId
);
id!(
    /// One device of a user.
    DeviceId
);
id!(
    /// A stored picture or file, as whatever keeps it names it.
    MediaId
);
id!(
    /// A link that lets people into a room. It is no secret; the link's code is.
    LinkId
);
id!(
    /// Idempotency key of a mutating command, made by the client. For `send` it is a UUIDv7.
    Key
);

impl Key {
    /// The millisecond timestamp inside a UUIDv7, or `None` when the key is of another version.
    #[must_use]
    pub fn v7_millis(&self) -> Option<u64> {
        if self.0[6] >> 4 != 7 || self.0[8] >> 6 != 0b10 {
            return None;
        }
        let mut wide = [0; 8];
        wide[2..].copy_from_slice(&self.0[..6]);
        Some(u64::from_be_bytes(wide))
    }
}

/// Builds the bytes of a UUIDv7 from a wall clock in milliseconds and 74 random bits out of `random`.
#[must_use]
pub fn uuid_v7(wall_millis: u64, random: [u8; 10]) -> [u8; 16] {
    let mut id = [0; 16];
    id[..6].copy_from_slice(&wall_millis.to_be_bytes()[2..]);
    id[6..].copy_from_slice(&random);
    id[6] = 0x70 | (id[6] & 0x0f);
    id[8] = 0x80 | (id[8] & 0x3f);
    id
}

/// Namespace of derived ids, kept from the reference system so that its 1:1 ids stay valid.
const DERIVED_NAMESPACE: [u8; 16] =
    [0x12, 0x34, 0x56, 0x78, 0x12, 0x34, 0x56, 0x78, 0x12, 0x34, 0x56, 0x78, 0x12, 0x34, 0x56, 0x78];

/// The id of the 1:1 conversation of two users: UUIDv5 over `"smaller:larger"`, the same from both sides.
#[must_use]
pub fn direct_room_id(a: UserId, b: UserId) -> RoomId {
    let (low, high) = if a <= b { (a, b) } else { (b, a) };
    let mut buffer = [0; 36];
    let mut sha = sha1_smol::Sha1::new();
    sha.update(&DERIVED_NAMESPACE);
    sha.update(low.write_text(&mut buffer).as_bytes());
    sha.update(b":");
    sha.update(high.write_text(&mut buffer).as_bytes());
    let digest = sha.digest().bytes();
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    id[6] = 0x50 | (id[6] & 0x0f);
    id[8] = 0x80 | (id[8] & 0x3f);
    RoomId(id)
}

/// The part of a peer address that rate limits count: an IPv4 /24 or an IPv6 /48, as its leading bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct IpPrefix(pub [u8; 7]);

impl IpPrefix {
    /// The prefix of `address`: first byte 4 or 6, then the leading 3 or 6 address bytes, zero-filled.
    #[must_use]
    pub fn of(address: std::net::IpAddr) -> Self {
        let mut bytes = [0; 7];
        match address.to_canonical() {
            std::net::IpAddr::V4(v4) => {
                bytes[0] = 4;
                bytes[1..4].copy_from_slice(&v4.octets()[..3]);
            }
            std::net::IpAddr::V6(v6) => {
                bytes[0] = 6;
                bytes[1..7].copy_from_slice(&v6.octets()[..6]);
            }
        }
        Self(bytes)
    }
}

impl SessionId {
    /// No session of anybody: the server itself, which takes back what an erased user said. No token has it.
    pub const SERVER: Self = Self([0xff; 16]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> UserId {
        UserId::parse(text).expect("vector")
    }

    #[test]
    fn direct_room_id_matches_the_reference_vector_in_either_order() {
        let a = user("00000000-0000-4000-8000-000000000001");
        let b = user("00000000-0000-4000-8000-000000000002");
        assert_eq!(direct_room_id(a, b).to_string(), "c6570214-468b-58cf-974c-e7b638713f42");
        assert_eq!(direct_room_id(b, a), direct_room_id(a, b));
    }

    #[test]
    fn only_the_hyphenated_form_parses() {
        assert!(RoomId::parse("c6570214-468b-58cf-974c-e7b638713f42").is_some());
        for bad in ["", "c6570214468b58cf974ce7b638713f42", "{c6570214-468b-58cf-974c-e7b638713f4}", "zz"] {
            assert_eq!(RoomId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn uuid_v7_keeps_its_time_and_orders_by_it() {
        let early = uuid_v7(1_700_000_000_000, [0xff; 10]);
        let late = uuid_v7(1_700_000_000_001, [0; 10]);
        assert!(early < late);
        assert_eq!(Key(early).v7_millis(), Some(1_700_000_000_000));
        assert_eq!(Key([0; 16]).v7_millis(), None);
    }

    #[test]
    fn addresses_of_one_network_share_a_prefix() {
        let of = |text: &str| IpPrefix::of(text.parse().expect("address"));
        assert_eq!(of("192.0.2.1"), of("192.0.2.200"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_eq!(of("::ffff:192.0.2.9"), of("192.0.2.1"));
        assert_eq!(of("2001:db8:1::1"), of("2001:db8:1:ffff::1"));
    }
}
