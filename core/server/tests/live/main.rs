//! The real program, seen from outside: clients of the public protocol, signals, health, bad input.

#[path = "../support/mod.rs"]
mod support;

#[path = "../../../../bridges/sms/tests/twilio/double.rs"]
mod double;

#[path = "../../../../bridges/push/tests/push/double.rs"]
mod google;

#[path = "../../../../bridges/push/tests/push/schema.rs"]
mod schema;

mod authorization;
mod bad_input;
mod chat;
mod command_line;
mod conversations;
mod credentials;
mod erase;
mod export;
mod factors;
mod http;
mod life;
mod media;
mod messages;
mod parity;
mod people;
mod privacy;
mod push;
mod rooms;
mod secrets;
mod socket_fuzz;
mod strangers;
mod transcripts;
mod twilio;
