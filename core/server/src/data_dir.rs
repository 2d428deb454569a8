//! The data directory: who may use it, which version it is, and the keys in it.
//!
//! ```text
//! LOCK            flock, held by the process that serves; its pid inside
//! VERSION         layout version of the directory, decimal
//! INSTALLATION    random name of this directory, for outside stores that keep the drain positions of several
//! STORES          which stores its data is in
//! BUCKET          which bucket its files are in, where they are in one
//! keys/           0700; access.p8 signs, access-*.p8 are accepted beside it; server.secret; factor.key seals
//!                 second factors, factor-*.key open them beside it; files 0600
//! control         socket by which commands ask the server; 0600
//! crashes         last crashes, for the crash-loop guard
//! journal/        write-ahead log
//! messages/       message log
//! rooms.sqlite    rooms, members, bans, blocks
//! accounts.sqlite accounts, sessions, counters of codes; 0600
//! notify.sqlite   devices, notifications that wait, and what became of others; 0600
//! media.sqlite    what is known of pictures and files; 0600
//! blobs/          0700; pictures and files, unless media.directory says otherwise
//! move.part/      0700; copies of rooms and accounts while they are moved; what a killed move left goes with the next start
//! dev-sms.txt     codes that the console provider showed; 0600
//! dev-push.txt    ids of notifications that the console provider showed; 0600
//! ```
//!
//! Thread: boot. What can fail: anything an operator may have done to the directory; every error names the cure.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lynk_auth::{FACTOR_KEYS_MAX, FactorKeys, KeyRing, KeySet, Scope, SigningKey};

use crate::exit::Failure;
use crate::os;

/// Layout version that this build reads and writes.
pub(crate) const VERSION: u32 = 1;

/// File of the key that signs.
pub(crate) const SIGNING_KEY: &str = "access.p8";
/// File of the key that seals secrets of second factors.
pub(crate) const FACTOR_KEY: &str = "factor.key";
/// File of the server's secret: what codes and opaque tokens are hashed with.
const SECRET: &str = "server.secret";

/// An open data directory. The lock is held until this is dropped.
#[derive(Debug)]
pub(crate) struct DataDir {
    root: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Opens the directory for serving, and makes it at first start.
    ///
    /// # Errors
    /// Another process serves from it, its version is newer, or it cannot be read or written.
    pub(crate) fn open(root: &Path) -> Result<Self, Failure> {
        make_dir(root, 0o750)?;
        let lock = lock(root)?;
        check_version(root)?;
        crate::copies::remove_move_part(root)?;
        make_dir(&root.join("keys"), 0o700)?;
        Ok(Self { root: root.to_owned(), _lock: lock })
    }

    /// Takes an empty directory, or one with nothing but `keys`, to be filled: it is none to serve from until [`Self::replace`] has written
    /// `VERSION`. What is left of an interrupted restore may be in it.
    ///
    /// # Errors
    /// Something is in it.
    pub(crate) fn claim(root: &Path) -> Result<Self, Failure> {
        make_dir(root, 0o750)?;
        let lock = lock(root)?;
        let expected = |name: &str| {
            matches!(name, "LOCK" | "keys" | "lost+found" | "INSTALLATION" | crate::copies::restore::UNPACKED)
        };
        let strange = fs::read_dir(root)
            .map_err(|error| refused(root, &error))?
            .filter_map(Result::ok)
            .find(|entry| !entry.file_name().to_str().is_some_and(expected));
        if let Some(entry) = strange {
            let what = format!("{} is not empty: it holds {:?}", root.display(), entry.file_name());
            return Err(Failure::dependency(what).cure("name an empty or a new directory with --data"));
        }
        Ok(Self { root: root.to_owned(), _lock: lock })
    }

