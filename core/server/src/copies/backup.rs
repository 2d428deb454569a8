//! `lynk backup`: all stores as they were at one moment, as a data directory of embedded stores.
//!
//! The message log is copied while it is appended to; every batch that is drained meanwhile is appended to the copy as well. The moment of
//! the backup is the end of that: the drain is held between two batches, and the thread that changes rooms is held as well; then the
//! last committed record of every journal is noted, and after it the tables are fixed by a read transaction. So every message that was
//! acknowledged before is in the backup: in the rows, or among the journals' records, which are appended. No event of a metadata version is
//! there that the tables do not have: a command is stored before its event is journaled. No event is missing that the tables count as
//! journaled: nothing is confirmed while they are held. Files come last ([`files`](super::files)).

use std::cell::RefCell;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lynk_blob::Directory;
use lynk_copy::{
    CopyError, LogCopied, Manifest, NoTee, Part, Tables, Tee, apply_tee, copy_log, copy_tables, digest_room,
    each_room, finish, seal,
};
use lynk_domain::{Lsn, Millis};
use lynk_embedded::{Accounts, MediaTable, MessageLog, MessageLogOptions, Notifications, Rooms};
use lynk_journal::Batch;
use lynk_model::dump::NotifyRow;
use lynk_model::port::{AccountDump, LastFault, MediaDump, MessageDump, NotifyDump, RoomDump};
use lynk_model::{OwnedRecord, SourceId};
use lynk_store::{Tap, TapEnded, Teed};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::files::{self, FilesCopied, Source, is_ready};
use super::restore::is_backed_up;
use super::{HASHES, Progress, keys_kept, keys_since};
use crate::config::{Config, MessagesIn, RelationalIn};
use crate::data_dir;
use crate::exit::Failure;
use crate::os;

/// Time between two looks at a drain that is about to be held.
const LOOK: Duration = Duration::from_millis(1);

/// The stores to be copied, and how they are reached.
pub(crate) struct Stores<'a> {
    pub(crate) config: &'a Config,
    /// The data directory.
    pub(crate) root: &'a Path,
    /// The embedded message log, when that is what it is.
    pub(crate) log: Option<MessageLog>,
    /// Whether the bytes of pictures and files are copied. Nobody may remove any meanwhile.
    pub(crate) files: bool,
}

/// A tee that ends when its asker is gone.
pub(crate) struct TapTee<'a, 'p> {
    pub(crate) tee: lynk_store::Tee,
    pub(crate) progress: &'a RefCell<Progress<'p>>,
    /// The server was asked to end: before that its end is the copy's.
    pub(crate) may_end: bool,
    /// Whether the drain ended with nothing left, when it has ended.
    pub(crate) end: Option<bool>,
}

impl Tee for TapTee<'_, '_> {
    fn take(&mut self) -> Result<Option<Vec<OwnedRecord>>, CopyError> {
        if self.progress.borrow().is_gone() {
            return Err(CopyError::Ended);
        }
        if self.end.is_some() {
            return Ok(None);
        }
        match self.tee.take() {
            Ok(Some(Teed::Records(records))) => Ok(Some(records)),
            Ok(Some(Teed::End { .. })) if !self.may_end => Err(CopyError::Ended),
            Ok(Some(Teed::End { drained })) => {
                self.end = Some(drained);
                Ok(None)
            }
            Ok(None) => Ok(None),
            Err(TapEnded) => Err(CopyError::Ended),
        }
    }
}

/// Makes a backup at `target`, through the tap of a server that runs, or of stores that nobody changes.
///
/// # Errors
/// What stood in the way; nothing is left then.
pub(crate) fn run(
    stores: &Stores<'_>,
    tap: Option<&mut Tap>,
    target: &Path,
    progress: Progress<'_>,
) -> Result<Value, Failure> {
    let runtime = crate::stores::runtime()?;
    match stores.config.outside.messages {
        MessagesIn::Embedded => {
            let log = stores.log.clone().ok_or_else(|| Failure::dependency("the message log is not open"))?;
            from_log(stores, &log, &runtime, tap, target, progress)
        }
        MessagesIn::Cassandra => {
            #[cfg(feature = "cassandra")]
            {
                let log = crate::stores::cassandra::log(stores.config, String::new(), &runtime)?;
                from_log(stores, &log, &runtime, tap, target, progress)
            }
            #[cfg(not(feature = "cassandra"))]
            unreachable!("the configuration is refused by a build without it")
        }
    }
}

