//! Embedded stores: the message log on fjall, rooms and blocks on SQLite.
