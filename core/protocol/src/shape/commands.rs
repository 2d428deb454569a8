//! The commands, in the order of [`OPS`](crate::OPS), and what answers each.

use super::events::{EVENTS_OF_PAGE, ROOM};
use super::{CommandShape, Field, FrameKind, FrameShape, NUMBER, PLACE, Rule, SMALL, Shape, may, must};

const KEY: Field =
    must("key", Shape::Id, "Idempotency key: made once per intention, repeated on every retry.");
const SEND_KEY: Field = must("key", Shape::Id, "Idempotency key, a UUIDv7.");
const SEQ: Field = must("seq", PLACE, "Place of the message.");
const UP_TO: Field = must("seq", PLACE, "Up to here.");
const USER: Field = must("user", Shape::Id, "Who.");
const REASON: Field = may("reason", Shape::Text, "Why.");
const SECONDS: Field = may("seconds", NUMBER, "For how long; for ever without it.");
const TEXT: Field = must("text", Shape::Text, "What is said.");
const MENTIONS: Field = may("mentions", Shape::List(&Shape::Id), "Members that it mentions.");
const MENTION_ALL: Field = may("mention_all", Shape::Bool, "Mentions everybody; for moderators and above.");
const LIMIT: Field = may("limit", SMALL, "Items at most.");
const AFTER_USER: Field = may("after", Shape::Id, "Goes on behind this user.");
const CODE: Shape = Shape::Hex(64);

/// Kinds that a client can ask for.
const KINDS: Shape = Shape::Word(&["public", "private", "invite_only"]);
pub(super) const ANY_KIND: Shape = Shape::Word(&["public", "private", "invite_only", "direct"]);
pub(super) const LEVELS: Shape = Shape::Word(&["memory", "local", "replicated"]);
pub(super) const VISIBILITIES: Shape = Shape::Word(&["all", "since_join"]);
pub(super) const ROLES: Shape = Shape::Word(&["member", "moderator", "admin", "owner"]);

/// Of a 1:1 that is not accepted yet.
pub(super) const REQUEST: Field = may(
    "request",
    Shape::Word(&["sent", "received"]),
    "The 1:1 waits for the other one to accept it, or for oneself.",
);
pub(super) const REQUEST_STATES: Shape = Shape::Word(&["open", "declined"]);
pub(super) const REPORT_STATES: Shape = Shape::Word(&["open", "resolved"]);
const REPORT_REASONS: Shape =
    Shape::Word(&["spam", "harassment", "hate", "violence", "sexual", "illegal", "other"]);
const REPORT_OUTCOMES: Shape =
    Shape::Word(&["dismissed", "message_deleted", "member_kicked", "member_banned", "other"]);

const KIND: Field = may("kind", KINDS, "Who can find and join it.");
const LEVEL: Field = may("level", LEVELS, "Durability of acknowledgements.");
const VISIBILITY: Field = may("visibility", VISIBILITIES, "How much of the past a member sees.");
const DESCRIPTION: Field = may("description", Shape::Text, "What it is about; empty for nothing.");
/// Read to be refused, so that nobody believes it was taken.
const NO_AVATAR: Field = may(
    "avatar",
    Shape::IdOrNull,
    "Nothing but `null`: a picture is uploaded for a room that is there, and named in `settings`.",
);
const AVATAR: Field =
    may("avatar", Shape::IdOrNull, "A picture that one has uploaded for it; `null` for none.");
const MAX_MEMBERS: Field = may("max_members", SMALL, "Members at most; 0 for the server's limit.");
const READ_ONLY: Field = may("read_only", Shape::Bool, "Only moderators and above post.");
const RETENTION: Field =
    may("retention_days", SMALL, "Days for which messages are kept; 0 for as long as the server does.");

const RE: Field = must("re", NUMBER, "The `id` of the command that it answers; 0 for one without.");
const TIME: Field = may("time", Shape::Time, "Time of the event, by the server's clock.");
const VERSION: Field = may("version", NUMBER, "Version of the room's metadata with that.");
const UNREAD: Field = may("unread", NUMBER, "Unread messages; missing while they are counted.");
const MENTIONED: Field =
    may("mentions", NUMBER, "Those of them that mention oneself; missing while they are counted.");
