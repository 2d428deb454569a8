//! The words of a chat server, without behaviour that needs a clock, a socket or a disk.
//!
//! Thread: any. Everything here is plain data: ids, roles with their permission matrix, limits, time
//! values, and the fixed hash that maps a room or a user to its owner shard.
//!
//! Nothing here can fail except parsing an id or a telephone number, which returns `None`.

#![forbid(unsafe_code)]

mod hash;
mod ids;
mod limits;
mod phone;
mod role;
mod room;
mod session;
mod time;
mod wheel;

pub use hash::{FixedMap, FixedSet, fixed_map, fixed_set, shard_of_ip, shard_of_room, shard_of_user};
pub use ids::{
    DeviceId, IpPrefix, Key, LinkId, MediaId, MessageId, RoomId, SessionId, ShardId, UserId, direct_room_id,
    uuid_v7,
};
pub use limits::Limits;
pub use phone::Phone;
pub use role::{Action, Role, allowed, may_act_on};
pub use room::{AckLevel, Cursor, Epoch, HistoryVisibility, Lsn, Ordinal, RoomKind, Seq};
pub use session::{Family, ROTATIONS_KEPT, Revocation, SecretHash};
pub use time::{Millis, Nanos, Now};
pub use wheel::Wheel;
