//! Our identities for outside systems, read from one directory: `<role>.crt`, `<role>.key`, `<role>.password`.
//!
//! Thread: boot. What can fail: a file that is missing, empty, or readable for everybody; the error names the file and the cure.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use lynk_bridge::Secret;

use crate::config::Outside;
use crate::data_dir::refused;
use crate::exit::Failure;

/// The files of one role.
#[derive(Debug)]
pub(crate) struct Identity {
    /// The role, which is the name in the certificate.
    pub(crate) role: &'static str,
    /// PEM file of the certificate.
    pub(crate) certificate: PathBuf,
    /// PEM file of its key.
    pub(crate) key: PathBuf,
    /// File with the password.
    pub(crate) password: PathBuf,
}

impl Identity {
    /// Looks whether the files of `role` are there and private.
    ///
    /// # Errors
    /// Which is not, and what to do.
    pub(crate) fn of(outside: &Outside, role: &'static str) -> Result<Self, Failure> {
        let file = |kind: &str| outside.credentials_dir.join(format!("{role}.{kind}"));
        let identity = Self { role, certificate: file("crt"), key: file("key"), password: file("password") };
        for path in [&identity.certificate, &identity.key, &identity.password] {
            if !path.exists() {
                return Err(Failure::dependency(format!("{} does not exist", path.display()))
                    .cure("put certificate, key and password of each role into `credentials.dir`"));
            }
        }
        check_secret(&identity.key)?;
        check_secret(&identity.password)?;
        Ok(identity)
    }

    /// Reads the password.
    ///
    /// # Errors
    /// It is empty, or cannot be read.
    pub(crate) fn secret(&self) -> Result<Secret, Failure> {
        Secret::from_file(&self.password).map_err(|error| Failure::dependency(error.to_string()))
    }
}

/// Refuses a secret that everybody may read. A group may: that is how secrets are mounted into containers.
///
/// # Errors
/// The mode it has, and the one it should have.
pub(crate) fn check_secret(path: &Path) -> Result<(), Failure> {
    let mode = std::fs::metadata(path).map_err(|error| refused(path, &error))?.mode() & 0o777;
    if mode & 0o037 == 0 {
        return Ok(());
    }
    Err(Failure::dependency(format!("{} may be read by others (mode {mode:o})", path.display()))
        .cure(format!("chmod 600 {}", path.display())))
}

/// Reads a file of at most a mebibyte.
///
/// # Errors
/// It cannot be read, or is larger than any certificate.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    const MAX: u64 = 1 << 20;
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| refused(path, &error))?;
    if bytes.len() as u64 > MAX {
        return Err(Failure::dependency(format!("{} is larger than any certificate", path.display())));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_missing_or_open_secret_is_named_with_its_cure() {
        let dir = tempfile::tempdir().expect("a directory");
        let outside = Outside { credentials_dir: dir.path().to_owned(), ..Outside::default() };
        let failure =
            |outside: &Outside| Identity::of(outside, "lynk_rooms").expect_err("refused").to_string();
        assert!(failure(&outside).contains("lynk_rooms.crt does not exist"));
        for kind in ["crt", "key", "password"] {
            let path = dir.path().join(format!("lynk_rooms.{kind}"));
            std::fs::write(&path, "x").expect("writable");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("ours");
        }
        let told = failure(&outside);
        assert!(told.contains("lynk_rooms.key") && told.contains("chmod 600"), "{told}");
        for kind in ["key", "password"] {
            let path = dir.path().join(format!("lynk_rooms.{kind}"));
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("ours");
        }
        assert_eq!(Identity::of(&outside, "lynk_rooms").expect("good").role, "lynk_rooms");
    }
}
