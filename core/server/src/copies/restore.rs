//! `lynk restore`: a backup becomes an empty data directory, or fills empty outside stores.
//!
//! The backup's files are copied and compared with its manifest first, so that the backup itself stays as it is and a damaged one is
//! refused before anything is filled. Then every room is compared with its hash. The epoch of all rooms becomes the time of the restore in
//! seconds, which no earlier restore has had: cursors of clients are of another life of their rooms, and they get `gap {reason: "reset"}`.
//!
//! `VERSION` is written last: a directory without it is not served from.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use lynk_copy::{
    CopyError, FILES, Manifest, NoTee, Tables, copy_log, copy_tables, digest_room, digest_tables, each_room,
    finish, read_manifest, sync_tree, take_files,
};
use lynk_domain::{Epoch, Millis};
use lynk_embedded::{Accounts, MediaTable, MessageLog, Notifications, OpenError, Rooms};
use lynk_model::dump::{AccountsRow, MediaRow, NotifyRow};
use lynk_model::port::{
    AccountDump, AccountFill, Dump, LastFault, MediaDump, MediaFill, MessageDump, NotifyDump, NotifyFill,
    RoomDump, RoomFill,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::{EmbeddedTables, HASHES, MovedTables, Progress, files, keys_kept, keys_since};
use crate::config::{Config, MessagesIn, RelationalIn};
use crate::data_dir::{self, DataDir, refused};
use crate::exit::{Exit, Failure};
use crate::os;

/// Where files lie until they are known to be whole.
pub(crate) const UNPACKED: &str = "restore.part";

fn failed(error: &OpenError) -> Failure {
    Failure::dependency(error.to_string())
}

/// Restores `backup` into the data directory and the stores of `config`; with `with_files` also the bytes of pictures and files.
///
/// # Errors
/// What stood in the way.
pub(crate) fn run(
    config: &Config,
    backup: &Path,
    with_files: bool,
    mut progress: Progress<'_>,
) -> Result<Value, Failure> {
    let manifest = read_manifest(backup)?;
    if manifest.layout > data_dir::VERSION {
        return Err(Failure::dependency(format!("the backup has layout version {}", manifest.layout))
            .cure("use a newer lynk"));
    }
    let with_files = with_files && manifest.files.iter().any(|file| file.path == FILES);
    keeps_files(config, &manifest, with_files)?;
    let dir = DataDir::claim(&config.data_dir)?;
    let unpacked = dir.root().join(UNPACKED);
    let result = unpack(config, &dir, backup, (&manifest, with_files), &mut progress);
    if result.is_err() {
        // The directory has no VERSION yet; what was in the way may be mended and the restore repeated.
        let _left = fs::remove_dir_all(&unpacked);
        if with_files {
            files::give_up(config, dir.root());
        }
    }
    result
}

/// Whether what is known of files has a place: PostgreSQL takes it in the name of a role that a server without files has not.
fn has_media(config: &Config) -> bool {
    config.media.enabled || config.outside.relational == RelationalIn::Embedded
}

/// Refuses to lose files without a word.
fn keeps_files(config: &Config, manifest: &Manifest, with_files: bool) -> Result<(), Failure> {
    let some = !manifest.media.is_empty() && !manifest.media.starts_with("0 ");
    if !some || !with_files || has_media(config) {
        return Ok(());
    }
    Err(Failure::new(Exit::Config, "the backup has files, and the configuration has media.enabled = false")
        .cure("enable it for the restore, or leave files out with --without-files"))
}

fn unpack(
    config: &Config,
    dir: &DataDir,
    backup: &Path,
    (manifest, with_files): (&Manifest, bool),
    progress: &mut Progress<'_>,
) -> Result<Value, Failure> {
    let unpacked = dir.root().join(UNPACKED);
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked).map_err(|error| refused(&unpacked, &error))?;
    }
    fs::DirBuilder::new().mode(0o700).create(&unpacked).map_err(|error| refused(&unpacked, &error))?;
    progress.say("checking and copying files");
    take_files(backup, manifest, &unpacked)?;
    let files = if with_files { files::unpack(config, dir.root(), &unpacked, backup, progress)? } else { 0 };
    for path in ["accounts.sqlite", "notify.sqlite", "media.sqlite"].map(|name| unpacked.join(name)) {
        if path.exists() {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(|e| refused(&path, &e))?;
        }
    }
    let runtime = crate::stores::runtime()?;
    let mut log = MessageLog::open(&unpacked, crate::stores::keeping_log()).map_err(|e| failed(&e))?;
    // Opened for writing once, so that they are of this program's format.
    drop((
        Rooms::open(&unpacked).map_err(|e| failed(&e))?,
        Accounts::open(&unpacked).map_err(|e| failed(&e))?,
        Notifications::open(&unpacked).map_err(|e| failed(&e))?,
        MediaTable::open(&unpacked).map_err(|e| failed(&e))?,
    ));
    let mut tables = super::embedded_tables(&unpacked)?;
    progress.say("comparing rooms with their hashes");
    let since = Millis(manifest.keys_since_unix_millis);
    let hashes = read_hashes(&unpacked.join(HASHES))?;
    runtime.block_on(same_rooms(&log, &hashes, since))?;
    runtime.block_on(same_tables(&mut tables, manifest))?;
    let seconds = u32::try_from(os::wall_millis().0 / 1_000).unwrap_or(u32::MAX);
    let epoch = Epoch(seconds.max(manifest.epoch.saturating_add(1)));

    if config.outside.relational == RelationalIn::Postgres {
        progress.say("filling PostgreSQL");
        fill_postgres(config, &runtime, &mut tables)?;
    }
    drop(tables);
    match config.outside.messages {
        MessagesIn::Embedded => {
            let raised = runtime.block_on(log.raise_epoch(epoch));
            raised.map_err(|error| CopyError::store("the message log", &log, error))?;
        }
        MessagesIn::Cassandra => {
            progress.say("filling Cassandra");
            fill_cassandra(config, dir, &runtime, &log, epoch, progress)?;
        }
    }
    log.close().map_err(|e| failed(&e))?;
    if with_files {
        files::place(config, dir.root())?;
    }
    place(config, dir, &unpacked)?;
    Ok(json!({
        "restored": dir.root().display().to_string(), "taken_unix_millis": manifest.taken_unix_millis,
        "logs": manifest.rooms, "epoch": epoch.0, "files": files,
    }))
}

