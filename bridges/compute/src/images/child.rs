//! The process that decodes one picture.
//!
//! Thread: the main thread of a process that does nothing else. It limits itself before it reads a byte of the picture: memory, time of the
//! processor, no further file, process or file's length, and calls of the kernel that decoding needs; it dies with its parent. Out come
//! small pictures on its standard output, each as [`Head`] and bytes. What can fail is told by the exit code alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Write as _};
use std::os::fd::AsFd as _;
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use crate::{MediaType, Thumbnail, ThumbnailError, thumbnails};

/// All small pictures are written.
pub(super) const DONE: u8 = 0;
/// The picture is damaged.
pub(super) const UNDECODABLE: u8 = 65;
/// The picture has too many pixels.
pub(super) const TOO_LARGE: u8 = 66;
/// It was started wrongly, or the kernel refuses a limit.
pub(super) const NOT_STARTED: u8 = 67;

/// What precedes a small picture: box, width, height, 1 for JPEG or 2 for PNG, bytes; each a `u32`, low byte first.
pub(super) type Head = [[u8; 4]; 5];

/// Decodes the picture on standard input. `arguments`: type, bytes of memory, seconds of the processor.
pub fn run(arguments: &[String]) -> ExitCode {
    ExitCode::from(match work(arguments) {
        Ok(()) => DONE,
        Err(code) => code,
    })
}

fn work(arguments: &[String]) -> Result<(), u8> {
    let [kind, memory, seconds] = arguments else { return Err(NOT_STARTED) };
    let kind = MediaType::parse(kind).ok_or(NOT_STARTED)?;
    let memory = memory.parse().map_err(|_| NOT_STARTED)?;
    let seconds = seconds.parse().map_err(|_| NOT_STARTED)?;
    let owned = |fd: io::Result<_>| fd.map(File::from).map_err(|_| NOT_STARTED);
    let input = owned(io::stdin().as_fd().try_clone_to_owned())?;
    let mut output = owned(io::stdout().as_fd().try_clone_to_owned())?;
    confine(memory, seconds).map_err(|_| NOT_STARTED)?;
    let small = thumbnails(kind, BufReader::new(input)).map_err(|error| match error {
        ThumbnailError::TooLarge => TOO_LARGE,
        _ => UNDECODABLE,
    })?;
    small.iter().try_for_each(|one| write(one, &mut output)).map_err(|_| NOT_STARTED)
}

fn write(one: &Thumbnail, output: &mut File) -> io::Result<()> {
    let kind = if one.kind == MediaType::Jpeg { 1_u32 } else { 2 };
    let length = u32::try_from(one.bytes.len()).map_err(io::Error::other)?;
    let head: Head = [one.fits, one.width, one.height, kind, length].map(u32::to_le_bytes);
    output.write_all(head.as_flattened())?;
    output.write_all(&one.bytes)
}

fn confine(memory: u64, seconds: u64) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let limit = |resource, most| {
        let most = Some(most);
        setrlimit(resource, Rlimit { current: most, maximum: most })
    };
    // The program itself is mapped, its pages count although most are never touched.
    limit(Resource::As, mapped_bytes()?.saturating_add(memory))?;
    limit(Resource::Cpu, seconds)?;
    limit(Resource::Core, 0)?;
    limit(Resource::Fsize, 0)?;
    limit(Resource::Nproc, 0)?;
    limit(Resource::Nofile, 0)?;
    // A kernel without filters has the limits above all the same.
    let _ = filter();
    Ok(())
}

fn mapped_bytes() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages = text.split(' ').next().and_then(|pages| pages.parse::<u64>().ok());
    let pages = pages.ok_or_else(|| io::Error::other("/proc/self/statm"))?;
    Ok(pages * rustix::param::page_size() as u64)
}

/// Every call that is not listed is refused.
fn filter() -> Result<(), Box<dyn std::error::Error>> {
    let allowed = [
        libc::SYS_read,
        libc::SYS_pread64,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_lseek,
        libc::SYS_fstat,
        libc::SYS_close,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_futex,
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_tgkill,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];
    let rules = BTreeMap::from(allowed.map(|call| (call, Vec::new())));
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let arch = std::env::consts::ARCH.try_into()?;
    let program: BpfProgram = SeccompFilter::new(rules, refuse, SeccompAction::Allow, arch)?.try_into()?;
    Ok(seccompiler::apply_filter(&program)?)
}
