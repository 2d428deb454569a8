//! The table of operations on rooms and messages.

use axum::http::Method;
use lynk_protocol::ErrorCode::{self, *};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::types::*;
use super::{Route, Shape, decode_body, decode_query};
use crate::operation::{Operation, object_of, schema_of};

/// Codes of what only members may do.
const OF_MEMBERS: &[ErrorCode] = &[RoomNotFound, NotAMember, Banned, Busy];
/// Codes of what changes something once per key.
const OF_KEYS: &[ErrorCode] = &[IdempotencyConflict, KeyExpired, ClockSkew, Unknown, StorageFull, Draining];

/// The beginning of a row.
fn route(
    method: Method,
    path: &'static str,
    op: &'static str,
    name: &'static str,
    summary: &'static str,
) -> Route {
    let operation = Operation::new(method, path, name, summary);
    Route { operation, op, query: None, body: None, implied: &[], shape: Shape::Same }
}

impl Route {
    fn tag(mut self, tag: &'static str) -> Self {
        self.operation.tag = tag;
        self
    }

    fn body<T: DeserializeOwned + Serialize + JsonSchema>(mut self) -> Self {
        self.body = Some(decode_body::<T>);
        self.operation.request = Some(schema_of::<T>);
        self
    }

    fn query<T: DeserializeOwned + Serialize + JsonSchema>(mut self) -> Self {
        self.query = Some(decode_query::<T>);
        self.operation.query = Some(object_of::<T>);
        self
    }

    fn implies(mut self, implied: &'static [(&'static str, bool)]) -> Self {
        self.implied = implied;
        self
    }

    fn gives<T: JsonSchema>(mut self, status: u16) -> Self {
        self.operation.success.push((status, Some(schema_of::<T>)));
        self
    }

    fn errors(mut self, lists: &[&[ErrorCode]]) -> Self {
        self.operation.errors.extend(lists.iter().copied().flatten());
        self
    }
}

/// All rows.
pub(super) fn routes() -> Vec<Route> {
    [rooms(), members(), links(), asking(), reports(), messages(), positions()]
        .into_iter()
        .flatten()
        .collect()
}

fn rooms() -> Vec<Route> {
    let (get, post, put, delete) = (Method::GET, Method::POST, Method::PUT, Method::DELETE);
    vec![
        route(post.clone(), "/v1/rooms", "create", "create_room", "Creates a room; the caller is its owner.")
            .body::<CreateRoom>()
            .gives::<RoomRef>(201)
            .gives::<RoomRef>(200)
            .errors(&[&[NameTaken, TooLarge, LimitReached, Busy], OF_KEYS]),
        route(
            get.clone(),
            "/v1/rooms",
            "sync",
            "list_rooms",
            "A page of the caller's rooms with their numbers.",
        )
        .query::<RoomPage>()
        .gives::<Rooms>(200)
        .errors(&[&[Busy]]),
        route(
            get.clone(),
            "/v1/rooms/by_name/{name}",
            "find",
            "find_room",
            "The public or invite-only room of a name.",
        )
        .gives::<RoomRef>(200)
        .errors(&[&[RoomNotFound, TooLarge, Busy]]),
        Route {
            shape: Shape::OneRow,
            ..route(
                get,
                "/v1/rooms/{room}",
                "sync",
                "get_room",
                "One of the caller's rooms with its numbers.",
            )
        }
        .gives::<RoomRow>(200)
        .errors(&[&[RoomNotFound, Busy]]),
        route(Method::PATCH, "/v1/rooms/{room}", "settings", "change_room", "Changes what is given.")
            .body::<ChangeRoom>()
            .gives::<Done>(200)
            .errors(&[
                OF_MEMBERS,
                OF_KEYS,
                &[Forbidden, NameTaken, TooLarge, Conflict, AttachmentNotFound, AttachmentNotReady],
            ]),
        route(
            delete.clone(),
            "/v1/rooms/{room}",
            "delete_room",
            "delete_room",
            "Deletes a room with all that is in it, for ever.",
        )
        .query::<WithKey>()
        .gives::<Done>(200)
        .errors(&[OF_MEMBERS, OF_KEYS, &[Forbidden]]),
        route(
            Method::GET,
            "/v1/rooms/{room}/about",
            "about",
            "about_room",
            "What a room is: its settings and its size; of a public room also for who is no member.",
        )
        .gives::<About>(200)
        .errors(&[OF_MEMBERS]),
        route(
            post,
            "/v1/direct",
            "direct",
            "open_direct",
            "Begins or finds the conversation with somebody, and accepts it. With whom the caller shares no room it waits until the other accepts.",
        )
        .body::<OpenDirect>()
        .gives::<Begun>(200)
        .errors(&[&[Blocked, Forbidden, LimitReached, Busy, Unknown]]),
        route(
            Method::POST,
            "/v1/rooms/{room}/accept",
            "accept_conversation",
            "accept_conversation",
            "Accepts a conversation that a stranger began.",
        )
        .body::<WithKey>()
        .gives::<Done>(200)
        .errors(&[OF_MEMBERS, OF_KEYS, &[Conflict]]),
        route(
            Method::POST,
            "/v1/rooms/{room}/decline",
            "decline_conversation",
            "decline_conversation",
            "Does not accept it: it leaves the caller's list, and whoever began it is not told.",
        )
        .body::<WithKey>()
        .gives::<Done>(200)
        .errors(&[OF_MEMBERS, OF_KEYS, &[Conflict]]),
        route(
            put,
            "/v1/blocks/{user}",
            "block",
            "block_user",
            "Stops the conversation and invitations, both ways.",
        )
        .tag("blocks")
        .query::<WithKey>()
        .gives::<Done>(200)
        .errors(&[OF_KEYS, &[LimitReached, Busy]]),
        route(delete, "/v1/blocks/{user}", "unblock", "unblock_user", "Takes a block back.")
            .tag("blocks")
            .query::<WithKey>()
            .gives::<Done>(200)
            .errors(&[OF_KEYS, &[Busy]]),
    ]
}

