//! Tables of `notify.sqlite`.
//!
//! Ids are 16-byte blobs. Numbers that are `u64` above are stored as the `i64` of the same bits; times are milliseconds.

/// One step per format: step `n` turns format `n` into `n + 1`. Steps are never changed, only added.
pub(super) const STEPS: &[&str] = &[r"
-- What can be pushed to. A session has one device at most, and a token is on one.
CREATE TABLE devices (
    session BLOB NOT NULL PRIMARY KEY,
    user BLOB NOT NULL,
    provider INTEGER NOT NULL,
    token TEXT NOT NULL,
    platform INTEGER NOT NULL,
    id_only INTEGER NOT NULL,
    created INTEGER NOT NULL,
    last_ok INTEGER,
    UNIQUE (provider, token)
) STRICT, WITHOUT ROWID;
CREATE INDEX devices_by_user ON devices (user, created);

-- Up to where messages of a room were taken in.
CREATE TABLE taken (
    room BLOB NOT NULL PRIMARY KEY,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX taken_by_time ON taken (at);

-- What waits for a user and room; nothing does while `messages` is 0. `window_end` is when the window of the last push is over.
CREATE TABLE pending (
    user BLOB NOT NULL,
    room BLOB NOT NULL,
    first INTEGER NOT NULL,
    upto INTEGER NOT NULL,
    message BLOB NOT NULL,
    messages INTEGER NOT NULL,
    mention INTEGER NOT NULL,
    since INTEGER NOT NULL,
    due INTEGER NOT NULL,
    window_end INTEGER NOT NULL,
    pushed INTEGER NOT NULL,
    PRIMARY KEY (user, room)
) STRICT, WITHOUT ROWID;
CREATE INDEX pending_due ON pending (due, user, room) WHERE messages > 0;
CREATE INDEX pending_by_time ON pending (window_end) WHERE messages = 0;

-- Pushes to single devices: on their way, and over.
CREATE TABLE pushes (
    id BLOB NOT NULL PRIMARY KEY,
    user BLOB NOT NULL,
    room BLOB NOT NULL,
    session BLOB NOT NULL,
    first INTEGER NOT NULL,
    upto INTEGER NOT NULL,
    message BLOB NOT NULL,
    messages INTEGER NOT NULL,
    mention INTEGER NOT NULL,
    state INTEGER NOT NULL,
    cause INTEGER NOT NULL,
    dropped INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    at INTEGER NOT NULL,
    next INTEGER NOT NULL,
    told INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX pushes_waiting ON pushes (next, id) WHERE state = 2;
CREATE INDEX pushes_claimed ON pushes (at) WHERE state = 1;
CREATE INDEX pushes_dead ON pushes (at, id) WHERE state = 4;
CREATE INDEX pushes_by_user ON pushes (user, room, upto);
CREATE INDEX pushes_by_time ON pushes (at);

-- How consecutive messages of a room were decided for a user; the nil user is everybody else.
CREATE TABLE decisions (
    user BLOB NOT NULL,
    room BLOB NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (user, room, first)
) STRICT, WITHOUT ROWID;
CREATE INDEX decisions_by_time ON decisions (at);
"];