/// Moves what the data directory keeps into its place, and makes it one.
fn place(config: &Config, dir: &DataDir, unpacked: &Path) -> Result<(), Failure> {
    let mut kept = Vec::new();
    if config.outside.messages == MessagesIn::Embedded {
        kept.push("messages");
    }
    if config.outside.relational == RelationalIn::Embedded {
        kept.extend(lynk_embedded::TABLE_FILES);
    }
    sync_tree(unpacked)?;
    for name in kept {
        let to = dir.root().join(name);
        fs::rename(unpacked.join(name), &to).map_err(|error| refused(&to, &error))?;
    }
    fs::remove_dir_all(unpacked).map_err(|error| refused(unpacked, &error))?;
    dir.replace("STORES", &crate::stores::wanted(config))?;
    dir.replace("VERSION", &format!("{}\n", data_dir::VERSION))
}

type Hashes = BTreeMap<String, String>;

fn read_hashes(path: &Path) -> Result<Hashes, Failure> {
    let text = fs::read_to_string(path).map_err(|error| refused(path, &error))?;
    let pair = |line: &str| line.split_once(' ').map(|(room, hash)| (room.to_owned(), hash.to_owned()));
    Ok(text.lines().filter_map(pair).collect())
}

/// Compares every room with its hash, both ways.
async fn same_rooms<M: MessageDump + LastFault>(
    log: &M,
    hashes: &Hashes,
    since: Millis,
) -> Result<(), Failure> {
    let mut differ = Vec::new();
    let found = each_room(log, async |room| {
        let digest = digest_room(log, room, since).await;
        let digest = digest.map_err(|error| CopyError::store("the message log", log, error))?;
        if hashes.get(&room.to_string()) != Some(&digest.to_string()) {
            differ.push(format!("room {room}"));
        }
        Ok(())
    });
    let found = found.await?;
    if found != hashes.len() as u64 {
        differ.push(format!("rooms: {found}, not {}", hashes.len()));
    }
    differs(differ)
}

/// Tells differences, the first of them by name.
///
/// # Errors
/// There are some.
pub(crate) fn differs(mut differ: Vec<String>) -> Result<(), Failure> {
    const TOLD_MAX: usize = 20;
    let count = differ.len();
    if count > TOLD_MAX {
        differ.truncate(TOLD_MAX);
        differ.push(format!("and {} more", count - TOLD_MAX));
    }
    if count == 0 { Ok(()) } else { Err(CopyError::Differs(differ).into()) }
}