fn from_log<S: MessageDump + LastFault>(
    stores: &Stores<'_>,
    log: &S,
    runtime: &Runtime,
    tap: Option<&mut Tap>,
    target: &Path,
    progress: Progress<'_>,
) -> Result<Value, Failure> {
    let (root, kept) = (stores.root, keys_kept(stores.config));
    let bucket = if stores.files { crate::media::bucket_beside(stores.config, root)? } else { None };
    let files = stores.files.then(|| Source {
        directory: Directory::beside(&stores.config.media.directory(root)),
        bucket: bucket.as_ref().map(|(bucket, _)| bucket.clone()),
    });
    let wanted = Wanted { kept, files };
    let copied = match stores.config.outside.relational {
        RelationalIn::Embedded => {
            let open = async || super::embedded_tables(root);
            runtime.block_on(whole(log, open, tap, target, wanted, progress))
        }
        RelationalIn::Postgres => {
            #[cfg(feature = "postgres")]
            {
                let tables = crate::stores::postgres::Tables::open(stores.config, runtime)?;
                let open = async || tables.snapshots().await;
                runtime.block_on(whole(log, open, tap, target, wanted, progress))
            }
            #[cfg(not(feature = "postgres"))]
            unreachable!("the configuration is refused by a build without it")
        }
    };
    if let Some((_, thread)) = bucket {
        thread.join();
    }
    copied
}

/// What is copied.
struct Wanted {
    /// From when on keys are.
    kept: Millis,
    /// Where files are, if they are.
    files: Option<Source>,
}

/// The stores of the backup.
struct Target {
    part: Part,
    log: MessageLog,
    rooms: Rooms,
    accounts: Accounts,
    notify: Notifications,
    media: MediaTable,
}

impl Target {
    fn open(path: &Path) -> Result<Self, Failure> {
        let part = Part::make(path)?;
        let options = MessageLogOptions { cache_bytes: 8 << 20, ..crate::stores::keeping_log() };
        let failed = |error: lynk_embedded::OpenError| Failure::dependency(error.to_string());
        let (log, rooms) = lynk_embedded::open(part.path(), options).map_err(failed)?;
        let accounts = Accounts::open(part.path()).map_err(failed)?;
        let notify = Notifications::open(part.path()).map_err(failed)?;
        let media = MediaTable::open(part.path()).map_err(failed)?;
        Ok(Self { part, log, rooms, accounts, notify, media })
    }
}

async fn whole<S, R, A, N, F>(
    source: &S,
    open: impl AsyncFnOnce() -> Result<(R, A, N, F), Failure>,
    tap: Option<&mut Tap>,
    path: &Path,
    Wanted { kept, files }: Wanted,
    progress: Progress<'_>,
) -> Result<Value, Failure>
where
    S: MessageDump + LastFault,
    R: RoomDump + LastFault,
    A: AccountDump + LastFault,
    N: NotifyDump + LastFault,
    F: MediaDump + LastFault,
{
    let begun = Instant::now();
    let since = keys_since();
    let mut target = Target::open(path)?;
    let progress = RefCell::new(progress);
    progress.borrow_mut().say("copying messages");
    let mut told = |copied| progress.borrow_mut().count("copying messages", copied);
    let (copied, taken, (mut rooms, mut accounts, mut notify, mut media)) = match tap {
        Some(tap) => {
            let tee = tap.tee().map_err(|TapEnded| CopyError::Ended)?;
            let mut tee = TapTee { tee, progress: &progress, may_end: false, end: None };
            let mut copied = copy_log(source, &mut target.log, &mut tee, kept, &mut told).await?;
            let (taken, tables) = fix(tap, &mut target.log, &mut tee, &mut copied, open).await?;
            (copied, taken, tables)
        }
        None => {
            let copied = copy_log(source, &mut target.log, &mut NoTee, kept, &mut told).await?;
            (copied, os::wall_millis(), open().await?)
        }
    };
    progress.borrow_mut().say("copying rooms and accounts");
    let each = &mut async |_| if progress.borrow().is_gone() { Err(CopyError::Ended) } else { Ok(()) };
    let of_rooms = copy_tables(&mut rooms, &mut target.rooms, |_| true, each).await?;
    let of_accounts = copy_tables(&mut accounts, &mut target.accounts, is_backed_up, each).await?;
    // Devices go with their sessions, and what waits to be sent is of a server that goes on.
    let of_notify = copy_tables(&mut notify, &mut target.notify, NotifyRow::is_history, each).await?;
    let of_media = copy_tables(&mut media, &mut target.media, is_ready, each).await?;
    drop((rooms, accounts, notify, media));
    finish(&mut target.log).await?;
    let epoch = target.log.epoch().await.map_err(|error| CopyError::store("the copy", &target.log, error))?;
    progress.borrow_mut().say("hashing");
    let rooms = write_hashes(&target.log, target.part.path(), since, &progress).await?;
    let files = match files {
        Some(source) => files::take(&source, target.part.path(), &progress).await?,
        None => FilesCopied::default(),
    };
    let manifest = Manifest {
        program: env!("CARGO_PKG_VERSION").to_owned(),
        layout: data_dir::VERSION,
        taken_unix_millis: taken.0,
        keys_since_unix_millis: since.0,
        epoch: epoch.0,
        rooms,
        relational: of_rooms.digest.to_string(),
        accounts: of_accounts.digest.to_string(),
        notify: of_notify.digest.to_string(),
        media: of_media.digest.to_string(),
        ..Manifest::default()
    };
    close(target, manifest)?;
    Ok(told_of(path, (copied, files), taken, (rooms, of_rooms, of_accounts), begun.elapsed()))
}

