//! File systems in files, and a power cut.
//!
//! ```text
//! data directory      what the server writes and syncs
//!   ext4              its page cache holds what was written and not synced
//!     loop device     passes on what ext4 writes to "the disk", and when it asks for a flush
//!       disk.img      a disk with a volatile write cache (`cache`)
//! ```
//!
//! A power cut leaves what is on the disk at one instant: everything in the page cache of ext4 is gone, and of what the
//! disk had cached any part is there. From that instant on the disk answers nobody until the server is killed. A sync
//! that had to write or flush anything cannot have finished in between, so every acknowledgement that a client ever
//! received is of data that the disk was told to keep, not only those from before the cut.
//!
//! The guards undo everything, also when a test fails: unmount (which frees the loop device), remove.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::cache::{CachedDisk, Flushes};
use super::random::Random;
use super::run::World;
use super::server::Server;

const MIB: u64 = 1 << 20;
/// Size of the data file system.
const DISK_BYTES: u64 = 384 * MIB;
/// Tries to unmount, 100 ms apart.
const UNMOUNT_TRIES: u32 = 100;

fn tell(program: &str, arguments: &[&str]) -> Result<(), String> {
    let out =
        Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    if out.status.success() {
        return Ok(());
    }
    Err(format!("{program} {}: {}", arguments.join(" "), String::from_utf8_lossy(&out.stderr).trim()))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are Unicode")
}

/// Why file systems cannot be mounted here, if they cannot.
pub(crate) fn cannot_mount() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("not root".to_owned());
    }
    let dir = TempDir::new().expect("a temporary directory");
    let image = dir.path().join("probe.img");
    let mounted = || {
        FileSystem::make(&image, 8 * MIB)?;
        FileSystem::mount(&image, &dir.path().join("probe"))
    };
    mounted().err()
}

/// Why there is no power to cut here, if there is none.
pub(crate) fn cannot_cut() -> Option<String> {
    cannot_mount().or_else(|| {
        let dir = TempDir::new().expect("a temporary directory");
        let stable = tempfile::tempfile().expect("a temporary file");
        CachedDisk::attach(stable, dir.path(), Flushes::Obeyed).err()
    })
}

/// An ext4 in a file, mounted. Unmounted when dropped.
#[derive(Debug)]
pub(crate) struct FileSystem {
    dir: PathBuf,
}

impl FileSystem {
    /// Makes an image.
    ///
    /// # Errors
    /// What `mkfs.ext4` says.
    pub(crate) fn make(image: &Path, bytes: u64) -> Result<(), String> {
        let file = File::create(image).map_err(|error| error.to_string())?;
        file.set_len(bytes).map_err(|error| error.to_string())?;
        // Everything is made now, so that no kernel thread writes to it later on its own account.
        let options = ["-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", text(image)];
        tell("mkfs.ext4", &options)
    }

    /// Mounts an image, replaying its journal, at `dir`, which is made.
    ///
    /// # Errors
    /// What `mount` says.
    pub(crate) fn mount(image: &Path, dir: &Path) -> Result<Self, String> {
        fs::create_dir_all(dir).map_err(|error| error.to_string())?;
        tell("mount", &["-t", "ext4", "-o", "loop", text(image), text(dir)])?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Where it is mounted.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for FileSystem {
    fn drop(&mut self) {
        for _ in 0..UNMOUNT_TRIES {
            if tell("umount", &[text(&self.dir)]).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        // Better a mount that goes when its last file is closed than one that stays.
        let _nothing_left_to_try = tell("umount", &["--lazy", text(&self.dir)]);
    }
}

/// A data directory on a disk whose power can be cut. Fields are dropped in order: the file system before its disk.
#[derive(Debug)]
pub(crate) struct PowerDisk {
    data: Option<FileSystem>,
    disk: CachedDisk,
    random: Random,
    data_dir: PathBuf,
    place: TempDir,
}

impl PowerDisk {
    /// An empty disk. `random` says what a cut leaves of the disk's cache.
    ///
    /// # Panics
    /// When a tool fails that [`cannot_cut`] found to work.
    pub(crate) fn new(flushes: Flushes, random: Random) -> Self {
        let place = TempDir::new().expect("a temporary directory");
        let (stable, dir) = (place.path().join("stable.img"), place.path().join("disk"));
        FileSystem::make(&stable, DISK_BYTES).expect("space for a disk");
        fs::create_dir(&dir).expect("a directory");
        let stable = File::options().read(true).write(true).open(&stable).expect("it was made");
        let disk = CachedDisk::attach(stable, &dir, flushes).expect("a file system in user space");
        let data_dir = place.path().join("data").join("lynk");
        let mut new = Self { data: None, disk, random, data_dir, place };
        new.mount();
        new
    }

    fn mount(&mut self) {
        let mounted = FileSystem::mount(self.disk.image(), &self.place.path().join("data"));
        self.data = Some(mounted.expect("ext4 replays its journal"));
    }

    /// Cuts the power and switches it on again: the data directory is then what was on the disk, and nothing that the
    /// server did after that instant has happened.
    pub(crate) fn cut(&mut self, mut server: Option<Server>) {
        let stopped = self.disk.stop();
        if let Some(server) = &mut server {
            server.kill();
        }
        stopped.power_off(&mut self.random);
        // Threads that waited for the disk can die now.
        drop(server);
        self.data = None;
        self.disk.power_on();
        self.mount();
    }
}

impl World for PowerDisk {
    fn data(&self) -> &Path {
        &self.data_dir
    }

    fn crash(&mut self, server: Server) {
        self.cut(Some(server));
    }
}