async fn same_tables(
    (rooms, accounts, notify, media): &mut EmbeddedTables,
    manifest: &Manifest,
) -> Result<(), Failure> {
    let each = &mut async |_| Ok(());
    let of_rooms = digest_tables(rooms, "the backup's", |_| true, each).await?.digest;
    let of_accounts = digest_tables(accounts, "the backup's", is_backed_up, each).await?.digest;
    let of_notify = digest_tables(notify, "the backup's", NotifyRow::is_history, each).await?.digest;
    let of_media = digest_tables(media, "the backup's", |_| true, each).await?.digest;
    let mut compared =
        vec![("rooms", of_rooms, &manifest.relational), ("accounts", of_accounts, &manifest.accounts)];
    if !manifest.notify.is_empty() {
        compared.push(("notifications", of_notify, &manifest.notify));
    }
    if !manifest.media.is_empty() {
        compared.push(("files", of_media, &manifest.media));
    }
    let mut differ = Vec::new();
    for (what, found, told) in compared {
        if found.to_string() != *told {
            differ.push(format!("the tables of {what}: {found}, not {told}"));
        }
    }
    differs(differ)
}

/// What signs in is not in a backup: whoever has one must not be anybody, and what was ended since must not begin again.
pub(crate) fn is_backed_up(row: &AccountsRow) -> bool {
    !matches!(row, AccountsRow::Session { .. })
}

/// Tables that must be empty are not.
pub(crate) fn rows_already() -> Failure {
    Failure::new(Exit::Dependency, "the tables that are to be filled have rows already")
        .cure("name a new database and run `lynk migrate`")
}

/// Fills an empty message log, compares it, and raises its epoch.
///
/// # Errors
/// It is not empty, or fails.
#[cfg_attr(not(feature = "cassandra"), expect(dead_code, reason = "no outside log"))]
pub(crate) async fn fill_log<S, T>(
    source: &S,
    target: &mut T,
    epoch: Epoch,
    kept: Millis,
    progress: &mut Progress<'_>,
) -> Result<(), Failure>
where
    S: MessageDump + LastFault,
    T: MessageDump + LastFault,
{
    empty_log(target).await?;
    let since = keys_since();
    let mut told = |copied| progress.count("filling the message log", copied);
    copy_log(source, target, &mut NoTee, kept, &mut told).await?;
    finish(target).await?;
    progress.say("comparing rooms");
    same_logs(source, target, since).await?;
    let raised = target.raise_epoch(epoch).await;
    raised.map_err(|error| CopyError::store("the message log", target, error).into())
}

/// Refuses a message log that has rooms.
///
/// # Errors
/// It has, or fails.
pub(crate) async fn empty_log<T: MessageDump + LastFault>(target: &T) -> Result<(), Failure> {
    let rooms = target.logged_rooms(lynk_domain::RoomId::NIL, 1).await;
    let rooms = rooms.map_err(|error| CopyError::store("the message log", target, error))?;
    if rooms.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Exit::Dependency, "the message log that is to be filled has rooms already")
        .cure("name a new keyspace and run `lynk migrate`: rooms of two lives must not mix"))
}

/// Compares two logs room by room; each difference is told.
///
/// # Errors
/// They differ, or one fails.
pub(crate) async fn same_logs<S, T>(source: &S, target: &T, since: Millis) -> Result<u64, Failure>
where
    S: MessageDump + LastFault,
    T: MessageDump + LastFault,
{
    let mut differ = Vec::new();
    let rooms = each_room(source, async |room| {
        let one = digest_room(source, room, since).await;
        let one = one.map_err(|error| CopyError::store("the source", source, error))?;
        let other = digest_room(target, room, since).await;
        let other = other.map_err(|error| CopyError::store("the copy", target, error))?;
        if one != other {
            differ.push(format!("room {room}: {one} and {other}"));
        }
        Ok(())
    });
    let rooms = rooms.await?;
    let filled = each_room(target, async |_| Ok(())).await?;
    if rooms != filled {
        differ.push(format!("rooms: {rooms} and {filled}"));
    }
    differs(differ)?;
    Ok(rooms)
}

/// Which rows are copied.
type Kept<R> = fn(&R) -> bool;

