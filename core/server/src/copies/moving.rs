//! `lynk move`: from the embedded stores into outside ones.
//!
//! 1. While the server serves, the message log is copied, and every batch that is drained meanwhile is appended to the copy as well.
//! 2. With `--verify` every room is compared by its hash. For one that differs because it gets records meanwhile the drain is held, so that
//!    both sides hold the same ones; nobody waits for it. A room that is too large for a hold is compared in step 4.
//! 3. Still while the server serves, rooms and accounts are copied as they are at one moment, compared, and caught up with (`tables`).
//! 4. The server drains its connections and ends, as on SIGTERM; what it drains last goes to both sides. What changed in rooms and accounts
//!    since step 3 is brought over, and proven; the rooms that got records since step 2 are compared.
//! 5. The drain positions of the journals are told to the new log, and `STORES` is rewritten in one step. Before that step the old stores are the
//!    only ones, after it the new ones are. The next start needs a configuration that names those.
//!
//! So the service pauses for the drain, for what changed lately, and for the start. A move that fails leaves the old stores as they are; its
//! target has to be emptied before the next try. Without a server nothing changes, and each store is copied once.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lynk_copy::{CopyError, LogCopied, NoTee, Tee, apply_tee, copy_log, digest_room, each_room, finish};
use lynk_domain::{Lsn, Millis, RoomId};
use lynk_embedded::MessageLog;
use lynk_model::OwnedRecord;
use lynk_model::port::{LastFault, MessageDump, MessageStore as _, source_name};
use lynk_store::{Tap, TapEnded};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::backup::TapTee;
use super::restore::{differs, empty_log};
use super::tables::Relational;
use super::{MovedTables, Progress, keys_kept, keys_since};
use crate::config::{Config, MessagesIn, RelationalIn};
use crate::data_dir;
use crate::exit::{Exit, Failure};

/// Rooms with records after they were compared that are compared again; with more, all are.
const TOUCHED_MAX: usize = 100_000;
/// Time between two looks at what the server still drains.
const LOOK: Duration = Duration::from_millis(5);
/// Records that the drain may have left when the server is asked to end: some seconds' work for a new store that is slow.
const BACKLOG_MAX: u64 = 5_000;
/// Longest wait for that, and the time between two looks.
const DRAIN_WAIT_MAX: Duration = Duration::from_secs(600);
const DRAIN_LOOK: Duration = Duration::from_secs(1);

/// What is moved.
pub(crate) struct Move<'a> {
    /// The configuration that names the old stores.
    pub(crate) from: &'a Config,
    /// The one that names the new ones.
    pub(crate) to: &'a Config,
    pub(crate) root: &'a Path,
    pub(crate) installation: String,
    /// The embedded message log.
    pub(crate) log: Option<MessageLog>,
    pub(crate) verify: bool,
}

/// A server that runs, as a move sees it.
pub(crate) struct Server<'a> {
    pub(crate) tap: &'a mut Tap,
    /// Set when all its other threads have ended.
    pub(crate) ended: &'a AtomicBool,
}

