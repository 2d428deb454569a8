//! A program that looks for harmful files.
//!
//! Thread: one that looks at files. The program gets the file's path, no input and no environment but `PATH`; what it prints is thrown away. It is
//! killed at its deadline, and when the server ends. What is neither clean nor found is no answer: the file stays where nobody gets it.

use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::options::ScanOptions;

/// Time between two looks at the program.
const POLL: Duration = Duration::from_millis(10);

/// What was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    Clean,
    Infected,
}

/// Has `path` looked at.
///
/// # Errors
/// There is no answer, and why.
pub(crate) fn scan(options: &ScanOptions, path: &Path, stop: &AtomicBool) -> Result<Found, String> {
    let (program, arguments) = options.command.split_first().ok_or("media.scan_command names no program")?;
    let mut command = Command::new(program);
    command.args(arguments).arg(path).env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| format!("{program} cannot be started: {error}"))?;
    let until = Instant::now() + options.timeout;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => {
                return match status.code() {
                    Some(0) => Ok(Found::Clean),
                    Some(1) => Ok(Found::Infected),
                    _ => Err(format!("{program} ended with {status}")),
                };
            }
            Ok(None) if Instant::now() < until && !stop.load(Ordering::Acquire) => std::thread::sleep(POLL),
            Ok(None) => {
                end(&mut child).map_err(|error| format!("{program} cannot be ended: {error}"))?;
                return Err(format!("{program} took longer than {} s", options.timeout.as_secs()));
            }
            Err(error) => return Err(format!("{program} cannot be waited for: {error}")),
        }
    }
}

fn end(child: &mut Child) -> io::Result<()> {
    child.kill()?;
    child.wait().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(script: &str, timeout: Duration) -> Result<Found, String> {
        let command = ["/bin/sh", "-c", script, "scan"].map(str::to_owned).to_vec();
        let go_on = AtomicBool::new(false);
        scan(&ScanOptions { command, timeout }, Path::new("/nowhere/file"), &go_on)
    }

    #[test]
    fn only_an_answer_is_one() {
        let patience = Duration::from_secs(30);
        assert_eq!(with("exit 0", patience), Ok(Found::Clean));
        assert_eq!(with("exit 1", patience), Ok(Found::Infected));
        assert_eq!(with("test \"$1\" = /nowhere/file && test -z \"$HOME\"", patience), Ok(Found::Clean));
        for script in ["exit 2", "exit 127", "kill -9 $$"] {
            assert!(with(script, patience).is_err(), "{script}");
        }
        let missing = ScanOptions { command: vec!["/nowhere/scanner".to_owned()], timeout: patience };
        assert!(scan(&missing, Path::new("/nowhere/file"), &AtomicBool::new(false)).is_err());
    }

    #[test]
    fn a_program_that_takes_too_long_is_killed_and_so_it_is_at_the_end() {
        let late = with("exec sleep 600", Duration::from_millis(50)).expect_err("no answer");
        assert!(late.contains("took longer"), "{late}");
        let command = ["/bin/sh", "-c", "exec sleep 600"].map(str::to_owned).to_vec();
        let options = ScanOptions { command, timeout: Duration::from_secs(600) };
        assert!(scan(&options, Path::new("/nowhere/file"), &AtomicBool::new(true)).is_err());
    }
}
