//! Copying a message log, also while it is appended to.

use std::time::{Duration, Instant};

use lynk_domain::{Lsn, Millis, RoomId, Seq};
use lynk_model::port::{LastFault, MessageDump, MessageStore};
use lynk_model::{OwnedRecord, Record};

use crate::CopyError;

/// Seqs of one page.
pub const PAGE_SEQS: u64 = 256;
/// Rooms of one page.
const PAGE_ROOMS: u32 = 256;
/// Longest pause after a page. It is as long as the page took, so that a copy takes half of what it could.
const PAUSE_MAX: Duration = Duration::from_millis(50);
/// Under which source records that came by a tee are appended. It is forgotten at the end.
const SOURCE: &str = "copy";

/// Brings the records that are appended to the source while it is copied.
pub trait Tee {
    /// Some of them; `None` when none wait.
    ///
    /// # Errors
    /// [`CopyError::Ended`] when some are lost.
    fn take(&mut self) -> Result<Option<Vec<OwnedRecord>>, CopyError>;
}

/// For a source that nobody appends to.
pub struct NoTee;

impl Tee for NoTee {
    fn take(&mut self) -> Result<Option<Vec<OwnedRecord>>, CopyError> {
        Ok(None)
    }
}

/// How far a copy is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogCopied {
    /// Rooms done.
    pub rooms: u64,
    /// Rows read.
    pub rows: u64,
    /// Records that came by the tee.
    pub records: u64,
}

/// Ranges of seqs up to `top`.
pub(crate) fn pages(top: Seq) -> impl Iterator<Item = (Seq, Seq)> {
    let last = top.0 / PAGE_SEQS;
    (0..=last).map(|page| (Seq(page * PAGE_SEQS), Seq(page * PAGE_SEQS + (PAGE_SEQS - 1))))
}

/// Copies every room from `source` to `target`, and the records of `tee` as they come. Keys that are older than `since` may be left out.
/// `told` hears now and then how far it is.
///
/// # Errors
/// What one of the two says, by its name.
pub async fn copy_log<S, T>(
    source: &S,
    target: &mut T,
    tee: &mut dyn Tee,
    since: Millis,
    told: &mut dyn FnMut(LogCopied),
) -> Result<LogCopied, CopyError>
where
    S: MessageDump + LastFault,
    T: MessageDump + LastFault,
{
    let mut copied = LogCopied::default();
    let epoch = source.epoch().await.map_err(|error| CopyError::store("the source", source, error))?;
    let raised = target.raise_epoch(epoch).await;
    raised.map_err(|error| CopyError::store("the copy", target, error))?;
    let mut after = RoomId::NIL;
    loop {
        let rooms = source.logged_rooms(after, PAGE_ROOMS).await;
        let rooms = rooms.map_err(|error| CopyError::store("the source", source, error))?;
        for room in &rooms {
            copy_room(source, target, tee, *room, since, &mut copied).await?;
            copied.rooms += 1;
            told(copied);
        }
        match rooms.last() {
            Some(last) if rooms.len() >= PAGE_ROOMS as usize => after = *last,
            _ => break,
        }
    }
    apply_tee(target, tee, &mut copied).await?;
    Ok(copied)
}

async fn copy_room<S, T>(
    source: &S,
    target: &mut T,
    tee: &mut dyn Tee,
    room: RoomId,
    since: Millis,
    copied: &mut LogCopied,
) -> Result<(), CopyError>
where
    S: MessageDump + LastFault,
    T: MessageDump + LastFault,
{
    let of_source = |error| CopyError::store("the source", source, error);
    let top = source.head(room).await.map_err(of_source)?.top;
    for (from, to) in pages(top) {
        let begun = Instant::now();
        let mut rows = source.log_rows(room, from, to).await.map_err(of_source)?;
        rows.extend(source.log_keys(room, &rows, since).await.map_err(of_source)?);
        if to >= top {
            rows.extend(source.log_ends(room).await.map_err(of_source)?);
        }
        copied.rows += rows.len() as u64;
        let filled = target.fill_log(room, &rows).await;
        filled.map_err(|error| CopyError::store("the copy", target, error))?;
        apply_tee(target, tee, copied).await?;
        // Others use this machine: the copy leaves them half of it.
        std::thread::sleep(begun.elapsed().min(PAUSE_MAX));
    }
    Ok(())
}

/// Appends everything that waits in the tee.
///
/// # Errors
/// What the copy says, or that the tee lost something.
pub async fn apply_tee<T: MessageStore + LastFault>(
    target: &mut T,
    tee: &mut dyn Tee,
    copied: &mut LogCopied,
) -> Result<(), CopyError> {
    while let Some(records) = tee.take()? {
        copied.records += records.len() as u64;
        let batch: Vec<Record<'_>> = records.iter().map(OwnedRecord::borrow).collect();
        let appended = target.append(SOURCE, Lsn(copied.records), &batch).await;
        appended.map_err(|error| CopyError::store("the copy", target, error))?;
    }
    Ok(())
}

/// Ends a copy: forgets what only copying needed, and makes everything durable.
///
/// # Errors
/// What the copy says.
pub async fn finish<T: MessageDump + LastFault>(target: &mut T) -> Result<(), CopyError> {
    let done = async {
        target.forget(SOURCE).await?;
        target.settle().await
    };
    let done = done.await;
    done.map_err(|error| CopyError::store("the copy", target, error))
}

/// Calls `each` for every room of a log, in the store's order.
///
/// # Errors
/// What the store or `each` says.
pub async fn each_room<M: MessageDump + LastFault>(
    store: &M,
    mut each: impl AsyncFnMut(RoomId) -> Result<(), CopyError>,
) -> Result<u64, CopyError> {
    let (mut after, mut count) = (RoomId::NIL, 0);
    loop {
        let rooms = store.logged_rooms(after, PAGE_ROOMS).await;
        let rooms = rooms.map_err(|error| CopyError::store("the message log", store, error))?;
        for room in &rooms {
            each(*room).await?;
            count += 1;
        }
        match rooms.last() {
            Some(last) if rooms.len() >= PAGE_ROOMS as usize => after = *last,
            _ => return Ok(count),
        }
    }
}
