//! `lynk chat`: a client of the public protocol for terminals and scripts.
//!
//! [`model`] is the client as a state machine without I/O: lines and frames in, frames and things to tell out. It keeps a
//! cursor per room and every unacknowledged command with its key, so that a lost connection loses, repeats and reorders
//! nothing. [`run`] moves its bytes: one thread reads the socket, one the terminal, the main one does the rest.
//!
//! Limits: one command in flight, so that own messages keep their order through retries; [`model::OUTBOX_MAX`] waiting
//! ones; early events per room. What can fail: signing in for good; everything else is retried.

mod command;
mod model;
mod room;
mod run;
mod show;
mod wire;

pub(crate) use run::{Access, Options, run};
