//! The real program, seen from outside: clients of the public protocol, signals, health, bad input.

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod chat;
mod http;
mod command_line;
mod life;
mod rooms;
mod transcripts;
