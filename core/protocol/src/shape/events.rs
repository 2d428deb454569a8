//! What the server says without being asked, and the answer that every command may get.

use super::commands::{ANY_KIND, LEVELS, REPORT_STATES, REQUEST, REQUEST_STATES, ROLES, VISIBILITIES};
use super::{Field, FrameKind, FrameShape, NUMBER, PLACE, SMALL, Shape, may, must};

pub(super) const ROOM: Field = must("room", Shape::Id, "The room.");
pub(super) const EVENTS_OF_PAGE: Field =
    must("events", Shape::List(&Shape::Durable), "Events, and gaps where some cannot be given.");

const USER: Field = must("user", Shape::Id, "Who.");
const SEQ: Field = must("seq", PLACE, "Its place in the room.");
const FROM: Field = must("from", Shape::Id, "Who did it; the nil UUID for the server.");
const TIME: Field = must("time", Shape::Time, "When, by the server's clock.");
const VERSION: Field = must("version", NUMBER, "Version of the room's metadata with it.");
const TARGET: Field = must("target", PLACE, "Place of the message.");
const TEXT: Field =
    must("text", Shape::Text, "What it says now; empty when the message was deleted or removed.");
const MENTIONS: Field = may("mentions", Shape::List(&Shape::Id), "Users that it mentions.");
const MENTION_ALL: Field = may("mention_all", Shape::Bool, "It mentions everybody.");
const ATTACHMENTS: Field = may(
    "attachments",
    Shape::List(&Shape::Object(&[
        must("id", Shape::Id, "The file."),
        must("name", Shape::Text, "Its name."),
        must("type", Shape::Text, "What it is."),
        must("bytes", NUMBER, "Its size."),
        may("width", SMALL, "Of a picture, in pixels."),
        may("height", SMALL, "Of a picture, in pixels."),
    ])),
    "Its files.",
);
const UNTIL: Field = may("until", Shape::Time, "When it is over; for ever without it.");
const ON: Field = must("on", Shape::Bool, "Set, or taken back.");
const UP_TO: Field = must("seq", NUMBER, "Up to here.");

/// A command was refused.
pub const ERROR: FrameShape = FrameShape {
    name: "error",
    ev: "error",
    kind: FrameKind::Answer,
    about: "A command was refused, with a code of the table.",
    fields: &[
        must("re", NUMBER, "The `id` of the command that it answers; 0 for one without."),
        may("room", Shape::Id, "The room that the command named."),
        must("code", Shape::Code, "Why, for programs."),
        must("message", Shape::Text, "Why, for people, and what to do."),
        must("retryable", Shape::Bool, "Whether the same command may do better later."),
        may("retry_after_ms", SMALL, "When."),
        must("request_id", Shape::Hex(16), "Names this answer in the server's log."),
    ],
};

const fn frame(
    kind: FrameKind,
    ev: &'static str,
    about: &'static str,
    fields: &'static [Field],
) -> FrameShape {
    FrameShape { name: ev, ev, kind, about, fields }
}

const fn durable(ev: &'static str, about: &'static str, fields: &'static [Field]) -> FrameShape {
    frame(FrameKind::Durable, ev, about, fields)
}