fn members() -> Vec<Route> {
    let on_user = |path, op, name, summary| {
        route(Method::POST, path, op, name, summary).tag("members").gives::<Done>(200).errors(&[
            OF_MEMBERS,
            OF_KEYS,
            &[Forbidden, Conflict],
        ])
    };
    vec![
        route(
            Method::GET,
            "/v1/rooms/{room}/members",
            "members",
            "list_members",
            "A page of a room's members.",
        )
        .tag("members")
        .query::<MemberPage>()
        .gives::<Members>(200)
        .errors(&[OF_MEMBERS]),
        route(
            Method::GET,
            "/v1/rooms/{room}/here",
            "presence",
            "list_here",
            "Who of a room is online in it.",
        )
        .tag("members")
        .gives::<Here>(200)
        .errors(&[OF_MEMBERS]),
        on_user(
            "/v1/rooms/{room}/join",
            "join",
            "join_room",
            "Becomes a member of a public room, or of one that a link leads into.",
        )
        .body::<JoinRoom>()
        .errors(&[&[LimitReached, InvalidCode]]),
        on_user("/v1/rooms/{room}/leave", "leave", "leave_room", "Leaves a room.")
            .body::<WithKey>()
            .errors(&[&[LastOwner]]),
        on_user("/v1/rooms/{room}/invite", "invite", "invite_user", "Adds somebody as a member.")
            .body::<OnUser>()
            .errors(&[&[Blocked, LimitReached]]),
        on_user("/v1/rooms/{room}/kick", "kick", "kick_user", "Removes a member.").body::<Kick>(),
        on_user("/v1/rooms/{room}/ban", "ban", "ban_user", "Removes somebody and keeps them out.")
            .body::<Ban>()
            .errors(&[&[LimitReached]]),
        on_user("/v1/rooms/{room}/unban", "unban", "unban_user", "Takes a ban back.").body::<OnUser>(),
        on_user("/v1/rooms/{room}/mute", "mute", "mute_user", "Keeps a member from posting.")
            .body::<Mute>()
            .errors(&[&[LimitReached]]),
        on_user("/v1/rooms/{room}/unmute", "unmute", "unmute_user", "Lets a member post again.")
            .body::<OnUser>(),
        route(
            Method::GET,
            "/v1/rooms/{room}/bans",
            "bans",
            "list_bans",
            "A page of the bans that stand, for moderators and above.",
        )
        .tag("members")
        .query::<MemberPage>()
        .gives::<Bans>(200)
        .errors(&[OF_MEMBERS, &[Forbidden]]),
        route(
            Method::GET,
            "/v1/rooms/{room}/mutes",
            "mutes",
            "list_mutes",
            "A page of the mutes that stand, for moderators and above.",
        )
        .tag("members")
        .query::<MemberPage>()
        .gives::<Mutes>(200)
        .errors(&[OF_MEMBERS, &[Forbidden]]),
        on_user("/v1/rooms/{room}/transfer", "transfer", "transfer_room", "Makes another member the owner.")
            .body::<OnUser>(),
        route(
            Method::PUT,
            "/v1/rooms/{room}/members/{user}/role",
            "role",
            "set_role",
            "Gives a member a role.",
        )
        .tag("members")
        .body::<SetRole>()
        .gives::<Done>(200)
        .errors(&[OF_MEMBERS, OF_KEYS, &[Forbidden, Conflict, LastOwner]]),
    ]
}

