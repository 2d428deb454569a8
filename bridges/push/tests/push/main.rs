//! Pushes through Firebase's API against a server on this machine that checks requests, and the bridge's thread from messages to pushes.
//!
//! `scripts/push` runs them with Google's own description of the API; without it requests are checked by what is written in `schema`.

mod bridge;
mod double;
mod schema;
mod sends;