/// Moves.
///
/// # Errors
/// What stood in the way; `STORES` is as it was.
pub(crate) fn run(
    moved: &Move<'_>,
    server: Option<Server<'_>>,
    progress: Progress<'_>,
) -> Result<Value, Failure> {
    let (from, to) = (&moved.from.outside, &moved.to.outside);
    let relational = (from.relational, to.relational) == (RelationalIn::Embedded, RelationalIn::Postgres);
    let messages = (from.messages, to.messages) == (MessagesIn::Embedded, MessagesIn::Cassandra);
    let stay = |one: bool, same: bool| one || same;
    if !(relational || messages)
        || !stay(relational, from.relational == to.relational)
        || !stay(messages, from.messages == to.messages)
    {
        return Err(Failure::new(
            Exit::Config,
            "there is nothing to move from embedded stores to outside ones",
        )
        .cure("name the new stores: `store.relational = \"postgres\"`, `store.messages = \"cassandra\"`"));
    }
    let runtime = crate::stores::runtime()?;
    let progress = RefCell::new(progress);
    progress.borrow_mut().say("connecting to the new stores");
    let mut relational = open_tables(moved, relational, &runtime)?;
    let log = moved.log.as_ref().filter(|_| messages);
    let done = match log {
        Some(log) => with_log(moved, log, server, &mut relational, &runtime, &progress)?,
        None => {
            without_log(server, &mut relational, &runtime, &progress)?;
            LogCopied::default()
        }
    };
    let tables = finish_tables(relational, &runtime, &progress)?;
    data_dir::replace(&moved.root.join("STORES"), crate::stores::wanted(moved.to).as_bytes(), 0o640)?;
    Ok(json!({
        "moved": crate::stores::wanted(moved.to).trim().replace('\n', ", "), "logs": done.rooms, "rows": done.rows,
        "new_records": done.records, "rooms": tables.rooms, "accounts": tables.accounts, "files": tables.files, "changes": tables.changes, "late_changes": tables.late,
        "verified": moved.verify,
    }))
}

/// Connects before anything else, so that what is missing is known while everything still serves.
fn open_tables(moved: &Move<'_>, wanted: bool, runtime: &Runtime) -> Result<Option<Relational>, Failure> {
    #[cfg(feature = "postgres")]
    {
        let open = || crate::stores::postgres::Tables::open(moved.to, runtime);
        let tables = wanted.then(open).transpose()?;
        Ok(tables.map(|tables| Relational::new(tables, moved.root)))
    }
    #[cfg(not(feature = "postgres"))]
    {
        let _ = (moved, wanted, runtime);
        Ok(None)
    }
}

/// Moves what there is besides a message log; ends when the server has ended and nothing changes any more.
fn without_log(
    server: Option<Server<'_>>,
    relational: &mut Option<Relational>,
    runtime: &Runtime,
    progress: &RefCell<Progress<'_>>,
) -> Result<(), Failure> {
    let Some(Server { ended, .. }) = server else { return Ok(()) };
    if let Some(relational) = relational {
        let mut each = async |stage, rows| {
            progress.borrow_mut().rows(stage, rows);
            let over = progress.borrow().is_gone() || ended.load(Ordering::Acquire);
            if over { Err(CopyError::Ended) } else { Ok(()) }
        };
        runtime.block_on(async {
            relational.copy_whole(&mut each).await?;
            relational.catch_up(&mut each).await
        })?;
    }
    progress.borrow_mut().say("ending the server");
    end_server(progress)?;
    while !ended.load(Ordering::Acquire) {
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Ends the move of rooms and accounts, which nobody changes any more.
fn finish_tables(
    relational: Option<Relational>,
    runtime: &Runtime,
    progress: &RefCell<Progress<'_>>,
) -> Result<MovedTables, Failure> {
    let Some(relational) = relational else { return Ok(MovedTables::default()) };
    let mut each = async |stage, rows| {
        // Whoever asked may be gone: it goes on without.
        progress.borrow_mut().rows(stage, rows);
        Ok(())
    };
    runtime.block_on(relational.finish(&mut each))
}

/// Moves the message log; ends when the server has ended and both sides hold everything.
fn with_log(
    moved: &Move<'_>,
    log: &MessageLog,
    server: Option<Server<'_>>,
    relational: &mut Option<Relational>,
    runtime: &Runtime,
    progress: &RefCell<Progress<'_>>,
) -> Result<LogCopied, Failure> {
    #[cfg(feature = "cassandra")]
    {
        let mut target = crate::stores::cassandra::log(moved.to, moved.installation.clone(), runtime)?;
        runtime.block_on(async {
            let copied = copy(moved, log, &mut target, server, relational, progress).await?;
            tell_positions(moved.root, log, &mut target).await?;
            finish(&mut target).await?;
            Ok(copied)
        })
    }
    #[cfg(not(feature = "cassandra"))]
    {
        let _ = (moved, log, server, relational, runtime, progress);
        unreachable!("the configuration is refused by a build without it")
    }
}

/// Remembers which rooms got records.
struct Noting<'t, 'a, 'p> {
    tee: &'t mut TapTee<'a, 'p>,
    touched: BTreeSet<RoomId>,
}

impl Tee for Noting<'_, '_, '_> {
    fn take(&mut self) -> Result<Option<Vec<OwnedRecord>>, CopyError> {
        let records = self.tee.take()?;
        if self.touched.len() <= TOUCHED_MAX {
            self.touched.extend(records.iter().flatten().map(|record| record.head.room));
        }
        Ok(records)
    }
}

