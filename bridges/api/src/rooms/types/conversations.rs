//! The list of rooms, and conversations of two that strangers begin: answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AnyKind, Id, Role, Time};

choice! {
    /// Who waits for whom in a conversation of two that is not accepted: the caller began it, or is asked.
    RequestSide { Sent = "sent", Received = "received", }
}
object! {
    /// A conversation of two.
    Begun {
        /// Its id.
        room: Id,
        /// Seq of the event that made it.
        #[serde(default)] seq: Option<u64>,
        /// The room's metadata version with that event.
        #[serde(default)] version: Option<u64>,
        /// Of one that is not accepted: the caller's side of it.
        #[serde(default)] request: Option<RequestSide>,
    }
}
object! {
    /// A room as its member sees it. A room whose numbers cannot be told in time comes without them.
    RoomRow {
        /// Its id.
        room: Id,
        /// Who can find and join it.
        kind: AnyKind,
        /// Display name.
        name: String,
        /// The caller's role.
        role: Role,
        /// Its picture.
        #[serde(default)] avatar: Option<Id>,
        /// The other person of a conversation of two.
        #[serde(default)] peer: Option<Id>,
        /// Of a conversation of two that is not accepted: the caller's side of it.
        #[serde(default)] request: Option<RequestSide>,
        /// History number.
        #[serde(default)] epoch: Option<u32>,
        /// Last event.
        #[serde(default)] top: Option<u64>,
        /// Read up to here.
        #[serde(default)] read: Option<u64>,
        /// Unread messages.
        #[serde(default)] unread: Option<u64>,
        /// Those of them that mention the caller; 100 for as many or more.
        #[serde(default)] mentions: Option<u32>,
        /// Time of the last event.
        #[serde(default)] active: Option<Time>,
        /// The caller has deleted the past up to here.
        #[serde(default)] cleared: Option<u64>,
        /// `true` when there is no message after that: it is not to be listed.
        #[serde(default)] hidden: Option<bool>,
        /// The caller is notified of nothing before this time, in milliseconds since 1970.
        #[serde(default)] muted_until: Option<u64>,
        /// The caller is notified of mentions only, or of everything also where others are not; missing for what the server does by itself.
        #[serde(default)] mentions_only: Option<bool>,
    }
}
object! {
    /// Rooms, ascending by id.
    Rooms {
        /// The page.
        rooms: Vec<RoomRow>,
        /// There may be more after this room.
        #[serde(default)] next: Option<Id>,
    }
}
