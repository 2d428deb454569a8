//! Disks that are full or damaged, under a real server.
//!
//! The full disk needs root, for a loop mount; it says so when it is skipped.

mod ledger;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ledger::disk::{FileSystem, cannot_mount};
use ledger::plain::{Entry, Kind, Plain, Refused};
use ledger::random::Random;
use ledger::server::{Backend, Server, Start};
use rustix::fs::{FallocateFlags, fallocate, fstatvfs};
use serde_json::Value;
use tempfile::TempDir;

const MIB: u64 = 1 << 20;
/// Messages that a disk without space may still take into segments that were made before.
const UNTIL_FULL_MAX: usize = 20_000;
/// Time in which a server notices that there is space again.
const SPACE_NOTICED_MAX: Duration = Duration::from_secs(60);

fn start(data: &Path) -> Start {
    Start::new(Path::new(env!("CARGO_BIN_EXE_lynk")), data)
}

/// A room of one user, what was acknowledged in it, and how to talk in it.
struct Talk {
    plain: Plain,
    room: String,
    /// Seqs and texts.
    acked: Vec<(u64, String)>,
    /// Written to the server, acknowledged or not.
    sent: u64,
}

impl Talk {
    fn begin(start: &Start, server: &Server) -> Self {
        let (token, _) = start.token("writer");
        let mut plain = Plain::sign_in(&server.url(), &token, Random::new(ledger::seed()));
        let key = plain.key();
        let create = format!(r#""op":"create","key":"{key}","name":"disk","level":"local""#);
        let room = plain.insist(&create, |told| told.room().to_owned());
        Self { plain, room, acked: Vec::new(), sent: 0 }
    }

    fn reconnect(&mut self, start: &Start, server: &Server) {
        let (token, _) = start.token("writer");
        self.plain = Plain::sign_in(&server.url(), &token, Random::new(ledger::seed()));
    }

    fn send(&mut self, length: usize) -> Result<(), Refused> {
        let text = format!("{} {}", self.sent, "x".repeat(length));
        self.sent += 1;
        let seq = self.plain.send(&self.room, &text)?;
        self.acked.push((seq, text));
        Ok(())
    }

    fn read(&mut self) -> Vec<Entry> {
        let mut log = Vec::new();
        self.plain.read(&self.room, &mut log).expect("a history without holes");
        log
    }

    /// Every acknowledged message is in the history, and no message twice.
    fn check(&mut self) {
        let log = self.read();
        for (seq, text) in &self.acked {
            let entry = log.get(*seq as usize - 1).unwrap_or_else(|| panic!("seq {seq} of {}", log.len()));
            assert_eq!(entry.text.as_ref(), Some(text), "seq {seq}");
        }
        let mut texts: Vec<_> = log.iter().filter(|e| e.kind == Kind::Message).map(|e| &e.text).collect();
        let count = texts.len();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), count, "a message is there twice");
    }
}

/// A file that leaves no space to anybody else.
fn fill(dir: &Path) -> PathBuf {
    let path = dir.join("filler");
    let file = File::create(&path).expect("a file");
    let mut size = 0;
    // The last blocks go one by one: the file's own metadata needs some of them.
    loop {
        let free = fstatvfs(&file).map(|stat| stat.f_bavail * stat.f_frsize).expect("a file system");
        let step = if free > MIB { free - free % MIB } else { 4096 };
        if fallocate(&file, FallocateFlags::empty(), size, step).is_err() {
            return path;
        }
        size += step;
    }
}

/// Records that the store does not have yet, as the metrics tell.
fn backlog(server: &Server) -> f64 {
    let metrics = server.ask_admin("/metrics");
    let value = metrics.lines().find_map(|line| line.strip_prefix("lynk_store_drain_backlog_records "));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no backlog in {metrics}"))
}

