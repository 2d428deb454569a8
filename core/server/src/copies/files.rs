//! Pictures and files of people on their way into a backup and out of it.
//!
//! Into it they come last, by the rows of the backup: those of files that were ready at its moment. The server removes no bytes from before
//! that moment until the copy has ended ([`lynk_media::Keep`]), and a file that is ready never changes. So whatever a message of the backup names is
//! there, also what was deleted since; a file that is missing all the same was missing before, and is counted.
//!
//! Out of it they go into the directory, also where files are kept in a bucket: the server carries them there.
//!
//! Thread: that of the copy. Limits: a piece of a file in memory. What can fail: the disks, damage.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use lynk_blob::{BlobError, Bucket, BucketError, Directory};
use lynk_copy::{
    BLOBS, CopyError, FileEntry, FileList, FileWriter, PIECE_BYTES, each_file, sync_tree, take_file,
};
use lynk_embedded::MediaSnapshot;
use lynk_model::dump::MediaRow;
use lynk_model::media::{Media, MediaState};
use lynk_model::port::Dump as _;

use super::Progress;
use super::restore::UNPACKED;
use crate::config::Config;
use crate::data_dir::refused;
use crate::exit::{Exit, Failure};

/// Rows that are read at a time.
const PAGE_ROWS: u32 = 100;
/// What a directory of files may have in it that are none.
const NO_FILES: [&str; 5] = ["incoming", "work", crate::media::PARTS, "lost+found", UNPACKED];

/// What was copied.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct FilesCopied {
    /// Files, each with its smaller variants.
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// Files that were not there.
    pub(crate) missing: u64,
}

/// What is not finished, not used by anybody or on its way out is not in a backup.
pub(crate) fn is_ready(row: &MediaRow) -> bool {
    row.0.state == MediaState::Ready
}

/// The file itself and its smaller variants.
fn variants(media: &Media) -> impl Iterator<Item = u8> {
    let bits = media.facts.thumbnails;
    std::iter::once(0).chain((0..7).filter(move |bit| bits >> bit & 1 == 1).map(|bit| bit + 1))
}

/// Where files are: in the directory, or those that are ready in a bucket.
pub(crate) struct Source {
    pub(crate) directory: Directory,
    pub(crate) bucket: Option<Bucket>,
}

/// Copies what the rows of a backup name, and lists it.
///
/// # Errors
/// A disk, the backup's rows; nobody listens any more.
pub(crate) async fn take(
    source: &Source,
    backup: &Path,
    progress: &std::cell::RefCell<Progress<'_>>,
) -> Result<FilesCopied, Failure> {
    progress.borrow_mut().say("copying files");
    let rows = MediaSnapshot::open(backup).map_err(|error| Failure::dependency(error.to_string()));
    let (mut rows, mut mark) = (rows?, Some(Default::default()));
    let (mut list, mut copied) = (FileList::create(backup)?, FilesCopied::default());
    let mut piece = vec![0; PIECE_BYTES];
    while let Some(at) = mark {
        let page = rows.rows(&at, PAGE_ROWS).await;
        let page = page.map_err(|error| CopyError::store("the copy's media", &rows, error))?;
        for (MediaRow(media), _) in &page.rows {
            let mut there = true;
            for variant in variants(media) {
                let name = Directory::relative(media.id, variant);
                let mut tell = |bytes| {
                    copied.bytes += bytes;
                    progress.borrow_mut().files("copying files", copied.files, copied.bytes);
                    if progress.borrow().is_gone() { Err(CopyError::Ended) } else { Ok(()) }
                };
                let to = backup.join(BLOBS).join(&name);
                match take_one(source, (media, variant), &to, &mut piece, &mut tell).await? {
                    Some(file) => list.add(&file.finish(name))?,
                    None => there = false,
                }
            }
            copied.files += 1;
            copied.missing += u64::from(!there);
        }
        mark = page.next;
    }
    list.finish()?;
    Ok(copied)
}

/// Copies one; `None` when it is not there.
async fn take_one(
    source: &Source,
    (media, variant): (&Media, u8),
    to: &Path,
    piece: &mut [u8],
    tell: &mut dyn FnMut(u64) -> Result<(), CopyError>,
) -> Result<Option<FileWriter>, Failure> {
    let from = |error: BlobError| {
        let name = Directory::relative(media.id, variant);
        Failure::dependency(format!("{name} of the files cannot be read: {error}"))
            .cure("see the disk's own words; nothing is left of this copy. --without-files leaves files out")
    };
    let mut blob = match (source.directory.read(media.id, variant, 0, u64::MAX), &source.bucket) {
        (Err(BlobError::Missing), Some(bucket)) => {
            return take_object(bucket, (media, variant), to, tell).await;
        }
        (Err(BlobError::Missing), None) => return Ok(None),
        (opened, _) => opened.map_err(from)?,
    };
    let mut file = FileWriter::create(to)?;
    loop {
        match blob.read(piece).map_err(from)? {
            0 => return Ok(Some(file)),
            length => {
                file.write(&piece[..length])?;
                tell(length as u64)?;
            }
        }
    }
}