const MORE: Field = must("more", Shape::Bool, "Whether there is more.");
const COVERS: Field = must(
    "covers",
    Shape::Object(&[
        must("from", NUMBER, "First seq."),
        must("to", NUMBER, "Last seq; smaller than `from` for none."),
    ]),
    "For which seqs it speaks.",
);

const fn answer(
    name: &'static str,
    ev: &'static str,
    about: &'static str,
    fields: &'static [Field],
) -> FrameShape {
    FrameShape { name, ev, kind: FrameKind::Answer, about, fields }
}

/// Done, and nothing to say.
const DONE: FrameShape = answer("ok", "ok", "Done.", &[RE]);
const DONE_IN_ROOM: FrameShape = answer("ok_room", "ok", "Done; which room it is about.", &[RE, ROOM]);
const DONE_AT: FrameShape =
    answer("ok_time", "ok", "Done; the server's time.", &[RE, must("time", Shape::Time, "Now.")]);
/// What a command has made of a room. An event is missing where nothing changed.
const CHANGED: FrameShape = answer(
    "ok_changed",
    "ok",
    "Done. With the place of the event that it made, when it made one; of a kick, ban or mute without it while the store of rooms is away.",
    &[
        RE,
        ROOM,
        may("seq", PLACE, "Place of the event."),
        TIME,
        VERSION,
        may("level", LEVELS, "Durability that was reached."),
    ],
);
const BEGUN: FrameShape = answer(
    "ok_begun",
    "ok",
    "The 1:1 is there. With the place of the event that it made, when it made one.",
    &[
        RE,
        ROOM,
        may("seq", PLACE, "Place of the event."),
        TIME,
        VERSION,
        may("level", LEVELS, "Durability that was reached."),
        REQUEST,
    ],
);
const SAID: FrameShape = answer(
    "ok_message",
    "ok",
    "The message is kept. A retry of one that was removed for its age may come without `n` and `id`.",
    &[
        RE,
        ROOM,
        must("seq", PLACE, "Its place in the room."),
        may("n", PLACE, "Its number among the room's messages."),
        may("id", Shape::Id, "The message."),
        TIME,
        must("level", LEVELS, "Durability that was reached."),
    ],
);
const POSITION: FrameShape =
    answer("ok_position", "ok", "Done; what is unread now.", &[RE, ROOM, UNREAD, MENTIONED]);
