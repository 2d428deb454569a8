//! The server's side of a process that decodes: started, read from, killed at its deadline, always waited for.
//!
//! Thread: `images-N`; blocks, no longer than the time-out. Limits: [`OUTPUT_BYTES_MAX`] of output are read.

use std::fs::File;
use std::io::{self, Read as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{ImagesOptions, Refused, child};
use crate::{BOXES, MediaType, Thumbnail};

/// Bytes that a process may write: a PNG of noise in each box, and some.
const OUTPUT_BYTES_MAX: usize = 16 << 20;
/// How long a process may take to end after it closed its output.
const END_POLL: Duration = Duration::from_millis(2);

const _: () = assert!(OUTPUT_BYTES_MAX > 2 * 4 * 1_280 * 1_280);

/// Kills and waits for what it holds, however it is left.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for one that has been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The small pictures of the picture in `file`.
pub(super) fn decode(
    options: &ImagesOptions,
    kind: MediaType,
    file: File,
) -> Result<Vec<Thumbnail>, Refused> {
    let deadline = Instant::now() + options.timeout;
    let child = Command::new(&options.program)
        .args(&options.arguments)
        .arg(kind.as_str())
        .arg(options.memory_bytes.to_string())
        .arg(options.timeout.as_secs().max(1).to_string())
        .env_clear()
        .current_dir("/")
        .stdin(file)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut process = Process(child);
    let output = process.0.stdout.take().ok_or_else(|| io::Error::other("a process without its output"))?;
    let bytes = read(output, deadline)?;
    match code(&mut process.0, deadline)? {
        Some(code) if code == i32::from(child::DONE) => parse(&bytes).ok_or(Refused::Undecodable),
        Some(code) if code == i32::from(child::TOO_LARGE) => Err(Refused::TooLarge),
        Some(code) if code == i32::from(child::UNDECODABLE) => Err(Refused::Undecodable),
        Some(code) => {
            Err(Refused::Io(io::Error::other(format!("the process that decodes ended with {code}"))))
        }
        // By a signal: the processor's time, or an allocation that its limit refused.
        None => Err(if cpu_is_over(&mut process.0) { Refused::TimedOut } else { Refused::TooLarge }),
    }
}

/// Everything up to the end of the output.
fn read(mut output: ChildStdout, deadline: Instant) -> Result<Vec<u8>, Refused> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        let left = deadline.checked_duration_since(Instant::now()).ok_or(Refused::TimedOut)?;
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut ready = [PollFd::new(&output, PollFlags::IN)];
        match poll(&mut ready, Some(&left)) {
            Ok(0) => return Err(Refused::TimedOut),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(Refused::Io(error.into())),
        }
        match output.read(&mut buffer)? {
            0 => return Ok(bytes),
            read if bytes.len() + read > OUTPUT_BYTES_MAX => return Err(Refused::TooLarge),
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}

/// How it ended; `None` is by a signal.
fn code(child: &mut Child, deadline: Instant) -> Result<Option<i32>, Refused> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code());
        }
        if Instant::now() >= deadline {
            return Err(Refused::TimedOut);
        }
        std::thread::sleep(END_POLL);
    }
}

fn cpu_is_over(child: &mut Child) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    let signal = child.try_wait().ok().flatten().and_then(|status| status.signal());
    // At the hard limit the kernel kills; nothing else does here before the deadline.
    signal == Some(libc::SIGXCPU) || signal == Some(libc::SIGKILL)
}

fn parse(mut bytes: &[u8]) -> Option<Vec<Thumbnail>> {
    let mut small = Vec::new();
    while !bytes.is_empty() {
        let (head, rest) = bytes.split_first_chunk::<20>()?;
        let (head, _) = head.as_chunks::<4>();
        let [fits, width, height, kind, length] = [0, 1, 2, 3, 4].map(|at| u32::from_le_bytes(head[at]));
        let kind = match kind {
            1 => MediaType::Jpeg,
            2 => MediaType::Png,
            _ => return None,
        };
        let inside = (1..=fits).contains(&width) && (1..=fits).contains(&height);
        if small.len() == BOXES.len() || !BOXES.contains(&fits) || !inside {
            return None;
        }
        let (picture, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        small.push(Thumbnail { fits, width, height, kind, bytes: picture.to_vec() });
        bytes = rest;
    }
    (!small.is_empty()).then_some(small)
}
