//! The `lynk` program: configuration, boot, command line, admin listener, drain. The one composition root.
//!
//! The library exists for the binary and its tests; its public items are the entry point, the reference page of the
//! configuration, the document of the API, and the blocking client that tests drive a real server with.
//!
//! Thread: `serve` starts all others and waits for signals on the main thread. Only here are files, environment and
//! flags known; every other crate takes plain values.
//!
//! What can fail: everything an operator can get wrong, as a `Failure` with a cure and an exit code.

#![forbid(unsafe_code)]

mod accounts;
mod admin;
mod api;
mod boot;
mod certs;
mod chat;
mod cli;
pub mod client;
mod config;
mod copies;
mod crash;
mod credentials;
mod data_dir;
mod doctor;
mod events;
mod exit;
mod health;
mod keys;
mod log;
mod media;
mod memory;
mod metrics;
mod operator;
mod os;
mod out;
mod people;
mod presence;
mod principals;
mod push;
mod serve;
mod setup;
mod stores;
mod token;
mod twilio;

pub use api::{asyncapi_document, openapi_document};
pub use cli::main;
pub use config::reference as configuration_reference;