const LINKED: FrameShape = answer(
    "ok_link",
    "ok",
    "The link is made. Its code is told here and nowhere else.",
    &[
        RE,
        ROOM,
        must("link", Shape::Id, "The link."),
        must("code", CODE, "What lets people in."),
        must("until", Shape::Time, "When it is over."),
    ],
);
const GREETING: FrameShape = answer(
    "ok_hello",
    "ok",
    "Signed in.",
    &[
        RE,
        must("session", Shape::Id, "The session."),
        must("user", Shape::Id, "Who one is."),
        must("time", Shape::Time, "Now, by the server's clock."),
        must("expires", Shape::Time, "When the token is over."),
        must("heartbeat_ms", NUMBER, "How often the server sends a ping."),
        must("resume_events", NUMBER, "Events that `subscribed` tells at most."),
        must("dedupe_window_ms", NUMBER, "For how long keys are remembered in memory."),
        must("key_age_max_ms", NUMBER, "How old a key may be."),
        must("key_ahead_max_ms", NUMBER, "How far a key may be ahead of the server's clock."),
        must("commands_per_second", NUMBER, "Rate of this connection; 0 for no limit."),
        must("limits", Shape::Numbers, "Limits by their names."),
        must("features", Shape::List(&Shape::Text), "What this server can do beyond sending and receiving."),
    ],
);
const SUBSCRIBED: FrameShape = answer(
    "subscribed",
    "subscribed",
    "Where the room stands, and what was missed. Live events go on at `top + 1`, in the same stream. `re` is 0 for the rooms of `hello`.",
    &[
        RE,
        ROOM,
        must("epoch", SMALL, "Number of the room's history."),
        must("top", NUMBER, "Place of its last event."),
        must("top_n", NUMBER, "Number of its last message."),
        must("read", NUMBER, "How far one has read."),
        UNREAD,
        MENTIONED,
        must("role", ROLES, "One's role."),
        must("members", NUMBER, "How many members there are."),
        EVENTS_OF_PAGE,
        COVERS,
        MORE,
    ],
);
const PAGE: FrameShape = answer(
    "history",
    "history",
    "A page of the past.",
    &[RE, ROOM, must("epoch", SMALL, "Number of the room's history."), EVENTS_OF_PAGE, COVERS, MORE],
);
const SYNC: FrameShape = answer(
    "sync",
    "sync",
    "A page of one's rooms, ascending by id.",
    &[
        RE,
        must(
            "rooms",
            Shape::List(&Shape::Object(&[
                ROOM,
                must("kind", ANY_KIND, "Who can find and join it."),
                must("name", Shape::Text, "Its name; empty for a 1:1."),
                must("role", ROLES, "One's role."),
                may("avatar", Shape::Id, "Its picture."),
                may("peer", Shape::Id, "The other one of a 1:1."),
                REQUEST,
                may("epoch", SMALL, "Number of its history."),
                may("top", NUMBER, "Place of its last event."),
                may("read", NUMBER, "How far one has read."),
                UNREAD,
                MENTIONED,
                may("active", Shape::Time, "Time of its last event."),
                may("hidden", Shape::Bool, "There is no message after what one has deleted for oneself."),
                may("cleared", NUMBER, "Up to where one has deleted it for oneself."),
                may("muted_until", NUMBER, "One is not notified of it until then: milliseconds since 1970."),
                may("mentions_only", Shape::Bool, "One is notified of mentions only, or of everything."),
            ])),
            "The rooms. One whose numbers cannot be told in time comes without them.",
        ),
        may("next", Shape::Id, "There may be more: `after` of the next page."),
    ],
);
const HERE: FrameShape = answer(
    "here",
    "here",
    "Who is in the room now.",
    &[
        RE,
        ROOM,
        must("count", NUMBER, "How many; of a large room, connections."),
        must("sample", Shape::Bool, "`users` are some of them only."),
        must("users", Shape::List(&Shape::Id), "Who."),
    ],
);
const MEMBERS: FrameShape = answer(
    "members",
    "members",
    "A page of members, ascending by id.",
    &[
        RE,
        ROOM,
        must("count", NUMBER, "How many there are."),
        must(
            "members",
            Shape::List(&Shape::Object(&[
                must("user", Shape::Id, "Who."),
                must("role", ROLES, "Its role."),
                may("read", NUMBER, "How far it has read."),
                may("delivered", NUMBER, "How far its devices have stored."),
            ])),
            "The members.",
        ),
        MORE,
    ],
);
const ABOUT: FrameShape = answer(
    "about",
    "about",
    "What the room is.",
    &[
        RE,
        ROOM,
        must("kind", ANY_KIND, "Who can find and join it."),
        must("name", Shape::Text, "Its name; empty for a 1:1."),
        must("description", Shape::Text, "What it is about."),
        must("avatar", Shape::IdOrNull, "Its picture."),
        must("level", LEVELS, "Durability of acknowledgements."),
        must("visibility", VISIBILITIES, "How much of the past a member sees."),
        must("slow_mode_seconds", SMALL, "Least seconds between two messages of one member."),
        must("max_members", SMALL, "Members at most; 0 for the server's limit."),
        must("read_only", Shape::Bool, "Only moderators and above post."),
        must("retention_days", SMALL, "Days for which messages are kept; 0 for as long as the server does."),
        must("created", Shape::Time, "When it was made."),
        must("version", NUMBER, "Version of its metadata."),
        must("members", NUMBER, "How many members there are."),
        may("role", ROLES, "One's role; missing for who is no member."),
        REQUEST,
    ],
);
const BANS: FrameShape = answer(
    "bans",
    "bans",
    "A page of the bans that stand, ascending by user.",
    &[RE, ROOM, must("bans", SENTENCES, "The bans."), MORE],
);
const MUTES: FrameShape = answer(
    "mutes",
    "mutes",
    "A page of the mutes that stand, ascending by user.",
    &[RE, ROOM, must("mutes", SENTENCES, "The mutes."), MORE],
);
const SENTENCES: Shape = Shape::List(&Shape::Object(&[
    must("user", Shape::Id, "Who."),
    may("reason", Shape::Text, "Why; of bans."),
    may("until", Shape::Time, "When it is over; for ever without it."),
    may("by", Shape::Id, "Who did it."),
    may("at", Shape::Time, "When."),
]));
const PINS: FrameShape = answer(
    "pins",
    "pins",
    "The pinned messages that one may see, newest first.",
    &[
        RE,
        ROOM,
        must(
            "pins",
            Shape::List(&Shape::Object(&[must("seq", PLACE, "Place of the message.")])),
            "The pins.",
        ),
    ],
);
const LINKS: FrameShape = answer(
    "links",
    "links",
    "The links that live, newest first, without their codes.",
    &[
        RE,
        ROOM,
        must(
            "links",
            Shape::List(&Shape::Object(&[
                must("link", Shape::Id, "The link."),
                must("by", Shape::Id, "Who made it."),
                must("at", Shape::Time, "When."),
                must("until", Shape::Time, "When it is over."),
                must("uses", SMALL, "How many it has let in."),
                may("max_uses", SMALL, "How many it lets in."),
            ])),
            "The links.",
        ),
    ],
);
const LOOK: FrameShape = answer(
    "look",
    "look",
    "Where the code of a link leads.",
    &[
        RE,
        ROOM,
        must("kind", ANY_KIND, "Who can find and join it."),
        must("name", Shape::Text, "Its name."),
        must("description", Shape::Text, "What it is about."),
        must("avatar", Shape::IdOrNull, "Its picture."),
        must("members", NUMBER, "How many members there are."),
        must("member", Shape::Bool, "Whether one is among them."),
    ],
);

