//! `lynk doctor`: whether this machine is fit to serve.
//!
//! A check is `ok`, `warn` (it will work, worse) or `fail` (it will not start). Exit code 4 when one failed. Nothing is
//! changed: the file written to time the disk is removed again.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use lynk_blob::{Bucket, BucketError};
use lynk_domain::MediaId;
use lynk_journal::limits::BLOCK_BYTES;
use lynk_journal::{BlockBuffer, Disk as _, DiskFile as _, RealDisk};
use rustix::process::{Resource, getrlimit};
use serde_json::{Value, json};

use crate::cli::ConfigArgs;
use crate::config::{Backend, Config};
use crate::exit::Failure;
use crate::os;
use crate::out::{Form, put, put_json};

/// Writes that time the disk, of each kind.
const SYNCS: usize = 64;
/// Between two writes that come alone. A disk and a processor that were left idle take longer to answer.
const LONE_PAUSE: Duration = Duration::from_millis(10);
/// A disk slower than this at the 99th percentile will be felt by every sender.
const SYNC_NANOS_WARN: u64 = 50_000_000;
/// Open files below which a server is a toy.
const FILES_WARN: u64 = 65_536;
/// Wall clocks before this (2025-01-01) are not set.
const WALL_MILLIS_MIN: u64 = 1_735_689_600_000;

/// `lynk doctor`
#[derive(Args, Clone, Debug)]
pub(crate) struct DoctorArgs {
    /// Form of the answer.
    #[arg(long, short, value_name = "FORM", default_value = "text")]
    output: Form,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One check's result.
struct Check {
    name: &'static str,
    verdict: Verdict,
    /// What was found.
    found: String,
    /// What to do; empty when nothing.
    cure: String,
    /// Numbers for programs.
    facts: Value,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, found: found.into(), cure: String::new(), facts: json!({}) }
    }

    fn warn(name: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warn, cure: cure.into(), ..Self::ok(name, found) }
    }

    fn fail(name: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, cure: cure.into(), ..Self::ok(name, found) }
    }

    fn facts(mut self, facts: Value) -> Self {
        self.facts = facts;
        self
    }
}

impl DoctorArgs {
    /// Checks everything.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let config = self.config.load()?.config;
        let mut checks = vec![
            kernel(),
            io_uring(&config),
            cores(),
            open_files(),
            locked_memory(),
            data_dir(&config.data_dir),
            disk_sync(&config.data_dir),
            port("listen port", config.listen, &config.data_dir),
            clock(),
        ];
        if config.media.enabled {
            checks.push(files(&config));
            if config.media.is_in_bucket() {
                checks.push(bucket(&config));
            }
        }
        if config.admin_enabled {
            checks.push(port("admin port", config.admin_listen, &config.data_dir));
        }
        match self.output {
            Form::Text => put(&text(&checks))?,
            Form::Json => put_json(&as_json(&checks))?,
        }
        let failed: Vec<_> = checks.iter().filter(|c| c.verdict == Verdict::Fail).map(|c| c.name).collect();
        if failed.is_empty() {
            return Ok(());
        }
        Err(Failure::dependency(format!("this machine is not fit to serve: {}", failed.join(", ")))
            .cure("see the checks marked fail above"))
    }
}

fn text(checks: &[Check]) -> String {
    let mut out = String::new();
    for check in checks {
        out += &format!("{:4}  {:13} {}\n", check.verdict.name(), check.name, check.found);
        if !check.cure.is_empty() {
            out += &format!("                    what to do: {}\n", check.cure);
        }
    }
    out
}

fn as_json(checks: &[Check]) -> Value {
    let list: Vec<_> = checks
        .iter()
        .map(|check| {
            json!({
                "check": check.name, "verdict": check.verdict.name(), "found": check.found, "cure": check.cure,
                "facts": check.facts,
            })
        })
        .collect();
    let fit = checks.iter().all(|check| check.verdict != Verdict::Fail);
    json!({"fit": fit, "checks": list})
}

fn kernel() -> Check {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let facts = json!({"release": release, "machine": uname.machine().to_string_lossy()});
    let check = if version >= (6, 1) {
        Check::ok("kernel", format!("Linux {release}"))
    } else {
        Check::warn(
            "kernel",
            format!("Linux {release}"),
            "use 6.1 or later for io_uring; epoll works with any",
        )
    };
    check.facts(facts)
}

