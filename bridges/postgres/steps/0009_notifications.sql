-- Notifications: what can be pushed to, what waits, pushes, and how messages were decided. As in the embedded store; ids, numbers and times as in
-- the first step.
CREATE SCHEMA notify;

-- A session has one device at most, and a token is on one.
CREATE TABLE notify.devices (
    session uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    provider smallint NOT NULL,
    token text COLLATE "C" NOT NULL,
    token_digest bytea NOT NULL,
    platform smallint NOT NULL,
    id_only boolean NOT NULL,
    created bigint NOT NULL,
    last_ok bigint
);
-- SHA-256, because a token may be longer than an index takes.
CREATE UNIQUE INDEX devices_by_token ON notify.devices (provider, token_digest);
CREATE INDEX devices_by_user ON notify.devices (user_id, created);

-- Up to where messages of a room were taken in.
CREATE TABLE notify.taken (
    room uuid PRIMARY KEY,
    seq bigint NOT NULL,
    at bigint NOT NULL
);
CREATE INDEX taken_by_time ON notify.taken (at);

-- What waits for a user and room; nothing does while `messages` is 0. `window_end` is when the window of the last push is over.
CREATE TABLE notify.pending (
    user_id uuid NOT NULL,
    room uuid NOT NULL,
    first bigint NOT NULL,
    upto bigint NOT NULL,
    message uuid NOT NULL,
    messages bigint NOT NULL,
    mention boolean NOT NULL,
    since bigint NOT NULL,
    due bigint NOT NULL,
    window_end bigint NOT NULL,
    pushed bigint NOT NULL,
    PRIMARY KEY (user_id, room)
);
CREATE INDEX pending_due ON notify.pending (due, user_id, room) WHERE messages > 0;
CREATE INDEX pending_by_time ON notify.pending (window_end) WHERE messages = 0;

-- Pushes to single devices: on their way, and over.
CREATE TABLE notify.pushes (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    room uuid NOT NULL,
    session uuid NOT NULL,
    first bigint NOT NULL,
    upto bigint NOT NULL,
    message uuid NOT NULL,
    messages bigint NOT NULL,
    mention boolean NOT NULL,
    state smallint NOT NULL,
    cause smallint NOT NULL,
    dropped smallint NOT NULL,
    attempts bigint NOT NULL,
    at bigint NOT NULL,
    next bigint NOT NULL,
    told boolean NOT NULL
);
CREATE INDEX pushes_waiting ON notify.pushes (next, id) WHERE state = 2;
CREATE INDEX pushes_claimed ON notify.pushes (at) WHERE state = 1;
CREATE INDEX pushes_dead ON notify.pushes (at, id) WHERE state = 4;
CREATE INDEX pushes_by_user ON notify.pushes (user_id, room, upto);
CREATE INDEX pushes_by_time ON notify.pushes (at);

-- How consecutive messages of a room were decided for a user; the nil user is everybody else.
CREATE TABLE notify.decisions (
    user_id uuid NOT NULL,
    room uuid NOT NULL,
    first bigint NOT NULL,
    last bigint NOT NULL,
    reason smallint NOT NULL,
    at bigint NOT NULL,
    PRIMARY KEY (user_id, room, first)
);
CREATE INDEX decisions_by_time ON notify.decisions (at);
