//! Codes for development: shown on this machine instead of being sent.
//!
//! Thread: the API's runtime. What can fail: the file.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use lynk_auth::{Sending, Sms, SmsError, SmsSender};

/// Size at which the file of codes begins anew.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Shows codes on this machine instead of sending them: on the terminal, or in a file that only its owner may read.
/// Everybody who reads it can sign in as anybody, so a server that others can reach does not take it.
#[derive(Debug)]
pub struct ConsoleSms {
    to: Console,
}

/// Where [`ConsoleSms`] shows codes.
#[derive(Debug)]
enum Console {
    Terminal,
    File(PathBuf),
}

impl ConsoleSms {
    /// Shows codes on standard error.
    #[must_use]
    pub fn terminal() -> Self {
        Self { to: Console::Terminal }
    }

    /// Appends codes to `path`, one line each: milliseconds, number, code. The file begins anew here, and at 1 MiB.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn file(path: &Path) -> io::Result<Self> {
        begin(path)?;
        Ok(Self { to: Console::File(path.to_owned()) })
    }

    fn show(&self, sms: &Sms) -> io::Result<()> {
        match &self.to {
            Console::Terminal => {
                let line = format!("lynk: SMS to {}: {}\n", sms.to.as_e164(), sms.text());
                io::stderr().lock().write_all(line.as_bytes())
            }
            Console::File(path) => {
                if std::fs::metadata(path).map_or(0, |file| file.len()) >= FILE_BYTES_MAX {
                    begin(path)?;
                }
                let line = format!("{} {} {}\n", sms.made.0, sms.to.as_e164(), sms.code.reveal());
                options().append(true).open(path)?.write_all(line.as_bytes())
            }
        }
    }
}

/// Makes the file empty, and private also if it was there before.
fn begin(path: &Path) -> io::Result<()> {
    let file = options().write(true).truncate(true).open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600);
    options
}

impl SmsSender for ConsoleSms {
    fn send<'a>(&'a self, sms: &'a Sms) -> Sending<'a> {
        // A line to a local file or terminal: not worth a thread.
        Box::pin(async move { self.show(sms).map_err(|_| SmsError::Unavailable) })
    }
}

#[cfg(test)]
mod tests {
    use lynk_auth::{Code, CodeRequest};
    use lynk_domain::{Millis, Phone};
    use lynk_model::port::ready;

    use super::*;

    fn sms() -> Sms {
        Sms {
            to: Phone::from_e164("+4915112345678").expect("a number"),
            code: Code::parse("012345").expect("digits"),
            request: CodeRequest([1; 16]),
            made: Millis(7),
            life_millis: 300_000,
        }
    }

    #[test]
    fn codes_go_to_a_file_that_only_its_owner_reads() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("dev-sms.txt");
        std::fs::write(&path, "left over").expect("writable");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("ours");
        let console = ConsoleSms::file(&path).expect("begins");
        for _ in 0..2 {
            assert_eq!(ready(console.send(&sms())), Ok(()));
        }
        let line = "7 +4915112345678 012345\n";
        assert_eq!(std::fs::read_to_string(&path).expect("readable"), line.repeat(2));
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, vec![b'x'; 1 << 20]).expect("writable");
        assert_eq!(ready(console.send(&sms())), Ok(()));
        assert_eq!(std::fs::read_to_string(&path).expect("readable"), line, "it begins anew");
        std::fs::remove_dir_all(directory.path()).expect("ours");
        assert_eq!(ready(console.send(&sms())), Err(SmsError::Unavailable));
    }
}