fn io_uring(config: &Config) -> Check {
    let switch = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    let facts = json!({"kernel.io_uring_disabled": switch.trim()});
    let check = match lynk_ring::probe(&lynk_ring::Options::default()) {
        Ok(()) => Check::ok("io_uring", "works"),
        Err(error) => {
            let cure = error.cure();
            match config.shard_backend {
                Backend::IoUring => Check::fail("io_uring", error.to_string(), cure),
                Backend::Auto => Check::warn("io_uring", format!("{error}; epoll will be used"), cure),
                Backend::Epoll => Check::ok("io_uring", format!("{error}; not wanted by shards.backend")),
            }
        }
    };
    check.facts(facts)
}

fn cores() -> Check {
    let cores = os::usable_cores();
    let shards = os::shard_count(0);
    let facts = json!({"usable": cores, "default_shards": shards});
    let found = format!("{cores} usable, {shards} shard{} by default", if shards == 1 { "" } else { "s" });
    Check::ok("cores", found).facts(facts)
}

fn open_files() -> Check {
    let limit = getrlimit(Resource::Nofile);
    let facts = json!({"soft": limit.current, "hard": limit.maximum});
    let cure =
        "raise the hard limit: LimitNOFILE=1048576, --ulimit nofile=1048576, or /etc/security/limits.conf";
    let check = match limit.maximum {
        None => Check::ok("open files", "no limit"),
        Some(hard) if hard < 2 * os::FILES_RESERVED => {
            Check::fail("open files", format!("at most {hard}"), cure)
        }
        Some(hard) if hard < FILES_WARN => {
            let connections = hard - os::FILES_RESERVED;
            Check::warn("open files", format!("at most {hard}: about {connections} connections"), cure)
        }
        Some(hard) => Check::ok("open files", format!("at most {hard}")),
    };
    check.facts(facts)
}

/// Whether the disk of files has room for those of one account.
fn files(config: &Config) -> Check {
    let directory = config.media.directory(&config.data_dir);
    // It is made by the first start: what is above it tells.
    let there = directory.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("."));
    let free = match rustix::fs::statvfs(there) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => {
            let found = format!("{}: {error}", there.display());
            return Check::fail(
                "files",
                found,
                "set `media.directory` to a directory that the server may write",
            );
        }
    };
    let facts = json!({"directory": directory.display().to_string(), "free_bytes": free});
    let found = format!("{} MiB are free for {}", free >> 20, directory.display());
    let check = match free < config.media.quota_bytes {
        true => Check::warn(
            "files",
            found,
            "free some space, set `media.directory`, or a smaller `media.quota_bytes`: one account may fill the disk",
        ),
        false => Check::ok("files", found),
    };
    check.facts(facts)
}

/// Whether an object can be put into the bucket, read and removed.
fn bucket(config: &Config) -> Check {
    const SHARED: &str = "set s3.prefix to one of this server's own; only when the other server is gone for good, remove that object";
    const CURE: &str = "compare [s3] and lynk_s3.password with the service's own words; its key needs to list the bucket, and to get, put and delete objects below the prefix. `docs/media.md` has the rights";
    let s3 = &config.media.s3;
    let facts = json!({"endpoint": s3.endpoint, "bucket": s3.bucket, "prefix": s3.prefix});
    let check = match try_bucket(config) {
        Ok(millis) => Check::ok(
            "bucket",
            format!("{} of {} takes, gives and removes an object: {millis} ms", s3.bucket, s3.endpoint),
        ),
        Err((found, true)) => Check::fail("bucket", found, SHARED),
        Err((found, false)) => Check::fail("bucket", found, CURE),
    };
    check.facts(facts)
}

/// The name of the data directory, where it has one.
fn installation(data: &Path) -> Option<String> {
    std::fs::read_to_string(data.join("INSTALLATION")).ok()
}