/// Fills empty tables and compares them.
///
/// # Errors
/// They are not empty, or fail.
#[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "no outside tables"))]
pub(crate) async fn fill_tables<RF, AF, NF, FF, RD, AD, ND, FD>(
    (rooms, accounts, notify, media): &mut EmbeddedTables,
    (rooms_to, accounts_to, notify_to, media_to): (&mut RF, &mut AF, &mut NF, &mut FF),
    look: impl AsyncFn() -> Result<(RD, AD, ND, FD), Failure>,
    (kept_accounts, kept_notify, kept_media): (Kept<AccountsRow>, Kept<NotifyRow>, Kept<MediaRow>),
) -> Result<MovedTables, Failure>
where
    RF: RoomFill + LastFault,
    AF: AccountFill + LastFault,
    NF: NotifyFill + LastFault,
    FF: MediaFill + LastFault,
    RD: RoomDump + LastFault,
    AD: AccountDump + LastFault,
    ND: NotifyDump + LastFault,
    FD: MediaDump + LastFault,
{
    let each = &mut async |_| Ok(());
    let mut there = look().await?;
    if count_all(&mut there).await? > 0 {
        return Err(rows_already());
    }
    let of_rooms = copy_tables(rooms, rooms_to, |_| true, each).await?;
    let of_accounts = copy_tables(accounts, accounts_to, kept_accounts, each).await?;
    let of_notify = copy_tables(notify, notify_to, kept_notify, each).await?;
    let of_media = copy_tables(media, media_to, kept_media, each).await?;
    drop(there);
    let mut there = look().await?;
    let rooms = digest_tables(&mut there.0, "the copy's", |_| true, each).await?;
    let accounts = digest_tables(&mut there.1, "the copy's", |_| true, each).await?;
    let notify = digest_tables(&mut there.2, "the copy's", |_| true, each).await?;
    let media = digest_tables(&mut there.3, "the copy's", |_| true, each).await?;
    let filled = [(of_rooms, rooms), (of_accounts, accounts), (of_notify, notify), (of_media, media)];
    same_tables_filled(filled)?;
    Ok(MovedTables {
        rooms: of_rooms.counted,
        accounts: of_accounts.counted,
        files: of_media.counted,
        ..MovedTables::default()
    })
}

/// How many rows tables have that are to be filled.
///
/// # Errors
/// What the store says.
pub(crate) async fn count<D: Dump + LastFault>(there: &mut D) -> Result<u64, CopyError> {
    there.count().await.map_err(|error| CopyError::store("what is to be filled", there, error))
}

/// How many rows all tables have that are to be filled.
///
/// # Errors
/// What a store says.
pub(crate) async fn count_all<R, A, N, F>(there: &mut (R, A, N, F)) -> Result<u64, CopyError>
where
    R: Dump + LastFault,
    A: Dump + LastFault,
    N: Dump + LastFault,
    F: Dump + LastFault,
{
    let (rooms, accounts) = (count(&mut there.0).await?, count(&mut there.1).await?);
    Ok(rooms + accounts + count(&mut there.2).await? + count(&mut there.3).await?)
}

/// Compares what was filled with what it was filled from: rooms, accounts, notifications, and media.
///
/// # Errors
/// They differ.
pub(crate) fn same_tables_filled(filled: [(Tables, Tables); 4]) -> Result<(), Failure> {
    let mut differ = Vec::new();
    for (what, (one, other)) in ["rooms", "accounts", "notifications", "files"].into_iter().zip(filled) {
        if one != other {
            differ.push(format!("the tables of {what}: {} and {}", one.digest, other.digest));
        }
    }
    differs(differ)
}

fn fill_postgres(config: &Config, runtime: &Runtime, embedded: &mut EmbeddedTables) -> Result<(), Failure> {
    #[cfg(feature = "postgres")]
    {
        let tables = crate::stores::postgres::Tables::open(config, runtime)?;
        let (mut rooms_to, mut accounts_to) = (tables.rooms.clone(), tables.accounts.clone());
        let (mut notify_to, mut media_to) = (tables.notify.clone(), tables.media.clone());
        // Without a place for them there are none to be kept: they are refused, or wanted to be left out.
        let kept_media: Kept<MediaRow> = if tables.media.is_some() { |_| true } else { |_| false };
        let filled = fill_tables(
            embedded,
            (&mut rooms_to, &mut accounts_to, &mut notify_to, &mut media_to),
            async || tables.snapshots().await,
            (is_backed_up, NotifyRow::is_history, kept_media),
        );
        runtime.block_on(filled)?;
        Ok(())
    }
    #[cfg(not(feature = "postgres"))]
    {
        let _ = (config, runtime, embedded);
        unreachable!("the configuration is refused by a build without it")
    }
}

fn fill_cassandra(
    config: &Config,
    dir: &DataDir,
    runtime: &Runtime,
    log: &MessageLog,
    epoch: Epoch,
    progress: &mut Progress<'_>,
) -> Result<(), Failure> {
    #[cfg(feature = "cassandra")]
    {
        let mut target = crate::stores::cassandra::log(config, dir.installation()?, runtime)?;
        runtime.block_on(fill_log(log, &mut target, epoch, keys_kept(config), progress))
    }
    #[cfg(not(feature = "cassandra"))]
    {
        let _ = (config, dir, runtime, log, epoch, progress);
        unreachable!("the configuration is refused by a build without it")
    }
}