fn a_full_disk(backend: Backend) {
    if let Some(why) = cannot_mount() {
        return ledger::say(&format!("SKIPPED full disk ({backend:?}): {why}"));
    }
    let place = TempDir::new().expect("a temporary directory");
    let image = place.path().join("small.img");
    FileSystem::make(&image, 160 * MIB).expect("space for an image");
    let disk = FileSystem::mount(&image, &place.path().join("disk")).expect("a disk");
    let mut start = start(&disk.dir().join("data"));
    start.backend = backend;
    start.set.extend(["admin.enabled=true", "admin.address=127.0.0.1:0"].map(str::to_owned));
    let mut server = start.run().expect("a server");
    let mut talk = Talk::begin(&start, &server);
    for _ in 0..100 {
        talk.send(100).expect("there is space");
    }

    let filler = fill(disk.dir());
    let refused = (0..UNTIL_FULL_MAX).find_map(|_| talk.send(7_000).err()).expect("a full disk is refused");
    assert_eq!((refused.code.as_str(), refused.retryable), ("storage_full", true), "{refused:?}");
    assert!(refused.retry_after_ms.is_some(), "{refused:?}");
    talk.check();
    assert_eq!(
        talk.send(100).map_err(|refused| refused.code),
        Err("storage_full".to_owned()),
        "it stays full"
    );
    talk.plain.ask(r#""op":"ping""#, |_| ()).expect("everything else goes on");
    assert!(server.ended().is_none(), "{}", server.lines());

    fs::remove_file(filler).expect("our own file");
    let until = Instant::now() + SPACE_NOTICED_MAX;
    while let Err(refused) = talk.send(100) {
        assert!(refused.retryable, "{refused:?}");
        assert!(
            Instant::now() < until,
            "space is back, and sends are refused: {refused:?}\n{}",
            server.lines()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    for _ in 0..100 {
        // A segment may not be made yet.
        while let Err(refused) = talk.send(7_000) {
            assert!(refused.retryable && Instant::now() < until, "{refused:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    talk.check();
    // The store has forgotten its failure too: it is written to again.
    while backlog(&server) > 0.0 {
        assert!(Instant::now() < until, "the store lags behind: {}", server.ask_admin("/readyz"));
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(server.ask_admin("/readyz").contains(r#""status":"ready""#), "{}", server.ask_admin("/readyz"));

    server.kill_and_wait();
    let server = start.run().expect("it starts again");
    talk.reconnect(&start, &server);
    talk.check();
}

#[test]
fn a_full_disk_refuses_sends_until_there_is_space_with_io_uring() {
    a_full_disk(Backend::Uring);
}

#[test]
fn a_full_disk_refuses_sends_until_there_is_space_with_epoll() {
    a_full_disk(Backend::Epoll);
}

#[test]
fn a_backup_that_does_not_fit_leaves_nothing() {
    if let Some(why) = cannot_mount() {
        return ledger::say(&format!("SKIPPED a backup that does not fit: {why}"));
    }
    let place = TempDir::new().expect("a temporary directory");
    let image = place.path().join("small.img");
    FileSystem::make(&image, 64 * MIB).expect("space for an image");
    let disk = FileSystem::mount(&image, &place.path().join("disk")).expect("a disk");
    let data = place.path().join("data");
    let start = start(&data);
    let server = start.run().expect("a server");
    let mut talk = Talk::begin(&start, &server);
    for _ in 0..200 {
        talk.send(200).expect("there is space");
    }
    let filler = fill(disk.dir());
    let backup = |target: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lynk"));
        command.arg("backup").arg("--data").arg(&data).arg("--to").arg(target).output().expect("started")
    };
    for free in [0, 8 * MIB] {
        let file = OpenOptions::new().write(true).open(&filler).expect("ours");
        let size = file.metadata().expect("there").len();
        file.set_len(size - free).expect("ours");
        let done = backup(&disk.dir().join("backup"));
        assert_eq!(done.status.code(), Some(4), "{}", String::from_utf8_lossy(&done.stdout));
        let left: Vec<_> =
            fs::read_dir(disk.dir()).expect("a directory").map(|e| e.expect("one").file_name()).collect();
        assert!(left.iter().all(|name| name == "filler" || name == "lost+found"), "{left:?}");
    }
    talk.check();
    let done = backup(&place.path().join("elsewhere"));
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// A data directory that a killed server left, with what it acknowledged; made once per test.
struct Left {
    place: TempDir,
    talk: Talk,
}

impl Left {
    fn make() -> Self {
        let place = TempDir::new().expect("a temporary directory");
        let start = start(&place.path().join("data"));
        let mut server = start.run().expect("a server");
        let mut talk = Talk::begin(&start, &server);
        for _ in 0..200 {
            talk.send(200).expect("there is space");
        }
        server.kill_and_wait();
        Self { place, talk }
    }

    fn data(&self) -> PathBuf {
        self.place.path().join("data")
    }

    /// The journal file with the most records, and where they end.
    fn journal(&self) -> (PathBuf, u64) {
        let (_, account) = verify(&self.data());
        let account: Value = serde_json::from_str(&account).expect("JSON");
        let journals = account["journals"].as_array().expect("journals");
        let files = journals.iter().flat_map(|journal| journal["files"].as_array().expect("files"));
        let file = files.max_by_key(|file| file["records"].as_u64()).expect("a journal");
        assert!(file["records"].as_u64() >= Some(200), "{file}");
        (PathBuf::from(file["path"].as_str().expect("a path")), file["end"].as_u64().expect("an offset"))
    }
}

/// Exit code and output of `lynk verify`.
fn verify(data: &Path) -> (Option<i32>, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_lynk"))
        .args(["verify", "-o", "json", "--data"])
        .arg(data)
        .output()
        .expect("lynk verify runs");
    (out.status.code(), String::from_utf8(out.stdout).expect("Unicode"))
}

fn flip(path: &Path, offset: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).expect("a file");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).expect("a byte");
    file.write_all_at(&[byte[0] ^ 0x10], offset).expect("a byte");
}

#[test]
fn a_flipped_bit_refuses_the_start_and_verify_explains_it() {
    let left = Left::make();
    let (path, end) = left.journal();
    // In the middle, where a block begins: what follows proves that this was written whole once. The ends of batches are padding.
    let place = end / 2 / 4096 * 4096 + 60;
    flip(&path, place);
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name");

    let ended = start(&left.data()).run().expect_err("damage refuses the start");
    assert_eq!(ended.code, Some(4), "{}", ended.lines);
    assert!(ended.lines.contains(name) && ended.lines.contains("lynk verify"), "{}", ended.lines);
    assert!(ended.lines.contains("offset"), "{}", ended.lines);

    let (code, account) = verify(&left.data());
    let account: Value = serde_json::from_str(&account).expect("JSON");
    assert_eq!((code, &account["sound"]), (Some(1), &Value::Bool(false)), "{account}");
    let damage: Vec<&str> = account["journals"]
        .as_array()
        .expect("journals")
        .iter()
        .filter_map(|j| j["damage"].as_str())
        .collect();
    assert!(damage.iter().any(|what| what.contains(name)), "{damage:?}");

    flip(&path, place);
    assert_eq!(verify(&left.data()).0, Some(0), "verify changed nothing");
    assert_starts_whole(left);
}

#[test]
fn a_torn_write_behind_the_last_record_is_cut_and_nothing_is_lost() {
    let left = Left::make();
    let (path, end) = left.journal();
    let file = OpenOptions::new().write(true).open(&path).expect("a file");
    // The beginning of the first record, as a write that was cut short leaves one.
    let mut torn = [0; 64];
    File::open(&path).and_then(|file| file.read_exact_at(&mut torn, end - 64)).expect("bytes");
    file.write_all_at(&torn, end).expect("space in the segment");
    let (code, account) = verify(&left.data());
    assert_eq!(code, Some(0), "the next start cuts it: {account}");
    assert_starts_whole(left);
}

#[test]
fn a_torn_last_batch_is_cut_and_everything_before_it_is_kept() {
    let mut left = Left::make();
    let (path, end) = left.journal();
    flip(&path, end - 1);
    let start = start(&left.data());
    let server = start.run().expect("a torn tail does not refuse the start");
    left.talk.reconnect(&start, &server);
    // One client that waits for each answer makes batches of one message: the last one cannot be told from a write
    // that was never acknowledged.
    let log = left.talk.read();
    left.talk.acked.truncate(log.len().saturating_sub(1));
    assert!(left.talk.acked.len() >= 199, "{} of 200 messages", left.talk.acked.len());
    left.talk.check();
}

fn assert_starts_whole(mut left: Left) {
    let start = start(&left.data());
    let server = start.run().expect("it starts");
    left.talk.reconnect(&start, &server);
    left.talk.check();
}