/// Milliseconds for all of it.
///
/// # Errors
/// What was found, and whether it is that the bucket is another server's.
fn try_bucket(config: &Config) -> Result<u128, (String, bool)> {
    let plain = |found: String| (found, false);
    let options = crate::media::bucket_options(config).map_err(|failure| plain(failure.to_string()))?;
    let directory = existing(&config.data_dir).join(".lynk-doctor-bucket");
    let made = std::fs::create_dir_all(&directory);
    made.map_err(|error| plain(format!("{}: {error}", directory.display())))?;
    let tried = (|| {
        let (bucket, thread) = Bucket::start(options, &directory.join("parts")).map_err(plain)?;
        let probe = directory.join("probe");
        std::fs::write(&probe, b"lynk doctor").map_err(|error| plain(error.to_string()))?;
        let id = MediaId(os::random().map_err(|failure| plain(failure.to_string()))?);
        let own = installation(&config.data_dir);
        let started = Instant::now();
        let work = async {
            bucket.check().await?;
            // Nothing is put beside what another server keeps.
            if bucket.owner().await?.is_some_and(|owner| own.as_ref() != Some(&owner)) {
                return Err(bucket.shared());
            }
            bucket.put(id, 0, &probe).await?;
            let mut object = bucket.read(id, 0, 0, u64::MAX).await?;
            while object.next().await?.is_some() {}
            bucket.delete(id, 1).await
        };
        let done = bucket.wait(work);
        let done = done.map_err(|error| (error.to_string(), matches!(error, BucketError::Shared(_))));
        thread.join();
        done.map(|()| started.elapsed().as_millis())
    })();
    let _left = std::fs::remove_dir_all(&directory);
    tried
}

fn locked_memory() -> Check {
    let limit = getrlimit(Resource::Memlock);
    let facts = json!({"soft": limit.current, "hard": limit.maximum});
    // One ring of the default size takes about 200 KiB.
    let needed = u64::from(os::shard_count(0)) * (256 << 10);
    let check = match limit.current {
        Some(soft) if soft < needed => Check::warn(
            "locked memory",
            format!("{} KiB, rings want {}", soft >> 10, needed >> 10),
            "raise it: LimitMEMLOCK=infinity, --ulimit memlock=-1 or ulimit -l; otherwise rings are smaller",
        ),
        Some(soft) => Check::ok("locked memory", format!("{} KiB", soft >> 10)),
        None => Check::ok("locked memory", "no limit"),
    };
    check.facts(facts)
}

/// The directory, or the nearest one above that exists.
fn existing(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

fn data_dir(path: &Path) -> Check {
    let dir = existing(path);
    let free = rustix::fs::statvfs(&dir).map_or(0, |fs| fs.f_bavail.saturating_mul(fs.f_frsize));
    let facts = json!({"path": path.display().to_string(), "free_bytes": free});
    let probe = dir.join(".lynk-doctor");
    let written = OpenOptions::new().write(true).create(true).truncate(true).open(&probe);
    let _ = std::fs::remove_file(&probe);
    let check = match written {
        Err(error) => Check::fail(
            "data directory",
            format!("{}: {error}", dir.display()),
            "give the user that runs lynk write access, or name another directory with --data",
        ),
        Ok(_) if free < 1 << 30 => Check::warn(
            "data directory",
            format!("{}: {} MiB free", path.display(), free >> 20),
            "make room: at zero, sends are refused",
        ),
        Ok(_) => Check::ok("data directory", format!("{}: {} GiB free", path.display(), free >> 30)),
    };
    check.facts(facts)
}

/// Times durable writes of one block as the journal does them: each alone, as on an idle server, and each right after
/// the one before it.
fn disk_sync(path: &Path) -> Check {
    let dir = existing(path);
    match time_syncs(&dir.join(".lynk-doctor-sync")) {
        Err(error) => {
            Check::fail("disk sync", format!("{}: {error}", dir.display()), "see the data directory's check")
        }
        Ok(SyncTimes { direct, lone, busy }) => {
            let at =
                |times: &[u64], percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
            let (p50, p99, busy) = (at(&lone, 50), at(&lone, 99), at(&busy, 50));
            let millis = |nanos: u64| nanos as f64 / 1e6;
            let found = format!(
                "{:.2} ms p50, {:.2} ms p99 alone, {:.2} ms p50 in a row ({SYNCS} writes each, {})",
                millis(p50),
                millis(p99),
                millis(busy),
                if direct { "around the page cache" } else { "this file system wants the page cache" }
            );
            let facts = json!({"p50_ns": p50, "p99_ns": p99, "busy_p50_ns": busy, "direct": direct});
            if p99 > SYNC_NANOS_WARN {
                Check::warn(
                    "disk sync",
                    found,
                    "every acknowledgement waits for it: use a local disk with power-loss protection",
                )
                .facts(facts)
            } else {
                Check::ok("disk sync", found).facts(facts)
            }
        }
    }
}

/// Durable writes of a block, in nanoseconds, sorted.
struct SyncTimes {
    direct: bool,
    lone: Vec<u64>,
    busy: Vec<u64>,
}

fn time_syncs(path: &Path) -> std::io::Result<SyncTimes> {
    let _left_by_an_earlier_run = std::fs::remove_file(path);
    let timed = (|| {
        let file = RealDisk.create(path, (2 * SYNCS * BLOCK_BYTES) as u64)?;
        file.sync()?;
        let mut block = BlockBuffer::default();
        block.extend(&[0x5a; BLOCK_BYTES]);
        let mut offset = 0;
        let mut time = |pause: Duration| -> std::io::Result<Vec<u64>> {
            let mut times = Vec::with_capacity(SYNCS);
            for _ in 0..SYNCS {
                std::thread::sleep(pause);
                let started = Instant::now();
                file.write_at(block.bytes(), offset)?;
                times.push(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX));
                offset += BLOCK_BYTES as u64;
            }
            times.sort_unstable();
            Ok(times)
        };
        let (lone, busy) = (time(LONE_PAUSE)?, time(Duration::ZERO)?);
        Ok(SyncTimes { direct: file.is_direct(), lone, busy })
    })();
    let _ = std::fs::remove_file(path);
    timed
}