const DISCOVERED: FrameShape = answer(
    "discover",
    "discover",
    "A page of public rooms, ascending by name.",
    &[
        RE,
        must(
            "rooms",
            Shape::List(&Shape::Object(&[
                ROOM,
                must("name", Shape::Text, "Its name."),
                must("description", Shape::Text, "What it is about."),
                must("avatar", Shape::IdOrNull, "Its picture."),
                must("members", NUMBER, "How many members there are; 10,000 for as many or more."),
                must("member", Shape::Bool, "Whether one is among them."),
                must("open", Shape::Bool, "Whether there is a place for one more."),
            ])),
            "The rooms.",
        ),
        may("next", Shape::Text, "There may be more: `cursor` of the next page."),
    ],
);
const REQUESTS: FrameShape = answer(
    "requests",
    "requests",
    "A page of the requests that are open, ascending by user.",
    &[
        RE,
        ROOM,
        must(
            "requests",
            Shape::List(&Shape::Object(&[
                must("user", Shape::Id, "Who asks."),
                must("at", Shape::Time, "Since when."),
                must("until", Shape::Time, "Until when it is open."),
                may("text", Shape::Text, "What was said with it."),
            ])),
            "The requests.",
        ),
        MORE,
    ],
);
const MY_REQUESTS: FrameShape = answer(
    "my_requests",
    "my_requests",
    "A page of one's own requests, ascending by room.",
    &[
        RE,
        must(
            "requests",
            Shape::List(&Shape::Object(&[
                ROOM,
                may("name", Shape::Text, "Its name."),
                may("avatar", Shape::IdOrNull, "Its picture."),
                must("state", REQUEST_STATES, "What became of it."),
                must("at", Shape::Time, "When it was made."),
                must(
                    "until",
                    Shape::Time,
                    "Until when it is open; of a declined one, from when on one may ask again.",
                ),
                may("text", Shape::Text, "What was said with it."),
            ])),
            "The requests.",
        ),
        may("next", Shape::Id, "There may be more: `after` of the next page."),
    ],
);
const ACTS: FrameShape = answer(
    "moderation_log",
    "moderation_log",
    "A page of what moderators did, newest first.",
    &[
        RE,
        ROOM,
        must(
            "acts",
            Shape::List(&Shape::Object(&[
                must("number", NUMBER, "Its number in the room."),
                must("at", Shape::Time, "When."),
                must("by", Shape::Id, "Who."),
                must("what", Shape::Text, "What was done."),
                may("user", Shape::Id, "To whom."),
                may("link", Shape::Id, "To which link."),
                may("until", Shape::Time, "Until when it holds."),
                may("role", ROLES, "The new role."),
                may("seq", PLACE, "Place of the message."),
                may("report", NUMBER, "Number of the report."),
                may("reason", Shape::Text, "Why."),
            ])),
            "What they did.",
        ),
        MORE,
    ],
);
const REPORTED: FrameShape = answer(
    "reports",
    "reports",
    "A page of reports, newest first, without who made them.",
    &[
        RE,
        ROOM,
        must(
            "reports",
            Shape::List(&Shape::Object(&[
                must("number", NUMBER, "Its number in the room."),
                must("kind", Shape::Word(&["message", "user"]), "What it is about."),
                must("user", Shape::Id, "Whom it is about."),
                may("seq", PLACE, "Place of the message."),
                may("text", Shape::Text, "What the message said then."),
                must("reason", REPORT_REASONS, "Why."),
                may("comment", Shape::Text, "In the words of who made it."),
                must("at", Shape::Time, "When."),
                may("outcome", REPORT_OUTCOMES, "What came of it."),
                may("done", Shape::Time, "Since when it is resolved."),
                may("by", Shape::Id, "Who resolved it."),
                may("note", Shape::Text, "In the words of who resolved it."),
            ])),
            "The reports.",
        ),
        MORE,
    ],
);

