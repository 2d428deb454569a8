-- Users who hide from everybody whether they are online.
CREATE TABLE rooms.hidden (
    user_id uuid PRIMARY KEY
);
