//! Rooms, accounts and notifications on their way from the embedded files into PostgreSQL, while the server serves.
//!
//! 1. [`Relational::copy_whole`]: the files are copied as they are at one moment, each by itself, into [`MOVE_PART`] of the data directory; all rows
//!    of the copy go into PostgreSQL, which is then compared with it by digest. That takes as long as there are rows, and nobody waits.
//! 2. [`Relational::catch_up`]: the files are copied again, and what differs from the copy before is brought over. It is repeated until little
//!    differs, so that as little as can be is left for the end.
//! 3. [`Relational::finish`], when the server has ended and nobody changes the files any more: what differs between the last copy and the files
//!    themselves is brought over. Local files are read for it, and PostgreSQL is written and read for as much as changed since.
//!
//! What is proven each time says [`bring_tables`]; the last time it is that PostgreSQL has what the files have. The files need not be of one
//! moment before: the last step takes them all as they are at the end.
//!
//! Thread: that of the copy, on its runtime. Limits: two copies of the files at a time on the disk of the data directory, which must have
//! room for them and [`SPARE_BYTES`] more. [`MOVE_PART`] goes with this value, and with the next start when the process was killed.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use lynk_copy::{Brought, CopyError, Digest, bring_tables, copy_tables, digest_tables};
use lynk_embedded::{MediaSnapshot, OpenError, TABLE_FILES};

use super::restore::{count, count_all, fill_tables, rows_already, same_tables_filled};
use super::{EmbeddedTables, MOVE_PART, MovedTables, embedded_tables, make_tables, remove_move_part};
use crate::data_dir::refused;
use crate::exit::{Exit, Failure};
use crate::stores::postgres::Tables;

/// What must be free beside a copy: the server goes on writing.
const SPARE_BYTES: u64 = 64 << 20;
/// With fewer rows that differ nothing is won by another round.
const FEW: u64 = 1_000;
/// Rounds of one call at most.
const ROUNDS_MAX: u32 = 5;

const COPYING: &str = "copying rooms and accounts";
const COMPARING: &str = "comparing rooms and accounts";
const CHANGES: &str = "copying what changed in rooms and accounts";
const LAST: &str = "copying the last changes of rooms and accounts";

/// Copies of the files in a directory of their own, which goes with this.
struct Files(PathBuf);

impl Files {
    fn open(&self) -> Result<EmbeddedTables, Failure> {
        embedded_tables(&self.0)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // What cannot be removed goes with the next start.
        let _left = fs::remove_dir_all(&self.0);
    }
}

/// What PostgreSQL holds.
struct Held {
    /// The files that it was made of.
    files: Files,
    rooms: Digest,
    accounts: Digest,
    notify: Digest,
    media: Digest,
}

/// See the module.
pub(crate) struct Relational {
    tables: Tables,
    root: PathBuf,
    held: Option<Held>,
    /// How many copies were made: each has a name of its own.
    copies: u32,
    /// Rows that were brought over because they had changed.
    changes: u64,
}

impl Drop for Relational {
    fn drop(&mut self) {
        self.held = None;
        let _left = remove_move_part(&self.root);
    }
}

fn failed(error: &OpenError) -> Failure {
    Failure::dependency(error.to_string())
}

/// What was brought over of each.
struct AllBrought {
    rooms: Brought,
    accounts: Brought,
    notify: Brought,
    media: Brought,
}

impl AllBrought {
    fn changes(&self) -> u64 {
        [&self.rooms, &self.accounts, &self.notify, &self.media]
            .iter()
            .map(|brought| brought.gone + brought.put)
            .sum()
    }

    fn held(&self, files: Files) -> Held {
        let (rooms, accounts) = (self.rooms.tables.digest, self.accounts.tables.digest);
        let (notify, media) = (self.notify.tables.digest, self.media.tables.digest);
        Held { files, rooms, accounts, notify, media }
    }
}

impl Relational {
    pub(crate) fn new(tables: Tables, root: &Path) -> Self {
        Self { tables, root: root.to_owned(), held: None, copies: 0, changes: 0 }
    }

