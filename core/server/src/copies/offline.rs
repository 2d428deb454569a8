//! Stores of a data directory that no server serves from.
//!
//! Thread: the command's; blocks. What journals hold is moved into the message log first, as a start would do it: what is not published yet
//! stays in them.

use std::time::Duration;

use lynk_embedded::MessageLog;
use lynk_journal::{DiskUse, DrainStep, Drainer, Reader, RealDisk, RecoverOptions, recover};
use lynk_model::port::{LastFault, MessageStore};
use lynk_reactor::monotonic_now;
use tokio::runtime::Runtime;

use crate::config::Config;
use crate::data_dir::DataDir;
use crate::exit::Failure;
use crate::{events, os};

/// The embedded message log.
///
/// # Errors
/// Damage, or the disk.
pub(crate) fn log(dir: &DataDir) -> Result<MessageLog, Failure> {
    MessageLog::open(dir.root(), crate::stores::keeping_log())
        .map_err(|error| Failure::dependency(error.to_string()))
}

/// Moves everything that journals hold into the message log.
///
/// # Errors
/// Damage, the disk, or the store.
pub(crate) fn drain<M: MessageStore + LastFault>(
    config: &Config,
    dir: &DataDir,
    store: &mut M,
    runtime: &Runtime,
) -> Result<(), Failure> {
    let root = dir.root().join("journal");
    if !root.exists() {
        return Ok(());
    }
    let damaged = |why: String| Failure::dependency(why).cure("`lynk verify` tells which file is damaged");
    loop {
        let options = RecoverOptions::new(root.clone(), 1, u64::from_le_bytes(os::random()?));
        let cursor = &mut |name: &str| runtime.block_on(store.cursor(name));
        let recovered =
            recover(&RealDisk, &options, cursor, &mut |_| ()).map_err(|error| damaged(error.to_string()))?;
        let mut reader = Reader::new(RealDisk, &root, &recovered, Vec::new());
        let used = DiskUse::new(recovered.used_bytes, u64::MAX);
        let cursors = events::cursors(config, &root, &recovered, 0)?;
        let mut drainer = events::held(Drainer::new(&root, &recovered, 0, used), cursors.as_ref());
        loop {
            match runtime.block_on(drainer.step(store, &RealDisk, &mut reader, monotonic_now())) {
                DrainStep::Drained { .. } | DrainStep::Gone { .. } => {}
                DrainStep::Idle => break,
                DrainStep::Waiting(_) => runtime.block_on(tokio::time::sleep(Duration::from_millis(50))),
                DrainStep::Stuck { after, .. } => {
                    let why = reader.damage().map(ToString::to_string).unwrap_or_default();
                    return Err(damaged(format!(
                        "a journal cannot be drained after record {}: {why}",
                        after.0
                    )));
                }
            }
        }
        if !recovered.overflow {
            return Ok(());
        }
    }
}
