-- What a member has set for itself: told of nothing before `muted_until`; `wish` 0 for what the server does, 1 for everything, 2 for
-- mentions only; the past up to `cleared`, whose last message is `cleared_n`, is deleted for it.
ALTER TABLE rooms.members
    ADD COLUMN muted_until bigint NOT NULL DEFAULT 0,
    ADD COLUMN wish smallint NOT NULL DEFAULT 0,
    ADD COLUMN cleared bigint NOT NULL DEFAULT 0,
    ADD COLUMN cleared_n bigint NOT NULL DEFAULT 0;
-- A large room is asked for those alone who want everything.
CREATE INDEX members_everything ON rooms.members (room, user_id) WHERE wish = 1;