    /// Copies everything and compares it. `each` is called now and then with what is being done and how many rows that is.
    ///
    /// # Errors
    /// PostgreSQL has rows already; what a store says; the disk; what `each` says.
    pub(crate) async fn copy_whole(
        &mut self,
        each: &mut impl AsyncFnMut(&'static str, u64) -> Result<(), CopyError>,
    ) -> Result<(), Failure> {
        let mut there = self.tables.snapshots().await?;
        if count_all(&mut there).await? > 0 {
            return Err(rows_already());
        }
        drop(there);
        each(COPYING, 0).await?;
        let files = self.copy_files()?;
        let (mut rooms, mut accounts, mut notify, mut media) = files.open()?;
        self.keeps_files(&mut media).await?;
        let (mut rooms_to, mut accounts_to) = (self.tables.rooms.clone(), self.tables.accounts.clone());
        let (mut notify_to, mut media_to) = (self.tables.notify.clone(), self.tables.media.clone());
        let told = &mut async |rows| each(COPYING, rows).await;
        let of_rooms = copy_tables(&mut rooms, &mut rooms_to, |_| true, told).await?;
        let before = of_rooms.digest.rows;
        let told = &mut async |rows| each(COPYING, before + rows).await;
        let of_accounts = copy_tables(&mut accounts, &mut accounts_to, |_| true, told).await?;
        let before = before + of_accounts.digest.rows;
        let told = &mut async |rows| each(COPYING, before + rows).await;
        let of_notify = copy_tables(&mut notify, &mut notify_to, |_| true, told).await?;
        let before = before + of_notify.digest.rows;
        let told = &mut async |rows| each(COPYING, before + rows).await;
        let of_media = copy_tables(&mut media, &mut media_to, |_| true, told).await?;

        let mut there = self.tables.snapshots().await?;
        let told = &mut async |rows| each(COMPARING, rows).await;
        let rooms = digest_tables(&mut there.0, "the copy's", |_| true, told).await?;
        let before = rooms.digest.rows;
        let told = &mut async |rows| each(COMPARING, before + rows).await;
        let accounts = digest_tables(&mut there.1, "the copy's", |_| true, told).await?;
        let before = before + accounts.digest.rows;
        let told = &mut async |rows| each(COMPARING, before + rows).await;
        let notify = digest_tables(&mut there.2, "the copy's", |_| true, told).await?;
        let before = before + notify.digest.rows;
        let told = &mut async |rows| each(COMPARING, before + rows).await;
        let media = digest_tables(&mut there.3, "the copy's", |_| true, told).await?;
        let filled = [(of_rooms, rooms), (of_accounts, accounts), (of_notify, notify), (of_media, media)];
        same_tables_filled(filled)?;
        let (rooms, accounts, notify, media) = (rooms.digest, accounts.digest, notify.digest, media.digest);
        self.held = Some(Held { files, rooms, accounts, notify, media });
        Ok(())
    }

    /// Brings over what has changed since, in rounds, until that is little.
    ///
    /// # Errors
    /// As [`Self::copy_whole`].
    pub(crate) async fn catch_up(
        &mut self,
        each: &mut impl AsyncFnMut(&'static str, u64) -> Result<(), CopyError>,
    ) -> Result<(), Failure> {
        let mut before = u64::MAX;
        for _ in 0..ROUNDS_MAX {
            each(CHANGES, 0).await?;
            let files = self.copy_files()?;
            let brought = self.bring(files.open()?, each).await?;
            let changed = brought.changes();
            self.held = Some(brought.held(files));
            // When it does not become less, people change as much as is brought over in the time.
            if changed <= FEW || changed > before / 2 {
                break;
            }
            before = changed;
        }
        Ok(())
    }

    /// Brings over what the files have that nobody changes any more.
    ///
    /// # Errors
    /// What a store says, or the disk.
    pub(crate) async fn finish(
        mut self,
        each: &mut impl AsyncFnMut(&'static str, u64) -> Result<(), CopyError>,
    ) -> Result<MovedTables, Failure> {
        if self.held.is_none() {
            // Nobody serves: there is one state of them.
            let mut embedded = embedded_tables(&self.root)?;
            self.keeps_files(&mut embedded.3).await?;
            let (mut rooms_to, mut accounts_to) = (self.tables.rooms.clone(), self.tables.accounts.clone());
            let (mut notify_to, mut media_to) = (self.tables.notify.clone(), self.tables.media.clone());
            each(COPYING, 0).await?;
            let filled = fill_tables(
                &mut embedded,
                (&mut rooms_to, &mut accounts_to, &mut notify_to, &mut media_to),
                async || self.tables.snapshots().await,
                (|_| true, |_| true, |_| true),
            );
            return filled.await;
        }
        each(LAST, 0).await?;
        let files = embedded_tables(&self.root)?;
        let brought = self.bring(files, &mut async |_, rows| each(LAST, rows).await).await?;
        Ok(MovedTables {
            rooms: brought.rooms.tables.counted,
            accounts: brought.accounts.tables.counted,
            files: brought.media.tables.counted,
            changes: self.changes,
            late: brought.changes(),
        })
    }

    /// Brings PostgreSQL from the files of before to those of now.
    async fn bring(
        &mut self,
        (mut rooms, mut accounts, mut notify, mut media): EmbeddedTables,
        each: &mut impl AsyncFnMut(&'static str, u64) -> Result<(), CopyError>,
    ) -> Result<AllBrought, Failure> {
        let Some(held) = &self.held else {
            return Err(Failure::dependency("nothing was copied yet"));
        };
        let (mut rooms_before, mut accounts_before, mut notify_before, mut media_before) =
            held.files.open()?;
        let (mut rooms_to, mut accounts_to) = (self.tables.rooms.clone(), self.tables.accounts.clone());
        let (mut notify_to, mut media_to) = (self.tables.notify.clone(), self.tables.media.clone());
        let look = &mut async || {
            let shown = self.tables.rooms.snapshot().await;
            shown.map_err(|error| CopyError::store("the copy's rooms", &self.tables.rooms, error))
        };
        let told = &mut async |rows| each(CHANGES, rows).await;
        let sides = (&mut rooms_before, &mut rooms);
        let of_rooms = bring_tables(sides, &mut rooms_to, look, held.rooms, told).await?;
        let look = &mut async || {
            let shown = self.tables.accounts.snapshot().await;
            shown.map_err(|error| CopyError::store("the copy's accounts", &self.tables.accounts, error))
        };
        let before = of_rooms.tables.digest.rows;
        let told = &mut async |rows| each(CHANGES, before + rows).await;
        let sides = (&mut accounts_before, &mut accounts);
        let of_accounts = bring_tables(sides, &mut accounts_to, look, held.accounts, told).await?;
        let look = &mut async || {
            let shown = self.tables.notify.snapshot().await;
            shown.map_err(|error| CopyError::store("the copy's notifications", &self.tables.notify, error))
        };
        let before = before + of_accounts.tables.digest.rows;
        let told = &mut async |rows| each(CHANGES, before + rows).await;
        let sides = (&mut notify_before, &mut notify);
        let of_notify = bring_tables(sides, &mut notify_to, look, held.notify, told).await?;
        let look = &mut async || match &self.tables.media {
            None => Ok(None),
            Some(media) => {
                let shown = media.snapshot().await;
                shown.map(Some).map_err(|error| CopyError::store("the copy's files", media, error))
            }
        };
        let before = before + of_notify.tables.digest.rows;
        let told = &mut async |rows| each(CHANGES, before + rows).await;
        let sides = (&mut media_before, &mut media);
        let of_media = bring_tables(sides, &mut media_to, look, held.media, told).await?;
        let brought =
            AllBrought { rooms: of_rooms, accounts: of_accounts, notify: of_notify, media: of_media };
        self.changes += brought.changes();
        Ok(brought)
    }

    /// Refuses to leave what is known of files behind.
    async fn keeps_files(&self, media: &mut MediaSnapshot) -> Result<(), Failure> {
        if self.tables.media.is_some() || count(media).await? == 0 {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Config,
            "there are files, and the new configuration has media.enabled = false",
        )
        .cure("enable it: what is known of files goes to PostgreSQL too"))
    }

    /// Copies the files as they are now.
    fn copy_files(&mut self) -> Result<Files, Failure> {
        let part = self.root.join(MOVE_PART);
        if self.copies == 0 {
            remove_move_part(&self.root)?;
            let made = DirBuilder::new().mode(0o700).create(&part);
            made.map_err(|error| refused(&part, &error))?;
        }
        self.room_for_files()?;
        self.copies += 1;
        let to = part.join(self.copies.to_string());
        DirBuilder::new().mode(0o700).create(&to).map_err(|error| refused(&to, &error))?;
        let files = Files(to);
        make_tables(&self.root)?;
        lynk_embedded::copy_tables(&self.root, &files.0).map_err(|error| failed(&error))?;
        Ok(files)
    }

    /// Refuses to fill the disk that the server writes to.
    fn room_for_files(&self) -> Result<(), Failure> {
        let size = |name: String| fs::metadata(self.root.join(name)).map_or(0, |file| file.len());
        let needed = TABLE_FILES
            .iter()
            .map(|file| size((*file).to_owned()) + size(format!("{file}-wal")))
            .sum::<u64>()
            .saturating_add(SPARE_BYTES);
        let state = rustix::fs::statvfs(&self.root).map_err(|error| refused(&self.root, &error.into()))?;
        let free = state.f_bavail.saturating_mul(state.f_frsize);
        if free >= needed {
            return Ok(());
        }
        Err(Failure::dependency(format!(
            "a copy of rooms and accounts needs {} MiB in {}, of which {} are free",
            needed >> 20,
            self.root.display(),
            free >> 20
        ))
        .cure(
            "free some space on its file system, or stop the server for the move, which needs no copy then",
        ))
    }
}
