-- Users who do not let everyone begin a conversation of two: `who` 1 for members of their rooms, 2 for nobody.
CREATE TABLE rooms.direct_from (
    user_id uuid PRIMARY KEY,
    who smallint NOT NULL
);
