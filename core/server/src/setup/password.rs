//! Passwords of roles: made here, kept in files, never shown.
//!
//! Thread: a command's; blocks on the disk. Invariant: a file that is there is used and not changed, unless a new password is asked for.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::data_dir::{check_private, make_dir, refused, replace};
use crate::exit::Failure;
use crate::os;

/// Longest password that is read. What a server hashes with bcrypt may not be longer.
const BYTES_MAX: u64 = 72;
/// Random bytes of a password that is made: nobody guesses it, so what is derived from it needs no many rounds.
const RANDOM_BYTES: usize = 24;

/// A password. It is not shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Password(String);

impl Password {
    /// For those who derive something from it.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    #[cfg(test)]
    pub(crate) fn of(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// The directory of the passwords.
#[derive(Clone, Debug)]
pub(crate) struct Passwords {
    dir: PathBuf,
    /// Whether to make all of them anew.
    rotate: bool,
}

impl Passwords {
    /// Those in `dir`, which is made if it is not there.
    ///
    /// # Errors
    /// The disk refuses, or others may read the directory.
    pub(crate) fn open(dir: &Path, rotate: bool) -> Result<Self, Failure> {
        make_dir(dir, 0o700)?;
        check_private(dir)?;
        Ok(Self { dir: dir.to_owned(), rotate })
    }

    /// The password of a role; a new one if there is none, or if new ones are asked for.
    ///
    /// # Errors
    /// The disk refuses, the file may be read by others, or it holds no password.
    pub(crate) fn of(&self, role: &str) -> Result<Password, Failure> {
        self.read(role, self.rotate)
    }

    /// As [`of`](Self::of), of a role that the text does not change: it stays as it is.
    ///
    /// # Errors
    /// As of [`of`](Self::of).
    pub(crate) fn kept(&self, role: &str) -> Result<Password, Failure> {
        self.read(role, false)
    }

    fn read(&self, role: &str, anew: bool) -> Result<Password, Failure> {
        let path = self.dir.join(format!("{role}.password"));
        if anew || !path.exists() {
            let bytes = os::random::<RANDOM_BYTES>()?;
            let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            replace(&path, text.as_bytes(), 0o600)?;
            return Ok(Password(text));
        }
        check_private(&path)?;
        let mut text = String::new();
        File::open(&path)
            .and_then(|file| file.take(BYTES_MAX + 2).read_to_string(&mut text))
            .map_err(|error| refused(&path, &error))?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let letters = text.bytes().all(|b| b.is_ascii_graphic());
        if !letters || !(16..=72).contains(&text.len()) {
            return Err(Failure::dependency(format!("{} holds no password", path.display())).cure(
                "write 16 to 72 letters, digits and signs of ASCII into it, or run the command with --rotate",
            ));
        }
        Ok(Password(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_password_is_made_once_is_private_and_is_not_shown() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let dir = temp.path().join("credentials");
        let kept = Passwords::open(&dir, false).expect("opens");
        let first = kept.of("lynk_rooms").expect("made");
        let path = dir.join("lynk_rooms.password");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&dir).expect("there").permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read(&path).expect("readable"), first.bytes());
        assert_eq!(first.bytes().len(), 2 * RANDOM_BYTES);
        assert_eq!(kept.of("lynk_rooms").expect("read"), first);
        assert_eq!(format!("{first:?}"), "Password(..)");
        let other = Passwords::open(&dir, true).expect("opens").of("lynk_rooms").expect("made");
        assert_ne!(other, first);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("ours");
        assert!(kept.of("lynk_rooms").expect_err("readable").to_string().contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("ours");
        fs::write(&path, "short").expect("ours");
        let told = kept.of("lynk_rooms").expect_err("short").to_string();
        assert!(told.contains("--rotate") && !told.contains("short"), "{told}");
    }
}