fn links() -> Vec<Route> {
    vec![
        route(
            Method::POST,
            "/v1/rooms/{room}/links",
            "link",
            "make_link",
            "Makes a link that lets people in; for moderators and above.",
        )
        .tag("members")
        .body::<MakeLink>()
        .gives::<LinkMade>(200)
        .errors(&[OF_MEMBERS, OF_KEYS, &[Forbidden, Conflict, LimitReached]]),
        route(
            Method::GET,
            "/v1/rooms/{room}/links",
            "links",
            "list_links",
            "The links that live, without their codes; for moderators and above.",
        )
        .tag("members")
        .gives::<Links>(200)
        .errors(&[OF_MEMBERS, &[Forbidden]]),
        route(
            Method::DELETE,
            "/v1/rooms/{room}/links/{link}",
            "unlink",
            "end_link",
            "Ends a link; for moderators and above.",
        )
        .tag("members")
        .query::<WithKey>()
        .gives::<Done>(200)
        .errors(&[OF_MEMBERS, OF_KEYS, &[Forbidden, Conflict]]),
        route(
            Method::POST,
            "/v1/links/look",
            "look",
            "look_at_link",
            "Where the code of a link leads, before one joins.",
        )
        .tag("members")
        .body::<WithCode>()
        .gives::<LinkTarget>(200)
        .errors(&[&[InvalidCode, Banned, Busy]]),
    ]
}

fn asking() -> Vec<Route> {
    const ONE: &str = "/v1/rooms/{room}/join_request";
    let of_moderators = |path, op, name, summary| {
        route(Method::POST, path, op, name, summary)
            .tag("members")
            .body::<WithKey>()
            .gives::<Done>(200)
            .errors(&[OF_MEMBERS, OF_KEYS, &[Forbidden, Conflict, Blocked, LimitReached]])
    };
    vec![
        route(
            Method::GET,
            "/v1/rooms/discover",
            "discover",
            "discover_rooms",
            "A page of the public rooms that one may join, by their names.",
        )
        .query::<DiscoverPage>()
        .gives::<DiscoveredRooms>(200)
        .errors(&[&[TooLarge, Busy]]),
        route(
            Method::POST,
            ONE,
            "request_join",
            "request_join",
            "Asks to become a member of an invite-only room.",
        )
        .tag("members")
        .body::<AskToJoin>()
        .gives::<Done>(200)
        .errors(&[OF_KEYS, &[RoomNotFound, Banned, Busy, Forbidden, Conflict, LimitReached, TooLarge]]),
        route(Method::DELETE, ONE, "withdraw_request", "withdraw_request", "Takes the request back.")
            .tag("members")
            .query::<WithKey>()
            .gives::<Done>(200)
            .errors(&[OF_KEYS, &[RoomNotFound, Banned, Busy, Conflict]]),
        route(
            Method::GET,
            "/v1/join_requests",
            "my_requests",
            "list_my_requests",
            "A page of the caller's requests to become a member.",
        )
        .tag("members")
        .query::<RoomPage>()
        .gives::<OwnRequests>(200)
        .errors(&[&[Busy]]),
        route(
            Method::GET,
            "/v1/rooms/{room}/join_requests",
            "requests",
            "list_requests",
            "A page of the requests that are open; for moderators and above.",
        )
        .tag("members")
        .query::<MemberPage>()
        .gives::<JoinRequests>(200)
        .errors(&[OF_MEMBERS, &[Forbidden]]),
        route(
            Method::GET,
            "/v1/rooms/{room}/moderation",
            "moderation_log",
            "list_moderation",
            "A page of what moderators did, newest first; for moderators and above.",
        )
        .tag("members")
        .query::<ActPage>()
        .gives::<Acts>(200)
        .errors(&[OF_MEMBERS, &[Forbidden]]),
        of_moderators(
            "/v1/rooms/{room}/join_requests/{user}/accept",
            "accept_request",
            "accept_request",
            "Makes a member of who asked; for moderators and above.",
        ),
        of_moderators(
            "/v1/rooms/{room}/join_requests/{user}/decline",
            "decline_request",
            "decline_request",
            "Declines a request; for moderators and above.",
        ),
    ]
}