/// The events.
pub const EVENTS: &[FrameShape] = &[
    durable(
        "message",
        "A message was posted; in a page, as it stands now.",
        &[
            ROOM,
            SEQ,
            must("n", PLACE, "Its number among the room's messages."),
            must("id", Shape::Id, "The message."),
            FROM,
            TIME,
            may("reply_to", PLACE, "Place of the message that it answers."),
            may("edited", PLACE, "Place of its last edit."),
            may("deleted", PLACE, "Place of its deletion: there is no text then."),
            may("text", Shape::Text, "What it says."),
            MENTIONS,
            MENTION_ALL,
            ATTACHMENTS,
            may(
                "reactions",
                Shape::List(&Shape::Object(&[
                    must("emoji", Shape::Text, "The emoji."),
                    must("users", Shape::List(&Shape::Id), "Who set it."),
                ])),
                "Reactions that stand.",
            ),
        ],
    ),
    durable(
        "edit",
        "A message says something else.",
        &[ROOM, SEQ, FROM, TIME, TARGET, TEXT, MENTIONS, MENTION_ALL, ATTACHMENTS],
    ),
    durable("delete", "A message was deleted.", &[ROOM, SEQ, FROM, TIME, TARGET]),
    durable(
        "reaction",
        "A reaction was set, or taken back.",
        &[ROOM, SEQ, FROM, TIME, TARGET, must("emoji", Shape::Text, "The emoji."), ON],
    ),
    durable(
        "created",
        "The room was made.",
        &[
            ROOM,
            SEQ,
            FROM,
            TIME,
            VERSION,
            must("kind", ANY_KIND, "Who can find and join it."),
            must("name", Shape::Text, "Its name; empty for a 1:1."),
        ],
    ),
    durable(
        "joined",
        "Somebody is a member.",
        &[ROOM, SEQ, FROM, TIME, VERSION, USER, must("role", ROLES, "Its role.")],
    ),
    durable("left", "Somebody left.", &[ROOM, SEQ, FROM, TIME, VERSION, USER]),
    durable(
        "kicked",
        "Somebody was removed.",
        &[ROOM, SEQ, FROM, TIME, VERSION, USER, must("reason", Shape::Text, "Why; may be empty.")],
    ),
    durable(
        "banned",
        "Somebody was removed and is kept out.",
        &[ROOM, SEQ, FROM, TIME, VERSION, USER, must("reason", Shape::Text, "Why; may be empty."), UNTIL],
    ),
    durable("unbanned", "A ban was lifted.", &[ROOM, SEQ, FROM, TIME, VERSION, USER]),
    durable("muted", "A member may not post.", &[ROOM, SEQ, FROM, TIME, VERSION, USER, UNTIL]),
    durable("unmuted", "A mute was lifted.", &[ROOM, SEQ, FROM, TIME, VERSION, USER]),
    durable(
        "role",
        "A member has another role.",
        &[ROOM, SEQ, FROM, TIME, VERSION, USER, must("role", ROLES, "It.")],
    ),
    durable("transferred", "The room has another owner.", &[ROOM, SEQ, FROM, TIME, VERSION, USER]),
    durable("pinned", "A message was pinned, or unpinned.", &[ROOM, SEQ, FROM, TIME, VERSION, TARGET, ON]),
    durable(
        "settings",
        "The room's settings, all of them, whatever changed; those of older servers end with `slow_mode_seconds`.",
        &[
            ROOM,
            SEQ,
            FROM,
            TIME,
            VERSION,
            must("name", Shape::Text, "Its name."),
            must("level", LEVELS, "Durability of acknowledgements."),
            must("visibility", VISIBILITIES, "How much of the past a member sees."),
            must("slow_mode_seconds", SMALL, "Least seconds between two messages of one member."),
            may("kind", ANY_KIND, "Who can find and join it."),
            may("description", Shape::Text, "What it is about."),
            may("avatar", Shape::IdOrNull, "Its picture."),
            may("max_members", SMALL, "Members at most; 0 for the server's limit."),
            may("read_only", Shape::Bool, "Only moderators and above post."),
            may(
                "retention_days",
                SMALL,
                "Days for which messages are kept; 0 for as long as the server does.",
            ),
        ],
    ),
    durable("deleted", "The room was deleted: its last event.", &[ROOM, SEQ, FROM, TIME, VERSION]),
    frame(FrameKind::Passing, "typing", "Somebody types, or stopped.", &[ROOM, USER, ON]),
    frame(
        FrameKind::Passing,
        "read",
        "Somebody has read up to here. With one's own id, from another connection: also what is unread since.",
        &[
            ROOM,
            USER,
            UP_TO,
            may("top", NUMBER, "Last event that the numbers count; with one's own id."),
            may("unread", NUMBER, "One's unread messages."),
            may("mentions", NUMBER, "Those of them that mention oneself."),
            may("marked", Shape::Bool, "The position was set back."),
        ],
    ),
    frame(
        FrameKind::Passing,
        "delivered",
        "A device of somebody has stored up to here.",
        &[ROOM, USER, UP_TO],
    ),
    frame(
        FrameKind::Passing,
        "presence",
        "Somebody who is watched came or went.",
        &[USER, must("online", Shape::Bool, "Came, or went.")],
    ),
    frame(
        FrameKind::Own,
        "added",
        "The room is one's own from now on.",
        &[
            ROOM,
            VERSION,
            must("kind", ANY_KIND, "Who can find and join it."),
            must("name", Shape::Text, "Its name; empty for a 1:1."),
            must("role", ROLES, "One's role."),
            may("peer", Shape::Id, "The other one of a 1:1."),
            REQUEST,
        ],
    ),
    frame(
        FrameKind::Own,
        "conversation_accepted",
        "A 1:1 that a stranger began is accepted.",
        &[ROOM, must("user", Shape::Id, "Who accepted it.")],
    ),
    frame(FrameKind::Own, "removed", "The room is one's own no longer.", &[ROOM, VERSION]),
    frame(
        FrameKind::Own,
        "cleared",
        "One has deleted the past of that 1:1 for oneself.",
        &[ROOM, must("upto", NUMBER, "Up to here.")],
    ),
    frame(
        FrameKind::Own,
        "join_request",
        "Somebody asks to become a member of a room that one moderates, or one was declined.",
        &[ROOM, must("user", Shape::Id, "Who asks."), must("state", REQUEST_STATES, "What became of it.")],
    ),
    frame(
        FrameKind::Own,
        "report",
        "There is a report in the queue of a room that one moderates, or it was resolved. Not told to whom it is about.",
        &[
            ROOM,
            must("number", PLACE, "The report, as `reports` has it."),
            must("state", REPORT_STATES, "What became of it."),
        ],
    ),
    frame(
        FrameKind::Flow,
        "gap",
        "These events will never come. Also an item of a page.",
        &[
            ROOM,
            must("from", NUMBER, "First seq."),
            must("to", NUMBER, "Last seq."),
            must("reason", Shape::Word(&["lost", "reset", "compacted", "retention", "not_visible"]), "Why."),
        ],
    ),
    frame(
        FrameKind::Flow,
        "resync",
        "This connection was not sent these events: page them; live events go on at `to + 1`.",
        &[
            ROOM,
            must("epoch", SMALL, "Number of the room's history."),
            must("from", NUMBER, "First seq."),
            must("to", NUMBER, "Last seq."),
        ],
    ),
    frame(
        FrameKind::Flow,
        "draining",
        "The server will close this connection; reconnect then.",
        &[must("retry_after_ms", SMALL, "When.")],
    ),
];
