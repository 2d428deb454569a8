-- Seq of a file's message, noted when that is in the room's log.
ALTER TABLE media.media ADD COLUMN seq bigint;
CREATE INDEX media_unposted ON media.media (id) WHERE state < 4 AND purpose = 1 AND attached_at IS NOT NULL AND seq IS NULL;
