-- Settings of rooms: `avatar` is the nil uuid for none, `members_max` 0 for the server's limit, `deleted` 0 for a room that stands.
ALTER TABLE rooms.rooms
    ADD COLUMN description text NOT NULL DEFAULT '',
    ADD COLUMN avatar uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    ADD COLUMN members_max bigint NOT NULL DEFAULT 0,
    ADD COLUMN read_only boolean NOT NULL DEFAULT false,
    ADD COLUMN deleted bigint NOT NULL DEFAULT 0;

-- Who did it and when is not known of older ones.
ALTER TABLE rooms.bans
    ADD COLUMN reason text NOT NULL DEFAULT '',
    ADD COLUMN by_user uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    ADD COLUMN at bigint NOT NULL DEFAULT 0;
ALTER TABLE rooms.mutes
    ADD COLUMN reason text NOT NULL DEFAULT '',
    ADD COLUMN by_user uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    ADD COLUMN at bigint NOT NULL DEFAULT 0;
