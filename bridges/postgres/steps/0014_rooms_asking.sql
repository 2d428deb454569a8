-- The form of a name by which public rooms are listed. What older servers made gets one that is near; a room's next settings make it exact.
ALTER TABLE rooms.rooms ADD COLUMN listed text COLLATE "C" NOT NULL DEFAULT '';
UPDATE rooms.rooms SET listed = left(btrim(regexp_replace(
    regexp_replace(normalize(lower(name), NFKD), '[\u0300-\u036f]', '', 'g'), '[^[:alnum:]]+', ' ', 'g')), 64);
CREATE INDEX rooms_listed ON rooms.rooms (listed, room) WHERE kind = 0 AND deleted = 0;

-- Who asks to become a member. `declined` is 0 for a request that was not.
CREATE TABLE rooms.join_requests (
    room uuid NOT NULL REFERENCES rooms.rooms (room) ON DELETE CASCADE,
    user_id uuid NOT NULL,
    text text NOT NULL,
    at bigint NOT NULL,
    declined bigint NOT NULL,
    by_user uuid NOT NULL,
    PRIMARY KEY (room, user_id)
);
CREATE INDEX join_requests_by_user ON rooms.join_requests (user_id, room);
