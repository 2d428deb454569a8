//! Rooms that strangers find, requests to become a member, and what moderators did: requests and answers.

use lynk_model::JOIN_REQUEST_CHARS_MAX;
use lynk_protocol::MAX_SAFE_INTEGER;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DESCRIPTION, Id, Key, Role, Time};

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
        #[schemars(regex(pattern = r"^[0-9a-fA-F]{32}[^\x00-\x1F\x7F-\x9F]*$"))]
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
choice! {
    /// What a moderator did.
    ActKind {
        Kicked = "kicked", Banned = "banned", Unbanned = "unbanned", Muted = "muted", Unmuted = "unmuted", Role = "role",
        Transferred = "transferred", Settings = "settings", MessageDeleted = "message_deleted", LinkMade = "link_made",
        LinkEnded = "link_ended", RequestAccepted = "request_accepted", RequestDeclined = "request_declined", ReportResolved = "report_resolved",
    }
}
object! {
    /// Where a page of what moderators did begins.
    ActPage {
        /// What has lower numbers than this; the newest when missing.
        #[serde(default)]
        #[schemars(range(max = MAX_SAFE_INTEGER))]
        before: Option<u64>,
        /// Items at most; above 500 is 500, and 100 when missing.
        #[serde(default)]
        #[schemars(range(max = u32::MAX))]
        limit: Option<u32>,
    }
}
object! {
    /// Something that a moderator did.
    Act {
        /// Its place in the room's list.
        number: u64,
        /// When.
        at: Time,
        /// Who.
        by: Id,
        /// What.
        what: ActKind,
        /// To whom.
        #[serde(default)] user: Option<Id>,
        /// The link that was made or ended.
        #[serde(default)] link: Option<Id>,
        /// When a ban or a mute ends; missing for never.
        #[serde(default)] until: Option<Time>,
        /// The role that was given.
        #[serde(default)] role: Option<Role>,
        /// Seq of the message that was deleted.
        #[serde(default)] seq: Option<u64>,
        /// Number of the report that was resolved.
        #[serde(default)] report: Option<u64>,
        /// Why, for people.
        #[serde(default)] reason: Option<String>,
    }
}
object! {
    /// What moderators did, newest first.
    Acts {
        /// The room.
        room: Id,
        /// The page.
        acts: Vec<Act>,
        /// There are more before the last one.
        more: bool,
    }
}