    /// Writes a file in place of the one that is there, in one step.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn replace(&self, file: &str, text: &str) -> Result<(), Failure> {
        replace(&self.root.join(file), text.as_bytes(), 0o640)
    }

    /// The directory's own name; made if there is none.
    ///
    /// # Errors
    /// It cannot be read or written, or is damaged.
    pub(crate) fn installation(&self) -> Result<String, Failure> {
        let made = os::random::<16>()?.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let name = self.once("INSTALLATION", &made)?;
        if name.len() == made.len() && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(name);
        }
        let path = self.root.join("INSTALLATION");
        Err(Failure::dependency(format!("{} is damaged", path.display())).cure(
            "restore the file from a backup: outside stores know this directory's drain positions by it",
        ))
    }

    /// Which stores the directory's data is in; `wanted` for a new one. A directory from before they were noted has its own.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub(crate) fn stores(&self, wanted: &str) -> Result<String, Failure> {
        let old = self.root.join("rooms.sqlite").exists();
        self.once("STORES", if old { crate::stores::EMBEDDED } else { wanted })
    }

    /// What is in a file that is written once, with `first` when it is not there.
    fn once(&self, file: &str, first: &str) -> Result<String, Failure> {
        let path = self.root.join(file);
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => return other.map_err(|error| refused(&path, &error)),
        }
        // In one step: a name that is half written would be another name.
        replace(&path, first.as_bytes(), 0o640)?;
        Ok(first.to_owned())
    }

    /// Path of the directory.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The keys; the one that signs is made if there is none.
    ///
    /// # Errors
    /// A key is readable for others, or is none.
    pub(crate) fn keys(&self) -> Result<Keys, Failure> {
        let dir = self.root.join("keys");
        check_private(&dir)?;
        let path = dir.join(SIGNING_KEY);
        if !path.exists() {
            let (_, kept) = SigningKey::generate(os::random()?);
            write_new(&path, kept.as_bytes(), 0o600)?;
            sync_dir(&dir)?;
        }
        Keys::load(&self.root)
    }

    /// The server's secret; made if there is none.
    ///
    /// # Errors
    /// It is readable for others, or not 32 bytes.
    pub(crate) fn secret(&self) -> Result<[u8; 32], Failure> {
        self.key_of(
            SECRET,
            "restore the file from where it was copied; without it every session ends and limits on codes begin anew",
        )
    }

    /// The keys of second factors; the one that seals is made if there is none.
    ///
    /// # Errors
    /// One is readable for others, or not 32 bytes, or there are too many.
    pub(crate) fn factor_keys(&self) -> Result<FactorKeys, Failure> {
        let cure = "restore the file from where it was copied; without it accounts with an authenticator app sign in with recovery codes only";
        let current = self.key_of(FACTOR_KEY, cure)?;
        let dir = self.root.join("keys");
        let mut earlier = Vec::new();
        for entry in fs::read_dir(&dir).map_err(|error| refused(&dir, &error))? {
            let path = entry.map_err(|error| refused(&dir, &error))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with("factor-") && name.ends_with(".key") {
                earlier.push(read_secret(&path, cure)?);
            }
        }
        if earlier.len() >= FACTOR_KEYS_MAX {
            return Err(Failure::dependency(format!("{} holds too many factor-*.key", dir.display()))
                .cure("remove the oldest: secrets are sealed anew when they are used"));
        }
        Ok(FactorKeys::new(current, earlier))
    }

    /// The key that signs links to files: one that tells nothing of the other uses of the server's secret.
    ///
    /// # Errors
    /// Those of [`Self::secret`].
    pub(crate) fn media_links(&self) -> Result<lynk_blob::Links, Failure> {
        let root = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &self.secret()?);
        let mut key = [0; lynk_blob::KEY_BYTES];
        key.copy_from_slice(ring::hmac::sign(&root, b"lynk media links").as_ref());
        Ok(lynk_blob::Links::new(&key, &[]))
    }

    /// A file of 32 bytes in `keys/`; made if there is none.
    fn key_of(&self, file: &str, cure: &'static str) -> Result<[u8; 32], Failure> {
        let dir = self.root.join("keys");
        check_private(&dir)?;
        let path = dir.join(file);
        if !path.exists() {
            write_new(&path, &os::random::<32>()?, 0o600)?;
            sync_dir(&dir)?;
        }
        read_secret(&path, cure)
    }
}

/// The key that signs, and all that are accepted.
#[derive(Debug)]
pub(crate) struct Keys {
    /// Signs.
    pub(crate) signing: SigningKey,
    /// Accepted besides it.
    others: Vec<SigningKey>,
}