fn reports() -> Vec<Route> {
    const ALL: &str = "/v1/rooms/{room}/reports";
    vec![
        route(Method::POST, ALL, "report", "make_report", "Reports a message, a member, or the room.")
            .tag("members")
            .body::<MakeReport>()
            .gives::<Done>(200)
            .errors(&[OF_MEMBERS, OF_KEYS, &[MessageNotFound, Conflict, LimitReached, TooLarge]]),
        route(
            Method::GET,
            ALL,
            "reports",
            "list_reports",
            "A page of the reports of messages and members; for moderators and above.",
        )
        .tag("members")
        .query::<ReportPage>()
        .gives::<Reports>(200)
        .errors(&[OF_MEMBERS, &[Forbidden]]),
        route(
            Method::POST,
            "/v1/rooms/{room}/reports/resolve",
            "resolve_report",
            "resolve_report",
            "Says what came of a report; for moderators and above.",
        )
        .tag("members")
        .body::<ResolveReport>()
        .gives::<Done>(200)
        .errors(&[OF_MEMBERS, OF_KEYS, &[Forbidden, Conflict, TooLarge]]),
    ]
}

fn messages() -> Vec<Route> {
    let of_message = |method, path, op, name, summary| {
        route(method, path, op, name, summary).tag("messages").gives::<Done>(200).errors(&[
            OF_MEMBERS,
            OF_KEYS,
            &[MessageNotFound, Forbidden, Muted, Blocked, RequestPending],
        ])
    };
    const PIN: &str = "/v1/rooms/{room}/messages/{seq}/pin";
    const MESSAGE: &str = "/v1/rooms/{room}/messages/{seq}";
    const REACTION: &str = "/v1/rooms/{room}/messages/{seq}/reactions/{emoji}";
    vec![
        route(Method::GET, "/v1/rooms/{room}/messages", "history", "list_messages", "A page of the past.")
            .tag("messages")
            .query::<HistoryPage>()
            .gives::<History>(200)
            .errors(&[OF_MEMBERS]),
        route(
            Method::POST,
            "/v1/rooms/{room}/messages",
            "send",
            "send_message",
            "Posts a message; 200 when its key was used for it before.",
        )
        .tag("messages")
        .body::<SendMessage>()
        .gives::<Sent>(201)
        .gives::<Sent>(200)
        .errors(&[
            OF_MEMBERS,
            OF_KEYS,
            &[MessageNotFound, Forbidden, Muted, Blocked, RequestPending, TooLarge, SlowMode],
            &[AttachmentNotReady, AttachmentNotFound],
        ]),
        route(Method::GET, "/v1/rooms/{room}/pins", "pins", "list_pins", "Which messages are pinned.")
            .tag("messages")
            .gives::<Pins>(200)
            .errors(&[OF_MEMBERS]),
        of_message(Method::PATCH, MESSAGE, "edit", "edit_message", "Changes the text of one's own message.")
            .body::<EditMessage>()
            .errors(&[&[TooLarge]]),
        of_message(Method::DELETE, MESSAGE, "delete", "delete_message", "Deletes a message.")
            .query::<WithKey>(),
        of_message(Method::PUT, REACTION, "react", "add_reaction", "Reacts to a message.")
            .query::<WithKey>()
            .implies(&[("on", true)])
            .errors(&[&[LimitReached]]),
        of_message(Method::DELETE, REACTION, "react", "remove_reaction", "Takes a reaction back.")
            .query::<WithKey>()
            .implies(&[("on", false)]),
        of_message(Method::PUT, PIN, "pin", "pin_message", "Pins a message.")
            .query::<WithKey>()
            .implies(&[("on", true)])
            .errors(&[&[LimitReached, Conflict]]),
        of_message(Method::DELETE, PIN, "pin", "unpin_message", "Unpins a message.")
            .query::<WithKey>()
            .implies(&[("on", false)])
            .errors(&[&[Conflict]]),
    ]
}

fn positions() -> Vec<Route> {
    let position = |path, op, name, summary| {
        route(Method::POST, path, op, name, summary).tag("positions").errors(&[OF_MEMBERS])
    };
    vec![
        position("/v1/rooms/{room}/read", "read", "read_up_to", "Has read up to a message; never goes back.")
            .body::<At>()
            .gives::<Unread>(200),
        position(
            "/v1/rooms/{room}/mark_unread",
            "mark_unread",
            "mark_unread",
            "Makes a message the first unread one.",
        )
        .body::<At>()
        .gives::<Unread>(200),
        position(
            "/v1/rooms/{room}/clear",
            "clear",
            "delete_for_me",
            "Deletes the past of a conversation of two up to a message, for the caller alone.",
        )
        .body::<At>()
        .gives::<Done>(200)
        .errors(&[&[Forbidden, Unavailable]]),
        position(
            "/v1/rooms/{room}/delivered",
            "delivered",
            "delivered_up_to",
            "A device has stored up to a message.",
        )
        .body::<At>()
        .gives::<Done>(200),
        position("/v1/rooms/{room}/typing", "typing", "set_typing", "Is typing, or stopped.")
            .body::<Typing>()
            .gives::<Done>(200)
            .errors(&[&[RequestPending]]),
    ]
}
