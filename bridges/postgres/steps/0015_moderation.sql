-- What moderators did, by numbers of each room. `subject` is a user or a link, zeroes for nobody; `value` an end, a role or a seq.
CREATE TABLE rooms.moderation (
    room uuid NOT NULL,
    number bigint NOT NULL,
    at bigint NOT NULL,
    by_user uuid NOT NULL,
    kind smallint NOT NULL,
    subject uuid NOT NULL,
    value bigint NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (room, number)
);
CREATE INDEX moderation_by_age ON rooms.moderation (at);
-- Whether a message's deletion is kept.
CREATE INDEX moderation_of_messages ON rooms.moderation (room, value) WHERE kind = 9;

-- What people report, by numbers of each room. `outcome` and `done` are 0 while it is open.
CREATE TABLE rooms.reports (
    room uuid NOT NULL,
    number bigint NOT NULL,
    reporter uuid NOT NULL,
    kind smallint NOT NULL,
    user_id uuid NOT NULL,
    seq bigint NOT NULL,
    reason smallint NOT NULL,
    comment text NOT NULL,
    text text NOT NULL,
    at bigint NOT NULL,
    outcome smallint NOT NULL,
    by_user uuid NOT NULL,
    done bigint NOT NULL,
    note text NOT NULL,
    PRIMARY KEY (room, number)
);
CREATE INDEX reports_by_reporter ON rooms.reports (reporter, at);
CREATE INDEX reports_open ON rooms.reports (room, number) WHERE outcome = 0;
CREATE INDEX reports_by_age ON rooms.reports (at, room, number);
CREATE INDEX reports_resolved ON rooms.reports (done) WHERE outcome > 0;