const fn command(
    op: &'static str,
    about: &'static str,
    fields: &'static [Field],
    answers: &'static [FrameShape],
) -> CommandShape {
    CommandShape { op, about, fields, rules: &[], answers }
}

const fn ruled(command: CommandShape, rules: &'static [Rule]) -> CommandShape {
    CommandShape { rules, ..command }
}

/// The commands.
pub const COMMANDS: &[CommandShape] = &[
    ruled(
        command(
            "hello",
            "Signs in, and resumes rooms: one `subscribed` or `error` for each of them follows.",
            &[
                may("token", Shape::Text, "An access token."),
                may("ticket", Shape::Text, "A ticket made over HTTP, in place of the token."),
                may(
                    "resume",
                    Shape::List(&Shape::Object(&[
                        ROOM,
                        may("epoch", SMALL, "Number of the history that one has; with `seq`."),
                        may("seq", NUMBER, "Up to where one has it."),
                    ])),
                    "Rooms, and how far one has them.",
                ),
            ],
            &[GREETING],
        ),
        &[Rule::OneOf(&["token", "ticket"])],
    ),
    command(
        "refresh",
        "Replaces the token of this session before it expires.",
        &[must("token", Shape::Text, "A new access token of the same session.")],
        &[DONE_AT],
    ),
    command("ping", "Asks for an answer.", &[], &[DONE]),
    command(
        "create",
        "Creates a room; the caller is its owner.",
        &[
            KEY,
            must("name", Shape::Text, "Its name."),
            KIND,
            LEVEL,
            VISIBILITY,
            DESCRIPTION,
            NO_AVATAR,
            MAX_MEMBERS,
            READ_ONLY,
            RETENTION,
        ],
        &[CHANGED],
    ),
    command("direct", "Begins or finds the 1:1 with somebody, and accepts it.", &[USER], &[BEGUN]),
    command("accept_conversation", "Accepts a 1:1 that a stranger began.", &[ROOM, KEY], &[CHANGED]),
    command("decline_conversation", "Does not accept it, and hears no more of it.", &[ROOM, KEY], &[CHANGED]),
    command(
        "find",
        "The room of that name that strangers can see.",
        &[must("name", Shape::Text, "Its name.")],
        &[DONE_IN_ROOM],
    ),
    ruled(
        command(
            "join",
            "Becomes a member of a public room, or of the one that a link leads into.",
            &[may("room", Shape::Id, "The room."), may("code", CODE, "Code of a link."), KEY],
            &[CHANGED],
        ),
        &[Rule::AnyOf(&["room", "code"])],
    ),
    command("invite", "Adds somebody as a member.", &[ROOM, USER, KEY], &[CHANGED]),
    command("leave", "Is a member no longer.", &[ROOM, KEY], &[CHANGED]),
    ruled(
        command(
            "subscribe",
            "Starts the flow of events.",
            &[
                ROOM,
                may("epoch", SMALL, "Number of the history that one has."),
                may("seq", NUMBER, "Up to where one has it."),
            ],
            &[SUBSCRIBED],
        ),
        &[Rule::With("epoch", "seq")],
    ),
    command("unsubscribe", "Stops the flow of events.", &[ROOM], &[DONE_IN_ROOM]),
    ruled(
        command(
            "send",
            "Posts a message.",
            &[
                ROOM,
                SEND_KEY,
                may("text", Shape::Text, "What is said; may be missing beside files."),
                may("reply_to", NUMBER, "Place of the message that it answers."),
                MENTIONS,
                MENTION_ALL,
                may("attachments", Shape::List(&Shape::Id), "Uploads of one's own, each once."),
            ],
            &[SAID],
        ),
        &[Rule::AnyOf(&["text", "attachments"])],
    ),
    command(
        "edit",
        "Says one's own message again, all of it.",
        &[ROOM, SEQ, KEY, TEXT, MENTIONS, MENTION_ALL],
        &[CHANGED],
    ),
    command("delete", "Deletes a message.", &[ROOM, SEQ, KEY], &[CHANGED]),
    command(
        "react",
        "Sets a reaction, or takes it back.",
        &[
            ROOM,
            SEQ,
            KEY,
            must("emoji", Shape::Text, "One emoji."),
            may("on", Shape::Bool, "Set (default), or take back."),
        ],
        &[CHANGED],
    ),
    command("read", "Has read up to here.", &[ROOM, UP_TO], &[POSITION]),
    command("delivered", "A device has stored up to here.", &[ROOM, UP_TO], &[DONE_IN_ROOM]),
    command(
        "mark_unread",
        "Sets the position of reading back.",
        &[ROOM, must("seq", PLACE, "The first unread message.")],
        &[POSITION],
    ),
    command("clear", "Deletes a 1:1 up to here for oneself.", &[ROOM, UP_TO], &[DONE_IN_ROOM]),
    command(
        "typing",
        "Is typing, or stopped.",
        &[ROOM, may("on", Shape::Bool, "Typing (default), or stopped.")],
        &[DONE_IN_ROOM],
    ),
    ruled(
        command(
            "history",
            "A page of the past.",
            &[
                ROOM,
                may("before", NUMBER, "Before this seq, newest first."),
                may("after", NUMBER, "After this seq, oldest first."),
                may("at", Shape::Moment, "From this time on, oldest first."),
                may("epoch", SMALL, "Number of the history that one has."),
                may("limit", Shape::Number(1, u32::MAX as u64), "Items at most."),
                may("all", Shape::Bool, "All events, or messages only (default)."),
            ],
            &[PAGE],
        ),
        &[Rule::AtMostOne(&["before", "after", "at"])],
    ),
    command(
        "sync",
        "A page of one's rooms with their numbers.",
        &[may("after", Shape::Id, "Goes on behind this room."), LIMIT],
        &[SYNC],
    ),
    command(
        "presence",
        "Watches who is online, and asks who is in a room.",
        &[
            may("room", Shape::Id, "Asks who is there."),
            may("watch", Shape::List(&Shape::Id), "Users to watch."),
            may("unwatch", Shape::List(&Shape::Id), "Users to watch no more."),
        ],
        &[DONE, HERE],
    ),
    command("members", "A page of members.", &[ROOM, AFTER_USER, LIMIT], &[MEMBERS]),
    command(
        "role",
        "Changes a member's role.",
        &[ROOM, USER, must("role", ROLES, "The new role; `owner` is refused, see `transfer`."), KEY],
        &[CHANGED],
    ),
    command("transfer", "Hands the room over.", &[ROOM, USER, KEY], &[CHANGED]),
    command("kick", "Removes a member.", &[ROOM, USER, KEY, REASON], &[CHANGED]),
    command("ban", "Removes somebody and keeps out.", &[ROOM, USER, KEY, REASON, SECONDS], &[CHANGED]),
    command("unban", "Lifts a ban.", &[ROOM, USER, KEY], &[CHANGED]),
    command("mute", "Stops a member from posting.", &[ROOM, USER, KEY, SECONDS], &[CHANGED]),
    command("unmute", "Lifts a mute.", &[ROOM, USER, KEY], &[CHANGED]),
    command("block", "Stops the 1:1 with somebody, and invitations, both ways.", &[USER, KEY], &[CHANGED]),
    command("unblock", "Lifts a block.", &[USER, KEY], &[CHANGED]),
    command(
        "pin",
        "Pins a message, or unpins it.",
        &[ROOM, SEQ, KEY, may("on", Shape::Bool, "Pin (default), or unpin.")],
        &[CHANGED],
    ),
    command(
        "settings",
        "Changes what is given of a room's settings.",
        &[
            ROOM,
            KEY,
            may("name", Shape::Text, "Its name."),
            KIND,
            DESCRIPTION,
            AVATAR,
            LEVEL,
            VISIBILITY,
            may("slow_mode_seconds", SMALL, "Least seconds between two messages of one member."),
            MAX_MEMBERS,
            READ_ONLY,
            RETENTION,
        ],
        &[CHANGED],
    ),
    command("about", "What a room is.", &[ROOM], &[ABOUT]),
    command("delete_room", "Deletes a room with all that is in it, for ever.", &[ROOM, KEY], &[CHANGED]),
    command("bans", "A page of the bans that stand.", &[ROOM, AFTER_USER, LIMIT], &[BANS]),
    command("mutes", "A page of the mutes that stand.", &[ROOM, AFTER_USER, LIMIT], &[MUTES]),
    command("pins", "Which messages are pinned.", &[ROOM], &[PINS]),
    command(
        "link",
        "Makes a link that lets people in.",
        &[
            ROOM,
            KEY,
            may("seconds", NUMBER, "How long it lives; a week without it."),
            may("uses", SMALL, "How many it lets in; any number without it."),
        ],
        &[LINKED],
    ),
    command("links", "The links that live.", &[ROOM], &[LINKS]),
    command("unlink", "Ends a link.", &[ROOM, must("link", Shape::Id, "Which."), KEY], &[CHANGED]),
    command(
        "look",
        "Where the code of a link leads.",
        &[
            may("room", Shape::Id, "The room of the code; need not be said."),
            must("code", CODE, "Code of a link."),
        ],
        &[LOOK],
    ),
    command(
        "discover",
        "A page of public rooms by the beginning of their names.",
        &[
            may("name", Shape::Text, "What names begin with."),
            may("cursor", Shape::Cursor, "Where the page before ended."),
            LIMIT,
        ],
        &[DISCOVERED],
    ),
    command(
        "request_join",
        "Asks to become a member of an invite-only room.",
        &[ROOM, KEY, may("text", Shape::Text, "What to say.")],
        &[CHANGED],
    ),
    command("withdraw_request", "Takes the request back.", &[ROOM, KEY], &[CHANGED]),
    command(
        "my_requests",
        "A page of one's own requests.",
        &[may("after", Shape::Id, "Goes on behind this room."), LIMIT],
        &[MY_REQUESTS],
    ),
    command("requests", "A page of the requests that are open.", &[ROOM, AFTER_USER, LIMIT], &[REQUESTS]),
    command("accept_request", "Lets somebody in who asked.", &[ROOM, USER, KEY], &[CHANGED]),
    command("decline_request", "Does not let somebody in who asked.", &[ROOM, USER, KEY], &[CHANGED]),
    command(
        "moderation_log",
        "A page of what moderators did.",
        &[ROOM, may("before", NUMBER, "What has lower numbers."), LIMIT],
        &[ACTS],
    ),
    command(
        "report",
        "Reports a message, a member, or the room.",
        &[
            ROOM,
            KEY,
            must("reason", REPORT_REASONS, "Why."),
            may("seq", PLACE, "Place of the message."),
            may("user", Shape::Id, "The member."),
            may("comment", Shape::Text, "In words."),
        ],
        &[CHANGED],
    ),
    command(
        "reports",
        "A page of reports.",
        &[
            ROOM,
            may("state", REPORT_STATES, "Which; open ones without it."),
            may("before", NUMBER, "What has lower numbers."),
            LIMIT,
        ],
        &[REPORTED],
    ),
    command(
        "resolve_report",
        "Says what came of a report.",
        &[
            ROOM,
            must("number", NUMBER, "Which."),
            must("outcome", REPORT_OUTCOMES, "What came of it."),
            KEY,
            may("note", Shape::Text, "In words."),
        ],
        &[CHANGED],
    ),
];
