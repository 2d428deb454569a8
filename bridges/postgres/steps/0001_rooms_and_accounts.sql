-- Rooms and accounts. Ids are uuid, whatever their version. Numbers that the program has as u64 are the bigint of the same bits, those of 32
-- bits are bigint, too; bytes of enums are smallint; times are milliseconds since 1970. The tables are those of the embedded stores.

CREATE SCHEMA rooms;
CREATE SCHEMA accounts;

CREATE TABLE rooms.rooms (
    room uuid PRIMARY KEY,
    kind smallint NOT NULL,
    name text NOT NULL,
    creator uuid NOT NULL,
    created bigint NOT NULL,
    level smallint NOT NULL,
    visibility smallint NOT NULL,
    slow_mode_seconds bigint NOT NULL,
    version bigint NOT NULL
);

-- Unique names by their folded form. `freed` is set when the room gave the name up. The key is the SHA-256 of the folded form, which itself
-- may be longer than an index takes.
CREATE TABLE rooms.names (
    digest bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
    folded text NOT NULL,
    room uuid NOT NULL,
    freed bigint
);

CREATE TABLE rooms.members (
    room uuid NOT NULL REFERENCES rooms.rooms (room) ON DELETE CASCADE,
    user_id uuid NOT NULL,
    role smallint NOT NULL,
    joined_version bigint NOT NULL,
    joined_seq bigint NOT NULL,
    PRIMARY KEY (room, user_id)
);
CREATE INDEX members_by_user ON rooms.members (user_id, room);
CREATE INDEX members_unconfirmed ON rooms.members (room, joined_version) WHERE joined_seq = 0;

CREATE TABLE rooms.bans (
    room uuid NOT NULL REFERENCES rooms.rooms (room) ON DELETE CASCADE,
    user_id uuid NOT NULL,
    until bigint NOT NULL,
    PRIMARY KEY (room, user_id)
);

CREATE TABLE rooms.mutes (
    room uuid NOT NULL REFERENCES rooms.rooms (room) ON DELETE CASCADE,
    user_id uuid NOT NULL,
    until bigint NOT NULL,
    PRIMARY KEY (room, user_id)
);

CREATE TABLE rooms.pins (
    room uuid NOT NULL REFERENCES rooms.rooms (room) ON DELETE CASCADE,
    seq bigint NOT NULL,
    PRIMARY KEY (room, seq)
);

-- A block stands without a room: `room` is the 1:1 that the pair has or would have.
CREATE TABLE rooms.blocks (
    by_user uuid NOT NULL,
    user_id uuid NOT NULL,
    room uuid NOT NULL,
    PRIMARY KEY (by_user, user_id)
);
CREATE INDEX blocks_by_user ON rooms.blocks (user_id, by_user);
CREATE INDEX blocks_by_room ON rooms.blocks (room);

-- Results of idempotency keys. `version` is 0 for a change without an event.
CREATE TABLE rooms.results (
    actor uuid NOT NULL,
    room uuid NOT NULL,
    key uuid NOT NULL,
    content_hash bigint NOT NULL,
    version bigint NOT NULL,
    seq bigint NOT NULL,
    wall bigint NOT NULL,
    PRIMARY KEY (actor, room, key)
);
CREATE INDEX results_by_wall ON rooms.results (wall);
CREATE INDEX results_unconfirmed ON rooms.results (room, version) WHERE seq = 0;

CREATE TABLE rooms.outbox (
    room uuid NOT NULL REFERENCES rooms.rooms (room) ON DELETE CASCADE,
    version bigint NOT NULL,
    actor uuid NOT NULL,
    key uuid NOT NULL,
    wall bigint NOT NULL,
    event bytea NOT NULL,
    PRIMARY KEY (room, version)
);

CREATE TABLE accounts.accounts (
    user_id uuid PRIMARY KEY,
    phone text COLLATE "C" NOT NULL UNIQUE,
    user_name text NOT NULL,
    display_name text NOT NULL,
    created bigint NOT NULL
);

-- Unique names by their folded form. `freed` is set when the account gave the name up.
CREATE TABLE accounts.names (
    folded text COLLATE "C" PRIMARY KEY,
    user_id uuid NOT NULL,
    freed bigint
);
CREATE INDEX names_by_user ON accounts.names (user_id);

-- A session with its refresh family. `hash` is a keyed hash of the newest token; `rotations` are up to 8 times, oldest first. `ends` is when
-- the session ends or ended, whatever the reason. Rows outlive their account for a day, so that a start knows whose access tokens are not
-- good any more.
CREATE TABLE accounts.sessions (
    session uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    device text NOT NULL,
    created bigint NOT NULL,
    last_used bigint NOT NULL,
    epoch bigint NOT NULL,
    generation bigint NOT NULL,
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    rotations bigint[] NOT NULL CHECK (cardinality(rotations) <= 8),
    idle_expires bigint NOT NULL,
    expires bigint NOT NULL,
    ends bigint NOT NULL,
    revoked bigint
);
CREATE INDEX sessions_by_user ON accounts.sessions (user_id, created);
CREATE INDEX sessions_by_end ON accounts.sessions (ends);
CREATE INDEX sessions_revoked ON accounts.sessions (revoked) WHERE revoked IS NOT NULL;

-- What was counted in one slice of a window. `key` is a keyed hash; `until` is when the slice has left the window.
CREATE TABLE accounts.counters (
    key bytea NOT NULL,
    slice bigint NOT NULL,
    count bigint NOT NULL,
    until bigint NOT NULL,
    PRIMARY KEY (key, slice)
);
CREATE INDEX counters_by_end ON accounts.counters (until);

CREATE TABLE accounts.audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at bigint NOT NULL,
    user_id uuid NOT NULL,
    session uuid NOT NULL,
    kind smallint NOT NULL
);
CREATE INDEX audit_by_user ON accounts.audit (user_id, id);
CREATE INDEX audit_by_time ON accounts.audit (at);
