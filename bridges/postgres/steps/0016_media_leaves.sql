-- A file's message is at or below this seq of its room, where all are about to be removed: noted before they are.
ALTER TABLE media.media ADD COLUMN leaves bigint;
CREATE INDEX media_leaving ON media.media (room, leaves) WHERE state < 4 AND leaves IS NOT NULL;
