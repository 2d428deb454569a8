//! The list of a backup's files, with their hashes and its own.
//!
//! `MANIFEST` is one line of JSON and a line `sha256 <hash of the first line>`. A reader takes files only as they are listed.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Component, Path};

use ring::digest::{Context, SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::files::{BLOBS, same};
use crate::part::files;
use crate::{CopyError, Part};

/// Name of the file.
pub const MANIFEST: &str = "MANIFEST";
/// Format that this program writes; newer ones are refused. The second one has pictures and files.
const FORMAT: u32 = 2;
/// Greatest manifest that is read, in bytes: some hundred thousand files.
const MANIFEST_BYTES_MAX: u64 = 64 << 20;
pub(crate) const CHUNK: usize = 256 << 10;

/// One file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FileEntry {
    /// Relative to the backup.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Hash of its content, hexadecimal.
    pub sha256: String,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Manifest {
    /// Format of the manifest.
    pub format: u32,
    /// Program that wrote it.
    pub program: String,
    /// Layout version of the data directory.
    pub layout: u32,
    /// The moment that the backup shows, wall clock.
    pub taken_unix_millis: u64,
    /// Keys that are older are not in the digests.
    pub keys_since_unix_millis: u64,
    /// Epoch that rooms had at least.
    pub epoch: u32,
    /// Rooms of the message log; each has a line in `HASHES`.
    pub rooms: u64,
    /// Rows and digest of the relational side.
    pub relational: String,
    /// Rows and digest of the accounts.
    pub accounts: String,
    /// Rows and digest of the notifications; empty in backups of programs that had none.
    #[serde(default)]
    pub notify: String,
    /// Rows and digest of the media; empty in backups of programs that left them out.
    #[serde(default)]
    pub media: String,
    /// Every other file, but those that `FILES` lists.
    pub files: Vec<FileEntry>,
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Length and hash of a file.
///
/// # Errors
/// The disk refuses.
pub fn hash_file(path: &Path) -> Result<(u64, String), CopyError> {
    let refused = |error| CopyError::disk(path, error);
    let mut file = File::open(path).map_err(refused)?;
    let (mut context, mut bytes, mut chunk) = (Context::new(&SHA256), 0, vec![0; CHUNK]);
    loop {
        let length = file.read(&mut chunk).map_err(refused)?;
        if length == 0 {
            return Ok((bytes, hex(context.finish().as_ref())));
        }
        context.update(&chunk[..length]);
        bytes += length as u64;
    }
}

/// Lists and hashes everything in `part` but what `FILES` lists, writes the manifest, and puts the directory in its place.
///
/// # Errors
/// The disk refuses.
pub fn seal(part: Part, mut manifest: Manifest) -> Result<Manifest, CopyError> {
    manifest.format = FORMAT;
    let root = part.path();
    for path in files(root, BLOBS)? {
        let name = path.to_string_lossy().into_owned();
        if name == "UNFINISHED" {
            continue;
        }
        let (bytes, sha256) = hash_file(&root.join(&path))?;
        manifest.files.push(FileEntry { path: name, bytes, sha256 });
    }
    let path = root.join(MANIFEST);
    let line = serde_json::to_string(&manifest)
        .map_err(|error| CopyError::disk(&path, std::io::Error::other(error)))?;
    let text = format!("{line}\nsha256 {}\n", hex(digest(&SHA256, line.as_bytes()).as_ref()));
    fs::write(&path, text).map_err(|error| CopyError::disk(&path, error))?;
    part.finish()?;
    Ok(manifest)
}

/// Reads a backup's manifest.
///
/// # Errors
/// It is not there, damaged, or of a newer program.
pub fn read_manifest(backup: &Path) -> Result<Manifest, CopyError> {
    let path = backup.join(MANIFEST);
    let mut text = String::new();
    File::open(&path)
        .and_then(|file| file.take(MANIFEST_BYTES_MAX).read_to_string(&mut text))
        .map_err(|error| CopyError::disk(&path, error))?;
    let damaged = |why: &str| CopyError::damaged(&path, why);
    let (line, rest) = text.split_once('\n').ok_or_else(|| damaged("it is cut"))?;
    let told = rest.trim_end().strip_prefix("sha256 ").ok_or_else(|| damaged("it is cut"))?;
    if told != hex(digest(&SHA256, line.as_bytes()).as_ref()) {
        return Err(damaged("its hash is another one"));
    }
    let manifest: Manifest = serde_json::from_str(line).map_err(|error| damaged(&error.to_string()))?;
    if manifest.format > FORMAT {
        return Err(damaged("it was written by a newer program: use that one"));
    }
    Ok(manifest)
}

/// Copies the listed files to `to`, each as it is listed.
///
/// # Errors
/// A file is missing, is not what is listed, or the disk refuses.
pub fn take_files(backup: &Path, manifest: &Manifest, to: &Path) -> Result<(), CopyError> {
    for entry in &manifest.files {
        let relative = Path::new(&entry.path);
        let inside = relative.components().all(|part| matches!(part, Component::Normal(_)));
        if !inside || relative.as_os_str().is_empty() {
            return Err(CopyError::damaged(&backup.join(MANIFEST), "a listed file is not inside the backup"));
        }
        let target = to.join(relative);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(|error| CopyError::disk(parent, error))?;
        }
        take_file(&backup.join(relative), entry, &target)?;
    }
    Ok(())
}

/// Copies one file, as it is listed. Its directory must be there, and the file must not.
///
/// # Errors
/// It is missing, is not what is listed, or the disk refuses.
pub fn take_file(from: &Path, entry: &FileEntry, to: &Path) -> Result<(), CopyError> {
    let (of_from, of_to) = (|error| CopyError::disk(from, error), |error| CopyError::disk(to, error));
    let mut source = match File::open(from) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(CopyError::damaged(from, "it is missing"));
        }
        opened => opened.map_err(of_from)?,
    };
    let mut target = File::create_new(to).map_err(of_to)?;
    let (mut context, mut bytes, mut chunk) = (Context::new(&SHA256), 0u64, vec![0; CHUNK]);
    loop {
        let length = source.read(&mut chunk).map_err(of_from)?;
        if length == 0 {
            break;
        }
        let read = &chunk[..length];
        context.update(read);
        bytes += length as u64;
        // What an engine has laid out ahead stays a hole.
        if read.iter().all(|byte| *byte == 0) {
            target.seek(SeekFrom::Start(bytes)).map_err(of_to)?;
        } else {
            target.write_all(read).map_err(of_to)?;
        }
    }
    same(from, entry, (bytes, &hex(context.finish().as_ref())))?;
    target.set_len(bytes).and_then(|()| target.sync_all()).map_err(of_to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_what_was_listed_is_named() {
        let place = tempfile::tempdir().expect("a directory");
        let backup = place.path().join("backup");
        let part = Part::make(&backup).expect("makes");
        fs::create_dir(part.path().join("deep")).expect("makes");
        let mut content = vec![0; 3 * CHUNK];
        content[CHUNK + 5] = 1;
        fs::write(part.path().join("deep/file"), &content).expect("writes");
        fs::write(part.path().join("other"), "other").expect("writes");
        let manifest = seal(part, Manifest { rooms: 3, ..Manifest::default() }).expect("seals");
        assert_eq!(read_manifest(&backup).expect("reads"), manifest);
        assert_eq!(manifest.files.len(), 2);
        let taken = place.path().join("taken");
        take_files(&backup, &manifest, &taken).expect("takes");
        assert_eq!(fs::read(taken.join("deep/file")).expect("reads"), content);

        let refused = |change: &dyn Fn(), undo: &dyn Fn()| {
            change();
            let to = place.path().join("again");
            let text = match read_manifest(&backup).and_then(|m| take_files(&backup, &m, &to)) {
                Err(error) => error.to_string(),
                Ok(()) => panic!("must be refused"),
            };
            let _half = fs::remove_dir_all(&to);
            undo();
            text
        };
        let file = backup.join("deep/file");
        let other = backup.join("other");
        let put = |path: &Path, bytes: &[u8]| fs::write(path, bytes).expect("writes");
        let mut flipped = content.clone();
        flipped[7] = 1;
        let text = refused(&|| put(&file, &flipped), &|| put(&file, &content));
        assert!(text.contains("deep/file is damaged"), "{text}");
        let text = refused(&|| put(&other, b"othe"), &|| put(&other, b"other"));
        assert!(text.contains("other is damaged: it has 4 bytes"), "{text}");
        let text = refused(&|| fs::remove_file(&other).expect("removes"), &|| put(&other, b"other"));
        assert!(text.contains("other is damaged: it is missing"), "{text}");
        let list = backup.join(MANIFEST);
        let whole = fs::read_to_string(&list).expect("reads");
        let forged = whole.replace("\"rooms\":3", "\"rooms\":4");
        let text = refused(&|| put(&list, forged.as_bytes()), &|| put(&list, whole.as_bytes()));
        assert!(text.contains("MANIFEST is damaged: its hash"), "{text}");
        take_files(&backup, &manifest, &place.path().join("third")).expect("whole again");
        let outside = FileEntry { path: "../x".to_owned(), bytes: 0, sha256: String::new() };
        let manifest = Manifest { files: vec![outside], ..Manifest::default() };
        assert!(take_files(&backup, &manifest, &place.path().join("fourth")).is_err());
    }
}
