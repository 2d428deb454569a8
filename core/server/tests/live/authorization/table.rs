//! Who may do what: the table that `docs/authorization.md` shows and that a real server is held to.
//!
//! **A new operation or command** gets a row here, in [`ROOM`] when it is about a room, in [`ACCOUNT`] when it is about the caller's own account, and
//! in [`OPEN`] when it needs no token. A row has a name, the request (method, path, body), the command that asks the same, and one answer for each
//! column: `ok` or a code. `LYNK_UPDATE_DOCS=1` writes the page. Places: `{room}`, `{room_name}`, `{user}` (a plain member; on the other side of a
//! conversation the one who blocks), `{outsider}`, `{an_owner}`, `{an_admin}`, `{a_moderator}`, `{a_muted}`, `{a_banned}`, `{seq}` (of somebody's message),
//! `{own}` (of one's own), `{pinned}`, `{key}` (new each time), `{name}` (that nobody has), `{token}`, `{foreign_token}`, `{session}`, `{foreign_session}`, `{my_name}`,
//! `{code}` and `{link}` (of a link into the room; of another room for `blocked`), `{no_code}`, `{club}` (an invite-only room of the owner). `{outsider}` has
//! asked to become a member of the private room when it was not hidden.

/// Method, path and body of a request.
pub(super) type Request = (&'static str, &'static str, &'static str);

/// Something that can be asked for, and what each asker is answered.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) rest: Option<Request>,
    pub(super) command: Option<&'static str>,
    /// One word for each column of its table.
    pub(super) cells: &'static str,
}

const fn row(
    name: &'static str,
    rest: Option<Request>,
    command: Option<&'static str>,
    cells: &'static str,
) -> Row {
    Row { name, rest, command, cells }
}

/// Columns of [`ROOM`]. The room is private, but for `passer-by`, who looks at a public one without being in it, and `blocked`, who is in a
/// conversation whose other side blocks.
pub(super) const IN_ROOM: [&str; 11] = [
    "anonymous",
    "suspended",
    "stranger",
    "passer-by",
    "banned",
    "blocked",
    "member",
    "muted",
    "moderator",
    "admin",
    "owner",
];

/// Columns of [`ACCOUNT`]: `signed in` proved who it is a moment ago, `stale` long before.
pub(super) const OF_ACCOUNT: [&str; 4] = ["anonymous", "suspended", "stale", "signed in"];

/// The column of [`OPEN`].
pub(super) const ANYBODY: [&str; 1] = ["anybody"];