impl Keys {
    /// Reads the keys of a data directory, which another process may be serving from.
    ///
    /// # Errors
    /// There is no key, one is readable for others, or is none.
    pub(crate) fn load(root: &Path) -> Result<Self, Failure> {
        let dir = root.join("keys");
        let path = dir.join(SIGNING_KEY);
        if !path.exists() {
            let what = format!("{} does not exist", path.display());
            return Err(Failure::dependency(what).cure(format!(
                "start `lynk serve --data {}` once: it makes the key; or name the right directory with --data",
                root.display()
            )));
        }
        check_private(&dir)?;
        let signing = read_key(&path)?;
        let mut others = Vec::new();
        for entry in fs::read_dir(&dir).map_err(|error| refused(&dir, &error))? {
            let path = entry.map_err(|error| refused(&dir, &error))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with("access-") && name.ends_with(".p8") {
                let key = read_key(&path)?;
                // A rotation that was interrupted leaves the key that signs under its next name as well.
                if key.public() != signing.public() {
                    others.push(key);
                }
            }
        }
        others.sort_by(|a, b| a.public().kid().cmp(b.public().kid()));
        // Two that were interrupted leave one retired key in two files.
        others.dedup_by(|a, b| a.public() == b.public());
        Ok(Self { signing, others })
    }

    /// What a server accepts with these keys.
    ///
    /// # Errors
    /// Too many keys, or the same one in two files.
    pub(crate) fn accepted(&self, scope: Scope) -> Result<Arc<KeySet>, Failure> {
        let public = std::iter::once(&self.signing).chain(&self.others).map(SigningKey::public);
        let set = KeySet::new(scope, public).map_err(|error| {
            Failure::dependency(format!("the access keys cannot be used: {error}"))
                .cure("remove the keys that are not needed any more from keys/ of the data directory")
        })?;
        Ok(Arc::new(set))
    }

    /// What issues tokens with these keys.
    ///
    /// # Errors
    /// Too many keys.
    pub(crate) fn ring(self, scope: Scope) -> Result<KeyRing, Failure> {
        let others: Vec<_> = self.others.iter().map(SigningKey::public).collect();
        KeyRing::new(scope, self.signing, others).map_err(|error| {
            Failure::dependency(format!("the access keys cannot be used: {error}"))
                .cure("`lynk keys rotate` drops those that are not needed any more")
        })
    }
}

fn read_secret(path: &Path, cure: &'static str) -> Result<[u8; 32], Failure> {
    check_private(path)?;
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(64).read_to_end(&mut bytes))
        .map_err(|error| refused(path, &error))?;
    bytes
        .try_into()
        .map_err(|_| Failure::dependency(format!("{} does not hold 32 bytes", path.display())).cure(cure))
}

pub(crate) fn read_key(path: &Path) -> Result<SigningKey, Failure> {
    check_private(path)?;
    let mut der = Vec::new();
    File::open(path)
        .and_then(|file| file.take(4 << 10).read_to_end(&mut der))
        .map_err(|error| refused(path, &error))?;
    SigningKey::from_pkcs8(&der).map_err(|error| {
        Failure::dependency(format!("{}: {error}", path.display()))
            .cure("restore the file from where it was copied; without it every issued token becomes invalid")
    })
}

/// Refuses what others than its owner may read.
pub(crate) fn check_private(path: &Path) -> Result<(), Failure> {
    let mode = fs::metadata(path).map_err(|error| refused(path, &error))?.mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let right = if path.is_dir() { "700" } else { "600" };
    Err(Failure::dependency(format!("{} may be read by others (mode {mode:o})", path.display()))
        .cure(format!("chmod {right} {}", path.display())))
}

