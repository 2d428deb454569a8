//! Tables of `rooms.sqlite`.
//!
//! Ids are 16-byte blobs. Numbers that are `u64` above are stored as the `i64` of the same bits.

/// One step per format: step `n` turns format `n` into `n + 1`. Steps are never changed, only added.
pub(super) const STEPS: &[&str] = &[
    r"
CREATE TABLE rooms (
    room BLOB NOT NULL PRIMARY KEY,
    kind INTEGER NOT NULL,
    name TEXT NOT NULL,
    creator BLOB NOT NULL,
    created INTEGER NOT NULL,
    level INTEGER NOT NULL,
    visibility INTEGER NOT NULL,
    slow_mode_seconds INTEGER NOT NULL,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Unique names by their folded form. `freed` is set when the room gave the name up.
CREATE TABLE names (
    folded TEXT NOT NULL PRIMARY KEY,
    room BLOB NOT NULL,
    freed INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE members (
    room BLOB NOT NULL REFERENCES rooms (room) ON DELETE CASCADE,
    user BLOB NOT NULL,
    role INTEGER NOT NULL,
    joined_version INTEGER NOT NULL,
    joined_seq INTEGER NOT NULL,
    PRIMARY KEY (room, user)
) STRICT, WITHOUT ROWID;
CREATE INDEX members_by_user ON members (user, room);
CREATE INDEX members_unconfirmed ON members (room, joined_version) WHERE joined_seq = 0;

CREATE TABLE bans (
    room BLOB NOT NULL REFERENCES rooms (room) ON DELETE CASCADE,
    user BLOB NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (room, user)
) STRICT, WITHOUT ROWID;

CREATE TABLE mutes (
    room BLOB NOT NULL REFERENCES rooms (room) ON DELETE CASCADE,
    user BLOB NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (room, user)
) STRICT, WITHOUT ROWID;

CREATE TABLE pins (
    room BLOB NOT NULL REFERENCES rooms (room) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    PRIMARY KEY (room, seq)
) STRICT, WITHOUT ROWID;

-- A block stands without a room: `room` is the 1:1 that the pair has or would have.
CREATE TABLE blocks (
    by BLOB NOT NULL,
    user BLOB NOT NULL,
    room BLOB NOT NULL,
    PRIMARY KEY (by, user)
) STRICT, WITHOUT ROWID;
CREATE INDEX blocks_by_user ON blocks (user, by);
CREATE INDEX blocks_by_room ON blocks (room);

-- Results of idempotency keys. `version` is 0 for a change without an event.
CREATE TABLE results (
    actor BLOB NOT NULL,
    room BLOB NOT NULL,
    key BLOB NOT NULL,
    content_hash INTEGER NOT NULL,
    version INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    wall INTEGER NOT NULL,
    PRIMARY KEY (actor, room, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX results_by_wall ON results (wall);
CREATE INDEX results_unconfirmed ON results (room, version) WHERE seq = 0;

CREATE TABLE outbox (
    room BLOB NOT NULL REFERENCES rooms (room) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    actor BLOB NOT NULL,
    key BLOB NOT NULL,
    wall INTEGER NOT NULL,
    event BLOB NOT NULL,
    PRIMARY KEY (room, version)
) STRICT, WITHOUT ROWID;
",
    r"
-- `avatar` is 16 zero bytes for none, `members_max` 0 for the server's limit, `deleted` 0 for a room that stands.
ALTER TABLE rooms ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE rooms ADD COLUMN avatar BLOB NOT NULL DEFAULT x'00000000000000000000000000000000';
ALTER TABLE rooms ADD COLUMN members_max INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rooms ADD COLUMN read_only INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rooms ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0;

-- Who did it and when is not known of older ones.
ALTER TABLE bans ADD COLUMN reason TEXT NOT NULL DEFAULT '';
ALTER TABLE bans ADD COLUMN by BLOB NOT NULL DEFAULT x'00000000000000000000000000000000';
ALTER TABLE bans ADD COLUMN at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE mutes ADD COLUMN reason TEXT NOT NULL DEFAULT '';
ALTER TABLE mutes ADD COLUMN by BLOB NOT NULL DEFAULT x'00000000000000000000000000000000';
ALTER TABLE mutes ADD COLUMN at INTEGER NOT NULL DEFAULT 0;
",
    r"
-- Users who hide from everybody whether they are online.
CREATE TABLE hidden (
    user BLOB NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;
",
    r"
-- What a member has set for itself: told of nothing before `muted_until`; `wish` 0 for what the server does, 1 for everything, 2 for
-- mentions only; the past up to `cleared`, whose last message is `cleared_n`, is deleted for it.
ALTER TABLE members ADD COLUMN muted_until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE members ADD COLUMN wish INTEGER NOT NULL DEFAULT 0;
ALTER TABLE members ADD COLUMN cleared INTEGER NOT NULL DEFAULT 0;
ALTER TABLE members ADD COLUMN cleared_n INTEGER NOT NULL DEFAULT 0;
-- A large room is asked for those alone who want everything.
CREATE INDEX members_everything ON members (room, user) WHERE wish = 1;
",
    r"
-- Days for which messages are kept; 0 for as long as the server keeps them.
ALTER TABLE rooms ADD COLUMN retention_days INTEGER NOT NULL DEFAULT 0;
CREATE INDEX rooms_retained ON rooms (room) WHERE retention_days > 0;
",
    r"
-- Users who do not let everyone begin a conversation of two: `who` 1 for members of their rooms, 2 for nobody.
CREATE TABLE direct_from (
    user BLOB NOT NULL PRIMARY KEY,
    who INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
",
    r"
-- Links that let people in. `hash` is SHA-256 of the secret of the code, `uses_max` 0 for any number.
CREATE TABLE links (
    room BLOB NOT NULL REFERENCES rooms (room) ON DELETE CASCADE,
    link BLOB NOT NULL,
    hash BLOB NOT NULL,
    by BLOB NOT NULL,
    at INTEGER NOT NULL,
    until INTEGER NOT NULL,
    uses_max INTEGER NOT NULL,
    uses INTEGER NOT NULL,
    PRIMARY KEY (room, link)
) STRICT, WITHOUT ROWID;
",
    r"
-- The form of a name by which public rooms are listed; NULL where a server that did not know it made the room.
ALTER TABLE rooms ADD COLUMN listed TEXT;
CREATE INDEX rooms_listed ON rooms (listed, room) WHERE kind = 0 AND deleted = 0;

-- Who asks to become a member. `declined` is 0 for a request that was not.
CREATE TABLE join_requests (
    room BLOB NOT NULL REFERENCES rooms (room) ON DELETE CASCADE,
    user BLOB NOT NULL,
    text TEXT NOT NULL,
    at INTEGER NOT NULL,
    declined INTEGER NOT NULL,
    by BLOB NOT NULL,
    PRIMARY KEY (room, user)
) STRICT, WITHOUT ROWID;
CREATE INDEX join_requests_by_user ON join_requests (user, room);
",
    r"
-- What moderators did, by numbers of each room. `subject` is a user or a link, zeroes for nobody; `value` an end, a role or a seq.
CREATE TABLE moderation (
    room BLOB NOT NULL,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    by BLOB NOT NULL,
    kind INTEGER NOT NULL,
    subject BLOB NOT NULL,
    value INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (room, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX moderation_by_age ON moderation (at);
-- Whether a message's deletion is kept.
CREATE INDEX moderation_of_messages ON moderation (room, value) WHERE kind = 9;
",
    r"
-- What people report, by numbers of each room. `outcome` and `done` are 0 while it is open.
CREATE TABLE reports (
    room BLOB NOT NULL,
    number INTEGER NOT NULL,
    reporter BLOB NOT NULL,
    kind INTEGER NOT NULL,
    user BLOB NOT NULL,
    seq INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    comment TEXT NOT NULL,
    text TEXT NOT NULL,
    at INTEGER NOT NULL,
    outcome INTEGER NOT NULL,
    by BLOB NOT NULL,
    done INTEGER NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (room, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX reports_by_reporter ON reports (reporter, at);
CREATE INDEX reports_open ON reports (room, number) WHERE outcome = 0;
CREATE INDEX reports_by_age ON reports (at, room, number);
CREATE INDEX reports_resolved ON reports (done) WHERE outcome > 0;
",
    r"
-- 1:1s that strangers began. `state` 0 for one that waits, 1 for one that is accepted, 2 for one that is declined; `base` messages were
-- in it before it was asked, `decided` is 0 while it waits, `turns` counts what became of it.
CREATE TABLE message_requests (
    room BLOB NOT NULL PRIMARY KEY REFERENCES rooms (room) ON DELETE CASCADE,
    asker BLOB NOT NULL,
    user BLOB NOT NULL,
    state INTEGER NOT NULL,
    at INTEGER NOT NULL,
    base INTEGER NOT NULL,
    decided INTEGER NOT NULL,
    turns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX message_requests_by_asker ON message_requests (asker, at);
CREATE INDEX message_requests_waiting ON message_requests (user) WHERE state = 0;
",
    r"
-- 1 for a member whom somebody added who was a stranger to it: the room is none that it shares with others.
ALTER TABLE members ADD COLUMN by_stranger INTEGER NOT NULL DEFAULT 0;
",
];