/// About a room.
pub(super) const ROOM: &[Row] = &[
    row(
        "create",
        Some(("POST", "/v1/rooms", r#"{"key":"{key}","name":"{name}"}"#)),
        Some(r#"{"op":"create","key":"{key}","name":"{name}"}"#),
        "not_signed_in invalid_token ok ok ok ok ok ok ok ok ok",
    ),
    row(
        "direct",
        Some(("POST", "/v1/direct", r#"{"user":"{user}"}"#)),
        Some(r#"{"op":"direct","user":"{user}"}"#),
        "not_signed_in invalid_token ok ok ok ok ok ok ok ok ok",
    ),
    row(
        "accept a conversation that nobody asked for",
        Some(("POST", "/v1/rooms/{room}/accept", r#"{"key":"{key}"}"#)),
        Some(r#"{"op":"accept_conversation","room":"{room}","key":"{key}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned conflict conflict conflict conflict conflict conflict",
    ),
    row(
        "decline a conversation that nobody asked for",
        Some(("POST", "/v1/rooms/{room}/decline", r#"{"key":"{key}"}"#)),
        Some(r#"{"op":"decline_conversation","room":"{room}","key":"{key}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned conflict conflict conflict conflict conflict conflict",
    ),
    row(
        "find a room by a name that nobody has",
        Some(("GET", "/v1/rooms/by_name/{name}", "")),
        Some(r#"{"op":"find","name":"{name}"}"#),
        "not_signed_in invalid_token room_not_found room_not_found room_not_found room_not_found room_not_found room_not_found room_not_found room_not_found room_not_found",
    ),
    row(
        "find the room by its name",
        Some(("GET", "/v1/rooms/by_name/{room_name}", "")),
        Some(r#"{"op":"find","name":"{room_name}"}"#),
        "not_signed_in invalid_token room_not_found ok room_not_found room_not_found room_not_found room_not_found room_not_found room_not_found room_not_found",
    ),
    row(
        "join",
        Some(("POST", "/v1/rooms/{room}/join", r#"{"key":"{key}"}"#)),
        Some(r#"{"op":"join","room":"{room}","key":"{key}"}"#),
        "not_signed_in invalid_token room_not_found ok banned ok ok ok ok ok ok",
    ),
    row(
        "invite",
        Some(("POST", "/v1/rooms/{room}/invite", r#"{"user":"{outsider}","key":"{key}"}"#)),
        Some(r#"{"op":"invite","room":"{room}","user":"{outsider}","key":"{key}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden ok ok ok",
    ),
    row(
        "leave",
        Some(("POST", "/v1/rooms/{room}/leave", r#"{"key":"{key}"}"#)),
        Some(r#"{"op":"leave","room":"{room}","key":"{key}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden ok ok ok ok last_owner",
    ),
    row(
        "get the row of a room",
        Some(("GET", "/v1/rooms/{room}", "")),
        None,
        "not_signed_in invalid_token room_not_found room_not_found room_not_found ok ok ok ok ok ok",
    ),
    row(
        "about",
        Some(("GET", "/v1/rooms/{room}/about", "")),
        Some(r#"{"op":"about","room":"{room}"}"#),
        "not_signed_in invalid_token room_not_found ok banned ok ok ok ok ok ok",
    ),
    row(
        "subscribe",
        None,
        Some(r#"{"op":"subscribe","room":"{room}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned ok ok ok ok ok ok",
    ),
    row(
        "unsubscribe",
        None,
        Some(r#"{"op":"unsubscribe","room":"{room}"}"#),
        "not_signed_in invalid_token ok ok ok ok ok ok ok ok ok",
    ),
    row(
        "history",
        Some(("GET", "/v1/rooms/{room}/messages", "")),
        Some(r#"{"op":"history","room":"{room}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned ok ok ok ok ok ok",
    ),
    row(
        "send",
        Some(("POST", "/v1/rooms/{room}/messages", r#"{"key":"{key}","text":"hello"}"#)),
        Some(r#"{"op":"send","room":"{room}","key":"{key}","text":"hello"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned blocked ok muted ok ok ok",
    ),
    row(
        "send, mentioning all",
        Some(("POST", "/v1/rooms/{room}/messages", r#"{"key":"{key}","text":"hello","mention_all":true}"#)),
        Some(r#"{"op":"send","room":"{room}","key":"{key}","text":"hello","mention_all":true}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned blocked forbidden muted ok ok ok",
    ),
    row(
        "edit somebody's message",
        Some(("PATCH", "/v1/rooms/{room}/messages/{seq}", r#"{"key":"{key}","text":"changed"}"#)),
        Some(r#"{"op":"edit","room":"{room}","seq":"{seq}","key":"{key}","text":"changed"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned blocked forbidden muted forbidden forbidden forbidden",
    ),
    row(
        "edit one's own message",
        Some(("PATCH", "/v1/rooms/{room}/messages/{own}", r#"{"key":"{key}","text":"changed"}"#)),
        Some(r#"{"op":"edit","room":"{room}","seq":"{own}","key":"{key}","text":"changed"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned blocked ok muted ok ok ok",
    ),
    row(
        "delete somebody's message",
        Some(("DELETE", "/v1/rooms/{room}/messages/{seq}?key={key}", "")),
        Some(r#"{"op":"delete","room":"{room}","seq":"{seq}","key":"{key}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden ok ok ok",
    ),
    row(
        "delete one's own message",
        Some(("DELETE", "/v1/rooms/{room}/messages/{own}?key={key}", "")),
        Some(r#"{"op":"delete","room":"{room}","seq":"{own}","key":"{key}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned ok ok ok ok ok ok",
    ),
    row(
        "react",
        Some(("PUT", "/v1/rooms/{room}/messages/{seq}/reactions/x?key={key}", "")),
        Some(r#"{"op":"react","room":"{room}","seq":"{seq}","key":"{key}","emoji":"x"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned blocked ok muted ok ok ok",
    ),
    row(
        "take a reaction back that is not there",
        Some(("DELETE", "/v1/rooms/{room}/messages/{seq}/reactions/x?key={key}", "")),
        Some(r#"{"op":"react","room":"{room}","seq":"{seq}","key":"{key}","emoji":"x","on":false}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned blocked conflict muted conflict conflict conflict",
    ),
    row(
        "pin",
        Some(("PUT", "/v1/rooms/{room}/messages/{seq}/pin?key={key}", "")),
        Some(r#"{"op":"pin","room":"{room}","seq":"{seq}","key":"{key}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden ok ok ok",
    ),
    row(
        "unpin",
        Some(("DELETE", "/v1/rooms/{room}/messages/{pinned}/pin?key={key}", "")),
        Some(r#"{"op":"pin","room":"{room}","seq":"{pinned}","key":"{key}","on":false}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden ok ok ok",
    ),
    row(
        "pins",
        Some(("GET", "/v1/rooms/{room}/pins", "")),
        Some(r#"{"op":"pins","room":"{room}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned ok ok ok ok ok ok",
    ),
    row(
        "make a link",
        Some(("POST", "/v1/rooms/{room}/links", r#"{"key":"{key}","uses":2}"#)),
        Some(r#"{"op":"link","room":"{room}","key":"{key}","uses":2}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden ok ok ok",
    ),
    row(
        "links",
        Some(("GET", "/v1/rooms/{room}/links", "")),
        Some(r#"{"op":"links","room":"{room}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden ok ok ok",
    ),
    row(
        "end a link",
        Some(("DELETE", "/v1/rooms/{room}/links/{link}?key={key}", "")),
        Some(r#"{"op":"unlink","room":"{room}","link":"{link}","key":"{key}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden ok ok ok",
    ),
    row(
        "look at a link",
        Some(("POST", "/v1/links/look", r#"{"code":"{code}"}"#)),
        Some(r#"{"op":"look","code":"{code}"}"#),
        "not_signed_in invalid_token ok ok banned ok ok ok ok ok ok",
    ),
    row(
        "look at a code that nobody made",
        Some(("POST", "/v1/links/look", r#"{"code":"{no_code}"}"#)),
        Some(r#"{"op":"look","code":"{no_code}"}"#),
        "not_signed_in invalid_token invalid_code invalid_code invalid_code invalid_code invalid_code invalid_code invalid_code invalid_code invalid_code",
    ),
    row(
        "join by a link",
        Some(("POST", "/v1/rooms/{room}/join", r#"{"key":"{key}","code":"{code}"}"#)),
        Some(r#"{"op":"join","room":"{room}","key":"{key}","code":"{code}"}"#),
        "not_signed_in invalid_token ok ok banned invalid_code ok ok ok ok ok",
    ),
    row(
        "discover",
        Some(("GET", "/v1/rooms/discover?name=room", "")),
        Some(r#"{"op":"discover","name":"room"}"#),
        "not_signed_in invalid_token ok ok ok ok ok ok ok ok ok",
    ),
    row(
        "ask to become a member",
        Some(("POST", "/v1/rooms/{room}/join_request", r#"{"key":"{key}"}"#)),
        Some(r#"{"op":"request_join","room":"{room}","key":"{key}"}"#),
        "not_signed_in invalid_token room_not_found conflict banned conflict conflict conflict conflict conflict conflict",
    ),
    row(
        "ask to become a member of an invite-only room",
        Some(("POST", "/v1/rooms/{club}/join_request", r#"{"key":"{key}","text":"hello"}"#)),
        Some(r#"{"op":"request_join","room":"{club}","key":"{key}","text":"hello"}"#),
        "not_signed_in invalid_token ok ok ok ok ok ok ok ok conflict",
    ),
    row(
        "take back what one has not asked",
        Some(("DELETE", "/v1/rooms/{room}/join_request?key={key}", "")),
        Some(r#"{"op":"withdraw_request","room":"{room}","key":"{key}"}"#),
        "not_signed_in invalid_token room_not_found conflict banned conflict conflict conflict conflict conflict conflict",
    ),
    row(
        "list one's requests",
        Some(("GET", "/v1/join_requests", "")),
        Some(r#"{"op":"my_requests"}"#),
        "not_signed_in invalid_token ok ok ok ok ok ok ok ok ok",
    ),
    row(
        "list requests",
        Some(("GET", "/v1/rooms/{room}/join_requests", "")),
        Some(r#"{"op":"requests","room":"{room}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden ok ok ok",
    ),
    row(
        "report a message",
        Some(("POST", "/v1/rooms/{room}/reports", r#"{"key":"{key}","seq":"{seq}","reason":"spam"}"#)),
        Some(r#"{"op":"report","room":"{room}","key":"{key}","seq":"{seq}","reason":"spam"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned ok ok ok ok ok ok",
    ),
    row(
        "reports",
        Some(("GET", "/v1/rooms/{room}/reports", "")),
        Some(r#"{"op":"reports","room":"{room}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden ok ok ok",
    ),
    row(
        "resolve a report that is not there",
        Some((
            "POST",
            "/v1/rooms/{room}/reports/resolve",
            r#"{"key":"{key}","number":1,"outcome":"dismissed"}"#,
        )),
        Some(r#"{"op":"resolve_report","room":"{room}","key":"{key}","number":1,"outcome":"dismissed"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden conflict conflict conflict",
    ),
    row(
        "what moderators did",
        Some(("GET", "/v1/rooms/{room}/moderation", "")),
        Some(r#"{"op":"moderation_log","room":"{room}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden ok ok ok",
    ),
    row(
        "accept a request",
        Some(("POST", "/v1/rooms/{room}/join_requests/{outsider}/accept", r#"{"key":"{key}"}"#)),
        Some(r#"{"op":"accept_request","room":"{room}","user":"{outsider}","key":"{key}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden ok ok ok",
    ),
    row(
        "decline a request",
        Some(("POST", "/v1/rooms/{room}/join_requests/{outsider}/decline", r#"{"key":"{key}"}"#)),
        Some(r#"{"op":"decline_request","room":"{room}","user":"{outsider}","key":"{key}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden ok ok ok",
    ),
    row(
        "read",
        Some(("POST", "/v1/rooms/{room}/read", r#"{"seq":"{seq}"}"#)),
        Some(r#"{"op":"read","room":"{room}","seq":"{seq}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned ok ok ok ok ok ok",
    ),
    row(
        "delivered",
        Some(("POST", "/v1/rooms/{room}/delivered", r#"{"seq":"{seq}"}"#)),
        Some(r#"{"op":"delivered","room":"{room}","seq":"{seq}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned ok ok ok ok ok ok",
    ),
    row(
        "mark_unread",
        Some(("POST", "/v1/rooms/{room}/mark_unread", r#"{"seq":"{seq}"}"#)),
        Some(r#"{"op":"mark_unread","room":"{room}","seq":"{seq}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned ok ok ok ok ok ok",
    ),
    row(
        "clear",
        Some(("POST", "/v1/rooms/{room}/clear", r#"{"seq":"{seq}"}"#)),
        Some(r#"{"op":"clear","room":"{room}","seq":"{seq}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned ok forbidden forbidden forbidden forbidden forbidden",
    ),
    row(
        "typing",
        Some(("POST", "/v1/rooms/{room}/typing", r#"{"on":true}"#)),
        Some(r#"{"op":"typing","room":"{room}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned blocked ok muted ok ok ok",
    ),
    row(
        "members",
        Some(("GET", "/v1/rooms/{room}/members", "")),
        Some(r#"{"op":"members","room":"{room}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned ok ok ok ok ok ok",
    ),
    row(
        "who is here, without a subscription",
        Some(("GET", "/v1/rooms/{room}/here", "")),
        None,
        "not_signed_in invalid_token not_a_member not_a_member not_a_member ok ok ok ok ok ok",
    ),
    row(
        "presence of a room, without a subscription",
        None,
        Some(r#"{"op":"presence","room":"{room}"}"#),
        "not_signed_in invalid_token not_a_member not_a_member not_a_member not_a_member not_a_member not_a_member not_a_member not_a_member not_a_member",
    ),
    row(
        "presence of a user",
        None,
        Some(r#"{"op":"presence","watch":["{user}"]}"#),
        "not_signed_in invalid_token ok ok ok ok ok ok ok ok ok",
    ),
    row(
        "make a member moderator",
        Some(("PUT", "/v1/rooms/{room}/members/{user}/role", r#"{"role":"moderator","key":"{key}"}"#)),
        Some(r#"{"op":"role","room":"{room}","user":"{user}","role":"moderator","key":"{key}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden forbidden ok ok",
    ),
    row(
        "make a member admin",
        Some(("PUT", "/v1/rooms/{room}/members/{user}/role", r#"{"role":"admin","key":"{key}"}"#)),
        Some(r#"{"op":"role","room":"{room}","user":"{user}","role":"admin","key":"{key}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden forbidden forbidden ok",
    ),
    row(
        "take an admin's role",
        Some(("PUT", "/v1/rooms/{room}/members/{an_admin}/role", r#"{"role":"member","key":"{key}"}"#)),
        Some(r#"{"op":"role","room":"{room}","user":"{an_admin}","role":"member","key":"{key}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden forbidden forbidden ok",
    ),
    row(
        "transfer",
        Some(("POST", "/v1/rooms/{room}/transfer", r#"{"user":"{user}","key":"{key}"}"#)),
        Some(r#"{"op":"transfer","room":"{room}","user":"{user}","key":"{key}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden forbidden forbidden ok",
    ),
    row(
        "kick a member",
        Some(("POST", "/v1/rooms/{room}/kick", r#"{"user":"{user}","key":"{key}"}"#)),
        Some(r#"{"op":"kick","room":"{room}","user":"{user}","key":"{key}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden ok ok ok",
    ),
    row(
        "kick a moderator",
        Some(("POST", "/v1/rooms/{room}/kick", r#"{"user":"{a_moderator}","key":"{key}"}"#)),
        Some(r#"{"op":"kick","room":"{room}","user":"{a_moderator}","key":"{key}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden forbidden ok ok",
    ),
    row(
        "kick the owner",
        Some(("POST", "/v1/rooms/{room}/kick", r#"{"user":"{an_owner}","key":"{key}"}"#)),
        Some(r#"{"op":"kick","room":"{room}","user":"{an_owner}","key":"{key}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden forbidden forbidden forbidden",
    ),
    row(
        "ban a member",
        Some(("POST", "/v1/rooms/{room}/ban", r#"{"user":"{user}","key":"{key}"}"#)),
        Some(r#"{"op":"ban","room":"{room}","user":"{user}","key":"{key}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden ok ok ok",
    ),
    row(
        "ban a moderator",
        Some(("POST", "/v1/rooms/{room}/ban", r#"{"user":"{a_moderator}","key":"{key}"}"#)),
        Some(r#"{"op":"ban","room":"{room}","user":"{a_moderator}","key":"{key}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden forbidden ok ok",
    ),
    row(
        "unban",
        Some(("POST", "/v1/rooms/{room}/unban", r#"{"user":"{a_banned}","key":"{key}"}"#)),
        Some(r#"{"op":"unban","room":"{room}","user":"{a_banned}","key":"{key}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden ok ok ok",
    ),
    row(
        "mute a member",
        Some(("POST", "/v1/rooms/{room}/mute", r#"{"user":"{user}","key":"{key}"}"#)),
        Some(r#"{"op":"mute","room":"{room}","user":"{user}","key":"{key}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden ok ok ok",
    ),
    row(
        "mute an admin",
        Some(("POST", "/v1/rooms/{room}/mute", r#"{"user":"{an_admin}","key":"{key}"}"#)),
        Some(r#"{"op":"mute","room":"{room}","user":"{an_admin}","key":"{key}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden forbidden forbidden ok",
    ),
    row(
        "unmute",
        Some(("POST", "/v1/rooms/{room}/unmute", r#"{"user":"{a_muted}","key":"{key}"}"#)),
        Some(r#"{"op":"unmute","room":"{room}","user":"{a_muted}","key":"{key}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden ok ok ok",
    ),
    row(
        "bans",
        Some(("GET", "/v1/rooms/{room}/bans", "")),
        Some(r#"{"op":"bans","room":"{room}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden ok ok ok",
    ),
    row(
        "mutes",
        Some(("GET", "/v1/rooms/{room}/mutes", "")),
        Some(r#"{"op":"mutes","room":"{room}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden ok ok ok",
    ),
    row(
        "settings",
        Some(("PATCH", "/v1/rooms/{room}", r#"{"key":"{key}","description":"new"}"#)),
        Some(r#"{"op":"settings","room":"{room}","key":"{key}","description":"new"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden forbidden ok ok",
    ),
    row(
        "settings: a picture that nobody uploaded",
        Some((
            "PATCH",
            "/v1/rooms/{room}",
            r#"{"key":"{key}","avatar":"01a21596-e29e-4295-8559-aa9fc62f21f5"}"#,
        )),
        Some(
            r#"{"op":"settings","room":"{room}","key":"{key}","avatar":"01a21596-e29e-4295-8559-aa9fc62f21f5"}"#,
        ),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden forbidden attachment_not_found attachment_not_found",
    ),
    row(
        "delete_room",
        Some(("DELETE", "/v1/rooms/{room}?key={key}", "")),
        Some(r#"{"op":"delete_room","room":"{room}","key":"{key}"}"#),
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden forbidden forbidden ok",
    ),
    row(
        "what one is notified of",
        Some(("PUT", "/v1/rooms/{room}/notifications", r#"{"mentions_only":true}"#)),
        None,
        "not_signed_in invalid_token not_a_member not_a_member not_a_member ok ok ok ok ok ok",
    ),
    row(
        "announce a file for a message",
        Some((
            "POST",
            "/v1/media",
            r#"{"purpose":"attachment","room":"{room}","type":"text/plain","bytes":1}"#,
        )),
        None,
        "not_signed_in invalid_token room_not_found not_a_member banned ok ok ok ok ok ok",
    ),
    row(
        "announce a picture of the room",
        Some((
            "POST",
            "/v1/media",
            r#"{"purpose":"room_avatar","room":"{room}","type":"image/png","bytes":1}"#,
        )),
        None,
        "not_signed_in invalid_token room_not_found not_a_member banned forbidden forbidden forbidden forbidden ok ok",
    ),
];

/// About the caller's account.
pub(super) const ACCOUNT: &[Row] = &[
    row("ping", None, Some(r#"{"op":"ping"}"#), "not_signed_in invalid_token ok ok"),
    row(
        "sync",
        Some(("GET", "/v1/rooms", "")),
        Some(r#"{"op":"sync"}"#),
        "not_signed_in invalid_token ok ok",
    ),
    row(
        "block",
        Some(("PUT", "/v1/blocks/{user}?key={key}", "")),
        Some(r#"{"op":"block","user":"{user}","key":"{key}"}"#),
        "not_signed_in invalid_token ok ok",
    ),
    row(
        "unblock",
        Some(("DELETE", "/v1/blocks/{user}?key={key}", "")),
        Some(r#"{"op":"unblock","user":"{user}","key":"{key}"}"#),
        "not_signed_in invalid_token ok ok",
    ),
    row(
        "refresh the socket with the session's token",
        None,
        Some(r#"{"op":"refresh","token":"{token}"}"#),
        "not_signed_in invalid_token ok ok",
    ),
    row(
        "refresh the socket with somebody else's token",
        None,
        Some(r#"{"op":"refresh","token":"{foreign_token}"}"#),
        "not_signed_in invalid_token invalid_token invalid_token",
    ),
    row("blocks", Some(("GET", "/v1/blocks", "")), None, "not_signed_in invalid_token ok ok"),
    row(
        "conversation by number",
        Some(("POST", "/v1/direct/by_phone", r#"{"phone":"+4915112340000"}"#)),
        None,
        "not_signed_in invalid_token invalid_token ok",
    ),
    row(
        "whether a room can have a name",
        Some(("GET", "/v1/rooms/name_available?name=free", "")),
        None,
        "not_signed_in invalid_token ok ok",
    ),
    row("me", Some(("GET", "/v1/me", "")), None, "not_signed_in invalid_token invalid_token ok"),
    row(
        "change the profile",
        Some(("PATCH", "/v1/me", r#"{"bio":"new"}"#)),
        None,
        "not_signed_in invalid_token invalid_token ok",
    ),
    row("privacy", Some(("GET", "/v1/me/privacy", "")), None, "not_signed_in invalid_token invalid_token ok"),
    row(
        "set privacy",
        Some(("PUT", "/v1/me/privacy", r#"{"discoverable_by_name":true}"#)),
        None,
        "not_signed_in invalid_token invalid_token ok",
    ),
    row(
        "export",
        Some(("POST", "/v1/me/export", "{}")),
        None,
        "not_signed_in invalid_token invalid_token ok",
    ),
    row(
        "erase",
        Some(("POST", "/v1/me/erase", r#"{"user_name":"{my_name}"}"#)),
        None,
        "not_signed_in invalid_token invalid_token ok",
    ),
    row(
        "erase under somebody else's name",
        Some(("POST", "/v1/me/erase", r#"{"user_name":"outsider"}"#)),
        None,
        "not_signed_in invalid_token invalid_token invalid_field",
    ),
    row(
        "register a device, where none can be told",
        Some(("PUT", "/v1/me/push", r#"{"provider":"fcm","token":"abc","platform":"android"}"#)),
        None,
        "not_signed_in invalid_token invalid_field invalid_field",
    ),
    row("remove the device", Some(("DELETE", "/v1/me/push", "")), None, "not_signed_in invalid_token ok ok"),
    row(
        "try the device",
        Some(("POST", "/v1/me/push/test", "")),
        None,
        "not_signed_in invalid_token conflict conflict",
    ),
    row(
        "two-step sign-in: whether it is on",
        Some(("GET", "/v1/me/totp", "")),
        None,
        "not_signed_in invalid_token invalid_token ok",
    ),
    row(
        "two-step sign-in: begin",
        Some(("POST", "/v1/me/totp", "")),
        None,
        "not_signed_in invalid_token invalid_token ok",
    ),
    row(
        "two-step sign-in: confirm with a wrong code",
        Some(("POST", "/v1/me/totp/confirm", r#"{"code":"000000"}"#)),
        None,
        "not_signed_in invalid_token invalid_token conflict",
    ),
    row(
        "two-step sign-in: end, while it is off",
        Some(("DELETE", "/v1/me/totp", r#"{"code":"000000"}"#)),
        None,
        "not_signed_in invalid_token invalid_token conflict",
    ),
    row(
        "two-step sign-in: recovery codes, while it is off",
        Some(("POST", "/v1/me/totp/recovery", "")),
        None,
        "not_signed_in invalid_token invalid_token conflict",
    ),
    row(
        "step-up with a wrong code",
        Some((
            "POST",
            "/v1/auth/step_up",
            r#"{"request_id":"00000000000000000000000000000000","code":"000000"}"#,
        )),
        None,
        "not_signed_in invalid_token invalid_code invalid_code",
    ),
    row(
        "code for a step-up, at once after the sign-in",
        Some(("POST", "/v1/auth/step_up/code", "")),
        None,
        "not_signed_in invalid_token invalid_token rate_limited",
    ),
    row("ticket", Some(("POST", "/v1/auth/ticket", "")), None, "not_signed_in invalid_token ok ok"),
    row(
        "logout",
        Some(("POST", "/v1/auth/logout", "")),
        None,
        "not_signed_in invalid_token invalid_token ok",
    ),
    row("sessions", Some(("GET", "/v1/sessions", "")), None, "not_signed_in invalid_token invalid_token ok"),
    row(
        "end the other sessions",
        Some(("POST", "/v1/sessions/revoke_others", "")),
        None,
        "not_signed_in invalid_token invalid_token ok",
    ),
    row(
        "end a session that one has",
        Some(("DELETE", "/v1/sessions/{session}", "")),
        None,
        "not_signed_in invalid_token invalid_token ok",
    ),
    row(
        "end somebody else's session",
        Some(("DELETE", "/v1/sessions/{foreign_session}", "")),
        None,
        "not_signed_in invalid_token invalid_token session_not_found",
    ),
    row(
        "profiles by id",
        Some(("GET", "/v1/users?ids={user}", "")),
        None,
        "not_signed_in invalid_token ok ok",
    ),
    row(
        "a profile by name",
        Some(("GET", "/v1/users/by_name/outsider", "")),
        None,
        "not_signed_in invalid_token ok ok",
    ),
    row(
        "whether a user name can be had",
        Some(("GET", "/v1/users/name_available?user_name=free.name", "")),
        None,
        "not_signed_in invalid_token ok ok",
    ),
    row(
        "search",
        Some(("GET", "/v1/users/search?q=outsider", "")),
        None,
        "not_signed_in invalid_token ok ok",
    ),
    row(
        "announce a picture of oneself",
        Some(("POST", "/v1/media", r#"{"purpose":"avatar","type":"image/png","bytes":1}"#)),
        None,
        "not_signed_in invalid_token ok ok",
    ),
    row(
        "a picture for oneself that is not one's own",
        Some(("PATCH", "/v1/me", r#"{"avatar":"01a21596-e29e-4295-8559-aa9fc62f21f5"}"#)),
        None,
        "not_signed_in invalid_token attachment_not_found attachment_not_found",
    ),
    row("list one's files", Some(("GET", "/v1/media", r#""#)), None, "not_signed_in invalid_token ok ok"),
    row(
        "what one's files take",
        Some(("GET", "/v1/media/usage", r#""#)),
        None,
        "not_signed_in invalid_token ok ok",
    ),
    row(
        "what a file is that is not one's own",
        Some(("GET", "/v1/media/01a21596-e29e-4295-8559-aa9fc62f21f5", r#""#)),
        None,
        "not_signed_in invalid_token attachment_not_found attachment_not_found",
    ),
    row(
        "delete a file that is not one's own",
        Some(("DELETE", "/v1/media/01a21596-e29e-4295-8559-aa9fc62f21f5", r#""#)),
        None,
        "not_signed_in invalid_token attachment_not_found attachment_not_found",
    ),
    row(
        "complete a file that is not one's own",
        Some(("POST", "/v1/media/01a21596-e29e-4295-8559-aa9fc62f21f5/complete", r#""#)),
        None,
        "not_signed_in invalid_token attachment_not_found attachment_not_found",
    ),
    row(
        "a link to a file that is not one's own",
        Some(("GET", "/v1/media/01a21596-e29e-4295-8559-aa9fc62f21f5/link", r#""#)),
        None,
        "not_signed_in invalid_token attachment_not_found attachment_not_found",
    ),
];

/// Without a token.
pub(super) const OPEN: &[Row] = &[
    row("keys for tokens", Some(("GET", "/.well-known/jwks.json", "")), None, "ok"),
    row("hello with a token that is none", None, Some(r#"{"op":"hello","token":"none"}"#), "invalid_token"),
    row("ask for a code", Some(("POST", "/v1/auth/code", r#"{"phone":"+4915112341111"}"#)), None, "ok"),
    row(
        "verify a code that was not asked for",
        Some((
            "POST",
            "/v1/auth/verify",
            r#"{"request_id":"00000000000000000000000000000000","code":"000000"}"#,
        )),
        None,
        "invalid_code",
    ),
    row(
        "register without a proof",
        Some(("POST", "/v1/auth/register", r#"{"registration":"lg1_none","user_name":"nobody.yet"}"#)),
        None,
        "invalid_token",
    ),
    row(
        "refresh with a token that is none",
        Some(("POST", "/v1/auth/refresh", r#"{"refresh_token":"lr1_none"}"#)),
        None,
        "invalid_token",
    ),
    row(
        "second factor without a challenge",
        Some(("POST", "/v1/auth/second_factor", r#"{"challenge":"lc1_none","code":"000000"}"#)),
        None,
        "invalid_code",
    ),
    row(
        "put a file without a link",
        Some((
            "PUT",
            "/v1/media/01a21596-e29e-4295-8559-aa9fc62f21f5/content?bytes=1&type=text%2Fplain&ends=1&signature=x",
            r#""#,
        )),
        None,
        "invalid_token",
    ),
    row(
        "get a file without a link",
        Some((
            "GET",
            "/v1/media/01a21596-e29e-4295-8559-aa9fc62f21f5/content?variant=0&user=01a21596-e29e-4295-8559-aa9fc62f21f5&session=01a21596-e29e-4295-8559-aa9fc62f21f5&ends=1&signature=x",
            r#""#,
        )),
        None,
        "invalid_token",
    ),
];
