-- 1:1s that strangers began. `state` 0 for one that waits, 1 for one that is accepted, 2 for one that is declined; `base` messages were
-- in it before it was asked, `decided` is 0 while it waits, `turns` counts what became of it.
CREATE TABLE rooms.message_requests (
    room uuid PRIMARY KEY REFERENCES rooms.rooms (room) ON DELETE CASCADE,
    asker uuid NOT NULL,
    user_id uuid NOT NULL,
    state smallint NOT NULL,
    at bigint NOT NULL,
    base bigint NOT NULL,
    decided bigint NOT NULL,
    turns bigint NOT NULL
);
CREATE INDEX message_requests_by_asker ON rooms.message_requests (asker, at);
CREATE INDEX message_requests_waiting ON rooms.message_requests (user_id) WHERE state = 0;