fn told_of(
    path: &Path,
    (copied, files): (LogCopied, FilesCopied),
    taken: Millis,
    (rooms, of_rooms, of_accounts): (u64, Tables, Tables),
    took: Duration,
) -> Value {
    json!({
        "backup": path.display().to_string(), "taken_unix_millis": taken.0, "logs": rooms, "rooms": of_rooms.counted,
        "accounts": of_accounts.counted, "rows": copied.rows, "new_records": copied.records,
        "files": files.files, "file_bytes": files.bytes, "files_missing": files.missing,
        "milliseconds": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    })
}

/// Fixes the moment of the backup; see the module. Returns it, and the tables as they are then.
async fn fix<T>(
    tap: &mut Tap,
    log: &mut MessageLog,
    tee: &mut TapTee<'_, '_>,
    copied: &mut LogCopied,
    open: impl AsyncFnOnce() -> Result<T, Failure>,
) -> Result<(Millis, T), Failure> {
    let ended = |TapEnded| CopyError::Ended;
    let mut holding = tap.hold_drain().map_err(ended)?;
    let cursors = loop {
        apply_tee(log, tee, copied).await?;
        match holding.held().map_err(ended)? {
            Some(cursors) => break cursors,
            None => tokio::time::sleep(LOOK).await,
        }
    };
    // Whatever was drained before is there.
    apply_tee(log, tee, copied).await?;
    let held = tap.hold_requests().map_err(ended)?;
    let committed = tap.committed(&cursors);
    let taken = os::wall_millis();
    let tables = open().await?;
    if !held.still() {
        return Err(Failure::dependency(
            "the tables did not answer while changes were held: nothing was copied",
        )
        .cure("repeat it when the database is less busy"));
    }
    drop(held);
    append_journals(tap, log, &cursors, &committed, copied).await?;
    if !holding.still() {
        return Err(Failure::dependency(
            "journals hold too much that is not drained: the backup was given up",
        )
        .cure("repeat it when `lynk_store_drain_backlog_records` is small, or stop the server for it"));
    }
    drop(holding);
    Ok((taken, tables))
}

/// Appends what journals hold beyond what is drained.
async fn append_journals(
    tap: &mut Tap,
    log: &mut MessageLog,
    cursors: &[(SourceId, Lsn)],
    committed: &[(SourceId, Lsn)],
    copied: &mut LogCopied,
) -> Result<(), CopyError> {
    let mut batch = Batch::default();
    for ((source, drained), (_, last)) in cursors.iter().zip(committed) {
        let mut after = *drained;
        while after < *last {
            let read = tap.read(*source, after, *last, &mut batch);
            read.map_err(|error| CopyError::Store { which: "the journal".into(), error, fault: None })?;
            assert!(!batch.is_empty(), "a record that is committed can be read, or the read fails");
            after = batch.last();
            apply_tee(log, &mut Once(Some(batch.to_owned_records())), copied).await?;
        }
    }
    Ok(())
}

/// One batch.
struct Once(Option<Vec<OwnedRecord>>);

impl Tee for Once {
    fn take(&mut self) -> Result<Option<Vec<OwnedRecord>>, CopyError> {
        Ok(self.0.take())
    }
}

/// Writes the digest of every room; returns how many.
async fn write_hashes(
    log: &MessageLog,
    directory: &Path,
    since: Millis,
    progress: &RefCell<Progress<'_>>,
) -> Result<u64, Failure> {
    let path: PathBuf = directory.join(HASHES);
    let refused = |error: std::io::Error| data_dir::refused(&path, &error);
    let mut out = BufWriter::new(std::fs::File::create(&path).map_err(refused)?);
    let (mut written, mut done) = (Ok(()), 0);
    let count = each_room(log, async |room| {
        if progress.borrow().is_gone() {
            return Err(CopyError::Ended);
        }
        let digest = digest_room(log, room, since).await;
        let digest = digest.map_err(|error| CopyError::store("the copy", log, error))?;
        if written.is_ok() {
            written = writeln!(out, "{room} {digest}");
        }
        done += 1;
        progress.borrow_mut().rooms("hashing", done);
        Ok(())
    });
    let count = count.await?;
    written.and_then(|()| out.flush()).map_err(refused)?;
    Ok(count)
}

/// Closes the backup's stores, so that nobody writes to the files, and seals it.
fn close(target: Target, manifest: Manifest) -> Result<(), Failure> {
    let Target { part, log, rooms, accounts, notify, media } = target;
    log.close().map_err(|error| Failure::dependency(error.to_string()))?;
    drop((rooms, accounts, notify, media));
    for (file, text) in
        [("VERSION", format!("{}\n", data_dir::VERSION)), ("STORES", crate::stores::EMBEDDED.to_owned())]
    {
        data_dir::write_new(&part.path().join(file), text.as_bytes(), 0o640)?;
    }
    seal(part, manifest)?;
    Ok(())
}
