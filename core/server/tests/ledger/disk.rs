//! File systems in files, and a power cut.
//!
//! # Why the copy is what a power cut leaves
//!
//! ```text
//! data directory      what the server writes and syncs
//!   ext4 "data"       its page cache holds what was written and not synced
//!     loop device     what ext4 wrote to "the disk"
//!       disk.img      a file in …
//!         ext4 "carrier", in a file of its own
//! ```
//!
//! A power cut leaves what is on the disk at one instant: everything in the page cache of "data" is gone. Reading
//! `disk.img` gives exactly what "data" wrote to its disk, but reading takes time in which "data" goes on writing, so the
//! copy of a live image mixes instants, a state that no disk was ever in. Therefore the **carrier** is frozen first. From
//! then on every write of the loop device waits at the carrier's door: `disk.img` does not change, at whatever length it
//! is copied. Freezing syncs the carrier only; it knows nothing of the page cache of "data", one file system further up, so
//! nothing is written that the server's own syncs, or the kernel's write-back, had not written before. Writes that were
//! under way are in the copy or not, in any combination, as with a disk that loses power.
//!
//! The server is killed before the carrier thaws. A sync that had to write anything cannot have finished in between, so
//! every acknowledgement that a client ever received is of data in the copy, not only those from before the cut.
//!
//! What this leaves out: a disk that loses writes which it had completed and was not told to flush. "data" sends a flush
//! with every sync; that ext4 does is not what is tested here.
//!
//! The guards undo everything, also when a test fails: thaw, unmount (which frees the loop device), remove.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::run::World;
use super::server::Server;

const MIB: u64 = 1 << 20;
/// Size of the data file system.
const DISK_BYTES: u64 = 384 * MIB;
/// Size of a carrier: one disk image and what its file system needs.
const CARRIER_BYTES: u64 = 480 * MIB;
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
    let tried =
        FileSystem::make(&image, 8 * MIB).and_then(|()| FileSystem::mount(&image, &dir.path().join("probe")));
    tried.err()
}

/// An ext4 in a file, mounted. Unmounted when dropped.
#[derive(Debug)]
pub(crate) struct FileSystem {
    dir: PathBuf,
    frozen: bool,
}

impl FileSystem {
    /// Makes an image.
    ///
    /// # Errors
    /// What `mkfs.ext4` says.
    pub(crate) fn make(image: &Path, bytes: u64) -> Result<(), String> {
        let file = fs::File::create(image).map_err(|error| error.to_string())?;
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
        Self::mount_with(image, dir, "loop")
    }

    fn mount_with(image: &Path, dir: &Path, options: &str) -> Result<Self, String> {
        fs::create_dir_all(dir).map_err(|error| error.to_string())?;
        tell("mount", &["-t", "ext4", "-o", options, text(image), text(dir)])?;
        Ok(Self { dir: dir.to_owned(), frozen: false })
    }

    /// Where it is mounted.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn freeze(&mut self) {
        tell("fsfreeze", &["--freeze", text(&self.dir)]).expect("our own file system freezes");
        self.frozen = true;
    }

    fn thaw(&mut self) {
        if std::mem::take(&mut self.frozen) {
            tell("fsfreeze", &["--unfreeze", text(&self.dir)]).expect("our own file system thaws");
        }
    }
}

impl Drop for FileSystem {
    fn drop(&mut self) {
        self.thaw();
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

/// A data directory on a disk whose power can be cut. Fields are dropped in order: the disk before its carriers.
#[derive(Debug)]
pub(crate) struct PowerDisk {
    data: Option<FileSystem>,
    carriers: [FileSystem; 2],
    /// Carrier of the disk in use.
    active: usize,
    data_dir: PathBuf,
    place: TempDir,
}

impl PowerDisk {
    /// An empty disk.
    ///
    /// # Panics
    /// When a tool fails that [`cannot_mount`] found to work.
    pub(crate) fn new() -> Self {
        let place = TempDir::new().expect("a temporary directory");
        let carriers = ["a", "b"].map(|name| {
            let image = place.path().join(format!("carrier-{name}.img"));
            FileSystem::make(&image, CARRIER_BYTES).expect("space for a carrier");
            // Nobody cuts the carrier's own power: without barriers the machine's disk is spared its flushes.
            FileSystem::mount_with(&image, &place.path().join(name), "loop,nobarrier").expect("a carrier")
        });
        let mut disk =
            Self { data: None, carriers, active: 0, data_dir: place.path().join("data").join("lynk"), place };
        FileSystem::make(&disk.image(0), DISK_BYTES).expect("space for a disk");
        disk.attach();
        disk
    }

    fn image(&self, carrier: usize) -> PathBuf {
        self.carriers[carrier].dir().join("disk.img")
    }

    fn attach(&mut self) {
        let mounted = FileSystem::mount(&self.image(self.active), &self.place.path().join("data"));
        self.data = Some(mounted.expect("ext4 replays its journal"));
    }

    /// Cuts the power and switches it on again: the data directory is then what was on the disk, and nothing that the
    /// server did after that instant has happened.
    pub(crate) fn cut(&mut self, mut server: Option<Server>) {
        let (old, new) = (self.active, 1 - self.active);
        self.carriers[old].freeze();
        let (from, to) = (self.image(old), self.image(new));
        tell("cp", &["--sparse=always", text(&from), text(&to)]).expect("space for a copy");
        if let Some(server) = &mut server {
            server.kill();
        }
        self.carriers[old].thaw();
        // Threads that waited for the carrier can die now.
        drop(server);
        self.data = None;
        fs::remove_file(&from).expect("nobody uses the old disk");
        self.active = new;
        self.attach();
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
