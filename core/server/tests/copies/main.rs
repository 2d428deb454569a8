//! Backup, restore and move, with people talking meanwhile. Each copy into outside stores has a database and a keyspace of its own.

#[path = "../support/mod.rs"]
mod support;

mod embedded;
mod files;
mod life;
mod outside;
#[path = "../outside/pump.rs"]
mod pump;
mod tables;
mod tools;
