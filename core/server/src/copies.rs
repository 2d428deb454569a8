//! Backup, restore, move: copies of all stores, taken by the process that has them open.
//!
//! A server that runs holds the locks of its data directory and of its stores, so it makes the copy itself, asked through a socket in the
//! directory ([`control`]); without a server the command does it. Both run the same code.
//!
//! Thread: `control`, or that of the command; it blocks. Nobody waits for it but its asker.
//!
//! What can fail: disks, stores, damage. A failed copy leaves nothing behind; a failed restore leaves a directory without `VERSION`, which no
//! server serves from.

pub(crate) mod backup;
pub(crate) mod control;
mod files;
pub(crate) mod moving;
pub(crate) mod offline;
pub(crate) mod restore;
#[cfg_attr(not(feature = "postgres"), path = "copies/no_tables.rs")]
pub(crate) mod tables;

use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use lynk_copy::{CopyError, LogCopied};
use lynk_domain::Millis;
use lynk_embedded::{
    AccountsSnapshot, MediaSnapshot, MediaTable, Notifications, NotificationsSnapshot, OpenError,
    RoomsSnapshot,
};
use serde_json::{Value, json};

use crate::config::Config;
use crate::data_dir::refused;
use crate::exit::{Exit, Failure};

/// File with a line for each room of a backup: room, rows, digest.
pub(crate) const HASHES: &str = "HASHES";
/// Directory in the data directory that has copies of the tables while a move goes on.
const MOVE_PART: &str = "move.part";
/// How old a key may be to count when two stores are compared: less than any store keeps it, so that none is forgotten between two looks.
const KEYS_COMPARED_MILLIS: u64 = 5 * 24 * 60 * 60 * 1_000;
/// Longest wait for an outside store that does not answer.
const STORE_WAIT_MILLIS: u64 = 10_000;
/// Time between two words about how far it is.
const TELL: Duration = Duration::from_secs(1);

/// How many rows of tables were moved.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct MovedTables {
    pub(crate) rooms: u64,
    pub(crate) accounts: u64,
    pub(crate) files: u64,
    /// Rows that were written or taken out because they had changed since they were copied.
    pub(crate) changes: u64,
    /// Those of them that were when the server had ended.
    pub(crate) late: u64,
}

/// The tables of a data directory.
pub(crate) type EmbeddedTables = (RoomsSnapshot, AccountsSnapshot, NotificationsSnapshot, MediaSnapshot);

/// The tables of a data directory as they are now.
///
/// # Errors
/// What SQLite says.
pub(crate) fn embedded_tables(root: &Path) -> Result<EmbeddedTables, Failure> {
    make_tables(root)?;
    let failed = |error: OpenError| Failure::dependency(error.to_string());
    let rooms = RoomsSnapshot::open(root).map_err(failed)?;
    let accounts = AccountsSnapshot::open(root).map_err(failed)?;
    let notify = NotificationsSnapshot::open(root).map_err(failed)?;
    Ok((rooms, accounts, notify, MediaSnapshot::open(root).map_err(failed)?))
}

/// Makes the tables that a server of an earlier program, or one that keeps no files, made none of.
fn make_tables(root: &Path) -> Result<(), Failure> {
    let failed = |error: OpenError| Failure::dependency(error.to_string());
    if !root.join("notify.sqlite").exists() {
        drop(Notifications::open(root).map_err(failed)?);
    }
    if !root.join("media.sqlite").exists() {
        drop(MediaTable::open(root).map_err(failed)?);
    }
    Ok(())
}

/// Removes what a move left that was killed. Nobody else may be moving.
///
/// # Errors
/// The directory refuses.
pub(crate) fn remove_move_part(root: &Path) -> Result<(), Failure> {
    let part = root.join(MOVE_PART);
    match std::fs::remove_dir_all(&part) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(refused(&part, &error)),
        _ => Ok(()),
    }
}

/// The configuration, for one who waits for the answer: a store that is away is told soon.
pub(crate) fn copies_soon(mut config: Config) -> Config {
    let wait = &mut config.outside.start_wait_millis;
    *wait = STORE_WAIT_MILLIS.min(*wait);
    config
}

