//! The engine as a driver sees it: several shards, a journal that commits, a store that answers.

mod chat;
mod harness;
mod memory;
mod warm;
