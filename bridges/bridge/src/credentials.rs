//! Who we are for an outside system: secrets that are not printed, and TLS that is always on, from files in PEM.
//!
//! Thread: boot. Files are read once, blocking; renewed ones count from the next start. What can fail: a file that is missing, does not hold
//! what it should, or is a key that others may read; the error names it, and repeats nothing of what is in it.

use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// A password or a key. It is not printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Keeps `bytes`.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Reads a text from a file; line ends at its end do not count. Blocks.
    ///
    /// # Errors
    /// When the file cannot be read, is no text, or is empty.
    pub fn from_file(path: &Path) -> Result<Self, FileError> {
        let failed = |source| FileError::File { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err(unusable(path, "it is empty"));
        }
        Ok(Self::new(text))
    }

    /// What it is.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }

    /// What it is, as a text; `None` when it is none.
    #[must_use]
    pub fn reveal_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// A file that cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileError {
    /// It cannot be read.
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It does not hold what it should.
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A key that others than its owner and its group's readers can get at.
    KeyIsOpen {
        /// Which.
        path: PathBuf,
    },
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, source } => write!(f, "cannot read {}: {source}", path.display()),
            Self::Unusable { path, why } => write!(f, "cannot use {}: {why}", path.display()),
            Self::KeyIsOpen { path } => {
                write!(f, "others can get at the key {}: chmod 600 it", path.display())
            }
        }
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// TLS with our certificate, to a server that the authority vouches for, under the name that it is connected to. `ca` is the authority's file,
/// `certificate` ours with intermediate ones after it, `key` the key's, which others must not be able to read.
///
/// # Errors
/// Which file cannot be used.
pub fn tls_client(ca: &Path, certificate: &Path, key: &Path) -> Result<ClientConfig, FileError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(ca)? {
        roots.add(authority).map_err(|error| unusable(ca, error))?;
    }
    let chain = certificates(certificate)?;
    check_mode(key)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| pem_error(key, error))?;
    // Named, because two crates of one program may bring two providers, and then there is no default.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| unusable(ca, error))?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, private)
        .map_err(|error| unusable(certificate, error))
}

fn unusable(path: &Path, why: impl fmt::Display) -> FileError {
    FileError::Unusable { path: path.to_owned(), why: why.to_string() }
}

fn pem_error(path: &Path, error: pem::Error) -> FileError {
    match error {
        pem::Error::Io(source) => FileError::File { path: path.to_owned(), source },
        // The other kinds may quote the file.
        _ => unusable(path, "it is no PEM file of the right kind"),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(|error| pem_error(path, error))?
        .collect::<Result<_, _>>()
        .map_err(|error| pem_error(path, error))?;
    if found.is_empty() {
        return Err(unusable(path, "it holds no certificate"));
    }
    Ok(found)
}

/// A key is its owner's; a group may read it, as secrets that are mounted into a container are laid out.
fn check_mode(path: &Path) -> Result<(), FileError> {
    let meta = std::fs::metadata(path).map_err(|source| FileError::File { path: path.to_owned(), source })?;
    if meta.permissions().mode() & 0o037 != 0 {
        return Err(FileError::KeyIsOpen { path: path.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed_and_its_line_end_is_not_part_of_it() {
        let path = std::env::temp_dir().join(format!("lynk-secret-{}", std::process::id()));
        std::fs::write(&path, "very secret\r\n").expect("writable");
        let secret = Secret::from_file(&path).expect("a text");
        std::fs::write(&path, "\n").expect("writable");
        let empty = Secret::from_file(&path).expect_err("empty").to_string();
        std::fs::remove_file(&path).expect("removed");
        assert_eq!((secret.reveal(), secret.reveal_text()), (&b"very secret"[..], Some("very secret")));
        assert_eq!(format!("{secret:?}"), "Secret(redacted)");
        assert!(empty.contains("it is empty"), "{empty}");
        assert_eq!(Secret::new([0xff]).reveal_text(), None);
    }
}