async fn copy<T: MessageDump + LastFault>(
    moved: &Move<'_>,
    log: &MessageLog,
    target: &mut T,
    server: Option<Server<'_>>,
    relational: &mut Option<Relational>,
    progress: &RefCell<Progress<'_>>,
) -> Result<LogCopied, Failure> {
    empty_log(target).await?;
    let (kept, since) = (keys_kept(moved.from), keys_since());
    progress.borrow_mut().say("copying messages");
    let mut told = |copied| progress.borrow_mut().count("copying messages", copied);
    let Some(Server { tap, ended }) = server else {
        let copied = copy_log(log, target, &mut NoTee, kept, &mut told).await?;
        if moved.verify {
            progress.borrow_mut().say("comparing rooms");
            super::restore::same_logs(log, target, since).await?;
        }
        return Ok(copied);
    };
    let tee = tap.tee().map_err(|TapEnded| CopyError::Ended)?;
    let mut tee = TapTee { tee, progress, may_end: false, end: None };
    let mut copied = copy_log(log, target, &mut tee, kept, &mut told).await?;
    let mut noting = Noting { tee: &mut tee, touched: BTreeSet::new() };
    if moved.verify {
        progress.borrow_mut().say("comparing rooms");
        compare(log, target, tap, &mut noting, since, &mut copied).await?;
    }
    if let Some(relational) = relational {
        let mut each = async |stage, rows| {
            progress.borrow_mut().rows(stage, rows);
            apply_tee(target, &mut noting, &mut copied).await
        };
        relational.copy_whole(&mut each).await?;
    }
    wait_for_drain(target, tap, &mut noting, &mut copied).await?;
    if let Some(relational) = relational {
        let mut each = async |stage, rows| {
            progress.borrow_mut().rows(stage, rows);
            apply_tee(target, &mut noting, &mut copied).await
        };
        relational.catch_up(&mut each).await?;
    }
    progress.borrow_mut().say("ending the server");
    noting.tee.may_end = true;
    end_server(progress)?;
    while noting.tee.end.is_none() || !ended.load(Ordering::Acquire) {
        apply_tee(target, &mut noting, &mut copied).await?;
        tokio::time::sleep(LOOK).await;
    }
    if noting.tee.end == Some(false) {
        return Err(Failure::dependency(
            "the server ended before everything was drained: nothing was switched",
        )
        .cure("empty the target, start the server, and repeat the move when its backlog is gone"));
    }
    if noting.touched.len() > TOUCHED_MAX {
        super::restore::same_logs(log, target, since).await?;
    } else {
        let mut differ = Vec::new();
        for room in noting.touched {
            differ.extend(same(log, target, room, since).await?);
        }
        differs(differ)?;
    }
    Ok(copied)
}