/// From when on the stores still find keys, now: those are copied. A client may come back with one.
pub(crate) fn keys_kept(config: &Config) -> Millis {
    Millis(crate::os::wall_millis().0.saturating_sub(crate::stores::key_life_millis(config)))
}

/// From when on keys are compared, now.
pub(crate) fn keys_since() -> Millis {
    Millis(crate::os::wall_millis().0.saturating_sub(KEYS_COMPARED_MILLIS))
}

/// Tells whoever asked how far a copy is; `false` when nobody listens any more.
pub(crate) struct Progress<'a> {
    tell: &'a mut dyn FnMut(&Value) -> bool,
    /// Looks whether somebody listens, without telling anything.
    listens: Option<&'a dyn Fn() -> bool>,
    last: Option<Instant>,
    /// Of which rows were told last.
    stage: Option<&'static str>,
    gone: bool,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(tell: &'a mut dyn FnMut(&Value) -> bool) -> Self {
        Self { tell, listens: None, last: None, stage: None, gone: false }
    }

    /// With a look for whoever listens: between two words there may be a second.
    pub(crate) fn looking(self, listens: &'a dyn Fn() -> bool) -> Self {
        Self { listens: Some(listens), ..self }
    }

    /// Tells at once.
    pub(crate) fn say(&mut self, stage: &str) {
        self.gone |= !(self.tell)(&json!({"stage": stage}));
    }

    /// Tells now and then how much is copied.
    pub(crate) fn count(&mut self, stage: &str, copied: LogCopied) {
        let LogCopied { rooms, rows, records } = copied;
        self.now_and_then(|| json!({"stage": stage, "rooms": rooms, "rows": rows, "new_records": records}));
    }

    /// Tells now and then how many rooms are done.
    pub(crate) fn rooms(&mut self, stage: &str, rooms: u64) {
        self.now_and_then(|| json!({"stage": stage, "rooms": rooms}));
    }

    /// Tells now and then how many files are done, and their bytes.
    pub(crate) fn files(&mut self, stage: &str, files: u64, bytes: u64) {
        self.now_and_then(|| json!({"stage": stage, "files": files, "bytes": bytes}));
    }

    /// Tells at once of a stage that begins, and now and then how many rows are done.
    pub(crate) fn rows(&mut self, stage: &'static str, rows: u64) {
        if self.stage != Some(stage) {
            self.stage = Some(stage);
            return self.say(stage);
        }
        self.now_and_then(|| json!({"stage": stage, "rows": rows}));
    }

    fn now_and_then(&mut self, told: impl FnOnce() -> Value) {
        if self.last.is_none_or(|at| at.elapsed() >= TELL) {
            self.last = Some(Instant::now());
            self.gone |= !(self.tell)(&told());
        }
    }

    /// Whether nobody listens any more: the copy is given up.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone || self.listens.is_some_and(|listens| !listens())
    }
}

impl From<CopyError> for Failure {
    fn from(error: CopyError) -> Self {
        let text = error.to_string();
        match error {
            CopyError::Damaged { .. } => {
                Self::new(Exit::Failure, text).cure("use another copy of the backup; nothing was changed")
            }
            CopyError::Differs(_) => Self::new(Exit::Failure, text)
                .cure("nothing was switched; empty the target and repeat, and report it if it happens again"),
            CopyError::Ended => Self::dependency(text).cure("repeat it; nothing is left of this one"),
            CopyError::InTheWay { .. } => Self::dependency(text),
            _ => Self::dependency(text)
                .cure("see the disk's or the store's own words; nothing is left of this copy"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client may come back with a key as old as the limit says: a copy that lacked it would let it post twice.
    #[test]
    fn every_key_that_a_server_accepts_is_copied() {
        for days in [1, 7, 30] {
            let mut config = Config::default();
            config.limits.key_age_max_millis = days * 24 * 60 * 60 * 1_000;
            let oldest = crate::os::wall_millis().0 - config.limits.key_age_max_millis;
            assert!(keys_kept(&config).0 < oldest, "{days} days");
        }
        assert_eq!(crate::stores::keeping_log().key_life_millis, u64::MAX, "a command lets none expire");
    }
}
