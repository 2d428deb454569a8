//! The real program, seen from outside: clients of the public protocol, signals, health, bad input, a full disk.

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod chat;
mod command_line;
mod disk_full;
mod life;
mod transcripts;