/// An I/O error on `path`, with the cure for the usual ones.
pub(crate) fn refused(path: &Path, error: &std::io::Error) -> Failure {
    let failure = Failure::dependency(format!("{}: {error}", path.display()));
    match error.kind() {
        ErrorKind::PermissionDenied => failure.cure(format!(
            "give the user that runs lynk the directory: chown -R \"$(id -u)\" {0}; chmod u+rwX {0}",
            path.display()
        )),
        ErrorKind::ReadOnlyFilesystem => failure.cure(
            "the data directory must be on a file system that can be written; name another with --data",
        ),
        ErrorKind::StorageFull => failure.cure("free some space on its file system"),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            failure.cure("something that is no directory is in the way; name another directory with --data")
        }
        _ => failure,
    }
}

/// Makes a directory, and those above it, unless it is there.
///
/// # Errors
/// It cannot be made, or something else is there.
pub(crate) fn make_dir(path: &Path, mode: u32) -> Result<(), Failure> {
    let made = fs::DirBuilder::new().recursive(true).mode(mode).create(path);
    made.map_err(|error| refused(path, &error))?;
    if !fs::metadata(path).map_err(|error| refused(path, &error))?.is_dir() {
        return Err(refused(path, &ErrorKind::NotADirectory.into()));
    }
    Ok(())
}

/// The process that serves from a directory, if one does.
pub(crate) fn server_of(root: &Path) -> Option<String> {
    let mut file = File::open(root.join("LOCK")).ok()?;
    if rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared).is_ok() {
        return None;
    }
    let mut pid = String::new();
    (&mut file).take(32).read_to_string(&mut pid).ok()?;
    Some(pid.trim().to_owned())
}

fn lock(root: &Path) -> Result<File, Failure> {
    let path = root.join("LOCK");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o640)
        .open(&path)
        .map_err(|error| refused(&path, &error))?;
    if rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut pid = String::new();
        let _ = (&mut file).take(32).read_to_string(&mut pid);
        let what = format!("{} is in use by another process (pid {})", root.display(), pid.trim());
        return Err(Failure::dependency(what).cure(
            "stop that process, or serve from another directory with --data and another port with --listen",
        ));
    }
    let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(|error| refused(&path, &error))?;
    Ok(file)
}

fn check_version(root: &Path) -> Result<(), Failure> {
    let path = root.join("VERSION");
    match fs::read_to_string(&path) {
        Ok(text) => match text.trim().parse::<u32>() {
            Ok(VERSION) => Ok(()),
            Ok(found) => Err(Failure::dependency(format!(
                "{} has layout version {found}; this lynk knows up to {VERSION}",
                root.display()
            ))
            .cure("use the lynk that wrote it, or a newer one: `lynk version` tells what a binary knows")),
            Err(_) => Err(Failure::dependency(format!("{} does not hold a number", path.display()))
                .cure("restore the file; `lynk verify` checks the rest of the directory")),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let strange = fs::read_dir(root)
                .map_err(|error| refused(root, &error))?
                .filter_map(Result::ok)
                .find(|entry| {
                    !matches!(entry.file_name().to_str(), Some("LOCK" | "VERSION.new" | "lost+found"))
                });
            if let Some(entry) = strange {
                let what = format!(
                    "{} is not empty and not a data directory: it holds {:?}",
                    root.display(),
                    entry.file_name()
                );
                return Err(Failure::dependency(what).cure("name an empty or a new directory with --data"));
            }
            let fresh = root.join("VERSION.new");
            let _ = fs::remove_file(&fresh);
            write_new(&fresh, format!("{VERSION}\n").as_bytes(), 0o640)?;
            fs::rename(&fresh, &path).map_err(|error| refused(&path, &error))?;
            sync_dir(root)
        }
        Err(error) => Err(refused(&path, &error)),
    }
}

/// Makes a file that must not exist, with its content on disk.
pub(crate) fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), Failure> {
    let written =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).and_then(|mut file| {
            // The process's umask may only take away; a key must be exactly this private.
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            file.write_all(content)?;
            file.sync_all()
        });
    written.map_err(|error| refused(path, &error))
}

/// Puts a file with this content in the place of whatever is there: whole or not at all, also when the machine stops in between.
///
/// # Errors
/// The disk or the directory refuses.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), Failure> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    // Left by a command that was cut off.
    let _ = fs::remove_file(&fresh);
    write_new(&fresh, content, mode)?;
    fs::rename(&fresh, path).map_err(|error| refused(path, &error))?;
    path.parent().map_or(Ok(()), sync_dir)
}

