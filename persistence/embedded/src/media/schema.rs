//! The table of `media.sqlite`.
//!
//! Ids are 16-byte blobs. Numbers that are `u64` above are stored as the `i64` of the same bits; times are milliseconds.

/// One step per format: step `n` turns format `n` into `n + 1`. Steps are never changed, only added.
pub(super) const STEPS: &[&str] = &[
    r"
-- Pictures and files, without their bytes. `room` is nil for pictures of accounts. The row stays for the day in which it counts as an upload,
-- `emptied` once its bytes are gone.
CREATE TABLE media (
    id BLOB NOT NULL PRIMARY KEY,
    owner BLOB NOT NULL,
    room BLOB NOT NULL,
    purpose INTEGER NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    thumbnails INTEGER NOT NULL,
    state INTEGER NOT NULL,
    created INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    attached_key BLOB,
    attached_at INTEGER,
    emptied INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX media_by_owner ON media (owner, id);
CREATE INDEX media_by_room ON media (room, attached_at) WHERE state < 4;
CREATE INDEX media_pending ON media (created) WHERE state = 1;
CREATE INDEX media_scanning ON media (changed) WHERE state = 2;
CREATE INDEX media_unused ON media (changed) WHERE state = 3 AND attached_key IS NULL;
CREATE INDEX media_over ON media (id) WHERE state >= 4 AND emptied = 0;
CREATE INDEX media_emptied ON media (created) WHERE emptied = 1;
",
    r"
-- Its message is at or below this seq, where all are about to be removed.
ALTER TABLE media ADD COLUMN leaves INTEGER;
CREATE INDEX media_leaving ON media (room, leaves) WHERE state < 4 AND leaves IS NOT NULL;
",
    r"
-- Seq of its message.
ALTER TABLE media ADD COLUMN seq INTEGER;
CREATE INDEX media_unposted ON media (id) WHERE state < 4 AND purpose = 1 AND attached_at IS NOT NULL AND seq IS NULL;
",
];
