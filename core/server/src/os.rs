//! What the operating system grants this process.

use std::thread::available_parallelism;

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

use crate::exit::Failure;

/// Descriptors that the process needs besides connections: stores, journals, rings, listeners, log.
pub(crate) const FILES_RESERVED: u64 = 512;

/// Cores this process may run on: affinity and container quota count.
pub(crate) fn usable_cores() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// The shard count that a configured `count` stands for.
pub(crate) fn shard_count(count: u16) -> u16 {
    if count > 0 { count } else { u16::try_from(usable_cores().saturating_sub(1)).unwrap_or(u16::MAX).max(1) }
}

/// The processors of this process by number, lowest first.
pub(crate) fn processors() -> Vec<usize> {
    match rustix::thread::sched_getaffinity(None) {
        Ok(set) => (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect(),
        Err(_) => Vec::new(),
    }
}

/// Raises the limit of open files to the hard one and returns it; `None` for no limit.
pub(crate) fn raise_open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}

/// Forbids core files and debuggers: memory holds messages and keys.
///
/// # Errors
/// The kernel refuses, which it has no reason to.
pub(crate) fn forbid_dumps() -> Result<(), Failure> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none)
        .and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable))
        .map_err(|error| Failure::dependency(format!("core files cannot be switched off: {error}")))
}

/// A line of `/proc/self/status` in bytes, for example `VmRSS`.
pub(crate) fn status_bytes(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

/// Open descriptors of this process.
pub(crate) fn open_files() -> Option<u64> {
    let entries = std::fs::read_dir("/proc/self/fd").ok()?;
    Some(entries.count() as u64)
}

/// Processor time used by all threads, in seconds.
pub(crate) fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Milliseconds since the Unix epoch.
pub(crate) fn wall_millis() -> lynk_domain::Millis {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    lynk_domain::Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Bytes from the operating system's random source.
///
/// # Errors
/// It does not answer, which leaves nothing to go on with.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        Failure::dependency(format!("the operating system gives no random numbers: {error}"))
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_core_is_left_for_the_other_threads_and_one_shard_is_always_there() {
        assert_eq!(shard_count(3), 3);
        let default = usize::from(shard_count(0));
        assert!(default == usable_cores() - 1 || (default == 1 && usable_cores() <= 2));
    }

    #[test]
    fn the_process_can_see_itself() {
        assert!(status_bytes("VmRSS").expect("on Linux") > 1 << 20);
        assert!(open_files().expect("on Linux") >= 3);
        assert!(!processors().is_empty());
        assert!(cpu_seconds() > 0.0);
        assert_eq!(status_bytes("NoSuchField"), None);
    }
}
