//! Tables of `accounts.sqlite`.
//!
//! Ids are 16-byte blobs. Numbers that are `u64` above are stored as the `i64` of the same bits; times are milliseconds.

/// One step per format: step `n` turns format `n` into `n + 1`. Steps are never changed, only added.
pub(super) const STEPS: &[&str] = &[
    r"
CREATE TABLE accounts (
    user BLOB NOT NULL PRIMARY KEY,
    phone TEXT NOT NULL UNIQUE,
    user_name TEXT NOT NULL,
    display_name TEXT NOT NULL,
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Unique names by their folded form. `freed` is set when the account gave the name up.
CREATE TABLE names (
    folded TEXT NOT NULL PRIMARY KEY,
    user BLOB NOT NULL,
    freed INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX names_by_user ON names (user);

-- A session with its refresh family. `hash` is a keyed hash of the newest token; `rotations` are up to 8 times, oldest
-- first, little endian. `ends` is when the session ends or ended, whatever the reason. Rows outlive their account for a
-- day, so that a start knows whose access tokens are not good any more.
CREATE TABLE sessions (
    session BLOB NOT NULL PRIMARY KEY,
    user BLOB NOT NULL,
    device TEXT NOT NULL,
    created INTEGER NOT NULL,
    last_used INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    hash BLOB NOT NULL,
    rotations BLOB NOT NULL,
    idle_expires INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    revoked INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_user ON sessions (user, created);
CREATE INDEX sessions_by_end ON sessions (ends);
CREATE INDEX sessions_revoked ON sessions (revoked) WHERE revoked IS NOT NULL;

-- What was counted in one slice of a window. `key` is a keyed hash; `until` is when the slice has left the window.
CREATE TABLE counters (
    key BLOB NOT NULL,
    slice INTEGER NOT NULL,
    count INTEGER NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (key, slice)
) STRICT, WITHOUT ROWID;
CREATE INDEX counters_by_end ON counters (until);

CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    user BLOB NOT NULL,
    session BLOB NOT NULL,
    kind INTEGER NOT NULL
) STRICT;
CREATE INDEX audit_by_user ON audit (user, id);
CREATE INDEX audit_by_time ON audit (at);
",
    r"
-- Accounts whose `user.created` is not published. Written with the account, removed when the event is out.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY,
    user BLOB NOT NULL UNIQUE,
    created INTEGER NOT NULL
) STRICT;
",
    r"
-- Authenticator apps. `sealed` is the secret under a key that is not here; `confirmed` is NULL while it waits for its first
-- code; no code of `last_step` or of an earlier one is good.
CREATE TABLE factors (
    user BLOB NOT NULL PRIMARY KEY,
    sealed BLOB NOT NULL,
    enrolled INTEGER NOT NULL,
    confirmed INTEGER,
    last_step INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Recovery codes that were not used, as keyed hashes.
CREATE TABLE recovery (
    user BLOB NOT NULL,
    proof BLOB NOT NULL,
    PRIMARY KEY (user, proof)
) STRICT, WITHOUT ROWID;

CREATE TABLE suspended (
    user BLOB NOT NULL PRIMARY KEY,
    since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
",
    r"
-- Accounts that were erased, and how far what their users said is taken back: rooms before `room`, in the order of ids, are
-- done, and `room` is up to `seq`.
CREATE TABLE erasures (
    user BLOB NOT NULL PRIMARY KEY,
    begun INTEGER NOT NULL,
    room BLOB NOT NULL,
    seq INTEGER NOT NULL,
    done INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX names_freed ON names (freed) WHERE freed IS NOT NULL;
",
    r"
-- `updated` is 0 for an account that nobody has changed. `words` are those of a program that knew how to make them: 0 for none.
ALTER TABLE accounts ADD COLUMN bio TEXT NOT NULL DEFAULT '';
ALTER TABLE accounts ADD COLUMN avatar BLOB;
ALTER TABLE accounts ADD COLUMN updated INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN by_name INTEGER NOT NULL DEFAULT 1;
ALTER TABLE accounts ADD COLUMN by_phone INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN words INTEGER NOT NULL DEFAULT 0;
CREATE INDEX accounts_without_words ON accounts (user) WHERE words = 0;

-- Words by which people are found, folded; those of people who want to be.
CREATE TABLE words (
    word TEXT NOT NULL,
    user BLOB NOT NULL,
    PRIMARY KEY (word, user)
) STRICT, WITHOUT ROWID;
CREATE INDEX words_by_user ON words (user, word);
",
];
