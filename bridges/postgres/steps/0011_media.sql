-- Media: what is known of pictures and files, without their bytes. As in the embedded store; ids, numbers and times as in the first step.
CREATE SCHEMA media;

-- `room` is nil for pictures of accounts. The row stays for the day in which it counts as an upload, `emptied` once its bytes are gone.
CREATE TABLE media.media (
    id uuid PRIMARY KEY,
    owner uuid NOT NULL,
    room uuid NOT NULL,
    purpose smallint NOT NULL,
    name text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    bytes bigint NOT NULL,
    width bigint NOT NULL,
    height bigint NOT NULL,
    thumbnails smallint NOT NULL,
    state smallint NOT NULL,
    created bigint NOT NULL,
    changed bigint NOT NULL,
    attached_key uuid,
    attached_at bigint,
    emptied boolean NOT NULL
);
CREATE INDEX media_by_owner ON media.media (owner, id);
CREATE INDEX media_by_room ON media.media (room, attached_at) WHERE state < 4;
CREATE INDEX media_pending ON media.media (created) WHERE state = 1;
CREATE INDEX media_scanning ON media.media (changed) WHERE state = 2;
CREATE INDEX media_unused ON media.media (changed) WHERE state = 3 AND attached_key IS NULL;
CREATE INDEX media_over ON media.media (id) WHERE state >= 4 AND NOT emptied;
CREATE INDEX media_emptied ON media.media (created) WHERE emptied;