/// Waits until the drain has little left: what it has at the end of the server goes through the new store too, while nobody is served.
async fn wait_for_drain<T: MessageDump + LastFault>(
    target: &mut T,
    tap: &mut Tap,
    tee: &mut Noting<'_, '_, '_>,
    copied: &mut LogCopied,
) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        let backlog = {
            let mut holding = tap.hold_drain().map_err(|TapEnded| CopyError::Ended)?;
            let cursors = loop {
                apply_tee(target, tee, copied).await?;
                match holding.held().map_err(|TapEnded| CopyError::Ended)? {
                    Some(cursors) => break cursors,
                    None => tokio::time::sleep(LOOK).await,
                }
            };
            let last = tap.committed(&cursors);
            cursors
                .iter()
                .zip(&last)
                .map(|((_, drained), (_, last))| last.0.saturating_sub(drained.0))
                .sum::<u64>()
        };
        if backlog <= BACKLOG_MAX {
            return Ok(());
        }
        if begun.elapsed() > DRAIN_WAIT_MAX {
            return Err(Failure::dependency(format!(
                "{backlog} records wait for the drain, which does not catch up"
            ))
            .cure("empty the target, and repeat it when people write less"));
        }
        tee.tee.progress.borrow_mut().rooms("waiting for the drain", copied.rooms);
        let until = Instant::now() + DRAIN_LOOK;
        while Instant::now() < until {
            apply_tee(target, tee, copied).await?;
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Ends this process as its operator would. Whoever asked must still be there: nobody else would hear how it went.
fn end_server(progress: &RefCell<Progress<'_>>) -> Result<(), Failure> {
    if progress.borrow().is_gone() {
        return Err(CopyError::Ended.into());
    }
    let sent = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM);
    sent.map_err(|error| Failure::dependency(format!("the server does not end: {error}")))
}

/// How a room of one log differs from that of the other, if it does.
async fn same<S, T>(source: &S, target: &T, room: RoomId, since: Millis) -> Result<Option<String>, CopyError>
where
    S: MessageDump + LastFault,
    T: MessageDump + LastFault,
{
    let one = digest_room(source, room, since).await;
    let one = one.map_err(|error| CopyError::store("the source", source, error))?;
    let other = digest_room(target, room, since).await;
    let other = other.map_err(|error| CopyError::store("the copy", target, error))?;
    Ok((one != other).then(|| format!("room {room}: {one} and {other}")))
}

/// Compares every room while the server serves.
async fn compare<T: MessageDump + LastFault>(
    log: &MessageLog,
    target: &mut T,
    tap: &Tap,
    tee: &mut Noting<'_, '_, '_>,
    since: Millis,
    copied: &mut LogCopied,
) -> Result<(), Failure> {
    let mut rooms = Vec::new();
    each_room(log, async |room| {
        rooms.push(room);
        Ok(())
    })
    .await?;
    let mut differ = Vec::new();
    for (done, room) in (0..).zip(rooms) {
        tee.tee.progress.borrow_mut().rooms("comparing rooms", done);
        apply_tee(target, tee, copied).await?;
        if same(log, target, room, since).await?.is_none() {
            continue;
        }
        let mut holding = tap.hold_drain().map_err(|TapEnded| CopyError::Ended)?;
        while holding.held().map_err(|TapEnded| CopyError::Ended)?.is_none() {
            apply_tee(target, tee, copied).await?;
            tokio::time::sleep(LOOK).await;
        }
        apply_tee(target, tee, copied).await?;
        let different = same(log, target, room, since).await?;
        if holding.still() {
            differ.extend(different);
        } else {
            tee.touched.insert(room);
        }
    }
    differs(differ)
}

/// Tells the new log how far the journals are drained: what is left of their files is in it.
async fn tell_positions<T: MessageDump + LastFault>(
    root: &Path,
    log: &MessageLog,
    target: &mut T,
) -> Result<(), Failure> {
    let journal = root.join("journal");
    let found = lynk_journal::journals_of(&journal);
    for (generation, shard) in found.map_err(|error| Failure::dependency(error.to_string()))? {
        let name = source_name(generation, shard);
        let drained =
            log.cursor(&name).await.map_err(|error| CopyError::store("the message log", log, error))?;
        if drained > Lsn(0) {
            let told = target.append(&name, drained, &[]).await;
            told.map_err(|error| CopyError::store("the copy", target, error))?;
        }
    }
    Ok(())
}
