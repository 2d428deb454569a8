-- Days for which messages are kept; 0 for as long as the server keeps them.
ALTER TABLE rooms.rooms ADD COLUMN retention_days bigint NOT NULL DEFAULT 0;
CREATE INDEX rooms_retained ON rooms.rooms (room) WHERE retention_days > 0;