/// Copies one from the bucket; `None` when it is not there.
async fn take_object(
    bucket: &Bucket,
    (media, variant): (&Media, u8),
    to: &Path,
    tell: &mut dyn FnMut(u64) -> Result<(), CopyError>,
) -> Result<Option<FileWriter>, Failure> {
    let from = |error: BucketError| {
        let name = Directory::relative(media.id, variant);
        Failure::dependency(format!("{name} of the files cannot be read: {error}")).cure(
            "see `lynk doctor` about the bucket; nothing is left of this copy. --without-files leaves files out",
        )
    };
    let mut object = match bucket.read(media.id, variant, 0, u64::MAX).await {
        Err(BucketError::Missing) => return Ok(None),
        opened => opened.map_err(from)?,
    };
    let mut file = FileWriter::create(to)?;
    while let Some(piece) = object.next().await.map_err(from)? {
        file.write(&piece)?;
        tell(piece.len() as u64)?;
    }
    Ok(Some(file))
}

/// Where files lie that are on their way out of a backup: on the disk that they will be on.
fn unpacked(config: &Config, root: &Path) -> PathBuf {
    if config.media.directory.is_empty() {
        return root.join(UNPACKED).join(BLOBS);
    }
    config.media.directory(root).join(UNPACKED)
}

/// Checks every file of a backup, and copies it beside its place. The place must be empty. The list is taken from `list`, where it was checked.
///
/// # Errors
/// A file is not what was backed up; something is in the way; the disk.
pub(crate) fn unpack(
    config: &Config,
    root: &Path,
    list: &Path,
    backup: &Path,
    progress: &mut Progress<'_>,
) -> Result<u64, Failure> {
    let place = config.media.directory(root);
    check_empty(&place)?;
    let to = unpacked(config, root);
    remove(&to)?;
    let made = fs::DirBuilder::new().mode(0o700).recursive(true).create(&to);
    made.map_err(|error| refused(&to, &error))?;
    let (mut files, mut bytes) = (0, 0);
    let each = &mut |entry: &FileEntry| {
        let target = to.join(&entry.path);
        if let Some(parent) = target.parent() {
            let made = fs::DirBuilder::new().mode(0o700).recursive(true).create(parent);
            made.map_err(|error| CopyError::disk(parent, error))?;
        }
        take_file(&backup.join(BLOBS).join(&entry.path), entry, &target)?;
        let own = fs::set_permissions(&target, fs::Permissions::from_mode(0o600));
        own.map_err(|error| CopyError::disk(&target, error))?;
        files += 1;
        bytes += entry.bytes;
        progress.files("checking and copying files", files, bytes);
        if progress.is_gone() { Err(CopyError::Ended) } else { Ok(()) }
    };
    each_file(list, each)?;
    Ok(files)
}

/// Refuses a place where files are: they are of another life, and nobody would know of them.
fn check_empty(place: &Path) -> Result<(), Failure> {
    let Ok(entries) = fs::read_dir(place) else { return Ok(()) };
    let strange = entries
        .filter_map(Result::ok)
        .find(|entry| !entry.file_name().to_str().is_some_and(|name| NO_FILES.contains(&name)));
    let Some(entry) = strange else { return Ok(()) };
    let what = format!("{} is not empty: it holds {:?}", place.display(), entry.file_name());
    Err(Failure::new(Exit::Dependency, what).cure(
        "set `media.directory` to an empty or a new directory, or leave files out with --without-files",
    ))
}

fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(refused(path, &error)),
        _ => Ok(()),
    }
}

/// Takes back what was not placed.
pub(crate) fn give_up(config: &Config, root: &Path) {
    // What cannot be removed makes room for the next try.
    let _left = remove(&unpacked(config, root));
}

/// Moves what was unpacked into its place.
///
/// # Errors
/// The disk.
pub(crate) fn place(config: &Config, root: &Path) -> Result<(), Failure> {
    let (from, place) = (unpacked(config, root), config.media.directory(root));
    if !from.exists() {
        return Ok(());
    }
    sync_tree(&from)?;
    let made = fs::DirBuilder::new().mode(0o700).recursive(true).create(&place);
    made.map_err(|error| refused(&place, &error))?;
    for entry in fs::read_dir(&from).map_err(|error| refused(&from, &error))? {
        let entry = entry.map_err(|error| refused(&from, &error))?;
        let to = place.join(entry.file_name());
        fs::rename(entry.path(), &to).map_err(|error| refused(&to, &error))?;
    }
    fs::remove_dir(&from).map_err(|error| refused(&from, &error))?;
    fs::File::open(&place).and_then(|place| place.sync_all()).map_err(|error| refused(&place, &error))
}
