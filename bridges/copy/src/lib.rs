//! Copies of whole stores: what backup, restore and move have in common.
//!
//! - [`copy_log`] and [`copy_tables`] read one store page by page and fill another, whatever the two are.
//! - [`bring_tables`] brings a copy of tables to a later state by what differs.
//! - [`Digest`] tells whether two stores hold the same, room by room, in whatever order they keep it.
//! - [`Part`] is a directory that is there as a whole or not at all; [`Manifest`] lists its files with their hashes, and a list of its own, [`FILES`],
//!   the pictures and files of people.
//!
//! Thread: one that may block and be slow; on a runtime when a store needs one. Nobody waits for it: it pauses as long as it works.
//!
//! Invariants: a log that is copied while it is appended to is whole when every record appended since the begin came by the [`Tee`]. Nothing
//! is left of a [`Part`] that was not finished. A file that is not what the manifest says is named, and nothing of it is used.
//!
//! Limits: [`PAGE_SEQS`] and [`PAGE_ROWS`] at a time. What can fail: see [`CopyError`].

#![forbid(unsafe_code)]

mod changes;
mod digest;
mod error;
mod files;
mod log;
mod manifest;
mod part;
mod tables;

pub use changes::{Brought, bring_tables};
pub use digest::{Digest, digest_room};
pub use error::CopyError;
pub use files::{BLOBS, FILES, FileList, FileWriter, PIECE_BYTES, check_file, each_file};
pub use log::{LogCopied, NoTee, PAGE_SEQS, Tee, apply_tee, copy_log, each_room, finish};
pub use manifest::{FileEntry, MANIFEST, Manifest, hash_file, read_manifest, seal, take_file, take_files};
pub use part::{Part, sync_tree};
pub use tables::{PAGE_ROWS, Tables, copy_tables, digest_tables};
