-- Links that let people in. `hash` is SHA-256 of the secret of the code, `uses_max` 0 for any number.
CREATE TABLE rooms.links (
    room uuid NOT NULL REFERENCES rooms.rooms (room) ON DELETE CASCADE,
    link uuid NOT NULL,
    hash bytea NOT NULL,
    by_user uuid NOT NULL,
    at bigint NOT NULL,
    until bigint NOT NULL,
    uses_max bigint NOT NULL,
    uses bigint NOT NULL,
    PRIMARY KEY (room, link)
);