fn port(name: &'static str, address: SocketAddr, data: &Path) -> Check {
    let check = match TcpListener::bind(address) {
        Ok(_) => Check::ok(name, format!("{address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse && locked(data) => {
            Check::ok(name, format!("{address} is in use, and a lynk serves from this data directory"))
        }
        Err(error) => Check::fail(name, format!("{address}: {error}"), bind_cure(&error, address)),
    };
    check.facts(json!({"address": address.to_string()}))
}

/// What to do when an address cannot be used.
pub(crate) fn bind_cure(error: &std::io::Error, address: SocketAddr) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => {
            format!("another program has port {0}: `ss -ltnp 'sport = :{0}'` names it; stop it or choose another port", address.port())
        }
        ErrorKind::PermissionDenied => {
            "ports below 1024 need a privilege: choose a higher one, or set AmbientCapabilities=CAP_NET_BIND_SERVICE".to_owned()
        }
        ErrorKind::AddrNotAvailable => {
            "this machine does not have that address: `ip address` lists those it has; 0.0.0.0 stands for all".to_owned()
        }
        _ => "choose another address".to_owned(),
    }
}

/// Whether a process serves from the directory.
fn locked(data: &Path) -> bool {
    std::fs::File::open(data.join("LOCK")).is_ok_and(|file| {
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared).is_err()
    })
}

fn clock() -> Check {
    let (wall, mono) = (os::wall_millis(), Instant::now());
    std::thread::sleep(Duration::from_millis(50));
    let (moved, passed) = (os::wall_millis().0.saturating_sub(wall.0), mono.elapsed().as_millis());
    let drift = (i128::from(moved) - i128::try_from(passed).unwrap_or(0)).unsigned_abs();
    let facts = json!({"unix_ms": wall.0, "drift_ms": u64::try_from(drift).unwrap_or(u64::MAX)});
    let cure = "synchronise it: chrony or systemd-timesyncd";
    let check = if wall.0 < WALL_MILLIS_MIN {
        Check::fail("clock", "the wall clock is not set", cure)
    } else if drift > 20 {
        Check::warn(
            "clock",
            format!("the wall clock moved {drift} ms against the monotonic one in 50 ms"),
            cure,
        )
    } else {
        Check::ok("clock", "set and steady")
    };
    check.facts(facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_runs_the_tests_passes_the_required_checks() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let data = temp.path().join("not/yet");
        let (dir, sync) = (data_dir(&data), disk_sync(&data));
        assert_ne!(dir.verdict, Verdict::Fail, "{}", dir.found);
        assert_ne!(sync.verdict, Verdict::Fail, "{}", sync.found);
        assert!(
            sync.facts["p50_ns"].as_u64().expect("a number")
                <= sync.facts["p99_ns"].as_u64().expect("a number")
        );
        assert_eq!(std::fs::read_dir(temp.path()).expect("readable").count(), 0, "nothing is left behind");
        assert_eq!(clock().verdict, Verdict::Ok);
        assert_ne!(kernel().verdict, Verdict::Fail);
    }

    #[test]
    fn a_port_in_use_fails_with_the_command_that_finds_who_has_it() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = taken.local_addr().expect("bound");
        let check = port("listen port", address, Path::new("/nonexistent"));
        assert_eq!(check.verdict, Verdict::Fail);
        assert!(check.cure.contains(&format!("sport = :{}", address.port())), "{}", check.cure);
    }
}
