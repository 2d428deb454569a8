-- True for a member whom somebody added who was a stranger to it: the room is none that it shares with others.
ALTER TABLE rooms.members ADD COLUMN by_stranger boolean NOT NULL DEFAULT false;