pub(crate) fn sync_dir(path: &Path) -> Result<(), Failure> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(|error| refused(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(root: &Path) -> String {
        DataDir::open(root).expect_err("must be refused").to_string()
    }

    #[test]
    fn a_new_directory_is_made_and_its_key_is_private_and_stays() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let root = temp.path().join("deep/data");
        let first = DataDir::open(&root).expect("opens").keys().expect("keys").signing.public();
        let mode = |path: &str| fs::metadata(root.join(path)).expect("exists").mode() & 0o777;
        assert_eq!(mode("keys"), 0o700);
        assert_eq!(mode("keys/access.p8"), 0o600);
        let again = DataDir::open(&root).expect("opens again").keys().expect("keys").signing.public();
        assert_eq!(first, again);
        assert_eq!(Keys::load(&root).expect("read beside a server").signing.public(), first);
    }

    #[test]
    fn a_second_process_is_told_who_holds_the_directory() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let held = DataDir::open(temp.path()).expect("opens");
        let text = refusal(temp.path());
        assert!(text.contains(&format!("pid {}", std::process::id())) && text.contains("--data"), "{text}");
        drop(held);
        assert!(DataDir::open(temp.path()).is_ok());
    }

    #[test]
    fn a_newer_or_foreign_directory_is_left_alone() {
        let temp = tempfile::tempdir().expect("temporary directory");
        fs::write(temp.path().join("holiday.jpg"), "x").expect("writable");
        assert!(refusal(temp.path()).contains("not a data directory: it holds \"holiday.jpg\""));
        fs::write(temp.path().join("VERSION"), "2\n").expect("writable");
        assert!(refusal(temp.path()).contains("layout version 2; this lynk knows up to 1"));
        fs::write(temp.path().join("VERSION"), "one").expect("writable");
        assert!(refusal(temp.path()).contains("does not hold a number"));
        let file = temp.path().join("holiday.jpg");
        assert!(refusal(&file).contains("name another directory with --data"));
    }

    #[test]
    fn keys_that_others_may_read_are_refused_with_the_command_that_helps() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let dir = DataDir::open(temp.path()).expect("opens");
        dir.keys().expect("made");
        let key = temp.path().join("keys/access.p8");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).expect("ours");
        let text = dir.keys().expect_err("readable for the group").to_string();
        assert!(text.contains(&format!("chmod 600 {}", key.display())), "{text}");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("ours");
        fs::write(&key, "not a key").expect("ours");
        assert!(dir.keys().expect_err("no key").to_string().contains("not an Ed25519 private key"));
    }

    #[test]
    fn the_servers_secret_is_made_once_and_private() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let dir = DataDir::open(temp.path()).expect("opens");
        let first = dir.secret().expect("made");
        assert_eq!(dir.secret().expect("read"), first);
        let path = temp.path().join("keys/server.secret");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).expect("ours");
        assert!(dir.secret().expect_err("readable").to_string().contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("ours");
        fs::write(&path, [1; 31]).expect("ours");
        assert!(dir.secret().expect_err("short").to_string().contains("does not hold 32 bytes"));
    }

    #[test]
    fn keys_beside_the_signing_one_are_accepted() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let dir = DataDir::open(temp.path()).expect("opens");
        dir.keys().expect("made");
        let keys = temp.path().join("keys");
        fs::rename(keys.join("access.p8"), keys.join("access-2026.p8")).expect("ours");
        let rotated = dir.keys().expect("a new one is made");
        assert_eq!(rotated.accepted(Scope::default()).expect("two").keys().len(), 2);
        fs::copy(keys.join("access.p8"), keys.join("access-same.p8")).expect("ours");
        assert_eq!(dir.keys().expect("read").accepted(Scope::default()).expect("two").keys().len(), 2);
        fs::copy(keys.join("access-2026.p8"), keys.join("access-copy.p8")).expect("ours");
        let twice = dir.keys().expect("read").accepted(Scope::default()).expect("a copy counts once");
        assert_eq!(twice.keys().len(), 2);
    }
}
