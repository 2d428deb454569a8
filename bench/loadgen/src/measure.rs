//! Reading what a process costs, from the kernel's own accounts.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// What reading a file of a thread that has just ended fails with.
const ESRCH: i32 = 3;

/// CPU time of every thread of a process, in nanoseconds.
pub(crate) fn process_cpu_nanos(pid: u32) -> Result<u64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .with_context(|| format!("process {pid} is gone, or not visible: is --pid right?"))?;
    let mut sum = 0;
    for task in tasks {
        let path = task?.path().join("schedstat");
        match fs::read_to_string(&path) {
            Ok(text) => sum += first_number(&text),
            // A thread may end between the listing and the read.
            Err(error) if error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(ESRCH) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }
    Ok(sum)
}

/// Sends that a server has asked of the kernel, as its admin listener tells; `None` when that cannot be read.
pub(crate) fn server_sends(admin: SocketAddr) -> Option<u64> {
    if !admin.ip().is_loopback() {
        return None;
    }
    let mut socket = TcpStream::connect_timeout(&admin, Duration::from_secs(1)).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(socket, "GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    socket.read_to_string(&mut text).ok()?;
    let counts = text.lines().filter(|line| line.starts_with("lynk_reactor_sends_total{"));
    let counts: Vec<f64> = counts.filter_map(|line| line.rsplit_once(' ')?.1.parse().ok()).collect();
    (!counts.is_empty()).then(|| counts.iter().sum::<f64>() as u64)
}

/// CPU time of the kernel's softirq threads, which do part of the sending under load.
pub(crate) fn softirq_cpu_nanos() -> u64 {
    let Ok(processes) = fs::read_dir("/proc") else { return 0 };
    let mut sum = 0;
    for process in processes.flatten() {
        let Ok(name) = fs::read_to_string(process.path().join("comm")) else { continue };
        if name.starts_with("ksoftirqd") {
            sum += fs::read_to_string(process.path().join("schedstat")).map_or(0, |t| first_number(&t));
        }
    }
    sum
}

/// CPU time of the calling thread.
pub(crate) fn thread_cpu() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(t.tv_sec.unsigned_abs(), u32::try_from(t.tv_nsec).unwrap_or(0))
}

fn first_number(text: &str) -> u64 {
    text.split_ascii_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Resident memory of a process that is its own (not file pages), in bytes.
pub(crate) fn anonymous_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("process {pid} is gone, or not visible: is --pid right?"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("no RssAnon line")?;
    Ok(first_number(line) * 1024)
}

/// Whole resident memory of a process, in bytes.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS line")?;
    Ok(first_number(line) * 1024)
}

/// Wall and CPU time of the generator thread since it was started.
pub(crate) struct OwnLoad {
    wall: Instant,
    cpu: Duration,
}

impl OwnLoad {
    pub(crate) fn start() -> Self {
        Self { wall: Instant::now(), cpu: thread_cpu() }
    }

    /// Share of one core that the calling thread used, 0 to 1.
    pub(crate) fn share(&self) -> f64 {
        let cpu = thread_cpu().saturating_sub(self.cpu).as_secs_f64();
        cpu / self.wall.elapsed().as_secs_f64().max(1e-9)
    }
}

/// Pins the calling thread to a CPU.
pub(crate) fn pin(cpu: Option<u32>) -> Result<()> {
    let Some(cpu) = cpu else { return Ok(()) };
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu as usize);
    rustix::thread::sched_setaffinity(None, &set).with_context(|| format!("cannot pin to CPU {cpu}"))
}
