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
