//! Rooms that strangers find, and requests to become a member: requests and answers.

use lynk_model::JOIN_REQUEST_CHARS_MAX;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DESCRIPTION, Id, Key, Time};

choice! {
    /// What became of a request.
    RequestState { Open = "open", Declined = "declined", }
}
object! {
    /// Which public rooms.
    DiscoverPage {
        /// What their names begin with, whatever the case and the accents; all of them when missing.
        #[serde(default)] name: Option<String>,
        /// `next` of the page before.
        #[serde(default)]
        #[schemars(regex(pattern = "^[0-9a-fA-F]{32}"))]
        cursor: Option<String>,
        /// Rooms at most; above 50 is 50, and 20 when missing.
        #[serde(default)]
        #[schemars(range(max = u32::MAX))]
        limit: Option<u32>,
    }
}
object! {
    /// A public room.
    DiscoveredRoom {
        /// The room.
        room: Id,
        /// Its name.
        name: String,
        /// What it is about.
        description: String,
        /// Its picture, or null.
        #[serde(default)] avatar: Option<Id>,
        /// How many members it has; 10000 for as many or more.
        members: u64,
        /// The caller is one of them.
        member: bool,
        /// There is a place for one more, as far as members are counted.
        open: bool,
    }
}
object! {
    /// Public rooms, ascending by name.
    DiscoveredRooms {
        /// The page.
        rooms: Vec<DiscoveredRoom>,
        /// Where the next page begins; missing on the last one.
        #[serde(default)] next: Option<String>,
    }
}
object! {
    /// A request to become a member.
    AskToJoin {
        /// Idempotency key.
        key: Key,
        /// What to say to those who decide, line breaks allowed.
        #[serde(default)]
        #[schemars(length(max = JOIN_REQUEST_CHARS_MAX), regex(pattern = DESCRIPTION))]
        text: Option<String>,
    }
}
object! {
    /// A request of the caller.
    OwnRequest {
        /// The room.
        room: Id,
        /// Its name; missing for a room that is hidden by now.
        #[serde(default)] name: Option<String>,
        /// Its picture, or null; missing with the name.
        #[serde(default)] avatar: Option<Id>,
        /// What became of it.
        state: RequestState,
        /// When it was made.
        at: Time,
        /// When it expires; of a declined one, from when on one may ask again.
        until: Time,
        /// What was said, until it is declined.
        #[serde(default)] text: Option<String>,
    }
}
object! {
    /// Requests of the caller, ascending by room.
    OwnRequests {
        /// The page.
        requests: Vec<OwnRequest>,
        /// Where the next page begins; missing on the last one.
        #[serde(default)] next: Option<Id>,
    }
}
object! {
    /// Somebody who asks.
    JoinRequest {
        /// Who.
        user: Id,
        /// When.
        at: Time,
        /// When it expires.
        until: Time,
        /// What they say.
        #[serde(default)] text: Option<String>,
    }
}
object! {
    /// Requests that are open, ascending by user.
    JoinRequests {
        /// The room.
        room: Id,
        /// The page.
        requests: Vec<JoinRequest>,
        /// There are more after the last one.
        more: bool,
    }
}
