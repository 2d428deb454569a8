//! What the operating system says about this process and its files.

use std::fmt::Display;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// One result line.
#[expect(clippy::print_stdout, reason = "a benchmark prints")]
pub(crate) fn print(name: &str, value: impl Display) {
    println!("{name} {value}");
}

/// Resources used by the whole process.
pub(crate) struct Usage {
    at: Instant,
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
    /// Bytes that the process caused to be sent to the block layer.
    pub(crate) written: u64,
    pub(crate) peak_kib: u64,
}

impl Usage {
    pub(crate) fn now() -> Result<Self> {
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let io = std::fs::read_to_string("/proc/self/io")?;
        let status = std::fs::read_to_string("/proc/self/status")?;
        Ok(Self {
            at: Instant::now(),
            cpu: Duration::new(cpu.tv_sec as u64, cpu.tv_nsec as u32),
            wall: Duration::ZERO,
            written: field(&io, "write_bytes:")?,
            peak_kib: field(&status, "VmHWM:")?,
        })
    }

    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            at: self.at,
            cpu: self.cpu - before.cpu,
            wall: self.at - before.at,
            written: self.written - before.written,
            peak_kib: self.peak_kib,
        }
    }
}

pub(crate) fn resident_kib() -> Result<u64> {
    field(&std::fs::read_to_string("/proc/self/status")?, "VmRSS:")
}

fn field(text: &str, name: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).context("a missing field")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Blocks that all files below `path` take.
pub(crate) fn disk_bytes(path: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { disk_bytes(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}
